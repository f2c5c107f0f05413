/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * service -> action -> topic -> subscriber: the real daemon beside the bare skeleton, in turn, in one call. Jobs: live,
 * batch, latency, fanout. Prints the medians, and the median of the ratios round by round. Last a flow of three steps beside a
 * flow of one, both through the daemon.
 */
#include "bench.h"

#include <stdio.h>
#include <string.h>

typedef struct Job {
  const char *name, *unit;
  guint count, rate, batch, subscribers;
  double must, goal;
} Job;

static const Job jobs[] = {
  { "live", "msg/s", 300000, 0, 0, 1, 0.9, 1.1 },
  { "live, batches of 16", "msg/s", 300000, 0, 16, 1, 0.9, 1.5 },
  { "latency at 10 k/s, p50", "us", 20000, 10000, 0, 1, 1.1, 0.85 },
  { "fan-out to 100", "msg/s", 10000, 0, 0, 100, 0.9, 0.98 },
};

static const char configuration[] = "[zmanager]\nwatch = no\n[subject]\nhigh-water = 1000000\n"
                                    "[integration]\nhigh-water = 1000000\n";

static double
figure (const Job *job, const BenchResult *result)
{
  return job->rate ? result->p50_us : result->rate;
}

static gboolean
run_job (const Job *job, guint rounds, guint scale)
{
  g_autoptr (GArray) base = g_array_new (FALSE, FALSE, sizeof (double));
  g_autoptr (GArray) ours = g_array_new (FALSE, FALSE, sizeof (double));
  g_autoptr (GArray) ratios = g_array_new (FALSE, FALSE, sizeof (double));
  g_autofree char *dir = g_dir_make_tmp ("zm-skel-XXXXXX", NULL);
  g_autofree char *subject = g_strdup_printf ("ipc://%s/s", dir),
                  *topics = g_strdup_printf ("ipc://%s/t", dir);
  BenchDaemon *daemon =
      bench_daemon_start (configuration, "[actionmapping]\nSrv?Ctx?act = echo.echo\n", "", NULL);
  g_autofree char *our_subject = bench_endpoint (daemon, "subject"),
                  *our_topics = bench_endpoint (daemon, "topics");
  double theirs_cpu = 0, our_cpu = 0;
  for (guint i = 0; i < rounds; i++) {
    GPid skeleton = bench_skeleton_start (subject, topics, 2);
    BenchRun run = { subject,   topics, "Srv?Ctx@PUBLISH?act", 256,   job->count / scale,
                     job->rate, 0,      job->subscribers,      "Srv?" };
    BenchResult theirs = bench_chain (&run);
    double their_cpu = bench_cpu_seconds (skeleton), before = bench_cpu_seconds (daemon->pid);
    bench_skeleton_stop (skeleton);
    run.subject = our_subject;
    run.topics = our_topics;
    run.first_frame = "Srv?Ctx?act";
    run.prefix = "~~";
    run.batch = job->batch;
    BenchResult product = bench_chain (&run);
    if (theirs.received < run.count || product.received < run.count) {
      printf ("%s: void: received %u and %u of %u\n", job->name, theirs.received, product.received,
              run.count);
      bench_daemon_stop (daemon);
      return FALSE;
    }
    theirs_cpu += their_cpu;
    our_cpu += bench_cpu_seconds (daemon->pid) - before;
    double a = figure (job, &theirs), b = figure (job, &product), ratio = b / a;
    g_array_append_val (base, a);
    g_array_append_val (ours, b);
    g_array_append_val (ratios, ratio);
  }
  bench_daemon_stop (daemon);
  printf ("%-28s %12.2f %12.2f %-10s %8.3f\n", "  CPU of its process",
          theirs_cpu * 1e6 / rounds / (job->count / scale), our_cpu * 1e6 / rounds / (job->count / scale),
          "us/msg", our_cpu / theirs_cpu);
  return bench_row (job->name, job->unit, bench_median (base), bench_median (ours), bench_median (ratios),
                    job->must, job->goal);
}

/* ---- flows ---- */

#define FLOW_JOB "three steps beside one"

static const char flow_mappings[] =
    "[actionmapping]\n?Step?First = acts.act_001\n?Step?Second = acts.act_002\n"
    "?Step?Third = acts.act_003\n";
static const char flow_texts[] = "[One]\n?One?Go\n?Step?First\n??done\n"
                                 "[Three]\n?Three?Go\n?Step?First\n?Step?Second\n?Step?Third\n??done\n";

static gboolean
run_flows (guint rounds, guint scale)
{
  BenchPairs *pairs = bench_pairs_new ();
  BenchDaemon *daemon = bench_daemon_start (configuration, flow_mappings, flow_texts, NULL);
  g_autofree char *subject = bench_endpoint (daemon, "subject"), *topics = bench_endpoint (daemon, "topics");
  BenchRun one = { subject, topics, "?One?Go", 256, 300000 / scale, 0, 0, 1, "One~" }, three = one;
  gboolean whole = TRUE;
  three.first_frame = "?Three?Go";
  three.prefix = "Three~";
  for (guint i = 0; i < rounds; i++) {
    BenchResult base = bench_chain (&one), ours = bench_chain (&three);
    whole = whole && base.received == one.count && ours.received == three.count;
    bench_pairs_add (pairs, base.rate, ours.rate);
  }
  bench_daemon_stop (daemon);
  if (!whole)
    printf (FLOW_JOB ": void: not all results came\n");
  return bench_pairs_row (pairs, FLOW_JOB, "msg/s", 0.85, 0.97) && whole;
}

int
main (int argc, char **argv)
{
  guint rounds = (guint) bench_option (argc, argv, "rounds", 5);
  guint scale = (guint) bench_option (argc, argv, "scale", 1);
  gboolean good = TRUE;
  for (guint i = 0; i < G_N_ELEMENTS (jobs); i++)
    if (argc < 2 || argv[1][0] == '-' || strcmp (argv[1], jobs[i].name) == 0)
      good = run_job (&jobs[i], rounds, scale) && good;
  if (argc < 2 || argv[1][0] == '-' || strcmp (argv[1], FLOW_JOB) == 0)
    good = run_flows (rounds, scale) && good;
  return good ? 0 : 1;
}
