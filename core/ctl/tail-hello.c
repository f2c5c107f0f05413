/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The registration of a tail. Topics begin with the flow's name, so "this key in whatever flow" is no prefix: the daemon is
 * asked (HELLO) for the exact prefixes, and asked a second time with a nonce that is subscribed last, so that when it answers
 * every subscription is active and nothing is missed from the line "tailing" on.
 */
#include "config.h"

#include "base/version.h"
#include "ctl/tail.h"

#include <stdio.h>
#include <string.h>

/* A tail that was killed is told from one that is silent. */
#define BEAT_MS    10000
#define GOODBYE_MS 500

/* Errors are published as flow~~~~error~id, whatever their message's key is. */
#define ERRORS "??error"

/* HELLO's JSON. The caller frees. */
static char *
hello_text (const ZmTail *tail, gboolean errors, const char *nonce)
{
  g_autoptr (JsonObject) object = json_object_new ();
  g_autoptr (JsonNode) node = json_node_init_object (json_node_alloc (), object);
  JsonArray *patterns = json_array_new ();

  json_object_set_string_member (object, "name", tail->name);
  json_object_set_string_member (object, "version", zm_version ());
  if (tail->pattern != NULL)
    json_array_add_string_element (patterns, tail->pattern);
  if (errors)
    json_array_add_string_element (patterns, ERRORS);
  json_object_set_array_member (object, "patterns", patterns);
  json_object_set_int_member (object, "heartbeat_ms", BEAT_MS);
  /* A tool of a moment: the daemon forgets it when it ends. */
  json_object_set_boolean_member (object, "transient", TRUE);
  if (nonce != NULL)
    json_object_set_string_member (object, "nonce", nonce);
  return json_to_string (node, FALSE);
}

/* The answer's object. NULL: error. */
static JsonObject *
hello (ZmTail *tail, gboolean errors, const char *nonce, GError **error)
{
  g_autofree char *text = hello_text (tail, errors, nonce);
  ZmSpan frame = zm_span_text (text);
  g_autoptr (GPtrArray) reply =
      zm_ctl_exchange (tail->ctl, tail->call, "HELLO", &frame, 1, ZM_CTL_ANSWER_MS, error);
  g_autoptr (JsonNode) body = reply != NULL ? zm_json_read (zm_ctl_frame (reply, 2)) : NULL;
  g_autofree char *why = NULL;

  if (reply == NULL)
    return NULL;
  if (zm_span_is (zm_ctl_frame (reply, 0), "OK") && body != NULL && JSON_NODE_HOLDS_OBJECT (body))
    return json_object_ref (json_node_get_object (body));
  why = zm_printable (zm_ctl_frame (reply, 2), 1024);
  g_set_error (error, ZM_ERROR, ZM_ERROR_REFUSED, _ ("the daemon refused the registration: %s"), why);
  return NULL;
}

/* With the errors, if there are not too many flows for that: those of the key itself are worth more. */
static JsonObject *
first_hello (ZmTail *tail, gboolean *errors, GError **error)
{
  const ZmKey ends = { .action = ZM_SPAN_LITERAL ("error") };
  g_autoptr (GError) inner = NULL;
  JsonObject *answer = NULL;

  *errors = tail->pattern != NULL && !zm_key_matches (&tail->key, &ends);
  answer = hello (tail, *errors, NULL, &inner);
  if (answer == NULL && *errors && g_error_matches (inner, ZM_ERROR, ZM_ERROR_REFUSED)) {
    *errors = FALSE;
    answer = hello (tail, FALSE, NULL, error);
    if (answer != NULL)
      fprintf (stderr, _ ("zmanagerctl: errors of this key are not shown: %s\n"), inner->message);
  } else if (answer == NULL) {
    g_propagate_error (error, g_steal_pointer (&inner));
  }
  return answer;
}

/* Each prefix once: a reload brings the list anew, and libzmq would count each repetition as a further subscription. */
static void
subscribe (ZmTail *tail, const char *prefix)
{
  if (g_ptr_array_find_with_equal_func (tail->subscribed, prefix, g_str_equal, NULL))
    return;
  zmq_setsockopt (tail->topics, ZMQ_SUBSCRIBE, prefix, strlen (prefix));
  g_ptr_array_add (tail->subscribed, g_strdup (prefix));
}

/* What is subscribed stays, even if a later list lacks it: messages under way still arrive. */
static void
subscribe_list (ZmTail *tail, JsonArray *prefixes)
{
  for (guint i = 0; prefixes != NULL && i < json_array_get_length (prefixes); i++) {
    const char *prefix = zm_json_nth_text (prefixes, i);

    if (prefix != NULL)
      subscribe (tail, prefix);
  }
}

/* Everything ("") and a flow's own prefix need no list. The nonce's subscription comes last, and the daemon answers the
 * second HELLO when it has seen it: those before it are active then. */
gboolean
zm_tail_hello (ZmTail *tail, GError **error)
{
  gboolean errors = FALSE;
  g_autoptr (JsonObject) answer = first_hello (tail, &errors, error);
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
  active = hello (tail, errors, tail->nonce, error);
  return active != NULL;
}

/* The reply is thrown away when the next beat is sent: nothing depends on it. */
void
zm_tail_beat (ZmTail *tail)
{
  g_autofree char *text = g_strdup_printf ("{\"name\":\"%s\",\"state\":\"RUNNING\"}", tail->name);
  ZmSpan frames[] = { ZM_SPAN_LITERAL ("2"), ZM_SPAN_LITERAL ("HEARTBEAT"), zm_span_text (text) };
  GPtrArray *reply = NULL;

  while ((reply = zm_ctl_receive (tail->call)) != NULL)
    g_ptr_array_unref (reply);
  zm_ctl_send_frames (tail->call, frames, G_N_ELEMENTS (frames), 100);
  tail->next_beat_us = zm_now_us () + BEAT_MS * 1000 / 2;
}

/* The reply is waited for, so that the daemon does not find its caller gone. */
void
zm_tail_goodbye (ZmTail *tail)
{
  g_autofree char *text = g_strdup_printf ("{\"name\":\"%s\",\"state\":\"STOPPED\"}", tail->name);
  ZmSpan frame = zm_span_text (text);
  g_autoptr (GPtrArray) reply =
      zm_ctl_exchange (tail->ctl, tail->call, "HEARTBEAT", &frame, 1, GOODBYE_MS, NULL);

  (void) reply;
}

/* After a reload the list of prefixes may be another. */
gboolean
zm_tail_take_command (ZmTail *tail, ZmSpan topic, ZmSpan body)
{
  gsize size = tail->command_prefix != NULL ? strlen (tail->command_prefix) : 0;
  g_autoptr (JsonNode) node = NULL;
  JsonArray *prefixes = NULL;

  if (size == 0 || topic.size < size || memcmp (topic.data, tail->command_prefix, size) != 0)
    return FALSE;
  node = zm_json_read (body);
  if (node != NULL && JSON_NODE_HOLDS_ARRAY (node))
    prefixes = json_node_get_array (node);
  else if (node != NULL && JSON_NODE_HOLDS_OBJECT (node))
    prefixes = zm_json_get_array (json_node_get_object (node), "prefixes");
  subscribe_list (tail, prefixes);
  return TRUE;
}
