/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who waits for an answer: slots with generation numbers, so that a ticket that was answered once is recognised for ever,
 * and a binary heap of the deadlines, so that the thread sleeps exactly until the first. Memory grows with the callers that
 * wait at one time, up to the bound.
 */
#include "config.h"

#include "subject/subject-private.h"

#include <string.h>

/* 30 bits: of tickets the two highest bits tell other callers apart, zm_call_action's and those of HTTP. */
#define GENERATION_MASK 0x3fffffffu

typedef struct Slot {
  guint32 generation; /* of its present or last use; part of the ticket */
  guint heap_at;      /* place in the heap + 1; 0: free */
  guint next_free;    /* index + 1 */
  gint64 deadline_us;
  ZmCaller caller;
} Slot;

struct ZmPending {
  guint most;       /* callers at one time */
  guint n_slots;    /* of both arrays; only grows */
  guint count;      /* slots in use, which is the length of the heap */
  guint free_first; /* index + 1; 0: none */
  Slot *slots;
  guint *heap; /* slot indices, earliest deadline first */
};

ZmPending *
zm_pending_new (guint most)
{
  ZmPending *pending = g_new0 (ZmPending, 1);
  pending->most = most;
  return pending;
}

void
zm_pending_free (ZmPending *pending)
{
  if (pending == NULL)
    return;
  for (guint i = 0; i < pending->count; i++) {
    ZmCaller *caller = &pending->slots[pending->heap[i]].caller;
    zmq_msg_close (&caller->identity);
    zmq_msg_close (&caller->request_id);
  }
  g_free (pending->slots);
  g_free (pending->heap);
  g_free (pending);
}

/* Each slot knows its place in the heap, so that a call that is answered early is taken out without a search. */
static void
heap_put (ZmPending *pending, guint at, guint slot)
{
  pending->heap[at] = slot;
  pending->slots[slot].heap_at = at + 1;
}

static gboolean
earlier (const ZmPending *pending, guint a, guint b)
{
  return pending->slots[a].deadline_us < pending->slots[b].deadline_us;
}

/* Restores the order of the heap for a slot that may belong further up than `at`; the place `at` itself is free. */
static void
sift_up (ZmPending *pending, guint at, guint slot)
{
  for (; at > 0 && earlier (pending, slot, pending->heap[(at - 1) / 2]); at = (at - 1) / 2)
    heap_put (pending, at, pending->heap[(at - 1) / 2]);
  heap_put (pending, at, slot);
}

/* The same downwards. */
static void
sift_down (ZmPending *pending, guint at, guint slot)
{
  for (guint child; (child = 2 * at + 1) < pending->count; at = child) {
    if (child + 1 < pending->count && earlier (pending, pending->heap[child + 1], pending->heap[child]))
      child++;
    if (!earlier (pending, pending->heap[child], slot))
      break;
    heap_put (pending, at, pending->heap[child]);
  }
  heap_put (pending, at, slot);
}

/* Takes a slot out from wherever it stands: the last one fills the gap, and goes up or down from there. */
static void
heap_remove (ZmPending *pending, guint slot)
{
  guint at = pending->slots[slot].heap_at - 1;
  guint last = pending->heap[--pending->count];
  pending->slots[slot].heap_at = 0;
  if (last == slot)
    return;
  if (at > 0 && earlier (pending, last, pending->heap[(at - 1) / 2]))
    sift_up (pending, at, last);
  else
    sift_down (pending, at, last);
}

/* Doubles the arrays. A caller's frames may hold pointers into themselves, so each moves by zmq_msg_move. */
static void
grow (ZmPending *pending)
{
  guint n = MIN (MAX (pending->n_slots * 2, 64), pending->most);
  Slot *slots = g_new0 (Slot, n);
  for (guint i = 0; i < pending->n_slots; i++) {
    slots[i] = pending->slots[i];
    zmq_msg_init (&slots[i].caller.identity);
    zmq_msg_init (&slots[i].caller.request_id);
    zmq_msg_move (&slots[i].caller.identity, &pending->slots[i].caller.identity);
    zmq_msg_move (&slots[i].caller.request_id, &pending->slots[i].caller.request_id);
  }
  for (guint i = n; i-- > pending->n_slots;) {
    slots[i].next_free = pending->free_first;
    pending->free_first = i + 1;
  }
  g_free (pending->slots);
  pending->slots = slots;
  pending->heap = g_renew (guint, pending->heap, n);
  pending->n_slots = n;
}

/* The generation counts each use of a slot. With 30 bits of it in the ticket, a reply to an earlier caller of the same
 * slot is recognised as late until the slot was used a thousand million times more. */
guint64
zm_pending_add (ZmPending *pending, ZmCaller *caller, gint64 deadline_us)
{
  if (pending->count >= pending->most)
    return 0;
  if (pending->free_first == 0)
    grow (pending);
  guint index = pending->free_first - 1;
  Slot *slot = &pending->slots[index];
  pending->free_first = slot->next_free;
  slot->generation = (slot->generation + 1) & GENERATION_MASK;
  slot->deadline_us = deadline_us;
  slot->caller = *caller;
  zmq_msg_init (&slot->caller.identity);
  zmq_msg_init (&slot->caller.request_id);
  zmq_msg_move (&slot->caller.identity, &caller->identity);
  zmq_msg_move (&slot->caller.request_id, &caller->request_id);
  sift_up (pending, pending->count++, index);
  return (guint64) slot->generation << 32 | (index + 1);
}

/* Any ticket may be asked for, also one that never was: replies come from plugins. Who gets the caller owns its frames. */
gboolean
zm_pending_take (ZmPending *pending, guint64 ticket, ZmCaller *caller)
{
  guint64 index = (ticket & G_MAXUINT32) - 1;
  if (index >= pending->n_slots)
    return FALSE;
  Slot *slot = &pending->slots[index];
  if (slot->heap_at == 0 || slot->generation != ticket >> 32)
    return FALSE;
  *caller = slot->caller;
  zmq_msg_init (&caller->identity);
  zmq_msg_init (&caller->request_id);
  zmq_msg_move (&caller->identity, &slot->caller.identity);
  zmq_msg_move (&caller->request_id, &slot->caller.request_id);
  heap_remove (pending, (guint) index);
  slot->next_free = pending->free_first;
  pending->free_first = (guint) index + 1;
  return TRUE;
}

guint64
zm_pending_first (const ZmPending *pending, gint64 *deadline_us)
{
  if (pending->count == 0)
    return 0;
  const Slot *slot = &pending->slots[pending->heap[0]];
  *deadline_us = slot->deadline_us;
  return (guint64) slot->generation << 32 | (pending->heap[0] + 1);
}

guint
zm_pending_count (const ZmPending *pending)
{
  return pending->count;
}
