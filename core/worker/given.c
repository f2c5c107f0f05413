/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a worker has while its call is slow is given to others: the results of the calls before, and the unstarted rest of its
 * batch. Order is kept: the rest goes back to the queue in one piece, and no worker of a lane publishes results of its own
 * before those that were given there.
 */
#include "worker/internal.h"

/* Under the one lock by which workers also take from the queue: one that comes back in between must not find the half of its
 * rest, and newer messages of its lane behind it. */
void
zm_worker_give_rest (ZmWorker *worker)
{
  ZmPool *pool = worker->pool;
  pthread_mutex_lock (&pool->lock); /* under it a worker fills its batch, too */
  guint from = atomic_exchange (&worker->take, ZM_TAKE_NONE);
  for (guint i = from; i < worker->batch_count; i++) {
    ZmRun *run = zm_run_new (pool, NULL);
    run->event = ZM_EVENT_FRESH;
    run->message = worker->batch[i];
    zm_queue_run_locked (pool, run);
  }
  pthread_mutex_unlock (&pool->lock);
  zm_watchdog_wake (pool);
  zm_worker_release_local (worker);
}

/* Moves the worker's results to its lane. The worker stands still: it is in its call, and cannot leave it while held. */
static guint
move_results (ZmWorker *worker)
{
  ZmPool *pool = worker->pool;
  ZmLane *lane = &pool->lanes[worker->lane];
  guint n = worker->n_out;
  worker->n_out = 0;
  pthread_mutex_lock (&pool->lock);
  for (guint i = 0; i < n; i++) {
    ZmMessage *result = worker->out[i];
    result->next = NULL;
    if (lane->given_tail)
      lane->given_tail->next = result;
    else
      lane->given_head = result;
    lane->given_tail = result;
  }
  atomic_fetch_add (&lane->n_given, n);
  pthread_mutex_unlock (&pool->lock);
  return n;
}

/* The watchdog's. A call may never come back, so that its worker's results would never be published; and publishing may wait
 * for slow subscribers, which the watchdog must not. So another worker is asked to. */
void
zm_worker_give_results (ZmWorker *worker, unsigned long long word)
{
  ZmPool *pool = worker->pool;
  unsigned long long held = (word & ~3ull) | ZM_PHASE_HELD;
  guint n = 0, ended = 0;
  pthread_mutex_lock (&pool->dog_lock);
  if (atomic_compare_exchange_strong (&worker->word, &word, held)) {
    ended = worker->ended;
    worker->ended = 0;
    n = move_results (worker);
    /* Until it is published each result counts as inside, so that a drain waits for it. */
    if (n || ended)
      zm_pool_inside (pool, (gint64) n - ended);
    atomic_store (&worker->word, word);
  }
  pthread_mutex_unlock (&pool->dog_lock);
  if (!n)
    return;
  ZmRun *run = zm_run_new (pool, NULL);
  run->event = ZM_EVENT_OUT;
  run->lane = worker->lane;
  zm_queue_run (pool, run);
}

static ZmMessage *
take_given (ZmPool *pool, ZmLane *lane)
{
  pthread_mutex_lock (&pool->lock);
  ZmMessage *first = lane->given_head;
  lane->given_head = lane->given_tail = NULL;
  pthread_mutex_unlock (&pool->lock);
  return first;
}

/* Whoever comes second waits for the first, and so publishes after it. */
void
zm_given_publish (ZmPool *pool, guint index)
{
  ZmLane *lane = &pool->lanes[index];
  if (!atomic_load (&lane->n_given))
    return;
  pthread_mutex_lock (&lane->given_lock);
  for (ZmMessage *next = take_given (pool, lane); next;) {
    ZmMessage *results[ZM_OUT];
    guint n = 0;
    for (; next && n < ZM_OUT; next = next->next)
      results[n++] = next;
    for (guint i = 0; i < n; i++)
      results[i]->next = NULL;
    pool->config.publish (results, n, pool->config.user);
    atomic_fetch_sub (&lane->n_given, n);
    zm_pool_inside (pool, -(gint64) n);
  }
  pthread_mutex_unlock (&lane->given_lock);
}
