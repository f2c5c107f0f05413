/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Durable messages in flows. Where a step asks somebody, first the state "before this step" is on disk, then "waits" is written and
 * the question goes out at once: so after a crash it is asked again only where it may not have gone out. Where nothing is asked,
 * "waits" itself is on disk before the run can be found.
 *
 * A worker in another language is asked again after a restart: what it had was sent to it by a socket that is gone.
 */
#include "worker/durable.h"

#include <string.h>

struct ZmParking {
  gboolean fork; /* a join; else it is to be parked */
  ZmKey key;     /* points into the run or its flow */
  guint step;
  ZmMessage *question; /* owned; or NULL */
  gboolean abroad;     /* for run->abroad */
  gint64 due_us;       /* 0: as usual */
};

/* ---- saving ---- */

/* Once for each definition; the first one goes ahead of the state that needs it. */
static void
define_flows (ZmRun *run)
{
  ZmPool *pool = run->pool;
  const ZmCheckpoints *checkpoints = pool->config.checkpoints;
  pthread_mutex_lock (&pool->defined_lock);
  for (guint i = 0; i < run->depth; i++) {
    const char *hash = zm_durable_flow_hash (run->frames[i].flow);
    if (!g_hash_table_add (pool->defined, g_strdup (hash)))
      continue;
    g_autofree char *text = zm_durable_flow_text (run->frames[i].flow);
    checkpoints->define (hash, text, checkpoints->user);
  }
  pthread_mutex_unlock (&pool->defined_lock);
}

static void
set_failure (ZmRun *run, const GError *error)
{
  zm_run_set_failuref (run, zm_state_is_too_large (error) ? "state-too-large" : "unavailable",
                       "how far the flow has come could not be stored: %s", error->message);
}

/* Once done may be told, the run is nobody's here any more. FALSE: it is too large, and there is no done to hear that. */
static gboolean
write_state (ZmRun *run, GBytes *state, ZmCheckpointDone done)
{
  const ZmCheckpoints *checkpoints = run->pool->config.checkpoints;
  g_autoptr (GError) error = zm_state_check (state);
  if (error) {
    g_bytes_unref (state);
    if (done)
      done (error, run);
    else
      set_failure (run, error);
    return done != NULL;
  }
  if (run->join)
    zm_durable_branch_save (run, state, done, done ? run : NULL);
  else
    checkpoints->save (run->message->durable, state, done, done ? run : NULL, checkpoints->user);
  return TRUE;
}

static gboolean
save (ZmRun *run, ZmStateKind kind, gint64 until_us, ZmCheckpointDone done)
{
  g_autofree ZmState *state = g_new0 (ZmState, 1);
  state->kind = kind;
  state->until_us = until_us;
  define_flows (run);
  return write_state (run, zm_state_write (run, state), done);
}

/* In the thread that writes. Once the pool has ended nobody goes on with it: the message is handed out again after the next start. */
static void
saved (const GError *error, gpointer user)
{
  ZmRun *run = user;
  ZmPool *pool = run->pool;
  run->event = ZM_EVENT_SAVED;
  if (error) {
    zm_durable_forget (run);
    set_failure (run, error);
    run->event = ZM_EVENT_FAILED;
  }
  pthread_mutex_lock (&pool->lock);
  gboolean ending = pool->ending;
  if (!ending)
    zm_queue_run_locked (pool, run);
  pthread_mutex_unlock (&pool->lock);
  if (ending)
    zm_run_free (run, NULL);
  else
    zm_watchdog_wake (pool);
}

/* The same as before, to hear when it is on disk. Of a branch under the lock, so that nothing newer is replaced. */
static void
save_again (ZmRun *run)
{
  const ZmCheckpoints *checkpoints = run->pool->config.checkpoints;
  GBytes *state = checkpoints->load (run->message->durable, checkpoints->user);
  if (state)
    checkpoints->save (run->message->durable, state, saved, run, checkpoints->user);
  else
    saved (NULL, run); /* it stands where the message does, which is on disk */
}

/* A step that forks or asks for itself saves more than this. */
gboolean
zm_durable_step (ZmRun *run)
{
  const ZmStep *step = zm_run_step (run);
  return !step || step->kind == ZM_STEP_DONE || step->kind == ZM_STEP_ASYNC || step->kind == ZM_STEP_JOIN ||
         save (run, ZM_STATE_STEP, 0, NULL);
}

/* ---- standing still ---- */

void
zm_durable_fork (ZmRun *run)
{
  run->parking = g_new0 (ZmParking, 1);
  run->parking->fork = TRUE;
  save (run, ZM_STATE_STEP, 0, saved);
}

static gint64
wall_of (gint64 due_us)
{
  return zm_wall_us () + (due_us - zm_now_us ());
}

/* A question before @ASYNC is that of the step above it, where the flow would ask again. */
static void
save_before (ZmRun *run)
{
  ZmFrame *frame = &run->frames[run->depth - 1];
  gboolean above = zm_run_step (run)->kind == ZM_STEP_ASYNC;
  GBytes *bytes;
  g_autofree ZmState *state = g_new0 (ZmState, 1);
  define_flows (run);
  frame->step -= above;
  bytes = zm_state_write (run, state);
  frame->step += above;
  write_state (run, bytes, saved);
}

void
zm_durable_hold (ZmWorker *worker, ZmRun *run, const ZmKey *key, guint step, ZmMessage *question,
                 const char *abroad)
{
  ZmParking *parking = g_new0 (ZmParking, 1);
  (void) worker;
  *parking = (ZmParking){ .key = *key, .step = step, .question = question, .abroad = abroad != NULL };
  run->parking = parking;
  if (abroad && run->join) {
    zm_durable_branch_locked (run, save_again);
  } else if (abroad) {
    save_again (run);
  } else if (question) {
    save_before (run);
  } else {
    parking->due_us = zm_wait_deadline (run, zm_now_us ());
    save (run, ZM_STATE_WAIT, wall_of (parking->due_us), saved);
  }
}

gboolean
zm_durable_left (ZmWorker *worker, ZmRun *run)
{
  if (!atomic_load (&run->pool->letting_go))
    return FALSE;
  zm_durable_forget (run);
  zm_run_set_failure (run, "shutdown", "the daemon is shutting down");
  zm_engine_fail (worker, run);
  return TRUE;
}

void
zm_durable_forget (ZmRun *run)
{
  ZmParking *parking = g_steal_pointer (&run->parking);
  if (parking && parking->question)
    zm_message_unref (parking->question);
  g_free (parking);
}

/* The question goes out with nothing between, so that hardly ever one is asked again that was asked. */
void
zm_durable_saved (ZmWorker *worker, ZmRun *run)
{
  ZmPool *pool = run->pool;
  if (!run->parking->fork && zm_durable_left (worker, run))
    return;
  g_autofree ZmParking *parking = g_steal_pointer (&run->parking);
  ZmMessage *question = parking->question;
  if (parking->fork) {
    zm_join_fork (worker, run);
    return;
  }
  if (question && !parking->abroad) {
    parking->due_us = zm_wait_deadline (run, zm_now_us ());
    save (run, ZM_STATE_WAIT, wall_of (parking->due_us), NULL);
  }
  zm_wait_park_now (worker, run, &parking->key, parking->step, question, parking->abroad ? run->abroad : NULL,
                    parking->due_us);
  if (question)
    zm_worker_flush (worker);
  /* Between the look above and the parking all that waited may have been let go. */
  if (atomic_load (&pool->letting_go))
    zm_pool_let_durable_go (pool);
}

/* ---- the drain ---- */

/* Parked, so that nobody changes it; what a worker in another language has is being done, and its answer is near. */
static gboolean
may_go (const ZmWait *wait)
{
  const ZmRun *run = (const ZmRun *) wait;
  return zm_is_durable (run) && !run->is_abroad;
}

void
zm_pool_let_durable_go (ZmPool *pool)
{
  ZmKeeper *keeper = pool->config.keeper;
  atomic_store (&pool->letting_go, 1);
  for (ZmWait *wait = keeper->ops->take_all (keeper, may_go), *next; wait; wait = next) {
    ZmRun *run = (ZmRun *) wait;
    next = wait->next;
    wait->next = NULL;
    run->event = ZM_EVENT_FAILED;
    zm_run_set_failure (run, "shutdown", "the daemon is shutting down");
    zm_queue_run (pool, run);
  }
}

/* ---- after a restart ---- */

/* The flow as it was: the one of now where that is the same, else as its definition was kept. NULL: there is none. The caller unrefs. */
static ZmFlow *
pinned_flow (ZmWorker *worker, const ZmFrameState *frame)
{
  const ZmCheckpoints *checkpoints = worker->pool->config.checkpoints;
  ZmFlow *now = zm_table_flow (worker->view->table, frame->name);
  if (now && g_str_equal (zm_durable_flow_hash (now), frame->hash))
    return zm_flow_ref (now);
  g_autofree char *text = checkpoints->definition (frame->hash, checkpoints->user);
  g_autoptr (ZmProblems) problems = zm_problems_new ();
  g_autoptr (GPtrArray) flows = g_ptr_array_new_with_free_func ((GDestroyNotify) zm_flow_unref);
  if (text)
    zm_flow_read_text ("kept", zm_span_text (text), flows, problems);
  return flows->len == 1 ? zm_flow_ref (flows->pdata[0]) : NULL;
}

static gboolean
restore_frames (ZmWorker *worker, ZmRun *run, const ZmState *state)
{
  for (guint i = 0; i < state->depth; i++) {
    ZmFlow *flow = pinned_flow (worker, &state->frames[i]);
    if (!flow)
      return FALSE;
    run->frames[i] = (ZmFrame){ flow, state->frames[i].step };
    run->depth++;
    if (run->frames[i].step >= flow->n_steps)
      return FALSE;
  }
  return TRUE;
}

static void
restore_body (ZmRun *run, const ZmState *state)
{
  zmq_msg_close (&run->body);
  zmq_msg_init_size (&run->body, state->body.size);
  if (state->body.size)
    memcpy (zmq_msg_data (&run->body), state->body.data, state->body.size);
  run->replaced = TRUE;
  if (state->typed)
    run->content_type = zm_span_dup (state->content_type);
}

/* Parked again, for what is left of its time. */
static void
restore_wait (ZmRun *run, gint64 until_us)
{
  ZmParking *parking = g_new0 (ZmParking, 1);
  gint64 now_us = zm_now_us ();
  parking->key = zm_run_branch (run)->key;
  parking->step = run->frames[run->depth - 1].step;
  parking->due_us = now_us + MIN (until_us - zm_wall_us (), run->pool->config.wait_timeout_us);
  run->parking = parking;
  run->event = ZM_EVENT_SAVED;
  if (parking->due_us > now_us)
    return;
  zm_durable_forget (run);
  run->event = ZM_EVENT_FAILED;
  zm_run_set_failure (run, "timeout", "no answer came in time; the daemon was started again meanwhile");
}

gboolean
zm_durable_restore (ZmWorker *worker, ZmRestoring *restoring, ZmMessage *message, const ZmState *state,
                    ZmJoin *join, guint branch)
{
  ZmRun *run = zm_run_new (worker->pool, NULL);
  run->message = zm_message_ref (message);
  run->join = join;
  run->branch = branch;
  run->hops = state->hops;
  run->on_error = state->on_error;
  run->event = ZM_EVENT_STEP;
  gboolean good = restore_frames (worker, run, state);
  if (good && state->kind == ZM_STATE_JOIN) {
    restore_body (run, state);
    return zm_durable_join_restore (worker, restoring, run, state);
  }
  g_ptr_array_add (restoring->runs, run);
  if (!good || !zm_run_branch (run))
    return FALSE;
  restore_body (run, state);
  if (state->kind == ZM_STATE_WAIT)
    restore_wait (run, state->until_us);
  return TRUE;
}

static gboolean
restore_all (ZmWorker *worker, ZmRestoring *restoring, ZmMessage *message, GBytes *bytes)
{
  g_autofree ZmState *state = g_new (ZmState, 1);
  gsize size;
  const char *data = g_bytes_get_data (bytes, &size);
  return zm_state_read (zm_span (data, size), state) &&
         zm_durable_restore (worker, restoring, message, state, NULL, 0);
}

/* All goes on by the queue: the message may have many branches, and this worker has others to do. */
gboolean
zm_durable_resume (ZmWorker *worker, ZmMessage *message)
{
  ZmPool *pool = worker->pool;
  const ZmCheckpoints *checkpoints = pool->config.checkpoints;
  g_autoptr (GBytes) bytes = checkpoints ? checkpoints->load (message->durable, checkpoints->user) : NULL;
  if (!bytes)
    return FALSE;
  g_autoptr (GPtrArray) runs = g_ptr_array_new (), joins = g_ptr_array_new ();
  ZmRestoring restoring = { runs, joins };
  gboolean good = restore_all (worker, &restoring, message, bytes);
  if (good) {
    zm_durable_joins_begin (pool, &restoring);
    for (guint i = 0; i < runs->len; i++)
      zm_queue_run (pool, runs->pdata[i]);
    zm_message_unref (message);
    return TRUE;
  }
  for (guint i = 0; i < runs->len; i++)
    zm_run_free (runs->pdata[i], NULL);
  zm_durable_joins_drop (&restoring);
  zm_log_limited (pool->config.log, ZM_LEVEL_WARNING, "worker", "checkpoint",
                  "how far message %.*s had come in its flow cannot be read; it begins anew",
                  (int) message->topic.id.size, message->topic.id.data ? message->topic.id.data : "");
  return FALSE;
}

gboolean
zm_durable_enter (ZmWorker *worker, ZmMessage *message)
{
  if (G_UNLIKELY (atomic_load (&worker->pool->letting_go))) {
    zm_end_left_message (worker->pool, message);
    worker->ended++;
    return TRUE;
  }
  return zm_durable_resume (worker, message);
}
