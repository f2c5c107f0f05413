/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tail: what is published. Topics begin with the flow's name, so "this key in whatever flow" is no prefix: the daemon is asked
 * (HELLO) for the exact prefixes, and asked a second time with a nonce that is subscribed last, so that when it answers every
 * subscription is active and nothing is missed from the line "tailing" on.
 */
#include "config.h"

#include "base/version.h"
#include "ctl/ctl.h"
#include "message/zm-message.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A tail that was killed is told from one that is silent. */
#define BEAT_MS    10000
#define GOODBYE_MS 500

typedef struct Tail {
  ZmCtl *ctl;
  void *topics; /* SUB */
  void *call;   /* DEALER */
  char *name;   /* as registered; a name of its own a process */
  char *nonce;
  const char *pattern; /* KEY, or NULL */
  const char *flow;
  char *command_prefix;
  gint64 count, most;
  GPtrArray *subscribed; /* prefixes, owned */
  gint64 next_beat_us;
} Tail;

/* ---- registering ---- */

/* The answer's object. NULL: error. */
static JsonObject *
hello (Tail *tail, const char *nonce, GError **error)
{
  g_autoptr (JsonObject) object = json_object_new ();
  g_autoptr (JsonNode) node = json_node_init_object (json_node_alloc (), object);
  JsonArray *patterns = json_array_new ();
  g_autofree char *text = NULL;
  g_autoptr (GPtrArray) reply = NULL;
  g_autoptr (JsonNode) body = NULL;
  ZmSpan frame;

  json_object_set_string_member (object, "name", tail->name);
  json_object_set_string_member (object, "version", zm_version ());
  if (tail->pattern != NULL)
    json_array_add_string_element (patterns, tail->pattern);
  json_object_set_array_member (object, "patterns", patterns);
  json_object_set_int_member (object, "heartbeat_ms", BEAT_MS);
  json_object_set_boolean_member (object, "transient", TRUE);
  if (nonce != NULL)
    json_object_set_string_member (object, "nonce", nonce);
  text = json_to_string (node, FALSE);
  frame = zm_span_text (text);
  reply = zm_ctl_exchange (tail->ctl, tail->call, "HELLO", &frame, 1, ZM_CTL_ANSWER_MS, error);
  if (reply == NULL)
    return NULL;
  body = zm_json_read (zm_ctl_frame (reply, 2));
  if (zm_span_is (zm_ctl_frame (reply, 0), "OK") && body != NULL && JSON_NODE_HOLDS_OBJECT (body))
    return json_object_ref (json_node_get_object (body));
  text = (g_free (text), zm_printable (zm_ctl_frame (reply, 2), 1024));
  g_set_error (error, ZM_ERROR, ZM_ERROR_REFUSED, _ ("the daemon refused the registration: %s"), text);
  return NULL;
}

/* Each prefix once: libzmq counts subscriptions. */
static void
subscribe (Tail *tail, const char *prefix)
{
  if (g_ptr_array_find_with_equal_func (tail->subscribed, prefix, g_str_equal, NULL))
    return;
  zmq_setsockopt (tail->topics, ZMQ_SUBSCRIBE, prefix, strlen (prefix));
  g_ptr_array_add (tail->subscribed, g_strdup (prefix));
}

/* What is subscribed stays, even if a later list lacks it: messages under way still arrive. */
static void
subscribe_list (Tail *tail, JsonArray *prefixes)
{
  for (guint i = 0; prefixes != NULL && i < json_array_get_length (prefixes); i++) {
    const char *prefix = zm_json_nth_text (prefixes, i);

    if (prefix != NULL)
      subscribe (tail, prefix);
  }
}

/* What to subscribe: the daemon's prefixes of a key, those of a flow, or everything. */
static gboolean
subscribe_all (Tail *tail, GError **error)
{
  g_autoptr (JsonObject) answer = hello (tail, NULL, error);
  g_autofree char *flow = tail->flow != NULL ? g_strconcat (tail->flow, "~", NULL) : NULL;
  g_autofree char *last = g_strconcat ("^hello~", tail->nonce, NULL);
  g_autoptr (JsonObject) active = NULL;

  if (answer == NULL)
    return FALSE;
  tail->command_prefix = g_strdup (zm_json_get_text (answer, "command_prefix"));
  if (tail->pattern != NULL) {
    subscribe_list (tail, zm_json_get_array (answer, "prefixes"));
    if (tail->command_prefix != NULL)
      subscribe (tail, tail->command_prefix);
  } else {
    subscribe (tail, flow != NULL ? flow : "");
  }
  zmq_setsockopt (tail->topics, ZMQ_SUBSCRIBE, last, strlen (last));
  active = hello (tail, tail->nonce, error);
  return active != NULL;
}

/* Tells that the registration is still used. The reply is thrown away when the next one is sent. */
static void
beat (Tail *tail)
{
  g_autofree char *text = g_strdup_printf ("{\"name\":\"%s\",\"state\":\"RUNNING\"}", tail->name);
  ZmSpan frames[] = { ZM_SPAN_LITERAL ("2"), ZM_SPAN_LITERAL ("HEARTBEAT"), zm_span_text (text) };
  GPtrArray *reply = NULL;

  while ((reply = zm_ctl_receive (tail->call)) != NULL)
    g_ptr_array_unref (reply);
  zm_ctl_send_frames (tail->call, frames, G_N_ELEMENTS (frames), 100);
  tail->next_beat_us = zm_now_us () + BEAT_MS * 1000 / 2;
}

/* The registration ends with the program. The reply is waited for, so that the daemon does not find its caller gone. */
static void
goodbye (Tail *tail)
{
  g_autofree char *text = g_strdup_printf ("{\"name\":\"%s\",\"state\":\"STOPPED\"}", tail->name);
  ZmSpan frame = zm_span_text (text);
  g_autoptr (GPtrArray) reply =
      zm_ctl_exchange (tail->ctl, tail->call, "HEARTBEAT", &frame, 1, GOODBYE_MS, NULL);

  (void) reply;
}

/* ---- printing ---- */

static void
print_json (const ZmTopic *topic, ZmSpan text, ZmSpan headers, ZmSpan body)
{
  g_autoptr (JsonObject) object = json_object_new ();
  g_autofree char *whole = zm_printable (text, ZM_KEY_MOST);
  g_autofree char *key = zm_key_text (&topic->key);
  g_autofree char *flow = zm_span_dup (topic->flow);
  g_autofree char *id = zm_span_dup (topic->id);
  JsonNode *values = zm_json_read (headers);

  json_object_set_string_member (object, "topic", whole);
  if (*flow)
    json_object_set_string_member (object, "flow", flow);
  json_object_set_string_member (object, "key", key);
  json_object_set_string_member (object, "id", id);
  if (values != NULL)
    json_object_set_member (object, "headers", values);
  zm_json_set_body (object, body);
  zm_out_json_object (object);
}

/* Bodies come from anybody; what a terminal would obey is shown as text. */
static void
print_text (const Tail *tail, ZmSpan text, ZmSpan headers, ZmSpan body)
{
  const ZmCtl *ctl = tail->ctl;
  g_autofree char *topic = zm_printable (text, ZM_KEY_MOST);
  g_autofree char *bold = zm_out_style (ctl, ZM_STYLE_BOLD, topic);

  fputs (bold, stdout);
  if (headers.size > 0) {
    g_autofree char *safe = zm_printable (headers, 65536);
    g_autofree char *dim = zm_out_style (ctl, ZM_STYLE_DIM, safe);

    printf (" %s", dim);
  }
  if (body.size > 0)
    putchar (' ');
  if (ctl->terminal && !zm_ctl_flag (ctl, "raw")) {
    g_autofree char *safe = zm_printable (body, 65536);

    fputs (safe, stdout);
  } else {
    zm_out_bytes (body);
  }
  putchar ('\n');
  fflush (stdout);
}

/* A command for this registration: after a reload the list of prefixes may be another. */
static gboolean
take_command (Tail *tail, ZmSpan text, ZmSpan body)
{
  gsize size = tail->command_prefix != NULL ? strlen (tail->command_prefix) : 0;
  g_autoptr (JsonNode) node = NULL;
  JsonArray *prefixes = NULL;

  if (size == 0 || text.size < size || memcmp (text.data, tail->command_prefix, size) != 0)
    return FALSE;
  node = zm_json_read (body);
  if (node != NULL && JSON_NODE_HOLDS_ARRAY (node))
    prefixes = json_node_get_array (node);
  else if (node != NULL && JSON_NODE_HOLDS_OBJECT (node))
    prefixes = zm_json_get_array (json_node_get_object (node), "prefixes");
  subscribe_list (tail, prefixes);
  return TRUE;
}

/* Handshakes and commands are the runtime's and not shown. */
static void
show_message (Tail *tail, ZmMessage *message)
{
  ZmSpan text = zm_message_topic (message);

  if (tail->count >= tail->most || (text.size > 0 && text.data[0] == '^') ||
      take_command (tail, text, zm_message_body (message)))
    return;
  if (tail->flow != NULL && !zm_span_is (message->topic.flow, tail->flow))
    return;
  tail->count++;
  if (tail->ctl->json)
    print_json (&message->topic, text, zm_message_headers (message), zm_message_body (message));
  else
    print_text (tail, text, zm_message_headers (message), zm_message_body (message));
}

/* ---- receiving ---- */

static void
bad_message (const GError *error, gpointer user)
{
  (void) user;
  fprintf (stderr, _ ("zmanagerctl: a publication that cannot be read: %s\n"), error->message);
}

#define FRAMES_MOST 8

/* Everything that is there now. */
static void
receive_all (Tail *tail)
{
  g_autoptr (GPtrArray) out = g_ptr_array_new_with_free_func ((GDestroyNotify) zm_message_unref);

  while (tail->count < tail->most) {
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
  }
}

/* Ends after --count, after --for, by a signal, or when the daemon goes. */
static int
follow (Tail *tail, GError **error)
{
  gint64 limit_ms = zm_ctl_duration (tail->ctl, "for", -1);
  gint64 end = limit_ms < 0 ? G_MAXINT64 : zm_now_us () + limit_ms * 1000;

  while (tail->count < tail->most) {
    int got = zm_ctl_wait (tail->ctl, tail->topics, MIN (end, zm_now_us () + ZM_CTL_ALIVE_US));

    if (zm_now_us () >= tail->next_beat_us)
      beat (tail);
    if (got < 0)
      return ZM_EXIT_OK;
    if (got == 1)
      receive_all (tail);
    else if (zm_now_us () >= end)
      return tail->most == G_MAXINT64 ? ZM_EXIT_OK : ZM_EXIT_FAILED;
    else if (!zm_ctl_alive (tail->call, error))
      return ZM_EXIT_UNREACHABLE;
  }
  return ZM_EXIT_OK;
}

/* ---- the command ---- */

/* Topics first: when HELLO is answered, its subscriptions must be on their way. */
static gboolean
open_sockets (Tail *tail, GError **error)
{
  g_autofree char *call = zm_ctl_endpoint (tail->ctl, "call", error);
  g_autofree char *topics = call != NULL ? zm_ctl_endpoint (tail->ctl, "topics", error) : NULL;

  if (topics == NULL)
    return FALSE;
  tail->topics = zm_ctl_socket (tail->ctl, ZMQ_SUB, topics, error);
  tail->call = tail->topics != NULL ? zm_ctl_socket (tail->ctl, ZMQ_DEALER, call, error) : NULL;
  return tail->call != NULL;
}

static int
run_tail (Tail *tail)
{
  g_autoptr (GError) error = NULL;
  int status = ZM_EXIT_OK;

  if (!open_sockets (tail, &error) || !subscribe_all (tail, &error))
    return zm_ctl_fail (tail->ctl, error);
  if (tail->pattern != NULL)
    fprintf (stderr, _ ("tailing %s\n"), tail->pattern);
  else if (tail->flow != NULL)
    fprintf (stderr, _ ("tailing flow %s\n"), tail->flow);
  else
    fprintf (stderr, _ ("tailing everything\n"));
  status = follow (tail, &error);
  if (error != NULL)
    return zm_ctl_fail (tail->ctl, error);
  goodbye (tail);
  return status;
}

/* FALSE: a usage error was said. */
static gboolean
check_arguments (const Tail *tail)
{
  g_autoptr (GError) error = NULL;
  ZmKey key;

  if (tail->pattern != NULL && !zm_key_parse (zm_span_text (tail->pattern), &key, NULL, &error)) {
    g_autofree char *safe = zm_printable (zm_span_text (tail->pattern), 256);

    zm_ctl_usage (tail->ctl, _ ("the key “%s” is wrong: %s"), safe, error->message);
    return FALSE;
  }
  if (tail->flow != NULL && !zm_name_check (zm_span_text (tail->flow), NULL, &error)) {
    zm_ctl_usage (tail->ctl, "--flow: %s", error->message);
    return FALSE;
  }
  return TRUE;
}

int
zm_ctl_cmd_tail (ZmCtl *ctl, guint n, char **arguments)
{
  Tail tail = {
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
  status = run_tail (&tail);
  zm_ctl_close (tail.topics, 0);
  zm_ctl_close (tail.call, 200);
  g_ptr_array_unref (tail.subscribed);
  g_free (tail.command_prefix);
  g_free (tail.nonce);
  g_free (tail.name);
  return status;
}
