/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One batch: each change is noted with how to undo it, so that all are undone where one cannot be made or the bound is passed.
 * The conditions of a unit are looked at before any change of it.
 */
#include "plugins/stores/memory/private.h"

#include <stdlib.h>

/* Room is made before a change, so that no change is without its note. */
static int
note (zs_store *store, zs_undo undo)
{
  size_t room = store->undo_room > 0 ? store->undo_room * 2 : 64;

  if (store->undo_n == store->undo_room) {
    zs_undo *all = realloc (store->undo, room * sizeof *all);

    if (all == NULL)
      return 0;
    store->undo = all;
    store->undo_room = room;
  }
  store->undo[store->undo_n++] = undo;
  return 1;
}

static void
count (zs_store *store, const zs_list *list, const zs_item *item, int sign)
{
  store->bytes += (uint64_t) sign * zs_item_cost (item);
  if (list != &store->documents && list != &store->leases)
    store->records += (uint64_t) sign;
}

/* Takes the item, also where it fails. */
static int
put_in (zs_store *store, zs_list *list, size_t place, zs_item *item)
{
  if (item == NULL || !note (store, (zs_undo){ .list = list, .item = item })) {
    zs_item_let_go (item);
    return ZM_E_MEMORY;
  }
  if (!zs_list_insert (list, place, item)) {
    store->undo_n--;
    zs_item_let_go (item);
    return ZM_E_MEMORY;
  }
  count (store, list, item, 1);
  return ZM_OK;
}

/* The item is the note's then, until the batch is over. */
static int
take_from (zs_store *store, zs_list *list, size_t place)
{
  if (!note (store, (zs_undo){ .list = list, .item = zs_list_nth (list, place), .taken = 1 }))
    return ZM_E_MEMORY;
  count (store, list, zs_list_take (list, place), -1);
  return ZM_OK;
}

static int
refused (zm_store_batch *batch, const zm_store_op *op, const char *why)
{
  zs_say (batch->error, batch->error_size, "queue %llu: %s", (unsigned long long) op->queue, why);
  return ZM_E_INVALID;
}

static int
append (zs_store *store, zm_store_batch *batch, zm_store_op *op)
{
  zs_queue *queue = zs_queue_get (store, op->queue, 1);

  if (queue == NULL)
    return ZM_E_MEMORY;
  if (op->seq == 0) {
    if (queue->last >= ZM_STORE_SEQ_MOST)
      return refused (batch, op, "its sequence numbers are used up");
    op->seq = queue->last + 1;
    op->reserved = 1;
  } else if (op->seq <= queue->last) {
    return refused (batch, op, "a sequence number that is not greater than the last one");
  }
  if (!note (store, (zs_undo){ .queue = queue, .last = queue->last }))
    return ZM_E_MEMORY;
  queue->last = op->seq;
  return put_in (store, &queue->records, queue->records.n, zs_item_new (op));
}

static int
take_out (zs_store *store, const zm_store_op *op)
{
  zs_queue *queue = zs_queue_get (store, op->queue, 0);
  int status = ZM_OK;
  size_t place;

  if (queue == NULL)
    return ZM_OK;
  place = zs_list_record (&queue->records, op->seq);
  while (status == ZM_OK && place < queue->records.n && zs_list_nth (&queue->records, place)->seq <= op->upto)
    status = take_from (store, &queue->records, place);
  return status;
}

/* A document, or a lease: what was there goes, what is given comes. */
static int
set (zs_store *store, zs_list *list, const zm_store_op *op, int comes)
{
  size_t place = zs_list_document (list, op->space, op->key);
  int status = ZM_OK;

  if (zs_list_find (list, op->space, op->key) != NULL)
    status = take_from (store, list, place);
  return status == ZM_OK && comes ? put_in (store, list, place, zs_item_new (op)) : status;
}

static int
begins (const zs_item *item, const zm_store_op *op)
{
  zm_str key = zs_item_key (item);

  return zs_compare (zs_item_space (item), op->space) == 0 && key.size >= op->key.size &&
         (op->key.size == 0 || memcmp (key.data, op->key.data, op->key.size) == 0);
}

static int
delete_prefix (zs_store *store, const zm_store_op *op)
{
  zs_list *list = &store->documents;
  size_t place = zs_list_document (list, op->space, op->key);
  int status = ZM_OK;

  while (status == ZM_OK && place < list->n && begins (zs_list_nth (list, place), op))
    status = take_from (store, list, place);
  return status;
}

static int
change (zs_store *store, zm_store_batch *batch, zm_store_op *op)
{
  switch (op->kind) {
  case ZM_STORE_APPEND: return append (store, batch, op);
  case ZM_STORE_REMOVE: return take_out (store, op);
  case ZM_STORE_PUT: return set (store, &store->documents, op, 1);
  case ZM_STORE_DELETE: return set (store, &store->documents, op, 0);
  case ZM_STORE_DELETE_PREFIX: return delete_prefix (store, op);
  case ZM_STORE_LEASE: return set (store, &store->leases, op, op->expires_us != 0);
  default: return ZM_OK;
  }
}

static int
holds (const zs_store *store, const zm_store_op *op, int64_t now)
{
  const zs_list *list = op->kind == ZM_STORE_EXPECT ? &store->documents : &store->leases;
  const zs_item *item = zs_list_find (list, op->space, op->key);

  if (op->kind == ZM_STORE_LEASE)
    return item == NULL || item->expires_us <= now || zs_compare (zs_item_data (item), op->data) == 0;
  return item == NULL || op->data.data == NULL ? item == NULL && op->data.data == NULL
                                               : zs_compare (zs_item_data (item), op->data) == 0;
}

static int
unit (zs_store *store, zm_store_batch *batch, size_t first, size_t end)
{
  int status = ZM_OK;

  for (size_t i = first; i < end; i++)
    if (zs_condition (&batch->ops[i]) && !holds (store, &batch->ops[i], batch->now_us)) {
      zs_unit_denied (batch, first, end, i);
      return ZM_OK;
    }
  for (size_t i = first; i < end && status == ZM_OK; i++)
    status = change (store, batch, &batch->ops[i]);
  return status;
}

/* Backwards. Putting back needs no memory: the list had that many before. */
static void
undo_all (zs_store *store)
{
  while (store->undo_n > 0) {
    zs_undo *undo = &store->undo[--store->undo_n];
    size_t place;

    if (undo->list == NULL) {
      undo->queue->last = undo->last;
      continue;
    }
    place = undo->list == &store->documents || undo->list == &store->leases
                ? zs_list_document (undo->list, zs_item_space (undo->item), zs_item_key (undo->item))
                : zs_list_record (undo->list, undo->item->seq);
    count (store, undo->list, undo->item, undo->taken ? 1 : -1);
    if (undo->taken)
      zs_list_insert (undo->list, place, undo->item);
    else
      zs_item_let_go (zs_list_take (undo->list, place));
  }
}

/* What was taken goes now. */
static void
keep_all (zs_store *store)
{
  for (size_t i = 0; i < store->undo_n; i++)
    if (store->undo[i].list != NULL && store->undo[i].taken)
      zs_item_let_go (store->undo[i].item);
  store->undo_n = 0;
}

/* Removing works at the bound, too. */
static int
over (const zs_store *store, const zm_store_batch *batch)
{
  for (size_t i = 0; i < batch->n && store->bytes > store->most; i++)
    if (zs_adds (&batch->ops[i]))
      return 1;
  return 0;
}

static int
write_locked (zs_store *store, zm_store_batch *batch)
{
  int status = ZM_OK;

  for (size_t first = 0, end; first < batch->n && status == ZM_OK; first = end) {
    end = zs_unit_end (batch, first);
    status = unit (store, batch, first, end);
  }
  if (status == ZM_OK && over (store, batch))
    status = ZM_E_MEMORY;
  if (status == ZM_E_MEMORY)
    zs_say (batch->error, batch->error_size, "the memory store is full: %llu of at most %llu bytes",
            (unsigned long long) store->bytes, (unsigned long long) store->most);
  if (status == ZM_OK) {
    keep_all (store);
    store->writes++;
  } else {
    undo_all (store);
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
  for (size_t i = 0; i < batch->n; i++)
    if (batch->ops[i].kind == ZM_STORE_LEASE)
      batch->ops[i].space.size = 0;
  pthread_mutex_lock (&store->lock);
  status = write_locked (store, batch);
  pthread_mutex_unlock (&store->lock);
  zs_batch_finish (batch, status);
  return status;
}
