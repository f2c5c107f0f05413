/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Records, and the page with its pipes: what is left of a process at whatever instant it dies. */
#include "hostwire/zm-page.h"
#include "sanitizers.h"

#include <gtest/gtest.h>

#include <csignal>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include <poll.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

/* A record with its own texts. */
struct Made {
  ZmRecord record = {};
  std::vector<std::string> texts;

  Made (ZmRecordKind kind, guint64 id, const std::vector<guint64> &numbers, std::vector<std::string> parts)
      : texts (std::move (parts))
  {
    record.kind = kind;
    record.id = id;
    record.n_numbers = static_cast<guint> (numbers.size ());
    record.n_parts = static_cast<guint> (texts.size ());
    for (size_t i = 0; i < numbers.size (); i++)
      record.numbers[i] = numbers[i];
    point_to_texts ();
  }
  /* A copy has texts of its own. */
  Made (const Made &other) : record (other.record), texts (other.texts)
  {
    point_to_texts ();
  }

  void
  point_to_texts ()
  {
    for (size_t i = 0; i < texts.size (); i++)
      record.parts[i] = zm_span (texts[i].data (), texts[i].size ());
  }
};

std::vector<guint8>
bytes_of (const ZmRecord &record)
{
  std::vector<guint8> bytes (zm_record_size (&record));

  zm_record_write (&record, bytes.data ());
  return bytes;
}

Made
full_record ()
{
  return Made (ZM_RECORD_DONE, 77, { 3, static_cast<guint64> (-9), 0 },
               { "text/plain", "?A?b", "", "code", "", "the body" });
}

/* ---- records ---- */

TEST (Record, ReadsWhatWasWritten)
{
  std::vector<Made> all = { Made (ZM_RECORD_PONG, 0, {}, {}), full_record (),
                            Made (ZM_RECORD_WORK, G_MAXUINT64,
                                  std::vector<guint64> (ZM_RECORD_NUMBERS, G_MAXUINT64),
                                  std::vector<std::string> (ZM_RECORD_PARTS, "p")) };

  for (Made &made : all) {
    std::vector<guint8> bytes = bytes_of (made.record);
    ZmRecord read;
    gsize needed;

    ASSERT_EQ (zm_record_read (bytes.data (), bytes.size (), &read, &needed, nullptr),
               static_cast<gssize> (bytes.size ()));
    EXPECT_EQ (read.kind, made.record.kind);
    EXPECT_EQ (read.id, made.record.id);
    ASSERT_EQ (read.n_numbers, made.record.n_numbers);
    ASSERT_EQ (read.n_parts, made.record.n_parts);
    EXPECT_EQ (memcmp (read.numbers, made.record.numbers, sizeof read.numbers), 0);
    for (guint i = 0; i < read.n_parts; i++)
      EXPECT_EQ (std::string (read.parts[i].data, read.parts[i].size), made.texts[i]);
  }
}

TEST (Record, TellsAnAbsentPartFromAnEmptyOne)
{
  Made made = full_record ();
  ZmRecord read;
  gsize needed;

  made.record.parts[1] = zm_span (nullptr, 0);
  std::vector<guint8> bytes = bytes_of (made.record);
  ASSERT_GT (zm_record_read (bytes.data (), bytes.size (), &read, &needed, nullptr), 0);
  EXPECT_EQ (read.parts[1].data, nullptr);
  EXPECT_NE (read.parts[2].data, nullptr);
  EXPECT_EQ (read.parts[2].size, 0u);
  EXPECT_EQ (zm_record_text (&read, 1), nullptr);
  EXPECT_EQ (zm_record_text (&read, 40), nullptr);
  g_autofree char *text = zm_record_text (&read, 0);
  EXPECT_STREQ (text, "text/plain");
}

/* Of each beginning of it more is asked for, in the end exactly its size; the memory ends with it, so that a read beyond
 * is seen. */
TEST (Record, AsksForMoreOfEveryTruncation)
{
  std::vector<guint8> bytes = bytes_of (full_record ().record);

  for (gsize size = 0; size < bytes.size (); size++) {
    std::vector<guint8> cut (bytes.begin (), bytes.begin () + static_cast<long> (size));
    ZmRecord read;
    gsize needed = 0;

    ASSERT_EQ (zm_record_read (cut.data (), size, &read, &needed, nullptr), 0) << size;
    EXPECT_EQ (needed, size < ZM_RECORD_HEAD ? static_cast<gsize> (ZM_RECORD_HEAD) : bytes.size ());
  }
}

/* Read or refused, never beyond its memory; what is read is within it. */
TEST (Record, SurvivesEveryFlippedBit)
{
  const std::vector<guint8> bytes = bytes_of (full_record ().record);
  int refused = 0;

  for (gsize bit = 0; bit < 8 * bytes.size (); bit++) {
    std::vector<guint8> flipped (bytes);
    g_autoptr (GError) error = nullptr;
    ZmRecord read;
    gsize needed;

    flipped[bit / 8] ^= static_cast<guint8> (1u << bit % 8);
    gssize size = zm_record_read (flipped.data (), flipped.size (), &read, &needed, &error);
    ASSERT_EQ (size < 0, error != nullptr);
    refused += size < 0;
    for (guint i = 0; size > 0 && i < read.n_parts; i++) {
      if (read.parts[i].data == nullptr)
        continue;
      ASSERT_LE (read.parts[i].data + read.parts[i].size,
                 reinterpret_cast<const char *> (flipped.data ()) + flipped.size ());
    }
  }
  EXPECT_GT (refused, 50);
}

struct Wrong {
  const char *name;
  gsize at;
  std::vector<guint8> bytes;
  const char *says;
};

TEST (Record, SaysWhatIsWrongWithIt)
{
  const std::vector<Wrong> wrongs = {
    { "no kind", 4, { 0, 0 }, "kind" },
    { "an unknown kind", 4, { 0xff, 0 }, "kind" },
    { "too many numbers", 6, { ZM_RECORD_NUMBERS + 1 }, "too many" },
    { "too many parts", 7, { ZM_RECORD_PARTS + 1 }, "too many" },
    { "too small", 0, { 17, 0, 0, 0 }, "size" },
    { "too large", 0, { 0xff, 0xff, 0xff, 0xff }, "size" },
    { "a part that is too long", ZM_RECORD_HEAD + 24, { 0xff, 0xff, 0, 0 }, "parts" },
    { "a part that is too short", ZM_RECORD_HEAD + 24, { 1, 0, 0, 0 }, "parts" },
  };

  for (const Wrong &wrong : wrongs) {
    std::vector<guint8> bytes = bytes_of (full_record ().record);
    g_autoptr (GError) error = nullptr;
    ZmRecord read;
    gsize needed;

    std::copy (wrong.bytes.begin (), wrong.bytes.end (), bytes.begin () + static_cast<long> (wrong.at));
    EXPECT_EQ (zm_record_read (bytes.data (), bytes.size (), &read, &needed, &error), -1) << wrong.name;
    ASSERT_NE (error, nullptr) << wrong.name;
    EXPECT_NE (std::string (error->message).find (wrong.says), std::string::npos) << error->message;
  }
}

TEST (Record, ListsOfTextsEndWhereTheirLastNulIs)
{
  std::string text ("one\0\0two\0rest", 13);
  ZmSpan list = zm_span (text.data (), text.size ());

  EXPECT_STREQ (zm_record_next_text (&list), "one");
  EXPECT_STREQ (zm_record_next_text (&list), "");
  EXPECT_STREQ (zm_record_next_text (&list), "two");
  EXPECT_EQ (zm_record_next_text (&list), nullptr) << "it has no end";
}

/* ---- the page ---- */

/* So many bytes out of the pipe. */
std::string
take (ZmPipeEnd &from, guint64 n)
{
  EXPECT_LE (n, ZM_PIPE_BYTES);
  std::string bytes (reinterpret_cast<const char *> (zm_pipe_data (&from)), n);

  if (zm_pipe_take (&from, n))
    zm_pipe_wake_writer (&from);
  return bytes;
}

/* All of it, until the writer's end of the bell is closed. */
std::string
take_all (ZmPipeEnd &from, int bell)
{
  std::string all;

  for (;;) {
    all += take (from, zm_pipe_ready (&from));
    if (!zm_pipe_ask_more (&from, 0))
      continue;
    struct pollfd polled = { bell, POLLIN, 0 };
    if (poll (&polled, 1, 20000) <= 0 || !zm_bell_heard (bell))
      break;
  }
  return all + take (from, zm_pipe_rest (&from));
}

struct PageTest : testing::Test {
  int page_fd = -1;
  int ends[2] = { -1, -1 };
  ZmPage *page = nullptr;
  ZmHostOut *out = nullptr;
  ZmPipeEnd from = {};

  void
  SetUp () override
  {
    page = zm_page_new (&page_fd, nullptr);
    ASSERT_NE (page, nullptr);
    ASSERT_EQ (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    out = zm_host_out_new (page, ends[1]);
    from = zm_page_from_host (page);
  }
  void
  TearDown () override
  {
    zm_host_out_free (out);
    zm_page_free (page);
    for (int fd : { page_fd, ends[0], ends[1] })
      if (fd >= 0)
        close (fd);
  }
  std::string
  heard_now ()
  {
    return take (from, zm_pipe_ready (&from));
  }
  std::string
  rest () const
  {
    return std::string (reinterpret_cast<const char *> (zm_pipe_data (&from)), zm_pipe_rest (&from));
  }
};

TEST_F (PageTest, IsOneMemoryForBothAndCannotShrink)
{
  EXPECT_NE (ftruncate (page_fd, 100), 0);
  EXPECT_NE (ftruncate (page_fd, 1 << 30), 0);
  ZmPage *other = zm_page_open (page_fd, nullptr);
  page_fd = -1;
  ASSERT_NE (other, nullptr);
  other->slots[3].word = zm_page_word (5, ZM_SLOT_IS_STARTED);
  EXPECT_EQ (page->slots[3].word, zm_page_word (5, ZM_SLOT_IS_STARTED));
  zm_page_free (other);
}

TEST_F (PageTest, AnotherFileIsNoPage)
{
  g_autoptr (GError) error = nullptr;
  int fd = memfd_create ("small", MFD_CLOEXEC);

  EXPECT_EQ (zm_page_open (fd, &error), nullptr);
  EXPECT_TRUE (g_error_matches (error, ZM_ERROR, ZM_ERROR_INVALID));
  g_clear_error (&error);
  page->magic = 7;
  EXPECT_EQ (zm_page_open (page_fd, &error), nullptr);
  page_fd = -1;
  EXPECT_TRUE (g_error_matches (error, ZM_ERROR, ZM_ERROR_INVALID));
}

/* A slot is the host's or the daemon's, never both: of all threads that try one wins. */
TEST_F (PageTest, OnlyOneGetsASlot)
{
  for (guint64 serial = 1; serial <= 300; serial++) {
    std::atomic<int> started{ 0 }, taken{ 0 };
    std::vector<std::thread> threads;
    atomic_ullong &word = page->slots[0].word;

    word = zm_page_word (serial, ZM_SLOT_IS_QUEUED);
    for (int i = 0; i < 4; i++)
      threads.emplace_back ([&, i] {
        unsigned long long queued = zm_page_word (serial, ZM_SLOT_IS_QUEUED);

        if (word.compare_exchange_strong (
                queued, zm_page_word (serial, i % 2 == 0 ? ZM_SLOT_IS_STARTED : ZM_SLOT_IS_FREE)))
          (i % 2 == 0 ? started : taken)++;
      });
    for (auto &thread : threads)
      thread.join ();
    ASSERT_EQ (started + taken, 1);
    ASSERT_EQ (word & 3, started == 1 ? ZM_SLOT_IS_STARTED : ZM_SLOT_IS_FREE);
  }
}

/* ---- the pipes ---- */

TEST_F (PageTest, WhatRunsOverTheEndGoesOnAtTheBeginning)
{
  ZmPipeEnd to = zm_page_to_host (page), reader = to;
  std::string all, got;
  gsize size = 0;

  for (int i = 0; i < 3000; i++) {
    std::string piece (static_cast<size_t> (i * 37 % 501), static_cast<char> ('a' + i % 26));

    ASSERT_GE (zm_pipe_room (&to), piece.size ());
    memcpy (zm_pipe_space (&to), piece.data (), piece.size ());
    zm_pipe_said (&to, piece.size ());
    size += piece.size ();
    all += piece;
    if (i % 7 == 6) {
      EXPECT_EQ (zm_pipe_untold (&to), size);
      EXPECT_EQ (zm_pipe_ready (&reader), 0u) << "it was not told";
      EXPECT_EQ (zm_pipe_rest (&reader), size);
      EXPECT_FALSE (zm_pipe_tell (&to)) << "nobody sleeps";
      got += take (reader, zm_pipe_ready (&reader));
      size = 0;
    }
  }
  EXPECT_TRUE (all.compare (0, got.size (), got) == 0);
  EXPECT_GT (got.size (), 4 * ZM_PIPE_BYTES);
  EXPECT_EQ (zm_pipe_room (&to), ZM_PIPE_BYTES - size);
}

TEST_F (PageTest, WhoSleepsIsWokenOnce)
{
  ZmPipeEnd to = zm_page_to_host (page), reader = to;

  EXPECT_TRUE (zm_pipe_ask_more (&reader, 0));
  EXPECT_FALSE (zm_pipe_tell (&to)) << "there is nothing to tell";
  zm_pipe_said (&to, 10);
  EXPECT_TRUE (zm_pipe_tell (&to));
  zm_pipe_said (&to, 10);
  EXPECT_FALSE (zm_pipe_tell (&to));
  EXPECT_FALSE (zm_pipe_ask_more (&reader, 0)) << "there is something";
  zm_pipe_awake (&reader);
  EXPECT_TRUE (zm_pipe_ask_more (&reader, 20)) << "it knows that already";
  zm_pipe_awake (&reader);
  zm_pipe_said (&to, ZM_PIPE_BYTES - 20);
  EXPECT_FALSE (zm_pipe_tell (&to)) << "it is awake";
  EXPECT_FALSE (zm_pipe_take (&reader, 5));
  EXPECT_FALSE (zm_pipe_ask_room (&to, 5)) << "there is room";
  EXPECT_FALSE (zm_pipe_take (&reader, 5));
  EXPECT_TRUE (zm_pipe_ask_room (&to, 11));
  EXPECT_TRUE (zm_pipe_take (&reader, 5));
  EXPECT_FALSE (zm_pipe_take (&reader, 5));
}

/* The daemon never believes more than the pipe has. */
TEST_F (PageTest, NumbersOfAnInsaneSideAreNotUsed)
{
  ZmPipeEnd to = zm_page_to_host (page);

  page->from_host.said = ZM_PIPE_BYTES + 1;
  EXPECT_EQ (zm_pipe_rest (&from), 0u);
  page->from_host.told = ZM_PIPE_BYTES + 1;
  EXPECT_GT (zm_pipe_ready (&from), ZM_PIPE_BYTES);
  page->to_host.taken = 1;
  EXPECT_EQ (zm_pipe_room (&to), 0u);
  EXPECT_TRUE (zm_pipe_ask_room (&to, 1)) << "who believed it would look again for ever";
  page->to_host.taken = G_MAXUINT64;
  EXPECT_EQ (zm_pipe_room (&to), ZM_PIPE_BYTES - 1);
}

TEST_F (PageTest, WhatWasSaidIsInThePageUntilItIsTaken)
{
  Made made = full_record ();
  std::vector<guint8> bytes = bytes_of (made.record);
  std::string one (bytes.begin (), bytes.end ());

  EXPECT_TRUE (zm_host_out_say (out, &made.record, FALSE));
  EXPECT_TRUE (zm_host_out_say (out, &made.record, FALSE));
  EXPECT_EQ (heard_now (), "");
  EXPECT_EQ (rest (), one + one);
  EXPECT_TRUE (zm_host_out_say (out, &made.record, TRUE));
  EXPECT_EQ (rest (), one + one + one);
  EXPECT_EQ (heard_now (), one + one + one);
  EXPECT_EQ (rest (), "");
  EXPECT_TRUE (zm_host_out_say (out, &made.record, FALSE));
  EXPECT_EQ (rest (), one);
  EXPECT_TRUE (zm_host_out_flush (out));
  EXPECT_EQ (heard_now (), one);
}

TEST_F (PageTest, RecordsLargerThanThePipeGoThroughItInPieces)
{
  std::string body (5 * ZM_PIPE_BYTES + 77, 'b'), all;
  Made small = full_record (), large (ZM_RECORD_DONE, 2, { 1, 2, 3 }, { "type", body });
  std::thread reader ([&] { all = take_all (from, ends[0]); });

  EXPECT_TRUE (zm_host_out_say (out, &small.record, FALSE));
  EXPECT_TRUE (zm_host_out_say (out, &large.record, FALSE));
  EXPECT_TRUE (zm_host_out_say (out, &small.record, FALSE));
  close (ends[1]);
  ends[1] = -1;
  reader.join ();
  std::vector<guint8> first = bytes_of (small.record), second = bytes_of (large.record);
  std::string edge (first.begin (), first.end ());
  EXPECT_TRUE (all == edge + std::string (second.begin (), second.end ()) + edge);
}

/* It finds out where it has to wake the daemon, or to wait for it. */
TEST_F (PageTest, WhoTalksToNobodyIsTold)
{
  std::string body (3 * ZM_PIPE_BYTES, 'b');
  Made made = full_record (), large (ZM_RECORD_DONE, 2, {}, { body });

  close (ends[0]);
  ends[0] = -1;
  EXPECT_TRUE (zm_host_out_say (out, &made.record, TRUE)) << "nobody sleeps";
  EXPECT_TRUE (zm_pipe_ask_more (&from, zm_pipe_ready (&from)));
  EXPECT_FALSE (zm_host_out_say (out, &made.record, TRUE));
  EXPECT_FALSE (zm_host_out_say (out, &large.record, FALSE)) << "nobody makes room";
  EXPECT_FALSE (zm_host_out_flush (out));
}

/* ---- death ---- */

/* In a process of its own: says without end, each fiftieth as large as may be; *said counts what `say` returned for. */
[[noreturn]] void
talk (ZmPage *page, int fd, atomic_ullong *said, guint seed, gsize largest)
{
  ZmHostOut *out = zm_host_out_new (page, fd);
  std::string body (largest, 'b');

  for (guint64 i = 0;; i++) {
    ZmRecord record = {};
    gsize size = (i * 7919 + seed) % (i % 50 == 49 ? body.size () : 700);

    record.kind = ZM_RECORD_DONE;
    record.id = i;
    record.n_parts = 1;
    record.parts[0] = zm_span (body.data (), size);
    if (!zm_host_out_say (out, &record, (i * 31 + seed) % 5 == 0))
      _exit (0);
    *said = i + 1;
  }
}

/* Whole records, in order, none left out, and all of those that were said. */
void
check_whole (const std::string &all, guint64 said)
{
  gsize at = 0;
  guint64 next = 0;

  while (at < all.size ()) {
    ZmRecord record;
    gsize needed;
    gssize size = zm_record_read (reinterpret_cast<const guint8 *> (all.data ()) + at, all.size () - at,
                                  &record, &needed, nullptr);

    ASSERT_GE (size, 0) << "at " << at << " of " << all.size ();
    if (size == 0)
      break; /* of one that it was about to send from where it is */
    ASSERT_EQ (record.id, next);
    next++;
    at += static_cast<gsize> (size);
  }
  EXPECT_GE (next, said);
  EXPECT_LE (next, said + 1) << "one may have been said of which it was not told any more";
}

TEST (Death, NothingThatWasSaidIsLostAtWhateverInstant)
{
  int rounds = g_getenv ("ZM_TEST_LONG") != nullptr ? 2000 : 150;

  for (int round = 0; round < rounds && !testing::Test::HasFailure (); round++) {
    int page_fd, ends[2], status;
    ZmPage *page = zm_page_new (&page_fd, nullptr);
    auto *said = static_cast<atomic_ullong *> (
        mmap (nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    ZmPipeEnd from = zm_page_from_host (page);

    ASSERT_EQ (socketpair (AF_UNIX, SOCK_STREAM, 0, ends), 0);
    pid_t pid = fork ();
    if (pid == 0) {
      close (ends[0]);
      talk (page, ends[1], said, static_cast<guint> (round), 200000);
    }
    close (ends[1]);
    close (page_fd);
    std::thread killer ([pid, round] {
      g_usleep (static_cast<gulong> (200 + round * 97 % 6000));
      kill (pid, SIGKILL);
    });
    std::string all = take_all (from, ends[0]);
    killer.join ();
    waitpid (pid, &status, 0);
    check_whole (all + take (from, zm_pipe_rest (&from)), *said);
    close (ends[0]);
    zm_page_free (page);
    munmap (said, 4096);
  }
}

/* Instruction by instruction: what the daemon would read if the process died right there. */
TEST (Death, NothingIsLostAfterAnyInstruction)
{
  int page_fd, ends[2], status = 0;
  ZmPage *page = zm_page_new (&page_fd, nullptr);
  auto *said = static_cast<atomic_ullong *> (
      mmap (nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  ZmPipeEnd from = zm_page_from_host (page);
  std::string heard;
  guint64 steps = 0;

  ASSERT_EQ (socketpair (AF_UNIX, SOCK_STREAM, 0, ends), 0);
  pid_t pid = fork ();
  if (pid == 0) {
    if (ptrace (PTRACE_TRACEME, 0, nullptr, nullptr) != 0)
      _exit (77);
    raise (SIGSTOP);
    talk (page, ends[1], said, 0, 700);
  }
  ASSERT_EQ (waitpid (pid, &status, 0), pid);
  if (WIFEXITED (status))
    GTEST_SKIP () << "no process may be traced here";
  while (*said < 8 && !testing::Test::HasFailure ()) {
    ASSERT_EQ (ptrace (PTRACE_SINGLESTEP, pid, nullptr, nullptr), 0);
    ASSERT_EQ (waitpid (pid, &status, 0), pid);
    ASSERT_TRUE (WIFSTOPPED (status));
    heard += take (from, zm_pipe_ready (&from));
    check_whole (
        heard + std::string (reinterpret_cast<const char *> (zm_pipe_data (&from)), zm_pipe_rest (&from)),
        *said);
    steps++;
  }
  EXPECT_GT (steps, 1000u);
  kill (pid, SIGKILL);
  waitpid (pid, &status, 0);
  close (ends[0]);
  close (ends[1]);
  close (page_fd);
  zm_page_free (page);
  munmap (said, 4096);
}

} // namespace
