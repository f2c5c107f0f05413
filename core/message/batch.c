/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The sender's side of the batch envelope. */
#include "config.h"

#include "message/zm-message.h"

#define BATCH_BYTES_MOST (1u << 30) /* of one envelope: below what a GByteArray's length holds */

struct ZmBatch {
  GByteArray *bytes; /* the envelope's body as it grows */
  guint parts;       /* ZM_BATCH_PARTS_MOST at most */
};

ZmBatch *
zm_batch_new (void)
{
  ZmBatch *batch = g_new0 (ZmBatch, 1);

  batch->bytes = g_byte_array_new ();
  return batch;
}

void
zm_batch_free (ZmBatch *batch)
{
  if (batch == NULL)
    return;
  g_byte_array_unref (batch->bytes);
  g_free (batch);
}

/* Four bytes of size, big-endian, and the bytes; what take_sized in wire.c takes off again. */
static void
append_sized (GByteArray *bytes, ZmSpan span)
{
  guint32 size = GUINT32_TO_BE ((guint32) span.size);

  g_byte_array_append (bytes, (const guint8 *) &size, sizeof size);
  if (span.size > 0)
    g_byte_array_append (bytes, (const guint8 *) span.data, (guint) span.size);
}

gboolean
zm_batch_add (ZmBatch *batch, ZmSpan topic, ZmSpan headers, ZmSpan body)
{
  gsize room = BATCH_BYTES_MOST - batch->bytes->len;

  if (batch->parts >= ZM_BATCH_PARTS_MOST)
    return FALSE;
  /* One after the other, so that no sum can overflow. */
  if (room < 12 || topic.size > room - 12 || headers.size > room - 12 - topic.size ||
      body.size > room - 12 - topic.size - headers.size)
    return FALSE;
  append_sized (batch->bytes, topic);
  append_sized (batch->bytes, headers);
  append_sized (batch->bytes, body);
  batch->parts++;
  return TRUE;
}

guint
zm_batch_count (const ZmBatch *batch)
{
  return batch->parts;
}

/* GByteArray hands its memory over, so a large batch is not copied; a new array takes its place. */
GBytes *
zm_batch_steal (ZmBatch *batch)
{
  GByteArray *bytes = g_steal_pointer (&batch->bytes);

  batch->bytes = g_byte_array_new ();
  batch->parts = 0;
  return g_byte_array_free_to_bytes (bytes);
}
