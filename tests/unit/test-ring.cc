/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The ring between threads of the room base. */
#include "config.h"

#include "base/zm-base.h"
#include "base/zm-ring.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

namespace {

using Ring = std::unique_ptr<ZmRing, decltype (&zm_ring_free)>;

Ring
make (guint capacity)
{
  return Ring (zm_ring_new (capacity), zm_ring_free);
}

gint64
soon ()
{
  return zm_now_us () + 20000;
}

TEST (Ring, CapacityIsAPowerOfTwo)
{
  const guint cases[][2] = { { 0, 1 }, { 1, 1 }, { 2, 2 }, { 3, 4 }, { 1000, 1024 }, { 1024, 1024 } };

  for (auto &it : cases)
    EXPECT_EQ (zm_ring_capacity (make (it[0]).get ()), it[1]);
}

TEST (Ring, FirstInFirstOutAcrossTheEnd)
{
  Ring ring = make (4);
  gsize next_in = 1, next_out = 1;

  for (int round = 0; round < 100; round++) {
    gpointer in[3] = { GSIZE_TO_POINTER (next_in), GSIZE_TO_POINTER (next_in + 1),
                       GSIZE_TO_POINTER (next_in + 2) };
    gpointer out[4];

    ASSERT_EQ (zm_ring_try_push (ring.get (), in, 3), 3u);
    next_in += 3;
    ASSERT_EQ (zm_ring_length (ring.get ()), 3u);
    ASSERT_EQ (zm_ring_try_pop (ring.get (), out, 4), 3u);
    for (int i = 0; i < 3; i++)
      ASSERT_EQ (GPOINTER_TO_SIZE (out[i]), next_out++);
  }
}

TEST (Ring, TryTakesWhatFits)
{
  Ring ring = make (4);
  gpointer items[6] = {};

  EXPECT_EQ (zm_ring_try_push (ring.get (), items, 6), 4u);
  EXPECT_EQ (zm_ring_try_push (ring.get (), items, 1), 0u);
  EXPECT_EQ (zm_ring_try_pop (ring.get (), items, 3), 3u);
  EXPECT_EQ (zm_ring_try_pop (ring.get (), items, 3), 1u);
  EXPECT_EQ (zm_ring_try_pop (ring.get (), items, 3), 0u);
}

TEST (Ring, PopEndsAtItsTime)
{
  Ring ring = make (4);
  gint64 until = soon ();
  gpointer item;

  EXPECT_EQ (zm_ring_pop (ring.get (), &item, 1, until), 0u);
  EXPECT_GE (zm_now_us (), until);
  EXPECT_EQ (zm_ring_pop (ring.get (), &item, 1, 0), 0u); /* over already */
}

TEST (Ring, ClosedGivesOutWhatIsInside)
{
  Ring ring = make (4);
  gpointer item = &ring;
  guint given = 7;

  EXPECT_TRUE (zm_ring_push (ring.get (), &item, 1, nullptr));
  EXPECT_FALSE (zm_ring_closed (ring.get ()));
  zm_ring_close (ring.get ());
  EXPECT_TRUE (zm_ring_closed (ring.get ()));
  EXPECT_FALSE (zm_ring_push (ring.get (), &item, 1, &given));
  EXPECT_EQ (given, 0u);
  EXPECT_EQ (zm_ring_try_push (ring.get (), &item, 1), 0u);
  EXPECT_EQ (zm_ring_pop (ring.get (), &item, 1, -1), 1u);
  EXPECT_EQ (zm_ring_pop (ring.get (), &item, 1, -1), 0u);
}

TEST (Ring, CloseWakesBothSides)
{
  Ring full = make (2), empty = make (2);
  gpointer items[5] = {};
  guint given = 0;
  gboolean pushed = TRUE;
  guint popped = 9;

  std::thread producer ([&] { pushed = zm_ring_push (full.get (), items, 5, &given); });
  std::thread consumer ([&] {
    gpointer item;
    popped = zm_ring_pop (empty.get (), &item, 1, -1);
  });
  while (zm_ring_length (full.get ()) < 2)
    std::this_thread::yield ();
  zm_ring_close (full.get ());
  zm_ring_close (empty.get ());
  producer.join ();
  consumer.join ();
  EXPECT_FALSE (pushed);
  EXPECT_EQ (given, 2u);
  EXPECT_EQ (popped, 0u);
}

/* Every item once, each producer's in its order, through a ring much smaller than the batches. */
TEST (Ring, ManyProducersManyConsumers)
{
  const gsize producers = 4, consumers = 3, each = 30000;
  Ring ring = make (8);
  std::vector<std::vector<gsize>> got (consumers);
  std::vector<std::thread> in, out;

  for (gsize p = 0; p < producers; p++)
    in.emplace_back ([&, p] {
      for (gsize n = 0; n < each;) {
        gpointer items[20];
        guint count = 0, given = 0;

        for (; count < 1 + (n + p) % 20 && n < each; count++, n++)
          items[count] = GSIZE_TO_POINTER (p * each + n + 1);
        ASSERT_TRUE (zm_ring_push (ring.get (), items, count, &given));
        ASSERT_EQ (given, count);
      }
    });
  for (gsize c = 0; c < consumers; c++)
    out.emplace_back ([&, c] {
      gpointer items[5];
      guint count;

      while ((count = zm_ring_pop (ring.get (), items, 5, -1)) > 0)
        for (guint i = 0; i < count; i++)
          got[c].push_back (GPOINTER_TO_SIZE (items[i]) - 1);
    });
  for (std::thread &thread : in)
    thread.join ();
  zm_ring_close (ring.get ());
  for (std::thread &thread : out)
    thread.join ();

  std::vector<int> seen (producers * each);
  for (const auto &list : got) {
    std::vector<gint64> last (producers, -1);

    for (gsize item : list) {
      seen[item]++;
      ASSERT_GT ((gint64) (item % each), last[item / each]);
      last[item / each] = (gint64) (item % each);
    }
  }
  for (int count : seen)
    ASSERT_EQ (count, 1);
}

} // namespace
