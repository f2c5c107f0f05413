/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Messages of plugins, and their calls of other actions. What can be told from the event alone is checked here, so that the
 * plugin hears it at once and in the words of the daemon; the daemon checks again what it reads.
 */
#include "config.h"

#include "hosted/hosted-private.h"
#include "message/zm-key.h"
#include "message/zm-message.h"
#include "plugin/zm-event.h"

#include <string.h>

typedef struct Ask {
  guint64 id; /* first: key of the table */
  ZmHostedPlugin *plugin;
  zm_result_fn done;
  zm_done_fn told; /* in place of done */
  void *user;
  /* A thread waits for it, and frees it. */
  gboolean waited, answered;
  int status;
  char *body;
  gsize size;
} Ask;

/* ---- events ---- */

int
zm_hosted_check_event (ZmHostedPlugin *plugin, const zm_event *event, gboolean keyless)
{
  ZmSpan flow = zm_span_text (event->flow);
  int status = event->key == NULL && keyless ? ZM_OK : zm_hosted_check_key (plugin, event->key);

  if (status == ZM_E_INVALID || !zm_event_check (event))
    return ZM_E_INVALID;
  if (flow.size > 0 && flow.data[0] == '^')
    return ZM_E_DENIED;
  if (status != ZM_OK)
    return status;
  if (zm_hosted_here ()->hops + 1 > ZM_HOPS_MOST) {
    zm_hosted_say (plugin->hosted,
                   &(ZmRecord){ .kind = ZM_RECORD_LOOP, .id = plugin->serial }); /* to be counted */
    zm_hosted_warn (
        plugin, "a message was emitted over " G_STRINGIFY (ZM_HOPS_MOST) " hops and is refused: its actions "
                                                                         "call each other in a circle");
    return ZM_E_DENIED;
  }
  return event->body_size > ZM_RECORD_MOST - ((gsize) 1 << 20) ? ZM_E_MEMORY : ZM_OK;
}

/* A body of no bytes has an address all the same: a part without one is absent. */
void
zm_hosted_event_parts (ZmRecord *record, const zm_event *event)
{
  record->n_parts = ZM_EVENT_PARTS;
  record->parts[ZM_EVENT_KEY] = zm_span_text (event->key);
  record->parts[ZM_EVENT_FLOW] = zm_span_text (event->flow);
  record->parts[ZM_EVENT_ID] = zm_span_text (event->id);
  record->parts[ZM_EVENT_HEADERS] = zm_span_text (event->headers);
  record->parts[ZM_EVENT_BODY] = zm_span (event->body != NULL ? event->body : "", event->body_size);
}

/* ---- emit ---- */

/* The daemon gives them back as it takes what was said. */
static gboolean
take_credit (ZmHosted *hosted)
{
  if (atomic_fetch_sub (&hosted->emits, 1) > 0)
    return TRUE;
  atomic_fetch_add (&hosted->emits, 1);
  return FALSE;
}

int
zm_hosted_emit (ZmHostedPlugin *plugin, const zm_event *from, guint64 source)
{
  ZmRecord record = { .kind = ZM_RECORD_EMIT,
                      .n_numbers = ZM_EMIT_NUMBERS,
                      .numbers = { [ZM_EMIT_GENERATION] = plugin->serial,
                                   [ZM_EMIT_SOURCE] = source,
                                   [ZM_EMIT_HOPS] = zm_hosted_here ()->hops } };
  zm_event event;
  int status;

  if (!zm_event_read (from, &event))
    return ZM_E_INVALID;
  status = zm_hosted_check_event (plugin, &event, source != 0);
  if (status != ZM_OK)
    return status;
  if (!take_credit (plugin->hosted))
    return ZM_E_AGAIN;
  zm_hosted_event_parts (&record, &event);
  zm_hosted_say (plugin->hosted, &record);
  return ZM_OK;
}

static int
host_emit (const zm_host *host, const zm_event *event)
{
  return zm_hosted_emit (zm_hosted_plugin_of (host), event, 0);
}

/* ---- calls of actions ---- */

/* 0: too many wait for their answers. */
static guint64
add_ask (ZmHostedPlugin *plugin, const Ask *from)
{
  ZmHosted *hosted = plugin->hosted;
  guint64 id = 0;

  pthread_mutex_lock (&hosted->asks_lock);
  if (g_hash_table_size (hosted->asks) < ZM_HOSTED_ASKS) {
    Ask *ask = g_new (Ask, 1);

    *ask = *from;
    ask->plugin = plugin;
    ask->id = id = ++hosted->next_ask;
    g_hash_table_insert (hosted->asks, &ask->id, ask);
  }
  pthread_mutex_unlock (&hosted->asks_lock);
  return id;
}

guint64
zm_hosted_ask_told (ZmHostedPlugin *plugin, zm_done_fn done, void *user)
{
  return add_ask (plugin, &(Ask){ .told = done, .user = user });
}

guint64
zm_hosted_ask_wait (ZmHostedPlugin *plugin)
{
  return add_ask (plugin, &(Ask){ .waited = TRUE });
}

/* Should the plugin go meanwhile (its thread is one that nobody ends), its questions are gone too. */
int
zm_hosted_waited (ZmHosted *hosted, guint64 id, gint64 until_us, char **body, gsize *size)
{
  int status = ZM_E_FAILED;
  Ask *ask;

  pthread_mutex_lock (&hosted->asks_lock);
  while ((ask = g_hash_table_lookup (hosted->asks, &id)) != NULL && !ask->answered)
    if (!zm_cond_wait_until (&hosted->asks_cond, &hosted->asks_lock, until_us))
      break;
  if (ask != NULL && ask->answered) {
    status = ask->status;
    *body = g_steal_pointer (&ask->body);
    *size = ask->size;
  }
  g_hash_table_remove (hosted->asks, &id);
  pthread_mutex_unlock (&hosted->asks_lock);
  return status;
}

/* done is called once, also where the call fails later; not where this says no. */
static int
host_call_action (const zm_host *host, const zm_event *from, int timeout_ms, zm_result_fn done, void *user)
{
  ZmHostedPlugin *plugin = zm_hosted_plugin_of (host);
  ZmRecord record = { .kind = ZM_RECORD_ASK,
                      .n_numbers = ZM_ASK_NUMBERS,
                      .numbers = { [ZM_ASK_GENERATION] = plugin->serial,
                                   [ZM_ASK_HOPS] = zm_hosted_here ()->hops,
                                   [ZM_ASK_TIMEOUT] = (guint64) MAX (timeout_ms, 0) } };
  zm_event event;
  int status;

  if (done == NULL || !zm_event_read (from, &event))
    return ZM_E_INVALID;
  status = zm_hosted_check_event (plugin, &event, FALSE);
  if (status != ZM_OK)
    return status;
  record.id = add_ask (plugin, &(Ask){ .done = done, .user = user });
  if (record.id == 0)
    return ZM_E_AGAIN;
  zm_hosted_event_parts (&record, &event);
  zm_hosted_say (plugin->hosted, &record);
  return ZM_OK;
}

/* For the thread that waits for it. */
static void
bring_answer (ZmHosted *hosted, Ask *ask, const ZmRecord *record)
{
  ask->answered = TRUE;
  ask->status = record->n_numbers > 0 ? (int) (gint64) record->numbers[0] : ZM_E_FAILED;
  if (record->n_parts > 0) {
    ask->size = record->parts[0].size;
    ask->body = g_memdup2 (record->parts[0].data, ask->size);
  }
  pthread_cond_broadcast (&hosted->asks_cond);
}

/* NULL: nobody asked, or the plugin has gone, or who waits for it has it now. */
static Ask *
take_ask (ZmHosted *hosted, const ZmRecord *record)
{
  guint64 id = record->id;
  Ask *ask;

  pthread_mutex_lock (&hosted->asks_lock);
  ask = g_hash_table_lookup (hosted->asks, &id);
  if (ask != NULL && ask->waited) {
    bring_answer (hosted, ask, record);
    ask = NULL;
  } else if (ask != NULL) {
    g_hash_table_steal (hosted->asks, &id);
  }
  pthread_mutex_unlock (&hosted->asks_lock);
  return ask;
}

/* As a call of the plugin like any: one that is SERIAL needs no lock in its done functions either. */
void
zm_hosted_answered (ZmHosted *hosted, const ZmRecord *record)
{
  g_autofree Ask *ask = take_ask (hosted, record);
  ZmHostedCrew *crew;
  ZmHostedCall *call;
  ZmSpan body = record->n_parts > 0 ? record->parts[0] : zm_span (NULL, 0);

  if (ask == NULL || record->n_numbers < 1 || (ask->done == NULL && ask->told == NULL) ||
      !atomic_load (&ask->plugin->ready))
    return;
  crew = ask->plugin->crew;
  call = zm_hosted_crew_spare (crew);
  call->plugin = ask->plugin;
  call->kind = ZM_HOSTED_RESULT;
  call->lane = ask->plugin->serial_only || crew->n_threads == 1 ? 1 : 0;
  call->quick = FALSE;
  call->done = ask->done;
  call->told = ask->told;
  call->user = ask->user;
  call->hops = 0; /* it may ask again for as long as it likes */
  call->status = (int) (gint64) record->numbers[0];
  zm_hosted_text_set (&call->body, body.data, body.size);
  call->call.body = call->body.data;
  call->call.body_size = body.size;
  zm_hosted_crew_push (crew, call);
}

static gboolean
is_of (gpointer key, gpointer value, gpointer user)
{
  Ask *ask = value;

  (void) key;
  if (ask->plugin == user)
    g_clear_pointer (&ask->body, g_free);
  return ask->plugin == user;
}

void
zm_hosted_asks_drop (ZmHosted *hosted, const ZmHostedPlugin *plugin)
{
  pthread_mutex_lock (&hosted->asks_lock);
  g_hash_table_foreach_remove (hosted->asks, is_of, (gpointer) plugin);
  pthread_cond_broadcast (&hosted->asks_cond);
  pthread_mutex_unlock (&hosted->asks_lock);
}

void
zm_hosted_fill_emits (zm_host *host)
{
  host->emit = host_emit;
  host->call_action = host_call_action;
}
