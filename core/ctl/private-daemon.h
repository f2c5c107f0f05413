/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A daemon of one's own in a temporary directory, for tests of flows and plugins: nothing of a running instance is touched.
 * It ends with the client, however that ends.
 */
#pragma once

#include "ctl/ctl.h"

G_BEGIN_DECLS

typedef struct ZmPrivate {
  char *dir; /* the temporary directory */
  GPid pid;  /* 0: not running */
} ZmPrivate;

/* zmanagerd beside this program, else on PATH. The caller frees. */
char *zm_private_program (void);

/* Makes the directory with plugins, actions.d and flows.d missing. NULL: error. */
ZmPrivate *zm_private_new (GError **error);
/* Links every entry of `target` but its configuration, plugins (the plugin path names them), state and sockets. */
gboolean zm_private_link (ZmPrivate *own, const char *target, GError **error);
/* Writes a file; directories on the way are made. */
gboolean zm_private_write (ZmPrivate *own, const char *name, const char *text, GError **error);
/* Starts the daemon and makes ctl talk to it; returns when it is ready. Errors bring the end of its log. */
gboolean zm_private_start (ZmPrivate *own, ZmCtl *ctl, GError **error);
/* Has the daemon ended by itself? Its log's end then goes to error. */
gboolean zm_private_running (ZmPrivate *own, GError **error);
/* Ends the daemon (killed after 5 s) and removes the directory. */
void zm_private_free (ZmPrivate *own);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ZmPrivate, zm_private_free)

G_END_DECLS
