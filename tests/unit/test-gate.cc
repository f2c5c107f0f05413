/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Gates, with real sockets: connections are counted, too many close the endpoint for a second, and so does a failed accept. */
#include "config.h"

#include "message/zm-gate.h"

#include "base/zm-base.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <functional>
#include <gtest/gtest.h>
#include <string.h>
#include <string>
#include <sys/resource.h>
#include <unistd.h>
#include <vector>
#include <zmq.h>

namespace {

constexpr gint64 DEADLINE_US = 20 * G_USEC_PER_SEC;

class Gate : public ::testing::Test {
protected:
  void
  SetUp () override
  {
    GError *error = nullptr;
    metrics = zm_metrics_new ();
    zmq = zmq_ctx_new ();
    gates = zm_gates_new (zmq, nullptr, metrics, &error);
    ASSERT_NE (gates, nullptr) << error->message;
  }

  void
  TearDown () override
  {
    for (void *peer : peers)
      zmq_close (peer);
    zm_gate_free (gate);
    if (socket != nullptr)
      zmq_close (socket);
    zm_gates_free (gates);
    zmq_ctx_term (zmq);
    zm_metrics_free (metrics);
  }

  void
  bind (const char *where, guint limit)
  {
    char actual[256];
    size_t size = sizeof actual;
    GError *error = nullptr;
    int none = 0;
    socket = zmq_socket (zmq, ZMQ_PULL);
    zmq_setsockopt (socket, ZMQ_LINGER, &none, sizeof none);
    ASSERT_EQ (zmq_bind (socket, where), 0) << zmq_strerror (errno);
    ASSERT_EQ (zmq_getsockopt (socket, ZMQ_LAST_ENDPOINT, actual, &size), 0);
    endpoint = actual;
    gate = zm_gate_new (
        gates, "subject", limit, socket, actual, [] (gpointer) {}, nullptr, &error);
    ASSERT_NE (gate, nullptr) << error->message;
  }

  void
  connect (guint n)
  {
    int none = 0;
    for (guint i = 0; i < n; i++) {
      void *peer = zmq_socket (zmq, ZMQ_PUSH);
      zmq_setsockopt (peer, ZMQ_LINGER, &none, sizeof none);
      ASSERT_EQ (zmq_connect (peer, endpoint.c_str ()), 0);
      peers.push_back (peer);
    }
  }

  void
  disconnect (guint n)
  {
    for (; n > 0; n--) {
      zmq_close (peers.back ());
      peers.pop_back ();
    }
  }

  gint64
  connections ()
  {
    return zm_counter_get (
        zm_metrics_gauge (metrics, "zmanager_connections", "", "endpoint", endpoint.c_str ()));
  }

  gint64
  shuts ()
  {
    return zm_counter_get (
        zm_metrics_counter (metrics, "zmanager_endpoint_shut_total", "", "endpoint", endpoint.c_str ()));
  }

  std::string
  reasons ()
  {
    GPtrArray *list = g_ptr_array_new_with_free_func (g_free);
    std::string all;
    zm_gates_reasons (gates, list);
    for (guint i = 0; i < list->len; i++)
      all += static_cast<const char *> (list->pdata[i]);
    g_ptr_array_unref (list);
    return all;
  }

  /* Does what an owner's thread does until it is so, or the deadline has passed. */
  bool
  until (const std::function<bool ()> &so)
  {
    gint64 end_us = zm_now_us () + DEADLINE_US;
    bool is = so ();
    for (; !is && zm_now_us () < end_us; is = so ()) {
      zmq_pollitem_t item = { socket, 0, ZMQ_POLLIN, 0 };
      zm_gate_turn (gate);
      zmq_poll (&item, 1, 5);
    }
    return is;
  }

  /* Does a message of the peer come through? */
  bool
  passes (void *peer)
  {
    char buffer[8];
    return until ([&] {
      zmq_send (peer, "x", 1, ZMQ_DONTWAIT);
      return zmq_recv (socket, buffer, sizeof buffer, ZMQ_DONTWAIT) == 1;
    });
  }

  ZmMetrics *metrics = nullptr;
  void *zmq = nullptr;
  ZmGates *gates = nullptr;
  void *socket = nullptr;
  ZmGate *gate = nullptr;
  std::string endpoint;
  std::vector<void *> peers;
};

TEST_F (Gate, CountsThoseWhoComeAndGo)
{
  bind ("tcp://127.0.0.1:*", 4);
  connect (4);
  EXPECT_TRUE (until ([this] { return connections () == 4; })) << connections ();
  disconnect (3);
  EXPECT_TRUE (until ([this] { return connections () == 1; })) << connections ();
  connect (2);
  EXPECT_TRUE (until ([this] { return connections () == 3; })) << connections ();
  EXPECT_EQ (shuts (), 0);
  EXPECT_EQ (reasons (), "");
}

class Transport : public Gate, public ::testing::WithParamInterface<bool> {};

TEST_P (Transport, OverTheLimitItIsClosedForASecond)
{
  g_autofree char *folder = g_dir_make_tmp ("zm-gate-XXXXXX", nullptr);
  g_autofree char *path = g_strdup_printf ("ipc://%s/s", folder);
  bind (GetParam () ? path : "tcp://127.0.0.1:*", 4);
  connect (8);
  ASSERT_TRUE (until ([this] { return reasons () != ""; }));
  gint64 shut_us = zm_now_us ();
  EXPECT_NE (reasons ().find ("is closed for a moment: it has more connections than its limit"),
             std::string::npos)
      << reasons ();
  g_autofree char *json = zm_gates_json (gates);
  EXPECT_NE (strstr (json, "\"state\":\"shut\""), nullptr) << json;
  EXPECT_EQ (shuts (), 1);
  disconnect (5);
  /* Those that stay come back by themselves. */
  EXPECT_TRUE (until ([this] { return reasons () == "" && connections () == 3; })) << connections ();
  EXPECT_GT (zm_now_us () - shut_us, G_USEC_PER_SEC / 2);
  EXPECT_TRUE (passes (peers[0]));
  EXPECT_EQ (shuts (), 1);
  unlink (path + strlen ("ipc://"));
  rmdir (folder);
}

INSTANTIATE_TEST_SUITE_P (Both, Transport, ::testing::Bool ());

/* Connects a plain socket, made before, to the endpoint. */
bool
plain_connect (int fd, const std::string &endpoint)
{
  struct sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl (INADDR_LOOPBACK);
  address.sin_port = htons (static_cast<guint16> (atoi (strrchr (endpoint.c_str (), ':') + 1)));
  return ::connect (fd, reinterpret_cast<struct sockaddr *> (&address), sizeof address) == 0;
}

TEST_F (Gate, WithoutDescriptorsItIsClosedForASecond)
{
  struct rlimit before, few;
  std::vector<int> fill;
  bind ("tcp://127.0.0.1:*", 100);
  connect (1);
  ASSERT_TRUE (passes (peers[0]));
  int fd = ::socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_GE (fd, 0);
  ASSERT_EQ (getrlimit (RLIMIT_NOFILE, &before), 0);
  few = before;
  few.rlim_cur = static_cast<rlim_t> (fd) + 50;
  ASSERT_EQ (setrlimit (RLIMIT_NOFILE, &few), 0);
  for (int more = dup (fd); more >= 0; more = dup (fd))
    fill.push_back (more);
  bool connected = plain_connect (fd, endpoint);
  bool closed = until ([this] { return shuts () > 0 && reasons () != ""; });
  std::string why = reasons ();
  for (int more : fill)
    ::close (more);
  ::close (fd);
  setrlimit (RLIMIT_NOFILE, &before);
  EXPECT_TRUE (connected);
  EXPECT_TRUE (closed);
  EXPECT_NE (why.find ("out of descriptors"), std::string::npos) << why;
  EXPECT_TRUE (until ([this] { return reasons () == ""; }));
  EXPECT_TRUE (passes (peers[0]));
}

TEST_F (Gate, AnotherProgramOnThePortIsTriedAgain)
{
  bind ("tcp://127.0.0.1:*", 1);
  connect (2);
  ASSERT_TRUE (until ([this] { return reasons () != ""; }));
  disconnect (2);
  void *other = zmq_socket (zmq, ZMQ_PULL);
  ASSERT_TRUE (until ([&] { return zmq_bind (other, endpoint.c_str ()) == 0; }));
  EXPECT_TRUE (until ([this] { return reasons ().find ("Address already in use") != std::string::npos; }))
      << reasons ();
  zmq_close (other);
  EXPECT_TRUE (until ([this] { return reasons () == ""; })) << reasons ();
  connect (1);
  EXPECT_TRUE (passes (peers[0]));
}

TEST_F (Gate, FreedWhileShutItSaysSo)
{
  bind ("tcp://127.0.0.1:*", 1);
  connect (2);
  ASSERT_TRUE (until ([this] { return reasons () != ""; }));
  EXPECT_FALSE (zm_gate_free (gate));
  gate = nullptr;
  g_autofree char *json = zm_gates_json (gates);
  EXPECT_STREQ (json, "[]");
}

} // namespace
