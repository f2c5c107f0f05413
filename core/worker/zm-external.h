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
} ZmExternalConfig;

/* environment: NULL-terminated NAME=value pairs that each process gets beside the daemon's own (ZM_WORKER_CONNECT,
 * ZM_SUBJECT, ZM_TOPICS, ZM_CALL are set from it and from the bind endpoint). directory: working directory. */
ZmExternals *
zm_externals_new (void *zmq, const char *runtime_directory, const char *directory,
                  const char *const *environment, int high_water, ZmLog *log, ZmMetrics *metrics);
/* Counts the connections of the endpoints that are bound from now on; before the first worker is added. */
void zm_externals_set_gates (ZmExternals *externals, ZmGates *gates);
/* Adds it, or replaces one of that name where anything differs; with the same endpoint the socket and those connected to it
 * stay. After an error all is as it was. */
gboolean zm_externals_add (ZmExternals *externals, const ZmExternalConfig *config, GError **error);
/* Removes what names does not hold (reload). What is queued for a removed worker is flushed for at most a second. */
void zm_externals_keep (ZmExternals *externals, const char *const *names);
/* Sends without waiting. FALSE: UNAVAILABLE (nobody connected, or all full). Any thread. */
gboolean zm_externals_send (ZmExternals *externals, const char *name, ZmMessage *message, GError **error);
char *zm_externals_json (ZmExternals *externals);
/* Adds a sentence for each worker whose process ended and waits to be started again. Any thread. */
void zm_externals_reasons (ZmExternals *externals, GPtrArray *out);
void zm_externals_free (ZmExternals *externals);

G_END_DECLS
