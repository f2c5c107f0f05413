/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * queue-get: claims or pops, and waits where there is nothing yet. Tried first, then again each time that the queue says it may have
 * something, until the time is over. All decisions are made in the runtime's thread; the room's threads only set what came of a try
 * and wake it.
 */
#include "config.h"

#include "runtime/query.h"

#include <stdatomic.h>

#define WAIT_MOST_MS 60000

/* What became of the last try. */
enum { TRYING, NOTHING, ENDED };

/* Freed with its source. */
typedef struct Get {
  ZmQuery *query; /* NULL: answered */
  ZmRuntime *runtime;
  guint count;
  gint64 ttl_s;
  gboolean pop;
  gint64 until_us; /* monotonic */
  guint64 watch;
  atomic_int state;
  atomic_int woken;
  GSource *source; /* the context's; wakes the runtime's thread */
} Get;

/* Any thread; several wakes are one. */
static void
wake (gpointer user)
{
  Get *get = user;

  atomic_store (&get->woken, 1);
  g_source_set_ready_time (get->source, 0);
}

/* In the room's threads. An empty answer is given only when there is no time left. */
static void
done_get (const ZmQueueAnswer *result, const GError *error, gpointer user)
{
  Get *get = user;
  GString *out;

  if (error == NULL && result->n_messages == 0 && zm_now_us () < get->until_us) {
    atomic_store (&get->state, NOTHING);
    g_source_set_ready_time (get->source, 0);
    return;
  }
  out = g_string_new ("{");
  if (error == NULL) {
    zm_query_add_messages (out, result);
    if (!get->pop && result->n_messages > 0)
      zm_reply_member_text (out, "claim", result->claim.id);
  }
  zm_query_answer (g_steal_pointer (&get->query), out, error);
  atomic_store (&get->state, ENDED);
  g_source_set_ready_time (get->source, 0);
}

/* The watch comes before the try, so that what is put between both is not missed. */
static void
try_it (Get *get)
{
  ZmQueues *queues = get->runtime->queues;

  atomic_store (&get->state, TRYING);
  atomic_store (&get->woken, 0);
  if (get->watch != 0)
    zm_queue_unwatch (queues, get->watch);
  get->watch =
      zm_now_us () < get->until_us ? zm_queue_watch (queues, zm_query_queue (get->query), wake, get) : 0;
  if (get->pop)
    zm_queue_pop (queues, zm_query_queue (get->query), get->count, done_get, get);
  else
    zm_queue_claim (queues, zm_query_queue (get->query), get->count, get->ttl_s, -1, done_get, get);
}

/* In the runtime's thread: woken by the queue, by the end of a try, or by the time. */
static gboolean
look (gpointer user)
{
  Get *get = user;
  int state = atomic_load (&get->state);

  if (state == ENDED)
    return G_SOURCE_REMOVE;
  g_source_set_ready_time (get->source, -1);
  if (state == TRYING)
    return G_SOURCE_CONTINUE;
  /* The last try, which answers in any case, is made when the time is over. */
  if (atomic_load (&get->woken) || zm_now_us () >= get->until_us)
    try_it (get);
  else
    g_source_set_ready_time (get->source, get->until_us);
  /* A wake, or an end, between the look and the line above is not lost. */
  if (atomic_load (&get->woken) || atomic_load (&get->state) == ENDED)
    g_source_set_ready_time (get->source, 0);
  return G_SOURCE_CONTINUE;
}

static void
get_free (gpointer user)
{
  Get *get = user;

  if (get->watch != 0 && get->runtime->queues != NULL)
    zm_queue_unwatch (get->runtime->queues, get->watch);
  if (get->query != NULL)
    zm_query_answer (get->query, g_string_new ("{\"messages\":[]"), NULL);
  g_free (get);
}

static gboolean
dispatch (GSource *source, GSourceFunc func, gpointer user)
{
  (void) source;
  return func (user);
}

static GSourceFuncs source_funcs = { .dispatch = dispatch };

gboolean
zm_command_queue_get (ZmCommandCall *call, GError **error)
{
  gint64 count, ttl, wait;
  gboolean pop;
  ZmQuery *query;
  Get *get;

  if (!zm_command_integer (call->request, "count", 1, 1, ZM_QUERY_COUNT_MOST, &count, error) ||
      !zm_command_integer (call->request, "ttl", -1, 1, G_MAXINT32, &ttl, error) ||
      !zm_command_integer (call->request, "wait", 0, 0, WAIT_MOST_MS, &wait, error) ||
      !zm_command_flag (call->request, "pop", &pop, error) || (query = zm_query_new (call, error)) == NULL)
    return FALSE;
  get = g_new0 (Get, 1);
  get->query = query;
  get->runtime = call->runtime;
  get->count = (guint) count;
  get->ttl_s = ttl;
  get->pop = pop;
  get->until_us = zm_now_us () + wait * 1000;
  get->source = g_source_new (&source_funcs, sizeof (GSource));
  g_source_set_callback (get->source, look, get, get_free);
  g_source_attach (get->source, call->runtime->context);
  g_source_unref (get->source);
  try_it (get);
  return TRUE;
}
