/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ids that senders gave within a time, in memory: for each a keyed hash of 128 bits, never the text, with number and time of its
 * message, in the order in which they came, and an open-addressed table over them. 32 bytes an id, and 8 to 16 of the table; it grows
 * and shrinks with what is held. One thread.
 */
#pragma once

#include "base/zm-base.h"

G_BEGIN_DECLS

typedef struct ZmSeenEntry {
  guint64 hash[2];
  guint64 seq; /* 0: taken back */
  gint64 created_us;
} ZmSeenEntry;

typedef struct ZmSeenIds {
  guint64 key[2];
  guint most;           /* entries, at least 1 */
  ZmSeenEntry *ring;    /* of `room` places, a power of two */
  guint32 *table;       /* place in the ring + 1; 0: empty; 2 * room of them */
  guint room, begin, n; /* n: with those that were taken back */
  guint live;           /* of those that can be found */
} ZmSeenIds;

void zm_seen_init (ZmSeenIds *seen, const guint64 key[2], guint most);
void zm_seen_clear (ZmSeenIds *seen);
/* NULL: not there. Valid until the next change. */
const ZmSeenEntry *zm_seen_find (const ZmSeenIds *seen, ZmSpan id);
/* In place of one of the same id; at the bound the oldest one goes. */
void zm_seen_add (ZmSeenIds *seen, ZmSpan id, guint64 seq, gint64 created_us);
/* Takes it back, where it is there with this seq. */
void zm_seen_take_back (ZmSeenIds *seen, ZmSpan id, guint64 seq);
/* Forgets what is older than that. */
void zm_seen_forget (ZmSeenIds *seen, gint64 before_us);
/* The oldest one that is held; NULL: none. */
const ZmSeenEntry *zm_seen_oldest (const ZmSeenIds *seen);

G_END_DECLS
