/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Popping: the first messages that are free, answered and removed in one step. */
#include "config.h"

#include "queue/queue-record.h"
#include "queue/registry-private.h"

typedef struct Pop {
  ZmRequest base;
  guint n;
  GArray *leaving; /* ZmLeaving */
} Pop;

/* Its record, if that can be read: a message is not removed unseen because a key is wrong today. */
static ZmRecord *
fetch_readable (ZmRequest *base, guint64 seq)
{
  ZmRecord *record = zm_queue_fetch (base->queue, NULL, seq);
  g_autoptr (GByteArray) plain = NULL;
  g_autoptr (GError) error = NULL;
  ZmStored stored;

  if (record == NULL || !zm_queue_record_sealed (zm_span ((const char *) record->data, record->size)))
    return record;
  plain = g_byte_array_new ();
  if (zm_record_unpack (record, base->cipher, plain, &stored, &error))
    return record;
  zm_counter_add (base->queues->p->damaged, 1);
  zm_log_limited (base->queues->config.log, ZM_LEVEL_ERROR, ZM_QUEUE_ROOM, "messages that cannot be read",
                  "queue %s: %s", base->queue->name, error->message);
  zm_record_unref (record);
  return NULL;
}

static void
decide (ZmRequest *base, ZmStoreWriter *writer)
{
  Pop *pop = (Pop *) (void *) base;
  guint64 seq = 0, bytes = 0;

  if (base->queue == NULL)
    return;
  for (guint looked = 0; pop->leaving->len < pop->n && looked < ZM_QUEUE_STEP; looked++) {
    ZmLeaving leaving;
    ZmRecord *record;
    ZmSeen *seen;

    seq = zm_queue_first_free (base->queue, seq + 1, base->now_us);
    if (seq == 0)
      break;
    bytes += zm_index_size (&base->queue->index, seq);
    if (pop->leaving->len > 0 && bytes > ZM_QUEUE_READ_MOST)
      break;
    record = fetch_readable (base, seq);
    if (record == NULL)
      continue;
    seen = zm_queue_request_see (base, seq);
    zm_record_unref (seen->record);
    seen->record = record;
    if (zm_queue_remove_in (base->queue, writer, seq, FALSE, &leaving))
      g_array_append_val (pop->leaving, leaving);
  }
}

static void
commit (ZmRequest *base)
{
  Pop *pop = (Pop *) (void *) base;

  base->answer.n = pop->leaving->len;
  if (base->queue == NULL)
    return;
  for (guint i = 0; i < pop->leaving->len; i++)
    zm_queue_remove_commit (base->queue, &g_array_index (pop->leaving, ZmLeaving, i));
  base->queue->counts.taken += pop->leaving->len;
  zm_counter_add (base->queues->p->taken, pop->leaving->len);
}

static void
undo (ZmRequest *base)
{
  Pop *pop = (Pop *) (void *) base;

  for (guint i = pop->leaving->len; i > 0; i--)
    zm_queue_remove_undo (base->queue, &g_array_index (pop->leaving, ZmLeaving, i - 1));
}

static void
free_pop (ZmRequest *base)
{
  g_array_unref (((Pop *) (void *) base)->leaving);
}

void
zm_queue_pop (ZmQueues *queues, ZmQueueName queue, guint n, ZmQueueDone done, gpointer user)
{
  static const ZmRequestOps ops = {
    .size = sizeof (Pop), .decide = decide, .commit = commit, .undo = undo, .free = free_pop
  };
  Pop *pop = zm_queue_request_new (queues, queue, &ops, done, user);

  pop->n = MAX (n, 1);
  pop->leaving = g_array_new (FALSE, FALSE, sizeof (ZmLeaving));
  zm_queue_request_submit (pop, 64 * (gsize) MIN (n, ZM_QUEUE_STEP));
}
