/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Plugins' timers: each fires as a call in a worker, through its plugin's strand, so that plugins need no threads. */
#include "worker/internal.h"

#include <string.h>

#define TIMERS_MOST        1024 /* in the daemon */
#define PLUGIN_TIMERS_MOST 256  /* of one generation, so that none takes all */

struct ZmPluginTimer {
  guint64 ticket;  /* first: key of the hash table */
  atomic_int refs; /* the table, and a call that runs */
  ZmPool *pool;
  ZmTimer timer;
  ZmAction action; /* not of the generation's list: any function of the plugin */
  char *name;
  char *context;
  gint64 period_us;
  gint64 due_us;
  atomic_int running;
  atomic_int stopped;
};

/* Also from a call that runs while the timer is stopped: the last one frees it, and lets its plugin go. */
static void
timer_unref (ZmPluginTimer *timer)
{
  if (atomic_fetch_sub (&timer->refs, 1) != 1)
    return;
  zm_generation_unref (timer->action.generation, "timer");
  g_free (timer->name);
  g_free (timer->context);
  g_free (timer);
}

/* A message as any, so that the result of a timer is published under a key that tells whose it is. */
static ZmMessage *
timer_message (ZmPluginTimer *timer)
{
  ZmKey key = { .sender = ZM_SPAN_LITERAL ("Timer"),
                .context = zm_span_text (timer->context),
                .action = zm_span_text (timer->name) };
  ZmUuidMaker ids;
  char id[ZM_UUID_SIZE];
  zm_uuid_maker_init (&ids);
  zm_uuid_make (&ids, zm_wall_us (), id);
  ZmMessage *message =
      zm_message_new (zm_span (NULL, 0), &key, zm_span (id, sizeof id), zm_span (NULL, 0), zm_span (NULL, 0));
  message->origin = ZM_ORIGIN_TIMER;
  return message;
}

/* In the timers' thread, which must not wait: the call is queued. One that still runs is not begun a second time;
 * that is counted as overrun. */
static void
fires (ZmTimer *entry, gpointer user)
{
  ZmPluginTimer *timer = user;
  ZmPool *pool = timer->pool;
  if (atomic_load (&timer->stopped))
    return;
  if (atomic_exchange (&timer->running, 1)) {
    zm_counter_add (pool->c_overrun, 1);
  } else {
    atomic_fetch_add (&timer->refs, 1);
    ZmRun *run = zm_run_new (pool, NULL);
    run->event = ZM_EVENT_TIMER;
    run->message = timer_message (timer);
    run->key = run->message->topic.key;
    run->plugin_timer = timer;
    run->action = &timer->action;
    run->timeout_us = 30 * G_USEC_PER_SEC;
    zm_pool_inside (pool, 1);
    zm_queue_run (pool, run);
  }
  if (!timer->period_us)
    return;
  /* In step with the first time; what a long stop made overdue is left out. */
  gint64 now_us = zm_now_us ();
  timer->due_us += timer->period_us;
  if (timer->due_us <= now_us)
    timer->due_us = now_us + timer->period_us;
  zm_timers_arm (pool->config.timers, entry, timer->due_us);
}

/* Out of the table; FALSE: somebody else took it out already. Who takes it out lets go of the table's reference. */
static gboolean
take_out (ZmPool *pool, ZmPluginTimer *timer)
{
  pthread_mutex_lock (&pool->timers_lock);
  gboolean there = g_hash_table_remove (pool->plugin_timers, &timer->ticket);
  pthread_mutex_unlock (&pool->timers_lock);
  return there;
}

/* The call is over; the timer may fire again, unless it was for once. */
void
zm_plugin_timer_ended (ZmRun *run)
{
  ZmPluginTimer *timer = g_steal_pointer (&run->plugin_timer);
  atomic_store (&timer->running, 0);
  run->action = NULL;
  if (!timer->period_us && take_out (run->pool, timer)) {
    /* The callback that fired it may not have returned yet. */
    zm_timers_cancel (run->pool->config.timers, &timer->timer, TRUE);
    timer_unref (timer);
  }
  timer_unref (timer);
}

/* Why this plugin may have no further timer, or NULL. Under the lock. */
static const char *
no_room (ZmPool *pool, ZmGeneration *generation)
{
  GHashTableIter iter;
  gpointer value;
  guint own = 0;
  if (g_hash_table_size (pool->plugin_timers) >= TIMERS_MOST)
    return "all plugins together have " G_STRINGIFY (TIMERS_MOST) ", which is the limit";
  g_hash_table_iter_init (&iter, pool->plugin_timers);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    own += ((ZmPluginTimer *) value)->action.generation == generation;
  return own >= PLUGIN_TIMERS_MOST
             ? "it has " G_STRINGIFY (PLUGIN_TIMERS_MOST) ", which is the limit; stop one first"
             : NULL;
}

/* Any thread, also before the plugin's start has returned. The action is any function of the plugin, so it has a
 * ZmAction of its own here, which lives as long as the timer. */
zm_ticket
zm_pool_timer_start (ZmPool *pool, ZmGeneration *generation, const char *name, zm_action_fn action,
                     guint first_ms, guint period_ms)
{
  if (!action || !name || !zm_name_check (zm_span_text (name), NULL, NULL))
    return 0;
  ZmPluginTimer *timer = g_new0 (ZmPluginTimer, 1);
  atomic_init (&timer->refs, 1);
  timer->pool = pool;
  timer->name = g_strdup (name);
  timer->context = g_strdelimit (g_strdup (zm_generation_plugin (generation)), ".", '-');
  timer->action.generation = zm_generation_ref (generation, "timer");
  timer->action.fn = action;
  timer->action.plugin = zm_generation_plugin (generation);
  timer->action.symbol = timer->name;
  timer->action.threadsafe = (zm_generation_flags (generation) & ZM_PLUGIN_THREADSAFE) != 0;
  timer->period_us = (gint64) period_ms * 1000;
  timer->timer.func = fires;
  timer->timer.user = timer;
  timer->due_us = zm_now_us () + (gint64) first_ms * 1000;
  pthread_mutex_lock (&pool->timers_lock);
  /* Marked as retired before its timers are stopped: one that came after that would never be. */
  const char *full = no_room (pool, generation);
  if (!full && !pool->timers_closed && !zm_generation_retired (generation)) {
    timer->ticket = ++pool->next_timer;
    g_hash_table_insert (pool->plugin_timers, &timer->ticket, timer);
    /* Armed under the lock: who stops it finds it armed. */
    zm_timers_arm (pool->config.timers, &timer->timer, timer->due_us);
  }
  guint64 ticket = timer->ticket;
  pthread_mutex_unlock (&pool->timers_lock);
  if (full)
    zm_log_limited (pool->config.log, ZM_LEVEL_WARNING, "worker", "timers",
                    "plugin %s: a timer was not started: %s", timer->action.plugin, full);
  if (!ticket)
    timer_unref (timer);
  return ticket;
}

/* Out of the table already: ends it. When this returns it fires no more; a call that was begun goes on. */
static void
stop (ZmPool *pool, ZmPluginTimer *timer)
{
  atomic_store (&timer->stopped, 1);
  zm_timers_cancel (pool->config.timers, &timer->timer, TRUE);
  timer_unref (timer);
}

/* A ticket of another plugin is none: plugins cannot stop each other's timers. */
int
zm_pool_timer_stop (ZmPool *pool, ZmGeneration *generation, zm_ticket ticket)
{
  guint64 key = ticket;
  pthread_mutex_lock (&pool->timers_lock);
  ZmPluginTimer *timer = g_hash_table_lookup (pool->plugin_timers, &key);
  if (timer && timer->action.generation == generation)
    g_hash_table_remove (pool->plugin_timers, &key);
  else
    timer = NULL;
  pthread_mutex_unlock (&pool->timers_lock);
  if (!timer)
    return ZM_E_NOT_FOUND;
  stop (pool, timer);
  return ZM_OK;
}

/* One by one, as ending a timer waits for its callback, which takes the lock. NULL: those of all, and none can be
 * started any more. */
void
zm_plugin_timers_stop (ZmPool *pool, ZmGeneration *generation)
{
  if (!generation) {
    pthread_mutex_lock (&pool->timers_lock);
    pool->timers_closed = TRUE;
    pthread_mutex_unlock (&pool->timers_lock);
  }
  for (;;) {
    GHashTableIter iter;
    gpointer value;
    ZmPluginTimer *found = NULL;
    pthread_mutex_lock (&pool->timers_lock);
    g_hash_table_iter_init (&iter, pool->plugin_timers);
    while (!found && g_hash_table_iter_next (&iter, NULL, &value))
      if (!generation || ((ZmPluginTimer *) value)->action.generation == generation) {
        found = value;
        g_hash_table_iter_remove (&iter);
      }
    pthread_mutex_unlock (&pool->timers_lock);
    if (!found)
      return;
    stop (pool, found);
  }
}
