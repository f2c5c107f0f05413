/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How attempts end. All of an end is one unit, and so one transaction: the message leaves its queue, or goes to the dead, or its
 * document says when it comes again; and its results are appended to the queues that want them. They are published after it.
 */
#include "config.h"

#include "delivery/delivery-private.h"

#include <string.h>

/* When one comes again that its target gave back: not at once, as what filled the target is still there. */
#define BACK_MS 100
/* When a message comes again that should die, and whose dead-letter queue takes nothing. */
#define NO_ROOM_MS 60000

/* ---- in prepare: the decision ---- */

static int
keep_value (void *user, zm_str key, zm_str value)
{
  char **kept = user;

  (void) key;
  *kept = g_strndup (value.data, value.size);
  return 1;
}

/* The document that is there; the caller frees; NULL: none. */
static char *
document_of (ZmTry *try)
{
  ZmConsumer *consumer = try->attempt.consumer;
  g_autofree char *key = g_strconcat (consumer->prefix, try->key, NULL);
  char *kept = NULL;
  ZmSpan none = { NULL, 0 };

  if (try->waiting != NULL)
    zm_store_documents (consumer->delivery->config.store, NULL, ZM_DELIVERY_SPACE, zm_span_text (key), none,
                        1, keep_value, &kept, NULL);
  return kept;
}

/* Lives until done. */
static zm_str
batch_text (ZmStoreWriter *writer, const char *text, gsize size)
{
  char *copy = zm_store_alloc (writer, size + 1);

  memcpy (copy, text, size);
  copy[size] = '\0';
  return (zm_str){ copy, size };
}

static zm_str
document_key (ZmTry *try, ZmStoreWriter *writer)
{
  g_autofree char *key = g_strconcat (try->attempt.consumer->prefix, try->key, NULL);

  return batch_text (writer, key, strlen (key));
}

static void
put_document (ZmTry *try, ZmStoreWriter *writer, ZmSpan before, gint64 delay_ms)
{
  /* The wall clock of the room, which is the one that due times are read with. */
  gint64 wall_us = zm_delivery_wall (try->attempt.consumer->delivery);
  g_autoptr (GString) text = zm_document_after (try, before, wall_us, delay_ms);
  zm_store_op op = {
    .kind = ZM_STORE_PUT,
    .space = zm_str_of (ZM_SPAN_LITERAL (ZM_DELIVERY_SPACE)),
    .key = document_key (try, writer),
    .data = batch_text (writer, text->str, text->len),
  };

  zm_store_add (writer, &op);
  try->delay_ms = delay_ms;
}

/* The message leaves its queue, and its document goes. */
static void
end_message (ZmTry *try, ZmStoreWriter *writer)
{
  ZmConsumer *consumer = try->attempt.consumer;

  try->ends = TRUE;
  if (try->waiting != NULL) {
    zm_store_op op = { .kind = ZM_STORE_DELETE,
                       .space = zm_str_of (ZM_SPAN_LITERAL (ZM_DELIVERY_SPACE)),
                       .key = document_key (try, writer) };
    zm_store_add (writer, &op);
  }
  if (!try->gone && consumer->consumes) {
    zm_queue_consume_in (consumer->delivery->config.queues, writer, zm_consumer_queue (consumer),
                         try->attempt.seq);
    try->consumed = TRUE;
  }
  if (consumer->target.ending != NULL)
    consumer->target.ending (&try->attempt, writer, consumer->target.user);
}

char *
zm_delivery_attempt_key (const ZmAttempt *attempt)
{
  return g_strdup_printf ("%s%016" G_GINT64_MODIFIER "x", attempt->consumer->prefix, attempt->seq);
}

static void
append_results (ZmTry *try, ZmStoreWriter *writer)
{
  ZmQueues *queues = try->attempt.consumer->delivery->config.queues;

  for (guint i = 0; try->results != NULL && i < try->results->len; i++) {
    const ZmMessage *result = try->results->pdata[i];
    ZmSpan topic = zm_message_topic (result);
    ZmPut put = { .body = zm_message_body (result),
                  .headers = zm_message_headers (result),
                  .topic = topic,
                  .ttl_s = -1,
                  .delay_s = -1 };
    ZmQueueAppend *append = zm_queue_append_bound_in (queues, writer, topic, &put);

    if (append != NULL)
      g_ptr_array_add (try->appends, append);
  }
}

/* FALSE: the queue of the dead takes it not. */
static gboolean
append_dead (ZmTry *try, ZmStoreWriter *writer, ZmSpan before)
{
  ZmConsumer *consumer = try->attempt.consumer;
  ZmDelivery *delivery = consumer->delivery;
  const ZmStored *stored = &try->attempt.stored;
  g_autoptr (GString) headers = zm_document_dead (try, before, zm_delivery_wall (delivery));
  g_autoptr (GError) error = NULL;
  zm_str kept = batch_text (writer, headers->str, headers->len);
  ZmQueueName dead = { zm_span_text (consumer->project), zm_span_text (consumer->dead) };
  ZmPut put = { .body = stored->body,
                .headers = zm_span (kept.data, kept.size),
                .topic = stored->topic,
                .key = stored->key,
                .delay_s = -1 };
  ZmQueueAppend *append = zm_queue_append_dead_in (delivery->config.queues, writer,
                                                   zm_consumer_queue (consumer), dead, &put, &error);

  if (append == NULL) {
    zm_log_limited (delivery->config.log, ZM_LEVEL_ERROR, "delivery", "dead-letter-full",
                    "queue %s takes no dead letter of %s: %s; the message is kept and tried again",
                    consumer->dead, consumer->queue, error != NULL ? error->message : "it is full");
    return FALSE;
  }
  g_ptr_array_add (try->appends, append);
  try->died = TRUE;
  return TRUE;
}

/* How long to wait before the next attempt, ms; -1: there is none. */
static gint64
next_delay (ZmTry *try)
{
  ZmConsumer *consumer = try->attempt.consumer;
  const ZmRetryPolicy *policy = try->policy != NULL ? try->policy : &consumer->policy;
  gint64 wall_us = zm_delivery_wall (consumer->delivery);
  gint64 delay_ms = zm_retry_policy_delay (policy, try->attempt.number + 1, g_random_double ());

  if (delay_ms < 0)
    return -1;
  if (try->after_ms > delay_ms)
    delay_ms = MAX (delay_ms, MIN (try->after_ms, zm_retry_policy_longest (policy)));
  if (policy->max_age_ms > 0 &&
      try->attempt.stored.created_us / 1000 + policy->max_age_ms < wall_us / 1000 + delay_ms)
    return -1;
  return delay_ms;
}

/* It stays where it is. Where a cursor is kept it will be past it, and so the message needs a document. */
static void
given_back (ZmTry *try, ZmStoreWriter *writer)
{
  g_autofree char *before = NULL;

  try->delay_ms = MAX (try->after_ms, BACK_MS);
  if (try->attempt.consumer->consumes)
    return;
  before = document_of (try);
  put_document (try, writer, zm_span_text (before), try->delay_ms);
}

static void
failed (ZmTry *try, ZmStoreWriter *writer)
{
  g_autofree char *before = document_of (try);
  gint64 delay_ms = try->verdict == ZM_DELIVERY_RETRY ? next_delay (try) : -1;

  if (delay_ms < 0 && !append_dead (try, writer, zm_span_text (before)))
    delay_ms = NO_ROOM_MS;
  if (delay_ms >= 0) {
    put_document (try, writer, zm_span_text (before), delay_ms);
    return;
  }
  append_results (try, writer);
  end_message (try, writer);
}

/* Lazily: without it more would be read again after a start, and what has ended there offered once more. */
static void
put_cursor (ZmTry *try, ZmStoreWriter *writer)
{
  ZmConsumer *consumer = try->attempt.consumer;
  gint64 now_us = zm_delivery_now (consumer->delivery);
  g_autofree char *text = NULL;

  if (consumer->consumes || consumer->reader == NULL ||
      (++consumer->ended_since < 1000 && now_us - consumer->cursor_us < G_USEC_PER_SEC))
    return;
  consumer->ended_since = 0;
  consumer->cursor_us = now_us;
  text = g_strdup_printf ("%" G_GUINT64_FORMAT, zm_consumer_low (consumer));
  zm_store_op op = { .kind = ZM_STORE_PUT,
                     .space = zm_str_of (ZM_SPAN_LITERAL (ZM_DELIVERY_CURSORS)),
                     .key = zm_str_of (zm_span_text (consumer->name)),
                     .data = batch_text (writer, text, strlen (text)) };
  zm_store_add (writer, &op);
}

static void
prepare_end (ZmStoreUnit *unit, ZmStoreWriter *writer)
{
  ZmTry *try = (ZmTry *) unit;

  try->ends = try->died = try->consumed = FALSE;
  try->delay_ms = 0;
  g_clear_pointer (&try->appends, g_ptr_array_unref);
  try->appends = g_ptr_array_new ();
  switch (try->verdict) {
  case ZM_DELIVERED:
    append_results (try, writer);
    end_message (try, writer);
    break;
  case ZM_DELIVERY_BACK: given_back (try, writer); break;
  default: failed (try, writer);
  }
  put_cursor (try, writer);
}

/* ---- in done: what follows from it ---- */

/* The store has nothing of it: it is said again later, and the message stays in flight. */
static void
not_written (ZmTry *try)
{
  ZmConsumer *consumer = try->attempt.consumer;
  ZmDelivery *delivery = consumer->delivery;

  for (guint i = 0; i < try->appends->len; i++)
    zm_queue_append_undo (try->appends->pdata[i]);
  if (try->consumed)
    zm_queue_consume_undo (delivery->config.queues, zm_consumer_queue (consumer), try->attempt.seq);
  pthread_mutex_lock (&delivery->lock);
  try->next = delivery->unsaid;
  delivery->unsaid = try;
  pthread_mutex_unlock (&delivery->lock);
  zm_delivery_later (delivery);
}

static void
count_end (ZmTry *try)
{
  ZmConsumer *consumer = try->attempt.consumer;
  ZmDelivery *delivery = consumer->delivery;

  atomic_store (&consumer->cursor_now, consumer->passed);
  if (try->verdict == ZM_DELIVERY_BACK)
    return;
  if (try->gone) {
    atomic_fetch_add (&consumer->lost, 1);
    zm_counter_add (delivery->c_lost, 1);
    zm_log_limited (delivery->config.log, ZM_LEVEL_WARNING, "delivery", "gone",
                    "message %" G_GUINT64_FORMAT " of queue %s is not delivered (any more), attempt %u: its "
                    "time (ttl) was over, or it was purged, or it cannot be read",
                    try->attempt.seq, consumer->queue, try->attempt.number);
  } else if (!try->ends) {
    atomic_fetch_add (&consumer->retried, 1);
    zm_counter_add (delivery->c_retried, 1);
  } else if (try->died) {
    atomic_fetch_add (&consumer->dead_count, 1);
    zm_counter_add (delivery->c_dead, 1);
    zm_log_limited (delivery->config.log, ZM_LEVEL_WARNING, "delivery", "dead-letter",
                    "message %s of queue %s went to queue %s after %u attempts: %s: %s",
                    try->attempt.stored.id, consumer->queue, consumer->dead, try->attempt.number,
                    try->code != NULL ? try->code : "", try->text != NULL ? try->text : "");
  } else {
    atomic_fetch_add (&consumer->delivered, 1);
    zm_counter_add (delivery->c_delivered, 1);
  }
}

static void
publish (ZmTry *try)
{
  if (try->ends && try->results != NULL && try->results->len > 0)
    zm_results_add (try->attempt.consumer->delivery, g_steal_pointer (&try->results));
}

/* Given back, or to come again: when that is counts from now, so that no clock that is set moves it. */
static void
wait_again (ZmTry *try)
{
  ZmConsumer *consumer = try->attempt.consumer;
  guint attempts = try->verdict == ZM_DELIVERY_BACK ? try->attempt.number - 1 : try->attempt.number;

  zm_consumer_wait (consumer, try->attempt.seq, attempts,
                    zm_delivery_now (consumer->delivery) + try->delay_ms * 1000);
}

static void
end_done (ZmStoreUnit *unit, const GError *error)
{
  ZmTry *try = (ZmTry *) unit;
  ZmConsumer *consumer = try->attempt.consumer;
  ZmDelivery *delivery = consumer->delivery;

  if (error != NULL) {
    not_written (try);
    return;
  }
  for (guint i = 0; i < try->appends->len; i++)
    zm_queue_append_commit (try->appends->pdata[i]);
  if (try->consumed)
    zm_queue_consume_commit (delivery->config.queues, zm_consumer_queue (consumer), try->attempt.seq);
  count_end (try);
  publish (try);
  if (try->ends && consumer->target.ended != NULL)
    consumer->target.ended (&try->attempt, consumer->target.user);
  if (try->ends)
    zm_consumer_forget (consumer, try->attempt.seq);
  else
    wait_again (try);
  zm_delivery_ready (consumer);
  zm_consumer_release (try);
  zm_delivery_pump (delivery);
}

/* ---- any thread ---- */

void
zm_try_submit (ZmTry *try)
{
  ZmConsumer *consumer = try->attempt.consumer;
  ZmDelivery *delivery = consumer->delivery;

  /* While others can be started meanwhile. */
  gboolean patient = atomic_load (&consumer->in_flight_now) < consumer->concurrency;

  try->unit = (ZmStoreUnit){
    .prepare = prepare_end, .done = end_done, .size = 256, .inside = TRUE, .patient = patient
  };
  if (zm_store_submit (delivery->config.store, &try->unit, NULL))
    return;
  pthread_mutex_lock (&delivery->lock);
  try->next = delivery->unsaid;
  delivery->unsaid = try;
  pthread_mutex_unlock (&delivery->lock);
  zm_delivery_later (delivery);
}

void
zm_delivery_ended (ZmAttempt *attempt, const ZmDeliveryEnd *end)
{
  ZmTry *try = (ZmTry *) ((char *) attempt - G_STRUCT_OFFSET (ZmTry, attempt));
  g_autofree char *text = g_strndup (end->text != NULL ? end->text : "", ZM_DELIVERY_TEXT_MOST);

  try->verdict = end->verdict;
  try->after_ms = end->after_ms;
  try->code = g_strdup (end->code != NULL ? end->code : "failed");
  try->text = g_utf8_make_valid (text, -1);
  if (end->policy != NULL) {
    try->policy = g_new (ZmRetryPolicy, 1);
    zm_retry_policy_copy (try->policy, end->policy);
  }
  if (end->n_results > 0)
    try->results = g_ptr_array_new_full (end->n_results, (GDestroyNotify) zm_message_unref);
  for (guint i = 0; i < end->n_results; i++)
    g_ptr_array_add (try->results, zm_message_ref (end->results[i]));
  g_snprintf (try->key, sizeof try->key, "%016" G_GINT64_MODIFIER "x", attempt->seq);
  zm_try_submit (try);
}
