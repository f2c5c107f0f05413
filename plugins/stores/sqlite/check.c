/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Looks at all of the file: SQLite's own check of its structure, then each checksum. Repair takes what is damaged out into the
 * table quarantine, row by row in short transactions, beside the writer; where the structure itself is broken, what can be
 * read is saved into a new file (salvage.c).
 */
#include "plugins/stores/sqlite/private.h"

#include <stdlib.h>

#define PROGRESS_STEPS 100000 /* of SQLite's machine between two looks at whether to stop */

typedef struct zs_look {
  zs_store *store;
  sqlite3 *db;
  int repair;
  zm_store_report_fn report;
  void *user;
  uint64_t done, total;
  uint64_t damaged;
  int broken, stopped;
} zs_look;

/* Also stops where the file is to be exchanged. */
__attribute__ ((format (printf, 3, 4))) static void
say (zs_look *check, int severity, const char *format, ...)
{
  char text[512];
  va_list arguments;

  va_start (arguments, format);
  vsnprintf (text, sizeof text, format, arguments);
  va_end (arguments);
  check->stopped |=
      check->report != NULL && check->report (check->user, severity, text, check->done, check->total) != 0;
  check->stopped |= atomic_load (&check->store->leaving);
}

static int
progress (void *user)
{
  return atomic_load (&((zs_look *) user)->store->leaving);
}

static int
broken (zs_look *check, int rc)
{
  if (rc == SQLITE_OK || rc == SQLITE_DONE || rc == SQLITE_ROW)
    return 0;
  if ((rc & 0xff) == SQLITE_INTERRUPT)
    check->stopped = 1;
  else
    check->broken = 1;
  return 1;
}

static void
structure (zs_look *check)
{
  sqlite3_stmt *statement = NULL;
  int rc = sqlite3_prepare_v2 (check->db, "PRAGMA integrity_check(20)", -1, &statement, NULL);

  say (check, ZM_LOG_INFO, "the structure of the file");
  while (!check->stopped && rc != SQLITE_DONE && (rc == SQLITE_OK || rc == SQLITE_ROW)) {
    rc = sqlite3_step (statement);
    if (rc == SQLITE_ROW && strcmp ((const char *) sqlite3_column_text (statement, 0), "ok") != 0) {
      check->broken = 1;
      say (check, ZM_LOG_ERROR, "%s", (const char *) sqlite3_column_text (statement, 0));
    }
  }
  if (broken (check, rc) && check->broken)
    say (check, ZM_LOG_ERROR, "the file's structure is broken: %s", sqlite3_errmsg (check->db));
  sqlite3_finalize (statement);
}

/* ---- taking out ---- */

static int
run_with (sqlite3 *db, const char *sql, int64_t number, zm_str space, zm_str key)
{
  sqlite3_stmt *statement = NULL;
  int rc = sqlite3_prepare_v2 (db, sql, -1, &statement, NULL);

  if (rc == SQLITE_OK) {
    sqlite3_bind_int64 (statement, 1, number);
    zs_bind (statement, 2, space);
    zs_bind (statement, 3, key);
    rc = sqlite3_step (statement);
  }
  sqlite3_finalize (statement);
  return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* In one transaction: the row is in one of the two tables at any moment. */
static int
in_transaction (zs_look *check, const char *const *sql, int64_t number, zm_str space, zm_str key)
{
  int rc = zs_run (check->db, "BEGIN IMMEDIATE");

  for (; rc == SQLITE_OK && *sql != NULL; sql++)
    rc = run_with (check->db, *sql, number, space, key);
  if (rc == SQLITE_OK)
    rc = zs_run (check->db, "COMMIT");
  if (!sqlite3_get_autocommit (check->db))
    zs_run (check->db, "ROLLBACK");
  return rc;
}

/* The number stays used: the queue remembers it. */
static void
take_record_out (zs_look *check, int64_t pos)
{
  static const char *const sql[] = {
    "INSERT INTO quarantine (pos, expires, tag, sum, data) SELECT pos, expires, tag, sum, data FROM records"
    " WHERE pos = ?1 AND ?2 = ?3",
    "INSERT INTO queues (queue, last) SELECT ?1 >> 43, ?1 & 8796093022207 WHERE ?2 = ?3"
    " ON CONFLICT (queue) DO UPDATE SET last = max (last, excluded.last)",
    "DELETE FROM records WHERE pos = ?1 AND ?2 = ?3", NULL
  };
  const zm_str none = { "", 0 };
  unsigned long long seq = ZS_SEQ (pos), queue = ZS_QUEUE (pos);
  int rc = SQLITE_OK;

  check->damaged++;
  if (check->repair && (rc = in_transaction (check, sql, pos, none, none)) == SQLITE_OK) {
    check->damaged--;
    say (check, ZM_LOG_WARNING,
         "record %llu of queue %llu is damaged; it was taken out and is kept in the table quarantine", seq,
         queue);
  } else {
    say (check, ZM_LOG_ERROR, "record %llu of queue %llu is damaged%s%s", seq, queue,
         rc != SQLITE_OK ? " and could not be taken out: " : "",
         rc != SQLITE_OK ? sqlite3_errmsg (check->db) : "");
  }
}

static void
take_document_out (zs_look *check, zm_str space, zm_str key)
{
  static const char *const sql[] = {
    "INSERT INTO quarantine (sum, space, key, data) SELECT sum, space, key, value FROM documents"
    " WHERE ?1 = 0 AND space = ?2 AND key = ?3",
    "DELETE FROM documents WHERE ?1 = 0 AND space = ?2 AND key = ?3", NULL
  };
  int rc = SQLITE_OK;

  check->damaged++;
  if (check->repair && (rc = in_transaction (check, sql, 0, space, key)) == SQLITE_OK) {
    check->damaged--;
    say (check, ZM_LOG_WARNING,
         "document %.*s of %.*s is damaged; it was taken out and is kept in the table quarantine",
         (int) key.size, key.data, (int) space.size, space.data);
  } else {
    say (check, ZM_LOG_ERROR, "document %.*s of %.*s is damaged%s%s", (int) key.size, key.data,
         (int) space.size, space.data, rc != SQLITE_OK ? " and could not be taken out: " : "",
         rc != SQLITE_OK ? sqlite3_errmsg (check->db) : "");
  }
}

/* ---- looking ---- */

/* At most one chunk from *from on; the damaged ones are taken out when the snapshot is over. */
static int
record_chunk (zs_look *check, sqlite3_stmt *statement, int64_t *from)
{
  int64_t bad[ZS_CHUNK];
  unsigned n_bad = 0, rows = 0;
  int rc = SQLITE_ROW;

  sqlite3_bind_int64 (statement, 1, *from);
  for (; rows < ZS_CHUNK && (rc = sqlite3_step (statement)) == SQLITE_ROW; rows++) {
    int64_t pos = sqlite3_column_int64 (statement, 0);

    if (pos < 0 ||
        zs_record_sum (pos, sqlite3_column_int64 (statement, 1), sqlite3_column_int64 (statement, 2),
                       zs_column (statement, 4)) != sqlite3_column_int64 (statement, 3))
      bad[n_bad++] = pos;
    *from = pos;
  }
  sqlite3_reset (statement);
  check->done += rows;
  for (unsigned i = 0; i < n_bad && !check->stopped; i++)
    take_record_out (check, bad[i]);
  return rc == SQLITE_ROW && *from < INT64_MAX ? ((*from)++, SQLITE_ROW) : rc;
}

static void
records (zs_look *check)
{
  sqlite3_stmt *statement = NULL;
  int64_t from = INT64_MIN;
  int rc = sqlite3_prepare_v2 (
      check->db, "SELECT pos, expires, tag, sum, data FROM records WHERE pos >= ?1 ORDER BY pos", -1,
      &statement, NULL);

  if (rc == SQLITE_OK)
    rc = SQLITE_ROW;
  while (rc == SQLITE_ROW && !check->stopped) {
    rc = record_chunk (check, statement, &from);
    say (check, ZM_LOG_INFO, "records");
  }
  broken (check, rc);
  sqlite3_finalize (statement);
}

/* The next damaged one after (space, key), whose bytes are then those; SQLITE_DONE: none. */
static int
next_bad (zs_look *check, sqlite3_stmt *statement, char *space, size_t *space_size, char *key,
          size_t *key_size)
{
  zm_str after_space = { space, *space_size }, after_key = { key, *key_size };
  int rc;

  zs_bind (statement, 1, after_space);
  zs_bind (statement, 2, after_key);
  while ((rc = sqlite3_step (statement)) == SQLITE_ROW) {
    zm_str row_space = zs_column (statement, 0), row_key = zs_column (statement, 1);

    check->done++;
    if (row_space.size > ZM_STORE_SPACE_MOST || row_key.size > ZM_STORE_KEY_MOST) {
      rc = SQLITE_CORRUPT;
      break;
    }
    if (zs_document_sum (row_space, row_key, zs_column (statement, 2)) == sqlite3_column_int64 (statement, 3))
      continue;
    memcpy (space, row_space.data != NULL ? row_space.data : "", *space_size = row_space.size);
    memcpy (key, row_key.data != NULL ? row_key.data : "", *key_size = row_key.size);
    break;
  }
  sqlite3_reset (statement);
  sqlite3_clear_bindings (statement);
  return rc;
}

static void
documents (zs_look *check)
{
  sqlite3_stmt *statement = NULL;
  char space[ZM_STORE_SPACE_MOST], key[ZM_STORE_KEY_MOST];
  size_t space_size = 0, key_size = 0;
  int rc = sqlite3_prepare_v2 (check->db,
                               "SELECT space, key, value, sum FROM documents WHERE (space, key) > (?1, ?2)"
                               " ORDER BY space, key",
                               -1, &statement, NULL);

  if (rc == SQLITE_OK)
    rc = SQLITE_ROW;
  while (rc == SQLITE_ROW && !check->stopped &&
         (rc = next_bad (check, statement, space, &space_size, key, &key_size)) == SQLITE_ROW)
    take_document_out (check, (zm_str){ space, space_size }, (zm_str){ key, key_size });
  broken (check, rc);
  sqlite3_finalize (statement);
}

/* With a connection of its own. */
static void
look (zs_look *check)
{
  zs_store *store = check->store;
  char error[512] = "";

  pthread_rwlock_rdlock (&store->files);
  if (store->torn || zs_connect (store->path, check->repair ? ZS_WRITE : ZS_READ, &check->db, error,
                                 sizeof error) != SQLITE_OK) {
    check->broken = 1;
    say (check, ZM_LOG_ERROR, "%s", error);
  } else {
    sqlite3_progress_handler (check->db, PROGRESS_STEPS, progress, check);
    structure (check);
    check->total = (uint64_t) zs_number (
        check->db, "SELECT (SELECT count(*) FROM records) + (SELECT count(*) FROM documents)", 0);
    if (!check->broken && !check->stopped)
      records (check);
    if (!check->broken && !check->stopped)
      documents (check);
    say (check, ZM_LOG_INFO, "done");
    sqlite3_db_config (check->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
  }
  sqlite3_close (check->db);
  check->db = NULL;
  pthread_rwlock_unlock (&store->files);
}

int
zs_check (void *user, int repair, zm_store_report_fn report, void *told)
{
  zs_look check = { .store = user, .repair = repair, .report = report, .user = told };

  look (&check);
  if (check.stopped)
    return ZM_E_AGAIN;
  if (check.broken && repair) {
    int status = zs_salvage (check.store, report, told);

    if (status != ZM_OK)
      return status;
    /* The new file is sound; what came into it may not be. */
    check.broken = 0;
    check.done = check.damaged = 0;
    look (&check);
  }
  return check.broken || check.damaged > 0 ? ZM_E_FAILED : ZM_OK;
}
