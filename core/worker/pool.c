/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The pool: its queue, its threads, drain and end. */
#include "worker/internal.h"

#include <sched.h>
#include <string.h>
#include <unistd.h>

/* A last batch of so many shows that there is load. */
#define YIELD_LEAST 4
/* The next one of a batch that has no next one. */
#define TAKE_NONE (1u << 30)
/* When stopping: for calls that have not come back by the end of the drain. */
#define LAST_CHANCE_US (2 * G_USEC_PER_SEC)

/* ---- lists ---- */

static void
lane_append (ZmLane *lane, ZmMessage *message)
{
  message->next = NULL;
  if (lane->tail)
    lane->tail->next = message;
  else
    lane->head = message;
  lane->tail = message;
  lane->length++;
}

static ZmMessage *
lane_pop (ZmLane *lane)
{
  ZmMessage *message = lane->head;
  lane->head = message->next;
  if (!lane->head)
    lane->tail = NULL;
  lane->length--;
  message->next = NULL;
  return message;
}

static ZmRun *
inbox_pop (ZmLane *lane)
{
  ZmRun *run = lane->inbox_head;
  if (!run)
    return NULL;
  lane->inbox_head = run->next;
  if (!lane->inbox_head)
    lane->inbox_tail = NULL;
  lane->inbox_length--;
  run->next = NULL;
  return run;
}

/* ---- waking ---- */

/* Wakes one idle worker of the lane; NULL lane: any. Under the lock. */
static void
wake_one (ZmPool *pool, ZmLane *lane)
{
  if (!pool->n_idle)
    return;
  for (guint i = 0; i < pool->n_slots; i++) {
    ZmWorker *worker = pool->workers[i];
    if (!worker || !worker->idle || (lane && &pool->lanes[worker->lane] != lane))
      continue;
    worker->idle = FALSE;
    pool->n_idle--;
    pthread_cond_signal (&worker->wake);
    return;
  }
}

/* ---- order ---- */

static guint64
order_hash (const ZmMessage *message, ZmOrdering ordering)
{
  g_autofree char *given = message->has_headers ? zm_message_header (message, "ordering-key") : NULL;
  if (given)
    return zm_span_hash (zm_span_text (given));
  return zm_span_hash (ordering == ZM_ORDERING_CONTEXT ? message->topic.key.context : message->topic.slug);
}

/* The lane of a message: the shared one unless an order is asked for. */
static ZmLane *
lane_of (ZmPool *pool, ZmView *view, const ZmMessage *message)
{
  ZmOrdering ordering = pool->config.ordering;
  if (view && view->ordered) {
    ZmLookup lookup;
    zm_table_lookup (view->table, &message->topic, &lookup);
    if (lookup.route && lookup.route->mapping->ordering >= 0)
      ordering = lookup.route->mapping->ordering;
  }
  if (ordering == ZM_ORDERING_NONE)
    return &pool->shared;
  return &pool->lanes[order_hash (message, ordering) % pool->n_workers];
}

/* ---- giving ---- */

static ZmView *
view_for_order (ZmPool *pool)
{
  ZmView *view = zm_pool_view (pool);
  if (view && !view->ordered)
    g_clear_pointer (&view, zm_view_unref);
  return view;
}

static void
append_all (ZmPool *pool, ZmView *view, ZmMessage **messages, guint n)
{
  for (guint i = 0; i < n; i++) {
    ZmLane *lane = lane_of (pool, view, messages[i]);
    messages[i]->lane = lane == &pool->shared ? 0 : (guint8) (lane - pool->lanes + 1);
    lane_append (lane, messages[i]);
    if (lane != &pool->shared)
      wake_one (pool, lane);
  }
  pool->waiting += n;
  if (pool->shared.length)
    wake_one (pool, NULL);
}

static void
drop_all (ZmPool *pool, ZmMessage **messages, guint n)
{
  for (guint i = 0; i < n; i++)
    zm_end_refused (pool, messages[i], "shutdown", "the daemon is shutting down");
}

gboolean
zm_pool_push (ZmPool *pool, ZmMessage **messages, guint n)
{
  ZmView *view = view_for_order (pool);
  guint given = 0;
  pthread_mutex_lock (&pool->lock);
  while (given < n && !pool->closed) {
    guint room = pool->config.ring > pool->waiting ? pool->config.ring - pool->waiting : 0;
    if (!room) {
      pthread_cond_wait (&pool->room, &pool->lock);
      continue;
    }
    room = MIN (room, n - given);
    zm_pool_inside (pool, room);
    append_all (pool, view, messages + given, room);
    given += room;
  }
  pthread_mutex_unlock (&pool->lock);
  zm_watchdog_wake (pool);
  if (view)
    zm_view_unref (view);
  drop_all (pool, messages + given, n - given);
  return given == n;
}

guint
zm_pool_try_push (ZmPool *pool, ZmMessage **messages, guint n)
{
  ZmView *view = view_for_order (pool);
  pthread_mutex_lock (&pool->lock);
  guint room = pool->config.ring > pool->waiting ? pool->config.ring - pool->waiting : 0;
  guint given = pool->closed ? 0 : MIN (room, n);
  if (given) {
    zm_pool_inside (pool, given);
    append_all (pool, view, messages, given);
  }
  pthread_mutex_unlock (&pool->lock);
  if (given)
    zm_watchdog_wake (pool);
  if (view)
    zm_view_unref (view);
  return given;
}

/* A continuation, and what a slow call left, keeps the order of its message: it goes to the lane that the message came by. */
void
zm_queue_run (ZmPool *pool, ZmRun *run)
{
  ZmLane *lane = &pool->shared;
  if (run->message && run->message->lane)
    lane = &pool->lanes[run->message->lane - 1];
  run->next = NULL;
  pthread_mutex_lock (&pool->lock);
  if (lane->inbox_tail)
    lane->inbox_tail->next = run;
  else
    lane->inbox_head = run;
  lane->inbox_tail = run;
  lane->inbox_length++;
  wake_one (pool, lane == &pool->shared ? NULL : lane);
  pthread_mutex_unlock (&pool->lock);
  zm_watchdog_wake (pool);
}

ZmRun *
zm_queue_try_run (ZmWorker *worker)
{
  ZmPool *pool = worker->pool;
  pthread_mutex_lock (&pool->lock);
  ZmRun *run = inbox_pop (&pool->lanes[worker->lane]);
  if (!run)
    run = inbox_pop (&pool->shared);
  pthread_mutex_unlock (&pool->lock);
  return run;
}

/* ---- what is inside ---- */

void
zm_pool_inside (ZmPool *pool, gint64 change)
{
  gint64 now = atomic_fetch_add (&pool->inside, change) + change;
  if (now == 0 && change < 0) {
    pthread_mutex_lock (&pool->inside_lock);
    pthread_cond_broadcast (&pool->inside_cond);
    pthread_mutex_unlock (&pool->inside_lock);
  }
}

/* ---- a worker's thread ---- */

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

void
zm_worker_flush (ZmWorker *worker)
{
  ZmPool *pool = worker->pool;
  if (worker->n_out) {
    guint n = worker->n_out;
    worker->n_out = 0;
    pool->config.publish (worker->out, n, pool->config.user);
  }
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

static void
do_local (ZmWorker *worker)
{
  for (ZmRun *run; (run = local_pop (worker));)
    zm_engine_run (worker, run);
}

/* Takes a share of the lane into the batch. Under the lock. */
static void
take_share (ZmWorker *worker, ZmLane *lane, guint share)
{
  ZmPool *pool = worker->pool;
  guint n = 0;
  while (n < share && lane->head)
    worker->batch[n++] = lane_pop (lane);
  worker->batch_count = n;
  atomic_store (&worker->take, TAKE_NONE); /* not to be given back while do_batch looks ahead */
  gboolean was_full = pool->waiting >= pool->config.ring;
  pool->waiting -= n;
  if (was_full && n)
    pthread_cond_broadcast (&pool->room);
}

/* Waits for work: a continuation (returned), or a batch. FALSE: the pool ends. */
static gboolean
take_work (ZmWorker *worker, ZmRun **run)
{
  ZmPool *pool = worker->pool;
  ZmLane *own = &pool->lanes[worker->lane];
  gboolean got = FALSE, yielded = FALSE;
  *run = NULL;
  pthread_mutex_lock (&pool->lock);
  for (;;) {
    if ((*run = inbox_pop (own)) || (*run = inbox_pop (&pool->shared))) {
      got = TRUE;
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
    wake_one (pool, NULL);
  pthread_mutex_unlock (&pool->lock);
  return got;
}

/* The unstarted messages of a batch go back to the queue, in order. */
void
zm_worker_give_rest (ZmWorker *worker)
{
  ZmPool *pool = worker->pool;
  ZmMessage *rest[ZM_BATCH];
  guint n = 0;
  pthread_mutex_lock (&pool->lock); /* under it a worker fills its batch */
  guint from = atomic_exchange (&worker->take, TAKE_NONE);
  for (guint i = from; i < worker->batch_count; i++)
    rest[n++] = worker->batch[i];
  pthread_mutex_unlock (&pool->lock);
  for (guint i = 0; i < n; i++) {
    ZmRun *run = zm_run_new (pool, NULL);
    run->event = ZM_EVENT_FRESH;
    run->message = rest[i];
    zm_queue_run (pool, run);
  }
  zm_worker_release_local (worker);
}

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

static void *
worker_main (void *user)
{
  ZmWorker *worker = user;
  this_worker = worker;
  zm_uuid_maker_init (&worker->ids);
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

/* ---- begin and end ---- */

static void
make_counters (ZmPool *pool)
{
  ZmMetrics *m = pool->config.metrics;
  const char *ends = "Messages that ended, by how";
  pool->c_results = zm_metrics_counter (m, "zmanager_worker_ended_total", ends, "end", "result");
  pool->c_errors = zm_metrics_counter (m, "zmanager_worker_ended_total", ends, "end", "error");
  pool->c_silent = zm_metrics_counter (m, "zmanager_worker_ended_total", ends, "end", "silent");
  pool->c_dropped = zm_metrics_counter (m, "zmanager_worker_ended_total", ends, "end", "dropped");
  pool->c_calls = zm_metrics_counter (m, "zmanager_worker_calls_total", "Calls of actions", NULL, NULL);
  pool->c_denied =
      zm_metrics_counter (m, "zmanager_worker_denied_total",
                          "Result and next keys of plugins that belong to the runtime", NULL, NULL);
  pool->c_late =
      zm_metrics_counter (m, "zmanager_worker_late_total", "Completions that came too late", NULL, NULL);
  pool->c_deferred =
      zm_metrics_counter (m, "zmanager_worker_deferred_total", "Calls that were deferred", NULL, NULL);
  pool->c_replaced =
      zm_metrics_counter (m, "zmanager_worker_replaced_total", "Hung workers replaced", NULL, NULL);
  pool->c_abandoned = zm_metrics_counter (m, "zmanager_worker_abandoned_total",
                                          "Strands abandoned with a hung call", NULL, NULL);
  pool->c_stalls =
      zm_metrics_counter (m, "zmanager_worker_strand_full_total", "Calls that met a full strand", NULL, NULL);
  pool->c_overrun = zm_metrics_counter (m, "zmanager_worker_timer_overrun_total",
                                        "Timers that fired while their last call still ran", NULL, NULL);
  pool->c_waits = zm_metrics_counter (m, "zmanager_worker_waits_total", "Flow instances parked", NULL, NULL);
}

static void
set_defaults (ZmPoolConfig *config)
{
  if (!config->workers)
    config->workers = MAX (1, g_get_num_processors ());
  config->workers = MIN (config->workers, ZM_WORKERS_MOST / 4);
  if (!config->ring)
    config->ring = 10000;
  if (!config->deferred_most)
    config->deferred_most = 65536;
  if (!config->hard_after_us)
    config->hard_after_us = 5 * G_USEC_PER_SEC;
  if (!config->wait_timeout_us)
    config->wait_timeout_us = 60 * G_USEC_PER_SEC;
  if (!config->replacements_most)
    config->replacements_most = 16;
}

ZmPool *
zm_pool_new (const ZmPoolConfig *config, GError **error)
{
  ZmPool *pool = g_new0 (ZmPool, 1);
  pool->config = *config;
  set_defaults (&pool->config);
  pool->n_workers = pool->config.workers;
  pool->started_us = zm_now_us ();
  pool->lanes = g_new0 (ZmLane, pool->n_workers);
  pthread_mutex_init (&pool->lock, NULL);
  pthread_cond_init (&pool->room, NULL);
  pthread_mutex_init (&pool->view_lock, NULL);
  pool->stats = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  pthread_mutex_init (&pool->inside_lock, NULL);
  zm_cond_init_monotonic (&pool->inside_cond);
  zm_cond_init_monotonic (&pool->dog_cond);
  pthread_mutex_init (&pool->dog_lock, NULL);
  pthread_mutex_init (&pool->trace_lock, NULL);
  pthread_mutex_init (&pool->timers_lock, NULL);
  pthread_mutex_init (&pool->later_lock, NULL);
  pool->later_timer.func = zm_wait_later_over;
  pool->later_timer.user = pool;
  pool->plugin_timers = g_hash_table_new (g_int64_hash, g_int64_equal);
  pool->tickets = zm_tickets_new (pool->config.deferred_most);
  pool->abroad = zm_abroad_new (pool);
  make_counters (pool);
  gboolean good = zm_watchdog_start (pool, error);
  for (guint i = 0; good && i < pool->n_workers; i++)
    good = zm_worker_start (pool, i, error) != NULL;
  if (good)
    return pool;
  zm_pool_free (pool);
  return NULL;
}

/* Waits until nothing that can move is inside; parked and deferred ones do not count. */
static void
wait_quiet (ZmPool *pool, gint64 deadline_us)
{
  pthread_mutex_lock (&pool->inside_lock);
  while (atomic_load (&pool->inside) > 0) {
    gint64 until = MIN (deadline_us, zm_now_us () + 20000);
    struct timespec at = { until / G_USEC_PER_SEC, (until % G_USEC_PER_SEC) * 1000 };
    pthread_cond_timedwait (&pool->inside_cond, &pool->inside_lock, &at);
    gint64 still = (gint64) pool->config.keeper->ops->count (pool->config.keeper);
    if (zm_now_us () >= deadline_us || atomic_load (&pool->inside) <= still)
      break;
  }
  pthread_mutex_unlock (&pool->inside_lock);
}

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
  wait_quiet (pool, MAX (deadline_us, zm_now_us () + G_USEC_PER_SEC));
  return ended;
}

/* What is left of it, where its thread cannot be ended. */
static void
leave_behind (ZmPool *pool, ZmWorker *worker)
{
  unsigned long long word = atomic_load (&worker->word);
  zm_worker_give_rest (worker);
  if ((word & 3) == ZM_PHASE_CALL)
    zm_watchdog_claim (pool, worker, word);
  pool->hung = TRUE;
}

/* Not only a replaced worker's call may hang: one over [workers] replacements, or within a deadline that is longer than the
 * drain. */
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

/* A result whose message has ended already. */
static void
publish_late (ZmPool *pool, ZmMessage *result)
{
  pool->config.publish (&result, 1, pool->config.user);
}

static void
drop_run (ZmPool *pool, ZmRun *run)
{
  static const char text[] = "the daemon is shutting down";
  if (run->event == ZM_EVENT_OUT) {
    publish_late (pool, g_steal_pointer (&run->message));
    zm_run_free (run, NULL);
    zm_pool_inside (pool, -1);
    return;
  }
  if (run->strand)
    zm_strand_give_up (g_steal_pointer (&run->strand));
  zm_run_cancel_timer (run);
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

/* What nobody will do any more is counted and said, never lost silently. What is dropped may bring more: the join that it
 * was a branch of, those who waited behind it. */
void
zm_pool_drop_rest (ZmPool *pool)
{
  gboolean again;
  do {
    again = FALSE;
    for (guint i = 0; i <= pool->n_workers; i++) {
      ZmLane *lane = i < pool->n_workers ? &pool->lanes[i] : &pool->shared;
      for (; lane->head; again = TRUE) {
        zm_end_refused (pool, lane_pop (lane), "shutdown", "the daemon is shutting down");
        zm_pool_inside (pool, -1);
      }
      for (ZmRun *run; (run = inbox_pop (lane)); again = TRUE)
        drop_run (pool, run);
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
  zm_tickets_end (pool);
}

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

void
zm_pool_free (ZmPool *pool)
{
  if (!pool)
    return;
  zm_pool_stop (pool);
  if (pool->hung) {
    /* A running thread cannot be ended: it keeps what it may still touch until the process ends. */
    zm_log_write (pool->config.log, ZM_LEVEL_WARNING, "worker", "a hung worker is left behind at the end");
    return;
  }
  zm_tickets_free (pool->tickets);
  zm_abroad_free (pool->abroad);
  g_hash_table_unref (pool->plugin_timers);
  g_hash_table_unref (pool->stats);
  g_free (pool->trace_id);
  g_free (pool->lanes);
  pthread_mutex_destroy (&pool->lock);
  pthread_cond_destroy (&pool->room);
  pthread_mutex_destroy (&pool->view_lock);
  pthread_mutex_destroy (&pool->inside_lock);
  pthread_cond_destroy (&pool->inside_cond);
  pthread_mutex_destroy (&pool->dog_lock);
  pthread_cond_destroy (&pool->dog_cond);
  pthread_mutex_destroy (&pool->trace_lock);
  pthread_mutex_destroy (&pool->timers_lock);
  pthread_mutex_destroy (&pool->later_lock);
  g_free (pool);
}
