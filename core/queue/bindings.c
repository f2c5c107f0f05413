/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which queues are bound to which topics, and the tap through which publications come. */
#include "config.h"

#include "queue/registry-private.h"

#include <string.h>

/* ---- the table ---- */

static void
add_bindings (GArray *all, const ZmConfig *config, const char *name)
{
  g_autofree char *section = g_strconcat ("queue ", name, NULL);
  const char *const *topics = zm_config_list (config, section, "topics");
  const char *project = zm_config_text (config, section, "project");

  for (guint i = 0; topics[i] != NULL; i++) {
    ZmBinding binding = { .text = g_strdup (topics[i]) };

    if (!zm_key_parse (zm_span_text (binding.text), &binding.pattern, NULL,
                       NULL)) { /* zm_queues_check told it */
      g_free (binding.text);
      continue;
    }
    binding.name = g_strdup (name);
    binding.project = g_strdup (project != NULL ? project : zm_queue_standard_project (config));
    g_array_append_val (all, binding);
  }
}

ZmBindings *
zm_bindings_read (const ZmConfig *config)
{
  ZmBindings *bindings = g_new0 (ZmBindings, 1);
  g_auto (GStrv) names = zm_config_names (config, "queue");
  GArray *all = g_array_new (FALSE, FALSE, sizeof (ZmBinding));

  for (guint i = 0; names[i] != NULL; i++)
    add_bindings (all, config, names[i]);
  bindings->refs = 1;
  bindings->n = all->len;
  bindings->all = (ZmBinding *) (void *) g_array_free (all, FALSE);
  return bindings;
}

void
zm_bindings_unref (ZmBindings *bindings)
{
  if (bindings == NULL || __atomic_sub_fetch (&bindings->refs, 1, __ATOMIC_ACQ_REL) > 0)
    return;
  for (guint i = 0; i < bindings->n; i++) {
    g_free (bindings->all[i].project);
    g_free (bindings->all[i].name);
    g_free (bindings->all[i].text);
  }
  g_free (bindings->all);
  g_free (bindings);
}

ZmBindings *
zm_queues_bindings (ZmQueues *queues)
{
  ZmBindings *bindings;

  pthread_mutex_lock (&queues->p->lock);
  bindings = queues->p->bindings;
  __atomic_add_fetch (&bindings->refs, 1, __ATOMIC_RELAXED);
  pthread_mutex_unlock (&queues->p->lock);
  return bindings;
}

/* Bindings of one queue stand side by side: a topic that two of them match goes there once. */
void
zm_bindings_each (const ZmBindings *bindings, const ZmKey *key,
                  void (*func) (const ZmBinding *binding, gpointer user), gpointer user)
{
  const char *last = NULL;

  for (guint i = 0; i < bindings->n; i++) {
    const ZmBinding *binding = &bindings->all[i];

    if ((last != NULL && strcmp (last, binding->name) == 0) || !zm_key_matches (&binding->pattern, key))
      continue;
    last = binding->name;
    func (binding, user);
  }
}

static void
note_match (const ZmBinding *binding, gpointer user)
{
  (void) binding;
  *(gboolean *) user = TRUE;
}

gboolean
zm_queues_bound (ZmQueues *queues, ZmSpan topic)
{
  ZmBindings *bindings;
  gboolean found = FALSE;
  ZmTopic parsed;

  if (!__atomic_load_n (&queues->p->any_bound, __ATOMIC_ACQUIRE) || !zm_topic_parse (topic, &parsed, NULL))
    return FALSE;
  bindings = zm_queues_bindings (queues);
  zm_bindings_each (bindings, &parsed.key, note_match, &found);
  zm_bindings_unref (bindings);
  return found;
}

/* ---- the tap ---- */

typedef struct Tapped {
  const ZmBinding *binding;
  ZmRecord *record;
} Tapped;

/* All that one published batch brings. */
typedef struct Tap {
  ZmStoreUnit unit; /* first */
  ZmQueues *queues;
  ZmBindings *bindings; /* reference: tapped point into it */
  GArray *tapped;       /* Tapped */
  GPtrArray *appends;   /* ZmAppend */
  GPtrArray *made;      /* ZmQueue: to be settled */
  ZmMessage *message;   /* while it is built */
} Tap;

static void
free_tap (Tap *tap)
{
  for (guint i = 0; i < tap->tapped->len; i++)
    zm_record_unref (g_array_index (tap->tapped, Tapped, i).record);
  g_array_unref (tap->tapped);
  g_ptr_array_unref (tap->appends);
  g_ptr_array_unref (tap->made);
  zm_bindings_unref (tap->bindings);
  g_free (tap);
}

static void
lose (ZmQueues *queues, const char *name, guint64 n, const GError *error)
{
  zm_counter_add (queues->p->tap_lost, n);
  zm_log_limited (queues->config.log, ZM_LEVEL_WARNING, ZM_QUEUE_ROOM,
                  "publications that a queue did not get",
                  "%" G_GUINT64_FORMAT " publications did not get into queue %s: %s", n, name,
                  error != NULL ? error->message : "not known why");
}

static void
prepare_tap (ZmStoreUnit *unit, ZmStoreWriter *writer)
{
  Tap *tap = (Tap *) (void *) unit;

  for (guint i = 0; i < tap->tapped->len; i++) {
    Tapped *tapped = &g_array_index (tap->tapped, Tapped, i);
    ZmQueueName name = { zm_span_text (tapped->binding->project), zm_span_text (tapped->binding->name) };
    g_autoptr (GError) error = NULL;
    ZmQueue *queue = zm_queue_find_in (tap->queues, writer, name, TRUE, NULL, &error);
    ZmAppend *append = NULL;

    if (queue != NULL) {
      append = zm_append_in (queue, writer, g_steal_pointer (&tapped->record), -1, -1, ZM_PUT_ALWAYS_, TRUE,
                             &error);
      g_ptr_array_add (tap->made, queue);
    }
    if (append != NULL)
      g_ptr_array_add (tap->appends, append);
    else if (error != NULL)
      lose (tap->queues, tapped->binding->name, 1, error);
  }
}

static void
tap_done (ZmStoreUnit *unit, const GError *error)
{
  Tap *tap = (Tap *) (void *) unit;

  for (guint i = 0; i < tap->made->len; i++)
    zm_queue_settle (tap->made->pdata[i], error == NULL);
  for (guint i = 0; error == NULL && i < tap->appends->len; i++)
    zm_append_commit (tap->appends->pdata[i]);
  for (guint i = tap->appends->len; error != NULL && i > 0; i--) {
    ZmAppend *append = tap->appends->pdata[i - 1];

    lose (tap->queues, append->queue->name, 1, error);
    zm_append_undo (append);
  }
  free_tap (tap);
}

static void
add_tapped (const ZmBinding *binding, gpointer user)
{
  Tap *tap = user;
  ZmPut put = { .body = zm_message_body (tap->message),
                .headers = zm_message_headers (tap->message),
                .topic = zm_message_topic (tap->message),
                .ttl_s = -1,
                .delay_s = -1 };
  Tapped tapped = { binding, zm_record_new (&put) };

  tap->unit.size += tapped.record->size;
  g_array_append_val (tap->tapped, tapped);
}

static Tap *
new_tap (ZmQueues *queues)
{
  Tap *tap = g_new0 (Tap, 1);

  tap->queues = queues;
  tap->bindings = zm_queues_bindings (queues);
  tap->tapped = g_array_new (FALSE, FALSE, sizeof (Tapped));
  tap->appends = g_ptr_array_new ();
  tap->made = g_ptr_array_new_with_free_func ((GDestroyNotify) zm_queue_unref);
  tap->unit.prepare = prepare_tap;
  tap->unit.done = tap_done;
  tap->unit.adds = TRUE;
  return tap;
}

void
zm_queues_tap (ZmMessage *const *messages, guint n, gpointer user)
{
  ZmQueues *queues = user;
  g_autoptr (GError) error = NULL;
  Tap *tap;

  if (!__atomic_load_n (&queues->p->any_bound, __ATOMIC_ACQUIRE) || zm_queues_closed (queues))
    return;
  tap = new_tap (queues);
  for (guint i = 0; i < n; i++) {
    tap->message = messages[i];
    zm_bindings_each (tap->bindings, &messages[i]->topic.key, add_tapped, tap);
  }
  if (tap->tapped->len > 0 && zm_store_submit (queues->config.store, &tap->unit, &error))
    return;
  for (guint i = 0; i < tap->tapped->len; i++)
    lose (queues, g_array_index (tap->tapped, Tapped, i).binding->name, 1, error);
  free_tap (tap);
}
