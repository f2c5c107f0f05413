/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Commands about messages that were taken: ack, release. By HTTP both may be repeated, so that what is not there is no error; who
 * types a name or an id wrong wants to know.
 */
#include "config.h"

#include "runtime/query.h"

#include <json-glib/json-glib.h>
#include <string.h>

/* One that waits for whether its queue is there. */
typedef struct Settle {
  ZmQuery *query;
  GPtrArray *ids; /* ack; NULL: release */
  char *claim;    /* may be NULL */
} Settle;

static void
settle_free (Settle *settle)
{
  g_clear_pointer (&settle->ids, g_ptr_array_unref);
  g_free (settle->claim);
  g_free (settle);
}

static void
done_ack (const ZmQueueAnswer *result, const GError *error, gpointer user)
{
  ZmQuery *query = user;
  GString *out = g_string_new ("{");

  if (error == NULL) {
    g_autofree char *text =
        g_strdup_printf ("%s: removed %u message%s", query->name, result->n, zm_runtime_plural (result->n));
    zm_reply_member_text (out, "text", text);
    zm_reply_member_integer (out, "n", result->n);
  }
  zm_query_answer (query, out, error);
}

static void
done_release (const ZmQueueAnswer *result, const GError *error, gpointer user)
{
  GString *out = g_string_new ("{");

  (void) result;
  if (error == NULL)
    zm_reply_member_text (out, "text", "its messages are free again");
  zm_query_answer (user, out, error);
}

/* One is deleted under the rules of claims, which say what is wrong with it; of many those that may go. */
static void
ack (const Settle *settle)
{
  ZmQueues *queues = settle->query->runtime->queues;
  g_autofree ZmSpan *ids = g_new (ZmSpan, settle->ids->len);
  ZmSpan under = zm_span_text (settle->claim);

  for (guint i = 0; i < settle->ids->len; i++)
    ids[i] = zm_span_text (settle->ids->pdata[i]);
  if (settle->ids->len == 1)
    zm_queue_delete (queues, zm_query_queue (settle->query), ids[0], under, done_ack, settle->query);
  else
    zm_queue_delete_many (queues, zm_query_queue (settle->query), ids, settle->ids->len, &under,
                          settle->claim != NULL ? 1 : 0, done_ack, settle->query);
}

static void
done_look (const ZmQueueAnswer *result, const GError *error, gpointer user)
{
  Settle *settle = user;
  g_autoptr (GError) missing = NULL;

  if (error == NULL && !result->created)
    g_set_error (&missing, ZM_ERROR, ZM_ERROR_NOT_FOUND, "there is no queue \"%s\"; see zmanagerctl queue ls",
                 settle->query->name);
  if (error != NULL || missing != NULL)
    zm_query_answer (settle->query, g_string_new ("{"), error != NULL ? error : missing);
  else if (settle->ids != NULL)
    ack (settle);
  else
    zm_queue_claim_release (settle->query->runtime->queues, zm_query_queue (settle->query),
                            zm_span_text (settle->claim), done_release, settle->query);
  settle_free (settle);
}

/* Takes settle. */
static gboolean
begin (ZmCommandCall *call, Settle *settle, GError **error)
{
  settle->query = zm_query_new (call, error);
  if (settle->query == NULL) {
    settle_free (settle);
    return FALSE;
  }
  zm_queue_get_metadata (call->runtime->queues, zm_query_queue (settle->query), done_look, settle);
  return TRUE;
}

/* A claim's id is a UUID. */
static gboolean
check_claim (const char *claim, GError **error)
{
  gsize length = claim != NULL ? strlen (claim) : ZM_UUID_SIZE;

  if (length == ZM_UUID_SIZE && (claim == NULL || strspn (claim, "0123456789abcdefABCDEF-") == length))
    return TRUE;
  g_set_error_literal (error, ZM_ERROR, ZM_ERROR_INVALID,
                       "\"claim\" is no id of a claim; queue get tells it");
  return FALSE;
}

/* Appends a copy. */
static gboolean
read_id (JsonNode *node, GPtrArray *ids, GError **error)
{
  const char *text = JSON_NODE_HOLDS_VALUE (node) ? json_node_get_string (node) : NULL;
  guint64 queue, seq;

  if (text != NULL && zm_queue_id_read (zm_span_text (text), &queue, &seq)) {
    g_ptr_array_add (ids, g_strdup (text));
    return TRUE;
  }
  g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID,
               "\"ids\"[%u] is no id of a message; queue get and queue peek tell them", ids->len);
  return FALSE;
}

gboolean
zm_command_queue_ack (ZmCommandCall *call, GError **error)
{
  g_autoptr (JsonParser) parser = json_parser_new_immutable ();
  g_autoptr (GPtrArray) ids = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *claim = NULL;
  JsonNode *node;
  JsonArray *list;
  Settle *settle;

  if (!json_parser_load_from_data (parser, call->request.data, (gssize) call->request.size, error) ||
      !zm_command_text (call->request, "claim", FALSE, &claim, error) || !check_claim (claim, error))
    return FALSE;
  node = json_object_get_member (json_node_get_object (json_parser_get_root (parser)), "ids");
  list = node != NULL && JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node) : NULL;
  if (list == NULL || json_array_get_length (list) == 0 ||
      json_array_get_length (list) > ZM_QUERY_COUNT_MOST) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID, "\"ids\" must be an array of 1 to %d ids",
                 ZM_QUERY_COUNT_MOST);
    return FALSE;
  }
  for (guint i = 0; i < json_array_get_length (list); i++)
    if (!read_id (json_array_get_element (list, i), ids, error))
      return FALSE;
  settle = g_new0 (Settle, 1);
  settle->ids = g_steal_pointer (&ids);
  settle->claim = g_steal_pointer (&claim);
  return begin (call, settle, error);
}

gboolean
zm_command_queue_release (ZmCommandCall *call, GError **error)
{
  g_autofree char *claim = NULL;
  Settle *settle;

  if (!zm_command_text (call->request, "claim", TRUE, &claim, error) || !check_claim (claim, error))
    return FALSE;
  settle = g_new0 (Settle, 1);
  settle->claim = g_steal_pointer (&claim);
  return begin (call, settle, error);
}
