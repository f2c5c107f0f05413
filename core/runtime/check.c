/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * --check and --dump: read everything, start nothing. Plugins are judged by the notes in their files alone, so none of their
 * code runs.
 */
#include "config.h"

#include "runtime/private.h"

#include "base/zm-codes.h"
#include "runtime/commands.h"

/* A registry that only looks. */
static ZmPlugins *
open_plugins (const ZmInstance *instance, const ZmConfig *config)
{
  g_auto (GStrv) path = zm_instance_plugin_dirs (instance, zm_config_list (config, "zmanager", "plugin-path"),
                                                 zm_config_boolean (config, "zmanager", "system-plugins"));
  ZmPluginsConfig plugins = { .path = (const char *const *) path };

  return zm_plugins_new (&plugins);
}

/* ---- mappings against notes ---- */

static char *
did_you_mean (const char *word, const char *const *candidates)
{
  const char *near = zm_suggest (word, candidates);

  return near != NULL ? g_strdup_printf ("did you mean %s?", near) : NULL;
}

/* The nearest name among all files in the plugin path, as advice. NULL: none is near. The caller frees. */
static char *
suggest_plugin (const GPtrArray *files, const char *plugin)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();

  for (guint i = 0; i < files->len; i++)
    g_ptr_array_add (names, ((const ZmPluginFile *) files->pdata[i])->name);
  g_ptr_array_add (names, NULL);
  return did_you_mean (plugin, (const char *const *) names->pdata);
}

/* What the plugin's note says against this symbol, if anything. */
static void
check_symbol (const ZmMapping *mapping, const ZmPluginFile *file, ZmProblems *problems)
{
  g_autofree char *todo = NULL;

  if (file->manifest == NULL) {
    zm_problems_add (problems, ZM_PROBLEM_ERROR, ZM_CODE_PLUGIN_REFUSED, mapping->file, mapping->line,
                     mapping->column, NULL, NULL, "\"%s\": plugin %s is refused: %s", mapping->key_text,
                     mapping->plugin, file->error);
    return;
  }
  if (g_strv_contains ((const char *const *) file->manifest->actions, mapping->symbol))
    return;
  todo = did_you_mean (mapping->symbol, (const char *const *) file->manifest->actions);
  zm_problems_add (problems, ZM_PROBLEM_ERROR, ZM_CODE_UNKNOWN_SYMBOL, mapping->file, mapping->line,
                   mapping->column, "a symbol that the plugin marks with ZM_ACTION", todo,
                   "\"%s\": plugin %s (%s) has no action \"%s\"", mapping->key_text, mapping->plugin,
                   file->path, mapping->symbol);
}

/* Symbols are compared with what the plugin's note lists: the note is made by the same macro that exports the symbol. */
static void
check_mappings (const GPtrArray *mappings, ZmPlugins *plugins, const GPtrArray *files, ZmProblems *problems)
{
  for (guint i = 0; i < mappings->len; i++) {
    const ZmMapping *mapping = mappings->pdata[i];
    const ZmPluginFile *file = mapping->plugin ? zm_plugins_file (plugins, mapping->plugin) : NULL;
    g_autofree char *todo = NULL;

    if (mapping->plugin == NULL)
      continue;
    if (file != NULL) {
      check_symbol (mapping, file, problems);
      continue;
    }
    todo = suggest_plugin (files, mapping->plugin);
    zm_problems_add (problems, ZM_PROBLEM_ERROR, ZM_CODE_UNKNOWN_PLUGIN, mapping->file, mapping->line,
                     mapping->column, "the name of a plugin in the plugin path",
                     todo != NULL ? todo : "put its .so there, or correct the name",
                     "\"%s\": there is no plugin \"%s\"", mapping->key_text, mapping->plugin);
  }
}

/* ---- plugins that the configuration names ---- */

/* A plugin that a section names. The place is that of the key that says so, or the section's own. */
static void
check_named (const ZmConfig *config, const char *section, const char *key, const char *plugin,
             ZmPlugins *plugins, const GPtrArray *files, ZmProblems *problems)
{
  const ZmPluginFile *file = zm_plugins_file (plugins, plugin);
  const char *path = NULL;
  guint line = 0, column = 0;
  g_autofree char *todo = NULL;

  zm_config_place (config, section, key, &path, &line, &column);
  if (file == NULL) {
    todo = suggest_plugin (files, plugin);
    zm_problems_add (problems, ZM_PROBLEM_ERROR, ZM_CODE_UNKNOWN_PLUGIN, path, line, column,
                     "the name of a plugin in the plugin path", todo, "[%s]: there is no plugin \"%s\"",
                     section, plugin);
  } else if (file->manifest == NULL) {
    zm_problems_add (problems, ZM_PROBLEM_ERROR, ZM_CODE_PLUGIN_REFUSED, path, line, column, NULL, NULL,
                     "[%s]: plugin %s is refused: %s", section, plugin, file->error);
  } else if (g_str_has_prefix (section, "source ") && g_strcmp0 (file->manifest->kind, "source") != 0) {
    zm_problems_add (problems, ZM_PROBLEM_ERROR, ZM_CODE_WRONG_KIND, path, line, column,
                     "a plugin that takes events in", NULL, "[%s]: plugin %s is a %s, no source", section,
                     plugin, file->manifest->kind);
  }
}

/* Sections that name a plugin which is not there, is refused, or is of another kind. */
static void
check_sections (const ZmConfig *config, ZmPlugins *plugins, const GPtrArray *files, ZmProblems *problems)
{
  g_auto (GStrv) sources = zm_config_names (config, "source");
  g_auto (GStrv) named = zm_config_names (config, "plugin");

  for (char **name = sources; *name != NULL; name++) {
    g_autofree char *section = g_strconcat ("source ", *name, NULL);

    check_named (config, section, "plugin", zm_load_source_plugin (config, *name), plugins, files, problems);
  }
  for (char **name = named; *name != NULL; name++) {
    g_autofree char *section = g_strconcat ("plugin ", *name, NULL);

    check_named (config, section, "load", *name, plugins, files, problems);
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
  config = zm_load_config (instance, options, problems);
  plugins = open_plugins (instance, config);
  files = zm_plugins_scan (plugins, problems);
  zm_load_read_files (instance, files, NULL, mappings, flows, problems);
  check_mappings (mappings, plugins, files, problems);
  check_sections (config, plugins, files, problems);
  wanted = zm_load_wanted (config, mappings, NULL, NULL);
  zm_plugins_check_needs (plugins, (const char *const *) wanted, problems);
  zm_table_unref (zm_load_table (config, mappings, flows, NULL, problems));
  zm_plugins_free (plugins);
  return TRUE;
}

char *
zm_check_text (const ZmProblems *problems)
{
  g_autofree char *list = zm_problems_format (problems);

  return g_strdup_printf ("%s%s%u errors, %u warnings\n", list,
                          *list && !g_str_has_suffix (list, "\n") ? "\n" : "", zm_problems_errors (problems),
                          zm_problems_warnings (problems));
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

/* Layers and defaults as the daemon would have them; nothing is started, and no plugin is looked at. */
char *
zm_runtime_dump (const ZmRuntimeOptions *options, gboolean json, ZmProblems *problems, GError **error)
{
  g_autoptr (ZmInstance) instance = zm_instance_new (options->dir, error);
  g_autoptr (ZmConfig) config = instance != NULL ? zm_load_config (instance, options, problems) : NULL;

  if (config == NULL || zm_problems_errors (problems) > 0)
    return NULL;
  return zm_config_dump (config, json);
}
