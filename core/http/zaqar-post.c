/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Posting: the document is cut and checked in the server's thread, then the queue's own bound on posts is looked up, then all of
 * its messages are put at once, or none.
 */
#include "config.h"

#include "http/zaqar-private.h"

#include <string.h>

#define FAILED "Messages could not be enqueued."

/* Where all of them can be asked for with one request, as far as that takes them. */
static void
add_location (const ZmZaqar *zaqar, const char *path, const ZmQueueAnswer *answer)
{
  GString *location = g_string_new (path);

  for (guint i = 0; i < answer->n_ids && i < zaqar->limits.messages_page; i++) {
    g_string_append (location, i == 0 ? "?ids=" : ",");
    g_string_append (location, answer->ids[i]);
  }
  zm_request_add_header (zaqar->request, "Location", location->str);
  g_string_free (location, TRUE);
}

static void
on_put (const ZmQueueAnswer *answer, const GError *error, gpointer user)
{
  ZmRequest *request = user;
  const ZmZaqar *zaqar = zm_zaqar_of (request);
  g_autofree char *queue = zm_zaqar_queue_path (zaqar);
  g_autofree char *path = g_strconcat (queue, "/messages", NULL);
  GString *out;

  if (error != NULL) {
    zm_zaqar_fail (request, error, FAILED);
    return;
  }
  add_location (zaqar, path, answer);
  out = g_string_new ("{\"resources\": [");
  for (guint i = 0; i < answer->n_ids; i++)
    g_string_append_printf (out, "%s\"%s/%s\"", i > 0 ? ", " : "", path, answer->ids[i]);
  g_string_append (out, "]}");
  zm_request_answer_take (request, 201, "application/json", out);
}

/* The queue's own bound; 0: it has none. */
static gint64
queue_most (const char *metadata)
{
  ZmSpan raw;
  g_autofree char *text = NULL;
  gint64 most = 0;

  if (!zm_json_member (zm_span_text (metadata), "_max_messages_post_size", &raw))
    return 0;
  text = zm_span_dup (raw);
  return zm_parse_integer (text, 1, G_MAXINT64, &most, NULL) ? most : 0;
}

/* Known without asking the store's thread: that would be a second batch for each post. */
static gboolean
fits_queue (ZmRequest *request)
{
  const ZmZaqar *zaqar = zm_zaqar_of (request);
  g_autofree char *metadata = zm_queue_peek_metadata (zaqar->queues, zaqar->queue);
  gint64 most = metadata != NULL ? queue_most (metadata) : 0;

  if (most == 0 || (gint64) request->body.size <= most)
    return TRUE;
  zm_zaqar_bad_request (
      request,
      "Message collection size is too large. The max size for current queue is %" G_GINT64_FORMAT
      ". It is calculated by max size = min(max_messages_post_size_config: %" G_GINT64_FORMAT
      ", max_messages_post_size_queue: %" G_GINT64_FORMAT ").",
      MIN (most, zaqar->limits.post_most), zaqar->limits.post_most, most);
  return FALSE;
}

static void
puts_free (gpointer puts)
{
  g_array_unref (puts);
}

void
zm_zaqar_message_post (ZmRequest *request)
{
  ZmZaqar *zaqar = zm_zaqar_of (request);
  g_autoptr (GError) error = NULL;

  if ((gint64) request->body.size > zaqar->limits.post_most) {
    zm_zaqar_bad_request (request, "Message collection size is too large. Max size %" G_GINT64_FORMAT,
                          zaqar->limits.post_most);
    return;
  }
  zaqar->more = zm_zaqar_read_post (request->body, &zaqar->limits, request->client, &error);
  if (zaqar->more == NULL) {
    zm_zaqar_fail (request, error, FAILED);
    return;
  }
  zaqar->more_free = puts_free;
  if (fits_queue (request)) {
    const GArray *puts = zaqar->more;

    zm_queue_put (zaqar->queues, zaqar->queue, (const ZmPut *) (const void *) puts->data, puts->len, on_put,
                  request);
  }
}
