/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Timers of the room base: order, cancelling, firing once. */
#include "config.h"

#include "base/zm-base.h"
#include "base/zm-timers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

namespace {

/* A gate that one thread waits at until another opens it. */
class Gate {
public:
  void
  open ()
  {
    std::lock_guard<std::mutex> guard (lock);
    is_open = true;
    changed.notify_all ();
  }

  bool
  pass ()
  {
    std::unique_lock<std::mutex> guard (lock);
    return changed.wait_for (guard, std::chrono::seconds (20), [this] { return is_open; });
  }

private:
  std::mutex lock;
  std::condition_variable changed;
  bool is_open = false;
};

class Timers : public ::testing::Test {
protected:
  ZmTimers *timers = zm_timers_new (nullptr);

  void
  TearDown () override
  {
    zm_timers_free (timers);
  }
};

void
open_gate (ZmTimer *, gpointer user)
{
  static_cast<Gate *> (user)->open ();
}

TEST_F (Timers, FiresNotBeforeItsTime)
{
  Gate gate;
  ZmTimer timer = { open_gate, &gate, 0, 0 };
  gint64 due = zm_now_us () + 30000;

  zm_timers_arm (timers, &timer, due);
  EXPECT_EQ (zm_timers_armed (timers), 1u);
  ASSERT_TRUE (gate.pass ());
  EXPECT_GE (zm_now_us (), due);
  EXPECT_FALSE (zm_timers_cancel (timers, &timer, TRUE));
  EXPECT_EQ (zm_timers_armed (timers), 0u);
}

TEST_F (Timers, ANearerOneGoesFirst)
{
  Gate far_gate, near_gate;
  ZmTimer far_timer = { open_gate, &far_gate, 0, 0 }, near_timer = { open_gate, &near_gate, 0, 0 };

  zm_timers_arm (timers, &far_timer, zm_now_us () + G_GINT64_CONSTANT (3600000000));
  zm_timers_arm (timers, &near_timer, zm_now_us () + 1000);
  ASSERT_TRUE (near_gate.pass ());
  EXPECT_TRUE (zm_timers_cancel (timers, &far_timer, FALSE));
}

/* A callback that stops in the middle until it is told to go on. */
struct Slow {
  Gate begun, go_on;
  std::atomic<bool> ended{ false };
};

void
run_slowly (ZmTimer *, gpointer user)
{
  auto slow = static_cast<Slow *> (user);

  slow->begun.open ();
  slow->go_on.pass ();
  slow->ended = true;
}

struct Order {
  std::vector<gint64> fired;
  gsize most;
  Gate all;
};

void
note_order (ZmTimer *timer, gpointer user)
{
  auto order = static_cast<Order *> (user);

  order->fired.push_back (timer->due_us);
  if (order->fired.size () == order->most)
    order->all.open ();
}

TEST_F (Timers, TenThousandFireInOrder)
{
  std::mt19937 random (7);
  std::vector<ZmTimer> many (10000);
  Order order;
  gint64 start = zm_now_us ();
  Slow slow;
  ZmTimer holder = { run_slowly, &slow, 0, 0 };

  /* Keeps the thread busy until all are in the heap. */
  zm_timers_arm (timers, &holder, 0);
  ASSERT_TRUE (slow.begun.pass ());
  /* A third is cancelled again, a third armed twice. */
  order.most = many.size () - (many.size () + 2) / 3;
  for (ZmTimer &timer : many) {
    timer.func = note_order;
    timer.user = &order;
    zm_timers_arm (timers, &timer, start + (gint64) (random () % 50000));
  }
  for (gsize i = 0; i < many.size (); i++) {
    if (i % 3 == 0) {
      ASSERT_TRUE (zm_timers_cancel (timers, &many[i], FALSE));
    } else if (i % 3 == 1)
      zm_timers_arm (timers, &many[i], start + (gint64) (random () % 50000));
  }
  slow.go_on.open ();
  ASSERT_TRUE (order.all.pass ());
  EXPECT_EQ (zm_timers_armed (timers), 0u);
  EXPECT_EQ (order.fired.size (), order.most);
  EXPECT_TRUE (std::is_sorted (order.fired.begin (), order.fired.end ()));
}

TEST_F (Timers, CancelledOnesDoNotFire)
{
  Gate never, later;
  ZmTimer cancelled = { open_gate, &never, 0, 0 }, witness = { open_gate, &later, 0, 0 };
  gint64 due = zm_now_us () + 20000;

  zm_timers_arm (timers, &cancelled, due);
  EXPECT_TRUE (zm_timers_cancel (timers, &cancelled, FALSE));
  EXPECT_FALSE (zm_timers_cancel (timers, &cancelled, FALSE));
  cancelled.user = nullptr; /* firing now would crash */
  zm_timers_arm (timers, &witness, due + 1000);
  ASSERT_TRUE (later.pass ());
}

TEST_F (Timers, CancelWithWaitReturnsAfterTheCallback)
{
  Slow slow;
  ZmTimer timer = { run_slowly, &slow, 0, 0 };

  zm_timers_arm (timers, &timer, 0);
  ASSERT_TRUE (slow.begun.pass ());
  EXPECT_FALSE (zm_timers_cancel (timers, &timer, FALSE)); /* does not wait */
  EXPECT_FALSE (slow.ended);

  std::atomic<bool> returned{ false };
  std::thread canceller ([&] {
    EXPECT_FALSE (zm_timers_cancel (timers, &timer, TRUE));
    EXPECT_TRUE (slow.ended);
    returned = true;
  });
  EXPECT_FALSE (returned);
  slow.go_on.open ();
  canceller.join ();
}

struct Again {
  ZmTimers *timers;
  std::atomic<int> count{ 0 };
  Gate enough;
};

void
rearm (ZmTimer *timer, gpointer user)
{
  auto again = static_cast<Again *> (user);

  /* Cancelling itself does not wait for itself. */
  zm_timers_cancel (again->timers, timer, TRUE);
  if (++again->count == 50)
    again->enough.open ();
  zm_timers_arm (again->timers, timer, zm_now_us () + 100);
}

TEST_F (Timers, ACallbackMayArmItselfAgain)
{
  Again again;
  again.timers = timers;
  ZmTimer timer = { rearm, &again, 0, 0 };

  zm_timers_arm (timers, &timer, 0);
  ASSERT_TRUE (again.enough.pass ());
  zm_timers_cancel (timers, &timer, TRUE);
  /* After that it neither runs nor is armed. */
  int count = again.count;
  EXPECT_EQ (zm_timers_armed (timers), 0u);
  EXPECT_EQ (again.count, count);
}

TEST (TimersAlone, ArmedOnesDoNotFireAfterFree)
{
  ZmTimer timer = { nullptr, nullptr, 0, 0 };
  ZmTimers *timers = zm_timers_new (nullptr);

  zm_timers_arm (timers, &timer, zm_now_us () + G_GINT64_CONSTANT (3600000000));
  zm_timers_free (timers);
}

} // namespace
