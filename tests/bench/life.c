/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Start and rest: from the start of the process to READY=1, then memory, CPU and wake-ups of a daemon that has nothing to
 * do; beside a program with the same sockets and threads and nothing else.
 */
#include "bench.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define REST_SECONDS 20     /* patience until nothing wakes any more */
#define LOOK_US      500000 /* from one look to the next */

/* Every configuration is the default one. */
static const char one_mapping[] = "[actionmapping]\nSrv?Ctx?act = echo.echo\n";

static GPid
start_skeleton (const char *self, const char *dir, double *ready)
{
  g_autofree char *subject = g_strdup_printf ("ipc://%s/s", dir),
                  *topics = g_strdup_printf ("ipc://%s/t", dir);
  const char *argv[] = { self, "--skeleton", subject, topics, NULL };
  return bench_spawn_ready (argv, NULL, ready);
}

static gboolean
bench_start (const char *self, const char *dir, guint rounds)
{
  BenchPairs *pairs = bench_pairs_new ();
  for (guint i = 0; i < rounds; i++) {
    double base, ours;
    bench_skeleton_stop (start_skeleton (self, dir, &base));
    bench_daemon_stop (bench_daemon_start ("", one_mapping, "", &ours));
    bench_pairs_add (pairs, base * 1000, ours * 1000);
  }
  return bench_pairs_row_figure (pairs, "start to ready", "ms", 25, 10);
}

typedef struct Rest {
  double mib, cpu, wakes;
} Rest;

static void
rest_begin (GPid pid, Rest *rest)
{
  guint64 wakes;
  bench_idle (pid, &rest->cpu, &wakes);
  rest->wakes = (double) wakes;
}

static Rest
rest_end (GPid pid, const Rest *before, double seconds)
{
  Rest now;
  rest_begin (pid, &now);
  return (Rest){ (double) bench_rss_kib (pid) / 1024, 100 * (now.cpu - before->cpu) / seconds,
                 (now.wakes - before->wakes) / seconds };
}

/* What looks about once more after the start goes to sleep by itself: until one whole look finds no thread that woke. */
static void
await_rest (GPid pid)
{
  gint64 deadline = g_get_monotonic_time () + REST_SECONDS * G_USEC_PER_SEC;
  guint64 before = G_MAXUINT64, now = 0;
  for (double cpu; now != before && g_get_monotonic_time () < deadline; g_usleep (LOOK_US)) {
    before = now;
    bench_idle (pid, &cpu, &now);
  }
}

static gboolean
bench_rest (const char *self, const char *dir, guint seconds)
{
  GPid skeleton = start_skeleton (self, dir, NULL);
  BenchDaemon *daemon = bench_daemon_start ("", one_mapping, "", NULL);
  Rest base, ours;
  await_rest (skeleton);
  await_rest (daemon->pid);
  rest_begin (skeleton, &base);
  rest_begin (daemon->pid, &ours);
  double began = bench_now ();
  g_usleep (seconds * G_USEC_PER_SEC); /* the span that is measured */
  double took = bench_now () - began;
  base = rest_end (skeleton, &base, took);
  ours = rest_end (daemon->pid, &ours, took);
  bench_skeleton_stop (skeleton);
  bench_daemon_stop (daemon);
  gboolean good = bench_row_figure ("idle: RSS", "MiB", base.mib, ours.mib, ours.mib / base.mib, 16, 9);
  good = bench_row_figure ("idle: CPU", "%", base.cpu, ours.cpu, 0, 0.5, 0.5) && good;
  return bench_row_figure ("idle: wake-ups", "a second", base.wakes, ours.wakes, 0, INFINITY, 1) && good;
}

int
main (int argc, char **argv)
{
  if (argc == 4 && strcmp (argv[1], "--skeleton") == 0)
    bench_skeleton_run (argv[2], argv[3], 2);
  guint rounds = (guint) bench_option (argc, argv, "rounds", 9);
  guint seconds = (guint) bench_option (argc, argv, "seconds", 5);
  g_autofree char *self = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *dir = g_dir_make_tmp ("zm-skel-XXXXXX", NULL);
  gboolean good = bench_start (self, dir, rounds);
  good = bench_rest (self, dir, seconds) && good;
  const char *rm[] = { "rm", "-rf", dir, NULL };
  g_spawn_sync (NULL, (char **) rm, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
  return good ? 0 : 1;
}
