/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What routes and steps are, said in a few words for people or as JSON: for explain and for listings of flows. */
#include "config.h"

#include "plugin/zm-carrier.h"
#include "routing/table-private.h"

#include <string.h>

void
zm_routing_append_member (GString *out, const char *name, const char *text)
{
  g_string_append_printf (out, "%s\"%s\":", out->str[out->len - 1] == '{' ? "" : ",", name);
  zm_json_append_string (out, zm_span_text (text));
}

/* The same of a number. The object that out is in has begun, so its last byte says whether a comma is due. */
static void
append_number (GString *out, const char *name, guint number)
{
  g_string_append_printf (out, "%s\"%s\":%u", out->str[out->len - 1] == '{' ? "" : ",", name, number);
}

/* ---- routes ---- */

/* The generation that takes its messages; NULL: none. */
static const ZmGeneration *
generation_of (const ZmRoute *route)
{
  return route->target == ZM_TARGET_ACTION && route->action != NULL ? route->action->generation : NULL;
}

/* Why calls of this route fail before they are made, beginning with the state; NULL: they do not. The caller frees. */
static char *
trouble_of (const ZmRoute *route)
{
  if (route->target == ZM_TARGET_UNAVAILABLE)
    return g_strconcat ("unavailable: ", route->reason, NULL);
  return generation_of (route) != NULL ? zm_generation_trouble (generation_of (route)) : NULL;
}

/* Where it runs, unless that is where all run that nobody said anything about. */
static void
append_place (GString *out, const ZmRoute *route)
{
  const ZmPlacement *placement =
      generation_of (route) != NULL ? zm_generation_placement (generation_of (route)) : NULL;

  if (placement != NULL &&
      (placement->isolation != ZM_ISOLATION_THREAD || strcmp (placement->reason, "default") != 0))
    g_string_append_printf (out, ", as %s (%s)", zm_isolation_name (placement->isolation), placement->reason);
}

static void
append_place_json (GString *out, const ZmRoute *route)
{
  const ZmGeneration *generation = generation_of (route);

  if (generation == NULL)
    return;
  zm_routing_append_member (out, "loaded_as", zm_generation_name (generation));
  append_number (out, "generation", zm_generation_number (generation));
  zm_routing_append_member (out, "isolation",
                            zm_isolation_name (zm_generation_placement (generation)->isolation));
  zm_routing_append_member (out, "isolation_reason", zm_generation_placement (generation)->reason);
  zm_generation_describe (generation, out);
}

void
zm_routing_append_route (GString *out, const ZmRoute *route)
{
  const ZmMapping *mapping = route->mapping;
  g_autofree char *trouble = trouble_of (route);

  if (mapping->worker != NULL)
    g_string_append_printf (out, "worker:%s", mapping->worker);
  else
    g_string_append_printf (out, "%s.%s", mapping->plugin, mapping->symbol);
  g_string_append_printf (out, " (%s:%u:%u)", mapping->file, mapping->line, mapping->column);
  append_place (out, route);
  if (trouble != NULL)
    g_string_append_printf (out, ", %s", trouble);
}

void
zm_routing_append_route_json (GString *out, const ZmRoute *route)
{
  static const char *const targets[] = { "action", "worker", "unavailable" };
  const ZmMapping *mapping = route->mapping;
  g_autofree char *trouble = trouble_of (route);

  g_string_append_c (out, '{');
  zm_routing_append_member (out, "key", mapping->key_text);
  zm_routing_append_member (out, "target", targets[route->target]);
  if (mapping->worker != NULL)
    zm_routing_append_member (out, "worker", mapping->worker);
  else {
    zm_routing_append_member (out, "plugin", mapping->plugin);
    zm_routing_append_member (out, "symbol", mapping->symbol);
  }
  append_place_json (out, route);
  /* The target says "unavailable" already. */
  if (trouble != NULL)
    zm_routing_append_member (out, "reason",
                              route->target == ZM_TARGET_UNAVAILABLE ? route->reason : trouble);
  zm_routing_append_member (out, "file", mapping->file);
  append_number (out, "line", mapping->line);
  append_number (out, "column", mapping->column);
  g_string_append_printf (out, ",\"timeout_ms\":%" G_GINT64_FORMAT "}", route->timeout_us / 1000);
}

/* ---- steps ---- */

/* The step's one branch, one of a join, or (-1) its error step; NULL where there is none. */
static const ZmBranch *
branch_of (const ZmFlow *flow, guint step, int branch)
{
  return branch >= 0 ? &flow->steps[step].branches[branch] : flow->steps[step].on_error;
}

void
zm_routing_append_branch (GString *out, const ZmTable *table, const ZmFlow *flow, guint step, int branch)
{
  const ZmBranch *at = branch_of (flow, step, branch);
  ZmStepTarget target;

  zm_table_step (table, flow, step, branch, &target);
  if (at->kind == ZM_STEP_ASYNC)
    g_string_append (out, "waits for this key, then ");
  if (at->kind == ZM_STEP_PUBLISH)
    g_string_append (out, "published on its own topic");
  else if (at->kind == ZM_STEP_DONE)
    g_string_append (out, "publishes the flow's result and ends it");
  else if (target.child != NULL)
    g_string_append_printf (out, "flow %s", target.child->name);
  else if (target.route != NULL)
    zm_routing_append_route (out, target.route);
  else if (at->kind == ZM_STEP_ASYNC)
    g_string_append (out, "its body goes on (in no mapping)");
  else
    g_string_append (out, "hand-over: in no mapping, published for a service to take");
}

/* One step a line; the branches of a join on lines of their own with '&', its error step with '!'. */
static void
append_step (GString *out, const ZmTable *table, const ZmFlow *flow, guint step, const char *indent)
{
  const ZmStep *at = &flow->steps[step];

  for (guint b = 0; b < at->n_branches; b++) {
    if (b == 0)
      g_string_append_printf (out, "%s%u  ", indent, step);
    else
      g_string_append_printf (out, "%s&  ", indent);
    g_string_append_printf (out, "%s  ", at->branches[b].text);
    zm_routing_append_branch (out, table, flow, step, (int) b);
    g_string_append_c (out, '\n');
  }
  if (at->on_error == NULL)
    return;
  g_string_append_printf (out, "%s!  %s  ", indent, at->on_error->text);
  zm_routing_append_branch (out, table, flow, step, -1);
  g_string_append_c (out, '\n');
}

void
zm_routing_append_steps (GString *out, const ZmTable *table, const ZmFlow *flow, const char *indent)
{
  for (guint i = 1; i < flow->n_steps; i++)
    append_step (out, table, flow, i, indent);
}

/* ---- flows as JSON ---- */

/* One word for what a step is. */
static const char *
role_of (const ZmBranch *branch, const ZmStepTarget *target)
{
  if (branch->kind == ZM_STEP_PUBLISH)
    return "publish";
  if (branch->kind == ZM_STEP_DONE)
    return "done";
  if (target->child != NULL)
    return "flow";
  if (target->route != NULL)
    return "mapped";
  return branch->kind == ZM_STEP_ASYNC ? "pass" : "hand-over";
}

/* Members that a step does not have are left out, never null. */
static void
append_branch_json (GString *out, const ZmTable *table, const ZmFlow *flow, guint step, int branch)
{
  const ZmBranch *at = branch_of (flow, step, branch);
  ZmStepTarget target;

  zm_table_step (table, flow, step, branch, &target);
  g_string_append_c (out, '{');
  zm_routing_append_member (out, "key", at->text);
  g_string_append_printf (
      out, ",\"waits\":%s",
      at->kind == ZM_STEP_ASYNC || g_str_equal (role_of (at, &target), "hand-over") ? "true" : "false");
  zm_routing_append_member (out, "is", role_of (at, &target));
  if (target.child != NULL)
    zm_routing_append_member (out, "flow", target.child->name);
  if (target.route != NULL) {
    g_string_append (out, ",\"route\":");
    zm_routing_append_route_json (out, target.route);
  }
  g_string_append_c (out, '}');
}

/* Join and error step nest: readers then see what belongs together without counting lines. */
static void
append_step_json (GString *out, const ZmTable *table, const ZmFlow *flow, guint step)
{
  static const char *const kinds[] = { "key", "publish", "async", "join", "done" };
  const ZmStep *at = &flow->steps[step];

  g_string_append_c (out, '{');
  append_number (out, "index", step);
  append_number (out, "line", at->line);
  zm_routing_append_member (out, "kind", kinds[at->kind]);
  g_string_append (out, ",\"branches\":[");
  for (guint b = 0; b < at->n_branches; b++) {
    if (b > 0)
      g_string_append_c (out, ',');
    append_branch_json (out, table, flow, step, (int) b);
  }
  g_string_append_c (out, ']');
  if (at->on_error != NULL) {
    g_string_append (out, ",\"on_error\":");
    append_branch_json (out, table, flow, step, -1);
  }
  g_string_append_c (out, '}');
}

void
zm_routing_append_flow_json (GString *out, const ZmTable *table, const ZmFlow *flow)
{
  g_string_append_c (out, '{');
  zm_routing_append_member (out, "name", flow->name);
  zm_routing_append_member (out, "file", flow->file);
  append_number (out, "line", flow->line);
  zm_routing_append_member (out, "trigger", flow->steps[0].branches[0].text);
  g_string_append (out, ",\"steps\":[");
  for (guint i = 1; i < flow->n_steps; i++) {
    if (i > 1)
      g_string_append_c (out, ',');
    append_step_json (out, table, flow, i);
  }
  g_string_append (out, "]}");
}
