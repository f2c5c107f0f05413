/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Putting with a condition, and waiting until a queue, or a key of it, is empty. */
#include "config.h"

#include "queue/latest.h"

#include <string.h>

/* ---- put ---- */

typedef struct PutHow {
  ZmRequest base;
  ZmRecord *record;
  gint64 ttl_s, delay_s;
  ZmPutHow how;
  ZmAppend *append;
  guint64 duplicate; /* of which message; 0: of none */
  char id[ZM_UUID_SIZE + 1];
  const char *ids[1];
} PutHow;

/* For a queue of another kind, whose elements have no keys, there is only one question: is anything there? */
static gboolean
check_fifo (PutHow *put)
{
  ZmQueue *queue = put->base.queue;
  ZmPut parts;

  zm_record_parts (put->record, &parts);
  if (queue->options.kind == ZM_QUEUE_LATEST || put->how == ZM_PUT_ALWAYS_)
    return TRUE;
  if (put->how == ZM_PUT_REPLACE_ || parts.key.size > 0)
    zm_queue_request_fail (
        &put->base, ZM_ERROR_INVALID,
        "queue '%s' does not have one element a key: set kind = latest for it, or put without key",
        queue->name);
  else if (!zm_latest_is_empty (queue, zm_span (NULL, 0), put->base.now_us))
    zm_queue_request_fail (&put->base, ZM_ERROR_EXISTS, "queue '%s' is not empty", queue->name);
  return put->base.error == NULL;
}

/* The first of its sender's id, 0: none. */
static guint64
find_first (const PutHow *put, gint64 *created_us)
{
  guint64 seq = 0;
  ZmPut parts;

  zm_record_parts (put->record, &parts);
  if (parts.id.size == 0 || !zm_window_find (put->base.queue, parts.id, put->base.now_us, &seq, created_us))
    return 0;
  return seq;
}

/* The same id as a message of the window: answered like that one, and nothing is put. */
static gboolean
is_duplicate (PutHow *put)
{
  gint64 created_us = 0;

  put->duplicate = find_first (put, &created_us);
  if (put->duplicate == 0)
    return FALSE;
  zm_queue_id_make (put->base.queue->number, put->duplicate, created_us, put->id);
  put->base.answer.duplicate = TRUE;
  return TRUE;
}

static void
decide_put (ZmRequest *base, ZmStoreWriter *writer)
{
  PutHow *put = (PutHow *) (void *) base;

  if (is_duplicate (put) || !check_fifo (put))
    return;
  put->append = zm_append_in (base->queue, writer, g_steal_pointer (&put->record), put->ttl_s, put->delay_s,
                              put->how, FALSE, &base->error);
  if (put->append != NULL)
    zm_queue_id_make (base->queue->number, put->append->seq, put->append->created_us, put->id);
  else if (base->error == NULL)
    zm_queue_request_fail (base, ZM_ERROR_LIMIT, "queue '%s' is full: the message was dropped",
                           base->queue->name);
}

/* A duplicate counts only where its first one got there: a batch that failed took that one with it. */
static void
commit_duplicate (PutHow *put)
{
  gint64 created_us;

  put->base.queue->counts.duplicates++;
  if (find_first (put, &created_us) != put->duplicate)
    zm_queue_request_fail (&put->base, ZM_ERROR_UNAVAILABLE,
                           "the first message of this id could not be stored: try again");
}

static void
commit_put (ZmRequest *base)
{
  PutHow *put = (PutHow *) (void *) base;

  if (put->append != NULL)
    zm_append_commit (g_steal_pointer (&put->append));
  else if (put->duplicate != 0)
    commit_duplicate (put);
  base->answer.created = !base->answer.duplicate;
  put->ids[0] = put->id;
  base->answer.ids = put->ids;
  base->answer.n_ids = 1;
}

static void
undo_put (ZmRequest *base)
{
  PutHow *put = (PutHow *) (void *) base;

  if (put->append != NULL)
    zm_append_undo (g_steal_pointer (&put->append));
}

static void
free_put (ZmRequest *base)
{
  zm_record_unref (((PutHow *) (void *) base)->record);
}

void
zm_queue_put_how (ZmQueues *queues, ZmQueueName queue, const ZmPut *put, ZmPutHow how, ZmQueueDone done,
                  gpointer user)
{
  static const ZmRequestOps ops = { .size = sizeof (PutHow),
                                    .make = TRUE,
                                    .adds = TRUE,
                                    .decide = decide_put,
                                    .commit = commit_put,
                                    .undo = undo_put,
                                    .free = free_put };
  PutHow *request;

  if (how == ZM_PUT_ALWAYS_) {
    zm_queue_put (queues, queue, put, 1, done, user);
    return;
  }
  request = zm_queue_request_new (queues, queue, &ops, done, user);
  if (put->body.size > ZM_QUEUE_BODY_MOST || put->headers.size > ZM_HEADERS_MOST ||
      put->id.size > ZM_QUEUE_ID_MOST || put->topic.size > ZM_KEY_MOST || put->key.size > ZM_KEY_MOST)
    zm_queue_request_fail (&request->base, ZM_ERROR_INVALID,
                           "the message's body, headers, id, topic or key is too long");
  else
    request->record = zm_record_new (put);
  request->ttl_s = put->ttl_s;
  request->delay_s = put->delay_s;
  request->how = how;
  zm_queue_request_submit (request, request->record != NULL ? request->record->size : 0);
}

/* ---- wait until empty ---- */

/* Asks again whenever something has gone, and when its time is over. */
struct ZmEmptyWait {
  ZmRequest base;
  ZmTimer timer;
  gint64 until_us;
  gboolean parked; /* in the list, or taken out by somebody who goes on with it */
  gsize key_size;
  char key[];
};

static ZmEmptyWait *
wait_of (ZmRequest *base)
{
  return (ZmEmptyWait *) (void *) base;
}

static guint
n_waits (ZmLatest *latest)
{
  guint n;

  if (latest == NULL)
    return 0;
  pthread_mutex_lock (&latest->lock);
  n = latest->waits->len;
  pthread_mutex_unlock (&latest->lock);
  return n;
}

static void
decide_wait (ZmRequest *base, ZmStoreWriter *writer)
{
  ZmEmptyWait *wait = wait_of (base);
  ZmSpan key = zm_span (wait->key, wait->key_size);

  (void) writer;
  wait->parked = FALSE;
  if (base->queue == NULL || zm_latest_is_empty (base->queue, key, base->now_us))
    return;
  if (zm_now_us () >= wait->until_us)
    zm_queue_request_fail (base, ZM_ERROR_UNAVAILABLE, "queue '%s' did not become empty in time",
                           base->queue->name);
  else if (n_waits (base->queue->latest) >= ZM_LATEST_WAITS_MOST)
    zm_queue_request_fail (base, ZM_ERROR_LIMIT, "%d wait for queue '%s' already", ZM_LATEST_WAITS_MOST,
                           base->queue->name);
  else
    wait->parked = TRUE;
}

/* In the timers' thread. Whoever takes it out of the list goes on with it. */
static void
time_over (ZmTimer *timer, gpointer user)
{
  ZmEmptyWait *wait = user;
  ZmLatest *latest = wait->base.queue->latest;
  gboolean mine;

  (void) timer;
  pthread_mutex_lock (&latest->lock);
  mine = g_ptr_array_remove_fast (latest->waits, wait);
  pthread_mutex_unlock (&latest->lock);
  if (mine)
    zm_queue_request_again (&wait->base);
}

/* In the same thread as decide, but after other units of the batch: something may have gone meanwhile. */
static void
commit_wait (ZmRequest *base)
{
  ZmEmptyWait *wait = wait_of (base);
  ZmLatest *latest;

  if (wait->parked && zm_latest_is_empty (base->queue, zm_span (wait->key, wait->key_size), base->now_us))
    wait->parked = FALSE;
  if (!wait->parked)
    return;
  latest = zm_latest_of (base->queue);
  /* It is not touched after that: the timer may take it at once. */
  pthread_mutex_lock (&latest->lock);
  g_ptr_array_add (latest->waits, wait);
  zm_timers_arm (base->queues->config.timers, &wait->timer, wait->until_us);
  pthread_mutex_unlock (&latest->lock);
}

static gboolean
read_wait (ZmRequest *base)
{
  return wait_of (base)->parked;
}

/* The waiting ones that `which` chooses, out of the list. The caller unrefs. */
static GPtrArray *
take_waits (ZmQueue *queue, gboolean (*which) (ZmQueue *queue, const ZmEmptyWait *wait))
{
  ZmLatest *latest = queue->latest;
  GPtrArray *taken = g_ptr_array_new ();

  pthread_mutex_lock (&latest->lock);
  for (guint i = latest->waits->len; i > 0; i--) {
    ZmEmptyWait *wait = g_ptr_array_index (latest->waits, i - 1);

    if (which (queue, wait)) {
      g_ptr_array_add (taken, wait);
      g_ptr_array_remove_index_fast (latest->waits, i - 1);
    }
  }
  pthread_mutex_unlock (&latest->lock);
  return taken;
}

/* The clock is looked at when it is decided: what is over by then is not there either. */
static gboolean
may_be_over (ZmQueue *queue, const ZmEmptyWait *wait)
{
  return zm_latest_is_empty (queue, zm_span (wait->key, wait->key_size), wait->base.now_us);
}

static gboolean
every_one (ZmQueue *queue, const ZmEmptyWait *wait)
{
  (void) queue;
  (void) wait;
  return TRUE;
}

static void
go_on (ZmQueue *queue, GPtrArray *waits)
{
  for (guint i = 0; i < waits->len; i++) {
    ZmEmptyWait *wait = g_ptr_array_index (waits, i);

    /* One that has begun to fire looks into the list and finds nothing; it must have done so before this one ends. */
    zm_timers_cancel (queue->queues->config.timers, &wait->timer, TRUE);
    zm_queue_request_again (&wait->base);
  }
  g_ptr_array_unref (waits);
}

void
zm_latest_wake (ZmQueue *queue)
{
  if (n_waits (queue->latest) > 0)
    go_on (queue, take_waits (queue, may_be_over));
}

void
zm_latest_close (ZmQueue *queue)
{
  if (queue->latest != NULL)
    go_on (queue, take_waits (queue, every_one));
}

void
zm_queue_wait_empty (ZmQueues *queues, ZmQueueName queue, ZmSpan key, gint64 until_us, ZmQueueDone done,
                     gpointer user)
{
  static const ZmRequestOps ops = { .size = sizeof (ZmEmptyWait) + ZM_KEY_MOST,
                                    .decide = decide_wait,
                                    .commit = commit_wait,
                                    .read = read_wait };
  ZmEmptyWait *wait = zm_queue_request_new (queues, queue, &ops, done, user);

  wait->until_us = until_us;
  wait->timer.func = time_over;
  wait->timer.user = wait;
  /* No message has a key as long as that. */
  wait->key_size = key.size <= ZM_KEY_MOST ? key.size : 0;
  if (key.size > ZM_KEY_MOST)
    zm_queue_request_fail (&wait->base, ZM_ERROR_INVALID, "a key has at most %d bytes", ZM_KEY_MOST);
  else if (key.size > 0)
    memcpy (wait->key, key.data, key.size);
  zm_queue_request_submit (wait, 0);
}
