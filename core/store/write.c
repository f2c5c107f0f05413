/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A batch onto disk. Usually that is one call of the plugin; this file is about all the other ways in which it can end. What counts:
 * a unit is only said to be done where the last write that it was part of was.
 */
#include "config.h"

#include "base/zm-base.h"
#include "base/zm-thread.h"
#include "store/store-private.h"

#include <string.h>

/* How often a store that says "again" is asked again, and how long the pause becomes. Two seconds in all. */
#define AGAIN_MOST      16
#define AGAIN_FIRST_US  5000
#define AGAIN_LAST_US   200000
#define MEASURE_EACH_US (10 * G_USEC_PER_SEC)

/* ---- one transaction ---- */

static guint64
ops_bytes (const zm_store_op *ops, gsize n)
{
  guint64 bytes = 0;

  for (gsize i = 0; i < n; i++)
    bytes += ops[i].data.size + ops[i].key.size;
  return bytes;
}

static int
write_once (ZmStore *store, zm_store_op *ops, gsize n, gint64 now_us, char *why)
{
  zm_store_batch batch = { .struct_size = sizeof batch,
                           .now_us = now_us,
                           .ops = ops,
                           .n = n,
                           .error = why,
                           .error_size = ZM_STORE_WHY };
  gint64 before_us = zm_now_us ();
  int code;

  why[0] = '\0';
  for (gsize i = 0; i < n; i++)
    ops[i].status = ZM_OK;
  code = store->ops->write (store->plugin, &batch);
  why[ZM_STORE_WHY - 1] = '\0';
  zm_counter_add (store->writes, 1);
  store->last_us = MAX (zm_now_us () - before_us, 0);
  zm_counter_add (store->write_us, (guint64) store->last_us);
  if (code == ZM_OK)
    zm_counter_add (store->bytes, ops_bytes (ops, n));
  else
    zm_counter_add (store->failures, 1);
  return code;
}

int
zm_store_write_ops (ZmStore *store, zm_store_op *ops, gsize n, gint64 now_us, char *why, gboolean *met)
{
  int code = write_once (store, ops, n, now_us, why);

  for (gsize i = 0; met != NULL && code == ZM_OK && i < n; i++)
    if (ops[i].status != ZM_OK)
      *met = FALSE;
  return code;
}

/* ---- which units are still to be written ---- */

static ZmUnitState *
state_at (ZmStore *store, guint i)
{
  return &g_array_index (store->writer.units, ZmUnitState, i);
}

static guint
count_open (ZmStore *store, guint from, guint to)
{
  guint n = 0;

  for (guint i = from; i < to; i++)
    if (state_at (store, i)->end == ZM_UNIT_OPEN)
      n++;
  return n;
}

static void
end_open (ZmStore *store, guint from, guint to, ZmUnitEnd end)
{
  for (guint i = from; i < to; i++)
    if (state_at (store, i)->end == ZM_UNIT_OPEN)
      state_at (store, i)->end = end;
}

/* Those that need room. FALSE: there are none. */
static gboolean
end_adding (ZmStore *store, guint from, guint to)
{
  gboolean any = FALSE;

  for (guint i = from; i < to; i++) {
    ZmUnitState *state = state_at (store, i);

    if (state->end != ZM_UNIT_OPEN || !state->unit->adds)
      continue;
    state->end = ZM_UNIT_FULL;
    any = TRUE;
  }
  return any;
}

static zm_store_op *
ops_of (ZmStore *store, const ZmStoreUnit *unit)
{
  return &g_array_index (store->writer.ops, zm_store_op, unit->first);
}

/* The changes of the open units side by side: usually that is all of them as they stand. */
static GArray *
collect (ZmStore *store, guint from, guint to)
{
  GArray *part = store->writer.part;
  guint n = 0;

  for (guint i = from; i < to; i++)
    if (state_at (store, i)->end == ZM_UNIT_OPEN)
      n += state_at (store, i)->unit->n;
  if (n == store->writer.ops->len)
    return store->writer.ops;
  g_array_set_size (part, 0);
  for (guint i = from; i < to; i++) {
    const ZmUnitState *state = state_at (store, i);

    if (state->end == ZM_UNIT_OPEN && state->unit->n > 0)
      g_array_append_vals (part, ops_of (store, state->unit), state->unit->n);
  }
  return part;
}

/* What the store said to each change goes to where its unit looks for it. */
static void
spread (ZmStore *store, const GArray *written, guint from, guint to)
{
  const zm_store_op *at = (const zm_store_op *) (void *) written->data;

  if (written == store->writer.ops)
    return;
  for (guint i = from; i < to; i++) {
    const ZmUnitState *state = state_at (store, i);

    if (state->end != ZM_UNIT_OPEN || state->unit->n == 0)
      continue;
    memcpy (ops_of (store, state->unit), at, state->unit->n * sizeof *at);
    at += state->unit->n;
  }
}

static ZmUnitEnd
end_by_ops (ZmStore *store, const ZmStoreUnit *unit)
{
  for (guint i = 0; i < unit->n; i++)
    if (ops_of (store, unit)[i].status != ZM_OK)
      return ZM_UNIT_UNMET;
  return ZM_UNIT_DONE;
}

/* One write of all that is open between these two. */
static int
write_open (ZmStore *store, guint from, guint to)
{
  ZmStoreWriter *writer = &store->writer;
  GArray *ops = collect (store, from, to);
  int code = write_once (store, (zm_store_op *) (void *) ops->data, ops->len, writer->now_us, writer->why);

  if (code != ZM_OK)
    return code;
  spread (store, ops, from, to);
  for (guint i = from; i < to; i++)
    if (state_at (store, i)->end == ZM_UNIT_OPEN)
      state_at (store, i)->end = end_by_ops (store, state_at (store, i)->unit);
  return ZM_OK;
}

/* ---- the other ways ---- */

/* FALSE: that was often enough, or the store is to be closed. Submissions are taken meanwhile, up to their bound. */
static gboolean
pause_before_again (ZmStore *store, guint tries)
{
  gint64 pause_us = MIN ((gint64) AGAIN_FIRST_US << MIN (tries, 10), AGAIN_LAST_US);
  gint64 until_us = zm_now_us () + pause_us;

  if (tries >= AGAIN_MOST)
    return FALSE;
  pthread_mutex_lock (&store->lock);
  while (zm_now_us () < until_us && zm_cond_wait_until (&store->wake, &store->lock, until_us))
    ;
  pthread_mutex_unlock (&store->lock);
  return TRUE;
}

static void
wrong_unit (ZmStore *store, guint from, guint to)
{
  g_autofree char *why = zm_printable (zm_span_text (store->writer.why), ZM_STORE_WHY);

  zm_log_limited (store->log, ZM_LEVEL_ERROR, "store", "a unit that the store does not take",
                  "the store %s does not take a change, which is refused: %s", store->driver, why);
  end_open (store, from, to, ZM_UNIT_WRONG);
}

static void write_range (ZmStore *store, guint from, guint to);

/* A change of one of them is wrong, and nobody says which: each is written alone, so that the others are not hurt by it. */
static void
write_singly (ZmStore *store, guint from, guint to)
{
  if (count_open (store, from, to) <= 1) {
    wrong_unit (store, from, to);
    return;
  }
  for (guint i = from; i < to; i++)
    if (state_at (store, i)->end == ZM_UNIT_OPEN)
      write_range (store, i, i + 1);
}

/* No space. What adds goes without; what removes makes room, and is tried without them. */
static gboolean
go_on_without_adding (ZmStore *store, guint from, guint to)
{
  zm_store_set_full (store, store->writer.why);
  if (end_adding (store, from, to))
    return TRUE;
  /* One of them adds without saying so, as the end of a message with its results does: the others may do without it. */
  if (count_open (store, from, to) > 1)
    write_singly (store, from, to);
  end_open (store, from, to, ZM_UNIT_FULL);
  return FALSE;
}

/* After a failure nobody knows whether a write is there. Its units are told that they failed, and their numbers are not given again;
 * so what they appended is removed when the store has recovered, or it would turn up at the next start. */
static void
doubt (ZmStore *store, const ZmStoreUnit *unit)
{
  for (guint i = 0; i < unit->n; i++) {
    const zm_store_op *op = ops_of (store, unit) + i;
    zm_store_op removal = { .kind = ZM_STORE_REMOVE, .queue = op->queue, .seq = op->seq, .upto = op->seq };

    if (op->kind == ZM_STORE_APPEND && op->seq > 0)
      g_array_append_val (store->doubtful, removal);
  }
}

static void
fail_open (ZmStore *store, guint from, guint to)
{
  zm_store_set_failed (store, store->writer.why);
  for (guint i = from; i < to; i++)
    if (state_at (store, i)->end == ZM_UNIT_OPEN)
      doubt (store, state_at (store, i)->unit);
  end_open (store, from, to, ZM_UNIT_LOST);
}

/* Ends with every unit between these two decided. */
static void
write_range (ZmStore *store, guint from, guint to)
{
  guint again = 0;

  while (count_open (store, from, to) > 0) {
    int code;

    /* By another of this batch, where each is written alone. */
    if (zm_store_is_failed (store)) {
      end_open (store, from, to, ZM_UNIT_LOST);
      return;
    }
    code = write_open (store, from, to);
    if (code == ZM_OK)
      return;
    if (code == ZM_E_MEMORY) {
      if (!go_on_without_adding (store, from, to))
        return;
    } else if (code == ZM_E_AGAIN) {
      if (!pause_before_again (store, again++)) {
        zm_log_limited (store->log, ZM_LEVEL_WARNING, "store", "the store did not get ready",
                        "the store %s was busy for too long; changes were refused: %s", store->driver,
                        store->writer.why);
        end_open (store, from, to, ZM_UNIT_LOST);
      }
    } else if (code == ZM_E_INVALID) {
      write_singly (store, from, to);
      return;
    } else {
      fail_open (store, from, to);
    }
  }
}

/* Those that write nothing are served whatever state the store is in. */
static void
end_without_changes (ZmStore *store)
{
  for (guint i = 0; i < store->writer.units->len; i++)
    if (state_at (store, i)->end == ZM_UNIT_OPEN && state_at (store, i)->unit->n == 0)
      state_at (store, i)->end = ZM_UNIT_DONE;
}

void
zm_batch_write (ZmStore *store)
{
  guint n = store->writer.units->len;

  end_without_changes (store);
  if (count_open (store, 0, n) == 0)
    return;
  zm_store_tell_why (store);
  if (zm_store_is_full (store))
    end_adding (store, 0, n);
  if (zm_store_is_failed (store) || !zm_store_lease_holds (store))
    end_open (store, 0, n, ZM_UNIT_LOST);
  else
    write_range (store, 0, n);
  if (zm_now_us () >= store->figures_us) {
    store->figures_us = zm_now_us () + MEASURE_EACH_US;
    zm_store_measure (store);
  }
}
