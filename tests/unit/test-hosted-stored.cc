/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The other side of isolation: what plugins ask the daemon's store for. */
#include "hosted-fixture.h"

namespace {

const char *const stored_plugin = "tests/plugins/queue-services";

class HostedStored : public HostedTest {
protected:
  /* Its init asks what it has kept, and keeps. */
  void
  bring_up_kept (const std::optional<std::string> &starts)
  {
    start ();
    ASSERT_EQ (prepare (9, stored_plugin, 2).numbers.at (0), ZM_OK);
    say (ZM_RECORD_INIT, 9, {}, { "" });
    Heard asked = wait (ZM_RECORD_KEPT);
    EXPECT_EQ (asked.part (0), "starts");
    say (ZM_RECORD_ANSWER, asked.id, { static_cast<guint64> (starts ? ZM_OK : ZM_E_NOT_FOUND) },
         { starts.value_or ("") });
    Heard keep = wait (ZM_RECORD_KEEP);
    kept = keep.part (1);
    EXPECT_EQ (wait (ZM_RECORD_INITED, 9).numbers.at (0), ZM_OK);
    say (ZM_RECORD_ANSWER, keep.id, { ZM_OK }, { "" }); /* nobody is told */
    say (ZM_RECORD_COMMIT, 9);
    ASSERT_EQ (wait (ZM_RECORD_COMMITTED, 9).numbers.at (0), ZM_OK);
  }

  /* What a call is in the end after its question was answered so. */
  std::string
  answered (guint64 id, const Heard &question, int status)
  {
    say (ZM_RECORD_ANSWER, question.id, { static_cast<guint64> (static_cast<gint64> (status)) }, { "" });
    return wait (ZM_RECORD_DONE, id).body ();
  }

  guint64
  ask (const std::string &words)
  {
    guint64 id = call (9, "act", words);

    wait (ZM_RECORD_DEFERRED, id);
    free_the_slot (id);
    return id;
  }

  std::string kept;
};

TEST_F (HostedStored, WhatAPluginHasKeptItKnowsInItsInit)
{
  bring_up_kept ("4");
  EXPECT_EQ (kept, "5");
}

TEST_F (HostedStored, AMessageForAQueueTravelsWhole)
{
  bring_up_kept ({});
  EXPECT_EQ (kept, "1");
  guint64 id = ask ("if-empty\norders\nkey 1\nhello");
  Heard put = wait (ZM_RECORD_PUT);
  EXPECT_EQ (put.numbers, (std::vector<gint64>{ 9, ZM_PUT_IF_EMPTY, 0, 0 }));
  EXPECT_EQ (put.part (ZM_PUT_QUEUE), "orders");
  EXPECT_EQ (put.part (ZM_PUT_KEY), "key 1");
  EXPECT_FALSE (put.parts.at (ZM_PUT_ID));
  EXPECT_EQ (put.part (ZM_PUT_BODY), "hello");
  EXPECT_EQ (answered (id, put, ZM_E_EXISTS), "told -10");
}

TEST_F (HostedStored, EachAskIsToldHowItEnded)
{
  bring_up_kept ({});
  guint64 id = ask ("wait\norders\n\n250");
  Heard empty = wait (ZM_RECORD_EMPTY);
  EXPECT_EQ (empty.numbers, (std::vector<gint64>{ 9, 250 }));
  EXPECT_FALSE (empty.parts.at (1));
  EXPECT_EQ (answered (id, empty, ZM_E_TIMEOUT), "told -9");
  id = ask ("send\n?T?run\nid-1\nbody");
  Heard send = wait (ZM_RECORD_SEND);
  EXPECT_EQ (send.part (ZM_EVENT_KEY), "?T?run");
  EXPECT_EQ (send.part (ZM_EVENT_ID), "id-1");
  EXPECT_EQ (answered (id, send, ZM_OK), "told 0");
  id = ask ("keep\nname");
  Heard keep = wait (ZM_RECORD_KEEP);
  EXPECT_FALSE (keep.parts.at (1)) << "it is forgotten";
  EXPECT_EQ (answered (id, keep, ZM_E_FAILED), "told -8");
}

TEST_F (HostedStored, WhatIsWrongIsRefusedAtOnce)
{
  const std::vector<std::pair<std::string, int>> wrongs = {
    { "put\nno good\n\nx", ZM_E_INVALID },   { "put\n\n\nx", ZM_E_INVALID },
    { "put\n../x\n\nx", ZM_E_INVALID },      { "replace\n^sends\nk\nx", ZM_E_INVALID },
    { "wait\n^sends", ZM_E_INVALID },        { "send\nno key\n\nx", ZM_E_INVALID },
    { "send\n??done\n\nx", ZM_E_DENIED },    { "keep\n\n\nx", ZM_E_INVALID },
    { "keep\nna\x01me\n\nx", ZM_E_INVALID },
  };

  bring_up_kept ({});
  for (auto &wrong : wrongs) {
    guint64 id = call (9, "act", wrong.first);

    EXPECT_EQ (wait (ZM_RECORD_DONE, id).body (), "refused " + std::to_string (wrong.second)) << wrong.first;
    free_the_slot (id);
  }
}

TEST_F (HostedStored, AKeptValueIsAskedForAndCut)
{
  bring_up_kept ({});
  guint64 id = call (9, "look", "long");
  Heard asked = wait (ZM_RECORD_KEPT);
  say (ZM_RECORD_ANSWER, asked.id, { ZM_OK }, { std::string (100, 'x') });
  EXPECT_EQ (done (id).body (), std::string (64, 'x'));
  id = call (9, "look", "none");
  asked = wait (ZM_RECORD_KEPT);
  say (ZM_RECORD_ANSWER, asked.id, { static_cast<guint64> (static_cast<gint64> (ZM_E_UNSUPPORTED)) }, { "" });
  EXPECT_EQ (done (id).body (), "none -7");
}

} // namespace
