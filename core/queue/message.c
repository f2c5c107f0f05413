/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One message of a queue: is it there, its record, its way out. And what time does to all of them. */
#include "config.h"

#include "queue/registry-private.h"

/* ---- looking ---- */

gboolean
zm_queue_has (const ZmQueue *queue, guint64 seq, gint64 now_us)
{
  return zm_index_present (&queue->index, seq) && zm_index_expiry (&queue->index, seq) > zm_time_now (now_us);
}

guint64
zm_queue_first_free (ZmQueue *queue, guint64 from, gint64 now_us)
{
  return zm_index_first_free (&queue->index, from, zm_time_now (now_us));
}

static int
take_record (void *user, const zm_store_record *record)
{
  ZmRecord **out = user;

  if (!(record->flags & ZM_STORE_DAMAGED))
    *out = zm_record_of (record);
  return 1;
}

ZmRecord *
zm_queue_fetch (ZmQueue *queue, void *reader, guint64 seq)
{
  zm_store_range range = { .struct_size = sizeof range, .queue = queue->number, .seq = seq, .upto = seq };
  g_autoptr (GError) error = NULL;
  ZmRecord *record;

  /* What was purged is not looked for in the cache, where it stays until others push it out. */
  if (seq <= __atomic_load_n (&queue->purged_done, __ATOMIC_ACQUIRE))
    return NULL;
  record = zm_cache_get (queue->memory != NULL ? queue->memory : queue->queues->cache, queue->number, seq);
  if (record != NULL || queue->memory != NULL)
    return record;
  if (!zm_store_read (queue->queues->config.store, reader, &range, take_record, &record, &error)) {
    zm_counter_add (queue->queues->p->damaged, 1);
    zm_log_limited (queue->queues->config.log, ZM_LEVEL_ERROR, ZM_QUEUE_ROOM, "messages that cannot be read",
                    "message %" G_GUINT64_FORMAT " of queue %s cannot be read: %s", seq, queue->name,
                    error->message);
  }
  return record;
}

/* ---- removing ---- */

static void
gone_in (ZmQueue *queue, ZmStoreWriter *writer, guint64 seq)
{
  zm_store_op op = { .kind = ZM_STORE_PUT,
                     .space = zm_str_of (ZM_SPAN_LITERAL (ZM_SPACE_GONE)),
                     .key = zm_queue_doc_key (queue, writer, &seq, 1),
                     .data = { "", 0 } };

  zm_queue_op (queue, writer, &op);
}

static void
free_in (ZmQueue *queue, ZmStoreWriter *writer, guint64 seq, gboolean was_gone)
{
  zm_store_op op = { .kind = ZM_STORE_REMOVE, .queue = queue->number, .seq = seq, .upto = seq };

  zm_queue_op (queue, writer, &op);
  if (!was_gone)
    return;
  op = (zm_store_op){ .kind = ZM_STORE_DELETE,
                      .space = zm_str_of (ZM_SPAN_LITERAL (ZM_SPACE_GONE)),
                      .key = zm_queue_doc_key (queue, writer, &seq, 1) };
  zm_queue_op (queue, writer, &op);
}

gboolean
zm_queue_remove_in (ZmQueue *queue, ZmStoreWriter *writer, guint64 seq, gboolean both, ZmLeaving *leaving)
{
  gboolean present = zm_index_leave (&queue->index, seq, &leaving->free);

  leaving->seq = seq;
  leaving->keeps = !both && zm_readers_need (queue, seq);
  leaving->present = present;
  if (!present && (!both || !zm_index_in_log (&queue->index, seq)))
    return FALSE;
  if (leaving->keeps)
    gone_in (queue, writer, seq);
  else
    free_in (queue, writer, seq, !present);
  leaving->size = leaving->keeps ? 0 : zm_index_size (&queue->index, seq);
  queue->leaving_bytes += leaving->size;
  zm_claims_remove_in (queue, writer, seq);
  return TRUE;
}

void
zm_queue_remove_commit (ZmQueue *queue, const ZmLeaving *leaving)
{
  queue->leaving_bytes -= leaving->size;
  if (!queue->loaded)
    return;
  zm_claims_removed (queue, leaving->seq);
  g_hash_table_remove (queue->delayed, &leaving->seq);
  if (!leaving->keeps) {
    zm_index_remove (&queue->index, leaving->seq);
    zm_cache_drop (queue->memory != NULL ? queue->memory : queue->queues->cache, queue->number, leaving->seq);
  }
  zm_latest_removed (queue, leaving->seq);
  zm_queue_show (queue);
}

void
zm_queue_remove_undo (ZmQueue *queue, const ZmLeaving *leaving)
{
  gboolean free;

  queue->leaving_bytes -= leaving->size;
  if (!queue->loaded)
    return;
  zm_claims_remain (queue, leaving->seq);
  if (!leaving->present)
    return;
  /* It may have become due meanwhile, or its claim be over. */
  free = leaving->free || (queue->options.retain != ZM_RETAIN_CONSUMED &&
                           !g_hash_table_contains (queue->delayed, &leaving->seq) &&
                           zm_claims_of (queue, leaving->seq) == NULL);
  zm_index_back (&queue->index, leaving->seq, free);
  zm_queue_rouse (queue);
}

/* ---- time ---- */

/* TRUE: one became free. */
static gboolean
delays_tick (ZmQueue *queue, gint64 now_us)
{
  const ZmHeapEntry *first;
  gboolean any = FALSE;

  while ((first = zm_heap_first (&queue->delays)) != NULL && first->at <= now_us) {
    guint64 seq = first->what;

    zm_heap_pop (&queue->delays);
    if (!g_hash_table_remove (queue->delayed, &seq))
      continue; /* it went before its time */
    /* After loading, one that has long been due may be under a claim. */
    if (queue->options.retain != ZM_RETAIN_CONSUMED && zm_claims_of (queue, seq) == NULL)
      any |= zm_index_give (&queue->index, seq);
    zm_readers_late (queue, seq);
  }
  return any;
}

void
zm_queue_tick (ZmQueue *queue, gint64 now_us)
{
  gboolean delays, claims;

  if (!queue->loaded)
    return;
  delays = delays_tick (queue, now_us);
  claims = zm_claims_tick (queue, now_us);
  if (delays || claims)
    zm_queue_rouse (queue);
}

void
zm_queue_rouse (ZmQueue *queue)
{
  if (queue->loaded)
    zm_readers_wake (queue);
  zm_watches_wake (queue);
}
