/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * zmanager/store.h: what a store plugin does. Include it after or instead of zmanager/plugin.h.
 *
 * A store keeps two things, and understands neither:
 *   - logs: per queue (a number) records in the order of their sequence numbers; a record never changes, it is appended and
 *     some day removed;
 *   - documents: small values under a key in a space (a short word), which are put, replaced and deleted.
 * All changes come in batches. One `write` is one transaction: all of it is there afterwards, also after a loss of power, or
 * nothing is. What belongs together within a batch, and may fail on its own, is a unit. The conditions of a unit are looked at
 * before any of its changes, and after the units before it.
 *
 * The daemon serves many callers with one write (group commit), so that a store need not be fast at one change, only at many.
 *
 * Many nodes on one store: leases have an owner and an expiry; `expect` lets a unit depend on a document; a store of this kind
 * assigns sequence numbers itself (seq 0) at the end of its transaction, so that those of one queue become visible in order.
 *
 * A store plugin runs in the daemon (isolation = thread) and is not replaced while it runs. Its descriptor is a zm_plugin_desc
 * of ABI 1.1 or later whose member `store` points to a zm_store_ops; kind=store in its note; its name is that of [store] driver.
 *
 * Threads: open, close, recover and write are called by one thread at a time. Each reader is used by one thread at a time, beside
 * the writer and other readers. check, backup and figures may be called from any thread, beside all of it.
 */
#ifndef ZMANAGER_STORE_H
#define ZMANAGER_STORE_H

#include <zmanager/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a store can do: flags of zm_store_ops. */
enum {
  ZM_STORE_DURABLE = 1, /* what was written survives the process and a loss of power */
  ZM_STORE_SHARED = 2,  /* several nodes may use it at one time */
  ZM_STORE_BACKUP = 4,  /* backup works while it is in use */
  ZM_STORE_REPAIR = 8   /* check can repair */
};

/* Bounds that every store keeps. */
#define ZM_STORE_QUEUE_MOST 1048575u             /* the greatest number of a queue; 0 is none */
#define ZM_STORE_SEQ_MOST ((UINT64_C (1) << 43) - 1) /* the greatest sequence number; 1 is the first */
#define ZM_STORE_SPACE_MOST 32u                  /* bytes of a space's name */
#define ZM_STORE_KEY_MOST 1024u                  /* bytes of a document's key */

/* One change, or one condition. */
enum {
  /* queue, seq, expires_us, tag, data: adds a record. seq 0: the store gives the next one and tells it in seq; otherwise it
   * must be greater than every one that the queue ever had, else ZM_E_INVALID for the whole batch. */
  ZM_STORE_APPEND = 1,
  /* queue, seq, upto: removes the records from seq to upto, both included; what is not there is no error. */
  ZM_STORE_REMOVE = 2,
  /* space, key, data: the document has this value from now on. */
  ZM_STORE_PUT = 3,
  /* space, key: there is no such document from now on. */
  ZM_STORE_DELETE = 4,
  /* space, key: the same for every document whose key begins with key; an empty key: all of the space. */
  ZM_STORE_DELETE_PREFIX = 5,
  /* space, key, data: the unit is done only if the document has exactly this value; data.data NULL: only if there is none. */
  ZM_STORE_EXPECT = 6,
  /* key, data (the owner), expires_us: the unit is done only if nobody else holds the lease `key` at now_us (that of the batch); it
   * is the owner's until expires_us then. expires_us 0: gives it back. */
  ZM_STORE_LEASE = 7
};

/* All pointers are borrowed until write returns. */
typedef struct zm_store_op {
  uint32_t kind;
  uint32_t unit; /* those of one unit stand together; numbers go up within a batch */
  int32_t status; /* out: ZM_OK; ZM_E_DENIED: this condition did not hold; ZM_E_AGAIN: another one of its unit did not */
  uint32_t reserved; /* 0 */
  uint64_t queue;
  uint64_t seq; /* APPEND with 0: out */
  uint64_t upto;
  int64_t expires_us; /* wall time, microseconds; a record's is only kept and told, never acted upon */
  uint64_t tag;       /* the daemon's own, kept and told */
  zm_str space;
  zm_str key;
  zm_str data;
} zm_store_op;

typedef struct zm_store_batch {
  uint32_t struct_size;
  uint32_t flags;
  int64_t now_us; /* wall time, for leases */
  zm_store_op *ops;
  size_t n;
  char *error; /* room for a sentence that says why it failed; NUL-terminated by the store */
  size_t error_size;
} zm_store_batch;

/* A record as a reader tells it; borrowed until the function that it is told to returns. */
typedef struct zm_store_record {
  uint32_t struct_size;
  uint32_t flags; /* ZM_STORE_DAMAGED */
  uint64_t queue;
  uint64_t seq;
  int64_t expires_us;
  uint64_t tag;
  uint64_t size; /* of its data, also where data is not asked for */
  zm_str data;
} zm_store_record;

/* The checksum of this record is wrong: data is what stands there, and must not be believed. */
enum { ZM_STORE_DAMAGED = 1 };

/* Which records. */
typedef struct zm_store_range {
  uint32_t struct_size;
  uint32_t flags; /* ZM_STORE_HEADS */
  uint64_t queue; /* 0: of all queues, by queue, then by sequence number */
  uint64_t seq, upto; /* both included; upto 0: without end. With queue 0 not looked at */
  uint64_t most;      /* 0: all */
} zm_store_range;

/* Without data, where that is cheaper; size is told. */
enum { ZM_STORE_HEADS = 1 };

/* 0: go on; anything else ends the reading. */
typedef int (*zm_store_record_fn) (void *user, const zm_store_record *record);
typedef int (*zm_store_document_fn) (void *user, zm_str key, zm_str value);
/* severity: ZM_LOG_INFO (progress: done of total), ZM_LOG_WARNING (something wrong, repaired), ZM_LOG_ERROR. Not 0: stop. */
typedef int (*zm_store_report_fn) (void *user, int severity, const char *text, uint64_t done, uint64_t total);

/* How write, open and recover end, beside ZM_OK. */
/*   ZM_E_MEMORY   no space left (on the device, or the store's own bound): nothing was written, and removing still works
 *   ZM_E_AGAIN    nothing was written; the same may work later
 *   ZM_E_INVALID  the batch is wrong; nothing was written
 *   ZM_E_FAILED   it is not known what of it is there: the store must be recovered before it is written to again
 *   ZM_E_DENIED   (open) another daemon has it, or it is of a later version */

typedef struct zm_store_figures {
  uint32_t struct_size;
  uint32_t schema;      /* the version of what is stored */
  uint64_t bytes;       /* on disk, or in memory */
  uint64_t free_bytes;  /* of those, to be used again */
  uint64_t records;     /* 0 where counting is dear and counted is 0 */
  uint64_t writes, syncs;
  uint64_t sync_us;     /* how long syncs took, in all */
} zm_store_figures;

typedef struct zm_store_ops {
  uint32_t struct_size;
  uint32_t flags;  /* ZM_STORE_DURABLE … */
  uint32_t schema; /* the version that this plugin writes; older ones are migrated by open, each step in a transaction */
  uint32_t reserved;

  /* uri: where it is: a path, or what [store] uri says; the directory is there. ZM_OK, or a code with a sentence in error.
   * host->config reads the further keys of [store]. */
  int (*open) (void *state, const zm_host *host, const char *uri, void **store, char *error, size_t size);
  void (*close) (void *store);
  /* One transaction. Returns after it is durable. */
  int (*write) (void *store, zm_store_batch *batch);
  /* After ZM_E_FAILED: makes it usable again, and everything that had been confirmed is there. ZM_OK, or the reason. Tried again
   * and again by the daemon; must not take long where it cannot work. */
  int (*recover) (void *store, char *error, size_t size);

  int (*reader_open) (void *store, void **reader, char *error, size_t size);
  void (*reader_close) (void *reader);
  /* Sees every write that had ended before it began. ZM_OK, also where there is nothing; or a code. */
  int (*read) (void *reader, const zm_store_range *range, zm_store_record_fn func, void *user);
  /* The documents of a space whose keys begin with prefix and are greater than after (empty: from the first), by key, bytewise; at
   * most `most`, 0: all. */
  int (*documents) (void *reader, zm_str space, zm_str prefix, zm_str after, uint64_t most, zm_store_document_fn func,
                    void *user);
  /* The greatest sequence number that the queue ever had, 0: none. */
  int (*last) (void *reader, uint64_t queue, uint64_t *seq);

  /* Looks at all of it. repair: mends what can be mended; damaged records are taken out and each is told. ZM_OK: nothing wrong (or
   * all is mended). May be NULL. */
  int (*check) (void *store, int repair, zm_store_report_fn report, void *user);
  /* A whole copy, of one moment, that open takes. Never leaves a half one at path. May be NULL. */
  int (*backup) (void *store, const char *path, zm_store_report_fn report, void *user);
  int (*figures) (void *store, zm_store_figures *figures);
} zm_store_ops;

#ifdef __cplusplus
}
#endif

#endif
