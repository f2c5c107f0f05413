/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the doors ask of the pool while the daemon drains: who is still waited for, and the end of what comes too late. The
 * pool itself goes on as ever until zm_pool_drain.
 */
#include "worker/internal.h"

#include <string.h>

/* An echoed `prev-flow` names the waiting flow where the topic does not, as in the engine. */
static gboolean
awaited_by_header (ZmKeeper *keeper, const ZmMessage *message)
{
  g_autofree char *flows = zm_message_header (message, "prev-flow");
  return flows && keeper->ops->waiting (keeper, zm_span (flows, strcspn (flows, ",")), message->topic.id);
}

/* Any step of the instance will do: which of its steps an answer is for is the engine's affair. */
gboolean
zm_pool_awaits (ZmPool *pool, const ZmMessage *message)
{
  ZmKeeper *keeper = pool->config.keeper;
  const ZmTopic *topic = &message->topic;
  if (!topic->id.size || !keeper->ops->count (keeper))
    return FALSE;
  return keeper->ops->waiting (keeper, topic->flow, topic->id) ||
         (!topic->flow.size && message->has_headers && awaited_by_header (keeper, message));
}

void
zm_pool_refuse (ZmPool *pool, ZmMessage *message, const char *code, const char *text)
{
  zm_end_refused (pool, message, code, text);
}

gboolean
zm_pool_busy (ZmPool *pool)
{
  return atomic_load (&pool->inside) > 0;
}
