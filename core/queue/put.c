/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Putting messages: all of a call, or none of it. */
#include "config.h"

#include "queue/registry-private.h"

#include <string.h>

/* One message of a put, from the call to the answer. */
typedef struct Item {
  ZmRecord *record; /* until it is appended */
  gint64 ttl_s, delay_s;
  ZmAppend *append;  /* NULL: a duplicate, or dropped */
  guint64 duplicate; /* its first one; 0: none */
  char id[ZM_UUID_SIZE + 1];
} Item;

typedef struct Put {
  ZmRequest request; /* first */
  guint n;
  Item *items;
  const char **ids;
} Put;

static Put *
put_of (ZmRequest *request)
{
  return (Put *) (void *) request;
}

static void
undo_items (Put *put)
{
  for (guint i = put->n; i > 0; i--) {
    Item *item = &put->items[i - 1];

    if (item->append != NULL)
      zm_append_undo (g_steal_pointer (&item->append));
  }
}

/* TRUE: the first one of its sender's id is there. */
static gboolean
is_duplicate (ZmRequest *request, Item *item)
{
  ZmQueue *queue = request->queue;
  gint64 created_us;
  ZmPut parts;

  zm_record_parts (item->record, &parts);
  if (parts.id.size == 0 || !zm_window_find (queue, parts.id, request->now_us, &item->duplicate, &created_us))
    return FALSE;
  zm_queue_id_make (queue->number, item->duplicate, created_us, item->id);
  return TRUE;
}

static gboolean
decide_item (ZmRequest *request, ZmStoreWriter *writer, Item *item)
{
  ZmQueue *queue = request->queue;

  if (is_duplicate (request, item))
    return TRUE;
  item->append = zm_append_in (queue, writer, g_steal_pointer (&item->record), item->ttl_s, item->delay_s,
                               ZM_PUT_ALWAYS_, FALSE, &request->error);
  if (item->append != NULL)
    zm_queue_id_make (queue->number, item->append->seq, item->append->created_us, item->id);
  else if (request->error ==
           NULL) /* dropped: the sender gets an id all the same, of a message that never was */
    zm_queue_id_make (queue->number, queue->last_seq = MIN (queue->last_seq + 1, ZM_STORE_SEQ_MOST),
                      request->now_us, item->id);
  return request->error == NULL;
}

static void
set_answer (Put *put)
{
  ZmQueueAnswer *answer = &put->request.answer;
  guint duplicates = 0;

  for (guint i = 0; i < put->n; i++) {
    put->ids[i] = put->items[i].id;
    duplicates += put->items[i].duplicate != 0;
  }
  answer->ids = put->ids;
  answer->n_ids = put->n;
  answer->n = duplicates;
  answer->duplicate = duplicates == put->n;
  answer->created = !answer->duplicate;
}

static void
decide (ZmRequest *request, ZmStoreWriter *writer)
{
  Put *put = put_of (request);

  for (guint i = 0; i < put->n; i++) {
    if (!decide_item (request, writer, &put->items[i])) {
      undo_items (put);
      return;
    }
  }
  set_answer (put);
  if (request->queue->options.durability != ZM_DURABLE_SYNC)
    zm_queue_request_answer (request);
}

/* A duplicate counts only where its first one got there: a batch that failed took that one with it. */
static void
commit (ZmRequest *request)
{
  Put *put = put_of (request);
  ZmQueue *queue = request->queue;

  for (guint i = 0; i < put->n; i++) {
    Item *item = &put->items[i];

    if (item->append != NULL) {
      zm_append_commit (g_steal_pointer (&item->append));
    } else if (item->duplicate != 0) {
      gint64 created_us;
      guint64 seq;
      ZmPut parts;

      zm_record_parts (item->record, &parts);
      if (!zm_window_find (queue, parts.id, request->now_us, &seq, &created_us) || seq != item->duplicate)
        zm_queue_request_fail (request, ZM_ERROR_UNAVAILABLE,
                               "the first message of this id could not be stored: try again");
      queue->counts.duplicates++;
    }
  }
}

static void
undo (ZmRequest *request)
{
  Put *put = put_of (request);

  if (request->answered) {
    zm_counter_add (request->queues->p->lost, put->n);
    zm_log_limited (
        request->queues->config.log, ZM_LEVEL_ERROR, ZM_QUEUE_ROOM, "messages that were accepted and lost",
        "%u messages of queue %s, whose durability is batch, were lost: the store could not write them",
        put->n, request->queue->name);
  }
  undo_items (put);
}

static void
free_put (ZmRequest *request)
{
  Put *put = put_of (request);

  for (guint i = 0; i < put->n; i++)
    zm_record_unref (put->items[i].record);
  g_free (put->items);
  g_free (put->ids);
}

static const ZmRequestOps put_ops = { .size = sizeof (Put),
                                      .make = TRUE,
                                      .adds = TRUE,
                                      .decide = decide,
                                      .commit = commit,
                                      .undo = undo,
                                      .free = free_put };

/* What no record may have. */
static gboolean
check (const ZmPut *put, ZmRequest *request)
{
  if (put->body.size > ZM_QUEUE_BODY_MOST)
    zm_queue_request_fail (request, ZM_ERROR_INVALID,
                           "the body has %" G_GSIZE_FORMAT " bytes: %d are allowed", put->body.size,
                           ZM_QUEUE_BODY_MOST);
  else if (put->headers.size > ZM_HEADERS_MOST)
    zm_queue_request_fail (request, ZM_ERROR_INVALID,
                           "the headers have %" G_GSIZE_FORMAT " bytes: %d are allowed", put->headers.size,
                           ZM_HEADERS_MOST);
  else if (put->id.size > ZM_QUEUE_ID_MOST || put->topic.size > ZM_KEY_MOST || put->key.size > ZM_KEY_MOST ||
           put->client.size > ZM_QUEUE_ID_MOST)
    zm_queue_request_fail (request, ZM_ERROR_INVALID, "the message's id, topic, key or client is too long");
  else if (put->ttl_s == 0 || put->ttl_s < -1)
    zm_queue_request_fail (request, ZM_ERROR_INVALID,
                           "the time that the message is kept (ttl) is %" G_GINT64_FORMAT " s: at least 1 s",
                           put->ttl_s);
  return request->error == NULL;
}

void
zm_queue_put (ZmQueues *queues, ZmQueueName queue, const ZmPut *puts, guint n, ZmQueueDone done,
              gpointer user)
{
  Put *put = zm_queue_request_new (queues, queue, &put_ops, done, user);
  gsize size = 0;

  if (n == 0)
    zm_queue_request_fail (&put->request, ZM_ERROR_INVALID, "there is no message to put");
  for (guint i = 0; i < n && check (&puts[i], &put->request); i++)
    ;
  if (put->request.error == NULL) {
    put->n = n;
    put->items = g_new0 (Item, n);
    put->ids = g_new0 (const char *, n);
    for (guint i = 0; i < n; i++) {
      put->items[i].record = zm_record_new (&puts[i]);
      put->items[i].ttl_s = puts[i].ttl_s;
      put->items[i].delay_s = puts[i].delay_s;
      size += put->items[i].record->size;
    }
  }
  zm_queue_request_submit (put, size);
}
