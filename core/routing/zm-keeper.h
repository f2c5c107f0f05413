/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The flow keeper: the first of the four doors between the wings. It keeps waiting flow instances. This is its interface
 * and its in-memory side: shards with a mutex each; whoever removes an entry owns the continuation, so that it happens
 * once. Any thread.
 */
#pragma once

#include "message/zm-key.h"
#include "routing/zm-table.h"

G_BEGIN_DECLS

typedef struct ZmWait ZmWait;

/* One waiting instance. Made and owned by the worker room until parked; then by the keeper; then by whoever took it. The
 * room above embeds it as the first member of its own struct. Spans point into memory that lives as long as the wait. */
struct ZmWait {
  ZmSpan flow; /* empty: outside a flow (a step sent to a worker in another language) */
  ZmSpan id;
  ZmKey key; /* the step's key that will come, undecorated */
  guint step, branch;
  guint64 hash; /* set by the keeper */
  ZmWait *next; /* the keeper's */
};

typedef struct ZmKeeper ZmKeeper;
typedef struct ZmKeeperOps {
  gboolean (*park) (ZmKeeper *keeper, ZmWait *wait,
                    GError **error); /* FALSE: duplicate (EXISTS), or full (LIMIT) */
  /* The wait of (flow, id, key), removed; or NULL. key undecorated. */
  ZmWait *(*take) (ZmKeeper *keeper, ZmSpan flow, ZmSpan id, const ZmKey *key);
  /* This very wait, removed: TRUE; FALSE: somebody else has it. For timeouts and cancels. Also of one that is being
   * parked just now. Its memory must live (the caller holds something that keeps it). */
  gboolean (*take_this) (ZmKeeper *keeper, ZmWait *wait);
  /* Any wait, removed; or NULL: for the end. */
  ZmWait *(*take_any) (ZmKeeper *keeper);
  /* All that match says, removed: a list by their next, NULL at its end; or NULL. match is called under locks of the keeper, and
   * may only look at what stands still while the wait is parked. */
  ZmWait *(*take_all) (ZmKeeper *keeper, gboolean (*match) (const ZmWait *wait));
  guint (*count) (ZmKeeper *keeper);
  /* To be called when nobody waits any more: waits that remain are not freed. */
  void (*free) (ZmKeeper *keeper);
  /* Does any step of this instance wait? A second push of it is a duplicate. */
  gboolean (*waiting) (ZmKeeper *keeper, ZmSpan flow, ZmSpan id);
} ZmKeeperOps;
struct ZmKeeper {
  const ZmKeeperOps *ops;
};

/* most: bound on waiting instances. */
ZmKeeper *zm_keeper_memory_new (guint most);
/* Calls func for each waiting instance, copies taken under the shard's lock (at most 256 of each shard): for `flow` listings.
 * The lock is not held while func runs; it gets a copy, valid until it returns. */
typedef void (*ZmKeeperFunc) (const ZmWait *wait, gpointer user);
void zm_keeper_memory_each (ZmKeeper *keeper, ZmKeeperFunc func, gpointer user);

G_END_DECLS
