/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The room plugin: finding, loading, replacing, letting go; and one bad plugin for each way to be bad. */
#include "config.h"

#include "plugin-fixture.h"
#include "zmanager/store.h"

#include <thread>

/* ---- finding ---- */

TEST_F (PluginTest, NamesFollowThePlaces)
{
  install ("plugins/swap", "hello");
  install ("plugins/swap", "myapp/mycomponent/mycomponent_facade/MyComponent");
  open_registry ();
  const GPtrArray *files = zm_plugins_scan (plugins, problems);

  ASSERT_EQ (files->len, 2u);
  EXPECT_EQ (problems_text (), "");
  EXPECT_NE (zm_plugins_file (plugins, "myapp.mycomponent.mycomponent_facade.MyComponent"), nullptr);
  EXPECT_STREQ (zm_plugins_file (plugins, "hello")->manifest->name, "swap")
      << "the note's name is shown, the file's counts";
  EXPECT_EQ (zm_plugins_file (plugins, "swap"), nullptr);
}

TEST_F (PluginTest, TheFirstDirectoryWins)
{
  install ("plugins/swap", "hello");
  install ("bad-plugins/mylib", "hello", site);
  open_registry ();
  zm_plugins_scan (plugins, problems);

  EXPECT_STREQ (zm_plugins_file (plugins, "hello")->manifest->name, "mylib");
  EXPECT_EQ (zm_problems_warnings (problems), 1u);
  EXPECT_NE (problems_text ().find (site + "/hello.so has the name 'hello'"), std::string::npos)
      << problems_text ();
  load ({ "hello" });
  EXPECT_EQ (call ("hello", "shell"), "there is a shell");
  g_autofree char *json = zm_plugins_json (plugins, "hello");
  EXPECT_NE (strstr (json, "\"shadowed_by\":"), nullptr) << json;
}

TEST_F (PluginTest, FilesBesideAPluginAreFound)
{
  install ("plugins/swap", "hello");
  write_file (directory + "/hello.actions.ini", "[actionmapping]\n?Hello?Greet = hello.greet\n");
  write_file (directory + "/hello.flow", "");
  open_registry ();
  zm_plugins_scan (plugins, problems);

  EXPECT_EQ (zm_plugins_file (plugins, "hello")->actions_file, directory + "/hello.actions.ini");
  EXPECT_EQ (zm_plugins_file (plugins, "hello")->flow_file, directory + "/hello.flow");
  chmod ((directory + "/hello.flow").c_str (), 0666);
  zm_plugins_scan (plugins, problems);
  EXPECT_EQ (zm_plugins_file (plugins, "hello")->flow_file, nullptr);
}

TEST_F (PluginTest, OddNamesAreToldOrPassedOver)
{
  install ("plugins/swap", "has.dot");
  install ("plugins/swap", "has blank");
  install ("plugins/swap", ".hidden");
  install ("plugins/swap", "sub.dir/inside");
  open_registry ();

  EXPECT_EQ (zm_plugins_scan (plugins, problems)->len, 0u);
  EXPECT_EQ (zm_problems_warnings (problems), 2u) << problems_text ();
  EXPECT_NE (problems_text ().find ("'has.dot.so' gives no plugin name"), std::string::npos)
      << problems_text ();
}

TEST_F (PluginTest, WhatOthersMayWriteIsRefused)
{
  install ("plugins/swap", "group");
  install ("plugins/swap", "world");
  install ("plugins/swap", "good");
  install ("plugins/swap", "open/inside");
  chmod ((directory + "/group.so").c_str (), 0664);
  chmod ((directory + "/world.so").c_str (), 0646);
  chmod ((directory + "/open").c_str (), 01777);
  load ({ "group", "world", "good", "open.inside" });

  EXPECT_EQ (current ("group"), nullptr);
  EXPECT_EQ (current ("world"), nullptr);
  EXPECT_NE (current ("good"), nullptr);
  EXPECT_EQ (zm_plugins_file (plugins, "open.inside"), nullptr) << "nothing in such a directory is looked at";
  EXPECT_NE (problems_text ().find ("others may write " + directory + "/group.so (mode 0664); chmod go-w it"),
             std::string::npos)
      << problems_text ();
  EXPECT_NE (problems_text ().find ("others may write " + directory + "/open (mode 1777)"),
             std::string::npos);
  EXPECT_NE (action_error ("world", "greet").find ("others may write"), std::string::npos)
      << action_error ("world", "greet");
}

TEST_F (PluginTest, NoCopyIsMadeWhereOthersMayWrite)
{
  install ("plugins/swap", "hello");
  open_registry (); /* which makes the directory as it should be */
  ASSERT_EQ (chmod ((base + "/copies").c_str (), 0777), 0);
  load ({ "hello" });
  EXPECT_EQ (current ("hello"), nullptr);
  EXPECT_NE (problems_text ().find ("/copies"), std::string::npos) << problems_text ();
}

TEST_F (PluginTest, ForeignOwnersAreRefused)
{
  if (geteuid () != 0)
    GTEST_SKIP () << "only root can give a file away";
  install ("plugins/swap", "foreign");
  ASSERT_EQ (chown ((directory + "/foreign.so").c_str (), 12345, 12345), 0);
  open_registry ();
  zm_plugins_scan (plugins, problems);

  EXPECT_NE (problems_text ().find ("belongs to user 12345"), std::string::npos) << problems_text ();
}

TEST_F (PluginTest, SymbolicLinksAreFollowedToSafeFilesOnly)
{
  std::string open = base + "/open";

  install ("plugins/swap", "real", site);
  ASSERT_EQ (symlink ((site + "/real.so").c_str (), (directory + "/linked.so").c_str ()), 0);
  mkdir (open.c_str (), 0755);
  install ("plugins/swap", "target", open);
  chmod (open.c_str (), 0777);
  ASSERT_EQ (symlink ((open + "/target.so").c_str (), (directory + "/unsafe.so").c_str ()), 0);
  ASSERT_EQ (symlink ("nowhere.so", (directory + "/dangling.so").c_str ()), 0);
  ASSERT_EQ (symlink (".", (directory + "/round").c_str ()), 0);
  load ({ "linked", "unsafe", "dangling" });

  EXPECT_NE (current ("linked"), nullptr) << problems_text ();
  EXPECT_EQ (current ("unsafe"), nullptr);
  EXPECT_EQ (current ("dangling"), nullptr);
  EXPECT_EQ (zm_plugins_file (plugins, "round.linked"), nullptr);
}

TEST_F (PluginTest, WhatIsNoFileIsRefused)
{
  ASSERT_EQ (mkfifo ((directory + "/pipe.so").c_str (), 0644), 0);
  ASSERT_EQ (mkdir ((directory + "/folder.so").c_str (), 0755), 0);
  install_bytes ("#!/bin/sh\n", "script");
  open_registry ();
  zm_plugins_scan (plugins, problems);

  EXPECT_NE (problems_text ().find ("pipe.so is not a plain file"), std::string::npos) << problems_text ();
  EXPECT_NE (problems_text ().find ("not an ELF file"), std::string::npos) << problems_text ();
}

/* ---- loading ---- */

TEST_F (PluginTest, LoadsAndCalls)
{
  install ("plugins/swap", "hello");
  load ({ "hello" });

  ASSERT_EQ (problems_text (), "");
  EXPECT_EQ (call ("hello", "greet"), "hello");
  EXPECT_EQ (told.get ("init"), 1);
  EXPECT_EQ (told.get ("start"), 1);
  EXPECT_EQ (zm_generation_number (current ("hello")), 1u);
  close_registry ();
  EXPECT_EQ (told.get ("stop"), 1);
  EXPECT_EQ (told.get ("fini"), 1);
}

TEST_F (PluginTest, TheDaemonNeverMapsTheInstalledFile)
{
  install ("plugins/swap", "hello");
  load ({ "hello" });

  EXPECT_EQ (read_file ("/proc/self/maps").find (directory), std::string::npos);
  /* Overwritten in place, the way no installer should: the copy does not care. */
  std::ofstream (directory + "/hello.so", std::ios::binary | std::ios::in) << std::string (4096, 'X');
  ASSERT_EQ (truncate ((directory + "/hello.so").c_str (), 0), 0);
  EXPECT_EQ (call ("hello", "greet"), "hello");
  g_autoptr (GDir) copies = g_dir_open ((base + "/copies").c_str (), 0, nullptr);
  EXPECT_EQ (g_dir_read_name (copies), nullptr) << "the copy is unlinked once it is open";
}

/* A daemon that was killed between copying and opening leaves its copy. */
TEST_F (PluginTest, OldCopiesAreSwept)
{
  std::string copies = base + "/copies";

  mkdir (copies.c_str (), 0755);
  write_file (copies + "/hello.1.copy.Ab3dEf", "old");
  write_file (copies + "/precious", "not ours");
  open_registry ();
  EXPECT_NE (access ((copies + "/hello.1.copy.Ab3dEf").c_str (), F_OK), 0);
  EXPECT_EQ (access ((copies + "/precious").c_str (), F_OK), 0);
  struct stat st;
  ASSERT_EQ (stat (copies.c_str (), &st), 0);
  EXPECT_EQ (st.st_mode & 0777, 0700u) << "nobody else may look in";
}

TEST_F (PluginTest, ActionsKnowTheirKind)
{
  install ("plugins/swap", "hello");
  load ({ "hello" });
  ZmPluginSet *set = zm_plugins_current (plugins);

  EXPECT_TRUE (zm_plugin_set_action (set, "hello", "greet", nullptr)->threadsafe);
  EXPECT_FALSE (zm_plugin_set_action (set, "hello", "serial", nullptr)->threadsafe);
  EXPECT_TRUE (zm_plugin_set_action (set, "hello", "quiet", nullptr)->threadsafe)
      << "of the descriptor, not exported";
  zm_plugin_set_unref (set);
}

TEST_F (PluginTest, OnlyItsOwnMarkedSymbolsAreActions)
{
  install ("bad-plugins/mylib", "mylib");
  load ({ "mylib" });

  EXPECT_EQ (action_error ("mylib", "shell"), "");
  EXPECT_EQ (action_error ("mylib", "system"),
             "plugin 'mylib' has no action 'system' (an action is defined in the plugin itself "
             "with ZM_ACTION)");
  EXPECT_NE (action_error ("mylib", "helper"), "") << "exported, and not marked";
  EXPECT_NE (action_error ("mylib", "zm_plugin_query_1"), "");
  EXPECT_NE (action_error ("mylib", "shel").find ("did you mean 'shell'?"), std::string::npos)
      << action_error ("mylib", "shel");
  EXPECT_EQ (action_error ("mylip", "shell"),
             "plugin 'mylip' is not in the plugin path; did you mean 'mylib'?");
}

/* Notes alone give the words that a loaded set gives. */
TEST_F (PluginTest, ActionsAreJudgedByNotesInTheSameWords)
{
  install ("bad-plugins/mylib", "mylib");
  install_bytes ("no library", "broken");
  load ({ "mylib" });
  const struct {
    const char *plugin, *symbol;
  } table[] = { { "mylib", "shell" }, { "mylib", "shel" }, { "mylib", "helper" }, { "mylip", "shell" } };

  for (const auto &row : table) {
    g_autoptr (GError) error = nullptr;

    bool good = zm_plugins_check_action (plugins, row.plugin, row.symbol, &error);

    EXPECT_EQ (good, error == nullptr);
    EXPECT_EQ (error != nullptr ? error->message : "", action_error (row.plugin, row.symbol));
  }
  g_autoptr (GError) error = nullptr;
  EXPECT_FALSE (zm_plugins_check_name (plugins, "broken", &error));
  EXPECT_EQ (std::string (error->message).find ("plugin 'broken' is not loaded: refused: "), 0u)
      << error->message;
}

TEST_F (PluginTest, ADescriptionIsAskedOfAnotherProcess)
{
  install ("plugins/options", "options");
  g_autoptr (GError) error = nullptr;
  g_autoptr (ZmDescription) told =
      zm_description_ask (probe.c_str (), (directory + "/options.so").c_str (), 5000, &error);

  ASSERT_NE (told, nullptr) << error->message;
  EXPECT_STREQ (told->options[0].name, "where");
  EXPECT_EQ (told->options[0].flags, (guint32) ZM_OPTION_REQUIRED);
  EXPECT_EQ (told->options[0].standard, nullptr);
  EXPECT_STREQ (told->options[0].doc, "Where to");
  EXPECT_STREQ (told->options[1].name, "size");
  EXPECT_EQ (told->options[1].type, (guint32) ZM_OPTION_INTEGER);
  EXPECT_STREQ (told->options[1].standard, "7");
  EXPECT_EQ (told->options[2].flags, (guint32) ZM_OPTION_LIST);
  EXPECT_EQ (told->options[3].name, nullptr);
  EXPECT_EQ (count_maps ("options.so"), 0u) << "it was opened here";
  install ("plugins/swap", "swap");
  g_autoptr (ZmDescription) swap =
      zm_description_ask (probe.c_str (), (directory + "/swap.so").c_str (), 5000, &error);
  ASSERT_NE (swap, nullptr) << error->message;
  EXPECT_TRUE (g_strv_contains (swap->actions, "quiet")) << "of the descriptor, not exported";
}

TEST_F (PluginTest, WhatCannotDescribeItselfSaysWhy)
{
  const struct {
    const char *built, *why;
    int code;
  } table[] = {
    { "bad-plugins/crash-constructor", "it crashed in its constructor", ZM_ERROR_REFUSED },
    { "bad-plugins/crash-query", "it crashed in its query function", ZM_ERROR_REFUSED },
    { "bad-plugins/no-descriptor", "its query function gave no descriptor", ZM_ERROR_REFUSED },
    { "bad-plugins/hang-constructor", "did not end within 500 ms", ZM_ERROR_REFUSED },
    { "plugins/endless-options", "its options table is damaged at entry 1", ZM_ERROR_REFUSED },
  };

  for (const auto &row : table) {
    g_autoptr (GError) error = nullptr;
    std::string file = built_plugin (row.built);

    EXPECT_EQ (zm_description_ask (probe.c_str (), file.c_str (), 500, &error), nullptr) << row.built;
    ASSERT_NE (error, nullptr) << row.built;
    EXPECT_EQ (error->code, row.code) << row.built;
    EXPECT_NE (strstr (error->message, row.why), nullptr) << row.built << ": " << error->message;
  }
  /* valgrind's posix_spawn does not tell that a program cannot be run. */
  if (g_getenv ("ZM_TEST_VALGRIND") != nullptr)
    return;
  g_autoptr (GError) error = nullptr;
  EXPECT_EQ (zm_description_ask ((base + "/none").c_str (), "x.so", 500, &error), nullptr);
  EXPECT_TRUE (g_error_matches (error, ZM_ERROR, ZM_ERROR_IO)) << error->message;
}

TEST_F (PluginTest, WhatNobodyNamesIsAvailable)
{
  install ("plugins/swap", "hello");
  install ("bad-plugins/mylib", "mylib");
  load ({ "hello" });
  g_autofree char *json = zm_plugins_json (plugins, nullptr);

  EXPECT_TRUE (zm_json_valid (zm_span_text (json))) << json;
  EXPECT_NE (strstr (json, "\"state\":\"available\""), nullptr) << json;
  EXPECT_NE (strstr (json, "\"use\":\"?mylib?shell = mylib.shell\""), nullptr) << json;
  EXPECT_EQ (action_error ("mylib", "shell"),
             "plugin 'mylib' is not loaded: nothing names it; add [plugin mylib] load=yes");
}

TEST_F (PluginTest, DependenciesDecideTheOrder)
{
  install ("plugins/swap", "swap");
  install ("plugins/needs-swap", "a-needs-it");
  load ({ "a-needs-it" });
  ZmPluginSet *set = zm_plugins_current (plugins);

  ASSERT_EQ (zm_plugin_set_size (set), 2u) << problems_text ();
  EXPECT_STREQ (zm_generation_name (zm_plugin_set_nth (set, 0)), "swap");
  EXPECT_STREQ (zm_generation_name (zm_plugin_set_nth (set, 1)), "a-needs-it");
  EXPECT_EQ (zm_plugin_set_nth (set, 2), nullptr);
  zm_plugin_set_unref (set);
}

TEST_F (PluginTest, CirclesAndMissingOnesAreNamed)
{
  install ("plugins/swap", "swap");
  install ("plugins/circle-a", "circle-a");
  install ("plugins/circle-b", "circle-b");
  install ("plugins/needs-nobody", "needs-nobody");
  load ({ "circle-a", "needs-nobody", "swap", "swop" });

  EXPECT_NE (
      problems_text ().find ("plugin 'circle-a' depends on itself: circle-a needs circle-b needs circle-a"),
      std::string::npos)
      << problems_text ();
  EXPECT_NE (problems_text ().find ("plugin 'needs-nobody' needs 'nobody', which is not in the plugin path"),
             std::string::npos)
      << problems_text ();
  EXPECT_NE (problems_text ().find ("plugin 'swop' is not in the plugin path; did you mean swap?"),
             std::string::npos)
      << problems_text ();
  EXPECT_NE (current ("swap"), nullptr) << "the others go on";
  EXPECT_EQ (current ("circle-b"), nullptr);
}

TEST_F (PluginTest, WhatDependsOnAFailedOneIsNotLoaded)
{
  install ("bad-plugins/fail-start", "swap");
  install ("plugins/needs-swap", "needs-swap");
  load ({ "needs-swap" });

  EXPECT_EQ (current ("needs-swap"), nullptr);
  EXPECT_NE (problems_text ().find ("it needs 'swap', which is not loaded (its start failed with -8"),
             std::string::npos)
      << problems_text ();
}

/* ---- its section ---- */

TEST_F (PluginTest, OptionsAreCheckedBeforeInit)
{
  install ("plugins/options", "hello");
  load ({ "hello" });
  EXPECT_EQ (current ("hello"), nullptr);
  EXPECT_NE (problems_text ().find ("[plugin hello] lacks where"), std::string::npos) << problems_text ();

  settings = { "plugin hello.where=there", "plugin hello.sise=3" };
  load ({ "hello" });
  EXPECT_EQ (current ("hello"), nullptr);
  EXPECT_NE (problems_text ().find ("size"), std::string::npos) << problems_text ();

  settings = { "plugin hello.where=there", "plugin hello.peer=a b" };
  load ({ "hello" });
  ASSERT_NE (current ("hello"), nullptr) << problems_text ();
  const zm_host *host = zm_generation_host (current ("hello"));
  EXPECT_STREQ (host->config (host, "where", 0), "there");
  EXPECT_STREQ (host->config (host, "size", 0), "7") << "the default";
  EXPECT_EQ (host->config (host, "size", 1), nullptr);
  EXPECT_EQ (host->config (host, "unknown", 0), nullptr);
}

TEST_F (PluginTest, AChangedSectionReachesTheRunningOne)
{
  install ("plugins/options", "hello");
  settings = { "plugin hello.where=here" };
  load ({ "hello" });
  ZmGeneration *before = current ("hello");
  const zm_host *host = zm_generation_host (before);
  const char *old_value = host->config (host, "where", 0);

  settings = { "plugin hello.where=there", "plugin hello.priority=7" };
  ZmPluginSet *set = prepare ({ "hello" });
  EXPECT_STREQ (host->config (host, "where", 0), "here") << "not before the commit";
  ASSERT_EQ (zm_plugin_set_reloads (set)->len, 1u);
  EXPECT_EQ (g_ptr_array_index (zm_plugin_set_reloads (set), 0), before) << "it has reload, so it stays";
  zm_plugins_commit (plugins, set);
  EXPECT_STREQ (host->config (host, "where", 0), "there");
  EXPECT_STREQ (old_value, "here") << "what was handed out stays valid until the next reload";
  EXPECT_EQ (zm_generation_priority (before), 7);
}

/* A plugin's threads ask for values while reloads take the configuration from under them. */
TEST_F (PluginTest, ValuesAreAskedForDuringReloads)
{
  settings = { "plugin hello.where=0" };
  install ("plugins/options", "hello");
  load ({ "hello" });
  const zm_host *host = zm_generation_host (current ("hello"));
  std::atomic<bool> stop{ false };
  std::atomic<guint> missing{ 0 }, asked{ 0 };
  std::vector<std::thread> askers;

  for (int i = 0; i < 4; i++)
    askers.emplace_back ([&] {
      while (!stop) {
        missing += host->config (host, "where", 0) == nullptr;
        asked++;
      }
    });
  for (int i = 1; i <= 200; i++) {
    settings = { "plugin hello.where=" + std::to_string (i) };
    load ({ "hello" });
  }
  EXPECT_TRUE (eventually ([&] { return asked > 1000; }));
  stop = true;
  for (auto &asker : askers)
    asker.join ();
  EXPECT_EQ (missing, 0u);
  EXPECT_EQ (zm_generation_number (current ("hello")), 1u) << "it has reload, so it stays";
  EXPECT_STREQ (host->config (host, "where", 0), "200");
}

TEST_F (PluginTest, AChangedSectionReplacesOneWithoutReload)
{
  install ("plugins/swap", "hello");
  load ({ "hello" });
  settings = { "plugin hello.priority=3" };
  load ({ "hello" });

  EXPECT_EQ (zm_generation_number (current ("hello")), 2u) << problems_text ();
  load ({ "hello" });
  EXPECT_EQ (zm_generation_number (current ("hello")), 2u) << "nothing changed";
}

/* ---- choosing ---- */

TEST_F (PluginTest, ChoosesFromASet)
{
  settings = { "plugin b.priority=10", "plugin c.priority=5" };
  install ("plugins/hooks", "a");
  install ("plugins/hooks", "b");
  install ("plugins/hooks", "c");
  install ("plugins/swap", "d");
  load ({ "a", "b", "c", "d" });
  ZmPluginSet *set = zm_plugins_current (plugins);
  std::vector<std::string> missing;
  const char *names[] = { "d", "nobody", "a", nullptr };
  auto note = [] (const char *name, gpointer user) {
    static_cast<std::vector<std::string> *> (user)->push_back (name);
  };
  auto says_swap = [] (ZmGeneration *g, gpointer) {
    return static_cast<gboolean> (strcmp (zm_generation_manifest (g)->name, "swap") == 0);
  };

  g_autoptr (GPtrArray) named = zm_plugin_set_named (set, names, note, &missing);
  ASSERT_EQ (named->len, 2u) << problems_text ();
  EXPECT_STREQ (zm_generation_name (static_cast<ZmGeneration *> (g_ptr_array_index (named, 0))), "d");
  EXPECT_EQ (missing, std::vector<std::string>{ "nobody" });
  g_autoptr (GPtrArray) enabled = zm_plugin_set_enabled (set, says_swap, nullptr);
  ASSERT_EQ (enabled->len, 1u);
  g_autoptr (GPtrArray) hooks = zm_plugin_set_hooks (set);
  ASSERT_EQ (hooks->len, 3u);
  EXPECT_STREQ (zm_generation_name (static_cast<ZmGeneration *> (g_ptr_array_index (hooks, 0))), "c");
  EXPECT_STREQ (zm_generation_name (static_cast<ZmGeneration *> (g_ptr_array_index (hooks, 1))), "b");
  EXPECT_STREQ (zm_generation_name (static_cast<ZmGeneration *> (g_ptr_array_index (hooks, 2))), "a");
  zm_plugin_set_unref (set);
}

/* ---- other versions of the contract ---- */

TEST_F (PluginTest, OlderAndNewerMinorVersionsLoad)
{
  install ("plugins/old-minor", "old");
  install ("plugins/new-minor", "new");
  load ({ "old", "new" });

  ASSERT_EQ (problems_text (), "");
  EXPECT_EQ (call ("old", "greet"), "hello");
  EXPECT_EQ (call ("new", "greet"), "hello");
  EXPECT_EQ (zm_generation_descriptor (current ("old"))->init, nullptr) << "beyond what the plugin states";
  EXPECT_EQ (zm_generation_descriptor (current ("old"))->hooks, nullptr);
  EXPECT_EQ (zm_generation_descriptor (current ("new"))->struct_size, sizeof (zm_plugin_desc));
  EXPECT_STREQ (zm_generation_manifest (current ("new"))->unknown[0], "colour=blue");
}

/* The header of the first version is kept with the tests, so that this is what a plugin of that time is. */
TEST_F (PluginTest, OneBuiltAgainstTheFirstVersionLoads)
{
  install ("plugins/abi-first", "first");
  load ({ "first" });

  ASSERT_EQ (problems_text (), "");
  EXPECT_EQ (call ("first", "greet"), "hello");
  EXPECT_NE (zm_generation_descriptor (current ("first"))->hooks, nullptr);
  EXPECT_EQ (zm_generation_store (current ("first")), nullptr) << "beyond what it knows";
  EXPECT_EQ (zm_generation_manifest (current ("first"))->abi_minor, 0u);
}

/* ---- stores ---- */

TEST_F (PluginTest, AStoreHasItsFunctions)
{
  install ("plugins/store", "shelf");
  install ("plugins/swap", "hello");
  load ({ "shelf", "hello" });

  ASSERT_EQ (problems_text (), "");
  const zm_store_ops *store = zm_generation_store (current ("shelf"));
  ASSERT_NE (store, nullptr);
  EXPECT_EQ (store->struct_size, sizeof (zm_store_ops));
  EXPECT_NE (store->last, nullptr);
  EXPECT_EQ (store->check, nullptr);
  EXPECT_STREQ (zm_generation_manifest (current ("shelf"))->kind, "store");
  EXPECT_EQ (zm_generation_store (current ("hello")), nullptr);
}

TEST_F (PluginTest, AStoreWithoutAFunctionIsRefused)
{
  install ("plugins/short-store", "shelf");
  load ({ "shelf" });
  EXPECT_EQ (current ("shelf"), nullptr);
  EXPECT_NE (problems_text ().find ("its store needs all functions but check and backup"), std::string::npos)
      << problems_text ();
}

/* ---- replacing ---- */

TEST_F (PluginTest, ACallKeepsTheOldGeneration)
{
  install ("plugins/swap", "hello");
  load ({ "hello" });
  ZmGeneration *old = zm_generation_ref (current ("hello"), "deferred call");

  zm_generation_ref (old, "deferred call");
  install ("plugins/swap", "hello");
  load ({ "hello" });
  EXPECT_EQ (zm_generation_number (current ("hello")), 2u);
  EXPECT_TRUE (zm_generation_retired (old));
  EXPECT_EQ (told.get ("retired hello"), 1) << "the rooms above are told";
  EXPECT_TRUE (eventually ([&] { return told.get ("stop") == 1; })) << "stop comes at unpublishing";
  EXPECT_EQ (held (), "hello generation 1: held by deferred call (2)");
  EXPECT_EQ (told.get ("fini"), 0);
  zm_generation_unref (old, "deferred call");
  EXPECT_EQ (held (), "hello generation 1: held by deferred call (1)");
  zm_generation_unref (old, "deferred call");
  EXPECT_TRUE (eventually ([&] { return told.get ("fini") == 1 && held ().empty (); }));
}

TEST_F (PluginTest, AFailingNewOneLeavesTheOldRunning)
{
  install ("plugins/swap", "hello");
  load ({ "hello" });
  install ("bad-plugins/fail-start", "hello");
  load ({ "hello" });

  EXPECT_NE (
      problems_text ().find ("its start failed with -8 (ZM_E_FAILED); generation 1 of it goes on running"),
      std::string::npos)
      << problems_text ();
  EXPECT_EQ (call ("hello", "greet"), "hello");
  EXPECT_EQ (told.get ("stop"), 0);
  g_remove ((directory + "/hello.so").c_str ());
  load ({ "hello" });
  EXPECT_EQ (call ("hello", "greet"), "hello") << "also where the file is gone";
  load ({});
  EXPECT_TRUE (eventually ([&] { return told.get ("fini") == 1; })) << "nobody wants it any more";
}

TEST_F (PluginTest, DiscardChangesNothing)
{
  install ("plugins/swap", "hello");
  load ({ "hello" });
  ZmPluginSet *set = prepare ({ "hello" }, { "hello" });

  EXPECT_EQ (told.get ("start"), 2);
  int before = told.get ("retired hello");
  zm_plugins_discard (plugins, set);
  EXPECT_EQ (told.get ("retired hello"), before + 1) << "its start may have begun timers";
  EXPECT_EQ (zm_generation_number (current ("hello")), 1u);
  EXPECT_TRUE (eventually ([&] { return told.get ("fini") == 1 && held ().empty (); }));
  EXPECT_EQ (told.get ("stop"), 1);
}

TEST_F (PluginTest, ExclusiveOnesTakeTurns)
{
  g_autofree char *name = g_strdup_printf ("zm-test-%d", getpid ());

  g_setenv ("ZM_TEST_NAME", name, TRUE);
  install ("plugins/exclusive", "hello");
  load ({ "hello" });
  load ({ "hello" }, { "hello" });
  ASSERT_EQ (problems_text (), "");
  EXPECT_EQ (zm_generation_number (current ("hello")), 2u);

  /* The new one fails: the old one is started again, so that a third cannot have the name. */
  g_setenv ("ZM_TEST_FAIL", "yes", TRUE);
  zm_plugins_commit (plugins, prepare ({ "hello" }, { "hello" }));
  EXPECT_EQ (zm_generation_number (current ("hello")), 2u);
  EXPECT_EQ (zm_problems_errors (problems), 1u) << problems_text ();

  /* Prepared, then thrown away: the same. */
  zm_plugins_discard (plugins, prepare ({ "hello" }, { "hello" }));
  EXPECT_EQ (problems_text (), "");
  load ({ "hello" }, { "hello" });
  EXPECT_EQ (problems_text (), "");
  g_unsetenv ("ZM_TEST_NAME");
}

TEST_F (PluginTest, ResidentOnesAreNotReplaced)
{
  for (const char *name : { "gtype", "gtype-resident" }) {
    install (std::string ("bad-plugins/") + name, name);
    load ({ name });
    ASSERT_NE (current (name), nullptr) << problems_text ();
    EXPECT_TRUE (zm_generation_flags (current (name)) & ZM_PLUGIN_RESIDENT);
    EXPECT_EQ (call (name, "greet"), "hello");
    load ({ name }, { name });
    EXPECT_EQ (zm_generation_number (current (name)), 1u);
    EXPECT_NE (problems_text ().find ("cannot be replaced while the daemon runs; restart it"),
               std::string::npos)
        << problems_text ();
  }
  close_registry ();
  EXPECT_NE (read_file ("/proc/self/maps").find ("/copies/gtype"), std::string::npos)
      << "it is never unmapped";
}

TEST_F (PluginTest, NoDlcloseLeavesTheCode)
{
  no_dlclose = true;
  install ("plugins/swap", "hello");
  load ({ "hello" });
  load ({}, {});
  EXPECT_TRUE (eventually ([&] { return told.get ("fini") == 1; }));
  close_registry ();
  EXPECT_NE (read_file ("/proc/self/maps").find (base + "/copies/hello"), std::string::npos);
}

TEST_F (PluginTest, AttachmentsGoBeforeFini)
{
  install ("plugins/swap", "hello");
  load ({ "hello" });
  auto make = [] (ZmGeneration *, gpointer user) { return user; };
  auto drop = [] (gpointer user) {
    Told *told = static_cast<Told *> (user);
    double finished = told->get ("fini");
    std::lock_guard<std::mutex> guard (told->lock);

    told->metrics["dropped before fini"] = finished == 0;
  };

  EXPECT_EQ (zm_generation_attachment (current ("hello"), make, drop, &told), &told);
  EXPECT_EQ (zm_generation_attachment (current ("hello"), nullptr, nullptr, nullptr), &told) << "made once";
  load ({});
  EXPECT_TRUE (eventually ([&] { return told.get ("fini") == 1; }));
  EXPECT_EQ (told.get ("dropped before fini"), 1);
}

TEST_F (PluginTest, ThreadsAreWokenAndJoined)
{
  install ("plugins/threaded", "hello");
  load ({ "hello" });
  EXPECT_TRUE (eventually ([&] { return told.get ("running") == 1; })) << problems_text ();
  load ({});
  EXPECT_TRUE (eventually ([&] { return told.get ("ended") == 1 && held ().empty (); }));
  close_registry ();
  EXPECT_EQ (read_file ("/proc/self/maps").find (base + "/copies/hello"), std::string::npos);
}

/* 1,000 swaps, while four threads call the action that is current: nothing is left behind. */
TEST_F (PluginTest, AThousandSwapsLeaveNothing)
{
  const guint swaps = 1000;
  std::atomic<bool> stop{ false };
  std::atomic<guint64> calls{ 0 };
  std::vector<std::thread> callers;
  std::mutex lock; /* zm_plugins_current is for one thread: the runtime hands sets out */
  ZmPluginSet *set;

  install ("plugins/swap", "hello");
  load ({ "hello" });
  set = zm_plugins_current (plugins);
  guint files = count_entries ("/proc/self/fd"), maps = count_maps (base + "/copies");
  for (int i = 0; i < 4; i++)
    callers.emplace_back ([&] {
      while (!stop) {
        lock.lock ();
        ZmPluginSet *mine = zm_plugin_set_ref (set);
        lock.unlock ();
        const ZmAction *action = zm_plugin_set_action (mine, "hello", "quiet", nullptr);
        zm_call call = {};

        zm_generation_ref (action->generation, "deferred call");
        zm_plugin_set_unref (mine);
        calls += action->fn (&call) == ZM_OK;
        zm_generation_unref (action->generation, "deferred call");
        g_usleep (50);
      }
    });
  for (guint i = 0; i < swaps; i++) {
    ZmPluginSet *next = prepare ({ "hello" }, { "hello" }), *old = set;

    zm_plugins_commit (plugins, next);
    lock.lock ();
    set = zm_plugin_set_ref (next);
    lock.unlock ();
    zm_plugin_set_unref (old);
    ASSERT_EQ (zm_problems_errors (problems), 0u) << problems_text ();
  }
  stop = true;
  for (auto &caller : callers)
    caller.join ();
  zm_plugin_set_unref (set);

  EXPECT_TRUE (eventually ([&] {
    return told.get ("fini") == swaps && count_maps (base + "/copies") == maps;
  })) << told.get ("fini")
      << " " << count_maps (base + "/copies") << " mappings, at first " << maps << "\n"
      << held ();
  EXPECT_EQ (told.get ("start"), swaps + 1);
  EXPECT_EQ (told.get ("stop"), swaps);
  EXPECT_EQ (zm_generation_number (current ("hello")), swaps + 1);
  EXPECT_LE (count_entries ("/proc/self/fd"), files);
  EXPECT_GT (calls, 0u);
  std::cout << "calls during " << swaps << " swaps: " << calls << "\n";
}
