/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Workers in other languages: which there are. What each of them has is in other files: its socket (external-push.c) and its
 * process (external-process.c); sending to them and showing them is external-use.c.
 *
 * The list changes in the runtime's thread alone, at the start and at a reload; worker threads only look a name up and hold
 * what they found by a reference. A worker that cannot be used is listed all the same, with its problem: an operator looks
 * for it there, and a message to it is told why.
 */
#include "config.h"

#include "worker/external-exec.h"
#include "worker/external-private.h"

#include <string.h>

#define WORKERS_MOST 256

/* ---- one worker ---- */

/* Whoever has one reference may make another. */
static ZmExternal *
worker_ref (ZmExternal *worker)
{
  atomic_fetch_add_explicit (&worker->refs, 1, memory_order_relaxed);
  return worker;
}

void
zm_external_unref (ZmExternal *worker)
{
  if (atomic_fetch_sub_explicit (&worker->refs, 1, memory_order_acq_rel) != 1)
    return;
  zm_push_free (worker->push);
  g_free (worker->name);
  g_free (worker->bind);
  g_free (worker->exec);
  g_free (worker->problem);
  g_free (worker);
}

/* Not listed yet; the caller has the one reference. Takes push, which may be NULL. */
static ZmExternal *
worker_new (const ZmExternalConfig *config, const char *bind, ZmPush *push)
{
  ZmExternal *worker = g_new0 (ZmExternal, 1);

  atomic_init (&worker->refs, 1);
  worker->name = g_strdup (config->name);
  worker->bind = g_strdup (bind);
  worker->exec = g_strdup (config->exec);
  worker->restart = config->restart;
  worker->shared = config->shared;
  worker->push = push;
  return worker;
}

/* error: borrowed; NULL: all is well. */
static void
set_problem (ZmExternals *externals, ZmExternal *worker, const GError *error)
{
  pthread_mutex_lock (&externals->lock);
  g_free (worker->problem);
  worker->problem = error != NULL ? g_strdup (error->message) : NULL;
  pthread_mutex_unlock (&externals->lock);
}

/* ---- its process ---- */

/* The thread that watches processes is there once one is wanted: most daemons have none. */
static gboolean
need_processes (ZmExternals *externals, GError **error)
{
  ZmProcesses *processes = externals->processes;

  if (processes != NULL)
    return TRUE;
  processes = zm_processes_new (externals->log, externals->metrics, error);
  if (processes == NULL)
    return FALSE;
  zm_processes_set_ended (processes, externals->ended, externals->user);
  pthread_mutex_lock (&externals->lock);
  externals->processes = processes;
  pthread_mutex_unlock (&externals->lock);
  return TRUE;
}

/* The environment is made of what the worker is now; its socket is bound by then, so that a process which connects at
 * once finds it. */
static gboolean
start_process (ZmExternals *externals, const ZmExternal *worker, GError **error)
{
  g_auto (GStrv) environment = NULL;
  ZmProcessSpec spec = { .worker = worker->name,
                         .exec = worker->exec,
                         .directory = externals->directory,
                         .restart = worker->restart,
                         .alone = !worker->shared };

  if (worker->exec == NULL)
    return TRUE;
  if (!need_processes (externals, error))
    return FALSE;
  environment = zm_exec_environment ((const char *const *) externals->environment, worker->name,
                                     zm_push_endpoint (worker->push));
  spec.environment = (const char *const *) environment;
  zm_processes_start (externals->processes, &spec);
  return TRUE;
}

/* Does not wait: the thread sees it to its end. */
static void
stop_process (ZmExternals *externals, const ZmExternal *worker)
{
  if (worker->exec != NULL && externals->processes != NULL)
    zm_processes_stop (externals->processes, worker->name);
}

/* ---- the list ---- */

ZmExternals *
zm_externals_new (void *zmq, const char *runtime_directory, const char *directory,
                  const char *const *environment, int high_water, ZmLog *log, ZmMetrics *metrics)
{
  static const char *const none[] = { NULL };
  ZmExternals *externals = g_new0 (ZmExternals, 1);

  externals->zmq = zmq;
  externals->runtime_directory = g_strdup (runtime_directory);
  externals->directory = g_canonicalize_filename (directory != NULL ? directory : ".", NULL);
  externals->environment = g_strdupv ((char **) (environment != NULL ? environment : none));
  externals->high_water = high_water;
  externals->log = log;
  externals->metrics = metrics;
  externals->workers = g_ptr_array_new ();
  pthread_mutex_init (&externals->lock, NULL);
  return externals;
}

void
zm_externals_set_gates (ZmExternals *externals, ZmGates *gates)
{
  externals->gates = gates;
}

void
zm_externals_set_ended (ZmExternals *externals, ZmExternalEnded func, gpointer user)
{
  externals->ended = func;
  externals->user = user;
  if (externals->processes != NULL)
    zm_processes_set_ended (externals->processes, func, user);
}

ZmExternal *
zm_external_find (ZmExternals *externals, const char *name)
{
  ZmExternal *found = NULL;

  pthread_mutex_lock (&externals->lock);
  for (guint i = 0; i < externals->workers->len && found == NULL; i++) {
    ZmExternal *worker = g_ptr_array_index (externals->workers, i);

    if (strcmp (worker->name, name) == 0)
      found = worker_ref (worker);
  }
  pthread_mutex_unlock (&externals->lock);
  return found;
}

/* The endpoint is free when this returns, also for who binds it at once: no process is between fork and exec just now, with
 * a copy of the listening socket. */
static void
close_push (ZmExternals *externals, const ZmExternal *worker)
{
  if (worker->push == NULL)
    return;
  if (externals->processes != NULL)
    zm_processes_hold (externals->processes, TRUE);
  zm_push_close (worker->push, externals->zmq);
  if (externals->processes != NULL)
    zm_processes_hold (externals->processes, FALSE);
}

/* Takes it off the list; the process is told to end, the socket is closed once nobody sends. */
static void
remove_worker (ZmExternals *externals, ZmExternal *worker)
{
  pthread_mutex_lock (&externals->lock);
  g_ptr_array_remove (externals->workers, worker);
  pthread_mutex_unlock (&externals->lock);
  stop_process (externals, worker);
  close_push (externals, worker);
  zm_metrics_remove (externals->metrics, worker->sent);
  zm_metrics_remove (externals->metrics, worker->refused);
  zm_external_unref (worker);
}

/* Takes over the reference. */
static void
list_worker (ZmExternals *externals, ZmExternal *worker)
{
  worker->sent = zm_metrics_counter (externals->metrics, "zmanager_worker_sent_total",
                                     "Messages given to workers in other languages", "worker", worker->name);
  worker->refused =
      zm_metrics_counter (externals->metrics, "zmanager_worker_refused_total",
                          "Messages that no worker process could take at once", "worker", worker->name);
  pthread_mutex_lock (&externals->lock);
  g_ptr_array_add (externals->workers, worker);
  pthread_mutex_unlock (&externals->lock);
}

/* The socket stays, with those who are connected to it; only the process is another. */
static gboolean
replace_process (ZmExternals *externals, ZmExternal *worker, const ZmExternalConfig *config, GError **error)
{
  gboolean same = g_strcmp0 (worker->exec, config->exec) == 0 && worker->restart == config->restart &&
                  worker->shared == config->shared;

  /* What is not running for want of a thread is tried again. */
  if (same && (worker->exec == NULL || externals->processes != NULL))
    return TRUE;
  stop_process (externals, worker);
  pthread_mutex_lock (&externals->lock);
  g_free (worker->exec);
  worker->exec = g_strdup (config->exec);
  worker->restart = config->restart;
  worker->shared = config->shared;
  pthread_mutex_unlock (&externals->lock);
  return start_process (externals, worker, error);
}

/* new_name: the list would grow. */
static ZmPush *
make_push (ZmExternals *externals, const char *name, const char *bind, gboolean new_name, GError **error)
{
  if (!new_name || externals->workers->len < WORKERS_MOST)
    return zm_push_new (externals->zmq, name, bind, externals->high_water, externals->gates, error);
  g_set_error (error, ZM_ERROR, ZM_ERROR_LIMIT, "there are %d workers already; use fewer", WORKERS_MOST);
  return NULL;
}

/* One with another endpoint, or the first of its name; before: the one that it replaces, or NULL. Gives the one that is
 * listed now. */
static ZmExternal *
add_new (ZmExternals *externals, const ZmExternalConfig *config, const char *bind, ZmExternal *before,
         GError **error)
{
  ZmPush *push = make_push (externals, config->name, bind, before == NULL, error);
  ZmExternal *worker;

  if (push == NULL && before != NULL && before->push != NULL)
    return before;
  worker = worker_new (config, bind, push);
  if (before != NULL)
    remove_worker (externals, before);
  list_worker (externals, worker);
  if (push != NULL)
    start_process (externals, worker, error);
  return worker;
}

/* In the runtime's thread. The socket is made first, and only then is the older one taken away, so that a mistake in the
 * configuration costs nothing that works. */
gboolean
zm_externals_add (ZmExternals *externals, const ZmExternalConfig *config, GError **error)
{
  g_autofree char *bind = config->bind != NULL ? g_strdup (config->bind)
                                               : g_strdup_printf ("ipc://%s/worker-%s",
                                                                  externals->runtime_directory, config->name);
  g_autoptr (GError) problem = NULL;
  ZmExternal *before = zm_external_find (externals, config->name), *worker = before;

  if (before != NULL && before->push != NULL && strcmp (before->bind, bind) == 0)
    replace_process (externals, before, config, &problem);
  else
    worker = add_new (externals, config, bind, before, &problem);
  set_problem (externals, worker, problem);
  if (before != NULL)
    zm_external_unref (before);
  if (problem == NULL)
    return TRUE;
  g_propagate_prefixed_error (error, g_steal_pointer (&problem), "worker %s: ", config->name);
  return FALSE;
}

void
zm_externals_keep (ZmExternals *externals, const char *const *names)
{
  /* Only this thread changes the list: the lock is for those who send. */
  for (guint i = externals->workers->len; i > 0; i--) {
    ZmExternal *worker = g_ptr_array_index (externals->workers, i - 1);

    if (!g_strv_contains (names, worker->name))
      remove_worker (externals, worker);
  }
}

/* Who told of ends is told of none any more when this returns. */
void
zm_externals_free (ZmExternals *externals)
{
  static const char *const none[] = { NULL };
  ZmProcesses *processes;

  if (externals == NULL)
    return;
  pthread_mutex_lock (&externals->lock);
  processes = g_steal_pointer (&externals->processes);
  pthread_mutex_unlock (&externals->lock);
  /* First the processes, all at once: what they still push goes to the Subject, which is not ours. */
  zm_processes_free (processes);
  zm_externals_keep (externals, none);
  pthread_mutex_destroy (&externals->lock);
  g_ptr_array_unref (externals->workers);
  g_free (externals->runtime_directory);
  g_free (externals->directory);
  g_strfreev (externals->environment);
  g_free (externals);
}
