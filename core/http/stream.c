/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Server-sent events. What is sent waits in a bounded buffer that libmicrohttpd's thread takes from; with nothing there the connection
 * is suspended, so a quiet stream costs nothing but a comment each 15 s, which finds clients that have gone without a word.
 */
#include "config.h"

#include "http/server.h"

#include <string.h>

struct ZmEventStream {
  atomic_int refs; /* the sender's, the server's set's, libmicrohttpd's */
  ZmHttp *http;
  void (*gone) (gpointer user);
  gpointer user;
  pthread_mutex_t lock;              /* guards what follows */
  struct MHD_Connection *connection; /* NULL: not begun, or over */
  GString *buffer;
  gsize taken;  /* bytes of buffer that have gone */
  guint64 lost; /* events since the reader was told last */
  gint64 said_us;
  gboolean suspended, closed;
};

static void
stream_unref (ZmEventStream *stream)
{
  if (atomic_fetch_sub (&stream->refs, 1) > 1)
    return;
  g_string_free (stream->buffer, TRUE);
  pthread_mutex_destroy (&stream->lock);
  g_free (stream);
}

void
zm_event_stream_unref (ZmEventStream *stream)
{
  if (stream != NULL)
    stream_unref (stream);
}

/* Under the lock. */
static void
wake (ZmEventStream *stream)
{
  if (!stream->suspended)
    return;
  stream->suspended = FALSE;
  MHD_resume_connection (stream->connection);
}

/* ---- sending ---- */

/* A name or id is one line. */
static void
append_line (GString *out, const char *name, const char *text)
{
  g_string_append_printf (out, "%s: ", name);
  for (; *text != '\0'; text++)
    if (*text != '\n' && *text != '\r')
      g_string_append_c (out, *text);
  g_string_append_c (out, '\n');
}

/* Each line of data stands behind its own "data:"; a carriage return ends a line too. */
static void
append_data (GString *out, ZmSpan data)
{
  g_string_append (out, "data: ");
  for (gsize i = 0; i < data.size; i++)
    if (data.data[i] == '\n' || data.data[i] == '\r')
      g_string_append (out, "\ndata: ");
    else
      g_string_append_c (out, data.data[i]);
  g_string_append (out, "\n\n");
}

/* Under the lock. */
static void
append_lost (ZmEventStream *stream)
{
  if (stream->lost == 0)
    return;
  g_string_append_printf (stream->buffer, "event: lost\ndata: {\"lost\":%" G_GUINT64_FORMAT "}\n\n",
                          stream->lost);
  stream->lost = 0;
}

/* Under the lock. A reader that is always a little behind never empties the buffer: what it has taken goes when it is more than what
 * waits, so that this copies no more than was sent. */
static void
drop_taken (ZmEventStream *stream)
{
  if (stream->taken < ZM_HTTP_STREAM_MOST || stream->taken < stream->buffer->len - stream->taken)
    return;
  g_string_erase (stream->buffer, 0, (gssize) stream->taken);
  stream->taken = 0;
}

gboolean
zm_event_stream_send (ZmEventStream *stream, const char *id, const char *event, ZmSpan data)
{
  gboolean fits;

  pthread_mutex_lock (&stream->lock);
  fits = !stream->closed && stream->buffer->len - stream->taken + data.size < ZM_HTTP_STREAM_MOST;
  if (fits) {
    drop_taken (stream);
    append_lost (stream);
    if (id != NULL)
      append_line (stream->buffer, "id", id);
    if (event != NULL)
      append_line (stream->buffer, "event", event);
    append_data (stream->buffer, data);
    stream->said_us = zm_now_us ();
    wake (stream);
  } else if (!stream->closed) {
    stream->lost++;
    zm_counter_add (stream->http->events_lost, 1);
  }
  pthread_mutex_unlock (&stream->lock);
  return fits;
}

static void
tick (ZmEventStream *stream, gint64 now_us)
{
  pthread_mutex_lock (&stream->lock);
  if (!stream->closed && stream->said_us + ZM_HTTP_COMMENT_US <= now_us &&
      stream->buffer->len - stream->taken < ZM_HTTP_STREAM_MOST) {
    append_lost (stream);
    g_string_append (stream->buffer, ":\n\n");
    stream->said_us = now_us;
    wake (stream);
  }
  pthread_mutex_unlock (&stream->lock);
}

/* Resuming is not done with the server's lock, so the set is copied. */
void
zm_streams_tick (ZmHttp *http, gint64 now_us)
{
  g_autoptr (GPtrArray) list = g_ptr_array_new_with_free_func ((GDestroyNotify) stream_unref);
  GHashTableIter iter;
  gpointer stream;

  pthread_mutex_lock (&http->lock);
  g_hash_table_iter_init (&iter, http->streams);
  while (g_hash_table_iter_next (&iter, &stream, NULL)) {
    atomic_fetch_add (&((ZmEventStream *) stream)->refs, 1);
    g_ptr_array_add (list, stream);
  }
  pthread_mutex_unlock (&http->lock);
  for (guint i = 0; i < list->len; i++)
    tick (list->pdata[i], now_us);
}

void
zm_stream_close (ZmEventStream *stream)
{
  pthread_mutex_lock (&stream->lock);
  stream->closed = TRUE;
  wake (stream);
  pthread_mutex_unlock (&stream->lock);
}

/* ---- libmicrohttpd's side ---- */

static ssize_t
read_stream (void *user, uint64_t position, char *out, size_t most)
{
  ZmEventStream *stream = user;
  gsize n;

  (void) position;
  pthread_mutex_lock (&stream->lock);
  n = MIN (stream->buffer->len - stream->taken, most);
  if (n == 0 && stream->closed) {
    pthread_mutex_unlock (&stream->lock);
    return MHD_CONTENT_READER_END_OF_STREAM;
  }
  memcpy (out, stream->buffer->str + stream->taken, n);
  stream->taken += n;
  if (stream->taken == stream->buffer->len) {
    g_string_truncate (stream->buffer, 0);
    stream->taken = 0;
  }
  if (n == 0) {
    stream->suspended = TRUE;
    MHD_suspend_connection (stream->connection);
  }
  pthread_mutex_unlock (&stream->lock);
  return (ssize_t) n;
}

static void
forget (void *user)
{
  stream_unref (user);
}

enum MHD_Result
zm_stream_queue (ZmExchange *exchange)
{
  ZmEventStream *stream = exchange->stream;
  struct MHD_Response *response;
  enum MHD_Result result;

  zm_conn_phase (exchange->request.http, exchange->conn, ZM_CONN_ANSWER, G_MAXINT64);
  atomic_fetch_add (&stream->refs, 1);
  response = MHD_create_response_from_callback (MHD_SIZE_UNKNOWN, 16384, read_stream, stream, forget);
  if (response == NULL) {
    stream_unref (stream);
    return MHD_NO;
  }
  pthread_mutex_lock (&stream->lock);
  stream->connection = exchange->connection;
  pthread_mutex_unlock (&stream->lock);
  MHD_add_response_header (response, "Content-Type", "text/event-stream");
  MHD_add_response_header (response, "Cache-Control", "no-store");
  MHD_add_response_header (response, "X-Content-Type-Options", "nosniff");
  result = MHD_queue_response (exchange->connection, 200, response);
  MHD_destroy_response (response);
  zm_conn_wait (exchange->request.http, exchange);
  return result;
}

void
zm_stream_completed (ZmEventStream *stream)
{
  ZmHttp *http = stream->http;
  gboolean ours;

  pthread_mutex_lock (&stream->lock);
  stream->closed = TRUE;
  stream->connection = NULL;
  stream->suspended = FALSE;
  pthread_mutex_unlock (&stream->lock);
  if (stream->gone != NULL)
    stream->gone (stream->user);
  pthread_mutex_lock (&http->lock);
  ours = g_hash_table_remove (http->streams, stream);
  zm_counter_set (http->open_streams, g_hash_table_size (http->streams));
  pthread_mutex_unlock (&http->lock);
  if (ours)
    stream_unref (stream);
  stream_unref (stream);
}

/* The exchange has a reference, the set one, the caller one. */
ZmEventStream *
zm_event_stream_new (ZmRequest *request, void (*gone) (gpointer user), gpointer user)
{
  ZmExchange *exchange = zm_exchange_of (request);
  ZmHttp *http = request->http;
  ZmEventStream *stream = g_new0 (ZmEventStream, 1);

  atomic_init (&stream->refs, 3);
  stream->http = http;
  stream->gone = gone;
  stream->user = user;
  stream->buffer = g_string_new (":\n\n");
  stream->said_us = zm_now_us ();
  pthread_mutex_init (&stream->lock, NULL);
  pthread_mutex_lock (&http->lock);
  g_hash_table_add (http->streams, stream);
  zm_counter_set (http->open_streams, g_hash_table_size (http->streams));
  pthread_mutex_unlock (&http->lock);
  pthread_mutex_lock (&exchange->lock);
  exchange->stream = stream;
  pthread_mutex_unlock (&exchange->lock);
  zm_request_answer (request, 200, NULL, NULL, 0);
  return stream;
}
