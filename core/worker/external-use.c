/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Workers in other languages as others use them, from any thread: sending to them, and how they are.
 *
 * Sending never waits for a process. A message that nobody can take at once is refused here, with the reason, and its flow goes
 * on to its error; what was given to a process that ends before it answers is the pool's affair (abroad.c).
 */
#include "config.h"

#include "worker/external-exec.h"
#include "worker/external-private.h"

#include <errno.h>

/* ---- sending ---- */

/* Why it does not work, or NULL; the caller frees. wanted_only: as for zm_processes_absence. Under the lock. */
static char *
trouble_of (ZmExternals *externals, const ZmExternal *worker, gboolean wanted_only)
{
  if (worker->problem != NULL)
    return g_strdup (worker->problem);
  if (worker->exec == NULL || externals->processes == NULL)
    return NULL;
  return zm_processes_absence (externals->processes, worker->name, wanted_only);
}

/* Counted, and explained with what is known: that its process does not run says more than that nobody is connected. */
static void
refuse (ZmExternals *externals, ZmExternal *worker, int problem, GError **error)
{
  g_autofree char *trouble = NULL;

  zm_counter_add (worker->refused, 1);
  pthread_mutex_lock (&externals->lock);
  trouble = trouble_of (externals, worker, FALSE);
  pthread_mutex_unlock (&externals->lock);
  if (worker->push != NULL && problem == ENOTSOCK)
    g_set_error (error, ZM_ERROR, ZM_ERROR_UNAVAILABLE, "worker %s: it was removed from the configuration",
                 worker->name);
  else if (trouble != NULL)
    g_set_error (error, ZM_ERROR, ZM_ERROR_UNAVAILABLE, "worker %s: %s", worker->name, trouble);
  else if (problem == EAGAIN)
    g_set_error (error, ZM_ERROR, ZM_ERROR_UNAVAILABLE,
                 "worker %s: no process is connected, or all have their queues full; see zmanagerctl workers",
                 worker->name);
  else
    g_set_error (error, ZM_ERROR, ZM_ERROR_UNAVAILABLE, "worker %s: %s", worker->name,
                 zmq_strerror (problem));
}

/* A worker thread's, so it waits for nothing but another sender. The reference keeps the worker while it is taken off
 * the list elsewhere; its socket may be closed by then, which send tells. */
gboolean
zm_externals_send (ZmExternals *externals, const char *name, ZmMessage *message, GError **error)
{
  ZmExternal *worker = zm_external_find (externals, name);
  int problem;

  if (worker == NULL) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_UNAVAILABLE,
                 "there is no [worker %s]; add it to the configuration", name);
    return FALSE;
  }
  problem = worker->push != NULL ? zm_push_send (worker->push, message) : ENOTSOCK;
  if (problem == 0)
    zm_counter_add (worker->sent, 1);
  else
    refuse (externals, worker, problem, error);
  zm_external_unref (worker);
  return problem == 0;
}

/* ---- what is shown ---- */

/* With the comma behind it: the state is always last. */
static void
append_member (GString *out, const char *name, const char *text)
{
  g_string_append_printf (out, "\"%s\":", name);
  if (text != NULL)
    zm_json_append_string (out, zm_span_text (text));
  else
    g_string_append (out, "null");
  g_string_append_c (out, ',');
}

/* Under the lock. */
static void
append_worker (ZmExternals *externals, const ZmExternal *worker, GString *out)
{
  g_string_append (out, out->len > 1 ? ",{" : "{");
  append_member (out, "name", worker->name);
  append_member (out, "endpoint", worker->push != NULL ? zm_push_endpoint (worker->push) : worker->bind);
  g_autofree char *exec = worker->exec != NULL ? zm_hide_in_command (worker->exec) : NULL;
  append_member (out, "exec", exec);
  g_string_append_printf (out, "\"sent\":%" G_GINT64_FORMAT ",\"refused\":%" G_GINT64_FORMAT ",",
                          zm_counter_get (worker->sent), zm_counter_get (worker->refused));
  if (worker->problem != NULL) {
    append_member (out, "last_end", worker->problem);
    g_string_append (out, "\"state\":\"failed\"");
  } else if (worker->exec != NULL && externals->processes != NULL)
    zm_processes_append_json (externals->processes, worker->name, out);
  else
    g_string_append (out, "\"state\":\"elsewhere\"");
  g_string_append_c (out, '}');
}

char *
zm_externals_json (ZmExternals *externals)
{
  GString *out = g_string_new ("[");

  pthread_mutex_lock (&externals->lock);
  for (guint i = 0; i < externals->workers->len; i++)
    append_worker (externals, g_ptr_array_index (externals->workers, i), out);
  pthread_mutex_unlock (&externals->lock);
  g_string_append_c (out, ']');
  return g_string_free (out, FALSE);
}

void
zm_externals_reasons (ZmExternals *externals, GPtrArray *out)
{
  pthread_mutex_lock (&externals->lock);
  for (guint i = 0; i < externals->workers->len; i++) {
    const ZmExternal *worker = g_ptr_array_index (externals->workers, i);
    g_autofree char *trouble = trouble_of (externals, worker, TRUE);

    if (trouble != NULL)
      g_ptr_array_add (out, g_strdup_printf ("worker %s: %s", worker->name, trouble));
  }
  pthread_mutex_unlock (&externals->lock);
}

/* Nothing is started and nothing kept. */
gboolean
zm_external_check_exec (const char *exec, const char *directory, GError **error)
{
  g_auto (GStrv) argv = zm_exec_find (exec, directory, error);

  return argv != NULL;
}
