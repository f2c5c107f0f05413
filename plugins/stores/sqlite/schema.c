/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The tables, and the way from each older version to this one. Each step is one transaction that ends in raising user_version.
 *
 *   1   records, queues, documents, leases
 *   2   checksums of documents; quarantine
 */
#include "plugins/stores/sqlite/private.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* pos is queue << 43 | sequence number: a queue's records stand together and are appended at its end. queues.last is written
 * only when the record that bears it is removed: the greatest pos tells it before that. */
static const char *const tables =
    "CREATE TABLE records (pos INTEGER PRIMARY KEY, expires INTEGER NOT NULL, tag INTEGER NOT NULL,"
    " sum INTEGER NOT NULL, data BLOB NOT NULL);"
    "CREATE TABLE queues (queue INTEGER PRIMARY KEY, last INTEGER NOT NULL);"
    "CREATE TABLE documents (space BLOB NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL,"
    " sum INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (space, key)) WITHOUT ROWID;"
    "CREATE TABLE leases (key BLOB PRIMARY KEY, owner BLOB NOT NULL, until INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE quarantine (id INTEGER PRIMARY KEY, pos INTEGER, expires INTEGER, tag INTEGER, sum INTEGER,"
    " space BLOB, key BLOB, data BLOB);";

static zm_str
argument (sqlite3_value *value)
{
  const char *data = sqlite3_value_blob (value);
  zm_str bytes = { data, (size_t) sqlite3_value_bytes (value) };

  return bytes;
}

static void
sum_function (sqlite3_context *context, int n, sqlite3_value **values)
{
  (void) n;
  sqlite3_result_int64 (context,
                        zs_document_sum (argument (values[0]), argument (values[1]), argument (values[2])));
}

/* The sums are worked out once, of what stands there: a version 1 could not tell whether it is right. */
static int
from_1 (sqlite3 *db)
{
  int rc = sqlite3_create_function (db, "zm_sum", 3, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL, sum_function,
                                    NULL, NULL);

  if (rc == SQLITE_OK)
    rc = zs_run (db,
                 "ALTER TABLE documents ADD COLUMN sum INTEGER NOT NULL DEFAULT 0;"
                 "UPDATE documents SET sum = zm_sum (space, key, value);"
                 "CREATE TABLE quarantine (id INTEGER PRIMARY KEY, pos INTEGER, expires INTEGER, tag INTEGER,"
                 " sum INTEGER, space BLOB, key BLOB, data BLOB);");
  return rc;
}

/* steps[n] leads from version n + 1 to n + 2. */
static int (*const steps[]) (sqlite3 *db) = { from_1 };

static int
set_version (sqlite3 *db, int version)
{
  char sql[64];

  snprintf (sql, sizeof sql, "PRAGMA user_version=%d", version);
  return zs_run (db, sql);
}

static int
migrate (sqlite3 *db, int version)
{
  int rc = SQLITE_OK;

  for (; version < ZS_SCHEMA && rc == SQLITE_OK; version++) {
    rc = zs_run (db, "BEGIN IMMEDIATE");
    if (rc == SQLITE_OK)
      rc = steps[version - 1](db);
    if (rc == SQLITE_OK)
      rc = set_version (db, version + 1);
    if (rc == SQLITE_OK)
      rc = zs_run (db, "COMMIT");
    if (rc != SQLITE_OK && !sqlite3_get_autocommit (db))
      zs_run (db, "ROLLBACK");
  }
  return rc;
}

int
zs_schema_ready (sqlite3 *db, const char *path, char *error, size_t size)
{
  int version = (int) zs_number (db, "PRAGMA user_version", -1);
  int rc = sqlite3_errcode (db);

  if (version > ZS_SCHEMA) {
    zs_say (error, size,
            "%s is of version %d, made by a later zmanager; this one knows versions up to %d: use the later "
            "zmanager, or another file",
            path, version, ZS_SCHEMA);
    return ZM_E_DENIED;
  }
  if (version >= 1)
    rc = migrate (db, version);
  else if (version == 0)
    rc = SQLITE_CORRUPT; /* one of ours has a version from the first moment on */
  if (version < 1 || rc != SQLITE_OK) {
    zs_say (error, size, "%s cannot be brought from version %d to %d: %s", path, version, ZS_SCHEMA,
            version == 0 ? "it has lost its version" : sqlite3_errmsg (db));
    return zs_corrupt (rc) ? ZS_BROKEN : zs_code (db, rc);
  }
  return ZM_OK;
}

/* All of it is in one transaction of the ordinary journal, so that the file itself tells whose it is before the write-ahead log
 * begins. */
int
zs_schema_make (const char *path, char *error, size_t size)
{
  sqlite3 *db = NULL;
  char head[96];
  int rc = SQLITE_CANTOPEN;

  if (zs_make_empty (path) == 0)
    rc = sqlite3_open_v2 (path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
  snprintf (head, sizeof head, "PRAGMA application_id=%d; PRAGMA user_version=%d;", ZS_APPLICATION,
            ZS_SCHEMA);
  if (rc == SQLITE_OK)
    rc = zs_run (db, "PRAGMA auto_vacuum=INCREMENTAL; PRAGMA synchronous=FULL; BEGIN IMMEDIATE;");
  if (rc == SQLITE_OK)
    rc = zs_run (db, tables);
  if (rc == SQLITE_OK)
    rc = zs_run (db, head);
  if (rc == SQLITE_OK)
    rc = zs_run (db, "COMMIT");
  if (rc != SQLITE_OK)
    zs_say (error, size, "%s cannot be made: %s", path, db != NULL ? sqlite3_errmsg (db) : strerror (errno));
  rc = zs_code (db, rc);
  sqlite3_close (db);
  return rc;
}

/* Read without SQLite, which would take an empty journal or a foreign file's log for its own to play back. */
int
zs_schema_ours (const char *path, char *error, size_t size)
{
  unsigned char head[100] = { 0 };
  int fd = open (path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd >= 0 ? read (fd, head, sizeof head) : -1;
  uint32_t id = (uint32_t) head[68] << 24 | (uint32_t) head[69] << 16 | (uint32_t) head[70] << 8 | head[71];

  if (n < 0)
    zs_say (error, size, "%s cannot be read: %s", path, strerror (errno));
  if (fd >= 0)
    close (fd);
  if (n < 0)
    return ZM_E_FAILED;
  if (n < (ssize_t) sizeof head || memcmp (head, "SQLite format 3", 16) != 0) {
    zs_say (error, size, "%s is no SQLite database; name another file in [store] uri, or move it away", path);
    return ZM_E_INVALID;
  }
  if (id != ZS_APPLICATION) {
    zs_say (error, size,
            "%s is a database of another application (id %08x); name another file in [store] uri", path,
            (unsigned) id);
    return ZM_E_INVALID;
  }
  return ZM_OK;
}
