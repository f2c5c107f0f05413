/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Foreign code with a time limit: it runs in a thread of its own, and whoever started it waits only so long. A running
 * thread cannot be ended from outside; one that hangs is left alone, with all that it uses.
 */
#include "config.h"

#include "plugin/zm-plugin-private.h"

typedef struct Guard {
  pthread_mutex_t lock;
  pthread_cond_t ended_changed;
  ZmGuardFunc func, done; /* the work, and what is called after it where nobody waits */
  gpointer user;
  gboolean ended;     /* func has returned */
  gboolean abandoned; /* nobody waits any more: the thread frees this and calls done */
} Guard;

static Guard *
guard_new (ZmGuardFunc func, ZmGuardFunc done, gpointer user)
{
  Guard *guard = g_new0 (Guard, 1);

  pthread_mutex_init (&guard->lock, NULL);
  zm_cond_init_monotonic (&guard->ended_changed);
  guard->func = func;
  guard->done = done;
  guard->user = user;
  return guard;
}

static void
guard_free (Guard *guard)
{
  pthread_mutex_destroy (&guard->lock);
  pthread_cond_destroy (&guard->ended_changed);
  g_free (guard);
}

/* Whether somebody still waits decides who frees: that is settled under the lock, once. */
static void *
guard_thread (void *data)
{
  Guard *guard = data;
  gboolean mine;

  guard->func (guard->user);
  /* A thread that the plugin started has its name by now; the host's own code below is not the plugin's. */
  pthread_setname_np (pthread_self (), "zm-guard");
  pthread_mutex_lock (&guard->lock);
  guard->ended = TRUE;
  mine = guard->abandoned;
  pthread_cond_signal (&guard->ended_changed);
  pthread_mutex_unlock (&guard->lock);
  if (mine) {
    if (guard->done != NULL)
      guard->done (guard->user);
    guard_free (guard);
  }
  return NULL;
}

static gboolean
guard_spawn (Guard *guard, const char *name, pthread_t *thread)
{
  if (zm_thread_create (thread, name, guard_thread, guard) == 0)
    return TRUE;
  /* No thread to be had: without a limit is better than not at all (stop and fini must run). */
  guard->func (guard->user);
  return FALSE;
}

/* Waits for the end of func; TRUE where it came in time. */
static gboolean
guard_wait (Guard *guard, guint timeout_ms)
{
  gint64 until_us = zm_now_us () + (gint64) timeout_ms * 1000;
  gboolean ended, in_time = TRUE;

  pthread_mutex_lock (&guard->lock);
  while (!guard->ended && in_time)
    in_time = zm_cond_wait_until (&guard->ended_changed, &guard->lock, until_us);
  ended = guard->ended;
  guard->abandoned = !ended;
  pthread_mutex_unlock (&guard->lock);
  return ended;
}

/* TRUE: func has returned. FALSE: it runs on, `late` is called when it returns, and what user points to must live until
 * then. */
gboolean
zm_guard_call (const char *name, ZmGuardFunc func, ZmGuardFunc late, gpointer user, guint timeout_ms)
{
  Guard *guard = guard_new (func, late, user);
  pthread_t thread;

  if (!guard_spawn (guard, name, &thread)) {
    guard_free (guard);
    return TRUE;
  }
  if (!guard_wait (guard, timeout_ms)) {
    pthread_detach (thread);
    return FALSE;
  }
  pthread_join (thread, NULL);
  guard_free (guard);
  return TRUE;
}

/* Nobody waits: done is called in that thread, or here where there was none to be had. */
void
zm_guard_start (const char *name, ZmGuardFunc func, ZmGuardFunc done, gpointer user)
{
  Guard *guard = guard_new (func, done, user);
  pthread_t thread;

  guard->abandoned = TRUE;
  if (guard_spawn (guard, name, &thread)) {
    pthread_detach (thread);
    return;
  }
  done (user);
  guard_free (guard);
}
