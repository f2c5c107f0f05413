/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The PUSH socket of one [worker NAME]: bound, to which its processes connect. Whichever thread sends uses it, one at a time
 * under its own lock (libzmq asks for a full fence between two threads).
 */
#pragma once

#include "message/zm-gate.h"
#include "message/zm-message.h"

G_BEGIN_DECLS

typedef struct ZmPush ZmPush;

/* Binds endpoint. high_water: messages that wait for one connection, at most. gates: counts its connections; or NULL. NULL:
 * no socket (LIMIT), or not bound (IO). worker: for the error's advice. */
ZmPush *zm_push_new (void *zmq, const char *worker, const char *endpoint, int high_water, ZmGates *gates,
                     GError **error);
/* As bound: without wildcards. */
const char *zm_push_endpoint (const ZmPush *push);
/* Without waiting: 0, or the errno of libzmq: EAGAIN where nobody is connected or all queues are full, ENOTSOCK once it is
 * closed. The message stays the caller's. Any thread. */
int zm_push_send (ZmPush *push, ZmMessage *message);
/* Unbinds and closes; waits for who sends just now, and until the endpoint is free. What is queued is flushed for a second at
 * most. The owner's thread; others may still hold it. */
void zm_push_close (ZmPush *push, void *zmq);
/* Once nobody can send any more. Closes it where that was not done. NULL is fine. */
void zm_push_free (ZmPush *push);

G_END_DECLS
