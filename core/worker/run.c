/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs: made, copied for an heir, freed. A worker keeps a few spare ones, so that a message costs no allocation of one. */
#include "worker/durable.h"

#include <string.h>

#define SPARE_MOST 256

/* Spare ones are cleared here and not when they are freed: one that is never used again costs nothing more. */
ZmRun *
zm_run_new (ZmPool *pool, ZmWorker *worker)
{
  ZmRun *run;
  if (worker && worker->free_runs) {
    run = worker->free_runs;
    worker->free_runs = run->next;
    worker->n_free--;
    memset (run, 0, G_STRUCT_OFFSET (ZmRun, hosted));
  } else {
    run = g_new0 (ZmRun, 1);
  }
  run->pool = pool;
  zmq_msg_init (&run->body);
  return run;
}

void
zm_run_drop_reply (ZmRun *run)
{
  if (run->reply.given)
    zmq_msg_close (&run->reply.body);
  run->reply.given = FALSE;
  g_clear_pointer (&run->reply.content_type, g_free);
  g_clear_pointer (&run->reply.key, g_free);
  g_clear_pointer (&run->reply.next, g_free);
}

void
zm_run_cancel_timer (ZmRun *run)
{
  if (!run->timed)
    return;
  zm_timers_cancel (run->pool->config.timers, &run->timer, TRUE);
  run->timed = FALSE;
}

/* Everything that the run may hold, whatever its event was. */
void
zm_run_free (ZmRun *run, ZmWorker *worker)
{
  if (run->is_abroad)
    zm_abroad_back (run);
  zm_run_cancel_timer (run);
  zm_run_let_go (run);
  if (G_UNLIKELY (run->parking))
    zm_durable_forget (run);
  for (guint i = 0; i < run->depth; i++)
    zm_flow_unref (run->frames[i].flow);
  zm_run_drop_reply (run);
  zm_run_unguard (run);
  zmq_msg_close (&run->body);
  g_free (run->content_type);
  g_free (run->abroad);
  g_free (run->next_text);
  g_free (run->code);
  g_free (run->text);
  g_free (run->errors);
  if (run->message)
    zm_message_unref (run->message);
  if (worker && worker->n_free < SPARE_MOST) {
    run->next = worker->free_runs;
    worker->free_runs = run;
    worker->n_free++;
  } else {
    g_free (run);
  }
}

/* What plugins say is cut and made valid text here, as it goes into logs, JSON and other people's terminals. The
 * first failure stays: what follows from it would only hide it. */
void
zm_run_set_failure (ZmRun *run, const char *code, const char *text)
{
  if (run->code)
    return;
  /* Of a join that failed before, and whose error step took its place. */
  g_clear_pointer (&run->errors, g_free);
  g_autofree char *short_code = g_strndup (code && *code ? code : "failed", ZM_CODE_MOST);
  run->code = g_utf8_make_valid (short_code, -1);
  g_autofree char *cut = g_strndup (text ? text : "", ZM_TEXT_MOST);
  run->text = g_utf8_make_valid (cut, -1);
}

void
zm_run_set_failuref (ZmRun *run, const char *code, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *text = g_strdup_vprintf (format, args);
  va_end (args);
  zm_run_set_failure (run, code, text);
}

/* While a run is away from its worker nothing else keeps its plugin: the worker's table may change. Held once,
 * however often asked. */
void
zm_run_hold (ZmRun *run, const char *holder)
{
  if (run->generation || !run->action)
    return;
  run->generation = zm_generation_ref (run->action->generation, holder);
  run->holder = holder;
}

void
zm_run_let_go (ZmRun *run)
{
  if (!run->generation)
    return;
  ZmGeneration *generation = g_steal_pointer (&run->generation);
  zm_generation_unref (generation, run->holder);
}

/* The call of `run` is over for its message but not for its thread: another run takes the message on. The body is
 * left: the action may still read it. Under dog_lock, so that the run is still there. */
ZmRun *
zm_run_heir (ZmRun *run, const ZmAction *blame, const char *code, const char *text)
{
  ZmRun *heir = zm_run_new (run->pool, NULL);
  heir->message = zm_message_ref (run->message);
  heir->depth = run->depth;
  for (guint i = 0; i < run->depth; i++) {
    heir->frames[i] = run->frames[i];
    zm_flow_ref (heir->frames[i].flow);
  }
  heir->on_error = run->on_error;
  heir->hops = run->hops;
  heir->join = run->join;
  heir->branch = run->branch;
  if (!run->plugin_timer || blame != run->action) { /* a timer's action goes with the timer */
    heir->action = blame;
    zm_run_hold (heir, "error report");
  }
  heir->event = ZM_EVENT_FAILED;
  zm_run_set_failure (heir, code, text);
  return heir;
}

/* The reference pins the flow for as long as the run is in it. */
void
zm_run_push (ZmRun *run, ZmFlow *flow, guint step)
{
  run->frames[run->depth].flow = zm_flow_ref (flow);
  run->frames[run->depth].step = step;
  run->depth++;
}

/* The call's view of the flow goes with it: it is known by its address, which another flow may have next. */
void
zm_run_pop (ZmRun *run)
{
  run->depth--;
  run->call.flow = (zm_str){ NULL, 0 };
  zm_flow_unref (run->frames[run->depth].flow);
}

const ZmStep *
zm_run_step (const ZmRun *run)
{
  if (!run->depth)
    return NULL;
  const ZmFrame *frame = &run->frames[run->depth - 1];
  return frame->step < frame->flow->n_steps ? &frame->flow->steps[frame->step] : NULL;
}

/* The `!` step where that runs; a branch of a join has its own of the line. */
const ZmBranch *
zm_run_branch (const ZmRun *run)
{
  const ZmStep *step = zm_run_step (run);
  if (!step)
    return NULL;
  if (run->on_error)
    return step->on_error;
  return &step->branches[run->join && run->depth == 1 ? run->branch : 0];
}

/* What an action or answer said, else the header of the message as long as its body is still the one that came. */
char *
zm_run_content_type (const ZmRun *run)
{
  if (run->content_type)
    return g_strdup (run->content_type);
  return !run->replaced && run->message ? zm_message_header (run->message, "content-type") : NULL;
}

ZmSpan
zm_run_flow_name (const ZmRun *run)
{
  return run->depth ? zm_span_text (run->frames[run->depth - 1].flow->name) : zm_span (NULL, 0);
}
