/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How a daemon ends. First the drain: nothing new is taken, sources end, and what is inside is finished; for what waits,
 * answers are still taken. Then everything is
 * taken apart, from the doors inwards. What cannot be ended (a plugin's thread that ignores its wake) is left alone with the
 * memory that it may use.
 */
#include "config.h"

#include "base/zm-thread.h"
#include "runtime/panic.h"
#include "runtime/private.h"

#include <unistd.h>

/* How long sources may take to end in a drain. */
#define SOURCES_STOP_US (5 * G_USEC_PER_SEC)
/* How long the publisher may take for what was given to it. */
#define FLUSH_MS 5000

/* ---- draining ---- */

/* In the main loop, when the drain's thread is done: what it left is here once it is joined. The state changes first: who asks
 * while the answers go out is told "draining". */
static gboolean
on_drained (gpointer user)
{
  ZmRuntime *runtime = user;

  if (runtime->drain_began)
    pthread_join (runtime->drain_thread, NULL);
  runtime->drain_began = FALSE;
  if (runtime->left > 0)
    zm_log_write (runtime->log, ZM_LEVEL_WARNING, "runtime",
                  "drained; %u message%s did not end in time and got the error \"shutdown\"", runtime->left,
                  zm_runtime_plural (runtime->left));
  else
    zm_log_write (runtime->log, ZM_LEVEL_NOTICE, "runtime", "drained");
  runtime->state = ZM_STATE_ENDED;
  zm_control_drained (runtime->control, runtime->left);
  g_main_loop_quit (runtime->loop);
  return G_SOURCE_REMOVE;
}

/* Where a step of a flow, or a worker in another language, has to be waited for, what runs now may wait in a moment. Where
 * there is nothing of the kind, a drain needs no open door. */
static gboolean
step_can_wait (const ZmTable *table, ZmFlow *flow, guint index)
{
  const ZmStep *step = &flow->steps[index];
  ZmStepTarget target;

  for (guint i = 0; i < step->n_branches; i++) {
    if (step->branches[i].kind == ZM_STEP_ASYNC)
      return TRUE;
    if (step->branches[i].kind != ZM_STEP_KEY)
      continue;
    zm_table_step (table, flow, index, (int) i, &target);
    if (target.route == NULL && target.child == NULL)
      return TRUE;
  }
  return FALSE;
}

/* The walk is over all routes and flows, once in the life of a daemon. */
static gboolean
table_can_wait (const ZmTable *table)
{
  for (guint i = 0; i < zm_table_n_routes (table); i++)
    if (zm_table_route (table, i)->target == ZM_TARGET_WORKER)
      return TRUE;
  for (guint i = 0; i < zm_table_n_flows (table); i++) {
    ZmFlow *flow = zm_table_flow_nth (table, i);

    for (guint step = 1; step < flow->n_steps; step++)
      if (step_can_wait (table, flow, step))
        return TRUE;
  }
  return FALSE;
}

/* In the Subject's thread, and while it is being stopped; keeper and pool live longer than the Subject. */
gboolean
zm_runtime_waits (gpointer user)
{
  ZmRuntime *runtime = user;

  return runtime->keeper->ops->count (runtime->keeper) > 0 ||
         (runtime->can_wait && zm_pool_busy (runtime->pool));
}

/* In a thread of its own, since it waits, and the control socket answers meanwhile. The pool is closed last: answers go
 * through it. */
static void *
drain_main (void *user)
{
  ZmRuntime *runtime = user;
  gint64 deadline_us = zm_now_us () + zm_config_integer (runtime->config, "workers", "drain") * 1000;
  g_autoptr (GSource) done = g_idle_source_new ();

  zm_subject_finish (runtime->subject, deadline_us);
  /* What no worker has yet stays in the store. */
  zm_sends_drain (runtime, deadline_us);
  runtime->left = zm_pool_drain (runtime->pool, deadline_us);
  g_source_set_callback (done, on_drained, runtime, NULL);
  g_source_attach (done, runtime->context);
  return NULL;
}

/* So that who stopped the daemon knows why it does not end at once. */
static void
tell_who_waits (ZmRuntime *runtime)
{
  guint n = runtime->keeper->ops->count (runtime->keeper);

  if (n > 0)
    zm_log_write (
        runtime->log, ZM_LEVEL_NOTICE, "runtime",
        "draining: %u instances wait for answers, which are still taken for at most %" G_GINT64_FORMAT
        " ms; a second signal ends it at once",
        n, zm_config_integer (runtime->config, "workers", "drain"));
}

/* Once; a second call finds the state changed. The table cannot change any more, as nothing is reloaded while draining.
 * Pausing the Subject blocks the main loop for 100 ms, or 2 s where senders never stop. */
void
zm_runtime_drain (ZmRuntime *runtime)
{
  g_autoptr (ZmTable) table = NULL;

  if (runtime->state != ZM_STATE_RUNNING)
    return;
  runtime->state = ZM_STATE_DRAINING;
  zm_notify_stopping (runtime->notify, "draining");
  zm_log_write (runtime->log, ZM_LEVEL_NOTICE, "runtime",
                "draining: nothing new is taken, what is inside is finished");
  table = zm_table_slot_get (runtime->tables);
  runtime->can_wait = table_can_wait (table);
  g_clear_pointer (&table, zm_table_unref);
  zm_subject_pause (runtime->subject);
  zm_web_pause (runtime);
  /* What is on disk need not end here: none of it is begun any more, and what waits goes on after the next start. */
  zm_sends_drain (runtime, zm_now_us ());
  zm_pool_let_durable_go (runtime->pool);
  tell_who_waits (runtime);
  /* What a source emits until it ends is still taken: one in a host does not hear that it was not. */
  if (!zm_sources_stop (runtime->sources, zm_now_us () + SOURCES_STOP_US))
    runtime->stuck = TRUE;
  zm_hosting_accept (runtime->hosting, FALSE);
  runtime->drain_began = zm_thread_create (&runtime->drain_thread, "zm-drain", drain_main, runtime) == 0;
  if (!runtime->drain_began)
    drain_main (runtime);
}

/* ---- taking apart ---- */

/* Workers end before the plugins do, as they hold the table; the pool itself is there until the plugins are gone, whose
 * `stop` may complete calls and end timers. An empty table takes the place of the last one, which holds the plugins. */
static void
stop_plugins (ZmRuntime *runtime)
{
  g_autoptr (ZmProblems) ignored = zm_problems_new ();

  if (runtime->hosting != NULL)
    zm_hosting_accept (runtime->hosting, FALSE);
  if (runtime->externals != NULL)
    zm_externals_set_ended (runtime->externals, NULL, NULL);
  if (runtime->pool != NULL && !zm_pool_stop (runtime->pool))
    runtime->stuck = TRUE;
  if (runtime->tables != NULL)
    zm_table_slot_swap (runtime->tables, zm_load_table (runtime->config, g_ptr_array_new (),
                                                        g_ptr_array_new (), NULL, ignored));
  zm_sends_drain (runtime, zm_now_us ());
  /* What was published goes through the tap into queues; then nothing asks for the store any more, and its plugin is still there. */
  zm_integration_finish (runtime->integration, FLUSH_MS);
  zm_sends_close (runtime);
  zm_store_work_end (runtime);
  if (runtime->hosting != NULL)
    zm_hosting_end_store (runtime->hosting);
  zm_durable_close (runtime);
  g_clear_pointer (&runtime->plugins, zm_plugins_free);
  g_clear_pointer (&runtime->hosts, zm_hosts_free);
}

static void
free_loop (ZmRuntime *runtime)
{
  for (guint i = 0; i < runtime->loop_sources->len; i++) {
    g_source_destroy (runtime->loop_sources->pdata[i]);
    g_source_unref (runtime->loop_sources->pdata[i]);
  }
  g_ptr_array_unref (runtime->loop_sources);
  g_main_loop_unref (runtime->loop);
  g_main_context_unref (runtime->context);
}

/* What a worker uses, also one that is left behind in its call. Only freed where none was. */
static void
free_ground (ZmRuntime *runtime)
{
  g_clear_pointer (&runtime->tables, zm_table_slot_free);
  if (runtime->keeper != NULL)
    runtime->keeper->ops->free (runtime->keeper);
  g_clear_pointer (&runtime->hosting, zm_hosting_free);
  g_clear_pointer (&runtime->timers, zm_timers_free);
}

/* Its thread gives messages to the pool, so it has to let that be before the pool goes. After a drain it does already; without
 * one (a start that failed at its end) what has come in by now still goes in, and gets its error there. */
static void
close_subject (ZmRuntime *runtime)
{
  if (runtime->subject == NULL)
    return;
  zm_subject_pause (runtime->subject);
  zm_subject_finish (runtime->subject, zm_now_us ());
}

/* From the doors inwards: who calls goes before who is called. Each is NULL where the start did not come so far. */
static void
free_rooms (ZmRuntime *runtime)
{
  g_clear_pointer (&runtime->watch, zm_watch_free);
  zm_web_close (runtime);
  g_clear_pointer (&runtime->sources, zm_sources_free);
  close_subject (runtime);
  stop_plugins (runtime);
  zm_panic_set_pool (NULL);
  g_clear_pointer (&runtime->pool, zm_pool_free);
  zm_integration_close (runtime->integration);
  zm_sends_free (runtime);
  g_clear_pointer (&runtime->subject, zm_subject_free);
  g_clear_pointer (&runtime->externals, zm_externals_free);
  if (runtime->integration != NULL)
    zm_integration_free (g_steal_pointer (&runtime->integration), FLUSH_MS);
  if (runtime->queues != NULL)
    zm_queues_free (g_steal_pointer (&runtime->queues));
  g_clear_pointer (&runtime->gates, zm_gates_free);
  if (!runtime->stuck)
    free_ground (runtime);
  if (runtime->zmq != NULL)
    zmq_ctx_term (runtime->zmq);
  if (!runtime->stuck)
    zm_web_free (runtime);
}

/* Beside a source's thread that does not end: what the drain finished is still to be published and answered, and the other
 * threads end for it. The pool's memory stays, as zm_complete in that thread may look into it; what is completed there finds
 * no ticket any more, and what is emitted is refused since the drain began. A drain that was given up is not over: then who
 * stopped the daemon twice is in a hurry. */
static void
flush_beside_stuck (ZmRuntime *runtime)
{
  if (runtime->state != ZM_STATE_ENDED)
    return;
  zm_web_close (runtime);
  if (runtime->externals != NULL)
    zm_externals_set_ended (runtime->externals, NULL, NULL);
  zm_pool_stop (runtime->pool);
  zm_integration_close (runtime->integration);
  g_clear_pointer (&runtime->subject, zm_subject_free);
  g_clear_pointer (&runtime->externals, zm_externals_free);
  zm_integration_free (g_steal_pointer (&runtime->integration), FLUSH_MS);
  g_clear_pointer (&runtime->gates, zm_gates_free);
  zmq_ctx_term (runtime->zmq);
}

/* What no thread uses, and the lock of the instance last of all: who waits for it may start when nothing of us is left. */
static void
free_rest (ZmRuntime *runtime)
{
  free_loop (runtime);
  g_clear_pointer (&runtime->config, zm_config_unref);
  g_clear_pointer (&runtime->metrics, zm_metrics_free);
  g_clear_pointer (&runtime->log, zm_log_unref);
  g_clear_pointer (&runtime->instance, zm_instance_free);
  zm_notify_free (runtime->notify);
  g_ptr_array_unref (runtime->reasons);
  g_free (runtime->refused);
  g_free (runtime->audit_lost);
  g_ptr_array_unref (runtime->asked);
  g_ptr_array_unref (runtime->barred);
  g_hash_table_unref (runtime->revived);
  g_hash_table_unref (runtime->told);
  g_strfreev (runtime->settings);
  g_free (runtime->config_file);
  g_free (runtime->log_format);
  g_free (runtime->log_level);
  g_free (runtime->node);
  if (runtime->lock_fd >= 0)
    close (runtime->lock_fd);
  g_free (runtime);
}

/* FALSE where a thread was left behind: then the process has to end without exit (), whose handlers would take down
 * what that thread uses. */
gboolean
zm_runtime_free (ZmRuntime *runtime)
{
  if (runtime == NULL)
    return TRUE;
  /* First, also where the process ends without taking anything apart: the answer of a drain has to leave it. */
  g_clear_pointer (&runtime->control, zm_control_free);
  if (!runtime->stuck && runtime->drain_began)
    pthread_join (runtime->drain_thread, NULL);
  if (!runtime->stuck)
    free_rooms (runtime);
  else
    flush_beside_stuck (runtime);
  /* A plugin's stop that has just ended holds the log for a moment longer, and one that hangs for ever: the process goes, and
   * what was suppressed must have been said. */
  zm_log_flush (runtime->log);
  /* A thread that could not be ended may use any of this: it goes with the process, and so does its memory. */
  if (runtime->stuck)
    return FALSE;
  free_rest (runtime);
  return TRUE;
}
