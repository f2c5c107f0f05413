/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the store says of a queue itself: one document each. */
#include "config.h"

#include "queue/registry-private.h"

#include <string.h>

/* A document: number, created_us, kind, metadata. */
#define DOCUMENT_HEAD (8 + 8 + 1)

zm_str
zm_queue_document (ZmQueue *queue, ZmStoreWriter *writer)
{
  gsize size = strlen (queue->metadata);
  guint8 *data = zm_store_alloc (writer, DOCUMENT_HEAD + size);
  zm_str text = { (const char *) data, DOCUMENT_HEAD + size };

  zm_write_be64 (data, queue->number);
  zm_write_be64 (data + 8, (guint64) queue->created_us);
  data[16] = (guint8) queue->options.kind;
  memcpy (data + DOCUMENT_HEAD, queue->metadata, size);
  return text;
}

/* Its document as it is now. Queues in memory have one too: they are there after a restart, empty. */
void
zm_queue_document_in (ZmQueue *queue, ZmStoreWriter *writer)
{
  char *key = zm_store_alloc (writer, queue->key_size);
  zm_store_op op = { .kind = ZM_STORE_PUT,
                     .space = zm_str_of (ZM_SPAN_LITERAL (ZM_SPACE_QUEUES)),
                     .key = { key, queue->key_size },
                     .data = zm_queue_document (queue, writer) };

  memcpy (key, queue->key, queue->key_size);
  zm_store_add (writer, &op);
}

void
zm_queue_forget_in (ZmQueue *queue, ZmStoreWriter *writer)
{
  char *key = zm_store_alloc (writer, queue->key_size);
  zm_store_op op = { .kind = ZM_STORE_DELETE,
                     .space = zm_str_of (ZM_SPAN_LITERAL (ZM_SPACE_QUEUES)),
                     .key = { key, queue->key_size } };
  zm_store_op seen = { .kind = ZM_STORE_DELETE_PREFIX,
                       .space = zm_str_of (ZM_SPAN_LITERAL (ZM_SPACE_SEEN)),
                       .key = zm_queue_doc_key (queue, writer, NULL, 0) };

  memcpy (key, queue->key, queue->key_size);
  zm_store_add (writer, &op);
  zm_queue_op (queue, writer, &seen); /* its number may be given to another one */
}

/* ---- the list of queues, at the start ---- */

typedef struct Reading {
  ZmQueues *queues;
  GError *error;
} Reading;

static int
damaged (Reading *reading, zm_str key)
{
  g_autofree char *shown = zm_printable ((ZmSpan){ key.data, key.size }, 100);

  g_set_error (&reading->error, ZM_ERROR, ZM_ERROR_IO,
               "what the store says of queue '%s' cannot be read: run 'zmanagerctl store check'", shown);
  return 1;
}

static int
take_document (void *user, zm_str key, zm_str value)
{
  Reading *reading = user;
  struct ZmQueuesPrivate *p = reading->queues->p;
  const guint8 *data = (const guint8 *) value.data;
  const char *nul = key.size > 0 ? memchr (key.data, '\0', key.size) : NULL;
  guint64 number;
  g_autofree char *copy = NULL;
  ZmQueue *queue;

  if (nul == NULL || nul == key.data + key.size - 1 || value.size < DOCUMENT_HEAD)
    return damaged (reading, key);
  number = zm_read_be64 (data);
  if (number == 0 || number > ZM_STORE_QUEUE_MOST || g_hash_table_contains (p->by_number, &number))
    return damaged (reading, key);
  copy = g_malloc (key.size + 1);
  memcpy (copy, key.data, key.size);
  copy[key.size] = '\0';
  queue = zm_queue_new (reading->queues, g_steal_pointer (&copy), key.size, number);
  queue->created_us = (gint64) zm_read_be64 (data + 8);
  queue->options.kind = data[16] == ZM_QUEUE_LATEST ? ZM_QUEUE_LATEST : ZM_QUEUE_FIFO;
  g_free (queue->metadata);
  queue->metadata = g_strndup ((const char *) data + DOCUMENT_HEAD, value.size - DOCUMENT_HEAD);
  queue->stored = TRUE;
  p->next_number = MAX (p->next_number, number % ZM_STORE_QUEUE_MOST + 1);
  zm_queues_keep (queue);
  zm_queue_unref (queue);
  return 0;
}

gboolean
zm_queues_read (ZmQueues *queues, GError **error)
{
  Reading reading = { queues, NULL };
  ZmSpan all = { NULL, 0 };
  gboolean done;

  zm_queues_tables (queues);
  done = zm_store_documents (queues->config.store, NULL, ZM_SPACE_QUEUES, all, all, 0, take_document,
                             &reading, error);
  if (reading.error != NULL) {
    g_clear_error (error);
    g_propagate_error (error, reading.error);
    return FALSE;
  }
  return done;
}
