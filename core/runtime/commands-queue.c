/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Commands about queues. Each starts an operation of the queue room and is answered when that is durable; the answer is made in the
 * room's thread, and goes to the client from the runtime's.
 */
#include "config.h"

#include "runtime/query.h"

#include <json-glib/json-glib.h>
#include <string.h>

/* {"text", "n"} */
static void
done_text (const ZmQueueAnswer *result, const GError *error, gpointer user)
{
  ZmQuery *query = user;
  GString *out = g_string_new ("{");

  if (error == NULL) {
    g_autofree char *text = g_strdup_printf ("%s: %s%u message%s", query->name, query->text, result->n,
                                             zm_runtime_plural (result->n));
    zm_reply_member_text (out, "text", text);
    zm_reply_member_integer (out, "n", result->n);
  }
  zm_query_answer (query, out, error);
}

/* ---- the whole queue ---- */

static void
add_stats (GString *out, const ZmQueueStats *stats)
{
  const struct {
    const char *name;
    guint64 value;
  } rows[] = { { "messages", stats->total },       { "free", stats->free },
               { "claimed", stats->claimed },      { "delayed", stats->delayed },
               { "bytes", stats->bytes },          { "put", stats->put },
               { "taken", stats->taken },          { "expired", stats->expired },
               { "dropped", stats->dropped },      { "dead", stats->dead },
               { "duplicates", stats->duplicates } };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    zm_reply_member_integer (out, rows[i].name, (gint64) rows[i].value);
  zm_reply_member_text (out, "kind", stats->kind == ZM_QUEUE_LATEST ? "latest" : "fifo");
  if (!stats->has_oldest)
    return;
  zm_reply_member_text (out, "oldest", stats->oldest.id);
  zm_reply_member_integer (out, "oldest_age",
                           MAX (0, zm_wall_us () - stats->oldest.created_us) / G_USEC_PER_SEC);
  zm_reply_member_text (out, "newest", stats->newest.id);
}

/* Figures first, then the metadata, which tells whether the queue is there at all. */
typedef struct Shown {
  ZmQuery *query;
  GString *out;
} Shown;

static void
done_metadata (const ZmQueueAnswer *result, const GError *error, gpointer user)
{
  g_autofree Shown *shown = user;
  g_autoptr (GError) missing = NULL;

  if (error == NULL && !result->created)
    g_set_error (&missing, ZM_ERROR, ZM_ERROR_NOT_FOUND, "there is no queue \"%s\"; see zmanagerctl queue ls",
                 shown->query->name);
  else if (error == NULL)
    zm_reply_member_json (shown->out, "metadata", result->metadata);
  g_string_append_c (shown->out, '}');
  zm_query_answer (shown->query, shown->out, error != NULL ? error : missing);
}

static void
done_stats (const ZmQueueAnswer *result, const GError *error, gpointer user)
{
  ZmQuery *query = user;
  GString *out = g_string_new ("{\"queue\":{");
  Shown *shown;

  if (error != NULL) {
    zm_query_answer (query, out, error);
    return;
  }
  zm_reply_member_text (out, "name", query->name);
  zm_reply_member_text (out, "project", query->project);
  add_stats (out, &result->stats);
  shown = g_new0 (Shown, 1);
  shown->query = query;
  shown->out = out;
  zm_queue_get_metadata (query->runtime->queues, zm_query_queue (query), done_metadata, shown);
}

gboolean
zm_command_queue (ZmCommandCall *call, GError **error)
{
  ZmQuery *query = zm_query_new (call, error);

  if (query != NULL)
    zm_queue_stats (call->runtime->queues, zm_query_queue (query), done_stats, query);
  return query != NULL;
}

static void
done_create (const ZmQueueAnswer *result, const GError *error, gpointer user)
{
  ZmQuery *query = user;
  GString *out = g_string_new ("{");

  if (error == NULL) {
    g_autofree char *text =
        g_strdup_printf ("%s: %s", query->name, result->created ? "made" : "is there already, as it was");
    zm_reply_member_text (out, "text", text);
    zm_reply_member_boolean (out, "created", result->created);
  }
  zm_query_answer (query, out, error);
}

gboolean
zm_command_queue_create (ZmCommandCall *call, GError **error)
{
  ZmSpan metadata = { NULL, 0 };
  ZmQuery *query;

  if (zm_json_member (call->request, "metadata", &metadata) && metadata.data[0] != '{') {
    g_set_error_literal (error, ZM_ERROR, ZM_ERROR_INVALID, "\"metadata\" must be an object");
    return FALSE;
  }
  query = zm_query_new (call, error);
  if (query != NULL)
    zm_queue_create (call->runtime->queues, zm_query_queue (query), metadata, done_create, query);
  return query != NULL;
}

static gboolean
ask_text (ZmCommandCall *call, const char *text, ZmQuery **query, GError **error)
{
  *query = zm_query_new (call, error);
  if (*query != NULL)
    (*query)->text = g_strdup (text);
  return *query != NULL;
}

gboolean
zm_command_queue_rm (ZmCommandCall *call, GError **error)
{
  ZmQuery *query;

  if (!ask_text (call, "removed, with ", &query, error))
    return FALSE;
  zm_queue_remove (call->runtime->queues, zm_query_queue (query), done_text, query);
  return TRUE;
}

gboolean
zm_command_queue_purge (ZmCommandCall *call, GError **error)
{
  ZmQuery *query;

  if (!ask_text (call, "removed ", &query, error))
    return FALSE;
  zm_queue_purge (call->runtime->queues, zm_query_queue (query), done_text, query);
  return TRUE;
}

/* ---- put ---- */

static void
done_put (const ZmQueueAnswer *result, const GError *error, gpointer user)
{
  ZmQuery *query = user;
  GString *out = g_string_new ("{");

  if (error == NULL) {
    if (query->single && result->n_ids > 0)
      zm_reply_member_text (out, "id", result->ids[0]);
    zm_reply_member_boolean (out, "duplicate", result->duplicate);
    zm_reply_member_integer (out, "duplicates", result->n);
    zm_reply_member_list (out, "ids", result->ids, (gssize) result->n_ids);
  }
  zm_query_answer (query, out, error);
}

static const char *
member_text (JsonObject *object, const char *name)
{
  JsonNode *node = json_object_get_member (object, name);

  return node != NULL && JSON_NODE_HOLDS_VALUE (node) && json_node_get_value_type (node) == G_TYPE_STRING
             ? json_node_get_string (node)
             : NULL;
}

/* The parts of one message; what they point into is kept in `keep`. FALSE: error names the member. */
static gboolean
read_put (JsonObject *object, ZmPut *put, GPtrArray *keep, GError **error)
{
  const char *body = member_text (object, "body"), *encoded = member_text (object, "base64");
  JsonNode *headers = json_object_get_member (object, "headers");
  gsize size = 0;

  memset (put, 0, sizeof *put);
  if (body == NULL && encoded == NULL) {
    g_set_error_literal (error, ZM_ERROR, ZM_ERROR_INVALID,
                         "\"body\" is missing: give it, or \"base64\", as a string");
    return FALSE;
  }
  if (encoded != NULL) {
    guchar *bytes = g_base64_decode (encoded, &size);

    g_ptr_array_add (keep, bytes);
    put->body = zm_span ((const char *) bytes, size);
  } else {
    put->body = zm_span_text (body);
  }
  if (headers != NULL && JSON_NODE_HOLDS_OBJECT (headers) &&
      json_object_get_size (json_node_get_object (headers)) > 0) {
    char *text = json_to_string (headers, FALSE);

    g_ptr_array_add (keep, text);
    put->headers = zm_span_text (text);
  }
  put->key = zm_span_text (member_text (object, "key"));
  put->topic = zm_span_text (member_text (object, "topic"));
  put->id = zm_span_text (member_text (object, "id"));
  if (json_object_has_member (object, "ttl") &&
      json_object_get_int_member_with_default (object, "ttl", 0) < 1) {
    g_set_error_literal (error, ZM_ERROR, ZM_ERROR_INVALID, "\"ttl\" must be 1 second or more");
    return FALSE;
  }
  put->ttl_s = json_object_get_int_member_with_default (object, "ttl", -1);
  put->delay_s = json_object_get_int_member_with_default (object, "delay", -1);
  return TRUE;
}

static gboolean
read_how (JsonObject *request, ZmPutHow *how, GError **error)
{
  const char *text = member_text (request, "how");

  *how = ZM_PUT_ALWAYS_;
  if (text == NULL || strcmp (text, "always") == 0)
    return TRUE;
  *how = strcmp (text, "replace") == 0 ? ZM_PUT_REPLACE_ : ZM_PUT_IF_EMPTY_;
  if (*how == ZM_PUT_REPLACE_ || strcmp (text, "if-empty") == 0)
    return TRUE;
  g_set_error_literal (error, ZM_ERROR, ZM_ERROR_INVALID,
                       "\"how\" must be \"always\", \"if-empty\" or \"replace\"");
  return FALSE;
}

/* One message is the request itself; several stand in its "messages". */
static gboolean
read_puts (JsonObject *request, GArray *puts, GPtrArray *keep, GError **error)
{
  JsonNode *node = json_object_get_member (request, "messages");
  JsonArray *list = node != NULL && JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node) : NULL;
  guint n = list != NULL ? json_array_get_length (list) : 1;
  ZmPut put;

  if (n == 0 || n > ZM_QUERY_COUNT_MOST) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID, "\"messages\" must have 1 to %d messages",
                 ZM_QUERY_COUNT_MOST);
    return FALSE;
  }
  for (guint i = 0; i < n; i++) {
    JsonNode *one = list != NULL ? json_array_get_element (list, i) : NULL;
    JsonObject *object = one == NULL                    ? request
                         : JSON_NODE_HOLDS_OBJECT (one) ? json_node_get_object (one)
                                                        : NULL;

    if (object == NULL) {
      g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID, "\"messages\"[%u] must be an object", i);
      return FALSE;
    }
    if (!read_put (object, &put, keep, error)) {
      if (list != NULL)
        g_prefix_error (error, "\"messages\"[%u]: ", i);
      return FALSE;
    }
    g_array_append_val (puts, put);
  }
  return TRUE;
}

gboolean
zm_command_queue_put (ZmCommandCall *call, GError **error)
{
  g_autoptr (JsonParser) parser = json_parser_new_immutable ();
  g_autoptr (GArray) puts = g_array_new (FALSE, FALSE, sizeof (ZmPut));
  g_autoptr (GPtrArray) keep = g_ptr_array_new_with_free_func (g_free);
  JsonObject *request;
  ZmPutHow how;
  ZmQuery *query;

  if (!json_parser_load_from_data (parser, call->request.data, (gssize) call->request.size, error))
    return FALSE;
  request = json_node_get_object (json_parser_get_root (parser));
  if (!read_how (request, &how, error) || !read_puts (request, puts, keep, error))
    return FALSE;
  if (how != ZM_PUT_ALWAYS_ && puts->len != 1) {
    g_set_error_literal (error, ZM_ERROR, ZM_ERROR_INVALID, "\"how\" is for one message");
    return FALSE;
  }
  query = zm_query_new (call, error);
  if (query == NULL)
    return FALSE;
  query->single = puts->len == 1;
  if (how == ZM_PUT_ALWAYS_)
    zm_queue_put (call->runtime->queues, zm_query_queue (query), (ZmPut *) (void *) puts->data, puts->len,
                  done_put, query);
  else
    zm_queue_put_how (call->runtime->queues, zm_query_queue (query), (ZmPut *) (void *) puts->data, how,
                      done_put, query);
  return TRUE;
}

/* ---- peek ---- */

static void
done_peek (const ZmQueueAnswer *result, const GError *error, gpointer user)
{
  GString *out = g_string_new ("{");

  if (error == NULL) {
    zm_query_add_messages (out, result);
    zm_reply_member_boolean (out, "more", result->more);
  }
  zm_query_answer (user, out, error);
}

gboolean
zm_command_queue_peek (ZmCommandCall *call, GError **error)
{
  g_autofree char *after = NULL;
  ZmQueueList list = { .claimed = TRUE, .delayed = TRUE };
  gint64 count;
  ZmQuery *query;

  if (!zm_command_integer (call->request, "count", 10, 1, ZM_QUERY_COUNT_MOST, &count, error) ||
      !zm_command_text (call->request, "after", FALSE, &after, error) ||
      !zm_command_flag (call->request, "newest", &list.newest, error) ||
      (query = zm_query_new (call, error)) == NULL)
    return FALSE;
  list.limit = (guint) count;
  list.marker = zm_span_text (after);
  zm_queue_list (call->runtime->queues, zm_query_queue (query), &list, done_peek, query);
  return TRUE;
}
