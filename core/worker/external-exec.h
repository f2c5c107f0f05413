/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command line of [worker NAME] exec=: split, and its program found. Keeps nothing; any thread. */
#pragma once

#include "base/zm-base.h"

G_BEGIN_DECLS

/* The arguments to execute, argv[0] an absolute path; the caller frees them with g_strfreev. Words are split as a shell does,
 * but no shell is run. A name without a slash is looked for in PATH, one with a slash relative to directory, where the process
 * will run. NULL: it is no command line (INVALID), or there is no such program (NOT_FOUND); the text begins with "exec". */
char **zm_exec_find (const char *command, const char *directory, GError **error);

/* The environment of a worker's process; the caller frees it with g_strfreev: the daemon's own without what the service
 * manager meant for the daemon alone, then pairs (NAME=value, NULL-terminated), then ZM_WORKER_NAME and ZM_WORKER_CONNECT. */
char **zm_exec_environment (const char *const *pairs, const char *worker, const char *endpoint);

G_END_DECLS
