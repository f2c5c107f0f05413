/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The reaper's thread: what it does for each generation on its way out. stop and fini run in threads of their own, so that one
 * which hangs delays nobody.
 */
#include "config.h"

#include "plugin/reaper.h"

#define STOP_GRACE_MS 1000 /* beyond the deadline that stop was given, before it is said to hang */

/* The register is the caller's of zm_reaper_close, who goes on to free it: not there any more after that. */
static void
count (ZmReaper *reaper, const char *name, const char *help)
{
  if (reaper->metrics != NULL)
    zm_counter_add (zm_metrics_counter (reaper->metrics, name, help, NULL, NULL), 1);
}

static void
entry_free (gpointer data)
{
  ZmReaperEntry *entry = data;

  g_free (entry->kept);
  g_free (entry->label);
  zm_reaper_unref (entry->reaper);
  g_free (entry);
}

/* From the job's own thread, when it is done: the entry is the reaper's again. */
static void
set_state (ZmReaperEntry *entry, ZmReaperState state)
{
  pthread_mutex_lock (&entry->reaper->lock);
  entry->state = state;
  zm_reaper_wake_locked (entry->reaper);
  pthread_mutex_unlock (&entry->reaper->lock);
}

/* ---- the two jobs, each in a thread of its own; until its state changes the entry is theirs ---- */

/* Foreign code, without the lock: the entry is this thread's until stop_done. */
static void
stop_job (gpointer data)
{
  ZmReaperEntry *entry = data;

  zm_step_enter (entry->generation, "stop");
  entry->threads_ended = zm_generation_stop (entry->generation, entry->reaper->drain_ms);
}

static void
stop_done (gpointer data)
{
  set_state (data, ZM_REAPER_STOPPED);
}

/* fini and dlclose. Where the library must stay, kept gets the reason; else the generation is freed. */
static void
finish_job (gpointer data)
{
  ZmReaperEntry *entry = data;

  zm_step_enter (entry->generation, "fini and unloading");
  zm_generation_finalise (entry->generation, &entry->kept);
}

/* The entry may be freed as soon as the state is GONE and the lock is let go: so the reaper is held by a reference of
 * its own. */
static void
finish_done (gpointer data)
{
  ZmReaperEntry *entry = data;
  ZmReaper *reaper = zm_reaper_ref (entry->reaper);

  pthread_mutex_lock (&reaper->lock);
  if (entry->kept == NULL)
    entry->generation = NULL;
  entry->state = entry->kept != NULL ? ZM_REAPER_KEPT : ZM_REAPER_GONE;
  zm_reaper_wake_locked (reaper);
  pthread_mutex_unlock (&reaper->lock);
  zm_reaper_unref (reaper);
}

/* ---- the thread ---- */

/* Does another one that is not stopped yet depend on this one? One that hangs does not count: nobody waits for ever. */
static gboolean
needed (const ZmReaper *reaper, const ZmReaperEntry *entry)
{
  for (guint i = 0; i < reaper->entries->len; i++) {
    const ZmReaperEntry *other = g_ptr_array_index (reaper->entries, i);

    if (other->state <= ZM_REAPER_STOPPING && !other->hangs && other != entry &&
        g_strv_contains ((const char *const *) other->generation->manifest->depends, entry->generation->name))
      return TRUE;
  }
  return FALSE;
}

/* With the lock held, which is let go meanwhile. The state says that the entry is the job's before anybody else can
 * look. */
static void
begin (ZmReaperEntry *entry, ZmReaperState state, ZmGuardFunc job, ZmGuardFunc done)
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

/* Reads the generation, so not while its fini runs, which may free it. */
char *
zm_reaper_held_by (const ZmReaperEntry *entry)
{
  g_autofree char *holders = NULL;

  if (entry->kept != NULL)
    return g_strdup (entry->kept);
  /* While fini runs the generation is that thread's alone, and may be gone. */
  if (entry->state == ZM_REAPER_FINISHING)
    return g_strdup ("its fini, which has not ended");
  holders = zm_generation_holders (entry->generation);
  if (entry->state == ZM_REAPER_STOPPING)
    return g_strconcat ("its stop, which has not ended", holders[0] != '\0' ? ", " : NULL, holders, NULL);
  return g_steal_pointer (&holders);
}

/* Once. It is not an end: should it come back, all goes on. */
static void
say_hangs (ZmReaperEntry *entry)
{
  ZmReaper *reaper = entry->reaper;

  entry->hangs = TRUE;
  count (reaper, "zmanager_plugin_stuck_total", "stop or fini of a plugin that did not end in time");
  zm_log_write (reaper->log, ZM_LEVEL_WARNING, "plugin",
                "%s: its %s does not end; it stays loaded until then", entry->label,
                entry->state == ZM_REAPER_FINISHING ? "fini" : "stop");
}

/* Once, when the drain budget is over: from then on somebody may want to know. */
static void
say_held (ZmReaperEntry *entry)
{
  g_autofree char *who = zm_reaper_held_by (entry);

  entry->reported = TRUE;
  count (entry->reaper, "zmanager_plugin_held_total", "old generations still in use after the drain budget");
  zm_log_write (entry->reaper->log, ZM_LEVEL_WARNING, "plugin", "%s stays loaded: held by %s", entry->label,
                who);
}

/* A thread of the plugin's that did not end in time may end later: that counts as a reference. */
static gboolean
unused (const ZmReaperEntry *entry)
{
  return atomic_load (&entry->generation->references) == 0 &&
         zm_threads_running (entry->generation->threads) == 0;
}

/* One look at one entry; *next_us comes down to when the next look is due. */
static void
look (ZmReaperEntry *entry, gint64 now_us, gint64 *next_us)
{
  if (entry->state == ZM_REAPER_WAITING && !needed (entry->reaper, entry))
    begin (entry, ZM_REAPER_STOPPING, stop_job, stop_done);
  else if (entry->state == ZM_REAPER_STOPPED && unused (entry))
    begin (entry, ZM_REAPER_FINISHING, finish_job, finish_done);
  if ((entry->state == ZM_REAPER_STOPPING || entry->state == ZM_REAPER_FINISHING) && !entry->hangs) {
    if (now_us >= entry->stop_due_us)
      say_hangs (entry);
    else
      *next_us = MIN (*next_us, entry->stop_due_us);
  }
  /* Nobody tells when a late thread ends. */
  if (entry->state == ZM_REAPER_STOPPED && !entry->threads_ended)
    *next_us = MIN (*next_us, now_us + 250 * 1000);
  if (entry->reported || entry->state == ZM_REAPER_FINISHING || entry->state == ZM_REAPER_GONE)
    return;
  if (now_us >= entry->drain_due_us || entry->state == ZM_REAPER_KEPT)
    say_held (entry);
  else
    *next_us = MIN (*next_us, entry->drain_due_us);
}

/* With the lock held. `woken` is what counts: a wake between the look and the wait is not lost. */
static void
wait_until (ZmReaper *reaper, gint64 until_us)
{
  gboolean in_time = TRUE;

  while (!reaper->woken && in_time)
    in_time = zm_cond_wait_until (&reaper->changed, &reaper->lock, until_us);
}

/* Two rounds, as the first may let the lock go (begin), and only then is it known who is gone. */
static void
sweep (ZmReaper *reaper, gint64 *next_us)
{
  gint64 now_us = zm_now_us ();

  for (guint i = 0; i < reaper->entries->len; i++)
    look (g_ptr_array_index (reaper->entries, i), now_us, next_us);
  for (guint i = reaper->entries->len; i > 0; i--)
    if (((ZmReaperEntry *) g_ptr_array_index (reaper->entries, i - 1))->state == ZM_REAPER_GONE)
      entry_free (g_ptr_array_remove_index (reaper->entries, i - 1));
  pthread_cond_broadcast (&reaper->changed);
}

/* Looks at all entries whenever something changed, and when the next deadline is due; once a minute in any case. */
void *
zm_reaper_main (void *user)
{
  ZmReaper *reaper = user;

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
