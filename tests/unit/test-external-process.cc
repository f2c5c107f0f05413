/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The room worker: the processes of workers in other languages, from their command line to their end. */
#include "config.h"

#include "external-fixture.h"

namespace external {

struct Bad {
  const char *exec;
  const char *expected;
};

/* The worker is there all the same: listed, with the reason, which a call gets too. */
TEST_F (External, CommandLinesThatCannotRunSayWhy)
{
  const Bad table[] = {
    { "sh -c 'x", "exec is no command line: Text ended before matching quote was found for '. (The text was "
                  "“sh -c 'x”); quote as for a shell (no shell is run)" },
    { "", "exec is no command line: Text was empty (or contained only whitespace); quote as for a shell (no "
          "shell is run)" },
    { "no-such-program-here",
      "exec: there is no program no-such-program-here; install it, or give its full path" },
    { "/etc/passwd", "exec: /etc/passwd is not executable; chmod +x it, or put its interpreter in front" },
    { "/tmp", "exec: there is no program /tmp; install it, or give its full path" },
    { "./mine -x", "exec: there is no program DIR/./mine; install it, or give its full path" },
  };

  for (const Bad &bad : table) {
    std::string expected = bad.expected;
    g_autoptr (GError) error = nullptr;

    if (expected.find ("DIR") != std::string::npos)
      expected.replace (expected.find ("DIR"), 3, path);
    EXPECT_FALSE (zm_external_check_exec (bad.exec, path.c_str (), &error)) << bad.exec;
    EXPECT_EQ (std::string (error->message), expected);
    EXPECT_EQ (add ("w", bad.exec), "") << bad.exec;
    EXPECT_TRUE (until ([&] { return reasons () == "worker w: " + expected + "\n"; })) << reasons ();
    EXPECT_EQ (send ("w", "x"), "worker w: " + expected);
    EXPECT_TRUE (logged ("worker w: cannot be started: " + expected)) << read ("log");
    EXPECT_NE (json ().find ("\"state\":\"failed\",\"pid\":0,\"starts\":0,\"last_end\":\"exec"),
               std::string::npos)
        << json ();
  }
}

TEST_F (External, AProgramThatComesLaterIsStarted)
{
  const std::string program = path + "/late";

  EXPECT_EQ (add ("w", "./late"), "");
  ASSERT_TRUE (until ([&] { return reasons () != ""; }));
  ASSERT_TRUE (g_file_set_contents (program.c_str (), "#!/bin/sh\nexec sleep 1000\n", -1, nullptr));
  g_chmod (program.c_str (), 0700);
  EXPECT_TRUE (shows ("\"state\":\"running\"")) << json ();
  EXPECT_EQ (reasons (), "");
  std::string log = read ("log");
  size_t first = log.find ("cannot be started");
  ASSERT_NE (first, std::string::npos);
  EXPECT_EQ (log.find ("there is no program", log.find ("there is no program", first) + 1), std::string::npos)
      << "the same reason again and again\n"
      << log;
}

TEST_F (External, OutputGoesIntoTheLogLineByLine)
{
  EXPECT_EQ (
      add ("w", "sh -c 'printf three >&2; printf \"one\\ntw\\033o\\n\\n\"; exec sleep 1000'", nullptr, false),
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
  EXPECT_EQ (send ("w", "x"), "worker w: its process ended (exit status 3), and restart = no");
  EXPECT_EQ (reasons (), "") << "it is as the configuration wants it";
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
  EXPECT_TRUE (until (
      [&] { return reasons () == "worker w: its process ended (exit status 1) and is started again\n"; }));
  EXPECT_EQ (send ("w", "x"), "worker w: its process ended (exit status 1) and is started again");
}

/* ---- ends are told ---- */

struct Told {
  std::mutex lock;
  std::vector<std::string> ends;
  std::vector<gint64> before_us;

  static void
  tell (const char *worker, const char *how, gint64 before_us, gpointer user)
  {
    Told *told = static_cast<Told *> (user);
    std::lock_guard<std::mutex> guard (told->lock);

    told->ends.push_back (std::string (worker) + ": " + how);
    told->before_us.push_back (before_us);
  }

  std::vector<std::string>
  all ()
  {
    std::lock_guard<std::mutex> guard (lock);

    return ends;
  }
};

TEST_F (External, EndsAreToldWithTheTimeUntilWhichMessagesWereTheirs)
{
  Told told;

  zm_externals_set_ended (externals, Told::tell, &told);
  EXPECT_EQ (add ("w", "sh -c 'exit 3'"), "");
  EXPECT_TRUE (until ([&] { return told.all ().size () >= 2; }));
  EXPECT_EQ (told.all ()[0], "w: exit status 3");
  /* The next one starts after the time that was told, so what is sent to it is not this one's. */
  EXPECT_GE (told.before_us[1] - told.before_us[0], 100 * 1000);
  EXPECT_LT (told.before_us[0], zm_now_us ());
  zm_externals_set_ended (externals, nullptr, nullptr);
}

TEST_F (External, WhoSharesItsEndpointIsNotTakenForTheOnlyOne)
{
  Told told;

  zm_externals_set_ended (externals, Told::tell, &told);
  EXPECT_EQ (add ("w", "sh -c 'exit 3'", ("ipc://" + path + "/own").c_str (), true, true), "");
  EXPECT_TRUE (shows ("\"starts\":3"));
  EXPECT_TRUE (told.all ().empty ());
  zm_externals_set_ended (externals, nullptr, nullptr);
}

TEST_F (External, ASuccessorStartsOnceItsPredecessorIsGone)
{
  Told told;

  zm_externals_set_ended (externals, Told::tell, &told);
  EXPECT_EQ (add ("w", "sh -c 'trap \"sleep 0.3; exit 4\" TERM; echo ready; while :; do sleep 0.05; done'"),
             "");
  ASSERT_TRUE (logged ("worker w: ready"));
  EXPECT_EQ (add ("w", "sh -c 'echo second; exec sleep 1000'"), "");
  ASSERT_TRUE (logged ("worker w: second"));
  EXPECT_EQ (told.all (), std::vector<std::string>{ "w: exit status 4" });
  zm_externals_set_ended (externals, nullptr, nullptr);
}

/* ---- the end of them ---- */

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

} // namespace external
