/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The room plugin: one bad plugin for each way to be bad, and what the others and the daemon see of it. */
#include "config.h"

#include "plugin-fixture.h"
#include "sanitizers.h"

#include <algorithm>
#include <elf.h>
#include <link.h>

/* ---- one for each way to be bad ---- */

struct BadPlugin {
  const char *name;
  const char *why; /* part of the reason that people read */
};

class BadPluginTest : public PluginTest, public testing::WithParamInterface<BadPlugin> {};

TEST_P (BadPluginTest, IsRefusedWithTheReason)
{
  call_ms = 1000;
  install (std::string ("bad-plugins/") + GetParam ().name, "bad");
  install ("plugins/swap", "good");
  load ({ "bad", "good" });

  EXPECT_EQ (current ("bad"), nullptr);
  EXPECT_NE (current ("good"), nullptr) << "the others go on";
  EXPECT_NE (problems_text ().find (GetParam ().why), std::string::npos) << problems_text ();
  EXPECT_NE (action_error ("bad", "greet").find (GetParam ().why), std::string::npos)
      << action_error ("bad", "greet");
  g_autofree char *json = zm_plugins_json (plugins, "bad");
  EXPECT_TRUE (zm_json_valid (zm_span_text (json))) << json;
  EXPECT_NE (strstr (json, "\"reason\":"), nullptr) << json;
}

static const BadPlugin bad_plugins[] = {
  { "wrong-abi",
    "built for plugin ABI 99.1, this is 1.1; build it again with this version's zmanager/plugin.h" },
  { "no-note", "no note of zmanager's" },
  { "no-manifest", "it has actions, but no ZM_PLUGIN (…) line; add one" },
  { "missing-symbol", "action 'ghost' cannot be used: it exports no symbol 'ghost'" },
  { "undefined-symbol", "undefined symbol: nobody_has_this" },
  { "crash-constructor", "it crashed in its constructor (signal 11" },
  { "abort-constructor", "it crashed in its constructor (signal 6" },
  /* ThreadSanitizer gives an exit within a constructor a status of its own. */
  { "exit-constructor", under_tsan ? "its constructor ended the whole process (exit status "
                                   : "its constructor ended the whole process (exit status 0)" },
  { "hang-constructor", "its constructor did not end within 1000 ms" },
  { "crash-query", "it crashed in its query function (signal 11" },
  { "no-descriptor", "its query function gave no descriptor" },
  { "crash-init", "it crashed in its init (signal 11" },
  { "fail-init", "its init failed with -8" },
  { "hang-init", "its init did not end within 1000 ms" },
  { "fail-start", "its start failed with -8" },
  { "crash-destructor", "it crashed in its destructor (signal 11" },
  { "libc-name", "its action 'system' is named like a function of libc" },
  { "foreign-action", "its action 'run' is a function of another library" },
  { "data-action", "its symbol 'number' is not a function" },
};

INSTANTIATE_TEST_SUITE_P (EachWay, BadPluginTest, testing::ValuesIn (bad_plugins),
                          [] (const testing::TestParamInfo<BadPlugin> &info) {
                            std::string name = info.param.name;

                            for (char &c : name)
                              c = c == '-' ? '_' : c;
                            return name;
                          });

TEST_F (PluginTest, TruncatedOnesAreRefused)
{
  std::string bytes = read_file (built_plugin ("plugins/swap"));

  /* What stands behind the segments, such as what debuggers read, may be missing. */
  for (double part : { 0.0, 0.001, 0.01, 0.1, 0.2, 0.3 })
    install_bytes (bytes.substr (0, std::max<size_t> (1, static_cast<size_t> (bytes.size () * part))),
                   "cut" + std::to_string (static_cast<int> (part * 1000)));
  open_registry ();
  const GPtrArray *files = zm_plugins_scan (plugins, problems);

  ASSERT_EQ (files->len, 6u);
  for (guint i = 0; i < files->len; i++) {
    auto *file = static_cast<const ZmPluginFile *> (g_ptr_array_index (files, i));

    EXPECT_EQ (file->manifest, nullptr) << file->name;
  }
  EXPECT_NE (problems_text ().find ("truncated"), std::string::npos) << problems_text ();
}

/* Where the dynamic loader would look far beyond its table of versions: what is there differs from process to process, so that
 * one that only tried it tells nothing. */
TEST_F (PluginTest, ASymbolWithAVersionThatThereIsNotIsRefused)
{
  std::string bytes = read_file (built_plugin ("plugins/victim"));
  auto *header = reinterpret_cast<ElfW (Ehdr) *> (bytes.data ());
  auto *sections = reinterpret_cast<ElfW (Shdr) *> (bytes.data () + header->e_shoff);
  bool found = false;

  for (guint i = 0; i < header->e_shnum; i++)
    if (sections[i].sh_type == SHT_GNU_versym) {
      auto *numbers = reinterpret_cast<ElfW (Half) *> (bytes.data () + sections[i].sh_offset);

      std::fill (numbers + 1, numbers + sections[i].sh_size / sizeof *numbers, 0x7ffe);
      found = true;
    }
  ASSERT_TRUE (found);
  install_bytes (bytes, "versions");
  load ({ "versions" });
  EXPECT_NE (problems_text ().find ("damaged: a symbol has a version that there is not"), std::string::npos)
      << problems_text ();
}

/* A loader that probes remembers what was bad, by the file's identity; a changed file is tried again. */
TEST_F (PluginTest, BadOnesAreRememberedUntilTheyChange)
{
  call_ms = 500;
  install ("bad-plugins/hang-constructor", "hello");
  load ({ "hello" });
  gint64 before = g_get_monotonic_time ();

  load ({ "hello" });
  EXPECT_LT (g_get_monotonic_time () - before, 400 * 1000) << "not tried again";
  EXPECT_NE (problems_text ().find ("did not end within"), std::string::npos);
  install ("plugins/swap", "hello");
  load ({ "hello" });
  EXPECT_EQ (call ("hello", "greet"), "hello") << problems_text ();
}

TEST_F (PluginTest, WhereNoProbeRunsNothingIsRemembered)
{
  if (g_getenv ("ZM_TEST_VALGRIND") != nullptr)
    GTEST_SKIP () << "valgrind's posix_spawn does not tell that a program cannot be run";
  probe = base + "/probe";
  install ("plugins/swap", "hello");
  load ({ "hello" });
  EXPECT_EQ (current ("hello"), nullptr);
  EXPECT_NE (problems_text ().find ("/probe cannot be run"), std::string::npos) << problems_text ();
  ASSERT_EQ (symlink (build_path ("zmanager-probe").c_str (), probe.c_str ()), 0);
  load ({ "hello" });
  EXPECT_NE (current ("hello"), nullptr) << problems_text ();
}

/* Where nothing is probed the daemon's own limits hold. */
TEST_F (PluginTest, AHangingInitIsGivenUp)
{
  probing = false;
  call_ms = 200;
  install ("bad-plugins/hang-init", "bad");
  load ({ "bad" });

  EXPECT_EQ (current ("bad"), nullptr);
  EXPECT_NE (problems_text ().find ("it did not come back from init or start within 200 ms"),
             std::string::npos)
      << problems_text ();
  EXPECT_EQ (metric ("zmanager_plugin_leaked_total"), 1);
  EXPECT_EQ (held (), "bad generation 1: held by its init or start, which has not ended");
}

TEST_F (PluginTest, TheListTellsWhyTheFileOfARunningOneIsRefused)
{
  install ("plugins/swap", "hello");
  load ({ "hello" });
  install_bytes ("junk", "hello");
  load ({ "hello" });
  std::string json = text_of (zm_plugins_json (plugins, "hello"));

  EXPECT_NE (json.find ("its file is refused: "), std::string::npos) << json;
  EXPECT_NE (json.find ("generation 1 of it goes on running"), std::string::npos) << json;
}

/* Each try costs the whole limit and leaves one more generation loaded. */
TEST_F (PluginTest, AHangIsNotTriedAgainByItself)
{
  probing = false;
  call_ms = 300;
  install ("bad-plugins/hang-init", "bad");
  load ({ "bad" });
  ASSERT_EQ (metric ("zmanager_plugin_leaked_total"), 1);

  load ({ "bad" });
  EXPECT_EQ (metric ("zmanager_plugin_leaked_total"), 1) << "the same file";
  EXPECT_EQ (metric ("zmanager_plugin_load_failures_total"), 1);
  EXPECT_NE (problems_text ().find ("zmanagerctl plugin load bad asks for it"), std::string::npos)
      << problems_text ();
  load ({ "bad" }, { "bad" });
  EXPECT_EQ (metric ("zmanager_plugin_leaked_total"), 2) << "asked for by name";
  settings = { "plugin bad.load=yes" };
  load ({ "bad" });
  EXPECT_EQ (metric ("zmanager_plugin_leaked_total"), 3) << "another section";
  install ("plugins/swap", "bad");
  load ({ "bad" });
  EXPECT_EQ (call ("bad", "greet"), "hello") << problems_text ();
}

/* A file that those plugins wait for which hang on purpose. */
class HangTest : public PluginTest {
protected:
  std::string file;

  void
  SetUp () override
  {
    PluginTest::SetUp ();
    file = base + "/hang";
    write_file (file, "");
    g_setenv ("ZM_TEST_HANG", file.c_str (), TRUE);
    drain_ms = 100;
  }

  void
  TearDown () override
  {
    g_remove (file.c_str ());
    PluginTest::TearDown ();
    g_unsetenv ("ZM_TEST_HANG");
  }
};

TEST_F (HangTest, AHangingStopHangsNobody)
{
  install ("bad-plugins/hang-stop", "bad");
  install ("plugins/swap", "good");
  load ({ "bad", "good" });
  ASSERT_NE (current ("bad"), nullptr) << problems_text ();
  gint64 before = g_get_monotonic_time ();

  load ({});
  EXPECT_LT (g_get_monotonic_time () - before, G_USEC_PER_SEC) << "commit does not wait";
  EXPECT_TRUE (eventually ([&] { return told.get ("fini") == 1; })) << "the other one is not kept waiting";
  EXPECT_TRUE (eventually ([&] { return metric ("zmanager_plugin_stuck_total") == 1; }));
  EXPECT_EQ (held (), "bad generation 1: held by its stop, which has not ended");
  EXPECT_GT (count_maps (base + "/copies/bad"), 0u) << "left loaded";
  g_remove (file.c_str ());
  EXPECT_TRUE (eventually ([&] { return count_maps (base + "/copies/bad") == 0; })) << "it let go at last";
}

TEST_F (HangTest, AThreadThatDoesNotEndHoldsItsGeneration)
{
  install ("bad-plugins/thread-deaf", "bad");
  load ({ "bad" });
  ASSERT_NE (current ("bad"), nullptr) << problems_text ();
  load ({});
  EXPECT_TRUE (eventually ([&] { return metric ("zmanager_plugin_held_total") == 1; }));
  EXPECT_TRUE (eventually ([&] { return held () == "bad generation 1: held by thread deaf"; })) << held ();
  EXPECT_GT (count_maps (base + "/copies/bad"), 0u);
  g_remove (file.c_str ());
  EXPECT_TRUE (eventually ([&] { return count_maps (base + "/copies/bad") == 0; }));
}

TEST_F (PluginTest, ASlowStopIsWaitedFor)
{
  install ("bad-plugins/slow-stop", "slow");
  load ({ "slow" });
  load ({});
  EXPECT_TRUE (eventually ([&] { return count_maps (base + "/copies/slow") == 0; })) << held ();
  EXPECT_EQ (metric ("zmanager_plugin_stuck_total"), 0);
}

TEST_F (PluginTest, AThreadBehindTheHostsBackKeepsTheCode)
{
  install ("bad-plugins/thread-left", "bad");
  load ({ "bad" });
  ASSERT_NE (current ("bad"), nullptr) << problems_text ();
  load ({});
  EXPECT_TRUE (eventually (
      [&] { return held ().find ("which it started behind the host's back") != std::string::npos; }));
  EXPECT_GT (count_maps (base + "/copies/bad"), 0u);
}

TEST_F (PluginTest, DrainBudgetIsReported)
{
  drain_ms = 50;
  install ("plugins/swap", "hello");
  load ({ "hello" });
  ZmGeneration *old = zm_generation_ref (current ("hello"), "timer");

  load ({});
  EXPECT_TRUE (eventually ([&] { return metric ("zmanager_plugin_held_total") == 1; }));
  EXPECT_EQ (held (), "hello generation 1: held by timer (1)");
  g_autofree char *json = zm_plugins_json (plugins, "hello");
  EXPECT_NE (strstr (json, "\"state\":\"retired\""), nullptr) << json;
  EXPECT_NE (strstr (json, "\"holders\":{\"timer\":1}"), nullptr) << json;
  zm_generation_unref (old, "timer");
  EXPECT_TRUE (eventually ([&] { return told.get ("fini") == 1; }));
}

/* Those that are bad only in their actions load; the workers' tests use them. */
TEST_F (PluginTest, ThoseThatAreBadInActionsLoad)
{
  std::vector<const char *> names = { "crash-action",  "abort-action",  "hang-action", "complete-twice",
                                      "complete-late", "write-request", "leak-action", "error-action" };

  for (const char *name : names)
    install (std::string ("bad-plugins/") + name, name);
  load (names);
  EXPECT_EQ (problems_text (), "");
  for (const char *name : names)
    EXPECT_NE (current (name), nullptr) << name;
}
