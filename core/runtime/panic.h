/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The panic report: when a fault ends the process (a plugin that runs in it crashed), the log and a file say which actions ran
 * and which plugins were loaded, before it dies of the same signal. A plugin that calls exit is told of too.
 *
 * One a process, as signal handlers are. All functions but the handler: the runtime's thread.
 */
#pragma once

#include "base/zm-log.h"
#include "plugin/zm-plugins.h"
#include "worker/zm-pool.h"

G_BEGIN_DECLS

/* Installs the handlers of SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT and SIGSYS; a signal that has a handler already keeps
 * it: a sanitizer's report says more. state_dir: where the file goes; of older ones nine are left. json: lines of the log are
 * JSON. Once a process; the rest of this header does nothing before it. */
void zm_panic_install (const char *state_dir, gboolean json);
/* Whose calls are told; NULL: nobody's any more. */
void zm_panic_set_pool (ZmPool *pool);
/* The table of plugins that is told from now on; NULL: empty. */
void zm_panic_set_plugins (ZmPluginSet *set);
/* From here on an exit of the process is meant. */
void zm_panic_expect_exit (void);

G_END_DECLS
