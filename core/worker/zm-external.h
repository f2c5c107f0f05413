/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Workers in other languages: for each [worker NAME] one PUSH socket to which its processes connect, and, where exec= is
 * set, the process itself: started, watched, started again with back-off. They push their results to the Subject as any
 * service answers.
 *
 * add, keep and free are called from one thread (the runtime's); send and json from any.
 */
#pragma once

#include "base/zm-log.h"
#include "base/zm-metrics.h"
#include "message/zm-gate.h"
#include "message/zm-message.h"

G_BEGIN_DECLS

typedef struct ZmExternals ZmExternals;

typedef struct ZmExternalConfig {
  const char *name;
  const char *exec; /* command line, split as a shell does (no shell is run); or NULL */
  const char *bind; /* endpoint; NULL: ipc://RUNTIME/worker-NAME */
  gboolean restart;
  gboolean
      shared; /* processes may connect to it that are started elsewhere: it is not known who has a message */
} ZmExternalConfig;

/* The process of a worker ended (text: "exit status 3"): what was sent to the worker before before_us (zm_now_us), and not
 * answered, is not answered any more. Called in a thread of this room; it must not wait, nor call this room. */
typedef void (*ZmExternalEnded) (const char *worker, const char *how, gint64 before_us, gpointer user);

/* environment: NULL-terminated NAME=value pairs that each process gets beside the daemon's own (ZM_WORKER_CONNECT,
 * ZM_SUBJECT, ZM_TOPICS, ZM_CALL are set from it and from the bind endpoint). directory: working directory. */
ZmExternals *
zm_externals_new (void *zmq, const char *runtime_directory, const char *directory,
                  const char *const *environment, int high_water, ZmLog *log, ZmMetrics *metrics);
/* Counts the connections of the endpoints that are bound from now on; before the first worker is added. */
void zm_externals_set_gates (ZmExternals *externals, ZmGates *gates);
/* Who is told of ends; not those of workers that are shared. Once this has returned the one before is not called any more.
 * func NULL: nobody. */
void zm_externals_set_ended (ZmExternals *externals, ZmExternalEnded func, gpointer user);
/* Adds it, or replaces one of that name where anything differs; with the same endpoint the socket and those connected to it
 * stay. FALSE: its endpoint cannot be used, or its process not be watched; one of that name that works stays as it is, else
 * the new one is listed without working. Either way json and reasons say why, and adding it again tries again. A program that
 * is not there is no error here: it is looked for again and again. */
gboolean zm_externals_add (ZmExternals *externals, const ZmExternalConfig *config, GError **error);
/* Removes what names does not hold (reload). What is queued for a removed worker is flushed for at most a second. */
void zm_externals_keep (ZmExternals *externals, const char *const *names);
/* Sends without waiting. FALSE: UNAVAILABLE, with why: its process does not run, nobody is connected, all are full. Any
 * thread. */
gboolean zm_externals_send (ZmExternals *externals, const char *name, ZmMessage *message, GError **error);
/* [{"name","endpoint","exec","sent","refused","state",…}]: state is elsewhere, failed, or as in zm_processes_append_json. The
 * caller frees. Any thread. */
char *zm_externals_json (ZmExternals *externals);
/* Adds a sentence for each worker that does not work: not as configured, its program is not there, its process ended and waits
 * to be started again. Any thread. */
void zm_externals_reasons (ZmExternals *externals, GPtrArray *out);
/* Ends the processes, waits for them, and closes the sockets. NULL is fine. */
void zm_externals_free (ZmExternals *externals);
/* Would a start find the program of this command line? As the start does it: words split, PATH searched, relative to directory.
 * Errors: INVALID, NOT_FOUND; the text begins with "exec". For checks. */
gboolean zm_external_check_exec (const char *exec, const char *directory, GError **error);

G_END_DECLS
