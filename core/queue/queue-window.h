/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The window of duplicates of one queue: which ids senders gave within the last ten minutes, at most a million of them, and what
 * became of each.
 *
 * In memory: 40 bytes an id, in the order of time: a keyed hash of 128 bits (never the text), sequence number, time of the
 * message; and 4 to 8 bytes of an open-addressed table. The hash is SipHash-2-4 with 128 bits of output (Aumasson and Bernstein)
 * under a random key of this start, so that nobody can choose ids that collide.
 *
 * In the store: the ids themselves, since the record of a message that was consumed within these minutes is gone: one document in
 * the space "seen" for each put with ids, written in the transaction of the append, under the queue's number, the minute and the
 * first sequence number. A minute that is out of the window is removed as a whole, with a later put. Only queues whose senders
 * give ids have any.
 *
 * All in the store's thread.
 */
#pragma once

#include "base/zm-base.h"
#include "store/zm-store.h"

G_BEGIN_DECLS

#define ZM_WINDOW_US    (G_GINT64_CONSTANT (600) * G_USEC_PER_SEC)
#define ZM_WINDOW_MOST  1000000
#define ZM_WINDOW_SPACE "seen"

typedef struct ZmWindow ZmWindow;

/* What was put under an id. */
typedef struct ZmWindowEntry {
  guint64 seq;
  gint64 created_us; /* wall time, as the message has it */
} ZmWindowEntry;

/* most: ids; 0: ZM_WINDOW_MOST. */
ZmWindow *zm_window_new (guint64 queue, guint most);
void zm_window_free (ZmWindow *window);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ZmWindow, zm_window_free)

/* Reads what the store has of the last ten minutes, in prepare, done, or before anything runs. FALSE: the store cannot be read. */
gboolean zm_window_load (ZmWindow *window, ZmStore *store, gint64 now_us, GError **error);

/* Was this id put within the window? now_us: wall time. Where the clock was set back nothing is forgotten early. */
gboolean zm_window_find (ZmWindow *window, ZmSpan id, gint64 now_us, ZmWindowEntry *entry);
/* Takes it in; at the bound the oldest one goes. Same ids: the later one counts. */
void zm_window_add (ZmWindow *window, ZmSpan id, guint64 seq, gint64 created_us);
/* The append failed: as if it had not been there. Only for what is there with this seq. */
void zm_window_undo (ZmWindow *window, ZmSpan id, guint64 seq);

/* Inside prepare: adds the document of what one unit puts, and the removal of minutes that are out of the window. n_ids of them,
 * those without an id are left out. The ids are copied into the batch. */
typedef struct ZmWindowPut {
  ZmSpan id;
  guint64 seq;
} ZmWindowPut;
void zm_window_write (ZmWindow *window, ZmStoreWriter *writer, const ZmWindowPut *puts, guint n,
                      gint64 created_us);

guint zm_window_count (const ZmWindow *window);
/* How far back it really reaches at now_us, microseconds: ZM_WINDOW_US, or less where the bound cut it. */
gint64 zm_window_held_us (const ZmWindow *window, gint64 now_us);

/* SipHash-2-4, 128 bits. */
void zm_siphash (const guint64 key[2], ZmSpan text, guint64 out[2]);

/* ---- the documents ---- */

/* The key of the document of puts at this time whose first is seq; out has ZM_WINDOW_KEY bytes. */
#define ZM_WINDOW_KEY    20
#define ZM_WINDOW_MINUTE 12 /* bytes of it that name queue and minute */
void zm_window_key (guint64 queue, gint64 created_us, guint64 seq, guint8 *out);

G_END_DECLS
