/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The inside of a worker, without sockets: the dispatch of one action among ten thousand mappings beside a hash, a probe and
 * a call of the same functions, and a flow of three steps beside a flow of one. Jobs: dispatch, flows.
 *
 * The engine runs in this thread, on a worker of its own, in batches of the size that a real worker takes: messages have
 * just been made, as they have in the daemon, and their making and freeing is not measured.
 */
#include "bench.h"

#include "worker/internal.h"

#include <glib/gstdio.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAPPINGS 10000
#define ACTIONS  1000
#define PLACES   32768

/* ---- allocations ---- */

static _Thread_local guint64 allocations;
extern void *__libc_malloc (size_t size);
extern void *__libc_calloc (size_t n, size_t size);
extern void *__libc_realloc (void *old, size_t size);

void *
malloc (size_t size)
{
  allocations++;
  return __libc_malloc (size);
}

void *
calloc (size_t n, size_t size)
{
  allocations++;
  return __libc_calloc (n, size);
}

void *
realloc (void *old, size_t size)
{
  allocations++;
  return __libc_realloc (old, size);
}

/* ---- a pool without sockets ---- */

typedef struct Inside {
  ZmLog *log;
  ZmMetrics *metrics;
  ZmTimers *timers;
  ZmTableSlot *tables;
  ZmKeeper *keeper;
  ZmPlugins *plugins;
  ZmPool *pool;
  char *copies;
  ZmWorker worker; /* this thread's */
  guint64 published;
} Inside;

static gboolean
drop (ZmMessage *const *messages, guint n, gpointer user)
{
  ((Inside *) user)->published += n;
  for (guint i = 0; i < n; i++)
    zm_message_unref (messages[i]);
  return TRUE;
}

static gboolean
always (ZmSpan topic, gpointer user)
{
  (void) topic;
  (void) user;
  return TRUE;
}

static void
no_caller (guint64 ticket, int status, const ZmMessage *result, gpointer user)
{
  (void) ticket;
  (void) status;
  (void) result;
  (void) user;
}

static void
load (Inside *inside, const char *mappings, const char *flows)
{
  g_autoptr (ZmProblems) problems = zm_problems_new ();
  g_autoptr (ZmConfig) empty = zm_config_new ();
  const char *wanted[] = { "acts", NULL };
  zm_config_finish (empty, problems);
  zm_plugins_scan (inside->plugins, problems);
  ZmPluginSet *set = zm_plugins_prepare (inside->plugins, empty, wanted, NULL, problems);
  ZmTableInput input = { .mappings = g_ptr_array_new_with_free_func ((GDestroyNotify) zm_mapping_free),
                         .flows = g_ptr_array_new_with_free_func ((GDestroyNotify) zm_flow_unref),
                         .set = set,
                         .timeout_ms = 30000 };
  zm_mapping_read_text ("bench.ini", zm_span_text (mappings), input.mappings, problems);
  zm_flow_read_text ("bench.flow", zm_span_text (flows), input.flows, problems);
  zm_table_slot_swap (inside->tables, zm_table_build (&input, problems));
  zm_plugins_commit (inside->plugins, set);
  if (!zm_problems_errors (problems))
    return;
  g_autofree char *text = zm_problems_format (problems);
  g_printerr ("%s\n", text);
  exit (2);
}

static void
open_plugins (Inside *inside)
{
  g_autofree char *dir = bench_plugin_dir ();
  const char *path[] = { dir, NULL };
  ZmPluginsConfig config = { .path = path,
                             .copy_directory = inside->copies,
                             .drain_ms = 5000,
                             .log = inside->log,
                             .metrics = inside->metrics };
  config.host.struct_size = sizeof (zm_host);
  zm_pool_fill_host (&config.host);
  inside->plugins = zm_plugins_new (&config);
}

static Inside *
inside_new (const char *mappings, const char *flows)
{
  Inside *inside = g_new0 (Inside, 1);
  g_autoptr (GError) error = NULL;
  inside->log = zm_log_new (2, ZM_LOG_FORMAT_HUMAN, ZM_LEVEL_WARNING);
  inside->metrics = zm_metrics_new ();
  inside->timers = zm_timers_new (NULL);
  inside->tables = zm_table_slot_new ();
  inside->keeper = zm_keeper_memory_new (1000);
  inside->copies = g_dir_make_tmp ("zm-bench-XXXXXX", NULL);
  open_plugins (inside);
  load (inside, mappings, flows);
  ZmPoolConfig config = { .workers = 1,
                          .tables = inside->tables,
                          .keeper = inside->keeper,
                          .timers = inside->timers,
                          .publish = drop,
                          .has_subscriber = always,
                          .reply = no_caller,
                          .user = inside,
                          .log = inside->log,
                          .metrics = inside->metrics };
  inside->pool = zm_pool_new (&config, &error);
  if (!inside->pool) {
    g_printerr ("bench: %s\n", error->message);
    exit (2);
  }
  inside->worker.pool = inside->pool;
  inside->worker.index = ZM_WORKERS_MOST - 1;
  pthread_mutex_init (&inside->worker.local_lock, NULL);
  zm_uuid_maker_init (&inside->worker.ids);
  zm_worker_refresh (&inside->worker);
  return inside;
}

static void
inside_free (Inside *inside)
{
  zm_view_unref (inside->worker.view);
  zm_pool_stop (inside->pool);
  zm_table_slot_free (inside->tables);
  zm_plugins_free (inside->plugins);
  zm_pool_free (inside->pool);
  inside->keeper->ops->free (inside->keeper);
  zm_timers_free (inside->timers);
  zm_metrics_free (inside->metrics);
  zm_log_unref (inside->log);
  g_rmdir (inside->copies);
  g_free (inside->copies);
  g_free (inside);
}

/* ---- batches ---- */

static guint64
now_ns (void)
{
  struct timespec now;
  clock_gettime (CLOCK_MONOTONIC, &now);
  return (guint64) now.tv_sec * 1000000000u + (guint64) now.tv_nsec;
}

typedef struct Cost {
  guint64 ns, allocations;
} Cost;

static ZmMessage *
make (const char *key_text)
{
  char body[256] = "";
  ZmKey key;
  zm_key_parse (zm_span_text (key_text), &key, NULL, NULL);
  return zm_message_new (zm_span (NULL, 0), &key, ZM_SPAN_LITERAL ("0193f9a0-0000-8000-8000-000000000000"),
                         zm_span (NULL, 0), zm_span (body, sizeof body));
}

/* What a worker does with a batch that it has taken. */
static void
run_batch (Inside *inside, const char *const *keys, guint n, Cost *cost)
{
  ZmWorker *worker = &inside->worker;
  ZmMessage *batch[ZM_BATCH];
  for (guint i = 0; i < n; i++)
    batch[i] = zm_message_ref (make (keys[i]));
  zm_pool_inside (inside->pool, n);
  guint64 before = allocations, began = now_ns ();
  worker->now_us = zm_now_us ();
  zm_look_ahead (worker, batch, n);
  for (guint i = 0; i < n; i++)
    zm_engine_message (worker, batch[i]);
  zm_worker_flush (worker);
  cost->ns += now_ns () - began;
  cost->allocations += allocations - before;
  for (guint i = 0; i < n; i++)
    zm_message_unref (batch[i]);
}

static guint
next_random (guint *state)
{
  *state ^= *state << 13;
  *state ^= *state >> 17;
  return *state ^= *state << 5;
}

/* ---- dispatch ---- */

typedef struct Dispatch {
  Inside *inside;
  char *keys[MAPPINGS];
  struct {
    guint64 hash;
    zm_action_fn fn;
  } places[PLACES];
  guint random;
} Dispatch;

static Dispatch *
dispatch_new (void)
{
  Dispatch *dispatch = g_new0 (Dispatch, 1);
  g_autoptr (GString) mappings = g_string_new ("[actionmapping]\n");
  for (guint i = 0; i < MAPPINGS; i++) {
    dispatch->keys[i] = g_strdup_printf ("Service%u?Component%uContext?action_name_%u", i % 97, i % 1013, i);
    g_string_append_printf (mappings, "%s = acts.act_%03u\n", dispatch->keys[i], i % ACTIONS);
  }
  dispatch->random = 88172645;
  dispatch->inside = inside_new (mappings->str, "");
  const ZmTable *table = dispatch->inside->worker.view->table;
  for (guint i = 0; i < MAPPINGS; i++) {
    ZmKey key;
    zm_key_parse (zm_span_text (dispatch->keys[i]), &key, NULL, NULL);
    guint64 hash = zm_span_hash (zm_span_text (dispatch->keys[i])), at = hash % PLACES;
    while (dispatch->places[at].fn)
      at = (at + 1) % PLACES;
    dispatch->places[at].hash = hash;
    dispatch->places[at].fn = zm_table_resolve (table, &key, FALSE)->action->fn;
  }
  return dispatch;
}

static void
dispatch_free (Dispatch *dispatch)
{
  inside_free (dispatch->inside);
  for (guint i = 0; i < MAPPINGS; i++)
    g_free (dispatch->keys[i]);
  g_free (dispatch);
}

/* The baseline's batch: keys that have just come, too. */
static void
call_batch (Dispatch *dispatch, const char *const *keys, guint n, Cost *cost)
{
  char fresh[ZM_BATCH][96];
  ZmSpan spans[ZM_BATCH];
  for (guint i = 0; i < n; i++)
    spans[i] = zm_span (fresh[i], g_strlcpy (fresh[i], keys[i], sizeof fresh[i]));
  guint64 began = now_ns ();
  for (guint i = 0; i < n; i++) {
    guint64 hash = zm_span_hash (spans[i]), at = hash % PLACES;
    while (dispatch->places[at].hash != hash)
      at = (at + 1) % PLACES;
    dispatch->places[at].fn (NULL);
  }
  cost->ns += now_ns () - began;
}

static void
dispatch_round (Dispatch *dispatch, guint count, Cost *base, Cost *ours)
{
  const char *keys[ZM_BATCH];
  for (guint done = 0; done < count; done += ZM_BATCH) {
    for (guint i = 0; i < ZM_BATCH; i++)
      keys[i] = dispatch->keys[next_random (&dispatch->random) % MAPPINGS];
    call_batch (dispatch, keys, ZM_BATCH, base);
    run_batch (dispatch->inside, keys, ZM_BATCH, ours);
  }
}

static gboolean
bench_dispatch (guint rounds, guint count)
{
  Dispatch *dispatch = dispatch_new ();
  BenchPairs *times = bench_pairs_new (), *allocated = bench_pairs_new ();
  Cost warm[2] = { { 0, 0 } };
  dispatch_round (dispatch, count, &warm[0], &warm[1]);
  for (guint i = 0; i < rounds; i++) {
    Cost base = { 0, 0 }, ours = { 0, 0 };
    dispatch_round (dispatch, count, &base, &ours);
    bench_pairs_add (times, (double) base.ns / count, (double) ours.ns / count);
    bench_pairs_add (allocated, 0, (double) ours.allocations / count);
  }
  gboolean good = bench_pairs_row_figure (times, "dispatch, 10 k mappings", "ns", 250, 80);
  good = bench_pairs_row_figure (allocated, "dispatch: allocations", "a message", INFINITY, 0) && good;
  dispatch_free (dispatch);
  return good;
}

/* ---- flows ---- */

static const char flow_mappings[] =
    "[actionmapping]\n?Step?First = acts.act_001\n?Step?Second = acts.act_002\n"
    "?Step?Third = acts.act_003\n";
static const char flow_texts[] = "[One]\n?One?Go\n?Step?First\n??done\n"
                                 "[Three]\n?Three?Go\n?Step?First\n?Step?Second\n?Step?Third\n??done\n";

/* Nanoseconds a message. */
static double
flow_round (Inside *inside, const char *key, guint batches)
{
  const char *keys[ZM_BATCH];
  Cost cost = { 0, 0 };
  for (guint i = 0; i < ZM_BATCH; i++)
    keys[i] = key;
  for (guint i = 0; i < batches; i++)
    run_batch (inside, keys, ZM_BATCH, &cost);
  return (double) cost.ns / batches / ZM_BATCH;
}

/* What two more steps cost beside a message of one step. The ratio is that of the messages a second, of which the page's
 * bounds are about whole messages: live measures those. */
static gboolean
bench_flows (guint rounds, guint count)
{
  Inside *inside = inside_new (flow_mappings, flow_texts);
  BenchPairs *pairs = bench_pairs_new (), *both = bench_pairs_new ();
  guint batches = count / ZM_BATCH;
  flow_round (inside, "?One?Go", batches);
  for (guint i = 0; i < rounds; i++) {
    double one = flow_round (inside, "?One?Go", batches), three = flow_round (inside, "?Three?Go", batches);
    bench_pairs_add (pairs, one, three - one);
    bench_pairs_add (both, three, one);
  }
  gboolean whole = inside->published == (guint64) (1 + 2 * rounds) * batches * ZM_BATCH;
  if (!whole)
    printf ("flow in the worker: void: %" G_GUINT64_FORMAT " results\n", inside->published);
  inside_free (inside);
  bench_row_figure ("two more steps in the worker", "ns", bench_median (pairs->baseline),
                    bench_median (pairs->product), bench_median (both->ratios), INFINITY, 35);
  bench_pairs_free (pairs);
  bench_pairs_free (both);
  return whole;
}

int
main (int argc, char **argv)
{
  guint rounds = (guint) bench_option (argc, argv, "rounds", 5);
  guint scale = (guint) bench_option (argc, argv, "scale", 1);
  gboolean only = argc > 1 && argv[1][0] != '-', good = TRUE;
  if (!only || strcmp (argv[1], "dispatch") == 0)
    good = bench_dispatch (rounds, 320000 / scale);
  if (!only || strcmp (argv[1], "flows") == 0)
    good = bench_flows (rounds, 320000 / scale) && good;
  return good ? 0 : 1;
}
