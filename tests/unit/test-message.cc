/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Messages of the room message: made, shared, read. */
#include "config.h"

#include "message/zm-message.h"

#include <gtest/gtest.h>

#include <pthread.h>
#include <string>

namespace {

zmq_msg_t
frame_of (const std::string &text)
{
  zmq_msg_t frame;

  zmq_msg_init_size (&frame, text.size ());
  if (!text.empty ())
    memcpy (zmq_msg_data (&frame), text.data (), text.size ());
  return frame;
}

std::string
text_of (ZmSpan span)
{
  return std::string (span.data != nullptr ? span.data : "", span.size);
}

ZmMessage *
take (const std::string &first, const std::string &body, ZmUuidMaker *ids = nullptr, GError **error = nullptr)
{
  zmq_msg_t a = frame_of (first), b = frame_of (body);

  return zm_message_take_frames (&a, nullptr, &b, ids, 1700000000000000, error);
}

ZmKey
key_of (const char *text)
{
  ZmKey key;

  EXPECT_TRUE (zm_key_parse (zm_span_text (text), &key, nullptr, nullptr)) << text;
  return key;
}

const std::string small = "tiny";
const std::string large (100000, 'L');
const std::string long_topic = "a-flow-with-a-long-name~~Sender~Context~Action~0123456789-0123456789";

/* ---- taking frames ---- */

TEST (Message, TopicWithItsIdIsMovedNotCopied)
{
  zmq_msg_t first = frame_of (long_topic), body = frame_of (large);
  const void *topic_bytes = zmq_msg_data (&first), *body_bytes = zmq_msg_data (&body);
  g_autoptr (ZmMessage) message = zm_message_take_frames (&first, nullptr, &body, nullptr, 0, nullptr);

  ASSERT_NE (message, nullptr);
  EXPECT_EQ (zm_message_topic (message).data, topic_bytes);
  EXPECT_EQ (zm_message_body (message).data, body_bytes);
  EXPECT_EQ (text_of (message->topic.flow), "a-flow-with-a-long-name");
  EXPECT_EQ (zmq_msg_size (&first), 0u);
  EXPECT_EQ (zmq_msg_size (&body), 0u);
  EXPECT_EQ (message->attempt, 1);
  EXPECT_EQ (message->origin, ZM_ORIGIN_PULL);
  EXPECT_FALSE (message->has_headers);
}

TEST (Message, TopicInsideASmallFrameStaysRight)
{
  zmq_msg_t first = frame_of ("F~D~S~C~A~7");
  g_autoptr (ZmMessage) message = zm_message_take_frames (&first, nullptr, nullptr, nullptr, 0, nullptr);

  ASSERT_NE (message, nullptr);
  memset (&first, 0x55, sizeof first); /* nothing may point into it any more */
  EXPECT_EQ (text_of (message->topic.flow), "F");
  EXPECT_EQ (text_of (message->topic.key.decorator), "D");
  EXPECT_EQ (text_of (message->topic.key.sender), "S");
  EXPECT_EQ (text_of (message->topic.key.context), "C");
  EXPECT_EQ (text_of (message->topic.key.action), "A");
  EXPECT_EQ (text_of (message->topic.id), "7");
  EXPECT_EQ (text_of (message->topic.slug), "D~S~C~A");
  EXPECT_EQ (text_of (zm_message_body (message)), "");
}

TEST (Message, MissingIdIsMade)
{
  ZmUuidMaker ids;
  zm_uuid_maker_init (&ids);

  for (const char *first : { "F~D~S~C~A~", "S?C@D?A" }) {
    g_autoptr (ZmMessage) message = take (first, small, &ids);
    ZmTopic again;

    ASSERT_NE (message, nullptr);
    EXPECT_EQ (message->topic.id.size, (gsize) ZM_UUID_SIZE);
    EXPECT_EQ (text_of (message->topic.slug), "D~S~C~A");
    ASSERT_TRUE (zm_topic_parse (zm_message_topic (message), &again, nullptr));
    EXPECT_TRUE (zm_span_equal (again.id, message->topic.id));
    EXPECT_TRUE (zm_key_equal (&again.key, &message->topic.key));
  }
}

TEST (Message, ActionKeyBecomesATopic)
{
  g_autoptr (ZmMessage) message = take ("?Hello?Greet", "world");

  ASSERT_NE (message, nullptr);
  EXPECT_EQ (text_of (zm_message_topic (message)), "~~~Hello~Greet~");
  EXPECT_EQ (text_of (zm_message_body (message)), "world");
}

TEST (Message, MalformedFirstFrames)
{
  const struct {
    std::string first, error;
  } cases[] = {
    { "", "column 1: the first frame is empty; expected a topic or an action key" },
    { "hello", "column 6: the topic ends after its flow; expected flow~decorator~sender~context~action~id" },
    { "Hello?Greet",
      "column 12: the key ends before its second '?'; expected Sender?Context@Decorator?Action" },
    { "?a?b?c", "column 5: a third '?'; nothing may follow the action: Sender?Context@Decorator?Action" },
    { "~~~a?b~c~", "column 1: '~' is not allowed in an action key; use letters, digits, '_', '-' and '^'" },
    { "{\"key\":1}", "column 1: '{' is not allowed in a topic; use letters, digits, '_', '-' and '^'" },
    { "~~~a~b~c~body", "column 9: a sixth '~'; nothing may follow the id of a topic" },
    { std::string ("\0\0\0\1", 4), "column 1: control character U+0000 is not allowed in a topic" },
  };

  for (const auto &it : cases) {
    g_autoptr (GError) error = nullptr;

    EXPECT_EQ (take (it.first, large, nullptr, &error), nullptr) << it.first;
    EXPECT_EQ (error->message, it.error);
  }
}

TEST (Message, FramesAreEmptyAfterARefusal)
{
  zmq_msg_t first = frame_of ("nonsense"), headers = frame_of ("{}"), body = frame_of (large);

  EXPECT_EQ (zm_message_take_frames (&first, &headers, &body, nullptr, 0, nullptr), nullptr);
  EXPECT_EQ (zmq_msg_size (&first) + zmq_msg_size (&headers) + zmq_msg_size (&body), 0u);
}

TEST (Message, HeadersOverTheBoundAreRefused)
{
  zmq_msg_t first = frame_of ("~~~a~b~"), headers = frame_of (std::string (ZM_HEADERS_MOST + 1, ' '));
  g_autoptr (GError) error = nullptr;

  EXPECT_EQ (zm_message_take_frames (&first, &headers, nullptr, nullptr, 0, &error), nullptr);
  EXPECT_STREQ (error->message, "the headers have 65537 bytes; at most 65536 are allowed");
}

/* ---- making ---- */

TEST (Message, NewWritesItsTopic)
{
  ZmKey key = key_of ("S?C@D?A");
  g_autoptr (ZmMessage) message = zm_message_new (ZM_SPAN_LITERAL ("F"), &key, ZM_SPAN_LITERAL ("9"),
                                                  ZM_SPAN_LITERAL ("{\"a\":1}"), ZM_SPAN_LITERAL ("body"));

  EXPECT_EQ (text_of (zm_message_topic (message)), "F~D~S~C~A~9");
  EXPECT_EQ (text_of (message->topic.slug), "D~S~C~A");
  EXPECT_EQ (text_of (zm_message_headers (message)), "{\"a\":1}");
  EXPECT_EQ (text_of (zm_message_body (message)), "body");
  EXPECT_EQ (message->origin, ZM_ORIGIN_INTERNAL);
}

TEST (Message, NewTakeMovesTheBody)
{
  zmq_msg_t body = frame_of (large);
  const void *bytes = zmq_msg_data (&body);
  ZmKey key = key_of ("??done");
  g_autoptr (ZmMessage) message =
      zm_message_new_take (ZM_SPAN_LITERAL ("F"), &key, ZM_SPAN_LITERAL ("9"), zm_span (nullptr, 0), &body);

  EXPECT_EQ (zm_message_body (message).data, bytes);
  EXPECT_EQ (text_of (zm_message_topic (message)), "F~~~~done~9");
  EXPECT_FALSE (message->has_headers);
}

TEST (Message, DeriveSharesBytes)
{
  ZmKey key = key_of ("S?C@D?A"), next = key_of ("?N?x");
  ZmMessage *message = zm_message_new (ZM_SPAN_LITERAL ("F"), &key, ZM_SPAN_LITERAL ("9"),
                                       ZM_SPAN_LITERAL ("{\"a\":1}"), zm_span (large.data (), large.size ()));
  message->hops = 7;
  message->deadline_us = 99;
  message->reply = 5;
  const char *bytes = zm_message_body (message).data;
  g_autoptr (ZmMessage) with =
      zm_message_derive (message, message->topic.flow, &next, message->topic.id, TRUE);
  g_autoptr (ZmMessage) without =
      zm_message_derive (message, message->topic.flow, &next, message->topic.id, FALSE);

  zm_message_unref (message); /* the derived ones keep the bytes */
  EXPECT_EQ (zm_message_body (with).data, bytes);
  EXPECT_EQ (zm_message_body (without).data, bytes);
  EXPECT_EQ (text_of (zm_message_body (with)), large);
  EXPECT_EQ (text_of (zm_message_topic (with)), "F~~~N~x~9");
  EXPECT_EQ (text_of (zm_message_headers (with)), "{\"a\":1}");
  EXPECT_EQ (zm_message_headers (without).size, 0u);
  EXPECT_EQ (with->hops, 7);
  EXPECT_EQ (with->deadline_us, 99);
  EXPECT_EQ (with->reply, 0u);
}

/* ---- sharing between threads ---- */

void *
derive_often (void *data)
{
  ZmMessage *message = static_cast<ZmMessage *> (data);
  ZmKey key = message->topic.key;

  for (int i = 0; i < 20000; i++) {
    ZmMessage *held = zm_message_ref (message);
    ZmMessage *derived = zm_message_derive (held, held->topic.flow, &key, held->topic.id, TRUE);

    zm_message_unref (held);
    if (zm_message_body (derived).size != large.size ())
      return data;
    zm_message_unref (derived);
  }
  zm_message_unref (message);
  return nullptr;
}

TEST (Message, ThreadsWithAReferenceEachMayDeriveAtOnce)
{
  ZmMessage *message = take (long_topic, large);
  pthread_t threads[4];

  for (pthread_t &thread : threads) {
    zm_message_ref (message);
    ASSERT_EQ (pthread_create (&thread, nullptr, derive_often, message), 0);
  }
  for (pthread_t &thread : threads) {
    void *result;

    pthread_join (thread, &result);
    EXPECT_EQ (result, nullptr);
  }
  EXPECT_EQ (__atomic_load_n (&message->refs, __ATOMIC_ACQUIRE), 1);
  EXPECT_EQ (text_of (zm_message_body (message)), large);
  zm_message_unref (message);
}

/* ---- headers ---- */

TEST (Message, HeadersAreReadWhenAsked)
{
  const struct {
    const char *headers, *name, *expected;
  } cases[] = {
    { "{\"timeout\":250,\"a\":\"b\"}", "timeout", "250" },
    { "{\"timeout\":250,\"a\":\"b\"}", "a", "b" },
    { "{\"timeout\":250,\"a\":\"b\"}", "c", nullptr },
    { "{\"a\":\"\\u00e4\\n\"}", "a", "ä\n" },
    { "{\"a\":{\"b\":\"inner\"},\"b\":\"outer\"}", "b", "outer" },
    { "{\"a\":[1]}", "a", nullptr },
    { "{\"a\":null}", "a", nullptr },
    { "not json", "a", nullptr },
    { "", "a", nullptr },
  };

  for (const auto &it : cases) {
    ZmKey key = key_of ("?a?b");
    g_autoptr (ZmMessage) message = zm_message_new (zm_span (nullptr, 0), &key, zm_span (nullptr, 0),
                                                    zm_span_text (it.headers), zm_span (nullptr, 0));
    g_autofree char *value = zm_message_header (message, it.name);

    EXPECT_STREQ (value, it.expected) << it.headers;
  }
}

} // namespace
