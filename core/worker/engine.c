/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The engine: what happens to a message from the moment a worker takes it. A message enters a flow, resumes a waiting
 * instance, or is mapped on its own; a flow goes on step by step in this worker until it ends or has to wait.
 */
#include "worker/internal.h"

#include <string.h>

/* ---- entering ---- */

static ZmRun *
run_for (ZmWorker *worker, ZmMessage *message)
{
  ZmRun *run = zm_run_new (worker->pool, worker);
  run->message = message;
  run->hops = message->hops;
  zmq_msg_copy (&run->body, &message->body_frame);
  return run;
}

static void
push_frame (ZmRun *run, ZmFlow *flow, guint step)
{
  run->frames[run->depth].flow = zm_flow_ref (flow);
  run->frames[run->depth].step = step;
  run->depth++;
}

static void
pop_frame (ZmRun *run)
{
  run->depth--;
  zm_flow_unref (run->frames[run->depth].flow);
}

/* At the first step; a second message with the flow and id of an instance that waits is none of its own. */
static void
start_flow (ZmWorker *worker, ZmRun *run, ZmFlow *flow)
{
  ZmKeeper *keeper = worker->pool->config.keeper;
  gboolean again = keeper->ops->count (keeper) &&
                   keeper->ops->waiting (keeper, zm_span_text (flow->name), run->message->topic.id);
  push_frame (run, flow, again ? 0 : 1);
  if (!again) {
    zm_engine_go (worker, run);
    return;
  }
  zm_run_set_failuref (run, "duplicate", "an instance of flow %s with this id waits already", flow->name);
  zm_end_error (worker, run);
}

/* The answer came: its body is the waiting step's result. The message that waits stays the one that started the flow. */
static void
resume (ZmWorker *worker, ZmRun *waiting, ZmMessage *answer)
{
  zmq_msg_copy (&waiting->body, &answer->body_frame);
  g_clear_pointer (&waiting->content_type, g_free);
  waiting->replaced = TRUE;
  if (answer->has_headers)
    waiting->content_type = zm_message_header (answer, "content-type");
  waiting->event = ZM_EVENT_CAME;
  ZmPool *pool = worker->pool;
  if (pool->config.sink.ended)
    pool->config.sink.ended (answer, ZM_END_SILENT, NULL, pool->config.sink.user);
  /* Who called with the answer hears that it was taken; the result goes to who started the flow. */
  zm_answer_caller (pool, answer, ZM_OK, NULL);
  zm_counter_add (pool->c_silent, 1);
  zm_message_unref (answer);
  worker->ended++;
  zm_engine_run (worker, waiting);
}

/* An echoed `prev-flow` names the waiting flow, so that who answers need not. */
static ZmRun *
take_by_header (ZmWorker *worker, ZmMessage *message)
{
  g_autofree char *flows = zm_message_header (message, "prev-flow");
  if (!flows)
    return NULL;
  gsize first = strcspn (flows, ",");
  return zm_wait_take (worker->pool, zm_span (flows, first), message->topic.id, &message->topic.key);
}

static void
refuse (ZmWorker *worker, ZmMessage *message, const char *code, const char *format, const char *name)
{
  ZmRun *run = run_for (worker, message);
  g_autofree char *shown = zm_printable (zm_span_text (name), 255);
  g_autofree char *text = g_strdup_printf (format, shown);
  zm_run_set_failure (run, code, text);
  zm_end_error (worker, run);
}

/* A message that names a flow: Push or the trigger enters it, any other of its steps is entered there. */
static void
enter_named (ZmWorker *worker, ZmMessage *message)
{
  const ZmTopic *topic = &message->topic;
  ZmFlow *flow = zm_table_flow (worker->view->table, topic->flow);
  g_autofree char *name = NULL;
  if (!flow) {
    name = zm_span_dup (topic->flow);
    refuse (worker, message, "no-such-flow", "no flow is named %s", name);
    return;
  }
  guint step = 0, branch = 0;
  gboolean first =
      zm_span_is (topic->key.action, "Push") || zm_key_matches (&flow->steps[0].branches[0].key, &topic->key);
  if (!first)
    step = zm_flow_find_step (flow, &topic->key, &branch);
  if (!first && !step) {
    name = zm_key_text (&topic->key);
    refuse (worker, message, "no-such-step", "the flow has no step %s", name);
    return;
  }
  if (!first) {
    ZmStepTarget target;
    zm_table_step (worker->view->table, flow, step, (int) branch, &target);
    const ZmStep *entered = &flow->steps[step];
    if (entered->kind != ZM_STEP_KEY || entered->branches[0].key.decorator.size ||
        !(target.route || target.child)) {
      name = zm_key_text (&topic->key);
      refuse (worker, message, "no-such-instance", "no instance of the flow waits for %s", name);
      return;
    }
  }
  ZmRun *run = run_for (worker, message);
  if (first) {
    start_flow (worker, run, flow);
    return;
  }
  push_frame (run, flow, step);
  zm_engine_go (worker, run);
}

/* A message without a flow: flows that it triggers, else its mapping. */
static void
enter_free (ZmWorker *worker, ZmMessage *message)
{
  ZmLookup found;
  if (G_UNLIKELY (zm_span_is (message->topic.key.decorator, "ASYNC"))) {
    refuse (worker, message, "no-such-instance", "@ASYNC is for steps of flows, and no instance waits%s", "");
    return;
  }
  zm_table_lookup (worker->view->table, &message->topic, &found);
  /* What the others do may take this worker to a newer table. */
  ZmView *view = found.n_flows > 1 ? zm_view_ref (worker->view) : NULL;
  for (guint i = 1; i < found.n_flows; i++) {
    ZmRun *other = run_for (worker, zm_message_derive (message, message->topic.flow, &message->topic.key,
                                                       message->topic.id, TRUE));
    other->message->lane = message->lane;
    zm_pool_inside (worker->pool, 1);
    start_flow (worker, other, found.flows[i]);
  }
  if (G_UNLIKELY (!found.n_flows && !found.route)) {
    g_autofree char *key = zm_key_text (&message->topic.key);
    zm_log_limited (worker->pool->config.log, ZM_LEVEL_NOTICE, "worker", "unmapped",
                    "no mapping and no flow takes the key %s", key);
    refuse (worker, message, "unmapped", "no mapping and no flow takes the key %s", key);
    return;
  }
  ZmRun *run = run_for (worker, message);
  if (found.n_flows) {
    g_clear_pointer (&view, zm_view_unref);
    start_flow (worker, run, found.flows[0]);
  } else {
    if (zm_traced (worker->pool))
      zm_trace (run, "resolved", &message->topic.key, found.route->mapping->key_text);
    run->by_default = TRUE;
    zm_engine_route (worker, run, found.route, &message->topic.key);
  }
}

void
zm_engine_message (ZmWorker *worker, ZmMessage *message)
{
  const ZmTopic *topic = &message->topic;
  ZmPool *pool = worker->pool;
  zm_worker_clock (worker);
  if (G_UNLIKELY (!worker->view)) {
    zm_end_refused (pool, message, "unavailable", "no routing table is loaded");
    worker->ended++;
    return;
  }
  if (G_UNLIKELY (message->hops > ZM_HOPS_MOST)) {
    refuse (worker, message, "loop", "the message was emitted from action to action over 100 times%s", "");
    return;
  }
  if (G_UNLIKELY (message->deadline_us && message->deadline_us < worker->now_us)) {
    refuse (worker, message, "timeout", "the caller's deadline passed before a worker was free%s", "");
    return;
  }
  if (G_UNLIKELY (worker->view->authorised) && !zm_hooks_authorise (worker, message))
    return;
  ZmKeeper *keeper = pool->config.keeper;
  if (topic->id.size && keeper->ops->count (keeper)) {
    ZmRun *waiting = zm_wait_take (pool, topic->flow, topic->id, &topic->key);
    if (!waiting && !topic->flow.size && message->has_headers)
      waiting = take_by_header (worker, message);
    if (waiting) {
      resume (worker, waiting, message);
      return;
    }
  }
  if (topic->flow.size)
    enter_named (worker, message);
  else
    enter_free (worker, message);
}

/* ---- steps ---- */

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
  push_frame (run, child, 1);
  zm_engine_go (worker, run);
}

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

static void
do_async (ZmWorker *worker, ZmRun *run)
{
  const ZmFrame *frame = &run->frames[run->depth - 1];
  zm_wait_park (worker, run, &zm_run_branch (run)->key, frame->step, NULL, NULL);
}

/* ??done: publishes, or gives a child's result to its parent. */
static void
flow_ends (ZmWorker *worker, ZmRun *run, gboolean published)
{
  if (run->depth > 1) {
    pop_frame (run);
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
    zm_engine_go (worker, run);
  }
}

/* A step without its own `!` fails its flow; a child flow's failure is its parent step's. */
void
zm_engine_fail (ZmWorker *worker, ZmRun *run)
{
  if (zm_traced (worker->pool))
    zm_trace (run, "failed", NULL, run->code);
  while (run->depth) {
    const ZmStep *step = zm_run_step (run);
    gboolean branch = run->join && run->depth == 1;
    if (step && step->on_error && !run->on_error && !branch)
      break;
    if (branch) {
      zm_join_branch_ended (worker, run, TRUE);
      return;
    }
    if (run->depth == 1) {
      zm_end_error (worker, run);
      return;
    }
    run->on_error = FALSE;
    pop_frame (run);
  }
  if (!run->depth) {
    zm_end_error (worker, run);
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

/* ---- a mapped key ---- */

static void
to_worker_abroad (ZmWorker *worker, ZmRun *run, const ZmRoute *route, const ZmKey *key)
{
  guint step = run->depth ? run->frames[run->depth - 1].step : 0;
  g_free (run->abroad);
  run->abroad = g_strdup (route->worker);
  zm_wait_park (worker, run, key, step, zm_step_message (run, key), route->worker);
}

static ZmStat *
count_call (ZmWorker *worker, const ZmRoute *route)
{
  ZmStat *stat = worker->view->stats[route->index];
  ZmPending *pending = &worker->pending[route->index % ZM_PENDING];
  if (pending->stat != stat) {
    if (pending->calls)
      atomic_fetch_add_explicit (&pending->stat->calls, pending->calls, memory_order_relaxed);
    *pending = (ZmPending){ stat, 0 };
  }
  if (stat)
    pending->calls++;
  return stat;
}

void
zm_engine_route (ZmWorker *worker, ZmRun *run, const ZmRoute *route, const ZmKey *key)
{
  zm_run_let_go (run);
  run->stat = count_call (worker, route);
  run->key = *key;
  run->timeout_us = route->timeout_us;
  /* That of a call before it, of which nothing is held any more. */
  run->action = NULL;
  if (run->event == ZM_EVENT_TIMER)
    run->event = ZM_EVENT_STEP; /* its call named this key: from here on it is a message as any other */
  switch (route->target) {
  case ZM_TARGET_ACTION:
    run->action = route->action;
    zm_engine_call (worker, run);
    break;
  case ZM_TARGET_WORKER: to_worker_abroad (worker, run, route, key); break;
  case ZM_TARGET_UNAVAILABLE:
    zm_run_set_failure (run, "unavailable", route->reason);
    zm_engine_fail (worker, run);
    break;
  }
}

void
zm_engine_again (ZmWorker *worker, ZmRun *run)
{
  zm_worker_refresh (worker);
  run->action = NULL;
  ZmKey key = run->key;
  const ZmRoute *route = zm_table_resolve (worker->view->table, &key, run->by_default);
  if (++run->hops <= ZM_HOPS_MOST && route) {
    zm_engine_route (worker, run, route, &key);
    return;
  }
  zm_run_set_failure (run, "unmapped",
                      "the key's mapping was removed while the message waited for its plugin");
  zm_engine_fail (worker, run);
}

/* ---- outcomes ---- */

static void
adopt_reply (ZmRun *run)
{
  if (!run->reply.given)
    return;
  zmq_msg_move (&run->body, &run->reply.body);
  zmq_msg_close (&run->reply.body);
  run->reply.given = FALSE;
  run->replaced = TRUE;
  g_free (run->content_type);
  run->content_type = g_steal_pointer (&run->reply.content_type);
}

/* The action named a key to go on with, as part of the same step. */
static void
go_on_with (ZmWorker *worker, ZmRun *run)
{
  g_free (run->next_text);
  run->next_text = g_steal_pointer (&run->reply.next);
  const char *text = run->next_text;
  ZmKey key;
  zm_key_parse (zm_span_text (text), &key, NULL, NULL); /* checked when it was set */
  run->by_default = FALSE;
  adopt_reply (run);
  zm_run_drop_reply (run);
  if (++run->hops > ZM_HOPS_MOST) {
    zm_run_set_failuref (run, "loop", "over 100 keys in a row; the last was %s", text);
    zm_engine_fail (worker, run);
    return;
  }
  const ZmRoute *route = zm_table_resolve (worker->view->table, &key, FALSE);
  if (zm_traced (worker->pool))
    zm_trace (run, "next key", &key, route ? route->mapping->key_text : "published");
  if (route) {
    zm_engine_route (worker, run, route, &key);
  } else if (run->depth) {
    zm_publish_step (worker, run, &key);
    zm_engine_next (worker, run);
  } else {
    zm_end_result (worker, run, zm_span (NULL, 0), &key);
  }
}

/* The sender of a plugin's results: "link" of "acme.net.link". */
static ZmSpan
component_of (const char *plugin)
{
  const char *dot = strrchr (plugin, '.');
  return zm_span_text (dot ? dot + 1 : plugin);
}

static void
single_ends (ZmWorker *worker, ZmRun *run)
{
  if (!run->reply.given && !run->reply.key) {
    zm_end_silent (worker, run);
    return;
  }
  g_autofree char *text = g_steal_pointer (&run->reply.key);
  adopt_reply (run);
  ZmKey key = run->message->topic.key;
  if (text) {
    zm_key_parse (zm_span_text (text), &key, NULL, NULL);
  } else {
    key.sender = component_of (run->action->plugin);
    key.decorator = zm_span (NULL, 0);
  }
  zm_end_result (worker, run, zm_span (NULL, 0), &key);
}

void
zm_engine_outcome (ZmWorker *worker, ZmRun *run, int status)
{
  switch (status) {
  case ZM_OK:
    g_clear_pointer (&run->code, g_free); /* zm_fail, then OK: the status decides */
    g_clear_pointer (&run->text, g_free);
    if (run->reply.next) {
      go_on_with (worker, run);
    } else if (run->depth) {
      adopt_reply (run);
      zm_run_drop_reply (run);
      zm_engine_next (worker, run);
    } else {
      single_ends (worker, run);
    }
    return;
  case ZM_RETRY:
    zm_run_set_failure (run, "retry",
                        "the action asked to be tried again, which only a durable message can be");
    break;
  case ZM_REJECT: zm_run_set_failure (run, "rejected", "the action rejected the message"); break;
  case ZM_E_TIMEOUT: zm_run_set_failure (run, "timeout", "the deadline passed"); break;
  case ZM_E_DENIED: zm_run_set_failure (run, "denied", "a hook denied the call"); break;
  default: zm_run_set_failuref (run, "bad-status", "the action returned %d, which is no outcome", status);
  }
  if (run->stat)
    atomic_fetch_add_explicit (&run->stat->errors, 1, memory_order_relaxed);
  zm_run_drop_reply (run);
  zm_engine_fail (worker, run);
}

/* ---- events of runs that were away ---- */

static void
came (ZmWorker *worker, ZmRun *run)
{
  const ZmStep *step = zm_run_step (run);
  if (!step) { /* outside a flow: the answer of a worker abroad is the result */
    ZmKey key = run->message->topic.key;
    key.sender = zm_span_text (run->abroad);
    key.decorator = zm_span (NULL, 0);
    zm_end_result (worker, run, zm_span (NULL, 0), &key);
    return;
  }
  const ZmBranch *branch = zm_run_branch (run);
  if (branch->kind == ZM_STEP_ASYNC) {
    ZmKey key = branch->key;
    key.decorator = zm_span (NULL, 0);
    const ZmRoute *route = zm_table_resolve (worker->view->table, &key, FALSE);
    if (route) {
      zm_engine_route (worker, run, route, &branch->key);
      return;
    }
  }
  zm_engine_next (worker, run);
}

void
zm_engine_run (ZmWorker *worker, ZmRun *run)
{
  if (run->is_abroad)
    zm_abroad_back (run);
  zm_run_cancel_timer (run);
  if (G_UNLIKELY (!worker->view))
    zm_worker_refresh (worker);
  switch (run->event) {
  case ZM_EVENT_FRESH: {
    ZmMessage *message = g_steal_pointer (&run->message);
    zm_run_free (run, worker);
    zm_engine_message (worker, message);
    break;
  }
  case ZM_EVENT_OUT:
    zm_given_publish (worker->pool, run->lane);
    zm_run_free (run, worker);
    break;
  case ZM_EVENT_STEP: zm_engine_go (worker, run); break;
  case ZM_EVENT_CALL: zm_engine_call (worker, run); break;
  case ZM_EVENT_TIMER:
  case ZM_EVENT_CALLBACK: zm_engine_call (worker, run); break;
  case ZM_EVENT_COMPLETED: zm_engine_outcome (worker, run, run->status); break;
  case ZM_EVENT_CAME: came (worker, run); break;
  case ZM_EVENT_FAILED: zm_engine_fail (worker, run); break;
  case ZM_EVENT_JOINED:
    if (run->code)
      zm_engine_fail (worker, run);
    else
      zm_engine_next (worker, run);
    break;
  }
}
