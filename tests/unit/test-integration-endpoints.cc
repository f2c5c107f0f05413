/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The endpoints of the Integration Manager: which are allowed, bound and reached. */
#include "integration-fixture.h"

#include "integration/endpoint.h"

#include <cstring>

#include <sys/wait.h>
#include <unistd.h>

using namespace integration_test;

namespace {

TEST (Endpoint, Rules)
{
  std::string long_path = "ipc:///" + std::string (200, 'x');
  struct Case {
    const char *text;
    bool multicast;
    const char *normal; /* NULL: refused */
    const char *reason;
  } cases[] = {
    { "ipc:///run/x", false, "ipc:///run/x", "" },
    { "ipc://*", false, "ipc://*", "" },
    { "tcp://127.0.0.1:5555", false, "tcp://127.0.0.1:5555", "" },
    { "tcp://127.8.8.8:*", false, "tcp://127.8.8.8:*", "" },
    { "tcp://localhost:5555", false, "tcp://127.0.0.1:5555", "" },
    { "tcp://[::1]:5555", false, "tcp://[::1]:5555", "" },
    { "tcp://*:5555", false, nullptr, "needs CURVE" },
    { "tcp://0.0.0.0:5555", false, nullptr, "needs CURVE" },
    { "tcp://10.0.0.1:5555", false, nullptr, "needs CURVE" },
    { "tcp://[::]:5555", false, nullptr, "needs CURVE" },
    { "tcp://eth0:5555", false, nullptr, "needs CURVE" },
    { "tcp://127.0.0.1", false, nullptr, "has no port" },
    { "tcp://127.0.0.1:0", false, "tcp://127.0.0.1:0", "" },
    { "tcp://lo:*", false, "tcp://lo:*", "" },
    { "tcp://127.0.0.1:-1", false, nullptr, "1 to 65535" },
    { "tcp://127.0.0.1:65536", false, nullptr, "1 to 65535" },
    { "tcp://127.0.0.1:http", false, nullptr, "1 to 65535" },
    { "tcp://:5555", false, nullptr, "has no port" },
    { "ipc://", false, nullptr, "has no path" },
    { long_path.c_str (), false, nullptr, "shorter directory" },
    { "epgm://eth0;239.1.1.1:5555", false, nullptr, "allow-multicast=yes" },
    { "pgm://eth0;239.1.1.1:5555", false, nullptr, "allow-multicast=yes" },
    { "udp://127.0.0.1:5", false, nullptr, "no endpoint that can be used" },
    { "inproc://x", false, nullptr, "no endpoint that can be used" },
    { "", false, nullptr, "no endpoint that can be used" },
    { "\x01rubbish", false, nullptr, "\\x01rubbish" },
  };
  for (auto &item : cases) {
    ZmSocketRules rules = { "topics", 0, 0, item.multicast };
    GError *error = nullptr;
    char *normal = zm_endpoint_normal (item.text, &rules, &error);
    if (item.normal != nullptr) {
      ASSERT_NE (normal, nullptr) << item.text << ": " << error->message;
      EXPECT_STREQ (normal, item.normal);
    } else {
      ASSERT_EQ (normal, nullptr) << item.text;
      EXPECT_NE (strstr (error->message, item.reason), nullptr) << item.text << ": " << error->message;
      EXPECT_EQ (strncmp (error->message, "topics: ", 8), 0) << error->message;
      g_error_free (error);
    }
    g_free (normal);
  }
}

TEST (Endpoint, MulticastNeedsALibzmqThatHasIt)
{
  ZmSocketRules rules = { "topics", 0, 0, TRUE };
  GError *error = nullptr;
  char *normal = zm_endpoint_normal ("epgm://127.0.0.1;239.192.1.1:5555", &rules, &error);
  if (zmq_has ("pgm")) {
    EXPECT_STREQ (normal, "epgm://127.0.0.1;239.192.1.1:5555");
  } else {
    ASSERT_NE (error, nullptr);
    EXPECT_NE (strstr (error->message, "without pgm"), nullptr) << error->message;
    g_error_free (error);
  }
  g_free (normal);
}

TEST_F (Integration, SaysWhyAnEndpointCannotBeBound)
{
  GError *error = nullptr;
  const char *bind[] = { "ipc:///no/such/directory/topics", nullptr };
  config.zmq = zmq;
  config.bind = bind;
  config.metrics = metrics;
  EXPECT_EQ (zm_integration_new (&config, &error), nullptr);
  ASSERT_NE (error, nullptr);
  EXPECT_NE (strstr (error->message, "ipc:///no/such/directory/topics"), nullptr) << error->message;
  EXPECT_NE (strstr (error->message, "make its directory"), nullptr) << error->message;
  g_error_free (error);
}

/* Publishes over multicast of the loopback interface until one message has come. 0: it came, 77: this machine has no
 * multicast there. In a process of its own, because libzmq ends the process where OpenPGM finds no interface. */
int
multicast_once ()
{
  static const char endpoint[] = "epgm://127.0.0.1;239.192.77.1:5577";
  const char *bind[] = { endpoint, nullptr };
  ZmIntegrationConfig config{};
  config.zmq = zmq_ctx_new ();
  config.bind = bind;
  config.allow_multicast = TRUE;
  config.metrics = zm_metrics_new ();
  void *sub = zmq_socket (config.zmq, ZMQ_SUB);
  zmq_setsockopt (sub, ZMQ_SUBSCRIBE, "F~", 2);
  ZmIntegration *integration = zm_integration_new (&config, nullptr);
  if (integration == nullptr || zmq_connect (sub, endpoint) != 0)
    return 1;
  if (!zm_integration_has_subscriber (integration, span ("F~~s~c~a~1")))
    return 2;
  zmq_pollitem_t item = { sub, 0, ZMQ_POLLIN, 0 };
  for (int i = 0; i < 100; i++) {
    ZmMessage *message = make ("F", "s", "a", std::to_string (i), "multicast");
    zm_integration_publish (integration, &message, 1);
    if (zmq_poll (&item, 1, 50) > 0)
      return 0;
  }
  return 77;
}

TEST (Multicast, ReachesSubscribersThatNobodyKnowsOf)
{
  if (!zmq_has ("pgm"))
    GTEST_SKIP () << "this libzmq has no pgm";
  pid_t child = fork ();
  ASSERT_GE (child, 0);
  if (child == 0) {
    /* OpenPGM writes warnings about the loopback interface. */
    if (freopen ("/dev/null", "w", stdout) == nullptr || freopen ("/dev/null", "w", stderr) == nullptr)
      _exit (1);
    _exit (multicast_once ());
  }
  int status = 0;
  ASSERT_EQ (waitpid (child, &status, 0), child);
  if (!WIFEXITED (status) || WEXITSTATUS (status) == 77)
    GTEST_SKIP () << "no multicast on the loopback interface here";
  EXPECT_EQ (WEXITSTATUS (status), 0);
}

} // namespace
