/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where a plugin runs: who chooses, and one that runs elsewhere, with a carrier that only remembers what it was asked. */
#include "config.h"

#include "plugin-fixture.h"

namespace {

using Texts = std::vector<std::string>;

/* What the process of a plugin would answer, and what it was asked. */
struct Fake {
  std::mutex lock;
  Texts asked;
  gint64 status = ZM_OK;
  guint64 flags = 0, features = 0;
  std::string problem = "it said no";
  Texts actions = { "greet", "1", "Says hello", "serial", "0", "" };
  Texts options;
  std::string trouble;
  Texts fail;       /* steps that give an error */
  std::string hang; /* the step that is over its limit */
  std::string kept;
  gboolean stops = TRUE;
  std::string copy;
  std::atomic<guint> busy{ 0 };

  bool
  ask (const std::string &what, GError **error = nullptr)
  {
    std::lock_guard<std::mutex> guard (lock);

    asked.push_back (what);
    if (what == hang) {
      g_set_error (error, ZM_ERROR, ZM_ERROR_LIMIT, "its %s did not come back", what.c_str ());
      return false;
    }
    for (const auto &one : fail)
      if (one == what) {
        g_set_error (error, ZM_ERROR, ZM_ERROR_PLUGIN, "its %s failed", what.c_str ());
        return false;
      }
    return true;
  }

  Texts
  seen ()
  {
    std::lock_guard<std::mutex> guard (lock);

    return asked;
  }

  guint
  times (const std::string &what)
  {
    guint count = 0;

    for (const auto &one : seen ())
      count += one == what;
    return count;
  }
};

/* One plugin in the other process. */
struct Carried {
  Fake *fake;
  ZmGeneration *generation;
};

std::string
packed (const Texts &texts)
{
  std::string out;

  for (const auto &text : texts)
    out += text + std::string (1, '\0');
  return out;
}

Fake *
fake_of (gpointer carried)
{
  return static_cast<Carried *> (carried)->fake;
}

gpointer
fake_open (gpointer user, ZmGeneration *generation, GError **error)
{
  Fake *fake = static_cast<Fake *> (user);
  std::string actions = packed (fake->actions), options = packed (fake->options);
  ZmRecord record = {};

  fake->copy = zm_generation_copy (generation);
  if (!fake->ask ("open", error))
    return nullptr;
  record.kind = ZM_RECORD_PREPARED;
  record.n_numbers = record.n_parts = 3;
  record.numbers[0] = static_cast<guint64> (fake->status);
  record.numbers[1] = fake->flags;
  record.numbers[2] = fake->features;
  record.parts[0] = zm_span (fake->problem.data (), fake->problem.size ());
  record.parts[1] = zm_span (actions.data (), actions.size ());
  record.parts[2] = zm_span (options.data (), options.size ());
  if (!zm_generation_adopt_carried (generation, &record, error))
    return nullptr;
  return new Carried{ fake, generation };
}

const ZmCarrier carrier_functions = {
  .user = nullptr,
  .open = fake_open,
  .init = [] (gpointer carried, GError **error) -> gboolean {
    return fake_of (carried)->ask ("init", error);
  },
  .start = [] (gpointer carried, GError **error) -> gboolean {
    return fake_of (carried)->ask ("start", error);
  },
  .stop = [] (gpointer carried, guint) -> gboolean {
    fake_of (carried)->ask ("stop");
    return fake_of (carried)->stops;
  },
  .close =
      [] (gpointer carried, char **kept) {
        Fake *fake = fake_of (carried);

        fake->ask ("close");
        if (!fake->kept.empty ())
          *kept = g_strdup (fake->kept.c_str ());
        delete static_cast<Carried *> (carried);
      },
  .reload = [] (gpointer carried) { fake_of (carried)->ask ("reload"); },
  .describe = [] (gpointer, GString *out) { g_string_append (out, ",\"hosts\":[{\"pid\":7}]"); },
  .trouble = [] (gpointer carried) -> char * {
    const std::string &trouble = fake_of (carried)->trouble;

    return trouble.empty () ? nullptr : g_strdup (trouble.c_str ());
  },
  .starting = nullptr,
  .source = {},
};

class CarriedTest : public PluginTest {
protected:
  Fake fake;
  ZmCarrier functions = carrier_functions;

  void
  SetUp () override
  {
    PluginTest::SetUp ();
    functions.user = &fake;
    carrier = &functions;
    settings = { "plugin hello.isolation=process" };
  }

  void
  TearDown () override
  {
    close_registry (); /* before the fake goes */
    PluginTest::TearDown ();
  }

  std::string
  isolation_of (const char *name)
  {
    const ZmPlacement *placement = zm_generation_placement (current (name));

    return std::string (zm_isolation_name (placement->isolation)) + ", " + placement->reason;
  }
};

/* ---- the choice ---- */

TEST_F (CarriedTest, TheNearestWishWins)
{
  struct {
    const char *mapped, *own, *noted, *third;
    bool system;
    const char *expected;
  } const cases[] = {
    { nullptr, nullptr, nullptr, nullptr, false, "thread, default" },
    { nullptr, nullptr, nullptr, "process", true, "thread, default" },
    { nullptr, nullptr, nullptr, "process", false, "process, third party" },
    { nullptr, nullptr, nullptr, "private", false, "private, third party" },
    { nullptr, nullptr, "thread", "process", false, "thread, its note" },
    { nullptr, nullptr, "private", "process", true, "private, its note" },
    { nullptr, "process", "private", "private", false, "process, [plugin] isolation" },
    { nullptr, "thread", "private", "process", false, "thread, [plugin] isolation" },
    { "private", "process", "thread", "process", false, "private, mapping" },
  };

  install ("plugins/swap", "hello");
  open_registry ();
  zm_plugins_scan (plugins, problems);
  for (const auto &one : cases) {
    ZmManifest manifest = *zm_plugins_file (plugins, "hello")->manifest;
    ZmPluginFile file = *zm_plugins_file (plugins, "hello");

    close_registry ();
    system_directory = one.system ? directory : base + "/plug";
    open_registry ();
    zm_plugins_scan (plugins, problems);
    file = *zm_plugins_file (plugins, "hello");
    manifest = *file.manifest;
    manifest.isolation = const_cast<char *> (one.noted);
    file.manifest = &manifest;
    settings.clear ();
    if (one.own != nullptr)
      settings.push_back (std::string ("plugin hello.isolation=") + one.own);
    if (one.third != nullptr)
      settings.push_back (std::string ("zmanager.third-party-isolation=") + one.third);
    make_config ();
    ZmPlacement placement = zm_plugins_place (plugins, config, &file, one.mapped);
    EXPECT_EQ (std::string (zm_isolation_name (placement.isolation)) + ", " + placement.reason, one.expected);
  }
  ZmPlacement bare = zm_plugins_place (plugins, nullptr, zm_plugins_file (plugins, "hello"), nullptr);
  EXPECT_EQ (bare.isolation, ZM_ISOLATION_THREAD);
  EXPECT_EQ (bare.instances, 1u);
}

TEST_F (CarriedTest, TheSectionTellsHow)
{
  install ("plugins/swap", "hello");
  settings = { "plugin hello.isolation=private", "plugin hello.instances=3", "plugin hello.threads=2",
               "plugin hello.memory=64M", "plugin hello.descriptors=100" };
  load ({ "hello" });

  ASSERT_NE (current ("hello"), nullptr) << problems_text ();
  const ZmPlacement *placement = zm_generation_placement (current ("hello"));
  EXPECT_EQ (isolation_of ("hello"), "private, [plugin] isolation");
  EXPECT_EQ (placement->instances, 3u);
  EXPECT_EQ (placement->threads, 2u);
  EXPECT_EQ (placement->memory, 64u << 20);
  EXPECT_EQ (placement->descriptors, 100u);
}

/* What is to be kept out of the daemon is not taken in where nobody can run it. */
TEST_F (CarriedTest, WithoutACarrierItIsNotLoaded)
{
  install ("plugins/swap", "hello");
  install ("plugins/swap", "other");
  carrier = nullptr;
  load ({ "hello", "other" });

  EXPECT_EQ (current ("hello"), nullptr);
  EXPECT_NE (problems_text ().find ("there is no host program"), std::string::npos) << problems_text ();
  EXPECT_NE (current ("other"), nullptr) << "it runs here";
}

/* ---- its life ---- */

TEST_F (CarriedTest, TheCarrierIsAskedInOrder)
{
  install ("plugins/swap", "hello");
  load ({ "hello" });

  ASSERT_EQ (problems_text (), "");
  EXPECT_EQ (fake.seen (), (Texts{ "open", "init", "start" }));
  EXPECT_EQ (access (fake.copy.c_str (), R_OK), 0) << "the copy is there for a process that starts later";
  EXPECT_EQ (count_maps (base), 0u) << "nothing of it is in this process";
  ASSERT_NE (zm_generation_carried (current ("hello")), nullptr);
  EXPECT_EQ (zm_generation_state (current ("hello")), zm_generation_carried (current ("hello")));
  close_registry ();
  EXPECT_EQ (fake.seen (), (Texts{ "open", "init", "start", "stop", "close" }));
  EXPECT_NE (access (fake.copy.c_str (), F_OK), 0) << "it goes with it";
}

TEST_F (CarriedTest, ActionsHavePlacesAndNoFunctions)
{
  install ("plugins/swap", "hello");
  load ({ "hello" });
  g_autoptr (ZmPluginSet) set = zm_plugins_current (plugins);
  const ZmAction *greet = zm_plugin_set_action (set, "hello", "greet", nullptr);
  const ZmAction *serial = zm_plugin_set_action (set, "hello", "serial", nullptr);

  ASSERT_NE (greet, nullptr);
  ASSERT_NE (serial, nullptr);
  EXPECT_EQ (greet->fn, nullptr);
  EXPECT_TRUE (greet->threadsafe);
  EXPECT_FALSE (serial->threadsafe);
  EXPECT_EQ (zm_action_place (greet), 0u);
  EXPECT_EQ (zm_action_place (serial), 1u);
  EXPECT_NE (action_error ("hello", "missing").find ("has no action 'missing'"), std::string::npos);
}

TEST_F (CarriedTest, AReplacementCrossesOver)
{
  install ("plugins/swap", "hello");
  load ({ "hello" });
  load ({ "hello" }, { "hello" });

  EXPECT_EQ (zm_generation_number (current ("hello")), 2u);
  EXPECT_TRUE (eventually ([this] { return fake.times ("close") == 1; }));
  EXPECT_EQ (fake.times ("open"), 2u);
  settings = { "plugin hello.isolation=thread" };
  load ({ "hello" });
  EXPECT_EQ (call ("hello", "greet"), "hello") << "the same file, in the daemon now";
  EXPECT_TRUE (eventually ([this] { return fake.times ("close") == 2; }));
}

TEST_F (CarriedTest, AFailureLeavesTheOldOne)
{
  install ("plugins/swap", "hello");
  load ({ "hello" });
  for (const char *step : { "open", "init", "start" }) {
    fake.fail = { step };
    load ({ "hello" }, { "hello" });
    EXPECT_EQ (zm_generation_number (current ("hello")), 1u);
    EXPECT_NE (problems_text ().find (std::string ("its ") + step + " failed"), std::string::npos)
        << problems_text ();
  }
  EXPECT_TRUE (eventually ([this] { return fake.times ("close") == 2; })) << "of those that were opened";
  fake.fail.clear ();
  load ({ "hello" }, { "hello" });
  EXPECT_EQ (zm_generation_number (current ("hello")), 2u);
}

TEST_F (CarriedTest, WhatHungIsNotTriedAgainByItself)
{
  install ("plugins/swap", "hello");
  fake.hang = "init";
  load ({ "hello" });
  EXPECT_EQ (current ("hello"), nullptr);
  load ({ "hello" });
  EXPECT_EQ (fake.times ("init"), 1u);
  EXPECT_NE (problems_text ().find ("it is not tried again"), std::string::npos) << problems_text ();
  fake.hang.clear ();
  settings = { "plugin hello.isolation=private" };
  load ({ "hello" });
  EXPECT_NE (current ("hello"), nullptr) << "its section changed";
}

/* It stays for good, and is no leak. */
TEST_F (CarriedTest, WhatStaysIsTold)
{
  static ZmGeneration *volatile stays;

  install ("plugins/swap", "hello");
  fake.kept = "thread 17, which it started behind the host's back";
  load ({ "hello" });
  stays = current ("hello");
  ASSERT_NE (stays, nullptr);
  load ({});
  EXPECT_TRUE (eventually ([this] { return held ().find ("held by thread 17") != std::string::npos; }))
      << held ();
  EXPECT_NE (access (fake.copy.c_str (), F_OK), 0) << "its copy is not needed any more";
}

/* An EXCLUSIVE one stops before its successor starts, and comes back where that fails. */
TEST_F (CarriedTest, AnExclusiveOneIsPaused)
{
  install ("plugins/swap", "hello");
  fake.flags = ZM_PLUGIN_EXCLUSIVE;
  load ({ "hello" });
  load ({ "hello" }, { "hello" });
  ASSERT_EQ (problems_text (), "");
  Texts seen = fake.seen ();
  seen.resize (MIN (seen.size (), 7u));
  EXPECT_EQ (seen, (Texts{ "open", "init", "start", "open", "init", "stop", "start" }));
  EXPECT_TRUE (eventually ([this] { return fake.times ("close") == 1; }));

  ZmPluginSet *set = prepare ({ "hello" }, { "hello" });
  zm_plugins_discard (plugins, set);
  EXPECT_EQ (fake.times ("start"), 4u) << "what was stopped for it runs again";
}

/* ---- what people see ---- */

TEST_F (CarriedTest, ListingsTellWhereItRunsAndHowItIs)
{
  install ("plugins/swap", "hello");
  settings.push_back ("plugin hello.memory=64M");
  load ({ "hello", "hello@private" });
  std::string json = text_of (zm_plugins_json (plugins, "hello"));

  EXPECT_TRUE (zm_json_valid (zm_span (json.data (), json.size ()))) << json;
  for (const char *part :
       { "\"state\":\"loaded\"", "\"isolation\":\"process\"", "\"isolation_reason\":\"[plugin] isolation\"",
         "\"instances\":1", "\"memory_limit\":67108864", "\"hosts\":[{\"pid\":7}]",
         "{\"name\":\"hello@private\"", "\"isolation_reason\":\"mapping\"" })
    EXPECT_NE (json.find (part), std::string::npos) << part << " in " << json;

  fake.trouble = "quarantined: it died five times in 30 s";
  json = text_of (zm_plugins_json (plugins, "hello@private"));
  EXPECT_TRUE (zm_json_valid (zm_span (json.data (), json.size ()))) << json;
  EXPECT_EQ (json.find ("{\"name\":\"hello@private\""), 1u) << "and no other: " << json;
  EXPECT_NE (json.find ("\"state\":\"quarantined\""), std::string::npos) << json;
  EXPECT_NE (json.find ("\"reason\":\"it died five times in 30 s\""), std::string::npos) << json;
  EXPECT_EQ (text_of (zm_generation_trouble (current ("hello"))), fake.trouble);

  /* A variant that could not be loaded is looked for, too. */
  fake.trouble.clear ();
  fake.fail = { "init" };
  load ({ "hello@thread" });
  load ({ "hello@thread", "hello@private" });
  json = text_of (zm_plugins_json (plugins, "hello@private"));
  EXPECT_NE (json.find ("\"state\":\"failed\",\"reason\":\"its init failed"), std::string::npos) << json;
}

/* ---- replacing and telling ---- */

TEST_F (CarriedTest, AChangedSectionIsTold)
{
  install ("plugins/options", "hello");
  fake.options = { "where", "0",         "1",    "",  "Where to", "size", "1", "0",
                   "=7",    "How large", "peer", "0", "4",        "",     "" };
  fake.features = ZM_HOSTED_RELOAD;
  settings = { "plugin hello.isolation=process", "plugin hello.where=here" };
  load ({ "hello" });
  ASSERT_NE (current ("hello"), nullptr) << problems_text ();
  EXPECT_STREQ (zm_generation_config (current ("hello"), "size", 0), "7");
  EXPECT_TRUE (zm_generation_reloads (current ("hello")));

  settings = { "plugin hello.isolation=process", "plugin hello.where=there", "plugin hello.peer=a",
               "plugin hello.peer=b", "plugin hello.priority=3" };
  load ({ "hello" });
  EXPECT_EQ (zm_generation_number (current ("hello")), 1u);
  g_autoptr (ZmPluginSet) set = zm_plugins_current (plugins);
  ASSERT_EQ (zm_plugin_set_reloads (set)->len, 1u);
  EXPECT_TRUE (zm_generation_reload_carried (current ("hello")));
  EXPECT_EQ (fake.times ("reload"), 1u);
  g_autoptr (GByteArray) values = zm_generation_values (current ("hello"));
  EXPECT_EQ (std::string (reinterpret_cast<char *> (values->data), values->len),
             packed ({ "where", "there", "peer", "a", "peer", "b" }))
      << "its own keys, not the daemon's";
}

TEST_F (CarriedTest, WhatItRunsInIsNeverChangedUnderIt)
{
  const char *const changes[] = { "instances=2", "threads=2", "memory=32M", "descriptors=64",
                                  "isolation=private" };
  guint number = 1;

  install ("plugins/swap", "hello");
  fake.features = ZM_HOSTED_RELOAD;
  load ({ "hello" });
  for (const char *change : changes) {
    settings = { "plugin hello.isolation=process", std::string ("plugin hello.") + change };
    load ({ "hello" });
    EXPECT_EQ (zm_generation_number (current ("hello")), ++number) << change;
  }
  settings = { "zmanager.third-party-isolation=process" };
  load ({ "hello" });
  EXPECT_EQ (zm_generation_number (current ("hello")), ++number);
}

TEST_F (CarriedTest, AResidentOneStaysInASharedProcessOnly)
{
  install ("plugins/swap", "hello");
  fake.features = ZM_HOSTED_STAYS;
  load ({ "hello" });
  EXPECT_NE (zm_generation_flags (current ("hello")) & ZM_PLUGIN_RESIDENT, 0u);
  load ({ "hello" }, { "hello" });
  EXPECT_EQ (zm_generation_number (current ("hello")), 1u);
  EXPECT_NE (problems_text ().find ("set isolation = private in [plugin hello]"), std::string::npos)
      << problems_text ();

  settings = { "plugin hello.isolation=private" };
  load ({ "hello" });
  EXPECT_EQ (zm_generation_number (current ("hello")), 2u) << problems_text ();
  load ({ "hello" }, { "hello" });
  EXPECT_EQ (zm_generation_number (current ("hello")), 3u) << problems_text ();
  EXPECT_EQ (zm_generation_flags (current ("hello")) & ZM_PLUGIN_RESIDENT, 0u);
}

/* ---- what is told from there is foreign ---- */

TEST_F (CarriedTest, OneInstanceWhereNothingIsThreadsafe)
{
  install ("plugins/swap", "hello");
  settings.insert (settings.end (), { "plugin hello.instances=4", "plugin hello.threads=4" });
  fake.actions = { "serial", "0", "" };
  load ({ "hello" });
  EXPECT_EQ (zm_generation_placement (current ("hello"))->instances, 1u);
  EXPECT_EQ (zm_generation_placement (current ("hello"))->threads, 1u);
  EXPECT_EQ (zm_problems_warnings (problems), 2u);
  EXPECT_NE (problems_text ().find ("ZM1317"), std::string::npos) << problems_text ();
  EXPECT_NE (problems_text ().find ("ZM1321"), std::string::npos) << problems_text ();

  fake.flags = ZM_PLUGIN_THREADSAFE;
  load ({ "hello" }, { "hello" });
  EXPECT_EQ (zm_generation_placement (current ("hello"))->instances, 4u);
  EXPECT_EQ (problems_text (), "");
}

/* By its note alone: nothing is opened for it. */
TEST_F (CarriedTest, AStoreRunsInTheDaemonOnly)
{
  install ("plugins/store", "hello");
  load ({ "hello" });
  EXPECT_EQ (current ("hello"), nullptr);
  EXPECT_NE (problems_text ().find ("it is a store, which runs in the daemon itself"), std::string::npos)
      << problems_text ();
  EXPECT_NE (problems_text ().find ("set isolation = thread in [plugin hello]"), std::string::npos);
}

TEST_F (CarriedTest, HooksAreRefused)
{
  install ("plugins/swap", "hello");
  fake.features = ZM_HOSTED_HOOKS;
  load ({ "hello" });
  EXPECT_EQ (current ("hello"), nullptr);
  EXPECT_NE (problems_text ().find ("set isolation = thread in [plugin hello]"), std::string::npos)
      << problems_text ();
}

TEST_F (CarriedTest, ASourceIsTheCarriers)
{
  install ("plugins/swap", "hello");
  functions.source.open = [] (void *, const zm_host *, void **) { return static_cast<int> (ZM_OK); };
  fake.features = ZM_HOSTED_SOURCE;
  load ({ "hello" });
  const zm_plugin_desc *descriptor = zm_generation_descriptor (current ("hello"));
  ASSERT_NE (descriptor->source, nullptr);
  EXPECT_EQ (descriptor->source->open, functions.source.open);
}

TEST_F (CarriedTest, NonsenseIsRefused)
{
  const struct {
    Texts actions, options;
    gint64 status;
    const char *says;
  } cases[] = {
    { { "greet" }, {}, ZM_OK, "actions cannot be read" },
    { { "greet", "x", "" }, {}, ZM_OK, "actions cannot be read" },
    { { "greet", "-1", "" }, {}, ZM_OK, "actions cannot be read" },
    { { "greet", "0" }, {}, ZM_OK, "actions cannot be read" },
    { { "greet", "0", "\xff" }, {}, ZM_OK, "actions cannot be read" },
    { { "greet", "0", "", "greet", "0", "" }, {}, ZM_OK, "actions cannot be read" },
    { { "printf", "0", "" }, {}, ZM_OK, "printf" },
    { { "no name", "0", "" }, {}, ZM_OK, "no name" },
    { {}, { "where", "0", "0", "" }, ZM_OK, "options cannot be read" },
    { {}, { "where", "6", "0", "", "" }, ZM_OK, "options cannot be read" },
    { {}, { "where", "0", "0", "no =", "" }, ZM_OK, "options cannot be read" },
    { {}, { "", "0", "0", "", "" }, ZM_OK, "options cannot be read" },
    { {}, { "\xff", "0", "0", "", "" }, ZM_OK, "options cannot be read" },
    { {}, {}, ZM_E_FAILED, "it said no" },
  };

  install ("plugins/swap", "hello");
  for (const auto &one : cases) {
    fake.actions = one.actions;
    fake.options = one.options;
    fake.status = one.status;
    load ({ "hello" });
    EXPECT_EQ (current ("hello"), nullptr) << one.says;
    EXPECT_NE (problems_text ().find (one.says), std::string::npos) << problems_text ();
  }
  fake.status = ZM_OK;
  fake.options.clear ();
  fake.actions.clear ();
  for (guint i = 0; i < 1025; i++)
    for (const std::string &text : { "a" + std::to_string (i), std::string ("0"), std::string () })
      fake.actions.push_back (text);
  load ({ "hello" });
  EXPECT_EQ (current ("hello"), nullptr) << "more than anybody has";
}

/* ---- variants: a mapping's own wish ---- */

class VariantTest : public CarriedTest {
protected:
  void
  SetUp () override
  {
    CarriedTest::SetUp ();
    settings.clear ();
  }

  /* What a mapping to this place would call: the generation's name, or the error. */
  std::string
  mapped (const char *plugin, const char *isolation, const char *symbol = "greet")
  {
    g_autoptr (GError) error = nullptr;
    g_autoptr (ZmPluginSet) set = zm_plugins_current (plugins);
    const ZmAction *action = zm_plugin_set_action_at (set, plugin, isolation, symbol, &error);

    if (action == nullptr)
      return error->message;
    EXPECT_STREQ (action->plugin, plugin) << "results and errors name the plugin";
    return zm_generation_name (action->generation);
  }
};

TEST_F (VariantTest, OneFileRunsInSeveralPlaces)
{
  install ("plugins/swap", "hello");
  settings = { "plugin hello.threads=2", "plugin hello.priority=7" };
  load ({ "hello", "hello@private", "hello@process", "hello@thread" });

  ASSERT_EQ (problems_text (), "");
  EXPECT_EQ (mapped ("hello", nullptr), "hello");
  EXPECT_EQ (mapped ("hello", "thread"), "hello") << "it runs so anyway";
  EXPECT_EQ (mapped ("hello", "private"), "hello@private");
  EXPECT_EQ (mapped ("hello", "process"), "hello@process");
  EXPECT_EQ (fake.times ("open"), 2u);
  EXPECT_EQ (isolation_of ("hello@private"), "private, mapping");
  EXPECT_EQ (zm_generation_placement (current ("hello@private"))->threads, 2u) << "the same section";
  EXPECT_EQ (zm_generation_priority (current ("hello@private")), 7);
  EXPECT_STREQ (zm_generation_plugin (current ("hello@private")), "hello");
  EXPECT_EQ (mapped ("hello", "private", "gret").find ("plugin 'hello' has no action 'gret'"), 0u);

  /* Where the plugin's own place changes the variant of that place is not needed any more. */
  settings = { "plugin hello.isolation=private" };
  load ({ "hello", "hello@private", "hello@process" });
  EXPECT_EQ (mapped ("hello", "private"), "hello");
  EXPECT_EQ (current ("hello@private"), nullptr);
}

TEST_F (VariantTest, AloneItIsAllOfThePlugin)
{
  install ("plugins/swap", "hello");
  load ({ "hello@process" });
  EXPECT_EQ (mapped ("hello", "process"), "hello@process");
  EXPECT_EQ (current ("hello"), nullptr) << "nobody wants it in the daemon";
  g_autoptr (ZmPluginSet) set = zm_plugins_current (plugins);
  EXPECT_TRUE (zm_plugin_set_has (set, "hello"));
  load ({ "hello@process" }, { "hello" });
  EXPECT_EQ (zm_generation_number (current ("hello@process")), 2u) << "who asks for it asks for all";
}

TEST_F (VariantTest, ItNeedsWhatThePluginNeeds)
{
  install ("plugins/needs-swap", "dependent");
  load ({ "dependent@process" });
  EXPECT_EQ (current ("dependent@process"), nullptr);
  EXPECT_NE (problems_text ().find ("plugin 'dependent@process' needs 'swap'"), std::string::npos)
      << problems_text ();

  install ("plugins/swap", "swap");
  load ({ "dependent@process" });
  ASSERT_NE (current ("dependent@process"), nullptr) << problems_text ();
  EXPECT_NE (current ("swap"), nullptr);
}

TEST_F (VariantTest, AFailureIsTheVariantsOnly)
{
  install ("plugins/swap", "hello");
  fake.fail = { "start" };
  load ({ "hello", "hello@process" });
  EXPECT_EQ (mapped ("hello", nullptr), "hello");
  EXPECT_EQ (mapped ("hello", "process"), "plugin 'hello@process' is not loaded: its start failed");
}

TEST_F (VariantTest, WhatCanRunOnceOnlyHasNone)
{
  struct {
    guint64 flags, features;
    const char *says;
  } const cases[] = { { ZM_PLUGIN_EXCLUSIVE, 0, "is EXCLUSIVE" },
                      { 0, ZM_HOSTED_SOURCE, "is a source" },
                      { 0, ZM_HOSTED_HOOKS, "has hooks" } };

  install ("plugins/swap", "hello");
  for (const auto &one : cases) {
    fake.flags = one.flags;
    fake.features = one.features;
    load ({ "hello", "hello@process" });
    EXPECT_EQ (problems_text (), "") << "the mapping tells it";
    EXPECT_NE (mapped ("hello", "process").find (one.says), std::string::npos) << mapped ("hello", "process");
    EXPECT_EQ (mapped ("hello", nullptr), "hello");
    EXPECT_EQ (fake.times ("init"), 0u);
  }
}

} // namespace
