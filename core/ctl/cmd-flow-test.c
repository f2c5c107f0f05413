/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * flow test: runs the cases of a .flowtest file over the real sockets of a daemon of its own, which has the flows, mappings and
 * plugins of the instance but not its endpoints, sources and state. The test plays the services: it subscribes to everything,
 * and gives each `answer` when the flow waits for that key.
 */
#include "config.h"

#include "config/zm-config.h"
#include "config/zm-lines.h"
#include "ctl/ctl.h"
#include "ctl/flowtest.h"
#include "ctl/private-daemon.h"
#include "message/zm-message.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* How often the daemon is asked which flows wait, while an answer is still to be given. */
#define LOOK_US 30000

typedef struct Run {
  ZmCtl *ctl;
  ZmPrivate *own;
  void *push, *topics;
  JsonArray *results;
  guint passed, failed;
} Run;

/* One case being run. */
typedef struct Trial {
  Run *run;
  const ZmFlowTestCase *test;
  char *id;
  GPtrArray *seen; /* "topic body", owned: what was published with this id */
  guint answered, matched;
  char *failure; /* why it failed */
} Trial;

/* ---- the daemon of the test ---- */

/* Sections that say how flows and plugins work; endpoints and sources are left out. */
static gboolean
wanted_section (const char *section)
{
  return strcmp (section, "workers") == 0 || g_str_has_prefix (section, "plugin ") ||
         g_str_has_prefix (section, "worker ") || g_str_has_prefix (section, "action ");
}

static void
copy_lines (const char *path, GString *out, ZmProblems *problems)
{
  g_autoptr (ZmLines) lines = zm_lines_read_file (path, problems);

  for (guint i = 0; lines != NULL && i < zm_lines_count (lines); i++) {
    const ZmLine *line = zm_lines_get (lines, i);

    if (!wanted_section (line->section))
      continue;
    if (line->key == NULL)
      g_string_append_printf (out, "[%s]\n", line->section);
    else if (!(g_str_has_prefix (line->section, "worker ") && strcmp (line->key, "bind") == 0))
      g_string_append_printf (out, "%s = %s\n", line->key, line->value);
  }
}

/* The instance's plugin directories, relative ones resolved against the instance. */
static void
add_plugin_path (const ZmInstance *instance, GString *out, ZmProblems *problems)
{
  g_autoptr (ZmConfig) config = zm_config_new ();
  g_auto (GStrv) dirs = NULL;

  if (g_file_test (instance->config_file, G_FILE_TEST_EXISTS))
    zm_config_add_file (config, instance->config_file, problems);
  zm_config_add_directory (config, instance->config_dir, problems);
  zm_config_finish (config, problems);
  dirs = zm_instance_plugin_dirs (instance, zm_config_list (config, "zmanager", "plugin-path"));
  g_string_append (out, "[zmanager]\nwatch = no\n");
  for (char **dir = dirs; *dir != NULL; dir++)
    g_string_append_printf (out, "plugin-path = %s\n", *dir);
}

static gboolean
make_instance (Run *run, const ZmInstance *target, GError **error)
{
  g_autoptr (ZmProblems) problems = zm_problems_new ();
  g_autoptr (GString) config = g_string_new (NULL);
  g_auto (GStrv) files = zm_list_files (target->config_dir, ".conf");

  add_plugin_path (target, config, problems);
  if (g_file_test (target->config_file, G_FILE_TEST_EXISTS))
    copy_lines (target->config_file, config, problems);
  for (char **file = files; *file != NULL; file++)
    copy_lines (*file, config, problems);
  run->own = zm_private_new (error);
  return run->own != NULL && zm_private_link (run->own, target->dir, error) &&
         zm_private_write (run->own, "zmanager.conf", config->str, error) &&
         zm_private_start (run->own, run->ctl, error);
}

/* The instance that the file belongs to: the one named, else the one whose flows.d it lies in. */
static ZmInstance *
find_target (const ZmCtl *ctl, const char *file, GError **error)
{
  g_autofree char *path = g_canonicalize_filename (file, NULL);
  g_autofree char *folder = g_path_get_dirname (path);
  g_autofree char *name = g_path_get_basename (folder);
  g_autofree char *above = g_path_get_dirname (folder);
  const char *dir = zm_ctl_text (ctl, "dir");

  if (dir == NULL && strcmp (name, "flows.d") == 0)
    dir = above;
  return zm_instance_new (dir, error);
}

/* Connected, and subscribed to everything before the first message goes. */
static gboolean
open_sockets (Run *run, GError **error)
{
  g_autofree char *subject = zm_ctl_endpoint (run->ctl, "subject", error);
  g_autofree char *call = subject != NULL ? zm_ctl_endpoint (run->ctl, "call", error) : NULL;
  g_autofree char *topics = call != NULL ? zm_ctl_endpoint (run->ctl, "topics", error) : NULL;
  ZmSpan hello = ZM_SPAN_LITERAL (
      "{\"name\":\"zmanagerctl-flow-test\",\"patterns\":[],\"heartbeat_ms\":0,\"nonce\":\"1\"}");
  g_autoptr (GPtrArray) reply = NULL;
  void *socket = NULL;

  if (topics == NULL)
    return FALSE;
  run->push = zm_ctl_socket (run->ctl, ZMQ_PUSH, subject, error);
  run->topics = run->push != NULL ? zm_ctl_socket (run->ctl, ZMQ_SUB, topics, error) : NULL;
  socket = run->topics != NULL ? zm_ctl_socket (run->ctl, ZMQ_DEALER, call, error) : NULL;
  if (socket == NULL)
    return FALSE;
  zmq_setsockopt (run->topics, ZMQ_SUBSCRIBE, "", 0);
  zmq_setsockopt (run->topics, ZMQ_SUBSCRIBE, "^hello~1", strlen ("^hello~1"));
  reply = zm_ctl_exchange (run->ctl, socket, "HELLO", &hello, 1, ZM_CTL_ANSWER_MS, error);
  zm_ctl_close (socket, 0);
  return reply != NULL;
}

/* ---- sending ---- */

static void
push (const Run *run, const char *flow, const char *key_text, const char *id, const char *body)
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
give_answer (Trial *trial, const char *flow)
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
look_for_wait (Trial *trial)
{
  const ZmFlowTestPart *answer = g_ptr_array_index (trial->test->answers, trial->answered);
  g_autoptr (JsonObject) reply =
      zm_ctl_request (trial->run->ctl, zm_ctl_request_new ("instances"), ZM_CTL_ANSWER_MS, NULL);
  JsonArray *list = zm_json_get_array (reply, "instances");

  for (guint i = 0; list != NULL && i < json_array_get_length (list); i++) {
    JsonObject *wait = json_array_get_object_element (list, i);
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

static gboolean
same_body (const char *expected, ZmSpan body)
{
  g_autoptr (JsonNode) a = zm_json_read (zm_span_text (expected));
  g_autoptr (JsonNode) b = a != NULL ? zm_json_read (body) : NULL;

  return b != NULL ? json_node_equal (a, b) : zm_span_is (body, expected);
}

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

static void fail (Trial *trial, const char *format, ...) G_GNUC_PRINTF (2, 3);

static void
fail (Trial *trial, const char *format, ...)
{
  va_list list;

  if (trial->failure != NULL)
    return;
  va_start (list, format);
  trial->failure = g_strdup_vprintf (format, list);
  va_end (list);
}

/* A publication of this case: does it fit what is expected next? Others may stand between. */
static void
compare (Trial *trial, const ZmMessage *message)
{
  const ZmFlowTestPart *expect = g_ptr_array_index (trial->test->expects, trial->matched);
  ZmSpan body = zm_message_body (message);
  g_autofree char *topic = zm_printable (zm_message_topic (message), ZM_KEY_MOST);
  g_autofree char *shown = zm_printable (body, 4096);

  if (!same_topic (expect, message)) {
    if (zm_span_is (message->topic.key.action, "error"))
      fail (trial, _ ("line %u expects %s\n     got      %s %s"), expect->line, expect->key, topic, shown);
    return;
  }
  if (expect->body != NULL && !same_body (expect->body, body))
    fail (trial, _ ("line %u expects %s %s\n     got      %s %s"), expect->line, expect->key, expect->body,
          topic, shown);
  else
    trial->matched++;
}

/* ---- running a case ---- */

static gboolean
is_over (const Trial *trial)
{
  return trial->failure != NULL || trial->matched >= trial->test->expects->len;
}

static void
take_message (Trial *trial, const ZmMessage *message)
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

static void
receive_all (Trial *trial)
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

/* FALSE: a signal, or the daemon died. */
static gboolean
run_case (Trial *trial, GError **error)
{
  const ZmFlowTestCase *test = trial->test;
  gint64 end = zm_now_us () + test->timeout_ms * 1000;

  push (trial->run, test->flow, test->given, trial->id, test->body);
  while (!is_over (trial)) {
    int got = zm_ctl_wait (trial->run->ctl, trial->run->topics, MIN (end, zm_now_us () + LOOK_US));

    if (got < 0) {
      g_set_error (error, ZM_ERROR, ZM_ERROR_UNAVAILABLE, _ ("interrupted"));
      return FALSE;
    }
    if (!zm_private_running (trial->run->own, error))
      return FALSE;
    if (got == 1)
      receive_all (trial);
    else if (zm_now_us () >= end)
      break;
    else if (trial->answered < test->answers->len)
      look_for_wait (trial);
  }
  if (!is_over (trial)) {
    const ZmFlowTestPart *expect = g_ptr_array_index (test->expects, trial->matched);

    fail (trial, _ ("line %u expects %s %s\n     got      nothing like it within %" G_GINT64_FORMAT " ms"),
          expect->line, expect->key, expect->body != NULL ? expect->body : "", test->timeout_ms);
  }
  if (trial->answered < test->answers->len && trial->failure == NULL)
    fail (trial, _ ("the flow never waited for the answer %s"),
          ((ZmFlowTestPart *) g_ptr_array_index (test->answers, trial->answered))->key);
  return TRUE;
}

/* ---- reporting ---- */

static void
report_case (Run *run, const Trial *trial)
{
  g_autofree char *verdict = trial->failure != NULL ? zm_out_style (run->ctl, ZM_STYLE_BAD, _ ("FAILED"))
                                                    : zm_out_style (run->ctl, ZM_STYLE_GOOD, _ ("ok"));
  JsonObject *object = json_object_new ();
  JsonArray *seen = json_array_new ();

  json_object_set_string_member (object, "name", trial->test->name);
  json_object_set_boolean_member (object, "ok", trial->failure == NULL);
  if (trial->failure != NULL)
    json_object_set_string_member (object, "failure", trial->failure);
  for (guint i = 0; i < trial->seen->len; i++)
    json_array_add_string_element (seen, g_ptr_array_index (trial->seen, i));
  json_object_set_array_member (object, "published", seen);
  json_array_add_object_element (run->results, object);
  *(trial->failure != NULL ? &run->failed : &run->passed) += 1;
  if (run->ctl->json)
    return;
  printf ("%s  %s\n", verdict, trial->test->name);
  if (trial->failure == NULL)
    return;
  printf ("     %s\n", trial->failure);
  printf ("     %s\n", trial->seen->len > 0 ? _ ("published in all:") : _ ("nothing was published"));
  for (guint i = 0; i < trial->seen->len; i++)
    printf ("       %s\n", (const char *) g_ptr_array_index (trial->seen, i));
}

static int
report_all (const Run *run, const char *file)
{
  if (run->ctl->json) {
    g_autoptr (JsonObject) object = json_object_new ();

    json_object_set_string_member (object, "file", file);
    json_object_set_array_member (object, "cases", json_array_ref (run->results));
    json_object_set_int_member (object, "passed", run->passed);
    json_object_set_int_member (object, "failed", run->failed);
    zm_out_json_object (object);
  } else {
    printf (_ ("%u passed, %u failed\n"), run->passed, run->failed);
  }
  return run->failed > 0 ? ZM_EXIT_FAILED : ZM_EXIT_OK;
}

static gboolean
run_all (Run *run, const GPtrArray *tests, GError **error)
{
  ZmUuidMaker ids;
  gboolean good = TRUE;

  zm_uuid_maker_init (&ids);
  for (guint i = 0; good && i < tests->len; i++) {
    char id[ZM_UUID_SIZE + 1] = "";
    Trial trial = { .run = run, .test = g_ptr_array_index (tests, i), .id = id };

    zm_uuid_make (&ids, zm_wall_us (), id);
    trial.seen = g_ptr_array_new_with_free_func (g_free);
    good = run_case (&trial, error);
    if (good)
      report_case (run, &trial);
    g_ptr_array_unref (trial.seen);
    g_free (trial.failure);
    fflush (stdout);
  }
  return good;
}

/* ---- the command ---- */

static int
say_problems (const ZmCtl *ctl, const ZmProblems *problems)
{
  g_autofree char *text = zm_problems_format (problems);
  g_autofree char *trimmed = g_strchomp (g_strdup (text));
  g_autoptr (GError) error = g_error_new (ZM_ERROR, ZM_ERROR_INVALID, "%s", trimmed);

  return zm_ctl_fail (ctl, error);
}

int
zm_ctl_cmd_flow_test (ZmCtl *ctl, guint n, char **arguments)
{
  g_autoptr (ZmProblems) problems = zm_problems_new ();
  g_autoptr (GPtrArray) tests = zm_flowtest_read (arguments[0], problems);
  g_autoptr (GError) error = NULL;
  g_autoptr (ZmInstance) target = NULL;
  g_autoptr (JsonArray) results = json_array_new ();
  Run run = { .ctl = ctl, .results = results };
  gboolean good = FALSE;

  (void) n;
  if (zm_ctl_text (ctl, "connect") != NULL)
    return zm_ctl_usage (ctl, _ ("--connect makes no sense here: the test starts a daemon of its own"));
  if (zm_problems_errors (problems) > 0)
    return say_problems (ctl, problems);
  zm_ctl_catch_signals (ctl);
  target = find_target (ctl, arguments[0], &error);
  good = target != NULL && make_instance (&run, target, &error) && open_sockets (&run, &error) &&
         run_all (&run, tests, &error);
  zm_ctl_close (run.push, 0);
  zm_ctl_close (run.topics, 0);
  zm_private_free (run.own);
  return good ? report_all (&run, arguments[0]) : zm_ctl_fail (ctl, error);
}
