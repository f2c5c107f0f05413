/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * flow ls, flow show: by the daemon's table, or by the files where no daemon runs.
 *
 * Both ways end in the same JSON: the daemon's answer, or the same object made here of the same table code (zm_flow_show). So
 * printing knows one form only, and --json is the same with a daemon and without.
 */
#include "config.h"

#include "ctl/offline.h"

#include <stdio.h>

/* ---- flow ls ---- */

static const ZmOutColumn columns[] = {
  { "name", N_ ("NAME"), FALSE },  { "trigger", N_ ("TRIGGER"), FALSE },
  { "path", N_ ("STEPS"), FALSE }, { "place", N_ ("PLACE"), FALSE },
  { NULL, NULL, FALSE },
};

/* "a & b" of one step. */
static void
append_step (GString *out, JsonObject *step)
{
  JsonArray *branches = zm_json_get_array (step, "branches");

  for (guint i = 0; branches != NULL && i < json_array_get_length (branches); i++) {
    const char *key = zm_json_get_text (zm_json_nth_object (branches, i), "key");

    g_string_append_printf (out, "%s%s", i > 0 ? " & " : "", key != NULL ? key : "-");
  }
}

/* Adds what the table shows: the steps in one line, and the place. */
static void
add_summary (JsonObject *flow)
{
  JsonArray *steps = zm_json_get_array (flow, "steps");
  const char *file = zm_json_get_text (flow, "file");
  g_autoptr (GString) path = g_string_new (NULL);
  g_autofree char *place =
      g_strdup_printf ("%s:%d", file != NULL ? file : "-", (int) zm_json_get_int (flow, "line"));

  for (guint i = 0; steps != NULL && i < json_array_get_length (steps); i++) {
    if (i > 0)
      g_string_append (path, " -> ");
    append_step (path, zm_json_nth_object (steps, i));
  }
  json_object_set_string_member (flow, "path", path->str);
  json_object_set_string_member (flow, "place", place);
}

/* The same object that the daemon answers with, made of the files. */
static JsonObject *
flows_object (ZmTable *table)
{
  JsonObject *object = json_object_new ();
  JsonArray *array = json_array_new ();

  for (guint i = 0; i < zm_table_n_flows (table); i++) {
    g_autofree char *text = zm_flow_show (table, zm_table_flow_nth (table, i), FALSE);
    JsonNode *node = zm_json_read (zm_span_text (text));

    if (node != NULL)
      json_array_add_element (array, node);
  }
  json_object_set_array_member (object, "flows", array);
  return object;
}

/* Programs get the answer as it is; people a line a flow, made by adding two members to each row. */
static int
print_flows (const ZmCtl *ctl, JsonObject *answer)
{
  JsonArray *flows = zm_json_get_array (answer, "flows");

  if (ctl->json) {
    zm_out_json_object (answer);
    return ZM_EXIT_OK;
  }
  for (guint i = 0; flows != NULL && i < json_array_get_length (flows); i++)
    if (zm_json_nth_object (flows, i) != NULL)
      add_summary (zm_json_nth_object (flows, i));
  zm_out_table (ctl, flows, columns, _ ("there is no flow"));
  return ZM_EXIT_OK;
}

/* The daemon first: it knows what is in force, which after a refused reload is not what the files say. */
int
zm_ctl_cmd_flow_ls (ZmCtl *ctl, guint n, char **arguments)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonObject) answer = zm_offline_ask (ctl, zm_ctl_request_new ("flows"), &error);
  g_autoptr (ZmTable) table = NULL;

  (void) n;
  (void) arguments;
  if (answer == NULL && !zm_offline_allowed (ctl, error))
    return zm_ctl_fail (ctl, error);
  g_clear_error (&error);
  if (answer == NULL) {
    table = zm_offline_table (ctl, &error);
    if (table == NULL)
      return zm_ctl_fail (ctl, error);
    answer = flows_object (table);
  }
  return print_flows (ctl, answer);
}

/* ---- flow show ---- */

/* "link-status.on_link_down (file:line)" of a route, or what else a step is. */
static char *
branch_text (JsonObject *branch)
{
  JsonObject *route = zm_json_get_object (branch, "route");
  const char *is = zm_json_get_text (branch, "is");
  const char *worker = zm_json_get_text (route, "worker");
  const char *plugin = zm_json_get_text (route, "plugin");
  const char *symbol = zm_json_get_text (route, "symbol");
  const char *file = zm_json_get_text (route, "file");
  const char *reason = zm_json_get_text (route, "reason");
  const char *child = zm_json_get_text (branch, "flow");
  g_autofree char *what = worker != NULL   ? g_strconcat ("worker:", worker, NULL)
                          : plugin != NULL ? g_strdup_printf ("%s.%s", plugin, symbol != NULL ? symbol : "?")
                          : child != NULL  ? g_strdup_printf (_ ("flow %s"), child)
                                           : g_strdup (is != NULL ? is : "-");

  /* A hand-over, @PUBLISH, @ASYNC, done, or a flow: nothing of it stands in a mapping file. */
  if (route == NULL)
    return g_steal_pointer (&what);
  return g_strdup_printf ("%s (%s:%d)%s%s", what, file != NULL ? file : "-",
                          (int) zm_json_get_int (route, "line"), reason != NULL ? ", " : "",
                          reason != NULL ? reason : "");
}

/* A row of the listing: the step's number, or & for a further branch, or ! for the error step. */
static void
add_row (JsonArray *rows, const char *mark, JsonObject *branch)
{
  JsonObject *row = json_object_new ();
  g_autofree char *what = branch_text (branch);
  const char *key = zm_json_get_text (branch, "key");

  json_object_set_string_member (row, "step", mark);
  json_object_set_string_member (row, "key", key != NULL ? key : "-");
  json_object_set_string_member (row, "what", what);
  json_array_add_object_element (rows, row);
}

/* A join takes a line a branch. */
static void
add_step_rows (JsonArray *rows, JsonObject *step)
{
  JsonArray *branches = zm_json_get_array (step, "branches");
  JsonObject *on_error = zm_json_get_object (step, "on_error");
  g_autofree char *index = g_strdup_printf ("%d", (int) zm_json_get_int (step, "index"));

  for (guint i = 0; branches != NULL && i < json_array_get_length (branches); i++)
    add_row (rows, i > 0 ? "&" : index, zm_json_nth_object (branches, i));
  if (on_error != NULL)
    add_row (rows, "!", on_error);
}

/* STEP is the number that traces and errors name too. */
static const ZmOutColumn step_columns[] = {
  { "step", N_ ("STEP"), TRUE },
  { "key", N_ ("KEY"), FALSE },
  { "what", N_ ("WHAT"), FALSE },
  { NULL, NULL, FALSE },
};

/* A line a branch; what each step is was found out by the table that also runs it, so this cannot disagree with the
 * daemon. */
static void
print_flow (const ZmCtl *ctl, JsonObject *flow)
{
  JsonArray *steps = zm_json_get_array (flow, "steps");
  g_autoptr (JsonArray) rows = json_array_new ();
  g_autofree char *name = zm_out_value (json_object_get_member (flow, "name"));
  g_autofree char *file = zm_out_value (json_object_get_member (flow, "file"));
  g_autofree char *trigger = zm_out_value (json_object_get_member (flow, "trigger"));
  g_autofree char *shown = zm_out_style (ctl, ZM_STYLE_BOLD, name);

  printf (_ ("%s (%s:%d), begins with %s\n"), shown, file, (int) zm_json_get_int (flow, "line"), trigger);
  for (guint i = 0; steps != NULL && i < json_array_get_length (steps); i++)
    add_step_rows (rows, zm_json_nth_object (steps, i));
  zm_out_table (ctl, rows, step_columns, _ ("it has no step"));
}

/* What the daemon said, or the same made of the files. */
static int
print_shown (const ZmCtl *ctl, JsonObject *answer)
{
  const char *dot = zm_json_get_text (answer, "dot");
  JsonObject *flow = zm_json_get_object (answer, "flow");

  if (ctl->json)
    zm_out_json_object (answer);
  else if (dot != NULL)
    printf ("%s%s", dot, g_str_has_suffix (dot, "\n") ? "" : "\n");
  else if (flow != NULL)
    print_flow (ctl, flow);
  return ZM_EXIT_OK;
}

/* As the daemon answers: {"flow"} or {"dot"}. */
static JsonObject *
show_object (ZmTable *table, ZmFlow *flow, gboolean dot)
{
  JsonObject *object = json_object_new ();
  g_autofree char *text = zm_flow_show (table, flow, dot);
  JsonNode *node = dot ? NULL : zm_json_read (zm_span_text (text));

  if (node != NULL)
    json_object_set_member (object, "flow", node);
  else
    json_object_set_string_member (object, "dot", text);
  return object;
}

/* Reads all files for one flow: a step is shown as what it leads to, and that may stand in any of them. */
static int
show_from_files (ZmCtl *ctl, const char *name, gboolean dot)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (ZmTable) table = zm_offline_table (ctl, &error);
  ZmFlow *flow = table != NULL ? zm_table_flow (table, zm_span_text (name)) : NULL;
  g_autoptr (JsonObject) object = NULL;
  const char *near = NULL;

  if (table != NULL && flow == NULL)
    near = zm_table_flow_near (table, name);
  if (near != NULL)
    g_set_error (&error, ZM_ERROR, ZM_ERROR_NOT_FOUND, _ ("there is no flow \"%s\"; did you mean \"%s\"?"),
                 name, near);
  else if (table != NULL && flow == NULL)
    g_set_error (&error, ZM_ERROR, ZM_ERROR_NOT_FOUND, _ ("there is no flow \"%s\"; see zmanagerctl flow ls"),
                 name);
  if (flow == NULL)
    return zm_ctl_fail (ctl, error);
  object = show_object (table, flow, dot);
  return print_shown (ctl, object);
}

/* Not-found of the daemon stays an error; only where no daemon is there the files are asked. */
int
zm_ctl_cmd_flow_show (ZmCtl *ctl, guint n, char **arguments)
{
  g_autoptr (GError) error = NULL;
  gboolean dot = zm_ctl_flag (ctl, "dot");
  JsonObject *request = zm_ctl_request_new ("flow");
  g_autoptr (JsonObject) answer = NULL;

  (void) n;
  json_object_set_string_member (request, "name", arguments[0]);
  json_object_set_boolean_member (request, "dot", dot);
  answer = zm_offline_ask (ctl, request, &error);
  if (answer != NULL)
    return print_shown (ctl, answer);
  return zm_offline_allowed (ctl, error) ? show_from_files (ctl, arguments[0], dot)
                                         : zm_ctl_fail (ctl, error);
}
