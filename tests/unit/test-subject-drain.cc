/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How the Subject stops taking messages: what was sent before, answers to those who wait, and nothing else. */
#include "subject-fixture.h"

#include <atomic>

namespace {

TEST_F (Subject, PauseTakesWhatCameInAndThenNothing)
{
  start ();
  void *push = connect (ZMQ_PUSH, "subject"), *dealer = connect (ZMQ_DEALER, "call");
  send (dealer, { "1", "CALL", "?a?b", "" });
  ASSERT_TRUE (pool.wait (1));
  for (int i = 0; i < 100; i++)
    send (push, { "?a?b", "" });
  ASSERT_TRUE (pool.wait (2)) << "the connection is up";
  zm_subject_pause (subject);
  size_t taken = pool.size ();
  int immediate = 0;
  zmq_setsockopt (push, ZMQ_SNDTIMEO, &immediate, sizeof immediate);
  zmq_send (push, "?a?b", 4, ZMQ_SNDMORE | ZMQ_DONTWAIT);
  zmq_send (push, "", 0, ZMQ_DONTWAIT);
  send (dealer, { "2", "CALL", "?a?b", "" });
  Frames frames = receive (dealer);
  EXPECT_EQ (frames[1], "BUSY");
  EXPECT_NE (frames[3].find ("draining"), std::string::npos) << frames[3];
  reply (pool.at (0)->reply, ZM_OK, "late but in time");
  frames = receive (dealer);
  EXPECT_EQ (frames, (Frames{ "1", "OK", "", "late but in time" })) << "calls that wait get their replies";
  EXPECT_EQ (pool.size (), taken);
  zm_subject_pause (subject);
}

/* Is anybody inside still waiting? */
std::atomic<int> waiting;

gboolean
waits (gpointer)
{
  return waiting.load ();
}

/* A pause that leaves the doors open for answers: state, and what each kind of message gets. */
class Answers : public Subject {
protected:
  void
  SetUp () override
  {
    Subject::SetUp ();
    waiting = 1;
    config.waits = waits;
    start ();
    push = connect (ZMQ_PUSH, "subject");
    dealer = connect (ZMQ_DEALER, "call");
    pool.awaited = "mine";
    send (push, { "~~~a~b~before", "" });
    ASSERT_TRUE (pool.wait (1));
    zm_subject_pause (subject);
  }

  void *push = nullptr, *dealer = nullptr;
};

TEST_F (Answers, AreTakenAndWhatIsNewIsRefused)
{
  send (push, { "~~~a~b~new", "" });
  send (push, { "F~~~a~b~mine", "pushed" });
  ASSERT_TRUE (pool.wait (2)) << "the answer";
  EXPECT_EQ (body (pool.at (1)), "pushed");
  ASSERT_TRUE (pool.wait_ended (1));
  EXPECT_EQ (pool.ended[0], "~~~a~b~new shutdown");
  EXPECT_EQ (counter ("zmanager_subject_refused_total"), 1);
}

TEST_F (Answers, AreTakenAsCallsToo)
{
  send (dealer, { "1", "CALL", "~~~a~b~new", "" });
  Frames frames = receive (dealer);
  EXPECT_EQ (frames[1], "BUSY");
  EXPECT_NE (frames[3].find ("draining"), std::string::npos) << frames[3];
  send (dealer, { "2", "CALL", "F~~~a~b~mine", "called" });
  ASSERT_TRUE (pool.wait (2));
  EXPECT_EQ (body (pool.at (1)), "called");
}

TEST_F (Answers, EndWhenNobodyWaits)
{
  waiting = 0;
  zm_subject_finish (subject, zm_now_us () + kWaitMs * G_GINT64_CONSTANT (1000));
  send (dealer, { "1", "CALL", "F~~~a~b~mine", "called" });
  EXPECT_EQ (receive (dealer)[1], "BUSY");
  EXPECT_EQ (pool.size (), 1u);
}

TEST_F (Answers, EndWithTheTimeAtTheLatest)
{
  gint64 began = zm_now_us ();
  zm_subject_finish (subject, began + 50000);
  EXPECT_GE (zm_now_us () - began, 50000);
  char *json = zm_subject_status_json (subject);
  EXPECT_NE (std::string (json).find ("\"state\":\"paused\""), std::string::npos) << json;
  g_free (json);
}

} // namespace
