/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Action keys and topics of the room message: tables of good and malformed ones. */
#include "config.h"

#include "message/zm-key.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

namespace {

ZmSpan
span_of (const std::string &text)
{
  return zm_span (text.data (), text.size ());
}

std::string
text_of (ZmSpan span)
{
  return std::string (span.data != nullptr ? span.data : "", span.size);
}

std::string
key_text (const ZmKey &key)
{
  g_autofree char *text = zm_key_text (&key);

  return text;
}

/* The key borrows the text. */
ZmKey
parse (const char *text)
{
  g_autoptr (GError) error = nullptr;
  ZmKey key;

  EXPECT_TRUE (zm_key_parse (zm_span_text (text), &key, nullptr, &error)) << text << ": " << error->message;
  return key;
}

const std::string long_part (ZM_PART_MOST + 1, 'x');
const std::string full_part (ZM_PART_MOST, 'x');
const std::string long_id (65, '7');

/* ---- good keys ---- */

struct GoodKey {
  const char *text;
  const char *sender, *context, *decorator, *action;
};

const GoodKey good_keys[] = {
  { "Sender?Context@DECORATOR?Action", "Sender", "Context", "DECORATOR", "Action" },
  { "?Link?Down", "", "Link", "", "Down" },
  { "??", "", "", "", "" },
  { "??done", "", "", "", "done" },
  { "Topology??Changed", "Topology", "", "", "Changed" },
  { "S??", "S", "", "", "" },
  { "?C?", "", "C", "", "" },
  { "?@FAST?go", "", "", "FAST", "go" },
  { "?C@?A", "", "C", "", "A" },
  { "a-b?^c?d_e", "a-b", "^c", "", "d_e" },
  { "Gerät?Straße?schließen", "Gerät", "Straße", "", "schließen" },
  { "センサー?温度?測定", "センサー", "温度", "", "測定" },
  { "1?2@3?4", "1", "2", "3", "4" },
  { "?ServiceManagement__GetServiceTopics@ASYNC?get_service_topics_response", "",
    "ServiceManagement__GetServiceTopics", "ASYNC", "get_service_topics_response" },
};

TEST (Key, GoodOnesAreSplit)
{
  for (const GoodKey &good : good_keys) {
    ZmKey key = parse (good.text);

    EXPECT_EQ (text_of (key.sender), good.sender) << good.text;
    EXPECT_EQ (text_of (key.context), good.context) << good.text;
    EXPECT_EQ (text_of (key.decorator), good.decorator) << good.text;
    EXPECT_EQ (text_of (key.action), good.action) << good.text;
  }
}

TEST (Key, TextComesBack)
{
  for (const GoodKey &good : good_keys) {
    std::string expected = good.text;

    /* An empty decorator is none. */
    if (expected == "?C@?A")
      expected = "?C?A";
    EXPECT_EQ (key_text (parse (good.text)), expected);
  }
}

TEST (Key, PartsUpToTheBoundAreTaken)
{
  const std::string text = "?" + full_part + "?";

  EXPECT_EQ (text_of (parse (text.c_str ()).context), full_part);
}

/* ---- malformed keys ---- */

struct BadText {
  std::string text;
  guint column;
  const char *error; /* what follows "column N: " */
};

const BadText bad_keys[] = {
  { "", 1, "the key is empty; expected Sender?Context@Decorator?Action" },
  { "Link", 5, "the key ends before its first '?'; expected Sender?Context@Decorator?Action" },
  { "?", 2, "the key ends before its second '?'; expected Sender?Context@Decorator?Action" },
  { "Link?Down", 10, "the key ends before its second '?'; expected Sender?Context@Decorator?Action" },
  { "?Link@FAST", 11, "the key ends before its second '?'; expected Sender?Context@Decorator?Action" },
  { "?Link@", 7, "the key ends before its second '?'; expected Sender?Context@Decorator?Action" },
  { "a?b?c?d", 6, "a third '?'; nothing may follow the action: Sender?Context@Decorator?Action" },
  { "???", 3, "a third '?'; nothing may follow the action: Sender?Context@Decorator?Action" },
  { "A?B?C.D", 6, "'.' is not allowed in an action key; use letters, digits, '_', '-' and '^'" },
  { "A.B?C?D", 2, "'.' is not allowed in an action key; use letters, digits, '_', '-' and '^'" },
  { "A?B.C?D", 4, "'.' is not allowed in an action key; use letters, digits, '_', '-' and '^'" },
  { "A?B@C.D?E", 6, "'.' is not allowed in an action key; use letters, digits, '_', '-' and '^'" },
  { "?Link~Down?", 6, "'~' is not allowed in an action key; use letters, digits, '_', '-' and '^'" },
  { "?a/b?", 3, "'/' is not allowed in an action key; use letters, digits, '_', '-' and '^'" },
  { "?a?b;", 5, "';' is not allowed in an action key; use letters, digits, '_', '-' and '^'" },
  { "?a?b=", 5, "'=' is not allowed in an action key; use letters, digits, '_', '-' and '^'" },
  { "?a?b\"", 5, "'\"' is not allowed in an action key; use letters, digits, '_', '-' and '^'" },
  { "?a?b*", 5, "'*' is not allowed in an action key; use letters, digits, '_', '-' and '^'" },
  { "?Größe?über€", 12, "'€' is not allowed in an action key; use letters, digits, '_', '-' and '^'" },
  { "?日本?→", 5, "'→' is not allowed in an action key; use letters, digits, '_', '-' and '^'" },
  { "?a?b😀", 5, "'😀' is not allowed in an action key; use letters, digits, '_', '-' and '^'" },
  { " ?Link?Down", 1, "white space is not allowed in an action key" },
  { "?Link?Down ", 11, "white space is not allowed in an action key" },
  { "?Li nk?Down", 4, "white space is not allowed in an action key" },
  { "?Link?\tDown", 7, "white space is not allowed in an action key" },
  { "?Link?Down\n", 11, "white space is not allowed in an action key" },
  { "?Link?Down\r", 11, "white space is not allowed in an action key" },
  { "?Link?\xc2\xa0", 7, "white space is not allowed in an action key" },
  { "?Link?\xe3\x80\x80", 7, "white space is not allowed in an action key" },
  { "a@b?c?d", 2,
    "this '@' is one too many; one decorator may follow the context: Sender?Context@Decorator?Action" },
  { "@?c?d", 1,
    "this '@' is one too many; one decorator may follow the context: Sender?Context@Decorator?Action" },
  { "a?b@c@d?e", 6,
    "this '@' is one too many; one decorator may follow the context: Sender?Context@Decorator?Action" },
  { "a?b@@c?d", 5,
    "this '@' is one too many; one decorator may follow the context: Sender?Context@Decorator?Action" },
  { "a?b?c@d", 6,
    "'@' after the action; the decorator follows the context: Sender?Context@Decorator?Action" },
  { "a?b@c?d@", 8,
    "'@' after the action; the decorator follows the context: Sender?Context@Decorator?Action" },
  { std::string ("?a\0b?c", 6), 3, "control character U+0000 is not allowed in an action key" },
  { std::string ("\0", 1), 1, "control character U+0000 is not allowed in an action key" },
  { "?a\x1b[31m?c", 3, "control character U+001B is not allowed in an action key" },
  { "?a?c\x7f", 5, "control character U+007F is not allowed in an action key" },
  { "?a?c\xc2\x9b", 5, "control character U+009B is not allowed in an action key" },
  { "?a?c\xe2\x80\xae", 5, "control character U+202E is not allowed in an action key" },
  { "?a?c\xef\xbb\xbf", 5, "control character U+FEFF is not allowed in an action key" },
  { "\xef\xbb\xbf?a?c", 1, "control character U+FEFF is not allowed in an action key" },
  { "?\xff?c", 2, "byte 0xff is no UTF-8 text" },
  { "?ä\xe4?c", 3, "byte 0xe4 is no UTF-8 text" },
  { "?a?c\xc3", 5, "byte 0xc3 is no UTF-8 text" },
  { "?a?\xc0\xaf", 4, "byte 0xc0 is no UTF-8 text" },
  { "?a?\xed\xa0\x80", 4, "byte 0xed is no UTF-8 text" },
  { "?a?\xf4\x90\x80\x80", 4, "byte 0xf4 is no UTF-8 text" },
  { long_part + "?b?c", 1, "the sender is longer than 255 bytes" },
  { "?" + long_part + "?c", 2, "the context is longer than 255 bytes" },
  { "?b@" + long_part + "?c", 4, "the decorator is longer than 255 bytes" },
  { "ä?b?" + long_part, 5, "the action is longer than 255 bytes" },
  { std::string (ZM_KEY_MOST + 1, 'x'), 1, "the key is longer than 1024 bytes" },
};

TEST (Key, MalformedOnesAreRefusedWithTheirColumn)
{
  for (const BadText &bad : bad_keys) {
    g_autoptr (GError) error = nullptr;
    guint column = 0;
    ZmKey key;

    ASSERT_FALSE (zm_key_parse (span_of (bad.text), &key, &column, &error)) << bad.text;
    EXPECT_EQ (error->message, "column " + std::to_string (bad.column) + ": " + bad.error) << bad.text;
    EXPECT_EQ (column, bad.column) << bad.text;
    EXPECT_TRUE (g_error_matches (error, ZM_ERROR, ZM_ERROR_INVALID));
    /* Without a place for it the answer is the same. */
    EXPECT_FALSE (zm_key_parse (span_of (bad.text), &key, nullptr, nullptr));
  }
}

/* ---- comparing ---- */

TEST (Key, MatchesWhereThePatternIsEmptyOrEqual)
{
  const struct {
    const char *pattern, *key;
    gboolean expected;
  } cases[] = {
    { "??", "S?C@D?A", TRUE },
    { "?Link?Down", "Netlink?Link?Down", TRUE },
    { "?Link?Down", "?Link?Up", FALSE },
    { "?Link?Down", "?Link@FAST?Down", TRUE },
    { "?Link@FAST?Down", "?Link?Down", FALSE },
    { "S??", "?C?A", FALSE },
    { "?F?", "?F2?", FALSE },
    { "?link?", "?Link?", FALSE },
  };

  for (const auto &it : cases) {
    ZmKey pattern = parse (it.pattern), key = parse (it.key);

    EXPECT_EQ (zm_key_matches (&pattern, &key), it.expected) << it.pattern << " and " << it.key;
  }
}

TEST (Key, EqualNeedsEveryPart)
{
  const char *texts[] = { "S?C@D?A", "s?C@D?A", "S?c@D?A", "S?C@d?A", "S?C@D?a", "?C@D?A", "S?C?A" };

  for (const char *a : texts)
    for (const char *b : texts) {
      ZmKey one = parse (a), other = parse (b);

      EXPECT_EQ (zm_key_equal (&one, &other), a == b) << a << " and " << b;
    }
}

TEST (Key, ReservedAreDoneErrorAndTheRuntimesOwn)
{
  for (const char *text : { "??done", "S?C?done", "??error", "?^C?a", "^S?C?a", "??^batch", "?C@^D?a" }) {
    ZmKey key = parse (text);
    EXPECT_TRUE (zm_key_reserved (&key)) << text;
  }
  for (const char *text : { "??Done", "?done?x", "?C?Push", "??", "?a^?b" }) {
    ZmKey key = parse (text);
    EXPECT_FALSE (zm_key_reserved (&key)) << text;
  }
}

TEST (Key, SlugIsTheMiddleOfTheTopic)
{
  g_autoptr (GString) out = g_string_new (nullptr);
  ZmKey key = parse ("S?C@D?A"), empty = parse ("??");

  zm_key_append_slug (&key, out);
  EXPECT_STREQ (out->str, "D~S~C~A");
  g_string_truncate (out, 0);
  zm_key_append_slug (&empty, out);
  EXPECT_STREQ (out->str, "~~~");
}

/* ---- names ---- */

TEST (Name, GoodAndMalformed)
{
  const BadText bad[] = {
    { "", 1, "the name is empty" },
    { "a b", 2, "white space is not allowed in a name" },
    { "a.b", 2, "'.' is not allowed in a name; use letters, digits, '_', '-' and '^'" },
    { "über~x", 5, "'~' is not allowed in a name; use letters, digits, '_', '-' and '^'" },
    { "a?", 2, "'?' is not allowed in a name; use letters, digits, '_', '-' and '^'" },
    { "\xff", 1, "byte 0xff is no UTF-8 text" },
    { long_part, 1, "the name is longer than 255 bytes" },
  };

  for (const char *good : { "a", "IAMConnection", "link-status", "^hello", "Größe_2" })
    EXPECT_TRUE (zm_name_check (zm_span_text (good), nullptr, nullptr)) << good;
  for (const BadText &it : bad) {
    g_autoptr (GError) error = nullptr;
    guint column = 0;

    ASSERT_FALSE (zm_name_check (span_of (it.text), &column, &error)) << it.text;
    EXPECT_EQ (error->message, "column " + std::to_string (it.column) + ": " + it.error);
    EXPECT_EQ (column, it.column);
  }
}

/* Every byte at every place of a text that is longer than what is looked at in one go. */
TEST (Name, EveryByteAtEveryPlace)
{
  for (int byte = 0; byte < 256; byte++)
    for (size_t place = 0; place < 19; place++) {
      std::string text (19, 'k');
      const bool word = byte < 0x80 && (g_ascii_isalnum (byte) || byte == '_' || byte == '-' || byte == '^');
      const bool id =
          byte < 0x80 && (g_ascii_isalnum (byte) || strchr ("_.:-", byte) != nullptr) && byte != 0;
      guint column = 0;
      ZmTopic topic;

      text[place] = (char) byte;
      ASSERT_EQ (zm_name_check (span_of (text), &column, nullptr), word) << byte << " at " << place;
      ASSERT_EQ (column, word ? 0 : place + 1) << byte;
      text = "~~~c~a~" + text;
      ASSERT_EQ (zm_topic_parse (span_of (text), &topic, nullptr), id) << byte << " at " << place;
    }
}

/* ---- topics ---- */

TEST (Topic, FieldsAndSlug)
{
  const std::string text = "IAM~FAST~Subject~Connection~Push~0192-a:b.c_d";
  g_autoptr (GError) error = nullptr;
  ZmTopic topic;

  ASSERT_TRUE (zm_topic_parse (span_of (text), &topic, &error)) << error->message;
  EXPECT_EQ (text_of (topic.flow), "IAM");
  EXPECT_EQ (key_text (topic.key), "Subject?Connection@FAST?Push");
  EXPECT_EQ (text_of (topic.id), "0192-a:b.c_d");
  EXPECT_EQ (text_of (topic.slug), "FAST~Subject~Connection~Push");
  EXPECT_EQ (topic.slug.data, text.data () + 4); /* borrowed, not copied */
}

TEST (Topic, EveryFieldMayBeEmpty)
{
  ZmTopic topic;

  ASSERT_TRUE (zm_topic_parse (ZM_SPAN_LITERAL ("~~~~~"), &topic, nullptr));
  EXPECT_EQ (text_of (topic.slug), "~~~");
  EXPECT_EQ (topic.id.size, 0u);
  ASSERT_TRUE (zm_topic_parse (ZM_SPAN_LITERAL ("~~~ä~b~"), &topic, nullptr));
  EXPECT_EQ (key_text (topic.key), "?ä?b");
}

const BadText bad_topics[] = {
  { "", 1, "the topic ends after its flow; expected flow~decorator~sender~context~action~id" },
  { "flow", 5, "the topic ends after its flow; expected flow~decorator~sender~context~action~id" },
  { "~", 2, "the topic ends after its decorator; expected flow~decorator~sender~context~action~id" },
  { "~~s", 4, "the topic ends after its sender; expected flow~decorator~sender~context~action~id" },
  { "~~~ü", 5, "the topic ends after its context; expected flow~decorator~sender~context~action~id" },
  { "~~~c~a", 7, "the topic ends after its action; expected flow~decorator~sender~context~action~id" },
  { "~~~c~a~1~", 9, "a sixth '~'; nothing may follow the id of a topic" },
  { "~~~c~a~~", 8, "a sixth '~'; nothing may follow the id of a topic" },
  { "fl ow~~~c~a~", 3, "white space is not allowed in a topic" },
  { "~~~c~a~\n", 8, "white space is not allowed in an id" },
  { "~~~c.d~a~", 5, "'.' is not allowed in a topic; use letters, digits, '_', '-' and '^'" },
  { "~~~c@d~a~", 5, "'@' is not allowed in a topic; use letters, digits, '_', '-' and '^'" },
  { "~~~c~a~é", 8, "'é' is not allowed in an id; use letters, digits, '_', '.', ':' and '-'" },
  { "~~~c~a~1^", 9, "'^' is not allowed in an id; use letters, digits, '_', '.', ':' and '-'" },
  { "~~~c~a~1/2", 9, "'/' is not allowed in an id; use letters, digits, '_', '.', ':' and '-'" },
  { std::string ("~~~c\0~a~", 8), 5, "control character U+0000 is not allowed in a topic" },
  { "~~~\xfe~a~", 4, "byte 0xfe is no UTF-8 text" },
  { "~~~c~a~\xfe", 8, "byte 0xfe is no UTF-8 text" },
  { long_part + "~~~c~a~", 1, "the flow is longer than 255 bytes" },
  { "~" + long_part + "~~c~a~", 2, "the decorator is longer than 255 bytes" },
  { "~~" + long_part + "~c~a~", 3, "the sender is longer than 255 bytes" },
  { "~~~" + long_part + "~a~", 4, "the context is longer than 255 bytes" },
  { "~~~c~" + long_part + "~", 6, "the action is longer than 255 bytes" },
  { "~~~c~a~" + long_id, 8, "the id is longer than 64 bytes" },
  { std::string (ZM_KEY_MOST + 1, '~'), 1, "the topic is longer than 1024 bytes" },
};

TEST (Topic, MalformedOnesAreRefusedWithTheirColumn)
{
  for (const BadText &bad : bad_topics) {
    g_autoptr (GError) error = nullptr;
    ZmTopic topic;

    ASSERT_FALSE (zm_topic_parse (span_of (bad.text), &topic, &error)) << bad.text;
    EXPECT_EQ (error->message, "column " + std::to_string (bad.column) + ": " + bad.error) << bad.text;
  }
}

TEST (Topic, PrefixEndsBehindItsLastField)
{
  const struct {
    const char *flow, *key, *expected;
  } cases[] = {
    { nullptr, "??", "" },
    { "", "??", "" },
    { "F", "??", "F~" },
    { "F", "??done", "F~~~~done~" },
    { nullptr, "?C?", "~~~C~" },
    { nullptr, "S??", "~~S~" },
    { nullptr, "?C@D?A", "~D~~C~A~" },
    { "F", "S?C@D?A", "F~D~S~C~A~" },
  };

  for (const auto &it : cases) {
    ZmKey key = parse (it.key);
    g_autofree char *prefix = zm_topic_prefix (it.flow, &key);

    EXPECT_STREQ (prefix, it.expected);
  }
}

TEST (Topic, PrefixOfOneFlowNeverMatchesAnother)
{
  ZmKey key = parse ("??");
  g_autofree char *prefix = zm_topic_prefix ("F", &key);

  EXPECT_TRUE (g_str_has_prefix ("F~~~c~a~1", prefix));
  EXPECT_FALSE (g_str_has_prefix ("F2~~~c~a~1", prefix));
}

} // namespace
