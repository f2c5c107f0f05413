/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The last sequence number of each queue that was written to, so that an append need not ask for it. A table with open
 * addressing; forgotten as a whole when a transaction is undone, as it may tell of what is no more.
 */
#include "plugins/stores/sqlite/private.h"

#include <stdlib.h>

#define FIRST_ROOM 64

static zs_queue *
slot_of (zs_queue *queues, size_t room, uint64_t queue)
{
  size_t at = (size_t) (queue * UINT64_C (0x9E3779B97F4A7C15) >> 20) & (room - 1);

  while (queues[at].queue != 0 && queues[at].queue != queue)
    at = (at + 1) & (room - 1);
  return &queues[at];
}

/* At most half full. The number of queues bounds it: 2^20. */
static int
grow (zs_store *store)
{
  size_t room = store->queues_room > 0 ? store->queues_room * 2 : FIRST_ROOM;
  zs_queue *queues;

  if (store->queues_n * 2 < store->queues_room)
    return 1;
  queues = calloc (room, sizeof *queues);
  if (queues == NULL)
    return 0;
  for (size_t i = 0; i < store->queues_room; i++)
    if (store->queues[i].queue != 0)
      *slot_of (queues, room, store->queues[i].queue) = store->queues[i];
  free (store->queues);
  store->queues = queues;
  store->queues_room = room;
  return 1;
}

/* What both tables say; the greater counts. */
static int
ask (zs_store *store, zs_queue *known)
{
  sqlite3_stmt *statement = store->statements[ZS_LAST];
  uint64_t noted = 0, stands = 0;
  int rc;

  sqlite3_bind_int64 (statement, 1, (int64_t) known->queue);
  sqlite3_bind_int64 (statement, 2, ZS_POS (known->queue, 0));
  sqlite3_bind_int64 (statement, 3, ZS_POS (known->queue, ZM_STORE_SEQ_MOST));
  rc = sqlite3_step (statement);
  if (rc == SQLITE_ROW) {
    noted = (uint64_t) sqlite3_column_int64 (statement, 0);
    stands = (uint64_t) sqlite3_column_int64 (statement, 1);
  }
  sqlite3_reset (statement);
  known->last = noted > stands ? noted : stands;
  known->noted = noted >= stands;
  return rc == SQLITE_ROW ? SQLITE_OK : rc;
}

zs_queue *
zs_queue_get (zs_store *store, uint64_t queue, int *rc)
{
  zs_queue known = { queue, 0, 0 };
  zs_queue *slot;

  *rc = SQLITE_NOMEM;
  if (!grow (store))
    return NULL;
  slot = slot_of (store->queues, store->queues_room, queue);
  *rc = SQLITE_OK;
  if (slot->queue == queue)
    return slot;
  if ((*rc = ask (store, &known)) != SQLITE_OK)
    return NULL;
  *slot = known;
  store->queues_n++;
  return slot;
}

void
zs_queues_forget (zs_store *store)
{
  free (store->queues);
  store->queues = NULL;
  store->queues_n = store->queues_room = 0;
}
