/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The threads of sources. `lock` guards a source's state and is held over wake (), so that a source is never woken outside
 * open … close.
 */
#include "config.h"

#include "runtime/private.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#define PAUSE_FIRST_US (G_USEC_PER_SEC / 4)
#define PAUSE_MOST_US  (60 * G_USEC_PER_SEC)
/* How long one that is replaced may take to return from run (). */
#define STOP_US (5 * G_USEC_PER_SEC)

typedef enum { SOURCE_WAITING, SOURCE_RUNNING, SOURCE_ENDED } SourceState;

static const char *const state_names[] = { "waiting", "running", "ended" };

typedef struct Source {
  zm_host host; /* first: what the plugin gets leads back here */
  ZmRuntime *runtime;
  ZmGeneration *generation;
  const zm_source_ops *ops;
  ZmConfig *config; /* the one that its strings come from */
  char *name, *section;
  const char *key; /* of the section; or NULL */
  pthread_t thread;
  gboolean joined;
  ZmCounter *events, *refused;

  pthread_mutex_t lock; /* guards what follows */
  pthread_cond_t wakeup;
  gboolean stopping;
  gpointer open; /* what ops->open gave; NULL with is_open FALSE */
  gboolean is_open;
  SourceState state;
  guint restarts;
  char *error;
} Source;

struct ZmSources {
  ZmRuntime *runtime;
  GPtrArray *list; /* Source */
  guint stuck;     /* left behind */
};

/* ---- the source's own host ---- */

static int
source_emit (const zm_host *host, const zm_event *event)
{
  Source *source = (Source *) host;
  int status = zm_hosting_emit (source->generation, event, source->key);

  zm_counter_add (status == ZM_OK ? source->events : source->refused, 1);
  return status;
}

/* The default that the plugin's schema gives. */
static const char *
standard_value (const Source *source, const char *key)
{
  const zm_plugin_desc *desc = zm_generation_descriptor (source->generation);

  for (const zm_option_desc *option = ZM_HAS (desc, options) ? desc->options : NULL;
       option != NULL && option->name != NULL; option++)
    if (strcmp (option->name, key) == 0)
      return option->standard;
  return NULL;
}

static const char *
source_config (const zm_host *host, const char *key, unsigned index)
{
  const Source *source = (const Source *) host;
  const char *const *values = key != NULL ? zm_config_list (source->config, source->section, key) : NULL;

  for (unsigned i = 0; values != NULL && values[i] != NULL; i++)
    if (i == index)
      return values[i];
  if (key == NULL || index > 0 || (values != NULL && values[0] != NULL))
    return NULL;
  return standard_value (source, key);
}

/* ---- the thread ---- */

static void
set_error (Source *source, const char *what, int status)
{
  char *text = g_strdup_printf ("%s gave %d", what, status);
  char *old;

  pthread_mutex_lock (&source->lock);
  old = source->error;
  source->error = text;
  pthread_mutex_unlock (&source->lock);
  g_free (old);
  zm_log_limited (source->runtime->log, ZM_LEVEL_WARNING, "source", "source-failed",
                  "source %s (plugin %s): %s; trying again", source->name,
                  zm_generation_name (source->generation), what);
}

/* FALSE: it is to end, and must not run. */
static gboolean
enter (Source *source, gpointer open)
{
  gboolean go;

  pthread_mutex_lock (&source->lock);
  go = !source->stopping;
  if (go) {
    source->open = open;
    source->is_open = TRUE;
    source->state = SOURCE_RUNNING;
    g_clear_pointer (&source->error, g_free);
  }
  pthread_mutex_unlock (&source->lock);
  return go;
}

static void
leave (Source *source)
{
  pthread_mutex_lock (&source->lock);
  source->is_open = FALSE;
  source->state = SOURCE_WAITING;
  source->restarts++;
  pthread_mutex_unlock (&source->lock);
}

/* One life: open, run, close. Returns FALSE where the plugin's functions said no. */
static gboolean
live_once (Source *source)
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

/* Waits; TRUE: it is to end. */
static gboolean
pause_for (Source *source, gint64 pause_us)
{
  gint64 until = zm_now_us () + pause_us;
  struct timespec time = { .tv_sec = until / G_USEC_PER_SEC, .tv_nsec = (until % G_USEC_PER_SEC) * 1000 };
  gboolean stopping;

  pthread_mutex_lock (&source->lock);
  while (!source->stopping && zm_now_us () < until)
    pthread_cond_timedwait (&source->wakeup, &source->lock, &time);
  stopping = source->stopping;
  pthread_mutex_unlock (&source->lock);
  return stopping;
}

static void *
source_main (void *user)
{
  Source *source = user;
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
  source->state = SOURCE_ENDED;
  pthread_mutex_unlock (&source->lock);
  return NULL;
}

/* ---- starting and ending ---- */

static void
source_free (Source *source)
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

static void
init_sync (Source *source)
{
  pthread_condattr_t monotonic;

  pthread_mutex_init (&source->lock, NULL);
  pthread_condattr_init (&monotonic);
  pthread_condattr_setclock (&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init (&source->wakeup, &monotonic);
  pthread_condattr_destroy (&monotonic);
}

static Source *
source_new (ZmRuntime *runtime, const char *name, ZmConfig *config, ZmGeneration *generation)
{
  Source *source = g_new0 (Source, 1);

  source->host = *zm_generation_host (generation);
  source->host.emit = source_emit;
  source->host.config = source_config;
  source->runtime = runtime;
  source->generation = zm_generation_ref (generation, "source");
  source->ops = zm_generation_descriptor (generation)->source;
  source->config = zm_config_ref (config);
  source->name = g_strdup (name);
  source->section = g_strconcat ("source ", name, NULL);
  source->key = zm_config_text (config, source->section, "key");
  source->events = zm_metrics_counter (runtime->metrics, "zmanager_source_events_total",
                                       "Events taken from a source", "source", name);
  source->refused =
      zm_metrics_counter (runtime->metrics, "zmanager_source_refused_total",
                          "Events of a source that were not taken (full, reserved, denied)", "source", name);
  init_sync (source);
  return source;
}

/* Signals are the main thread's affair. */
static int
start_thread (Source *source)
{
  sigset_t all, before;
  int status;

  sigfillset (&all);
  pthread_sigmask (SIG_SETMASK, &all, &before);
  status = pthread_create (&source->thread, NULL, source_main, source);
  pthread_sigmask (SIG_SETMASK, &before, NULL);
  if (status == 0) {
    g_autofree char *title = g_strdup_printf ("src-%.11s", source->name);

    pthread_setname_np (source->thread, title);
  }
  return status;
}

static void
source_wake (Source *source)
{
  pthread_mutex_lock (&source->lock);
  source->stopping = TRUE;
  if (source->is_open)
    source->ops->wake (source->open);
  pthread_cond_signal (&source->wakeup);
  pthread_mutex_unlock (&source->lock);
}

/* Waits for the thread's end. FALSE: it did not come; the source stays in memory as its thread uses it. */
static gboolean
source_join (ZmSources *sources, Source *source, gint64 deadline_us)
{
  gint64 left = MAX (deadline_us - zm_now_us (), 0);
  gint64 until = zm_wall_us () + left;
  struct timespec time = { .tv_sec = until / G_USEC_PER_SEC, .tv_nsec = (until % G_USEC_PER_SEC) * 1000 };

  if (pthread_timedjoin_np (source->thread, NULL, &time) == 0) {
    source_free (source);
    return TRUE;
  }
  pthread_detach (source->thread);
  sources->stuck++;
  zm_log_write (sources->runtime->log, ZM_LEVEL_ERROR, "source",
                "source %s (plugin %s) does not return from run () after wake (): its thread is left behind",
                source->name, zm_generation_name (source->generation));
  return FALSE;
}

ZmSources *
zm_sources_new (struct ZmRuntime *runtime)
{
  ZmSources *sources = g_new0 (ZmSources, 1);

  sources->runtime = runtime;
  sources->list = g_ptr_array_new ();
  return sources;
}

/* Do both configurations say the same of this section? */
static gboolean
same_section (const ZmConfig *a, const ZmConfig *b, const char *section)
{
  g_auto (GStrv) keys_a = zm_config_keys (a, section);
  g_auto (GStrv) keys_b = zm_config_keys (b, section);

  if (g_strv_length (keys_a) != g_strv_length (keys_b))
    return FALSE;
  for (char **key = keys_a; *key != NULL; key++)
    if (!g_strv_equal (zm_config_list (a, section, *key), zm_config_list (b, section, *key)))
      return FALSE;
  return TRUE;
}

static gboolean
stays (const Source *source, ZmConfig *config, ZmPluginSet *set)
{
  g_auto (GStrv) names = zm_config_names (config, "source");

  return g_strv_contains ((const char *const *) names, source->name) &&
         zm_plugin_set_find (set, zm_load_source_plugin (config, source->name)) == source->generation &&
         same_section (source->config, config, source->section);
}

static Source *
find (ZmSources *sources, const char *name)
{
  for (guint i = 0; i < sources->list->len; i++) {
    Source *source = g_ptr_array_index (sources->list, i);

    if (strcmp (source->name, name) == 0)
      return source;
  }
  return NULL;
}

/* All that change are woken first, so that they end side by side. */
static void
end_changed (ZmSources *sources, ZmConfig *config, ZmPluginSet *set)
{
  g_autoptr (GPtrArray) ending = g_ptr_array_new ();
  gint64 deadline_us = zm_now_us () + STOP_US;

  for (guint i = 0; i < sources->list->len;) {
    Source *source = g_ptr_array_index (sources->list, i);

    if (stays (source, config, set)) {
      i++;
      continue;
    }
    source_wake (source);
    g_ptr_array_add (ending, source);
    g_ptr_array_remove_index (sources->list, i);
  }
  for (guint i = 0; i < ending->len; i++)
    source_join (sources, g_ptr_array_index (ending, i), deadline_us);
}

void
zm_sources_apply (ZmSources *sources, ZmConfig *config, ZmPluginSet *set)
{
  g_auto (GStrv) names = zm_config_names (config, "source");

  end_changed (sources, config, set);
  for (char **name = names; *name != NULL; name++) {
    ZmGeneration *generation = zm_plugin_set_find (set, zm_load_source_plugin (config, *name));
    Source *source;

    if (find (sources, *name) != NULL || generation == NULL ||
        !ZM_HAS (zm_generation_descriptor (generation), source))
      continue;
    source = source_new (sources->runtime, *name, config, generation);
    if (start_thread (source) == 0) {
      g_ptr_array_add (sources->list, source);
      continue;
    }
    zm_log_write (sources->runtime->log, ZM_LEVEL_ERROR, "source", "source %s: no thread to be had", *name);
    source_free (source);
  }
}

gboolean
zm_sources_stop (ZmSources *sources, gint64 deadline_us)
{
  for (guint i = 0; i < sources->list->len; i++)
    source_wake (g_ptr_array_index (sources->list, i));
  for (guint i = 0; i < sources->list->len; i++)
    source_join (sources, g_ptr_array_index (sources->list, i), deadline_us);
  g_ptr_array_set_size (sources->list, 0);
  return sources->stuck == 0;
}

void
zm_sources_free (ZmSources *sources)
{
  if (sources == NULL)
    return;
  zm_sources_stop (sources, zm_now_us () + STOP_US);
  g_ptr_array_unref (sources->list);
  g_free (sources);
}

void
zm_sources_reasons (ZmSources *sources, GPtrArray *out)
{
  for (guint i = 0; i < sources->list->len; i++) {
    Source *source = g_ptr_array_index (sources->list, i);

    pthread_mutex_lock (&source->lock);
    if (source->error != NULL)
      g_ptr_array_add (out, g_strdup_printf ("source %s: %s", source->name, source->error));
    pthread_mutex_unlock (&source->lock);
  }
  if (sources->stuck > 0)
    g_ptr_array_add (
        out, g_strdup_printf ("%u threads of sources did not end and were left behind", sources->stuck));
}

static void
append_source (GString *out, Source *source)
{
  g_string_append (out, "{\"name\":");
  zm_json_append_string (out, zm_span_text (source->name));
  g_string_append (out, ",\"plugin\":");
  zm_json_append_string (out, zm_span_text (zm_generation_name (source->generation)));
  g_string_append_printf (out, ",\"events\":%" G_GINT64_FORMAT ",\"refused\":%" G_GINT64_FORMAT,
                          zm_counter_get (source->events), zm_counter_get (source->refused));
  pthread_mutex_lock (&source->lock);
  g_string_append_printf (out, ",\"state\":\"%s\",\"restarts\":%u,\"error\":", state_names[source->state],
                          source->restarts);
  zm_json_append_string (out, zm_span_text (source->error));
  pthread_mutex_unlock (&source->lock);
  g_string_append_c (out, '}');
}

char *
zm_sources_json (ZmSources *sources)
{
  GString *out = g_string_new ("[");

  for (guint i = 0; i < sources->list->len; i++) {
    if (i > 0)
      g_string_append_c (out, ',');
    append_source (out, g_ptr_array_index (sources->list, i));
  }
  g_string_append_c (out, ']');
  return g_string_free (out, FALSE);
}
