/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where an instance keeps its files and sockets. One directory (--dir DIR or $ZM_DIR) holds a whole instance; without one the
 * system's places are used. The daemon and its client agree through this file alone, so neither needs to be told a path.
 * Immutable once made: read from any thread.
 */
#pragma once

#include "base/zm-base.h"

G_BEGIN_DECLS

/* The longest path that a socket may have (sockaddr_un without its NUL). */
#define ZM_INSTANCE_SOCKET_MOST 107

typedef struct ZmInstance {
  char *dir;         /* absolute, links resolved; the system's configuration directory where system is set */
  gboolean system;   /* no directory was given */
  char *config_file; /* zmanager.conf */
  char *config_dir;  /* conf.d */
  char *actions_dir; /* actions.d */
  char *flows_dir;   /* flows.d */
  char *state_dir;   /* the store, private copies of plugins */
  char *run_dir;     /* sockets, the lock */
  char *short_dir;   /* sockets whose path in run_dir would be too long */
} ZmInstance;

/* dir NULL or empty: $ZM_DIR, else the system's places. Errors: NOT_FOUND where the directory is not there or is no
 * directory (the text says what to do). Nothing is made. */
ZmInstance *zm_instance_new (const char *dir, GError **error);
void zm_instance_free (ZmInstance *instance);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ZmInstance, zm_instance_free)

/* Makes run (0750), state (0700) and the directory for plugins' copies (0700). The daemon calls it once, before binding. */
gboolean zm_instance_prepare (const ZmInstance *instance, GError **error);

/* What the two directories are called where they cannot be used, and how that is said. */
#define ZM_INSTANCE_RUN         "sockets"
#define ZM_INSTANCE_STATE       "state"
#define ZM_INSTANCE_NOT_PRIVATE "the directory of the %s cannot be used: "

/* May only root and this user write it? For run and state, which zm_instance_prepare asks of, and whoever wants to know before.
 * Errors: NOT_FOUND where it is not there (it is made by prepare), else REFUSED and others. */
gboolean zm_instance_private (const char *what, const char *path, GError **error);

/* Takes the lock in run/ and writes the process id into it. Returns the descriptor to keep open, or -1: EXISTS where another
 * daemon has it (the text names its process id). The lock goes with the process, so a crash leaves nothing to clean up. */
int zm_instance_lock (const ZmInstance *instance, GError **error);

/* "ipc://…/NAME" for subject, call, topics, control, worker-NAME: where clients connect. Follows the link that the daemon
 * made for a path over ZM_INSTANCE_SOCKET_MOST bytes. The caller frees. */
char *zm_instance_endpoint (const ZmInstance *instance, const char *name);

/* The same for who binds: makes the private short directory and the link in run/ where the path is too long. Errors:
 * IO, REFUSED where the short directory is somebody else's, LIMIT where even the short path is too long. */
char *zm_instance_bind_endpoint (const ZmInstance *instance, const char *name, GError **error);

/* Where plugins are looked for, first hit wins: $ZM_PLUGIN_PATH, `configured` ([zmanager] plugin-path; may be NULL), the
 * instance's own, and with system ([zmanager] system-plugins) the site's and the system's. NULL-terminated, without
 * duplicates; g_strfreev. */
char **zm_instance_plugin_dirs (const ZmInstance *instance, const char *const *configured, gboolean system);

/* Private directory for the copies of plugins that are opened. The caller frees. */
char *zm_instance_copy_dir (const ZmInstance *instance);

G_END_DECLS
