/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The worker room: flows of durable messages go on after a crash where they were. The door is kept in memory; a crash is a new pool
 * that gets what had been saved at that moment. The message is handed out again with another body, by which it shows whether the
 * flow went on or began anew.
 */
#include "worker-fixture.h"

#include "worker/durable-state.h"

namespace {

gpointer const attempt = GINT_TO_POINTER (7);

const char *const abroad_mapping = "?Far?away = worker:far\n";

class Durable : public Worker {
protected:
  void
  SetUp () override
  {
    door.save = [] (gpointer durable, GBytes *state, ZmCheckpointDone done, gpointer done_user,
                    gpointer user) { static_cast<Durable *> (user)->save (durable, state, done, done_user); };
    door.load = [] (gpointer durable, gpointer user) {
      return static_cast<Durable *> (user)->load (durable);
    };
    door.define = [] (const char *hash, const char *text, gpointer user) {
      std::lock_guard<std::mutex> guard (static_cast<Durable *> (user)->lock);
      static_cast<Durable *> (user)->defined[hash] = text;
    };
    door.definition = [] (const char *hash, gpointer user) {
      std::lock_guard<std::mutex> guard (static_cast<Durable *> (user)->lock);
      auto &all = static_cast<Durable *> (user)->defined;
      return all.count (hash) ? g_strdup (all[hash].c_str ()) : nullptr;
    };
    door.user = this;
    config.checkpoints = &door;
    config.to_worker = [] (const char *, ZmMessage *message, GError **, gpointer user) {
      std::lock_guard<std::mutex> guard (static_cast<Durable *> (user)->lock);
      static_cast<Durable *> (user)->abroad.push_back (str (zm_message_body (message)));
      return (gboolean) TRUE;
    };
  }

  void
  save (gpointer durable, GBytes *state, ZmCheckpointDone done, gpointer done_user)
  {
    EXPECT_EQ (durable, attempt);
    {
      std::lock_guard<std::mutex> guard (lock);
      gsize size;
      const char *data = static_cast<const char *> (g_bytes_get_data (state, &size));
      history.emplace_back (data, size);
      g_bytes_unref (state);
      if (done && hold)
        held.emplace_back (done, done_user);
      changed.notify_all ();
      if (!done || hold)
        return;
    }
    g_autoptr (GError) error =
        fail ? g_error_new_literal (ZM_ERROR, ZM_ERROR_UNAVAILABLE, "no disk") : nullptr;
    done (error, done_user);
  }

  GBytes *
  load (gpointer)
  {
    std::lock_guard<std::mutex> guard (lock);
    return history.empty () ? nullptr : g_bytes_new (history.back ().data (), history.back ().size ());
  }

  void
  release ()
  {
    std::vector<std::pair<ZmCheckpointDone, gpointer>> all;
    {
      std::lock_guard<std::mutex> guard (lock);
      hold = false;
      all.swap (held);
    }
    for (auto &one : all)
      one.first (nullptr, one.second);
  }

  size_t
  saves ()
  {
    std::lock_guard<std::mutex> guard (lock);
    return history.size ();
  }

  /* It goes out after its run was parked. */
  std::vector<std::string>
  sent_abroad ()
  {
    std::lock_guard<std::mutex> guard (lock);
    return abroad;
  }

  static ZmStateKind
  kind (const std::string &bytes)
  {
    auto state = std::make_unique<ZmState> ();
    EXPECT_TRUE (zm_state_read (zm_span (bytes.data (), bytes.size ()), state.get ()));
    return state->kind;
  }

  void
  hand_out (const std::string &body, const char *flow = "F")
  {
    ZmMessage *message = make ("?F?Push", body, "", flow, "d1");
    message->durable = attempt;
    zm_pool_push (pool, &message, 1);
  }

  /* The daemon dies when `saved` states are on disk; it is started with these flows, and the message handed out again. */
  void
  crash (size_t saved, const char *mappings, const char *flows)
  {
    std::vector<std::string> kept_states = history;
    kept_states.resize (saved);
    TearDown ();
    history = kept_states;
    out.clear ();
    abroad.clear ();
    hosts = nullptr;
    begin (mappings, flows);
    hand_out ("new");
  }

  void
  answer (const char *key, const char *body)
  {
    send (key, body, "F", "d1");
  }

  ZmCheckpoints door = {};
  std::vector<std::string> history;
  std::vector<std::pair<ZmCheckpointDone, gpointer>> held;
  std::map<std::string, std::string> defined;
  std::vector<std::string> abroad;
  bool hold = false, fail = false;
};

TEST_F (Durable, VolatileMessagesAreNotSaved)
{
  begin (all_mappings, "[F]\n?F?Push\n?T?add_a\n?T?add_b & ?T?add_c\n?Svc?work\n??done\n");
  send ("?F?Push", "x", "F");
  wait_parked (1);
  EXPECT_EQ (saves (), 0u);
  EXPECT_TRUE (defined.empty ());
}

TEST_F (Durable, GoesOnAtTheLastStepThatWasSaved)
{
  const char *const flow = "[F]\n?F?Push\n?T?add_a\n?T?add_b\n?T?add_c\n??done\n";

  begin (all_mappings, flow);
  hand_out ("x");
  EXPECT_EQ (wait (1)[0].body, "xabc");
  ASSERT_EQ (saves (), 2u) << "none before the first step, none before done";
  crash (2, all_mappings, flow);
  EXPECT_EQ (wait (1)[0].body, "xabc");
  EXPECT_EQ (out[0].topic, "F~~~~done~d1");
  crash (1, all_mappings, flow);
  EXPECT_EQ (wait (1)[0].body, "xabc");
  crash (0, all_mappings, flow);
  EXPECT_EQ (wait (1)[0].body, "newabc") << "nothing was saved: from the beginning";
}

TEST_F (Durable, AQuestionGoesOutWhenItsStateIsOnDisk)
{
  const char *const flow = "[F]\n?F?Push\n?T?add_a\n?Svc?work\n?T?add_b\n??done\n";

  hold = true;
  begin (all_mappings, flow);
  hand_out ("x");
  ASSERT_TRUE (eventually ([&] { return saves () == 2; }));
  EXPECT_TRUE (out.empty ());
  EXPECT_EQ (keeper->ops->count (keeper), 0u);
  release ();
  EXPECT_EQ (wait (1)[0].topic, "F~~~Svc~work~d1");
  wait_parked (1);
  ASSERT_EQ (saves (), 3u);
  EXPECT_EQ (kind (history[1]), ZM_STATE_STEP);
  EXPECT_EQ (kind (history[2]), ZM_STATE_WAIT);
  answer ("?Svc?work", "y");
  EXPECT_EQ (wait (2)[1].body, "yb");
}

TEST_F (Durable, AWaitIsTakenUpAgainWithoutAsking)
{
  const char *const flow = "[F]\n?F?Push\n?T?add_a\n?Svc?work\n?T?add_b\n??done\n";

  begin (all_mappings, flow);
  hand_out ("x");
  wait_parked (1);
  crash (3, all_mappings, flow);
  wait_parked (1);
  EXPECT_TRUE (out.empty ()) << "the question went out before the crash";
  answer ("?Svc?work", "y");
  EXPECT_EQ (wait (1)[0].body, "yb");
  EXPECT_EQ (out[0].topic, "F~~~~done~d1");
}

TEST_F (Durable, AQuestionThatMayNotHaveGoneOutIsAskedAgain)
{
  const char *const flow = "[F]\n?F?Push\n?T?add_a\n?Svc?work\n?T?add_b\n??done\n";

  begin (all_mappings, flow);
  hand_out ("x");
  wait_parked (1);
  crash (2, all_mappings, flow);
  EXPECT_EQ (wait (1)[0].topic, "F~~~Svc~work~d1");
  EXPECT_EQ (out[0].body, "xa");
}

TEST_F (Durable, PublishAndAsyncAreAQuestionAndItsAnswer)
{
  const char *const flow = "[F]\n?F?Push\n?T?add_a\n?Q@PUBLISH?ask\n?C@ASYNC?answer\n?T?add_b\n??done\n";

  begin (all_mappings, flow);
  hand_out ("x");
  EXPECT_EQ (wait (1)[0].topic, "F~PUBLISH~~Q~ask~d1");
  wait_parked (1);
  size_t all = saves ();
  crash (all, all_mappings, flow);
  wait_parked (1);
  EXPECT_TRUE (out.empty ());
  crash (all - 1, all_mappings, flow);
  EXPECT_EQ (wait (1)[0].body, "xa") << "asked again by the step above";
  wait_parked (1);
  answer ("?C?answer", "y");
  EXPECT_EQ (wait (2)[1].body, "yb");
}

TEST_F (Durable, AWaitWithoutAQuestionIsOnDiskBeforeItCanBeFound)
{
  const char *const flow = "[F]\n?F?Push\n?C@ASYNC?answer\n?T?add_b\n??done\n";

  hold = true;
  begin (all_mappings, flow);
  hand_out ("x");
  ASSERT_TRUE (eventually ([&] { return saves () == 1; }));
  EXPECT_EQ (keeper->ops->count (keeper), 0u);
  release ();
  wait_parked (1);
  crash (1, all_mappings, flow);
  wait_parked (1);
  answer ("?C?answer", "y");
  EXPECT_EQ (wait (1)[0].body, "yb");
}

TEST_F (Durable, AWaitHasWhatIsLeftOfItsTime)
{
  const char *const flow = "[F]\n?F?Push\n?C@ASYNC?answer\n??done\n";

  config.wait_timeout_us = 200000;
  begin (all_mappings, flow);
  hand_out ("x");
  wait_parked (1);
  config.wait_timeout_us = G_GINT64_CONSTANT (3600) * G_USEC_PER_SEC;
  crash (1, all_mappings, flow);
  EXPECT_NE (wait (1)[0].body.find ("\"code\":\"timeout\""), std::string::npos) << out[0].body;
}

TEST_F (Durable, AWorkerInAnotherLanguageIsAskedAgain)
{
  const char *const flow = "[F]\n?F?Push\n?T?add_a\n?Far?away\n?T?add_b\n??done\n";
  std::string mappings = std::string (all_mappings) + abroad_mapping;

  hold = true;
  begin (mappings.c_str (), flow);
  hand_out ("x");
  ASSERT_TRUE (eventually ([&] { return saves () == 2; }));
  EXPECT_TRUE (sent_abroad ().empty ());
  release ();
  EXPECT_TRUE (eventually ([&] { return sent_abroad () == std::vector<std::string>{ "xa" }; }));
  crash (2, mappings.c_str (), flow);
  EXPECT_TRUE (eventually ([&] { return sent_abroad () == std::vector<std::string>{ "xa" }; }));
  answer ("?Far?away", "y");
  EXPECT_EQ (wait (1)[0].body, "yb");
}

TEST_F (Durable, OnlyBranchesThatHadNotEndedRunAgain)
{
  const char *const flow = "[F]\n?F?Push\n?T?add_a & ?Svc?work & ?T?add_c\n?T?add_b\n??done\n";

  begin (all_mappings, flow);
  hand_out ("x");
  wait_parked (1);
  ASSERT_TRUE (eventually ([&] { return number ("inside") == 1 && saves () >= 5; }));
  size_t all = saves ();
  EXPECT_EQ (kind (history[0]), ZM_STATE_STEP) << "before it forks";
  EXPECT_EQ (kind (history[all - 1]), ZM_STATE_JOIN);
  crash (all, all_mappings, flow);
  wait_parked (1);
  EXPECT_TRUE (out.empty ()) << "its question is out";
  answer ("?Svc?work", "y");
  EXPECT_EQ (wait (1)[0].body, "[\"xa\",\"y\",\"xc\"]b");
  EXPECT_TRUE (eventually ([&] { return number ("inside") == 0; }));
  EXPECT_EQ (out.size (), 1u) << "joined once";
}

TEST_F (Durable, AJoinIsRestoredAtEveryMoment)
{
  const char *const flow = "[In]\n?In?Push\n?T?add_b & ?T?add_c\n??done\n"
                           "[F]\n?F?Push\n?T?add_a & ?In?Push\n?T?add_b\n??done\n";

  begin (all_mappings, flow);
  hand_out ("x");
  const std::string whole = wait (1)[0].body;
  EXPECT_EQ (whole, "[\"xa\",[\"xb\",\"xc\"]]b");
  for (size_t saved = saves (); saved > 0; saved--) {
    crash (saved, all_mappings, flow);
    EXPECT_EQ (wait (1)[0].body, whole) << saved;
    EXPECT_TRUE (eventually ([&] { return number ("inside") == 0; }));
    EXPECT_EQ (out.size (), 1u) << saved;
  }
}

TEST_F (Durable, AFailedBranchStaysFailed)
{
  const char *const flow = "[F]\n?F?Push\n?T?failing & ?Svc?work\n??done\n";

  begin (all_mappings, flow);
  hand_out ("x");
  wait_parked (1);
  ASSERT_TRUE (eventually ([&] { return saves () >= 4; }));
  crash (saves (), all_mappings, "[F]\n?F?Push\n?T?add_a\n??done\n");
  wait_parked (1);
  answer ("?Svc?work", "y");
  EXPECT_NE (wait (1)[0].body.find ("1 of 2 concurrent steps failed: ?T?failing"), std::string::npos)
      << out[0].body;
}

TEST_F (Durable, TheDefinitionIsPinned)
{
  const char *const flow = "# old\n[F]\n?F?Push\n?T?add_a\n! ?T?add_c\n?Svc?work\n?T?add_b\n??done\n";

  begin (all_mappings, flow);
  hand_out ("x");
  wait_parked (1);
  ASSERT_EQ (defined.size (), 1u);
  EXPECT_EQ (defined.begin ()->second, "[F]\n?F?Push\n?T?add_a\n! ?T?add_c\n?Svc?work\n?T?add_b\n??done\n");
  size_t all = saves ();
  crash (all, all_mappings, "[F]\n?F?Push\n?T?add_c\n??done\n");
  wait_parked (1);
  answer ("?Svc?work", "y");
  EXPECT_EQ (wait (1)[0].body, "yb") << "in the flow that it began in";
  crash (all, all_mappings, "");
  wait_parked (1);
  answer ("?Svc?work", "y");
  EXPECT_EQ (wait (1)[0].body, "yb") << "also where there is none of this name any more";
  defined.clear ();
  crash (all, all_mappings, "[F]\n?F?Push\n?T?add_c\n??done\n");
  EXPECT_EQ (wait (1)[0].body, "newc") << "a definition that is lost: anew";
}

TEST_F (Durable, ADamagedStateIsNotBelieved)
{
  const char *const flow = "[F]\n?F?Push\n?T?add_a & ?Svc?work\n?T?add_b\n??done\n";

  begin (all_mappings, flow);
  hand_out ("x");
  wait_parked (1);
  ASSERT_TRUE (eventually ([&] { return saves () >= 4; }));
  std::string whole = history.back ();
  auto state = std::make_unique<ZmState> ();
  for (size_t size = 0; size < whole.size (); size++)
    EXPECT_FALSE (zm_state_read (zm_span (whole.data (), size), state.get ())) << size;
  for (size_t at = 0; at < whole.size (); at++) {
    std::string wrong = whole;
    wrong[at] = static_cast<char> (wrong[at] ^ 0x80);
    zm_state_read (zm_span (wrong.data (), wrong.size ()), state.get ());
    zm_checkpoint_flows (
        zm_span (wrong.data (), wrong.size ()), [] (const char *, gpointer) {}, nullptr);
  }
  history = { whole.substr (0, whole.size () / 2) };
  crash (1, all_mappings, "[F]\n?F?Push\n?T?add_a\n??done\n");
  EXPECT_EQ (wait (1)[0].body, "newa");
}

TEST_F (Durable, WhereItCannotBeStoredNothingIsAsked)
{
  fail = true;
  begin (all_mappings, "[F]\n?F?Push\n?Svc?work\n??done\n");
  hand_out ("x");
  EXPECT_NE (wait (1)[0].body.find ("\"code\":\"unavailable\""), std::string::npos) << out[0].body;
  EXPECT_NE (out[0].body.find ("no disk"), std::string::npos);
}

/* In a step, in one that asks, in one that waits, in a branch of a join, and in all branches together. */
TEST_F (Durable, AStateOverTheBoundIsNotWrittenAndFails)
{
  const std::string large (ZM_STATE_MOST, 'x'), third (ZM_STATE_MOST / 3, 'x');

  begin (all_mappings, "[F]\n?F?Push\n?T?add_a\n?T?add_b\n??done\n"
                       "[Q]\n?Q?Push\n?Svc?work\n??done\n"
                       "[W]\n?W?Push\n?C@ASYNC?answer\n??done\n"
                       "[J]\n?J?Push\n?Svc?work & ?T?add_a\n??done\n"
                       "[S]\n?S?Push\n?T?add_a & ?T?add_b & ?T?add_c & ?T?echo\n?T?add_a\n??done\n");
  size_t n = 0;
  for (const char *flow : { "F", "Q", "W", "J", "S" }) {
    ZmMessage *message =
        make ((std::string ("?") + flow + "?Push").c_str (), *flow == 'S' ? third : large, "", flow, "d1");
    message->durable = attempt;
    zm_pool_push (pool, &message, 1);
    n++;
    const std::string body = wait (n)[n - 1].body;
    EXPECT_NE (body.find ("\"code\":\"state-too-large\""), std::string::npos) << flow << body.substr (0, 200);
  }
  for (const std::string &one : history)
    EXPECT_LE (one.size (), (size_t) ZM_STATE_MOST);
}

TEST_F (Durable, AnEndOfTheDaemonRunsNoErrorStepAndFailsNoJoin)
{
  begin (all_mappings, "[F]\n?F?Push\n?Svc?work & ?T?add_a\n! ?T?echo\n??done\n");
  hand_out ("x");
  wait_parked (1);
  ASSERT_TRUE (eventually ([&] { return saves () >= 4; }));
  size_t all = saves ();
  wait (1);
  zm_pool_drain (pool, zm_now_us ());
  EXPECT_FALSE (zm_pool_busy (pool));
  EXPECT_EQ (out.size (), 1u) << "it is no error";
  EXPECT_EQ (saves (), all) << "it stays where it was";
}

TEST_F (Durable, LetGoItIsOverAtOnceAndNothingIsBegun)
{
  begin (all_mappings, "[F]\n?F?Push\n?Svc?work & ?T?add_a\n! ?T?echo\n??done\n");
  hand_out ("x");
  wait_parked (1);
  ASSERT_TRUE (eventually ([&] { return saves () >= 4; }));
  wait (1);
  zm_pool_let_durable_go (pool);
  EXPECT_TRUE (eventually ([&] { return !zm_pool_busy (pool); }));
  size_t all = saves ();
  hand_out ("y");
  EXPECT_TRUE (eventually ([&] { return !zm_pool_busy (pool); }));
  EXPECT_EQ (out.size (), 1u) << "it is no error";
  EXPECT_EQ (saves (), all) << "it stays where it was";
}

} // namespace
