/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is done with a claim that is there: show, renew, release. */
#include "config.h"

#include "queue/claims.h"

#include <string.h>

gint64
zm_claim_standard (gint64 given_s, gint64 standard_s)
{
  return MIN (given_s >= 0 ? given_s : standard_s, G_MAXINT32);
}

void
zm_claim_tell (ZmRequest *base, const ZmClaim *claim)
{
  memcpy (base->answer.claim.id, claim->id, sizeof base->answer.claim.id);
  base->answer.claim.ttl_s = claim->ttl_s;
  base->answer.claim.grace_s = claim->grace_s;
  base->answer.claim.age_s = MAX (base->now_us - claim->since_us, 0) / G_USEC_PER_SEC;
}

typedef struct KnownRequest {
  ZmRequest base;
  char id[ZM_UUID_SIZE + 1];
  gint64 ttl_s, grace_s;
  gboolean found;
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

  zm_queue_request_fail (&request->base, ZM_ERROR_NOT_FOUND,
                         "there is no claim '%s': it never was, was released, or its time is over", id);
}

static KnownRequest *
known_request (ZmQueues *queues, ZmQueueName queue, ZmSpan claim, const ZmRequestOps *ops, ZmQueueDone done,
               gpointer user)
{
  KnownRequest *request = zm_queue_request_new (queues, queue, ops, done, user);

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
    zm_queue_request_see (base, held->seq);
    base->answer.n++;
  }
  zm_claim_tell (base, claim);
}

void
zm_queue_claim_get (ZmQueues *queues, ZmQueueName queue, ZmSpan claim, ZmQueueDone done, gpointer user)
{
  static const ZmRequestOps ops = { .size = sizeof (KnownRequest),
                                    .decide = decide_get,
                                    .commit = commit_get };

  zm_queue_request_submit (known_request (queues, queue, claim, &ops, done, user), 0);
}

/* ---- renew, release: the document is written anew ---- */

static void
write_anew (KnownRequest *request, ZmClaim *claim, ZmStoreWriter *writer, gboolean released, gint64 since_us)
{
  ZmQueue *queue = request->base.queue;
  ZmClaimDocument document = {
    .since_us = since_us, .ttl_s = request->ttl_s, .grace_s = request->grace_s, .released = released
  };

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
  memcpy (request->id, claim->id, sizeof request->id);
  request->found = TRUE;
}

/* In done: the claim that was written anew; NULL: there was none, or it was purged meanwhile. */
static ZmClaim *
written (KnownRequest *request)
{
  return request->found ? zm_claims_find (request->base.queue, request->id) : NULL;
}

static void
decide_renew (ZmRequest *base, ZmStoreWriter *writer)
{
  KnownRequest *request = (KnownRequest *) (void *) base;
  ZmClaim *claim = claim_of (request);

  if (claim == NULL) {
    fail_unknown (request);
    return;
  }
  request->ttl_s = zm_claim_standard (request->ttl_s, base->queue->options.claim_ttl_s);
  request->grace_s = zm_claim_standard (request->grace_s, base->queue->options.claim_grace_s);
  write_anew (request, claim, writer, FALSE, base->now_us);
}

static void
commit_renew (ZmRequest *base)
{
  KnownRequest *request = (KnownRequest *) (void *) base;
  ZmClaim *claim = written (request);

  if (claim == NULL)
    return;
  claim->since_us = base->now_us;
  claim->ttl_s = request->ttl_s;
  claim->grace_s = request->grace_s;
  for (guint i = 0; i < request->entries->len; i++) {
    const ZmClaimEntry *entry = &g_array_index (request->entries, ZmClaimEntry, i);
    ZmHeld *held = zm_claims_held (base->queue, entry->seq);

    if (held != NULL && held->claim == claim)
      zm_held_extend (base->queue, held, entry->expires_us, entry->ttl_s);
  }
  zm_claim_tell (base, claim);
  zm_claim_plan (base->queue, claim);
  zm_claim_unbusy (base->queue, claim);
}

static void
undo_renew (ZmRequest *base)
{
  ZmClaim *claim = written ((KnownRequest *) (void *) base);

  if (claim != NULL)
    zm_claim_unbusy (base->queue, claim);
}

void
zm_queue_claim_renew (ZmQueues *queues, ZmQueueName queue, ZmSpan claim, gint64 ttl_s, gint64 grace_s,
                      ZmQueueDone done, gpointer user)
{
  static const ZmRequestOps ops = { .size = sizeof (KnownRequest),
                                    .decide = decide_renew,
                                    .commit = commit_renew,
                                    .undo = undo_renew,
                                    .free = free_known };
  KnownRequest *request = known_request (queues, queue, claim, &ops, done, user);

  request->ttl_s = ttl_s;
  request->grace_s = grace_s;
  zm_queue_request_submit (request, 1024);
}

static void
decide_release (ZmRequest *base, ZmStoreWriter *writer)
{
  KnownRequest *request = (KnownRequest *) (void *) base;
  ZmClaim *claim = claim_of (request);

  if (claim == NULL)
    return;
  request->ttl_s = claim->ttl_s;
  request->grace_s = claim->grace_s;
  write_anew (request, claim, writer, TRUE, claim->since_us);
  claim->releasing = TRUE;
}

static void
commit_release (ZmRequest *base)
{
  ZmClaim *claim = written ((KnownRequest *) (void *) base);

  if (claim == NULL)
    return;
  base->answer.n = claim->live;
  zm_claim_end (base->queue, claim);
  zm_claim_unbusy (base->queue, claim);
  zm_queue_rouse (base->queue);
}

static void
undo_release (ZmRequest *base)
{
  ZmClaim *claim = written ((KnownRequest *) (void *) base);

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

  zm_queue_request_submit (known_request (queues, queue, claim, &ops, done, user), 1024);
}
