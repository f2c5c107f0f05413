/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Claims as they were when the daemon ended: from their documents, at the first use of a queue. */
#include "config.h"

#include "queue/claims.h"

typedef struct Loading {
  ZmQueue *queue;
  gint64 now_us;
  guint damaged;
} Loading;

/* Of two claims that had a message the later one counts, which is the one with the greater count. */
static gboolean
is_newer (const ZmHeld *held, const ZmClaimEntry *entry, const ZmClaim *claim)
{
  if (held == NULL)
    return TRUE;
  return held->count != entry->count ? entry->count > held->count : claim->since_us > held->claim->since_us;
}

static void
load_entry (ZmQueue *queue, ZmClaim *claim, const ZmClaimEntry *entry)
{
  ZmHeld *held;

  if (!zm_index_present (&queue->index, entry->seq) ||
      !is_newer (zm_claims_held (queue, entry->seq), entry, claim))
    return;
  held = zm_claim_hold (queue, claim, entry->seq);
  held->count = entry->count;
  zm_held_extend (queue, held, entry->expires_us, entry->ttl_s);
}

static int
load_document (void *user, zm_str key, zm_str value)
{
  Loading *loading = user;
  ZmClaimDocument document;
  ZmClaim *claim;

  if (!zm_claim_document_read (key, value, &document)) {
    loading->damaged++;
    return 0;
  }
  zm_claims_of_queue (loading->queue)->now_us = loading->now_us;
  claim = zm_claim_new (document.key, document.n);
  /* A clock that was set back does not make it longer than it was meant to be. */
  claim->since_us = MIN (document.since_us, loading->now_us);
  claim->ttl_s = document.ttl_s;
  claim->grace_s = document.grace_s;
  claim->over = document.released || zm_claim_ends_us (claim) <= loading->now_us;
  claim->busy = 1;
  zm_claim_enter (loading->queue, claim);
  for (guint i = 0; i < document.n; i++) {
    ZmClaimEntry entry;

    zm_claim_document_entry (value, i, &entry);
    load_entry (loading->queue, claim, &entry);
  }
  /* Without messages it goes, and its document with the next sweep. */
  zm_claim_unbusy (loading->queue, claim);
  return 0;
}

/* Only now is it known which claim counts for each. */
static void
take_claimed (ZmQueue *queue)
{
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, queue->claims->held);
  while (g_hash_table_iter_next (&iter, NULL, &value)) {
    const ZmHeld *held = value;

    if (!held->claim->over)
      zm_index_take (&queue->index, held->seq);
  }
}

gboolean
zm_claims_load (ZmQueue *queue, GError **error)
{
  Loading loading = { .queue = queue, .now_us = zm_queues_wall (queue->queues) };
  guint64 prefix = GUINT64_TO_BE (queue->number);

  if (!zm_store_documents (queue->queues->config.store, NULL, ZM_SPACE_CLAIMS,
                           zm_span ((const char *) &prefix, sizeof prefix), zm_span (NULL, 0), 0,
                           load_document, &loading, error))
    return FALSE;
  if (loading.damaged > 0)
    zm_log_write (
        queue->queues->config.log, ZM_LEVEL_ERROR, ZM_QUEUE_ROOM,
        "queue %s: %u claims cannot be read and are as if they were over: `zmanagerctl store check` "
        "tells more",
        queue->name, loading.damaged);
  if (queue->claims != NULL)
    take_claimed (queue);
  return TRUE;
}
