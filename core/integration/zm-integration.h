/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The Integration Manager: the single publisher. One thread owns the topics sockets (XPUB; one socket an endpoint). Workers
 * hand it batches of finished messages; it publishes each on its topic, and has no other logic. It also knows who
 * subscribes, and offers the publish tap (a door between the wings).
 */
#pragma once

#include "base/zm-log.h"
#include "base/zm-metrics.h"
#include "message/zm-gate.h"
#include "message/zm-message.h"

G_BEGIN_DECLS

typedef struct ZmIntegration ZmIntegration;

typedef struct ZmIntegrationConfig {
  void *zmq;               /* the context */
  const char *const *bind; /* NULL-terminated endpoints: ipc, tcp on loopback, epgm where allow_multicast */
  const char *const *connect;
  int high_water;    /* messages a subscriber (ZMQ_SNDHWM); also the size of the ring */
  ZmFramesForm form; /* MULTI or SINGLE */
  gboolean
      wait_for_slow; /* slow-subscriber = wait: never lossy, a slow one slows all; default FALSE: counted */
  gboolean allow_multicast;
  ZmLog *log;
  ZmMetrics *metrics;
  ZmGates *gates;    /* NULL: connections are not counted */
  guint connections; /* limit of one endpoint; 0: the standard */
} ZmIntegrationConfig;

/* Binds and starts the thread. Errors name the endpoint and what to do. */
ZmIntegration *zm_integration_new (const ZmIntegrationConfig *config, GError **error);
/* Takes nothing new from now on, and lets go who waits for room; what was given is still published. Called before a thread
 * that may publish is joined: with slow-subscriber = wait it could wait for ever. Any thread; NULL is allowed. */
void zm_integration_close (ZmIntegration *integration);
/* Publishes what it was given (at most deadline_ms) and ends the thread, so that the tap has seen all when this returns. What is published
 * after it is dropped and counted. In the thread that frees; NULL is allowed. */
void zm_integration_finish (ZmIntegration *integration, gint64 deadline_ms);
/* The same where that was not done, and closes the sockets. */
void zm_integration_free (ZmIntegration *integration, gint64 deadline_ms);

/* Takes the references of n messages; waits for room in the ring (a forward edge may block). FALSE: shut down; all were
 * counted as dropped and released. Any thread. */
gboolean zm_integration_publish (ZmIntegration *integration, ZmMessage *const *messages, guint n);

/* Door: the publish tap sees each batch before it is sent, in the publisher's thread. At most one; set before traffic. */
typedef struct ZmPublishTap {
  void (*batch) (ZmMessage *const *messages, guint n, gpointer user);
  gpointer user;
} ZmPublishTap;
void zm_integration_set_tap (ZmIntegration *integration, const ZmPublishTap *tap);

/* Would a publication on this topic reach a subscription now? Any thread. */
gboolean zm_integration_has_subscriber (ZmIntegration *integration, ZmSpan topic);
/* Is this very prefix subscribed now? Any thread. */
gboolean zm_integration_has_prefix (ZmIntegration *integration, ZmSpan prefix);
guint zm_integration_n_subscriptions (ZmIntegration *integration);
/* Adds, as char * that out owns, why this room does not do all of its work: an endpoint has more different subscriptions than
 * are kept. Any thread. */
void zm_integration_reasons (ZmIntegration *integration, GPtrArray *out);
/* Told in the publisher's thread of every subscription (on), and of an unsubscription when no peer of that endpoint has the
 * prefix any more; prefix is borrowed, and the set that has_subscriber asks is up to date already. For HELLO and for those
 * who wait for a taker. It must be short, and neither publish nor watch. At most 8. */
typedef void (*ZmSubscriptionFunc) (ZmSpan prefix, gboolean on, gpointer user);
void zm_integration_watch_subscriptions (ZmIntegration *integration, ZmSubscriptionFunc func, gpointer user);
/* When this returns, no call runs and none will begin. Not from within a call. */
void
zm_integration_unwatch_subscriptions (ZmIntegration *integration, ZmSubscriptionFunc func, gpointer user);
/* Publications of topics that begin with prefix carry the header `sequence` from now on (services that registered). Numbers count
 * each topic without its id on its own, from 1. As many offs as ons take it back; what is counted under it is forgotten when the room is needed. */
void zm_integration_number_topic (ZmIntegration *integration, const char *prefix, gboolean on);
/* What is really bound, after wildcards: NULL-terminated, owned. */
const char *const *zm_integration_endpoints (ZmIntegration *integration);
guint zm_integration_queued (ZmIntegration *integration);
/* A JSON object: queued, subscriptions, published; stalled: publications that one subscriber or more could not take, as many
 * as libzmq tells of; dropped, failed. The caller frees. */
char *zm_integration_status_json (ZmIntegration *integration);

G_END_DECLS
