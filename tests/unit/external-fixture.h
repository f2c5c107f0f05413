/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests of workers in other languages share: externals with real sockets and real processes, in a directory of their
 * own. Waits end at a deadline, never after a fixed time. */
#pragma once

#include "worker/zm-external.h"

#include "sanitizers.h"

#include <glib/gstdio.h>
#include <gtest/gtest.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace external {

inline constexpr gint64 slower = under_tsan || under_asan ? 4 : 1;

inline std::string
taken (char *text)
{
  std::string result = text != nullptr ? text : "(null)";

  g_free (text);
  return result;
}

class External : public ::testing::Test {
protected:
  void
  SetUp () override
  {
    path = taken (g_dir_make_tmp ("zm-test-XXXXXX", nullptr));
    log_fd = open ((path + "/log").c_str (), O_CREAT | O_RDWR | O_APPEND | O_CLOEXEC, 0600);
    log = zm_log_new (log_fd, ZM_LOG_FORMAT_HUMAN, ZM_LEVEL_DEBUG);
    metrics = zm_metrics_new ();
    zmq = zmq_ctx_new ();
    make (100);
  }

  void
  make (int high_water)
  {
    const char *const environment[] = { "ZM_SUBJECT=ipc:///subject", nullptr };

    externals = zm_externals_new (zmq, path.c_str (), path.c_str (), environment, high_water, log, metrics);
  }

  void
  TearDown () override
  {
    zm_externals_free (externals);
    for (void *socket : sockets)
      zmq_close (socket);
    zmq_ctx_term (zmq);
    zm_metrics_free (metrics);
    zm_log_unref (log);
    close (log_fd);
    GDir *dir = g_dir_open (path.c_str (), 0, nullptr);
    while (const char *name = g_dir_read_name (dir))
      unlink ((path + "/" + name).c_str ());
    g_dir_close (dir);
    g_rmdir (path.c_str ());
  }

  /* The error's text, or "". */
  std::string
  add (const char *name, const char *exec, const char *bind = nullptr, bool restart = true,
       bool shared = false)
  {
    ZmExternalConfig config = { name, exec, bind, restart, shared };
    g_autoptr (GError) error = nullptr;

    return zm_externals_add (externals, &config, &error) ? "" : error->message;
  }

  std::string
  send (const char *name, const std::string &body)
  {
    ZmKey key = { ZM_SPAN_LITERAL (""), ZM_SPAN_LITERAL ("Hello"), ZM_SPAN_LITERAL (""),
                  ZM_SPAN_LITERAL ("Greet") };
    g_autoptr (ZmMessage) message = zm_message_new (ZM_SPAN_LITERAL ("F"), &key, ZM_SPAN_LITERAL ("7"),
                                                    zm_span ("", 0), zm_span (body.data (), body.size ()));
    g_autoptr (GError) error = nullptr;

    return zm_externals_send (externals, name, message, &error) ? "" : error->message;
  }

  /* A worker process's end, in the test itself. */
  void *
  pull (const std::string &endpoint, int high_water = 1000)
  {
    void *socket = zmq_socket (zmq, ZMQ_PULL);
    int wait = (int) (10000 * slower);

    zmq_setsockopt (socket, ZMQ_RCVHWM, &high_water, sizeof high_water);
    zmq_setsockopt (socket, ZMQ_RCVTIMEO, &wait, sizeof wait);
    EXPECT_EQ (zmq_connect (socket, endpoint.c_str ()), 0);
    sockets.push_back (socket);
    return socket;
  }

  static std::vector<std::string>
  receive (void *socket)
  {
    std::vector<std::string> frames;
    int more = 1;
    size_t size = sizeof more;

    while (more != 0) {
      char buffer[4096];
      int got = zmq_recv (socket, buffer, sizeof buffer, 0);

      if (got < 0)
        return { zmq_strerror (zmq_errno ()) };
      frames.push_back (std::string (buffer, (size_t) got));
      zmq_getsockopt (socket, ZMQ_RCVMORE, &more, &size);
    }
    return frames;
  }

  static bool
  until (const std::function<bool ()> &condition)
  {
    gint64 end = g_get_monotonic_time () + 10 * slower * G_USEC_PER_SEC;

    while (g_get_monotonic_time () < end) {
      if (condition ())
        return true;
      std::this_thread::yield ();
      g_usleep (2000);
    }
    return condition ();
  }

  /* Sends until somebody is there. */
  bool
  connected (const char *name)
  {
    return until ([&] { return send (name, "are you there") == ""; });
  }

  std::string
  read (const char *file)
  {
    char *text = nullptr;

    g_file_get_contents ((path + "/" + file).c_str (), &text, nullptr, nullptr);
    return text != nullptr ? taken (text) : "";
  }

  bool
  logged (const std::string &text)
  {
    return until ([&] { return read ("log").find (text) != std::string::npos; });
  }

  std::string
  json ()
  {
    std::string text = taken (zm_externals_json (externals));

    EXPECT_TRUE (zm_json_valid (zm_span (text.data (), text.size ()))) << text;
    return text;
  }

  bool
  shows (const std::string &text)
  {
    return until ([&] { return json ().find (text) != std::string::npos; });
  }

  std::string
  reasons ()
  {
    GPtrArray *list = g_ptr_array_new_with_free_func (g_free);
    std::string all;

    zm_externals_reasons (externals, list);
    for (guint i = 0; i < list->len; i++)
      all += std::string (static_cast<char *> (list->pdata[i])) + "\n";
    g_ptr_array_unref (list);
    return all;
  }

  int
  pid ()
  {
    std::string text = json ();
    size_t at = text.find ("\"pid\":");

    return at != std::string::npos ? atoi (text.c_str () + at + 6) : 0;
  }

  static bool
  gone (int process)
  {
    return until ([&] { return kill (process, 0) != 0; });
  }

  gint64
  counter (const char *name)
  {
    return zm_counter_get (zm_metrics_counter (metrics, name, nullptr, nullptr, nullptr));
  }

  std::string path;
  int log_fd = -1;
  ZmLog *log = nullptr;
  ZmMetrics *metrics = nullptr;
  void *zmq = nullptr;
  ZmExternals *externals = nullptr;
  std::vector<void *> sockets;
};

} // namespace external
