/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The registry: what there is of plugins, and which set of them is current. A new set (prepare.c) becomes it (commit) or is
 * let go (discard). All in the runtime's thread, which alone reads and writes what stands in a ZmPlugins.
 */
#include "config.h"

#include "plugin/zm-plugin-private.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the registry itself ---- */

void
zm_plugins_count (ZmPlugins *plugins, const char *name, const char *help)
{
  if (plugins->metrics != NULL)
    zm_counter_add (zm_metrics_counter (plugins->metrics, name, help, NULL, NULL), 1);
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

/* Makes the directory for copies and clears it; reads nothing of the path before the first scan. */
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
  plugins->carrier = config->carrier;
  plugins->system_directory =
      g_strdup (config->system_directory != NULL ? config->system_directory : ZM_PLUGINDIR);
  plugins->log = config->log != NULL ? zm_log_ref (config->log) : NULL;
  plugins->metrics = config->metrics;
  plugins->retired = config->retired;
  plugins->user = config->user;
  plugins->files = g_ptr_array_new ();
  plugins->by_name = g_hash_table_new (g_str_hash, g_str_equal);
  plugins->numbers = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  plugins->failures = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  plugins->hangs = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, zm_hang_free);
  /* Serials make the names of threads, which another registry of this process must not share. */
  plugins->serial = g_random_int () & 0xffffff;
  plugins->reaper = zm_reaper_new (config->drain_ms, config->log, config->metrics);
  plugins->probes = zm_probes_new ();
  make_copy_directory (plugins);
  return plugins;
}

/* In this order: the rooms above end its timers and calls, then the reaper may stop it. */
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

/* Everything is retired and waited for, at most as long as a drain; what does not end by then stays in the process and
 * is logged. */
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
  g_hash_table_unref (plugins->hangs);
  g_ptr_array_unref (plugins->files);
  g_clear_pointer (&plugins->log, zm_log_unref);
  g_strfreev (plugins->path);
  g_free (plugins->copy_directory);
  g_free (plugins->probe_program);
  g_free (plugins->system_directory);
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

/* ---- commit and discard ---- */

static void
set_gauge (ZmPlugins *plugins, gint64 value)
{
  if (plugins->metrics != NULL)
    zm_counter_set (
        zm_metrics_gauge (plugins->metrics, "zmanager_plugins", "plugins in the current set", NULL, NULL),
        value);
}

/* The set takes the place of the current one before the old generations retire: whoever looks meanwhile finds the new. */
void
zm_plugins_commit (ZmPlugins *plugins, ZmPluginSet *set)
{
  ZmPluginSet *old = plugins->current;

  plugins->current = set;
  for (guint i = 0; i < set->reloads->len; i++)
    zm_generation_set_config (g_ptr_array_index (set->reloads, i), set->config);
  for (guint i = 0; i < set->fresh->len; i++) {
    const ZmGeneration *fresh = g_ptr_array_index (set->fresh, i);

    zm_plugins_count (plugins, "zmanager_plugin_generations_total",
                      "generations of plugins that were put to use");
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

/* Newest first, as a later one may depend on an earlier; then what was stopped for them starts again. */
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
