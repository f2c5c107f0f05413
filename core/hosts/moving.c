/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Calls that did not start go elsewhere: they are taken back from a host, and from a generation that was replaced they go to
 * the next one, which takes its turn after it.
 */
#include "config.h"

#include "hosts/hosts-private.h"

/* ---- taking back ---- */

/* The host may be about to start it: one of both wins the word. What it has of it then is no more than bytes. */
static gboolean
take_slot_back (ZmHost *host, guint slot)
{
  unsigned long long word = zm_page_word (host->slots[slot].serial, ZM_SLOT_IS_QUEUED);

  return atomic_compare_exchange_strong (&host->page->slots[slot].word, &word, 0);
}

/* The last one that was sent comes first. */
static int
compare_serials (gconstpointer a, gconstpointer b, gpointer user)
{
  const ZmHost *host = user;
  guint64 one = host->slots[*(const guint *) a].serial, other = host->slots[*(const guint *) b].serial;

  return one < other ? 1 : one > other ? -1 : 0;
}

/* From the last one to the first: the host begins those of one order in the order in which they were sent, so that whichever it
 * is quick enough to begin meanwhile, none of them is behind one that was taken back. */
ZmHostCall *
zm_host_take_back (ZmHost *host, ZmCarried *carried, gboolean unordered_only)
{
  ZmHostCall *list = NULL;
  guint slots[ZM_PAGE_SLOTS] = { 0 }, n = 0;

  for (guint i = 0; host->page != NULL && i < ZM_PAGE_SLOTS; i++) {
    const ZmHostCall *call = host->slots[i].call;

    if (call != NULL && (carried == NULL || host->slots[i].carried == carried) &&
        !(unordered_only && (call->order != 0 || call->home != 0)))
      slots[n++] = i;
  }
  g_qsort_with_data (slots, (int) n, sizeof slots[0], compare_serials, host);
  for (guint i = 0; i < n; i++) {
    ZmHostCall *call = host->slots[slots[i]].call;

    if (!take_slot_back (host, slots[i]))
      continue;
    zm_slot_free (host, slots[i]);
    call->next = list;
    list = call;
  }
  return list;
}

/* ---- one generation after another ---- */

void
zm_hosts_succeed (ZmHosts *hosts, ZmGeneration *old, ZmGeneration *next, gint64 until_us)
{
  ZmCarried *before = zm_generation_carried (old), *after = zm_generation_carried (next);

  if (after == NULL || (before == NULL && !after->serial_calls))
    return;
  pthread_mutex_lock (&hosts->lock);
  after->after = before;
  after->held = before == NULL;
  after->after_until_us = until_us;
  pthread_mutex_unlock (&hosts->lock);
}

void
zm_hosts_open (ZmHosts *hosts, ZmGeneration *generation)
{
  ZmCarried *carried = zm_generation_carried (generation);

  if (carried == NULL)
    return;
  pthread_mutex_lock (&hosts->lock);
  carried->held = FALSE;
  zm_carried_pump (carried);
  zm_carried_pump_after (carried);
  zm_hosts_wake (hosts); /* it sends what was pumped */
  pthread_mutex_unlock (&hosts->lock);
}

gboolean
zm_hosts_retire (ZmHosts *hosts, ZmGeneration *generation)
{
  ZmCarried *carried = zm_generation_carried (generation);
  ZmArrivals moved = { NULL, NULL };
  gboolean running;
  guint n = 0;

  if (carried == NULL)
    return FALSE;
  pthread_mutex_lock (&hosts->lock);
  carried->closed = TRUE;
  zm_group_limit (carried->group);
  for (guint i = 0; i < carried->n_seats; i++)
    zm_carried_merge (carried,
                      zm_host_take_back (g_ptr_array_index (carried->group->list, i), carried, FALSE));
  for (ZmHostCall *call = zm_carried_take_all (carried), *next; call != NULL; call = next) {
    next = call->next;
    call->moved = TRUE;
    zm_arrivals_add (&moved, call);
    n++;
  }
  hosts->moving += n;
  zm_carried_less (carried, n);
  zm_carried_pump_after (carried);
  running = carried->serial_calls && zm_carried_runs (carried);
  if (running)
    carried->retired = zm_generation_ref (generation, "hosted call");
  pthread_cond_broadcast (&hosts->changed);
  pthread_mutex_unlock (&hosts->lock);
  zm_arrivals_tell (hosts, &moved);
  return running;
}

/* The last one opens the way for all that wait behind those that were moved. */
void
zm_hosts_arrived (ZmHosts *hosts)
{
  pthread_mutex_lock (&hosts->lock);
  hosts->moving--;
  for (guint i = 0; hosts->moving == 0 && i < hosts->carrieds->len; i++) {
    ZmCarried *carried = g_ptr_array_index (hosts->carrieds, i);

    if (carried->after != NULL)
      zm_carried_pump (carried);
  }
  pthread_mutex_unlock (&hosts->lock);
}
