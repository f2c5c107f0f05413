/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Services at the Subject's sockets: HELLO, heartbeats, commands, numbers. The registry alone is in test-services.cc. */
#include "subject-fixture.h"

namespace {

TEST_F (Subject, HelloTellsWhatToSubscribeAndWaitsForIt)
{
  start ();
  void *dealer = connect (ZMQ_DEALER, "call"), *sub = connect (ZMQ_SUB, "topics");
  send (dealer, { "1", "HELLO", "{\"name\":\"svc\",\"version\":\"1.0\",\"patterns\":[\"?Link?Up\"]}" });
  Frames frames = receive (dealer);
  ASSERT_EQ (frames[1], "OK") << frames[3];
  EXPECT_NE (frames[3].find ("\"Flow~~~Link~Up~\""), std::string::npos) << frames[3];
  EXPECT_NE (frames[3].find ("\"command_prefix\":\"command_svc~\""), std::string::npos) << frames[3];

  /* With a nonce: not before its subscription is there. */
  send (dealer, { "2", "HELLO", "{\"name\":\"svc\",\"patterns\":[\"?Link?Up\"],\"nonce\":\"n1\"}" });
  EXPECT_FALSE (readable (dealer, 100));
  zmq_setsockopt (sub, ZMQ_SUBSCRIBE, "", 0);
  EXPECT_FALSE (readable (dealer, 50)) << "a subscription to all is not the one";
  zmq_setsockopt (sub, ZMQ_SUBSCRIBE, "Flow~~~Link~Up~", 15);
  zmq_setsockopt (sub, ZMQ_SUBSCRIBE, "^hello~n1", 9);
  frames = receive (dealer);
  EXPECT_EQ (frames[0], "2");
  EXPECT_EQ (frames[1], "OK");
  EXPECT_TRUE (zm_integration_has_subscriber (integration, span ("Flow~~~Link~Up~x")))
      << "active when HELLO answers";

  /* The subscription first, HELLO after it: answered at once. */
  zmq_setsockopt (sub, ZMQ_SUBSCRIBE, "^hello~n2", 9);
  send (dealer, { "3", "HELLO", "{\"name\":\"svc\",\"nonce\":\"n2\"}" });
  EXPECT_EQ (receive (dealer)[0], "3");
}

TEST_F (Subject, HelloWhoseSubscriptionNeverComesTimesOut)
{
  config.call_timeout_us = 100 * 1000;
  start ();
  void *dealer = connect (ZMQ_DEALER, "call"), *sub = connect (ZMQ_SUB, "topics");
  send (dealer, { "1", "HELLO", "{\"name\":\"svc\",\"nonce\":\"n1\"}" });
  Frames frames = receive (dealer);
  EXPECT_EQ (frames[1], "ERROR");
  EXPECT_NE (frames[3].find ("^hello~NONCE was not seen"), std::string::npos) << frames[3];
  zmq_setsockopt (sub, ZMQ_SUBSCRIBE, "^hello~n1", 9);
  EXPECT_FALSE (readable (dealer, 100)) << "answered once";
}

TEST_F (Subject, HeartbeatsMakeTheState)
{
  start ();
  void *dealer = connect (ZMQ_DEALER, "call");
  send (dealer,
        { "1", "HELLO", "{\"name\":\"svc\",\"version\":\"2\",\"patterns\":[\"?a?b\"],\"heartbeat_ms\":50}" });
  ASSERT_EQ (receive (dealer)[1], "OK");
  EXPECT_NE (services ().find ("\"state\":\"RUNNING\""), std::string::npos) << services ();
  EXPECT_NE (services ().find ("\"patterns\":[\"?a?b\"]"), std::string::npos) << services ();
  EXPECT_EQ (services ().find ("\"received\""), std::string::npos) << "not known: left out";
  send (dealer, { "2", "HEARTBEAT",
                  "{\"name\":\"svc\",\"state\":\"DEGRADED\",\"received\":10,\"errors\":1,\"busy_ms\":25}" });
  ASSERT_EQ (receive (dealer)[1], "OK");
  EXPECT_NE (services ().find ("\"state\":\"DEGRADED\""), std::string::npos) << services ();
  EXPECT_NE (services ().find ("\"received\":10,\"errors\":1,\"ratio\":0.1000,\"mean_ms\":2.500"),
             std::string::npos)
      << services ();
  gint64 end = g_get_monotonic_time () + kWaitMs * 1000;
  while (services ().find ("UNKNOWN") == std::string::npos && g_get_monotonic_time () < end)
    g_thread_yield ();
  EXPECT_NE (services ().find ("\"state\":\"UNKNOWN\""), std::string::npos) << "three heartbeats are missing";
  send (dealer, { "3", "HEARTBEAT", "{\"name\":\"svc\",\"state\":\"STOPPED\"}" });
  ASSERT_EQ (receive (dealer)[1], "OK");
  EXPECT_NE (services ().find ("\"state\":\"STOPPED\""), std::string::npos) << services ();
}

TEST_F (Subject, ServicesAreToldOfChangedTopicsAndCommands)
{
  start ();
  void *dealer = connect (ZMQ_DEALER, "call"), *sub = connect (ZMQ_SUB, "topics");
  zmq_setsockopt (sub, ZMQ_SUBSCRIBE, "command_svc~", 12);
  zmq_setsockopt (sub, ZMQ_SUBSCRIBE, "^hello~n", 8);
  send (dealer, { "1", "HELLO", "{\"name\":\"svc\",\"patterns\":[\"?Link?Up\"],\"nonce\":\"n\"}" });
  ASSERT_EQ (receive (dealer)[1], "OK");

  zm_subject_tables_changed (subject); /* nothing changed: nothing is said */
  load_tables ("[Flow]\n?Flow?Push\n?Link?Up\n??done\n[Other]\n?Other?Push\n?Link?Up\n??done\n",
               "[actionmapping]\n");
  zm_subject_tables_changed (subject);
  Frames frames = receive (sub);
  ASSERT_EQ (frames.size (), 2u);
  EXPECT_EQ (frames[0].substr (0, 46), "command_svc~~zmanager~service~changed_topics~0");
  EXPECT_NE (frames[1].find ("\"Other~~~Link~Up~\""), std::string::npos) << frames[1];

  GError *error = nullptr;
  EXPECT_TRUE (zm_subject_command (subject, "svc", "add_topic", "?New?Key", &error));
  frames = receive (sub);
  EXPECT_TRUE (g_str_has_prefix (frames[0].c_str (), "command_svc~~zmanager~service~add_topic~"))
      << frames[0];
  EXPECT_EQ (frames[1], "\"?New?Key\"") << "text becomes a JSON string";
  EXPECT_TRUE (zm_subject_command (subject, "svc", "get_health", nullptr, &error));
  EXPECT_EQ (receive (sub)[1], "");
  EXPECT_TRUE (zm_subject_command (subject, "svc", "remove_topic", "{\"key\":\"?a?b\"}", &error));
  EXPECT_EQ (receive (sub)[1], "{\"key\":\"?a?b\"}") << "JSON stays as it is";
  EXPECT_FALSE (zm_subject_command (subject, "svc", "get_healt", nullptr, &error));
  EXPECT_NE (strstr (error->message, "did you mean \"get_health\"?"), nullptr) << error->message;
  g_clear_error (&error);
  EXPECT_FALSE (zm_subject_command (subject, "nobody", "get_health", nullptr, &error));
  EXPECT_TRUE (g_error_matches (error, ZM_ERROR, ZM_ERROR_NOT_FOUND)) << error->message;
  g_clear_error (&error);
}

TEST_F (Subject, TopicsOfRegisteredServicesAreNumbered)
{
  start ();
  void *dealer = connect (ZMQ_DEALER, "call"), *sub = connect (ZMQ_SUB, "topics");
  zmq_setsockopt (sub, ZMQ_SUBSCRIBE, "Flow~", 5);
  zmq_setsockopt (sub, ZMQ_SUBSCRIBE, "^hello~n", 8);
  send (dealer, { "1", "HELLO", "{\"name\":\"svc\",\"patterns\":[\"?Link?Up\"],\"nonce\":\"n\"}" });
  ASSERT_EQ (receive (dealer)[1], "OK");
  ZmKey key{};
  key.context = zm_span_text ("Link");
  key.action = zm_span_text ("Up");
  ZmMessage *message = zm_message_new (span ("Flow"), &key, span ("1"), span (""), span (""));
  zm_integration_publish (integration, &message, 1);
  EXPECT_EQ (receive (sub), (Frames{ "Flow~~~Link~Up~1", "{\"sequence\":1}", "" }));
}

TEST_F (Subject, TopicsAreNumberedForWhoAsksForThemAsTheyAre)
{
  start ();
  void *dealer = connect (ZMQ_DEALER, "call"), *sub = connect (ZMQ_SUB, "topics");
  zmq_setsockopt (sub, ZMQ_SUBSCRIBE, "", 0);
  zmq_setsockopt (sub, ZMQ_SUBSCRIBE, "^hello~n", 8);
  for (const char *hello : { "{\"name\":\"all\",\"topics\":[\"\"],\"nonce\":\"n\"}",
                             "{\"name\":\"all\",\"topics\":[\"Other~\",\"\"],\"nonce\":\"n\"}" }) {
    send (dealer, { "1", "HELLO", hello });
    ASSERT_EQ (receive (dealer)[1], "OK");
  }
  /* A reload leaves them as they are. */
  load_tables ("[New]\n?New?Push\n?Link?Up\n??done\n", "");
  zm_subject_tables_changed (subject);
  send (dealer, { "2", "HEARTBEAT", "{\"name\":\"all\",\"state\":\"RUNNING\"}" });
  ASSERT_EQ (receive (dealer)[1], "OK");
  ZmKey key{};
  key.action = zm_span_text ("x");
  for (int number = 1; number <= 2; number++) {
    ZmMessage *message = zm_message_new (span ("Any"), &key, span ("1"), span (""), span ("body"));
    zm_integration_publish (integration, &message, 1);
    EXPECT_EQ (receive (sub),
               (Frames{ "Any~~~~x~1", "{\"sequence\":" + std::to_string (number) + "}", "body" }));
  }
}

TEST_F (Subject, ToolsAreListedOnlyWhereTheyAreAskedFor)
{
  start ();
  void *dealer = connect (ZMQ_DEALER, "call");
  send (dealer, { "1", "HELLO", "{\"name\":\"tool\",\"transient\":true}" });
  ASSERT_EQ (receive (dealer)[1], "OK");
  send (dealer, { "1", "HELLO", "{\"name\":\"svc\"}" });
  ASSERT_EQ (receive (dealer)[1], "OK");
  EXPECT_EQ (services ().find ("tool"), std::string::npos) << services ();
  EXPECT_NE (services (true).find ("\"name\":\"tool\""), std::string::npos) << services (true);
  EXPECT_NE (services (true).find ("\"transient\":true"), std::string::npos) << services (true);
  EXPECT_NE (services (true).find ("\"name\":\"svc\""), std::string::npos) << services (true);
}

} // namespace
