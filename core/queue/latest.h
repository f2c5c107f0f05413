/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Queues of kind latest: at most one element a key. In memory a table of keys; the store has the messages alone. Also what waits for a
 * queue, or a key of it, to be empty.
 *
 * An element is there from the moment that its put is decided (another one decided in the same batch sees it) until its message has
 * left the queue view for good; being claimed does not matter.
 */
#pragma once

#include "queue/queue-private.h"

G_BEGIN_DECLS

#define ZM_LATEST_WAITS_MOST 10000 /* of one queue */

/* What is there of one key. */
typedef struct ZmElement {
  ZmSpan key;
  guint64 seq;       /* durable, 0: none */
  ZmAppend *pending; /* decided last, not durable yet; NULL: none */
  GArray *older;     /* guint64: of before the queue was of this kind; NULL: none */
  guint uses;        /* appends that know it */
  char text[];
} ZmElement;

typedef struct ZmEmptyWait ZmEmptyWait;

struct ZmLatest {
  GHashTable *by_key; /* key (ZmSpan) -> ZmElement */
  GHashTable *by_seq; /* seq (guint64 *) -> ZmElement */

  pthread_mutex_t lock; /* guards the list: a timer takes what waits out of it too */
  GPtrArray *waits;     /* ZmEmptyWait: whoever takes one out goes on with it */
};

ZmLatest *zm_latest_of (ZmQueue *queue); /* made where there is none yet */
/* Nothing of this key (empty in a queue of another kind: nothing at all), neither durable nor decided. */
gboolean zm_latest_is_empty (const ZmQueue *queue, ZmSpan key, gint64 now_us);
/* The queue has fewer messages: those who wait for it look again. */
void zm_latest_wake (ZmQueue *queue);

G_END_DECLS
