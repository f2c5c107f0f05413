/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lives of plugins in the process that runs them: loading, values, stopping, sources. */
#include "hosted-fixture.h"

namespace {

const char ways[] = "tests/unit/plugins/ways";
const char tester[] = "tests/unit/plugins/tester";

class HostedLife : public HostedTest {
protected:
  std::string
  maps ()
  {
    std::ifstream in ("/proc/" + std::to_string (pid) + "/maps");

    return std::string (std::istreambuf_iterator<char> (in), {});
  }
  gint64
  life (ZmRecordKind ask, ZmRecordKind answer, guint64 id, const std::vector<guint64> &numbers = {},
        const std::vector<std::optional<std::string>> &parts = {})
  {
    Heard said;

    say (ask, id, numbers, parts);
    said = wait (answer, id);
    return said.numbers.empty () ? 1000 : said.numbers[0];
  }
};

TEST_F (HostedLife, TellsWhatAPluginIs)
{
  start ();
  Heard answer = prepare (9, ways);
  ASSERT_EQ (answer.numbers.at (0), ZM_OK);
  EXPECT_EQ (answer.numbers.at (2), ZM_HOSTED_RELOAD | ZM_HOSTED_SOURCE);
  bool listed = false;
  for (auto &row : words (answer.part (1), 3))
    listed = listed || row == std::vector<std::string>{ "ticks", "0", "Ticks" };
  EXPECT_TRUE (listed);
  auto options = words (answer.part (2), 5);
  ASSERT_EQ (options.size (), 3u);
  EXPECT_EQ (options[0], (std::vector<std::string>{ "word", "0", "0", "=standard", "A word" }));
  EXPECT_EQ (options[1], (std::vector<std::string>{ "list", "0", "4", "", "Words" }));
}

TEST_F (HostedLife, AFileThatIsNoPluginIsRefusedWithAReason)
{
  start ();
  say (ZM_RECORD_PREPARE, 3, { 1, 1 }, { "nothing", "/nonexistent.so" });
  Heard answer = wait (ZM_RECORD_PREPARED, 3);
  EXPECT_EQ (answer.numbers.at (0), ZM_E_FAILED);
  EXPECT_NE (answer.part (0).find ("No such file"), std::string::npos) << answer.part (0);
  EXPECT_EQ (life (ZM_RECORD_INIT, ZM_RECORD_INITED, 3), ZM_E_NOT_FOUND);
  EXPECT_EQ (life (ZM_RECORD_CLOSE, ZM_RECORD_CLOSED, 3), ZM_OK);
  EXPECT_EQ (prepare (4, "tests/bad-plugins/undefined-symbol").numbers.at (0), ZM_E_FAILED);
  EXPECT_EQ (life (ZM_RECORD_COMMIT, ZM_RECORD_COMMITTED, 99), ZM_E_NOT_FOUND);
}

/* The daemon may try it again under its number, and closes nothing that was not loaded. What is there is not loaded twice. */
TEST_F (HostedLife, WhatCouldNotBeLoadedIsTriedAgain)
{
  start ();
  for (guint64 id = 1; id < 20; id++) {
    say (ZM_RECORD_PREPARE, id, { 1, 1 }, { "ways", "/nonexistent.so" });
    EXPECT_EQ (wait (ZM_RECORD_PREPARED, id).numbers.at (0), ZM_E_FAILED);
  }
  bring_up (19, ways);
  EXPECT_EQ (status_of (call_done (19, "quick")), ZM_OK);
  EXPECT_EQ (life (ZM_RECORD_INIT, ZM_RECORD_INITED, 7), ZM_E_NOT_FOUND);
  EXPECT_EQ (life (ZM_RECORD_PREPARE, ZM_RECORD_PREPARED, 19, { 1, 1 }, { "ways", plugin_path (ways) }),
             ZM_E_NOT_FOUND);
  EXPECT_EQ (status_of (call_done (19, "quick")), ZM_OK);
  EXPECT_EQ (life (ZM_RECORD_CLOSE, ZM_RECORD_CLOSED, 19), ZM_OK);
}

TEST_F (HostedLife, StopsFinishesAndUnloads)
{
  start ();
  bring_up (9, "tests/plugins/swap");
  EXPECT_NE (maps ().find ("swap.so"), std::string::npos);
  EXPECT_EQ (call_done (9, "greet").body (), "hello");
  EXPECT_EQ (life (ZM_RECORD_RETIRE, ZM_RECORD_RETIRED, 9, { 1000 }), ZM_OK);
  EXPECT_EQ (life (ZM_RECORD_CLOSE, ZM_RECORD_CLOSED, 9), ZM_OK);
  EXPECT_EQ (maps ().find ("swap.so"), std::string::npos);
  for (const char *name : { "init", "start", "stop", "fini" })
    EXPECT_EQ (wait (ZM_RECORD_METRIC, 9).part (0), name);
  EXPECT_TRUE (g_file_test (plugin_path ("tests/plugins/swap").c_str (), G_FILE_TEST_EXISTS))
      << "the file is the daemon's";
}

TEST_F (HostedLife, SaysWhyALibraryStays)
{
  start ();
  Heard answer = prepare (9, "tests/bad-plugins/gtype");
  ASSERT_EQ (answer.numbers.at (0), ZM_OK);
  EXPECT_TRUE (answer.numbers.at (2) & ZM_HOSTED_STAYS);
  say (ZM_RECORD_CLOSE, 9);
  answer = wait (ZM_RECORD_CLOSED, 9);
  EXPECT_EQ (answer.numbers.at (0), ZM_E_FAILED);
  EXPECT_NE (answer.part (0).find ("GTypes"), std::string::npos) << answer.part (0);
}

TEST_F (HostedLife, AThreadThatDoesNotEndKeepsItsLibrary)
{
  start ();
  bring_up (9, "tests/bad-plugins/thread-deaf");
  EXPECT_EQ (life (ZM_RECORD_RETIRE, ZM_RECORD_RETIRED, 9, { 100 }), ZM_E_TIMEOUT);
  EXPECT_EQ (life (ZM_RECORD_CLOSE, ZM_RECORD_CLOSED, 9), ZM_E_FAILED);
  EXPECT_NE (maps ().find ("thread-deaf.so"), std::string::npos);
}

TEST_F (HostedLife, ThreadsOfThePluginAreWokenAndJoined)
{
  start ();
  bring_up (9, "tests/plugins/threaded");
  EXPECT_EQ (wait (ZM_RECORD_METRIC, 9).part (0), "running");
  EXPECT_EQ (life (ZM_RECORD_RETIRE, ZM_RECORD_RETIRED, 9, { 5000 }), ZM_OK);
  EXPECT_EQ (wait (ZM_RECORD_METRIC, 9).part (0), "ended");
  EXPECT_EQ (life (ZM_RECORD_CLOSE, ZM_RECORD_CLOSED, 9), ZM_OK);
}

TEST_F (HostedLife, InitThatFailsIsTold)
{
  start ();
  ASSERT_EQ (prepare (9, ways).numbers.at (0), ZM_OK);
  say (ZM_RECORD_INIT, 9, {}, { section ({ { "init", "fail" } }) });
  Heard answer = wait (ZM_RECORD_INITED, 9);
  EXPECT_EQ (answer.numbers.at (0), ZM_E_FAILED);
  EXPECT_NE (answer.part (0).find ("init failed with -8"), std::string::npos) << answer.part (0);
  EXPECT_EQ (life (ZM_RECORD_CLOSE, ZM_RECORD_CLOSED, 9), ZM_OK);
}

TEST_F (HostedLife, WorkersStateBeginsInTheThreadAndEndsAtClose)
{
  start ();
  bring_up (9, tester, 1);
  EXPECT_EQ (call_done (9, "state").body (), "worker 0");
  EXPECT_EQ (wait (ZM_RECORD_METRIC, 9).part (0), "started");
  EXPECT_EQ (call_done (9, "state").body (), "worker 0");
  EXPECT_EQ (life (ZM_RECORD_CLOSE, ZM_RECORD_CLOSED, 9), ZM_OK);
  EXPECT_EQ (wait (ZM_RECORD_METRIC, 9).part (0), "stopped");
  EXPECT_TRUE (heard.empty ());
}

TEST_F (HostedLife, ManyOpenAndClose)
{
  start ();
  for (guint64 serial_of = 1; serial_of <= 30; serial_of++) {
    bring_up (serial_of, ways, 1 + serial_of % 3);
    EXPECT_EQ (status_of (call_done (serial_of, "quick")), ZM_OK);
    EXPECT_EQ (life (ZM_RECORD_RETIRE, ZM_RECORD_RETIRED, serial_of, { 1000 }), ZM_OK);
    EXPECT_EQ (life (ZM_RECORD_CLOSE, ZM_RECORD_CLOSED, serial_of), ZM_OK);
  }
  EXPECT_EQ (maps ().find ("ways.so"), std::string::npos);
}

/* ---- values ---- */

TEST_F (HostedLife, ValuesAreThoseOfInitAndThenOfConfigure)
{
  start ();
  bring_up (9, ways, 1, { { "list", "a" }, { "word", "first" }, { "list", "b" } });
  EXPECT_EQ (call_done (9, "value", "word").body (), "first");
  EXPECT_EQ (call_done (9, "value", "list 0").body (), "a");
  EXPECT_EQ (call_done (9, "value", "list 1").body (), "b");
  EXPECT_EQ (call_done (9, "value", "list 2").body (), "(none)");
  EXPECT_EQ (call_done (9, "value", "other").body (), "(none)");
  EXPECT_EQ (life (ZM_RECORD_CONFIGURE, ZM_RECORD_CONFIGURED, 9, { 1000 }, { section ({}) }), ZM_OK);
  EXPECT_EQ (call_done (9, "value", "word").body (), "standard");
  EXPECT_EQ (call_done (9, "value", "word 1").body (), "(none)");
  EXPECT_EQ (
      life (ZM_RECORD_CONFIGURE, ZM_RECORD_CONFIGURED, 9, { 1000 }, { section ({ { "word", "refuse" } }) }),
      ZM_E_INVALID);
}

TEST_F (HostedLife, WhatThePluginHoldsOfItsValuesStaysForOneReload)
{
  start ();
  bring_up (9, ways, 1, { { "word", "kept" } });
  call_done (9, "holds");
  EXPECT_EQ (
      life (ZM_RECORD_CONFIGURE, ZM_RECORD_CONFIGURED, 9, { 1000 }, { section ({ { "word", "new" } }) }),
      ZM_OK);
  EXPECT_EQ (call_done (9, "held_value").body (), "kept");
}

TEST_F (HostedLife, ReloadOfASerialPluginHasNoOtherCallBesideIt)
{
  std::vector<guint64> calls;

  start ();
  bring_up (9, ways, 4);
  for (int i = 0; i < 50; i++) {
    calls.push_back (call (9, "alone"));
    if (i % 10 == 5)
      say (ZM_RECORD_CONFIGURE, 9, { 1000 }, { section ({}) });
  }
  for (guint64 id : calls)
    EXPECT_EQ (status_of (done (id)), ZM_OK);
  for (int i = 0; i < 5; i++)
    EXPECT_EQ (wait (ZM_RECORD_CONFIGURED, 9).numbers.at (0), ZM_OK);
}

/* ---- sources ---- */

TEST_F (HostedLife, ASourceIsOpenedRunWokenAndShut)
{
  start ();
  bring_up (9, ways);
  say (ZM_RECORD_OPEN, 4, { 9 }, { "one", section ({ { "word", "hello" } }) });
  EXPECT_EQ (wait (ZM_RECORD_OPENED, 4).numbers.at (0), ZM_OK);
  Heard emit = wait (ZM_RECORD_EMIT);
  EXPECT_EQ (emit.numbers, (std::vector<gint64>{ 9, 4, 0 }));
  EXPECT_FALSE (emit.parts.at (ZM_EVENT_KEY)) << "the section may give it";
  EXPECT_EQ (emit.part (ZM_EVENT_BODY), "hello");
  say (ZM_RECORD_WAKE, 4);
  EXPECT_EQ (wait (ZM_RECORD_RETURNED, 4).numbers.at (0), 5);
  say (ZM_RECORD_SHUT, 4);
  wait (ZM_RECORD_SHUTTED, 4);
  EXPECT_EQ (life (ZM_RECORD_CLOSE, ZM_RECORD_CLOSED, 9), ZM_OK);
  EXPECT_EQ (maps ().find ("ways.so"), std::string::npos);
}

TEST_F (HostedLife, ASourceThatDoesNotOpenSaysSo)
{
  start ();
  bring_up (9, ways);
  say (ZM_RECORD_OPEN, 4, { 9 }, { "one", section ({ { "word", "refuse" } }) });
  EXPECT_EQ (wait (ZM_RECORD_OPENED, 4).numbers.at (0), ZM_E_FAILED);
  say (ZM_RECORD_SHUT, 4);
  wait (ZM_RECORD_SHUTTED, 4);
  say (ZM_RECORD_OPEN, 5, { 77 }, { "two", "" });
  EXPECT_EQ (wait (ZM_RECORD_OPENED, 5).numbers.at (0), ZM_E_NOT_FOUND);
}

TEST_F (HostedLife, ASourceThatIsWokenAtOnceReturns)
{
  start ();
  bring_up (9, ways);
  for (guint64 source = 10; source < 60; source++) {
    say (ZM_RECORD_OPEN, source, { 9 }, { "one", section ({ { "word", "x" } }) });
    say (ZM_RECORD_WAKE, source);
    wait (ZM_RECORD_RETURNED, source);
    say (ZM_RECORD_SHUT, source);
    wait (ZM_RECORD_SHUTTED, source);
  }
  EXPECT_EQ (life (ZM_RECORD_CLOSE, ZM_RECORD_CLOSED, 9), ZM_OK);
}

} // namespace
