/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The threads of one generation that its plugin started through the host (zm_thread_start): named, bounded, woken at stop,
 * and joined before the library goes. Any thread may call these.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct ZmThreads ZmThreads;

ZmThreads *zm_threads_new (void);
/* None may be left. NULL is fine. */
void zm_threads_free (ZmThreads *threads);
/* began (user) is called in each thread that starts from here on, before its own function. */
void zm_threads_set_begin (ZmThreads *threads, void (*began) (gpointer user), gpointer user);
/* ZM_OK; ZM_E_INVALID: run, wake or name is NULL; ZM_E_DENIED: after a stop; ZM_E_AGAIN: 64 of them are there; ZM_E_FAILED:
 * the system gives no thread. run (user) is its body, wake (user) is called at stop. */
int zm_threads_start (ZmThreads *threads, const char *name, void (*run) (void *), void (*wake) (void *),
                      void *user);
/* Lets no more start, wakes those that run, waits; TRUE: all have ended and are joined. */
gboolean zm_threads_stop (ZmThreads *threads, guint timeout_ms);
/* Lets them start again, after a stop that ended all. */
void zm_threads_reopen (ZmThreads *threads);
/* How many are not over yet: destructors of thread-specific data, which may be the plugin's code, run after the thread's
 * function has returned. */
guint zm_threads_running (ZmThreads *threads);
/* Appends "thread NAME, thread NAME". */
void zm_threads_describe (ZmThreads *threads, GString *out);
/* Threads of this process whose name says that this generation's code made them: numbers, separated by commas, or NULL. The
 * caller frees. */
char *zm_threads_strays (const char *mark);

G_END_DECLS
