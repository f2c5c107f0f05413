/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The one place where threads are started, and where condition variables get their clock. */
#include "config.h"

#include "base/zm-thread.h"

#include <signal.h>
#include <time.h>

/* What the new thread takes along; it frees it. */
typedef struct Start {
  void *(*run) (void *);
  void *user;
  char name[16]; /* Linux has room for no more */
} Start;

static void *
begin (void *data)
{
  Start start = *(Start *) data;

  g_free (data);
  /* Here and not in who started it: a thread that run makes inherits the name, by which it is known whose it is. */
  pthread_setname_np (pthread_self (), start.name);
  return start.run (start.user);
}

/* All signals but those that a fault of the thread itself raises, or abort. */
static void
from_outside (sigset_t *set)
{
  static const int own_faults[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT, SIGSYS };

  sigfillset (set);
  for (guint i = 0; i < G_N_ELEMENTS (own_faults); i++)
    sigdelset (set, own_faults[i]);
}

int
zm_thread_create (pthread_t *thread, const char *name, void *(*run) (void *), void *user)
{
  Start *start = g_new0 (Start, 1);
  sigset_t outside, before;
  int result;

  start->run = run;
  start->user = user;
  g_strlcpy (start->name, name, sizeof start->name);
  from_outside (&outside);
  /* Blocked before it is there: it has the mask of who starts it. */
  pthread_sigmask (SIG_BLOCK, &outside, &before);
  result = pthread_create (thread, NULL, begin, start);
  pthread_sigmask (SIG_SETMASK, &before, NULL);
  if (result != 0)
    g_free (start);
  return result;
}

void
zm_cond_init_monotonic (pthread_cond_t *cond)
{
  pthread_condattr_t attributes;

  pthread_condattr_init (&attributes);
  pthread_condattr_setclock (&attributes, CLOCK_MONOTONIC);
  pthread_cond_init (cond, &attributes);
  pthread_condattr_destroy (&attributes);
}

gboolean
zm_cond_wait_until (pthread_cond_t *cond, pthread_mutex_t *lock, gint64 until_us)
{
  const struct timespec until = { .tv_sec = (time_t) (until_us / G_USEC_PER_SEC),
                                  .tv_nsec = (long) (until_us % G_USEC_PER_SEC) * 1000 };

  return pthread_cond_timedwait (cond, lock, &until) == 0;
}
