/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The room base: spans, problems and their codes, did-you-mean, ids and values. */
#include "config.h"

#include "base/version.h"
#include "base/zm-base.h"
#include "base/zm-codes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

namespace {

ZmSpan
span_of (const std::string &text)
{
  return zm_span (text.data (), text.size ());
}

TEST (Version, IsThreeNumbers)
{
  EXPECT_TRUE (g_regex_match_simple ("^[0-9]+\\.[0-9]+\\.[0-9]+$", zm_version (), (GRegexCompileFlags) 0,
                                     (GRegexMatchFlags) 0));
}

/* ---- spans ---- */

TEST (Span, EqualByBytes)
{
  EXPECT_TRUE (zm_span_equal (ZM_SPAN_LITERAL ("abc"), zm_span_text ("abc")));
  EXPECT_FALSE (zm_span_equal (ZM_SPAN_LITERAL ("abc"), ZM_SPAN_LITERAL ("abd")));
  EXPECT_FALSE (zm_span_equal (ZM_SPAN_LITERAL ("abc"), ZM_SPAN_LITERAL ("ab")));
  EXPECT_TRUE (zm_span_equal (zm_span_text (nullptr), ZM_SPAN_LITERAL ("")));
  EXPECT_TRUE (zm_span_is (ZM_SPAN_LITERAL ("abc"), "abc"));
  EXPECT_FALSE (zm_span_is (ZM_SPAN_LITERAL ("abc"), "abcd"));
}

TEST (Span, DupEndsInZero)
{
  g_autofree char *text = zm_span_dup (zm_span ("abcdef", 3)), *empty = zm_span_dup (zm_span (nullptr, 0));

  EXPECT_STREQ (text, "abc");
  EXPECT_STREQ (empty, "");
}

TEST (Span, HashDependsOnEveryByteAndTheSize)
{
  std::set<guint64> seen;
  size_t texts = 0;

  for (size_t size = 0; size <= 70; size++) {
    std::string text (size, '\0');

    seen.insert (zm_span_hash (span_of (text)));
    texts++;
    for (size_t i = 0; i < size; i++, texts++) {
      text[i] = 1;
      seen.insert (zm_span_hash (span_of (text)));
      text[i] = 0;
    }
  }
  EXPECT_EQ (seen.size (), texts);
}

TEST (Span, HashSpreadsOverTheLowBits)
{
  const int slots = 1024, keys = 64 * slots;
  std::vector<int> hits (slots);

  for (int i = 0; i < keys; i++)
    hits[zm_span_hash (span_of ("~~~Context" + std::to_string (i) + "~Action")) % slots]++;
  /* 64 on average, with a standard deviation of 8. */
  EXPECT_LT (*std::max_element (hits.begin (), hits.end ()), 64 + 8 * 8);
  EXPECT_GT (*std::min_element (hits.begin (), hits.end ()), 64 - 7 * 8);
}

TEST (Printable, ControlBytesAndBadTextAreShownAsHex)
{
  const struct {
    std::string text;
    gsize most;
    const char *expected;
  } cases[] = {
    { "plain text", 100, "plain text" },
    { "Größe 日本", 100, "Größe 日本" },
    { "a\nb\x1b[31m\x7f", 100, "a\\x0ab\\x1b[31m\\x7f" },
    { std::string ("a\0b", 3), 100, "a\\x00b" },
    { "\xff\xc3", 100, "\\xff\\xc3" },
    { "\xc2\x9b", 100, "\\xc2\\x9b" },
    { "\xe2\x80\xae", 100, "\\xe2\\x80\\xae" },
    { "0123456789", 10, "0123456789" },
    { "0123456789X", 10, "0123456..." },
    { "01234ääää", 9, "01234..." },
    { "abcdef", 2, "ab" },
    { "\n\n\n", 9, "\\x0a..." },
    { "", 10, "" },
    { "abc", 0, "" },
  };

  for (const auto &it : cases) {
    g_autofree char *shown = zm_printable (span_of (it.text), it.most);

    EXPECT_STREQ (shown, it.expected);
    EXPECT_LE (strlen (shown), it.most);
  }
}

/* ---- problems ---- */

TEST (Problems, AreFormattedWithWhatIsKnown)
{
  const struct {
    ZmSeverity severity;
    const char *file;
    guint line, column;
    const char *expected, *todo, *what, *text;
  } cases[] = {
    { ZM_PROBLEM_ERROR, "a.conf", 3, 7, "a duration", "write 30s", "\"soon\"",
      "a.conf:3:7: error ZM1002: \"soon\"; expected a duration; write 30s" },
    { ZM_PROBLEM_WARNING, "a.conf", 3, 0, nullptr, nullptr, "odd", "a.conf:3: warning ZM1002: odd" },
    { ZM_PROBLEM_ERROR, "a.conf", 0, 0, nullptr, "do it", "odd", "a.conf: error ZM1002: odd; do it" },
    { ZM_PROBLEM_ERROR, nullptr, 0, 0, "b", nullptr, "a", "error ZM1002: a; expected b" },
    { ZM_PROBLEM_ERROR, "a\nb", 1, 1, nullptr, nullptr, "c\x1b", "a\\x0ab:1:1: error ZM1002: c\\x1b" },
  };

  for (const auto &it : cases) {
    g_autoptr (ZmProblems) problems = zm_problems_new ();

    zm_problems_add (problems, it.severity, ZM_CODE_BAD_VALUE, it.file, it.line, it.column, it.expected,
                     it.todo, "%s", it.what);
    g_autofree char *text = zm_problem_format (zm_problems_get (problems, 0));
    EXPECT_STREQ (text, it.text);
  }
}

TEST (Problems, ErrorsComeFirst)
{
  g_autoptr (ZmProblems) problems = zm_problems_new ();

  zm_problems_add (problems, ZM_PROBLEM_WARNING, 1, nullptr, 0, 0, nullptr, nullptr, "w%d", 1);
  zm_problems_add (problems, ZM_PROBLEM_ERROR, 2, nullptr, 0, 0, nullptr, nullptr, "e%d", 1);
  g_autofree char *text = zm_problems_format (problems);

  EXPECT_STREQ (text, "error ZM0002: e1\nwarning ZM0001: w1");
  EXPECT_EQ (zm_problems_errors (problems), 1u);
  EXPECT_EQ (zm_problems_warnings (problems), 1u);
}

TEST (Problems, AreSortedByPlace)
{
  g_autoptr (ZmProblems) problems = zm_problems_new ();
  const struct {
    const char *file;
    guint line, column;
    const char *what;
  } table[] = { { "b", 3, 1, "6" }, { "a", 28, 1, "5" }, { "a", 5, 7, "3" },
                { "a", 5, 7, "4" }, { "a", 5, 2, "2" },  { NULL, 0, 0, "1" } };
  std::string order;

  for (const auto &row : table)
    zm_problems_add (problems, ZM_PROBLEM_ERROR, 1001, row.file, row.line, row.column, NULL, NULL, "%s",
                     row.what);
  zm_problems_sort (problems);
  for (guint i = 0; i < zm_problems_count (problems); i++)
    order += zm_problems_get (problems, i)->what;
  EXPECT_EQ (order, "123456");
}

TEST (Problems, AreBoundedButCounted)
{
  g_autoptr (ZmProblems) problems = zm_problems_new ();

  for (int i = 0; i < 1500; i++)
    zm_problems_add (problems, ZM_PROBLEM_ERROR, 1, nullptr, 0, 0, nullptr, nullptr, "e");
  g_autofree char *text = zm_problems_format (problems);

  EXPECT_EQ (zm_problems_errors (problems), 1500u);
  EXPECT_EQ (zm_problems_count (problems), 1000u);
  EXPECT_TRUE (g_str_has_suffix (text, "\nand 500 more problems; correct these first"));
}

/* ---- codes ---- */

TEST (Codes, EveryOneIsExplainedWithAnExampleAndItsCure)
{
  g_autofree char *path = g_build_filename (g_getenv ("ZM_SRCDIR") ? g_getenv ("ZM_SRCDIR") : ".", "core",
                                            "base", "zm-codes.h", nullptr);
  g_autofree char *header = nullptr;
  std::set<std::string> seen;

  ASSERT_TRUE (g_file_get_contents (path, &header, nullptr, nullptr)) << path;
  for (const char *at = header; (at = strstr (at, "ZM_CODE_")) != nullptr;) {
    const char *value = strstr (at, " = ");

    ASSERT_NE (value, nullptr) << at;
    const std::string name (at, (size_t) (value - at)), number (value + 3, strcspn (value + 3, ",\n "));
    at = value;
    const ZmCodeInfo *info = zm_code_info (number.c_str ());

    EXPECT_TRUE (seen.insert (number).second) << number << " is given twice";
    ASSERT_NE (info, nullptr) << name;
    EXPECT_EQ (std::to_string (info->code), number);
    EXPECT_NE (strstr (info->text, "\nExample: "), nullptr) << name;
    EXPECT_NE (strstr (info->text, "\nCure: "), nullptr) << name;
    EXPECT_GT (strlen (info->title), 5u);
  }
  EXPECT_GT (seen.size (), 50u);
}

TEST (Codes, AreFoundByEitherForm)
{
  EXPECT_EQ (zm_code_info ("ZM1001"), zm_code_info ("1001"));
  ASSERT_NE (zm_code_info ("zm1001"), nullptr);
  EXPECT_EQ (zm_code_info ("zm1001")->code, (guint) ZM_CODE_UNKNOWN_KEY);
  for (const char *bad : { "", "ZM", "ZM9999", "ZM10010", "1001x", "-1001", " 1001", "key" })
    EXPECT_EQ (zm_code_info (bad), nullptr) << bad;
}

/* ---- did you mean ---- */

TEST (Suggest, NearestWhereNearEnough)
{
  static const char *const candidates[] = { "subject", "integration", "workers", "timeout",
                                            "bind",    "c",           nullptr };
  const struct {
    const char *word, *expected;
  } cases[] = {
    { "subject", "subject" },
    { "sujbect", "subject" },
    { "Subject", "subject" },
    { "subjects", "subject" },
    { "intgration", "integration" },
    { "worker", "workers" },
    { "time-out", "timeout" },
    { "bnid", "bind" },
    { "bound", "bind" },
    { "zaqar", nullptr },
    { "", nullptr },
    { "x", nullptr },
    { "dnib", nullptr },
  };
  const std::string long_word (1000, 'a');

  for (const auto &it : cases)
    EXPECT_STREQ (zm_suggest (it.word, candidates), it.expected) << it.word;
  EXPECT_EQ (zm_suggest (long_word.c_str (), candidates), nullptr);
}

TEST (Suggest, SimilarWordsAndHowManyMistakes)
{
  const struct {
    const char *word, *candidate;
    int away; /* -1: not similar */
  } cases[] = {
    { "Count", "Count", 0 }, { "count", "Count", 0 }, { "Cuont", "Count", 1 }, { "Coun", "Count", 1 },
    { "Cnout", "Count", 2 }, { "Count", "Sort", -1 }, { "a", "b", -1 },        { "", "Count", -1 },
    { "Count", "", -1 },     { "C", "Counter", -1 },
  };

  for (const auto &it : cases) {
    guint away = 99;
    gboolean similar = zm_similar (zm_span_text (it.word), zm_span_text (it.candidate), &away);

    EXPECT_EQ (similar ? (int) away : -1, it.away) << it.word << " " << it.candidate;
  }
}

/* ---- ids ---- */

TEST (Uuid, VersionVariantAndTime)
{
  ZmUuidMaker maker;
  char text[ZM_UUID_SIZE];
  const gint64 now_us = 1700000000123456;

  zm_uuid_maker_init (&maker);
  zm_uuid_make (&maker, now_us, text);
  const std::string id (text, sizeof text);
  ASSERT_TRUE (g_regex_match_simple ("^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$",
                                     id.c_str (), (GRegexCompileFlags) 0, (GRegexMatchFlags) 0))
      << id;
  EXPECT_EQ (std::stoll (id.substr (0, 8) + id.substr (9, 4) + id.substr (15, 3), nullptr, 16), now_us);
}

TEST (Uuid, SortedInTheOrderOfMakingWhateverTheClockDoes)
{
  ZmUuidMaker maker;
  std::string before;
  char text[ZM_UUID_SIZE];

  zm_uuid_maker_init (&maker);
  for (int i = 0; i < 100000; i++) {
    /* stands still, jumps forward, falls back */
    gint64 now_us = 1700000000000000 + (i / 30000) * 1000 - (i > 70000 ? G_GINT64_CONSTANT (3600000000) : 0);

    zm_uuid_make (&maker, now_us, text);
    const std::string id (text, sizeof text);
    ASSERT_LT (before, id) << i;
    before = id;
  }
}

TEST (Uuid, MakersDiffer)
{
  std::set<std::string> seen;
  char text[ZM_UUID_SIZE];

  for (int i = 0; i < 1000; i++) {
    ZmUuidMaker maker;

    zm_uuid_maker_init (&maker);
    zm_uuid_make (&maker, 1700000000000000, text);
    seen.insert (std::string (text, sizeof text));
  }
  EXPECT_EQ (seen.size (), 1000u);
}

/* ---- values ---- */

TEST (Parse, Durations)
{
  const struct {
    const char *text;
    gint64 expected; /* -1: refused */
  } cases[] = {
    { "0", 0 },          { "250ms", 250 },
    { "30s", 30000 },    { "30", 30000 },
    { "5m", 300000 },    { "2h", 7200000 },
    { "7d", 604800000 }, { "", -1 },
    { "s", -1 },         { "-1s", -1 },
    { "1.5s", -1 },      { "10x", -1 },
    { " 1s", -1 },       { "1s ", -1 },
    { "1 s", -1 },       { "100000d", 8640000000000 },
    { "100001d", -1 },   { "99999999999999999999", -1 },
    { "1S", -1 },        { "+1", -1 },
  };

  for (const auto &it : cases) {
    g_autoptr (GError) error = nullptr;
    gint64 value = -1;

    EXPECT_EQ (zm_parse_duration (it.text, &value, &error), it.expected >= 0) << it.text;
    EXPECT_EQ (value, it.expected) << it.text;
    EXPECT_EQ (error != nullptr, it.expected < 0) << it.text;
  }
}

TEST (Parse, Sizes)
{
  const struct {
    const char *text;
    gint64 expected; /* -1: refused */
  } cases[] = {
    { "0", 0 },
    { "4096", 4096 },
    { "64k", 65536 },
    { "64K", 65536 },
    { "16M", 16 << 20 },
    { "2G", G_GINT64_CONSTANT (2) << 30 },
    { "", -1 },
    { "k", -1 },
    { "1KB", -1 },
    { "-1", -1 },
    { "1.5M", -1 },
    { "9223372036854775807", G_MAXINT64 },
    { "9223372036854775808", -1 },
    { "8589934592G", -1 },
  };

  for (const auto &it : cases) {
    guint64 value = (guint64) -1;

    EXPECT_EQ (zm_parse_size (it.text, &value, nullptr), it.expected >= 0) << it.text;
    EXPECT_EQ (value, (guint64) it.expected) << it.text;
  }
}

TEST (Parse, IntegersWithTheirBounds)
{
  const struct {
    const char *text;
    const char *error; /* NULL: taken as 5 or -5 */
  } cases[] = {
    { "5", nullptr },
    { "-5", nullptr },
    { "005", nullptr },
    { "", "\"\" is not a whole number" },
    { "+5", "\"+5\" is not a whole number" },
    { " 5", "\" 5\" is not a whole number" },
    { "5 ", "\"5 \" is not a whole number" },
    { "0x5", "\"0x5\" is not a whole number" },
    { "five", "\"five\" is not a whole number" },
    { "-", "\"-\" is not a whole number" },
    { "11", "11 is out of range; it must be from -10 to 10" },
    { "-11", "-11 is out of range; it must be from -10 to 10" },
    { "99999999999999999999", "99999999999999999999 is out of range; it must be from -10 to 10" },
  };

  for (const auto &it : cases) {
    g_autoptr (GError) error = nullptr;
    gint64 value = 0;

    EXPECT_EQ (zm_parse_integer (it.text, -10, 10, &value, &error), it.error == nullptr) << it.text;
    EXPECT_STREQ (error != nullptr ? error->message : nullptr, it.error);
    EXPECT_EQ (std::abs (value), it.error == nullptr ? 5 : 0) << it.text;
  }
}

TEST (Parse, TruthValues)
{
  for (const char *text : { "yes", "true", "on", "1" }) {
    gboolean value = FALSE;
    EXPECT_TRUE (zm_parse_boolean (text, &value, nullptr) && value) << text;
  }
  for (const char *text : { "no", "false", "off", "0" }) {
    gboolean value = TRUE;
    EXPECT_TRUE (zm_parse_boolean (text, &value, nullptr) && !value) << text;
  }
  for (const char *text : { "", "Yes", "2", "y", "yes " }) {
    gboolean value;
    EXPECT_FALSE (zm_parse_boolean (text, &value, nullptr)) << text;
  }
}

TEST (Clock, GoesOn)
{
  gint64 first = zm_now_us (), wall = zm_wall_us ();

  EXPECT_GE (zm_now_us (), first);
  EXPECT_GT (wall, G_GINT64_CONSTANT (1700000000) * G_USEC_PER_SEC);
}

} // namespace

/* ---- secrets in text that is shown ---- */

struct Hiding {
  const char *text, *shown;
};

static std::string
taken (char *text)
{
  std::string out = text;

  g_free (text);
  return out;
}

TEST (Redact, PasswordsOfEveryAddressAreHidden)
{
  const Hiding table[] = {
    { "no address", "no address" },
    { "amqp://me:word@host/", "amqp://me:***@host/" },
    { "amqp://me@host:5672/a:b@c", "amqp://me@host:5672/a:b@c" },
    { "a://b:c@d, e://f:g@h", "a://b:***@d, e://f:***@h" },
    { "\"tcp://me:w:o@r@d:d@host:1\" is none", "\"tcp://me:***@host:1\" is none" },
    { "tcp://127.0.0.1:5555", "tcp://127.0.0.1:5555" },
    { "x://:word@", "x://:***@" },
    { "://", "://" },
  };

  for (const Hiding &one : table)
    EXPECT_EQ (taken (zm_hide_passwords (one.text)), one.shown);
}

TEST (Redact, WhatStandsBehindANameIsHidden)
{
  const Hiding table[] = {
    { "delay 5", "delay 5" },
    { "password hunter2", "password***" },
    { "My-API-Token: a b c", "My-API-Token***" },
    { "uri a://b:c@d", "uri a://b:***@d" },
  };

  for (const Hiding &one : table)
    EXPECT_EQ (taken (zm_hide_after_name (one.text)), one.shown);
  EXPECT_TRUE (zm_names_secret ("client-Secret"));
  EXPECT_FALSE (zm_names_secret ("delay"));
}

TEST (Redact, OptionsOfACommandAreHidden)
{
  const Hiding table[] = {
    { "./w --fast 1", "./w --fast 1" },
    { "./w --password=word --fast", "./w --password*** --fast" },
    { "./w --token  word --to a://b:c@d", "./w --token  *** --to a://b:***@d" },
    { "./w --token", "./w --token" },
  };

  for (const Hiding &one : table)
    EXPECT_EQ (taken (zm_hide_in_command (one.text)), one.shown);
}
