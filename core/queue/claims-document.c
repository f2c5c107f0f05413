/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A claim's document. Key: the queue's number and the claim's id, 8 + 16 bytes. Value, numbers little-endian:
 *
 *   0 version (1)   1 released (1)   2 since_us 8   10 ttl_s 8   18 grace_s 8   26 number of messages 4
 *   30 of each: seq 8, count 4, expires_us 8 (0: its own), ttl_s 8
 */
#include "config.h"

#include "queue/claims.h"

#include <string.h>

#define FORM       1
#define HEAD_SIZE  30
#define ENTRY_SIZE 28

static guint8 *
put (guint8 *out, guint64 value, gsize size)
{
  value = GUINT64_TO_LE (value);
  memcpy (out, &value, size);
  return out + size;
}

static guint64
get (const guint8 *from, gsize size)
{
  guint64 value = 0;

  memcpy (&value, from, size);
  return GUINT64_FROM_LE (value);
}

void
zm_claim_document_write (ZmQueue *queue, ZmStoreWriter *writer, const ZmClaimDocument *document,
                         const ZmClaimEntry *entries)
{
  gsize size = HEAD_SIZE + (gsize) document->n * ENTRY_SIZE;
  guint8 *value = zm_store_alloc (writer, size), *at = value;
  zm_store_op op = { .kind = ZM_STORE_PUT,
                     .space = zm_str_of (ZM_SPAN_LITERAL (ZM_SPACE_CLAIMS)),
                     .key = zm_queue_doc_key (queue, writer, document->key, 2),
                     .data = { (const char *) value, size } };

  *at++ = FORM;
  *at++ = document->released ? 1 : 0;
  at = put (at, (guint64) document->since_us, 8);
  at = put (at, (guint64) document->ttl_s, 8);
  at = put (at, (guint64) document->grace_s, 8);
  at = put (at, document->n, 4);
  for (guint i = 0; i < document->n; i++) {
    at = put (at, entries[i].seq, 8);
    at = put (at, entries[i].count, 4);
    at = put (at, (guint64) entries[i].expires_us, 8);
    at = put (at, (guint64) entries[i].ttl_s, 8);
  }
  zm_queue_op (queue, writer, &op);
}

void
zm_claim_document_delete (ZmQueue *queue, ZmStoreWriter *writer, const guint64 *key)
{
  zm_store_op op = { .kind = ZM_STORE_DELETE,
                     .space = zm_str_of (ZM_SPAN_LITERAL (ZM_SPACE_CLAIMS)),
                     .key = zm_queue_doc_key (queue, writer, key, 2) };

  zm_queue_op (queue, writer, &op);
}

gboolean
zm_claim_document_read (zm_str key, zm_str value, ZmClaimDocument *document)
{
  const guint8 *at = (const guint8 *) value.data;

  if (key.size != 24 || value.size < HEAD_SIZE || at[0] != FORM || at[1] > 1)
    return FALSE;
  memcpy (document->key, key.data + 8, 16);
  document->key[0] = GUINT64_FROM_BE (document->key[0]);
  document->key[1] = GUINT64_FROM_BE (document->key[1]);
  document->released = at[1] == 1;
  document->since_us = (gint64) get (at + 2, 8);
  document->ttl_s = (gint64) get (at + 10, 8);
  document->grace_s = (gint64) get (at + 18, 8);
  document->n = (guint) get (at + 26, 4);
  return document->since_us >= 0 && document->ttl_s >= 0 && document->ttl_s <= G_MAXINT32 &&
         document->grace_s >= 0 && document->grace_s <= G_MAXINT32 &&
         value.size - HEAD_SIZE == (gsize) document->n * ENTRY_SIZE;
}

void
zm_claim_document_entry (zm_str value, guint i, ZmClaimEntry *entry)
{
  const guint8 *at = (const guint8 *) value.data + HEAD_SIZE + (gsize) i * ENTRY_SIZE;

  entry->seq = get (at, 8);
  entry->count = (guint) get (at + 8, 4);
  entry->expires_us = (gint64) get (at + 12, 8);
  entry->ttl_s = (gint64) get (at + 20, 8);
}

void
zm_claim_entry_extend (ZmClaimEntry *entry, gint64 expires_us, gint64 now_us, gint64 life_s)
{
  gint64 least_us = now_us + life_s * G_USEC_PER_SEC;

  if (expires_us >= least_us)
    return;
  entry->expires_us = least_us;
  entry->ttl_s = life_s;
}

/* ---- documents that have no message any more ---- */

gboolean
zm_claims_sweep_in (ZmQueue *queue, ZmStoreWriter *writer, guint most)
{
  ZmClaims *claims = queue->claims;

  if (claims == NULL || claims->sweeping > 0)
    return FALSE;
  claims->sweeping = MIN (claims->stale->len, most);
  for (guint i = 0; i < claims->sweeping; i++)
    zm_claim_document_delete (queue, writer, (const guint64 *) claims->stale->data + 2 * i);
  return claims->sweeping > 0;
}

void
zm_claims_swept (ZmQueue *queue, gboolean ok)
{
  ZmClaims *claims = queue->claims;

  /* A purge may have come between. */
  if (claims == NULL || claims->sweeping == 0)
    return;
  if (ok)
    g_array_remove_range (claims->stale, 0, MIN (claims->sweeping, claims->stale->len));
  else
    claims->stale_us = claims->now_us;
  claims->sweeping = 0;
}
