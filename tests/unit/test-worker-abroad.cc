/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The room worker: messages that are at a worker in another language when its process ends. */
#include "config.h"

#include "worker-fixture.h"

namespace worker {

class Abroad : public Worker {
protected:
  void
  SetUp () override
  {
    config.wait_timeout_us = 60 * G_USEC_PER_SEC;
    config.to_worker = [] (const char *worker, ZmMessage *message, GError **, gpointer user) -> gboolean {
      Abroad *test = static_cast<Abroad *> (static_cast<Worker *> (user));
      std::lock_guard<std::mutex> guard (test->sent_lock);
      test->sent.push_back (std::string (worker) + " " + str (message->topic.id));
      return TRUE;
    };
    begin ("[actionmapping]\n?A?One = worker:one\n?A?Two = worker:two\n", "[F]\n?F?Push\n?A?One\n??done\n");
  }

  bool
  at_worker (size_t n)
  {
    return eventually ([&] {
      std::lock_guard<std::mutex> guard (sent_lock);
      return sent.size () >= n;
    });
  }

  size_t
  published ()
  {
    std::lock_guard<std::mutex> guard (lock_of_out ());
    return out.size ();
  }

  std::mutex &
  lock_of_out ()
  {
    return Worker::lock;
  }

  /* The error that was published for this id, or "". */
  std::string
  failure (const std::string &id)
  {
    std::lock_guard<std::mutex> guard (lock_of_out ());
    for (const Out &one : out)
      if (one.topic.size () >= id.size () && one.topic.substr (one.topic.size () - id.size ()) == id &&
          one.topic.find ("~error~") != std::string::npos)
        return one.body;
    return "";
  }

  std::mutex sent_lock;
  std::vector<std::string> sent;
};

TEST_F (Abroad, WhatAnEndedProcessHadFailsAtOnce)
{
  gint64 began_us = zm_now_us ();
  send ("?A?One", "", "", "a");
  send ("?F?Push", "", "F", "b");
  send ("?A?Two", "", "", "other");
  ASSERT_TRUE (at_worker (3));
  zm_pool_worker_ended (pool, "one", "signal 9 (Killed)", zm_now_us ());
  for (const char *id : { "~a", "~b" }) {
    EXPECT_TRUE (eventually ([&] { return failure (id) != ""; })) << id;
    EXPECT_NE (failure (id).find ("\"code\":\"unavailable\""), std::string::npos) << failure (id);
    EXPECT_NE (failure (id).find ("worker one: its process ended before it answered: signal 9 (Killed)"),
               std::string::npos)
        << failure (id);
  }
  EXPECT_LT (zm_now_us () - began_us, 30 * G_USEC_PER_SEC);
  EXPECT_EQ (failure ("~other"), "");
  send ("?A?Two", "late", "", "other");
  EXPECT_TRUE (eventually ([&] { return published () == 3; }));
}

/* What it pushed before it ended may still be on its way; what was sent to its successor is none of its. */
TEST_F (Abroad, AnswersAndLaterMessagesAreLeftAlone)
{
  send ("?A?One", "", "", "answered");
  send ("?A?One", "", "", "lost");
  ASSERT_TRUE (at_worker (2));
  gint64 before_us = zm_now_us ();
  while (zm_now_us () == before_us)
    ;
  send ("?A?One", "", "", "later");
  ASSERT_TRUE (at_worker (3));
  zm_pool_worker_ended (pool, "one", "exit status 3", before_us);
  send ("?A?One", "here", "", "answered");
  EXPECT_TRUE (eventually ([&] { return failure ("~lost") != ""; }));
  EXPECT_EQ (failure ("~answered"), "");
  EXPECT_EQ (failure ("~later"), "");
  EXPECT_EQ (number ("waiting"), 1);
  send ("?A?One", "here too", "", "later");
  EXPECT_TRUE (eventually ([&] { return published () == 3; }));
}

/* Answers, timeouts and ends meet: each message ends once. */
TEST_F (Abroad, EachEndsOnceWhoeverComesFirst)
{
  const int rounds = 40, each = 25;
  size_t total = 0;

  for (int round = 0; round < rounds; round++) {
    for (int i = 0; i < each; i++)
      send ("?A?One", "", "", ("r" + std::to_string (round) + "-" + std::to_string (i)).c_str ());
    total += each;
    ASSERT_TRUE (at_worker (total));
    zm_pool_worker_ended (pool, "one", "exit status 1", zm_now_us ());
    for (int i = 0; i < each; i += 2)
      send ("?A?One", "x", "", ("r" + std::to_string (round) + "-" + std::to_string (i)).c_str ());
  }
  EXPECT_TRUE (eventually ([&] { return published () >= total; })) << published ();
  EXPECT_EQ (published (), total);
}

} // namespace worker
