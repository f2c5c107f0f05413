/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The HTTP module in the daemon: opened, given its doors, configured, paused, closed. */
#include "config.h"

#include "runtime/http-private.h"

#include "runtime/commands.h"

#include <string.h>

/* ---- is it ready? ---- */

/* Is anything taken? What else is wrong makes it degraded only. */
static gboolean
takes_nothing (ZmRuntime *runtime)
{
  g_autofree char *trouble = NULL;

  if (runtime->state == ZM_STATE_DRAINING || runtime->state == ZM_STATE_ENDED)
    return TRUE;
  if (runtime->durable == NULL)
    return zm_durable_wanted (runtime->config);
  trouble = zm_store_trouble (zm_durable_store (runtime));
  return trouble != NULL;
}

/* Of a daemon that drains, rooms may have ended already. */
static GPtrArray *
reasons_now (ZmRuntime *runtime)
{
  GPtrArray *reasons;

  if (runtime->state != ZM_STATE_DRAINING && runtime->state != ZM_STATE_ENDED)
    return zm_runtime_reasons (runtime);
  reasons = g_ptr_array_new_with_free_func (g_free);
  g_ptr_array_add (reasons, g_strdup ("the daemon is draining"));
  zm_durable_reasons (runtime, reasons);
  return reasons;
}

static char *
reasons_json (const GPtrArray *reasons)
{
  g_autoptr (GString) json = g_string_new ("{");

  zm_reply_member_list (json, "r", (const char *const *) reasons->pdata, reasons->len);
  return g_strdup (json->str + strlen ("{\"r\":"));
}

/* Reasons are the runtime thread's to ask; whoever asks by HTTP is told what was so a moment ago. */
static gboolean
look_ready (gpointer user)
{
  ZmWeb *web = user;
  g_autoptr (GPtrArray) reasons = reasons_now (web->runtime);
  gboolean not_ready = takes_nothing (web->runtime);
  char *before;

  pthread_mutex_lock (&web->ready_lock);
  before = web->reasons;
  web->reasons = reasons->len > 0 ? reasons_json (reasons) : NULL;
  web->not_ready = not_ready;
  pthread_mutex_unlock (&web->ready_lock);
  g_free (before);
  return G_SOURCE_CONTINUE;
}

/* The store may be asked from any thread, and is: who sends messages elsewhere must not learn of its trouble a second later. */
static gboolean
is_ready (gboolean *degraded, char **reasons, gpointer user)
{
  ZmWeb *web = user;
  ZmStore *store = zm_durable_store (web->runtime);
  g_autofree char *trouble = store != NULL ? zm_store_trouble (store) : NULL;
  gboolean ready;

  pthread_mutex_lock (&web->ready_lock);
  ready = !web->not_ready;
  *reasons = g_strdup (web->reasons);
  pthread_mutex_unlock (&web->ready_lock);
  if (ready && trouble != NULL) {
    g_autoptr (GPtrArray) only = g_ptr_array_new ();

    g_ptr_array_add (only, trouble);
    g_free (*reasons);
    *reasons = reasons_json (only);
    ready = FALSE;
  }
  *degraded = *reasons != NULL;
  return ready;
}

/* ---- its life ---- */

void
zm_web_prepare (ZmRuntime *runtime)
{
  ZmWeb *web = g_new0 (ZmWeb, 1);

  web->runtime = runtime;
  web->calls = g_hash_table_new (g_int64_hash, g_int64_equal);
  web->tails = g_ptr_array_new ();
  g_queue_init (&web->commands);
  pthread_mutex_init (&web->calls_lock, NULL);
  pthread_mutex_init (&web->tails_lock, NULL);
  pthread_mutex_init (&web->commands_lock, NULL);
  pthread_mutex_init (&web->ready_lock, NULL);
  runtime->web = web;
}

static ZmHttpHost
host_of (ZmWeb *web, const char *config_dir)
{
  ZmRuntime *runtime = web->runtime;

  return (ZmHttpHost){
    .struct_size = sizeof (ZmHttpHost),
    .build = zm_http_build (),
    .config = runtime->config,
    .queues = runtime->queues,
    .store = zm_durable_store (runtime),
    .timers = runtime->timers,
    .log = runtime->log,
    .metrics = runtime->metrics,
    .run_dir = runtime->instance->run_dir,
    .state_dir = runtime->instance->state_dir,
    .config_dir = config_dir,
    .send = zm_web_send,
    .command = zm_web_command,
    .ready = is_ready,
    .tail = zm_web_tail,
    .untail = zm_web_untail,
    .user = web,
  };
}

/* So that who started the daemon finds it, also where the system chose the port. */
static void
say_endpoints (ZmWeb *web)
{
  for (const char *const *endpoint = web->module->endpoints (web->http); *endpoint != NULL; endpoint++)
    zm_log_write (web->runtime->log, ZM_LEVEL_NOTICE, "http", "HTTP is served at %s", *endpoint);
}

gboolean
zm_web_open (ZmRuntime *runtime, GError **error)
{
  ZmWeb *web = runtime->web;
  ZmHttpHost host = host_of (web, runtime->instance->dir);

  if (zm_config_list (runtime->config, "http", "listen")[0] == NULL)
    return TRUE;
  look_ready (web);
  web->module = zm_http_module_open (error);
  if (web->module != NULL)
    web->http = web->module->open (&host, error);
  if (web->http == NULL) {
    web->module = NULL;
    return FALSE;
  }
  web->ready_look = g_timeout_source_new_seconds (1);
  g_source_set_callback (web->ready_look, look_ready, web, NULL);
  g_source_attach (web->ready_look, runtime->context);
  say_endpoints (web);
  return TRUE;
}

/* What cannot be taken now is a reason to be degraded, and not to refuse the reload: the rest of it is in use. */
void
zm_web_configure (ZmRuntime *runtime)
{
  ZmWeb *web = runtime->web;
  g_autoptr (GError) error = NULL;

  if (web == NULL || web->http == NULL || web->module->configure (web->http, runtime->config, &error))
    return;
  g_ptr_array_add (runtime->reasons, g_strdup (error->message));
  zm_log_write (runtime->log, ZM_LEVEL_WARNING, "http", "%s", error->message);
}

void
zm_web_pause (ZmRuntime *runtime)
{
  ZmWeb *web = runtime->web;

  if (web->http == NULL)
    return;
  look_ready (web);
  web->module->pause (web->http);
}

void
zm_web_close (ZmRuntime *runtime)
{
  ZmWeb *web = runtime->web;

  if (web == NULL || web->http == NULL)
    return;
  atomic_store (&web->closed, 1);
  g_source_destroy (web->ready_look);
  g_clear_pointer (&web->ready_look, g_source_unref);
  zm_web_commands_end (web);
  zm_web_calls_end (web);
  web->module->free (g_steal_pointer (&web->http));
}

void
zm_web_free (ZmRuntime *runtime)
{
  ZmWeb *web = g_steal_pointer (&runtime->web);

  if (web == NULL)
    return;
  g_hash_table_unref (web->calls);
  g_ptr_array_unref (web->tails);
  pthread_mutex_destroy (&web->calls_lock);
  pthread_mutex_destroy (&web->tails_lock);
  pthread_mutex_destroy (&web->commands_lock);
  pthread_mutex_destroy (&web->ready_lock);
  g_free (web->reasons);
  g_free (web);
}

/* ---- what is told ---- */

const char *const *
zm_web_endpoints (ZmRuntime *runtime)
{
  const ZmWeb *web = runtime->web;

  return web != NULL && web->http != NULL ? web->module->endpoints (web->http) : NULL;
}

char *
zm_web_status_json (ZmRuntime *runtime)
{
  const ZmWeb *web = runtime->web;

  return web != NULL && web->http != NULL ? web->module->status_json (web->http) : g_strdup ("null");
}
