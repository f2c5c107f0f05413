/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The engine: what becomes of a key that is mapped, of what its action returned, and of runs that were away.
 */
#include "worker/durable.h"

#include <string.h>

/* ---- a mapped key ---- */

/* Its answer comes by the Subject, as any service's does, and finds the parked run. */
static void
to_worker_abroad (ZmWorker *worker, ZmRun *run, const ZmRoute *route, const ZmKey *key)
{
  guint step = run->depth ? run->frames[run->depth - 1].step : 0;
  g_free (run->abroad);
  run->abroad = g_strdup (route->worker);
  zm_wait_park (worker, run, key, step, zm_step_message (run, key), route->worker);
}

/* Calls are counted aside, by the route's place, and added to the key's figures when another key needs that place or
 * the batch ends. Returns the key's figures, or NULL where there are too many keys. */
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

/* A mapped key: to its action, to a worker in another language, or to the reason why neither is there. */
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

/* Its plugin was replaced while the run waited at the strand: the key is looked up anew, in the table that has the
 * new one. Each such turn counts as a hop, so that it ends. */
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

/* The reply becomes the body, with its type; without one the body stays. */
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

/* Outside a flow: a result goes out under the key that the action set, else under the message's own with the
 * component as sender, so that it does not come back to the same mapping. */
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

/* Each outcome leads to exactly one end or one next step. The run's call is over, and its strand is free. */
void
zm_engine_outcome (ZmWorker *worker, ZmRun *run, int status)
{
  switch (status) {
  case ZM_OK:
    g_clear_pointer (&run->code, g_free); /* zm_fail, then OK: the status decides */
    g_clear_pointer (&run->text, g_free);
    run->asked = 0;
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
    run->asked = status;
    zm_run_set_failure (run, "retry",
                        "the action asked to be tried again, which only a durable message can be");
    break;
  case ZM_REJECT:
    run->asked = status;
    zm_run_set_failure (run, "rejected", "the action rejected the message");
    break;
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

/* The answer is the result of the step that waited. An ASYNC step whose key is mapped then runs that mapping with the
 * answer as body. */
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

/* Takes the run: does what it waits for. Its timer is ended first, so that nobody else can take it any more. */
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
  case ZM_EVENT_SAVED: zm_durable_saved (worker, run); break;
  case ZM_EVENT_HOSTED: zm_hosted_over (worker, run); break;
  case ZM_EVENT_FAILED: zm_engine_fail (worker, run); break;
  case ZM_EVENT_JOINED:
    if (run->code)
      zm_engine_fail (worker, run);
    else
      zm_engine_next (worker, run);
    break;
  }
}
