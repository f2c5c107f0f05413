/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Consumers with a scripted target: each end of an attempt, order, bounds, fairness, restarts, stores that fail, replay. */
#include "delivery-fixture.hh"

#include <algorithm>
#include <set>

using namespace delivery_test;

namespace {

std::vector<std::string>
numbers (int n)
{
  std::vector<std::string> all;
  for (int i = 0; i < n; i++)
    all.push_back (std::to_string (i));
  return all;
}

ZmMessage *
result (const char *context, const char *body)
{
  ZmKey key = {};
  key.context = zm_span_text (context);
  key.action = zm_span_text ("Wanted");
  return zm_message_new (zm_span (nullptr, 0), &key, zm_span_text ("id"), zm_span (nullptr, 0),
                         zm_span_text (body));
}

TEST_F (DeliveryTest, DeliveredLeavesTheQueue)
{
  consume ("work");
  auto ids = put ("work", { "a" }, "{\"h\":1}");
  Seen one = nth (0);
  EXPECT_EQ (one.body, "a");
  EXPECT_EQ (one.number, 1u);
  EXPECT_EQ (one.id, ids[0]);
  EXPECT_EQ (std::string (one.attempt->stored.headers.data, one.attempt->stored.headers.size), "{\"h\":1}");
  EXPECT_EQ (list ("work").bodies.size (), 1u) << "in flight it is still there";
  end (one, ZM_DELIVERED);
  settle ();
  EXPECT_TRUE (list ("work").bodies.empty ());
  EXPECT_EQ (count (), 1u);
}

TEST_F (DeliveryTest, RetriesFollowThePolicyAndKeepTheId)
{
  consume ("work", R"({"immediate": 1, "pre": {"n": 2, "delay": 10}})");
  auto ids = put ("work", { "a" });
  end (nth (0), ZM_DELIVERY_RETRY, "one");
  Seen second_try = nth (1);
  EXPECT_EQ (second_try.number, 2u);
  EXPECT_EQ (second_try.id, ids[0]);
  EXPECT_EQ (second_try.body, "a") << "read back";
  end (second_try, ZM_DELIVERY_RETRY, "two");
  settle ();
  pass (10 * second - 1);
  EXPECT_EQ (count (), 2u) << "not before its time";
  pass (1);
  EXPECT_EQ (nth (2).number, 3u);
  end (nth (2), ZM_DELIVERED);
  settle ();
  EXPECT_TRUE (list ("work").bodies.empty ());
  EXPECT_TRUE (std::none_of (fake.documents.begin (), fake.documents.end (), [] (const auto &entry) {
    return entry.first.first == "retry";
  })) << "its document is gone";
}

TEST_F (DeliveryTest, ClockJumpsNeitherBurstNorStall)
{
  consume ("work", R"({"pre": {"n": 5, "delay": 60}})");
  put ("work", { "a" });
  end (nth (0), ZM_DELIVERY_RETRY);
  settle ();
  wall += day;
  zm_delivery_wake (delivery);
  settle ();
  EXPECT_EQ (count (), 1u) << "no burst";
  wall -= 2 * day;
  pass (60 * second);
  EXPECT_EQ (nth (1).number, 2u) << "no stall";
}

TEST_F (DeliveryTest, AfterIsHonouredUpToTheLongestDelay)
{
  consume ("work", R"({"pre": {"n": 2, "delay": 1}, "post": {"n": 1, "delay": 100}})");
  put ("work", { "a" });
  end (nth (0), ZM_DELIVERY_RETRY, "busy", 50000);
  settle ();
  pass (49 * second);
  EXPECT_EQ (count (), 1u);
  pass (second);
  end (nth (1), ZM_DELIVERY_RETRY, "busy", 86400000);
  settle ();
  pass (100 * second);
  EXPECT_EQ (nth (2).number, 3u);
}

TEST_F (DeliveryTest, DeadAfterTheLastWithHistory)
{
  consume ("work", R"({"immediate": 2})");
  auto ids = put ("work", { "a" }, "{\"own\":\"header\"}");
  end (nth (0), ZM_DELIVERY_RETRY, "first");
  end (nth (1), ZM_DELIVERY_RETRY, "second");
  end (nth (2), ZM_DELIVERY_RETRY, "third");
  settle ();
  EXPECT_TRUE (list ("work").bodies.empty ());
  Answer dead = list ("work.dead");
  ASSERT_EQ (dead.bodies, std::vector<std::string>{ "a" });
  const std::string &headers = dead.headers[0];
  for (const char *part : { "\"code\":\"third\"", "\"text\":\"because\"", "\"attempts\":3",
                            "\"queue\":\"work\"", "\"own\":\"header\"", "\"first\"", "\"second\"" })
    EXPECT_NE (headers.find (part), std::string::npos) << part << " in " << headers;
  EXPECT_NE (headers.find (ids[0]), std::string::npos) << headers;
  EXPECT_TRUE (zm_json_valid (zm_span (headers.data (), headers.size ()))) << headers;
  EXPECT_LT (headers.find ("\"first\",\"text\""), headers.find ("\"second\",\"text\"")) << headers;
}

TEST_F (DeliveryTest, RejectIsDeadAtOnce)
{
  consume ("work", R"({"immediate": 9})");
  put ("work", { "a" });
  end (nth (0), ZM_DELIVERY_REJECT, "no");
  settle ();
  EXPECT_EQ (list ("work.dead").bodies, std::vector<std::string>{ "a" });
  EXPECT_EQ (count (), 1u);
}

TEST_F (DeliveryTest, TooOldIsDead)
{
  wall = zm_wall_us ();
  consume ("work", R"({"pre": {"n": 100, "delay": 30}, "max_age": 45})");
  put ("work", { "a" });
  end (nth (0), ZM_DELIVERY_RETRY, "one");
  settle ();
  pass (30 * second);
  end (nth (1), ZM_DELIVERY_RETRY, "two");
  settle ();
  EXPECT_EQ (list ("work.dead").bodies.size (), 1u);
}

TEST_F (DeliveryTest, HistoryIsBounded)
{
  consume ("work", R"({"immediate": 50})");
  put ("work", { "a" });
  for (guint i = 0; i <= 50; i++)
    end (nth (i), ZM_DELIVERY_RETRY, ("code" + std::to_string (i)).c_str ());
  settle ();
  std::string headers = list ("work.dead").headers.at (0);
  size_t entries = 0;
  for (size_t at = 0; (at = headers.find ("{\"at\":", at)) != std::string::npos; at++)
    entries++;
  EXPECT_EQ (entries, 20u);
  EXPECT_EQ (headers.find ("code30\""), std::string::npos) << "the oldest go";
  EXPECT_NE (headers.find ("code31\""), std::string::npos);
}

TEST_F (DeliveryTest, ReplayPutsBackWithANewCount)
{
  consume ("work");
  put ("work", { "a", "b" }, "{\"own\":\"header\"}");
  for (int i = 0; i < 2; i++)
    end (nth (i), ZM_DELIVERY_REJECT, "no");
  settle ();
  put ("work.dead", { "no letter" });
  Answer dead = list ("work.dead");
  ASSERT_EQ (dead.ids.size (), 3u);
  EXPECT_EQ (replay ("work.dead", { dead.ids[1] }).n, 1u);
  EXPECT_EQ (nth (2).body, "b");
  EXPECT_EQ (nth (2).number, 1u);
  EXPECT_EQ (std::string (nth (2).attempt->stored.headers.data, nth (2).attempt->stored.headers.size),
             "{\"own\":\"header\"}");
  EXPECT_EQ (replay ("work.dead").n, 1u);
  EXPECT_EQ (nth (3).body, "a");
  EXPECT_EQ (list ("work.dead").bodies, std::vector<std::string>{ "no letter" });
}

TEST_F (DeliveryTest, ReplayOfManyGoesPageByPage)
{
  consume ("work", "{}", 64);
  put ("work", numbers (200));
  for (int i = 0; i < 200; i++)
    end (nth (i), ZM_DELIVERY_REJECT);
  settle ();
  ASSERT_EQ (list ("work.dead").bodies.size (), 200u);
  EXPECT_EQ (replay ("work.dead").n, 200u);
  EXPECT_TRUE (list ("work.dead").bodies.empty ());
}

TEST_F (DeliveryTest, OneAtATimeKeepsTheOrder)
{
  consume ("work", "{}", 1);
  put ("work", numbers (100));
  for (int i = 0; i < 100; i++) {
    Seen one = nth (i);
    EXPECT_EQ (one.body, std::to_string (i));
    EXPECT_EQ (count (), (size_t) i + 1) << "one in flight";
    end (one, ZM_DELIVERED);
  }
}

TEST_F (DeliveryTest, StrictlyAFailingHeadHoldsUpAllBehindIt)
{
  const char *policy = R"({"immediate": 1, "pre": {"n": 2, "delay": 60}})";
  std::vector<std::string> order;
  for (bool consumes : { true, false }) {
    const char *queue = consumes ? "work" : "log";
    size_t n = count ();
    auto next = [&] (ZmVerdict verdict) {
      Seen one = nth (n++);
      EXPECT_EQ (count (), n) << "nothing beside it";
      end (one, verdict);
      settle ();
      return one.body + std::to_string (one.number);
    };
    consume (queue, policy, 1, consumes, 0, true);
    put (queue, { "a", "b", "c", "d" });
    EXPECT_EQ (next (ZM_DELIVERED), "a1");
    EXPECT_EQ (next (ZM_DELIVERY_RETRY), "b1");
    EXPECT_EQ (next (ZM_DELIVERY_RETRY), "b2");
    EXPECT_EQ (count (), n) << "it waits, and so do all";
    pass (60 * second);
    EXPECT_EQ (next (ZM_DELIVERY_RETRY), "b3");
    reopen ();
    n = 0;
    consume (queue, policy, 1, consumes, 0, true);
    settle ();
    EXPECT_EQ (count (), 0u) << "also after a restart";
    pass (60 * second);
    EXPECT_EQ (next (ZM_DELIVERY_BACK), "b4");
    EXPECT_EQ (count (), n) << "what was given back holds them up as well";
    pass (second);
    EXPECT_EQ (next (ZM_DELIVERY_RETRY), "b4") << "the last: it is dead";
    EXPECT_EQ (next (ZM_DELIVERED), "c1");
    EXPECT_EQ (next (ZM_DELIVERED), "d1");
  }
}

TEST_F (DeliveryTest, ConcurrencyIsABound)
{
  consume ("work", "{}", 5);
  put ("work", numbers (50));
  nth (4);
  settle ();
  EXPECT_EQ (count (), 5u);
  end (nth (2), ZM_DELIVERED);
  nth (5);
  settle ();
  EXPECT_EQ (count (), 6u);
}

TEST_F (DeliveryTest, ABusyTargetIsAskedAgain)
{
  busy = true;
  ZmConsumer *consumer = consume ("work");
  put ("work", { "a" });
  ASSERT_TRUE (until ([&] { return refused > 0; }));
  settle ();
  EXPECT_EQ (refused, 1u) << "not again before it says so";
  {
    std::lock_guard<std::mutex> guard (lock);
    busy = false;
  }
  zm_delivery_again (consumer);
  EXPECT_EQ (nth (0).number, 1u);
}

TEST_F (DeliveryTest, GivenBackIsNoAttempt)
{
  consume ("work", "{}");
  put ("work", { "a" });
  end (nth (0), ZM_DELIVERY_BACK);
  settle ();
  pass (second);
  EXPECT_EQ (nth (1).number, 1u);
  EXPECT_TRUE (list ("work.dead").bodies.empty ());
}

TEST_F (DeliveryTest, ConsumersTakeTurns)
{
  busy = true;
  ZmPut none = {};

  none.ttl_s = none.delay_s = -1;
  ZmConsumer *much = consume ("much", "{}", 1000), *little = consume ("little", "{}", 1000);
  put ("much", numbers (60));
  put ("little", { "x", "y" });
  ASSERT_TRUE (until ([&] { return refused >= 2; }));
  settle ();
  {
    std::lock_guard<std::mutex> guard (lock);
    busy = false;
  }
  /* While the store's thread writes, both are said: it finds them together. */
  fake.hold ();
  zm_queue_put (
      queues, ZmQueueName{ {}, ZM_SPAN_LITERAL ("other") }, &none, 1,
      [] (const ZmQueueAnswer *, const GError *, gpointer) {}, nullptr);
  fake.wait_writing ();
  zm_delivery_again (much);
  zm_delivery_again (little);
  fake.let_go ();
  nth (61);
  std::lock_guard<std::mutex> guard (lock);
  for (size_t i = 0; i < 6; i++)
    if (seen[i].consumer == "little")
      return;
  FAIL () << "the long queue went first";
}

TEST_F (DeliveryTest, ResultsAreAppendedWithTheEndAndThenPublished)
{
  consume ("work", R"({"immediate": 1})");
  put ("work", { "a", "b" });
  ZmMessage *wanted = result ("Result", "wanted"), *failure = result ("Result", "failure");
  end (nth (0), ZM_DELIVERED, nullptr, -1, { wanted });
  ASSERT_TRUE (until ([&] { return published.size () == 1; }));
  EXPECT_EQ (published[0], "wanted");
  end (nth (1), ZM_DELIVERY_RETRY, "x", -1, { failure });
  nth (2);
  EXPECT_EQ (published.size (), 1u) << "an attempt that comes again has no result";
  end (nth (2), ZM_DELIVERY_RETRY, "x", -1, { failure });
  ASSERT_TRUE (until ([&] { return published.size () == 2; }));
  EXPECT_EQ (list ("bound").bodies, (std::vector<std::string>{ "wanted", "failure" }));
  zm_message_unref (wanted);
  zm_message_unref (failure);
}

TEST_F (DeliveryTest, AFailedWriteIsSaidAgainAndPublishesNothingBefore)
{
  consume ("work");
  put ("work", { "a" });
  ZmMessage *wanted = result ("Result", "wanted");
  fake.fail_next ({ ZM_E_AGAIN });
  fake.always = ZM_E_AGAIN;
  end (nth (0), ZM_DELIVERED, nullptr, -1, { wanted });
  {
    std::unique_lock<std::mutex> guard (fake.lock);
    int writes = fake.writes;
    ASSERT_TRUE (fake.changed.wait_for (guard, std::chrono::seconds (20),
                                        [&] { return fake.writes > writes || fake.writing; }));
    EXPECT_TRUE (published.empty ());
    fake.script.clear ();
    fake.always = ZM_OK;
  }
  ASSERT_TRUE (until ([&] { return published.size () == 1; }));
  settle ();
  EXPECT_TRUE (list ("work").bodies.empty ());
  EXPECT_EQ (list ("bound").bodies, std::vector<std::string>{ "wanted" }) << "once";
  zm_message_unref (wanted);
}

TEST_F (DeliveryTest, RestartOffersAllThatHasNotEnded)
{
  consume ("work", R"({"pre": {"n": 3, "delay": 60}})");
  auto ids = put ("work", { "in flight", "waits", "done" });
  nth (2);
  end (nth (1), ZM_DELIVERY_RETRY, "one");
  end (nth (2), ZM_DELIVERED);
  settle ();
  reopen ();
  consume ("work", R"({"pre": {"n": 3, "delay": 60}})");
  Seen again = nth (0);
  EXPECT_EQ (again.body, "in flight");
  EXPECT_EQ (again.id, ids[0]);
  EXPECT_EQ (again.number, 1u);
  settle ();
  EXPECT_EQ (count (), 1u) << "the other waits on";
  pass (60 * second);
  EXPECT_EQ (nth (1).body, "waits");
  EXPECT_EQ (nth (1).number, 2u);
  EXPECT_EQ (nth (1).id, ids[1]);
  end (nth (0), ZM_DELIVERED);
  end (nth (1), ZM_DELIVERED);
  settle ();
  EXPECT_TRUE (list ("work").bodies.empty ());
}

TEST_F (DeliveryTest, ACursorWhereMessagesStay)
{
  consume ("log", R"({"pre": {"n": 3, "delay": 60}})", 8, false);
  put ("log", { "a", "b", "c" });
  nth (2);
  for (int i = 0; i < 3; i++)
    end (nth (i), i == 1 ? ZM_DELIVERY_RETRY : ZM_DELIVERED);
  settle ();
  EXPECT_EQ (list ("log").bodies.size (), 3u) << "they stay for others";
  now += 2 * second;
  put ("log", { "d" });
  end (nth (3), ZM_DELIVERED);
  settle ();
  reopen ();
  consume ("log", R"({"pre": {"n": 3, "delay": 60}})", 8, false);
  pass (60 * second);
  std::multiset<std::string> bodies;
  settle ();
  for (const Seen &one : seen)
    bodies.insert (one.body);
  EXPECT_EQ (bodies.count ("b"), 1u) << "by its document";
  EXPECT_EQ (bodies.count ("a") + bodies.count ("c"), 0u) << "the cursor is past them";
}

TEST_F (DeliveryTest, TooManyThatWaitHoldUpNewOnes)
{
  consume ("work", R"({"pre": {"n": 3, "delay": 60}})", 1, true, 2);
  put ("work", numbers (4));
  end (nth (0), ZM_DELIVERY_RETRY);
  end (nth (1), ZM_DELIVERY_RETRY);
  settle ();
  EXPECT_EQ (count (), 2u);
  pass (60 * second);
  EXPECT_EQ (nth (2).number, 2u);
  end (nth (2), ZM_DELIVERED);
  end (nth (3), ZM_DELIVERED);
  EXPECT_EQ (nth (4).body, "2");
}

TEST_F (DeliveryTest, WhatIsOverMeanwhileIsCountedAndForgotten)
{
  consume ("work", R"({"pre": {"n": 3, "delay": 60}})");
  put ("work", { "a" });
  end (nth (0), ZM_DELIVERY_RETRY);
  settle ();
  wall = zm_wall_us () + 30 * day;
  pass (60 * second);
  EXPECT_TRUE (settles_gone (1));
  EXPECT_EQ (count (), 1u);
}

TEST_F (DeliveryTest, WhatTheRuntimeAcceptedWaitsForItsRetryHoweverLong)
{
  settings = { "zaqar.default_message_ttl=60" };
  queues_move = true;
  reopen ();
  consume ("^sends", R"({"pre": {"n": 1, "delay": 7200}})");
  put ("^sends", { "a" });
  put ("used", { "b" });
  end (nth (0), ZM_DELIVERY_RETRY);
  settle ();
  pass (5400 * second);
  EXPECT_EQ (list ("^sends").bodies, std::vector<std::string>{ "a" });
  EXPECT_TRUE (list ("used").bodies.empty ()) << "a queue made by use has the standard of [zaqar]";
  pass (1800 * second);
  EXPECT_EQ (nth (1).number, 2u);
  end (nth (1), ZM_DELIVERED);
  settle ();
  EXPECT_TRUE (list ("^sends").bodies.empty ());
  EXPECT_TRUE (settles_gone (0));
}

TEST_F (DeliveryTest, DeadLettersAreKeptFourteenDays)
{
  settings = { "zaqar.default_message_ttl=60" };
  queues_move = true;
  reopen ();
  consume ("used");
  put ("used", { "a" });
  end (nth (0), ZM_DELIVERY_REJECT, "no");
  settle ();
  pass (7200 * second);
  EXPECT_EQ (list ("used.dead").bodies, std::vector<std::string>{ "a" });
  pass (13 * day);
  EXPECT_EQ (list ("used.dead").bodies, std::vector<std::string>{ "a" });
  pass (day);
  EXPECT_TRUE (list ("used.dead").bodies.empty ());
}

/* What is set up stands above the fourteen days: of the queue that they go to, and of the one that they come from. */
TEST_F (DeliveryTest, DeadLettersAreKeptAsTheirQueueSays)
{
  settings = { "zaqar.default_message_ttl=60", "queue work.dead.ttl=1d" };
  queues_move = true;
  reopen ();
  ask ([&] (Answer *answer) {
    zm_queue_create (queues, ZmQueueName{ {}, ZM_SPAN_LITERAL ("other") },
                     ZM_SPAN_LITERAL ("{\"_dead_letter_queue_messages_ttl\":3000}"), answered, answer);
  });
  consume ("work");
  consume ("other");
  put ("work", { "a" });
  end (nth (0), ZM_DELIVERY_REJECT, "no");
  put ("other", { "b" });
  end (nth (1), ZM_DELIVERY_REJECT, "no");
  settle ();
  pass (2900 * second);
  EXPECT_EQ (list ("other.dead").bodies, std::vector<std::string>{ "b" });
  pass (200 * second);
  EXPECT_TRUE (list ("other.dead").bodies.empty ());
  EXPECT_EQ (list ("work.dead").bodies, std::vector<std::string>{ "a" });
  pass (day);
  EXPECT_TRUE (list ("work.dead").bodies.empty ());
}

TEST_F (DeliveryTest, WhatIsPurgedMeanwhileIsCountedAndForgotten)
{
  for (bool consumes : { true, false }) {
    const char *queue = consumes ? "work" : "log";
    size_t before = count ();
    consume (queue, R"({"pre": {"n": 3, "delay": 60}})", 2, consumes);
    put (queue, { "a", "b", "c" });
    end (nth (before), ZM_DELIVERY_RETRY);
    nth (before + 2);
    settle ();
    purge (queue);
    put (queue, { "d" });
    end (nth (before + 1), ZM_DELIVERED);
    end (nth (before + 2), ZM_DELIVERY_RETRY);
    EXPECT_EQ (nth (before + 3).body, "d");
    end (nth (before + 3), ZM_DELIVERED);
    pass (60 * second);
    EXPECT_TRUE (settles ([&] { return retry_documents () == 0; }));
    EXPECT_TRUE (settles_gone (2));
    EXPECT_EQ (count (), before + 4) << "neither the one that waited, nor the one that failed afterwards";
  }
}

TEST_F (DeliveryTest, WhatIsDeletedMeanwhileIsStillDelivered)
{
  consume ("work", R"({"pre": {"n": 3, "delay": 60}})");
  auto ids = put ("work", { "a" });
  end (nth (0), ZM_DELIVERY_RETRY);
  settle ();
  remove ("work", ids[0]);
  EXPECT_TRUE (list ("work").bodies.empty ());
  pass (60 * second);
  EXPECT_EQ (nth (1).body, "a") << "it was accepted before";
  end (nth (1), ZM_DELIVERED);
  settle ();
  std::lock_guard<std::mutex> guard (fake.lock);
  EXPECT_TRUE (std::none_of (fake.documents.begin (), fake.documents.end (),
                             [] (const auto &entry) { return entry.first.first == "retry"; }));
}

TEST_F (DeliveryTest, AConsumerThatGoesEndsWhatItHas)
{
  ZmConsumer *consumer = consume ("work", "{}", 1);
  put ("work", { "a", "b" });
  nth (0);
  std::atomic<bool> gone{ false };
  zm_consumer_free (
      consumer, [] (gpointer user) { *static_cast<std::atomic<bool> *> (user) = true; }, &gone);
  settle ();
  EXPECT_FALSE (gone);
  end (nth (0), ZM_DELIVERED);
  settle ();
  EXPECT_TRUE (gone);
  EXPECT_EQ (count (), 1u);
  EXPECT_EQ (list ("work").bodies, std::vector<std::string>{ "b" });
}

TEST_F (DeliveryTest, CloseStartsNothingAndWaitsForWhatIsInFlight)
{
  consume ("work", "{}", 1);
  put ("work", { "a", "b" });
  Seen one = nth (0);
  EXPECT_EQ (zm_delivery_close (delivery, zm_now_us () + 1000), 1u);
  end (one, ZM_DELIVERED);
  EXPECT_EQ (zm_delivery_close (delivery, zm_now_us () + 20 * second), 0u);
  settle ();
  EXPECT_EQ (count (), 1u);
  EXPECT_EQ (list ("work").bodies, std::vector<std::string>{ "b" });
}

} // namespace
