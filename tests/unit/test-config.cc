/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The room config: lines that are wrong, values that do not fit, and what is said of them, word for word. */
#include "config.h"

#include "config-helper.h"

#include "config/zm-lines.h"
#include "zmanager/plugin.h"

#include <sys/stat.h>

#include <cstring>
#include <ostream>

namespace {

struct Case {
  const char *name;
  const char *input;
  const char *expected; /* the path of the file stands as F */
};

std::ostream &
operator<< (std::ostream &out, const Case &one)
{
  return out << one.name;
}

std::string
case_name (const ::testing::TestParamInfo<Case> &info)
{
  return info.param.name;
}

std::string
replaced (std::string text, const std::string &from, const std::string &to)
{
  for (size_t at = 0; (at = text.find (from, at)) != std::string::npos; at += to.size ())
    text.replace (at, from.size (), to);
  return text;
}

/* ---- lines ---- */

class BadLine : public ::testing::TestWithParam<Case> {};

TEST_P (BadLine, IsToldWithItsPlace)
{
  g_autoptr (ZmProblems) problems = zm_problems_new ();
  g_autoptr (ZmLines) lines = zm_lines_read_text ("F", zm_span_text (GetParam ().input), problems);

  EXPECT_EQ (taken (zm_problems_format (problems)), GetParam ().expected);
  EXPECT_EQ (zm_problems_errors (problems), 1u);
  EXPECT_LT (zm_lines_count (lines), 3u);
}

#define PAIR_WANTED \
  "; expected [section], key = value, or a # comment; add '=' and a value, or put # in front"

/* clang-format off */
const Case bad_lines[] = {
  { "NoEquals", "[a]\nword", "F:2:1: error ZM1004: \"word\" is neither a section nor a key with a value" PAIR_WANTED },
  { "NoEqualsIndented", "[a]\n \t word two",
    "F:2:4: error ZM1004: \"word two\" is neither a section nor a key with a value" PAIR_WANTED },
  { "ColumnCountsCharacters", "[a]\näöü = 1\n\xc3\xa4 [b]",
    "F:3:1: error ZM1004: \"ä [b]\" is neither a section nor a key with a value" PAIR_WANTED },
  { "NoKey", "[a]\n  = 3", "F:2:3: error ZM1004: '=' without a key before it; expected key = value; write a key before '='" },
  { "OpenSection", "[subject", "F:1:9: error ZM1005: section without ']'; expected ']' at the end of the line; write [NAME]" },
  { "OpenSectionBlank", "  [  ", "F:1:4: error ZM1005: section without ']'; expected ']' at the end of the line; write [NAME]" },
  { "TextAfterSection", "[subject] # mine",
    "F:1:10: error ZM1005: text after ']'; expected the end of the line; put comments on lines of their own" },
  { "TwoBrackets", "[a]]", "F:1:4: error ZM1005: text after ']'; expected the end of the line; put comments on lines of their own" },
  { "NamelessSection", "[]", "F:1:2: error ZM1005: section without a name; expected a name between '[' and ']'; write [NAME]" },
  { "BlankSection", "[ \t ]", "F:1:2: error ZM1005: section without a name; expected a name between '[' and ']'; write [NAME]" },
  { "Latin1", "[a]\nkey = \xe4",
    "F:2:7: error ZM1009: byte 0xe4 is no text; expected UTF-8 without control characters; save the file as UTF-8" },
  { "CutUtf8", "[a]\nkey = \xe2\x82",
    "F:2:7: error ZM1009: byte 0xe2 is no text; expected UTF-8 without control characters; save the file as UTF-8" },
  { "Surrogate", "[a]\n\xed\xa0\x80 = 1",
    "F:2:1: error ZM1009: byte 0xed is no text; expected UTF-8 without control characters; save the file as UTF-8" },
  { "Escape", "[a]\nä = \x1b[31m",
    "F:2:5: error ZM1009: byte 0x1b is no text; expected UTF-8 without control characters; save the file as UTF-8" },
  { "Delete", "[a]\nk = \x7f",
    "F:2:5: error ZM1009: byte 0x7f is no text; expected UTF-8 without control characters; save the file as UTF-8" },
  { "ReturnInside", "[a]\nk = 1\r2\n",
    "F:2:6: error ZM1009: byte 0x0d is no text; expected UTF-8 without control characters; save the file as UTF-8" },
};
/* clang-format on */

INSTANTIATE_TEST_SUITE_P (Lines, BadLine, ::testing::ValuesIn (bad_lines), case_name);

std::string
describe (const ZmLine *line)
{
  return std::to_string (line->line) + " [" + line->section + "] " +
         (line->key != nullptr ? std::string (line->key) + "@" + std::to_string (line->key_column) + "=" +
                                     line->value + "@" + std::to_string (line->value_column)
                               : "@" + std::to_string (line->key_column));
}

TEST (Lines, KeepEveryPlace)
{
  const char text[] = "\xef\xbb\xbf# first\r\n"
                      "early = 1\n"
                      "\t[ plugin \t  hello ]  \r\n"
                      "; comment\n"
                      "  ?Link?Down  =  a.b = c # not a comment \n"
                      "ключ=\n"
                      "last = x";
  g_autoptr (ZmProblems) problems = zm_problems_new ();
  g_autoptr (ZmLines) lines = zm_lines_read_text ("F", zm_span (text, sizeof text - 1), problems);
  std::vector<std::string> found;

  for (guint i = 0; i < zm_lines_count (lines); i++)
    found.push_back (describe (zm_lines_get (lines, i)));
  EXPECT_EQ (taken (zm_problems_format (problems)), "");
  EXPECT_EQ (found,
             (std::vector<std::string>{ "2 [] early@1=1@9", "3 [plugin hello] @4",
                                        "5 [plugin hello] ?Link?Down@3=a.b = c # not a comment@18",
                                        "6 [plugin hello] ключ@1=@6", "7 [plugin hello] last@1=x@8" }));
}

TEST (Lines, ZeroByteIsNoText)
{
  g_autoptr (ZmProblems) problems = zm_problems_new ();
  g_autoptr (ZmLines) lines = zm_lines_read_text ("F", zm_span ("a = \0b\nc = d", 12), problems);

  EXPECT_EQ (taken (zm_problems_format (problems)),
             "F:1:5: error ZM1009: byte 0x00 is no text; expected UTF-8 without "
             "control characters; save the file as UTF-8");
  ASSERT_EQ (zm_lines_count (lines), 1u);
  EXPECT_EQ (describe (zm_lines_get (lines, 0)), "2 [] c@1=d@5");
}

TEST (Lines, LongOnesAreLeftOutOthersStay)
{
  std::string text = "a = " + std::string (65532, 'x') + "\nb = " + std::string (65533, 'x') + "\nc = 1\n";
  g_autoptr (ZmProblems) problems = zm_problems_new ();
  g_autoptr (ZmLines) lines = zm_lines_read_text ("F", zm_span (text.data (), text.size ()), problems);

  EXPECT_EQ (taken (zm_problems_format (problems)),
             "F:2:1: error ZM1007: line too long; expected at most 65,536 bytes; split the line");
  EXPECT_EQ (zm_lines_count (lines), 2u);
}

class Files : public Directory {};

TEST_F (Files, OverOneMebibyteAreRefused)
{
  const std::string most = "a=b" + std::string (1024 * 1024 - 3, '\n');
  std::string good = write ("good", most), bad = write ("bad", most + "\n");
  g_autoptr (ZmProblems) problems = zm_problems_new ();
  g_autoptr (ZmLines) first = zm_lines_read_file (good.c_str (), problems);
  g_autoptr (ZmLines) second = zm_lines_read_file (bad.c_str (), problems);

  EXPECT_EQ (taken (zm_problems_format (problems)),
             bad + ": error ZM1008: file too long; expected at most 1 MiB; split it into several files");
  EXPECT_EQ (zm_lines_count (first), 1u);
  EXPECT_EQ (zm_lines_count (second), 0u);
}

TEST_F (Files, OnlyPlainOnesAreRead)
{
  std::string pipe = path + "/pipe", none = path + "/none";
  const std::string rest = "; expected a plain file that can be read; check the path and its permissions";

  ASSERT_EQ (mkfifo (pipe.c_str (), 0600), 0);
  for (const auto &[file, why] :
       { std::pair{ pipe, "Invalid argument" }, std::pair{ none, "No such file or directory" },
         std::pair{ path, "Is a directory" } }) {
    g_autoptr (ZmProblems) problems = zm_problems_new ();
    g_autoptr (ZmLines) lines = zm_lines_read_file (file.c_str (), problems);

    EXPECT_EQ (taken (zm_problems_format (problems)), file + ": error ZM1010: cannot be read: " + why + rest);
    EXPECT_EQ (zm_lines_count (lines), 0u);
  }
}

TEST_F (Files, AreListedInByteOrder)
{
  for (const char *name :
       { "b.conf", "a.conf", "B.conf", "10.conf", "9.conf", ".hidden.conf", "a.conf~", "c.txt", "d/e.conf" })
    write (name, "");
  EXPECT_EQ (taken_list (zm_list_files (path.c_str (), ".conf")),
             (std::vector<std::string>{ path + "/10.conf", path + "/9.conf", path + "/B.conf",
                                        path + "/a.conf", path + "/b.conf" }));
  EXPECT_TRUE (taken_list (zm_list_files ((path + "/none").c_str (), ".conf")).empty ());
}

/* ---- sections, keys, values ---- */

class BadFile : public Directory, public ::testing::WithParamInterface<Case> {};

TEST_P (BadFile, IsToldWithItsPlace)
{
  Configuration one;
  std::string file = write ("zmanager.conf", GetParam ().input);

  one.file (file).finish ();
  EXPECT_EQ (replaced (one.errors (), file, "F"), GetParam ().expected);
}

#define SECTIONS \
  "one of zmanager, subject, call, integration, workers, action, plugin, source, worker, store, queue, http, zaqar, security"
#define SUBJECT_KEYS "one of bind, connect, high-water, max-message, connections, frames"
#define WORKER_KEYS  "one of exec, bind, restart"
#define DURATION     ", as in 250ms, 30s, 5m, 2h"
#define ENDPOINTS    "expected ipc://PATH or tcp://127.0.0.1:PORT"
#define NO_CURVE                                                                                        \
  " leaves this machine, where tcp needs CURVE, which this version does not have; expected a loopback " \
  "address or "                                                                                         \
  "ipc://PATH; use 127.0.0.1, and a tunnel to reach other machines"
#define NO_PORT         " has no host and port; expected tcp://127.0.0.1:PORT; write a port from 1 to 65535"
#define NAME_FITS(kind) "[" kind " NAME] with at most 64 letters, digits and _ . -; choose another name"

/* clang-format off */
const Case bad_files[] = {
  { "KeyBeforeSection", "workers = 1", "F:1:1: error ZM1006: key \"workers\" outside of a section; expected a section before the first key; write [SECTION] above it" },
  { "UnknownSection", "[subjct]\nbind = x\n", "F:1:2: error ZM1000: unknown section [subjct]; expected " SECTIONS "; did you mean \"subject\"?" },
  { "UnknownSectionFar", "[xylophone]\n", "F:1:2: error ZM1000: unknown section [xylophone]; expected " SECTIONS },
  { "UnknownSectionNamed", "[plugn hello]\n", "F:1:2: error ZM1000: unknown section [plugn]; expected " SECTIONS "; did you mean \"plugin\"?" },
  { "UnknownKey", "[subject]\n  hi-water = 1", "F:2:3: error ZM1001: unknown key \"hi-water\" in [subject]; expected " SUBJECT_KEYS "; did you mean \"high-water\"?" },
  { "UnknownKeyFar", "[worker w]\ncolour = red", "F:2:1: error ZM1001: unknown key \"colour\" in [worker w]; expected " WORKER_KEYS },
  { "KeyOfAnotherSection", "[subject]\ntimeout = 3s", "F:2:1: error ZM1001: unknown key \"timeout\" in [subject]; expected " SUBJECT_KEYS },
  { "NameTooMany", "[subject a]", "F:1:2: error ZM1019: section [subject] takes no name; expected [subject]; leave the name out" },
  { "NameMissing", "[plugin]\nload = yes", "F:1:2: error ZM1019: section [plugin] without a name; expected [plugin NAME]; say which one" },
  { "NameWithSlash", "[worker ../x]", "F:1:2: error ZM1019: section [worker ../x] has a name that does not fit; expected " NAME_FITS ("worker") },
  { "NameWithBlank", "[source a b]", "F:1:2: error ZM1019: section [source a b] has a name that does not fit; expected " NAME_FITS ("source") },
  { "ActionTwoWords", "[action ?a?b ?c]", "F:1:13: error ZM1400: section [action ?a?b ?c]: column 5: white space is not allowed in an action key; expected [action Sender?Context@Decorator?Action]; write the key as the mapping has it" },
  { "ActionTooLong", "[action a?b?c?d]", "F:1:14: error ZM1400: section [action a?b?c?d]: column 6: a third '?'; nothing may follow the action: Sender?Context@Decorator?Action; expected [action Sender?Context@Decorator?Action]; write the key as the mapping has it" },
  { "Twice", "[workers]\ntimeout = 3s\nring = 100\ntimeout = 4s", "F:4:1: error ZM1014: [workers] timeout is given twice; expected timeout once; it stands at line 2 already; remove one of the two" },
  { "DurationWord", "[workers]\ntimeout = soon", "F:2:11: error ZM1002: [workers] timeout: \"soon\" is not a duration; expected a duration from 1ms to 1d" DURATION "; write for example timeout = 30s" },
  { "DurationUnit", "[workers]\ndrain = 5w", "F:2:9: error ZM1002: [workers] drain: \"5w\" is not a duration; expected a duration from 0 to 1d" DURATION "; write for example drain = 30s" },
  { "DurationNegative", "[workers]\ntimeout = -1s", "F:2:11: error ZM1002: [workers] timeout: \"-1s\" is not a duration; expected a duration from 1ms to 1d" DURATION "; write for example timeout = 30s" },
  { "DurationZero", "[call]\ntimeout = 0", "F:2:11: error ZM1003: [call] timeout: \"0\" is too small; expected a duration from 1ms to 1d" DURATION "; write for example timeout = 30s" },
  { "DurationLong", "[workers]\nhard-after = 25h", "F:2:14: error ZM1003: [workers] hard-after: \"25h\" is too large; expected a duration from 1ms to 1d" DURATION "; write for example hard-after = 5s" },
  { "DurationWithoutDefault", "[action ?a?b]\ntimeout = x", "F:2:11: error ZM1002: [action ?a?b] timeout: \"x\" is not a duration; expected a duration from 1ms to 1d" DURATION },
  { "SizeWord", "[subject]\nmax-message = big", "F:2:15: error ZM1002: [subject] max-message: \"big\" is not a size; expected a size from 1k to 1G, as in 4096, 64k, 16M; write for example max-message = 16M" },
  { "SizeSmall", "[subject]\nmax-message = 1023", "F:2:15: error ZM1003: [subject] max-message: \"1023\" is too small; expected a size from 1k to 1G, as in 4096, 64k, 16M; write for example max-message = 16M" },
  { "SizeLarge", "[call]\nmax-message = 2G", "F:2:15: error ZM1003: [call] max-message: \"2G\" is too large; expected a size from 1k to 1G, as in 4096, 64k, 16M; write for example max-message = 16M" },
  { "NumberWord", "[subject]\nhigh-water = many", "F:2:14: error ZM1002: [subject] high-water: \"many\" is not a whole number; expected a whole number from 1 to 1000000; write for example high-water = 1000" },
  { "NumberHalf", "[zmanager]\nworkers = 1.5", "F:2:11: error ZM1002: [zmanager] workers: \"1.5\" is not a whole number; expected a whole number from 0 to 64; write for example workers = 0" },
  { "NumberNegative", "[zmanager]\nworkers = -1", "F:2:11: error ZM1003: [zmanager] workers: \"-1\" is too small; expected a whole number from 0 to 64; write for example workers = 0" },
  { "NumberOfWorkers", "[zmanager]\nworkers = 65", "F:2:11: error ZM1003: [zmanager] workers: \"65\" is too large; expected a whole number from 0 to 64; write for example workers = 0" },
  { "NumberLarge", "[workers]\nring = 1000001", "F:2:8: error ZM1003: [workers] ring: \"1000001\" is too large; expected a whole number from 64 to 1000000; write for example ring = 4096" },
  { "NumberHuge", "[workers]\nring = 99999999999999999999", "F:2:8: error ZM1002: [workers] ring: \"99999999999999999999\" is not a whole number; expected a whole number from 64 to 1000000; write for example ring = 4096" },
  { "NumberEmpty", "[integration]\nhigh-water =", "F:2:13: error ZM1002: [integration] high-water: no value; expected a whole number from 1 to 1000000; write for example high-water = 1000" },
  { "Truth", "[zmanager]\nwatch = maybe", "F:2:9: error ZM1002: [zmanager] watch: \"maybe\" is not yes or no; expected yes or no; write for example watch = yes" },
  { "TruthCase", "[worker w]\nrestart = Yes", "F:2:11: error ZM1002: [worker w] restart: \"Yes\" is not yes or no; expected yes or no; write for example restart = yes" },
  { "ChoiceNear", "[workers]\nordering = contxt", "F:2:12: error ZM1002: [workers] ordering: \"contxt\" is not known; expected one of none, context, key; did you mean \"context\"?" },
  { "ChoiceFar", "[zmanager]\nlog-level = chatty", "F:2:13: error ZM1002: [zmanager] log-level: \"chatty\" is not known; expected one of error, warning, notice, info, debug; write for example log-level = info" },
  { "ChoiceComment", "[integration]\nframes = multi # both", "F:2:10: error ZM1002: [integration] frames: \"multi # both\" is not known; expected one of multi, single; write for example frames = multi" },
  { "ChoiceOfAnother", "[integration]\nframes = auto", "F:2:10: error ZM1002: [integration] frames: \"auto\" is not known; expected one of multi, single; write for example frames = multi" },
  { "OpenQuote", "[subject]\nbind = \"ipc:///a b", "F:2:8: error ZM1002: [subject] bind: a quotation mark is not closed; expected items separated by blanks, \"…\" around one with blanks; close it, or remove it" },
  { "EndpointNone", "[subject]\nbind = /run/x", "F:2:8: error ZM1016: [subject] bind: \"/run/x\" is no endpoint; " ENDPOINTS "; choose one of these" },
  { "EndpointInproc", "[call]\nbind = inproc://x", "F:2:8: error ZM1016: [call] bind: \"inproc://x\" is no endpoint; " ENDPOINTS "; choose one of these" },
  { "EndpointEmptyPath", "[subject]\nbind = ipc://", "F:2:8: error ZM1016: [subject] bind: \"ipc://\" is no endpoint; " ENDPOINTS "; choose one of these" },
  { "EndpointNoPort", "[subject]\nbind = tcp://127.0.0.1", "F:2:8: error ZM1016: [subject] bind: \"tcp://127.0.0.1\"" NO_PORT },
  { "EndpointPortLarge", "[subject]\nconnect = tcp://127.0.0.1:65536", "F:2:11: error ZM1016: [subject] connect: \"tcp://127.0.0.1:65536\"" NO_PORT },
  { "EndpointPortAnyConnects", "[subject]\nconnect = tcp://127.0.0.1:*", "F:2:11: error ZM1016: [subject] connect: \"tcp://127.0.0.1:*\"" NO_PORT },
  { "EndpointAnywhere", "[subject]\nbind = tcp://*:5555", "F:2:8: error ZM1018: [subject] bind: \"tcp://*:5555\"" NO_CURVE },
  { "EndpointFar", "[integration]\nconnect = tcp://192.0.2.1:5555", "F:2:11: error ZM1018: [integration] connect: \"tcp://192.0.2.1:5555\"" NO_CURVE },
  { "EndpointLooksLocal", "[worker w]\nbind = tcp://127.0.0.1.example.org:5", "F:2:8: error ZM1018: [worker w] bind: \"tcp://127.0.0.1.example.org:5\"" NO_CURVE },
  { "EndpointSecondOfList", "[subject]\nbind = ipc:///a tcp://x:1", "F:2:8: error ZM1018: [subject] bind: \"tcp://x:1\"" NO_CURVE },
  { "MulticastForSubject", "[security]\nallow-multicast = yes\n[subject]\nbind = epgm://127.0.0.1;239.1.1.1:5555", "F:4:8: error ZM1017: [subject] bind: \"epgm://127.0.0.1;239.1.1.1:5555\" is multicast, which carries topics only; " ENDPOINTS "; use it in [integration]" },
  { "MulticastNotAllowed", "[integration]\nbind = epgm://127.0.0.1;239.1.1.1:5555", "F:2:8: error ZM1017: [integration] bind: \"epgm://127.0.0.1;239.1.1.1:5555\" is multicast: it is not encrypted, and everyone on that network reads it; expected [security] allow-multicast = yes beside it; allow it, or use ipc or tcp" },
  { "SecretFile", "[plugin mail]\npassword = file:/nowhere/x", "F:2:12: error ZM1011: [plugin mail] password: secret file /nowhere/x cannot be read: No such file or directory; expected a plain file that can be read; check its path and permissions" },
  { "SecretEnvironment", "[plugin mail]\npassword = env:ZM_TEST_NOT_SET", "F:2:12: error ZM1011: [plugin mail] password: the environment has no ZM_TEST_NOT_SET; expected env:NAME of a variable that is set; set it where zmanagerd is started" },
  { "SecretCredentialPath", "[plugin mail]\npassword = credential:a/b", "F:2:12: error ZM1011: [plugin mail] password: \"a/b\" is no name of a credential; expected credential:NAME without '/'; name it as LoadCredential= does" },
  { "SecretCredentialNone", "[plugin mail]\npassword = credential:ab", "F:2:12: error ZM1011: [plugin mail] password: there are no credentials here; expected $CREDENTIALS_DIRECTORY, which the service manager sets; add LoadCredential= to the unit, or use file:PATH" },
};
/* clang-format on */

INSTANTIATE_TEST_SUITE_P (Config, BadFile, ::testing::ValuesIn (bad_files), case_name);

/* ---- settings ---- */

class BadSetting : public ::testing::TestWithParam<Case> {};

TEST_P (BadSetting, IsTold)
{
  Configuration one;

  one.set (GetParam ().input).finish ();
  EXPECT_EQ (one.errors (), GetParam ().expected);
}

#define SETTING_WANTED " is no setting; expected SECTION.KEY=VALUE; write for example workers.timeout=10s"

/* clang-format off */
const Case bad_settings[] = {
  { "Empty", "", "--set: error ZM1013: \"\"" SETTING_WANTED },
  { "NoEquals", "workers.timeout", "--set: error ZM1013: \"workers.timeout\"" SETTING_WANTED },
  { "NoSection", "timeout=3s", "--set: error ZM1013: \"timeout=3s\"" SETTING_WANTED },
  { "DotInValueOnly", "timeout=3.s", "--set: error ZM1013: \"timeout=3.s\"" SETTING_WANTED },
  { "EmptySection", ".timeout=3s", "--set: error ZM1013: \".timeout=3s\"" SETTING_WANTED },
  { "EmptyKey", "workers.=3s", "--set: error ZM1013: \"workers.=3s\"" SETTING_WANTED },
  { "KeyLikeASection", "plugin a.[b=1", "--set: error ZM1013: \"plugin a.[b=1\"" SETTING_WANTED },
  { "KeyLikeAComment", "plugin a. #b=1", "--set: error ZM1013: \"plugin a. #b=1\"" SETTING_WANTED },
  { "Newline", "plugin a.b=1\nc", "--set: error ZM1013: \"plugin a.b=1\\x0ac\"" SETTING_WANTED },
  { "NoText", "plugin a.b=\xff", "--set: error ZM1013: \"plugin a.b=\\xff\"" SETTING_WANTED },
  { "UnknownSection", "worker.timeout=3s", "--set: error ZM1019: section [worker] without a name; expected [worker NAME]; say which one" },
  { "UnknownKey", "workers.timout=3s", "--set: error ZM1001: unknown key \"timout\" in [workers]; expected one of ordering, timeout, hard-after, wait-timeout, wait-for-taker, ring, deferred-limit, replacements, drain; did you mean \"timeout\"?" },
  { "Value", "workers.timeout=3x", "--set: error ZM1002: [workers] timeout: \"3x\" is not a duration; expected a duration from 1ms to 1d" DURATION "; write for example timeout = 30s" },
};
/* clang-format on */

INSTANTIATE_TEST_SUITE_P (Config, BadSetting, ::testing::ValuesIn (bad_settings), case_name);

/* ---- keys of plugins ---- */

const zm_option_desc options[] = {
  { "host", ZM_OPTION_STRING, ZM_OPTION_REQUIRED, nullptr, "the server's name" },
  { "port", ZM_OPTION_INTEGER, 0, "25", "the server's port" },
  { "ratio", ZM_OPTION_NUMBER, 0, nullptr, nullptr },
  { "tls", ZM_OPTION_BOOLEAN, 0, nullptr, nullptr },
  { "pause", ZM_OPTION_DURATION, 0, nullptr, nullptr },
  { "most", ZM_OPTION_SIZE, 0, nullptr, nullptr },
  { "pin", ZM_OPTION_INTEGER, ZM_OPTION_SECRET, nullptr, nullptr },
  { "to", ZM_OPTION_STRING, ZM_OPTION_LIST, nullptr, nullptr },
  { "later", 999, 0, nullptr, nullptr },
  { nullptr, 0, 0, nullptr, nullptr },
};

class BadOption : public Directory, public ::testing::WithParamInterface<Case> {};

TEST_P (BadOption, IsToldWithItsPlace)
{
  Configuration one;
  std::string file = write ("zmanager.conf", std::string ("[plugin mail]\n") + GetParam ().input);

  one.file (file).finish ();
  zm_config_check_options (one.config, "plugin mail", options, one.problems);
  EXPECT_EQ (replaced (one.errors (), file, "F"), GetParam ().expected);
}

/* clang-format off */
const Case bad_options[] = {
  { "Good", "host=a\nport=1\nratio=1e-3\ntls=on\npause=1m\nmost=1k\npin=1234\nto=a\nto=b c\nlater=x\nload=yes", "" },
  { "Missing", "port=1", "F:1:2: error ZM1015: [plugin mail] lacks host; expected host = … (the server's name); add it to [plugin mail]" },
  { "Unknown", "host=a\nprt=1", "F:3:1: error ZM1001: unknown key \"prt\" in [plugin mail]; expected one of host, port, ratio, tls, pause, most, pin, to, later, load, priority, isolation, "
                                  "instances, threads, memory, descriptors; did you mean \"port\"?" },
  { "Twice", "host=a\nhost=b", "F:3:6: error ZM1014: [plugin mail] host is given 2 times; expected one value; remove all but one" },
  { "Integer", "host=a\nport=x", "F:3:6: error ZM1002: [plugin mail] port: \"x\" is not a whole number; expected a whole number; write for example port = 25" },
  { "Number", "host=a\nratio=nan", "F:3:7: error ZM1002: [plugin mail] ratio: \"nan\" is not a number; expected a number, as in 0.5" },
  { "Boolean", "host=a\ntls=2", "F:3:5: error ZM1002: [plugin mail] tls: \"2\" is not yes or no; expected yes or no" },
  { "Duration", "host=a\npause=1 s", "F:3:7: error ZM1002: [plugin mail] pause: \"1 s\" is not a duration; expected a duration" DURATION },
  { "Size", "host=a\nmost=1T", "F:3:6: error ZM1002: [plugin mail] most: \"1T\" is not a size; expected a size, as in 4096, 64k, 16M" },
  { "SecretIsNotQuoted", "host=a\npin=12x4", "F:3:5: error ZM1002: [plugin mail] pin: \"***\" is not a whole number; expected a whole number" },
};
/* clang-format on */

INSTANTIATE_TEST_SUITE_P (Config, BadOption, ::testing::ValuesIn (bad_options), case_name);

} // namespace
