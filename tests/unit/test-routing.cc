/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The routing table: mappings, resolution, and the slot that it stands in. Tests named K… hold what ZManager's original does,
 * those named F… what was wrong there; D1 … D6 are the decisions about flows.
 */
#include "config.h"

#include "routing-fixture.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>

using namespace routing;

namespace {

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

TEST (Mapping, APluginThatCannotRunTwiceIsToldAtTheLine)
{
  Table table ("[actionmapping]\n?a?b = link-status.store\n?a?c = link-status.on_probe\n"
               "[action ?a?b]\nisolation=private\n[action ?a?c]\nisolation=private\n",
               "");

  EXPECT_EQ (table.problems.text (), "x.ini:2:1: error ZM1318: \"?a?b\": plugin link-status is EXCLUSIVE");
  EXPECT_EQ (zm_table_route (table.table, 0)->target, ZM_TARGET_UNAVAILABLE);
  EXPECT_EQ (zm_table_route (table.table, 1)->target, ZM_TARGET_ACTION);
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

} // namespace
