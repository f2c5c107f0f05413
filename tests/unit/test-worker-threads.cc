/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The worker room: batches and lanes, strands and their generations, deadlines, bounds. */
#include "worker-fixture.h"

#include <atomic>

namespace {

/* A file that the action `stay` waits for. */
class Staying : public Worker {
protected:
  std::string file;

  void
  SetUp () override
  {
    char *name = g_build_filename (g_get_tmp_dir (), "zm-stay-XXXXXX", NULL);
    int fd = g_mkstemp (name);
    ASSERT_GE (fd, 0);
    close (fd);
    file = name;
    g_free (name);
    g_remove (file.c_str ());
  }

  void
  let_go ()
  {
    ASSERT_TRUE (g_file_set_contents (file.c_str (), "", 0, NULL));
  }

  void
  TearDown () override
  {
    let_go ();
    Worker::TearDown ();
    g_remove (file.c_str ());
  }
};

/* ---- batches ---- */

/* Two calls that need each other, in the first share of four messages: one worker took both. */
TEST_F (Worker, TheRestOfASlowBatchIsGivenBack)
{
  begin (all_mappings);
  push ({ { "?T?gather", "2" }, { "?T?gather", "2" }, { "?T?echo", "3" }, { "?T?echo", "4" } });
  std::multiset<std::string> bodies;
  for (const auto &got : wait (4))
    bodies.insert (got.body);
  EXPECT_EQ (bodies, (std::multiset<std::string>{ "3", "4", "gathered", "gathered" }));
}

TEST_F (Staying, ResultsDoNotWaitForASlowCallInTheSameBatch)
{
  begin (all_mappings);
  push ({ { "?T?echo", "1" }, { "?T?stay", file }, { "?T?echo", "2" }, { "?T?echo", "3" } });
  for (const auto &got : wait (3))
    EXPECT_NE (got.body, "stayed");
  EXPECT_TRUE (eventually ([&] { return number ("inside") == 1; })) << "only the call that stays";
  let_go ();
  EXPECT_EQ (wait (4)[3].body, "stayed");
}

TEST_F (Worker, AllWorkersTakeFromOneRing)
{
  begin (all_mappings, "", 4);
  std::vector<std::pair<std::string, std::string>> all;
  for (int i = 0; i < 4; i++)
    all.push_back ({ "?T?gather", "4" });
  push (all);
  for (const auto &got : wait (4))
    EXPECT_EQ (got.body, "gathered");
}

/* ---- order ---- */

struct Order {
  const char *name, *mapping;
  ZmOrdering ordering;
  const char *headers;
};

/* Else GoogleTest prints its bytes, and between them those that nobody has set. */
void
PrintTo (const Order &order, std::ostream *out)
{
  *out << order.name;
}

class Ordering : public Worker, public ::testing::WithParamInterface<Order> {};

/* Every call of the same lane is made after the one before it, also where each is slow enough for the watchdog. */
TEST_P (Ordering, IsKeptOverSlowCalls)
{
  config.ordering = GetParam ().ordering;
  begin (GetParam ().mapping, "", 4);
  std::vector<std::pair<std::string, std::string>> all;
  for (int i = 0; i < 40; i++)
    all.push_back ({ "?T?pace", std::to_string (i) });
  push (all, GetParam ().headers);
  int next = 0;
  for (const auto &got : wait (40))
    ASSERT_EQ (got.body, std::to_string (next++) + ",1") << "one at a time, in order";
}

INSTANTIATE_TEST_SUITE_P (
    Table, Ordering,
    ::testing::Values (
        Order{ "context", "[actionmapping]\n?T?pace = tester.pace\n", ZM_ORDERING_CONTEXT, "" },
        Order{ "key", "[actionmapping]\n?T?pace = tester.pace\n", ZM_ORDERING_KEY, "" },
        Order{ "mapping", "[actionmapping]\n?T?pace = tester.pace\n[action ?T?pace]\nordering = key\n",
               ZM_ORDERING_NONE, "" },
        Order{ "header", "[actionmapping]\n?T?pace = tester.pace\n[action ?T?pace]\nordering = context\n",
               ZM_ORDERING_NONE, "{\"ordering-key\":\"one\"}" }),
    [] (const auto &info) { return std::string (info.param.name); });

/* A strand with as many as may wait at it, and before it lanes whose first call is slow, so that their rest is given back.
 * Which lane is that of the worker in the strand is not known: hence several. */
TEST_F (Staying, OrderIsKeptBeforeAFullStrand)
{
  begin ((std::string (all_mappings) + "?O?stay = tester.stay_here\n?O?serial = tester.serial_echo\n"
                                       "[action ?O?stay]\nordering = context\ntimeout = 30ms\n"
                                       "[action ?O?serial]\nordering = context\n")
             .c_str ());
  send ("?T?serial_stay", file, "", "stay");
  wait_calling (1);
  push (std::vector<std::pair<std::string, std::string>> (1024, { "?T?serial", "full" }));
  ASSERT_TRUE (eventually ([&] { return number ("queued") == 0 && number ("idle") == 1; }));
  std::string slow = file + ".slow";
  for (int i = 0; i < 8; i++) {
    std::string key = std::to_string (i);
    push ({ { "?O?stay", slow }, { "?O?serial", key + "a" }, { "?O?serial", key + "b" } },
          ("{\"ordering-key\":\"" + key + "\"}").c_str ());
  }
  ZmCounter *full = zm_metrics_counter (metrics, "zmanager_worker_strand_full_total", NULL, NULL, NULL);
  ASSERT_TRUE (eventually ([&] { return zm_counter_get (full) > 0; }));
  let_go ();
  ASSERT_TRUE (g_file_set_contents (slow.c_str (), "", 0, NULL));
  std::map<std::string, size_t> at;
  auto all = wait (1 + 1024 + 24);
  for (size_t i = 0; i < all.size (); i++)
    at[all[i].body] = i;
  for (int i = 0; i < 8; i++)
    EXPECT_LT (at[std::to_string (i) + "a"], at[std::to_string (i) + "b"]) << i;
  g_remove (slow.c_str ());
}

/* Calls that last a little longer than they may: many come back in the very moment in which their worker is replaced. */
TEST_F (Worker, OrderIsKeptWhereCallsComeBackAsTheyAreClaimed)
{
  config.ordering = ZM_ORDERING_CONTEXT;
  config.replacements_most = 100;
  begin ("[actionmapping]\n?T?waver = tester.waver\n[action ?T?waver]\ntimeout = 5ms\n", "", 2);
  std::vector<std::pair<std::string, std::string>> all;
  for (int i = 0; i < 200; i++)
    all.push_back ({ "?T?waver", std::to_string (i) });
  push (all);
  int last = -1, came = 0;
  for (const auto &got : wait (200))
    if (got.topic.find ("~error~") == std::string::npos) {
      ASSERT_GT (std::stoi (got.body), last) << "after " << came;
      last = std::stoi (got.body);
      came++;
    }
}

/* Four that need each other, of one context: in one lane they would wait for ever. */
TEST_F (Worker, AMappingMayTakeTheOrderBack)
{
  config.ordering = ZM_ORDERING_CONTEXT;
  begin ("[actionmapping]\n?T?gather = tester.gather\n[action ?T?gather]\nordering = none\n", "", 4);
  push ({ { "?T?gather", "4" }, { "?T?gather", "4" }, { "?T?gather", "4" }, { "?T?gather", "4" } });
  for (const auto &got : wait (4))
    EXPECT_EQ (got.body, "gathered");
}

/* ---- deadlines ---- */

/* 30 calls of 20 ms, one after another in a strand: each has its own 150 ms, not what the ones before it left. */
TEST_F (Worker, EachCallHasItsDeadlineFromItsOwnBeginning)
{
  begin ((std::string (all_mappings) + "[action ?T?silent_nap]\ntimeout = 150ms\n").c_str ());
  for (guint64 i = 1; i <= 30; i++)
    send ("?T?silent_nap", "", "", ("n" + std::to_string (i)).c_str (), i);
  for (guint64 i = 1; i <= 30; i++)
    EXPECT_EQ (wait_reply (i).first, ZM_OK) << "call " << i;
}

struct Deadline {
  const char *name, *mapping;
  gint64 caller_ms;
  gint64 expected_ms;
};

class Deadlines : public Worker, public ::testing::WithParamInterface<Deadline> {};

TEST_P (Deadlines, AreTheNearerOfCallerAndMapping)
{
  timeout_ms = 30000;
  begin ((std::string (all_mappings) + GetParam ().mapping).c_str ());
  gint64 deadline = GetParam ().caller_ms ? zm_now_us () + GetParam ().caller_ms * 1000 : 0;
  push ({ { "?T?left", "" } }, "", deadline);
  auto all = wait (1);
  EXPECT_NEAR (std::stod (all[0].body), GetParam ().expected_ms, 1000);
}

INSTANTIATE_TEST_SUITE_P (
    Table, Deadlines,
    ::testing::Values (Deadline{ "standard", "", 0, 30000 },
                       Deadline{ "mapping", "[action ?T?left]\ntimeout = 10s\n", 0, 10000 },
                       Deadline{ "caller", "[action ?T?left]\ntimeout = 20s\n", 5000, 5000 },
                       Deadline{ "mapping_first", "[action ?T?left]\ntimeout = 5s\n", 20000, 5000 }),
    [] (const auto &info) { return std::string (info.param.name); });

TEST_F (Worker, ADeadlineThatPassedInTheRingIsATimeout)
{
  begin (all_mappings);
  push ({ { "?T?echo", "late" } }, "", zm_now_us () - 1);
  EXPECT_NE (wait (1)[0].body.find ("\"code\":\"timeout\""), std::string::npos);
}

TEST_F (Worker, CallsThatHangCountAsErrorsOfTheirAction)
{
  begin ((std::string (all_mappings) + "[action ?T?hang]\ntimeout = 30ms\n").c_str ());
  send ("?T?hang");
  wait (1);
  g_autofree char *json = zm_pool_routes_json (pool);
  EXPECT_TRUE (zm_json_valid (zm_span_text (json))) << json;
  std::string text = json;
  size_t at = text.find ("\"?T?hang\"");
  ASSERT_NE (at, std::string::npos) << json;
  EXPECT_NE (text.substr (at, text.find ('}', at) - at).find ("\"errors\":1"), std::string::npos) << json;
}

/* Both workers hang, and one may be replaced: when that one is back, the other gets its replacement too. */
TEST_F (Staying, AHungWorkerIsReplacedWhenThereIsRoom)
{
  std::string other = file + ".other";
  config.replacements_most = 1;
  begin ((std::string (all_mappings) + "[action ?T?stay]\ntimeout = 30ms\n").c_str (), "", 2);
  send ("?T?stay", file, "", "a", 1);
  EXPECT_EQ (wait_reply (1).first, ZM_E_FAILED);
  ASSERT_TRUE (eventually ([&] { return number ("replaced") == 1; }));
  send ("?T?stay", other, "", "b", 2);
  EXPECT_EQ (wait_reply (2).first, ZM_E_FAILED);
  let_go ();
  EXPECT_TRUE (eventually ([&] { return number ("replaced") == 2; }));
  push ({ { "?T?gather", "2" }, { "?T?gather", "2" } });
  auto all = wait (4);
  EXPECT_EQ (all[2].body + all[3].body, "gatheredgathered") << "two at a time again";
  ASSERT_TRUE (g_file_set_contents (other.c_str (), "", 0, NULL));
  EXPECT_TRUE (eventually ([&] { return number ("late") == 2; }));
  g_remove (other.c_str ());
}

/* ---- bounds ---- */

TEST_F (Worker, TheRingIsBounded)
{
  config.ring = 8;
  begin (all_mappings, "", 1);
  std::vector<ZmMessage *> messages;
  for (int i = 0; i < 100; i++)
    messages.push_back (make ("?T?nap", "x"));
  guint taken = zm_pool_try_push (pool, messages.data (), 100);
  EXPECT_LE (taken, 8u);
  for (guint i = taken; i < 100; i++)
    zm_message_unref (messages[i]);
  wait (taken);
}

TEST_F (Worker, WaitsAreBounded)
{
  keeper_most = 2;
  begin (all_mappings, "[F]\n?F?Push\n?C@ASYNC?answer\n??done\n");
  for (const char *id : { "a", "b", "c" })
    send ("?F?Push", "x", "F", id);
  Out got = wait (1)[0];
  EXPECT_NE (got.body.find ("\"code\":\"busy\""), std::string::npos) << got.body;
  wait_parked (2);
}

TEST_F (Worker, DeferredCallsAreBounded)
{
  config.deferred_most = 2;
  begin ((std::string (all_mappings) + "[action ?T?defer_never]\ntimeout = 500ms\n").c_str ());
  for (const char *id : { "a", "b", "c" })
    send ("?T?defer_never", "x", "", id);
  Out got = wait (1)[0];
  EXPECT_NE (got.body.find ("\"code\":\"busy\""), std::string::npos) << got.body;
}

/* 1,024 in all, of which one plugin has a quarter. */
TEST_F (Worker, TimersOfOnePluginAreBounded)
{
  begin (all_mappings);
  EXPECT_EQ (one ("?T?timers").body, "256, and again");
  reload (all_mappings);
  send ("?T?timers", "", "", "i2");
  EXPECT_EQ (wait (2)[1].body, "256, and again") << "those of the old generation are over";
}

/* Two workers, 16 branches: those that nobody takes are run by the worker that forked them. */
TEST_F (Worker, AWorkerRunsTheBranchesThatNobodyTook)
{
  std::string flow = "[F]\n?F?Push\n", mapping = "[actionmapping]\n", expected = "[";
  for (int i = 0; i < 16; i++) {
    flow += (i ? " & ?J?" : "?J?") + ("b" + std::to_string (i));
    mapping += "?J?b" + std::to_string (i) + " = tester.text\n";
    expected += i ? ",\"words\"" : "\"words\"";
  }
  begin (mapping.c_str (), (flow + "\n??done\n").c_str (), 1);
  EXPECT_EQ (one ("?F?Push", "x", "F").body, expected + "]");
}

/* ---- strands and generations ---- */

/* The new generation of a SERIAL plugin takes no call before the old one's call is over. */
TEST_F (Staying, ASwapWaitsForTheOldCall)
{
  begin (all_mappings);
  send ("?T?serial_stay", file, "", "old");
  wait_calling (1);
  ZmGeneration *old = current ();
  reload (all_mappings);
  EXPECT_NE (old, current ());
  send ("?T?serial", "new", "", "new");
  send ("?T?echo", "free", "", "free");
  /* The one free worker met the SERIAL one first. */
  EXPECT_EQ (wait (1)[0].topic, "~~tester~T~echo~free") << "THREADSAFE ones do not wait";
  let_go ();
  auto all = wait (3);
  EXPECT_EQ ((std::set<std::string>{ all[1].topic, all[2].topic }),
             (std::set<std::string>{ "~~tester~T~serial_stay~old", "~~tester~T~serial~new" }));
}

TEST_F (Staying, ASwapWaitsNoLongerThanTheDrainBudget)
{
  drain_us = 50000;
  begin (all_mappings);
  send ("?T?serial_stay", file, "", "old");
  wait_calling (1);
  reload (all_mappings);
  send ("?T?serial", "new", "", "new");
  EXPECT_EQ (wait (1)[0].topic, "~~tester~T~serial~new");
}

/* The one in the middle never takes a call, is held by a buffer, and opens the third when its turn is over. */
TEST_F (Staying, TwoSwapsInOneCallKeepTheirOrder)
{
  begin (all_mappings);
  send ("?T?serial_stay", file, "", "old");
  wait_calling (1);
  reload (all_mappings);
  ZmGeneration *middle = zm_generation_ref (current (), "message buffer");
  reload (all_mappings);
  send ("?T?serial", "new", "", "new");
  let_go ();
  auto all = wait (2);
  EXPECT_EQ ((std::set<std::string>{ all[0].topic, all[1].topic }),
             (std::set<std::string>{ "~~tester~T~serial_stay~old", "~~tester~T~serial~new" }));
  zm_generation_unref (middle, "message buffer");
}

/* The second flow takes the worker to the new table; the first one is still the old one's. */
TEST_F (Staying, AFlowOutlivesTheTableInWhichItsTriggerWasFound)
{
  const char *flows = "[One]\n?X?go\n?T?add_a\n??done\n[Two]\n?X?go\n?T?stay\n?T?serial\n??done\n";
  begin (all_mappings, flows, 1);
  send ("?X?go", file);
  wait_calling (1);
  reload (all_mappings, flows);
  let_go ();
  auto all = wait (2);
  EXPECT_EQ ((std::set<std::string>{ all[0].topic, all[1].topic }),
             (std::set<std::string>{ "One~~~~done~i1", "Two~~~~done~i1" }));
}

TEST_F (Worker, ADeferredCallEndsAfterItsPluginWasReplaced)
{
  begin (all_mappings);
  send ("?T?defer_until", "kept", "", "d", 9);
  ASSERT_TRUE (eventually ([&] { return value ("ticket") != 0 && number ("deferred") == 1; }));
  auto ticket = (zm_ticket) value ("ticket");
  ZmGeneration *old = current ();
  reload (all_mappings);
  EXPECT_TRUE (eventually ([&] { return held ().find ("deferred call") != std::string::npos; })) << held ();
  zm_outcome outcome = {};
  outcome.struct_size = sizeof outcome;
  outcome.body = "completed";
  outcome.body_size = 9;
  EXPECT_EQ (zm_pool_complete (pool, current (), ticket, &outcome), ZM_E_DENIED) << "another plugin's ticket";
  EXPECT_EQ (zm_pool_complete (pool, old, ticket, &outcome), ZM_OK);
  EXPECT_EQ (wait_reply (9).second, "completed");
  EXPECT_TRUE (eventually ([&] { return held ().empty (); })) << held ();
}

/* The result of zm_call_action comes to a strand that nobody leaves any more. */
TEST_F (Staying, ResultsForAHungPluginAreDroppedAndCounted)
{
  static std::atomic<bool> hung;
  hung = false;
  config.hard_after_us = 30000;
  config.hung = [] (ZmGeneration *, gpointer) { hung = true; };
  begin ((std::string (all_mappings) + "[action ?T?serial_stay]\ntimeout = 30ms\n").c_str ());
  send ("?T?serial_stay", file, "", "stay", 3);
  EXPECT_EQ (wait_reply (3).first, ZM_E_FAILED);
  send ("?T?ask", "?T?defer_never", "", "ask", 4);
  EXPECT_EQ (wait_reply (4).first, ZM_OK);
  ASSERT_TRUE (eventually ([] { return hung.load (); }));
  reload (all_mappings);
  EXPECT_TRUE (eventually ([&] { return number ("inside") == 0; })) << "the drain would wait for it";
  EXPECT_EQ (number ("dropped"), 1);
  EXPECT_EQ (value ("asked_ok") + value ("asked_error"), 0);
}

/* The call hangs for good only after its generation was replaced: nobody leaves the closed strand. */
TEST_F (Staying, WhoWaitsBehindACallThatHangsGoesToTheNewGeneration)
{
  config.hard_after_us = 300000;
  drain_us = 20 * G_USEC_PER_SEC;
  begin ((std::string (all_mappings) + "[action ?T?serial_stay]\ntimeout = 30ms\n").c_str ());
  send ("?T?serial_stay", file, "", "stay", 3);
  EXPECT_EQ (wait_reply (3).first, ZM_E_FAILED);
  send ("?T?serial", "behind", "", "behind", 4);
  ASSERT_TRUE (eventually ([&] { return number ("idle") == 2; })) << "it waits at the strand";
  reload (all_mappings);
  send ("?T?serial", "later", "", "later", 5);
  EXPECT_EQ (wait_reply (4).second, "behind");
  EXPECT_EQ (wait_reply (5).second, "later");
}

/* The hook's plugin is the one that is copied; the other one's queue goes on without a reload. */
TEST_F (Staying, AHookThatHangsCostsTheActionsPluginNothing)
{
  static std::atomic<int> listener, others;
  listener = others = 0;
  also = "listener";
  config.hard_after_us = 30000;
  config.hung = [] (ZmGeneration *generation, gpointer) {
    (strcmp (zm_generation_name (generation), "listener") == 0 ? listener : others)++;
  };
  begin ((std::string (all_mappings) +
          "?Listened?serial = tester.serial_echo\n[action ?Listened?serial]\ntimeout = 100ms\n")
             .c_str ());
  send ("?Listened?serial", file, "", "stay", 3);
  wait_calling (1);
  send ("?T?serial", "behind", "", "behind", 4);
  EXPECT_NE (wait_reply (3).second.find ("the hook listener.before"), std::string::npos);
  EXPECT_EQ (wait_reply (4).second, "behind");
  ASSERT_TRUE (eventually ([] { return listener.load () > 0; }));
  let_go ();
  EXPECT_TRUE (eventually ([&] { return number ("late") == 1; }));
  send ("?T?serial", "later", "", "later", 5);
  EXPECT_EQ (wait_reply (5).second, "later");
  EXPECT_EQ (listener.load (), 1);
  EXPECT_EQ (others.load (), 0);
}

TEST_F (Worker, DeferredCallsOfAStuckPluginFailAtOnce)
{
  begin (all_mappings);
  send ("?T?defer_until", "x", "", "d", 9);
  ASSERT_TRUE (eventually ([&] { return number ("deferred") == 1; }));
  zm_pool_stuck (pool, current ());
  EXPECT_NE (wait_reply (9).second.find ("\"code\":\"stuck\""), std::string::npos) << wait_reply (9).second;
}

/* What is parked cannot end; what runs beside it can, and is waited for. */
TEST_F (Worker, ADrainWaitsForWhatRunsBesideParkedBranches)
{
  begin (all_mappings, "[J]\n?J?Push\n?Svc?a & ?Svc?b & ?Svc?c & ?Svc?d\n??done\n");
  send ("?J?Push", "x", "J", "j");
  wait_parked (4);
  for (int i = 0; i < 8; i++)
    send ("?T?nap", "", "", ("n" + std::to_string (i)).c_str ());
  EXPECT_EQ (zm_pool_drain (pool, zm_now_us () + 10 * G_USEC_PER_SEC), 4u);
  auto all = wait (4 + 8 + 1);
  EXPECT_EQ (all.back ().topic, "J~~~~error~j") << "after all that could end";
}

TEST_F (Worker, ABufferKeepsItsGeneration)
{
  begin (all_mappings);
  keep_messages = true;
  send ("?T?large");
  wait (1);
  reload (all_mappings);
  EXPECT_TRUE (eventually ([&] { return held ().find ("message buffer") != std::string::npos; })) << held ();
  drop_kept ();
  EXPECT_TRUE (eventually ([&] { return held ().empty (); })) << held ();
}

TEST_F (Worker, TimersEndWithTheirGeneration)
{
  begin (all_mappings);
  send ("?T?tick");
  wait (4); /* the answer and some ticks */
  reload (all_mappings);
  EXPECT_TRUE (eventually ([&] { return held ().empty (); })) << held ();
}

TEST_F (Worker, WorkerStatesBeginAndEndInPairs)
{
  begin (all_mappings, "", 4);
  for (int i = 0; i < 200; i++)
    send ("?T?state", "", "", ("s" + std::to_string (i)).c_str ());
  for (const auto &got : wait (200))
    ASSERT_EQ (got.body.compare (0, 7, "worker "), 0) << got.body;
  reload (all_mappings);
  EXPECT_TRUE (eventually ([&] { return held ().empty (); })) << held ();
  EXPECT_GE (value ("started"), 1);
  EXPECT_TRUE (eventually ([&] { return value ("started") == value ("stopped"); }));
}

} // namespace
