/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Claiming, and what is done with a claim: show, renew, release. */
#include "config.h"

#include "queue/claims.h"

#include <string.h>

#define CLAIM_MOST 1000 /* messages of one claim */

static gint64
standard (gint64 given_s, gint64 standard_s)
{
  return MIN (given_s >= 0 ? given_s : standard_s, G_MAXINT32);
}

/* ---- claim ---- */

typedef struct ClaimRequest {
  ZmRequest base;
  guint limit;
  gint64 ttl_s, grace_s;
  ZmClaim *claim;      /* NULL: nothing was free */
  GArray *entries;     /* ZmClaimEntry */
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
    entry = entry_of (request, seq);
    if (most_count > 0 && entry.count > most_count &&
        zm_dead_letters_in (&request->dead, queue, writer, seq, entry.count - 1, request->base.now_us))
      continue;
    bytes += zm_index_size (&queue->index, seq);
    if (request->entries->len > 0 && bytes > ZM_QUEUE_READ_MOST)
      break;
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
    zm_request_fail (base, ZM_ERROR_LIMIT,
                     "%d messages of queue '%s' are claimed, and no more can be: acknowledge or release some",
                     ZM_QUEUE_CLAIMED_MOST, base->queue->name);
    return;
  }
  request->ttl_s = standard (request->ttl_s, base->queue->options.claim_ttl_s);
  request->grace_s = standard (request->grace_s, base->queue->options.claim_grace_s);
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
  zm_claim_document_write (base->queue, writer, &document, (const ZmClaimEntry *) (void *) request->entries->data);
}

static void
tell_claim (ZmRequest *base, const ZmClaim *claim)
{
  memcpy (base->answer.claim.id, claim->id, sizeof base->answer.claim.id);
  base->answer.claim.ttl_s = claim->ttl_s;
  base->answer.claim.grace_s = claim->grace_s;
  base->answer.claim.age_s = MAX (base->now_us - claim->since_us, 0) / G_USEC_PER_SEC;
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
  claim->busy = 1;
  zm_claim_enter (base->queue, claim);
  for (guint i = 0; i < request->entries->len; i++) {
    const ZmClaimEntry *entry = &g_array_index (request->entries, ZmClaimEntry, i);
    ZmHeld *held = zm_claim_hold (base->queue, claim, entry->seq);

    held->count = entry->count;
    zm_held_extend (base->queue, held, entry->expires_us, entry->ttl_s);
  }
  zm_claim_unbusy (base->queue, claim);
  for (guint i = 0; i < claim->n; i++)
    zm_request_see (base, claim->seqs[i]);
  base->answer.n = claim->n;
  tell_claim (base, claim);
}

static void
undo_claim (ZmRequest *base)
{
  ClaimRequest *request = (ClaimRequest *) (void *) base;

  if (base->queue == NULL)
    return;
  for (guint i = 0; request->entries != NULL && i < request->entries->len; i++) {
    guint64 seq = g_array_index (request->entries, ZmClaimEntry, i).seq;
    ZmHeld *held = zm_claims_held (base->queue, seq);

    if (held != NULL)
      held->claim->deleting = FALSE;
    zm_index_give (&base->queue->index, seq);
  }
  zm_dead_letters_undo (&request->dead, base->queue);
  zm_queue_wake (base->queue);
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
  static const ZmRequestOps ops = { .size = sizeof (ClaimRequest),
                                    .adds = TRUE,
                                    .decide = decide_claim,
                                    .commit = commit_claim,
                                    .undo = undo_claim,
                                    .free = free_claim };
  ClaimRequest *request = zm_request_new (queues, queue, &ops, done, user);

  request->limit = CLAMP (limit, 1, CLAIM_MOST);
  request->ttl_s = ttl_s;
  request->grace_s = grace_s;
  zm_request_submit (request, 256 + (gsize) request->limit * 32);
}

/* ---- with a claim that is there ---- */

typedef struct KnownRequest {
  ZmRequest base;
  char id[ZM_UUID_SIZE + 1];
  gint64 ttl_s, grace_s;
  ZmClaim *claim;  /* lives while it is busy */
  GArray *entries; /* ZmClaimEntry: what renewal makes of its messages */
} KnownRequest;

/* NULL: there is none. */
static ZmClaim *
claim_of (KnownRequest *request)
{
  return request->base.queue != NULL
             ? zm_claims_get (request->base.queue, zm_span_text (request->id), request->base.now_us)
             : NULL;
}

static void
fail_unknown (KnownRequest *request)
{
  g_autofree char *id = zm_printable (zm_span_text (request->id), ZM_UUID_SIZE);

  zm_request_fail (&request->base, ZM_ERROR_NOT_FOUND,
                   "there is no claim '%s': it never was, was released, or its time is over", id);
}

static KnownRequest *
known_request (ZmQueues *queues, ZmQueueName queue, ZmSpan claim, const ZmRequestOps *ops, ZmQueueDone done,
               gpointer user)
{
  KnownRequest *request = zm_request_new (queues, queue, ops, done, user);

  /* One of another length is none of ours. */
  if (claim.size == ZM_UUID_SIZE)
    memcpy (request->id, claim.data, claim.size);
  return request;
}

static void
free_known (ZmRequest *base)
{
  g_clear_pointer (&((KnownRequest *) (void *) base)->entries, g_array_unref);
}

static void
decide_get (ZmRequest *base, ZmStoreWriter *writer)
{
  KnownRequest *request = (KnownRequest *) (void *) base;

  (void) writer;
  if (claim_of (request) == NULL)
    fail_unknown (request);
}

static void
commit_get (ZmRequest *base)
{
  const ZmClaim *claim = claim_of ((KnownRequest *) (void *) base);
  guint64 bytes = 0;

  /* Units of the same batch may have ended it. */
  if (claim == NULL)
    return;
  for (guint i = 0; i < claim->n && !base->answer.more; i++) {
    const ZmHeld *held = zm_claims_held (base->queue, claim->seqs[i]);

    if (held == NULL || held->claim != claim || !zm_queue_has (base->queue, held->seq, base->now_us))
      continue;
    bytes += zm_index_size (&base->queue->index, held->seq);
    base->answer.more = base->answer.n > 0 && bytes > ZM_QUEUE_READ_MOST;
    if (base->answer.more)
      break;
    zm_request_see (base, held->seq);
    base->answer.n++;
  }
  tell_claim (base, claim);
}

void
zm_queue_claim_get (ZmQueues *queues, ZmQueueName queue, ZmSpan claim, ZmQueueDone done, gpointer user)
{
  static const ZmRequestOps ops = { .size = sizeof (KnownRequest), .decide = decide_get, .commit = commit_get };

  zm_request_submit (known_request (queues, queue, claim, &ops, done, user), 0);
}

/* ---- renew, release: the document is written anew ---- */

static void
write_anew (KnownRequest *request, ZmStoreWriter *writer, gboolean released, gint64 since_us)
{
  ZmQueue *queue = request->base.queue;
  ZmClaim *claim = request->claim;
  ZmClaimDocument document = { .since_us = since_us,
                               .ttl_s = request->ttl_s,
                               .grace_s = request->grace_s,
                               .released = released };

  request->entries = g_array_new (FALSE, FALSE, sizeof (ZmClaimEntry));
  for (guint i = 0; i < claim->n; i++) {
    const ZmHeld *held = zm_claims_held (queue, claim->seqs[i]);
    ZmClaimEntry entry = { .seq = claim->seqs[i] };

    if (held == NULL || held->claim != claim)
      continue;
    entry.count = held->count;
    entry.expires_us = held->expires_us;
    entry.ttl_s = held->ttl_s;
    if (!released)
      zm_claim_entry_extend (&entry, zm_time_us (zm_index_expiry (&queue->index, held->seq)),
                             request->base.now_us, request->ttl_s + request->grace_s);
    g_array_append_val (request->entries, entry);
  }
  document.n = request->entries->len;
  memcpy (document.key, claim->key, sizeof document.key);
  zm_claim_document_write (queue, writer, &document, (const ZmClaimEntry *) (void *) request->entries->data);
  claim->deleting = FALSE;
  claim->busy++;
}

static void
decide_renew (ZmRequest *base, ZmStoreWriter *writer)
{
  KnownRequest *request = (KnownRequest *) (void *) base;

  request->claim = claim_of (request);
  if (request->claim == NULL) {
    fail_unknown (request);
    return;
  }
  request->ttl_s = standard (request->ttl_s, base->queue->options.claim_ttl_s);
  request->grace_s = standard (request->grace_s, base->queue->options.claim_grace_s);
  write_anew (request, writer, FALSE, base->now_us);
}

static void
commit_renew (ZmRequest *base)
{
  KnownRequest *request = (KnownRequest *) (void *) base;
  ZmClaim *claim = request->claim;

  claim->since_us = base->now_us;
  claim->ttl_s = request->ttl_s;
  claim->grace_s = request->grace_s;
  for (guint i = 0; i < request->entries->len; i++) {
    const ZmClaimEntry *entry = &g_array_index (request->entries, ZmClaimEntry, i);
    ZmHeld *held = zm_claims_held (base->queue, entry->seq);

    if (held != NULL && held->claim == claim)
      zm_held_extend (base->queue, held, entry->expires_us, entry->ttl_s);
  }
  tell_claim (base, claim);
  if (!claim->over)
    zm_claim_plan (base->queue, claim);
  zm_claim_unbusy (base->queue, claim);
}

static void
undo_renew (ZmRequest *base)
{
  zm_claim_unbusy (base->queue, ((KnownRequest *) (void *) base)->claim);
}

void
zm_queue_claim_renew (ZmQueues *queues, ZmQueueName queue, ZmSpan claim, gint64 ttl_s, gint64 grace_s,
                      ZmQueueDone done, gpointer user)
{
  static const ZmRequestOps ops = { .size = sizeof (KnownRequest),
                                    .adds = TRUE,
                                    .decide = decide_renew,
                                    .commit = commit_renew,
                                    .undo = undo_renew,
                                    .free = free_known };
  KnownRequest *request = known_request (queues, queue, claim, &ops, done, user);

  request->ttl_s = ttl_s;
  request->grace_s = grace_s;
  zm_request_submit (request, 1024);
}

static void
decide_release (ZmRequest *base, ZmStoreWriter *writer)
{
  KnownRequest *request = (KnownRequest *) (void *) base;

  request->claim = claim_of (request);
  if (request->claim == NULL)
    return;
  request->ttl_s = request->claim->ttl_s;
  request->grace_s = request->claim->grace_s;
  write_anew (request, writer, TRUE, request->claim->since_us);
  request->claim->releasing = TRUE;
}

static void
commit_release (ZmRequest *base)
{
  ZmClaim *claim = ((KnownRequest *) (void *) base)->claim;

  if (claim == NULL)
    return;
  base->answer.n = claim->live;
  zm_claim_end (base->queue, claim);
  zm_claim_unbusy (base->queue, claim);
  zm_queue_wake (base->queue);
}

static void
undo_release (ZmRequest *base)
{
  ZmClaim *claim = ((KnownRequest *) (void *) base)->claim;

  if (claim == NULL)
    return;
  claim->releasing = FALSE;
  zm_claim_unbusy (base->queue, claim);
}

void
zm_queue_claim_release (ZmQueues *queues, ZmQueueName queue, ZmSpan claim, ZmQueueDone done, gpointer user)
{
  static const ZmRequestOps ops = { .size = sizeof (KnownRequest),
                                    .decide = decide_release,
                                    .commit = commit_release,
                                    .undo = undo_release,
                                    .free = free_known };

  zm_request_submit (known_request (queues, queue, claim, &ops, done, user), 1024);
}
