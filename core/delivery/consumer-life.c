/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How consumers begin, with what is stored of them, and how they go. */
#include "config.h"

#include "delivery/delivery-private.h"

#include <string.h>

#define WAITING_STANDARD 1000000

/* ---- beginning ---- */

static void
on_ready (ZmQueueReader *reader, gpointer user)
{
  ZmConsumer *consumer = user;

  (void) reader;
  zm_delivery_ready (consumer);
  zm_delivery_kick (consumer->delivery);
}

static int
load_document (void *user, zm_str key, zm_str value)
{
  ZmConsumer *consumer = user;
  gsize prefix = strlen (consumer->prefix);
  g_autofree char *digits = g_strndup (key.data + prefix, key.size - prefix);
  char *end = NULL;
  guint64 seq = g_ascii_strtoull (digits, &end, 16);
  ZmDelivery *delivery = consumer->delivery;
  ZmDocument document;

  if (*digits == '\0' || *end != '\0' || !zm_document_read (zm_span (value.data, value.size), &document)) {
    zm_log_limited (
        delivery->config.log, ZM_LEVEL_WARNING, "delivery", "bad-document",
        "the document of a message of queue %s that waits for its retry cannot be read: its attempts "
        "are counted anew",
        consumer->queue);
    return 0;
  }
  zm_consumer_wait (consumer, seq, document.attempts,
                    zm_due_rebase (document.due_us, document.delay_us, zm_delivery_now (delivery),
                                   zm_delivery_wall (delivery)));
  return 0;
}

static int
load_cursor (void *user, zm_str key, zm_str value)
{
  ZmConsumer *consumer = user;
  g_autofree char *text = g_strndup (value.data, value.size);

  if (zm_span_equal (zm_span (key.data, key.size), zm_span_text (consumer->name)))
    consumer->cursor = g_ascii_strtoull (text, NULL, 10);
  return 0;
}

/* Where all messages leave the queue when they end, what is there is what is not done, and no cursor is needed. */
static gboolean
load (ZmConsumer *consumer, GError **error)
{
  ZmStore *store = consumer->delivery->config.store;
  ZmSpan none = { NULL, 0 };

  if (!consumer->consumes &&
      !zm_store_documents (store, NULL, ZM_DELIVERY_CURSORS, zm_span_text (consumer->name), none, 1,
                           load_cursor, consumer, error))
    return FALSE;
  return zm_store_documents (store, NULL, ZM_DELIVERY_SPACE, zm_span_text (consumer->prefix), none, 0,
                             load_document, consumer, error);
}

static void
open_done (ZmStoreUnit *unit, const GError *failed)
{
  ZmConsumer *consumer = (ZmConsumer *) unit;
  ZmDelivery *delivery = consumer->delivery;
  g_autoptr (GError) error = NULL;

  if (failed == NULL && !load (consumer, &error))
    zm_log_write (delivery->config.log, ZM_LEVEL_ERROR, "delivery",
                  "consumer %s: what waits for its retry cannot be read: %s; attempts are counted anew",
                  consumer->name, error->message);
  consumer->reader = zm_queue_reader_new (delivery->config.queues, zm_consumer_queue (consumer),
                                          consumer->cursor, on_ready, consumer);
  consumer->passed = consumer->cursor;
  zm_delivery_ready (consumer);
  zm_delivery_pump (delivery);
}

static void
free_waiting (gpointer data)
{
  ZmWaiting *waiting = data;

  zm_due_remove (&waiting->consumer->delivery->due, &waiting->due);
  g_free (waiting);
}

static void
free_try (gpointer try)
{
  zm_try_free (try);
}

static ZmConsumer *
make_consumer (ZmDelivery *delivery, const ZmConsumerConfig *config)
{
  ZmConsumer *consumer = g_new0 (ZmConsumer, 1);

  consumer->delivery = delivery;
  consumer->name = g_strdup (config->name);
  consumer->prefix = g_strconcat (config->name, "/", NULL);
  consumer->project = zm_span_dup (config->queue.project);
  consumer->queue = zm_span_dup (config->queue.name);
  consumer->dead = config->dead_letter != NULL && *config->dead_letter != '\0'
                       ? g_strdup (config->dead_letter)
                       : g_strconcat (consumer->queue, ".dead", NULL);
  consumer->target = config->target;
  zm_retry_policy_copy (&consumer->policy, &config->policy);
  consumer->concurrency = MAX (config->concurrency, 1);
  consumer->waiting_most = config->waiting_most > 0 ? config->waiting_most : WAITING_STANDARD;
  consumer->consumes = config->consumes;
  consumer->strict = config->strict && consumer->concurrency == 1;
  consumer->waiting = g_hash_table_new_full (g_int64_hash, g_int64_equal, NULL, free_waiting);
  consumer->fresh = g_hash_table_new_full (g_int64_hash, g_int64_equal, NULL, free_try);
  return consumer;
}

ZmConsumer *
zm_consumer_new (ZmDelivery *delivery, const ZmConsumerConfig *config, GError **error)
{
  ZmConsumer *consumer = make_consumer (delivery, config);

  pthread_mutex_lock (&delivery->lock);
  g_ptr_array_add (delivery->consumers, consumer);
  pthread_mutex_unlock (&delivery->lock);
  consumer->unit = (ZmStoreUnit){ .done = open_done, .inside = TRUE };
  if (zm_store_submit (delivery->config.store, &consumer->unit, error))
    return consumer;
  zm_consumer_destroy (consumer);
  return NULL;
}

/* ---- end ---- */

static void
free_tries (ZmConsumer *consumer)
{
  while (consumer->head != NULL) {
    ZmTry *try = consumer->head;

    consumer->head = try->next;
    zm_due_remove (&consumer->flying, &try->place);
    consumer->in_flight--;
    zm_counter_add (consumer->delivery->g_in_flight, -1);
    zm_try_free (try);
  }
  consumer->tail = NULL;
}

/* While a share is being read its list belongs to the reader: reading_done comes here again. */
void
zm_consumer_leave (ZmConsumer *consumer)
{
  consumer->leaving = TRUE;
  if (consumer->reading)
    return;
  free_tries (consumer);
  if (consumer->in_flight == 0)
    zm_consumer_destroy (consumer);
}

static void
leave_done (ZmStoreUnit *unit, const GError *error)
{
  (void) error;
  zm_consumer_leave ((ZmConsumer *) ((char *) unit - G_STRUCT_OFFSET (ZmConsumer, leave)));
}

void
zm_consumer_free (ZmConsumer *consumer, void (*gone) (gpointer user), gpointer user)
{
  consumer->gone = gone;
  consumer->gone_user = user;
  consumer->leave = (ZmStoreUnit){ .done = leave_done, .inside = TRUE };
  /* A store that takes nothing any more ends, and the delivery frees what is left. */
  zm_store_submit (consumer->delivery->config.store, &consumer->leave, NULL);
}

/* In the store's thread, or when there is none any more. */
void
zm_consumer_destroy (ZmConsumer *consumer)
{
  ZmDelivery *delivery = consumer->delivery;

  zm_delivery_unready (consumer);
  pthread_mutex_lock (&delivery->lock);
  g_ptr_array_remove (delivery->consumers, consumer);
  pthread_mutex_unlock (&delivery->lock);
  free_tries (consumer);
  g_clear_pointer (&consumer->reader, zm_queue_reader_free);
  zm_counter_add (delivery->g_waiting, -(gint64) g_hash_table_size (consumer->waiting));
  g_hash_table_unref (consumer->waiting);
  g_hash_table_unref (consumer->fresh);
  zm_due_clear (&consumer->flying);
  zm_retry_policy_clear (&consumer->policy);
  if (consumer->gone != NULL)
    consumer->gone (consumer->gone_user);
  g_free (consumer->name);
  g_free (consumer->prefix);
  g_free (consumer->project);
  g_free (consumer->queue);
  g_free (consumer->dead);
  g_free (consumer);
}
