/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Times: whole seconds, and a binary heap with the least first, where equal ones come in the order of what they are for. */
#include "config.h"

#include "queue/index.h"

/* ---- times ---- */

ZmTime
zm_time_of (gint64 wall_us)
{
  gint64 seconds;

  if (wall_us == G_MAXINT64)
    return ZM_TIME_NEVER;
  seconds = wall_us / G_USEC_PER_SEC + (wall_us % G_USEC_PER_SEC > 0) - ZM_TIME_BASE_S;
  return (ZmTime) CLAMP (seconds, 1, (gint64) ZM_TIME_NEVER - 1);
}

gint64
zm_time_us (ZmTime time)
{
  return time == ZM_TIME_NEVER ? G_MAXINT64 : ((gint64) time + ZM_TIME_BASE_S) * G_USEC_PER_SEC;
}

ZmTime
zm_time_now (gint64 wall_us)
{
  return (ZmTime) CLAMP (wall_us / G_USEC_PER_SEC - ZM_TIME_BASE_S, 0, (gint64) ZM_TIME_NEVER - 1);
}

/* ---- the heap ---- */

static gboolean
before (const ZmHeapEntry *a, const ZmHeapEntry *b)
{
  return a->at != b->at ? a->at < b->at : a->what < b->what;
}

void
zm_heap_push (ZmHeap *heap, gint64 at, guint64 what)
{
  ZmHeapEntry entry = { at, what };
  gsize i = heap->n;

  if (heap->n == heap->room) {
    heap->room = heap->room > 0 ? heap->room * 2 : 16;
    heap->entries = g_renew (ZmHeapEntry, heap->entries, heap->room);
  }
  for (; i > 0 && before (&entry, &heap->entries[(i - 1) / 2]); i = (i - 1) / 2)
    heap->entries[i] = heap->entries[(i - 1) / 2];
  heap->entries[i] = entry;
  heap->n++;
}

const ZmHeapEntry *
zm_heap_first (const ZmHeap *heap)
{
  return heap->n > 0 ? heap->entries : NULL;
}

void
zm_heap_pop (ZmHeap *heap)
{
  ZmHeapEntry last;
  gsize i = 0;

  if (heap->n == 0)
    return;
  last = heap->entries[--heap->n];
  for (;;) {
    gsize child = 2 * i + 1;

    if (child >= heap->n)
      break;
    if (child + 1 < heap->n && before (&heap->entries[child + 1], &heap->entries[child]))
      child++;
    if (!before (&heap->entries[child], &last))
      break;
    heap->entries[i] = heap->entries[child];
    i = child;
  }
  heap->entries[i] = last;
  if (heap->n == 0) /* it may have been large once */
    zm_heap_clear (heap);
}

void
zm_heap_clear (ZmHeap *heap)
{
  g_free (heap->entries);
  heap->entries = NULL;
  heap->n = heap->room = 0;
}
