/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The pool: how it begins, what it counts, and how its memory goes. */
#include "worker/internal.h"

/* ---- what is inside ---- */

/* Counted once a batch where messages come in and where a worker hands over. The lock is only taken for the last one:
 * who waits checks the count under it, and so misses no signal. */
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

/* ---- begin and end ---- */

/* All at the start: on the way of a message nothing is looked up by name. */
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
  pool->c_unauthorised = zm_metrics_counter (m, "zmanager_authorise_denied_total",
                                             "Messages that a plugin which authorises refused", NULL, NULL);
  pool->c_abandoned = zm_metrics_counter (m, "zmanager_worker_abandoned_total",
                                          "Strands abandoned with a hung call", NULL, NULL);
  pool->c_stalls =
      zm_metrics_counter (m, "zmanager_worker_strand_full_total", "Calls that met a full strand", NULL, NULL);
  pool->c_overrun = zm_metrics_counter (m, "zmanager_worker_timer_overrun_total",
                                        "Timers that fired while their last call still ran", NULL, NULL);
  pool->c_waits = zm_metrics_counter (m, "zmanager_worker_waits_total", "Flow instances parked", NULL, NULL);
}

/* 0 is `as usual`, for tests and for keys that are not set. */
static void
set_defaults (ZmPoolConfig *config)
{
  if (!config->workers)
    config->workers = MAX (1, g_get_num_processors ());
  config->workers = MIN (config->workers, ZM_POOL_WORKERS_MOST);
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

/* The watchdog is started before the workers, so that their first call is watched. */
ZmPool *
zm_pool_new (const ZmPoolConfig *config, GError **error)
{
  ZmPool *pool = g_new0 (ZmPool, 1);
  pool->config = *config;
  set_defaults (&pool->config);
  pool->n_workers = pool->config.workers;
  pool->started_us = zm_now_us ();
  pool->lanes = g_new0 (ZmLane, pool->n_workers);
  for (guint i = 0; i < pool->n_workers; i++)
    pthread_mutex_init (&pool->lanes[i].given_lock, NULL);
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
  pthread_mutex_init (&pool->defined_lock, NULL);
  pool->defined = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
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

/* Stops it first if nobody did. The keeper, the timers, the log and the metrics are the caller's and outlive it. */
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
  for (guint i = 0; i < pool->n_workers; i++)
    pthread_mutex_destroy (&pool->lanes[i].given_lock);
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
  pthread_mutex_destroy (&pool->defined_lock);
  g_hash_table_unref (pool->defined);
  g_free (pool);
}
