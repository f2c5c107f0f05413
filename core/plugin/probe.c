/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Asks the helper process zmanager-probe to open a library first, and remembers the answer by what is in the file: what crashes,
 * hangs or ends the process does it there, once.
 */
#include "config.h"

#include "base/zm-trust.h"
#include "plugin/zm-plugin-private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST_ANSWER     4096 /* bytes of the helper's about one library */
#define MOST_REMEMBERED 1024 /* answers */

extern char **environ;

/* ---- one probe ---- */

/* A running helper. */
typedef struct Probe {
  pid_t pid;
  int out;            /* its answers, to be read */
  GString *answer;    /* what was read, borrowed */
  gsize most;         /* bytes of it that are read; a helper that says more is not believed */
  gboolean timed_out; /* and killed */
  int status;         /* of waitpid */
} Probe;

/* argv: NULL-terminated, the program first. An errno. */
static int
spawn (const char *const *argv, int out, pid_t *pid)
{
  posix_spawn_file_actions_t files;
  posix_spawnattr_t how;
  int status;

  posix_spawn_file_actions_init (&files);
  posix_spawnattr_init (&how);
  posix_spawn_file_actions_addopen (&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2 (&files, out, STDOUT_FILENO);
  posix_spawn_file_actions_addopen (&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
#if defined __GLIBC_PREREQ
#if __GLIBC_PREREQ(2, 34)
  posix_spawn_file_actions_addclosefrom_np (&files, 3);
#endif
#endif
  /* A group of its own, so that what it starts ends with it. */
  posix_spawnattr_setflags (&how, POSIX_SPAWN_SETPGROUP);
  status = posix_spawn (pid, argv[0], &files, &how, (char **) argv, environ);
  posix_spawn_file_actions_destroy (&files);
  posix_spawnattr_destroy (&how);
  return status;
}

/* The writing end is closed here at once: the end of the helper is then the end of the file. Reading never waits: what the
 * library has started may outlive the helper, its group included, and hold the other end. */
static gboolean
start (Probe *probe, const char *const *argv, GError **error)
{
  int pipe_fds[2];
  int status;
  g_autoptr (GError) why = NULL;

  /* It says nothing about the library. */
  if (!zm_trust_program (argv[0], &why)) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_IO, "the probe cannot be run: %s", why->message);
    return FALSE;
  }
  if (pipe2 (pipe_fds, O_CLOEXEC) != 0) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_IO, "no pipe for the probe: %s", g_strerror (errno));
    return FALSE;
  }
  fcntl (pipe_fds[0], F_SETFL, O_NONBLOCK);
  status = spawn (argv, pipe_fds[1], &probe->pid);
  close (pipe_fds[1]);
  probe->out = pipe_fds[0];
  if (status == 0)
    return TRUE;
  close (probe->out);
  g_set_error (error, ZM_ERROR, ZM_ERROR_IO, "the probe %s cannot be run: %s", argv[0], g_strerror (status));
  return FALSE;
}

/* TRUE: end of file, nothing there, or more than is read. */
static gboolean
read_answer (Probe *probe)
{
  char buffer[512];
  ssize_t n = read (probe->out, buffer, sizeof buffer);

  if (n > 0)
    g_string_append_len (probe->answer, buffer, n);
  return n == 0 || (n < 0 && errno != EINTR) || probe->answer->len > probe->most;
}

/* Waits for the end of its output and of itself. A grandchild may hold the pipe open, so the process counts too. */
static void
wait_for (Probe *probe, guint timeout_ms)
{
  gint64 until_us = zm_now_us () + (gint64) timeout_ms * 1000;
  int pid_fd = (int) syscall (SYS_pidfd_open, probe->pid, 0);
  struct pollfd polls[2] = { { probe->out, POLLIN, 0 }, { pid_fd, POLLIN, 0 } };
  gboolean ended = FALSE;

  while (!ended) {
    gint64 left_ms = (until_us - zm_now_us ()) / 1000;

    probe->timed_out = left_ms <= 0;
    if (probe->timed_out)
      break;
    /* A signal: what poll says is then what it said the last time. */
    if (poll (polls, 2, (int) left_ms) < 0)
      continue;
    if (polls[0].revents != 0 && read_answer (probe))
      polls[0].fd = -1;
    /* Without a pidfd (an old kernel) the end of the output has to do. */
    ended = polls[0].revents == 0 ? polls[1].revents != 0 : pid_fd < 0 && polls[0].fd < 0;
  }
  if (pid_fd >= 0)
    close (pid_fd);
}

/* What it was at when it ended; its own words for the stages. */
static char *
last_stage (const GString *answer)
{
  g_auto (GStrv) lines = g_strsplit (answer->str, "\n", -1);
  const char *stage = "start";

  for (char **line = lines; *line != NULL; line++)
    if (g_str_has_prefix (*line, "stage "))
      stage = *line + strlen ("stage ");
  return zm_printable (zm_span_text (stage), 40);
}

/* In the order of what is most telling: the time that ran out, its own words, the signal, the exit. */
static gboolean
refuse (const Probe *probe, guint timeout_ms, GError **error)
{
  g_autofree char *stage = last_stage (probe->answer);
  const char *said = strstr (probe->answer->str, "error ");

  if (probe->timed_out) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_REFUSED, "when it was tried, its %s did not end within %u ms",
                 stage, timeout_ms);
  } else if (said != NULL) {
    g_autofree char *text = zm_printable (zm_span (said + 6, strcspn (said + 6, "\n")), 400);

    g_set_error (error, ZM_ERROR, ZM_ERROR_REFUSED, "when it was tried: %s", text);
  } else if (WIFSIGNALED (probe->status)) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_REFUSED, "when it was tried, it crashed in its %s (signal %d, %s)",
                 stage, WTERMSIG (probe->status), strsignal (WTERMSIG (probe->status)));
  } else {
    g_set_error (error, ZM_ERROR, ZM_ERROR_REFUSED,
                 "when it was tried, its %s ended the whole process (exit status %d)", stage,
                 WEXITSTATUS (probe->status));
  }
  return FALSE;
}

/* Its whole group is killed in any case: a constructor may have started processes. What the pipe holds by then is read
 * after that, as the last words count. */
gboolean
zm_probe_ask (const char *const *argv, gsize most, guint timeout_ms, GString *answer, GError **error)
{
  Probe probe = { .answer = answer, .most = most };

  if (!start (&probe, argv, error))
    return FALSE;
  wait_for (&probe, timeout_ms);
  kill (-probe.pid, SIGKILL);
  while (waitpid (probe.pid, &probe.status, 0) < 0 && errno == EINTR)
    ;
  while (!probe.timed_out && !read_answer (&probe))
    ;
  close (probe.out);
  return (!probe.timed_out && g_str_has_suffix (answer->str, "stage end\n")) ||
         refuse (&probe, timeout_ms, error);
}

static char *
find_helper (const char *name)
{
  g_autofree char *self = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *folder = self != NULL ? g_path_get_dirname (self) : g_strdup (".");
  g_autofree char *beside = g_build_filename (folder, name, NULL);
  g_autofree char *installed = g_build_filename (ZM_LIBEXECDIR, name, NULL);

  if (g_file_test (beside, G_FILE_TEST_IS_EXECUTABLE))
    return g_steal_pointer (&beside);
  if (g_file_test (installed, G_FILE_TEST_IS_EXECUTABLE))
    return g_steal_pointer (&installed);
  return NULL;
}

char *
zm_plugins_find_probe (void)
{
  return find_helper ("zmanager-probe");
}

char *
zm_plugins_find_host (void)
{
  return find_helper ("zmanager-host");
}

/* ---- the memory ---- */

struct ZmProbes {
  GHashTable *known; /* checksum of the file -> Answer */
};

typedef struct Answer {
  char *error; /* NULL: good */
  gboolean unloads;
} Answer;

static void
answer_free (gpointer data)
{
  Answer *answer = data;

  g_free (answer->error);
  g_free (answer);
}

ZmProbes *
zm_probes_new (void)
{
  ZmProbes *probes = g_new0 (ZmProbes, 1);

  probes->known = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, answer_free);
  return probes;
}

void
zm_probes_free (ZmProbes *probes)
{
  g_hash_table_unref (probes->known);
  g_free (probes);
}

static Answer *
ask (const char *program, const char *copy, const ZmManifest *manifest, guint timeout_ms, GError **error)
{
  g_autofree const char **argv = g_new0 (const char *, g_strv_length (manifest->actions) + 3);
  g_autoptr (GString) said = g_string_new (NULL);
  g_autoptr (GError) why = NULL;
  Answer *answer;

  argv[0] = program;
  argv[1] = copy;
  for (guint i = 0; manifest->actions[i] != NULL; i++)
    argv[i + 2] = manifest->actions[i];
  /* That no probe could be run says nothing about the library. */
  if (!zm_probe_ask (argv, MOST_ANSWER, timeout_ms, said, &why) && why->code == ZM_ERROR_IO) {
    g_propagate_error (error, g_steal_pointer (&why));
    return NULL;
  }
  answer = g_new0 (Answer, 1);
  answer->error = why != NULL ? g_strdup (why->message) : NULL;
  answer->unloads = strstr (said->str, "unloads no\n") == NULL;
  return answer;
}

/* Of all bytes: build id, size and time are what whoever made the file wrote there, and reproducible builds give one time to
 * all. The copy is ours, so it does not change. NULL with error. */
static char *
checksum (const char *copy, GError **error)
{
  g_autoptr (GMappedFile) file = g_mapped_file_new (copy, FALSE, error);

  return file == NULL ? NULL
                      : g_compute_checksum_for_data (G_CHECKSUM_SHA256,
                                                     (const guchar *) g_mapped_file_get_contents (file),
                                                     g_mapped_file_get_length (file));
}

/* By what it is, not by path: the same file under another name is not tried again, and a mended one is. */
gboolean
zm_probes_check (ZmProbes *probes, const char *program, const char *copy, const ZmManifest *manifest,
                 guint timeout_ms, gboolean *unloads, GError **error)
{
  g_autofree char *key = checksum (copy, error);
  Answer *answer = key != NULL ? g_hash_table_lookup (probes->known, key) : NULL;

  if (key == NULL)
    return FALSE;
  if (answer == NULL) {
    answer = ask (program, copy, manifest, timeout_ms, error);
    if (answer == NULL)
      return FALSE;
    /* Forgetting costs a probe each, no more. */
    if (g_hash_table_size (probes->known) >= MOST_REMEMBERED)
      g_hash_table_remove_all (probes->known);
    g_hash_table_insert (probes->known, g_steal_pointer (&key), answer);
  }
  *unloads = answer->unloads;
  if (answer->error != NULL)
    g_set_error (error, ZM_ERROR, ZM_ERROR_REFUSED, "%s", answer->error);
  return answer->error == NULL;
}
