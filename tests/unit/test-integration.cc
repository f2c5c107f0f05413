/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The Integration Manager with real SUB sockets. Waiting is always for an event, with a deadline. */
#include "integration/endpoint.h"
#include "integration/prefixes.h"
#include "integration/zm-integration.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

constexpr int kWaitMs = 10000;

ZmSpan
span (const std::string &text)
{
  return zm_span (text.data (), text.size ());
}

ZmMessage *
make (const std::string &flow, const char *sender, const char *action, const std::string &id,
      const std::string &body, const std::string &headers = "")
{
  ZmKey key = { zm_span_text (sender), zm_span_text ("c"), zm_span (nullptr, 0), zm_span_text (action) };
  return zm_message_new (span (flow), &key, span (id), span (headers), span (body));
}

/* What the publisher's thread tells of subscriptions. */
struct Seen {
  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::string, int> on, off;

  static void
  note (ZmSpan prefix, gboolean is_on, gpointer user)
  {
    auto *seen = static_cast<Seen *> (user);
    std::lock_guard<std::mutex> lock (seen->mutex);
    (is_on ? seen->on : seen->off)[std::string (prefix.data, prefix.size)]++;
    seen->changed.notify_all ();
  }

  bool
  wait (std::map<std::string, int> Seen::*which, const std::string &prefix, int count = 1)
  {
    std::unique_lock<std::mutex> lock (mutex);
    return changed.wait_for (lock, std::chrono::milliseconds (kWaitMs),
                             [&] { return (this->*which)[prefix] >= count; });
  }
};

class Integration : public ::testing::Test {
protected:
  void
  SetUp () override
  {
    char pattern[] = "/tmp/zm-integration-XXXXXX";
    ASSERT_NE (g_mkdtemp (pattern), nullptr);
    directory = pattern;
    zmq = zmq_ctx_new ();
    metrics = zm_metrics_new ();
  }

  void
  TearDown () override
  {
    for (void *socket : sockets)
      if (socket != nullptr)
        zmq_close (socket);
    close (1000);
    zmq_ctx_term (zmq);
    zm_metrics_free (metrics);
    std::string command = "rm -rf " + directory;
    ASSERT_EQ (system (command.c_str ()), 0);
  }

  std::string
  endpoint (const char *name = "topics")
  {
    return "ipc://" + directory + "/" + name;
  }

  void
  open (std::vector<std::string> bind = {})
  {
    GError *error = nullptr;
    if (bind.empty ())
      bind.push_back (endpoint ());
    std::vector<const char *> list;
    for (auto &text : bind)
      list.push_back (text.c_str ());
    list.push_back (nullptr);
    config.zmq = zmq;
    config.bind = list.data ();
    config.metrics = metrics;
    integration = zm_integration_new (&config, &error);
    ASSERT_NE (integration, nullptr) << error->message;
    zm_integration_watch_subscriptions (integration, Seen::note, &seen);
  }

  void
  close (gint64 deadline_ms)
  {
    zm_integration_free (integration, deadline_ms);
    integration = nullptr;
  }

  /* A SUB socket whose subscription the publisher has seen. */
  void *
  subscribe (const std::string &prefix, const std::string &where = "", int high_water = 100000)
  {
    void *sub = zmq_socket (zmq, ZMQ_SUB);
    int wait = kWaitMs, linger = 0;
    zmq_setsockopt (sub, ZMQ_RCVHWM, &high_water, sizeof high_water);
    zmq_setsockopt (sub, ZMQ_SNDHWM, &high_water, sizeof high_water);
    zmq_setsockopt (sub, ZMQ_RCVTIMEO, &wait, sizeof wait);
    zmq_setsockopt (sub, ZMQ_LINGER, &linger, sizeof linger);
    int before = seen_count (prefix);
    zmq_setsockopt (sub, ZMQ_SUBSCRIBE, prefix.data (), prefix.size ());
    zmq_connect (sub, (where.empty () ? endpoint () : where).c_str ());
    sockets.push_back (sub);
    EXPECT_TRUE (seen.wait (&Seen::on, prefix, before + 1));
    return sub;
  }

  int
  seen_count (const std::string &prefix)
  {
    std::lock_guard<std::mutex> lock (seen.mutex);
    return seen.on[prefix];
  }

  void
  publish (ZmMessage *message)
  {
    EXPECT_TRUE (zm_integration_publish (integration, &message, 1));
  }

  gint64
  counter (const char *name)
  {
    return zm_counter_get (zm_metrics_counter (metrics, name, nullptr, nullptr, nullptr));
  }

  static std::vector<std::string>
  receive (void *sub)
  {
    std::vector<std::string> frames;
    int more = 1;
    while (more) {
      zmq_msg_t frame;
      zmq_msg_init (&frame);
      if (zmq_msg_recv (&frame, sub, 0) < 0)
        return {};
      frames.emplace_back (static_cast<char *> (zmq_msg_data (&frame)), zmq_msg_size (&frame));
      more = zmq_msg_more (&frame);
      zmq_msg_close (&frame);
    }
    return frames;
  }

  static bool
  nothing (void *sub, int wait_ms = 100)
  {
    zmq_pollitem_t item = { sub, 0, ZMQ_POLLIN, 0 };
    return zmq_poll (&item, 1, wait_ms) == 0;
  }

  std::string directory;
  void *zmq = nullptr;
  ZmMetrics *metrics = nullptr;
  ZmIntegrationConfig config{};
  ZmIntegration *integration = nullptr;
  Seen seen;
  std::vector<void *> sockets;
};

TEST_F (Integration, PublishesEachMessageOnceAndInOrder)
{
  config.high_water = 100000;
  open ();
  void *sub = subscribe ("F~");
  constexpr int kCount = 20000, kBatch = 50;
  for (int i = 0; i < kCount; i += kBatch) {
    ZmMessage *batch[kBatch];
    for (int j = 0; j < kBatch; j++)
      batch[j] = make ("F", "s", "a", std::to_string (i + j), "body");
    ASSERT_TRUE (zm_integration_publish (integration, batch, kBatch));
  }
  for (int i = 0; i < kCount; i++) {
    auto frames = receive (sub);
    ASSERT_EQ (frames.size (), 2u);
    ASSERT_EQ (frames[0], "F~~s~c~a~" + std::to_string (i));
    ASSERT_EQ (frames[1], "body");
  }
  EXPECT_TRUE (nothing (sub));
  EXPECT_EQ (counter ("zmanager_integration_published_total"), kCount);
  EXPECT_EQ (counter ("zmanager_integration_stalls_total"), 0);
}

TEST_F (Integration, SendersFromSeveralThreadsLoseNothing)
{
  config.high_water = 64; /* a ring smaller than a batch: pieces wait for room */
  config.wait_for_slow = TRUE;
  open ();
  void *sub = subscribe ("");
  constexpr int kThreads = 4, kEach = 5000, kBatch = 250;
  std::vector<std::pair<ZmIntegration *, int>> jobs;
  std::vector<GThread *> threads;
  for (int t = 0; t < kThreads; t++)
    jobs.emplace_back (integration, t);
  for (auto &job : jobs)
    threads.push_back (g_thread_new (
        "sender",
        [] (gpointer data) -> gpointer {
          auto *mine = static_cast<std::pair<ZmIntegration *, int> *> (data);
          for (int i = 0; i < kEach; i += kBatch) {
            ZmMessage *batch[kBatch];
            for (int j = 0; j < kBatch; j++)
              batch[j] = make ("F" + std::to_string (mine->second), "s", "a", std::to_string (i + j), "");
            zm_integration_publish (mine->first, batch, kBatch);
          }
          return nullptr;
        },
        &job));
  std::map<std::string, int> next;
  for (int i = 0; i < kThreads * kEach; i++) {
    auto frames = receive (sub);
    ASSERT_EQ (frames.size (), 2u);
    auto flow = frames[0].substr (0, 2);
    ASSERT_EQ (frames[0], flow + "~~s~c~a~" + std::to_string (next[flow]++)) << "in order a sender";
  }
  for (auto *thread : threads)
    g_thread_join (thread);
  EXPECT_TRUE (nothing (sub));
}

TEST_F (Integration, EveryEndpointGetsEverything)
{
  std::string second = endpoint ("second");
  open ({ endpoint (), second, "tcp://localhost:*" });
  const char *const *bound = zm_integration_endpoints (integration);
  ASSERT_NE (bound[2], nullptr);
  EXPECT_EQ (strncmp (bound[2], "tcp://127.0.0.1:", 16), 0) << bound[2];
  void *subs[] = { subscribe ("F~"), subscribe ("F~", second), subscribe ("F~", bound[2]) };
  ZmMessage *kept = make ("F", "s", "a", "1", std::string (1000, 'x'), "{\"a\":1}");
  publish (zm_message_ref (kept));
  publish (make ("F", "s", "a", "2", "two"));
  for (void *sub : subs) {
    auto frames = receive (sub);
    ASSERT_EQ (frames.size (), 3u);
    EXPECT_EQ (frames[1], "{\"a\":1}");
    EXPECT_EQ (frames[2], std::string (1000, 'x'));
    EXPECT_EQ (receive (sub), (std::vector<std::string>{ "F~~s~c~a~2", "two" }));
  }
  EXPECT_EQ (zm_message_body (kept).size, 1000u) << "who holds a reference keeps the whole message";
  zm_message_unref (kept);
}

TEST_F (Integration, KnowsExactlyWhoSubscribes)
{
  open ();
  EXPECT_FALSE (zm_integration_has_subscriber (integration, span ("F~~s~c~a~1")));
  void *one = subscribe ("F~~s~");
  EXPECT_TRUE (zm_integration_has_subscriber (integration, span ("F~~s~c~a~1")));
  EXPECT_FALSE (zm_integration_has_subscriber (integration, span ("F2~~s~c~a~1")));
  EXPECT_FALSE (zm_integration_has_subscriber (integration, span ("F~~"))) << "shorter than the prefix";
  EXPECT_TRUE (zm_integration_has_prefix (integration, span ("F~~s~")));
  EXPECT_FALSE (zm_integration_has_prefix (integration, span ("F~~s~c~")))
      << "a prefix itself, not what it matches";

  /* The same peer twice, another peer once: only when the last has gone is it gone. */
  zmq_setsockopt (one, ZMQ_SUBSCRIBE, "F~~s~", 5);
  ASSERT_TRUE (seen.wait (&Seen::on, "F~~s~", 2));
  void *two = subscribe ("F~~s~");
  EXPECT_EQ (zm_integration_n_subscriptions (integration), 1u);
  zmq_close (one);
  sockets[0] = nullptr;
  void *marker = subscribe ("marker");
  EXPECT_TRUE (zm_integration_has_subscriber (integration, span ("F~~s~c~a~1")))
      << "the second peer is there";
  zmq_setsockopt (two, ZMQ_UNSUBSCRIBE, "F~~s~", 5);
  ASSERT_TRUE (seen.wait (&Seen::off, "F~~s~"));
  EXPECT_FALSE (zm_integration_has_subscriber (integration, span ("F~~s~c~a~1")));
  zmq_close (marker);
  sockets[2] = nullptr;
  ASSERT_TRUE (seen.wait (&Seen::off, "marker")) << "a peer that goes away takes its subscriptions with it";
  EXPECT_EQ (zm_integration_n_subscriptions (integration), 0u);
}

/* Beyond its bound the set cannot answer any more, and somebody must know of it. */
TEST_F (Integration, MoreSubscriptionsThanAreKeptAreTold)
{
  constexpr int kMost = 65536;
  std::string file = directory + "/log", text;
  int fd = ::open (file.c_str (), O_CREAT | O_WRONLY, 0600);
  ASSERT_GE (fd, 0);
  ZmLog *log = zm_log_new (fd, ZM_LOG_FORMAT_HUMAN, ZM_LEVEL_WARNING);
  config.log = log;
  /* Subscriptions are messages too, and libzmq drops them at a high-water mark. */
  config.high_water = 2 * kMost;
  open ();
  g_autoptr (GPtrArray) none = g_ptr_array_new_with_free_func (g_free);
  void *sub = subscribe ("0~");
  for (int i = 1; i < kMost; i++) {
    std::string prefix = std::to_string (i) + "~";
    zmq_setsockopt (sub, ZMQ_SUBSCRIBE, prefix.data (), prefix.size ());
  }
  ASSERT_TRUE (seen.wait (&Seen::on, std::to_string (kMost - 1) + "~"));
  zm_integration_reasons (integration, none);
  EXPECT_EQ (none->len, 0u) << "as many as there may be";
  EXPECT_FALSE (zm_integration_has_subscriber (integration, zm_span_text ("F~~s~c~a~1")));

  for (const char *prefix : { "one~", "two~" }) {
    zmq_setsockopt (sub, ZMQ_SUBSCRIBE, prefix, strlen (prefix));
    ASSERT_TRUE (seen.wait (&Seen::on, prefix));
  }
  g_autoptr (GPtrArray) reasons = g_ptr_array_new_with_free_func (g_free);
  zm_integration_reasons (integration, reasons);
  ASSERT_EQ (reasons->len, 1u);
  text = static_cast<const char *> (reasons->pdata[0]);
  EXPECT_NE (text.find (endpoint ()), std::string::npos) << text;
  EXPECT_NE (text.find ("2 too many"), std::string::npos) << text;
  EXPECT_TRUE (zm_integration_has_subscriber (integration, zm_span_text ("F~~s~c~a~1")));
  EXPECT_EQ (counter ("zmanager_integration_uncounted_total"), 2);
  EXPECT_EQ (zm_integration_n_subscriptions (integration), static_cast<guint> (kMost));
  close (1000);
  zm_log_unref (log);
  ::close (fd);
  g_autofree char *said = nullptr;
  ASSERT_TRUE (g_file_get_contents (file.c_str (), &said, nullptr, nullptr));
  text = said;
  size_t at = text.find ("more than 65536 different prefixes");
  EXPECT_NE (at, std::string::npos) << text;
  EXPECT_EQ (text.find ("more than 65536 different prefixes", at + 1), std::string::npos) << "once";
}

TEST_F (Integration, SubscribersToAllMatchEverything)
{
  open ();
  subscribe ("");
  EXPECT_TRUE (zm_integration_has_subscriber (integration, span ("anything")));
  EXPECT_FALSE (zm_integration_has_prefix (integration, span ("^hello~x")));
}

TEST_F (Integration, SlowSubscriberIsCountedAndCostsTheOthersNothing)
{
  /* libzmq learns now and then only how far a subscriber has read: wide enough that the fast one never seems full. */
  config.high_water = 400;
  open ();
  void *slow = subscribe ("F~", "", 1);
  void *fast = subscribe ("F~");
  constexpr int kCount = 2000, kGroup = 20;
  std::string body (16384, 'x');
  for (int i = 0; i < kCount; i += kGroup) {
    for (int j = 0; j < kGroup; j++)
      publish (make ("F", "s", "a", std::to_string (i + j), body));
    /* The fast one is never behind by more than a group, so only the slow one is ever at its mark. */
    for (int j = 0; j < kGroup; j++) {
      auto frames = receive (fast);
      ASSERT_EQ (frames.size (), 2u);
      ASSERT_EQ (frames[0], "F~~s~c~a~" + std::to_string (i + j));
    }
  }
  EXPECT_GE (counter ("zmanager_integration_stalls_total"), 1);
  char *json = zm_integration_status_json (integration);
  EXPECT_NE (std::string (json).find ("\"stalled\":" +
                                      std::to_string (counter ("zmanager_integration_stalls_total"))),
             std::string::npos)
      << json;
  g_free (json);
  int got = 0;
  while (!nothing (slow))
    got += receive (slow).size () == 2;
  EXPECT_GT (got, 0);
  EXPECT_LT (got, kCount);
}

TEST_F (Integration, WaitForSlowLosesNothing)
{
  config.high_water = 10;
  config.wait_for_slow = TRUE;
  open ();
  void *sub = subscribe ("F~", "", 1);
  constexpr int kCount = 1000;
  std::string body (16384, 'x');
  struct Job {
    ZmIntegration *integration;
    std::string *body;
  } job = { integration, &body };
  GThread *sender = g_thread_new (
      "sender",
      [] (gpointer data) -> gpointer {
        auto *mine = static_cast<Job *> (data);
        for (int i = 0; i < kCount; i++) {
          ZmMessage *message = make ("F", "s", "a", std::to_string (i), *mine->body);
          zm_integration_publish (mine->integration, &message, 1);
        }
        return nullptr;
      },
      &job);
  /* Not read before the publisher has met the mark. */
  gint64 end = g_get_monotonic_time () + kWaitMs * 1000;
  while (counter ("zmanager_integration_stalls_total") == 0 && g_get_monotonic_time () < end)
    g_thread_yield ();
  EXPECT_GE (counter ("zmanager_integration_stalls_total"), 1);
  for (int i = 0; i < kCount; i++)
    ASSERT_EQ (receive (sub)[0], "F~~s~c~a~" + std::to_string (i));
  g_thread_join (sender);
}

TEST_F (Integration, EndsInTimeWithASubscriberThatNeverReads)
{
  config.high_water = 10;
  config.wait_for_slow = TRUE;
  open ();
  subscribe ("F~", "", 1);
  std::string body (65536, 'x');
  gint64 end = g_get_monotonic_time () + kWaitMs * 1000;
  int given = 0;
  while (zm_integration_queued (integration) < 9 && g_get_monotonic_time () < end) {
    publish (make ("F", "s", "a", std::to_string (given++), body));
    g_thread_yield ();
  }
  gint64 before = g_get_monotonic_time ();
  close (50);
  EXPECT_LT (g_get_monotonic_time () - before, 3 * G_USEC_PER_SEC);
  EXPECT_GE (counter ("zmanager_integration_dropped_total"), 1) << "given up is counted";
}

TEST_F (Integration, PublishesWhatItWasGivenBeforeItEnds)
{
  config.high_water = 100000;
  open ();
  void *sub = subscribe ("F~");
  for (int i = 0; i < 5000; i++)
    publish (make ("F", "s", "a", std::to_string (i), "b"));
  close (5000);
  for (int i = 0; i < 5000; i++)
    ASSERT_EQ (receive (sub)[0], "F~~s~c~a~" + std::to_string (i));
}

TEST_F (Integration, NumbersTopicsOfServices)
{
  struct Case {
    const char *headers, *expected;
  } cases[] = {
    { "", "{\"sequence\":1}" },
    { "{}", "{\"sequence\":2}" },
    { "{\"a\":\"b\"}", "{\"sequence\":3,\"a\":\"b\"}" },
    { "{ \"a\": 1 }", "{\"sequence\":4,\"a\": 1 }" },
    { "{\"sequence\":77,\"a\":1}", "{\"sequence\":5,\"a\":1}" },
    { "{\"a\":1,\"sequence\":\"forged\"}", "{\"a\":1,\"sequence\":6}" },
  };
  open ();
  void *sub = subscribe ("");
  zm_integration_number_topic (integration, "F~", TRUE);
  zm_integration_number_topic (integration, "F~", TRUE);
  for (auto &item : cases) {
    publish (make ("F", "s", "a", "1", "body", item.headers));
    auto frames = receive (sub);
    ASSERT_EQ (frames.size (), 3u) << item.headers;
    EXPECT_EQ (frames[0], "F~~s~c~a~1");
    EXPECT_EQ (frames[1], item.expected);
    EXPECT_EQ (frames[2], "body");
  }
  publish (make ("F", "s", "other", "1", ""));
  EXPECT_EQ (receive (sub)[1], "{\"sequence\":1}") << "each topic counts on its own";
  publish (make ("G", "s", "a", "1", ""));
  EXPECT_EQ (receive (sub).size (), 2u) << "not a numbered topic";
  zm_integration_number_topic (integration, "F~", FALSE);
  publish (make ("F", "s", "a", "1", ""));
  EXPECT_EQ (receive (sub)[1], "{\"sequence\":7}") << "one of two holders is left";
  zm_integration_number_topic (integration, "F~", FALSE);
  publish (make ("F", "s", "a", "1", ""));
  EXPECT_EQ (receive (sub).size (), 2u);
}

TEST_F (Integration, SingleFramesForZManager)
{
  config.form = ZM_FRAMES_SINGLE;
  open ();
  void *sub = subscribe ("F~");
  publish (make ("F", "s", "a", "1", "bo~dy", "{\"lost\":1}"));
  EXPECT_EQ (receive (sub), (std::vector<std::string>{ "F~~s~c~a~1~bo~dy" }));
}

TEST_F (Integration, TapSeesEachMessageBeforeItIsSent)
{
  open ();
  std::vector<std::string> tapped;
  ZmPublishTap tap = { [] (ZmMessage *const *messages, guint n, gpointer user) {
                        for (guint i = 0; i < n; i++) {
                          ZmSpan topic = zm_message_topic (messages[i]);
                          static_cast<std::vector<std::string> *> (user)->emplace_back (topic.data,
                                                                                        topic.size);
                        }
                      },
                       &tapped };
  zm_integration_set_tap (integration, &tap);
  for (int i = 0; i < 100; i++)
    publish (make ("F", "s", "a", std::to_string (i), ""));
  close (1000);
  ASSERT_EQ (tapped.size (), 100u);
  EXPECT_EQ (tapped[99], "F~~s~c~a~99");
}

TEST_F (Integration, EmptyBodiesAndLargeOnes)
{
  open ();
  void *sub = subscribe ("");
  for (size_t size : { 0, 1, 33, 34, 4096, 1 << 20 }) {
    publish (make ("", "s", "a", "i", std::string (size, 'b')));
    auto frames = receive (sub);
    ASSERT_EQ (frames.size (), 2u);
    EXPECT_EQ (frames[1].size (), size);
  }
}

/* ---- endpoints ---- */

TEST (Endpoint, Rules)
{
  std::string long_path = "ipc:///" + std::string (200, 'x');
  struct Case {
    const char *text;
    bool multicast;
    const char *normal; /* NULL: refused */
    const char *reason;
  } cases[] = {
    { "ipc:///run/x", false, "ipc:///run/x", "" },
    { "ipc://*", false, "ipc://*", "" },
    { "tcp://127.0.0.1:5555", false, "tcp://127.0.0.1:5555", "" },
    { "tcp://127.8.8.8:*", false, "tcp://127.8.8.8:*", "" },
    { "tcp://localhost:5555", false, "tcp://127.0.0.1:5555", "" },
    { "tcp://[::1]:5555", false, "tcp://[::1]:5555", "" },
    { "tcp://*:5555", false, nullptr, "needs CURVE" },
    { "tcp://0.0.0.0:5555", false, nullptr, "needs CURVE" },
    { "tcp://10.0.0.1:5555", false, nullptr, "needs CURVE" },
    { "tcp://[::]:5555", false, nullptr, "needs CURVE" },
    { "tcp://eth0:5555", false, nullptr, "needs CURVE" },
    { "tcp://127.0.0.1", false, nullptr, "has no port" },
    { "tcp://127.0.0.1:0", false, "tcp://127.0.0.1:0", "" },
    { "tcp://lo:*", false, "tcp://lo:*", "" },
    { "tcp://127.0.0.1:-1", false, nullptr, "1 to 65535" },
    { "tcp://127.0.0.1:65536", false, nullptr, "1 to 65535" },
    { "tcp://127.0.0.1:http", false, nullptr, "1 to 65535" },
    { "tcp://:5555", false, nullptr, "has no port" },
    { "ipc://", false, nullptr, "has no path" },
    { long_path.c_str (), false, nullptr, "shorter directory" },
    { "epgm://eth0;239.1.1.1:5555", false, nullptr, "allow-multicast=yes" },
    { "pgm://eth0;239.1.1.1:5555", false, nullptr, "allow-multicast=yes" },
    { "udp://127.0.0.1:5", false, nullptr, "no endpoint that can be used" },
    { "inproc://x", false, nullptr, "no endpoint that can be used" },
    { "", false, nullptr, "no endpoint that can be used" },
    { "\x01rubbish", false, nullptr, "\\x01rubbish" },
  };
  for (auto &item : cases) {
    ZmSocketRules rules = { "topics", 0, 0, item.multicast };
    GError *error = nullptr;
    char *normal = zm_endpoint_normal (item.text, &rules, &error);
    if (item.normal != nullptr) {
      ASSERT_NE (normal, nullptr) << item.text << ": " << error->message;
      EXPECT_STREQ (normal, item.normal);
    } else {
      ASSERT_EQ (normal, nullptr) << item.text;
      EXPECT_NE (strstr (error->message, item.reason), nullptr) << item.text << ": " << error->message;
      EXPECT_EQ (strncmp (error->message, "topics: ", 8), 0) << error->message;
      g_error_free (error);
    }
    g_free (normal);
  }
}

TEST (Endpoint, MulticastNeedsALibzmqThatHasIt)
{
  ZmSocketRules rules = { "topics", 0, 0, TRUE };
  GError *error = nullptr;
  char *normal = zm_endpoint_normal ("epgm://127.0.0.1;239.192.1.1:5555", &rules, &error);
  if (zmq_has ("pgm")) {
    EXPECT_STREQ (normal, "epgm://127.0.0.1;239.192.1.1:5555");
  } else {
    ASSERT_NE (error, nullptr);
    EXPECT_NE (strstr (error->message, "without pgm"), nullptr) << error->message;
    g_error_free (error);
  }
  g_free (normal);
}

TEST_F (Integration, SaysWhyAnEndpointCannotBeBound)
{
  GError *error = nullptr;
  const char *bind[] = { "ipc:///no/such/directory/topics", nullptr };
  config.zmq = zmq;
  config.bind = bind;
  config.metrics = metrics;
  EXPECT_EQ (zm_integration_new (&config, &error), nullptr);
  ASSERT_NE (error, nullptr);
  EXPECT_NE (strstr (error->message, "ipc:///no/such/directory/topics"), nullptr) << error->message;
  EXPECT_NE (strstr (error->message, "make its directory"), nullptr) << error->message;
  g_error_free (error);
}

/* Publishes over multicast of the loopback interface until one message has come. 0: it came, 77: this machine has no
 * multicast there. In a process of its own, because libzmq ends the process where OpenPGM finds no interface. */
int
multicast_once ()
{
  static const char endpoint[] = "epgm://127.0.0.1;239.192.77.1:5577";
  const char *bind[] = { endpoint, nullptr };
  ZmIntegrationConfig config{};
  config.zmq = zmq_ctx_new ();
  config.bind = bind;
  config.allow_multicast = TRUE;
  config.metrics = zm_metrics_new ();
  void *sub = zmq_socket (config.zmq, ZMQ_SUB);
  zmq_setsockopt (sub, ZMQ_SUBSCRIBE, "F~", 2);
  ZmIntegration *integration = zm_integration_new (&config, nullptr);
  if (integration == nullptr || zmq_connect (sub, endpoint) != 0)
    return 1;
  if (!zm_integration_has_subscriber (integration, span ("F~~s~c~a~1")))
    return 2;
  zmq_pollitem_t item = { sub, 0, ZMQ_POLLIN, 0 };
  for (int i = 0; i < 100; i++) {
    ZmMessage *message = make ("F", "s", "a", std::to_string (i), "multicast");
    zm_integration_publish (integration, &message, 1);
    if (zmq_poll (&item, 1, 50) > 0)
      return 0;
  }
  return 77;
}

TEST (Multicast, ReachesSubscribersThatNobodyKnowsOf)
{
  if (!zmq_has ("pgm"))
    GTEST_SKIP () << "this libzmq has no pgm";
  pid_t child = fork ();
  ASSERT_GE (child, 0);
  if (child == 0) {
    /* OpenPGM writes warnings about the loopback interface. */
    if (freopen ("/dev/null", "w", stdout) == nullptr || freopen ("/dev/null", "w", stderr) == nullptr)
      _exit (1);
    _exit (multicast_once ());
  }
  int status = 0;
  ASSERT_EQ (waitpid (child, &status, 0), child);
  if (!WIFEXITED (status) || WEXITSTATUS (status) == 77)
    GTEST_SKIP () << "no multicast on the loopback interface here";
  EXPECT_EQ (WEXITSTATUS (status), 0);
}

/* ---- the set of prefixes ---- */

TEST (Prefixes, MatchAndBounds)
{
  ZmPrefixes *set = zm_prefixes_new (3);
  EXPECT_FALSE (zm_prefixes_match (set, span ("x")));
  EXPECT_TRUE (zm_prefixes_put (set, span ("abc")));
  EXPECT_FALSE (zm_prefixes_put (set, span ("abc"))) << "a member already";
  EXPECT_TRUE (zm_prefixes_hold (set, span ("ab")));
  EXPECT_FALSE (zm_prefixes_hold (set, span ("ab")));
  EXPECT_TRUE (zm_prefixes_match (set, span ("abd")));
  EXPECT_FALSE (zm_prefixes_drop (set, span ("ab")));
  EXPECT_TRUE (zm_prefixes_drop (set, span ("ab")));
  EXPECT_FALSE (zm_prefixes_match (set, span ("abd")));
  EXPECT_TRUE (zm_prefixes_match (set, span ("abc")));
  EXPECT_FALSE (zm_prefixes_match (set, span ("ab")));
  EXPECT_TRUE (zm_prefixes_put (set, span ("")));
  EXPECT_TRUE (zm_prefixes_match (set, span ("")));
  EXPECT_TRUE (zm_prefixes_drop (set, span ("")));
  EXPECT_FALSE (zm_prefixes_drop (set, span (""))) << "not a member";
  EXPECT_FALSE (zm_prefixes_put (set, span (std::string (ZM_KEY_MOST + 1, 'x')))) << "longer than any topic";
  EXPECT_EQ (zm_prefixes_lost (set), 0u);
  zm_prefixes_put (set, span ("1"));
  zm_prefixes_put (set, span ("2"));
  EXPECT_FALSE (zm_prefixes_put (set, span ("3"))) << "full";
  EXPECT_EQ (zm_prefixes_lost (set), 1u);
  EXPECT_TRUE (zm_prefixes_match (set, span ("3")))
      << "the safe side: whoever could not be stored may want it";
  zm_prefixes_free (set);
}

} // namespace
