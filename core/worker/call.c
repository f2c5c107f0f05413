/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One call of an action: from the strand of its plugin, through a section that the watchdog watches, to its outcome.
 */
#include "worker/internal.h"

#define HELP_DEPTH   2              /* how deep runs are done while another waits for room */
#define FULL_WAIT_US G_USEC_PER_SEC /* for room in a strand, at most */

static zm_str
str_of (ZmSpan span)
{
  zm_str str = { span.data, span.size };
  return str;
}

/* Sets what the plugin sees. All spans point into the message, the flow or the table, which the run holds: nothing is
 * copied. */
void
zm_call_fill (ZmWorker *worker, ZmRun *run)
{
  zm_call *call = &run->call;
  const ZmMessage *message = run->message;
  call->struct_size = sizeof *call;
  call->flags = 0;
  call->host = zm_generation_host (run->action->generation);
  if (!run->depth)
    call->flow = str_of (message->topic.flow);
  else if (call->flow.data != run->frames[run->depth - 1].flow->name) /* the same in most steps */
    call->flow = str_of (zm_run_flow_name (run));
  call->decorator = str_of (run->key.decorator);
  call->sender = str_of (run->key.sender);
  call->context = str_of (run->key.context);
  call->action = str_of (run->key.action);
  call->id = str_of (message->topic.id);
  call->headers = str_of (message->has_headers ? zm_message_headers (message) : zm_span (NULL, 0));
  call->body = zmq_msg_data (&run->body);
  call->body_size = zmq_msg_size (&run->body);
  if (G_UNLIKELY (worker->pool->config.guard_bodies))
    zm_run_guard (run);
  gint64 deadline = worker->now_us + run->timeout_us;
  if (message->deadline_us && message->deadline_us < deadline)
    deadline = message->deadline_us;
  call->deadline_us = deadline;
  call->attempt = message->attempt;
  call->step = run->depth ? run->frames[run->depth - 1].step : 0;
  call->state = zm_generation_state (run->action->generation);
  /* A deferred call before it may have been given up on, and this be its error step. */
  atomic_store_explicit (&run->cancelled, 0, memory_order_relaxed);
}

/* A callback is no action, but a call of the plugin like any: it takes its turn in the strand and is watched. */
static int
invoke (ZmRun *run)
{
  if (run->event != ZM_EVENT_CALLBACK)
    return run->action->fn (&run->call);
  if (run->told) {
    run->told (run->done_user, run->status);
    return ZM_OK;
  }
  run->done (run->done_user, run->status, zmq_msg_data (&run->body), zmq_msg_size (&run->body));
  return ZM_OK;
}

/* Each sixteenth call is timed: the clock costs as much as a short action. */
void
zm_stat_sample (ZmStat *stat, gint64 us)
{
  if (!stat)
    return;
  atomic_fetch_add_explicit (&stat->samples, 1, memory_order_relaxed);
  atomic_fetch_add_explicit (&stat->sampled_us, (guint64) us, memory_order_relaxed);
  if ((guint64) us > atomic_load_explicit (&stat->highest_us, memory_order_relaxed))
    atomic_store_explicit (&stat->highest_us, (guint64) us, memory_order_relaxed);
}

/* One compare-and-swap decides between the thread and the watchdog: either this ends the call, and its run stays the
 * thread's; or the call was claimed, and an heir has the message. */
gboolean
zm_watch_end (ZmWorker *worker, unsigned long long word)
{
  for (;;) {
    unsigned long long now = word;
    if (atomic_compare_exchange_strong (&worker->word, &now, word & ~3ull))
      return TRUE;
    if ((now & 3) == ZM_PHASE_CLAIMED)
      return FALSE;
    /* The watchdog is taking this worker's results, and holds this lock until it has them. */
    pthread_mutex_lock (&worker->pool->dog_lock);
    pthread_mutex_unlock (&worker->pool->dog_lock);
  }
}

/* The word counts up with each call, so that the watchdog can tell two calls in a row from one that lasts. It is
 * written last: who sees it sees the run and the deadline too. Only the watchdog writes it while the call runs, and
 * only to claim or hold it. */
unsigned long long
zm_watch_begin (ZmWorker *worker, ZmRun *run)
{
  guint64 sequence = (atomic_load_explicit (&worker->word, memory_order_relaxed) >> 2) + 1;
  worker->run = run;
  atomic_store_explicit (&worker->call_deadline_us, run->call.deadline_us, memory_order_relaxed);
  unsigned long long word = sequence << 2 | ZM_PHASE_CALL;
  atomic_store_explicit (&worker->word, word, memory_order_release);
  return word;
}

/* Also the clock of the batch goes on where it was read anyway. */
static int
timed_call (ZmWorker *worker, ZmRun *run)
{
  if (worker->calls++ % ZM_SAMPLE != 0)
    return invoke (run);
  gint64 began = zm_now_us ();
  int status = invoke (run);
  worker->now_us = zm_now_us ();
  zm_stat_sample (run->stat, worker->now_us - began);
  return status;
}

/* All of the plugins' code around one call, watched: the start of a worker's state, hooks, the action. FALSE: the watchdog
 * has given the message to an heir; only the thread came back. */
static gboolean
watched_call (ZmWorker *worker, ZmRun *run, int *status)
{
  gboolean callback = run->event == ZM_EVENT_CALLBACK;
  gboolean hooked = worker->view->hooked && !callback;
  unsigned long long word = zm_watch_begin (worker, run);
  if (!callback)
    run->call.worker_state = zm_worker_state (worker, run->action->generation);
  *status = hooked ? zm_hooks_before (worker, run) : ZM_OK;
  /* A hook may have come back after the message was taken away: its action is not called for nobody any more. The word and not
   * run->cancelled, which is set a moment later: who was claimed in a hook has surely not called its action. */
  if (*status == ZM_OK && !(hooked && (atomic_load (&worker->word) & 3) == ZM_PHASE_CLAIMED)) {
    *status = timed_call (worker, run);
    if (hooked)
      zm_hooks_after (worker, run, *status);
  }
  return zm_watch_end (worker, word);
}

/* The hung call has come back after its message was given to an heir. What the thread still has is cleaned up: a
 * ticket, the strand, the timer, and the run itself, which nobody has looked at since the watchdog's lock was free. */
void
zm_call_came_back (ZmWorker *worker, ZmRun *run, int status)
{
  ZmPool *pool = worker->pool;
  pthread_mutex_lock (&pool->dog_lock); /* the watchdog may still read the run */
  atomic_store (&worker->word, (atomic_load (&worker->word) & ~3ull) | ZM_PHASE_IDLE);
  const ZmAction *blamed = worker->blamed;
  pthread_mutex_unlock (&pool->dog_lock);
  zm_counter_add (pool->c_late, 1);
  zm_log_limited (pool->config.log, ZM_LEVEL_WARNING, "worker", "late",
                  "%s.%s came back after its deadline had passed; its result is thrown away", blamed->plugin,
                  blamed->symbol);
  if (status == ZM_DEFERRED || run->ticket)
    zm_tickets_returned (worker, run, ZM_E_LATE);
  ZmStrand *strand = g_steal_pointer (&run->strand);
  if (strand)
    zm_strand_leave (worker, strand, ZM_STRAND_TURN);
  if (run->plugin_timer)
    zm_plugin_timer_ended (run);
  zm_run_free (run, worker);
}

/* Messages behind a slow action do not wait for it: what is ready is handed over before a call of a key that takes 20
 * us or more on average. */
static void
flush_if_slow (ZmWorker *worker, const ZmRun *run)
{
  if (!run->stat || !worker->n_out)
    return;
  guint64 samples = atomic_load_explicit (&run->stat->samples, memory_order_relaxed);
  if (samples && atomic_load_explicit (&run->stat->sampled_us, memory_order_relaxed) >= 20 * samples)
    zm_worker_flush (worker);
}

/* With the strand owned where there is one. The strand is left before the outcome is handled: the next call of the
 * plugin need not wait for the rest of this message's way. */
static void
call_now (ZmWorker *worker, ZmRun *run)
{
  flush_if_slow (worker, run);
  zm_worker_clock (worker); /* the calls before it in this batch took their time */
  if (run->event == ZM_EVENT_CALLBACK)
    run->call.deadline_us = worker->now_us + run->timeout_us;
  else
    zm_call_fill (worker, run);
  int status;
  if (!watched_call (worker, run, &status)) {
    zm_call_came_back (worker, run, status);
    return;
  }
  ZmStrand *strand = g_steal_pointer (&run->strand);
  if (strand)
    zm_strand_leave (worker, strand, run->turns + 1);
  if (zm_traced (worker->pool) && run->message)
    zm_trace (run, "called", &run->key,
              status == ZM_OK         ? "ok"
              : status == ZM_DEFERRED ? "deferred"
                                      : "failed");
  if (run->event == ZM_EVENT_CALLBACK) {
    zm_run_free (run, worker);
    worker->ended++;
  } else if (G_UNLIKELY (run->ticket || status == ZM_DEFERRED)) {
    zm_tickets_returned (worker, run, status);
  } else {
    zm_engine_outcome (worker, run, status);
  }
}

/* The strand is full: this worker hands over what it has and does continuations until there is room, as those may be
 * what the strand waits for. FALSE: the strand's call is slow, and waiting would cost others. Not nested more than
 * twice, as each level takes stack. */
static gboolean
wait_for_room (ZmWorker *worker, ZmRun *run, ZmStrand *strand)
{
  /* What it does meanwhile may take a new table, and the old one may be all that keeps this run's plugin. */
  zm_run_hold (run, "queued call");
  zm_counter_add (worker->pool->c_stalls, 1);
  gint64 until = zm_now_us () + FULL_WAIT_US;
  gboolean moves = TRUE;
  zm_worker_flush (worker);
  zm_worker_release_local (worker);
  worker->helping++;
  ZmRun *other = worker->helping <= HELP_DEPTH ? zm_queue_try_run (worker) : NULL;
  if (other)
    zm_engine_run (worker, other);
  else
    moves = zm_strand_wait_room (strand, until);
  worker->helping--;
  return moves;
}

/* A message gets its error. A timer or a callback has nobody to tell: it is counted and logged. */
void
zm_cannot_call (ZmWorker *worker, ZmRun *run, const char *code, const char *why)
{
  if (run->event == ZM_EVENT_CALLBACK || run->event == ZM_EVENT_TIMER) {
    zm_counter_add (worker->pool->c_dropped, 1);
    zm_log_limited (worker->pool->config.log, ZM_LEVEL_INFO, "worker", "dropped",
                    "a %s of plugin %s was dropped: it %s", run->plugin_timer ? "timer" : "call's result",
                    run->action->plugin, why);
    if (run->plugin_timer)
      zm_plugin_timer_ended (run);
    worker->ended++;
    zm_run_free (run, worker);
    return;
  }
  zm_run_set_failuref (run, code, "plugin %s %s", run->action->plugin, why);
  zm_engine_fail (worker, run);
}

/* Its action is in a host: it has no function here, and a timer's is a number. A callback is a function of ours in any case. */
static gboolean
is_hosted (const ZmRun *run)
{
  if (run->event == ZM_EVENT_CALLBACK || (run->action->fn && !run->plugin_timer))
    return FALSE;
  return zm_generation_carried (run->action->generation) != NULL;
}

/* A worker never waits for a busy strand: it leaves the run there and goes on; who leaves the strand takes it over. */
void
zm_engine_call (ZmWorker *worker, ZmRun *run)
{
  if (G_UNLIKELY (is_hosted (run))) {
    zm_hosted_call (worker, run);
    return;
  }
  run->rank = 0; /* moved here from a host: it has no place among the calls of hosts any more */
  while (!run->strand && !run->action->threadsafe) {
    ZmStrand *strand = zm_strand_of (worker->pool, run->action->generation);
    if (run->event != ZM_EVENT_CALLBACK && run->event != ZM_EVENT_TIMER)
      run->event = ZM_EVENT_CALL;
    switch (zm_strand_enter (strand, run, run->event == ZM_EVENT_CALLBACK)) {
    case ZM_STRAND_IN:
      run->strand = strand;
      run->turns = 0;
      break;
    case ZM_STRAND_QUEUED: return;
    case ZM_STRAND_CLOSED:
      if (run->event == ZM_EVENT_TIMER)
        zm_cannot_call (worker, run, NULL, "was replaced");
      else
        zm_engine_again (worker, run);
      return;
    case ZM_STRAND_STUCK:
      zm_cannot_call (worker, run, "stuck", "hung too often and takes no more calls");
      return;
    case ZM_STRAND_FULL:
      if (!wait_for_room (worker, run, strand)) {
        zm_cannot_call (worker, run, "busy", "is slow, and the queue before it is full");
        return;
      }
    }
  }
  call_now (worker, run);
}
