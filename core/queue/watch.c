/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who waits for something to be free in a queue: told once, in the store's thread. */
#include "config.h"

#include "queue/registry-private.h"

typedef struct ZmWatch {
  guint64 number;
  char *key;
  void (*wake) (gpointer user);
  gpointer user;
} ZmWatch;

static void
free_watch (gpointer data)
{
  ZmWatch *watch = data;

  g_free (watch->key);
  g_free (watch);
}

/* With the lock held. */
static void
ensure_tables (struct ZmQueuesPrivate *p)
{
  if (p->watches != NULL)
    return;
  p->watches = g_hash_table_new_full (g_int64_hash, g_int64_equal, NULL, free_watch);
  p->watched = g_hash_table_new_full (zm_queue_key_hash, zm_queue_key_equal, g_free,
                                      (GDestroyNotify) g_ptr_array_unref);
}

guint64
zm_queue_watch (ZmQueues *queues, ZmQueueName queue, void (*wake) (gpointer user), gpointer user)
{
  struct ZmQueuesPrivate *p = queues->p;
  gsize size;
  g_autofree char *key = zm_queues_key (queues, queue, &size, NULL);
  guint64 number = 0;

  if (key == NULL)
    return 0;
  pthread_mutex_lock (&p->watch_lock);
  ensure_tables (p);
  if (g_hash_table_size (p->watches) < ZM_WATCHES_MOST) {
    ZmWatch *watch = g_new0 (ZmWatch, 1);
    GPtrArray *of_queue = g_hash_table_lookup (p->watched, key);

    if (of_queue == NULL) {
      of_queue = g_ptr_array_new ();
      g_hash_table_insert (p->watched, g_memdup2 (key, size + 1), of_queue);
    }
    number = watch->number = ++p->last_watch;
    watch->key = g_steal_pointer (&key);
    watch->wake = wake;
    watch->user = user;
    g_ptr_array_add (of_queue, watch);
    g_hash_table_insert (p->watches, &watch->number, watch);
    __atomic_store_n (&p->n_watches, (int) g_hash_table_size (p->watches), __ATOMIC_SEQ_CST);
  }
  pthread_mutex_unlock (&p->watch_lock);
  return number;
}

void
zm_queue_unwatch (ZmQueues *queues, guint64 number)
{
  struct ZmQueuesPrivate *p = queues->p;
  ZmWatch *watch;

  pthread_mutex_lock (&p->watch_lock);
  watch = p->watches != NULL ? g_hash_table_lookup (p->watches, &number) : NULL;
  if (watch != NULL) {
    GPtrArray *of_queue = g_hash_table_lookup (p->watched, watch->key);

    g_ptr_array_remove_fast (of_queue, watch);
    if (of_queue->len == 0)
      g_hash_table_remove (p->watched, watch->key);
    g_hash_table_remove (p->watches, &number);
    __atomic_store_n (&p->n_watches, (int) g_hash_table_size (p->watches), __ATOMIC_SEQ_CST);
  }
  pthread_mutex_unlock (&p->watch_lock);
}

/* The lock is held while they are called: unwatch waits for that. */
void
zm_watches_wake (ZmQueue *queue)
{
  struct ZmQueuesPrivate *p = queue->queues->p;
  GPtrArray *of_queue;

  if (__atomic_load_n (&p->n_watches, __ATOMIC_SEQ_CST) == 0)
    return;
  pthread_mutex_lock (&p->watch_lock);
  of_queue = g_hash_table_lookup (p->watched, queue->key);
  for (guint i = 0; of_queue != NULL && i < of_queue->len; i++) {
    ZmWatch *watch = of_queue->pdata[i];

    watch->wake (watch->user);
    g_hash_table_remove (p->watches, &watch->number);
  }
  if (of_queue != NULL)
    g_hash_table_remove (p->watched, queue->key);
  __atomic_store_n (&p->n_watches, p->watches != NULL ? (int) g_hash_table_size (p->watches) : 0,
                    __ATOMIC_SEQ_CST);
  pthread_mutex_unlock (&p->watch_lock);
}

void
zm_watches_clear (ZmQueues *queues)
{
  g_clear_pointer (&queues->p->watched, g_hash_table_unref);
  g_clear_pointer (&queues->p->watches, g_hash_table_unref);
}
