/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* State behind the host's services: ids and metrics of plugins. */
#include "config.h"

#include "plugin/zm-event.h"
#include "runtime/hosting-private.h"
#include "runtime/kept.h"
#include "runtime/private.h"

#include <string.h>

ZmHosting *
zm_hosting_new (struct ZmRuntime *runtime)
{
  ZmHosting *hosting = g_new0 (ZmHosting, 1);

  hosting->runtime = runtime;
  hosting->body_most = (gsize) zm_config_integer (runtime->config, "subject", "max-message");
  zm_uuid_maker_init (&hosting->ids);
  hosting->metrics =
      g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_hash_table_unref);
  hosting->budgets = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  pthread_mutex_init (&hosting->lock, NULL);
  hosting->emitted = zm_metrics_counter (runtime->metrics, "zmanager_emitted_total",
                                         "Messages that plugins emitted", NULL, NULL);
  hosting->denied = zm_metrics_counter (runtime->metrics, "zmanager_emit_denied_total",
                                        "Messages of plugins with a reserved key", NULL, NULL);
  hosting->loops = zm_metrics_counter (runtime->metrics, "zmanager_emit_loops_total",
                                       "Messages of plugins refused after too many hops", NULL, NULL);
  hosting->unstored = zm_metrics_counter (
      runtime->metrics, "zmanager_plugin_unstored_total",
      "What plugins gave to be stored without asking how it ended, and was lost", NULL, NULL);
  hosting->kept = zm_kept_new (runtime);
  return hosting;
}

void
zm_hosting_free (ZmHosting *hosting)
{
  if (hosting == NULL)
    return;
  zm_hosting_forget_logs (hosting, NULL);
  zm_kept_free (hosting->kept);
  g_hash_table_unref (hosting->budgets);
  g_hash_table_unref (hosting->metrics);
  pthread_mutex_destroy (&hosting->lock);
  g_free (hosting);
}

void
zm_hosting_accept (ZmHosting *hosting, gboolean on)
{
  atomic_store_explicit (&hosting->accepting, on, memory_order_release);
  if (!on)
    atomic_store_explicit (&hosting->over, TRUE, memory_order_release);
}

gboolean
zm_hosting_over (ZmHosting *hosting)
{
  return atomic_load_explicit (&hosting->over, memory_order_acquire);
}

/* ---- metrics ---- */

/* lock held. The counter of this plugin's metric, made at its first use; NULL: the plugin has as many as it may. Two
 * plugins may use one name: the label tells them apart. */
static ZmCounter *
find_metric (ZmHosting *hosting, const char *plugin, int kind, const char *name)
{
  GHashTable *own = g_hash_table_lookup (hosting->metrics, plugin);
  ZmCounter *counter;
  g_autofree char *full = NULL;

  if (own == NULL) {
    own = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
    g_hash_table_insert (hosting->metrics, g_strdup (plugin), own);
  }
  counter = g_hash_table_lookup (own, name);
  if (counter != NULL || g_hash_table_size (own) >= ZM_HOSTING_METRICS_MOST)
    return counter;
  full = g_strconcat ("zmanager_plugin_", name, NULL);
  counter =
      kind == ZM_METRIC_GAUGE
          ? zm_metrics_gauge (hosting->runtime->metrics, full, "A plugin's own gauge", "plugin", plugin)
          : zm_metrics_counter (hosting->runtime->metrics, full, "A plugin's own counter", "plugin", plugin);
  g_hash_table_insert (own, g_strdup (name), counter);
  return counter;
}

/* From any thread. */
int
zm_hosting_metric (ZmHosting *hosting, const char *plugin, int kind, const char *name, double value)
{
  ZmCounter *counter;

  if (!zm_metric_check (kind, name, value))
    return ZM_E_INVALID;
  pthread_mutex_lock (&hosting->lock);
  counter = find_metric (hosting, plugin, kind, name);
  pthread_mutex_unlock (&hosting->lock);
  if (counter == NULL)
    return ZM_E_MEMORY;
  if (kind == ZM_METRIC_GAUGE)
    zm_counter_set (counter, (gint64) value);
  else
    zm_counter_add (counter, (guint64) value);
  return ZM_OK;
}

/* One entry of the table of plugins. TRUE: it is taken out, with its metrics, which show no more. */
static gboolean
forget_plugin (gpointer key, gpointer value, gpointer user)
{
  gpointer *context = user;
  ZmHosting *hosting = context[0];
  GHashTableIter iter;
  gpointer counter;

  if (context[1] != NULL && zm_plugin_set_find (context[1], key) != NULL)
    return FALSE;
  g_hash_table_iter_init (&iter, value);
  while (g_hash_table_iter_next (&iter, NULL, &counter))
    zm_metrics_remove (hosting->runtime->metrics, counter);
  return TRUE;
}

void
zm_hosting_forget (ZmHosting *hosting, ZmPluginSet *now)
{
  gpointer context[] = { hosting, now };

  pthread_mutex_lock (&hosting->lock);
  g_hash_table_foreach_remove (hosting->metrics, forget_plugin, context);
  zm_hosting_forget_logs (hosting, now);
  pthread_mutex_unlock (&hosting->lock);
}
