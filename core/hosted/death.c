/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Last words. The thread that dies of a fault, or ends the process by exit (), writes into the page what it was at: no
 * record could say it any more. The handler runs on a stack of its own, as a stack that is full is one of the faults.
 */
#include "config.h"

#include "hosted/hosted-private.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define LAST_STACK ((gsize) 64 << 10)

static const int faults[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS };

/* A signal handler is given nothing, so that what it needs has to be found without a context: the page, and what was set
 * for each signal before. Both are written once, before the first handler is set. */
static ZmPage *page_of_process;
static pid_t process; /* whose page it is */
static struct sigaction before[G_N_ELEMENTS (faults)];
static atomic_flag noted = ATOMIC_FLAG_INIT;
static pthread_key_t stack_key; /* its destructor gives a thread's stack back */

/* For the same reason a thread's own. */
static _Thread_local ZmHostedHere here_of_thread;

ZmHostedHere *
zm_hosted_here (void)
{
  return &here_of_thread;
}

/* The first one that dies counts: others may die of what it leaves. The signal is written last, as it says that the rest is
 * there. */
static void
leave_note (guint how)
{
  /* A child that a plugin forked ends for itself. */
  if (getpid () != process || atomic_flag_test_and_set (&noted))
    return;
  atomic_store (&page_of_process->dying_slot, here_of_thread.slot);
  atomic_store (&page_of_process->dying_generation, here_of_thread.generation);
  atomic_store (&page_of_process->dying_signal, how);
}

/* Whatever was set before gets its turn: the default, which ends the process, or a sanitizer's report. The signal is blocked
 * until this returns. */
static void
dies (int number)
{
  int kept = errno;

  leave_note ((guint) number);
  for (guint i = 0; i < G_N_ELEMENTS (faults); i++)
    if (faults[i] == number)
      sigaction (number, &before[i], NULL);
  errno = kept;
  raise (number);
}

/* exit () of a plugin; this room itself ends by _exit (). */
static void
exits (void)
{
  leave_note (ZM_PAGE_EXIT);
}

static void
drop_stack (void *stack)
{
  const stack_t none = { .ss_flags = SS_DISABLE };

  sigaltstack (&none, NULL);
  munmap (stack, LAST_STACK);
}

/* Sanitizers have one for each thread, which they take back themselves. */
static void
give_stack (void)
{
#ifndef ZM_HOSTED_SANITIZED
  stack_t stack = { .ss_size = LAST_STACK };

  if (pthread_getspecific (stack_key) != NULL)
    return;
  stack.ss_sp =
      mmap (NULL, LAST_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stack.ss_sp == MAP_FAILED)
    return;
  sigaltstack (&stack, NULL);
  pthread_setspecific (stack_key, stack.ss_sp);
#endif
}

void
zm_hosted_enter (guint64 generation)
{
  give_stack ();
  here_of_thread.generation = generation;
}

gboolean
zm_hosted_death_init (ZmPage *page, GError **error)
{
  struct sigaction action = { .sa_handler = dies, .sa_flags = SA_ONSTACK };

  page_of_process = page;
  process = getpid ();
  sigemptyset (&action.sa_mask);
  if (pthread_key_create (&stack_key, drop_stack) != 0 || atexit (exits) != 0) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_LIMIT, "no room for its last words");
    return FALSE;
  }
  for (guint i = 0; i < G_N_ELEMENTS (faults); i++)
    sigaction (faults[i], &action, &before[i]);
  give_stack ();
  return TRUE;
}
