/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The room plugin: threads that plugins start through the host, from their start to their very end. */
#include "config.h"

#include "base/zm-base.h"
#include "plugin/threads.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <zmanager/plugin.h>

#include <atomic>

namespace {

class Threads : public ::testing::Test {
protected:
  void
  SetUp () override
  {
    threads = zm_threads_new ();
    pthread_key_create (&key, last_words);
  }

  void
  TearDown () override
  {
    zm_threads_free (threads);
    pthread_key_delete (key);
  }

  static void
  brief (void *user)
  {
    Threads *test = static_cast<Threads *> (user);

    pthread_setspecific (test->key, test);
    test->returned = true;
  }

  /* A plugin's code that runs after the function of its thread has returned. */
  static void
  last_words (void *user)
  {
    Threads *test = static_cast<Threads *> (user);

    test->dying = true;
    while (!test->go_on)
      sched_yield ();
    test->status = zm_threads_start (test->threads, "late", nothing, nothing, test);
    test->spoken = true;
  }

  static void
  nothing (void *)
  {
  }

  static bool
  eventually (const std::atomic<bool> &flag)
  {
    gint64 until = zm_now_us () + 20 * G_USEC_PER_SEC;

    while (!flag && zm_now_us () < until)
      sched_yield ();
    return flag;
  }

  ZmThreads *threads = nullptr;
  pthread_key_t key;
  std::atomic<bool> returned{ false }, dying{ false }, go_on{ false }, spoken{ false };
  std::atomic<int> status{ 1 };
};

/* What it still does may want the host: nobody waits for it with the lock held. */
TEST_F (Threads, ADestructorMayUseTheHostWhileItIsWaitedFor)
{
  ASSERT_EQ (zm_threads_start (threads, "brief", brief, nothing, this), ZM_OK);
  ASSERT_TRUE (eventually (dying));
  EXPECT_EQ (zm_threads_running (threads), 1u) << "the plugin's code still runs";
  EXPECT_FALSE (zm_threads_stop (threads, 10)) << "not in time";
  go_on = true;
  EXPECT_TRUE (zm_threads_stop (threads, 20000));
  EXPECT_TRUE (spoken);
  EXPECT_EQ (status, ZM_E_DENIED) << "it was told to stop";
  EXPECT_EQ (zm_threads_running (threads), 0u);
}

TEST_F (Threads, ADestructorMayStartAnother)
{
  ASSERT_EQ (zm_threads_start (threads, "brief", brief, nothing, this), ZM_OK);
  ASSERT_TRUE (eventually (dying));
  go_on = true;
  /* Asked all the time, as the reaper does: without the lock being held over a join. */
  while (!spoken)
    zm_threads_running (threads);
  EXPECT_EQ (status, ZM_OK);
  EXPECT_TRUE (zm_threads_stop (threads, 20000));
}

TEST_F (Threads, AreBoundedAndMakeRoomWhenTheyAreOver)
{
  int started = 0;

  go_on = true;
  while (started < 1000 && zm_threads_start (threads, "idle", nothing, nothing, nullptr) == ZM_OK)
    started++;
  EXPECT_TRUE (zm_threads_stop (threads, 20000));
  EXPECT_EQ (zm_threads_start (threads, "idle", nothing, nothing, nullptr), ZM_E_DENIED);
  zm_threads_reopen (threads);
  EXPECT_EQ (zm_threads_start (threads, "idle", nothing, nothing, nullptr), ZM_OK);
  EXPECT_TRUE (zm_threads_stop (threads, 20000));
}

} // namespace
