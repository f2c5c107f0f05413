/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One flow as JSON, or as a graph in the dot language. */
#include "config.h"

#include "routing/table-private.h"

/* Quoted for dot: names and keys have no quotes or backslashes, file names may. */
static void
append_quoted (GString *out, const char *text)
{
  g_string_append_c (out, '"');
  for (; *text != '\0'; text++) {
    if (*text == '"' || *text == '\\')
      g_string_append_c (out, '\\');
    g_string_append_c (out, *text);
  }
  g_string_append_c (out, '"');
}

/* Shapes of nodes tell the kinds apart without colours. */
static void
append_node (GString *out, const ZmTable *table, const ZmFlow *flow, guint step, int branch)
{
  const ZmStep *at = &flow->steps[step];
  const ZmBranch *of = branch >= 0 ? &at->branches[branch] : at->on_error;
  g_autoptr (GString) label = g_string_new (of->text);

  g_string_append_c (label, '\n');
  if (step == 0)
    g_string_append (label, "trigger");
  else
    zm_routing_append_branch (label, table, flow, step, branch);
  g_string_append_printf (out, "  s%u_%d [shape=%s, label=", step, branch + 1,
                          of->kind == ZM_STEP_PUBLISH ? "cds"
                          : of->kind == ZM_STEP_ASYNC ? "octagon"
                          : of->kind == ZM_STEP_DONE  ? "doublecircle"
                                                      : "box");
  append_quoted (out, label->str);
  g_string_append (out, "];\n");
}

/* From every branch of the step before, and from its error step, to every branch of this one. */
static void
append_edges (GString *out, const ZmFlow *flow, guint step)
{
  const ZmStep *at = &flow->steps[step], *before = &flow->steps[step - 1];

  for (guint b = 0; b < at->n_branches; b++) {
    for (guint f = 0; f < before->n_branches; f++)
      g_string_append_printf (out, "  s%u_%u -> s%u_%u;\n", step - 1, f + 1, step, b + 1);
    if (before->on_error != NULL)
      g_string_append_printf (out, "  s%u_0 -> s%u_%u;\n", step - 1, step, b + 1);
    if (at->on_error != NULL)
      g_string_append_printf (out, "  s%u_%u -> s%u_0 [style=dashed, label=\"error\"];\n", step, b + 1, step);
  }
}

/* Nodes are named by step and branch (0: the error step), since one key may stand in a flow twice. */
static void
append_dot (GString *out, const ZmTable *table, const ZmFlow *flow)
{
  g_string_append (out, "digraph ");
  append_quoted (out, flow->name);
  g_string_append (out, " {\n");
  for (guint i = 0; i < flow->n_steps; i++) {
    for (guint b = 0; b < flow->steps[i].n_branches; b++)
      append_node (out, table, flow, i, (int) b);
    if (flow->steps[i].on_error != NULL)
      append_node (out, table, flow, i, -1);
    if (i > 0)
      append_edges (out, flow, i);
  }
  g_string_append (out, "}\n");
}

char *
zm_flow_show (const ZmTable *table, const ZmFlow *flow, gboolean dot)
{
  GString *out = g_string_new (NULL);

  if (dot)
    append_dot (out, table, flow);
  else
    zm_routing_append_flow_json (out, table, flow);
  return g_string_free (out, FALSE);
}
