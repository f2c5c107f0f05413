/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the thread looks at each tick: deadlines of calls, hosts that do not come up, do not end or grow too large, calls that
 * are queued behind a slow one though another host could take them.
 */
#include "config.h"

#include "hosts/hosts-private.h"

#include <string.h>

#define SCAN_US    (50 * 1000) /* between two looks at what waits, which may be much */
#define MEASURE_US G_USEC_PER_SEC

/* ---- started calls ---- */

gint64
zm_call_due (const ZmHostCall *call, gint64 began_us)
{
  gint64 due_us = began_us + call->timeout_us;

  return call->deadline_us > 0 ? MIN (due_us, call->deadline_us) : due_us;
}

/* What the page says is taken once: a plugin may write over it. It did not begin before the last look, which did not see it, nor
 * in time to come. */
gint64
zm_slot_began (ZmHost *host, guint place, gint64 now_us)
{
  ZmHostSlot *slot = &host->slots[place];
  gint64 least_us = MIN (host->hosts->looked_us, now_us);

  if (slot->began_us == 0)
    slot->began_us = CLAMP (atomic_load (&host->page->slots[place].began_us), least_us, now_us);
  return slot->began_us;
}

/* Nobody waits for it any more; its code goes on in the slot until it comes back, or is killed. */
ZmHostCall *
zm_call_detach (ZmHost *host, guint place, gint64 now_us)
{
  ZmHostSlot *slot = &host->slots[place];
  ZmHostCall *call = g_steal_pointer (&slot->call);

  host->bytes -= slot->bytes; /* small beside what it holds up already */
  slot->bytes = 0;
  slot->symbol = g_strdup (call->symbol);
  slot->id = g_strndup (call->call->id.data, call->call->id.size);
  slot->key = zm_dead_key (call->call);
  slot->kept = zm_generation_ref (slot->carried->generation, "hung call");
  slot->gone_us = now_us;
  slot->carried->hung++;
  atomic_store (&host->page->slots[place].cancelled, 1);
  return call;
}

static void
give_up (ZmHost *host, guint place, gint64 now_us, ZmArrivals *arrivals)
{
  ZmHosts *hosts = host->hosts;
  ZmHostCall *call = zm_call_detach (host, place, now_us);

  zm_counter_add (hosts->c_timeouts, 1);
  zm_log_limited (hosts->config.log, ZM_LEVEL_ERROR, "host", "hung",
                  "%s.%s hangs in host %s past its deadline; its caller gets an error",
                  zm_generation_name (call->carried->generation), call->symbol, host->name);
  zm_call_fail (call, "timeout", "the action did not return before its deadline");
  zm_arrivals_add (arrivals, call);
  pthread_cond_broadcast (&hosts->changed); /* nobody waits for room behind it */
}

/* Past its hard deadline too: only the end of its process ends it. */
static void
end_hung (ZmHost *host, const ZmHostSlot *slot, gint64 now_us)
{
  if (host->killed != NULL || host->hung != NULL)
    return;
  host->guilty = slot->carried;
  host->guilty_symbol = g_strdup (slot->symbol);
  host->guilty_id = g_strdup (slot->id);
  zm_host_hangs (host,
                 g_strdup_printf ("%s.%s did not return within %" G_GINT64_FORMAT " ms after its deadline",
                                  zm_generation_name (slot->carried->generation), slot->symbol,
                                  (now_us - slot->gone_us) / 1000));
}

/* Its message's own deadline is over before it began. */
static void
end_queued (ZmHost *host, guint place, ZmArrivals *arrivals)
{
  ZmHostSlot *slot = &host->slots[place];
  ZmHostCall *call = slot->call;
  ZmCarried *carried = slot->carried;
  unsigned long long word = zm_page_word (slot->serial, ZM_SLOT_IS_QUEUED);

  if (!atomic_compare_exchange_strong (&host->page->slots[place].word, &word, 0))
    return;
  zm_slot_free (host, place);
  zm_carried_less (carried, 1);
  zm_counter_add (host->hosts->c_timeouts, 1);
  zm_call_fail (call, "timeout", "the deadline passed before plugin %s began with it",
                zm_generation_name (carried->generation));
  zm_arrivals_add (arrivals, call);
}

/* Its slots say what neither the daemon nor the host's own code makes of them: of no call is it known any more whether it has
 * begun. In a host of its own it can only have been the one plugin. */
static void
end_insane (ZmHost *host, const ZmHostSlot *slot)
{
  if (host->killed != NULL)
    return;
  if (!host->group->shared)
    host->guilty = slot->carried;
  zm_host_kill (host, g_strdup ("it wrote over the memory that it shares with the daemon"));
}

static void
look_at_slot (ZmHost *host, guint place, gint64 now_us, ZmArrivals *arrivals)
{
  ZmHostSlot *slot = &host->slots[place];
  unsigned long long word = atomic_load (&host->page->slots[place].word);
  gboolean started = word == zm_page_word (slot->serial, ZM_SLOT_IS_STARTED);

  if (!started && (word != zm_page_word (slot->serial, ZM_SLOT_IS_QUEUED) || slot->began_us != 0)) {
    end_insane (host, slot);
  } else if (slot->call == NULL) {
    if (now_us > slot->gone_us + host->hosts->config.hard_after_us)
      end_hung (host, slot, now_us);
  } else if (started) {
    gint64 began_us = zm_slot_began (host, place, now_us);

    if (now_us - began_us > ZM_HOST_TICK_US)
      slot->carried->seats[host->index].slow = TRUE;
    if (now_us > zm_call_due (slot->call, began_us))
      give_up (host, place, now_us, arrivals);
  } else if (slot->call->deadline_us > 0 && now_us > slot->call->deadline_us) {
    end_queued (host, place, arrivals);
  }
}

/* Those queued behind a slow call go where another host has time. */
static void
spread (ZmHost *host)
{
  for (guint i = 0; i < host->group->members->len; i++) {
    ZmCarried *member = g_ptr_array_index (host->group->members, i);
    const ZmSeat *seat = zm_seat_of (host, member);

    if (seat == NULL || !seat->slow || member->n_seats < 2 || seat->calls <= member->threads)
      continue;
    zm_calls_back (host->hosts, zm_host_take_back (host, member, TRUE));
    zm_carried_pump (member);
  }
}

static void
look_at_calls (ZmHost *host, gint64 now_us, ZmArrivals *arrivals)
{
  for (guint i = 0; i < host->group->members->len; i++) {
    ZmSeat *seat = zm_seat_of (host, g_ptr_array_index (host->group->members, i));

    if (seat != NULL)
      seat->slow = FALSE;
  }
  for (guint i = 0; host->n_free < ZM_PAGE_SLOTS && i < ZM_PAGE_SLOTS; i++)
    if (host->slots[i].carried != NULL)
      look_at_slot (host, i, now_us, arrivals);
  spread (host);
}

/* ---- what waits ---- */

static void
look_at_deferred (ZmHost *host, gint64 now_us, ZmArrivals *arrivals)
{
  for (ZmHostCall *call = host->deferred, *next; call != NULL; call = next) {
    const ZmRecord cancel = { .kind = ZM_RECORD_CANCEL, .id = call->serial };

    next = call->next;
    if (now_us <= call->due_us)
      continue;
    zm_deferred_remove (host, call);
    zm_carried_less (call->carried, 1);
    zm_host_say (host, &cancel);
    zm_counter_add (host->hosts->c_timeouts, 1);
    zm_call_fail (call, "timeout", "the deferred call was not completed before its deadline");
    zm_arrivals_add (arrivals, call);
  }
}

/* Of a timer: the process that has its function is another one by now. */
static gboolean
lost_its_home (const ZmCarried *carried, const ZmHostCall *call)
{
  if (call->home == 0)
    return FALSE;
  for (guint i = 0; i < carried->n_seats; i++) {
    const ZmHost *host = g_ptr_array_index (carried->group->list, i);

    if (host->number == call->home && host->life == call->home_life)
      return FALSE;
  }
  return TRUE;
}

static void
look_at_list (ZmCarried *carried, ZmWaiting *list, gint64 now_us, ZmArrivals *arrivals)
{
  ZmHostCall *before = NULL;

  for (ZmHostCall *call = list->head, *next; call != NULL; call = next) {
    gboolean late = call->deadline_us > 0 && now_us > call->deadline_us;

    next = call->next;
    if (!late && !lost_its_home (carried, call)) {
      before = call;
      continue;
    }
    zm_carried_unlink (carried, list, before, call);
    zm_carried_less (carried, 1);
    if (late) {
      zm_counter_add (carried->hosts->c_timeouts, 1);
      zm_call_fail (call, "timeout", "the deadline passed before plugin %s could take it",
                    zm_generation_name (carried->generation));
    } else {
      zm_call_fail (call, "unavailable", "the host that started this timer has ended");
    }
    zm_arrivals_add (arrivals, call);
  }
}

static void
look_at_waiting (ZmCarried *carried, gint64 now_us, ZmArrivals *arrivals)
{
  for (guint i = 0; i < zm_carried_n_lists (carried); i++)
    look_at_list (carried, &carried->lists[i], now_us, arrivals);
}

/* ---- the tick ---- */

static void
look_at_host (ZmHost *host, gint64 now_us, gboolean scan, gboolean measured, ZmArrivals *arrivals)
{
  if (host->child.pid <= 0 || host->dying)
    return;
  if (host->page != NULL)
    look_at_calls (host, now_us, arrivals);
  if (scan)
    look_at_deferred (host, now_us, arrivals);
  if (measured) {
    zm_host_measure (host, now_us);
    zm_host_ask_alive (host, now_us);
  }
  zm_host_tend (host, now_us);
  zm_host_flush_locked (host);
}

/* Those replaced of which no call runs any more, with their references. Under the lock. */
static void
look_at_retired (ZmCarried *carried, GPtrArray *idle)
{
  if (carried->retired != NULL && !zm_carried_runs (carried))
    g_ptr_array_add (idle, g_steal_pointer (&carried->retired));
}

static void
tell_idle (ZmHosts *hosts, GPtrArray *idle)
{
  for (guint i = 0; i < idle->len; i++) {
    ZmGeneration *generation = g_ptr_array_index (idle, i);

    hosts->config.idle (generation, hosts->config.user);
    zm_generation_unref (generation, "hosted call");
  }
}

void
zm_hosts_look (ZmHosts *hosts, gint64 now_us)
{
  ZmArrivals arrivals = { NULL, NULL };
  gboolean scan = now_us - hosts->scanned_us >= SCAN_US, measured = now_us - hosts->measured_us >= MEASURE_US;
  g_autoptr (GPtrArray) idle = g_ptr_array_new ();
  gboolean busy = FALSE, cancelled;

  pthread_mutex_lock (&hosts->lock);
  if (now_us - hosts->looked_us < ZM_HOST_TICK_US / 2 && !hosts->cancel_asked) {
    pthread_mutex_unlock (&hosts->lock);
    return;
  }
  cancelled = hosts->cancel_asked;
  if (cancelled)
    zm_hosts_cancel_asked (hosts, now_us, &arrivals);
  for (guint i = 0; i < hosts->groups->len; i++) {
    ZmHostGroup *group = g_ptr_array_index (hosts->groups, i);

    for (guint j = 0; j < group->list->len; j++)
      look_at_host (g_ptr_array_index (group->list, j), now_us, scan, measured, &arrivals);
  }
  for (guint i = 0; i < hosts->carrieds->len; i++) {
    ZmCarried *carried = g_ptr_array_index (hosts->carrieds, i);

    if (carried->quarantine != NULL && carried->waiting > 0)
      zm_carried_end_waiting (carried, &arrivals);
    busy |= carried->outstanding > 0 || carried->retired != NULL;
    if (scan && carried->waiting > 0)
      look_at_waiting (carried, now_us, &arrivals);
    zm_carried_pump (carried);
    look_at_retired (carried, idle);
  }
  hosts->looked_us = now_us;
  if (scan)
    hosts->scanned_us = now_us;
  if (measured)
    hosts->measured_us = now_us;
  hosts->busy = busy;
  pthread_mutex_unlock (&hosts->lock);
  zm_arrivals_tell (hosts, &arrivals);
  tell_idle (hosts, idle);
  if (cancelled)
    zm_hosts_cancel_done (hosts);
}
