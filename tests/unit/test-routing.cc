/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The routing table. Tests named K… hold what ZManager's original does, those named F… what was wrong there; D1 … D6 are
 * the decisions about flows.
 */
#include "config.h"

#include "routing-fixture.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>

using namespace routing;

namespace {

const char *const FLOW_A = "[a]\n?a?Push\n?a?one\n??done\n";

std::string
mapping (const std::string &key, const std::string &value = "hello.greet")
{
  return "[actionmapping]\n" + key + " = " + value + "\n";
}

/* ---- the seed's blocks, as they were written ---- */

TEST (Seed, IamConnection)
{
  Table table ("", read_data ("seed-iam.flow"));
  ZmFlow *flow = table.flow ("IAMConnection");

  EXPECT_EQ (table.problems.text (), "");
  ASSERT_NE (flow, nullptr);
  ASSERT_EQ (flow->n_steps, 3u);
  EXPECT_STREQ (flow->steps[0].branches[0].text, "?IAMConnection?Push");
  EXPECT_STREQ (flow->steps[1].branches[0].text, "Subject?IAMConnection?Connection");
  EXPECT_EQ (flow->steps[2].kind, ZM_STEP_DONE);
  EXPECT_EQ (table.triggers ("?IAMConnection?Push"), "IAMConnection");
}

TEST (Seed, ServiceManagementGetServiceTopics)
{
  Table table ("", read_data ("seed-service-topics.flow"));
  ZmFlow *flow = table.flow ("ServiceManagement_GetServiceTopics");

  EXPECT_EQ (table.problems.text (), "");
  ASSERT_NE (flow, nullptr);
  ASSERT_EQ (flow->n_steps, 4u);
  EXPECT_EQ (flow->steps[1].kind, ZM_STEP_PUBLISH);
  EXPECT_TRUE (zm_span_is (flow->steps[1].branches[0].key.context, "ServiceManagement__GetServiceTopics"));
  EXPECT_EQ (flow->steps[2].kind, ZM_STEP_ASYNC);
  EXPECT_EQ (flow->steps[3].kind, ZM_STEP_DONE);
}

TEST (Seed, ActionMapping)
{
  Table table (read_data ("seed-action-mapping.ini"), "");
  const ZmRoute *route = zm_table_route (table.table, 0);

  EXPECT_EQ (table.problems.text (), "");
  ASSERT_EQ (zm_table_n_routes (table.table), 1u);
  EXPECT_STREQ (route->mapping->plugin, "myapp.mycomponent.mycomponent_facade.MyComponent");
  EXPECT_STREQ (route->mapping->symbol, "my_method");
  EXPECT_EQ (route->target, ZM_TARGET_ACTION);
  EXPECT_STREQ (route->action->symbol, "my_method");
  EXPECT_EQ (table.lookup ("Sender?Context@DECORATOR?Action"),
             "myapp.mycomponent.mycomponent_facade.MyComponent.my_method");
}

/* ---- mapping ---- */

/* With all candidates there, each shape of key hits the first of its own order. */
const char *const ALL_SHAPES =
    "[actionmapping]\n"
    "S?C@D?A = m.scda\nS?C?A = m.sca\nS??A = m.sa\n?C?A = m.ca\nS?C? = m.sc\nS?? = m.s\n"
    "??A = m.a\n?C? = m.c\n?? = m.all\n";

TEST (Resolution, KOrderFirstHitWins)
{
  static const char *const order[] = {
    "S?C@D?A", "S?C?A", "S??A", "?C?A", "S?C?", "S??", "??A", "?C?", "??"
  };
  static const char *const symbols[] = { "m.scda", "m.sca", "m.sa", "m.ca", "m.sc",
                                         "m.s",    "m.a",   "m.c",  "m.all" };

  /* One candidate less each time: the next in the order takes over. */
  for (size_t from = 0; from < 9; from++) {
    std::string text = "[actionmapping]\n";

    for (size_t i = from; i < 9; i++)
      text += std::string (order[i]) + " = " + symbols[i] + "\n";
    Table table (text, "", false);
    EXPECT_EQ (table.resolve ("S?C@D?A"), symbols[from]) << order[from];
    EXPECT_EQ (table.lookup ("S?C@D?A"), symbols[from]) << order[from];
    EXPECT_EQ (table.lookup ("S?C?A"), symbols[std::max<size_t> (from, 1)]) << order[from];
  }
}

TEST (Resolution, KOnlyCandidatesWhosePartsAreGiven)
{
  Table table (ALL_SHAPES, "", false);

  for (const char *way : { "resolve", "lookup" }) {
    auto ask = [&] (const char *key) {
      return std::string (way) == "resolve" ? table.resolve (key) : table.lookup (key);
    };
    EXPECT_EQ (ask ("S?C?A"), "m.sca");
    EXPECT_EQ (ask ("S?X?A"), "m.sa");
    EXPECT_EQ (ask ("X?C?A"), "m.ca");
    EXPECT_EQ (ask ("S?C?X"), "m.sc");
    EXPECT_EQ (ask ("S?X?X"), "m.s");
    EXPECT_EQ (ask ("X?X?A"), "m.a");
    EXPECT_EQ (ask ("X?C?X"), "m.c");
    EXPECT_EQ (ask ("X?X?X"), "m.all");
    EXPECT_EQ (ask ("?C?A"), "m.ca");
    EXPECT_EQ (ask ("S??"), "m.s");
    EXPECT_EQ (ask ("??A"), "m.a");
    EXPECT_EQ (ask ("?C?"), "m.c");
    EXPECT_EQ (ask ("??"), "m.all");
  }
}

TEST (Resolution, KExactAndCaseSensitive)
{
  Table table (mapping ("?Link?Down"), "");

  EXPECT_EQ (table.lookup ("?Link?Down"), "hello.greet");
  EXPECT_EQ (table.lookup ("?link?Down"), "");
  EXPECT_EQ (table.lookup ("?Link?Downs"), "");
  EXPECT_EQ (table.lookup ("?Lin?Down"), "");
  EXPECT_EQ (table.lookup ("Netlink?Link?Down"), "hello.greet");
}

TEST (Resolution, FDecoratedEntryIsFound)
{
  Table table ("[actionmapping]\n?Link@FAST?Probe = link-status.on_probe\n?Link?Probe = hello.greet\n", "");

  EXPECT_EQ (table.problems.text (), "");
  EXPECT_EQ (table.lookup ("?Link@FAST?Probe"), "link-status.on_probe");
  /* Only the exact one; then the undecorated candidates. */
  EXPECT_EQ (table.lookup ("Netlink?Link@FAST?Probe"), "hello.greet");
  EXPECT_EQ (table.lookup ("?Link@SLOW?Probe"), "hello.greet");
  EXPECT_EQ (table.lookup ("?Link?Probe"), "hello.greet");
}

TEST (Resolution, FDefaultRouteTakesOnlyMessagesOutsideFlows)
{
  Table table (mapping ("??"), FLOW_A);

  EXPECT_EQ (table.lookup ("S?C?A"), "hello.greet");
  EXPECT_EQ (table.lookup ("S?C?A", "a"), "");
  EXPECT_EQ (table.lookup ("??"), "hello.greet");
  EXPECT_EQ (table.lookup ("??", "a"), "");
  EXPECT_EQ (table.resolve ("S?C?A", false), "");
  EXPECT_EQ (table.step (table.flow ("a"), 1), "");
}

TEST (Resolution, AnEmptyTableAnswersNothing)
{
  Table table ("", "");

  EXPECT_EQ (table.lookup ("S?C@D?A"), "");
  EXPECT_EQ (table.triggers ("S?C@D?A"), "");
  EXPECT_EQ (table.flow (""), nullptr);
  EXPECT_EQ (table.flow ("a"), nullptr);
}

TEST (Resolution, ManyKeysAreAllFound)
{
  std::string text = "[actionmapping]\n";

  for (int i = 0; i < 10000; i++)
    text += "Sender?Context" + std::to_string (i) + "?Action" + std::to_string (i) + " = hello.greet\n";
  Table table (text, "");
  EXPECT_EQ (zm_table_n_routes (table.table), 10000u);
  for (guint i = 0; i < 10000; i++) {
    const ZmRoute *route = zm_table_route (table.table, i);

    ASSERT_EQ (route->index, i);
    ASSERT_EQ (zm_table_resolve (table.table, &route->mapping->key, FALSE), route);
    ASSERT_EQ (zm_table_mapping (table.table, &route->mapping->key), route->mapping);
  }
}

TEST (Resolution, TheMappingOfAKeyIsItsVeryOwn)
{
  Table table ("[actionmapping]\n?C?A = hello.greet\n?? = hello.wave\n", "[F]\n?F?Push\n??done\n");
  ZmKey own = key_of ("?C?A"), longer = key_of ("S?C?A"), none = key_of ("?X?Y"),
        trigger = key_of ("?F?Push");

  ASSERT_NE (zm_table_mapping (table.table, &own), nullptr);
  EXPECT_STREQ (zm_table_mapping (table.table, &own)->symbol, "greet");
  EXPECT_EQ (zm_table_mapping (table.table, &longer), nullptr);
  EXPECT_EQ (zm_table_mapping (table.table, &none), nullptr);
  EXPECT_EQ (zm_table_mapping (table.table, &trigger), nullptr);
}

TEST (Resolution, LookingAheadFindsWhatTheLookupFinds)
{
  std::string text = "[actionmapping]\n";

  for (int i = 0; i < 200; i++)
    text += "S?C" + std::to_string (i) + "?A = hello.greet\n";
  Table table (text, "");
  std::vector<std::string> texts;
  std::vector<ZmTopic> topics (2 * ZM_AHEAD_MOST);
  std::vector<const ZmTopic *> pointers;
  std::vector<const ZmRoute *> routes (2 * ZM_AHEAD_MOST);
  guint found = 0;

  for (guint i = 0; i < 2 * ZM_AHEAD_MOST; i++)
    texts.push_back ("~~S~C" + std::to_string (i * 5) + "~A~id");
  for (guint i = 0; i < 2 * ZM_AHEAD_MOST; i++) {
    ASSERT_TRUE (zm_topic_parse (zm_span (texts[i].data (), texts[i].size ()), &topics[i], nullptr));
    pointers.push_back (&topics[i]);
  }
  zm_table_look_ahead (table.table, pointers.data (), 2 * ZM_AHEAD_MOST, routes.data ());
  for (guint i = 0; i < ZM_AHEAD_MOST; i++) {
    ZmLookup lookup;

    zm_table_lookup (table.table, &topics[i], &lookup);
    EXPECT_TRUE (routes[i] == nullptr || routes[i] == lookup.route);
    found += routes[i] != nullptr;
  }
  EXPECT_GT (found, ZM_AHEAD_MOST / 2);
  EXPECT_EQ (routes[ZM_AHEAD_MOST], nullptr) << "more than the bound is left alone";
}

TEST (Mapping, LaterFileWinsAndBothPlacesAreNamed)
{
  Problems problems;
  ZmTableInput input = {};

  input.mappings = g_ptr_array_new ();
  zm_mapping_read_text ("10-link.ini", ZM_SPAN_LITERAL ("[actionmapping]\n\n ?a?b = hello.greet"),
                        input.mappings, problems.list);
  zm_mapping_read_text ("20-site.ini", ZM_SPAN_LITERAL ("[actionmapping]\n?a?b = hello.wave"), input.mappings,
                        problems.list);
  input.set = fake_set ();
  ZmTable *table = zm_table_build (&input, problems.list);
  ZmKey key = key_of ("?a?b");

  EXPECT_EQ (problems.text (),
             "20-site.ini:2:1: warning ZM1100: \"?a?b\" replaces the mapping at 10-link.ini:3; remove "
             "one of them, unless it is meant");
  EXPECT_EQ (zm_problems_errors (problems.list), 0u);
  EXPECT_EQ (of_route (zm_table_resolve (table, &key, TRUE)), "hello.wave");
  EXPECT_EQ (zm_table_n_routes (table), 1u);
  zm_table_unref (table);
}

TEST (Mapping, OptionsOfASectionOfTheSameKey)
{
  Table table ("[action ?Link@?Down]\ntimeout=250ms\n[actionmapping]\n?Link?Down = hello.greet\n?Link?Up = "
               "hello.wave\n"
               "[action ?Link?Down]\nordering=key\nretries=3\nisolation=private\n",
               "");
  const ZmRoute *down = zm_table_route (table.table, 0), *up = zm_table_route (table.table, 1);

  EXPECT_EQ (table.problems.text (), "");
  EXPECT_EQ (down->mapping->timeout_ms, 250);
  EXPECT_EQ (down->timeout_us, 250000);
  EXPECT_EQ (down->mapping->ordering, ZM_ORDERING_KEY);
  EXPECT_EQ (down->mapping->retries, 3);
  EXPECT_STREQ (down->mapping->isolation, "private");
  EXPECT_EQ (up->mapping->timeout_ms, -1);
  EXPECT_EQ (up->timeout_us, 30000000);
  EXPECT_EQ (up->mapping->ordering, -1);
  EXPECT_EQ (up->mapping->retries, -1);
  EXPECT_EQ (up->mapping->isolation, nullptr);
}

TEST (Mapping, WorkerInAnotherLanguage)
{
  Table table (mapping ("?Hello?Greet", "worker:greet"), "");
  const ZmRoute *route = zm_table_route (table.table, 0);

  EXPECT_EQ (table.problems.text (), "");
  EXPECT_EQ (route->target, ZM_TARGET_WORKER);
  EXPECT_STREQ (route->worker, "greet");
  EXPECT_EQ (route->mapping->plugin, nullptr);
  EXPECT_TRUE (zm_span_is (zm_mapping_component (route->mapping), "greet"));
}

TEST (Mapping, TheComponentIsTheLastPartOfThePlugin)
{
  Table table ("[actionmapping]\n?a?b = acme.net.link.down\n?a?c = hello.greet\n", "", false);

  EXPECT_TRUE (zm_span_is (zm_mapping_component (zm_table_route (table.table, 0)->mapping), "link"));
  EXPECT_TRUE (zm_span_is (zm_mapping_component (zm_table_route (table.table, 1)->mapping), "hello"));
}

TEST (Mapping, WithoutPluginsNothingIsLoaded)
{
  Table table (mapping ("?a?b", "absent.symbol"), "", false);

  EXPECT_EQ (table.problems.text (), "");
  EXPECT_EQ (zm_table_route (table.table, 0)->target, ZM_TARGET_UNAVAILABLE);
  EXPECT_STREQ (zm_table_route (table.table, 0)->reason, "not loaded");
  EXPECT_EQ (zm_table_set (table.table), nullptr);
}

TEST (Mapping, TheTableHoldsTheSet)
{
  int before = fake_set_refs ();
  {
    Table table (mapping ("?a?b"), "");
    EXPECT_EQ (fake_set_refs (), before + 1);
    EXPECT_EQ (zm_table_set (table.table), fake_set ());
  }
  EXPECT_EQ (fake_set_refs (), before);
}

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

/* ---- the slot ---- */

TEST (Slot, SwapsWholeTablesUnderReaders)
{
  ZmTableSlot *slot = zm_table_slot_new ();
  std::atomic<bool> stop{ false };
  std::atomic<unsigned> good{ 0 };
  std::vector<std::thread> readers;

  EXPECT_EQ (zm_table_slot_get (slot), nullptr);
  EXPECT_EQ (zm_table_slot_serial (slot), 0u);
  auto swap = [&] (int i) {
    Table made (mapping ("?a?b", i % 2 == 0 ? "hello.greet" : "hello.wave"), FLOW_A);
    guint64 serial = zm_table_serial (made.table);

    zm_table_slot_swap (slot, zm_table_ref (made.table));
    EXPECT_EQ (zm_table_slot_serial (slot), serial);
  };
  swap (0);
  for (int i = 0; i < 3; i++)
    readers.emplace_back ([&] {
      ZmTopic topic = {};

      zm_topic_parse (ZM_SPAN_LITERAL ("~~S~a~b~id"), &topic, nullptr);
      while (!stop) {
        ZmTable *table = zm_table_slot_get (slot);
        ZmLookup lookup = {};

        zm_table_lookup (table, &topic, &lookup);
        if (lookup.route != nullptr && lookup.n_flows == 0)
          good++;
        zm_table_unref (table);
      }
    });
  for (int i = 1; i < 200; i++)
    swap (i);
  while (good < 1000)
    std::this_thread::yield ();
  stop = true;
  for (auto &reader : readers)
    reader.join ();
  zm_table_slot_free (slot);
}

TEST (Slot, SerialsCountUp)
{
  Table one ("", ""), two ("", "");

  EXPECT_LT (zm_table_serial (one.table), zm_table_serial (two.table));
}

/* ---- for people ---- */

const char *const SHOWN_MAPPINGS =
    "[actionmapping]\n?Link?Down = link-status.on_link_down\n??Down = hello.greet\n";
const char *const SHOWN_FLOW = "[watch]\nNetlink?Link?Down\n?Link?Down\n! ??Down\n?Link@PUBLISH?Seen\n"
                               "?Desk@ASYNC?Answer\n?Desk?Close & ?Desk?Log\n??done\n";

TEST (Explain, SaysEachCandidateAndEachStep)
{
  Table table (SHOWN_MAPPINGS, SHOWN_FLOW);
  ZmKey key = key_of ("Netlink?Link?Down");

  EXPECT_EQ (take (zm_table_explain (table.table, &key, FALSE)),
             "key Netlink?Link?Down\n"
             "flows triggered by a message without a flow: \n"
             "  watch (x.flow:1), trigger Netlink?Link?Down\n"
             "    1  ?Link?Down  link-status.on_link_down (x.ini:2:1)\n"
             "    !  ??Down  hello.greet (x.ini:3:1)\n"
             "    2  ?Link@PUBLISH?Seen  published on its own topic\n"
             "    3  ?Desk@ASYNC?Answer  waits for this key, then its body goes on (in no mapping)\n"
             "    4  ?Desk?Close  hand-over: in no mapping, published for a service to take\n"
             "    &  ?Desk?Log  hand-over: in no mapping, published for a service to take\n"
             "    5  ??done  publishes the flow's result and ends it\n"
             "mappings, the first hit counts:\n"
             "  S?C?A    Netlink?Link?Down  miss\n"
             "  S??A     Netlink??Down  miss\n"
             "  ?C?A     ?Link?Down  HIT  link-status.on_link_down (x.ini:2:1)\n"
             "  S?C?     Netlink?Link?  miss\n"
             "  S??      Netlink??  miss\n"
             "  ??A      ??Down  would hit  hello.greet (x.ini:3:1)\n"
             "  ?C?      ?Link?  miss\n"
             "  ??       ??  miss\n"
             "so: 1 flow starts\n");
}

TEST (Explain, SaysTheResultWithoutAFlow)
{
  Table table (SHOWN_MAPPINGS, "");
  ZmKey down = key_of ("?Link@FAST?Down"), none = key_of ("?Link?Up");
  std::string text = take (zm_table_explain (table.table, &down, FALSE));

  EXPECT_NE (text.find ("  S?C@D?A  ?Link@FAST?Down  miss\n  ?C?A     ?Link?Down  HIT  "), std::string::npos)
      << text;
  EXPECT_NE (text.find ("so: link-status.on_link_down (x.ini:2:1)\n"), std::string::npos) << text;
  text = take (zm_table_explain (table.table, &none, FALSE));
  EXPECT_NE (text.find ("so: no mapping and no flow: the message ends in the error `unmapped`\n"),
             std::string::npos);
}

TEST (Explain, AsJson)
{
  Table table (SHOWN_MAPPINGS, SHOWN_FLOW);
  ZmKey key = key_of ("Netlink?Link?Down"), none = key_of ("?Link?Up");
  std::string text = take (zm_table_explain (table.table, &key, TRUE));

  EXPECT_TRUE (zm_json_valid (zm_span_text (text.c_str ()))) << text;
  EXPECT_NE (
      text.find (
          "{\"form\":\"?C?A\",\"key\":\"?Link?Down\",\"hit\":true,\"taken\":true,\"route\":{\"key\":\"?Link?"
          "Down\",\"target\":\"action\",\"plugin\":\"link-status\",\"symbol\":\"on_link_down\",\"file\":\"x."
          "ini\",\"line\":2,\"column\":1,\"timeout_ms\":30000}}"),
      std::string::npos)
      << text;
  EXPECT_NE (text.find ("\"on_error\":{\"key\":\"??Down\",\"waits\":false,\"is\":\"mapped\""),
             std::string::npos)
      << text;
  EXPECT_NE (text.find ("{\"key\":\"?Desk?Log\",\"waits\":true,\"is\":\"hand-over\"}"), std::string::npos)
      << text;
  text = take (zm_table_explain (table.table, &none, TRUE));
  EXPECT_TRUE (zm_json_valid (zm_span_text (text.c_str ()))) << text;
  EXPECT_NE (text.find ("\"route\":null"), std::string::npos) << text;
}

TEST (Show, JsonAndDot)
{
  Table table (SHOWN_MAPPINGS, SHOWN_FLOW);
  std::string json = take (zm_flow_show (table.table, table.flow ("watch"), FALSE));
  std::string dot = take (zm_flow_show (table.table, table.flow ("watch"), TRUE));

  EXPECT_TRUE (zm_json_valid (zm_span_text (json.c_str ()))) << json;
  EXPECT_EQ (
      json.rfind (
          "{\"name\":\"watch\",\"file\":\"x.flow\",\"line\":1,\"trigger\":\"Netlink?Link?Down\",\"steps\":[",
          0),
      0u)
      << json;
  EXPECT_EQ (dot.rfind ("digraph \"watch\" {\n", 0), 0u);
  EXPECT_NE (dot.find ("  s1_1 -> s1_0 [style=dashed, label=\"error\"];\n"), std::string::npos) << dot;
  EXPECT_NE (dot.find ("  s4_2 -> s5_1;\n"), std::string::npos) << dot;
}

/* ---- prefixes ---- */

std::string
prefixes (const Table &table, const char *pattern)
{
  ZmKey key = key_of (pattern);
  char **list = zm_table_prefixes (table.table, &key);
  char *joined = g_strjoinv (" ", list);

  g_strfreev (list);
  return take (joined);
}

TEST (Prefixes, OfWhateverFlowAndMapping)
{
  Table table (SHOWN_MAPPINGS, std::string (SHOWN_FLOW) + "[other]\n?other?Push\n?Desk?Log\n??done\n");

  EXPECT_EQ (prefixes (table, "?Desk?Log"), "other~~~Desk~Log~ watch~~~Desk~Log~ ~~~Desk~Log~");
  EXPECT_EQ (prefixes (table, "?Desk?"), "other~~~Desk~Log~ watch~ASYNC~~Desk~Answer~ watch~~~Desk~Close~ "
                                         "watch~~~Desk~Log~ ~~hello~Desk~Down~ ~~~Desk~");
  EXPECT_EQ (prefixes (table, "??done"), "other~~~~done~ watch~~~~done~ ~~~~done~");
  EXPECT_EQ (prefixes (table, "?Link@PUBLISH?Seen"), "watch~PUBLISH~~Link~Seen~ ~PUBLISH~~Link~Seen~");
  /* A mapped step is not published; outside a flow its result is, with the component as sender. */
  EXPECT_EQ (prefixes (table, "?Link?Down"), "~~hello~Link~Down~ ~~link-status~Link~Down~ ~~~Link~Down~");
  EXPECT_EQ (prefixes (table, "link-status??"), "~~link-status~");
  /* ??Down leaves the context open, so the prefix ends before it. */
  EXPECT_EQ (prefixes (table, "hello??Down"), "~~hello~");
  EXPECT_EQ (prefixes (table, "??"), "");
}

TEST (Prefixes, NeverMatchALongerName)
{
  Table table ("", "[F]\n?F?Push\n?Link?Down\n??done\n[F2]\n?F2?Push\n?Link?Down2\n??done\n");

  EXPECT_EQ (prefixes (table, "?Link?Down"), "F~~~Link~Down~ ~~~Link~Down~");
}

} // namespace
