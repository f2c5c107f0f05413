/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where the current table stands. Readers look at the serial (one load); only when it changed do they take the lock. */
#include "config.h"

#include "routing/table-private.h"

#include <pthread.h>
#include <stdatomic.h>

struct ZmTableSlot {
  pthread_mutex_t mutex;
  ZmTable *table;
  _Atomic guint64 serial;
};

ZmTableSlot *
zm_table_slot_new (void)
{
  ZmTableSlot *slot = g_new0 (ZmTableSlot, 1);

  pthread_mutex_init (&slot->mutex, NULL);
  return slot;
}

void
zm_table_slot_free (ZmTableSlot *slot)
{
  if (slot == NULL)
    return;
  zm_table_unref (slot->table);
  pthread_mutex_destroy (&slot->mutex);
  g_free (slot);
}

ZmTable *
zm_table_slot_get (ZmTableSlot *slot)
{
  ZmTable *table;

  pthread_mutex_lock (&slot->mutex);
  table = slot->table != NULL ? zm_table_ref (slot->table) : NULL;
  pthread_mutex_unlock (&slot->mutex);
  return table;
}

void
zm_table_slot_swap (ZmTableSlot *slot, ZmTable *table)
{
  ZmTable *old;

  pthread_mutex_lock (&slot->mutex);
  old = slot->table;
  slot->table = table;
  atomic_store_explicit (&slot->serial, table != NULL ? table->serial : 0, memory_order_release);
  pthread_mutex_unlock (&slot->mutex);
  /* Outside of the lock: the last reference frees a whole table. */
  zm_table_unref (old);
}

guint64
zm_table_slot_serial (ZmTableSlot *slot)
{
  return atomic_load_explicit (&slot->serial, memory_order_acquire);
}
