/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Inside the queue room. Everything about queues is decided in the store's thread: a request is a unit of the store; prepare looks at
 * the memory of its queue, decides and adds changes; done, after the sync, makes it visible or undoes it.
 *
 *   append:  gets its number in prepare and counts as pending; it is in the index from done on.
 *   removal: leaves the queue view in prepare; done forgets it, or puts it back.
 *   claim:   takes the message out of `free` in prepare; done keeps that, or gives it back.
 *
 * So an operation never sees what is not durable yet, but for things that go; and nobody is given one message twice.
 *
 * Unless said otherwise functions are for the store's thread.
 */
#pragma once

#include "queue/index.h"
#include "queue/zm-queue.h"

#include <pthread.h>

G_BEGIN_DECLS

#define ZM_QUEUE_ROOM       "queue" /* in the log */
#define ZM_QUEUE_CACHE_MOST (32 << 20)
#define ZM_QUEUE_READ_MOST  (64 << 20) /* bytes of records that one answer reads */
#define ZM_QUEUE_STEP       1000       /* messages that a unit of the background handles */

/* Spaces of documents. All but the first have keys that begin with the queue's number, 8 bytes, big-endian. */
#define ZM_SPACE_QUEUES \
  "queue" /* project NUL name: number, 8 bytes big-endian; created_us, the same; kind, 1 byte; metadata */
#define ZM_SPACE_GONE   "gone"  /* + seq: left the queue view, is kept for a reader */
#define ZM_SPACE_CLAIMS "claim" /* claims.c */
#define ZM_SPACE_SEEN   "seen"  /* window.c; a purge leaves it, the end of the queue does not */

/* tag of a record in the store: when it is due (ZmTime, 0: at once) and what is in it, so that loading reads heads only. */
#define ZM_TAG_DUE(tag) ((ZmTime) (tag))
#define ZM_TAG_ID       (G_GUINT64_CONSTANT (1) << 32) /* has a sender's id */
#define ZM_TAG_KEY      (G_GUINT64_CONSTANT (1) << 33) /* has a key */

typedef struct ZmQueue ZmQueue;
typedef struct ZmRecord ZmRecord;
typedef struct ZmCipher ZmCipher; /* record.c; reference counted */
typedef struct ZmCache ZmCache;   /* cache.c */
typedef struct ZmClaims ZmClaims; /* claims.c; NULL: none yet */
typedef struct ZmWindow ZmWindow; /* window.c */
typedef struct ZmLatest ZmLatest; /* latest.c */
typedef struct ZmAppend ZmAppend;
typedef struct ZmRequest ZmRequest;

/* ---- records: record.c (claims), what stands in the store. Any thread ---- */

/* Reference counted (atomic), immutable once sealed. data is what the store has. */
struct ZmRecord {
  int refs; /* atomic (__atomic_*): the header is read by C++ too */
  guint64 queue, seq;
  gint64 expires_us;
  guint64 tag;
  gsize size, room;
  guint8 *data; /* owned, malloc'ed with the struct or beside it */
};
/* The parts of put in one buffer, not sealed: expires_us, seq … are not known. Never NULL. */
ZmRecord *zm_record_new (const ZmPut *put);
/* Writes times and place into it, and encrypts it where there is a cipher. Sets queue, seq, expires_us (G_MAXINT64: never) and tag. */
gboolean zm_record_seal (ZmRecord *record, const ZmCipher *cipher, guint64 queue, guint64 seq,
                         gint64 created_us, gint64 ttl_s, gint64 due_us, GError **error);
/* Before it is sealed: what put had. */
void zm_record_parts (const ZmRecord *record, ZmPut *put);
/* Of what a store gave: copied. */
ZmRecord *zm_record_of (const zm_store_record *stored);
ZmRecord *zm_record_ref (ZmRecord *record);
void zm_record_unref (ZmRecord *record); /* NULL is fine */
/* Its parts; they point into the record, or into plain (which is emptied first), where it is encrypted. All of ZmStored but claim,
 * claim_count and sum is set. FALSE: it is damaged, or of another key; error says which. */
gboolean zm_record_unpack (const ZmRecord *record, const ZmCipher *cipher, GByteArray *plain,
                           ZmStored *stored, GError **error);
/* hex: 64 digits. NULL with an error: no such key, or this build has no encryption. */
ZmCipher *zm_cipher_new (const char *hex, GError **error);
ZmCipher *zm_cipher_ref (ZmCipher *cipher);
void zm_cipher_unref (ZmCipher *cipher); /* NULL is fine */

/* ---- queues ---- */

/* What holds for a queue: of [queue NAME], of [zaqar] and of the reserved keys of its metadata. */
typedef struct ZmQueueOptions {
  gboolean configured; /* there is a section [queue NAME] */
  ZmQueueKind kind;
  gint64 ttl_s, delay_s; /* of messages that name none; ttl_s -1: they never expire */
  gint64 letter_ttl_s;   /* the same of dead letters that come into it */
  guint64 max_messages, max_bytes;
  ZmQueueFull full;
  ZmQueueRetain retain;
  ZmQueueDurability durability;
  gint64 claim_ttl_s, claim_grace_s; /* standards */
  guint max_claim_count;             /* 0: no bound */
  char *
      dead_letter; /* name in the same project; NULL: NAME.dead for a queue of the configuration, else none */
  gint64 dead_letter_ttl_s; /* of its own, elsewhere; -1: letter_ttl_s of where they go */
  ZmCipher *cipher;         /* NULL: none */
  gboolean sums;
  char **topics; /* action keys; NULL-terminated, or NULL */
} ZmQueueOptions;

typedef struct ZmQueueCounts {
  guint64 put, taken, expired, dropped, dead, duplicates;
} ZmQueueCounts;

/* For listings in other threads: each member is written and read atomically, by zm_queue_show. */
typedef struct ZmQueueFigures {
  guint64 total, bytes, free, claimed, delayed, ids, window_s;
  ZmQueueCounts counts;
} ZmQueueFigures;

struct ZmQueue {
  int refs; /* atomic (__atomic_*): the header is read by C++ too */
  ZmQueues *queues;
  guint64 number;
  gsize key_size;
  char *key; /* project NUL name NUL */
  const char *project, *name;
  gint64 created_us;
  gboolean stored;     /* its document is durable; until then each unit that uses it adds it again */
  gboolean unmade;     /* left the registry as its document could not be written */
  gboolean configured; /* named in the configuration */
  gboolean loaded;
  gboolean removed; /* no longer in the registry */
  ZmQueueOptions options;
  char *metadata;    /* JSON object text, never NULL */
  gpointer changing; /* metadata.c's: who changed it last in this batch; NULL: nobody */

  ZmIndex index;
  guint64 last_seq; /* the last that was given out */
  guint64 purged; /* what was purged in prepare: appends of the same batch up to it are not there any more */
  guint64 purged_done;   /* the same when it is durable; written and read atomically, by readers too */
  guint64 leaving_bytes; /* of removals that are not durable yet */
  guint64 pending, pending_bytes; /* appended and not durable yet: count against bounds and emptiness */
  ZmHeap delays;                  /* due, seq; those that left the queue meanwhile stay until their time */
  GHashTable *delayed;            /* seq (guint64 *) -> due (ZmTime): in the queue and not due; NULL: none */
  ZmCache *memory;                /* durability = memory: all records are here, and nowhere else; else NULL */
  GPtrArray *readers;             /* ZmQueueReader, not owned; NULL: none */
  ZmClaims *claims;
  ZmWindow *window;
  ZmLatest *latest;

  GHashTable *consuming; /* seq -> ZmLeaving: zm_queue_consume_in to _commit; NULL: none */
  ZmQueueCounts counts;
  gint64 agenda_us; /* when the background looks at it; G_MAXINT64: never */
  ZmQueueFigures figures;
};

struct ZmQueues {
  ZmQueuesConfig config;
  gint64 standard_ttl_s; /* … the rest is queues.c's: see there */
  struct ZmQueuesPrivate *p;
  ZmCache *cache;
};

/* Wall time outside of prepare. */
static inline gint64
zm_queues_wall (const ZmQueues *queues)
{
  return queues->config.wall_us != NULL ? queues->config.wall_us (queues->config.user) : zm_wall_us ();
}
/* Wall time in prepare. */
gint64 zm_queues_now (ZmQueues *queues, ZmStoreWriter *writer);
/* The queue of that name, loaded; a reference. NULL without error: not there, and not to be made. make: then its document is added to the
 * unit, until it is durable; *created (may be NULL) tells that it is new. Errors: the store cannot be read; bad name; too many. */
ZmQueue *zm_queue_find_in (ZmQueues *queues, ZmStoreWriter *writer, ZmQueueName name, gboolean make,
                           gboolean *created, GError **error);
ZmQueue *zm_queue_ref (ZmQueue *queue);
void zm_queue_unref (ZmQueue *queue); /* any thread */
/* After the unit that made it: ok says how it ended. Every unit that called find_in with make does. */
void zm_queue_settle (ZmQueue *queue, gboolean ok);
/* In another project's terms: the queue's dead-letter queue, made; NULL: it has none. */
ZmQueue *zm_queue_dead_letter_in (ZmQueue *queue, ZmStoreWriter *writer, GError **error);

/* Adds a change of this queue, unless it is in memory only. Pointers must live until done. */
void zm_queue_op (ZmQueue *queue, ZmStoreWriter *writer, const zm_store_op *op);
/* Key of a document: number and up to two further numbers, big-endian, in memory that lives until done. */
zm_str zm_queue_doc_key (ZmQueue *queue, ZmStoreWriter *writer, const guint64 *numbers, guint n);
/* What is over or due by now, in memory: delays, claims. Called by the request's base before it is decided. */
void zm_queue_tick (ZmQueue *queue, gint64 now_us);
/* Something may be free that was not: watchers, readers. */
void zm_queue_rouse (ZmQueue *queue);
/* The background has to look at it at that time (wall). */
void zm_queue_plan (ZmQueue *queue, gint64 at_us);

/* ---- messages of a queue ---- */

/* Is it in the queue view, and not over? */
gboolean zm_queue_has (const ZmQueue *queue, guint64 seq, gint64 now_us);
/* The first that is free, due and not over, from `from` on; 0: none. Index bits of free exclude claimed and delayed ones. */
guint64 zm_queue_first_free (ZmQueue *queue, guint64 from, gint64 now_us);
/* A record of it (a reference), from cache, memory or store. Reader NULL: inside the store's thread. Any thread otherwise, with the queue
 * referenced. NULL: not there, or damaged (counted, logged). */
ZmRecord *zm_queue_fetch (ZmQueue *queue, void *reader, guint64 seq);

/* A removal between prepare and done. */
typedef struct ZmLeaving {
  guint64 seq;
  guint32 size;           /* that becomes free */
  gboolean present, free; /* it was */
  gboolean keeps;         /* the record stays, for readers of the log */
} ZmLeaving;
/* In prepare: out of the queue view (both: and of the log, whoever still reads it). FALSE: it is not there. Claims' documents of it go too. */
gboolean
zm_queue_remove_in (ZmQueue *queue, ZmStoreWriter *writer, guint64 seq, gboolean both, ZmLeaving *leaving);
void zm_queue_remove_commit (ZmQueue *queue, const ZmLeaving *leaving);
void zm_queue_remove_undo (ZmQueue *queue, const ZmLeaving *leaving);

/* An append between prepare and done. */
struct ZmAppend {
  ZmAppend *next; /* whoever made several */
  ZmQueue *queue; /* reference */
  ZmRecord *record;
  guint64 seq;
  gint64 created_us;
  ZmTime expiry, due; /* due 0: at once */
  GArray *dropped;    /* ZmLeaving: drop-oldest, or what it replaces; or NULL */
  ZmPutHow how;
  gpointer latest, window; /* latest.c's, window.c's */
  guint64 replaces,
      replaced_bytes; /* messages that it takes the place of, once it has one: bounds leave them out */
};
/* Takes record (in any case), and a reference of queue. put, ttl and delay: -1 is the queue's standard. Bounds, number, change. NULL: refused;
 * with error NULL: dropped, as on-full says (counted). topic: what comes has no sender, so that it is dropped where others are refused. */
ZmAppend *zm_append_in (ZmQueue *queue, ZmStoreWriter *writer, ZmRecord *record, gint64 ttl_s, gint64 delay_s,
                        ZmPutHow how, gboolean topic, GError **error);
/* Exactly one of these; both free it. */
void zm_append_commit (ZmAppend *append);
void zm_append_undo (ZmAppend *append);

/* ---- requests: request.c ---- */

/* What a kind of request does; functions may be NULL. */
typedef struct ZmRequestOps {
  gsize size; /* of the struct that begins with ZmRequest */
  gboolean
      make; /* the queue is made where it is not there; else, without queue, decide is called with request->queue NULL */
  gboolean adds; /* needs room on disk */
  /* In prepare. Sets request->error where it cannot be; what it did by then it undoes itself. */
  void (*decide) (ZmRequest *request, ZmStoreWriter *writer);
  /* In done, only where decide set no error: durable. Fills answer and seen. */
  void (*commit) (ZmRequest *request);
  /* In done, only where decide set no error: the write failed. */
  void (*undo) (ZmRequest *request);
  /* After seen has been read (maybe a reader's thread), before the answer: TRUE: the request was submitted again by
   * zm_queue_request_again, no answer yet. */
  gboolean (*read) (ZmRequest *request);
  void (*free) (ZmRequest *request); /* its own members */
} ZmRequestOps;

/* A message of an answer. */
typedef struct ZmSeen {
  guint64 seq;
  ZmRecord *record; /* reference; NULL: to be read */
  char claim[ZM_UUID_SIZE + 1];
  guint claim_count;
  gint64 ttl_s;      /* in place of the record's; 0: the record's own */
  gint64 expires_us; /* the same */
} ZmSeen;

struct ZmRequest {
  ZmStoreUnit unit; /* first */
  ZmStoreJob job;
  const ZmRequestOps *ops;
  ZmQueues *queues;
  ZmQueueName name; /* copied: one block */
  ZmQueue *queue;   /* from prepare on; reference */
  gint64 now_us;    /* wall time of prepare */
  gboolean created; /* the queue is new */
  gboolean answered;
  gboolean sums; /* messages of the answer have their checksums */
  GError *error;
  ZmQueueDone done;
  gpointer user;
  ZmQueueAnswer answer;
  GArray *seen;     /* ZmSeen; answer.messages is made of it */
  guint told;       /* so many of seen are in messages already */
  ZmCipher *cipher; /* reference, from prepare on */
  GArray *
      messages; /* ZmStored in the order of seen, without those that were not there; read may take some out */
  GPtrArray *plains; /* GByteArray: what was decrypted */
};
/* Of ops->size bytes, zeroed but for the base; name copied. */
gpointer zm_queue_request_new (ZmQueues *queues, ZmQueueName name, const ZmRequestOps *ops, ZmQueueDone done,
                               gpointer user);
/* Any thread. size: about what it writes. Refused: answered at once, in the calling thread. It is the room's then. */
void zm_queue_request_submit (gpointer request, gsize size);
/* The same request once more, from ops->read or commit: decide is called again. */
void zm_queue_request_again (ZmRequest *request);
/* Adds a message to the answer, with what claims.c knows of it (zm_claims_show); its record is taken from the cache, where it is. */
ZmSeen *zm_queue_request_see (ZmRequest *request, guint64 seq);
/* In prepare: reads now what seen has no record of; for what the unit removes. Those that are gone or damaged stay without. */
void zm_queue_request_fetch_now (ZmRequest *request);
/* Answers before the sync (durability = batch): commit and undo follow all the same, and nobody is told of them. */
void zm_queue_request_answer (ZmRequest *request);
/* Sets request->error. */
void
zm_queue_request_fail (ZmRequest *request, ZmErrorCode code, const char *format, ...) G_GNUC_PRINTF (3, 4);
/* A sequence number of this queue from an id; 0: no id of ours, or of another queue. */
guint64 zm_queue_seq_of (const ZmQueue *queue, ZmSpan id);

/* ---- claims.c ---- */

/* Reads its documents, after the index: takes claimed messages out of free. A queue may be loaded anew, when a purge could not be written:
 * claims and window were freed before then; latest was not, and keeps its waiters. */
gboolean zm_claims_load (ZmQueue *queue, GError **error);
void zm_claims_free (ZmClaims *claims); /* NULL is fine; so in all of these for a queue without claims */
/* In memory: gives back what claims hold that are over at now_us. TRUE: something is free by that. */
gboolean zm_claims_tick (ZmQueue *queue, gint64 now_us);
/* The background: documents of claims that are over go (at most `most`). They are kept in mind until zm_claims_swept says how it ended. TRUE: added some. */
gboolean zm_claims_sweep_in (ZmQueue *queue, ZmStoreWriter *writer, guint most);
void zm_claims_swept (ZmQueue *queue, gboolean ok);
/* The next time that one is over (wall), or that there is something to sweep; G_MAXINT64: none. */
gint64 zm_claims_next (const ZmQueue *queue);
/* claim, claim_count, and times in place of the message's own. */
void zm_claims_show (const ZmQueue *queue, guint64 seq, ZmSeen *seen);
guint64 zm_claims_claimed (const ZmQueue *queue); /* messages under claims */
/* Its claim, or NULL: free. */
const char *zm_claims_of (const ZmQueue *queue, guint64 seq);
/* Is this a claim of the queue that is not over? */
gboolean zm_claims_known (const ZmQueue *queue, ZmSpan claim);
/* A message goes: in prepare the documents about it; in commit the memory, or the undoing of the first. */
void zm_claims_remove_in (ZmQueue *queue, ZmStoreWriter *writer, guint64 seq);
void zm_claims_removed (ZmQueue *queue, guint64 seq);
void zm_claims_remain (ZmQueue *queue, guint64 seq);
/* The queue was purged: all of the memory. Its documents are deleted by prefix. */
void zm_claims_clear (ZmQueue *queue);

/* ---- window.c: senders' ids ---- */

gboolean zm_window_load (ZmQueue *queue, GError **error); /* after the index */
void zm_window_free (ZmWindow *window);
/* The first of that id, also one that is not durable yet. */
gboolean zm_window_find (const ZmQueue *queue, ZmSpan id, gint64 now_us, guint64 *seq, gint64 *created_us);
/* Of an append whose record has an id: noted in prepare (seq and created_us are known), with its document; kept by commit, forgotten by undo. */
void zm_window_in (ZmAppend *append, ZmStoreWriter *writer, ZmSpan id);
void zm_window_commit (ZmAppend *append);
void zm_window_undo (ZmAppend *append);
/* Ids and seconds really held, for status. */
void zm_window_figures (const ZmQueue *queue, guint64 *ids, gint64 *seconds);

/* ---- latest.c: kind = latest ---- */

gboolean zm_latest_load (ZmQueue *queue, GError **error);
void zm_latest_free (ZmLatest *latest);
/* In zm_append_in, before anything else of it: FALSE with error EXISTS (IF_EMPTY); else what it will replace is counted. ALWAYS is REPLACE for
 * a queue of this kind. Then, when it has its place: what was there is removed (into append->dropped). Two steps, as a change once added
 * to the batch cannot be taken back where a bound refuses the append. */
gboolean zm_latest_in (ZmAppend *append, ZmSpan key, GError **error);
void zm_latest_placed (ZmAppend *append, ZmStoreWriter *writer);
void zm_latest_commit (ZmAppend *append);
void zm_latest_undo (ZmAppend *append);
/* A message has gone (of any kind of queue): forgets its key, ends waits of zm_queue_wait_empty. Purge: seq 0: all. */
void zm_latest_removed (ZmQueue *queue, guint64 seq);
/* Ends waiters with UNAVAILABLE. */
void zm_latest_close (ZmQueue *queue);

/* ---- cache.c: the most recent records. Any thread ---- */

ZmCache *zm_cache_new (gsize most);
void zm_cache_free (ZmCache *cache);
void zm_cache_clear (ZmCache *cache);
void zm_cache_put (ZmCache *cache, ZmRecord *record); /* takes a reference */
ZmRecord *zm_cache_get (ZmCache *cache, guint64 queue, guint64 seq);
void zm_cache_drop (ZmCache *cache, guint64 queue, guint64 seq);

G_END_DECLS
