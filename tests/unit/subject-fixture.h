/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The Subject with real sockets. The pool is a stand-in here, so that a test decides when it is full and when a call is
 * answered; how both work together is for the scenario tests. Waiting is always for an event, with a deadline.
 */
#pragma once

#include "subject/zm-subject.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include <glib/gstdio.h>

constexpr int kWaitMs = 10000;

/* What the stand-in pool was given. */
struct FakePool {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<ZmMessage *> messages;
  size_t room = G_MAXSIZE;        /* how many it takes in all */
  size_t refused = 0;             /* pushes that did not fit */
  std::string awaited;            /* id of a message that an instance waits for */
  std::vector<std::string> ended; /* topics of those that were refused for good, with the code */

  bool
  wait (size_t n)
  {
    std::unique_lock<std::mutex> lock (mutex);
    return changed.wait_for (lock, std::chrono::milliseconds (kWaitMs),
                             [&] { return messages.size () >= n; });
  }
  bool
  wait_refused (size_t n)
  {
    std::unique_lock<std::mutex> lock (mutex);
    return changed.wait_for (lock, std::chrono::milliseconds (kWaitMs), [&] { return refused >= n; });
  }
  bool
  wait_ended (size_t n)
  {
    std::unique_lock<std::mutex> lock (mutex);
    return changed.wait_for (lock, std::chrono::milliseconds (kWaitMs), [&] { return ended.size () >= n; });
  }
  ZmMessage *
  at (size_t i)
  {
    std::lock_guard<std::mutex> lock (mutex);
    return messages.at (i);
  }
  size_t
  size ()
  {
    std::lock_guard<std::mutex> lock (mutex);
    return messages.size ();
  }
  void
  set_room (size_t n)
  {
    std::lock_guard<std::mutex> lock (mutex);
    room = n;
  }
};

inline FakePool *fake = nullptr;

using Frames = std::vector<std::string>;

inline ZmSpan
span (const std::string &text)
{
  return zm_span (text.data (), text.size ());
}

class Subject : public ::testing::Test {
protected:
  void
  SetUp () override
  {
    char pattern[] = "/tmp/zm-subject-XXXXXX";
    ASSERT_NE (g_mkdtemp (pattern), nullptr);
    directory = pattern;
    fake = &pool;
    zmq = zmq_ctx_new ();
    metrics = zm_metrics_new ();
    tables = zm_table_slot_new ();
    load_tables ("[Flow]\n?Flow?Push\n?Link?Up\n??done\n", "[actionmapping]\n?Hello?Greet = hello.greet\n");
    std::string topics = endpoint ("topics");
    const char *bind[] = { topics.c_str (), nullptr };
    ZmIntegrationConfig integration_config{};
    integration_config.zmq = zmq;
    integration_config.bind = bind;
    integration_config.metrics = metrics;
    integration = zm_integration_new (&integration_config, nullptr);
    ASSERT_NE (integration, nullptr);
    config.zmq = zmq;
    config.tables = tables;
    config.integration = integration;
    config.metrics = metrics;
    config.high_water = 1000;
  }

  void
  TearDown () override
  {
    stop ();
    for (void *socket : sockets)
      zmq_close (socket);
    for (ZmMessage *message : pool.messages)
      zm_message_unref (message);
    zm_integration_free (integration, 100);
    zm_table_slot_free (tables);
    zmq_ctx_term (zmq);
    zm_metrics_free (metrics);
    std::string command = "rm -rf " + directory;
    ASSERT_EQ (system (command.c_str ()), 0);
  }

  void
  load_tables (const char *flow, const char *mapping)
  {
    ZmProblems *problems = zm_problems_new ();
    ZmTableInput input{};
    input.flows = g_ptr_array_new_with_free_func (reinterpret_cast<GDestroyNotify> (zm_flow_unref));
    input.mappings = g_ptr_array_new_with_free_func (reinterpret_cast<GDestroyNotify> (zm_mapping_free));
    input.timeout_ms = 1000;
    zm_flow_read_text ("test.flow", zm_span_text (flow), input.flows, problems);
    zm_mapping_read_text ("test.ini", zm_span_text (mapping), input.mappings, problems);
    zm_table_slot_swap (tables, zm_table_build (&input, problems));
    zm_problems_free (problems);
  }

  std::string
  endpoint (const char *name)
  {
    return "ipc://" + directory + "/" + name;
  }

  void
  start ()
  {
    GError *error = nullptr;
    std::string pull = endpoint ("subject"), call = endpoint ("call");
    const char *bind[] = { pull.c_str (), nullptr }, *call_bind[] = { call.c_str (), nullptr };
    config.bind = bind;
    config.call_bind = call_bind;
    subject = zm_subject_new (&config, &error);
    ASSERT_NE (subject, nullptr) << error->message;
    ASSERT_TRUE (zm_subject_start (subject, nullptr_pool (), &error));
  }

  static ZmPool *
  nullptr_pool ()
  {
    return reinterpret_cast<ZmPool *> (&fake);
  }

  void
  stop ()
  {
    zm_subject_free (subject);
    subject = nullptr;
  }

  void *
  connect (int type, const char *name)
  {
    void *socket = zmq_socket (zmq, type);
    int wait = kWaitMs, linger = 0;
    zmq_setsockopt (socket, ZMQ_RCVTIMEO, &wait, sizeof wait);
    zmq_setsockopt (socket, ZMQ_SNDTIMEO, &wait, sizeof wait);
    zmq_setsockopt (socket, ZMQ_LINGER, &linger, sizeof linger);
    EXPECT_EQ (zmq_connect (socket, endpoint (name).c_str ()), 0);
    sockets.push_back (socket);
    return socket;
  }

  static void
  send (void *socket, const Frames &frames)
  {
    for (size_t i = 0; i < frames.size (); i++)
      ASSERT_GE (
          zmq_send (socket, frames[i].data (), frames[i].size (), i + 1 < frames.size () ? ZMQ_SNDMORE : 0),
          0);
  }

  static Frames
  receive (void *socket)
  {
    Frames frames;
    int more = 1;
    while (more) {
      zmq_msg_t frame;
      zmq_msg_init (&frame);
      if (zmq_msg_recv (&frame, socket, 0) < 0)
        return Frames (4, "nothing came"); /* so that a test fails at what it compares */
      frames.emplace_back (static_cast<char *> (zmq_msg_data (&frame)), zmq_msg_size (&frame));
      more = zmq_msg_more (&frame);
      zmq_msg_close (&frame);
    }
    return frames;
  }

  static bool
  readable (void *socket, int wait_ms)
  {
    zmq_pollitem_t item = { socket, 0, ZMQ_POLLIN, 0 };
    return zmq_poll (&item, 1, wait_ms) > 0;
  }

  gint64
  counter (const char *name)
  {
    return zm_counter_get (zm_metrics_counter (metrics, name, nullptr, nullptr, nullptr));
  }

  bool
  wait_counter (const char *name, gint64 least)
  {
    gint64 end = g_get_monotonic_time () + kWaitMs * 1000;
    while (counter (name) < least && g_get_monotonic_time () < end)
      g_thread_yield ();
    return counter (name) >= least;
  }

  static std::string
  topic (ZmMessage *message)
  {
    ZmSpan text = zm_message_topic (message);
    return std::string (text.data, text.size);
  }

  static std::string
  body (ZmMessage *message)
  {
    ZmSpan text = zm_message_body (message);
    return std::string (text.data, text.size);
  }

  void
  reply (guint64 ticket, int status, const std::string &text, const std::string &headers = "")
  {
    ZmKey key{};
    ZmMessage *result = zm_message_new (span ("F"), &key, span ("1"), span (headers), span (text));
    zm_subject_reply (subject, ticket, status, result);
    zm_message_unref (result);
  }

  std::string
  services (bool transient = false)
  {
    char *json = zm_subject_services_json (subject, transient);
    std::string text = json;
    g_free (json);
    return text;
  }

  std::string directory;
  void *zmq = nullptr;
  ZmMetrics *metrics = nullptr;
  ZmTableSlot *tables = nullptr;
  ZmIntegration *integration = nullptr;
  ZmSubjectConfig config{};
  ZmSubject *subject = nullptr;
  FakePool pool;
  std::vector<void *> sockets;
};
