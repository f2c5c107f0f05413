/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The thread that keeps processes running. A process is a small state machine; only the thread takes steps and frees, others
 * append to the list or set a wish, under the lock, and wake it.
 */
#include "config.h"

#include "worker/external-process.h"

#include "base/zm-base.h"
#include "worker/external-child.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define BACKOFF_FIRST_US (100 * 1000)
#define BACKOFF_MOST_US  (10 * G_USEC_PER_SEC)
#define KILL_AFTER_US    (2 * G_USEC_PER_SEC)
#define LEAVE_AFTER_US   (1 * G_USEC_PER_SEC) /* after SIGKILL: stuck in the kernel */
#define NO_PIDFD_MS      100                  /* kernels before 5.3 are asked this often */

typedef enum { STATE_WAITING, STATE_RUNNING, STATE_ENDED, STATE_GONE } State;

typedef struct Process {
  char *name;
  char **argv, **environment;
  char *directory;
  gboolean restart;
  gboolean stop;  /* the wish */
  gboolean asked; /* SIGTERM was sent */
  gboolean killed;
  State state;
  ZmChild child; /* while RUNNING */
  gint64 started_us;
  gint64 due_us; /* WAITING: start; stopping: the next measure */
  gint64 backoff_us;
  guint64 starts;
  char *last_end; /* "exit status 1", or NULL */
} Process;

struct ZmProcesses {
  pthread_t thread;
  pthread_mutex_t lock;
  int wake; /* eventfd */
  gboolean quit;
  GPtrArray *list; /* Process* */
  ZmLog *log;
  ZmCounter *restarts, *suppressed;
};

static void
process_free (gpointer data)
{
  Process *process = data;

  zm_child_close (&process->child);
  g_free (process->name);
  g_strfreev (process->argv);
  g_strfreev (process->environment);
  g_free (process->directory);
  g_free (process->last_end);
  g_free (process);
}

static void
wake (ZmProcesses *processes)
{
  guint64 one = 1;

  /* Full (impossible in practice) means that it wakes anyway. */
  if (write (processes->wake, &one, sizeof one) < 0)
    return;
}

/* ---- steps of one process ---- */

static void
wait_for_restart (Process *process, gint64 now)
{
  process->state = STATE_WAITING;
  process->due_us = now + process->backoff_us;
  process->backoff_us = MIN (process->backoff_us * 2, BACKOFF_MOST_US);
}

static void
begin (ZmProcesses *processes, Process *process, gint64 now)
{
  g_autoptr (GError) error = NULL;

  if (process->starts > 0)
    zm_counter_add (processes->restarts, 1);
  process->starts++;
  process->started_us = now;
  if (zm_child_start (&process->child, process->argv, process->environment, process->directory, &error)) {
    process->state = STATE_RUNNING;
    zm_log_write (processes->log, ZM_LEVEL_INFO, "worker", "%s: started, process %d", process->name,
                  (int) process->child.pid);
    return;
  }
  zm_log_limited (processes->log, ZM_LEVEL_ERROR, "worker", "cannot start", "%s: cannot be started: %s",
                  process->name, error->message);
  g_free (process->last_end);
  process->last_end = g_strdup (error->message);
  wait_for_restart (process, now);
}

static char *
describe_end (int status)
{
  if (WIFSIGNALED (status))
    return g_strdup_printf ("signal %d (%s)", WTERMSIG (status), g_strsignal (WTERMSIG (status)));
  return g_strdup_printf ("exit status %d", WEXITSTATUS (status));
}

/* It ended: what it still wrote is read, and it is started again or not. */
static void
ended (ZmProcesses *processes, Process *process, int status, gint64 now)
{
  gboolean well = WIFEXITED (status) && WEXITSTATUS (status) == 0;

  zm_child_read (&process->child, processes->log, process->name, processes->suppressed);
  zm_child_close (&process->child);
  g_free (process->last_end);
  process->last_end = describe_end (status);
  if (process->stop) {
    zm_log_write (processes->log, ZM_LEVEL_INFO, "worker", "%s: ended, %s", process->name, process->last_end);
    process->state = STATE_GONE;
    return;
  }
  if (!process->restart) {
    zm_log_write (processes->log, well ? ZM_LEVEL_NOTICE : ZM_LEVEL_WARNING, "worker",
                  "%s: ended, %s; restart = no, so it stays ended until a reload names it anew",
                  process->name, process->last_end);
    process->state = STATE_ENDED;
    return;
  }
  if (now - process->started_us > BACKOFF_MOST_US)
    process->backoff_us = BACKOFF_FIRST_US;
  zm_log_write (processes->log, well ? ZM_LEVEL_NOTICE : ZM_LEVEL_WARNING, "worker",
                "%s: ended, %s; started again in %" G_GINT64_FORMAT " ms", process->name, process->last_end,
                process->backoff_us / 1000);
  wait_for_restart (process, now);
}

/* SIGTERM, SIGKILL, and at last it is left behind. */
static void
press (ZmProcesses *processes, Process *process, gint64 now)
{
  if (!process->asked) {
    process->asked = TRUE;
    process->due_us = now + KILL_AFTER_US;
    zm_child_signal (&process->child, SIGTERM);
  } else if (now >= process->due_us && !process->killed) {
    process->killed = TRUE;
    process->due_us = now + LEAVE_AFTER_US;
    zm_log_write (processes->log, ZM_LEVEL_NOTICE, "worker",
                  "%s: did not end within 2 s after SIGTERM: SIGKILL", process->name);
    zm_child_signal (&process->child, SIGKILL);
  } else if (now >= process->due_us) {
    zm_log_write (processes->log, ZM_LEVEL_ERROR, "worker",
                  "%s: process %d does not end even after SIGKILL: left behind", process->name,
                  (int) process->child.pid);
    process->state = STATE_GONE;
  }
}

static void
step (ZmProcesses *processes, Process *process, gint64 now)
{
  int status = 0;

  process->stop |= processes->quit;
  if (process->state == STATE_RUNNING && zm_child_reap (&process->child, &status))
    ended (processes, process, status, now);
  if (process->stop && process->state != STATE_RUNNING)
    process->state = STATE_GONE;
  else if (process->stop)
    press (processes, process, now);
  else if (process->state == STATE_WAITING && now >= process->due_us)
    begin (processes, process, now);
}

/* When this process wants its next step whatever happens; -1: never. */
static gint64
next_due (const Process *process)
{
  if (process->state == STATE_WAITING || (process->state == STATE_RUNNING && process->asked))
    return process->due_us;
  return -1;
}

/* ---- the thread ---- */

static void
step_all (ZmProcesses *processes)
{
  gint64 now = zm_now_us ();

  for (guint i = processes->list->len; i > 0; i--) {
    Process *process = g_ptr_array_index (processes->list, i - 1);

    step (processes, process, now);
    if (process->state == STATE_GONE)
      g_ptr_array_remove_index (processes->list, i - 1);
  }
}

/* Descriptors to poll, and how long at most (milliseconds, -1: until something happens). */
static int
gather (ZmProcesses *processes, GArray *polls)
{
  struct pollfd own = { .fd = processes->wake, .events = POLLIN };
  gint64 now = zm_now_us (), wait_us = -1;

  g_array_set_size (polls, 0);
  g_array_append_val (polls, own);
  for (guint i = 0; i < processes->list->len; i++) {
    const Process *process = g_ptr_array_index (processes->list, i);
    gint64 due = next_due (process);

    if (process->state == STATE_RUNNING && !zm_child_add_polls (&process->child, polls))
      due = due < 0 ? now + NO_PIDFD_MS * 1000 : MIN (due, now + NO_PIDFD_MS * 1000);
    if (due >= 0)
      wait_us = wait_us < 0 ? MAX (due - now, 0) : MIN (wait_us, MAX (due - now, 0));
  }
  return wait_us < 0 ? -1 : (int) ((wait_us + 999) / 1000);
}

static void
read_all (ZmProcesses *processes)
{
  guint64 count;

  if (read (processes->wake, &count, sizeof count) < 0)
    count = 0; /* it was not this one */
  for (guint i = 0; i < processes->list->len; i++) {
    Process *process = g_ptr_array_index (processes->list, i);

    if (process->state == STATE_RUNNING)
      zm_child_read (&process->child, processes->log, process->name, processes->suppressed);
  }
}

static void *
run (void *user)
{
  ZmProcesses *processes = user;
  g_autoptr (GArray) polls = g_array_new (FALSE, TRUE, sizeof (struct pollfd));
  gboolean on = TRUE;

  while (on) {
    int wait_ms;

    pthread_mutex_lock (&processes->lock);
    read_all (processes);
    step_all (processes);
    on = !processes->quit || processes->list->len > 0;
    wait_ms = gather (processes, polls);
    pthread_mutex_unlock (&processes->lock);
    if (on)
      poll ((struct pollfd *) (void *) polls->data, polls->len, wait_ms);
  }
  return NULL;
}

/* ---- the door ---- */

/* Signals are the main thread's. */
static int
start_thread (ZmProcesses *processes)
{
  sigset_t all, before;
  int result;

  sigfillset (&all);
  pthread_sigmask (SIG_SETMASK, &all, &before);
  result = pthread_create (&processes->thread, NULL, run, processes);
  pthread_sigmask (SIG_SETMASK, &before, NULL);
  return result;
}

static void
release (ZmProcesses *processes)
{
  close (processes->wake);
  g_ptr_array_unref (processes->list);
  pthread_mutex_destroy (&processes->lock);
  g_free (processes);
}

ZmProcesses *
zm_processes_new (ZmLog *log, ZmMetrics *metrics, GError **error)
{
  ZmProcesses *processes;
  int fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  int result;

  if (fd < 0) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_IO,
                 "cannot watch processes: eventfd: %s; raise the limit of open files", g_strerror (errno));
    return NULL;
  }
  processes = g_new0 (ZmProcesses, 1);
  processes->wake = fd;
  processes->log = log;
  processes->list = g_ptr_array_new_with_free_func (process_free);
  processes->restarts = zm_metrics_counter (metrics, "zmanager_worker_restarts_total",
                                            "Times that a worker's process was started again", NULL, NULL);
  processes->suppressed =
      zm_metrics_counter (metrics, "zmanager_worker_output_suppressed_total",
                          "Lines of workers' output that were left out of the log", NULL, NULL);
  pthread_mutex_init (&processes->lock, NULL);
  result = start_thread (processes);
  if (result == 0)
    return processes;
  g_set_error (error, ZM_ERROR, ZM_ERROR_IO,
               "cannot watch processes: no thread: %s; raise the limit of tasks", g_strerror (result));
  release (processes);
  return NULL;
}

void
zm_processes_start (ZmProcesses *processes, const ZmProcessSpec *spec)
{
  Process *process = g_new0 (Process, 1);

  process->name = g_strdup (spec->name);
  process->argv = g_strdupv ((char **) spec->argv);
  process->environment = g_strdupv ((char **) spec->environment);
  process->directory = g_strdup (spec->directory);
  process->restart = spec->restart;
  process->backoff_us = BACKOFF_FIRST_US;
  zm_child_init (&process->child);
  pthread_mutex_lock (&processes->lock);
  g_ptr_array_add (processes->list, process);
  pthread_mutex_unlock (&processes->lock);
  wake (processes);
}

/* One of that name that nobody wants to end: a replaced one may still be ending. */
static Process *
find (ZmProcesses *processes, const char *name)
{
  for (guint i = 0; i < processes->list->len; i++) {
    Process *process = g_ptr_array_index (processes->list, i);

    if (!process->stop && strcmp (process->name, name) == 0)
      return process;
  }
  return NULL;
}

void
zm_processes_stop (ZmProcesses *processes, const char *name)
{
  Process *process;

  pthread_mutex_lock (&processes->lock);
  process = find (processes, name);
  if (process != NULL)
    process->stop = TRUE;
  pthread_mutex_unlock (&processes->lock);
  wake (processes);
}

void
zm_processes_append_json (ZmProcesses *processes, const char *name, GString *out)
{
  static const char *const states[] = { "waiting", "running", "ended", "ended" };
  const Process *process;

  pthread_mutex_lock (&processes->lock);
  process = find (processes, name);
  if (process != NULL) {
    g_string_append_printf (out, "\"state\":\"%s\",\"pid\":%d,\"starts\":%" G_GUINT64_FORMAT ",\"last_end\":",
                            states[process->state],
                            process->state == STATE_RUNNING ? (int) process->child.pid : 0, process->starts);
    if (process->last_end != NULL)
      zm_json_append_string (out, zm_span_text (process->last_end));
    else
      g_string_append (out, "null");
  } else {
    g_string_append (out, "\"state\":\"ended\"");
  }
  pthread_mutex_unlock (&processes->lock);
}

char *
zm_processes_trouble (ZmProcesses *processes, const char *name)
{
  char *trouble = NULL;

  pthread_mutex_lock (&processes->lock);
  const Process *process = find (processes, name);
  if (process != NULL && process->state == STATE_WAITING)
    trouble =
        g_strdup_printf ("%s, and is started again", process->last_end ? process->last_end : "not started");
  pthread_mutex_unlock (&processes->lock);
  return trouble;
}

void
zm_processes_free (ZmProcesses *processes)
{
  if (processes == NULL)
    return;
  pthread_mutex_lock (&processes->lock);
  processes->quit = TRUE;
  pthread_mutex_unlock (&processes->lock);
  wake (processes);
  pthread_join (processes->thread, NULL);
  release (processes);
}
