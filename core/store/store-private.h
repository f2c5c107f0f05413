/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the room store share. */
#pragma once

#include "store/zm-store.h"

#include <pthread.h>
#include <stdatomic.h>

G_BEGIN_DECLS

/* Of one batch. A unit is never split, so that a batch may become larger by one unit. */
#define ZM_STORE_BATCH_OPS   8192
#define ZM_STORE_BATCH_BYTES ((gsize) 16 << 20)
/* What a unit costs while it waits, beside the size that it says. */
#define ZM_STORE_UNIT_COST 256
/* Jobs that wait for a reader. */
#define ZM_STORE_JOBS_MOST 65536
/* Room for the sentence of a store. */
#define ZM_STORE_WHY 512

/* ---- arena.c: memory of one batch ---- */

typedef struct ZmArenaChunk ZmArenaChunk;
typedef struct ZmArena {
  ZmArenaChunk *chunks; /* the first is the one that is filled */
} ZmArena;

gpointer zm_arena_alloc (ZmArena *arena, gsize size);
/* Everything that was given is invalid; one chunk is kept for the next batch. */
void zm_arena_reset (ZmArena *arena);
void zm_arena_clear (ZmArena *arena);

/* ---- the batch ---- */

typedef enum {
  ZM_UNIT_OPEN,  /* not decided yet */
  ZM_UNIT_DONE,  /* durable, or nothing was to be written */
  ZM_UNIT_UNMET, /* a condition of it did not hold */
  ZM_UNIT_FULL,  /* no space */
  ZM_UNIT_WRONG, /* a change of it is none */
  ZM_UNIT_LOST   /* the store failed */
} ZmUnitEnd;

typedef struct ZmUnitState {
  ZmStoreUnit *unit;
  ZmUnitEnd end;
} ZmUnitState;

struct ZmStoreWriter {
  ZmStore *store;
  ZmArena arena;
  GArray *ops;            /* zm_store_op, of all units */
  GArray *units;          /* ZmUnitState, in the order of submission */
  GArray *part;           /* zm_store_op: those to write where it is not all of them */
  gint64 now_us;          /* wall time */
  gboolean wrong;         /* the unit that prepares has added a change that is none */
  gsize bytes;            /* that the units hold of what may wait */
  char why[ZM_STORE_WHY]; /* what the store said last */
};

/* One thread that reads. */
typedef struct ZmStoreReader {
  ZmStore *store;
  pthread_t thread;
  void *reader;     /* the plugin's; NULL: not open */
  guint generation; /* of the store at the time when it was opened */
} ZmStoreReader;

/* The store's members without a note are set before its thread starts. */
struct ZmStore {
  const zm_store_ops *ops;
  void *plugin; /* what open gave */
  char *driver;
  char *owner;
  gsize waiting_most;
  ZmLog *log;
  ZmMetrics *metrics;
  ZmMetrics *own_metrics; /* where the caller has none */
  void (*changed) (ZmStore *store, gpointer user);
  gpointer changed_user;

  ZmCounter *writes, *units, *bytes, *write_us, *failures, *refused;
  ZmCounter *disk, *in_trouble; /* gauges */

  pthread_mutex_t lock; /* guards the members down to the next blank line */
  pthread_cond_t wake;  /* for the store's thread */
  pthread_t thread;
  ZmStoreUnit *first, *last; /* submitted, not taken yet */
  gsize waiting;             /* bytes from submit to done */
  guint waiting_units;
  guint urgent;              /* of those not taken yet: units that are not patient */
  gboolean asleep, closing;
  gboolean failed, full;
  char *why;       /* why it is in trouble, in the store's words */
  gint64 since_us; /* wall time */
  guint tries;     /* to recover */

  /* The store's thread's own. */
  ZmStoreUnit *pending, *pending_last; /* taken, not in a batch yet */
  ZmStoreWriter writer;
  ZmStoreAfter *after, *after_last; /* what the units that are told want to be done after them */
  gboolean telling;
  gint64 last_us; /* what the last write took */
  ZmStoreReader own;
  gint64 recover_us, probe_us, lease_us, figures_us; /* monotonic: when next */
  gint64 lease_until_us;                             /* monotonic: until then it is ours for sure */
  GArray *
      doubtful; /* zm_store_op: removals of records that may be there though their units were told that they failed */
  gboolean lease_lost; /* for good */
  gboolean running;    /* the thread is there; set before it looks */

  atomic_uint
      generation; /* counts recoveries: readers opened before one look at what is no longer the store */

  pthread_mutex_t jobs_lock; /* guards the members below */
  pthread_cond_t jobs_wake;
  ZmStoreJob *first_job, *last_job;
  guint n_jobs;
  gboolean jobs_closed;
  ZmStoreReader *readers; /* n_readers of them; set before the threads start */
  guint n_readers;
};

/* ---- store.c ---- */

/* Sets *error to what a code of the store means, with its sentence. */
void zm_store_error (GError **error, int code, const char *what, const char *why);

/* ---- batch.c: what the store's thread does with units ---- */

/* Prepares, writes and tells as many pending units as a batch takes. */
void zm_batch_run (ZmStore *store);

/* ---- write.c: one batch onto disk, whatever it takes ---- */

/* Gives every unit that is open its end. */
void zm_batch_write (ZmStore *store);
/* One transaction of the room's own. why: room for ZM_STORE_WHY bytes. *met: did its conditions hold? may be NULL. */
int zm_store_write_ops (ZmStore *store, zm_store_op *ops, gsize n, gint64 now_us, char *why, gboolean *met);

/* ---- tend.c: trouble, and the ways out of it ---- */

void zm_store_set_failed (ZmStore *store, const char *why);
void zm_store_set_full (ZmStore *store, const char *why);
gboolean zm_store_is_failed (ZmStore *store);
/* Why it is in trouble, into the batch, for the errors of its units. */
void zm_store_tell_why (ZmStore *store);
gboolean zm_store_is_full (ZmStore *store);
/* Recovers, probes and renews where it is time. The store's thread. */
void zm_store_tend (ZmStore *store);
/* When that has to be done next, monotonic; -1: never. */
gint64 zm_store_tend_at (const ZmStore *store);
/* Takes the lease at the start; no thread is there yet. */
gboolean zm_store_lease_first (ZmStore *store, GError **error);
/* Before a batch of a shared store: is it ours still? */
gboolean zm_store_lease_holds (ZmStore *store);
void zm_store_lease_return (ZmStore *store);

/* ---- reader.c ---- */

gboolean zm_readers_start (ZmStore *store, guint n, GError **error);
/* What waits is run first. */
void zm_readers_end (ZmStore *store);
void zm_reader_close (ZmStoreReader *reader);

/* ---- status.c ---- */

void zm_store_count (ZmStore *store);
/* The size on disk, into its gauge. */
void zm_store_measure (ZmStore *store);

G_END_DECLS
