/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A request and its answer. libmicrohttpd's thread calls the handler; who answers may be any thread, before the handler returns or
 * long after. Where it is not answered by then, the connection is suspended, and the answer resumes it: nothing polls.
 */
#include "config.h"

#include "http/server.h"

#include <string.h>

/* ---- its life ---- */

ZmExchange *
zm_exchange_new (ZmHttp *http, struct MHD_Connection *connection, const char *raw)
{
  ZmExchange *exchange = g_new0 (ZmExchange, 1);

  atomic_init (&exchange->refs, 1);
  exchange->request.http = http;
  exchange->connection = connection;
  exchange->began_us = zm_now_us ();
  exchange->too_long = strlen (raw) > ZM_HTTP_TARGET_MOST;
  exchange->raw = g_strndup (raw, ZM_HTTP_TARGET_MOST);
  pthread_mutex_init (&exchange->lock, NULL);
  pthread_mutex_lock (&http->lock);
  exchange->config = zm_config_ref (http->config);
  exchange->limits = http->limits;
  exchange->tokens = zm_tokens_ref (http->tokens);
  pthread_mutex_unlock (&http->lock);
  atomic_fetch_add (&http->exchanges, 1);
  return exchange;
}

ZmExchange *
zm_exchange_ref (ZmExchange *exchange)
{
  atomic_fetch_add (&exchange->refs, 1);
  return exchange;
}

static void
exchange_free (ZmExchange *exchange)
{
  g_free (exchange->raw);
  g_free (exchange->target);
  g_free (exchange->project);
  for (guint i = 0; i < G_N_ELEMENTS (exchange->parts); i++)
    g_free (exchange->parts[i]);
  g_clear_pointer (&exchange->body, g_byte_array_unref);
  g_clear_pointer (&exchange->query, g_ptr_array_unref);
  g_clear_pointer (&exchange->raws, g_ptr_array_unref);
  g_clear_pointer (&exchange->lists, g_ptr_array_unref);
  g_clear_pointer (&exchange->headers, g_ptr_array_unref);
  g_free (exchange->names);
  zm_config_unref (exchange->config);
  zm_tokens_unref (exchange->tokens);
  g_free (exchange->content_type);
  if (exchange->answer != NULL)
    g_string_free (exchange->answer, TRUE);
  pthread_mutex_destroy (&exchange->lock);
  g_free (exchange);
}

/* The last one tells who waits for the server's end. */
void
zm_exchange_unref (ZmExchange *exchange)
{
  ZmHttp *http = exchange->request.http;

  if (atomic_fetch_sub (&exchange->refs, 1) > 1)
    return;
  if (exchange->request.data_free != NULL)
    exchange->request.data_free (exchange->request.data);
  if (exchange->body != NULL)
    atomic_fetch_sub (&http->held, exchange->body->len);
  exchange_free (exchange);
  pthread_mutex_lock (&http->lock);
  if (atomic_fetch_sub (&http->exchanges, 1) == 1)
    pthread_cond_broadcast (&http->idle);
  pthread_mutex_unlock (&http->lock);
}

ZmRequest *
zm_request_ref (ZmRequest *request)
{
  zm_exchange_ref (zm_exchange_of (request));
  return request;
}

void
zm_request_unref (ZmRequest *request)
{
  zm_exchange_unref (zm_exchange_of (request));
}

/* ---- what a handler asks ---- */

const ZmHttpHost *
zm_http_host (ZmHttp *http)
{
  return &http->host;
}

ZmConfig *
zm_request_config (ZmRequest *request)
{
  return zm_exchange_of (request)->config;
}

gboolean
zm_request_may_send (ZmRequest *request, const ZmKey *key)
{
  const ZmToken *token = zm_exchange_of (request)->token;

  return token == NULL || zm_token_may_send (token, key);
}

/* The connection is there as long as nobody has answered; where the client has gone before that, it is told when it is resumed. */
const char *
zm_request_header (ZmRequest *request, const char *name)
{
  struct MHD_Connection *connection = zm_exchange_of (request)->connection;

  return connection != NULL ? MHD_lookup_connection_value (connection, MHD_HEADER_KIND, name) : NULL;
}

gboolean
zm_request_over (ZmRequest *request)
{
  ZmExchange *exchange = zm_exchange_of (request);
  gboolean over;

  pthread_mutex_lock (&exchange->lock);
  over = exchange->over;
  pthread_mutex_unlock (&exchange->lock);
  return over;
}

void
zm_request_on_gone (ZmRequest *request, void (*gone) (ZmRequest *request))
{
  ZmExchange *exchange = zm_exchange_of (request);
  gboolean already;

  pthread_mutex_lock (&exchange->lock);
  already = exchange->over;
  exchange->gone = already ? NULL : gone;
  pthread_mutex_unlock (&exchange->lock);
  if (already && gone != NULL)
    gone (request);
}

/* ---- deadlines ---- */

/* The timer's reference keeps it here meanwhile, whoever answers. */
static void
on_late (ZmTimer *timer, gpointer user)
{
  ZmExchange *exchange = user;
  void (*late) (ZmRequest * request);

  (void) timer;
  pthread_mutex_lock (&exchange->lock);
  late = exchange->answered ? NULL : exchange->late;
  exchange->late = NULL;
  pthread_mutex_unlock (&exchange->lock);
  if (late != NULL)
    late (&exchange->request);
  zm_exchange_unref (exchange);
}

static void
disarm (ZmExchange *exchange)
{
  if (exchange->timer.func != NULL &&
      zm_timers_cancel (exchange->request.http->host.timers, &exchange->timer, FALSE))
    zm_exchange_unref (exchange);
}

void
zm_request_deadline (ZmRequest *request, gint64 due_us, void (*over) (ZmRequest *request))
{
  ZmExchange *exchange = zm_exchange_of (request);
  gboolean wanted;

  disarm (exchange);
  pthread_mutex_lock (&exchange->lock);
  wanted = !exchange->answered;
  exchange->late = over;
  exchange->timer.func = on_late;
  exchange->timer.user = exchange;
  pthread_mutex_unlock (&exchange->lock);
  if (!wanted)
    return;
  zm_exchange_ref (exchange);
  zm_timers_arm (request->http->host.timers, &exchange->timer, due_us);
}

/* ---- answering ---- */

/* Under the lock. Line ends in a value would be headers of their own. */
static void
add_header (ZmExchange *exchange, const char *name, const char *value)
{
  GString *clean = g_string_new (NULL);

  for (const char *at = value; *at != '\0'; at++)
    if ((guchar) *at >= ' ' && *at != 0x7f)
      g_string_append_c (clean, *at);
  if (exchange->headers == NULL)
    exchange->headers = g_ptr_array_new_with_free_func (g_free);
  g_ptr_array_add (exchange->headers, g_strdup (name));
  g_ptr_array_add (exchange->headers, g_string_free (clean, FALSE));
}

void
zm_request_add_header (ZmRequest *request, const char *name, const char *value)
{
  ZmExchange *exchange = zm_exchange_of (request);

  pthread_mutex_lock (&exchange->lock);
  if (!exchange->answered)
    add_header (exchange, name, value);
  pthread_mutex_unlock (&exchange->lock);
}

/* Under the lock: the first answer stands. TRUE: the connection is to be resumed. */
static gboolean
take_answer (ZmExchange *exchange, guint status, const char *content_type, GString *body)
{
  gboolean resume = exchange->suspended;

  exchange->answered = TRUE;
  exchange->status = status;
  exchange->content_type = g_strdup (content_type);
  exchange->answer = body;
  exchange->suspended = FALSE;
  return resume;
}

/* Resuming wakes libmicrohttpd's thread, which then may complete the request at once: so it is done under the lock, while the
 * connection surely is there. The handler's reference ends with its own first answer, also where that comes too late. */
void
zm_exchange_answer (ZmExchange *exchange, gboolean by_server, guint status, const char *content_type,
                    GString *body)
{
  gboolean first, drop;

  pthread_mutex_lock (&exchange->lock);
  first = !exchange->answered;
  drop = !by_server && exchange->handled;
  if (drop)
    exchange->handled = FALSE;
  if (first && take_answer (exchange, status, content_type, body) && exchange->connection != NULL) {
    zm_conn_waited (exchange->request.http, exchange);
    MHD_resume_connection (exchange->connection);
  }
  pthread_mutex_unlock (&exchange->lock);
  if (first)
    disarm (exchange);
  else if (body != NULL)
    g_string_free (body, TRUE);
  if (drop)
    zm_exchange_unref (exchange);
}

void
zm_request_answer_take (ZmRequest *request, guint status, const char *content_type, GString *body)
{
  zm_exchange_answer (zm_exchange_of (request), FALSE, status, content_type, body);
}

void
zm_request_answer (ZmRequest *request, guint status, const char *content_type, const void *body, gsize size)
{
  zm_exchange_answer (zm_exchange_of (request), FALSE, status, content_type,
                      size > 0 ? g_string_new_len (body, (gssize) size) : NULL);
}

void
zm_request_answer_json (ZmRequest *request, guint status, const char *json)
{
  zm_exchange_answer (zm_exchange_of (request), FALSE, status, "application/json", g_string_new (json));
}

/* Told once. The handler still answers, and thereby lets its reference go. */
gboolean
zm_exchange_gone (ZmExchange *exchange)
{
  void (*gone) (ZmRequest * request);
  ZmEventStream *stream;

  pthread_mutex_lock (&exchange->lock);
  gone = exchange->answered || exchange->over ? NULL : exchange->gone;
  exchange->over = TRUE;
  exchange->gone = NULL;
  stream = exchange->stream;
  if (stream != NULL)
    zm_stream_close (stream);
  pthread_mutex_unlock (&exchange->lock);
  if (gone != NULL)
    gone (&exchange->request);
  return gone != NULL;
}

/* ---- libmicrohttpd's side ---- */

static const char *const standing_headers[] = { "X-Content-Type-Options", "nosniff", "Cache-Control",
                                                "no-store", NULL };

static gboolean
has_header (const ZmExchange *exchange, const char *name)
{
  for (guint i = 0; exchange->headers != NULL && i < exchange->headers->len; i += 2)
    if (g_ascii_strcasecmp (exchange->headers->pdata[i], name) == 0)
      return TRUE;
  return FALSE;
}

static void
put_headers (const ZmExchange *exchange, struct MHD_Response *response)
{
  for (const char *const *header = standing_headers; *header != NULL; header += 2)
    if (!has_header (exchange, header[0]))
      MHD_add_response_header (response, header[0], header[1]);
  if (exchange->content_type != NULL)
    MHD_add_response_header (response, "Content-Type", exchange->content_type);
  for (guint i = 0; exchange->headers != NULL && i < exchange->headers->len; i += 2)
    MHD_add_response_header (response, exchange->headers->pdata[i], exchange->headers->pdata[i + 1]);
}

/* How long a client may take for an answer of this size: slow lines are served, and who reads a byte a minute is not. */
static gint64
answer_deadline (const ZmExchange *exchange)
{
  gsize size = exchange->answer != NULL ? exchange->answer->len : 0;

  return zm_now_us () + exchange->limits.body_us + (gint64) (size / 4096) * G_USEC_PER_SEC;
}

enum MHD_Result
zm_exchange_queue (ZmExchange *exchange)
{
  ZmHttp *http = exchange->request.http;
  struct MHD_Response *response;
  enum MHD_Result result;
  gsize size = exchange->answer != NULL ? exchange->answer->len : 0;

  zm_counter_add (http->by_class[MIN (exchange->status / 100, 5)], 1);
  if (exchange->stream != NULL)
    return zm_stream_queue (exchange);
  zm_conn_phase (http, exchange->conn, ZM_CONN_ANSWER, answer_deadline (exchange));
  response =
      exchange->answer != NULL
          ? MHD_create_response_from_buffer (size, g_string_free (g_steal_pointer (&exchange->answer), FALSE),
                                             MHD_RESPMEM_MUST_FREE)
          : MHD_create_response_from_buffer (0, (void *) "", MHD_RESPMEM_PERSISTENT);
  if (response == NULL)
    return MHD_NO;
  put_headers (exchange, response);
  result = MHD_queue_response (exchange->connection, exchange->status, response);
  MHD_destroy_response (response);
  return result;
}

/* Whoever answers between the handler's return and the lock finds it not suspended, and this finds it answered. */
enum MHD_Result
zm_exchange_dispatch (ZmExchange *exchange)
{
  ZmHttp *http = exchange->request.http;
  gboolean answered;

  zm_exchange_ref (exchange);
  exchange->dispatched = exchange->handled = TRUE;
  if (exchange->body != NULL)
    exchange->request.body = zm_span ((const char *) exchange->body->data, exchange->body->len);
  zm_conn_phase (http, exchange->conn, ZM_CONN_WAIT, G_MAXINT64);
  exchange->request.route->handle (&exchange->request);
  pthread_mutex_lock (&exchange->lock);
  answered = exchange->answered;
  if (!answered) {
    exchange->suspended = TRUE;
    MHD_suspend_connection (exchange->connection);
    zm_conn_wait (http, exchange);
  }
  pthread_mutex_unlock (&exchange->lock);
  return answered ? zm_exchange_queue (exchange) : MHD_YES;
}

/* The request's text goes with libmicrohttpd's memory, so headers cannot be asked for any more. */
void
zm_exchange_completed (ZmExchange *exchange)
{
  ZmEventStream *stream;

  zm_exchange_gone (exchange);
  zm_conn_waited (exchange->request.http, exchange);
  pthread_mutex_lock (&exchange->lock);
  exchange->connection = NULL;
  stream = g_steal_pointer (&exchange->stream);
  pthread_mutex_unlock (&exchange->lock);
  if (stream != NULL)
    zm_stream_completed (stream);
  zm_exchange_unref (exchange);
}
