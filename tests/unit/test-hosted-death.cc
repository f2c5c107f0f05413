/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ends of the process that runs plugins: what is known after each of them. */
#include "hosted-fixture.h"
#include "sanitizers.h"

#include <csignal>

namespace {

const char ways[] = "tests/unit/plugins/ways";

class HostedDeath : public HostedTest {
protected:
  /* A sanitizer takes the signal for its report. */
  void
  expect_signal (int status, int number)
  {
    if (!under_asan && !under_tsan) {
      EXPECT_TRUE (WIFSIGNALED (status)) << status;
      EXPECT_EQ (WTERMSIG (status), number);
    }
  }
  std::vector<guint64>
  note ()
  {
    return { page->dying_signal, page->dying_slot, page->dying_generation };
  }
};

struct Way {
  const char *body;
  guint number;
  bool in_call;
};

/* Otherwise its bytes are printed, which are not all set. */
void
PrintTo (const Way &way, std::ostream *out)
{
  *out << way.body;
}

class HostedDeathWays : public HostedDeath, public testing::WithParamInterface<Way> {};

TEST_P (HostedDeathWays, NamesTheCallAndThePlugin)
{
  const Way &way = GetParam ();

  if (strcmp (way.body, "stack") == 0 && (under_asan || under_tsan))
    GTEST_SKIP () << "a sanitizer has its own way with a full stack";
  start ();
  bring_up (7, "tests/unit/plugins/tester");
  bring_up (9, ways);
  guint64 id = call (9, "dies", way.body);
  guint slot = slot_of[id];
  hear_rest ();
  expect_signal (end (), way.number == ZM_PAGE_EXIT ? 0 : static_cast<int> (way.number));
  EXPECT_EQ (note (),
             (std::vector<guint64>{ way.number, way.in_call ? slot + 1 : 0, way.in_call ? 9u : note ()[2] }));
  EXPECT_EQ (page->slots[slot].word, zm_page_word (id, ZM_SLOT_IS_STARTED));
}

INSTANTIATE_TEST_SUITE_P (Ways, HostedDeathWays,
                          testing::Values (Way{ "segv", SIGSEGV, true }, Way{ "abort", SIGABRT, true },
                                           Way{ "fpe", SIGFPE, true }, Way{ "stack", SIGSEGV, true }));

TEST_F (HostedDeath, ExitOfAPluginIsNoted)
{
  start ();
  bring_up (9, ways);
  guint64 id = call (9, "dies", "exit");
  hear_rest ();
  int status = end ();
  EXPECT_TRUE (WIFEXITED (status));
  EXPECT_EQ (WEXITSTATUS (status), 3);
  EXPECT_EQ (note (), (std::vector<guint64>{ ZM_PAGE_EXIT, slot_of[id] + 1, 9 }));
}

TEST_F (HostedDeath, AThreadOfThePluginIsKnownByItsGeneration)
{
  start ();
  bring_up (9, ways);
  call (9, "dies", "thread segv");
  hear_rest ();
  expect_signal (end (), SIGSEGV);
  EXPECT_EQ (note (), (std::vector<guint64>{ SIGSEGV, 0, 9 }));
}

TEST_F (HostedDeath, AThreadThatTheHostDoesNotKnowIsNobodys)
{
  start ();
  bring_up (9, ways);
  call (9, "dies", "own segv");
  hear_rest ();
  expect_signal (end (), SIGSEGV);
  EXPECT_EQ (note (), (std::vector<guint64>{ SIGSEGV, 0, 0 }));
}

TEST_F (HostedDeath, ACrashInInitNamesTheGenerationThatLoads)
{
  start ();
  ASSERT_EQ (prepare (9, ways).numbers.at (0), ZM_OK);
  say (ZM_RECORD_INIT, 9, {}, { section ({ { "init", "segv" } }) });
  hear_rest ();
  expect_signal (end (), SIGSEGV);
  EXPECT_EQ (note (), (std::vector<guint64>{ SIGSEGV, 0, 9 }));
  EXPECT_EQ (page->loading, 9u);
}

TEST_F (HostedDeath, ACrashOfASourceNamesItsGeneration)
{
  start ();
  bring_up (9, ways);
  say (ZM_RECORD_OPEN, 4, { 9 }, { "one", section ({ { "word", "dies" } }) });
  hear_rest ();
  expect_signal (end (), SIGSEGV);
  EXPECT_EQ (note (), (std::vector<guint64>{ SIGSEGV, 0, 9 }));
  EXPECT_EQ (wait (ZM_RECORD_EMIT).part (ZM_EVENT_BODY), "dies");
}

/* Exactly: all that were done are told, the one that runs is the only one that was started, the rest was not. */
TEST_F (HostedDeath, WhatWasDoneBeforeIsNotLost)
{
  for (const char *how : { "segv", "kill" }) {
    std::vector<guint64> before, after;

    start ();
    bring_up (9, ways);
    for (int i = 0; i < 40; i++)
      before.push_back (call (9, "quick"));
    guint64 crash = call (9, "dies", how);
    for (int i = 0; i < 40; i++)
      after.push_back (call (9, "quick"));
    hear_rest ();
    end ();
    for (guint64 id : before)
      EXPECT_EQ (status_of (wait (ZM_RECORD_DONE, id)), ZM_OK);
    EXPECT_TRUE (heard.empty ()) << "more was heard than was done";
    EXPECT_EQ (page->slots[slot_of[crash]].word, zm_page_word (crash, ZM_SLOT_IS_STARTED));
    for (guint64 id : after)
      EXPECT_EQ (page->slots[slot_of[id]].word, zm_page_word (id, ZM_SLOT_IS_QUEUED));
    close (fd);
    zm_page_free (page);
    fd = -1;
    page = nullptr;
    gone = false;
    heard.clear ();
    slot_of.clear ();
    bytes.clear ();
  }
}

TEST_F (HostedDeath, AHostThatHangsInEveryThreadEndsWithTheDaemon)
{
  start ();
  bring_up (9, ways, 2);
  call (9, "dies", "hang");
  call (9, "naps", "60000");
  ASSERT_EQ (prepare (10, ways).numbers.at (0), ZM_OK);
  say (ZM_RECORD_INIT, 10, {}, { section ({ { "init", "hang" } }) });
  say (ZM_RECORD_PING, 3);
  wait (ZM_RECORD_PONG, 3);
  close (fd);
  fd = -1;
  EXPECT_TRUE (WIFEXITED (end ()));
}

TEST_F (HostedDeath, ByeEndsItWithAllThatItSaid)
{
  start ();
  bring_up (9, ways);
  call_done (9, "logs");
  say (ZM_RECORD_BYE, 0);
  hear_rest ();
  EXPECT_EQ (end (), 0);
  EXPECT_EQ (note (), (std::vector<guint64>{ 0, 0, 0 }));
  EXPECT_EQ (wait (ZM_RECORD_LOG, 9).part (0), "a word");
}

TEST_F (HostedDeath, ByHandItDoesNothing)
{
  std::string program = build_path ("zmanager-host"), out;
  FILE *run = popen ((program + " x 2>&1 </dev/null 3<&- 4<&-").c_str (), "r");
  char line[256];

  ASSERT_NE (run, nullptr);
  while (fgets (line, sizeof line, run) != nullptr)
    out += line;
  EXPECT_EQ (WEXITSTATUS (pclose (run)), 2);
  EXPECT_NE (out.find ("zmanagerd starts this program"), std::string::npos) << out;
}

} // namespace
