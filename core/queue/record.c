/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Records: what is put, made once into the bytes that the store gets, and shared from then on. */
#include "config.h"

#include "queue/queue-private.h"
#include "queue/queue-record.h"

#include <string.h>

static ZmRecord *
new_record (gsize size)
{
  ZmRecord *record = g_new0 (ZmRecord, 1);

  record->refs = 1;
  record->size = record->room = size;
  record->data = g_malloc (MAX (size, 1));
  return record;
}

static ZmSpan
bytes_of (const ZmRecord *record)
{
  return zm_span ((const char *) record->data, record->size);
}

ZmRecord *
zm_record_new (const ZmPut *put)
{
  ZmQueueRecord parts = { .key = put->key,
                          .id = put->id,
                          .client = put->client,
                          .topic = put->topic,
                          .headers = put->headers,
                          .body = put->body };
  gsize size;
  ZmRecord *record;

  /* Callers check; what is over the form's bounds all the same is left out rather than cut. */
  if (parts.id.size > ZM_QUEUE_ID_MOST)
    parts.id = zm_span (NULL, 0);
  if (parts.client.size != ZM_QUEUE_RECORD_CLIENT)
    parts.client = zm_span (NULL, 0);
  size = zm_queue_record_size (&parts, NULL);
  record = new_record (size);
  (void) zm_queue_record_write (&parts, NULL, 0, 0, record->data, NULL);
  record->tag = (parts.id.size > 0 ? ZM_TAG_ID : 0) | (parts.key.size > 0 ? ZM_TAG_KEY : 0);
  return record;
}

void
zm_record_parts (const ZmRecord *record, ZmPut *put)
{
  ZmQueueRecord parts;

  memset (put, 0, sizeof *put);
  put->ttl_s = put->delay_s = -1;
  if (!zm_queue_record_read (bytes_of (record), NULL, record->queue, record->seq, NULL, &parts, NULL))
    return;
  put->body = parts.body;
  put->headers = parts.headers;
  put->topic = parts.topic;
  put->key = parts.key;
  put->id = parts.id;
  put->client = parts.client;
}

/* In place where it stays in the clear, else into other bytes. */
static gboolean
write_again (ZmRecord *record, const ZmQueueRecord *parts, const ZmCipher *cipher, GError **error)
{
  gsize size = zm_queue_record_size (parts, cipher);
  g_autofree guint8 *data = NULL;

  if (cipher == NULL) {
    zm_queue_record_set_times (record->data, parts);
    return TRUE;
  }
  data = g_malloc (size);
  if (!zm_queue_record_write (parts, cipher, record->queue, record->seq, data, error))
    return FALSE;
  g_free (record->data);
  record->data = g_steal_pointer (&data);
  record->size = record->room = size;
  return TRUE;
}

gboolean
zm_record_seal (ZmRecord *record, const ZmCipher *cipher, guint64 queue, guint64 seq, gint64 created_us,
                gint64 ttl_s, gint64 due_us, GError **error)
{
  ZmQueueRecord parts;
  /* Its time runs while it is delayed too, as Zaqar's. */
  gboolean ends = ttl_s >= 0 && ttl_s < (G_MAXINT64 - created_us) / G_USEC_PER_SEC;

  if (!zm_queue_record_read (bytes_of (record), NULL, queue, seq, NULL, &parts, error))
    return FALSE;
  parts.created_us = created_us;
  parts.due_us = due_us;
  parts.ttl_s = ttl_s;
  record->queue = queue;
  record->seq = seq;
  record->expires_us = ends ? created_us + ttl_s * G_USEC_PER_SEC : G_MAXINT64;
  record->tag = (record->tag & (ZM_TAG_ID | ZM_TAG_KEY)) | (due_us > 0 ? zm_time_of (due_us) : 0);
  return write_again (record, &parts, cipher, error);
}

ZmRecord *
zm_record_of (const zm_store_record *stored)
{
  ZmRecord *record = new_record (stored->data.size);

  record->queue = stored->queue;
  record->seq = stored->seq;
  record->expires_us = stored->expires_us;
  record->tag = stored->tag;
  if (stored->data.size > 0)
    memcpy (record->data, stored->data.data, stored->data.size);
  return record;
}

ZmRecord *
zm_record_ref (ZmRecord *record)
{
  __atomic_fetch_add (&record->refs, 1, __ATOMIC_RELAXED);
  return record;
}

void
zm_record_unref (ZmRecord *record)
{
  if (record == NULL || __atomic_fetch_sub (&record->refs, 1, __ATOMIC_ACQ_REL) != 1)
    return;
  g_free (record->data);
  g_free (record);
}

gboolean
zm_record_unpack (const ZmRecord *record, const ZmCipher *cipher, GByteArray *plain, ZmStored *stored,
                  GError **error)
{
  ZmQueueRecord parts;

  memset (stored, 0, sizeof *stored);
  if (!zm_queue_record_read (bytes_of (record), cipher, record->queue, record->seq, plain, &parts, error))
    return FALSE;
  zm_queue_id_make (record->queue, record->seq, parts.created_us, stored->id);
  stored->seq = record->seq;
  stored->created_us = parts.created_us;
  stored->expires_us = record->expires_us;
  stored->due_us = parts.due_us;
  stored->ttl_s = parts.ttl_s;
  stored->body = parts.body;
  stored->headers = parts.headers;
  stored->topic = parts.topic;
  stored->key = parts.key;
  stored->sender_id = parts.id;
  stored->client = parts.client;
  return TRUE;
}
