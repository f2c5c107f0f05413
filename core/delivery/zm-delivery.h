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
  guint backoff; /* then so many by function, from min to max */
  ZmBackoff function;
  gint64 min_ms, max_ms;
  guint post; /* then so many, post_ms apart */
  gint64 post_ms;
  guint jitter;      /* percent of each delay that is drawn anew */
  gint64 max_age_ms; /* 0: none */
  gint64 *schedule;  /* in place of all phases: n_schedule delays, ms; owned; or NULL */
  guint n_schedule;
} ZmRetryPolicy;
/* The runtime's standard: 3 immediate … as Zaqar's defaults. */
void zm_retry_policy_init (ZmRetryPolicy *policy);
void zm_retry_policy_clear (ZmRetryPolicy *policy);
/* Reads a JSON object: our names or Zaqar's. The error names the member. */
gboolean zm_retry_policy_read (ZmRetryPolicy *policy, ZmSpan json, GError **error);
/* The delay before attempt number `attempt` (2 is the first retry), ms; -1: there is none any more, the message is dead. random: 0 … 1. */
gint64 zm_retry_policy_delay (const ZmRetryPolicy *policy, guint attempt, double random);

/* ---- targets ---- */

typedef enum { ZM_DELIVERED, ZM_DELIVERY_RETRY, ZM_DELIVERY_REJECT, ZM_DELIVERY_GONE } ZmVerdict;

/* One message on its way to a target; belongs to the target until it is told back. */
typedef struct ZmAttempt {
  ZmConsumer *consumer;
  guint64 seq;
  guint number; /* 1 at first */
  ZmMessage *message;
  ZmStored stored; /* parts point into message, or are the attempt's own */
  gpointer target; /* the target's own */
} ZmAttempt;

typedef struct ZmTarget {
  /* Takes the attempt; answers later, once, by zm_delivery_ended. FALSE: busy, nothing was taken: it is offered again after
   * zm_delivery_again. The delivery's thread; must not block. */
  gboolean (*start) (ZmAttempt *attempt, gpointer user);
  gpointer user;
} ZmTarget;

/* What is written in the same transaction as the end of a message: results for bound queues. */
typedef struct ZmDeliveryEnd {
  ZmVerdict verdict;
  gint64 after_ms;         /* RETRY: not before; -1: the policy says */
  const char *code, *text; /* of a failure; copied */
  ZmMessage *const
      *results; /* referenced: appended to the queues bound to their topics, and then published */
  guint n_results;
} ZmDeliveryEnd;
/* Any thread. The attempt is the room's again. */
void zm_delivery_ended (ZmAttempt *attempt, const ZmDeliveryEnd *end);
/* The target takes again. Any thread. */
void zm_delivery_again (ZmConsumer *consumer);

typedef struct ZmConsumerConfig {
  const char *name; /* for its documents, logs, listings */
  ZmQueueName queue;
  ZmTarget target;
  ZmRetryPolicy policy;    /* copied */
  guint concurrency;       /* in flight at most */
  gboolean consumes;       /* delivered messages leave the queue (retain = consumed) */
  const char *dead_letter; /* queue for the dead, or NULL: QUEUE.dead */
} ZmConsumerConfig;

typedef struct ZmDeliveryConfig {
  ZmQueues *queues;
  ZmStore *store;
  ZmTimers *timers;
  ZmLog *log;
  ZmMetrics *metrics;
  gint64 (*now_us) (gpointer user); /* monotonic; NULL: the clock's */
  gint64 (*wall_us) (gpointer user);
  /* Publishes what a message's end brought, after the commit. References are taken. */
  void (*publish) (ZmMessage *const *messages, guint n, gpointer user);
  gpointer user;
} ZmDeliveryConfig;

ZmDelivery *zm_delivery_new (const ZmDeliveryConfig *config, GError **error);
/* Starts nothing new; what is in flight is waited for, at most until deadline_us. */
void zm_delivery_close (ZmDelivery *delivery, gint64 deadline_us);
void zm_delivery_free (ZmDelivery *delivery);

ZmConsumer *zm_consumer_new (ZmDelivery *delivery, const ZmConsumerConfig *config, GError **error);
void zm_consumer_free (ZmConsumer *consumer);

/* ---- dead letters ---- */

/* Puts dead messages of a dead-letter queue back where they came from; ids empty: all. Answers n. */
void zm_delivery_replay (ZmDelivery *delivery, ZmQueueName dead, const ZmSpan *ids, guint n, ZmQueueDone done,
                         gpointer user);
/* JSON: consumers with their cursor, in flight, waiting, delivered, dead. The caller frees. */
char *zm_delivery_status_json (ZmDelivery *delivery);

G_END_DECLS
