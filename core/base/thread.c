/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The one place where threads are started, and where condition variables get their clock. */
#include "config.h"

#include "base/zm-thread.h"

#include <signal.h>
#include <sys/mman.h>
#include <time.h>

/* What the new thread takes along; it frees it. */
typedef struct Start {
  void *(*run) (void *);
  void *user;
  char name[16]; /* Linux has room for no more */
} Start;

/* What a handler may need: its own calls, and the registers that newer processors save. */
#define SIGNAL_STACK (64 * 1024)

void *
zm_thread_signal_stack (void)
{
  stack_t old = { 0 }, stack = { .ss_size = SIGNAL_STACK };

  /* One that is there is a sanitizer's, which looks after it itself. */
  if (sigaltstack (NULL, &old) != 0 || (old.ss_flags & SS_DISABLE) == 0)
    return NULL;
  /* Pages that nobody touches cost nothing. */
  stack.ss_sp = mmap (NULL, SIGNAL_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (stack.ss_sp == MAP_FAILED)
    return NULL;
  sigaltstack (&stack, NULL);
  return stack.ss_sp;
}

static void
drop_signal_stack (void *stack)
{
  const stack_t none = { .ss_flags = SS_DISABLE };

  if (stack == NULL)
    return;
  sigaltstack (&none, NULL);
  munmap (stack, SIGNAL_STACK);
}

static void *
begin (void *data)
{
  Start start = *(Start *) data;
  void *result;

  g_free (data);
  /* Here and not in who started it: a thread that run makes inherits the name, by which it is known whose it is. */
  pthread_setname_np (pthread_self (), start.name);
  /* Also where run ends by pthread_exit, as a plugin's may. */
  pthread_cleanup_push (drop_signal_stack, zm_thread_signal_stack ());
  result = start.run (start.user);
  pthread_cleanup_pop (1);
  return result;
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
