/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What all requests have in common: copied, submitted, decided, written, read, answered. */
#include "config.h"

#include "queue/registry-private.h"

#include <string.h>

/* Of records that are read in one go though one between them is not asked for. */
#define GAP_MOST 16

static ZmRequest *
of_unit (ZmStoreUnit *unit)
{
  return (ZmRequest *) (void *) unit;
}

static ZmSeen *
seen_at (ZmRequest *request, guint i)
{
  return &g_array_index (request->seen, ZmSeen, i);
}

static void
clear_seen (gpointer data)
{
  zm_record_unref (((ZmSeen *) data)->record);
}

/* ---- the end ---- */

static void
free_request (ZmRequest *request)
{
  if (request->ops->free != NULL)
    request->ops->free (request);
  g_clear_pointer (&request->seen, g_array_unref);
  g_clear_pointer (&request->messages, g_array_unref);
  g_clear_pointer (&request->plains, g_ptr_array_unref);
  g_clear_error (&request->error);
  zm_cipher_unref (request->cipher);
  zm_queue_unref (request->queue);
  g_free ((char *) request->name.project.data);
  g_free (request);
}

void
zm_queue_request_answer (ZmRequest *request)
{
  ZmQueueAnswer none = { 0 };

  if (request->answered)
    return;
  request->answered = TRUE;
  if (request->done != NULL)
    request->done (request->error != NULL ? &none : &request->answer, request->error, request->user);
}

static void
damaged (ZmQueue *queue, guint64 seq, const GError *error)
{
  zm_counter_add (queue->queues->p->damaged, 1);
  zm_log_limited (queue->queues->config.log, ZM_LEVEL_ERROR, ZM_QUEUE_ROOM, "messages that cannot be read",
                  "message %" G_GUINT64_FORMAT " of queue %s cannot be read and is left out: %s", seq,
                  queue->name, error != NULL ? error->message : "its checksum is wrong");
}

/* The message that a record is, with what the answer knows beside. */
static void
add_message (ZmRequest *request, const ZmSeen *seen)
{
  g_autoptr (GError) error = NULL;
  GByteArray *plain = g_byte_array_new ();
  ZmStored stored;

  memset (&stored, 0, sizeof stored);
  g_ptr_array_add (request->plains, plain);
  if (!zm_record_unpack (seen->record, request->cipher, plain, &stored, &error)) {
    damaged (request->queue, seen->seq, error);
    return;
  }
  stored.claim_count = seen->claim_count;
  memcpy (stored.claim, seen->claim, sizeof stored.claim);
  stored.ttl_s = seen->ttl_s != 0 ? seen->ttl_s : stored.ttl_s;
  stored.expires_us = seen->expires_us != 0 ? seen->expires_us : stored.expires_us;
  if (request->sums) {
    g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_MD5);
    gsize size = sizeof stored.sum;

    g_checksum_update (sum, (const guchar *) stored.body.data, (gssize) stored.body.size);
    g_checksum_get_digest (sum, stored.sum, &size);
    stored.has_sum = TRUE;
  }
  g_array_append_val (request->messages, stored);
}

static void
finish (ZmRequest *request)
{
  if (request->error == NULL && request->seen != NULL) {
    if (request->messages == NULL) {
      request->messages = g_array_new (FALSE, FALSE, sizeof (ZmStored));
      request->plains = g_ptr_array_new_with_free_func ((GDestroyNotify) g_byte_array_unref);
    }
    for (; request->told < request->seen->len; request->told++)
      if (seen_at (request, request->told)->record != NULL)
        add_message (request, seen_at (request, request->told));
    request->answer.messages = (const ZmStored *) (void *) request->messages->data;
    request->answer.n_messages = request->messages->len;
  }
  if (request->error == NULL && request->ops->read != NULL && request->ops->read (request))
    return; /* is on its way once more */
  zm_queue_request_answer (request);
  free_request (request);
}

/* ---- reading ---- */

typedef struct Reading {
  ZmRequest *request;
  guint i, last; /* where in seen */
} Reading;

static int
take_record (void *user, const zm_store_record *record)
{
  Reading *reading = user;

  while (reading->i <= reading->last && seen_at (reading->request, reading->i)->seq < record->seq)
    reading->i++;
  if (reading->i > reading->last)
    return 1;
  if (seen_at (reading->request, reading->i)->seq != record->seq)
    return 0;
  if (record->flags & ZM_STORE_DAMAGED)
    damaged (reading->request->queue, record->seq, NULL);
  else
    seen_at (reading->request, reading->i)->record = zm_record_of (record);
  return 0;
}

/* Those without a record, neighbours together. */
static void
read_missing (ZmRequest *request, void *reader)
{
  for (guint i = request->told; i < request->seen->len; i++) {
    zm_store_range range = { .struct_size = sizeof range, .queue = request->queue->number };
    Reading reading = { request, i, i };
    g_autoptr (GError) error = NULL;

    if (seen_at (request, i)->record != NULL)
      continue;
    while (reading.last + 1 < request->seen->len && seen_at (request, reading.last + 1)->record == NULL &&
           seen_at (request, reading.last + 1)->seq > seen_at (request, reading.last)->seq &&
           seen_at (request, reading.last + 1)->seq - seen_at (request, reading.last)->seq <= GAP_MOST)
      reading.last++;
    range.seq = seen_at (request, i)->seq;
    range.upto = seen_at (request, reading.last)->seq;
    i = reading.last;
    if (!zm_store_read (request->queues->config.store, reader, &range, take_record, &reading, &error)) {
      if (request->error == NULL)
        request->error = g_steal_pointer (&error);
      return;
    }
  }
}

static void
read_job (ZmStoreJob *job, ZmStore *store, void *reader)
{
  ZmRequest *request = (ZmRequest *) (void *) ((char *) job - offsetof (ZmRequest, job));

  (void) store;
  read_missing (request, reader);
  finish (request);
}

static gboolean
is_missing (ZmRequest *request)
{
  for (guint i = request->told; request->seen != NULL && i < request->seen->len; i++)
    if (seen_at (request, i)->record == NULL)
      return TRUE;
  return FALSE;
}

void
zm_queue_request_fetch_now (ZmRequest *request)
{
  if (request->seen != NULL && !zm_queue_in_memory (request->queue))
    read_missing (request, NULL);
}

ZmSeen *
zm_queue_request_see (ZmRequest *request, guint64 seq)
{
  ZmQueue *queue = request->queue;
  ZmSeen seen = { .seq = seq };

  if (request->seen == NULL) {
    request->seen = g_array_new (FALSE, FALSE, sizeof (ZmSeen));
    g_array_set_clear_func (request->seen, clear_seen);
  }
  seen.record =
      zm_cache_get (queue->memory != NULL ? queue->memory : queue->queues->cache, queue->number, seq);
  zm_claims_show (queue, seq, &seen);
  g_array_append_val (request->seen, seen);
  return seen_at (request, request->seen->len - 1);
}

/* ---- deciding and writing ---- */

static void
prepare (ZmStoreUnit *unit, ZmStoreWriter *writer)
{
  ZmRequest *request = of_unit (unit);
  guint mark = zm_store_mark (writer);

  request->now_us = zm_queues_now (request->queues, writer);
  zm_queue_unref (request->queue);
  request->queue = zm_queue_find_in (request->queues, writer, request->name, request->ops->make,
                                     &request->created, &request->error);
  if (request->error != NULL)
    return;
  if (request->queue != NULL) {
    zm_queue_tick (request->queue, request->now_us);
    request->sums = request->queue->options.sums;
    if (request->cipher == NULL)
      request->cipher = zm_queue_cipher (request->queue);
  }
  request->ops->decide (request, writer);
  if (request->error != NULL) /* what it had added by then is not to be */
    zm_store_rewind (writer, mark);
}

static void
done (ZmStoreUnit *unit, const GError *error)
{
  ZmRequest *request = of_unit (unit);

  if (request->error == NULL && error == NULL && request->ops->commit != NULL)
    request->ops->commit (request);
  else if (request->error == NULL && error != NULL && request->ops->undo != NULL)
    request->ops->undo (request);
  if (request->queue != NULL && request->ops->make)
    zm_queue_settle (request->queue, error == NULL && request->error == NULL);
  if (request->queue != NULL && request->queue->loaded)
    zm_queue_show (request->queue);
  if (request->error == NULL && error != NULL)
    request->error = g_error_copy (error);
  if (request->error == NULL && is_missing (request) && !zm_queue_in_memory (request->queue)) {
    request->job.run = read_job;
    if (zm_store_read_later (request->queues->config.store, &request->job))
      return;
    zm_queue_request_fail (request, ZM_ERROR_UNAVAILABLE, "too many reads wait for the store: try again");
  }
  finish (request);
}

gpointer
zm_queue_request_new (ZmQueues *queues, ZmQueueName name, const ZmRequestOps *ops, ZmQueueDone done_func,
                      gpointer user)
{
  ZmRequest *request = g_malloc0 (ops->size);
  char *names = g_malloc (name.project.size + name.name.size + 1);

  if (name.project.size > 0)
    memcpy (names, name.project.data, name.project.size);
  if (name.name.size > 0)
    memcpy (names + name.project.size, name.name.data, name.name.size);
  request->ops = ops;
  request->queues = queues;
  request->name.project = (ZmSpan){ names, name.project.size };
  request->name.name = (ZmSpan){ names + name.project.size, name.name.size };
  request->done = done_func;
  request->user = user;
  return request;
}

/* What was found wrong before is answered at once. */
static void
submit (ZmRequest *request)
{
  request->unit.prepare = prepare;
  request->unit.done = done;
  request->unit.adds = request->ops->adds;
  if (request->error == NULL && zm_queues_closed (request->queues))
    zm_queue_request_fail (request, ZM_ERROR_UNAVAILABLE, "the daemon is stopping");
  else if (request->error == NULL &&
           zm_store_submit (request->queues->config.store, &request->unit, &request->error))
    return;
  zm_queue_request_answer (request);
  free_request (request);
}

void
zm_queue_request_submit (gpointer request, gsize size)
{
  ((ZmRequest *) request)->unit.size = size;
  submit (request);
}

void
zm_queue_request_again (ZmRequest *request)
{
  submit (request);
}

void
zm_queue_request_fail (ZmRequest *request, ZmErrorCode code, const char *format, ...)
{
  va_list args;

  if (request->error != NULL)
    return;
  va_start (args, format);
  request->error = g_error_new_valist (ZM_ERROR, (int) code, format, args);
  va_end (args);
}
