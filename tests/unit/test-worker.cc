/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The worker room: outcomes of actions, flows, threads. */
#include "sanitizers.h"
#include "worker-fixture.h"

namespace {

/* ---- outcomes of an action, outside a flow ---- */

struct Outcome {
  const char *key, *topic, *body;
};

class Outcomes : public Worker, public ::testing::WithParamInterface<Outcome> {};

TEST_P (Outcomes, EndInOnePublication)
{
  begin ((std::string (all_mappings) +
          "[action ?T?defer_never]\ntimeout = 50ms\n[action ?T?hang]\ntimeout = 50ms\n")
             .c_str ());
  Out got = one (GetParam ().key, "body");
  EXPECT_EQ (got.topic, GetParam ().topic);
  EXPECT_NE (got.body.find (GetParam ().body), std::string::npos) << got.body;
  zm_pool_drain (pool, zm_now_us () + 5 * G_USEC_PER_SEC);
  EXPECT_EQ (out.size (), 1u);
}

INSTANTIATE_TEST_SUITE_P (
    Table, Outcomes,
    ::testing::Values (Outcome{ "?T?echo", "~~tester~T~echo~i1", "body" },
                       Outcome{ "?T?serial", "~~tester~T~serial~i1", "body" },
                       Outcome{ "Me?T?echo", "~~tester~T~echo~i1", "body" },
                       Outcome{ "?T?json", "~~tester~T~json~i1", "{\"n\":1}" },
                       Outcome{ "?T?reject", "~~~~error~i1", "\"code\":\"rejected\"" },
                       Outcome{ "?T?retry", "~~~~error~i1", "\"code\":\"retry\"" },
                       Outcome{ "?T?nonsense", "~~~~error~i1", "\"code\":\"bad-status\"" },
                       Outcome{ "?T?failing", "~~~~error~i1",
                                "{\"code\":\"broken\",\"text\":\"it "
                                "broke\",\"key\":\"?T?failing\",\"step\":\"\",\"plugin\":\"tester\"}" },
                       Outcome{ "?T?unknown", "~~~~error~i1", "\"code\":\"unmapped\"" },
                       Outcome{ "?T?forge", "~~tester~T~forge~i1", "refused" },
                       Outcome{ "?T?go_on", "~~tester~T~go_on~i1", "body1b" },
                       Outcome{ "?T?go_round", "~~~~error~i1", "\"code\":\"loop\"" },
                       Outcome{ "?T?go_out", "~~~Nobody~Maps~i1", "body2" },
                       Outcome{ "?T?own_key", "~~Own~Result~Key~i1", "own" },
                       Outcome{ "?T?defer", "~~tester~T~defer~i1", "body" },
                       Outcome{ "?T?defer_at_once", "~~tester~T~defer_at_once~i1", "early" },
                       Outcome{ "?T?defer_never", "~~~~error~i1", "\"code\":\"timeout\"" },
                       Outcome{ "?T?defer_not", "~~~~error~i1", "without zm_call_defer" },
                       Outcome{ "?T?defer_and_ok", "~~~~error~i1", "did not return ZM_DEFERRED" },
                       Outcome{ "?T?defer_twice", "~~tester~T~defer_twice~i1", "first" },
                       Outcome{ "?T?hang", "~~~~error~i1", "\"code\":\"timeout\"" }),
    [] (const auto &info) {
      std::string name = info.param.key;
      std::string clean;
      for (char c : name)
        if (g_ascii_isalnum (c))
          clean += c;
      return clean;
    });

/* So many that batches are looked ahead in; the last 200 keys are in no mapping. */
TEST_F (Worker, ALargeTable)
{
  std::string mappings = "[actionmapping]\n";
  for (int i = 0; i < 2000; i++)
    mappings += "S?C" + std::to_string (i) + "?act = tester." + (i % 10 ? "echo" : "serial_echo") + "\n";
  begin (mappings.c_str ());
  for (int i = 0; i < 2200; i++)
    send (("S?C" + std::to_string (i) + "?act").c_str (), std::to_string (i));
  auto all = wait (2200);
  std::set<std::string> bodies;
  size_t unmapped = 0;
  for (const auto &one : all) {
    if (one.body.find ("unmapped") != std::string::npos)
      unmapped++;
    else
      bodies.insert (one.body);
  }
  EXPECT_EQ (bodies.size (), 2000u);
  EXPECT_EQ (unmapped, 200u);
}

TEST_F (Worker, SilentActionPublishesNothingAndAnswersItsCaller)
{
  begin (all_mappings);
  send ("?T?silent", "x", "", "i1", 7);
  EXPECT_EQ (wait_reply (7).first, ZM_OK);
  zm_pool_drain (pool, zm_now_us () + 5 * G_USEC_PER_SEC);
  EXPECT_TRUE (out.empty ());
}

TEST_F (Worker, CallerGetsResultAndError)
{
  begin (all_mappings);
  send ("?T?echo", "hi", "", "a", 1);
  send ("?T?failing", "hi", "", "b", 2);
  EXPECT_EQ (wait_reply (1).second, "hi");
  EXPECT_EQ (wait_reply (2).first, ZM_E_FAILED);
  EXPECT_NE (wait_reply (2).second.find ("broken"), std::string::npos);
}

TEST_F (Worker, LargeReplyIsHandedOverAndFreed)
{
  begin (all_mappings);
  EXPECT_EQ (one ("?T?large").body.size (), 1u << 20);
}

/* ---- flows ---- */

TEST_F (Worker, FlowRunsItsStepsInOrderAndPublishesDone)
{
  begin (all_mappings, "[F]\n?F?Push\n?T?add_a\n?T?add_b\n?T?add_a\n?T?add_c\n??done\n");
  Out got = one ("?F?Push", "x", "F");
  EXPECT_EQ (got.topic, "F~~~~done~i1");
  EXPECT_EQ (got.body, "xabac"); /* a step may stand twice */
}

TEST_F (Worker, TriggerStartsAFlow)
{
  begin (all_mappings, "[Link]\n?Link?Down\n?T?add_a\n??done\n");
  EXPECT_EQ (one ("Netlink?Link?Down", "x").topic, "Link~~~~done~i1");
}

TEST_F (Worker, TwoFlowsWithOneTriggerBothRun)
{
  begin (all_mappings, "[F]\n?X?Go\n?T?add_a\n??done\n[G]\n?X?Go\n?T?add_b\n??done\n");
  send ("?X?Go", "x");
  auto all = wait (2);
  std::set<std::string> got = { all[0].topic + "=" + all[0].body, all[1].topic + "=" + all[1].body };
  EXPECT_EQ (got, (std::set<std::string>{ "F~~~~done~i1=xa", "G~~~~done~i1=xb" }));
}

TEST_F (Worker, PublishStepGoesOutAndTheFlowGoesOn)
{
  begin (all_mappings, "[F]\n?F?Push\n?T?add_a\nS?C@PUBLISH?told\n?T?add_b\n??done\n");
  send ("?F?Push", "x", "F");
  auto all = wait (2);
  EXPECT_EQ (all[0].topic, "F~PUBLISH~S~C~told~i1");
  EXPECT_EQ (all[0].body, "xa");
  EXPECT_EQ (all[1].body, "xab");
}

TEST_F (Worker, MessageEntersAtAMappedStep)
{
  begin (all_mappings, "[F]\n?F?Push\n?T?add_a\n?T?add_b\n??done\n");
  EXPECT_EQ (one ("?T?add_b", "x", "F").body, "xb");
}

TEST_F (Worker, AsyncWaitsForTheAnswerOnce)
{
  begin (all_mappings, "[F]\n?F?Push\nS?C@PUBLISH?ask\n?C@ASYNC?answer\n?T?add_a\n??done\n");
  send ("?F?Push", "x", "F");
  EXPECT_EQ (wait (1)[0].topic, "F~PUBLISH~S~C~ask~i1");
  wait_parked (1);
  send ("?C?answer", "y", "F");
  send ("?C?answer", "z", "F");
  auto all = wait (3);
  std::multiset<std::string> topics = { all[1].topic, all[2].topic };
  EXPECT_EQ (topics.count ("F~~~~done~i1"), 1u);
  EXPECT_EQ (topics.count ("F~~~~error~i1"), 1u); /* no-such-instance */
}

TEST_F (Worker, EchoedPrevFlowResumesWithoutTheFlowsName)
{
  begin (all_mappings, "[F]\n?F?Push\n?Svc?work\n?T?add_a\n??done\n");
  send ("?F?Push", "x", "F");
  Out asked = wait (1)[0];
  EXPECT_EQ (asked.topic, "F~~~Svc~work~i1");
  EXPECT_NE (asked.headers.find ("\"prev-flow\":\"F\""), std::string::npos) << asked.headers;
  wait_parked (1);
  send ("?Svc?work", "y", "", "i1", 0, asked.headers.c_str ());
  EXPECT_EQ (wait (2)[1].body, "ya");
}

TEST_F (Worker, SecondPushOfAWaitingInstanceIsADuplicate)
{
  begin (all_mappings, "[F]\n?F?Push\n?Svc?work\n?T?add_a\n??done\n");
  send ("?F?Push", "x", "F");
  wait_parked (1);
  send ("?F?Push", "x", "F");
  /* Parked means that the question is on its way, not that it is out. */
  std::vector<Out> both = wait (2);
  EXPECT_NE ((both[0].body + both[1].body).find ("\"code\":\"duplicate\""), std::string::npos);
}

TEST_F (Worker, WaitEndsWithAnErrorAtItsTimeout)
{
  config.wait_timeout_us = 30000;
  begin (all_mappings, "[F]\n?F?Push\n?C@ASYNC?answer\n??done\n");
  Out got = one ("?F?Push", "x", "F");
  EXPECT_EQ (got.topic, "F~~~~error~i1");
  EXPECT_NE (got.body.find ("\"code\":\"timeout\""), std::string::npos);
  EXPECT_EQ (keeper->ops->count (keeper), 0u);
}

TEST_F (Worker, NobodyThereIsNoTakerAtOnce)
{
  no_taker.insert ("F~~~Svc~work");
  begin (all_mappings, "[F]\n?F?Push\n?Svc?work\n?T?add_a\n??done\n");
  EXPECT_NE (one ("?F?Push", "x", "F").body.find ("\"code\":\"no-taker\""), std::string::npos);
}

TEST_F (Worker, ATakerMayComeInTime)
{
  no_taker.insert ("F~~~Svc~work");
  config.wait_for_taker_us = 10 * G_USEC_PER_SEC;
  begin (all_mappings, "[F]\n?F?Push\n?Svc?work\n?T?add_a\n??done\n");
  send ("?F?Push", "x", "F");
  {
    std::lock_guard<std::mutex> guard (lock);
    no_taker.clear ();
  }
  EXPECT_EQ (wait (1)[0].topic, "F~~~Svc~work~i1");
}

/* The error step lets the flow go on, to a second service that is not there either. */
TEST_F (Worker, EachStepHasTheWholeTimeForATakerToCome)
{
  no_taker.insert ("F~~~Svc~");
  config.wait_for_taker_us = 100000;
  begin (all_mappings, "[F]\n?F?Push\n?Svc?work\n! ?T?add_a\n?Svc?more\n??done\n");
  gint64 began_us = zm_now_us ();
  EXPECT_NE (one ("?F?Push", "x", "F").body.find ("the step ?Svc?more"), std::string::npos);
  EXPECT_GE (zm_now_us () - began_us, 2 * config.wait_for_taker_us);
}

TEST_F (Worker, ErrorStepTakesTheFailedStepsPlace)
{
  begin (all_mappings, "[F]\n?F?Push\n?T?failing\n! ?T?add_a\n?T?add_b\n??done\n");
  Out got = one ("?F?Push", "x", "F");
  EXPECT_EQ (got.topic, "F~~~~done~i1");
  EXPECT_NE (got.body.find ("\"code\":\"broken\""), std::string::npos);
  EXPECT_EQ (got.body.substr (got.body.size () - 2), "ab");
}

TEST_F (Worker, FailingErrorStepEndsTheFlow)
{
  begin (all_mappings, "[F]\n?F?Push\n?T?failing\n! ?T?reject\n?T?add_b\n??done\n");
  EXPECT_NE (one ("?F?Push", "x", "F").body.find ("\"code\":\"rejected\""), std::string::npos);
}

TEST_F (Worker, JoinGivesResultsInTheLinesOrder)
{
  begin (all_mappings, "[F]\n?F?Push\n?T?json & ?T?text & ?T?binary & ?T?defer\n??done\n");
  EXPECT_EQ (
      one ("?F?Push", "x", "F").body,
      "[{\"n\":1},\"words\",{\"content-type\":\"application/octet-stream\",\"base64\":\"/wAB\"},\"x\"]");
}

TEST_F (Worker, JoinListsEveryErrorAndMayBeCaught)
{
  begin (all_mappings, "[F]\n?F?Push\n?T?failing & ?T?text & ?T?reject\n??done\n"
                       "[G]\n?G?Push\n?T?failing & ?T?text\n! ?T?add_a\n??done\n");
  Out got = one ("?F?Push", "x", "F");
  EXPECT_EQ (got.topic, "F~~~~error~i1");
  EXPECT_EQ (got.body,
             "{\"code\":\"join\",\"text\":\"2 of 3 concurrent steps failed: ?T?failing (broken: it broke); "
             "?T?reject (rejected: the action rejected the message)\",\"key\":\"?F?Push\","
             "\"step\":\"?T?failing & ?T?text & ?T?reject\",\"plugin\":\"\",\"errors\":["
             "{\"code\":\"broken\",\"text\":\"it broke\",\"branch\":\"?T?failing\",\"plugin\":\"tester\"},"
             "{\"code\":\"rejected\",\"text\":\"the action rejected the message\",\"branch\":\"?T?reject\","
             "\"plugin\":\"tester\"}]}");
  send ("?G?Push", "x", "G", "i2");
  EXPECT_EQ (wait (2)[1].topic, "G~~~~done~i2");
}

/* What failed later has no errors of a join. */
TEST_F (Worker, ErrorsOfACaughtJoinAreForgotten)
{
  begin (all_mappings, "[F]\n?F?Push\n?T?failing & ?T?text\n! ?T?add_a\n?T?failing\n??done\n");
  Out got = one ("?F?Push", "x", "F");
  EXPECT_EQ (got.topic, "F~~~~error~i1");
  EXPECT_NE (got.body.find ("\"code\":\"broken\""), std::string::npos) << got.body;
  EXPECT_EQ (got.body.find ("errors"), std::string::npos) << got.body;
}

TEST_F (Worker, JoinBranchesMayWaitAndJoinOnce)
{
  begin (all_mappings, "[F]\n?F?Push\n?Svc?one & ?Svc?two & ?T?text\n??done\n");
  send ("?F?Push", "x", "F");
  wait (2);
  wait_parked (2);
  send ("?Svc?two", "2", "F");
  send ("?Svc?one", "1", "F");
  auto all = wait (3);
  EXPECT_EQ (all[2].topic, "F~~~~done~i1");
  EXPECT_EQ (all[2].body, "[1,2,\"words\"]");
}

TEST_F (Worker, FlowsNest)
{
  begin (all_mappings, "[Outer]\n?Outer?Push\n?T?add_a\n?Inner?Push\n?T?add_c\n??done\n"
                       "[Inner]\n?Inner?Push\n?T?add_b\n??done\n");
  Out got = one ("?Outer?Push", "x", "Outer");
  EXPECT_EQ (got.topic, "Outer~~~~done~i1");
  EXPECT_EQ (got.body, "xabc");
}

TEST_F (Worker, ChildsFailureIsItsParentStepsFailure)
{
  begin (all_mappings, "[Outer]\n?Outer?Push\n?Inner?Push\n! ?T?add_a\n??done\n"
                       "[Inner]\n?Inner?Push\n?T?failing\n??done\n");
  EXPECT_EQ (one ("?Outer?Push", "x", "Outer").topic, "Outer~~~~done~i1");
}

TEST_F (Worker, UnknownFlowAndStepAreErrors)
{
  begin (all_mappings, "[F]\n?F?Push\n?T?add_a\n??done\n");
  send ("?F?Push", "x", "Nowhere");
  send ("?T?add_b", "x", "F", "i2");
  auto all = wait (2);
  std::string both = all[0].body + all[1].body;
  EXPECT_NE (both.find ("no-such-flow"), std::string::npos);
  EXPECT_NE (both.find ("no-such-step"), std::string::npos);
}

/* ---- threads ---- */

TEST_F (Worker, SerialPluginRunsOneCallAtATimeAndKeepsOrder)
{
  begin (all_mappings, "", 4);
  for (int i = 0; i < 20000; i++)
    send ("?T?alone", std::to_string (i));
  for (const auto &got : wait (20000))
    ASSERT_EQ (got.topic, "~~tester~T~alone~i1") << got.body;
}

TEST_F (Worker, OrderingByKeyKeepsEachKeysOrder)
{
  config.ordering = ZM_ORDERING_CONTEXT;
  begin ("[actionmapping]\n??echo = tester.echo\n", "", 4);
  const char *keys[] = { "?A?echo", "?B?echo", "?C?echo", "?D?echo" };
  for (int i = 0; i < 20000; i++)
    send (keys[i % 4], std::to_string (i));
  std::map<std::string, int> last;
  for (const auto &got : wait (20000)) {
    int now = std::stoi (got.body);
    ASSERT_TRUE (!last.count (got.topic) || last[got.topic] < now) << got.topic;
    last[got.topic] = now;
  }
  EXPECT_EQ (last.size (), 4u);
}

class InOrder : public Worker, public ::testing::WithParamInterface<guint> {};

/* What came before a slow call is given to others meanwhile, and what comes after it goes back to the queue. */
TEST_P (InOrder, HoldsAroundASlowCall)
{
  config.ordering = ZM_ORDERING_CONTEXT;
  begin ("[actionmapping]\n??echo = tester.echo\n??serial_nap = tester.serial_nap\n", "", GetParam ());
  std::vector<std::pair<std::string, std::string>> all;
  std::string sent, came;
  for (int i = 0; i < 300; i++) {
    bool slow = i % 20 == 10;
    all.push_back ({ slow ? "?A?serial_nap" : "?A?echo", std::to_string (i) });
    sent += (slow ? "napped" : std::to_string (i)) + " ";
  }
  push (all);
  for (const auto &got : wait (all.size ()))
    came += got.body + " ";
  EXPECT_EQ (came, sent);
}
INSTANTIATE_TEST_SUITE_P (Workers, InOrder, ::testing::Values (1u, 4u));

TEST_F (Worker, FailingActionsCostNobodyElse)
{
  config.replacements_most = 64;
  begin ((std::string (all_mappings) +
          "[action ?T?hang]\ntimeout = 30ms\n[action ?T?serial_hang]\ntimeout = 30ms\n"
          "[action ?T?defer_never]\ntimeout = 30ms\n")
             .c_str ());
  const char *bad[] = { "?T?failing", "?T?reject",      "?T?hang",        "?T?unknown", "?T?defer_twice",
                        "?T?retry",   "?T?defer_never", "?T?serial_hang", "?T?nonsense" };
  int sent = 0;
  for (int i = 0; i < 10000; i++) {
    send ("?T?echo", "good", "", ("g" + std::to_string (i)).c_str ());
    sent++;
    if (i % 250 == 0) {
      send (bad[(i / 250) % 9], "bad", "", ("b" + std::to_string (i)).c_str ());
      sent++;
    }
  }
  /* Each bad one ends in a publication too, but for one that comes back in time with nothing to say. */
  zm_pool_drain (pool, zm_now_us () + 10 * G_USEC_PER_SEC);
  std::set<std::string> good;
  for (const auto &got : wait (sent - 5))
    if (got.body == "good")
      good.insert (got.topic);
  EXPECT_EQ (good.size (), 10000u);
}

TEST_F (Worker, DrainEndsWhatWaitsWithAnError)
{
  begin (all_mappings, "[F]\n?F?Push\n?Svc?work\n?T?add_a\n??done\n");
  send ("?F?Push", "x", "F", "i1", 5);
  wait_parked (1);
  EXPECT_EQ (zm_pool_drain (pool, zm_now_us () + G_USEC_PER_SEC), 1u);
  EXPECT_NE (wait (2)[1].body.find ("\"code\":\"shutdown\""), std::string::npos);
  EXPECT_EQ (wait_reply (5).first, ZM_E_FAILED);
}

TEST_F (Worker, SwapsUnderLoadLoseNothing)
{
  begin (all_mappings, "", 2);
  /* The memory that ThreadSanitizer keeps of each one that was replaced has no room for more hosts than this. */
  const int rounds = under_tsan ? 40 : 100, each = 200;
  for (int round = 0; round < rounds; round++) {
    for (int i = 0; i < each; i++)
      send (i % 2 ? "?T?echo" : "?T?alone", "x", "",
            (std::to_string (round) + "-" + std::to_string (i)).c_str ());
    reload (all_mappings);
  }
  std::set<std::string> seen;
  for (const auto &got : wait (rounds * each)) {
    ASSERT_EQ (got.body, "x") << got.topic;
    seen.insert (got.topic);
  }
  EXPECT_EQ (seen.size (), (size_t) rounds * each);
}

TEST_F (Worker, TimersThatFireOnceGiveTheirPlaceBack)
{
  begin (all_mappings);
  const size_t each = 200;
  /* More in all than there may be at a time. */
  for (size_t round = 1; round <= 7; round++) {
    for (size_t i = 0; i < each; i++)
      send ("?T?once");
    wait (2 * each * round);
  }
  for (const auto &got : out)
    ASSERT_TRUE (got.body == "started" || got.body == "tick") << got.body;
}

/* Each ends once, also where it was in no queue: it waited for a taker, as a step or as the branch of a join. */
TEST_F (Worker, WhatIsStillInsideAtTheStopEndsWithAnError)
{
  no_taker.insert ("F~~~Svc~work");
  no_taker.insert ("G~~~Svc~work");
  config.wait_for_taker_us = 60 * G_USEC_PER_SEC;
  begin (all_mappings, "[F]\n?F?Push\n?Svc?work\n?T?add_a\n??done\n"
                       "[G]\n?G?Push\n?Svc?work & ?T?add_a & ?Svc@ASYNC?more\n??done\n");
  send ("?F?Push", "x", "F", "i1", 5);
  send ("?G?Push", "x", "G", "i2", 6);
  wait_parked (1);
  zm_pool_drain (pool, zm_now_us ());
  EXPECT_TRUE (zm_pool_stop (pool));
  EXPECT_EQ (wait_reply (5).first, ZM_E_FAILED);
  EXPECT_EQ (wait_reply (6).first, ZM_E_FAILED);
  auto all = wait (2);
  ASSERT_EQ (all.size (), 2u);
  for (const auto &got : all)
    EXPECT_NE (got.body.find ("shutdown"), std::string::npos) << got.body;
  EXPECT_EQ (zm_timers_armed (timers), 0u);
}

TEST_F (Worker, ARunningCallDoesNotHoldUpTheStop)
{
  begin (all_mappings, "", 1);
  for (int i = 0; i < 50; i++)
    send ("?T?nap", "", "", ("i" + std::to_string (i)).c_str ());
  zm_pool_drain (pool, zm_now_us ());
  gint64 began = zm_now_us ();
  EXPECT_TRUE (zm_pool_stop (pool));
  EXPECT_LT (zm_now_us () - began, G_USEC_PER_SEC * 2) << "it does not do all that is queued first";
  EXPECT_EQ (wait (50).size (), 50u);
}

} // namespace
