/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The Subject with real sockets. The pool is a stand-in here, so that a test decides when it is full and when a call is
 * answered; how both work together is for the scenario tests. Waiting is always for an event, with a deadline.
 */
#include "subject/zm-subject.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include <glib/gstdio.h>

namespace {

constexpr int kWaitMs = 10000;

/* What the stand-in pool was given. */
struct FakePool {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<ZmMessage *> messages;
  size_t room = G_MAXSIZE; /* how many it takes in all */
  size_t refused = 0;      /* pushes that did not fit */

  bool
  wait (size_t n)
  {
    std::unique_lock<std::mutex> lock (mutex);
    return changed.wait_for (lock, std::chrono::milliseconds (kWaitMs),
                             [&] { return messages.size () >= n; });
  }
  bool
  wait_refused (size_t n)
  {
    std::unique_lock<std::mutex> lock (mutex);
    return changed.wait_for (lock, std::chrono::milliseconds (kWaitMs), [&] { return refused >= n; });
  }
  ZmMessage *
  at (size_t i)
  {
    std::lock_guard<std::mutex> lock (mutex);
    return messages.at (i);
  }
  size_t
  size ()
  {
    std::lock_guard<std::mutex> lock (mutex);
    return messages.size ();
  }
  void
  set_room (size_t n)
  {
    std::lock_guard<std::mutex> lock (mutex);
    room = n;
  }
};

FakePool *fake;

} // namespace

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

namespace {

using Frames = std::vector<std::string>;

ZmSpan
span (const std::string &text)
{
  return zm_span (text.data (), text.size ());
}

class Subject : public ::testing::Test {
protected:
  void
  SetUp () override
  {
    char pattern[] = "/tmp/zm-subject-XXXXXX";
    ASSERT_NE (g_mkdtemp (pattern), nullptr);
    directory = pattern;
    fake = &pool;
    zmq = zmq_ctx_new ();
    metrics = zm_metrics_new ();
    tables = zm_table_slot_new ();
    load_tables ("[Flow]\n?Flow?Push\n?Link?Up\n??done\n", "[actionmapping]\n?Hello?Greet = hello.greet\n");
    std::string topics = endpoint ("topics");
    const char *bind[] = { topics.c_str (), nullptr };
    ZmIntegrationConfig integration_config{};
    integration_config.zmq = zmq;
    integration_config.bind = bind;
    integration_config.metrics = metrics;
    integration = zm_integration_new (&integration_config, nullptr);
    ASSERT_NE (integration, nullptr);
    config.zmq = zmq;
    config.tables = tables;
    config.integration = integration;
    config.metrics = metrics;
    config.high_water = 1000;
  }

  void
  TearDown () override
  {
    stop ();
    for (void *socket : sockets)
      zmq_close (socket);
    for (ZmMessage *message : pool.messages)
      zm_message_unref (message);
    zm_integration_free (integration, 100);
    zm_table_slot_free (tables);
    zmq_ctx_term (zmq);
    zm_metrics_free (metrics);
    std::string command = "rm -rf " + directory;
    ASSERT_EQ (system (command.c_str ()), 0);
  }

  void
  load_tables (const char *flow, const char *mapping)
  {
    ZmProblems *problems = zm_problems_new ();
    ZmTableInput input{};
    input.flows = g_ptr_array_new_with_free_func (reinterpret_cast<GDestroyNotify> (zm_flow_unref));
    input.mappings = g_ptr_array_new_with_free_func (reinterpret_cast<GDestroyNotify> (zm_mapping_free));
    input.timeout_ms = 1000;
    zm_flow_read_text ("test.flow", zm_span_text (flow), input.flows, problems);
    zm_mapping_read_text ("test.ini", zm_span_text (mapping), input.mappings, problems);
    zm_table_slot_swap (tables, zm_table_build (&input, problems));
    zm_problems_free (problems);
  }

  std::string
  endpoint (const char *name)
  {
    return "ipc://" + directory + "/" + name;
  }

  void
  start ()
  {
    GError *error = nullptr;
    std::string pull = endpoint ("subject"), call = endpoint ("call");
    const char *bind[] = { pull.c_str (), nullptr }, *call_bind[] = { call.c_str (), nullptr };
    config.bind = bind;
    config.call_bind = call_bind;
    subject = zm_subject_new (&config, &error);
    ASSERT_NE (subject, nullptr) << error->message;
    ASSERT_TRUE (zm_subject_start (subject, nullptr_pool (), &error));
  }

  static ZmPool *
  nullptr_pool ()
  {
    return reinterpret_cast<ZmPool *> (&fake);
  }

  void
  stop ()
  {
    zm_subject_free (subject);
    subject = nullptr;
  }

  void *
  connect (int type, const char *name)
  {
    void *socket = zmq_socket (zmq, type);
    int wait = kWaitMs, linger = 0;
    zmq_setsockopt (socket, ZMQ_RCVTIMEO, &wait, sizeof wait);
    zmq_setsockopt (socket, ZMQ_SNDTIMEO, &wait, sizeof wait);
    zmq_setsockopt (socket, ZMQ_LINGER, &linger, sizeof linger);
    EXPECT_EQ (zmq_connect (socket, endpoint (name).c_str ()), 0);
    sockets.push_back (socket);
    return socket;
  }

  static void
  send (void *socket, const Frames &frames)
  {
    for (size_t i = 0; i < frames.size (); i++)
      ASSERT_GE (
          zmq_send (socket, frames[i].data (), frames[i].size (), i + 1 < frames.size () ? ZMQ_SNDMORE : 0),
          0);
  }

  static Frames
  receive (void *socket)
  {
    Frames frames;
    int more = 1;
    while (more) {
      zmq_msg_t frame;
      zmq_msg_init (&frame);
      if (zmq_msg_recv (&frame, socket, 0) < 0)
        return frames;
      frames.emplace_back (static_cast<char *> (zmq_msg_data (&frame)), zmq_msg_size (&frame));
      more = zmq_msg_more (&frame);
      zmq_msg_close (&frame);
    }
    return frames;
  }

  static bool
  readable (void *socket, int wait_ms)
  {
    zmq_pollitem_t item = { socket, 0, ZMQ_POLLIN, 0 };
    return zmq_poll (&item, 1, wait_ms) > 0;
  }

  gint64
  counter (const char *name)
  {
    return zm_counter_get (zm_metrics_counter (metrics, name, nullptr, nullptr, nullptr));
  }

  bool
  wait_counter (const char *name, gint64 least)
  {
    gint64 end = g_get_monotonic_time () + kWaitMs * 1000;
    while (counter (name) < least && g_get_monotonic_time () < end)
      g_thread_yield ();
    return counter (name) >= least;
  }

  static std::string
  topic (ZmMessage *message)
  {
    ZmSpan text = zm_message_topic (message);
    return std::string (text.data, text.size);
  }

  static std::string
  body (ZmMessage *message)
  {
    ZmSpan text = zm_message_body (message);
    return std::string (text.data, text.size);
  }

  void
  reply (guint64 ticket, int status, const std::string &text, const std::string &headers = "")
  {
    ZmKey key{};
    ZmMessage *result = zm_message_new (span ("F"), &key, span ("1"), span (headers), span (text));
    zm_subject_reply (subject, ticket, status, result);
    zm_message_unref (result);
  }

  std::string
  services ()
  {
    char *json = zm_subject_services_json (subject);
    std::string text = json;
    g_free (json);
    return text;
  }

  std::string directory;
  void *zmq = nullptr;
  ZmMetrics *metrics = nullptr;
  ZmTableSlot *tables = nullptr;
  ZmIntegration *integration = nullptr;
  ZmSubjectConfig config{};
  ZmSubject *subject = nullptr;
  FakePool pool;
  std::vector<void *> sockets;
};

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

TEST_F (Subject, PauseTakesWhatCameInAndThenNothing)
{
  start ();
  void *push = connect (ZMQ_PUSH, "subject"), *dealer = connect (ZMQ_DEALER, "call");
  send (dealer, { "1", "CALL", "?a?b", "" });
  ASSERT_TRUE (pool.wait (1));
  for (int i = 0; i < 100; i++)
    send (push, { "?a?b", "" });
  ASSERT_TRUE (pool.wait (2)) << "the connection is up";
  zm_subject_pause (subject);
  size_t taken = pool.size ();
  int immediate = 0;
  zmq_setsockopt (push, ZMQ_SNDTIMEO, &immediate, sizeof immediate);
  zmq_send (push, "?a?b", 4, ZMQ_SNDMORE | ZMQ_DONTWAIT);
  zmq_send (push, "", 0, ZMQ_DONTWAIT);
  send (dealer, { "2", "CALL", "?a?b", "" });
  Frames frames = receive (dealer);
  EXPECT_EQ (frames[1], "BUSY");
  EXPECT_NE (frames[3].find ("draining"), std::string::npos) << frames[3];
  reply (pool.at (0)->reply, ZM_OK, "late but in time");
  frames = receive (dealer);
  EXPECT_EQ (frames, (Frames{ "1", "OK", "", "late but in time" })) << "calls that wait get their replies";
  EXPECT_EQ (pool.size (), taken);
  zm_subject_pause (subject);
}

TEST_F (Subject, AuthorisationIsAskedForEach)
{
  static std::vector<std::string> asked;
  asked.clear ();
  config.authorise = [] (const char *verb, ZmSpan, const ZmMessage *message, gpointer) -> gboolean {
    asked.push_back (std::string (verb) + " " +
                     std::string (message->topic.key.action.data, message->topic.key.action.size));
    return !zm_span_is (message->topic.key.action, "secret");
  };
  start ();
  void *push = connect (ZMQ_PUSH, "subject"), *dealer = connect (ZMQ_DEALER, "call");
  send (push, { "?a?secret", "" });
  send (push, { "?a?open", "" });
  ASSERT_TRUE (pool.wait (1));
  send (dealer, { "1", "CALL", "?a?secret", "" });
  Frames frames = receive (dealer);
  EXPECT_EQ (frames[1], "ERROR");
  EXPECT_NE (frames[3].find ("\"denied\""), std::string::npos) << frames[3];
  EXPECT_EQ (asked, (std::vector<std::string>{ "send secret", "send open", "call secret" }));
  EXPECT_EQ (pool.size (), 1u);
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
  config.send = [] (ZmMessage *message, guint64 ticket, gpointer) -> gboolean {
    if (zm_span_is (zm_message_body (message), "full"))
      return FALSE;
    zm_message_unref (message);
    tickets.push_back (ticket);
    return TRUE;
  };
  start ();
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

/* ---- services ---- */

TEST_F (Subject, HelloTellsWhatToSubscribeAndWaitsForIt)
{
  start ();
  void *dealer = connect (ZMQ_DEALER, "call"), *sub = connect (ZMQ_SUB, "topics");
  send (dealer, { "1", "HELLO", "{\"name\":\"svc\",\"version\":\"1.0\",\"patterns\":[\"?Link?Up\"]}" });
  Frames frames = receive (dealer);
  ASSERT_EQ (frames[1], "OK") << frames[3];
  EXPECT_NE (frames[3].find ("\"Flow~~~Link~Up~\""), std::string::npos) << frames[3];
  EXPECT_NE (frames[3].find ("\"command_prefix\":\"command_svc~\""), std::string::npos) << frames[3];

  /* With a nonce: not before its subscription is there. */
  send (dealer, { "2", "HELLO", "{\"name\":\"svc\",\"patterns\":[\"?Link?Up\"],\"nonce\":\"n1\"}" });
  EXPECT_FALSE (readable (dealer, 100));
  zmq_setsockopt (sub, ZMQ_SUBSCRIBE, "", 0);
  EXPECT_FALSE (readable (dealer, 50)) << "a subscription to all is not the one";
  zmq_setsockopt (sub, ZMQ_SUBSCRIBE, "Flow~~~Link~Up~", 15);
  zmq_setsockopt (sub, ZMQ_SUBSCRIBE, "^hello~n1", 9);
  frames = receive (dealer);
  EXPECT_EQ (frames[0], "2");
  EXPECT_EQ (frames[1], "OK");
  EXPECT_TRUE (zm_integration_has_subscriber (integration, span ("Flow~~~Link~Up~x")))
      << "active when HELLO answers";

  /* The subscription first, HELLO after it: answered at once. */
  zmq_setsockopt (sub, ZMQ_SUBSCRIBE, "^hello~n2", 9);
  send (dealer, { "3", "HELLO", "{\"name\":\"svc\",\"nonce\":\"n2\"}" });
  EXPECT_EQ (receive (dealer)[0], "3");
}

TEST_F (Subject, HelloWhoseSubscriptionNeverComesTimesOut)
{
  config.call_timeout_us = 100 * 1000;
  start ();
  void *dealer = connect (ZMQ_DEALER, "call"), *sub = connect (ZMQ_SUB, "topics");
  send (dealer, { "1", "HELLO", "{\"name\":\"svc\",\"nonce\":\"n1\"}" });
  Frames frames = receive (dealer);
  EXPECT_EQ (frames[1], "ERROR");
  EXPECT_NE (frames[3].find ("^hello~NONCE was not seen"), std::string::npos) << frames[3];
  zmq_setsockopt (sub, ZMQ_SUBSCRIBE, "^hello~n1", 9);
  EXPECT_FALSE (readable (dealer, 100)) << "answered once";
}

TEST_F (Subject, HeartbeatsMakeTheState)
{
  start ();
  void *dealer = connect (ZMQ_DEALER, "call");
  send (dealer,
        { "1", "HELLO", "{\"name\":\"svc\",\"version\":\"2\",\"patterns\":[\"?a?b\"],\"heartbeat_ms\":50}" });
  ASSERT_EQ (receive (dealer)[1], "OK");
  EXPECT_NE (services ().find ("\"state\":\"RUNNING\""), std::string::npos) << services ();
  EXPECT_NE (services ().find ("\"patterns\":[\"?a?b\"]"), std::string::npos) << services ();
  EXPECT_EQ (services ().find ("\"received\""), std::string::npos) << "not known: left out";
  send (dealer, { "2", "HEARTBEAT",
                  "{\"name\":\"svc\",\"state\":\"DEGRADED\",\"received\":10,\"errors\":1,\"busy_ms\":25}" });
  ASSERT_EQ (receive (dealer)[1], "OK");
  EXPECT_NE (services ().find ("\"state\":\"DEGRADED\""), std::string::npos) << services ();
  EXPECT_NE (services ().find ("\"received\":10,\"errors\":1,\"ratio\":0.1000,\"mean_ms\":2.500"),
             std::string::npos)
      << services ();
  gint64 end = g_get_monotonic_time () + kWaitMs * 1000;
  while (services ().find ("UNKNOWN") == std::string::npos && g_get_monotonic_time () < end)
    g_thread_yield ();
  EXPECT_NE (services ().find ("\"state\":\"UNKNOWN\""), std::string::npos) << "three heartbeats are missing";
  send (dealer, { "3", "HEARTBEAT", "{\"name\":\"svc\",\"state\":\"STOPPED\"}" });
  ASSERT_EQ (receive (dealer)[1], "OK");
  EXPECT_NE (services ().find ("\"state\":\"STOPPED\""), std::string::npos) << services ();
}

TEST_F (Subject, ServicesAreToldOfChangedTopicsAndCommands)
{
  start ();
  void *dealer = connect (ZMQ_DEALER, "call"), *sub = connect (ZMQ_SUB, "topics");
  zmq_setsockopt (sub, ZMQ_SUBSCRIBE, "command_svc~", 12);
  zmq_setsockopt (sub, ZMQ_SUBSCRIBE, "^hello~n", 8);
  send (dealer, { "1", "HELLO", "{\"name\":\"svc\",\"patterns\":[\"?Link?Up\"],\"nonce\":\"n\"}" });
  ASSERT_EQ (receive (dealer)[1], "OK");

  zm_subject_tables_changed (subject); /* nothing changed: nothing is said */
  load_tables ("[Flow]\n?Flow?Push\n?Link?Up\n??done\n[Other]\n?Other?Push\n?Link?Up\n??done\n",
               "[actionmapping]\n");
  zm_subject_tables_changed (subject);
  Frames frames = receive (sub);
  ASSERT_EQ (frames.size (), 2u);
  EXPECT_EQ (frames[0].substr (0, 46), "command_svc~~zmanager~service~changed_topics~0");
  EXPECT_NE (frames[1].find ("\"Other~~~Link~Up~\""), std::string::npos) << frames[1];

  GError *error = nullptr;
  EXPECT_TRUE (zm_subject_command (subject, "svc", "add_topic", "?New?Key", &error));
  frames = receive (sub);
  EXPECT_TRUE (g_str_has_prefix (frames[0].c_str (), "command_svc~~zmanager~service~add_topic~"))
      << frames[0];
  EXPECT_EQ (frames[1], "\"?New?Key\"") << "text becomes a JSON string";
  EXPECT_TRUE (zm_subject_command (subject, "svc", "get_health", nullptr, &error));
  EXPECT_EQ (receive (sub)[1], "");
  EXPECT_TRUE (zm_subject_command (subject, "svc", "remove_topic", "{\"key\":\"?a?b\"}", &error));
  EXPECT_EQ (receive (sub)[1], "{\"key\":\"?a?b\"}") << "JSON stays as it is";
  EXPECT_FALSE (zm_subject_command (subject, "svc", "get_healt", nullptr, &error));
  EXPECT_NE (strstr (error->message, "did you mean \"get_health\"?"), nullptr) << error->message;
  g_clear_error (&error);
  EXPECT_FALSE (zm_subject_command (subject, "nobody", "get_health", nullptr, &error));
  EXPECT_TRUE (g_error_matches (error, ZM_ERROR, ZM_ERROR_NOT_FOUND)) << error->message;
  g_clear_error (&error);
}

TEST_F (Subject, TopicsOfRegisteredServicesAreNumbered)
{
  start ();
  void *dealer = connect (ZMQ_DEALER, "call"), *sub = connect (ZMQ_SUB, "topics");
  zmq_setsockopt (sub, ZMQ_SUBSCRIBE, "Flow~", 5);
  zmq_setsockopt (sub, ZMQ_SUBSCRIBE, "^hello~n", 8);
  send (dealer, { "1", "HELLO", "{\"name\":\"svc\",\"patterns\":[\"?Link?Up\"],\"nonce\":\"n\"}" });
  ASSERT_EQ (receive (dealer)[1], "OK");
  ZmKey key{};
  key.context = zm_span_text ("Link");
  key.action = zm_span_text ("Up");
  ZmMessage *message = zm_message_new (span ("Flow"), &key, span ("1"), span (""), span (""));
  zm_integration_publish (integration, &message, 1);
  EXPECT_EQ (receive (sub), (Frames{ "Flow~~~Link~Up~1", "{\"sequence\":1}", "" }));
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
