/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* For the rooms above: appends and removals inside their units, so that both are one transaction. */
#include "config.h"

#include "queue/registry-private.h"

struct ZmQueueAppend {
  ZmAppend *first; /* the last one appended is the first here */
  ZmQueues *queues;
  GPtrArray *made; /* ZmQueue */
};

static ZmQueueAppend *
new_append (ZmQueues *queues)
{
  ZmQueueAppend *append = g_new0 (ZmQueueAppend, 1);

  append->queues = queues;
  append->made = g_ptr_array_new_with_free_func ((GDestroyNotify) zm_queue_unref);
  return append;
}

static void
free_append (ZmQueueAppend *append, gboolean ok)
{
  for (guint i = 0; i < append->made->len; i++)
    zm_queue_settle (append->made->pdata[i], ok);
  g_ptr_array_unref (append->made);
  g_free (append);
}

static gboolean
add (ZmQueueAppend *all, ZmStoreWriter *writer, ZmQueueName name, const ZmPut *put, gboolean topic,
     GError **error)
{
  ZmQueue *queue = zm_queue_find_in (all->queues, writer, name, TRUE, NULL, error);
  ZmAppend *append;

  if (queue == NULL)
    return FALSE;
  g_ptr_array_add (all->made, queue);
  zm_queue_tick (queue, zm_queues_now (all->queues, writer));
  append = zm_append_in (queue, writer, zm_record_new (put), put->ttl_s, put->delay_s, ZM_PUT_ALWAYS_, topic,
                         error);
  if (append == NULL)
    return FALSE;
  append->next = all->first;
  all->first = append;
  return TRUE;
}

/* A message that on-full dropped is no error: then nothing is in the append. */
ZmQueueAppend *
zm_queue_append_in (ZmQueues *queues, ZmStoreWriter *writer, ZmQueueName queue, const ZmPut *put,
                    GError **error)
{
  ZmQueueAppend *append = new_append (queues);
  GError *wrong = NULL;

  if (add (append, writer, queue, put, FALSE, &wrong) || wrong == NULL)
    return append;
  g_propagate_error (error, wrong);
  /* Its queue was made by this unit all the same, where it was not there: the next use settles it. */
  g_ptr_array_unref (append->made);
  g_free (append);
  return NULL;
}

ZmQueueAppend *
zm_queue_append_dead_in (ZmQueues *queues, ZmStoreWriter *writer, ZmQueueName from, ZmQueueName queue,
                         const ZmPut *put, GError **error)
{
  ZmQueue *origin = zm_queue_find_in (queues, writer, from, FALSE, NULL, NULL);
  ZmPut letter = *put;

  letter.ttl_s = ZM_PUT_TTL_LETTER;
  if (origin != NULL && origin->options.dead_letter_ttl_s >= 0)
    letter.ttl_s = origin->options.dead_letter_ttl_s;
  if (origin != NULL)
    zm_queue_unref (origin);
  return zm_queue_append_in (queues, writer, queue, &letter, error);
}

typedef struct Bound {
  ZmQueueAppend *append;
  ZmStoreWriter *writer;
  const ZmPut *put;
} Bound;

static void
add_bound (const ZmBinding *binding, gpointer user)
{
  Bound *bound = user;
  ZmQueues *queues = bound->append->queues;
  ZmQueueName name = { zm_span_text (binding->project), zm_span_text (binding->name) };
  g_autoptr (GError) error = NULL;

  if (add (bound->append, bound->writer, name, bound->put, TRUE, &error) || error == NULL)
    return;
  zm_counter_add (queues->p->tap_lost, 1);
  zm_log_limited (queues->config.log, ZM_LEVEL_WARNING, ZM_QUEUE_ROOM,
                  "publications that a queue did not get", "a publication did not get into queue %s: %s",
                  binding->name, error->message);
}

ZmQueueAppend *
zm_queue_append_bound_in (ZmQueues *queues, ZmStoreWriter *writer, ZmSpan topic, const ZmPut *put)
{
  Bound bound = { NULL, writer, put };
  ZmBindings *bindings;
  ZmTopic parsed;

  if (!__atomic_load_n (&queues->p->any_bound, __ATOMIC_ACQUIRE) || !zm_topic_parse (topic, &parsed, NULL))
    return NULL;
  bound.append = new_append (queues);
  bindings = zm_queues_bindings (queues);
  zm_bindings_each (bindings, &parsed.key, add_bound, &bound);
  zm_bindings_unref (bindings);
  if (bound.append->first != NULL)
    return bound.append;
  free_append (bound.append, FALSE);
  return NULL;
}

/* In the order in which they were appended. */
void
zm_queue_append_commit (ZmQueueAppend *append)
{
  ZmAppend *in_order = NULL;

  while (append->first != NULL) {
    ZmAppend *next = append->first->next;

    append->first->next = in_order;
    in_order = append->first;
    append->first = next;
  }
  while (in_order != NULL) {
    ZmAppend *next = in_order->next;

    zm_append_commit (in_order);
    in_order = next;
  }
  free_append (append, TRUE);
}

void
zm_queue_append_undo (ZmQueueAppend *append)
{
  while (append->first != NULL) {
    ZmAppend *next = append->first->next;

    zm_append_undo (append->first);
    append->first = next;
  }
  free_append (append, FALSE);
}

/* ---- consuming ---- */

void
zm_queue_consume_in (ZmQueues *queues, ZmStoreWriter *writer, ZmQueueName name, guint64 seq)
{
  ZmQueue *queue = zm_queue_find_in (queues, writer, name, FALSE, NULL, NULL);
  ZmLeaving leaving;

  if (queue != NULL && zm_queue_remove_in (queue, writer, seq, TRUE, &leaving)) {
    if (queue->consuming == NULL)
      queue->consuming = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, g_free);
    g_hash_table_insert (queue->consuming, g_memdup2 (&seq, sizeof seq),
                         g_memdup2 (&leaving, sizeof leaving));
  }
  zm_queue_unref (queue);
}

/* What consume_in noted; the queue (not owned), or NULL. */
static ZmQueue *
consumed (ZmQueues *queues, ZmQueueName name, guint64 seq, ZmLeaving *leaving)
{
  gsize size;
  g_autofree char *key = zm_queues_key (queues, name, &size, NULL);
  ZmQueue *queue = key != NULL ? g_hash_table_lookup (queues->p->by_key, key) : NULL;
  const ZmLeaving *noted =
      queue != NULL && queue->consuming != NULL ? g_hash_table_lookup (queue->consuming, &seq) : NULL;

  if (noted == NULL)
    return NULL;
  *leaving = *noted;
  g_hash_table_remove (queue->consuming, &seq);
  return queue;
}

void
zm_queue_consume_commit (ZmQueues *queues, ZmQueueName name, guint64 seq)
{
  ZmLeaving leaving;
  ZmQueue *queue = consumed (queues, name, seq, &leaving);

  if (queue == NULL)
    return;
  zm_queue_remove_commit (queue, &leaving);
  queue->counts.taken++;
  zm_counter_add (queues->p->taken, 1);
}

void
zm_queue_consume_undo (ZmQueues *queues, ZmQueueName name, guint64 seq)
{
  ZmLeaving leaving;
  ZmQueue *queue = consumed (queues, name, seq, &leaving);

  if (queue != NULL)
    zm_queue_remove_undo (queue, &leaving);
}
