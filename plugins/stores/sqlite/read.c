/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Readers: each has a connection of its own, which is given up when the file is exchanged, and opened at the next use. A long
 * reading is made of chunks, each of its own snapshot, so that the log can be carried over meanwhile; records never change, so
 * that this cannot be told from one snapshot but by what was removed.
 */
#include "plugins/stores/sqlite/private.h"

#include <stdlib.h>

#define CHUNK_BYTES ((uint64_t) 8 << 20)

enum { RECORDS, HEADS, DOCUMENTS, LAST };

/* One reading on its way. */
typedef struct zs_scan {
  zs_reader *reader;
  zm_store_record_fn func;
  void *user;
  int64_t from, upto; /* positions that are still to be told, both included */
  uint64_t left;      /* records */
  int heads;
  int ended;
} zs_scan;

int
zs_reader_begin (zs_reader *reader)
{
  int rc = SQLITE_OK;

  if (reader->depth++ == 0)
    pthread_rwlock_rdlock (&reader->store->files);
  if (reader->store->torn)
    rc = SQLITE_IOERR;
  else if (reader->db == NULL)
    rc = zs_connect (reader->store->path, ZS_READ, &reader->db, NULL, 0);
  return rc;
}

void
zs_reader_end (zs_reader *reader)
{
  if (--reader->depth == 0)
    pthread_rwlock_unlock (&reader->store->files);
}

/* Kept for the next time; one that is in use, as a function that is told records reads itself, gets a second. */
sqlite3_stmt *
zs_reader_statement (zs_reader *reader, unsigned which, const char *sql, int *rc)
{
  sqlite3_stmt **kept = &reader->statements[which];
  sqlite3_stmt *statement = NULL;

  *rc = SQLITE_OK;
  if (*kept != NULL && !sqlite3_stmt_busy (*kept))
    return *kept;
  *rc = sqlite3_prepare_v3 (reader->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL);
  if (*kept == NULL)
    *kept = statement;
  return statement;
}

void
zs_reader_release (zs_reader *reader, unsigned which, sqlite3_stmt *statement)
{
  if (statement == reader->statements[which])
    sqlite3_reset (statement);
  else
    sqlite3_finalize (statement);
}

/* ---- records ---- */

static void
tell (zs_scan *scan, sqlite3_stmt *row)
{
  int64_t pos = sqlite3_column_int64 (row, 0), sum = sqlite3_column_int64 (row, 3);
  zm_store_record record = { .struct_size = sizeof record,
                             .queue = ZS_QUEUE (pos),
                             .seq = ZS_SEQ (pos),
                             .expires_us = sqlite3_column_int64 (row, 1),
                             .tag = (uint64_t) sqlite3_column_int64 (row, 2) };
  int holds;

  if (scan->heads) {
    record.size = (uint64_t) sqlite3_column_int64 (row, 4);
    holds = zs_head_holds (pos, record.expires_us, (int64_t) record.tag, record.size, sum);
  } else {
    record.data = zs_column (row, 4);
    record.size = record.data.size;
    holds = zs_record_sum (pos, record.expires_us, (int64_t) record.tag, record.data) == sum;
  }
  record.flags = holds ? 0 : ZM_STORE_DAMAGED;
  scan->ended = scan->func (scan->user, &record) != 0 || --scan->left == 0 || pos == scan->upto;
  scan->from = pos < INT64_MAX ? pos + 1 : pos;
}

/* Under one snapshot. */
static int
chunk (zs_scan *scan, sqlite3_stmt *statement)
{
  uint64_t bytes = 0;
  int rc = SQLITE_ROW;

  sqlite3_bind_int64 (statement, 1, scan->from);
  sqlite3_bind_int64 (statement, 2, scan->upto);
  for (unsigned rows = 0; rows < ZS_CHUNK && bytes < CHUNK_BYTES && !scan->ended; rows++) {
    if ((rc = sqlite3_step (statement)) != SQLITE_ROW)
      break;
    bytes += scan->heads ? 0 : (uint64_t) sqlite3_column_bytes (statement, 4);
    tell (scan, statement);
  }
  sqlite3_reset (statement);
  scan->ended |= rc == SQLITE_DONE;
  return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

static int
run (zs_scan *scan)
{
  unsigned which = scan->heads ? HEADS : RECORDS;
  int rc = zs_reader_begin (scan->reader);
  sqlite3_stmt *statement = NULL;

  if (rc == SQLITE_OK)
    statement = zs_reader_statement (
        scan->reader, which,
        scan->heads
            ? "SELECT pos, expires, tag, sum, length (data) FROM records WHERE pos BETWEEN ?1 AND ?2 ORDER "
              "BY pos"
            : "SELECT pos, expires, tag, sum, data FROM records WHERE pos BETWEEN ?1 AND ?2 ORDER BY pos",
        &rc);
  while (rc == SQLITE_OK && !scan->ended)
    rc = chunk (scan, statement);
  if (statement != NULL)
    zs_reader_release (scan->reader, which, statement);
  rc = zs_code (scan->reader->db, rc);
  zs_reader_end (scan->reader);
  return rc;
}

int
zs_read (void *user, const zm_store_range *range, zm_store_record_fn func, void *told)
{
  uint64_t upto = range->upto == 0 || range->upto > ZM_STORE_SEQ_MOST ? ZM_STORE_SEQ_MOST : range->upto;
  zs_scan all = { .reader = user,
                  .func = func,
                  .user = told,
                  .left = range->most > 0 ? range->most : UINT64_MAX,
                  .heads = (range->flags & ZM_STORE_HEADS) != 0,
                  .upto = INT64_MAX };

  if (range->queue > ZM_STORE_QUEUE_MOST)
    return ZM_E_INVALID;
  if (range->queue != 0) {
    if (range->seq > upto)
      return ZM_OK;
    all.from = ZS_POS (range->queue, range->seq);
    all.upto = ZS_POS (range->queue, upto);
  }
  return run (&all);
}

int
zs_last (void *user, uint64_t queue, uint64_t *seq)
{
  zs_reader *reader = user;
  int rc = zs_reader_begin (reader);
  sqlite3_stmt *statement = NULL;

  if (rc == SQLITE_OK)
    statement = zs_reader_statement (reader, LAST,
                                     "SELECT max (ifnull ((SELECT last FROM queues WHERE queue = ?1), 0), "
                                     "ifnull ((SELECT pos - ?2 FROM records"
                                     " WHERE pos BETWEEN ?2 AND ?3 ORDER BY pos DESC LIMIT 1), 0))",
                                     &rc);
  if (statement != NULL) {
    sqlite3_bind_int64 (statement, 1, (int64_t) queue);
    sqlite3_bind_int64 (statement, 2, ZS_POS (queue, 0));
    sqlite3_bind_int64 (statement, 3, ZS_POS (queue, ZM_STORE_SEQ_MOST));
    rc = sqlite3_step (statement);
    *seq = rc == SQLITE_ROW ? (uint64_t) sqlite3_column_int64 (statement, 0) : 0;
    zs_reader_release (reader, LAST, statement);
  }
  rc = zs_code (reader->db, rc);
  zs_reader_end (reader);
  return rc;
}

/* ---- life ---- */

static void
leave (zs_reader *reader)
{
  for (unsigned i = 0; i < sizeof reader->statements / sizeof *reader->statements; i++) {
    sqlite3_finalize (reader->statements[i]);
    reader->statements[i] = NULL;
  }
  /* The last to leave would carry the log over and remove it by its name, which may be that of another file by then. */
  if (reader->db != NULL)
    sqlite3_db_config (reader->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
  sqlite3_close (reader->db);
  reader->db = NULL;
}

void
zs_readers_leave (zs_store *store)
{
  pthread_mutex_lock (&store->readers_lock);
  for (zs_reader *reader = store->readers; reader != NULL; reader = reader->next)
    leave (reader);
  pthread_mutex_unlock (&store->readers_lock);
}

int
zs_reader_open (void *user, void **out, char *error, size_t size)
{
  zs_store *store = user;
  zs_reader *reader = calloc (1, sizeof *reader);

  if (reader == NULL) {
    zs_say (error, size, "no memory for a reader");
    return ZM_E_MEMORY;
  }
  reader->store = store;
  pthread_mutex_lock (&store->readers_lock);
  reader->next = store->readers;
  store->readers = reader;
  pthread_mutex_unlock (&store->readers_lock);
  *out = reader;
  return ZM_OK;
}

/* A reading that runs nowhere can be closed beside an exchange: the list is under its own lock. */
void
zs_reader_close (void *user)
{
  zs_reader *reader = user;
  zs_store *store = reader->store;
  zs_reader **at = &store->readers;

  pthread_rwlock_rdlock (&store->files);
  pthread_mutex_lock (&store->readers_lock);
  while (*at != reader)
    at = &(*at)->next;
  *at = reader->next;
  pthread_mutex_unlock (&store->readers_lock);
  leave (reader);
  pthread_rwlock_unlock (&store->files);
  free (reader);
}
