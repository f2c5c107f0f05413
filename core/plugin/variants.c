/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Variants: a mapping may want its plugin in another place than the plugin has. Then a second generation of the same file, with
 * the same section, runs there, and is called by both: "hello@private". No plugin's own name has an '@'.
 */
#include "config.h"

#include "plugin/zm-plugin-private.h"

#include <string.h>

gboolean
zm_is_variant (const char *name)
{
  return strchr (name, '@') != NULL;
}

char *
zm_plugin_variant_name (const char *plugin, const char *isolation)
{
  return g_strconcat (plugin, "@", isolation, NULL);
}

char *
zm_variant_plugin (const char *name, const char **isolation)
{
  const char *at = strrchr (name, '@');
  ZmIsolation found;

  *isolation = NULL;
  if (at == NULL || !zm_isolation_parse (at + 1, &found))
    return g_strdup (name);
  *isolation = zm_isolation_name (found);
  return g_strndup (name, (gsize) (at - name));
}

const ZmPluginFile *
zm_plugins_file_of (ZmPlugins *plugins, const char *name)
{
  const char *isolation;
  g_autofree char *plugin = zm_variant_plugin (name, &isolation);

  return zm_plugins_file (plugins, plugin);
}

/* Does the plugin's own generation run so? Of one whose file is gone or refused the running one tells. */
static gboolean
own_place (ZmPlugins *plugins, const ZmConfig *config, const char *plugin, const char *isolation)
{
  const ZmPluginFile *file = zm_plugins_file (plugins, plugin);
  const ZmGeneration *own = plugins->current != NULL ? zm_plugin_set_find (plugins->current, plugin) : NULL;
  ZmPlacement placement = { .isolation = ZM_ISOLATION_THREAD };

  if (file != NULL && file->manifest != NULL)
    placement = zm_plugins_place (plugins, config, file, NULL);
  else if (own != NULL)
    placement = own->placement;
  return strcmp (zm_isolation_name (placement.isolation), isolation) == 0;
}

char **
zm_variants_needed (ZmPlugins *plugins, const ZmConfig *config, const char *const *wanted)
{
  g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);
  GPtrArray *out = g_ptr_array_new ();

  for (guint i = 0; wanted != NULL && wanted[i] != NULL; i++) {
    const char *isolation;
    g_autofree char *plugin = zm_variant_plugin (wanted[i], &isolation);
    gboolean own = isolation == NULL || own_place (plugins, config, plugin, isolation);
    char *name = own ? g_steal_pointer (&plugin) : g_strdup (wanted[i]);

    if (g_hash_table_add (seen, name))
      g_ptr_array_add (out, name);
    else
      g_free (name);
  }
  g_ptr_array_add (out, NULL);
  return (char **) g_ptr_array_free (out, FALSE);
}

gboolean
zm_plugin_set_has (ZmPluginSet *set, const char *plugin)
{
  for (guint i = 0; i < set->order->len; i++)
    if (strcmp (((const ZmGeneration *) g_ptr_array_index (set->order, i))->plugin, plugin) == 0)
      return TRUE;
  return FALSE;
}
