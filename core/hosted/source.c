/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sources: one opening of each is open, run and close in one thread, as plugins keep things per thread. The daemon opens
 * again after a pause where it has to. A source is never woken outside open … close: while `waking` stands it is not closed.
 */
#include "config.h"

#include "hosted/hosted-private.h"

struct ZmHostedSource {
  zm_host host; /* first: what the plugin gets leads back here */
  ZmHostedPlugin *plugin;
  guint64 serial;
  char *name;
  ZmHostedValues *values;
  pthread_t thread;
  pthread_mutex_t lock; /* of what follows */
  pthread_cond_t changed;
  gboolean woken, shut;
  gboolean is_open, waking;
  gpointer open; /* what ops->open gave */
};

/* ---- the source's own host ---- */

static int
source_emit (const zm_host *host, const zm_event *event)
{
  const ZmHostedSource *source = (const ZmHostedSource *) host;

  return zm_hosted_emit (source->plugin, event, source->serial);
}

static int
source_emit_durable (const zm_host *host, const zm_event *event, zm_done_fn done, void *user)
{
  const ZmHostedSource *source = (const ZmHostedSource *) host;

  return zm_hosted_send (source->plugin, event, source->serial, done, user);
}

/* Its values do not change as long as it is open. */
static const char *
source_config (const zm_host *host, const char *key, unsigned index)
{
  const ZmHostedSource *source = (const ZmHostedSource *) host;
  const zm_plugin_desc *descriptor = zm_generation_descriptor (source->plugin->generation);

  return key != NULL ? zm_hosted_values_get (source->values, descriptor->options, key, index) : NULL;
}

/* ---- its thread ---- */

static const zm_source_ops *
ops_of (const ZmHostedSource *source)
{
  return zm_generation_descriptor (source->plugin->generation)->source;
}

static void
say (const ZmHostedSource *source, ZmRecordKind kind, guint n_numbers, int status)
{
  const ZmRecord record = {
    .kind = kind, .id = source->serial, .n_numbers = n_numbers, .numbers = { (guint64) (gint64) status }
  };

  zm_hosted_say_now (source->plugin->hosted, &record);
}

/* From here on it may be woken. FALSE: it was, and need not run. */
static gboolean
enter (ZmHostedSource *source, gpointer open)
{
  pthread_mutex_lock (&source->lock);
  source->open = open;
  source->is_open = !source->woken;
  pthread_mutex_unlock (&source->lock);
  return source->is_open;
}

/* From here on it is not woken any more, and a wake () that is under way has returned. */
static void
leave (ZmHostedSource *source)
{
  pthread_mutex_lock (&source->lock);
  source->is_open = FALSE;
  while (source->waking)
    pthread_cond_wait (&source->changed, &source->lock);
  pthread_mutex_unlock (&source->lock);
}

static void
wait_for_shut (ZmHostedSource *source)
{
  pthread_mutex_lock (&source->lock);
  while (!source->shut)
    pthread_cond_wait (&source->changed, &source->lock);
  pthread_mutex_unlock (&source->lock);
}

static void
source_free (ZmHostedSource *source)
{
  pthread_cond_destroy (&source->changed);
  pthread_mutex_destroy (&source->lock);
  g_free (source->name);
  g_free (source->values);
  g_free (source);
}

/* The thread is joined before the plugin's code goes: destructors of what it keeps per thread run after this. */
static void
leave_thread (ZmHostedPlugin *plugin, pthread_t thread)
{
  pthread_mutex_lock (&plugin->lock);
  g_array_append_val (plugin->ended, thread);
  plugin->sources--;
  pthread_mutex_unlock (&plugin->lock);
}

static void *
source_main (void *user)
{
  ZmHostedSource *source = user;
  const zm_source_ops *ops = ops_of (source);
  gpointer open = NULL;
  int status;

  zm_hosted_enter (source->plugin->serial);
  status = ops->open (zm_generation_state (source->plugin->generation), &source->host, &open);
  say (source, ZM_RECORD_OPENED, 1, status);
  if (status >= 0) {
    int result = enter (source, open) ? ops->run (open) : ZM_OK;

    leave (source);
    say (source, ZM_RECORD_RETURNED, 1, result);
  }
  wait_for_shut (source);
  if (status >= 0)
    ops->close (open);
  leave_thread (source->plugin, pthread_self ());
  say (source, ZM_RECORD_SHUTTED, 0, 0);
  source_free (source);
  return NULL;
}

/* ---- the reader ---- */

/* Each opening leaves a thread; those that are over by now cost nothing any more. */
static void
join_over (ZmHostedPlugin *plugin)
{
  pthread_mutex_lock (&plugin->lock);
  for (guint i = plugin->ended->len; i > 0; i--)
    if (pthread_tryjoin_np (g_array_index (plugin->ended, pthread_t, i - 1), NULL) == 0)
      g_array_remove_index_fast (plugin->ended, i - 1);
  pthread_mutex_unlock (&plugin->lock);
}

void
zm_hosted_sources_join (ZmHostedPlugin *plugin)
{
  for (;;) {
    pthread_t thread;

    pthread_mutex_lock (&plugin->lock);
    if (plugin->ended->len == 0) {
      pthread_mutex_unlock (&plugin->lock);
      return;
    }
    thread = g_array_index (plugin->ended, pthread_t, 0);
    g_array_remove_index_fast (plugin->ended, 0);
    pthread_mutex_unlock (&plugin->lock);
    pthread_join (thread, NULL);
  }
}

static ZmHostedSource *
source_new (ZmHostedPlugin *plugin, const ZmRecord *record)
{
  ZmHostedSource *source = g_new0 (ZmHostedSource, 1);

  source->host = *zm_generation_host (plugin->generation);
  source->host.emit = source_emit;
  source->host.emit_durable = source_emit_durable;
  source->host.config = source_config;
  source->plugin = plugin;
  source->serial = record->id;
  source->name = zm_record_text (record, 0);
  source->values = zm_hosted_values_new (record->n_parts > 1 ? record->parts[1] : zm_span (NULL, 0));
  pthread_mutex_init (&source->lock, NULL);
  pthread_cond_init (&source->changed, NULL);
  return source;
}

static void
count_source (ZmHostedPlugin *plugin, int change)
{
  zm_hosted_count_threads (plugin->hosted, change);
  pthread_mutex_lock (&plugin->lock);
  plugin->sources += (guint) change;
  pthread_mutex_unlock (&plugin->lock);
}

guint
zm_hosted_sources_left (ZmHostedPlugin *plugin)
{
  guint n;

  pthread_mutex_lock (&plugin->lock);
  n = plugin->sources;
  pthread_mutex_unlock (&plugin->lock);
  return n;
}

/* FALSE: there is no such plugin, it is no source, or no thread is to be had; then it is as if open had failed. */
static gboolean
start (ZmHosted *hosted, ZmHostedPlugin *plugin, const ZmRecord *record)
{
  g_autofree char *title = NULL;
  ZmHostedSource *source;

  if (plugin == NULL || !atomic_load (&plugin->ready) ||
      zm_generation_descriptor (plugin->generation)->source == NULL ||
      g_hash_table_contains (hosted->sources, &record->id))
    return FALSE;
  join_over (plugin);
  source = source_new (plugin, record);
  title = g_strdup_printf ("src-%.11s", source->name != NULL ? source->name : "");
  count_source (plugin, 1);
  if (zm_thread_create (&source->thread, title, source_main, source) != 0) {
    count_source (plugin, -1);
    source_free (source);
    return FALSE;
  }
  g_hash_table_insert (hosted->sources, &source->serial, source);
  return TRUE;
}

void
zm_hosted_source_open (ZmHosted *hosted, ZmHostedPlugin *plugin, const ZmRecord *record)
{
  const ZmRecord answer = { .kind = ZM_RECORD_OPENED,
                            .id = record->id,
                            .n_numbers = 1,
                            .numbers = { (guint64) (gint64) ZM_E_NOT_FOUND } };

  if (!start (hosted, plugin, record))
    zm_hosted_say_now (hosted, &answer);
}

static void *
wake_open (void *user)
{
  ZmHostedSource *source = user;

  zm_hosted_enter (source->plugin->serial);
  ops_of (source)->wake (source->open);
  pthread_mutex_lock (&source->lock);
  source->waking = FALSE;
  pthread_cond_broadcast (&source->changed);
  pthread_mutex_unlock (&source->lock);
  return NULL;
}

/* The plugin's wake () may hang, so that it has a thread of its own. Without one to be had the source is not woken; the
 * daemon loses its patience with it in time. */
static void
wake (ZmHostedSource *source)
{
  pthread_t thread;
  gboolean waking;

  pthread_mutex_lock (&source->lock);
  waking = source->is_open && !source->woken;
  source->woken = TRUE;
  source->waking |= waking;
  pthread_mutex_unlock (&source->lock);
  if (!waking)
    return;
  if (zm_thread_create (&thread, "wake", wake_open, source) == 0) {
    pthread_detach (thread);
    return;
  }
  pthread_mutex_lock (&source->lock);
  source->waking = source->woken = FALSE;
  pthread_cond_broadcast (&source->changed);
  pthread_mutex_unlock (&source->lock);
}

void
zm_hosted_source_wake (ZmHosted *hosted, guint64 serial)
{
  ZmHostedSource *source = g_hash_table_lookup (hosted->sources, &serial);

  if (source != NULL)
    wake (source);
}

/* The last that is heard of it: from here on its thread owns it. One that runs still is woken for it. */
void
zm_hosted_source_shut (ZmHosted *hosted, guint64 serial)
{
  ZmHostedSource *source = g_hash_table_lookup (hosted->sources, &serial);
  const ZmRecord answer = { .kind = ZM_RECORD_SHUTTED, .id = serial };

  if (source == NULL) {
    zm_hosted_say_now (hosted, &answer);
    return;
  }
  g_hash_table_remove (hosted->sources, &serial);
  wake (source);
  pthread_mutex_lock (&source->lock);
  source->shut = TRUE;
  pthread_cond_broadcast (&source->changed);
  pthread_mutex_unlock (&source->lock);
}
