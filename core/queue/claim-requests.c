/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Claiming: the first messages that are free, all of them or those that there are. */
#include "config.h"

#include "queue/claims.h"

#include <string.h>

#define CLAIM_MOST 1000 /* messages of one claim */

typedef struct ClaimRequest {
  ZmRequest base;
  guint limit;
  gint64 ttl_s, grace_s;
  ZmClaim *claim;  /* NULL: nothing was free */
  GArray *entries; /* ZmClaimEntry */
  ZmDeadLetters dead;
} ClaimRequest;

/* What a claim makes of a message. */
static ZmClaimEntry
entry_of (const ClaimRequest *request, guint64 seq)
{
  ZmQueue *queue = request->base.queue;
  const ZmHeld *held = zm_claims_held (queue, seq);
  ZmClaimEntry entry = { .seq = seq, .count = 1 };

  if (held != NULL) {
    entry.count = held->count + 1;
    entry.expires_us = held->expires_us;
    entry.ttl_s = held->ttl_s;
  }
  zm_claim_entry_extend (&entry, zm_time_us (zm_index_expiry (&queue->index, seq)), request->base.now_us,
                         request->ttl_s + request->grace_s);
  return entry;
}

/* Takes what is free. What was claimed too often goes away instead, or stays where it cannot. */
static void
take_free (ClaimRequest *request, ZmStoreWriter *writer)
{
  ZmQueue *queue = request->base.queue;
  guint most_count = queue->options.max_claim_count;
  guint64 bytes = 0, from = 0;

  for (guint looked = 0; request->entries->len < request->limit && looked < ZM_QUEUE_STEP; looked++) {
    guint64 seq = zm_queue_first_free (queue, from, request->base.now_us);
    ZmClaimEntry entry;

    if (seq == 0)
      break;
    from = seq + 1;
    /* Dead letters are read and written in this unit, so that they count too. */
    bytes += zm_index_size (&queue->index, seq);
    if (looked > 0 && bytes > ZM_QUEUE_READ_MOST)
      break;
    entry = entry_of (request, seq);
    if (most_count > 0 && entry.count > most_count &&
        zm_dead_letters_in (&request->dead, queue, writer, seq, entry.count - 1, request->base.now_us))
      continue;
    zm_index_take (&queue->index, seq);
    /* Of an earlier claim it may be the last one. */
    zm_claims_remove_in (queue, writer, seq);
    g_array_append_val (request->entries, entry);
  }
}

static void
decide_claim (ZmRequest *base, ZmStoreWriter *writer)
{
  ClaimRequest *request = (ClaimRequest *) (void *) base;
  ZmClaimDocument document = { .since_us = base->now_us };

  if (base->queue == NULL)
    return;
  if (zm_claims_claimed (base->queue) + request->limit > ZM_QUEUE_CLAIMED_MOST) {
    zm_queue_request_fail (
        base, ZM_ERROR_LIMIT,
        "%d messages of queue '%s' are claimed, and no more can be: acknowledge or release some",
        ZM_QUEUE_CLAIMED_MOST, base->queue->name);
    return;
  }
  request->ttl_s = zm_claim_standard (request->ttl_s, base->queue->options.claim_ttl_s);
  request->grace_s = zm_claim_standard (request->grace_s, base->queue->options.claim_grace_s);
  request->entries = g_array_new (FALSE, FALSE, sizeof (ZmClaimEntry));
  take_free (request, writer);
  if (request->entries->len == 0)
    return;
  request->claim = zm_claim_new (NULL, request->entries->len);
  request->claim->since_us = base->now_us;
  request->claim->ttl_s = document.ttl_s = request->ttl_s;
  request->claim->grace_s = document.grace_s = request->grace_s;
  document.n = request->entries->len;
  memcpy (document.key, request->claim->key, sizeof document.key);
  zm_claim_document_write (base->queue, writer, &document,
                           (const ZmClaimEntry *) (void *) request->entries->data);
}

static void
commit_claim (ZmRequest *base)
{
  ClaimRequest *request = (ClaimRequest *) (void *) base;
  ZmClaim *claim = g_steal_pointer (&request->claim);

  if (base->queue != NULL)
    zm_dead_letters_commit (&request->dead, base->queue);
  if (claim == NULL)
    return;
  zm_claim_tell (base, claim);
  claim->busy = 1;
  zm_claim_enter (base->queue, claim);
  for (guint i = 0; i < request->entries->len; i++) {
    const ZmClaimEntry *entry = &g_array_index (request->entries, ZmClaimEntry, i);
    ZmHeld *held;

    /* Purged by a unit of the same batch: the claim's document went with it. */
    if (entry->seq <= base->queue->purged)
      continue;
    held = zm_claim_hold (base->queue, claim, entry->seq);
    held->count = entry->count;
    zm_held_extend (base->queue, held, entry->expires_us, entry->ttl_s);
    zm_queue_request_see (base, entry->seq);
    base->answer.n++;
  }
  zm_claim_unbusy (base->queue, claim);
}

static void
undo_claim (ZmRequest *base)
{
  ClaimRequest *request = (ClaimRequest *) (void *) base;

  if (base->queue == NULL)
    return;
  for (guint i = 0; request->entries != NULL && i < request->entries->len; i++) {
    guint64 seq = g_array_index (request->entries, ZmClaimEntry, i).seq;

    zm_claims_remain (base->queue, seq);
    zm_index_give (&base->queue->index, seq);
  }
  zm_dead_letters_undo (&request->dead, base->queue);
  zm_queue_rouse (base->queue);
}

static void
free_claim (ZmRequest *base)
{
  ClaimRequest *request = (ClaimRequest *) (void *) base;

  g_clear_pointer (&request->claim, zm_claim_free);
  g_clear_pointer (&request->entries, g_array_unref);
}

void
zm_queue_claim (ZmQueues *queues, ZmQueueName queue, guint limit, gint64 ttl_s, gint64 grace_s,
                ZmQueueDone done, gpointer user)
{
  /* A claim is little, and the way to what makes room: it goes on where there is none. */
  static const ZmRequestOps ops = { .size = sizeof (ClaimRequest),
                                    .decide = decide_claim,
                                    .commit = commit_claim,
                                    .undo = undo_claim,
                                    .free = free_claim };
  ClaimRequest *request = zm_queue_request_new (queues, queue, &ops, done, user);

  request->limit = CLAMP (limit, 1, CLAIM_MOST);
  request->ttl_s = ttl_s;
  request->grace_s = grace_s;
  zm_queue_request_submit (request, 256 + (gsize) request->limit * 32);
}
