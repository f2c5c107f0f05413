/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libzmanager-client against sockets that the test holds in its hand, frame by frame, and against the real Subject and
 * Integration Manager.
 */
#include "subject/zm-subject.h"

#include <zmanager/client.h>

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <glib/gstdio.h>

/* The real Subject's pool, held in the hand too. */
static std::function<void (ZmMessage *)> on_message;

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
  for (guint i = 0; i < n; i++) {
    on_message (messages[i]);
    zm_message_unref (messages[i]);
  }
  return n;
}

namespace {

constexpr int kWaitMs = 10000;
using Frames = std::vector<std::string>;

Frames
receive (void *socket)
{
  Frames frames;
  int more = 1;
  while (more) {
    zmq_msg_t frame;
    zmq_msg_init (&frame);
    if (zmq_msg_recv (&frame, socket, 0) < 0)
      return frames;
    frames.emplace_back (static_cast<char *> (zmq_msg_data (&frame)), zmq_msg_size (&frame));
    more = zmq_msg_more (&frame);
    zmq_msg_close (&frame);
  }
  return frames;
}

void
send (void *socket, const Frames &frames)
{
  for (size_t i = 0; i < frames.size (); i++)
    ASSERT_GE (
        zmq_send (socket, frames[i].data (), frames[i].size (), i + 1 < frames.size () ? ZMQ_SNDMORE : 0), 0);
}

class Directory {
public:
  Directory ()
  {
    char pattern[] = "/tmp/zm-client-XXXXXX";
    path = g_mkdtemp (pattern);
    g_mkdir ((path + "/run").c_str (), 0700);
  }
  ~Directory ()
  {
    std::string command = "rm -rf " + path;
    EXPECT_EQ (system (command.c_str ()), 0);
  }
  std::string
  endpoint (const char *name) const
  {
    return "ipc://" + path + "/run/" + name;
  }
  std::string path;
};

/* The daemon's side is the test. */
class Client : public ::testing::Test {
protected:
  void
  SetUp () override
  {
    zmq = zmq_ctx_new ();
    pull = bind (ZMQ_PULL, "subject");
    router = bind (ZMQ_ROUTER, "call");
    xpub = bind (ZMQ_XPUB, "topics");
    client = zm_client_open (directory.path.c_str ());
    ASSERT_NE (client, nullptr);
  }

  void
  TearDown () override
  {
    zm_client_close (client);
    for (void *socket : { pull, router, xpub })
      zmq_close (socket);
    zmq_ctx_term (zmq);
  }

  void *
  bind (int type, const char *name)
  {
    void *socket = zmq_socket (zmq, type);
    int wait = kWaitMs, linger = 0;
    zmq_setsockopt (socket, ZMQ_RCVTIMEO, &wait, sizeof wait);
    zmq_setsockopt (socket, ZMQ_LINGER, &linger, sizeof linger);
    EXPECT_EQ (zmq_bind (socket, directory.endpoint (name).c_str ()), 0);
    return socket;
  }

  Directory directory;
  void *zmq = nullptr, *pull = nullptr, *router = nullptr, *xpub = nullptr;
  zm_client *client = nullptr;
};

TEST_F (Client, SendsWhatTheWireSays)
{
  EXPECT_EQ (zm_client_send (client, "?Hello?Greet", nullptr, "world", 5), ZM_CLIENT_OK);
  EXPECT_EQ (receive (pull), (Frames{ "~~~Hello~Greet~", "world" }));
  EXPECT_EQ (zm_client_send (client, "S?C@D?A", "{\"a\":1}", nullptr, 0), ZM_CLIENT_OK);
  EXPECT_EQ (receive (pull), (Frames{ "~D~S~C~A~", "{\"a\":1}", "" }));
  EXPECT_EQ (zm_client_send_to (client, "F", "??A", "id-1", nullptr, "\0\1", 2), ZM_CLIENT_OK);
  EXPECT_EQ (receive (pull), (Frames{ "F~~~~A~id-1", std::string ("\0\1", 2) }));
}

TEST_F (Client, RefusesWhatIsNoKey)
{
  for (const char *key : { "", "a", "?a", "?a?b?c", "a b?c?d", "a~b?c?d", "?a\n?b" }) {
    EXPECT_EQ (zm_client_send (client, key, nullptr, "", 0), ZM_CLIENT_E_INVALID) << key;
    EXPECT_NE (strstr (zm_client_error (client), "not Sender?Context@Decorator?Action"), nullptr);
  }
  EXPECT_EQ (zm_client_send (client, nullptr, nullptr, "", 0), ZM_CLIENT_E_INVALID);
  EXPECT_EQ (zm_client_send_to (client, "a~b", "?a?b", nullptr, nullptr, "", 0), ZM_CLIENT_E_INVALID);
  EXPECT_EQ (zm_client_send (client, ("?" + std::string (256, 'x') + "?b").c_str (), nullptr, "", 0),
             ZM_CLIENT_E_INVALID);
}

TEST_F (Client, BatchesAreEnvelopesThatTheMessageRoomReads)
{
  EXPECT_EQ (zm_client_queue (client, "?a?b", nullptr, "one", 3), ZM_CLIENT_OK);
  EXPECT_EQ (zm_client_queue (client, "?a?c", "{\"h\":1}", "", 0), ZM_CLIENT_OK);
  /* Another way of sending: the envelope goes before it. */
  EXPECT_EQ (zm_client_send (client, "?a?d", nullptr, "after", 5), ZM_CLIENT_OK);
  Frames frames = receive (pull);
  ASSERT_EQ (frames.size (), 2u);
  EXPECT_EQ (frames[0], ZM_BATCH_TOPIC);
  EXPECT_EQ (receive (pull)[1], "after");
  EXPECT_EQ (zm_client_flush (client), 0) << "nothing is left";

  zmq_msg_t parts[2];
  for (int i = 0; i < 2; i++) {
    zmq_msg_init_size (&parts[i], frames[i].size ());
    memcpy (zmq_msg_data (&parts[i]), frames[i].data (), frames[i].size ());
  }
  GPtrArray *out = g_ptr_array_new_with_free_func (reinterpret_cast<GDestroyNotify> (zm_message_unref));
  EXPECT_EQ (zm_wire_take (parts, 2, ZM_FRAMES_AUTO, nullptr, 0, out, nullptr, nullptr), 2u);
  ASSERT_EQ (out->len, 2u);
  auto *second = static_cast<ZmMessage *> (g_ptr_array_index (out, 1));
  EXPECT_TRUE (zm_span_is (zm_message_topic (second), "~~~a~c~"));
  EXPECT_TRUE (zm_span_is (zm_message_headers (second), "{\"h\":1}"));
  g_ptr_array_unref (out);
}

TEST_F (Client, FullEnvelopesGoByThemselves)
{
  for (int i = 0; i < 1025; i++)
    ASSERT_EQ (zm_client_queue (client, "?a?b", nullptr, "x", 1), ZM_CLIENT_OK);
  EXPECT_EQ (receive (pull)[0], ZM_BATCH_TOPIC);
  EXPECT_EQ (zm_client_flush (client), 1);
  EXPECT_EQ (receive (pull)[0], ZM_BATCH_TOPIC);
  std::string big (300 * 1024, 'x');
  EXPECT_EQ (zm_client_queue (client, "?a?b", nullptr, big.data (), big.size ()), ZM_CLIENT_OK);
  EXPECT_EQ (receive (pull)[0], "~~~a~b~") << "larger than an envelope: on its own";
}

TEST_F (Client, CallsTakeTheirOwnReplyOnly)
{
  std::thread daemon ([this] {
    Frames request = receive (router);
    ASSERT_EQ (request.size (), 6u);
    EXPECT_EQ (request[2], "CALL");
    EXPECT_EQ (request[3], "~~~a~b~");
    EXPECT_EQ (request[4], "{\"timeout\":5000,\"mine\":\"x\"}");
    EXPECT_EQ (request[5], "body");
    send (router, { request[0], "another", "OK", "", "not for it" });
    send (router, { request[0], request[1], "too", "few" });
    send (router, { request[0], request[1], "OK", "{\"content-type\":\"text/plain\"}", "result" });
  });
  zm_client_reply reply;
  EXPECT_EQ (zm_client_call (client, "?a?b", "{\"mine\":\"x\"}", "body", 4, 5000, &reply), ZM_CLIENT_OK)
      << zm_client_error (client);
  daemon.join ();
  EXPECT_STREQ (reply.status, "OK");
  EXPECT_STREQ (reply.headers, "{\"content-type\":\"text/plain\"}");
  EXPECT_STREQ (reply.body, "result");
  EXPECT_EQ (reply.body_size, 6u);
  zm_client_reply_clear (&reply);
}

TEST_F (Client, StatusesBecomeResults)
{
  struct Case {
    const char *status, *body;
    int result;
    const char *text;
  } cases[] = {
    { "ACCEPTED", "{}", ZM_CLIENT_OK, "" },
    { "DUPLICATE", "{}", ZM_CLIENT_OK, "" },
    { "BUSY", "{\"code\":\"busy\",\"text\":\"later\"}", ZM_CLIENT_E_BUSY, "busy: later" },
    { "ERROR", "{\"text\":\"wr\\u00f6ng \\\"x\\\"\",\"code\":\"failed\"}", ZM_CLIENT_E_FAILED,
      "failed: wr\xc3\xb6ng \"x\"" },
    { "ERROR", "{\"list\":[{\"text\":\"no\"}],\"text\":\"yes\"}", ZM_CLIENT_E_FAILED, "ERROR: yes" },
    { "ERROR", "not json", ZM_CLIENT_E_FAILED, "ERROR: " },
    { "ERROR", "{\"text\":", ZM_CLIENT_E_FAILED, "ERROR: " },
    { "ERROR", "{\"text\":\"open", ZM_CLIENT_E_FAILED, "ERROR: " },
  };
  for (auto &item : cases) {
    std::thread daemon ([&] {
      Frames request = receive (router);
      send (router, { request[0], request[1], item.status, "", item.body });
    });
    zm_client_reply reply;
    EXPECT_EQ (zm_client_send_durable (client, "?a?b", nullptr, "", 0, 5000, &reply), item.result)
        << item.body;
    daemon.join ();
    EXPECT_STREQ (reply.status, item.status);
    if (item.result != ZM_CLIENT_OK) {
      EXPECT_STREQ (zm_client_error (client), item.text);
    }
    zm_client_reply_clear (&reply);
  }
}

TEST_F (Client, TimeoutsAreKept)
{
  zm_client_reply reply;
  zm_client_message *message;
  gint64 before = g_get_monotonic_time ();
  EXPECT_EQ (zm_client_call (client, "?a?b", nullptr, "", 0, 50, &reply), ZM_CLIENT_E_TIMEOUT);
  EXPECT_EQ (zm_client_receive (client, 50, &message), ZM_CLIENT_E_TIMEOUT);
  EXPECT_LT (g_get_monotonic_time () - before, 5 * G_USEC_PER_SEC);
  EXPECT_EQ (zm_client_call (client, "?a?b", nullptr, "", 0, 0, &reply), ZM_CLIENT_E_INVALID);
  EXPECT_EQ (zm_client_set_send_timeout (client, -2), ZM_CLIENT_E_INVALID);
}

TEST_F (Client, ReceivesEveryFormAndCutsTopics)
{
  zm_client_message *message;
  EXPECT_EQ (zm_client_subscribe (client, "F", "s??"), ZM_CLIENT_OK);
  EXPECT_EQ (receive (xpub)[0], std::string ("\1F~~s~"));
  EXPECT_EQ (zm_client_subscribe (client, nullptr, "??"), ZM_CLIENT_OK) << "everything";
  EXPECT_EQ (receive (xpub)[0], std::string ("\1"));
  send (xpub, { "F~D~s~c~a~7", "{\"h\":1}", "body" });
  ASSERT_EQ (zm_client_receive (client, kWaitMs, &message), ZM_CLIENT_OK) << zm_client_error (client);
  EXPECT_STREQ (message->topic, "F~D~s~c~a~7");
  EXPECT_STREQ (message->flow, "F");
  EXPECT_STREQ (message->decorator, "D");
  EXPECT_STREQ (message->sender, "s");
  EXPECT_STREQ (message->context, "c");
  EXPECT_STREQ (message->action, "a");
  EXPECT_STREQ (message->id, "7");
  EXPECT_STREQ (message->headers, "{\"h\":1}");
  EXPECT_STREQ (static_cast<const char *> (message->body), "body");
  EXPECT_EQ (zm_client_answer (client, message, nullptr, "result", 6), ZM_CLIENT_OK);
  EXPECT_EQ (receive (pull), (Frames{ "F~~s~c~a~7", "result" })) << "undecorated, with the same flow and id";
  zm_client_message_free (message);

  send (xpub, { "F~~s~c~a~8~single~body" });
  ASSERT_EQ (zm_client_receive (client, kWaitMs, &message), ZM_CLIENT_OK);
  EXPECT_STREQ (message->id, "8");
  EXPECT_STREQ (static_cast<const char *> (message->body), "single~body");
  zm_client_message_free (message);

  /* What is none of the forms is passed over; an envelope gives its parts. */
  send (xpub, { "one", "two", "three", "four" });
  send (xpub, { "no tildes" });
  send (xpub, { ZM_BATCH_TOPIC, "\xff\xff\xff\xff" });
  ZmBatch *batch = zm_batch_new ();
  for (int i = 0; i < 3; i++) {
    std::string topic = "F~~s~c~a~" + std::to_string (i);
    zm_batch_add (batch, zm_span_text (topic.c_str ()), zm_span (nullptr, 0), ZM_SPAN_LITERAL ("part"));
  }
  GBytes *bytes = zm_batch_steal (batch);
  send (xpub, { ZM_BATCH_TOPIC, std::string (static_cast<const char *> (g_bytes_get_data (bytes, nullptr)),
                                             g_bytes_get_size (bytes)) });
  g_bytes_unref (bytes);
  zm_batch_free (batch);
  for (int i = 0; i < 3; i++) {
    ASSERT_EQ (zm_client_receive (client, kWaitMs, &message), ZM_CLIENT_OK);
    EXPECT_EQ (message->id, std::to_string (i));
    zm_client_message_free (message);
  }
}

TEST (ClientAlone, SaysWhenThereIsNobody)
{
  Directory directory;
  zm_client *client = zm_client_open (directory.path.c_str ());
  ASSERT_NE (client, nullptr);
  EXPECT_EQ (zm_client_set_send_timeout (client, 20), ZM_CLIENT_OK);
  EXPECT_EQ (zm_client_send (client, "?a?b", nullptr, "", 0), ZM_CLIENT_E_TIMEOUT);
  EXPECT_NE (strstr (zm_client_error (client), "no daemon at the subject endpoint"), nullptr);
  zm_client_close (client);
  EXPECT_EQ (zm_client_open_endpoints ("nonsense", nullptr, nullptr), nullptr);
  client = zm_client_open_endpoints (nullptr, nullptr, nullptr);
  zm_client_message *message;
  zm_client_reply reply;
  EXPECT_EQ (zm_client_send (client, "?a?b", nullptr, "", 0), ZM_CLIENT_E_UNREACHABLE);
  EXPECT_EQ (zm_client_call (client, "?a?b", nullptr, "", 0, 10, &reply), ZM_CLIENT_E_UNREACHABLE);
  EXPECT_EQ (zm_client_receive (client, 10, &message), ZM_CLIENT_E_UNREACHABLE);
  EXPECT_EQ (zm_client_heartbeat (client, "RUNNING"), ZM_CLIENT_E_INVALID);
  zm_client_close (client);
  zm_client_close (nullptr);
}

TEST (ClientAlone, FollowsTheLinkOfALongPath)
{
  Directory directory, place;
  std::string deep = directory.path + "/" + std::string (120, 'd');
  g_mkdir (deep.c_str (), 0700);
  ASSERT_EQ (symlink ((place.path + "/run").c_str (), (deep + "/run").c_str ()), 0);
  void *zmq = zmq_ctx_new (), *pull = zmq_socket (zmq, ZMQ_PULL);
  int wait = kWaitMs;
  zmq_setsockopt (pull, ZMQ_RCVTIMEO, &wait, sizeof wait);
  ASSERT_EQ (zmq_bind (pull, place.endpoint ("subject").c_str ()), 0);
  zm_client *client = zm_client_open (deep.c_str ());
  ASSERT_NE (client, nullptr);
  EXPECT_EQ (zm_client_send (client, "?a?b", nullptr, "x", 1), ZM_CLIENT_OK) << zm_client_error (client);
  EXPECT_EQ (receive (pull)[1], "x");
  zm_client_close (client);
  zmq_close (pull);
  zmq_ctx_term (zmq);
}

TEST (ClientAlone, WorkersGoByTheirEnvironment)
{
  Directory directory;
  EXPECT_EQ (zm_client_open_worker (), nullptr);
  void *zmq = zmq_ctx_new (), *push = zmq_socket (zmq, ZMQ_PUSH), *pull = zmq_socket (zmq, ZMQ_PULL);
  int wait = kWaitMs;
  zmq_setsockopt (pull, ZMQ_RCVTIMEO, &wait, sizeof wait);
  zmq_bind (push, directory.endpoint ("worker-x").c_str ());
  zmq_bind (pull, directory.endpoint ("subject").c_str ());
  g_setenv ("ZM_WORKER_CONNECT", directory.endpoint ("worker-x").c_str (), TRUE);
  g_setenv ("ZM_SUBJECT", directory.endpoint ("subject").c_str (), TRUE);
  zm_client *client = zm_client_open_worker ();
  g_unsetenv ("ZM_WORKER_CONNECT");
  g_unsetenv ("ZM_SUBJECT");
  ASSERT_NE (client, nullptr);
  zm_client_message *message;
  send (push, { "F~~~c~a~1", "work" });
  ASSERT_EQ (zm_client_receive (client, kWaitMs, &message), ZM_CLIENT_OK) << zm_client_error (client);
  EXPECT_EQ (zm_client_answer (client, message, nullptr, "done", 4), ZM_CLIENT_OK);
  zm_client_message_free (message);
  EXPECT_EQ (receive (pull), (Frames{ "F~~~c~a~1", "done" }));
  zm_client_close (client);
  zmq_close (push);
  zmq_close (pull);
  zmq_ctx_term (zmq);
}

/* ---- with the real Subject and Integration Manager ---- */

class Service : public ::testing::Test {
protected:
  void
  SetUp () override
  {
    GError *error = nullptr;
    zmq = zmq_ctx_new ();
    metrics = zm_metrics_new ();
    tables = zm_table_slot_new ();
    load ("[Flow]\n?Flow?Push\n?Text?Reverse\n??done\n");
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
    client = zm_client_open (directory.path.c_str ());
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
    on_message = nullptr;
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
  on_message = [&] (ZmMessage *message) {
    ZmSpan body = zm_message_body (message);
    if (message->reply != 0)
      zm_subject_reply (subject, message->reply, ZM_OK, message);
    std::lock_guard<std::mutex> lock (mutex);
    got.emplace_back (body.data, body.size);
    changed.notify_all ();
  };
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
