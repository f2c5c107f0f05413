/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What --check finds about plugins, in the words of the daemon. Names, kinds and most actions stand in the notes of their
 * files. Options do not, nor do actions that only the descriptor lists: these are asked of the library in a process of its
 * own, as the daemon asks it before it loads one.
 */
#include "config.h"

#include "runtime/check.h"
#include "runtime/private.h"

#include "base/zm-codes.h"
#include "plugin/zm-carrier.h"

#include <string.h>

#define ASK_MS  10000   /* what a library may take to tell */
#define MOST_US 3000000 /* and all together that have no section, as nobody said that they have options */

/* One check. */
typedef struct Check {
  const ZmConfig *config;
  ZmPlugins *plugins;
  ZmProblems *problems;
  char *probe;       /* the program; NULL: there is none */
  gint64 spent_us;   /* on those without a section */
  GHashTable *asked; /* borrowed name of a plugin -> its ZmDescription, NULL where it did not tell */
} Check;

/* A plugin that does not tell is reported once; NULL. */
static const ZmDescription *
describe (Check *check, const ZmPluginFile *file)
{
  g_autoptr (GError) error = NULL;
  gpointer description = NULL;

  if (g_hash_table_lookup_extended (check->asked, file->name, NULL, &description))
    return description;
  if (check->probe != NULL)
    description = zm_description_ask (check->probe, file->path, ASK_MS, &error);
  else
    g_set_error (&error, ZM_ERROR, ZM_ERROR_IO, "zmanager-probe is not installed");
  g_hash_table_insert (check->asked, file->name, description);
  if (description == NULL && error->code == ZM_ERROR_IO)
    zm_problems_add (check->problems, ZM_PROBLEM_WARNING, ZM_CODE_PROBE_FAILED, file->path, 0, 0, NULL,
                     "install it, or see what the daemon says",
                     "plugin '%s': its options are not checked: %s", file->name, error->message);
  else if (description == NULL)
    zm_problems_add (check->problems, ZM_PROBLEM_ERROR, ZM_CODE_PLUGIN_REFUSED, file->path, 0, 0, NULL, NULL,
                     "plugin '%s': %s", file->name, error->message);
  return description;
}

/* What to do about a plugin that is not there; NULL: the text says it. */
static const char *
cure (const ZmPluginFile *file, const char *said)
{
  return file == NULL && strstr (said, "did you mean") == NULL ? "put its .so there, or correct the name"
                                                               : NULL;
}

/* ---- mappings ---- */

static gboolean
action_is_there (Check *check, const ZmMapping *mapping, const ZmPluginFile *file, GError **error)
{
  const ZmDescription *description;

  if (zm_plugins_check_action (check->plugins, mapping->plugin, mapping->symbol, error))
    return TRUE;
  description = file != NULL && file->manifest != NULL ? describe (check, file) : NULL;
  return description != NULL && g_strv_contains (description->actions, mapping->symbol);
}

/* isolation of a mapping makes a second copy of its plugin, which not each can have. */
static void
check_variant (Check *check, const ZmMapping *mapping, const ZmPluginFile *file)
{
  const ZmDescription *description = mapping->isolation != NULL ? describe (check, file) : NULL;
  g_autoptr (GError) error = NULL;

  if (description == NULL || zm_placement_check_mapped (check->plugins, check->config, file, description,
                                                        mapping->isolation, &error))
    return;
  zm_problems_add (check->problems, ZM_PROBLEM_ERROR, ZM_CODE_NO_VARIANT, mapping->file, mapping->line,
                   mapping->column, NULL, NULL, "\"%s\": %s", mapping->key_text, error->message);
}

static void
check_mapping (Check *check, const ZmMapping *mapping)
{
  const ZmPluginFile *file = zm_plugins_file (check->plugins, mapping->plugin);
  g_autoptr (GError) error = NULL;

  if (action_is_there (check, mapping, file, &error)) {
    check_variant (check, mapping, file);
    return;
  }
  zm_problems_add (check->problems, ZM_PROBLEM_ERROR,
                   file == NULL             ? ZM_CODE_UNKNOWN_PLUGIN
                   : file->manifest == NULL ? ZM_CODE_PLUGIN_REFUSED
                                            : ZM_CODE_UNKNOWN_SYMBOL,
                   mapping->file, mapping->line, mapping->column, NULL, cure (file, error->message),
                   "\"%s\": %s", mapping->key_text, error->message);
}

/* ---- sections ---- */

/* Is the plugin of this section there? key: the one that names it, for the place. */
static gboolean
check_named (const ZmConfig *config, ZmPlugins *plugins, const char *section, const char *key,
             const char *plugin, ZmSeverity severity, ZmProblems *problems)
{
  const ZmPluginFile *file = zm_plugins_file (plugins, plugin);
  g_autoptr (GError) error = NULL;
  const char *path;
  guint line, column;

  if (zm_plugins_check_name (plugins, plugin, &error))
    return TRUE;
  zm_config_place (config, section, key, &path, &line, &column);
  zm_problems_add (problems, severity, file == NULL ? ZM_CODE_UNKNOWN_PLUGIN : ZM_CODE_PLUGIN_REFUSED, path,
                   line, column, NULL, cure (file, error->message), "[%s]: %s", section, error->message);
  return FALSE;
}

void
zm_check_sections (const ZmConfig *config, ZmPlugins *plugins, const char *const *wanted,
                   ZmProblems *problems)
{
  g_auto (GStrv) named = zm_config_names (config, "plugin");

  for (char **name = named; *name != NULL; name++) {
    g_autofree char *section = g_strconcat ("plugin ", *name, NULL);

    if (!g_strv_contains (wanted, *name))
      check_named (config, plugins, section, "load", *name, ZM_PROBLEM_WARNING, problems);
  }
}

static void
check_own_keys (Check *check, const char *section, const char *plugin)
{
  const ZmDescription *description = describe (check, zm_plugins_file (check->plugins, plugin));

  if (description != NULL)
    zm_config_check_options (check->config, section, description->options, check->problems);
}

/* What it is and where it is to run may not go together. */
static void
check_place (Check *check, const char *plugin)
{
  const ZmPluginFile *file = zm_plugins_file (check->plugins, plugin);
  const ZmDescription *description = describe (check, file);

  if (description != NULL)
    zm_placement_check (check->plugins, check->config, file, description, check->problems);
}

/* An option that is required may be missing also where nobody wrote a section: the daemon would refuse the plugin. */
static void
check_without_section (Check *check, const char *plugin)
{
  const ZmPluginFile *file = zm_plugins_file (check->plugins, plugin);
  g_autofree char *section = g_strconcat ("plugin ", plugin, NULL);
  gint64 begun = zm_now_us ();

  if (file == NULL || file->manifest == NULL || check->probe == NULL || check->spent_us >= MOST_US ||
      g_strcmp0 (file->manifest->kind, "source") == 0)
    return;
  check_own_keys (check, section, plugin);
  check_place (check, plugin);
  check->spent_us += zm_now_us () - begun;
}

static void
check_source (Check *check, const char *name)
{
  const char *plugin = zm_load_source_plugin (check->config, name);
  g_autofree char *section = g_strconcat ("source ", name, NULL);
  const ZmPluginFile *file;

  zm_load_check_source_key (check->config, name, check->problems);
  zm_load_check_source_queue (check->config, name, check->problems);
  if (!check_named (check->config, check->plugins, section, "plugin", plugin, ZM_PROBLEM_ERROR,
                    check->problems))
    return;
  file = zm_plugins_file (check->plugins, plugin);
  if (g_strcmp0 (file->manifest->kind, "source") == 0)
    check_own_keys (check, section, plugin);
  else
    zm_load_wrong_kind (check->config, name, plugin, file->manifest->kind, TRUE, check->problems);
}

static void
check_store (Check *check)
{
  const char *driver = zm_durable_wanted (check->config) ? zm_durable_driver (check->config) : NULL;
  const ZmPluginFile *file;

  if (driver == NULL || !check_named (check->config, check->plugins, "store", "driver", driver,
                                      ZM_PROBLEM_ERROR, check->problems))
    return;
  file = zm_plugins_file (check->plugins, driver);
  zm_durable_check_file (check->config, check->plugins, describe (check, file), check->problems);
}

static void
check_plugin (Check *check, const char *name)
{
  g_autofree char *section = g_strconcat ("plugin ", name, NULL);

  if (!check_named (check->config, check->plugins, section, "load", name, ZM_PROBLEM_ERROR, check->problems))
    return;
  check_own_keys (check, section, name);
  check_place (check, name);
}

/* ---- all ---- */

void
zm_check_plugins (const ZmConfig *config, const GPtrArray *mappings, ZmPlugins *plugins, ZmProblems *problems)
{
  g_auto (GStrv) sources = zm_config_names (config, "source");
  g_auto (GStrv) named = zm_config_names (config, "plugin");
  g_autofree char *probe = zm_plugins_find_probe ();
  g_autoptr (GHashTable) asked =
      g_hash_table_new_full (g_str_hash, g_str_equal, NULL, (GDestroyNotify) zm_description_free);
  Check check = { config, plugins, problems, probe, 0, asked };
  g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);

  for (guint i = 0; i < mappings->len; i++)
    if (((const ZmMapping *) mappings->pdata[i])->plugin != NULL)
      check_mapping (&check, mappings->pdata[i]);
  for (char **name = sources; *name != NULL; name++)
    check_source (&check, *name);
  check_store (&check);
  for (char **name = named; *name != NULL; name++)
    check_plugin (&check, *name);
  zm_load_check_limits (config, mappings, plugins, problems);
  for (guint i = 0; i < mappings->len; i++) {
    char *plugin = ((const ZmMapping *) mappings->pdata[i])->plugin;

    if (plugin != NULL && !g_strv_contains ((const char *const *) named, plugin) &&
        g_hash_table_add (seen, plugin))
      check_without_section (&check, plugin);
  }
}
