/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tests of the ids of senders that a queue remembers: the hash, the table against a plain model, its bounds. */
#include "config.h"

#include "queue/seen.h"
#include "queue/siphash.h"

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <random>
#include <string>

namespace {

ZmSpan
span (const std::string &text)
{
  return zm_span (text.data (), text.size ());
}

std::string
hex (const guint64 hash[2])
{
  char out[33];

  for (int i = 0; i < 16; i++)
    g_snprintf (out + 2 * i, 3, "%02x", static_cast<guint> (hash[i / 8] >> (8 * (i % 8)) & 0xff));
  return out;
}

/* Of the reference implementation: the key is 00 01 … 0f, the text 00 01 … of that length. */
TEST (SipHash, GivesTheReferenceValues)
{
  struct {
    gsize size;
    const char *expected;
  } const cases[] = {
    { 0, "a3817f04ba25a8e66df67214c7550293" },
    { 1, "da87c1d86b99af44347659119b22fc45" },
    { 2, "8177228da4a45dc7fca38bdef60affe4" },
    { 15, "5493e99933b0a8117e08ec0f97cfc3d9" },
  };
  const guint64 key[2] = { G_GUINT64_CONSTANT (0x0706050403020100), G_GUINT64_CONSTANT (0x0f0e0d0c0b0a0908) };

  for (const auto &c : cases) {
    std::string text;
    guint64 hash[2];

    for (gsize i = 0; i < c.size; i++)
      text.push_back (static_cast<char> (i));
    zm_siphash (key, span (text), hash);
    EXPECT_EQ (hex (hash), c.expected) << c.size;
  }
}

class Seen : public ::testing::Test {
protected:
  void
  start (guint most)
  {
    const guint64 key[2] = { 1, 2 };

    zm_seen_clear (&seen);
    zm_seen_init (&seen, key, most);
  }
  void
  TearDown () override
  {
    zm_seen_clear (&seen);
  }
  guint64
  find (const std::string &id)
  {
    const ZmSeenEntry *entry = zm_seen_find (&seen, span (id));

    return entry != nullptr ? entry->seq : 0;
  }
  ZmSeenIds seen = {};
};

TEST_F (Seen, FindsWhatWasAdded)
{
  start (100);
  EXPECT_EQ (find ("a"), 0u);
  zm_seen_add (&seen, span ("a"), 1, 10);
  zm_seen_add (&seen, span ("b"), 2, 11);
  EXPECT_EQ (find ("a"), 1u);
  EXPECT_EQ (find ("b"), 2u);
  zm_seen_add (&seen, span ("a"), 3, 12);
  EXPECT_EQ (find ("a"), 3u);
  EXPECT_EQ (seen.live, 2u);
}

TEST_F (Seen, TakesBackOnlyWhatIsTheSame)
{
  start (100);
  zm_seen_add (&seen, span ("a"), 1, 10);
  zm_seen_take_back (&seen, span ("a"), 2);
  EXPECT_EQ (find ("a"), 1u);
  zm_seen_take_back (&seen, span ("a"), 1);
  EXPECT_EQ (find ("a"), 0u);
  EXPECT_EQ (zm_seen_oldest (&seen), nullptr);
}

TEST_F (Seen, ForgetsByTime)
{
  start (1000);
  for (guint i = 1; i <= 100; i++)
    zm_seen_add (&seen, span (std::to_string (i)), i, i * 10);
  zm_seen_forget (&seen, 500);
  EXPECT_EQ (find ("49"), 0u);
  EXPECT_EQ (find ("50"), 50u);
  EXPECT_EQ (zm_seen_oldest (&seen)->seq, 50u);
}

TEST_F (Seen, KeepsItsBound)
{
  start (1000);
  for (guint i = 1; i <= 100000; i++)
    zm_seen_add (&seen, span (std::to_string (i)), i, i);
  EXPECT_EQ (seen.live, 1000u);
  EXPECT_EQ (find ("99000"), 0u);
  EXPECT_EQ (find ("99001"), 99001u);
  EXPECT_LE (seen.room, 2048u);
}

TEST_F (Seen, GivesMemoryBack)
{
  start (100000);
  for (guint i = 1; i <= 50000; i++)
    zm_seen_add (&seen, span (std::to_string (i)), i, i);
  EXPECT_GE (seen.room, 50000u);
  for (guint i = 0; i < 20; i++)
    zm_seen_forget (&seen, 49999);
  EXPECT_LE (seen.room, 64u);
  EXPECT_EQ (find ("50000"), 50000u);
}

/* A random walk beside a map and a queue. */
TEST_F (Seen, IsAsTheModel)
{
  std::mt19937 random (20240607);
  std::map<std::string, std::pair<guint64, gint64>> model;
  std::deque<std::pair<std::string, guint64>> order;
  const guint most = 300;
  gint64 now = 0;

  start (most);
  for (guint64 seq = 1; seq <= 60000; seq++) {
    std::string id = std::to_string (random () % 1000);
    guint what = random () % 100;

    now += random () % 3;
    if (what < 70) {
      if (model.count (id) == 0 && model.size () >= most)
        while (model.size () >= most) {
          auto oldest = order.front ();
          order.pop_front ();
          auto at = model.find (oldest.first);
          if (at != model.end () && at->second.first == oldest.second)
            model.erase (at);
        }
      else if (model.count (id) != 0 && model.size () >= most)
        continue; /* which one goes is not said */
      model[id] = { seq, now };
      order.push_back ({ id, seq });
      zm_seen_add (&seen, span (id), seq, now);
    } else if (what < 90) {
      auto at = model.find (id);
      if (at == model.end ())
        continue;
      zm_seen_take_back (&seen, span (id), at->second.first);
      model.erase (at);
    } else if (what == 99) {
      gint64 before = now - 200;
      for (auto at = model.begin (); at != model.end ();)
        at = at->second.second < before ? model.erase (at) : std::next (at);
      zm_seen_forget (&seen, before);
    }
    ASSERT_EQ (seen.live, model.size ()) << seq;
    std::string asked = std::to_string (random () % 1000);
    ASSERT_EQ (find (asked), model.count (asked) != 0 ? model[asked].first : 0u) << seq;
  }
}

} // namespace
