/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The source netlink with real links: main () enters a network namespace of its own before anything else runs. Where that is
 * not allowed, what needs it is skipped and the rest watches the machine's own loopback.
 */
#include "fake-host.hh"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

namespace {

bool own_namespace = false;

class Netlink : public ::testing::Test {
protected:
  void
  open (std::multimap<std::string, std::string> settings)
  {
    host = std::make_unique<FakeHost> ("sources", "netlink", std::move (settings));
    ASSERT_NE (host->desc, nullptr);
    ops = host->desc->source;
    ASSERT_EQ (ops->open (nullptr, &host->table, &source), ZM_OK);
  }

  void
  run ()
  {
    thread = std::thread ([this] { status = ops->run (source); });
  }

  /* Opens and waits for the first dump's last word about lo. */
  void
  begin (std::multimap<std::string, std::string> settings = {})
  {
    open (std::move (settings));
    run ();
    ASSERT_TRUE (seen ("Netlink?Link?Added", "\"lo\""));
  }

  void
  end ()
  {
    if (thread.joinable ()) {
      ops->wake (source);
      thread.join ();
      EXPECT_EQ (status, ZM_OK);
    }
    if (source)
      ops->close (source);
    source = nullptr;
  }

  void
  TearDown () override
  {
    end ();
    if (own_namespace && host)
      ip ("link del zma", true);
  }

  static bool
  ip (const std::string &arguments, bool quiet = false)
  {
    return std::system (("ip " + arguments + (quiet ? " 2>/dev/null" : "")).c_str ()) == 0;
  }

  static bool
  matches (const Event &event, const std::string &key, const std::string &part)
  {
    return event.key == key && event.body.find (part) != std::string::npos;
  }

  size_t
  count (const std::string &key, const std::string &part)
  {
    size_t found = 0;
    for (auto &event : host->events)
      found += matches (event, key, part);
    return found;
  }

  bool
  seen (const std::string &key, const std::string &part)
  {
    return host->wait ([&] { return count (key, part) > 0; });
  }

  std::unique_ptr<FakeHost> host;
  const zm_source_ops *ops = nullptr;
  void *source = nullptr;
  std::thread thread;
  int status = 1;
};

class OwnLinks : public Netlink {
protected:
  void
  SetUp () override
  {
    if (!own_namespace || !ip ("-V >/dev/null") || !ip ("link add zma type veth peer name zmb", true))
      GTEST_SKIP () << "no network namespace, no ip or no veth here";
    ip ("link del zma");
  }
};

TEST_F (Netlink, TellsWhatIsThere)
{
  begin ();
  std::lock_guard<std::mutex> guard (host->lock);
  for (auto &event : host->events)
    if (matches (event, "Netlink?Link?Added", "\"lo\"")) {
      EXPECT_EQ (event.body.find ("{\"interface\": \"lo\", \"index\": 1, \"state\": \""), 0u) << event.body;
      EXPECT_NE (event.body.find ("\"time\": \"20"), std::string::npos) << event.body;
      EXPECT_EQ (event.headers, "{\"content-type\": \"application/json\"}");
    }
  EXPECT_EQ (count ("Netlink?Link?Up", ""), 0u);
}

TEST_F (Netlink, EndsWhenWokenBeforeItRuns)
{
  open ({});
  ops->wake (source);
  run ();
}

TEST_F (Netlink, EventsWaitWhileTheSubjectIsFull)
{
  open ({});
  host->answer_emit (ZM_E_AGAIN);
  run ();
  ASSERT_TRUE (host->wait ([&] { return host->refused >= 3; }));
  EXPECT_TRUE (host->events.empty ());
  host->answer_emit (ZM_OK);
  EXPECT_TRUE (seen ("Netlink?Link?Added", "\"lo\""));
  std::lock_guard<std::mutex> guard (host->lock);
  EXPECT_EQ (count ("Netlink?Link?Added", "\"lo\""), 1u);
  EXPECT_EQ (host->metrics.count ("dropped"), 0u);
}

TEST_F (Netlink, WhatCannotWaitIsCounted)
{
  open ({ { "backlog", "0" } });
  host->answer_emit (ZM_E_AGAIN);
  run ();
  EXPECT_TRUE (host->wait ([&] { return host->metrics["dropped"] >= 1; }));
}

TEST_F (Netlink, WhatStillWaitsAtTheEndIsCounted)
{
  open ({});
  host->answer_emit (ZM_E_AGAIN);
  run ();
  ASSERT_TRUE (host->wait ([&] { return host->refused >= 1; }));
  end ();
  EXPECT_GE (host->metrics["dropped"], 1);
}

TEST_F (Netlink, RefusedEventsAreCountedAndDoNotWait)
{
  open ({});
  host->answer_emit (ZM_E_DENIED);
  run ();
  EXPECT_TRUE (host->wait ([&] { return host->metrics["refused"] >= 1; }));
}

TEST_F (OwnLinks, UpAndDown)
{
  begin ();
  ASSERT_TRUE (ip ("link add zma type veth peer name zmb"));
  ASSERT_TRUE (seen ("Netlink?Link?Added", "\"zma\""));
  ASSERT_TRUE (ip ("link set zma up"));
  ASSERT_TRUE (ip ("link set zmb up"));
  ASSERT_TRUE (seen ("Netlink?Link?Up", "\"interface\": \"zma\""));
  EXPECT_TRUE (seen ("Netlink?Link?Carrier", "\"carrier\": true"));
  ASSERT_TRUE (ip ("link set zmb down"));
  ASSERT_TRUE (seen ("Netlink?Link?Down", "\"interface\": \"zma\""));
  EXPECT_TRUE (seen ("Netlink?Link?Down", "\"enabled\": true, \"carrier\": false"));
  ASSERT_TRUE (ip ("link del zma"));
  EXPECT_TRUE (seen ("Netlink?Link?Removed", "\"interface\": \"zma\""));
  EXPECT_TRUE (seen ("Netlink?Link?Removed", "\"state\": \"removed\""));
  std::lock_guard<std::mutex> guard (host->lock);
  EXPECT_EQ (count ("Netlink?Link?Up", "\"zma\""), 1u);
  EXPECT_EQ (count ("Netlink?Link?Down", "\"zma\""), 1u);
}

TEST_F (OwnLinks, Changes)
{
  ASSERT_TRUE (ip ("link add zma type veth peer name zmb"));
  begin ();
  ASSERT_TRUE (ip ("link set zma mtu 1400"));
  EXPECT_TRUE (seen ("Netlink?Link?Changed", "\"mtu\": 1400"));
  ASSERT_TRUE (ip ("link set zma address 02:00:00:00:00:07"));
  EXPECT_TRUE (seen ("Netlink?Link?Changed", "\"address\": \"02:00:00:00:00:07\""));
  ASSERT_TRUE (ip ("link set zma name 'z\"\\é'"));
  EXPECT_TRUE (seen ("Netlink?Link?Changed", "\"interface\": \"z\\u0022\\u005c\\u00c3\\u00a9\""));
  ASSERT_TRUE (ip ("link del zmb"));
}

TEST_F (OwnLinks, Addresses)
{
  ASSERT_TRUE (ip ("link add zma type veth peer name zmb"));
  begin ();
  ASSERT_TRUE (ip ("addr add 192.0.2.1/24 dev zma"));
  EXPECT_TRUE (
      seen ("Netlink?Address?Added", "\"family\": \"ipv4\", \"address\": \"192.0.2.1\", \"prefix\": 24"));
  ASSERT_TRUE (ip ("addr add 192.0.2.9 peer 192.0.2.10/32 dev zma"));
  EXPECT_TRUE (seen ("Netlink?Address?Added", "\"address\": \"192.0.2.9\", \"prefix\": 32"));
  ASSERT_TRUE (ip ("addr del 192.0.2.1/24 dev zma"));
  EXPECT_TRUE (seen ("Netlink?Address?Removed", "\"interface\": \"zma\""));
  /* Of what is there at the start, one is told of too. */
  end ();
  begin ();
  EXPECT_TRUE (seen ("Netlink?Address?Added", "\"192.0.2.9\""));
}

TEST_F (OwnLinks, OnlyTheEventsAskedFor)
{
  begin ({ { "events", "link" } });
  ASSERT_TRUE (ip ("link add zma type veth peer name zmb"));
  ASSERT_TRUE (ip ("addr add 192.0.2.1/24 dev zma"));
  ASSERT_TRUE (ip ("link del zma"));
  EXPECT_TRUE (seen ("Netlink?Link?Removed", "\"zma\""));
  std::lock_guard<std::mutex> guard (host->lock);
  EXPECT_EQ (count ("Netlink?Address?Added", ""), 0u);
}

TEST_F (OwnLinks, OnlyTheInterfacesAskedFor)
{
  open ({ { "interface", "eth*" }, { "interface", "zm[a-a]" } });
  run ();
  ASSERT_TRUE (ip ("link add zma type veth peer name zmb"));
  EXPECT_TRUE (seen ("Netlink?Link?Added", "\"zma\""));
  ASSERT_TRUE (ip ("link del zma"));
  EXPECT_TRUE (seen ("Netlink?Link?Removed", "\"zma\""));
  std::lock_guard<std::mutex> guard (host->lock);
  EXPECT_EQ (count ("Netlink?Link?Added", ""), 1u);
}

/* What comes while the first dump is read counts as there at the start, so one link may not be enough. */
TEST_F (OwnLinks, SilentAboutTheStartIfAskedTo)
{
  open ({ { "initial", "no" } });
  run ();
  auto told = [&] {
    std::lock_guard<std::mutex> guard (host->lock);
    return count ("Netlink?Link?Added", "\"zma\"") > 0;
  };
  for (int i = 0; i < 100 && !told (); i++) {
    ASSERT_TRUE (ip ("link add zma type veth peer name zmb"));
    ASSERT_TRUE (ip ("link del zma"));
  }
  EXPECT_TRUE (told ());
  std::lock_guard<std::mutex> guard (host->lock);
  EXPECT_EQ (count ("Netlink?Link?Added", "\"lo\""), 0u);
}

/* Events are lost while the source hangs in emit, for which the test holds the host's lock: what is known at the end is
 * nevertheless what is. */
TEST_F (OwnLinks, ReadsAnewAfterAnOverrun)
{
  ASSERT_TRUE (ip ("link add zma type veth peer name zmb"));
  begin ({ { "receive-buffer", "1" } });
  ASSERT_TRUE (seen ("Netlink?Link?Added", "\"zma\""));
  double before;
  {
    std::lock_guard<std::mutex> guard (host->lock);
    before = host->metrics["overruns"];
    for (int i = 0; i < 10; i++)
      ASSERT_TRUE (ip ("link set zma mtu " + std::to_string (1400 + i)));
    ASSERT_TRUE (ip ("link del zma"));
    ASSERT_TRUE (ip ("link add zmc mtu 1409 type veth peer name zmd"));
  }
  EXPECT_TRUE (host->wait ([&] { return host->metrics["overruns"] > before; }));
  EXPECT_TRUE (seen ("Netlink?Link?Removed", "\"zma\""));
  EXPECT_TRUE (seen ("Netlink?Link?Added", "\"mtu\": 1409"));
  ASSERT_TRUE (ip ("link del zmc"));
  EXPECT_TRUE (seen ("Netlink?Link?Removed", "\"zmc\""));
}

/* ---- the namespace */

bool
write_file (const char *path, const std::string &text)
{
  int fd = ::open (path, O_WRONLY | O_CLOEXEC);
  bool good = fd >= 0 && write (fd, text.data (), text.size ()) == ssize_t (text.size ());
  if (fd >= 0)
    close (fd);
  return good;
}

/* As root straight away; else in a user namespace in which this user is root, so that ip keeps its rights. */
bool
enter_namespace ()
{
  std::string uid = std::to_string (getuid ()), gid = std::to_string (getgid ());
  if (unshare (CLONE_NEWNET) == 0)
    return true;
  return unshare (CLONE_NEWUSER | CLONE_NEWNET) == 0 && write_file ("/proc/self/setgroups", "deny") &&
         write_file ("/proc/self/uid_map", "0 " + uid + " 1") &&
         write_file ("/proc/self/gid_map", "0 " + gid + " 1");
}

} // namespace

int
main (int argc, char **argv)
{
  ::testing::InitGoogleTest (&argc, argv);
  own_namespace = enter_namespace ();
  return RUN_ALL_TESTS ();
}
