/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Threads and their condition variables, made in the one way that all rooms share: signals are the main thread's, and waits
 * are measured on the monotonic clock. Mutexes need no help.
 */
#pragma once

#include <glib.h>
#include <pthread.h>

G_BEGIN_DECLS

/* Starts a thread: 0, or the errno of pthread_create (EAGAIN: the limit of tasks). name: at most 15 bytes, the rest is cut;
 * it bears it from its first instruction on, and so do threads that it makes itself.
 *
 * What comes from outside (SIGTERM, SIGHUP, SIGCHLD …) is blocked in it; so the daemon's handlers run in the main thread
 * alone, and no other thread's system call is interrupted. What a fault of the thread itself raises (SIGSEGV and its like) is
 * not, or a sanitizer's report would be lost. Processes inherit the mask from the thread that starts them. */
int zm_thread_create (pthread_t *thread, const char *name, void *(*run) (void *), void *user);

/* A stack for handlers of signals in the calling thread, as a fault may be the end of its own. Threads of zm_thread_create have
 * one and free it; another keeps what it returns until its end. NULL: it has one already, or there is no memory. */
void *zm_thread_signal_stack (void);

/* A condition variable whose timed waits take CLOCK_MONOTONIC. */
void zm_cond_init_monotonic (pthread_cond_t *cond);
/* Waits at such a one, with the lock held. until_us: as zm_now_us. FALSE: the time is over. As with any condition variable
 * TRUE does not mean that what was waited for is there. */
gboolean zm_cond_wait_until (pthread_cond_t *cond, pthread_mutex_t *lock, gint64 until_us);

G_END_DECLS
