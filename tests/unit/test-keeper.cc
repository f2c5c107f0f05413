/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The flow keeper in memory: who waits is found once, whoever asks. */
#include "config.h"

#include "routing/zm-keeper.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace {

/* A wait with its texts, as the worker room embeds it. */
struct Parked {
  ZmWait wait = {};
  std::string flow, id, key;
  std::atomic<int> taken{ 0 };

  Parked (std::string flow_, std::string id_, std::string key_)
      : flow (std::move (flow_)), id (std::move (id_)), key (std::move (key_))
  {
    wait.flow = zm_span (flow.data (), flow.size ());
    wait.id = zm_span (id.data (), id.size ());
    EXPECT_TRUE (zm_key_parse (zm_span (key.data (), key.size ()), &wait.key, nullptr, nullptr));
  }
};

class Keeper : public testing::Test {
protected:
  ZmKeeper *keeper = zm_keeper_memory_new (100000);

  ~Keeper () override
  {
    keeper->ops->free (keeper);
  }
  bool
  park (Parked &one)
  {
    return keeper->ops->park (keeper, &one.wait, nullptr);
  }
  ZmWait *
  take (const Parked &like)
  {
    return keeper->ops->take (keeper, like.wait.flow, like.wait.id, &like.wait.key);
  }
};

TEST_F (Keeper, FindsByFlowIdAndKeyOnce)
{
  Parked one ("F", "id-1", "?a?b");

  EXPECT_TRUE (park (one));
  EXPECT_EQ (keeper->ops->count (keeper), 1u);
  EXPECT_EQ (take (Parked ("G", "id-1", "?a?b")), nullptr);
  EXPECT_EQ (take (Parked ("F", "id-2", "?a?b")), nullptr);
  EXPECT_EQ (take (Parked ("F", "id-1", "?a?c")), nullptr);
  EXPECT_EQ (take (Parked ("F", "id-1", "S?a?b")), nullptr);
  EXPECT_EQ (take (one), &one.wait);
  EXPECT_EQ (take (one), nullptr);
  EXPECT_EQ (keeper->ops->count (keeper), 0u);
}

TEST_F (Keeper, TheDecoratorOfAnAnswerDoesNotMatter)
{
  Parked one ("F", "id-1", "?a?b");

  EXPECT_TRUE (park (one));
  EXPECT_EQ (take (Parked ("F", "id-1", "?a@ASYNC?b")), &one.wait);
}

/* Decision 1: a second push with the flow and id of a waiting instance is a duplicate. */
TEST_F (Keeper, SaysDuplicates)
{
  Parked one ("F", "id-1", "?a?b"), same ("F", "id-1", "?a?b"), branch ("F", "id-1", "?a?c");
  GError *error = nullptr;

  EXPECT_FALSE (keeper->ops->waiting (keeper, one.wait.flow, one.wait.id));
  EXPECT_TRUE (park (one));
  EXPECT_TRUE (keeper->ops->waiting (keeper, one.wait.flow, one.wait.id));
  EXPECT_FALSE (keeper->ops->park (keeper, &same.wait, &error));
  ASSERT_TRUE (g_error_matches (error, ZM_ERROR, ZM_ERROR_EXISTS));
  EXPECT_STREQ (error->message, "flow \"F\" with id \"id-1\" waits for this step already");
  g_clear_error (&error);
  EXPECT_EQ (keeper->ops->count (keeper), 1u);
  /* Branches of a join wait beside each other. */
  EXPECT_TRUE (park (branch));
  EXPECT_TRUE (keeper->ops->take_this (keeper, &one.wait));
  EXPECT_TRUE (keeper->ops->waiting (keeper, one.wait.flow, one.wait.id));
  EXPECT_TRUE (keeper->ops->take_this (keeper, &branch.wait));
  EXPECT_FALSE (keeper->ops->waiting (keeper, one.wait.flow, one.wait.id));
}

TEST_F (Keeper, TakesThisVeryOneOnlyWhileItWaits)
{
  Parked one ("F", "id-1", "?a?b"), other ("F", "id-1", "?a?b");

  EXPECT_TRUE (park (one));
  other.wait.hash = one.wait.hash;
  EXPECT_FALSE (keeper->ops->take_this (keeper, &other.wait));
  EXPECT_TRUE (keeper->ops->take_this (keeper, &one.wait));
  EXPECT_FALSE (keeper->ops->take_this (keeper, &one.wait));
  EXPECT_EQ (take (one), nullptr);
}

TEST_F (Keeper, GivesAnyForTheEnd)
{
  Parked one ("F", "id-1", "?a?b"), two ("G", "id-2", "?a?b");

  EXPECT_EQ (keeper->ops->take_any (keeper), nullptr);
  park (one);
  park (two);
  ZmWait *first = keeper->ops->take_any (keeper), *second = keeper->ops->take_any (keeper);
  EXPECT_TRUE ((first == &one.wait && second == &two.wait) || (first == &two.wait && second == &one.wait));
  EXPECT_EQ (keeper->ops->take_any (keeper), nullptr);
  EXPECT_EQ (keeper->ops->count (keeper), 0u);
}

/* Also what is parked behind the place where the last one was found. */
TEST_F (Keeper, TakeAnyFindsAllOfMany)
{
  std::vector<std::unique_ptr<Parked>> all;
  for (int i = 0; i < 2000; i++)
    all.push_back (std::make_unique<Parked> ("F", ("id-" + std::to_string (i)).c_str (), "?a?b"));
  for (int round = 0; round < 3; round++) {
    guint left = 0;
    for (auto &one : all)
      EXPECT_TRUE (park (*one));
    while (keeper->ops->take_any (keeper) != nullptr)
      left++;
    EXPECT_EQ (left, 2000u);
  }
}

TEST_F (Keeper, TakesAllThatMatchInOneTurn)
{
  std::vector<std::unique_ptr<Parked>> all;
  for (guint i = 0; i < 500; i++) {
    all.push_back (std::make_unique<Parked> ("F", ("id-" + std::to_string (i)).c_str (), "?a?b"));
    all.back ()->wait.step = i % 2;
    EXPECT_TRUE (park (*all.back ()));
  }
  guint taken = 0;
  for (ZmWait *wait =
           keeper->ops->take_all (keeper, [] (const ZmWait *one) -> gboolean { return one->step == 1; });
       wait != nullptr; wait = wait->next, taken++)
    EXPECT_EQ (wait->step, 1u);
  EXPECT_EQ (taken, 250u);
  EXPECT_EQ (keeper->ops->count (keeper), 250u);
  EXPECT_EQ (keeper->ops->take_all (keeper, [] (const ZmWait *one) -> gboolean { return one->step == 1; }),
             nullptr);
  while (keeper->ops->take_any (keeper) != nullptr)
    taken++;
  EXPECT_EQ (taken, 500u);
}

TEST_F (Keeper, WaitsOutsideAFlow)
{
  Parked one ("", "id-1", "?a?b");

  EXPECT_TRUE (park (one));
  EXPECT_EQ (take (one), &one.wait);
}

TEST (KeeperBound, IsKept)
{
  ZmKeeper *keeper = zm_keeper_memory_new (2);
  Parked a ("F", "1", "?a?b"), b ("F", "2", "?a?b"), c ("F", "3", "?a?b");
  GError *error = nullptr;

  EXPECT_TRUE (keeper->ops->park (keeper, &a.wait, nullptr));
  EXPECT_TRUE (keeper->ops->park (keeper, &b.wait, nullptr));
  EXPECT_FALSE (keeper->ops->park (keeper, &c.wait, &error));
  ASSERT_TRUE (g_error_matches (error, ZM_ERROR, ZM_ERROR_LIMIT));
  EXPECT_STREQ (error->message, "2 flow instances wait already; no more is taken");
  g_clear_error (&error);
  EXPECT_TRUE (keeper->ops->take_this (keeper, &a.wait));
  EXPECT_TRUE (keeper->ops->park (keeper, &c.wait, nullptr));
  EXPECT_EQ (keeper->ops->count (keeper), 2u);
  keeper->ops->free (keeper);
}

TEST_F (Keeper, GrowsAndFindsAll)
{
  std::vector<std::unique_ptr<Parked>> all;

  for (int i = 0; i < 20000; i++) {
    all.push_back (std::make_unique<Parked> ("F" + std::to_string (i % 7), std::to_string (i), "?a?b"));
    ASSERT_TRUE (park (*all.back ()));
  }
  EXPECT_EQ (keeper->ops->count (keeper), 20000u);
  for (auto &one : all)
    ASSERT_EQ (take (*one), &one->wait);
  EXPECT_EQ (keeper->ops->count (keeper), 0u);
}

void
collect (const ZmWait *wait, gpointer user)
{
  auto *texts = static_cast<std::vector<std::string> *> (user);

  texts->push_back (std::string (wait->flow.data, wait->flow.size) + "/" +
                    std::string (wait->id.data, wait->id.size) + "/" +
                    std::string (wait->key.action.data, wait->key.action.size));
}

TEST_F (Keeper, ListsCopies)
{
  Parked one ("F", "id-1", "?a?b"), two ("F", "id-1", "?a?c");
  std::vector<std::string> texts;

  park (one);
  park (two);
  zm_keeper_memory_each (keeper, collect, &texts);
  std::sort (texts.begin (), texts.end ());
  EXPECT_EQ (texts, (std::vector<std::string>{ "F/id-1/b", "F/id-1/c" }));
}

/* Answer, timeout and listing race for every wait: exactly one of the takers gets it. */
TEST_F (Keeper, EachWaitIsTakenExactlyOnce)
{
  const int rounds = 20, waits = 1000;

  for (int round = 0; round < rounds; round++) {
    std::vector<std::unique_ptr<Parked>> all;
    std::atomic<int> parked{ 0 };
    std::vector<std::thread> threads;

    for (int i = 0; i < waits; i++)
      all.push_back (std::make_unique<Parked> ("F", std::to_string (i), "?a?b"));
    threads.emplace_back ([&] {
      for (auto &one : all) {
        ASSERT_TRUE (park (*one));
        parked.fetch_add (1, std::memory_order_release);
      }
    });
    for (int taker = 0; taker < 4; taker++)
      threads.emplace_back ([&, taker] {
        for (int i = 0; i < waits; i++) {
          while (parked.load (std::memory_order_acquire) <= i)
            std::this_thread::yield ();
          if (taker % 2 == 0 ? take (*all[i]) != nullptr : keeper->ops->take_this (keeper, &all[i]->wait))
            all[i]->taken++;
        }
      });
    threads.emplace_back ([&] {
      std::vector<std::string> texts;
      zm_keeper_memory_each (keeper, collect, &texts);
    });
    for (auto &thread : threads)
      thread.join ();
    for (auto &one : all)
      ASSERT_EQ (one->taken.load (), 1);
    ASSERT_EQ (keeper->ops->count (keeper), 0u);
  }
}

} // namespace
