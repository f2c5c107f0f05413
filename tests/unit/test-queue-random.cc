/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Random operations on one queue, with writes that fail, moved clocks and restarts, against a model that is a plain list.
 * ZM_TEST_LONG in the environment makes it a million steps.
 */
#include "config.h"

#include "queue-fixture.h"

#include <algorithm>
#include <random>

using namespace queue_test;

namespace {

struct Entry {
  std::string id, body;
  gint64 due_s, over_s;
  std::string claim;
};

class Walk {
public:
  explicit Walk (unsigned seed) : random (seed)
  {
  }

  void
  run (int steps)
  {
    for (int step = 0; step < steps && !testing::Test::HasFailure (); step++) {
      SCOPED_TRACE ("step " + std::to_string (step));
      /* One write in ten fails, and then nothing may have happened. */
      failing = random () % 10 == 0;
      room.kept.fail = failing ? ZM_E_INVALID : ZM_OK;
      one ();
      room.kept.fail = ZM_OK;
      if (step % 16 == 0)
        compare ();
    }
  }

private:
  gint64
  now () const
  {
    return room.wall_us / G_USEC_PER_SEC;
  }

  void
  forget_over ()
  {
    for (Entry &entry : model)
      if (!entry.claim.empty () && claims[entry.claim] <= now ())
        entry.claim.clear ();
    model.erase (std::remove_if (model.begin (), model.end (),
                                 [this] (const Entry &entry) { return entry.over_s <= now (); }),
                 model.end ());
  }

  void
  one ()
  {
    unsigned what = random () % 100;

    forget_over ();
    if (what < 45)
      put ();
    else if (what < 60)
      remove ();
    else if (what < 75)
      claim ();
    else if (what < 82)
      release ();
    else if (what < 90)
      pop ();
    else if (what < 96)
      room.pass ((gint64) (random () % 20));
    else if (what < 98)
      room.tend ();
    else if (what < 99)
      restart ();
    else if (random () % 4 == 0)
      purge ();
  }

  /* Opening a store needs writes that work. */
  void
  restart ()
  {
    room.kept.fail = ZM_OK;
    room.restart ();
  }

  void
  put ()
  {
    std::vector<ZmPut> puts;
    std::vector<std::string> bodies;
    unsigned n = 1 + random () % 3;

    for (unsigned i = 0; i < n; i++)
      bodies.push_back ("m" + std::to_string (made++));
    for (unsigned i = 0; i < n; i++) {
      puts.push_back (Room::a_put (bodies[i]));
      puts[i].ttl_s = 1 + (gint64) (random () % 300);
      puts[i].delay_s = random () % 4 == 0 ? (gint64) (random () % 30) : 0;
    }
    Answer answer = room.put ("q", puts);
    ASSERT_EQ (answer.code == -1, !failing) << answer.error;
    for (unsigned i = 0; i < n && !failing; i++)
      model.push_back ({ answer.ids[i], bodies[i], now () + puts[i].delay_s, now () + puts[i].ttl_s, "" });
  }

  void
  remove ()
  {
    if (model.empty ())
      return;
    size_t at = random () % model.size ();
    Answer answer = room.remove ("q", model[at].id, model[at].claim);

    ASSERT_EQ (answer.code == -1, !failing) << answer.error;
    if (!failing)
      model.erase (model.begin () + (ptrdiff_t) at);
  }

  std::vector<size_t>
  first_free (unsigned most) const
  {
    std::vector<size_t> found;

    for (size_t i = 0; i < model.size () && found.size () < most; i++)
      if (model[i].claim.empty () && model[i].due_s <= now ())
        found.push_back (i);
    return found;
  }

  void
  claim ()
  {
    unsigned n = 1 + random () % 5;
    gint64 ttl = 1 + (gint64) (random () % 30), grace = (gint64) (random () % 30);
    std::vector<size_t> expected = first_free (n);
    Answer answer = room.claim ("q", n, ttl, grace);

    if (failing && !expected.empty ()) {
      ASSERT_NE (answer.code, -1);
      return;
    }
    ASSERT_EQ (answer.code, -1) << answer.error;
    ASSERT_EQ (answer.messages.size (), expected.size ());
    for (size_t i = 0; i < expected.size (); i++) {
      Entry &entry = model[expected[i]];

      EXPECT_EQ (answer.messages[i].body, entry.body);
      entry.claim = answer.claim;
      entry.over_s = std::max (entry.over_s, now () + ttl + grace);
    }
    if (!expected.empty ())
      claims[answer.claim] = now () + ttl;
  }

  void
  release ()
  {
    if (model.empty ())
      return;
    std::string which = model[random () % model.size ()].claim;

    if (which.empty ())
      return;
    Waiter waiter;
    zm_queue_claim_release (room.queues, Room::name ("q"), span_of (which), Waiter::told, &waiter);
    ASSERT_EQ (waiter.wait ().code == -1, !failing);
    for (Entry &entry : model)
      if (!failing && entry.claim == which)
        entry.claim.clear ();
  }

  void
  pop ()
  {
    unsigned n = 1 + random () % 3;
    std::vector<size_t> expected = first_free (n);
    Waiter waiter;

    zm_queue_pop (room.queues, Room::name ("q"), n, Waiter::told, &waiter);
    Answer answer = waiter.wait ();
    if (failing && !expected.empty ()) {
      ASSERT_NE (answer.code, -1);
      return;
    }
    ASSERT_EQ (answer.messages.size (), expected.size ());
    for (size_t i = expected.size (); i > 0; i--) {
      EXPECT_EQ (answer.messages[i - 1].body, model[expected[i - 1]].body);
      model.erase (model.begin () + (ptrdiff_t) expected[i - 1]);
    }
  }

  void
  purge ()
  {
    Answer answer = room.ask (zm_queue_purge, "q");

    if (answer.code == -1)
      model.clear ();
  }

  void
  compare ()
  {
    forget_over ();
    Answer answer =
        room.list ("q", 100000, "", [] (ZmQueueList &list) { list.claimed = list.delayed = TRUE; });
    ZmQueueStats stats = room.stats ("q");
    guint64 claimed = 0, delayed = 0;

    ASSERT_EQ (answer.messages.size (), model.size ());
    for (size_t i = 0; i < model.size (); i++) {
      ASSERT_EQ (answer.messages[i].id, model[i].id);
      ASSERT_EQ (answer.messages[i].body, model[i].body);
      ASSERT_EQ (answer.messages[i].claim, model[i].claim);
      claimed += !model[i].claim.empty ();
      delayed += model[i].due_s > now ();
    }
    EXPECT_EQ (stats.total, model.size ());
    EXPECT_EQ (stats.claimed, claimed);
    EXPECT_EQ (stats.delayed, delayed);
    EXPECT_EQ (stats.free, model.size () - claimed - delayed);
  }

  Room room;
  std::mt19937 random;
  std::vector<Entry> model;
  std::map<std::string, gint64> claims; /* until when */
  int made = 0;
  bool failing = false;
};

} // namespace

TEST (QueueRandom, OperationsAgreeWithAModel)
{
  int steps = g_getenv ("ZM_TEST_LONG") != nullptr ? 1000000 : 10000;

  Walk (20261122).run (steps);
}
