/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Starting and ending the daemon of a test.
 *
 * It is a real one, with sockets of its own in a temporary directory, so what a test shows is what a daemon does. It must not
 * outlive the client: the kernel ends it when the client dies (PR_SET_PDEATHSIG), and the client ends it, by force if need be,
 * before it removes the directory. It shares nothing with a running instance but files that it only reads.
 */
#include "config.h"

#include "ctl/private-daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* No name that an instance's directory has, as those are linked. */
#define LOG_NAME ".zmanagerctl.log"
#define START_US (20 * G_USEC_PER_SEC)
#define STOP_US  (5 * G_USEC_PER_SEC)
/* Shown of the log of a daemon that ended by itself. */
#define LOG_LINES 5

/* what: a text with one %s for the path. */
static gboolean
io_error (GError **error, const char *what, const char *path)
{
  const char *reason = g_strerror (errno);
  g_auto (GStrv) parts = g_strsplit (what, "%s", 2);
  g_autofree char *text = g_strjoinv (path, parts);

  g_set_error (error, ZM_ERROR, ZM_ERROR_IO, "%s: %s", text, reason);
  return FALSE;
}

/* Beside this program first: a build tree tests itself, not what is installed. */
char *
zm_private_program (void)
{
  g_autofree char *self = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *folder = self != NULL ? g_path_get_dirname (self) : NULL;
  g_autofree char *beside = folder != NULL ? g_build_filename (folder, "zmanagerd", NULL) : NULL;

  if (beside != NULL && g_file_test (beside, G_FILE_TEST_IS_EXECUTABLE))
    return g_steal_pointer (&beside);
  return g_find_program_in_path ("zmanagerd");
}

/* In TMPDIR, readable for its owner only: bodies of tests go through its sockets. */
ZmPrivate *
zm_private_new (GError **error)
{
  g_autofree char *dir = g_dir_make_tmp ("zmanagerctl-XXXXXX", error);
  ZmPrivate *own = NULL;

  if (dir == NULL)
    return NULL;
  own = g_new0 (ZmPrivate, 1);
  own->dir = g_steal_pointer (&dir);
  return own;
}

/* Links, not copies: a worker's script finds the files beside it. */
gboolean
zm_private_link (ZmPrivate *own, const char *target, GError **error)
{
  static const char *const left_out[] = { "run", "state", "plugins", "zmanager.conf", "conf.d", NULL };
  g_autoptr (GDir) dir = g_dir_open (target, 0, error);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL) {
    g_autofree char *from = g_build_filename (target, name, NULL);
    g_autofree char *to = g_build_filename (own->dir, name, NULL);

    if (!g_strv_contains (left_out, name) && symlink (from, to) != 0)
      return io_error (error, _ ("cannot link %s"), to);
  }
  return dir != NULL;
}

/* Whole or not at all, by a rename: links of the tested instance are replaced and not written through. */
gboolean
zm_private_write (ZmPrivate *own, const char *name, const char *text, GError **error)
{
  g_autofree char *path = g_build_filename (own->dir, name, NULL);
  g_autofree char *folder = g_path_get_dirname (path);

  if (g_mkdir_with_parents (folder, 0700) != 0)
    return io_error (error, _ ("cannot make %s"), folder);
  return g_file_set_contents (path, text, -1, error);
}

/* In the child: the daemon ends when the client does, and gets signals as if started from a shell. */
static void
prepare_child (gpointer user)
{
  sigset_t none;
  int fd = *(int *) user;

  prctl (PR_SET_PDEATHSIG, SIGTERM);
  sigemptyset (&none);
  sigprocmask (SIG_SETMASK, &none, NULL);
  dup2 (fd, STDOUT_FILENO);
  dup2 (fd, STDERR_FILENO);
}

/* ZM_DIR and the service manager's socket are of the daemon that is not touched. */
static gboolean
spawn (ZmPrivate *own, GError **error)
{
  g_autofree char *program = zm_private_program ();
  g_autofree char *log = g_build_filename (own->dir, LOG_NAME, NULL);
  /* --dev: bodies that cannot be written. Files do not change here. Where something goes wrong people read the log's end. */
  const char *argv[] = { program, "--dev",  "--set", "zmanager.watch=no", "--log-format", "human",
                         "--dir", own->dir, NULL };
  g_auto (GStrv) environment =
      g_environ_unsetenv (g_environ_unsetenv (g_get_environ (), "ZM_DIR"), "NOTIFY_SOCKET");
  int fd;
  gboolean good;

  if (program == NULL) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_NOT_FOUND,
                 _ ("zmanagerd is neither beside zmanagerctl nor on PATH"));
    return FALSE;
  }
  fd = open (log, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0)
    return io_error (error, _ ("cannot open %s"), log);
  good = g_spawn_async (own->dir, (char **) argv, environment,
                        G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDOUT_TO_DEV_NULL, prepare_child, &fd, &own->pid,
                        error);
  close (fd);
  return good;
}

/* The last lines of the daemon's log: what it said before its end, not the story of its start. The caller frees. */
static char *
log_end (const ZmPrivate *own)
{
  g_autofree char *path = g_build_filename (own->dir, LOG_NAME, NULL);
  g_autofree char *text = NULL;
  const char *from = NULL;
  gsize size = 0;

  if (!g_file_get_contents (path, &text, &size, NULL) || size == 0)
    return g_strdup (_ ("(its log is empty)"));
  g_strchomp (text);
  from = text + strlen (text);
  for (guint lines = 0; from > text && lines < LOG_LINES; lines += *from == '\n')
    from--;
  return g_strdup (*from == '\n' ? from + 1 : from);
}

/* Never waits. A daemon that ended is reaped here, so its process id is not used again by us. */
gboolean
zm_private_running (ZmPrivate *own, GError **error)
{
  int status = 0;
  g_autofree char *end = NULL;

  if (own->pid != 0 && waitpid (own->pid, &status, WNOHANG) == 0)
    return TRUE;
  own->pid = 0;
  end = log_end (own);
  if (WIFSIGNALED (status))
    g_set_error (error, ZM_ERROR, ZM_ERROR_IO,
                 _ ("the daemon of the test was ended by signal %d; its log:\n%s"), WTERMSIG (status), end);
  else
    g_set_error (error, ZM_ERROR, ZM_ERROR_IO,
                 _ ("the daemon of the test ended with status %d; its log:\n%s"), WEXITSTATUS (status), end);
  return FALSE;
}

/* Control is bound last, so when it answers everything else is there. Until then each attempt is short, so that a daemon
 * that ended at once is noticed at once. */
gboolean
zm_private_start (ZmPrivate *own, ZmCtl *ctl, GError **error)
{
  gint64 until = zm_now_us () + START_US;
  gint64 timeout_ms = ctl->timeout_ms;

  if (!spawn (own, error))
    return FALSE;
  ctl->instance = zm_instance_new (own->dir, error);
  ctl->timeout_ms = 200;
  while (ctl->instance != NULL && ctl->status == NULL) {
    g_autoptr (GError) inner = NULL;

    if (!zm_private_running (own, error))
      break;
    ctl->status = zm_ctl_request (ctl, zm_ctl_request_new ("status"), ZM_CTL_ANSWER_MS, &inner);
    if (ctl->status == NULL && zm_now_us () > until) {
      g_propagate_error (error, g_steal_pointer (&inner));
      break;
    }
  }
  ctl->timeout_ms = timeout_ms;
  return ctl->status != NULL;
}

/* ---- the end ---- */

/* SIGTERM drains; what hangs in a plugin is killed. */
static void
stop (ZmPrivate *own)
{
  gint64 until = zm_now_us () + STOP_US;

  if (own->pid == 0)
    return;
  kill (own->pid, SIGTERM);
  while (waitpid (own->pid, NULL, WNOHANG) == 0) {
    if (zm_now_us () > until) {
      kill (own->pid, SIGKILL);
      waitpid (own->pid, NULL, 0);
      break;
    }
    g_usleep (10000);
  }
  own->pid = 0;
}

/* Removes a tree; links are removed, never followed. */
static void
remove_tree (const char *path)
{
  struct stat info;
  g_autoptr (GDir) dir = NULL;
  const char *name;

  if (lstat (path, &info) != 0)
    return;
  if (!S_ISDIR (info.st_mode)) {
    g_unlink (path);
    return;
  }
  dir = g_dir_open (path, 0, NULL);
  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL) {
    g_autofree char *child = g_build_filename (path, name, NULL);

    remove_tree (child);
  }
  g_rmdir (path);
}

/* The daemon first: it must not write into a directory that is going away. */
void
zm_private_free (ZmPrivate *own)
{
  if (own == NULL)
    return;
  stop (own);
  remove_tree (own->dir);
  g_free (own->dir);
  g_free (own);
}
