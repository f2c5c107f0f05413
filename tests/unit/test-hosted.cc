/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The process that runs plugins, told by a daemon of the least kind: calls, and what actions may say of theirs. */
#include "hosted-fixture.h"

namespace {

const char tester[] = "tests/unit/plugins/tester";

class Hosted : public HostedTest {};

TEST_F (Hosted, CallsAnActionAndTellsHowItEnded)
{
  start ();
  bring_up (7, tester, 2);
  EXPECT_EQ (call_done (7, "echo", "hello").body (), "hello");
  EXPECT_EQ (status_of (call_done (7, "retry")), ZM_RETRY);
  EXPECT_EQ (status_of (call_done (7, "nonsense")), 77);
  Heard failed = call_done (7, "failing");
  EXPECT_EQ (status_of (failed), ZM_REJECT);
  EXPECT_EQ (failed.part (ZM_DONE_CODE), "broken");
  EXPECT_EQ (failed.part (ZM_DONE_TEXT), "it broke");
  EXPECT_FALSE (call_done (7, "silent").parts.at (ZM_DONE_BODY));
  EXPECT_EQ (call_done (7, "json").part (ZM_DONE_TYPE), "application/json");
  EXPECT_EQ (call_done (7, "own_key").part (ZM_DONE_KEY), "Own?Result?Key");
  EXPECT_EQ (call_done (7, "go_out").part (ZM_DONE_NEXT), "?Nobody?Maps");
  EXPECT_EQ (call_done (7, "forge").body (), "refused");
  EXPECT_EQ (call_done (7, "binary").body (), std::string ("\xff\x00\x01", 3));
}

} // namespace
