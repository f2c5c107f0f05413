/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the worker room's tests share: a pool with real plugins, real tables and real threads; only the sockets around it are
 * left out. */
#pragma once

#include "worker/zm-pool.h"

#include <glib/gstdio.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace worker {

inline std::string
str (ZmSpan span)
{
  return std::string (span.data ? span.data : "", span.size);
}

struct Out {
  std::string topic, body, headers;
};

/* A pool with everything below it. Results are collected as they are published. */
class Worker : public ::testing::Test {
protected:
  void
  begin (const char *mappings, const char *flows = "", guint workers = 2)
  {
    the_test = this;
    log = zm_log_new (2, ZM_LOG_FORMAT_HUMAN, ZM_LEVEL_ERROR);
    metrics = zm_metrics_new ();
    timers = zm_timers_new (NULL);
    tables = zm_table_slot_new ();
    keeper = zm_keeper_memory_new (keeper_most);
    copies = g_dir_make_tmp ("zm-worker-XXXXXX", NULL);
    plugin_dir = std::string (g_getenv ("ZM_BUILDDIR") ? g_getenv ("ZM_BUILDDIR") : ".") +
                 (isolation () ? "/tests/unit/plugins/away/.libs" : "/tests/unit/plugins/.libs");
    path[0] = plugin_dir.c_str ();
    path[1] = NULL;
    open_hosts ();
    ZmPluginsConfig plugins_config = {};
    plugins_config.carrier = zm_hosts_carrier (hosts);
    plugins_config.path = path;
    plugins_config.copy_directory = copies;
#if defined(__SANITIZE_THREAD__)
    plugins_config.no_dlclose = TRUE; /* the next copy at the same address looks like a race */
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
    plugins_config.no_dlclose = TRUE;
#endif
#endif
    plugins_config.host.struct_size = sizeof (zm_host);
    plugins_config.drain_ms = 5000;
    zm_pool_fill_host (&plugins_config.host);
    plugins_config.host.complete = [] (const zm_host *host, zm_ticket ticket, const zm_outcome *outcome) {
      return zm_pool_complete (the_pool, zm_generation_of_host (host), ticket, outcome);
    };
    plugins_config.host.ticket_cancelled = [] (const zm_host *, zm_ticket ticket) {
      return zm_pool_ticket_cancelled (the_pool, ticket);
    };
    plugins_config.host.log = [] (const zm_host *, int, const char *) {};
    plugins_config.host.metric = [] (const zm_host *, int kind, const char *name, double value) {
      return the_test->metric (kind, name, value);
    };
    plugins_config.host.timer_start = [] (const zm_host *host, const char *name, zm_action_fn action,
                                          unsigned first, unsigned period) {
      return zm_pool_timer_start (the_pool, zm_generation_of_host (host), name, action, first, period);
    };
    plugins_config.host.timer_stop = [] (const zm_host *host, zm_ticket timer) {
      return zm_pool_timer_stop (the_pool, zm_generation_of_host (host), timer);
    };
    plugins_config.host.call_action = [] (const zm_host *host, const zm_event *event, int ms,
                                          zm_result_fn done, void *user) {
      ZmMessage *message = make (event->key, std::string ((const char *) event->body, event->body_size), "",
                                 event->flow ? event->flow : "", event->id ? event->id : "called");
      return zm_pool_call_action (the_pool, zm_generation_of_host (host), message, ms, done, user);
    };
    plugins_config.retired = [] (ZmGeneration *generation, gpointer) {
      if (the_pool)
        zm_pool_retire (the_pool, generation);
    };
    plugins_config.log = log;
    plugins_config.metrics = metrics;
    plugins = zm_plugins_new (&plugins_config);
    load (mappings, flows);
    config.workers = workers;
    config.tables = tables;
    config.keeper = keeper;
    config.hosts = hosts;
    config.timers = timers;
    config.publish = [] (ZmMessage *const *messages, guint n, gpointer user) {
      return static_cast<Worker *> (user)->publish (messages, n);
    };
    config.reply = [] (guint64 ticket, int status, const ZmMessage *result, gpointer user) {
      static_cast<Worker *> (user)->reply (ticket, status, result);
    };
    config.has_subscriber = [] (ZmSpan topic, gpointer user) {
      return (gboolean) (static_cast<Worker *> (user)->taken (str (topic)));
    };
    config.user = this;
    config.log = log;
    config.metrics = metrics;
    g_autoptr (GError) error = NULL;
    pool = the_pool = zm_pool_new (&config, &error);
    ASSERT_NE (pool, nullptr) << error->message;
  }

  /* Where the plugin runs: "process" or "private"; NULL: in this process. The same tests for all three. */
  static const char *
  isolation ()
  {
    return g_getenv ("ZM_TEST_ISOLATION");
  }

  void
  open_hosts ()
  {
    g_autofree char *program = NULL;
    ZmHostsConfig hosts_config = {};
    g_autoptr (GError) error = NULL;
    if (!isolation ())
      return;
    program = g_canonicalize_filename (
        (std::string (g_getenv ("ZM_BUILDDIR") ? g_getenv ("ZM_BUILDDIR") : ".") + "/zmanager-host").c_str (),
        NULL);
    hosts_config.program = program;
    hosts_config.directory = "/";
    hosts_config.call_ms = 10000;
    hosts_config.drain_ms = 5000;
    hosts_config.hard_after_us = config.hard_after_us > 0 ? config.hard_after_us : 5 * G_USEC_PER_SEC;
    hosts_config.ended = [] (ZmHostCall *calls, gpointer) { zm_pool_hosted_ended (the_pool, calls); };
    hosts_config.idle = [] (ZmGeneration *generation, gpointer) {
      zm_pool_hosted_idle (the_pool, generation);
    };
    hosts_config.emit = [] (ZmGeneration *, const zm_event *, guint, gpointer) {
      return (int) ZM_E_UNSUPPORTED;
    };
    hosts_config.ask = [] (ZmGeneration *generation, const zm_event *event, guint, int ms, zm_result_fn done,
                           void *user, gpointer) {
      const zm_host *host = zm_generation_host (generation);
      return host->call_action (host, event, ms, done, user);
    };
    hosts_config.log = log;
    hosts_config.metrics = metrics;
    hosts = zm_hosts_new (&hosts_config, &error);
    ASSERT_NE (hosts, nullptr) << error->message;
  }

  /* The same plugin as a new generation, and a new table: as the runtime does it. */
  void
  reload (const char *mappings, const char *flows = "")
  {
    load (mappings, flows, TRUE);
  }

  void
  load (const char *mappings, const char *flows, gboolean again = FALSE)
  {
    g_autoptr (ZmProblems) problems = zm_problems_new ();
    g_autoptr (ZmConfig) empty = zm_config_new ();
    if (hosts) {
      std::string place = std::string ("plugin tester.isolation=") + isolation ();
      zm_config_add_setting (empty, place.c_str (), "--set", problems);
      zm_config_add_setting (empty, "plugin tester.threads=4", "--set", problems);
    }
    zm_config_finish (empty, problems);
    zm_plugins_scan (plugins, problems);
    const char *wanted[] = { "tester", also, NULL };
    ZmPluginSet *set = zm_plugins_prepare (plugins, empty, wanted, again ? wanted : NULL, problems);
    g_autoptr (ZmPluginSet) before = zm_plugins_current (plugins);
    ZmTableInput input = {};
    input.mappings = g_ptr_array_new_with_free_func ((GDestroyNotify) zm_mapping_free);
    input.flows = g_ptr_array_new_with_free_func ((GDestroyNotify) zm_flow_unref);
    zm_mapping_read_text ("test.ini", zm_span_text (mappings), input.mappings, problems);
    zm_flow_read_text ("test.flow", zm_span_text (flows), input.flows, problems);
    input.set = set;
    input.timeout_ms = timeout_ms;
    ZmTable *table = zm_table_build (&input, problems);
    g_autofree char *found = zm_problems_format (problems);
    ASSERT_EQ (zm_problems_errors (problems), 0u) << found;
    if (again)
      zm_pool_succeed (pool, zm_plugin_set_find (before, "tester"), zm_plugin_set_find (set, "tester"),
                       drain_us);
    zm_table_slot_swap (tables, table);
    zm_plugins_commit (plugins, set);
  }

  void
  TearDown () override
  {
    if (pool) {
      zm_pool_drain (pool, zm_now_us () + 5 * G_USEC_PER_SEC);
      zm_pool_stop (pool);
    }
    drop_kept ();
    zm_table_slot_free (tables);
    zm_plugins_free (plugins);
    zm_hosts_free (hosts);
    zm_pool_free (pool);
    the_pool = nullptr;
    keeper->ops->free (keeper);
    zm_timers_free (timers);
    zm_metrics_free (metrics);
    zm_log_unref (log);
    g_rmdir (copies);
    g_free (copies);
  }

  gboolean
  publish (ZmMessage *const *messages, guint n)
  {
    std::lock_guard<std::mutex> guard (lock);
    for (guint i = 0; i < n; i++) {
      out.push_back ({ str (zm_message_topic (messages[i])), str (zm_message_body (messages[i])),
                       str (zm_message_headers (messages[i])) });
      if (keep_messages)
        kept.push_back (messages[i]);
      else
        zm_message_unref (messages[i]);
    }
    changed.notify_all ();
    return TRUE;
  }

  int
  metric (int kind, const char *name, double value)
  {
    std::lock_guard<std::mutex> guard (lock);
    values[name] = kind == ZM_METRIC_GAUGE ? value : values[name] + value;
    return ZM_OK;
  }

  double
  value (const char *name)
  {
    std::lock_guard<std::mutex> guard (lock);
    return values[name];
  }

  void
  drop_kept ()
  {
    std::lock_guard<std::mutex> guard (lock);
    for (ZmMessage *message : kept)
      zm_message_unref (message);
    kept.clear ();
  }

  void
  reply (guint64 ticket, int status, const ZmMessage *result)
  {
    std::lock_guard<std::mutex> guard (lock);
    replies[ticket] = { status, result ? str (zm_message_body (result)) : "" };
    changed.notify_all ();
  }

  bool
  taken (const std::string &topic)
  {
    std::lock_guard<std::mutex> guard (lock);
    for (const auto &prefix : no_taker)
      if (topic.compare (0, prefix.size (), prefix) == 0)
        return false;
    return true;
  }

  void
  send (const char *key_text, const std::string &body = "", const char *flow = "", const char *id = "i1",
        guint64 ticket = 0, const char *headers = "")
  {
    ZmMessage *message = make (key_text, body, headers, flow, id);
    message->reply = ticket;
    zm_pool_push (pool, &message, 1);
  }

  static ZmMessage *
  make (const char *key_text, const std::string &body, const char *headers = "", const char *flow = "",
        const char *id = "i1")
  {
    ZmKey key = {};
    g_autoptr (GError) error = NULL;
    EXPECT_TRUE (zm_key_parse (zm_span_text (key_text), &key, NULL, &error)) << error->message;
    return zm_message_new (zm_span_text (flow), &key, zm_span_text (id), zm_span_text (headers),
                           zm_span (body.data (), body.size ()));
  }

  /* All of them in one push: key and body. */
  void
  push (const std::vector<std::pair<std::string, std::string>> &all, const char *headers = "",
        gint64 deadline_us = 0)
  {
    std::vector<ZmMessage *> messages;
    for (const auto &one : all) {
      std::string id = "p" + std::to_string (messages.size ());
      messages.push_back (make (one.first.c_str (), one.second, headers, "", id.c_str ()));
      messages.back ()->deadline_us = deadline_us;
    }
    zm_pool_push (pool, messages.data (), (guint) messages.size ());
  }

  /* The plugin's generation; borrowed. */
  ZmGeneration *
  current ()
  {
    g_autoptr (ZmPluginSet) set = zm_plugins_current (plugins);
    return zm_plugin_set_find (set, "tester");
  }

  /* Old generations and who holds them. */
  std::string
  held ()
  {
    g_auto (GStrv) lines = zm_plugins_held (plugins);
    g_autofree char *text = g_strjoinv ("\n", lines);
    return text;
  }

  template <typename Condition>
  static bool
  eventually (Condition condition)
  {
    gint64 until = zm_now_us () + 20 * G_USEC_PER_SEC;
    while (!condition ()) {
      if (zm_now_us () > until)
        return false;
      g_usleep (500);
    }
    return true;
  }

  /* Waits until n calls run. */
  void
  wait_calling (int n)
  {
    ASSERT_TRUE (eventually ([&] {
      g_autofree char *json = zm_pool_running_json (pool);
      int calling = 0;
      for (const char *at = json; (at = strstr (at, "\"calling\"")); at++)
        calling++;
      g_autoptr (GString) outside = g_string_new (NULL);
      zm_hosts_append_running (hosts, outside);
      for (const char *at = outside->str; (at = strstr (at, "\"calling\"")); at++)
        calling++;
      return calling == n;
    }));
  }

  /* A number of the pool's status. */
  double
  number (const char *name)
  {
    g_autofree char *json = zm_pool_status_json (pool);
    ZmSpan raw = {};
    EXPECT_TRUE (zm_json_member (zm_span_text (json), name, &raw)) << json;
    return std::stod (str (raw));
  }

  /* Waits until n were published. */
  std::vector<Out>
  wait (size_t n)
  {
    std::unique_lock<std::mutex> guard (lock);
    EXPECT_TRUE (changed.wait_for (guard, std::chrono::seconds (20), [&] { return out.size () >= n; }))
        << "only " << out.size () << " of " << n;
    return out;
  }

  std::pair<int, std::string>
  wait_reply (guint64 ticket)
  {
    std::unique_lock<std::mutex> guard (lock);
    EXPECT_TRUE (
        changed.wait_for (guard, std::chrono::seconds (20), [&] { return replies.count (ticket) > 0; }));
    return replies[ticket];
  }

  /* Waits until n instances wait for an answer. */
  void
  wait_parked (guint n)
  {
    gint64 until = zm_now_us () + 20 * G_USEC_PER_SEC;
    while (keeper->ops->count (keeper) != n && zm_now_us () < until)
      g_thread_yield ();
    ASSERT_EQ (keeper->ops->count (keeper), n);
  }

  Out
  one (const char *key, const std::string &body = "", const char *flow = "")
  {
    send (key, body, flow);
    auto all = wait (1);
    return all.empty () ? Out () : all[0];
  }

  static inline ZmPool *the_pool = nullptr;
  static inline Worker *the_test = nullptr;
  ZmPoolConfig config = {};
  ZmPool *pool = nullptr;
  ZmLog *log = nullptr;
  ZmMetrics *metrics = nullptr;
  ZmTimers *timers = nullptr;
  ZmTableSlot *tables = nullptr;
  ZmKeeper *keeper = nullptr;
  ZmPlugins *plugins = nullptr;
  ZmHosts *hosts = nullptr;
  char *copies = nullptr;
  std::string plugin_dir;
  const char *path[2];
  gint64 timeout_ms = 10000;
  const char *also = NULL; /* a second plugin */
  guint keeper_most = 1000;
  gint64 drain_us = 5 * G_USEC_PER_SEC;
  bool keep_messages = false;
  std::vector<ZmMessage *> kept;
  std::map<std::string, double> values;
  std::mutex lock;
  std::condition_variable changed;
  std::vector<Out> out;
  std::map<guint64, std::pair<int, std::string>> replies;
  std::set<std::string> no_taker;
};

inline const char *const all_mappings =
    "[actionmapping]\n"
    "?T?echo = tester.echo\n?T?release = tester.release\n?T?timers = tester.many_timers\n?T?serial = "
    "tester.serial_echo\n?T?add_a = "
    "tester.add_a\n"
    "?T?add_b = tester.add_b\n?T?add_c = tester.add_c\n?T?json = tester.json\n"
    "?T?silent = tester.silent\n?T?reject = tester.reject\n?T?retry = tester.retry\n"
    "?T?nonsense = tester.nonsense\n?T?failing = tester.failing\n"
    "?T?forge = tester.forge\n?T?go_on = tester.go_on\n?T?go_round = tester.go_round\n"
    "?T?go_out = tester.go_out\n?T?own_key = tester.own_key\n"
    "?T?binary = tester.binary\n?T?text = tester.text\n?T?large = tester.large\n"
    "?T?hang = tester.hang\n?T?serial_hang = tester.serial_hang\n"
    "?T?nap = tester.serial_nap\n?T?silent_nap = tester.silent_nap\n?T?alone = tester.alone\n?T?defer = "
    "tester.defer\n"
    "?T?defer_at_once = tester.defer_at_once\n?T?defer_never = tester.defer_never\n"
    "?T?defer_not = tester.defer_not\n?T?defer_and_ok = tester.defer_and_ok\n"
    "?T?defer_twice = tester.defer_twice\n?T?once = tester.once\n?T?defer_until = tester.defer_until\n"
    "?T?stay = tester.stay_here\n?T?serial_stay = tester.serial_stay\n"
    "?T?gather = tester.gather\n?T?pace = tester.pace\n?T?left = tester.left\n"
    "?T?tick = tester.tick\n?T?state = tester.state\n?T?ask = tester.ask\n"
    "?T?header = tester.tell_header\n?T?type = tester.tell_type\n"
    "?T?bad_json = tester.bad_json\n?T?number = tester.number\n"
    "?T?untyped = tester.words_as_type\n?T?complete_oddly = tester.complete_oddly\n"
    "?T?complete_next = tester.complete_next\n?Hooked?never = tester.echo\n"
    "?Hooked?echo = tester.echo\n?Hooked?failing = tester.failing\n";

} // namespace worker

using namespace worker; /* every test of the room uses it */
