/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The registry: makes a new set of plugins beside the current one (prepare), makes it current (commit) or lets it go
 * (discard). Until the commit nothing has changed for anybody, but for an EXCLUSIVE plugin, which cannot run twice.
 */
#include "config.h"

#include "plugin/zm-plugin-private.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the registry itself ---- */

static void
count (ZmPlugins *plugins, const char *name, const char *help)
{
  if (plugins->metrics != NULL)
    zm_counter_add (zm_metrics_counter (plugins->metrics, name, help, NULL, NULL), 1);
}

void
zm_plugins_count (ZmPlugins *plugins, const char *name, const char *help)
{
  count (plugins, name, help);
}

/* What a daemon left that was killed between copying and opening. */
static void
sweep_copies (const char *directory)
{
  g_autoptr (GDir) entries = g_dir_open (directory, 0, NULL);
  const char *name;

  while (entries != NULL && (name = g_dir_read_name (entries)) != NULL) {
    g_autofree char *path = g_build_filename (directory, name, NULL);

    if (strstr (name, ZM_COPY_MARK) != NULL)
      unlink (path);
  }
}

/* Nobody else may look into it: what lies there is opened. */
static void
make_copy_directory (const ZmPlugins *plugins)
{
  g_autoptr (GError) error = NULL;

  if (g_mkdir_with_parents (plugins->copy_directory, 0700) != 0 || chmod (plugins->copy_directory, 0700) != 0)
    zm_log_write (plugins->log, ZM_LEVEL_ERROR, "plugin",
                  "%s cannot be made for private copies: %s; no plugin can be loaded",
                  plugins->copy_directory, g_strerror (errno));
  else if (!zm_safe_directory (plugins->copy_directory, &error))
    zm_log_write (plugins->log, ZM_LEVEL_ERROR, "plugin", "%s", error->message);
  else
    sweep_copies (plugins->copy_directory);
}

ZmPlugins *
zm_plugins_new (const ZmPluginsConfig *config)
{
  ZmPlugins *plugins = g_new0 (ZmPlugins, 1);

  plugins->path = config->path != NULL ? g_strdupv ((char **) config->path) : g_new0 (char *, 1);
  plugins->copy_directory = g_strdup (config->copy_directory);
  plugins->probe_program = g_strdup (config->probe_program);
  plugins->host = config->host;
  plugins->no_dlclose = config->no_dlclose;
  plugins->drain_ms = config->drain_ms;
  plugins->call_ms = config->call_ms > 0 ? config->call_ms : ZM_PLUGIN_CALL_MS;
  plugins->log = config->log != NULL ? zm_log_ref (config->log) : NULL;
  plugins->metrics = config->metrics;
  plugins->retired = config->retired;
  plugins->user = config->user;
  plugins->files = g_ptr_array_new ();
  plugins->by_name = g_hash_table_new (g_str_hash, g_str_equal);
  plugins->numbers = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  plugins->failures = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  /* Serials make the names of threads, which another registry of this process must not share. */
  plugins->serial = g_random_int () & 0xffffff;
  plugins->reaper = zm_reaper_new (config->drain_ms, config->log, config->metrics);
  plugins->probes = zm_probes_new ();
  make_copy_directory (plugins);
  return plugins;
}

static void
retire (ZmPlugins *plugins, ZmGeneration *generation)
{
  atomic_store (&generation->retired, TRUE);
  if (plugins->retired != NULL)
    plugins->retired (generation, plugins->user);
  zm_reaper_take (plugins->reaper, generation);
}

/* Retires what is in `old` and not in `now` (or NULL), dependants first. */
static void
retire_replaced (ZmPlugins *plugins, ZmPluginSet *old, ZmPluginSet *now)
{
  for (guint i = old->order->len; i > 0; i--) {
    ZmGeneration *generation = g_ptr_array_index (old->order, i - 1);

    if (now == NULL || zm_plugin_set_find (now, generation->name) != generation)
      retire (plugins, generation);
  }
}

void
zm_plugins_free (ZmPlugins *plugins)
{
  if (plugins == NULL)
    return;
  if (plugins->current != NULL) {
    retire_replaced (plugins, plugins->current, NULL);
    zm_plugin_set_unref (g_steal_pointer (&plugins->current));
  }
  if (!zm_reaper_close (plugins->reaper, plugins->drain_ms)) {
    g_auto (GStrv) held = zm_reaper_held (plugins->reaper);

    for (char **line = held; *line != NULL; line++)
      zm_log_write (plugins->log, ZM_LEVEL_WARNING, "plugin", "left at the end: %s", *line);
  }
  zm_reaper_unref (plugins->reaper);
  zm_probes_free (plugins->probes);
  g_hash_table_unref (plugins->by_name);
  g_hash_table_unref (plugins->numbers);
  g_hash_table_unref (plugins->failures);
  g_ptr_array_unref (plugins->files);
  g_clear_pointer (&plugins->log, zm_log_unref);
  g_strfreev (plugins->path);
  g_free (plugins->copy_directory);
  g_free (plugins->probe_program);
  g_free (plugins);
}

const GPtrArray *
zm_plugins_scan (ZmPlugins *plugins, ZmProblems *problems)
{
  zm_scan_path (plugins, problems);
  return plugins->files;
}

const ZmPluginFile *
zm_plugins_file (ZmPlugins *plugins, const char *name)
{
  return g_hash_table_lookup (plugins->by_name, name);
}

/* ---- sets ---- */

static ZmPluginSet *
set_new (ZmConfig *config)
{
  ZmPluginSet *set = g_new0 (ZmPluginSet, 1);

  atomic_init (&set->references, 1);
  set->order = g_ptr_array_new ();
  set->by_name = g_hash_table_new (g_str_hash, g_str_equal);
  set->reasons = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
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
  g_ptr_array_unref (set->fresh);
  g_ptr_array_unref (set->paused);
  g_ptr_array_unref (set->reloads);
  g_clear_pointer (&set->config, zm_config_unref);
  g_free (set);
}

/* Takes the reference. */
static void
set_add (ZmPluginSet *set, ZmGeneration *generation)
{
  g_ptr_array_add (set->order, generation);
  g_hash_table_insert (set->by_name, generation->name, generation);
}

/* Keeps the running one, and what it depends on. */
static void
set_keep (ZmPluginSet *set, ZmPluginSet *current, ZmGeneration *old)
{
  if (g_hash_table_contains (set->by_name, old->name))
    return;
  for (char **need = old->manifest->depends; *need != NULL; need++) {
    ZmGeneration *needed = zm_plugin_set_find (current, *need);

    /* Dependencies come earlier in the order, so that this ends. */
    if (needed != NULL && needed != old)
      set_keep (set, current, needed);
  }
  set_add (set, zm_generation_ref (old, "table"));
}

/* ---- prepare ---- */

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

static gboolean
same_config (const ZmGeneration *generation, ZmConfig *config)
{
  g_autofree char *section = g_strdup_printf ("plugin %s", generation->name);
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

static void
add_failure (Preparation *preparation, const ZmPluginFile *file, guint code, const char *what)
{
  ZmPlugins *plugins = preparation->plugins;

  zm_problems_add (preparation->problems, ZM_PROBLEM_ERROR, code, file->path, 0, 0, NULL, NULL,
                   "plugin '%s': %s", file->name, what);
  g_hash_table_insert (preparation->set->reasons, g_strdup (file->name), g_strdup (what));
  g_hash_table_insert (plugins->failures, g_strdup (file->name), g_strdup (what));
  count (plugins, "zmanager_plugin_load_failures_total",
         "plugins that could not be loaded, initialised or started");
}

/* The failure is told; where an older one runs it goes on. */
static void
fall_back (Preparation *preparation, const ZmPluginFile *file, ZmGeneration *old, guint code,
           const char *what)
{
  g_autofree char *text = NULL;

  if (old != NULL)
    text = g_strdup_printf ("%s; generation %u of it goes on running", what, old->number);
  add_failure (preparation, file, code, text != NULL ? text : what);
  if (old != NULL)
    set_keep (preparation->set, preparation->plugins->current, old);
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
resume_old (Preparation *preparation, const ZmPluginFile *file, ZmGeneration *old)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *what = NULL;

  if (zm_bring_back (preparation->plugins, old, &error))
    return;
  what = g_strdup_printf ("the old one could not be started again: %s", error->message);
  add_failure (preparation, file, ZM_CODE_PLUGIN_FAILED, what);
}

static void
replace (Preparation *preparation, const ZmScanned *scanned, ZmGeneration *old)
{
  g_autoptr (GError) error = NULL;
  gboolean paused;
  ZmGeneration *generation = zm_bring_up (preparation->plugins, scanned, old, preparation->config, &paused,
                                          preparation->problems, &error);

  if (generation != NULL) {
    set_add (preparation->set, generation);
    g_ptr_array_add (preparation->set->fresh, generation);
    if (paused)
      g_ptr_array_add (preparation->set->paused, old);
    g_hash_table_remove (preparation->plugins->failures, scanned->file.name);
    return;
  }
  if (paused)
    resume_old (preparation, &scanned->file, old);
  fall_back (preparation, &scanned->file, old,
             error->code == ZM_ERROR_REFUSED ? ZM_CODE_PLUGIN_REFUSED : ZM_CODE_PLUGIN_FAILED,
             error->message);
}

/* Is the running one to be exchanged? Otherwise it has been taken into the set. */
static gboolean
wants_new (Preparation *preparation, const ZmScanned *scanned, ZmGeneration *old)
{
  gboolean again = preparation->again != NULL && g_strv_contains (preparation->again, scanned->file.name);
  gboolean same_code = zm_identity_equal (&old->identity, &scanned->identity) && !again;
  gboolean same_text = same_config (old, preparation->config);

  if (same_code && (same_text || old->descriptor.reload != NULL)) {
    set_keep (preparation->set, preparation->plugins->current, old);
    if (!same_text)
      g_ptr_array_add (preparation->set->reloads, old);
    return FALSE;
  }
  if (old->flags & ZM_PLUGIN_RESIDENT) {
    g_autofree char *what =
        g_strdup_printf ("it is resident (%s) and cannot be replaced while the daemon runs; restart it",
                         old->stays != NULL ? old->stays : "it says so itself");

    fall_back (preparation, &scanned->file, old, ZM_CODE_RESIDENT_PLUGIN, what);
    return FALSE;
  }
  return TRUE;
}

static void
place (Preparation *preparation, const ZmScanned *scanned)
{
  ZmPlugins *plugins = preparation->plugins;
  ZmGeneration *old =
      plugins->current != NULL ? zm_plugin_set_find (plugins->current, scanned->file.name) : NULL;
  g_autofree char *missing = NULL;

  /* A dependant that was kept has brought it in already. */
  if (g_hash_table_contains (preparation->set->by_name, scanned->file.name) ||
      (old != NULL && !wants_new (preparation, scanned, old)))
    return;
  missing = missing_need (preparation, &scanned->file);
  if (missing != NULL)
    fall_back (preparation, &scanned->file, old, ZM_CODE_DEPENDENCY_MISSING, missing);
  else
    replace (preparation, scanned, old);
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

ZmPluginSet *
zm_plugins_prepare (ZmPlugins *plugins, ZmConfig *config, const char *const *wanted, const char *const *again,
                    ZmProblems *problems)
{
  ZmPluginSet *set = set_new (config);
  Preparation preparation = { plugins, set, config, again, problems };
  g_autoptr (GPtrArray) order = zm_order_plugins (plugins, wanted, set->reasons, problems);

  for (guint i = 0; i < order->len; i++)
    place (&preparation, g_hash_table_lookup (plugins->by_name, g_ptr_array_index (order, i)));
  /* One that runs goes on although its file is gone or refused now. */
  for (guint i = 0; wanted != NULL && wanted[i] != NULL && plugins->current != NULL; i++) {
    ZmGeneration *old = zm_plugin_set_find (plugins->current, wanted[i]);

    if (old != NULL)
      set_keep (set, plugins->current, old);
  }
  add_reasons (plugins, set);
  return set;
}

/* ---- commit and discard ---- */

static void
set_gauge (ZmPlugins *plugins, gint64 value)
{
  if (plugins->metrics != NULL)
    zm_counter_set (
        zm_metrics_gauge (plugins->metrics, "zmanager_plugins", "plugins in the current set", NULL, NULL),
        value);
}

void
zm_plugins_commit (ZmPlugins *plugins, ZmPluginSet *set)
{
  ZmPluginSet *old = plugins->current;

  plugins->current = set;
  for (guint i = 0; i < set->reloads->len; i++)
    zm_generation_set_config (g_ptr_array_index (set->reloads, i), set->config);
  for (guint i = 0; i < set->fresh->len; i++) {
    const ZmGeneration *fresh = g_ptr_array_index (set->fresh, i);

    count (plugins, "zmanager_plugin_generations_total", "generations of plugins that were put to use");
    zm_log_write (plugins->log, ZM_LEVEL_INFO, "plugin", "%s generation %u is loaded (version %s)",
                  fresh->name, fresh->number,
                  fresh->manifest->version != NULL ? fresh->manifest->version : "unknown");
  }
  set_gauge (plugins, set->order->len);
  if (old == NULL)
    return;
  retire_replaced (plugins, old, set);
  zm_plugin_set_unref (old);
}

void
zm_plugins_discard (ZmPlugins *plugins, ZmPluginSet *set)
{
  for (guint i = set->fresh->len; i > 0; i--) {
    ZmGeneration *fresh = g_ptr_array_index (set->fresh, i - 1);

    /* One reference is the set's; zm_bring_down drops another. */
    zm_bring_down (plugins, zm_generation_ref (fresh, "table"));
  }
  for (guint i = 0; i < set->paused->len; i++) {
    ZmGeneration *old = g_ptr_array_index (set->paused, i);
    g_autoptr (GError) error = NULL;

    if (!zm_bring_back (plugins, old, &error))
      zm_log_write (plugins->log, ZM_LEVEL_ERROR, "plugin", "%s could not be started again: %s", old->name,
                    error->message);
  }
  zm_plugin_set_unref (set);
}

ZmPluginSet *
zm_plugins_current (ZmPlugins *plugins)
{
  return plugins->current != NULL ? zm_plugin_set_ref (plugins->current) : NULL;
}

char **
zm_plugins_held (ZmPlugins *plugins)
{
  return zm_reaper_held (plugins->reaper);
}
