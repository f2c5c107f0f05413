/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The daemon of the benchmarks, and what the kernel says about a process. */
#include "bench.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define READY_SECONDS 20

/* ---- start ---- */

static const char *
build_dir (void)
{
  const char *build = g_getenv ("ZM_BUILDDIR");
  return build ? build : ".";
}

char *
bench_plugin_dir (void)
{
  return g_strdup_printf ("%s/tests/bench/.libs", build_dir ());
}

static int
listen_for_ready (char *path, gsize size)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  struct timeval most = { .tv_sec = READY_SECONDS };
  int fd = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  g_snprintf (path, size, "@zm-bench-%d-%" G_GINT64_FORMAT, (int) getpid (), g_get_monotonic_time ());
  gsize length = strlen (path);
  memcpy (address.sun_path + 1, path + 1, length - 1);
  setsockopt (fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
  if (bind (fd, (struct sockaddr *) &address,
            (socklen_t) (G_STRUCT_OFFSET (struct sockaddr_un, sun_path) + length)) != 0) {
    perror ("bench: bind");
    exit (2);
  }
  return fd;
}

void
bench_say_ready (void)
{
  const char *path = g_getenv ("NOTIFY_SOCKET");
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  if (!path)
    return;
  int fd = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  memcpy (address.sun_path + 1, path + 1, strlen (path) - 1);
  if (sendto (fd, "READY=1", 7, 0, (struct sockaddr *) &address,
              (socklen_t) (G_STRUCT_OFFSET (struct sockaddr_un, sun_path) + strlen (path))) < 0)
    perror ("bench: sendto");
  close (fd);
}

GPid
bench_spawn_ready (const char *const *argv, char **environment, double *ready)
{
  char path[64], text[512] = "";
  int fd = listen_for_ready (path, sizeof path);
  g_auto (GStrv) with = g_environ_setenv (environment ? g_strdupv (environment) : g_get_environ (),
                                          "NOTIFY_SOCKET", path, TRUE);
  g_autoptr (GError) error = NULL;
  GPid pid = 0;
  double began = bench_now ();
  if (!g_spawn_async (NULL, (char **) argv, with, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &pid, &error)) {
    g_printerr ("bench: %s\n", error->message);
    exit (2);
  }
  while (!g_str_has_prefix (text, "READY=1"))
    if (recv (fd, text, sizeof text - 1, 0) < 0) {
      g_printerr ("bench: %s does not get ready\n", argv[0]);
      exit (2);
    }
  if (ready)
    *ready = bench_now () - began;
  close (fd);
  return pid;
}

/* ---- the daemon ---- */

char *
bench_endpoint (const BenchDaemon *daemon, const char *name)
{
  return g_strdup_printf ("ipc://%s/run/%s", daemon->dir, name);
}

void
bench_put_file (const char *dir, const char *name, const char *text)
{
  g_autofree char *path = g_build_filename (dir, name, NULL);
  g_autofree char *parent = g_path_get_dirname (path);
  g_autoptr (GError) error = NULL;
  g_mkdir_with_parents (parent, 0750);
  if (!g_file_set_contents (path, text ? text : "", -1, &error))
    g_printerr ("bench: %s\n", error->message);
}

static void
spawn (BenchDaemon *daemon, double *ready)
{
  g_autofree char *program = g_build_filename (build_dir (), "zmanagerd", NULL);
  g_autofree char *acts = bench_plugin_dir ();
  g_autofree char *path = g_strdup_printf (
      "%s/plugins/components/echo/.libs:%s/plugins/stores/sqlite/.libs:%s", build_dir (), build_dir (), acts);
  const char *argv[] = {
    program, "--dir", daemon->dir, "--log-level", "warning", "--set", "zmanager.system-plugins=no", NULL
  };
  g_auto (GStrv) environment = g_environ_setenv (g_get_environ (), "ZM_PLUGIN_PATH", path, TRUE);

  daemon->pid = bench_spawn_ready (argv, environment, ready);
}

static void
end (BenchDaemon *daemon)
{
  kill (daemon->pid, SIGTERM);
  waitpid (daemon->pid, NULL, 0);
  g_spawn_close_pid (daemon->pid);
}

BenchDaemon *
bench_daemon_start (const char *configuration, const char *actions, const char *flows, double *ready)
{
  BenchDaemon *daemon = g_new0 (BenchDaemon, 1);
  daemon->dir = g_dir_make_tmp ("zm-bench-XXXXXX", NULL);
  bench_put_file (daemon->dir, "zmanager.conf", configuration);
  bench_put_file (daemon->dir, "actions.d/bench.ini", actions);
  bench_put_file (daemon->dir, "flows.d/bench.flow", flows);
  spawn (daemon, ready);
  return daemon;
}

void
bench_daemon_again (BenchDaemon *daemon, double *ready)
{
  end (daemon);
  spawn (daemon, ready);
}

void
bench_daemon_stop (BenchDaemon *daemon)
{
  end (daemon);
  const char *argv[] = { "rm", "-rf", daemon->dir, NULL };
  g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
  g_free (daemon->dir);
  g_free (daemon);
}

/* ---- what the kernel says ---- */

static gint64
status_number (const char *path, const char *name)
{
  g_autofree char *text = NULL;
  if (!g_file_get_contents (path, &text, NULL, NULL))
    return 0;
  const char *at = strstr (text, name);
  return at ? g_ascii_strtoll (at + strlen (name), NULL, 10) : 0;
}

gint64
bench_rss_kib (GPid pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/status", pid);
  return status_number (path, "VmRSS:");
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

void
bench_idle (GPid pid, double *cpu_seconds, guint64 *switches)
{
  g_autofree char *folder = g_strdup_printf ("/proc/%d/task", pid);
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  guint64 ns = 0;
  *switches = 0;
  for (const char *task; dir && (task = g_dir_read_name (dir));) {
    g_autofree char *status = g_strdup_printf ("%s/%s/status", folder, task);
    g_autofree char *schedstat = g_strdup_printf ("%s/%s/schedstat", folder, task);
    g_autofree char *text = NULL;
    *switches += (guint64) status_number (status, "\nvoluntary_ctxt_switches:");
    if (g_file_get_contents (schedstat, &text, NULL, NULL))
      ns += g_ascii_strtoull (text, NULL, 10);
  }
  *cpu_seconds = (double) ns / 1e9;
}
