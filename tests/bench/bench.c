/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Clocks, medians and the daemon of the benchmarks. */
#include "bench.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

double
bench_now (void)
{
  return (double) g_get_monotonic_time () / G_USEC_PER_SEC;
}

static int
compare (gconstpointer a, gconstpointer b)
{
  double x = *(const double *) a, y = *(const double *) b;
  return (x > y) - (x < y);
}

double
bench_percentile (GArray *values, double p)
{
  if (!values->len)
    return 0;
  g_array_sort (values, compare);
  guint index = (guint) (p * (values->len - 1));
  return g_array_index (values, double, index);
}

double
bench_median (GArray *values)
{
  return bench_percentile (values, 0.5);
}

gint64
bench_option (int argc, char **argv, const char *name, gint64 standard)
{
  for (int i = 1; i + 1 < argc; i++)
    if (g_str_has_prefix (argv[i], "--") && strcmp (argv[i] + 2, name) == 0)
      return g_ascii_strtoll (argv[i + 1], NULL, 10);
  return standard;
}

gboolean
bench_row (const char *job, const char *unit, double baseline, double product, double ratio, double must,
           double goal)
{
  gboolean higher = goal >= must;
  gboolean good = higher ? ratio >= must : ratio <= must;
  printf ("%-26s %14.1f %14.1f %-10s %8.3f %8.3g %8.3g  %s\n", job, baseline, product, unit, ratio, must,
          goal, good ? ((higher ? ratio >= goal : ratio <= goal) ? "goal" : "must") : "BELOW");
  fflush (stdout);
  return good;
}

/* ---- the daemon ---- */

char *
bench_endpoint (const BenchDaemon *daemon, const char *name)
{
  return g_strdup_printf ("ipc://%s/run/%s", daemon->dir, name);
}

static void
put_file (const char *dir, const char *name, const char *text)
{
  g_autofree char *path = g_build_filename (dir, name, NULL);
  g_autofree char *parent = g_path_get_dirname (path);
  g_autoptr (GError) error = NULL;
  g_mkdir_with_parents (parent, 0750);
  if (!g_file_set_contents (path, text ? text : "", -1, &error))
    g_printerr ("bench: %s\n", error->message);
}

static char *
plugin_path (const char *build)
{
  return g_strdup_printf (
      "%s/plugins/components/echo/.libs:%s/plugins/components/hello/.libs:%s/tests/bench/.libs", build, build,
      build);
}

/* Asks once; TRUE when it answered, whatever the answer. */
static gboolean
answers (const char *endpoint, int wait_ms)
{
  void *context = zmq_ctx_new (), *socket = zmq_socket (context, ZMQ_REQ);
  int none = 0;
  zmq_setsockopt (socket, ZMQ_LINGER, &none, sizeof none);
  zmq_setsockopt (socket, ZMQ_RCVTIMEO, &wait_ms, sizeof wait_ms);
  zmq_connect (socket, endpoint);
  zmq_send (socket, "1", 1, ZMQ_SNDMORE);
  zmq_send (socket, "CALL", 4, ZMQ_SNDMORE);
  zmq_send (socket, "?Bench?Ready", 12, ZMQ_SNDMORE);
  zmq_send (socket, "", 0, 0);
  char buffer[64];
  gboolean answered = zmq_recv (socket, buffer, sizeof buffer, 0) >= 0;
  zmq_close (socket);
  zmq_ctx_term (context);
  return answered;
}

BenchDaemon *
bench_daemon_start (const char *configuration, const char *actions, const char *flows, double *ready)
{
  const char *build = g_getenv ("ZM_BUILDDIR") ? g_getenv ("ZM_BUILDDIR") : ".";
  BenchDaemon *daemon = g_new0 (BenchDaemon, 1);
  daemon->dir = g_dir_make_tmp ("zm-bench-XXXXXX", NULL);
  put_file (daemon->dir, "zmanager.conf", configuration);
  put_file (daemon->dir, "actions.d/bench.ini", actions);
  put_file (daemon->dir, "flows.d/bench.flow", flows);
  g_autofree char *program = g_build_filename (build, "zmanagerd", NULL);
  g_autofree char *path = plugin_path (build);
  g_autofree char *log = g_build_filename (daemon->dir, "log", NULL);
  const char *argv[] = {
    program, "--dir", daemon->dir, "--log-level", "warning", "--set", "zmanager.system-plugins=no", NULL
  };
  g_auto (GStrv) environment = g_environ_setenv (g_get_environ (), "ZM_PLUGIN_PATH", path, TRUE);
  g_autoptr (GError) error = NULL;
  double began = bench_now ();
  if (!g_spawn_async (NULL, (char **) argv, environment, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &daemon->pid,
                      &error)) {
    g_printerr ("bench: %s\n", error->message);
    exit (2);
  }
  g_autofree char *call = bench_endpoint (daemon, "call");
  while (!answers (call, 20000)) {
    g_printerr ("bench: the daemon does not answer\n");
    exit (2);
  }
  if (ready)
    *ready = bench_now () - began;
  return daemon;
}

void
bench_daemon_stop (BenchDaemon *daemon)
{
  kill (daemon->pid, SIGTERM);
  waitpid (daemon->pid, NULL, 0);
  g_spawn_close_pid (daemon->pid);
  const char *argv[] = { "rm", "-rf", daemon->dir, NULL };
  g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
  g_free (daemon->dir);
  g_free (daemon);
}

gint64
bench_rss_kib (GPid pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/status", pid);
  g_autofree char *text = NULL;
  if (!g_file_get_contents (path, &text, NULL, NULL))
    return 0;
  const char *at = strstr (text, "VmRSS:");
  return at ? g_ascii_strtoll (at + 6, NULL, 10) : 0;
}

double
bench_cpu_seconds (GPid pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/stat", pid);
  g_autofree char *text = NULL;
  if (!g_file_get_contents (path, &text, NULL, NULL))
    return 0;
  const char *at = strrchr (text, ')');
  unsigned long user = 0, system = 0;
  if (at)
    sscanf (at + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system);
  return (double) (user + system) / (double) sysconf (_SC_CLK_TCK);
}
