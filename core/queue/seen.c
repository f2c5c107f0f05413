/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ids of senders in memory: a ring in the order of time, and a table with linear probing over it. */
#include "config.h"

#include "queue/seen.h"

#include "queue/siphash.h"

#include <string.h>

#define LEAST 16

void
zm_seen_init (ZmSeenIds *seen, const guint64 key[2], guint most)
{
  memset (seen, 0, sizeof *seen);
  seen->key[0] = key[0];
  seen->key[1] = key[1];
  seen->most = MAX (most, 1);
}

void
zm_seen_clear (ZmSeenIds *seen)
{
  g_clear_pointer (&seen->ring, g_free);
  g_clear_pointer (&seen->table, g_free);
  seen->room = seen->begin = seen->n = seen->live = 0;
}

/* ---- the table ---- */

static guint
home_of (const ZmSeenIds *seen, const ZmSeenEntry *entry)
{
  return (guint) entry->hash[0] & (2 * seen->room - 1);
}

static guint
after (const ZmSeenIds *seen, guint slot)
{
  return (slot + 1) & (2 * seen->room - 1);
}

/* The slot of this hash, or the empty one where it would stand. At most half of them are used, so there is one. */
static guint
slot_of (const ZmSeenIds *seen, const guint64 hash[2])
{
  guint slot = (guint) hash[0] & (2 * seen->room - 1);

  while (seen->table[slot] != 0) {
    const ZmSeenEntry *entry = &seen->ring[seen->table[slot] - 1];

    if (entry->hash[0] == hash[0] && entry->hash[1] == hash[1])
      break;
    slot = after (seen, slot);
  }
  return slot;
}

/* Empties a slot, and moves up those behind it that would not be found any more. */
static void
empty_slot (ZmSeenIds *seen, guint hole)
{
  guint mask = 2 * seen->room - 1;

  for (guint slot = after (seen, hole); seen->table[slot] != 0; slot = after (seen, slot)) {
    guint home = home_of (seen, &seen->ring[seen->table[slot] - 1]);

    /* It may stand in the hole where that is not before its home. */
    if (((slot - home) & mask) < ((slot - hole) & mask))
      continue;
    seen->table[hole] = seen->table[slot];
    hole = slot;
  }
  seen->table[hole] = 0;
}

/* ---- the ring ---- */

static guint
place (const ZmSeenIds *seen, guint i)
{
  return (seen->begin + i) & (seen->room - 1);
}

static void
resize (ZmSeenIds *seen, guint room)
{
  ZmSeenIds old = *seen;
  guint n = 0;

  seen->ring = g_new (ZmSeenEntry, room);
  seen->table = g_new0 (guint32, (gsize) 2 * room);
  seen->room = room;
  seen->begin = 0;
  for (guint i = 0; i < old.n; i++) {
    const ZmSeenEntry *entry = &old.ring[place (&old, i)];

    if (entry->seq == 0)
      continue;
    seen->ring[n] = *entry;
    seen->table[slot_of (seen, entry->hash)] = n + 1;
    n++;
  }
  seen->n = n;
  g_free (old.ring);
  g_free (old.table);
}

/* Of a live entry: it is not found any more. */
static void
bury (ZmSeenIds *seen, guint slot)
{
  seen->ring[seen->table[slot] - 1].seq = 0;
  empty_slot (seen, slot);
  seen->live--;
}

static void
drop_oldest (ZmSeenIds *seen)
{
  const ZmSeenEntry *entry = &seen->ring[seen->begin];

  if (entry->seq != 0)
    bury (seen, slot_of (seen, entry->hash));
  seen->begin = (seen->begin + 1) & (seen->room - 1);
  seen->n--;
}

/* So that the oldest place is of one that is there. */
static void
trim (ZmSeenIds *seen)
{
  while (seen->n > 0 && seen->ring[seen->begin].seq == 0)
    drop_oldest (seen);
}

const ZmSeenEntry *
zm_seen_find (const ZmSeenIds *seen, ZmSpan id)
{
  guint64 hash[2];
  guint32 found;

  if (seen->live == 0)
    return NULL;
  zm_siphash (seen->key, id, hash);
  found = seen->table[slot_of (seen, hash)];
  return found != 0 ? &seen->ring[found - 1] : NULL;
}

static void
make_room (ZmSeenIds *seen)
{
  if (seen->live >= seen->most)
    while (seen->live >= seen->most)
      drop_oldest (seen);
  /* Many that were taken back: sorting them out is room enough. */
  if (seen->n == seen->room)
    resize (seen, seen->room == 0 ? LEAST : seen->live * 2 > seen->room ? seen->room * 2 : seen->room);
}

void
zm_seen_add (ZmSeenIds *seen, ZmSpan id, guint64 seq, gint64 created_us)
{
  ZmSeenEntry entry = { .seq = seq, .created_us = created_us };
  guint slot, at;

  make_room (seen);
  zm_siphash (seen->key, id, entry.hash);
  slot = slot_of (seen, entry.hash);
  if (seen->table[slot] != 0) {
    bury (seen, slot);
    slot = slot_of (seen, entry.hash);
  }
  at = place (seen, seen->n++);
  seen->ring[at] = entry;
  seen->table[slot] = at + 1;
  seen->live++;
  trim (seen);
}

void
zm_seen_take_back (ZmSeenIds *seen, ZmSpan id, guint64 seq)
{
  guint64 hash[2];
  guint slot;

  if (seen->live == 0)
    return;
  zm_siphash (seen->key, id, hash);
  slot = slot_of (seen, hash);
  if (seen->table[slot] == 0 || seen->ring[seen->table[slot] - 1].seq != seq)
    return;
  bury (seen, slot);
  trim (seen);
}

void
zm_seen_forget (ZmSeenIds *seen, gint64 before_us)
{
  while (seen->n > 0 && (seen->ring[seen->begin].seq == 0 || seen->ring[seen->begin].created_us < before_us))
    drop_oldest (seen);
  if (seen->room > LEAST && seen->live < seen->room / 8)
    resize (seen, seen->room / 4);
}

const ZmSeenEntry *
zm_seen_oldest (const ZmSeenIds *seen)
{
  return seen->live > 0 ? &seen->ring[seen->begin] : NULL;
}
