/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A flow goes on step by step: in this worker until it ends or has to wait. */
#include "worker/durable.h"

#include <string.h>

/* PUBLISH and ASYNC in a row are a question and its answer. */
static gboolean
next_is_wait (const ZmFrame *frame)
{
  return frame->step + 1 < frame->flow->n_steps && frame->flow->steps[frame->step + 1].kind == ZM_STEP_ASYNC;
}

/* PUBLISH: the body goes out under the step's topic. Where ASYNC follows, the instance waits before the question is out. */
static void
do_publish (ZmWorker *worker, ZmRun *run)
{
  ZmFrame *frame = &run->frames[run->depth - 1];
  const ZmKey *key = &frame->flow->steps[frame->step].branches[0].key;
  if (!next_is_wait (frame)) {
    zm_publish_step (worker, run, key);
    zm_engine_next (worker, run);
    return;
  }
  if (!zm_wait_taker (worker, run, key))
    return;
  ZmMessage *question = zm_step_message (run, key);
  frame->step++;
  zm_wait_park (worker, run, &frame->flow->steps[frame->step].branches[0].key, frame->step, question, NULL);
}

/* A step in no mapping: a service takes it. The flow waits for its answer where steps follow. */
static void
do_hand_over (ZmWorker *worker, ZmRun *run, const ZmKey *key)
{
  const ZmFrame *frame = &run->frames[run->depth - 1];
  if (!zm_wait_taker (worker, run, key))
    return;
  if (frame->step + 1 >= frame->flow->n_steps && run->depth == 1 && !run->join) {
    zm_publish_step (worker, run, key);
    zm_end_silent (worker, run);
    return;
  }
  zm_wait_park (worker, run, key, frame->step, zm_step_message (run, key), NULL);
}

/* A step whose key is another flow's first: that flow runs as a child with the same id. */
static void
do_child (ZmWorker *worker, ZmRun *run, ZmFlow *child)
{
  if (run->depth > ZM_NESTING_MOST) {
    zm_run_set_failuref (run, "nesting", "flow %s is nested more than %d deep", child->name, ZM_NESTING_MOST);
    zm_engine_fail (worker, run);
    return;
  }
  zm_run_push (run, child, 1);
  zm_engine_go (worker, run);
}

/* Steps are looked up in the table of now, though the flow may be of an older one: a reload changes what does a step,
 * never which steps there are. */
static void
do_key (ZmWorker *worker, ZmRun *run)
{
  const ZmFrame *frame = &run->frames[run->depth - 1];
  const ZmBranch *branch = zm_run_branch (run);
  int which = run->on_error ? -1 : (run->join && run->depth == 1 ? (int) run->branch : 0);
  ZmStepTarget target;
  zm_table_step (worker->view->table, frame->flow, frame->step, which, &target);
  if (zm_traced (worker->pool))
    zm_trace (run,
              target.child   ? "child flow"
              : target.route ? "step"
                             : "hand-over",
              &branch->key, target.route ? target.route->mapping->key_text : NULL);
  if (target.child && !run->on_error)
    do_child (worker, run, target.child);
  else if (target.route)
    zm_engine_route (worker, run, target.route, &branch->key);
  else if (run->on_error) {
    zm_run_set_failuref (run, "unmapped", "the error step %s is in no mapping, and may not wait",
                         branch->text);
    zm_engine_fail (worker, run);
  } else
    do_hand_over (worker, run, &branch->key);
}

/* Waits without a question of its own: something else asked, or nothing does. */
static void
do_async (ZmWorker *worker, ZmRun *run)
{
  const ZmFrame *frame = &run->frames[run->depth - 1];
  zm_wait_park (worker, run, &zm_run_branch (run)->key, frame->step, NULL, NULL);
}

/* A child gives its result to its parent's step. Without done the flow ends in silence. */
static void
flow_ends (ZmWorker *worker, ZmRun *run, gboolean published)
{
  if (run->depth > 1) {
    zm_run_pop (run);
    zm_engine_next (worker, run);
    return;
  }
  if (!published) {
    zm_end_silent (worker, run);
    return;
  }
  static const ZmKey done = { .action = { "done", 4 } };
  zm_end_result (worker, run, zm_run_flow_name (run), &done);
}

/* The hops bound what one message may cost: a child flow, a next key and a step count alike. */
void
zm_engine_go (ZmWorker *worker, ZmRun *run)
{
  if (G_UNLIKELY (++run->hops > ZM_HOPS_MOST)) {
    zm_run_set_failure (run, "loop", "the message took over 100 steps");
    zm_engine_fail (worker, run);
    return;
  }
  const ZmStep *step = zm_run_step (run);
  if (!step) {
    flow_ends (worker, run, FALSE);
    return;
  }
  if (run->on_error) {
    do_key (worker, run);
    return;
  }
  ZmStepKind kind = run->join && run->depth == 1 ? step->branches[run->branch].kind : step->kind;
  switch (kind) {
  case ZM_STEP_KEY: do_key (worker, run); break;
  case ZM_STEP_PUBLISH: do_publish (worker, run); break;
  case ZM_STEP_ASYNC: do_async (worker, run); break;
  case ZM_STEP_JOIN: zm_join_begin (worker, run); break;
  case ZM_STEP_DONE: flow_ends (worker, run, TRUE); break;
  }
}

/* The step's result is in body already. What was held for its call is let go, as the next step may wait long. */
void
zm_engine_next (ZmWorker *worker, ZmRun *run)
{
  run->on_error = FALSE;
  zm_run_let_go (run);
  run->action = NULL;
  if (!run->depth) {
    zm_end_silent (worker, run);
  } else if (run->join && run->depth == 1) {
    zm_join_branch_ended (worker, run, FALSE);
  } else {
    run->frames[run->depth - 1].step++;
    if (zm_is_durable (run) && !zm_durable_step (run))
      zm_engine_fail (worker, run);
    else
      zm_engine_go (worker, run);
  }
}

/* The daemon ends: a durable message goes on after the next start where it is. Its error step does not run, and its join does
 * not fail. */
static gboolean
is_left (const ZmRun *run)
{
  return run->message && G_UNLIKELY (run->message->durable) && g_strcmp0 (run->code, "shutdown") == 0;
}

static void
end_failed (ZmWorker *worker, ZmRun *run)
{
  if (is_left (run))
    zm_end_left (worker, run);
  else
    zm_end_error (worker, run);
}

/* A step without its own `!` fails its flow; a child flow's failure is its parent step's. */
void
zm_engine_fail (ZmWorker *worker, ZmRun *run)
{
  run->rank = 0; /* an error step is no call that was moved */
  if (zm_traced (worker->pool))
    zm_trace (run, "failed", NULL, run->code);
  while (run->depth) {
    const ZmStep *step = zm_run_step (run);
    gboolean branch = run->join && run->depth == 1;
    if (step && step->on_error && !run->on_error && !branch && !is_left (run))
      break;
    if (branch) {
      zm_join_branch_ended (worker, run, TRUE);
      return;
    }
    if (run->depth == 1) {
      end_failed (worker, run);
      return;
    }
    run->on_error = FALSE;
    zm_run_pop (run);
  }
  if (!run->depth) {
    end_failed (worker, run);
    return;
  }
  char *json = zm_error_json (run);
  zmq_msg_close (&run->body);
  zmq_msg_init_size (&run->body, strlen (json));
  memcpy (zmq_msg_data (&run->body), json, strlen (json));
  g_free (json);
  g_free (run->content_type);
  run->content_type = g_strdup ("application/json");
  g_clear_pointer (&run->code, g_free);
  g_clear_pointer (&run->text, g_free);
  zm_run_let_go (run);
  run->action = NULL;
  run->on_error = TRUE;
  zm_engine_go (worker, run);
}
