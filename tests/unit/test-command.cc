/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Commands of the control socket, without the socket. */
#include "runtime-fixture.h"

namespace {

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
    ZmReplyKind kind = zm_command_run (runtime, zm_span (request.data (), request.size ()), out, NULL, NULL);

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
    { "{}", "invalid", "\"command\" is missing" },
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
    { "{\"command\":7}", "invalid", "\"command\" must be a string" },
    { "{\"command\":null}", "invalid", "\"command\" is missing" },
    { "{\"command\":[\"status\"]}", "invalid", "must be a string" },
    { "{\"command\":\"\"}", "invalid", "not empty" },
    { "{\"command\":\"stats\"}", "invalid", "did you mean \"status\"?" },
    { "{\"command\":\"STATUS\"}", "invalid", "unknown command" },
    { "{\"command\":\"status\\u001b[2J\"}", "invalid", "unknown command \"status\\x1b" },
    { "{\"Command\":\"status\"}", "invalid", "\"command\" is missing" },
    { "{\"command\":\"explain\"}", "invalid", "\"key\" is missing" },
    { "{\"command\":\"explain\",\"key\":\"\"}", "invalid", "not empty" },
    { "{\"command\":\"explain\",\"key\":{}}", "invalid", "\"key\" must be a string" },
    { "{\"command\":\"explain\",\"key\":\"a b\"}", "invalid", "column" },
    { "{\"command\":\"explain\",\"key\":\"?a?b\",\"text\":1}", "invalid", "must be true or false" },
    { "{\"command\":\"explain\",\"key\":\"" + long_text + "\"}", "invalid", "longer than 65536" },
    { "{\"command\":\"flow\"}", "invalid", "\"name\" is missing" },
    { "{\"command\":\"flow\",\"name\":\"none\"}", "not-found", "there is no flow \"none\"" },
    { "{\"command\":\"flow\",\"name\":\"Greeting\",\"dot\":\"yes\"}", "invalid", "must be true or false" },
    { "{\"command\":\"plugins\",\"name\":\"none\"}", "not-found", "there is no plugin" },
    { "{\"command\":\"plugins\",\"name\":3}", "invalid", "must be a string" },
    { "{\"command\":\"plugin-load\"}", "invalid", "\"name\" is missing" },
    { "{\"command\":\"plugin-load\",\"name\":\"../../etc/passwd\"}", "not-found", "there is no plugin" },
    { "{\"command\":\"dead\",\"id\":\"none\"}", "not-found", "\"none\" is set aside" },
    { "{\"command\":\"dead\",\"id\":1}", "invalid", "must be a string" },
    { "{\"command\":\"dead-rm\",\"id\":\"none\"}", "not-found", "no message" },
    { "{\"command\":\"dead-rm\"}", "invalid", "either" },
    { "{\"command\":\"dead-rm\",\"all\":false}", "invalid", "either" },
    { "{\"command\":\"dead-rm\",\"all\":true,\"id\":\"none\"}", "invalid", "either" },
    { "{\"command\":\"plugin-unload\",\"name\":\"none\"}", "not-found", "there is no plugin" },
    { "{\"command\":\"plugin-reload\",\"name\":\"none\"}", "not-found", "there is no plugin" },
    { "{\"command\":\"log-level\"}", "invalid", "\"level\" is missing" },
    { "{\"command\":\"log-level\",\"level\":\"loud\"}", "invalid", "unknown level" },
    { "{\"command\":\"service-command\"}", "invalid", "\"service\" is missing" },
    { "{\"command\":\"service-command\",\"service\":\"s\"}", "invalid", "\"verb\" is missing" },
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
    { "{\"command\":\"hosts\"}", "{\"hosts\":[]}" },
    { "{\"command\":\"dead\"}", "{\"dead\":[]}" },
    { "{\"command\":\"dead-rm\",\"all\":true}", "\"forgotten\":0" },
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

/* What is different counts, whether it can be used or not. */
TEST_F (Command, ReloadTellsOfMappingsWhosePluginIsNotThere)
{
  const struct {
    const char *file, *text, *change;
  } table[] = {
    { "actions.d/a.ini", "?A?B = nope.x\n", "+1 mapping (?A?B)" },
    { "actions.d/b.ini", "?? = nope.y\n",
      "+1 mapping (?"
      "?)" },
    { "actions.d/a.ini", "?A?B = nope.other\n", "1 mapping changed (?A?B)" },
    { "actions.d/c.ini", "?A?B = absent.x\n", "1 mapping changed (?A?B)" },
    { "actions.d/a.ini", "?A?C = nope.x\n?A?D = nope.x\n", "+2 mappings" },
    { "actions.d/a.ini", "?A?C = nope.x\n?A?E = nope.x\n", "+1 mapping (?A?E)\",\"-1 mapping (?A?D)" },
    { "actions.d/b.ini", "",
      "-1 mapping (?"
      "?)" },
  };
  std::string reply;

  zm_log_set_level (runtime->log, ZM_LEVEL_ERROR);
  for (const auto &row : table) {
    write (row.file, std::string ("[actionmapping]\n") + row.text);
    EXPECT_EQ (run ("{\"command\":\"reload\"}", &reply), ZM_REPLY_OK);
    EXPECT_NE (reply.find (std::string ("\"changes\":[\"") + row.change + "\"]"), std::string::npos)
        << row.text << reply;
  }
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

} // namespace
