/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One case: the test plays the services. It gives each answer when the flow waits for that key, and compares what is published
 * with what is expected, in order; other publications may stand between.
 *
 * Nothing here sleeps: the case waits for publications on its socket, with the case's timeout as the end. Messages of the case
 * are known by their id, which no other case has, so cases need no pause between them and timers or sources cannot disturb.
 */
#include "config.h"

#include "ctl/flow-trial.h"
#include "message/zm-message.h"

#include <string.h>

/* How often the daemon is asked which flows wait, while an answer is still to be given. */
#define LOOK_US 30000

/* ---- sending ---- */

/* As a service would: two frames to the Subject. The key was checked when the file was read. */
static void
push (const ZmFlowRun *run, const char *flow, const char *key_text, const char *id, const char *body)
{
  g_autoptr (GString) topic = g_string_new (flow);
  ZmKey key;
  ZmSpan frames[2];

  if (!zm_key_parse (zm_span_text (key_text), &key, NULL, NULL))
    return;
  g_string_append_c (topic, '~');
  zm_key_append_slug (&key, topic);
  g_string_append_printf (topic, "~%s", id);
  frames[0] = zm_span (topic->str, topic->len);
  frames[1] = zm_span_text (body != NULL ? body : "");
  zm_ctl_send_frames (run->push, frames, G_N_ELEMENTS (frames), 1000);
}

/* The next answer, on behalf of the service. */
static void
give_answer (ZmFlowTrial *trial, const char *flow)
{
  const ZmFlowTestPart *answer = g_ptr_array_index (trial->test->answers, trial->answered);

  trial->answered++;
  push (trial->run, flow, answer->key, trial->id, answer->body);
}

/* Undecorated, as waiting instances are known. */
static gboolean
same_key (const char *pattern, const ZmKey *key)
{
  ZmKey wanted;
  ZmKey plain = *key;

  if (!zm_key_parse (zm_span_text (pattern), &wanted, NULL, NULL))
    return FALSE;
  wanted.decorator = zm_span (NULL, 0);
  plain.decorator = zm_span (NULL, 0);
  return zm_key_equal (&wanted, &plain);
}

/* Does the daemon say that a flow waits for the next answer's key? ASYNC steps are told by nothing else. */
static void
look_for_wait (ZmFlowTrial *trial)
{
  const ZmFlowTestPart *answer = g_ptr_array_index (trial->test->answers, trial->answered);
  g_autoptr (JsonObject) reply =
      zm_ctl_request (trial->run->ctl, zm_ctl_request_new ("instances"), ZM_CTL_ANSWER_MS, NULL);
  JsonArray *list = zm_json_get_array (reply, "instances");

  for (guint i = 0; list != NULL && i < json_array_get_length (list); i++) {
    JsonObject *wait = zm_json_nth_object (list, i);
    const char *text = zm_json_get_text (wait, "key");
    const char *flow = zm_json_get_text (wait, "flow");
    ZmKey key;

    if (text == NULL || flow == NULL || g_strcmp0 (zm_json_get_text (wait, "id"), trial->id) != 0 ||
        !zm_key_parse (zm_span_text (text), &key, NULL, NULL) || !same_key (answer->key, &key))
      continue;
    give_answer (trial, flow);
    return;
  }
}

/* ---- comparing ---- */

/* JSON is compared as a value, so that blanks and the order of members do not matter; other bodies byte by byte. */
static gboolean
same_body (const char *expected, ZmSpan body)
{
  g_autoptr (JsonNode) a = zm_json_read (zm_span_text (expected));
  g_autoptr (JsonNode) b = a != NULL ? zm_json_read (body) : NULL;

  return b != NULL ? json_node_equal (a, b) : zm_span_is (body, expected);
}

/* A topic prefix is compared as text, a key part by part. */
static gboolean
same_topic (const ZmFlowTestPart *expect, const ZmMessage *message)
{
  ZmSpan topic = zm_message_topic (message);
  ZmKey pattern;

  if (strchr (expect->key, '~') != NULL)
    return topic.size >= strlen (expect->key) && memcmp (topic.data, expect->key, strlen (expect->key)) == 0;
  return zm_key_parse (zm_span_text (expect->key), &pattern, NULL, NULL) &&
         zm_key_matches (&pattern, &message->topic.key);
}

/* Takes got. The first failure stands. */
static void
fail (ZmFlowTrial *trial, const ZmFlowTestPart *expect, char *got)
{
  if (trial->got != NULL) {
    g_free (got);
    return;
  }
  trial->expected = g_strdup_printf (_ ("%s %s (line %u)"), expect->key,
                                     expect->body != NULL ? expect->body : "", expect->line);
  trial->got = got;
}

/* A publication of this case: does it fit what is expected next? Others may stand between. */
static void
compare (ZmFlowTrial *trial, const ZmMessage *message)
{
  const ZmFlowTestPart *expect = g_ptr_array_index (trial->test->expects, trial->matched);
  ZmSpan body = zm_message_body (message);
  g_autofree char *topic = zm_printable (zm_message_topic (message), ZM_KEY_MOST);
  g_autofree char *shown = zm_printable (body, 4096);

  if (!same_topic (expect, message)) {
    /* Nothing that is expected can come any more: the case need not wait for its timeout. */
    if (zm_span_is (message->topic.key.action, "error"))
      fail (trial, expect, g_strdup_printf ("%s %s", topic, shown));
    return;
  }
  if (expect->body != NULL && !same_body (expect->body, body))
    fail (trial, expect, g_strdup_printf ("%s %s", topic, shown));
  else
    trial->matched++;
}

/* ---- running a case ---- */

/* The first failure ends a case, and so does the last expectation: what comes later is nobody's business. */
static gboolean
is_over (const ZmFlowTrial *trial)
{
  return trial->got != NULL || trial->matched >= trial->test->expects->len;
}

/* The publications of other cases, of timers and of sources bear other ids. */
static void
take_message (ZmFlowTrial *trial, const ZmMessage *message)
{
  g_autofree char *topic = NULL;
  g_autofree char *body = NULL;
  g_autofree char *flow = zm_span_dup (message->topic.flow);

  if (!zm_span_is (message->topic.id, trial->id))
    return;
  topic = zm_printable (zm_message_topic (message), ZM_KEY_MOST);
  body = zm_printable (zm_message_body (message), 1024);
  g_ptr_array_add (trial->seen, g_strdup_printf ("%s %s", topic, body));
  if (!is_over (trial))
    compare (trial, message);
  /* A hand-over step publishes the very key that its service answers with. */
  if (trial->answered < trial->test->answers->len) {
    const ZmFlowTestPart *answer = g_ptr_array_index (trial->test->answers, trial->answered);

    if (*flow != '\0' && same_key (answer->key, &message->topic.key))
      give_answer (trial, flow);
  }
}

/* Everything that is there now, also behind the end of the case: it is told as published in all. Messages are read as
 * the daemon reads them, so whatever form an instance publishes in is understood. */
static void
receive_all (ZmFlowTrial *trial)
{
  g_autoptr (GPtrArray) frames = NULL;

  while ((frames = zm_ctl_receive (trial->run->topics)) != NULL) {
    g_autoptr (GPtrArray) out = g_ptr_array_new_with_free_func ((GDestroyNotify) zm_message_unref);
    zmq_msg_t parts[3];
    guint n = MIN (frames->len, G_N_ELEMENTS (parts));

    for (guint i = 0; i < n; i++) {
      ZmSpan part = zm_ctl_frame (frames, i);

      zmq_msg_init_size (&parts[i], part.size);
      if (part.size > 0)
        memcpy (zmq_msg_data (&parts[i]), part.data, part.size);
    }
    zm_wire_take (parts, n, ZM_FRAMES_AUTO, NULL, 0, out, NULL, NULL);
    for (guint i = 0; i < out->len; i++)
      take_message (trial, g_ptr_array_index (out, i));
    g_clear_pointer (&frames, g_ptr_array_unref);
  }
}

/* Waits for publications and, while an answer is owed, looks every LOOK_US which flows wait, however much others publish: an
 * @ASYNC step publishes nothing that would tell. An answer that no flow waited for is a failure too, else a test with a slip in its key would
 * pass. */
gboolean
zm_flow_trial_run (ZmFlowTrial *trial, GError **error)
{
  const ZmFlowTestCase *test = trial->test;
  gint64 end = zm_now_us () + test->timeout_ms * 1000, look = zm_now_us () + LOOK_US;

  push (trial->run, test->flow, test->given, trial->id, test->body);
  while (!is_over (trial)) {
    int got = zm_ctl_wait (trial->run->ctl, trial->run->topics, MIN (end, look));

    if (got < 0) {
      g_set_error (error, ZM_ERROR, ZM_ERROR_UNAVAILABLE, _ ("interrupted"));
      return FALSE;
    }
    if (!zm_private_running (trial->run->own, error))
      return FALSE;
    if (got == 1)
      receive_all (trial);
    if (zm_now_us () >= end)
      break;
    if (zm_now_us () < look)
      continue;
    if (trial->answered < test->answers->len)
      look_for_wait (trial);
    look = zm_now_us () + LOOK_US;
  }
  if (!is_over (trial)) {
    const ZmFlowTestPart *expect = g_ptr_array_index (test->expects, trial->matched);

    fail (trial, expect,
          g_strdup_printf (_ ("nothing like it within %lld ms"), (long long) test->timeout_ms));
  }
  if (trial->answered < test->answers->len)
    fail (trial, g_ptr_array_index (test->answers, trial->answered),
          g_strdup (_ ("a flow that never waited for this answer")));
  return TRUE;
}
