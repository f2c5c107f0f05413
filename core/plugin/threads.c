/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Threads that a plugin starts through the host: named, known, woken at stop and joined before the library goes. And the
 * search for those that it started behind the host's back.
 */
#include "config.h"

#include "plugin/zm-plugin-private.h"

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
  gboolean returned; /* run has; destructors of thread-specific data may still run */
} Thread;

struct ZmThreads {
  pthread_mutex_t lock; /* of the rest */
  pthread_cond_t changed;
  GPtrArray *list;               /* Thread, owned: not joined yet, nor being joined */
  guint joining;                 /* taken off the list by who joins them */
  gboolean closed;               /* no new ones */
  void (*began) (gpointer user); /* or NULL; set before the first of them starts */
  gpointer began_user;
};

ZmThreads *
zm_threads_new (void)
{
  ZmThreads *threads = g_new0 (ZmThreads, 1);

  pthread_mutex_init (&threads->lock, NULL);
  zm_cond_init_monotonic (&threads->changed);
  threads->list = g_ptr_array_new ();
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

void
zm_threads_set_begin (ZmThreads *threads, void (*began) (gpointer user), gpointer user)
{
  threads->began = began;
  threads->began_user = user;
}

/* Its last act is to say that it is about to go; what comes after (destructors, the end of the thread itself) only a
 * join can tell. */
static void *
thread_main (void *data)
{
  Thread *thread = data;
  ZmThreads *threads = thread->owner;

  if (threads->began != NULL)
    threads->began (threads->began_user);
  thread->run (thread->user);
  pthread_mutex_lock (&threads->lock);
  thread->returned = TRUE;
  pthread_cond_broadcast (&threads->changed);
  pthread_mutex_unlock (&threads->lock);
  return NULL;
}

/* Joins those that are over, and never waits: what a returned one still has to do is the plugin's code, which may want the
 * lock. With the lock held. */
static void
join_over (ZmThreads *threads)
{
  for (guint i = threads->list->len; i > 0; i--) {
    Thread *thread = g_ptr_array_index (threads->list, i - 1);

    if (!thread->returned || pthread_tryjoin_np (thread->thread, NULL) != 0)
      continue;
    g_ptr_array_remove_index_fast (threads->list, i - 1);
    g_free (thread);
  }
}

/* Bounded, so that a plugin which starts a thread for each message hears it early. */
static int
start_locked (ZmThreads *threads, Thread *thread)
{
  join_over (threads);
  if (threads->closed)
    return ZM_E_DENIED;
  if (threads->list->len + threads->joining >= MOST_THREADS)
    return ZM_E_AGAIN;
  if (zm_thread_create (&thread->thread, thread->name, thread_main, thread) != 0)
    return ZM_E_FAILED;
  g_ptr_array_add (threads->list, thread);
  return ZM_OK;
}

/* Called by plugins, from any of their threads. */
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

/* ---- stop ---- */

/* Copies of the running ones: wake is foreign code and may start or end threads itself. */
static GArray *
running_threads (ZmThreads *threads)
{
  GArray *running = g_array_new (FALSE, FALSE, sizeof (Thread));

  for (guint i = 0; i < threads->list->len; i++) {
    const Thread *thread = g_ptr_array_index (threads->list, i);

    if (!thread->returned)
      g_array_append_vals (running, thread, 1);
  }
  return running;
}

/* One that has returned, off the list; or NULL. With the lock held. */
static Thread *
take_returned (ZmThreads *threads)
{
  for (guint i = 0; i < threads->list->len; i++) {
    Thread *thread = g_ptr_array_index (threads->list, i);

    if (thread->returned)
      return g_ptr_array_remove_index_fast (threads->list, i);
  }
  return NULL;
}

/* FALSE: it is not over in time. By the wall clock, as ThreadSanitizer does not know the join by the monotonic one; a jump of
 * it makes the wait shorter or longer, once. Without the lock. */
static gboolean
join_until (Thread *thread, gint64 until_us)
{
  gint64 wall_us = zm_wall_us () + MAX (until_us - zm_now_us (), 0);
  const struct timespec until = { wall_us / G_USEC_PER_SEC, wall_us % G_USEC_PER_SEC * 1000 };

  return pthread_timedjoin_np (thread->thread, NULL, &until) == 0;
}

/* Waits for those that have returned to be over, one after another. With the lock held, which is let go meanwhile. FALSE: one
 * was not in time, and is back on the list. */
static gboolean
join_returned (ZmThreads *threads, gint64 until_us)
{
  gboolean over = TRUE;

  for (Thread *thread; over && (thread = take_returned (threads)) != NULL;) {
    threads->joining++;
    pthread_mutex_unlock (&threads->lock);
    over = join_until (thread, until_us);
    pthread_mutex_lock (&threads->lock);
    threads->joining--;
    if (over)
      g_free (thread);
    else
      g_ptr_array_add (threads->list, thread);
    pthread_cond_broadcast (&threads->changed);
  }
  return over;
}

/* wake is called once a thread and without the lock, as it is the plugin's code. A thread that was started a moment
 * before is woken too: it is on the list before its start returns. */
gboolean
zm_threads_stop (ZmThreads *threads, guint timeout_ms)
{
  gint64 until_us = zm_now_us () + (gint64) timeout_ms * 1000;
  g_autoptr (GArray) running = NULL;
  gboolean in_time = TRUE, all;

  pthread_mutex_lock (&threads->lock);
  threads->closed = TRUE;
  running = running_threads (threads);
  pthread_mutex_unlock (&threads->lock);
  for (guint i = 0; i < running->len; i++)
    g_array_index (running, Thread, i).wake (g_array_index (running, Thread, i).user);
  pthread_mutex_lock (&threads->lock);
  while (in_time && join_returned (threads, until_us) && threads->list->len + threads->joining > 0)
    in_time = zm_cond_wait_until (&threads->changed, &threads->lock, until_us);
  all = threads->list->len + threads->joining == 0;
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
  guint left;

  pthread_mutex_lock (&threads->lock);
  join_over (threads);
  left = threads->list->len + threads->joining;
  pthread_mutex_unlock (&threads->lock);
  return left;
}

/* For the log and `plugin ls`: who keeps the generation. */
void
zm_threads_describe (ZmThreads *threads, GString *out)
{
  pthread_mutex_lock (&threads->lock);
  join_over (threads);
  for (guint i = 0; i < threads->list->len; i++) {
    const Thread *thread = g_ptr_array_index (threads->list, i);

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
