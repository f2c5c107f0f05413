/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Listing messages, and getting some by their ids. */
#include "config.h"

#include "queue/registry-private.h"

#include <string.h>

/* Whose message it is stands in the record only, so that a list without a client's own reads on until it is full; this many times. */
#define STEPS_MOST 64

typedef struct List {
  ZmRequest request; /* first */
  ZmQueueList what;  /* spans point into texts */
  char *marker, *without;
  guint64 from; /* where to go on; 0: at the beginning, or end */
  guint steps;
  gsize bytes;
  gboolean over; /* nothing is behind */
} List;

static List *
list_of (ZmRequest *request)
{
  return (List *) (void *) request;
}

/* ---- which ones ---- */

/* Free ones have bits of their own, so that none of many claimed ones is looked at. */
static ZmView
view_of (const List *list)
{
  gboolean consumed = list->request.queue->options.retain == ZM_RETAIN_CONSUMED;

  return consumed || list->what.claimed || list->what.delayed ? ZM_VIEW_PRESENT : ZM_VIEW_FREE;
}

static gboolean
is_listed (const List *list, guint64 seq)
{
  ZmQueue *queue = list->request.queue;

  return zm_queue_has (queue, seq, list->request.now_us) &&
         (list->what.delayed || !g_hash_table_contains (queue->delayed, &seq)) &&
         (list->what.claimed || zm_claims_of (queue, seq) == NULL);
}

/* The next that is listed at or behind `from` (newest: at or before it); 0: none. */
static guint64
next_listed (const List *list, guint64 from)
{
  const ZmIndex *index = &list->request.queue->index;

  while (from != 0) {
    guint64 seq = list->what.newest ? zm_index_previous (index, view_of (list), from)
                                    : zm_index_next (index, view_of (list), from);

    if (seq == 0 || is_listed (list, seq))
      return seq;
    from = list->what.newest ? seq - 1 : seq + 1;
  }
  return 0;
}

/* FALSE: a marker that is none. */
static gboolean
begin (List *list)
{
  guint64 seq;

  if (list->from != 0)
    return TRUE;
  if (list->what.marker.size == 0) {
    list->from = list->what.newest ? ZM_STORE_SEQ_MOST : 1;
    return TRUE;
  }
  seq = zm_queue_seq_of (list->request.queue, list->what.marker);
  list->from = list->what.newest ? seq - 1 : seq + 1;
  return seq != 0 && list->from != 0;
}

static void
decide_list (ZmRequest *request, ZmStoreWriter *writer)
{
  List *list = list_of (request);
  guint have = request->messages != NULL ? request->messages->len : 0;
  guint most = list->what.limit - MIN (have, list->what.limit);
  guint64 seq;

  (void) writer;
  list->over = TRUE;
  if (request->queue == NULL || !begin (list))
    return;
  if (list->what.without.size > 0)
    most = CLAMP (most * 2, 32, ZM_QUEUE_STEP);
  for (seq = next_listed (list, list->from); seq != 0 && most > 0; most--) {
    guint size = zm_index_size (&request->queue->index, seq);

    if (list->bytes > 0 && list->bytes + size > ZM_QUEUE_READ_MOST)
      break;
    list->bytes += size;
    zm_queue_request_see (request, seq);
    seq = next_listed (list, list->what.newest ? seq - 1 : seq + 1);
  }
  list->over = seq == 0;
  list->from = seq;
}

/* Takes the client's own out; TRUE: reads on. */
static gboolean
read_list (ZmRequest *request)
{
  List *list = list_of (request);
  guint kept = 0;

  request->answer.more = !list->over;
  if (list->what.without.size == 0 || request->messages == NULL)
    return FALSE;
  for (guint i = 0; i < request->messages->len; i++) {
    ZmStored *stored = &g_array_index (request->messages, ZmStored, i);

    if (!zm_span_equal (stored->client, list->what.without))
      g_array_index (request->messages, ZmStored, kept++) = *stored;
  }
  g_array_set_size (request->messages, MIN (kept, list->what.limit));
  request->answer.n_messages = request->messages->len;
  request->answer.more = !list->over || kept > list->what.limit;
  if (kept >= list->what.limit || list->over || ++list->steps >= STEPS_MOST ||
      list->bytes >= ZM_QUEUE_READ_MOST)
    return FALSE;
  zm_queue_request_again (request);
  return TRUE;
}

static void
free_list (ZmRequest *request)
{
  g_free (list_of (request)->marker);
  g_free (list_of (request)->without);
}

static const ZmRequestOps list_ops = {
  .size = sizeof (List), .decide = decide_list, .read = read_list, .free = free_list
};

void
zm_queue_list (ZmQueues *queues, ZmQueueName queue, const ZmQueueList *what, ZmQueueDone done, gpointer user)
{
  List *list = zm_queue_request_new (queues, queue, &list_ops, done, user);

  list->what = *what;
  list->marker = zm_span_dup (what->marker);
  list->what.marker.data = list->marker;
  list->without = g_memdup2 (what->without.data, what->without.size);
  list->what.without.data = list->without;
  zm_queue_request_submit (list, 0);
}

/* ---- by id ---- */

typedef struct Get {
  ZmRequest request; /* first */
  char **ids;
  guint n;
} Get;

static void
decide_get (ZmRequest *request, ZmStoreWriter *writer)
{
  Get *get = (Get *) (void *) request;
  gsize bytes = 0;

  (void) writer;
  for (guint i = 0; request->queue != NULL && i < get->n; i++) {
    guint64 seq = zm_queue_seq_of (request->queue, zm_span_text (get->ids[i]));

    if (seq == 0 || !zm_queue_has (request->queue, seq, request->now_us))
      continue;
    bytes += zm_index_size (&request->queue->index, seq);
    if (bytes > ZM_QUEUE_READ_MOST && request->seen != NULL) {
      request->answer.more = TRUE;
      return;
    }
    zm_queue_request_see (request, seq);
  }
}

static void
free_get (ZmRequest *request)
{
  g_strfreev (((Get *) (void *) request)->ids);
}

static const ZmRequestOps get_ops = { .size = sizeof (Get), .decide = decide_get, .free = free_get };

void
zm_queue_get (ZmQueues *queues, ZmQueueName queue, const ZmSpan *ids, guint n, ZmQueueDone done,
              gpointer user)
{
  Get *get = zm_queue_request_new (queues, queue, &get_ops, done, user);

  get->ids = g_new0 (char *, n + 1);
  get->n = n;
  for (guint i = 0; i < n; i++)
    get->ids[i] = zm_span_dup (ids[i]);
  zm_queue_request_submit (get, 0);
}
