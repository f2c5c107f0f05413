/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Processes that the daemon keeps running: started, watched, started again with back-off, ended. Their output goes into
 * the log, line by line and bounded. One small thread for all of them; it is also their parent, so that they end with it
 * (PR_SET_PDEATHSIG counts the thread that forked).
 */
#pragma once

#include "base/zm-log.h"
#include "base/zm-metrics.h"

G_BEGIN_DECLS

typedef struct ZmProcesses ZmProcesses;

typedef struct ZmProcessSpec {
  const char *name;               /* "worker greet": for the log; unique among those that were not stopped */
  const char *const *argv;        /* argv[0]: an absolute path */
  const char *const *environment; /* NAME=value, the whole of it */
  const char *directory;          /* working directory */
  gboolean restart;
} ZmProcessSpec;

/* Starts the thread. */
ZmProcesses *zm_processes_new (ZmLog *log, ZmMetrics *metrics, GError **error);
/* Everything is copied; the process starts at once, in the thread. Any thread. */
void zm_processes_start (ZmProcesses *processes, const ZmProcessSpec *spec);
/* Asks it to end: SIGTERM to its group, SIGKILL two seconds later. Does not wait. Any thread. */
void zm_processes_stop (ZmProcesses *processes, const char *name);
/* Appends members of an object: "state":"running","pid":1,"starts":1,"last_end":"…". Any thread. */
void zm_processes_append_json (ZmProcesses *processes, const char *name, GString *out);
/* Stops all and waits for them. */
/* How the process ended, while it waits to be started again; else NULL. The caller frees. */
char *zm_processes_trouble (ZmProcesses *processes, const char *name);
void zm_processes_free (ZmProcesses *processes);

G_END_DECLS
