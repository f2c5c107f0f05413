/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Appends: bounds, number and change in prepare; in the index from commit on. Whoever puts a message goes through here: the API,
 * topics, dead letters, the delivery room.
 */
#include "config.h"

#include "queue/registry-private.h"

static void
count_dropped (ZmQueue *queue, guint64 n, const char *which)
{
  queue->counts.dropped += n;
  zm_counter_add (queue->queues->p->dropped, n);
  zm_log_limited (queue->queues->config.log, ZM_LEVEL_WARNING, ZM_QUEUE_ROOM,
                  "messages that a full queue dropped", "queue %s is full: its %s message was dropped",
                  queue->name, which);
}

/* ---- bounds ---- */

/* Would it fit without that many messages and bytes? What it replaces goes in any case. */
static gboolean
fits_without (const ZmAppend *append, guint64 n, guint64 bytes)
{
  const ZmQueue *queue = append->queue;
  const ZmQueueOptions *options = &queue->options;
  guint64 n_there = queue->index.n_present + queue->pending;
  /* What leaves may have been purged by a later unit of the same batch. */
  guint64 bytes_there =
      queue->index.bytes - MIN (queue->leaving_bytes, queue->index.bytes) + queue->pending_bytes;

  n += append->replaces;
  bytes += append->replaced_bytes;
  return (options->max_messages == 0 || n_there < options->max_messages + n) &&
         (options->max_bytes == 0 || bytes_there + append->record->size <= options->max_bytes + bytes);
}

static ZmView
view_to_drop_of (const ZmQueue *queue)
{
  return queue->options.retain == ZM_RETAIN_CONSUMED ? ZM_VIEW_PRESENT : ZM_VIEW_FREE;
}

/* How many of the oldest have to go; 0: it does not fit all the same. Looks only: what has been added to a batch stays in it. */
static guint64
count_to_drop (const ZmAppend *append)
{
  const ZmIndex *index = &append->queue->index;
  guint64 n = 0, bytes = 0, seq = 0;

  while (!fits_without (append, n, bytes)) {
    seq = zm_index_next (index, view_to_drop_of (append->queue), seq + 1);
    if (seq == 0)
      return 0;
    n++;
    bytes += zm_index_size (index, seq);
  }
  return n;
}

/* The oldest that nobody holds go, until it fits; those under claims stay. FALSE: it does not fit all the same. */
static gboolean
drop_oldest_in (ZmAppend *append, ZmStoreWriter *writer)
{
  guint64 n = count_to_drop (append);

  for (guint64 i = 0; i < n; i++) {
    guint64 seq = zm_index_next (&append->queue->index, view_to_drop_of (append->queue), 0);
    ZmLeaving leaving;

    if (zm_queue_remove_in (append->queue, writer, seq, TRUE, &leaving))
      g_array_append_val (append->dropped, leaving);
  }
  return n > 0;
}

/* TRUE: go on. FALSE without error: it is dropped, as the queue says. */
static gboolean
make_room (ZmAppend *append, ZmStoreWriter *writer, gboolean topic, GError **error)
{
  ZmQueue *queue = append->queue;

  if (fits_without (append, 0, 0))
    return TRUE;
  if (queue->options.full == ZM_FULL_DROP_OLDEST && drop_oldest_in (append, writer))
    return TRUE;
  if (queue->options.full != ZM_FULL_REFUSE || topic) {
    count_dropped (queue, 1, "new");
    return FALSE;
  }
  zm_counter_add (queue->queues->p->refused, 1);
  g_set_error (error, ZM_ERROR, ZM_ERROR_LIMIT,
               "queue %s is full: %" G_GUINT64_FORMAT " messages, %" G_GUINT64_FORMAT " bytes", queue->name,
               queue->index.n_present + queue->pending, queue->index.bytes + queue->pending_bytes);
  return FALSE;
}

/* ---- in prepare ---- */

static void
free_append (ZmAppend *append)
{
  zm_record_unref (append->record);
  g_array_unref (append->dropped);
  zm_queue_unref (append->queue);
  g_free (append);
}

static void
undo_dropped (ZmAppend *append)
{
  for (guint i = append->dropped->len; i > 0; i--)
    zm_queue_remove_undo (append->queue, &g_array_index (append->dropped, ZmLeaving, i - 1));
}

static gint64
whole_seconds_us (gint64 seconds)
{
  return CLAMP (seconds, 0, G_MAXINT64 / 4 / G_USEC_PER_SEC) * G_USEC_PER_SEC;
}

static gint64
ttl_of (const ZmQueue *queue, gint64 ttl_s)
{
  if (ttl_s == ZM_PUT_TTL_LETTER)
    return queue->options.letter_ttl_s;
  return ttl_s < 0 ? queue->options.ttl_s : ttl_s;
}

/* Its place, its times, its change. */
static gboolean
place (ZmAppend *append, ZmStoreWriter *writer, gint64 ttl_s, gint64 delay_s, GError **error)
{
  ZmQueue *queue = append->queue;
  gint64 delay = delay_s < 0 ? queue->options.delay_s : delay_s;
  gint64 due_us = delay > 0 ? append->created_us + whole_seconds_us (delay) : 0;
  zm_store_op op = { .kind = ZM_STORE_APPEND, .queue = queue->number };

  if (queue->last_seq >= ZM_STORE_SEQ_MOST) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_LIMIT, "queue %s has no numbers left: use another queue",
                 queue->name);
    return FALSE;
  }
  append->seq = queue->last_seq + 1;
  if (!zm_record_seal (append->record, queue->options.cipher, queue->number, append->seq, append->created_us,
                       ttl_of (queue, ttl_s), due_us, error))
    return FALSE;
  queue->last_seq = append->seq;
  append->expiry = zm_time_of (append->record->expires_us);
  append->due = due_us > 0 ? zm_time_of (due_us) : 0;
  op.seq = append->seq;
  op.expires_us = append->record->expires_us;
  op.tag = append->record->tag;
  op.data = (zm_str){ (const char *) append->record->data, append->record->size };
  zm_queue_op (queue, writer, &op);
  queue->pending++;
  queue->pending_bytes += append->record->size;
  return TRUE;
}

static ZmAppend *
new_append (ZmQueue *queue, ZmStoreWriter *writer, ZmRecord *record, ZmPutHow how)
{
  ZmAppend *append = g_new0 (ZmAppend, 1);

  append->queue = zm_queue_ref (queue);
  append->record = record;
  append->created_us = zm_queues_now (queue->queues, writer);
  append->how = how;
  append->dropped = g_array_new (FALSE, FALSE, sizeof (ZmLeaving));
  return append;
}

ZmAppend *
zm_append_in (ZmQueue *queue, ZmStoreWriter *writer, ZmRecord *record, gint64 ttl_s, gint64 delay_s,
              ZmPutHow how, gboolean topic, GError **error)
{
  ZmAppend *append = new_append (queue, writer, record, how);
  gboolean latest = queue->options.kind == ZM_QUEUE_LATEST;
  guint mark = zm_store_mark (writer);
  g_autofree char *id = NULL;
  ZmPut parts;

  zm_record_parts (record, &parts);
  id = zm_span_dup (parts.id); /* sealing moves the parts */
  if ((!latest || zm_latest_in (append, parts.key, error)) && make_room (append, writer, topic, error) &&
      place (append, writer, ttl_s, delay_s, error)) {
    if (latest)
      zm_latest_placed (append, writer);
    if (*id != '\0')
      zm_window_in (append, writer, zm_span_text (id));
    return append;
  }
  if (latest)
    zm_latest_undo (append);
  undo_dropped (append);
  zm_store_rewind (writer, mark); /* what was to go stays on the disk too */
  free_append (append);
  return NULL;
}

/* ---- after the sync ---- */

static void
no_longer_pending (ZmAppend *append)
{
  append->queue->pending--;
  append->queue->pending_bytes -= append->record->size;
}

/* Where it is now: in the index, unless it was purged in the same batch, or the queue is to be loaded anew. */
static void
appear (ZmAppend *append)
{
  ZmQueue *queue = append->queue;
  gboolean free = append->due == 0 && queue->options.retain != ZM_RETAIN_CONSUMED;

  if (!queue->loaded || append->seq <= queue->purged)
    return;
  zm_cache_put (queue->memory != NULL ? queue->memory : queue->queues->cache, append->record);
  zm_index_add (&queue->index, append->seq, (guint32) append->record->size, append->expiry, TRUE, free);
  if (append->due != 0) {
    zm_heap_push (&queue->delays, zm_time_us (append->due), append->seq);
    g_hash_table_insert (queue->delayed, g_memdup2 (&append->seq, sizeof append->seq),
                         GUINT_TO_POINTER (append->due));
    zm_queue_plan (queue, zm_time_us (append->due));
  }
  zm_queue_plan (queue, zm_time_us (append->expiry));
}

void
zm_append_commit (ZmAppend *append)
{
  ZmQueue *queue = append->queue;
  guint dropped = append->how == ZM_PUT_REPLACE_ ? 0 : append->dropped->len;

  no_longer_pending (append);
  appear (append);
  if (queue->options.kind == ZM_QUEUE_LATEST)
    zm_latest_commit (append);
  zm_window_commit (append);
  if (dropped > 0 && queue->options.kind == ZM_QUEUE_FIFO)
    count_dropped (queue, dropped, "oldest");
  for (guint i = 0; i < append->dropped->len; i++)
    zm_queue_remove_commit (queue, &g_array_index (append->dropped, ZmLeaving, i));
  queue->counts.put++;
  zm_counter_add (queue->queues->p->put, 1);
  zm_queue_show (queue);
  if (append->due == 0)
    zm_queue_rouse (queue);
  free_append (append);
}

void
zm_append_undo (ZmAppend *append)
{
  ZmQueue *queue = append->queue;

  no_longer_pending (append);
  zm_window_undo (append);
  if (queue->options.kind == ZM_QUEUE_LATEST)
    zm_latest_undo (append);
  undo_dropped (append);
  zm_queue_show (queue);
  free_append (append);
}
