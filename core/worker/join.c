/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Joins: the branches of `a & b & c` are runs of their own, done by whichever worker is free. The last branch that ends
 * gives the run that forked them back to the queue, with one JSON array of the results in the line's order, or as failed
 * with every error: a sentence for people, and an array for programs.
 */
#include "worker/durable.h"
#include "worker/join-private.h"

#include <string.h>

/* A branch has the flow's step and the body as they are now, and no caller, so that only the whole join answers. Its
 * message is shared. */
ZmRun *
zm_join_branch (ZmRun *parent, ZmJoin *join, guint branch)
{
  ZmRun *run = zm_run_new (parent->pool, NULL);
  const ZmFrame *frame = &parent->frames[parent->depth - 1];
  run->message = zm_message_ref (parent->message);
  run->frames[0].flow = zm_flow_ref (frame->flow);
  run->frames[0].step = frame->step;
  run->depth = 1;
  run->hops = parent->hops;
  run->join = join;
  run->branch = branch;
  run->event = ZM_EVENT_STEP;
  zmq_msg_copy (&run->body, &parent->body);
  run->content_type = zm_run_content_type (parent);
  run->replaced = TRUE;
  return run;
}

const ZmRun *
zm_join_parent (const ZmJoin *join)
{
  return join->parent;
}

ZmJoin *
zm_join_new (ZmRun *parent, guint n)
{
  ZmJoin *join = g_new0 (ZmJoin, 1);
  join->n = n;
  join->parent = parent;
  join->outer = parent->join ? parent->join->outer : join;
  atomic_init (&join->missing, n);
  pthread_mutex_init (&join->lock, NULL);
  return join;
}

/* The first branch runs here, so that a join always moves, also where all other workers are busy with joins. */
void
zm_join_fork (ZmWorker *worker, ZmRun *run)
{
  const ZmStep *step = zm_run_step (run);
  ZmJoin *join = zm_join_new (run, step->n_branches);
  atomic_fetch_add (&run->pool->branches, join->n); /* first: in between more seems to move, never less */
  atomic_fetch_add (&run->pool->joins, 1);
  /* The first branch runs here, so that a join always moves; once it has begun, join and run may be gone. */
  ZmRun *first = zm_join_branch (run, join, 0);
  for (guint i = 1; i < step->n_branches; i++)
    zm_queue_run (run->pool, zm_join_branch (run, join, i));
  zm_engine_go (worker, first);
}

void
zm_join_begin (ZmWorker *worker, ZmRun *run)
{
  if (zm_is_durable (run))
    zm_durable_fork (run);
  else
    zm_join_fork (worker, run);
}

static gboolean
is_text (const char *content_type)
{
  return g_str_has_prefix (content_type, "text/");
}

static gboolean
is_json (const char *content_type)
{
  return g_str_has_prefix (content_type, "application/json") || g_str_has_suffix (content_type, "+json");
}

/* JSON as a value, text as a string, other types as an object with base64. Without a type: JSON where it is valid JSON, or
 * else text where it is UTF-8. */
GString *
zm_branch_result_json (ZmRun *run)
{
  ZmSpan body = zm_span (zmq_msg_data (&run->body), zmq_msg_size (&run->body));
  g_autofree char *type = zm_run_content_type (run);
  GString *out = g_string_new (NULL);
  gboolean utf8 = g_utf8_validate_len (body.data, body.size, NULL);
  if ((!type || is_json (type)) && zm_json_valid (body)) {
    g_string_append_len (out, body.data, (gssize) body.size);
  } else if (utf8 && (!type || is_text (type) || is_json (type))) {
    zm_json_append_string (out, body);
  } else {
    g_autofree char *base64 = g_base64_encode ((const guchar *) body.data, body.size);
    g_string_append (out, "{\"content-type\":");
    zm_json_append_string (out, zm_span_text (type ? type : "application/octet-stream"));
    g_string_append_printf (out, ",\"base64\":\"%s\"}", base64);
  }
  return out;
}

/* One array: all results, or, where a branch failed, the errors only. */
static GString *
collect (const ZmJoin *join, gboolean errors)
{
  GString *array = g_string_new ("[");
  for (guint i = 0; i < join->n; i++) {
    if (errors && !join->failures[i])
      continue;
    if (array->len > 1)
      g_string_append_c (array, ',');
    g_string_append_len (array, join->results[i]->str, (gssize) join->results[i]->len);
  }
  g_string_append_c (array, ']');
  return array;
}

/* "2 of 3 concurrent steps failed: ?A?b (empty: nothing there); …" */
static void
fail_parent (const ZmJoin *join, guint n_failed)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_string_printf (text, "%u of %u concurrent steps failed", n_failed, join->n);
  const char *between = ": ";
  for (guint i = 0; i < join->n; i++)
    if (join->failures[i]) {
      g_string_append_printf (text, "%s%s", between, join->failures[i]);
      between = "; ";
    }
  zm_run_set_failure (join->parent, "join", text->str);
  join->parent->errors = g_string_free (collect (join, TRUE), FALSE);
}

/* The parent is not part of it: it goes on. */
void
zm_join_free (ZmJoin *join)
{
  for (guint i = 0; i < join->n; i++) {
    if (join->results[i])
      g_string_free (join->results[i], TRUE);
    g_free (join->failures[i]);
    g_clear_pointer (&join->saved[i], g_bytes_unref);
  }
  pthread_mutex_destroy (&join->lock);
  g_free (join);
}

/* In the thread of the branch that ended last; the run that forked them goes on in whichever worker is free. */
void
zm_join_ends (ZmJoin *join)
{
  ZmRun *parent = join->parent;
  guint n_failed = 0;
  for (guint i = 0; i < join->n; i++)
    n_failed += join->failures[i] != NULL;
  parent->event = ZM_EVENT_JOINED;
  if (join->left) {
    zm_run_set_failure (parent, "shutdown", "the daemon is shutting down");
  } else if (n_failed) {
    fail_parent (join, n_failed);
  } else {
    GString *array = collect (join, FALSE);
    zmq_msg_close (&parent->body);
    zmq_msg_init_size (&parent->body, array->len);
    memcpy (zmq_msg_data (&parent->body), array->str, array->len);
    g_string_free (array, TRUE);
    g_free (parent->content_type);
    parent->content_type = g_strdup ("application/json");
  }
  zm_join_free (join);
  atomic_fetch_sub (&parent->pool->joins, 1);
  zm_queue_run (parent->pool, parent);
}

char *
zm_branch_failure (const ZmRun *run)
{
  return g_strdup_printf ("%s (%s: %s)", zm_run_branch (run)->text, run->code, run->text);
}

/* Takes run. Each branch writes its own place; the count makes the last one see them all. */
void
zm_join_branch_ended (ZmWorker *worker, ZmRun *run, gboolean failed)
{
  ZmJoin *join = run->join;
  ZmPool *pool = run->pool;
  guint branch = run->branch;
  if (zm_is_durable (run)) {
    zm_durable_branch_ended (run, failed);
  } else if (failed) {
    join->results[branch] = zm_branch_error_json (run);
    join->failures[branch] = zm_branch_failure (run);
  } else {
    join->results[branch] = zm_branch_result_json (run);
  }
  zm_run_free (run, worker);
  if (atomic_fetch_sub (&join->missing, 1) == 1)
    zm_join_ends (join);
  atomic_fetch_sub (&pool->branches, 1);
}
