/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Emptying and removing queues. What is large goes in steps, a unit each: one write that removes all of it would need about as much
 * room in the store's log, and on a full disk there is none. The last one takes all that is there
 * by then, so that for who looks at its end the queue was emptied at once.
 */
#include "config.h"

#include "queue/registry-private.h"

#define STEP_BYTES (1 << 20)

typedef struct Purge {
  ZmRequest request; /* first */
  guint64 upto;      /* what was there at the beginning; steps are for that */
  guint n;           /* that went in steps */
  gboolean more;     /* this unit is a step */
  GArray *leaving;   /* ZmLeaving: of the step */
} Purge;

static Purge *
purge_of (ZmRequest *request)
{
  return (Purge *) (void *) request;
}

/* ---- a step ---- */

/* The first message that a step is needed for; 0: the rest may go at once. */
static guint64
first_of_step (Purge *purge)
{
  const ZmQueue *queue = purge->request.queue;
  guint64 seq;

  if (purge->upto == 0)
    purge->upto = queue->last_seq;
  if (queue->memory != NULL || (queue->index.n_present <= ZM_QUEUE_STEP && queue->index.bytes <= STEP_BYTES))
    return 0;
  seq = zm_index_next (&queue->index, ZM_VIEW_PRESENT, 1);
  return seq <= purge->upto ? seq : 0;
}

/* FALSE: none is needed any more. */
static gboolean
step_in (Purge *purge, ZmStoreWriter *writer)
{
  ZmQueue *queue = purge->request.queue;
  guint64 seq = first_of_step (purge);
  gsize bytes = 0;

  g_array_set_size (purge->leaving, 0);
  purge->more = seq != 0;
  for (; seq != 0 && seq <= purge->upto && purge->leaving->len < ZM_QUEUE_STEP && bytes < STEP_BYTES;
       seq = zm_index_next (&queue->index, ZM_VIEW_PRESENT, seq + 1)) {
    ZmLeaving leaving;

    if (!zm_queue_remove_in (queue, writer, seq, TRUE, &leaving))
      continue;
    bytes += leaving.size;
    g_array_append_val (purge->leaving, leaving);
  }
  return purge->more;
}

static void
step_commit (Purge *purge)
{
  for (guint i = 0; i < purge->leaving->len; i++)
    zm_queue_remove_commit (purge->request.queue, &g_array_index (purge->leaving, ZmLeaving, i));
  purge->n += purge->leaving->len;
}

static void
step_undo (Purge *purge)
{
  for (guint i = purge->leaving->len; i > 0; i--)
    zm_queue_remove_undo (purge->request.queue, &g_array_index (purge->leaving, ZmLeaving, i - 1));
}

/* Once more, until all are gone. */
static gboolean
go_on (ZmRequest *request)
{
  Purge *purge = purge_of (request);

  if (request->queue == NULL || !purge->more)
    return FALSE;
  purge->more = FALSE;
  zm_queue_request_again (request);
  return TRUE;
}

static void
free_purge (ZmRequest *request)
{
  g_array_unref (purge_of (request)->leaving);
}

/* ---- all of them ---- */

static void
delete_prefix (ZmQueue *queue, ZmStoreWriter *writer, const char *space)
{
  zm_store_op op = { .kind = ZM_STORE_DELETE_PREFIX,
                     .space = zm_str_of (zm_span_text (space)),
                     .key = zm_queue_doc_key (queue, writer, NULL, 0) };

  zm_queue_op (queue, writer, &op);
}

/* In both views. What comes later has greater numbers. */
static void
purge_in (ZmRequest *request, ZmStoreWriter *writer)
{
  ZmQueue *queue = request->queue;
  zm_store_op op = { .kind = ZM_STORE_REMOVE, .queue = queue->number, .seq = 1, .upto = queue->last_seq };

  request->answer.n = (guint) MIN (queue->index.n_present + queue->pending, G_MAXUINT);
  if (queue->last_seq > 0)
    zm_queue_op (queue, writer, &op);
  delete_prefix (queue, writer, ZM_SPACE_GONE);
  delete_prefix (queue, writer, ZM_SPACE_CLAIMS);
  queue->purged = queue->last_seq;
  zm_index_clear (&queue->index);
  zm_heap_clear (&queue->delays);
  g_hash_table_remove_all (queue->delayed);
  zm_claims_clear (queue);
  if (queue->memory != NULL)
    zm_cache_clear (queue->memory);
}

static void
decide_purge (ZmRequest *request, ZmStoreWriter *writer)
{
  if (request->queue != NULL && !step_in (purge_of (request), writer))
    purge_in (request, writer);
}

static void
commit_purge (ZmRequest *request)
{
  Purge *purge = purge_of (request);

  if (request->queue != NULL && purge->more) {
    step_commit (purge);
    return;
  }
  request->answer.n += MIN (purge->n, G_MAXUINT - request->answer.n);
  if (request->queue == NULL)
    return;
  __atomic_store_n (&request->queue->purged_done, request->queue->purged, __ATOMIC_RELEASE);
  zm_readers_purged (request->queue);
  zm_latest_removed (request->queue, 0);
}

/* Nothing of it, or of this step, happened: the store knows what there is. */
static void
undo_purge (ZmRequest *request)
{
  if (request->queue == NULL)
    return;
  if (purge_of (request)->more) {
    step_undo (purge_of (request));
    return;
  }
  request->queue->purged = 0;
  zm_queue_unload (request->queue);
}

static const ZmRequestOps purge_ops = { .size = sizeof (Purge),
                                        .decide = decide_purge,
                                        .commit = commit_purge,
                                        .undo = undo_purge,
                                        .read = go_on,
                                        .free = free_purge };

static void
submit_purge (ZmQueues *queues, ZmQueueName queue, const ZmRequestOps *ops, ZmQueueDone done, gpointer user)
{
  Purge *purge = zm_queue_request_new (queues, queue, ops, done, user);

  purge->leaving = g_array_new (FALSE, FALSE, sizeof (ZmLeaving));
  zm_queue_request_submit (purge, 0);
}

void
zm_queue_purge (ZmQueues *queues, ZmQueueName queue, ZmQueueDone done, gpointer user)
{
  submit_purge (queues, queue, &purge_ops, done, user);
}

/* One of the configuration, or with readers, stays, empty. */
static gboolean
stays (const ZmQueue *queue)
{
  return queue->configured || (queue->readers != NULL && queue->readers->len > 0);
}

static void
decide_remove (ZmRequest *request, ZmStoreWriter *writer)
{
  ZmQueue *queue = request->queue;

  if (queue == NULL || step_in (purge_of (request), writer))
    return;
  purge_in (request, writer);
  if (stays (queue))
    return;
  zm_queue_forget_in (queue, writer);
  zm_queues_drop (queue);
}

static void
undo_remove (ZmRequest *request)
{
  if (request->queue != NULL && !purge_of (request)->more && request->queue->removed)
    zm_queues_keep (request->queue);
  undo_purge (request);
}

static const ZmRequestOps remove_ops = { .size = sizeof (Purge),
                                         .decide = decide_remove,
                                         .commit = commit_purge,
                                         .undo = undo_remove,
                                         .read = go_on,
                                         .free = free_purge };

void
zm_queue_remove (ZmQueues *queues, ZmQueueName queue, ZmQueueDone done, gpointer user)
{
  submit_purge (queues, queue, &remove_ops, done, user);
}
