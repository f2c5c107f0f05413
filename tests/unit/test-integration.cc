/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The Integration Manager: what is published, to whom, and how it ends. */
#include "integration-fixture.h"

#include <atomic>
#include <thread>

using namespace integration_test;

namespace {

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
  /* Many may be queued just because the publisher had no time yet: it has to stand before the subscriber. */
  while ((zm_integration_queued (integration) < 9 || counter ("zmanager_integration_stalls_total") < 1) &&
         g_get_monotonic_time () < end) {
    if (zm_integration_queued (integration) < 9)
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

TEST_F (Integration, NumbersNobodyAsksForMakeRoomForOthers)
{
  open ();
  void *last = subscribe ("F~~s~c~last"), *other = subscribe ("G~");
  zm_integration_number_topic (integration, "F~", TRUE);
  for (int i = 0; i < 65536; i++)
    publish (make ("F", "s", ("a" + std::to_string (i)).c_str (), "1", ""));
  publish (make ("F", "s", "last", "1", ""));
  EXPECT_EQ (receive (last).size (), 2u) << "over the bound";
  zm_integration_number_topic (integration, "G~", TRUE);
  zm_integration_number_topic (integration, "F~", FALSE);
  publish (make ("G", "s", "a", "1", ""));
  auto frames = receive (other);
  ASSERT_EQ (frames.size (), 3u);
  EXPECT_EQ (frames[1], "{\"sequence\":1}");
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

/* Who waits for room behind a subscriber that never reads comes back, and what it could not give is counted. */
TEST_F (Integration, ClosingLetsGoWhoWaitsForRoom)
{
  config.wait_for_slow = TRUE;
  config.high_water = 1;
  open ();
  subscribe ("");
  std::atomic<int> given{ 0 };
  std::thread publisher ([&] {
    for (;;) {
      ZmMessage *message = make ("", "s", "a", "i", std::string (1000, 'b'));
      if (!zm_integration_publish (integration, &message, 1))
        return;
      given++;
    }
  });
  /* Full where the number stands still: subscriber, system and ring together take a bounded number. */
  for (int before = -1; before != given;) {
    before = given;
    g_usleep (200000);
  }
  zm_integration_close (integration);
  publisher.join ();
  EXPECT_EQ (counter ("zmanager_integration_dropped_total"), 1);
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

} // namespace
