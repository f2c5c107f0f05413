/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ends all calls of a plugin, or of all: at the end of the daemon. Asked by any thread, done by the room's own. */
#include "config.h"

#include "hosts/hosts-private.h"

static guint
cancel_carried (ZmCarried *carried, const char *code, const char *text, ZmArrivals *arrivals)
{
  guint n = 0;

  for (ZmHostCall *call = zm_carried_take_all (carried), *next; call != NULL; call = next, n++) {
    next = call->next;
    zm_call_fail (call, code, "%s", text);
    zm_arrivals_add (arrivals, call);
  }
  zm_carried_less (carried, n);
  return n;
}

static guint
cancel_host (ZmHost *host, const ZmCarried *carried, const char *code, const char *text, gint64 now_us,
             ZmArrivals *arrivals)
{
  guint n = 0;

  for (guint i = 0; host->page != NULL && i < ZM_PAGE_SLOTS; i++)
    if (host->slots[i].call != NULL && host->slots[i].carried == carried) {
      ZmHostCall *call = zm_call_detach (host, i, now_us);

      zm_call_fail (call, code, "%s", text);
      zm_arrivals_add (arrivals, call);
      n++;
    }
  for (ZmHostCall *call = host->deferred, *next; call != NULL; call = next) {
    next = call->next;
    if (call->carried != carried)
      continue;
    call->due_us = 0;
    zm_deferred_remove (host, call);
    zm_carried_less (call->carried, 1);
    zm_call_fail (call, code, "%s", text);
    zm_arrivals_add (arrivals, call);
    n++;
  }
  return n;
}

void
zm_hosts_cancel_asked (ZmHosts *hosts, gint64 now_us, ZmArrivals *arrivals)
{
  for (guint i = 0; i < hosts->carrieds->len; i++) {
    ZmCarried *carried = g_ptr_array_index (hosts->carrieds, i);

    if (hosts->cancel_generation != NULL && hosts->cancel_generation != carried->generation)
      continue;
    for (guint j = 0; j < carried->n_seats; j++)
      zm_calls_back (hosts, zm_host_take_back (g_ptr_array_index (carried->group->list, j), carried, FALSE));
    hosts->cancelled += cancel_carried (carried, hosts->cancel_code, hosts->cancel_text, arrivals);
    for (guint j = 0; j < carried->n_seats; j++)
      hosts->cancelled += cancel_host (g_ptr_array_index (carried->group->list, j), carried,
                                       hosts->cancel_code, hosts->cancel_text, now_us, arrivals);
  }
}

/* After they were told: who asked for it may count on that. */
void
zm_hosts_cancel_done (ZmHosts *hosts)
{
  pthread_mutex_lock (&hosts->lock);
  hosts->cancel_asked = FALSE;
  pthread_cond_broadcast (&hosts->changed);
  pthread_mutex_unlock (&hosts->lock);
}

guint
zm_hosts_cancel_all (ZmHosts *hosts, ZmGeneration *generation, const char *code, const char *text)
{
  guint n;

  if (hosts == NULL)
    return 0;
  pthread_mutex_lock (&hosts->lock);
  while (hosts->cancel_asked)
    pthread_cond_wait (&hosts->changed, &hosts->lock);
  hosts->cancel_asked = TRUE;
  hosts->cancel_generation = generation;
  hosts->cancel_code = code;
  hosts->cancel_text = text;
  hosts->cancelled = 0;
  zm_hosts_wake (hosts);
  while (hosts->cancel_asked)
    pthread_cond_wait (&hosts->changed, &hosts->lock);
  n = hosts->cancelled;
  pthread_mutex_unlock (&hosts->lock);
  return n;
}
