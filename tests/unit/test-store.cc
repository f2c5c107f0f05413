/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The room store: group commit, order, what is confirmed when the store fails, bounds, readers, the end. */
#include "config.h"

#include "base/zm-base.h"
#include "fake-store.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <thread>

namespace {

constexpr auto LONG = std::chrono::seconds (20);

/* Collects what units were told; a test waits until enough of them were. */
class Told {
public:
  void
  add (const std::string &name, const GError *error)
  {
    std::lock_guard<std::mutex> guard (lock);
    names.push_back (name);
    codes.push_back (error != nullptr ? error->code : -1);
    changed.notify_all ();
  }

  bool
  wait (size_t n)
  {
    std::unique_lock<std::mutex> guard (lock);
    return changed.wait_for (guard, LONG, [&] { return names.size () >= n; });
  }

  std::vector<std::string> names;
  std::vector<int> codes; /* -1: done */

private:
  std::mutex lock;
  std::condition_variable changed;
};

/* A unit that puts one document, or does what the test says. */
struct Unit {
  ZmStoreUnit base = {};
  std::string key;
  std::string value = "value";
  std::function<void (Unit *, ZmStoreWriter *)> prepare;
  std::function<void (Unit *, const GError *)> done;
  Told *told = nullptr;

  explicit Unit (std::string name) : key (std::move (name))
  {
    base.size = 100;
    base.adds = TRUE;
    base.prepare = [] (ZmStoreUnit *unit, ZmStoreWriter *writer) {
      Unit *self = reinterpret_cast<Unit *> (unit);

      if (self->prepare)
        self->prepare (self, writer);
      else
        self->put (writer);
    };
    base.done = [] (ZmStoreUnit *unit, const GError *error) {
      Unit *self = reinterpret_cast<Unit *> (unit);

      if (self->done)
        self->done (self, error);
      if (self->told != nullptr)
        self->told->add (self->key, error);
    };
  }

  zm_store_op
  op (guint32 kind) const
  {
    zm_store_op made = {};

    made.kind = kind;
    made.space = { "test", 4 };
    made.key = { key.data (), key.size () };
    made.data = { value.data (), value.size () };
    return made;
  }

  void
  put (ZmStoreWriter *writer)
  {
    zm_store_op made = op (ZM_STORE_PUT);

    zm_store_add (writer, &made);
  }
};

class Store : public ::testing::Test {
protected:
  FakeStore fake;
  Told told;
  ZmStore *store = nullptr;
  std::vector<std::unique_ptr<Unit>> units;
  ZmMetrics *metrics = zm_metrics_new ();

  ZmStoreConfig
  config ()
  {
    ZmStoreConfig made = {};

    made.driver = "fake";
    made.ops = &fake.ops;
    made.state = &fake;
    made.owner = "here";
    made.metrics = metrics;
    return made;
  }

  void
  open (gsize waiting_most = 0)
  {
    ZmStoreConfig made = config ();
    GError *error = nullptr;

    made.waiting_most = waiting_most;
    store = zm_store_new (&made, &error);
    ASSERT_NE (store, nullptr) << error->message;
  }

  void
  TearDown () override
  {
    fake.let_go ();
    zm_store_free (store);
    EXPECT_EQ (fake.readers_open, 0);
    EXPECT_EQ (fake.opens, fake.closes);
    zm_metrics_free (metrics);
  }

  Unit *
  make (const std::string &key)
  {
    units.push_back (std::make_unique<Unit> (key));
    units.back ()->told = &told;
    return units.back ().get ();
  }

  /* -1: taken; else the code of the refusal. */
  int
  submit (Unit *unit)
  {
    GError *error = nullptr;

    if (zm_store_submit (store, &unit->base, &error))
      return -1;
    int code = error->code;
    g_error_free (error);
    return code;
  }

  /* Puts a first unit on its way, which the store holds: all that follows comes into one batch. */
  void
  hold_first ()
  {
    fake.hold ();
    ASSERT_EQ (submit (make ("first")), -1);
    fake.wait_writing ();
  }

  Unit *
  reading (const std::string &key)
  {
    Unit *unit = make (key);

    unit->base.size = 0;
    unit->base.adds = FALSE;
    unit->prepare = [] (Unit *, ZmStoreWriter *) {};
    return unit;
  }

  /* Asks with units that write nothing until the store is as wanted. */
  bool
  wait_trouble (bool wanted)
  {
    for (gint64 end_us = zm_now_us () + 20 * G_USEC_PER_SEC; zm_now_us () < end_us;
         std::this_thread::yield ()) {
      g_autofree char *trouble = zm_store_trouble (store);

      if ((trouble != nullptr) == wanted)
        return true;
    }
    return false;
  }
};

/* ---- group commit and order ---- */

TEST_F (Store, ManyUnitsShareOneWrite)
{
  open ();
  hold_first ();
  for (int i = 0; i < 500; i++)
    ASSERT_EQ (submit (make ("k" + std::to_string (i))), -1);
  int before = fake.writes;
  fake.let_go ();
  ASSERT_TRUE (told.wait (501));
  EXPECT_LE (fake.writes - before, 3);
  for (int code : told.codes)
    EXPECT_EQ (code, -1);
  for (int i = 0; i < 500; i++) {
    EXPECT_EQ (told.names[i + 1], "k" + std::to_string (i));
    EXPECT_TRUE (fake.has ("k" + std::to_string (i)));
  }
}

TEST_F (Store, ManySubmittersAreAllServedInTheirOrder)
{
  constexpr int THREADS = 8, EACH = 500;
  std::vector<std::vector<std::unique_ptr<Unit>>> made (THREADS);
  std::vector<std::thread> threads;

  open ();
  for (int t = 0; t < THREADS; t++)
    for (int i = 0; i < EACH; i++) {
      made[t].push_back (std::make_unique<Unit> (std::to_string (t) + "/" + std::to_string (i)));
      made[t].back ()->told = &told;
    }
  for (int t = 0; t < THREADS; t++)
    threads.emplace_back ([&, t] {
      for (auto &unit : made[t])
        ASSERT_TRUE (zm_store_submit (store, &unit->base, nullptr));
    });
  for (auto &thread : threads)
    thread.join ();
  ASSERT_TRUE (told.wait (THREADS * EACH));
  std::vector<int> next (THREADS, 0);
  for (const std::string &name : told.names) {
    int t = std::stoi (name), i = std::stoi (name.substr (name.find ('/') + 1));

    EXPECT_EQ (i, next[t]++);
  }
  EXPECT_EQ (fake.order.size (), (size_t) (THREADS * EACH));
}

TEST_F (Store, AUnitWithoutChangesIsToldInOrder)
{
  open ();
  hold_first ();
  submit (make ("a"));
  submit (reading ("look"));
  submit (make ("b"));
  fake.let_go ();
  ASSERT_TRUE (told.wait (4));
  EXPECT_EQ (told.names, (std::vector<std::string>{ "first", "a", "look", "b" }));
}

TEST_F (Store, UnitsWithoutChangesWriteNothing)
{
  open ();
  int before = fake.writes;
  submit (reading ("look"));
  ASSERT_TRUE (told.wait (1));
  EXPECT_EQ (fake.writes, before);
}

TEST_F (Store, WhatAPrepareAllocatesLivesUntilDone)
{
  open ();
  hold_first ();
  for (int i = 0; i < 50; i++) {
    Unit *unit = make ("k" + std::to_string (i));
    size_t size = i % 10 == 9 ? 100000 : 3000;

    unit->prepare = [size] (Unit *self, ZmStoreWriter *writer) {
      char *text = static_cast<char *> (zm_store_alloc (writer, size));
      zm_store_op op = self->op (ZM_STORE_PUT);

      memset (text, self->key.back (), size);
      EXPECT_EQ (reinterpret_cast<guintptr> (text) % 16, 0u);
      EXPECT_GT (zm_store_batch_us (writer), 0);
      op.data = { text, size };
      EXPECT_EQ (zm_store_add (writer, &op), 0u);
    };
    submit (unit);
  }
  fake.let_go ();
  ASSERT_TRUE (told.wait (51));
  for (int i = 0; i < 50; i++) {
    std::string key = "k" + std::to_string (i);

    EXPECT_EQ ((fake.documents[{ "test", key }]), std::string (i % 10 == 9 ? 100000 : 3000, key.back ()));
  }
}

/* ---- conditions ---- */

TEST_F (Store, AConditionFailsOnlyItsOwnUnit)
{
  const zm_store_op *seen[2] = {};
  int status[2] = { 1, 1 };

  open ();
  hold_first ();
  Unit *unmet = make ("unmet");
  unmet->prepare = [] (Unit *self, ZmStoreWriter *writer) {
    zm_store_op op = self->op (ZM_STORE_EXPECT);

    zm_store_add (writer, &op);
    self->put (writer);
  };
  unmet->done = [&] (Unit *self, const GError *) {
    for (guint i = 0; i < 2; i++) {
      seen[i] = zm_store_op_of (store, &self->base, i);
      status[i] = seen[i]->status;
    }
    EXPECT_EQ (zm_store_op_of (store, &self->base, 2), nullptr);
  };
  submit (make ("before"));
  submit (unmet);
  submit (make ("after"));
  fake.let_go ();
  ASSERT_TRUE (told.wait (4));
  EXPECT_EQ (told.codes, (std::vector<int>{ -1, -1, ZM_ERROR_EXISTS, -1 }));
  EXPECT_EQ (status[0], ZM_E_DENIED);
  EXPECT_EQ (status[1], ZM_E_AGAIN);
  EXPECT_FALSE (fake.has ("unmet"));
  EXPECT_TRUE (fake.has ("after"));
}

/* ---- failures ---- */

TEST_F (Store, WhatFailedIsNotConfirmedAndNothingIsWrittenUntilRecovered)
{
  open ();
  fake.recover_fails = 1000;
  hold_first ();
  submit (make ("a"));
  submit (reading ("look"));
  fake.fail_next ({ ZM_OK, ZM_E_FAILED });
  fake.let_go ();
  ASSERT_TRUE (told.wait (3));
  EXPECT_EQ (told.codes, (std::vector<int>{ -1, ZM_ERROR_UNAVAILABLE, -1 }));
  EXPECT_FALSE (fake.has ("a"));

  EXPECT_EQ (submit (make ("refused")), ZM_ERROR_UNAVAILABLE);
  EXPECT_EQ (submit (reading ("served")), -1);
  Unit *inside = make ("inside");
  inside->base.inside = TRUE;
  EXPECT_EQ (submit (inside), -1);
  ASSERT_TRUE (told.wait (5));
  EXPECT_EQ (told.codes[3], -1);
  EXPECT_EQ (told.codes[4], ZM_ERROR_UNAVAILABLE);
  EXPECT_FALSE (fake.has ("inside"));

  {
    std::lock_guard<std::mutex> guard (fake.lock);
    EXPECT_GE (fake.recovers, 1);
    fake.recover_fails = 0;
  }
  ASSERT_TRUE (wait_trouble (false));
  EXPECT_EQ (submit (make ("again")), -1);
  ASSERT_TRUE (told.wait (6));
  EXPECT_EQ (told.codes[5], -1);
  EXPECT_TRUE (fake.has ("again"));
}

TEST_F (Store, RecoveryIsTriedAtOnceAndReadersOpenAnew)
{
  open ();
  Unit *looks = reading ("looks");
  guint64 last = 9;
  looks->prepare = [&] (Unit *, ZmStoreWriter *) {
    EXPECT_TRUE (zm_store_last (store, nullptr, 1, &last, nullptr));
  };
  submit (looks);
  ASSERT_TRUE (told.wait (1));
  EXPECT_EQ (last, 0u);
  EXPECT_EQ (fake.readers_opened, 1);
  fake.fail_next ({ ZM_E_FAILED });
  submit (make ("lost"));
  ASSERT_TRUE (told.wait (2));
  ASSERT_TRUE (wait_trouble (false));
  EXPECT_EQ (fake.recovers, 1);
  submit (looks);
  ASSERT_TRUE (told.wait (3));
  EXPECT_EQ (fake.readers_opened, 2);
  EXPECT_EQ (fake.readers_open, 1);
}

TEST_F (Store, WhatWasSaidToHaveFailedDoesNotTurnUpLater)
{
  open ();
  Unit *unit = make ("a");
  unit->prepare = [] (Unit *self, ZmStoreWriter *writer) {
    zm_store_op op = self->op (ZM_STORE_APPEND);

    op.queue = 3;
    for (op.seq = 17; op.seq < 20; op.seq++)
      zm_store_add (writer, &op);
  };
  {
    std::lock_guard<std::mutex> guard (fake.lock);
    fake.records[{ 3, 16 }] = "confirmed before";
    fake.lands = true;
  }
  fake.fail_next ({ ZM_E_FAILED, ZM_E_AGAIN });
  submit (unit);
  ASSERT_TRUE (told.wait (1));
  EXPECT_EQ (told.codes[0], ZM_ERROR_UNAVAILABLE);
  ASSERT_TRUE (wait_trouble (false));
  std::lock_guard<std::mutex> guard (fake.lock);
  EXPECT_GE (fake.recovers, 2) << "the removal did not work at first";
  EXPECT_EQ (fake.records.size (), 1u);
  EXPECT_EQ (fake.records.count ({ 3, 16 }), 1u);
}

TEST_F (Store, WithoutSpaceWhatAddsIsRefusedAndTheRestGoesOn)
{
  open ();
  hold_first ();
  Unit *removes = make ("old");
  removes->base.adds = FALSE;
  removes->prepare = [] (Unit *self, ZmStoreWriter *writer) {
    zm_store_op op = self->op (ZM_STORE_DELETE);

    zm_store_add (writer, &op);
  };
  fake.documents[{ "test", "old" }] = "x";
  submit (make ("a"));
  submit (removes);
  submit (make ("b"));
  fake.full = true;
  fake.let_go ();
  ASSERT_TRUE (told.wait (4));
  EXPECT_EQ (told.names, (std::vector<std::string>{ "first", "a", "old", "b" }));
  EXPECT_EQ (told.codes[0], -1);
  EXPECT_EQ (told.codes[1], ZM_ERROR_LIMIT);
  EXPECT_EQ (told.codes[2], -1);
  EXPECT_EQ (told.codes[3], ZM_ERROR_LIMIT);
  EXPECT_FALSE (fake.has ("a"));
  EXPECT_FALSE (fake.has ("old"));
  EXPECT_EQ (submit (make ("refused")), ZM_ERROR_LIMIT);
  g_autofree char *trouble = zm_store_trouble (store);
  ASSERT_NE (trouble, nullptr);
  EXPECT_NE (std::string (trouble).find ("no space"), std::string::npos) << trouble;
  {
    std::lock_guard<std::mutex> guard (fake.lock);
    fake.full = false;
  }
  ASSERT_TRUE (wait_trouble (false));
  EXPECT_EQ (submit (make ("more")), -1);
  ASSERT_TRUE (told.wait (5));
  EXPECT_TRUE (fake.has ("more"));
  EXPECT_EQ (fake.documents.count ({ "zm-store", "probe" }), 0u);
}

TEST_F (Store, AgainIsTriedAgain)
{
  open ();
  fake.fail_next ({ ZM_E_AGAIN, ZM_E_AGAIN });
  submit (make ("a"));
  ASSERT_TRUE (told.wait (1));
  EXPECT_EQ (told.codes[0], -1);
  EXPECT_TRUE (fake.has ("a"));
}

TEST_F (Store, AgainForEverEndsWithAnErrorAndNoTrouble)
{
  open ();
  {
    std::lock_guard<std::mutex> guard (fake.lock);
    fake.always = ZM_E_AGAIN;
  }
  submit (make ("a"));
  ASSERT_TRUE (told.wait (1));
  EXPECT_EQ (told.codes[0], ZM_ERROR_UNAVAILABLE);
  EXPECT_FALSE (fake.has ("a"));
  EXPECT_EQ (zm_store_trouble (store), nullptr);
}

TEST_F (Store, AWrongUnitDoesNotHurtOthers)
{
  open ();
  fake.bad_key = "bad";
  hold_first ();
  for (const char *key : { "a", "bad", "b" })
    submit (make (key));
  Unit *wrong = make ("wrong");
  wrong->prepare = [] (Unit *self, ZmStoreWriter *writer) {
    zm_store_op op = self->op (99);

    zm_store_add (writer, &op);
  };
  submit (wrong);
  fake.let_go ();
  ASSERT_TRUE (told.wait (5));
  EXPECT_EQ (told.names, (std::vector<std::string>{ "first", "a", "bad", "b", "wrong" }));
  EXPECT_EQ (told.codes, (std::vector<int>{ -1, -1, ZM_ERROR_INVALID, -1, ZM_ERROR_INVALID }));
  EXPECT_TRUE (fake.has ("a"));
  EXPECT_TRUE (fake.has ("b"));
  EXPECT_EQ (zm_store_trouble (store), nullptr);
}

TEST_F (Store, AFailureWhileUnitsAreWrittenSinglyEndsTheRest)
{
  open ();
  hold_first ();
  for (const char *key : { "a", "b", "c" })
    submit (make (key));
  fake.fail_next ({ ZM_OK, ZM_E_INVALID, ZM_OK, ZM_E_FAILED });
  fake.recover_fails = 1000;
  fake.let_go ();
  ASSERT_TRUE (told.wait (4));
  EXPECT_EQ (told.codes, (std::vector<int>{ -1, -1, ZM_ERROR_UNAVAILABLE, ZM_ERROR_UNAVAILABLE }));
  EXPECT_TRUE (fake.has ("a"));
  EXPECT_FALSE (fake.has ("c"));
}

TEST_F (Store, TheWatchIsToldOfTroubleAndOfItsEnd)
{
  std::atomic_int calls{ 0 };

  open ();
  zm_store_set_watch (
      store, [] (ZmStore *, gpointer user) { static_cast<std::atomic_int *> (user)->fetch_add (1); }, &calls);
  fake.fail_next ({ ZM_E_FAILED });
  submit (make ("lost"));
  ASSERT_TRUE (told.wait (1));
  ASSERT_TRUE (wait_trouble (false));
  submit (reading ("then"));
  ASSERT_TRUE (told.wait (2));
  EXPECT_EQ (calls, 2);
}

/* ---- bounds ---- */

TEST_F (Store, WhatWaitsIsBoundedButForTheRuntimesOwn)
{
  open (4096);
  hold_first ();
  int taken = 0, code = -1;
  while (taken < 1000 && (code = submit (make ("k" + std::to_string (taken)))) == -1)
    taken++;
  EXPECT_EQ (code, ZM_ERROR_LIMIT);
  EXPECT_LT (taken, 4096 / 356 + 1);
  EXPECT_GT (taken, 5);
  Unit *inside = make ("inside");
  inside->base.inside = TRUE;
  EXPECT_EQ (submit (inside), -1);
  fake.let_go ();
  ASSERT_TRUE (told.wait ((size_t) taken + 2));
  EXPECT_EQ (submit (make ("room again")), -1);
  ASSERT_TRUE (told.wait ((size_t) taken + 3));
}

TEST_F (Store, OneThatIsLargerThanTheBoundIsTakenAlone)
{
  open (4096);
  Unit *large = make ("large");
  large->base.size = 100000;
  EXPECT_EQ (submit (large), -1);
  ASSERT_TRUE (told.wait (1));
  EXPECT_TRUE (fake.has ("large"));
}

/* ---- units that submit ---- */

TEST_F (Store, DoneMaySubmitAndKnowsItsThread)
{
  open ();
  Unit *second = make ("second"), *one = make ("one");
  bool here = false;
  one->done = [&] (Unit *, const GError *) {
    here = zm_store_here (store);
    EXPECT_EQ (submit (second), -1);
  };
  EXPECT_FALSE (zm_store_here (store));
  submit (one);
  ASSERT_TRUE (told.wait (2));
  EXPECT_TRUE (here);
  EXPECT_EQ (told.names[1], "second");
}

/* ---- readers ---- */

struct Job {
  ZmStoreJob base = {};
  std::function<void (void *reader)> func;
};

void
run_job (ZmStoreJob *job, ZmStore *, void *reader)
{
  reinterpret_cast<Job *> (job)->func (reader);
}

TEST_F (Store, AJobSeesWhatWasWrittenBeforeIt)
{
  open ();
  Unit *unit = make ("a");
  unit->prepare = [] (Unit *self, ZmStoreWriter *writer) {
    zm_store_op op = self->op (ZM_STORE_APPEND);

    op.queue = 3;
    op.seq = 17;
    self->put (writer);
    zm_store_add (writer, &op);
  };
  Told jobs;
  Job job;
  guint64 last = 0;
  std::string record, document;
  job.base.run = run_job;
  job.func = [&] (void *reader) {
    zm_store_range range = {};

    range.queue = 3;
    range.seq = 1;
    EXPECT_TRUE (zm_store_last (store, reader, 3, &last, nullptr));
    EXPECT_TRUE (zm_store_read (
        store, reader, &range,
        [] (void *user, const zm_store_record *found) {
          *static_cast<std::string *> (user) = fake_store::text (found->data);
          return 0;
        },
        &record, nullptr));
    EXPECT_TRUE (zm_store_documents (
        store, reader, "test", ZM_SPAN_LITERAL ("a"), ZM_SPAN_LITERAL (""), 0,
        [] (void *user, zm_str, zm_str value) {
          *static_cast<std::string *> (user) = fake_store::text (value);
          return 0;
        },
        &document, nullptr));
    jobs.add ("job", nullptr);
  };
  unit->done = [&] (Unit *, const GError *) { EXPECT_TRUE (zm_store_read_later (store, &job.base)); };
  submit (unit);
  ASSERT_TRUE (jobs.wait (1));
  EXPECT_EQ (last, 17u);
  EXPECT_EQ (record, "value");
  EXPECT_EQ (document, "value");
}

TEST_F (Store, AnyThreadMayReadWithoutAJob)
{
  guint64 last = 1;

  open ();
  EXPECT_TRUE (zm_store_last (store, nullptr, 3, &last, nullptr));
  EXPECT_EQ (last, 0u);
  EXPECT_EQ (fake.readers_open, 0);
}

/* ---- opening, looking after, the end ---- */

TEST_F (Store, ClosingWritesWhatWaitsAndRunsJobs)
{
  std::atomic_int jobs_run{ 0 };
  std::vector<std::unique_ptr<Job>> jobs;

  open ();
  hold_first ();
  for (int i = 0; i < 100; i++)
    submit (make ("k" + std::to_string (i)));
  for (int i = 0; i < 20; i++) {
    jobs.push_back (std::make_unique<Job> ());
    jobs.back ()->base.run = run_job;
    jobs.back ()->func = [&] (void *) { jobs_run++; };
    EXPECT_TRUE (zm_store_read_later (store, &jobs.back ()->base));
  }
  int refusal = -1;
  units[0]->done = [&] (Unit *, const GError *) {
    /* The thread that closes may not have come so far when this runs, so that it is waited for. */
    for (gint64 end_us = zm_now_us () + 20 * G_USEC_PER_SEC; refusal == -1 && zm_now_us () < end_us;) {
      Unit *again = reading ("asks");
      refusal = submit (again);
      std::this_thread::yield ();
    }
  };
  std::thread opener ([&] { fake.let_go (); });
  zm_store_free (store);
  store = nullptr;
  opener.join ();
  EXPECT_EQ (refusal, ZM_ERROR_UNAVAILABLE);
  EXPECT_EQ (jobs_run, 20);
  for (int i = 0; i < 100; i++)
    EXPECT_TRUE (fake.has ("k" + std::to_string (i)));
  EXPECT_EQ (fake.lease_owner, "");
}

TEST_F (Store, WhatCannotBeOpenedSaysWhy)
{
  ZmStoreConfig made = config ();
  GError *error = nullptr;

  made.uri = "foreign";
  EXPECT_EQ (zm_store_new (&made, &error), nullptr);
  ASSERT_NE (error, nullptr);
  EXPECT_EQ (error->code, ZM_ERROR_REFUSED);
  EXPECT_NE (std::string (error->message).find ("this is no store"), std::string::npos) << error->message;
  g_error_free (error);
}

TEST_F (Store, AnIncompleteTableIsRefused)
{
  ZmStoreConfig made = config ();
  GError *error = nullptr;

  fake.ops.recover = nullptr;
  EXPECT_EQ (zm_store_new (&made, &error), nullptr);
  ASSERT_NE (error, nullptr);
  EXPECT_EQ (error->code, ZM_ERROR_PLUGIN);
  g_error_free (error);
}

TEST_F (Store, AStaleLeaseDoesNotHoldUpAStoreThatIsNotShared)
{
  fake.lease_of = "one that died";
  fake.lease_until = zm_wall_us () + 20 * G_USEC_PER_SEC;
  open ();
  EXPECT_EQ (fake.lease_owner, "here");
}

TEST_F (Store, ALeaseOfAnotherKeepsOutOfASharedStore)
{
  ZmStoreConfig made = config ();
  GError *error = nullptr;

  fake.ops.flags |= ZM_STORE_SHARED;
  fake.lease_of = "another";
  fake.lease_until = zm_wall_us () + 20 * G_USEC_PER_SEC;
  EXPECT_EQ (zm_store_new (&made, &error), nullptr);
  ASSERT_NE (error, nullptr);
  EXPECT_EQ (error->code, ZM_ERROR_REFUSED);
  EXPECT_NE (std::string (error->message).find ("another daemon"), std::string::npos);
  g_error_free (error);
  fake.lease_until = zm_wall_us ();
  open ();
}

TEST_F (Store, AFullDiskIsNoReasonNotToStart)
{
  fake.always = ZM_E_MEMORY;
  open ();
  EXPECT_EQ (submit (make ("refused")), ZM_ERROR_LIMIT);
  {
    std::lock_guard<std::mutex> guard (fake.lock);
    fake.always = ZM_OK;
  }
  ASSERT_TRUE (wait_trouble (false));
}

TEST_F (Store, StatusIsJson)
{
  open ();
  submit (make ("a"));
  ASSERT_TRUE (told.wait (1));
  g_autofree char *json = zm_store_status_json (store);
  ZmSpan value;
  ASSERT_TRUE (zm_json_valid (zm_span_text (json))) << json;
  ASSERT_TRUE (zm_json_member (zm_span_text (json), "driver", &value));
  EXPECT_TRUE (zm_span_is (value, "\"fake\"")) << json;
  ASSERT_TRUE (zm_json_member (zm_span_text (json), "sync-mean-us", &value));
  EXPECT_TRUE (zm_span_is (value, "100")) << json;
  ASSERT_TRUE (zm_json_member (zm_span_text (json), "trouble", &value));
  EXPECT_TRUE (zm_span_is (value, "null")) << json;
}

TEST_F (Store, CheckAndBackupPassOnWhatThePluginSays)
{
  GError *error = nullptr;
  int lines = 0;
  auto report = [] (void *user, int, const char *, uint64_t, uint64_t) {
    ++*static_cast<int *> (user);
    return 0;
  };

  open ();
  EXPECT_TRUE (zm_store_backup (store, "somewhere", report, &lines, nullptr));
  EXPECT_EQ (lines, 1);
  EXPECT_FALSE (zm_store_backup (store, "nowhere", report, &lines, &error));
  EXPECT_NE (std::string (error->message).find ("no such directory"), std::string::npos) << error->message;
  g_clear_error (&error);
  EXPECT_FALSE (zm_store_check (store, FALSE, report, &lines, &error));
  EXPECT_EQ (error->code, ZM_ERROR_NOT_FOUND);
  g_clear_error (&error);
}

} // namespace
