/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Ids of messages: UUIDs of version 8 that hold a place, so that no index of ids is needed: 48 bits of milliseconds since
 * 1970, the queue's number (12 of its 20 bits before the variant, 8 behind it), 43 bits of the sequence number, and 11 bits
 * of a sum over all of these, by which nearly all ids that are not ours are known. Those of one queue sort as they were made.
 */
#include "config.h"

#include "queue/queue-private.h"

#include <string.h>

#define SUM_BITS 11

static guint64
sum_of (guint64 ms, guint64 queue, guint64 seq)
{
  guint64 hash = ms * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);

  hash = (hash ^ hash >> 29 ^ queue) * G_GUINT64_CONSTANT (0xbf58476d1ce4e5b9);
  hash = (hash ^ hash >> 32 ^ seq) * G_GUINT64_CONSTANT (0x94d049bb133111eb);
  return hash >> (64 - SUM_BITS);
}

void
zm_queue_id_make (guint64 queue, guint64 seq, gint64 created_us, char out[ZM_UUID_SIZE + 1])
{
  guint64 ms = (guint64) MAX (created_us, 0) / 1000 & G_GUINT64_CONSTANT (0xffffffffffff);
  guint64 high = ms << 16 | 0x8000 | (queue >> 8 & 0xfff);
  guint64 low =
      G_GUINT64_CONSTANT (1) << 63 | (queue & 0xff) << 54 | seq << SUM_BITS | sum_of (ms, queue, seq);
  char *at = out;

  for (guint digit = 0; digit < 32; digit++) {
    if (digit == 8 || digit == 12 || digit == 16 || digit == 20)
      *at++ = '-';
    *at++ = "0123456789abcdef"[(digit < 16 ? high >> (60 - 4 * digit) : low >> (124 - 4 * digit)) & 15];
  }
  *at = '\0';
}

/* Both halves of an id's text, with the dashes where they belong or with none; upper case is the same. */
static gboolean
read_hex (ZmSpan id, guint64 halves[2])
{
  guint digits = 0;

  if (id.size != ZM_UUID_SIZE)
    return FALSE;
  for (gsize i = 0; i < id.size; i++) {
    gboolean dash = i == 8 || i == 13 || i == 18 || i == 23;
    int digit = g_ascii_xdigit_value (id.data[i]);

    if (dash != (id.data[i] == '-') || (!dash && digit < 0))
      return FALSE;
    if (!dash) {
      halves[digits / 16] = halves[digits / 16] << 4 | (guint64) digit;
      digits++;
    }
  }
  return TRUE;
}

gboolean
zm_queue_id_read (ZmSpan id, guint64 *queue, guint64 *seq)
{
  guint64 halves[2] = { 0, 0 };
  guint64 number, place;

  if (!read_hex (id, halves) || (halves[0] >> 12 & 15) != 8 || halves[1] >> 62 != 2)
    return FALSE;
  number = (halves[0] & 0xfff) << 8 | (halves[1] >> 54 & 0xff);
  place = halves[1] >> SUM_BITS & ZM_STORE_SEQ_MOST;
  if (number == 0 || place == 0 ||
      (halves[1] & ((1 << SUM_BITS) - 1)) != sum_of (halves[0] >> 16, number, place))
    return FALSE;
  *queue = number;
  *seq = place;
  return TRUE;
}

guint64
zm_queue_seq_of (const ZmQueue *queue, ZmSpan id)
{
  guint64 number, seq;

  return zm_queue_id_read (id, &number, &seq) && number == queue->number ? seq : 0;
}
