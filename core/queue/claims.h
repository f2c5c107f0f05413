/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Claims of a queue: who has which messages, until when, and how often each was claimed. In the store's thread.
 *
 * A claim is one document in the space "claim", with all of its messages and of each how often it was claimed and until when it
 * lives now. It stays when the claim is over, by time (nothing is written then) or by release (it says so), because the counts
 * and the lives stand in it; it goes when all of its messages are gone or under a later claim. So an acknowledgement writes
 * nothing here but, with the last message, the end of the document.
 */
#pragma once

#include "queue/queue-private.h"

G_BEGIN_DECLS

typedef struct ZmClaim {
  char id[ZM_UUID_SIZE + 1];
  guint64 key[2]; /* the same, as the document has it */
  gint64 since_us, ttl_s, grace_s;
  gboolean over;      /* it holds counts only */
  gboolean releasing; /* a unit of this batch ends it */
  gboolean deleting;  /* its document goes with a unit of this batch, unless that fails */
  guint busy;         /* units of this batch that changed it */
  guint64 *seqs;      /* of all that it had */
  guint n, live;      /* live: of which it is the last claim, and which are there */
  guint64 serial;
  gint64 planned_us; /* its earliest place in the heap; G_MAXINT64: none */
  GList link;        /* among those that are over */
} ZmClaim;

/* A message that was claimed some time. */
typedef struct ZmHeld {
  guint64 seq; /* first: the key of the table */
  ZmClaim *claim;
  gint64 expires_us; /* 0: its own */
  gint64 ttl_s;      /* the same */
  guint count;
} ZmHeld;

struct ZmClaims {
  GHashTable *held;   /* seq -> ZmHeld */
  GHashTable *by_id;  /* id -> ZmClaim, those that are not over */
  GHashTable *serial; /* serial -> ZmClaim: all */
  GQueue over;        /* of those that are over, in order: for the bound */
  ZmHeap ends;        /* at, serial */
  GArray *stale;      /* guint64[2]: documents that have no message any more */
  guint sweeping;     /* how many of them, from the first on, are in a unit */
  gint64 stale_us;    /* since when there are some */
  gint64 now_us;      /* of the last tick */
  guint64 claimed, next_serial;
};

ZmClaims *zm_claims_of_queue (ZmQueue *queue); /* made where there are none yet */
ZmHeld *zm_claims_held (const ZmQueue *queue, guint64 seq);
/* NULL: unknown, over at now_us, or just being released. */
ZmClaim *zm_claims_get (const ZmQueue *queue, ZmSpan id, gint64 now_us);
/* In done: the one that get found in prepare; NULL: the queue was purged by a unit between. */
ZmClaim *zm_claims_find (const ZmQueue *queue, const char *id);
gint64 zm_claim_ends_us (const ZmClaim *claim);

/* A claim with n messages, not in the tables. id NULL: a random one. */
ZmClaim *zm_claim_new (const guint64 *id, guint n);
void zm_claim_free (ZmClaim *claim);
/* In the tables from now on, and the caller's no more. */
void zm_claim_enter (ZmQueue *queue, ZmClaim *claim);
/* The message is this claim's from now on: from no or an earlier one. */
ZmHeld *zm_claim_hold (ZmQueue *queue, ZmClaim *claim, guint64 seq);
/* Plans its end anew. */
void zm_claim_plan (ZmQueue *queue, ZmClaim *claim);
/* Its messages are free again. */
void zm_claim_end (ZmQueue *queue, ZmClaim *claim);
/* Its last message has gone. */
void zm_claim_drop (ZmQueue *queue, ZmClaim *claim);
/* A unit that changed it has ended. */
void zm_claim_unbusy (ZmQueue *queue, ZmClaim *claim);
/* The message lives until then, in the index too; 0: as before. */
void zm_held_extend (ZmQueue *queue, ZmHeld *held, gint64 expires_us, gint64 ttl_s);

/* ---- claim-known.c ---- */

/* A time that was given, -1: the standard one. */
gint64 zm_claim_standard (gint64 given_s, gint64 standard_s);
/* Into the answer. */
void zm_claim_tell (ZmRequest *base, const ZmClaim *claim);

/* ---- claims-document.c ---- */

/* What stands in a document of one message. */
typedef struct ZmClaimEntry {
  guint64 seq;
  gint64 expires_us, ttl_s;
  guint count;
} ZmClaimEntry;

typedef struct ZmClaimDocument {
  guint64 key[2];
  gint64 since_us, ttl_s, grace_s;
  gboolean released;
  guint n;
} ZmClaimDocument;

void zm_claim_document_write (ZmQueue *queue, ZmStoreWriter *writer, const ZmClaimDocument *document,
                              const ZmClaimEntry *entries);
void zm_claim_document_delete (ZmQueue *queue, ZmStoreWriter *writer, const guint64 *key);
/* FALSE: damaged. value begins with the head; entries are read by _entry. */
gboolean zm_claim_document_read (zm_str key, zm_str value, ZmClaimDocument *document);
void zm_claim_document_entry (zm_str value, guint i, ZmClaimEntry *entry);
/* What life a claim of this ttl and grace gives a message that has `expires_us` now: entry's times are set where it is longer. */
void zm_claim_entry_extend (ZmClaimEntry *entry, gint64 expires_us, gint64 now_us, gint64 life_s);

/* ---- dead-letters.c ---- */

/* Messages that were claimed too often, on their way. */
typedef struct ZmDeadLetters {
  ZmQueue *to;        /* reference */
  GPtrArray *appends; /* ZmAppend */
  GArray *leavings;   /* ZmLeaving */
} ZmDeadLetters;

/* In prepare. FALSE: it stays where it is (there is no such queue, it is full, the message is damaged). */
gboolean zm_dead_letters_in (ZmDeadLetters *dead, ZmQueue *queue, ZmStoreWriter *writer, guint64 seq,
                             guint count, gint64 now_us);
/* Exactly one of both, also where nothing was dead. */
void zm_dead_letters_commit (ZmDeadLetters *dead, ZmQueue *queue);
void zm_dead_letters_undo (ZmDeadLetters *dead, ZmQueue *queue);

G_END_DECLS
