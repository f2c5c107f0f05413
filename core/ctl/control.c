/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The control socket: one request and its answer, or a stream of items.
 *
 *   to the daemon     [request-id]{"command": "...", ...arguments}
 *   from the daemon   [request-id][OK | ERROR | PART][JSON]
 *
 * OK and ERROR end a request; PART is an item of a stream, which ends with OK when the daemon ends it, or when the client says
 * {"command": "cancel"} with the same id or goes away. An ERROR has a code, which becomes a GError's and so an exit status, a
 * text, and, of a refused reload, the list of problems.
 */
#include "config.h"

#include "ctl/ctl.h"
#include "runtime/zm-runtime.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* The only request of a call of the program, so it needs no other name. */
#define REQUEST_ID ZM_SPAN_LITERAL ("1")
/* Asked behind the request of a stream, only for its answer: the daemon takes requests in order, so when this is answered the
 * stream is open. */
#define READY_ID ZM_SPAN_LITERAL ("2")

/* Given to a function that frees it in every case, so callers need no clean-up of their own. */
JsonObject *
zm_ctl_request_new (const char *command)
{
  JsonObject *request = json_object_new ();

  json_object_set_string_member (request, "command", command);
  return request;
}

/* Why the instance's directory cannot be used. Where there is none there is no daemon either; but one that may not be entered
 * is not a missing one. */
static void
set_no_instance (const ZmCtl *ctl, const GError *why, GError **error)
{
  const char *dir = zm_ctl_text (ctl, "dir");

  dir = dir != NULL ? dir : g_getenv ("ZM_DIR");
  if (dir != NULL && *dir != '\0' && access (dir, X_OK) != 0 && errno == EACCES)
    zm_ctl_set_forbidden (dir, EACCES, error);
  else
    g_set_error (error, ZM_ERROR, ZM_ERROR_UNREACHABLE, _ ("no daemon is there: %s"), why->message);
}

/* A connected control socket. NULL: error. */
static void *
open_control (ZmCtl *ctl, GError **error)
{
  const char *connect = zm_ctl_text (ctl, "connect");
  ZmInstance *instance = NULL;
  g_autofree char *endpoint = NULL;
  g_autoptr (GError) inner = NULL;

  if (connect != NULL)
    return zm_ctl_socket (ctl, ZMQ_DEALER, connect, error);
  instance = zm_ctl_instance (ctl, &inner);
  if (instance == NULL) {
    set_no_instance (ctl, inner, error);
    return NULL;
  }
  endpoint = zm_instance_endpoint (instance, "control");
  return zm_ctl_socket (ctl, ZMQ_DEALER, endpoint, error);
}

/* Sends a request; takes it. */
static gboolean
send_request (ZmCtl *ctl, void *socket, JsonObject *request, GError **error)
{
  g_autoptr (JsonNode) node = json_node_init_object (json_node_alloc (), request);
  g_autofree char *text = json_to_string (node, FALSE);
  ZmSpan frames[] = { REQUEST_ID, zm_span_text (text) };

  json_object_unref (request);
  /* A larger one would end the connection without a word. */
  if (frames[1].size > ZM_REQUEST_MOST) {
    g_set_error (
        error, ZM_ERROR, ZM_ERROR_LIMIT,
        _ ("the request has %lld bytes; the control socket takes at most %d, which is a body of some %d KiB; "
           "the HTTP API takes larger ones"),
        (long long) frames[1].size, ZM_REQUEST_MOST, ZM_REQUEST_MOST / 1024 * 3 / 4);
    return FALSE;
  }
  if (zm_ctl_send_frames (socket, frames, G_N_ELEMENTS (frames), (int) ctl->timeout_ms))
    return TRUE;
  g_set_error (error, ZM_ERROR, ZM_ERROR_UNREACHABLE, _ ("the daemon does not take the request"));
  return FALSE;
}

/* A code that this version does not know is a failure like any other. */
static ZmErrorCode
code_of (const char *name)
{
  static const struct {
    const char *name;
    ZmErrorCode code;
  } table[] = {
    { "not-found", ZM_ERROR_NOT_FOUND },     { "refused", ZM_ERROR_REFUSED }, { "invalid", ZM_ERROR_INVALID },
    { "unavailable", ZM_ERROR_UNAVAILABLE }, { "busy", ZM_ERROR_LIMIT },
  };

  for (guint i = 0; i < G_N_ELEMENTS (table); i++)
    if (g_strcmp0 (name, table[i].name) == 0)
      return table[i].code;
  return ZM_ERROR_IO;
}

/* An ERROR answer as a GError: its text, then its problems, one a line. */
static void
set_answer_error (JsonObject *answer, GError **error)
{
  const char *text = zm_json_get_text (answer, "text");
  JsonArray *problems = zm_json_get_array (answer, "problems");
  g_autoptr (GString) out = g_string_new (NULL);
  g_autofree char *safe = zm_printable (zm_span_text (text ? text : _ ("the daemon gave no reason")), 8192);

  g_string_append (out, safe);
  for (guint i = 0; problems != NULL && i < json_array_get_length (problems); i++) {
    JsonNode *node = json_array_get_element (problems, i);
    const char *line =
        JSON_NODE_HOLDS_OBJECT (node) ? zm_json_get_text (json_node_get_object (node), "text") : NULL;
    const char *what =
        JSON_NODE_HOLDS_OBJECT (node) ? zm_json_get_text (json_node_get_object (node), "what") : NULL;
    g_autofree char *value = line != NULL ? zm_printable (zm_span_text (line), 4096) : zm_out_value (node);

    /* The text may quote the one that it is about. */
    if (what == NULL || text == NULL || strstr (text, what) == NULL)
      g_string_append_printf (out, "\n  %s", value);
  }
  g_set_error_literal (error, ZM_ERROR, (int) code_of (zm_json_get_text (answer, "code")), out->str);
}

/* What next_answer gave. */
#define ANSWER       1
#define ANSWER_READY 2

/* The next answer: its status frame ("PART", "OK", "ERROR") and its JSON; or ANSWER_READY, without these. 0: the time is over;
 * -1: error. */
static int
next_answer (ZmCtl *ctl, void *socket, gint64 until_us, char **status, JsonNode **node, GError **error)
{
  for (;;) {
    int got = zm_ctl_wait_answer (ctl, socket, until_us, error);
    g_autoptr (GPtrArray) frames = got == 1 ? zm_ctl_receive (socket) : NULL;

    if (got != 1)
      return got;
    if (frames != NULL && zm_span_equal (zm_ctl_frame (frames, 0), READY_ID))
      return ANSWER_READY;
    if (frames == NULL || frames->len < 3 || !zm_span_equal (zm_ctl_frame (frames, 0), REQUEST_ID))
      continue;
    *status = zm_span_dup (zm_ctl_frame (frames, 1));
    *node = zm_json_read (zm_ctl_frame (frames, 2));
    if (*node == NULL)
      *node = json_node_new (JSON_NODE_NULL);
    return ANSWER;
  }
}

/* An answer that is no object counts as an empty one: its members are missing, which everybody must bear anyway. */
static JsonObject *
node_object (JsonNode *node)
{
  return JSON_NODE_HOLDS_OBJECT (node) ? json_object_ref (json_node_get_object (node)) : json_object_new ();
}

/* A socket of its own for each request: requests are few, and an answer that comes too late cannot be taken for that of
 * the next one. */
JsonObject *
zm_ctl_request (ZmCtl *ctl, JsonObject *request, gint64 wait_ms, GError **error)
{
  void *socket = open_control (ctl, error);
  g_autofree char *status = NULL;
  g_autoptr (JsonNode) node = NULL;
  JsonObject *answer = NULL;
  int got = 0;

  if (socket == NULL) {
    json_object_unref (request);
    return NULL;
  }
  if (send_request (ctl, socket, request, error)) {
    got = next_answer (ctl, socket, zm_now_us () + wait_ms * 1000, &status, &node, error);
    if (got == 0)
      g_set_error (error, ZM_ERROR, ZM_ERROR_UNREACHABLE,
                   _ ("the daemon is there but gave no answer in time"));
  }
  zm_ctl_close (socket, 0);
  if (got != 1)
    return NULL;
  answer = node_object (node);
  g_clear_pointer (&ctl->refused, json_object_unref);
  if (strcmp (status, "OK") == 0)
    return answer;
  set_answer_error (answer, error);
  ctl->refused = answer;
  return NULL;
}

/* Tells the daemon that nobody listens any more. */
static void
cancel (void *socket)
{
  ZmSpan frames[] = { REQUEST_ID, ZM_SPAN_LITERAL ("{\"command\":\"cancel\"}") };

  zm_ctl_send_frames (socket, frames, G_N_ELEMENTS (frames), 100);
}

/* Asks for a sign that the stream is open. That nobody takes the question is found out by reading. */
static void
ask_ready (ZmCtl *ctl, void *socket)
{
  ZmSpan frames[] = { READY_ID, ZM_SPAN_LITERAL ("{\"command\":\"status\"}") };

  zm_ctl_send_frames (socket, frames, G_N_ELEMENTS (frames), (int) ctl->timeout_ms);
}

/* One answer of the stream. FALSE: it ended, in order or (error) not. */
static gboolean
take_answer (ZmCtl *ctl, void *socket, const ZmCtlStream *stream, const char *status, JsonNode *node,
             GError **error)
{
  if (strcmp (status, "PART") == 0) {
    if (stream->part (ctl, node, stream->user))
      return TRUE;
    cancel (socket);
  } else {
    JsonObject *answer = node_object (node);

    if (strcmp (status, "OK") != 0)
      set_answer_error (answer, error);
    else if (stream->done != NULL)
      stream->done (ctl, answer, stream->user);
    json_object_unref (answer);
  }
  return FALSE;
}

/* When to wake up at the latest: at the end, or to say that nothing comes. */
static gint64
wake_time (const ZmCtlStream *stream, gint64 quiet_us)
{
  gint64 end = stream->until_us > 0 ? stream->until_us : G_MAXINT64;

  return stream->quiet != NULL && quiet_us > 0 ? MIN (end, quiet_us) : end;
}

/* Reads the stream to its end. */
static gboolean
follow (ZmCtl *ctl, void *socket, const ZmCtlStream *stream, GError **error)
{
  gint64 quiet_us = zm_now_us () + ZM_CTL_QUIET_US;

  for (;;) {
    g_autofree char *status = NULL;
    g_autoptr (JsonNode) node = NULL;
    g_autoptr (GError) gone = NULL;
    int got = next_answer (ctl, socket, wake_time (stream, quiet_us), &status, &node, &gone);

    if (got < 0) {
      /* Ctrl-C is how people end a stream. */
      if (ctl->interrupted)
        cancel (socket);
      else
        g_propagate_error (error, g_steal_pointer (&gone));
      return ctl->interrupted;
    }
    if (got == 0 && stream->until_us > 0 && zm_now_us () >= stream->until_us) {
      cancel (socket);
      return TRUE;
    }
    if (got == 0) {
      stream->quiet (ctl, stream->user);
      quiet_us = 0;
    } else if (got == ANSWER_READY && stream->ready != NULL) {
      stream->ready (ctl, stream->user);
    } else if (got == ANSWER) {
      quiet_us = 0;
      if (!take_answer (ctl, socket, stream, status, node, &gone)) {
        gboolean good = gone == NULL;

        if (!good)
          g_propagate_error (error, g_steal_pointer (&gone));
        return good;
      }
    }
  }
}

/* The linger time is for the cancel: a daemon that gets it need not find out by a full pipe that nobody reads. */
gboolean
zm_ctl_stream (ZmCtl *ctl, JsonObject *request, const ZmCtlStream *stream, GError **error)
{
  void *socket = NULL;
  gboolean good = FALSE;

  zm_ctl_catch_signals (ctl);
  socket = open_control (ctl, error);
  if (socket == NULL) {
    json_object_unref (request);
    return FALSE;
  }
  good = send_request (ctl, socket, request, error);
  if (good && stream->ready != NULL)
    ask_ready (ctl, socket);
  good = good && follow (ctl, socket, stream, error);
  zm_ctl_close (socket, 200);
  return good;
}
