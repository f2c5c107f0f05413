/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Services that belong to no call: log, metrics, configuration, threads. Any thread of the plugin. */
#include "config.h"

#include "hosted/hosted-private.h"
#include "plugin/zm-event.h"

#include <string.h>

#define LOG_MOST     ((gsize) 64 << 10) /* bytes of a line that go to the daemon, which cuts them further */
#define WARN_EACH_US G_USEC_PER_SEC

ZmHostedPlugin *
zm_hosted_plugin_of (const zm_host *host)
{
  return zm_generation_owner (zm_generation_of_host (host));
}

static void
say_log (ZmHostedPlugin *plugin, int level, const char *text)
{
  const ZmRecord record = { .kind = ZM_RECORD_LOG,
                            .id = plugin->serial,
                            .n_numbers = 1,
                            .numbers = { (guint64) CLAMP (level, ZM_LOG_ERROR, ZM_LOG_DEBUG) },
                            .n_parts = 1,
                            .parts = { zm_span (text, strnlen (text, LOG_MOST)) } };

  zm_hosted_say (plugin->hosted, &record);
}

static void
host_log (const zm_host *host, int level, const char *text)
{
  say_log (zm_hosted_plugin_of (host), level, text != NULL ? text : "");
}

/* What a plugin does wrong it may do without end. */
void
zm_hosted_warn (ZmHostedPlugin *plugin, const char *text)
{
  g_autofree char *line = NULL;
  gint64 now_us = zm_now_us ();
  gboolean quiet;

  pthread_mutex_lock (&plugin->lock);
  quiet = plugin->warned_us != 0 && now_us - plugin->warned_us < WARN_EACH_US;
  if (!quiet)
    plugin->warned_us = now_us;
  pthread_mutex_unlock (&plugin->lock);
  if (quiet)
    return;
  line = g_strdup_printf ("plugin %s: %s", plugin->name, text);
  say_log (plugin, ZM_LOG_WARNING, line);
}

static const char *
host_config (const zm_host *host, const char *key, unsigned index)
{
  ZmHostedPlugin *plugin = zm_hosted_plugin_of (host);
  const char *value;

  if (key == NULL)
    return NULL;
  pthread_mutex_lock (&plugin->lock);
  value = zm_hosted_values_get (plugin->values, zm_generation_descriptor (plugin->generation)->options, key,
                                index);
  pthread_mutex_unlock (&plugin->lock);
  return value;
}

/* FALSE: it has as many as it may. */
static gboolean
know_metric (ZmHostedPlugin *plugin, const char *name)
{
  gboolean known;

  pthread_mutex_lock (&plugin->lock);
  known = g_hash_table_contains (plugin->metrics, name);
  if (!known && g_hash_table_size (plugin->metrics) < ZM_HOSTED_METRICS)
    known = g_hash_table_add (plugin->metrics, g_strdup (name));
  pthread_mutex_unlock (&plugin->lock);
  return known;
}

static int
host_metric (const zm_host *host, int kind, const char *name, double value)
{
  ZmHostedPlugin *plugin = zm_hosted_plugin_of (host);
  ZmRecord record = { .kind = ZM_RECORD_METRIC, .id = plugin->serial, .n_numbers = 2, .n_parts = 1 };

  if (!zm_metric_check (kind, name, value))
    return ZM_E_INVALID;
  if (!know_metric (plugin, name))
    return ZM_E_MEMORY;
  record.numbers[0] = (guint64) kind;
  memcpy (&record.numbers[1], &value, sizeof value);
  record.parts[0] = zm_span_text (name);
  zm_hosted_say (plugin->hosted, &record);
  return ZM_OK;
}

/* Its stack is not what its plugin is limited in; counted by the most that there were at a time, as threads end without a word.
 * Two that are started at once may count as one: there is room for some. */
static void
make_room_for_thread (ZmHostedPlugin *plugin)
{
  guint running = zm_loaded_threads (plugin->generation) + 1;
  gboolean more;

  pthread_mutex_lock (&plugin->lock);
  more = running > plugin->own_threads;
  plugin->own_threads += more;
  pthread_mutex_unlock (&plugin->lock);
  if (more)
    zm_hosted_count_threads (plugin->hosted, 1);
}

/* Without wake a thread could not be ended, and its code not be unloaded. */
static int
host_thread_start (const zm_host *host, const char *name, void (*run) (void *user), void (*wake) (void *user),
                   void *user)
{
  if (name == NULL || run == NULL || wake == NULL)
    return ZM_E_INVALID;
  make_room_for_thread (zm_hosted_plugin_of (host));
  return zm_generation_thread_start (zm_generation_of_host (host), name, run, wake, user);
}

void
zm_hosted_fill_services (zm_host *host)
{
  memset (host, 0, sizeof *host);
  host->struct_size = sizeof *host;
  host->abi_minor = ZM_ABI_MINOR;
  zm_hosted_fill_call_services (host);
  zm_hosted_fill_deferred (host);
  zm_hosted_fill_emits (host);
  zm_hosted_fill_timers (host);
  zm_hosted_fill_stored (host);
  host->log = host_log;
  host->config = host_config;
  host->metric = host_metric;
  host->thread_start = host_thread_start;
}
