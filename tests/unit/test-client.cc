/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libzmanager-client against sockets that the test holds in its hand, frame by frame. */
#include "client-fixture.h"

#include "message/zm-message.h"

#include <zmanager/client.h>

#include <cstring>
#include <thread>
#include <vector>

using namespace client_test;

namespace {

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

} // namespace
