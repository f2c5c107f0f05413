/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The runtime room: where an instance is, what --check finds, what the control socket's commands answer. */
#include "runtime/commands.h"
#include "runtime/private.h"

#include <glib/gstdio.h>
#include <gtest/gtest.h>

#include <string>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace {

void
remove_tree (const std::string &path)
{
  GDir *dir =
      g_file_test (path.c_str (), G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open (path.c_str (), 0, NULL);

  while (const char *name = dir ? g_dir_read_name (dir) : NULL)
    remove_tree (path + "/" + name);
  if (dir)
    g_dir_close (dir);
  g_remove (path.c_str ());
}

/* A directory of its own for each test, and an environment without other instances. */
class Runtime : public ::testing::Test {
protected:
  void
  SetUp () override
  {
    char *made = g_dir_make_tmp ("zm-runtime-XXXXXX", NULL);

    dir = made;
    g_free (made);
    for (const char *name : { "ZM_DIR", "ZM_PLUGIN_PATH", "NOTIFY_SOCKET", "WATCHDOG_USEC" })
      g_unsetenv (name);
  }

  void
  TearDown () override
  {
    remove_tree (dir);
  }

  void
  write (const std::string &name, const std::string &text)
  {
    std::string path = dir + "/" + name;
    char *folder = g_path_get_dirname (path.c_str ());

    g_mkdir_with_parents (folder, 0755);
    g_free (folder);
    ASSERT_TRUE (g_file_set_contents (path.c_str (), text.data (), (gssize) text.size (), NULL));
  }

  std::string dir;
};

std::string
take (char *text)
{
  std::string out = text ? text : "";

  g_free (text);
  return out;
}

std::string
message (GError **error)
{
  std::string out = *error ? (*error)->message : "";

  g_clear_error (error);
  return out;
}

/* ---- the instance ---- */

TEST_F (Runtime, InstanceKeepsEverythingInItsDirectory)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (ZmInstance) instance = zm_instance_new (dir.c_str (), &error);

  ASSERT_NE (instance, nullptr) << message (&error);
  EXPECT_FALSE (instance->system);
  EXPECT_EQ (instance->dir, dir);
  EXPECT_EQ (instance->config_file, dir + "/zmanager.conf");
  EXPECT_EQ (instance->config_dir, dir + "/conf.d");
  EXPECT_EQ (instance->actions_dir, dir + "/actions.d");
  EXPECT_EQ (instance->flows_dir, dir + "/flows.d");
  EXPECT_EQ (instance->state_dir, dir + "/state");
  EXPECT_EQ (instance->run_dir, dir + "/run");
  EXPECT_EQ (take (zm_instance_endpoint (instance, "control")), "ipc://" + dir + "/run/control");
}

TEST_F (Runtime, InstanceTakesTheEnvironmentsDirectory)
{
  g_setenv ("ZM_DIR", dir.c_str (), TRUE);
  g_autoptr (ZmInstance) instance = zm_instance_new (NULL, NULL);

  ASSERT_NE (instance, nullptr);
  EXPECT_EQ (instance->dir, dir);
}

TEST_F (Runtime, InstanceSaysWhatToDoWithoutADirectory)
{
  GError *error = NULL;

  EXPECT_EQ (zm_instance_new ((dir + "/none").c_str (), &error), nullptr);
  EXPECT_TRUE (g_error_matches (error, ZM_ERROR, ZM_ERROR_NOT_FOUND));
  EXPECT_NE (message (&error).find ("mkdir -p " + dir + "/none"), std::string::npos);
  write ("file", "");
  EXPECT_EQ (zm_instance_new ((dir + "/file").c_str (), &error), nullptr);
  EXPECT_NE (message (&error).find ("is not a directory"), std::string::npos);
}

TEST_F (Runtime, InstanceMakesPrivateDirectories)
{
  g_autoptr (ZmInstance) instance = zm_instance_new (dir.c_str (), NULL);
  struct stat info;

  ASSERT_TRUE (zm_instance_prepare (instance, NULL));
  ASSERT_EQ (stat (instance->run_dir, &info), 0);
  EXPECT_EQ (info.st_mode & 0007, 0u);
  ASSERT_EQ (stat (instance->state_dir, &info), 0);
  EXPECT_EQ (info.st_mode & 0077, 0u);
  EXPECT_TRUE (zm_instance_prepare (instance, NULL)) << "a second time";
}

TEST_F (Runtime, InstanceWhoseSocketsOthersCouldExchangeIsRefused)
{
  g_autoptr (ZmInstance) instance = zm_instance_new (dir.c_str (), NULL);
  g_autoptr (GError) error = NULL;

  ASSERT_TRUE (zm_instance_prepare (instance, NULL));
  for (mode_t mode : { 0770, 01777 }) {
    ASSERT_EQ (chmod (instance->run_dir, mode), 0);
    EXPECT_FALSE (zm_instance_prepare (instance, &error));
    ASSERT_NE (error, nullptr);
    EXPECT_NE (std::string (error->message).find ("/run"), std::string::npos) << error->message;
    EXPECT_NE (std::string (error->message).find ("chmod go-w"), std::string::npos) << error->message;
    g_clear_error (&error);
  }
  ASSERT_EQ (chmod (instance->run_dir, 0755), 0);
  EXPECT_TRUE (zm_instance_prepare (instance, NULL));
}

TEST_F (Runtime, InstanceIsLockedOnce)
{
  g_autoptr (ZmInstance) instance = zm_instance_new (dir.c_str (), NULL);
  GError *error = NULL;

  ASSERT_TRUE (zm_instance_prepare (instance, NULL));
  int first = zm_instance_lock (instance, NULL);
  ASSERT_GE (first, 0);
  EXPECT_EQ (zm_instance_lock (instance, &error), -1);
  EXPECT_TRUE (g_error_matches (error, ZM_ERROR, ZM_ERROR_EXISTS));
  EXPECT_NE (message (&error).find (std::to_string (getpid ())), std::string::npos);
  close (first);
  int again = zm_instance_lock (instance, NULL);
  EXPECT_GE (again, 0) << "the lock goes with its descriptor";
  close (again);
}

TEST_F (Runtime, LongPathsGetAShortSocketAndALink)
{
  std::string deep = dir + "/" + std::string (120, 'd');

  g_setenv ("XDG_RUNTIME_DIR", dir.c_str (), TRUE);
  g_mkdir (deep.c_str (), 0755);
  g_autoptr (ZmInstance) instance = zm_instance_new (deep.c_str (), NULL);
  ASSERT_TRUE (zm_instance_prepare (instance, NULL));
  std::string before = take (zm_instance_endpoint (instance, "control"));
  std::string bound = take (zm_instance_bind_endpoint (instance, "control", NULL));
  EXPECT_EQ (bound, before);
  EXPECT_EQ (bound.find ("ipc://" + dir + "/zmanager-"), 0u) << bound;
  EXPECT_LE (bound.size (), 6 + (size_t) ZM_INSTANCE_SOCKET_MOST);
  EXPECT_EQ ("ipc://" + take (g_file_read_link ((deep + "/run/control").c_str (), NULL)), bound);
  /* A client with another runtime directory finds it by the link. */
  g_setenv ("XDG_RUNTIME_DIR", "/nonexistent", TRUE);
  g_autoptr (ZmInstance) client = zm_instance_new (deep.c_str (), NULL);
  EXPECT_EQ (take (zm_instance_endpoint (client, "control")), bound);
  g_unsetenv ("XDG_RUNTIME_DIR");
}

TEST_F (Runtime, AShortDirectoryThatOthersMayEnterIsRefused)
{
  std::string deep = dir + "/" + std::string (120, 'd');
  GError *error = NULL;

  g_setenv ("XDG_RUNTIME_DIR", dir.c_str (), TRUE);
  g_mkdir (deep.c_str (), 0755);
  g_autoptr (ZmInstance) instance = zm_instance_new (deep.c_str (), NULL);
  ASSERT_TRUE (zm_instance_prepare (instance, NULL));
  g_mkdir (instance->short_dir, 0755);
  g_chmod (instance->short_dir, 0755);
  EXPECT_EQ (zm_instance_bind_endpoint (instance, "control", &error), nullptr);
  EXPECT_TRUE (g_error_matches (error, ZM_ERROR, ZM_ERROR_REFUSED)) << message (&error);
  g_clear_error (&error);
  g_unsetenv ("XDG_RUNTIME_DIR");
}

TEST_F (Runtime, PluginDirectoriesComeInTheirOrderOnce)
{
  const char *const configured[] = { "/conf/a", "relative", "/env/b", NULL };

  g_setenv ("ZM_PLUGIN_PATH", "/env/a:/env/b::/env/a", TRUE);
  g_unsetenv ("ZM_SYSTEM_PLUGINS");
  g_autoptr (ZmInstance) instance = zm_instance_new (dir.c_str (), NULL);
  g_auto (GStrv) dirs = zm_instance_plugin_dirs (instance, configured, TRUE);
  std::string all = take (g_strjoinv (" ", dirs));
  EXPECT_EQ (all.find ("/env/a /env/b /conf/a " + dir + "/relative " + dir +
                       "/plugins /usr/local/lib/zmanager/plugins-1"),
             0u)
      << all;
  g_setenv ("ZM_SYSTEM_PLUGINS", "no", TRUE);
  g_auto (GStrv) own = zm_instance_plugin_dirs (instance, configured, TRUE);
  EXPECT_EQ (take (g_strjoinv (" ", own)).find ("/usr/local"), std::string::npos);
}

/* ---- --check ---- */

class Check : public Runtime {
protected:
  /* "code file:line" of each finding, the directory cut off. */
  std::string
  found ()
  {
    g_autoptr (ZmProblems) problems = zm_problems_new ();
    ZmRuntimeOptions options = {};
    std::string out;

    options.dir = dir.c_str ();
    EXPECT_TRUE (zm_check_run (&options, problems, NULL));
    for (guint i = 0; i < zm_problems_count (problems); i++) {
      const ZmProblem *problem = zm_problems_get (problems, i);
      char *base = g_path_get_basename (problem->file ? problem->file : "-");

      out += std::to_string (problem->code) + " " + base + ":" + std::to_string (problem->line) + "\n";
      g_free (base);
    }
    return out;
  }
};

TEST_F (Check, FindsNothingInAnEmptyInstance)
{
  EXPECT_EQ (found (), "");
}

TEST_F (Check, FindsEveryProblemAtItsPlace)
{
  write ("zmanager.conf", "[zmanager]\nworkrs = 2\n[workers]\ntimeout = soon\n");
  write ("conf.d/x.conf", "[nonsense]\na = b\n");
  write ("actions.d/a.ini", "[actionmapping]\n?A?B = none.action\n?A?B?C = none.action\nno line\n");
  write ("flows.d/f.flow", "[F]\n?F?Push\n? ?\n??done\n");
  std::string all = found ();
  for (const char *place : { "1001 zmanager.conf:2", "1002 zmanager.conf:4", "1000 x.conf:1", "1300 a.ini:2",
                             "a.ini:3", "a.ini:4", "f.flow:3" })
    EXPECT_NE (all.find (place), std::string::npos) << place << " is not in\n" << all;
}

TEST_F (Check, FindsPluginsThatAreNotThereOrRefused)
{
  write ("plugins/broken.so", "no library");
  g_chmod ((dir + "/plugins").c_str (), 0755);
  write ("zmanager.conf",
         "[plugin missing]\nload = yes\n[source s]\nplugin = absent\n[plugin broken]\nload = yes\n");
  write ("actions.d/a.ini", "[actionmapping]\n?A?B = broken.action\n");
  std::string all = found ();
  EXPECT_NE (all.find ("1300 zmanager.conf:2"), std::string::npos) << all;
  EXPECT_NE (all.find ("1300 zmanager.conf:4"), std::string::npos) << all;
  EXPECT_NE (all.find ("1302 zmanager.conf:6"), std::string::npos) << all;
  EXPECT_NE (all.find ("1302 a.ini:2"), std::string::npos) << all;
}

TEST_F (Check, SaysItAsTextAndAsJson)
{
  g_autoptr (ZmProblems) problems = zm_problems_new ();

  zm_problems_add (problems, ZM_PROBLEM_ERROR, 1001, "f", 3, 7, "this", "do that", "wrong %s", "\"word\"");
  EXPECT_EQ (take (zm_check_text (problems)),
             "f:3:7: error ZM1001: wrong \"word\"; expected this; do that\n1 errors, 0 warnings\n");
  std::string json = take (zm_check_json (problems));
  EXPECT_TRUE (zm_json_valid (zm_span (json.data (), json.size ()))) << json;
  EXPECT_NE (json.find ("\"code\":\"ZM1001\""), std::string::npos) << json;
}

/* ---- commands ---- */

/* A whole daemon in this process, without plugins; its main loop does not run. */
class Command : public Runtime {
protected:
  void
  SetUp () override
  {
    const char *const settings[] = { "zmanager.watch=no", "zmanager.workers=1", "zmanager.log-level=error",
                                     NULL };
    g_autoptr (ZmProblems) problems = zm_problems_new ();
    g_autoptr (GError) error = NULL;
    ZmRuntimeOptions options = {};

    Runtime::SetUp ();
    write ("flows.d/f.flow", "[Greeting]\n?Greeting?Push\n?Hello?Greet\n??done\n");
    options.dir = dir.c_str ();
    options.settings = settings;
    runtime = zm_runtime_new (&options, problems, &error);
    ASSERT_NE (runtime, nullptr) << (error ? error->message : take (zm_problems_format (problems)));
  }

  void
  TearDown () override
  {
    EXPECT_TRUE (zm_runtime_free (runtime));
    Runtime::TearDown ();
  }

  ZmReplyKind
  run (const std::string &request, std::string *reply)
  {
    g_autoptr (GString) out = g_string_new (NULL);
    ZmReplyKind kind = zm_command_run (runtime, zm_span (request.data (), request.size ()), out, NULL);

    *reply = out->str;
    EXPECT_TRUE (out->len == 0 || zm_json_valid (zm_span (out->str, out->len)))
        << request << " gave " << *reply;
    return kind;
  }

  ZmRuntime *runtime = NULL;
};

struct Bad {
  std::string request;
  const char *code, *text;
};

TEST_F (Command, MalformedRequestsAreRefused)
{
  const std::string long_text (70000, 'x');
  const Bad table[] = {
    { "", "invalid", "no JSON object" },
    { " ", "invalid", "no JSON object" },
    { "status", "invalid", "no JSON object" },
    { "\"status\"", "invalid", "no JSON object" },
    { "[]", "invalid", "no JSON object" },
    { "[\"command\"]", "invalid", "no JSON object" },
    { "7", "invalid", "no JSON object" },
    { "null", "invalid", "no JSON object" },
    { "{", "invalid", "no JSON object" },
    { "{}", "invalid", "“command” is missing" },
    { "{\"command\"}", "invalid", "no JSON object" },
    { "{\"command\":}", "invalid", "no JSON object" },
    { "{\"command\":\"status\"", "invalid", "no JSON object" },
    { "{\"command\":\"status\",}", "invalid", "no JSON object" },
    { "{\"command\":\"status\"}}", "invalid", "no JSON object" },
    { "{\"command\":\"status\"} x", "invalid", "no JSON object" },
    { "{'command':'status'}", "invalid", "no JSON object" },
    { std::string ("{\"command\":\"sta\0tus\"}", 21), "invalid", "no JSON object" },
    { std::string (1, '\0'), "invalid", "no JSON object" },
    { "{\"command\":\"\xff\"}", "invalid", "no JSON object" },
    { std::string (100000, '['), "invalid", "no JSON object" },
    { "{\"a\":" + std::string (100, '[') + std::string (100, ']') + "}", "invalid", "no JSON object" },
    { std::string (ZM_REQUEST_MOST + 1, ' ') + "{}", "invalid", "is missing" },
    { "{\"command\":\"" + std::string (ZM_REQUEST_MOST, 'x') + "\"}", "invalid",
      "at most 1048576 are taken" },
    { "{\"command\":7}", "invalid", "“command” must be a string" },
    { "{\"command\":null}", "invalid", "“command” is missing" },
    { "{\"command\":[\"status\"]}", "invalid", "must be a string" },
    { "{\"command\":\"\"}", "invalid", "not empty" },
    { "{\"command\":\"stats\"}", "invalid", "did you mean “status”?" },
    { "{\"command\":\"STATUS\"}", "invalid", "unknown command" },
    { "{\"command\":\"status\\u001b[2J\"}", "invalid", "unknown command “status\\x1b" },
    { "{\"Command\":\"status\"}", "invalid", "“command” is missing" },
    { "{\"command\":\"explain\"}", "invalid", "“key” is missing" },
    { "{\"command\":\"explain\",\"key\":\"\"}", "invalid", "not empty" },
    { "{\"command\":\"explain\",\"key\":{}}", "invalid", "“key” must be a string" },
    { "{\"command\":\"explain\",\"key\":\"a b\"}", "invalid", "column" },
    { "{\"command\":\"explain\",\"key\":\"?a?b\",\"text\":1}", "invalid", "must be true or false" },
    { "{\"command\":\"explain\",\"key\":\"" + long_text + "\"}", "invalid", "longer than 65536" },
    { "{\"command\":\"flow\"}", "invalid", "“name” is missing" },
    { "{\"command\":\"flow\",\"name\":\"none\"}", "not-found", "there is no flow “none”" },
    { "{\"command\":\"flow\",\"name\":\"Greeting\",\"dot\":\"yes\"}", "invalid", "must be true or false" },
    { "{\"command\":\"plugins\",\"name\":\"none\"}", "not-found", "there is no plugin" },
    { "{\"command\":\"plugins\",\"name\":3}", "invalid", "must be a string" },
    { "{\"command\":\"plugin-load\"}", "invalid", "“name” is missing" },
    { "{\"command\":\"plugin-load\",\"name\":\"../../etc/passwd\"}", "not-found", "there is no plugin" },
    { "{\"command\":\"plugin-unload\",\"name\":\"none\"}", "not-found", "there is no plugin" },
    { "{\"command\":\"plugin-reload\",\"name\":\"none\"}", "not-found", "there is no plugin" },
    { "{\"command\":\"log-level\"}", "invalid", "“level” is missing" },
    { "{\"command\":\"log-level\",\"level\":\"loud\"}", "invalid", "unknown level" },
    { "{\"command\":\"service-command\"}", "invalid", "“service” is missing" },
    { "{\"command\":\"service-command\",\"service\":\"s\"}", "invalid", "“verb” is missing" },
    { "{\"command\":\"service-command\",\"service\":\"s\",\"verb\":\"get_health\"}", "not-found", "" },
  };

  for (const Bad &bad : table) {
    std::string reply, shown = bad.request.substr (0, 80);

    EXPECT_EQ (run (bad.request, &reply), ZM_REPLY_ERROR) << shown;
    EXPECT_NE (reply.find (std::string ("\"code\":\"") + bad.code + "\""), std::string::npos)
        << shown << ": " << reply;
    /* Compared as JSON writes it. */
    g_autoptr (GString) text = g_string_new (NULL);
    zm_json_append_string (text, zm_span_text (bad.text));
    EXPECT_NE (reply.find (std::string (text->str + 1, text->len - 2)), std::string::npos)
        << shown << ": " << reply;
  }
}

TEST_F (Command, GoodRequestsAreAnswered)
{
  const struct {
    const char *request, *part;
  } table[] = {
    { "{\"command\":\"status\"}", "\"state\":\"ready\"" },
    { " \n{\"command\":\"status\"}", "\"pid\":" },
    { "{\"command\":\"metrics\"}", "\"metrics\":[" },
    { "{\"command\":\"config\"}", "workers" },
    { "{\"command\":\"plugins\"}", "\"plugins\":[" },
    { "{\"command\":\"explain\",\"key\":\"?a?b\"}", "{" },
    { "{\"command\":\"explain\",\"key\":\"?a?b\",\"text\":true}", "\"text\":" },
    { "{\"command\":\"flows\"}", "Greeting" },
    { "{\"command\":\"flow\",\"name\":\"Greeting\"}", "\"flow\":{" },
    { "{\"command\":\"flow\",\"name\":\"Greeting\",\"dot\":true}", "digraph" },
    { "{\"command\":\"instances\"}", "\"instances\":[" },
    { "{\"command\":\"routes\"}", "\"routes\":[" },
    { "{\"command\":\"running\"}", "\"running\":[" },
    { "{\"command\":\"sources\"}", "\"sources\":[]" },
    { "{\"command\":\"services\"}", "\"services\":[]" },
    { "{\"command\":\"workers\"}", "\"workers\":[]" },
    { "{\"command\":\"log-recent\"}", "\"lines\":[" },
    { "{\"command\":\"log-level\",\"level\":\"warning\"}", "\"level\":\"warning\"" },
    { "{\"command\":\"reload\"}", "nothing changed" },
  };

  for (const auto &good : table) {
    std::string reply;

    EXPECT_EQ (run (good.request, &reply), ZM_REPLY_OK) << good.request << ": " << reply;
    EXPECT_NE (reply.find (good.part), std::string::npos) << good.request << ": " << reply;
  }
}

TEST_F (Command, ControlDoesWhatNeedsItsSocket)
{
  std::string reply;

  EXPECT_EQ (run ("{\"command\":\"trace\"}", &reply), ZM_REPLY_STREAM);
  EXPECT_EQ (run ("{\"command\":\"log\",\"level\":\"info\"}", &reply), ZM_REPLY_STREAM);
  EXPECT_EQ (run ("{\"command\":\"top\"}", &reply), ZM_REPLY_STREAM);
  EXPECT_EQ (run ("{\"command\":\"cancel\"}", &reply), ZM_REPLY_CANCEL);
}

TEST_F (Command, ReloadNamesEveryProblemAndChangesNothing)
{
  std::string reply;

  zm_log_set_level (runtime->log, ZM_LEVEL_ERROR);
  write ("flows.d/f.flow", "[Greeting]\n?Greeting?Push\nnot a step\n??done\n");
  EXPECT_EQ (run ("{\"command\":\"reload\"}", &reply), ZM_REPLY_ERROR);
  EXPECT_NE (reply.find ("f.flow:3:"), std::string::npos) << reply;
  EXPECT_EQ (run ("{\"command\":\"flow\",\"name\":\"Greeting\"}", &reply), ZM_REPLY_OK);
  write ("flows.d/f.flow", "[Farewell]\n?Farewell?Push\n?Bye?Bye\n??done\n");
  EXPECT_EQ (run ("{\"command\":\"reload\"}", &reply), ZM_REPLY_OK);
  EXPECT_NE (reply.find ("\"changes\":[\"flow Farewell added\",\"flow Greeting removed\"]"),
             std::string::npos)
      << reply;
}

TEST_F (Command, MetricsOfPluginsAreBounded)
{
  ZmHosting *hosting = runtime->hosting;
  std::string reply;

  EXPECT_EQ (zm_hosting_metric (hosting, "p", ZM_METRIC_COUNTER, "good_1", 2), ZM_OK);
  EXPECT_EQ (zm_hosting_metric (hosting, "p", ZM_METRIC_GAUGE, "level", -3), ZM_OK);
  for (const char *bad : { "", "Upper", "a-b", "a b", "a\"b" })
    EXPECT_EQ (zm_hosting_metric (hosting, "p", ZM_METRIC_COUNTER, bad, 1), ZM_E_INVALID) << bad;
  EXPECT_EQ (zm_hosting_metric (hosting, "p", ZM_METRIC_COUNTER, NULL, 1), ZM_E_INVALID);
  EXPECT_EQ (zm_hosting_metric (hosting, "p", 7, "kind", 1), ZM_E_INVALID);
  EXPECT_EQ (zm_hosting_metric (hosting, "p", ZM_METRIC_COUNTER, "good_1", -1), ZM_E_INVALID);
  EXPECT_EQ (zm_hosting_metric (hosting, "p", ZM_METRIC_GAUGE, "level", 0.0 / 0.0), ZM_E_INVALID);
  EXPECT_EQ (zm_hosting_metric (hosting, "p", ZM_METRIC_GAUGE, "level", 1e300), ZM_E_INVALID);
  for (int i = 2; i < ZM_HOSTING_METRICS_MOST; i++)
    EXPECT_EQ (zm_hosting_metric (hosting, "p", ZM_METRIC_COUNTER, ("m" + std::to_string (i)).c_str (), 1),
               ZM_OK);
  EXPECT_EQ (zm_hosting_metric (hosting, "p", ZM_METRIC_COUNTER, "one_more", 1), ZM_E_MEMORY);
  EXPECT_EQ (zm_hosting_metric (hosting, "q", ZM_METRIC_COUNTER, "one_more", 1), ZM_OK);
  EXPECT_EQ (run ("{\"command\":\"metrics\"}", &reply), ZM_REPLY_OK);
  EXPECT_NE (reply.find (
                 "\"name\":\"zmanager_plugin_level\",\"label_name\":\"plugin\",\"label\":\"p\",\"value\":-3"),
             std::string::npos)
      << reply;
  zm_hosting_forget (hosting, NULL);
  EXPECT_EQ (run ("{\"command\":\"metrics\"}", &reply), ZM_REPLY_OK);
  EXPECT_EQ (reply.find ("zmanager_plugin_level"), std::string::npos) << reply;
}

/* ---- the rest ---- */

TEST_F (Runtime, AWrongConfigurationIsRefusedWhole)
{
  g_autoptr (ZmProblems) problems = zm_problems_new ();
  g_autoptr (GError) error = NULL;
  ZmRuntimeOptions options = {};

  write ("zmanager.conf", "[zmanager]\nwatch = perhaps\n");
  options.dir = dir.c_str ();
  EXPECT_EQ (zm_runtime_new (&options, problems, &error), nullptr);
  EXPECT_EQ (zm_problems_errors (problems), 1u);
  EXPECT_FALSE (g_file_test ((dir + "/run").c_str (), G_FILE_TEST_EXISTS)) << "something was made";
}

TEST_F (Runtime, AnEndpointThatCannotBeBoundIsNamed)
{
  const char *const settings[] = { "subject.bind=ipc:///nonexistent/socket", "zmanager.log-level=error",
                                   NULL };
  g_autoptr (ZmProblems) problems = zm_problems_new ();
  GError *error = NULL;
  ZmRuntimeOptions options = {};

  options.dir = dir.c_str ();
  options.settings = settings;
  EXPECT_EQ (zm_runtime_new (&options, problems, &error), nullptr);
  EXPECT_NE (message (&error).find ("ipc:///nonexistent/socket"), std::string::npos);
}

TEST (Changes, OneLineNamesAFewAndCountsTheRest)
{
  g_autoptr (GPtrArray) changes = g_ptr_array_new ();

  EXPECT_EQ (take (zm_runtime_changes_text (changes)), "nothing changed");
  for (int i = 0; i < 10; i++)
    g_ptr_array_add (changes, (gpointer) "x");
  EXPECT_EQ (take (zm_runtime_changes_text (changes)), "x, x, x, x, x, x, x, x and 2 more");
}

TEST_F (Runtime, TheServiceManagerIsTold)
{
  std::string path = dir + "/notify";
  struct sockaddr_un address = {};
  char text[1024];
  int fd = socket (AF_UNIX, SOCK_DGRAM, 0);

  address.sun_family = AF_UNIX;
  g_strlcpy (address.sun_path, path.c_str (), sizeof address.sun_path);
  ASSERT_EQ (bind (fd, (struct sockaddr *) &address, sizeof address), 0);
  g_setenv ("NOTIFY_SOCKET", path.c_str (), TRUE);
  g_setenv ("WATCHDOG_USEC", "3000000", TRUE);
  ZmNotify *notify = zm_notify_new ();
  EXPECT_EQ (g_getenv ("NOTIFY_SOCKET"), nullptr) << "children would speak for us";
  EXPECT_EQ (zm_notify_watchdog_ms (notify), 1500u);
  zm_notify_ready (notify, "one\nREADY=0");
  ssize_t size = recv (fd, text, sizeof text, MSG_DONTWAIT);
  ASSERT_GT (size, 0);
  EXPECT_EQ (std::string (text, (size_t) size), "READY=1\nSTATUS=one\\x0aREADY=0");
  zm_notify_free (notify);
  close (fd);
}

} // namespace
