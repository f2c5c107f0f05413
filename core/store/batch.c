/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One batch: units prepare, what they added is written as one, and each is told. A unit may rest on what one before it decided
 * in this same batch, so that all are told in their order, those without changes too.
 */
#include "config.h"

#include "base/zm-base.h"
#include "store/store-private.h"

/* ---- preparing ---- */

/* Is this a change that a store can be given? What is not would fail all of the batch, others' changes too. */
static gboolean
op_right (const zm_store_op *op)
{
  gboolean log = op->kind == ZM_STORE_APPEND || op->kind == ZM_STORE_REMOVE;

  if (op->kind < ZM_STORE_APPEND || op->kind > ZM_STORE_LEASE)
    return FALSE;
  if (log)
    return op->queue > 0 && op->queue <= ZM_STORE_QUEUE_MOST && op->seq <= ZM_STORE_SEQ_MOST;
  if (op->key.size > ZM_STORE_KEY_MOST)
    return FALSE;
  return op->kind == ZM_STORE_LEASE || (op->space.size > 0 && op->space.size <= ZM_STORE_SPACE_MOST);
}

guint
zm_store_add (ZmStoreWriter *writer, const zm_store_op *op)
{
  ZmUnitState *state = &g_array_index (writer->units, ZmUnitState, writer->units->len - 1);
  zm_store_op copy = *op;

  copy.unit = writer->units->len - 1;
  copy.status = ZM_OK;
  copy.reserved = 0;
  if (!op_right (op))
    writer->wrong = TRUE;
  g_array_append_val (writer->ops, copy);
  return state->unit->n++;
}

static ZmStoreUnit *
unit_being_prepared (const ZmStoreWriter *writer)
{
  return g_array_index (writer->units, ZmUnitState, writer->units->len - 1).unit;
}

guint
zm_store_mark (const ZmStoreWriter *writer)
{
  return unit_being_prepared (writer)->n;
}

/* They stand at the end of the batch, as nobody else has prepared since. */
void
zm_store_rewind (ZmStoreWriter *writer, guint mark)
{
  ZmStoreUnit *unit = unit_being_prepared (writer);

  if (mark >= unit->n)
    return;
  g_array_set_size (writer->ops, unit->first + mark);
  unit->n = mark;
}

const zm_store_op *
zm_store_op_of (ZmStore *store, const ZmStoreUnit *unit, guint index)
{
  if (index >= unit->n || unit->first + index >= store->writer.ops->len)
    return NULL;
  return &g_array_index (store->writer.ops, zm_store_op, unit->first + index);
}

gint64
zm_store_batch_us (const ZmStoreWriter *writer)
{
  return writer->now_us;
}

gpointer
zm_store_alloc (ZmStoreWriter *writer, gsize size)
{
  return zm_arena_alloc (&writer->arena, size);
}

static ZmStoreUnit *
take_one (ZmStore *store)
{
  ZmStoreUnit *unit = store->pending;

  store->pending = unit->next;
  if (store->pending == NULL)
    store->pending_last = NULL;
  unit->next = NULL;
  return unit;
}

/* Taken into the batch before it prepares, so that its changes know their unit. */
static void
prepare_one (ZmStore *store, ZmStoreUnit *unit)
{
  ZmStoreWriter *writer = &store->writer;
  ZmUnitState state = { unit, ZM_UNIT_OPEN };
  guint at = writer->units->len;

  unit->first = writer->ops->len;
  unit->n = 0;
  writer->bytes += unit->size + ZM_STORE_UNIT_COST;
  writer->wrong = FALSE;
  g_array_append_val (writer->units, state);
  if (unit->prepare != NULL)
    unit->prepare (unit, writer);
  if (writer->wrong) {
    g_array_index (writer->units, ZmUnitState, at).end = ZM_UNIT_WRONG;
    zm_log_limited (store->log, ZM_LEVEL_ERROR, "store", "a unit with a wrong change",
                    "a unit was refused: a change of it has a kind, number or name that no store takes");
  }
}

static void
prepare_batch (ZmStore *store)
{
  ZmStoreWriter *writer = &store->writer;

  writer->now_us = zm_wall_us ();
  writer->why[0] = '\0';
  while (store->pending != NULL && writer->ops->len < ZM_STORE_BATCH_OPS &&
         writer->bytes < ZM_STORE_BATCH_BYTES)
    prepare_one (store, take_one (store));
}

/* ---- telling ---- */

static GError *
error_of (const ZmStoreWriter *writer, ZmUnitEnd end)
{
  const char *why = writer->why[0] != '\0' ? writer->why : "the log says more";

  switch (end) {
  case ZM_UNIT_DONE: return NULL;
  case ZM_UNIT_UNMET:
    return g_error_new_literal (ZM_ERROR, ZM_ERROR_EXISTS, "a condition of the change does not hold");
  case ZM_UNIT_FULL: return g_error_new (ZM_ERROR, ZM_ERROR_LIMIT, "the store has no space left: %s", why);
  case ZM_UNIT_WRONG:
    return g_error_new (ZM_ERROR, ZM_ERROR_INVALID, "the store does not take this change: %s", why);
  default:
    return g_error_new (ZM_ERROR, ZM_ERROR_UNAVAILABLE, "the store failed, nothing is confirmed: %s", why);
  }
}

/* The unit is its owner's again as soon as done is called. */
static void
tell_all (ZmStoreWriter *writer)
{
  for (guint i = 0; i < writer->units->len; i++) {
    const ZmUnitState *state = &g_array_index (writer->units, ZmUnitState, i);
    g_autoptr (GError) error = error_of (writer, state->end);

    state->unit->done (state->unit, error);
  }
}

/* ---- after telling ---- */

void
zm_store_after (ZmStore *store, ZmStoreAfter *after)
{
  if (after->listed)
    return;
  if (!store->telling) {
    after->run (after);
    return;
  }
  after->listed = TRUE;
  after->next = NULL;
  if (store->after != NULL)
    store->after_last->next = after;
  else
    store->after = after;
  store->after_last = after;
}

static ZmStoreAfter *
take_after (ZmStore *store)
{
  ZmStoreAfter *first = store->after;

  store->after = first->next;
  if (store->after == NULL)
    store->after_last = NULL;
  first->listed = FALSE;
  return first;
}

void
zm_store_after_drop (ZmStore *store, ZmStoreAfter *after)
{
  ZmStoreAfter *all = store->after;

  if (!after->listed)
    return;
  after->listed = FALSE;
  store->after = store->after_last = NULL;
  while (all != NULL) {
    ZmStoreAfter *one = all;

    all = one->next;
    one->listed = FALSE;
    if (one != after)
      zm_store_after (store, one);
  }
}

/* They may want one another. */
static void
run_after (ZmStore *store)
{
  while (store->after != NULL) {
    ZmStoreAfter *after = take_after (store);

    after->run (after);
  }
}

/* Before anybody is told: who hears that it is done may submit the next at once. */
static void
end_waiting (ZmStore *store)
{
  const ZmStoreWriter *writer = &store->writer;

  pthread_mutex_lock (&store->lock);
  store->waiting -= writer->bytes;
  store->waiting_units -= writer->units->len;
  pthread_mutex_unlock (&store->lock);
  zm_counter_add (store->units, writer->units->len);
}

static void
end_batch (ZmStore *store)
{
  ZmStoreWriter *writer = &store->writer;

  g_array_set_size (writer->ops, 0);
  g_array_set_size (writer->units, 0);
  g_array_set_size (writer->part, 0);
  zm_arena_reset (&writer->arena);
  writer->bytes = 0;
}

void
zm_batch_run (ZmStore *store)
{
  prepare_batch (store);
  zm_batch_write (store);
  end_waiting (store);
  store->telling = TRUE;
  tell_all (&store->writer);
  run_after (store);
  store->telling = FALSE;
  end_batch (store);
}
