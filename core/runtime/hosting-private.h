/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The inside of the host's hosting, shared by the files that make them. */
#pragma once

#include "runtime/hosting.h"

#include <pthread.h>
#include <stdatomic.h>

G_BEGIN_DECLS

struct ZmHosting {
  struct ZmRuntime *runtime;
  atomic_bool accepting;
  atomic_bool over; /* accepting is off for good */
  gsize body_most;  /* of a message that a plugin sends */

  pthread_mutex_t lock; /* guards ids, metrics, budgets */
  ZmUuidMaker ids;
  GHashTable *metrics; /* plugin name -> GHashTable: metric name -> ZmCounter */
  GHashTable *budgets; /* plugin name -> what it may still log */

  ZmCounter *emitted, *denied, *loops;
  ZmCounter *unstored; /* given to be stored, and lost, and nobody was to be told */
  atomic_int asked;    /* of the store, and not answered */
  atomic_bool store_over; /* the store is being closed: nothing is asked of it any more */
  struct ZmKept *kept;
};

/* ---- asked.c: what plugins asked the store for ---- */

typedef struct ZmAsked ZmAsked;

/* Ends in one _over and one _returns, in any order. done may be NULL. NULL: too much waits. */
ZmAsked *zm_asked_new (ZmGeneration *generation, zm_done_fn done, void *user);
/* It waits for something, at most until then (zm_now_us). Before it is given away. */
void zm_asked_until (ZmAsked *asked, gint64 until_us);
/* The answer: done is told in a worker. Any thread. */
void zm_asked_over (ZmAsked *asked, int status);
/* What the asking function returns to the plugin: an answer that it got at once in its own thread, where that is a refusal; done
 * is not told then. */
int zm_asked_returns (ZmAsked *asked);
int zm_asked_status (const ZmAsked *asked, const GError *error);

/* ---- hostservices.c ---- */

/* The message that a plugin's event stands for, checked as the Subject checks what comes from outside. key_text stands in place
 * of the event's own where a source section gives one. NULL: *status. */
ZmMessage *zm_hosting_message (ZmGeneration *generation, const zm_event *event, const char *key_text,
                               guint hops, int *status);
/* ZM_OK, or why it may not go on although it is well made. */
int zm_hosting_refuses (ZmGeneration *generation, const ZmMessage *message);
/* Between the start of the Subject and the drain. */
gboolean zm_hosting_accepting (ZmHosting *hosting);

/* ---- hostqueues.c ---- */

void zm_hosting_fill_queues (zm_host *host);

/* plugin-log.c: tells what was left out of plugins that `now` (NULL: nothing) does not have. Under the lock. */
void zm_hosting_forget_logs (ZmHosting *hosting, ZmPluginSet *now);

G_END_DECLS
