/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The Subject: what is pushed. Calls, services and the end have files of their own. */
#include "subject-fixture.h"

extern "C" guint
zm_pool_try_push (ZmPool *, ZmMessage **messages, guint n)
{
  std::lock_guard<std::mutex> lock (fake->mutex);
  guint taken = 0;
  while (taken < n && fake->messages.size () < fake->room)
    fake->messages.push_back (messages[taken++]);
  fake->refused += taken < n;
  fake->changed.notify_all ();
  return taken;
}

extern "C" gboolean
zm_pool_awaits (ZmPool *, const ZmMessage *message)
{
  std::lock_guard<std::mutex> lock (fake->mutex);
  return fake->awaited == std::string (message->topic.id.data, message->topic.id.size);
}

extern "C" void
zm_pool_refuse (ZmPool *, ZmMessage *message, const char *code, const char *)
{
  std::lock_guard<std::mutex> lock (fake->mutex);
  ZmSpan text = zm_message_topic (message);
  fake->ended.push_back (std::string (text.data, text.size) + " " + code);
  fake->changed.notify_all ();
  zm_message_unref (message);
}

namespace {

/* ---- PULL ---- */

TEST_F (Subject, TakesEveryFormInOrderAndGivesIds)
{
  start ();
  void *push = connect (ZMQ_PUSH, "subject");
  send (push, { "?Hello?Greet", "world" });
  send (push, { "F~~s~c~a~my-id", "{\"h\":1}", "body" });
  send (push, { "F~~s~c~a~id2~bo~dy" });
  send (push, { "Flow~~~Flow~Push~", "" });
  ASSERT_TRUE (pool.wait (4));
  EXPECT_EQ (topic (pool.at (0)).substr (0, 15), "~~~Hello~Greet~");
  EXPECT_EQ (topic (pool.at (0)).size (), 15u + ZM_UUID_SIZE) << "an id was made";
  EXPECT_EQ (body (pool.at (0)), "world");
  EXPECT_EQ (topic (pool.at (1)), "F~~s~c~a~my-id");
  EXPECT_TRUE (zm_span_is (zm_message_headers (pool.at (1)), "{\"h\":1}"));
  EXPECT_EQ (body (pool.at (2)), "bo~dy");
  EXPECT_TRUE (zm_span_is (pool.at (3)->topic.key.action, "Push")) << "the customary trigger is no forgery";
  EXPECT_EQ (pool.at (0)->origin, ZM_ORIGIN_PULL);
  EXPECT_GT (pool.at (0)->received_us, 0);
  EXPECT_EQ (pool.at (0)->reply, 0u);
}

TEST_F (Subject, TakesManyInOrderExactlyOnce)
{
  start ();
  void *push = connect (ZMQ_PUSH, "subject");
  constexpr int kCount = 20000;
  for (int i = 0; i < kCount; i++)
    send (push, { "~~s~c~a~" + std::to_string (i), "body" });
  ASSERT_TRUE (pool.wait (kCount));
  for (int i = 0; i < kCount; i++)
    ASSERT_EQ (topic (pool.at (i)), "~~s~c~a~" + std::to_string (i));
  EXPECT_EQ (pool.size (), size_t (kCount));
}

TEST_F (Subject, SplitsBatchesAndEachPartStandsAlone)
{
  start ();
  void *push = connect (ZMQ_PUSH, "subject");
  ZmBatch *batch = zm_batch_new ();
  zm_batch_add (batch, span ("?a?b"), span (""), span ("1"));
  zm_batch_add (batch, span ("~~~a~done~1"), span (""), span ("forged"));
  zm_batch_add (batch, span ("not a key?"), span (""), span (""));
  zm_batch_add (batch, span ("F~~~a~b~x"), span ("{\"h\":1}"), span ("2"));
  GBytes *bytes = zm_batch_steal (batch);
  gsize size;
  auto *data = static_cast<const char *> (g_bytes_get_data (bytes, &size));
  send (push, { ZM_BATCH_TOPIC, std::string (data, size) });
  send (push, { "?the?end", "" });
  ASSERT_TRUE (pool.wait (3));
  EXPECT_EQ (body (pool.at (0)), "1");
  EXPECT_EQ (topic (pool.at (1)), "F~~~a~b~x");
  EXPECT_EQ (pool.size (), 3u);
  EXPECT_EQ (counter ("zmanager_subject_refused_total"), 1);
  EXPECT_EQ (counter ("zmanager_subject_malformed_total"), 1);
  g_bytes_unref (bytes);
  zm_batch_free (batch);
}

TEST_F (Subject, ForgedResultsOnEverySocketReachNobody)
{
  const char *forged[] = { "F~~~~done~1", "~~~~done~1", "F~~~~error~1",    "??done",
                           "??error",     "S?C?done",   "?C@D?error",      "F~~s~^x~a~1",
                           "^x~~s~c~a~1", "?^b?atch",   "^hello~~s~c~a~1", "F~~^s~c~a~1" };
  start ();
  void *push = connect (ZMQ_PUSH, "subject"), *dealer = connect (ZMQ_DEALER, "call"),
       *sub = connect (ZMQ_SUB, "topics");
  zmq_setsockopt (sub, ZMQ_SUBSCRIBE, "", 0);
  for (auto *text : forged) {
    send (push, { text, "forged" });
    for (const char *verb : { "CALL", "SEND" }) {
      send (dealer, { "7", verb, text, "forged" });
      Frames frames = receive (dealer);
      ASSERT_EQ (frames.size (), 4u) << text;
      EXPECT_EQ (frames[1], "ERROR") << text;
      EXPECT_NE (frames[3].find ("\"reserved\""), std::string::npos) << frames[3];
    }
  }
  send (push, { "F~~~~done~1~forged" });
  send (push, { "?the?end", "" });
  ASSERT_TRUE (pool.wait (1));
  EXPECT_EQ (topic (pool.at (0)).substr (0, 11), "~~~the~end~") << "the first that came through";
  EXPECT_EQ (pool.size (), 1u);
  EXPECT_EQ (counter ("zmanager_subject_refused_total"), 3 * gint64 (G_N_ELEMENTS (forged)) + 1);
  EXPECT_FALSE (readable (sub, 50));
  EXPECT_EQ (counter ("zmanager_integration_published_total"), 0);
}

TEST_F (Subject, MalformedPushesAreCountedAndHarmNothing)
{
  Frames cases[] = {
    { "" },
    { "", "" },
    { "no tildes and no question mark" },
    { "a~b", "x" },
    { "?a", "x" },
    { "?a?b?c", "x" },
    { "?a b?c", "x" },
    { std::string ("?a\0?c", 5), "x" },
    { "?\xff\xfe?c", "x" },
    { "F~~s~c~a~id~more", "x" },
    { "F~~s~c~a~i/d", "x" },
    { "F~~s~c~a~" + std::string (65, 'i'), "x" },
    { "?" + std::string (256, 'x') + "?c", "x" },
    { std::string (2000, '~'), "x" },
    { "?a?b", "{}", "body", "too many" },
    Frames (200, "frame"),
    { ZM_BATCH_TOPIC, "" },
    { ZM_BATCH_TOPIC, "short" },
    { ZM_BATCH_TOPIC, "{}", "three frames" },
    { std::string (ZM_BATCH_TOPIC) + "~body" },
    { "?a?b", "{\"timeout\":\"soon\"}", "x" },
    { "?a?b", "{\"timeout\":0}", "x" },
  };
  start ();
  void *push = connect (ZMQ_PUSH, "subject");
  for (auto &frames : cases)
    send (push, frames);
  send (push, { "?the?end", "" });
  ASSERT_TRUE (pool.wait (1));
  EXPECT_EQ (topic (pool.at (0)).substr (0, 11), "~~~the~end~");
  EXPECT_EQ (counter ("zmanager_subject_malformed_total"), gint64 (G_N_ELEMENTS (cases)));
}

/* What was pushed has a deadline as well as what was called: milliseconds from receipt. */
TEST_F (Subject, TheHeaderTimeoutIsADeadlineOfPushesToo)
{
  start ();
  void *push = connect (ZMQ_PUSH, "subject");
  gint64 before = zm_now_us ();
  send (push, { "?a?b", "{\"timeout\":5000}", "x" });
  send (push, { "?a?b", "{\"timeout\":\"700\"}", "x" });
  send (push, { "?a?b", "{\"mine\":1}", "x" });
  send (push, { "?a?b", "x" });
  ASSERT_TRUE (pool.wait (4));
  gint64 now = zm_now_us ();
  EXPECT_GE (pool.at (0)->deadline_us, before + 5000000);
  EXPECT_LE (pool.at (0)->deadline_us, now + 5000000);
  EXPECT_LE (pool.at (1)->deadline_us, now + 700000);
  EXPECT_EQ (pool.at (2)->deadline_us, 0);
  EXPECT_EQ (pool.at (3)->deadline_us, 0);
}

TEST_F (Subject, HoldsWhatTheFullRingDoesNotTakeAndServesCalls)
{
  start ();
  pool.set_room (5);
  void *push = connect (ZMQ_PUSH, "subject"), *dealer = connect (ZMQ_DEALER, "call");
  for (int i = 0; i < 500; i++)
    send (push, { "~~s~c~a~" + std::to_string (i), "" });
  ASSERT_TRUE (pool.wait_refused (1));
  send (dealer, { "1", "CALL", "?a?b", "" });
  Frames frames = receive (dealer);
  ASSERT_EQ (frames.size (), 4u);
  EXPECT_EQ (frames[1], "BUSY");
  EXPECT_NE (frames[3].find ("ring is full"), std::string::npos) << frames[3];
  EXPECT_EQ (counter ("zmanager_subject_busy_total"), 1);
  EXPECT_EQ (pool.size (), 5u);
  pool.set_room (G_MAXSIZE);
  ASSERT_TRUE (pool.wait (500)) << "nothing held is lost";
  for (int i = 0; i < 500; i++)
    ASSERT_EQ (topic (pool.at (i)), "~~s~c~a~" + std::to_string (i));
}

TEST_F (Subject, HeldMessagesAreCountedWhenItEnds)
{
  start ();
  pool.set_room (0);
  void *push = connect (ZMQ_PUSH, "subject");
  send (push, { "?a?b", "" });
  ASSERT_TRUE (pool.wait_refused (1));
  stop ();
  EXPECT_EQ (counter ("zmanager_subject_dropped_total"), 1);
}

TEST_F (Subject, SeveralSendersAndEndpoints)
{
  start ();
  stop ();
  GError *error = nullptr;
  std::string one = endpoint ("subject"), two = endpoint ("second");
  const char *bind[] = { one.c_str (), two.c_str (), "tcp://localhost:*", nullptr };
  config.bind = bind;
  config.call_bind = nullptr;
  subject = zm_subject_new (&config, &error);
  ASSERT_NE (subject, nullptr) << error->message;
  ASSERT_TRUE (zm_subject_start (subject, nullptr_pool (), &error));
  const char *const *bound = zm_subject_endpoints (subject);
  ASSERT_STREQ (bound[0], one.c_str ());
  ASSERT_TRUE (g_str_has_prefix (bound[2], "tcp://127.0.0.1:")) << bound[2];
  EXPECT_EQ (zm_subject_call_endpoints (subject)[0], nullptr);
  void *push[] = { connect (ZMQ_PUSH, "subject"), connect (ZMQ_PUSH, "second"), zmq_socket (zmq, ZMQ_PUSH) };
  sockets.push_back (push[2]);
  ASSERT_EQ (zmq_connect (push[2], bound[2]), 0);
  std::set<std::string> expected, got;
  for (int s = 0; s < 3; s++)
    for (int i = 0; i < 300; i++) {
      std::string text = "~~s~c~a~" + std::to_string (s) + "." + std::to_string (i);
      expected.insert (text);
      send (push[s], { text, "" });
    }
  ASSERT_TRUE (pool.wait (900));
  for (size_t i = 0; i < 900; i++)
    got.insert (topic (pool.at (i)));
  EXPECT_EQ (got, expected);
}

TEST_F (Subject, RefusesEndpointsWithTheReason)
{
  struct Case {
    const char *bind, *reason;
  } cases[] = {
    { "tcp://0.0.0.0:5555", "subject: \"tcp://0.0.0.0:5555\" is tcp beyond loopback, which needs CURVE" },
    { "epgm://127.0.0.1;239.1.1.1:5555", "subject: \"epgm://127.0.0.1;239.1.1.1:5555\" is multicast" },
    { "ipc:///no/such/directory/x", "subject: cannot bind ipc:///no/such/directory/x" },
  };
  for (auto &item : cases) {
    GError *error = nullptr;
    const char *bind[] = { item.bind, nullptr };
    config.bind = bind;
    EXPECT_EQ (zm_subject_new (&config, &error), nullptr);
    ASSERT_NE (error, nullptr);
    EXPECT_NE (strstr (error->message, item.reason), nullptr) << error->message;
    g_error_free (error);
  }
}

TEST_F (Subject, StatusIsJson)
{
  start ();
  void *push = connect (ZMQ_PUSH, "subject");
  send (push, { "?a?b", "" });
  ASSERT_TRUE (pool.wait (1));
  ASSERT_TRUE (wait_counter ("zmanager_subject_received_total", 1));
  char *json = zm_subject_status_json (subject);
  EXPECT_TRUE (zm_json_valid (zm_span_text (json))) << json;
  EXPECT_NE (strstr (json, "\"received\":1,"), nullptr) << json;
  g_free (json);
}

} // namespace
