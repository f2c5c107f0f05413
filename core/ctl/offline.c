/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of an instance say, for commands that answer without a daemon too.
 *
 * The table is built by the code that the daemon runs. It may still differ from what a daemon would do, as plugins are not
 * opened; and a daemon that runs elsewhere, or refused the files at its last reload, knows better. So a daemon is looked for
 * first, and that files answer is always said.
 */
#include "config.h"

#include "ctl/offline.h"
#include "plugin/zm-plugins.h"

#include <stdio.h>

/* How long to look for a daemon before the files are read. */
#define LOOK_MS 300

/* What stands beside plugins goes first, so that the operator's files win. */
static void
read_beside (const ZmInstance *instance, const ZmConfig *config, ZmTableInput *input, ZmProblems *problems)
{
  g_auto (GStrv) dirs = zm_instance_plugin_dirs (instance, zm_config_list (config, "zmanager", "plugin-path"),
                                                 zm_config_boolean (config, "zmanager", "system-plugins"));
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

/* In byte order of their names: the later file wins. */
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

/* The same reading, in the same order, as the daemon's at its start, but with no plugin opened: whether a function
 * exists is the business of check. Problems are counted only; a table is made of what could be read. */
ZmTable *
zm_offline_table (ZmCtl *ctl, GError **error)
{
  ZmInstance *instance = zm_ctl_instance (ctl, error);
  g_autoptr (ZmProblems) problems = zm_problems_new ();
  g_autoptr (ZmConfig) config = zm_config_new ();
  ZmTableInput input = { .timeout_ms = 30000 };
  g_auto (GStrv) workers = NULL;
  ZmTable *table = NULL;
  guint errors;

  if (instance == NULL)
    return NULL;
  if (g_file_test (instance->config_file, G_FILE_TEST_EXISTS))
    zm_config_add_file (config, instance->config_file, problems);
  zm_config_add_directory (config, instance->config_dir, problems);
  zm_config_finish (config, problems);
  workers = zm_config_names (config, "worker");
  input.workers = (const char *const *) workers;
  /* The table takes over both lists, and the flows and mappings in them. */
  input.mappings = g_ptr_array_new_with_free_func ((GDestroyNotify) zm_mapping_free);
  input.flows = g_ptr_array_new_with_free_func ((GDestroyNotify) zm_flow_unref);
  read_beside (instance, config, &input, problems);
  read_own (instance, &input, problems);
  table = zm_table_build (&input, problems);
  errors = zm_problems_errors (problems);
  if (errors > 0)
    fprintf (stderr,
             ngettext ("the files have %u error; zmanagerctl check tells it\n",
                       "the files have %u errors; zmanagerctl check tells them\n", errors),
             errors);
  return table;
}

/* Who did not say --timeout gets a short look: in a folder where nothing runs, waiting two seconds for each question
 * would be felt. */
JsonObject *
zm_offline_ask (ZmCtl *ctl, JsonObject *request, GError **error)
{
  JsonObject *answer = NULL;

  if (zm_ctl_text (ctl, "timeout") == NULL)
    ctl->timeout_ms = LOOK_MS;
  answer = zm_ctl_request (ctl, request, ZM_CTL_ANSWER_MS, error);
  return answer;
}

/* With --connect a daemon was meant and no folder. That files answer is told, as they may differ from what runs. */
gboolean
zm_offline_allowed (const ZmCtl *ctl, const GError *error)
{
  if (!g_error_matches (error, ZM_ERROR, ZM_ERROR_UNREACHABLE) || zm_ctl_text (ctl, "connect") != NULL)
    return FALSE;
  fprintf (stderr, _ ("no daemon runs there: this is what the files say\n"));
  return TRUE;
}
