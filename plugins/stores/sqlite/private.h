/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of the sqlite store share.
 *
 * Beside the database FILE there are FILE-wal and FILE-shm (SQLite's), FILE.lock (held while a process has the store),
 * FILE.reserve (room that is given up when there is no other), FILE.new (a copy being made; worth nothing) and FILE.ready (a
 * copy that is complete and takes FILE's place; open finishes that where a crash came between).
 *
 * Locks: `writer` guards the writing connection and what belongs to it; `files` is held for reading by whoever has another
 * connection open and in use, and for writing while the file is exchanged. writer comes before files.
 */
#ifndef ZM_STORES_SQLITE_PRIVATE_H
#define ZM_STORES_SQLITE_PRIVATE_H

#include "plugins/stores/rules.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdint.h>

#define ZS_SCHEMA          2
#define ZS_APPLICATION     0x7a6d7374 /* "zmst": who made the file, at offset 68 of it */
#define ZS_SEQ_BITS        43
#define ZS_POS(queue, seq) ((int64_t) ((uint64_t) (queue) << ZS_SEQ_BITS | (uint64_t) (seq)))
#define ZS_SEQ(pos)        ((uint64_t) (pos) &ZM_STORE_SEQ_MOST)
#define ZS_QUEUE(pos)      ((uint64_t) (pos) >> ZS_SEQ_BITS)
#define ZS_CHUNK           1024 /* rows that are read or mended under one snapshot */

/* Between these files only: the file's own structure is broken. */
enum { ZS_BROKEN = -100 };

/* Statements of the writer, kept prepared. */
enum {
  ZS_BEGIN,
  ZS_COMMIT,
  ZS_ROLLBACK,
  ZS_APPEND,
  ZS_LAST,
  ZS_NOTE_LAST,
  ZS_REMOVE,
  ZS_PUT,
  ZS_DELETE,
  ZS_DELETE_RANGE,
  ZS_GET,
  ZS_LEASE_GET,
  ZS_LEASE_PUT,
  ZS_LEASE_DELETE,
  ZS_STATEMENTS
};

/* What the writer knows of a queue. noted: the table of queues has this `last` as well. */
typedef struct zs_queue {
  uint64_t queue, last;
  int noted;
} zs_queue;

typedef struct zs_reader zs_reader;

typedef struct zs_store {
  const zm_host *host;
  char *path;
  int lock; /* descriptor of FILE.lock */

  pthread_mutex_t writer;
  sqlite3 *db; /* NULL: it cannot be used as it is */
  sqlite3_stmt *statements[ZS_STATEMENTS];
  zs_queue *queues; /* open addressing; a power of two */
  size_t queues_n, queues_room;
  int frames;   /* in the write-ahead log */
  int failed;   /* until recover */
  int corrupt;  /* what failed was the file's own structure */
  int reserved; /* FILE.reserve is there */
  int leapt; /* salvaged since it was opened: the daemon's own numbers, which are new all the same, are below the noted ones */
  int spent; /* it was given up, and what it left is not for adding */
  uint64_t tended;

  pthread_rwlock_t files;
  int torn; /* the exchange was begun and could not be ended: FILE is not to be read; under files */
  pthread_mutex_t readers_lock;
  zs_reader *readers;
  atomic_int leaving; /* check and backup end: the file is to be exchanged */

  atomic_ullong writes, syncs, sync_us;
} zs_store;

struct zs_reader {
  zs_store *store;
  zs_reader *next;
  sqlite3 *db; /* NULL: opened at the next use */
  sqlite3_stmt *statements[4];
  unsigned depth; /* of reads within the functions that are told records */
};

/* sum.c */
uint64_t zs_hash (const void *data, size_t size, uint64_t seed);
int64_t zs_record_sum (int64_t pos, int64_t expires, int64_t tag, zm_str data);
int zs_head_holds (int64_t pos, int64_t expires, int64_t tag, uint64_t size, int64_t sum);
int64_t zs_document_sum (zm_str space, zm_str key, zm_str value);

/* connect.c: connections and what goes wrong with them. */
enum { ZS_READ = 0, ZS_WRITE = 1, ZS_SALVAGE = 2 };
int zs_connect (const char *path, int how, sqlite3 **db, char *error, size_t size);
/* A code of SQLite's as one of ours; the connection tells what the system said. */
int zs_code (sqlite3 *db, int rc);
int zs_corrupt (int rc);
int zs_run (sqlite3 *db, const char *sql);
/* The one number that a statement gives, or `otherwise`. */
int64_t zs_number (sqlite3 *db, const char *sql, int64_t otherwise);
/* Empty bytes are bytes, not NULL. */
int zs_bind (sqlite3_stmt *statement, int index, zm_str bytes);
zm_str zs_column (sqlite3_stmt *statement, int index);
/* FILE with an ending, in malloc's memory; NULL: none left. */
char *zs_beside (const char *path, const char *ending);
/* An empty file that nobody else may read. */
int zs_make_empty (const char *path);
int zs_sync_path (const char *path);
int zs_sync_directory (const char *path);
/* Is next to nothing left where it lies? */
int zs_disk_full (const char *path);
uint64_t zs_file_size (const char *path, const char *ending);
void
zs_log (const zs_store *store, int level, const char *format, ...) __attribute__ ((format (printf, 3, 4)));

/* schema.c: ZM_OK, or a code with a sentence. */
int zs_schema_ready (sqlite3 *db, const char *path, char *error, size_t size);
/* Makes an empty database of this version at path. */
int zs_schema_make (const char *path, char *error, size_t size);
/* Looks at the first bytes of a file that is there: is it one of ours? */
int zs_schema_ours (const char *path, char *error, size_t size);

/* writer.c: the writing connection. Under `writer`. */
int zs_writer_open (zs_store *store, char *error, size_t size);
void zs_writer_close (zs_store *store);
/* After each write: the log into the file, free pages back to the system, the reserve. */
void zs_writer_tend (zs_store *store);

/* queues.c: the last numbers. Under `writer`. NULL: *rc says why. */
zs_queue *zs_queue_get (zs_store *store, uint64_t queue, int *rc);
void zs_queues_forget (zs_store *store);

/* write.c */
int zs_write (void *store, zm_store_batch *batch);

/* read.c */
int zs_reader_open (void *store, void **reader, char *error, size_t size);
void zs_reader_close (void *reader);
int zs_read (void *reader, const zm_store_range *range, zm_store_record_fn func, void *user);
int zs_last (void *reader, uint64_t queue, uint64_t *seq);
int zs_reader_begin (zs_reader *reader);
void zs_reader_end (zs_reader *reader);
sqlite3_stmt *zs_reader_statement (zs_reader *reader, unsigned which, const char *sql, int *rc);
void zs_reader_release (zs_reader *reader, unsigned which, sqlite3_stmt *statement);
/* Closes the connection of every reader; under `files`, for writing. */
void zs_readers_leave (zs_store *store);

/* documents.c */
int zs_documents (void *reader, zm_str space, zm_str prefix, zm_str after, uint64_t most,
                  zm_store_document_fn func, void *user);
/* The least bytes that are greater than all that begin with prefix, into room for ZM_STORE_KEY_MOST + 1. */
zm_str zs_prefix_end (zm_str prefix, char *room);

/* copy.c, exchange.c */
int zs_copy (zs_store *store, const char *target, zm_store_report_fn report, void *user, char *error,
             size_t size);
int zs_backup (void *store, const char *path, zm_store_report_fn report, void *user);
int zs_recover (void *store, char *error, size_t size);
/* FILE.new, which is complete, takes FILE's place, and the writer opens it. Under `writer`; takes `files`. */
int zs_exchange (zs_store *store, char *error, size_t size);
/* Before anything is opened: FILE.ready takes FILE's place, FILE.new goes. */
int zs_exchange_finish (const char *path, char *error, size_t size);

/* check.c, salvage.c */
int zs_check (void *store, int repair, zm_store_report_fn report, void *user);
int zs_salvage (zs_store *store, zm_store_report_fn report, void *user);

/* reserve.c. Under `writer`. */
void zs_reserve_make (zs_store *store);
/* 1: there is room now that was not there before. */
int zs_reserve_drop (zs_store *store);
int zs_reserve_give_up (zs_store *store); /* beside an open writer */
/* Where it was given up: may be added to? 1: it is there again, or there is as much room inside the file. */
int zs_reserve_room (zs_store *store);

#endif
