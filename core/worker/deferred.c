/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Deferred calls. RUNNING -> DEFERRED -> over: one that is completed before its action has returned is kept until then. Each
 * is ended once, by whoever takes its slot under the lock: its completion, its deadline, or the end of its plugin.
 */
#include "worker/ticket-private.h"

#include <string.h>

/* Size of zm_outcome in ABI 1.0. */
#define OUTCOME_1_0 (G_STRUCT_OFFSET (zm_outcome, text) + sizeof (const char *))

/* ---- outcomes ---- */

/* NULL is none. */
static void
outcome_free (ZmOutcome *outcome)
{
  if (!outcome)
    return;
  if (outcome->reply.given)
    zmq_msg_close (&outcome->reply.body);
  g_free (outcome->reply.content_type);
  g_free (outcome->reply.next);
  g_free (outcome->code);
  g_free (outcome->text);
  g_free (outcome);
}

/* Copied before the lock is taken, as a body may have megabytes and each deferred call needs that lock. NULL: no
 * memory for the body. */
static ZmOutcome *
outcome_copy (const zm_outcome *from)
{
  ZmOutcome *outcome = g_new0 (ZmOutcome, 1);
  outcome->status = from->status;
  if (from->body) {
    if (from->body_size > G_MAXINT32 || zmq_msg_init_size (&outcome->reply.body, from->body_size) != 0) {
      g_free (outcome);
      return NULL;
    }
    memcpy (zmq_msg_data (&outcome->reply.body), from->body, from->body_size);
    outcome->reply.given = TRUE;
    outcome->reply.content_type = g_strdup (from->content_type);
  }
  outcome->reply.next = g_strdup (from->next);
  outcome->code = g_strdup (from->code);
  outcome->text = g_strdup (from->text);
  return outcome;
}

/* Gives a run that is nobody else's what the plugin said; takes it. */
static void
outcome_apply (ZmOutcome *outcome, ZmRun *run)
{
  run->status = outcome->status;
  if (outcome->reply.given) {
    zm_run_drop_reply (run);
    run->reply.given = TRUE;
    zmq_msg_init (&run->reply.body);
    zmq_msg_move (&run->reply.body, &outcome->reply.body);
    run->reply.content_type = g_steal_pointer (&outcome->reply.content_type);
  }
  if (outcome->reply.next) {
    g_free (run->reply.next);
    run->reply.next = g_steal_pointer (&outcome->reply.next);
  }
  if (outcome->code || outcome->text)
    zm_run_set_failure (run, outcome->code, outcome->text);
  outcome_free (outcome);
}

/* ---- deferred calls ---- */

/* Takes the run out of its slot to end it as failed. Under the lock; who has it then queues it without. What the
 * plugin said before its failure is forgotten. */
static ZmRun *
take_failed (ZmTickets *tickets, ZmSlot *slot, const char *code, const char *text)
{
  ZmRun *run = slot->run;
  zm_slot_release (tickets, slot);
  atomic_store (&run->cancelled, 1);
  run->ticket = 0;
  run->event = ZM_EVENT_COMPLETED;
  run->status = ZM_REJECT;
  zm_run_drop_reply (run);
  g_clear_pointer (&run->code, g_free);
  g_clear_pointer (&run->text, g_free);
  zm_run_set_failure (run, code, text);
  return run;
}

/* In the timers' thread. The slot tells whether the call is still deferred: its completion may have been first. */
static void
deferred_timeout (ZmTimer *timer, gpointer user)
{
  ZmRun *run = user;
  ZmTickets *tickets = run->pool->tickets;
  (void) timer;
  ZmRun *mine = NULL;
  pthread_mutex_lock (&tickets->lock);
  ZmSlot *slot = run->ticket ? zm_slot_find (tickets, run->ticket) : NULL;
  if (slot && slot->run == run && slot->state == ZM_SLOT_DEFERRED)
    mine = take_failed (tickets, slot, "timeout", "the deferred call was not completed before its deadline");
  pthread_mutex_unlock (&tickets->lock);
  if (mine)
    zm_queue_run (mine->pool, mine);
}

/* From inside the action. Asked twice it gives the same ticket. 0: too many are deferred; the call then fails as busy
 * unless the action says otherwise. */
zm_ticket
zm_call_service_defer (zm_call *call)
{
  ZmRun *run = (ZmRun *) ((char *) call - G_STRUCT_OFFSET (ZmRun, call));
  if (run->ticket || !run->message)
    return run->ticket;
  ZmTickets *tickets = run->pool->tickets;
  ZmSlot *slot;
  pthread_mutex_lock (&tickets->lock);
  guint64 ticket = zm_slot_take (tickets, 0, &slot);
  if (ticket) {
    slot->state = ZM_SLOT_RUNNING;
    slot->run = run;
    run->ticket = ticket;
  }
  pthread_mutex_unlock (&tickets->lock);
  if (ticket)
    zm_counter_add (run->pool->c_deferred, 1);
  else
    zm_run_set_failuref (run, "busy", "%u calls are deferred already; no more can be", tickets->most);
  return ticket;
}

/* The action that deferred has returned: DEFERRED waits, anything else is the plugin's mistake. */
void
zm_tickets_returned (ZmWorker *worker, ZmRun *run, int status)
{
  ZmTickets *tickets = worker->pool->tickets;
  ZmOutcome *early = NULL;
  gboolean waits = FALSE;
  gint64 due_us = MAX (run->call.deadline_us, zm_now_us () + 1000);
  zm_run_hold (run, "deferred call");
  pthread_mutex_lock (&tickets->lock);
  ZmSlot *slot = run->ticket ? zm_slot_find (tickets, run->ticket) : NULL;
  if (slot && status == ZM_DEFERRED && slot->state == ZM_SLOT_RUNNING) {
    slot->state = ZM_SLOT_DEFERRED;
    waits = TRUE;
    run->timer.func = deferred_timeout;
    run->timer.user = run;
    run->timed = TRUE;
    /* Armed under the lock: whoever completes it finds the timer set. */
    zm_timers_arm (worker->pool->config.timers, &run->timer, due_us);
  } else if (slot) {
    early = g_steal_pointer (&slot->early);
    zm_slot_release (tickets, slot);
    run->ticket = 0;
  }
  pthread_mutex_unlock (&tickets->lock);
  if (early && status == ZM_DEFERRED) {
    outcome_apply (early, run);
    zm_engine_outcome (worker, run, run->status);
    return;
  }
  outcome_free (early);
  if (waits || status == ZM_E_LATE)
    return;
  const char *text = status == ZM_DEFERRED ? "the action returned ZM_DEFERRED without zm_call_defer"
                                           : "the action called zm_call_defer and did not return ZM_DEFERRED";
  zm_run_drop_reply (run);
  zm_run_set_failure (run, "bad-status", text);
  zm_engine_outcome (worker, run, ZM_REJECT);
}

/* What a plugin completes with is checked as its replies are: it is code of somebody else. */
static gboolean
good_outcome (const zm_outcome *outcome)
{
  ZmKey key;
  if (!outcome || outcome->struct_size < OUTCOME_1_0 || (outcome->body_size && !outcome->body))
    return FALSE;
  if (outcome->next &&
      (!zm_key_parse (zm_span_text (outcome->next), &key, NULL, NULL) || zm_key_reserved (&key)))
    return FALSE;
  return outcome->status == ZM_OK || outcome->status == ZM_RETRY || outcome->status == ZM_REJECT;
}

/* Any thread. Whoever finds the slot takes it, so a call is completed once; later ones get ZM_E_LATE and are counted.
 * While the action still runs what is said is kept at the slot, as the run is the action's until it returns. */
int
zm_pool_complete (ZmPool *pool, ZmGeneration *generation, zm_ticket ticket, const zm_outcome *outcome)
{
  ZmTickets *tickets = pool->tickets;
  if (!good_outcome (outcome))
    return ZM_E_INVALID;
  ZmOutcome *copy = outcome_copy (outcome);
  if (!copy)
    return ZM_E_MEMORY;
  ZmRun *over = NULL;
  int status = ZM_E_LATE;
  pthread_mutex_lock (&tickets->lock);
  ZmSlot *slot = ticket & ZM_TICKET_CALLER ? NULL : zm_slot_find (tickets, ticket);
  if (slot && slot->run->action && slot->run->action->generation != generation) {
    status = ZM_E_DENIED;
  } else if (slot && (slot->state == ZM_SLOT_RUNNING || slot->state == ZM_SLOT_DEFERRED)) {
    status = ZM_OK;
    if (slot->state == ZM_SLOT_RUNNING) {
      slot->state = ZM_SLOT_EARLY;
      slot->early = g_steal_pointer (&copy);
    } else {
      over = slot->run;
      over->ticket = 0;
      over->event = ZM_EVENT_COMPLETED;
      zm_slot_release (tickets, slot);
    }
  }
  pthread_mutex_unlock (&tickets->lock);
  if (over) {
    outcome_apply (g_steal_pointer (&copy), over);
    zm_queue_run (pool, over);
  }
  outcome_free (copy);
  if (status == ZM_E_LATE) {
    zm_counter_add (pool->c_late, 1);
    zm_log_limited (pool->config.log, ZM_LEVEL_WARNING, "worker", "late-completion",
                    "plugin %s completed a call that is over already", zm_generation_name (generation));
  }
  return status;
}

/* Also true of a ticket that is over: in both cases nobody waits for the completion. */
int
zm_pool_ticket_cancelled (ZmPool *pool, zm_ticket ticket)
{
  pthread_mutex_lock (&pool->tickets->lock);
  ZmSlot *slot = zm_slot_find (pool->tickets, ticket);
  int cancelled = !slot || (slot->run && atomic_load (&slot->run->cancelled));
  pthread_mutex_unlock (&pool->tickets->lock);
  return cancelled;
}

/* Ends all deferred calls of a generation (NULL: of all), in one turn over the slots, which may be many; callers inside are
 * ended by the messages that they wait for. */
guint
zm_tickets_cancel_all (ZmPool *pool, ZmGeneration *generation, const char *code, const char *text)
{
  ZmTickets *tickets = pool->tickets;
  guint ended = 0;
  gboolean more = TRUE;
  for (guint i = 0; more;) {
    ZmRun *run = NULL;
    pthread_mutex_lock (&tickets->lock);
    for (; !run && i < zm_slot_count (tickets); i++) {
      ZmSlot *slot = zm_slot_at (tickets, i);
      if (slot->state == ZM_SLOT_DEFERRED && (!generation || slot->run->action->generation == generation))
        run = take_failed (tickets, slot, code, text);
    }
    more = run != NULL;
    pthread_mutex_unlock (&tickets->lock);
    if (run)
      zm_queue_run (pool, run);
    ended += more;
  }
  return ended;
}
