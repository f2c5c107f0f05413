/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * flow test: runs the cases of a .flowtest file over the real sockets of a daemon of its own, which has the flows, mappings and
 * plugins of the instance but not its endpoints, sources and state. The test plays the services: it subscribes to everything,
 * and gives each `answer` when the flow waits for that key.
 */
#include "config.h"

#include "config/zm-config.h"
#include "config/zm-lines.h"
#include "ctl/flow-trial.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* One run of the command. */
typedef struct Run {
  ZmFlowRun base;
  JsonArray *results;
  guint passed, failed;
} Run;

/* ---- the daemon of the test ---- */

/* Sections that say how flows and plugins work; endpoints and sources are left out. */
static gboolean
wanted_section (const char *section)
{
  return strcmp (section, "workers") == 0 || g_str_has_prefix (section, "plugin ") ||
         g_str_has_prefix (section, "worker ") || g_str_has_prefix (section, "action ");
}

/* A secret's file counts from the file that names it, and the copy lies elsewhere. */
static void
append_value (GString *out, const char *path, const ZmLine *line)
{
  const char *quote = *line->value == '"' ? "\"" : "";
  const char *value = line->value + strlen (quote);
  const char *file = g_str_has_prefix (value, "file:") ? value + strlen ("file:") : NULL;
  g_autofree char *folder = g_path_get_dirname (path);
  g_autofree char *absolute = file != NULL && *file != '/' ? g_canonicalize_filename (folder, NULL) : NULL;

  if (absolute != NULL)
    g_string_append_printf (out, "%s = %sfile:%s/%s\n", line->key, quote, absolute, file);
  else
    g_string_append_printf (out, "%s = %s\n", line->key, line->value);
}

/* Copies the lines of wanted sections. A worker's endpoint is left to the default: the running instance may have it. */
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
      append_value (out, path, line);
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
  dirs = zm_instance_plugin_dirs (instance, zm_config_list (config, "zmanager", "plugin-path"),
                                  zm_config_boolean (config, "zmanager", "system-plugins"));
  g_string_append (out, "[zmanager]\nwatch = no\n");
  for (char **dir = dirs; *dir != NULL; dir++)
    g_string_append_printf (out, "plugin-path = \"%s\"\n", *dir);
}

/* The temporary instance: the target's files by links, a configuration of its own. */
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
  run->base.own = zm_private_new (error);
  return run->base.own != NULL && zm_private_link (run->base.own, target->dir, error) &&
         zm_private_write (run->base.own, "zmanager.conf", config->str, error) &&
         zm_private_start (run->base.own, run->base.ctl, error);
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
  g_autofree char *subject = zm_ctl_endpoint (run->base.ctl, "subject", error);
  g_autofree char *call = subject != NULL ? zm_ctl_endpoint (run->base.ctl, "call", error) : NULL;
  g_autofree char *topics = call != NULL ? zm_ctl_endpoint (run->base.ctl, "topics", error) : NULL;
  ZmSpan hello = ZM_SPAN_LITERAL (
      "{\"name\":\"zmanagerctl-flow-test\",\"patterns\":[],\"heartbeat_ms\":0,\"nonce\":\"1\"}");
  g_autoptr (GPtrArray) reply = NULL;
  void *socket = NULL;

  if (topics == NULL)
    return FALSE;
  run->base.push = zm_ctl_socket (run->base.ctl, ZMQ_PUSH, subject, error);
  run->base.topics = run->base.push != NULL ? zm_ctl_socket (run->base.ctl, ZMQ_SUB, topics, error) : NULL;
  socket = run->base.topics != NULL ? zm_ctl_socket (run->base.ctl, ZMQ_DEALER, call, error) : NULL;
  if (socket == NULL)
    return FALSE;
  zmq_setsockopt (run->base.topics, ZMQ_SUBSCRIBE, "", 0);
  zmq_setsockopt (run->base.topics, ZMQ_SUBSCRIBE, "^hello~1", strlen ("^hello~1"));
  reply = zm_ctl_exchange (run->base.ctl, socket, "HELLO", &hello, 1, ZM_CTL_ANSWER_MS, error);
  zm_ctl_close (socket, 0);
  return reply != NULL;
}

/* ---- reporting ---- */

/* A case as it ends, so that a slow file shows where it is; with --json all come in one document at the end. */
static void
report_case (Run *run, const ZmFlowTrial *trial)
{
  g_autofree char *verdict = trial->got != NULL ? zm_out_style (run->base.ctl, ZM_STYLE_BAD, _ ("FAILED"))
                                                : zm_out_style (run->base.ctl, ZM_STYLE_GOOD, _ ("ok"));
  JsonObject *object = json_object_new ();
  JsonArray *seen = json_array_new ();

  json_object_set_string_member (object, "name", trial->test->name);
  json_object_set_boolean_member (object, "ok", trial->got == NULL);
  if (trial->got != NULL) {
    json_object_set_string_member (object, "expected", trial->expected);
    json_object_set_string_member (object, "got", trial->got);
  }
  for (guint i = 0; i < trial->seen->len; i++)
    json_array_add_string_element (seen, g_ptr_array_index (trial->seen, i));
  json_object_set_array_member (object, "published", seen);
  json_array_add_object_element (run->results, object);
  *(trial->got != NULL ? &run->failed : &run->passed) += 1;
  if (run->base.ctl->json)
    return;
  printf ("%s  %s\n", verdict, trial->test->name);
  if (trial->got == NULL)
    return;
  printf (_ ("     expected  %s\n     got       %s\n"), trial->expected, trial->got);
  printf ("     %s\n", trial->seen->len > 0 ? _ ("published in all:") : _ ("nothing was published"));
  for (guint i = 0; i < trial->seen->len; i++)
    printf ("       %s\n", (const char *) g_ptr_array_index (trial->seen, i));
}

/* The sum, and the exit status: a test that failed is not an error of the program, so nothing goes to the standard
 * error. */
static int
report_all (const Run *run, const char *file)
{
  if (run->base.ctl->json) {
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

/* Runs every case, whatever became of the others: one daemon serves all, an id of its own keeps each apart. */
static gboolean
run_all (Run *run, const GPtrArray *tests, GError **error)
{
  ZmUuidMaker ids;
  gboolean good = TRUE;

  zm_uuid_maker_init (&ids);
  for (guint i = 0; good && i < tests->len; i++) {
    char id[ZM_UUID_SIZE + 1] = "";
    ZmFlowTrial trial = { .run = &run->base, .test = g_ptr_array_index (tests, i), .id = id };

    zm_uuid_make (&ids, zm_wall_us (), id);
    trial.seen = g_ptr_array_new_with_free_func (g_free);
    good = zm_flow_trial_run (&trial, error);
    if (good)
      report_case (run, &trial);
    g_ptr_array_unref (trial.seen);
    g_free (trial.expected);
    g_free (trial.got);
    fflush (stdout);
  }
  return good;
}

/* ---- the command ---- */

/* All that is wrong with the file of cases, not only the first. */
static int
say_problems (const ZmCtl *ctl, const ZmProblems *problems)
{
  g_autofree char *text = zm_problems_format (problems);
  g_autofree char *trimmed = g_strchomp (g_strdup (text));
  g_autoptr (GError) error = g_error_new (ZM_ERROR, ZM_ERROR_INVALID, "%s", trimmed);

  return zm_ctl_fail (ctl, error);
}

/* Ends in this order on every way out: sockets, then the daemon, then its directory. zm_private_free does nothing where
 * no daemon was started, so no step needs to know how far the others came. */
int
zm_ctl_cmd_flow_test (ZmCtl *ctl, guint n, char **arguments)
{
  g_autoptr (ZmProblems) problems = zm_problems_new ();
  g_autoptr (GPtrArray) tests = zm_flowtest_read (arguments[0], problems);
  g_autoptr (GError) error = NULL;
  g_autoptr (ZmInstance) target = NULL;
  g_autoptr (JsonArray) results = json_array_new ();
  Run run = { .base = { .ctl = ctl }, .results = results };
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
  zm_ctl_close (run.base.push, 0);
  zm_ctl_close (run.base.topics, 0);
  zm_private_free (run.base.own);
  return good ? report_all (&run, arguments[0]) : zm_ctl_fail (ctl, error);
}
