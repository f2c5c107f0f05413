/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The threads that make the calls of one generation. Each has a queue of its own, for calls that keep an order and for those
 * of which only one may run at a time; what any thread may do waits in a shared one. A thread takes a few quick calls at a
 * time, so that a lock and a wake-up are paid by many; those that turn out to wait behind one that lasts are taken from it
 * again (zm_hosted_crew_tick).
 */
#include "config.h"

#include "hosted/hosted-private.h"

#define SPARE_MOST 512

/* ---- queues; under the crew's lock but for the reader's own ---- */

static void
append (ZmHostedQueue *queue, ZmHostedCall *call)
{
  call->next = NULL;
  if (queue->tail != NULL)
    queue->tail->next = call;
  else
    queue->head = call;
  queue->tail = call;
  atomic_fetch_add_explicit (&queue->length, 1, memory_order_relaxed);
}

static ZmHostedCall *
pop (ZmHostedQueue *queue)
{
  ZmHostedCall *call = queue->head;

  if (call == NULL)
    return NULL;
  queue->head = call->next;
  if (queue->head == NULL)
    queue->tail = NULL;
  atomic_fetch_sub_explicit (&queue->length, 1, memory_order_relaxed);
  return call;
}

static void
drop_all (ZmHostedQueue *queue)
{
  ZmHostedCall *call;

  while ((call = pop (queue)) != NULL)
    zm_hosted_call_free (call);
}

static gboolean
waits (const ZmHostedQueue *queue)
{
  return atomic_load_explicit (&queue->length, memory_order_relaxed) > 0;
}

/* ---- waking ---- */

/* Takes a thread out of those that wait; whoever takes it wakes it. Under the lock. */
static guint64
take_idle (ZmHostedCrew *crew, guint index)
{
  guint64 bit = crew->idle & (G_GUINT64_CONSTANT (1) << index);

  if (bit != 0)
    atomic_fetch_add (&crew->hosted->awake, 1);
  crew->idle &= ~bit;
  return bit;
}

/* Any one. */
static guint64
take_any_idle (ZmHostedCrew *crew)
{
  return crew->idle != 0 ? take_idle (crew, (guint) __builtin_ctzll (crew->idle)) : 0;
}

/* After the lock is let go, or they would run into it. */
static void
wake (ZmHostedCrew *crew, guint64 who)
{
  for (; who != 0; who &= who - 1)
    pthread_cond_signal (&crew->threads[__builtin_ctzll (who)].wake);
}

/* Puts it where it is to be done; who is to be woken for it. One thread is woken for all that is shared, and wakes the next
 * where that is worth it. Under the lock. */
static guint64
put (ZmHostedCrew *crew, ZmHostedCall *call)
{
  if (call->lane != 0) {
    append (&crew->threads[call->lane - 1].own, call);
    return take_idle (crew, call->lane - 1);
  }
  append (&crew->shared, call);
  return crew->shared.head == call ? take_any_idle (crew) : 0;
}

/* ---- a thread ---- */

/* Those that are over go back to the reader, which has most use for what is in the caches still. Under the lock. */
static void
give_back (ZmHostedThread *thread)
{
  ZmHostedCrew *crew = thread->crew;

  while (thread->finished != NULL) {
    ZmHostedCall *call = thread->finished;

    thread->finished = call->next;
    if (crew->n_spare >= SPARE_MOST) {
      zm_hosted_call_free (call);
      continue;
    }
    call->next = crew->spare;
    crew->spare = call;
    crew->n_spare++;
  }
  thread->n_finished = 0;
}

/* One, and those behind it as long as all are quick. Its own queue and the shared one take turns. Under the lock. */
static gboolean
take_batch (ZmHostedThread *thread)
{
  ZmHostedCrew *crew = thread->crew;
  gboolean shared = thread->own.head == NULL || (crew->shared.head != NULL && thread->turns++ % 2 == 1);
  ZmHostedQueue *queue = shared ? &crew->shared : &thread->own;
  gboolean quick;
  guint n = 0;

  do {
    ZmHostedCall *call = pop (queue);

    if (call == NULL)
      break;
    quick = call->quick;
    atomic_store_explicit (&thread->batch[n++], call, memory_order_relaxed);
  } while (quick && n < ZM_HOSTED_BATCH && queue->head != NULL && queue->head->quick);
  thread->n_batch = n;
  thread->batch_shared = shared;
  return n > 0;
}

/* Is what is left worth another thread? A few quick ones are not: this one does them sooner than that one wakes up. Under
 * the lock. */
static guint64
take_helper (ZmHostedCrew *crew)
{
  const ZmHostedCall *next = crew->shared.head;

  return next != NULL && (!next->quick || crew->shared.length > 2 * ZM_HOSTED_BATCH) ? take_any_idle (crew)
                                                                                     : 0;
}

/* Nothing to do: what it said is sent before it sleeps. With the lock, which is let go meanwhile. */
static void
wait_for_work (ZmHostedThread *thread)
{
  ZmHostedCrew *crew = thread->crew;

  if (thread->unsent > 0) {
    thread->unsent = 0;
    pthread_mutex_unlock (&crew->lock);
    zm_host_out_flush (crew->hosted->out);
    pthread_mutex_lock (&crew->lock);
    return;
  }
  crew->idle |= G_GUINT64_CONSTANT (1) << thread->index;
  atomic_fetch_sub (&crew->hosted->awake, 1);
  while ((crew->idle & (G_GUINT64_CONSTANT (1) << thread->index)) != 0)
    pthread_cond_wait (&thread->wake, &crew->lock);
}

/* FALSE: it is to end. */
static gboolean
next_batch (ZmHostedThread *thread)
{
  ZmHostedCrew *crew = thread->crew;
  gboolean ending;
  guint64 helper;

  pthread_mutex_lock (&crew->lock);
  give_back (thread);
  while (!crew->ending && !take_batch (thread))
    wait_for_work (thread);
  ending = crew->ending;
  helper = take_helper (crew);
  pthread_mutex_unlock (&crew->lock);
  wake (crew, helper);
  return !ending;
}

static void
do_batch (ZmHostedThread *thread)
{
  for (guint i = 0; i < thread->n_batch; i++) {
    ZmHostedCall *call = atomic_exchange_explicit (&thread->batch[i], NULL, memory_order_acq_rel);

    if (call == NULL)
      continue;
    thread->last = i + 1 == thread->n_batch && !waits (&thread->own) && !waits (&thread->crew->shared);
    atomic_fetch_add_explicit (&thread->begun, 1, memory_order_relaxed);
    if (!zm_hosted_call_run (thread, call))
      continue;
    call->next = thread->finished;
    thread->finished = call;
  }
}

/* Its worker state ends in the thread that it belongs to. */
static void *
thread_main (void *user)
{
  ZmHostedThread *thread = user;
  ZmHostedPlugin *plugin = thread->crew->plugin;
  const zm_plugin_desc *descriptor = zm_generation_descriptor (plugin->generation);

  thread->here = zm_hosted_here ();
  thread->here->executor = thread;
  zm_hosted_enter (plugin->serial);
  while (next_batch (thread))
    do_batch (thread);
  if (thread->worker_started && ZM_HAS (descriptor, worker_stop))
    descriptor->worker_stop (zm_generation_state (plugin->generation), thread->worker_state);
  zm_hosted_enter (0);
  atomic_fetch_sub (&thread->crew->hosted->awake, 1);
  return NULL;
}

/* ---- the crew ---- */

ZmHostedCrew *
zm_hosted_crew_new (ZmHostedPlugin *plugin, guint n_threads, GError **error)
{
  ZmHostedCrew *crew = g_new0 (ZmHostedCrew, 1);
  int result = 0;

  crew->hosted = plugin->hosted;
  crew->plugin = plugin;
  crew->threads = g_new0 (ZmHostedThread, n_threads);
  pthread_mutex_init (&crew->lock, NULL);
  pthread_mutex_init (&crew->alone, NULL);
  while (crew->n_threads < n_threads && result == 0) {
    ZmHostedThread *thread = &crew->threads[crew->n_threads];
    g_autofree char *name = g_strdup_printf ("call-%u", crew->n_threads + 1);

    thread->crew = crew;
    thread->index = crew->n_threads;
    pthread_cond_init (&thread->wake, NULL);
    atomic_fetch_add (&crew->hosted->awake, 1);
    zm_hosted_count_threads (crew->hosted, 1);
    result = zm_thread_create (&thread->thread, name, thread_main, thread);
    crew->n_threads += result == 0;
  }
  if (result == 0)
    return crew;
  atomic_fetch_sub (&crew->hosted->awake, 1);
  zm_hosted_count_threads (crew->hosted, -1);
  g_set_error (error, ZM_ERROR, ZM_ERROR_LIMIT, "no thread for its calls: %s", g_strerror (result));
  zm_hosted_crew_free (crew);
  return NULL;
}

static void
free_list (ZmHostedCall *list)
{
  while (list != NULL) {
    ZmHostedCall *next = list->next;

    zm_hosted_call_free (list);
    list = next;
  }
}

/* What is left in a batch is as little anybody's as what is left in a queue. */
static void
thread_clear (ZmHostedThread *thread)
{
  for (guint i = 0; i < thread->n_batch; i++)
    g_clear_pointer (&thread->batch[i], zm_hosted_call_free);
  drop_all (&thread->own);
  free_list (thread->finished);
  pthread_cond_destroy (&thread->wake);
}

void
zm_hosted_crew_free (ZmHostedCrew *crew)
{
  guint64 idle = 0;

  pthread_mutex_lock (&crew->lock);
  crew->ending = TRUE;
  for (guint i = 0; i < crew->n_threads; i++)
    idle |= take_idle (crew, i);
  pthread_mutex_unlock (&crew->lock);
  wake (crew, idle);
  for (guint i = 0; i < crew->n_threads; i++)
    pthread_join (crew->threads[i].thread, NULL);
  zm_hosted_count_threads (crew->hosted, -(int) crew->n_threads);
  for (guint i = 0; i < crew->n_threads; i++)
    thread_clear (&crew->threads[i]);
  drop_all (&crew->shared);
  drop_all (&crew->incoming);
  free_list (crew->spare);
  free_list (crew->fresh);
  pthread_mutex_destroy (&crew->lock);
  pthread_mutex_destroy (&crew->alone);
  g_free (crew->threads);
  g_free (crew);
}

/* ---- the reader ---- */

ZmHostedCall *
zm_hosted_crew_spare (ZmHostedCrew *crew)
{
  ZmHostedCall *call;

  if (crew->fresh == NULL) {
    pthread_mutex_lock (&crew->lock);
    crew->fresh = g_steal_pointer (&crew->spare);
    crew->n_spare = 0;
    pthread_mutex_unlock (&crew->lock);
  }
  call = crew->fresh;
  if (call == NULL)
    return zm_hosted_call_new ();
  crew->fresh = call->next;
  return call;
}

void
zm_hosted_crew_add (ZmHostedCrew *crew, ZmHostedCall *call)
{
  append (&crew->incoming, call);
}

void
zm_hosted_crew_send (ZmHostedCrew *crew)
{
  ZmHostedCall *call;
  guint64 who = 0;

  pthread_mutex_lock (&crew->lock);
  while ((call = pop (&crew->incoming)) != NULL)
    who |= put (crew, call);
  pthread_mutex_unlock (&crew->lock);
  wake (crew, who);
}

void
zm_hosted_crew_push (ZmHostedCrew *crew, ZmHostedCall *call)
{
  guint64 who;

  pthread_mutex_lock (&crew->lock);
  who = put (crew, call);
  pthread_mutex_unlock (&crew->lock);
  wake (crew, who);
}

/* The rest of a batch whose first call lasts. Behind what waits by now: those are as old as it to a few milliseconds. Under
 * the lock, so that the batch is the one that batch_shared tells of. */
static void
take_back (ZmHostedCrew *crew, ZmHostedThread *thread)
{
  guint begun = atomic_load_explicit (&thread->begun, memory_order_relaxed);
  gboolean lasts = begun == thread->seen && (crew->idle & (G_GUINT64_CONSTANT (1) << thread->index)) == 0;

  thread->seen = begun;
  for (guint i = 0; lasts && thread->batch_shared && i < thread->n_batch; i++) {
    ZmHostedCall *call = atomic_exchange_explicit (&thread->batch[i], NULL, memory_order_acq_rel);

    if (call != NULL)
      append (&crew->shared, call);
  }
}

void
zm_hosted_crew_tick (ZmHostedCrew *crew)
{
  guint64 helper = 0;

  if (crew->n_threads == 1)
    return;
  pthread_mutex_lock (&crew->lock);
  for (guint i = 0; i < crew->n_threads; i++)
    take_back (crew, &crew->threads[i]);
  if (crew->shared.head != NULL)
    helper = take_any_idle (crew);
  pthread_mutex_unlock (&crew->lock);
  wake (crew, helper);
}
