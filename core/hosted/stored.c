/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What plugins ask the store for: it is the daemon's, which answers each by a record. What can be told from the arguments alone
 * is checked here, so that the plugin hears it at once; whether there is a store the daemon knows, and says so to `done`.
 */
#include "config.h"

#include "hosted/hosted-private.h"
#include "plugin/zm-event.h"

#include <string.h>

#define KEPT_US (10 * G_USEC_PER_SEC) /* for the daemon to say a kept value, at most */

/* Asks; done NULL: the answer is thrown away. */
static int
ask (ZmHostedPlugin *plugin, ZmRecord *record, zm_done_fn done, void *user)
{
  record->numbers[0] = plugin->serial;
  record->id = zm_hosted_ask_told (plugin, done, user);
  if (record->id == 0)
    return ZM_E_AGAIN;
  zm_hosted_say (plugin->hosted, record);
  return ZM_OK;
}

/* A part without an address is absent. */
static ZmSpan
part (const void *data, gsize size)
{
  return zm_span (data != NULL ? data : "", size);
}

static int
host_put (const zm_host *host, const zm_put *from, zm_done_fn done, void *user)
{
  ZmRecord record = { .kind = ZM_RECORD_PUT, .n_numbers = ZM_PUT_NUMBERS, .n_parts = ZM_PUT_PARTS };
  zm_put put;

  if (!zm_put_read (from, &put) || !zm_put_check (&put))
    return ZM_E_INVALID;
  if (put.body_size > ZM_RECORD_MOST - ((gsize) 1 << 20))
    return ZM_E_MEMORY;
  record.numbers[ZM_PUT_HOW] = put.how;
  record.numbers[ZM_PUT_TTL] = (guint64) put.ttl_ms;
  record.numbers[ZM_PUT_DELAY] = (guint64) put.delay_ms;
  record.parts[ZM_PUT_QUEUE] = zm_span_text (put.queue);
  record.parts[ZM_PUT_KEY] = zm_span_text (put.key);
  record.parts[ZM_PUT_ID] = zm_span_text (put.id);
  record.parts[ZM_PUT_HEADERS] = zm_span_text (put.headers);
  record.parts[ZM_PUT_BODY] = part (put.body, put.body_size);
  return ask (zm_hosted_plugin_of (host), &record, done, user);
}

static int
host_wait_empty (const zm_host *host, const char *queue, const char *key, int timeout_ms, zm_done_fn done,
                 void *user)
{
  ZmRecord record = { .kind = ZM_RECORD_EMPTY, .n_numbers = 2, .n_parts = 2 };

  if (done == NULL || !zm_queue_name_check (queue) || zm_span_text (key).size > ZM_PUT_KEY_MOST)
    return ZM_E_INVALID;
  record.numbers[1] = (guint64) MAX (timeout_ms, 0);
  record.parts[0] = zm_span_text (queue);
  record.parts[1] = zm_span_text (key);
  return ask (zm_hosted_plugin_of (host), &record, done, user);
}

int
zm_hosted_send (ZmHostedPlugin *plugin, const zm_event *from, guint64 source, zm_done_fn done, void *user)
{
  ZmRecord record = {
    .kind = ZM_RECORD_SEND,
    .n_numbers = ZM_EMIT_NUMBERS,
    .numbers = { [ZM_EMIT_SOURCE] = source, [ZM_EMIT_HOPS] = zm_hosted_here ()->hops },
  };
  zm_event event;
  int status;

  if (!zm_event_read (from, &event))
    return ZM_E_INVALID;
  status = zm_hosted_check_event (plugin, &event, source != 0);
  if (status != ZM_OK)
    return status;
  zm_hosted_event_parts (&record, &event);
  return ask (plugin, &record, done, user);
}

static int
host_emit_durable (const zm_host *host, const zm_event *event, zm_done_fn done, void *user)
{
  return zm_hosted_send (zm_hosted_plugin_of (host), event, 0, done, user);
}

static int
host_keep (const zm_host *host, const char *name, const void *data, size_t size, zm_done_fn done, void *user)
{
  ZmRecord record = { .kind = ZM_RECORD_KEEP, .n_numbers = 1, .n_parts = 2 };

  if (!zm_kept_check (name) || (data == NULL && size > 0))
    return ZM_E_INVALID;
  if (size > ZM_KEPT_VALUE_MOST)
    return ZM_E_MEMORY;
  record.parts[0] = zm_span_text (name);
  if (data != NULL)
    record.parts[1] = zm_span (data, size);
  return ask (zm_hosted_plugin_of (host), &record, done, user);
}

/* The daemon has it, also for a plugin that runs in several hosts. Asked behind all that was said before, so that what was kept
 * just now is found. The reader, which brings the answer, never runs a plugin's code: it cannot wait for itself. */
static int
host_kept (const zm_host *host, const char *name, void *buffer, size_t size)
{
  ZmHostedPlugin *plugin = zm_hosted_plugin_of (host);
  ZmRecord record = { .kind = ZM_RECORD_KEPT,
                      .n_numbers = 1,
                      .numbers = { plugin->serial },
                      .n_parts = 1,
                      .parts = { zm_span_text (name) } };
  g_autofree char *value = NULL;
  gsize length = 0;
  int status;

  if (!zm_kept_check (name) || (buffer == NULL && size > 0))
    return ZM_E_INVALID;
  record.id = zm_hosted_ask_wait (plugin);
  if (record.id == 0)
    return ZM_E_AGAIN;
  zm_hosted_say_now (plugin->hosted, &record);
  status = zm_hosted_waited (plugin->hosted, record.id, zm_now_us () + KEPT_US, &value, &length);
  if (status != ZM_OK)
    return status;
  if (MIN (length, size) > 0)
    memcpy (buffer, value, MIN (length, size));
  return (int) length;
}

void
zm_hosted_fill_stored (zm_host *host)
{
  host->put = host_put;
  host->wait_empty = host_wait_empty;
  host->emit_durable = host_emit_durable;
  host->keep = host_keep;
  host->kept = host_kept;
}
