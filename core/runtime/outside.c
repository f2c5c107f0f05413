/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Plugins that run outside this process: the room hosts is opened, and what they emit and ask comes in here. */
#include "config.h"

#include "runtime/private.h"

static void
calls_ended (ZmHostCall *calls, gpointer user)
{
  ZmRuntime *runtime = user;

  zm_pool_hosted_ended (runtime->pool, calls);
}

static void
became_idle (ZmGeneration *generation, gpointer user)
{
  ZmRuntime *runtime = user;

  zm_pool_hosted_idle (runtime->pool, generation);
}

static int
emitted (ZmGeneration *generation, const zm_event *event, guint hops, gpointer user)
{
  (void) user;
  return zm_hosting_emit (generation, event, NULL, hops);
}

static int
asked (ZmGeneration *generation, const zm_event *event, guint hops, int timeout_ms, zm_result_fn done,
       void *done_user, gpointer user)
{
  (void) user;
  return zm_hosting_call (generation, event, hops, timeout_ms, done, done_user);
}

static int
put (ZmGeneration *generation, const zm_put *what, zm_done_fn done, void *done_user, gpointer user)
{
  (void) user;
  return zm_hosting_put (generation, what, done, done_user);
}

static int
wait_empty (ZmGeneration *generation, const char *queue, const char *key, int timeout_ms, zm_done_fn done,
            void *done_user, gpointer user)
{
  (void) user;
  return zm_hosting_wait_empty (generation, queue, key, timeout_ms, done, done_user);
}

static int
send_durable (ZmGeneration *generation, const zm_event *event, guint hops, zm_done_fn done, void *done_user,
              gpointer user)
{
  (void) user;
  return zm_hosting_emit_durable (generation, event, NULL, hops, NULL, done, done_user);
}

static int
keep (ZmGeneration *generation, const char *name, const void *data, gsize size, zm_done_fn done,
      void *done_user, gpointer user)
{
  (void) user;
  return zm_hosting_keep (generation, name, data, size, done, done_user);
}

static int
kept (ZmGeneration *generation, const char *name, GBytes **value, gpointer user)
{
  (void) user;
  return zm_hosting_kept (generation, name, value);
}

static gboolean
accepts (gpointer user)
{
  ZmRuntime *runtime = user;

  return !zm_hosting_over (runtime->hosting);
}

/* Reports of crashes lie beside the private copies, which nobody else may look into. Without the program nothing can be
 * placed outside, which the registry says of each plugin that should be. */
gboolean
zm_outside_open (ZmRuntime *runtime, GError **error)
{
  g_autofree char *program = zm_plugins_find_host ();
  const ZmHostsConfig config = {
    .program = program,
    .directory = runtime->instance->dir,
    .report_directory = runtime->instance->state_dir,
    .call_ms = ZM_RUNTIME_LOAD_MS,
    .drain_ms = (guint) zm_config_integer (runtime->config, "workers", "drain"),
    .hard_after_us = zm_config_integer (runtime->config, "workers", "hard-after") * 1000,
    .ended = calls_ended,
    .idle = became_idle,
    .emit = emitted,
    .ask = asked,
    .put = put,
    .wait_empty = wait_empty,
    .send = send_durable,
    .keep = keep,
    .kept = kept,
    .accepts = accepts,
    .user = runtime,
    .log = runtime->log,
    .metrics = runtime->metrics,
  };

  runtime->hosts = zm_hosts_new (&config, error);
  return runtime->hosts != NULL;
}
