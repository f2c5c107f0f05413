/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The routing table: flows, what triggers them, what their steps are, and the decisions about them. */
#include "config.h"

#include "routing-fixture.h"

#include <gtest/gtest.h>

using namespace routing;

namespace {

/* ---- triggers ---- */

TEST (Trigger, KPushEntersTheFlow)
{
  Table table ("", FLOW_A);

  EXPECT_EQ (table.triggers ("?a?Push"), "a");
  EXPECT_EQ (table.triggers ("Sender?a?Push"), "a");
  EXPECT_EQ (table.triggers ("?a?one"), "");
}

TEST (Trigger, KAnyKeyMayTriggerAndAnEmptyPartIsAny)
{
  Table table ("",
               "[link]\nNetlink?Link?Down\n??done\n[any]\n??Changed\n??done\n[from]\nTopology??\n??done\n");

  EXPECT_EQ (table.problems.text (), "");
  EXPECT_EQ (table.triggers ("Netlink?Link?Down"), "link");
  EXPECT_EQ (table.triggers ("?Link?Down"), "");
  EXPECT_EQ (table.triggers ("X?Link?Down"), "");
  EXPECT_EQ (table.triggers ("S?C?Changed"), "any");
  EXPECT_EQ (table.triggers ("S?C@D?Changed"), "any");
  EXPECT_EQ (table.triggers ("Topology?X?Y"), "from");
  EXPECT_EQ (table.triggers ("Topology?X?Changed"), "any from");
  EXPECT_EQ (table.triggers ("Topology??Changed"), "any from");
}

TEST (Trigger, KTwoFlowsWithOneTriggerBothRun)
{
  Table table ("", "[a]\n?x?y\n??done\n[b]\n?x?y\n??done\n");

  EXPECT_EQ (table.triggers ("?x?y"), "a b");
  EXPECT_EQ (table.triggers ("S?x?y"), "a b");
  EXPECT_EQ (zm_problems_warnings (table.problems.list), 1u);
}

TEST (Trigger, AMessageWithAFlowTriggersNothing)
{
  Table table (mapping ("?a?Push"), FLOW_A);

  EXPECT_EQ (table.triggers ("?a?Push", "a"), "");
  EXPECT_EQ (table.lookup ("?a?Push", "a"), "hello.greet");
  EXPECT_EQ (table.triggers ("S?a?Push", "other"), "");
}

/* A flow's trigger and a mapping for one message: both are told, the flow goes first (D6). */
TEST (Trigger, BesideAMapping)
{
  Table table (mapping ("?Link?Down"), "[a]\n??Down\n?Link?Down\n??done\n");

  EXPECT_EQ (table.triggers ("?Link?Down"), "a");
  EXPECT_EQ (table.lookup ("?Link?Down"), "hello.greet");
  EXPECT_EQ (table.triggers ("N?Link?Down"), "a");
  EXPECT_EQ (table.lookup ("N?Link?Down"), "hello.greet");
  EXPECT_EQ (table.triggers ("N?X?Down"), "a");
  EXPECT_EQ (table.lookup ("N?X?Down"), "");
}

/* Triggers of every pair of shapes, against the plain definition: each flow whose trigger matches, in order. */
TEST (Trigger, OverlappingOnesAllRun)
{
  static const char *const parts[] = { "", "x", "y" };
  std::vector<std::string> keys;
  std::string text;

  for (const char *sender : parts)
    for (const char *context : parts)
      for (const char *decorator : parts)
        for (const char *action : parts)
          if (*sender != 0 || *context != 0 || *action != 0)
            keys.push_back (std::string (sender) + "?" + context + (*decorator != 0 ? "@" : "") + decorator +
                            "?" + action);
  for (size_t step = 1; step < 8; step++) {
    std::vector<std::string> triggers;

    text.clear ();
    for (size_t i = step % 3; i < keys.size (); i += step) {
      text += "[f" + std::to_string (triggers.size ()) + "]\n" + keys[i] + "\n??done\n";
      triggers.push_back (keys[i]);
    }
    Table table (mapping ("x?x?x") + "?y?y = hello.greet\n", text);
    EXPECT_EQ (table.problems.text (), "");
    for (const std::string &key : keys) {
      ZmKey message = key_of (key.c_str ());
      std::string expected;

      for (size_t i = 0; i < triggers.size (); i++) {
        ZmKey pattern = key_of (triggers[i].c_str ());

        if (zm_key_matches (&pattern, &message))
          expected += (expected.empty () ? "f" : " f") + std::to_string (i);
      }
      ASSERT_EQ (table.triggers (key), expected) << key << " of every " << step;
    }
  }
}

/* A trigger that gives parts which the message does not is no candidate, and hides none. */
TEST (Trigger, OnlyPartsThatTheMessageGives)
{
  Table table ("", "[a]\nS?Q?\n??done\n[b]\n?C?\n??done\n[c]\n?C@E?\n??done\n");

  EXPECT_EQ (table.triggers ("?C@E?A"), "b c");
  EXPECT_EQ (table.triggers ("?C?A"), "b");
  EXPECT_EQ (table.triggers ("S?C@E?A"), "b c");
  EXPECT_EQ (table.triggers ("S?Q@E?A"), "a");
}

TEST (Trigger, TooManyOverlapsAreRefused)
{
  std::string text;

  for (int i = 0; i < 300; i++)
    text += "[s" + std::to_string (i) + "]\ns" + std::to_string (i) + "??\n??done\n[c" + std::to_string (i) +
            "]\n?c" + std::to_string (i) + "?\n??done\n";
  Table table ("", text);
  EXPECT_EQ (table.problems.text (),
             "error ZM1222: the flows' triggers overlap too much; expected at most 65,536 "
             "combinations of triggers that one message can match; give the triggers the same "
             "parts, such as ?C?A");
}

/* ---- flows ---- */

TEST (Flow, KRepeatedNameReplaces)
{
  Table table ("", "[a]\n?a?Push\n?a?one\n??done\n[b]\n?b?Push\n??done\n[a]\n?a?Push\n?a?two\n??done\n");

  EXPECT_EQ (zm_table_n_flows (table.table), 2u);
  EXPECT_EQ (zm_problems_errors (table.problems.list), 0u);
  ASSERT_NE (table.flow ("a"), nullptr);
  EXPECT_STREQ (table.flow ("a")->steps[1].branches[0].text, "?a?two");
  EXPECT_EQ (zm_table_flow_nth (table.table, 0), table.flow ("a"));
  EXPECT_EQ (table.triggers ("?a?Push"), "a");
}

TEST (Flow, KNamesAreExact)
{
  Table table ("", "[F]\n?F?Push\n??done\n[F2]\n?F2?Push\n??done\n");

  EXPECT_STREQ (table.flow ("F")->name, "F");
  EXPECT_STREQ (table.flow ("F2")->name, "F2");
  EXPECT_EQ (table.flow ("f"), nullptr);
  EXPECT_EQ (table.flow ("F3"), nullptr);
}

TEST (Flow, KUnmappedStepIsHandedOver)
{
  Table table (mapping ("?a?one"), "[a]\n?a?Push\n?a?one\n?a?two\n??done\n");

  EXPECT_EQ (table.step (table.flow ("a"), 1), "hello.greet");
  EXPECT_EQ (table.step (table.flow ("a"), 2), "");
  EXPECT_EQ (table.step (table.flow ("a"), 3), "");
}

TEST (Flow, KPublishReachesNoWorker)
{
  Table table (mapping ("?a?one"), "[a]\n?a?Push\n?a@PUBLISH?one\n??done\n");

  EXPECT_EQ (table.flow ("a")->steps[1].kind, ZM_STEP_PUBLISH);
  EXPECT_EQ (table.step (table.flow ("a"), 1), "");
}

TEST (Flow, FAsyncStepRunsItsMapping)
{
  Table table (mapping ("?a?one"), "[a]\n?a?Push\n?a@ASYNC?one\n?a@ASYNC?two\n??done\n");

  EXPECT_EQ (table.step (table.flow ("a"), 1), "hello.greet");
  EXPECT_EQ (table.step (table.flow ("a"), 2), "");
}

TEST (Flow, FDecoratedStepFindsItsMapping)
{
  Table table ("[actionmapping]\n?a@FAST?one = hello.wave\n?a?one = hello.greet\n",
               "[a]\n?a?Push\n?a@FAST?one\n?a?one\n??done\n");

  EXPECT_EQ (table.problems.text (), "");
  EXPECT_EQ (table.step (table.flow ("a"), 1), "hello.wave");
  EXPECT_EQ (table.step (table.flow ("a"), 2), "hello.greet");
}

TEST (Flow, FAStepMayStandTwice)
{
  Table table ("[actionmapping]\n?a?one = hello.greet\n", "[a]\n?a?Push\n?a?one\n?a?two\n?a?one\n??done\n");
  ZmFlow *flow = table.flow ("a");
  ZmKey one = key_of ("?a?one");

  EXPECT_EQ (table.step (flow, 1), "hello.greet");
  EXPECT_EQ (table.step (flow, 3), "hello.greet");
  EXPECT_EQ (zm_flow_find_step (flow, &one, nullptr), 1u);
}

TEST (Flow, FConcurrentSteps)
{
  Table table ("[actionmapping]\n?C?a = hello.greet\n?C?c = worker:slow\n",
               "[f]\n?f?Push\n?C?a & ?C@ASYNC?b & ?C?c\n! ?C?a\n??done\n");
  ZmFlow *flow = table.flow ("f");

  EXPECT_EQ (table.problems.text (), "");
  EXPECT_EQ (flow->steps[1].kind, ZM_STEP_JOIN);
  ASSERT_EQ (flow->steps[1].n_branches, 3u);
  EXPECT_EQ (flow->steps[1].branches[1].kind, ZM_STEP_ASYNC);
  EXPECT_EQ (table.step (flow, 1, 0), "hello.greet");
  EXPECT_EQ (table.step (flow, 1, 1), "");
  EXPECT_EQ (table.step (flow, 1, 2), "worker:slow");
  EXPECT_EQ (table.step (flow, 1, -1), "hello.greet");
  /* Beyond what is there: nothing. */
  EXPECT_EQ (table.step (flow, 1, 3), "");
  EXPECT_EQ (table.step (flow, 2, -1), "");
  EXPECT_EQ (table.step (flow, 0, 0), "");
  EXPECT_EQ (table.step (flow, 99, 0), "");
}

TEST (Flow, SixteenConcurrentStepsAreFine)
{
  std::string line;

  for (int i = 0; i < 16; i++)
    line += (i > 0 ? " & ?C?s" : "?C?s") + std::to_string (i);
  Table table ("", "[f]\n?f?Push\n" + line + "\n??done\n");
  EXPECT_EQ (table.problems.text (), "");
  EXPECT_EQ (table.flow ("f")->steps[1].n_branches, 16u);
}

TEST (Flow, AHundredActionsInARowAreFine)
{
  std::string hundred, text;

  for (int i = 0; i < 100; i++)
    hundred += "?a?one\n";
  Table table (mapping ("?a?one"), "[a]\n?a?Push\n" + hundred + "?a@ASYNC?two\n" + hundred + "??done\n");
  EXPECT_EQ (table.problems.text (), "");
}

TEST (Flow, FindStepByKeyUndecorated)
{
  Table table ("", "[f]\n?f?Push\n?C@PUBLISH?a\n?C@ASYNC?b & S?C?c\n??done\n");
  ZmFlow *flow = table.flow ("f");
  guint branch = 99;

  auto find = [&] (const char *text) {
    ZmKey key = key_of (text);
    return zm_flow_find_step (flow, &key, &branch);
  };
  EXPECT_EQ (find ("?C?a"), 1u);
  EXPECT_EQ (branch, 0u);
  EXPECT_EQ (find ("?C?b"), 2u);
  EXPECT_EQ (branch, 0u);
  EXPECT_EQ (find ("S?C?c"), 2u);
  EXPECT_EQ (branch, 1u);
  EXPECT_EQ (find ("?C?c"), 0u);
  EXPECT_EQ (find ("?f?Push"), 0u); /* the trigger is no step */
  EXPECT_EQ (find ("??done"), 0u);
}

/* ---- the decisions ---- */

/* D2: a waiting instance pins its definition; each key is resolved in the table that is current when the step begins. */
TEST (Decision, D2AnOldFlowResolvesInTheNewTable)
{
  ZmFlow *old;
  {
    Table before (mapping ("?a?one", "hello.greet"),
                  "[a]\n?a?Push\n?a?one\n! ?a?one\n?a@ASYNC?two\n??done\n");
    old = zm_flow_ref (before.flow ("a"));
  }
  Table after ("[actionmapping]\n?a?one = hello.wave\n?a?two = link-status.store\n",
               "[a]\n?a?Push\n?a?two\n??done\n");
  Table without ("", "");

  EXPECT_EQ (old->n_steps, 4u);
  EXPECT_EQ (after.step (old, 1), "hello.wave");
  EXPECT_EQ (after.step (old, 1, -1), "hello.wave");
  EXPECT_EQ (after.step (old, 2), "link-status.store");
  EXPECT_EQ (after.step (old, 2, -1), "");
  EXPECT_EQ (after.step (after.flow ("a"), 1), "link-status.store");
  EXPECT_EQ (without.step (old, 1), "");
  zm_flow_unref (old);
}

/* D3: hand-over is for keys that no mapping names; a mapping whose plugin is absent stays and answers at once. */
TEST (Decision, D3AnAbsentPluginIsNoHandOver)
{
  Table table (mapping ("?a?one", "absent.run"), FLOW_A);
  ZmStepTarget target = {};

  EXPECT_EQ (zm_problems_errors (table.problems.list), 1u);
  zm_table_step (table.table, table.flow ("a"), 1, 0, &target);
  ASSERT_NE (target.route, nullptr);
  EXPECT_EQ (target.route->target, ZM_TARGET_UNAVAILABLE);
  EXPECT_STREQ (target.route->reason, "plugin absent is not loaded");
  EXPECT_EQ (table.lookup ("?a?one"), "absent.run");
}

/* D6: a step whose key is another flow's first step runs that flow; this is looked up before mappings. */
TEST (Decision, D6AStepMayBeAnotherFlow)
{
  Table table ("[actionmapping]\n?b?Push = hello.greet\n?a?Push = hello.greet\n",
               "[a]\n?a?Push\n?b?Push\nS?b?Push\n?a?Push\n?b?Push & ?c?d\n??done\n[b]\n?b?Push\n??done\n");
  ZmFlow *flow = table.flow ("a");

  EXPECT_EQ (zm_problems_errors (table.problems.list), 0u) << table.problems.text ();
  EXPECT_EQ (table.step (flow, 1), "flow b");
  EXPECT_EQ (table.step (flow, 2), "hello.greet"); /* only the very key */
  EXPECT_EQ (table.step (flow, 3), "hello.greet"); /* its own trigger: the action */
  EXPECT_EQ (table.step (flow, 4, 0), "flow b");
  EXPECT_EQ (table.step (flow, 4, 1), "");
}

TEST (Decision, D6FlowsNestEightDeep)
{
  std::string text;

  for (int i = 0; i < 9; i++)
    text += "[f" + std::to_string (i) + "]\n?f" + std::to_string (i) + "?Push\n" +
            (i < 8 ? "?f" + std::to_string (i + 1) + "?Push\n" : "") + "??done\n";
  Table table ("", text);
  EXPECT_EQ (table.problems.text (), "");
}

TEST (Decision, D6AnErrorStepMayBeAnActionOrAFlowThatDoesNotWait)
{
  Table table ("[actionmapping]\n?a?one = hello.greet\n?Ops?Alert = hello.wave\n",
               "[a]\n?a?Push\n?a?one\n! ?Ops?Alert\n?a?one\n! "
               "?ops?Push\n??done\n[ops]\n?ops?Push\n?Ops?Alert\n??done\n");

  EXPECT_EQ (table.problems.text (), "");
  EXPECT_EQ (table.step (table.flow ("a"), 1, -1), "hello.wave");
  EXPECT_EQ (table.step (table.flow ("a"), 2, -1), "flow ops");
}

} // namespace
