/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tells the service manager how the daemon is, by the datagrams of sd_notify(3), without its library. Does nothing where
 * NOTIFY_SOCKET is not set. One thread.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct ZmNotify ZmNotify;

/* Reads NOTIFY_SOCKET and WATCHDOG_USEC and takes them out of the environment, so that no child process speaks for us. */
ZmNotify *zm_notify_new (void);
void zm_notify_free (ZmNotify *notify);
void zm_notify_ready (ZmNotify *notify, const char *status);
void zm_notify_reloading (ZmNotify *notify);
void zm_notify_stopping (ZmNotify *notify, const char *status);
void zm_notify_status (ZmNotify *notify, const char *status);
void zm_notify_watchdog (ZmNotify *notify);
/* How often zm_notify_watchdog is to be called: half of what the manager asks, in milliseconds; 0: never. */
guint zm_notify_watchdog_ms (const ZmNotify *notify);

G_END_DECLS
