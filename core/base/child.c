/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Starts one child process and reads its output. Between fork and exec only what is safe in a copy of a threaded process. */
#include "config.h"

#include "base/zm-child.h"

#include "base/zm-base.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LINES_A_SECOND 50
#define APART_MS       1000
#define FIRST_KEPT     (STDERR_FILENO + 1)
#define FIRST_FREE     (FIRST_KEPT + ZM_CHILD_KEEP_MOST)

void
zm_child_init (ZmChild *child)
{
  memset (child, 0, sizeof *child);
  child->pidfd = child->out.fd = child->err.fd = -1;
}

/* Closes once; a second time does nothing. */
static void
shut (int *fd)
{
  if (*fd >= 0)
    close (*fd);
  *fd = -1;
}

void
zm_child_close (ZmChild *child)
{
  shut (&child->pidfd);
  shut (&child->out.fd);
  shut (&child->err.fd);
  child->out.used = child->err.used = 0;
  child->out.cut = child->err.cut = FALSE;
  child->pid = 0;
}

/* ---- in the child, between fork and exec ---- */

/* To the pipe of the daemon, which logs it with the worker's name: there is nobody else to tell. */
static void
say (const char *text)
{
  if (write (STDERR_FILENO, text, strlen (text)) < 0)
    return;
}

/* What the daemon ignores (SIGPIPE) and what its threads block would be inherited by the program, which expects neither. */
static void
plain_signals (void)
{
  sigset_t none;

  for (int number = 1; number < NSIG; number++)
    signal (number, SIG_DFL);
  sigemptyset (&none);
  sigprocmask (SIG_SETMASK, &none, NULL);
}

/* Closes all from first on, at once and not at the exec, so that the daemon's sockets are held no longer than it
 * takes; last is the last one. Kernels before 5.9 do it at the exec: everything is close-on-exec. */
static void
let_go (int first, int last)
{
#if defined SYS_close_range
  if (syscall (SYS_close_range, (unsigned) MAX (last + 1, first), ~0U, 0U) != 0)
    return;
  if (last > first)
    syscall (SYS_close_range, (unsigned) first, (unsigned) last - 1, 0U);
  if (last >= first)
    close (last);
#else
  (void) first;
  (void) last;
#endif
}

/* In the child. Only what is safe after fork in a process of many threads: no allocation, no lock, no log; everything
 * was made before. */
_Noreturn static void
become (const ZmChildStart *start, const int *ends, const int *keep, pid_t parent)
{
  plain_signals ();
  /* A group of its own: Ctrl-C at a terminal is the daemon's, which drains first; and its children end with it. */
  setpgid (0, 0);
  prctl (PR_SET_PDEATHSIG, start->parent_ends);
  if (getppid () != parent) /* it ended before the line above */
    _exit (127);
  if (dup2 (ends[0], STDIN_FILENO) < 0 || dup2 (ends[1], STDOUT_FILENO) < 0 ||
      dup2 (ends[2], STDERR_FILENO) < 0)
    _exit (127);
  for (guint i = 0; i < start->n_keep; i++)
    if (dup2 (keep[i], FIRST_KEPT + (int) i) < 0)
      _exit (127);
  let_go (FIRST_KEPT + (int) start->n_keep, ends[3]);
  if (chdir (start->directory) != 0) {
    say ("cannot change to its working directory\n");
    _exit (127);
  }
  execve (start->argv[0], start->argv, start->environment);
  say (errno == ENOENT ? "cannot be executed: it, or its interpreter, is not there\n"
                       : "cannot be executed: no permission, or not a program\n");
  _exit (127);
}

/* ---- start ---- */

/* Out of the numbers that the child gives to what it keeps: in the child dup2 would write over one that is still needed, or leave
 * it close-on-exec. FALSE: no descriptors; the old one is closed in either case. */
static gboolean
lift (int *fd)
{
  int low = *fd;

  if (low >= FIRST_FREE)
    return TRUE;
  *fd = fcntl (low, F_DUPFD_CLOEXEC, FIRST_FREE);
  close (low);
  return *fd >= 0;
}

/* Copies of what the child is to keep, likewise; those are the caller's own and stay as they are. */
static gboolean
copy_kept (const ZmChildStart *start, int keep[ZM_CHILD_KEEP_MOST])
{
  for (guint i = 0; i < start->n_keep; i++) {
    keep[i] = fcntl (start->keep[i], F_DUPFD_CLOEXEC, FIRST_FREE);
    if (keep[i] < 0)
      return FALSE;
  }
  return TRUE;
}

/* Read ends do not block: the thread polls many. All are close-on-exec, so that no sibling holds another's pipe open.
 * After an error what was opened stays in child and ends, for the caller to close. */
static gboolean
open_pipes (ZmChild *child, int ends[4], int *apart)
{
  int out[2], err[2], last[2];

  ends[0] = open ("/dev/null", O_RDONLY | O_CLOEXEC);
  if (ends[0] < 0)
    return FALSE;
  if (pipe2 (out, O_CLOEXEC) != 0)
    return FALSE;
  child->out.fd = out[0];
  ends[1] = out[1];
  if (pipe2 (err, O_CLOEXEC) != 0)
    return FALSE;
  child->err.fd = err[0];
  ends[2] = err[1];
  if (pipe2 (last, O_CLOEXEC) != 0)
    return FALSE;
  *apart = last[0];
  ends[3] = last[1];
  if (!lift (&ends[0]) || !lift (&ends[1]) || !lift (&ends[2]) || !lift (&ends[3]) ||
      !lift (&child->out.fd) || !lift (&child->err.fd) || !lift (apart))
    return FALSE;
  return fcntl (child->out.fd, F_SETFL, O_NONBLOCK) == 0 && fcntl (child->err.fd, F_SETFL, O_NONBLOCK) == 0;
}

/* A fork has copies of all that the daemon had open, its listening sockets too: as long as it has, their endpoints cannot
 * be bound again. The last of the copies to go is ends[3], whose other end this is. A child that gets no processor for so
 * long, or a kernel before 5.9 with a file system that does not answer, is not waited for. */
static void
wait_until_apart (int fd)
{
  struct pollfd one = { .fd = fd, .events = POLLIN };

  while (poll (&one, 1, APART_MS) < 0 && errno == EINTR)
    continue;
}

gboolean
zm_child_start (ZmChild *child, const ZmChildStart *start, GError **error)
{
  int ends[4] = { -1, -1, -1, -1 }, keep[ZM_CHILD_KEEP_MOST] = { -1, -1, -1, -1 }, apart = -1;
  pid_t parent = getpid (), pid = -1;
  int problem;

  zm_child_init (child);
  g_return_val_if_fail (start->n_keep <= ZM_CHILD_KEEP_MOST, FALSE);
  if (open_pipes (child, ends, &apart) && copy_kept (start, keep))
    pid = fork ();
  if (pid == 0)
    become (start, ends, keep, parent);
  problem = errno;
  for (guint i = 0; i < ZM_CHILD_KEEP_MOST; i++)
    shut (&keep[i]);
  for (guint i = 0; i < G_N_ELEMENTS (ends); i++)
    shut (&ends[i]);
  if (pid > 0)
    wait_until_apart (apart);
  shut (&apart);
  if (pid < 0) {
    zm_child_close (child);
    g_set_error (error, ZM_ERROR, ZM_ERROR_IO, "%s; raise the limits of processes and open files",
                 g_strerror (problem));
    return FALSE;
  }
  child->pid = pid;
#if defined SYS_pidfd_open
  child->pidfd = (int) syscall (SYS_pidfd_open, pid, 0);
#endif
  return TRUE;
}

/* To the group, as a shell or a launcher may have started the real worker. */
void
zm_child_signal (const ZmChild *child, int number)
{
  if (child->pid <= 0)
    return;
  /* The group is not there before the child made it. */
  if (kill (-child->pid, number) != 0)
    kill (child->pid, number);
}

/* Does not wait. The end is looked at first and taken last: as long as it is not taken its number, and that of its
 * group, is nobody else's. */
gboolean
zm_child_reap (ZmChild *child, int *status)
{
  siginfo_t info = { .si_pid = 0 };

  *status = 0;
  /* Not there any more: somebody else took its end, which then is not known. */
  if (waitid (P_PID, (id_t) child->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0)
    return errno == ECHILD;
  if (info.si_pid == 0)
    return FALSE;
  /* What it started ends with it. Before its end is taken: until then nobody else can have its number. */
  kill (-child->pid, SIGTERM);
  return waitpid (child->pid, status, WNOHANG) == child->pid;
}

char *
zm_child_describe_end (int status)
{
  if (WIFSIGNALED (status))
    return g_strdup_printf ("signal %d (%s)", WTERMSIG (status), g_strsignal (WTERMSIG (status)));
  return g_strdup_printf ("exit status %d", WEXITSTATUS (status));
}

/* A pidfd becomes readable when the process ends, so no signal handler is needed, and nobody else's children are
 * touched. */
gboolean
zm_child_add_polls (const ZmChild *child, GArray *polls)
{
  const int fds[] = { child->pidfd, child->out.fd, child->err.fd };

  for (guint i = 0; i < G_N_ELEMENTS (fds); i++) {
    struct pollfd one = { .fd = fds[i], .events = POLLIN };

    if (fds[i] >= 0)
      g_array_append_val (polls, one);
  }
  return child->pidfd >= 0;
}

/* ---- output ---- */

/* At most so many lines a second; the rest is counted and told once. */
static gboolean
may_log (ZmChild *child, const ZmChildLog *to)
{
  gint64 now = zm_now_us ();

  if (now - child->window_us >= G_USEC_PER_SEC) {
    if (child->suppressed > 0)
      zm_log_write (to->log, ZM_LEVEL_NOTICE, to->room, "%s: %u lines of its output were left out", to->name,
                    child->suppressed);
    child->window_us = now;
    child->lines = child->suppressed = 0;
  }
  if (child->lines < LINES_A_SECOND) {
    child->lines++;
    return TRUE;
  }
  child->suppressed++;
  zm_counter_add (to->suppressed, 1);
  return FALSE;
}

/* A line without text is left out. Text of the child is made printable: it goes into the log. */
static void
log_line (ZmChild *child, ZmChildPipe *pipe, const ZmChildLog *to)
{
  gboolean error = pipe == &child->err;
  g_autofree char *text = NULL;

  if (pipe->used > 0 && may_log (child, to)) {
    text = zm_printable (zm_span (pipe->line, pipe->used), ZM_CHILD_LINE_MOST);
    zm_log_write (to->log, error ? ZM_LEVEL_NOTICE : ZM_LEVEL_INFO, to->room, "%s: %s%s", to->name, text,
                  pipe->cut ? " …" : "");
    if (to->line != NULL)
      to->line (text, to->user);
  }
  pipe->used = 0;
  pipe->cut = FALSE;
}

/* Puts bytes to the line until it ends; what does not fit is cut and marked, so a child that never ends its line costs
 * no memory. */
static void
take (ZmChild *child, ZmChildPipe *pipe, ZmSpan bytes, const ZmChildLog *to)
{
  for (gsize i = 0; i < bytes.size; i++) {
    if (bytes.data[i] == '\n')
      log_line (child, pipe, to);
    else if (pipe->used < sizeof pipe->line)
      pipe->line[pipe->used++] = bytes.data[i];
    else
      pipe->cut = TRUE;
  }
}

/* Reads what there is, and closes the pipe at its end; a last line without a line feed counts too. */
static void
read_pipe (ZmChild *child, ZmChildPipe *pipe, const ZmChildLog *to)
{
  char buffer[4096];
  ssize_t got = 0;

  /* A child that writes without end must not keep the thread from the others. */
  for (guint i = 0; pipe->fd >= 0 && i < 16 && (got = read (pipe->fd, buffer, sizeof buffer)) > 0; i++)
    take (child, pipe, zm_span (buffer, (gsize) got), to);
  if (pipe->fd < 0 || got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR)))
    return;
  log_line (child, pipe, to);
  shut (&pipe->fd);
}

void
zm_child_read (ZmChild *child, const ZmChildLog *log)
{
  read_pipe (child, &child->out, log);
  read_pipe (child, &child->err, log);
}
