/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Brings a new generation up, from the installed file to a started plugin. Each step that runs the plugin's code does so in
 * a thread with a time limit; a step that does not come back leaves its generation loaded on purpose.
 */
#include "config.h"

#include "plugin/zm-plugin-private.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define CARRIER_MS \
  30000 /* for the carrier, which keeps the limits of its steps itself, to end what does not come back */

/* Work for a guard. It is freed by whoever comes last: the caller, or the guard's thread where the caller has gone. */
typedef struct Job {
  ZmGeneration *generation;
  ZmGeneration *old; /* to be stopped between init and start, or NULL */
  guint drain_ms;
  gboolean good;
  GError *error;
} Job;

/* Also called in the guard's thread, for a step that came back too late: then nobody reads the result. */
static void
job_free (gpointer data)
{
  Job *job = data;

  g_clear_error (&job->error);
  g_free (job);
}

/* dlopen in a thread of its own: constructors may hang as well as any other code of the plugin. */
static void
open_job (gpointer data)
{
  Job *job = data;

  zm_step_enter (job->generation, "loading");
  job->good = zm_generation_open (job->generation, &job->error);
}

/* Only for one that was stopped and starts again. */
static void
start_job (gpointer data)
{
  Job *job = data;

  zm_step_enter (job->generation, "start");
  job->good = zm_generation_start (job->generation, &job->error);
}

/* In a guard: the plugin's stop and its threads may not come back. */
static void
stop_job (gpointer data)
{
  Job *job = data;

  zm_step_enter (job->generation, "stop");
  job->good = zm_generation_stop (job->generation, job->drain_ms);
}

/* Of a step of a carried one the carrier is to say how it ended, not the guard around it. */
static guint
carrier_ms (const ZmGeneration *generation)
{
  return generation->carrier != NULL ? CARRIER_MS : 0;
}

/* The old one of an EXCLUSIVE plugin stops; it stays loaded, and may have to start again. */
static gboolean
pause_old (Job *job)
{
  Job *stop = g_new0 (Job, 1);
  guint grace_ms = 1000 + carrier_ms (job->old);

  *stop = (Job){ .generation = job->old, .drain_ms = job->drain_ms };
  if (!zm_guard_call (job->old->mark, stop_job, job_free, stop, job->drain_ms + grace_ms)) {
    g_set_error (&job->error, ZM_ERROR, ZM_ERROR_PLUGIN,
                 "the running one does not stop, which has to come first");
    return FALSE;
  }
  if (!stop->good)
    g_set_error (&job->error, ZM_ERROR, ZM_ERROR_PLUGIN,
                 "a thread of the running one does not end, which has to come first");
  job->good = stop->good;
  job_free (stop);
  return job->good;
}

/* init and start of one plugin run in one thread. */
static void
init_job (gpointer data)
{
  Job *job = data;

  zm_step_enter (job->generation, "init and start");
  job->good = zm_generation_init (job->generation, &job->error) && (job->old == NULL || pause_old (job)) &&
              zm_generation_start (job->generation, &job->error);
}

/* Runs a step. FALSE with error; then *stuck tells whether it is still running. */
static gboolean
run_step (ZmGeneration *generation, ZmGeneration *old, ZmGuardFunc step, guint drain_ms, guint timeout_ms,
          gboolean *stuck, GError **error)
{
  Job *job = g_new0 (Job, 1);
  gboolean good;

  *job = (Job){ .generation = generation, .old = old, .drain_ms = drain_ms };
  *stuck = !zm_guard_call (generation->mark, step, job_free, job, timeout_ms);
  if (*stuck) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_PLUGIN, "it did not come back from %s within %u ms",
                 step == open_job ? "loading" : "init or start", timeout_ms);
    return FALSE;
  }
  good = job->good;
  if (job->error != NULL)
    g_propagate_error (error, g_steal_pointer (&job->error));
  job_free (job);
  return good;
}

/* ---- from the file to a generation ---- */

/* A private copy of exactly the file that was scanned. */
static char *
copy_file (ZmPlugins *plugins, const ZmScanned *scanned, GError **error)
{
  g_autofree char *base = g_strdup_printf ("%s.%u", scanned->file.name, plugins->serial);
  g_autofree char *copy = NULL;
  ZmIdentity before, after;
  int fd = zm_safe_open (scanned->file.path, &before, error);
  int again;

  if (fd < 0)
    return NULL;
  copy = zm_library_copy (fd, plugins->copy_directory, base, error);
  close (fd);
  if (copy == NULL)
    return NULL;
  again = zm_plain_open (scanned->file.path, &after, NULL);
  if (again >= 0)
    close (again);
  if (again < 0 || !zm_identity_equal (&before, &scanned->identity) || !zm_identity_equal (&before, &after)) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_UNAVAILABLE,
                 "it changed while it was read; it is taken when it is complete");
    unlink (copy);
    return NULL;
  }
  return g_steal_pointer (&copy);
}

/* The note is read again from the copy: what is opened is what was judged, whatever happens to the file meanwhile. */
static ZmManifest *
read_copy (const char *copy, GError **error)
{
  ZmIdentity identity;
  int fd = zm_plain_open (copy, &identity, error);
  const ZmImage image = { fd, NULL, identity.size };
  ZmManifest *manifest;

  if (fd < 0)
    return NULL;
  manifest = zm_manifest_read_image (&image, error);
  close (fd);
  return manifest;
}

/* Is this copy fit to be opened here? *unloads: dlclose is known to work. */
static gboolean
examine (ZmPlugins *plugins, const char *copy, const ZmManifest *manifest, gboolean *unloads, GError **error)
{
  *unloads = TRUE;
  return plugins->probe_program == NULL || zm_probes_check (plugins->probes, plugins->probe_program, copy,
                                                            manifest, plugins->call_ms, unloads, error);
}

/* A plugin that is to be kept out of the daemon is never taken in for want of a host. */
static gboolean
check_place (const ZmPlugins *plugins, const ZmWish *wish, GError **error)
{
  const ZmPlacement *placement = &wish->placement;
  const ZmPluginFile *file = &wish->scanned->file;

  if (!zm_placement_allows_kind (placement, file->name, file->manifest->kind, error))
    return FALSE;
  if (placement->isolation == ZM_ISOLATION_THREAD || plugins->carrier != NULL)
    return TRUE;
  g_set_error (
      error, ZM_ERROR, ZM_ERROR_UNAVAILABLE,
      "it is to run as %s (%s), and there is no host program to run it; install zmanager-host, or set "
      "isolation = thread",
      zm_isolation_name (placement->isolation), placement->reason);
  return FALSE;
}

/* Numbers are per name and go up only when one was brought up; serials are unique in the process, as they make the
 * names of threads. On failure the copy is removed here. */
static ZmGeneration *
make_generation (ZmPlugins *plugins, const ZmWish *wish, ZmConfig *config, GError **error)
{
  const ZmScanned *scanned = wish->scanned;
  g_autofree char *copy = check_place (plugins, wish, error) ? copy_file (plugins, scanned, error) : NULL;
  g_autoptr (ZmManifest) manifest = copy != NULL ? read_copy (copy, error) : NULL;
  const ZmGenerationConfig how = {
    .name = wish->name,
    .path = scanned->file.path,
    .number = GPOINTER_TO_UINT (g_hash_table_lookup (plugins->numbers, wish->name)) + 1,
    .serial = plugins->serial++,
    .copy = copy,
    .manifest = manifest,
    .identity = &scanned->identity,
    .host = &plugins->host,
    .config = config,
    .reaper = plugins->reaper,
    .no_dlclose = plugins->no_dlclose,
    .placement = &wish->placement,
    .carrier = plugins->carrier,
    .owner = plugins->user,
  };
  ZmGeneration *generation = NULL;
  gboolean unloads;

  if (manifest != NULL && examine (plugins, copy, manifest, &unloads, error)) {
    generation = zm_generation_new (&how);
    generation->stays = unloads ? NULL : "dlclose does not unload it";
  }
  if (generation == NULL && copy != NULL)
    unlink (copy);
  return generation;
}

/* After opening, as the options stand in the descriptor, and before init, which may rely on them. The problems have
 * their places; the error says only which section. */
static gboolean
check_config (const ZmGeneration *generation, ZmConfig *config, ZmProblems *problems, GError **error)
{
  g_autofree char *section = g_strdup_printf ("plugin %s", generation->plugin);
  guint before = zm_problems_errors (problems);

  if (config == NULL)
    return TRUE;
  if (generation->carrier != NULL && generation->placement.instances < generation->asked.instances)
    zm_placement_warn_one (config, generation->plugin, "instances", problems);
  if (generation->carrier != NULL && generation->placement.threads < generation->asked.threads)
    zm_placement_warn_one (config, generation->plugin, "threads", problems);
  zm_config_check_options (config, section, generation->descriptor.options, problems);
  if (zm_problems_errors (problems) == before)
    return TRUE;
  g_set_error (error, ZM_ERROR, ZM_ERROR_PLUGIN, "its section [%s] is not right", section);
  return FALSE;
}

/* Never in use, and yet its start may have begun timers and calls: who keeps such things is told. */
static void
retire (ZmPlugins *plugins, ZmGeneration *generation)
{
  atomic_store (&generation->retired, TRUE);
  if (plugins->retired != NULL)
    plugins->retired (generation, plugins->user);
}

/* The reaper does the rest in its own thread, once nobody holds it any more. */
static void
let_go (ZmPlugins *plugins, ZmGeneration *generation)
{
  zm_reaper_take (plugins->reaper, generation);
  zm_generation_unref (generation, "table");
}

/* Only now are the flags known, and what the descriptor has. */
static gboolean
check_variant (const ZmGeneration *generation, GError **error)
{
  return !zm_is_variant (generation->name) ||
         zm_placement_varies (generation->plugin, generation->flags, generation->descriptor.source != NULL,
                              error);
}

/* Opening and init run beside the old generation. Where the plugin is EXCLUSIVE the old one stops between init and
 * start, so the time without either is as short as a start takes. */
static gboolean
bring (ZmPlugins *plugins, ZmGeneration *generation, ZmGeneration *old, ZmConfig *config, gboolean *paused,
       gboolean *stuck, ZmProblems *problems, GError **error)
{
  guint timeout_ms = plugins->call_ms + carrier_ms (generation);

  if (!run_step (generation, NULL, open_job, 0, timeout_ms, stuck, error) ||
      !check_variant (generation, error) || !check_config (generation, config, problems, error))
    return FALSE;
  if ((generation->flags & ZM_PLUGIN_EXCLUSIVE) == 0)
    old = NULL;
  /* init and start are two steps there, each with the whole limit. */
  if (generation->carrier != NULL)
    timeout_ms += plugins->call_ms;
  if (old != NULL)
    timeout_ms += plugins->drain_ms + 1000 + carrier_ms (old);
  if (run_step (generation, old, init_job, plugins->drain_ms, timeout_ms, stuck, error)) {
    *paused = old != NULL;
    return TRUE;
  }
  /* Stopped, or being stopped: either way it has to be started again. */
  *paused = old != NULL && !old->started;
  return FALSE;
}

void
zm_hang_free (gpointer hang)
{
  ZmHang *self = hang;

  g_clear_pointer (&self->config, zm_config_unref);
  g_free (self->what);
  g_free (self);
}

/* The error tells what would have it tried again. */
static void
remember_hang (ZmPlugins *plugins, const ZmWish *wish, const ZmGeneration *old, ZmConfig *config,
               GError **error)
{
  ZmHang *hang = g_new0 (ZmHang, 1);

  hang->identity = wish->scanned->identity;
  hang->placement = wish->placement;
  hang->config = config != NULL ? zm_config_ref (config) : NULL;
  hang->what = g_strdup_printf ("%s; it is not tried again until its file or its section changes, or "
                                "zmanagerctl plugin %s %s asks for it",
                                (*error)->message, old != NULL ? "reload" : "load", wish->scanned->file.name);
  g_clear_error (error);
  g_set_error_literal (error, ZM_ERROR, ZM_ERROR_PLUGIN, hang->what);
  g_hash_table_insert (plugins->hangs, g_strdup (wish->name), hang);
}

/* What hangs is never freed: the thread that hangs in it still uses it. It is kept by the reaper, counted and told. */
ZmGeneration *
zm_bring_up (ZmPlugins *plugins, const ZmWish *wish, ZmGeneration *old, ZmConfig *config, gboolean *paused,
             ZmProblems *problems, GError **error)
{
  g_autoptr (GError) why = NULL;
  ZmGeneration *generation = make_generation (plugins, wish, config, error);
  gboolean stuck = FALSE, carried = generation != NULL && generation->carrier != NULL;

  *paused = FALSE;
  if (generation == NULL)
    return NULL;
  if (bring (plugins, generation, old, config, paused, &stuck, problems, &why)) {
    g_hash_table_insert (plugins->numbers, g_strdup (wish->name), GUINT_TO_POINTER (generation->number));
    g_hash_table_remove (plugins->hangs, wish->name);
    return generation;
  }
  retire (plugins, generation);
  if (stuck) {
    zm_plugins_count (plugins, "zmanager_plugin_leaked_total",
                      "generations left loaded because init or start did not end");
    zm_reaper_keep (plugins->reaper, generation, "its init or start, which has not ended");
    remember_hang (plugins, wish, old, config, &why);
  } else {
    let_go (plugins, generation);
    /* What its start took before it failed its fini gives back; only then can the old one have it again. */
    if (*paused)
      zm_reaper_settle (plugins->reaper, generation, plugins->drain_ms);
    /* The carrier ended what did not come back: the next try would cost as much time. */
    if (why->code == ZM_ERROR_LIMIT && carried)
      remember_hang (plugins, wish, old, config, &why);
  }
  g_propagate_error (error, g_steal_pointer (&why));
  return NULL;
}

/* Its code, state and configuration are as they were: start alone is called. */
gboolean
zm_bring_back (ZmPlugins *plugins, ZmGeneration *old, GError **error)
{
  gboolean stuck;

  return run_step (old, NULL, start_job, 0, plugins->call_ms + carrier_ms (old), &stuck, error);
}

/* Newest first, where a set is discarded: each may use those that it depends on until its own stop. */
void
zm_bring_down (ZmPlugins *plugins, ZmGeneration *generation)
{
  g_autoptr (GError) error = NULL;
  gboolean stuck;

  retire (plugins, generation);
  /* One that hangs is the reaper's in the same way as any other: its threads hold it. */
  run_step (generation, NULL, stop_job, plugins->drain_ms, plugins->drain_ms + 1000 + carrier_ms (generation),
            &stuck, &error);
  if (!stuck) {
    let_go (plugins, generation);
    return;
  }
  zm_reaper_keep (plugins->reaper, generation, "its stop, which has not ended");
}
