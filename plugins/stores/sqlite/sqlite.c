/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sqlite: the store for one daemon, in one SQLite database, without any service beside it.
 *
 * Options   none
 * Example   [store]
 *           driver = sqlite
 *           uri = /var/lib/zmanager/store.db
 * Threads   none of its own
 */
#include "plugins/stores/sqlite/private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* One process at a time: SQLite would let two write in turns, and each would believe its own numbers. */
static int
take_lock (zs_store *store, char *error, size_t size)
{
  char *name = zs_beside (store->path, ".lock");
  int status = ZM_OK;

  store->lock = name != NULL ? open (name, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
  if (store->lock < 0) {
    zs_say (error, size, "%s.lock cannot be opened: %s", store->path, strerror (errno));
    status = ZM_E_FAILED;
  } else if (flock (store->lock, LOCK_EX | LOCK_NB) != 0) {
    zs_say (error, size, "%s is in use by another process (it holds %s); end that one first", store->path,
            name);
    status = ZM_E_DENIED;
  }
  free (name);
  return status;
}

/* A new one is made aside and gets its name when it is whole. An empty file is a new one. */
static int
make_or_look (const char *path, char *error, size_t size)
{
  char *fresh;
  struct stat info;
  int status;

  if (stat (path, &info) == 0 && info.st_size > 0)
    return zs_schema_ours (path, error, size);
  if ((fresh = zs_beside (path, ".new")) == NULL)
    return ZM_E_MEMORY;
  status = zs_schema_make (fresh, error, size);
  if (status == ZM_OK &&
      (zs_sync_path (fresh) != 0 || rename (fresh, path) != 0 || zs_sync_directory (path) != 0)) {
    zs_say (error, size, "%s cannot be made: %s", path, strerror (errno));
    status = ZM_E_FAILED;
  }
  free (fresh);
  return status;
}

/* A damaged file is opened all the same, as check and repair need that: it takes no writes, and recover says why. */
/* SQLite needs a little room even to read, for what lies beside the file, and says no more than "disk I/O error" where there is
 * none. */
static int
open_writer (zs_store *store, char *error, size_t size)
{
  int status = zs_writer_open (store, error, size);

  if (status == ZM_OK || status == ZS_BROKEN || !zs_disk_full (store->path))
    return status;
  if (zs_reserve_drop (store))
    status = zs_writer_open (store, error, size);
  if (status != ZM_OK && status != ZS_BROKEN) {
    size_t said = strnlen (error, size);

    zs_say (error + said, size - said, "; no space is left on its disk: make some");
  }
  return status;
}

static int
open_file (zs_store *store, char *error, size_t size)
{
  char *reserve;
  int status = take_lock (store, error, size);

  if (status == ZM_OK)
    status = zs_exchange_finish (store->path, error, size);
  if (status == ZM_OK)
    status = make_or_look (store->path, error, size);
  if (status == ZM_OK)
    status = open_writer (store, error, size);
  if (status == ZS_BROKEN) {
    zs_log (store, ZM_LOG_ERROR, "%s; it takes no writes: run zmanagerctl store check --repair", error);
    store->failed = store->corrupt = 1;
    return ZM_OK;
  }
  if (status == ZM_OK && (reserve = zs_beside (store->path, ".reserve")) != NULL) {
    store->reserved = access (reserve, F_OK) == 0;
    free (reserve);
    zs_reserve_make (store);
  }
  return status;
}

static void
store_close (void *user)
{
  zs_store *store = user;

  zs_writer_close (store);
  if (store->lock >= 0)
    close (store->lock);
  pthread_mutex_destroy (&store->writer);
  pthread_mutex_destroy (&store->readers_lock);
  pthread_rwlock_destroy (&store->files);
  free (store->path);
  free (store);
}

static int
store_open (void *state, const zm_host *host, const char *uri, void **out, char *error, size_t size)
{
  zs_store *store = calloc (1, sizeof *store);
  int status = ZM_E_MEMORY;

  (void) state;
  if (store == NULL || (store->path = zs_beside (uri != NULL ? uri : "", "")) == NULL) {
    zs_say (error, size, "no memory for the store");
    free (store);
    return status;
  }
  store->host = host;
  store->lock = -1;
  pthread_mutex_init (&store->writer, NULL);
  pthread_mutex_init (&store->readers_lock, NULL);
  pthread_rwlock_init (&store->files, NULL);
  if (store->path[0] == '\0') {
    zs_say (error, size, "the sqlite store needs the name of a file in [store] uri");
    status = ZM_E_INVALID;
  } else {
    status = open_file (store, error, size);
  }
  if (status == ZM_OK)
    *out = store;
  else
    store_close (store);
  return status;
}

/* Records are not counted: that would read all of them. */
static int
store_figures (void *user, zm_store_figures *figures)
{
  zs_store *store = user;
  sqlite3 *db = NULL;
  zm_store_figures mine = { .struct_size = sizeof mine, .schema = ZS_SCHEMA };
  uint32_t room = figures->struct_size;

  pthread_rwlock_rdlock (&store->files);
  mine.bytes = zs_file_size (store->path, "") + zs_file_size (store->path, "-wal");
  if (!store->torn && zs_connect (store->path, ZS_READ, &db, NULL, 0) == SQLITE_OK) {
    mine.free_bytes = (uint64_t) zs_number (db, "PRAGMA freelist_count", 0) *
                      (uint64_t) zs_number (db, "PRAGMA page_size", 0);
    sqlite3_db_config (db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
  }
  sqlite3_close (db);
  pthread_rwlock_unlock (&store->files);
  mine.writes = atomic_load (&store->writes);
  mine.syncs = atomic_load (&store->syncs);
  mine.sync_us = atomic_load (&store->sync_us);
  memcpy (figures, &mine, room < sizeof mine ? room : sizeof mine);
  figures->struct_size = room;
  return ZM_OK;
}

static const zm_store_ops ops = {
  .struct_size = sizeof ops,
  .flags = ZM_STORE_DURABLE | ZM_STORE_BACKUP | ZM_STORE_REPAIR,
  .schema = ZS_SCHEMA,
  .open = store_open,
  .close = store_close,
  .write = zs_write,
  .recover = zs_recover,
  .reader_open = zs_reader_open,
  .reader_close = zs_reader_close,
  .read = zs_read,
  .documents = zs_documents,
  .last = zs_last,
  .check = zs_check,
  .backup = zs_backup,
  .figures = store_figures,
};

/* RESIDENT: a store is not replaced while it runs, and SQLite keeps state of the whole process. */
static const zm_plugin_desc descriptor = {
  .struct_size = sizeof descriptor,
  .flags = ZM_PLUGIN_RESIDENT,
  .name = "sqlite",
  .version = "1.0",
  .licence = "LGPL-2.1-or-later",
  .summary = "Keeps queues and documents in one SQLite database",
  .store = &ops,
};

ZM_PLUGIN_FULL ("sqlite", "1.0", "LGPL-2.1-or-later", "Keeps queues and documents in one SQLite database",
                "kind=store\nisolation=thread\n", &descriptor);
