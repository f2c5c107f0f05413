/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is in a queue, in memory: chunks of 256 sequence numbers with three bits, size and expiry of each, some 9 bytes a message; and
 * a heap of times. One thread.
 */
#pragma once

#include "base/zm-base.h"

G_BEGIN_DECLS

/* Seconds since ZM_TIME_BASE_S, rounded up, so that nothing is over too early; ZM_TIME_NEVER. */
typedef guint32 ZmTime;
#define ZM_TIME_NEVER  G_MAXUINT32
#define ZM_TIME_BASE_S G_GINT64_CONSTANT (1577836800) /* 2020-01-01 */
ZmTime zm_time_of (gint64 wall_us);                   /* G_MAXINT64: never */
gint64 zm_time_us (ZmTime time);                      /* never: G_MAXINT64 */
/* The seconds that are over by now: what has a time <= this is over, or due. */
ZmTime zm_time_now (gint64 wall_us);

#define ZM_CHUNK 256

typedef struct ZmChunk {
  guint16 n_log, n_present, n_free;
  ZmTime least; /* no expiry in it is less */
  guint64 log[ZM_CHUNK / 64], present[ZM_CHUNK / 64], free[ZM_CHUNK / 64];
  guint32 size[ZM_CHUNK];
  ZmTime expiry[ZM_CHUNK];
} ZmChunk;

typedef struct ZmIndex {
  ZmChunk **chunks; /* of base, base + 1 …; NULL: empty */
  guint64 base;     /* seq / ZM_CHUNK of the first */
  guint n, room;
  guint64 hint; /* no seq below it is free */
  guint64 over; /* what is free below it was over at over_at, and is since then */
  ZmTime over_at;
  guint64 n_log, n_present, n_free;
  guint64 bytes; /* of those in the log */
} ZmIndex;

void zm_index_clear (ZmIndex *index);
/* A record is there: in the log; present: in the queue view; free: to be claimed. seq is greater than all before, or in a chunk that was. */
void zm_index_add (ZmIndex *index, guint64 seq, guint32 size, ZmTime expiry, gboolean present, gboolean free);
/* The record is not there any more, in neither view. What is not there is left. */
void zm_index_remove (ZmIndex *index, guint64 seq);

gboolean zm_index_in_log (const ZmIndex *index, guint64 seq);
gboolean zm_index_present (const ZmIndex *index, guint64 seq);
gboolean zm_index_free (const ZmIndex *index, guint64 seq);
guint32 zm_index_size (const ZmIndex *index, guint64 seq); /* 0 where it is not there */
ZmTime zm_index_expiry (const ZmIndex *index, guint64 seq);
void zm_index_set_expiry (ZmIndex *index, guint64 seq, ZmTime expiry);

/* Out of free, and back; TRUE: it was (not) so before. Only what is present can be free. */
gboolean zm_index_take (ZmIndex *index, guint64 seq);
gboolean zm_index_give (ZmIndex *index, guint64 seq);
/* Out of the queue view and of free (*was_free); the record stays in the log. And back. */
gboolean zm_index_leave (ZmIndex *index, guint64 seq, gboolean *was_free);
void zm_index_back (ZmIndex *index, guint64 seq, gboolean free);

/* The first at or behind `from` that is free and not over. Many that are over, until the background has removed them, are passed by
 * once and not for each question. */
guint64 zm_index_first_free (ZmIndex *index, guint64 from, ZmTime now);
/* The first at or behind `from` (newest: at or before it) of that view; 0: none. */
typedef enum { ZM_VIEW_LOG, ZM_VIEW_PRESENT, ZM_VIEW_FREE } ZmView;
guint64 zm_index_next (const ZmIndex *index, ZmView view, guint64 from);
guint64 zm_index_previous (const ZmIndex *index, ZmView view, guint64 from);
/* The first at or behind from that is in the log and no longer in the queue view; 0: none. */
guint64 zm_index_next_gone (const ZmIndex *index, guint64 from);
/* The first at or behind from whose expiry is <= now, present or only in the log; 0: none. */
guint64 zm_index_next_over (const ZmIndex *index, guint64 from, ZmTime now);
/* How many of a view are over. Looks only into chunks that may have some. */
guint64 zm_index_count_over (const ZmIndex *index, ZmView view, ZmTime now);
/* No expiry is less; ZM_TIME_NEVER: none at all. */
ZmTime zm_index_least (const ZmIndex *index);
gsize zm_index_memory (const ZmIndex *index); /* bytes that it takes */

/* ---- times, the least first ---- */

typedef struct ZmHeapEntry {
  gint64 at;
  guint64 what;
} ZmHeapEntry;

typedef struct ZmHeap {
  ZmHeapEntry *entries;
  gsize n, room;
} ZmHeap;

void zm_heap_push (ZmHeap *heap, gint64 at, guint64 what);
const ZmHeapEntry *zm_heap_first (const ZmHeap *heap); /* NULL: empty */
void zm_heap_pop (ZmHeap *heap);
void zm_heap_clear (ZmHeap *heap);

G_END_DECLS
