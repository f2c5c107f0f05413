/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What runs, for a process that is about to die of a fault: read from a signal handler. No lock is taken, as who holds it may
 * be the thread that faulted; nothing is allocated and nothing written.
 */
#include "worker/internal.h"

/* Which action the worker is in; NULL: none. Of the thread that faulted this is exact, as it stands still in its call. Another
 * one may leave its call at this moment: its word is asked again, so that what was read belongs to the call that was seen. */
static const ZmAction *
action_of (ZmWorker *worker, unsigned long long word)
{
  const ZmAction *action = atomic_load (&worker->hook);
  unsigned phase = word & 3;

  if (phase == ZM_PHASE_IDLE)
    return NULL;
  if (action == NULL && phase == ZM_PHASE_CLAIMED)
    action = worker->blamed;
  else if (action == NULL && worker->run != NULL)
    action = worker->run->action;
  return atomic_load (&worker->word) >> 2 == word >> 2 ? action : NULL;
}

void
zm_pool_running_raw (const ZmPool *pool, ZmRunningRaw func, void *user)
{
  guint n = MIN (pool->n_slots, ZM_WORKERS_MOST);

  for (guint i = 0; i < n; i++) {
    ZmWorker *worker = pool->workers[i];
    unsigned long long word = worker != NULL ? atomic_load (&worker->word) : 0;
    const ZmAction *action = worker != NULL ? action_of (worker, word) : NULL;

    if (action != NULL)
      func (action, worker->seen_word == word ? worker->seen_us : 0,
            pthread_equal (worker->thread, pthread_self ()) != 0, user);
  }
}
