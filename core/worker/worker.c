/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A worker: a thread that takes a share of what waits, does it message by message, and hands its results over together.
 */
#include "worker/internal.h"

#include <sched.h>
#include <string.h>

/* A last batch of so many shows that there is load. */
#define YIELD_LEAST 4

/* The calls of each key that this worker counted aside. */
static void
flush_stats (ZmWorker *worker)
{
  for (guint i = 0; i < ZM_PENDING; i++) {
    ZmPending *pending = &worker->pending[i];
    if (pending->calls)
      atomic_fetch_add_explicit (&pending->stat->calls, pending->calls, memory_order_relaxed);
    pending->calls = 0;
  }
}

/* Hands over what this worker has done since the last time: results first, then figures, and last the count of what
 * has ended, so that who waits for the pool to be empty finds everything published. Publishing may wait for slow
 * subscribers, so no lock is held. */
void
zm_worker_flush (ZmWorker *worker)
{
  ZmPool *pool = worker->pool;
  if (worker->n_out) {
    guint n = worker->n_out;
    worker->n_out = 0;
    zm_given_publish (pool, worker->lane); /* they came before */
    pool->config.publish (worker->out, n, pool->config.user);
  }
  zm_hosts_flush (pool->config.hosts);
  flush_stats (worker);
  if (worker->calls) {
    zm_counter_add (pool->c_calls, worker->calls);
    worker->calls = 0;
  }
  if (worker->ended) {
    gint64 ended = worker->ended;
    worker->ended = 0;
    zm_pool_inside (pool, -ended);
  }
}

/* The lock is against the watchdog, which takes the list away from a worker that hangs. */
static ZmRun *
local_pop (ZmWorker *worker)
{
  pthread_mutex_lock (&worker->local_lock);
  ZmRun *run = worker->local_head;
  if (run) {
    worker->local_head = run->next;
    if (!worker->local_head)
      worker->local_tail = NULL;
    run->next = NULL;
    atomic_fetch_sub (&worker->n_local, 1);
  }
  pthread_mutex_unlock (&worker->local_lock);
  return run;
}

/* Runs of strands that this worker left: who waited at one is given to the worker that left it, which has the plugin
 * in its caches. */
static void
do_local (ZmWorker *worker)
{
  for (ZmRun *run; (run = local_pop (worker));)
    zm_engine_run (worker, run);
}

/* Takes a share of the lane into the batch. Under the lock. Who waits for room is woken only where there was none. */
static void
take_share (ZmWorker *worker, ZmLane *lane, guint share)
{
  ZmPool *pool = worker->pool;
  guint n = 0;
  while (n < share && lane->head)
    worker->batch[n++] = zm_lane_pop (lane);
  worker->batch_count = n;
  atomic_store (&worker->take, ZM_TAKE_NONE); /* not to be given back while do_batch looks ahead */
  gboolean was_full = pool->waiting >= pool->config.ring;
  pool->waiting -= n;
  if (was_full && n)
    pthread_cond_broadcast (&pool->room);
}

/* Calls of hosts end many at a time, and what is left of each is short: a share of them is taken along, so that their results go
 * out together. Not of a lane, whose order would be lost where they had to be given back. Under the lock. */
static void
take_ended (ZmWorker *worker, const ZmRun *first)
{
  ZmLane *shared = &worker->pool->shared;
  guint share = MIN (shared->inbox_length / worker->pool->n_workers, ZM_BATCH - 1);
  if (first->event != ZM_EVENT_HOSTED || (first->message && first->message->lane))
    return;
  while (share-- && shared->inbox_head && shared->inbox_head->event == ZM_EVENT_HOSTED)
    zm_worker_give_local (worker, zm_inbox_pop (shared));
}

/* Waits for work: a continuation (returned), or a batch. FALSE: the pool ends, or a replacement has this one's place.
 * Continuations come first, as they free what they hold; then the worker's own lane, which nobody else may take; then
 * a share of the shared ring, so small that all workers get one. */
static gboolean
take_work (ZmWorker *worker, ZmRun **run)
{
  ZmPool *pool = worker->pool;
  ZmLane *own = &pool->lanes[worker->lane];
  gboolean got = FALSE, yielded = FALSE;
  *run = NULL;
  pthread_mutex_lock (&pool->lock);
  for (;;) {
    if ((*run = zm_inbox_pop (own)) || (*run = zm_inbox_pop (&pool->shared))) {
      got = TRUE;
      take_ended (worker, *run);
      break;
    }
    if (own->head) {
      take_share (worker, own, ZM_BATCH);
      got = TRUE;
      break;
    }
    if (pool->shared.head) {
      guint share = MAX (1, pool->shared.length / pool->n_workers);
      take_share (worker, &pool->shared, MIN (share, ZM_BATCH));
      got = TRUE;
      break;
    }
    if (pool->ending || atomic_load (&worker->abandoned))
      break;
    /* Under load the others bring more meanwhile: one hand-over for many instead of a sleep and a wake-up each. With little to
     * do the processor is not given away, which would only cost the next message its latency. */
    if (!yielded && worker->batch_count >= YIELD_LEAST) {
      yielded = TRUE;
      pthread_mutex_unlock (&pool->lock);
      sched_yield ();
      pthread_mutex_lock (&pool->lock);
      continue;
    }
    /* An idle worker holds no table, so that an old one can go. */
    if (worker->view) {
      pthread_mutex_unlock (&pool->lock);
      g_clear_pointer (&worker->view, zm_view_unref);
      pthread_mutex_lock (&pool->lock);
      continue;
    }
    worker->idle = TRUE;
    pool->n_idle++;
    while (worker->idle && !pool->ending)
      pthread_cond_wait (&worker->wake, &pool->lock);
    if (worker->idle) {
      worker->idle = FALSE;
      pool->n_idle--;
    }
  }
  if (got && (pool->shared.head || pool->shared.inbox_head))
    zm_queue_wake (pool, NULL);
  pthread_mutex_unlock (&pool->lock);
  return got;
}

/* One message after the other. `take` is the place of the next one, moved by one atomic addition, so that the
 * watchdog can give the rest away while a call of this batch is slow. */
static void
do_batch (ZmWorker *worker)
{
  zm_look_ahead (worker, worker->batch, worker->batch_count);
  atomic_store (&worker->take, 0);
  for (;;) {
    guint i = atomic_fetch_add (&worker->take, 1);
    if (i >= worker->batch_count)
      break;
    zm_engine_message (worker, worker->batch[i]);
    if (atomic_load_explicit (&worker->n_local, memory_order_relaxed))
      do_local (worker);
    if (atomic_load_explicit (&worker->abandoned, memory_order_relaxed))
      break;
  }
}

/* Whose thread this is: plugins' emit comes without the call that it is made in. */
static _Thread_local ZmWorker *this_worker;

gboolean
zm_pool_authorising (ZmPool *pool)
{
  return this_worker && this_worker->pool == pool && this_worker->authorising;
}

guint
zm_pool_current_hops (ZmPool *pool)
{
  ZmWorker *worker = this_worker;

  /* run is left standing after a call: the word tells whether there is one. */
  if (worker == NULL || worker->pool != pool ||
      (atomic_load_explicit (&worker->word, memory_order_relaxed) & 3u) == ZM_PHASE_IDLE)
    return 0;
  return worker->run->hops;
}

/* The table is taken anew only between batches: what a batch began with stays loaded until its end, and a message
 * costs no reference of it. */
static void *
worker_main (void *user)
{
  ZmWorker *worker = user;
  this_worker = worker;
  zm_uuid_maker_init (&worker->ids); /* one each: making an id takes no lock */
  ZmRun *run;
  while (!atomic_load (&worker->abandoned) && take_work (worker, &run)) {
    worker->now_us = zm_now_us ();
    if (!worker->view || worker->view->serial != zm_table_slot_serial (worker->pool->config.tables))
      zm_worker_refresh (worker);
    if (run)
      zm_engine_run (worker, run);
    else
      do_batch (worker);
    do_local (worker);
    zm_worker_flush (worker);
  }
  /* A worker may be replaced just after its late call came back, in the midst of its next batch. */
  zm_worker_give_rest (worker);
  zm_worker_flush (worker);
  g_clear_pointer (&worker->view, zm_view_unref);
  while (worker->free_runs) {
    ZmRun *spare = worker->free_runs;
    worker->free_runs = spare->next;
    g_free (spare);
  }
  atomic_store (&worker->over, 1);
  return NULL;
}

/* The slot is taken and the thread begun under one lock: whoever walks the slots finds threads that run. */
ZmWorker *
zm_worker_start (ZmPool *pool, guint lane, GError **error)
{
  ZmWorker *worker = g_new0 (ZmWorker, 1);
  worker->pool = pool;
  worker->lane = lane;
  pthread_mutex_init (&worker->local_lock, NULL);
  pthread_cond_init (&worker->wake, NULL);
  pthread_mutex_lock (&pool->lock);
  guint slot = 0;
  while (slot < ZM_WORKERS_MOST && pool->workers[slot])
    slot++;
  int failed = slot == ZM_WORKERS_MOST ? EAGAIN : 0;
  worker->index = slot;
  char name[16];
  g_snprintf (name, sizeof name, "zm-worker-%u", slot);
  if (!failed)
    failed = zm_thread_create (&worker->thread, name, worker_main, worker);
  if (!failed) {
    pool->workers[slot] = worker;
    pool->n_slots = MAX (pool->n_slots, slot + 1);
  }
  pthread_mutex_unlock (&pool->lock);
  if (!failed)
    return worker;
  g_set_error (error, ZM_ERROR, ZM_ERROR_IO,
               "cannot start a worker thread: %s; is the limit of processes reached?", g_strerror (failed));
  pthread_mutex_destroy (&worker->local_lock);
  pthread_cond_destroy (&worker->wake);
  g_free (worker);
  return NULL;
}
