/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The life of one source: open, run, close, a pause, and again. */
#include "config.h"

#include "base/zm-thread.h"
#include "plugin/zm-event.h"
#include "runtime/private.h"
#include "runtime/source.h"

#include <string.h>

#define PAUSE_FIRST_US (G_USEC_PER_SEC / 4)
#define PAUSE_MOST_US  (60 * G_USEC_PER_SEC)

/* ---- the source's own host ---- */

static int
counted (ZmSource *source, int status)
{
  zm_counter_add (status == ZM_OK ? source->events : source->refused, 1);
  return status;
}

/* zm_emit_durable of this source. In the source's thread, or one that it started; of one in a host, in that of the hosts. */
static int
source_emit_durable (const zm_host *host, const zm_event *event, zm_done_fn done, void *user)
{
  ZmSource *source = (ZmSource *) host;

  return counted (source,
                  zm_hosting_emit_durable (source->generation, event, source->key,
                                           zm_hosting_hops (source->generation), source->queue, done, user));
}

/* zm_emit of this source: its own key, its own counters. With queue= it is taken as soon as it waits to be written: what is lost
 * after that, as the disk is full, is counted where it is lost. */
static int
source_emit (const zm_host *host, const zm_event *event)
{
  ZmSource *source = (ZmSource *) host;

  if (source->queue != NULL)
    return source_emit_durable (host, event, NULL, NULL);
  return counted (
      source, zm_hosting_emit (source->generation, event, source->key, zm_hosting_hops (source->generation)));
}

/* The default that the plugin's schema gives for a key of its own. */
static const char *
standard_value (const ZmSource *source, const char *key)
{
  const zm_plugin_desc *desc = zm_generation_descriptor (source->generation);

  for (const zm_option_desc *option = ZM_HAS (desc, options) ? desc->options : NULL;
       option != NULL && option->name != NULL; option++)
    if (strcmp (option->name, key) == 0)
      return option->standard;
  return NULL;
}

/* zm_config of this source reads [source NAME]; what is not given there has the default of the plugin's schema. */
static const char *
source_config (const zm_host *host, const char *key, unsigned index)
{
  const ZmSource *source = (const ZmSource *) host;
  const char *const *values = key != NULL ? zm_config_list (source->config, source->section, key) : NULL;

  for (unsigned i = 0; values != NULL && values[i] != NULL; i++)
    if (i == index)
      return values[i];
  if (key == NULL || index > 0 || (values != NULL && values[0] != NULL))
    return NULL;
  return standard_value (source, key);
}

/* ---- the thread ---- */

/* Remembers why it does not run, for status, and says so, rate limited: a source that fails is tried again for ever. */
static void
set_error (ZmSource *source, const char *what, int status)
{
  g_autofree char *name = zm_status_text (status);
  char *text = g_strdup_printf ("%s gave %s", what, name);
  char *old;

  pthread_mutex_lock (&source->lock);
  old = source->error;
  source->error = text;
  pthread_mutex_unlock (&source->lock);
  g_free (old);
  zm_log_limited (source->runtime->log, ZM_LEVEL_WARNING, "source", "source-failed",
                  "source %s (plugin %s): %s gave %s; trying again", source->name,
                  zm_generation_name (source->generation), what, name);
}

/* From here on it may be woken. FALSE: it is to end, and must not run; who opened it closes it. */
static gboolean
enter (ZmSource *source, gpointer open)
{
  gboolean go;

  pthread_mutex_lock (&source->lock);
  go = !source->stopping;
  if (go) {
    source->open = open;
    source->is_open = TRUE;
    source->state = ZM_SOURCE_RUNNING;
    g_clear_pointer (&source->error, g_free);
  }
  pthread_mutex_unlock (&source->lock);
  return go;
}

/* From here on it is not woken any more, and a wake () that is under way has returned: it may be closed. */
static void
leave (ZmSource *source)
{
  pthread_mutex_lock (&source->lock);
  source->is_open = FALSE;
  while (source->waking)
    pthread_cond_wait (&source->wakeup, &source->lock);
  source->state = ZM_SOURCE_WAITING;
  source->restarts++;
  pthread_mutex_unlock (&source->lock);
}

/* One life: open, run, close, all in this thread, which is what plugins rely on for what they keep per thread. Returns
 * FALSE where the plugin's functions said no. */
static gboolean
live_once (ZmSource *source)
{
  gpointer open = NULL;
  int status = source->ops->open (zm_generation_state (source->generation), &source->host, &open);

  if (status < 0) {
    set_error (source, "open", status);
    return FALSE;
  }
  if (!enter (source, open)) {
    source->ops->close (open);
    return TRUE;
  }
  status = source->ops->run (open);
  leave (source);
  source->ops->close (open);
  if (status < 0)
    set_error (source, "run", status);
  return status >= 0;
}

/* Waits on the condition that zm_source_wake signals, so that stopping need not wait for the pause. TRUE: it is to end. */
static gboolean
pause_for (ZmSource *source, gint64 pause_us)
{
  gint64 until = zm_now_us () + pause_us;
  gboolean stopping;

  pthread_mutex_lock (&source->lock);
  while (!source->stopping && zm_cond_wait_until (&source->wakeup, &source->lock, until))
    continue;
  stopping = source->stopping;
  pthread_mutex_unlock (&source->lock);
  return stopping;
}

/* Opens it again and again until it is told to end. The pause doubles with each failure in a row up to a minute; one
 * that ran for a while, or returned of its own will, starts again with a short one. */
static void *
source_main (void *user)
{
  ZmSource *source = user;
  gint64 pause_us = PAUSE_FIRST_US;

  for (;;) {
    gint64 began = zm_now_us ();
    gboolean good = live_once (source);

    /* One that ran for a while starts again with a short pause. */
    if (good || zm_now_us () - began > PAUSE_MOST_US)
      pause_us = PAUSE_FIRST_US;
    if (pause_for (source, pause_us))
      break;
    pause_us = MIN (pause_us * 2, PAUSE_MOST_US);
  }
  pthread_mutex_lock (&source->lock);
  source->state = ZM_SOURCE_ENDED;
  pthread_mutex_unlock (&source->lock);
  return NULL;
}

/* ---- starting and ending ---- */

void
zm_source_free (ZmSource *source)
{
  pthread_cond_destroy (&source->wakeup);
  pthread_mutex_destroy (&source->lock);
  zm_generation_unref (source->generation, "source");
  zm_config_unref (source->config);
  g_free (source->name);
  g_free (source->section);
  g_free (source->error);
  g_free (source);
}

/* Pauses are measured on the monotonic clock: a changed wall clock neither cuts nor stretches them. */
static void
init_sync (ZmSource *source)
{
  pthread_mutex_init (&source->lock, NULL);
  zm_cond_init_monotonic (&source->wakeup);
}

/* Its host table is the generation's with emit and config replaced: `host` is the first member, so the table that comes
 * back from the plugin is the source. */
ZmSource *
zm_source_new (ZmRuntime *runtime, const char *name, ZmConfig *config, ZmGeneration *generation)
{
  ZmSource *source = g_new0 (ZmSource, 1);

  source->host = *zm_generation_host (generation);
  source->host.emit = source_emit;
  source->host.emit_durable = source_emit_durable;
  source->host.config = source_config;
  source->runtime = runtime;
  source->generation = zm_generation_ref (generation, "source");
  source->ops = zm_generation_descriptor (generation)->source;
  source->config = zm_config_ref (config);
  source->name = g_strdup (name);
  source->section = g_strconcat ("source ", name, NULL);
  source->key = zm_config_text (config, source->section, "key");
  source->queue = zm_config_text (config, source->section, "queue");
  source->events = zm_metrics_counter (runtime->metrics, "zmanager_source_events_total",
                                       "Events taken from a source", "source", name);
  source->refused =
      zm_metrics_counter (runtime->metrics, "zmanager_source_refused_total",
                          "Events of a source that were not taken (full, reserved, denied)", "source", name);
  init_sync (source);
  return source;
}

int
zm_source_start (ZmSource *source)
{
  g_autofree char *title = g_strdup_printf ("src-%.11s", source->name);

  return zm_thread_create (&source->thread, title, source_main, source);
}

/* In a thread of its own. The source is there until `waking` is over: its own thread waits for that before it ends. */
static void *
wake_open (void *user)
{
  ZmSource *source = user;

  source->ops->wake (source->open);
  pthread_mutex_lock (&source->lock);
  source->waking = FALSE;
  pthread_cond_broadcast (&source->wakeup);
  pthread_mutex_unlock (&source->lock);
  return NULL;
}

/* The plugin's wake () may wait for its run () to return, and may hang: neither the main loop nor whoever asks for the
 * source's state waits for it. One that does not come back keeps its source's thread, which is then left behind. */
void
zm_source_wake (ZmSource *source)
{
  g_autofree char *title = g_strdup_printf ("wake-%.10s", source->name);
  pthread_t thread;
  gboolean waking;

  pthread_mutex_lock (&source->lock);
  source->stopping = TRUE;
  source->waking = waking = source->is_open;
  pthread_cond_broadcast (&source->wakeup);
  pthread_mutex_unlock (&source->lock);
  if (!waking)
    return;
  /* Without a thread to be had, waking it here is better than not at all. */
  if (zm_thread_create (&thread, title, wake_open, source) == 0)
    pthread_detach (thread);
  else
    wake_open (source);
}
