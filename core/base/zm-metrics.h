/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Counters and gauges by name. A counter is one cache line with a C11 atomic: cheap to add to from any thread; what is on
 * the hot path keeps its own number and adds once a batch. Names follow Prometheus (zmanager_subject_received_total), with
 * at most one label. Bounded: at most 4,096 counters.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct ZmMetrics ZmMetrics;
typedef struct ZmCounter ZmCounter;

ZmMetrics *zm_metrics_new (void);
void zm_metrics_free (ZmMetrics *metrics);

/* The counter of that name and label (made when new), valid as long as metrics. Texts are copied. help may be NULL when it exists. label_name
 * and label may be NULL. Any thread. Never NULL: over the bound all go to one counter named …_overflow. */
ZmCounter *zm_metrics_counter (ZmMetrics *metrics, const char *name, const char *help, const char *label_name,
                               const char *label);
ZmCounter *zm_metrics_gauge (ZmMetrics *metrics, const char *name, const char *help, const char *label_name,
                             const char *label);
void zm_metrics_remove (ZmMetrics *metrics, ZmCounter *counter); /* hidden until asked for again; the memory stays */

void zm_counter_add (ZmCounter *counter, guint64 n);
void zm_counter_set (ZmCounter *counter, gint64 value);
gint64 zm_counter_get (const ZmCounter *counter);

typedef void (*ZmMetricFunc) (const char *name, const char *label_name, const char *label, gboolean gauge, gint64 value,
                              const char *help, gpointer user);
/* Sorted by name, then label. */
void zm_metrics_each (ZmMetrics *metrics, ZmMetricFunc func, gpointer user);

G_END_DECLS
