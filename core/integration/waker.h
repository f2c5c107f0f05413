/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Wakes one thread that waits for ZeroMQ sockets and for other threads at the same time: an eventfd beside the sockets in
 * zmq_poll, written only while the thread has said that it sleeps. So a busy thread costs who feeds it one atomic load.
 *
 * The sleeper: zm_waker_will_sleep, look at every queue once more, zmq_poll, zm_waker_awake. Others: queue the thing under
 * the queue's lock (or store the atomic flag), then zm_waker_wake: either the last look finds it or the wake comes.
 */
#pragma once

#include <glib.h>
#include <stdatomic.h>

typedef struct ZmWaker {
  int fd;
  atomic_int asleep;
} ZmWaker;

/* FALSE: no descriptor to be had. */
gboolean zm_waker_init (ZmWaker *waker, GError **error);
void zm_waker_clear (ZmWaker *waker);
/* Any thread; never waits. */
void zm_waker_wake (ZmWaker *waker);
/* The sleeper's two. signalled: zmq_poll found the descriptor readable. */
void zm_waker_will_sleep (ZmWaker *waker);
void zm_waker_awake (ZmWaker *waker, gboolean signalled);
