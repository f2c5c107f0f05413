/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Kept state of plugins. The copy in memory and what is submitted to the store change under one lock, so that both have the
 * same order.
 */
#include "config.h"

#include "runtime/kept.h"

#include "plugin/zm-event.h"
#include "runtime/documents.h"
#include "runtime/hosting-private.h"
#include "runtime/private.h"

#include <string.h>

#define SPACE "kept"

struct ZmKept {
  ZmRuntime *runtime;
  pthread_mutex_t lock; /* of what follows */
  GHashTable *plugins;  /* name -> GHashTable: name of a value -> GBytes; those that were read */
};

ZmKept *
zm_kept_new (struct ZmRuntime *runtime)
{
  ZmKept *kept = g_new0 (ZmKept, 1);

  kept->runtime = runtime;
  pthread_mutex_init (&kept->lock, NULL);
  kept->plugins =
      g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_hash_table_unref);
  return kept;
}

void
zm_kept_free (ZmKept *kept)
{
  if (kept == NULL)
    return;
  g_hash_table_unref (kept->plugins);
  pthread_mutex_destroy (&kept->lock);
  g_free (kept);
}

/* ---- reading ---- */

static GHashTable *
values_new (const GPtrArray *documents, gsize prefix)
{
  GHashTable *values =
      g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_bytes_unref);

  for (guint i = 0; i < documents->len; i++) {
    const ZmDocumentCopy *document = documents->pdata[i];
    gsize size;
    const char *key = g_bytes_get_data (document->key, &size);

    if (size > prefix)
      g_hash_table_replace (values, g_strndup (key + prefix, size - prefix), g_bytes_ref (document->value));
  }
  return values;
}

/* Under the lock, which is let go meanwhile: another thread may read it too, and values be kept then. */
static void
read_plugin (ZmKept *kept, const char *plugin)
{
  gsize prefix = strlen (plugin) + 1; /* with the NUL */
  g_autoptr (GPtrArray) documents = NULL;
  g_autoptr (GError) error = NULL;

  pthread_mutex_unlock (&kept->lock);
  documents = zm_documents_read (kept->runtime->store, SPACE, zm_span (plugin, prefix), &error);
  if (documents == NULL)
    zm_log_limited (kept->runtime->log, ZM_LEVEL_ERROR, "plugin", "kept",
                    "what plugin %s has kept cannot be read: %s", plugin, error->message);
  pthread_mutex_lock (&kept->lock);
  if (documents != NULL && !g_hash_table_contains (kept->plugins, plugin))
    g_hash_table_insert (kept->plugins, g_strdup (plugin), values_new (documents, prefix));
}

/* Under the lock. NULL: it cannot be read now. */
static GHashTable *
values_of (ZmKept *kept, const char *plugin)
{
  if (!g_hash_table_contains (kept->plugins, plugin))
    read_plugin (kept, plugin);
  return g_hash_table_lookup (kept->plugins, plugin);
}

void
zm_kept_load (ZmKept *kept, const char *const *names)
{
  if (kept->runtime->store == NULL)
    return;
  pthread_mutex_lock (&kept->lock);
  for (; *names != NULL; names++)
    values_of (kept, *names);
  pthread_mutex_unlock (&kept->lock);
}

int
zm_kept_get (ZmKept *kept, const char *plugin, const char *name, GBytes **value)
{
  GHashTable *values;

  *value = NULL;
  pthread_mutex_lock (&kept->lock);
  values = values_of (kept, plugin);
  if (values != NULL)
    *value = g_hash_table_lookup (values, name);
  if (*value != NULL)
    g_bytes_ref (*value);
  pthread_mutex_unlock (&kept->lock);
  if (*value != NULL)
    return ZM_OK;
  return values != NULL ? ZM_E_NOT_FOUND : ZM_E_FAILED;
}

int
zm_kept_copy (GBytes *value, void *buffer, gsize size)
{
  gsize length;
  const void *data = g_bytes_get_data (value, &length);

  if (MIN (length, size) > 0)
    memcpy (buffer, data, MIN (length, size));
  return (int) length;
}

/* ---- keeping ---- */

typedef struct Keep {
  ZmStoreUnit unit; /* first */
  ZmAsked *asked;
  GString *key;
  GBytes *value; /* NULL: forgotten */
} Keep;

static void
keep_free (Keep *keep)
{
  g_string_free (keep->key, TRUE);
  g_clear_pointer (&keep->value, g_bytes_unref);
  g_free (keep);
}

static void
prepare (ZmStoreUnit *unit, ZmStoreWriter *writer)
{
  const Keep *keep = (const Keep *) unit;
  gsize size = 0;
  const char *data = keep->value != NULL ? g_bytes_get_data (keep->value, &size) : NULL;
  const zm_store_op op = { .kind = keep->value != NULL ? ZM_STORE_PUT : ZM_STORE_DELETE,
                           .space = { SPACE, strlen (SPACE) },
                           .key = { keep->key->str, keep->key->len },
                           .data = { data, size } };

  zm_store_add (writer, &op);
}

/* The copy in memory stays as it is where the store failed: the plugin was told, and may keep it again. */
static void
written (ZmStoreUnit *unit, const GError *error)
{
  Keep *keep = (Keep *) unit;

  zm_asked_over (keep->asked, zm_asked_status (keep->asked, error));
  keep_free (keep);
}

static Keep *
keep_new (const char *plugin, const char *name, GBytes *value, ZmAsked *asked)
{
  Keep *keep = g_new0 (Keep, 1);

  keep->key = g_string_new (plugin);
  g_string_append_c (keep->key, '\0');
  g_string_append (keep->key, name);
  keep->value = value != NULL ? g_bytes_ref (value) : NULL;
  keep->asked = asked;
  keep->unit.prepare = prepare;
  keep->unit.done = written;
  keep->unit.size = keep->key->len + (value != NULL ? g_bytes_get_size (value) : 0);
  keep->unit.adds = value != NULL;
  return keep;
}

/* Under the lock: what is refused changes nothing in memory either. */
static void
set (ZmKept *kept, GHashTable *values, const char *plugin, const char *name, GBytes *value, ZmAsked *asked)
{
  Keep *keep = keep_new (plugin, name, value, asked);
  g_autoptr (GError) error = NULL;

  if (!zm_store_submit (kept->runtime->store, &keep->unit, &error)) {
    zm_asked_over (asked, zm_asked_status (asked, error));
    keep_free (keep);
  } else if (value != NULL) {
    g_hash_table_replace (values, g_strdup (name), g_bytes_ref (value));
  } else {
    g_hash_table_remove (values, name);
  }
}

int
zm_kept_set (ZmKept *kept, ZmGeneration *generation, const char *name, const void *data, gsize size,
             zm_done_fn done, void *user)
{
  const char *plugin = zm_generation_plugin (generation);
  g_autoptr (GBytes) value = data != NULL ? g_bytes_new (data, size) : NULL;
  ZmAsked *asked = zm_asked_new (generation, done, user);
  GHashTable *values;
  int refused = ZM_OK;

  if (asked == NULL)
    return ZM_E_AGAIN;
  pthread_mutex_lock (&kept->lock);
  values = values_of (kept, plugin);
  if (values == NULL)
    refused = ZM_E_FAILED;
  else if (value != NULL && g_hash_table_size (values) >= ZM_KEPT_NAMES_MOST &&
           !g_hash_table_contains (values, name))
    refused = ZM_E_MEMORY;
  if (refused == ZM_OK)
    set (kept, values, plugin, name, value, asked);
  else
    zm_asked_over (asked, refused);
  pthread_mutex_unlock (&kept->lock);
  return zm_asked_returns (asked);
}
