/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The background: queues that nobody has used since the start are loaded, messages whose time is over are removed, delays and claims end
 * though nobody asks. One unit at a time, with at most ZM_QUEUE_STEP messages; it begins at most once a second, and goes on at once
 * where there was more.
 */
#include "config.h"

#include "queue/registry-private.h"

#define EACH_US  G_USEC_PER_SEC
#define LATER_US (60 * G_USEC_PER_SEC) /* the longest that a timer waits: the wall clock may be set */

typedef struct Tended {
  ZmQueue *queue;  /* reference */
  GArray *leaving; /* ZmLeaving */
  gboolean more;
} Tended;

typedef struct Tend {
  ZmStoreUnit unit; /* first */
  ZmQueues *queues;
  GArray *tended; /* Tended */
  guint budget;
  gboolean more;
} Tend;

static gint64
wall_us (ZmQueues *queues)
{
  return queues->config.wall_us != NULL ? queues->config.wall_us (queues->config.user) : zm_wall_us ();
}

/* ---- the agenda ---- */

static void
arm (ZmQueues *queues)
{
  struct ZmQueuesPrivate *p = queues->p;
  const ZmHeapEntry *first = zm_heap_first (&p->agenda);
  gint64 now_us = zm_now_us ();

  if (first == NULL || zm_queues_closed (queues))
    return;
  zm_timers_arm (queues->config.timers, &p->timer,
                 MAX (now_us + CLAMP (first->at - wall_us (queues), 0, LATER_US), p->tended_us + EACH_US));
}

/* Old entries of queues whose time was moved stay until they come up; when they are too many the heap is made anew. */
static void
compact (struct ZmQueuesPrivate *p)
{
  GHashTableIter iter;
  gpointer value;

  if (p->agenda.n < 64 + 4 * (gsize) g_hash_table_size (p->by_number))
    return;
  zm_heap_clear (&p->agenda);
  g_hash_table_iter_init (&iter, p->by_number);
  while (g_hash_table_iter_next (&iter, NULL, &value)) {
    const ZmQueue *queue = value;

    if (queue->agenda_us != G_MAXINT64)
      zm_heap_push (&p->agenda, queue->agenda_us, queue->number);
  }
}

void
zm_queue_plan (ZmQueue *queue, gint64 at_us)
{
  struct ZmQueuesPrivate *p = queue->queues->p;
  gboolean first;

  if (at_us >= queue->agenda_us)
    return;
  queue->agenda_us = at_us;
  compact (p);
  first = p->agenda.n == 0 || at_us < zm_heap_first (&p->agenda)->at;
  zm_heap_push (&p->agenda, at_us, queue->number);
  if (first)
    arm (queue->queues);
}

/* The next queue whose time has come, or NULL. */
static ZmQueue *
next_due (ZmQueues *queues, gint64 now_us)
{
  struct ZmQueuesPrivate *p = queues->p;
  const ZmHeapEntry *first;

  while ((first = zm_heap_first (&p->agenda)) != NULL && first->at <= now_us) {
    gint64 at = first->at;
    guint64 number = first->what;
    ZmQueue *queue = g_hash_table_lookup (p->by_number, &number);

    zm_heap_pop (&p->agenda);
    if (queue != NULL && queue->agenda_us == at)
      return queue;
  }
  return NULL;
}

static gint64
next_time (const ZmQueue *queue)
{
  const ZmHeapEntry *delay = zm_heap_first (&queue->delays);
  gint64 next = MIN (zm_time_us (zm_index_least (&queue->index)), zm_claims_next (queue));

  return delay != NULL ? MIN (next, delay->at) : next;
}

/* ---- one queue ---- */

static void
remove_over (Tend *tend, Tended *tended, ZmStoreWriter *writer, ZmTime now)
{
  ZmQueue *queue = tended->queue;
  guint64 seq;

  for (seq = zm_index_next_over (&queue->index, 1, now); seq != 0 && tend->budget > 0;
       seq = zm_index_next_over (&queue->index, seq + 1, now)) {
    ZmLeaving leaving;

    if (!zm_queue_remove_in (queue, writer, seq, TRUE, &leaving))
      continue;
    g_array_append_val (tended->leaving, leaving);
    tend->budget--;
  }
  tended->more = seq != 0;
}

static void
tend_queue (Tend *tend, ZmStoreWriter *writer, ZmQueue *queue, gint64 now_us)
{
  Tended tended = { zm_queue_ref (queue), g_array_new (FALSE, FALSE, sizeof (ZmLeaving)), FALSE };
  g_autoptr (GError) error = NULL;

  if (!queue->loaded) {
    if (!zm_queue_load (queue, &error))
      zm_log_limited (tend->queues->config.log, ZM_LEVEL_ERROR, ZM_QUEUE_ROOM, "queues that cannot be loaded",
                      "%s", error->message);
    tend->budget -= (guint) MIN (tend->budget, queue->index.n_log / 64);
  }
  queue->agenda_us = G_MAXINT64; /* done plans anew */
  if (queue->loaded) {
    zm_queue_tick (queue, now_us);
    (void) zm_claims_sweep_in (queue, writer, ZM_QUEUE_STEP);
    remove_over (tend, &tended, writer, zm_time_now (now_us));
  }
  g_array_append_val (tend->tended, tended);
}

static void
prepare (ZmStoreUnit *unit, ZmStoreWriter *writer)
{
  Tend *tend = (Tend *) (void *) unit;
  gint64 now_us = zm_queues_now (tend->queues, writer);
  ZmQueue *queue;

  tend->budget = ZM_QUEUE_STEP;
  while (tend->budget > 0 && (queue = next_due (tend->queues, now_us)) != NULL) {
    tend->budget--; /* idle ones cost something too */
    tend_queue (tend, writer, queue, now_us);
  }
  tend->more = tend->budget == 0;
}

static void
settle (Tend *tend, Tended *tended, const GError *error)
{
  ZmQueue *queue = tended->queue;
  guint64 expired = 0;

  for (guint i = 0; i < tended->leaving->len; i++) {
    const ZmLeaving *leaving = &g_array_index (tended->leaving, ZmLeaving, i);

    expired += leaving->present;
    if (error == NULL)
      zm_queue_remove_commit (queue, leaving);
    else
      zm_queue_remove_undo (queue, leaving);
  }
  if (queue->loaded)
    zm_claims_swept (queue, error == NULL);
  if (error == NULL) {
    queue->counts.expired += expired;
    zm_counter_add (tend->queues->p->expired, expired);
  }
  /* What could not be done now is tried again soon. */
  if (queue->removed)
    return;
  if (!queue->loaded)
    zm_queue_plan (queue, wall_us (tend->queues) + LATER_US);
  else
    zm_queue_plan (queue, error != NULL  ? wall_us (tend->queues) + EACH_US
                          : tended->more ? 0
                                         : next_time (queue));
}

static void
free_tend (Tend *tend)
{
  for (guint i = 0; i < tend->tended->len; i++) {
    Tended *tended = &g_array_index (tend->tended, Tended, i);

    g_array_unref (tended->leaving);
    zm_queue_unref (tended->queue);
  }
  g_array_unref (tend->tended);
  g_free (tend);
}

static void
tend_done (ZmStoreUnit *unit, const GError *error)
{
  Tend *tend = (Tend *) (void *) unit;
  ZmQueues *queues = tend->queues;
  gboolean more = tend->more && error == NULL;

  for (guint i = 0; i < tend->tended->len; i++)
    settle (tend, &g_array_index (tend->tended, Tended, i), error);
  free_tend (tend);
  queues->p->tended_us = zm_now_us ();
  __atomic_store_n (&queues->p->tidying, FALSE, __ATOMIC_RELEASE);
  if (more)
    zm_queues_tend (queues);
  else
    arm (queues);
}

/* ---- when ---- */

void
zm_queues_tend (ZmQueues *queues)
{
  Tend *tend;

  if (zm_queues_closed (queues) || __atomic_exchange_n (&queues->p->tidying, TRUE, __ATOMIC_ACQ_REL))
    return;
  tend = g_new0 (Tend, 1);
  tend->queues = queues;
  tend->tended = g_array_new (FALSE, FALSE, sizeof (Tended));
  tend->unit.prepare = prepare;
  tend->unit.done = tend_done;
  tend->unit.inside = TRUE;
  if (zm_store_submit (queues->config.store, &tend->unit, NULL))
    return;
  free_tend (tend);
  __atomic_store_n (&queues->p->tidying, FALSE, __ATOMIC_RELEASE);
  zm_timers_arm (queues->config.timers, &queues->p->timer, zm_now_us () + EACH_US);
}

static void
fired (ZmTimer *timer, gpointer user)
{
  (void) timer;
  zm_queues_tend (user);
}

void
zm_queues_tend_init (ZmQueues *queues)
{
  queues->p->timer.func = fired;
  queues->p->timer.user = queues;
  queues->p->tended_us = zm_now_us () - EACH_US;
}

void
zm_queues_tend_end (ZmQueues *queues)
{
  (void) zm_timers_cancel (queues->config.timers, &queues->p->timer, TRUE);
}
