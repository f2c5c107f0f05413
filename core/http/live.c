/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Event streams: publications as they are made, and the daemon's status for the page. */
#include "config.h"

#include "http/v1.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define STATUS_US (2 * G_USEC_PER_SEC)

/* ---- publications ---- */

typedef struct Tail {
  const ZmHttpHost *host;
  guint64 number;
  pthread_mutex_t lock;
  ZmEventStream *stream; /* lock; NULL: not open yet */
} Tail;

static char *
event_json (const ZmMessage *message)
{
  ZmSpan headers = zm_message_headers (message);
  g_autofree char *type = message->has_headers ? zm_message_header (message, "content-type") : NULL;
  GString *json = g_string_new ("{\"topic\":");

  zm_json_append_string (json, zm_message_topic (message));
  if (headers.size > 0 && zm_json_valid (headers)) {
    g_string_append (json, ",\"headers\":");
    g_string_append_len (json, headers.data, (gssize) headers.size);
  }
  g_string_append_c (json, ',');
  zm_v1_append_body (json, zm_message_body (message), zm_span_text (type));
  g_string_append_c (json, '}');
  return g_string_free (json, FALSE);
}

/* In the publisher's thread. */
static void
on_publication (ZmMessage *message, gpointer user)
{
  Tail *tail = user;
  g_autofree char *id = zm_span_dup (message->topic.id);
  g_autofree char *json = event_json (message);

  pthread_mutex_lock (&tail->lock);
  if (tail->stream != NULL)
    zm_event_stream_send (tail->stream, id, NULL, zm_span_text (json));
  pthread_mutex_unlock (&tail->lock);
}

static void
on_tail_gone (gpointer user)
{
  Tail *tail = user;

  tail->host->untail (tail->number, tail->host->user);
  pthread_mutex_lock (&tail->lock);
  zm_event_stream_unref (tail->stream);
  pthread_mutex_unlock (&tail->lock);
  pthread_mutex_destroy (&tail->lock);
  g_free (tail);
}

void
zm_v1_topics (ZmRequest *request)
{
  const ZmHttpHost *host = zm_http_host (request->http);
  g_autofree char *prefix = zm_span_dup (request->part[0]);
  Tail *tail = g_new0 (Tail, 1);

  tail->host = host;
  pthread_mutex_init (&tail->lock, NULL);
  tail->number = host->tail (prefix, on_publication, tail, host->user);
  if (tail->number == 0) {
    pthread_mutex_destroy (&tail->lock);
    g_free (tail);
    zm_request_fail (request, 503, "streams", NULL, "too many live tails are open");
    return;
  }
  pthread_mutex_lock (&tail->lock);
  tail->stream = zm_event_stream_new (request, on_tail_gone, tail);
  pthread_mutex_unlock (&tail->lock);
}

/* ---- the page's status ---- */

typedef struct Live {
  atomic_int refs; /* the stream's, that of the armed timer or of the command under way */
  const ZmHttpHost *host;
  pthread_mutex_t lock;
  ZmEventStream *stream; /* lock; NULL: over */
  ZmTimer timer;
} Live;

static void
live_unref (Live *live)
{
  if (atomic_fetch_sub (&live->refs, 1) > 1)
    return;
  pthread_mutex_destroy (&live->lock);
  g_free (live);
}

static void
on_status (gboolean ok, const char *reply, gpointer user)
{
  Live *live = user;
  gboolean goes_on;

  pthread_mutex_lock (&live->lock);
  goes_on = live->stream != NULL;
  if (goes_on && ok)
    zm_event_stream_send (live->stream, NULL, "status", zm_span_text (reply));
  /* Under the lock, so that who ends the stream finds it armed: later the server may be gone. */
  if (goes_on)
    zm_timers_arm (live->host->timers, &live->timer, zm_now_us () + STATUS_US);
  pthread_mutex_unlock (&live->lock);
  if (!goes_on)
    live_unref (live);
}

static void
on_tick (ZmTimer *timer, gpointer user)
{
  Live *live = user;

  (void) timer;
  live->host->command ("{\"command\":\"status\"}", on_status, live, live->host->user);
}

static void
on_live_gone (gpointer user)
{
  Live *live = user;
  ZmEventStream *stream;

  pthread_mutex_lock (&live->lock);
  stream = g_steal_pointer (&live->stream);
  pthread_mutex_unlock (&live->lock);
  zm_event_stream_unref (stream);
  if (zm_timers_cancel (live->host->timers, &live->timer, FALSE))
    live_unref (live);
  live_unref (live);
}

void
zm_v1_live (ZmRequest *request)
{
  Live *live = g_new0 (Live, 1);

  atomic_init (&live->refs, 2);
  live->host = zm_http_host (request->http);
  live->timer.func = on_tick;
  live->timer.user = live;
  pthread_mutex_init (&live->lock, NULL);
  pthread_mutex_lock (&live->lock);
  live->stream = zm_event_stream_new (request, on_live_gone, live);
  pthread_mutex_unlock (&live->lock);
  on_tick (NULL, live);
}
