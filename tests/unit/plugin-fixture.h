/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A plugin directory of its own for each test, a registry on it, and a host that counts what plugins tell it. */
#pragma once

#include "plugin/zm-carrier.h"
#include "plugin/zm-plugins.h"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <fstream>
#include <functional>
#include <map>
#include <mutex>
#include <sstream>
#include <string>
#include <vector>

#include <glib/gstdio.h>
#include <sys/stat.h>
#include <unistd.h>

inline std::string
text_of (char *owned)
{
  std::string text = owned != nullptr ? owned : "";

  g_free (owned);
  return text;
}

inline std::string
build_path (const std::string &below)
{
  const char *build = g_getenv ("ZM_BUILDDIR");

  return std::string (build != nullptr ? build : ".") + "/" + below;
}

/* The library that a fragment under tests/ builds: "bad-plugins/mylib". */
inline std::string
built_plugin (const std::string &name)
{
  size_t slash = name.find ('/');

  return build_path ("tests/" + name.substr (0, slash) + "/.libs" + name.substr (slash) + ".so");
}

inline std::string
read_file (const std::string &path)
{
  std::ifstream in (path, std::ios::binary);
  std::stringstream out;

  out << in.rdbuf ();
  return out.str ();
}

inline guint
count_entries (const char *path)
{
  g_autoptr (GDir) entries = g_dir_open (path, 0, nullptr);
  guint count = 0;

  while (entries != nullptr && g_dir_read_name (entries) != nullptr)
    count++;
  return count;
}

inline guint
count_of (const std::string &text, const std::string &what)
{
  guint count = 0;

  for (size_t at = text.find (what); at != std::string::npos; at = text.find (what, at + 1))
    count++;
  return count;
}

inline guint
count_maps (const std::string &what)
{
  return count_of (read_file ("/proc/self/maps"), what);
}

/* As an installer does it: written beside, then moved over. */
inline void
write_file (const std::string &path, const std::string &bytes)
{
  std::string beside = path + ".new";

  std::ofstream (beside, std::ios::binary | std::ios::trunc) << bytes;
  ASSERT_EQ (chmod (beside.c_str (), 0644), 0);
  ASSERT_EQ (rename (beside.c_str (), path.c_str ()), 0);
}

/* Waits for something that another thread brings about. */
inline bool
eventually (const std::function<bool ()> &happened, int seconds = 20)
{
  gint64 until = g_get_monotonic_time () + seconds * G_USEC_PER_SEC;

  while (!happened ()) {
    if (g_get_monotonic_time () > until)
      return false;
    g_usleep (1000);
  }
  return true;
}

/* What plugins told their host. */
struct Told {
  std::mutex lock;
  std::map<std::string, double> metrics;

  double
  get (const std::string &name)
  {
    std::lock_guard<std::mutex> guard (lock);

    return metrics[name];
  }
};

inline Told *
told_of (const zm_host *host)
{
  return static_cast<Told *> (zm_generation_owner (zm_generation_of_host (host)));
}

inline void
host_log (const zm_host *, int, const char *)
{
}

inline const char *
host_config (const zm_host *host, const char *key, unsigned index)
{
  return zm_generation_config (zm_generation_of_host (host), key, index);
}

inline int
host_metric (const zm_host *host, int kind, const char *name, double value)
{
  Told *told = told_of (host);
  std::lock_guard<std::mutex> guard (told->lock);

  told->metrics[name] = kind == ZM_METRIC_COUNTER ? told->metrics[name] + value : value;
  return ZM_OK;
}

inline int
host_thread_start (const zm_host *host, const char *name, void (*run) (void *), void (*wake) (void *),
                   void *user)
{
  return zm_generation_thread_start (zm_generation_of_host (host), name, run, wake, user);
}

inline int
host_reply (zm_call *call, const void *data, size_t size, const char *)
{
  static_cast<std::string *> (call->worker_state)->assign (static_cast<const char *> (data), size);
  return ZM_OK;
}

class PluginTest : public testing::Test {
protected:
  std::string base, directory, site;
  Told told;
  ZmPlugins *plugins = nullptr;
  ZmMetrics *metrics = nullptr;
  ZmProblems *problems = nullptr;
  ZmConfig *config = nullptr;
  std::vector<std::string> settings;
  std::string probe = build_path ("zmanager-probe");
  bool probing = true;
  bool no_dlclose = false;
  guint drain_ms = 5000;
  guint call_ms = 5000;
  const ZmCarrier *carrier = nullptr;
  std::string system_directory = "/nowhere";

  void
  SetUp () override
  {
    char *made = g_dir_make_tmp ("zm-plugin-XXXXXX", nullptr);

    ASSERT_NE (made, nullptr);
    base = text_of (made);
    directory = base + "/plugins";
    site = base + "/site";
    ASSERT_EQ (mkdir (directory.c_str (), 0755), 0);
    ASSERT_EQ (mkdir (site.c_str (), 0755), 0);
    metrics = zm_metrics_new ();
    problems = zm_problems_new ();
  }

  void
  TearDown () override
  {
    close_registry ();
    zm_problems_free (problems);
    zm_metrics_free (metrics);
    g_clear_pointer (&config, zm_config_unref);
    remove_all (base);
  }

  static void
  remove_all (const std::string &path)
  {
    GDir *entries = g_dir_open (path.c_str (), 0, nullptr);
    const char *name;

    while (entries != nullptr && (name = g_dir_read_name (entries)) != nullptr)
      remove_all (path + "/" + name);
    if (entries != nullptr)
      g_dir_close (entries);
    g_remove (path.c_str ());
  }

  static void
  note_retired (ZmGeneration *generation, gpointer user)
  {
    Told *told = static_cast<Told *> (user);
    std::lock_guard<std::mutex> guard (told->lock);

    told->metrics[std::string ("retired ") + zm_generation_name (generation)]++;
  }

  void
  open_registry ()
  {
    const char *path[] = { site.c_str (), directory.c_str (), nullptr };
    std::string copies = base + "/copies";
    ZmPluginsConfig how = {};

    how.path = path;
    how.copy_directory = copies.c_str ();
    how.probe_program = probing ? probe.c_str () : nullptr;
    how.host.log = host_log;
    how.host.config = host_config;
    how.host.metric = host_metric;
    how.host.thread_start = host_thread_start;
    how.host.reply = host_reply;
    how.host.emit = [] (const zm_host *, const zm_event *) { return static_cast<int> (ZM_OK); };
    how.no_dlclose = no_dlclose;
    how.drain_ms = drain_ms;
    how.call_ms = call_ms;
    how.carrier = carrier;
    how.system_directory = system_directory.c_str ();
    how.metrics = metrics;
    how.retired = note_retired;
    how.user = &told;
    plugins = zm_plugins_new (&how);
  }

  void
  close_registry ()
  {
    g_clear_pointer (&plugins, zm_plugins_free);
  }

  /* Puts a built library there under a name: "acme/net/link" goes into sub-folders. */
  void
  install (const std::string &built, const std::string &as, const std::string &where = "")
  {
    install_bytes (read_file (built_plugin (built)), as, where);
  }

  void
  install_bytes (const std::string &bytes, const std::string &as, const std::string &where = "")
  {
    std::string path = (where.empty () ? directory : where) + "/" + as + ".so";
    g_autofree char *parent = g_path_get_dirname (path.c_str ());

    ASSERT_FALSE (bytes.empty ()) << as;
    g_mkdir_with_parents (parent, 0755);
    write_file (path, bytes);
  }

  void
  make_config ()
  {
    g_clear_pointer (&config, zm_config_unref);
    config = zm_config_new ();
    for (const auto &setting : settings)
      zm_config_add_setting (config, setting.c_str (), "--set", problems);
    zm_config_finish (config, problems);
  }

  void
  forget_problems ()
  {
    zm_problems_free (problems);
    problems = zm_problems_new ();
  }

  std::string
  problems_text ()
  {
    return text_of (zm_problems_format (problems));
  }

  /* Scans and makes a set with these. */
  ZmPluginSet *
  prepare (std::vector<const char *> wanted, std::vector<const char *> again = {})
  {
    if (plugins == nullptr)
      open_registry ();
    forget_problems ();
    make_config ();
    zm_plugins_scan (plugins, problems);
    wanted.push_back (nullptr);
    again.push_back (nullptr);
    return zm_plugins_prepare (plugins, config, wanted.data (), again.data (), problems);
  }

  void
  load (std::vector<const char *> wanted, std::vector<const char *> again = {})
  {
    ZmPluginSet *set =
        prepare (std::move (wanted), std::move (again)); /* may make the registry: before its use */

    zm_plugins_commit (plugins, set);
  }

  /* The one that is current now, borrowed; NULL where it is not loaded. */
  ZmGeneration *
  current (const char *name)
  {
    ZmPluginSet *set = zm_plugins_current (plugins);
    ZmGeneration *generation = set != nullptr ? zm_plugin_set_find (set, name) : nullptr;

    zm_plugin_set_unref (set);
    return generation;
  }

  /* What the current set says about "plugin.symbol". */
  std::string
  action_error (const char *plugin, const char *symbol)
  {
    g_autoptr (GError) error = nullptr;
    ZmPluginSet *set = zm_plugins_current (plugins);
    const ZmAction *action = zm_plugin_set_action (set, plugin, symbol, &error);

    zm_plugin_set_unref (set);
    return action == nullptr ? error->message : "";
  }

  /* Calls an action of the current set; its reply. */
  std::string
  call (const char *plugin, const char *symbol)
  {
    ZmPluginSet *set = zm_plugins_current (plugins);
    const ZmAction *action = zm_plugin_set_action (set, plugin, symbol, nullptr);
    std::string reply;
    zm_call call = {};

    if (action != nullptr) {
      call.struct_size = sizeof call;
      call.host = zm_generation_host (action->generation);
      call.worker_state = &reply;
      EXPECT_EQ (action->fn (&call), ZM_OK);
    }
    zm_plugin_set_unref (set);
    return reply;
  }

  std::string
  held ()
  {
    g_auto (GStrv) lines = zm_plugins_held (plugins);
    g_autofree char *text = g_strjoinv ("\n", lines);

    return text;
  }

  gint64
  metric (const char *name)
  {
    return zm_counter_get (zm_metrics_counter (metrics, name, "", nullptr, nullptr));
  }
};
