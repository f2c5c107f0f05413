/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The HTTP API beside libmicrohttpd answering 204: small durable posts, Zaqar's posts of ten messages, claim and delete; then a queue
 * of a million messages: memory, and the time from the start to ready and to its first message.
 */
#include "bench.h"
#include "http-load.h"

#include <math.h>
#include <microhttpd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define CONNECTIONS 64
#define ZAQAR       "Client-ID: 30387f00-0d3f-4c8e-9c4b-0b5e7d1f2a3b\r\nX-Project-ID: bench\r\n"

static const char settings[] =
    "[zmanager]\nwatch = no\n[store]\ndriver = sqlite\n[http]\nlisten = 127.0.0.1:%u\n"
    "[zaqar]\nmax_messages_per_claim_or_pop = 20\n";

/* What a run sends, and what came of it. */
typedef struct Job {
  guint left, failed, done;
  const char *method, *target, *headers, *body;
  guint status; /* that is wanted */
} Job;

static gboolean
job_next (guint connection, GString *out, gpointer user)
{
  Job *job = user;

  (void) connection;
  if (job->left == 0)
    return FALSE;
  job->left--;
  load_request (out, job->method, job->target, job->headers, job->body);
  return TRUE;
}

static void
job_answer (guint connection, guint status, const char *body, gsize size, gpointer user)
{
  Job *job = user;

  (void) connection;
  if (status == job->status) {
    job->done++;
    return;
  }
  if (job->failed++ == 0)
    printf ("void: %s %s was answered %u: %.*s\n", job->method, job->target, status, (int) MIN (size, 200),
            body);
}

/* Requests a second; 0: one failed. */
static double
run_job (guint port, Job job, guint count)
{
  job.left = count;
  double seconds = load_run (port, CONNECTIONS, job_next, job_answer, &job);

  return seconds > 0 && job.failed == 0 ? count / seconds : 0;
}

/* ---- the baseline ---- */

static enum MHD_Result
answer_204 (void *user, struct MHD_Connection *connection, const char *url, const char *method,
            const char *version, const char *data, size_t *size, void **state)
{
  static int seen;

  (void) user, (void) url, (void) method, (void) version, (void) data;
  if (*state == NULL) {
    *state = &seen;
    return MHD_YES;
  }
  if (*size > 0) {
    *size = 0;
    return MHD_YES;
  }
  struct MHD_Response *response = MHD_create_response_from_buffer (0, NULL, MHD_RESPMEM_PERSISTENT);
  enum MHD_Result result = MHD_queue_response (connection, 204, response);
  MHD_destroy_response (response);
  return result;
}

static GPid
bare_start (guint port)
{
  GPid pid = fork ();

  if (pid != 0) {
    g_usleep (200000);
    return pid;
  }
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  struct MHD_Daemon *daemon =
      MHD_start_daemon (MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC, (guint16) port, NULL, NULL, answer_204,
                        NULL, MHD_OPTION_THREAD_POOL_SIZE, 2U, MHD_OPTION_END);
  if (daemon == NULL)
    _exit (2);
  for (;;)
    pause ();
}

/* ---- posts ---- */

static BenchDaemon *
daemon_start (guint port, double *ready)
{
  g_autofree char *text = g_strdup_printf (settings, port);

  return bench_daemon_start (text, "", "", ready);
}

static char *
json_post (guint messages)
{
  GString *text = g_string_new ("{\"messages\":[");

  for (guint i = 0; i < messages; i++)
    g_string_append_printf (text, "%s{\"ttl\":3600,\"body\":{\"event\":\"BackupStarted\",\"number\":%u}}",
                            i ? "," : "", i);
  g_string_append (text, "]}");
  return g_string_free (text, FALSE);
}

static gboolean
posts (guint count, guint rounds)
{
  BenchPairs *single = bench_pairs_new (), *ten = bench_pairs_new ();
  guint port = load_free_port (), bare_port = load_free_port ();
  BenchDaemon *daemon = daemon_start (port, NULL);
  GPid bare = bare_start (bare_port);
  g_autofree char *batch = json_post (10);
  char body[257] = "";
  gboolean whole = TRUE;

  memset (body, 'x', 256);
  Job base = { .method = "POST", .target = "/", .headers = "", .body = body, .status = 204 };
  Job small = { .method = "POST", .target = "/v1/queues/small", .headers = "", .body = body, .status = 201 };
  Job zaqar = { .method = "POST",
                .target = "/v2/queues/ten/messages",
                .headers = ZAQAR "Content-Type: application/json\r\n",
                .body = batch,
                .status = 201 };
  for (guint i = 0; i < rounds && whole; i++) {
    double theirs = run_job (bare_port, base, count), ours = run_job (port, small, count),
           messages = 10 * run_job (port, zaqar, count / 4);

    whole = theirs > 0 && ours > 0 && messages > 0;
    bench_pairs_add (single, theirs, ours);
    bench_pairs_add (ten, theirs, messages);
  }
  kill (bare, SIGKILL);
  bench_daemon_stop (daemon);
  whole = bench_pairs_row (single, "HTTP ingest, small post", "msg/s", 0.5, 0.9) && whole;
  return bench_pairs_row (ten, "Zaqar posts of ten", "msg/s", 0, 1) && whole;
}

/* ---- claim and delete ---- */

typedef struct Claims {
  GString *delete[CONNECTIONS]; /* what this connection has to delete; empty: it claims */
  guint left, deleted, failed;
} Claims;

static gboolean
claims_next (guint connection, GString *out, gpointer user)
{
  Claims *claims = user;
  GString *target = claims->delete[connection];

  if (target->len > 0) {
    load_request (out, "DELETE", target->str, ZAQAR, "");
    return TRUE;
  }
  if (claims->left < 20)
    return FALSE;
  claims->left -= 20;
  load_request (out, "POST", "/v2/queues/work/claims?limit=20", ZAQAR, "");
  return TRUE;
}

static void
claims_answer (guint connection, guint status, const char *body, gsize size, gpointer user)
{
  Claims *claims = user;
  GString *target = claims->delete[connection];
  const char *at = body, *end = body + size;
  guint n = 0;

  if (target->len > 0) {
    claims->failed += status != 204;
    g_string_truncate (target, 0);
    return;
  }
  if (status != 201) {
    claims->failed += status != 204;
    return;
  }
  while ((at = memmem (at, (gsize) (end - at), "/messages/", 10)) != NULL && end - at > 46) {
    g_string_append_printf (target, "%s%.36s", n++ ? "," : "/v2/queues/work/messages?ids=", at + 10);
    at += 46;
  }
  claims->deleted += n;
}

static gboolean
claims_row (guint count, guint rounds)
{
  BenchPairs *pairs = bench_pairs_new ();
  guint port = load_free_port (), bare_port = load_free_port ();
  BenchDaemon *daemon = daemon_start (port, NULL);
  GPid bare = bare_start (bare_port);
  g_autofree char *batch = json_post (20);
  gboolean whole = TRUE;
  Job base = { .method = "POST", .target = "/", .headers = "", .body = "", .status = 204 };
  Job fill = { .method = "POST",
               .target = "/v2/queues/work/messages",
               .headers = ZAQAR "Content-Type: application/json\r\n",
               .body = batch,
               .status = 201 };

  for (guint i = 0; i < rounds && whole; i++) {
    Claims claims = { .left = count };

    for (guint j = 0; j < CONNECTIONS; j++)
      claims.delete[j] = g_string_new (NULL);
    whole = run_job (port, fill, count / 20) > 0;
    double theirs = run_job (bare_port, base, count / 4),
           seconds = load_run (port, CONNECTIONS, claims_next, claims_answer, &claims);
    if (claims.failed > 0 || claims.deleted < count) {
      printf ("claim and delete: void: %u failed, %u of %u deleted\n", claims.failed, claims.deleted, count);
      whole = FALSE;
    }
    bench_pairs_add (pairs, theirs, seconds > 0 ? claims.deleted / seconds : 0);
    for (guint j = 0; j < CONNECTIONS; j++)
      g_string_free (claims.delete[j], TRUE);
  }
  kill (bare, SIGKILL);
  bench_daemon_stop (daemon);
  return bench_pairs_row (pairs, "claim and delete, by 20", "msg/s", 0, 1) && whole;
}

/* ---- a long queue ---- */

/* Seconds from READY to the answer that has a message of the queue; 0: there is none. */
static double
first_message (guint port)
{
  Job pop = { .method = "DELETE",
              .target = "/v2/queues/long/messages?pop=1",
              .headers = ZAQAR,
              .body = "",
              .status = 200 };

  pop.left = 1;
  double seconds = load_run (port, 1, job_next, job_answer, &pop);
  return pop.done == 1 ? seconds : 0;
}

static gboolean
backlog (guint count, double must_s)
{
  guint port = load_free_port ();
  BenchDaemon *daemon = daemon_start (port, NULL);
  gint64 empty_kib = bench_rss_kib (daemon->pid), full_kib, again_kib;
  g_autofree char *batch = json_post (10);
  Job fill = { .method = "POST",
               .target = "/v2/queues/long/messages",
               .headers = ZAQAR "Content-Type: application/json\r\n",
               .body = batch,
               .status = 201 };
  double rate = 10 * run_job (port, fill, count / 10), ready, first;

  full_kib = bench_rss_kib (daemon->pid);
  bench_daemon_again (daemon, &ready);
  first = first_message (port);
  again_kib = bench_rss_kib (daemon->pid);
  bench_daemon_stop (daemon);
  printf (
      "%u messages in a queue: filled at %.0f msg/s; RSS %.1f MiB empty, %.1f filled, %.1f after the start\n",
      count, rate, (double) empty_kib / 1024, (double) full_kib / 1024, (double) again_kib / 1024);
  printf ("    ready %.0f ms after the start, first message %.1f ms after that%s\n", ready * 1e3, first * 1e3,
          rate > 0 && first > 0 ? "" : ": void");
  return rate > 0 && first > 0 && ready + first < must_s;
}

int
main (int argc, char **argv)
{
  guint rounds = (guint) bench_option (argc, argv, "rounds", 5);
  guint scale = (guint) bench_option (argc, argv, "scale", 1);
  guint only = (guint) bench_option (argc, argv, "only", 0); /* which job; 0: all */
  gboolean good = only > 1 || posts (40000 / scale, rounds);

  if (only == 0 || only == 2)
    good = claims_row (40000 / scale, rounds) && good;
  if (only == 0 || only == 3)
    good = backlog (100000 / scale, 2) && good;
  if (only == 0 || only == 3)
    good = backlog (1000000 / scale, 20) && good;
  return good ? 0 : 1;
}
