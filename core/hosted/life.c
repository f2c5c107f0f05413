/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The lives of all generations, led by one thread: load, init, start, stop, unload, new values. It runs the plugins' code,
 * which may hang; the page says whose it is, and the daemon ends this process then.
 */
#include "config.h"

#include "hosted/hosted-private.h"

#include <string.h>

/* ---- plugins ---- */

ZmHostedPlugin *
zm_hosted_plugin_new (ZmHosted *hosted, const ZmRecord *prepare)
{
  ZmHostedPlugin *plugin = g_new0 (ZmHostedPlugin, 1);
  guint64 threads = prepare->n_numbers > 1 ? prepare->numbers[1] : 0;

  plugin->hosted = hosted;
  plugin->serial = prepare->id;
  plugin->name = zm_record_text (prepare, 0);
  plugin->copy = zm_record_text (prepare, 1);
  plugin->number = (guint) prepare->numbers[0];
  plugin->threads = (guint) CLAMP (threads != 0 ? threads : hosted->threads, 1, ZM_HOSTED_THREADS);
  plugin->metrics = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  plugin->ended = g_array_new (FALSE, FALSE, sizeof (pthread_t));
  pthread_mutex_init (&plugin->lock, NULL);
  return plugin;
}

void
zm_hosted_plugin_free (ZmHostedPlugin *plugin)
{
  g_free (plugin->name);
  g_free (plugin->copy);
  g_free (plugin->stats);
  g_free (plugin->values);
  g_free (plugin->old_values);
  g_clear_pointer (&plugin->timers, g_array_unref);
  g_hash_table_unref (plugin->metrics);
  g_array_unref (plugin->ended);
  pthread_mutex_destroy (&plugin->lock);
  g_free (plugin);
}

/* In each thread that the plugin starts through the host. */
static void
thread_began (gpointer owner)
{
  zm_hosted_enter (((const ZmHostedPlugin *) owner)->serial);
}

/* ---- steps ---- */

static ZmGeneration *
load (ZmHostedPlugin *plugin, GError **error)
{
  const ZmLoadedConfig config = { .name = plugin->name,
                                  .number = plugin->number,
                                  .serial = (guint) plugin->serial,
                                  .copy = plugin->copy,
                                  .host = &plugin->hosted->host,
                                  .no_dlclose = plugin->hosted->no_dlclose,
                                  .owner = plugin,
                                  .began = thread_began };

  if (plugin->name == NULL || plugin->copy == NULL) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID, "the daemon gave it no name or no file");
    return NULL;
  }
  return zm_loaded_new (&config, error);
}

/* A thread that the plugin starts behind the host's back has the name of the one that made it. */
static void
bear_mark (const ZmHostedPlugin *plugin)
{
  pthread_setname_np (pthread_self (), plugin != NULL && plugin->generation != NULL
                                           ? zm_loaded_mark (plugin->generation)
                                           : "lives");
}

static gboolean
open_plugin (ZmHostedPlugin *plugin, GError **error)
{
  plugin->generation = load (plugin, error);
  if (plugin->generation == NULL)
    return FALSE;
  bear_mark (plugin);
  if (!zm_loaded_open (plugin->generation, error))
    return FALSE;
  plugin->serial_only = (zm_generation_flags (plugin->generation) & ZM_PLUGIN_THREADSAFE) == 0;
  plugin->stats = g_new0 (ZmHostedStat, zm_loaded_actions (plugin->generation)->len + 1);
  /* Not in this thread's name: what its calls start is not known by the mark either where it runs in the daemon. */
  plugin->crew = zm_hosted_crew_new (plugin, plugin->threads, error);
  return plugin->crew != NULL;
}

static void
prepare (ZmHostedPlugin *plugin)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *kept = NULL;

  if (open_plugin (plugin, &error)) {
    atomic_fetch_add (&plugin->ready, 1);
  } else {
    if (plugin->generation != NULL)
      kept = zm_loaded_close (plugin->generation);
    plugin->generation = NULL;
    atomic_store (&plugin->failed, kept == NULL);
  }
  zm_hosted_say_prepared (plugin, error);
}

static void
say_result (const ZmHostedStep *step, ZmRecordKind kind, gboolean good, int status, const GError *error)
{
  zm_hosted_say_status (step->plugin->hosted, kind, step->id, good ? ZM_OK : status,
                        error != NULL ? error->message : NULL);
}

static void
set_values (ZmHostedStep *step)
{
  ZmHostedPlugin *plugin = step->plugin;

  pthread_mutex_lock (&plugin->lock);
  g_free (plugin->old_values);
  plugin->old_values = plugin->values;
  plugin->values = g_steal_pointer (&step->values);
  pthread_mutex_unlock (&plugin->lock);
}

/* In the thread that makes the other calls of a SERIAL plugin, after those that it has; here they are waited for. */
static int
tell_in_turn (ZmHostedPlugin *plugin)
{
  ZmHosted *hosted = plugin->hosted;
  ZmHostedCall *call = zm_hosted_call_new ();
  int status;

  call->kind = ZM_HOSTED_TELL;
  call->plugin = plugin;
  call->lane = 1;
  hosted->told = FALSE;
  zm_hosted_crew_push (plugin->crew, call);
  /* Its turn may be long in coming, and the calls before it have deadlines of their own. */
  atomic_store (&hosted->page->loading, 0);
  pthread_mutex_lock (&hosted->told_lock);
  while (!hosted->told)
    pthread_cond_wait (&hosted->told_cond, &hosted->told_lock);
  status = hosted->told_status;
  pthread_mutex_unlock (&hosted->told_lock);
  return status;
}

void
zm_hosted_life_told (ZmHosted *hosted, int status)
{
  pthread_mutex_lock (&hosted->told_lock);
  hosted->told = TRUE;
  hosted->told_status = status;
  pthread_cond_signal (&hosted->told_cond);
  pthread_mutex_unlock (&hosted->told_lock);
}

static void
configure (ZmHostedStep *step)
{
  ZmHostedPlugin *plugin = step->plugin;
  const zm_plugin_desc *descriptor = zm_generation_descriptor (plugin->generation);
  int status = ZM_OK;

  set_values (step);
  if (descriptor->reload != NULL)
    status = plugin->serial_only ? tell_in_turn (plugin)
                                 : descriptor->reload (zm_generation_state (plugin->generation));
  zm_hosted_say_status (plugin->hosted, ZM_RECORD_CONFIGURED, step->id, status, NULL);
}

/* The calls are over by contract; what its threads still have of results that nobody waits for goes with them. A plugin that
 * keeps its library here keeps what it knows of this process, too. */
static void
close_plugin (ZmHostedStep *step)
{
  ZmHostedPlugin *plugin = step->plugin;
  ZmHosted *hosted = plugin->hosted;
  g_autofree char *kept = NULL;

  /* Its code, and all that it may use, stays under the thread that is in it. */
  if (zm_hosted_sources_left (plugin) > 0) {
    zm_hosted_say_status (hosted, ZM_RECORD_CLOSED, step->id, ZM_E_FAILED,
                          "a source of it, which has not ended");
    return;
  }
  zm_hosted_tickets_drop (hosted, plugin);
  g_clear_pointer (&plugin->crew, zm_hosted_crew_free);
  zm_hosted_sources_join (plugin);
  zm_hosted_count_threads (hosted, -(int) plugin->own_threads);
  plugin->own_threads = 0;
  if (plugin->generation != NULL)
    kept = zm_loaded_close (plugin->generation);
  zm_hosted_say_status (hosted, ZM_RECORD_CLOSED, step->id, kept != NULL ? ZM_E_FAILED : ZM_OK, kept);
  if (kept == NULL)
    zm_hosted_plugin_free (plugin);
}

static void
do_step (ZmHostedStep *step)
{
  ZmHostedPlugin *plugin = step->plugin;
  g_autoptr (GError) error = NULL;
  gboolean good;

  switch (step->kind) {
  case ZM_RECORD_PREPARE: prepare (plugin); break;
  case ZM_RECORD_INIT:
    set_values (step);
    good = zm_loaded_init (plugin->generation, &error);
    /* What init gave is there for the calls that the daemon sends once it has heard of it. */
    atomic_fetch_add (&plugin->ready, 1);
    say_result (step, ZM_RECORD_INITED, good, ZM_E_FAILED, error);
    break;
  case ZM_RECORD_COMMIT:
    good = zm_loaded_start (plugin->generation, &error);
    say_result (step, ZM_RECORD_COMMITTED, good, ZM_E_FAILED, error);
    break;
  case ZM_RECORD_RETIRE:
    good = zm_loaded_stop (plugin->generation, step->deadline_ms);
    say_result (step, ZM_RECORD_RETIRED, good, ZM_E_TIMEOUT, NULL);
    break;
  case ZM_RECORD_CONFIGURE: configure (step); break;
  default: close_plugin (step);
  }
}

/* Of a plugin that there is not, or that could not be loaded, nothing can be asked but its end. */
static gboolean
refuse (ZmHosted *hosted, const ZmHostedStep *step)
{
  gboolean loaded = step->plugin != NULL && atomic_load (&step->plugin->ready);

  if (loaded || (step->plugin != NULL && (step->kind == ZM_RECORD_PREPARE || step->kind == ZM_RECORD_CLOSE)))
    return FALSE;
  zm_hosted_say_status (hosted, step->kind + (ZM_RECORD_PREPARED - ZM_RECORD_PREPARE), step->id,
                        ZM_E_NOT_FOUND, "the host has not loaded it");
  return TRUE;
}

/* ---- the thread ---- */

static ZmHostedStep *
next_step (ZmHosted *hosted)
{
  ZmHostedStep *step;

  pthread_mutex_lock (&hosted->life_lock);
  while (hosted->steps == NULL)
    pthread_cond_wait (&hosted->life_cond, &hosted->life_lock);
  step = hosted->steps;
  hosted->steps = step->next;
  if (hosted->steps == NULL)
    hosted->steps_end = &hosted->steps;
  pthread_mutex_unlock (&hosted->life_lock);
  return step;
}

static void *
life_main (void *user)
{
  ZmHosted *hosted = user;

  for (;;) {
    ZmHostedStep *step = next_step (hosted);

    if (step->forget) {
      zm_hosted_plugin_free (step->plugin);
    } else if (!refuse (hosted, step)) {
      bear_mark (step->plugin);
      zm_hosted_enter (step->plugin->serial);
      atomic_store (&hosted->page->loading, step->plugin->serial);
      do_step (step);
      atomic_store (&hosted->page->loading, 0);
      zm_hosted_enter (0);
      bear_mark (NULL);
    }
    g_free (step->values);
    g_free (step);
  }
  return NULL;
}

void
zm_hosted_life_push (ZmHosted *hosted, ZmHostedStep *step)
{
  step->next = NULL;
  pthread_mutex_lock (&hosted->life_lock);
  *hosted->steps_end = step;
  hosted->steps_end = &step->next;
  pthread_cond_signal (&hosted->life_cond);
  pthread_mutex_unlock (&hosted->life_lock);
}

gboolean
zm_hosted_life_start (ZmHosted *hosted, GError **error)
{
  pthread_t thread;
  int result;

  hosted->steps_end = &hosted->steps;
  pthread_mutex_init (&hosted->life_lock, NULL);
  pthread_cond_init (&hosted->life_cond, NULL);
  pthread_mutex_init (&hosted->told_lock, NULL);
  pthread_cond_init (&hosted->told_cond, NULL);
  result = zm_thread_create (&thread, "lives", life_main, hosted);
  if (result != 0)
    g_set_error (error, ZM_ERROR, ZM_ERROR_LIMIT, "no thread to be had: %s", g_strerror (result));
  return result == 0;
}
