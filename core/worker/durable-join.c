/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Joins of durable messages. A message has one state, that of the run at the outermost level; a branch's state stands in that of
 * the run that forked it. Whoever changes one writes all those around it anew, under the lock of the outermost join, so that
 * what is saved later is newer.
 */
#include "worker/durable.h"
#include "worker/join-private.h"

/* Under the lock. */
static GBytes *
join_state (const ZmJoin *join)
{
  g_autofree ZmState *state = g_new0 (ZmState, 1);
  state->kind = ZM_STATE_JOIN;
  state->n_branches = join->n;
  for (guint i = 0; i < join->n; i++) {
    ZmBranchSaved *branch = &state->branches[i];
    gsize size;
    if (join->results[i]) {
      branch->state = join->failures[i] ? ZM_BRANCH_FAILED : ZM_BRANCH_DONE;
      branch->result = zm_span (join->results[i]->str, join->results[i]->len);
      branch->failure = zm_span_text (join->failures[i]);
    } else if (join->saved[i]) {
      const char *data = g_bytes_get_data (join->saved[i], &size);
      branch->state = ZM_BRANCH_SAVED;
      branch->result = zm_span (data, size);
    }
  }
  return zm_state_write (join->parent, state);
}

/* Of this join and all around it; under the lock. Where all of them together are too large and nobody waits for it, what was
 * written last stands, and more is done again after a crash; the join's result will be too large as well. */
static void
save_from (ZmJoin *join, ZmCheckpointDone done, gpointer user)
{
  ZmPool *pool = join->parent->pool;
  GBytes *state = join_state (join);
  g_autoptr (GError) error = NULL;
  for (ZmRun *run = join->parent; run->join; run = run->join->parent) {
    g_clear_pointer (&run->join->saved[run->branch], g_bytes_unref);
    run->join->saved[run->branch] = state;
    state = join_state (run->join);
  }
  error = zm_state_check (state);
  if (!error) {
    pool->config.checkpoints->save (join->parent->message->durable, state, done, user,
                                    pool->config.checkpoints->user);
    return;
  }
  g_bytes_unref (state);
  if (done)
    done (error, user);
}

void
zm_durable_branch_save (ZmRun *run, GBytes *state, ZmCheckpointDone done, gpointer user)
{
  ZmJoin *join = run->join;
  ZmJoin *outer = join->outer; /* once done is told, another thread may end all of it */
  pthread_mutex_lock (&outer->lock);
  g_clear_pointer (&join->saved[run->branch], g_bytes_unref);
  join->saved[run->branch] = state;
  save_from (join, done, user);
  pthread_mutex_unlock (&outer->lock);
}

/* The daemon ends: what is saved of the branch stays as it is, and after the next start it goes on there. */
static void
branch_left (ZmJoin *join)
{
  pthread_mutex_lock (&join->outer->lock);
  join->left = TRUE;
  pthread_mutex_unlock (&join->outer->lock);
}

/* The last one's result is saved with what follows from it, by the run that goes on; where others were left nothing follows. */
void
zm_durable_branch_ended (ZmRun *run, gboolean failed)
{
  ZmJoin *join = run->join;
  guint branch = run->branch;
  if (failed && g_str_equal (run->code, "shutdown")) {
    branch_left (join);
    return;
  }
  GString *result = failed ? zm_branch_error_json (run) : zm_branch_result_json (run);
  char *failure = failed ? zm_branch_failure (run) : NULL;
  pthread_mutex_lock (&join->outer->lock);
  join->results[branch] = result;
  join->failures[branch] = failure;
  g_clear_pointer (&join->saved[branch], g_bytes_unref);
  if (join->left || atomic_load (&join->missing) > 1)
    save_from (join, NULL, NULL);
  pthread_mutex_unlock (&join->outer->lock);
}

/* ---- after a restart ---- */

static gboolean
restore_branch (ZmWorker *worker, ZmRestoring *restoring, ZmJoin *join, guint branch, ZmSpan bytes)
{
  g_autofree ZmState *state = g_new (ZmState, 1);
  join->saved[branch] = g_bytes_new (bytes.data, bytes.size);
  return zm_state_read (bytes, state) &&
         zm_durable_restore (worker, restoring, join->parent->message, state, join, branch);
}

/* Only branches that had not ended run again. */
gboolean
zm_durable_join_restore (ZmWorker *worker, ZmRestoring *restoring, ZmRun *parent, const ZmState *state)
{
  const ZmStep *step = zm_run_step (parent);
  gboolean good = step && step->kind == ZM_STEP_JOIN && step->n_branches == state->n_branches;
  ZmJoin *join = zm_join_new (parent, state->n_branches);
  g_ptr_array_add (restoring->joins, join);
  for (guint i = 0; good && i < join->n; i++) {
    const ZmBranchSaved *saved = &state->branches[i];
    switch (saved->state) {
    case ZM_BRANCH_FAILED: join->failures[i] = zm_span_dup (saved->failure); /* fall through */
    case ZM_BRANCH_DONE:
      join->results[i] = g_string_new_len (saved->result.data, (gssize) saved->result.size);
      atomic_fetch_sub (&join->missing, 1);
      break;
    case ZM_BRANCH_SAVED: good = restore_branch (worker, restoring, join, i, saved->result); break;
    case ZM_BRANCH_NEW: g_ptr_array_add (restoring->runs, zm_join_branch (parent, join, i)); break;
    }
  }
  return good;
}

/* Those of which all branches had ended go on at once; nothing else runs yet. */
void
zm_durable_joins_begin (ZmPool *pool, ZmRestoring *restoring)
{
  for (guint i = 0; i < restoring->joins->len; i++) {
    ZmJoin *join = restoring->joins->pdata[i];
    guint missing = atomic_load (&join->missing);
    atomic_fetch_add (&pool->branches, missing);
    atomic_fetch_add (&pool->joins, 1);
    restoring->joins->pdata[i] = missing ? NULL : join;
  }
  for (guint i = 0; i < restoring->joins->len; i++)
    if (restoring->joins->pdata[i])
      zm_join_ends (restoring->joins->pdata[i]);
}

void
zm_durable_joins_drop (ZmRestoring *restoring)
{
  for (guint i = restoring->joins->len; i > 0; i--) {
    ZmJoin *join = restoring->joins->pdata[i - 1];
    zm_run_free (join->parent, NULL);
    zm_join_free (join);
  }
}

void
zm_durable_branch_locked (ZmRun *run, void (*func) (ZmRun *run))
{
  ZmJoin *outer = run->join->outer;
  pthread_mutex_lock (&outer->lock);
  func (run);
  pthread_mutex_unlock (&outer->lock);
}
