/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What `zmanagerctl` shows of queues. Other threads ask: it is what the store's thread wrote down last. */
#include "config.h"

#include "queue/registry-private.h"

#define SHOWN_MOST 10000 /* queues; the document stays bounded */

static void
add_member (GString *out, const char *name, const char *text)
{
  zm_json_append_string (out, zm_span_text (name));
  g_string_append_c (out, ':');
  zm_json_append_string (out, zm_span_text (text));
  g_string_append_c (out, ',');
}

static void
add_figure (GString *out, const char *name, const guint64 *figure)
{
  g_string_append_printf (out, ",\"%s\":%" G_GUINT64_FORMAT, name,
                          __atomic_load_n (figure, __ATOMIC_RELAXED));
}

static void
add_queue (GString *out, const ZmQueue *queue)
{
  const ZmQueueFigures *figures = &queue->figures;

  g_string_append (out, out->len > 1 ? ",{" : "{");
  add_member (out, "name", queue->name);
  add_member (out, "project", queue->project);
  add_member (out, "kind", queue->options.kind == ZM_QUEUE_LATEST ? "latest" : "fifo");
  g_string_append_printf (out, "\"configured\":%s", queue->configured ? "true" : "false");
  add_figure (out, "messages", &figures->total);
  add_figure (out, "free", &figures->free);
  add_figure (out, "claimed", &figures->claimed);
  add_figure (out, "delayed", &figures->delayed);
  add_figure (out, "bytes", &figures->bytes);
  add_figure (out, "put", &figures->counts.put);
  add_figure (out, "taken", &figures->counts.taken);
  add_figure (out, "expired", &figures->counts.expired);
  add_figure (out, "dropped", &figures->counts.dropped);
  add_figure (out, "dead", &figures->counts.dead);
  add_figure (out, "duplicates", &figures->counts.duplicates);
  add_figure (out, "ids", &figures->ids);
  add_figure (out, "window_s", &figures->window_s);
  g_string_append_c (out, '}');
}

char *
zm_queues_status_json (ZmQueues *queues)
{
  GString *out = g_string_new ("[");
  guint n = 0;

  pthread_mutex_lock (&queues->p->lock);
  for (GTreeNode *node = g_tree_node_first (queues->p->by_name); node != NULL && n < SHOWN_MOST;
       node = g_tree_node_next (node), n++)
    add_queue (out, g_tree_node_value (node));
  pthread_mutex_unlock (&queues->p->lock);
  g_string_append_c (out, ']');
  return g_string_free (out, FALSE);
}
