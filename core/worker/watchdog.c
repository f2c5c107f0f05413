/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The watchdog: one thread that looks at the workers each few milliseconds while there is work, and sleeps when there is
 * none. A call over 5 ms has its worker's results and its unstarted rest given to others; one over its soft deadline has its
 * message taken away (the caller gets its error) and its worker replaced; one over its hard deadline has its strand
 * abandoned.
 */
#include "worker/internal.h"

#define TICK_US     5000
#define QUIET_TICKS 200 /* without work: then it sleeps */
#define IDLE_US     G_USEC_PER_SEC

/* The time of the watchdog's last tick, so that a long batch does not reckon with the time at its beginning; a clock
 * of its own would cost each call more. */
void
zm_worker_clock (ZmWorker *worker)
{
  gint64 tick_us = atomic_load_explicit (&worker->pool->tick_us, memory_order_relaxed);
  if (tick_us > worker->now_us)
    worker->now_us = tick_us;
}

/* Does the thread hang in a claimed call at this moment? Under dog_lock, which a call that comes back waits for. */
static gboolean
is_claimed (ZmWorker *worker)
{
  return (atomic_load (&worker->word) & 3) == ZM_PHASE_CLAIMED;
}

/* Started and decided under one hold of dog_lock: a call that comes back meanwhile waits for it, and so finds either that
 * it has to end, or that nobody took its place. Two threads that take from one lane would break its order. FALSE: no
 * thread could be started; the old one keeps its place, and takes from the lane again when it comes back. */
static gboolean
take_place (ZmPool *pool, ZmWorker *worker, GError **error)
{
  pthread_mutex_lock (&pool->dog_lock);
  gboolean claimed = is_claimed (worker);
  gboolean started = claimed && zm_worker_start (pool, worker->lane, error) != NULL;
  if (started)
    atomic_store (&worker->abandoned, 1);
  pthread_mutex_unlock (&pool->dog_lock);
  if (started) {
    pool->replaced++;
    zm_counter_add (pool->c_replaced, 1);
  }
  return started || !claimed;
}

/* A thread that hangs cannot be ended, but its place can be given to another. The number is bounded, as each keeps a
 * stack and what its call holds; where it is reached this is tried again at each tick. */
static void
replace_worker (ZmPool *pool, ZmWorker *worker)
{
  gboolean first = !worker->refused;
  worker->refused = pool->replaced >= pool->config.replacements_most;
  if (worker->refused && !first)
    return;
  if (worker->refused) {
    zm_log_limited (pool->config.log, ZM_LEVEL_ERROR, "worker", "replacements",
                    "%u workers hang already: this one is not replaced before one of them has come back",
                    pool->replaced);
    return;
  }
  g_autoptr (GError) error = NULL;
  if (!take_place (pool, worker, &error))
    zm_log_limited (pool->config.log, ZM_LEVEL_ERROR, "worker", "replace", "%s", error->message);
}

/* Over its soft deadline: the message gets an heir, which fails; the call goes on with nothing. Either this or the
 * end of the call wins the word, never both, so the message ends once. */
gboolean
zm_watchdog_claim (ZmPool *pool, ZmWorker *worker, unsigned long long word)
{
  unsigned long long claimed = (word & ~3ull) | ZM_PHASE_CLAIMED;
  /* The call may end at any moment: its thread finds the word claimed, and waits for this lock before it frees the run. */
  pthread_mutex_lock (&pool->dog_lock);
  if (!atomic_compare_exchange_strong (&worker->word, &word, claimed)) {
    pthread_mutex_unlock (&pool->dog_lock);
    return FALSE;
  }
  ZmRun *run = worker->run;
  atomic_store (&run->cancelled, 1);
  const ZmAction *hook = atomic_load (&worker->hook);
  const ZmAction *blame = worker->blamed = hook ? hook : run->action;
  g_autofree char *text =
      hook ? g_strdup_printf ("the hook %s.%s did not return before the deadline", hook->plugin, hook->symbol)
           : g_strdup ("the action did not return before its deadline");
  ZmRun *heir = run->message ? zm_run_heir (run, blame, "timeout", text) : NULL;
  /* Once the lock is free the run may be gone, and with it a timer's action. */
  g_autofree char *symbol = g_strdup (blame->symbol);
  ZmGeneration *kept = zm_generation_ref (blame->generation, "error report");
  if (run->stat)
    atomic_fetch_add_explicit (&run->stat->errors, 1, memory_order_relaxed);
  if (run->strand)
    zm_strand_slow (run->strand, TRUE);
  pthread_mutex_unlock (&pool->dog_lock);
  zm_log_limited (pool->config.log, ZM_LEVEL_ERROR, "worker", "hung",
                  "%s.%s hangs in worker %u past its deadline; its caller gets an error",
                  zm_generation_name (kept), symbol, worker->index);
  zm_generation_unref (kept, "error report");
  if (heir)
    zm_queue_run (pool, heir);
  else
    zm_pool_inside (pool, -1);
  return TRUE;
}

/* Whose code the claimed call is in now; NULL: it is about to come back. One that was claimed in a hook does not call its
 * action any more, and one that was claimed in its action may hang in the hooks behind it. Under dog_lock. */
static const ZmAction *
culprit_of (ZmWorker *worker)
{
  const ZmAction *hook = atomic_load (&worker->hook);
  if (hook)
    return hook;
  return worker->blamed == worker->run->action ? worker->blamed : NULL;
}

/* One that was replaced meanwhile needs no copy: its successor is there, and takes who still waits. */
static void
ask_for_copy (ZmPool *pool, ZmGeneration *generation)
{
  gboolean retired = zm_generation_retired (generation);
  zm_log_write (pool->config.log, ZM_LEVEL_ERROR, "worker", "plugin %s hangs for good: %s",
                zm_generation_name (generation),
                retired ? "it was replaced already, and who waits for it goes on"
                        : "a fresh copy takes its place");
  if (pool->config.hung && !retired)
    pool->config.hung (generation, pool->config.user);
}

/* The action's plugin is SERIAL and its strand is blocked. Where its own code hangs the strand is lost with it; where a hook of
 * another plugin does, its own call is as good as over, and who waits at it goes on. Once a call, a fresh copy of the
 * plugin that hangs is asked for. A THREADSAFE one blocks nobody, and its worker was replaced already. */
static void
hard_deadline (ZmPool *pool, ZmWorker *worker)
{
  ZmGeneration *guilty = NULL, *serial = NULL;
  ZmStrand *freed = NULL;
  pthread_mutex_lock (&pool->dog_lock);
  ZmRun *run = worker->run;
  const ZmAction *culprit = is_claimed (worker) ? culprit_of (worker) : NULL;
  worker->hard = culprit != NULL;
  if (culprit && run->strand) {
    worker->blamed = culprit;
    guilty = zm_generation_ref (culprit->generation, "hung call");
    serial = zm_generation_ref (run->action->generation, "hung call");
    if (guilty == serial)
      zm_strand_abandon (run->strand);
    else
      freed = g_steal_pointer (&run->strand); /* its thread finds none to leave when it comes back */
  }
  pthread_mutex_unlock (&pool->dog_lock);
  if (!guilty)
    return;
  if (freed) {
    zm_strand_leave (NULL, freed, ZM_STRAND_TURN);
  } else {
    zm_counter_add (pool->c_abandoned, 1);
    zm_strand_release (zm_strand_of (pool, serial));
  }
  ask_for_copy (pool, guilty);
  zm_generation_unref (serial, "hung call");
  zm_generation_unref (guilty, "hung call");
}

/* TRUE: a call runs in it. A call is known by its word: one that is seen a second time, a tick later, is slow. What
 * is judged here may be over the next moment; each measure asks the word again before it acts. */
static gboolean
look_at (ZmPool *pool, ZmWorker *worker, gint64 now_us)
{
  unsigned long long word = atomic_load_explicit (&worker->word, memory_order_acquire);
  unsigned phase = word & 3;
  if (word != worker->seen_word) {
    worker->seen_word = word;
    worker->seen_us = now_us;
    worker->stolen = worker->hard = FALSE;
    return phase != ZM_PHASE_IDLE;
  }
  if (phase == ZM_PHASE_IDLE)
    return FALSE;
  if (!worker->stolen && now_us - worker->seen_us >= TICK_US) {
    worker->stolen = TRUE;
    if (phase == ZM_PHASE_CALL)
      zm_worker_give_results (worker, word);
    zm_worker_give_rest (worker);
  }
  gint64 deadline_us = atomic_load_explicit (&worker->call_deadline_us, memory_order_relaxed);
  if (phase == ZM_PHASE_CALL && now_us > deadline_us)
    zm_watchdog_claim (pool, worker, word);
  /* Again at each tick, should there have been no room for it: another may have been buried meanwhile. */
  if (is_claimed (worker) && !atomic_load (&worker->abandoned))
    replace_worker (pool, worker);
  if (phase == ZM_PHASE_CLAIMED && !worker->hard && now_us > deadline_us + pool->config.hard_after_us)
    hard_deadline (pool, worker);
  return TRUE;
}

/* A replaced worker whose call has come back at last: its thread has ended by itself. */
static void
bury (ZmPool *pool, guint slot)
{
  ZmWorker *worker = pool->workers[slot];
  pthread_join (worker->thread, NULL);
  pthread_mutex_lock (&pool->lock);
  pool->workers[slot] = NULL;
  pthread_mutex_unlock (&pool->lock);
  pool->replaced--;
  pthread_mutex_destroy (&worker->local_lock);
  pthread_cond_destroy (&worker->wake);
  g_free (worker);
}

/* The list of workers is read under the lock, but only this thread takes one out. */
static gboolean
look_at_all (ZmPool *pool)
{
  gboolean busy = FALSE;
  gint64 now_us = zm_now_us ();
  atomic_store_explicit (&pool->tick_us, now_us, memory_order_relaxed);
  pthread_mutex_lock (&pool->lock);
  guint n = pool->n_slots;
  pthread_mutex_unlock (&pool->lock);
  for (guint i = 0; i < n; i++) {
    pthread_mutex_lock (&pool->lock);
    ZmWorker *worker = pool->workers[i];
    pthread_mutex_unlock (&pool->lock);
    if (!worker)
      continue;
    if (atomic_load (&worker->abandoned) && atomic_load (&worker->over))
      bury (pool, i);
    else if (look_at (pool, worker, now_us))
      busy = TRUE;
  }
  return busy;
}

/* With work about it ticks; without, it sleeps, so that an idle daemon wakes once a second. */
static void *
watchdog_main (void *user)
{
  ZmPool *pool = user;
  guint quiet = 0;
  for (;;) {
    quiet = look_at_all (pool) ? 0 : quiet + 1;
    pthread_mutex_lock (&pool->dog_lock);
    if (!pool->dog_ending && quiet > QUIET_TICKS) {
      /* A worker that gets work clears the flag and wakes us; the bound is for a wake-up lost between the two. */
      atomic_store (&pool->dog_asleep, 1);
      zm_cond_wait_until (&pool->dog_cond, &pool->dog_lock, zm_now_us () + IDLE_US);
      if (!atomic_exchange (&pool->dog_asleep, 0))
        quiet = 0;
    } else if (!pool->dog_ending) {
      zm_cond_wait_until (&pool->dog_cond, &pool->dog_lock, zm_now_us () + TICK_US);
    }
    gboolean ending = pool->dog_ending;
    pthread_mutex_unlock (&pool->dog_lock);
    if (ending)
      return NULL;
  }
}

/* Costs one relaxed load where it is awake, which it is whenever there is load. */
void
zm_watchdog_wake (ZmPool *pool)
{
  if (!atomic_load_explicit (&pool->dog_asleep, memory_order_relaxed) ||
      !atomic_exchange (&pool->dog_asleep, 0))
    return;
  pthread_mutex_lock (&pool->dog_lock);
  pthread_cond_signal (&pool->dog_cond);
  pthread_mutex_unlock (&pool->dog_lock);
}

gboolean
zm_watchdog_start (ZmPool *pool, GError **error)
{
  int failed = zm_thread_create (&pool->watchdog, "zm-watchdog", watchdog_main, pool);
  if (failed)
    g_set_error (error, ZM_ERROR, ZM_ERROR_IO, "cannot start the watchdog thread: %s", g_strerror (failed));
  else
    pool->dog_running = TRUE;
  return !failed;
}

void
zm_watchdog_stop (ZmPool *pool)
{
  if (!pool->dog_running)
    return;
  pthread_mutex_lock (&pool->dog_lock);
  pool->dog_ending = TRUE;
  pthread_cond_signal (&pool->dog_cond);
  pthread_mutex_unlock (&pool->dog_lock);
  pthread_join (pool->watchdog, NULL);
  pool->dog_running = FALSE;
}
