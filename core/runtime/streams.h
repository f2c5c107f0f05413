/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Streams of the control socket: trace, log, top. What other threads produce waits in a bounded box for the main loop; what
 * does not fit is counted, and the client is told how much it missed. All functions: the runtime's thread.
 */
#pragma once

#include "runtime/control.h"

G_BEGIN_DECLS

typedef struct ZmStreams ZmStreams;

#define ZM_STREAMS_MOST 16

ZmStreams *zm_streams_new (struct ZmRuntime *runtime, ZmControl *control, GError **error);
void zm_streams_free (ZmStreams *streams);
/* kind: "trace", "log" or "top"; request: its JSON with the arguments. Errors: INVALID, UNAVAILABLE where there are too many. */
gboolean
zm_streams_open (ZmStreams *streams, const ZmPeer *peer, const char *kind, ZmSpan request, GError **error);
/* Ends the stream of this peer and request id with OK; where there is none, that is told. */
void zm_streams_cancel (ZmStreams *streams, const ZmPeer *peer);

G_END_DECLS
