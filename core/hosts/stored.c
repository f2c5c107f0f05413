/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What plugins in hosts ask the store for: queues, durable messages, kept state. Each is asked as if the plugin had called the
 * daemon's own table, and answered by one record. In the hosts' thread, without the lock.
 */
#include "config.h"

#include "hosts/hosts-private.h"

/* As zm_done_fn; in a worker. */
static void
stored (void *user, int status)
{
  zm_host_answer (user, status, NULL, 0);
}

static int
take_put (ZmHosts *hosts, ZmGeneration *generation, const ZmRecord *record, ZmHostQuestion *question)
{
  g_autofree char *queue = zm_record_text (record, ZM_PUT_QUEUE);
  g_autofree char *key = zm_record_text (record, ZM_PUT_KEY);
  g_autofree char *id = zm_record_text (record, ZM_PUT_ID);
  g_autofree char *headers = zm_record_text (record, ZM_PUT_HEADERS);
  const ZmSpan body = record->parts[ZM_PUT_BODY];
  const zm_put put = { .struct_size = sizeof put,
                       .how = (uint32_t) MIN (record->numbers[ZM_PUT_HOW], G_MAXUINT32),
                       .queue = queue,
                       .key = key,
                       .id = id,
                       .headers = headers,
                       .body = body.data,
                       .body_size = body.size,
                       .ttl_ms = (int64_t) record->numbers[ZM_PUT_TTL],
                       .delay_ms = (int64_t) record->numbers[ZM_PUT_DELAY] };

  return hosts->config.put != NULL
             ? hosts->config.put (generation, &put, stored, question, hosts->config.user)
             : ZM_E_UNSUPPORTED;
}

static int
take_empty (ZmHosts *hosts, ZmGeneration *generation, const ZmRecord *record, ZmHostQuestion *question)
{
  g_autofree char *queue = zm_record_text (record, 0);
  g_autofree char *key = zm_record_text (record, 1);
  int timeout_ms = (int) CLAMP ((gint64) record->numbers[1], 0, G_MAXINT);

  return hosts->config.wait_empty != NULL ? hosts->config.wait_empty (generation, queue, key, timeout_ms,
                                                                      stored, question, hosts->config.user)
                                          : ZM_E_UNSUPPORTED;
}

/* Of a source by its own table, whose section says where its events go. */
static int
take_send (ZmHost *host, ZmGeneration *generation, const ZmRecord *record, ZmHostQuestion *question)
{
  ZmHosts *hosts = host->hosts;
  guint64 source = record->numbers[ZM_EMIT_SOURCE];
  guint hops = (guint) MIN (record->numbers[ZM_EMIT_HOPS], G_MAXUINT16);
  const zm_host *table = source != 0 ? zm_source_enter (hosts, host, source) : NULL;
  ZmHostEvent event;
  int status = ZM_E_UNSUPPORTED;

  if (source != 0 && table == NULL)
    return ZM_E_NOT_FOUND;
  zm_host_event_read (record, &event);
  if (table != NULL)
    status = zm_emit_durable (table, &event.event, stored, question);
  else if (hosts->config.send != NULL)
    status = hosts->config.send (generation, &event.event, hops, stored, question, hosts->config.user);
  zm_host_event_clear (&event);
  if (table != NULL)
    zm_source_leave (hosts, host, source);
  return status;
}

static int
take_keep (ZmHosts *hosts, ZmGeneration *generation, const ZmRecord *record, ZmHostQuestion *question)
{
  g_autofree char *name = zm_record_text (record, 0);
  const ZmSpan value = record->parts[1];

  return hosts->config.keep != NULL ? hosts->config.keep (generation, name, value.data, value.size, stored,
                                                          question, hosts->config.user)
                                    : ZM_E_UNSUPPORTED;
}

/* At once: the daemon has it in memory. */
static void
take_kept (ZmHosts *hosts, ZmGeneration *generation, const ZmRecord *record, ZmHostQuestion *question)
{
  g_autofree char *name = zm_record_text (record, 0);
  g_autoptr (GBytes) value = NULL;
  int status = hosts->config.kept != NULL ? hosts->config.kept (generation, name, &value, hosts->config.user)
                                          : ZM_E_UNSUPPORTED;
  gsize size = 0;
  const void *data = value != NULL ? g_bytes_get_data (value, &size) : NULL;

  zm_host_answer (question, status, data, size);
}

void
zm_host_take_stored (ZmHost *host, const ZmRecord *record)
{
  ZmHosts *hosts = host->hosts;
  ZmGeneration *generation = zm_host_generation (host, record->numbers[0]);
  ZmHostQuestion *question = zm_host_question (host, record);
  int status = ZM_E_NOT_FOUND;

  if (generation != NULL && record->kind == ZM_RECORD_KEPT) {
    take_kept (hosts, generation, record, question);
    return;
  }
  if (generation != NULL)
    switch (record->kind) {
    case ZM_RECORD_PUT: status = take_put (hosts, generation, record, question); break;
    case ZM_RECORD_EMPTY: status = take_empty (hosts, generation, record, question); break;
    case ZM_RECORD_SEND: status = take_send (host, generation, record, question); break;
    default: status = take_keep (hosts, generation, record, question);
    }
  if (status != ZM_OK)
    zm_host_answer (question, status, NULL, 0);
}
