/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The set of sources: which run, which are replaced at a reload, what they are like. */
#include "config.h"

#include "runtime/private.h"
#include "runtime/source.h"

#include <string.h>

/* How long one that is replaced may take to return from run (). */
#define STOP_US (5 * G_USEC_PER_SEC)

static const char *const state_names[] = { "waiting", "running", "ended" };

struct ZmSources {
  ZmRuntime *runtime;
  GPtrArray *list; /* ZmSource: those that have a thread and are not told to end */
  guint stuck;     /* left behind: their thread did not return, and uses its source on */
};

/* Waits for the thread's end. pthread has this wait on the wall clock only; a clock that jumps makes it shorter or
 * longer once. FALSE: it did not come; the source stays in memory as its thread uses it, and so does its plugin. */
static gboolean
source_join (ZmSources *sources, ZmSource *source, gint64 deadline_us)
{
  gint64 left = MAX (deadline_us - zm_now_us (), 0);
  gint64 until = zm_wall_us () + left;
  struct timespec time = { .tv_sec = until / G_USEC_PER_SEC, .tv_nsec = (until % G_USEC_PER_SEC) * 1000 };

  if (pthread_timedjoin_np (source->thread, NULL, &time) == 0) {
    zm_source_free (source);
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

/* Do both configurations say the same of this section? Order of keys does not count, order of values of one key does. */
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

/* Does a reload leave it alone? Then the events that it is about to give are not interrupted: same name, same plugin
 * generation, same section. */
static gboolean
stays (const ZmSource *source, ZmConfig *config, ZmPluginSet *set)
{
  g_auto (GStrv) names = zm_config_names (config, "source");

  return g_strv_contains ((const char *const *) names, source->name) &&
         zm_plugin_set_find (set, zm_load_source_plugin (config, source->name)) == source->generation &&
         same_section (source->config, config, source->section);
}

static ZmSource *
find (ZmSources *sources, const char *name)
{
  for (guint i = 0; i < sources->list->len; i++) {
    ZmSource *source = g_ptr_array_index (sources->list, i);

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
    ZmSource *source = g_ptr_array_index (sources->list, i);

    if (stays (source, config, set)) {
      i++;
      continue;
    }
    zm_source_wake (source);
    g_ptr_array_add (ending, source);
    g_ptr_array_remove_index (sources->list, i);
  }
  for (guint i = 0; i < ending->len; i++)
    source_join (sources, g_ptr_array_index (ending, i), deadline_us);
}

/* After the table was swapped: the first event of a new source finds its mapping. A source whose plugin could not be
 * loaded is left out; the load told so. */
void
zm_sources_apply (ZmSources *sources, ZmConfig *config, ZmPluginSet *set)
{
  g_auto (GStrv) names = zm_config_names (config, "source");

  end_changed (sources, config, set);
  for (char **name = names; *name != NULL; name++) {
    ZmGeneration *generation = zm_plugin_set_find (set, zm_load_source_plugin (config, *name));
    ZmSource *source;

    if (find (sources, *name) != NULL || generation == NULL ||
        !ZM_HAS (zm_generation_descriptor (generation), source))
      continue;
    source = zm_source_new (sources->runtime, *name, config, generation);
    if (zm_source_start (source) == 0) {
      g_ptr_array_add (sources->list, source);
      continue;
    }
    zm_log_write (sources->runtime->log, ZM_LEVEL_ERROR, "source", "source %s: no thread to be had", *name);
    zm_source_free (source);
  }
}

/* All are woken first, so that the slowest decides how long it takes and not their sum. */
gboolean
zm_sources_stop (ZmSources *sources, gint64 deadline_us)
{
  for (guint i = 0; i < sources->list->len; i++)
    zm_source_wake (g_ptr_array_index (sources->list, i));
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
    ZmSource *source = g_ptr_array_index (sources->list, i);

    pthread_mutex_lock (&source->lock);
    if (source->error != NULL)
      g_ptr_array_add (out, g_strdup_printf ("source %s: %s", source->name, source->error));
    pthread_mutex_unlock (&source->lock);
  }
  if (sources->stuck > 0)
    g_ptr_array_add (
        out, g_strdup_printf ("%u threads of sources did not end and were left behind", sources->stuck));
}

/* Counters without the lock, state under it: the source's thread may set it just now. */
static void
append_source (GString *out, ZmSource *source)
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
