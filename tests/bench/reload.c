/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reload of ten thousand mappings: the real daemon, asked on its control socket, from the request to the answer; beside the
 * least that any reload has to do: read the same file, cut it into lines and look each symbol up in the same library. Every
 * second round's file differs in every value. Then a sender goes on through reloads, and all of its messages must arrive.
 */
#include "bench.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#define MAPPINGS 10000
#define ACTIONS  1000

static char *
mappings (guint shift)
{
  GString *text = g_string_new ("[actionmapping]\nSrv?Ctx?act = echo.echo\n");
  for (guint i = 0; i < MAPPINGS; i++)
    g_string_append_printf (text, "Service%u?Component%uContext?action_name_%u = acts.act_%03u\n", i % 97,
                            i % 1013, i, (i + shift) % ACTIONS);
  return g_string_free (text, FALSE);
}

/* ---- baseline ---- */

static guint
look_up (void *library, char *text, GHashTable *table)
{
  guint found = 0;
  for (char *line = text, *end; (end = strchr (line, '\n')); line = end + 1) {
    *end = '\0';
    char *equals = strstr (line, " = "), *dot = equals ? strchr (equals, '.') : NULL;
    if (!dot || !g_str_has_prefix (equals, " = acts"))
      continue;
    *equals = '\0';
    void *fn = dlsym (library, dot + 1);
    g_hash_table_insert (table, line, fn);
    found += fn != NULL;
  }
  return found;
}

static double
baseline (const BenchDaemon *daemon, void *library)
{
  g_autofree char *path = g_strdup_printf ("%s/actions.d/bench.ini", daemon->dir);
  g_autofree char *text = NULL;
  double began = bench_now ();
  g_autoptr (GHashTable) table = g_hash_table_new (g_str_hash, g_str_equal);
  g_file_get_contents (path, &text, NULL, NULL);
  if (look_up (library, text, table) != MAPPINGS)
    exit (2);
  return (bench_now () - began) * 1000;
}

/* ---- the daemon ---- */

typedef struct Control {
  void *context, *socket;
} Control;

static void
control_open (Control *control, const BenchDaemon *daemon)
{
  g_autofree char *endpoint = bench_endpoint (daemon, "control");
  int none = 0, most_ms = 20000;
  control->context = zmq_ctx_new ();
  control->socket = zmq_socket (control->context, ZMQ_DEALER);
  zmq_setsockopt (control->socket, ZMQ_LINGER, &none, sizeof none);
  zmq_setsockopt (control->socket, ZMQ_RCVTIMEO, &most_ms, sizeof most_ms);
  zmq_connect (control->socket, endpoint);
}

static void
control_close (Control *control)
{
  zmq_close (control->socket);
  zmq_ctx_term (control->context);
}

/* Milliseconds until the answer. */
static double
ask (Control *control, const char *json)
{
  char status[16] = "", answer[65536];
  double began = bench_now ();
  zmq_send (control->socket, "1", 1, ZMQ_SNDMORE);
  zmq_send (control->socket, json, strlen (json), 0);
  zmq_recv (control->socket, answer, sizeof answer, 0);
  zmq_recv (control->socket, status, sizeof status - 1, 0);
  double ended = bench_now ();
  int size = zmq_recv (control->socket, answer, sizeof answer - 1, 0);
  if (strcmp (status, "OK") == 0)
    return (ended - began) * 1000;
  printf ("reload refused: %s %.*s\n", status, MAX (size, 0), answer);
  exit (1);
}

static void
put_mappings (const BenchDaemon *daemon, guint shift)
{
  g_autofree char *text = mappings (shift);
  bench_put_file (daemon->dir, "actions.d/bench.ini", text);
}

/* ---- nothing lost ---- */

typedef struct Reloader {
  const BenchDaemon *daemon;
  atomic_int end;
  guint reloads;
} Reloader;

static void *
reload_on (void *user)
{
  Reloader *reloader = user;
  Control control;
  control_open (&control, reloader->daemon);
  while (!atomic_load (&reloader->end)) {
    put_mappings (reloader->daemon, ++reloader->reloads);
    ask (&control, "{\"command\":\"reload\"}");
  }
  control_close (&control);
  return NULL;
}

static gboolean
nothing_lost (const BenchDaemon *daemon, guint count)
{
  g_autofree char *subject = bench_endpoint (daemon, "subject"), *topics = bench_endpoint (daemon, "topics");
  BenchRun run = { subject, topics, "Srv?Ctx?act", 256, count, 10000, 0, 1, "~~echo~" };
  Reloader reloader = { .daemon = daemon };
  pthread_t thread;
  pthread_create (&thread, NULL, reload_on, &reloader);
  BenchResult result = bench_chain (&run);
  atomic_store (&reloader.end, 1);
  pthread_join (thread, NULL);
  g_autofree char *job = g_strdup_printf ("lost in %u reloads", reloader.reloads);
  return bench_row_figure (job, "messages", 0, count - result.received, 0, 0, 0);
}

int
main (int argc, char **argv)
{
  guint rounds = (guint) bench_option (argc, argv, "rounds", 9);
  guint scale = (guint) bench_option (argc, argv, "scale", 1);
  g_autofree char *first = mappings (0), *plugins = bench_plugin_dir ();
  g_autofree char *path = g_strconcat (plugins, "/acts.so", NULL);
  BenchDaemon *daemon = bench_daemon_start ("[zmanager]\nwatch = no\n", first, "", NULL);
  BenchPairs *pairs = bench_pairs_new ();
  void *library = dlopen (path, RTLD_NOW | RTLD_LOCAL);
  Control control;
  if (!library) {
    g_printerr ("bench: %s\n", dlerror ());
    return 2;
  }
  control_open (&control, daemon);
  ask (&control, "{\"command\":\"status\"}");
  for (guint i = 1; i <= rounds; i++) {
    put_mappings (daemon, i);
    double least = baseline (daemon, library);
    bench_pairs_add (pairs, least, ask (&control, "{\"command\":\"reload\"}"));
  }
  gboolean good = bench_pairs_row_figure (pairs, "reload of 10 k mappings", "ms", 25, 6);
  good = nothing_lost (daemon, 20000 / scale) && good;
  control_close (&control);
  bench_daemon_stop (daemon);
  return good ? 0 : 1;
}
