/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The heap of due times. */
#include "config.h"

#include "delivery/due.h"

#define ROOM_LEAST 64

void
zm_due_clear (ZmDueHeap *heap)
{
  g_free (heap->entries);
  *heap = (ZmDueHeap){ 0 };
}

static void
place (ZmDueHeap *heap, guint at, ZmDueEntry *entry)
{
  heap->entries[at] = entry;
  entry->index = at + 1;
}

static void
rise (ZmDueHeap *heap, guint at)
{
  ZmDueEntry *entry = heap->entries[at];

  while (at > 0) {
    guint parent = (at - 1) / 2;

    if (heap->entries[parent]->due_us <= entry->due_us)
      break;
    place (heap, at, heap->entries[parent]);
    at = parent;
  }
  place (heap, at, entry);
}

static void
sink (ZmDueHeap *heap, guint at)
{
  ZmDueEntry *entry = heap->entries[at];

  for (;;) {
    guint child = 2 * at + 1;

    if (child >= heap->n)
      break;
    if (child + 1 < heap->n && heap->entries[child + 1]->due_us < heap->entries[child]->due_us)
      child++;
    if (heap->entries[child]->due_us >= entry->due_us)
      break;
    place (heap, at, heap->entries[child]);
    at = child;
  }
  place (heap, at, entry);
}

static void
make_room (ZmDueHeap *heap)
{
  if (heap->n < heap->room)
    return;
  heap->room = heap->room > 0 ? heap->room * 2 : ROOM_LEAST;
  heap->entries = g_renew (ZmDueEntry *, heap->entries, heap->room);
}

void
zm_due_set (ZmDueHeap *heap, ZmDueEntry *entry, gint64 due_us)
{
  zm_due_remove (heap, entry);
  make_room (heap);
  entry->due_us = due_us;
  place (heap, heap->n++, entry);
  rise (heap, heap->n - 1);
}

/* The last one takes its place, and goes up or down from there. */
void
zm_due_remove (ZmDueHeap *heap, ZmDueEntry *entry)
{
  guint at = entry->index - 1;

  if (entry->index == 0)
    return;
  entry->index = 0;
  heap->n--;
  if (at == heap->n)
    return;
  place (heap, at, heap->entries[heap->n]);
  rise (heap, at);
  sink (heap, at);
}

ZmDueEntry *
zm_due_first (const ZmDueHeap *heap)
{
  return heap->n > 0 ? heap->entries[0] : NULL;
}

ZmDueEntry *
zm_due_pop (ZmDueHeap *heap, gint64 now_us)
{
  ZmDueEntry *first = zm_due_first (heap);

  if (first == NULL || first->due_us > now_us)
    return NULL;
  zm_due_remove (heap, first);
  return first;
}

gint64
zm_due_rebase (gint64 due_wall_us, gint64 delay_us, gint64 now_us, gint64 wall_us)
{
  gint64 left_us = due_wall_us > wall_us ? due_wall_us - wall_us : 0;

  return now_us + MIN (left_us, MAX (delay_us, 0));
}
