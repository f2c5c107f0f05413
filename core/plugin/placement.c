/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where a plugin runs: who may choose, and who wins. The nearer to the operator's wish the higher: a mapping, the plugin's
 * section, the plugin's note, what holds for third parties. The files are not looked at again: notes and paths of the scan
 * tell all.
 */
#include "config.h"

#include "plugin/zm-plugin-private.h"

#include <string.h>

#define MAPPED "mapping"

/* In the order of ZmIsolation, and of the choices in the configuration's schema. */
static const char *const names[] = { "thread", "process", "private" };

const char *
zm_isolation_name (ZmIsolation isolation)
{
  return isolation < G_N_ELEMENTS (names) ? names[isolation] : names[ZM_ISOLATION_THREAD];
}

gboolean
zm_isolation_parse (const char *text, ZmIsolation *isolation)
{
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    if (strcmp (text, names[i]) == 0) {
      *isolation = (ZmIsolation) i;
      return TRUE;
    }
  return FALSE;
}

/* By the path as the scan built it: a link in the system's directory was put there by whoever may write there. */
static gboolean
below_system (const ZmPlugins *plugins, const char *path)
{
  g_autofree char *whole = g_canonicalize_filename (path, NULL);
  g_autofree char *directory = g_canonicalize_filename (plugins->system_directory, NULL);
  gsize length = strlen (directory);

  return strncmp (whole, directory, length) == 0 && (whole[length] == '/' || length <= 1);
}

/* A store runs in the daemon whoever made it; where somebody says otherwise it is refused. */
static gboolean
is_store (const ZmPluginFile *file)
{
  return file->manifest != NULL && g_strcmp0 (file->manifest->kind, "store") == 0;
}

/* The first of them that says something, with its name for people. */
static void
choose (const ZmPlugins *plugins, const ZmConfig *config, const ZmPluginFile *file, const char *mapped,
        const char *section, ZmPlacement *placement)
{
  const char *own = config != NULL ? zm_config_text (config, section, "isolation") : NULL;
  const char *third = config != NULL ? zm_config_text (config, "zmanager", "third-party-isolation") : NULL;
  const char *noted = file->manifest != NULL ? file->manifest->isolation : NULL;

  if (mapped != NULL && zm_isolation_parse (mapped, &placement->isolation))
    placement->reason = MAPPED;
  else if (own != NULL && zm_isolation_parse (own, &placement->isolation))
    placement->reason = "[plugin] isolation";
  else if (noted != NULL && zm_isolation_parse (noted, &placement->isolation))
    placement->reason = "its note";
  else if (third != NULL && !is_store (file) && !below_system (plugins, file->path) &&
           zm_isolation_parse (third, &placement->isolation) && placement->isolation != ZM_ISOLATION_THREAD)
    placement->reason = "third party";
}

/* Without a configuration the schema's standards hold, which zm_config_integer would give as well. */
ZmPlacement
zm_plugins_place (const ZmPlugins *plugins, const ZmConfig *config, const ZmPluginFile *file,
                  const char *mapped)
{
  g_autofree char *section = g_strconcat ("plugin ", file->name, NULL);
  ZmPlacement placement = {
    .isolation = ZM_ISOLATION_THREAD, .reason = "default", .instances = 1, .threads = 1
  };

  choose (plugins, config, file, mapped, section, &placement);
  if (config == NULL)
    return placement;
  placement.instances = (guint) MAX (zm_config_integer (config, section, "instances"), 1);
  placement.threads = (guint) MAX (zm_config_integer (config, section, "threads"), 1);
  placement.memory = (guint64) zm_config_integer (config, section, "memory");
  placement.descriptors = (guint) zm_config_integer (config, section, "descriptors");
  return placement;
}

gboolean
zm_placement_equal (const ZmPlacement *a, const ZmPlacement *b)
{
  return a->isolation == b->isolation && a->instances == b->instances && a->threads == b->threads &&
         a->memory == b->memory && a->descriptors == b->descriptors;
}

/* Hooks are asked in the daemon's workers about each message, before and after: they cannot be asked elsewhere. */
gboolean
zm_placement_allows (const ZmPlacement *placement, const char *plugin, gboolean hooks, GError **error)
{
  if (!hooks || placement->isolation == ZM_ISOLATION_THREAD)
    return TRUE;
  if (strcmp (placement->reason, MAPPED) == 0) {
    g_set_error (
        error, ZM_ERROR, ZM_ERROR_EXISTS,
        "plugin '%s' has hooks, which run in the daemon's workers, and so has no copy that runs as %s; "
        "remove isolation of this mapping",
        plugin, zm_isolation_name (placement->isolation));
    return FALSE;
  }
  g_set_error (error, ZM_ERROR, ZM_ERROR_UNGUARDED,
               "it has hooks, which run in the daemon's workers, and is to run as %s (%s); set isolation = "
               "thread in [plugin %s]",
               zm_isolation_name (placement->isolation), placement->reason, plugin);
  return FALSE;
}

gboolean
zm_placement_allows_kind (const ZmPlacement *placement, const char *plugin, const char *kind, GError **error)
{
  if (placement->isolation == ZM_ISOLATION_THREAD || strcmp (kind, "store") != 0)
    return TRUE;
  g_set_error (error, ZM_ERROR, strcmp (placement->reason, MAPPED) == 0 ? ZM_ERROR_EXISTS : ZM_ERROR_REFUSED,
               "it is a store, which runs in the daemon itself, and is to run as %s (%s); set isolation = "
               "thread in [plugin %s]",
               zm_isolation_name (placement->isolation), placement->reason, plugin);
  return FALSE;
}

/* An EXCLUSIVE one holds something that only one can hold; a source would take everything in twice. */
gboolean
zm_placement_varies (const char *plugin, guint flags, gboolean source, GError **error)
{
  if ((flags & ZM_PLUGIN_EXCLUSIVE) == 0 && !source)
    return TRUE;
  g_set_error (
      error, ZM_ERROR, ZM_ERROR_EXISTS,
      "plugin '%s' is %s and can run in one place only; remove isolation of this mapping, and set it in "
      "[plugin %s]",
      plugin, source ? "a source" : "EXCLUSIVE", plugin);
  return FALSE;
}

void
zm_placement_warn_one (const ZmConfig *config, const char *plugin, const char *key, ZmProblems *problems)
{
  g_autofree char *section = g_strconcat ("plugin ", plugin, NULL), *cure = g_strconcat (key, " = 1", NULL);
  gboolean threads = g_str_equal (key, "threads");
  const char *file;
  guint line, column;

  zm_config_place (config, section, key, &file, &line, &column);
  zm_problems_add (problems, ZM_PROBLEM_WARNING, threads ? ZM_CODE_ONE_THREAD : ZM_CODE_ONE_INSTANCE, file,
                   line, column, cure, "remove it",
                   "plugin '%s' has no action that is THREADSAFE; one %s is used", plugin,
                   threads ? "thread" : "instance");
}

void
zm_placement_warn_limits (const ZmPlugins *plugins, const ZmConfig *config, const ZmPluginFile *file,
                          ZmProblems *problems)
{
  static const char *const limits[] = { "instances", "threads", "memory", "descriptors" };
  ZmPlacement placement = zm_plugins_place (plugins, config, file, NULL);
  g_autofree char *section = g_strconcat ("plugin ", file->name, NULL);

  for (guint i = 0; placement.isolation == ZM_ISOLATION_THREAD && i < G_N_ELEMENTS (limits); i++) {
    const char *path;
    guint line, column;

    /* FALSE: nobody gave it. */
    if (zm_config_place (config, section, limits[i], &path, &line, &column))
      zm_problems_add (problems, ZM_PROBLEM_WARNING, ZM_CODE_NO_HOST, path, line, column,
                       "isolation = process or private", "set isolation, or remove it",
                       "[%s] %s has no effect: the plugin runs in the daemon itself (%s)", section, limits[i],
                       placement.reason);
  }
}

/* Either the note or the descriptor may say of an action that it is THREADSAFE. */
static gboolean
one_is_threadsafe (const ZmManifest *manifest, const ZmDescription *description)
{
  for (guint i = 0; manifest->actions[i] != NULL; i++)
    if (manifest->threadsafe[i])
      return TRUE;
  return description->threadsafe;
}

gboolean
zm_placement_check_mapped (const ZmPlugins *plugins, const ZmConfig *config, const ZmPluginFile *file,
                           const ZmDescription *description, const char *mapped, GError **error)
{
  ZmPlacement own = zm_plugins_place (plugins, config, file, NULL);
  ZmPlacement placement = zm_plugins_place (plugins, config, file, mapped);

  return own.isolation == placement.isolation ||
         (zm_placement_allows_kind (&placement, file->name, file->manifest->kind, error) &&
          zm_placement_allows (&placement, file->name, description->hooks, error) &&
          zm_placement_varies (file->name, description->flags, description->source, error));
}

void
zm_placement_check (const ZmPlugins *plugins, const ZmConfig *config, const ZmPluginFile *file,
                    const ZmDescription *description, ZmProblems *problems)
{
  ZmPlacement placement = zm_plugins_place (plugins, config, file, NULL);
  g_autoptr (GError) error = NULL;

  if (!zm_placement_allows_kind (&placement, file->name, file->manifest->kind, &error) ||
      !zm_placement_allows (&placement, file->name, description->hooks, &error))
    zm_problems_add (problems, ZM_PROBLEM_ERROR,
                     error->code == ZM_ERROR_UNGUARDED ? ZM_CODE_HOOKS_OUTSIDE : ZM_CODE_PLUGIN_REFUSED,
                     file->path, 0, 0, NULL, NULL, "plugin '%s': %s", file->name, error->message);
  else if (placement.isolation != ZM_ISOLATION_THREAD && placement.instances > 1 &&
           !one_is_threadsafe (file->manifest, description))
    zm_placement_warn_one (config, file->name, "instances", problems);
  if (placement.isolation != ZM_ISOLATION_THREAD && placement.threads > 1 &&
      !one_is_threadsafe (file->manifest, description))
    zm_placement_warn_one (config, file->name, "threads", problems);
}
