/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A join, as its two files share it: join.c forks and collects, durable-join.c keeps and restores those of durable messages. */
#pragma once

#include "worker/internal.h"

G_BEGIN_DECLS

struct ZmJoin {
  atomic_uint missing;
  guint n;
  ZmRun *parent;
  /* Each written by its own branch, read by whoever ends last; of a durable one under the lock. */
  GString *results[ZM_BRANCHES_MOST]; /* JSON text: the result, or what went wrong */
  char *failures[ZM_BRANCHES_MOST];   /* of those that failed: the same for people; else NULL */
  /* Of a durable message. */
  ZmJoin *outer;        /* the outermost join that this one is in, or itself: its lock is that of all */
  pthread_mutex_t lock; /* of the outermost one */
  GBytes *saved[ZM_BRANCHES_MOST]; /* states of branches that have not ended */
  gboolean left;                   /* the daemon ends: a branch was left where it was */
};

/* The run as a branch, with the flow's step and the body as they are now. */
ZmRun *zm_join_branch (ZmRun *parent, ZmJoin *join, guint branch);
ZmJoin *zm_join_new (ZmRun *parent, guint n);
/* All have ended: the run that forked them goes on. Frees the join. */
void zm_join_ends (ZmJoin *join);
void zm_join_free (ZmJoin *join); /* alone */

/* durable-join.c */
/* A branch ends: its result stands, and others may be missing. Under no lock. */
void zm_durable_branch_ended (ZmRun *run, gboolean failed);

G_END_DECLS
