/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is odd or wrong about mappings and flows taken together: found when a table is built, before it is used. */
#include "config.h"

#include "routing/table-private.h"

#include <string.h>

/* How many flows of a chain are named. */
#define CHAIN_SHOWN 10

char *
zm_routing_place (const char *file, guint line)
{
  return g_strdup_printf ("%s:%u", file, line);
}

const char *
zm_routing_key_text (const GError *error)
{
  const char *text = error->message;

  if (!g_str_has_prefix (text, "column "))
    return text;
  text = strstr (text, ": ");
  return text != NULL ? text + strlen (": ") : error->message;
}

/* ---- mappings ---- */

static void
warn_mapping (const ZmMapping *mapping, guint code, const char *expected, const char *todo, const char *what,
              ZmProblems *problems)
{
  zm_problems_add (problems, ZM_PROBLEM_WARNING, code, mapping->file, mapping->line, mapping->column, expected, todo,
                   "\"%s\": %s", mapping->key_text, what);
}

void
zm_routing_check_mapping (const ZmMapping *mapping, ZmProblems *problems)
{
  if (zm_key_reserved (&mapping->key) || zm_span_is (mapping->key.action, "Push"))
    warn_mapping (mapping, ZM_CODE_RESERVED_ACTION, "another name",
                  "rename it: done, error, Push and names that begin with ^ belong to the runtime",
                  "mapping of a reserved action", problems);
  if (zm_span_is (mapping->key.decorator, "PUBLISH"))
    warn_mapping (mapping, ZM_CODE_PUBLISH_MAPPING, NULL, "leave the decorator out, or choose another",
                  "@PUBLISH in a flow never reaches a mapping", problems);
  else if (zm_span_is (mapping->key.decorator, "ASYNC"))
    zm_problems_add (problems, ZM_PROBLEM_ERROR, ZM_CODE_ASYNC_OUTSIDE_FLOW, mapping->file, mapping->line,
                     mapping->column, "a key without @ASYNC", "leave the decorator out",
                     "\"%s\": only a step of a flow can wait", mapping->key_text);
}

/* ---- one flow ---- */

static void
complain (const ZmFlow *flow, const ZmStep *step, const ZmBranch *branch, guint code, const char *expected,
          const char *todo, const char *what, ZmProblems *problems)
{
  /* An error step stands in a line of its own, which nobody kept: the step's line tells enough. */
  zm_problems_add (problems, ZM_PROBLEM_ERROR, code, flow->file, step->line, branch->column, expected, todo,
                   "flow \"%s\", step \"%s\": %s", flow->name, branch->text, what);
}

static void
check_end (const ZmFlow *flow, ZmProblems *problems)
{
  if (flow->n_steps == 1)
    zm_problems_add (problems, ZM_PROBLEM_WARNING, ZM_CODE_FLOW_WITHOUT_STEPS, flow->file, flow->line, 1,
                     "steps below the trigger", "add them", "flow \"%s\" has a trigger and no step", flow->name);
  else if (flow->steps[flow->n_steps - 1].kind != ZM_STEP_DONE)
    zm_problems_add (problems, ZM_PROBLEM_WARNING, ZM_CODE_FLOW_WITHOUT_DONE, flow->file,
                     flow->steps[flow->n_steps - 1].line, 0, "??done as the last line", "add it",
                     "flow \"%s\" does not end in ??done", flow->name);
}

static void
check_trigger (const ZmTable *table, const ZmFlow *flow, ZmProblems *problems)
{
  const ZmBranch *trigger = &flow->steps[0].branches[0];
  const ZmTableEntry *entry = zm_routing_find (table, &trigger->key, zm_routing_shape (&trigger->key));
  const ZmFlow *first = entry->entered;
  g_autofree char *place = NULL;

  if (first == flow)
    return;
  place = zm_routing_place (first->file, first->steps[0].line);
  zm_problems_add (problems, ZM_PROBLEM_WARNING, ZM_CODE_SHARED_TRIGGER, flow->file, flow->steps[0].line,
                   trigger->column, NULL, "make one trigger more exact, unless both are to run",
                   "flow \"%s\" has the trigger \"%s\" of flow \"%s\" at %s", flow->name, trigger->text, first->name,
                   place);
}

/* A decorator other than the runtime's two is a word that some mapping must know, or it is misspelt. */
static void
check_decorator (const ZmTable *table, const ZmFlow *flow, const ZmStep *step, const ZmBranch *branch,
                 ZmProblems *problems)
{
  static const char *const known[] = { "PUBLISH", "ASYNC", NULL };
  g_autofree char *word = NULL, *todo = NULL;
  const ZmTableEntry *entry;
  const char *near_one;

  if (branch->key.decorator.size == 0 || branch->kind != ZM_STEP_KEY)
    return;
  entry = zm_routing_find (table, &branch->key, zm_routing_shape (&branch->key));
  if (entry != NULL && (entry->own != NULL || entry->entered != NULL))
    return;
  word = g_utf8_strup (branch->key.decorator.data, (gssize) branch->key.decorator.size);
  near_one = zm_suggest (word, known);
  todo = near_one != NULL ? g_strdup_printf ("did you mean @%s?", near_one) : g_strdup ("map this key, or correct it");
  complain (flow, step, branch, ZM_CODE_UNKNOWN_DECORATOR, "@PUBLISH, @ASYNC, or a key that a mapping names", todo,
            "its decorator is in no mapping of this key", problems);
}

static gboolean flow_waits (const ZmTable *table, const ZmFlow *flow, guint depth);

/* Would this branch leave the worker and come back later? */
static gboolean
branch_waits (const ZmTable *table, const ZmFlow *flow, guint step, int branch, guint depth)
{
  ZmStepTarget target;

  zm_table_step (table, flow, step, branch, &target);
  if (target.child != NULL)
    return flow_waits (table, target.child, depth + 1);
  return target.route == NULL || target.route->mapping->worker != NULL;
}

static gboolean
step_waits (const ZmTable *table, const ZmFlow *flow, guint index, guint depth)
{
  const ZmStep *step = &flow->steps[index];

  if (step->kind == ZM_STEP_PUBLISH || step->kind == ZM_STEP_DONE)
    return FALSE;
  for (guint b = 0; b < step->n_branches; b++)
    if (step->branches[b].kind == ZM_STEP_ASYNC || branch_waits (table, flow, index, (int) b, depth))
      return TRUE;
  return FALSE;
}

static gboolean
flow_waits (const ZmTable *table, const ZmFlow *flow, guint depth)
{
  if (depth > ZM_NESTING_MOST)
    return FALSE; /* an error of its own */
  for (guint i = 1; i < flow->n_steps; i++)
    if (step_waits (table, flow, i, depth))
      return TRUE;
  return FALSE;
}

static void
check_error_step (const ZmTable *table, const ZmFlow *flow, guint index, ZmProblems *problems)
{
  const ZmStep *step = &flow->steps[index];

  if (step->on_error == NULL)
    return;
  check_decorator (table, flow, step, step->on_error, problems);
  if (branch_waits (table, flow, index, -1, 0))
    complain (flow, step, step->on_error, ZM_CODE_ON_ERROR_MAY_NOT_WAIT, "an action of a plugin", "map its key to one",
              "an error step may not wait, and this one would", problems);
}

/* Steps that run one after another in one worker. */
static void
check_hops (const ZmTable *table, const ZmFlow *flow, ZmProblems *problems)
{
  guint in_a_row = 0;

  for (guint i = 1; i < flow->n_steps; i++) {
    const ZmStep *step = &flow->steps[i];

    if (step->kind == ZM_STEP_PUBLISH)
      continue;
    in_a_row = step_waits (table, flow, i, 0) ? 0 : in_a_row + 1;
    if (in_a_row == ZM_HOPS_MOST + 1 && step->kind != ZM_STEP_DONE) {
      complain (flow, step, &step->branches[0], ZM_CODE_FLOW_TOO_LONG, "at most 100 steps without a wait",
                "divide the flow", "more than 100 actions run one after another", problems);
      return;
    }
  }
}

static void
check_flow (const ZmTable *table, const ZmFlow *flow, ZmProblems *problems)
{
  check_trigger (table, flow, problems);
  check_end (flow, problems);
  for (guint i = 1; i < flow->n_steps; i++) {
    const ZmStep *step = &flow->steps[i];

    for (guint b = 0; b < step->n_branches; b++)
      check_decorator (table, flow, step, &step->branches[b], problems);
    check_error_step (table, flow, i, problems);
  }
  check_hops (table, flow, problems);
}

/* ---- flows that start each other ---- */

/* How deep a flow nests, as far as it matters, and through which child. */
typedef struct Depth {
  guint depth;
  const ZmFlow *through;
} Depth;

static gboolean
deepen (const ZmTable *table, const ZmFlow *flow, Depth *depths)
{
  Depth *own = &depths[flow->slot];
  gboolean changed = FALSE;

  for (guint i = 1; i < flow->n_steps; i++)
    for (guint b = 0; b < flow->steps[i].n_branches; b++) {
      ZmStepTarget target;

      zm_table_step (table, flow, i, (int) b, &target);
      if (target.child == NULL || depths[target.child->slot].depth + 1 <= own->depth)
        continue;
      own->depth = depths[target.child->slot].depth + 1;
      own->through = target.child;
      changed = TRUE;
    }
  return changed;
}

/* "a > b > a"; TRUE: it comes back to flow, which is the first of the circle's flows in the table. */
static gboolean
name_chain (const ZmFlow *flow, const Depth *depths, GString *out, gboolean *first)
{
  const ZmFlow *at = flow;

  g_string_append (out, flow->name);
  *first = TRUE;
  for (guint i = 0; i < CHAIN_SHOWN && depths[at->slot].through != NULL; i++) {
    at = depths[at->slot].through;
    g_string_append_printf (out, " > %s", at->name);
    if (at == flow)
      return TRUE;
    *first &= at->slot > flow->slot;
  }
  return FALSE;
}

static void
complain_depth (const ZmFlow *flow, const Depth *depths, ZmProblems *problems)
{
  g_autoptr (GString) chain = g_string_new (NULL);
  gboolean first;
  gboolean circle = name_chain (flow, depths, chain, &first);

  /* One line for a circle, at its first flow. */
  if (circle && !first)
    return;
  zm_problems_add (problems, ZM_PROBLEM_ERROR, circle ? ZM_CODE_FLOW_LOOP : ZM_CODE_NESTING_TOO_DEEP, flow->file,
                   flow->line, 1, "flows that nest at most 8 deep", "take one of the steps out",
                   circle ? "flow \"%s\" starts itself again: %s" : "flow \"%s\" nests too deep: %s", flow->name,
                   chain->str);
}

static void
check_nesting (const ZmTable *table, ZmProblems *problems)
{
  g_autofree Depth *depths = g_new0 (Depth, table->n_flows + 1);
  gboolean changed = TRUE;

  /* Each round knows one more level; what still grows after the last is too deep or a circle. */
  for (guint round = 0; round <= ZM_NESTING_MOST && changed; round++) {
    changed = FALSE;
    for (guint i = 0; i < table->n_flows; i++)
      changed |= deepen (table, table->flows[i], depths);
  }
  for (guint i = 0; i < table->n_flows; i++)
    if (depths[i].depth > ZM_NESTING_MOST)
      complain_depth (table->flows[i], depths, problems);
}

void
zm_routing_check_flows (const ZmTable *table, ZmProblems *problems)
{
  for (guint i = 0; i < table->n_flows; i++)
    check_flow (table, table->flows[i], problems);
  check_nesting (table, problems);
}
