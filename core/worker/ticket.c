/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tickets: deferred calls, and callers inside the daemon (zm_call_action). A ticket is 64 bits: kind in the top bit, a
 * number that counts up with each use of the slot, and the slot; a stale one is recognised by its number.
 *
 * A deferred call goes RUNNING -> DEFERRED -> over: one that is completed before its action has returned is kept until
 * then.
 */
#include "worker/internal.h"

#include <string.h>

#define KIND_BIT (G_GUINT64_CONSTANT (1) << 63)

typedef enum { SLOT_FREE, SLOT_RUNNING, SLOT_EARLY, SLOT_DEFERRED, SLOT_CALLER } SlotState;

/* A copy of what a plugin gave to zm_complete. */
typedef struct Outcome {
  int status;
  ZmReply reply;
  char *code, *text;
} Outcome;

typedef struct Slot {
  SlotState state;
  Outcome *
      early; /* of a call that was completed before its action returned: until then its run is the action's */
  guint32 number;
  guint next_free; /* index + 1 */
  ZmRun *run;      /* of a deferred call */
  /* of a caller inside */
  ZmGeneration *generation;
  zm_result_fn done;
  void *user;
  ZmTimer timer;
  ZmPool *pool;
  guint64 ticket;
} Slot;

#define CHUNK 64
/* Size of zm_outcome in ABI 1.0. */
#define OUTCOME_1_0 (G_STRUCT_OFFSET (zm_outcome, text) + sizeof (const char *))

struct ZmTickets {
  pthread_mutex_t lock;
  GPtrArray *chunks; /* of CHUNK slots each: addresses stay */
  guint most, used, first_free;
  gboolean closed;
};

ZmTickets *
zm_tickets_new (guint most)
{
  ZmTickets *tickets = g_new0 (ZmTickets, 1);
  pthread_mutex_init (&tickets->lock, NULL);
  tickets->chunks = g_ptr_array_new_with_free_func (g_free);
  tickets->most = most;
  return tickets;
}

void
zm_tickets_free (ZmTickets *tickets)
{
  pthread_mutex_destroy (&tickets->lock);
  g_ptr_array_unref (tickets->chunks);
  g_free (tickets);
}

static Slot *
slot_at (ZmTickets *tickets, guint index)
{
  return (Slot *) tickets->chunks->pdata[index / CHUNK] + index % CHUNK;
}

/* Under the lock. 0: all are in use. */
static guint64
slot_take (ZmTickets *tickets, guint64 kind, Slot **slot)
{
  if (tickets->used >= tickets->most || tickets->closed)
    return 0;
  if (!tickets->first_free) {
    guint base = tickets->chunks->len * CHUNK;
    g_ptr_array_add (tickets->chunks, g_new0 (Slot, CHUNK));
    for (guint i = CHUNK; i > 0; i--) {
      slot_at (tickets, base + i - 1)->next_free = tickets->first_free;
      tickets->first_free = base + i;
    }
  }
  guint index = tickets->first_free - 1;
  *slot = slot_at (tickets, index);
  tickets->first_free = (*slot)->next_free;
  tickets->used++;
  (*slot)->number = ((*slot)->number + 1) & 0x7fffffff;
  (*slot)->ticket = kind | (guint64) (*slot)->number << 32 | (index + 1);
  return (*slot)->ticket;
}

/* Under the lock. NULL: stale. */
static Slot *
slot_find (ZmTickets *tickets, guint64 ticket)
{
  guint index = (guint) (ticket & 0xffffffff);
  if (!index || index > tickets->chunks->len * CHUNK)
    return NULL;
  Slot *slot = slot_at (tickets, index - 1);
  return slot->state != SLOT_FREE && slot->ticket == ticket ? slot : NULL;
}

static void
slot_release (ZmTickets *tickets, Slot *slot)
{
  guint index = (guint) (slot->ticket & 0xffffffff);
  slot->state = SLOT_FREE;
  slot->run = NULL;
  slot->next_free = tickets->first_free;
  tickets->first_free = index;
  tickets->used--;
}

guint
zm_tickets_count (ZmPool *pool)
{
  pthread_mutex_lock (&pool->tickets->lock);
  guint used = pool->tickets->used;
  pthread_mutex_unlock (&pool->tickets->lock);
  return used;
}

/* ---- outcomes ---- */

static void
outcome_free (Outcome *outcome)
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

/* NULL: no memory for the body. */
static Outcome *
outcome_copy (const zm_outcome *from)
{
  Outcome *outcome = g_new0 (Outcome, 1);
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
outcome_apply (Outcome *outcome, ZmRun *run)
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

/* Takes the run out of its slot to end it as failed. Under the lock. */
static ZmRun *
take_failed (ZmTickets *tickets, Slot *slot, const char *code, const char *text)
{
  ZmRun *run = slot->run;
  slot_release (tickets, slot);
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

static void
deferred_timeout (ZmTimer *timer, gpointer user)
{
  ZmRun *run = user;
  ZmTickets *tickets = run->pool->tickets;
  (void) timer;
  ZmRun *mine = NULL;
  pthread_mutex_lock (&tickets->lock);
  Slot *slot = run->ticket ? slot_find (tickets, run->ticket) : NULL;
  if (slot && slot->run == run && slot->state == SLOT_DEFERRED)
    mine = take_failed (tickets, slot, "timeout", "the deferred call was not completed before its deadline");
  pthread_mutex_unlock (&tickets->lock);
  if (mine)
    zm_queue_run (mine->pool, mine);
}

zm_ticket
zm_call_service_defer (zm_call *call)
{
  ZmRun *run = (ZmRun *) ((char *) call - G_STRUCT_OFFSET (ZmRun, call));
  if (run->ticket || !run->message)
    return run->ticket;
  ZmTickets *tickets = run->pool->tickets;
  Slot *slot;
  pthread_mutex_lock (&tickets->lock);
  guint64 ticket = slot_take (tickets, 0, &slot);
  if (ticket) {
    slot->state = SLOT_RUNNING;
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
  Outcome *early = NULL;
  gboolean waits = FALSE;
  gint64 due_us = MAX (run->call.deadline_us, zm_now_us () + 1000);
  zm_run_hold (run, "deferred call");
  pthread_mutex_lock (&tickets->lock);
  Slot *slot = run->ticket ? slot_find (tickets, run->ticket) : NULL;
  if (slot && status == ZM_DEFERRED && slot->state == SLOT_RUNNING) {
    slot->state = SLOT_DEFERRED;
    waits = TRUE;
    run->timer.func = deferred_timeout;
    run->timer.user = run;
    run->timed = TRUE;
    /* Armed under the lock: whoever completes it finds the timer set. */
    zm_timers_arm (worker->pool->config.timers, &run->timer, due_us);
  } else if (slot) {
    early = g_steal_pointer (&slot->early);
    slot_release (tickets, slot);
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

int
zm_pool_complete (ZmPool *pool, ZmGeneration *generation, zm_ticket ticket, const zm_outcome *outcome)
{
  ZmTickets *tickets = pool->tickets;
  if (!good_outcome (outcome))
    return ZM_E_INVALID;
  Outcome *copy = outcome_copy (outcome);
  if (!copy)
    return ZM_E_MEMORY;
  ZmRun *over = NULL;
  int status = ZM_E_LATE;
  pthread_mutex_lock (&tickets->lock);
  Slot *slot = ticket & KIND_BIT ? NULL : slot_find (tickets, ticket);
  if (slot && slot->run->action && slot->run->action->generation != generation) {
    status = ZM_E_DENIED;
  } else if (slot && (slot->state == SLOT_RUNNING || slot->state == SLOT_DEFERRED)) {
    status = ZM_OK;
    if (slot->state == SLOT_RUNNING) {
      slot->state = SLOT_EARLY;
      slot->early = g_steal_pointer (&copy);
    } else {
      over = slot->run;
      over->ticket = 0;
      over->event = ZM_EVENT_COMPLETED;
      slot_release (tickets, slot);
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

int
zm_pool_ticket_cancelled (ZmPool *pool, zm_ticket ticket)
{
  pthread_mutex_lock (&pool->tickets->lock);
  Slot *slot = slot_find (pool->tickets, ticket);
  int cancelled = !slot || (slot->run && atomic_load (&slot->run->cancelled));
  pthread_mutex_unlock (&pool->tickets->lock);
  return cancelled;
}

/* Ends all deferred calls of a generation (NULL: of all); callers inside are ended by the messages that they wait for. */
guint
zm_tickets_cancel_all (ZmPool *pool, ZmGeneration *generation, const char *code, const char *text)
{
  ZmTickets *tickets = pool->tickets;
  guint ended = 0;
  for (;;) {
    ZmRun *run = NULL;
    pthread_mutex_lock (&tickets->lock);
    for (guint i = 0; !run && i < tickets->chunks->len * CHUNK; i++) {
      Slot *slot = slot_at (tickets, i);
      if (slot->state == SLOT_DEFERRED && (!generation || slot->run->action->generation == generation))
        run = take_failed (tickets, slot, code, text);
    }
    pthread_mutex_unlock (&tickets->lock);
    if (!run)
      return ended;
    zm_queue_run (pool, run);
    ended++;
  }
}

/* ---- callers inside the daemon ---- */

static void
call_back (ZmPool *pool, ZmGeneration *generation, zm_result_fn done, void *user, int status,
           const ZmMessage *result)
{
  /* Its action only carries the generation, for the strand. */
  static const char holder[] = "called action";
  ZmRun *run = zm_run_new (pool, NULL);
  run->event = ZM_EVENT_CALLBACK;
  run->generation = generation;
  run->holder = holder;
  run->action = zm_strand_callback_action (pool, generation);
  run->timeout_us = 30 * G_USEC_PER_SEC;
  run->done = done;
  run->done_user = user;
  run->status = status;
  if (result)
    zmq_msg_copy (&run->body, (zmq_msg_t *) &result->body_frame);
  zm_pool_inside (pool, 1);
  zm_queue_run (pool, run);
}

gboolean
zm_tickets_result (ZmPool *pool, guint64 ticket, int status, const ZmMessage *result)
{
  if (!(ticket & KIND_BIT))
    return FALSE;
  ZmTickets *tickets = pool->tickets;
  ZmGeneration *generation = NULL;
  zm_result_fn done = NULL;
  void *user = NULL;
  pthread_mutex_lock (&tickets->lock);
  Slot *slot = slot_find (tickets, ticket);
  if (slot && slot->state == SLOT_CALLER) {
    generation = slot->generation;
    done = slot->done;
    user = slot->user;
    slot_release (tickets, slot);
  }
  pthread_mutex_unlock (&tickets->lock);
  if (!done)
    zm_counter_add (pool->c_late, 1);
  else
    call_back (pool, generation, done, user, status, result);
  return TRUE;
}

static void
caller_timeout (ZmTimer *timer, gpointer user)
{
  Slot *slot = user;
  ZmPool *pool = slot->pool;
  ZmTickets *tickets = pool->tickets;
  guint64 ticket = 0;
  pthread_mutex_lock (&tickets->lock);
  /* A slot that was used again has armed the timer anew: it is not due. */
  if (slot->state == SLOT_CALLER && timer->due_us <= zm_now_us ())
    ticket = slot->ticket;
  pthread_mutex_unlock (&tickets->lock);
  if (ticket)
    zm_tickets_result (pool, ticket, ZM_E_TIMEOUT, NULL);
}

/* FALSE: its timeout was first, and tells it. */
static gboolean
forget_caller (ZmTickets *tickets, guint64 ticket)
{
  ZmGeneration *generation = NULL;
  pthread_mutex_lock (&tickets->lock);
  Slot *slot = slot_find (tickets, ticket);
  if (slot) {
    generation = slot->generation;
    slot_release (tickets, slot);
  }
  pthread_mutex_unlock (&tickets->lock);
  if (generation)
    zm_generation_unref (generation, "called action");
  return generation != NULL;
}

int
zm_pool_call_action (ZmPool *pool, ZmGeneration *generation, ZmMessage *message, int timeout_ms,
                     zm_result_fn done, void *user)
{
  ZmTickets *tickets = pool->tickets;
  gint64 timeout_us = timeout_ms > 0 ? (gint64) timeout_ms * 1000 : 30 * G_USEC_PER_SEC;
  Slot *slot;
  pthread_mutex_lock (&tickets->lock);
  guint64 ticket = slot_take (tickets, KIND_BIT, &slot);
  if (ticket) {
    slot->state = SLOT_CALLER;
    slot->generation = zm_generation_ref (generation, "called action");
    slot->done = done;
    slot->user = user;
    slot->pool = pool;
    slot->timer.func = caller_timeout;
    slot->timer.user = slot;
    zm_timers_arm (pool->config.timers, &slot->timer, zm_now_us () + timeout_us);
  }
  pthread_mutex_unlock (&tickets->lock);
  if (ticket) {
    message->reply = ticket;
    gint64 due_us = zm_now_us () + timeout_us;
    message->deadline_us = message->deadline_us ? MIN (message->deadline_us, due_us) : due_us;
    if (zm_pool_try_push (pool, &message, 1))
      return ZM_OK;
  }
  zm_message_unref (message);
  return ticket && !forget_caller (tickets, ticket) ? ZM_OK : ZM_E_AGAIN;
}

/* Their messages are over with the pool, and nobody is there to call back in. */
void
zm_tickets_end (ZmPool *pool)
{
  ZmTickets *tickets = pool->tickets;
  pthread_mutex_lock (&tickets->lock);
  tickets->closed = TRUE;
  guint n = tickets->chunks->len * CHUNK;
  pthread_mutex_unlock (&tickets->lock);
  for (guint i = 0; i < n; i++) {
    ZmGeneration *generation = NULL;
    pthread_mutex_lock (&tickets->lock);
    Slot *slot = slot_at (tickets, i);
    if (slot->state == SLOT_CALLER) {
      generation = slot->generation;
      slot_release (tickets, slot);
    }
    pthread_mutex_unlock (&tickets->lock);
    /* Without the lock: its callback takes it. */
    if (slot->timer.func)
      zm_timers_cancel (pool->config.timers, &slot->timer, TRUE);
    if (generation)
      zm_generation_unref (generation, "called action");
  }
}
