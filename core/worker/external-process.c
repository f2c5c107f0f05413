/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The thread that keeps processes running. Only it takes steps and frees; others append to the list or set a wish, under the
 * lock, and wake it.
 *
 * All there is to wait for is a descriptor: an eventfd for those who want something, a pidfd for the end of each process, the
 * pipes of its output. So there is no SIGCHLD handler, which would be the whole program's, and no waitpid for any child,
 * which would take the ends of a plugin's own.
 */
#include "config.h"

#include "worker/external-process.h"

#include "base/zm-base.h"
#include "base/zm-thread.h"
#include "worker/external-life.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define NO_PIDFD_MS 100 /* kernels before 5.3 are asked this often */

struct ZmProcesses {
  pthread_t thread;
  int wake;             /* eventfd */
  pthread_mutex_t lock; /* of the rest; the thread has it except while it polls */
  gboolean quit, held;  /* held: none is started */
  GPtrArray *list;      /* ZmLife, owned; successors after their predecessors */
  gint64 free_us; /* new ones start then at the soonest: one that went a moment ago may have had their name */
  ZmLifeWorld world;
};

/* From any thread, after the lock was let go or under it. */
static void
wake (ZmProcesses *processes)
{
  guint64 one = 1;

  /* Full (impossible in practice) means that it wakes anyway. */
  if (write (processes->wake, &one, sizeof one) < 0)
    return;
}

/* ---- the thread ---- */

/* Is there an older one of this name? */
static gboolean
blocked (const ZmProcesses *processes, guint index)
{
  const ZmLife *life = g_ptr_array_index (processes->list, index);

  for (guint i = 0; i < index; i++)
    if (strcmp (((const ZmLife *) g_ptr_array_index (processes->list, i))->worker, life->worker) == 0)
      return TRUE;
  return FALSE;
}

/* To be started, but not now? */
static gboolean
held (const ZmProcesses *processes, const ZmLife *life)
{
  return processes->held && life->state == ZM_LIFE_WAITING && !life->stop;
}

/* From the end, so that a successor sees its predecessor once more in the turn in which that ends. */
static void
step_all (ZmProcesses *processes)
{
  gint64 now_us = zm_now_us ();

  for (guint i = processes->list->len; i > 0; i--) {
    ZmLife *life = g_ptr_array_index (processes->list, i - 1);

    life->stop |= processes->quit;
    if (held (processes, life))
      continue;
    zm_life_step (life, &processes->world, blocked (processes, i - 1), now_us);
    if (life->state != ZM_LIFE_GONE)
      continue;
    processes->free_us = now_us + ZM_LIFE_PAUSE_US;
    g_ptr_array_remove_index (processes->list, i - 1);
  }
}

/* Descriptors to poll, and how long at most (milliseconds, -1: until something happens). Under the lock; the array is
 * used without it, which is fine as only this thread closes what is in it. */
static int
gather (ZmProcesses *processes, GArray *polls)
{
  struct pollfd own = { .fd = processes->wake, .events = POLLIN };
  gint64 now = zm_now_us (), wait_us = -1;

  g_array_set_size (polls, 0);
  g_array_append_val (polls, own);
  for (guint i = 0; i < processes->list->len; i++) {
    const ZmLife *life = g_ptr_array_index (processes->list, i);
    gint64 due = held (processes, life) ? -1 : zm_life_due (life);

    if (life->state == ZM_LIFE_RUNNING && !zm_child_add_polls (&life->child, polls))
      due = due < 0 ? now + NO_PIDFD_MS * 1000 : MIN (due, now + NO_PIDFD_MS * 1000);
    if (due >= 0)
      wait_us = wait_us < 0 ? MAX (due - now, 0) : MIN (wait_us, MAX (due - now, 0));
  }
  return wait_us < 0 ? -1 : (int) ((wait_us + 999) / 1000);
}

/* What the processes wrote is read before their ends are taken, in the order in which it happened. */
static void
read_all (ZmProcesses *processes)
{
  guint64 count;

  if (read (processes->wake, &count, sizeof count) < 0)
    count = 0; /* it was not this one */
  for (guint i = 0; i < processes->list->len; i++) {
    ZmLife *life = g_ptr_array_index (processes->list, i);

    if (life->state == ZM_LIFE_RUNNING)
      zm_life_read (life, &processes->world);
  }
}

/* The lock is let go only while it polls, and forks happen under it: so a start that another thread asks for waits a
 * moment at most. */
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

/* Once the thread has ended, or never began. */
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
  processes->world.log = log;
  processes->list = g_ptr_array_new_with_free_func ((GDestroyNotify) zm_life_free);
  processes->world.restarts =
      zm_metrics_counter (metrics, "zmanager_worker_restarts_total",
                          "Times that a worker's process was started again", NULL, NULL);
  processes->world.suppressed =
      zm_metrics_counter (metrics, "zmanager_worker_output_suppressed_total",
                          "Lines of workers' output that were left out of the log", NULL, NULL);
  pthread_mutex_init (&processes->lock, NULL);
  result = zm_thread_create (&processes->thread, "zm-processes", run, processes);
  if (result == 0)
    return processes;
  g_set_error (error, ZM_ERROR, ZM_ERROR_IO,
               "cannot watch processes: no thread: %s; raise the limit of tasks", g_strerror (result));
  release (processes);
  return NULL;
}

void
zm_processes_set_ended (ZmProcesses *processes, ZmExternalEnded func, gpointer user)
{
  pthread_mutex_lock (&processes->lock);
  processes->world.ended = func;
  processes->world.user = user;
  pthread_mutex_unlock (&processes->lock);
}

void
zm_processes_start (ZmProcesses *processes, const ZmProcessSpec *spec)
{
  ZmLife *life = zm_life_new (spec);

  pthread_mutex_lock (&processes->lock);
  life->due_us = processes->free_us;
  g_ptr_array_add (processes->list, life);
  pthread_mutex_unlock (&processes->lock);
  wake (processes);
}

/* A start happens under the lock, and is over when its child has let go of our sockets. */
void
zm_processes_hold (ZmProcesses *processes, gboolean on)
{
  pthread_mutex_lock (&processes->lock);
  processes->held = on;
  pthread_mutex_unlock (&processes->lock);
  if (!on)
    wake (processes);
}

/* One of that name that nobody wants to end: a replaced one may still be ending. */
static ZmLife *
find (ZmProcesses *processes, const char *worker)
{
  for (guint i = 0; i < processes->list->len; i++) {
    ZmLife *life = g_ptr_array_index (processes->list, i);

    if (!life->stop && strcmp (life->worker, worker) == 0)
      return life;
  }
  return NULL;
}

/* Of the one that is wanted now: predecessors were told already. */
void
zm_processes_stop (ZmProcesses *processes, const char *worker)
{
  ZmLife *life;

  pthread_mutex_lock (&processes->lock);
  life = find (processes, worker);
  if (life != NULL)
    life->stop = TRUE;
  pthread_mutex_unlock (&processes->lock);
  wake (processes);
}

void
zm_processes_append_json (ZmProcesses *processes, const char *worker, GString *out)
{
  const ZmLife *life;

  pthread_mutex_lock (&processes->lock);
  life = find (processes, worker);
  if (life != NULL)
    zm_life_append_json (life, out);
  else
    g_string_append (out, "\"state\":\"ended\"");
  pthread_mutex_unlock (&processes->lock);
}

char *
zm_processes_absence (ZmProcesses *processes, const char *worker, gboolean wanted_only)
{
  const ZmLife *life;
  char *absence;

  pthread_mutex_lock (&processes->lock);
  life = find (processes, worker);
  absence = life != NULL ? zm_life_absence (life, wanted_only) : NULL;
  pthread_mutex_unlock (&processes->lock);
  return absence;
}

/* Waits until all have ended: three seconds at most, as press leaves none out. */
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
