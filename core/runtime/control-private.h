/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the control socket share. All of it: the runtime's thread. */
#pragma once

#include "runtime/private.h"
#include "runtime/streams.h"

G_BEGIN_DECLS

struct ZmControl {
  ZmRuntime *runtime; /* borrowed: the runtime frees us first */
  void *zmq;          /* a context of its own: its end is the only sure sign that the last reply has left */
  void *socket;
  GSource *source; /* wakes the main loop; its callback is given us */
  ZmStreams *streams;
  GPtrArray *waiters; /* ZmPeer: they sent drain */
  ZmCounter *requests, *refused, *undelivered;
};

/* Answers with an error what is no request at all, or cannot be taken now. */
void zm_control_refuse (ZmControl *control, const ZmPeer *peer, const char *text);

/* ---- control-drain.c ---- */

/* This peer is answered when the drain has ended. */
void zm_control_wait_drained (ZmControl *control, const ZmPeer *peer);

G_END_DECLS
