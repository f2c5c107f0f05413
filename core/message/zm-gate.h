/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Gates: how many connections each bound endpoint has, and what happens when they are too many. libzmq has no such bound,
 * and with descriptors exhausted its listener burns a core; so a socket monitor counts, and an endpoint that is over its
 * limit, or could not accept, is un-bound for a second and bound again. Un-binding ends all its connections: honest peers
 * connect again by themselves.
 *
 * One thread listens to all monitors. The socket itself stays its owner's: the thread only says that something is to be
 * done, and the owner does it in zm_gate_turn.
 */
#pragma once

#include "base/zm-log.h"
#include "base/zm-metrics.h"

G_BEGIN_DECLS

#define ZM_GATE_CONNECTIONS 1024

typedef struct ZmGates ZmGates; /* the thread */
typedef struct ZmGate ZmGate;   /* one bound endpoint of one socket */

/* Starts the thread. log and metrics must outlive it. */
ZmGates *zm_gates_new (void *zmq, ZmLog *log, ZmMetrics *metrics, GError **error);
/* Once every gate has been freed. NULL is fine. */
void zm_gates_free (ZmGates *gates);

/* Called in the gates' thread when zm_gate_turn is due, and again every 100 ms until it has been called. It must not wait
 * for a lock under which a gate is made or freed. */
typedef void (*ZmGateWake) (gpointer user);

/* Watches a socket that is bound to this one endpoint (as bound: without wildcards). limit: connections; 0: the standard
 * 1,024. The socket's owner calls it, and the next two. name: "subject", for the log and status. */
ZmGate *zm_gate_new (ZmGates *gates, const char *name, guint limit, void *socket, const char *endpoint,
                     ZmGateWake wake, gpointer user, GError **error);
/* Un-binds or binds, where that is due; else it costs one atomic load. NULL is fine. */
void zm_gate_turn (ZmGate *gate);
/* Before the socket is closed or un-bound for good: afterwards wake is not called any more. TRUE: the endpoint is bound
 * now. NULL is fine, and TRUE. */
gboolean zm_gate_free (ZmGate *gate);

/* [{"name","endpoint","state":"open|shut","connections","limit","shut"}]: shut counts how often it was. Any thread. */
char *zm_gates_json (ZmGates *gates);
/* Adds a char* for each endpoint that is un-bound now, with the reason. Any thread. */
void zm_gates_reasons (ZmGates *gates, GPtrArray *out);

G_END_DECLS
