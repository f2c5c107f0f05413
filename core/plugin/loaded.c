/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One plugin without a registry: the steps of its life, as the registry's own takes them, without reaper and guards. */
#include "config.h"

#include "plugin/zm-loaded.h"
#include "plugin/zm-plugin-private.h"

#include <dlfcn.h>
#include <unistd.h>

/* From the copy itself: what is opened is what was judged. */
static ZmManifest *
read_note (const char *copy, ZmIdentity *identity, GError **error)
{
  int fd = zm_plain_open (copy, identity, error);
  const ZmImage image = { fd, NULL, identity->size };
  ZmManifest *manifest;

  if (fd < 0)
    return NULL;
  manifest = zm_manifest_read_image (&image, error);
  close (fd);
  return manifest;
}

ZmGeneration *
zm_loaded_new (const ZmLoadedConfig *config, GError **error)
{
  ZmIdentity identity = { 0, 0, 0, 0 };
  g_autoptr (ZmManifest) manifest = read_note (config->copy, &identity, error);
  const ZmPlacement here = { .isolation = ZM_ISOLATION_THREAD, .instances = 1, .threads = 1 };
  const ZmGenerationConfig how = { .name = config->name,
                                   .path = config->copy,
                                   .number = config->number,
                                   .serial = config->serial,
                                   .copy = config->copy,
                                   .manifest = manifest,
                                   .identity = &identity,
                                   .host = config->host,
                                   .placement = &here,
                                   .no_dlclose = config->no_dlclose,
                                   .owner = config->owner };
  ZmGeneration *generation;

  if (manifest == NULL)
    return NULL;
  generation = zm_generation_new (&how);
  generation->library.lent = TRUE;
  zm_threads_set_begin (generation->threads, config->began, config->owner);
  return generation;
}

gboolean
zm_loaded_open (ZmGeneration *generation, GError **error)
{
  return zm_generation_open (generation, error);
}

gboolean
zm_loaded_init (ZmGeneration *generation, GError **error)
{
  return zm_generation_init (generation, error);
}

gboolean
zm_loaded_start (ZmGeneration *generation, GError **error)
{
  return zm_generation_start (generation, error);
}

gboolean
zm_loaded_stop (ZmGeneration *generation, guint deadline_ms)
{
  return zm_generation_stop (generation, deadline_ms);
}

/* Asked of the loader after dlclose, which returns 0 also where it did nothing. */
static gboolean
is_loaded (const char *copy)
{
  void *handle = dlopen (copy, RTLD_LAZY | RTLD_NOLOAD);

  if (handle != NULL)
    dlclose (handle);
  return handle != NULL;
}

/* Its threads first: what they run must not be unmapped, and they keep the generation as well. */
char *
zm_loaded_close (ZmGeneration *generation)
{
  g_autofree char *copy = g_strdup (generation->library.copy);
  const char *stays = generation->stays;
  char *kept = NULL;

  if (zm_threads_running (generation->threads) > 0) {
    g_autoptr (GString) names = g_string_new (NULL);

    zm_threads_describe (generation->threads, names);
    return g_strdup_printf ("%s, which does not end", names->str);
  }
  if (stays == NULL && (generation->flags & ZM_PLUGIN_RESIDENT) != 0)
    stays = "it says that it is RESIDENT";
  zm_generation_finalise (generation, &kept);
  if (kept == NULL && is_loaded (copy))
    kept = g_strdup (stays != NULL ? stays : "dlclose does not unload it");
  return kept;
}

const GPtrArray *
zm_loaded_actions (const ZmGeneration *generation)
{
  return generation->actions;
}

guint
zm_loaded_threads (ZmGeneration *generation)
{
  return zm_threads_running (generation->threads);
}

const char *
zm_loaded_mark (const ZmGeneration *generation)
{
  return generation->mark;
}

const char *
zm_loaded_stays (const ZmGeneration *generation)
{
  return generation->stays;
}
