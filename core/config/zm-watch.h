/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Watches directories (inotify) and tells once things have been quiet for a moment (250 ms): files moved in, written and
 * closed, removed. A source for the main loop of the thread that made it; no thread of its own.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct ZmWatch ZmWatch;
typedef void (*ZmWatchFunc) (const char *path,
                             gpointer user); /* the directory in which something changed; once each */

ZmWatch *zm_watch_new (GMainContext *context, ZmWatchFunc func, gpointer user, GError **error);
/* Directories only (with recursive: and those below, new ones too, at most 256). One that is not there is waited for. */
gboolean zm_watch_add (ZmWatch *watch, const char *directory, gboolean recursive, GError **error);
/* One file of a directory that is not watched otherwise: what else happens there does not count. */
gboolean zm_watch_add_name (ZmWatch *watch, const char *directory, const char *name, GError **error);
void zm_watch_free (ZmWatch *watch);

G_END_DECLS
