/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Calls of plugins that run in a host: the run is away with the room hosts until the call has ended, as a deferred one is, and
 * its worker goes on. No strand and no watchdog are needed for it: the host keeps the order, the room the deadlines.
 */
#include "worker/internal.h"

#define FULL_WAIT_US G_USEC_PER_SEC /* for room at its plugin, at most */

static ZmRun *
run_of (ZmHostCall *call)
{
  return (ZmRun *) ((char *) call - G_STRUCT_OFFSET (ZmRun, hosted));
}

/* What is asked: all of it points into the run, which stays as it is until the call has ended. */
static void
fill (ZmRun *run)
{
  const ZmMessage *message = run->message;
  run->hosted = (ZmHostCall){
    .call = &run->call,
    .type = run->content_type ? run->content_type
            : run->replaced   ? ""
                              : NULL,
    .place = run->plugin_timer ? ZM_WORK_FUNCTION : zm_action_place (run->action),
    .function = run->plugin_timer ? (guint64) (guintptr) run->action->fn : 0,
    .symbol = run->action->symbol,
    .serial_action = !run->action->threadsafe,
    .timeout_us = run->timeout_us,
    .deadline_us = message->deadline_us,
    .order = message->order,
    .hops = run->hops,
    .rank = run->rank,
    .took_us = -1,
  };
  run->rank = 0;
}

/* The rest of a worker's batch does not wait: it hands over what it has, and waits as at a full strand. */
static gboolean
wait_for_room (ZmWorker *worker, ZmRun *run)
{
  zm_counter_add (worker->pool->c_stalls, 1);
  zm_worker_flush (worker);
  zm_worker_release_local (worker);
  return zm_hosts_wait_room (worker->pool->config.hosts, run->action->generation,
                             zm_now_us () + FULL_WAIT_US);
}

/* Hooks run here, before the call goes out. FALSE: it does not go, and the run is gone. */
static gboolean
hooks_let_pass (ZmWorker *worker, ZmRun *run)
{
  if (!worker->view->hooked)
    return TRUE;
  unsigned long long word = zm_watch_begin (worker, run);
  int status = zm_hooks_before (worker, run);
  if (!zm_watch_end (worker, word)) {
    zm_call_came_back (worker, run, status);
    return FALSE;
  }
  if (status == ZM_OK)
    return TRUE;
  zm_engine_outcome (worker, run, status);
  return FALSE;
}

static void
refused (ZmWorker *worker, ZmRun *run)
{
  g_autofree char *code = g_steal_pointer (&run->hosted.code);
  g_autofree char *text = g_steal_pointer (&run->hosted.text);
  if (run->plugin_timer) {
    zm_cannot_call (worker, run, code, text);
    return;
  }
  zm_run_set_failure (run, code, text);
  if (run->stat)
    atomic_fetch_add_explicit (&run->stat->errors, 1, memory_order_relaxed);
  zm_engine_fail (worker, run);
}

/* It keeps its place among those that were moved. */
static void
replaced (ZmWorker *worker, ZmRun *run)
{
  run->rank = run->hosted.rank;
  if (run->plugin_timer)
    zm_cannot_call (worker, run, NULL, "was replaced");
  else
    zm_engine_again (worker, run);
}

/* Once it is taken the run may have ended in another worker by the time that this returns. */
void
zm_hosted_call (ZmWorker *worker, ZmRun *run)
{
  ZmHosts *hosts = worker->pool->config.hosts;
  zm_worker_clock (worker);
  zm_call_fill (worker, run);
  if (!hooks_let_pass (worker, run))
    return;
  /* Another worker may go on with it, and must not publish its end before what it has said here. */
  if (run->said)
    zm_worker_flush (worker);
  run->said = FALSE;
  worker->calls++;
  zm_run_hold (run, "hosted call");
  fill (run);
  ZmHostsEntry entry;
  while ((entry = zm_hosts_call (hosts, run->action->generation, &run->hosted)) == ZM_HOSTS_FULL)
    if (!wait_for_room (worker, run)) {
      zm_cannot_call (worker, run, "busy", "is slow, and the queue before it is full");
      return;
    }
  if (entry == ZM_HOSTS_REFUSED)
    refused (worker, run);
  else if (entry == ZM_HOSTS_CLOSED)
    replaced (worker, run);
}

/* The door `ended` of room hosts: all of them go to the inbox under one lock. */
void
zm_pool_hosted_ended (ZmPool *pool, ZmHostCall *calls)
{
  pthread_mutex_lock (&pool->lock);
  for (ZmHostCall *next; calls; calls = next) {
    ZmRun *run = run_of (calls);
    next = calls->next;
    run->event = ZM_EVENT_HOSTED;
    zm_queue_run_locked (pool, run);
  }
  pthread_mutex_unlock (&pool->lock);
  zm_watchdog_wake (pool);
}

/* ---- what came back ---- */

/* The host has checked it as the pool does; but it is a stranger. NULL: none, or none that can be used. */
static char *
take_key (ZmRun *run, char **from)
{
  g_autofree char *text = g_steal_pointer (from);
  ZmKey key;
  if (!text)
    return NULL;
  if (!zm_key_parse (zm_span_text (text), &key, NULL, NULL) || zm_key_reserved (&key)) {
    zm_run_set_failure (run, "bad-key", "the action's host named a key that is none");
    return NULL;
  }
  return g_steal_pointer (&text);
}

static void
take_reply (ZmRun *run)
{
  ZmHostCall *hosted = &run->hosted;
  run->reply.key = take_key (run, &hosted->key);
  run->reply.next = take_key (run, &hosted->next_key);
  run->reply.content_type = g_steal_pointer (&hosted->content_type);
  if (!hosted->given)
    return;
  zmq_msg_init (&run->reply.body);
  zmq_msg_move (&run->reply.body, &hosted->body);
  zmq_msg_close (&hosted->body);
  hosted->given = FALSE;
  run->reply.given = TRUE;
}

/* As in this process, and watched as there: hooks may hang. FALSE: the run is gone. */
static gboolean
hooks_after (ZmWorker *worker, ZmRun *run, int status)
{
  if (!worker->view->hooked)
    return TRUE;
  run->call.deadline_us = worker->now_us + run->timeout_us;
  unsigned long long word = zm_watch_begin (worker, run);
  zm_hooks_after (worker, run, status);
  if (zm_watch_end (worker, word))
    return TRUE;
  zm_call_came_back (worker, run, status);
  return FALSE;
}

/* The call is over: its outcome is handled as that of any other. */
void
zm_hosted_over (ZmWorker *worker, ZmRun *run)
{
  ZmHostCall *hosted = &run->hosted;
  int status = hosted->status;
  run->event = run->plugin_timer ? ZM_EVENT_TIMER : ZM_EVENT_CALL;
  if (hosted->moved) {
    replaced (worker, run);
    zm_hosts_arrived (worker->pool->config.hosts);
    return;
  }
  if (hosted->took_us >= 0)
    zm_stat_sample (run->stat, hosted->took_us);
  take_reply (run);
  if (hosted->code || hosted->text)
    zm_run_set_failure (run, hosted->code, hosted->text);
  g_clear_pointer (&hosted->code, g_free);
  g_clear_pointer (&hosted->text, g_free);
  if (status == ZM_OK && run->code && g_str_equal (run->code, "bad-key"))
    status = ZM_REJECT;
  if (!hooks_after (worker, run, status))
    return;
  if (zm_traced (worker->pool))
    zm_trace (run, "called", &run->key, status == ZM_OK ? "ok" : "failed");
  zm_engine_outcome (worker, run, status);
}

void
zm_hosted_drop (ZmRun *run)
{
  ZmHostCall *hosted = &run->hosted;
  if (hosted->moved)
    zm_hosts_arrived (run->pool->config.hosts);
  if (hosted->given)
    zmq_msg_close (&hosted->body);
  hosted->given = FALSE;
  g_clear_pointer (&hosted->content_type, g_free);
  g_clear_pointer (&hosted->key, g_free);
  g_clear_pointer (&hosted->next_key, g_free);
  g_clear_pointer (&hosted->code, g_free);
  g_clear_pointer (&hosted->text, g_free);
}
