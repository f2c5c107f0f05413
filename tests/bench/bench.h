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

/* One row of the table: job, what, baseline, product, ratio, must, goal; the ratio is what must hold: the higher the better
 * where goal is the higher of the two. Returns whether must holds. */
gboolean bench_row (const char *job, const char *unit, double baseline, double product, double ratio,
                    double must, double goal);
/* The same where page and machine give the product's figure itself, the lower the better; must INFINITY: only a goal. */
gboolean bench_row_figure (const char *job, const char *unit, double baseline, double product, double ratio,
                           double must, double goal);
/* Values of the rounds, taken in pairs: baseline, product, and their ratio. */
typedef struct BenchPairs {
  GArray *baseline, *product, *ratios;
} BenchPairs;
BenchPairs *bench_pairs_new (void);
void bench_pairs_add (BenchPairs *pairs, double baseline, double product);
void bench_pairs_free (BenchPairs *pairs);
/* Print the medians as a row, and free. */
gboolean bench_pairs_row (BenchPairs *pairs, const char *job, const char *unit, double must, double goal);
gboolean
bench_pairs_row_figure (BenchPairs *pairs, const char *job, const char *unit, double must, double goal);

/* A zmanagerd of the build tree in a temporary directory. */
typedef struct BenchDaemon {
  char *dir;
  GPid pid;
} BenchDaemon;
/* actions, flows: texts of the files; configuration: of zmanager.conf. Plugins of the build tree are on its path. Returns
 * when it has said READY; seconds from its start to there in *ready (may be NULL). */
BenchDaemon *
bench_daemon_start (const char *configuration, const char *actions, const char *flows, double *ready);
/* Ends it and starts it again on what it has stored. */
void bench_daemon_again (BenchDaemon *daemon, double *ready);
void bench_daemon_stop (BenchDaemon *daemon);
char *bench_endpoint (const BenchDaemon *daemon, const char *name); /* "subject", "topics", "control" */
void bench_put_file (const char *dir, const char *name, const char *text);
/* Starts a program that says READY=1 to $NOTIFY_SOCKET, and waits until it has. environment may be NULL. */
GPid bench_spawn_ready (const char *const *argv, char **environment, double *ready);
void bench_say_ready (void);   /* the other side of it */
char *bench_plugin_dir (void); /* of the plugin `acts` */

gint64 bench_rss_kib (GPid pid);
double bench_cpu_seconds (GPid pid);
/* Of all threads together: seconds on a CPU, and how often one was put onto it. */
void bench_idle (GPid pid, double *cpu_seconds, guint64 *switches);

/* The bare ZeroMQ skeleton of the topology: a process with PULL over ipc, inproc to `workers` threads, inproc to one
 * publisher, XPUB over ipc; it does nothing with a message. */
GPid bench_skeleton_start (const char *subject, const char *topics, guint workers);
void bench_skeleton_stop (GPid pid);
/* The same in this process, which says READY. */
G_NORETURN void bench_skeleton_run (const char *subject, const char *topics, guint workers);

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
