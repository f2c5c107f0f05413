/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What only the store that keeps files has: versions, foreign files, damage, backup, repair, and processes that die. */
#include "store-plugin-fixture.hh"

#include <fstream>
#include <random>
#include <signal.h>
#include <sqlite3.h>
#include <sys/mman.h>
#include <sys/wait.h>

extern "C" uint64_t zs_hash (const void *data, size_t size, uint64_t seed);

namespace {

class Sqlite : public ::testing::Test {
protected:
  Sqlite () : store ("sqlite"), path (folder.path + "/store.db")
  {
  }

  void
  sql (const Text &file, const Text &statements)
  {
    sqlite3 *db = nullptr;
    char *why = nullptr;
    ASSERT_EQ (sqlite3_open (file.c_str (), &db), SQLITE_OK);
    EXPECT_EQ (sqlite3_exec (db, statements.c_str (), nullptr, nullptr, &why), SQLITE_OK) << why;
    sqlite3_close (db);
  }

  static Text
  slurp (const Text &file)
  {
    std::ifstream in (file, std::ios::binary);
    return Text (std::istreambuf_iterator<char> (in), {});
  }

  static void
  spill (const Text &file, const Text &bytes)
  {
    std::ofstream (file, std::ios::binary | std::ios::trunc) << bytes;
  }

  /* n records of 100 to 400 bytes, in queue 1 and 2, and some documents; closed. What each body must be: body (seq). */
  void
  fill (uint64_t n)
  {
    ASSERT_EQ (store.open (path), ZM_OK) << store.error;
    Batch batch;
    for (uint64_t i = 1; i <= n; i++)
      batch.append (1 + i % 2, body (i), i, static_cast<int64_t> (i), i);
    for (uint64_t i = 0; i < n / 10; i++)
      batch.put ("docs", "key " + std::to_string (i), body (i));
    ASSERT_EQ (store.write (batch), ZM_OK) << batch.error;
    store.close ();
  }

  static Text
  body (uint64_t i)
  {
    return "record " + std::to_string (i) + " " + Text (100 + i * 7 % 300, static_cast<char> ('a' + i % 26));
  }

  Folder folder;
  Store store;
  Text path;
};

/* From the specification's own implementation. */
TEST (Sum, IsXxh64)
{
  EXPECT_EQ (zs_hash ("", 0, 0), UINT64_C (0xEF46DB3751D8E999));
  EXPECT_EQ (zs_hash ("a", 1, 0), UINT64_C (0xD24EC4F1A98C6E5B));
  EXPECT_EQ (zs_hash ("abc", 3, 0), UINT64_C (0x44BC2CF5AD770999));
  const Text nobody = "Nobody inspects the spammish repetition";
  EXPECT_EQ (zs_hash (nobody.data (), nobody.size (), 0), UINT64_C (0xFBCEA83C8A378BF1));
}

/* ---- versions and foreign files */

TEST_F (Sqlite, AnOlderVersionIsMigrated)
{
  const char *source = std::getenv ("ZM_SRCDIR");
  sql (path, slurp (Text (source ? source : "..") + "/tests/unit/data/store-1.sql"));
  ASSERT_EQ (store.open (path), ZM_OK) << store.error;
  EXPECT_EQ (
      store.read (1),
      (Records{ { 1, 1, "one", 1700000000000000, 7 }, { 1, 2, "two" }, { 1, 3, Text ("\0\xff", 2) } }));
  EXPECT_EQ (store.read (5), (Records{ { 5, 900, "five" } }));
  EXPECT_EQ (store.documents ("q"), (Documents{ { "alpha", "{\"a\": 1}" }, { Text ("b\0c", 3), "" } }));
  EXPECT_EQ (store.last (9), 1u);
  EXPECT_EQ (store.figures ().schema, 2u);
  Report report;
  EXPECT_EQ (store.check (false, report), ZM_OK) << report.errors[0];
  Batch lease;
  lease.now_us = 12000;
  EXPECT_EQ (store.write (lease.lease ("daemon", "other", 20000)), ZM_OK);
  EXPECT_EQ (lease.ops[0].status, ZM_E_DENIED) << "leases came along";
  store.close ();
  ASSERT_EQ (store.open (path), ZM_OK) << "a second time: " << store.error;
  EXPECT_EQ (store.documents ("r"), (Documents{ { "alpha", "x" } }));
}

TEST_F (Sqlite, AMigrationThatFailsLeavesTheOldVersion)
{
  const char *source = std::getenv ("ZM_SRCDIR");
  sql (path, slurp (Text (source ? source : "..") + "/tests/unit/data/store-1.sql"));
  /* Its last statement fails: such a table is there already. */
  sql (path, "CREATE TABLE quarantine (x)");
  EXPECT_EQ (store.open (path), ZM_E_FAILED);
  EXPECT_NE (store.error.find ("from version 1 to 2"), Text::npos) << store.error;
  sql (path, "DROP TABLE quarantine");
  ASSERT_EQ (store.open (path), ZM_OK) << store.error;
  EXPECT_EQ (store.documents ("q").size (), 2u);
}

TEST_F (Sqlite, ALaterVersionIsRefused)
{
  fill (10);
  sql (path, "PRAGMA user_version=3");
  Text before = slurp (path);
  EXPECT_EQ (store.open (path), ZM_E_DENIED);
  EXPECT_NE (store.error.find ("version 3"), Text::npos) << store.error;
  EXPECT_EQ (slurp (path), before);
}

TEST_F (Sqlite, ForeignFilesAreRefusedAndLeftAlone)
{
  const Text other = folder.path + "/other.db", note = folder.path + "/note.txt";
  sql (other, "CREATE TABLE t (x); PRAGMA application_id=77;");
  spill (note, Text (5000, 'n'));
  spill (folder.path + "/short", "x");
  for (const Text &file : { other, note, folder.path + "/short" }) {
    Text before = slurp (file);
    EXPECT_EQ (store.open (file), ZM_E_INVALID) << file;
    EXPECT_NE (store.error.find ("name another file"), Text::npos) << store.error;
    EXPECT_EQ (slurp (file), before);
  }
  EXPECT_EQ (store.open (""), ZM_E_INVALID);
  EXPECT_EQ (store.open (folder.path + "/none/store.db"), ZM_E_FAILED);
  EXPECT_NE (store.error, "");
}

TEST_F (Sqlite, AnEmptyFileBecomesAStore)
{
  spill (path, "");
  ASSERT_EQ (store.open (path), ZM_OK) << store.error;
  EXPECT_EQ (store.write (Batch ().append (1, "a")), ZM_OK);
}

TEST_F (Sqlite, ASecondOneIsRefused)
{
  Store second ("sqlite");
  ASSERT_EQ (store.open (path), ZM_OK) << store.error;
  EXPECT_EQ (second.open (path), ZM_E_DENIED);
  EXPECT_NE (second.error.find ("in use by another process"), Text::npos) << second.error;
  store.close ();
  EXPECT_EQ (second.open (path), ZM_OK) << second.error;
}

TEST_F (Sqlite, OnlyItsOwnerMayRead)
{
  ASSERT_EQ (store.open (path), ZM_OK) << store.error;
  ASSERT_EQ (store.write (Batch ().append (1, "a")), ZM_OK);
  ASSERT_EQ (store.ops->backup (store.store, (path + ".copy").c_str (), nullptr, nullptr), ZM_OK);
  for (const char *ending : { "", ".lock", "-wal", ".copy" })
    EXPECT_EQ (static_cast<int> (std::filesystem::status (path + ending).permissions ()) & 077, 0) << ending;
}

/* ---- backup */

TEST_F (Sqlite, ABackupIsAWholeStore)
{
  const Text copy = folder.path + "/copy.db";
  fill (3000);
  ASSERT_EQ (store.open (path), ZM_OK) << store.error;
  ASSERT_EQ (store.write (
                 Batch ().append (3, "in the log only").remove (2, 1, 100).append (4, "x").remove (4, 1, 1)),
             ZM_OK);
  Records records = store.read ();
  Documents documents = store.documents ("docs");
  Report report;
  ASSERT_EQ (store.ops->backup (store.store, copy.c_str (), Report::tell, &report), ZM_OK);
  EXPECT_GT (report.total, 100u);
  EXPECT_EQ (report.done, report.total);
  ASSERT_EQ (store.write (Batch ().append (3, "after it")), ZM_OK);
  Store other ("sqlite");
  ASSERT_EQ (other.open (copy), ZM_OK) << other.error;
  EXPECT_EQ (other.read (), records);
  EXPECT_EQ (other.documents ("docs"), documents);
  EXPECT_EQ (other.last (4), 1u);
}

TEST_F (Sqlite, ABackupIsNeverHalf)
{
  const Text copy = folder.path + "/copy.db";
  fill (20000);
  ASSERT_EQ (store.open (path), ZM_OK) << store.error;
  Report stopping, taken, nowhere;
  stopping.stop_after = 1;
  EXPECT_EQ (store.ops->backup (store.store, copy.c_str (), Report::tell, &stopping), ZM_E_AGAIN);
  EXPECT_FALSE (std::filesystem::exists (copy));
  EXPECT_FALSE (std::filesystem::exists (copy + ".part"));
  spill (copy, "something of value");
  EXPECT_EQ (store.ops->backup (store.store, copy.c_str (), Report::tell, &taken), ZM_E_EXISTS);
  ASSERT_EQ (taken.errors.size (), 1u);
  EXPECT_EQ (slurp (copy), "something of value");
  EXPECT_NE (
      store.ops->backup (store.store, (folder.path + "/none/copy.db").c_str (), Report::tell, &nowhere),
      ZM_OK);
  EXPECT_EQ (nowhere.errors.size (), 1u);
  EXPECT_EQ (store.write (Batch ().append (1, "goes on")), ZM_OK);
}

/* ---- damage */

/* Whatever a body says that is told as sound was written so. */
void
expect_no_lie (const Records &records, Text (*body) (uint64_t), size_t &damaged)
{
  damaged = 0;
  for (const Record &record : records) {
    if (record.damaged) {
      damaged++;
      continue;
    }
    ASSERT_EQ (record.data, body (record.seq));
    ASSERT_EQ (record.queue, 1 + record.seq % 2);
    ASSERT_EQ (record.tag, record.seq);
    ASSERT_EQ (record.expires, static_cast<int64_t> (record.seq));
  }
}

TEST_F (Sqlite, AFlippedBitInABodyIsThatRecordsOnly)
{
  fill (500);
  Text bytes = slurp (path);
  size_t at = bytes.find ("record 123 ");
  ASSERT_NE (at, Text::npos);
  bytes[at + 50] ^= 1;
  spill (path, bytes);
  ASSERT_EQ (store.open (path), ZM_OK) << store.error;
  Records all = store.read ();
  ASSERT_EQ (all.size (), 500u);
  size_t damaged;
  expect_no_lie (all, body, damaged);
  EXPECT_EQ (damaged, 1u);
  EXPECT_TRUE (store.read (2, 123, 123)[0].damaged);
  EXPECT_FALSE (store.read (2, 123, 123, 0, ZM_STORE_HEADS)[0].damaged) << "its head is sound";

  Report found, mended, after;
  EXPECT_EQ (store.check (false, found), ZM_E_FAILED);
  ASSERT_EQ (found.errors.size (), 1u);
  EXPECT_NE (found.errors[0].find ("record 123 of queue 2 is damaged"), Text::npos) << found.errors[0];
  EXPECT_EQ (store.check (true, mended), ZM_OK);
  EXPECT_EQ (mended.warnings.size (), 1u);
  EXPECT_EQ (mended.done, 550u);
  EXPECT_EQ (store.check (false, after), ZM_OK);
  EXPECT_EQ (store.read ().size (), 499u);
  EXPECT_EQ (store.read (2, 123, 123), Records{});
}

TEST_F (Sqlite, ADamagedDocumentIsAnErrorAndTakenOut)
{
  fill (500);
  Text bytes = slurp (path);
  size_t at = bytes.find ("key 17record 17 ");
  ASSERT_NE (at, Text::npos);
  bytes[at + 20] ^= 4;
  spill (path, bytes);
  ASSERT_EQ (store.open (path), ZM_OK) << store.error;
  int status;
  store.documents ("docs", "", "", 0, &status);
  EXPECT_EQ (status, ZM_E_FAILED);
  EXPECT_EQ (store.documents ("docs", "key 18").size (), 1u) << "the others can be read";
  Batch batch;
  EXPECT_EQ (store.write (batch.expect ("docs", "key 17", bytes.substr (at + 6, body (17).size ()))), ZM_OK);
  EXPECT_EQ (batch.ops[0].status, ZM_E_DENIED) << "nobody can rely on it";
  Report mended;
  EXPECT_EQ (store.check (true, mended), ZM_OK);
  ASSERT_EQ (mended.warnings.size (), 1u);
  EXPECT_NE (mended.warnings[0].find ("document key 17 of docs"), Text::npos);
  EXPECT_EQ (store.documents ("docs").size (), 49u);
}

TEST_F (Sqlite, TheNumberOfADamagedLastRecordStaysUsed)
{
  fill (100);
  Text bytes = slurp (path);
  bytes[bytes.find ("record 100 ") + 30] ^= 1;
  spill (path, bytes);
  ASSERT_EQ (store.open (path), ZM_OK) << store.error;
  Report mended;
  EXPECT_EQ (store.check (true, mended), ZM_OK);
  EXPECT_EQ (store.last (1), 100u);
  Batch next;
  ASSERT_EQ (store.write (next.append (1, "x")), ZM_OK);
  EXPECT_EQ (next.ops[0].seq, 101u);
}

/* Anywhere in the file: a wrong body is never told as a sound one, and nothing dies of it. Where the structure is hit, repair
 * saves the rest. */
TEST_F (Sqlite, FlippedBitsAnywhereAreNeverBelieved)
{
  fill (2000);
  const Text sound = slurp (path);
  std::mt19937 random (7);
  size_t told = 0, marked = 0, refused = 0, saved = 0;

  for (int i = 0; i < 150; i++) {
    Text bytes = sound;
    for (int flips = 1 + i % 3; flips > 0; flips--)
      bytes[100 + random () % (bytes.size () - 100)] ^= static_cast<char> (1 << random () % 8);
    spill (path, bytes);
    std::filesystem::remove (path + "-wal");
    if (store.open (path) != ZM_OK) {
      refused++;
      continue;
    }
    int status;
    size_t damaged;
    Records all = store.read (0, 0, 0, 0, 0, &status);
    ASSERT_NO_FATAL_FAILURE (expect_no_lie (all, body, damaged));
    for (const auto &[key, value] : store.documents ("docs", "", "", 0, &status))
      ASSERT_EQ (value, body (std::stoul (key.substr (4))));
    marked += damaged > 0;
    told += all.size () == 2000 && damaged == 0;
    Report report;
    if (store.check (true, report) == ZM_OK) {
      Report again;
      ASSERT_EQ (store.check (false, again), ZM_OK) << i << again.errors[0];
      all = store.read ();
      ASSERT_NO_FATAL_FAILURE (expect_no_lie (all, body, damaged));
      ASSERT_EQ (damaged, 0u);
      ASSERT_GT (all.size (), 1500u) << i;
      Batch next;
      ASSERT_EQ (store.write (next.append (1, "goes on").append (2, "goes on")), ZM_OK) << next.error;
      saved++;
    } else {
      ASSERT_FALSE (report.errors.empty ());
    }
    store.close ();
  }
  EXPECT_GT (marked, 60u);
  EXPECT_GT (saved, 130u) << refused << " refused, " << told << " unhurt";
}

TEST_F (Sqlite, ATruncatedFileIsOpenedToBeRepaired)
{
  fill (3000);
  const Text sound = slurp (path);
  size_t damaged;
  for (double part : { 0.9, 0.5 }) {
    spill (path, sound.substr (0, static_cast<size_t> (static_cast<double> (sound.size ()) * part)));
    ASSERT_EQ (store.open (path), ZM_OK) << "so that it can be repaired: " << store.error;
    int status;
    ASSERT_NO_FATAL_FAILURE (expect_no_lie (store.read (0, 0, 0, 0, 0, &status), body, damaged));
    Batch batch;
    if (store.write (batch.append (1, "x")) != ZM_OK) {
      EXPECT_EQ (store.recover (), ZM_E_FAILED);
      EXPECT_NE (store.error.find ("store check --repair"), Text::npos) << store.error;
    }
    Report report;
    EXPECT_EQ (store.check (true, report), ZM_OK) << report.errors.back ();
    Records left = store.read ();
    ASSERT_NO_FATAL_FAILURE (expect_no_lie (left, body, damaged));
    EXPECT_GT (left.size (), static_cast<size_t> (3000 * (part - 0.3)));
    EXPECT_GE (store.last (1), left.empty () ? 0 : 1000000u)
        << "numbers that may have been used are not used again";
    Batch own;
    EXPECT_EQ (store.write (own.append (1, "goes on", 500000)), ZM_OK)
        << "the daemon that runs goes on with its own: " << own.error;
    EXPECT_GE (store.last (1), left.empty () ? 0 : 1000000u);
    store.close ();
  }
}

/* ---- a process that dies */

/* Everything that a killed writer had been told is there, each batch is there whole or not at all. */
TEST_F (Sqlite, WhatWasConfirmedSurvivesAKill)
{
  auto *confirmed = static_cast<volatile uint64_t *> (
      mmap (nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  for (int round = 0; round < 8; round++) {
    uint64_t before = *confirmed;
    pid_t child = fork ();
    if (child == 0) {
      Store writer ("sqlite");
      if (writer.open (path) != ZM_OK)
        _exit (1);
      for (uint64_t number = *confirmed;; number++) {
        Batch batch;
        for (int i = 0; i < 20; i++)
          batch.append (1, body (number));
        if (writer.write (batch.put ("s", "number", std::to_string (number))) != ZM_OK)
          _exit (2);
        *confirmed = number + 1;
      }
    }
    /* At another place of its work each time. */
    while (*confirmed < before + 5 + static_cast<uint64_t> (round) * 13) {
      int status;
      ASSERT_EQ (waitpid (child, &status, WNOHANG), 0) << "the writer ended by itself";
      usleep (100);
    }
    kill (child, SIGKILL);
    ASSERT_EQ (waitpid (child, nullptr, 0), child);
    ASSERT_EQ (store.open (path), ZM_OK) << store.error;
    Records all = store.read (1);
    ASSERT_GE (all.size (), *confirmed * 20);
    ASSERT_EQ (all.size () % 20, 0u) << "half a batch";
    *confirmed = all.size () / 20;
    for (size_t i = 0; i < all.size (); i++)
      ASSERT_EQ (all[i].data, body (i / 20));
    EXPECT_EQ (store.documents ("s")[0].second, std::to_string (*confirmed - 1));
    store.close ();
  }
  munmap (const_cast<uint64_t *> (confirmed), 4096);
}

/* Killed between the steps of an exchange: whoever opens ends it. */
TEST_F (Sqlite, AnExchangeThatWasBegunIsEnded)
{
  fill (100);
  std::filesystem::copy_file (path, path + ".ready");
  ASSERT_EQ (store.open (path), ZM_OK) << store.error;
  EXPECT_FALSE (std::filesystem::exists (path + ".ready"));
  EXPECT_EQ (store.read ().size (), 100u);
  ASSERT_EQ (store.write (Batch ().append (5, "in the log of the old file")), ZM_OK);
  std::filesystem::copy_file (path, path + ".ready");
  spill (path + ".new", "half a copy");
  store.close ();
  ASSERT_EQ (store.open (path), ZM_OK) << store.error;
  EXPECT_FALSE (std::filesystem::exists (path + ".new"));
  Report report;
  EXPECT_EQ (store.check (false, report), ZM_OK);
}

} // namespace
