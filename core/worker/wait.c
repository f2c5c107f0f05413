/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Waiting: instances parked at ASYNC, at a hand-over, or at a worker in another language. The keeper owns a parked run;
 * whoever takes it from there owns its continuation: an answer, the timeout, or the end.
 */
#include "worker/durable.h"

#include <string.h>

#define AGAIN_US   10000
#define LATER_MOST 10000 /* that wait for a taker at a time */

/* Where there is no worker at hand: the error is made by one, as the thread that noticed must not wait. */
static void
fail_later (ZmRun *run, const char *code, const char *text)
{
  run->event = ZM_EVENT_FAILED;
  zm_run_set_failure (run, code, text);
  zm_queue_run (run->pool, run);
}

static void
wait_timeout (ZmTimer *timer, gpointer user)
{
  ZmRun *run = user;
  ZmPool *pool = run->pool;
  /* It is armed before the run is parked, so that it is never armed on a run that somebody took already. Not there: not
   * parked yet, or taken; who took it cancels the timer before anything else. */
  if (pool->config.keeper->ops->take_this (pool->config.keeper, &run->wait))
    fail_later (run, "timeout", "no answer came in time");
  else
    zm_timers_arm (pool->config.timers, timer, zm_now_us () + AGAIN_US);
}

/* The wait's own time, or the caller's where that is nearer: nobody reads an answer that comes later. */
gint64
zm_wait_deadline (const ZmRun *run, gint64 now_us)
{
  gint64 due_us = now_us + run->pool->config.wait_timeout_us;
  gint64 caller = run->message->deadline_us;
  return caller && caller < due_us ? caller : due_us;
}

/* The run belongs to the keeper by now: it is looked up again where it has to fail. */
static void
send_abroad (ZmWorker *worker, ZmMessage *question, const char *abroad)
{
  ZmPool *pool = worker->pool;
  g_autoptr (GError) error = NULL;
  gboolean sent =
      pool->config.to_worker && pool->config.to_worker (abroad, question, &error, pool->config.user);
  ZmRun *run = NULL;
  if (!sent)
    run = zm_wait_take (pool, question->topic.flow, question->topic.id, &question->topic.key);
  zm_message_unref (question);
  if (!run)
    return;
  zm_run_set_failure (run, "unavailable", error ? error->message : "no worker in another language is set up");
  run->event = ZM_EVENT_FAILED;
  zm_engine_run (worker, run);
}

/* The timer is armed and the run parked before the question is out, so that no answer can be faster than the wait. */
void
zm_wait_park_now (ZmWorker *worker, ZmRun *run, const ZmKey *key, guint step, ZmMessage *question,
                  const char *abroad, gint64 due_us)
{
  ZmPool *pool = worker->pool;
  run->wait.flow = run->depth ? zm_run_flow_name (run) : run->message->topic.flow;
  run->wait.id = run->message->topic.id;
  run->wait.key = *key;
  run->wait.key.decorator = zm_span (NULL, 0);
  run->wait.step = step;
  run->wait.branch = run->branch;
  run->event = ZM_EVENT_CAME;
  run->timer.func = wait_timeout;
  run->timer.user = run;
  run->timed = TRUE;
  zm_timers_arm (pool->config.timers, &run->timer, due_us ? due_us : zm_wait_deadline (run, zm_now_us ()));
  if (zm_traced (pool))
    zm_trace (run, "waits", key, NULL);
  g_autoptr (GError) error = NULL;
  if (abroad)
    zm_abroad_goes (run);
  if (!pool->config.keeper->ops->park (pool->config.keeper, &run->wait, &error)) {
    if (question)
      zm_message_unref (question);
    zm_run_set_failure (run, g_error_matches (error, ZM_ERROR, ZM_ERROR_EXISTS) ? "duplicate" : "busy",
                        error->message);
    run->event = ZM_EVENT_FAILED;
    zm_engine_run (worker, run);
    return;
  }
  /* From here on the run is somebody else's. */
  zm_counter_add (pool->c_waits, 1);
  if (!question)
    return;
  if (abroad) {
    send_abroad (worker, question, abroad);
    return;
  }
  zm_out (worker, question);
}

void
zm_wait_park (ZmWorker *worker, ZmRun *run, const ZmKey *key, guint step, ZmMessage *question,
              const char *abroad)
{
  if (zm_is_durable (run))
    zm_durable_hold (worker, run, key, step, question, abroad);
  else
    zm_wait_park_now (worker, run, key, step, question, abroad, 0);
}

/* Keys are compared without their decorator: @ASYNC marks the step, the answer comes without it. */
ZmRun *
zm_wait_take (ZmPool *pool, ZmSpan flow, ZmSpan id, const ZmKey *key)
{
  ZmKey plain = *key;
  plain.decorator = zm_span (NULL, 0);
  return (ZmRun *) pool->config.keeper->ops->take (pool->config.keeper, flow, id, &plain);
}

/* ---- later: runs that try their step again, all with one timer ---- */

/* Each tries its step again, and comes back here if there is still nobody. Returns how many there were. */
guint
zm_wait_release_later (ZmPool *pool)
{
  guint released = 0;
  pthread_mutex_lock (&pool->later_lock);
  ZmRun *run = pool->later_head;
  pool->later_head = pool->later_tail = NULL;
  pool->n_later = 0;
  pthread_mutex_unlock (&pool->later_lock);
  for (; run; released++) {
    ZmRun *next = run->next;
    zm_queue_run (pool, run);
    run = next;
  }
  return released;
}

void
zm_wait_later_over (ZmTimer *timer, gpointer user)
{
  (void) timer;
  zm_wait_release_later (user);
}

/* One timer for all of them: it is armed by the first. FALSE: too many wait already. */
static gboolean
try_later (ZmRun *run)
{
  ZmPool *pool = run->pool;
  pthread_mutex_lock (&pool->later_lock);
  gboolean room = pool->n_later < LATER_MOST;
  if (room) {
    run->event = ZM_EVENT_STEP;
    run->hops--; /* trying again is no further step */
    run->next = NULL;
    if (pool->later_tail)
      pool->later_tail->next = run;
    else
      pool->later_head = run;
    pool->later_tail = run;
    if (pool->n_later++ == 0)
      zm_timers_arm (pool->config.timers, &pool->later_timer, zm_now_us () + AGAIN_US);
  }
  pthread_mutex_unlock (&pool->later_lock);
  return room;
}

/* A question that nobody hears would only end at its timeout; so it fails at once, or after the time that a service
 * may take to come. FALSE: the run is no longer the caller's. */
gboolean
zm_wait_taker (ZmWorker *worker, ZmRun *run, const ZmKey *key)
{
  ZmPool *pool = worker->pool;
  if (!pool->config.has_subscriber)
    return TRUE;
  ZmMessage *question = zm_step_message (run, key);
  gint64 until_us = zm_now_us () + pool->config.wait_for_taker_us;
  gboolean there = pool->config.has_subscriber (zm_message_topic (question), pool->config.user);
  zm_message_unref (question);
  if (there) {
    run->retry_until_us = 0;
    return TRUE;
  }
  if (zm_is_durable (run) && zm_durable_left (worker, run))
    return FALSE;
  if (!run->retry_until_us)
    run->retry_until_us = until_us;
  if (pool->config.wait_for_taker_us && zm_now_us () < run->retry_until_us && try_later (run))
    return FALSE;
  run->retry_until_us = 0; /* the flow may go on, to a step that waits anew */
  g_autofree char *text = zm_key_text (key);
  zm_run_set_failuref (run, "no-taker", "nobody subscribes to the step %s", text);
  zm_engine_fail (worker, run);
  return FALSE;
}

/* One by one: each that is taken out is this thread's alone. */
guint
zm_wait_end_all (ZmPool *pool, const char *code, const char *text)
{
  guint ended = 0;
  for (ZmWait *wait; (wait = pool->config.keeper->ops->take_any (pool->config.keeper)); ended++)
    fail_later ((ZmRun *) wait, code, text);
  return ended;
}
