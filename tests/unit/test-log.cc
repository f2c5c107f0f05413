/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The log of the room base: formats, levels, limits, recent lines, journald's datagrams. */
#include "config.h"

#include "base/log-out.h"
#include "base/zm-base.h"
#include "base/zm-log.h"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

using Lines = std::vector<std::string>;

bool
matches (const std::string &text, const std::string &pattern)
{
  return g_regex_match_simple (("^" + pattern + "$").c_str (), text.c_str (), (GRegexCompileFlags) 0,
                               (GRegexMatchFlags) 0);
}

/* A log that writes into a file of its own. */
class Log : public ::testing::Test {
protected:
  char path[64] = "/tmp/zm-test-log-XXXXXX";
  int fd = mkstemp (path);
  ZmLog *log = nullptr;

  void
  open (ZmLogFormat format, ZmLevel level = ZM_LEVEL_INFO)
  {
    log = zm_log_new (fd, format, level);
  }

  void
  TearDown () override
  {
    zm_log_unref (log);
    close (fd);
    unlink (path);
  }

  Lines
  lines ()
  {
    g_autofree char *text = nullptr;
    g_auto (GStrv) split = nullptr;
    Lines all;

    g_file_get_contents (path, &text, nullptr, nullptr);
    split = g_strsplit (text, "\n", -1);
    for (char **line = split; *line != nullptr; line++)
      if (**line != '\0')
        all.push_back (*line);
    return all;
  }
};

const char *const fields[] = { "id", "4711", "key", "?a\n?b", "plugin", nullptr, "file", "x\"y", nullptr };

TEST_F (Log, JsonLines)
{
  open (ZM_LOG_FORMAT_JSON);
  zm_log_line (log, ZM_LEVEL_WARNING, "subject", "odd\x1b frame", fields);
  Lines all = lines ();

  ASSERT_EQ (all.size (), 1u);
  EXPECT_TRUE (zm_json_valid (zm_span (all[0].data (), all[0].size ())));
  EXPECT_TRUE (matches (
      all[0], "\\{\"time\":\"20[0-9-]{8}T[0-9:]{8}\\.[0-9]{6}Z\",\"level\":\"warning\",\"room\":\"subject\","
              "\"text\":\"odd\\\\\\\\x1b frame\",\"id\":\"4711\",\"key\":\"\\?a\\\\\\\\x0a\\?b\","
              "\"file\":\"x\\\\\"y\"\\}"))
      << all[0];
}

TEST_F (Log, AReaderThatStandsStillHoldsNobodyUpAndIsToldWhatItMissed)
{
  int ends[2];
  ASSERT_EQ (pipe (ends), 0);
  g_autoptr (ZmLog) to_pipe = zm_log_new (ends[1], ZM_LOG_FORMAT_JSON, ZM_LEVEL_INFO);
  for (int i = 0; i < 2000; i++) /* far more than a pipe holds */
    zm_log_write (to_pipe, ZM_LEVEL_INFO, "test", "line %d", i);
  std::string got;
  char buffer[65536];
  struct pollfd item = { ends[0], POLLIN, 0 };
  while (poll (&item, 1, 0) > 0)
    got.append (buffer, (size_t) read (ends[0], buffer, sizeof buffer));
  EXPECT_EQ (got.find ("line 1999"), std::string::npos);
  zm_log_write (to_pipe, ZM_LEVEL_INFO, "test", "the next");
  ssize_t more = read (ends[0], buffer, sizeof buffer);
  std::string next (buffer, (size_t) MAX (more, 0));
  EXPECT_NE (next.find ("lines of the log were lost"), std::string::npos) << next;
  EXPECT_NE (next.find ("the next"), std::string::npos) << next;
  close (ends[0]);
  close (ends[1]);
}

/* A pipe with room for PIPE_BUF bytes and no more: whatever is written must fit, or be left out. */
TEST_F (Log, ALongLineDoesNotWaitForAReaderThatStandsStill)
{
  const std::string filling (PIPE_BUF, '\1'), quotes (5000, '"'), value (1000, '\\');
  std::vector<const char *> many;
  for (int i = 0; i < 32; i++)
    many.insert (many.end (), { "name", value.c_str () });
  many.push_back (nullptr);
  for (ZmLogFormat format : { ZM_LOG_FORMAT_JSON, ZM_LOG_FORMAT_HUMAN })
    for (const char *const *more : { (const char *const *) nullptr, (const char *const *) many.data () }) {
      int ends[2];
      ASSERT_EQ (pipe2 (ends, O_NONBLOCK), 0);
      while (write (ends[1], filling.data (), PIPE_BUF) > 0)
        ;
      std::string got (PIPE_BUF, 0);
      ASSERT_EQ (read (ends[0], &got[0], PIPE_BUF), PIPE_BUF);
      g_autoptr (ZmLog) to_pipe = zm_log_new (ends[1], format, ZM_LEVEL_INFO);
      zm_log_line (to_pipe, ZM_LEVEL_INFO, "test", quotes.c_str (), more);
      got.clear ();
      char buffer[PIPE_BUF];
      for (ssize_t n; (n = read (ends[0], buffer, sizeof buffer)) > 0;)
        got.append (buffer, (size_t) n);
      std::string line = got.substr (got.find_last_of ('\1') + 1);
      ASSERT_FALSE (line.empty ());
      EXPECT_EQ (line.back (), '\n') << "the whole line went out, and it waited for nobody";
      EXPECT_LE (line.size (), (size_t) PIPE_BUF);
      EXPECT_NE (line.find ("..."), std::string::npos);
      if (format == ZM_LOG_FORMAT_JSON) {
        EXPECT_TRUE (zm_json_valid (zm_span (line.data (), line.size () - 1))) << line;
      }
      close (ends[0]);
      close (ends[1]);
    }
}

TEST_F (Log, LinesForPeople)
{
  open (ZM_LOG_FORMAT_HUMAN);
  zm_log_line (log, ZM_LEVEL_NOTICE, "plugin", "loaded", fields);
  Lines all = lines ();

  ASSERT_EQ (all.size (), 1u); /* in no colour: this is no terminal */
  EXPECT_TRUE (
      matches (all[0], "[0-9:]{8}\\.[0-9]{3} notice plugin: loaded  id=4711 key=\\?a\\\\x0a\\?b file=x\"y"))
      << all[0];
}

TEST_F (Log, AutoIsJsonWhereNobodyLooks)
{
  open (ZM_LOG_FORMAT_AUTO);
  zm_log_write (log, ZM_LEVEL_ERROR, "base", "n is %d", 7);
  ASSERT_EQ (lines ().size (), 1u);
  EXPECT_EQ (lines ()[0][0], '{');
  EXPECT_NE (lines ()[0].find ("\"text\":\"n is 7\""), std::string::npos);
}

TEST_F (Log, LevelsBelowAreLeftOut)
{
  open (ZM_LOG_FORMAT_HUMAN, ZM_LEVEL_WARNING);
  zm_log_write (log, ZM_LEVEL_INFO, "base", "no");
  zm_log_limited (log, ZM_LEVEL_INFO, "base", "kind", "no");
  EXPECT_EQ (lines ().size (), 0u);
  zm_log_set_level (log, ZM_LEVEL_DEBUG);
  EXPECT_TRUE (zm_log_enabled (log, ZM_LEVEL_DEBUG));
  zm_log_write (log, ZM_LEVEL_DEBUG, "base", "yes");
  EXPECT_EQ (lines ().size (), 1u);
}

TEST (LogLevel, Names)
{
  ZmLevel level;

  for (const char *name : { "error", "warning", "notice", "info", "debug" }) {
    ASSERT_TRUE (zm_level_parse (name, &level));
    EXPECT_STREQ (zm_level_name (level), name);
  }
  EXPECT_FALSE (zm_level_parse ("loud", &level));
  EXPECT_FALSE (zm_level_parse ("", &level));
}

TEST (LogNone, NothingHappens)
{
  zm_log_write (nullptr, ZM_LEVEL_ERROR, "base", "x");
  zm_log_line (nullptr, ZM_LEVEL_ERROR, "base", "x", nullptr);
  zm_log_limited (nullptr, ZM_LEVEL_ERROR, "base", "x", "x");
  EXPECT_FALSE (zm_log_enabled (nullptr, ZM_LEVEL_ERROR));
  EXPECT_EQ (zm_log_ref (nullptr), nullptr);
  zm_log_unref (nullptr);
}

TEST_F (Log, LongTextsAreCut)
{
  const std::string text (100000, 'x');

  open (ZM_LOG_FORMAT_JSON);
  zm_log_line (log, ZM_LEVEL_INFO, "base", text.c_str (), nullptr);
  EXPECT_LT (lines ()[0].size (), 5000u);
}

TEST_F (Log, AFloodOfOneKindIsCountedAndSaidLater)
{
  static const char kind[] = "bad frame", other[] = "bad key";

  open (ZM_LOG_FORMAT_HUMAN);
  for (int i = 0; i < 100; i++)
    zm_log_limited (log, ZM_LEVEL_WARNING, "subject", kind, "bad frame %d", i);
  zm_log_limited (log, ZM_LEVEL_WARNING, "subject", other, "bad key");
  Lines all = lines ();
  ASSERT_EQ (all.size (), 6u); /* five of the first, one of the other */
  EXPECT_NE (all[4].find ("bad frame 4"), std::string::npos);
  EXPECT_NE (all[5].find ("bad key"), std::string::npos);

  zm_log_ref (log);
  zm_log_unref (log);
  EXPECT_EQ (lines ().size (), 6u);
  zm_log_unref (log); /* the last one says what was left out */
  log = nullptr;
  all = lines ();
  ASSERT_EQ (all.size (), 7u);
  EXPECT_NE (all[6].find ("warning subject: 95 lines like this suppressed: bad frame"), std::string::npos);
}

/* Who ends the process says it, though a thread that is left behind keeps the log. */
TEST_F (Log, WhatWasSuppressedIsSaidBeforeTheLastUnref)
{
  static const char kind[] = "bad frame";

  open (ZM_LOG_FORMAT_HUMAN);
  for (int i = 0; i < 7; i++)
    zm_log_limited (log, ZM_LEVEL_WARNING, "subject", kind, "bad frame %d", i);
  zm_log_flush (log);
  Lines all = lines ();
  ASSERT_EQ (all.size (), 6u);
  EXPECT_NE (all[5].find ("2 lines like this suppressed: bad frame"), std::string::npos);
  zm_log_flush (log);
  EXPECT_EQ (lines ().size (), 6u) << "once";
  zm_log_flush (nullptr);
}

TEST_F (Log, RecentKeepsTheLastWarnings)
{
  open (ZM_LOG_FORMAT_HUMAN);
  g_autofree char *none = zm_log_recent (log);
  EXPECT_STREQ (none, "[]");
  for (int i = 0; i < 70; i++)
    zm_log_write (log, ZM_LEVEL_WARNING, "base", "line %d.", i);
  zm_log_write (log, ZM_LEVEL_INFO, "base", "unimportant");
  g_autofree char *recent = zm_log_recent (log);
  const std::string text = recent;

  EXPECT_TRUE (zm_json_valid (zm_span_text (recent)));
  EXPECT_EQ (text.find ("line 5."), std::string::npos);
  EXPECT_LT (text.find ("line 6."), text.find ("line 69."));
  EXPECT_EQ (text.find ("unimportant"), std::string::npos);
}

void
note_line (ZmLevel level, const char *json, gpointer user)
{
  static_cast<Lines *> (user)->push_back (std::string (zm_level_name (level)) + json);
}

TEST_F (Log, TheTapSeesEveryLine)
{
  Lines tapped;

  open (ZM_LOG_FORMAT_HUMAN);
  zm_log_set_tap (log, note_line, &tapped);
  zm_log_write (log, ZM_LEVEL_INFO, "base", "one");
  zm_log_set_tap (log, nullptr, nullptr);
  zm_log_write (log, ZM_LEVEL_INFO, "base", "two");
  ASSERT_EQ (tapped.size (), 1u);
  EXPECT_EQ (tapped[0].substr (0, 5), "info{");
}

TEST_F (Log, LinesOfThreadsDoNotMix)
{
  std::vector<std::thread> threads;

  open (ZM_LOG_FORMAT_JSON);
  for (int t = 0; t < 4; t++)
    threads.emplace_back ([this] {
      for (int i = 0; i < 500; i++) {
        zm_log_write (log, ZM_LEVEL_WARNING, "base", "line %d", i);
        zm_log_limited (log, ZM_LEVEL_WARNING, "base", "shared kind", "limited");
      }
    });
  for (std::thread &thread : threads)
    thread.join ();
  Lines all = lines ();
  EXPECT_GE (all.size (), 2005u);
  for (const std::string &line : all)
    ASSERT_TRUE (zm_json_valid (zm_span (line.data (), line.size ()))) << line;
}

/* ---- journald ---- */

TEST (LogJournal, FieldsOfTheNativeProtocol)
{
  const char *const some[] = { "message-id", "47\n11", "plugin", nullptr, nullptr };
  ZmLogRecord record = { ZM_LEVEL_ERROR, "worker", "text\nPRIORITY=0", some, 0 };
  g_autofree char *datagram = zm_log_journal (&record);

  EXPECT_STREQ (
      datagram,
      "MESSAGE=worker: text\\x0aPRIORITY=0\nPRIORITY=3\nSYSLOG_IDENTIFIER=zmanagerd\nZM_ROOM=worker\n"
      "ZM_MESSAGE_ID=47\\x0a11\n");
}

TEST (LogJournal, DatagramArrives)
{
  g_autofree char *directory = g_dir_make_tmp ("zm-journal-XXXXXX", nullptr);
  g_autofree char *path = g_build_filename (directory, "socket", nullptr);
  struct sockaddr_un address = {};
  char buffer[64] = {};
  int server = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

  EXPECT_EQ (zm_log_journal_open (path), -1); /* nobody there */
  address.sun_family = AF_UNIX;
  g_strlcpy (address.sun_path, path, sizeof address.sun_path);
  ASSERT_EQ (bind (server, reinterpret_cast<struct sockaddr *> (&address), sizeof address), 0);
  int client = zm_log_journal_open (path);
  ASSERT_GE (client, 0);
  EXPECT_EQ (send (client, "MESSAGE=x\n", 10, MSG_NOSIGNAL), 10);
  struct pollfd waiting = { server, POLLIN, 0 };
  ASSERT_EQ (poll (&waiting, 1, 10000), 1);
  EXPECT_EQ (recv (server, buffer, sizeof buffer, 0), 10);
  close (client);
  close (server);
  unlink (path);
  rmdir (directory);
  EXPECT_EQ (zm_log_journal_open (std::string (200, 'x').c_str ()), -1);
}

TEST (LogJournal, StreamNamesTheDescriptor)
{
  int ends[2];
  struct stat about;

  ASSERT_EQ (pipe (ends), 0);
  fstat (ends[1], &about);
  const std::string right = std::to_string (about.st_dev) + ":" + std::to_string (about.st_ino);
  const std::string wrong = std::to_string (about.st_dev) + ":" + std::to_string (about.st_ino + 1);

  EXPECT_TRUE (zm_log_is_journal (right.c_str (), ends[1]));
  EXPECT_FALSE (zm_log_is_journal (wrong.c_str (), ends[1]));
  EXPECT_FALSE (zm_log_is_journal (nullptr, ends[1]));
  EXPECT_FALSE (zm_log_is_journal ("nonsense", ends[1]));
  close (ends[0]);
  close (ends[1]);
}

TEST (LogHuman, ColoursOnlyWhenAsked)
{
  ZmLogRecord record = { ZM_LEVEL_ERROR, "worker", "text", nullptr, 0 };
  g_autofree char *plain = zm_log_human (&record, FALSE), *colour = zm_log_human (&record, TRUE);

  EXPECT_EQ (strchr (plain, '\033'), nullptr);
  EXPECT_NE (strstr (colour, "\033[1;31merror\033[0m"), nullptr);
}

} // namespace
