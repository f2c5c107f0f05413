/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * HELLO: a service says who it is and which keys it wants; the answer is what to subscribe for that. Topics begin with a
 * flow's name, so only the table can say which prefixes a key pattern means; after a reload they are asked for again.
 */
#include "config.h"

#include "subject/services.h"

#include <json-glib/json-glib.h>
#include <string.h>

#define HEARTBEAT_STANDARD_MS 10000
#define HEARTBEAT_MOST_MS     (24 * 60 * 60 * 1000)
#define NONCE_MOST            128

void
zm_service_append_list (GString *json, char *const *list)
{
  g_string_append_c (json, '[');
  for (guint i = 0; list != NULL && list[i] != NULL; i++) {
    if (i > 0)
      g_string_append_c (json, ',');
    zm_json_append_string (json, zm_span_text (list[i]));
  }
  g_string_append_c (json, ']');
}

/* ---- prefixes ---- */

static gint
compare_texts (gconstpointer a, gconstpointer b)
{
  return strcmp (*(char *const *) a, *(char *const *) b);
}

/* Sorted, so that a change is one comparison of two lists; each once, as several patterns may mean the same topic. */
static char **
sorted (GPtrArray *all)
{
  g_autoptr (GPtrArray) unique = g_ptr_array_new ();
  g_ptr_array_sort (all, compare_texts);
  for (guint i = 0; i < all->len; i++) {
    char *text = g_ptr_array_index (all, i);
    if (unique->len > 0 && strcmp (g_ptr_array_index (unique, unique->len - 1), text) == 0)
      g_free (text);
    else
      g_ptr_array_add (unique, text);
  }
  g_ptr_array_set_size (all, 0);
  g_ptr_array_add (unique, NULL);
  return (char **) g_ptr_array_free (g_steal_pointer (&unique), FALSE);
}

/* The prefixes of one pattern in this table. Without a table the pattern is checked all the same: a service must hear
 * of its mistake at HELLO and not after a reload. */
static gboolean
add_pattern (const ZmTable *table, const char *pattern, GPtrArray *all, GError **error)
{
  ZmKey key;
  if (!zm_key_parse (zm_span_text (pattern), &key, NULL, error)) {
    g_autofree char *shown = zm_printable (zm_span_text (pattern), 100);
    g_prefix_error (error, "pattern \"%s\": ", shown);
    return FALSE;
  }
  if (table == NULL)
    return TRUE;
  char **prefixes = zm_table_prefixes (table, &key);
  for (guint i = 0; prefixes != NULL && prefixes[i] != NULL; i++)
    g_ptr_array_add (all, prefixes[i]);
  g_free (prefixes);
  return TRUE;
}

/* Under the mutex. The table is held for the look-up only, so an old one can go while services stay. */
char **
zm_service_prefixes (ZmServices *services, const ZmService *service, GError **error)
{
  g_autoptr (ZmTable) table = services->tables != NULL ? zm_table_slot_get (services->tables) : NULL;
  GPtrArray *all = g_ptr_array_new ();
  gboolean good = TRUE;
  for (guint i = 0; good && service->patterns[i] != NULL; i++)
    good = add_pattern (table, service->patterns[i], all, error);
  for (guint i = 0; service->topics[i] != NULL; i++)
    g_ptr_array_add (all, g_strdup (service->topics[i]));
  char **prefixes = sorted (all);
  g_ptr_array_unref (all);
  if (good && g_strv_length (prefixes) > ZM_SERVICE_PREFIXES_MOST) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_LIMIT, "the patterns match more than %d topics; ask for less",
                 ZM_SERVICE_PREFIXES_MOST);
    good = FALSE;
  }
  if (good)
    return prefixes;
  g_strfreev (prefixes);
  return NULL;
}

/* Under the mutex. TRUE tells who called that the service has to hear of it. */
gboolean
zm_service_set_prefixes (ZmServices *services, ZmService *service, char **prefixes)
{
  char **old = service->prefixes;
  gboolean changed = old == NULL || prefixes == NULL ||
                     !g_strv_equal ((const char *const *) old, (const char *const *) prefixes);
  service->prefixes = prefixes;
  /* On before off, so that a prefix that stays is numbered without a break. */
  for (guint i = 0; prefixes != NULL && prefixes[i] != NULL; i++)
    zm_integration_number_topic (services->integration, prefixes[i], TRUE);
  for (guint i = 0; old != NULL && old[i] != NULL; i++)
    zm_integration_number_topic (services->integration, old[i], FALSE);
  g_strfreev (old);
  return changed;
}

/* In the Subject's thread, after a reload. The list is made anew for every service, as flows and mappings decide which
 * topics a key has; only those whose list differs are told. A service that can be told nothing sensible keeps what it
 * had. */
void
zm_services_refresh (ZmServices *services)
{
  GHashTableIter iter;
  gpointer value;
  g_autoptr (GPtrArray) messages = g_ptr_array_new ();
  pthread_mutex_lock (&services->mutex);
  g_hash_table_iter_init (&iter, services->by_name);
  while (g_hash_table_iter_next (&iter, NULL, &value)) {
    ZmService *service = value;
    g_autoptr (GError) error = NULL;
    char **prefixes = zm_service_prefixes (services, service, &error);
    if (prefixes == NULL) {
      zm_log_write (services->log, ZM_LEVEL_WARNING, "subject", "service %s: %s; it keeps its topics",
                    service->name, error->message);
    } else if (zm_service_set_prefixes (services, service, prefixes)) {
      g_autoptr (GString) json = g_string_new ("{\"prefixes\":");
      zm_service_append_list (json, prefixes);
      g_string_append_c (json, '}');
      g_ptr_array_add (messages, zm_service_message (services, service->name, "changed_topics", json->str));
    }
  }
  pthread_mutex_unlock (&services->mutex);
  /* Without the lock: publishing may wait for room. */
  if (messages->len > 0)
    zm_integration_publish (services->integration, (ZmMessage **) messages->pdata, messages->len);
}

/* ---- reading HELLO ---- */

/* A string member, borrowed; "" where it is absent, NULL where it is no string. */
static const char *
member_text (JsonObject *object, const char *name)
{
  JsonNode *node = json_object_get_member (object, name);
  if (node == NULL)
    return "";
  if (!JSON_NODE_HOLDS_VALUE (node) || json_node_get_value_type (node) != G_TYPE_STRING)
    return NULL;
  return json_node_get_string (node);
}

/* A member that is a list of short strings; empty where it is absent. what: its items, for the error. NULL: it is wrong. */
static char **
read_list (JsonObject *object, const char *name, const char *what, GError **error)
{
  JsonNode *node = json_object_get_member (object, name);
  g_autoptr (GPtrArray) texts = g_ptr_array_new ();
  if (node != NULL && !JSON_NODE_HOLDS_ARRAY (node)) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID, "%s: not an array of %s", name, what);
    return NULL;
  }
  JsonArray *array = node != NULL ? json_node_get_array (node) : NULL;
  guint n = array != NULL ? json_array_get_length (array) : 0;
  if (n > ZM_PATTERNS_MOST) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_LIMIT, "%s: %u of them; at most %d", name, n, ZM_PATTERNS_MOST);
    return NULL;
  }
  for (guint i = 0; i < n; i++) {
    JsonNode *item = json_array_get_element (array, i);
    if (!JSON_NODE_HOLDS_VALUE (item) || json_node_get_value_type (item) != G_TYPE_STRING ||
        strlen (json_node_get_string (item)) > ZM_KEY_MOST) {
      g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID, "%s: item %u is no string of at most %d bytes", name,
                   i + 1, ZM_KEY_MOST);
      return NULL;
    }
    g_ptr_array_add (texts, (gpointer) json_node_get_string (item));
  }
  g_ptr_array_add (texts, NULL);
  return g_strdupv ((char **) texts->pdata);
}

/* A number and nothing else: a string that looks like one is a mistake that would otherwise show as a service that is
 * UNKNOWN. */
static gboolean
read_heartbeat (JsonObject *object, gint64 *us, GError **error)
{
  JsonNode *node = json_object_get_member (object, "heartbeat_ms");
  gint64 ms = HEARTBEAT_STANDARD_MS;
  if (node != NULL) {
    gboolean number = JSON_NODE_HOLDS_VALUE (node) && json_node_get_value_type (node) == G_TYPE_INT64;
    ms = number ? json_node_get_int (node) : -1;
  }
  if (ms < 0 || ms > HEARTBEAT_MOST_MS) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID, "heartbeat_ms: not a number from 0 (none) to %d",
                 HEARTBEAT_MOST_MS);
    return FALSE;
  }
  *us = ms * 1000;
  return TRUE;
}

static gboolean
read_transient (JsonObject *object, gboolean *transient, GError **error)
{
  JsonNode *node = json_object_get_member (object, "transient");
  gboolean good =
      node == NULL || (JSON_NODE_HOLDS_VALUE (node) && json_node_get_value_type (node) == G_TYPE_BOOLEAN);
  *transient = good && node != NULL && json_node_get_boolean (node);
  if (!good)
    g_set_error_literal (error, ZM_ERROR, ZM_ERROR_INVALID, "transient: not true or false");
  return good;
}

/* It becomes part of a subscription, so its length is bounded; what it holds is the service's affair. */
static char *
read_nonce (JsonObject *object, GError **error)
{
  const char *nonce = member_text (object, "nonce");
  if (nonce != NULL && strlen (nonce) <= NONCE_MOST)
    return g_strdup (nonce);
  g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID, "nonce: not a string of at most %d bytes", NONCE_MOST);
  return NULL;
}

/* Whoever can connect can send this: depth is bounded by zm_json_valid before json-glib, which recurses, sees it. */
static JsonObject *
read_object (JsonParser *parser, ZmSpan json, GError **error)
{
  g_autoptr (GError) why = NULL;
  /* zm_json_valid bounds the depth, which json-glib does not. */
  if (json.size > 0 && zm_json_valid (json) &&
      json_parser_load_from_data (parser, json.data, (gssize) json.size, &why) &&
      JSON_NODE_HOLDS_OBJECT (json_parser_get_root (parser)))
    return json_node_get_object (json_parser_get_root (parser));
  g_set_error_literal (error, ZM_ERROR, ZM_ERROR_INVALID, "not a JSON object");
  return NULL;
}

/* Checks everything before anything is changed: a HELLO is taken as a whole or refused as a whole. */
static ZmService *
read_service (JsonObject *object, GError **error)
{
  const char *name = member_text (object, "name"), *version = member_text (object, "version");
  gint64 heartbeat_us = 0;
  gboolean transient = FALSE;
  if (name == NULL || *name == '\0') {
    g_set_error_literal (error, ZM_ERROR, ZM_ERROR_INVALID, "name: missing, or no string");
    return NULL;
  }
  if (!zm_name_check (zm_span_text (name), NULL, error)) {
    g_prefix_error (error, "name: ");
    return NULL;
  }
  if (*name == '^') {
    g_set_error_literal (error, ZM_ERROR, ZM_ERROR_INVALID,
                         "name: names that begin with ^ belong to the runtime");
    return NULL;
  }
  if (version == NULL || strlen (version) > ZM_PART_MOST) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID, "version: not a string of at most %d bytes",
                 ZM_PART_MOST);
    return NULL;
  }
  if (!read_heartbeat (object, &heartbeat_us, error) || !read_transient (object, &transient, error))
    return NULL;
  g_auto (GStrv) patterns = read_list (object, "patterns", "key patterns", error);
  g_auto (GStrv) topics = patterns != NULL ? read_list (object, "topics", "prefixes of topics", error) : NULL;
  if (topics == NULL)
    return NULL;
  ZmService *service = g_new0 (ZmService, 1);
  service->name = g_strdup (name);
  service->version = g_strdup (version);
  service->patterns = g_steal_pointer (&patterns);
  service->topics = g_steal_pointer (&topics);
  service->heartbeat_us = heartbeat_us;
  service->transient = transient;
  service->received = service->errors = service->busy_ms = -1;
  return service;
}

/* When the registry is full, who was silent longest makes room. */
static gboolean
make_room (ZmServices *services, const char *name, GError **error)
{
  GHashTableIter iter;
  gpointer value;
  ZmService *oldest = NULL;
  if (g_hash_table_size (services->by_name) < ZM_SERVICES_MOST ||
      g_hash_table_contains (services->by_name, name))
    return TRUE;
  g_hash_table_iter_init (&iter, services->by_name);
  while (g_hash_table_iter_next (&iter, NULL, &value)) {
    ZmService *service = value;
    if (service->state >= ZM_SERVICE_STOPPED &&
        (oldest == NULL || service->last_seen_us < oldest->last_seen_us))
      oldest = service;
  }
  if (oldest == NULL) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_LIMIT, "%d services are registered and alive; no more",
                 ZM_SERVICES_MOST);
    return FALSE;
  }
  zm_service_leave (services, oldest);
  g_hash_table_remove (services->by_name, oldest->name);
  return TRUE;
}

/* Registers, or takes the place of what had that name: a service that was started again greets under its old name. The
 * new prefixes are numbered before the old ones are let go, so that numbers of topics in both go on. Under the mutex. */
static char *
enter (ZmServices *services, ZmService *service, GError **error)
{
  char **prefixes = zm_service_prefixes (services, service, error);
  if (prefixes == NULL)
    return NULL;
  if (!make_room (services, service->name, error)) {
    g_strfreev (prefixes);
    return NULL;
  }
  ZmService *old = g_hash_table_lookup (services->by_name, service->name);
  zm_service_set_prefixes (services, service, prefixes);
  if (old != NULL)
    zm_service_set_prefixes (services, old, NULL);
  else
    zm_log_write (services->log, service->transient ? ZM_LEVEL_DEBUG : ZM_LEVEL_INFO, "subject",
                  "service %s registered", service->name);
  g_hash_table_replace (services->by_name, service->name, service);
  zm_counter_set (services->count, g_hash_table_size (services->by_name));
  g_autoptr (GString) json = g_string_new ("{\"prefixes\":");
  zm_service_append_list (json, prefixes);
  g_string_append (json, ",\"command_prefix\":");
  g_autofree char *command = g_strdup_printf ("command_%s~", service->name);
  zm_json_append_string (json, zm_span_text (command));
  g_string_append_c (json, '}');
  return g_string_free (g_steal_pointer (&json), FALSE);
}

/* In the Subject's thread. Reading needs no lock; only the entering does. */
char *
zm_services_hello (ZmServices *services, ZmSpan json, gint64 now_us, char **nonce, GError **error)
{
  g_autoptr (JsonParser) parser = json_parser_new ();
  char *answer = NULL;
  JsonObject *object = read_object (parser, json, error);
  ZmService *service = object != NULL ? read_service (object, error) : NULL;
  if (service != NULL && (*nonce = read_nonce (object, error)) != NULL) {
    service->last_seen_us = now_us;
    pthread_mutex_lock (&services->mutex);
    answer = enter (services, service, error);
    pthread_mutex_unlock (&services->mutex);
  }
  if (answer == NULL) {
    zm_service_free (service);
    g_prefix_error (error, "HELLO: ");
  }
  return answer;
}
