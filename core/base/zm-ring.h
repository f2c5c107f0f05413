/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A bounded ring of pointers between threads: many producers, many consumers, taken and given in batches, so that one lock
 * and one wake-up serve many items. pthread mutex and condition inside (ThreadSanitizer understands those).
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct ZmRing ZmRing;

ZmRing *zm_ring_new (guint capacity); /* rounded up to a power of two */
void zm_ring_free (ZmRing *ring);     /* the items are the caller's affair: drain it first */

/* Gives n items; waits for room. FALSE: the ring was closed; then *given tells how many were taken. */
gboolean zm_ring_push (ZmRing *ring, gpointer const *items, guint n, guint *given);
/* Gives as many as fit now; returns how many. Never waits. */
guint zm_ring_try_push (ZmRing *ring, gpointer const *items, guint n);
/* Takes 1 to most; waits until there is one, until_us (monotonic; -1 for ever) or close. 0: time is over, or closed and empty. */
guint zm_ring_pop (ZmRing *ring, gpointer *items, guint most, gint64 until_us);
guint zm_ring_try_pop (ZmRing *ring, gpointer *items, guint most);
guint zm_ring_length (ZmRing *ring);
guint zm_ring_capacity (const ZmRing *ring);
/* No more pushes; waiting ones return. What is inside can still be popped. */
void zm_ring_close (ZmRing *ring);
gboolean zm_ring_closed (ZmRing *ring);

G_END_DECLS
