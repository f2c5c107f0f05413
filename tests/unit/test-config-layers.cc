/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The room config: which layer counts, where values come from, what is shown and what never is. */
#include "config.h"

#include "config-helper.h"

#include "zmanager/plugin.h"

#include <cstring>

namespace {

using List = std::vector<std::string>;

class Layers : public Directory {};

TEST_F (Layers, DefaultsStandWhereNothingElseDoes)
{
  Configuration one;

  one.finish ();
  EXPECT_EQ (one.errors (), "");
  EXPECT_EQ (one.text ("workers", "timeout"), "30s");
  EXPECT_EQ (zm_config_integer (one.config, "workers", "timeout"), 30000);
  EXPECT_EQ (zm_config_integer (one.config, "subject", "max-message"), 16 * 1024 * 1024);
  EXPECT_EQ (zm_config_integer (one.config, "workers", "deferred-limit"), 65536);
  EXPECT_TRUE (zm_config_boolean (one.config, "zmanager", "watch"));
  EXPECT_FALSE (zm_config_boolean (one.config, "security", "allow-multicast"));
  EXPECT_EQ (one.text ("zmanager", "node"), "(null)");
  EXPECT_EQ (one.list ("subject", "bind"), List{});
  EXPECT_EQ (one.text ("worker any", "restart"), "yes");
  EXPECT_EQ (one.origin ("workers", "timeout"), "default");
}

TEST_F (Layers, LaterFilesWinKeyByKey)
{
  Configuration one;
  std::string a = write ("zmanager.conf", "[workers]\ntimeout = 1s\nring = 100\n[plugin p]\nx = 1\n");
  std::string b = write ("conf.d/10.conf", "[workers]\ntimeout = 2s\n");
  std::string c = write ("conf.d/20.conf", "[plugin p]\nload = yes\n[workers]\nhard-after = 9s\n");

  one.file (a);
  zm_config_add_directory (one.config, (path + "/conf.d").c_str (), one.problems);
  zm_config_add_directory (one.config, (path + "/none").c_str (), one.problems);
  one.set ("workers.hard-after=7s").set (" plugin   p . y = 2 ").finish ();
  EXPECT_EQ (one.errors (), "");
  EXPECT_EQ (zm_config_integer (one.config, "workers", "timeout"), 2000);
  EXPECT_EQ (zm_config_integer (one.config, "workers", "ring"), 100);
  EXPECT_EQ (zm_config_integer (one.config, "workers", "hard-after"), 7000);
  EXPECT_EQ (one.origin ("workers", "timeout"), b + ":2:11");
  EXPECT_EQ (one.origin ("workers", "ring"), a + ":3:8");
  EXPECT_EQ (one.origin ("workers", "hard-after"), "--set");
  EXPECT_EQ (taken_list (zm_config_keys (one.config, "plugin p")), (List{ "x", "load", "y" }));
  EXPECT_EQ (zm_config_integer (one.config, "plugin p", "y"), 2);
}

TEST_F (Layers, TheSameSettingTwiceIsNoMistake)
{
  Configuration one;

  one.set ("workers.timeout=1s").set ("workers.timeout=2s").finish ();
  EXPECT_EQ (one.errors (), "");
  EXPECT_EQ (one.text ("workers", "timeout"), "2s");
}

TEST_F (Layers, ListsAppendInOneFileAndAreReplacedByALaterOne)
{
  Configuration one, two, three;
  std::string a = write (
      "a.conf", "[subject]\nbind = ipc:///a  \"ipc:///b c\"\nbind = tcp://127.0.0.1:*\nconnect = ipc:///z\n");
  std::string b = write ("b.conf", "[subject]\nbind = ipc:///d\n[subject]\nbind = ipc:///e\n");

  one.file (a).finish ();
  EXPECT_EQ (one.list ("subject", "bind"), (List{ "ipc:///a", "ipc:///b c", "tcp://127.0.0.1:*" }));
  two.file (a).file (b).finish ();
  EXPECT_EQ (two.list ("subject", "bind"), (List{ "ipc:///d", "ipc:///e" }));
  EXPECT_EQ (two.list ("subject", "connect"), (List{ "ipc:///z" }));
  three.file (a)
      .set ("subject.bind=ipc:///f")
      .set ("subject.bind=ipc:///g")
      .set ("subject.connect=")
      .finish ();
  EXPECT_EQ (three.list ("subject", "bind"), (List{ "ipc:///f", "ipc:///g" }));
  EXPECT_EQ (three.list ("subject", "connect"), List{});
  EXPECT_EQ (one.errors () + two.errors () + three.errors (), "");
}

TEST_F (Layers, SettingsOfAnotherOriginReplace)
{
  Configuration one;

  one.set ("zmanager.plugin-path=/a", "environment ZM_PLUGIN_PATH")
      .set ("zmanager.plugin-path=/b", "environment ZM_PLUGIN_PATH");
  one.set ("zmanager.plugin-path=/c", "--set").finish ();
  EXPECT_EQ (one.list ("zmanager", "plugin-path"), (List{ "/c" }));
}

TEST_F (Layers, NamesComeInTheOrderInWhichTheyAppear)
{
  Configuration one;

  one.file (write ("a.conf", "[worker b]\n[worker a]\n[plugin x]\n[worker b]\nexec=x\n"))
      .set ("worker c.exec=y")
      .finish ();
  EXPECT_EQ (one.errors (), "");
  EXPECT_EQ (taken_list (zm_config_names (one.config, "worker")), (List{ "b", "a", "c" }));
  EXPECT_EQ (taken_list (zm_config_names (one.config, "source")), List{});
  EXPECT_EQ (taken_list (zm_config_names (one.config, "wor")), List{});
}

TEST_F (Layers, ASourceIsThePluginOfItsName)
{
  Configuration one;

  one.file (write ("a.conf", "[source netlink]\n[source second]\nplugin = netlink\n")).finish ();
  EXPECT_EQ (one.text ("source netlink", "plugin"), "netlink");
  EXPECT_EQ (one.text ("source second", "plugin"), "netlink");
}

TEST_F (Layers, PlaceNamesTheValue)
{
  Configuration one;
  std::string a = write ("a.conf", "[workers]\n  ring =  100\n");
  const char *file;
  guint line, column;

  one.file (a).set ("workers.timeout=1s").finish ();
  EXPECT_TRUE (zm_config_place (one.config, "workers", "ring", &file, &line, &column));
  EXPECT_EQ (file + (":" + std::to_string (line)) + ":" + std::to_string (column), a + ":2:11");
  EXPECT_TRUE (zm_config_place (one.config, "workers", "timeout", &file, &line, &column));
  EXPECT_STREQ (file, "--set");
  EXPECT_EQ (line + column, 0u);
  EXPECT_FALSE (zm_config_place (one.config, "workers", "drain", &file, &line, &column));
  EXPECT_EQ (file + (":" + std::to_string (line)) + ":" + std::to_string (column), a + ":1:2")
      << "a default: the place of its section";
  EXPECT_FALSE (zm_config_place (one.config, "subject", "bind", &file, &line, &column));
  EXPECT_EQ (file, nullptr);
}

TEST_F (Layers, GoodEndpointsPass)
{
  Configuration one;

  one.file (
      write ("a.conf",
             "[subject]\nbind = tcp://localhost:5 tcp://[::1]:* tcp://127.1.2.3:0 ipc://@x ipc:///a\n"
             "[integration]\nbind = epgm://127.0.0.1;239.1.1.1:5555\n[security]\nallow-multicast = yes\n"));
  one.finish ();
  EXPECT_EQ (one.errors (), "");
}

/* ---- secrets ---- */

class Secrets : public Directory {
protected:
  void
  TearDown () override
  {
    g_unsetenv ("ZM_TEST_SECRET");
    g_unsetenv ("CREDENTIALS_DIRECTORY");
    Directory::TearDown ();
  }
};

const zm_option_desc mail_options[] = {
  { "word", ZM_OPTION_STRING, ZM_OPTION_SECRET, nullptr, nullptr },
  { "file", ZM_OPTION_STRING, 0, nullptr, nullptr },
  { "environment", ZM_OPTION_STRING, 0, nullptr, nullptr },
  { "given", ZM_OPTION_STRING, 0, nullptr, nullptr },
  { "relative", ZM_OPTION_STRING, 0, nullptr, nullptr },
  { "url", ZM_OPTION_STRING, 0, nullptr, nullptr },
  { nullptr, 0, 0, nullptr, nullptr },
};

TEST_F (Secrets, AreReadFromWhereTheyStandAndNeverShown)
{
  Configuration one, two;
  std::string file = write ("pw", "s3cret-file\r\n");

  write ("cred", "s3cret-credential");
  g_setenv ("ZM_TEST_SECRET", "s3cret-environment", TRUE);
  g_setenv ("CREDENTIALS_DIRECTORY", path.c_str (), TRUE);
  one.file (
      write ("a.conf", "[plugin mail]\nfile = file:" + file +
                           "\nenvironment = env:ZM_TEST_SECRET\ngiven = credential:cred\nrelative = file:pw\n"
                           "url = file:///s\nword = s3cret-itself\ntoken = s3cret-by-name\n"));
  one.finish ();
  two.finish ();
  EXPECT_EQ (one.errors (), "");
  EXPECT_EQ (one.text ("plugin mail", "file"), "s3cret-file");
  EXPECT_EQ (one.text ("plugin mail", "relative"), "s3cret-file");
  EXPECT_EQ (one.text ("plugin mail", "environment"), "s3cret-environment");
  EXPECT_EQ (one.text ("plugin mail", "given"), "s3cret-credential");
  EXPECT_EQ (one.text ("plugin mail", "url"), "file:///s");
  EXPECT_EQ (one.text ("plugin mail", "word"), "s3cret-itself");

  zm_config_check_options (one.config, "plugin mail", mail_options, one.problems);
  for (const std::string &shown :
       { taken (zm_config_dump (one.config, FALSE)), taken (zm_config_dump (one.config, TRUE)) }) {
    EXPECT_EQ (shown.find ("s3cret"), std::string::npos) << shown;
    EXPECT_NE (shown.find ("***"), std::string::npos);
    EXPECT_NE (shown.find ("file:///s"), std::string::npos);
  }
  for (const std::string &line : taken_list (zm_config_changes (two.config, one.config)))
    EXPECT_EQ (line.find ("s3cret"), std::string::npos) << line;
}

TEST_F (Secrets, PasswordsInAddressesAreNotShown)
{
  Configuration one;

  one.file (write ("a.conf",
                   "[source a]\nuri = amqp://me:s3cret@host:1/x@y:z\n[source b]\nuri = http://host:80/a@b\n"))
      .finish ();
  std::string dump = taken (zm_config_dump (one.config, FALSE));
  EXPECT_NE (dump.find ("uri = amqp://me:***@host:1/x@y:z\n"), std::string::npos) << dump;
  EXPECT_NE (dump.find ("uri = http://host:80/a@b\n"), std::string::npos) << dump;
}

TEST_F (Secrets, AFileThatEverybodyMayReadIsAWarning)
{
  Configuration one;
  std::string file = write ("pw", "x"), conf = write ("a.conf", "[plugin mail]\nword = file:" + file);

  g_chmod (file.c_str (), 0644);
  one.file (conf).finish ();
  EXPECT_EQ (one.errors (), conf + ":2:8: warning ZM1012: [plugin mail] word: everybody may read " + file +
                                "; expected a file for its owner and group only; chmod o= it");
  EXPECT_EQ (zm_problems_errors (one.problems), 0u);
}

TEST_F (Secrets, BoundedAndText)
{
  Configuration one;
  std::string large = write ("large", std::string (65537, 'x')),
              zero = write ("zero", std::string ("a\0b", 3));
  std::string conf = write ("a.conf", "[plugin mail]\na = file:large\nb = file:zero\n");
  const std::string rest =
      " holds no secret; expected text of at most 64 KiB; check that it is the right file";

  one.file (conf).finish ();
  EXPECT_EQ (one.errors (), conf + ":2:5: error ZM1011: [plugin mail] a: secret file " + large + rest + "\n" +
                                conf + ":3:5: error ZM1011: [plugin mail] b: secret file " + zero + rest);
}

/* ---- dump and changes ---- */

TEST_F (Layers, DumpIsAsItWas)
{
  Configuration one;
  std::string a = write (
      "a.conf",
      "[zmanager]\nplugin-path = /a \"/b c\"\n[worker w]\nexec = sh -c 'x'\n[plugin p]\nown = 1\nown = 2\n");

  one.file (a).set ("workers.timeout=1s").finish ();
  std::string dump = taken (zm_config_dump (one.config, FALSE));
  EXPECT_EQ (dump.substr (0, dump.find ("[subject]")),
             "[zmanager]\n# node = (not set)\n# " + a +
                 ":2:15\nplugin-path = /a\nplugin-path = \"/b c\"\n# default\nsystem-plugins = yes\n# "
                 "default\nworkers = 0\n# default\nwatch = yes\n"
                 "# default\nlog-level = info\n# default\nlog-format = auto\n"
                 "# default\nthird-party-isolation = thread\n# audit-log = (not set)\n\n");
  EXPECT_NE (dump.find ("\n# --set\ntimeout = 1s\n"), std::string::npos);
  EXPECT_NE (dump.find ("[plugin p]\n# default\nload = no\n# default\npriority = 100\n"
                        "# isolation = (not set)\n# default\ninstances = 1\n# default\nthreads = 1\n"
                        "# memory = (not set)\n# descriptors = (not set)\n# " +
                        a + ":6:7\nown = 1\nown = 2\n"),
             std::string::npos)
      << dump;

  /* It is a file: read again, it says the same. */
  Configuration two;
  two.file (write ("dump.conf", dump)).finish ();
  EXPECT_EQ (two.errors (), "");
  EXPECT_EQ (taken_list (zm_config_changes (one.config, two.config)), List{});
}

TEST_F (Layers, DumpAsJsonIsValid)
{
  Configuration one;

  one.file (write ("a.conf", "[zmanager]\nnode = a\"b\\ ä\nplugin-path = /a \"/b c\"\n")).finish ();
  std::string json = taken (zm_config_dump (one.config, TRUE));
  EXPECT_TRUE (zm_json_valid (zm_span (json.data (), json.size ())));
  EXPECT_EQ (json.find ("{\"configuration\":[\n{\"section\":\"zmanager\",\"key\":\"node\",\"origin\":\"" +
                        path + "/a.conf:2:8\",\"values\":[\"a\\\"b\\\\ ä\"]}"),
             0u)
      << json;
  EXPECT_NE (json.find ("\"values\":[\"/a\",\"/b c\"]"), std::string::npos);
}

TEST_F (Layers, ChangesAreNamed)
{
  Configuration before, after;

  before
      .file (write ("a.conf", "[workers]\ntimeout = 30s\nring = 100\n[subject]\nbind = ipc:///a\n"
                              "[worker gone]\nexec = x\n[plugin p]\nold = 1\n"))
      .finish ();
  after
      .file (write ("b.conf", "[workers]\ntimeout = 10s\n[subject]\nbind = ipc:///a ipc:///b\n"
                              "[worker new]\nexec = y\n[plugin p]\nnew = 2\n"))
      .finish ();
  EXPECT_EQ (
      taken_list (zm_config_changes (before.config, after.config)),
      (List{ "subject.bind ipc:///a -> ipc:///a ipc:///b", "workers.timeout 30s -> 10s",
             "workers.ring 100 -> 4096", "plugin p.new (not set) -> 2", "worker new.exec (not set) -> y",
             "plugin p.old 1 -> (not set)", "worker gone.exec x -> (not set)" }));
  EXPECT_EQ (taken_list (zm_config_changes (after.config, after.config)), List{});
}

/* ---- the schema and its manual ---- */

TEST (Schema, EveryDefaultPassesItsOwnCheck)
{
  Configuration one;

  for (const ZmKeySpec *spec = zm_config_schema (); spec->section != nullptr; spec++) {
    std::string section = spec->section;

    EXPECT_NE (spec->doc, nullptr) << spec->key;
    if (zm_config_section_named (spec->section))
      section += " x";
    if (spec->standard != nullptr)
      one.set (section + "." + spec->key + "=" + spec->standard);
  }
  one.finish ();
  EXPECT_EQ (one.errors (), "");
}

/* In the manual a section is a heading "## [NAME]", a key the line "*key* = …" below it, with its default. */
TEST (Schema, EveryKeyStandsInTheManual)
{
  std::string file = std::string (g_getenv ("ZM_SRCDIR") != nullptr ? g_getenv ("ZM_SRCDIR") : ".") +
                     "/data/man/zmanager.conf.5.scd";
  g_autofree char *text = nullptr;

  ASSERT_TRUE (g_file_get_contents (file.c_str (), &text, nullptr, nullptr)) << file;
  std::string manual = text;
  guint keys = 0, documented = 0;
  for (const ZmKeySpec *spec = zm_config_schema (); spec->section != nullptr; spec++) {
    std::string heading = std::string ("\n## [") + spec->section +
                          (zm_config_section_named (spec->section) ? " NAME]\n" : "]\n");
    size_t start = manual.find (heading);

    keys++;
    ASSERT_NE (start, std::string::npos) << heading;
    std::string part = manual.substr (start + 1, manual.find ("\n#", start + 1) - start - 1);
    size_t line = part.find (std::string ("\n*") + spec->key + "* = ");
    ASSERT_NE (line, std::string::npos) << heading << spec->key;
    std::string entry = part.substr (line + 1, part.find ("\n*", line + 1) - line - 1);
    if (spec->standard != nullptr) {
      EXPECT_NE (entry.find (std::string ("Default: ") + spec->standard + "."), std::string::npos)
          << heading << entry;
    }
  }
  for (size_t at = 0; (at = manual.find ("\n*", at)) != std::string::npos; at++)
    documented += manual.substr (at, manual.find ('\n', at + 1) - at).find ("* = ") != std::string::npos;
  EXPECT_EQ (documented, keys) << "the manual names a key that is not there";
}

} // namespace
