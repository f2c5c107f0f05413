/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of workers in other languages share: which workers there are, and who may touch what. */
#pragma once

#include "worker/external-process.h"
#include "worker/external-push.h"
#include "worker/zm-external.h"

#include <pthread.h>
#include <stdatomic.h>

G_BEGIN_DECLS

/* One [worker NAME]. Held by the list and by whoever sends. What changes is written by the runtime's thread under the lock of
 * the externals, and read there or under that lock. */
typedef struct ZmExternal {
  atomic_int refs;
  char *name;                /* never changes, as the next */
  char *bind;                /* as asked for */
  char *exec;                /* or NULL; changes */
  char *problem;             /* why it is not as the configuration wants it, or NULL; changes */
  gboolean restart, shared;  /* as ZmExternalConfig has them; change */
  ZmPush *push;              /* NULL: could not be bound */
  ZmCounter *sent, *refused; /* the metrics'; set before it is listed */
} ZmExternal;

struct ZmExternals {
  void *zmq;               /* context, borrowed as the log, the metrics and the gates */
  char *runtime_directory; /* of endpoints that nobody chose */
  char *directory;         /* absolute: the processes' working directory */
  char **environment;      /* that all processes get beside the daemon's own */
  int high_water;          /* messages that wait for one connection */
  ZmLog *log;
  ZmMetrics *metrics;
  ZmGates *gates;         /* or NULL */
  ZmExternalEnded ended;  /* or NULL */
  gpointer user;          /* of ended */
  pthread_mutex_t lock;   /* taken before that of the processes, never the other way round */
  GPtrArray *workers;     /* ZmExternal; only the runtime's thread changes it, under the lock */
  ZmProcesses *processes; /* made with the first exec=, under the lock */
};

/* A new reference to the one of this name, or NULL. Any thread. */
ZmExternal *zm_external_find (ZmExternals *externals, const char *name);
/* Lets a reference go; the last one frees it, and closes its socket where that was not done. Any thread. */
void zm_external_unref (ZmExternal *worker);

G_END_DECLS
