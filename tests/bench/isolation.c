/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What isolation costs: the same action in a thread of the daemon and in a host, two daemons in turn in one call. Rate, latency,
 * the time from the end of a host to the next answer, memory of a host.
 */
#include "bench.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#define PROBE_MS 10 /* from one probe to the next */
#define KILLS    5

static const char settings[] = "[zmanager]\nwatch = no\n[subject]\nhigh-water = 1000000\n"
                               "[integration]\nhigh-water = 1000000\n[plugin echo]\nisolation = ";
static const char mapping[] = "[actionmapping]\nSrv?Ctx?act = echo.echo\n";

static BenchDaemon *
start (const char *isolation)
{
  g_autofree char *configuration = g_strconcat (settings, isolation, "\n", NULL);

  return bench_daemon_start (configuration, mapping, "", NULL);
}

/* ---- rate and latency ---- */

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
  if (rate > 0)
    return bench_pairs_row_figure (pairs, name, "us", INFINITY, 0) && whole;
  return bench_pairs_row (pairs, name, "msg/s", must, goal) && whole;
}

/* ---- a host ---- */

/* The daemon's only child; 0: none at this moment. */
static GPid
host_of (GPid daemon)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/task", (int) daemon);
  g_autoptr (GDir) tasks = g_dir_open (path, 0, NULL);
  const char *task;
  GPid found = 0;

  while (tasks != NULL && found == 0 && (task = g_dir_read_name (tasks)) != NULL) {
    g_autofree char *children = g_build_filename (path, task, "children", NULL);
    g_autofree char *text = NULL;

    if (g_file_get_contents (children, &text, NULL, NULL))
      found = (GPid) g_ascii_strtoll (text, NULL, 10);
  }
  return found;
}

static void *
connect_to (void *context, int type, const char *endpoint)
{
  void *socket = zmq_socket (context, type);
  int none = 0, patience_ms = 20000;

  zmq_setsockopt (socket, ZMQ_LINGER, &none, sizeof none);
  zmq_setsockopt (socket, ZMQ_RCVTIMEO, &patience_ms, sizeof patience_ms);
  if (zmq_connect (socket, endpoint) != 0)
    exit (2);
  return socket;
}

/* The frames of one result. FALSE: none came. */
static gboolean
receive (void *subscriber)
{
  char frame[512];
  int more = 0;
  size_t size = sizeof more;

  do {
    if (zmq_recv (subscriber, frame, sizeof frame, 0) < 0)
      return FALSE;
    zmq_getsockopt (subscriber, ZMQ_RCVMORE, &more, &size);
  } while (more);
  return TRUE;
}

static void
send_one (void *push)
{
  zmq_send (push, "Srv?Ctx?act", 11, ZMQ_SNDMORE);
  zmq_send (push, "hello", 5, 0);
}

/* One message there and its result back. FALSE: it did not come. */
static gboolean
round_trip (void *push, void *subscriber)
{
  send_one (push);
  return receive (subscriber);
}

/* A subscription has no answer: probes are sent until the first one comes back, and then the others that will are taken. */
static gboolean
settle (void *push, void *subscriber)
{
  zmq_pollitem_t item = { .socket = subscriber, .events = ZMQ_POLLIN };
  guint probes = 0;

  do
    send_one (push);
  while (++probes < 2000 && zmq_poll (&item, 1, PROBE_MS) == 0);
  while (zmq_poll (&item, 1, 20 * PROBE_MS) > 0)
    receive (subscriber);
  return probes < 2000;
}

/* One daemon: its host is killed so often that each time the next one is started at once, which is so for the first few only. */
static gboolean
kill_hosts (BenchPairs *pairs, gint64 *rss)
{
  BenchDaemon *daemon = start ("private");
  g_autofree char *subject = bench_endpoint (daemon, "subject"), *topics = bench_endpoint (daemon, "topics");
  void *context = zmq_ctx_new ();
  void *push = connect_to (context, ZMQ_PUSH, subject), *subscriber = connect_to (context, ZMQ_SUB, topics);
  gboolean whole;

  zmq_setsockopt (subscriber, ZMQ_SUBSCRIBE, "~~", 2);
  whole = settle (push, subscriber);
  for (guint i = 0; whole && i < KILLS; i++) {
    double began = bench_now (), plain;

    whole = round_trip (push, subscriber);
    plain = bench_now () - began;
    kill (host_of (daemon->pid), SIGKILL);
    began = bench_now ();
    whole = whole && round_trip (push, subscriber);
    bench_pairs_add (pairs, plain * 1e3, (bench_now () - began) * 1e3);
  }
  *rss = bench_rss_kib (host_of (daemon->pid));
  zmq_close (push);
  zmq_close (subscriber);
  zmq_ctx_term (context);
  bench_daemon_stop (daemon);
  return whole;
}

/* From the kill of the host to the first result of the next one, beside a round trip as such. Last the host's memory. */
static gboolean
restart (guint rounds)
{
  BenchPairs *pairs = bench_pairs_new ();
  gboolean whole = TRUE;
  gint64 rss = 0;

  for (guint i = 0; i < rounds && whole; i++)
    whole = kill_hosts (pairs, &rss);
  if (!whole)
    printf ("host killed: void: a result did not come\n");
  whole = bench_pairs_row_figure (pairs, "host killed to next result", "ms", 1000, 50) && whole;
  bench_row_figure ("memory of a host", "KiB", (double) rss, (double) rss, 1, INFINITY, 4096);
  return whole;
}

int
main (int argc, char **argv)
{
  guint rounds = (guint) bench_option (argc, argv, "rounds", 5);
  guint scale = (guint) bench_option (argc, argv, "scale", 1);
  gboolean good = run ("process beside thread", "process", 300000 / scale, 0, rounds, 0.6, 0.8);

  good = run ("private beside thread", "private", 300000 / scale, 0, rounds, 0.6, 0.8) && good;
  good = run ("isolated, latency at 10 k/s", "process", 20000 / scale, 10000, rounds, 0, 0) && good;
  good = restart (rounds) && good;
  return good ? 0 : 1;
}
