/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Messages made on the command line, and the exchange on the call socket.
 *
 * A message is checked here as far as the daemon will check it, since a push is never answered: a wrong key or id would only be
 * counted there. The checks are those of the message room itself, so client and daemon cannot disagree.
 */
#include "config.h"

#include "ctl/ctl.h"
#include "message/zm-key.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A body read from a file or a pipe is held in memory at once. */
#define BODY_MOST (256u << 20)

/* May be called twice, and on a message that was never filled in. */
void
zm_ctl_message_clear (ZmCtlMessage *message)
{
  g_free (message->prefix);
  g_free (message->id);
  g_free (message->topic);
  g_free (message->headers);
  if (message->body != NULL)
    g_bytes_unref (message->body);
  memset (message, 0, sizeof *message);
}

/* Ids are made in the order of sending, so they sort as they were sent. */
void
zm_ctl_message_next (ZmCtlMessage *message, ZmUuidMaker *ids)
{
  g_free (message->id);
  g_free (message->topic);
  message->id = g_malloc0 (ZM_UUID_SIZE + 1);
  zm_uuid_make (ids, zm_wall_us (), message->id);
  message->topic = g_strconcat (message->prefix, message->id, NULL);
}

/* ---- body ---- */

/* Read to its end before anything is sent: a frame has one piece, whose size goes first. */
static GBytes *
read_stdin (GError **error)
{
  g_autoptr (GByteArray) out = g_byte_array_new ();
  guint8 block[65536];
  gssize got;

  while ((got = read (STDIN_FILENO, block, sizeof block)) > 0) {
    if (out->len + (gsize) got > BODY_MOST) {
      g_set_error (error, ZM_ERROR, ZM_ERROR_LIMIT, _ ("the body on the standard input is over %u MiB"),
                   BODY_MOST >> 20);
      return NULL;
    }
    g_byte_array_append (out, block, (guint) got);
  }
  if (got < 0) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_IO, _ ("cannot read the standard input: %s"), g_strerror (errno));
    return NULL;
  }
  return g_byte_array_free_to_bytes (g_steal_pointer (&out));
}

/* An argument that begins with @ or is - cannot be given as a text itself; it goes through a pipe. */
GBytes *
zm_ctl_read_body (const char *text, GError **error)
{
  char *data = NULL;
  gsize size = 0;

  if (strcmp (text, "-") == 0)
    return read_stdin (error);
  if (text[0] != '@')
    return g_bytes_new (text, strlen (text));
  if (!g_file_get_contents (text + 1, &data, &size, error)) {
    g_prefix_error (error, _ ("cannot read the body: "));
    return NULL;
  }
  return g_bytes_new_take (data, size);
}

/* ---- headers ---- */

/* Everything after the first = is the value. */
static gboolean
add_header (const ZmCtl *ctl, JsonObject *headers, const char *text)
{
  const char *equals = strchr (text, '=');
  g_autofree char *name = NULL;

  if (equals == NULL || equals == text) {
    zm_ctl_usage (ctl, _ ("--header wants NAME=VALUE, not \"%s\""), text);
    return FALSE;
  }
  name = g_strndup (text, (gsize) (equals - text));
  if (!g_utf8_validate (text, -1, NULL)) {
    zm_ctl_usage (ctl, _ ("--header: the text is not UTF-8"));
    return FALSE;
  }
  json_object_set_string_member (headers, name, equals + 1);
  return TRUE;
}

/* JSON text of the headers given; NULL where there are none. FALSE: said why. */
static gboolean
read_headers (const ZmCtl *ctl, gint64 timeout_ms, char **out)
{
  GPtrArray *list = zm_ctl_list (ctl, "header");
  g_autoptr (JsonObject) headers = json_object_new ();
  g_autoptr (JsonNode) node = json_node_init_object (json_node_alloc (), headers);

  /* First, so that --header timeout=N of the user's own stands above it. */
  if (timeout_ms > 0)
    json_object_set_int_member (headers, "timeout", timeout_ms);
  for (guint i = 0; list != NULL && i < list->len; i++)
    if (!add_header (ctl, headers, g_ptr_array_index (list, i)))
      return FALSE;
  *out = json_object_get_size (headers) > 0 ? json_to_string (node, FALSE) : NULL;
  return TRUE;
}

/* ---- topic ---- */

/* "flow~decorator~sender~context~action~". FALSE: a usage error was said. */
static gboolean
read_topic (const ZmCtl *ctl, const char *text, ZmCtlMessage *message)
{
  const char *flow = zm_ctl_text (ctl, "flow");
  g_autoptr (GString) out = g_string_new (flow);
  g_autoptr (GError) error = NULL;
  ZmKey key;

  if (zm_key_parse (zm_span_text (text), &key, NULL, &error) && zm_key_reserved (&key))
    g_set_error_literal (&error, ZM_ERROR, ZM_ERROR_REFUSED,
                         "done, error and names that begin with ^ belong to the runtime");
  if (error != NULL) {
    g_autofree char *safe = zm_printable (zm_span_text (text), 256);

    zm_ctl_usage (ctl, _ ("the key \"%s\" is wrong: %s"), safe, error->message);
    return FALSE;
  }
  if (flow != NULL && zm_name_check (zm_span_text (flow), NULL, &error) && *flow == '^')
    g_set_error_literal (&error, ZM_ERROR, ZM_ERROR_REFUSED, "names that begin with ^ belong to the runtime");
  if (error != NULL) {
    zm_ctl_usage (ctl, "--flow: %s", error->message);
    return FALSE;
  }
  g_string_append_c (out, '~');
  zm_key_append_slug (&key, out);
  g_string_append_c (out, '~');
  message->prefix = g_strdup (out->str);
  return TRUE;
}

/* By the parser that the daemon uses, so both agree on what an id is. */
gboolean
zm_ctl_id_check (const char *id)
{
  g_autofree char *topic = g_strconcat ("~~~~a~", id, NULL);
  ZmTopic parsed;

  return *id != '\0' && zm_topic_parse (zm_span_text (topic), &parsed, NULL);
}

/* The id given, or a new one. */
static gboolean
read_id (const ZmCtl *ctl, ZmCtlMessage *message)
{
  const char *id = zm_ctl_text (ctl, "id");
  ZmUuidMaker ids;

  if (id == NULL) {
    zm_uuid_maker_init (&ids);
    zm_ctl_message_next (message, &ids);
    return TRUE;
  }
  if (!zm_ctl_id_check (id)) {
    zm_ctl_usage (ctl, _ ("--id: an id is 1 to 64 of A-Z a-z 0-9 _ . : -"));
    return FALSE;
  }
  message->id = g_strdup (id);
  message->topic = g_strconcat (message->prefix, id, NULL);
  return TRUE;
}

/* Usage errors come before the body is read: whoever typed a wrong key need not send a gigabyte first. */
gboolean
zm_ctl_message_read (ZmCtl *ctl, guint n, char **arguments, gint64 timeout_ms, ZmCtlMessage *message,
                     int *status)
{
  g_autoptr (GError) error = NULL;

  memset (message, 0, sizeof *message);
  *status = ZM_EXIT_USAGE;
  if (!read_topic (ctl, arguments[0], message) || !read_id (ctl, message) ||
      !read_headers (ctl, timeout_ms, &message->headers)) {
    zm_ctl_message_clear (message);
    return FALSE;
  }
  message->body = zm_ctl_read_body (n > 1 ? arguments[1] : "", &error);
  if (message->body != NULL)
    return TRUE;
  *status = zm_ctl_fail (ctl, error);
  zm_ctl_message_clear (message);
  return FALSE;
}

/* ---- the call socket ---- */

#define REQUEST_ID ZM_SPAN_LITERAL ("1")

/* Replies to other requests on this socket (heartbeats) are passed over. */
GPtrArray *
zm_ctl_exchange (ZmCtl *ctl, void *call, const char *verb, const ZmSpan *frames, guint n, gint64 wait_ms,
                 GError **error)
{
  ZmSpan all[8] = { REQUEST_ID, zm_span_text (verb) };
  gint64 until = zm_now_us () + wait_ms * 1000;
  int got = 1;

  for (guint i = 0; i < n && i + 2 < G_N_ELEMENTS (all); i++)
    all[i + 2] = frames[i];
  if (!zm_ctl_send_frames (call, all, n + 2, (int) ctl->timeout_ms)) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_LIMIT, _ ("the daemon does not take the call now"));
    return NULL;
  }
  while ((got = zm_ctl_wait_answer (ctl, call, until, error)) == 1) {
    g_autoptr (GPtrArray) reply = zm_ctl_receive (call);

    if (reply == NULL || reply->len != 4 || !zm_span_equal (zm_ctl_frame (reply, 0), REQUEST_ID))
      continue;
    g_ptr_array_remove_index (reply, 0);
    return g_steal_pointer (&reply);
  }
  if (got == 0)
    g_set_error (error, ZM_ERROR, ZM_ERROR_IO, _ ("no answer within the time; see --timeout"));
  return NULL;
}

/* One request at an open call socket. The daemon ends it at its deadline and says so; the grace is for its answer to arrive. */
GPtrArray *
zm_ctl_request_call (ZmCtl *ctl, void *call, const char *verb, const ZmCtlMessage *message, gint64 timeout_ms,
                     GError **error)
{
  gsize size = 0;
  const char *data = g_bytes_get_data (message->body, &size);
  ZmSpan frames[3] = { zm_span_text (message->topic), zm_span_text (message->headers ? message->headers : ""),
                       zm_span (data, size) };

  if (message->headers == NULL)
    frames[1] = frames[2];
  return zm_ctl_exchange (ctl, call, verb, frames, message->headers ? 3 : 2, timeout_ms + 2000, error);
}

/* The socket lives for one call: a reply that comes after the deadline then finds nobody, and is counted by the daemon. */
GPtrArray *
zm_ctl_call (ZmCtl *ctl, const char *endpoint, const ZmCtlMessage *message, gint64 timeout_ms, GError **error)
{
  void *call = zm_ctl_socket (ctl, ZMQ_DEALER, endpoint, error);
  GPtrArray *reply = NULL;

  if (call == NULL)
    return NULL;
  reply = zm_ctl_request_call (ctl, call, "CALL", message, timeout_ms, error);
  zm_ctl_close (call, 0);
  return reply;
}
