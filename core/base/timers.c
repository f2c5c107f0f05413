/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The timer thread and its heap.
 *
 * Most timers are deadlines that never fire: each call that waits arms one and cancels it soon. So arming and cancelling are
 * cheap (a few moves in the heap, no allocation, a wake-up only for a nearer time), and one thread is enough for the few that
 * fire, since callbacks only hand over.
 */
#include "config.h"

#include "base/zm-timers.h"

#include "base/zm-base.h"
#include "base/zm-thread.h"

struct ZmTimers {
  pthread_mutex_t lock;
  pthread_cond_t changed; /* the thread waits here for the next due time, or for a nearer one */
  pthread_cond_t ended;   /* cancellers wait here for the end of a callback */
  pthread_t thread;
  ZmTimer **heap;  /* the nearest first; heap[i]->index == i + 1 */
  guint count;     /* in use */
  guint size;      /* of the array */
  ZmTimer *firing; /* whose callback runs now; only compared, since it may be freed already */
  guint waiting;   /* cancellers */
  gboolean stop;   /* the thread ends after the callback that runs */
};

/* ---- the heap; with the lock held ---- */

/* A timer knows its place, so that one in the middle is taken out without a search. */
static void
place (ZmTimers *timers, guint at, ZmTimer *timer)
{
  timers->heap[at] = timer;
  timer->index = at + 1;
}

static void
sift_up (ZmTimers *timers, guint at, ZmTimer *timer)
{
  while (at > 0 && timer->due_us < timers->heap[(at - 1) / 2]->due_us) {
    place (timers, at, timers->heap[(at - 1) / 2]);
    at = (at - 1) / 2;
  }
  place (timers, at, timer);
}

static void
sift_down (ZmTimers *timers, guint at, ZmTimer *timer)
{
  for (;;) {
    guint child = 2 * at + 1;

    if (child + 1 < timers->count && timers->heap[child + 1]->due_us < timers->heap[child]->due_us)
      child++;
    if (child >= timers->count || timer->due_us <= timers->heap[child]->due_us)
      break;
    place (timers, at, timers->heap[child]);
    at = child;
  }
  place (timers, at, timer);
}

/* TRUE: it was armed. The last one of the heap takes its place, and may belong further up or down: it comes from another
 * branch. */
static gboolean
remove_timer (ZmTimers *timers, ZmTimer *timer)
{
  guint at = timer->index;
  ZmTimer *last;

  if (at == 0)
    return FALSE;
  at--;
  timer->index = 0;
  last = timers->heap[--timers->count];
  if (last == timer)
    return TRUE;
  if (at > 0 && last->due_us < timers->heap[(at - 1) / 2]->due_us)
    sift_up (timers, at, last);
  else
    sift_down (timers, at, last);
  return TRUE;
}

/* The array only grows: as many timers are armed again soon. */
static void
add_timer (ZmTimers *timers, ZmTimer *timer)
{
  if (timers->count == timers->size) {
    timers->size = MAX (64, timers->size * 2);
    timers->heap = g_renew (ZmTimer *, timers->heap, timers->size);
  }
  sift_up (timers, timers->count++, timer);
}

/* ---- the thread ---- */

/* func and user are copied before the lock is let go, and the timer is not touched afterwards: the callback may free the
 * object that it is in. `firing` is an address to compare with, nothing more. */
static void
fire (ZmTimers *timers, ZmTimer *timer)
{
  ZmTimerFunc func = timer->func;
  gpointer user = timer->user;

  remove_timer (timers, timer);
  timers->firing = timer;
  pthread_mutex_unlock (&timers->lock);
  func (timer, user);
  pthread_mutex_lock (&timers->lock);
  timers->firing = NULL;
  if (timers->waiting > 0)
    pthread_cond_broadcast (&timers->ended);
}

/* Sleeps until the nearest is due; one that is armed nearer, and the end, wake it. The heap is looked at anew after each
 * callback, as anything may have changed meanwhile. */
static void *
timers_run (void *data)
{
  ZmTimers *timers = data;

  pthread_mutex_lock (&timers->lock);
  while (!timers->stop) {
    if (timers->count == 0)
      pthread_cond_wait (&timers->changed, &timers->lock);
    else if (timers->heap[0]->due_us > zm_now_us ())
      zm_cond_wait_until (&timers->changed, &timers->lock, timers->heap[0]->due_us);
    else
      fire (timers, timers->heap[0]);
  }
  pthread_mutex_unlock (&timers->lock);
  return NULL;
}

static void
timers_dispose (ZmTimers *timers)
{
  pthread_cond_destroy (&timers->changed);
  pthread_cond_destroy (&timers->ended);
  pthread_mutex_destroy (&timers->lock);
  g_free (timers->heap);
  g_free (timers);
}

/* ---- the door ---- */

ZmTimers *
zm_timers_new (GError **error)
{
  ZmTimers *timers = g_new0 (ZmTimers, 1);
  int result;

  pthread_mutex_init (&timers->lock, NULL);
  zm_cond_init_monotonic (&timers->changed);
  zm_cond_init_monotonic (&timers->ended);
  result = zm_thread_create (&timers->thread, "zm-timers", timers_run, timers);
  if (result != 0) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_IO,
                 "cannot start the timer thread: %s; raise the limit on threads", g_strerror (result));
    timers_dispose (timers);
    return NULL;
  }
  return timers;
}

/* Not from a callback: it waits for the thread. */
void
zm_timers_free (ZmTimers *timers)
{
  if (timers == NULL)
    return;
  pthread_mutex_lock (&timers->lock);
  timers->stop = TRUE;
  pthread_cond_signal (&timers->changed);
  pthread_mutex_unlock (&timers->lock);
  pthread_join (timers->thread, NULL);
  timers_dispose (timers);
}

/* The thread is woken only where this became the nearest one; otherwise it wakes early enough by itself. */
void
zm_timers_arm (ZmTimers *timers, ZmTimer *timer, gint64 due_us)
{
  pthread_mutex_lock (&timers->lock);
  remove_timer (timers, timer);
  timer->due_us = MAX (due_us, 0);
  add_timer (timers, timer);
  if (timer->index == 1)
    pthread_cond_signal (&timers->changed);
  pthread_mutex_unlock (&timers->lock);
}

/* Without `wait` a callback that has begun may still run when this returns; who frees the timer's memory next must wait,
 * or be that callback. */
gboolean
zm_timers_cancel (ZmTimers *timers, ZmTimer *timer, gboolean wait)
{
  gboolean was_armed;

  pthread_mutex_lock (&timers->lock);
  was_armed = remove_timer (timers, timer);
  /* From the timer thread itself the wait would never end. */
  if (wait && timers->firing == timer && !pthread_equal (pthread_self (), timers->thread)) {
    timers->waiting++;
    while (timers->firing == timer)
      pthread_cond_wait (&timers->ended, &timers->lock);
    timers->waiting--;
    /* The callback may have armed it once more. */
    remove_timer (timers, timer);
  }
  pthread_mutex_unlock (&timers->lock);
  return was_armed;
}

guint
zm_timers_armed (ZmTimers *timers)
{
  guint count;

  pthread_mutex_lock (&timers->lock);
  count = timers->count;
  pthread_mutex_unlock (&timers->lock);
  return count;
}
