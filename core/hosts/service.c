/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Services of plugins in hosts: what they emit, ask, log and count (timer.c has the timers). Each is done as if the plugin had called the
 * daemon's own table; what that refuses is counted here, as the plugin was told OK when it was on its way. In the hosts'
 * thread, without the lock.
 */
#include "config.h"

#include "hosts/hosts-private.h"
#include "plugin/zm-event.h"

#include <string.h>

#define LOG_TEXT_MOST 8192

ZmGeneration *
zm_host_generation (ZmHost *host, guint64 serial)
{
  ZmHosts *hosts = host->hosts;
  ZmGeneration *generation = NULL;
  ZmCarried *carried;

  pthread_mutex_lock (&hosts->lock);
  carried = zm_carried_by_serial (hosts, serial);
  if (carried != NULL && carried->group == host->group && host->index < carried->n_seats &&
      (carried->seats[host->index].state != ZM_SEAT_EMPTY || carried->seats[host->index].asked != 0))
    generation = carried->generation;
  pthread_mutex_unlock (&hosts->lock);
  if (generation == NULL)
    zm_counter_add (hosts->c_bad, 1);
  return generation;
}

/* ---- events ---- */

void
zm_host_event_clear (ZmHostEvent *event)
{
  g_free (event->key);
  g_free (event->flow);
  g_free (event->id);
  g_free (event->headers);
}

void
zm_host_event_read (const ZmRecord *record, ZmHostEvent *out)
{
  const ZmSpan body = record->parts[ZM_EVENT_BODY];

  out->key = zm_record_text (record, ZM_EVENT_KEY);
  out->flow = zm_record_text (record, ZM_EVENT_FLOW);
  out->id = zm_record_text (record, ZM_EVENT_ID);
  out->headers = zm_record_text (record, ZM_EVENT_HEADERS);
  out->event = (zm_event){ .struct_size = sizeof out->event,
                           .key = out->key,
                           .flow = out->flow,
                           .id = out->id,
                           .headers = out->headers,
                           .body = body.data,
                           .body_size = body.size };
}

static int
emit (ZmHost *host, const ZmRecord *record)
{
  ZmHosts *hosts = host->hosts;
  guint64 source = record->numbers[ZM_EMIT_SOURCE];
  ZmGeneration *generation = zm_host_generation (host, record->numbers[ZM_EMIT_GENERATION]);
  const zm_host *table = NULL;
  ZmHostEvent event;
  int status;

  if (generation == NULL)
    return ZM_E_NOT_FOUND;
  if (source != 0) {
    table = zm_source_enter (hosts, host, source);
    if (table == NULL)
      return ZM_E_NOT_FOUND;
  }
  zm_host_event_read (record, &event);
  status = table != NULL ? table->emit (table, &event.event)
                         : hosts->config.emit (generation, &event.event,
                                               (guint) MIN (record->numbers[ZM_EMIT_HOPS], G_MAXUINT16),
                                               hosts->config.user);
  zm_host_event_clear (&event);
  if (table != NULL)
    zm_source_leave (hosts, host, source);
  return status;
}

/* The credit goes back whatever became of it. */
static void
emit_over (ZmHost *host, int status)
{
  g_autofree char *name = NULL;

  host->emitted++;
  if (status == ZM_OK)
    return;
  name = zm_status_text (status);
  zm_counter_add (host->hosts->c_emits_lost, 1);
  zm_log_limited (host->hosts->config.log, ZM_LEVEL_WARNING, "host", "emit",
                  "host %s: a message that a plugin emitted was not taken: %s", host->name, name);
}

/* While the daemon drains only what somebody waits for is taken: nothing else may stand in front of that, nor of the end of a
 * source. */
static gboolean
has_a_chance (const ZmHosts *hosts)
{
  return hosts->config.accepts == NULL || hosts->config.accepts (hosts->config.user);
}

/* Those that the pool had no room for come first, in their order. */
static void
keep_for_later (ZmHost *host, const ZmRecord *record)
{
  GByteArray *kept = g_byte_array_new ();
  zm_record_append (record, kept);
  host->emits_size += kept->len;
  g_queue_push_tail (&host->emits, kept);
}

static void
take_emit (ZmHost *host, const ZmRecord *record)
{
  int status = host->emits.length > 0 ? ZM_E_AGAIN : emit (host, record);

  if (status == ZM_E_AGAIN && has_a_chance (host->hosts))
    keep_for_later (host, record);
  else
    emit_over (host, status);
}

/* What its source emitted before goes first. */
void
zm_host_source_record (ZmHost *host, const ZmRecord *record)
{
  if (host->emits.length > 0)
    keep_for_later (host, record);
  else
    zm_source_answer (host, record);
}

void
zm_host_emit_again (ZmHost *host)
{
  while (host->emits.length > 0) {
    GByteArray *kept = g_queue_peek_head (&host->emits);
    ZmRecord record;
    gsize needed;
    int status;

    zm_record_read (kept->data, kept->len, &record, &needed, NULL); /* written by keep_for_later */
    if (record.kind != ZM_RECORD_EMIT) {
      zm_source_answer (host, &record);
    } else {
      status = emit (host, &record);
      if (status == ZM_E_AGAIN && has_a_chance (host->hosts))
        return;
      emit_over (host, status);
    }
    host->emits_size -= kept->len;
    g_byte_array_unref (g_queue_pop_head (&host->emits));
  }
}

/* ---- asking ---- */

static ZmHost *
host_by_number (ZmHosts *hosts, guint64 number)
{
  for (guint i = 0; i < hosts->groups->len; i++) {
    ZmHostGroup *group = g_ptr_array_index (hosts->groups, i);

    for (guint j = 0; j < group->list->len; j++) {
      ZmHost *host = g_ptr_array_index (group->list, j);

      if (host->number == number)
        return host;
    }
  }
  return NULL;
}

ZmHostQuestion *
zm_host_question (ZmHost *host, const ZmRecord *record)
{
  ZmHostQuestion *question = g_new (ZmHostQuestion, 1);

  *question =
      (ZmHostQuestion){ .hosts = host->hosts, .number = host->number, .life = host->life, .id = record->id };
  return question;
}

/* In a worker, or in the hosts' thread. */
void
zm_host_answer (void *user, int status, const void *body, size_t size)
{
  ZmHostQuestion *question = user;
  ZmHosts *hosts = question->hosts;
  ZmRecord record = { .kind = ZM_RECORD_ANSWER, .id = question->id, .n_numbers = 1, .n_parts = 1 };
  ZmHost *host;

  record.numbers[0] = (guint64) (gint64) status;
  record.parts[0] = zm_span (body != NULL ? body : "", size);
  pthread_mutex_lock (&hosts->lock);
  host = host_by_number (hosts, question->number);
  if (host != NULL && host->life == question->life) {
    zm_host_say (host, &record);
    zm_host_flush_locked (host);
  }
  pthread_mutex_unlock (&hosts->lock);
  g_free (question);
}

static void
take_ask (ZmHost *host, const ZmRecord *record)
{
  ZmHosts *hosts = host->hosts;
  ZmGeneration *generation = zm_host_generation (host, record->numbers[ZM_ASK_GENERATION]);
  ZmHostQuestion *question = zm_host_question (host, record);
  ZmHostEvent event;
  int status = ZM_E_NOT_FOUND;

  if (generation != NULL) {
    zm_host_event_read (record, &event);
    status =
        hosts->config.ask (generation, &event.event, (guint) MIN (record->numbers[ZM_ASK_HOPS], G_MAXUINT16),
                           (int) CLAMP ((gint64) record->numbers[ZM_ASK_TIMEOUT], 0, G_MAXINT),
                           zm_host_answer, question, hosts->config.user);
    zm_host_event_clear (&event);
  }
  if (status != ZM_OK)
    zm_host_answer (question, status, NULL, 0);
}

/* ---- logs and figures ---- */

static void
take_log (ZmHost *host, const ZmRecord *record)
{
  ZmGeneration *generation = record->id != 0 ? zm_host_generation (host, record->id) : NULL;
  g_autofree char *text = g_strndup (record->parts[0].data != NULL ? record->parts[0].data : "",
                                     MIN (record->parts[0].size, LOG_TEXT_MOST));
  g_autofree char *shown = zm_printable (zm_span_text (text), ZM_CHILD_LINE_MOST);
  int level = (int) (gint64) record->numbers[0];

  if (generation != NULL)
    zm_generation_host (generation)->log (zm_generation_host (generation), level, text);
  else
    zm_log_limited (host->hosts->config.log, (ZmLevel) CLAMP (level, ZM_LOG_ERROR, ZM_LOG_DEBUG), "host",
                    "said", "host %s: %s", host->name, shown);
  pthread_mutex_lock (&host->hosts->lock);
  zm_host_line (shown, host);
  pthread_mutex_unlock (&host->hosts->lock);
}

static void
take_metric (ZmHost *host, const ZmRecord *record)
{
  ZmGeneration *generation = zm_host_generation (host, record->id);
  g_autofree char *name = zm_record_text (record, 0);
  double value;

  memcpy (&value, &record->numbers[1], sizeof value);
  if (generation != NULL && name != NULL)
    zm_generation_host (generation)
        ->metric (zm_generation_host (generation), (int) (gint64) record->numbers[0], name, value);
}

void
zm_host_service (ZmHost *host, const ZmRecord *record)
{
  switch (record->kind) {
  case ZM_RECORD_EMIT: take_emit (host, record); break;
  case ZM_RECORD_ASK: take_ask (host, record); break;
  case ZM_RECORD_TIMER: zm_host_take_timer (host, record); break;
  case ZM_RECORD_UNTIMER: zm_host_take_untimer (host, record); break;
  case ZM_RECORD_LOG: take_log (host, record); break;
  case ZM_RECORD_METRIC: take_metric (host, record); break;
  case ZM_RECORD_PUT:
  case ZM_RECORD_EMPTY:
  case ZM_RECORD_SEND:
  case ZM_RECORD_KEEP:
  case ZM_RECORD_KEPT: zm_host_take_stored (host, record); break;
  case ZM_RECORD_LOOP:
    if (zm_host_generation (host, record->id) != NULL)
      zm_counter_add (host->hosts->c_loops, 1);
    break;
  default:
    zm_counter_add (host->hosts->c_bad, 1);
    zm_log_limited (host->hosts->config.log, ZM_LEVEL_WARNING, "host", "bad-record",
                    "host %s: a record of a kind that is the daemon's own was left out", host->name);
  }
}

/* Its process ended. What it emitted last goes in if there is room, and is counted where there is none. */
void
zm_host_drop_services (ZmHost *host)
{
  zm_host_emit_again (host);
  while (host->emits.length > 0) {
    GByteArray *kept = g_queue_pop_head (&host->emits);

    host->emits_size -= kept->len;
    g_byte_array_unref (kept);
    emit_over (host, ZM_E_AGAIN);
  }
  host->emitted = 0;
  zm_host_drop_timers (host, NULL);
}
