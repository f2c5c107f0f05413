/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * queue: logs of messages with a queue view on them. A message has a place (queue, sequence number), a TTL, perhaps a delay and a
 * sender's id; it is listed, claimed, popped, deleted; it expires. Knows the store room; not topics' subscribers, HTTP or actions.
 *
 * Every operation is asynchronous: it is handed to the store's thread, where all decisions about queues are made one after the
 * other, and `done` is called once when it is durable, in the store's or a reader's thread (where it is refused at once: in the caller's): it must be short and not block. What
 * it is given is borrowed until it returns. Any thread may ask.
 *
 * In memory a message costs some 10 bytes: sequence numbers in chunks, with size and expiry; bodies are in the store (the most
 * recent ones are kept too, within a bound). Claims, counts of claims, delays and keys of `latest` are exceptions beside.
 *
 * Two views of one log (design 11, 29): the queue view loses a message by deletion, pop, acknowledgement and expiry; the record is
 * freed when, besides, every reader registered at the log (zm_queue_reader_*) is past it.
 */
#pragma once

#include "base/zm-timers.h"
#include "config/zm-config.h"
#include "message/zm-message.h"
#include "store/zm-store.h"

G_BEGIN_DECLS

typedef struct ZmQueues ZmQueues;

#define ZM_QUEUE_NAME_MOST    64  /* bytes: [a-zA-Z0-9_.-] */
#define ZM_QUEUE_PROJECT_MOST 256 /* bytes, no control bytes */
#define ZM_QUEUE_ID_MOST      64  /* bytes of a sender's id: [A-Za-z0-9_.:-] */
#define ZM_QUEUE_BODY_MOST    (64 << 20)
#define ZM_QUEUES_MOST        1000000
#define ZM_QUEUE_CLAIMED_MOST 1000000 /* messages of one queue under claims at a time */

typedef enum { ZM_QUEUE_FIFO, ZM_QUEUE_LATEST } ZmQueueKind;
typedef enum { ZM_FULL_REFUSE, ZM_FULL_DROP_NEW, ZM_FULL_DROP_OLDEST } ZmQueueFull;
typedef enum { ZM_RETAIN_TTL, ZM_RETAIN_CONSUMED } ZmQueueRetain;
typedef enum { ZM_DURABLE_SYNC, ZM_DURABLE_BATCH, ZM_DURABLE_MEMORY } ZmQueueDurability;
typedef enum { ZM_PUT_ALWAYS_, ZM_PUT_IF_EMPTY_, ZM_PUT_REPLACE_ } ZmPutHow;

/* Whom an operation is about. Spans are copied. project empty: that of [zaqar] project (queues of the configuration, /v1). */
typedef struct ZmQueueName {
  ZmSpan project, name;
} ZmQueueName;

/* ---- messages ---- */

/* What is put. Spans and frames are copied or shared before the function returns. */
typedef struct ZmPut {
  ZmSpan body;           /* opaque; Zaqar's: the JSON text as it came */
  ZmSpan headers;        /* one JSON object, or empty */
  ZmSpan topic;          /* the topic that it came on, or empty */
  ZmSpan key;            /* element of a `latest` queue; else the ordering key; or empty */
  ZmSpan id;             /* the sender's, or empty: looked up among those of the window */
  ZmSpan client;         /* Zaqar's Client-ID, 16 bytes, or empty: who is not echoed to */
  gint64 ttl_s, delay_s; /* -1: the queue's standard */
} ZmPut;
/* As ttl_s of appends: the queue's standard for dead letters, which is longer than that of queues made by use. */
#define ZM_PUT_TTL_LETTER (-2)

/* A stored message, as answers have it; borrowed unless said otherwise. */
typedef struct ZmStored {
  char id[ZM_UUID_SIZE + 1];
  guint64 seq;
  gint64 created_us, expires_us, due_us; /* wall time; expires_us G_MAXINT64: never */
  gint64 ttl_s;
  ZmSpan body, headers, topic, key, sender_id, client;
  char claim[ZM_UUID_SIZE + 1]; /* empty: free */
  guint claim_count;
  guint8 sum[16]; /* MD5 of the body, where the queue wants checksums (Zaqar's `checksum`); has_sum */
  gboolean has_sum;
} ZmStored;

/* Time-ordered UUID that holds the place. FALSE: no id of ours, or of another queue. */
void zm_queue_id_make (guint64 queue, guint64 seq, gint64 created_us, char out[ZM_UUID_SIZE + 1]);
gboolean zm_queue_id_read (ZmSpan id, guint64 *queue, guint64 *seq);

typedef struct ZmClaimInfo {
  char id[ZM_UUID_SIZE + 1];
  gint64 ttl_s, grace_s, age_s;
} ZmClaimInfo;

typedef struct ZmQueueStats {
  guint64 free, claimed, delayed, total, bytes;
  guint64 put, taken, expired, dropped, dead, duplicates; /* since the start of the daemon */
  gboolean has_oldest;
  ZmStored oldest, newest; /* only id, seq, created_us */
  ZmQueueKind kind;
  guint64 last_seq;
} ZmQueueStats;

/* What an operation answers; only the members that the operation names are set. */
typedef struct ZmQueueAnswer {
  gboolean created;         /* the queue, or the message, is new */
  gboolean duplicate;       /* the sender's id was there: ids has the first one's */
  guint n;                  /* how many were removed, requeued … */
  const ZmStored *messages; /* n_messages of them */
  guint n_messages;
  const char *const *ids; /* of what was put, in order: n_ids of them */
  guint n_ids;
  ZmClaimInfo claim;
  ZmQueueStats stats;
  const char *metadata; /* JSON object text */
  gboolean more;        /* the list goes on behind the last message */
} ZmQueueAnswer;

/* error NULL: done, and durable where the queue is. Codes: NOT_FOUND, EXISTS, REFUSED (claimed by somebody else), INVALID, LIMIT (queue or disk full),
 * UNAVAILABLE (the store failed). */
typedef void (*ZmQueueDone) (const ZmQueueAnswer *answer, const GError *error, gpointer user);

/* Appends n messages, all or none. The queue is made where it is not there. Answers ids, duplicate (all
 * were), n (how many were), created. */
void zm_queue_put (ZmQueues *queues, ZmQueueName queue, const ZmPut *puts, guint n, ZmQueueDone done,
                   gpointer user);
/* For `latest`: n = 1. IF_EMPTY: only where no element of that key is there, claimed ones included: else error EXISTS. REPLACE: in
 * place of what is there; whoever holds the old one can no longer bring it back. */
void zm_queue_put_how (ZmQueues *queues, ZmQueueName queue, const ZmPut *put, ZmPutHow how, ZmQueueDone done,
                       gpointer user);
/* done when no element of that key (key empty: no message at all) is in the queue, or with UNAVAILABLE at until_us (monotonic). */
void zm_queue_wait_empty (ZmQueues *queues, ZmQueueName queue, ZmSpan key, gint64 until_us, ZmQueueDone done,
                          gpointer user);

/* What to list. */
typedef struct ZmQueueList {
  ZmSpan marker; /* id of the last one seen, or empty; a bad one gives an empty list */
  guint limit;
  ZmSpan without;            /* messages of this client are left out; empty: none */
  gboolean claimed, delayed; /* those too */
  gboolean newest;           /* from the end, for peek */
} ZmQueueList;
/* Answers messages, more. A queue that is not there has none. */
void
zm_queue_list (ZmQueues *queues, ZmQueueName queue, const ZmQueueList *list, ZmQueueDone done, gpointer user);
/* Those of these ids that are there, in their order. */
void zm_queue_get (ZmQueues *queues, ZmQueueName queue, const ZmSpan *ids, guint n, ZmQueueDone done,
                   gpointer user);

/* claim empty, and the message is claimed: REFUSED. claim given: INVALID where it is not claimed, or the claim is unknown or over;
 * REFUSED where it is another's. What is not there is no error. Answers n. */
void zm_queue_delete (ZmQueues *queues, ZmQueueName queue, ZmSpan id, ZmSpan claim, ZmQueueDone done,
                      gpointer user);
/* Several; those that may not be deleted are left. n_claims 0: claims are not looked at (Zaqar's bulk delete). Answers n. */
void zm_queue_delete_many (ZmQueues *queues, ZmQueueName queue, const ZmSpan *ids, guint n,
                           const ZmSpan *claims, guint n_claims, ZmQueueDone done, gpointer user);
/* The first n that are free, removed in the same step. Answers messages. */
void zm_queue_pop (ZmQueues *queues, ZmQueueName queue, guint n, ZmQueueDone done, gpointer user);

/* Claims the first `limit` that are free. Answers claim and messages; none: n_messages 0, and there is no claim. A message that had
 * been claimed _max_claim_count times goes to the dead-letter queue instead. ttl, grace -1: standards. */
void zm_queue_claim (ZmQueues *queues, ZmQueueName queue, guint limit, gint64 ttl_s, gint64 grace_s,
                     ZmQueueDone done, gpointer user);
void zm_queue_claim_get (ZmQueues *queues, ZmQueueName queue, ZmSpan claim, ZmQueueDone done, gpointer user);
void zm_queue_claim_renew (ZmQueues *queues, ZmQueueName queue, ZmSpan claim, gint64 ttl_s, gint64 grace_s,
                           ZmQueueDone done, gpointer user);
/* Frees what is left of it at once. An unknown one is no error. */
void
zm_queue_claim_release (ZmQueues *queues, ZmQueueName queue, ZmSpan claim, ZmQueueDone done, gpointer user);

/* For long polls: wake (user) is called once, in the store's thread, as soon as the queue may have something free that was put,
 * released or became due after this call. Returns a number for cancel; 0: too many watch (10,000). */
guint64 zm_queue_watch (ZmQueues *queues, ZmQueueName queue, void (*wake) (gpointer user), gpointer user);
/* When it returns, wake neither runs nor will be called. Not from within wake. */
void zm_queue_unwatch (ZmQueues *queues, guint64 watch);

/* ---- queues ---- */

/* metadata: JSON object or empty. Answers created; an existing one keeps its metadata. */
void zm_queue_create (ZmQueues *queues, ZmQueueName queue, ZmSpan metadata, ZmQueueDone done, gpointer user);
/* Replaces the metadata; the queue must be there. expect: the metadata that it was made from; another one there: EXISTS. */
void zm_queue_set_metadata (ZmQueues *queues, ZmQueueName queue, ZmSpan expect, ZmSpan metadata,
                            ZmQueueDone done, gpointer user);
/* Answers metadata, created TRUE where the queue is there ("{}" and FALSE where it is not). */
void zm_queue_get_metadata (ZmQueues *queues, ZmQueueName queue, ZmQueueDone done, gpointer user);
/* The same at once, without the store's thread; the caller frees; NULL: the queue has none, or is not there. Any thread. What is
 * being changed at this moment may be seen before it is on disk. */
char *zm_queue_peek_metadata (ZmQueues *queues, ZmQueueName queue);
/* With all messages, in both views. One that is not there is no error; one of the configuration is only emptied. */
void zm_queue_remove (ZmQueues *queues, ZmQueueName queue, ZmQueueDone done, gpointer user);
/* All messages, in both views, claimed ones too. Answers n. */
void zm_queue_purge (ZmQueues *queues, ZmQueueName queue, ZmQueueDone done, gpointer user);
void zm_queue_stats (ZmQueues *queues, ZmQueueName queue, ZmQueueDone done, gpointer user);

/* Of each queue of a project (project NULL: of all) by name, behind `after`, at most `most`, 0: all; func is called in the
 * calling thread on copies. Returns how many. Names of the runtime's own queues (they begin with ^) only where internal. */
typedef struct ZmQueueShown {
  const char *project, *name, *metadata;
  gboolean configured;
  guint64 total, bytes;
} ZmQueueShown;
guint zm_queues_each (ZmQueues *queues, const char *project, const char *after, guint most, gboolean internal,
                      void (*func) (const ZmQueueShown *shown, gpointer user), gpointer user);
guint zm_queues_count (ZmQueues *queues, const char *project);

/* ---- the whole room ---- */

typedef struct ZmQueuesConfig {
  ZmStore *store;
  ZmTimers *timers;
  ZmConfig *config; /* [queue NAME], [zaqar], [store] */
  ZmLog *log;
  ZmMetrics *metrics;
  gint64 (*wall_us) (gpointer user); /* NULL: the clock of the store's batches */
  gpointer user;
} ZmQueuesConfig;
/* Loads the list of queues; what is in them is loaded at first use. */
ZmQueues *zm_queues_new (const ZmQueuesConfig *config, GError **error);
/* Nothing more is taken; waiters end with UNAVAILABLE. Before zm_store_free. */
void zm_queues_close (ZmQueues *queues);
/* After zm_store_free. */
void zm_queues_free (ZmQueues *queues);
/* Everything that can be wrong in [queue NAME]. Any thread. */
void zm_queues_check (const ZmConfig *config, ZmProblems *problems);
/* A new configuration: queues made, bindings and options changed; one that is no longer named stays with its messages. */
void zm_queues_configure (ZmQueues *queues, ZmConfig *config);
/* The publish tap: appends to every queue bound to a message's topic; never blocks: what there is no room for is counted and logged. The
 * publisher's thread. */
void zm_queues_tap (ZmMessage *const *messages, guint n, gpointer queues);
/* Has any queue a binding that this topic matches? Any thread. */
gboolean zm_queues_bound (ZmQueues *queues, ZmSpan topic);
/* JSON array for status and listings: name, project, kind, counts, bytes, age of the oldest, drops, window of ids. The caller frees. */
char *zm_queues_status_json (ZmQueues *queues);

/* ---- for the rooms above that join in one transaction ---- */

/* Inside prepare of a unit of theirs (the store's thread). The append becomes visible when that unit's done calls _commit, and is undone by
 * _undo; exactly one of both. NULL: refused (full), error says so. */
typedef struct ZmQueueAppend ZmQueueAppend;
ZmQueueAppend *zm_queue_append_in (ZmQueues *queues, ZmStoreWriter *writer, ZmQueueName queue,
                                   const ZmPut *put, GError **error);
/* A dead letter of `from` into `queue`: kept as long as `from` says, else as `queue` says. Never fewer days because of [zaqar]. */
ZmQueueAppend *zm_queue_append_dead_in (ZmQueues *queues, ZmStoreWriter *writer, ZmQueueName from,
                                        ZmQueueName queue, const ZmPut *put, GError **error);
/* To every queue that is bound to the topic; all of them as one. NULL without error: none is bound. */
ZmQueueAppend *
zm_queue_append_bound_in (ZmQueues *queues, ZmStoreWriter *writer, ZmSpan topic, const ZmPut *put);
void zm_queue_append_commit (ZmQueueAppend *append);
void zm_queue_append_undo (ZmQueueAppend *append);

/* A reader of the log, with a cursor: the delivery room's. All in the store's thread, but for new and free (any thread, before
 * and after use). `ready` is called in the store's thread when something is behind the cursor, or became due. */
typedef struct ZmQueueReader ZmQueueReader;
ZmQueueReader *zm_queue_reader_new (ZmQueues *queues, ZmQueueName queue, guint64 after,
                                    void (*ready) (ZmQueueReader *reader, gpointer user), gpointer user);
void zm_queue_reader_free (ZmQueueReader *reader);
/* Up to most sequence numbers of messages behind the cursor that are due and not over, and moves the cursor behind them. */
guint zm_queue_reader_take (ZmQueueReader *reader, guint64 *seqs, guint most);
/* Is a message that it took still in the log: not purged, replaced, consumed or over? TRUE as well where that is not known just now. */
gboolean zm_queue_reader_has (const ZmQueueReader *reader, guint64 seq);
/* Where to go on after a restart: behind what was taken, but before the first message that was not due yet. */
guint64 zm_queue_reader_cursor (const ZmQueueReader *reader);
/* The reader needs nothing up to this one any more: what has left the queue view is freed where no other reader needs it. */
void zm_queue_reader_settle (ZmQueueReader *reader, guint64 upto);
/* Reads a message for a reader (any thread; reader NULL inside the store's thread). FALSE: it is gone (over, purged) or damaged. func is told
 * borrowed parts. */
gboolean zm_queue_read (ZmQueues *queues, void *reader, ZmQueueName queue, guint64 seq,
                        void (*func) (const ZmStored *stored, gpointer user), gpointer user);
/* Inside prepare: the message has left both views (acknowledged, delivered where retain = consumed). Undone by _undo. */
void zm_queue_consume_in (ZmQueues *queues, ZmStoreWriter *writer, ZmQueueName queue, guint64 seq);
void zm_queue_consume_commit (ZmQueues *queues, ZmQueueName queue, guint64 seq);
void zm_queue_consume_undo (ZmQueues *queues, ZmQueueName queue, guint64 seq);

G_END_DECLS
