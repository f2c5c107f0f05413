/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is in a queue, in memory: chunks, times, the heap, the cache. */
#include "config.h"

#include "queue-fixture.h"

#include <algorithm>
#include <random>

namespace {

struct Index {
  ZmIndex index = {};
  ~Index ()
  {
    zm_index_clear (&index);
  }
};

} // namespace

TEST (QueueIndex, CostsSomeNineBytesAMessage)
{
  Index i;

  for (guint64 seq = 1; seq <= 1000000; seq++)
    zm_index_add (&i.index, seq, 100, ZM_TIME_NEVER, TRUE, TRUE);
  EXPECT_LE (zm_index_memory (&i.index), 9000000u);
  EXPECT_EQ (i.index.n_free, 1000000u);
  EXPECT_EQ (i.index.bytes, 100000000u);
  for (guint64 seq = 1; seq <= 999999; seq++)
    zm_index_remove (&i.index, seq);
  EXPECT_LE (zm_index_memory (&i.index), sizeof (ZmChunk) + 4096 * sizeof (void *))
      << "empty chunks are freed, the front is cut";
  EXPECT_EQ (zm_index_next (&i.index, ZM_VIEW_LOG, 1), 1000000u);
}

TEST (QueueIndex, AnEmptyOneHasNothing)
{
  Index i;

  EXPECT_EQ (zm_index_next (&i.index, ZM_VIEW_LOG, 1), 0u);
  EXPECT_EQ (zm_index_previous (&i.index, ZM_VIEW_LOG, G_MAXUINT64), 0u);
  EXPECT_EQ (zm_index_next_over (&i.index, 1, ZM_TIME_NEVER), 0u);
  EXPECT_EQ (zm_index_least (&i.index), ZM_TIME_NEVER);
  zm_index_remove (&i.index, 5);
  EXPECT_FALSE (zm_index_take (&i.index, 5));
}

TEST (QueueIndex, TimesAreRoundedUp)
{
  gint64 base = ZM_TIME_BASE_S * G_USEC_PER_SEC;

  EXPECT_EQ (zm_time_of (base + 1), 1u);
  EXPECT_EQ (zm_time_of (base + G_USEC_PER_SEC), 1u);
  EXPECT_EQ (zm_time_of (base + G_USEC_PER_SEC + 1), 2u);
  EXPECT_EQ (zm_time_of (G_MAXINT64), ZM_TIME_NEVER);
  EXPECT_EQ (zm_time_of (G_MAXINT64 - 1), ZM_TIME_NEVER - 1);
  EXPECT_EQ (zm_time_of (G_MININT64), 1u);
  EXPECT_EQ (zm_time_now (base + 2 * G_USEC_PER_SEC - 1), 1u);
  EXPECT_EQ (zm_time_us (7), base + 7 * G_USEC_PER_SEC);
}

/* Against a plain model. */
TEST (QueueIndex, RandomOperationsAgreeWithAModel)
{
  struct Entry {
    bool present, free;
    ZmTime expiry;
  };
  std::mt19937 random (5);
  std::map<guint64, Entry> model;
  Index i;
  guint64 last = 0;

  for (int step = 0; step < 30000; step++) {
    guint64 seq = last > 0 ? random () % (last + 3) : 1;
    auto at = model.find (seq);
    gboolean was_free;

    switch (random () % 8) {
    case 0:
    case 1: {
      Entry entry = { random () % 4 != 0, random () % 2 == 0, (ZmTime) (random () % 1000) };

      last += random () % 50 == 0 ? 1000 : 1;
      zm_index_add (&i.index, last, 1, entry.expiry, entry.present, entry.free);
      entry.free = entry.free && entry.present;
      model[last] = entry;
      break;
    }
    case 2:
      zm_index_remove (&i.index, seq);
      model.erase (seq);
      break;
    case 3:
      EXPECT_EQ (zm_index_take (&i.index, seq) != FALSE, at != model.end () && at->second.free);
      if (at != model.end ())
        at->second.free = false;
      break;
    case 4:
      EXPECT_EQ (zm_index_give (&i.index, seq) != FALSE,
                 at != model.end () && at->second.present && !at->second.free);
      if (at != model.end ())
        at->second.free = at->second.present;
      break;
    case 5:
      EXPECT_EQ (zm_index_leave (&i.index, seq, &was_free) != FALSE,
                 at != model.end () && at->second.present);
      EXPECT_EQ (was_free != FALSE, at != model.end () && at->second.present && at->second.free);
      if (at != model.end ())
        at->second.present = at->second.free = false;
      break;
    case 6: {
      auto next =
          std::find_if (model.lower_bound (seq), model.end (), [] (auto &e) { return e.second.free; });

      EXPECT_EQ (zm_index_next (&i.index, ZM_VIEW_FREE, seq), next != model.end () ? next->first : 0);
      auto before = model.upper_bound (seq);
      guint64 expected = before != model.begin () ? std::prev (before)->first : 0;
      EXPECT_EQ (zm_index_previous (&i.index, ZM_VIEW_LOG, seq), expected);
      auto gone =
          std::find_if (model.lower_bound (seq), model.end (), [] (auto &e) { return !e.second.present; });

      EXPECT_EQ (zm_index_next_gone (&i.index, seq), gone != model.end () ? gone->first : 0);
      /* Mostly from the first, and with a clock that goes back now and then. */
      guint64 from = random () % 4 != 0 ? random () % 2 : seq;
      ZmTime now = random () % 1000;
      auto first = std::find_if (model.lower_bound (from), model.end (),
                                 [now] (auto &e) { return e.second.free && e.second.expiry > now; });

      EXPECT_EQ (zm_index_first_free (&i.index, from, now), first != model.end () ? first->first : 0);
      break;
    }
    default: {
      ZmTime now = random () % 1000;
      auto over = std::find_if (model.lower_bound (seq), model.end (),
                                [now] (auto &e) { return e.second.expiry <= now; });
      guint64 n = (guint64) std::count_if (model.begin (), model.end (), [now] (auto &e) {
        return e.second.present && e.second.expiry <= now;
      });

      EXPECT_EQ (zm_index_next_over (&i.index, seq, now), over != model.end () ? over->first : 0);
      if (step % 16 == 0) {
        EXPECT_EQ (zm_index_count_over (&i.index, ZM_VIEW_PRESENT, now), n);
      }
    }
    }
    ASSERT_EQ (i.index.n_log, model.size ()) << step;
    if (HasFailure ())
      FAIL () << "at step " << step;
  }
}

TEST (QueueHeap, GivesTheLeastFirst)
{
  std::mt19937 random (3);
  std::vector<gint64> times;
  ZmHeap heap = {};

  for (int i = 0; i < 1000; i++) {
    times.push_back (random () % 300);
    zm_heap_push (&heap, times.back (), (guint64) i);
  }
  std::sort (times.begin (), times.end ());
  for (gint64 time : times) {
    ASSERT_EQ (zm_heap_first (&heap)->at, time);
    zm_heap_pop (&heap);
  }
  EXPECT_EQ (zm_heap_first (&heap), nullptr);
  zm_heap_pop (&heap);
  zm_heap_clear (&heap);
}

TEST (QueueCache, StaysWithinItsBoundAndTheOldestGoFirst)
{
  ZmCache *cache = zm_cache_new (100000);
  std::string body (1000, 'x');
  int kept = 0;

  for (guint64 seq = 1; seq <= 500; seq++) {
    ZmPut put = queue_test::Room::a_put (body);
    ZmRecord *record = zm_record_new (&put);

    ASSERT_TRUE (zm_record_seal (record, nullptr, 1, seq, 1, 60, 0, nullptr));
    zm_cache_put (cache, record);
    zm_record_unref (record);
  }
  for (guint64 seq = 1; seq <= 500; seq++) {
    ZmRecord *record = zm_cache_get (cache, 1, seq);

    kept += record != nullptr;
    if (record == nullptr) {
      EXPECT_EQ (kept, 0) << "only the oldest are gone";
    }
    zm_record_unref (record);
  }
  EXPECT_GT (kept, 50);
  EXPECT_LT (kept, 100);
  EXPECT_EQ (zm_cache_get (cache, 2, 500), nullptr);
  zm_cache_drop (cache, 1, 500);
  EXPECT_EQ (zm_cache_get (cache, 1, 500), nullptr);
  zm_cache_free (cache);
}
