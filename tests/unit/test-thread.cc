/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The room base: threads and condition variables. */
#include "config.h"

#include "base/zm-base.h"
#include "base/zm-thread.h"

#include <gtest/gtest.h>

#include <signal.h>
#include <string.h>

#include <string>

namespace {

struct Seen {
  sigset_t mask;
  char name[16];
};

void *
look (void *user)
{
  Seen *seen = static_cast<Seen *> (user);

  pthread_sigmask (SIG_SETMASK, nullptr, &seen->mask);
  pthread_getname_np (pthread_self (), seen->name, sizeof seen->name);
  return user;
}

TEST (Thread, LeavesSignalsToTheMainThread)
{
  Seen seen = {};
  pthread_t thread;
  void *result = nullptr;
  sigset_t before, after;

  pthread_sigmask (SIG_SETMASK, nullptr, &before);
  ASSERT_EQ (zm_thread_create (&thread, "a-name-that-is-too-long", look, &seen), 0);
  pthread_sigmask (SIG_SETMASK, nullptr, &after);
  pthread_join (thread, &result);
  EXPECT_EQ (result, &seen);
  EXPECT_EQ (std::string (seen.name), "a-name-that-is-");
  for (int number : { SIGTERM, SIGINT, SIGHUP, SIGCHLD, SIGUSR1, SIGPIPE, SIGALRM }) {
    EXPECT_EQ (sigismember (&seen.mask, number), 1) << strsignal (number);
    EXPECT_EQ (sigismember (&after, number), sigismember (&before, number)) << strsignal (number);
  }
  /* A sanitizer's or a crash handler's. */
  for (int number : { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT })
    EXPECT_EQ (sigismember (&seen.mask, number), 0) << strsignal (number);
}

TEST (Thread, TimedWaitsEndByTheMonotonicClock)
{
  pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t cond;
  gint64 began_us = zm_now_us (), until_us = began_us + 20 * 1000;
  gboolean in_time = TRUE;

  zm_cond_init_monotonic (&cond);
  pthread_mutex_lock (&lock);
  /* By the wall clock this time would be long over, and the wait end at once. */
  while (in_time)
    in_time = zm_cond_wait_until (&cond, &lock, until_us);
  EXPECT_GE (zm_now_us (), until_us);
  EXPECT_FALSE (zm_cond_wait_until (&cond, &lock, began_us - 1)) << "a time that is over";
  pthread_mutex_unlock (&lock);
  pthread_cond_destroy (&cond);
}

} // namespace
