/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The reaper: one thread that lets old generations go. For each: stop (in a thread of its own, so that one which hangs
 * delays nobody), wait for its references, fini, dlclose. What is still held after the drain budget stays loaded, is
 * counted, and told with who holds it.
 */
#include "config.h"

#include "plugin/zm-plugin-private.h"

#include <string.h>

#define STOP_GRACE_MS 1000 /* beyond the deadline that stop was given, before it is said to hang */

typedef enum {
  WAITING,   /* for those that depend on it to be stopped */
  STOPPING,  /* its stop runs */
  STOPPED,   /* waits for its references */
  FINISHING, /* its fini runs */
  KEPT,      /* stays loaded on purpose */
  GONE
} State;

typedef struct Entry {
  ZmReaper *reaper;
  ZmGeneration *generation; /* that of another thread while its fini runs, and NULL once it is gone */
  char *label;              /* "hello generation 3" */
  State state;
  gint64 stop_due_us;  /* when a stop or fini that has not ended is said to hang */
  gint64 drain_due_us; /* when it is said who holds it */
  gboolean hangs;      /* has been said */
  gboolean reported;   /* has been said */
  gboolean threads_ended;
  char *kept; /* why it stays, where its own count does not tell */
} Entry;

struct ZmReaper {
  atomic_uint references;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  pthread_t thread;
  gboolean has_thread;
  gboolean woken, closing;
  GPtrArray *entries; /* Entry, not yet gone */
  guint drain_ms;
  ZmLog *log;
  ZmMetrics *metrics;
};

static void
count (ZmReaper *reaper, const char *name, const char *help)
{
  if (reaper->metrics != NULL)
    zm_counter_add (zm_metrics_counter (reaper->metrics, name, help, NULL, NULL), 1);
}

static void
entry_free (gpointer data)
{
  Entry *entry = data;

  g_free (entry->kept);
  g_free (entry->label);
  zm_reaper_unref (entry->reaper);
  g_free (entry);
}

/* Must be called with the lock held. */
static void
wake_locked (ZmReaper *reaper)
{
  reaper->woken = TRUE;
  pthread_cond_broadcast (&reaper->changed);
}

void
zm_reaper_wake (ZmReaper *reaper)
{
  pthread_mutex_lock (&reaper->lock);
  wake_locked (reaper);
  pthread_mutex_unlock (&reaper->lock);
}

static void
set_state (Entry *entry, State state)
{
  pthread_mutex_lock (&entry->reaper->lock);
  entry->state = state;
  wake_locked (entry->reaper);
  pthread_mutex_unlock (&entry->reaper->lock);
}

/* ---- the two jobs, each in a thread of its own; until its state changes the entry is theirs ---- */

static void
stop_job (gpointer data)
{
  Entry *entry = data;

  entry->threads_ended = zm_generation_stop (entry->generation, entry->reaper->drain_ms);
}

static void
stop_done (gpointer data)
{
  set_state (data, STOPPED);
}

static void
finish_job (gpointer data)
{
  Entry *entry = data;

  zm_generation_finalise (entry->generation, &entry->kept);
}

static void
finish_done (gpointer data)
{
  Entry *entry = data;
  ZmReaper *reaper = zm_reaper_ref (entry->reaper);

  pthread_mutex_lock (&reaper->lock);
  if (entry->kept == NULL)
    entry->generation = NULL;
  entry->state = entry->kept != NULL ? KEPT : GONE;
  wake_locked (reaper);
  pthread_mutex_unlock (&reaper->lock);
  zm_reaper_unref (reaper);
}

/* ---- the thread ---- */

/* Does another one that is not stopped yet depend on this one? */
static gboolean
needed (const ZmReaper *reaper, const Entry *entry)
{
  for (guint i = 0; i < reaper->entries->len; i++) {
    const Entry *other = g_ptr_array_index (reaper->entries, i);

    if (other->state <= STOPPING && !other->hangs && other != entry &&
        g_strv_contains ((const char *const *) other->generation->manifest->depends, entry->generation->name))
      return TRUE;
  }
  return FALSE;
}

static void
begin (Entry *entry, State state, ZmGuardFunc job, ZmGuardFunc done)
{
  ZmReaper *reaper = entry->reaper;

  entry->state = state;
  entry->hangs = FALSE;
  entry->stop_due_us = zm_now_us () + ((gint64) reaper->drain_ms + STOP_GRACE_MS) * 1000;
  /* Where no thread can be made the job runs right here, and takes the lock. */
  pthread_mutex_unlock (&reaper->lock);
  zm_guard_start (entry->generation->mark, job, done, entry);
  pthread_mutex_lock (&reaper->lock);
}

static char *
held_by (const Entry *entry)
{
  g_autofree char *holders = NULL;

  if (entry->kept != NULL)
    return g_strdup (entry->kept);
  /* While fini runs the generation is that thread's alone, and may be gone. */
  if (entry->state == FINISHING)
    return g_strdup ("its fini, which has not ended");
  holders = zm_generation_holders (entry->generation);
  if (entry->state == STOPPING)
    return g_strconcat ("its stop, which has not ended", holders[0] != '\0' ? ", " : NULL, holders, NULL);
  return g_steal_pointer (&holders);
}

static void
say_hangs (Entry *entry)
{
  ZmReaper *reaper = entry->reaper;

  entry->hangs = TRUE;
  count (reaper, "zmanager_plugin_stuck_total", "stop or fini of a plugin that did not end in time");
  zm_log_write (reaper->log, ZM_LEVEL_WARNING, "plugin",
                "%s: its %s does not end; it stays loaded until then", entry->label,
                entry->state == FINISHING ? "fini" : "stop");
}

static void
say_held (Entry *entry)
{
  g_autofree char *who = held_by (entry);

  entry->reported = TRUE;
  count (entry->reaper, "zmanager_plugin_held_total", "old generations still in use after the drain budget");
  zm_log_write (entry->reaper->log, ZM_LEVEL_WARNING, "plugin", "%s stays loaded: held by %s", entry->label,
                who);
}

/* A thread of the plugin's that did not end in time may end later: that counts as a reference. */
static gboolean
unused (const Entry *entry)
{
  return atomic_load (&entry->generation->references) == 0 &&
         zm_threads_running (entry->generation->threads) == 0;
}

/* One look at one entry; *next_us comes down to when the next look is due. */
static void
look (Entry *entry, gint64 now_us, gint64 *next_us)
{
  if (entry->state == WAITING && !needed (entry->reaper, entry))
    begin (entry, STOPPING, stop_job, stop_done);
  else if (entry->state == STOPPED && unused (entry))
    begin (entry, FINISHING, finish_job, finish_done);
  if ((entry->state == STOPPING || entry->state == FINISHING) && !entry->hangs) {
    if (now_us >= entry->stop_due_us)
      say_hangs (entry);
    else
      *next_us = MIN (*next_us, entry->stop_due_us);
  }
  /* Nobody tells when a late thread ends. */
  if (entry->state == STOPPED && !entry->threads_ended)
    *next_us = MIN (*next_us, now_us + 250 * 1000);
  if (entry->reported || entry->state == FINISHING || entry->state == GONE)
    return;
  if (now_us >= entry->drain_due_us || entry->state == KEPT)
    say_held (entry);
  else
    *next_us = MIN (*next_us, entry->drain_due_us);
}

static void
wait_until (ZmReaper *reaper, gint64 until_us)
{
  gboolean in_time = TRUE;

  while (!reaper->woken && in_time)
    in_time = zm_cond_wait_until (&reaper->changed, &reaper->lock, until_us);
}

static void
sweep (ZmReaper *reaper, gint64 *next_us)
{
  gint64 now_us = zm_now_us ();

  for (guint i = 0; i < reaper->entries->len; i++)
    look (g_ptr_array_index (reaper->entries, i), now_us, next_us);
  for (guint i = reaper->entries->len; i > 0; i--)
    if (((Entry *) g_ptr_array_index (reaper->entries, i - 1))->state == GONE)
      entry_free (g_ptr_array_remove_index (reaper->entries, i - 1));
  pthread_cond_broadcast (&reaper->changed);
}

static void *
reaper_main (void *data)
{
  ZmReaper *reaper = data;

  pthread_mutex_lock (&reaper->lock);
  while (!reaper->closing) {
    gint64 next_us = zm_now_us () + (gint64) 60 * 1000000;

    reaper->woken = FALSE;
    sweep (reaper, &next_us);
    wait_until (reaper, next_us);
  }
  pthread_mutex_unlock (&reaper->lock);
  return NULL;
}

/* ---- the door ---- */

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
  reaper->has_thread = zm_thread_create (&reaper->thread, "zm-reaper", reaper_main, reaper) == 0;
  return reaper;
}

ZmReaper *
zm_reaper_ref (ZmReaper *reaper)
{
  atomic_fetch_add (&reaper->references, 1);
  return reaper;
}

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

static void
add_entry (ZmReaper *reaper, ZmGeneration *generation, State state, const char *why)
{
  Entry *entry = g_new0 (Entry, 1);

  entry->reaper = zm_reaper_ref (reaper);
  entry->generation = generation;
  entry->label = g_strdup_printf ("%s generation %u", generation->name, generation->number);
  entry->state = state;
  entry->kept = g_strdup (why);
  entry->drain_due_us = zm_now_us () + (gint64) reaper->drain_ms * 1000;
  pthread_mutex_lock (&reaper->lock);
  g_ptr_array_add (reaper->entries, entry);
  wake_locked (reaper);
  pthread_mutex_unlock (&reaper->lock);
}

void
zm_reaper_take (ZmReaper *reaper, ZmGeneration *generation)
{
  add_entry (reaper, generation, WAITING, NULL);
}

void
zm_reaper_keep (ZmReaper *reaper, ZmGeneration *generation, const char *why)
{
  add_entry (reaper, generation, KEPT, why);
}

/* Is anything left that may still come to an end by itself? With the lock held. */
static gboolean
busy (const ZmReaper *reaper)
{
  for (guint i = 0; i < reaper->entries->len; i++)
    if (((Entry *) g_ptr_array_index (reaper->entries, i))->state != KEPT)
      return TRUE;
  return FALSE;
}

static gboolean
has_entry (const ZmReaper *reaper, const ZmGeneration *generation)
{
  for (guint i = 0; i < reaper->entries->len; i++) {
    const Entry *entry = g_ptr_array_index (reaper->entries, i);

    if (entry->generation == generation)
      return TRUE;
  }
  return FALSE;
}

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

gboolean
zm_reaper_close (ZmReaper *reaper, guint timeout_ms)
{
  gint64 until_us = zm_now_us () + (gint64) timeout_ms * 1000;
  gboolean in_time = TRUE;
  gboolean empty;

  pthread_mutex_lock (&reaper->lock);
  while (busy (reaper) && in_time && reaper->has_thread)
    in_time = zm_cond_wait_until (&reaper->changed, &reaper->lock, until_us);
  empty = reaper->entries->len == 0;
  reaper->closing = TRUE;
  reaper->metrics = NULL; /* the caller's, who goes on to free it */
  wake_locked (reaper);
  pthread_mutex_unlock (&reaper->lock);
  if (reaper->has_thread)
    pthread_join (reaper->thread, NULL);
  reaper->has_thread = FALSE;
  return empty;
}

char **
zm_reaper_held (ZmReaper *reaper)
{
  GPtrArray *out = g_ptr_array_new ();

  pthread_mutex_lock (&reaper->lock);
  for (guint i = 0; i < reaper->entries->len; i++) {
    Entry *entry = g_ptr_array_index (reaper->entries, i);
    g_autofree char *who = NULL;

    /* A fini that runs its normal course holds nothing. */
    if (entry->state == GONE || (entry->state == FINISHING && !entry->hangs))
      continue;
    who = held_by (entry);
    if (who[0] != '\0')
      g_ptr_array_add (out, g_strdup_printf ("%s: held by %s", entry->label, who));
  }
  pthread_mutex_unlock (&reaper->lock);
  g_ptr_array_add (out, NULL);
  return (char **) g_ptr_array_free (out, FALSE);
}

void
zm_reaper_each (ZmReaper *reaper, void (*func) (ZmGeneration *generation, gpointer user), gpointer user)
{
  pthread_mutex_lock (&reaper->lock);
  for (guint i = 0; i < reaper->entries->len; i++) {
    Entry *entry = g_ptr_array_index (reaper->entries, i);

    if (entry->state != GONE && entry->state != FINISHING)
      func (entry->generation, user);
  }
  pthread_mutex_unlock (&reaper->lock);
}
