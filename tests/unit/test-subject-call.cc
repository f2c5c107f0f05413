/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The Subject: calls, their deadlines and replies, and malformed requests. */
#include "subject-fixture.h"

namespace {

/* ---- calls ---- */

TEST_F (Subject, CallsAreAnsweredOnceInAnyOrder)
{
  start ();
  void *dealer = connect (ZMQ_DEALER, "call");
  gint64 before = g_get_monotonic_time ();
  send (dealer, { "first", "CALL", "?a?b", "{\"timeout\":\"5000\"}", "1" });
  send (dealer, { std::string ("\0\xff", 2), "CALL", "F~~~a~b~x", "2" });
  ASSERT_TRUE (pool.wait (2));
  ZmMessage *one = pool.at (0), *two = pool.at (1);
  EXPECT_EQ (one->origin, ZM_ORIGIN_CALL);
  EXPECT_NE (one->reply, 0u);
  EXPECT_NE (one->reply, two->reply);
  EXPECT_EQ (one->reply >> 63, 0u);
  EXPECT_NEAR (double (one->deadline_us - before), 5e6, 2e6);
  EXPECT_NEAR (double (two->deadline_us - before), 30e6, 2e6) << "the standard deadline";
  reply (two->reply, ZM_OK, "two", "{\"content-type\":\"text/plain\"}");
  EXPECT_EQ (receive (dealer),
             (Frames{ std::string ("\0\xff", 2), "OK", "{\"content-type\":\"text/plain\"}", "two" }));
  reply (one->reply, -8, "{\"code\":\"failed\"}");
  EXPECT_EQ (receive (dealer), (Frames{ "first", "ERROR", "", "{\"code\":\"failed\"}" }));
  reply (one->reply, ZM_OK, "again");
  reply (12345, ZM_OK, "nobody");
  reply (0, ZM_OK, "nobody");
  ASSERT_TRUE (wait_counter ("zmanager_subject_late_total", 3));
  EXPECT_FALSE (readable (dealer, 50));
}

TEST_F (Subject, CallSocketsHaveLimitsOfTheirOwn)
{
  config.max_message = 1024 * 1024;
  config.call_max_message = 2048;
  start ();
  void *dealer = connect (ZMQ_DEALER, "call"), *push = connect (ZMQ_PUSH, "subject");
  std::string large (4096, 'x');
  send (push, { "?a?b", large });
  ASSERT_TRUE (pool.wait (1)) << "the Subject's own limit is larger";
  send (dealer, { "1", "CALL", "?a?b", large });
  EXPECT_FALSE (readable (dealer, 200)) << "who sends more is disconnected";
  send (dealer, { "2", "CALL", "?a?b", "small" });
  ASSERT_TRUE (pool.wait (2)) << "and comes back";
  EXPECT_EQ (pool.size (), 2u);
}

TEST_F (Subject, RequestSocketsGetTheirDelimiterBack)
{
  start ();
  void *req = connect (ZMQ_REQ, "call");
  send (req, { "id", "CALL", "?a?b", "body" });
  ASSERT_TRUE (pool.wait (1));
  reply (pool.at (0)->reply, ZM_OK, "result");
  EXPECT_EQ (receive (req), (Frames{ "id", "OK", "", "result" }));
  send (req, { "id", "NONSENSE", "" });
  EXPECT_EQ (receive (req)[1], "ERROR");
  send (req, { "only-an-id" });
  EXPECT_EQ (receive (req)[1], "ERROR");
}

TEST_F (Subject, DeadlinesAreKeptAndLateRepliesCounted)
{
  start ();
  void *dealer = connect (ZMQ_DEALER, "call");
  /* Out of order, so that the earliest is not the first. */
  for (int ms : { 400, 50, 200, 100, 300 })
    send (dealer, { std::to_string (ms), "CALL", "?a?b", "{\"timeout\":" + std::to_string (ms) + "}", "" });
  gint64 before = g_get_monotonic_time ();
  for (int ms : { 50, 100, 200, 300, 400 }) {
    Frames frames = receive (dealer);
    ASSERT_EQ (frames.size (), 4u);
    EXPECT_EQ (frames[0], std::to_string (ms));
    EXPECT_EQ (frames[1], "ERROR");
    EXPECT_NE (frames[3].find ("\"timeout\""), std::string::npos) << frames[3];
    EXPECT_GE (g_get_monotonic_time () - before, (ms - 40) * 1000);
  }
  ASSERT_TRUE (pool.wait (5));
  reply (pool.at (0)->reply, ZM_OK, "too late");
  ASSERT_TRUE (wait_counter ("zmanager_subject_late_total", 1));
  EXPECT_EQ (counter ("zmanager_subject_timeouts_total"), 5);
  EXPECT_FALSE (readable (dealer, 20));
}

TEST_F (Subject, TooManyCallsAreBusyAtOnce)
{
  config.calls_most = 70; /* more than one step of growth */
  start ();
  void *dealer = connect (ZMQ_DEALER, "call");
  for (int i = 0; i < 75; i++)
    send (dealer, { std::to_string (i), "CALL", "?a?b", "" });
  for (int i = 70; i < 75; i++) {
    Frames frames = receive (dealer);
    EXPECT_EQ (frames[0], std::to_string (i));
    EXPECT_EQ (frames[1], "BUSY");
  }
  ASSERT_TRUE (pool.wait (70));
  std::set<guint64> tickets;
  for (int i = 0; i < 70; i++)
    tickets.insert (pool.at (i)->reply);
  EXPECT_EQ (tickets.size (), 70u);
  for (int i = 69; i >= 0; i--)
    reply (pool.at (i)->reply, ZM_OK, std::to_string (i));
  for (int i = 69; i >= 0; i--)
    ASSERT_EQ (receive (dealer), (Frames{ std::to_string (i), "OK", "", std::to_string (i) }));
  send (dealer, { "again", "CALL", "?a?b", "" });
  ASSERT_TRUE (pool.wait (71));
  EXPECT_EQ (tickets.count (pool.at (70)->reply), 0u) << "a slot's next ticket is another";
  for (guint64 stale : tickets)
    reply (stale, ZM_OK, "stale");
  ASSERT_TRUE (wait_counter ("zmanager_subject_late_total", 70));
  reply (pool.at (70)->reply, -2, "{\"code\":\"busy\"}");
  EXPECT_EQ (receive (dealer)[1], "BUSY");
}

TEST_F (Subject, RepliesFromManyThreads)
{
  config.calls_most = 10000;
  config.high_water = 10000;
  start ();
  void *dealer = connect (ZMQ_DEALER, "call");
  constexpr int kCount = 4000, kThreads = 4;
  for (int i = 0; i < kCount; i++)
    send (dealer, { std::to_string (i), "CALL", "?a?b", std::to_string (i) });
  ASSERT_TRUE (pool.wait (kCount));
  struct Job {
    Subject *test;
    ZmSubject *subject;
    std::vector<ZmMessage *> mine;
  };
  std::vector<Job> jobs (kThreads);
  for (int i = 0; i < kCount; i++)
    jobs[i % kThreads].mine.push_back (pool.at (i));
  std::vector<GThread *> threads;
  for (auto &job : jobs) {
    job.subject = subject;
    threads.push_back (g_thread_new (
        "replier",
        [] (gpointer data) -> gpointer {
          auto *mine = static_cast<Job *> (data);
          for (ZmMessage *message : mine->mine)
            zm_subject_reply (mine->subject, message->reply, ZM_OK, message);
          return nullptr;
        },
        &job));
  }
  std::set<std::string> got;
  for (int i = 0; i < kCount; i++) {
    Frames frames = receive (dealer);
    ASSERT_EQ (frames.size (), 4u);
    EXPECT_EQ (frames[0], frames[3]);
    got.insert (frames[0]);
  }
  for (auto *thread : threads)
    g_thread_join (thread);
  EXPECT_EQ (got.size (), size_t (kCount));
  EXPECT_EQ (counter ("zmanager_subject_late_total"), 0);
}

TEST_F (Subject, WhoWaitsAtTheEndIsTold)
{
  start ();
  void *dealer = connect (ZMQ_DEALER, "call");
  send (dealer, { "1", "CALL", "?a?b", "" });
  ASSERT_TRUE (pool.wait (1));
  stop ();
  Frames frames = receive (dealer);
  ASSERT_EQ (frames.size (), 4u);
  EXPECT_EQ (frames[1], "ERROR");
  EXPECT_NE (frames[3].find ("\"shutdown\""), std::string::npos) << frames[3];
}

TEST_F (Subject, DurableSendsGoToTheStoreOrSayThatThereIsNone)
{
  start ();
  void *dealer = connect (ZMQ_DEALER, "call");
  send (dealer, { "1", "SEND", "?a?b", "" });
  Frames frames = receive (dealer);
  EXPECT_EQ (frames[1], "ERROR");
  EXPECT_NE (frames[3].find ("no-store"), std::string::npos);
  stop ();

  static std::vector<guint64> tickets;
  tickets.clear ();
  config.send = [] (ZmMessage *const *messages, guint n, guint64 ticket, gpointer) -> gboolean {
    if (zm_span_is (zm_message_body (messages[0]), "full"))
      return FALSE;
    for (guint i = 0; i < n; i++)
      zm_message_unref (messages[i]);
    tickets.push_back (ticket);
    return TRUE;
  };
  start ();
  dealer = connect (ZMQ_DEALER, "call"); /* the old one may not have noticed yet */
  send (dealer, { "2", "SEND", "?a?b", "full" });
  EXPECT_EQ (receive (dealer)[1], "BUSY");
  send (dealer, { "3", "SEND", "?a?b", "one" });
  send (dealer, { "4", "SEND", "?a?b", "two" });
  send (dealer, { "5", "HELLO", "{}" }); /* answered after both were taken */
  EXPECT_EQ (receive (dealer)[0], "5");
  ASSERT_EQ (tickets.size (), 2u);
  reply (tickets[0], ZM_OK, "{}");
  EXPECT_EQ (receive (dealer)[1], "ACCEPTED");
  reply (tickets[1], 1, "{}");
  EXPECT_EQ (receive (dealer)[1], "DUPLICATE");
  EXPECT_EQ (pool.size (), 0u);
}

/* ---- malformed requests: each is answered with its reason ---- */

TEST_F (Subject, MalformedRequests)
{
  const std::string long_part (256, 'x');
  std::string patterns = "[\"?a?b\"";
  for (int i = 0; i < 64; i++)
    patterns += ",\"?a?b\"";
  patterns += "]";
  struct Case {
    Frames frames; /* behind the request id */
    const char *text;
  } cases[] = {
    { {}, "no verb" },
    { { "" }, "\\\"\\\" is no verb; verbs are CALL, SEND, HELLO, HEARTBEAT" },
    { { "call", "?a?b", "" }, "\\\"call\\\" is no verb" },
    { { "CALLS", "?a?b", "" }, "is no verb" },
    { { "\x01\x02", "" }, "\\\\x01\\\\x02" },
    { { "CALL" }, "no message: after the verb come" },
    { { "SEND" }, "no message: after the verb come" },
    { { "CALL", "?a?b" }, "one frame without its six '~'" },
    { { "CALL", "" }, "one frame without its six '~'" },
    { { "CALL", "", "" }, "the first frame is empty" },
    { { "CALL", "?a", "" }, "column 3: the key ends before its second '?'" },
    { { "CALL", "a", "" }, "column 2: the topic ends after its flow" },
    { { "CALL", "a?b?c?d", "" }, "column 6: a third '?'" },
    { { "CALL", "A?B?C.D", "" }, "column 6: '.' is not allowed in an action key" },
    { { "CALL", " ?a?b", "" }, "column 1: white space" },
    { { "CALL", "?a b?c", "" }, "column 3: white space" },
    { { "CALL", "?a@b@c?d", "" }, "column 5: this '@' is one too many" },
    { { "CALL", "?a?b@c", "" }, "'@' after the action" },
    { { "CALL", "?\xff?b", "" }, "column 2: byte 0xff is no UTF-8" },
    { { "CALL", "?" + long_part + "?b", "" }, "longer than 255 bytes" },
    { { "CALL", "?a?" + std::string (1100, 'x'), "" }, "longer than 1024 bytes" },
    { { "CALL", "F~~s~c", "" }, "the topic ends after its context" },
    { { "CALL", "F~~s~c~a", "" }, "the topic ends after its action" },
    { { "CALL", "F~~s~c~a~1~2", "" }, "a sixth '~'; nothing may follow the id" },
    { { "CALL", "F~~s~c~a~1/2", "" }, "'/' is not allowed in an id" },
    { { "CALL", "F~~s~c~a~" + std::string (65, '1'), "" }, "the id is longer than 64 bytes" },
    { { "CALL", "F x~~s~c~a~1", "" }, "white space is not allowed in a topic" },
    { { "CALL", ZM_BATCH_TOPIC, "xxxx" }, "a batch cannot be called" },
    { { "CALL", ZM_BATCH_TOPIC, "{}", "xxxx" }, "a batch cannot be called" },
    { { "CALL", "?a?b", "{}", "b", "c" }, "4 frames after the verb" },
    { { "CALL", "?a?b", "{}", "b", "c", "d", "e", "f", "g" }, "8 frames after the verb" },
    { { "CALL", "?a?b", "not json", "b" }, "the headers are not a JSON object" },
    { { "CALL", "?a?b", "[1]", "b" }, "the headers are not a JSON object" },
    { { "CALL", "?a?b", "\"{\"", "b" }, "the headers are not a JSON object" },
    { { "CALL", "?a?b", "{\"timeout\":0}", "b" }, "header timeout: \\\"0\\\" is no number of milliseconds" },
    { { "CALL", "?a?b", "{\"timeout\":-5}", "b" }, "header timeout: \\\"-5\\\"" },
    { { "CALL", "?a?b", "{\"timeout\":\"soon\"}", "b" }, "header timeout: \\\"soon\\\"" },
    { { "CALL", "?a?b", "{\"timeout\":1e30}", "b" }, "header timeout" },
    { { "CALL", "?a?b", "{\"timeout\":99999999999999999999}", "b" }, "header timeout" },
    { { "CALL", "?a?b", "{\"timeout\":86400001}", "b" }, "from 1 to 86400000" },
    { { "HELLO" }, "HELLO takes one frame, a JSON object, and 0 came" },
    { { "HELLO", "{}", "{}" }, "HELLO takes one frame, a JSON object, and 2 came" },
    { { "HELLO", "" }, "HELLO: not a JSON object" },
    { { "HELLO", "[]" }, "HELLO: not a JSON object" },
    { { "HELLO", "{\"name\":\"x\"" }, "HELLO: not a JSON object" },
    { { "HELLO", std::string (10000, '[') }, "HELLO: not a JSON object" },
    { { "HELLO", "{}" }, "HELLO: name: missing" },
    { { "HELLO", "{\"name\":7}" }, "HELLO: name: missing, or no string" },
    { { "HELLO", "{\"name\":\"a b\"}" }, "HELLO: name: column 2: white space" },
    { { "HELLO", "{\"name\":\"a~b\"}" }, "HELLO: name: column 2: '~' is not allowed in a name" },
    { { "HELLO", "{\"name\":\"x\",\"version\":[]}" }, "HELLO: version: not a string" },
    { { "HELLO", "{\"name\":\"x\",\"patterns\":\"?a?b\"}" }, "HELLO: patterns: not an array" },
    { { "HELLO", "{\"name\":\"x\",\"patterns\":[1]}" }, "HELLO: patterns: item 1 is no string" },
    { { "HELLO", "{\"name\":\"x\",\"patterns\":[\"?a?b\",\"a\"]}" }, "HELLO: pattern \\\"a\\\": column 2" },
    { { "HELLO", "{\"name\":\"x\",\"patterns\":" + patterns + "}" },
      "HELLO: patterns: 65 of them; at most 64" },
    { { "HELLO", "{\"name\":\"x\",\"topics\":{}}" }, "HELLO: topics: not an array of prefixes" },
    { { "HELLO", "{\"name\":\"x\",\"topics\":[\"" + std::string (1025, 'a') + "\"]}" },
      "HELLO: topics: item 1 is no string of at most 1024 bytes" },
    { { "HELLO", "{\"name\":\"x\",\"heartbeat_ms\":-1}" }, "HELLO: heartbeat_ms: not a number from 0" },
    { { "HELLO", "{\"name\":\"x\",\"heartbeat_ms\":\"1\"}" }, "HELLO: heartbeat_ms: not a number from 0" },
    { { "HELLO", "{\"name\":\"x\",\"nonce\":1}" }, "HELLO: nonce: not a string" },
    { { "HELLO", "{\"name\":\"x\",\"nonce\":\"" + long_part + "\"}" },
      "HELLO: nonce: not a string of at most 128" },
    { { "HEARTBEAT" }, "HEARTBEAT takes one frame" },
    { { "HEARTBEAT", "" }, "HEARTBEAT: not a JSON object" },
    { { "HEARTBEAT", "7" }, "HEARTBEAT: not a JSON object" },
    { { "HEARTBEAT", "{}" }, "HEARTBEAT: name: missing" },
    { { "HEARTBEAT", "{\"name\":\"x\"}" }, "HEARTBEAT: state: missing" },
    { { "HEARTBEAT", "{\"name\":\"x\",\"state\":\"UNKNOWN\"}" },
      "HEARTBEAT: state: missing, or not one of RUNNING" },
    { { "HEARTBEAT", "{\"name\":\"x\",\"state\":\"RUNNING\"}" },
      "no service \\\"x\\\" is registered; send HELLO first" },
  };
  start ();
  void *dealer = connect (ZMQ_DEALER, "call");
  for (auto &item : cases) {
    Frames frames = { "id" };
    frames.insert (frames.end (), item.frames.begin (), item.frames.end ());
    send (dealer, frames);
    Frames answer = receive (dealer);
    ASSERT_EQ (answer.size (), 4u) << item.text;
    EXPECT_EQ (answer[0], "id");
    EXPECT_EQ (answer[1], "ERROR") << item.text;
    EXPECT_EQ (answer[2], "{\"content-type\":\"application/json\"}");
    EXPECT_TRUE (zm_json_valid (span (answer[3]))) << answer[3];
    EXPECT_NE (answer[3].find (item.text), std::string::npos)
        << "expected: " << item.text << "\n     got: " << answer[3];
  }
  EXPECT_EQ (pool.size (), 0u);
  EXPECT_EQ (services (), "[]");
}

} // namespace
