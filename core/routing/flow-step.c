/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One line of a flow: the key of a step, or the keys of concurrent ones, and what kind of step they make. */
#include "config.h"

#include "routing/flow-read.h"

#include <string.h>

/* Exactly ??done: with a context it would be an action that is called done. */
static gboolean
key_is_done (const ZmKey *key)
{
  return zm_span_is (key->action, "done") && key->sender.size == 0 && key->context.size == 0 &&
         key->decorator.size == 0;
}

/* What the text alone says; whether a KEY is an action, a hand-over or a child flow, the table says later. */
static ZmStepKind
kind_of (const ZmKey *key)
{
  if (key_is_done (key))
    return ZM_STEP_DONE;
  if (zm_span_is (key->decorator, "PUBLISH"))
    return ZM_STEP_PUBLISH;
  return zm_span_is (key->decorator, "ASYNC") ? ZM_STEP_ASYNC : ZM_STEP_KEY;
}

/* Keys that are good by themselves and can be no step. */
static gboolean
check_key (ZmFlowReader *reader, ZmSpan text, const ZmKey *key)
{
  g_autofree char *shown = zm_flow_reader_quote (text);

  if (zm_key_reserved (key) && !key_is_done (key)) {
    zm_flow_reader_complain (reader, ZM_CODE_RESERVED_STEP, text.data, "??done, or another action",
                             "rename the step", "step \"%s\" uses a name that belongs to the runtime", shown);
    return FALSE;
  }
  if (key->sender.size + key->context.size + key->action.size == 0) {
    zm_flow_reader_complain (reader, ZM_CODE_EMPTY_KEY, text.data,
                             "at least one of sender, context and action", NULL,
                             "\"%s\" matches everything and is no step", shown);
    return FALSE;
  }
  return TRUE;
}

/* The usual reason: a comment at the line's end, which is legal in other formats. */
static const char *
hint_of (ZmSpan text)
{
  return memchr (text.data, '#', text.size) != NULL || memchr (text.data, ';', text.size) != NULL
             ? "put comments on lines of their own"
             : NULL;
}

/* The key is parsed in a copy, which the branch then owns: its parts point into that. */
gboolean
zm_flow_reader_branch (ZmFlowReader *reader, ZmSpan text, ZmBranch *branch)
{
  g_autofree char *copy = zm_span_dup (text);
  g_autoptr (GError) error = NULL;
  guint column = 1;
  ZmKey key;

  if (!zm_key_parse (zm_span_text (copy), &key, &column, &error)) {
    g_autofree char *shown = zm_flow_reader_quote (text);
    const char *at = g_utf8_offset_to_pointer (text.data, (glong) MAX (column, 1) - 1);

    zm_flow_reader_complain (reader, ZM_CODE_BAD_STEP, MIN (at, text.data + text.size), NULL, hint_of (text),
                             "\"%s\" is no step: %s", shown, zm_routing_plain_text (error));
    return FALSE;
  }
  if (!check_key (reader, text, &key))
    return FALSE;
  *branch = (ZmBranch){ .kind = kind_of (&key),
                        .text = g_steal_pointer (&copy),
                        .key = key,
                        .line = reader->line,
                        .column = zm_flow_reader_column (reader, text.data) };
  return TRUE;
}

/* Answers find their branch by its key, without the decorator, so two branches of one key could not be told apart. */
static gboolean
branch_fits_join (ZmFlowReader *reader, ZmSpan text, const ZmStep *step, const ZmBranch *branch)
{
  if (branch->kind == ZM_STEP_PUBLISH || branch->kind == ZM_STEP_DONE) {
    zm_flow_reader_complain (reader, ZM_CODE_PUBLISH_IN_JOIN, text.data,
                             "an action, a hand-over or an @ASYNC step", "give it a line of its own",
                             "\"%s\" cannot be one of concurrent steps", branch->text);
    return FALSE;
  }
  for (guint i = 0; i < step->n_branches; i++)
    if (zm_routing_same_step (&step->branches[i].key, &branch->key)) {
      zm_flow_reader_complain (reader, ZM_CODE_EQUAL_KEYS_IN_JOIN, text.data,
                               "different keys in one line: answers are told apart by them",
                               "rename one of them", "\"%s\" stands twice among concurrent steps",
                               branch->text);
      return FALSE;
    }
  return TRUE;
}

/* "a & b & c" */
static gboolean
read_join (ZmFlowReader *reader, ZmSpan text, ZmStep *step)
{
  const char *end = text.data + text.size;

  step->kind = ZM_STEP_JOIN;
  step->branches = g_new0 (ZmBranch, ZM_BRANCHES_MOST);
  for (const char *at = text.data; at != NULL;) {
    const char *next = memchr (at, '&', (gsize) (end - at));
    ZmSpan part = zm_flow_reader_trim (zm_span (at, (gsize) ((next != NULL ? next : end) - at)));
    ZmBranch *branch = &step->branches[step->n_branches];

    if (step->n_branches == ZM_BRANCHES_MOST) {
      zm_flow_reader_complain (reader, ZM_CODE_JOIN_TOO_WIDE, part.data, "at most 16", "split the line",
                               "more than 16 concurrent steps");
      return FALSE;
    }
    if (part.size == 0) {
      zm_flow_reader_complain (reader, ZM_CODE_BAD_STEP, next != NULL ? next : end - 1,
                               "a key on both sides of '&'", "remove the '&' or add a key",
                               "'&' without a step beside it");
      return FALSE;
    }
    if (!zm_flow_reader_branch (reader, part, branch))
      return FALSE;
    if (!branch_fits_join (reader, part, step, branch)) {
      g_clear_pointer (&branch->text, g_free);
      return FALSE;
    }
    step->n_branches++;
    at = next != NULL ? next + 1 : NULL;
  }
  return TRUE;
}

/* What was made of a join before its error stays in step for the caller to clear. */
gboolean
zm_flow_reader_step (ZmFlowReader *reader, ZmSpan text, ZmStep *step)
{
  step->line = reader->line;
  if (memchr (text.data, '&', text.size) != NULL)
    return read_join (reader, text, step);
  step->branches = g_new0 (ZmBranch, 1);
  if (!zm_flow_reader_branch (reader, text, &step->branches[0]))
    return FALSE;
  step->n_branches = 1;
  step->kind = step->branches[0].kind;
  return TRUE;
}

/* A trigger is matched against messages from outside; what only a running flow can do has no meaning there. */
gboolean
zm_flow_reader_trigger_ok (ZmFlowReader *reader, ZmSpan text, const ZmStep *step)
{
  const char *wrong = step->kind == ZM_STEP_JOIN      ? "concurrent steps"
                      : step->kind == ZM_STEP_DONE    ? "??done"
                      : step->kind == ZM_STEP_PUBLISH ? "a @PUBLISH step"
                      : step->kind == ZM_STEP_ASYNC   ? "an @ASYNC step"
                                                      : NULL;

  if (wrong == NULL)
    return TRUE;
  zm_flow_reader_complain (
      reader, step->kind == ZM_STEP_ASYNC ? ZM_CODE_ASYNC_OUTSIDE_FLOW : ZM_CODE_BAD_TRIGGER, text.data,
      "one key without @PUBLISH and @ASYNC, for example ?NAME?Push", "put the key that starts the flow first",
      "%s cannot be a flow's first line, its trigger", wrong);
  return FALSE;
}
