/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The queue: what waits for workers. One shared ring, and a lane for each worker where an order is asked for; before each
 * an inbox of continuations, which is read first. One lock for all of it, taken once a batch.
 */
#include "worker/internal.h"

/* ---- lists ---- */

/* Messages and runs carry their own link, so that queueing never allocates and never fails. */
static void
lane_append (ZmLane *lane, ZmMessage *message)
{
  message->next = NULL;
  if (lane->tail)
    lane->tail->next = message;
  else
    lane->head = message;
  lane->tail = message;
  lane->length++;
}

ZmMessage *
zm_lane_pop (ZmLane *lane)
{
  ZmMessage *message = lane->head;
  lane->head = message->next;
  if (!lane->head)
    lane->tail = NULL;
  lane->length--;
  message->next = NULL;
  return message;
}

ZmRun *
zm_inbox_pop (ZmLane *lane)
{
  ZmRun *run = lane->inbox_head;
  if (!run)
    return NULL;
  lane->inbox_head = run->next;
  if (!lane->inbox_head)
    lane->inbox_tail = NULL;
  lane->inbox_length--;
  run->next = NULL;
  return run;
}

/* ---- waking ---- */

/* Wakes one idle worker of the lane; NULL lane: any. Under the lock. */
void
zm_queue_wake (ZmPool *pool, ZmLane *lane)
{
  if (!pool->n_idle)
    return;
  for (guint i = 0; i < pool->n_slots; i++) {
    ZmWorker *worker = pool->workers[i];
    if (!worker || !worker->idle || (lane && &pool->lanes[worker->lane] != lane))
      continue;
    worker->idle = FALSE;
    pool->n_idle--;
    pthread_cond_signal (&worker->wake);
    return;
  }
}

/* ---- order ---- */

/* What must stay in order has the same hash: the sender's own `ordering-key`, else the context or the whole key. */
static guint64
order_hash (const ZmMessage *message, ZmOrdering ordering)
{
  g_autofree char *given = message->has_headers ? zm_message_header (message, "ordering-key") : NULL;
  if (given)
    return zm_span_hash (zm_span_text (given));
  return zm_span_hash (ordering == ZM_ORDERING_CONTEXT ? message->topic.key.context : message->topic.slug);
}

/* The lane of a message: none unless an order is asked for. There are few lanes, one for each worker; the order tells more keys
 * apart, for hosts, which have threads of their own. Without the pool's lock: headers may have to be read as JSON and the
 * table be searched. */
static void
choose_lane (ZmPool *pool, ZmView *view, ZmMessage *message)
{
  ZmOrdering ordering = pool->config.ordering;
  if (view && view->ordered) {
    ZmLookup lookup;
    zm_table_lookup (view->table, &message->topic, &lookup);
    if (lookup.route && lookup.route->mapping->ordering >= 0)
      ordering = lookup.route->mapping->ordering;
  }
  message->lane = 0;
  message->order = 0;
  if (ordering == ZM_ORDERING_NONE)
    return;
  guint64 hash = order_hash (message, ordering);
  message->lane = (guint8) (hash % pool->n_workers + 1);
  message->order = (guint16) MAX (hash >> 48, 1);
}

/* ---- giving ---- */

/* Only where some mapping asks for an order of its own is the table needed here; the look-up is then done twice for
 * each message, once for its lane and once in its worker. NULL: it is not needed. */
static ZmView *
view_for_order (ZmPool *pool)
{
  ZmView *view = zm_pool_view (pool);
  if (view && !view->ordered)
    g_clear_pointer (&view, zm_view_unref);
  return view;
}

/* Which lane it is is noted in the message, so that its continuations come back to the same one. Before the lock is taken,
 * which all workers need. */
static void
choose_lanes (ZmPool *pool, ZmMessage **messages, guint n)
{
  ZmView *view = view_for_order (pool);
  for (guint i = 0; i < n; i++)
    choose_lane (pool, view, messages[i]);
  if (view)
    zm_view_unref (view);
}

/* With room for all of them; under the lock. For the shared ring one worker is woken, who wakes the next if there is more: a
 * wake-up costs more than a short message. */
static void
append_all (ZmPool *pool, ZmMessage **messages, guint n)
{
  for (guint i = 0; i < n; i++) {
    ZmLane *lane = messages[i]->lane ? &pool->lanes[messages[i]->lane - 1] : &pool->shared;
    lane_append (lane, messages[i]);
    if (lane != &pool->shared)
      zm_queue_wake (pool, lane);
  }
  pool->waiting += n;
  if (pool->shared.length)
    zm_queue_wake (pool, NULL);
}

/* The pool was closed while they waited for room. Each gets its error, none is lost silently. */
static void
drop_all (ZmPool *pool, ZmMessage **messages, guint n)
{
  for (guint i = 0; i < n; i++)
    zm_end_refused (pool, messages[i], "shutdown", "the daemon is shutting down");
}

/* Messages go in as room comes, so that a batch larger than the ring passes too; the caller's thread is the back-
 * pressure. */
gboolean
zm_pool_push (ZmPool *pool, ZmMessage **messages, guint n)
{
  guint given = 0;
  choose_lanes (pool, messages, n);
  pthread_mutex_lock (&pool->lock);
  while (given < n && !pool->closed) {
    guint room = pool->config.ring > pool->waiting ? pool->config.ring - pool->waiting : 0;
    if (!room) {
      pthread_cond_wait (&pool->room, &pool->lock);
      continue;
    }
    room = MIN (room, n - given);
    zm_pool_inside (pool, room); /* before a worker can end one */
    append_all (pool, messages + given, room);
    given += room;
  }
  pthread_mutex_unlock (&pool->lock);
  zm_watchdog_wake (pool);
  drop_all (pool, messages + given, n - given);
  return given == n;
}

/* For how many there may be room: so many lanes are worth being looked for. */
static guint
look_for_room (ZmPool *pool, guint n)
{
  pthread_mutex_lock (&pool->lock);
  guint room = pool->config.ring > pool->waiting ? pool->config.ring - pool->waiting : 0;
  pthread_mutex_unlock (&pool->lock);
  return MIN (room, n);
}

guint
zm_pool_try_push (ZmPool *pool, ZmMessage **messages, guint n)
{
  if (n > 1)
    n = look_for_room (pool, n);
  choose_lanes (pool, messages, n);
  pthread_mutex_lock (&pool->lock);
  guint room = pool->config.ring > pool->waiting ? pool->config.ring - pool->waiting : 0;
  guint given = pool->closed ? 0 : MIN (room, n);
  if (given) {
    zm_pool_inside (pool, given);
    append_all (pool, messages, given);
  }
  pthread_mutex_unlock (&pool->lock);
  if (given)
    zm_watchdog_wake (pool);
  return given;
}

/* A continuation, and what a slow call left, keeps the order of its message: it goes to the lane that the message
 * came by. The inbox has no bound of its own: what is in it was inside already, and is bounded where it came in. */
void
zm_queue_run_locked (ZmPool *pool, ZmRun *run)
{
  ZmLane *lane = &pool->shared;
  if (run->message && run->message->lane)
    lane = &pool->lanes[run->message->lane - 1];
  run->next = NULL;
  if (lane->inbox_tail)
    lane->inbox_tail->next = run;
  else
    lane->inbox_head = run;
  lane->inbox_tail = run;
  lane->inbox_length++;
  zm_queue_wake (pool, lane == &pool->shared ? NULL : lane);
}

void
zm_queue_run (ZmPool *pool, ZmRun *run)
{
  pthread_mutex_lock (&pool->lock);
  zm_queue_run_locked (pool, run);
  pthread_mutex_unlock (&pool->lock);
  zm_watchdog_wake (pool);
}

/* The first of the lane's inbox that is no new message: those keep the lane's order, and one of them is in its worker's
 * hands. Under the lock. NULL: there is none. */
static ZmRun *
pop_continuation (ZmLane *lane)
{
  ZmRun *before = NULL, *run = lane->inbox_head;
  for (; run && run->event == ZM_EVENT_FRESH; run = run->next)
    before = run;
  if (!run)
    return NULL;
  if (before)
    before->next = run->next;
  else
    lane->inbox_head = run->next;
  if (lane->inbox_tail == run)
    lane->inbox_tail = before;
  lane->inbox_length--;
  run->next = NULL;
  return run;
}

/* For a worker that would only wait otherwise. NULL: nothing is there. */
ZmRun *
zm_queue_try_run (ZmWorker *worker)
{
  ZmPool *pool = worker->pool;
  pthread_mutex_lock (&pool->lock);
  ZmRun *run = pop_continuation (&pool->lanes[worker->lane]);
  if (!run)
    run = zm_inbox_pop (&pool->shared);
  pthread_mutex_unlock (&pool->lock);
  return run;
}
