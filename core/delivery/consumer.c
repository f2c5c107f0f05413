/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A consumer: takes messages from its queue as its window allows, what is due first, and gives them to its target.
 */
#include "config.h"

#include "delivery/delivery-private.h"

#include <string.h>

ZmQueueName
zm_consumer_queue (const ZmConsumer *consumer)
{
  return (ZmQueueName){ zm_span_text (consumer->project), zm_span_text (consumer->queue) };
}

/* ---- what waits ---- */

void
zm_consumer_wait (ZmConsumer *consumer, guint64 seq, guint attempts, gint64 due_us)
{
  ZmWaiting *waiting = g_hash_table_lookup (consumer->waiting, &seq);

  if (waiting == NULL) {
    waiting = g_new0 (ZmWaiting, 1);
    waiting->consumer = consumer;
    waiting->seq = seq;
    g_hash_table_insert (consumer->waiting, &waiting->seq, waiting);
    consumer->live++;
    atomic_fetch_add (&consumer->waiting_now, 1);
    zm_counter_add (consumer->delivery->g_waiting, 1);
  }
  waiting->attempts = attempts;
  zm_due_set (&consumer->delivery->due, &waiting->due, due_us);
}

/* Where the reader has yet to come by, the place is kept: it would offer the message again. */
void
zm_consumer_forget (ZmConsumer *consumer, guint64 seq)
{
  ZmWaiting *waiting = g_hash_table_lookup (consumer->waiting, &seq);

  if (waiting == NULL)
    return;
  consumer->live -= !waiting->over;
  if (!consumer->consumes && seq > consumer->passed) {
    waiting->over = TRUE;
    return;
  }
  g_hash_table_remove (consumer->waiting, &seq);
  atomic_fetch_sub (&consumer->waiting_now, 1);
  zm_counter_add (consumer->delivery->g_waiting, -1);
}

/* ---- taking ---- */

static void
append_try (ZmConsumer *consumer, ZmTry *try)
{
  try->next = NULL;
  if (consumer->tail != NULL)
    consumer->tail->next = try;
  else
    consumer->head = try;
  consumer->tail = try;
  consumer->in_flight++;
  zm_counter_add (consumer->delivery->g_in_flight, 1);
  atomic_store (&consumer->in_flight_now, consumer->in_flight);
  zm_due_set (&consumer->flying, &try->place, (gint64) try->attempt.seq);
}

/* Those whose time has come. */
static guint
take_waiting (ZmConsumer *consumer, guint most)
{
  guint taken = 0;

  for (; taken < most && consumer->due_head != NULL; taken++) {
    ZmWaiting *waiting = consumer->due_head;
    ZmTry *try = zm_try_new (consumer, waiting->seq, waiting->attempts + 1);

    consumer->due_head = waiting->next;
    if (consumer->due_head == NULL)
      consumer->due_tail = NULL;
    try->waiting = waiting;
    append_try (consumer, try);
  }
  return taken;
}

static void
take_fresh (ZmConsumer *consumer, ZmTry *try)
{
  ZmTry *fresh = g_hash_table_lookup (consumer->fresh, &try->attempt.seq);

  if (fresh == NULL)
    return;
  consumer->fresh_bytes -= zm_message_body (fresh->attempt.message).size;
  try->attempt.stored = fresh->attempt.stored;
  try->attempt.message = g_steal_pointer (&fresh->attempt.message);
  g_hash_table_remove (consumer->fresh, &try->attempt.seq);
}

/* A message that waits has its document, and comes when it is due. */
static guint
take_new (ZmConsumer *consumer, guint most)
{
  guint64 seqs[ZM_DELIVERY_TAKE_MOST];
  guint n;

  if (most == 0 || g_hash_table_size (consumer->waiting) >= consumer->waiting_most ||
      (consumer->strict && consumer->live > 0))
    return 0;
  n = zm_queue_reader_take (consumer->reader, seqs, MIN (most, ZM_DELIVERY_TAKE_MOST));
  for (guint i = 0; i < n; i++) {
    ZmWaiting *waiting = g_hash_table_lookup (consumer->waiting, &seqs[i]);
    ZmTry *try;

    consumer->passed = MAX (consumer->passed, seqs[i]);

    if (waiting != NULL) {
      if (waiting->over)
        zm_consumer_forget (consumer, seqs[i]);
      continue;
    }
    try = zm_try_new (consumer, seqs[i], 1);
    take_fresh (consumer, try);
    append_try (consumer, try);
  }
  return n;
}

static gboolean
needs_reading (const ZmConsumer *consumer)
{
  for (const ZmTry *try = consumer->head; try != NULL; try = try->next)
    if (try->attempt.message == NULL && try->own == NULL && !try->gone)
      return TRUE;
  return FALSE;
}

/* FALSE: nothing is there, or it is being read. */
static gboolean
refill (ZmConsumer *consumer)
{
  guint room = MIN (consumer->concurrency - consumer->in_flight, ZM_DELIVERY_TAKE_MOST);

  if (consumer->in_flight >= consumer->concurrency || consumer->leaving)
    return FALSE;
  room -= take_waiting (consumer, room);
  while (take_new (consumer, room) > 0 && consumer->head == NULL)
    ;
  if (consumer->head == NULL)
    return FALSE;
  if (!needs_reading (consumer))
    return TRUE;
  if (!zm_consumer_read (consumer))
    zm_delivery_later (consumer->delivery);
  return FALSE;
}

/* ---- starting ---- */

static ZmTry *
pop_try (ZmConsumer *consumer)
{
  ZmTry *try = consumer->head;

  consumer->head = try->next;
  if (consumer->head == NULL)
    consumer->tail = NULL;
  try->next = NULL;
  return try;
}

static void
push_front (ZmConsumer *consumer, ZmTry *try)
{
  try->next = consumer->head;
  consumer->head = try;
  if (consumer->tail == NULL)
    consumer->tail = try;
}

/* Over, purged or damaged meanwhile: its end is that there is none; only its document is left to be removed. */
static void
end_gone (ZmTry *try)
{
  static const ZmDeliveryEnd gone = { .verdict = ZM_DELIVERED };

  zm_delivery_ended (&try->attempt, &gone);
}

static void
end_malformed (ZmTry *try)
{
  g_autofree char *code = g_steal_pointer (&try->code);
  g_autofree char *text = g_steal_pointer (&try->text);
  ZmDeliveryEnd end = { .verdict = ZM_DELIVERY_REJECT, .code = code, .text = text };

  zm_delivery_ended (&try->attempt, &end);
}

/* Counted as started before the target has it, which may end it at once in another thread. FALSE: the target is busy. */
static gboolean
start_try (ZmConsumer *consumer, ZmTry *try)
{
  atomic_store (&consumer->again, 0);
  try->started = TRUE;
  zm_delivery_started (consumer->delivery, 1);
  try->gone = try->gone || !zm_queue_reader_has (consumer->reader, try->attempt.seq);
  if (try->gone)
    end_gone (try);
  else if (try->code != NULL)
    end_malformed (try);
  else if (!consumer->target.start (&try->attempt, consumer->target.user)) {
    try->started = FALSE;
    zm_delivery_started (consumer->delivery, -1);
    return FALSE;
  }
  return TRUE;
}

gboolean
zm_consumer_start_one (ZmConsumer *consumer)
{
  if (consumer->reading || consumer->reader == NULL)
    return FALSE;
  if (consumer->head == NULL || needs_reading (consumer))
    if (!refill (consumer))
      return FALSE;
  ZmTry *try = pop_try (consumer);
  if (start_try (consumer, try))
    return TRUE;
  push_front (consumer, try);
  /* It may have said in between that it takes again. */
  consumer->stalled = !atomic_exchange (&consumer->again, 0);
  return !consumer->stalled;
}

guint64
zm_consumer_low (const ZmConsumer *consumer)
{
  ZmDueEntry *first = zm_due_first (&consumer->flying);
  guint64 cursor = zm_queue_reader_cursor (consumer->reader);

  return first != NULL ? MIN ((guint64) first->due_us - 1, cursor) : cursor;
}

void
zm_consumer_release (ZmTry *try)
{
  ZmConsumer *consumer = try->attempt.consumer;

  zm_due_remove (&consumer->flying, &try->place);
  consumer->in_flight--;
  zm_counter_add (consumer->delivery->g_in_flight, -1);
  atomic_store (&consumer->in_flight_now, consumer->in_flight);
  if (try->started)
    zm_delivery_started (consumer->delivery, -1);
  zm_try_free (try);
  if (consumer->leaving && consumer->in_flight == 0)
    zm_consumer_destroy (consumer);
}

/* ---- handed over ---- */

/* Those that the reader passed by (they were over, or purged) are let go when their room is needed. */
static gboolean
is_passed (gpointer key, gpointer value, gpointer user)
{
  ZmConsumer *consumer = user;
  ZmTry *fresh = value;

  if (*(guint64 *) key > consumer->passed)
    return FALSE;
  consumer->fresh_bytes -= zm_message_body (fresh->attempt.message).size;
  return TRUE;
}

static gboolean
has_room (ZmConsumer *consumer, gsize bytes)
{
  if (g_hash_table_size (consumer->fresh) >= ZM_DELIVERY_FRESH_MOST ||
      consumer->fresh_bytes + bytes > ZM_DELIVERY_FRESH_BYTES)
    g_hash_table_foreach_remove (consumer->fresh, is_passed, consumer);
  return g_hash_table_size (consumer->fresh) < ZM_DELIVERY_FRESH_MOST &&
         consumer->fresh_bytes + bytes <= ZM_DELIVERY_FRESH_BYTES;
}

void
zm_consumer_hand (ZmConsumer *consumer, const char *id, ZmMessage *message)
{
  gsize bytes = zm_message_body (message).size;
  guint64 queue, seq;
  ZmTry *fresh;

  if (consumer->reader == NULL || atomic_load (&consumer->delivery->closing) ||
      !zm_queue_id_read (zm_span_text (id), &queue, &seq) || seq <= consumer->passed ||
      !has_room (consumer, bytes)) {
    zm_message_unref (message);
    return;
  }
  fresh = zm_try_new (consumer, seq, 1);
  zm_try_set_message (fresh, message, queue, zm_delivery_wall (consumer->delivery));
  g_strlcpy (fresh->attempt.stored.id, id, sizeof fresh->attempt.stored.id);
  consumer->fresh_bytes += bytes;
  g_hash_table_replace (consumer->fresh, &fresh->attempt.seq, fresh);
  zm_delivery_ready (consumer);
  zm_delivery_pump (consumer->delivery);
}
