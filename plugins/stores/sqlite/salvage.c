/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where the file's structure is broken: all rows that can be read go into a new file. A broken page hides a stretch of
 * positions. It is stepped over with growing steps until something can be read again; from there it is read backwards to the
 * stretch, within which places are tried by halving. What is wrong in itself is taken out of the new file by check.
 */
#include "plugins/stores/sqlite/private.h"

#include <stdlib.h>

#define GAP_DEPTH 12 /* halvings of a stretch that cannot be read: 4,096 places are tried */

typedef struct zs_rescue {
  sqlite3 *from, *to;
  sqlite3_stmt *insert, *aside;
  uint64_t saved, damaged, stretches;
  int rc; /* of writing; reading may fail */
} zs_rescue;

/* Both between two positions that are not meant themselves. */
static const char *const forward =
    "SELECT pos, expires, tag, sum, data FROM records WHERE pos > ?1 AND pos < ?2"
    " ORDER BY pos";
static const char *const backward =
    "SELECT pos, expires, tag, sum, data FROM records WHERE pos > ?1 AND pos < ?2"
    " ORDER BY pos DESC";

/* The row goes where it belongs: among the records, or, with a wrong checksum, aside. */
static void
keep (zs_rescue *all, sqlite3_stmt *row)
{
  int64_t pos = sqlite3_column_int64 (row, 0);
  int holds = pos > 0 && zs_record_sum (pos, sqlite3_column_int64 (row, 1), sqlite3_column_int64 (row, 2),
                                        zs_column (row, 4)) == sqlite3_column_int64 (row, 3);
  sqlite3_stmt *into = holds ? all->insert : all->aside;

  for (int i = 0; i < 5; i++)
    sqlite3_bind_value (into, i + 1, sqlite3_column_value (row, i));
  all->rc = sqlite3_step (into) == SQLITE_DONE ? SQLITE_OK : sqlite3_errcode (all->to);
  sqlite3_reset (into);
  if (all->rc == SQLITE_OK && holds)
    all->saved += (uint64_t) sqlite3_changes (all->to);
  else
    all->damaged++;
}

/* *last is the last that could be read. SQLITE_DONE: all of it could. */
static int
stretch (zs_rescue *all, const char *sql, int64_t low, int64_t high, int64_t *last)
{
  sqlite3_stmt *statement = NULL;
  int rc = sqlite3_prepare_v2 (all->from, sql, -1, &statement, NULL);

  if (rc == SQLITE_OK) {
    sqlite3_bind_int64 (statement, 1, low);
    sqlite3_bind_int64 (statement, 2, high);
    rc = SQLITE_ROW;
  }
  while (all->rc == SQLITE_OK && rc == SQLITE_ROW && (rc = sqlite3_step (statement)) == SQLITE_ROW) {
    keep (all, statement);
    *last = sqlite3_column_int64 (statement, 0);
  }
  sqlite3_finalize (statement);
  return rc;
}

/* The first row from `from` to before `high`: SQLITE_ROW with its position, SQLITE_DONE: none, or it cannot be read. */
static int
first_row (zs_rescue *all, int64_t from, int64_t high, int64_t *found)
{
  sqlite3_stmt *statement = NULL;
  int rc = sqlite3_prepare_v2 (all->from,
                               "SELECT pos FROM records WHERE pos >= ?1 AND pos < ?2 ORDER BY pos LIMIT 1",
                               -1, &statement, NULL);

  if (rc == SQLITE_OK) {
    sqlite3_bind_int64 (statement, 1, from);
    sqlite3_bind_int64 (statement, 2, high);
    rc = sqlite3_step (statement);
  }
  if (rc == SQLITE_ROW)
    *found = sqlite3_column_int64 (statement, 0);
  sqlite3_finalize (statement);
  return rc;
}

/* Sound pages between two broken ones, found by halving. */
static void
fill_gap (zs_rescue *all, int64_t low, int64_t high, unsigned depth)
{
  int64_t middle = low + (high - low) / 2, found, upper, lower;
  int rc;

  if (depth == 0 || high - low < 2 || all->rc != SQLITE_OK)
    return;
  rc = first_row (all, middle, high, &found);
  if (rc != SQLITE_ROW) {
    fill_gap (all, low, middle, depth - 1);
    if (rc != SQLITE_DONE)
      fill_gap (all, middle, high, depth - 1);
    return;
  }
  upper = lower = found;
  if (stretch (all, forward, found - 1, high, &upper) != SQLITE_DONE)
    fill_gap (all, upper, high, depth - 1);
  if (stretch (all, backward, low, found, &lower) != SQLITE_DONE)
    fill_gap (all, low, lower, depth - 1);
}

/* The first position after `from` at which something can be read again, by growing steps; INT64_MAX: none. */
static int64_t
beyond (zs_rescue *all, int64_t from)
{
  int64_t found;

  for (unsigned bit = 0; bit < 62 && from <= INT64_MAX - (INT64_C (1) << bit); bit++)
    if (first_row (all, from + (INT64_C (1) << bit), INT64_MAX, &found) == SQLITE_ROW)
      return found;
  return INT64_MAX;
}

static void
save_records (zs_rescue *all)
{
  int64_t last = 0, next = 0, back;

  while (all->rc == SQLITE_OK && next < INT64_MAX &&
         stretch (all, forward, next > 0 ? next - 1 : 0, INT64_MAX, &last) != SQLITE_DONE) {
    all->stretches++;
    next = back = beyond (all, last > next ? last : next);
    stretch (all, backward, last, next, &back);
    fill_gap (all, last, back, GAP_DEPTH);
    last = next;
  }
}

/* Small tables: from both ends. What is there already came from the other end. */
static void
save_table (zs_rescue *all, const char *select, const char *order, const char *insert)
{
  static const char *const ways[] = { "ASC", "DESC" };

  for (unsigned way = 0; way < 2; way++) {
    sqlite3_stmt *from = NULL, *to = NULL;
    char sql[256];
    int rc;

    snprintf (sql, sizeof sql, "%s ORDER BY %s %s", select, order, ways[way]);
    rc = sqlite3_prepare_v2 (all->from, sql, -1, &from, NULL);
    if (rc == SQLITE_OK)
      rc = sqlite3_prepare_v2 (all->to, insert, -1, &to, NULL);
    while (rc == SQLITE_OK && sqlite3_step (from) == SQLITE_ROW) {
      for (int i = 0; i < sqlite3_column_count (from); i++)
        sqlite3_bind_value (to, i + 1, sqlite3_column_value (from, i));
      sqlite3_step (to);
      sqlite3_reset (to);
    }
    sqlite3_finalize (from);
    sqlite3_finalize (to);
  }
}

/* WITHOUT ROWID tables have keys of two columns here; by space alone is order enough, as SQLite walks the key. Numbers go on a
 * million later than the last that is known: what cannot be read may have had greater ones. */
static void
save_rest (zs_rescue *all)
{
  save_table (all, "SELECT space, key, value, sum FROM documents", "space",
              "INSERT OR IGNORE INTO documents VALUES (?1, ?2, ?3, ?4)");
  save_table (all, "SELECT key, owner, until FROM leases", "key",
              "INSERT OR IGNORE INTO leases VALUES (?1, ?2, ?3)");
  save_table (all, "SELECT queue, last FROM queues", "queue", "INSERT OR IGNORE INTO queues VALUES (?1, ?2)");
  save_table (all, "SELECT pos, expires, tag, sum, space, key, data, id FROM quarantine", "id",
              "INSERT OR IGNORE INTO quarantine (pos, expires, tag, sum, space, key, data, id)"
              " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8 + 1000000)");
  if (all->rc == SQLITE_OK)
    all->rc = zs_run (
        all->to,
        "INSERT INTO queues SELECT pos >> 43, max (pos & 8796093022207) FROM records WHERE true GROUP BY 1"
        " ON CONFLICT (queue) DO UPDATE SET last = max (last, excluded.last);"
        "UPDATE queues SET last = min (last + 1000000, 8796093022207);");
}

static int
save_all (zs_store *store, zs_rescue *all, const char *fresh, char *error, size_t size)
{
  int rc = zs_connect (store->path, ZS_SALVAGE, &all->from, error, size);

  if (rc == SQLITE_OK)
    rc = zs_connect (fresh, ZS_WRITE, &all->to, error, size);
  if (rc != SQLITE_OK)
    return 0;
  if (zs_number (all->from, "SELECT count(*) FROM sqlite_master WHERE name = 'records'", 0) != 1) {
    zs_say (error, size, "%s: the list of its tables cannot be read; restore a backup", store->path);
    return 0;
  }
  all->rc = zs_run (all->to, "BEGIN");
  if (all->rc == SQLITE_OK)
    all->rc = sqlite3_prepare_v2 (all->to, "INSERT OR IGNORE INTO records VALUES (?1, ?2, ?3, ?4, ?5)", -1,
                                  &all->insert, NULL);
  if (all->rc == SQLITE_OK)
    all->rc = sqlite3_prepare_v2 (
        all->to, "INSERT INTO quarantine (pos, expires, tag, sum, data) VALUES (?1, ?2, ?3, ?4, ?5)", -1,
        &all->aside, NULL);
  if (all->rc == SQLITE_OK)
    save_records (all);
  if (all->rc == SQLITE_OK)
    save_rest (all);
  if (all->rc == SQLITE_OK)
    all->rc = zs_run (all->to, "COMMIT");
  if (all->rc != SQLITE_OK)
    zs_say (error, size, "%s cannot be written: %s", fresh, sqlite3_errmsg (all->to));
  return all->rc == SQLITE_OK;
}

static void
clear (zs_rescue *all)
{
  sqlite3_finalize (all->insert);
  sqlite3_finalize (all->aside);
  /* The log stays, as all of it is only in the way when the new file takes over, and all there is when it does not. */
  if (all->from != NULL)
    sqlite3_db_config (all->from, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
  sqlite3_close (all->from);
  sqlite3_close (all->to);
}

static int
locked (zs_store *store, zs_rescue *all, char *error, size_t size)
{
  char *fresh = zs_beside (store->path, ".new");
  int status = ZM_E_MEMORY;

  if (fresh != NULL && (status = zs_exchange_finish (store->path, error, size)) == ZM_OK &&
      (status = zs_schema_make (fresh, error, size)) == ZM_OK) {
    status = save_all (store, all, fresh, error, size) ? ZM_OK : ZM_E_FAILED;
    clear (all);
    if (status == ZM_OK && zs_sync_path (fresh) != 0)
      status = ZM_E_FAILED;
    if (status == ZM_OK)
      status = zs_exchange (store, error, size);
  }
  free (fresh);
  return status;
}

int
zs_salvage (zs_store *store, zm_store_report_fn report, void *user)
{
  zs_rescue all = { 0 };
  char error[512] = "";
  char text[768];
  int status;

  pthread_mutex_lock (&store->writer);
  atomic_store (&store->leaving, 1);
  status = locked (store, &all, error, sizeof error);
  store->leapt |= status == ZM_OK;
  atomic_store (&store->leaving, 0);
  pthread_mutex_unlock (&store->writer);
  if (status == ZM_OK)
    snprintf (
        text, sizeof text,
        "the file was made anew: %llu records saved, %llu damaged ones kept in the table quarantine, %llu "
        "stretches could not be read; start the daemon again, so that it forgets what is lost",
        (unsigned long long) all.saved, (unsigned long long) all.damaged, (unsigned long long) all.stretches);
  else
    snprintf (text, sizeof text, "the file could not be made anew: %s", error);
  zs_log (store, ZM_LOG_WARNING, "%s", text);
  if (report != NULL)
    report (user, status == ZM_OK ? ZM_LOG_WARNING : ZM_LOG_ERROR, text, 0, 0);
  return status;
}
