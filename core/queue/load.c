/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A queue's memory from what the store has: heads of records, what is gone from the queue view, claims, ids, keys. */
#include "config.h"

#include "queue/registry-private.h"

/* A queue in memory begins its numbers at a place that no earlier start can have reached at 8,000 messages a second since 2020, so
 * that ids of before a restart do not name messages of today. The numbers last until 2054. */
#define MEMORY_SEQS_PER_MS 8

#define CHUNKS_MOST ((guint64) 1 << 25)

#define SHOW(member, value) __atomic_store_n (&(member), (value), __ATOMIC_RELAXED)

static int
take_head (void *user, const zm_store_record *record)
{
  ZmQueue *queue = user;
  ZmTime due = ZM_TAG_DUE (record->tag);

  /* Where its head is damaged its number is not to be believed either: it may be so great that the index could not hold it. */
  if (record->flags & ZM_STORE_DAMAGED) {
    zm_counter_add (queue->queues->p->damaged, 1);
    zm_log_limited (queue->queues->config.log, ZM_LEVEL_ERROR, ZM_QUEUE_ROOM, "a damaged head",
                    "queue %s: a record is damaged and left out; `zmanagerctl store check --repair` mends it",
                    queue->name);
    return 0;
  }
  zm_index_add (&queue->index, record->seq, (guint32) MIN (record->size, G_MAXUINT32),
                zm_time_of (record->expires_us), TRUE,
                due == 0 && queue->options.retain != ZM_RETAIN_CONSUMED);
  if (due != 0) { /* those that are due by now are made free by the first tick */
    zm_heap_push (&queue->delays, zm_time_us (due), record->seq);
    g_hash_table_insert (queue->delayed, g_memdup2 (&record->seq, sizeof record->seq),
                         GUINT_TO_POINTER (due));
  }
  return 0;
}

static int
take_gone (void *user, zm_str key, zm_str value)
{
  ZmQueue *queue = user;
  gboolean was_free;

  (void) value;
  if (key.size == 16)
    (void) zm_index_leave (&queue->index, zm_read_be64 ((const guint8 *) key.data + 8), &was_free);
  return 0;
}

/* The index has a place for each 256 numbers between the first message and the next. Further apart than this they are by damage
 * only: a number that was never given. */
static gboolean
last_is_near (const ZmQueue *queue, GError **error)
{
  if (queue->index.n == 0 || queue->last_seq / ZM_CHUNK - queue->index.base < CHUNKS_MOST)
    return TRUE;
  g_set_error (error, ZM_ERROR, ZM_ERROR_UNAVAILABLE,
               "its last number, %" G_GUINT64_FORMAT
               ", is far beyond its messages, which a damaged record may be why: "
               "`zmanagerctl store check --repair` mends it",
               queue->last_seq);
  return FALSE;
}

static gboolean
read_all (ZmQueue *queue, GError **error)
{
  ZmStore *store = queue->queues->config.store;
  zm_store_range range = { .struct_size = sizeof range, .flags = ZM_STORE_HEADS, .queue = queue->number };
  guint8 number[8];
  ZmSpan prefix = { (const char *) number, sizeof number }, none = { NULL, 0 };
  guint64 last = 0;

  zm_write_be64 (number, queue->number);
  if (!zm_store_last (store, NULL, queue->number, &last, error))
    return FALSE;
  queue->last_seq = MAX (queue->last_seq, last);
  return zm_store_read (store, NULL, &range, take_head, queue, error) && last_is_near (queue, error) &&
         zm_store_documents (store, NULL, ZM_SPACE_GONE, prefix, none, 0, take_gone, queue, error) &&
         zm_claims_load (queue, error) && zm_window_load (queue, error) && zm_latest_load (queue, error);
}

static gboolean
begin_in_memory (ZmQueue *queue)
{
  const ZmQueuesConfig *config = &queue->queues->config;
  gint64 now_us = config->wall_us != NULL ? config->wall_us (config->user) : zm_wall_us ();
  gint64 ms = now_us / 1000 - ZM_TIME_BASE_S * 1000;

  if (queue->memory == NULL) /* else it was emptied by a removal that could not be written */
    queue->memory = zm_cache_new (G_MAXSIZE);
  queue->last_seq = MAX (queue->last_seq, (guint64) MAX (ms, 1) * MEMORY_SEQS_PER_MS);
  return TRUE;
}

/* Options come first: they say whether there is anything to be read at all. */
static gboolean
settle_options (ZmQueue *queue, GError **error)
{
  ZmQueueKind kind = queue->options.kind;
  ZmQueueOptions options;

  if (!queue->stored) /* was just made with them */
    return TRUE;
  if (!zm_queue_options_read (&options, queue->queues->p->settings, queue->project, queue->name,
                              zm_span_text (queue->metadata), TRUE, error))
    return FALSE;
  if (!options.configured)
    options.kind = kind;
  zm_queue_set_options (queue, &options);
  return TRUE;
}

gboolean
zm_queue_load (ZmQueue *queue, GError **error)
{
  gboolean loaded;

  if (!settle_options (queue, error))
    return FALSE;
  queue->delayed = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  loaded = queue->options.durability == ZM_DURABLE_MEMORY ? begin_in_memory (queue) : read_all (queue, error);
  if (!loaded) {
    g_prefix_error (error, "queue '%s' cannot be loaded: ", queue->name);
    zm_queue_unload (queue);
    return FALSE;
  }
  queue->loaded = TRUE;
  zm_queue_show (queue);
  /* The background finds by itself when it has to look again. */
  zm_queue_plan (queue, 0);
  return TRUE;
}

void
zm_queue_unload (ZmQueue *queue)
{
  queue->loaded = FALSE;
  zm_index_clear (&queue->index);
  zm_heap_clear (&queue->delays);
  g_clear_pointer (&queue->delayed, g_hash_table_unref);
  g_clear_pointer (&queue->consuming, g_hash_table_unref);
  zm_claims_free (g_steal_pointer (&queue->claims));
  zm_window_free (g_steal_pointer (&queue->window));
}

void
zm_queue_show (ZmQueue *queue)
{
  ZmQueueFigures *figures = &queue->figures;
  guint64 ids = 0;
  gint64 window_s = 0;

  if (!queue->loaded)
    return;
  zm_window_figures (queue, &ids, &window_s);
  SHOW (figures->total, queue->index.n_present);
  SHOW (figures->bytes, queue->index.bytes);
  SHOW (figures->free, queue->index.n_free);
  SHOW (figures->claimed, zm_claims_claimed (queue));
  SHOW (figures->delayed, g_hash_table_size (queue->delayed));
  SHOW (figures->ids, ids);
  SHOW (figures->window_s, (guint64) window_s);
  SHOW (figures->counts.put, queue->counts.put);
  SHOW (figures->counts.taken, queue->counts.taken);
  SHOW (figures->counts.expired, queue->counts.expired);
  SHOW (figures->counts.dropped, queue->counts.dropped);
  SHOW (figures->counts.dead, queue->counts.dead);
  SHOW (figures->counts.duplicates, queue->counts.duplicates);
}
