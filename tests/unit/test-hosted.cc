/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The process that runs plugins, told by a daemon of the least kind: calls, and what actions may say and ask for. */
#include "hosted-fixture.h"

#include <set>

namespace {

const char tester[] = "tests/unit/plugins/tester";
const char ways[] = "tests/unit/plugins/ways";

class Hosted : public HostedTest {
protected:
  /* All of these, in any order; they are gone from what was heard. */
  std::vector<int>
  statuses (const std::vector<guint64> &calls)
  {
    std::vector<int> all;

    for (guint64 id : calls)
      all.push_back (status_of (done (id)));
    return all;
  }
};

TEST_F (Hosted, CallsAnActionAndTellsHowItEnded)
{
  start ();
  bring_up (7, tester, 2);
  EXPECT_EQ (call_done (7, "echo", "hello").body (), "hello");
  EXPECT_EQ (status_of (call_done (7, "retry")), ZM_RETRY);
  EXPECT_EQ (status_of (call_done (7, "nonsense")), 77);
  Heard failed = call_done (7, "failing");
  EXPECT_EQ (status_of (failed), ZM_REJECT);
  EXPECT_EQ (failed.part (ZM_DONE_CODE), "broken");
  EXPECT_EQ (failed.part (ZM_DONE_TEXT), "it broke");
  EXPECT_FALSE (call_done (7, "silent").parts.at (ZM_DONE_BODY));
  EXPECT_EQ (call_done (7, "json").part (ZM_DONE_TYPE), "application/json");
  EXPECT_EQ (call_done (7, "own_key").part (ZM_DONE_KEY), "Own?Result?Key");
  EXPECT_EQ (call_done (7, "go_out").part (ZM_DONE_NEXT), "?Nobody?Maps");
  EXPECT_EQ (call_done (7, "forge").body (), "refused");
  EXPECT_EQ (call_done (7, "binary").body (), std::string ("\xff\x00\x01", 3));
}

/* One call's words must not be told of the next one that uses its memory. */
TEST_F (Hosted, NothingOfACallIsLeftForTheNext)
{
  start ();
  bring_up (7, tester);
  for (int i = 0; i < 3; i++) {
    EXPECT_EQ (call_done (7, "failing").part (ZM_DONE_CODE), "broken");
    EXPECT_EQ (call_done (7, "own_key").body (), "own");
    Heard plain = call_done (7, "silent");
    for (auto &part : plain.parts)
      EXPECT_FALSE (part) << *part;
  }
}

TEST_F (Hosted, TellsTheCallAllThatItIs)
{
  How how;

  how.headers = "{\"content-type\":\"text/x\",\"n\":7}";
  start ();
  bring_up (7, tester);
  EXPECT_EQ (call_done (7, "tell_header", "n", how).body (), "7");
  EXPECT_EQ (call_done (7, "tell_header", "m", how).body (), "none");
  EXPECT_EQ (call_done (7, "tell_type", "", how).body (), "text/x");
  how.type = "text/y";
  EXPECT_EQ (call_done (7, "tell_type", "", how).body (), "text/y") << "the step before gave it";
  how.type = "";
  EXPECT_EQ (call_done (7, "tell_type", "", how).body (), "none");
  EXPECT_EQ (call_done (7, "tell_header", "n").body (), "none");
  how.timeout_us = 5 * G_USEC_PER_SEC;
  int left = std::stoi (call_done (7, "left", "", how).body ());
  EXPECT_TRUE (left > 3000 && left <= 5000) << left;
  how.deadline_us = g_get_monotonic_time () + 2 * G_USEC_PER_SEC;
  left = std::stoi (call_done (7, "left", "", how).body ());
  EXPECT_TRUE (left > 500 && left <= 2000) << left;
}

TEST_F (Hosted, BodiesAreAlignedWhateverTheirSize)
{
  How how;

  start ();
  bring_up (9, ways);
  how.headers = "{ }";
  for (size_t size : { 1u, 2u, 7u, 16u, 33u, 4099u, 70001u, 262144u, 300003u, 3000001u })
    EXPECT_EQ (call_done (9, "address", std::string (size, 'b'), how).body (), "0 " + std::to_string (size));
  EXPECT_EQ (call_done (9, "address", "").body (), "0 0");
}

TEST_F (Hosted, LargeBodiesGoBothWays)
{
  start ();
  bring_up (7, tester, 2);
  std::string body (5 << 20, 'z');
  std::vector<guint64> calls;

  for (int i = 0; i < 4; i++) {
    calls.push_back (call (7, "echo", body + std::to_string (i)));
    calls.push_back (call (7, "echo", std::to_string (i)));
  }
  for (size_t i = 0; i < calls.size (); i++)
    EXPECT_TRUE (done (calls[i]).body () == (i % 2 == 0 ? body : "") + std::to_string (i / 2)) << i;
}

/* What was taken is given back once, after it was told, also where another reply took its place. */
TEST_F (Hosted, TakenRepliesAreGivenBack)
{
  start ();
  bring_up (9, ways);
  Heard answer = call_done (9, "gives", "200000");
  EXPECT_EQ (answer.body (), std::string (200000, 'x'));
  EXPECT_EQ (answer.part (ZM_DONE_TYPE), "text/x");
  EXPECT_EQ (call_done (9, "how_many_freed").body (), "2");
  EXPECT_EQ (call_done (9, "gives", "100").body (), std::string (100, 'x'));
  EXPECT_EQ (call_done (9, "how_many_freed").body (), "4");
}

TEST_F (Hosted, WhatTheDaemonTookBackIsNotCalled)
{
  How taken;

  taken.queued = false;
  start ();
  bring_up (9, ways);
  call (9, "emits", "1", taken);
  EXPECT_EQ (status_of (call_done (9, "quick")), ZM_OK);
  EXPECT_TRUE (heard.empty ()) << "it was called";
}

TEST_F (Hosted, ACallOfWhatIsNotThereIsOver)
{
  start ();
  places["nothing"] = 4000;
  EXPECT_EQ (status_of (call_done (7, "nothing")), ZM_E_NOT_FOUND);
  bring_up (7, tester);
  places["nothing"] = 4000;
  EXPECT_EQ (status_of (call_done (7, "nothing")), ZM_E_NOT_FOUND);
}

TEST_F (Hosted, StartedCallsAreKnownByTheirSlot)
{
  start ();
  bring_up (9, ways, 2);
  gint64 now_us = g_get_monotonic_time ();
  guint64 first = call (9, "naps", "200"), second = call (9, "dies", "nothing"), third = call (9, "alone");
  const ZmPageSlot *slots = page->slots;
  auto word = [&] (guint64 id) { return slots[slot_of[id]].word.load (); };

  for (int i = 0; i < 5000 && (word (first) != zm_page_word (first, ZM_SLOT_IS_STARTED) ||
                               word (second) != zm_page_word (second, ZM_SLOT_IS_STARTED));
       i++)
    g_usleep (1000);
  EXPECT_EQ (word (second), zm_page_word (second, ZM_SLOT_IS_STARTED));
  EXPECT_EQ (word (third), zm_page_word (third, ZM_SLOT_IS_QUEUED)) << "it is SERIAL, and waits";
  EXPECT_GE (slots[slot_of[first]].began_us, now_us);
  EXPECT_EQ (status_of (done (first)), ZM_OK);
}

/* ---- threads ---- */

TEST_F (Hosted, SerialActionsNeverOverlap)
{
  std::vector<guint64> calls;

  start ();
  bring_up (9, ways, 4);
  for (int i = 0; i < 100; i++)
    calls.push_back (call (9, i % 2 == 0 ? "alone" : "where"));
  for (int status : statuses (calls))
    EXPECT_EQ (status, ZM_OK);
}

TEST_F (Hosted, ThreadsafeActionsRunTogether)
{
  std::vector<guint64> calls;

  start ();
  bring_up (7, tester, 4);
  for (int i = 0; i < 4; i++)
    calls.push_back (call (7, "gather", "4"));
  for (guint64 id : calls)
    EXPECT_EQ (done (id).body (), "gathered");
}

TEST_F (Hosted, CallsOfOneOrderStayInOneThread)
{
  std::map<guint64, std::set<std::string>> threads;
  std::map<guint64, std::vector<guint64>> calls;

  start ();
  bring_up (9, ways, 4);
  for (guint64 i = 0; i < 80; i++) {
    How how;

    how.order = 1000 + i % 8;
    calls[how.order].push_back (call (9, "where", "", how));
  }
  for (auto &order : calls)
    for (guint64 id : order.second)
      threads[order.first].insert (done (id).body ());
  std::set<std::string> all;
  for (auto &order : threads) {
    EXPECT_EQ (order.second.size (), 1u);
    all.insert (order.second.begin (), order.second.end ());
  }
  EXPECT_EQ (all.size (), 4u) << "eight orders over four threads";
}

/* They are known to be quick, so a thread takes some at a time; one of them turns out not to be. */
TEST_F (Hosted, QuickCallsDoNotWaitBehindOneThatLasts)
{
  std::vector<guint64> calls;

  start ();
  bring_up (9, ways, 2);
  for (int i = 0; i < 50; i++)
    EXPECT_EQ (status_of (call_done (9, "naps", "0")), ZM_OK);
  corked = true;
  guint64 slow = call (9, "naps", "20000");
  for (int i = 0; i < 7; i++)
    calls.push_back (call (9, "naps", "0"));
  uncork ();
  for (int status : statuses (calls))
    EXPECT_EQ (status, ZM_OK);
  EXPECT_EQ (page->slots[slot_of[slow]].word, zm_page_word (slow, ZM_SLOT_IS_STARTED));
}

/* ---- cancelling ---- */

TEST_F (Hosted, TheDaemonTellsACallThatNobodyWaits)
{
  start ();
  bring_up (7, tester);
  guint64 id = call (7, "hang");
  guint slot = slot_of[id];
  while (page->slots[slot].word != zm_page_word (id, ZM_SLOT_IS_STARTED))
    g_usleep (1000);
  page->slots[slot].cancelled = 1;
  EXPECT_EQ (done (id).body (), "too late");
}

/* What the daemon takes for given up is given up: the host's own clock decides nothing. */
TEST_F (Hosted, TheDeadlineIsTheNearerOne)
{
  How how;

  start ();
  bring_up (7, tester);
  how.timeout_us = 5 * G_USEC_PER_SEC;
  how.deadline_us = zm_now_us () + 20 * G_USEC_PER_SEC;
  EXPECT_NEAR (std::stod (call_done (7, "left", "", how).body ()), 5000, 1000);
  how.timeout_us = 40 * G_USEC_PER_SEC;
  EXPECT_NEAR (std::stod (call_done (7, "left", "", how).body ()), 20000, 1000);
}

/* ---- deferred calls ---- */

TEST_F (Hosted, DeferredCallsGiveTheirSlotBackAndEndLater)
{
  start ();
  bring_up (7, "tests/bad-plugins/complete-late");
  guint64 id = call (7, "late", "200");
  EXPECT_EQ (wait (ZM_RECORD_DEFERRED, id).numbers.at (0), slot_of[id]);
  free_the_slot (id);
  Heard answer = wait (ZM_RECORD_DONE, id);
  EXPECT_EQ (answer.numbers.at (ZM_DONE_SLOT), static_cast<gint64> (ZM_WORK_DEFERRED));
  EXPECT_EQ (status_of (answer), ZM_OK);
  EXPECT_EQ (answer.body (), "late");
}

TEST_F (Hosted, DefersThatAreOverBeforeTheActionReturns)
{
  start ();
  bring_up (7, tester);
  for (const char *action : { "defer_at_once", "defer_twice", "complete_oddly", "complete_next" }) {
    guint64 id = call (7, action);
    guint slot = slot_of[id];
    Heard answer = done (id);

    EXPECT_EQ (answer.numbers.at (ZM_DONE_SLOT), slot) << action;
    EXPECT_EQ (status_of (answer), ZM_OK) << action;
    EXPECT_EQ (answer.body (), strcmp (action, "defer_at_once") == 0    ? "early"
                               : strcmp (action, "defer_twice") == 0    ? "first"
                               : strcmp (action, "complete_oddly") == 0 ? "refused"
                                                                        : "");
    EXPECT_EQ (answer.part (ZM_DONE_NEXT), strcmp (action, "complete_next") == 0 ? "?T?add_b" : "");
  }
}

TEST_F (Hosted, DefersThatContradictThemselvesAreTold)
{
  start ();
  bring_up (7, tester);
  for (const char *action : { "defer_not", "defer_and_ok" }) {
    Heard answer = call_done (7, action);

    EXPECT_EQ (status_of (answer), ZM_REJECT);
    EXPECT_EQ (answer.part (ZM_DONE_CODE), "bad-status");
    EXPECT_NE (answer.part (ZM_DONE_TEXT).find ("zm_call_defer"), std::string::npos);
  }
}

TEST_F (Hosted, ADeferredCallThatIsGivenUpIsOver)
{
  start ();
  bring_up (9, ways);
  guint64 id = call (9, "gives_never");
  wait (ZM_RECORD_DEFERRED, id);
  free_the_slot (id);
  say (ZM_RECORD_CANCEL, id);
  EXPECT_EQ (call_done (9, "how_many_freed").body (), "1");
  EXPECT_TRUE (heard.empty ());
  say (ZM_RECORD_CANCEL, id);
  say (ZM_RECORD_CANCEL, 12345);
  EXPECT_EQ (status_of (call_done (9, "quick")), ZM_OK);
}

TEST_F (Hosted, ACompletionAfterTheEndIsLate)
{
  start ();
  bring_up (9, "tests/bad-plugins/complete-late");
  guint64 id = call (9, "late", "50");
  wait (ZM_RECORD_DEFERRED, id);
  free_the_slot (id);
  say (ZM_RECORD_CANCEL, id);
  Heard metric = wait (ZM_RECORD_METRIC, 9);
  guint64 bits = static_cast<guint64> (metric.numbers.at (1));
  double value;
  memcpy (&value, &bits, sizeof value);
  EXPECT_EQ (value, ZM_E_LATE);
  Heard log = wait (ZM_RECORD_LOG, 9);
  EXPECT_EQ (log.numbers.at (0), ZM_LOG_WARNING);
  EXPECT_NE (log.part (0).find ("over already"), std::string::npos);
}

TEST_F (Hosted, DeferredCallsGoWithTheirPlugin)
{
  start ();
  bring_up (9, ways);
  for (int i = 0; i < 100; i++) {
    guint64 id = call (9, "gives_never");
    wait (ZM_RECORD_DEFERRED, id);
    free_the_slot (id);
  }
  say (ZM_RECORD_CLOSE, 9);
  EXPECT_EQ (wait (ZM_RECORD_CLOSED, 9).numbers.at (0), ZM_OK);
  bring_up (10, ways);
  EXPECT_EQ (status_of (call_done (10, "quick")), ZM_OK);
}

/* ---- services ---- */

TEST_F (Hosted, EmitsHaveCreditsThatTheDaemonGivesBack)
{
  How how;

  how.hops = 3;
  start ();
  bring_up (9, ways);
  guint64 id = call (9, "emits", "2000", how);
  EXPECT_EQ (done (id).body (), "1024 -2");
  for (int i = 0; i < 1024; i++) {
    Heard emit = wait (ZM_RECORD_EMIT);

    ASSERT_EQ (emit.numbers, (std::vector<gint64>{ 9, 0, 3 }));
    ASSERT_EQ (emit.part (ZM_EVENT_KEY), "?From?inside");
  }
  say (ZM_RECORD_EMITTED, 0, { 10 });
  EXPECT_EQ (call_done (9, "emits", "2000").body (), "10 -2");
}

TEST_F (Hosted, EventsAreCheckedWhereTheyAreMade)
{
  const std::vector<std::pair<std::string, int>> wrongs = {
    { "nothing", ZM_OK },
    { "short", ZM_E_INVALID },
    { "key", ZM_E_INVALID },
    { "none", ZM_E_INVALID },
    { "reserved", ZM_E_DENIED },
    { "flow", ZM_E_INVALID },
    { "reserved flow", ZM_E_DENIED },
    { "id", ZM_E_INVALID },
    { "headers", ZM_E_INVALID },
    { "body", ZM_E_INVALID },
  };

  start ();
  bring_up (9, ways);
  for (auto &wrong : wrongs)
    EXPECT_EQ (call_done (9, "emits_wrong", wrong.first).body (), std::to_string (wrong.second))
        << wrong.first;
  How circle;
  circle.hops = 100;
  EXPECT_EQ (call_done (9, "emits_wrong", "", circle).body (), std::to_string (ZM_E_DENIED));
}

TEST_F (Hosted, ACallOfAnotherActionBringsItsResult)
{
  start ();
  bring_up (7, tester);
  guint64 id = call (7, "ask", "?T?other\nflow\nid-9");
  Heard ask = wait (ZM_RECORD_ASK);
  EXPECT_EQ (status_of (done (id)), ZM_OK);
  EXPECT_EQ (ask.numbers, (std::vector<gint64>{ 7, 0, 100 }));
  EXPECT_EQ (ask.part (ZM_EVENT_KEY), "?T?other");
  EXPECT_EQ (ask.part (ZM_EVENT_FLOW), "flow");
  EXPECT_EQ (ask.part (ZM_EVENT_ID), "id-9");
  EXPECT_EQ (ask.part (ZM_EVENT_BODY), "asked");
  heard.clear ();
  say (ZM_RECORD_ANSWER, ask.id, { static_cast<guint64> (ZM_E_TIMEOUT) }, { "four" });
  EXPECT_EQ (wait (ZM_RECORD_METRIC, 7).part (0), "asked_status");
  Heard size = wait (ZM_RECORD_METRIC, 7);
  EXPECT_EQ (wait (ZM_RECORD_METRIC, 7).part (0), "asked_error");
  guint64 bits = static_cast<guint64> (size.numbers.at (1));
  double value;
  memcpy (&value, &bits, sizeof value);
  EXPECT_EQ (value, 4);
  say (ZM_RECORD_ANSWER, ask.id, { 0 }, { "again" });
  say (ZM_RECORD_PING, 1);
  wait (ZM_RECORD_PONG, 1);
  EXPECT_TRUE (heard.empty ()) << "the same is answered twice";
}

TEST_F (Hosted, QuestionsAreBounded)
{
  start ();
  bring_up (7, tester);
  int refused = 0;
  for (int i = 0; i < 4100; i++)
    refused += status_of (call_done (7, "ask", "?T?other")) == ZM_E_AGAIN;
  EXPECT_EQ (refused, 4);
}

TEST_F (Hosted, TimersAreTheDaemonsAndCallAFunction)
{
  How how;

  start ();
  bring_up (9, ways);
  Heard started = call_done (9, "starts_timer", "once");
  Heard timer = wait (ZM_RECORD_TIMER);
  EXPECT_EQ (started.body (), std::to_string (timer.id));
  EXPECT_EQ (timer.numbers.at (0), 9);
  EXPECT_EQ (timer.numbers.at (2), 5);
  EXPECT_EQ (timer.numbers.at (3), 0);
  EXPECT_EQ (timer.part (0), "tick");
  how.fn = static_cast<guint64> (timer.numbers.at (1));
  how.name = "tick";
  EXPECT_EQ (call_done (9, "", "", how).body (), "ticked");
  EXPECT_EQ (call_done (9, "stops_timer", started.body ()).body (), std::to_string (ZM_E_NOT_FOUND))
      << "it was for once, and is over";
  started = call_done (9, "starts_timer", "more");
  timer = wait (ZM_RECORD_TIMER);
  EXPECT_EQ (timer.numbers.at (3), 10);
  EXPECT_EQ (call_done (9, "", "", how).body (), "ticked");
  EXPECT_EQ (call_done (9, "stops_timer", started.body ()).body (), "0");
  EXPECT_EQ (wait (ZM_RECORD_UNTIMER, timer.id).numbers.at (0), 9);
}

TEST_F (Hosted, TimersAreBounded)
{
  start ();
  bring_up (7, tester);
  EXPECT_EQ (call_done (7, "many_timers").body (), "256, and again");
}

TEST_F (Hosted, EachSixteenthCallIsMeasured)
{
  int measured = 0;

  start ();
  bring_up (9, ways);
  for (int i = 0; i < 160; i++)
    measured += call_done (9, "quick").numbers.at (ZM_DONE_TOOK) > 0;
  EXPECT_EQ (measured, 10);
}

/* Each is told, none before its time, none twice. */
TEST_F (Hosted, ManyCallsEndOnce)
{
  std::set<guint64> open;
  guint64 ended = 0;

  start ();
  bring_up (9, ways, 3);
  for (int i = 0; i < 20000; i++) {
    How how;

    how.order = i % 3 == 0 ? static_cast<guint64> (1 + i % 7) : 0;
    open.insert (call (9, i % 5 == 0 ? "address" : "quick", "body", how));
    while (open.size () == ZM_PAGE_SLOTS) {
      Heard one = wait (ZM_RECORD_DONE);

      ASSERT_EQ (open.erase (one.id), 1u);
      free_the_slot (one.id);
      ended++;
    }
  }
  while (!open.empty ()) {
    Heard one = wait (ZM_RECORD_DONE);

    ASSERT_EQ (open.erase (one.id), 1u);
    ended++;
  }
  EXPECT_EQ (ended, 20000u);
}

} // namespace
