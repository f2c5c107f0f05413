/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a tail prints: messages to the standard output; what it waits for and what it missed to the standard error.
 *
 * So `tail | program` gets messages and nothing else. With --json what was missed is told in the stream too, as a program that
 * counts has to know it.
 */
#include "config.h"

#include "ctl/tail.h"

#include <stdio.h>

#define TELL_US G_USEC_PER_SEC

/* ---- messages ---- */

/* The topic whole and in its parts, so that no program has to split it again. */
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

/* The headers as people want them: `sequence` is there for the account of what was missed. NULL: nothing is left. The caller
 * frees. */
static char *
headers_text (ZmSpan headers)
{
  ZmSpan raw;
  g_autoptr (JsonNode) node = NULL;
  JsonObject *object = NULL;

  if (headers.size == 0)
    return NULL;
  if (zm_json_member (headers, "sequence", &raw))
    node = zm_json_read (headers);
  if (node == NULL || !JSON_NODE_HOLDS_OBJECT (node))
    return zm_printable (headers, 65536);
  object = json_node_get_object (node);
  json_object_remove_member (object, "sequence");
  if (json_object_get_size (object) == 0)
    return NULL;
  g_autofree char *rest = json_to_string (node, FALSE);
  return zm_printable (zm_span_text (rest), 65536);
}

/* Bodies come from anybody; what a terminal would obey is shown as text. */
static void
print_text (const ZmCtl *ctl, ZmSpan text, ZmSpan headers, ZmSpan body)
{
  g_autofree char *topic = zm_printable (text, ZM_KEY_MOST);
  g_autofree char *bold = zm_out_style (ctl, ZM_STYLE_BOLD, topic);
  g_autofree char *shown = headers_text (headers);

  fputs (bold, stdout);
  if (shown != NULL) {
    g_autofree char *dim = zm_out_style (ctl, ZM_STYLE_DIM, shown);

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

/* One line a message, whatever is in it; flushed, as it may go through a pipe. */
void
zm_tail_print (const ZmTail *tail, ZmMessage *message)
{
  ZmSpan text = zm_message_topic (message);
  ZmSpan headers = zm_message_headers (message), body = zm_message_body (message);

  if (tail->ctl->json)
    print_json (&message->topic, text, headers, body);
  else
    print_text (tail->ctl, text, headers, body);
}

/* ---- the account ---- */

/* Programs that read the lines get it as one of them, in the words of the other streams. */
static void
print_missed_json (gint64 missed)
{
  g_autoptr (JsonObject) object = json_object_new ();

  json_object_set_int_member (object, "missed", missed);
  zm_out_json_object (object);
}

/* Not at each gap: under load there is one between nearly any two messages, and telling it would make us slower still. */
void
zm_tail_print_missed (ZmTail *tail, gboolean last)
{
  gint64 now = zm_now_us (), fresh = tail->missed - tail->told;

  if (fresh > 0 && (last || now >= tail->tell_us)) {
    if (tail->ctl->json)
      print_missed_json (fresh);
    if (!last)
      fprintf (stderr, _ ("missed %lld\n"), (long long) fresh);
    tail->told = tail->missed;
    tail->tell_us = now + TELL_US;
  }
  if (last && tail->missed > 0)
    fprintf (stderr,
             _ ("%lld printed, %lld missed: they came faster than they could be printed here; see "
                "zmanager-wire(7), "
                "SUBSCRIBING\n"),
             (long long) tail->count, (long long) tail->missed);
}

/* Once in each silence, on the standard error: a script that reads the messages does not see it, a person who wonders
 * does. */
void
zm_tail_print_waiting (ZmTail *tail)
{
  tail->waiting = TRUE;
  zm_tail_print_missed (tail, FALSE);
  if (tail->most != G_MAXINT64)
    fprintf (stderr, _ ("waiting: %lld of %lld messages came; --for TIME ends the wait\n"),
             (long long) tail->count, (long long) tail->most);
  else if (tail->count == 0 && tail->pattern != NULL)
    fprintf (stderr, _ ("nothing came yet; zmanagerctl explain '%s' tells what becomes of such a message\n"),
             tail->pattern);
  else if (tail->count == 0)
    fprintf (stderr, _ ("nothing came yet\n"));
}
