/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Ways to choose from a set: an action by name, one plugin (driver), those named in an order, those that a predicate lets
 * through, all that listen (hooks).
 */
#include "config.h"

#include "plugin/zm-plugin-private.h"

#include <string.h>

static char *
did_you_mean (const char *word, GPtrArray *candidates)
{
  const char *like;

  g_ptr_array_add (candidates, NULL);
  like = zm_suggest (word, (const char *const *) candidates->pdata);
  return like != NULL ? g_strdup_printf ("; did you mean '%s'?", like) : g_strdup ("");
}

/* candidates: borrowed names of those that there are. */
static void
no_such_plugin (const char *plugin, GPtrArray *candidates, GError **error)
{
  g_autofree char *hint = did_you_mean (plugin, candidates);

  g_set_error (error, ZM_ERROR, ZM_ERROR_NOT_FOUND, "plugin '%s' is not in the plugin path%s", plugin, hint);
}

static void
no_such_action (const char *plugin, const char *symbol, GPtrArray *candidates, GError **error)
{
  g_autofree char *hint = did_you_mean (symbol, candidates);

  g_set_error (error, ZM_ERROR, ZM_ERROR_NOT_FOUND,
               "plugin '%s' has no action '%s'%s (an action is defined in the plugin itself with ZM_ACTION)",
               plugin, symbol, hint);
}

static void
not_loaded (const char *plugin, const char *why, GError **error)
{
  g_set_error (error, ZM_ERROR, ZM_ERROR_UNAVAILABLE, "plugin '%s' is not loaded: %s", plugin, why);
}

/* Known and not here is another thing than not there at all: the first has a reason, the second at best a likely name. */
static void
unknown_plugin (ZmPluginSet *set, const char *plugin, GError **error)
{
  const char *why = g_hash_table_lookup (set->reasons, plugin);
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  GHashTableIter each;
  gpointer name;

  if (why != NULL && !g_str_has_suffix (why, "is not in the plugin path")) {
    not_loaded (plugin, why, error);
    return;
  }
  g_hash_table_iter_init (&each, set->by_name);
  while (g_hash_table_iter_next (&each, &name, NULL))
    g_ptr_array_add (names, name);
  g_hash_table_iter_init (&each, set->reasons);
  while (g_hash_table_iter_next (&each, &name, NULL))
    if (strcmp (name, plugin) != 0)
      g_ptr_array_add (names, name);
  no_such_plugin (plugin, names, error);
}

static void
unknown_action (ZmGeneration *generation, const char *symbol, GError **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();

  for (guint i = 0; i < generation->actions->len; i++)
    g_ptr_array_add (names,
                     (gpointer) ((const ZmAction *) g_ptr_array_index (generation->actions, i))->symbol);
  no_such_action (generation->plugin, symbol, names, error);
}

/* Nothing is loaded here, so a file counts as there once its note was good. */
gboolean
zm_plugins_check_name (ZmPlugins *plugins, const char *plugin, GError **error)
{
  const ZmPluginFile *file = zm_plugins_file (plugins, plugin);
  g_autoptr (GPtrArray) names = NULL;
  g_autofree char *why = NULL;

  if (file != NULL && file->manifest != NULL)
    return TRUE;
  if (file != NULL) {
    why = g_strdup_printf ("refused: %s", file->error);
    not_loaded (plugin, why, error);
    return FALSE;
  }
  names = g_ptr_array_new ();
  for (guint i = 0; i < plugins->files->len; i++)
    g_ptr_array_add (names, ((const ZmPluginFile *) g_ptr_array_index (plugins->files, i))->name);
  no_such_plugin (plugin, names, error);
  return FALSE;
}

gboolean
zm_plugins_check_action (ZmPlugins *plugins, const char *plugin, const char *symbol, GError **error)
{
  const ZmPluginFile *file = zm_plugins_file (plugins, plugin);
  g_autoptr (GPtrArray) names = NULL;

  if (!zm_plugins_check_name (plugins, plugin, error))
    return FALSE;
  if (g_strv_contains ((const char *const *) file->manifest->actions, symbol))
    return TRUE;
  names = g_ptr_array_new ();
  for (char **action = file->manifest->actions; *action != NULL; action++)
    g_ptr_array_add (names, *action);
  no_such_action (plugin, symbol, names, error);
  return FALSE;
}

/* At load only: the table keeps the pointer, so that no message looks a name up. */
const ZmAction *
zm_plugin_set_action (ZmPluginSet *set, const char *plugin, const char *symbol, GError **error)
{
  ZmGeneration *generation = zm_plugin_set_find (set, plugin);
  const ZmAction *action;

  if (generation == NULL) {
    unknown_plugin (set, plugin, error);
    return NULL;
  }
  action = zm_generation_action (generation, symbol);
  if (action == NULL)
    unknown_action (generation, symbol, error);
  return action;
}

/* The plugin's own one where it runs so, or goes on in its old place because a new one failed. */
static const char *
name_at (ZmPluginSet *set, const char *plugin, const char *isolation, const char *variant)
{
  const ZmGeneration *own = zm_plugin_set_find (set, plugin);

  if (zm_plugin_set_find (set, variant) != NULL || g_hash_table_contains (set->reasons, variant))
    return variant;
  if (own != NULL && strcmp (zm_isolation_name (own->placement.isolation), isolation) != 0 &&
      !g_hash_table_contains (set->reasons, plugin))
    return variant;
  return plugin;
}

const ZmAction *
zm_plugin_set_action_at (ZmPluginSet *set, const char *plugin, const char *isolation, const char *symbol,
                         GError **error)
{
  g_autofree char *variant = isolation != NULL ? zm_plugin_variant_name (plugin, isolation) : NULL;
  const char *single = variant != NULL ? g_hash_table_lookup (set->single, variant) : NULL;

  if (single != NULL) {
    g_set_error_literal (error, ZM_ERROR, ZM_ERROR_REFUSED, single);
    return NULL;
  }
  return zm_plugin_set_action (set, variant != NULL ? name_at (set, plugin, isolation, variant) : plugin,
                               symbol, error);
}

ZmGeneration *
zm_plugin_set_find (ZmPluginSet *set, const char *name)
{
  return g_hash_table_lookup (set->by_name, name);
}

guint
zm_plugin_set_size (ZmPluginSet *set)
{
  return set->order->len;
}

ZmGeneration *
zm_plugin_set_nth (ZmPluginSet *set, guint index)
{
  return index < set->order->len ? g_ptr_array_index (set->order, index) : NULL;
}

const GPtrArray *
zm_plugin_set_reloads (ZmPluginSet *set)
{
  return set->reloads;
}

GPtrArray *
zm_plugin_set_named (ZmPluginSet *set, const char *const *names, ZmPluginMissing missing, gpointer user)
{
  GPtrArray *found = g_ptr_array_new ();

  for (guint i = 0; names[i] != NULL; i++) {
    ZmGeneration *generation = zm_plugin_set_find (set, names[i]);

    if (generation != NULL)
      g_ptr_array_add (found, generation);
    else if (missing != NULL)
      missing (names[i], user);
  }
  return found;
}

GPtrArray *
zm_plugin_set_enabled (ZmPluginSet *set, ZmPluginPredicate predicate, gpointer user)
{
  GPtrArray *found = g_ptr_array_new ();

  for (guint i = 0; i < set->order->len; i++)
    if (predicate (g_ptr_array_index (set->order, i), user))
      g_ptr_array_add (found, g_ptr_array_index (set->order, i));
  return found;
}

static gboolean
has_hooks (ZmGeneration *generation, gpointer user)
{
  (void) user;
  return generation->descriptor.hooks != NULL;
}

static int
compare_priority (gconstpointer a, gconstpointer b)
{
  const ZmGeneration *left = *(ZmGeneration *const *) a;
  const ZmGeneration *right = *(ZmGeneration *const *) b;

  if (left->priority != right->priority)
    return left->priority < right->priority ? -1 : 1;
  return strcmp (left->name, right->name);
}

GPtrArray *
zm_plugin_set_hooks (ZmPluginSet *set)
{
  GPtrArray *hooks = zm_plugin_set_enabled (set, has_hooks, NULL);

  g_ptr_array_sort (hooks, compare_priority);
  return hooks;
}
