/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * delivery: cursors over queues whose messages are handed to a target until each is delivered or dead: due times, retry
 * policies, attempts, dead letters with their history, replay. The one machine of the runtime that retries. Targets are made by the
 * rooms above and by protocol plugins; `action:` is the first: a queue whose messages run actions. Durable sends are such a queue,
 * the runtime's own (^sends).
 *
 * A message in flight is in memory only: after a crash it is handed out again, with the same id and the next attempt's number.
 * Stored are, per consumer, the cursor (lazily) and one document per message that waits for its retry (attempts so far, due
 * time, history).
 */
#pragma once

#include "queue/zm-queue.h"

G_BEGIN_DECLS

typedef struct ZmDelivery ZmDelivery;
typedef struct ZmConsumer ZmConsumer;

/* ---- retry policy: a superset of Zaqar's phases (design 04) ---- */

typedef enum {
  ZM_BACKOFF_LINEAR,
  ZM_BACKOFF_ARITHMETIC,
  ZM_BACKOFF_GEOMETRIC,
  ZM_BACKOFF_EXPONENTIAL
} ZmBackoff;

typedef struct ZmRetryPolicy {
  guint immediate; /* retries at once */
  guint pre;       /* then so many, pre_ms apart */
  gint64 pre_ms;
  guint backoff; /* then so many by function, the first after min, the last after max */
  ZmBackoff function;
  gint64 min_ms, max_ms;
  gboolean
      stepped; /* as Zaqar counts: one for each 5 s from min to below max, in whole seconds; backoff follows from that */
  guint post; /* then so many, post_ms apart */
  gint64 post_ms;
  guint jitter; /* percent of each delay that is drawn anew: it may be shorter by so much, never longer */
  gint64 max_age_ms; /* of the message; 0: none */
  gint64 *schedule;  /* in place of all phases: n_schedule delays, ms; owned; or NULL */
  guint n_schedule;
  gint64 most;              /* retries in all, at most; -1: as many as the phases have */
  gboolean ignore_override; /* Zaqar's: a subscription's own policy does not count */
} ZmRetryPolicy;
/* The runtime's standard, and Zaqar's: after 0, 0, 0, 5, 5, 5, 5, 10, 15, 20, 25, 30, 30 and 30 s. */
void zm_retry_policy_init (ZmRetryPolicy *policy);
void zm_retry_policy_copy (ZmRetryPolicy *policy, const ZmRetryPolicy *from);
void zm_retry_policy_clear (ZmRetryPolicy *policy);
/* Reads a JSON object: our names or Zaqar's; what it does not name is 0, or with Zaqar's names Zaqar's standard. Delays are
 * numbers of seconds, or texts such as "500ms". The error names the member; policy is left alone then. */
gboolean zm_retry_policy_read (ZmRetryPolicy *policy, ZmSpan json, GError **error);
/* So many retries and no other number: the phases are cut, or the last delay goes on. */
void zm_retry_policy_limit (ZmRetryPolicy *policy, guint retries);
/* How many retries there are. */
guint zm_retry_policy_count (const ZmRetryPolicy *policy);
/* The longest delay of all, ms: what a target that asks for another time may get at most. */
gint64 zm_retry_policy_longest (const ZmRetryPolicy *policy);
/* The delay before attempt number `attempt` (2 is the first retry), ms; -1: there is none any more, the message is dead. random: 0 … 1. */
gint64 zm_retry_policy_delay (const ZmRetryPolicy *policy, guint attempt, double random);

/* ---- targets ---- */

typedef enum {
  ZM_DELIVERED,
  ZM_DELIVERY_RETRY,  /* failed: again by the policy, or dead after the last attempt */
  ZM_DELIVERY_REJECT, /* failed, and would fail again: dead at once */
  ZM_DELIVERY_GONE,   /* the same; there is no such target any more */
  ZM_DELIVERY_BACK /* the target did not get to it (it ends, it was full): counts as no attempt; offered again */
} ZmVerdict;

/* One message on its way to a target; belongs to the target from start until it is told back. */
typedef struct ZmAttempt {
  ZmConsumer *consumer;
  guint64 seq;
  guint number;       /* 1 at first */
  ZmMessage *message; /* what make made, or what was handed over just now; the room's reference; or NULL */
  ZmStored stored;    /* parts point into message, or are the attempt's own */
  gpointer target;    /* the target's own */
} ZmAttempt;

typedef struct ZmTarget {
  /* Takes the attempt; answers later, once, by zm_delivery_ended. FALSE: busy, nothing was taken: it is offered again after
   * zm_delivery_again. In the store's thread, so it must be short and not block; it may end the attempt already. */
  gboolean (*start) (ZmAttempt *attempt, gpointer user);
  /* The message that start finds in the attempt, from what is stored (borrowed). NULL with an error: it can be made into none, and
   * is dead. In a reader's thread. May be NULL: start has attempt->stored alone. */
  ZmMessage *(*make) (const ZmStored *stored, gpointer user, GError **error);
  /* In prepare of the unit with which a message ends, done or dead: adds what is to go with it; and when that is written. The
   * store's thread. Both may be NULL. */
  void (*ending) (const ZmAttempt *attempt, ZmStoreWriter *writer, gpointer user);
  void (*ended) (const ZmAttempt *attempt, gpointer user);
  gpointer user;
} ZmTarget;
/* Names the attempt's message among all, over restarts: the consumer's name, a slash, and its place in the queue. The caller frees. */
char *zm_delivery_attempt_key (const ZmAttempt *attempt);

/* What is written in the same transaction as the end of a message: results for bound queues. */
typedef struct ZmDeliveryEnd {
  ZmVerdict verdict;
  gint64 after_ms;             /* RETRY: not before, up to the policy's longest delay; -1: the policy says */
  const char *code, *text;     /* of a failure; copied, the text up to 1 KiB */
  const ZmRetryPolicy *policy; /* in place of the consumer's; copied; or NULL */
  ZmMessage *const *
      results; /* referenced; where the message ends by this: appended to the queues bound to their topics, then published */
  guint n_results;
} ZmDeliveryEnd;
/* Any thread; never blocks. The attempt is the room's again. While the store fails, the end is kept until it takes it. */
void zm_delivery_ended (ZmAttempt *attempt, const ZmDeliveryEnd *end);
/* The target takes again. Any thread. */
void zm_delivery_again (ZmConsumer *consumer);

typedef struct ZmConsumerConfig {
  const char *name; /* for its documents, logs, listings */
  ZmQueueName queue;
  ZmTarget target;
  ZmRetryPolicy policy;    /* copied */
  guint concurrency;       /* in flight at most */
  gboolean strict;         /* with concurrency 1: what waits for its retry holds up all behind it */
  gboolean consumes;       /* delivered messages leave the queue (retain = consumed) */
  const char *dead_letter; /* queue for the dead, or NULL: QUEUE.dead */
  guint
      waiting_most; /* waiting for their retry at a time; while there are so many, no new ones are begun. 0: 1,000,000 */
} ZmConsumerConfig;

typedef struct ZmDeliveryConfig {
  ZmQueues *queues;
  ZmStore *store;
  ZmTimers *timers;
  ZmLog *log;
  ZmMetrics *metrics;
  gint64 (*now_us) (gpointer user); /* monotonic; NULL: the clock's */
  gint64 (*wall_us) (gpointer user);
  /* Publishes what a message's end brought, after the commit. References are taken. In the room's own thread: it may block. */
  void (*publish) (ZmMessage *const *messages, guint n, gpointer user);
  gpointer user;
} ZmDeliveryConfig;

ZmDelivery *zm_delivery_new (const ZmDeliveryConfig *config, GError **error);
/* Starts nothing new; what is in flight is waited for, at most until deadline_us. Returns how many were left. May be called
 * again, after the targets have ended the rest. Not the store's thread. */
guint zm_delivery_close (ZmDelivery *delivery, gint64 deadline_us);
/* After the last close, before zm_queues_close: lets the queues' readers go. Not the store's thread; waits for that. */
void zm_delivery_leave (ZmDelivery *delivery);
/* After that, and after zm_store_free and the targets' end; with all consumers. */
void zm_delivery_free (ZmDelivery *delivery);
/* For who gives clocks of his own: they were moved. Any thread. */
void zm_delivery_wake (ZmDelivery *delivery);

/* Reads its documents, then begins; both in the store's thread, soon. */
ZmConsumer *zm_consumer_new (ZmDelivery *delivery, const ZmConsumerConfig *config, GError **error);
/* Nothing new is started; it goes when what it has in flight has ended. Its documents stay. Its target must live until
 * `gone` is called (in the store's thread, or here), or the delivery is freed. gone may be NULL. */
void zm_consumer_free (ZmConsumer *consumer, void (*gone) (gpointer user), gpointer user);
/* A message of its queue was just put, and this is what it says: it need not be read back for its first attempt. Takes the
 * reference. id: as zm_queue_put answered. In the store's thread, within `done` of the put. */
void zm_consumer_hand (ZmConsumer *consumer, const char *id, ZmMessage *message);

/* ---- dead letters ---- */

/*
 * A dead letter is an ordinary message, with the body, topic and key that it had. Its headers are those that it had, and first of all
 * the member "dead-letter": an object of code, text, attempts, first, last (times of the attempts, microseconds), project,
 * queue, id, sender-id (where it came from), consumer, and history: up to 20 of {at, code, text}, the latest last.
 *
 * Puts dead messages of a dead-letter queue back where they came from, with a new count of attempts, each in one transaction; ids
 * empty: all that are there now, else at most 64. What is no dead letter stays. Answers n. Any thread.
 */
void zm_delivery_replay (ZmDelivery *delivery, ZmQueueName dead, const ZmSpan *ids, guint n, ZmQueueDone done,
                         gpointer user);
/* Is a message with these headers a dead letter? *told is the object that says why. */
gboolean zm_delivery_dead_letter (ZmSpan headers, ZmSpan *told);
/* JSON: consumers with their cursor, in flight, waiting, delivered, dead. The caller frees. */
char *zm_delivery_status_json (ZmDelivery *delivery);
/* Of all consumers together: now, and since the start. */
typedef struct ZmDeliveryFigures {
  guint64 in_flight, waiting, delivered, retried, dead, gone;
} ZmDeliveryFigures;
void zm_delivery_figures (ZmDelivery *delivery, ZmDeliveryFigures *figures);

G_END_DECLS
