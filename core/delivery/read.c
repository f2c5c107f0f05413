/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tries: made, read, freed. Messages are read by the store's readers, a share of them at a time, so that who writes does not wait for
 * a backlog to be read. One share of a consumer at a time, which keeps its order.
 */
#include "config.h"

#include "delivery/delivery-private.h"

#include <string.h>

ZmTry *
zm_try_new (ZmConsumer *consumer, guint64 seq, guint number)
{
  ZmTry *try = g_new0 (ZmTry, 1);

  try->attempt.consumer = consumer;
  try->attempt.seq = seq;
  try->attempt.number = number;
  return try;
}

void
zm_try_free (ZmTry *try)
{
  zm_message_unref (try->attempt.message);
  g_clear_pointer (&try->results, g_ptr_array_unref);
  g_clear_pointer (&try->appends, g_ptr_array_unref);
  g_free (try->own);
  if (try->policy != NULL)
    zm_retry_policy_clear (try->policy);
  g_free (try->policy);
  g_free (try->code);
  g_free (try->text);
  g_free (try);
}

/* What was handed over just now: all that the store has of it stands in the message. */
void
zm_try_set_message (ZmTry *try, ZmMessage *message, guint64 queue, gint64 created_us)
{
  ZmStored *stored = &try->attempt.stored;

  try->attempt.message = message;
  stored->seq = try->attempt.seq;
  stored->created_us = created_us;
  stored->expires_us = G_MAXINT64;
  zm_queue_id_make (queue, stored->seq, created_us, stored->id);
  stored->body = zm_message_body (message);
  stored->headers = zm_message_headers (message);
  stored->topic = zm_message_topic (message);
  if (!message->made_id)
    stored->sender_id = message->topic.id;
}

/* ---- reading ---- */

static ZmSpan
copy_part (char **at, ZmSpan part)
{
  ZmSpan copy = zm_span (*at, part.size);

  if (part.size > 0)
    memcpy (*at, part.data, part.size);
  *at += part.size;
  return copy;
}

/* All parts in one piece of memory. A body that is in the message already is not kept twice. */
static void
keep_stored (ZmTry *try, const ZmStored *from)
{
  ZmStored *stored = &try->attempt.stored;
  ZmMessage *message = try->attempt.message;
  gboolean shared = message != NULL && zm_span_equal (zm_message_body (message), from->body);
  ZmSpan body = shared ? zm_span (NULL, 0) : from->body;
  gsize size = from->headers.size + from->topic.size + from->key.size + from->sender_id.size +
               from->client.size + body.size;
  char *at = try->own = g_malloc (size + 1);

  *stored = *from;
  stored->headers = copy_part (&at, from->headers);
  stored->topic = copy_part (&at, from->topic);
  stored->key = copy_part (&at, from->key);
  stored->sender_id = copy_part (&at, from->sender_id);
  stored->client = copy_part (&at, from->client);
  stored->body = shared ? zm_message_body (message) : copy_part (&at, body);
}

/* One that can be made into no message is told by its code, and goes to the dead when it would be started. */
static void
take_stored (const ZmStored *stored, gpointer user)
{
  ZmTry *try = user;
  ZmConsumer *consumer = try->attempt.consumer;
  g_autoptr (GError) error = NULL;

  if (stored->expires_us <= zm_delivery_wall (consumer->delivery))
    return;
  if (consumer->target.make != NULL) {
    try->attempt.message = consumer->target.make (stored, consumer->target.user, &error);
    if (try->attempt.message == NULL) {
      try->code = g_strdup ("malformed");
      try->text = g_strdup (error != NULL ? error->message : "it can be made into no message");
    }
  }
  keep_stored (try, stored);
}

/* In the store's thread: the share is there, and goes in front of what came meanwhile (nothing does). */
static void
reading_done (ZmStoreUnit *unit, const GError *error)
{
  ZmConsumer *consumer = *(ZmConsumer **) ((char *) unit + (G_STRUCT_OFFSET (ZmConsumer, read.consumer) -
                                                            G_STRUCT_OFFSET (ZmConsumer, read.unit)));

  ZmDelivery *delivery = consumer->delivery;
  consumer->reading = FALSE;
  zm_delivery_ready (consumer);
  if (consumer->leaving)
    zm_consumer_leave (consumer);
  /* Others of that batch have yet to undo what they decided: what is in the queue is not to be asked before. */
  if (error != NULL)
    zm_delivery_later (delivery);
  else
    zm_delivery_pump (delivery);
}

/* In a reader's thread. The consumer's list is this job's until it is told that it has been read. */
static void
read_run (ZmStoreJob *job, ZmStore *store, void *reader)
{
  ZmConsumer *consumer = (ZmConsumer *) ((char *) job - G_STRUCT_OFFSET (ZmConsumer, read.job));
  ZmDelivery *delivery = consumer->delivery;

  (void) store;
  for (ZmTry *try = consumer->head; try != NULL; try = try->next)
    if (try->attempt.message == NULL && try->own == NULL && !try->gone)
      try->gone = !zm_queue_read (delivery->config.queues, reader, zm_consumer_queue (consumer),
                                  try->attempt.seq, take_stored, try) ||
                  (try->attempt.message == NULL && try->own == NULL);
  consumer->read.unit = (ZmStoreUnit){ .done = reading_done, .inside = TRUE };
  /* Where the store takes nothing any more the daemon ends, and what was read goes with the consumer. */
  zm_store_submit (delivery->config.store, &consumer->read.unit, NULL);
}

gboolean
zm_consumer_read (ZmConsumer *consumer)
{
  consumer->read.job = (ZmStoreJob){ .run = read_run };
  consumer->read.consumer = consumer;
  consumer->reading = TRUE;
  if (zm_store_read_later (consumer->delivery->config.store, &consumer->read.job))
    return TRUE;
  consumer->reading = FALSE;
  return FALSE;
}
