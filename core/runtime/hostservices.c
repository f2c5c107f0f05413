/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The host's services table. A service finds its runtime through the generation that the table belongs to. Everything that
 * a plugin hands in is checked here: it is code of somebody else.
 */
#include "config.h"

#include "plugin/zm-event.h"
#include "runtime/hosting-private.h"
#include "runtime/private.h"

#include <string.h>

/* The table that a plugin calls belongs to its generation, so no global is needed to come from a plugin's call to the
 * daemon, and two daemons in one process would not mix. */
static ZmRuntime *
runtime_of (ZmGeneration *generation)
{
  return zm_generation_owner (generation);
}

/* Protocol plugins are output only: what they have to tell goes by delivery events. */
static gboolean
may_send (ZmGeneration *generation)
{
  const ZmManifest *manifest = zm_generation_manifest (generation);

  return manifest == NULL || g_strcmp0 (manifest->kind, "protocol") != 0;
}

/* ---- messages of plugins ---- */

/* The id of a message that brings none. One maker for all plugins, under the lock: ids are in order of time. */
static void
make_id (ZmHosting *hosting, char out[ZM_UUID_SIZE])
{
  pthread_mutex_lock (&hosting->lock);
  zm_uuid_make (&hosting->ids, zm_wall_us (), out);
  pthread_mutex_unlock (&hosting->lock);
}

/* The header `timeout`, milliseconds from receipt, as with pushed messages. Headers are checked by now; a value that
 * cannot be read gives no deadline. */
static void
set_deadline (ZmMessage *message)
{
  g_autofree char *text = message->has_headers ? zm_message_header (message, "timeout") : NULL;
  gint64 ms = 0;

  if (text != NULL && zm_parse_integer (text, 1, G_MAXINT, &ms, NULL))
    message->deadline_us = zm_now_us () + ms * 1000;
}

/* TRUE for the runtime's own names. From the Subject's sockets it is counted and told, and so it is here: a plugin must
 * not be able to publish what passes for a result of the runtime. */
static gboolean
is_forged (ZmGeneration *generation, const ZmKey *key, ZmSpan flow)
{
  ZmRuntime *runtime = runtime_of (generation);

  if (!zm_key_reserved (key) && (flow.size == 0 || flow.data[0] != '^'))
    return FALSE;
  zm_counter_add (runtime->hosting->denied, 1);
  zm_log_limited (runtime->log, ZM_LEVEL_WARNING, "plugin", "emit-reserved",
                  "plugin %s: a message was refused: done, error and names that begin with ^ belong to the "
                  "runtime",
                  zm_generation_name (generation));
  return TRUE;
}

/* Hops go on counting from the call that the emit is made in, so that a circle of emits ends. */
ZmMessage *
zm_hosting_message (ZmGeneration *generation, const zm_event *from, const char *key_text, guint hops,
                    int *status)
{
  ZmRuntime *runtime = runtime_of (generation);
  zm_event event;
  ZmKey key;
  ZmSpan flow, headers, id;
  char made[ZM_UUID_SIZE];
  ZmMessage *message;

  *status = ZM_E_INVALID;
  if (!zm_event_read (from, &event))
    return NULL;
  key_text = key_text != NULL ? key_text : event.key;
  flow = zm_span_text (event.flow);
  headers = zm_span_text (event.headers);
  id = zm_span_text (event.id);
  if (key_text == NULL || !zm_key_parse (zm_span_text (key_text), &key, NULL, NULL) ||
      !zm_event_check (&event))
    return NULL;
  *status = ZM_E_DENIED;
  if (is_forged (generation, &key, flow))
    return NULL;
  *status = ZM_E_MEMORY;
  if (event.body_size > runtime->hosting->body_most)
    return NULL;
  if (id.size == 0) {
    make_id (runtime->hosting, made);
    id = zm_span (made, ZM_UUID_SIZE);
  }
  message = zm_message_new (flow, &key, id, headers, zm_span (event.body, event.body_size));
  message->origin = ZM_ORIGIN_EMIT;
  message->attempt = 1;
  message->hops = (guint16) MIN (hops + 1, G_MAXUINT16);
  set_deadline (message);
  *status = ZM_OK;
  return message;
}

int
zm_hosting_refuses (ZmGeneration *generation, const ZmMessage *message)
{
  ZmRuntime *runtime = runtime_of (generation);

  if (message->hops > ZM_HOPS_MOST) {
    zm_counter_add (runtime->hosting->loops, 1);
    zm_log_limited (runtime->log, ZM_LEVEL_WARNING, "plugin", "emit-loop",
                    "plugin %s: a message was emitted over %d hops and is refused: its actions call each "
                    "other in a circle",
                    zm_generation_name (generation), ZM_HOPS_MOST);
    return ZM_E_DENIED;
  }
  /* A plugin that authorises is asked later, in the worker; what it emits itself while it is asked would never end. */
  if (zm_pool_authorising (runtime->pool)) {
    zm_counter_add (runtime->hosting->denied, 1);
    return ZM_E_DENIED;
  }
  return ZM_OK;
}

gboolean
zm_hosting_accepting (ZmHosting *hosting)
{
  return atomic_load_explicit (&hosting->accepting, memory_order_acquire);
}

/* Never waits: the ring is full, or the daemon drains: AGAIN, and the plugin decides whether it tries again. While
 * draining, what an instance waits for still goes in. */
int
zm_hosting_emit (ZmGeneration *generation, const zm_event *event, const char *key, guint hops)
{
  ZmRuntime *runtime = runtime_of (generation);
  ZmMessage *message;
  int status;

  if (!may_send (generation))
    return ZM_E_UNSUPPORTED;
  message = zm_hosting_message (generation, event, key, hops, &status);
  if (message == NULL)
    return status;
  status = zm_hosting_accepting (runtime->hosting) || zm_pool_awaits (runtime->pool, message)
               ? zm_hosting_refuses (generation, message)
               : ZM_E_AGAIN;
  if (status == ZM_OK && zm_pool_try_push (runtime->pool, &message, 1) == 1) {
    zm_counter_add (runtime->hosting->emitted, 1);
    return ZM_OK;
  }
  zm_message_unref (message);
  return status == ZM_OK ? ZM_E_AGAIN : status;
}

guint
zm_hosting_hops (ZmGeneration *generation)
{
  return zm_pool_current_hops (runtime_of (generation)->pool);
}

static int
host_emit (const zm_host *host, const zm_event *event)
{
  ZmGeneration *generation = zm_generation_of_host (host);

  return zm_hosting_emit (generation, event, NULL, zm_hosting_hops (generation));
}

/* The same checks as for an emit: a call is a message whose result comes back. done is called once, in a worker, also
 * where the call fails later; not where this says no. */
int
zm_hosting_call (ZmGeneration *generation, const zm_event *event, guint hops, int timeout_ms,
                 zm_result_fn done, void *user)
{
  ZmRuntime *runtime = runtime_of (generation);
  ZmMessage *message;
  int status;

  if (!may_send (generation))
    return ZM_E_UNSUPPORTED;
  if (done == NULL)
    return ZM_E_INVALID;
  if (!zm_hosting_accepting (runtime->hosting))
    return ZM_E_AGAIN;
  message = zm_hosting_message (generation, event, NULL, hops, &status);
  if (message == NULL)
    return status;
  status = zm_hosting_refuses (generation, message);
  if (status != ZM_OK) {
    zm_message_unref (message);
    return status;
  }
  return zm_pool_call_action (runtime->pool, generation, message, timeout_ms, done, user);
}

static int
host_call_action (const zm_host *host, const zm_event *event, int timeout_ms, zm_result_fn done, void *user)
{
  ZmGeneration *generation = zm_generation_of_host (host);

  return zm_hosting_call (generation, event, zm_hosting_hops (generation), timeout_ms, done, user);
}

/* ---- the rest ---- */

/* Level and text come from a plugin: the level is bounded, the text is escaped by the log. The plugin's name goes along
 * as a field. */
static void
host_log (const zm_host *host, int level, const char *text)
{
  ZmGeneration *generation = zm_generation_of_host (host);
  ZmLevel clamped = (ZmLevel) CLAMP (level, ZM_LOG_ERROR, ZM_LOG_DEBUG);

  zm_hosting_log (runtime_of (generation)->hosting, zm_generation_name (generation), clamped,
                  text != NULL ? text : "");
}

static const char *
host_config (const zm_host *host, const char *key, unsigned index)
{
  return key != NULL ? zm_generation_config (zm_generation_of_host (host), key, index) : NULL;
}

/* The name becomes the action of the key that the timer's calls have, so it must be fit for a topic. */
static zm_ticket
host_timer_start (const zm_host *host, const char *name, zm_action_fn action, unsigned first_ms,
                  unsigned period_ms)
{
  ZmGeneration *generation = zm_generation_of_host (host);

  if (!may_send (generation) || name == NULL || action == NULL ||
      !zm_name_check (zm_span_text (name), NULL, NULL))
    return 0;
  return zm_pool_timer_start (runtime_of (generation)->pool, generation, name, action, first_ms, period_ms);
}

static int
host_timer_stop (const zm_host *host, zm_ticket timer)
{
  ZmGeneration *generation = zm_generation_of_host (host);

  return zm_pool_timer_stop (runtime_of (generation)->pool, generation, timer);
}

/* From any thread of the plugin. A ticket of another plugin is refused by the pool. */
static int
host_complete (const zm_host *host, zm_ticket ticket, const zm_outcome *outcome)
{
  ZmGeneration *generation = zm_generation_of_host (host);

  return outcome != NULL ? zm_pool_complete (runtime_of (generation)->pool, generation, ticket, outcome)
                         : ZM_E_INVALID;
}

static int
host_ticket_cancelled (const zm_host *host, zm_ticket ticket)
{
  return zm_pool_ticket_cancelled (runtime_of (zm_generation_of_host (host))->pool, ticket);
}

static int
host_metric (const zm_host *host, int kind, const char *name, double value)
{
  ZmGeneration *generation = zm_generation_of_host (host);

  return zm_hosting_metric (runtime_of (generation)->hosting, zm_generation_name (generation), kind, name,
                            value);
}

/* Without wake a thread could not be ended, and its code not be unloaded. */
static int
host_thread_start (const zm_host *host, const char *name, void (*run) (void *user), void (*wake) (void *user),
                   void *user)
{
  if (name == NULL || run == NULL || wake == NULL)
    return ZM_E_INVALID;
  return zm_generation_thread_start (zm_generation_of_host (host), name, run, wake, user);
}

/* Members of later minor versions are zero by the memset, which ZM_HAS finds. */
void
zm_hosting_fill (zm_host *host)
{
  memset (host, 0, sizeof *host);
  host->struct_size = sizeof *host;
  host->abi_minor = ZM_ABI_MINOR;
  zm_pool_fill_host (host);
  host->complete = host_complete;
  host->ticket_cancelled = host_ticket_cancelled;
  host->log = host_log;
  host->config = host_config;
  host->emit = host_emit;
  host->call_action = host_call_action;
  host->timer_start = host_timer_start;
  host->timer_stop = host_timer_stop;
  host->metric = host_metric;
  host->thread_start = host_thread_start;
  zm_hosting_fill_queues (host);
}
