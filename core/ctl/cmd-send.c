/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * send and call; send --durable is a call of the verb SEND.
 *
 * send pushes to the Subject, which answers nothing: that libzmq took a message does not mean that it left, and that it left not
 * that it was read. So the program ends only when its socket has emptied, and after a bulk when the daemon's own count stands
 * still. call asks on the call socket, where every request has exactly one reply; its deadline travels along.
 */
#include "config.h"

#include "ctl/ctl.h"

#include <stdio.h>
#include <string.h>

/* ---- send ---- */

/* Two frames, or three with headers. */
static gboolean
push_one (void *push, const ZmCtlMessage *message, int wait_ms)
{
  gsize size = 0;
  const char *data = g_bytes_get_data (message->body, &size);
  ZmSpan frames[3] = { zm_span_text (message->topic), zm_span_text (message->headers ? message->headers : ""),
                       zm_span (data, size) };

  if (message->headers == NULL)
    frames[1] = frames[2];
  return zm_ctl_send_frames (push, frames, message->headers ? 3 : 2, wait_ms);
}

/* How many messages were taken of `count`. */
static gint64
push_all (ZmCtl *ctl, void *push, ZmCtlMessage *message, gint64 count)
{
  ZmUuidMaker ids;
  gint64 sent = 0;

  zm_uuid_maker_init (&ids);
  while (sent < count) {
    if (sent > 0)
      zm_ctl_message_next (message, &ids);
    if (!push_one (push, message, (int) ctl->timeout_ms))
      break;
    sent++;
  }
  return sent;
}

/* Closes the socket and waits until what it holds has left, at most --timeout. FALSE: not all did. */
static gboolean
flush_push (ZmCtl *ctl, void *push)
{
  gint64 until = zm_now_us () + ctl->timeout_ms * 1000;

  zm_ctl_close (push, (int) ctl->timeout_ms);
  /* Ending the context is what waits for lingering sockets; libzmq does not tell what was dropped, but that it took the whole
   * time does. */
  zmq_ctx_term (ctl->zmq);
  ctl->zmq = NULL;
  return zm_now_us () < until;
}

/* A daemon that has read nothing new in so many looks, so far apart, has read all that there is. Its count is of all senders: where
 * others send too, this waits a little longer than it would have to, and never shorter. */
#define LOOK_US     20000
#define QUIET_LOOKS 3

/* How many the daemon has read; -1: it does not say. *held: it has some in hand for full workers. */
static gint64
read_by_daemon (ZmCtl *ctl, gboolean *held)
{
  g_autoptr (JsonObject) answer = zm_ctl_request (ctl, zm_ctl_request_new ("status"), ZM_CTL_ANSWER_MS, NULL);
  JsonNode *node = answer != NULL ? json_object_get_member (answer, "subject") : NULL;
  JsonObject *subject = node != NULL && JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;

  if (subject == NULL || !json_object_has_member (subject, "received"))
    return -1;
  *held = json_object_get_int_member_with_default (subject, "held", 0) > 0;
  return json_object_get_int_member_with_default (subject, "received", -1);
}

/* What the kernel holds of a peer that ends while the daemon's queue is full is thrown away by libzmq. So the socket stays
 * open until the daemon has read all there was. FALSE: it read nothing for --timeout, and has not all. */
static gboolean
wait_until_read (ZmCtl *ctl)
{
  gint64 until = zm_now_us () + ctl->timeout_ms * 1000, last = -1;

  for (guint quiet = 0; quiet < QUIET_LOOKS;) {
    gboolean held = FALSE;
    gint64 now = read_by_daemon (ctl, &held);

    if (now < 0)
      return TRUE;
    /* Held back for full workers counts as read, but shows that more is waiting behind. */
    quiet = now == last && !held ? quiet + 1 : 0;
    if (now != last)
      until = zm_now_us () + ctl->timeout_ms * 1000;
    else if (zm_now_us () >= until)
      return FALSE;
    last = now;
    g_usleep (LOOK_US);
  }
  return TRUE;
}

/* One id is for `trace`; of many only their number is of use. */
static int
say_sent (const ZmCtl *ctl, const char *first_id, gint64 sent)
{
  if (ctl->json) {
    JsonObject *object = json_object_new ();

    json_object_set_int_member (object, "sent", sent);
    json_object_set_string_member (object, "id", first_id);
    zm_out_json_object (object);
    json_object_unref (object);
  } else if (sent == 1) {
    zm_out_line (first_id);
  } else {
    printf (_ ("%lld messages sent\n"), (long long) sent);
  }
  return ZM_EXIT_OK;
}

/* 0 only where all that was asked for has been handed over. A single message skips the wait: its connection is not
 * full, so what libzmq holds of it at the end of the socket goes out by the linger time alone. */
static int
send_messages (ZmCtl *ctl, ZmCtlMessage *message, gint64 count)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *endpoint = zm_ctl_endpoint (ctl, "subject", &error);
  gboolean fits = endpoint != NULL && zm_ctl_body_fits (ctl, "subject", message->body, &error);
  void *push = fits ? zm_ctl_socket (ctl, ZMQ_PUSH, endpoint, &error) : NULL;
  g_autofree char *first_id = g_strdup (message->id);
  gboolean flushed = FALSE;
  gint64 sent = 0;

  if (push == NULL)
    return zm_ctl_fail (ctl, error);
  sent = push_all (ctl, push, message, count);
  gboolean all_read = sent == 1 || sent < count || wait_until_read (ctl);
  flushed = flush_push (ctl, push);
  if (sent == count && flushed && all_read)
    return say_sent (ctl, first_id, sent);
  g_set_error (&error, ZM_ERROR, ZM_ERROR_LIMIT,
               _ ("the daemon takes no messages now: %lld of %lld were handed over, and the last ones may "
                  "not have left; "
                  "see zmanagerctl status, or give a longer --timeout"),
               (long long) sent, (long long) count);
  return zm_ctl_fail (ctl, error);
}

/* ---- send --durable ---- */

/* As the daemon's own deadline of a call: what its store takes longer for is not known to be there. */
#define DURABLE_MS 30000

static void
say_stored (const ZmCtl *ctl, const char *status, const char *first_id, gint64 accepted, gint64 duplicates)
{
  if (ctl->json) {
    g_autoptr (JsonObject) object = json_object_new ();

    if (status != NULL)
      json_object_set_string_member (object, "status", status);
    json_object_set_int_member (object, "accepted", accepted);
    json_object_set_int_member (object, "duplicates", duplicates);
    json_object_set_string_member (object, "id", first_id);
    zm_out_json_object (object);
  } else if (status != NULL) {
    printf ("%s %s\n", status, first_id);
  } else {
    printf (_ ("%lld messages accepted, %lld duplicates\n"), (long long) accepted, (long long) duplicates);
  }
}

static int print_reply (const ZmCtl *ctl, const GPtrArray *reply);

/* One after the other: the next goes when the one before is on the disk. The first that is refused ends it. */
static int
send_durable (ZmCtl *ctl, ZmCtlMessage *message, gint64 count)
{
  gint64 timeout_ms = zm_ctl_duration (ctl, "timeout", DURABLE_MS), accepted = 0, duplicates = 0;
  g_autoptr (GError) error = NULL;
  g_autofree char *endpoint = zm_ctl_endpoint (ctl, "call", &error);
  gboolean fits = endpoint != NULL && zm_ctl_body_fits (ctl, "call", message->body, &error);
  void *call = fits ? zm_ctl_socket (ctl, ZMQ_DEALER, endpoint, &error) : NULL;
  g_autofree char *first_id = g_strdup (message->id);
  int status = ZM_EXIT_OK;
  ZmUuidMaker ids;

  zm_uuid_maker_init (&ids);
  while (call != NULL && status == ZM_EXIT_OK && accepted + duplicates < count) {
    if (accepted + duplicates > 0)
      zm_ctl_message_next (message, &ids);
    g_autoptr (GPtrArray) reply = zm_ctl_request_call (ctl, call, "SEND", message, timeout_ms, &error);

    if (reply == NULL)
      break;
    if (zm_span_is (zm_ctl_frame (reply, 0), "ACCEPTED"))
      accepted++;
    else if (zm_span_is (zm_ctl_frame (reply, 0), "DUPLICATE"))
      duplicates++;
    else
      status = print_reply (ctl, reply);
  }
  if (call != NULL)
    zm_ctl_close (call, 0);
  if (error != NULL)
    return zm_ctl_fail (ctl, error);
  if (status == ZM_EXIT_OK)
    say_stored (ctl,
                count > 1      ? NULL
                : accepted > 0 ? "ACCEPTED"
                               : "DUPLICATE",
                first_id, accepted, duplicates);
  return status;
}

/* The message is made once; of many only the id changes, so that a bulk send costs the daemon more than the client. */
int
zm_ctl_cmd_send (ZmCtl *ctl, guint n, char **arguments)
{
  gint64 count = zm_ctl_count (ctl, "count", 1);
  ZmCtlMessage message;
  int status = ZM_EXIT_OK;

  if (count > 1 && zm_ctl_text (ctl, "id") != NULL)
    return zm_ctl_usage (ctl, _ ("--id and --count exclude each other: each message has an id of its own"));
  if (!zm_ctl_message_read (ctl, n, arguments, 0, &message, &status))
    return status;
  status = zm_ctl_flag (ctl, "durable") ? send_durable (ctl, &message, count)
                                        : send_messages (ctl, &message, count);
  zm_ctl_message_clear (&message);
  return status;
}

/* ---- call ---- */

/* As the daemon's own default, so that --timeout is needed only for more or less than that. */
#define CALL_MS 30000

/* The bytes as they are: they may go into a file. A terminal gets the newline that its prompt needs. */
static void
print_result (const ZmCtl *ctl, ZmSpan body)
{
  zm_out_bytes (body);
  if (ctl->terminal && body.size > 0 && body.data[body.size - 1] != '\n')
    putchar ('\n');
}

/* Statuses and headers are the daemon's, the body is the action's: as JSON where it is, else text or base64. The body of a call
 * that failed is the error, and stands where the error of every command stands. */
static void
print_reply_json (const GPtrArray *reply)
{
  g_autoptr (JsonObject) object = json_object_new ();
  g_autofree char *status = zm_printable (zm_ctl_frame (reply, 0), 32);
  JsonNode *headers = zm_json_read (zm_ctl_frame (reply, 1));
  JsonNode *error;

  json_object_set_string_member (object, "status", status);
  if (headers != NULL)
    json_object_set_member (object, "headers", headers);
  error = zm_span_is (zm_ctl_frame (reply, 0), "OK") ? NULL : zm_json_read (zm_ctl_frame (reply, 2));
  if (error != NULL)
    json_object_set_member (object, "error", error);
  else
    zm_json_set_body (object, zm_ctl_frame (reply, 2));
  zm_out_json_object (object);
}

/* "error CODE: text" of an ERROR's body, or "busy CODE: text". */
static int
print_error (ZmSpan body, gboolean busy)
{
  g_autoptr (JsonNode) node = zm_json_read (body);
  JsonObject *object = node != NULL && JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
  const char *code = zm_json_get_text (object, "code");
  const char *text = zm_json_get_text (object, "text");
  g_autofree char *safe_code = zm_printable (zm_span_text (code ? code : _ ("unknown")), 64);
  g_autofree char *safe_text = zm_printable (text != NULL ? zm_span_text (text) : body, 4096);

  /* "busy" without a code of its own is what every caller meets: the pool is full, and the advice helps. */
  if (busy && (text == NULL || g_strcmp0 (code, "busy") == 0))
    fprintf (stderr, _ ("busy: the daemon has no room for the call now; try again\n"));
  else
    fprintf (stderr, _ ("error %s: %s\n"), safe_code, safe_text);
  return busy || g_strcmp0 (code, "denied") == 0 ? ZM_EXIT_REFUSED : ZM_EXIT_FAILED;
}

/* With --json the whole reply is printed, whatever it is; the exit status tells the same either way. */
static int
print_reply (const ZmCtl *ctl, const GPtrArray *reply)
{
  ZmSpan status = zm_ctl_frame (reply, 0);

  if (ctl->json)
    print_reply_json (reply);
  if (zm_span_is (status, "ERROR"))
    return print_error (zm_ctl_frame (reply, 2), FALSE);
  if (zm_span_is (status, "BUSY"))
    return print_error (zm_ctl_frame (reply, 2), TRUE);
  if (!ctl->json)
    print_result (ctl, zm_ctl_frame (reply, 2));
  return ZM_EXIT_OK;
}

/* The endpoint is asked of the daemon's status, which also finds out in the time of --timeout that nobody is there. */
static int
call_message (ZmCtl *ctl, const ZmCtlMessage *message, gint64 timeout_ms)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *endpoint = zm_ctl_endpoint (ctl, "call", &error);
  gboolean fits = endpoint != NULL && zm_ctl_body_fits (ctl, "call", message->body, &error);
  g_autoptr (GPtrArray) reply = fits ? zm_ctl_call (ctl, endpoint, message, timeout_ms, &error) : NULL;

  return reply != NULL ? print_reply (ctl, reply) : zm_ctl_fail (ctl, error);
}

/* The deadline goes along as the header timeout, so that the daemon ends the call, and not only we stop waiting. */
int
zm_ctl_cmd_call (ZmCtl *ctl, guint n, char **arguments)
{
  gint64 timeout_ms = zm_ctl_duration (ctl, "timeout", CALL_MS);
  ZmCtlMessage message;
  int status = ZM_EXIT_OK;

  /* --timeout is the call's deadline; that nobody is there is known sooner. */
  ctl->timeout_ms = MIN (ctl->timeout_ms, ZM_CTL_REACH_MS);
  if (!zm_ctl_message_read (ctl, n, arguments, timeout_ms, &message, &status))
    return status;
  status = call_message (ctl, &message, timeout_ms);
  zm_ctl_message_clear (&message);
  return status;
}
