/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is written of a message that fails: the document while it waits, and the headers of the dead letter. Both are JSON, and the
 * history goes from the one into the other as it stands.
 */
#include "config.h"

#include "delivery/delivery-private.h"

#include <json-glib/json-glib.h>
#include <string.h>

/* ---- history ---- */

static gint64
member_integer (ZmSpan object, const char *name, gint64 standard)
{
  ZmSpan raw;
  gint64 value = standard;
  g_autofree char *text = zm_json_member (object, name, &raw) ? zm_json_text (raw) : NULL;

  if (text == NULL || !zm_parse_integer (text, 0, G_MAXINT64, &value, NULL))
    return standard;
  return value;
}

/* Each with a comma behind it, the latest `most` of them. */
static void
append_kept (GString *out, ZmSpan history, guint most)
{
  g_autoptr (JsonParser) parser = json_parser_new ();
  JsonNode *root = NULL;

  if (history.size > 0 && json_parser_load_from_data (parser, history.data, (gssize) history.size, NULL))
    root = json_parser_get_root (parser);
  if (root == NULL || !JSON_NODE_HOLDS_ARRAY (root))
    return;
  JsonArray *array = json_node_get_array (root);
  guint n = json_array_get_length (array);
  for (guint i = n > most ? n - most : 0; i < n; i++) {
    g_autofree char *entry = json_to_string (json_array_get_element (array, i), FALSE);
    g_string_append (out, entry);
    g_string_append_c (out, ',');
  }
}

/* The failures so far and this one; the oldest go where there are too many. */
static void
append_history (GString *out, const ZmTry *try, ZmSpan before, gint64 wall_us)
{
  ZmSpan history = { NULL, 0 };

  zm_json_member (before, "history", &history);
  g_string_append (out, "\"history\":[");
  append_kept (out, history, ZM_DELIVERY_HISTORY_MOST - 1);
  if (try->verdict == ZM_DELIVERY_BACK) { /* no attempt, and so no failure */
    g_string_truncate (out, out->len - (out->str[out->len - 1] == ','));
    g_string_append_c (out, ']');
    return;
  }
  g_string_append_printf (out, "{\"at\":%" G_GINT64_FORMAT ",\"attempt\":%u,\"code\":", wall_us,
                          try->attempt.number);
  zm_json_append_string (out, zm_span_text (try->code));
  g_string_append (out, ",\"text\":");
  zm_json_append_string (out, zm_span_text (try->text));
  g_string_append (out, "}]");
}

GString *
zm_document_after (const ZmTry *try, ZmSpan before, gint64 wall_us, gint64 delay_ms)
{
  GString *out = g_string_new (NULL);

  g_string_append_printf (out,
                          "{\"attempts\":%u,\"due\":%" G_GINT64_FORMAT ",\"delay\":%" G_GINT64_FORMAT
                          ",\"first\":%" G_GINT64_FORMAT ",",
                          try->attempt.number - (try->verdict == ZM_DELIVERY_BACK), wall_us + delay_ms * 1000,
                          delay_ms * 1000, member_integer (before, "first", wall_us));
  append_history (out, try, before, wall_us);
  g_string_append_c (out, '}');
  return out;
}

gboolean
zm_document_read (ZmSpan text, ZmDocument *document)
{
  gint64 attempts = member_integer (text, "attempts", -1);

  document->attempts = (guint) CLAMP (attempts, 0, G_MAXINT);
  document->due_us = member_integer (text, "due", -1);
  document->delay_us = member_integer (text, "delay", 0);
  return attempts >= 0 && document->due_us >= 0;
}

/* ---- dead letters ---- */

static void
append_text (GString *out, const char *name, ZmSpan value)
{
  g_string_append_printf (out, ",\"%s\":", name);
  zm_json_append_string (out, value);
}

/* Our member stands first, so that it is found first, and what is behind it is what the message had. */
static void
append_headers (GString *out, ZmSpan headers)
{
  const char *end = zm_span_end (headers), *at = headers.data;

  while (at < end && strchr (" \t\r\n", *at) != NULL)
    at++;
  if (at < end && *at == '{')
    at++;
  while (at < end && strchr (" \t\r\n", *at) != NULL)
    at++;
  if (at >= end || *at == '}')
    g_string_append_c (out, '}');
  else
    g_string_append_printf (out, ",%.*s", (int) (end - at), at);
}

GString *
zm_document_dead (const ZmTry *try, ZmSpan before, gint64 wall_us)
{
  const ZmConsumer *consumer = try->attempt.consumer;
  const ZmStored *stored = &try->attempt.stored;
  GString *out = g_string_new ("{\"dead-letter\":{\"code\":");

  zm_json_append_string (out, zm_span_text (try->code));
  append_text (out, "text", zm_span_text (try->text));
  g_string_append_printf (out, ",\"attempts\":%u,\"first\":%" G_GINT64_FORMAT ",\"last\":%" G_GINT64_FORMAT,
                          try->attempt.number, member_integer (before, "first", wall_us), wall_us);
  append_text (out, "project", zm_span_text (consumer->project));
  append_text (out, "queue", zm_span_text (consumer->queue));
  append_text (out, "id", zm_span_text (stored->id));
  if (stored->sender_id.size > 0)
    append_text (out, "sender-id", stored->sender_id);
  append_text (out, "consumer", zm_span_text (consumer->name));
  g_string_append_c (out, ',');
  append_history (out, try, before, wall_us);
  g_string_append_c (out, '}');
  append_headers (out, stored->headers);
  return out;
}

static char *
member_text (ZmSpan object, const char *name)
{
  ZmSpan raw;

  return zm_json_member (object, name, &raw) ? zm_json_text (raw) : NULL;
}

/* The headers without our member: NULL where nothing is left. */
static char *
rest_of (ZmSpan headers, ZmSpan ours)
{
  const char *end = zm_span_end (headers), *at = zm_span_end (ours);

  while (at < end && strchr (", \t\r\n", *at) != NULL)
    at++;
  if (at >= end || *at == '}')
    return NULL;
  return g_strdup_printf ("{%.*s", (int) (end - at), at);
}

/* Only where our member is the first: elsewhere it is somebody's own header of that name. */
gboolean
zm_delivery_dead_letter (ZmSpan headers, ZmSpan *told)
{
  return headers.size >= 16 && strncmp (headers.data, "{\"dead-letter\":{", 16) == 0 &&
         zm_json_valid (headers) && zm_json_member (headers, "dead-letter", told);
}

gboolean
zm_dead_read (ZmSpan headers, ZmDead *dead)
{
  ZmSpan ours;

  memset (dead, 0, sizeof *dead);
  if (!zm_delivery_dead_letter (headers, &ours))
    return FALSE;
  dead->project = member_text (ours, "project");
  dead->queue = member_text (ours, "queue");
  dead->headers = rest_of (headers, ours);
  if (dead->project != NULL && dead->queue != NULL && *dead->queue != '\0')
    return TRUE;
  zm_dead_clear (dead);
  return FALSE;
}

void
zm_dead_clear (ZmDead *dead)
{
  g_free (dead->project);
  g_free (dead->queue);
  g_free (dead->headers);
  memset (dead, 0, sizeof *dead);
}
