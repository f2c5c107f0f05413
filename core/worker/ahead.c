/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Looking ahead: with ten thousand mappings nearly every message waits several times for memory, for one line after the
 * other. A batch waits for all of its messages' lines together.
 */
#include "worker/internal.h"

/* Smaller tables stay in the caches. */
#define ROUTES_LEAST 1000
#define BATCH_LEAST  4

void
zm_look_ahead (ZmWorker *worker, ZmMessage *const *messages, guint n)
{
  const ZmTopic *topics[ZM_AHEAD_MOST];
  const ZmRoute *routes[ZM_AHEAD_MOST];
  G_STATIC_ASSERT (ZM_BATCH <= ZM_AHEAD_MOST);

  if (n < BATCH_LEAST || !worker->view || zm_table_n_routes (worker->view->table) < ROUTES_LEAST)
    return;
  for (guint i = 0; i < n; i++)
    topics[i] = &messages[i]->topic;
  zm_table_look_ahead (worker->view->table, topics, n, routes);
  for (guint i = 0; i < n; i++)
    if (routes[i]) {
      __builtin_prefetch (worker->view->stats[routes[i]->index], 1);
      __builtin_prefetch (routes[i]->action);
    }
}
