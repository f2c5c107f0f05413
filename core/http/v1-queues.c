/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* /v1/queues: queues as such; their messages are in v1-messages.c. */
#include "config.h"

#include "http/v1.h"

#include <string.h>

/* ---- what the handlers of queues share ---- */

gboolean
zm_v1_queue (ZmRequest *request, ZmQueueName *name)
{
  ZmSpan text = request->part[0];
  gboolean good = text.size > 0 && text.size <= ZM_QUEUE_NAME_MOST;

  for (gsize i = 0; good && i < text.size; i++)
    good = g_ascii_isalnum (text.data[i]) || strchr ("_.-", text.data[i]) != NULL;
  if (zm_http_host (request->http)->queues == NULL)
    zm_request_fail (request, 501, "no-store", NULL, "this daemon has no store: set [store] driver");
  else if (!good)
    zm_request_fail (request, 400, NULL, "queue",
                     "a queue's name is 1 to %d of letters, digits, '_', '.' and '-'", ZM_QUEUE_NAME_MOST);
  else {
    name->project = request->project;
    name->name = text;
    return TRUE;
  }
  return FALSE;
}

gboolean
zm_v1_integer (ZmRequest *request, const char *name, gint64 standard, gint64 least, gint64 most,
               gint64 *value)
{
  const char *text = zm_request_query (request, name);

  *value = standard;
  if (text == NULL || zm_parse_integer (text, least, most, value, NULL))
    return TRUE;
  zm_request_fail (request, 400, NULL, name,
                   "it must be a whole number from %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT, least, most);
  return FALSE;
}

/* TRUE: failed, and answered. */
static gboolean
failed (ZmRequest *request, const GError *error)
{
  if (error != NULL)
    zm_request_fail_error (request, error);
  return error != NULL;
}

static void
on_nothing (const ZmQueueAnswer *answer, const GError *error, gpointer user)
{
  (void) answer;
  if (!failed (user, error))
    zm_request_answer (user, 204, NULL, NULL, 0);
}

/* ---- handlers ---- */

typedef struct Listing {
  GString *json;
  guint n;
} Listing;

static void
append_queue (const ZmQueueShown *shown, gpointer user)
{
  Listing *listing = user;

  g_string_append (listing->json, listing->n++ > 0 ? ",{\"name\":" : "{\"name\":");
  zm_json_append_string (listing->json, zm_span_text (shown->name));
  g_string_append_printf (listing->json,
                          ",\"messages\":%" G_GUINT64_FORMAT ",\"bytes\":%" G_GUINT64_FORMAT
                          ",\"configured\":%s,\"metadata\":%s}",
                          shown->total, shown->bytes, shown->configured ? "true" : "false",
                          shown->metadata != NULL && *shown->metadata != '\0' ? shown->metadata : "{}");
}

void
zm_v1_queues (ZmRequest *request)
{
  ZmQueues *queues = zm_http_host (request->http)->queues;
  g_autofree char *project = zm_span_dup (request->project);
  Listing listing = { NULL, 0 };
  gint64 limit;

  if (!zm_v1_integer (request, "limit", 100, 1, 1000, &limit))
    return;
  listing.json = g_string_new ("{\"queues\":[");
  if (queues != NULL)
    zm_queues_each (queues, project, zm_request_query (request, "marker"), (guint) limit, FALSE, append_queue,
                    &listing);
  g_string_append (listing.json, "]}");
  zm_request_answer_take (request, 200, "application/json", listing.json);
}

static void
on_created (const ZmQueueAnswer *answer, const GError *error, gpointer user)
{
  if (!failed (user, error))
    zm_request_answer (user, answer->created ? 201 : 204, NULL, NULL, 0);
}

void
zm_v1_queue_create (ZmRequest *request)
{
  ZmQueueName name;

  if (!zm_v1_queue (request, &name))
    return;
  if (request->body.size > 0 &&
      (!zm_json_valid (request->body) || request->body.data[strspn (request->body.data, " \t\r\n")] != '{'))
    zm_request_fail (request, 400, NULL, NULL, "the body must be the queue's metadata, a JSON object");
  else
    zm_queue_create (zm_http_host (request->http)->queues, name, request->body, on_created, request);
}

void
zm_v1_queue_remove (ZmRequest *request)
{
  ZmQueueName name;

  if (zm_v1_queue (request, &name))
    zm_queue_remove (zm_http_host (request->http)->queues, name, on_nothing, request);
}

static void
on_purged (const ZmQueueAnswer *answer, const GError *error, gpointer user)
{
  g_autofree char *json = NULL;

  if (failed (user, error))
    return;
  json = g_strdup_printf ("{\"purged\":%u}", answer->n);
  zm_request_answer_json (user, 200, json);
}

void
zm_v1_queue_purge (ZmRequest *request)
{
  ZmQueueName name;

  if (zm_v1_queue (request, &name))
    zm_queue_purge (zm_http_host (request->http)->queues, name, on_purged, request);
}

static void
append_end (GString *json, const char *name, const ZmStored *stored)
{
  g_string_append_printf (json, ",\"%s\":{\"id\":\"%s\",\"age\":%" G_GINT64_FORMAT "}", name, stored->id,
                          MAX (0, (zm_wall_us () - stored->created_us) / G_USEC_PER_SEC));
}

static void
on_stats (const ZmQueueAnswer *answer, const GError *error, gpointer user)
{
  const ZmQueueStats *stats = &answer->stats;
  GString *json;

  if (failed (user, error))
    return;
  json = g_string_new (NULL);
  g_string_append_printf (json,
                          "{\"free\":%" G_GUINT64_FORMAT ",\"claimed\":%" G_GUINT64_FORMAT
                          ",\"delayed\":%" G_GUINT64_FORMAT ",\"total\":%" G_GUINT64_FORMAT
                          ",\"bytes\":%" G_GUINT64_FORMAT ",\"put\":%" G_GUINT64_FORMAT
                          ",\"taken\":%" G_GUINT64_FORMAT ",\"expired\":%" G_GUINT64_FORMAT,
                          stats->free, stats->claimed, stats->delayed, stats->total, stats->bytes, stats->put,
                          stats->taken, stats->expired);
  g_string_append_printf (json,
                          ",\"dropped\":%" G_GUINT64_FORMAT ",\"dead\":%" G_GUINT64_FORMAT
                          ",\"duplicates\":%" G_GUINT64_FORMAT ",\"kind\":\"%s\"",
                          stats->dropped, stats->dead, stats->duplicates,
                          stats->kind == ZM_QUEUE_LATEST ? "latest" : "fifo");
  if (stats->has_oldest) {
    append_end (json, "oldest", &stats->oldest);
    append_end (json, "newest", &stats->newest);
  }
  g_string_append_c (json, '}');
  zm_request_answer_take (user, 200, "application/json", json);
}

void
zm_v1_queue_stats (ZmRequest *request)
{
  ZmQueueName name;

  if (zm_v1_queue (request, &name))
    zm_queue_stats (zm_http_host (request->http)->queues, name, on_stats, request);
}
