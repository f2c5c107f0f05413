/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads and writes messages as the store has them; the form is told in queue-record.h. */
#include "config.h"

#include "queue/queue-record.h"

#include <string.h>

#define FORM       1
#define FLAGS      1 /* place of the flags */
#define ENCRYPTED  1 /* the only flag */
#define OPEN_BYTES 2 /* version and flags are never sealed */
#define N_PARTS    6
#define BOUND_SIZE (OPEN_BYTES + 16)

static guint8 *
put_u64 (guint8 *out, guint64 value)
{
  value = GUINT64_TO_LE (value);
  memcpy (out, &value, sizeof value);
  return out + sizeof value;
}

static guint8 *
put_u32 (guint8 *out, gsize value)
{
  guint32 little = GUINT32_TO_LE ((guint32) value);

  memcpy (out, &little, sizeof little);
  return out + sizeof little;
}

static guint64
get_u64 (const guint8 *from)
{
  guint64 value;

  memcpy (&value, from, sizeof value);
  return GUINT64_FROM_LE (value);
}

static guint32
get_u32 (const guint8 *from)
{
  guint32 value;

  memcpy (&value, from, sizeof value);
  return GUINT32_FROM_LE (value);
}

static gsize
plain_size (const ZmQueueRecord *record)
{
  gsize sum = ZM_QUEUE_RECORD_HEAD + record->id.size + record->client.size;
  const ZmSpan large[] = { record->key, record->topic, record->headers, record->body };

  if (record->id.size > G_MAXUINT8)
    return 0;
  if (record->client.size != 0 && record->client.size != ZM_QUEUE_RECORD_CLIENT)
    return 0;
  for (guint i = 0; i < G_N_ELEMENTS (large); i++) {
    if (large[i].size > G_MAXINT32)
      return 0;
    sum += large[i].size;
  }
  return sum;
}

gsize
zm_queue_record_size (const ZmQueueRecord *record, const ZmCipher *cipher)
{
  gsize size = plain_size (record);

  return size == 0 || cipher == NULL ? size : size + ZM_CIPHER_EXTRA;
}

static void
write_plain (const ZmQueueRecord *record, guint8 *out)
{
  const ZmSpan parts[N_PARTS] = { record->key,   record->id,      record->client,
                                  record->topic, record->headers, record->body };

  *out++ = FORM;
  *out++ = 0;
  out = put_u64 (out, (guint64) record->created_us);
  out = put_u64 (out, (guint64) record->due_us);
  out = put_u64 (out, (guint64) record->ttl_s);
  out = put_u32 (out, record->key.size);
  out = put_u32 (out, record->topic.size);
  out = put_u32 (out, record->headers.size);
  out = put_u32 (out, record->body.size);
  *out++ = (guint8) record->id.size;
  *out++ = (guint8) record->client.size;
  for (guint i = 0; i < N_PARTS; i++) {
    if (parts[i].size > 0)
      memcpy (out, parts[i].data, parts[i].size);
    out += parts[i].size;
  }
}

void
zm_queue_record_set_times (guint8 *data, const ZmQueueRecord *record)
{
  data = put_u64 (data + OPEN_BYTES, (guint64) record->created_us);
  data = put_u64 (data, (guint64) record->due_us);
  put_u64 (data, (guint64) record->ttl_s);
}

/* What a sealed record is bound to: its place, and the two bytes that stand before it in the clear. */
static ZmSpan
bind_to (guint8 bound[BOUND_SIZE], guint64 queue, guint64 seq)
{
  bound[0] = FORM;
  bound[FLAGS] = ENCRYPTED;
  put_u64 (put_u64 (bound + OPEN_BYTES, queue), seq);
  return zm_span ((const char *) bound, BOUND_SIZE);
}

gboolean
zm_queue_record_write (const ZmQueueRecord *record, const ZmCipher *cipher, guint64 queue, guint64 seq,
                       guint8 *out, GError **error)
{
  guint8 bound[BOUND_SIZE];
  gsize size = plain_size (record);
  g_autofree guint8 *plain = NULL;

  if (cipher == NULL) {
    write_plain (record, out);
    return TRUE;
  }
  plain = g_malloc (size);
  write_plain (record, plain);
  out[0] = FORM;
  out[FLAGS] = ENCRYPTED;
  return zm_cipher_seal (cipher, bind_to (bound, queue, seq), plain + OPEN_BYTES, size - OPEN_BYTES,
                         out + OPEN_BYTES, error);
}

/* ---- reading ---- */

static gboolean
refuse (GError **error, guint64 queue, guint64 seq, const char *why)
{
  g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID,
               "message %" G_GUINT64_FORMAT " of queue number %" G_GUINT64_FORMAT
               " is damaged (%s); it is not delivered, and `zmanagerctl store check` tells more",
               seq, queue, why);
  return FALSE;
}

/* The next `size` bytes, which are known to be there. */
static ZmSpan
cut (const guint8 **at, gsize size)
{
  ZmSpan part = zm_span ((const char *) *at, size);

  *at += size;
  return part;
}

/* NULL, or what is wrong. data begins behind the two open bytes. */
static const char *
read_plain (const guint8 *data, gsize size, ZmQueueRecord *record)
{
  const guint8 *at = data + ZM_QUEUE_RECORD_HEAD - OPEN_BYTES;
  guint64 key, topic, headers, body, id, client;

  if (size < ZM_QUEUE_RECORD_HEAD - OPEN_BYTES)
    return "too short";
  record->created_us = (gint64) get_u64 (data);
  record->due_us = (gint64) get_u64 (data + 8);
  record->ttl_s = (gint64) get_u64 (data + 16);
  key = get_u32 (data + 24);
  topic = get_u32 (data + 28);
  headers = get_u32 (data + 32);
  body = get_u32 (data + 36);
  id = data[40];
  client = data[41];
  /* Six numbers below 2^32 do not overflow the sum. */
  if (key + topic + headers + body + id + client != size - (ZM_QUEUE_RECORD_HEAD - OPEN_BYTES))
    return "its lengths do not add up";
  if (client != 0 && client != ZM_QUEUE_RECORD_CLIENT)
    return "a client's id of a wrong length";
  if (record->created_us < 0 || record->due_us < 0 || record->ttl_s < -1)
    return "a time below zero";
  record->key = cut (&at, key);
  record->id = cut (&at, id);
  record->client = cut (&at, client);
  record->topic = cut (&at, topic);
  record->headers = cut (&at, headers);
  record->body = cut (&at, body);
  return NULL;
}

gboolean
zm_queue_record_sealed (ZmSpan data)
{
  return data.size >= OPEN_BYTES && data.data[0] == FORM && data.data[FLAGS] == ENCRYPTED;
}

static gboolean
open_sealed (ZmSpan data, const ZmCipher *cipher, guint64 queue, guint64 seq, GByteArray *plain,
             GError **error)
{
  guint8 bound[BOUND_SIZE];

  if (cipher == NULL) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_UNAVAILABLE,
                 "message %" G_GUINT64_FORMAT " of queue number %" G_GUINT64_FORMAT
                 " is encrypted and the queue has no key: set encrypt= in its section, or key= in [store]",
                 seq, queue);
    return FALSE;
  }
  if (data.size < OPEN_BYTES + ZM_CIPHER_EXTRA + ZM_QUEUE_RECORD_HEAD - OPEN_BYTES)
    return refuse (error, queue, seq, "too short");
  g_byte_array_set_size (plain, (guint) (data.size - OPEN_BYTES - ZM_CIPHER_EXTRA));
  if (zm_cipher_open (cipher, bind_to (bound, queue, seq), (const guint8 *) data.data + OPEN_BYTES,
                      data.size - OPEN_BYTES, plain->data, error))
    return TRUE;
  g_byte_array_set_size (plain, 0);
  g_prefix_error (error, "message %" G_GUINT64_FORMAT " of queue number %" G_GUINT64_FORMAT ": ", seq, queue);
  return FALSE;
}

gboolean
zm_queue_record_read (ZmSpan data, const ZmCipher *cipher, guint64 queue, guint64 seq, GByteArray *plain,
                      ZmQueueRecord *record, GError **error)
{
  const guint8 *inside;
  gsize size;
  const char *wrong;

  /* Nothing that was put is larger than a GByteArray may be. */
  if (data.size < OPEN_BYTES || data.size > G_MAXINT32)
    return refuse (error, queue, seq, "of a wrong size");
  if (data.data[0] != FORM)
    return refuse (error, queue, seq, "of a form that this version does not know");
  if ((data.data[FLAGS] & ~ENCRYPTED) != 0)
    return refuse (error, queue, seq, "with a flag that this version does not know");
  inside = (const guint8 *) data.data + OPEN_BYTES;
  size = data.size - OPEN_BYTES;
  if (zm_queue_record_sealed (data)) {
    if (!open_sealed (data, cipher, queue, seq, plain, error))
      return FALSE;
    inside = plain->data;
    size = plain->len;
  }
  wrong = read_plain (inside, size, record);
  return wrong == NULL || refuse (error, queue, seq, wrong);
}
