/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The queue room: bounds, durability, writes that fail, bindings, readers of the log, and who joins in a transaction. */
#include "config.h"

#include "queue-fixture.h"

using namespace queue_test;
using Texts = std::vector<std::string>;

/* ---- bounds ---- */

TEST (QueueLimits, RefuseTellsTheSender)
{
  Room room ({ "queue q.max-messages=3" });

  for (const char *body : { "1", "2", "3" })
    EXPECT_EQ (room.put ("q", body).code, -1);
  Answer refused = room.put ("q", "4");
  EXPECT_EQ (refused.code, ZM_ERROR_LIMIT);
  EXPECT_NE (refused.error.find ("full"), std::string::npos) << refused.error;
  EXPECT_EQ (room.list ("q").bodies (), (Texts{ "1", "2", "3" }));
  EXPECT_EQ (room.counter ("zmanager_queue_refused_total"), 1);
}

TEST (QueueLimits, OfSeveralAllOrNoneAreTaken)
{
  Room room ({ "queue q.max-messages=3" });

  EXPECT_EQ (room.put ("q", "1").code, -1);
  EXPECT_EQ (room.put ("q", { Room::a_put ("2"), Room::a_put ("3"), Room::a_put ("4") }).code,
             ZM_ERROR_LIMIT);
  EXPECT_EQ (room.list ("q").bodies (), (Texts{ "1" }));
  EXPECT_EQ (room.kept.records.size (), 1u) << "what was refused is not on the disk";
  EXPECT_EQ (room.put ("q", { Room::a_put ("2"), Room::a_put ("3") }).code, -1);
  room.restart ();
  EXPECT_EQ (room.list ("q").bodies (), (Texts{ "1", "2", "3" }));
}

TEST (QueueLimits, DropNewAndDropOldestAreCounted)
{
  Room room ({ "queue new.max-messages=2", "queue new.on-full=drop-new", "queue old.max-messages=2",
               "queue old.on-full=drop-oldest" });

  for (const char *body : { "1", "2", "3" }) {
    Answer answer = room.put ("new", body);

    EXPECT_EQ (answer.code, -1);
    EXPECT_EQ (answer.ids.size (), 1u);
    EXPECT_EQ (room.put ("old", body).code, -1);
  }
  EXPECT_EQ (room.list ("new").bodies (), (Texts{ "1", "2" }));
  EXPECT_EQ (room.list ("old").bodies (), (Texts{ "2", "3" }));
  EXPECT_EQ (room.stats ("new").dropped, 1u);
  EXPECT_EQ (room.stats ("old").dropped, 1u);
  EXPECT_EQ (room.kept.records.size (), 4u);
}

TEST (QueueLimits, ClaimedMessagesAreNotDropped)
{
  Room room ({ "queue q.max-messages=2", "queue q.on-full=drop-oldest" });

  room.put ("q", "1");
  room.put ("q", "2");
  EXPECT_EQ (room.claim ("q", 1, 60, 60).messages.size (), 1u);
  EXPECT_EQ (room.put ("q", "3").code, -1);
  EXPECT_EQ (room.list ("q", 10, "", [] (ZmQueueList &list) { list.claimed = TRUE; }).bodies (),
             (Texts{ "1", "3" }));
  EXPECT_EQ (room.claim ("q", 1, 60, 60).messages.size (), 1u);
  room.put ("q", "4");
  EXPECT_EQ (room.list ("q", 10, "", [] (ZmQueueList &list) { list.claimed = TRUE; }).bodies (),
             (Texts{ "1", "3" }));
  EXPECT_EQ (room.stats ("q").dropped, 2u);
}

TEST (QueueLimits, BytesCountToo)
{
  Room room ({ "queue q.max-bytes=4k", "queue o.max-bytes=4k", "queue o.on-full=drop-oldest" });
  std::string body (1500, 'x');

  EXPECT_EQ (room.put ("q", body).code, -1);
  EXPECT_EQ (room.put ("q", body).code, -1);
  EXPECT_EQ (room.put ("q", body).code, ZM_ERROR_LIMIT);
  EXPECT_EQ (
      room.put ("o", { Room::a_put (body), Room::a_put (body), Room::a_put (body), Room::a_put (body) }).code,
      -1);
  for (int i = 0; i < 5; i++) {
    EXPECT_EQ (room.put ("o", body).code, -1);
    EXPECT_EQ (room.list ("o").messages.size (), 2u);
  }
  EXPECT_LE (room.stats ("o").bytes, 4096u);
}

TEST (QueueLimits, ANewConfigurationChangesBounds)
{
  Room room ({ "queue q.max-messages=1" });

  room.put ("q", "1");
  EXPECT_EQ (room.put ("q", "2").code, ZM_ERROR_LIMIT);
  room.use ({ "queue q.max-messages=2" });
  EXPECT_EQ (room.put ("q", "2").code, -1);
  room.use ({});
  EXPECT_EQ (room.put ("q", "3").code, -1);
  EXPECT_EQ (room.list ("q").messages.size (), 3u);
}

TEST (QueueLimits, TheConfigurationIsChecked)
{
  ZmConfig *config = Room::config_of ({ "queue good.topics=s?c@d?a", "queue t.topics=a~b~c",
                                        "queue d.dead-letter=d", "queue e.encrypt=xyz" });
  g_autoptr (ZmProblems) problems = zm_problems_new ();

  zm_queues_check (config, problems);
  g_autofree char *text = zm_problems_format (problems);
  EXPECT_EQ (zm_problems_errors (problems), 3u) << text;
  zm_config_unref (config);
}

/* ---- durability ---- */

TEST (QueueDurability, MemoryIsNotGivenToTheStoreAndLostAtARestart)
{
  Room room ({ "queue q.durability=memory" });
  Answer put = room.put ("q", "1");

  EXPECT_EQ (room.list ("q").bodies (), (Texts{ "1" }));
  EXPECT_EQ (room.kept.records.size (), 0u);
  EXPECT_EQ (room.claim ("q", 1, 60, 60).messages.size (), 1u);
  room.put ("q", "2");
  room.ask (zm_queue_purge, "q");
  EXPECT_TRUE (room.list ("q").messages.empty ());
  room.put ("q", "3");
  room.pass (10);
  room.restart ();
  EXPECT_TRUE (room.list ("q").messages.empty ());
  EXPECT_NE (room.put ("q", "4").ids[0], put.ids[0]);
  EXPECT_TRUE (room.get ("q", { put.ids[0] }).messages.empty ());
}

TEST (QueueDurability, BatchAnswersAndCountsWhatIsLost)
{
  Room room ({ "queue q.durability=batch" });

  EXPECT_EQ (room.put ("q", "1").code, -1);
  room.sync ();
  EXPECT_EQ (room.list ("q").bodies (), (Texts{ "1" }));
  room.kept.fail = ZM_E_INVALID;
  EXPECT_EQ (room.put ("q", "2").code, -1);
  room.sync ();
  room.kept.fail = ZM_OK;
  EXPECT_EQ (room.counter ("zmanager_queue_lost_total"), 1);
  EXPECT_EQ (room.list ("q").bodies (), (Texts{ "1" }));
}

/* ---- writes that fail ---- */

TEST (QueueFailure, EverythingIsUndone)
{
  Room room ({ "queue q.max-messages=5", "queue q.on-full=drop-oldest" });
  Texts ids;

  for (const char *body : { "1", "2", "3", "4", "5" })
    ids.push_back (room.put ("q", body).ids[0]);
  room.create ("m", "{\"a\":1}");
  room.sync ();
  room.kept.fail = ZM_E_INVALID;
  EXPECT_NE (room.put ("q", "6").code, -1);
  EXPECT_NE (room.remove ("q", ids[0]).code, -1);
  EXPECT_NE (room.claim ("q", 2, 60, 60).code, -1);
  EXPECT_NE (room.ask (zm_queue_purge, "q").code, -1);
  EXPECT_NE (room.ask (zm_queue_remove, "m").code, -1);
  EXPECT_NE (room.set_metadata ("m", "", "{\"a\":2}").code, -1);
  EXPECT_NE (room.put ("new", "x").code, -1);
  room.pass (3601);
  room.tend ();
  room.pass (-3601);
  room.kept.fail = ZM_OK;
  EXPECT_EQ (room.list ("q").bodies (), (Texts{ "1", "2", "3", "4", "5" }));
  ZmQueueStats stats = room.stats ("q");
  EXPECT_EQ (stats.free, 5u);
  EXPECT_EQ (stats.claimed, 0u);
  EXPECT_EQ (stats.expired, 0u);
  EXPECT_EQ (stats.dropped, 0u);
  EXPECT_EQ (room.ask (zm_queue_get_metadata, "m").metadata, "{\"a\":1}");
  EXPECT_FALSE (room.ask (zm_queue_get_metadata, "new").created);
  EXPECT_EQ (room.claim ("q", 10, 60, 60).messages.size (), 5u);
  room.restart ();
  EXPECT_EQ (room.stats ("q").claimed, 5u);
}

TEST (QueueFailure, AFullDiskRefusesAndLetsRemove)
{
  Room room;
  Answer put = room.put ("q", "1");

  room.kept.fail = ZM_E_MEMORY;
  EXPECT_EQ (room.put ("q", "2").code, ZM_ERROR_LIMIT);
  room.kept.fail = ZM_OK;
  EXPECT_EQ (room.remove ("q", put.ids[0]).n, 1u);
  EXPECT_TRUE (room.list ("q").messages.empty ());
}

/* ---- topics ---- */

namespace {

ZmMessage *
message_to (const char *action, const char *body)
{
  ZmKey key = { ZM_SPAN_LITERAL ("s"), ZM_SPAN_LITERAL ("c"), { nullptr, 0 }, zm_span_text (action) };

  return zm_message_new (ZM_SPAN_LITERAL ("flow"), &key, ZM_SPAN_LITERAL ("id1"), ZM_SPAN_LITERAL ("{}"),
                         zm_span_text (body));
}

} // namespace

TEST (QueueTopics, PublicationsGoToEveryQueueThatIsBound)
{
  Room room ({ "queue all.topics=s??", "queue up.topics=s?c?Up ?c?Up", "queue other.topics=x??" });
  ZmMessage *messages[] = { message_to ("Up", "1"), message_to ("Down", "2"), message_to ("Up", "3") };

  zm_queues_tap (messages, 3, room.queues);
  room.sync ();
  EXPECT_EQ (room.list ("all").bodies (), (Texts{ "1", "2", "3" }));
  EXPECT_EQ (room.list ("up").bodies (), (Texts{ "1", "3" })) << "once, though two patterns match";
  EXPECT_TRUE (room.list ("other").messages.empty ());
  EXPECT_EQ (room.list ("up").messages.at (0).topic, "flow~~s~c~Up~id1");
  EXPECT_EQ (room.list ("up").messages.at (0).headers, "{}");
  EXPECT_TRUE (zm_queues_bound (room.queues, ZM_SPAN_LITERAL ("f~~s~z~Any~i")));
  EXPECT_FALSE (zm_queues_bound (room.queues, ZM_SPAN_LITERAL ("f~~y~z~Any~i")));
  EXPECT_FALSE (zm_queues_bound (room.queues, ZM_SPAN_LITERAL ("nonsense")));

  room.use ({});
  zm_queues_tap (messages, 3, room.queues);
  room.sync ();
  EXPECT_EQ (room.list ("all").messages.size (), 3u);
  EXPECT_FALSE (zm_queues_bound (room.queues, ZM_SPAN_LITERAL ("f~~s~z~Any~i")));
  for (ZmMessage *message : messages)
    zm_message_unref (message);
}

TEST (QueueTopics, WhatAQueueDoesNotGetIsCounted)
{
  Room room ({ "queue q.topics=s??", "queue q.max-messages=1" });
  ZmMessage *messages[] = { message_to ("Up", "1"), message_to ("Up", "2") };

  zm_queues_tap (messages, 2, room.queues);
  room.sync ();
  EXPECT_EQ (room.list ("q").bodies (), (Texts{ "1" }));
  EXPECT_EQ (room.stats ("q").dropped, 1u) << "a topic has no sender who could be told";
  room.kept.fail = ZM_E_INVALID;
  room.ask (zm_queue_purge, "q");
  room.kept.fail = ZM_OK;
  room.ask (zm_queue_purge, "q");
  room.kept.fail = ZM_E_INVALID;
  zm_queues_tap (messages, 1, room.queues);
  room.sync ();
  room.kept.fail = ZM_OK;
  EXPECT_EQ (room.counter ("zmanager_queue_tap_lost_total"), 1);
  for (ZmMessage *message : messages)
    zm_message_unref (message);
}

/* ---- readers of the log, and joins ---- */

namespace {

/* A unit whose prepare and done are the test's; waits for its end. */
struct Joint {
  ZmStoreUnit base = {};
  std::function<void (ZmStoreWriter *)> prepare;
  std::function<void (const GError *)> done;
  std::mutex lock;
  std::condition_variable changed;
  bool ended = false;

  void
  run (Room &room)
  {
    base.prepare = [] (ZmStoreUnit *unit, ZmStoreWriter *writer) {
      reinterpret_cast<Joint *> (unit)->prepare (writer);
    };
    base.done = [] (ZmStoreUnit *unit, const GError *error) {
      Joint *self = reinterpret_cast<Joint *> (unit);
      std::lock_guard<std::mutex> guard (self->lock);

      self->done (error);
      self->ended = true;
      self->changed.notify_all ();
    };
    ASSERT_TRUE (zm_store_submit (room.store, &base, nullptr));
    std::unique_lock<std::mutex> guard (lock);
    ASSERT_TRUE (changed.wait_for (guard, std::chrono::seconds (60), [this] { return ended; }));
  }
};

/* Runs func in the store's thread. */
void
in_store (Room &room, const std::function<void ()> &func)
{
  Joint joint;

  joint.prepare = [&func] (ZmStoreWriter *) { func (); };
  joint.done = [] (const GError *) {};
  joint.run (room);
}

std::vector<guint64>
take (Room &room, ZmQueueReader *reader, guint most = 100)
{
  std::vector<guint64> seqs (most);

  in_store (room, [&] { seqs.resize (zm_queue_reader_take (reader, seqs.data (), most)); });
  return seqs;
}

std::string
read_one (Room &room, guint64 seq)
{
  std::string body = "gone";

  in_store (room, [&] {
    zm_queue_read (
        room.queues, nullptr, Room::name ("q"), seq,
        [] (const ZmStored *stored, gpointer user) {
          *static_cast<std::string *> (user) = string_of (stored->body);
        },
        &body);
  });
  return body;
}

void
count_ready (ZmQueueReader *, gpointer user)
{
  ++*static_cast<std::atomic<int> *> (user);
}

} // namespace

TEST (QueueReader, SeesWhatWasDeletedAndWhatIsDueLater)
{
  Room room;
  std::atomic<int> ready{ 0 };
  ZmPut delayed = Room::a_put ("delayed");
  ZmQueueReader *reader = zm_queue_reader_new (room.queues, Room::name ("q"), 0, count_ready, &ready);

  delayed.delay_s = 30;
  Answer first = room.put ("q", { delayed, Room::a_put ("a"), Room::a_put ("b") });
  EXPECT_EQ (ready > 0, true);
  room.remove ("q", first.ids[1]);
  EXPECT_EQ (room.list ("q").bodies (), (Texts{ "b" }));
  EXPECT_EQ (room.kept.records.size (), 3u) << "kept for the reader";
  std::vector<guint64> seqs = take (room, reader);
  ASSERT_EQ (seqs, (std::vector<guint64>{ 2, 3 }));
  EXPECT_EQ (read_one (room, 2), "a");
  in_store (room,
            [&] { EXPECT_EQ (zm_queue_reader_cursor (reader), 0u) << "the delayed one is still to come"; });
  room.pass (31);
  room.tend ();
  EXPECT_EQ (take (room, reader), (std::vector<guint64>{ 1 }));
  in_store (room, [&] { EXPECT_EQ (zm_queue_reader_cursor (reader), 3u); });
  in_store (room, [&] { zm_queue_reader_settle (reader, 3); });
  room.sync ();
  EXPECT_EQ (room.kept.records.size (), 2u) << "nobody needs the deleted one any more";
  EXPECT_EQ (read_one (room, 2), "gone");
  zm_queue_reader_free (reader);
  room.sync ();
}

TEST (QueueReader, WhatWasPurgedIsGoneThoughAReaderHadItsNumber)
{
  Room room;
  std::atomic<int> ready{ 0 };
  ZmQueueReader *reader = zm_queue_reader_new (room.queues, Room::name ("q"), 0, count_ready, &ready);
  auto has = [&] (guint64 seq) {
    gboolean it = FALSE;
    in_store (room, [&] { it = zm_queue_reader_has (reader, seq); });
    return it;
  };

  Answer first = room.put ("q", { Room::a_put ("a"), Room::a_put ("b") });
  ASSERT_EQ (take (room, reader), (std::vector<guint64>{ 1, 2 }));
  room.remove ("q", first.ids[0]);
  EXPECT_TRUE (has (1)) << "deleted only, and so still in the log";
  room.kept.fail = ZM_E_INVALID;
  room.ask (zm_queue_purge, "q");
  room.kept.fail = ZM_OK;
  EXPECT_EQ (read_one (room, 2), "b") << "it could not be purged";
  room.ask (zm_queue_purge, "q");
  room.put ("q", "c");
  for (guint64 seq : { 1, 2 }) {
    EXPECT_EQ (read_one (room, seq), "gone");
    EXPECT_FALSE (has (seq));
  }
  EXPECT_EQ (read_one (room, 3), "c");
  EXPECT_TRUE (has (3));
  zm_queue_reader_free (reader);
  room.sync ();
}

TEST (QueueReader, WhatIsGoneFromTheQueueViewStaysSoAfterARestart)
{
  Room room;
  std::atomic<int> ready{ 0 };
  ZmQueueReader *reader = zm_queue_reader_new (room.queues, Room::name ("q"), 0, count_ready, &ready);
  Answer put = room.put ("q", { Room::a_put ("a"), Room::a_put ("b") });

  room.remove ("q", put.ids[0]);
  zm_queue_reader_free (reader);
  room.sync ();
  room.restart ();
  EXPECT_EQ (room.list ("q").bodies (), (Texts{ "b" }));
  reader = zm_queue_reader_new (room.queues, Room::name ("q"), 0, count_ready, &ready);
  EXPECT_EQ (take (room, reader), (std::vector<guint64>{ 1, 2 }));
  EXPECT_EQ (read_one (room, 1), "a");
  zm_queue_reader_free (reader);
}

TEST (QueueJoin, AppendAndConsumeAreOneWithTheCallersUnit)
{
  Room room ({ "queue bound.topics=s??" });
  ZmPut put = Room::a_put ("result");
  Answer first = room.put ("q", "question");

  for (int code : { (int) ZM_E_INVALID, (int) ZM_OK }) {
    Joint joint;
    ZmQueueAppend *append = nullptr, *bound = nullptr;

    joint.prepare = [&] (ZmStoreWriter *writer) {
      append = zm_queue_append_in (room.queues, writer, Room::name ("r"), &put, nullptr);
      bound = zm_queue_append_bound_in (room.queues, writer, ZM_SPAN_LITERAL ("f~~s~c~a~i"), &put);
      EXPECT_EQ (zm_queue_append_bound_in (room.queues, writer, ZM_SPAN_LITERAL ("f~~x~c~a~i"), &put),
                 nullptr);
      zm_queue_consume_in (room.queues, writer, Room::name ("q"), 1);
    };
    joint.done = [&] (const GError *error) {
      (error == nullptr ? zm_queue_append_commit : zm_queue_append_undo) (append);
      (error == nullptr ? zm_queue_append_commit : zm_queue_append_undo) (bound);
      (error == nullptr ? zm_queue_consume_commit : zm_queue_consume_undo) (room.queues, Room::name ("q"), 1);
    };
    room.sync ();
    room.kept.fail = code;
    joint.run (room);
    room.kept.fail = ZM_OK;
    EXPECT_EQ (room.list ("q").messages.size (), code == ZM_OK ? 0u : 1u);
    EXPECT_EQ (room.list ("r").messages.size (), code == ZM_OK ? 1u : 0u);
    EXPECT_EQ (room.list ("bound").messages.size (), code == ZM_OK ? 1u : 0u);
  }
}
