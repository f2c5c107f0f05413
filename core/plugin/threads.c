/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Threads that a plugin starts through the host: named, known, woken at stop and joined before the library goes. And the
 * search for those that it started behind the host's back.
 */
#include "config.h"

#include "plugin/zm-plugin-private.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MOST_THREADS 64 /* at a time, for one plugin */

typedef struct Thread {
  ZmThreads *owner;
  pthread_t thread;
  char name[16];
  void (*run) (void *);
  void (*wake) (void *);
  void *user;
  gboolean ended; /* run has returned; joining it takes no time */
} Thread;

struct ZmThreads {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  GPtrArray *list; /* Thread, running or not joined yet */
  guint running;
  gboolean closed;
};

ZmThreads *
zm_threads_new (void)
{
  ZmThreads *threads = g_new0 (ZmThreads, 1);
  pthread_condattr_t attributes;

  pthread_mutex_init (&threads->lock, NULL);
  pthread_condattr_init (&attributes);
  pthread_condattr_setclock (&attributes, CLOCK_MONOTONIC);
  pthread_cond_init (&threads->changed, &attributes);
  pthread_condattr_destroy (&attributes);
  threads->list = g_ptr_array_new_with_free_func (g_free);
  return threads;
}

void
zm_threads_free (ZmThreads *threads)
{
  if (threads == NULL)
    return;
  pthread_mutex_destroy (&threads->lock);
  pthread_cond_destroy (&threads->changed);
  g_ptr_array_unref (threads->list);
  g_free (threads);
}

static void *
thread_main (void *data)
{
  Thread *thread = data;
  ZmThreads *threads = thread->owner;

  pthread_setname_np (pthread_self (), thread->name);
  thread->run (thread->user);
  pthread_mutex_lock (&threads->lock);
  thread->ended = TRUE;
  threads->running--;
  pthread_cond_broadcast (&threads->changed);
  pthread_mutex_unlock (&threads->lock);
  return NULL;
}

/* Joins those that have ended: their destructors of thread-specific data may be the plugin's code. With the lock held; they
 * need it no more. */
static void
join_ended (ZmThreads *threads)
{
  for (guint i = threads->list->len; i > 0; i--) {
    Thread *thread = g_ptr_array_index (threads->list, i - 1);

    if (!thread->ended)
      continue;
    pthread_join (thread->thread, NULL);
    g_ptr_array_remove_index_fast (threads->list, i - 1);
  }
}

static int
start_locked (ZmThreads *threads, Thread *thread)
{
  join_ended (threads);
  if (threads->closed)
    return ZM_E_DENIED;
  if (threads->list->len >= MOST_THREADS)
    return ZM_E_AGAIN;
  if (pthread_create (&thread->thread, NULL, thread_main, thread) != 0)
    return ZM_E_FAILED;
  threads->running++;
  g_ptr_array_add (threads->list, thread);
  return ZM_OK;
}

int
zm_threads_start (ZmThreads *threads, const char *name, void (*run) (void *), void (*wake) (void *),
                  void *user)
{
  Thread *thread;
  int status;

  if (run == NULL || wake == NULL || name == NULL)
    return ZM_E_INVALID;
  thread = g_new0 (Thread, 1);
  *thread = (Thread){ .owner = threads, .run = run, .wake = wake, .user = user };
  g_strlcpy (thread->name, name, sizeof thread->name);
  pthread_mutex_lock (&threads->lock);
  status = start_locked (threads, thread);
  pthread_mutex_unlock (&threads->lock);
  if (status != ZM_OK)
    g_free (thread);
  return status;
}

/* Copies of the running ones: wake is foreign code and may start or end threads itself. */
static GArray *
running_threads (ZmThreads *threads)
{
  GArray *running = g_array_new (FALSE, FALSE, sizeof (Thread));

  for (guint i = 0; i < threads->list->len; i++) {
    const Thread *thread = g_ptr_array_index (threads->list, i);

    if (!thread->ended)
      g_array_append_vals (running, thread, 1);
  }
  return running;
}

gboolean
zm_threads_stop (ZmThreads *threads, guint timeout_ms)
{
  gint64 until_us = zm_now_us () + (gint64) timeout_ms * 1000;
  const struct timespec until = { until_us / 1000000, until_us % 1000000 * 1000 };
  g_autoptr (GArray) running = NULL;
  gboolean all;
  int status = 0;

  pthread_mutex_lock (&threads->lock);
  threads->closed = TRUE;
  running = running_threads (threads);
  pthread_mutex_unlock (&threads->lock);
  for (guint i = 0; i < running->len; i++)
    g_array_index (running, Thread, i).wake (g_array_index (running, Thread, i).user);
  pthread_mutex_lock (&threads->lock);
  while (threads->running > 0 && status != ETIMEDOUT)
    status = pthread_cond_timedwait (&threads->changed, &threads->lock, &until);
  all = threads->running == 0;
  join_ended (threads);
  pthread_mutex_unlock (&threads->lock);
  return all;
}

void
zm_threads_reopen (ZmThreads *threads)
{
  pthread_mutex_lock (&threads->lock);
  threads->closed = FALSE;
  pthread_mutex_unlock (&threads->lock);
}

guint
zm_threads_running (ZmThreads *threads)
{
  guint running;

  pthread_mutex_lock (&threads->lock);
  join_ended (threads);
  running = threads->running;
  pthread_mutex_unlock (&threads->lock);
  return running;
}

void
zm_threads_describe (ZmThreads *threads, GString *out)
{
  pthread_mutex_lock (&threads->lock);
  for (guint i = 0; i < threads->list->len; i++) {
    const Thread *thread = g_ptr_array_index (threads->list, i);

    if (!thread->ended)
      g_string_append_printf (out, "%sthread %s", out->len > 0 ? ", " : "", thread->name);
  }
  pthread_mutex_unlock (&threads->lock);
}

/* ---- threads that the host was not told of ---- */

/* A new thread has the name of the one that made it; load, init, start and stop run in threads that bear the generation's
 * mark. */
char *
zm_threads_strays (const char *mark)
{
  g_autoptr (GDir) tasks = g_dir_open ("/proc/self/task", 0, NULL);
  g_autoptr (GString) out = g_string_new (NULL);
  const char *task;

  while (tasks != NULL && (task = g_dir_read_name (tasks)) != NULL) {
    g_autofree char *path = g_build_filename ("/proc/self/task", task, "comm", NULL);
    g_autofree char *name = NULL;

    if (g_ascii_strtoll (task, NULL, 10) == syscall (SYS_gettid) ||
        !g_file_get_contents (path, &name, NULL, NULL))
      continue;
    if (strcmp (g_strchomp (name), mark) == 0)
      g_string_append_printf (out, "%s%s", out->len > 0 ? ", " : "", task);
  }
  return out->len > 0 ? g_string_free (g_steal_pointer (&out), FALSE) : NULL;
}
