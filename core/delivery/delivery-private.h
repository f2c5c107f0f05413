/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of the room share.
 *
 * All that a consumer decides is decided in the store's thread, where queues decide too, and so needs no lock: what comes from
 * elsewhere (ends of attempts, timers, targets that take again) comes there as a unit.
 */
#pragma once

#include "delivery/due.h"
#include "delivery/zm-delivery.h"

#include <pthread.h>
#include <stdatomic.h>

G_BEGIN_DECLS

#define ZM_DELIVERY_HISTORY_MOST 20   /* entries kept of failed attempts */
#define ZM_DELIVERY_TEXT_MOST    1024 /* bytes of a failure's text */
#define ZM_DELIVERY_TAKE_MOST    64   /* messages that a consumer takes from its queue at a time */
#define ZM_DELIVERY_FRESH_MOST   4096 /* messages handed over that wait for their start, of one consumer */
#define ZM_DELIVERY_FRESH_BYTES  (16 << 20)
#define ZM_DELIVERY_RESULTS_MOST 4096 /* results that wait for the publisher before nothing new is started */
#define ZM_DELIVERY_RESULT_BYTES (64 << 20)
#define ZM_DELIVERY_AGAIN_US     (G_USEC_PER_SEC) /* when a store that refused is tried again */
#define ZM_DELIVERY_SPACE        "retry"
#define ZM_DELIVERY_CURSORS      "cursor"

/* A message that waits for its next attempt, or has it; known by a document, so that it outlives the daemon. */
typedef struct ZmWaiting {
  ZmDueEntry due; /* first */
  struct ZmWaiting *next;
  ZmConsumer *consumer;
  guint64 seq; /* the key in consumer->waiting */
  guint attempts;
  gboolean over; /* it has ended; kept until the reader is past it, which would offer it again */
} ZmWaiting;

/* An attempt with all that belongs to its end. */
typedef struct ZmTry {
  ZmStoreUnit unit; /* first */
  ZmAttempt attempt;
  struct ZmTry *next;
  ZmDueEntry place;   /* in consumer->flying, by seq */
  ZmWaiting *waiting; /* its document is there; or NULL */
  char *own;          /* what the parts of attempt.stored point into */
  gboolean started, gone;
  /* the end */
  ZmVerdict verdict;
  gint64 after_ms;
  char *code, *text;
  ZmRetryPolicy *policy; /* NULL: the consumer's */
  GPtrArray *results;    /* ZmMessage; NULL: none */
  /* what prepare decided */
  gboolean ends, died, consumed;
  gint64 delay_ms;
  GPtrArray *appends; /* ZmQueueAppend */
  char key
      [24]; /* of its document, behind the consumer's prefix: of one width, so that keys sort as messages do */
} ZmTry;

struct ZmConsumer {
  ZmStoreUnit unit; /* first: opens it */
  ZmStoreUnit leave;
  ZmDelivery *delivery;
  char *name, *project, *queue, *dead;
  char *prefix; /* of its documents' keys: NAME/ */
  ZmTarget target;
  ZmRetryPolicy policy;
  guint concurrency, waiting_most;
  gboolean consumes, strict;
  /* From here on the store's thread. */
  ZmQueueReader *reader; /* NULL: not open yet */
  GHashTable *waiting;   /* seq -> ZmWaiting */
  guint live;            /* of these, so many are not over */
  ZmWaiting *due_head, *due_tail;
  ZmTry *head, *tail; /* to be started */
  guint64 passed;     /* the highest that it took from the reader */
  guint in_flight;    /* tries there are */
  ZmDueHeap flying;   /* their seqs */
  GHashTable *fresh;  /* seq -> ZmMessage */
  gsize fresh_bytes;
  gboolean listed, stalled, reading, leaving;
  ZmConsumer *ready_next;
  struct {
    ZmStoreJob job; /* first */
    ZmStoreUnit unit;
    ZmConsumer *consumer;
  } read;
  guint ended_since; /* since the cursor was written */
  gint64 cursor_us;
  guint64 cursor;
  void (*gone) (gpointer user);
  gpointer gone_user;
  /* any thread */
  atomic_int again;
  atomic_ullong delivered, retried, dead_count, lost, in_flight_now, waiting_now, cursor_now;
};

struct ZmDelivery {
  ZmDeliveryConfig config;
  ZmStoreUnit leave;
  gboolean left;    /* under the lock */
  ZmStoreUnit kick; /* looks at everything anew */
  atomic_int kicked;
  atomic_int closing;
  ZmTimer timer;
  /* the store's thread */
  ZmConsumer *ready_head, *ready_tail;
  ZmDueHeap due; /* of all consumers */
  gboolean pumping;
  ZmStoreAfter pump; /* once a batch: each message alone would wake a thread */
  GPtrArray *brought; /* results of this batch, for the publisher */
  /* under the lock */
  pthread_mutex_t lock;
  pthread_cond_t idle;
  GPtrArray *consumers;
  ZmTry *unsaid; /* ends that the store did not take */
  guint started; /* attempts that targets have, and ends that are not written */
  /* results.c, under the lock */
  pthread_cond_t results_come;
  GPtrArray *results;
  atomic_uint results_waiting;
  atomic_ullong results_bytes;
  gboolean publishing, ending, held_back;
  pthread_t publisher;
  ZmCounter *c_delivered, *c_retried, *c_dead, *c_lost;
  ZmCounter *g_in_flight, *g_waiting;
};

static inline gint64
zm_delivery_now (const ZmDelivery *delivery)
{
  return delivery->config.now_us != NULL ? delivery->config.now_us (delivery->config.user) : zm_now_us ();
}

static inline gint64
zm_delivery_wall (const ZmDelivery *delivery)
{
  return delivery->config.wall_us != NULL ? delivery->config.wall_us (delivery->config.user) : zm_wall_us ();
}

/* delivery.c */
void zm_delivery_kick (ZmDelivery *delivery);  /* pumps in a batch to come; any thread */
void zm_delivery_later (ZmDelivery *delivery); /* the same, when the store may take it again; any thread */
void zm_delivery_pump (ZmDelivery *delivery);  /* starts what can be started, at the batch's end; the store's thread */
void zm_delivery_ready (ZmConsumer *consumer); /* has something to do; the store's thread */
void zm_delivery_unready (ZmConsumer *consumer);
void zm_delivery_started (ZmDelivery *delivery, int change);

/* consumer.c */
gboolean zm_consumer_start_one (ZmConsumer *consumer); /* FALSE: nothing more to do now */
void zm_consumer_release (ZmTry *try);                 /* frees it, and its place in the window */
void zm_consumer_wait (ZmConsumer *consumer, guint64 seq, guint attempts, gint64 due_us);
void zm_consumer_forget (ZmConsumer *consumer, guint64 seq); /* what waited is over */
ZmQueueName zm_consumer_queue (const ZmConsumer *consumer);
guint64 zm_consumer_low (const ZmConsumer *consumer); /* all up to there has ended, or has a document */
void zm_consumer_leave (ZmConsumer *consumer);        /* goes as soon as nothing of it is in flight */
void zm_consumer_destroy (ZmConsumer *consumer);

/* read.c */
ZmTry *zm_try_new (ZmConsumer *consumer, guint64 seq, guint number);
void zm_try_free (ZmTry *try);
void zm_try_set_message (ZmTry *try, ZmMessage *message, guint64 queue, gint64 created_us); /* takes it */
gboolean zm_consumer_read (ZmConsumer *consumer); /* what is to be started; FALSE: the store takes no jobs */

/* ended.c */
void zm_try_submit (ZmTry *try);

/* document.c */
/* The document after this failure. before: the one that was there, or empty. */
GString *zm_document_after (const ZmTry *try, ZmSpan before, gint64 wall_us, gint64 delay_ms);
typedef struct ZmDocument {
  guint attempts;
  gint64 due_us, delay_us;
} ZmDocument;
gboolean zm_document_read (ZmSpan text, ZmDocument *document);
/* Headers of the dead letter. */
GString *zm_document_dead (const ZmTry *try, ZmSpan before, gint64 wall_us);
typedef struct ZmDead {
  char *project, *queue, *headers; /* headers: those that it had, or NULL */
} ZmDead;
gboolean zm_dead_read (ZmSpan headers, ZmDead *dead);
void zm_dead_clear (ZmDead *dead);

/* results.c */
gboolean zm_results_open (ZmDelivery *delivery, GError **error);
void zm_results_add (ZmDelivery *delivery, GPtrArray *messages); /* takes the array; the store's thread */
void zm_results_flush (ZmDelivery *delivery); /* to the publisher; the store's thread, at the batch's end */
gboolean zm_results_full (ZmDelivery *delivery);                 /* then it kicks when there is room */
void zm_results_close (ZmDelivery *delivery);

G_END_DECLS
