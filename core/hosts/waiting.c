/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Calls of a plugin that wait for a credit, in the order in which they came. Where several hosts run it, those that have to go
 * to one of them, as they keep an order, have a list for that host: while it is down or busy nobody else waits behind them.
 */
#include "config.h"

#include "hosts/hosts-private.h"

guint
zm_carried_n_lists (const ZmCarried *carried)
{
  return carried->n_seats > 1 ? carried->n_seats + 1 : 1;
}

/* The first list is of those that may go anywhere, and of timers, which may not and are few. */
static ZmWaiting *
list_of (ZmCarried *carried, const ZmHostCall *call)
{
  gboolean ordered = carried->n_seats > 1 && call->order != 0 && call->home == 0;

  return &carried->lists[ordered ? call->order % carried->n_seats + 1 : 0];
}

/* In front of what `at` points to. */
static void
put (ZmCarried *carried, ZmWaiting *list, ZmHostCall **at, ZmHostCall *call)
{
  call->host = NULL;
  call->next = *at;
  *at = call;
  if (call->next == NULL)
    list->tail = call;
  carried->waiting++;
}

void
zm_carried_append (ZmCarried *carried, ZmHostCall *call)
{
  ZmWaiting *list = list_of (carried, call);

  put (carried, list, list->tail != NULL ? &list->tail->next : &list->head, call);
}

/* At the place that it had: the list is in the order of ranks. Moved ones come in that order, mostly; of those that were moved
 * twice some may have been overtaken. */
void
zm_carried_insert_again (ZmCarried *carried, ZmHostCall *call)
{
  ZmWaiting *list = list_of (carried, call);
  gboolean behind = list->last_again != NULL && list->last_again->rank < call->rank;
  ZmHostCall **at = behind ? &list->last_again->next : &list->head;

  while (*at != NULL && (*at)->rank < call->rank)
    at = &(*at)->next;
  put (carried, list, at, call);
  list->last_again = call;
}

void
zm_carried_all_came (ZmCarried *carried)
{
  for (guint i = 0; i < zm_carried_n_lists (carried); i++)
    carried->lists[i].last_again = NULL;
}

void
zm_carried_unlink (ZmCarried *carried, ZmWaiting *list, ZmHostCall *before, ZmHostCall *call)
{
  if (before != NULL)
    before->next = call->next;
  else
    list->head = call->next;
  if (list->tail == call)
    list->tail = before;
  if (list->last_again == call)
    list->last_again = before;
  carried->waiting--;
  call->next = NULL;
}

/* ---- in the order of all lists ---- */

void
zm_carried_rewind (ZmCarried *carried)
{
  for (guint i = 0; i < zm_carried_n_lists (carried); i++) {
    ZmWaiting *list = &carried->lists[i];

    list->at = list->head;
    list->before = NULL;
    list->passed = 0;
  }
}

ZmWaiting *
zm_carried_next (ZmCarried *carried)
{
  ZmWaiting *first = NULL;

  for (guint i = 0; i < zm_carried_n_lists (carried); i++) {
    ZmWaiting *list = &carried->lists[i];

    if (list->at != NULL && (first == NULL || list->at->rank < first->at->rank))
      first = list;
  }
  return first;
}

ZmHostCall *
zm_carried_take_all (ZmCarried *carried)
{
  ZmHostCall *all = NULL, **end = &all;
  ZmWaiting *list;

  zm_carried_rewind (carried);
  while ((list = zm_carried_next (carried)) != NULL) {
    *end = list->at;
    end = &list->at->next;
    list->at = list->at->next;
  }
  for (guint i = 0; i < zm_carried_n_lists (carried); i++)
    carried->lists[i] = (ZmWaiting){ 0 };
  carried->waiting = 0;
  return all;
}

/* The lists are in the order of ranks, and so are these mostly: one that had to wait was sent after some that came later. */
void
zm_carried_merge (ZmCarried *carried, ZmHostCall *calls)
{
  ZmWaiting *last = NULL;
  ZmHostCall **at = NULL;
  guint64 rank = 0;

  zm_carried_all_came (carried);
  while (calls != NULL) {
    ZmHostCall *call = calls;
    ZmWaiting *list = list_of (carried, call);

    if (list != last || call->rank < rank)
      at = &list->head;
    last = list;
    rank = call->rank;
    while (*at != NULL && (*at)->rank < call->rank)
      at = &(*at)->next;
    calls = call->next;
    put (carried, list, at, call);
    at = &call->next;
  }
}
