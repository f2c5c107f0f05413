/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hooks: plugins that are asked whether a message may come in, and before and after each call. They are code of somebody
 * else like any action, so they run in a worker inside a watched section: one that hangs costs its message and a worker's
 * replacement, never the input of all.
 */
#include "worker/internal.h"

#include <string.h>

/* ---- the list of a view ---- */

/* What the hook is called in errors and logs, where it listens then; NULL where not. */
static const ZmAction *
name_of (ZmPool *pool, const ZmHook *hook, ZmHookMoment moment, gboolean there)
{
  return there ? zm_strand_hook_action (pool, hook->generation, moment) : NULL;
}

/* Once a table: in the path of messages hooks are neither searched nor sorted. The table's set keeps them loaded. */
void
zm_hooks_fill (ZmPool *pool, ZmView *view, ZmPluginSet *set)
{
  g_autoptr (GPtrArray) generations = set ? zm_plugin_set_hooks (set) : NULL;
  if (!generations || !generations->len)
    return;
  view->hooks = g_new0 (ZmHook, generations->len);
  view->n_hooks = generations->len;
  for (guint i = 0; i < view->n_hooks; i++) {
    ZmHook *hook = &view->hooks[i];
    hook->generation = generations->pdata[i];
    hook->ops = zm_generation_descriptor (hook->generation)->hooks;
    hook->before = name_of (pool, hook, ZM_HOOK_BEFORE, ZM_HAS (hook->ops, before));
    hook->after = name_of (pool, hook, ZM_HOOK_AFTER, ZM_HAS (hook->ops, after));
    hook->authorise = name_of (pool, hook, ZM_HOOK_AUTHORISE, ZM_HAS (hook->ops, authorise));
    view->hooked = view->hooked || hook->before || hook->after;
    view->authorised = view->authorised || hook->authorise;
  }
}

/* ---- around a call ---- */

/* Tells the watchdog whose code runs from here on; NULL: the action's again. */
static void
enter (ZmWorker *worker, const ZmAction *hook)
{
  atomic_store_explicit (&worker->hook, hook, memory_order_relaxed);
}

/* The first that refuses decides, and those behind it are not asked. */
int
zm_hooks_before (ZmWorker *worker, ZmRun *run)
{
  int status = ZM_OK;
  for (guint i = 0; i < worker->view->n_hooks && status == ZM_OK; i++) {
    const ZmHook *hook = &worker->view->hooks[i];
    if (!hook->before)
      continue;
    enter (worker, hook->before);
    if (hook->ops->before (zm_generation_state (hook->generation), &run->call) != ZM_OK)
      status = ZM_E_DENIED;
  }
  /* Ordered before the look at the word: the watchdog, which claims first, finds either this or that no action follows. */
  atomic_store (&worker->hook, NULL);
  return status;
}

/* All are told, also of an action that failed; not of a call that a hook refused. */
void
zm_hooks_after (ZmWorker *worker, ZmRun *run, int status)
{
  for (guint i = 0; i < worker->view->n_hooks; i++) {
    const ZmHook *hook = &worker->view->hooks[i];
    if (!hook->after)
      continue;
    enter (worker, hook->after);
    hook->ops->after (zm_generation_state (hook->generation), &run->call, status);
  }
  enter (worker, NULL);
}

/* ---- who may come in ---- */

/* NULL: the message was made by the daemon itself, and nobody is asked. */
static const char *
verb_of (const ZmMessage *message)
{
  switch (message->origin) {
  case ZM_ORIGIN_PULL:
  case ZM_ORIGIN_DURABLE: return "send";
  case ZM_ORIGIN_CALL: return "call";
  case ZM_ORIGIN_EMIT: return "emit";
  default: return NULL;
  }
}

/* Asks in order; the first refusal stands. Returns who refused, or NULL. */
static const ZmHook *
ask_all (ZmWorker *worker, const zm_request *request)
{
  const ZmHook *refused = NULL;
  worker->authorising = TRUE;
  for (guint i = 0; i < worker->view->n_hooks && !refused; i++) {
    const ZmHook *hook = &worker->view->hooks[i];
    if (!hook->authorise)
      continue;
    enter (worker, hook->authorise);
    if (hook->ops->authorise (zm_generation_state (hook->generation), request) != ZM_OK)
      refused = hook;
  }
  enter (worker, NULL);
  worker->authorising = FALSE;
  return refused;
}

/* A run that stands for the question: what the watchdog takes the message from, should no answer come. */
static ZmRun *
question (ZmWorker *worker, ZmMessage *message)
{
  ZmRun *run = zm_run_new (worker->pool, worker);
  gint64 deadline_us = worker->now_us + zm_table_timeout_us (worker->view->table);
  run->message = message;
  run->hops = message->hops;
  run->key = message->topic.key;
  for (guint i = 0; !run->action; i++)
    run->action = worker->view->hooks[i].authorise;
  if (message->deadline_us && message->deadline_us < deadline_us)
    deadline_us = message->deadline_us;
  run->call.deadline_us = deadline_us;
  return run;
}

/* In place of everything else that the message would have led to. Takes the run. */
static void
refuse (ZmWorker *worker, ZmRun *run, const ZmHook *hook)
{
  g_autofree char *topic = zm_printable (zm_message_topic (run->message), 100);
  run->action = hook->authorise;
  zm_counter_add (worker->pool->c_unauthorised, 1);
  zm_run_set_failuref (run, "denied", "\"%s\": a plugin that authorises refused it: %s", topic,
                       hook->authorise->plugin);
  zm_log_limited (worker->pool->config.log, ZM_LEVEL_WARNING, "worker", "unauthorised",
                  "a message was refused: %s", run->text);
  zm_end_error (worker, run);
}

/* Asked in the worker and not where messages come in: there a hook that hangs would stop all input. Hooks of one
 * plugin may so be asked by several workers at a time. */
gboolean
zm_hooks_authorise (ZmWorker *worker, ZmMessage *message)
{
  const char *verb = verb_of (message);
  if (!verb)
    return TRUE;
  g_autofree char *key = zm_key_text (&message->topic.key);
  zm_request request = { .struct_size = sizeof request };
  request.verb = (zm_str){ verb, strlen (verb) };
  request.key = (zm_str){ key, strlen (key) };
  zm_worker_clock (worker);
  ZmRun *run = question (worker, message);
  unsigned long long word = zm_watch_begin (worker, run);
  const ZmHook *refused = ask_all (worker, &request);
  if (!zm_watch_end (worker, word)) {
    zm_call_came_back (worker, run, refused ? ZM_E_DENIED : ZM_OK);
    return FALSE;
  }
  if (refused) {
    refuse (worker, run, refused);
    return FALSE;
  }
  run->message = NULL;
  run->action = NULL;
  zm_run_free (run, worker);
  return TRUE;
}
