/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One batch, one transaction. The conditions of a unit are looked at before any change of it is made, so that a unit whose
 * condition does not hold needs no undoing.
 */
#include "plugins/stores/sqlite/private.h"

#include <time.h>

#define SMALL_BYTES 8192 /* less than what the daemon writes to see whether there is room again */

static uint64_t
now_us (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return (uint64_t) now.tv_sec * 1000000 + (uint64_t) now.tv_nsec / 1000;
}

/* A statement that gives no rows. */
static int
run (zs_store *store, int which)
{
  int rc = sqlite3_step (store->statements[which]);
  int reset = sqlite3_reset (store->statements[which]);

  return rc == SQLITE_DONE ? SQLITE_OK : reset != SQLITE_OK ? reset : rc;
}

static int
refused (zm_store_batch *batch, const zm_store_op *op, const char *why)
{
  zs_say (batch->error, batch->error_size, "queue %llu: %s", (unsigned long long) op->queue, why);
  return ZM_E_INVALID;
}

/* ---- changes: a code of SQLite's, or ZM_E_INVALID (which is none of those, being negative) ---- */

static int
append (zs_store *store, zm_store_batch *batch, zm_store_op *op)
{
  sqlite3_stmt *statement = store->statements[ZS_APPEND];
  int rc;
  zs_queue *queue = zs_queue_get (store, op->queue, &rc);
  int64_t pos;

  if (queue == NULL)
    return rc;
  if (op->seq == 0) {
    if (queue->last >= ZM_STORE_SEQ_MOST)
      return refused (batch, op, "its sequence numbers are used up");
    op->seq = queue->last + 1;
    op->reserved = 1;
  } else if (op->seq <= queue->last && !store->leapt) {
    return refused (batch, op, "a sequence number that is not greater than the last one");
  }
  pos = ZS_POS (op->queue, op->seq);
  sqlite3_bind_int64 (statement, 1, pos);
  sqlite3_bind_int64 (statement, 2, op->expires_us);
  sqlite3_bind_int64 (statement, 3, (int64_t) op->tag);
  sqlite3_bind_int64 (statement, 4, zs_record_sum (pos, op->expires_us, (int64_t) op->tag, op->data));
  zs_bind (statement, 5, op->data);
  rc = run (store, ZS_APPEND);
  if (rc == SQLITE_OK && op->seq > queue->last) {
    queue->last = op->seq;
    queue->noted = 0;
  }
  return rc;
}

/* Where the record that bears the queue's last number goes, the number is written down. */
static int
take_out (zs_store *store, zm_store_op *op)
{
  sqlite3_stmt *statement = store->statements[ZS_REMOVE], *note = store->statements[ZS_NOTE_LAST];
  uint64_t upto = op->upto < ZM_STORE_SEQ_MOST ? op->upto : ZM_STORE_SEQ_MOST;
  int rc;
  zs_queue *queue = zs_queue_get (store, op->queue, &rc);

  if (queue == NULL)
    return rc;
  if (!queue->noted && queue->last >= op->seq && queue->last <= upto) {
    sqlite3_bind_int64 (note, 1, (int64_t) op->queue);
    sqlite3_bind_int64 (note, 2, (int64_t) queue->last);
    if ((rc = run (store, ZS_NOTE_LAST)) != SQLITE_OK)
      return rc;
    queue->noted = 1;
  }
  sqlite3_bind_int64 (statement, 1, ZS_POS (op->queue, op->seq));
  sqlite3_bind_int64 (statement, 2, ZS_POS (op->queue, upto));
  return run (store, ZS_REMOVE);
}

static int
put (zs_store *store, zm_store_op *op)
{
  sqlite3_stmt *statement = store->statements[ZS_PUT];

  zs_bind (statement, 1, op->space);
  zs_bind (statement, 2, op->key);
  zs_bind (statement, 3, op->data);
  sqlite3_bind_int64 (statement, 4, zs_document_sum (op->space, op->key, op->data));
  return run (store, ZS_PUT);
}

static int
delete_some (zs_store *store, zm_store_op *op)
{
  int which = op->kind == ZM_STORE_DELETE ? ZS_DELETE : ZS_DELETE_RANGE;
  char end[ZM_STORE_KEY_MOST + 1];

  zs_bind (store->statements[which], 1, op->space);
  zs_bind (store->statements[which], 2, op->key);
  if (which == ZS_DELETE_RANGE)
    zs_bind (store->statements[which], 3, zs_prefix_end (op->key, end));
  return run (store, which);
}

/* The condition held: nobody else has it. */
static int
lease (zs_store *store, zm_store_op *op)
{
  int which = op->expires_us != 0 ? ZS_LEASE_PUT : ZS_LEASE_DELETE;

  zs_bind (store->statements[which], 1, op->key);
  if (which == ZS_LEASE_PUT) {
    zs_bind (store->statements[which], 2, op->data);
    sqlite3_bind_int64 (store->statements[which], 3, op->expires_us);
  }
  return run (store, which);
}

static int
change (zs_store *store, zm_store_batch *batch, zm_store_op *op)
{
  switch (op->kind) {
  case ZM_STORE_APPEND: return append (store, batch, op);
  case ZM_STORE_REMOVE: return take_out (store, op);
  case ZM_STORE_PUT: return put (store, op);
  case ZM_STORE_LEASE: return lease (store, op);
  case ZM_STORE_EXPECT: return SQLITE_OK;
  default: return delete_some (store, op);
  }
}

/* ---- conditions ---- */

/* A document whose checksum is wrong has no value that anybody could expect. */
static int
expected (const zm_store_op *op, sqlite3_stmt *statement, int found)
{
  zm_str value;

  if (!found || op->data.data == NULL)
    return !found && op->data.data == NULL;
  value = zs_column (statement, 0);
  return zs_compare (value, op->data) == 0 &&
         zs_document_sum (op->space, op->key, value) == sqlite3_column_int64 (statement, 1);
}

static int
free_for (const zm_store_op *op, sqlite3_stmt *statement, int found, int64_t now)
{
  return !found || sqlite3_column_int64 (statement, 1) <= now ||
         zs_compare (zs_column (statement, 0), op->data) == 0;
}

/* *holds says whether it does. */
static int
look (zs_store *store, const zm_store_op *op, int64_t now, int *holds)
{
  int which = op->kind == ZM_STORE_EXPECT ? ZS_GET : ZS_LEASE_GET;
  sqlite3_stmt *statement = store->statements[which];
  int rc;

  if (which == ZS_GET)
    zs_bind (statement, 1, op->space);
  zs_bind (statement, which == ZS_GET ? 2 : 1, op->key);
  rc = sqlite3_step (statement);
  if (rc == SQLITE_ROW || rc == SQLITE_DONE)
    *holds = which == ZS_GET ? expected (op, statement, rc == SQLITE_ROW)
                             : free_for (op, statement, rc == SQLITE_ROW, now);
  sqlite3_reset (statement);
  return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int
unit (zs_store *store, zm_store_batch *batch, size_t first, size_t end)
{
  int rc = SQLITE_OK;

  for (size_t i = first; i < end && rc == SQLITE_OK; i++) {
    int holds = 1;

    if (zs_condition (&batch->ops[i]))
      rc = look (store, &batch->ops[i], batch->now_us, &holds);
    if (rc == SQLITE_OK && !holds) {
      zs_unit_denied (batch, first, end, i);
      return SQLITE_OK;
    }
  }
  for (size_t i = first; i < end && rc == SQLITE_OK; i++)
    rc = change (store, batch, &batch->ops[i]);
  return rc;
}

/* ---- the transaction ---- */

static int
units (zs_store *store, zm_store_batch *batch)
{
  int rc = SQLITE_OK;

  for (size_t first = 0, end; first < batch->n && rc == SQLITE_OK; first = end) {
    end = zs_unit_end (batch, first);
    rc = unit (store, batch, first, end);
  }
  return rc;
}

/* ZM_E_FAILED where the undoing fails as well: then nothing is known. */
static int
undo (zs_store *store, zm_store_batch *batch, int rc)
{
  int status = rc < 0 ? rc : zs_code (store->db, rc);

  if (rc > 0) {
    zs_say (batch->error, batch->error_size, "%s: %s (%s)", store->path, sqlite3_errmsg (store->db),
            sqlite3_errstr (rc));
    store->corrupt |= zs_corrupt (rc);
  }
  zs_queues_forget (store);
  if (!sqlite3_get_autocommit (store->db) && run (store, ZS_ROLLBACK) != SQLITE_OK)
    status = ZM_E_FAILED;
  return status;
}

static int
transaction (zs_store *store, zm_store_batch *batch)
{
  int rc = run (store, ZS_BEGIN);
  uint64_t before;

  if (rc == SQLITE_OK)
    rc = units (store, batch);
  if (rc != SQLITE_OK)
    return undo (store, batch, rc);
  before = now_us ();
  rc = run (store, ZS_COMMIT);
  atomic_fetch_add (&store->sync_us, now_us () - before);
  atomic_fetch_add (&store->syncs, 1);
  return rc == SQLITE_OK ? ZM_OK : undo (store, batch, rc);
}

/* What the reserve is for: removing makes room, but needs some for the log first; so do the small documents (a claim, a cursor)
 * without which nobody gets what he removes. */
static int
is_frugal (const zm_store_batch *batch)
{
  for (size_t i = 0; i < batch->n; i++)
    if (batch->ops[i].kind == ZM_STORE_APPEND ||
        (batch->ops[i].kind == ZM_STORE_PUT && batch->ops[i].data.size > SMALL_BYTES))
      return 0;
  return 1;
}

/* A second time with statuses and numbers as they were. */
static int
again (zs_store *store, zm_store_batch *batch)
{
  for (size_t i = 0; i < batch->n; i++)
    batch->ops[i].status = ZM_OK;
  return transaction (store, batch);
}

static int
write_locked (zs_store *store, zm_store_batch *batch)
{
  int status;

  if (store->failed || store->db == NULL) {
    zs_say (batch->error, batch->error_size, "%s failed before and was not recovered yet", store->path);
    return ZM_E_FAILED;
  }
  if (store->spent && !is_frugal (batch) && !zs_reserve_room (store)) {
    zs_say (batch->error, batch->error_size, "%s: no space is left but what is kept for removing",
            store->path);
    return ZM_E_MEMORY;
  }
  status = transaction (store, batch);
  /* The log first: carrying it over makes the file longer, which may take all that the reserve gave. */
  if (status == ZM_E_MEMORY && is_frugal (batch) && zs_reserve_drop (store))
    status = again (store, batch);
  if (status == ZM_E_MEMORY && is_frugal (batch) && zs_reserve_give_up (store))
    status = again (store, batch);
  if (status == ZM_E_FAILED)
    store->failed = 1;
  if (status == ZM_OK) {
    atomic_fetch_add (&store->writes, 1);
    zs_writer_tend (store);
  }
  return status;
}

int
zs_write (void *user, zm_store_batch *batch)
{
  zs_store *store = user;
  int status = zs_batch_check (batch);

  if (status != ZM_OK || batch->n == 0)
    return status;
  pthread_mutex_lock (&store->writer);
  status = write_locked (store, batch);
  pthread_mutex_unlock (&store->writer);
  zs_batch_finish (batch, status);
  return status;
}
