/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading: threads that take jobs in their order, each with a reader of its own, and the calls that a job makes. A reader is opened at
 * its first use, and anew after a recovery.
 */
#include "config.h"

#include "base/zm-base.h"
#include "base/zm-thread.h"
#include "store/store-private.h"

/* ---- the plugin's readers ---- */

void
zm_reader_close (ZmStoreReader *reader)
{
  if (reader->reader != NULL)
    reader->store->ops->reader_close (reader->reader);
  reader->reader = NULL;
}

/* NULL: it cannot be opened now; the next use tries again. */
static void *
reader_get (ZmStoreReader *reader, GError **error)
{
  ZmStore *store = reader->store;
  guint generation = atomic_load (&store->generation);
  char why[ZM_STORE_WHY] = "";
  int code;

  if (reader->reader != NULL && reader->generation == generation)
    return reader->reader;
  zm_reader_close (reader);
  code = store->ops->reader_open (store->plugin, &reader->reader, why, sizeof why);
  if (code == ZM_OK) {
    reader->generation = generation;
    return reader->reader;
  }
  reader->reader = NULL;
  why[sizeof why - 1] = '\0';
  zm_store_error (error, code, "the store cannot be read", why);
  return NULL;
}

/* ---- jobs ---- */

/* NULL: closed, and nothing waits. */
static ZmStoreJob *
next_job (ZmStore *store)
{
  ZmStoreJob *job;

  pthread_mutex_lock (&store->jobs_lock);
  while (store->first_job == NULL && !store->jobs_closed)
    pthread_cond_wait (&store->jobs_wake, &store->jobs_lock);
  job = store->first_job;
  if (job != NULL) {
    store->first_job = job->next;
    store->n_jobs--;
  }
  if (store->first_job == NULL)
    store->last_job = NULL;
  pthread_mutex_unlock (&store->jobs_lock);
  return job;
}

/* A job is run in any case, as it has to answer somebody; its readings fail where there is no reader. */
static void *
reader_main (void *user)
{
  ZmStoreReader *reader = user;
  ZmStoreJob *job;

  while ((job = next_job (reader->store)) != NULL) {
    job->next = NULL;
    job->run (job, reader->store, reader);
  }
  zm_reader_close (reader);
  return NULL;
}

gboolean
zm_store_read_later (ZmStore *store, ZmStoreJob *job)
{
  gboolean taken;

  job->next = NULL;
  pthread_mutex_lock (&store->jobs_lock);
  taken = !store->jobs_closed && store->n_jobs < ZM_STORE_JOBS_MOST;
  if (taken) {
    if (store->last_job != NULL)
      store->last_job->next = job;
    else
      store->first_job = job;
    store->last_job = job;
    store->n_jobs++;
    pthread_cond_signal (&store->jobs_wake);
  }
  pthread_mutex_unlock (&store->jobs_lock);
  return taken;
}

gboolean
zm_readers_start (ZmStore *store, guint n, GError **error)
{
  store->readers = g_new0 (ZmStoreReader, n);
  for (guint i = 0; i < n; i++) {
    ZmStoreReader *reader = &store->readers[i];
    int failed;

    reader->store = store;
    failed = zm_thread_create (&reader->thread, "zm-store-read", reader_main, reader);
    if (failed != 0) {
      g_set_error (error, ZM_ERROR, ZM_ERROR_IO, "a thread that reads the store cannot be started: %s",
                   g_strerror (failed));
      return FALSE;
    }
    store->n_readers++;
  }
  return TRUE;
}

void
zm_readers_end (ZmStore *store)
{
  pthread_mutex_lock (&store->jobs_lock);
  store->jobs_closed = TRUE;
  pthread_cond_broadcast (&store->jobs_wake);
  pthread_mutex_unlock (&store->jobs_lock);
  for (guint i = 0; i < store->n_readers; i++)
    pthread_join (store->readers[i].thread, NULL);
  store->n_readers = 0;
  g_clear_pointer (&store->readers, g_free);
}

/* ---- the calls ---- */

/* Which reader a call uses. once: one for this call alone, where the caller is neither a job nor the store's thread. */
static ZmStoreReader *
reader_for (ZmStore *store, void *reader, ZmStoreReader *once)
{
  if (reader != NULL)
    return reader;
  if (zm_store_here (store))
    return &store->own;
  once->store = store;
  return once;
}

static gboolean
read_ended (int code, const char *what, GError **error)
{
  if (code == ZM_OK)
    return TRUE;
  zm_store_error (error, code, what, "");
  return FALSE;
}

gboolean
zm_store_read (ZmStore *store, void *reader, const zm_store_range *range, zm_store_record_fn func,
               gpointer user, GError **error)
{
  ZmStoreReader once = { 0 };
  void *open = reader_get (reader_for (store, reader, &once), error);
  zm_store_range sized = *range;
  int code;

  if (open == NULL)
    return FALSE;
  sized.struct_size = sizeof sized;
  code = store->ops->read (open, &sized, func, user);
  zm_reader_close (&once);
  return read_ended (code, "records of the store cannot be read", error);
}

gboolean
zm_store_documents (ZmStore *store, void *reader, const char *space, ZmSpan prefix, ZmSpan after,
                    guint64 most, zm_store_document_fn func, gpointer user, GError **error)
{
  ZmStoreReader once = { 0 };
  void *open = reader_get (reader_for (store, reader, &once), error);
  int code;

  if (open == NULL)
    return FALSE;
  code = store->ops->documents (open, zm_str_of (zm_span_text (space)), zm_str_of (prefix), zm_str_of (after),
                                most, func, user);
  zm_reader_close (&once);
  return read_ended (code, "documents of the store cannot be read", error);
}

gboolean
zm_store_last (ZmStore *store, void *reader, guint64 queue, guint64 *seq, GError **error)
{
  ZmStoreReader once = { 0 };
  void *open = reader_get (reader_for (store, reader, &once), error);
  int code;

  *seq = 0;
  if (open == NULL)
    return FALSE;
  code = store->ops->last (open, queue, seq);
  zm_reader_close (&once);
  return read_ended (code, "the last number of a queue cannot be read", error);
}
