/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A whole copy of one moment, beside the writer. The source is held at one snapshot by a transaction of its own: without that
 * each write would make SQLite's backup begin anew.
 */
#include "plugins/stores/sqlite/private.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define STEP_PAGES 512

static void
report_step (zm_store_report_fn report, void *user, sqlite3_backup *backup, int *stopped)
{
  uint64_t total = (uint64_t) sqlite3_backup_pagecount (backup);
  uint64_t left = (uint64_t) sqlite3_backup_remaining (backup);

  if (report != NULL && report (user, ZM_LOG_INFO, "pages copied", total - left, total) != 0)
    *stopped = 1;
}

/* SQLITE_DONE, or what went wrong; SQLITE_INTERRUPT: somebody wants it stopped. The exchange itself copies while it is `leaving`. */
static int
pages (zs_store *store, sqlite3 *from, sqlite3 *to, zm_store_report_fn report, void *user)
{
  sqlite3_backup *backup = sqlite3_backup_init (to, "main", from, "main");
  int rc = backup != NULL ? SQLITE_OK : sqlite3_extended_errcode (to);
  int stopped = 0, finished;

  while (rc == SQLITE_OK && !stopped) {
    rc = sqlite3_backup_step (backup, STEP_PAGES);
    report_step (report, user, backup, &stopped);
    stopped |= report != NULL && atomic_load (&store->leaving);
  }
  finished = sqlite3_backup_finish (backup);
  if (stopped && rc == SQLITE_OK)
    return SQLITE_INTERRUPT;
  return rc == SQLITE_DONE ? finished : rc;
}

static void
remove_beside (const char *path)
{
  static const char *const endings[] = { "", "-wal", "-shm", "-journal" };

  for (unsigned i = 0; i < sizeof endings / sizeof *endings; i++) {
    char *name = zs_beside (path, endings[i]);

    if (name != NULL)
      unlink (name);
    free (name);
  }
}

/* The snapshot is taken by the first look at a table. */
static int
take (zs_store *store, sqlite3 *from, const char *target, zm_store_report_fn report, void *user, char *error,
      size_t size)
{
  sqlite3 *to = NULL;
  int rc = SQLITE_CANTOPEN;
  int status;

  if (zs_make_empty (target) == 0)
    rc = sqlite3_open_v2 (target, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);

  if (rc == SQLITE_OK)
    sqlite3_extended_result_codes (to, 1);
  if (rc == SQLITE_OK)
    rc = zs_run (from, "BEGIN; SELECT count(*) FROM sqlite_master;");
  if (rc == SQLITE_OK)
    rc = pages (store, from, to, report, user);
  status = rc == SQLITE_INTERRUPT ? ZM_E_AGAIN : zs_code (to, rc);
  if (status != ZM_OK)
    zs_say (error, size, "%s could not be copied to %s: %s", store->path, target,
            status == ZM_E_AGAIN ? "it was stopped" : sqlite3_errstr (rc));
  sqlite3_close (to);
  return status;
}

/* Complete and on disk, or not there at all. */
int
zs_copy (zs_store *store, const char *target, zm_store_report_fn report, void *user, char *error, size_t size)
{
  sqlite3 *from = NULL;
  int status = ZM_E_FAILED;

  remove_beside (target);
  if (zs_connect (store->path, ZS_READ, &from, error, size) == SQLITE_OK)
    status = take (store, from, target, report, user, error, size);
  /* Not the one who carries the log over, even where it is the last. */
  if (from != NULL)
    sqlite3_db_config (from, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
  sqlite3_close (from);
  if (status == ZM_OK && zs_sync_path (target) != 0) {
    zs_say (error, size, "%s could not be synced: %s", target, strerror (errno));
    status = ZM_E_FAILED;
  }
  if (status != ZM_OK)
    remove_beside (target);
  return status;
}

static int
copy_to (zs_store *store, const char *path, char *part, zm_store_report_fn report, void *user, char *error,
         size_t size)
{
  int status;

  pthread_rwlock_rdlock (&store->files);
  status = store->torn ? ZM_E_FAILED : zs_copy (store, part, report, user, error, size);
  pthread_rwlock_unlock (&store->files);
  if (status != ZM_OK)
    return status;
  /* link refuses a name that has come to be taken meanwhile, which rename would not. */
  if (link (part, path) != 0 || zs_sync_directory (path) != 0) {
    zs_say (error, size, "%s: %s", path, strerror (errno));
    status = errno == EEXIST ? ZM_E_EXISTS : ZM_E_FAILED;
  }
  remove_beside (part);
  return status;
}

static int
quiet (void *user, int severity, const char *text, uint64_t done, uint64_t total)
{
  (void) user;
  (void) severity;
  (void) text;
  (void) done;
  (void) total;
  return 0;
}

/* A file that is there is left alone: what lies beside it (the log of an earlier use) would be taken for this one's. */
int
zs_backup (void *user, const char *path, zm_store_report_fn report, void *told)
{
  zs_store *store = user;
  char error[512] = "no memory";
  char *part = zs_beside (path, ".part"), *log = zs_beside (path, "-wal");
  int status = ZM_E_MEMORY;

  if (report == NULL)
    report = quiet;
  if (part != NULL && log != NULL && (access (path, F_OK) == 0 || access (log, F_OK) == 0)) {
    status = ZM_E_EXISTS;
    zs_say (error, sizeof error, "%s or %s is there already; nothing was written: name another file", path,
            log);
  } else if (part != NULL && log != NULL) {
    status = copy_to (store, path, part, report, told, error, sizeof error);
  }
  if (status != ZM_OK)
    report (told, ZM_LOG_ERROR, error, 0, 0);
  free (part);
  free (log);
  return status;
}
