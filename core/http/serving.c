/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libmicrohttpd: its daemons and callbacks. They listen nowhere: connections are accepted by the keeper and given to them, so that caps,
 * several listeners and a renewed certificate need nothing of theirs.
 */
#include "config.h"

#include "http/server.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

ZmHttpLimits
zm_http_limits (ZmHttp *http)
{
  ZmHttpLimits limits;

  pthread_mutex_lock (&http->lock);
  limits = http->limits;
  pthread_mutex_unlock (&http->lock);
  return limits;
}

void
zm_http_limits_set (ZmHttp *http, const ZmConfig *config)
{
  http->limits = (ZmHttpLimits){
    .token = g_strcmp0 (zm_config_text (config, "http", "auth"), "token") == 0,
    .connections = (guint) zm_config_integer (config, "http", "connections"),
    .per_address = (guint) zm_config_integer (config, "http", "connections-per-address"),
    .streams = (guint) zm_config_integer (config, "http", "streams"),
    .body_most = (gsize) zm_config_integer (config, "http", "max-body"),
    .header_us = zm_config_integer (config, "http", "header-timeout") * 1000,
    .body_us = zm_config_integer (config, "http", "body-timeout") * 1000,
    .idle_us = zm_config_integer (config, "http", "idle-timeout") * 1000,
  };
}

static int
fd_of (struct MHD_Connection *connection)
{
  const union MHD_ConnectionInfo *info =
      MHD_get_connection_info (connection, MHD_CONNECTION_INFO_CONNECTION_FD);

  return info != NULL ? info->connect_fd : -1;
}

/* ---- bodies ---- */

/* An answer in the middle of a body is beyond libmicrohttpd: what can be said is said, and the connection closed. With TLS it is
 * closed without a word. */
static enum MHD_Result
cut_off (ZmExchange *exchange, const char *status)
{
  ZmConn *conn = exchange->conn;

  zm_counter_add (exchange->request.http->refused[ZM_REFUSED_CUT], 1);
  if (!conn->secure)
    dprintf (conn->fd, "HTTP/1.1 %s\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", status);
  return MHD_NO;
}

/* All bodies together: what a server may hold does not grow with the clients that it has. */
static gsize
held_most (const ZmExchange *exchange)
{
  return MAX (exchange->limits.body_most * 4, (gsize) 64 << 20);
}

static enum MHD_Result
take_body (ZmExchange *exchange, const char *data, size_t *size)
{
  ZmHttp *http = exchange->request.http;
  gsize n = *size;

  *size = 0;
  /* Answered already: the rest of what it sends is of no interest. */
  if (exchange->answered)
    return MHD_YES;
  if (exchange->body == NULL)
    exchange->body = g_byte_array_new ();
  if (exchange->body->len + n > exchange->body_most)
    return cut_off (exchange, "413 Content Too Large");
  if (atomic_load (&http->held) + n > held_most (exchange))
    return cut_off (exchange, "503 Service Unavailable");
  atomic_fetch_add (&http->held, n);
  g_byte_array_append (exchange->body, (const guint8 *) data, (guint) n);
  return MHD_YES;
}

/* ---- callbacks ---- */

/* The request line is there. */
static void *
on_target (void *user, const char *target, struct MHD_Connection *connection)
{
  ZmHttp *http = user;
  ZmExchange *exchange = zm_exchange_new (http, connection, target);
  ZmConn *conn = zm_conn_find (http, fd_of (connection));

  exchange->conn = conn;
  if (conn != NULL)
    zm_conn_whole (http, conn, FALSE);
  if (conn != NULL && conn->phase == ZM_CONN_IDLE)
    zm_conn_phase (http, conn, ZM_CONN_HEAD, zm_now_us () + exchange->limits.header_us);
  return exchange;
}

static gboolean
announces_body (struct MHD_Connection *connection)
{
  const char *length = MHD_lookup_connection_value (connection, MHD_HEADER_KIND, "Content-Length");

  return (length != NULL && strcmp (length, "0") != 0) ||
         MHD_lookup_connection_value (connection, MHD_HEADER_KIND, "Transfer-Encoding") != NULL;
}

/* Called first when the head is there, then with each piece of the body, at its end with none; and once more when a suspended
 * connection was resumed, to take the answer. */
static enum MHD_Result
on_request (void *user, struct MHD_Connection *connection, const char *url, const char *method,
            const char *version, const char *data, size_t *size, void **context)
{
  ZmHttp *http = user;
  ZmExchange *exchange = *context;
  enum MHD_Result result;

  (void) url;
  (void) version;
  if (exchange == NULL || exchange->conn == NULL)
    return MHD_NO;
  if (!exchange->admitted) {
    exchange->admitted = TRUE;
    zm_counter_add (http->requests, 1);
    zm_conn_phase (http, exchange->conn, ZM_CONN_BODY, zm_now_us () + exchange->limits.body_us);
    /* Answered at this point libmicrohttpd would close the connection, which without a body there is no need for. */
    return zm_admit (exchange, method) || !announces_body (connection) ? MHD_YES
                                                                       : zm_exchange_queue (exchange);
  }
  if (*size > 0)
    return take_body (exchange, data, size);
  zm_conn_whole (http, exchange->conn, TRUE);
  if (!exchange->dispatched && !exchange->answered)
    return zm_exchange_dispatch (exchange);
  result = zm_exchange_queue (exchange);
  return result;
}

static void
on_completed (void *user, struct MHD_Connection *connection, void **context,
              enum MHD_RequestTerminationCode how)
{
  ZmHttp *http = user;
  ZmExchange *exchange = *context;

  (void) connection;
  (void) how;
  *context = NULL;
  if (exchange == NULL)
    return;
  if (exchange->conn != NULL)
    zm_conn_phase (http, exchange->conn, ZM_CONN_IDLE, zm_now_us () + exchange->limits.idle_us);
  zm_exchange_completed (exchange);
}

static void
on_connection (void *user, struct MHD_Connection *connection, void **context,
               enum MHD_ConnectionNotificationCode code)
{
  (void) context;
  if (code == MHD_CONNECTION_NOTIFY_CLOSED)
    zm_conn_closed (user, fd_of (connection));
}

/* Names and values are cut before they are decoded, by ourselves: "%2C" is no comma. */
static size_t
leave_as_it_is (void *user, struct MHD_Connection *connection, char *text)
{
  (void) user;
  (void) connection;
  return strlen (text);
}

static void G_GNUC_PRINTF (2, 0) on_log (void *user, const char *format, va_list arguments)
{
  ZmHttp *http = user;
  g_autofree char *text = NULL;

  if (!zm_log_enabled (http->host.log, ZM_LEVEL_DEBUG))
    return;
  text = g_strdup_vprintf (format, arguments);
  zm_log_limited (http->host.log, ZM_LEVEL_DEBUG, "http", "libmicrohttpd", "%s", g_strchomp (text));
}

/* ---- daemons ---- */

#define FLAGS \
  (MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ERROR_LOG)

/* Certificate and key are small; a larger file is a mistake. */
static char *
read_pem (ZmHttp *http, const char *key, GError **error)
{
  g_autofree char *path = NULL, *text = NULL;
  const char *set;
  g_autoptr (GError) why = NULL;
  gsize size;

  pthread_mutex_lock (&http->lock);
  set = zm_config_text (http->config, "http", key);
  path = set != NULL ? g_canonicalize_filename (set, http->host.config_dir) : NULL;
  pthread_mutex_unlock (&http->lock);
  if (path != NULL && g_file_get_contents (path, &text, &size, &why) && size < 1 << 20)
    return g_steal_pointer (&text);
  g_set_error (error, ZM_ERROR, ZM_ERROR_IO, "[http] %s: %s cannot be used: %s", key,
               path != NULL ? path : "it", why != NULL ? why->message : "not set, or larger than 1 MiB");
  return NULL;
}

static struct MHD_Daemon *
start_secure (ZmHttp *http, const struct MHD_OptionItem *options, GError **error)
{
  g_autofree char *certificate = read_pem (http, "tls-certificate", error);
  g_autofree char *key = certificate != NULL ? read_pem (http, "tls-key", error) : NULL;
  struct MHD_Daemon *daemon;

  if (key == NULL)
    return NULL;
  if (MHD_is_feature_supported (MHD_FEATURE_TLS) != MHD_YES) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_UNAVAILABLE,
                 "[http] tls-certificate: this libmicrohttpd was built without TLS");
    return NULL;
  }
  daemon = MHD_start_daemon (FLAGS | MHD_USE_TLS, 0, NULL, NULL, on_request, http, MHD_OPTION_HTTPS_MEM_CERT,
                             certificate, MHD_OPTION_HTTPS_MEM_KEY, key, MHD_OPTION_HTTPS_PRIORITIES,
                             "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2", MHD_OPTION_ARRAY, options,
                             MHD_OPTION_END);
  if (daemon == NULL)
    g_set_error (
        error, ZM_ERROR, ZM_ERROR_INVALID,
        "[http] tls-certificate, tls-key: they cannot be used; both must be PEM, and belong together");
  return daemon;
}

ZmServing *
zm_serving_new (ZmHttp *http, gboolean secure, GError **error)
{
  ZmHttpLimits limits = zm_http_limits (http);
  guint most = MAX (limits.connections, http->threads);
  const struct MHD_OptionItem options[] = {
    { MHD_OPTION_NOTIFY_CONNECTION, (intptr_t) on_connection, http },
    { MHD_OPTION_NOTIFY_COMPLETED, (intptr_t) on_completed, http },
    { MHD_OPTION_URI_LOG_CALLBACK, (intptr_t) on_target, http },
    { MHD_OPTION_UNESCAPE_CALLBACK, (intptr_t) leave_as_it_is, http },
    { MHD_OPTION_EXTERNAL_LOGGER, (intptr_t) on_log, http },
    { MHD_OPTION_CONNECTION_MEMORY_LIMIT, ZM_HTTP_HEAD_MOST, NULL },
    /* Ours is the keeper's; a pool's is that of each of its threads, which do not fill evenly. */
    { MHD_OPTION_CONNECTION_LIMIT, (intptr_t) most * http->threads + 16, NULL },
    { MHD_OPTION_CONNECTION_TIMEOUT, (intptr_t) (limits.idle_us / G_USEC_PER_SEC + 1), NULL },
    { http->threads > 1 ? MHD_OPTION_THREAD_POOL_SIZE : MHD_OPTION_END, http->threads, NULL },
    { MHD_OPTION_END, 0, NULL },
  };
  struct MHD_Daemon *daemon = secure ? start_secure (http, options, error)
                                     : MHD_start_daemon (FLAGS, 0, NULL, NULL, on_request, http,
                                                         MHD_OPTION_ARRAY, options, MHD_OPTION_END);
  ZmServing *serving;

  if (daemon == NULL) {
    if (error != NULL && *error == NULL)
      g_set_error (error, ZM_ERROR, ZM_ERROR_IO, "[http] threads: libmicrohttpd could not be started");
    return NULL;
  }
  serving = g_new0 (ZmServing, 1);
  serving->daemon = daemon;
  serving->secure = secure;
  return serving;
}

void
zm_serving_free (ZmServing *serving)
{
  if (serving == NULL)
    return;
  MHD_stop_daemon (serving->daemon);
  g_free (serving);
}
