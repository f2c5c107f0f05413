/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the Integration Manager share. Nothing here is for other rooms. */
#pragma once

#include "integration/endpoint.h"
#include "integration/prefixes.h"
#include "integration/waker.h"
#include "integration/zm-integration.h"

#include "base/zm-ring.h"

#include <pthread.h>
#include <stdatomic.h>

#define ZM_TOPICS_SOCKETS_MOST 32
#define ZM_SUBSCRIPTIONS_MOST  65536
#define ZM_WATCHERS_MOST       8
#define ZM_PUBLISH_BATCH       256

/* One XPUB socket; the publisher's thread alone touches socket once it runs. */
typedef struct ZmTopicsSocket {
  void *socket;
  char *endpoint; /* what it is bound or connected to */
  gboolean bound;
  ZmGate *gate;         /* or NULL */
  ZmPrefixes *prefixes; /* what its peers subscribe now */
} ZmTopicsSocket;

typedef struct ZmWatcher {
  ZmSubscriptionFunc func; /* called under the integration's mutex */
  gpointer user;           /* borrowed, until it is unwatched */
} ZmWatcher;

struct ZmIntegration {
  ZmFramesForm form;
  gboolean wait_for_slow;
  ZmLog *log;

  /* Filled before the thread starts, constant then. */
  ZmTopicsSocket sockets[ZM_TOPICS_SOCKETS_MOST];
  guint n_sockets;
  char **endpoints;

  ZmRing *ring;     /* ZmMessage *, a reference each: what waits to be published */
  ZmWaker waker;    /* wakes the thread out of zmq_poll when the ring gets something */
  pthread_t thread; /* the publisher */
  gboolean ended;   /* and it was joined */
  /* After this moment nothing more is waited for; G_MAXINT64 until zm_integration_free. */
  _Atomic gint64 give_up_us;

  ZmPublishTap tap;      /* set before traffic */
  pthread_mutex_t mutex; /* guards watchers */
  ZmWatcher watchers[ZM_WATCHERS_MOST];
  guint n_watchers;

  ZmPrefixes *numbered;   /* topics that carry `sequence`, held once for each service */
  atomic_uint n_numbered; /* 0: no publication looks at numbered */
  atomic_int taken_back;  /* a prefix went out of numbered since sequences was searched last */
  GHashTable *sequences;  /* topic without its id -> last number; the publisher's thread */

  ZmCounter *published, *stalls, *dropped, *failed, *subscriptions, *uncounted, *unnumbered;
};

/* The thread. user: ZmIntegration. */
void *zm_publisher_run (void *user);
/* The message to send in place of message: itself, or with the header `sequence` where its topic is numbered. Takes and
 * gives a reference. */
ZmMessage *zm_publisher_number (ZmIntegration *integration, ZmMessage *message);
