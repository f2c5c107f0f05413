/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What every store checks of a batch before it does anything: sizes, numbers, order. Inline, as plugins share no library.
 */
#ifndef ZM_STORES_RULES_H
#define ZM_STORES_RULES_H

#include <zmanager/store.h>

#include <stdarg.h>
#include <stdio.h>

#define ZS_DATA_MOST ((size_t) 512 << 20) /* bytes of one record or document */

/* A sentence for people, cut where there is no room for it. */
__attribute__ ((format (printf, 3, 4))) static inline void
zs_say (char *error, size_t size, const char *format, ...)
{
  va_list arguments;

  if (error == NULL || size == 0)
    return;
  va_start (arguments, format);
  vsnprintf (error, size, format, arguments);
  va_end (arguments);
}

/* Does it change anything that takes room? */
static inline int
zs_adds (const zm_store_op *op)
{
  return op->kind == ZM_STORE_APPEND || op->kind == ZM_STORE_PUT;
}

static inline int
zs_condition (const zm_store_op *op)
{
  return op->kind == ZM_STORE_EXPECT || op->kind == ZM_STORE_LEASE;
}

static inline const char *
zs_wrong_record (const zm_store_op *op)
{
  if (op->queue == 0 || op->queue > ZM_STORE_QUEUE_MOST)
    return "its queue has no such number";
  if (op->seq > ZM_STORE_SEQ_MOST)
    return "its sequence number is too great";
  return op->kind == ZM_STORE_REMOVE && op->upto < op->seq ? "its range ends before it begins" : NULL;
}

static inline const char *
zs_wrong_document (const zm_store_op *op)
{
  if (op->kind != ZM_STORE_LEASE && (op->space.size == 0 || op->space.size > ZM_STORE_SPACE_MOST))
    return "its space has no name, or too long a one";
  if (op->key.size > ZM_STORE_KEY_MOST || (op->key.size == 0 && op->kind != ZM_STORE_DELETE_PREFIX))
    return "its key is empty or too long";
  if ((op->space.size > 0 && op->space.data == NULL) || (op->key.size > 0 && op->key.data == NULL))
    return "its space or key has a length and no bytes";
  return op->kind == ZM_STORE_LEASE && op->data.size == 0 ? "its lease has no owner" : NULL;
}

/* NULL: it is well. */
static inline const char *
zs_wrong (const zm_store_op *op)
{
  if (op->kind < ZM_STORE_APPEND || op->kind > ZM_STORE_LEASE)
    return "it is of an unknown kind";
  if (op->reserved != 0)
    return "reserved is not 0";
  if (op->data.size > ZS_DATA_MOST || (op->data.size > 0 && op->data.data == NULL))
    return "its data is too large, or has a length and no bytes";
  return op->kind <= ZM_STORE_REMOVE ? zs_wrong_record (op) : zs_wrong_document (op);
}

/* ZM_OK, or ZM_E_INVALID with the reason in batch->error. Statuses are ZM_OK then. */
static inline int
zs_batch_check (zm_store_batch *batch)
{
  if (batch->error != NULL && batch->error_size > 0)
    batch->error[0] = '\0';
  for (size_t i = 0; i < batch->n; i++) {
    zm_store_op *op = &batch->ops[i];
    const char *wrong = zs_wrong (op);

    if (wrong == NULL && i > 0 && op->unit < batch->ops[i - 1].unit)
      wrong = "its unit is less than the one before";
    if (wrong != NULL) {
      zs_say (batch->error, batch->error_size, "change %zu of the batch (kind %u) is wrong: %s", i, op->kind,
              wrong);
      return ZM_E_INVALID;
    }
    op->status = ZM_OK;
  }
  return ZM_OK;
}

/* After the batch: `reserved` marked the records whose number the store gave; a batch that failed has given none. */
static inline void
zs_batch_finish (zm_store_batch *batch, int status)
{
  for (size_t i = 0; i < batch->n; i++) {
    if (batch->ops[i].reserved != 0 && status != ZM_OK)
      batch->ops[i].seq = 0;
    batch->ops[i].reserved = 0;
  }
}

/* The end of the unit that begins at `first`. */
static inline size_t
zs_unit_end (const zm_store_batch *batch, size_t first)
{
  size_t end = first;

  while (end < batch->n && batch->ops[end].unit == batch->ops[first].unit)
    end++;
  return end;
}

/* The condition at `failed` does not hold: the unit is not done. */
static inline void
zs_unit_denied (zm_store_batch *batch, size_t first, size_t end, size_t failed)
{
  for (size_t i = first; i < end; i++)
    batch->ops[i].status = i == failed ? ZM_E_DENIED : ZM_E_AGAIN;
}

/* Bytewise, the shorter first. */
static inline int
zs_compare (zm_str a, zm_str b)
{
  size_t least = a.size < b.size ? a.size : b.size;
  int order = least > 0 ? memcmp (a.data, b.data, least) : 0;

  return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

#endif
