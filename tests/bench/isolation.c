/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What isolation costs: the same action in a thread of the daemon and in a host, two daemons in turn in one call. Rate, latency,
 * memory of a host.
 */
#include "bench.h"

#include <stdio.h>
#include <string.h>

static const char settings[] = "[zmanager]\nwatch = no\n[subject]\nhigh-water = 1000000\n"
                               "[integration]\nhigh-water = 1000000\n[plugin echo]\nisolation = ";
static const char mapping[] = "[actionmapping]\nSrv?Ctx?act = echo.echo\n";

static BenchDaemon *
start (const char *isolation)
{
  g_autofree char *configuration = g_strconcat (settings, isolation, "\n", NULL);

  return bench_daemon_start (configuration, mapping, "", NULL);
}

static gboolean
run (const char *name, const char *isolation, guint count, guint rate, guint rounds, double must, double goal)
{
  BenchPairs *pairs = bench_pairs_new ();
  BenchDaemon *here = start ("thread"), *there = start (isolation);
  g_autofree char *subject = bench_endpoint (here, "subject"), *topics = bench_endpoint (here, "topics");
  g_autofree char *subject2 = bench_endpoint (there, "subject"), *topics2 = bench_endpoint (there, "topics");
  BenchRun base = { subject, topics, "Srv?Ctx?act", 256, count, rate, 0, 1, "~~" }, ours = base;
  gboolean whole = TRUE;

  ours.subject = subject2;
  ours.topics = topics2;
  for (guint i = 0; i < rounds; i++) {
    BenchResult one = bench_chain (&base), other = bench_chain (&ours);

    whole = whole && one.received == count && other.received == count;
    bench_pairs_add (pairs, rate > 0 ? one.p50_us : one.rate, rate > 0 ? other.p50_us : other.rate);
  }
  bench_daemon_stop (here);
  bench_daemon_stop (there);
  if (!whole)
    printf ("%s: void: not all results came\n", name);
  return bench_pairs_row (pairs, name, rate > 0 ? "us" : "msg/s", must, goal) && whole;
}

int
main (int argc, char **argv)
{
  guint rounds = (guint) bench_option (argc, argv, "rounds", 5);
  guint scale = (guint) bench_option (argc, argv, "scale", 1);
  gboolean good = run ("process beside thread", "process", 300000 / scale, 0, rounds, 0.6, 0.8);

  good = run ("private beside thread", "private", 300000 / scale, 0, rounds, 0.6, 0.8) && good;
  run ("latency at 10 k/s, p50", "process", 20000 / scale, 10000, rounds, 4.0, 2.0);
  return good ? 0 : 1;
}
