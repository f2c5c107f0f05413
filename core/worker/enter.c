/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where a message enters: the waiting instance that it answers, the flow that it names or triggers, or the mapping of its key.
 */
#include "worker/durable.h"

#include <string.h>

/* Takes the message. The body is shared with it until something replaces it: libzmq copies no bytes. */
static ZmRun *
run_for (ZmWorker *worker, ZmMessage *message)
{
  ZmRun *run = zm_run_new (worker->pool, worker);
  run->message = message;
  run->hops = message->hops;
  zmq_msg_copy (&run->body, &message->body_frame);
  return run;
}

/* At the first step; a second message with the flow and id of an instance that waits is none of its own. */
static void
start_flow (ZmWorker *worker, ZmRun *run, ZmFlow *flow)
{
  ZmKeeper *keeper = worker->pool->config.keeper;
  gboolean again = keeper->ops->count (keeper) &&
                   keeper->ops->waiting (keeper, zm_span_text (flow->name), run->message->topic.id);
  zm_run_push (run, flow, again ? 0 : 1);
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
  zm_end_durable (pool, answer, ZM_END_SILENT, 0, NULL, NULL, NULL);
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

/* For a message that gets no further; takes it. format has one %s, for name, which came from outside and is shown as
 * text. */
static void
refuse (ZmWorker *worker, ZmMessage *message, const char *code, const char *format, const char *name)
{
  ZmRun *run = run_for (worker, message);
  g_autofree char *shown = zm_printable (zm_span_text (name), 255);
  g_autofree char *text = g_strdup_printf (format, shown);
  zm_run_set_failure (run, code, text);
  zm_end_error (worker, run);
}

/* A message that names a flow: Push or the trigger enters it, any other of its steps is entered there, where no
 * instance is needed: a step that waits, or one that a service does, belongs to an instance that waits. */
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
  zm_run_push (run, flow, step);
  zm_engine_go (worker, run);
}

/* The message ends with its first flow. */
static void
tell_volatile (ZmWorker *worker, const ZmLookup *found)
{
  zm_log_limited (
      worker->pool->config.log, ZM_LEVEL_WARNING, "worker", "volatile-flow",
      "a durable message triggers %u flows: %s is durable, but %s%s runs beside it and is lost where the "
      "daemon ends meanwhile",
      found->n_flows, found->flows[0]->name, found->flows[1]->name, found->n_flows > 2 ? ", as others," : "");
}

/* A message without a flow: flows that it triggers, else its mapping. Each further flow gets a message of its own
 * with the same frames, and counts as one more inside. */
static void
enter_free (ZmWorker *worker, ZmMessage *message)
{
  ZmLookup found;
  if (G_UNLIKELY (zm_span_is (message->topic.key.decorator, "ASYNC"))) {
    refuse (worker, message, "no-such-instance", "@ASYNC is for steps of flows, and no instance waits%s", "");
    return;
  }
  zm_table_lookup (worker->view->table, &message->topic, &found);
  if (G_UNLIKELY (found.n_flows > 1 && message->durable))
    tell_volatile (worker, &found);
  /* What the others do may take this worker to a newer table. */
  ZmView *view = found.n_flows > 1 ? zm_view_ref (worker->view) : NULL;
  for (guint i = 1; i < found.n_flows; i++) {
    ZmRun *other = run_for (worker, zm_message_derive (message, message->topic.flow, &message->topic.key,
                                                       message->topic.id, TRUE));
    other->message->lane = message->lane;
    other->message->order = message->order;
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
    /* The view may be all that still keeps its table, and that the flow; it is not held for as long as the flow runs. */
    ZmFlow *flow = zm_flow_ref (found.flows[0]);
    g_clear_pointer (&view, zm_view_unref);
    start_flow (worker, run, flow);
    zm_flow_unref (flow);
  } else {
    if (zm_traced (worker->pool))
      zm_trace (run, "resolved", &message->topic.key, found.route->mapping->key_text);
    run->by_default = TRUE;
    zm_engine_route (worker, run, found.route, &message->topic.key);
  }
}

/* The order matters: what is over already ends before it costs anything; who may not come in learns nothing of who
 * waits; and an answer is for the instance that waits for it before it is for a mapping of its key. */
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
  if (G_UNLIKELY (message->durable) && zm_durable_enter (worker, message))
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
