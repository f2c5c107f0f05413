/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* States of durable messages in their flows. What is in memory and what is submitted to the store change under one lock. */
#include "config.h"

#include "runtime/documents.h"
#include "runtime/private.h"

#include <string.h>

#define STATES      "flow"
#define DEFINITIONS "flowdef"

struct ZmFlowStates {
  ZmRuntime *runtime;
  char *(*key) (gconstpointer durable);
  ZmCounter *unsaved;
  pthread_mutex_t lock;
  GHashTable *states;      /* key -> GBytes */
  GHashTable *definitions; /* hash -> text */
};

/* ---- writing ---- */

/* One document that is put; value NULL: that is removed. */
typedef struct Write {
  ZmStoreUnit unit; /* first */
  ZmFlowStates *states;
  const char *space;
  char *key;
  GBytes *value;
  ZmCheckpointDone done;
  gpointer done_user;
} Write;

static void
prepare (ZmStoreUnit *unit, ZmStoreWriter *writer)
{
  const Write *write = (const Write *) unit;
  gsize size = 0;
  const char *data = write->value != NULL ? g_bytes_get_data (write->value, &size) : NULL;
  const zm_store_op op = { .kind = write->value != NULL ? ZM_STORE_PUT : ZM_STORE_DELETE,
                           .space = { write->space, strlen (write->space) },
                           .key = { write->key, strlen (write->key) },
                           .data = { data, size } };

  zm_store_add (writer, &op);
}

/* Where nobody waits for it, the message begins at an earlier step should the daemon die now; its steps are at least once anyway. */
static void
written (ZmStoreUnit *unit, const GError *error)
{
  Write *write = (Write *) unit;

  if (error != NULL && write->done == NULL) {
    zm_counter_add (write->states->unsaved, 1);
    zm_log_limited (write->states->runtime->log, ZM_LEVEL_WARNING, "runtime", "flow-state",
                    "how far a durable message has come in its flow was not stored: %s", error->message);
  }
  if (write->done != NULL)
    write->done (error, write->done_user);
  g_free (write->key);
  g_clear_pointer (&write->value, g_bytes_unref);
  g_free (write);
}

/* Under the lock. Takes key and value. A store that has failed refuses it at once. */
static void
submit (ZmFlowStates *states, const char *space, char *key, GBytes *value, ZmCheckpointDone done,
        gpointer done_user)
{
  Write *write = g_new0 (Write, 1);
  g_autoptr (GError) error = NULL;

  write->states = states;
  write->space = space;
  write->key = key;
  write->value = value;
  write->done = done;
  write->done_user = done_user;
  write->unit.prepare = prepare;
  write->unit.done = written;
  write->unit.size = strlen (key) + (value != NULL ? g_bytes_get_size (value) : 0);
  write->unit.adds = value != NULL;
  write->unit.inside = TRUE;
  if (!zm_store_submit (states->runtime->store, &write->unit, &error))
    written (&write->unit, error);
}

/* ---- the door ---- */

static void
save (gpointer durable, GBytes *state, ZmCheckpointDone done, gpointer done_user, gpointer user)
{
  ZmFlowStates *states = ((ZmRuntime *) user)->flow_states;
  char *key = states->key (durable);

  pthread_mutex_lock (&states->lock);
  g_hash_table_replace (states->states, g_strdup (key), g_bytes_ref (state));
  submit (states, STATES, key, state, done, done_user);
  pthread_mutex_unlock (&states->lock);
}

static GBytes *
load (gpointer durable, gpointer user)
{
  ZmFlowStates *states = ((ZmRuntime *) user)->flow_states;
  g_autofree char *key = NULL;
  GBytes *state;

  if (states == NULL)
    return NULL;
  key = states->key (durable);
  pthread_mutex_lock (&states->lock);
  state = g_hash_table_lookup (states->states, key);
  if (state != NULL)
    g_bytes_ref (state);
  pthread_mutex_unlock (&states->lock);
  return state;
}

static void
define (const char *hash, const char *text, gpointer user)
{
  ZmFlowStates *states = ((ZmRuntime *) user)->flow_states;

  pthread_mutex_lock (&states->lock);
  if (g_hash_table_replace (states->definitions, g_strdup (hash), g_strdup (text)))
    submit (states, DEFINITIONS, g_strdup (hash), g_bytes_new (text, strlen (text)), NULL, NULL);
  pthread_mutex_unlock (&states->lock);
}

static char *
definition (const char *hash, gpointer user)
{
  ZmFlowStates *states = ((ZmRuntime *) user)->flow_states;
  char *text;

  pthread_mutex_lock (&states->lock);
  text = g_strdup (g_hash_table_lookup (states->definitions, hash));
  pthread_mutex_unlock (&states->lock);
  return text;
}

void
zm_flow_states_door (ZmRuntime *runtime)
{
  runtime->checkpoints = (ZmCheckpoints){
    .save = save, .load = load, .define = define, .definition = definition, .user = runtime
  };
}

/* ---- the start ---- */

static char *
text_of (GBytes *bytes)
{
  gsize size;
  const char *data = g_bytes_get_data (bytes, &size);

  return g_strndup (data, size);
}

static void
need (const char *hash, gpointer user)
{
  g_hash_table_add (user, g_strdup (hash));
}

/* FALSE: error. needed: hashes of definitions. */
static gboolean
read_states (ZmFlowStates *states, GHashTable *needed, GError **error)
{
  g_autoptr (GPtrArray) documents =
      zm_documents_read (states->runtime->store, STATES, zm_span (NULL, 0), error);

  for (guint i = 0; documents != NULL && i < documents->len; i++) {
    const ZmDocumentCopy *document = documents->pdata[i];
    gsize size;
    const char *data = g_bytes_get_data (document->value, &size);

    zm_checkpoint_flows (zm_span (data, size), need, needed);
    g_hash_table_replace (states->states, text_of (document->key), g_bytes_ref (document->value));
  }
  return documents != NULL;
}

static gboolean
read_definitions (ZmFlowStates *states, GHashTable *needed, GError **error)
{
  g_autoptr (GPtrArray) documents =
      zm_documents_read (states->runtime->store, DEFINITIONS, zm_span (NULL, 0), error);

  for (guint i = 0; documents != NULL && i < documents->len; i++) {
    const ZmDocumentCopy *document = documents->pdata[i];
    char *hash = text_of (document->key);

    if (g_hash_table_contains (needed, hash))
      g_hash_table_replace (states->definitions, hash, text_of (document->value));
    else
      submit (states, DEFINITIONS, hash, NULL, NULL, NULL);
  }
  return documents != NULL;
}

gboolean
zm_flow_states_open (ZmRuntime *runtime, char *(*key) (gconstpointer durable), GError **error)
{
  ZmFlowStates *states = g_new0 (ZmFlowStates, 1);
  g_autoptr (GHashTable) needed = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);

  states->runtime = runtime;
  states->key = key;
  states->unsaved = zm_metrics_counter (runtime->metrics, "zmanager_flow_states_unsaved_total",
                                        "Steps of durable messages that could not be stored", NULL, NULL);
  pthread_mutex_init (&states->lock, NULL);
  states->states = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_bytes_unref);
  states->definitions = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  runtime->flow_states = states;
  return read_states (states, needed, error) && read_definitions (states, needed, error);
}

/* ---- the end ---- */

void
zm_flow_states_ending (ZmRuntime *runtime, const char *key, ZmStoreWriter *writer)
{
  ZmFlowStates *states = runtime->flow_states;
  zm_store_op op = { .kind = ZM_STORE_DELETE, .space = { STATES, sizeof STATES - 1 } };
  gsize size = strlen (key);
  gboolean there = FALSE;
  char *copy;

  if (states != NULL) {
    pthread_mutex_lock (&states->lock);
    there = g_hash_table_contains (states->states, key);
    pthread_mutex_unlock (&states->lock);
  }
  if (!there)
    return;
  copy = zm_store_alloc (writer, size);
  memcpy (copy, key, size);
  op.key = (zm_str){ copy, size };
  zm_store_add (writer, &op);
}

void
zm_flow_states_ended (ZmRuntime *runtime, const char *key)
{
  ZmFlowStates *states = runtime->flow_states;

  if (states == NULL)
    return;
  pthread_mutex_lock (&states->lock);
  g_hash_table_remove (states->states, key);
  pthread_mutex_unlock (&states->lock);
}

void
zm_flow_states_free (ZmRuntime *runtime)
{
  ZmFlowStates *states = g_steal_pointer (&runtime->flow_states);

  if (states == NULL)
    return;
  g_hash_table_unref (states->states);
  g_hash_table_unref (states->definitions);
  pthread_mutex_destroy (&states->lock);
  g_free (states);
}
