/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* JSON text of the room base: written, checked, looked up. */
#include "config.h"

#include "base/zm-base.h"

#include <gtest/gtest.h>

#include <string>

namespace {

ZmSpan
span_of (const std::string &text)
{
  return zm_span (text.data (), text.size ());
}

std::string
nested (int depth)
{
  return std::string ((size_t) depth, '[') + std::string ((size_t) depth, ']');
}

TEST (Json, ValidOnes)
{
  const std::string cases[] = {
    "null",
    "true",
    "false",
    "0",
    "-0",
    "12",
    "-1.5",
    "1e9",
    "1E+9",
    "1.25e-3",
    "\"\"",
    "\"text\"",
    "[]",
    "{}",
    " [ ] ",
    "{ }",
    "[1,2,3]",
    "[1, [2, {\"a\": null}]]",
    "{\"a\":1,\"b\":[true,false]}",
    "\t\r\n {\"a\" : 1 }\n",
    "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e4\"",
    "\"\\ud83d\\ude00\"",
    "\"ä日😀\"",
    "\"\x7f\"",
    "{\"\":0}",
    "{\"a\":1,\"a\":2}",
    "123456789012345678901234567890",
    nested (64),
  };

  for (const std::string &text : cases)
    EXPECT_TRUE (zm_json_valid (span_of (text))) << text;
}

TEST (Json, MalformedOnes)
{
  const std::string cases[] = {
    "",
    " ",
    "nul",
    "nulll",
    "True",
    "'a'",
    "01",
    "-",
    "+1",
    "1.",
    ".5",
    "1e",
    "1e+",
    "0x1",
    "NaN",
    "Infinity",
    "1 2",
    "\"",
    "\"a",
    "\"\\\"",
    "\"\\x\"",
    "\"\\u12\"",
    "\"\\u12g4\"",
    "\"\\",
    "\"\\ud83d\"",
    "\"\\ud83dx\"",
    "\"\\ude00\"",
    "\"\\ud83d\\u0041\"",
    "\"a\nb\"",
    "\"a\tb\"",
    std::string ("\"a\0b\"", 5),
    "\"\xff\"",
    "\"\xc3\"",
    "\"\xed\xa0\x80\"",
    "\"\xc0\xaf\"",
    "[",
    "]",
    "[1",
    "[1,",
    "[1,]",
    "[,1]",
    "[1 2]",
    "[1}",
    "{",
    "}",
    "{\"a\"",
    "{\"a\":",
    "{\"a\":1",
    "{\"a\":1,",
    "{\"a\":1,}",
    "{a:1}",
    "{1:1}",
    "{\"a\" 1}",
    "{\"a\":1 \"b\":2}",
    "{,}",
    "[] []",
    "{}x",
    "// c\n1",
    "[1]\xef\xbb\xbf",
    "\xef\xbb\xbf[1]",
    std::string ("null\0", 5),
    nested (65),
    std::string (100000, '['),
    std::string (100000, '{'),
    "\"\\" + std::string (1, '\0') + "\"",
  };

  for (const std::string &text : cases)
    EXPECT_FALSE (zm_json_valid (span_of (text))) << text.substr (0, 40);
}

TEST (Json, StringsAreWrittenSafely)
{
  const struct {
    std::string text, expected;
  } cases[] = {
    { "plain", "\"plain\"" },
    { "", "\"\"" },
    { "a\"b\\c", "\"a\\\"b\\\\c\"" },
    { "a\n\r\t\b", "\"a\\n\\r\\t\\u0008\"" },
    { std::string ("a\0b", 3), "\"a\\u0000b\"" },
    { "\x7f\xc2\x9b", "\"\\u007f\\u009b\"" },
    { "Größe 日本😀", "\"Größe 日本😀\"" },
    { "a\xff\xc3", "\"a\xef\xbf\xbd\xef\xbf\xbd\"" },
  };

  for (const auto &it : cases) {
    g_autoptr (GString) out = g_string_new (nullptr);

    zm_json_append_string (out, span_of (it.text));
    EXPECT_EQ (it.expected, out->str);
    EXPECT_TRUE (zm_json_valid (zm_span (out->str, out->len)));
  }
}

TEST (Json, WhatIsWrittenIsReadBack)
{
  std::string all;

  for (int c = 1; c < 128; c++)
    all += (char) c;
  all += "äé日本😀";
  g_autoptr (GString) out = g_string_new (nullptr);
  zm_json_append_string (out, span_of (all));
  g_autofree char *back = zm_json_text (zm_span (out->str, out->len));
  EXPECT_EQ (all, back);
}

TEST (Json, MembersOfTheTopLevelOnly)
{
  const struct {
    const char *object, *name, *expected; /* NULL: not found */
  } cases[] = {
    { "{\"a\":1}", "a", "1" },
    { " { \"a\" : \"x\" } ", "a", "\"x\"" },
    { "{\"a\":1,\"b\":[1,2]}", "b", "[1,2]" },
    { "{\"a\":{\"b\":1},\"b\":2}", "b", "2" },
    { "{\"a\":{\"b\":1}}", "b", nullptr },
    { "{\"\\u0061\":1}", "a", "1" },
    { "{\"a\":1,\"a\":2}", "a", "1" },
    { "{\"ab\":1}", "a", nullptr },
    { "{\"\":1}", "", "1" },
    { "{}", "a", nullptr },
    { "[\"a\"]", "a", nullptr },
    { "{\"b\":tru,\"a\":1}", "a", nullptr },
    { "{\"a\":", "a", nullptr },
    { "{\"a\"", "a", nullptr },
    { "", "a", nullptr },
    { "null", "a", nullptr },
  };

  for (const auto &it : cases) {
    ZmSpan value = { nullptr, 0 };

    ASSERT_EQ (zm_json_member (zm_span_text (it.object), it.name, &value), it.expected != nullptr)
        << it.object;
    EXPECT_TRUE (zm_span_is (value, it.expected)) << it.object;
  }
}

TEST (Json, TextOfStringsAndNumbers)
{
  const struct {
    const char *raw, *expected;
  } cases[] = {
    { "\"a\"", "a" },
    { "\"\"", "" },
    { "12.5", "12.5" },
    { "\"\\u00e4\\ud83d\\ude00\\\\\\/\\\"\\b\\f\\n\\r\\t\"", "ä😀\\/\"\b\f\n\r\t" },
    { "\"a\\u0000b\"", "a\xef\xbf\xbd"
                       "b" },
    { "true", nullptr },
    { "null", nullptr },
    { "[1]", nullptr },
    { "\"a", nullptr },
    { "\"a\"b\"", nullptr },
    { "12x", nullptr },
    { "", nullptr },
  };

  for (const auto &it : cases) {
    g_autofree char *text = zm_json_text (zm_span_text (it.raw));

    EXPECT_STREQ (text, it.expected) << it.raw;
  }
}

} // namespace
