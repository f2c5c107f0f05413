/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Views: the current table with what the pool knows beside it, held by each worker for a batch. */
#include "worker/internal.h"

/* Figures belong to the pool and its keys, not to a table: they count on over reloads. Bounded; NULL beyond that.
 * Under view_lock. */
static ZmStat *
stat_of (ZmPool *pool, const char *key)
{
  ZmStat *stat = g_hash_table_lookup (pool->stats, key);
  if (!stat && g_hash_table_size (pool->stats) < 65536) {
    stat = g_new0 (ZmStat, 1);
    g_hash_table_insert (pool->stats, g_strdup (key), stat);
  }
  return stat;
}

/* Made once a table, by whichever worker comes first; under view_lock. */
static ZmView *
view_new (ZmPool *pool, ZmTable *table)
{
  ZmView *view = g_new0 (ZmView, 1);
  atomic_init (&view->refs, 1);
  view->serial = zm_table_serial (table);
  view->table = table;
  guint n = zm_table_n_routes (table);
  view->stats = g_new0 (ZmStat *, n + 1);
  for (guint i = 0; i < n; i++) {
    const ZmMapping *mapping = zm_table_route (table, i)->mapping;
    view->stats[i] = stat_of (pool, mapping->key_text);
    if (mapping->ordering >= 0 && mapping->ordering != (int) pool->config.ordering)
      view->ordered = TRUE;
  }
  zm_hooks_fill (pool, view, zm_table_set (table));
  return view;
}

ZmView *
zm_view_ref (ZmView *view)
{
  atomic_fetch_add (&view->refs, 1);
  return view;
}

void
zm_view_unref (ZmView *view)
{
  if (atomic_fetch_sub (&view->refs, 1) != 1)
    return;
  g_free (view->hooks);
  g_free (view->stats);
  zm_table_unref (view->table);
  g_free (view);
}

/* A reference on the current one. The serial is one atomic load, the table itself is only asked for when that
 * changed; the old view is let go without the lock, as it may be the last to hold a table and its plugins. */
ZmView *
zm_pool_view (ZmPool *pool)
{
  ZmView *old = NULL;
  pthread_mutex_lock (&pool->view_lock);
  if (!pool->view || pool->view->serial != zm_table_slot_serial (pool->config.tables)) {
    ZmTable *table = zm_table_slot_get (pool->config.tables);
    if (table && pool->view && zm_table_serial (table) == pool->view->serial) {
      zm_table_unref (table);
    } else if (table) {
      old = pool->view;
      pool->view = view_new (pool, table);
    }
  }
  ZmView *view = pool->view ? zm_view_ref (pool->view) : NULL;
  pthread_mutex_unlock (&pool->view_lock);
  if (old)
    zm_view_unref (old);
  return view;
}

/* Between batches, and where a run needs the table that is newer than its worker's. */
void
zm_worker_refresh (ZmWorker *worker)
{
  ZmView *view = zm_pool_view (worker->pool);
  if (worker->view)
    zm_view_unref (worker->view);
  worker->view = view;
}
