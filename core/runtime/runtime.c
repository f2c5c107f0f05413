/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The life of a daemon: made, run, drained, taken apart. */
#include "config.h"

#include "runtime/private.h"

#include "base/version.h"

#include <errno.h>
#include <glib-unix.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* How long sources may take to end in a drain. */
#define SOURCES_STOP_US (5 * G_USEC_PER_SEC)
/* How long the publisher may take for what was given to it. */
#define FLUSH_MS 5000
/* Descriptors wanted; the hard limit may be less. */
#define DESCRIPTORS 524288

/* ---- making ---- */

static void
copy_options (ZmRuntime *runtime, const ZmRuntimeOptions *options)
{
  runtime->config_file = options->config_file ? g_canonicalize_filename (options->config_file, NULL) : NULL;
  runtime->settings = g_strdupv ((char **) options->settings);
  runtime->log_format = g_strdup (options->log_format);
  runtime->log_level = g_strdup (options->log_level);
  runtime->dev = options->dev;
}

static void
raise_limits (ZmRuntime *runtime)
{
  struct rlimit limit;

  if (getrlimit (RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= DESCRIPTORS ||
      limit.rlim_cur == limit.rlim_max)
    return;
  limit.rlim_cur = MIN (limit.rlim_max, DESCRIPTORS);
  if (setrlimit (RLIMIT_NOFILE, &limit) != 0)
    zm_log_write (runtime->log, ZM_LEVEL_WARNING, "runtime", "cannot raise the limit on descriptors: %s",
                  g_strerror (errno));
}

static ZmLog *
open_log (const ZmConfig *config)
{
  const char *format_text = zm_config_text (config, "zmanager", "log-format");
  const char *level_text = zm_config_text (config, "zmanager", "log-level");
  ZmLogFormat format = g_strcmp0 (format_text, "human") == 0     ? ZM_LOG_FORMAT_HUMAN
                       : g_strcmp0 (format_text, "json") == 0    ? ZM_LOG_FORMAT_JSON
                       : g_strcmp0 (format_text, "journal") == 0 ? ZM_LOG_FORMAT_JOURNAL
                                                                 : ZM_LOG_FORMAT_AUTO;
  ZmLevel level = ZM_LEVEL_INFO;

  if (level_text != NULL)
    zm_level_parse (level_text, &level);
  return zm_log_new (STDERR_FILENO, format, level);
}

/* Directory, configuration, lock, log: what is needed before anything is opened. */
static gboolean
open_instance (ZmRuntime *runtime, const ZmRuntimeOptions *options, ZmProblems *problems, GError **error)
{
  const char *node;

  runtime->instance = zm_instance_new (options->dir, error);
  if (runtime->instance == NULL)
    return FALSE;
  runtime->config = zm_load_config (runtime->instance, options, problems);
  if (zm_problems_errors (problems) > 0 || !zm_instance_prepare (runtime->instance, error))
    return FALSE;
  runtime->lock_fd = zm_instance_lock (runtime->instance, error);
  if (runtime->lock_fd < 0)
    return FALSE;
  node = zm_config_text (runtime->config, "zmanager", "node");
  runtime->node = g_strdup (node != NULL ? node : g_get_host_name ());
  runtime->log = open_log (runtime->config);
  runtime->metrics = zm_metrics_new ();
  runtime->zmq = zmq_ctx_new ();
  return TRUE;
}

static void
log_warnings (ZmRuntime *runtime, const ZmProblems *problems)
{
  for (guint i = 0; i < zm_problems_count (problems); i++) {
    const ZmProblem *problem = zm_problems_get (problems, i);
    g_autofree char *text = problem != NULL ? zm_problem_format (problem) : NULL;

    if (text != NULL)
      zm_log_write (runtime->log, ZM_LEVEL_WARNING, "runtime", "%s", text);
  }
}

static void
on_watched (const char *path, gpointer user)
{
  ZmRuntime *runtime = user;
  g_autoptr (GPtrArray) changes = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (ZmProblems) problems = zm_problems_new ();

  if (runtime->state != ZM_STATE_RUNNING)
    return;
  zm_log_write (runtime->log, ZM_LEVEL_DEBUG, "runtime", "something changed in %s", path);
  zm_runtime_reload (runtime, NULL, changes, problems);
}

/* A daemon that cannot watch runs all the same: SIGHUP and the command reload are there. */
static void
open_watch (ZmRuntime *runtime)
{
  g_autoptr (GError) error = NULL;

  if (!zm_config_boolean (runtime->config, "zmanager", "watch"))
    return;
  runtime->watch = zm_watch_new (runtime->context, on_watched, runtime, &error);
  if (runtime->watch == NULL || !zm_runtime_watch (runtime, &error))
    zm_log_write (runtime->log, ZM_LEVEL_WARNING, "runtime",
                  "directories are not watched (%s): reload with SIGHUP or zmanagerctl reload",
                  error->message);
}

ZmRuntime *
zm_runtime_new (const ZmRuntimeOptions *options, ZmProblems *problems, GError **error)
{
  g_autoptr (ZmRuntime) runtime = g_new0 (ZmRuntime, 1);

  runtime->lock_fd = -1;
  runtime->started_us = zm_now_us ();
  runtime->reasons = g_ptr_array_new_with_free_func (g_free);
  runtime->asked = g_ptr_array_new_with_free_func (g_free);
  runtime->barred = g_ptr_array_new_with_free_func (g_free);
  runtime->revived = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  runtime->told = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  runtime->loop_sources = g_ptr_array_new ();
  runtime->context = g_main_context_new ();
  runtime->loop = g_main_loop_new (runtime->context, FALSE);
  runtime->notify = zm_notify_new ();
  copy_options (runtime, options);
  if (!open_instance (runtime, options, problems, error))
    return NULL;
  raise_limits (runtime);
  if (!zm_runtime_start (runtime, problems, error))
    return NULL;
  log_warnings (runtime, problems);
  open_watch (runtime);
  runtime->control = zm_control_new (runtime, error);
  if (runtime->control == NULL)
    return NULL;
  runtime->state = ZM_STATE_RUNNING;
  {
    g_autoptr (ZmPluginSet) set = zm_plugins_current (runtime->plugins);

    zm_sources_apply (runtime->sources, runtime->config, set);
  }
  return g_steal_pointer (&runtime);
}

/* ---- running ---- */

GPtrArray *
zm_runtime_reasons (ZmRuntime *runtime)
{
  GPtrArray *reasons = g_ptr_array_new_with_free_func (g_free);

  for (guint i = 0; i < runtime->reasons->len; i++)
    g_ptr_array_add (reasons, g_strdup (runtime->reasons->pdata[i]));
  zm_sources_reasons (runtime->sources, reasons);
  zm_succeed_reasons (runtime, reasons);
  zm_gates_reasons (runtime->gates, reasons);
  return reasons;
}

const char *
zm_runtime_state_name (ZmRuntime *runtime)
{
  g_autoptr (GPtrArray) reasons = NULL;

  if (runtime->state == ZM_STATE_DRAINING || runtime->state == ZM_STATE_ENDED)
    return "draining";
  reasons = zm_runtime_reasons (runtime);
  return reasons->len > 0 ? "degraded" : "ready";
}

static gboolean
on_terminate (gpointer user)
{
  ZmRuntime *runtime = user;

  if (runtime->state != ZM_STATE_DRAINING) {
    zm_runtime_drain (runtime);
    return G_SOURCE_CONTINUE;
  }
  zm_log_write (runtime->log, ZM_LEVEL_WARNING, "runtime",
                "told to stop a second time: the drain is given up");
  runtime->stuck = TRUE;
  g_main_loop_quit (runtime->loop);
  return G_SOURCE_CONTINUE;
}

static gboolean
on_hangup (gpointer user)
{
  ZmRuntime *runtime = user;
  g_autoptr (GPtrArray) changes = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (ZmProblems) problems = zm_problems_new ();

  if (runtime->state == ZM_STATE_RUNNING)
    zm_runtime_reload (runtime, NULL, changes, problems);
  return G_SOURCE_CONTINUE;
}

static gboolean
on_watchdog (gpointer user)
{
  zm_notify_watchdog (((ZmRuntime *) user)->notify);
  return G_SOURCE_CONTINUE;
}

static void
add_loop_source (ZmRuntime *runtime, GSource *source, GSourceFunc func)
{
  g_source_set_callback (source, func, runtime, NULL);
  g_source_attach (source, runtime->context);
  g_ptr_array_add (runtime->loop_sources, source);
}

static void
say_ready (ZmRuntime *runtime)
{
  g_autoptr (ZmTable) table = zm_table_slot_get (runtime->tables);
  g_autoptr (ZmPluginSet) set = zm_plugins_current (runtime->plugins);
  g_autofree char *text =
      g_strdup_printf ("%u mappings, %u flows, %u plugins", zm_table_n_routes (table),
                       zm_table_n_flows (table), set != NULL ? zm_plugin_set_size (set) : 0);

  zm_log_write (runtime->log, ZM_LEVEL_NOTICE, "runtime", "zmanagerd %s is ready in %s: %s", zm_version (),
                runtime->instance->dir, text);
  zm_notify_ready (runtime->notify, text);
}

/* ---- draining ---- */

static gboolean
on_drained (gpointer user)
{
  ZmRuntime *runtime = user;

  if (runtime->left > 0)
    zm_log_write (runtime->log, ZM_LEVEL_WARNING, "runtime",
                  "drained; %u messages did not end in time and were answered with the error `shutdown`",
                  runtime->left);
  else
    zm_log_write (runtime->log, ZM_LEVEL_NOTICE, "runtime", "drained");
  runtime->state = ZM_STATE_ENDED;
  zm_control_drained (runtime->control, runtime->left);
  g_main_loop_quit (runtime->loop);
  return G_SOURCE_REMOVE;
}

/* The drain waits, and the control socket answers meanwhile. */
static void *
drain_main (void *user)
{
  ZmRuntime *runtime = user;
  gint64 most_us = zm_config_integer (runtime->config, "workers", "drain") * 1000;
  g_autoptr (GSource) done = g_idle_source_new ();

  runtime->left = zm_pool_drain (runtime->pool, zm_now_us () + most_us);
  g_source_set_callback (done, on_drained, runtime, NULL);
  g_source_attach (done, runtime->context);
  return NULL;
}

void
zm_runtime_drain (ZmRuntime *runtime)
{
  if (runtime->state != ZM_STATE_RUNNING)
    return;
  runtime->state = ZM_STATE_DRAINING;
  zm_notify_stopping (runtime->notify, "draining");
  zm_log_write (runtime->log, ZM_LEVEL_NOTICE, "runtime",
                "draining: nothing new is taken, what is inside is finished");
  zm_subject_pause (runtime->subject);
  if (!zm_sources_stop (runtime->sources, zm_now_us () + SOURCES_STOP_US))
    runtime->stuck = TRUE;
  runtime->drain_began = pthread_create (&runtime->drain_thread, NULL, drain_main, runtime) == 0;
  if (!runtime->drain_began)
    drain_main (runtime);
}

int
zm_runtime_run (ZmRuntime *runtime)
{
  guint watchdog_ms = zm_notify_watchdog_ms (runtime->notify);

  signal (SIGPIPE, SIG_IGN);
  add_loop_source (runtime, g_unix_signal_source_new (SIGTERM), on_terminate);
  add_loop_source (runtime, g_unix_signal_source_new (SIGINT), on_terminate);
  add_loop_source (runtime, g_unix_signal_source_new (SIGHUP), on_hangup);
  if (watchdog_ms > 0)
    add_loop_source (runtime, g_timeout_source_new (watchdog_ms), on_watchdog);
  say_ready (runtime);
  g_main_loop_run (runtime->loop);
  return runtime->state == ZM_STATE_ENDED ? 0 : 1;
}

/* ---- taking apart ---- */

/* Workers end before the plugins do, as they hold the table; the pool itself is there until the plugins are gone, whose `stop`
 * may complete calls and end timers. */
static void
stop_plugins (ZmRuntime *runtime)
{
  g_autoptr (ZmProblems) ignored = zm_problems_new ();

  if (runtime->hosting != NULL) {
    zm_hosting_accept (runtime->hosting, FALSE);
    zm_hosting_set_hooks (runtime->hosting, NULL);
  }
  if (runtime->pool != NULL)
    zm_pool_stop (runtime->pool);
  if (runtime->tables != NULL)
    zm_table_slot_swap (runtime->tables, zm_load_table (runtime->config, g_ptr_array_new (),
                                                        g_ptr_array_new (), NULL, ignored));
  g_clear_pointer (&runtime->plugins, zm_plugins_free);
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

/* From the doors inwards: who calls goes before who is called. */
static void
free_rooms (ZmRuntime *runtime)
{
  g_clear_pointer (&runtime->watch, zm_watch_free);
  g_clear_pointer (&runtime->sources, zm_sources_free);
  g_clear_pointer (&runtime->control, zm_control_free);
  stop_plugins (runtime);
  g_clear_pointer (&runtime->pool, zm_pool_free);
  g_clear_pointer (&runtime->subject, zm_subject_free);
  g_clear_pointer (&runtime->externals, zm_externals_free);
  if (runtime->integration != NULL)
    zm_integration_free (g_steal_pointer (&runtime->integration), FLUSH_MS);
  g_clear_pointer (&runtime->gates, zm_gates_free);
  g_clear_pointer (&runtime->tables, zm_table_slot_free);
  if (runtime->keeper != NULL)
    runtime->keeper->ops->free (runtime->keeper);
  g_clear_pointer (&runtime->hosting, zm_hosting_free);
  g_clear_pointer (&runtime->timers, zm_timers_free);
  if (runtime->zmq != NULL)
    zmq_ctx_term (runtime->zmq);
}

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

gboolean
zm_runtime_free (ZmRuntime *runtime)
{
  if (runtime == NULL)
    return TRUE;
  /* A thread that could not be ended may use any of this: it goes with the process, and so does its memory. */
  if (runtime->stuck)
    return FALSE;
  if (runtime->drain_began)
    pthread_join (runtime->drain_thread, NULL);
  free_rooms (runtime);
  free_rest (runtime);
  return TRUE;
}
