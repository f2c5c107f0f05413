/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is at a worker in another language. Such a run is parked: the keeper owns it, and whoever takes it from there goes on
 * with it. This list lies across the keeper, by the worker that has the message, so that what a dead process had fails at
 * once instead of at its timeout. Being listed is not owning: the owner takes a run off the list before it does anything
 * else with it, so a listed one can be looked at under the lock, and had by asking the keeper for it.
 */
#include "worker/internal.h"

#include <string.h>

/* What the process pushed before it ended is on its way: in libzmq, in the Subject, in the ring. So long it is waited for. */
#define GRACE_US (200 * 1000)
/* And longer where the workers have not caught up, or a run is between the hands of two threads. */
#define AGAIN_US (50 * 1000)
#define MOST_US  (2 * G_USEC_PER_SEC)

/* A process that ended. */
typedef struct End {
  char *worker, *how;
  gint64 before_us; /* what was sent later is not its */
  gint64 due_us;    /* when the runs are looked for */
  gint64 last_us;   /* when they are no more: their timeouts are there for the rest */
} End;

struct ZmAbroad {
  ZmPool *pool;
  pthread_mutex_t lock; /* of the next two; the keeper's locks are taken under it */
  ZmRun *runs;          /* by abroad_next */
  GPtrArray *ends;      /* End; few, as each is there for two seconds at most and restarts back off */
  ZmTimer timer;        /* armed while there are ends */
};

/* ---- the list ---- */

void
zm_abroad_goes (ZmRun *run)
{
  ZmAbroad *abroad = run->pool->abroad;
  pthread_mutex_lock (&abroad->lock);
  run->abroad_us = zm_now_us ();
  run->abroad_next = abroad->runs;
  run->abroad_link = &abroad->runs;
  if (abroad->runs)
    abroad->runs->abroad_link = &run->abroad_next;
  abroad->runs = run;
  run->is_abroad = TRUE;
  pthread_mutex_unlock (&abroad->lock);
}

void
zm_abroad_back (ZmRun *run)
{
  ZmAbroad *abroad = run->pool->abroad;
  pthread_mutex_lock (&abroad->lock);
  *run->abroad_link = run->abroad_next;
  if (run->abroad_next)
    run->abroad_next->abroad_link = run->abroad_link;
  run->is_abroad = FALSE;
  pthread_mutex_unlock (&abroad->lock);
}

/* ---- ends ---- */

static void
end_free (gpointer data)
{
  End *end = data;
  g_free (end->worker);
  g_free (end->how);
  g_free (end);
}

static gboolean
workers_are_behind (ZmPool *pool)
{
  pthread_mutex_lock (&pool->lock);
  gboolean behind = pool->waiting > 0;
  pthread_mutex_unlock (&pool->lock);
  return behind;
}

/* Takes from the keeper what this process had, into lost. TRUE: a listed one could not be had: it is just being parked, or
 * its answer has come. Under the lock. */
static gboolean
take_lost (ZmAbroad *abroad, const End *end, GPtrArray *lost)
{
  ZmKeeper *keeper = abroad->pool->config.keeper;
  gboolean left = FALSE;
  for (ZmRun *run = abroad->runs; run; run = run->abroad_next) {
    if (run->abroad_us >= end->before_us || strcmp (run->abroad, end->worker) != 0)
      continue;
    if (keeper->ops->take_this (keeper, &run->wait))
      g_ptr_array_add (lost, run);
    else
      left = TRUE;
  }
  return left;
}

static void
fail_lost (ZmAbroad *abroad, const End *end, GPtrArray *lost)
{
  for (guint i = 0; i < lost->len; i++) {
    ZmRun *run = lost->pdata[i];
    zm_abroad_back (run);
    run->event = ZM_EVENT_FAILED;
    zm_run_set_failuref (run, "unavailable", "worker %s: its process ended before it answered: %s",
                         end->worker, end->how);
    zm_queue_run (abroad->pool, run);
  }
}

/* TRUE: this end is dealt with. */
static gboolean
settle (ZmAbroad *abroad, End *end, gint64 now_us)
{
  g_autoptr (GPtrArray) lost = g_ptr_array_new ();
  gboolean left = TRUE;
  if (now_us < end->due_us)
    return FALSE;
  if (now_us >= end->last_us || !workers_are_behind (abroad->pool)) {
    pthread_mutex_lock (&abroad->lock);
    left = take_lost (abroad, end, lost);
    pthread_mutex_unlock (&abroad->lock);
    fail_lost (abroad, end, lost);
  }
  end->due_us = now_us + AGAIN_US;
  return !left || now_us >= end->last_us;
}

/* In the timers' thread, the only one that takes ends off. An End stays where it is while it is in the array. */
static void
settle_all (ZmTimer *timer, gpointer user)
{
  ZmAbroad *abroad = user;
  gint64 now_us = zm_now_us (), next_us = G_MAXINT64;
  guint n;
  pthread_mutex_lock (&abroad->lock);
  n = abroad->ends->len;
  for (guint i = n; i > 0; i--) {
    End *end = abroad->ends->pdata[i - 1];
    pthread_mutex_unlock (&abroad->lock);
    gboolean settled = settle (abroad, end, now_us);
    pthread_mutex_lock (&abroad->lock);
    if (settled)
      g_ptr_array_remove_index (abroad->ends, i - 1);
  }
  for (guint i = 0; i < abroad->ends->len; i++)
    next_us = MIN (next_us, ((End *) abroad->ends->pdata[i])->due_us);
  if (abroad->ends->len > 0)
    zm_timers_arm (abroad->pool->config.timers, timer, next_us);
  pthread_mutex_unlock (&abroad->lock);
}

void
zm_pool_worker_ended (ZmPool *pool, const char *worker, const char *how, gint64 before_us)
{
  ZmAbroad *abroad = pool->abroad;
  gint64 now_us = zm_now_us ();
  End *end = g_new0 (End, 1);
  *end = (End){ .worker = g_strdup (worker),
                .how = g_strdup (how),
                .before_us = before_us,
                .due_us = now_us + GRACE_US,
                .last_us = now_us + MOST_US };
  pthread_mutex_lock (&abroad->lock);
  g_ptr_array_add (abroad->ends, end);
  if (abroad->ends->len == 1)
    zm_timers_arm (pool->config.timers, &abroad->timer, end->due_us);
  pthread_mutex_unlock (&abroad->lock);
}

/* ---- with the pool ---- */

ZmAbroad *
zm_abroad_new (ZmPool *pool)
{
  ZmAbroad *abroad = g_new0 (ZmAbroad, 1);
  abroad->pool = pool;
  pthread_mutex_init (&abroad->lock, NULL);
  abroad->ends = g_ptr_array_new_with_free_func (end_free);
  abroad->timer.func = settle_all;
  abroad->timer.user = abroad;
  return abroad;
}

void
zm_abroad_end (ZmAbroad *abroad)
{
  zm_timers_cancel (abroad->pool->config.timers, &abroad->timer, TRUE);
}

void
zm_abroad_free (ZmAbroad *abroad)
{
  if (!abroad)
    return;
  pthread_mutex_destroy (&abroad->lock);
  g_ptr_array_unref (abroad->ends);
  g_free (abroad);
}
