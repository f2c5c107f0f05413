/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Callers inside the daemon, who are called back: zm_call_action, and what plugins ask the store for. A slot remembers whom to call back; the message carries its ticket as any
 * message carries that of a caller outside, and its end brings the result.
 */
#include "worker/ticket-private.h"

/* Its action only carries the generation, for the strand. */
static ZmRun *
callback_run (ZmPool *pool, ZmGeneration *generation, const char *holder, void *user, int status)
{
  ZmRun *run = zm_run_new (pool, NULL);
  run->event = ZM_EVENT_CALLBACK;
  run->generation = generation;
  run->holder = holder;
  run->action = zm_strand_callback_action (pool, generation);
  run->timeout_us = 30 * G_USEC_PER_SEC;
  run->done_user = user;
  run->status = status;
  return run;
}

/* The result is brought by a call of the plugin, in a worker and through its strand, as any other: SERIAL plugins
 * need no lock in their done functions either. Takes the reference on generation. */
static void
call_back (ZmPool *pool, ZmGeneration *generation, zm_result_fn done, void *user, int status,
           const ZmMessage *result)
{
  ZmRun *run = callback_run (pool, generation, "called action", user, status);
  run->done = done;
  if (result)
    zmq_msg_copy (&run->body, (zmq_msg_t *) &result->body_frame);
  zm_pool_inside (pool, 1);
  zm_queue_run (pool, run);
}

/* The slot is emptied under the lock, so done is called once, by the result or by the timeout. */
gboolean
zm_tickets_result (ZmPool *pool, guint64 ticket, int status, const ZmMessage *result)
{
  if (!(ticket & ZM_TICKET_CALLER))
    return FALSE;
  ZmTickets *tickets = pool->tickets;
  ZmGeneration *generation = NULL;
  zm_result_fn done = NULL;
  void *user = NULL;
  pthread_mutex_lock (&tickets->lock);
  ZmSlot *slot = zm_slot_find (tickets, ticket);
  if (slot && slot->state == ZM_SLOT_CALLER) {
    generation = slot->generation;
    done = slot->done;
    user = slot->user;
    zm_slot_release (tickets, slot);
  }
  pthread_mutex_unlock (&tickets->lock);
  if (!done)
    zm_counter_add (pool->c_late, 1);
  else
    call_back (pool, generation, done, user, status, result);
  return TRUE;
}

/* In the timers' thread. The message may still be on its way; its end then finds the ticket stale. */
static void
caller_timeout (ZmTimer *timer, gpointer user)
{
  ZmSlot *slot = user;
  ZmPool *pool = slot->pool;
  ZmTickets *tickets = pool->tickets;
  guint64 ticket = 0;
  pthread_mutex_lock (&tickets->lock);
  /* A slot that was used again has armed the timer anew: it is not due. */
  if (slot->state == ZM_SLOT_CALLER && timer->due_us <= zm_now_us ())
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
  ZmSlot *slot = zm_slot_find (tickets, ticket);
  if (slot) {
    generation = slot->generation;
    zm_slot_release (tickets, slot);
  }
  pthread_mutex_unlock (&tickets->lock);
  if (generation)
    zm_generation_unref (generation, "called action");
  return generation != NULL;
}

/* The slot stands before the message goes in: its result may be there before this returns. AGAIN: the ring is full,
 * or too many wait; done is not called then. */
int
zm_pool_call_action (ZmPool *pool, ZmGeneration *generation, ZmMessage *message, int timeout_ms,
                     zm_result_fn done, void *user)
{
  ZmTickets *tickets = pool->tickets;
  gint64 timeout_us = timeout_ms > 0 ? (gint64) timeout_ms * 1000 : 30 * G_USEC_PER_SEC;
  ZmSlot *slot;
  pthread_mutex_lock (&tickets->lock);
  guint64 ticket = zm_slot_take (tickets, ZM_TICKET_CALLER, &slot);
  if (ticket) {
    slot->state = ZM_SLOT_CALLER;
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

/* What is queued before the pool ends is dropped by its end; what comes later is dropped here, as nobody would make the call,
 * and its generation would be held for ever. */
void
zm_pool_tell (ZmPool *pool, ZmGeneration *generation, const char *holder, zm_done_fn done, void *user,
              int status)
{
  if (!done) {
    zm_generation_unref (generation, holder);
    return;
  }
  ZmRun *run = callback_run (pool, generation, holder, user, status);
  run->told = done;
  pthread_mutex_lock (&pool->lock);
  gboolean ending = pool->ending;
  if (!ending) {
    zm_pool_inside (pool, 1);
    zm_queue_run_locked (pool, run);
  }
  pthread_mutex_unlock (&pool->lock);
  if (ending)
    zm_run_free (run, NULL);
  else
    zm_watchdog_wake (pool);
}

/* Their messages are over with the pool, and nobody is there to call back in. */
void
zm_tickets_end (ZmPool *pool)
{
  ZmTickets *tickets = pool->tickets;
  pthread_mutex_lock (&tickets->lock);
  tickets->closed = TRUE;
  guint n = zm_slot_count (tickets);
  pthread_mutex_unlock (&tickets->lock);
  for (guint i = 0; i < n; i++) {
    ZmGeneration *generation = NULL;
    pthread_mutex_lock (&tickets->lock);
    ZmSlot *slot = zm_slot_at (tickets, i);
    if (slot->state == ZM_SLOT_CALLER) {
      generation = slot->generation;
      zm_slot_release (tickets, slot);
    }
    pthread_mutex_unlock (&tickets->lock);
    /* Without the lock: its callback takes it. */
    if (slot->timer.func)
      zm_timers_cancel (pool->config.timers, &slot->timer, TRUE);
    if (generation)
      zm_generation_unref (generation, "called action");
  }
}
