/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* --check and --dump: read everything, start nothing. No code of a plugin runs in this process. */
#include "config.h"

#include "runtime/private.h"

#include "base/zm-codes.h"
#include "runtime/audit.h"
#include "runtime/check.h"
#include "runtime/commands.h"

#include <string.h>

/* A registry that only looks. */
static ZmPlugins *
open_plugins (const ZmInstance *instance, const ZmConfig *config)
{
  g_auto (GStrv) path = zm_instance_plugin_dirs (instance, zm_config_list (config, "zmanager", "plugin-path"),
                                                 zm_config_boolean (config, "zmanager", "system-plugins"));
  ZmPluginsConfig plugins = { .path = (const char *const *) path };

  return zm_plugins_new (&plugins);
}

/* ---- programs of workers in other languages ---- */

/* As the daemon looks for them when it starts them, though with the PATH of who checks. */
static void
check_workers (const ZmConfig *config, const ZmInstance *instance, ZmProblems *problems)
{
  g_auto (GStrv) names = zm_config_names (config, "worker");

  for (char **name = names; *name != NULL; name++) {
    g_autofree char *section = g_strconcat ("worker ", *name, NULL);
    const char *exec = zm_config_text (config, section, "exec"), *path = NULL;
    guint line = 0, column = 0;
    g_autoptr (GError) error = NULL;

    if (exec == NULL || zm_external_check_exec (exec, instance->dir, &error))
      continue;
    zm_config_place (config, section, "exec", &path, &line, &column);
    zm_problems_add (problems, ZM_PROBLEM_ERROR, ZM_CODE_PROGRAM_NOT_FOUND, path, line, column, NULL, NULL,
                     "[%s]: %s", section, error->message);
  }
}

/* ---- doors ---- */

/* Reads by the same functions as the daemon does, so it cannot judge differently; only where the daemon would load a
 * plugin, the note is asked. */
gboolean
zm_check_run (const ZmRuntimeOptions *options, ZmProblems *problems, GError **error)
{
  g_autoptr (ZmInstance) instance = zm_instance_new (options->dir, error);
  g_autoptr (ZmConfig) config = NULL;
  g_auto (GStrv) wanted = NULL;
  GPtrArray *mappings = g_ptr_array_new_with_free_func ((GDestroyNotify) zm_mapping_free);
  GPtrArray *flows = g_ptr_array_new_with_free_func ((GDestroyNotify) zm_flow_unref);
  const GPtrArray *files;
  ZmPlugins *plugins;

  if (instance == NULL) {
    g_ptr_array_unref (mappings);
    g_ptr_array_unref (flows);
    return FALSE;
  }
  zm_trust_check (instance, options->config_file, zm_trust_user (instance), problems);
  config = zm_load_config (instance, options, problems);
  zm_audit_tell (instance, config, zm_trust_user (instance), ZM_PROBLEM_ERROR, problems);
  plugins = open_plugins (instance, config);
  files = zm_plugins_scan (plugins, problems);
  zm_load_read_files (instance, files, NULL, mappings, flows, problems);
  zm_load_apply_actions (config, mappings, problems);
  zm_check_plugins (config, mappings, plugins, problems);
  check_workers (config, instance, problems);
  wanted = zm_load_wanted (config, mappings, NULL, NULL);
  zm_plugins_check_needs (plugins, (const char *const *) wanted, problems);
  zm_table_unref (zm_load_table (config, mappings, flows, NULL, problems));
  zm_problems_sort (problems);
  zm_plugins_free (plugins);
  return TRUE;
}

char *
zm_check_text (const ZmProblems *problems)
{
  g_autofree char *list = zm_problems_format (problems);
  guint errors = zm_problems_errors (problems), warnings = zm_problems_warnings (problems);

  return g_strdup_printf ("%s%s%u error%s, %u warning%s\n", list,
                          *list && !g_str_has_suffix (list, "\n") ? "\n" : "", errors, errors == 1 ? "" : "s",
                          warnings, warnings == 1 ? "" : "s");
}

char *
zm_check_json (const ZmProblems *problems)
{
  GString *out = g_string_new ("{");

  zm_reply_member_integer (out, "errors", zm_problems_errors (problems));
  zm_reply_member_integer (out, "warnings", zm_problems_warnings (problems));
  zm_reply_member_problems (out, "problems", problems);
  g_string_append (out, "}\n");
  return g_string_free (out, FALSE);
}

/* ---- --dump ---- */

/* Where the daemon would bind: as zm_instance_bind_endpoint, which also makes the link for a long path. */
static char *
own_endpoint (const ZmInstance *instance, const char *name)
{
  g_autofree char *path = g_build_filename (instance->run_dir, name, NULL);
  gboolean fits = strlen (path) <= ZM_INSTANCE_SOCKET_MOST;

  return g_strdup_printf ("ipc://%s/%s", fits ? instance->run_dir : instance->short_dir, name);
}

/* What start.c and reload.c take where the configuration is silent. */
static char *
stand_in (const ZmConfig *config, const char *section, const char *key, gconstpointer user)
{
  const ZmInstance *instance = user;

  (void) config;
  if (strcmp (section, "zmanager") == 0 && strcmp (key, "node") == 0)
    return g_strdup (g_get_host_name ());
  if (strcmp (key, "bind") != 0)
    return NULL;
  if (g_str_has_prefix (section, "worker ")) {
    g_autofree char *name = g_strconcat ("worker-", section + strlen ("worker "), NULL);

    return own_endpoint (instance, name);
  }
  return own_endpoint (instance, strcmp (section, "integration") == 0 ? "topics" : section);
}

char *
zm_runtime_config_dump (const ZmInstance *instance, const ZmConfig *config, gboolean json)
{
  return zm_config_dump_effective (config, json, stand_in, instance);
}

/* Which keys of plugins are secret is told by the plugins, each asked in a process of its own. What else is wrong with them is for
 * --check to say. */
static void
ask_for_secrets (const ZmInstance *instance, const ZmConfig *config)
{
  g_auto (GStrv) named = zm_config_names (config, "plugin");
  g_auto (GStrv) sources = zm_config_names (config, "source");
  g_autoptr (ZmProblems) ignored = zm_problems_new ();
  g_autoptr (GPtrArray) none = g_ptr_array_new ();
  ZmPlugins *plugins;

  if (named[0] == NULL && sources[0] == NULL && !zm_durable_wanted (config))
    return;
  plugins = open_plugins (instance, config);
  zm_plugins_scan (plugins, ignored);
  zm_check_plugins (config, none, plugins, ignored);
  zm_plugins_free (plugins);
}

/* Layers and defaults as the daemon would have them; nothing is started. */
char *
zm_runtime_dump (const ZmRuntimeOptions *options, gboolean json, ZmProblems *problems, GError **error)
{
  g_autoptr (ZmInstance) instance = zm_instance_new (options->dir, error);
  g_autoptr (ZmConfig) config = instance != NULL ? zm_load_config (instance, options, problems) : NULL;

  if (config == NULL || zm_problems_errors (problems) > 0)
    return NULL;
  ask_for_secrets (instance, config);
  return zm_runtime_config_dump (instance, config, json);
}

char *
zm_runtime_setting (const ZmRuntimeOptions *options, const char *section, const char *key)
{
  g_autoptr (ZmInstance) instance = zm_instance_new (options->dir, NULL);
  g_autoptr (ZmProblems) ignored = zm_problems_new ();
  g_autoptr (ZmConfig) config = instance != NULL ? zm_load_config (instance, options, ignored) : NULL;

  return config != NULL ? g_strdup (zm_config_text (config, section, key)) : NULL;
}
