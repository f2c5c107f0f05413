/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The header `sequence` on topics of registered services, so that a service that was too slow sees the gap. Numbers count
 * each topic without its id on its own: whoever subscribes a topic by whatever prefix gets all of its numbers.
 */
#include "config.h"

#include "integration/integration-private.h"

#include <string.h>

#define SEQUENCES_MOST 65536

/* The topic's text up to its id. */
static ZmSpan
without_id (const ZmMessage *message)
{
  ZmSpan topic = zm_message_topic (message);
  return zm_span (topic.data, topic.size - message->topic.id.size);
}

static gboolean
is_unasked (gpointer topic, gpointer last, gpointer user)
{
  ZmIntegration *integration = user;
  (void) last;
  return !zm_prefixes_match (integration->numbered, zm_span_text (topic));
}

/* Topics that nobody wants numbered any more make room for others. Only with the table full, and once after a prefix was
 * taken back: a service that comes and goes finds its numbers going on, and the publisher's thread does not search the
 * table each time. */
static gboolean
has_room (ZmIntegration *integration)
{
  if (g_hash_table_size (integration->sequences) < SEQUENCES_MOST)
    return TRUE;
  return atomic_exchange (&integration->taken_back, 0) &&
         g_hash_table_foreach_remove (integration->sequences, is_unasked, integration) > 0;
}

/* The next number of a topic; 0 where there are too many topics to count. */
static guint64
next_number (ZmIntegration *integration, ZmSpan topic)
{
  g_autofree char *text = zm_span_dup (topic);
  guint64 *last = g_hash_table_lookup (integration->sequences, text);
  if (last == NULL) {
    if (!has_room (integration)) {
      zm_counter_add (integration->unnumbered, 1);
      return 0;
    }
    last = g_new0 (guint64, 1);
    g_hash_table_insert (integration->sequences, g_steal_pointer (&text), last);
  }
  return ++*last;
}

/* headers, one JSON object or empty, with "sequence": number in place of one that came along. */
static char *
headers_with (ZmSpan headers, guint64 number)
{
  ZmSpan old;
  g_autoptr (GString) out = g_string_new (NULL);
  if (zm_json_member (headers, "sequence", &old)) {
    gsize before = (gsize) (old.data - headers.data);
    g_string_append_len (out, headers.data, (gssize) before);
    g_string_append_printf (out, "%" G_GUINT64_FORMAT, number);
    g_string_append_len (out, old.data + old.size, (gssize) (headers.size - before - old.size));
    return g_string_free (g_steal_pointer (&out), FALSE);
  }
  const char *end = headers.data + headers.size;
  const char *rest = headers.size > 0 ? memchr (headers.data, '{', headers.size) : NULL;
  g_string_append_printf (out, "{\"sequence\":%" G_GUINT64_FORMAT, number);
  for (rest = rest == NULL ? end : rest + 1; rest < end && g_ascii_isspace (*rest); rest++)
    ;
  if (rest < end && *rest != '}')
    g_string_append_c (out, ',');
  if (rest < end)
    g_string_append_len (out, rest, end - rest);
  else
    g_string_append_c (out, '}');
  return g_string_free (g_steal_pointer (&out), FALSE);
}

/* The body is shared, not copied; only headers are made anew. Where the topic is not numbered, the message goes on
 * as it came. */
ZmMessage *
zm_publisher_number (ZmIntegration *integration, ZmMessage *message)
{
  zmq_msg_t body;
  if (!zm_prefixes_match (integration->numbered, zm_message_topic (message)))
    return message;
  guint64 number = next_number (integration, without_id (message));
  if (number == 0)
    return message;
  g_autofree char *headers = headers_with (zm_message_headers (message), number);
  zmq_msg_init (&body);
  zmq_msg_copy (&body, &message->body_frame);
  const ZmTopic *topic = &message->topic;
  ZmMessage *with = zm_message_new_take (topic->flow, &topic->key, topic->id, zm_span_text (headers), &body);
  zm_message_unref (message);
  return with;
}
