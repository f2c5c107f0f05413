/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What --check finds and how it says it. */
#include "runtime-fixture.h"

namespace {

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
             "f:3:7: error ZM1001: wrong \"word\"; expected this; do that\n1 error, 0 warnings\n");
  std::string json = take (zm_check_json (problems));
  EXPECT_TRUE (zm_json_valid (zm_span (json.data (), json.size ()))) << json;
  EXPECT_NE (json.find ("\"code\":\"ZM1001\""), std::string::npos) << json;
}

} // namespace
