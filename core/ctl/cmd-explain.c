/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * explain, flow ls, flow show: what the daemon's table says; where no daemon runs, what the files say, and that is told.
 */
#include "config.h"

#include "ctl/ctl.h"
#include "plugin/zm-plugins.h"
#include "routing/zm-table.h"

#include <stdio.h>
#include <string.h>

/* How long to look for a daemon before the files are read. */
#define LOOK_MS 300

/* ---- codes ---- */

/* "ZM1234" or "1234" */
static gboolean
is_code (const char *text)
{
  gsize skip = g_ascii_strncasecmp (text, "ZM", 2) == 0 ? 2 : 0;

  return text[skip] != '\0' && strspn (text + skip, "0123456789") == strlen (text + skip);
}

static int
explain_code (const ZmCtl *ctl, const char *text)
{
  const ZmCodeInfo *info = zm_code_info (text);
  g_autoptr (GError) error = NULL;
  g_autofree char *title = NULL;

  if (info == NULL) {
    g_set_error (&error, ZM_ERROR, ZM_ERROR_NOT_FOUND, _ ("there is no code %s"), text);
    return zm_ctl_fail (ctl, error);
  }
  if (ctl->json) {
    g_autoptr (JsonObject) object = json_object_new ();

    json_object_set_int_member (object, "code", info->code);
    json_object_set_string_member (object, "title", info->title);
    json_object_set_string_member (object, "text", info->text);
    zm_out_json_object (object);
    return ZM_EXIT_OK;
  }
  title = zm_out_style (ctl, ZM_STYLE_BOLD, info->title);
  printf ("ZM%04u  %s\n\n%s\n", info->code, title, info->text);
  return ZM_EXIT_OK;
}

/* ---- the files, where no daemon runs ---- */

/* What stands beside plugins goes first, so that the operator's files win. */
static void
read_beside (const ZmInstance *instance, const ZmConfig *config, ZmTableInput *input, ZmProblems *problems)
{
  g_auto (GStrv) dirs =
      zm_instance_plugin_dirs (instance, zm_config_list (config, "zmanager", "plugin-path"));
  ZmPluginsConfig plugins_config = { .path = (const char *const *) dirs };
  ZmPlugins *plugins = zm_plugins_new (&plugins_config);
  const GPtrArray *files = zm_plugins_scan (plugins, problems);

  for (guint i = 0; files != NULL && i < files->len; i++) {
    const ZmPluginFile *file = g_ptr_array_index (files, i);

    if (file->shadowed_by != NULL)
      continue;
    if (file->actions_file != NULL)
      zm_mapping_read_file (file->actions_file, input->mappings, problems);
    if (file->flow_file != NULL)
      zm_flow_read_file (file->flow_file, input->flows, problems);
  }
  zm_plugins_free (plugins);
}

static void
read_own (const ZmInstance *instance, ZmTableInput *input, ZmProblems *problems)
{
  g_auto (GStrv) mappings = zm_list_files (instance->actions_dir, ".ini");
  g_auto (GStrv) flows = zm_list_files (instance->flows_dir, ".flow");

  for (char **path = mappings; *path != NULL; path++)
    zm_mapping_read_file (*path, input->mappings, problems);
  for (char **path = flows; *path != NULL; path++)
    zm_flow_read_file (*path, input->flows, problems);
}

/* The table as the files make it, without plugins. NULL: error. */
static ZmTable *
files_table (ZmCtl *ctl, GError **error)
{
  ZmInstance *instance = zm_ctl_instance (ctl, error);
  g_autoptr (ZmProblems) problems = zm_problems_new ();
  g_autoptr (ZmConfig) config = zm_config_new ();
  ZmTableInput input = { .timeout_ms = 30000 };
  g_auto (GStrv) workers = NULL;
  ZmTable *table = NULL;

  if (instance == NULL)
    return NULL;
  if (g_file_test (instance->config_file, G_FILE_TEST_EXISTS))
    zm_config_add_file (config, instance->config_file, problems);
  zm_config_add_directory (config, instance->config_dir, problems);
  zm_config_finish (config, problems);
  workers = zm_config_names (config, "worker");
  input.workers = (const char *const *) workers;
  input.mappings = g_ptr_array_new_with_free_func ((GDestroyNotify) zm_mapping_free);
  input.flows = g_ptr_array_new_with_free_func ((GDestroyNotify) zm_flow_unref);
  read_beside (instance, config, &input, problems);
  read_own (instance, &input, problems);
  table = zm_table_build (&input, problems);
  if (zm_problems_errors (problems) > 0)
    fprintf (stderr, _ ("the files have %u errors; zmanagerctl check tells them\n"),
             zm_problems_errors (problems));
  return table;
}

/* The daemon's answer; NULL with error UNREACHABLE: read the files. */
static JsonObject *
ask (ZmCtl *ctl, JsonObject *request, GError **error)
{
  JsonObject *answer = NULL;

  if (zm_ctl_text (ctl, "timeout") == NULL)
    ctl->timeout_ms = LOOK_MS;
  answer = zm_ctl_request (ctl, request, ZM_CTL_ANSWER_MS, error);
  return answer;
}

/* FALSE: the error is another than "nobody there", or a daemon was named by its socket. */
static gboolean
may_read_files (const ZmCtl *ctl, const GError *error)
{
  if (!g_error_matches (error, ZM_ERROR, ZM_ERROR_UNREACHABLE) || zm_ctl_text (ctl, "connect") != NULL)
    return FALSE;
  fprintf (stderr, _ ("no daemon runs there: this is what the files say\n"));
  return TRUE;
}

/* ---- explain ---- */

static void
print_answer (const ZmCtl *ctl, JsonObject *answer, const char *text_member)
{
  const char *text = zm_json_get_text (answer, text_member);
  g_autoptr (JsonNode) node = NULL;

  if (text != NULL && !ctl->json) {
    printf ("%s%s", text, g_str_has_suffix (text, "\n") ? "" : "\n");
    return;
  }
  node = json_node_init_object (json_node_alloc (), answer);
  if (ctl->json)
    zm_out_json (node);
  else
    zm_out_tree (ctl, node, 0);
}

static void
print_text (char *text)
{
  printf ("%s%s", text, g_str_has_suffix (text, "\n") ? "" : "\n");
  g_free (text);
}

static int
explain_key (ZmCtl *ctl, const char *text, const ZmKey *key)
{
  g_autoptr (GError) error = NULL;
  JsonObject *request = zm_ctl_request_new ("explain");
  g_autoptr (JsonObject) answer = NULL;
  g_autoptr (ZmTable) table = NULL;

  json_object_set_string_member (request, "key", text);
  if (!ctl->json)
    json_object_set_boolean_member (request, "text", TRUE);
  answer = ask (ctl, request, &error);
  if (answer != NULL) {
    print_answer (ctl, answer, "text");
    return ZM_EXIT_OK;
  }
  if (!may_read_files (ctl, error))
    return zm_ctl_fail (ctl, error);
  g_clear_error (&error);
  table = files_table (ctl, &error);
  if (table == NULL)
    return zm_ctl_fail (ctl, error);
  print_text (zm_table_explain (table, key, ctl->json));
  return ZM_EXIT_OK;
}

int
zm_ctl_cmd_explain (ZmCtl *ctl, guint n, char **arguments)
{
  g_autoptr (GError) error = NULL;
  ZmKey key;

  (void) n;
  if (is_code (arguments[0]))
    return explain_code (ctl, arguments[0]);
  if (!zm_key_parse (zm_span_text (arguments[0]), &key, NULL, &error)) {
    g_autofree char *safe = zm_printable (zm_span_text (arguments[0]), 256);

    return zm_ctl_usage (ctl, _ ("“%s” is neither a code such as ZM1234 nor a key: %s"), safe,
                         error->message);
  }
  return explain_key (ctl, arguments[0], &key);
}

/* ---- flow ls ---- */

static const ZmOutColumn flow_columns[] = {
  { "name", N_ ("NAME"), FALSE }, { "trigger", N_ ("TRIGGER"), FALSE }, { "steps", N_ ("STEPS"), FALSE },
  { "file", N_ ("FILE"), FALSE }, { "line", N_ ("LINE"), TRUE },        { NULL, NULL, FALSE },
};

static JsonObject *
flows_object (ZmTable *table)
{
  JsonObject *object = json_object_new ();
  JsonArray *array = json_array_new ();

  for (guint i = 0; i < zm_table_n_flows (table); i++) {
    ZmFlow *flow = zm_table_flow_nth (table, i);
    g_autofree char *text = zm_flow_show (table, flow, FALSE);
    JsonNode *node = zm_json_read (zm_span_text (text));

    if (node != NULL)
      json_array_add_element (array, node);
  }
  json_object_set_array_member (object, "flows", array);
  return object;
}

int
zm_ctl_cmd_flow_ls (ZmCtl *ctl, guint n, char **arguments)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonObject) answer = ask (ctl, zm_ctl_request_new ("flows"), &error);
  g_autoptr (ZmTable) table = NULL;

  (void) n;
  (void) arguments;
  if (answer == NULL && !may_read_files (ctl, error))
    return zm_ctl_fail (ctl, error);
  g_clear_error (&error);
  table = answer == NULL ? files_table (ctl, &error) : NULL;
  if (answer == NULL && table == NULL)
    return zm_ctl_fail (ctl, error);
  if (answer == NULL)
    answer = flows_object (table);
  if (ctl->json)
    zm_out_json_object (answer);
  else
    zm_out_table (ctl, zm_json_get_array (answer, "flows"), flow_columns, _ ("there is no flow"));
  return ZM_EXIT_OK;
}

/* ---- flow show ---- */

static int
show_from_files (ZmCtl *ctl, const char *name, gboolean dot)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (ZmTable) table = files_table (ctl, &error);
  ZmFlow *flow = table != NULL ? zm_table_flow (table, zm_span_text (name)) : NULL;
  g_autofree char *text = NULL;
  g_autoptr (JsonNode) node = NULL;

  if (table != NULL && flow == NULL)
    g_set_error (&error, ZM_ERROR, ZM_ERROR_NOT_FOUND, _ ("there is no flow “%s”; see zmanagerctl flow ls"),
                 name);
  if (flow == NULL)
    return zm_ctl_fail (ctl, error);
  text = zm_flow_show (table, flow, dot);
  node = dot ? NULL : zm_json_read (zm_span_text (text));
  if (node != NULL && !ctl->json)
    zm_out_tree (ctl, node, 0);
  else
    print_text (g_steal_pointer (&text));
  return ZM_EXIT_OK;
}

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
  answer = ask (ctl, request, &error);
  if (answer != NULL) {
    print_answer (ctl, answer, "dot");
    return ZM_EXIT_OK;
  }
  return may_read_files (ctl, error) ? show_from_files (ctl, arguments[0], dot) : zm_ctl_fail (ctl, error);
}
