/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tail [KEY]: what is published, as it comes.
 *
 * Two sockets: SUB for the publications, and DEALER to the call socket for the registration and its heartbeats. One loop reads
 * both, beats, and wakes once a second to see whether the daemon is still there. What is received is printed at once: nothing
 * is kept, so that memory stays bounded by the high-water mark of the SUB socket, and what is lost at that mark is counted
 * (tail-gaps.c).
 */
#include "config.h"

#include "ctl/tail.h"

#include <stdio.h>
#include <unistd.h>

/* ---- which messages ---- */

/* Is this text a key that was asked for? */
static gboolean
is_asked (const ZmTail *tail, JsonObject *object, const char *member)
{
  const char *text = zm_json_get_text (object, member);
  ZmKey key;

  return text != NULL && zm_key_parse (zm_span_text (text), &key, NULL, NULL) &&
         zm_key_matches (&tail->key, &key);
}

/* Errors of all keys come, as their topics do not name it. The body does: the key of the message, and the step of the flow. */
static gboolean
is_foreign_error (const ZmTail *tail, ZmMessage *message)
{
  g_autoptr (JsonNode) node = NULL;
  JsonObject *object = NULL;

  if (tail->pattern == NULL || !zm_span_is (message->topic.key.action, "error") ||
      zm_key_matches (&tail->key, &message->topic.key))
    return FALSE;
  node = zm_json_read (zm_message_body (message));
  if (node == NULL || !JSON_NODE_HOLDS_OBJECT (node))
    return TRUE;
  object = json_node_get_object (node);
  return !is_asked (tail, object, "key") && !is_asked (tail, object, "step");
}

/* The topic's text up to its id. */
static ZmSpan
without_id (ZmMessage *message)
{
  ZmSpan topic = zm_message_topic (message);

  return zm_span (topic.data, topic.size - message->topic.id.size);
}

/* Handshakes and commands are the runtime's and not shown. */
static void
show_message (ZmTail *tail, ZmMessage *message)
{
  ZmSpan text = zm_message_topic (message);

  if (tail->count >= tail->most || (text.size > 0 && text.data[0] == '^') ||
      zm_tail_take_command (tail, text, zm_message_body (message)))
    return;
  if (tail->flow != NULL && !zm_span_is (message->topic.flow, tail->flow))
    return;
  tail->missed += zm_tail_gaps_take (tail->gaps, without_id (message), zm_message_headers (message));
  if (is_foreign_error (tail, message))
    return;
  tail->count++;
  tail->last_us = zm_now_us ();
  tail->waiting = FALSE;
  zm_tail_print (tail, message);
}

/* ---- receiving ---- */

/* Something of the wire that this version does not read; told and passed over, as the next one may be read. */
static void
bad_message (const GError *error, gpointer user)
{
  (void) user;
  fprintf (stderr, _ ("zmanagerctl: a publication that cannot be read: %s\n"), error->message);
}

#define FRAMES_MOST 8

/* Messages of one turn: between turns come signals, heartbeats and the end of --for, also where more is published than can be
 * printed. */
#define TURN_MOST 1000

static void
receive_turn (ZmTail *tail)
{
  g_autoptr (GPtrArray) out = g_ptr_array_new_with_free_func ((GDestroyNotify) zm_message_unref);

  for (guint taken = 0; taken < TURN_MOST && tail->count < tail->most; taken++) {
    zmq_msg_t frames[FRAMES_MOST];
    guint n = 0;
    gboolean more = TRUE;

    while (more && n < FRAMES_MOST) {
      zmq_msg_init (&frames[n]);
      if (zmq_msg_recv (&frames[n], tail->topics, ZMQ_DONTWAIT) < 0)
        break;
      more = zmq_msg_more (&frames[n++]) == 1;
    }
    if (n == 0)
      return;
    zm_wire_take (frames, n, ZM_FRAMES_AUTO, NULL, 0, out, bad_message, NULL);
    for (guint i = 0; i < out->len; i++)
      show_message (tail, g_ptr_array_index (out, i));
    g_ptr_array_set_size (out, 0);
    zm_tail_print_missed (tail, FALSE);
  }
}

/* How often subscribers were at their high-water mark. */
static gint64
stalls_of (JsonObject *status)
{
  return zm_json_get_int (zm_json_get_object (status, "counters"), "zmanager_integration_stalls_total");
}

/* What the numbers cannot tell: without a KEY nothing is numbered for us, as that would put headers on every other subscriber's
 * messages only because somebody looks; and at the end of a burst no later number shows the gap. The daemon counts how often
 * any subscriber was full. Several at one time share the count, so it says "may". */
static void
tell_stalls (ZmTail *tail)
{
  g_autoptr (JsonObject) now =
      zm_ctl_request (tail->ctl, zm_ctl_request_new ("status"), tail->ctl->timeout_ms, NULL);
  gint64 stalls = now != NULL ? stalls_of (now) - tail->stalls : 0;

  if (stalls <= 0)
    return;
  tail->stalls += stalls;
  if (tail->ctl->json) {
    g_autoptr (JsonObject) object = json_object_new ();

    json_object_set_int_member (object, "stalls", stalls);
    zm_out_json_object (object);
  }
  fprintf (
      stderr,
      _ ("a subscriber was too slow for the daemon meanwhile; if it was this one, messages may be missing "
         "here that no gap tells\n"));
}

/* Ends after --count, after --for, by a signal, or when the daemon goes. */
static int
follow (ZmTail *tail, GError **error)
{
  gint64 limit_ms = zm_ctl_duration (tail->ctl, "for", -1);
  gint64 end = limit_ms < 0 ? G_MAXINT64 : zm_now_us () + limit_ms * 1000;

  tail->last_us = zm_now_us ();
  tail->stalls = stalls_of (tail->ctl->status);
  while (tail->count < tail->most) {
    int got = zm_ctl_wait (tail->ctl, tail->topics, MIN (end, zm_now_us () + ZM_CTL_ALIVE_US));

    if (zm_now_us () >= tail->next_beat_us)
      zm_tail_beat (tail);
    if (got < 0)
      return ZM_EXIT_OK;
    if (got == 1)
      receive_turn (tail);
    if (tail->count < tail->most && zm_now_us () >= end)
      return tail->most == G_MAXINT64 ? ZM_EXIT_OK : ZM_EXIT_FAILED;
    if (got == 0 && !zm_ctl_alive (tail->call, error))
      return ZM_EXIT_UNREACHABLE;
    if (!tail->waiting && zm_now_us () - tail->last_us >= ZM_CTL_QUIET_US) {
      zm_tail_print_waiting (tail);
      tell_stalls (tail);
    }
  }
  return ZM_EXIT_OK;
}

/* ---- the command ---- */

/* Topics first: when HELLO is answered, its subscriptions must be on their way. */
static gboolean
open_sockets (ZmTail *tail, GError **error)
{
  g_autofree char *call = zm_ctl_endpoint (tail->ctl, "call", error);
  g_autofree char *topics = call != NULL ? zm_ctl_endpoint (tail->ctl, "topics", error) : NULL;

  if (topics == NULL)
    return FALSE;
  tail->topics = zm_ctl_socket (tail->ctl, ZMQ_SUB, topics, error);
  tail->call = tail->topics != NULL ? zm_ctl_socket (tail->ctl, ZMQ_DEALER, call, error) : NULL;
  return tail->call != NULL;
}

/* The line "tailing" is the promise that scripts wait for: it comes when every subscription is active, and not before.
 * The account comes on every way out, also when the daemon went away. */
static int
run_tail (ZmTail *tail)
{
  g_autoptr (GError) error = NULL;
  int status = ZM_EXIT_OK;

  if (!open_sockets (tail, &error) || !zm_tail_hello (tail, &error))
    return zm_ctl_fail (tail->ctl, error);
  if (tail->pattern != NULL)
    fprintf (stderr, _ ("tailing %s\n"), tail->pattern);
  else if (tail->flow != NULL)
    fprintf (stderr, _ ("tailing flow %s\n"), tail->flow);
  else
    fprintf (stderr, _ ("tailing everything\n"));
  status = follow (tail, &error);
  zm_tail_print_missed (tail, TRUE);
  if (error != NULL)
    return zm_ctl_fail (tail->ctl, error);
  tell_stalls (tail);
  zm_tail_goodbye (tail);
  return status;
}

/* FALSE: a usage error was said. */
static gboolean
check_arguments (ZmTail *tail)
{
  g_autoptr (GError) error = NULL;

  if (tail->pattern != NULL && !zm_key_parse (zm_span_text (tail->pattern), &tail->key, NULL, &error)) {
    g_autofree char *safe = zm_printable (zm_span_text (tail->pattern), 256);

    zm_ctl_usage (tail->ctl, _ ("the key \"%s\" is wrong: %s"), safe, error->message);
    return FALSE;
  }
  if (tail->flow != NULL && !zm_name_check (zm_span_text (tail->flow), NULL, &error)) {
    zm_ctl_usage (tail->ctl, "--flow: %s", error->message);
    return FALSE;
  }
  return TRUE;
}

/* The process id makes the name: two tails of one user must not take each other's registration. Sockets are closed with
 * no wait for what is unsent, but the call socket's, whose goodbye should arrive. */
int
zm_ctl_cmd_tail (ZmCtl *ctl, guint n, char **arguments)
{
  ZmTail tail = {
    .ctl = ctl,
    .pattern = n > 0 ? arguments[0] : NULL,
    .flow = zm_ctl_text (ctl, "flow"),
    .most = zm_ctl_count (ctl, "count", G_MAXINT64),
  };
  int status = ZM_EXIT_USAGE;

  if (!check_arguments (&tail))
    return status;
  zm_ctl_catch_signals (ctl);
  tail.nonce = g_uuid_string_random ();
  tail.name = g_strdup_printf ("zmanagerctl-tail-%d", (int) getpid ());
  tail.subscribed = g_ptr_array_new_with_free_func (g_free);
  tail.gaps = zm_tail_gaps_new ();
  status = run_tail (&tail);
  zm_ctl_close (tail.topics, 0);
  zm_ctl_close (tail.call, 200);
  zm_tail_gaps_free (tail.gaps);
  g_ptr_array_unref (tail.subscribed);
  g_free (tail.command_prefix);
  g_free (tail.nonce);
  g_free (tail.name);
  return status;
}
