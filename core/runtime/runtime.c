/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The life of a daemon: made and run. How it ends stands in stop.c. */
#include "config.h"

#include "runtime/private.h"

#include "base/version.h"
#include "runtime/audit.h"
#include "runtime/panic.h"

#include <errno.h>
#include <glib-unix.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Descriptors wanted; the hard limit may be less. */
#define DESCRIPTORS 524288

/* ---- making ---- */

/* A reload reads the same layers again, when the caller's strings are long gone. The path is made absolute, as somebody
 * may change the directory. */
static void
copy_options (ZmRuntime *runtime, const ZmRuntimeOptions *options)
{
  runtime->config_file = options->config_file ? g_canonicalize_filename (options->config_file, NULL) : NULL;
  runtime->settings = g_strdupv ((char **) options->settings);
  runtime->log_format = g_strdup (options->log_format);
  runtime->log_level = g_strdup (options->log_level);
  runtime->dev = options->dev;
}

/* Each connection is a descriptor, and with none left libzmq burns a core. */
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

/* The log is made once the configuration is known; before that, problems go to who started us. */
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

/* Directory, configuration, lock, log: what is needed before anything is opened. The lock comes before the sockets, so
 * that a second daemon cannot take them from the first. Nothing is made on disk while the configuration has errors. */
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

/* The state directory is there by now, and no plugin yet. The log's form is told apart as the log does it. */
static void
open_panic (ZmRuntime *runtime, const ZmRuntimeOptions *options)
{
  if (options->panic_report)
    zm_panic_install (runtime->instance->state_dir, zm_log_is_json (runtime->log));
}

void
zm_runtime_expect_exit (void)
{
  zm_panic_expect_exit ();
}

/* Problems are in the log only: nobody waits for an answer. */
static void
reload_unasked (ZmRuntime *runtime, const char *by)
{
  g_autoptr (GPtrArray) changes = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (ZmProblems) problems = zm_problems_new ();
  gboolean good = zm_runtime_reload (runtime, NULL, changes, problems);

  zm_audit_reload (runtime, by, good);
}

/* A directory changed, and has been quiet since. What it was does not matter: everything is read again, and what is the
 * same stays. */
static void
on_watched (const char *path, gpointer user)
{
  ZmRuntime *runtime = user;
  g_autofree char *by = NULL;

  if (runtime->state != ZM_STATE_RUNNING)
    return;
  zm_log_write (runtime->log, ZM_LEVEL_DEBUG, "runtime", "something changed in %s", path);
  by = g_strdup_printf ("a change in %s", path);
  reload_unasked (runtime, by);
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

/* Sources come last, when everything that their events need is there, the control socket included: who starts the
 * daemon and finds the socket finds all of it. */
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
  open_panic (runtime, options);
  if (!zm_audit_check (runtime, error))
    return NULL;
  raise_limits (runtime);
  if (!zm_runtime_start (runtime, problems, error))
    return NULL;
  log_warnings (runtime, problems);
  open_watch (runtime);
  runtime->control = zm_control_new (runtime, error);
  if (runtime->control == NULL)
    return NULL;
  if (!zm_web_open (runtime, error))
    return NULL;
  runtime->state = ZM_STATE_RUNNING;
  {
    g_autoptr (ZmPluginSet) set = zm_plugins_current (runtime->plugins);

    zm_sources_apply (runtime->sources, runtime->config, set);
  }
  return g_steal_pointer (&runtime);
}

/* ---- running ---- */

const char *
zm_runtime_plural (guint n)
{
  return n == 1 ? "" : "s";
}

/* Asked at each status and top, so each room tells what is true now; nothing is remembered but what only a load can
 * find. */
GPtrArray *
zm_runtime_reasons (ZmRuntime *runtime)
{
  GPtrArray *reasons = g_ptr_array_new_with_free_func (g_free);
  char *lost;

  for (guint i = 0; i < runtime->reasons->len; i++)
    g_ptr_array_add (reasons, g_strdup (runtime->reasons->pdata[i]));
  if (runtime->refused != NULL)
    g_ptr_array_add (reasons, g_strdup_printf ("last reload refused: %s", runtime->refused));
  if ((lost = zm_audit_lost (runtime)) != NULL)
    g_ptr_array_add (reasons, lost);
  zm_sources_reasons (runtime->sources, reasons);
  zm_succeed_reasons (runtime, reasons);
  zm_gates_reasons (runtime->gates, reasons);
  zm_integration_reasons (runtime->integration, reasons);
  if (runtime->externals != NULL)
    zm_externals_reasons (runtime->externals, reasons);
  zm_hosts_reasons (runtime->hosts, reasons);
  zm_durable_reasons (runtime, reasons);
  if (zm_pool_hung (runtime->pool) > 0)
    g_ptr_array_add (reasons,
                     g_strdup_printf ("calls that hang past their hard deadline: %u; see zmanagerctl running",
                                      zm_pool_hung (runtime->pool)));
  return reasons;
}

/* Degraded is whatever has a reason: there is no second list of what counts. */
const char *
zm_runtime_state_name (ZmRuntime *runtime)
{
  g_autoptr (GPtrArray) reasons = NULL;

  if (runtime->state == ZM_STATE_DRAINING || runtime->state == ZM_STATE_ENDED)
    return "draining";
  reasons = zm_runtime_reasons (runtime);
  return reasons->len > 0 ? "degraded" : "ready";
}

/* SIGTERM and SIGINT. Once: drain. Twice: whoever is in a hurry has the last word; what still runs is left alone and
 * goes with the process. */
static gboolean
on_terminate (gpointer user)
{
  ZmRuntime *runtime = user;

  if (runtime->state != ZM_STATE_DRAINING) {
    zm_audit_act (runtime, "drain", "SIGTERM or SIGINT", ZM_AUDIT_OK, NULL);
    zm_runtime_drain (runtime);
    return G_SOURCE_CONTINUE;
  }
  zm_audit_act (runtime, "stop at once", "SIGTERM or SIGINT", ZM_AUDIT_OK, NULL);
  zm_log_write (runtime->log, ZM_LEVEL_WARNING, "runtime",
                "told to stop a second time: the drain is given up");
  runtime->stuck = TRUE;
  g_main_loop_quit (runtime->loop);
  return G_SOURCE_CONTINUE;
}

/* Who sent it the main loop is not told. */
static gboolean
on_hangup (gpointer user)
{
  ZmRuntime *runtime = user;

  if (runtime->state == ZM_STATE_RUNNING)
    reload_unasked (runtime, "SIGHUP");
  return G_SOURCE_CONTINUE;
}

/* Fed by the main loop itself, so a loop that stands still is seen by the service manager. */
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

/* In the log for people, and to the service manager, with the same words. */
static void
say_ready (ZmRuntime *runtime)
{
  g_autoptr (ZmTable) table = zm_table_slot_get (runtime->tables);
  g_autoptr (ZmPluginSet) set = zm_plugins_current (runtime->plugins);
  guint mappings = zm_table_n_routes (table), flows = zm_table_n_flows (table);
  guint plugins = set != NULL ? zm_plugin_set_size (set) : 0;
  g_autofree char *text =
      g_strdup_printf ("%u mapping%s, %u flow%s, %u plugin%s", mappings, zm_runtime_plural (mappings), flows,
                       zm_runtime_plural (flows), plugins, zm_runtime_plural (plugins));

  zm_log_write (runtime->log, ZM_LEVEL_NOTICE, "runtime", "zmanagerd %s is ready in %s: %s", zm_version (),
                runtime->instance->dir, text);
  zm_notify_ready (runtime->notify, text);
}

/* Signals are sources of the loop, so they are handled between commands and never in the midst of one. */
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
