/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The server as a whole: start, new configuration, pause, end; and the module's one symbol. */
#include "config.h"

#include "http/server.h"

#include "build-id.h"

#include "base/zm-thread.h"

#include <string.h>
#include <unistd.h>

/* How long handlers may take to let go of what they were asked. */
#define END_US (5 * G_USEC_PER_SEC)

static void
conn_free (gpointer data)
{
  ZmConn *conn = data;

  g_free (conn->peer);
  g_free (conn);
}

static void
open_counters (ZmHttp *http)
{
  static const char *const classes[] = { "0xx", "1xx", "2xx", "3xx", "4xx", "5xx" };
  static const char *const why[] = { "connections", "connections-per-address", "cut-off" };
  ZmMetrics *metrics = http->host.metrics;

  http->connections =
      zm_metrics_gauge (metrics, "zmanager_http_connections", "HTTP connections now", NULL, NULL);
  http->open_streams = zm_metrics_gauge (metrics, "zmanager_http_streams", "Event streams now", NULL, NULL);
  http->waiting =
      zm_metrics_gauge (metrics, "zmanager_http_waiting", "Requests and streams that wait now", NULL, NULL);
  http->requests = zm_metrics_counter (metrics, "zmanager_http_requests_total", "HTTP requests", NULL, NULL);
  http->events_lost = zm_metrics_counter (metrics, "zmanager_http_events_lost_total",
                                          "Events left out as a stream's reader was slow", NULL, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (classes); i++)
    http->by_class[i] =
        zm_metrics_counter (metrics, "zmanager_http_answers_total", "HTTP answers", "status", classes[i]);
  for (guint i = 0; i < ZM_REFUSED_N; i++)
    http->refused[i] = zm_metrics_counter (metrics, "zmanager_http_refused_total",
                                           "Connections refused or cut off", "why", why[i]);
}

/* ---- start ---- */

static ZmTokens *
read_tokens (const ZmHttp *http, const ZmConfig *config, GError **error)
{
  g_autofree char *standard = zm_tokens_standard (http->host.config_dir);
  const char *set = zm_config_text (config, "http", "tokens");
  g_autofree char *path = g_canonicalize_filename (set != NULL ? set : standard, http->host.config_dir);
  ZmTokens *tokens = zm_tokens_read (path, error);

  if (tokens == NULL)
    g_prefix_error (error, "[http] tokens: ");
  return tokens;
}

static gboolean
open_servings (ZmHttp *http, GError **error)
{
  gboolean secure = zm_config_text (http->config, "http", "tls-certificate") != NULL;

  http->plain = zm_serving_new (http, FALSE, error);
  if (http->plain != NULL && secure)
    http->secure = zm_serving_new (http, TRUE, error);
  return http->plain != NULL && (!secure || http->secure != NULL);
}

ZmHttp *
zm_http_new (const ZmHttpHost *host, GError **error)
{
  ZmHttp *http = g_new0 (ZmHttp, 1);

  http->host = *host;
  http->epoll = http->waker = -1;
  http->config = zm_config_ref (host->config);
  zm_http_limits_set (http, host->config);
  http->threads = (guint) zm_config_integer (host->config, "http", "threads");
  http->conns = g_hash_table_new_full (NULL, NULL, NULL, conn_free);
  http->per_peer = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  http->streams = g_hash_table_new (NULL, NULL);
  http->retired = g_ptr_array_new ();
  pthread_mutex_init (&http->lock, NULL);
  zm_cond_init_monotonic (&http->idle);
  open_counters (http);
  http->tokens = read_tokens (http, host->config, error);
  if (http->tokens != NULL && zm_listen_open (http, error) && open_servings (http, error) &&
      zm_keeper_start (http, error))
    return http;
  zm_http_free (http);
  return NULL;
}

/* ---- a new configuration ---- */

static gboolean
same_list (const ZmConfig *a, const ZmConfig *b)
{
  return g_strv_equal (zm_config_list (a, "http", "listen"), zm_config_list (b, "http", "listen"));
}

/* Under the lock. What is bound stays bound until the next start: an address that others reach must not lose its tokens before. */
static void
keep_closed (ZmHttp *http)
{
  for (guint i = 0; i < http->n_listeners; i++)
    http->limits.token |= !http->listeners[i].address.loopback;
}

/* Whoever asks meanwhile has the old one to its end. */
gboolean
zm_http_configure (ZmHttp *http, ZmConfig *config, GError **error)
{
  ZmTokens *tokens = read_tokens (http, config, error);
  ZmConfig *before;
  ZmServing *serving = NULL;
  gboolean secure = zm_config_text (config, "http", "tls-certificate") != NULL;

  if (tokens == NULL)
    return FALSE;
  pthread_mutex_lock (&http->lock);
  before = http->config;
  http->config = zm_config_ref (config);
  zm_http_limits_set (http, config);
  keep_closed (http);
  zm_tokens_unref (http->tokens);
  http->tokens = tokens;
  pthread_mutex_unlock (&http->lock);
  if (http->secure != NULL && secure)
    serving = zm_serving_new (http, TRUE, error);
  if (error != NULL && *error == NULL &&
      (!same_list (before, config) || secure != (http->secure != NULL) ||
       zm_config_integer (before, "http", "threads") != zm_config_integer (config, "http", "threads")))
    g_set_error (error, ZM_ERROR, ZM_ERROR_UNAVAILABLE,
                 "[http] listen, threads, and TLS on or off, are taken at the next start");
  zm_config_unref (before);
  pthread_mutex_lock (&http->lock);
  if (serving != NULL) {
    /* One that was never put into use has no connections. */
    ZmServing *unused = http->next_secure;

    http->next_secure = serving;
    serving = unused;
  }
  pthread_mutex_unlock (&http->lock);
  zm_serving_free (serving);
  zm_keeper_wake (http);
  return error == NULL || *error == NULL;
}

/* ---- the end ---- */

/* Exchanges that wait for their handlers, a reference each. */
static GPtrArray *
waiting_ones (ZmHttp *http)
{
  GPtrArray *list = g_ptr_array_new_with_free_func ((GDestroyNotify) zm_exchange_unref);
  GHashTableIter iter;
  gpointer value;

  pthread_mutex_lock (&http->lock);
  g_hash_table_iter_init (&iter, http->conns);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    if (((ZmConn *) value)->exchange != NULL)
      g_ptr_array_add (list, zm_exchange_ref (((ZmConn *) value)->exchange));
  pthread_mutex_unlock (&http->lock);
  return list;
}

/* all: those too that have a result to come. */
static void
send_away (ZmHttp *http, gboolean all)
{
  g_autoptr (GPtrArray) list = waiting_ones (http);

  for (guint i = 0; i < list->len; i++)
    if (zm_exchange_gone (list->pdata[i]) || all)
      zm_exchange_end (list->pdata[i], 503, "the daemon is stopping");
}

/* Long polls and streams would wait for nothing; a call's result is on its way. */
void
zm_http_pause (ZmHttp *http)
{
  atomic_store (&http->paused, 1);
  send_away (http, FALSE);
}

/* Until nobody waits; a request that a handler has at this moment may begin to wait afterwards, so it is asked again. A suspended connection may not be left to libmicrohttpd's end. */
static void
settle (ZmHttp *http)
{
  gint64 until_us = zm_now_us () + END_US;
  gboolean busy = TRUE;

  atomic_store (&http->paused, 1);
  while (busy && zm_now_us () < until_us) {
    gint64 soon_us = zm_now_us () + 10 * 1000;

    send_away (http, TRUE);
    pthread_mutex_lock (&http->lock);
    while (atomic_load (&http->exchanges) > 0 && zm_cond_wait_until (&http->idle, &http->lock, soon_us))
      ;
    busy = atomic_load (&http->exchanges) > 0;
    pthread_mutex_unlock (&http->lock);
  }
}

/* Those that nobody reads any more. All others have ended with libmicrohttpd. */
static void
end_lingering (ZmHttp *http)
{
  GHashTableIter iter;
  gpointer value;

  pthread_mutex_lock (&http->lock);
  g_hash_table_iter_init (&iter, http->conns);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    if (((ZmConn *) value)->phase == ZM_CONN_LINGER) {
      zm_conn_linger_end (http, value);
      g_hash_table_iter_remove (&iter);
    }
  pthread_mutex_unlock (&http->lock);
}

static void
free_rest (ZmHttp *http)
{
  g_hash_table_unref (http->conns);
  g_hash_table_unref (http->per_peer);
  g_hash_table_unref (http->streams);
  g_ptr_array_unref (http->retired);
  zm_tokens_unref (http->tokens);
  zm_config_unref (http->config);
  pthread_mutex_destroy (&http->lock);
  pthread_cond_destroy (&http->idle);
  g_free (http);
}

/* What a handler still holds after 5 s (the store hangs) it may still answer: then the memory stays. */
void
zm_http_free (ZmHttp *http)
{
  if (http == NULL)
    return;
  settle (http);
  zm_keeper_stop (http);
  zm_listen_close (http);
  for (guint i = 0; i < http->retired->len; i++)
    zm_serving_free (http->retired->pdata[i]);
  zm_serving_free (http->next_secure);
  zm_serving_free (http->secure);
  zm_serving_free (http->plain);
  for (guint i = 0; i < http->n_listeners; i++)
    g_free (http->listeners[i].endpoint);
  g_free (http->endpoints);
  end_lingering (http);
  if (http->epoll >= 0)
    close (http->epoll);
  if (http->waker >= 0)
    close (http->waker);
  if (atomic_load (&http->exchanges) == 0)
    free_rest (http);
}

/* ---- what is told ---- */

const char *const *
zm_http_endpoints (ZmHttp *http)
{
  return (const char *const *) http->endpoints;
}

char *
zm_http_status_json (ZmHttp *http)
{
  GString *out = g_string_new ("{\"endpoints\":[");

  for (guint i = 0; i < http->n_listeners; i++) {
    if (i > 0)
      g_string_append_c (out, ',');
    zm_json_append_string (out, zm_span_text (http->endpoints[i]));
  }
  g_string_append_printf (out,
                          "],\"connections\":%" G_GINT64_FORMAT ",\"streams\":%" G_GINT64_FORMAT
                          ",\"waiting\":%" G_GINT64_FORMAT ",\"requests\":%" G_GINT64_FORMAT ",\"answers\":{",
                          zm_counter_get (http->connections), zm_counter_get (http->open_streams),
                          zm_counter_get (http->waiting), zm_counter_get (http->requests));
  for (guint i = 2; i < G_N_ELEMENTS (http->by_class); i++)
    g_string_append_printf (out, "%s\"%uxx\":%" G_GINT64_FORMAT, i > 2 ? "," : "", i,
                            zm_counter_get (http->by_class[i]));
  g_string_append_printf (out, "},\"cut_off\":%" G_GINT64_FORMAT ",\"refused\":%" G_GINT64_FORMAT "}",
                          zm_counter_get (http->refused[ZM_REFUSED_CUT]),
                          zm_counter_get (http->refused[ZM_REFUSED_FULL]) +
                              zm_counter_get (http->refused[ZM_REFUSED_ADDRESS]));
  return g_string_free (out, FALSE);
}

extern const ZmHttpModule zm_http_module;

__attribute__ ((visibility ("default"))) const ZmHttpModule zm_http_module = {
  .struct_size = sizeof (ZmHttpModule),
  .build = ZM_BUILD_ID,
  .open = zm_http_new,
  .configure = zm_http_configure,
  .pause = zm_http_pause,
  .free = zm_http_free,
  .endpoints = zm_http_endpoints,
  .status_json = zm_http_status_json,
};
