/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A new file in place of one that cannot be trusted any more. After a failed sync the kernel may have thrown away what it could
 * not write and say nothing the next time, so that nothing is ever synced into the old file again: its content, as SQLite
 * sees it, is copied into a new file.
 *
 * The name FILE.ready is the moment that counts: from then on the copy is the database, and FILE with its log is only in the
 * way. Whoever finds it, recover or open, ends what was begun.
 */
#include "plugins/stores/sqlite/private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define DAMAGED " is damaged: run zmanagerctl store check --repair, or restore a backup"

static int
remove_one (const char *path, const char *ending)
{
  char *name = zs_beside (path, ending);
  int gone = name != NULL && (unlink (name) == 0 || errno == ENOENT);

  free (name);
  return gone;
}

/* Each step may be done a second time. The log goes first, and for good, as it belongs to the old file. */
static int
finish_ready (const char *path, const char *ready)
{
  return remove_one (path, "-wal") && remove_one (path, "-shm") && remove_one (path, "-journal") &&
         zs_sync_directory (path) == 0 && rename (ready, path) == 0 && zs_sync_directory (path) == 0;
}

int
zs_exchange_finish (const char *path, char *error, size_t size)
{
  char *ready = zs_beside (path, ".ready");
  int status = ready != NULL ? ZM_OK : ZM_E_MEMORY;

  if (ready != NULL && access (ready, F_OK) == 0 && !finish_ready (path, ready)) {
    zs_say (error, size, "%s cannot take the place of %s: %s", ready, path, strerror (errno));
    status = ZM_E_FAILED;
  }
  free (ready);
  if (status == ZM_OK) {
    remove_one (path, ".new");
    remove_one (path, ".new-journal");
    remove_one (path, ".new-wal");
    remove_one (path, ".new-shm");
  }
  return status;
}

/* Nobody has the old file open when its log goes. */
static int
change_over (zs_store *store, char *error, size_t size)
{
  int status;

  pthread_rwlock_wrlock (&store->files);
  zs_readers_leave (store);
  store->failed = 1;
  zs_writer_close (store);
  store->torn = 1;
  status = zs_exchange_finish (store->path, error, size);
  store->torn = status != ZM_OK;
  if (status == ZM_OK)
    status = zs_writer_open (store, error, size);
  pthread_rwlock_unlock (&store->files);
  if (status == ZM_OK)
    store->failed = store->corrupt = 0;
  return status == ZS_BROKEN ? ZM_E_FAILED : status;
}

int
zs_exchange (zs_store *store, char *error, size_t size)
{
  char *fresh = zs_beside (store->path, ".new"), *ready = zs_beside (store->path, ".ready");
  int status = ZM_E_MEMORY;

  if (fresh != NULL && ready != NULL) {
    status = zs_sync_directory (store->path) == 0 && rename (fresh, ready) == 0 ? ZM_OK : ZM_E_FAILED;
    if (status == ZM_OK && zs_sync_directory (store->path) != 0) {
      /* It may be there or not after a crash: as nothing is written meanwhile, both files say the same. */
      rename (ready, fresh);
      status = ZM_E_FAILED;
    }
    if (status != ZM_OK)
      zs_say (error, size, "%s cannot be renamed for good: %s", fresh, strerror (errno));
  }
  if (status == ZM_OK)
    status = change_over (store, error, size);
  free (fresh);
  free (ready);
  return status;
}

/* A copy of a broken structure is broken as well. Looked at only where that was what failed, as it takes its time. */
static int
is_whole (zs_store *store, const char *path, char *error, size_t size)
{
  sqlite3 *db = NULL;
  sqlite3_stmt *statement = NULL;
  int whole = 0;

  if (!store->corrupt)
    return 1;
  if (zs_connect (path, ZS_READ, &db, error, size) != SQLITE_OK)
    return 0;
  if (sqlite3_prepare_v2 (db, "PRAGMA quick_check(1)", -1, &statement, NULL) == SQLITE_OK &&
      sqlite3_step (statement) == SQLITE_ROW)
    whole = strcmp ((const char *) sqlite3_column_text (statement, 0), "ok") == 0;
  sqlite3_finalize (statement);
  sqlite3_close (db);
  if (!whole)
    zs_say (error, size, "%s" DAMAGED, store->path);
  return whole;
}

static int
copy_anew (zs_store *store, char *error, size_t size)
{
  char *fresh = zs_beside (store->path, ".new");
  int status = ZM_E_MEMORY;

  if (fresh != NULL) {
    /* What the failed one left undone is undone, where that is possible: the copy is of what was confirmed. */
    if (store->db != NULL && !sqlite3_get_autocommit (store->db))
      zs_run (store->db, "ROLLBACK");
    status = zs_copy (store, fresh, NULL, NULL, error, size);
    if (status != ZM_OK && store->corrupt)
      zs_say (error, size, "%s" DAMAGED, store->path);
    if (status == ZM_OK && !is_whole (store, fresh, error, size))
      status = ZM_E_FAILED;
  }
  free (fresh);
  return status;
}

static int
recover_locked (zs_store *store, char *error, size_t size)
{
  char *ready = zs_beside (store->path, ".ready");
  int begun = ready != NULL && access (ready, F_OK) == 0;
  int status;

  free (ready);
  if (begun)
    return change_over (store, error, size);
  status = copy_anew (store, error, size);
  return status == ZM_OK ? zs_exchange (store, error, size) : status;
}

int
zs_recover (void *user, char *error, size_t size)
{
  zs_store *store = user;
  int status;

  pthread_mutex_lock (&store->writer);
  atomic_store (&store->leaving, 1);
  status = recover_locked (store, error, size);
  atomic_store (&store->leaving, 0);
  pthread_mutex_unlock (&store->writer);
  if (status == ZM_OK)
    zs_log (store, ZM_LOG_NOTICE, "%s: everything was copied into a new file, which is in use now",
            store->path);
  return status;
}
