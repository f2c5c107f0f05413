/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How the store is: in words, as JSON, and in counters. */
#include "config.h"

#include "base/zm-base.h"
#include "store/store-private.h"

void
zm_store_count (ZmStore *store)
{
  ZmMetrics *metrics = store->metrics;

  store->writes = zm_metrics_counter (metrics, "zmanager_store_writes_total",
                                      "Transactions of the store, with those that failed", NULL, NULL);
  store->units =
      zm_metrics_counter (metrics, "zmanager_store_units_total",
                          "Changes that callers asked for, many of which share a transaction", NULL, NULL);
  store->bytes = zm_metrics_counter (metrics, "zmanager_store_written_bytes_total",
                                     "Bytes given to the store", NULL, NULL);
  store->write_us = zm_metrics_counter (metrics, "zmanager_store_write_microseconds_total",
                                        "Time that transactions took, with their sync", NULL, NULL);
  store->failures = zm_metrics_counter (metrics, "zmanager_store_failed_total",
                                        "Transactions that the store did not take", NULL, NULL);
  store->refused = zm_metrics_counter (
      metrics, "zmanager_store_refused_total",
      "Changes refused at once: too many waited, no space, or the store failed", NULL, NULL);
  store->disk = zm_metrics_gauge (metrics, "zmanager_store_bytes", "Size of the store", NULL, NULL);
  store->in_trouble = zm_metrics_gauge (metrics, "zmanager_store_trouble",
                                        "1 while the store failed or has no space left", NULL, NULL);
}

static gboolean
figures_of (ZmStore *store, zm_store_figures *figures)
{
  *figures = (zm_store_figures){ .struct_size = sizeof *figures };
  return store->ops->figures (store->plugin, figures) == ZM_OK;
}

void
zm_store_measure (ZmStore *store)
{
  zm_store_figures figures;

  if (figures_of (store, &figures))
    zm_counter_set (store->disk, (gint64) figures.bytes);
}

/* With the lock held. */
static char *
trouble_text (const ZmStore *store)
{
  g_autoptr (GDateTime) time = NULL;
  g_autofree char *since = NULL;

  if (!store->failed && !store->full)
    return NULL;
  time = g_date_time_new_from_unix_local (store->since_us / G_USEC_PER_SEC);
  since = time != NULL ? g_date_time_format (time, "%F %T") : g_strdup ("?");
  if (store->failed)
    return g_strdup_printf ("the store failed (since %s, %u tries to recover): %s", since, store->tries,
                            store->why);
  return g_strdup_printf ("the store has no space left (since %s): %s", since, store->why);
}

char *
zm_store_trouble (ZmStore *store)
{
  char *text;

  pthread_mutex_lock (&store->lock);
  text = trouble_text (store);
  pthread_mutex_unlock (&store->lock);
  return text;
}

static void
append_number (GString *out, const char *name, guint64 value)
{
  g_string_append_printf (out, ",\"%s\":%" G_GUINT64_FORMAT, name, value);
}

static void
append_figures (GString *out, ZmStore *store)
{
  zm_store_figures figures;

  if (!figures_of (store, &figures))
    return;
  zm_counter_set (store->disk, (gint64) figures.bytes);
  append_number (out, "schema", figures.schema);
  append_number (out, "bytes", figures.bytes);
  append_number (out, "free-bytes", figures.free_bytes);
  append_number (out, "records", figures.records);
  append_number (out, "syncs", figures.syncs);
  append_number (out, "sync-mean-us", figures.syncs > 0 ? figures.sync_us / figures.syncs : 0);
}

static void
append_state (GString *out, ZmStore *store)
{
  g_autofree char *trouble = NULL;
  const char *state;
  guint64 bytes, units;

  pthread_mutex_lock (&store->lock);
  trouble = trouble_text (store);
  state = store->failed ? "failed" : store->full ? "full" : "ok";
  bytes = store->waiting;
  units = store->waiting_units;
  pthread_mutex_unlock (&store->lock);
  append_number (out, "waiting", units);
  append_number (out, "waiting-bytes", bytes);
  g_string_append_printf (out, ",\"state\":\"%s\",\"trouble\":", state);
  if (trouble != NULL)
    zm_json_append_string (out, zm_span_text (trouble));
  else
    g_string_append (out, "null");
}

char *
zm_store_status_json (ZmStore *store)
{
  GString *out = g_string_new ("{\"driver\":");

  zm_json_append_string (out, zm_span_text (store->driver));
  g_string_append_printf (out, ",\"durable\":%s,\"shared\":%s",
                          (store->ops->flags & ZM_STORE_DURABLE) != 0 ? "true" : "false",
                          (store->ops->flags & ZM_STORE_SHARED) != 0 ? "true" : "false");
  append_figures (out, store);
  append_number (out, "writes", (guint64) zm_counter_get (store->writes));
  append_number (out, "units", (guint64) zm_counter_get (store->units));
  append_number (out, "failed", (guint64) zm_counter_get (store->failures));
  append_state (out, store);
  g_string_append_c (out, '}');
  return g_string_free (out, FALSE);
}
