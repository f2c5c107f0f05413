/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The queue room: put, list, get, delete, purge, times, metadata, restarts. */
#include "config.h"

#include "queue-fixture.h"

using namespace queue_test;
using Texts = std::vector<std::string>;

namespace {

Texts
numbered (const std::string &prefix, int from, int n)
{
  Texts texts;

  for (int i = from; i < from + n; i++)
    texts.push_back (prefix + std::to_string (i));
  return texts;
}

void
fill (Room &room, const std::string &queue, int from, int n)
{
  Texts bodies = numbered ("m", from, n);
  std::vector<ZmPut> puts;

  for (const std::string &body : bodies)
    puts.push_back (Room::a_put (body));
  EXPECT_EQ (room.put (queue, puts).error, "");
}

} // namespace

/* ---- put, list, get ---- */

TEST (Queue, WhatIsPutComesBackWithAllItsParts)
{
  Room room;
  ZmPut put = Room::a_put ("body");

  put.headers = ZM_SPAN_LITERAL ("{\"a\":1}");
  put.topic = ZM_SPAN_LITERAL ("f~~s~c~a~id");
  put.key = ZM_SPAN_LITERAL ("key");
  put.id = ZM_SPAN_LITERAL ("sender-1");
  put.client = ZM_SPAN_LITERAL ("0123456789abcdef");
  put.ttl_s = 60;
  Answer answer = room.put ("q", { put });
  ASSERT_EQ (answer.error, "");
  EXPECT_TRUE (answer.created);
  ASSERT_EQ (answer.ids.size (), 1u);

  Message message = room.list ("q").messages.at (0);
  EXPECT_EQ (message.id, answer.ids[0]);
  EXPECT_EQ (message.body, "body");
  EXPECT_EQ (message.headers, "{\"a\":1}");
  EXPECT_EQ (message.topic, "f~~s~c~a~id");
  EXPECT_EQ (message.key, "key");
  EXPECT_EQ (message.sender_id, "sender-1");
  EXPECT_EQ (message.client, "0123456789abcdef");
  EXPECT_EQ (message.ttl_s, 60);
  EXPECT_EQ (message.created_us, room.wall_us);
  EXPECT_EQ (message.expires_us, room.wall_us + 60 * G_USEC_PER_SEC);
  EXPECT_EQ (message.claim, "");
}

TEST (Queue, PagesFollowEachOtherByMarkers)
{
  Room room;
  Texts all, pages;
  std::string marker;

  fill (room, "q", 0, 25);
  for (int page = 0; page < 10; page++) {
    Answer answer = room.list ("q", 10, marker);

    EXPECT_EQ (answer.more, page < 2);
    for (const Message &message : answer.messages)
      pages.push_back (message.body);
    if (!answer.more)
      break;
    marker = answer.messages.back ().id;
  }
  EXPECT_EQ (pages, numbered ("m", 0, 25));
  EXPECT_TRUE (room.list ("q", 10, "no-marker").messages.empty ());
  EXPECT_TRUE (room.list ("nothing").messages.empty ());
}

TEST (Queue, ListsFromTheEndForPeek)
{
  Room room;

  fill (room, "q", 0, 300);
  Answer answer = room.list ("q", 3, "", [] (ZmQueueList &list) { list.newest = TRUE; });
  EXPECT_EQ (answer.bodies (), (Texts{ "m299", "m298", "m297" }));
  answer = room.list ("q", 2, answer.messages.back ().id, [] (ZmQueueList &list) { list.newest = TRUE; });
  EXPECT_EQ (answer.bodies (), (Texts{ "m296", "m295" }));
}

TEST (Queue, AClientsOwnMessagesAreLeftOut)
{
  Room room;
  const std::string own = "0123456789abcdef", other = "fedcba9876543210";
  Texts bodies = numbered ("m", 0, 500);
  std::vector<ZmPut> puts;

  for (size_t i = 0; i < bodies.size (); i++) {
    ZmPut put = Room::a_put (bodies[i]);

    put.client = span_of (i % 100 == 99 ? other : own);
    puts.push_back (put);
  }
  ASSERT_EQ (room.put ("q", puts).error, "");
  auto without_own = [&own] (ZmQueueList &list) { list.without = span_of (own); };
  EXPECT_EQ (room.list ("q", 3, "", without_own).bodies (), (Texts{ "m99", "m199", "m299" }));
  EXPECT_TRUE (room.list ("q", 3, "", without_own).more);
  Answer all = room.list ("q", 10, "", without_own);
  EXPECT_EQ (all.messages.size (), 5u);
  EXPECT_FALSE (all.more);
  EXPECT_EQ (room.list ("q", 1000).messages.size (), 500u);
}

TEST (Queue, GetGivesThoseThatAreThereInTheOrderAsked)
{
  Room room;
  Answer first = room.put ("q", "1"), second = room.put ("q", "2");
  Answer elsewhere = room.put ("other", "3");

  Answer answer = room.get ("q", { second.ids[0], "nonsense", elsewhere.ids[0], first.ids[0] });
  EXPECT_EQ (answer.bodies (), (Texts{ "2", "1" }));
  EXPECT_TRUE (room.get ("nothing", { first.ids[0] }).messages.empty ());
}

/* ---- ids ---- */

TEST (QueueId, RoundTrips)
{
  const guint64 queues[] = { 1, 255, 256, 4096, ZM_STORE_QUEUE_MOST };
  const guint64 seqs[] = { 1, 255, G_GUINT64_CONSTANT (1) << 32, ZM_STORE_SEQ_MOST };

  for (guint64 queue : queues)
    for (guint64 seq : seqs) {
      char id[ZM_UUID_SIZE + 1];
      guint64 queue_read = 0, seq_read = 0;

      zm_queue_id_make (queue, seq, G_GINT64_CONSTANT (1700000000000000), id);
      EXPECT_EQ (strlen (id), (size_t) ZM_UUID_SIZE);
      EXPECT_EQ (id[14], '8');
      EXPECT_TRUE (strchr ("89ab", id[19]) != nullptr) << id;
      ASSERT_TRUE (zm_queue_id_read (zm_span_text (id), &queue_read, &seq_read)) << id;
      EXPECT_EQ (queue_read, queue);
      EXPECT_EQ (seq_read, seq);
    }
}

TEST (QueueId, WhatIsNoIdOfOursIsNone)
{
  char id[ZM_UUID_SIZE + 1], later[ZM_UUID_SIZE + 1];
  guint64 queue, seq;
  int taken = 0;

  zm_queue_id_make (7, 9, 1700000000000000, id);
  zm_queue_id_make (7, 10, 1700000000000000, later);
  EXPECT_LT (std::string (id), std::string (later));
  for (size_t i = 0; i < ZM_UUID_SIZE; i++)
    for (char c : std::string ("0123456789abcdef-zG\xff")) {
      std::string changed (id);

      changed[i] = c;
      if (changed != id && zm_queue_id_read (span_of (changed), &queue, &seq))
        taken++;
    }
  EXPECT_LE (taken, 4) << "of some 600 changes one in 2,048 may pass";
  for (const std::string &bad :
       Texts{ "", "-", std::string (36, '-'), std::string (36, '0'), std::string (id) + "0",
              std::string (id).substr (1), std::string (1000, 'a'), "00000000-0000-8000-8000-000000000000",
              std::string (36, '\0') })
    EXPECT_FALSE (zm_queue_id_read (span_of (bad), &queue, &seq)) << bad;
}

/* ---- delete ---- */

TEST (Queue, DeletedMessagesAreGoneAndDeletingThemAgainIsNoError)
{
  Room room;
  Answer put = room.put ("q", "1");

  EXPECT_EQ (room.remove ("q", put.ids[0]).n, 1u);
  Answer again = room.remove ("q", put.ids[0]);
  EXPECT_EQ (again.code, -1);
  EXPECT_EQ (again.n, 0u);
  EXPECT_TRUE (room.list ("q").messages.empty ());
  EXPECT_EQ (room.kept.records.size (), 0u);
  EXPECT_EQ (room.remove ("q", "nonsense").code, -1);
  EXPECT_EQ (room.remove ("nothing", put.ids[0]).code, -1);
}

TEST (Queue, AClaimedMessageIsDeletedWithItsClaimOnly)
{
  Room room;
  Answer put = room.put ("q", "1"), free_one = room.put ("q", "2");
  Answer claim = room.claim ("q", 1, 60, 60);

  ASSERT_EQ (claim.messages.size (), 1u);
  EXPECT_EQ (room.remove ("q", put.ids[0]).code, ZM_ERROR_REFUSED);
  EXPECT_EQ (room.remove ("q", free_one.ids[0], claim.claim).code, ZM_ERROR_INVALID);
  EXPECT_EQ (room.remove ("q", put.ids[0], "00000000-0000-4000-8000-000000000000").code, ZM_ERROR_INVALID);
  EXPECT_EQ (room.list ("q").bodies (), (Texts{ "2" }));
  EXPECT_EQ (room.list ("q", 10, "", [] (ZmQueueList &list) { list.claimed = TRUE; }).bodies (),
             (Texts{ "1", "2" }));
  EXPECT_EQ (room.remove ("q", put.ids[0], claim.claim).n, 1u);
  EXPECT_EQ (room.stats ("q").total, 1u);
}

TEST (Queue, PurgeEmptiesAndOtherQueuesKeepTheirs)
{
  Room room;

  fill (room, "q", 0, 600);
  fill (room, "other", 0, 3);
  room.claim ("q", 5, 60, 60);
  Answer purged = room.ask (zm_queue_purge, "q");
  EXPECT_EQ (purged.n, 600u);
  EXPECT_TRUE (room.list ("q").messages.empty ());
  EXPECT_EQ (room.stats ("q").total, 0u);
  EXPECT_EQ (room.stats ("q").claimed, 0u);
  EXPECT_EQ (room.list ("other").messages.size (), 3u);
  EXPECT_EQ (room.kept.records.size (), 3u);
  EXPECT_EQ (room.put ("q", "next").error, "");
  room.restart ();
  EXPECT_EQ (room.list ("q").bodies (), (Texts{ "next" }));
}

TEST (Queue, ARemovedQueueIsGoneAndItsNameCanBeUsedAgain)
{
  Room room;
  Answer before = room.put ("q", "1");

  EXPECT_EQ (room.create ("q", "{}").created, false);
  EXPECT_EQ (room.ask (zm_queue_remove, "q").code, -1);
  EXPECT_EQ (room.ask (zm_queue_remove, "q").code, -1);
  EXPECT_FALSE (room.ask (zm_queue_get_metadata, "q").created);
  EXPECT_EQ (room.kept.records.size (), 0u);
  EXPECT_EQ (room.kept.documents.size (), 0u);
  room.restart ();
  Answer after = room.put ("q", "2");
  EXPECT_NE (after.ids[0], before.ids[0]);
  EXPECT_TRUE (room.get ("q", { before.ids[0] }).messages.empty ());
  EXPECT_EQ (room.list ("q").bodies (), (Texts{ "2" }));
}

/* ---- time ---- */

TEST (Queue, MessagesAreOverAtTheirTimeAndTheBackgroundRemovesThem)
{
  Room room;
  ZmPut brief = Room::a_put ("brief"), lasting = Room::a_put ("lasting");

  brief.ttl_s = 60;
  lasting.ttl_s = 3600;
  Answer put = room.put ("q", { brief, lasting });
  room.pass (59);
  EXPECT_EQ (room.list ("q").messages.size (), 2u);
  room.pass (2);
  EXPECT_EQ (room.list ("q").bodies (), (Texts{ "lasting" }));
  EXPECT_TRUE (room.get ("q", { put.ids[0] }).messages.empty ());
  EXPECT_EQ (room.stats ("q").total, 1u);
  EXPECT_EQ (room.claim ("q", 10).messages.size (), 1u);
  room.tend ();
  EXPECT_EQ (room.kept.records.size (), 1u);
  EXPECT_EQ (room.stats ("q").expired, 1u);
}

TEST (Queue, ManyThatAreOverGoInSteps)
{
  Room room;

  for (int i = 0; i < 5; i++)
    fill (room, "q", i * 1000, 1000);
  room.pass (3601);
  room.tend ();
  EXPECT_EQ (room.kept.records.size (), 0u);
  EXPECT_EQ (room.stats ("q").expired, 5000u);
  EXPECT_EQ (room.counter ("zmanager_queue_expired_total"), 5000);
}

TEST (Queue, DelayedMessagesAreHeldBackUntilTheyAreDue)
{
  Room room;
  ZmPut delayed = Room::a_put ("delayed");

  delayed.delay_s = 30;
  room.put ("q", { delayed });
  room.put ("q", "now");
  EXPECT_EQ (room.list ("q").bodies (), (Texts{ "now" }));
  EXPECT_EQ (room.list ("q", 10, "", [] (ZmQueueList &list) { list.delayed = TRUE; }).bodies (),
             (Texts{ "delayed", "now" }));
  EXPECT_EQ (room.stats ("q").delayed, 1u);
  EXPECT_EQ (room.stats ("q").free, 1u);
  room.restart ();
  EXPECT_EQ (room.stats ("q").delayed, 1u);
  EXPECT_EQ (room.claim ("q", 10).messages.size (), 1u);
  room.pass (31);
  EXPECT_EQ (room.list ("q").bodies (), (Texts{ "delayed" }));
  EXPECT_EQ (room.stats ("q").delayed, 0u);
}

TEST (Queue, AWatchIsToldOnceWhenSomethingBecomesFree)
{
  Room room;
  std::atomic<int> told{ 0 };
  auto wake = [] (gpointer user) { ++*static_cast<std::atomic<int> *> (user); };
  ZmPut delayed = Room::a_put ("delayed");

  guint64 watch = zm_queue_watch (room.queues, Room::name ("q"), wake, &told);
  EXPECT_NE (watch, 0u);
  room.put ("other", "x");
  EXPECT_EQ (told, 0);
  room.put ("q", "x");
  room.put ("q", "y");
  EXPECT_EQ (told, 1);
  zm_queue_unwatch (room.queues, watch);

  delayed.delay_s = 30;
  room.put ("q", { delayed });
  zm_queue_watch (room.queues, Room::name ("q"), wake, &told);
  room.pass (31);
  room.tend ();
  EXPECT_EQ (told, 2);
  watch = zm_queue_watch (room.queues, Room::name ("q"), wake, &told);
  zm_queue_unwatch (room.queues, watch);
  room.put ("q", "z");
  EXPECT_EQ (told, 2);
}

/* ---- metadata ---- */

TEST (Queue, MetadataIsKeptAsItCame)
{
  Room room;
  const std::string text = "{ \"b\": 1,\n \"a\" : [1.50] }";

  EXPECT_TRUE (room.create ("q", text).created);
  Answer again = room.create ("q", "{\"other\":1}");
  EXPECT_FALSE (again.created);
  EXPECT_EQ (again.metadata, text);
  room.restart ();
  EXPECT_EQ (room.ask (zm_queue_get_metadata, "q").metadata, text);
  EXPECT_EQ (room.set_metadata ("q", "{}", "{\"x\":1}").code, ZM_ERROR_EXISTS);
  EXPECT_EQ (room.set_metadata ("q", text, "{\"x\":1}").code, -1);
  EXPECT_EQ (room.ask (zm_queue_get_metadata, "q").metadata, "{\"x\":1}");
  EXPECT_EQ (room.set_metadata ("nothing", "", "{}").code, ZM_ERROR_NOT_FOUND);
  EXPECT_EQ (room.set_metadata ("q", "", "[]").code, ZM_ERROR_INVALID);
  EXPECT_EQ (room.set_metadata ("q", "", "{").code, ZM_ERROR_INVALID);
  EXPECT_EQ (room.ask (zm_queue_get_metadata, "nothing").metadata, "{}");
}

TEST (Queue, ReservedKeysOfTheMetadataAreFollowed)
{
  Room room;

  EXPECT_EQ (room.create ("q", "{\"_default_message_ttl\":100,\"_default_message_delay\":10}").code, -1);
  room.put ("q", "x");
  EXPECT_TRUE (room.list ("q").messages.empty ());
  room.pass (11);
  EXPECT_EQ (room.list ("q").messages.at (0).ttl_s, 100);
  EXPECT_EQ (room.create ("wrong", "{\"_default_message_ttl\":\"x\"}").code, ZM_ERROR_INVALID);
  EXPECT_FALSE (room.ask (zm_queue_get_metadata, "wrong").created);
  room.restart ();
  EXPECT_FALSE (room.ask (zm_queue_get_metadata, "wrong").created);
}

TEST (Queue, NamesAndProjectsAreCheckedAndListed)
{
  Room room;
  Texts seen;
  auto note = [] (const ZmQueueShown *shown, gpointer user) {
    static_cast<Texts *> (user)->push_back (shown->name);
  };

  EXPECT_EQ (room.put ("a b", "x").code, ZM_ERROR_INVALID);
  EXPECT_EQ (room.put ("", "x").code, ZM_ERROR_INVALID);
  EXPECT_EQ (room.put (std::string (65, 'a'), "x").code, ZM_ERROR_INVALID);
  for (const char *name : { "c", "a", "b", "^own" })
    EXPECT_EQ (room.put (name, "x").code, -1);
  EXPECT_EQ (zm_queues_each (room.queues, "default", nullptr, 0, FALSE, note, &seen), 3u);
  EXPECT_EQ (seen, (Texts{ "a", "b", "c" }));
  seen.clear ();
  EXPECT_EQ (zm_queues_each (room.queues, "", "a", 1, FALSE, note, &seen), 1u);
  EXPECT_EQ (seen, (Texts{ "b" }));
  EXPECT_EQ (zm_queues_each (room.queues, nullptr, nullptr, 0, TRUE, note, &seen), 4u);
  EXPECT_EQ (zm_queues_count (room.queues, "default"), 3u);
  EXPECT_EQ (zm_queues_count (room.queues, "another"), 0u);
  g_autofree char *status = zm_queues_status_json (room.queues);
  EXPECT_TRUE (zm_json_valid (zm_span_text (status))) << status;
}

/* ---- restarts ---- */

TEST (Queue, ARestartFindsTheSame)
{
  Room room;

  fill (room, "q", 0, 1000);
  Answer claim = room.claim ("q", 10, 600, 60);
  for (const Message &message : room.list ("q", 20).messages)
    room.remove ("q", message.id);
  Answer before = room.list ("q", 2000, "", [] (ZmQueueList &list) { list.claimed = TRUE; });
  ZmQueueStats stats = room.stats ("q");

  room.restart ();
  Answer after = room.list ("q", 2000, "", [] (ZmQueueList &list) { list.claimed = TRUE; });
  ASSERT_EQ (after.messages.size (), before.messages.size ());
  for (size_t i = 0; i < after.messages.size (); i++) {
    EXPECT_EQ (after.messages[i].id, before.messages[i].id);
    EXPECT_EQ (after.messages[i].body, before.messages[i].body);
    EXPECT_EQ (after.messages[i].claim, before.messages[i].claim);
  }
  ZmQueueStats now = room.stats ("q");
  EXPECT_EQ (now.free, stats.free);
  EXPECT_EQ (now.claimed, stats.claimed);
  EXPECT_EQ (now.total, stats.total);
  EXPECT_EQ (now.bytes, stats.bytes);
  EXPECT_EQ (now.last_seq, stats.last_seq);
}

TEST (Queue, ADamagedRecordIsLeftOutAndCounted)
{
  Room room;

  fill (room, "q", 0, 3);
  room.restart ();
  {
    std::lock_guard<std::mutex> guard (room.kept.lock);
    std::next (room.kept.records.begin ())->second.damaged = true;
  }
  EXPECT_EQ (room.list ("q").bodies (), (Texts{ "m0", "m2" }));
  EXPECT_EQ (room.counter ("zmanager_queue_damaged_total"), 1);
}

TEST (Queue, StatsHaveTheEnds)
{
  Room room;

  EXPECT_FALSE (room.stats ("q").has_oldest);
  Answer first = room.put ("q", "1");
  room.pass (5);
  Answer last = room.put ("q", "2");
  ZmQueueStats stats = room.stats ("q");
  ASSERT_TRUE (stats.has_oldest);
  EXPECT_EQ (first.ids[0], stats.oldest.id);
  EXPECT_EQ (last.ids[0], stats.newest.id);
  EXPECT_EQ (stats.newest.created_us - stats.oldest.created_us, 5 * G_USEC_PER_SEC);
  EXPECT_EQ (stats.put, 2u);
}

TEST (Queue, HundredThousandMessagesAreListedAndRemoved)
{
  Room room;
  std::string marker;
  int seen = 0;

  for (int i = 0; i < 100; i++)
    fill (room, "q", i * 1000, 1000);
  for (;;) {
    Answer answer = room.list ("q", 1000, marker);

    for (const Message &message : answer.messages)
      EXPECT_EQ (message.body, "m" + std::to_string (seen++));
    if (!answer.more)
      break;
    marker = answer.messages.back ().id;
  }
  EXPECT_EQ (seen, 100000);
  EXPECT_EQ (room.ask (zm_queue_purge, "q").n, 100000u);
}
