/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Commands that are answered later, as control.c sees them; who answers finds what it needs in commands.h. The runtime's thread. */
#pragma once

#include "runtime/audit.h"
#include "runtime/commands.h"
#include "runtime/control.h"

G_BEGIN_DECLS

/* Commands that wait for their end at one time. */
#define ZM_LATER_MOST 1000

/* Whom the answer goes to, and what the audit says of it. All are copied. */
void zm_later_bind (ZmLater *later, const ZmPeer *peer, const ZmAuditPeer *who, ZmSpan request);
/* The same for who is no peer of the control socket: tell is called once, in the runtime's thread. */
void zm_later_tell (ZmLater *later, const ZmAuditPeer *who, ZmSpan request,
                    void (*tell) (gboolean ok, const char *reply, gpointer user), gpointer user);
/* Of a command that failed before it gave the handle away. */
void zm_later_free (ZmLater *later);

G_END_DECLS
