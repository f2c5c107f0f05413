/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The store from outside: opening and closing, and where units come in. A submission takes the lock once and wakes the thread
 * only where that sleeps: under load nobody is woken, and a batch grows while the one before it is on its way to the disk.
 */
#include "config.h"

#include "base/zm-base.h"
#include "base/zm-thread.h"
#include "store/store-private.h"

#include <string.h>

#define WAITING_MOST ((gsize) 64 << 20)
#define READERS      2
/* The longest that patient units wait for company. */
#define PATIENCE_US 1000

static int
error_code (int code)
{
  switch (code) {
  case ZM_E_MEMORY: return ZM_ERROR_LIMIT;
  case ZM_E_AGAIN: return ZM_ERROR_UNAVAILABLE;
  case ZM_E_INVALID: return ZM_ERROR_INVALID;
  case ZM_E_DENIED: return ZM_ERROR_REFUSED;
  case ZM_E_UNSUPPORTED: return ZM_ERROR_NOT_FOUND;
  default: return ZM_ERROR_IO;
  }
}

void
zm_store_error (GError **error, int code, const char *what, const char *why)
{
  g_autofree char *text = zm_printable (zm_span_text (why), ZM_STORE_WHY);

  if (text[0] != '\0')
    g_set_error (error, ZM_ERROR, error_code (code), "%s: %s", what, text);
  else
    g_set_error (error, ZM_ERROR, error_code (code), "%s: the store answered %d without a reason", what,
                 code);
}

/* ---- the thread ---- */

/* All that was submitted, in one go. */
static void
take_all (ZmStore *store)
{
  if (store->first == NULL)
    return;
  if (store->pending == NULL)
    store->pending = store->first;
  else
    store->pending_last->next = store->first;
  store->pending_last = store->last;
  store->first = store->last = NULL;
  store->urgent = 0;
}

/* With the lock held. Sleeps until there is something to do. */
static void
wait_for_work (ZmStore *store)
{
  store->asleep = TRUE;
  while (store->first == NULL && !store->closing) {
    gint64 at_us = zm_store_tend_at (store);

    if (at_us < 0)
      pthread_cond_wait (&store->wake, &store->lock);
    else if (zm_now_us () >= at_us || !zm_cond_wait_until (&store->wake, &store->lock, at_us))
      break;
  }
  store->asleep = FALSE;
}

/* With the lock held. Who sends one message after the other sends the next when the one before has been answered, and that is
 * when its end comes to be written, too: in one write both cost what one costs. */
static void
wait_for_company (ZmStore *store)
{
  gint64 until_us = zm_now_us () + MIN (store->last_us, PATIENCE_US);

  store->asleep = TRUE;
  while (store->urgent == 0 && !store->closing && zm_now_us () < until_us)
    zm_cond_wait_until (&store->wake, &store->lock, until_us);
  store->asleep = FALSE;
}

/* FALSE: it is to end, and nothing waits. */
static gboolean
next_work (ZmStore *store)
{
  gboolean goes_on;

  pthread_mutex_lock (&store->lock);
  if (store->pending == NULL)
    wait_for_work (store);
  if (store->pending == NULL && store->first != NULL && store->urgent == 0)
    wait_for_company (store);
  take_all (store);
  goes_on = store->pending != NULL || !store->closing;
  pthread_mutex_unlock (&store->lock);
  return goes_on;
}

static void *
store_main (void *user)
{
  ZmStore *store = user;

  while (next_work (store)) {
    zm_store_tend (store);
    if (store->pending != NULL)
      zm_batch_run (store);
  }
  return NULL;
}

/* The lock is held meanwhile, so that the thread knows its own number before it looks at it. */
static gboolean
start_thread (ZmStore *store, GError **error)
{
  int failed;

  pthread_mutex_lock (&store->lock);
  failed = zm_thread_create (&store->thread, "zm-store", store_main, store);
  store->running = failed == 0;
  pthread_mutex_unlock (&store->lock);
  if (failed != 0)
    g_set_error (error, ZM_ERROR, ZM_ERROR_IO, "the store's thread cannot be started: %s",
                 g_strerror (failed));
  return failed == 0;
}

/* ---- opening and closing ---- */

/* A plugin that was built against an early header has a shorter table. */
static gboolean
complete (const ZmStoreConfig *config, GError **error)
{
  const zm_store_ops *ops = config->ops;

  if (ops->struct_size >= sizeof *ops && ops->open && ops->close && ops->write && ops->recover &&
      ops->reader_open && ops->reader_close && ops->read && ops->documents && ops->last && ops->figures)
    return TRUE;
  g_set_error (error, ZM_ERROR, ZM_ERROR_PLUGIN,
               "the plugin %s is no whole store: functions are missing in its zm_store_ops", config->driver);
  return FALSE;
}

static ZmStore *
store_alloc (const ZmStoreConfig *config)
{
  ZmStore *store = g_new0 (ZmStore, 1);

  store->ops = config->ops;
  store->driver = g_strdup (config->driver != NULL ? config->driver : "store");
  store->owner = g_strdup (config->owner != NULL ? config->owner : "zmanager");
  store->waiting_most = config->waiting_most > 0 ? config->waiting_most : WAITING_MOST;
  store->log = config->log != NULL ? zm_log_ref (config->log) : NULL;
  store->own_metrics = config->metrics == NULL ? zm_metrics_new () : NULL;
  store->metrics = config->metrics != NULL ? config->metrics : store->own_metrics;
  pthread_mutex_init (&store->lock, NULL);
  zm_cond_init_monotonic (&store->wake);
  pthread_mutex_init (&store->jobs_lock, NULL);
  pthread_cond_init (&store->jobs_wake, NULL);
  store->writer.store = store;
  store->writer.ops = g_array_new (FALSE, FALSE, sizeof (zm_store_op));
  store->writer.part = g_array_new (FALSE, FALSE, sizeof (zm_store_op));
  store->writer.units = g_array_new (FALSE, FALSE, sizeof (ZmUnitState));
  store->doubtful = g_array_new (FALSE, FALSE, sizeof (zm_store_op));
  store->own.store = store;
  zm_store_count (store);
  return store;
}

static gboolean
open_plugin (ZmStore *store, const ZmStoreConfig *config, GError **error)
{
  char why[ZM_STORE_WHY] = "";
  g_autofree char *what = NULL;
  int code = store->ops->open (config->state, config->host, config->uri, &store->plugin, why, sizeof why);

  if (code == ZM_OK)
    return TRUE;
  store->plugin = NULL;
  what = g_strdup_printf ("the store %s at %s cannot be opened", store->driver,
                          config->uri != NULL ? config->uri : "its standard place");
  zm_store_error (error, code, what, why);
  return FALSE;
}

ZmStore *
zm_store_new (const ZmStoreConfig *config, GError **error)
{
  ZmStore *store;

  if (!complete (config, error))
    return NULL;
  store = store_alloc (config);
  if (open_plugin (store, config, error) && zm_store_lease_first (store, error) &&
      zm_readers_start (store, config->readers > 0 ? config->readers : READERS, error) &&
      start_thread (store, error)) {
    zm_store_measure (store);
    return store;
  }
  zm_store_free (store);
  return NULL;
}

/* Units first, as they may still ask for readings; those may no longer submit. */
static void
end_threads (ZmStore *store)
{
  pthread_mutex_lock (&store->lock);
  store->closing = TRUE;
  pthread_cond_signal (&store->wake);
  pthread_mutex_unlock (&store->lock);
  if (store->running)
    pthread_join (store->thread, NULL);
  zm_readers_end (store);
}

static void
close_plugin (ZmStore *store)
{
  zm_reader_close (&store->own);
  zm_store_lease_return (store);
  store->ops->close (store->plugin);
}

void
zm_store_free (ZmStore *store)
{
  if (store == NULL)
    return;
  end_threads (store);
  if (store->plugin != NULL)
    close_plugin (store);
  zm_arena_clear (&store->writer.arena);
  g_array_unref (store->writer.ops);
  g_array_unref (store->writer.part);
  g_array_unref (store->writer.units);
  g_array_unref (store->doubtful);
  pthread_mutex_destroy (&store->lock);
  pthread_cond_destroy (&store->wake);
  pthread_mutex_destroy (&store->jobs_lock);
  pthread_cond_destroy (&store->jobs_wake);
  g_clear_pointer (&store->own_metrics, zm_metrics_free);
  g_clear_pointer (&store->log, zm_log_unref);
  g_free (store->driver);
  g_free (store->owner);
  g_free (store->why);
  g_free (store);
}

/* ---- submitting ---- */

/* With the lock held: why a unit is not taken. One that says that it writes nothing is taken in any trouble. */
static gboolean
refuse (ZmStore *store, const ZmStoreUnit *unit, GError **error)
{
  if (store->closing)
    g_set_error_literal (error, ZM_ERROR, ZM_ERROR_UNAVAILABLE, "the store is closed");
  else if (store->failed && !unit->inside && (unit->size > 0 || unit->adds))
    g_set_error (error, ZM_ERROR, ZM_ERROR_UNAVAILABLE, "the store failed, nothing can be written: %s",
                 store->why);
  else if (store->full && unit->adds)
    g_set_error (error, ZM_ERROR, ZM_ERROR_LIMIT, "the store has no space left: %s", store->why);
  else if (!unit->inside && store->waiting > 0 &&
           unit->size + ZM_STORE_UNIT_COST > store->waiting_most - MIN (store->waiting, store->waiting_most))
    g_set_error (error, ZM_ERROR, ZM_ERROR_LIMIT,
                 "%" G_GSIZE_FORMAT " bytes wait to be written already; more than the disk can take now",
                 store->waiting);
  else
    return FALSE;
  return TRUE;
}

static void
append (ZmStore *store, ZmStoreUnit *unit)
{
  unit->next = NULL;
  if (store->last != NULL)
    store->last->next = unit;
  else
    store->first = unit;
  store->last = unit;
  store->waiting += unit->size + ZM_STORE_UNIT_COST;
  store->waiting_units++;
  store->urgent += !unit->patient;
}

gboolean
zm_store_submit (ZmStore *store, ZmStoreUnit *unit, GError **error)
{
  gboolean taken;

  pthread_mutex_lock (&store->lock);
  taken = !refuse (store, unit, error);
  if (taken)
    append (store, unit);
  if (taken && store->asleep && (store->urgent > 0 || store->first == store->last))
    pthread_cond_signal (&store->wake);
  pthread_mutex_unlock (&store->lock);
  if (!taken)
    zm_counter_add (store->refused, 1);
  return taken;
}

gboolean
zm_store_here (const ZmStore *store)
{
  return store->running && pthread_equal (store->thread, pthread_self ());
}

void
zm_store_set_watch (ZmStore *store, void (*changed) (ZmStore *store, gpointer user), gpointer user)
{
  pthread_mutex_lock (&store->lock);
  store->changed = changed;
  store->changed_user = user;
  pthread_mutex_unlock (&store->lock);
}

guint32
zm_store_flags (const ZmStore *store)
{
  return store->ops->flags;
}
