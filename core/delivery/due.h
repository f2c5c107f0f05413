/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Due times: a heap of entries that stand inside whatever waits, by monotonic time. Wall time is what is stored; it is turned into
 * monotonic time once, when it is read back, so that a clock which jumps while the daemon runs moves nothing.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Inside the object that waits; zero-initialised. */
typedef struct ZmDueEntry {
  gint64 due_us;
  guint index; /* place in the heap + 1; 0: in none */
} ZmDueEntry;

/* Zero-initialised; one thread. Eight bytes an entry, beside the entry itself. */
typedef struct ZmDueHeap {
  ZmDueEntry **entries;
  guint n, room;
} ZmDueHeap;

void zm_due_clear (ZmDueHeap *heap);
/* Adds it, or moves it to another time. */
void zm_due_set (ZmDueHeap *heap, ZmDueEntry *entry, gint64 due_us);
/* One that is in no heap is no error. */
void zm_due_remove (ZmDueHeap *heap, ZmDueEntry *entry);
/* The earliest, or NULL. */
ZmDueEntry *zm_due_first (const ZmDueHeap *heap);
/* Takes the earliest that is due, or NULL. */
ZmDueEntry *zm_due_pop (ZmDueHeap *heap, gint64 now_us);

/* When, on the monotonic clock, something is due that was to wait delay_us until wall time due_wall_us: never in the past, and
 * never later than its whole delay, however the wall clock was set meanwhile. */
gint64 zm_due_rebase (gint64 due_wall_us, gint64 delay_us, gint64 now_us, gint64 wall_us);

G_END_DECLS
