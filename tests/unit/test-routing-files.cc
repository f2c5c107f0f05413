/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Wrong mapping and flow files: data/malformed.txt says what each must be answered. ZM_TEST_PRINT=1 prints the table anew. */
#include "config.h"

#include "routing-fixture.h"

#include <gtest/gtest.h>

#include <sstream>

using namespace routing;

namespace {

struct Case {
  std::string kind, name, input, expected;
};

/* \xHH is a byte. */
std::string
unescape (const std::string &text)
{
  std::string out;

  for (size_t i = 0; i < text.size (); i++)
    if (text.compare (i, 2, "\\x") == 0) {
      out += static_cast<char> (std::stoi (text.substr (i + 2, 2), nullptr, 16));
      i += 3;
    } else
      out += text[i];
  return out;
}

std::vector<Case>
read_cases ()
{
  std::istringstream lines (read_data ("malformed.txt"));
  std::vector<Case> cases;
  bool answer = false;

  for (std::string line; std::getline (lines, line);) {
    if (line.rfind ("=== ", 0) == 0) {
      size_t colon = line.find (": ");

      cases.push_back ({ line.substr (4, colon - 4), line.substr (colon + 2), "", "" });
      answer = false;
    } else if (cases.empty ())
      continue;
    else if (line == "---")
      answer = true;
    else
      (answer ? cases.back ().expected : cases.back ().input) += line + "\n";
  }
  return cases;
}

std::string
problems_of (const Case &one)
{
  size_t cut = one.input.find ("%%\n");
  std::string input = unescape (one.input);

  if (one.kind == "table")
    return Table (one.input.substr (0, cut), one.input.substr (cut + 3)).problems.text ();
  if (one.kind == "flow")
    return Table ("", input).problems.text ();
  return Table (input, "", false).problems.text ();
}

TEST (Files, EveryFaultIsSaidWithItsPlace)
{
  std::vector<Case> cases = read_cases ();
  bool print = g_getenv ("ZM_TEST_PRINT") != nullptr;

  EXPECT_GE (cases.size (), 130u);
  for (const Case &one : cases) {
    std::string said = problems_of (one);
    said += said.empty () ? "" : "\n";

    if (print)
      printf ("=== %s: %s\n%s---\n%s", one.kind.c_str (), one.name.c_str (), one.input.c_str (),
              said.c_str ());
    else
      EXPECT_EQ (said, one.expected) << one.kind << ": " << one.name;
  }
}

/* Every code that is said is explained. */
TEST (Files, EveryCodeIsExplained)
{
  for (const Case &one : read_cases ()) {
    std::istringstream lines (one.expected);

    for (std::string line; std::getline (lines, line);) {
      size_t at = line.find ("ZM1");

      ASSERT_NE (at, std::string::npos) << line;
      EXPECT_NE (zm_code_info (line.substr (at, 6).c_str ()), nullptr) << line;
    }
  }
}

TEST (Files, BoundsOfSizeHold)
{
  Table long_line ("", "[a]\n?a?Push\n?a?" + std::string (70000, 'x') + "\n??done\n");
  EXPECT_NE (long_line.problems.text ().find ("x.flow:3:1: error ZM1007: line too long"), std::string::npos);

  Table long_file ("", std::string (1024 * 1024 + 1, '\n'));
  EXPECT_NE (long_file.problems.text ().find ("x.flow: error ZM1008: file too long"), std::string::npos);

  std::string steps;
  for (int i = 0; i < 1000; i++)
    steps += "?a@PUBLISH?b\n";
  Table long_flow ("", "[a]\n?a?Push\n" + steps + "??done\n");
  EXPECT_NE (long_flow.problems.text ().find ("x.flow:1002:1: error ZM1217: the flow is too long"),
             std::string::npos);
  EXPECT_EQ (zm_problems_count (long_flow.problems.list), 1u);
}

TEST (Files, FilesThatCannotBeReadAreProblems)
{
  Problems problems;
  GPtrArray *out = g_ptr_array_new ();

  zm_flow_read_file ("/nonexistent/a.flow", out, problems.list);
  zm_flow_read_file ("/dev/null", out, problems.list);
  zm_flow_read_file ("/", out, problems.list);
  zm_mapping_read_file ("/nonexistent/a.ini", out, problems.list);
  EXPECT_EQ (out->len, 0u);
  EXPECT_EQ (zm_problems_errors (problems.list), 4u) << problems.text ();
  EXPECT_NE (problems.text ().find ("/dev/null: error ZM1010: cannot be read: not a plain file"),
             std::string::npos);
  g_ptr_array_unref (out);
}

TEST (Files, CommentsBlankLinesIndentsAndOtherEditorsAreFine)
{
  Table table (
      "\xef\xbb\xbf# c\r\n[actionmapping]\r\n; c\r\n   ?a?b=hello.greet\r\n",
      "\xef\xbb\xbf; c\r\n[größe]\r\n\r\n\t?größe?Push\r\n  # c\r\n  ?a?b  &  ?a?c\r\n\t!\t?a?b\r\n??done");

  EXPECT_EQ (table.problems.text (), "");
  EXPECT_EQ (table.lookup ("?a?b"), "hello.greet");
  ASSERT_NE (table.flow ("größe"), nullptr);
  EXPECT_EQ (table.flow ("größe")->n_steps, 3u);
  EXPECT_EQ (table.flow ("größe")->steps[1].n_branches, 2u);
  EXPECT_EQ (table.flow ("größe")->steps[1].branches[1].column, 12u);
  EXPECT_STREQ (table.flow ("größe")->steps[1].on_error->text, "?a?b");
}

} // namespace
