/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How messages end: results, errors, silence. Everything that leaves the worker room is made here. */
#include "worker/internal.h"

#include <string.h>

/* ---- headers of what leaves ---- */

/* What is kept from the message that started it to its result. */
static const char *const kept_headers[] = {
  "traceparent", "tracestate", "correlation-id", "ordering-key", "reply-to", "event", NULL
};

/* raw is JSON already. */
static void
append_member (GString *out, const char *name, ZmSpan raw)
{
  g_string_append_c (out, out->len ? ',' : '{');
  zm_json_append_string (out, zm_span_text (name));
  g_string_append_c (out, ':');
  g_string_append_len (out, raw.data, (gssize) raw.size);
}

static void
append_text (GString *out, const char *name, const char *value)
{
  g_autoptr (GString) text = g_string_new (NULL);
  zm_json_append_string (text, zm_span_text (value));
  append_member (out, name, zm_span (text->str, text->len));
}

static void
append_kept (GString *out, const ZmMessage *message)
{
  for (guint i = 0; message->has_headers && kept_headers[i]; i++) {
    ZmSpan raw;
    if (zm_json_member (zm_message_headers (message), kept_headers[i], &raw))
      append_member (out, kept_headers[i], raw);
  }
}

/* The flows that wait, innermost first. A branch of a join begins in the flow of the run that forked it, and that run's flows
 * wait with it; the run stands still until its last branch has ended, so it can be read. */
static void
append_waiting (GString *out, const ZmRun *run)
{
  g_autoptr (GString) names = g_string_new (NULL);
  for (const ZmRun *at = run; at; at = at->join ? zm_join_parent (at->join) : NULL)
    for (guint i = at->depth; i > (at->join ? 1 : 0); i--)
      g_string_append_printf (names, "%s%s", names->len ? "," : "", at->frames[i - 1].flow->name);
  append_text (out, "prev-flow", names->str);
  char step[16];
  g_snprintf (step, sizeof step, "%u", run->frames[run->depth - 1].step);
  append_member (out, "step", zm_span_text (step));
}

/* JSON text of the headers, or NULL where there are none: plain text without kept headers costs no third frame. */
static char *
make_headers (const ZmRun *run, gboolean waits)
{
  if (!run->content_type && !run->message->has_headers && !waits)
    return NULL;
  g_autofree char *type = zm_run_content_type (run);
  GString *out = g_string_new (NULL);
  if (type && strcmp (type, "text/plain") != 0)
    append_text (out, "content-type", type);
  append_kept (out, run->message);
  if (waits && run->depth)
    append_waiting (out, run);
  if (out->len)
    g_string_append_c (out, '}');
  char *text = g_string_free (out, FALSE);
  if (!*text)
    g_clear_pointer (&text, g_free);
  return text;
}

/* ---- out ---- */

/* Results are collected, and handed over when there are enough or the batch ends. The watchdog takes them where a
 * call is slow. */
void
zm_out (ZmWorker *worker, ZmMessage *message)
{
  worker->out[worker->n_out++] = message;
  if (worker->n_out == ZM_OUT)
    zm_worker_flush (worker);
}

/* A message to others about the current step: under the flow's name, with the id of the whole passage, so that an
 * answer finds the way back. The body is shared. */
ZmMessage *
zm_step_message (ZmRun *run, const ZmKey *key)
{
  g_autofree char *headers = make_headers (run, TRUE);
  zmq_msg_t body;
  zmq_msg_init (&body);
  zmq_msg_copy (&body, &run->body);
  return zm_message_new_take (zm_run_flow_name (run), key, run->message->topic.id, zm_span_text (headers),
                              &body);
}

void
zm_publish_step (ZmWorker *worker, ZmRun *run, const ZmKey *key)
{
  if (zm_traced (worker->pool))
    zm_trace (run, "published", key, NULL);
  run->said = TRUE;
  zm_out (worker, zm_step_message (run, key));
}

/* Tells who called with the message, where somebody did: a plugin inside, or one at the call socket. */
void
zm_answer_caller (ZmPool *pool, const ZmMessage *message, int status, const ZmMessage *result)
{
  if (message->reply && !zm_tickets_result (pool, message->reply, status, result))
    pool->config.reply (message->reply, status, result, pool->config.user);
}

/* The result carries the sign that it is durable too: the queues bound to its topic get it with the commit, and not once more
 * when it is published. */
gboolean
zm_end_durable (ZmPool *pool, const ZmMessage *message, ZmEnd end, int asked, const char *code,
                const char *text, ZmMessage *result)
{
  if (!message->durable || !pool->config.durable_end)
    return FALSE;
  if (result)
    result->origin = ZM_ORIGIN_DURABLE;
  pool->config.durable_end (message, end, asked, code, text, result, pool->config.user);
  return TRUE;
}

/* Tells who waits and the sink; takes run and result (may be NULL). */
static void
end_run (ZmWorker *worker, ZmRun *run, ZmEnd end, int status, ZmMessage *result)
{
  ZmPool *pool = run->pool;
  const ZmMessage *message = run->message;
  zm_answer_caller (pool, message, status, result);
  if (pool->config.sink.ended)
    pool->config.sink.ended (message, end, result, pool->config.sink.user);
  gboolean failed = end == ZM_END_ERROR;
  if (zm_end_durable (pool, message, end, failed ? run->asked : 0, failed ? run->code : NULL,
                      failed ? run->text : NULL, result))
    zm_message_unref (result);
  else if (result)
    zm_out (worker, result);
  if (run->plugin_timer)
    zm_plugin_timer_ended (run);
  zm_run_free (run, worker);
  worker->ended++;
}

/* The body is given to the result, not copied. */
void
zm_end_result (ZmWorker *worker, ZmRun *run, ZmSpan flow, const ZmKey *key)
{
  g_autofree char *headers = make_headers (run, FALSE);
  ZmMessage *result =
      zm_message_new_take (flow, key, run->message->topic.id, zm_span_text (headers), &run->body);
  if (zm_traced (worker->pool))
    zm_trace (run, "result", key, NULL);
  zm_counter_add (run->pool->c_results, 1);
  end_run (worker, run, ZM_END_RESULT, ZM_OK, result);
}

void
zm_end_silent (ZmWorker *worker, ZmRun *run)
{
  if (zm_traced (worker->pool))
    zm_trace (run, "ended", NULL, NULL);
  zm_counter_add (run->pool->c_silent, 1);
  end_run (worker, run, ZM_END_SILENT, ZM_OK, NULL);
}

/* ---- durable messages that the daemon's end leaves where they are ---- */

static const char left_text[] = "the daemon is shutting down; it goes on after the next start";

/* Takes the message. */
void
zm_end_left_message (ZmPool *pool, ZmMessage *message)
{
  zm_end_durable (pool, message, ZM_END_ERROR, 0, "shutdown", left_text, NULL);
  zm_message_unref (message);
}

void
zm_end_left (ZmWorker *worker, ZmRun *run)
{
  if (zm_traced (worker->pool))
    zm_trace (run, "left", NULL, NULL);
  zm_end_left_message (worker->pool, zm_message_ref (run->message));
  zm_run_free (run, worker);
  worker->ended++;
}

/* ---- errors ---- */

static void
append_error_member (GString *json, const char *name, const char *value)
{
  g_string_append_printf (json, "%s\"%s\":", json->len > 1 ? "," : "", name);
  zm_json_append_string (json, zm_span_text (value ? value : ""));
}

/* errors: a JSON array, or NULL. */
static char *
error_json (const char *code, const char *text, const ZmKey *key, const char *step, const char *plugin,
            const char *errors)
{
  GString *json = g_string_new ("{");
  g_autofree char *key_text = zm_key_text (key);
  append_error_member (json, "code", code);
  append_error_member (json, "text", text);
  append_error_member (json, "key", key_text);
  append_error_member (json, "step", step);
  append_error_member (json, "plugin", plugin);
  if (errors)
    g_string_append_printf (json, ",\"errors\":%s", errors);
  g_string_append_c (json, '}');
  return g_string_free (json, FALSE);
}

/* The step as it stands in the flow: of a join the whole line, unless this is one of its branches. */
static char *
step_text (const ZmRun *run)
{
  const ZmStep *step = zm_run_step (run);
  const ZmBranch *branch = zm_run_branch (run);
  if (!step || run->on_error || (run->join && run->depth == 1))
    return g_strdup (branch ? branch->text : "");
  GString *text = g_string_new (step->branches[0].text);
  for (guint i = 1; i < step->n_branches; i++)
    g_string_append_printf (text, " & %s", step->branches[i].text);
  return g_string_free (text, FALSE);
}

char *
zm_error_json (const ZmRun *run)
{
  g_autofree char *step = step_text (run);
  return error_json (run->code, run->text, &run->message->topic.key, step,
                     run->action ? run->action->plugin : "", run->errors);
}

/* The errors of a join within the branch are told by its text alone: nested arrays would grow with the power of the depth. */
GString *
zm_branch_error_json (const ZmRun *run)
{
  GString *json = g_string_new ("{");
  append_error_member (json, "code", run->code);
  append_error_member (json, "text", run->text);
  append_error_member (json, "branch", zm_run_branch (run)->text);
  append_error_member (json, "plugin", run->action ? run->action->plugin : "");
  return g_string_append_c (json, '}');
}

static ZmMessage *
error_message (const ZmMessage *message, ZmSpan flow, const char *json)
{
  static const ZmKey error = { .action = { "error", 5 } };
  g_autoptr (GString) headers = g_string_new (NULL);
  append_text (headers, "content-type", "application/json");
  append_kept (headers, message);
  g_string_append_c (headers, '}');
  return zm_message_new (flow, &error, message->topic.id, zm_span (headers->str, headers->len),
                         zm_span_text (json));
}

/* An error is published like a result, under the outermost flow: who started that is who wants to know. */
void
zm_end_error (ZmWorker *worker, ZmRun *run)
{
  g_autofree char *json = zm_error_json (run);
  ZmSpan flow = run->depth ? zm_span_text (run->frames[0].flow->name) : run->message->topic.flow;
  ZmMessage *result = error_message (run->message, flow, json);
  if (zm_traced (worker->pool))
    zm_trace (run, "error", NULL, json);
  zm_counter_add (run->pool->c_errors, 1);
  end_run (worker, run, ZM_END_ERROR, ZM_E_FAILED, result);
}

/* Ends a message that no worker took: its error is published at once. */
void
zm_end_refused (ZmPool *pool, ZmMessage *message, const char *code, const char *text)
{
  if (G_UNLIKELY (message->durable) && strcmp (code, "shutdown") == 0) {
    zm_end_left_message (pool, message);
    return;
  }
  g_autofree char *json = error_json (code, text, &message->topic.key, "", "", NULL);
  ZmMessage *result = error_message (message, message->topic.flow, json);
  zm_answer_caller (pool, message, ZM_E_FAILED, result);
  if (pool->config.sink.ended)
    pool->config.sink.ended (message, ZM_END_ERROR, result, pool->config.sink.user);
  zm_counter_add (pool->c_errors, 1);
  zm_log_limited (pool->config.log, ZM_LEVEL_WARNING, "worker", "refused", "message refused: %s", json);
  if (zm_end_durable (pool, message, ZM_END_ERROR, 0, code, text, result))
    zm_message_unref (result);
  else
    pool->config.publish (&result, 1, pool->config.user);
  zm_message_unref (message);
}
