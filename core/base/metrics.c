/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The register of counters and gauges. Its lock guards the names; the numbers themselves are atomic.
 *
 * A counter is looked up once, by who will count, and then added to without lock or look-up; so it lives as long as the
 * register, and removing one only hides it.
 */
#include "config.h"

#include "base/zm-metrics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define COUNTERS_MOST 4096
#define CACHE_LINE    64

struct ZmCounter {
  _Alignas(CACHE_LINE) _Atomic gint64 value;
  char *name;
  char *label_name; /* NULL where there is no label */
  char *label;
  char *help;
  gboolean gauge;  /* goes up and down */
  gboolean hidden; /* removed: not shown; under the lock of the register */
};

struct ZmMetrics {
  pthread_mutex_t lock;
  GHashTable *by_name; /* "name", or "name\nlabel name\nlabel" -> ZmCounter */
  GPtrArray *all;      /* in the order in which they were made */
  ZmCounter *overflow; /* takes what found no room */
};

static void
counter_free (gpointer data)
{
  ZmCounter *counter = data;

  g_free (counter->name);
  g_free (counter->label_name);
  g_free (counter->label);
  g_free (counter->help);
  free (counter);
}

/* A cache line of its own: counters of different threads that lie side by side would take it from each other at every
 * addition. NULL: out of memory; the caller has one for that. */
static ZmCounter *
counter_new (const char *name, const char *help, const char *label_name, const char *label, gboolean gauge)
{
  ZmCounter *counter = aligned_alloc (CACHE_LINE, sizeof *counter);

  if (counter == NULL)
    return NULL;
  memset (counter, 0, sizeof *counter);
  counter->name = g_strdup (name);
  counter->label_name = g_strdup (label_name);
  counter->label = g_strdup (label);
  counter->help = g_strdup (help != NULL ? help : "");
  counter->gauge = gauge;
  return counter;
}

ZmMetrics *
zm_metrics_new (void)
{
  ZmMetrics *metrics = g_new0 (ZmMetrics, 1);

  pthread_mutex_init (&metrics->lock, NULL);
  metrics->by_name = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  metrics->all = g_ptr_array_new_with_free_func (counter_free);
  metrics->overflow = zm_metrics_counter (metrics, "zmanager_metrics_overflow",
                                          "Sum of the counters that found no room of their own", NULL, NULL);
  return metrics;
}

void
zm_metrics_free (ZmMetrics *metrics)
{
  if (metrics == NULL)
    return;
  g_hash_table_unref (metrics->by_name);
  g_ptr_array_unref (metrics->all);
  pthread_mutex_destroy (&metrics->lock);
  g_free (metrics);
}

/* The counter of this name and label, made where it is not there yet. Never NULL: over COUNTERS_MOST, which labels of
 * peers' making could reach, the rest goes into one sum. A counter is never freed before the register, so who has one
 * needs no lock and no reference. */
static ZmCounter *
get (ZmMetrics *metrics, const char *name, const char *help, const char *label_name, const char *label,
     gboolean gauge)
{
  g_autofree char *id = NULL;
  ZmCounter *counter;

  if (label_name == NULL || label == NULL)
    label_name = label = NULL;
  id = label != NULL ? g_strjoin ("\n", name, label_name, label, NULL) : g_strdup (name);
  pthread_mutex_lock (&metrics->lock);
  counter = g_hash_table_lookup (metrics->by_name, id);
  if (counter == NULL && metrics->all->len < COUNTERS_MOST) {
    counter = counter_new (name, help, label_name, label, gauge);
    if (counter != NULL) {
      g_hash_table_insert (metrics->by_name, g_steal_pointer (&id), counter);
      g_ptr_array_add (metrics->all, counter);
    }
  }
  if (counter == NULL)
    counter = metrics->overflow;
  /* One that was removed comes back when its plugin does. */
  if (counter->hidden) {
    counter->hidden = FALSE;
    if (gauge)
      zm_counter_set (counter, 0);
  }
  pthread_mutex_unlock (&metrics->lock);
  return counter;
}

ZmCounter *
zm_metrics_counter (ZmMetrics *metrics, const char *name, const char *help, const char *label_name,
                    const char *label)
{
  return get (metrics, name, help, label_name, label, FALSE);
}

ZmCounter *
zm_metrics_gauge (ZmMetrics *metrics, const char *name, const char *help, const char *label_name,
                  const char *label)
{
  return get (metrics, name, help, label_name, label, TRUE);
}

/* Only hidden: somebody may still add to it, and its number goes on where the same label comes back. */
void
zm_metrics_remove (ZmMetrics *metrics, ZmCounter *counter)
{
  if (counter == metrics->overflow)
    return;
  pthread_mutex_lock (&metrics->lock);
  counter->hidden = TRUE;
  pthread_mutex_unlock (&metrics->lock);
}

/* Relaxed: a number that is looked at, on which nothing else depends. */
void
zm_counter_add (ZmCounter *counter, guint64 n)
{
  atomic_fetch_add_explicit (&counter->value, (gint64) n, memory_order_relaxed);
}

void
zm_counter_set (ZmCounter *counter, gint64 value)
{
  atomic_store_explicit (&counter->value, value, memory_order_relaxed);
}

gint64
zm_counter_get (const ZmCounter *counter)
{
  return atomic_load_explicit (&((ZmCounter *) counter)->value, memory_order_relaxed);
}

static int
compare_counters (gconstpointer a, gconstpointer b)
{
  const ZmCounter *one = *(ZmCounter *const *) a, *other = *(ZmCounter *const *) b;
  int by_name = strcmp (one->name, other->name);

  return by_name != 0 ? by_name : g_strcmp0 (one->label, other->label);
}

/* Sorted, so that two pictures can be compared. func is called without the lock: counters live as long as the register. */
void
zm_metrics_each (ZmMetrics *metrics, ZmMetricFunc func, gpointer user)
{
  g_autoptr (GPtrArray) shown = g_ptr_array_new ();

  pthread_mutex_lock (&metrics->lock);
  for (guint i = 0; i < metrics->all->len; i++) {
    ZmCounter *counter = g_ptr_array_index (metrics->all, i);

    /* Nobody wants to read of an overflow that never was. */
    if (!counter->hidden && (counter != metrics->overflow || zm_counter_get (counter) != 0))
      g_ptr_array_add (shown, counter);
  }
  pthread_mutex_unlock (&metrics->lock);
  g_ptr_array_sort (shown, compare_counters);
  for (guint i = 0; i < shown->len; i++) {
    const ZmCounter *counter = g_ptr_array_index (shown, i);

    func (counter->name, counter->label_name, counter->label, counter->gauge, zm_counter_get (counter),
          counter->help, user);
  }
}
