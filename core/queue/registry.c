/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finding queues by project and name, making them, and what the store says of them. */
#include "config.h"

#include "queue/registry-private.h"

#include <string.h>

/* ---- names ---- */

/* A key is two texts with a NUL behind each. */
guint
zm_queue_key_hash (gconstpointer key)
{
  const char *project = key;

  return g_str_hash (project) * 31 + g_str_hash (project + strlen (project) + 1);
}

static int
key_order (gconstpointer a, gconstpointer b)
{
  const char *x = a, *y = b;
  int order = strcmp (x, y);

  return order != 0 ? order : strcmp (x + strlen (x) + 1, y + strlen (y) + 1);
}

static int
tree_order (gconstpointer a, gconstpointer b, gpointer user)
{
  (void) user;
  return key_order (a, b);
}

gboolean
zm_queue_key_equal (gconstpointer a, gconstpointer b)
{
  return key_order (a, b) == 0;
}

/* ^ begins the names of the runtime's own. */
static gboolean
name_good (ZmSpan name)
{
  gsize at = name.size > 0 && name.data[0] == '^' ? 1 : 0;

  if (name.size <= at || name.size > ZM_QUEUE_NAME_MOST)
    return FALSE;
  for (; at < name.size; at++) /* strchr finds the NUL of its text too */
    if (!g_ascii_isalnum (name.data[at]) && (name.data[at] == '\0' || strchr ("_.-", name.data[at]) == NULL))
      return FALSE;
  return TRUE;
}

static gboolean
project_good (ZmSpan project)
{
  if (project.size > ZM_QUEUE_PROJECT_MOST)
    return FALSE;
  for (gsize i = 0; i < project.size; i++)
    if ((guchar) project.data[i] < 0x20 || project.data[i] == 0x7f)
      return FALSE;
  return TRUE;
}

char *
zm_queues_key (ZmQueues *queues, ZmQueueName name, gsize *size, GError **error)
{
  g_autofree char *standard = NULL;
  char *key;

  if (!name_good (name.name) || !project_good (name.project)) {
    g_autofree char *shown = zm_printable (name.name, 80);

    g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID,
                 "'%s' is no name of a queue: it has 1 to %d of the characters a-z, A-Z, 0-9, '_', '.' and "
                 "'-', in a project "
                 "of at most %d bytes",
                 shown, ZM_QUEUE_NAME_MOST, ZM_QUEUE_PROJECT_MOST);
    return NULL;
  }
  if (name.project.size == 0) {
    pthread_mutex_lock (&queues->p->lock);
    standard = g_strdup (queues->p->standard);
    pthread_mutex_unlock (&queues->p->lock);
    name.project = zm_span_text (standard);
  }
  *size = name.project.size + 1 + name.name.size;
  key = g_malloc (*size + 1);
  memcpy (key, name.project.data, name.project.size);
  key[name.project.size] = '\0';
  memcpy (key + name.project.size + 1, name.name.data, name.name.size);
  key[*size] = '\0';
  return key;
}

/* ---- queues ---- */

ZmQueue *
zm_queue_new (ZmQueues *queues, char *key, gsize key_size, guint64 number)
{
  ZmQueue *queue = g_new0 (ZmQueue, 1);

  queue->refs = 1;
  queue->queues = queues;
  queue->number = number;
  queue->key = key;
  queue->key_size = key_size;
  queue->project = key;
  queue->name = key + strlen (key) + 1;
  queue->metadata = g_strdup ("{}");
  queue->agenda_us = G_MAXINT64;
  return queue;
}

ZmQueue *
zm_queue_ref (ZmQueue *queue)
{
  __atomic_add_fetch (&queue->refs, 1, __ATOMIC_RELAXED);
  return queue;
}

void
zm_queue_unref (ZmQueue *queue)
{
  if (queue == NULL || __atomic_sub_fetch (&queue->refs, 1, __ATOMIC_ACQ_REL) > 0)
    return;
  zm_index_clear (&queue->index);
  zm_heap_clear (&queue->delays);
  g_clear_pointer (&queue->delayed, g_hash_table_unref);
  g_clear_pointer (&queue->consuming, g_hash_table_unref);
  g_clear_pointer (&queue->memory, zm_cache_free);
  g_clear_pointer (&queue->readers, g_ptr_array_unref);
  zm_claims_free (queue->claims);
  zm_window_free (queue->window);
  zm_latest_free (queue->latest);
  zm_queue_options_clear (&queue->options);
  g_free (queue->metadata);
  g_free (queue->key);
  g_free (queue);
}

void
zm_queues_keep (ZmQueue *queue)
{
  struct ZmQueuesPrivate *p = queue->queues->p;

  if (g_hash_table_contains (p->by_key, queue->key)) {
    zm_log_write (queue->queues->config.log, ZM_LEVEL_ERROR, ZM_QUEUE_ROOM,
                  "queue %s could not be removed, and there is another one of its name now: what it had is "
                  "set aside until "
                  "the next start",
                  queue->name);
    return;
  }
  pthread_mutex_lock (&p->lock);
  g_hash_table_insert (p->by_key, queue->key, zm_queue_ref (queue));
  g_tree_insert (p->by_name, queue->key, queue);
  pthread_mutex_unlock (&p->lock);
  g_hash_table_insert (p->by_number, &queue->number, queue);
  queue->removed = FALSE;
}

void
zm_queues_drop (ZmQueue *queue)
{
  struct ZmQueuesPrivate *p = queue->queues->p;

  if (queue->removed)
    return;
  queue->removed = TRUE;
  g_hash_table_remove (p->by_number, &queue->number);
  pthread_mutex_lock (&p->lock);
  g_tree_remove (p->by_name, queue->key);
  g_hash_table_remove (p->by_key, queue->key); /* gives its reference back */
  pthread_mutex_unlock (&p->lock);
}

/* A number that no queue has. Numbers are used again, but sequence numbers of one go on: an id is never given twice. */
static guint64
free_number (struct ZmQueuesPrivate *p)
{
  for (guint64 tries = 0; tries < ZM_STORE_QUEUE_MOST; tries++) {
    guint64 number = p->next_number;

    p->next_number = number < ZM_STORE_QUEUE_MOST ? number + 1 : 1;
    if (!g_hash_table_contains (p->by_number, &number))
      return number;
  }
  return 0;
}

/* Takes key. */
static ZmQueue *
make_queue (ZmQueues *queues, char *key, gsize size, ZmStoreWriter *writer, GError **error)
{
  guint64 number = free_number (queues->p);
  ZmQueueOptions options;
  ZmQueue *queue;

  if (number == 0 || g_hash_table_size (queues->p->by_key) >= ZM_QUEUES_MOST) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_LIMIT,
                 "there are %d queues already: remove some that are not used", ZM_QUEUES_MOST);
    g_free (key);
    return NULL;
  }
  queue = zm_queue_new (queues, key, size, number);
  queue->created_us = zm_queues_now (queues, writer);
  if (!zm_queue_options_read (&options, queues->p->settings, queue->project, queue->name,
                              zm_span_text (queue->metadata), TRUE, error)) {
    zm_queue_unref (queue);
    return NULL;
  }
  zm_queue_set_options (queue, &options);
  zm_queues_keep (queue);
  zm_queue_unref (queue); /* the registry has it */
  return queue;
}

gint64
zm_queues_now (ZmQueues *queues, ZmStoreWriter *writer)
{
  return queues->config.wall_us != NULL ? queues->config.wall_us (queues->config.user)
                                        : zm_store_batch_us (writer);
}

ZmQueue *
zm_queue_find_in (ZmQueues *queues, ZmStoreWriter *writer, ZmQueueName name, gboolean make, gboolean *created,
                  GError **error)
{
  gsize size;
  g_autofree char *key = zm_queues_key (queues, name, &size, error);
  ZmQueue *queue;

  if (created != NULL)
    *created = FALSE;
  if (key == NULL)
    return NULL;
  queue = g_hash_table_lookup (queues->p->by_key, key);
  if (queue == NULL && !make)
    return NULL;
  if (queue == NULL) {
    queue = make_queue (queues, g_steal_pointer (&key), size, writer, error);
    if (queue == NULL)
      return NULL;
    if (created != NULL)
      *created = TRUE;
  }
  if (!queue->loaded && !zm_queue_load (queue, error)) {
    if (!queue->stored)
      zm_queues_drop (queue);
    return NULL;
  }
  if (make && !queue->stored)
    zm_queue_document_in (queue, writer);
  return zm_queue_ref (queue);
}

/* What was to be made and could not: it is as if nobody had asked, unless somebody else still does. */
void
zm_queue_settle (ZmQueue *queue, gboolean ok)
{
  if (queue->stored)
    return;
  if (ok) {
    queue->stored = TRUE;
    if (queue->unmade) /* another unit of the batch made it after all */
      zm_queues_keep (queue);
    queue->unmade = FALSE;
  } else if (!queue->removed && queue->pending == 0 && queue->index.n_log == 0 && !queue->configured &&
             queue->readers == NULL) {
    queue->unmade = TRUE;
    zm_queues_drop (queue);
  }
}

ZmQueue *
zm_queue_dead_letter_in (ZmQueue *queue, ZmStoreWriter *writer, GError **error)
{
  ZmQueueName name = { zm_span_text (queue->project), { NULL, 0 } };
  g_autofree char *made = NULL;

  if (queue->options.dead_letter != NULL)
    name.name = zm_span_text (queue->options.dead_letter);
  else if (queue->configured) {
    made = g_strdup_printf ("%.*s.dead", ZM_QUEUE_NAME_MOST - 5, queue->name);
    name.name = zm_span_text (made);
  } else {
    return NULL;
  }
  return zm_queue_find_in (queue->queues, writer, name, TRUE, NULL, error);
}

zm_str
zm_queue_doc_key (ZmQueue *queue, ZmStoreWriter *writer, const guint64 *numbers, guint n)
{
  guint8 *data = zm_store_alloc (writer, 8 * (1 + n));
  zm_str key = { (const char *) data, 8 * (1 + n) };

  zm_write_be64 (data, queue->number);
  for (guint i = 0; i < n; i++)
    zm_write_be64 (data + 8 * (1 + i), numbers[i]);
  return key;
}

void
zm_queue_op (ZmQueue *queue, ZmStoreWriter *writer, const zm_store_op *op)
{
  if (!zm_queue_in_memory (queue))
    zm_store_add (writer, op);
}

void
zm_queues_tables (ZmQueues *queues)
{
  struct ZmQueuesPrivate *p = queues->p;

  p->by_key =
      g_hash_table_new_full (zm_queue_key_hash, zm_queue_key_equal, NULL, (GDestroyNotify) zm_queue_unref);
  p->by_name = g_tree_new_with_data (tree_order, NULL);
  p->by_number = g_hash_table_new (g_int64_hash, g_int64_equal);
  p->next_number = 1;
}

gboolean
zm_queues_closed (const ZmQueues *queues)
{
  return __atomic_load_n (&queues->p->closed, __ATOMIC_ACQUIRE);
}
