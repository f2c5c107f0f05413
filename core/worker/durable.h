/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Durable messages in flows: their state is saved where it matters, and they go on from there. Between steps it is written with
 * the next batch; before a question goes out, and before a join forks, the run stands still until it is on disk.
 */
#pragma once

#include "worker/durable-state.h"
#include "worker/internal.h"

G_BEGIN_DECLS

/* The one branch that a volatile message pays. */
static inline gboolean
zm_is_durable (const ZmRun *run)
{
  return G_UNLIKELY (run->message->durable != NULL) && run->depth && run->pool->config.checkpoints;
}

/* A step was done, the next one has not begun. FALSE: the run has failed. */
gboolean zm_durable_step (ZmRun *run);
/* Parks the run, and sends its question, when its state is on disk. Takes question; run is no longer the caller's. */
void zm_durable_hold (ZmWorker *worker, ZmRun *run, const ZmKey *key, guint step, ZmMessage *question,
                      const char *abroad);
/* Forks when its state is on disk. */
void zm_durable_fork (ZmRun *run);
/* It is, and the run is a worker's again. */
void zm_durable_saved (ZmWorker *worker, ZmRun *run);
/* A run is freed that waited for that. */
void zm_durable_forget (ZmRun *run);
/* Goes on where the message was before. Takes it; FALSE: it begins anew, nothing was taken. */
gboolean zm_durable_resume (ZmWorker *worker, ZmMessage *message);
/* The same; while the daemon lets durable messages go, nothing of it is begun: then it has ended, and TRUE as well. */
gboolean zm_durable_enter (ZmWorker *worker, ZmMessage *message);
/* Fails the run with `shutdown` where the daemon lets durable messages go. FALSE: it does not, nothing happened. */
gboolean zm_durable_left (ZmWorker *worker, ZmRun *run);

/* ---- durable-join.c ---- */

/* What is being restored: runs that go on, and joins whose branches some of them are. Nothing of it runs before all of it stands. */
typedef struct ZmRestoring {
  GPtrArray *runs;  /* ZmRun */
  GPtrArray *joins; /* ZmJoin, the outermost first */
} ZmRestoring;

/* The state of a branch, in that of the whole message; takes state. */
void zm_durable_branch_save (ZmRun *run, GBytes *state, ZmCheckpointDone done, gpointer user);
/* Adds a run to what is restored. FALSE: it cannot be; what was added stays added. */
gboolean zm_durable_restore (ZmWorker *worker, ZmRestoring *restoring, ZmMessage *message,
                             const ZmState *state, ZmJoin *join, guint branch);
gboolean
zm_durable_join_restore (ZmWorker *worker, ZmRestoring *restoring, ZmRun *parent, const ZmState *state);
void zm_durable_joins_begin (ZmPool *pool, ZmRestoring *restoring);
void zm_durable_joins_drop (ZmRestoring *restoring);
/* Does func with the lock of all joins that this branch is in. */
void zm_durable_branch_locked (ZmRun *run, void (*func) (ZmRun *run));

G_END_DECLS
