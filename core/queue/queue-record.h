/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A message as the store has it: a version and flags in two bytes, then fixed numbers, lengths and the parts one behind the
 * other; or, encrypted, a nonce, the same sealed, and the seal's tag. What is read may be anything: a damaged disk, or a file of
 * somebody else's.
 *
 *   0  version (1)      1  flags (1: encrypted)
 *   2  created_us  8    10 due_us 8    18 ttl_s 8       (little-endian, as all numbers here)
 *   26 bytes of key 4, topic 4, headers 4, body 4       42 of the sender's id 1, of the client 1 (0 or 16)
 *   44 key, id, client, topic, headers, body
 */
#pragma once

#include "base/zm-base.h"
#include "queue/queue-cipher.h"

G_BEGIN_DECLS

#define ZM_QUEUE_RECORD_HEAD   44
#define ZM_QUEUE_RECORD_CLIENT 16

/* Spans are borrowed from what was read. */
typedef struct ZmQueueRecord {
  gint64 created_us, due_us; /* wall time; due_us 0: at once */
  gint64 ttl_s;
  ZmSpan key, id, client, topic, headers, body;
} ZmQueueRecord;

/* How many bytes it takes; cipher NULL: plain. 0: a part is larger than the form can say (nothing that came through
 * zm_queue_put is). */
gsize zm_queue_record_size (const ZmQueueRecord *record, const ZmCipher *cipher);
/* Writes that many bytes at out. queue and seq are bound into what is sealed: in another place it does not open. FALSE (cipher
 * only): no random bytes, or the library refused. */
gboolean zm_queue_record_write (const ZmQueueRecord *record, const ZmCipher *cipher, guint64 queue,
                                guint64 seq, guint8 *out, GError **error);

/* Writes the times of record into a plain one that stands at data. */
void zm_queue_record_set_times (guint8 *data, const ZmQueueRecord *record);

/* Was it sealed? FALSE too for what is no record. */
gboolean zm_queue_record_sealed (ZmSpan data);
/* Reads. The parts point into data, or, where it was sealed, into plain, which is emptied first (NULL: only where cipher is
 * NULL). INVALID: damaged, of a later version, or sealed with another key; UNAVAILABLE: sealed, and there is no key. */
gboolean zm_queue_record_read (ZmSpan data, const ZmCipher *cipher, guint64 queue, guint64 seq,
                               GByteArray *plain, ZmQueueRecord *record, GError **error);

G_END_DECLS
