/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Messages listed, asked for by id, deleted and popped. */
#include "config.h"

#include "http/zaqar-private.h"

#include <string.h>

/* ---- lists ---- */

static void
ask_list (ZmZaqar *zaqar, ZmQueueDone done, gpointer user)
{
  ZmRequest *request = zaqar->request;
  const char *marker = zm_request_query (request, "marker");
  gboolean echo = FALSE, claimed = FALSE, delayed = FALSE;
  ZmQueueList list = { .marker = zm_span_text (marker), .limit = ZM_ZAQAR_PAGE };

  /* They have been checked. */
  zm_zaqar_query_boolean (request, "echo", &echo, NULL);
  zm_zaqar_query_boolean (request, "include_claimed", &claimed, NULL);
  zm_zaqar_query_boolean (request, "include_delayed", &delayed, NULL);
  zm_zaqar_query_limit (request, zaqar->limits.messages_page, &list.limit);
  list.claimed = claimed;
  list.delayed = delayed;
  if (!echo)
    list.without = request->client;
  zm_queue_list (zaqar->queues, zaqar->queue, &list, done, user);
}

static void
tell_list (ZmZaqar *zaqar, const ZmQueueAnswer *answer, const GError *error)
{
  g_autofree char *queue = zm_zaqar_queue_path (zaqar);
  g_autofree char *path = g_strconcat (queue, "/messages", NULL);
  GString *out;

  if (error != NULL) {
    zm_zaqar_fail (zaqar->request, error, "Messages could not be listed.");
    return;
  }
  out = g_string_new ("{");
  zm_zaqar_append_messages (out, zaqar, answer);
  g_string_append (out, ", ");
  zm_zaqar_append_links (out, zaqar->request, path,
                         answer->n_messages > 0 ? answer->messages[answer->n_messages - 1].id : NULL);
  g_string_append_c (out, '}');
  zm_request_answer_take (zaqar->request, 200, "application/json", out);
}

static void
list_page (ZmRequest *request)
{
  ZmZaqar *zaqar = zm_zaqar_of (request);
  gboolean value;
  guint limit, wait;

  if (zm_zaqar_query_limit (request, zaqar->limits.messages_page, &limit) &&
      zm_zaqar_query_boolean (request, "echo", &value, NULL) &&
      zm_zaqar_query_boolean (request, "include_claimed", &value, NULL) &&
      zm_zaqar_query_boolean (request, "include_delayed", &value, NULL) &&
      zm_zaqar_query_wait (request, &wait))
    zm_zaqar_poll (zaqar, wait, ask_list, tell_list, NULL);
}

/* ---- by id ---- */

/* The ids of a parameter as spans; NULL where there are none. The caller frees. */
static ZmSpan *
spans_of (const GPtrArray *list, guint *n)
{
  ZmSpan *spans;

  *n = 0;
  if (list == NULL || list->len == 0)
    return NULL;
  spans = g_new (ZmSpan, list->len);
  for (guint i = 0; i < list->len; i++)
    if (*(const char *) list->pdata[i] != '\0')
      spans[(*n)++] = zm_span_text (list->pdata[i]);
  if (*n == 0)
    g_clear_pointer (&spans, g_free);
  return spans;
}

static void
on_several (const ZmQueueAnswer *answer, const GError *error, gpointer user)
{
  ZmRequest *request = user;
  const ZmZaqar *zaqar = zm_zaqar_of (request);
  GString *out;

  if (error != NULL) {
    zm_zaqar_fail (request, error, "Message could not be retrieved.");
    return;
  }
  if (answer->n_messages == 0) {
    zm_zaqar_not_found (request, "No messages with these IDs found in the queue %.*s for project %s.",
                        (int) zaqar->queue.name.size, zaqar->queue.name.data, zaqar->project);
    return;
  }
  out = g_string_new ("{");
  zm_zaqar_append_messages (out, zaqar, answer);
  g_string_append_c (out, '}');
  zm_request_answer_take (request, 200, "application/json", out);
}

void
zm_zaqar_message_list (ZmRequest *request)
{
  const ZmZaqar *zaqar = zm_zaqar_of (request);
  guint n;
  g_autofree ZmSpan *ids = spans_of (zm_request_query_list (request, "ids"), &n);

  if (ids == NULL)
    list_page (request);
  else if (n > zaqar->limits.messages_page)
    zm_zaqar_bad_request (request,
                          "Limit must be at least 1 and may not be greater than %" G_GINT64_FORMAT ".",
                          zaqar->limits.messages_page);
  else
    zm_queue_get (zaqar->queues, zaqar->queue, ids, n, on_several, request);
}

static void
on_one (const ZmQueueAnswer *answer, const GError *error, gpointer user)
{
  ZmRequest *request = user;
  const ZmZaqar *zaqar = zm_zaqar_of (request);
  GString *out;

  if (error != NULL) {
    zm_zaqar_fail (request, error, "Message could not be retrieved.");
    return;
  }
  if (answer->n_messages == 0) {
    zm_zaqar_not_found (request, "Message %.*s does not exist in queue %.*s for project %s",
                        (int) request->part[1].size, request->part[1].data, (int) zaqar->queue.name.size,
                        zaqar->queue.name.data, zaqar->project);
    return;
  }
  out = g_string_new (NULL);
  zm_zaqar_append_message (out, zaqar, &answer->messages[0], zm_wall_us ());
  zm_request_answer_take (request, 200, "application/json", out);
}

void
zm_zaqar_message_get (ZmRequest *request)
{
  const ZmZaqar *zaqar = zm_zaqar_of (request);

  zm_queue_get (zaqar->queues, zaqar->queue, &request->part[1], 1, on_one, request);
}

/* ---- deleting ---- */

static void
on_deleted (const ZmQueueAnswer *answer, const GError *error, gpointer user)
{
  static const char title[] = "Unable to delete";
  ZmRequest *request = user;

  (void) answer;
  if (error == NULL || g_error_matches (error, ZM_ERROR, ZM_ERROR_NOT_FOUND))
    zm_zaqar_no_content (request);
  else if (g_error_matches (error, ZM_ERROR, ZM_ERROR_REFUSED))
    zm_request_fail (request, 403, title, "claim_id",
                     "This message is claimed; it cannot be deleted without a valid claim ID.");
  else if (g_error_matches (error, ZM_ERROR, ZM_ERROR_INVALID))
    zm_request_fail (
        request, 400, title, "claim_id",
        "A claim was specified, but the message is not currently claimed by it, or the specified "
        "claim does not exist or has expired.");
  else
    zm_zaqar_fail (request, error, "Message could not be deleted.");
}

void
zm_zaqar_message_delete (ZmRequest *request)
{
  const ZmZaqar *zaqar = zm_zaqar_of (request);

  zm_queue_delete (zaqar->queues, zaqar->queue, request->part[1],
                   zm_span_text (zm_request_query (request, "claim_id")), on_deleted, request);
}

static void
on_deleted_many (const ZmQueueAnswer *answer, const GError *error, gpointer user)
{
  (void) answer;
  if (error != NULL && !g_error_matches (error, ZM_ERROR, ZM_ERROR_NOT_FOUND))
    zm_zaqar_fail (user, error, "Messages could not be deleted.");
  else
    zm_zaqar_no_content (user);
}

static void
on_popped (const ZmQueueAnswer *answer, const GError *error, gpointer user)
{
  ZmRequest *request = user;
  gint64 now_us = zm_wall_us ();
  GString *out;

  if (error != NULL) {
    zm_zaqar_fail (request, error, "Messages could not be popped.");
    return;
  }
  out = g_string_new ("{\"messages\": [");
  for (guint i = 0; i < answer->n_messages; i++) {
    if (i > 0)
      g_string_append (out, ", ");
    zm_zaqar_append_popped (out, &answer->messages[i], now_us);
  }
  g_string_append (out, "]}");
  zm_request_answer_take (request, 200, "application/json", out);
}

static void
pop (ZmRequest *request, gint64 n)
{
  const ZmZaqar *zaqar = zm_zaqar_of (request);

  if (n < 1 || n > zaqar->limits.claim_or_pop)
    zm_zaqar_bad_request (request,
                          "Pop value must be at least 1 and may not be greater than %" G_GINT64_FORMAT ".",
                          zaqar->limits.claim_or_pop);
  else
    zm_queue_pop (zaqar->queues, zaqar->queue, (guint) n, on_popped, request);
}

static void
delete_ids (ZmRequest *request, const ZmSpan *ids, guint n)
{
  const ZmZaqar *zaqar = zm_zaqar_of (request);
  guint n_claims;
  g_autofree ZmSpan *claims = spans_of (zm_request_query_list (request, "claim_ids"), &n_claims);

  if (n > zaqar->limits.messages_page)
    zm_zaqar_bad_request (
        request, "ids parameter should have at least 1 and not greater than %" G_GINT64_FORMAT " values.",
        zaqar->limits.messages_page);
  else if (claims == NULL &&
           zm_config_boolean (zm_request_config (request), "zaqar", "message_delete_with_claim_id"))
    zm_zaqar_bad_request (request, "The request should have both \"ids\" and \"claim_ids\" parameter in the "
                                   "request when message_delete_with_claim_id is True.");
  else
    zm_queue_delete_many (zaqar->queues, zaqar->queue, ids, n, claims, n_claims, on_deleted_many, request);
}

void
zm_zaqar_message_delete_many (ZmRequest *request)
{
  guint n;
  gint64 n_pop = 0;
  gboolean popping;
  g_autofree ZmSpan *ids = spans_of (zm_request_query_list (request, "ids"), &n);

  if (!zm_zaqar_query_integer (request, "pop", &n_pop, &popping))
    return;
  if (popping && ids != NULL)
    zm_zaqar_bad_request (request, "pop and id params cannot be present together in the delete request.");
  else if (popping)
    pop (request, n_pop);
  else if (ids != NULL)
    delete_ids (request, ids, n);
  else
    zm_zaqar_bad_request (request, "The request should have either \"ids\" or \"pop\" parameter in the "
                                   "request, to be able to delete.");
}
