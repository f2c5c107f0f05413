/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The room worker: the sockets of workers in other languages, and which workers there are. */
#include "config.h"

#include "external-fixture.h"

#include <pthread.h>
#include <time.h>

#include <atomic>

namespace external {

/* ---- sockets ---- */

TEST_F (External, NobodyConnectedIsUnavailableAtOnce)
{
  EXPECT_EQ (add ("w", nullptr), "");
  EXPECT_EQ (send ("w", "x"),
             "worker w: no process is connected, or all have their queues full; see zmanagerctl workers");
  EXPECT_EQ (send ("other", "x"), "there is no [worker other]; add it to the configuration");
  EXPECT_NE (json ().find ("\"sent\":0,\"refused\":1,\"state\":\"elsewhere\"}"), std::string::npos);
}

TEST_F (External, MessagesArriveAsTheyAreOnTheWire)
{
  EXPECT_EQ (add ("w", nullptr), "");
  void *socket = pull ("ipc://" + path + "/worker-w");
  ASSERT_TRUE (connected ("w"));
  EXPECT_EQ (send ("w", "body"), "");
  EXPECT_EQ (receive (socket)[1], "are you there");
  EXPECT_EQ (receive (socket), (std::vector<std::string>{ "F~~~Hello~Greet~7", "body" }));
}

TEST_F (External, WorkIsSpreadOverAllThatConnect)
{
  EXPECT_EQ (add ("w", nullptr, ("ipc://" + path + "/own").c_str ()), "");
  void *one = pull ("ipc://" + path + "/own"), *two = pull ("ipc://" + path + "/own");
  std::vector<int> got (2);
  int sent = 0;

  ASSERT_TRUE (until ([&] {
    sent += send ("w", "x") == "";
    for (int i = 0; i < 2; i++)
      while (zmq_recv (i == 0 ? one : two, nullptr, 0, ZMQ_DONTWAIT) >= 0)
        got[(size_t) i]++;
    return got[0] > 4 && got[1] > 4;
  }));
  EXPECT_GT (sent, 0);
}

TEST_F (External, FullQueuesRefuseAndNothingIsLost)
{
  const std::string body (1024, 'x');
  int sent = 0, received = 0;

  zm_externals_free (externals);
  make (10);
  EXPECT_EQ (add ("w", nullptr), "");
  void *socket = pull ("ipc://" + path + "/worker-w", 10);
  ASSERT_TRUE (connected ("w"));
  for (sent = 1; sent < 100000 && send ("w", body) == ""; sent++)
    ;
  EXPECT_LT (sent, 100000) << "never full";
  while (received < sent && receive (socket).size () == 2)
    received++;
  EXPECT_EQ (received, sent);
}

TEST_F (External, ManyThreadsSendThroughOneSocket)
{
  const int threads = 4, each = 500;
  int received = 0;
  std::vector<std::thread> senders;

  EXPECT_EQ (add ("w", nullptr), "");
  void *socket = pull ("ipc://" + path + "/worker-w");
  ASSERT_TRUE (connected ("w"));
  for (int i = 0; i < threads; i++)
    senders.emplace_back ([this] {
      for (int n = 0; n < each;)
        n += send ("w", "x") == "" ? 1 : 0;
    });
  while (received < threads * each + 1 && receive (socket).size () == 2)
    received++;
  for (std::thread &sender : senders)
    sender.join ();
  EXPECT_EQ (received, threads * each + 1);
  EXPECT_NE (json ().find ("\"sent\":2001,"), std::string::npos) << json ();
}

TEST_F (External, RemovedOnesAreUnavailableAndMayComeBack)
{
  const char *const names[] = { "a", nullptr };

  EXPECT_EQ (add ("a", nullptr), "");
  for (int round = 0; round < 20; round++) {
    EXPECT_EQ (add ("b", nullptr), "");
    pull ("ipc://" + path + "/worker-b");
    ASSERT_TRUE (connected ("b")) << round;
    zm_externals_keep (externals, names);
    EXPECT_EQ (send ("b", "x"), "there is no [worker b]; add it to the configuration");
    zmq_close (sockets.back ());
    sockets.pop_back ();
  }
  EXPECT_NE (json ().find ("\"name\":\"a\""), std::string::npos);
  EXPECT_EQ (json ().find ("\"name\":\"b\""), std::string::npos);
}

TEST_F (External, AnEndpointThatCannotBeBoundIsShownAndTriedAgain)
{
  const std::string endpoint = "ipc://" + path + "/later/socket";
  const std::string problem = "worker w: cannot bind " + endpoint +
                              ": No such file or directory; set [worker w] bind to an endpoint that is free";

  EXPECT_EQ (add ("w", nullptr, endpoint.c_str ()), problem);
  EXPECT_EQ (send ("w", "x"), problem);
  EXPECT_EQ (reasons (), problem + "\n");
  EXPECT_NE (json ().find ("\"last_end\":\"cannot bind "), std::string::npos) << json ();
  EXPECT_NE (json ().find ("\"state\":\"failed\"}]"), std::string::npos) << json ();
  EXPECT_EQ (add ("w", nullptr, endpoint.c_str ()), problem);
  ASSERT_EQ (g_mkdir ((path + "/later").c_str (), 0700), 0);
  EXPECT_EQ (add ("w", nullptr, endpoint.c_str ()), "");
  EXPECT_EQ (reasons (), "");
  EXPECT_NE (json ().find ("\"state\":\"elsewhere\"}]"), std::string::npos) << json ();
  const char *const none[] = { nullptr };
  zm_externals_keep (externals, none);
  g_rmdir ((path + "/later").c_str ());
}

TEST_F (External, ANewEndpointReplacesTheOldOne)
{
  EXPECT_EQ (add ("w", nullptr), "");
  EXPECT_EQ (add ("w", nullptr, ("ipc://" + path + "/new").c_str ()), "");
  void *socket = pull ("ipc://" + path + "/new");
  ASSERT_TRUE (connected ("w"));
  EXPECT_EQ (receive (socket).size (), 2u);
  EXPECT_NE (add ("w", nullptr, "ipc:///nowhere/at/all"), "");
  EXPECT_NE (reasons ().find ("cannot bind ipc:///nowhere/at/all"), std::string::npos) << reasons ();
  EXPECT_EQ (send ("w", "still there"), "");
  EXPECT_EQ (receive (socket)[1], "still there");
}

/* What makes a new process slow to let go of what it inherited. */
std::atomic<bool> slow_child, forking;

void
before_fork ()
{
  forking = true;
}

void
in_child ()
{
  const struct timespec moment = { 0, 300 * 1000 * 1000 };

  if (slow_child)
    nanosleep (&moment, nullptr);
}

TEST_F (External, AnEndpointIsFreeAlsoWhileAProcessIsBeingStarted)
{
  const char *const none[] = { nullptr };
  static const int prepared = pthread_atfork (before_fork, nullptr, in_child);

  ASSERT_EQ (prepared, 0);
  slow_child = true;
  forking = false;
  /* Not ipc, where libzmq takes a path away from who has it. */
  ASSERT_EQ (add ("w", "sleep 1000", "tcp://127.0.0.1:*"), "");
  std::string text = json (), endpoint = text.substr (text.find ("tcp://"));
  endpoint.resize (endpoint.find ('"'));
  ASSERT_TRUE (until ([] { return forking.load (); }));
  zm_externals_keep (externals, none);
  EXPECT_EQ (add ("v", nullptr, endpoint.c_str ()), "");
  slow_child = false;
}

} // namespace external
