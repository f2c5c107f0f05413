/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Processes that the daemon keeps running: started, watched, started again with back-off, ended. Their output goes into
 * the log, line by line and bounded. One small thread for all of them; it is also their parent, so that they end with it
 * (PR_SET_PDEATHSIG counts the thread that forked).
 *
 * Of one name at most one process runs at a time: a successor is started once its predecessor is gone.
 */
#pragma once

#include "worker/zm-external.h"

G_BEGIN_DECLS

typedef struct ZmProcesses ZmProcesses;

typedef struct ZmProcessSpec {
  const char *worker; /* "greet": unique among those that were not stopped; the log says "worker greet" */
  const char *exec;   /* command line; its program is looked for at each start */
  const char *const *environment; /* NAME=value, the whole of it */
  const char *directory;          /* working directory */
  gboolean restart;               /* also when it ended */
  gboolean alone;                 /* nobody else takes what is for it: its end is told */
} ZmProcessSpec;

/* Starts the thread, which tells of ends. */
ZmProcesses *zm_processes_new (ZmLog *log, ZmMetrics *metrics, GError **error);
/* Who is told of ends, in the thread, under its lock: it only hands over. Once this has returned the one before is not
 * called any more. func NULL: nobody. Any thread. */
void zm_processes_set_ended (ZmProcesses *processes, ZmExternalEnded func, gpointer user);
/* Everything is copied; the process starts at once, in the thread. One that cannot be started is tried again with the same
 * back-off as one that ends. Any thread. */
void zm_processes_start (ZmProcesses *processes, const ZmProcessSpec *spec);
/* on: none is started until it is off again, and none that was started holds a copy of a socket of the daemon any more; what
 * else is asked for meanwhile waits. Any thread, one at a time. */
void zm_processes_hold (ZmProcesses *processes, gboolean on);
/* Asks it to end: SIGTERM to its group, SIGKILL two seconds later. Does not wait. Any thread. */
void zm_processes_stop (ZmProcesses *processes, const char *worker);
/* Appends members of an object: "state":"running","pid":1,"starts":1,"last_end":"…". The state is waiting (to be started
 * again), running, ended (for good) or failed (it cannot be started: last_end says why). Any thread. */
void zm_processes_append_json (ZmProcesses *processes, const char *worker, GString *out);
/* Why the worker's process does not run, for an error's text; NULL: it runs, or is just being started. wanted_only: NULL also
 * where it ended and is not to be started again. The caller frees. Any thread. */
char *zm_processes_absence (ZmProcesses *processes, const char *worker, gboolean wanted_only);
/* Stops all and waits for them. NULL is fine. */
void zm_processes_free (ZmProcesses *processes);

G_END_DECLS
