/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What sections of the configuration say about mappings, plugins and sources: [action KEY], [plugin NAME], [source NAME]. */
#include "config.h"

#include "runtime/private.h"

#include "base/zm-codes.h"
#include "plugin/zm-carrier.h"
#include "plugin/zm-event.h"

#include <string.h>

/* ---- [action KEY] ---- */

/* A section about a key that nothing has is most likely a slip of the pen; it harms nobody, so it is a warning. Where
 * the section has several values, the first known one gives its place. */
static void
warn_unmapped (const ZmConfig *config, const char *section, const char *key, const GPtrArray *mappings,
               ZmProblems *problems)
{
  g_autoptr (GPtrArray) keys = g_ptr_array_new ();
  g_autofree char *todo = NULL;
  const char *near_one, *file = NULL;
  guint line = 0, column = 0;

  for (guint i = 0; i < mappings->len; i++)
    g_ptr_array_add (keys, ((const ZmMapping *) mappings->pdata[i])->key_text);
  g_ptr_array_add (keys, NULL);
  near_one = zm_suggest (key, (const char *const *) keys->pdata);
  todo = near_one != NULL ? g_strdup_printf ("did you mean [action %s]?", near_one) : NULL;
  if (!zm_config_place (config, section, "timeout", &file, &line, &column) &&
      !zm_config_place (config, section, "ordering", &file, &line, &column) &&
      !zm_config_place (config, section, "retries", &file, &line, &column))
    zm_config_place (config, section, "isolation", &file, &line, &column);
  zm_problems_add (problems, ZM_PROBLEM_WARNING, ZM_CODE_OPTIONS_WITHOUT_MAPPING, file, line, column,
                   "a key that a mapping has", todo != NULL ? todo : "correct the key, or add a mapping",
                   "[action %s] is about a key that no mapping file has", key);
}

/* What is wrong with it was said when the configuration was checked. */
static void
apply_retries (ZmMapping *mapping, const char *text)
{
  gint64 retries = -1;

  if (*text == '{' || zm_parse_integer (text, 0, G_MAXINT32, &retries, NULL))
    zm_mapping_set_retries (mapping, retries, *text == '{' ? text : NULL);
}

/* What stands in the configuration is the operator's and wins against the mapping file, which may be the plugin
 * author's. Mappings are compared by key, not by text: two texts can be one key. */
void
zm_load_apply_actions (const ZmConfig *config, GPtrArray *mappings, ZmProblems *problems)
{
  g_auto (GStrv) names = zm_config_names (config, "action");

  zm_sends_check_mappings (mappings, problems);
  for (char **name = names; *name != NULL; name++) {
    g_autofree char *section = g_strconcat ("action ", *name, NULL);
    const char *retries = zm_config_text (config, section, "retries");
    const char *ordering = zm_config_text (config, section, "ordering");
    const char *isolation = zm_config_text (config, section, "isolation");
    gboolean used = FALSE;
    ZmKey key;

    for (guint i = 0; i < mappings->len && zm_key_parse (zm_span_text (*name), &key, NULL, NULL); i++) {
      ZmMapping *mapping = g_ptr_array_index (mappings, i);

      if (!zm_key_equal (&mapping->key, &key))
        continue;
      used = TRUE;
      if (zm_config_text (config, section, "timeout") != NULL)
        mapping->timeout_ms = zm_config_integer (config, section, "timeout");
      if (retries != NULL)
        apply_retries (mapping, retries);
      if (isolation != NULL)
        zm_mapping_set_isolation (mapping, isolation);
      if (ordering != NULL)
        mapping->ordering = strcmp (ordering, "context") == 0 ? ZM_ORDERING_CONTEXT
                            : strcmp (ordering, "key") == 0   ? ZM_ORDERING_KEY
                                                              : ZM_ORDERING_NONE;
    }
    if (!used)
      warn_unmapped (config, section, *name, mappings, problems);
  }
}

/* ---- [plugin NAME], [source NAME] ---- */

const char *
zm_load_source_plugin (const ZmConfig *config, const char *name)
{
  g_autofree char *section = g_strconcat ("source ", name, NULL);
  const char *plugin = zm_config_text (config, section, "plugin");

  return plugin != NULL ? plugin : name;
}

/* A plugin that is loaded was checked then; one that is kept with a changed section is checked here, before its reload
 * is called with what stands there. */
void
zm_load_check_kept (const ZmConfig *config, ZmPluginSet *set, ZmProblems *problems)
{
  const GPtrArray *kept = zm_plugin_set_reloads (set);

  for (guint i = 0; kept != NULL && i < kept->len; i++) {
    const zm_plugin_desc *desc = zm_generation_descriptor (kept->pdata[i]);
    g_autofree char *section = g_strconcat ("plugin ", zm_generation_plugin (kept->pdata[i]), NULL);

    zm_config_check_options (config, section, ZM_HAS (desc, options) ? desc->options : NULL, problems);
  }
}

/* Does some mapping want a copy of it in a host? That one has these settings. */
static gboolean
runs_elsewhere (const GPtrArray *mappings, const char *plugin)
{
  for (guint i = 0; i < mappings->len; i++) {
    const ZmMapping *mapping = g_ptr_array_index (mappings, i);

    if (g_strcmp0 (mapping->plugin, plugin) == 0 && mapping->isolation != NULL &&
        strcmp (mapping->isolation, "thread") != 0)
      return TRUE;
  }
  return FALSE;
}

void
zm_load_check_limits (const ZmConfig *config, const GPtrArray *mappings, ZmPlugins *plugins,
                      ZmProblems *problems)
{
  g_auto (GStrv) names = zm_config_names (config, "plugin");

  for (char **name = names; *name != NULL; name++) {
    const ZmPluginFile *file = zm_plugins_file (plugins, *name);

    if (file != NULL && file->manifest != NULL && !runs_elsewhere (mappings, *name))
      zm_placement_warn_limits (plugins, config, file, problems);
  }
}

void
zm_load_check_source_key (const ZmConfig *config, const char *name, ZmProblems *problems)
{
  g_autofree char *section = g_strconcat ("source ", name, NULL);
  const char *key = zm_config_text (config, section, "key");
  g_autoptr (GError) error = NULL;
  const char *file;
  guint line, column;
  ZmKey parsed;

  if (key == NULL || zm_key_parse (zm_span_text (key), &parsed, NULL, &error))
    return;
  zm_config_place (config, section, "key", &file, &line, &column);
  zm_problems_add (problems, ZM_PROBLEM_ERROR, ZM_CODE_BAD_KEY, file, line, column,
                   "Sender?Context@Decorator?Action", "correct the key", "[%s] key: %s", section,
                   error->message);
}

void
zm_load_check_source_queue (const ZmConfig *config, const char *name, ZmProblems *problems)
{
  g_autofree char *section = g_strconcat ("source ", name, NULL);
  const char *queue = zm_config_text (config, section, "queue");
  gboolean stored = g_strcmp0 (zm_config_text (config, "store", "driver"), "none") != 0;
  const char *file;
  guint line, column;

  if (queue == NULL || (stored && zm_queue_name_check (queue)))
    return;
  zm_config_place (config, section, "queue", &file, &line, &column);
  if (stored)
    zm_problems_add (problems, ZM_PROBLEM_ERROR, ZM_CODE_BAD_NAME, file, line, column,
                     "1 to 64 of letters, digits, _ - and .", "correct the name",
                     "[%s] queue: \"%s\" is no queue's name", section, queue);
  else
    zm_problems_add (problems, ZM_PROBLEM_ERROR, ZM_CODE_BAD_NAME, file, line, column, "a store",
                     "set [store] driver=, or take queue= away",
                     "[%s] queue: there are no queues, as [store] driver is none", section);
}

void
zm_load_wrong_kind (const ZmConfig *config, const char *name, const char *plugin, const char *kind,
                    gboolean placed, ZmProblems *problems)
{
  g_autofree char *section = g_strconcat ("source ", name, NULL);
  const char *file = NULL;
  guint line = 0, column = 0;

  if (placed)
    zm_config_place (config, section, "plugin", &file, &line, &column);
  zm_problems_add (
      problems, ZM_PROBLEM_ERROR, ZM_CODE_WRONG_KIND, file, line, column, "a plugin that takes events in",
      "name another one with plugin=", "[%s]: plugin \"%s\" is a %s, no source", section, plugin, kind);
}

/* A [source NAME] needs a plugin that can take events in, options that its schema knows, and a key that is one; where it is
 * not one, the others go on. A plugin that is not there was told when the set was prepared. */
void
zm_load_check_sources (const ZmConfig *config, ZmPluginSet *set, ZmProblems *problems)
{
  g_auto (GStrv) names = zm_config_names (config, "source");

  for (char **name = names; *name != NULL; name++) {
    const char *plugin = zm_load_source_plugin (config, *name);
    ZmGeneration *generation = zm_plugin_set_find (set, plugin);
    const zm_plugin_desc *desc = generation ? zm_generation_descriptor (generation) : NULL;
    g_autofree char *section = g_strconcat ("source ", *name, NULL);

    if (desc != NULL && !ZM_HAS (desc, source))
      zm_load_wrong_kind (config, *name, plugin, zm_generation_manifest (generation)->kind, FALSE, problems);
    else if (desc != NULL)
      zm_config_check_options (config, section, ZM_HAS (desc, options) ? desc->options : NULL, problems);
    zm_load_check_source_key (config, *name, problems);
    zm_load_check_source_queue (config, *name, problems);
  }
}
