/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Messages and links as the API writes them. Real clients take exactly these members and fail over others, so that nothing is
 * ever added to them.
 */
#include "config.h"

#include "http/zaqar-private.h"

#include <string.h>

char *
zm_zaqar_queue_path (const ZmZaqar *zaqar)
{
  return g_strdup_printf ("/v2/queues/%.*s", (int) zaqar->queue.name.size, zaqar->queue.name.data);
}

/* A clock that was set back makes nothing younger than new. */
gint64
zm_zaqar_age (gint64 created_us, gint64 now_us)
{
  return MAX (0, now_us - created_us) / G_USEC_PER_SEC;
}

/* What came over this API is JSON and given back as it came; bodies that came otherwise may be anything. */
static void
append_body (GString *out, ZmSpan body)
{
  if (zm_json_valid (body))
    g_string_append_len (out, body.data, (gssize) body.size);
  else
    zm_json_append_string (out, body);
}

static void
append_rest (GString *out, const ZmStored *stored, gint64 now_us)
{
  g_string_append_printf (out, "\"ttl\": %" G_GINT64_FORMAT ", \"age\": %" G_GINT64_FORMAT ", \"body\": ",
                          stored->ttl_s, zm_zaqar_age (stored->created_us, now_us));
  append_body (out, stored->body);
  if (!stored->has_sum)
    return;
  g_string_append (out, ", \"checksum\": \"MD5:");
  for (guint i = 0; i < sizeof stored->sum; i++)
    g_string_append_printf (out, "%02x", stored->sum[i]);
  g_string_append_c (out, '"');
}

void
zm_zaqar_append_message (GString *out, const ZmZaqar *zaqar, const ZmStored *stored, gint64 now_us)
{
  g_string_append_printf (out, "{\"id\": \"%s\", \"href\": \"/v2/queues/%.*s/messages/%s", stored->id,
                          (int) zaqar->queue.name.size, zaqar->queue.name.data, stored->id);
  if (stored->claim[0] != '\0')
    g_string_append_printf (out, "?claim_id=%s", stored->claim);
  g_string_append (out, "\", ");
  append_rest (out, stored, now_us);
  g_string_append_c (out, '}');
}

void
zm_zaqar_append_popped (GString *out, const ZmStored *stored, gint64 now_us)
{
  g_string_append_printf (out, "{\"id\": \"%s\", \"claim_id\": null, \"claim_count\": %u, ", stored->id,
                          stored->claim_count);
  append_rest (out, stored, now_us);
  g_string_append_c (out, '}');
}

void
zm_zaqar_append_messages (GString *out, const ZmZaqar *zaqar, const ZmQueueAnswer *answer)
{
  gint64 now_us = zm_wall_us ();

  g_string_append (out, "\"messages\": [");
  for (guint i = 0; i < answer->n_messages; i++) {
    if (i > 0)
      g_string_append (out, ", ");
    zm_zaqar_append_message (out, zaqar, &answer->messages[i], now_us);
  }
  g_string_append_c (out, ']');
}

static void
append_escaped (GString *out, const char *text)
{
  g_string_append_uri_escaped (out, text, "-._~", FALSE);
}

/* The next page is asked for as this one was. */
static char *
next_query (ZmRequest *request, const char *marker)
{
  GString *query = g_string_new ("?marker=");
  const char *const *names = zm_request_query_names (request);

  append_escaped (query, marker);
  for (; *names != NULL; names++) {
    if (strcmp (*names, "marker") == 0)
      continue;
    g_string_append_c (query, '&');
    append_escaped (query, *names);
    g_string_append_c (query, '=');
    append_escaped (query, zm_request_query (request, *names));
  }
  return g_string_free (query, FALSE);
}

void
zm_zaqar_append_links (GString *out, ZmRequest *request, const char *path, const char *marker)
{
  g_autofree char *query = marker != NULL ? next_query (request, marker) : NULL;
  g_autofree char *href = query != NULL ? g_strconcat (path, query, NULL) : NULL;

  g_string_append (out, "\"links\": [");
  if (href != NULL) {
    g_string_append (out, "{\"rel\": \"next\", \"href\": ");
    zm_json_append_string (out, zm_span_text (href));
    g_string_append_c (out, '}');
  }
  g_string_append_c (out, ']');
}
