/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Strands: one call at a time for a SERIAL plugin, without a worker ever waiting for another. A worker that meets a busy
 * strand leaves its run there and goes on; the one inside takes who waits next. A strand belongs to one generation; the
 * next generation's strand opens when the old one is closed and empty.
 */
#include "worker/internal.h"

struct ZmStrand {
  ZmPool *pool;
  ZmGeneration *generation;        /* owns this */
  ZmAction callback;               /* stands for the results that zm_call_action brings */
  ZmAction hooks[ZM_HOOK_MOMENTS]; /* stand for what is called when the plugin listens */
  pthread_mutex_t lock;
  pthread_cond_t room;
  gboolean busy;
  gboolean blocked;   /* the generation before it is not done yet */
  gboolean closed;    /* its generation was replaced */
  gboolean abandoned; /* its call hangs for good: who waits goes on with the next generation */
  gboolean stuck;
  gboolean slow;
  ZmRun *head, *tail;
  guint length;
  ZmStrand *successor;
  ZmGeneration *successor_generation; /* a reference: keeps successor */
  ZmTimer patience;                   /* of the successor: opens at the end of the drain budget */
  /* per-worker states; [i] belongs to the thread in worker slot i */
  void *states[ZM_WORKERS_MOST];
  gboolean started[ZM_WORKERS_MOST];
};

static void open_now (ZmStrand *strand);

/* The drain budget of the generation before is over: its call may hang, the new one begins all the same. */
static void
patience_over (ZmTimer *timer, gpointer user)
{
  (void) timer;
  open_now (user);
}

/* Made at the first use of the generation, under a lock of the generation: there is one for all workers. */
static gpointer
strand_make (ZmGeneration *generation, gpointer user)
{
  ZmStrand *strand = g_new0 (ZmStrand, 1);
  strand->pool = user;
  strand->generation = generation;
  strand->callback.generation = generation;
  strand->callback.plugin = zm_generation_plugin (generation);
  strand->callback.symbol = "(result)";
  strand->callback.threadsafe = (zm_generation_flags (generation) & ZM_PLUGIN_THREADSAFE) != 0;
  static const char *const moments[ZM_HOOK_MOMENTS] = { "before", "after", "authorise" };
  for (guint i = 0; i < ZM_HOOK_MOMENTS; i++) {
    strand->hooks[i] = strand->callback;
    strand->hooks[i].symbol = moments[i];
  }
  strand->patience.func = patience_over;
  strand->patience.user = strand;
  pthread_mutex_init (&strand->lock, NULL);
  zm_cond_init_monotonic (&strand->room);
  return strand;
}

/* On the reaper thread, before the plugin's fini, when nobody holds the generation: no call of it runs or can begin.
 * Its per-worker states end here and not in their threads, which do not stop for it. */
static void
strand_free (gpointer data)
{
  ZmStrand *strand = data;
  zm_timers_cancel (strand->pool->config.timers, &strand->patience, TRUE);
  const zm_plugin_desc *descriptor = zm_generation_descriptor (strand->generation);
  for (guint i = 0; i < ZM_WORKERS_MOST; i++)
    if (strand->started[i] && ZM_HAS (descriptor, worker_stop))
      descriptor->worker_stop (zm_generation_state (strand->generation), strand->states[i]);
  if (strand->successor) {
    open_now (strand->successor);
    zm_generation_unref (strand->successor_generation, "predecessor");
  }
  pthread_mutex_destroy (&strand->lock);
  pthread_cond_destroy (&strand->room);
  g_free (strand);
}

ZmStrand *
zm_strand_of (ZmPool *pool, ZmGeneration *generation)
{
  return zm_generation_attachment (generation, strand_make, strand_free, pool);
}

const ZmAction *
zm_strand_callback_action (ZmPool *pool, ZmGeneration *generation)
{
  return &zm_strand_of (pool, generation)->callback;
}

const ZmAction *
zm_strand_hook_action (ZmPool *pool, ZmGeneration *generation, ZmHookMoment moment)
{
  return &zm_strand_of (pool, generation)->hooks[moment];
}

/* Begun at the first call in that worker, in its thread. A worker that replaces a hung one has another slot, and so a
 * state of its own. No lock: the slot belongs to the thread. */
void *
zm_worker_state (ZmWorker *worker, ZmGeneration *generation)
{
  const zm_plugin_desc *descriptor = zm_generation_descriptor (generation);
  if (!descriptor || !ZM_HAS (descriptor, worker_start))
    return NULL;
  ZmStrand *strand = zm_strand_of (worker->pool, generation);
  guint slot = worker->index;
  if (!strand->started[slot]) {
    strand->states[slot] = descriptor->worker_start (zm_generation_state (generation), slot);
    strand->started[slot] = TRUE;
  }
  return strand->states[slot];
}

/* Under the lock. */
static void
append (ZmStrand *strand, ZmRun *run)
{
  run->next = NULL;
  if (strand->tail)
    strand->tail->next = run;
  else
    strand->head = run;
  strand->tail = run;
  strand->length++;
}

/* Under the lock. Who waits for room is told where there was none. NULL: nobody waits. */
static ZmRun *
pop (ZmStrand *strand)
{
  ZmRun *run = strand->head;
  if (!run)
    return NULL;
  strand->head = run->next;
  if (!strand->head)
    strand->tail = NULL;
  if (strand->length-- >= ZM_STRAND_MOST)
    pthread_cond_broadcast (&strand->room);
  run->next = NULL;
  return run;
}

/* The run is either inside, or left with the strand, or still the caller's. One that is left behind keeps its
 * generation itself, as the worker may meanwhile let go of the table. A callback (force) goes past the bound and past
 * the closing: it belongs to this very generation and no other can take it. */
ZmStrandEntry
zm_strand_enter (ZmStrand *strand, ZmRun *run, gboolean force)
{
  ZmStrandEntry entry;
  pthread_mutex_lock (&strand->lock);
  /* At an abandoned one that was replaced nobody leaves any more who would take the next. */
  if (strand->stuck || (strand->closed && strand->abandoned && force)) {
    entry = ZM_STRAND_STUCK;
  } else if (strand->closed && !force) {
    entry = ZM_STRAND_CLOSED;
  } else if (!strand->busy && !strand->blocked) {
    strand->busy = TRUE;
    entry = ZM_STRAND_IN;
  } else if (strand->length >= ZM_STRAND_MOST && !force) {
    entry = ZM_STRAND_FULL;
  } else {
    zm_run_hold (run, "queued call");
    append (strand, run);
    entry = ZM_STRAND_QUEUED;
  }
  pthread_mutex_unlock (&strand->lock);
  return entry;
}

/* Ends early where the strand closes, as the run then has to go elsewhere. FALSE: no room came. */
gboolean
zm_strand_wait_room (ZmStrand *strand, gint64 until_us)
{
  gboolean waited = TRUE;
  pthread_mutex_lock (&strand->lock);
  while (strand->length >= ZM_STRAND_MOST && !strand->closed && !strand->stuck) {
    if (strand->slow || zm_now_us () >= until_us) {
      waited = FALSE;
      break;
    }
    gint64 at_us = MIN (until_us, zm_now_us () + 5000); /* the watchdog's `slow` has no signal of its own */
    zm_cond_wait_until (&strand->room, &strand->lock, at_us);
  }
  pthread_mutex_unlock (&strand->lock);
  return waited;
}

/* Closed and empty: the next generation may take calls. Called with the lock, which is let go meanwhile: two strands
 * are never locked at a time. */
static void
open_successor (ZmStrand *strand)
{
  ZmStrand *next = g_steal_pointer (&strand->successor);
  ZmGeneration *generation = g_steal_pointer (&strand->successor_generation);
  pthread_mutex_unlock (&strand->lock);
  open_now (next);
  zm_generation_unref (generation, "predecessor");
  pthread_mutex_lock (&strand->lock);
}

/* The plugin is free for the next call, which is given to this worker, as long as it has not done so many that its
 * own messages wait too long. A hung call that comes back at last opens its strand again. worker NULL: the watchdog leaves it in
 * place of a call that hangs elsewhere, and turns is ZM_STRAND_TURN. */
void
zm_strand_leave (ZmWorker *worker, ZmStrand *strand, guint turns)
{
  ZmGeneration *kept = NULL;
  pthread_mutex_lock (&strand->lock);
  strand->slow = strand->abandoned = FALSE; /* the hung call has come back after all */
  ZmRun *next = pop (strand);
  if (next) {
    next->strand = strand;
    next->turns = turns < ZM_STRAND_TURN ? turns : 0;
  } else {
    strand->busy = FALSE;
    if (strand->closed && strand->successor) {
      kept = zm_generation_ref (strand->generation, "strand");
      open_successor (strand);
    }
  }
  pthread_mutex_unlock (&strand->lock);
  if (next && turns < ZM_STRAND_TURN)
    zm_worker_give_local (worker, next);
  else if (next)
    zm_queue_run (strand->pool, next);
  if (kept)
    zm_generation_unref (kept, "strand");
}

/* Who waited since the old generation's calls began is taken in. The strand may have been replaced itself before it
 * ever took a call. */
static void
open_now (ZmStrand *strand)
{
  pthread_mutex_lock (&strand->lock);
  ZmRun *next = NULL;
  if (strand->blocked) {
    strand->blocked = FALSE;
    if (!strand->busy && (next = pop (strand))) {
      strand->busy = TRUE;
      next->strand = strand;
      next->turns = 0;
    }
    /* Replaced before it ever took a call: nothing else would open the one after it. */
    if (!strand->busy && strand->closed && strand->successor)
      open_successor (strand);
  }
  pthread_mutex_unlock (&strand->lock);
  if (next)
    zm_queue_run (strand->pool, next);
  if (strand->pool->config.hosts)
    zm_hosts_open (strand->pool->config.hosts, strand->generation);
}

/* Before the new generation can be called. Two SERIAL generations of one plugin share what is outside the process
 * (files, devices), so their calls do not overlap either. */
void
zm_strand_succeed (ZmStrand *old, ZmStrand *next, ZmGeneration *generation, gint64 until_us)
{
  pthread_mutex_lock (&next->lock);
  next->blocked = TRUE;
  pthread_mutex_unlock (&next->lock);
  pthread_mutex_lock (&old->lock);
  old->successor = next;
  old->successor_generation = zm_generation_ref (generation, "predecessor");
  pthread_mutex_unlock (&old->lock);
  zm_timers_arm (next->pool->config.timers, &next->patience, until_us);
}

/* All that wait, as a list; under the lock. */
static ZmRun *
take_queue (ZmStrand *strand)
{
  ZmRun *all = strand->head;
  strand->head = strand->tail = NULL;
  strand->length = 0;
  return all;
}

/* Without the lock: who queues may wake the watchdog, which locks strands. Each goes to the queue as it was, finds
 * the strand closed or stuck, and ends or goes on from there. */
static void
queue_all (ZmPool *pool, ZmRun *run)
{
  while (run) {
    ZmRun *next = run->next;
    zm_queue_run (pool, run);
    run = next;
  }
}

/* To the next generation: who waits, as a list, and the turn. Under the lock, which is let go meanwhile. */
static ZmRun *
pass_on (ZmStrand *strand)
{
  ZmRun *all = take_queue (strand);
  if (strand->successor)
    open_successor (strand);
  return all;
}

/* The generation was replaced. Who waits goes to the new one; while a call runs that is done by whoever leaves, one
 * by one, unless the call hangs for good. */
void
zm_strand_close (ZmStrand *strand)
{
  ZmRun *released = NULL;
  pthread_mutex_lock (&strand->lock);
  strand->closed = TRUE;
  if ((!strand->busy && !strand->blocked) || strand->abandoned)
    released = pass_on (strand);
  pthread_cond_broadcast (&strand->room);
  pthread_mutex_unlock (&strand->lock);
  queue_all (strand->pool, released);
}

/* For the end of the pool, where nobody will leave the strand any more. */
void
zm_strand_give_up (ZmStrand *strand)
{
  pthread_mutex_lock (&strand->lock);
  ZmRun *released = take_queue (strand);
  pthread_mutex_unlock (&strand->lock);
  queue_all (strand->pool, released);
}

/* The call inside hangs for good. It still owns the strand: the plugin is SERIAL, and its call is not over. */
void
zm_strand_abandon (ZmStrand *strand)
{
  pthread_mutex_lock (&strand->lock);
  strand->abandoned = TRUE;
  strand->slow = TRUE;
  pthread_cond_broadcast (&strand->room);
  pthread_mutex_unlock (&strand->lock);
}

/* Of one that was abandoned after it had been closed: nobody leaves it who would take the next, and who waits was not
 * passed on when it closed. Where the call has come back meanwhile nothing is to be done. */
void
zm_strand_release (ZmStrand *strand)
{
  ZmRun *released = NULL;
  pthread_mutex_lock (&strand->lock);
  if (strand->closed && strand->abandoned)
    released = pass_on (strand);
  pthread_mutex_unlock (&strand->lock);
  queue_all (strand->pool, released);
}

/* No fresh copy any more: who waits, and whoever comes, fails at once. */
void
zm_strand_stuck (ZmStrand *strand)
{
  pthread_mutex_lock (&strand->lock);
  strand->stuck = TRUE;
  ZmRun *released = take_queue (strand);
  pthread_cond_broadcast (&strand->room);
  pthread_mutex_unlock (&strand->lock);
  queue_all (strand->pool, released);
}

/* While a call is past its soft deadline nobody waits for room: that might take until it ends. */
void
zm_strand_slow (ZmStrand *strand, gboolean slow)
{
  pthread_mutex_lock (&strand->lock);
  strand->slow = slow;
  pthread_cond_broadcast (&strand->room);
  pthread_mutex_unlock (&strand->lock);
}

/* ---- runs handed to one worker ---- */

/* From the thread of that worker; the lock is against the watchdog, which takes the list where the worker hangs. */
void
zm_worker_give_local (ZmWorker *worker, ZmRun *run)
{
  pthread_mutex_lock (&worker->local_lock);
  run->next = NULL;
  if (worker->local_tail)
    worker->local_tail->next = run;
  else
    worker->local_head = run;
  worker->local_tail = run;
  atomic_fetch_add (&worker->n_local, 1);
  pthread_mutex_unlock (&worker->local_lock);
}

void
zm_worker_release_local (ZmWorker *worker)
{
  pthread_mutex_lock (&worker->local_lock);
  ZmRun *run = worker->local_head;
  worker->local_head = worker->local_tail = NULL;
  atomic_store (&worker->n_local, 0);
  pthread_mutex_unlock (&worker->local_lock);
  queue_all (worker->pool, run);
}
