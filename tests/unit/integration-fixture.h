/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests of the Integration Manager share: one with real SUB sockets. Waiting is always for an event, with a deadline. */
#pragma once

#include "integration/zm-integration.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include <glib/gstdio.h>

namespace integration_test {

constexpr int kWaitMs = 10000;

inline ZmSpan
span (const std::string &text)
{
  return zm_span (text.data (), text.size ());
}

inline ZmMessage *
make (const std::string &flow, const char *sender, const char *action, const std::string &id,
      const std::string &body, const std::string &headers = "")
{
  ZmKey key = { zm_span_text (sender), zm_span_text ("c"), zm_span (nullptr, 0), zm_span_text (action) };
  return zm_message_new (span (flow), &key, span (id), span (headers), span (body));
}

/* What the publisher's thread tells of subscriptions. */
struct Seen {
  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::string, int> on, off;

  static void
  note (ZmSpan prefix, gboolean is_on, gpointer user)
  {
    auto *seen = static_cast<Seen *> (user);
    std::lock_guard<std::mutex> lock (seen->mutex);
    (is_on ? seen->on : seen->off)[std::string (prefix.data, prefix.size)]++;
    seen->changed.notify_all ();
  }

  bool
  wait (std::map<std::string, int> Seen::*which, const std::string &prefix, int count = 1)
  {
    std::unique_lock<std::mutex> lock (mutex);
    return changed.wait_for (lock, std::chrono::milliseconds (kWaitMs),
                             [&] { return (this->*which)[prefix] >= count; });
  }
};

class Integration : public ::testing::Test {
protected:
  void
  SetUp () override
  {
    char pattern[] = "/tmp/zm-integration-XXXXXX";
    ASSERT_NE (g_mkdtemp (pattern), nullptr);
    directory = pattern;
    zmq = zmq_ctx_new ();
    metrics = zm_metrics_new ();
  }

  void
  TearDown () override
  {
    for (void *socket : sockets)
      if (socket != nullptr)
        zmq_close (socket);
    close (1000);
    zmq_ctx_term (zmq);
    zm_metrics_free (metrics);
    std::string command = "rm -rf " + directory;
    ASSERT_EQ (system (command.c_str ()), 0);
  }

  std::string
  endpoint (const char *name = "topics")
  {
    return "ipc://" + directory + "/" + name;
  }

  void
  open (std::vector<std::string> bind = {})
  {
    GError *error = nullptr;
    if (bind.empty ())
      bind.push_back (endpoint ());
    std::vector<const char *> list;
    for (auto &text : bind)
      list.push_back (text.c_str ());
    list.push_back (nullptr);
    config.zmq = zmq;
    config.bind = list.data ();
    config.metrics = metrics;
    integration = zm_integration_new (&config, &error);
    ASSERT_NE (integration, nullptr) << error->message;
    zm_integration_watch_subscriptions (integration, Seen::note, &seen);
  }

  void
  close (gint64 deadline_ms)
  {
    zm_integration_free (integration, deadline_ms);
    integration = nullptr;
  }

  /* A SUB socket whose subscription the publisher has seen. */
  void *
  subscribe (const std::string &prefix, const std::string &where = "", int high_water = 100000)
  {
    void *sub = zmq_socket (zmq, ZMQ_SUB);
    int wait = kWaitMs, linger = 0;
    zmq_setsockopt (sub, ZMQ_RCVHWM, &high_water, sizeof high_water);
    zmq_setsockopt (sub, ZMQ_SNDHWM, &high_water, sizeof high_water);
    zmq_setsockopt (sub, ZMQ_RCVTIMEO, &wait, sizeof wait);
    zmq_setsockopt (sub, ZMQ_LINGER, &linger, sizeof linger);
    int before = seen_count (prefix);
    zmq_setsockopt (sub, ZMQ_SUBSCRIBE, prefix.data (), prefix.size ());
    zmq_connect (sub, (where.empty () ? endpoint () : where).c_str ());
    sockets.push_back (sub);
    EXPECT_TRUE (seen.wait (&Seen::on, prefix, before + 1));
    return sub;
  }

  int
  seen_count (const std::string &prefix)
  {
    std::lock_guard<std::mutex> lock (seen.mutex);
    return seen.on[prefix];
  }

  void
  publish (ZmMessage *message)
  {
    EXPECT_TRUE (zm_integration_publish (integration, &message, 1));
  }

  gint64
  counter (const char *name)
  {
    return zm_counter_get (zm_metrics_counter (metrics, name, nullptr, nullptr, nullptr));
  }

  static std::vector<std::string>
  receive (void *sub)
  {
    std::vector<std::string> frames;
    int more = 1;
    while (more) {
      zmq_msg_t frame;
      zmq_msg_init (&frame);
      if (zmq_msg_recv (&frame, sub, 0) < 0)
        return {};
      frames.emplace_back (static_cast<char *> (zmq_msg_data (&frame)), zmq_msg_size (&frame));
      more = zmq_msg_more (&frame);
      zmq_msg_close (&frame);
    }
    return frames;
  }

  static bool
  nothing (void *sub, int wait_ms = 100)
  {
    zmq_pollitem_t item = { sub, 0, ZMQ_POLLIN, 0 };
    return zmq_poll (&item, 1, wait_ms) == 0;
  }

  std::string directory;
  void *zmq = nullptr;
  ZmMetrics *metrics = nullptr;
  ZmIntegrationConfig config{};
  ZmIntegration *integration = nullptr;
  Seen seen;
  std::vector<void *> sockets;
};

} // namespace integration_test
