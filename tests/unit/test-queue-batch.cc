/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The queue room: requests that share a batch of the store, where one rests on what another has decided, and names and texts that are none. */
#include "config.h"

#include "queue-fixture.h"

using namespace queue_test;
using Texts = std::vector<std::string>;

namespace {

struct Together {
  ZmStoreUnit base = {};
  std::function<void ()> func;
  std::mutex lock;
  std::condition_variable changed;
  bool ended = false;
};

/* What func submits is prepared as one batch: it is called in the store's thread, which takes all of it afterwards. */
void
together (Room &room, const std::function<void ()> &func)
{
  Together all;

  all.func = func;
  all.base.prepare = [] (ZmStoreUnit *unit, ZmStoreWriter *) {
    reinterpret_cast<Together *> (unit)->func ();
  };
  all.base.done = [] (ZmStoreUnit *unit, const GError *) {
    Together *self = reinterpret_cast<Together *> (unit);
    std::lock_guard<std::mutex> guard (self->lock);

    self->ended = true;
    self->changed.notify_all ();
  };
  ASSERT_TRUE (zm_store_submit (room.store, &all.base, nullptr));
  std::unique_lock<std::mutex> guard (all.lock);
  ASSERT_TRUE (all.changed.wait_for (guard, std::chrono::seconds (60), [&all] { return all.ended; }));
}

} // namespace

TEST (QueueBatch, ADuplicateOfAPutThatFailedIsNoSuccess)
{
  Room room ({ "queue q.kind=latest" });
  ZmPut put = Room::a_put ("x");
  Waiter first, second;

  put.key = ZM_SPAN_LITERAL ("k");
  put.id = ZM_SPAN_LITERAL ("one");
  room.list ("q");
  room.kept.fail = ZM_E_INVALID;
  together (room, [&] {
    zm_queue_put_how (room.queues, Room::name ("q"), &put, ZM_PUT_REPLACE_, Waiter::told, &first);
    zm_queue_put_how (room.queues, Room::name ("q"), &put, ZM_PUT_REPLACE_, Waiter::told, &second);
  });
  EXPECT_NE (first.wait ().code, -1);
  EXPECT_EQ (second.wait ().code, ZM_ERROR_UNAVAILABLE) << "told that a message is there which is not";
  room.kept.fail = ZM_OK;
  Waiter third, fourth;
  together (room, [&] {
    zm_queue_put_how (room.queues, Room::name ("q"), &put, ZM_PUT_REPLACE_, Waiter::told, &third);
    zm_queue_put_how (room.queues, Room::name ("q"), &put, ZM_PUT_REPLACE_, Waiter::told, &fourth);
  });
  EXPECT_FALSE (third.wait ().duplicate);
  EXPECT_TRUE (fourth.wait ().duplicate);
  EXPECT_EQ (third.wait ().ids, fourth.wait ().ids);
  EXPECT_EQ (room.stats ("q").total, 1u);
}

TEST (QueueBatch, TwoChangesOfMetadataThatFailLeaveWhatIsStored)
{
  Room room;

  room.create ("q", "{\"a\":1}");
  for (int code : { (int) ZM_E_INVALID, (int) ZM_OK }) {
    Waiter first, second;

    room.sync ();
    room.kept.fail = code;
    together (room, [&] {
      zm_queue_set_metadata (room.queues, Room::name ("q"), { nullptr, 0 }, ZM_SPAN_LITERAL ("{\"a\":2}"),
                             Waiter::told, &first);
      zm_queue_set_metadata (room.queues, Room::name ("q"), { nullptr, 0 }, ZM_SPAN_LITERAL ("{\"a\":3}"),
                             Waiter::told, &second);
    });
    first.wait ();
    second.wait ();
    room.kept.fail = ZM_OK;
    std::string now = room.ask (zm_queue_get_metadata, "q").metadata;
    EXPECT_EQ (now, code == ZM_OK ? "{\"a\":3}" : "{\"a\":1}");
    room.restart ();
    EXPECT_EQ (room.ask (zm_queue_get_metadata, "q").metadata, now);
  }
}

TEST (QueueBatch, WhatLeavesByAPurgeDoesNotCountTwice)
{
  Room room ({ "queue q.max-bytes=4k" });
  Waiter popped, purged, put;
  ZmPut small = Room::a_put ("small");

  for (int i = 0; i < 2; i++)
    EXPECT_EQ (room.put ("q", std::string (1500, 'x')).code, -1);
  together (room, [&] {
    zm_queue_pop (room.queues, Room::name ("q"), 1, Waiter::told, &popped);
    zm_queue_purge (room.queues, Room::name ("q"), Waiter::told, &purged);
    zm_queue_put (room.queues, Room::name ("q"), &small, 1, Waiter::told, &put);
  });
  EXPECT_EQ (popped.wait ().messages.size (), 1u);
  EXPECT_EQ (purged.wait ().code, -1);
  EXPECT_EQ (put.wait ().code, -1) << put.wait ().error;
  EXPECT_EQ (room.list ("q").bodies (), (Texts{ "small" }));
}

TEST (QueueBatch, AQueueWhoseReaderCouldNotBeStoredIsStoredWithItsMessages)
{
  Room room;
  ZmQueueReader *reader;

  room.sync ();
  room.kept.fail = ZM_E_INVALID;
  reader = zm_queue_reader_new (
      room.queues, Room::name ("fresh"), 0, [] (ZmQueueReader *, gpointer) {}, nullptr);
  room.sync ();
  room.kept.fail = ZM_OK;
  zm_queue_reader_free (reader);
  room.sync ();
  EXPECT_EQ (room.put ("fresh", "kept").code, -1);
  room.restart ();
  EXPECT_EQ (room.list ("fresh").bodies (), (Texts{ "kept" }));
}

TEST (QueueBatch, WhatIsOverIsPassedUntilTheClockIsSetBack)
{
  Room room;
  ZmPut early = Room::a_put ("early"), late = Room::a_put ("late");

  early.ttl_s = 10;
  late.ttl_s = 1000;
  room.put ("q", { early, early, late, late });
  room.pass (20);
  EXPECT_EQ (room.claim ("q", 1, 60, 60).messages.at (0).body, "late");
  EXPECT_EQ (room.claim ("q", 1, 60, 60).messages.at (0).body, "late");
  EXPECT_TRUE (room.claim ("q", 1, 60, 60).messages.empty ());
  room.put ("q", { early, late });
  EXPECT_EQ (room.claim ("q", 1, 60, 60).messages.at (0).body, "early") << "it came after what is over";
  room.pass (-15);
  EXPECT_EQ (room.claim ("q", 1, 60, 60).messages.at (0).body, "early");
  EXPECT_EQ (room.claim ("q", 9, 60, 60).messages.size (), 2u);
}

TEST (QueueBatch, TextsWithANulAreNoNamesAndNoMetadata)
{
  Room room;
  std::string name ("a\0b", 3), metadata ("{}\0{", 4);

  room.create ("a", "");
  EXPECT_EQ (room.put (name, "x").code, ZM_ERROR_INVALID);
  EXPECT_EQ (room.create (std::string ("b\0", 2), "").code, ZM_ERROR_INVALID);
  EXPECT_TRUE (room.list ("a").messages.empty ());
  EXPECT_EQ (room.set_metadata ("a", "", metadata).code, ZM_ERROR_INVALID);
  EXPECT_EQ (room.create ("c", metadata).code, ZM_ERROR_INVALID);
}

TEST (QueueBatch, ATimeOfZeroIsRefusedAsItWouldNeverBeThere)
{
  Room room;
  ZmPut put = Room::a_put ("x");

  put.ttl_s = 0;
  EXPECT_EQ (room.put ("q", { put }).code, ZM_ERROR_INVALID);
  put.ttl_s = 1;
  EXPECT_EQ (room.put ("q", { put }).code, -1);
  EXPECT_EQ (room.list ("q").messages.size (), 1u);
}

TEST (QueueBatch, DeadLettersDoNotGoToTheDaemonsOwnQueues)
{
  Room room;

  EXPECT_EQ (room.create ("q", "{\"_dead_letter_queue\":\"^own\"}").code, ZM_ERROR_INVALID);
  EXPECT_EQ (room.create ("q", "{\"_dead_letter_queue\":\"\\u005eown\"}").code, ZM_ERROR_INVALID);
  EXPECT_EQ (room.create ("q", "{\"_dead_letter_queue\":\"dead\"}").code, -1);
}

TEST (QueueBatch, ALowerBoundOfTheConfigurationLeavesAQueueUsable)
{
  Room room;

  EXPECT_EQ (room.create ("q", "{\"_default_message_ttl\":86400}").code, -1);
  room.put ("q", "1");
  room.use ({ "zaqar.max_message_ttl=600" });
  room.restart ();
  EXPECT_EQ (room.put ("q", "2").code, -1);
  ASSERT_EQ (room.list ("q").bodies (), (Texts{ "1", "2" }));
  EXPECT_EQ (room.list ("q").messages[1].ttl_s, 600);
  EXPECT_NE (room.set_metadata ("q", "", "{\"_default_message_ttl\":86400}").code, -1);
}
