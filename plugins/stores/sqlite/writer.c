/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The writing connection: how it is opened, and what is done after writes so that neither the log nor the file grows without
 * need.
 */
#include "plugins/stores/sqlite/private.h"

#define CHECKPOINT_FRAMES 4096  /* pages in the log from which on it is carried over: 16 MiB */
#define RESTART_FRAMES    32768 /* from which on readers are waited for, so that it can begin anew: 128 MiB */
#define RESTART_WAIT_MS   50
#define BUSY_MS           5000
#define TEND_EVERY        256  /* writes */
#define VACUUM_LEAST      4096 /* free pages that are not worth giving back */
#define VACUUM_STEP       "PRAGMA incremental_vacuum(512)"

static const char *const sql[ZS_STATEMENTS] = {
  [ZS_BEGIN] = "BEGIN IMMEDIATE",
  [ZS_COMMIT] = "COMMIT",
  [ZS_ROLLBACK] = "ROLLBACK",
  [ZS_APPEND] = "INSERT INTO records (pos, expires, tag, sum, data) VALUES (?1, ?2, ?3, ?4, ?5)",
  [ZS_LAST] =
      "SELECT ifnull ((SELECT last FROM queues WHERE queue = ?1), 0), ifnull ((SELECT pos - ?2 FROM records"
      " WHERE pos BETWEEN ?2 AND ?3 ORDER BY pos DESC LIMIT 1), 0)",
  [ZS_NOTE_LAST] = "INSERT INTO queues (queue, last) VALUES (?1, ?2)"
                   " ON CONFLICT (queue) DO UPDATE SET last = max (last, excluded.last)",
  [ZS_REMOVE] = "DELETE FROM records WHERE pos BETWEEN ?1 AND ?2",
  [ZS_PUT] = "INSERT INTO documents (space, key, value, sum) VALUES (?1, ?2, ?3, ?4)"
             " ON CONFLICT (space, key) DO UPDATE SET value = excluded.value, sum = excluded.sum",
  [ZS_DELETE] = "DELETE FROM documents WHERE space = ?1 AND key = ?2",
  [ZS_DELETE_RANGE] = "DELETE FROM documents WHERE space = ?1 AND key >= ?2 AND key < ?3",
  [ZS_GET] = "SELECT value, sum FROM documents WHERE space = ?1 AND key = ?2",
  [ZS_LEASE_GET] = "SELECT owner, until FROM leases WHERE key = ?1",
  [ZS_LEASE_PUT] = "INSERT INTO leases (key, owner, until) VALUES (?1, ?2, ?3)"
                   " ON CONFLICT (key) DO UPDATE SET owner = excluded.owner, until = excluded.until",
  [ZS_LEASE_DELETE] = "DELETE FROM leases WHERE key = ?1",
};

static int
count_frames (void *user, sqlite3 *db, const char *name, int frames)
{
  (void) db;
  (void) name;
  ((zs_store *) user)->frames = frames;
  return SQLITE_OK;
}

static int
prepare_all (zs_store *store)
{
  int rc = SQLITE_OK;

  for (int i = 0; i < ZS_STATEMENTS && rc == SQLITE_OK; i++)
    rc = sqlite3_prepare_v3 (store->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &store->statements[i], NULL);
  return rc;
}

/* ZS_BROKEN where the file is ours, but damaged: then there is no connection. */
int
zs_writer_open (zs_store *store, char *error, size_t size)
{
  int rc = zs_connect (store->path, ZS_WRITE, &store->db, error, size);
  int status;

  if (rc != SQLITE_OK)
    return zs_corrupt (rc) ? ZS_BROKEN : ZM_E_FAILED;
  status = zs_schema_ready (store->db, store->path, error, size);
  if (status == ZM_OK) {
    if ((rc = zs_run (store->db, "PRAGMA journal_mode=WAL")) == SQLITE_OK)
      rc = prepare_all (store);
    if (rc != SQLITE_OK) {
      zs_say (error, size, "%s cannot be used: %s", store->path, sqlite3_errmsg (store->db));
      status = zs_corrupt (rc) ? ZS_BROKEN : zs_code (store->db, rc);
    }
  }
  if (status != ZM_OK) {
    zs_writer_close (store);
    return status;
  }
  sqlite3_wal_hook (store->db, count_frames, store);
  store->frames = 0;
  return ZM_OK;
}

/* After a failure the log is left as it is: what is in it may be all that there is. */
void
zs_writer_close (zs_store *store)
{
  for (int i = 0; i < ZS_STATEMENTS; i++) {
    sqlite3_finalize (store->statements[i]);
    store->statements[i] = NULL;
  }
  zs_queues_forget (store);
  if (store->db != NULL && store->failed)
    sqlite3_db_config (store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
  sqlite3_close (store->db);
  store->db = NULL;
}

/* A passive one waits for nobody. Readers read in chunks, so that waiting for them for a moment is enough when it did not get
 * through for long. What it was for is confirmed already: a failure is one of the next write. */
static void
checkpoint (zs_store *store)
{
  int restart = store->frames >= RESTART_FRAMES;
  int rc;

  if (restart)
    sqlite3_busy_timeout (store->db, RESTART_WAIT_MS);
  rc = sqlite3_wal_checkpoint_v2 (
      store->db, NULL, restart ? SQLITE_CHECKPOINT_RESTART : SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
  if (restart)
    sqlite3_busy_timeout (store->db, BUSY_MS);
  atomic_fetch_add (&store->syncs, 1);
  if (zs_code (store->db, rc) == ZM_E_FAILED) {
    zs_log (store, ZM_LOG_ERROR, "%s: carrying the log over failed: %s", store->path,
            sqlite3_errmsg (store->db));
    store->failed = 1;
    store->corrupt |= zs_corrupt (rc);
  }
}

/* Bounded steps: the file shrinks over many writes, and only where most of it is empty. */
static void
give_back (zs_store *store)
{
  int64_t unused = zs_number (store->db, "PRAGMA freelist_count", 0);

  if (unused > VACUUM_LEAST && unused > zs_number (store->db, "PRAGMA page_count", 0) / 2)
    zs_run (store->db, VACUUM_STEP);
}

void
zs_writer_tend (zs_store *store)
{
  if (store->frames >= CHECKPOINT_FRAMES) {
    checkpoint (store);
    store->frames = store->frames >= RESTART_FRAMES ? CHECKPOINT_FRAMES : store->frames;
  }
  if (store->failed || store->tended++ % TEND_EVERY != TEND_EVERY - 1)
    return;
  give_back (store);
  zs_reserve_make (store);
}
