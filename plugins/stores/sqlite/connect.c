/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Connections: how they are set up, and what their errors mean for the daemon. Small helpers on files stand here as well.
 */
#include "plugins/stores/sqlite/private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define FULL_BELOW ((uint64_t) 256 << 10)
#define BUSY_MS    5000 /* repair writes beside the writer, in short transactions */

int
zs_run (sqlite3 *db, const char *sql)
{
  return sqlite3_exec (db, sql, NULL, NULL, NULL);
}

int
zs_corrupt (int rc)
{
  return (rc & 0xff) == SQLITE_CORRUPT || (rc & 0xff) == SQLITE_NOTADB;
}

/* SQLite itself says FULL only for ENOSPC; a quota and a limit on the file's size are no other thing to whoever waits for room. */
static int
no_room (sqlite3 *db)
{
  int what = db != NULL ? sqlite3_system_errno (db) : 0;

  return what == ENOSPC || what == EDQUOT || what == EFBIG;
}

int
zs_code (sqlite3 *db, int rc)
{
  switch (rc & 0xff) {
  case SQLITE_OK:
  case SQLITE_ROW:
  case SQLITE_DONE: return ZM_OK;
  case SQLITE_FULL: return ZM_E_MEMORY;
  case SQLITE_BUSY:
  case SQLITE_LOCKED:
  case SQLITE_NOMEM:
  case SQLITE_INTERRUPT: return ZM_E_AGAIN;
  case SQLITE_TOOBIG: return ZM_E_INVALID;
  case SQLITE_IOERR: return rc != SQLITE_IOERR_FSYNC && no_room (db) ? ZM_E_MEMORY : ZM_E_FAILED;
  default: return ZM_E_FAILED;
  }
}

int64_t
zs_number (sqlite3 *db, const char *sql, int64_t otherwise)
{
  sqlite3_stmt *statement = NULL;
  int64_t number = otherwise;

  if (sqlite3_prepare_v2 (db, sql, -1, &statement, NULL) == SQLITE_OK &&
      sqlite3_step (statement) == SQLITE_ROW)
    number = sqlite3_column_int64 (statement, 0);
  sqlite3_finalize (statement);
  return number;
}

int
zs_bind (sqlite3_stmt *statement, int index, zm_str bytes)
{
  return sqlite3_bind_blob64 (statement, index, bytes.size > 0 ? bytes.data : "", bytes.size, SQLITE_STATIC);
}

zm_str
zs_column (sqlite3_stmt *statement, int index)
{
  /* The order matters: asking for the bytes may convert the value and so change its length. */
  const char *data = sqlite3_column_blob (statement, index);
  zm_str bytes = { data, (size_t) sqlite3_column_bytes (statement, index) };

  return bytes;
}

/* synchronous is FULL: in WAL mode that syncs the log at each commit. A page cache of 8 MiB for the writer, 2 MiB for readers. */
static int
set_up (sqlite3 *db, int how)
{
  static const char *const writer =
      "PRAGMA synchronous=FULL; PRAGMA cache_size=-8192; PRAGMA mmap_size=0;"
      "PRAGMA journal_size_limit=67108864; PRAGMA wal_autocheckpoint=0;"
      "PRAGMA temp_store=MEMORY; PRAGMA foreign_keys=OFF; PRAGMA trusted_schema=OFF;";
  static const char *const reader =
      "PRAGMA cache_size=-2048; PRAGMA mmap_size=0; PRAGMA query_only=ON; PRAGMA trusted_schema=OFF;"
      "PRAGMA wal_autocheckpoint=0;";
  /* A file that is shorter than it says is opened all the same. */
  static const char *const salvage =
      "PRAGMA writable_schema=ON; PRAGMA query_only=ON; PRAGMA cell_size_check=ON;"
      "PRAGMA wal_autocheckpoint=0;";

  sqlite3_busy_timeout (db, BUSY_MS);
  return zs_run (db, how == ZS_WRITE ? writer : how == ZS_READ ? reader : salvage);
}

int
zs_connect (const char *path, int how, sqlite3 **db, char *error, size_t size)
{
  int rc = sqlite3_open_v2 (path, db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE,
                            NULL);

  if (rc == SQLITE_OK)
    sqlite3_extended_result_codes (*db, 1);
  if (rc == SQLITE_OK)
    rc = set_up (*db, how);
  if (rc == SQLITE_OK)
    return SQLITE_OK;
  zs_say (error, size, "%s cannot be opened: %s", path, *db != NULL ? sqlite3_errmsg (*db) : "no memory");
  sqlite3_close (*db);
  *db = NULL;
  return rc;
}

char *
zs_beside (const char *path, const char *ending)
{
  size_t size = strlen (path) + strlen (ending) + 1;
  char *name = malloc (size);

  if (name != NULL)
    snprintf (name, size, "%s%s", path, ending);
  return name;
}

/* SQLite would make it with whatever the umask leaves. */
int
zs_make_empty (const char *path)
{
  int fd = open (path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

  if (fd < 0)
    return -1;
  close (fd);
  return 0;
}

int
zs_sync_path (const char *path)
{
  int fd = open (path, O_RDONLY | O_CLOEXEC);
  int result = fd >= 0 ? fsync (fd) : -1;

  if (fd >= 0)
    close (fd);
  return result;
}

/* A new name is on disk only when its directory is. */
int
zs_sync_directory (const char *path)
{
  char *directory = zs_beside (path, "");
  char *slash = directory != NULL ? strrchr (directory, '/') : NULL;
  int result;

  if (directory == NULL)
    return -1;
  if (slash != NULL)
    slash[slash == directory ? 1 : 0] = '\0';
  result = zs_sync_path (slash != NULL ? directory : ".");
  free (directory);
  return result;
}

int
zs_disk_full (const char *path)
{
  struct statvfs room;

  return statvfs (path, &room) == 0 && (uint64_t) room.f_bavail * room.f_frsize < FULL_BELOW;
}

uint64_t
zs_file_size (const char *path, const char *ending)
{
  char *name = zs_beside (path, ending);
  struct stat info;
  uint64_t size = name != NULL && stat (name, &info) == 0 ? (uint64_t) info.st_size : 0;

  free (name);
  return size;
}

void
zs_log (const zs_store *store, int level, const char *format, ...)
{
  char text[600];
  va_list arguments;

  if (store->host == NULL || !ZM_HAS (store->host, log))
    return;
  va_start (arguments, format);
  vsnprintf (text, sizeof text, format, arguments);
  va_end (arguments);
  zm_log (store->host, level, text);
}
