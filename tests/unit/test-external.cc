/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The room worker: workers in other languages, with real sockets and real processes. Waits end at a deadline, never after
 * a fixed time.
 */
#include "config.h"

#include "worker/zm-external.h"

#include "sanitizers.h"

#include <glib/gstdio.h>
#include <gtest/gtest.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace {

const gint64 slower = under_tsan || under_asan ? 4 : 1;

std::string
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
  add (const char *name, const char *exec, const char *bind = nullptr, bool restart = true)
  {
    ZmExternalConfig config = { name, exec, bind, restart };
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

/* ---- sockets ---- */

TEST_F (External, NobodyConnectedIsUnavailableAtOnce)
{
  EXPECT_EQ (add ("w", nullptr), "");
  EXPECT_EQ (send ("w", "x"),
             "worker w: no process is connected, or all have their queues full; see zmanagerctl workers");
  EXPECT_EQ (send ("other", "x"), "there is no [worker other]; add it to the configuration");
  EXPECT_NE (json ().find ("\"sent\":0,\"refused\":1,\"state\":\"elsewhere\"}"), std::string::npos);
}

TEST_F (External, MessagesArriveAsTheyAreOnTheWire)
{
  EXPECT_EQ (add ("w", nullptr), "");
  void *socket = pull ("ipc://" + path + "/worker-w");
  ASSERT_TRUE (connected ("w"));
  EXPECT_EQ (send ("w", "body"), "");
  EXPECT_EQ (receive (socket)[1], "are you there");
  EXPECT_EQ (receive (socket), (std::vector<std::string>{ "F~~~Hello~Greet~7", "body" }));
}

TEST_F (External, WorkIsSpreadOverAllThatConnect)
{
  EXPECT_EQ (add ("w", nullptr, ("ipc://" + path + "/own").c_str ()), "");
  void *one = pull ("ipc://" + path + "/own"), *two = pull ("ipc://" + path + "/own");
  std::vector<int> got (2);
  int sent = 0;

  ASSERT_TRUE (until ([&] {
    sent += send ("w", "x") == "";
    for (int i = 0; i < 2; i++)
      while (zmq_recv (i == 0 ? one : two, nullptr, 0, ZMQ_DONTWAIT) >= 0)
        got[(size_t) i]++;
    return got[0] > 4 && got[1] > 4;
  }));
  EXPECT_GT (sent, 0);
}

TEST_F (External, FullQueuesRefuseAndNothingIsLost)
{
  const std::string body (1024, 'x');
  int sent = 0, received = 0;

  zm_externals_free (externals);
  make (10);
  EXPECT_EQ (add ("w", nullptr), "");
  void *socket = pull ("ipc://" + path + "/worker-w", 10);
  ASSERT_TRUE (connected ("w"));
  for (sent = 1; sent < 100000 && send ("w", body) == ""; sent++)
    ;
  EXPECT_LT (sent, 100000) << "never full";
  while (received < sent && receive (socket).size () == 2)
    received++;
  EXPECT_EQ (received, sent);
}

TEST_F (External, ManyThreadsSendThroughOneSocket)
{
  const int threads = 4, each = 500;
  int received = 0;
  std::vector<std::thread> senders;

  EXPECT_EQ (add ("w", nullptr), "");
  void *socket = pull ("ipc://" + path + "/worker-w");
  ASSERT_TRUE (connected ("w"));
  for (int i = 0; i < threads; i++)
    senders.emplace_back ([this] {
      for (int n = 0; n < each;)
        n += send ("w", "x") == "" ? 1 : 0;
    });
  while (received < threads * each + 1 && receive (socket).size () == 2)
    received++;
  for (std::thread &sender : senders)
    sender.join ();
  EXPECT_EQ (received, threads * each + 1);
  EXPECT_NE (json ().find ("\"sent\":2001,"), std::string::npos) << json ();
}

TEST_F (External, RemovedOnesAreUnavailableAndMayComeBack)
{
  const char *const names[] = { "a", nullptr };

  EXPECT_EQ (add ("a", nullptr), "");
  for (int round = 0; round < 20; round++) {
    EXPECT_EQ (add ("b", nullptr), "");
    pull ("ipc://" + path + "/worker-b");
    ASSERT_TRUE (connected ("b")) << round;
    zm_externals_keep (externals, names);
    EXPECT_EQ (send ("b", "x"), "there is no [worker b]; add it to the configuration");
    zmq_close (sockets.back ());
    sockets.pop_back ();
  }
  EXPECT_NE (json ().find ("\"name\":\"a\""), std::string::npos);
  EXPECT_EQ (json ().find ("\"name\":\"b\""), std::string::npos);
}

TEST_F (External, EndpointsThatCannotBeBoundAreAnError)
{
  EXPECT_EQ (add ("w", nullptr, "ipc:///nowhere/at/all"),
             "worker w: cannot bind ipc:///nowhere/at/all: No such file or directory; "
             "set [worker w] bind to an endpoint that is free");
  EXPECT_EQ (json (), "[]");
}

TEST_F (External, ANewEndpointReplacesTheOldOne)
{
  EXPECT_EQ (add ("w", nullptr), "");
  EXPECT_EQ (add ("w", nullptr, ("ipc://" + path + "/new").c_str ()), "");
  void *socket = pull ("ipc://" + path + "/new");
  ASSERT_TRUE (connected ("w"));
  EXPECT_EQ (receive (socket).size (), 2u);
  EXPECT_NE (add ("w", nullptr, "ipc:///nowhere/at/all"), "");
  EXPECT_EQ (send ("w", "still there"), "");
  EXPECT_EQ (receive (socket)[1], "still there");
}

/* ---- processes ---- */

struct Bad {
  const char *exec;
  const char *expected;
};

TEST_F (External, CommandLinesThatCannotRunAreAnError)
{
  const Bad table[] = {
    { "sh -c 'x",
      "worker w: exec is no command line: Text ended before matching quote was found for '. (The text was "
      "“sh -c 'x”); quote as for a shell (no shell is run)" },
    { "", "worker w: exec is no command line: Text was empty (or contained only whitespace); quote as for a "
          "shell (no shell is run)" },
    { "no-such-program-here",
      "worker w: exec: there is no program no-such-program-here; install it, or give its full path" },
    { "/etc/passwd", "worker w: exec: there is no program /etc/passwd; install it, or give its full path" },
    { "/tmp", "worker w: exec: there is no program /tmp; install it, or give its full path" },
  };

  for (const Bad &bad : table)
    EXPECT_EQ (add ("w", bad.exec), bad.expected);
  EXPECT_EQ (add ("w", "./mine -x"),
             "worker w: exec: there is no program " + path + "/./mine; install it, or give its full path");
  EXPECT_EQ (json (), "[]");
}

TEST_F (External, OutputGoesIntoTheLogLineByLine)
{
  EXPECT_EQ (
      add ("w", "sh -c 'printf \"one\\ntw\\033o\\n\\n\"; printf three >&2; exec sleep 1000'", nullptr, false),
      "");
  EXPECT_TRUE (logged ("worker w: one")) << read ("log");
  EXPECT_TRUE (logged ("worker w: tw\\x1bo"));
  EXPECT_TRUE (shows ("\"state\":\"running\""));
  kill (pid (), SIGTERM);
  EXPECT_TRUE (logged ("worker w: three")) << read ("log");
}

TEST_F (External, EnvironmentAndDirectoryAreGiven)
{
  g_setenv ("NOTIFY_SOCKET", "/nowhere", TRUE);
  EXPECT_EQ (add ("w",
                  "sh -c 'echo \"$ZM_WORKER_NAME $ZM_WORKER_CONNECT $ZM_SUBJECT [$NOTIFY_SOCKET] $PWD\" > "
                  "out.tmp; mv out.tmp out'",
                  nullptr, false),
             "");
  g_unsetenv ("NOTIFY_SOCKET");
  EXPECT_TRUE (until ([&] { return read ("out") != ""; }));
  EXPECT_EQ (read ("out"), "w ipc://" + path + "/worker-w ipc:///subject [] " + path + "\n");
}

TEST_F (External, SignalsAreNeitherBlockedNorIgnoredInIt)
{
  /* glibc keeps 32 and 33 for itself: what our own parent made of them stays. */
  const guint64 glibc = G_GUINT64_CONSTANT (3) << 31;

  signal (SIGPIPE, SIG_IGN);
  EXPECT_EQ (add ("w", "grep -E '^Sig(Blk|Ign):' /proc/self/status", nullptr, false), "");
  EXPECT_TRUE (logged ("ended, exit status 0")) << read ("log");
  signal (SIGPIPE, SIG_DFL);
  for (const char *name : { "SigBlk:\\x09", "SigIgn:\\x09" }) {
    std::string text = read ("log");
    size_t at = text.find (name);

    ASSERT_NE (at, std::string::npos) << text;
    EXPECT_EQ (g_ascii_strtoull (text.c_str () + at + strlen (name), nullptr, 16) & ~glibc, 0u) << text;
  }
}

TEST_F (External, WithoutRestartItStaysEnded)
{
  EXPECT_EQ (add ("w", "sh -c 'exit 3'", nullptr, false), "");
  EXPECT_TRUE (shows ("\"state\":\"ended\",\"pid\":0,\"starts\":1,\"last_end\":\"exit status 3\""))
      << json ();
  EXPECT_EQ (counter ("zmanager_worker_restarts_total"), 0);
}

TEST_F (External, ACrashIsSeenAndItIsStartedAgain)
{
  EXPECT_EQ (add ("w", "sleep 1000"), "");
  ASSERT_TRUE (shows ("\"state\":\"running\""));
  int first = pid ();
  gint64 before = g_get_monotonic_time ();
  kill (first, SIGKILL);
  EXPECT_TRUE (shows ("\"starts\":2,\"last_end\":\"signal 9 (Killed)\"")) << json ();
  EXPECT_GE (g_get_monotonic_time () - before, 100 * 1000);
  EXPECT_NE (pid (), first);
  EXPECT_EQ (counter ("zmanager_worker_restarts_total"), 1);
  EXPECT_TRUE (logged ("worker w: ended, signal 9 (Killed); started again in 100 ms"));
}

TEST_F (External, RestartsBackOff)
{
  EXPECT_EQ (add ("w", "sh -c 'exit 1'"), "");
  EXPECT_TRUE (logged ("started again in 100 ms")) << read ("log");
  EXPECT_TRUE (logged ("started again in 200 ms")) << read ("log");
  EXPECT_TRUE (logged ("started again in 400 ms")) << read ("log");
}

TEST_F (External, ANonExecutableOneSaysWhy)
{
  const char *preload = g_getenv ("LD_PRELOAD");

  if (preload != nullptr && strstr (preload, "vgpreload") != nullptr)
    GTEST_SKIP () << "valgrind ends a process whose execve fails";
  EXPECT_TRUE (g_file_set_contents ((path + "/script").c_str (), "#!/no/such/interpreter\n", -1, nullptr));
  g_chmod ((path + "/script").c_str (), 0700);
  EXPECT_EQ (add ("w", "./script", nullptr, false), "");
  EXPECT_TRUE (logged ("worker w: cannot be executed: it, or its interpreter, is not there")) << read ("log");
  EXPECT_TRUE (shows ("\"last_end\":\"exit status 127\"")) << json ();
}

TEST_F (External, ItEndsWithItsGroupWhenItIsRemoved)
{
  const char *const none[] = { nullptr };

  EXPECT_EQ (add ("w", "sh -c 'sleep 1000 & echo $! > child.tmp; mv child.tmp child; wait'"), "");
  ASSERT_TRUE (until ([&] { return read ("child") != ""; }));
  int leader = pid (), child = atoi (read ("child").c_str ());
  ASSERT_GT (child, 1);
  zm_externals_keep (externals, none);
  EXPECT_TRUE (gone (leader));
  /* Its parent is gone too: whoever takes up orphans reaps it, or it stays as a dead entry. */
  EXPECT_TRUE (until ([&] {
    std::string stat = "/proc/" + std::to_string (child) + "/stat";
    g_autofree char *text = nullptr;

    return !g_file_get_contents (stat.c_str (), &text, nullptr, nullptr) || strstr (text, ") Z ") != nullptr;
  }));
}

TEST_F (External, OneThatDoesNotWantToEndIsKilled)
{
  EXPECT_EQ (add ("w", "sh -c 'trap \"\" TERM; echo ready; while :; do sleep 0.1; done'"), "");
  ASSERT_TRUE (logged ("worker w: ready"));
  int process = pid ();
  gint64 before = g_get_monotonic_time ();
  zm_externals_free (externals);
  gint64 took = g_get_monotonic_time () - before;
  make (100);
  EXPECT_TRUE (gone (process));
  EXPECT_GE (took, 2 * G_USEC_PER_SEC);
  EXPECT_LT (took, 10 * slower * G_USEC_PER_SEC);
  EXPECT_NE (read ("log").find ("worker w: did not end within 2 s after SIGTERM: SIGKILL"),
             std::string::npos);
}

TEST_F (External, AnotherCommandReplacesTheProcessAndKeepsTheSocket)
{
  EXPECT_EQ (add ("w", "sleep 1000"), "");
  ASSERT_TRUE (shows ("\"state\":\"running\""));
  int first = pid ();
  void *socket = pull ("ipc://" + path + "/worker-w");
  ASSERT_TRUE (connected ("w"));
  EXPECT_EQ (add ("w", "sleep 1000"), "");
  EXPECT_EQ (pid (), first) << "nothing changed, and it was started again";
  EXPECT_EQ (add ("w", "sleep 2000"), "");
  EXPECT_TRUE (gone (first));
  EXPECT_TRUE (shows ("\"state\":\"running\""));
  EXPECT_EQ (send ("w", "x"), "");
  EXPECT_EQ (receive (socket).size () + receive (socket).size (), 4u);
}

TEST_F (External, OutputWithoutEndIsBounded)
{
  EXPECT_EQ (add ("w",
                  "sh -c 'i=0; while [ $i -lt 500 ]; do echo line$i; i=$((i+1)); done; head -c 100000 "
                  "/dev/zero | tr \"\\0\" x; exec sleep 1000'",
                  nullptr, false),
             "");
  EXPECT_TRUE (until ([&] { return counter ("zmanager_worker_output_suppressed_total") >= 450; }))
      << counter ("zmanager_worker_output_suppressed_total");
  EXPECT_LT (read ("log").size (), 20000u);
}

/* A Python worker as an operator would write it: it takes its step and pushes the result to the Subject. */
TEST_F (External, APythonWorkerAnswers)
{
  const char *python = g_getenv ("PYTHON");

  if (python == nullptr || *python == '\0')
    GTEST_SKIP () << "no python3 with zmq";
  std::string script = "import os, zmq\n"
                       "context = zmq.Context ()\n"
                       "work = context.socket (zmq.PULL)\n"
                       "work.connect (os.environ['ZM_WORKER_CONNECT'])\n"
                       "subject = context.socket (zmq.PUSH)\n"
                       "subject.connect (os.environ['ZM_TEST_SUBJECT'])\n"
                       "while True:\n"
                       "    topic, *_, body = work.recv_multipart ()\n"
                       "    subject.send_multipart ([topic, b'hello ' + body])\n";
  std::string subject = "ipc://" + path + "/subject", exec = std::string (python) + " greet.py";
  void *results = zmq_socket (zmq, ZMQ_PULL);
  int wait = (int) (10000 * slower);

  zmq_setsockopt (results, ZMQ_RCVTIMEO, &wait, sizeof wait);
  ASSERT_EQ (zmq_bind (results, subject.c_str ()), 0);
  sockets.push_back (results);
  ASSERT_TRUE (g_file_set_contents ((path + "/greet.py").c_str (), script.c_str (), -1, nullptr));
  g_setenv ("ZM_TEST_SUBJECT", subject.c_str (), TRUE);
  EXPECT_EQ (add ("greet", exec.c_str ()), "");
  g_unsetenv ("ZM_TEST_SUBJECT");
  ASSERT_TRUE (connected ("greet")) << read ("log");
  EXPECT_EQ (receive (results), (std::vector<std::string>{ "F~~~Hello~Greet~7", "hello are you there" }))
      << read ("log");
}

} // namespace
