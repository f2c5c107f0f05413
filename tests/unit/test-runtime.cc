/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Starting, and what the service manager and the log are told. */
#include "runtime-fixture.h"

namespace {

TEST_F (Runtime, AWrongConfigurationIsRefusedWhole)
{
  g_autoptr (ZmProblems) problems = zm_problems_new ();
  g_autoptr (GError) error = NULL;
  ZmRuntimeOptions options = {};

  write ("zmanager.conf", "[zmanager]\nwatch = perhaps\n");
  options.dir = dir.c_str ();
  EXPECT_EQ (zm_runtime_new (&options, problems, &error), nullptr);
  EXPECT_EQ (zm_problems_errors (problems), 1u);
  EXPECT_FALSE (g_file_test ((dir + "/run").c_str (), G_FILE_TEST_EXISTS)) << "something was made";
}

TEST_F (Runtime, AnEndpointThatCannotBeBoundIsNamed)
{
  const char *const settings[] = { "subject.bind=ipc:///nonexistent/socket", "zmanager.log-level=error",
                                   NULL };
  g_autoptr (ZmProblems) problems = zm_problems_new ();
  GError *error = NULL;
  ZmRuntimeOptions options = {};

  options.dir = dir.c_str ();
  options.settings = settings;
  EXPECT_EQ (zm_runtime_new (&options, problems, &error), nullptr);
  EXPECT_NE (message (&error).find ("ipc:///nonexistent/socket"), std::string::npos);
}

TEST (Changes, OneLineNamesAFewAndCountsTheRest)
{
  g_autoptr (GPtrArray) changes = g_ptr_array_new ();

  EXPECT_EQ (take (zm_runtime_changes_text (changes)), "nothing changed");
  for (int i = 0; i < 10; i++)
    g_ptr_array_add (changes, (gpointer) "x");
  EXPECT_EQ (take (zm_runtime_changes_text (changes)), "x, x, x, x, x, x, x, x and 2 more");
}

TEST_F (Runtime, TheServiceManagerIsTold)
{
  std::string path = dir + "/notify";
  struct sockaddr_un address = {};
  char text[1024];
  int fd = socket (AF_UNIX, SOCK_DGRAM, 0);

  address.sun_family = AF_UNIX;
  g_strlcpy (address.sun_path, path.c_str (), sizeof address.sun_path);
  ASSERT_EQ (bind (fd, (struct sockaddr *) &address, sizeof address), 0);
  g_setenv ("NOTIFY_SOCKET", path.c_str (), TRUE);
  g_setenv ("WATCHDOG_USEC", "3000000", TRUE);
  ZmNotify *notify = zm_notify_new ();
  EXPECT_EQ (g_getenv ("NOTIFY_SOCKET"), nullptr) << "children would speak for us";
  EXPECT_EQ (zm_notify_watchdog_ms (notify), 1500u);
  zm_notify_ready (notify, "one\nREADY=0");
  ssize_t size = recv (fd, text, sizeof text, MSG_DONTWAIT);
  ASSERT_GT (size, 0);
  EXPECT_EQ (std::string (text, (size_t) size), "READY=1\nSTATUS=one\\x0aREADY=0");
  zm_notify_free (notify);
  g_setenv ("NOTIFY_SOCKET", path.c_str (), TRUE);
  g_setenv ("WATCHDOG_USEC", "7200000000", TRUE);
  notify = zm_notify_new ();
  EXPECT_EQ (zm_notify_watchdog_ms (notify), 3600000u) << "more microseconds than an int holds";
  zm_notify_free (notify);
  close (fd);
}

} // namespace
