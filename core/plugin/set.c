/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A set: the immutable snapshot of generations that a routing table holds. It is filled while it is prepared, by the
 * runtime's thread; from the commit on any thread reads it, and the last reference takes it down.
 */
#include "config.h"

#include "plugin/zm-plugin-private.h"

ZmPluginSet *
zm_set_new (ZmConfig *config)
{
  ZmPluginSet *set = g_new0 (ZmPluginSet, 1);

  atomic_init (&set->references, 1);
  set->order = g_ptr_array_new ();
  set->by_name = g_hash_table_new (g_str_hash, g_str_equal);
  set->reasons = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  set->single = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  set->fresh = g_ptr_array_new ();
  set->paused = g_ptr_array_new ();
  set->reloads = g_ptr_array_new ();
  set->config = config != NULL ? zm_config_ref (config) : NULL;
  return set;
}

ZmPluginSet *
zm_plugin_set_ref (ZmPluginSet *set)
{
  atomic_fetch_add (&set->references, 1);
  return set;
}

/* The last one may be dropped by any thread, with the table that held the set. The generations go to the reaper, if
 * they are retired: no plugin's code runs here. */
void
zm_plugin_set_unref (ZmPluginSet *set)
{
  if (set == NULL || atomic_fetch_sub (&set->references, 1) != 1)
    return;
  g_hash_table_unref (set->by_name);
  for (guint i = 0; i < set->order->len; i++)
    zm_generation_unref (g_ptr_array_index (set->order, i), "table");
  g_ptr_array_unref (set->order);
  g_hash_table_unref (set->reasons);
  g_hash_table_unref (set->single);
  g_ptr_array_unref (set->fresh);
  g_ptr_array_unref (set->paused);
  g_ptr_array_unref (set->reloads);
  g_clear_pointer (&set->config, zm_config_unref);
  g_free (set);
}

/* Takes the reference. */
void
zm_set_add (ZmPluginSet *set, ZmGeneration *generation)
{
  g_ptr_array_add (set->order, generation);
  g_hash_table_insert (set->by_name, generation->name, generation);
}

/* Keeps the running one, and what it depends on. */
void
zm_set_keep (ZmPluginSet *set, ZmPluginSet *current, ZmGeneration *old)
{
  if (g_hash_table_contains (set->by_name, old->name))
    return;
  for (char **need = old->manifest->depends; *need != NULL; need++) {
    ZmGeneration *needed = zm_plugin_set_find (current, *need);

    /* Dependencies come earlier in the order, so that this ends. */
    if (needed != NULL && needed != old)
      zm_set_keep (set, current, needed);
  }
  zm_set_add (set, zm_generation_ref (old, "table"));
}
