/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libzmanager-client against the real Subject and Integration Manager: services, calls, reloads. */
#include "client-fixture.h"

#include "subject/zm-subject.h"

#include <zmanager/client.h>

#include <atomic>
#include <condition_variable>
#include <cstring>
#include <functional>
#include <mutex>
#include <thread>

using namespace client_test;

/* The real Subject's pool, held in the hand too. */
static std::function<void (ZmMessage *)> on_message;
static std::mutex on_message_lock; /* it is set while the Subject runs */

static void
set_on_message (std::function<void (ZmMessage *)> handler)
{
  std::lock_guard<std::mutex> guard (on_message_lock);
  on_message = std::move (handler);
}

/* Asked only while the Subject drains, which it never does here. */
extern "C" gboolean
zm_pool_awaits (ZmPool *, const ZmMessage *)
{
  return FALSE;
}

extern "C" void
zm_pool_refuse (ZmPool *, ZmMessage *message, const char *, const char *)
{
  zm_message_unref (message);
}

extern "C" guint
zm_pool_try_push (ZmPool *, ZmMessage **messages, guint n)
{
  std::unique_lock<std::mutex> guard (on_message_lock);
  const auto handler = on_message;

  guard.unlock ();
  for (guint i = 0; i < n; i++) {
    handler (messages[i]);
    zm_message_unref (messages[i]);
  }
  return n;
}

namespace {

class Service : public ::testing::Test {
protected:
  void
  SetUp () override
  {
    zmq = zmq_ctx_new ();
    metrics = zm_metrics_new ();
    tables = zm_table_slot_new ();
    load ("[Flow]\n?Flow?Push\n?Text?Reverse\n??done\n");
    open_daemon ();
    client = zm_client_open (directory.path.c_str ());
  }

  /* The two rooms of a daemon that a client meets. */
  void
  open_daemon ()
  {
    GError *error = nullptr;
    std::string topics = directory.endpoint ("topics"), pull = directory.endpoint ("subject"),
                call = directory.endpoint ("call");
    const char *topics_list[] = { topics.c_str (), nullptr }, *pull_list[] = { pull.c_str (), nullptr },
               *call_list[] = { call.c_str (), nullptr };
    ZmIntegrationConfig integration_config{};
    integration_config.zmq = zmq;
    integration_config.bind = topics_list;
    integration_config.metrics = metrics;
    integration = zm_integration_new (&integration_config, &error);
    ASSERT_NE (integration, nullptr);
    ZmSubjectConfig config{};
    config.zmq = zmq;
    config.bind = pull_list;
    config.call_bind = call_list;
    config.tables = tables;
    config.integration = integration;
    config.metrics = metrics;
    subject = zm_subject_new (&config, &error);
    ASSERT_NE (subject, nullptr);
    ASSERT_TRUE (zm_subject_start (subject, reinterpret_cast<ZmPool *> (this), &error));
  }

  void
  TearDown () override
  {
    zm_client_close (client);
    zm_subject_free (subject);
    zm_integration_free (integration, 100);
    zm_table_slot_free (tables);
    zmq_ctx_term (zmq);
    zm_metrics_free (metrics);
    set_on_message (nullptr);
  }

  void
  load (const char *flow)
  {
    ZmProblems *problems = zm_problems_new ();
    ZmTableInput input{};
    input.flows = g_ptr_array_new_with_free_func (reinterpret_cast<GDestroyNotify> (zm_flow_unref));
    input.mappings = g_ptr_array_new_with_free_func (reinterpret_cast<GDestroyNotify> (zm_mapping_free));
    zm_flow_read_text ("test.flow", zm_span_text (flow), input.flows, problems);
    zm_table_slot_swap (tables, zm_table_build (&input, problems));
    zm_problems_free (problems);
  }

  void
  publish (const char *flow, const char *context, const char *action, const char *body)
  {
    ZmKey key{};
    key.context = zm_span_text (context);
    key.action = zm_span_text (action);
    ZmMessage *message = zm_message_new (zm_span_text (flow), &key, zm_span_text ("1"), zm_span (nullptr, 0),
                                         zm_span_text (body));
    zm_integration_publish (integration, &message, 1);
  }

  std::string
  services ()
  {
    char *json = zm_subject_services_json (subject, TRUE);
    std::string text = json;
    g_free (json);
    return text;
  }

  Directory directory;
  void *zmq = nullptr;
  ZmMetrics *metrics = nullptr;
  ZmTableSlot *tables = nullptr;
  ZmIntegration *integration = nullptr;
  ZmSubject *subject = nullptr;
  zm_client *client = nullptr;
};

TEST_F (Service, MissesNothingAfterHello)
{
  const char *const patterns[] = { "?Text?Reverse", nullptr };
  ASSERT_EQ (zm_client_hello (client, "reverse", "1.0", patterns, 0, kWaitMs), ZM_CLIENT_OK)
      << zm_client_error (client);
  publish ("Flow", "Text", "Reverse", "at once");
  publish ("Flow", "Text", "Other", "not asked for");
  zm_client_message *message;
  ASSERT_EQ (zm_client_receive (client, kWaitMs, &message), ZM_CLIENT_OK) << zm_client_error (client);
  EXPECT_STREQ (static_cast<const char *> (message->body), "at once");
  EXPECT_STREQ (message->headers, "{\"sequence\":1}");
  zm_client_message_free (message);
  EXPECT_EQ (zm_client_receive (client, 50, &message), ZM_CLIENT_E_TIMEOUT);
}

TEST_F (Service, FollowsReloadsAndCommands)
{
  const char *const patterns[] = { "?Text?Reverse", nullptr };
  std::vector<std::string> commands;
  zm_client_message *message;
  zm_client_on_command (
      client,
      [] (void *user, const char *command, const char *) {
        static_cast<std::vector<std::string> *> (user)->push_back (command);
      },
      &commands);
  ASSERT_EQ (zm_client_hello (client, "reverse", "1.0", patterns, 20, kWaitMs), ZM_CLIENT_OK);
  load ("[Other]\n?Other?Push\n?Text?Reverse\n?New?Key\n??done\n");
  zm_subject_tables_changed (subject);
  while (commands.empty ())
    ASSERT_EQ (zm_client_receive (client, 20, &message), ZM_CLIENT_E_TIMEOUT);
  EXPECT_EQ (commands[0], "changed_topics");
  gint64 end = g_get_monotonic_time () + kWaitMs * 1000;
  while (!zm_integration_has_subscriber (integration, zm_span_text ("Other~~~Text~Reverse~1")) &&
         g_get_monotonic_time () < end)
    g_thread_yield ();
  publish ("Other", "Text", "Reverse", "new flow");
  ASSERT_EQ (zm_client_receive (client, kWaitMs, &message), ZM_CLIENT_OK) << zm_client_error (client);
  EXPECT_STREQ (message->flow, "Other");
  zm_client_message_free (message);

  zm_client_count_error (client);
  ASSERT_TRUE (zm_subject_command (subject, "reverse", "add_topic", "?New?Key", nullptr));
  while (commands.size () < 2)
    ASSERT_EQ (zm_client_receive (client, 20, &message), ZM_CLIENT_E_TIMEOUT);
  EXPECT_NE (services ().find ("\"patterns\":[\"?Text?Reverse\",\"?New?Key\"]"), std::string::npos)
      << services ();
  EXPECT_NE (services ().find ("Other~~~New~Key~"), std::string::npos) << services ();
  ASSERT_TRUE (zm_subject_command (subject, "reverse", "remove_topic", "{\"key\":\"?New?Key\"}", nullptr));
  while (commands.size () < 3)
    ASSERT_EQ (zm_client_receive (client, 20, &message), ZM_CLIENT_E_TIMEOUT);
  EXPECT_EQ (services ().find ("New~Key"), std::string::npos) << services ();
  ASSERT_TRUE (zm_subject_command (subject, "reverse", "get_health", nullptr, nullptr));
  while (commands.size () < 4)
    ASSERT_EQ (zm_client_receive (client, 20, &message), ZM_CLIENT_E_TIMEOUT);
  while (services ().find ("\"received\":1,\"errors\":1") == std::string::npos &&
         g_get_monotonic_time () < end)
    zm_client_receive (client, 5, &message);
  EXPECT_NE (services ().find ("\"received\":1,\"errors\":1"), std::string::npos) << services ();
  ASSERT_TRUE (zm_subject_command (subject, "reverse", "stop_service", nullptr, nullptr));
  int rc;
  while ((rc = zm_client_receive (client, 20, &message)) == ZM_CLIENT_E_TIMEOUT &&
         g_get_monotonic_time () < end)
    ;
  EXPECT_EQ (rc, ZM_CLIENT_E_STOPPED);
  while (services ().find ("STOPPED") == std::string::npos && g_get_monotonic_time () < end)
    g_thread_yield ();
  EXPECT_NE (services ().find ("\"state\":\"STOPPED\""), std::string::npos) << services ();
}

TEST_F (Service, GreetsADaemonThatWasStartedAnew)
{
  const char *const patterns[] = { "?Text?Reverse", nullptr };
  zm_client_message *message = nullptr;
  ASSERT_EQ (zm_client_hello (client, "reverse", "1.0", patterns, 20, kWaitMs), ZM_CLIENT_OK);
  zm_subject_free (subject);
  zm_integration_free (integration, 100);
  load ("[Other]\n?Other?Push\n?Text?Reverse\n??done\n");
  open_daemon ();
  EXPECT_EQ (services (), "[]");
  gint64 end = g_get_monotonic_time () + kWaitMs * 1000;
  while (services ().find ("Other~~~Text~Reverse~") == std::string::npos && g_get_monotonic_time () < end)
    zm_client_receive (client, 20, &message);
  EXPECT_NE (services ().find ("\"state\":\"RUNNING\""), std::string::npos) << services ();
  while (!zm_integration_has_subscriber (integration, zm_span_text ("Other~~~Text~Reverse~1")) &&
         g_get_monotonic_time () < end)
    zm_client_receive (client, 20, &message);
  publish ("Other", "Text", "Reverse", "again");
  ASSERT_EQ (zm_client_receive (client, kWaitMs, &message), ZM_CLIENT_OK) << zm_client_error (client);
  EXPECT_STREQ (message->flow, "Other");
  zm_client_message_free (message);
}

TEST_F (Service, HelloIsRefusedWithTheReason)
{
  const char *const patterns[] = { "nonsense", nullptr };
  EXPECT_EQ (zm_client_hello (client, "reverse", "1.0", patterns, 0, kWaitMs), ZM_CLIENT_E_FAILED);
  EXPECT_NE (strstr (zm_client_error (client), "pattern \"nonsense\""), nullptr) << zm_client_error (client);
  EXPECT_EQ (zm_client_hello (client, "a b", "1.0", nullptr, 0, kWaitMs), ZM_CLIENT_E_FAILED);
  EXPECT_EQ (zm_client_hello (client, "", "1.0", nullptr, 0, kWaitMs), ZM_CLIENT_E_INVALID);
}

TEST_F (Service, SendsAndCalls)
{
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::string> got;
  set_on_message ([&] (ZmMessage *message) {
    ZmSpan body = zm_message_body (message);
    if (message->reply != 0)
      zm_subject_reply (subject, message->reply, ZM_OK, message);
    std::lock_guard<std::mutex> lock (mutex);
    got.emplace_back (body.data, body.size);
    changed.notify_all ();
  });
  zm_client_reply reply;
  ASSERT_EQ (zm_client_call (client, "?a?b", nullptr, "echo", 4, kWaitMs, &reply), ZM_CLIENT_OK)
      << zm_client_error (client);
  EXPECT_STREQ (reply.body, "echo");
  zm_client_reply_clear (&reply);
  for (int i = 0; i < 3000; i++)
    ASSERT_EQ (zm_client_queue (client, "?a?b", nullptr, "q", 1), ZM_CLIENT_OK);
  ASSERT_GE (zm_client_flush (client), 0);
  std::unique_lock<std::mutex> lock (mutex);
  EXPECT_TRUE (
      changed.wait_for (lock, std::chrono::milliseconds (kWaitMs), [&] { return got.size () == 3001; }));
  lock.unlock ();
  EXPECT_EQ (zm_client_send_durable (client, "?a?b", nullptr, "", 0, kWaitMs, &reply), ZM_CLIENT_E_FAILED);
  EXPECT_NE (strstr (zm_client_error (client), "no-store"), nullptr) << zm_client_error (client);
  zm_client_reply_clear (&reply);
}

} // namespace
