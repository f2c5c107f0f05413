/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who subscribes what: the set of prefixes, what the Integration Manager knows of it, and where it ends. */
#include "integration-fixture.h"

#include "integration/prefixes.h"

#include <cstring>

#include <fcntl.h>
#include <unistd.h>

using namespace integration_test;

namespace {

TEST (Prefixes, MatchAndBounds)
{
  ZmPrefixes *set = zm_prefixes_new (3);
  EXPECT_FALSE (zm_prefixes_match (set, span ("x")));
  EXPECT_TRUE (zm_prefixes_put (set, span ("abc")));
  EXPECT_FALSE (zm_prefixes_put (set, span ("abc"))) << "a member already";
  EXPECT_TRUE (zm_prefixes_hold (set, span ("ab")));
  EXPECT_FALSE (zm_prefixes_hold (set, span ("ab")));
  EXPECT_TRUE (zm_prefixes_match (set, span ("abd")));
  EXPECT_FALSE (zm_prefixes_drop (set, span ("ab")));
  EXPECT_TRUE (zm_prefixes_drop (set, span ("ab")));
  EXPECT_FALSE (zm_prefixes_match (set, span ("abd")));
  EXPECT_TRUE (zm_prefixes_match (set, span ("abc")));
  EXPECT_FALSE (zm_prefixes_match (set, span ("ab")));
  EXPECT_TRUE (zm_prefixes_put (set, span ("")));
  EXPECT_TRUE (zm_prefixes_match (set, span ("")));
  EXPECT_TRUE (zm_prefixes_drop (set, span ("")));
  EXPECT_FALSE (zm_prefixes_drop (set, span (""))) << "not a member";
  EXPECT_FALSE (zm_prefixes_put (set, span (std::string (ZM_KEY_MOST + 1, 'x')))) << "longer than any topic";
  EXPECT_EQ (zm_prefixes_lost (set), 0u);
  zm_prefixes_put (set, span ("1"));
  zm_prefixes_put (set, span ("2"));
  EXPECT_FALSE (zm_prefixes_put (set, span ("3"))) << "full";
  EXPECT_EQ (zm_prefixes_lost (set), 1u);
  EXPECT_TRUE (zm_prefixes_match (set, span ("3")))
      << "the safe side: whoever could not be stored may want it";
  zm_prefixes_free (set);
}

/* libzmq would take all of it into memory. Not a subscription: the peer's own libzmq does not bear one of this length. */
TEST_F (Integration, WhoSendsMoreThanASubscriptionIsCutOff)
{
  open ();
  std::string message (1 << 20, 'x');
  int none = 0;
  void *peer = zmq_socket (zmq, ZMQ_XSUB), *events = zmq_socket (zmq, ZMQ_PAIR);
  sockets = { peer, events };
  for (void *socket : sockets)
    zmq_setsockopt (socket, ZMQ_LINGER, &none, sizeof none);
  ASSERT_EQ (zmq_socket_monitor (peer, "inproc://endless", ZMQ_EVENT_DISCONNECTED), 0);
  ASSERT_EQ (zmq_connect (events, "inproc://endless"), 0);
  ASSERT_EQ (zmq_connect (peer, endpoint ().c_str ()), 0);
  ASSERT_EQ (zmq_send (peer, message.data (), message.size (), 0), (int) message.size ());
  EXPECT_FALSE (nothing (events, kWaitMs));
  zmq_socket_monitor (peer, nullptr, 0);
}

TEST_F (Integration, KnowsExactlyWhoSubscribes)
{
  open ();
  EXPECT_FALSE (zm_integration_has_subscriber (integration, span ("F~~s~c~a~1")));
  void *one = subscribe ("F~~s~");
  EXPECT_TRUE (zm_integration_has_subscriber (integration, span ("F~~s~c~a~1")));
  EXPECT_FALSE (zm_integration_has_subscriber (integration, span ("F2~~s~c~a~1")));
  EXPECT_FALSE (zm_integration_has_subscriber (integration, span ("F~~"))) << "shorter than the prefix";
  EXPECT_TRUE (zm_integration_has_prefix (integration, span ("F~~s~")));
  EXPECT_FALSE (zm_integration_has_prefix (integration, span ("F~~s~c~")))
      << "a prefix itself, not what it matches";

  /* The same peer twice, another peer once: only when the last has gone is it gone. */
  zmq_setsockopt (one, ZMQ_SUBSCRIBE, "F~~s~", 5);
  ASSERT_TRUE (seen.wait (&Seen::on, "F~~s~", 2));
  void *two = subscribe ("F~~s~");
  EXPECT_EQ (zm_integration_n_subscriptions (integration), 1u);
  zmq_close (one);
  sockets[0] = nullptr;
  void *marker = subscribe ("marker");
  EXPECT_TRUE (zm_integration_has_subscriber (integration, span ("F~~s~c~a~1")))
      << "the second peer is there";
  zmq_setsockopt (two, ZMQ_UNSUBSCRIBE, "F~~s~", 5);
  ASSERT_TRUE (seen.wait (&Seen::off, "F~~s~"));
  EXPECT_FALSE (zm_integration_has_subscriber (integration, span ("F~~s~c~a~1")));
  zmq_close (marker);
  sockets[2] = nullptr;
  ASSERT_TRUE (seen.wait (&Seen::off, "marker")) << "a peer that goes away takes its subscriptions with it";
  EXPECT_EQ (zm_integration_n_subscriptions (integration), 0u);
}

/* Beyond its bound the set cannot answer any more, and somebody must know of it. */
TEST_F (Integration, MoreSubscriptionsThanAreKeptAreTold)
{
  constexpr int kMost = 65536;
  std::string file = directory + "/log", text;
  int fd = ::open (file.c_str (), O_CREAT | O_WRONLY, 0600);
  ASSERT_GE (fd, 0);
  ZmLog *log = zm_log_new (fd, ZM_LOG_FORMAT_HUMAN, ZM_LEVEL_WARNING);
  config.log = log;
  /* Subscriptions are messages too, and libzmq drops them at a high-water mark. */
  config.high_water = 2 * kMost;
  open ();
  g_autoptr (GPtrArray) none = g_ptr_array_new_with_free_func (g_free);
  void *sub = subscribe ("0~");
  for (int i = 1; i < kMost; i++) {
    std::string prefix = std::to_string (i) + "~";
    zmq_setsockopt (sub, ZMQ_SUBSCRIBE, prefix.data (), prefix.size ());
  }
  ASSERT_TRUE (seen.wait (&Seen::on, std::to_string (kMost - 1) + "~"));
  zm_integration_reasons (integration, none);
  EXPECT_EQ (none->len, 0u) << "as many as there may be";
  EXPECT_FALSE (zm_integration_has_subscriber (integration, zm_span_text ("F~~s~c~a~1")));

  for (const char *prefix : { "one~", "two~" }) {
    zmq_setsockopt (sub, ZMQ_SUBSCRIBE, prefix, strlen (prefix));
    ASSERT_TRUE (seen.wait (&Seen::on, prefix));
  }
  g_autoptr (GPtrArray) reasons = g_ptr_array_new_with_free_func (g_free);
  zm_integration_reasons (integration, reasons);
  ASSERT_EQ (reasons->len, 1u);
  text = static_cast<const char *> (reasons->pdata[0]);
  EXPECT_NE (text.find (endpoint ()), std::string::npos) << text;
  EXPECT_NE (text.find ("2 too many"), std::string::npos) << text;
  EXPECT_TRUE (zm_integration_has_subscriber (integration, zm_span_text ("F~~s~c~a~1")));
  EXPECT_EQ (counter ("zmanager_integration_uncounted_total"), 2);
  EXPECT_EQ (zm_integration_n_subscriptions (integration), static_cast<guint> (kMost));
  close (1000);
  zm_log_unref (log);
  ::close (fd);
  g_autofree char *said = nullptr;
  ASSERT_TRUE (g_file_get_contents (file.c_str (), &said, nullptr, nullptr));
  text = said;
  size_t at = text.find ("more than 65536 different prefixes");
  EXPECT_NE (at, std::string::npos) << text;
  EXPECT_EQ (text.find ("more than 65536 different prefixes", at + 1), std::string::npos) << "once";
}

TEST_F (Integration, SubscribersToAllMatchEverything)
{
  open ();
  subscribe ("");
  EXPECT_TRUE (zm_integration_has_subscriber (integration, span ("anything")));
  EXPECT_FALSE (zm_integration_has_prefix (integration, span ("^hello~x")));
}

} // namespace
