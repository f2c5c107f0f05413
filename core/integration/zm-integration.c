/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The Integration Manager's door: opening and closing, handing messages over, asking who subscribes. */
#include "config.h"

#include "integration/zm-integration.h"

#include "base/zm-thread.h"
#include "integration/integration-private.h"

#include <errno.h>
#include <string.h>

/* How long one attempt to send waits for a slow subscriber before it looks whether we are to end. */
#define WAIT_STEP_MS  100
#define RING_STANDARD 10000
/* Nothing but subscriptions comes in, and none that is longer than a topic can match: whoever sends more is cut off. */
#define INCOMING_MOST 65536

static gboolean
set_int (void *socket, int option, int value)
{
  return zmq_setsockopt (socket, option, &value, sizeof value) == 0;
}

/* The socket is counted before it is attached, so that a failure is cleaned up with the others. */
static gboolean
open_topics (ZmIntegration *integration, const ZmIntegrationConfig *config, const char *text, gboolean bind,
             GError **error)
{
  ZmSocketRules rules = { "topics", config->high_water, INCOMING_MOST, config->allow_multicast };
  if (integration->n_sockets == ZM_TOPICS_SOCKETS_MOST) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_LIMIT, "topics: more than %d endpoints; remove some",
                 ZM_TOPICS_SOCKETS_MOST);
    return FALSE;
  }
  void *socket = zm_endpoint_socket (config->zmq, ZMQ_XPUB, &rules, error);
  if (socket == NULL)
    return FALSE;
  ZmTopicsSocket *topics = &integration->sockets[integration->n_sockets++];
  topics->socket = socket;
  topics->bound = bind;
  topics->prefixes = zm_prefixes_new (ZM_SUBSCRIPTIONS_MOST);
  set_int (socket, ZMQ_XPUB_VERBOSE, 1);
  set_int (socket, ZMQ_XPUB_NODROP, 1);
  set_int (socket, ZMQ_SNDTIMEO, WAIT_STEP_MS);
  /* No subscriptions travel on multicast: who listens is not known, so everything counts as subscribed. */
  if (zm_endpoint_multicast (text))
    zm_prefixes_put (topics->prefixes, zm_span ("", 0));
  topics->endpoint = zm_endpoint_attach (socket, text, bind, &rules, error);
  return topics->endpoint != NULL;
}

/* In the gates' thread. */
static void
wake_for_gate (gpointer user)
{
  zm_waker_wake (&((ZmIntegration *) user)->waker);
}

/* Counts the connections of what is bound. Multicast has none. */
static gboolean
watch_all (ZmIntegration *integration, const ZmIntegrationConfig *config, GError **error)
{
  for (guint i = 0; i < integration->n_sockets && config->gates != NULL; i++) {
    ZmTopicsSocket *topics = &integration->sockets[i];
    if (!topics->bound || zm_endpoint_multicast (topics->endpoint))
      continue;
    topics->gate = zm_gate_new (config->gates, "topics", config->connections, topics->socket,
                                topics->endpoint, wake_for_gate, integration, error);
    if (topics->gate == NULL)
      return FALSE;
  }
  return TRUE;
}

/* Endpoints are told as they really are (ports of the system's choice), for status and for tests. */
static gboolean
open_all (ZmIntegration *integration, const ZmIntegrationConfig *config, GError **error)
{
  for (guint i = 0; config->bind != NULL && config->bind[i] != NULL; i++)
    if (!open_topics (integration, config, config->bind[i], TRUE, error))
      return FALSE;
  for (guint i = 0; config->connect != NULL && config->connect[i] != NULL; i++)
    if (!open_topics (integration, config, config->connect[i], FALSE, error))
      return FALSE;
  g_autoptr (GPtrArray) bound = g_ptr_array_new ();
  for (guint i = 0; i < integration->n_sockets; i++)
    if (integration->sockets[i].bound)
      g_ptr_array_add (bound, g_strdup (integration->sockets[i].endpoint));
  g_ptr_array_add (bound, NULL);
  integration->endpoints = (char **) g_ptr_array_free (g_steal_pointer (&bound), FALSE);
  return TRUE;
}

static void
make_counters (ZmIntegration *integration, ZmMetrics *metrics)
{
  struct {
    ZmCounter **place;
    const char *name, *help;
  } counters[] = {
    { &integration->published, "zmanager_integration_published_total", "Messages published" },
    { &integration->stalls, "zmanager_integration_stalls_total",
      "Publications that met a subscriber at its high-water mark" },
    { &integration->dropped, "zmanager_integration_dropped_total", "Messages given up at shutdown" },
    { &integration->failed, "zmanager_integration_failed_total", "Publications that libzmq refused" },
    { &integration->uncounted, "zmanager_integration_uncounted_total",
      "Subscriptions beyond those that can be told apart" },
    { &integration->unnumbered, "zmanager_integration_unnumbered_total",
      "Publications without a sequence header, for too many topics" },
  };
  for (guint i = 0; i < G_N_ELEMENTS (counters); i++)
    *counters[i].place = zm_metrics_counter (metrics, counters[i].name, counters[i].help, NULL, NULL);
  integration->subscriptions =
      zm_metrics_gauge (metrics, "zmanager_integration_subscriptions",
                        "Prefixes that somebody subscribes, summed over endpoints", NULL, NULL);
}

/* Frees what is there: also a half-made one. */
static void
integration_clear (ZmIntegration *integration, int linger_ms)
{
  for (guint i = 0; i < integration->n_sockets; i++) {
    ZmTopicsSocket *topics = &integration->sockets[i];
    zm_gate_free (topics->gate);
    set_int (topics->socket, ZMQ_LINGER, linger_ms);
    zmq_close (topics->socket);
    zm_prefixes_free (topics->prefixes);
    g_free (topics->endpoint);
  }
  g_strfreev (integration->endpoints);
  zm_ring_free (integration->ring);
  zm_waker_clear (&integration->waker);
  zm_prefixes_free (integration->numbered);
  g_hash_table_unref (integration->sequences);
  pthread_mutex_destroy (&integration->mutex);
  zm_log_unref (integration->log);
  g_free (integration);
}

/* The last step: from here on the sockets belong to the publisher's thread. */
static gboolean
start (ZmIntegration *integration, GError **error)
{
  int rc = zm_thread_create (&integration->thread, "zm-publisher", zm_publisher_run, integration);
  if (rc != 0) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_IO, "topics: cannot start the publisher's thread: %s",
                 g_strerror (rc));
    return FALSE;
  }
  return TRUE;
}

/* All or nothing: whatever fails, what was made is undone and the error says which endpoint. */
ZmIntegration *
zm_integration_new (const ZmIntegrationConfig *config, GError **error)
{
  ZmIntegration *integration = g_new0 (ZmIntegration, 1);
  integration->form = config->form;
  integration->wait_for_slow = config->wait_for_slow;
  integration->log = config->log != NULL ? zm_log_ref (config->log) : NULL;
  integration->ring = zm_ring_new (config->high_water > 0 ? (guint) config->high_water : RING_STANDARD);
  integration->waker.fd = -1;
  integration->numbered = zm_prefixes_new (ZM_SUBSCRIPTIONS_MOST);
  integration->sequences = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  atomic_init (&integration->give_up_us, G_MAXINT64);
  pthread_mutex_init (&integration->mutex, NULL);
  make_counters (integration, config->metrics);
  if (zm_waker_init (&integration->waker, error) && open_all (integration, config, error) &&
      watch_all (integration, config, error) && start (integration, error))
    return integration;
  integration_clear (integration, 0);
  return NULL;
}

/* The publisher ends by itself when the ring is empty; its sockets stay until zm_integration_free. */
void
zm_integration_close (ZmIntegration *integration)
{
  if (integration == NULL)
    return;
  zm_ring_close (integration->ring);
  zm_waker_wake (&integration->waker);
}

void
zm_integration_finish (ZmIntegration *integration, gint64 deadline_ms)
{
  if (integration == NULL || integration->ended)
    return;
  atomic_store (&integration->give_up_us, zm_now_us () + MAX (deadline_ms, 0) * 1000);
  zm_ring_close (integration->ring);
  zm_waker_wake (&integration->waker);
  pthread_join (integration->thread, NULL);
  integration->ended = TRUE;
}

/* Publishing ends first, by the closed ring; libzmq's pipes have what is left of the time as linger. */
void
zm_integration_free (ZmIntegration *integration, gint64 deadline_ms)
{
  if (integration == NULL)
    return;
  gint64 end_us = zm_now_us () + MAX (deadline_ms, 0) * 1000;
  zm_integration_finish (integration, deadline_ms);
  /* What is in libzmq's own pipes has the rest of the time. */
  integration_clear (integration, (int) CLAMP ((end_us - zm_now_us ()) / 1000, 0, G_MAXINT));
}

gboolean
zm_integration_publish (ZmIntegration *integration, ZmMessage *const *messages, guint n)
{
  while (n > 0) {
    guint given = 0;
    /* In pieces that fit into an empty ring: the sleeping publisher is woken after each, so a piece that waits for room
     * never waits for a thread that nobody woke. */
    guint piece = MIN (n, MIN (zm_ring_capacity (integration->ring), ZM_PUBLISH_BATCH));
    gboolean open = zm_ring_push (integration->ring, (gpointer const *) messages, piece, &given);
    zm_waker_wake (&integration->waker);
    if (open)
      given = piece;
    messages += given;
    n -= given;
    if (!open)
      break;
  }
  for (guint i = 0; i < n; i++)
    zm_message_unref (messages[i]);
  if (n > 0)
    zm_counter_add (integration->dropped, n);
  return n == 0;
}

/* Without a lock: before traffic there is no reader. */
void
zm_integration_set_tap (ZmIntegration *integration, const ZmPublishTap *tap)
{
  integration->tap = *tap;
}

/* Any socket will do: a taker may be at any endpoint. */
gboolean
zm_integration_has_subscriber (ZmIntegration *integration, ZmSpan topic)
{
  for (guint i = 0; i < integration->n_sockets; i++)
    if (zm_prefixes_match (integration->sockets[i].prefixes, topic))
      return TRUE;
  return FALSE;
}

gboolean
zm_integration_has_prefix (ZmIntegration *integration, ZmSpan prefix)
{
  for (guint i = 0; i < integration->n_sockets; i++)
    if (zm_prefixes_has (integration->sockets[i].prefixes, prefix))
      return TRUE;
  return FALSE;
}

guint
zm_integration_n_subscriptions (ZmIntegration *integration)
{
  guint count = 0;
  for (guint i = 0; i < integration->n_sockets; i++)
    count += zm_prefixes_count (integration->sockets[i].prefixes);
  return count;
}

void
zm_integration_reasons (ZmIntegration *integration, GPtrArray *out)
{
  for (guint i = 0; i < integration->n_sockets; i++) {
    guint64 lost = zm_prefixes_lost (integration->sockets[i].prefixes);
    if (lost > 0)
      g_ptr_array_add (out,
                       g_strdup_printf ("topics: %s has over %d different subscriptions, %" G_GUINT64_FORMAT
                                        " too many: no-taker is not told there until a restart",
                                        integration->sockets[i].endpoint, ZM_SUBSCRIPTIONS_MOST, lost));
  }
}

/* The lock is the one under which watchers are called, so a new one sees every change from now on. */
void
zm_integration_watch_subscriptions (ZmIntegration *integration, ZmSubscriptionFunc func, gpointer user)
{
  pthread_mutex_lock (&integration->mutex);
  if (integration->n_watchers < ZM_WATCHERS_MOST)
    integration->watchers[integration->n_watchers++] = (ZmWatcher){ func, user };
  pthread_mutex_unlock (&integration->mutex);
}

/* The last one takes the free place; order among watchers means nothing. */
void
zm_integration_unwatch_subscriptions (ZmIntegration *integration, ZmSubscriptionFunc func, gpointer user)
{
  pthread_mutex_lock (&integration->mutex);
  for (guint i = 0; i < integration->n_watchers; i++)
    if (integration->watchers[i].func == func && integration->watchers[i].user == user)
      integration->watchers[i--] = integration->watchers[--integration->n_watchers];
  pthread_mutex_unlock (&integration->mutex);
}

/* The counter spares the publisher a look-up for each message as long as no service is registered. */
void
zm_integration_number_topic (ZmIntegration *integration, const char *prefix, gboolean on)
{
  ZmSpan span = zm_span_text (prefix);
  if (on && zm_prefixes_hold (integration->numbered, span))
    atomic_fetch_add (&integration->n_numbered, 1);
  if (!on && zm_prefixes_drop (integration->numbered, span)) {
    atomic_fetch_sub (&integration->n_numbered, 1);
    atomic_store (&integration->taken_back, 1);
  }
}

const char *const *
zm_integration_endpoints (ZmIntegration *integration)
{
  return (const char *const *) integration->endpoints;
}

guint
zm_integration_queued (ZmIntegration *integration)
{
  return zm_ring_length (integration->ring);
}

char *
zm_integration_status_json (ZmIntegration *integration)
{
  return g_strdup_printf ("{\"queued\":%u,\"subscriptions\":%u,\"published\":%" G_GINT64_FORMAT
                          ",\"stalled\":%" G_GINT64_FORMAT ",\"dropped\":%" G_GINT64_FORMAT
                          ",\"failed\":%" G_GINT64_FORMAT "}",
                          zm_integration_queued (integration), zm_integration_n_subscriptions (integration),
                          zm_counter_get (integration->published), zm_counter_get (integration->stalls),
                          zm_counter_get (integration->dropped), zm_counter_get (integration->failed));
}
