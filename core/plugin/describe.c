/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Takes a descriptor over: one of an older ABI is shorter than ours, one of a newer is longer. What rooms above see has
 * always this host's size, with zeros where the plugin has nothing; so they need no ZM_HAS.
 */
#include "config.h"

#include "plugin/zm-plugin-private.h"

#include <string.h>

/* Where the store's functions of the first version end: a store has all of them. */
#define STORE_1_1 (offsetof (zm_store_ops, figures) + sizeof (((zm_store_ops *) NULL)->figures))

#define MOST_LISTED 1024 /* actions or options of one plugin */

/* Copies what both sides know. FALSE: theirs is too short to be one at all. */
static gboolean
adopt_struct (void *ours, gsize ours_size, const void *theirs, gsize least)
{
  guint32 size;

  memcpy (&size, theirs, sizeof size);
  if (size < least)
    return FALSE;
  memcpy (ours, theirs, MIN (size, ours_size));
  memcpy (ours, &(guint32){ (guint32) ours_size }, sizeof (guint32));
  return TRUE;
}

/* A table without its end is found by a type that there is not, or by its length; what lies behind it is foreign
 * memory. */
static gboolean
check_options (const zm_option_desc *options, GError **error)
{
  for (guint i = 0; options != NULL && options[i].name != NULL; i++) {
    if (i == MOST_LISTED || options[i].type > ZM_OPTION_SIZE) {
      g_set_error (error, ZM_ERROR, ZM_ERROR_PLUGIN,
                   "its options table is damaged at entry %u (does it end in {NULL}?)", i);
      return FALSE;
    }
  }
  return TRUE;
}

/* An action may stand in the note and in the descriptor: the descriptor's function counts, and either may say
 * THREADSAFE. */
static void
add_action (ZmGeneration *generation, const char *symbol, zm_action_fn fn, gboolean threadsafe)
{
  ZmAction *action = g_hash_table_lookup (generation->action_names, symbol);

  if (action == NULL) {
    action = g_new0 (ZmAction, 1);
    action->generation = generation;
    action->plugin = generation->plugin;
    action->symbol = g_strdup (symbol);
    g_ptr_array_add (generation->actions, action);
    g_hash_table_insert (generation->action_names, (char *) action->symbol, action);
  }
  action->fn = fn;
  action->threadsafe |= threadsafe || (generation->flags & ZM_PLUGIN_THREADSAFE);
}

/* Those of its notes: exported, and its own. */
static gboolean
adopt_noted (ZmGeneration *generation, GError **error)
{
  const ZmManifest *manifest = generation->manifest;

  for (guint i = 0; manifest->actions[i] != NULL; i++) {
    void *fn = zm_library_symbol (&generation->library, manifest->actions[i], error);

    if (fn == NULL) {
      g_prefix_error (error, "action '%s' cannot be used: ", manifest->actions[i]);
      return FALSE;
    }
    add_action (generation, manifest->actions[i], (zm_action_fn) fn, manifest->threadsafe[i]);
  }
  return TRUE;
}

/* Those of its descriptor: any function of its own, exported or not. */
static gboolean
adopt_listed (ZmGeneration *generation, const zm_action_desc *listed, GError **error)
{
  for (guint i = 0; listed != NULL && listed[i].name != NULL; i++) {
    if (i == MOST_LISTED) {
      g_set_error (error, ZM_ERROR, ZM_ERROR_PLUGIN,
                   "its list of actions does not end; close it with {NULL}");
      return FALSE;
    }
    if (!zm_manifest_check_action (listed[i].name, error))
      return FALSE;
    if (!zm_library_owns (&generation->library, (const void *) listed[i].fn)) {
      g_set_error (error, ZM_ERROR, ZM_ERROR_REFUSED, "its action '%s' is a function of another library",
                   listed[i].name);
      return FALSE;
    }
    add_action (generation, listed[i].name, listed[i].fn, (listed[i].flags & ZM_ACTION_THREADSAFE_FLAG) != 0);
  }
  return TRUE;
}

/* The copies are the generation's, as the plugin's own tables may be shorter than what the host calls. */
static gboolean
adopt_interfaces (ZmGeneration *generation, GError **error)
{
  zm_plugin_desc *ours = &generation->descriptor;

  if (ours->source != NULL) {
    if (!adopt_struct (&generation->source, sizeof generation->source, ours->source,
                       sizeof (zm_source_ops))) {
      g_set_error (error, ZM_ERROR, ZM_ERROR_ABI,
                   "its source functions are of an unknown size; build it again");
      return FALSE;
    }
    ours->source = &generation->source;
    if (ours->source->open == NULL || ours->source->run == NULL || ours->source->wake == NULL ||
        ours->source->close == NULL) {
      g_set_error (error, ZM_ERROR, ZM_ERROR_PLUGIN, "its source needs all of open, run, wake and close");
      return FALSE;
    }
  }
  if (ours->hooks != NULL) {
    if (!adopt_struct (&generation->hooks, sizeof generation->hooks, ours->hooks, 2 * sizeof (guint32))) {
      g_set_error (error, ZM_ERROR, ZM_ERROR_ABI,
                   "its hook functions are of an unknown size; build it again");
      return FALSE;
    }
    ours->hooks = &generation->hooks;
  }
  return TRUE;
}

/* check and backup may be missing; a store without the others is none. */
static gboolean
adopt_store (ZmGeneration *generation, GError **error)
{
  const char *kind = generation->manifest->kind;
  zm_plugin_desc *ours = &generation->descriptor;
  const zm_store_ops *store = &generation->store;
  const char *why = NULL;

  if ((ours->store != NULL) != (strcmp (kind, "store") == 0))
    why = ours->store != NULL ? "it has store functions, and its note does not say kind=store"
                              : "its note says kind=store, and its descriptor has no store functions";
  else if (ours->store == NULL)
    return TRUE;
  else if (!adopt_struct (&generation->store, sizeof generation->store, ours->store, STORE_1_1))
    why = "its store functions are of an unknown size; build it again";
  else if (store->open == NULL || store->close == NULL || store->write == NULL || store->recover == NULL ||
           store->reader_open == NULL || store->reader_close == NULL || store->read == NULL ||
           store->documents == NULL || store->last == NULL || store->figures == NULL)
    why = "its store needs all functions but check and backup";
  if (why != NULL) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_PLUGIN, "%s", why);
    return FALSE;
  }
  ours->store = &generation->store;
  return TRUE;
}

/* Until it returns TRUE nothing of the plugin is called but its query function. */
gboolean
zm_descriptor_adopt (ZmGeneration *generation, const zm_plugin_desc *theirs, GError **error)
{
  if (theirs == NULL) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_PLUGIN, "its query function gave no descriptor");
    return FALSE;
  }
  if (!adopt_struct (&generation->descriptor, sizeof generation->descriptor, theirs,
                     offsetof (zm_plugin_desc, actions))) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_ABI,
                 "its descriptor says that it has %u bytes, too few; build it again", theirs->struct_size);
    return FALSE;
  }
  generation->flags = generation->descriptor.flags;
  return check_options (generation->descriptor.options, error) && adopt_interfaces (generation, error) &&
         adopt_store (generation, error) && adopt_noted (generation, error) &&
         adopt_listed (generation, generation->descriptor.actions, error);
}
