/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How the Subject stops taking messages. What was sent before is read first, as letting go of an endpoint ends its connections
 * and with them goes what the kernel holds for us: much more than libzmq does. Where somebody inside waits for an answer, the
 * endpoints are kept for it, and only answers are taken; else they are let go at once, and who sends keeps its messages for the
 * next daemon.
 */
#include "config.h"

#include "base/zm-thread.h"
#include "subject/subject-private.h"

/* Reading goes on until nothing has come for QUIET_US, or for READ_ON_US where senders never stop. */
#define QUIET_US   100000
#define READ_ON_US (2 * G_USEC_PER_SEC)
/* How long those who wait for the thread wait for it, where the pool does not take what it has. */
#define PAUSE_MOST_US (5 * G_USEC_PER_SEC)

/* ---- the thread's side ---- */

/* Under the mutex, so that no waiter can miss it between its look and its sleep. The hot path reads the atomic alone. */
static void
set_state (ZmSubject *subject, ZmFlowState state)
{
  pthread_mutex_lock (&subject->mutex);
  atomic_store (&subject->flow_state, state);
  pthread_cond_broadcast (&subject->paused);
  pthread_mutex_unlock (&subject->mutex);
}

/* Asked every 20 ms while answers are waited for, so what it asks has to be cheap. */
static gboolean
answers_may_come (ZmSubject *subject)
{
  return subject->config.waits != NULL && !atomic_load (&subject->finishing) &&
         subject->config.waits (subject->config.user);
}

/* From here on senders keep their messages. What libzmq has received already is still in the sockets and is read to its
 * end; not where the pause was given up, which ends here too. Once. */
void
zm_subject_let_go (ZmSubject *subject, ZmLeaving *leaving)
{
  if (leaving->detached)
    return;
  zm_subject_detach (subject);
  leaving->detached = TRUE;
}

/* What had been sent is inside now. */
static gboolean
is_quiet (const ZmLeaving *leaving, gint64 now_us)
{
  return now_us - leaving->last_us >= QUIET_US || now_us - leaving->began_us >= READ_ON_US;
}

/* The steps: quiet, then answers where somebody waits for one, then let go, then read what is left. A turn with
 * messages in hand does not come here, so PAUSED says that the pool has all of them. */
void
zm_subject_leave (ZmSubject *subject, ZmLeaving *leaving, gboolean more)
{
  gint64 now_us = subject->now_us;
  gboolean answering = atomic_load (&subject->flow_state) == ZM_FLOW_ANSWERS;
  if (leaving->began_us == 0)
    leaving->began_us = leaving->last_us = now_us;
  if (subject->turn_received > 0)
    leaving->last_us = now_us;
  if (leaving->detached) {
    if (!more)
      set_state (subject, ZM_FLOW_PAUSED);
  } else if (answering) {
    if (!answers_may_come (subject))
      zm_subject_let_go (subject, leaving);
  } else if (is_quiet (leaving, now_us)) {
    if (answers_may_come (subject))
      set_state (subject, ZM_FLOW_ANSWERS);
    else
      zm_subject_let_go (subject, leaving);
  }
}

/* On the path of every pushed message: one relaxed load while the daemon runs. A refusal is published, as any end of a
 * message is, since a push has no other answer. */
gboolean
zm_subject_admit (ZmSubject *subject, ZmMessage *message)
{
  if (G_LIKELY (atomic_load_explicit (&subject->flow_state, memory_order_relaxed) != ZM_FLOW_ANSWERS) ||
      zm_pool_awaits (subject->config.pool, message))
    return TRUE;
  zm_counter_add (subject->refused, 1);
  zm_pool_refuse (subject->config.pool, message, "shutdown",
                  "the daemon is shutting down and takes answers only; send it again later");
  return FALSE;
}

/* Who calls is told BUSY instead and keeps its message, so new calls are turned away from the first moment of the
 * drain. */
gboolean
zm_subject_admits_call (ZmSubject *subject, const ZmMessage *message)
{
  int state = atomic_load (&subject->flow_state);
  return state == ZM_FLOW_RUNNING ||
         (state != ZM_FLOW_PAUSED && zm_pool_awaits (subject->config.pool, message));
}

/* ---- the others' side ---- */

/* Waits while it is in this state. FALSE: it still is at the end of the time. */
static gboolean
wait_while (ZmSubject *subject, ZmFlowState state, gint64 until_us)
{
  gboolean in_time = TRUE;
  pthread_mutex_lock (&subject->mutex);
  while (atomic_load (&subject->flow_state) == (int) state && in_time)
    in_time = zm_cond_wait_until (&subject->paused, &subject->mutex, until_us);
  gboolean over = atomic_load (&subject->flow_state) != (int) state;
  pthread_mutex_unlock (&subject->mutex);
  return over;
}

/* The pool did not take what came in for as long as can be waited for; what is in hand is counted as dropped at the
 * end. The thread lets go of the endpoints, which are its own, as soon as it sees the state. */
static void
give_up (ZmSubject *subject)
{
  set_state (subject, ZM_FLOW_PAUSED);
  zm_waker_wake (&subject->waker);
  zm_log_write (subject->config.log, ZM_LEVEL_WARNING, "subject",
                "not all that had come in could be given to the workers within %d s",
                (int) (PAUSE_MOST_US / G_USEC_PER_SEC));
}

/* Also called a second time and without a thread, in which case there is nothing to wait for. */
void
zm_subject_pause (ZmSubject *subject)
{
  int running = ZM_FLOW_RUNNING;
  if (!subject->started) {
    atomic_store (&subject->flow_state, ZM_FLOW_PAUSED);
    return;
  }
  atomic_compare_exchange_strong (&subject->flow_state, &running, ZM_FLOW_PAUSING);
  zm_waker_wake (&subject->waker);
  if (!wait_while (subject, ZM_FLOW_PAUSING, zm_now_us () + PAUSE_MOST_US))
    give_up (subject);
}

void
zm_subject_finish (ZmSubject *subject, gint64 deadline_us)
{
  if (wait_while (subject, ZM_FLOW_ANSWERS, deadline_us))
    return;
  atomic_store (&subject->finishing, 1);
  zm_waker_wake (&subject->waker);
  if (!wait_while (subject, ZM_FLOW_ANSWERS, zm_now_us () + PAUSE_MOST_US))
    give_up (subject);
}
