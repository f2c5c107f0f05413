/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The worker room: how flows are entered, left, resumed; over reloads; and their bounds. */
#include "worker-fixture.h"

#include <map>

namespace {

/* ---- entering ---- */

const char *const entered_flows =
    "[F]\n?F?Push\n?T?add_a\n?T?add_b\n?Svc?work\n?C@ASYNC?answer\n?T@FAST?add_c\n"
    "?T?text & ?T?json\n??done\n";

struct Entry {
  const char *name, *key, *flow, *topic, *body;
};

class Entering : public Worker, public ::testing::WithParamInterface<Entry> {};

TEST_P (Entering, AtItsPlaceOrWithItsError)
{
  begin ((std::string (all_mappings) + "?T@FAST?add_c = tester.add_c\n").c_str (), entered_flows);
  Out got = one (GetParam ().key, "x", GetParam ().flow);
  EXPECT_EQ (got.topic, GetParam ().topic);
  EXPECT_NE (got.body.find (GetParam ().body), std::string::npos) << got.body;
}

INSTANTIATE_TEST_SUITE_P (
    Table, Entering,
    ::testing::Values (
        Entry{ "trigger", "?F?Push", "F", "F~~~Svc~work~i1", "xab" },
        Entry{ "push_of_any_context", "Who?Ever?Push", "F", "F~~~Svc~work~i1", "xab" },
        Entry{ "without_flow", "Me?F?Push", "", "F~~~Svc~work~i1", "xab" },
        Entry{ "mapped_step", "?T?add_b", "F", "F~~~Svc~work~i1", "xb" },
        Entry{ "hand_over", "?Svc?work", "F", "F~~~~error~i1", "\"code\":\"no-such-instance\"" },
        Entry{ "async", "?C?answer", "F", "F~~~~error~i1", "\"code\":\"no-such-instance\"" },
        Entry{ "async_decorated", "?C@ASYNC?answer", "F", "F~~~~error~i1", "\"code\":\"no-such-instance\"" },
        Entry{ "decorated_step", "?T@FAST?add_c", "F", "F~~~~error~i1", "\"code\":\"no-such-instance\"" },
        Entry{ "join", "?T?text", "F", "F~~~~error~i1", "\"code\":\"no-such-instance\"" },
        Entry{ "no_step", "?T?echo", "F", "F~~~~error~i1", "\"code\":\"no-such-step\"" },
        Entry{ "no_flow", "?F?Push", "f", "f~~~~error~i1", "\"code\":\"no-such-flow\"" },
        Entry{ "decorated_outside", "?T@FAST?add_c", "", "~~tester~T~add_c~i1", "xc" },
        Entry{ "ordinary_decorator_outside", "?T@ODD?add_b", "", "~~tester~T~add_b~i1", "xb" },
        Entry{ "publish_outside", "?T@PUBLISH?add_b", "", "~~tester~T~add_b~i1", "xb" },
        Entry{ "async_outside", "?T@ASYNC?add_b", "", "~~~~error~i1", "@ASYNC is for steps of flows" }),
    [] (const auto &info) { return std::string (info.param.name); });

TEST_F (Worker, DuplicatesAlsoOfTriggeredInstances)
{
  begin (all_mappings, "[F]\n?X?Go\n?T?add_a\n?Svc?work\n?T?add_b\n??done\n[G]\n?X?Go\n?T?add_c\n??done\n");
  send ("?X?Go", "x");
  wait_parked (1);
  wait (2);
  send ("?X?Go", "y");
  auto all = wait (4);
  std::multiset<std::string> topics = { all[2].topic, all[3].topic };
  EXPECT_EQ (topics, (std::multiset<std::string>{ "F~~~~error~i1", "G~~~~done~i1" }))
      << "the other flow does not wait";
  send ("?Svc?work", "z", "F");
  EXPECT_EQ (wait (5)[4].body, "zb") << "the one that waited goes on";
}

/* ---- done and what comes before it ---- */

TEST_F (Worker, IntermediateResultsAreNotPublished)
{
  begin (all_mappings, "[F]\n?F?Push\n?T?add_a\n?T?silent\n?T?own_key\n?T?add_b\n??done\n");
  Out got = one ("?F?Push", "x", "F");
  EXPECT_EQ (got.topic, "F~~~~done~i1");
  EXPECT_EQ (got.body, "ownb") << "a key of its own means nothing in a flow";
  zm_pool_drain (pool, zm_now_us () + 5 * G_USEC_PER_SEC);
  EXPECT_EQ (out.size (), 1u);
}

TEST_F (Worker, AFlowWithoutDoneEndsInSilence)
{
  begin (all_mappings, "[F]\n?F?Push\n?T?add_a\n");
  send ("?F?Push", "x", "F", "i1", 3);
  EXPECT_EQ (wait_reply (3).first, ZM_OK);
  EXPECT_TRUE (out.empty ());
  EXPECT_EQ (number ("silent"), 1);
}

TEST_F (Worker, ALastHandOverIsPublishedAndNotWaitedFor)
{
  begin (all_mappings, "[F]\n?F?Push\n?T?add_a\n?Svc?work\n");
  EXPECT_EQ (one ("?F?Push", "x", "F").topic, "F~~~Svc~work~i1");
  EXPECT_TRUE (eventually ([&] { return number ("inside") == 0; }));
  EXPECT_EQ (keeper->ops->count (keeper), 0u);
}

TEST_F (Worker, ANextKeyIsPartOfTheSameStep)
{
  begin (all_mappings,
         "[F]\n?F?Push\n?T?go_on\n?T?add_c\n??done\n[Out]\n?Out?Push\n?T?go_out\n?T?add_c\n??done\n");
  EXPECT_EQ (one ("?F?Push", "x", "F").body, "x1bc");
  send ("?Out?Push", "x", "Out");
  auto all = wait (3);
  EXPECT_EQ (all[1].topic, "Out~~~Nobody~Maps~i1") << "unmapped: published";
  EXPECT_EQ (all[2].body, "x2c");
}

/* One at a time, as its call goes out at once then, and another worker may have the answer first. */
TEST_F (Worker, WhatAStepPublishesComesBeforeTheEndOfItsFlow)
{
  const size_t most = 500;

  begin (all_mappings, "[Out]\n?Out?Push\n?T?go_out\n?T?add_c\n??done\n", 2);
  for (size_t i = 0; i < most; i++) {
    send ("?Out?Push", "x", "Out", ("i" + std::to_string (i)).c_str ());
    wait (2 * i + 2);
  }
  for (size_t i = 0; i < most; i++)
    ASSERT_EQ (out[2 * i].topic, "Out~~~Nobody~Maps~i" + std::to_string (i));
}

TEST_F (Worker, AsyncRunsItsMappingWithTheBodyThatCame)
{
  begin ((std::string (all_mappings) + "?C?mapped = tester.add_b\n").c_str (),
         "[F]\n?F?Push\n?C@ASYNC?mapped\n?T?add_a\n??done\n");
  send ("?F?Push", "x", "F");
  wait_parked (1);
  send ("?C?mapped", "y", "F");
  EXPECT_EQ (wait (1)[0].body, "yba");
}

/* ---- over reloads ---- */

const char *const waiting_flow = "[F]\n?F?Push\n?C@ASYNC?answer\n?Later?step\n?T?add_a\n??done\n";

struct Change {
  const char *name, *mappings, *flows;
  const char *topic, *body;
};

class Reloading : public Worker, public ::testing::WithParamInterface<Change> {};

/* The steps are those that the instance began with; what each is, the table says that is current when it begins. */
TEST_P (Reloading, AWaitingInstanceKeepsItsStepsAndFindsNewMappings)
{
  begin ((std::string (all_mappings) + "?Later?step = tester.add_b\n").c_str (), waiting_flow);
  send ("?F?Push", "x", "F");
  wait_parked (1);
  reload ((std::string (all_mappings) + GetParam ().mappings).c_str (), GetParam ().flows);
  send ("?C?answer", "y", "F");
  Out got = wait (1)[0];
  EXPECT_EQ (got.topic, GetParam ().topic);
  EXPECT_EQ (got.body, GetParam ().body);
  zm_pool_drain (pool, zm_now_us () + G_USEC_PER_SEC);
}

INSTANTIATE_TEST_SUITE_P (
    Table, Reloading,
    ::testing::Values (
        Change{ "same", "?Later?step = tester.add_b\n", waiting_flow, "F~~~~done~i1", "yba" },
        Change{ "mapped_anew", "?Later?step = tester.add_c\n", waiting_flow, "F~~~~done~i1", "yca" },
        Change{ "mapping_gone", "", waiting_flow, "F~~~Later~step~i1", "y" },
        Change{ "flow_changed", "?Later?step = tester.add_b\n", "[F]\n?F?Push\n?T?text\n??done\n",
                "F~~~~done~i1", "yba" },
        Change{ "flow_gone", "?Later?step = tester.add_b\n", "", "F~~~~done~i1", "yba" },
        Change{ "step_is_a_flow_now", "", "[G]\n?Later?step\n?T?add_c\n??done\n", "F~~~~done~i1", "yca" }),
    [] (const auto &info) { return std::string (info.param.name); });

/* ---- nesting ---- */

TEST_F (Worker, QuestionsOfNestedFlowsNameAllThatWaitInnermostFirst)
{
  begin (all_mappings, "[Outer]\n?Outer?Push\n?Inner?Push\n?T?add_a\n??done\n"
                       "[Inner]\n?Inner?Push\n?Svc?work\n?T?add_b\n??done\n");
  send ("?Outer?Push", "x", "Outer");
  Out asked = wait (1)[0];
  EXPECT_EQ (asked.topic, "Inner~~~Svc~work~i1") << "the same id";
  EXPECT_NE (asked.headers.find ("\"prev-flow\":\"Inner,Outer\""), std::string::npos) << asked.headers;
  EXPECT_NE (asked.headers.find ("\"step\":1"), std::string::npos) << asked.headers;
  wait_parked (1);
  send ("?Svc?work", "y", "", "i1", 0, asked.headers.c_str ());
  Out got = wait (2)[1];
  EXPECT_EQ (got.topic, "Outer~~~~done~i1");
  EXPECT_EQ (got.body, "yba");
}

/* A branch may stand in a child flow, and start one itself. */
TEST_F (Worker, QuestionsOfBranchesNameAllThatWaitInnermostFirst)
{
  begin (all_mappings, "[Outer]\n?Outer?Push\n?Inner?Push\n??done\n"
                       "[Inner]\n?Inner?Push\n?Svc?one & ?Leaf?Push\n??done\n"
                       "[Leaf]\n?Leaf?Push\n?Svc?two\n??done\n");
  send ("?Outer?Push", "x", "Outer");
  std::map<std::string, std::string> asked;
  for (const Out &out : wait (2))
    asked[out.topic] = out.headers;
  EXPECT_NE (asked["Inner~~~Svc~one~i1"].find ("\"prev-flow\":\"Inner,Outer\""), std::string::npos)
      << asked["Inner~~~Svc~one~i1"];
  EXPECT_NE (asked["Leaf~~~Svc~two~i1"].find ("\"prev-flow\":\"Leaf,Inner,Outer\""), std::string::npos)
      << asked["Leaf~~~Svc~two~i1"];
  wait_parked (2);
  send ("?Svc?one", "1", "", "i1", 0, asked["Inner~~~Svc~one~i1"].c_str ());
  send ("?Svc?two", "2", "", "i1", 0, asked["Leaf~~~Svc~two~i1"].c_str ());
  Out got = wait (3)[2];
  EXPECT_EQ (got.topic, "Outer~~~~done~i1");
  EXPECT_EQ (got.body, "[1,2]");
}

TEST_F (Worker, FlowsNestEightDeep)
{
  std::string flows = "[F0]\n?F0?Push\n?F1?Push\n?T?add_a\n??done\n", expected = "x";
  for (int i = 1; i <= 8; i++) {
    std::string n = std::to_string (i), next = std::to_string (i + 1);
    flows +=
        "[F" + n + "]\n?F" + n + "?Push\n" + (i < 8 ? "?F" + next + "?Push\n" : "") + "?T?add_b\n??done\n";
    expected += "b";
  }
  begin (all_mappings, flows.c_str ());
  EXPECT_EQ (one ("?F0?Push", "x", "F0").body, expected + "a");
}

/* ---- bounds ---- */

TEST_F (Worker, AHundredStepsAndNoMore)
{
  std::string good = "[Good]\n?Good?Push\n";
  for (int i = 0; i < 99; i++)
    good += "?T?add_a\n";
  begin (all_mappings, (good + "??done\n").c_str ());
  EXPECT_EQ (one ("?Good?Push", "x", "Good").body, "x" + std::string (99, 'a'));
  ZmMessage *late = make ("?T?echo", "x");
  late->hops = ZM_HOPS_MOST + 1;
  zm_pool_push (pool, &late, 1);
  EXPECT_NE (wait (2)[1].body.find ("\"code\":\"loop\""), std::string::npos);
}

/* ---- joins ---- */

struct Joined {
  const char *name, *steps, *body;
};

class Joining : public Worker, public ::testing::WithParamInterface<Joined> {};

TEST_P (Joining, GivesValidJson)
{
  begin (all_mappings, (std::string ("[F]\n?F?Push\n") + GetParam ().steps + "\n??done\n").c_str ());
  Out got = one ("?F?Push", "x", "F");
  EXPECT_EQ (got.topic, "F~~~~done~i1");
  EXPECT_EQ (got.body, GetParam ().body);
  EXPECT_NE (got.headers.find ("application/json"), std::string::npos);
  EXPECT_TRUE (zm_json_valid (zm_span (got.body.data (), got.body.size ())));
}

INSTANTIATE_TEST_SUITE_P (
    Table, Joining,
    ::testing::Values (Joined{ "json_that_is_none", "?T?bad_json & ?T?json", "[\"{\\\"n\\\":\",{\"n\":1}]" },
                       Joined{ "untyped_json_and_text", "?T?number & ?T?untyped", "[7,\"a\\\"b\"]" },
                       Joined{ "silence_is_the_body", "?T?silent & ?T?text", "[\"x\",\"words\"]" },
                       Joined{ "next_key", "?T?go_on & ?T?text", "[\"x1b\",\"words\"]" },
                       Joined{ "one_after_another", "?T?json & ?T?text\n?T?silent & ?T?number",
                               "[[{\"n\":1},\"words\"],7]" }),
    [] (const auto &info) { return std::string (info.param.name); });

TEST_F (Worker, AFailedJoinWaitsForItsOtherBranches)
{
  begin (all_mappings, "[F]\n?F?Push\n?T?failing & ?Svc?work\n??done\n");
  send ("?F?Push", "x", "F");
  wait_parked (1);
  EXPECT_EQ (wait (1)[0].topic, "F~~~Svc~work~i1");
  send ("?Svc?work", "y", "F");
  Out got = wait (2)[1];
  EXPECT_EQ (got.topic, "F~~~~error~i1");
  EXPECT_NE (got.body.find ("\"code\":\"join\""), std::string::npos) << got.body;
}

TEST_F (Worker, AnErrorStepIsForItsOwnStepOnly)
{
  begin (all_mappings, "[F]\n?F?Push\n?T?add_a\n! ?T?add_b\n?T?failing\n?T?add_c\n??done\n");
  EXPECT_EQ (one ("?F?Push", "x", "F").topic, "F~~~~error~i1") << "it is for its own step only";
}

/* Only the deferred call was given up on, not the call of its error step. */
TEST_F (Worker, AnErrorStepAfterADeferredTimeoutIsNotCancelled)
{
  begin ((std::string (all_mappings) +
          "[action ?T?defer_never]\ntimeout = 30ms\n[action ?T?hang]\ntimeout = 100ms\n")
             .c_str (),
         "[F]\n?F?Push\n?T?defer_never\n! ?T?hang\n??done\n");
  Out got = one ("?F?Push", "x", "F");
  EXPECT_EQ (got.topic, "F~~~~error~i1") << got.body << ": it hangs until it is given up on itself";
}

} // namespace
