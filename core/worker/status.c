/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the pool tells of itself: status, figures by key, running calls, waiting instances, traces; and retirement. */
#include "worker/internal.h"

#include <string.h>

/* ---- generations ---- */

void
zm_pool_succeed (ZmPool *pool, ZmGeneration *old, ZmGeneration *next, gint64 drain_us)
{
  gint64 until_us = zm_now_us () + drain_us;
  zm_strand_succeed (zm_strand_of (pool, old), zm_strand_of (pool, next), next, until_us);
  if (pool->config.hosts)
    zm_hosts_succeed (pool->config.hosts, old, next, until_us);
}

/* The door `idle` of room hosts. */
void
zm_pool_hosted_idle (ZmPool *pool, ZmGeneration *generation)
{
  zm_strand_close (zm_strand_of (pool, generation));
}

void
zm_pool_stuck (ZmPool *pool, ZmGeneration *generation)
{
  zm_strand_stuck (zm_strand_of (pool, generation));
  /* What completes them may be the very call that hangs, or a result that can no longer be told to it. */
  zm_tickets_cancel_all (pool, generation, "stuck", "the plugin hung too often and takes no more calls");
}

void
zm_pool_retire (ZmPool *pool, ZmGeneration *generation)
{
  /* The old table goes as soon as no worker is in it. */
  ZmView *view = pool->stopped ? NULL : zm_pool_view (pool);
  if (view)
    zm_view_unref (view);
  zm_plugin_timers_stop (pool, generation);
  /* While a call of it runs in a host the next generation waits, as behind a busy strand. */
  if (!pool->config.hosts || !zm_hosts_retire (pool->config.hosts, generation) || pool->stopped)
    zm_strand_close (zm_strand_of (pool, generation));
  /* With nobody there to call it any more, who waits for it waits in vain. */
  if (pool->stopped) {
    zm_strand_give_up (zm_strand_of (pool, generation));
    zm_pool_drop_rest (pool);
  }
}

/* ---- JSON ---- */

static void
member_int (GString *json, const char *name, gint64 value)
{
  g_string_append_printf (json, "%s\"%s\":%" G_GINT64_FORMAT, json->str[json->len - 1] == '{' ? "" : ",",
                          name, value);
}

static void
member_text (GString *json, const char *name, ZmSpan value)
{
  g_string_append_printf (json, "%s\"%s\":", json->str[json->len - 1] == '{' ? "" : ",", name);
  zm_json_append_string (json, value);
}

static void
begin_item (GString *json)
{
  g_string_append (json, json->str[json->len - 1] == '[' ? "{" : ",{");
}

char *
zm_pool_status_json (ZmPool *pool)
{
  GString *json = g_string_new ("{");
  pthread_mutex_lock (&pool->lock);
  guint waiting = pool->waiting, idle = pool->n_idle;
  gboolean closed = pool->closed;
  pthread_mutex_unlock (&pool->lock);
  member_int (json, "threads", pool->n_workers);
  member_int (json, "idle", idle);
  member_int (json, "queued", waiting);
  member_int (json, "queue_limit", pool->config.ring);
  member_int (json, "inside", atomic_load (&pool->inside));
  member_int (json, "waiting", pool->config.keeper->ops->count (pool->config.keeper));
  member_int (json, "deferred", zm_tickets_count (pool) + zm_hosts_deferred (pool->config.hosts));
  member_int (json, "calls", zm_counter_get (pool->c_calls));
  member_int (json, "results", zm_counter_get (pool->c_results));
  member_int (json, "errors", zm_counter_get (pool->c_errors));
  member_int (json, "silent", zm_counter_get (pool->c_silent));
  member_int (json, "dropped", zm_counter_get (pool->c_dropped));
  member_int (json, "late", zm_counter_get (pool->c_late));
  member_int (json, "replaced", zm_counter_get (pool->c_replaced));
  member_int (json, "draining", closed);
  g_string_append_c (json, '}');
  return g_string_free (json, FALSE);
}

static void
append_route (GString *json, const ZmRoute *route, ZmStat *stat)
{
  begin_item (json);
  const ZmMapping *mapping = route->mapping;
  member_text (json, "key", zm_span_text (mapping->key_text));
  member_text (json, "plugin", zm_span_text (mapping->plugin ? mapping->plugin : mapping->worker));
  member_text (json, "symbol", zm_span_text (mapping->symbol));
  member_text (json, "state",
               zm_span_text (route->target == ZM_TARGET_UNAVAILABLE ? "unavailable" : "ready"));
  if (route->reason)
    member_text (json, "reason", zm_span_text (route->reason));
  if (stat) {
    guint64 samples = atomic_load (&stat->samples);
    member_int (json, "calls", (gint64) atomic_load (&stat->calls));
    member_int (json, "errors", (gint64) atomic_load (&stat->errors));
    member_int (json, "mean_us", samples ? (gint64) (atomic_load (&stat->sampled_us) / samples) : 0);
    member_int (json, "highest_us", (gint64) atomic_load (&stat->highest_us));
  }
  g_string_append_c (json, '}');
}

/* Borrowed from the view of now, so that a reload meanwhile changes nothing. */
char *
zm_pool_routes_json (ZmPool *pool)
{
  GString *json = g_string_new ("[");
  ZmView *view = zm_pool_view (pool);
  for (guint i = 0; view && i < zm_table_n_routes (view->table); i++)
    append_route (json, zm_table_route (view->table, i), view->stats[i]);
  if (view)
    zm_view_unref (view);
  g_string_append_c (json, ']');
  return g_string_free (json, FALSE);
}

/* Only words and deadlines are read, never a run: a call may end at any moment, and its run with it. */
/* Which call. The thread that makes it cannot leave it meanwhile: it finds its word held, or claimed, and waits for the dog's
 * lock, which is held here. */
static void
append_call (GString *json, ZmWorker *worker)
{
  unsigned long long word = atomic_load (&worker->word), held = (word & ~3ull) | ZM_PHASE_HELD;
  unsigned phase = word & 3;
  const ZmAction *hook = atomic_load (&worker->hook), *action = NULL;
  if (phase == ZM_PHASE_CLAIMED)
    action = worker->blamed;
  else if (phase == ZM_PHASE_CALL && atomic_compare_exchange_strong (&worker->word, &word, held))
    action = hook ? hook : worker->run->action;
  if (action) {
    member_text (json, "plugin", zm_span_text (action->plugin));
    member_text (json, "symbol", zm_span_text (action->symbol));
  }
  if (action && phase == ZM_PHASE_CALL)
    atomic_store (&worker->word, word);
}

char *
zm_pool_running_json (ZmPool *pool)
{
  GString *json = g_string_new ("[");
  gint64 now_us = zm_now_us ();
  pthread_mutex_lock (&pool->dog_lock);
  pthread_mutex_lock (&pool->lock);
  for (guint i = 0; i < pool->n_slots; i++) {
    ZmWorker *worker = pool->workers[i];
    unsigned phase = worker ? atomic_load (&worker->word) & 3 : ZM_PHASE_IDLE;
    if (!worker)
      continue;
    begin_item (json);
    member_int (json, "worker", i);
    member_text (json, "state",
                 zm_span_text (phase == ZM_PHASE_CALL || phase == ZM_PHASE_HELD ? "calling"
                               : phase == ZM_PHASE_CLAIMED                      ? "hung"
                               : worker->idle                                   ? "idle"
                                                                                : "working"));
    if (phase != ZM_PHASE_IDLE)
      member_int (json, "deadline_in_us", atomic_load (&worker->call_deadline_us) - now_us);
    append_call (json, worker);
    g_string_append_c (json, '}');
  }
  pthread_mutex_unlock (&pool->lock);
  pthread_mutex_unlock (&pool->dog_lock);
  g_string_append_c (json, ']');
  return g_string_free (json, FALSE);
}

guint
zm_pool_hung (ZmPool *pool)
{
  gint64 line_us = zm_now_us () - pool->config.hard_after_us;
  guint n = 0;
  /* Under the dog's lock a call that was claimed cannot go, nor can its run. */
  pthread_mutex_lock (&pool->dog_lock);
  pthread_mutex_lock (&pool->lock);
  for (guint i = 0; i < pool->n_slots; i++) {
    ZmWorker *worker = pool->workers[i];
    n += worker && (atomic_load (&worker->word) & 3) == ZM_PHASE_CLAIMED &&
         atomic_load (&worker->call_deadline_us) < line_us &&
         !zm_generation_retired (worker->blamed->generation);
  }
  pthread_mutex_unlock (&pool->lock);
  pthread_mutex_unlock (&pool->dog_lock);
  return n;
}

#define WAITING_SHOWN 1000

typedef struct Listing {
  GString *json;
  guint n;
} Listing;

static void
append_waiting (const ZmWait *wait, gpointer user)
{
  Listing *listing = user;
  if (listing->n++ >= WAITING_SHOWN)
    return;
  GString *json = listing->json;
  g_autofree char *key = zm_key_text (&wait->key);
  begin_item (json);
  member_text (json, "flow", wait->flow);
  member_text (json, "id", wait->id);
  member_text (json, "key", zm_span_text (key));
  member_int (json, "step", wait->step);
  member_int (json, "branch", wait->branch);
  g_string_append_c (json, '}');
}

char *
zm_pool_waiting_json (ZmPool *pool)
{
  Listing listing = { g_string_new ("["), 0 };
  zm_keeper_memory_each (pool->config.keeper, append_waiting, &listing);
  g_string_append_c (listing.json, ']');
  return g_string_free (listing.json, FALSE);
}

/* ---- trace ---- */

void
zm_pool_trace (ZmPool *pool, const char *id, ZmTraceFunc func, gpointer user)
{
  pthread_mutex_lock (&pool->trace_lock);
  g_free (pool->trace_id);
  pool->trace_id = g_strdup (id);
  pool->trace_func = func;
  pool->trace_user = user;
  pthread_mutex_unlock (&pool->trace_lock);
  atomic_store (&pool->tracing, func != NULL);
}

static char *
trace_json (ZmRun *run, const char *what, const ZmKey *key, const char *more)
{
  GString *json = g_string_new ("{");
  const ZmMessage *message = run->message;
  const ZmBranch *branch = zm_run_branch (run);
  g_autofree char *message_key = zm_key_text (&message->topic.key);
  g_autofree char *key_text = key ? zm_key_text (key) : NULL;
  member_int (json, "time_us", zm_wall_us ());
  member_text (json, "id", message->topic.id);
  member_text (json, "key", zm_span_text (message_key));
  member_text (json, "flow", zm_run_flow_name (run));
  member_int (json, "step", run->depth ? run->frames[run->depth - 1].step : 0);
  if (branch)
    member_text (json, "step_key", zm_span_text (branch->text));
  member_text (json, "what", zm_span_text (what));
  if (key_text)
    member_text (json, "at", zm_span_text (key_text));
  if (run->action) {
    member_text (json, "plugin", zm_span_text (run->action->plugin));
    member_text (json, "symbol", zm_span_text (run->action->symbol));
  }
  if (more)
    member_text (json, "more", zm_span_text (more));
  g_string_append_c (json, '}');
  return g_string_free (json, FALSE);
}

void
zm_trace (ZmRun *run, const char *what, const ZmKey *key, const char *more)
{
  ZmPool *pool = run->pool;
  if (!run->message)
    return;
  pthread_mutex_lock (&pool->trace_lock);
  if (pool->trace_func && (!pool->trace_id || zm_span_is (run->message->topic.id, pool->trace_id))) {
    g_autofree char *json = trace_json (run, what, key, more);
    pool->trace_func (json, pool->trace_user);
  }
  pthread_mutex_unlock (&pool->trace_lock);
}
