/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the benchmarks share: clocks, medians, a real daemon in a directory of its own, and the bare skeleton beside it. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

double bench_now (void);              /* seconds, monotonic */
double bench_median (GArray *values); /* of double; sorts them */
double bench_percentile (GArray *values, double p);
/* --NAME VALUE of the command line, or the standard. */
gint64 bench_option (int argc, char **argv, const char *name, gint64 standard);

/* One row of the table: job, what, baseline, product, ratio, must, goal; better: 1 higher, -1 lower. Returns whether must
 * holds. */
gboolean bench_row (const char *job, const char *unit, double baseline, double product, double ratio,
                    double must, double goal);

/* A zmanagerd of the build tree in a temporary directory. */
typedef struct BenchDaemon {
  char *dir;
  GPid pid;
} BenchDaemon;
/* actions, flows: texts of the files; configuration: of zmanager.conf. Plugins of the build tree are on its path. Returns
 * when it answers calls; seconds it took in *ready (may be NULL). */
BenchDaemon *
bench_daemon_start (const char *configuration, const char *actions, const char *flows, double *ready);
void bench_daemon_stop (BenchDaemon *daemon);
char *bench_endpoint (const BenchDaemon *daemon, const char *name); /* "subject", "topics", "call" */
gint64 bench_rss_kib (GPid pid);
double bench_cpu_seconds (GPid pid);

/* The bare ZeroMQ skeleton of the topology: a process with PULL over ipc, inproc to `workers` threads, inproc to one
 * publisher, XPUB over ipc; it does nothing with a message. */
GPid bench_skeleton_start (const char *subject, const char *topics, guint workers);
void bench_skeleton_stop (GPid pid);

/* Sends count messages from a process of its own to `subject` and receives them all from `topics`. */
typedef struct BenchRun {
  const char *subject, *topics;
  const char *first_frame; /* topic or key */
  guint size;              /* of the body; at least 8 */
  guint count;             /* messages expected at each subscriber */
  guint rate;              /* a second; 0: as fast as it goes */
  guint batch;             /* messages an envelope; 0: none */
  guint subscribers;       /* of which all but the first receive in one process of their own */
  const char *prefix;      /* of the subscription */
} BenchRun;
typedef struct BenchResult {
  double rate; /* of the first subscriber, messages a second */
  double p50_us, p99_us;
  guint received;
} BenchResult;
BenchResult bench_chain (const BenchRun *run);

G_END_DECLS
