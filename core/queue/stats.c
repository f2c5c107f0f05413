/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Figures of one queue, and of all. */
#include "config.h"

#include "queue/registry-private.h"

#include <string.h>

/* ---- one ---- */

static void
see_ends (ZmRequest *request)
{
  ZmQueue *queue = request->queue;
  guint64 oldest = zm_index_next (&queue->index, ZM_VIEW_PRESENT, 1);
  guint64 newest = zm_index_previous (&queue->index, ZM_VIEW_PRESENT, ZM_STORE_SEQ_MOST);

  while (oldest != 0 && !zm_queue_has (queue, oldest, request->now_us))
    oldest = zm_index_next (&queue->index, ZM_VIEW_PRESENT, oldest + 1);
  while (newest != 0 && !zm_queue_has (queue, newest, request->now_us))
    newest = zm_index_previous (&queue->index, ZM_VIEW_PRESENT, newest - 1);
  if (oldest == 0 || newest == 0)
    return;
  zm_queue_request_see (request, oldest);
  zm_queue_request_see (request, newest);
}

/* Some may be over before they are due. */
static guint64
count_delayed (const ZmQueue *queue, gint64 now_us)
{
  GHashTableIter iter;
  gpointer seq;
  guint64 n = 0;

  g_hash_table_iter_init (&iter, queue->delayed);
  while (g_hash_table_iter_next (&iter, &seq, NULL))
    n += zm_queue_has (queue, *(guint64 *) seq, now_us);
  return n;
}

static void
decide_stats (ZmRequest *request, ZmStoreWriter *writer)
{
  ZmQueueStats *stats = &request->answer.stats;
  ZmQueue *queue = request->queue;
  ZmTime now = zm_time_now (request->now_us);
  guint64 over;

  (void) writer;
  if (queue == NULL)
    return;
  stats->free = queue->index.n_free - zm_index_count_over (&queue->index, ZM_VIEW_FREE, now);
  stats->claimed = zm_claims_claimed (queue);
  over = zm_index_count_over (&queue->index, ZM_VIEW_PRESENT, now);
  stats->delayed = over == 0 ? g_hash_table_size (queue->delayed) : count_delayed (queue, request->now_us);
  stats->total = queue->index.n_present - over;
  stats->bytes = queue->index.bytes;
  stats->put = queue->counts.put;
  stats->taken = queue->counts.taken;
  stats->expired = queue->counts.expired;
  stats->dropped = queue->counts.dropped;
  stats->dead = queue->counts.dead;
  stats->duplicates = queue->counts.duplicates;
  stats->kind = queue->options.kind;
  stats->last_seq = queue->last_seq;
  see_ends (request);
}

static gboolean
read_stats (ZmRequest *request)
{
  ZmQueueStats *stats = &request->answer.stats;

  if (request->messages != NULL && request->messages->len > 0) {
    stats->has_oldest = TRUE;
    stats->oldest = request->answer.messages[0];
    stats->newest = request->answer.messages[request->messages->len - 1];
  }
  request->answer.messages = NULL;
  request->answer.n_messages = 0;
  return FALSE;
}

static const ZmRequestOps stats_ops = { .size = sizeof (ZmRequest),
                                        .decide = decide_stats,
                                        .read = read_stats };

void
zm_queue_stats (ZmQueues *queues, ZmQueueName queue, ZmQueueDone done, gpointer user)
{
  zm_queue_request_submit (zm_queue_request_new (queues, queue, &stats_ops, done, user), 0);
}

/* ---- all: any thread ---- */

typedef struct Shown {
  char *project, *name, *metadata;
  gboolean configured;
  guint64 total, bytes;
} Shown;

static void
clear_shown (gpointer data)
{
  Shown *shown = data;

  g_free (shown->project);
  g_free (shown->metadata);
}

static Shown
copy_of (const ZmQueue *queue)
{
  Shown shown = { .configured = queue->configured };

  shown.project = g_memdup2 (queue->key, queue->key_size + 1);
  shown.name = shown.project + strlen (shown.project) + 1;
  shown.metadata = g_strdup (queue->metadata);
  shown.total = __atomic_load_n (&queue->figures.total, __ATOMIC_RELAXED);
  shown.bytes = __atomic_load_n (&queue->figures.bytes, __ATOMIC_RELAXED);
  return shown;
}

/* Where the listing begins: behind `after` of the project, or at its first. */
static GTreeNode *
first_node (struct ZmQueuesPrivate *p, const char *project, const char *after)
{
  g_autoptr (GString) key = g_string_new (project);

  if (project == NULL)
    return g_tree_node_first (p->by_name);
  g_string_append_c (key, '\0');
  g_string_append (key, after != NULL ? after : "");
  return g_tree_upper_bound (p->by_name, key->str);
}

/* Copies under the lock; the function is called without it. */
static GArray *
collect (ZmQueues *queues, const char *project, const char *after, guint most, gboolean internal)
{
  struct ZmQueuesPrivate *p = queues->p;
  GArray *all = g_array_new (FALSE, FALSE, sizeof (Shown));
  g_autofree char *standard = NULL;

  g_array_set_clear_func (all, clear_shown);
  pthread_mutex_lock (&p->lock);
  if (project != NULL && *project == '\0')
    project = standard = g_strdup (zm_queue_standard_project (p->settings));
  for (GTreeNode *node = first_node (p, project, after); node != NULL; node = g_tree_node_next (node)) {
    const ZmQueue *queue = g_tree_node_value (node);
    Shown shown;

    if (project != NULL && strcmp (queue->project, project) != 0)
      break;
    if ((queue->name[0] == '^' && !internal) ||
        (project == NULL && after != NULL && strcmp (queue->name, after) <= 0))
      continue;
    shown = copy_of (queue);
    g_array_append_val (all, shown);
    if (most > 0 && all->len >= most)
      break;
  }
  pthread_mutex_unlock (&p->lock);
  return all;
}

guint
zm_queues_each (ZmQueues *queues, const char *project, const char *after, guint most, gboolean internal,
                void (*func) (const ZmQueueShown *shown, gpointer user), gpointer user)
{
  g_autoptr (GArray) all = collect (queues, project, after, most, internal);

  for (guint i = 0; i < all->len; i++) {
    const Shown *of = &g_array_index (all, Shown, i);
    ZmQueueShown shown = { .project = of->project,
                           .name = of->name,
                           .metadata = of->metadata,
                           .configured = of->configured,
                           .total = of->total,
                           .bytes = of->bytes };

    func (&shown, user);
  }
  return all->len;
}

guint
zm_queues_count (ZmQueues *queues, const char *project)
{
  g_autofree char *standard = NULL;
  guint n = 0;

  pthread_mutex_lock (&queues->p->lock);
  if (project != NULL && *project == '\0')
    project = standard = g_strdup (zm_queue_standard_project (queues->p->settings));
  for (GTreeNode *node = first_node (queues->p, project, NULL); node != NULL;
       node = g_tree_node_next (node)) {
    const ZmQueue *queue = g_tree_node_value (node);

    if (project != NULL && strcmp (queue->project, project) != 0)
      break;
    n += queue->name[0] != '^';
  }
  pthread_mutex_unlock (&queues->p->lock);
  return n;
}
