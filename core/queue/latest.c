/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* At most one element a key: which message that is, and how another one takes its place. */
#include "config.h"

#include "queue/latest.h"

#include <string.h>

/* What an append has to remember. */
typedef struct Noted {
  ZmElement *element;
  ZmAppend *before; /* pending, in whose place it came; NULL: none */
  guint64 replaced; /* the same one's number: it is in the index only when this one is committed; 0: none */
} Noted;

/* ---- the tables ---- */

static guint
span_hash (gconstpointer data)
{
  return (guint) zm_span_hash (*(const ZmSpan *) data);
}

static gboolean
span_equal (gconstpointer a, gconstpointer b)
{
  return zm_span_equal (*(const ZmSpan *) a, *(const ZmSpan *) b);
}

static void
element_free (gpointer data)
{
  ZmElement *element = data;

  if (element->older != NULL)
    g_array_unref (element->older);
  g_free (element);
}

ZmLatest *
zm_latest_of (ZmQueue *queue)
{
  ZmLatest *latest = queue->latest;

  if (latest != NULL)
    return latest;
  latest = queue->latest = g_new0 (ZmLatest, 1);
  latest->by_key = g_hash_table_new_full (span_hash, span_equal, NULL, element_free);
  latest->by_seq = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  latest->waits = g_ptr_array_new ();
  pthread_mutex_init (&latest->lock, NULL);
  return latest;
}

void
zm_latest_free (ZmLatest *latest)
{
  if (latest == NULL)
    return;
  g_hash_table_unref (latest->by_seq);
  g_hash_table_unref (latest->by_key);
  g_ptr_array_unref (latest->waits);
  pthread_mutex_destroy (&latest->lock);
  g_free (latest);
}

static ZmElement *
element_at (ZmLatest *latest, ZmSpan key)
{
  ZmElement *element = g_hash_table_lookup (latest->by_key, &key);

  if (element != NULL)
    return element;
  element = g_malloc0 (sizeof *element + key.size);
  if (key.size > 0)
    memcpy (element->text, key.data, key.size);
  element->key = zm_span (element->text, key.size);
  g_hash_table_insert (latest->by_key, &element->key, element);
  return element;
}

static void
set_seq (ZmLatest *latest, ZmElement *element, guint64 seq)
{
  if (element->seq != 0)
    g_hash_table_remove (latest->by_seq, &element->seq);
  element->seq = seq;
  if (seq != 0)
    g_hash_table_insert (latest->by_seq, g_memdup2 (&seq, sizeof seq), element);
}

/* Nothing is left of it, and nobody knows it. */
static void
drop_unused (ZmLatest *latest, ZmElement *element)
{
  if (element->seq == 0 && element->uses == 0 && (element->older == NULL || element->older->len == 0))
    g_hash_table_remove (latest->by_key, &element->key);
}

/* ---- loading ---- */

static void
load_one (ZmQueue *queue, guint64 seq, GByteArray *plain)
{
  ZmRecord *record = zm_queue_fetch (queue, NULL, seq);
  ZmElement *element;
  ZmStored stored;

  /* What cannot be read has no key: it stays until its time is over, and is never delivered. */
  if (record == NULL || !zm_record_unpack (record, queue->options.cipher, plain, &stored, NULL)) {
    zm_record_unref (record);
    return;
  }
  element = element_at (queue->latest, stored.key);
  if (element->seq != 0) {
    guint64 older = element->seq;

    if (element->older == NULL)
      element->older = g_array_new (FALSE, FALSE, sizeof (guint64));
    g_array_append_val (element->older, older);
    element->seq = 0; /* by_seq keeps the older one too */
  }
  set_seq (queue->latest, element, seq);
  zm_record_unref (record);
}

gboolean
zm_latest_load (ZmQueue *queue, GError **error)
{
  g_autoptr (GByteArray) plain = NULL;

  (void) error;
  if (queue->options.kind != ZM_QUEUE_LATEST)
    return TRUE;
  plain = g_byte_array_new ();
  g_hash_table_remove_all (zm_latest_of (queue)->by_seq);
  g_hash_table_remove_all (queue->latest->by_key);
  for (guint64 seq = zm_index_next (&queue->index, ZM_VIEW_PRESENT, 0); seq != 0;
       seq = zm_index_next (&queue->index, ZM_VIEW_PRESENT, seq + 1))
    load_one (queue, seq, plain);
  return TRUE;
}

/* ---- looking ---- */

static gboolean
holds_one (const ZmQueue *queue, const ZmElement *element, gint64 now_us)
{
  if ((element->pending != NULL && element->pending->seq > queue->purged) ||
      zm_queue_has (queue, element->seq, now_us))
    return TRUE;
  for (guint i = 0; element->older != NULL && i < element->older->len; i++)
    if (zm_queue_has (queue, g_array_index (element->older, guint64, i), now_us))
      return TRUE;
  return FALSE;
}

gboolean
zm_latest_is_empty (const ZmQueue *queue, ZmSpan key, gint64 now_us)
{
  const ZmElement *element;

  if (key.size == 0)
    return queue->pending == 0 &&
           queue->index.n_present <=
               zm_index_count_over (&queue->index, ZM_VIEW_PRESENT, zm_time_now (now_us));
  if (queue->latest == NULL)
    return TRUE;
  element = g_hash_table_lookup (queue->latest->by_key, &key);
  return element == NULL || !holds_one (queue, element, now_us);
}

/* ---- an append ---- */

/* What is there of it that is durable, and what readers of the log still have. The caller unrefs. */
static GArray *
present_of (const ZmQueue *queue, const ZmElement *element)
{
  GArray *seqs = g_array_new (FALSE, FALSE, sizeof (guint64));

  if (zm_index_in_log (&queue->index, element->seq))
    g_array_append_val (seqs, element->seq);
  if (element->older != NULL)
    g_array_append_vals (seqs, element->older->data, element->older->len);
  return seqs;
}

static void
count_replaced (ZmAppend *append, const ZmElement *element)
{
  g_autoptr (GArray) seqs = present_of (append->queue, element);

  for (guint i = 0; i < seqs->len; i++) {
    guint64 seq = g_array_index (seqs, guint64, i);

    if (!zm_index_present (&append->queue->index, seq))
      continue;
    append->replaces++;
    append->replaced_bytes += zm_index_size (&append->queue->index, seq);
  }
  if (element->pending == NULL)
    return;
  append->replaces++;
  append->replaced_bytes += element->pending->record->size;
}

gboolean
zm_latest_in (ZmAppend *append, ZmSpan key, GError **error)
{
  ZmElement *element = element_at (zm_latest_of (append->queue), key);
  Noted *noted;

  if (append->how == ZM_PUT_IF_EMPTY_ && holds_one (append->queue, element, append->created_us)) {
    g_autofree char *shown = zm_printable (key, 100);

    g_set_error (error, ZM_ERROR, ZM_ERROR_EXISTS, "queue '%s' has an element '%s' already",
                 append->queue->name, shown);
    return FALSE;
  }
  noted = g_new0 (Noted, 1);
  noted->element = element;
  element->uses++;
  append->latest = noted;
  count_replaced (append, element);
  return TRUE;
}

/* A message that a unit of this batch puts is not in the index yet, so that only its record can be taken away. */
static void
replace_pending (ZmAppend *append, ZmStoreWriter *writer, const ZmAppend *pending)
{
  zm_store_op op = {
    .kind = ZM_STORE_REMOVE, .queue = append->queue->number, .seq = pending->seq, .upto = pending->seq
  };

  zm_queue_op (append->queue, writer, &op);
  ((Noted *) append->latest)->replaced = pending->seq;
}

void
zm_latest_placed (ZmAppend *append, ZmStoreWriter *writer)
{
  Noted *noted = append->latest;
  ZmElement *element = noted->element;
  g_autoptr (GArray) seqs = present_of (append->queue, element);

  for (guint i = 0; i < seqs->len; i++) {
    ZmLeaving leaving;

    if (zm_queue_remove_in (append->queue, writer, g_array_index (seqs, guint64, i), TRUE, &leaving))
      g_array_append_val (append->dropped, leaving);
  }
  if (element->pending != NULL)
    replace_pending (append, writer, element->pending);
  noted->before = element->pending;
  element->pending = append;
}

/* The record of this one never was, as far as anybody can see. */
static void
forget_replaced (ZmQueue *queue, guint64 seq)
{
  if (seq == 0 || !queue->loaded || !zm_index_in_log (&queue->index, seq))
    return;
  zm_index_remove (&queue->index, seq);
  zm_cache_drop (queue->memory != NULL ? queue->memory : queue->queues->cache, queue->number, seq);
  if (queue->delayed != NULL)
    g_hash_table_remove (queue->delayed, &seq);
}

static void
let_go (ZmAppend *append)
{
  Noted *noted = append->latest;
  ZmAppend **at = &noted->element->pending;

  /* Out of the chain of those that are pending, wherever it is in it: units end in order, and are refused in the other one. */
  while (*at != NULL && *at != append)
    at = &((Noted *) (*at)->latest)->before;
  if (*at != NULL)
    *at = noted->before;
  noted->element->uses--;
  drop_unused (append->queue->latest, noted->element);
  g_clear_pointer (&append->latest, g_free);
}

void
zm_latest_commit (ZmAppend *append)
{
  Noted *noted = append->latest;

  if (noted == NULL)
    return;
  forget_replaced (append->queue, noted->replaced);
  if (zm_index_present (&append->queue->index, append->seq))
    set_seq (append->queue->latest, noted->element, append->seq);
  let_go (append);
}

void
zm_latest_undo (ZmAppend *append)
{
  if (append->latest != NULL)
    let_go (append);
}

/* ---- a message has gone ---- */

static void
forget_all (ZmLatest *latest)
{
  GHashTableIter iter;
  gpointer value;

  g_hash_table_remove_all (latest->by_seq);
  g_hash_table_iter_init (&iter, latest->by_key);
  while (g_hash_table_iter_next (&iter, NULL, &value)) {
    ZmElement *element = value;

    element->seq = 0;
    g_clear_pointer (&element->older, g_array_unref);
    if (element->uses == 0)
      g_hash_table_iter_remove (&iter);
  }
}

static void
forget_one (ZmLatest *latest, ZmElement *element, guint64 seq)
{
  g_hash_table_remove (latest->by_seq, &seq);
  if (element->seq == seq)
    element->seq = 0;
  for (guint i = 0; element->older != NULL && i < element->older->len; i++) {
    if (g_array_index (element->older, guint64, i) != seq)
      continue;
    g_array_remove_index_fast (element->older, i);
    break;
  }
  drop_unused (latest, element);
}

void
zm_latest_removed (ZmQueue *queue, guint64 seq)
{
  ZmElement *element;

  if (queue->latest == NULL)
    return;
  if (seq == 0) {
    forget_all (queue->latest);
  } else {
    element = g_hash_table_lookup (queue->latest->by_seq, &seq);
    if (element != NULL)
      forget_one (queue->latest, element, seq);
  }
  zm_latest_wake (queue);
}
