/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is known of claims, in memory; how they are stored is told in claims.h. */
#include "config.h"

#include "queue/claims.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#define STALE_WAIT_US G_USEC_PER_SEC /* so that one unit removes what became stale within it */
#define STALE_MOST    1000           /* then it does not wait */

/* ---- one claim ---- */

static void
write_id (ZmClaim *claim)
{
  const guint64 *k = claim->key;

  g_snprintf (claim->id, sizeof claim->id, "%08x-%04x-%04x-%04x-%04x%08x", (guint) (k[0] >> 32),
              (guint) (k[0] >> 16 & 0xffff), (guint) (k[0] & 0xffff), (guint) (k[1] >> 48),
              (guint) (k[1] >> 32 & 0xffff), (guint) (k[1] & 0xffffffff));
}

/* A random UUID, version 4: whoever knows it may acknowledge, so that it must not be guessed. */
static void
make_key (guint64 key[2])
{
  ssize_t n;

  do
    n = getrandom (key, 2 * sizeof *key, 0);
  while (n < 0 && errno == EINTR);
  if (n != 2 * sizeof *key) {
    /* No kernel that the rest runs on is without it. */
    key[0] = (guint64) g_random_int () << 32 | g_random_int ();
    key[1] = (guint64) g_random_int () << 32 | g_random_int ();
  }
  key[0] = (key[0] & ~G_GUINT64_CONSTANT (0xf000)) | 0x4000;
  key[1] = (key[1] & (G_MAXUINT64 >> 2)) | G_GUINT64_CONSTANT (1) << 63;
}

ZmClaim *
zm_claim_new (const guint64 *id, guint n)
{
  ZmClaim *claim = g_new0 (ZmClaim, 1);

  if (id != NULL)
    memcpy (claim->key, id, sizeof claim->key);
  else
    make_key (claim->key);
  write_id (claim);
  claim->seqs = g_new (guint64, MAX (n, 1));
  return claim;
}

void
zm_claim_free (ZmClaim *claim)
{
  g_free (claim->seqs);
  g_free (claim);
}

gint64
zm_claim_ends_us (const ZmClaim *claim)
{
  return claim->since_us + claim->ttl_s * G_USEC_PER_SEC;
}

/* ---- tables ---- */

ZmClaims *
zm_claims_of_queue (ZmQueue *queue)
{
  ZmClaims *claims = queue->claims;

  if (claims != NULL)
    return claims;
  claims = queue->claims = g_new0 (ZmClaims, 1);
  claims->held = g_hash_table_new_full (g_int64_hash, g_int64_equal, NULL, g_free);
  claims->by_id = g_hash_table_new (g_str_hash, g_str_equal);
  claims->serial = g_hash_table_new_full (g_int64_hash, g_int64_equal, NULL, (GDestroyNotify) zm_claim_free);
  claims->stale = g_array_new (FALSE, FALSE, 2 * sizeof (guint64));
  g_queue_init (&claims->over);
  return claims;
}

void
zm_claims_free (ZmClaims *claims)
{
  if (claims == NULL)
    return;
  g_hash_table_unref (claims->held);
  g_hash_table_unref (claims->by_id);
  g_hash_table_unref (claims->serial);
  g_array_unref (claims->stale);
  zm_heap_clear (&claims->ends);
  g_free (claims);
}

void
zm_claims_clear (ZmQueue *queue)
{
  g_clear_pointer (&queue->claims, zm_claims_free);
}

ZmHeld *
zm_claims_held (const ZmQueue *queue, guint64 seq)
{
  return queue->claims != NULL ? g_hash_table_lookup (queue->claims->held, &seq) : NULL;
}

ZmClaim *
zm_claims_find (const ZmQueue *queue, const char *id)
{
  return queue->claims != NULL ? g_hash_table_lookup (queue->claims->by_id, id) : NULL;
}

ZmClaim *
zm_claims_get (const ZmQueue *queue, ZmSpan id, gint64 now_us)
{
  char text[ZM_UUID_SIZE + 1] = "";
  ZmClaim *claim;

  if (id.size != ZM_UUID_SIZE)
    return NULL;
  for (guint i = 0; i < ZM_UUID_SIZE; i++)
    text[i] = g_ascii_tolower (id.data[i]);
  claim = zm_claims_find (queue, text);
  return claim != NULL && !claim->releasing && zm_claim_ends_us (claim) > now_us ? claim : NULL;
}

void
zm_claim_enter (ZmQueue *queue, ZmClaim *claim)
{
  ZmClaims *claims = zm_claims_of_queue (queue);

  claim->serial = ++claims->next_serial;
  claim->planned_us = G_MAXINT64;
  claim->link.data = claim;
  g_hash_table_insert (claims->serial, &claim->serial, claim);
  if (claim->over) {
    g_queue_push_tail_link (&claims->over, &claim->link);
    return;
  }
  g_hash_table_insert (claims->by_id, claim->id, claim);
  zm_claim_plan (queue, claim);
}

/* One entry of the heap is enough: where the end moves away it is planned again when that time has come. */
void
zm_claim_plan (ZmQueue *queue, ZmClaim *claim)
{
  gint64 at_us = zm_claim_ends_us (claim);

  if (at_us < claim->planned_us) {
    zm_heap_push (&queue->claims->ends, at_us, claim->serial);
    claim->planned_us = at_us;
  }
  zm_queue_plan (queue, at_us);
}

static void
mark_stale (ZmQueue *queue, const ZmClaim *claim)
{
  ZmClaims *claims = queue->claims;

  if (claim->deleting)
    return;
  if (claims->stale->len == 0)
    claims->stale_us = claims->now_us;
  g_array_append_vals (claims->stale, claim->key, 1);
  zm_queue_plan (queue, claims->stale_us + STALE_WAIT_US);
}

void
zm_claim_drop (ZmQueue *queue, ZmClaim *claim)
{
  mark_stale (queue, claim);
  if (claim->over)
    g_queue_unlink (&queue->claims->over, &claim->link);
  else
    g_hash_table_remove (queue->claims->by_id, claim->id);
  g_hash_table_remove (queue->claims->serial, &claim->serial);
}

/* Its message is no longer this claim's. */
static void
let_go (ZmQueue *queue, ZmClaim *claim)
{
  if (!claim->over)
    queue->claims->claimed--;
  claim->live--;
  if (claim->live == 0 && claim->busy == 0)
    zm_claim_drop (queue, claim);
}

ZmHeld *
zm_claim_hold (ZmQueue *queue, ZmClaim *claim, guint64 seq)
{
  ZmClaims *claims = queue->claims;
  ZmHeld *held = g_hash_table_lookup (claims->held, &seq);

  if (held == NULL) {
    held = g_new0 (ZmHeld, 1);
    held->seq = seq;
    g_hash_table_insert (claims->held, &held->seq, held);
  } else {
    let_go (queue, held->claim);
  }
  held->claim = claim;
  claim->seqs[claim->n++] = seq;
  claim->live++;
  if (!claim->over)
    claims->claimed++;
  return held;
}

/* Counts are kept of as many messages as may be claimed; over that the oldest ones begin anew. */
static void
forget_oldest (ZmQueue *queue)
{
  ZmClaims *claims = queue->claims;

  while (g_hash_table_size (claims->held) > ZM_QUEUE_CLAIMED_MOST && !g_queue_is_empty (&claims->over)) {
    ZmClaim *claim = g_queue_peek_head (&claims->over);

    if (claim->busy > 0)
      return;

    zm_log_limited (queue->queues->config.log, ZM_LEVEL_WARNING, ZM_QUEUE_ROOM, "claim counts forgotten",
                    "queue %s: more than %d messages were claimed and given back: how often the oldest %u of "
                    "them were is forgotten",
                    queue->name, ZM_QUEUE_CLAIMED_MOST, claim->live);
    for (guint i = 0; i < claim->n; i++) {
      ZmHeld *held = g_hash_table_lookup (claims->held, &claim->seqs[i]);

      if (held != NULL && held->claim == claim)
        g_hash_table_remove (claims->held, &claim->seqs[i]);
    }
    zm_claim_drop (queue, claim);
  }
}

void
zm_claim_end (ZmQueue *queue, ZmClaim *claim)
{
  ZmClaims *claims = queue->claims;

  for (guint i = 0; i < claim->n; i++) {
    ZmHeld *held = g_hash_table_lookup (claims->held, &claim->seqs[i]);

    if (held == NULL || held->claim != claim)
      continue;
    claims->claimed--;
    zm_index_give (&queue->index, held->seq);
  }
  claim->over = TRUE;
  claim->releasing = FALSE;
  g_hash_table_remove (claims->by_id, claim->id);
  g_queue_push_tail_link (&claims->over, &claim->link);
  forget_oldest (queue);
}

void
zm_claim_unbusy (ZmQueue *queue, ZmClaim *claim)
{
  claim->busy--;
  if (claim->busy == 0 && claim->live == 0)
    zm_claim_drop (queue, claim);
}

void
zm_held_extend (ZmQueue *queue, ZmHeld *held, gint64 expires_us, gint64 ttl_s)
{
  if (expires_us == 0)
    return;
  held->expires_us = expires_us;
  held->ttl_s = ttl_s;
  zm_index_set_expiry (&queue->index, held->seq, zm_time_of (expires_us));
}

/* ---- what the rest of the room asks ---- */

gboolean
zm_claims_tick (ZmQueue *queue, gint64 now_us)
{
  ZmClaims *claims = queue->claims;
  const ZmHeapEntry *first;
  gboolean some = FALSE;
  GArray *later = NULL;

  if (claims != NULL)
    claims->now_us = now_us;
  while (claims != NULL && (first = zm_heap_first (&claims->ends)) != NULL && first->at <= now_us) {
    ZmHeapEntry entry = *first;
    ZmClaim *claim = g_hash_table_lookup (claims->serial, &entry.what);

    zm_heap_pop (&claims->ends);
    if (claim == NULL || claim->over || claim->planned_us != entry.at)
      continue;
    claim->planned_us = G_MAXINT64;
    if (zm_claim_ends_us (claim) > now_us) {
      zm_claim_plan (queue, claim);
    } else if (claim->busy > 0) {
      if (later == NULL)
        later = g_array_new (FALSE, FALSE, sizeof claim);
      g_array_append_val (later, claim);
    } else {
      zm_claim_end (queue, claim);
      some = TRUE;
    }
  }
  for (guint i = 0; later != NULL && i < later->len; i++)
    zm_claim_plan (queue, g_array_index (later, ZmClaim *, i));
  if (later != NULL)
    g_array_unref (later);
  return some;
}

gint64
zm_claims_next (const ZmQueue *queue)
{
  const ZmClaims *claims = queue->claims;
  const ZmHeapEntry *first = claims != NULL ? zm_heap_first (&claims->ends) : NULL;
  gint64 at_us = first != NULL ? first->at : G_MAXINT64;

  if (claims == NULL || claims->stale->len == 0 || claims->sweeping > 0)
    return at_us;
  return MIN (at_us, claims->stale->len > STALE_MOST ? claims->stale_us : claims->stale_us + STALE_WAIT_US);
}

void
zm_claims_show (const ZmQueue *queue, guint64 seq, ZmSeen *seen)
{
  const ZmHeld *held = zm_claims_held (queue, seq);

  if (held == NULL)
    return;
  seen->claim_count = held->count;
  seen->ttl_s = held->ttl_s;
  seen->expires_us = held->expires_us;
  if (!held->claim->over)
    memcpy (seen->claim, held->claim->id, sizeof seen->claim);
}

guint64
zm_claims_claimed (const ZmQueue *queue)
{
  return queue->claims != NULL ? queue->claims->claimed : 0;
}

const char *
zm_claims_of (const ZmQueue *queue, guint64 seq)
{
  const ZmHeld *held = zm_claims_held (queue, seq);

  return held != NULL && !held->claim->over ? held->claim->id : NULL;
}

gboolean
zm_claims_known (const ZmQueue *queue, ZmSpan claim)
{
  return zm_claims_get (queue, claim, G_MININT64) != NULL;
}

void
zm_claims_remove_in (ZmQueue *queue, ZmStoreWriter *writer, guint64 seq)
{
  const ZmHeld *held = zm_claims_held (queue, seq);

  /* Of several that go at one time none is the last one: their document is swept. */
  if (held == NULL || held->claim->live != 1)
    return;
  zm_claim_document_delete (queue, writer, held->claim->key);
  held->claim->deleting = TRUE;
}

void
zm_claims_remain (ZmQueue *queue, guint64 seq)
{
  const ZmHeld *held = zm_claims_held (queue, seq);

  if (held != NULL)
    held->claim->deleting = FALSE;
}

void
zm_claims_removed (ZmQueue *queue, guint64 seq)
{
  ZmHeld *held = zm_claims_held (queue, seq);

  if (held == NULL)
    return;
  let_go (queue, held->claim);
  g_hash_table_remove (queue->claims->held, &seq);
}
