/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Services of plugins that need the store: queues, durable messages, kept state. Without a store each of them says
 * ZM_E_UNSUPPORTED. What a plugin hands in is checked here, as it is code of somebody else; also what comes from a host.
 */
#include "config.h"

#include "plugin/zm-event.h"
#include "runtime/hosting-private.h"
#include "runtime/kept.h"
#include "runtime/private.h"

#define WAIT_MOST_MS 86400000
#define MS_A_SECOND  1000

/* Components and sources; protocols are output only, and a store does not store in itself. */
static gboolean
may_store (ZmGeneration *generation)
{
  const ZmManifest *manifest = zm_generation_manifest (generation);
  ZmRuntime *runtime = zm_generation_owner (generation);

  if (atomic_load (&runtime->hosting->store_over))
    return FALSE;
  return manifest == NULL ||
         (g_strcmp0 (manifest->kind, "protocol") != 0 && g_strcmp0 (manifest->kind, "store") != 0);
}

/* A plugin's stop, which comes later, may still ask. */
void
zm_hosting_end_store (ZmHosting *hosting)
{
  atomic_store (&hosting->store_over, TRUE);
}

static ZmQueues *
queues_of (ZmGeneration *generation)
{
  ZmRuntime *runtime = zm_generation_owner (generation);

  return may_store (generation) ? runtime->queues : NULL;
}

static ZmQueueName
queue_name (const char *name)
{
  return (ZmQueueName){ .name = zm_span_text (name) };
}

/* In the store's thread, or in that of who asks. */
static void
answered (const ZmQueueAnswer *answer, const GError *error, gpointer user)
{
  (void) answer;
  zm_asked_over (user, zm_asked_status (user, error));
}

/* Rounded up: what is asked to stay a moment stays. 0: `none`. */
static gint64
seconds (gint64 ms, gint64 none)
{
  return ms > 0 ? ms / MS_A_SECOND + (ms % MS_A_SECOND > 0) : none;
}

/* ---- queues ---- */

int
zm_hosting_put (ZmGeneration *generation, const zm_put *from, zm_done_fn done, void *user)
{
  ZmRuntime *runtime = zm_generation_owner (generation);
  ZmQueues *queues = queues_of (generation);
  ZmAsked *asked;
  ZmPut put = { 0 };
  zm_put read;

  if (queues == NULL)
    return ZM_E_UNSUPPORTED;
  if (!zm_put_read (from, &read) || !zm_put_check (&read))
    return ZM_E_INVALID;
  if (read.body_size > runtime->hosting->body_most)
    return ZM_E_MEMORY;
  asked = zm_asked_new (generation, done, user);
  if (asked == NULL)
    return ZM_E_AGAIN;
  put.body = zm_span (read.body, read.body_size);
  put.headers = zm_span_text (read.headers);
  put.key = zm_span_text (read.key);
  put.id = zm_span_text (read.id);
  put.ttl_s = seconds (read.ttl_ms, -1);
  put.delay_s = seconds (read.delay_ms, 0);
  if (read.how == ZM_PUT_ALWAYS)
    zm_queue_put (queues, queue_name (read.queue), &put, 1, answered, asked);
  else
    zm_queue_put_how (queues, queue_name (read.queue), &put,
                      read.how == ZM_PUT_REPLACE ? ZM_PUT_REPLACE_ : ZM_PUT_IF_EMPTY_, answered, asked);
  return zm_asked_returns (asked);
}

static int
host_put (const zm_host *host, const zm_put *put, zm_done_fn done, void *user)
{
  return zm_hosting_put (zm_generation_of_host (host), put, done, user);
}

int
zm_hosting_wait_empty (ZmGeneration *generation, const char *queue, const char *key, int timeout_ms,
                       zm_done_fn done, void *user)
{
  ZmQueues *queues = queues_of (generation);
  gint64 until_us = zm_now_us () + (gint64) CLAMP (timeout_ms, 0, WAIT_MOST_MS) * 1000;
  ZmAsked *asked;

  if (queues == NULL)
    return ZM_E_UNSUPPORTED;
  if (done == NULL || !zm_queue_name_check (queue) || zm_span_text (key).size > ZM_PUT_KEY_MOST)
    return ZM_E_INVALID;
  asked = zm_asked_new (generation, done, user);
  if (asked == NULL)
    return ZM_E_AGAIN;
  zm_asked_until (asked, until_us);
  zm_queue_wait_empty (queues, queue_name (queue), zm_span_text (key), until_us, answered, asked);
  return zm_asked_returns (asked);
}

static int
host_wait_empty (const zm_host *host, const char *queue, const char *key, int timeout_ms, zm_done_fn done,
                 void *user)
{
  return zm_hosting_wait_empty (zm_generation_of_host (host), queue, key, timeout_ms, done, user);
}

/* ---- durable messages ---- */

/* In the store's thread, or in that of who asks. A duplicate is as good as the first. */
static void
was_sent (int status, const char *json, gpointer user)
{
  (void) json;
  zm_asked_over (user, MIN (status, ZM_OK));
}

static int
send_message (ZmGeneration *generation, ZmMessage *message, zm_done_fn done, void *user)
{
  ZmAsked *asked = zm_asked_new (generation, done, user);

  if (asked == NULL)
    return ZM_E_AGAIN;
  zm_message_ref (message);
  if (!zm_sends_put (zm_generation_owner (generation), &message, 1, was_sent, asked)) {
    zm_message_unref (message);
    zm_asked_over (asked, ZM_E_UNSUPPORTED);
  }
  return zm_asked_returns (asked);
}

/* Into a queue, for who reads it: the whole topic goes along, by which it is seen what it is. Only an id that the plugin gave tells
 * a second one of the same: ours is new each time. */
static int
store_message (ZmGeneration *generation, ZmMessage *message, gboolean own_id, const char *queue,
               zm_done_fn done, void *user)
{
  g_autofree char *order = message->has_headers ? zm_message_header (message, "ordering-key") : NULL;
  ZmAsked *asked = zm_asked_new (generation, done, user);
  const ZmPut put = { .body = zm_message_body (message),
                      .headers = zm_message_headers (message),
                      .topic = zm_message_topic (message),
                      .key = zm_span_text (order),
                      .id = own_id ? message->topic.id : zm_span (NULL, 0),
                      .ttl_s = -1,
                      .delay_s = -1 };

  if (asked == NULL)
    return ZM_E_AGAIN;
  zm_queue_put (queues_of (generation), queue_name (queue), &put, 1, answered, asked);
  return zm_asked_returns (asked);
}

int
zm_hosting_emit_durable (ZmGeneration *generation, const zm_event *event, const char *key, guint hops,
                         const char *queue, zm_done_fn done, void *user)
{
  ZmRuntime *runtime = zm_generation_owner (generation);
  g_autoptr (ZmMessage) message = NULL;
  zm_event read;
  int status;

  if (queues_of (generation) == NULL)
    return ZM_E_UNSUPPORTED;
  message = zm_hosting_message (generation, event, key, hops, &status);
  if (message == NULL)
    return status;
  if (!zm_hosting_accepting (runtime->hosting))
    return ZM_E_AGAIN;
  status = zm_hosting_refuses (generation, message);
  if (status != ZM_OK)
    return status;
  if (queue != NULL)
    status = store_message (generation, message, zm_event_read (event, &read) && read.id != NULL, queue, done,
                            user);
  else
    status = send_message (generation, message, done, user);
  if (status == ZM_OK)
    zm_counter_add (runtime->hosting->emitted, 1);
  return status;
}

static int
host_emit_durable (const zm_host *host, const zm_event *event, zm_done_fn done, void *user)
{
  ZmGeneration *generation = zm_generation_of_host (host);

  return zm_hosting_emit_durable (generation, event, NULL, zm_hosting_hops (generation), NULL, done, user);
}

/* ---- kept state ---- */

int
zm_hosting_keep (ZmGeneration *generation, const char *name, const void *data, gsize size, zm_done_fn done,
                 void *user)
{
  ZmRuntime *runtime = zm_generation_owner (generation);

  if (!may_store (generation) || runtime->store == NULL)
    return ZM_E_UNSUPPORTED;
  if (!zm_kept_check (name) || (data == NULL && size > 0))
    return ZM_E_INVALID;
  if (size > ZM_KEPT_VALUE_MOST)
    return ZM_E_MEMORY;
  return zm_kept_set (runtime->hosting->kept, generation, name, data, size, done, user);
}

static int
host_keep (const zm_host *host, const char *name, const void *data, size_t size, zm_done_fn done, void *user)
{
  return zm_hosting_keep (zm_generation_of_host (host), name, data, size, done, user);
}

int
zm_hosting_kept (ZmGeneration *generation, const char *name, GBytes **value)
{
  ZmRuntime *runtime = zm_generation_owner (generation);

  if (!may_store (generation) || runtime->store == NULL)
    return ZM_E_UNSUPPORTED;
  if (!zm_kept_check (name))
    return ZM_E_INVALID;
  return zm_kept_get (runtime->hosting->kept, zm_generation_plugin (generation), name, value);
}

static int
host_kept (const zm_host *host, const char *name, void *buffer, size_t size)
{
  g_autoptr (GBytes) value = NULL;
  int status;

  if (buffer == NULL && size > 0)
    return ZM_E_INVALID;
  status = zm_hosting_kept (zm_generation_of_host (host), name, &value);
  return status == ZM_OK ? zm_kept_copy (value, buffer, size) : status;
}

void
zm_hosting_fill_queues (zm_host *host)
{
  host->put = host_put;
  host->wait_empty = host_wait_empty;
  host->emit_durable = host_emit_durable;
  host->keep = host_keep;
  host->kept = host_kept;
}
