/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How the pool ends: the drain, in which all that can end does; then the threads; then what nobody will do any more, each
 * message of which gets the error `shutdown`.
 */
#include "worker/internal.h"

/* When stopping: for calls that have not come back by the end of the drain. */
#define LAST_CHANCE_US (2 * G_USEC_PER_SEC)

/* Nothing inside can move by itself: all of it is parked, or waits for branches that are. Deferred calls move: a plugin
 * completes them. */
static gboolean
all_parked (ZmPool *pool)
{
  gint64 parked = (gint64) pool->config.keeper->ops->count (pool->config.keeper);
  gint64 all = atomic_load (&pool->inside) + atomic_load (&pool->branches);
  return all <= parked + atomic_load (&pool->joins);
}

/* Waits until all is over or parked, at most until the deadline. The end of the last one is signalled; that the rest
 * became parked is not, so it looks again each 20 ms. */
static void
wait_quiet (ZmPool *pool, gint64 deadline_us)
{
  pthread_mutex_lock (&pool->inside_lock);
  while (atomic_load (&pool->inside) > 0) {
    gint64 until = MIN (deadline_us, zm_now_us () + 20000);
    zm_cond_wait_until (&pool->inside_cond, &pool->inside_lock, until);
    if (zm_now_us () >= deadline_us || all_parked (pool))
      break;
  }
  pthread_mutex_unlock (&pool->inside_lock);
}

/* What can end by itself has the time; then what waits for others is ended, and has a second at least in which its
 * errors, and the flows that go on from them, come out. */
guint
zm_pool_drain (ZmPool *pool, gint64 deadline_us)
{
  pthread_mutex_lock (&pool->lock);
  pool->closed = TRUE;
  pthread_cond_broadcast (&pool->room);
  pthread_mutex_unlock (&pool->lock);
  wait_quiet (pool, deadline_us);
  const char *text = "the daemon is shutting down and the answer has not come";
  guint ended = zm_wait_end_all (pool, "shutdown", text);
  ended += zm_tickets_cancel_all (pool, NULL, "shutdown", text);
  ended += zm_hosts_cancel_all (pool->config.hosts, NULL, "shutdown", text);
  wait_quiet (pool, MAX (deadline_us, zm_now_us () + G_USEC_PER_SEC));
  return ended;
}

/* What is left of a worker whose thread cannot be ended: its results and its batch go to others, its message gets its
 * error, and its memory stays, as the call may come back at any time. */
static void
leave_behind (ZmPool *pool, ZmWorker *worker)
{
  unsigned long long word = atomic_load (&worker->word);
  /* The call may have begun after the watchdog, which would have seen to these, had ended. */
  if ((word & 3) == ZM_PHASE_CALL)
    zm_worker_give_results (worker, word);
  zm_worker_give_rest (worker);
  if ((word & 3) == ZM_PHASE_CALL)
    zm_watchdog_claim (pool, worker, word);
  pool->hung = TRUE;
}

/* Joins it, or leaves it behind. Not only a replaced worker's call may hang: one over [workers] replacements, or
 * within a deadline that is longer than the drain. */
static void
end_worker (ZmPool *pool, ZmWorker *worker, const struct timespec *until)
{
  if (pthread_timedjoin_np (worker->thread, NULL, until) != 0) {
    leave_behind (pool, worker);
    return;
  }
  pool->workers[worker->index] = NULL;
  pthread_mutex_destroy (&worker->local_lock);
  pthread_cond_destroy (&worker->wake);
  g_free (worker);
}

/* The end of a run that nobody will do any more, by what it stands for: results that were given are published, a
 * branch ends its join with an error, a message gets its error, a callback or timer is counted. */
static void
drop_run (ZmPool *pool, ZmRun *run)
{
  static const char text[] = "the daemon is shutting down";
  if (run->event == ZM_EVENT_OUT) {
    zm_given_publish (pool, run->lane);
    zm_run_free (run, NULL);
    return;
  }
  if (run->strand)
    zm_strand_give_up (g_steal_pointer (&run->strand));
  zm_run_cancel_timer (run);
  if (run->event == ZM_EVENT_HOSTED)
    zm_hosted_drop (run);
  if (run->join) {
    zm_run_set_failure (run, "shutdown", text);
    zm_join_branch_ended (NULL, run, TRUE);
    return;
  }
  if (run->message)
    zm_end_refused (pool, zm_message_ref (run->message), "shutdown", text);
  else
    zm_counter_add (pool->c_dropped, 1);
  if (run->plugin_timer)
    zm_plugin_timer_ended (run);
  zm_run_free (run, NULL);
  zm_pool_inside (pool, -1);
}

/* The next of a lane: a message, or a run. FALSE: it is empty. With the lock, as a thread that was left behind may come
 * back at any time. */
static gboolean
take_rest (ZmPool *pool, ZmLane *lane, ZmMessage **message, ZmRun **run)
{
  pthread_mutex_lock (&pool->lock);
  *message = lane->head ? zm_lane_pop (lane) : NULL;
  *run = *message ? NULL : zm_inbox_pop (lane);
  pthread_mutex_unlock (&pool->lock);
  return *message || *run;
}

/* What nobody will do any more is counted and said, never lost silently. What is dropped may bring more: the join that it
 * was a branch of, those who waited behind it. */
void
zm_pool_drop_rest (ZmPool *pool)
{
  ZmMessage *message;
  ZmRun *run;
  gboolean again;
  do {
    again = FALSE;
    for (guint i = 0; i <= pool->n_workers; i++) {
      ZmLane *lane = i < pool->n_workers ? &pool->lanes[i] : &pool->shared;
      for (; take_rest (pool, lane, &message, &run); again = TRUE) {
        if (run) {
          drop_run (pool, run);
          continue;
        }
        zm_end_refused (pool, message, "shutdown", "the daemon is shutting down");
        zm_pool_inside (pool, -1);
      }
    }
  } while (again);
}

/* Timers whose callbacks come to this pool are over before it is. */
static void
end_waits (ZmPool *pool)
{
  static const char text[] = "the daemon is shutting down and the answer has not come";
  zm_timers_cancel (pool->config.timers, &pool->later_timer, TRUE);
  zm_abroad_end (pool->abroad);
  zm_wait_release_later (pool);
  zm_wait_end_all (pool, "shutdown", text);
  zm_tickets_cancel_all (pool, NULL, "shutdown", text);
  zm_hosts_cancel_all (pool->config.hosts, NULL, "shutdown", text);
  zm_tickets_end (pool);
}

/* The watchdog goes first, so that no worker is replaced any more; then the timers, which would bring work; then the
 * threads, each after the message that it does; and with nobody left to do anything, what is still there is dropped. */
gboolean
zm_pool_stop (ZmPool *pool)
{
  if (pool->stopped)
    return !pool->hung;
  pool->stopped = TRUE;
  zm_watchdog_stop (pool);
  zm_plugin_timers_stop (pool, NULL);
  pthread_mutex_lock (&pool->lock);
  pool->closed = pool->ending = TRUE;
  pthread_cond_broadcast (&pool->room);
  for (guint i = 0; i < pool->n_slots; i++)
    if (pool->workers[i]) {
      atomic_store (&pool->workers[i]->abandoned, 1); /* after the message that it does */
      pthread_cond_signal (&pool->workers[i]->wake);
    }
  pthread_mutex_unlock (&pool->lock);
  gint64 until_us = zm_wall_us () + LAST_CHANCE_US;
  struct timespec until = { until_us / G_USEC_PER_SEC, (until_us % G_USEC_PER_SEC) * 1000 };
  for (guint i = 0; i < pool->n_slots; i++)
    if (pool->workers[i])
      end_worker (pool, pool->workers[i], &until);
  end_waits (pool);
  zm_pool_drop_rest (pool);
  g_clear_pointer (&pool->view, zm_view_unref);
  return !pool->hung;
}
