/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The example components, each by itself: its answers, its refusals, and that it lets go of what it took. */
#include "fake-host.hh"

namespace {

const char *const names[] = { "hello", "echo", "counter", "slow", "link-status" };

/* ---- what every component has */

class Every : public ::testing::TestWithParam<const char *> {};

TEST_P (Every, DescriptorNamesItsActions)
{
  FakeHost host ("components", GetParam ());
  ASSERT_NE (host.desc, nullptr);
  EXPECT_EQ (host.desc->struct_size, sizeof (zm_plugin_desc));
  EXPECT_STREQ (host.desc->name, GetParam ());
  EXPECT_STREQ (host.desc->licence, "LGPL-2.1-or-later");
  for (const zm_action_desc *action = host.desc->actions; action && action->name; action++) {
    EXPECT_EQ (host.action (action->name), action->fn) << action->name;
    EXPECT_STRNE (action->doc, "");
  }
}

TEST_P (Every, StartsAndStopsTwice)
{
  for (int i = 0; i < 2; i++) {
    FakeHost host ("components", GetParam ());
    EXPECT_EQ (host.start (), ZM_OK);
  }
}

INSTANTIATE_TEST_SUITE_P (Components, Every, ::testing::ValuesIn (names));

/* ---- hello, echo */

TEST (Hello, Greets)
{
  FakeHost host ("components", "hello");
  EXPECT_EQ (host.run ("greet").body, "hello");
  EXPECT_EQ (host.run ("greet").type, "text/plain");
  EXPECT_EQ (host.run ("greet", "world").body, "hello, world");
  EXPECT_EQ (host.run ("greet", std::string (100, 'x')).body, "hello, " + std::string (100, 'x'));
  Reply refused = host.run ("greet", std::string (101, 'x'));
  EXPECT_EQ (refused.status, ZM_REJECT);
  EXPECT_EQ (refused.code, "invalid");
}

TEST (Echo, GivesBackBodyAndType)
{
  FakeHost host ("components", "echo");
  std::string bytes ("a\0b", 3);
  EXPECT_EQ (host.run ("echo", bytes).body, bytes);
  EXPECT_EQ (host.run ("echo", bytes).type, "");
  EXPECT_EQ (host.run ("echo", bytes, { { "content-type", "image/png" } }).type, "image/png");
  EXPECT_EQ (host.run ("echo", bytes, { { "content-type", std::string (200, 'x') } }).type, "");
  EXPECT_EQ (host.run ("echo").body, "");
}

TEST (Echo, Json)
{
  FakeHost host ("components", "echo");
  EXPECT_EQ (host.run ("echo_json", "[1]", { { "content-type", "text/plain" } }).type, "application/json");
  EXPECT_EQ (host.run ("echo_json", "[1]").body, "[1]");
  EXPECT_EQ (host.run ("echo_json").body, "null");
}

/* ---- counter */

TEST (Counter, AddsUpWorkersAlsoThoseThatEnded)
{
  FakeHost host ("components", "counter");
  ASSERT_EQ (host.start (), ZM_OK);
  void *one = host.desc->worker_start (host.state, 0);
  void *two = host.desc->worker_start (host.state, 1);
  for (int i = 0; i < 3; i++)
    EXPECT_EQ (host.run ("count", "x", {}, i < 2 ? one : two).status, ZM_OK);
  EXPECT_EQ (host.run ("total").body, "{\"total\": 3, \"since_report\": 3, \"workers\": 2}");
  host.desc->worker_stop (host.state, one);
  EXPECT_EQ (host.run ("total").body, "{\"total\": 3, \"since_report\": 3, \"workers\": 1}");
  host.desc->worker_stop (host.state, two);
  EXPECT_EQ (host.run ("total").body, "{\"total\": 3, \"since_report\": 3, \"workers\": 0}");
}

TEST (Counter, RefusesWithoutATally)
{
  FakeHost host ("components", "counter");
  ASSERT_EQ (host.start (), ZM_OK);
  EXPECT_EQ (host.run ("count").code, "unavailable");
  host.desc->worker_stop (host.state, nullptr);
}

TEST (Counter, CountsFromManyThreads)
{
  FakeHost host ("components", "counter");
  ASSERT_EQ (host.start (), ZM_OK);
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 4; i++)
    threads.emplace_back ([&host, i] {
      void *tally = host.desc->worker_start (host.state, i);
      for (int n = 0; n < 1000; n++)
        host.run ("count", "", {}, tally);
      host.desc->worker_stop (host.state, tally);
    });
  for (auto &thread : threads)
    thread.join ();
  EXPECT_EQ (host.run ("total").body, "{\"total\": 4000, \"since_report\": 4000, \"workers\": 0}");
}

TEST (Counter, TimerReportsUnderItsKey)
{
  FakeHost host ("components", "counter", { { "interval", "50" }, { "key", "My??Sum" } });
  ASSERT_EQ (host.start (), ZM_OK);
  ASSERT_EQ (host.timers.count ("report"), 1u);
  void *tally = host.desc->worker_start (host.state, 0);
  host.run ("count", "", {}, tally);
  FakeCall first, second;
  Reply reply = host.run (first, host.timers["report"]);
  EXPECT_EQ (reply.key, "My??Sum");
  EXPECT_EQ (reply.body, "{\"total\": 1, \"since_report\": 1, \"workers\": 1}");
  EXPECT_EQ (host.run (second, host.timers["report"]).body,
             "{\"total\": 1, \"since_report\": 0, \"workers\": 1}");
  host.desc->worker_stop (host.state, tally);
}

TEST (Counter, NoTimerUnlessAskedFor)
{
  FakeHost host ("components", "counter");
  ASSERT_EQ (host.start (), ZM_OK);
  EXPECT_TRUE (host.timers.empty ());
}

TEST (Counter, ReportsUnderABadKeyFail)
{
  FakeHost host ("components", "counter", { { "interval", "50" }, { "key", "nonsense" } });
  ASSERT_EQ (host.start (), ZM_OK);
  FakeCall call;
  EXPECT_EQ (host.run (call, host.timers["report"]).code, "invalid");
}

/* ---- slow */

TEST (Slow, CompletesFromItsThreadInOrderOfTime)
{
  FakeHost host ("components", "slow", { { "delay", "40" } });
  ASSERT_EQ (host.start (), ZM_OK);
  FakeCall last, first;
  EXPECT_EQ (host.run (last, host.action ("later"), "last").status, ZM_DEFERRED);
  EXPECT_EQ (host.run (first, host.action ("later"), "first", { { "delay", "1" } }).status, ZM_DEFERRED);
  ASSERT_TRUE (host.wait ([&] { return host.completed.size () == 2; }));
  EXPECT_EQ (host.order, (std::vector<zm_ticket>{ first.ticket, last.ticket }));
  EXPECT_EQ (host.completed[first.ticket].body, "first");
  EXPECT_EQ (host.completed[last.ticket].status, ZM_OK);
}

TEST (Slow, TheBodyIsItsOwn)
{
  FakeHost host ("components", "slow");
  ASSERT_EQ (host.start (), ZM_OK);
  zm_ticket ticket;
  {
    FakeCall call;
    host.run (call, host.action ("later"), "kept", { { "delay", "5" } });
    ticket = call.ticket;
    call.body.assign (4, '!');
  }
  ASSERT_TRUE (host.wait ([&] { return host.completed.size () == 1; }));
  EXPECT_EQ (host.completed[ticket].body, "kept");
}

TEST (Slow, RefusesMoreThanItKeeps)
{
  FakeHost host ("components", "slow", { { "pending", "1" }, { "delay", "600000" } });
  ASSERT_EQ (host.start (), ZM_OK);
  FakeCall kept, refused;
  EXPECT_EQ (host.run (kept, host.action ("later")).status, ZM_DEFERRED);
  EXPECT_EQ (host.run (refused, host.action ("later")).status, ZM_DEFERRED);
  EXPECT_EQ (host.completed.at (refused.ticket).code, "busy");
  EXPECT_EQ (host.completed.at (refused.ticket).status, ZM_RETRY);
  host.stop ();
  EXPECT_EQ (host.completed.at (kept.ticket).code, "stopped");
}

TEST (Slow, CountsCallsThatWereGivenUpOn)
{
  FakeHost host ("components", "slow");
  ASSERT_EQ (host.start (), ZM_OK);
  host.given_up[1] = true;
  FakeCall call;
  host.run (call, host.action ("later"), "", { { "delay", "0" } });
  ASSERT_TRUE (host.wait ([&] { return host.completed.size () == 1; }));
  EXPECT_EQ (host.metrics["cancelled"], 1);
}

TEST (Slow, WorkEndsEarlyWhenGivenUpOn)
{
  FakeHost host ("components", "slow", { { "delay", "600000" } });
  ASSERT_EQ (host.start (), ZM_OK);
  FakeCall call;
  call.cancelled = true;
  EXPECT_EQ (host.run (call, host.action ("work")).code, "cancelled");
  Reply reply = host.run ("work", "x", { { "delay", "1" } });
  EXPECT_EQ (reply.status, ZM_OK);
  EXPECT_EQ (reply.body, "x");
}

TEST (Slow, ADelayThatIsNoNumberIsTheStandard)
{
  const char *const bad[] = { "", "x", "-1", "1x", "1e3" };
  for (const char *text : bad) {
    FakeHost host ("components", "slow", { { "delay", "0" } });
    ASSERT_EQ (host.start (), ZM_OK);
    EXPECT_EQ (host.run ("work", "x", { { "delay", text } }).body, "x") << text;
  }
}

/* ---- link-status */

std::string
about (const std::string &name, const std::string &more = "")
{
  return "{\"interface\": \"" + name + "\"" + more + "}";
}

TEST (LinkStatus, CountsFlaps)
{
  FakeHost host ("components", "link-status");
  ASSERT_EQ (host.start (), ZM_OK);
  Reply up = host.run ("on_link_up", about ("eth0", ", \"time\": \"T1\""));
  EXPECT_EQ (
      up.body,
      "{\"interface\": \"eth0\", \"state\": \"up\", \"was\": \"unknown\", \"flaps\": 0, \"since\": \"T1\"}");
  EXPECT_EQ (up.type, "application/json");
  EXPECT_EQ (host.metrics["links_up"], 1);
  Reply down = host.run ("on_link_down", about ("eth0", ", \"time\": \"T2\""));
  EXPECT_EQ (
      down.body,
      "{\"interface\": \"eth0\", \"state\": \"down\", \"was\": \"up\", \"flaps\": 1, \"since\": \"T2\"}");
  Reply again = host.run ("on_link_down", about ("eth0", ", \"time\": \"T3\""));
  EXPECT_EQ (
      again.body,
      "{\"interface\": \"eth0\", \"state\": \"down\", \"was\": \"down\", \"flaps\": 1, \"since\": \"T2\"}");
  EXPECT_EQ (host.metrics["flaps"], 1);
  EXPECT_EQ (host.metrics["links_up"], 0);
  EXPECT_EQ (host.metrics["links_known"], 1);
}

TEST (LinkStatus, ChangesAndForgets)
{
  FakeHost host ("components", "link-status");
  ASSERT_EQ (host.start (), ZM_OK);
  host.run ("on_change", about ("a", ", \"state\": \"up\""));
  host.run ("on_change", about ("b", ", \"state\": \"down\""));
  EXPECT_EQ (host.run ("get").body,
             "[{\"interface\": \"a\", \"state\": \"up\", \"flaps\": 0, \"since\": \"\"}, "
             "{\"interface\": \"b\", \"state\": \"down\", \"flaps\": 0, \"since\": \"\"}]");
  EXPECT_EQ (host.run ("on_change", about ("a", ", \"state\": \"down\"")).body,
             "{\"interface\": \"a\", \"state\": \"up\", \"was\": \"up\", \"flaps\": 0, \"since\": \"\"}");
  EXPECT_EQ (
      host.run ("on_change", about ("a", ", \"state\": \"removed\", \"time\": \"T9\"")).body,
      "{\"interface\": \"a\", \"state\": \"removed\", \"was\": \"up\", \"flaps\": 0, \"since\": \"T9\"}");
  EXPECT_EQ (host.metrics["links_known"], 1);
  EXPECT_EQ (host.run ("get", about ("a")).code, "not-found");
  EXPECT_EQ (host.run ("get", about ("b")).body,
             "{\"interface\": \"b\", \"state\": \"down\", \"flaps\": 0, \"since\": \"\"}");
  EXPECT_EQ (host.run ("on_change", about ("b", ", \"state\": \"sideways\"")).code, "invalid");
  EXPECT_EQ (host.run ("on_change", about ("b")).code, "invalid");
}

TEST (LinkStatus, NothingKnownIsAnEmptyArray)
{
  FakeHost host ("components", "link-status");
  ASSERT_EQ (host.start (), ZM_OK);
  EXPECT_EQ (host.run ("get").body, "[]");
}

TEST (LinkStatus, ReadsOnlyItsMember)
{
  struct {
    std::string body, name;
  } cases[] = {
    { "{\"interface\":\"x\"}", "x" },
    { " {\t\"a\" : [\"interface\", {\"interface\": \"no\"}],\n \"interface\" : \"yes\" } ", "yes" },
    { "{\"a\": \"\\\"interface\\\": \\\"no\\\"\", \"interface\": \"q\\\"\\u00e9\"}", "q\\\"\\u00e9" },
    { "{\"value\": \"interface\", \"interface\": \"v\"}", "v" },
    { "", "" },
    { "{", "" },
    { "[\"interface\", \"x\"]", "" },
    { "{\"interface\"}", "" },
    { "{\"interface\":", "" },
    { "{\"interface\": 7}", "" },
    { "{\"interface\": \"open", "" },
    { "{\"interface\": \"bad\\escape\"}", "" },
    { "{\"interface\": \"ends in \\", "" },
    { "{\"interface\": \"line\nbreak\"}", "" },
    { std::string ("{\"interface\": \"n\0l\"}", 20), "" },
    { "{\"interface\": \"" + std::string (95, 'x') + "\"}", std::string (95, 'x') },
    { "{\"interface\": \"" + std::string (96, 'x') + "\"}", "" },
    { "{\"a\": {\"interface\": \"deep\"}}", "" },
  };
  for (auto &item : cases) {
    FakeHost host ("components", "link-status");
    ASSERT_EQ (host.start (), ZM_OK);
    Reply reply = host.run ("on_link_up", item.body);
    if (item.name.empty ())
      EXPECT_EQ (reply.code, "invalid") << item.body;
    else
      EXPECT_EQ (reply.body.find ("{\"interface\": \"" + item.name + "\","), 0u)
          << item.body << " gave " << reply.body;
  }
}

TEST (LinkStatus, KeepsSoManyAndNoMore)
{
  FakeHost host ("components", "link-status");
  ASSERT_EQ (host.start (), ZM_OK);
  std::string longest (88, 'x');
  for (int i = 0; i < 1024; i++)
    ASSERT_EQ (host.run ("on_link_up", about (longest + std::to_string (i),
                                              ", \"time\": \"" + longest.substr (0, 39) + "\""))
                   .status,
               ZM_OK);
  EXPECT_EQ (host.run ("on_link_up", about ("more")).code, "full");
  EXPECT_EQ (host.run ("on_link_down", about (longest + "7")).status, ZM_OK);
  EXPECT_GT (host.run ("get").body.size (), 1024u * 100);
}

} // namespace
