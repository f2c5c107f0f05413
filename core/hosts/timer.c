/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Timers of plugins in hosts: kept by the daemon, whose workers call them; the function is known to the host alone. In the
 * hosts' thread, without the lock.
 */
#include "config.h"

#include "hosts/hosts-private.h"

#define TIMERS_MOST 4096 /* of one host: a plugin may have 256 */

ZmHostTimer *
zm_hosts_timer (ZmHosts *hosts, guint64 handle)
{
  return g_hash_table_lookup (hosts->timers, &handle);
}

static void
end_timer (ZmHost *host, ZmHostTimer *timer)
{
  ZmHosts *hosts = host->hosts;
  const zm_host *table = zm_generation_host (timer->generation);

  if (timer->ticket != 0 && table->timer_stop != NULL)
    table->timer_stop (table, timer->ticket);
  g_hash_table_remove (host->timers, &timer->id);
  pthread_mutex_lock (&hosts->lock);
  g_hash_table_remove (hosts->timers, &timer->handle); /* frees it */
  pthread_mutex_unlock (&hosts->lock);
}

void
zm_host_take_timer (ZmHost *host, const ZmRecord *record)
{
  ZmHosts *hosts = host->hosts;
  ZmGeneration *generation = zm_host_generation (host, record->numbers[0]);
  g_autofree char *name = zm_record_text (record, 0);
  const zm_host *table;
  ZmHostTimer *timer;
  zm_ticket ticket;

  if (generation == NULL || name == NULL || g_hash_table_contains (host->timers, &record->id) ||
      g_hash_table_size (host->timers) >= TIMERS_MOST)
    return;
  table = zm_generation_host (generation);
  timer = g_new0 (ZmHostTimer, 1);
  *timer = (ZmHostTimer){ .host = host,
                          .id = record->id,
                          .function = record->numbers[1],
                          .generation = generation,
                          .once = record->numbers[3] == 0 };
  pthread_mutex_lock (&hosts->lock);
  timer->handle = ++hosts->next_timer;
  g_hash_table_insert (hosts->timers, &timer->handle, timer);
  pthread_mutex_unlock (&hosts->lock);
  g_hash_table_insert (host->timers, &timer->id, timer);
  ticket = table->timer_start != NULL
               ? table->timer_start (table, name, (zm_action_fn) (guintptr) timer->handle,
                                     (unsigned) MIN (record->numbers[2], G_MAXUINT),
                                     (unsigned) MIN (record->numbers[3], G_MAXUINT))
               : 0;
  timer->ticket = ticket;
  if (ticket == 0) {
    zm_log_limited (hosts->config.log, ZM_LEVEL_WARNING, "host", "timer",
                    "host %s: plugin %s could not start a timer", host->name,
                    zm_generation_name (generation));
    end_timer (host, timer);
  }
}

void
zm_host_take_untimer (ZmHost *host, const ZmRecord *record)
{
  ZmHostTimer *timer = g_hash_table_lookup (host->timers, &record->id);

  if (timer != NULL)
    end_timer (host, timer);
}

/* Those that were for once and have fired: neither the pool nor the host knows them any more. The worker that fires one says so
 * under the lock. */
void
zm_host_drop_fired (ZmHost *host)
{
  g_autoptr (GList) timers = g_hash_table_get_values (host->timers);
  g_autoptr (GPtrArray) fired = g_ptr_array_new ();

  pthread_mutex_lock (&host->hosts->lock);
  for (GList *at = timers; at != NULL; at = at->next)
    if (((const ZmHostTimer *) at->data)->fired)
      g_ptr_array_add (fired, at->data);
  pthread_mutex_unlock (&host->hosts->lock);
  for (guint i = 0; i < fired->len; i++)
    end_timer (host, fired->pdata[i]);
}

/* Of a generation that is being closed, before it is gone. */
void
zm_host_drop_timers (ZmHost *host, const ZmGeneration *generation)
{
  g_autoptr (GList) timers = g_hash_table_get_values (host->timers);

  for (GList *at = timers; at != NULL; at = at->next) {
    ZmHostTimer *timer = at->data;

    if (generation == NULL || timer->generation == generation)
      end_timer (host, timer);
  }
}
