/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The skeleton, and the sender and receivers on both sides of it or of the daemon. */
#include "bench.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#define HIGH_WATER    4000000 /* above every test's size: what is lost is a failure, not a mark */
#define PROBE_SECONDS 20      /* patience until every subscription has arrived */
#define PROBE_MS      10      /* from one probe to the next */

static void *
open_socket (void *context, int type, const char *endpoint, gboolean bind)
{
  void *socket = zmq_socket (context, type);
  int mark = HIGH_WATER, none = 0;
  zmq_setsockopt (socket, ZMQ_SNDHWM, &mark, sizeof mark);
  zmq_setsockopt (socket, ZMQ_RCVHWM, &mark, sizeof mark);
  zmq_setsockopt (socket, ZMQ_LINGER, &none, sizeof none);
  if ((bind ? zmq_bind (socket, endpoint) : zmq_connect (socket, endpoint)) != 0) {
    fprintf (stderr, "bench: %s: %s\n", endpoint, zmq_strerror (zmq_errno ()));
    _exit (2);
  }
  return socket;
}

/* ---- the skeleton ---- */

static void *skeleton_context;

static void
forward (void *in, void *out)
{
  int more = 1;
  while (more) {
    zmq_msg_t message;
    zmq_msg_init (&message);
    if (zmq_msg_recv (&message, in, 0) < 0)
      _exit (0);
    more = zmq_msg_more (&message);
    zmq_msg_send (&message, out, more ? ZMQ_SNDMORE : 0);
  }
}

static void *
skeleton_worker (void *user)
{
  (void) user;
  void *in = open_socket (skeleton_context, ZMQ_PULL, "inproc://workers", FALSE);
  void *out = open_socket (skeleton_context, ZMQ_PUSH, "inproc://results", FALSE);
  for (;;)
    forward (in, out);
  return NULL;
}

static void *
skeleton_pair (void *user)
{
  void **pair = user;
  for (;;)
    forward (pair[0], pair[1]);
  return NULL;
}

void
bench_skeleton_run (const char *subject, const char *topics, guint workers)
{
  skeleton_context = zmq_ctx_new ();
  void *pull = open_socket (skeleton_context, ZMQ_PULL, subject, TRUE);
  void *spread = open_socket (skeleton_context, ZMQ_PUSH, "inproc://workers", TRUE);
  void *results = open_socket (skeleton_context, ZMQ_PULL, "inproc://results", TRUE);
  void *publish = open_socket (skeleton_context, ZMQ_PUB, topics, TRUE);
  void *first[] = { pull, spread }, *second[] = { results, publish };
  pthread_t thread;
  for (guint i = 0; i < workers; i++)
    pthread_create (&thread, NULL, skeleton_worker, NULL);
  pthread_create (&thread, NULL, skeleton_pair, second);
  bench_say_ready ();
  skeleton_pair (first);
  _exit (0);
}

GPid
bench_skeleton_start (const char *subject, const char *topics, guint workers)
{
  GPid pid = fork ();
  if (!pid)
    bench_skeleton_run (subject, topics, workers);
  return pid;
}

void
bench_skeleton_stop (GPid pid)
{
  kill (pid, SIGKILL);
  waitpid (pid, NULL, 0);
}

/* ---- sender ---- */

static void
pace (guint64 due_ns)
{
  for (;;) {
    guint64 now = (guint64) g_get_monotonic_time () * 1000;
    if (now >= due_ns)
      return;
    if (due_ns - now > 60000) {
      struct timespec rest = { 0, (long) (due_ns - now - 50000) };
      nanosleep (&rest, NULL);
    }
  }
}

static void
append_length (GByteArray *out, guint32 length)
{
  guint32 big = GUINT32_TO_BE (length);
  g_byte_array_append (out, (const guint8 *) &big, 4);
}

static void
send_batch (void *socket, const BenchRun *run, const char *body, guint n)
{
  g_autoptr (GByteArray) out = g_byte_array_new ();
  guint32 first = (guint32) strlen (run->first_frame);
  for (guint i = 0; i < n; i++) {
    append_length (out, first);
    g_byte_array_append (out, (const guint8 *) run->first_frame, first);
    append_length (out, 0);
    append_length (out, run->size);
    g_byte_array_append (out, (const guint8 *) body, run->size);
  }
  zmq_send (socket, "^batch~~~~~", 11, ZMQ_SNDMORE);
  zmq_send (socket, out->data, out->len, 0);
}

static void
send_all (const BenchRun *run)
{
  void *context = zmq_ctx_new ();
  void *socket = open_socket (context, ZMQ_PUSH, run->subject, FALSE);
  int mark = 10000, wait = -1;
  zmq_setsockopt (socket, ZMQ_SNDHWM, &mark, sizeof mark);
  zmq_setsockopt (socket, ZMQ_LINGER, &wait, sizeof wait);
  char *body = g_malloc0 (run->size);
  guint64 due = (guint64) g_get_monotonic_time () * 1000, gap = run->rate ? 1000000000u / run->rate : 0;
  size_t first = strlen (run->first_frame);
  for (guint i = 0; i < run->count;) {
    if (run->rate) {
      due += gap;
      pace (due);
    }
    gint64 now = g_get_monotonic_time ();
    memcpy (body, &now, sizeof now);
    guint n = run->batch ? MIN (run->batch, run->count - i) : 1;
    if (run->batch) {
      send_batch (socket, run, body, n);
    } else {
      zmq_send (socket, run->first_frame, first, ZMQ_SNDMORE);
      zmq_send (socket, body, run->size, 0);
    }
    i += n;
  }
  zmq_close (socket);
  zmq_ctx_term (context);
  _exit (0);
}

/* ---- receivers ---- */

static void *
subscribe (void *context, const BenchRun *run)
{
  void *socket = zmq_socket (context, ZMQ_SUB);
  int mark = HIGH_WATER, wait_ms = 5000;
  zmq_setsockopt (socket, ZMQ_RCVHWM, &mark, sizeof mark);
  zmq_setsockopt (socket, ZMQ_RCVTIMEO, &wait_ms, sizeof wait_ms);
  zmq_setsockopt (socket, ZMQ_SUBSCRIBE, run->prefix, strlen (run->prefix));
  zmq_connect (socket, run->topics);
  return socket;
}

/* Takes one message; *stamp: the first 8 bytes of its body, or 0. FALSE: none came in time. */
static gboolean
receive (void *socket, int flags, gint64 *stamp)
{
  int more = 1;
  *stamp = 0;
  while (more) {
    zmq_msg_t part;
    zmq_msg_init (&part);
    if (zmq_msg_recv (&part, socket, flags) < 0)
      return FALSE;
    more = zmq_msg_more (&part);
    if (!more && zmq_msg_size (&part) >= sizeof *stamp)
      memcpy (stamp, zmq_msg_data (&part), sizeof *stamp);
    zmq_msg_close (&part);
  }
  return TRUE;
}

/* Each subscriber has had a probe, so it misses nothing any more. */
static void
await_probes (zmq_pollitem_t *items, guint n)
{
  g_autofree gboolean *there = g_new0 (gboolean, n);
  guint missing = n;
  while (missing && zmq_poll (items, (int) n, PROBE_SECONDS * 1000) > 0)
    for (guint i = 0; i < n; i++) {
      gint64 stamp;
      if (items[i].revents && receive (items[i].socket, ZMQ_DONTWAIT, &stamp) && !there[i]) {
        there[i] = TRUE;
        missing--;
      }
    }
  if (missing)
    _exit (1);
}

/* Receives until a socket has all of its messages; all but the first socket only count. */
static void
drain_others (const BenchRun *run, guint n, int tell)
{
  void *context = zmq_ctx_new ();
  zmq_pollitem_t *items = g_new0 (zmq_pollitem_t, n);
  for (guint i = 0; i < n; i++)
    items[i] = (zmq_pollitem_t){ .socket = subscribe (context, run), .events = ZMQ_POLLIN };
  await_probes (items, n);
  if (write (tell, "x", 1) != 1)
    _exit (1);
  guint64 missing = (guint64) n * run->count;
  gint64 stamp;
  while (missing && zmq_poll (items, (int) n, 5000) > 0)
    for (guint i = 0; i < n; i++)
      while (items[i].revents && receive (items[i].socket, ZMQ_DONTWAIT, &stamp))
        missing -= stamp >= 0;
  _exit (missing ? 1 : 0);
}

static BenchResult
receive_all (void *socket, const BenchRun *run)
{
  BenchResult result = { 0 };
  g_autoptr (GArray) latencies = g_array_sized_new (FALSE, FALSE, sizeof (double), run->count);
  double first = 0;
  while (result.received < run->count) {
    gint64 sent;
    if (!receive (socket, 0, &sent))
      return result;
    if (sent < 0)
      continue;
    if (!result.received++)
      first = bench_now ();
    double us = (double) (g_get_monotonic_time () - sent);
    if (run->rate && result.received > run->count / 10)
      g_array_append_val (latencies, us);
  }
  result.rate = run->count / (bench_now () - first);
  result.p50_us = bench_percentile (latencies, 0.5);
  result.p99_us = bench_percentile (latencies, 0.99);
  return result;
}

/* PUB tells nobody when a subscription has arrived. So probes go the whole way, one after another, until every subscriber has
 * had one: the first one here, the others say so by their pipe (or -1). Probes are told from messages by their stamp. */
static void
settle (void *context, void *socket, const BenchRun *run, int others)
{
  void *push = open_socket (context, ZMQ_PUSH, run->subject, FALSE);
  gint64 deadline = g_get_monotonic_time () + PROBE_SECONDS * G_USEC_PER_SEC, stamp;
  gboolean here = FALSE, there = others < 0;
  for (gint64 probe = -1; !here || !there; probe--) {
    if (g_get_monotonic_time () > deadline) {
      fprintf (stderr, "bench: no message comes through %s to every subscriber\n", run->subject);
      exit (2);
    }
    zmq_send (push, run->first_frame, strlen (run->first_frame), ZMQ_SNDMORE);
    zmq_send (push, &probe, sizeof probe, 0);
    zmq_pollitem_t items[] = { { socket, 0, ZMQ_POLLIN, 0 }, { NULL, others, ZMQ_POLLIN, 0 } };
    if (zmq_poll (items, there ? 1 : 2, PROBE_MS) <= 0)
      continue;
    here = (items[0].revents && receive (socket, ZMQ_DONTWAIT, &stamp)) || here;
    there = there || items[1].revents;
  }
  zmq_close (push);
}

BenchResult
bench_chain (const BenchRun *run)
{
  void *context = zmq_ctx_new ();
  void *socket = subscribe (context, run);
  GPid others = 0;
  int ready[2] = { -1, -1 };
  if (run->subscribers > 1 && pipe (ready) == 0) {
    others = fork ();
    if (!others)
      drain_others (run, run->subscribers - 1, ready[1]);
    close (ready[1]);
  }
  settle (context, socket, run, ready[0]);
  if (others)
    close (ready[0]);
  GPid sender = fork ();
  if (!sender)
    send_all (run);
  BenchResult result = receive_all (socket, run);
  kill (sender, result.received < run->count ? SIGKILL : 0);
  waitpid (sender, NULL, 0);
  int ended = 0;
  if (others)
    waitpid (others, &ended, 0);
  /* What another subscriber misses makes the run as void as what this one does. */
  if (ended != 0)
    result.received = 0;
  zmq_close (socket);
  zmq_ctx_term (context);
  return result;
}
