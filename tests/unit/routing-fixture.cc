/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "routing-fixture.h"

#include "plugin/zm-carrier.h"

#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

/* ---- a set of plugins without plugins: stands in for the room plugin at link time ---- */

struct ZmGeneration {
  std::string name;
  std::map<std::string, ZmAction> actions;
};

struct ZmPluginSet {
  std::atomic<int> refs{ 0 };
  std::vector<std::unique_ptr<ZmGeneration>> generations;
};

static void
add_plugin (ZmPluginSet *set, const char *name, const std::vector<const char *> &symbols)
{
  auto generation = std::make_unique<ZmGeneration> ();

  generation->name = name;
  for (const char *symbol : symbols)
    generation->actions[symbol] = ZmAction{ generation.get (), nullptr, name, symbol, TRUE, 0 };
  set->generations.push_back (std::move (generation));
}

static ZmPluginSet *
make_set ()
{
  static ZmPluginSet set;

  if (set.generations.empty ()) {
    add_plugin (&set, "hello", { "greet", "wave" });
    add_plugin (&set, "link-status", { "on_link_down", "on_probe", "store" });
    add_plugin (&set, "myapp.mycomponent.mycomponent_facade.MyComponent", { "my_method" });
  }
  return &set;
}

extern "C" {

ZmPluginSet *
zm_plugin_set_ref (ZmPluginSet *set)
{
  set->refs++;
  return set;
}

void
zm_plugin_set_unref (ZmPluginSet *set)
{
  set->refs--;
}

guint
zm_plugin_set_size (ZmPluginSet *set)
{
  return static_cast<guint> (set->generations.size ());
}

ZmGeneration *
zm_plugin_set_nth (ZmPluginSet *set, guint index)
{
  return set->generations[index].get ();
}

ZmGeneration *
zm_plugin_set_find (ZmPluginSet *set, const char *name)
{
  for (auto &generation : set->generations)
    if (generation->name == name)
      return generation.get ();
  return nullptr;
}

const char *
zm_generation_name (const ZmGeneration *generation)
{
  return generation->name.c_str ();
}

guint
zm_generation_number (const ZmGeneration *generation)
{
  (void) generation;
  return 1;
}

const ZmPlacement *
zm_generation_placement (const ZmGeneration *)
{
  static const ZmPlacement here = { ZM_ISOLATION_THREAD, "default", 1, 1, 0, 0 };

  return &here;
}

const char *
zm_isolation_name (ZmIsolation)
{
  return "thread";
}

char *
zm_generation_trouble (const ZmGeneration *)
{
  return nullptr;
}

void
zm_generation_describe (const ZmGeneration *, GString *)
{
}

gboolean
zm_plugin_set_has (ZmPluginSet *set, const char *plugin)
{
  return zm_plugin_set_find (set, plugin) != nullptr;
}

/* An isolation that is refused stands for a plugin that cannot run twice; in the others there is one copy. */
const ZmAction *
zm_plugin_set_action_at (ZmPluginSet *set, const char *plugin, const char *isolation, const char *symbol,
                         GError **error)
{
  ZmGeneration *generation = zm_plugin_set_find (set, plugin);

  if (g_strcmp0 (isolation, "private") == 0 && g_strcmp0 (symbol, "store") == 0) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_REFUSED, "plugin %s is EXCLUSIVE", plugin);
    return nullptr;
  }

  if (generation == nullptr) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_UNAVAILABLE, "plugin %s is not loaded", plugin);
    return nullptr;
  }
  auto found = generation->actions.find (symbol);
  if (found != generation->actions.end ())
    return &found->second;
  g_set_error (error, ZM_ERROR, ZM_ERROR_NOT_FOUND, "plugin %s has no action %s; did you mean %s?", plugin,
               symbol, generation->actions.begin ()->first.c_str ());
  return nullptr;
}
}

namespace routing {

const char *const FLOW_A = "[a]\n?a?Push\n?a?one\n??done\n";

std::string
mapping (const std::string &key, const std::string &value)
{
  return "[actionmapping]\n" + key + " = " + value + "\n";
}

ZmPluginSet *
fake_set ()
{
  return make_set ();
}

int
fake_set_refs ()
{
  return make_set ()->refs;
}

std::string
take (char *text)
{
  std::string copy = text != nullptr ? text : "(null)";

  g_free (text);
  return copy;
}

std::string
Problems::text () const
{
  return take (zm_problems_format (list));
}

static ZmSpan
span_of (const std::string &text)
{
  return zm_span (text.data (), text.size ());
}

Table::Table (const std::string &mappings, const std::string &flows, bool with_plugins)
{
  static const char *const workers[] = { "greet", "slow", nullptr };
  ZmTableInput input = {};

  input.mappings = g_ptr_array_new ();
  input.flows = g_ptr_array_new ();
  input.set = with_plugins ? fake_set () : nullptr;
  input.workers = workers;
  input.timeout_ms = 30000;
  zm_mapping_read_text ("x.ini", span_of (mappings), input.mappings, problems.list);
  zm_flow_read_text ("x.flow", span_of (flows), input.flows, problems.list);
  table = zm_table_build (&input, problems.list);
  EXPECT_EQ (input.mappings, nullptr);
  EXPECT_EQ (input.flows, nullptr);
}

std::string
of_route (const ZmRoute *route)
{
  if (route == nullptr)
    return "";
  if (route->mapping->worker != nullptr)
    return std::string ("worker:") + route->mapping->worker;
  return std::string (route->mapping->plugin) + "." + route->mapping->symbol;
}

ZmKey
key_of (const char *text)
{
  GError *error = nullptr;
  ZmKey key = {};

  EXPECT_TRUE (zm_key_parse (zm_span_text (text), &key, nullptr, &error)) << error->message;
  g_clear_error (&error);
  return key;
}

std::string
Table::resolve (const std::string &key, bool default_route) const
{
  ZmKey parsed = key_of (key.c_str ());

  return of_route (zm_table_resolve (table, &parsed, default_route));
}

/* Looks up as a worker does: from a topic's text. */
static ZmLookup
look_up (const ZmTable *table, const std::string &key, const std::string &flow)
{
  ZmKey parsed = key_of (key.c_str ());
  GString *text = g_string_new (flow.c_str ());
  ZmLookup lookup = {};
  ZmTopic topic = {};

  g_string_append_c (text, '~');
  zm_key_append_slug (&parsed, text);
  g_string_append (text, "~id-1");
  EXPECT_TRUE (zm_topic_parse (zm_span (text->str, text->len), &topic, nullptr)) << text->str;
  zm_table_lookup (table, &topic, &lookup);
  g_string_free (text, TRUE);
  return lookup;
}

std::string
Table::lookup (const std::string &key, const std::string &flow) const
{
  return of_route (look_up (table, key, flow).route);
}

std::string
Table::triggers (const std::string &key, const std::string &flow) const
{
  ZmLookup lookup = look_up (table, key, flow);
  std::string names;

  for (guint i = 0; i < lookup.n_flows; i++)
    names += (i > 0 ? " " : "") + std::string (lookup.flows[i]->name);
  return names;
}

std::string
Table::step (const ZmFlow *flow, unsigned step, int branch) const
{
  ZmStepTarget target = {};

  zm_table_step (table, flow, step, branch, &target);
  EXPECT_FALSE (target.child != nullptr && target.route != nullptr);
  return target.child != nullptr ? std::string ("flow ") + target.child->name : of_route (target.route);
}

ZmFlow *
Table::flow (const std::string &name) const
{
  return zm_table_flow (table, span_of (name));
}

std::string
data_path (const std::string &name)
{
  const char *source = g_getenv ("ZM_SRCDIR");

  return std::string (source != nullptr ? source : ".") + "/tests/unit/data/" + name;
}

std::string
read_data (const std::string &name)
{
  std::ifstream file (data_path (name), std::ios::binary);
  std::stringstream text;

  EXPECT_TRUE (file.good ()) << data_path (name);
  text << file.rdbuf ();
  return text.str ();
}

} // namespace routing
