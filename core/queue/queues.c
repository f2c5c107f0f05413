/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The room as a whole: its beginning and end, its configuration, its status. */
#include "config.h"

#include "base/zm-codes.h"
#include "queue/registry-private.h"

#include <string.h>

/* ---- configuration ---- */

static void
add_problem (const ZmConfig *config, const char *section, const char *key, const char *expected,
             const char *todo, ZmProblems *problems, const char *what)
{
  const char *file = NULL;
  guint line = 0, column = 0;

  (void) zm_config_place (config, section, key, &file, &line, &column);
  zm_problems_add (problems, ZM_PROBLEM_ERROR, ZM_CODE_BAD_VALUE, file, line, column, expected, todo, "%s",
                   what);
}

static void
check_topics (const ZmConfig *config, const char *section, ZmProblems *problems)
{
  const char *const *topics = zm_config_list (config, section, "topics");

  for (guint i = 0; topics[i] != NULL; i++) {
    g_autoptr (GError) error = NULL;
    g_autofree char *what = NULL;
    ZmKey key;

    if (zm_key_parse (zm_span_text (topics[i]), &key, NULL, &error))
      continue;
    what = g_strdup_printf ("[%s] topics '%s': %s", section, topics[i], error->message);
    add_problem (config, section, "topics", "an action key; an empty part is any", NULL, problems, what);
  }
}

static void
check_cipher (const ZmConfig *config, const char *section, const char *key, ZmProblems *problems)
{
  const char *hex = zm_config_text (config, section, key);
  g_autoptr (GError) error = NULL;
  ZmCipher *cipher = hex != NULL ? zm_cipher_new (hex, &error) : NULL;

  if (error != NULL)
    add_problem (config, section, key, "64 hexadecimal digits, and a build with OpenSSL", NULL, problems,
                 error->message);
  zm_cipher_unref (cipher);
}

static void
check_section (const ZmConfig *config, const char *name, ZmProblems *problems)
{
  g_autofree char *section = g_strconcat ("queue ", name, NULL);
  const char *dead = zm_config_text (config, section, "dead-letter");

  check_topics (config, section, problems);
  if (dead != NULL && strcmp (dead, name) == 0)
    add_problem (config, section, "dead-letter", NULL, "name another queue", problems,
                 "a queue cannot be its own dead-letter queue");
  check_cipher (config, section, "encrypt", problems);
}

void
zm_queues_check (const ZmConfig *config, ZmProblems *problems)
{
  g_auto (GStrv) names = zm_config_names (config, "queue");

  check_cipher (config, "store", "key", problems);
  for (guint i = 0; names[i] != NULL; i++)
    check_section (config, names[i], problems);
}

typedef struct Configure {
  ZmStoreUnit unit; /* first */
  ZmQueues *queues;
  ZmConfig *config; /* reference */
  GPtrArray *made;  /* ZmQueue */
} Configure;

/* Kind and durability are those that it was loaded with: what is stored depends on them. */
static void
reconfigure (ZmQueue *queue, const ZmConfig *config, ZmLog *log)
{
  g_autoptr (GError) error = NULL;
  ZmQueueOptions options;
  ZmQueueKind kind = queue->options.kind;
  ZmQueueDurability durability = queue->options.durability;
  gboolean memory = durability == ZM_DURABLE_MEMORY;

  if (!zm_queue_options_read (&options, config, queue->project, queue->name, zm_span_text (queue->metadata),
                              TRUE, &error)) {
    zm_log_write (log, ZM_LEVEL_ERROR, ZM_QUEUE_ROOM, "queue %s keeps its options: %s", queue->name,
                  error->message);
    return;
  }
  if (options.configured && (options.kind != kind || (options.durability == ZM_DURABLE_MEMORY) != memory))
    zm_log_write (
        log, ZM_LEVEL_WARNING, ZM_QUEUE_ROOM,
        "queue %s: another kind, or memory as durability, takes effect with the next start of the daemon",
        queue->name);
  options.kind = kind;
  if ((options.durability == ZM_DURABLE_MEMORY) != memory)
    options.durability = durability;
  zm_queue_set_options (queue, &options);
}

/* Only this thread changes them, so that it may read them without the lock. */
static void
use_settings (ZmQueues *queues, ZmConfig *config)
{
  ZmConfig *before = queues->p->settings;

  pthread_mutex_lock (&queues->p->lock);
  queues->p->settings = zm_config_ref (config);
  g_free (queues->p->standard);
  queues->p->standard = g_strdup (zm_queue_standard_project (config));
  pthread_mutex_unlock (&queues->p->lock);
  zm_config_unref (before);
}

static void
prepare_configure (ZmStoreUnit *unit, ZmStoreWriter *writer)
{
  Configure *configure = (Configure *) (void *) unit;
  g_auto (GStrv) names = zm_config_names (configure->config, "queue");
  GHashTableIter iter;
  gpointer value;

  use_settings (configure->queues, configure->config);
  g_hash_table_iter_init (&iter, configure->queues->p->by_key);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    if (((ZmQueue *) value)->loaded)
      reconfigure (value, configure->config, configure->queues->config.log);
  for (guint i = 0; names[i] != NULL; i++) {
    g_autofree char *section = g_strconcat ("queue ", names[i], NULL);
    ZmQueueName name = { zm_span_text (zm_config_text (configure->config, section, "project")),
                         zm_span_text (names[i]) };
    g_autoptr (GError) error = NULL;
    ZmQueue *queue = zm_queue_find_in (configure->queues, writer, name, TRUE, NULL, &error);

    if (queue != NULL)
      g_ptr_array_add (configure->made, queue);
    else
      zm_log_write (configure->queues->config.log, ZM_LEVEL_ERROR, ZM_QUEUE_ROOM,
                    "queue %s cannot be used: %s", names[i], error->message);
  }
}

static void
configured (ZmStoreUnit *unit, const GError *error)
{
  Configure *configure = (Configure *) (void *) unit;

  for (guint i = 0; i < configure->made->len; i++)
    zm_queue_settle (configure->made->pdata[i], error == NULL);
  if (error != NULL)
    zm_log_write (configure->queues->config.log, ZM_LEVEL_WARNING, ZM_QUEUE_ROOM,
                  "queues of the configuration could not be stored, and are when they are used: %s",
                  error->message);
  g_ptr_array_unref (configure->made);
  zm_config_unref (configure->config);
  g_free (configure);
}

static void
submit_configure (ZmQueues *queues, ZmConfig *config)
{
  Configure *configure = g_new0 (Configure, 1);
  g_autoptr (GError) error = NULL;

  configure->queues = queues;
  configure->config = zm_config_ref (config);
  configure->made = g_ptr_array_new_with_free_func ((GDestroyNotify) zm_queue_unref);
  configure->unit.prepare = prepare_configure;
  configure->unit.done = configured;
  configure->unit.inside = TRUE;
  if (!zm_store_submit (queues->config.store, &configure->unit, &error))
    configured (&configure->unit, error);
}

/* Bindings are in force when it returns; the rest when the store's thread comes to it. */
void
zm_queues_configure (ZmQueues *queues, ZmConfig *config)
{
  struct ZmQueuesPrivate *p = queues->p;
  ZmBindings *bindings = zm_bindings_read (config), *old;

  pthread_mutex_lock (&p->lock);
  old = p->bindings;
  p->bindings = bindings;
  __atomic_store_n (&p->any_bound, bindings->n > 0, __ATOMIC_RELEASE);
  pthread_mutex_unlock (&p->lock);
  zm_bindings_unref (old);
  submit_configure (queues, config);
}

/* ---- beginning and end ---- */

static void
add_metrics (ZmQueues *queues)
{
  struct ZmQueuesPrivate *p = queues->p;
  ZmMetrics *metrics = queues->config.metrics;

  if (metrics == NULL)
    metrics = p->own_metrics = zm_metrics_new ();
  p->put = zm_metrics_counter (metrics, "zmanager_queue_put_total", "Messages put into queues.", NULL, NULL);
  p->taken = zm_metrics_counter (metrics, "zmanager_queue_taken_total",
                                 "Messages deleted, popped or acknowledged.", NULL, NULL);
  p->expired = zm_metrics_counter (metrics, "zmanager_queue_expired_total", "Messages whose time was over.",
                                   NULL, NULL);
  p->dropped = zm_metrics_counter (metrics, "zmanager_queue_dropped_total",
                                   "Messages that full queues dropped.", NULL, NULL);
  p->refused = zm_metrics_counter (metrics, "zmanager_queue_refused_total",
                                   "Messages that full queues refused.", NULL, NULL);
  p->damaged = zm_metrics_counter (metrics, "zmanager_queue_damaged_total",
                                   "Readings of messages that cannot be read.", NULL, NULL);
  p->tap_lost = zm_metrics_counter (metrics, "zmanager_queue_tap_lost_total",
                                    "Publications that a bound queue did not get.", NULL, NULL);
  p->lost =
      zm_metrics_counter (metrics, "zmanager_queue_lost_total",
                          "Messages of durability batch that were accepted and not stored.", NULL, NULL);
}

/* Every queue of the list is looked at once by the background, which loads it and finds what is over. */
static void
plan_all (ZmQueues *queues)
{
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, queues->p->by_key);
  while (g_hash_table_iter_next (&iter, NULL, &value)) {
    ((ZmQueue *) value)->agenda_us = 0;
    zm_heap_push (&queues->p->agenda, 0, ((ZmQueue *) value)->number);
  }
}

ZmQueues *
zm_queues_new (const ZmQueuesConfig *config, GError **error)
{
  ZmQueues *queues = g_new0 (ZmQueues, 1);
  struct ZmQueuesPrivate *p = g_new0 (struct ZmQueuesPrivate, 1);

  queues->config = *config;
  queues->p = p;
  queues->cache = zm_cache_new (ZM_QUEUE_CACHE_MOST);
  pthread_mutex_init (&p->lock, NULL);
  pthread_mutex_init (&p->watch_lock, NULL);
  p->settings = zm_config_ref (config->config);
  p->standard = g_strdup (zm_queue_standard_project (config->config));
  p->bindings = zm_bindings_read (config->config);
  p->any_bound = p->bindings->n > 0;
  add_metrics (queues);
  zm_queues_tend_init (queues);
  if (!zm_queues_read (queues, error)) {
    zm_queues_free (queues);
    return NULL;
  }
  plan_all (queues);
  submit_configure (queues, p->settings);
  zm_queues_tend (queues);
  return queues;
}

typedef struct Closing {
  ZmStoreUnit unit; /* first */
  ZmQueues *queues;
} Closing;

static void
end_waits (ZmStoreUnit *unit, const GError *error)
{
  Closing *closing = (Closing *) (void *) unit;
  GHashTableIter iter;
  gpointer value;

  (void) error;
  g_hash_table_iter_init (&iter, closing->queues->p->by_key);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    zm_latest_close (value);
  g_free (closing);
}

void
zm_queues_close (ZmQueues *queues)
{
  Closing *closing;

  if (__atomic_exchange_n (&queues->p->closed, TRUE, __ATOMIC_ACQ_REL))
    return;
  zm_queues_tend_end (queues);
  closing = g_new0 (Closing, 1);
  closing->queues = queues;
  closing->unit.done = end_waits;
  closing->unit.inside = TRUE;
  if (!zm_store_submit (queues->config.store, &closing->unit, NULL))
    g_free (closing);
}

static void
let_readers_go (struct ZmQueuesPrivate *p)
{
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, p->by_key);
  while (g_hash_table_iter_next (&iter, NULL, &value)) {
    ZmQueue *queue = value;

    g_clear_pointer (&queue->readers, g_ptr_array_unref);
  }
}

void
zm_queues_free (ZmQueues *queues)
{
  struct ZmQueuesPrivate *p;

  if (queues == NULL)
    return;
  p = queues->p;
  if (p->by_key != NULL)
    let_readers_go (p);
  g_clear_pointer (&p->by_name, g_tree_unref);
  g_clear_pointer (&p->by_number, g_hash_table_unref);
  g_clear_pointer (&p->by_key, g_hash_table_unref);
  zm_heap_clear (&p->agenda);
  zm_watches_clear (queues);
  zm_bindings_unref (p->bindings);
  zm_config_unref (p->settings);
  g_free (p->standard);
  zm_cache_free (queues->cache);
  if (p->own_metrics != NULL)
    zm_metrics_free (p->own_metrics);
  pthread_mutex_destroy (&p->lock);
  pthread_mutex_destroy (&p->watch_lock);
  g_free (p);
  g_free (queues);
}
