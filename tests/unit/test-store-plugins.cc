/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What every store has to do, for each that was built. */
#include "store-plugin-fixture.hh"

#include <atomic>
#include <thread>

namespace {

const char *const names[] = { "memory",
#ifdef HAVE_SQLITE
                              "sqlite"
#endif
};

class Every : public ::testing::TestWithParam<const char *> {
protected:
  Every () : store (GetParam ())
  {
  }

  void
  SetUp () override
  {
    ASSERT_NE (store.ops, nullptr);
    ASSERT_EQ (store.open (folder.path + "/store.db"), ZM_OK) << store.error;
  }

  bool
  durable () const
  {
    return (store.ops->flags & ZM_STORE_DURABLE) != 0;
  }

  Folder folder;
  Store store;
};

TEST_P (Every, DescriptorSaysWhatItIs)
{
  EXPECT_EQ (store.desc->struct_size, sizeof (zm_plugin_desc));
  EXPECT_STREQ (store.desc->name, GetParam ());
  EXPECT_NE (store.desc->flags & ZM_PLUGIN_RESIDENT, 0u);
  EXPECT_EQ (store.ops->struct_size, sizeof (zm_store_ops));
  EXPECT_EQ (store.ops->backup != nullptr, (store.ops->flags & ZM_STORE_BACKUP) != 0);
}

/* ---- logs */

TEST_P (Every, AppendsAndReadsInOrder)
{
  Batch batch;
  batch.append (7, "a").append (3, "b", 5, -9, UINT64_MAX).append (7, "c").append (7, Text ("x\0y", 3), 100);
  ASSERT_EQ (store.write (batch), ZM_OK) << batch.error;
  EXPECT_EQ (batch.ops[0].seq, 1u);
  EXPECT_EQ (batch.ops[2].seq, 2u);
  EXPECT_EQ (batch.ops[0].reserved, 0u);
  EXPECT_EQ (store.read (7), (Records{ { 7, 1, "a" }, { 7, 2, "c" }, { 7, 100, Text ("x\0y", 3) } }));
  EXPECT_EQ (store.read (3), (Records{ { 3, 5, "b", -9, UINT64_MAX } }));
  EXPECT_EQ (store.read ().size (), 4u);
  EXPECT_EQ (store.read ()[0].queue, 3u) << "by queue";
  EXPECT_EQ (store.read (4), Records{});
}

TEST_P (Every, EmptyAndLargeBodiesAreWhole)
{
  Text large (3 << 20, 'x');
  for (size_t i = 0; i < large.size (); i++)
    large[i] = static_cast<char> (i * 31 + (i >> 8));
  ASSERT_EQ (store.write (Batch ().append (1, "").append (1, large).put ("s", "k", "").put ("s", "l", large)),
             ZM_OK);
  EXPECT_EQ (store.read (1), (Records{ { 1, 1, "" }, { 1, 2, large } }));
  EXPECT_EQ (store.documents ("s"), (Documents{ { "k", "" }, { "l", large } }));
  EXPECT_EQ (store.read (1, 0, 0, 0, ZM_STORE_HEADS)[1].data.size (), large.size ())
      << "told without its data";
}

TEST_P (Every, RangesAreOfBothEndsAndBounded)
{
  Batch batch;
  for (int i = 1; i <= 3000; i++)
    batch.append (2, std::to_string (i));
  batch.append (1, "before").append (3, "after");
  ASSERT_EQ (store.write (batch), ZM_OK);
  EXPECT_EQ (store.read (2).size (), 3000u) << "over more than a chunk";
  EXPECT_EQ (store.read (2, 10, 20).size (), 11u);
  EXPECT_EQ (store.read (2, 10, 20, 3), (Records{ { 2, 10, "10" }, { 2, 11, "11" }, { 2, 12, "12" } }));
  EXPECT_EQ (store.read (2, 2999).size (), 2u);
  EXPECT_EQ (store.read (2, 20, 10), Records{});
  EXPECT_EQ (store.read (2, 3001), Records{});
  EXPECT_EQ (store.read (0, 99, 99).size (), 3002u) << "of all queues: the bounds are not looked at";
  EXPECT_EQ (store.read (0, 0, 0, 2), (Records{ { 1, 1, "before" }, { 2, 1, "1" } }));
}

TEST_P (Every, AReadingCanBeEndedAndNested)
{
  struct Nested {
    Store *store;
    int seen = 0, inner = 0;
  } nested = { &store };
  Batch batch;
  for (int i = 0; i < 10; i++)
    batch.append (1, "x");
  ASSERT_EQ (store.write (batch), ZM_OK);
  zm_store_range range = { sizeof range, 0, 1, 0, 0, 0 };
  EXPECT_EQ (store.ops->read (
                 store.reader, &range,
                 [] (void *user, const zm_store_record *) {
                   auto *at = static_cast<Nested *> (user);
                   at->inner += static_cast<int> (at->store->read (1).size ());
                   return ++at->seen == 4 ? 1 : 0;
                 },
                 &nested),
             ZM_OK);
  EXPECT_EQ (nested.seen, 4);
  EXPECT_EQ (nested.inner, 40);
}

TEST_P (Every, RemovesRanges)
{
  Batch batch;
  for (int i = 1; i <= 10; i++)
    batch.append (1, std::to_string (i));
  ASSERT_EQ (store.write (batch.append (2, "other")), ZM_OK);
  ASSERT_EQ (store.write (Batch ().remove (1, 3, 5).remove (1, 8, 8).remove (1, 50, 60).remove (9, 1, 9)),
             ZM_OK);
  Text left;
  for (const Record &record : store.read (1))
    left += record.data + " ";
  EXPECT_EQ (left, "1 2 6 7 9 10 ");
  ASSERT_EQ (store.write (Batch ().remove (1, 0, UINT64_MAX)), ZM_OK);
  EXPECT_EQ (store.read (), (Records{ { 2, 1, "other" } }));
}

TEST_P (Every, ANumberIsNeverGivenTwice)
{
  ASSERT_EQ (store.write (Batch ().append (1, "a").append (1, "b").append (2, "c", 40)), ZM_OK);
  EXPECT_EQ (store.last (1), 2u);
  EXPECT_EQ (store.last (2), 40u);
  EXPECT_EQ (store.last (3), 0u);
  ASSERT_EQ (store.write (Batch ().remove (1, 1, 2).remove (2, 40, 40)), ZM_OK);
  EXPECT_EQ (store.last (1), 2u) << "what it ever had";
  if (durable ()) {
    store.close ();
    ASSERT_EQ (store.open (folder.path + "/store.db"), ZM_OK) << store.error;
    EXPECT_EQ (store.last (1), 2u);
  }
  Batch next;
  next.append (1, "d").append (2, "e");
  ASSERT_EQ (store.write (next), ZM_OK);
  EXPECT_EQ (next.ops[0].seq, 3u);
  EXPECT_EQ (next.ops[1].seq, 41u);
}

TEST_P (Every, AnOldNumberRefusesTheWholeBatch)
{
  ASSERT_EQ (store.write (Batch ().append (1, "a", 10)), ZM_OK);
  for (uint64_t seq : { 10, 9, 1 }) {
    Batch batch;
    batch.put ("s", "k", "v").append (2, "b").append (1, "c", seq);
    EXPECT_EQ (store.write (batch), ZM_E_INVALID);
    EXPECT_NE (batch.error.find ("not greater"), Text::npos) << batch.error;
    EXPECT_EQ (batch.ops[1].seq, 0u) << "no number was given";
  }
  EXPECT_EQ (store.read (), (Records{ { 1, 10, "a" } }));
  EXPECT_EQ (store.documents ("s"), Documents{});
  EXPECT_EQ (store.last (2), 0u);
  ASSERT_EQ (store.write (Batch ().append (1, "c", 11).append (1, "d")), ZM_OK) << "it goes on";
}

TEST_P (Every, TheGreatestNumbersWork)
{
  const uint64_t most = ZM_STORE_SEQ_MOST;
  Batch full;
  ASSERT_EQ (store.write (Batch ().append (ZM_STORE_QUEUE_MOST, "a", most).append (1, "b")), ZM_OK);
  EXPECT_EQ (store.read (ZM_STORE_QUEUE_MOST), (Records{ { ZM_STORE_QUEUE_MOST, most, "a" } }));
  EXPECT_EQ (store.read ().size (), 2u);
  EXPECT_EQ (store.last (ZM_STORE_QUEUE_MOST), most);
  EXPECT_EQ (store.write (full.append (ZM_STORE_QUEUE_MOST, "x")), ZM_E_INVALID);
  EXPECT_NE (full.error.find ("used up"), Text::npos) << full.error;
}

/* ---- documents */

TEST_P (Every, DocumentsAreInBytewiseOrder)
{
  const Text high ("\xff\xff", 2), zero ("a\0b", 3);
  ASSERT_EQ (store.write (Batch ()
                              .put ("s", "b", "1")
                              .put ("s", "a", "2")
                              .put ("s", zero, "3")
                              .put ("s", high, "4")
                              .put ("s", "ab", "5")
                              .put ("t", "a", "6")
                              .put ("s", "Z", "7")),
             ZM_OK);
  EXPECT_EQ (
      store.documents ("s"),
      (Documents{ { "Z", "7" }, { "a", "2" }, { zero, "3" }, { "ab", "5" }, { "b", "1" }, { high, "4" } }));
  EXPECT_EQ (store.documents ("s", "a"), (Documents{ { "a", "2" }, { zero, "3" }, { "ab", "5" } }));
  EXPECT_EQ (store.documents ("s", "a", "a"), (Documents{ { zero, "3" }, { "ab", "5" } }));
  EXPECT_EQ (store.documents ("s", "a", zero, 1), (Documents{ { "ab", "5" } }));
  EXPECT_EQ (store.documents ("s", "", "ab"), (Documents{ { "b", "1" }, { high, "4" } }));
  EXPECT_EQ (store.documents ("s", "b", "a"), (Documents{ { "b", "1" } })) << "after lies before the prefix";
  EXPECT_EQ (store.documents ("s", "a", "b"), Documents{});
  EXPECT_EQ (store.documents ("s", high), (Documents{ { high, "4" } }));
  EXPECT_EQ (store.documents ("t"), (Documents{ { "a", "6" } }));
  EXPECT_EQ (store.documents ("u"), Documents{});
}

TEST_P (Every, DocumentsAreReplacedAndDeleted)
{
  ASSERT_EQ (store.write (Batch ().put ("s", "k", "1").put ("s", "k", "2").put ("s", "l", "3")), ZM_OK);
  EXPECT_EQ (store.documents ("s"), (Documents{ { "k", "2" }, { "l", "3" } }));
  ASSERT_EQ (store.write (Batch ().erase ("s", "k").erase ("s", "none").erase ("t", "l")), ZM_OK);
  EXPECT_EQ (store.documents ("s"), (Documents{ { "l", "3" } }));
}

TEST_P (Every, APrefixIsDeleted)
{
  const Text high ("\xff", 1);
  ASSERT_EQ (store.write (Batch ()
                              .put ("s", "a", "")
                              .put ("s", "ab", "")
                              .put ("s", "b", "")
                              .put ("s", high, "")
                              .put ("s", high + high, "")
                              .put ("t", "a", "")),
             ZM_OK);
  ASSERT_EQ (store.write (Batch ().erase_prefix ("s", "a")), ZM_OK);
  EXPECT_EQ (store.documents ("s").size (), 3u);
  ASSERT_EQ (store.write (Batch ().erase_prefix ("s", high)), ZM_OK);
  EXPECT_EQ (store.documents ("s"), (Documents{ { "b", "" } }));
  ASSERT_EQ (store.write (Batch ().erase_prefix ("s", "")), ZM_OK);
  EXPECT_EQ (store.documents ("s"), Documents{});
  EXPECT_EQ (store.documents ("t").size (), 1u);
}

TEST_P (Every, ManyDocumentsComeInChunks)
{
  Batch batch;
  for (int i = 0; i < 2500; i++)
    batch.put ("s", "key " + std::to_string (10000 + i), std::to_string (i));
  ASSERT_EQ (store.write (batch), ZM_OK);
  Documents all = store.documents ("s");
  ASSERT_EQ (all.size (), 2500u);
  for (int i = 0; i < 2500; i++)
    ASSERT_EQ (all[static_cast<size_t> (i)].second, std::to_string (i));
}

/* ---- units */

TEST_P (Every, AUnitDependsOnItsConditions)
{
  Batch batch;
  ASSERT_EQ (store.write (Batch ().put ("s", "k", "1")), ZM_OK);
  batch.expect ("s", "k", "1").append (1, "a");                             /* holds */
  batch.unit ().append (1, "b").expect ("s", "k", "2").put ("s", "k", "9"); /* another value */
  batch.unit ().expect_none ("s", "k").append (1, "c");                     /* it is there */
  batch.unit ().expect_none ("s", "new").put ("s", "new", "x").append (1, "d");
  batch.unit ().expect ("s", "none", "").append (1, "e"); /* an empty value is not none */
  batch.unit ().expect ("s", "new", "x").append (1, "f"); /* sees what the units before it did */
  ASSERT_EQ (store.write (batch), ZM_OK) << batch.error;
  EXPECT_EQ (batch.statuses (), (std::vector<int>{ 0, 0, ZM_E_AGAIN, ZM_E_DENIED, ZM_E_AGAIN, ZM_E_DENIED,
                                                   ZM_E_AGAIN, 0, 0, 0, ZM_E_DENIED, ZM_E_AGAIN, 0, 0 }));
  EXPECT_EQ (store.read (1), (Records{ { 1, 1, "a" }, { 1, 2, "d" }, { 1, 3, "f" } }));
  EXPECT_EQ (batch.ops[2].seq, 0u) << "what is not done has no number";
  EXPECT_EQ (store.documents ("s"), (Documents{ { "k", "1" }, { "new", "x" } }));
}

TEST_P (Every, ConditionsComeBeforeTheChangesOfTheirUnit)
{
  Batch batch;
  batch.put ("s", "k", "1").expect_none ("s", "k");
  ASSERT_EQ (store.write (batch), ZM_OK);
  EXPECT_EQ (batch.statuses (), (std::vector<int>{ 0, 0 }));
}

TEST_P (Every, ALeaseIsOneOwnersUntilItEnds)
{
  auto take = [this] (const Text &owner, int64_t until, int64_t now) {
    Batch batch;
    batch.now_us = now;
    EXPECT_EQ (store.write (batch.lease ("daemon", owner, until).put ("s", "who", owner)), ZM_OK);
    return batch.ops[0].status;
  };
  EXPECT_EQ (take ("a", 100, 10), ZM_OK);
  EXPECT_EQ (take ("b", 200, 50), ZM_E_DENIED);
  EXPECT_EQ (store.documents ("s"), (Documents{ { "who", "a" } }));
  EXPECT_EQ (take ("a", 150, 60), ZM_OK) << "its owner prolongs it";
  EXPECT_EQ (take ("b", 200, 120), ZM_E_DENIED);
  EXPECT_EQ (take ("b", 200, 150), ZM_OK) << "it has ended";
  EXPECT_EQ (take ("a", 0, 160), ZM_E_DENIED) << "nobody gives back another's";
  EXPECT_EQ (take ("b", 0, 170), ZM_OK);
  EXPECT_EQ (take ("a", 300, 180), ZM_OK) << "given back";
}

/* ---- what is wrong, and bounds */

TEST_P (Every, WrongBatchesAreRefusedWhole)
{
  const Text space33 (33, 's'), key1025 (1025, 'k');
  auto refused = [this] (Batch &batch, const char *what) {
    batch.put ("s", "beside", "v");
    EXPECT_EQ (store.write (batch), ZM_E_INVALID) << what;
    EXPECT_NE (batch.error, "") << what;
  };
  refused (Batch ().append (0, "x"), "queue 0");
  refused (Batch ().append (ZM_STORE_QUEUE_MOST + 1, "x"), "a queue too great");
  refused (Batch ().append (1, "x", ZM_STORE_SEQ_MOST + 1), "a number too great");
  refused (Batch ().remove (1, 5, 4), "a range that ends before it begins");
  refused (Batch ().put ("", "k", "v"), "no space");
  refused (Batch ().put (space33, "k", "v"), "a space too long");
  refused (Batch ().put ("s", "", "v"), "no key");
  refused (Batch ().put ("s", key1025, "v"), "a key too long");
  refused (Batch ().erase_prefix ("s", key1025), "a prefix too long");
  refused (Batch ().lease ("l", "", 1), "nobody's lease");
  Batch kind, none, order, reserved;
  kind.add (99, "s", "k", "v");
  refused (kind, "an unknown kind");
  none.append (1, "x").ops[0].data = { nullptr, 3 };
  refused (none, "a length without bytes");
  order.append (1, "x").ops[0].unit = 5;
  refused (order, "units that go down");
  reserved.append (1, "x").ops[0].reserved = 1;
  refused (reserved, "reserved");
  EXPECT_EQ (store.read (), Records{});
  EXPECT_EQ (store.documents ("s"), Documents{});
  EXPECT_EQ (store.write (Batch ()), ZM_OK) << "nothing is no error";
}

TEST_P (Every, KeysAndSpacesOfTheGreatestLengthAreTaken)
{
  const Text space (32, 's'), key (1024, '\xff');
  ASSERT_EQ (store.write (Batch ().put (space, key, "v").put (space, "a", "w")), ZM_OK);
  EXPECT_EQ (store.documents (space), (Documents{ { "a", "w" }, { key, "v" } }));
  EXPECT_EQ (store.documents (space, key), (Documents{ { key, "v" } }));
  EXPECT_EQ (store.documents (space, "", key), Documents{});
  ASSERT_EQ (store.write (Batch ().erase_prefix (space, key)), ZM_OK);
  EXPECT_EQ (store.documents (space).size (), 1u);
}

/* ---- readers beside the writer */

/* A reader sees whole batches, in order, and all that had ended before it began. */
TEST_P (Every, ReadersSeeWholeBatches)
{
  std::atomic<uint64_t> confirmed{ 0 };
  std::atomic<bool> done{ false };
  std::vector<Text> faults[2];
  auto run = [&] (std::vector<Text> &mine) {
    char error[256];
    void *reader = nullptr;
    if (store.ops->reader_open (store.store, &reader, error, sizeof error) != ZM_OK)
      return mine.push_back (error);
    for (bool last = false; !last;) {
      last = done;
      uint64_t before = confirmed;
      int status;
      Records all = store.read (1, 1, 0, 0, 0, &status, reader);
      if (status != ZM_OK || all.size () < before)
        mine.push_back ("not all that had ended: " + std::to_string (all.size ()) + " of " +
                        std::to_string (before));
      for (size_t i = 0; i < all.size (); i++)
        if (all[i].seq != i + 1 || all[i].data != std::to_string (i))
          mine.push_back ("record " + std::to_string (i));
    }
    store.ops->reader_close (reader);
  };
  std::thread one (run, std::ref (faults[0])), two (run, std::ref (faults[1]));
  for (int i = 0; i < 60; i++) {
    Batch batch;
    for (int j = 0; j < 10; j++)
      batch.append (1, std::to_string (i * 10 + j));
    EXPECT_EQ (store.write (batch), ZM_OK) << batch.error;
    confirmed += 10;
  }
  done = true;
  one.join ();
  two.join ();
  EXPECT_EQ (faults[0], std::vector<Text>{});
  EXPECT_EQ (faults[1], std::vector<Text>{});
}

/* ---- looking after it */

TEST_P (Every, FiguresCount)
{
  zm_store_figures before = store.figures ();
  Batch batch;
  for (int i = 0; i < 1000; i++)
    batch.append (1, Text (200, 'x'));
  ASSERT_EQ (store.write (batch), ZM_OK);
  zm_store_figures after = store.figures ();
  EXPECT_EQ (after.writes, before.writes + 1);
  EXPECT_GT (after.bytes, before.bytes + 200000);
  EXPECT_EQ (after.schema, store.ops->schema);
  if (durable ())
    EXPECT_GT (after.syncs, before.syncs);
  else
    EXPECT_EQ (after.records, 1000u);
  zm_store_figures cut = {};
  cut.struct_size = offsetof (zm_store_figures, free_bytes);
  cut.free_bytes = 77;
  EXPECT_EQ (store.ops->figures (store.store, &cut), ZM_OK);
  EXPECT_EQ (cut.free_bytes, 77u) << "beyond what the caller knows";
}

TEST_P (Every, RecoverOfASoundOneKeepsAll)
{
  ASSERT_EQ (store.write (Batch ().append (1, "a").append (2, "b").put ("s", "k", "v").remove (2, 1, 1)),
             ZM_OK);
  ASSERT_EQ (store.recover (), ZM_OK) << store.error;
  EXPECT_EQ (store.read (), (Records{ { 1, 1, "a" } })) << "the reader follows";
  EXPECT_EQ (store.last (2), 1u);
  ASSERT_EQ (store.write (Batch ().append (1, "c").append (2, "d")), ZM_OK);
  EXPECT_EQ (store.read (), (Records{ { 1, 1, "a" }, { 1, 2, "c" }, { 2, 2, "d" } }));
}

INSTANTIATE_TEST_SUITE_P (Stores, Every, ::testing::ValuesIn (names),
                          [] (const auto &info) { return Text (info.param); });

/* ---- the memory store's own bound */

TEST (Memory, RefusesWhatPassesItsBound)
{
  Store store ("memory");
  ASSERT_EQ (store.open ("max=64K"), ZM_OK);
  Batch batch;
  int taken = 0;
  while (taken < 1000 && store.write (Batch ().append (1, Text (1000, 'x'))) == ZM_OK)
    taken++;
  EXPECT_GT (taken, 40);
  EXPECT_LT (taken, 66);
  EXPECT_EQ (store.write (batch.append (1, Text (1000, 'x')).remove (2, 1, 1)), ZM_E_MEMORY);
  EXPECT_NE (batch.error.find ("full"), Text::npos);
  EXPECT_EQ (store.read (1).size (), static_cast<size_t> (taken)) << "nothing of it was written";
  EXPECT_EQ (store.write (Batch ().remove (1, 1, 10)), ZM_OK);
  EXPECT_EQ (store.write (Batch ().append (1, Text (1000, 'x'))), ZM_OK);
  EXPECT_EQ (store.last (1), static_cast<uint64_t> (taken) + 1);
}

TEST (Memory, RefusesAWrongBound)
{
  Store store ("memory");
  for (const char *uri : { "max=", "max=0", "max=64X", "max=64MM", "max=-1", "max=99999999999999999G" }) {
    EXPECT_EQ (store.open (uri), ZM_E_INVALID) << uri;
    EXPECT_NE (store.error.find (uri), Text::npos) << store.error;
  }
}

} // namespace
