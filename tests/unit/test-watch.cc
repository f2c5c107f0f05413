/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The room config: watching directories, with the real inotify. Waits end at a deadline, never after a fixed time. */
#include "config.h"

#include "config-helper.h"

#include "config/zm-watch.h"

#include <unistd.h>

#include <algorithm>

namespace {

class Watching : public Directory {
protected:
  void
  SetUp () override
  {
    Directory::SetUp ();
    context = g_main_context_new ();
    watch = zm_watch_new (context, told, this, nullptr);
    ASSERT_NE (watch, nullptr);
  }

  void
  TearDown () override
  {
    zm_watch_free (watch);
    g_main_context_unref (context);
    Directory::TearDown ();
  }

  static void
  told (const char *directory, gpointer user)
  {
    static_cast<Watching *> (user)->changes.push_back (directory);
  }

  static gboolean
  late (gpointer user)
  {
    *static_cast<bool *> (user) = true;
    return G_SOURCE_REMOVE;
  }

  /* Runs the loop until something was told, or for so long; what was told. */
  std::vector<std::string>
  wait (guint most_ms = 10000)
  {
    bool over = false;
    GSource *timer = g_timeout_source_new (most_ms);

    g_source_set_callback (timer, late, &over, nullptr);
    g_source_attach (timer, context);
    while (changes.empty () && !over)
      g_main_context_iteration (context, TRUE);
    g_source_destroy (timer);
    g_source_unref (timer);
    std::sort (changes.begin (), changes.end ());
    return std::move (changes);
  }

  void
  add (const std::string &directory, bool recursive = false)
  {
    g_autoptr (GError) error = nullptr;

    EXPECT_TRUE (zm_watch_add (watch, directory.c_str (), recursive, &error)) << error->message;
  }

  using List = std::vector<std::string>;
  GMainContext *context = nullptr;
  ZmWatch *watch = nullptr;
  List changes;
};

TEST_F (Watching, ManyWritesAreOneChange)
{
  write ("a", "");
  add (path);
  for (int i = 0; i < 20; i++)
    write ("file" + std::to_string (i), "x");
  EXPECT_EQ (wait (), List{ path });
  EXPECT_EQ (wait (600), List{}) << "told twice";
}

TEST_F (Watching, OneNameIsTheOnlyChangeWhereItAloneWasAskedFor)
{
  g_autoptr (GError) error = NULL;
  ASSERT_TRUE (zm_watch_add_name (watch, path.c_str (), "zmanager.conf", &error)) << error->message;
  write ("log", "x");
  EXPECT_EQ (wait (600), List{});
  write ("zmanager.conf", "x");
  EXPECT_EQ (wait (), List{ path });
}

TEST_F (Watching, AllIsWantedWhereAnybodyWantsAll)
{
  ASSERT_TRUE (zm_watch_add_name (watch, path.c_str (), "zmanager.conf", nullptr));
  add (path);
  ASSERT_TRUE (zm_watch_add_name (watch, path.c_str (), "zmanager.conf", nullptr));
  write ("echo.so", "x");
  EXPECT_EQ (wait (), List{ path });
}

TEST_F (Watching, RemovalAndMoveInAreChanges)
{
  std::string file = write ("a.conf", "x");

  add (path);
  g_remove (file.c_str ());
  EXPECT_EQ (wait (), List{ path });
  write ("sub/b.conf", "x");
  EXPECT_EQ (wait (), List{ path });
  g_rename ((path + "/sub/b.conf").c_str (), (path + "/b.conf").c_str ());
  EXPECT_EQ (wait (), List{ path });
}

TEST_F (Watching, AFileIsAChangeOnceItIsClosed)
{
  add (path);
  FILE *file = g_fopen ((path + "/plugin.so").c_str (), "w");
  fputs ("half", file);
  fflush (file);
  EXPECT_EQ (wait (600), List{});
  fclose (file);
  EXPECT_EQ (wait (), List{ path });
}

TEST_F (Watching, LinksAreChangesWhenTheyAreMade)
{
  write ("other/file", "x");
  add (path);
  ASSERT_EQ (symlink ("other/file", (path + "/soft").c_str ()), 0);
  EXPECT_EQ (wait (), List{ path });
  ASSERT_EQ (link ((path + "/other/file").c_str (), (path + "/hard").c_str ()), 0);
  EXPECT_EQ (wait (), List{ path });
}

TEST_F (Watching, HiddenAndBackupFilesAreNoChange)
{
  add (path);
  /* Written in place: g_file_set_contents would move it in from another name. */
  for (const char *name : { "/.a.swp", "/a.conf~" })
    fclose (g_fopen ((path + name).c_str (), "w"));
  EXPECT_EQ (wait (600), List{});
}

TEST_F (Watching, OfTwoDirectoriesTheRightOneIsNamed)
{
  write ("one/x", "");
  write ("two/x", "");
  add (path + "/one");
  add (path + "/two/");
  write ("two/y", "");
  EXPECT_EQ (wait (), List{ path + "/two" });
  write ("one/y", "");
  write ("two/z", "");
  EXPECT_EQ (wait (), (List{ path + "/one", path + "/two" }));
}

TEST_F (Watching, BelowIsSeenWhereAskedFor)
{
  write ("flat/sub/x", "");
  write ("deep/sub/x", "");
  add (path + "/flat");
  add (path + "/deep", true);
  write ("flat/sub/y", "");
  EXPECT_EQ (wait (600), List{});
  write ("deep/sub/y", "");
  EXPECT_EQ (wait (), List{ path + "/deep" });
}

TEST_F (Watching, NewDirectoriesBelowAreWatchedToo)
{
  write ("x", "");
  add (path, true);
  g_mkdir ((path + "/new").c_str (), 0700);
  EXPECT_EQ (wait (), List{ path });
  write ("new/file", "x");
  EXPECT_EQ (wait (), List{ path });
  g_mkdir_with_parents ((path + "/new/er/est").c_str (), 0700);
  EXPECT_EQ (wait (), List{ path });
  write ("new/er/est/file", "x");
  EXPECT_EQ (wait (), List{ path });
}

TEST_F (Watching, OneThatIsNotThereIsWaitedFor)
{
  std::string wanted = path + "/later/conf.d";

  add (wanted);
  EXPECT_EQ (wait (400), List{});
  write ("later/conf.d/a.conf", "x");
  EXPECT_EQ (wait (), List{ wanted });
  write ("later/conf.d/b.conf", "x");
  EXPECT_EQ (wait (), List{ wanted });
}

TEST_F (Watching, OneThatGoesAndComesBackIsWatchedAgain)
{
  std::string wanted = path + "/conf.d";

  write ("conf.d/a", "x");
  add (wanted);
  clean (wanted);
  EXPECT_EQ (wait (), List{ wanted });
  write ("conf.d/a", "x");
  EXPECT_EQ (wait (), List{ wanted });
  write ("conf.d/b", "x");
  EXPECT_EQ (wait (), List{ wanted });
}

TEST_F (Watching, AFileIsRefused)
{
  std::string file = write ("a", "x");
  g_autoptr (GError) error = nullptr;

  EXPECT_FALSE (zm_watch_add (watch, file.c_str (), FALSE, &error));
  EXPECT_EQ (error->message, "cannot watch " + file + ": it is no directory; name the one it is in");
}

TEST_F (Watching, IsBounded)
{
  g_autoptr (GError) error = nullptr;

  for (int i = 0; i < 300; i++)
    g_mkdir ((path + "/" + std::to_string (i)).c_str (), 0700);
  for (int i = 0; i < 256; i++)
    add (path + "/" + std::to_string (i));
  EXPECT_FALSE (zm_watch_add (watch, (path + "/299").c_str (), FALSE, &error));
  EXPECT_EQ (error->message,
             "cannot watch " + path +
                 "/299: 256 directories are watched already; use fewer or leave recursion out");
}

} // namespace
