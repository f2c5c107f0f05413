/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is odd or wrong about mappings and flows taken together: found when a table is built, before it is used. */
#include "config.h"

#include "routing/table-private.h"

#include <string.h>

/* How many flows of a chain are named. */
#define CHAIN_SHOWN 12

char *
zm_routing_place (const char *file, guint line)
{
  return g_strdup_printf ("%s:%u", file, line);
}

const char *
zm_routing_plain_text (const GError *error)
{
  const char *text = error->message;

  if (!g_str_has_prefix (text, "column "))
    return text;
  text = strstr (text, ": ");
  return text != NULL ? text + strlen (": ") : error->message;
}

/* ---- mappings ---- */

/* A warning at the mapping's own place, with its key in front. */
static void
warn_mapping (const ZmMapping *mapping, guint code, const char *expected, const char *todo, const char *what,
              ZmProblems *problems)
{
  zm_problems_add (problems, ZM_PROBLEM_WARNING, code, mapping->file, mapping->line, mapping->column,
                   expected, todo, "\"%s\": %s", mapping->key_text, what);
}

/* What one mapping says that can never be meant. Only @ASYNC is an error: outside a flow there is nobody who could
 * wait, so the action would be called with what was meant as an answer. */
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

/* What is known of a flow through those that it starts. */
typedef struct Facts {
  const ZmFlow *through; /* the child that nests deepest */
  guint depth;
  gboolean waits; /* some step of it leaves the worker */
} Facts;

typedef struct Flows {
  const ZmTable *table;
  Facts *facts; /* by slot */
  ZmNearKeys *near_keys;
  ZmProblems *problems;
} Flows;

/* An error at a step's own place, with the flow's name and the step's text in front. */
static void
complain (const ZmFlow *flow, const ZmBranch *branch, guint code, const char *expected, const char *todo,
          const char *what, ZmProblems *problems)
{
  zm_problems_add (problems, ZM_PROBLEM_ERROR, code, flow->file, branch->line, branch->column, expected, todo,
                   "flow \"%s\", step \"%s\": %s", flow->name, branch->text, what);
}

/* A flow that ends in silence is legal, and seldom meant: nobody is told that it is over. */
static void
check_end (const ZmFlow *flow, ZmProblems *problems)
{
  if (flow->n_steps == 1)
    zm_problems_add (problems, ZM_PROBLEM_WARNING, ZM_CODE_FLOW_WITHOUT_STEPS, flow->file, flow->line, 1,
                     "steps below the trigger", "add them", "flow \"%s\" has a trigger and no step",
                     flow->name);
  else if (flow->steps[flow->n_steps - 1].kind != ZM_STEP_DONE)
    zm_problems_add (problems, ZM_PROBLEM_WARNING, ZM_CODE_FLOW_WITHOUT_DONE, flow->file,
                     flow->steps[flow->n_steps - 1].line, flow->steps[flow->n_steps - 1].branches[0].column,
                     "??done as the last line", "add it", "flow \"%s\" does not end in ??done", flow->name);
}

/* The table's entry knows the first flow of each trigger; every further one is told against that. Both run. */
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
                   "flow \"%s\" has the trigger \"%s\" of flow \"%s\" at %s, and runs beside it, also for a "
                   "durable message as one that a crash ends",
                   flow->name, trigger->text, first->name, place);
}

/* A decorator other than the runtime's two is a word that some mapping must know, or it is misspelt. */
static void
check_decorator (const ZmTable *table, const ZmFlow *flow, const ZmBranch *branch, ZmProblems *problems)
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
  todo = near_one != NULL ? g_strdup_printf ("did you mean @%s?", near_one)
                          : g_strdup ("map this key, or correct it");
  complain (flow, branch, ZM_CODE_UNKNOWN_DECORATOR, "@PUBLISH, @ASYNC, or a key that a mapping names", todo,
            "its decorator is in no mapping of this key", problems);
}

/* Would this branch leave the worker and come back later? */
static gboolean
branch_waits (const Flows *flows, const ZmFlow *flow, guint step, int branch)
{
  ZmStepTarget target;

  zm_table_step (flows->table, flow, step, branch, &target);
  if (target.child != NULL)
    return flows->facts[target.child->slot].waits;
  return target.route == NULL || target.route->mapping->worker != NULL;
}

/* For a join: does any of its branches? One that waits is enough for the flow to leave its worker. */
static gboolean
step_waits (const Flows *flows, const ZmFlow *flow, guint index)
{
  const ZmStep *step = &flow->steps[index];

  if (step->kind == ZM_STEP_PUBLISH || step->kind == ZM_STEP_DONE)
    return FALSE;
  for (guint b = 0; b < step->n_branches; b++)
    if (step->branches[b].kind == ZM_STEP_ASYNC || branch_waits (flows, flow, index, (int) b))
      return TRUE;
  return FALSE;
}

/* Will it be published for a service, since no mapping and no flow takes it? One with a decorator is an error already. */
static gboolean
handed_over (const Flows *flows, const ZmFlow *flow, guint step, int branch)
{
  const ZmBranch *at = branch < 0 ? flow->steps[step].on_error : &flow->steps[step].branches[branch];
  ZmStepTarget target;

  if (at->kind != ZM_STEP_KEY || at->key.decorator.size > 0)
    return FALSE;
  zm_table_step (flows->table, flow, step, branch, &target);
  return target.route == NULL && target.child == NULL;
}

/* The engine has no place to park a flow in the middle of a failed step, so an error step has to end in the worker
 * that runs it. */
static void
check_error_step (const Flows *flows, const ZmFlow *flow, guint index)
{
  const ZmStep *step = &flow->steps[index];

  if (step->on_error == NULL)
    return;
  check_decorator (flows->table, flow, step->on_error, flows->problems);
  if (branch_waits (flows, flow, index, -1)) {
    g_autofree char *todo = handed_over (flows, flow, index, -1)
                                ? zm_routing_near_key (flows->near_keys, flow, &step->on_error->key)
                                : NULL;

    complain (flow, step->on_error, ZM_CODE_ON_ERROR_MAY_NOT_WAIT, "an action of a plugin",
              todo != NULL ? todo : "map its key to one", "an error step may not wait, and this one would",
              flows->problems);
  }
}

/* A step of a service is as good as any, unless it looks like one that was meant for a mapping. */
static void
check_spelling (const Flows *flows, const ZmFlow *flow, guint index, guint branch)
{
  const ZmBranch *at = &flow->steps[index].branches[branch];
  g_autofree char *todo = NULL;

  if (!handed_over (flows, flow, index, (int) branch))
    return;
  todo = zm_routing_near_key (flows->near_keys, flow, &at->key);
  if (todo != NULL)
    zm_problems_add (flows->problems, ZM_PROBLEM_WARNING, ZM_CODE_HAND_OVER_STEP, flow->file, at->line,
                     at->column, NULL, todo,
                     "flow \"%s\", step \"%s\": no mapping names it, so it is left to a service", flow->name,
                     at->text);
}

/* Steps that run one after another in one worker. */
static void
check_hops (const Flows *flows, const ZmFlow *flow)
{
  guint in_a_row = 0;

  for (guint i = 1; i < flow->n_steps; i++) {
    const ZmStep *step = &flow->steps[i];

    if (step->kind == ZM_STEP_PUBLISH)
      continue;
    in_a_row = step_waits (flows, flow, i) ? 0 : in_a_row + 1;
    if (in_a_row == ZM_HOPS_MOST + 1 && step->kind != ZM_STEP_DONE) {
      complain (flow, &step->branches[0], ZM_CODE_FLOW_TOO_LONG, "at most 100 steps without a wait",
                "divide the flow", "more than 100 actions run one after another", flows->problems);
      return;
    }
  }
}

/* What can be said of a flow by itself; facts of all flows have to be known by now. */
static void
check_flow (const Flows *flows, const ZmFlow *flow)
{
  check_trigger (flows->table, flow, flows->problems);
  check_end (flow, flows->problems);
  for (guint i = 1; i < flow->n_steps; i++) {
    const ZmStep *step = &flow->steps[i];

    for (guint b = 0; b < step->n_branches; b++) {
      check_decorator (flows->table, flow, &step->branches[b], flows->problems);
      check_spelling (flows, flow, i, b);
    }
    check_error_step (flows, flow, i);
  }
  check_hops (flows, flow);
}

/* ---- flows that start each other ---- */

/* Depth of a flow from what is known of its children so far. TRUE: it has grown, so another round is worth it. */
static gboolean
learn_depth (const Flows *flows, const ZmFlow *flow)
{
  Facts *own = &flows->facts[flow->slot];
  gboolean changed = FALSE;

  for (guint i = 1; i < flow->n_steps; i++)
    for (guint b = 0; b < flow->steps[i].n_branches; b++) {
      ZmStepTarget target;

      zm_table_step (flows->table, flow, i, (int) b, &target);
      if (target.child == NULL || flows->facts[target.child->slot].depth + 1 <= own->depth)
        continue;
      own->depth = flows->facts[target.child->slot].depth + 1;
      own->through = target.child;
      changed = TRUE;
    }
  return changed;
}

/* A flow waits where one of its steps does, a child flow's included. TRUE: learnt just now. */
static gboolean
learn_waits (const Flows *flows, const ZmFlow *flow)
{
  Facts *own = &flows->facts[flow->slot];

  if (own->waits)
    return FALSE;
  for (guint i = 1; i < flow->n_steps && !own->waits; i++)
    own->waits = step_waits (flows, flow, i);
  return own->waits;
}

/* Each round knows one more level; what still grows after the last nests too deep or goes in a circle. */
static void
learn (const Flows *flows)
{
  gboolean changed = TRUE;

  for (guint round = 0; round <= ZM_NESTING_MOST && changed; round++) {
    changed = FALSE;
    for (guint i = 0; i < flows->table->n_flows; i++) {
      changed |= learn_depth (flows, flows->table->flows[i]);
      changed |= learn_waits (flows, flows->table->flows[i]);
    }
  }
}

/* "a > b > a" into out. What the chain comes back to, or NULL; *lowest: the circle's first flow in the table. */
static const ZmFlow *
name_chain (const Flows *flows, const ZmFlow *flow, GString *out, const ZmFlow **lowest)
{
  const ZmFlow *seen[CHAIN_SHOWN];
  guint n = 0;

  g_string_append (out, flow->name);
  *lowest = flow;
  for (const ZmFlow *at = flow; at != NULL && n < CHAIN_SHOWN; n++) {
    seen[n] = at;
    at = flows->facts[at->slot].through;
    if (at == NULL)
      break;
    g_string_append_printf (out, " > %s", at->name);
    for (guint i = 0; i <= n; i++)
      if (seen[i] == at)
        return at;
    if (at->slot < (*lowest)->slot)
      *lowest = at;
  }
  return NULL;
}

/* Only now is it known whether the growth ended: a circle grows with every round, a deep chain ends. */
static void
check_depth (const Flows *flows, const ZmFlow *flow)
{
  g_autoptr (GString) chain = g_string_new (NULL);
  const ZmFlow *lowest, *back;

  if (flows->facts[flow->slot].depth <= ZM_NESTING_MOST)
    return;
  back = name_chain (flows, flow, chain, &lowest);
  /* One line for a circle, at its first flow; none for those that lead into it. */
  if (back != NULL && (back != flow || lowest != flow))
    return;
  zm_problems_add (flows->problems, ZM_PROBLEM_ERROR,
                   back != NULL ? ZM_CODE_FLOW_LOOP : ZM_CODE_NESTING_TOO_DEEP, flow->file, flow->line, 1,
                   "flows that nest at most 8 deep", "take one of the steps out",
                   back != NULL ? "flow \"%s\" starts itself again: %s" : "flow \"%s\" nests too deep: %s",
                   flow->name, chain->str);
}

/* Facts first, since a flow may stand above those that it starts. */
void
zm_routing_check_flows (const ZmTable *table, ZmProblems *problems)
{
  ZmNearKeys near_keys;
  Flows flows = { .table = table, .problems = problems, .near_keys = &near_keys };

  zm_routing_near_begin (&near_keys, table);
  flows.facts = g_new0 (Facts, table->n_flows + 1);
  learn (&flows);
  for (guint i = 0; i < table->n_flows; i++) {
    check_flow (&flows, table->flows[i]);
    check_depth (&flows, table->flows[i]);
  }
  g_free (flows.facts);
}
