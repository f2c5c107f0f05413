/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The wire of the room message: frames in and out, single frames, batch envelopes. */
#include "config.h"

#include "message/zm-message.h"

#include <gtest/gtest.h>

#include <errno.h>
#include <string>
#include <vector>

namespace {

std::string
text_of (ZmSpan span)
{
  return std::string (span.data != nullptr ? span.data : "", span.size);
}

struct Result {
  std::vector<std::string> messages; /* "topic|headers|body" */
  std::vector<std::string> errors;
};

void
note_error (const GError *error, gpointer user)
{
  static_cast<Result *> (user)->errors.push_back (error->message);
}

void
unref_message (gpointer data)
{
  zm_message_unref (static_cast<ZmMessage *> (data));
}

Result
take (const std::vector<std::string> &frames, ZmFramesForm form = ZM_FRAMES_AUTO)
{
  g_autoptr (GPtrArray) out = g_ptr_array_new_with_free_func (unref_message);
  std::vector<zmq_msg_t> raw (frames.size ());
  Result result;
  guint count;

  for (size_t i = 0; i < frames.size (); i++) {
    zmq_msg_init_size (&raw[i], frames[i].size ());
    memcpy (zmq_msg_data (&raw[i]), frames[i].data (), frames[i].size ());
  }
  count = zm_wire_take (raw.data (), (guint) raw.size (), form, nullptr, 0, out, note_error, &result);
  EXPECT_EQ (count, out->len);
  for (zmq_msg_t &frame : raw)
    EXPECT_EQ (zmq_msg_size (&frame), 0u);
  for (guint i = 0; i < out->len; i++) {
    auto message = static_cast<ZmMessage *> (g_ptr_array_index (out, i));

    result.messages.push_back (text_of (zm_message_topic (message)) + "|" +
                               text_of (zm_message_headers (message)) + "|" +
                               text_of (zm_message_body (message)));
  }
  return result;
}

using Texts = std::vector<std::string>;

/* ---- frames ---- */

TEST (Wire, TwoAndThreeFrames)
{
  EXPECT_EQ (take ({ "F~~~C~A~1", "body" }).messages, Texts{ "F~~~C~A~1||body" });
  EXPECT_EQ (take ({ "F~~~C~A~1", "{\"a\":1}", "body" }).messages, Texts{ "F~~~C~A~1|{\"a\":1}|body" });
  EXPECT_EQ (take ({ "F~~~C~A~1", "", "" }).messages, Texts{ "F~~~C~A~1||" });
  EXPECT_EQ (take ({ "?Hello?Greet", "world" }).messages, Texts{ "~~~Hello~Greet~||world" });
}

TEST (Wire, SingleFrame)
{
  EXPECT_EQ (take ({ "F~~~C~A~1~body" }).messages, Texts{ "F~~~C~A~1||body" });
  EXPECT_EQ (take ({ "F~~~C~A~1~a~b~c" }).messages, Texts{ "F~~~C~A~1||a~b~c" });
  EXPECT_EQ (take ({ "~~~C~A~1~" }).messages, Texts{ "~~~C~A~1||" });
  EXPECT_EQ (take ({ "F~~~C~A~1~" + std::string (50000, 'x') }).messages,
             Texts{ "F~~~C~A~1||" + std::string (50000, 'x') });
}

std::string
sized (const std::string &text)
{
  std::string out;

  for (int shift = 24; shift >= 0; shift -= 8)
    out += (char) (text.size () >> shift & 0xff);
  return out + text;
}

std::string
part (const std::string &topic, const std::string &headers, const std::string &body)
{
  return sized (topic) + sized (headers) + sized (body);
}

const std::string batch_topic = ZM_BATCH_TOPIC;
const std::string good = part ("~~~C~A~1", "", "one");
const std::string cut = " of a batch ends before the size that it gives; it and the rest are refused";

struct BadFrames {
  Texts frames;
  ZmFramesForm form;
  Texts messages; /* that come all the same */
  Texts errors;
};

const BadFrames bad_frames[] = {
  { {},
    ZM_FRAMES_AUTO,
    {},
    { "a message of 0 frames; expected topic and body, with headers between them or not" } },
  { { "a", "b", "c", "d" },
    ZM_FRAMES_AUTO,
    {},
    { "a message of 4 frames; expected topic and body, with headers between them or not" } },
  { { "?a?b", "b" }, ZM_FRAMES_SINGLE, {}, { "2 frames where this endpoint takes one (frames = single)" } },
  { { "~~~C~A~1~body" },
    ZM_FRAMES_MULTI,
    {},
    { "one frame where this endpoint takes two or three; expected topic and body" } },
  { { "" },
    ZM_FRAMES_AUTO,
    {},
    { "one frame without its six '~'; expected flow~decorator~sender~context~action~id~body" } },
  { { "~~~C~A~1" },
    ZM_FRAMES_AUTO,
    {},
    { "one frame without its six '~'; expected flow~decorator~sender~context~action~id~body" } },
  { { "?a?b" },
    ZM_FRAMES_AUTO,
    {},
    { "one frame without its six '~'; expected flow~decorator~sender~context~action~id~body" } },
  { { "~~~C d~A~1~x" }, ZM_FRAMES_AUTO, {}, { "column 5: white space is not allowed in a topic" } },
  { { "~~~C~A~1 ~x" }, ZM_FRAMES_AUTO, {}, { "column 9: white space is not allowed in an id" } },
  { { "^batch~~~~~~x" },
    ZM_FRAMES_AUTO,
    {},
    { "a batch in one frame; expected the topic ^batch~~~~~ and the body in two" } },
  { { "", "b" },
    ZM_FRAMES_AUTO,
    {},
    { "column 1: the first frame is empty; expected a topic or an action key" } },
  { { "topic", "b" },
    ZM_FRAMES_AUTO,
    {},
    { "column 6: the topic ends after its flow; expected flow~decorator~sender~context~action~id" } },
  { { "?a b?c", "b" }, ZM_FRAMES_AUTO, {}, { "column 3: white space is not allowed in an action key" } },
  { { "?a?c", std::string (65537, ' '), "b" },
    ZM_FRAMES_AUTO,
    {},
    { "the headers have 65537 bytes; at most 65536 are allowed" } },
  /* batches */
  { { batch_topic, "" }, ZM_FRAMES_AUTO, {}, { "a batch without parts" } },
  { { batch_topic, "{}", good },
    ZM_FRAMES_AUTO,
    {},
    { "a batch that is not two frames with the topic ^batch~~~~~" } },
  { { "^batch~~~~~1", good },
    ZM_FRAMES_AUTO,
    {},
    { "a batch that is not two frames with the topic ^batch~~~~~" } },
  { { "^batch~~~x~~", good },
    ZM_FRAMES_AUTO,
    {},
    { "a batch that is not two frames with the topic ^batch~~~~~" } },
  { { batch_topic, std::string ("\0\0\0", 3) }, ZM_FRAMES_AUTO, {}, { "part 1" + cut } },
  { { batch_topic, "\xff\xff\xff\xff" }, ZM_FRAMES_AUTO, {}, { "part 1" + cut } },
  { { batch_topic, sized ("~~~C~A~1") }, ZM_FRAMES_AUTO, {}, { "part 1" + cut } },
  { { batch_topic, sized ("~~~C~A~1") + sized ("") }, ZM_FRAMES_AUTO, {}, { "part 1" + cut } },
  { { batch_topic, good.substr (0, good.size () - 1) }, ZM_FRAMES_AUTO, {}, { "part 1" + cut } },
  { { batch_topic, good + "x" }, ZM_FRAMES_AUTO, { "~~~C~A~1||one" }, { "part 2" + cut } },
  { { batch_topic, good + sized (batch_topic) + sized ("") + sized (good) + good },
    ZM_FRAMES_AUTO,
    { "~~~C~A~1||one", "~~~C~A~1||one" },
    { "part 2 of a batch: batches do not nest" } },
  { { batch_topic, good + part ("bad", "", "x") + good },
    ZM_FRAMES_AUTO,
    { "~~~C~A~1||one", "~~~C~A~1||one" },
    { "part 2 of a batch: column 4: the topic ends after its flow; expected "
      "flow~decorator~sender~context~action~id" } },
  { { batch_topic, part ("", "", "x") + good },
    ZM_FRAMES_AUTO,
    { "~~~C~A~1||one" },
    { "part 1 of a batch: column 1: the first frame is empty; expected a topic or an action key" } },
  { { batch_topic, part ("?a?b?", "", "x") + good },
    ZM_FRAMES_AUTO,
    { "~~~C~A~1||one" },
    { "part 1 of a batch: column 5: a third '?'; nothing may follow the action: "
      "Sender?Context@Decorator?Action" } },
  { { batch_topic, part ("?a?b", std::string (65537, ' '), "x") + good },
    ZM_FRAMES_AUTO,
    { "~~~C~A~1||one" },
    { "part 1 of a batch: the headers have 65537 bytes; at most 65536 are allowed" } },
};

TEST (Wire, MalformedFramesAreRefusedWithTheirReason)
{
  for (const BadFrames &bad : bad_frames) {
    Result result = take (bad.frames, bad.form);

    EXPECT_EQ (result.messages, bad.messages);
    EXPECT_EQ (result.errors, bad.errors);
  }
}

/* ---- batches ---- */

TEST (Wire, BatchYieldsItsPartsInOrder)
{
  g_autoptr (ZmBatch) batch = zm_batch_new ();
  const std::string large (70000, 'L');

  EXPECT_TRUE (zm_batch_add (batch, ZM_SPAN_LITERAL ("F~~~C~A~1"), ZM_SPAN_LITERAL ("{\"a\":1}"),
                             ZM_SPAN_LITERAL ("x")));
  EXPECT_TRUE (zm_batch_add (batch, ZM_SPAN_LITERAL ("?Hello?Greet"), zm_span (nullptr, 0),
                             zm_span (large.data (), large.size ())));
  EXPECT_TRUE (
      zm_batch_add (batch, ZM_SPAN_LITERAL ("~~~C~A~3"), zm_span (nullptr, 0), zm_span (nullptr, 0)));
  EXPECT_EQ (zm_batch_count (batch), 3u);

  g_autoptr (GBytes) bytes = zm_batch_steal (batch);
  gsize size;
  auto data = static_cast<const char *> (g_bytes_get_data (bytes, &size));
  Result result = take ({ batch_topic, std::string (data, size) });

  EXPECT_EQ (result.messages, (Texts{ "F~~~C~A~1|{\"a\":1}|x", "~~~Hello~Greet~||" + large, "~~~C~A~3||" }));
  EXPECT_TRUE (result.errors.empty ());
  EXPECT_EQ (zm_batch_count (batch), 0u);
}

TEST (Wire, BatchIsBounded)
{
  g_autoptr (ZmBatch) batch = zm_batch_new ();
  std::string body;

  for (int i = 0; i < ZM_BATCH_PARTS_MOST; i++) {
    EXPECT_TRUE (
        zm_batch_add (batch, ZM_SPAN_LITERAL ("~~~C~A~1"), zm_span (nullptr, 0), zm_span (nullptr, 0)));
    body += good;
  }
  EXPECT_FALSE (
      zm_batch_add (batch, ZM_SPAN_LITERAL ("~~~C~A~1"), zm_span (nullptr, 0), zm_span (nullptr, 0)));

  Result full = take ({ batch_topic, body }), over = take ({ batch_topic, body + good + good });
  EXPECT_EQ (full.messages.size (), (size_t) ZM_BATCH_PARTS_MOST);
  EXPECT_TRUE (full.errors.empty ());
  EXPECT_EQ (over.messages.size (), (size_t) ZM_BATCH_PARTS_MOST);
  EXPECT_EQ (over.errors, Texts{ "a batch of more than 1024 parts; the rest is refused" });
}

/* ---- sending ---- */

class Sending : public ::testing::Test {
protected:
  void *context = zmq_ctx_new ();
  void *push = zmq_socket (context, ZMQ_PUSH), *pull = zmq_socket (context, ZMQ_PULL);

  void
  SetUp () override
  {
    int deadline_ms = 10000;

    zmq_setsockopt (pull, ZMQ_RCVTIMEO, &deadline_ms, sizeof deadline_ms);
    ASSERT_EQ (zmq_bind (pull, "inproc://wire"), 0);
    ASSERT_EQ (zmq_connect (push, "inproc://wire"), 0);
  }

  void
  TearDown () override
  {
    zmq_close (push);
    zmq_close (pull);
    zmq_ctx_term (context);
  }

  Texts
  receive ()
  {
    Texts frames;
    int more = 1;

    while (more) {
      zmq_msg_t frame;

      zmq_msg_init (&frame);
      if (zmq_msg_recv (&frame, pull, 0) < 0)
        return frames;
      frames.push_back (std::string (static_cast<char *> (zmq_msg_data (&frame)), zmq_msg_size (&frame)));
      more = zmq_msg_more (&frame);
      zmq_msg_close (&frame);
    }
    return frames;
  }
};

ZmMessage *
make (const char *headers, const std::string &body)
{
  ZmKey key;

  zm_key_parse (ZM_SPAN_LITERAL ("S?C?A"), &key, nullptr, nullptr);
  return zm_message_new (ZM_SPAN_LITERAL ("F"), &key, ZM_SPAN_LITERAL ("1"), zm_span_text (headers),
                         zm_span (body.data (), body.size ()));
}

TEST_F (Sending, EachForm)
{
  const std::string large (100000, 'x');
  g_autoptr (ZmMessage) plain = make ("", large), with = make ("{\"a\":1}", "body");

  ASSERT_EQ (zm_wire_send (push, plain, ZM_FRAMES_MULTI, 0), 0);
  EXPECT_EQ (receive (), (Texts{ "F~~S~C~A~1", large }));
  ASSERT_EQ (zm_wire_send (push, with, ZM_FRAMES_AUTO, 0), 0);
  EXPECT_EQ (receive (), (Texts{ "F~~S~C~A~1", "{\"a\":1}", "body" }));
  ASSERT_EQ (zm_wire_send (push, with, ZM_FRAMES_SINGLE, 0), 0);
  EXPECT_EQ (receive (), (Texts{ "F~~S~C~A~1~body" }));
  /* The message stays whole. */
  EXPECT_EQ (text_of (zm_message_body (plain)), large);
  ASSERT_EQ (zm_wire_send (push, plain, ZM_FRAMES_MULTI, 0), 0);
  EXPECT_EQ (receive (), (Texts{ "F~~S~C~A~1", large }));
}

TEST_F (Sending, NothingIsSentWhereThereIsNoRoom)
{
  g_autoptr (ZmMessage) message = make ("{\"a\":1}", "body");
  void *alone = zmq_socket (context, ZMQ_PUSH);

  EXPECT_EQ (zm_wire_send (alone, message, ZM_FRAMES_MULTI, ZMQ_DONTWAIT), -1);
  EXPECT_EQ (errno, EAGAIN);
  EXPECT_EQ (zm_wire_send (alone, message, ZM_FRAMES_SINGLE, ZMQ_DONTWAIT), -1);
  EXPECT_EQ (errno, EAGAIN);
  zmq_close (alone);
  ASSERT_EQ (zm_wire_send (push, message, ZM_FRAMES_MULTI, 0), 0);
  EXPECT_EQ (receive (), (Texts{ "F~~S~C~A~1", "{\"a\":1}", "body" }));
}

} // namespace
