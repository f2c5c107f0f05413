/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The most recent records, within a bound: what was just put is mostly read next. The oldest go first; reading one does not keep it
 * longer, which would need the lock's exclusion for no more than a few hits.
 */
#include "config.h"

#include "queue/queue-private.h"

/* What a record costs beside its data. */
#define EXTRA 160

struct ZmCache {
  pthread_mutex_t lock;
  GHashTable *records; /* ZmRecord -> its link in order */
  GQueue order;        /* the newest first */
  gsize bytes, most;
};

static guint
record_hash (gconstpointer record)
{
  const ZmRecord *r = record;
  guint64 hash = (r->queue * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15)) ^
                 (r->seq * G_GUINT64_CONSTANT (0xff51afd7ed558ccd));

  return (guint) (hash >> 32 ^ hash);
}

static gboolean
record_equal (gconstpointer a, gconstpointer b)
{
  const ZmRecord *x = a, *y = b;

  return x->queue == y->queue && x->seq == y->seq;
}

ZmCache *
zm_cache_new (gsize most)
{
  ZmCache *cache = g_new0 (ZmCache, 1);

  pthread_mutex_init (&cache->lock, NULL);
  cache->records = g_hash_table_new (record_hash, record_equal);
  g_queue_init (&cache->order);
  cache->most = most;
  return cache;
}

static void
forget (ZmCache *cache, ZmRecord *record)
{
  GList *link = g_hash_table_lookup (cache->records, record);

  record = link->data;
  g_hash_table_remove (cache->records, record);
  g_queue_delete_link (&cache->order, link);
  cache->bytes -= record->size + EXTRA;
  zm_record_unref (record);
}

void
zm_cache_clear (ZmCache *cache)
{
  pthread_mutex_lock (&cache->lock);
  while (cache->order.head != NULL)
    forget (cache, cache->order.head->data);
  pthread_mutex_unlock (&cache->lock);
}

void
zm_cache_free (ZmCache *cache)
{
  zm_cache_clear (cache);
  g_hash_table_unref (cache->records);
  pthread_mutex_destroy (&cache->lock);
  g_free (cache);
}

void
zm_cache_put (ZmCache *cache, ZmRecord *record)
{
  if (record->size + EXTRA > cache->most / 4) /* one large record does not push everything else out */
    return;
  pthread_mutex_lock (&cache->lock);
  if (!g_hash_table_contains (cache->records, record)) {
    while (cache->bytes + record->size + EXTRA > cache->most)
      forget (cache, cache->order.tail->data);
    g_queue_push_head (&cache->order, zm_record_ref (record));
    g_hash_table_insert (cache->records, record, cache->order.head);
    cache->bytes += record->size + EXTRA;
  }
  pthread_mutex_unlock (&cache->lock);
}

ZmRecord *
zm_cache_get (ZmCache *cache, guint64 queue, guint64 seq)
{
  ZmRecord key = { .queue = queue, .seq = seq };
  ZmRecord *record = NULL;
  GList *link;

  pthread_mutex_lock (&cache->lock);
  link = g_hash_table_lookup (cache->records, &key);
  if (link != NULL)
    record = zm_record_ref (link->data);
  pthread_mutex_unlock (&cache->lock);
  return record;
}

void
zm_cache_drop (ZmCache *cache, guint64 queue, guint64 seq)
{
  ZmRecord key = { .queue = queue, .seq = seq };

  pthread_mutex_lock (&cache->lock);
  if (g_hash_table_contains (cache->records, &key))
    forget (cache, &key);
  pthread_mutex_unlock (&cache->lock);
}
