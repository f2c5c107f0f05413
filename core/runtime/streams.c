/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Streams of the control socket. */
#include "config.h"

#include "runtime/streams.h"

#include "runtime/commands.h"
#include "runtime/private.h"

#include <errno.h>
#include <glib-unix.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* The box between the threads that produce and the main loop. */
#define BOX_ITEMS_MOST  4096
#define BOX_BYTES_MOST  (8 * 1024 * 1024)
#define TOP_STANDARD_MS 1000
#define TOP_LEAST_MS    100
#define TOP_MOST_MS     60000

typedef enum { STREAM_TRACE, STREAM_LOG, STREAM_TOP } StreamKind;

/* One client that looks at something. The main loop's alone. */
typedef struct Stream {
  ZmStreams *streams;
  ZmPeer *peer; /* owned; with its request id it names the stream */
  StreamKind kind;
  char *id;      /* of trace: the message, or NULL for all */
  ZmLevel level; /* of log */
  GSource *tick; /* of top */
} Stream;

/* One line on its way from the thread that has it to the main loop. */
typedef struct Item {
  StreamKind kind;
  ZmLevel level; /* of a log line */
  gsize size;    /* of json, without its NUL */
  char json[];
} Item;

struct ZmStreams {
  ZmRuntime *runtime;
  ZmControl *control;
  GPtrArray *list;      /* Stream; the main loop's */
  int event;            /* eventfd: the box has something */
  GSource *source;      /* of event */
  atomic_int log_level; /* the most that a log stream wants; 0: there is none */
  ZmCounter *missed;

  pthread_mutex_t lock; /* guards the box */
  GQueue box;           /* Item */
  gsize bytes;          /* of all items in it */
  guint64 lost;         /* items that did not fit since it was emptied last */
};

/* ---- producing: any thread ---- */

/* From any thread, also from one that holds a lock of the pool or of the log, so it never waits: what does not fit the
 * box is counted, and the count is told to those who read. The eventfd wakes the main loop. */
static void
put (ZmStreams *streams, StreamKind kind, ZmLevel level, const char *json)
{
  gsize size = strlen (json);
  Item *item = g_malloc (sizeof *item + size + 1);
  const guint64 one = 1;

  item->kind = kind;
  item->level = level;
  item->size = size;
  memcpy (item->json, json, size + 1);
  pthread_mutex_lock (&streams->lock);
  if (streams->box.length < BOX_ITEMS_MOST && streams->bytes + size <= BOX_BYTES_MOST) {
    streams->bytes += size;
    g_queue_push_tail (&streams->box, g_steal_pointer (&item));
  } else {
    streams->lost++;
  }
  pthread_mutex_unlock (&streams->lock);
  g_free (item);
  (void) !write (streams->event, &one, sizeof one);
}

/* In a worker, under the pool's trace lock. */
static void
on_trace (const char *json, gpointer user)
{
  put (user, STREAM_TRACE, ZM_LEVEL_DEBUG, json);
}

/* The log's tap sees every line; nearly always nobody wants it, and then it costs one relaxed load. The level is judged
 * before a copy is made. */
static void
on_log (ZmLevel level, const char *json, gpointer user)
{
  ZmStreams *streams = user;

  if ((int) level <= atomic_load_explicit (&streams->log_level, memory_order_relaxed))
    put (streams, STREAM_LOG, level, json);
}

/* ---- the set of streams ---- */

static void
stream_free (Stream *stream)
{
  if (stream->tick != NULL) {
    g_source_destroy (stream->tick);
    g_source_unref (stream->tick);
  }
  zm_peer_free (stream->peer);
  g_free (stream->id);
  g_free (stream);
}

/* Tells the producers what is wanted now: nothing costs anything while nobody looks. The pool follows one id or all:
 * with several traces it follows all, and each stream picks its own out. */
static void
update_producers (ZmStreams *streams)
{
  const char *id = NULL;
  guint traces = 0;
  int level = 0;

  for (guint i = 0; i < streams->list->len; i++) {
    const Stream *stream = streams->list->pdata[i];

    if (stream->kind == STREAM_LOG)
      level = MAX (level, (int) stream->level);
    if (stream->kind == STREAM_TRACE)
      id = traces++ == 0 ? stream->id : NULL;
  }
  atomic_store_explicit (&streams->log_level, level, memory_order_relaxed);
  zm_pool_trace (streams->runtime->pool, id, traces > 0 ? on_trace : NULL, streams);
}

/* The peer is not told: it is gone, or does not read. */
static void
remove_at (ZmStreams *streams, guint index)
{
  stream_free (g_ptr_array_remove_index (streams->list, index));
  update_producers (streams);
}

/* Is this item for this stream? An id is compared as it stands in the JSON, quotes left out: ids need no escapes. */
static gboolean
wants (const Stream *stream, const Item *item)
{
  ZmSpan id;

  if (stream->kind != item->kind)
    return FALSE;
  if (stream->kind == STREAM_LOG)
    return item->level <= stream->level;
  if (stream->id == NULL)
    return TRUE;
  return zm_json_member (zm_span (item->json, item->size), "id", &id) && id.size == strlen (stream->id) + 2 &&
         strncmp (id.data + 1, stream->id, id.size - 2) == 0;
}

/* Sends to each stream that wants the item, or with item NULL to each of a kind. Who does not take its parts loses the
 * stream; from the end, as streams go while this runs. */
static void
deliver (ZmStreams *streams, StreamKind kind, const Item *item, const char *json)
{
  for (guint i = streams->list->len; i-- > 0;) {
    Stream *stream = streams->list->pdata[i];

    if ((item != NULL ? wants (stream, item) : stream->kind == kind) &&
        !zm_control_send (streams->control, stream->peer, "PART", json))
      remove_at (streams, i);
  }
}

/* ---- consuming: the main loop ---- */

/* Takes all that is there, so that the lock is held for a moment only: workers wait for it. */
static void
empty_box (ZmStreams *streams, GQueue *items, guint64 *lost)
{
  guint64 count;

  (void) !read (streams->event, &count, sizeof count);
  pthread_mutex_lock (&streams->lock);
  *items = streams->box;
  *lost = streams->lost;
  g_queue_init (&streams->box);
  streams->bytes = 0;
  streams->lost = 0;
  pthread_mutex_unlock (&streams->lock);
}

/* A gap is told after the items that came before it, in the place where what is missing would stand. */
static gboolean
on_box (int fd, GIOCondition condition, gpointer user)
{
  ZmStreams *streams = user;
  GQueue items;
  guint64 lost;
  Item *item;

  (void) fd;
  (void) condition;
  empty_box (streams, &items, &lost);
  while ((item = g_queue_pop_head (&items)) != NULL) {
    deliver (streams, item->kind, item, item->json);
    g_free (item);
  }
  if (lost > 0) {
    g_autofree char *json = g_strdup_printf ("{\"missed\":%" G_GUINT64_FORMAT "}", lost);

    zm_counter_add (streams->missed, lost);
    deliver (streams, STREAM_TRACE, NULL, json);
    deliver (streams, STREAM_LOG, NULL, json);
  }
  return G_SOURCE_CONTINUE;
}

/* One picture of the whole daemon. Made anew for each stream: two tops are rare, and may have two intervals. Removes
 * itself where its client is gone. */
static gboolean
on_tick (gpointer user)
{
  Stream *stream = user;
  ZmStreams *streams = stream->streams;
  ZmRuntime *runtime = streams->runtime;
  g_autoptr (GString) out = g_string_new ("{");
  guint index;

  zm_reply_member_integer (out, "time_us", zm_wall_us ());
  zm_reply_member_text (out, "state", zm_runtime_state_name (runtime));
  zm_reply_member_take (out, "workers", zm_pool_status_json (runtime->pool));
  zm_reply_member_take (out, "routes", zm_pool_routes_json (runtime->pool));
  zm_reply_member_take (out, "running", zm_pool_running_json (runtime->pool));
  zm_reply_member_take (out, "subject", zm_subject_status_json (runtime->subject));
  g_string_append_c (out, '}');
  if (zm_control_send (streams->control, stream->peer, "PART", out->str))
    return G_SOURCE_CONTINUE;
  if (g_ptr_array_find (streams->list, stream, &index))
    remove_at (streams, index);
  return G_SOURCE_REMOVE;
}

/* ---- opening and ending ---- */

static void
start_ticking (Stream *stream, guint interval_ms)
{
  stream->tick = g_timeout_source_new (interval_ms);
  g_source_set_callback (stream->tick, on_tick, stream, NULL);
  g_source_attach (stream->tick, stream->streams->runtime->context);
}

/* Everything is checked before the stream is entered, so one that was opened always runs. */
static gboolean
read_arguments (Stream *stream, const char *kind, ZmSpan request, gint64 *interval_ms, GError **error)
{
  g_autofree char *level = NULL;

  *interval_ms = 0;
  if (strcmp (kind, "trace") == 0) {
    stream->kind = STREAM_TRACE;
    return zm_command_text (request, "id", FALSE, &stream->id, error);
  }
  if (strcmp (kind, "top") == 0) {
    stream->kind = STREAM_TOP;
    return zm_command_integer (request, "interval_ms", TOP_STANDARD_MS, TOP_LEAST_MS, TOP_MOST_MS,
                               interval_ms, error);
  }
  stream->kind = STREAM_LOG;
  stream->level = ZM_LEVEL_INFO;
  if (!zm_command_text (request, "level", FALSE, &level, error))
    return FALSE;
  if (level == NULL || zm_level_parse (level, &stream->level))
    return TRUE;
  g_set_error_literal (error, ZM_ERROR, ZM_ERROR_INVALID,
                       "\"level\" must be error, warning, notice, info or debug");
  return FALSE;
}

static gboolean
find_stream (ZmStreams *streams, const ZmPeer *peer, guint *index)
{
  for (*index = 0; *index < streams->list->len; ++*index)
    if (zm_peer_equal (((Stream *) streams->list->pdata[*index])->peer, peer))
      return TRUE;
  return FALSE;
}

/* The first tick of a top comes at once, so that the client has something to show. */
gboolean
zm_streams_open (ZmStreams *streams, const ZmPeer *peer, const char *kind, ZmSpan request, GError **error)
{
  Stream *stream;
  gint64 interval_ms;
  guint index;

  if (streams->list->len >= ZM_STREAMS_MOST) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_UNAVAILABLE, "%d streams are open already; end one first",
                 ZM_STREAMS_MOST);
    return FALSE;
  }
  if (find_stream (streams, peer, &index)) {
    g_set_error_literal (error, ZM_ERROR, ZM_ERROR_INVALID,
                         "this request-id has a stream already; use another one");
    return FALSE;
  }
  stream = g_new0 (Stream, 1);
  stream->streams = streams;
  stream->peer = zm_peer_copy (peer);
  if (!read_arguments (stream, kind, request, &interval_ms, error)) {
    stream_free (stream);
    return FALSE;
  }
  g_ptr_array_add (streams->list, stream);
  update_producers (streams);
  if (stream->kind == STREAM_TOP) {
    start_ticking (stream, (guint) interval_ms);
    on_tick (stream);
  }
  return TRUE;
}

/* By the peer that opened it, with the request id of the stream. "OK" ends the stream; a second cancel finds nothing. */
void
zm_streams_cancel (ZmStreams *streams, const ZmPeer *peer)
{
  guint index;

  if (find_stream (streams, peer, &index)) {
    remove_at (streams, index);
    zm_control_send (streams->control, peer, "OK", "{\"text\":\"ended\"}");
    return;
  }
  zm_control_send (streams->control, peer, "ERROR",
                   "{\"code\":\"not-found\",\"text\":\"no stream has this request-id\"}");
}

/* The tap of the log is set last, when all that it uses is there. */
ZmStreams *
zm_streams_new (struct ZmRuntime *runtime, ZmControl *control, GError **error)
{
  int event = eventfd (0, EFD_NONBLOCK | EFD_CLOEXEC);
  ZmStreams *streams;

  if (event < 0) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_IO, "no descriptor for the streams of the control socket: %s",
                 g_strerror (errno));
    return NULL;
  }
  streams = g_new0 (ZmStreams, 1);
  streams->runtime = runtime;
  streams->control = control;
  streams->list = g_ptr_array_new ();
  streams->missed = zm_metrics_counter (runtime->metrics, "zmanager_control_missed_total",
                                        "Parts of streams that did not fit their box", NULL, NULL);
  pthread_mutex_init (&streams->lock, NULL);
  g_queue_init (&streams->box);
  streams->event = event;
  streams->source = g_unix_fd_source_new (streams->event, G_IO_IN);
  g_source_set_callback (streams->source, G_SOURCE_FUNC (on_box), streams, NULL);
  g_source_attach (streams->source, runtime->context);
  zm_log_set_tap (runtime->log, on_log, streams);
  return streams;
}

/* First the producers, so that nothing is put into a box that goes. */
void
zm_streams_free (ZmStreams *streams)
{
  if (streams == NULL)
    return;
  zm_log_set_tap (streams->runtime->log, NULL, NULL);
  zm_pool_trace (streams->runtime->pool, NULL, NULL, NULL);
  while (streams->list->len > 0)
    stream_free (g_ptr_array_remove_index (streams->list, streams->list->len - 1));
  g_ptr_array_unref (streams->list);
  g_source_destroy (streams->source);
  g_source_unref (streams->source);
  g_queue_clear_full (&streams->box, g_free);
  close (streams->event);
  pthread_mutex_destroy (&streams->lock);
  g_free (streams);
}
