/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * store: one thread that writes, for all (group commit), over a store plugin (zmanager/store.h). Knows logs and documents, not
 * what is in them; queues are the room above.
 *
 * Whoever wants something written submits a unit. The thread takes all units that wait, asks each to prepare its changes (that
 * is where the rooms above look at their state: their decisions are made in this thread, one after the other, and need no
 * lock), writes all of them in one transaction, and then tells each how it ended. An answer of "done" means: on disk.
 *
 * Where the store fails: nothing more is confirmed; units that write fail at once (ZM_ERROR_UNAVAILABLE) until recover has
 * worked. Where there is no space left: units marked as adding fail at once (ZM_ERROR_LIMIT), the others go on, until a probe
 * shows that there is room again.
 */
#pragma once

#include "base/zm-base.h"
#include "base/zm-log.h"
#include "base/zm-metrics.h"
#include "zmanager/store.h"

G_BEGIN_DECLS

typedef struct ZmStore ZmStore;
typedef struct ZmStoreUnit ZmStoreUnit;
typedef struct ZmStoreWriter ZmStoreWriter; /* the batch being made: only inside prepare */

/* Embedded first in the caller's own struct, which the caller owns again when done is called. */
struct ZmStoreUnit {
  ZmStoreUnit *next; /* the room's */
  /* In the store's thread. Looks, decides, adds changes (none is allowed: done follows all the same, in order). What it changes
   * in memory on the way must be undone by done where error is set. May be NULL. */
  void (*prepare) (ZmStoreUnit *unit, ZmStoreWriter *writer);
  /* In the store's thread, after the sync. error NULL: all of the unit is durable. ZM_ERROR_EXISTS: a condition of it (EXPECT,
   * LEASE) did not hold. ZM_ERROR_UNAVAILABLE: it is not known; records that it appended will not be there, as their numbers must not be
   * given again, but a document may have changed. Must be short; may submit. */
  void (*done) (ZmStoreUnit *unit, const GError *error);
  gsize size;      /* about what it will write, bytes: bounds what waits */
  gboolean adds;   /* it needs room on disk: refused while there is none */
  gboolean inside; /* made by the runtime itself: taken even where too much waits */
  gboolean patient; /* nobody waits for it: while only such wait, others may join its write for as long as a write takes */
  guint first, n;  /* the room's: its changes in the batch */
};

/* Adds a change; what it points to must live until done. Returns its place, for zm_store_op_of. */
guint zm_store_add (ZmStoreWriter *writer, const zm_store_op *op);
/* For a unit that finds half way that it cannot be: its changes from this place on are taken back. zm_store_mark is the place of the next. */
guint zm_store_mark (const ZmStoreWriter *writer);
void zm_store_rewind (ZmStoreWriter *writer, guint mark);
/* After the write, inside done: the change with its status and, for APPEND, its seq. index counts within the unit from 0. */
const zm_store_op *zm_store_op_of (ZmStore *store, const ZmStoreUnit *unit, guint index);
/* Wall time of this batch, microseconds. */
gint64 zm_store_batch_us (const ZmStoreWriter *writer);
/* A place in memory that lives until done of all units of this batch has been called: for what is made in prepare. */
gpointer zm_store_alloc (ZmStoreWriter *writer, gsize size);

/* What is better done once for all units of a batch than with each of them, such as waking a thread. Embedded in the caller's
 * own struct, which lives until it has run or was dropped. */
typedef struct ZmStoreAfter ZmStoreAfter;
struct ZmStoreAfter {
  ZmStoreAfter *next; /* the room's */
  gboolean listed;    /* the room's */
  void (*run) (ZmStoreAfter *after);
};
/* Within done: runs it once, when all units of the batch were told. Elsewhere in the store's thread: at once. */
void zm_store_after (ZmStore *store, ZmStoreAfter *after);
/* In the store's thread: it is not run. */
void zm_store_after_drop (ZmStore *store, ZmStoreAfter *after);

typedef struct ZmStoreConfig {
  const char *driver;      /* its name, for people; copied */
  const zm_store_ops *ops; /* of the plugin, which stays loaded */
  void *state;             /* what its init gave */
  const zm_host *host;
  const char *uri;
  const char *owner;  /* of the leases: node name and a UUID of this start */
  gsize waiting_most; /* bytes of units that wait; 0: 64 MiB; more are refused with ZM_ERROR_LIMIT */
  guint readers;      /* threads that read; 0: 2 */
  ZmLog *log;              /* may be NULL */
  ZmMetrics *metrics;      /* may be NULL */
} ZmStoreConfig;

/* Opens the store, takes its lease "daemon", starts its threads. The lease keeps a second daemon out of a shared store; it is renewed every
 * 10 s, and is over 30 s after a daemon that died. A store that is not shared has a lock of its own, so that whoever could open it
 * takes the lease at once. Errors: what the store says. */
ZmStore *zm_store_new (const ZmStoreConfig *config, GError **error);
/* Writes what waits, ends the threads, closes. */
void zm_store_free (ZmStore *store);

/* Any thread. FALSE: refused, error says why (LIMIT: too much waits or no space; UNAVAILABLE: the store failed, or is closed);
 * nothing is called then. Never blocks. */
gboolean zm_store_submit (ZmStore *store, ZmStoreUnit *unit, GError **error);
/* Is the calling thread the store's? */
gboolean zm_store_here (const ZmStore *store);

/* Why it takes nothing, or not all: text for people, the caller frees; NULL: it is well. Any thread. */
char *zm_store_trouble (ZmStore *store);
/* Told in the store's thread when that changes. Set before the first submit. */
void zm_store_set_watch (ZmStore *store, void (*changed) (ZmStore *store, gpointer user), gpointer user);
/* JSON object: driver, durable, shared, schema, bytes, free-bytes, waiting, waiting-bytes, writes, units, failed, syncs,
 * sync-mean-us, state (ok, full, failed), trouble (text or null). The caller frees. */
char *zm_store_status_json (ZmStore *store);
guint32 zm_store_flags (const ZmStore *store); /* ZM_STORE_DURABLE … */

/* ---- reading ---- */

/* A job for the readers' threads, each of which has its own reader. Embedded first in the caller's struct. */
typedef struct ZmStoreJob ZmStoreJob;
struct ZmStoreJob {
  ZmStoreJob *next;
  /* In a reader's thread; sees every write that had ended before it was submitted. Owns the job then. */
  void (*run) (ZmStoreJob *job, ZmStore *store, void *reader);
};
/* Any thread; never blocks. FALSE: closed, or 65,536 wait already. */
gboolean zm_store_read_later (ZmStore *store, ZmStoreJob *job);
/* Directly, in the calling thread: in a job with its reader; with reader NULL the store's own is used inside prepare or done, and
 * elsewhere one is opened for this reading. */
gboolean zm_store_read (ZmStore *store, void *reader, const zm_store_range *range, zm_store_record_fn func,
                        gpointer user, GError **error);
gboolean zm_store_documents (ZmStore *store, void *reader, const char *space, ZmSpan prefix, ZmSpan after,
                             guint64 most, zm_store_document_fn func, gpointer user, GError **error);
gboolean zm_store_last (ZmStore *store, void *reader, guint64 queue, guint64 *seq, GError **error);

/* ---- looking after it: any thread, may take long ---- */
gboolean
zm_store_check (ZmStore *store, gboolean repair, zm_store_report_fn report, gpointer user, GError **error);
gboolean
zm_store_backup (ZmStore *store, const char *path, zm_store_report_fn report, gpointer user, GError **error);

static inline zm_str
zm_str_of (ZmSpan span)
{
  zm_str str = { span.data, span.size };
  return str;
}

G_END_DECLS
