/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Opens the rooms from the ground up. The order is what loses nothing: the publisher first, then the sockets that senders
 * push to (they wait in them), the workers, the plugins and their table; only then does the Subject begin to read, and last
 * come the sources.
 */
#include "config.h"

#include "runtime/panic.h"
#include "runtime/private.h"

#include <string.h>

/* ---- what the rooms ask of each other; the two that are gone at the end may still be asked by a hung call that came back ---- */

/* In a worker, which waits here where the publisher's ring is full: this is a forward edge, so the pressure goes on to
 * the Subject. Gone at the end: a call that hung past the drain and came back publishes nothing. */
static gboolean
pool_publish (ZmMessage *const *messages, guint n, gpointer user)
{
  ZmIntegration *integration = ((ZmRuntime *) user)->integration;

  return integration != NULL && zm_integration_publish (integration, messages, n);
}

/* In the publisher's thread, which has one tap: queues that are bound to a topic, and who looks on. */
static void
on_published (ZmMessage *const *messages, guint n, gpointer user)
{
  zm_sends_tap (messages, n, user);
  zm_web_tap (messages, n, user);
}

static gboolean
pool_has_subscriber (ZmSpan topic, gpointer user)
{
  return zm_integration_has_subscriber (((ZmRuntime *) user)->integration, topic);
}

/* In a worker; never waits. */
static gboolean
pool_to_worker (const char *worker, ZmMessage *message, GError **error, gpointer user)
{
  return zm_externals_send (((ZmRuntime *) user)->externals, worker, message, error);
}

/* From any thread that ends a message; never waits. */
static void
worker_ended (const char *worker, const char *how, gint64 before_us, gpointer user)
{
  zm_pool_worker_ended (((ZmRuntime *) user)->pool, worker, how, before_us);
}

static void
pool_reply (guint64 ticket, int status, const ZmMessage *result, gpointer user)
{
  ZmSubject *subject = ((ZmRuntime *) user)->subject;

  if ((ticket & ZM_WEB_TICKET) != 0)
    zm_web_reply (user, ticket, status, result);
  else if (subject != NULL)
    zm_subject_reply (subject, ticket, status, result);
}

/* In the runtime's thread. Its timers end and its deferred calls get their last time before its stop is called. */
static void
generation_retired (ZmGeneration *generation, gpointer user)
{
  zm_pool_retire (((ZmRuntime *) user)->pool, generation);
}

/* ---- the rooms ---- */

static gint64
duration_us (const ZmRuntime *runtime, const char *section, const char *key)
{
  return zm_config_integer (runtime->config, section, key) * 1000;
}

static ZmFramesForm
frames_form (const ZmRuntime *runtime, const char *section)
{
  const char *text = zm_config_text (runtime->config, section, "frames");

  if (g_strcmp0 (text, "multi") == 0)
    return ZM_FRAMES_MULTI;
  return g_strcmp0 (text, "single") == 0 ? ZM_FRAMES_SINGLE : ZM_FRAMES_AUTO;
}

/* The configured endpoints, or the instance's own socket. own: room for two, the caller frees [0] when the list is no
 * longer used. NULL: error. */
static const char *const *
endpoints (const ZmRuntime *runtime, const char *section, const char *name, char **own, GError **error)
{
  const char *const *list = zm_config_list (runtime->config, section, "bind");

  if (list[0] != NULL)
    return list;
  own[0] = zm_instance_bind_endpoint (runtime->instance, name, error);
  return own[0] != NULL ? (const char *const *) own : NULL;
}

/* First, as it is the end of every message's way: from here on a result can be published. */
static gboolean
open_integration (ZmRuntime *runtime, GError **error)
{
  char *own[2] = { NULL, NULL };
  ZmIntegrationConfig config = {
    .zmq = runtime->zmq,
    .bind = endpoints (runtime, "integration", "topics", own, error),
    .connect = zm_config_list (runtime->config, "integration", "connect"),
    .high_water = (int) zm_config_integer (runtime->config, "integration", "high-water"),
    .form = frames_form (runtime, "integration"),
    .wait_for_slow =
        g_strcmp0 (zm_config_text (runtime->config, "integration", "slow-subscriber"), "wait") == 0,
    .allow_multicast = zm_config_boolean (runtime->config, "security", "allow-multicast"),
    .log = runtime->log,
    .metrics = runtime->metrics,
    .gates = runtime->gates,
    .connections = (guint) zm_config_integer (runtime->config, "integration", "connections"),
  };

  if (config.bind != NULL)
    runtime->integration = zm_integration_new (&config, error);
  g_free (own[0]);
  return runtime->integration != NULL;
}

/* Bound before there are workers: what is sent meanwhile waits in the sockets, and no sender sees a daemon that refuses
 * it while plugins load. */
static gboolean
open_subject (ZmRuntime *runtime, GError **error)
{
  char *own[2] = { NULL, NULL }, *own_call[2] = { NULL, NULL };
  ZmSubjectConfig config = {
    .zmq = runtime->zmq,
    .bind = endpoints (runtime, "subject", "subject", own, error),
    .connect = zm_config_list (runtime->config, "subject", "connect"),
    .call_connect = zm_config_list (runtime->config, "call", "connect"),
    .high_water = (int) zm_config_integer (runtime->config, "subject", "high-water"),
    .max_message = zm_config_integer (runtime->config, "subject", "max-message"),
    .form = frames_form (runtime, "subject"),
    .calls_most = (guint) zm_config_integer (runtime->config, "call", "limit"),
    .call_timeout_us = duration_us (runtime, "call", "timeout"),
    .send = zm_sends_from_subject,
    .waits = zm_runtime_waits,
    .user = runtime,
    .tables = runtime->tables,
    .integration = runtime->integration,
    .log = runtime->log,
    .metrics = runtime->metrics,
    .gates = runtime->gates,
    .connections = (guint) zm_config_integer (runtime->config, "subject", "connections"),
    .call_high_water = (int) zm_config_integer (runtime->config, "call", "high-water"),
    .call_max_message = zm_config_integer (runtime->config, "call", "max-message"),
    .call_connections = (guint) zm_config_integer (runtime->config, "call", "connections"),
  };

  if (config.bind != NULL)
    config.call_bind = endpoints (runtime, "call", "call", own_call, error);
  if (config.call_bind != NULL)
    runtime->subject = zm_subject_new (&config, error);
  g_free (own[0]);
  g_free (own_call[0]);
  return runtime->subject != NULL;
}

/* What processes of [worker NAME] are told: where their instance is, and the first endpoint of each kind. They are
 * started with the first load. */
static void
open_externals (ZmRuntime *runtime)
{
  const char *const *subject = zm_subject_endpoints (runtime->subject);
  const char *const *call = zm_subject_call_endpoints (runtime->subject);
  const char *const *topics = zm_integration_endpoints (runtime->integration);
  GPtrArray *environment = g_ptr_array_new_with_free_func (g_free);

  g_ptr_array_add (environment, g_strdup_printf ("ZM_DIR=%s", runtime->instance->dir));
  if (subject != NULL && subject[0] != NULL)
    g_ptr_array_add (environment, g_strdup_printf ("ZM_SUBJECT=%s", subject[0]));
  if (call != NULL && call[0] != NULL)
    g_ptr_array_add (environment, g_strdup_printf ("ZM_CALL=%s", call[0]));
  if (topics != NULL && topics[0] != NULL)
    g_ptr_array_add (environment, g_strdup_printf ("ZM_TOPICS=%s", topics[0]));
  g_ptr_array_add (environment, NULL);
  runtime->externals = zm_externals_new (runtime->zmq, runtime->instance->run_dir, runtime->instance->dir,
                                         (const char *const *) environment->pdata,
                                         ZM_RUNTIME_EXTERNAL_HIGH_WATER, runtime->log, runtime->metrics);
  zm_externals_set_gates (runtime->externals, runtime->gates);
  g_ptr_array_unref (environment);
}

/* The workers begin to wait here; messages come when the Subject starts. Its doors lead to rooms that exist by now. */
static gboolean
open_pool (ZmRuntime *runtime, GError **error)
{
  const char *ordering = zm_config_text (runtime->config, "workers", "ordering");
  ZmPoolConfig config = {
    .workers = (guint) zm_config_integer (runtime->config, "zmanager", "workers"),
    .ring = (guint) zm_config_integer (runtime->config, "workers", "ring"),
    .ordering = g_strcmp0 (ordering, "context") == 0 ? ZM_ORDERING_CONTEXT
                : g_strcmp0 (ordering, "key") == 0   ? ZM_ORDERING_KEY
                                                     : ZM_ORDERING_NONE,
    .deferred_most = (guint) zm_config_integer (runtime->config, "workers", "deferred-limit"),
    .hard_after_us = duration_us (runtime, "workers", "hard-after"),
    .wait_timeout_us = duration_us (runtime, "workers", "wait-timeout"),
    .wait_for_taker_us = duration_us (runtime, "workers", "wait-for-taker"),
    .replacements_most = (guint) zm_config_integer (runtime->config, "workers", "replacements"),
    .guard_bodies = runtime->dev,
    .tables = runtime->tables,
    .keeper = runtime->keeper,
    .timers = runtime->timers,
    .hosts = runtime->hosts,
    .publish = pool_publish,
    .has_subscriber = pool_has_subscriber,
    .durable_end = zm_sends_ended,
    .to_worker = pool_to_worker,
    .reply = pool_reply,
    .hung = zm_succeed_hung,
    .user = runtime,
    .log = runtime->log,
    .metrics = runtime->metrics,
    .checkpoints = &runtime->checkpoints,
  };

  zm_flow_states_door (runtime);
  runtime->pool = zm_pool_new (&config, error);
  zm_panic_set_pool (runtime->pool);
  if (runtime->pool != NULL)
    zm_externals_set_ended (runtime->externals, worker_ended, runtime);
  return runtime->pool != NULL;
}

/* The registry; nothing is loaded yet. Copies of plugins go below state, as run is commonly mounted noexec. */
static void
open_plugins (ZmRuntime *runtime)
{
  g_auto (GStrv) path =
      zm_instance_plugin_dirs (runtime->instance, zm_config_list (runtime->config, "zmanager", "plugin-path"),
                               zm_config_boolean (runtime->config, "zmanager", "system-plugins"));
  g_autofree char *copies = zm_instance_copy_dir (runtime->instance);
  g_autofree char *probe = zm_plugins_find_probe ();
  const char *no_dlclose = g_getenv ("ZM_NO_DLCLOSE");
  ZmPluginsConfig config = {
    .path = (const char *const *) path,
    .copy_directory = copies,
    .probe_program = probe,
    .carrier = zm_hosts_carrier (runtime->hosts),
    .no_dlclose = no_dlclose != NULL && *no_dlclose != '\0' && strcmp (no_dlclose, "0") != 0,
    .drain_ms = (guint) zm_config_integer (runtime->config, "workers", "drain"),
    .log = runtime->log,
    .metrics = runtime->metrics,
    .retired = generation_retired,
    .user = runtime,
  };

  zm_hosting_fill (&config.host);
  runtime->plugins = zm_plugins_new (&config);
}

/* Until the files are read, a table that leads nowhere, so that whoever looks finds one. */
static gboolean
open_tables (ZmRuntime *runtime)
{
  g_autoptr (ZmProblems) none = zm_problems_new ();

  runtime->tables = zm_table_slot_new ();
  zm_table_slot_swap (runtime->tables,
                      zm_load_table (runtime->config, g_ptr_array_new (), g_ptr_array_new (), NULL, none));
  runtime->keeper = zm_keeper_memory_new (ZM_RUNTIME_WAITING_MOST);
  return TRUE;
}

/* Directories are watched and not files, as editors replace files by renaming others over them. The main file is one
 * name in a folder in which all else is no concern. */
gboolean
zm_runtime_watch (ZmRuntime *runtime, GError **error)
{
  const ZmInstance *instance = runtime->instance;
  const char *const own[] = { instance->config_dir, instance->actions_dir, instance->flows_dir, NULL };
  g_auto (GStrv) plugins =
      zm_instance_plugin_dirs (instance, zm_config_list (runtime->config, "zmanager", "plugin-path"),
                               zm_config_boolean (runtime->config, "zmanager", "system-plugins"));

  g_autofree char *folder = g_path_get_dirname (instance->config_file);
  g_autofree char *name = g_path_get_basename (instance->config_file);

  if (!zm_watch_add_name (runtime->watch, folder, name, error))
    return FALSE;
  for (const char *const *directory = own; *directory != NULL; directory++)
    if (!zm_watch_add (runtime->watch, *directory, FALSE, error))
      return FALSE;
  for (char **directory = plugins; *directory != NULL; directory++)
    if (!zm_watch_add (runtime->watch, *directory, TRUE, error))
      return FALSE;
  return TRUE;
}

/* The store goes before all other plugins, so that what they have kept is there for their init. Where that does not work nothing is
 * said: the load, which comes next, says what is wrong and where, and the store is opened after it. */
static void
open_store_first (ZmRuntime *runtime)
{
  const char *driver = zm_durable_driver (runtime->config);
  const char *const wanted[] = { driver, NULL };
  g_autoptr (ZmProblems) unsaid = zm_problems_new ();
  ZmPluginSet *set;

  if (!zm_durable_wanted (runtime->config))
    return;
  zm_plugins_scan (runtime->plugins, unsaid);
  set = zm_plugins_prepare (runtime->plugins, runtime->config, wanted, NULL, unsaid);
  if (set != NULL && zm_plugin_set_find (set, driver) != NULL && zm_problems_errors (unsaid) == 0) {
    zm_plugins_commit (runtime->plugins, set);
    zm_durable_open (runtime, NULL);
  } else if (set != NULL) {
    zm_plugins_discard (runtime->plugins, set);
  }
  runtime->store = zm_durable_store (runtime);
}

/* On failure what was opened stays in the runtime, which zm_runtime_free takes apart from whatever state it is in. */
gboolean
zm_runtime_start (ZmRuntime *runtime, ZmProblems *problems, GError **error)
{
  const ZmPublishTap taps = { on_published, runtime };
  ZmLoad *load;

  runtime->timers = zm_timers_new (error);
  runtime->gates =
      runtime->timers ? zm_gates_new (runtime->zmq, runtime->log, runtime->metrics, error) : NULL;
  if (runtime->gates == NULL || !open_tables (runtime) || !open_integration (runtime, error) ||
      !open_subject (runtime, error))
    return FALSE;
  zm_web_prepare (runtime);
  zm_integration_set_tap (runtime->integration, &taps);
  open_externals (runtime);
  runtime->hosting = zm_hosting_new (runtime);
  if (!zm_outside_open (runtime, error) || !open_pool (runtime, error))
    return FALSE;
  open_plugins (runtime);
  runtime->sources = zm_sources_new (runtime);
  open_store_first (runtime);
  if (!zm_sends_open_queues (runtime, error))
    return FALSE;
  load = zm_load_new (runtime, NULL, problems);
  if (load == NULL)
    return FALSE;
  zm_runtime_commit (runtime, load);
  if (!zm_durable_open (runtime, error) || !zm_sends_open (runtime, error))
    return FALSE;
  zm_sends_configure (runtime);
  zm_hosting_accept (runtime->hosting, TRUE);
  return zm_subject_start (runtime->subject, runtime->pool, error);
}
