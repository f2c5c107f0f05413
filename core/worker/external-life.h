/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The life of one worker's process: waiting to be started, running, ended, gone. A small state machine without a thread of
 * its own: the thread of external-process.c takes its steps, under its lock.
 */
#pragma once

#include "base/zm-child.h"
#include "worker/external-process.h"

G_BEGIN_DECLS

/* Between the end of one process of a worker and the start of the next, at least. */
#define ZM_LIFE_PAUSE_US (100 * 1000)

typedef enum {
  ZM_LIFE_WAITING, /* to be started, at due_us */
  ZM_LIFE_RUNNING,
  ZM_LIFE_ENDED, /* and not started again; it stays in the list, to be shown */
  ZM_LIFE_GONE   /* to be freed */
} ZmLifeState;

typedef struct ZmLife {
  char *worker;       /* "greet" */
  char *name;         /* "worker greet", for the log */
  char *exec;         /* command line */
  char **environment; /* of the process, whole */
  char *directory;
  gboolean restart;
  gboolean alone;  /* its end is told: see ZmProcessSpec */
  gboolean stop;   /* the wish, which others set; everything else is the thread's */
  gboolean asked;  /* SIGTERM was sent */
  gboolean killed; /* SIGKILL was sent */
  gboolean failed; /* the last start did not come to a process: last_end says why */
  ZmLifeState state;
  ZmChild child; /* while RUNNING */
  gint64 started_us;
  gint64 due_us;     /* WAITING: the start; stopping: the next measure */
  gint64 backoff_us; /* how long the next wait is */
  guint64 starts;
  char *last_end; /* "exit status 1", or NULL */
} ZmLife;

/* What lives share; the thread's. */
typedef struct ZmLifeWorld {
  ZmLog *log;
  ZmCounter *restarts;   /* starts after the first */
  ZmCounter *suppressed; /* lines of output that were left out of the log */
  ZmExternalEnded ended; /* or NULL */
  gpointer user;         /* of ended */
} ZmLifeWorld;

ZmLife *zm_life_new (const ZmProcessSpec *spec);
void zm_life_free (ZmLife *life);
/* Takes whatever step is due now. blocked: a predecessor of its name is still there. */
void zm_life_step (ZmLife *life, const ZmLifeWorld *world, gboolean blocked, gint64 now_us);
/* Reads what its process wrote, without waiting. */
void zm_life_read (ZmLife *life, const ZmLifeWorld *world);
/* When it wants its next step whatever happens; -1: never. */
gint64 zm_life_due (const ZmLife *life);
/* See zm_processes_absence. */
char *zm_life_absence (const ZmLife *life, gboolean wanted_only);
/* See zm_processes_append_json. */
void zm_life_append_json (const ZmLife *life, GString *out);

G_END_DECLS
