/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The reaper: one thread that lets old generations go. For each: stop (in a thread of its own, so that one which hangs
 * delays nobody), wait for its references, fini, dlclose. What is still held after the drain budget stays loaded, is
 * counted, and told with who holds it.
 *
 * This is its door, used by the registry and by whoever lets a reference go; what the thread does is in reap.c.
 */
#include "config.h"

#include "plugin/reaper.h"

#define HELD_MS 2000 /* at the end, for what is only held */

void
zm_reaper_wake_locked (ZmReaper *reaper)
{
  reaper->woken = TRUE;
  pthread_cond_broadcast (&reaper->changed);
}

/* A reference went, a thread ended: there may be something to do. Any thread. */
void
zm_reaper_wake (ZmReaper *reaper)
{
  pthread_mutex_lock (&reaper->lock);
  zm_reaper_wake_locked (reaper);
  pthread_mutex_unlock (&reaper->lock);
}

/* Without a thread (the limit of tasks) nothing is ever let go: old generations stay loaded, and the daemon works. */
ZmReaper *
zm_reaper_new (guint drain_ms, ZmLog *log, ZmMetrics *metrics)
{
  ZmReaper *reaper = g_new0 (ZmReaper, 1);

  atomic_init (&reaper->references, 1);
  pthread_mutex_init (&reaper->lock, NULL);
  zm_cond_init_monotonic (&reaper->changed);
  reaper->entries = g_ptr_array_new ();
  reaper->drain_ms = drain_ms;
  reaper->log = log != NULL ? zm_log_ref (log) : NULL;
  reaper->metrics = metrics;
  reaper->has_thread = zm_thread_create (&reaper->thread, "zm-reaper", zm_reaper_main, reaper) == 0;
  return reaper;
}

ZmReaper *
zm_reaper_ref (ZmReaper *reaper)
{
  atomic_fetch_add (&reaper->references, 1);
  return reaper;
}

/* Entries hold references: one whose fini hangs keeps the reaper, for the day it comes back. */
void
zm_reaper_unref (ZmReaper *reaper)
{
  if (atomic_fetch_sub (&reaper->references, 1) != 1)
    return;
  g_ptr_array_unref (reaper->entries);
  g_clear_pointer (&reaper->log, zm_log_unref);
  pthread_mutex_destroy (&reaper->lock);
  pthread_cond_destroy (&reaper->changed);
  g_free (reaper);
}

/* From here on the generation is the reaper's. */
static void
add_entry (ZmReaper *reaper, ZmGeneration *generation, ZmReaperState state, const char *why)
{
  ZmReaperEntry *entry = g_new0 (ZmReaperEntry, 1);

  entry->reaper = zm_reaper_ref (reaper);
  entry->generation = generation;
  entry->label = g_strdup_printf ("%s generation %u", generation->name, generation->number);
  entry->state = state;
  entry->kept = g_strdup (why);
  entry->drain_due_us = zm_now_us () + (gint64) reaper->drain_ms * 1000;
  pthread_mutex_lock (&reaper->lock);
  g_ptr_array_add (reaper->entries, entry);
  zm_reaper_wake_locked (reaper);
  pthread_mutex_unlock (&reaper->lock);
}

/* stop, references, fini, dlclose: in the thread, in that order. */
void
zm_reaper_take (ZmReaper *reaper, ZmGeneration *generation)
{
  add_entry (reaper, generation, ZM_REAPER_WAITING, NULL);
}

/* It stays loaded, for the reason that is shown: foreign code of it runs that does not end. */
void
zm_reaper_keep (ZmReaper *reaper, ZmGeneration *generation, const char *why)
{
  add_entry (reaper, generation, ZM_REAPER_KEPT, why);
}

/* What entries wait for that may still come to an end by itself. With the lock held. */
typedef enum {
  NOTHING,    /* what is left is kept on purpose */
  REFERENCES, /* of calls that hang, or of buffers in a socket */
  PLUGINS     /* a stop or a fini */
} Awaited;

static Awaited
awaited (const ZmReaper *reaper)
{
  Awaited most = NOTHING;

  for (guint i = 0; i < reaper->entries->len; i++) {
    ZmReaperState state = ((ZmReaperEntry *) g_ptr_array_index (reaper->entries, i))->state;

    if (state != ZM_REAPER_KEPT)
      most = MAX (most, state == ZM_REAPER_STOPPED ? REFERENCES : PLUGINS);
  }
  return most;
}

static gboolean
has_entry (const ZmReaper *reaper, const ZmGeneration *generation)
{
  for (guint i = 0; i < reaper->entries->len; i++) {
    const ZmReaperEntry *entry = g_ptr_array_index (reaper->entries, i);

    if (entry->generation == generation)
      return TRUE;
  }
  return FALSE;
}

/* Waits until this generation is gone: for who wants to load the same file anew. generation is only compared. */
void
zm_reaper_settle (ZmReaper *reaper, const ZmGeneration *generation, guint timeout_ms)
{
  gint64 until_us = zm_now_us () + (gint64) timeout_ms * 1000;
  gboolean in_time = TRUE;

  pthread_mutex_lock (&reaper->lock);
  while (has_entry (reaper, generation) && in_time)
    in_time = zm_cond_wait_until (&reaper->changed, &reaper->lock, until_us);
  pthread_mutex_unlock (&reaper->lock);
}

/* Plugins have their whole time to stop. A reference is not worth it: the workers are gone, so who still has one is a call
 * that hangs, and would be waited for in vain. */
static void
wait_for_the_last (ZmReaper *reaper, guint timeout_ms)
{
  gint64 until_us = zm_now_us () + (gint64) timeout_ms * 1000, held_until_us = until_us;
  gboolean in_time = TRUE;
  Awaited now;

  while (in_time && (now = awaited (reaper)) != NOTHING) {
    if (now == PLUGINS)
      held_until_us = until_us;
    else if (held_until_us == until_us)
      held_until_us = MIN (until_us, zm_now_us () + HELD_MS * 1000);
    in_time = zm_cond_wait_until (&reaper->changed, &reaper->lock, held_until_us);
  }
}

/* At the end of the daemon. TRUE: all are gone; FALSE: something hangs or is held, and stays with the process. */
gboolean
zm_reaper_close (ZmReaper *reaper, guint timeout_ms)
{
  gboolean empty;

  pthread_mutex_lock (&reaper->lock);
  if (reaper->has_thread)
    wait_for_the_last (reaper, timeout_ms);
  empty = reaper->entries->len == 0;
  reaper->closing = TRUE;
  reaper->metrics = NULL; /* the caller's, who goes on to free it */
  zm_reaper_wake_locked (reaper);
  pthread_mutex_unlock (&reaper->lock);
  if (reaper->has_thread)
    pthread_join (reaper->thread, NULL);
  reaper->has_thread = FALSE;
  return empty;
}

/* A NULL-terminated list of sentences for `status` and the log; the caller frees it with g_strfreev. */
char **
zm_reaper_held (ZmReaper *reaper)
{
  GPtrArray *out = g_ptr_array_new ();

  pthread_mutex_lock (&reaper->lock);
  for (guint i = 0; i < reaper->entries->len; i++) {
    ZmReaperEntry *entry = g_ptr_array_index (reaper->entries, i);
    g_autofree char *who = NULL;

    /* A fini that runs its normal course holds nothing. */
    if (entry->state == ZM_REAPER_GONE || (entry->state == ZM_REAPER_FINISHING && !entry->hangs))
      continue;
    who = zm_reaper_held_by (entry);
    if (who[0] != '\0')
      g_ptr_array_add (out, g_strdup_printf ("%s: held by %s", entry->label, who));
  }
  pthread_mutex_unlock (&reaper->lock);
  g_ptr_array_add (out, NULL);
  return (char **) g_ptr_array_free (out, FALSE);
}

/* Under the lock, so func must not call the reaper. Those whose fini runs are left out: they are their thread's. */
void
zm_reaper_each (ZmReaper *reaper, void (*func) (ZmGeneration *generation, gpointer user), gpointer user)
{
  pthread_mutex_lock (&reaper->lock);
  for (guint i = 0; i < reaper->entries->len; i++) {
    ZmReaperEntry *entry = g_ptr_array_index (reaper->entries, i);

    if (entry->state != ZM_REAPER_GONE && entry->state != ZM_REAPER_FINISHING)
      func (entry->generation, user);
  }
  pthread_mutex_unlock (&reaper->lock);
}
