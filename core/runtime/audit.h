/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The audit log: one line for each administrative act, whatever the level of the log, with who, what and how it ended; in the log
 * and, with [zmanager] audit-log, in a file of its own. All functions: the runtime's thread.
 */
#pragma once

#include "base/zm-base.h"
#include "base/zm-log.h"
#include "config/zm-config.h"
#include "runtime/zm-instance.h"

#include <sys/types.h>

G_BEGIN_DECLS

struct ZmRuntime;

/* Who asked, as the kernel tells it of the connection of a local socket. */
typedef struct ZmAuditPeer {
  gboolean known;
  guint uid;
  guint pid; /* of who connected: it may have handed its socket on, or be gone */
} ZmAuditPeer;

/* From libzmq's Peer-Address of a message that came over ipc: ":uid:gid:pid" at its end; NULL or anything else: not known. */
ZmAuditPeer zm_audit_peer (const char *address);

/* How an act ended. */
#define ZM_AUDIT_OK         "ok"
#define ZM_AUDIT_REFUSED    "refused"
#define ZM_AUDIT_INCOMPLETE "incomplete" /* a reload that was taken, though not all of it came up */

/* A request of the control socket that was answered. Those that only read leave no line. request: the whole object; reply: what
 * it was answered; good: FALSE where that is an error ({"code", "text"}). */
void zm_audit_command (struct ZmRuntime *runtime, const ZmAuditPeer *peer, ZmSpan request, gboolean good,
                       const char *reply);
/* An act that nobody asked for by command. by: "SIGHUP", "a change in /etc/zmanager/actions.d" …; result: one of the above;
 * why: where it is not ok. */
void zm_audit_act (struct ZmRuntime *runtime, const char *act, const char *by, const char *result,
                   const char *why);
/* The reload that has just ended so. */
void zm_audit_reload (struct ZmRuntime *runtime, const char *by, gboolean taken);

/* Can the file be written, where one is asked for? Asked at the start: an audit that cannot be kept must be known then. */
gboolean zm_audit_check (struct ZmRuntime *runtime, GError **error);
/* The same for a configuration that is not in use, and nothing is made. owner: whose the file is to be. */
gboolean zm_audit_look (const ZmInstance *instance, const ZmConfig *config, uid_t owner, GError **error);
/* That as a problem, at the line that names the file. */
void zm_audit_tell (const ZmInstance *instance, const ZmConfig *config, uid_t owner, ZmSeverity severity,
                    ZmProblems *problems);
/* Why it is not kept now: it cannot be opened, or the last line could not be written. NULL: all is well. The caller frees. */
char *zm_audit_lost (const struct ZmRuntime *runtime);

G_END_DECLS
