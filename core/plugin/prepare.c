/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Prepare: makes a new set of plugins beside the current one. Until the commit nothing has changed for anybody, but for an
 * EXCLUSIVE plugin, which cannot run twice. One plugin's failure costs that plugin, and what needs it; where an older
 * generation of it runs, that goes on.
 */
#include "config.h"

#include "plugin/zm-plugin-private.h"

/* Do both say the same about this plugin? */
static gboolean
same_section (ZmConfig *before, ZmConfig *now, const char *section)
{
  g_auto (GStrv) old_keys = before != NULL ? zm_config_keys (before, section) : g_new0 (char *, 1);
  g_auto (GStrv) new_keys = now != NULL ? zm_config_keys (now, section) : g_new0 (char *, 1);

  if (g_strv_length (old_keys) != g_strv_length (new_keys))
    return FALSE;
  for (char **key = new_keys; *key != NULL; key++)
    if (!g_strv_contains ((const char *const *) old_keys, *key) ||
        !g_strv_equal (zm_config_list (before, section, *key), zm_config_list (now, section, *key)))
      return FALSE;
  return TRUE;
}

/* Unchanged text means that the running one can stay as it is: neither replaced nor told. */
static gboolean
same_config (const ZmGeneration *generation, ZmConfig *config)
{
  g_autofree char *section = g_strdup_printf ("plugin %s", generation->plugin);
  g_autoptr (ZmConfig) before = zm_generation_config_ref (generation);

  return same_section (before, config, section);
}

/* One prepare. */
typedef struct Preparation {
  ZmPlugins *plugins;
  ZmPluginSet *set;
  ZmConfig *config;
  const char *const *again;
  ZmProblems *problems;
} Preparation;

/* Is it to be loaded anew whether or not it changed? Whoever asks for a plugin asks for its variants, too. */
static gboolean
asked_again (const Preparation *preparation, const ZmWish *wish)
{
  return preparation->again != NULL && (g_strv_contains (preparation->again, wish->name) ||
                                        g_strv_contains (preparation->again, wish->scanned->file.name));
}

/* Three readers: problems for this load, reasons for whoever asks the set for an action, failures for `plugin ls` until
 * a later load succeeds. */
static void
tell_failure (Preparation *preparation, const ZmWish *wish, guint code, const char *what)
{
  ZmPlugins *plugins = preparation->plugins;

  zm_problems_add (preparation->problems, ZM_PROBLEM_ERROR, code, wish->scanned->file.path, 0, 0, NULL, NULL,
                   "plugin '%s': %s", wish->name, what);
  g_hash_table_insert (preparation->set->reasons, g_strdup (wish->name), g_strdup (what));
  g_hash_table_insert (plugins->failures, g_strdup (wish->name), g_strdup (what));
}

static void
add_failure (Preparation *preparation, const ZmWish *wish, guint code, const char *what)
{
  tell_failure (preparation, wish, code, what);
  zm_plugins_count (preparation->plugins, "zmanager_plugin_load_failures_total",
                    "plugins that could not be loaded, initialised or started");
}

/* What people are to know: the reason, and what takes the messages meanwhile. */
static char *
with_old (const ZmGeneration *old, const char *what)
{
  return old != NULL ? g_strdup_printf ("%s; generation %u of it goes on running", what, old->number)
                     : g_strdup (what);
}

/* The failure is told; where an older one runs it goes on. */
static void
fall_back (Preparation *preparation, const ZmWish *wish, ZmGeneration *old, guint code, const char *what)
{
  g_autofree char *text = with_old (old, what);

  add_failure (preparation, wish, code, text);
  if (old != NULL)
    zm_set_keep (preparation->set, preparation->plugins->current, old);
}

/* NULL: all that it needs is in the set. */
static char *
missing_need (const Preparation *preparation, const ZmPluginFile *file)
{
  for (char **need = file->manifest->depends; *need != NULL; need++)
    if (!g_hash_table_contains (preparation->set->by_name, *need)) {
      const char *why = g_hash_table_lookup (preparation->set->reasons, *need);

      return g_strdup_printf ("it needs '%s', which is not loaded (%s)", *need,
                              why != NULL ? why : "unknown");
    }
  return NULL;
}

/* Starts an EXCLUSIVE one again after its successor failed. */
static void
resume_old (Preparation *preparation, const ZmWish *wish, ZmGeneration *old)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *what = NULL;

  if (zm_bring_back (preparation->plugins, old, &error))
    return;
  what = g_strdup_printf ("the old one could not be started again: %s", error->message);
  add_failure (preparation, wish, ZM_CODE_PLUGIN_FAILED, what);
}

/* The mappings that want it tell it, at their lines. */
static void
add_single (Preparation *preparation, const ZmWish *wish, const char *what)
{
  g_hash_table_insert (preparation->set->single, g_strdup (wish->name), g_strdup (what));
}

/* A failure leaves no trace in the set but the old generation, which is then the current one of the new set too. */
static void
replace (Preparation *preparation, const ZmWish *wish, ZmGeneration *old)
{
  g_autoptr (GError) error = NULL;
  gboolean paused;
  ZmGeneration *generation = zm_bring_up (preparation->plugins, wish, old, preparation->config, &paused,
                                          preparation->problems, &error);

  if (generation != NULL) {
    zm_set_add (preparation->set, generation);
    g_ptr_array_add (preparation->set->fresh, generation);
    if (paused)
      g_ptr_array_add (preparation->set->paused, old);
    g_hash_table_remove (preparation->plugins->failures, wish->name);
    return;
  }
  if (paused)
    resume_old (preparation, wish, old);
  if (error->code == ZM_ERROR_EXISTS)
    add_single (preparation, wish, error->message);
  else
    fall_back (preparation, wish, old,
               error->code == ZM_ERROR_REFUSED     ? ZM_CODE_PLUGIN_REFUSED
               : error->code == ZM_ERROR_UNGUARDED ? ZM_CODE_HOOKS_OUTSIDE
                                                   : ZM_CODE_PLUGIN_FAILED,
               error->message);
}

/* A library that cannot be unloaded must not come into one process twice: not where it is, and not back into the daemon. In a
 * process of its own it is not resident at all, and into that it may go from anywhere. */
static gboolean
refuses_exchange (const ZmGeneration *old, const ZmPlacement *placement)
{
  return (old->flags & ZM_PLUGIN_RESIDENT) != 0 &&
         (placement->isolation == old->placement.isolation || placement->isolation == ZM_ISOLATION_THREAD);
}

static char *
resident_text (const ZmGeneration *old)
{
  const char *because = old->stays != NULL ? old->stays : "it says so itself";

  if (old->carrier != NULL)
    return g_strdup_printf ("it is resident (%s) and cannot be replaced in a process that it shares; set "
                            "isolation = private in [plugin %s], or restart the daemon",
                            because, old->plugin);
  return g_strdup_printf ("it is resident (%s) and cannot be replaced while the daemon runs; restart it",
                          because);
}

/* Is the running one to be exchanged? Otherwise it has been taken into the set. */
static gboolean
wants_new (Preparation *preparation, const ZmWish *wish, ZmGeneration *old)
{
  gboolean same_code = zm_identity_equal (&old->identity, &wish->scanned->identity) &&
                       zm_placement_equal (&old->asked, &wish->placement) && !asked_again (preparation, wish);
  gboolean same_text = same_config (old, preparation->config);
  g_autofree char *what = NULL;

  if (same_code && (same_text || zm_generation_reloads (old))) {
    zm_set_keep (preparation->set, preparation->plugins->current, old);
    if (!same_text)
      g_ptr_array_add (preparation->set->reloads, old);
    return FALSE;
  }
  if (!refuses_exchange (old, &wish->placement))
    return TRUE;
  what = resident_text (old);
  fall_back (preparation, wish, old, ZM_CODE_RESIDENT_PLUGIN, what);
  return FALSE;
}

/* Did this very file hang with this very section, so that it would again? It is told as before, but is no new failure,
 * and costs no time. */
static gboolean
hung_before (Preparation *preparation, const ZmWish *wish, ZmGeneration *old)
{
  const ZmHang *hang = g_hash_table_lookup (preparation->plugins->hangs, wish->name);
  g_autofree char *section = g_strdup_printf ("plugin %s", wish->scanned->file.name);
  g_autofree char *text = NULL;

  if (hang == NULL || asked_again (preparation, wish) ||
      !zm_identity_equal (&hang->identity, &wish->scanned->identity) ||
      !zm_placement_equal (&hang->placement, &wish->placement) ||
      !same_section (hang->config, preparation->config, section))
    return FALSE;
  text = with_old (old, hang->what);
  tell_failure (preparation, wish, ZM_CODE_PLUGIN_FAILED, text);
  if (old != NULL)
    zm_set_keep (preparation->set, preparation->plugins->current, old);
  return TRUE;
}

/* One plugin, after all that it needs: kept, replaced, or left out with the reason. */
static void
place (Preparation *preparation, const char *name)
{
  ZmPlugins *plugins = preparation->plugins;
  ZmGeneration *old = plugins->current != NULL ? zm_plugin_set_find (plugins->current, name) : NULL;
  const char *isolation;
  g_autofree char *plugin = zm_variant_plugin (name, &isolation);
  ZmWish wish = { name, g_hash_table_lookup (plugins->by_name, plugin), { 0 } };
  g_autofree char *missing = NULL;

  wish.placement = zm_plugins_place (plugins, preparation->config, &wish.scanned->file, isolation);
  /* A dependant that was kept has brought it in already. */
  if (g_hash_table_contains (preparation->set->by_name, name) ||
      (old != NULL && !wants_new (preparation, &wish, old)) || hung_before (preparation, &wish, old))
    return;
  missing = missing_need (preparation, &wish.scanned->file);
  if (missing != NULL)
    fall_back (preparation, &wish, old, ZM_CODE_DEPENDENCY_MISSING, missing);
  else
    replace (preparation, &wish, old);
}

/* Why those that are known and not here are not: for whoever asks for an action of theirs. */
static void
add_reasons (ZmPlugins *plugins, ZmPluginSet *set)
{
  for (guint i = 0; i < plugins->files->len; i++) {
    const ZmPluginFile *file = g_ptr_array_index (plugins->files, i);

    if (file->shadowed_by != NULL || g_hash_table_contains (set->by_name, file->name) ||
        g_hash_table_contains (set->reasons, file->name))
      continue;
    g_hash_table_insert (set->reasons, g_strdup (file->name),
                         file->error != NULL
                             ? g_strdup_printf ("refused: %s", file->error)
                             : g_strdup_printf ("nothing names it; add [plugin %s] load=yes", file->name));
  }
}

/* Runs plugins' code, by way of guards: it takes as long as they do, at most call_ms a step. The runtime's thread. */
ZmPluginSet *
zm_plugins_prepare (ZmPlugins *plugins, ZmConfig *config, const char *const *wanted, const char *const *again,
                    ZmProblems *problems)
{
  ZmPluginSet *set = zm_set_new (config);
  Preparation preparation = { plugins, set, config, again, problems };
  g_auto (GStrv) needed = zm_variants_needed (plugins, config, wanted);
  g_autoptr (GPtrArray) order =
      zm_order_plugins (plugins, (const char *const *) needed, set->reasons, problems);

  for (guint i = 0; i < order->len; i++)
    place (&preparation, g_ptr_array_index (order, i));
  /* One that runs goes on although its file is gone or refused now. */
  for (char **name = needed; *name != NULL && plugins->current != NULL; name++) {
    ZmGeneration *old = zm_plugin_set_find (plugins->current, *name);

    if (old != NULL)
      zm_set_keep (set, plugins->current, old);
  }
  add_reasons (plugins, set);
  return set;
}
