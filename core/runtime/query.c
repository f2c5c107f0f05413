/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Commands about queues: what they begin and end with. */
#include "config.h"

#include "runtime/query.h"

#include <string.h>

static void
query_free (ZmQuery *query)
{
  g_free (query->project);
  g_free (query->name);
  g_free (query->text);
  g_free (query);
}

ZmQueueName
zm_query_queue (const ZmQuery *query)
{
  return (ZmQueueName){ zm_span_text (query->project), zm_span_text (query->name) };
}

/* The arguments that all have. NULL: error. */
ZmQuery *
zm_query_new (ZmCommandCall *call, GError **error)
{
  g_autofree char *project = NULL;
  g_autofree char *name = NULL;
  ZmQuery *query;
  ZmLater *later;

  if (call->runtime->queues == NULL) {
    g_set_error_literal (error, ZM_ERROR, ZM_ERROR_UNAVAILABLE,
                         "this daemon has no store, and so no queues; see [store] in zmanager.conf(5)");
    return NULL;
  }
  if (!zm_command_text (call->request, "queue", TRUE, &name, error) ||
      !zm_command_text (call->request, "project", FALSE, &project, error))
    return NULL;
  later = zm_command_later (call, error);
  if (later == NULL)
    return NULL;
  query = g_new0 (ZmQuery, 1);
  query->runtime = call->runtime;
  query->later = later;
  query->name = g_steal_pointer (&name);
  /* What an empty one means is said now: the configuration may be another one when the answer is made. */
  query->project = project != NULL ? g_steal_pointer (&project)
                                   : g_strdup (zm_config_text (call->runtime->config, "zaqar", "project"));
  return query;
}

/* ---- what answers hold ---- */

void
zm_query_add_body (GString *out, ZmSpan bytes)
{
  g_autofree char *encoded = NULL;

  if (bytes.size == 0 || (g_utf8_validate (bytes.data, (gssize) bytes.size, NULL) &&
                          memchr (bytes.data, '\0', bytes.size) == NULL)) {
    g_string_append (out, ",\"body\":");
    zm_json_append_string (out, bytes);
    return;
  }
  encoded = g_base64_encode ((const guchar *) bytes.data, bytes.size);
  zm_reply_member_text (out, "base64", encoded);
}

static void
add_span (GString *out, const char *name, ZmSpan span)
{
  g_autofree char *text = zm_span_dup (span);

  if (span.size > 0)
    zm_reply_member_text (out, name, text);
}

static void
add_message (GString *out, const ZmStored *stored, gint64 now_us)
{
  g_autofree char *headers = zm_span_dup (stored->headers);

  g_string_append_c (out, '{');
  zm_reply_member_text (out, "id", stored->id);
  zm_reply_member_integer (out, "created", stored->created_us / 1000);
  zm_reply_member_integer (out, "age", MAX (0, now_us - stored->created_us) / G_USEC_PER_SEC);
  zm_reply_member_integer (out, "ttl", stored->ttl_s);
  zm_reply_member_integer (out, "size", (gint64) stored->body.size);
  zm_reply_member_integer (out, "claims", stored->claim_count);
  if (stored->claim[0] != '\0')
    zm_reply_member_text (out, "claim", stored->claim);
  if (stored->due_us > now_us)
    zm_reply_member_integer (out, "due", stored->due_us / 1000);
  add_span (out, "key", stored->key);
  add_span (out, "topic", stored->topic);
  add_span (out, "sender_id", stored->sender_id);
  if (stored->headers.size > 0 && zm_json_valid (stored->headers))
    zm_reply_member_json (out, "headers", headers);
  zm_query_add_body (out, stored->body);
  g_string_append_c (out, '}');
}

void
zm_query_add_messages (GString *out, const ZmQueueAnswer *answer)
{
  gint64 now_us = zm_wall_us ();

  zm_reply_member_json (out, "messages", "[");
  for (guint i = 0; i < answer->n_messages; i++) {
    if (i > 0)
      g_string_append_c (out, ',');
    add_message (out, &answer->messages[i], now_us);
  }
  g_string_append_c (out, ']');
}

void
zm_query_answer (ZmQuery *query, GString *out, const GError *error)
{
  if (error != NULL) {
    g_string_free (out, TRUE);
    zm_command_answer_error (query->later, error);
  } else {
    g_string_append_c (out, '}');
    zm_command_answer (query->later, TRUE, g_string_free (out, FALSE));
  }
  query_free (query);
}
