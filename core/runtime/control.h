/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The control socket: a ROUTER on ipc in the main loop. A client sends [request-id][JSON], gets [request-id][OK|ERROR][JSON],
 * and for a stream any number of [request-id][PART][JSON] before. A client that does not take what it asked for loses it, and
 * nobody waits. All functions: the runtime's thread.
 */
#pragma once

#include "base/zm-base.h"
#include "runtime/audit.h"

G_BEGIN_DECLS

struct ZmRuntime;
typedef struct ZmControl ZmControl;

/* Binds at the instance's endpoint and attaches itself to the runtime's main context. */
ZmControl *zm_control_new (struct ZmRuntime *runtime, GError **error);
/* Waits, bounded, until the replies that are still under way have left: 5 s after zm_control_drained, else 0.2 s. */
void zm_control_free (ZmControl *control);
/* Answers those who wait for the drain, and waits at most 1 s for them to take it and go. left: messages that had to be
 * ended. */
void zm_control_drained (ZmControl *control, guint left);

/* Whom a reply goes to. */
typedef struct ZmPeer {
  GBytes *identity;
  GBytes *request_id;
  gboolean delimiter; /* a REQ socket: its empty frame is given back */
} ZmPeer;

ZmPeer *zm_peer_copy (const ZmPeer *peer);
void zm_peer_free (ZmPeer *peer);
gboolean zm_peer_equal (const ZmPeer *a, const ZmPeer *b);
/* Sends without waiting; status is "PART", "OK" or "ERROR". FALSE: the peer is gone or does not take it. */
gboolean zm_control_send (ZmControl *control, const ZmPeer *peer, const char *status, const char *json);
/* The answer of a command, with its line of the audit. */
void zm_control_end (ZmControl *control, const ZmPeer *peer, const ZmAuditPeer *who, ZmSpan request,
                     gboolean good, const char *json);

G_END_DECLS
