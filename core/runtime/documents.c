/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Documents read by a thread of the store, for a thread that waits. */
#include "config.h"

#include "runtime/documents.h"

#include "base/zm-thread.h"

#include <stdatomic.h>

#define READ_US (10 * G_USEC_PER_SEC)

typedef struct Read {
  ZmStoreJob job;  /* first */
  atomic_int refs; /* who waits, and who reads */
  char *space;
  GBytes *prefix;
  GPtrArray *copies; /* the reader's, until `over` */
  GError *error;
  pthread_mutex_t lock; /* of over */
  pthread_cond_t cond;
  gboolean over;
} Read;

static void
copy_free (gpointer data)
{
  ZmDocumentCopy *copy = data;

  g_bytes_unref (copy->key);
  g_bytes_unref (copy->value);
  g_free (copy);
}

static void
unref (Read *read)
{
  if (atomic_fetch_sub (&read->refs, 1) != 1)
    return;
  g_free (read->space);
  g_bytes_unref (read->prefix);
  g_clear_pointer (&read->copies, g_ptr_array_unref);
  g_clear_error (&read->error);
  pthread_cond_destroy (&read->cond);
  pthread_mutex_destroy (&read->lock);
  g_free (read);
}

static int
take (void *user, zm_str key, zm_str value)
{
  ZmDocumentCopy *copy = g_new (ZmDocumentCopy, 1);

  *copy = (ZmDocumentCopy){ g_bytes_new (key.data, key.size), g_bytes_new (value.data, value.size) };
  g_ptr_array_add (user, copy);
  return 0;
}

static void
run (ZmStoreJob *job, ZmStore *store, void *reader)
{
  Read *read = (Read *) job;
  gsize size;
  const char *prefix = g_bytes_get_data (read->prefix, &size);

  zm_store_documents (store, reader, read->space, zm_span (prefix, size), zm_span (NULL, 0), 0, take,
                      read->copies, &read->error);
  pthread_mutex_lock (&read->lock);
  read->over = TRUE;
  pthread_cond_signal (&read->cond);
  pthread_mutex_unlock (&read->lock);
  unref (read);
}

static gboolean
wait_for (Read *read)
{
  gint64 until_us = zm_now_us () + READ_US;
  gboolean over;

  pthread_mutex_lock (&read->lock);
  while (!read->over && zm_cond_wait_until (&read->cond, &read->lock, until_us))
    continue;
  over = read->over;
  pthread_mutex_unlock (&read->lock);
  return over;
}

GPtrArray *
zm_documents_read (ZmStore *store, const char *space, ZmSpan prefix, GError **error)
{
  Read *read = g_new0 (Read, 1);
  GPtrArray *copies = NULL;

  read->job.run = run;
  atomic_init (&read->refs, 2);
  read->space = g_strdup (space);
  read->prefix = g_bytes_new (prefix.data, prefix.size);
  read->copies = g_ptr_array_new_with_free_func (copy_free);
  pthread_mutex_init (&read->lock, NULL);
  zm_cond_init_monotonic (&read->cond);
  if (!zm_store_read_later (store, &read->job)) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_UNAVAILABLE, "the store is closed, or too much waits to be read");
    unref (read);
  } else if (!wait_for (read)) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_UNAVAILABLE, "the store did not answer within ten seconds");
  } else if (read->error != NULL) {
    g_propagate_error (error, g_steal_pointer (&read->error));
  } else {
    copies = g_steal_pointer (&read->copies);
  }
  unref (read);
  return copies;
}
