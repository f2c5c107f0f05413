/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Messages that must not be lost: durable sends by many senders beside the bare ZeroMQ skeleton, which keeps nothing; by one that
 * waits for each answer beside an fdatasync of each record. All over the real daemon and its default store.
 */
#include "bench.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#define SENDERS     8
#define WINDOW      256 /* requests of one sender that wait for their answer */
#define BODY        256
#define PATIENCE_MS 30000

static const char settings[] =
    "[zmanager]\nwatch = no\n[store]\ndriver = sqlite\n[call]\nlimit = 100000\nhigh-water = 100000\n"
    "[subject]\nhigh-water = 1000000\n[integration]\nhigh-water = 1000000\n";
static const char mapping[] = "[actionmapping]\nSrv?Ctx?act = echo.echo\n";

/* ---- requests ---- */

static void *
dealer (void *context, const char *endpoint)
{
  void *socket = zmq_socket (context, ZMQ_DEALER);
  int none = 0, patience_ms = PATIENCE_MS, most = 100000;

  zmq_setsockopt (socket, ZMQ_LINGER, &none, sizeof none);
  zmq_setsockopt (socket, ZMQ_RCVTIMEO, &patience_ms, sizeof patience_ms);
  zmq_setsockopt (socket, ZMQ_SNDHWM, &most, sizeof most);
  zmq_setsockopt (socket, ZMQ_RCVHWM, &most, sizeof most);
  if (zmq_connect (socket, endpoint) != 0)
    exit (2);
  return socket;
}

/* One message, or an envelope of `batch`. */
static void
request (void *socket, guint number, guint batch)
{
  static char body[BODY];
  const char *topic = "~~Srv~Ctx~act~";

  zmq_send (socket, &number, sizeof number, ZMQ_SNDMORE);
  zmq_send (socket, "SEND", 4, ZMQ_SNDMORE);
  if (batch <= 1) {
    zmq_send (socket, "Srv?Ctx?act", 11, ZMQ_SNDMORE);
    zmq_send (socket, body, sizeof body, 0);
    return;
  }
  g_autoptr (GString) parts = g_string_sized_new (batch * (BODY + 32));
  for (guint i = 0; i < batch; i++) {
    guint32 sizes[3] = { GUINT32_TO_BE (14), 0, GUINT32_TO_BE (BODY) };

    g_string_append_len (parts, (char *) &sizes[0], 4);
    g_string_append_len (parts, topic, 14);
    g_string_append_len (parts, (char *) &sizes[1], 4);
    g_string_append_len (parts, (char *) &sizes[2], 4);
    g_string_append_len (parts, body, BODY);
  }
  zmq_send (socket, "^batch~~~~~", 11, ZMQ_SNDMORE);
  zmq_send (socket, parts->str, parts->len, 0);
}

/* TRUE: it was accepted. */
static gboolean
answer (void *socket, int flags, gboolean *none)
{
  char frame[1024], status[16] = "";
  int more = 1, at = 0, size;
  size_t length = sizeof more;

  *none = FALSE;
  for (; more; at++) {
    if ((size = zmq_recv (socket, frame, sizeof frame, flags)) < 0) {
      *none = TRUE;
      return FALSE;
    }
    if (at == 1)
      memcpy (status, frame, (size_t) MIN (size, 15));
    zmq_getsockopt (socket, ZMQ_RCVMORE, &more, &length);
    flags = 0;
  }
  return strncmp (status, "ACCEPTED", 8) == 0;
}

/* Accepted messages a second; 0: one was refused, or no answer came. */
static double
accept_many (const char *endpoint, guint count, guint batch, guint window)
{
  void *context = zmq_ctx_new (), *sockets[SENDERS];
  zmq_pollitem_t items[SENDERS];
  guint waits[SENDERS] = { 0 }, sent = 0, accepted = 0, failed = 0, requests = count / batch;
  guint senders = window > 1 ? SENDERS : 1;
  double began;

  for (guint i = 0; i < senders; i++) {
    sockets[i] = dealer (context, endpoint);
    items[i] = (zmq_pollitem_t){ .socket = sockets[i], .events = ZMQ_POLLIN };
  }
  began = bench_now ();
  while (accepted + failed < requests) {
    for (guint i = 0; i < senders; i++) {
      gboolean none;

      while (waits[i] > 0) {
        gboolean good = answer (sockets[i], ZMQ_DONTWAIT, &none);

        if (none)
          break;
        waits[i]--;
        good ? accepted++ : failed++;
      }
      for (; waits[i] < window && sent < requests; waits[i]++)
        request (sockets[i], sent++, batch);
    }
    if (accepted + failed < requests && zmq_poll (items, (int) senders, PATIENCE_MS) <= 0)
      break;
  }
  double seconds = bench_now () - began;
  for (guint i = 0; i < senders; i++)
    zmq_close (sockets[i]);
  zmq_ctx_term (context);
  if (accepted < requests)
    printf ("void: %u of %u requests accepted\n", accepted, requests);
  return accepted < requests ? 0 : accepted * batch / seconds;
}

/* ---- the baselines ---- */

static double
skeleton_rate (guint count)
{
  g_autofree char *dir = g_dir_make_tmp ("zm-skel-XXXXXX", NULL);
  g_autofree char *subject = g_strdup_printf ("ipc://%s/s", dir),
                  *topics = g_strdup_printf ("ipc://%s/t", dir);
  GPid skeleton = bench_skeleton_start (subject, topics, 2);
  BenchRun run = { subject, topics, "Srv?Ctx@PUBLISH?act", BODY, count, 0, 0, 1, "Srv?" };
  BenchResult result = bench_chain (&run);

  bench_skeleton_stop (skeleton);
  return result.received == count ? result.rate : 0;
}

/* Appends of one record, each followed by fdatasync, on the file system that the daemon's store is on. */
static double
sync_rate (const char *dir, guint count)
{
  g_autofree char *path = g_build_filename (dir, "sync-baseline", NULL);
  int fd = open (path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
  char record[BODY] = { 0 };
  double began = bench_now ();

  for (guint i = 0; i < count; i++)
    if (write (fd, record, sizeof record) != sizeof record || fdatasync (fd) != 0)
      exit (2);
  double seconds = bench_now () - began;
  close (fd);
  unlink (path);
  return count / seconds;
}

/* ---- jobs ---- */

static gboolean
run_accept (const char *name, guint count, guint batch, guint rounds)
{
  BenchPairs *pairs = bench_pairs_new ();
  BenchDaemon *daemon = bench_daemon_start (settings, mapping, "", NULL);
  g_autofree char *call = bench_endpoint (daemon, "call");
  gboolean whole = TRUE;
  double cpu = 0;

  for (guint i = 0; i < rounds && whole; i++) {
    double base = skeleton_rate (count), before = bench_cpu_seconds (daemon->pid),
           ours = accept_many (call, count, batch, MAX (2, WINDOW / batch));

    cpu += bench_cpu_seconds (daemon->pid) - before;
    whole = base > 0 && ours > 0;
    bench_pairs_add (pairs, base, ours);
  }
  bench_daemon_stop (daemon);
  whole = bench_pairs_row (pairs, name, "msg/s", 0.2, 0.9) && whole;
  printf ("    %.1f us of CPU a message in the daemon, until the last was accepted\n",
          cpu * 1e6 / rounds / count);
  return whole;
}

static gboolean
run_one (guint count, guint rounds)
{
  BenchPairs *pairs = bench_pairs_new ();
  BenchDaemon *daemon = bench_daemon_start (settings, mapping, "", NULL);
  g_autofree char *call = bench_endpoint (daemon, "call");
  gboolean whole = TRUE;

  for (guint i = 0; i < rounds && whole; i++) {
    double base = sync_rate (daemon->dir, count), ours = accept_many (call, count, 1, 1);

    whole = ours > 0;
    bench_pairs_add (pairs, base, ours);
  }
  bench_daemon_stop (daemon);
  return bench_pairs_row (pairs, "durable, one outstanding", "msg/s", 0.5, 0.9) && whole;
}

int
main (int argc, char **argv)
{
  guint rounds = (guint) bench_option (argc, argv, "rounds", 5);
  guint scale = (guint) bench_option (argc, argv, "scale", 1);
  guint only = (guint) bench_option (argc, argv, "only", 0); /* which job; 0: all */
  gboolean good = TRUE;

  if (only == 0 || only == 1)
    good = run_accept ("durable accept", 100000 / scale, 1, rounds);
  if (only == 0 || only == 2)
    good = run_accept ("durable accept, batches of 16", 160000 / scale, 16, rounds) && good;
  if (only == 0 || only == 3)
    good = run_one (2000 / scale, rounds) && good;
  return good ? 0 : 1;
}
