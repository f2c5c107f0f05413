/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A host for one plugin without the daemon: opens the .so, keeps what the plugin says, and lets a test be the worker. One
 * test is one thread, apart from the plugin's own; what those write is behind a mutex, and wait () waits for it.
 */
#pragma once

#include "zmanager/plugin.h"

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <dlfcn.h>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

struct Reply {
  int status = 0;
  std::string body, type, key, code, text;
};

struct Event {
  std::string key, body, headers;
};

class FakeHost;

/* What an action is given; `call` is first, so that the host finds the rest. */
struct FakeCall {
  zm_call call = {};
  FakeHost *host = nullptr;
  Reply reply;
  bool has_reply = false, cancelled = false, deferred = false;
  zm_ticket ticket = 0;
  std::string body;
  std::map<std::string, std::string> headers;
};

class FakeHost {
public:
  using Text = std::string;

  /* kind: "components" or "sources". */
  FakeHost (const Text &kind, const Text &name, std::multimap<Text, Text> settings = {})
      : config (std::move (settings))
  {
    const char *build = std::getenv ("ZM_BUILDDIR");
    Text path = Text (build ? build : ".") + "/plugins/" + kind + "/" + name + "/.libs/" + name + ".so";
    fill ();
    handle = dlopen (path.c_str (), RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
      ADD_FAILURE () << dlerror ();
      return;
    }
    auto query = reinterpret_cast<zm_plugin_query_fn> (dlsym (handle, ZM_PLUGIN_QUERY_SYMBOL));
    desc = query ? query (&table) : nullptr;
  }

  ~FakeHost ()
  {
    stop ();
    if (handle)
      dlclose (handle);
  }

  FakeHost (const FakeHost &) = delete;
  FakeHost &operator= (const FakeHost &) = delete;

  int
  start ()
  {
    int status = desc->init ? desc->init (&table, &state) : ZM_OK;
    started = status == ZM_OK;
    return started && desc->start ? desc->start (state) : status;
  }

  /* As the daemon: stop, threads, then fini. */
  void
  stop ()
  {
    if (!started)
      return;
    started = false;
    if (desc->stop)
      desc->stop (state, 1000);
    for (auto &thread : threads)
      thread.first.join_after (thread.second);
    threads.clear ();
    if (desc->fini)
      desc->fini (state);
  }

  zm_action_fn
  action (const char *symbol) const
  {
    return reinterpret_cast<zm_action_fn> (dlsym (handle, symbol));
  }

  Reply
  run (const char *symbol, const Text &body = "", std::map<Text, Text> headers = {},
       void *worker_state = nullptr)
  {
    FakeCall call;
    return run (call, action (symbol), body, std::move (headers), worker_state);
  }

  Reply
  run (FakeCall &call, zm_action_fn fn, const Text &body = "", std::map<Text, Text> headers = {},
       void *worker_state = nullptr)
  {
    call.host = this;
    call.body = body;
    call.headers = std::move (headers);
    call.call.struct_size = sizeof call.call;
    call.call.host = &table;
    call.call.body = call.body.data ();
    call.call.body_size = call.body.size ();
    call.call.state = state;
    call.call.worker_state = worker_state;
    call.reply.status = fn (&call.call);
    return call.reply;
  }

  /* Waits until the condition holds, at most ten seconds; looked at whenever the plugin has said something. */
  bool
  wait (const std::function<bool ()> &condition)
  {
    std::unique_lock<std::mutex> guard (lock);
    return said.wait_for (guard, std::chrono::seconds (10), condition);
  }

  /* Says what emit answers from now on. */
  void
  answer_emit (int status)
  {
    std::lock_guard<std::mutex> guard (lock);
    emit_status = status;
  }

  zm_host table = {};
  const zm_plugin_desc *desc = nullptr;
  void *state = nullptr;
  std::multimap<Text, Text> config;
  /* Guarded by lock while the plugin has threads. */
  std::mutex lock;
  std::condition_variable said;
  std::vector<Event> events;
  std::vector<Text> logs;
  std::map<Text, double> metrics;
  std::map<zm_ticket, Reply> completed;
  std::vector<zm_ticket> order;
  std::map<zm_ticket, bool> given_up;
  std::map<Text, zm_action_fn> timers;
  int emit_status = ZM_OK;
  int refused = 0;

private:
  struct Thread {
    std::thread thread;
    void (*wake) (void *) = nullptr;

    void
    join_after (void *user)
    {
      wake (user);
      thread.join ();
    }
  };

  static FakeHost *
  of (const zm_host *host)
  {
    return static_cast<FakeHost *> (host->ctx);
  }

  static FakeCall *
  of (const zm_call *call)
  {
    return reinterpret_cast<FakeCall *> (const_cast<zm_call *> (call));
  }

  static Text
  text (const char *value)
  {
    return value ? value : "";
  }

  void
  fill_call ()
  {
    table.reply = [] (zm_call *call, const void *data, size_t size, const char *type) {
      FakeCall *fake = of (call);
      fake->has_reply = true;
      fake->reply.body.assign (size ? static_cast<const char *> (data) : "", size);
      fake->reply.type = text (type);
      return int (ZM_OK);
    };
    table.reply_take = [] (zm_call *call, void *data, size_t size, zm_free_fn free_fn, void *hint,
                           const char *type) {
      int status = call->host->reply (call, data, size, type);
      free_fn (data, hint);
      return status;
    };
    table.reply_key = [] (zm_call *call, const char *key) {
      of (call)->reply.key = text (key);
      return int (key && strchr (key, '?') ? ZM_OK : ZM_E_INVALID);
    };
    table.fail = [] (zm_call *call, const char *code, const char *why) {
      of (call)->reply.code = text (code);
      of (call)->reply.text = text (why);
      return int (ZM_OK);
    };
    table.header = [] (const zm_call *call, const char *name, char *buffer, size_t size) {
      auto found = of (call)->headers.find (name);
      if (found == of (call)->headers.end ())
        return int (ZM_E_NOT_FOUND);
      snprintf (buffer, size, "%s", found->second.c_str ());
      return int (found->second.size ());
    };
    table.cancelled = [] (const zm_call *call) { return int (of (call)->cancelled); };
    table.defer = [] (zm_call *call) {
      FakeCall *fake = of (call);
      std::lock_guard<std::mutex> guard (fake->host->lock);
      fake->deferred = true;
      fake->ticket = fake->host->next_ticket++;
      return fake->ticket;
    };
  }

  void
  fill ()
  {
    table.struct_size = sizeof table;
    table.ctx = this;
    fill_call ();
    table.complete = [] (const zm_host *host, zm_ticket ticket, const zm_outcome *outcome) {
      FakeHost *self = of (host);
      std::lock_guard<std::mutex> guard (self->lock);
      Reply reply;
      reply.status = outcome->status;
      reply.body.assign (outcome->body_size ? static_cast<const char *> (outcome->body) : "",
                         outcome->body_size);
      reply.code = text (outcome->code);
      bool first = self->completed.emplace (ticket, reply).second;
      self->order.push_back (ticket);
      self->said.notify_all ();
      return int (first ? ZM_OK : ZM_E_LATE);
    };
    table.ticket_cancelled = [] (const zm_host *host, zm_ticket ticket) {
      std::lock_guard<std::mutex> guard (of (host)->lock);
      return int (of (host)->given_up.count (ticket));
    };
    table.log = [] (const zm_host *host, int, const char *line) {
      std::lock_guard<std::mutex> guard (of (host)->lock);
      of (host)->logs.push_back (line);
    };
    table.config = [] (const zm_host *host, const char *key, unsigned index) -> const char * {
      FakeHost *self = of (host);
      auto range = self->config.equal_range (key);
      for (auto item = range.first; item != range.second; ++item)
        if (index-- == 0)
          return item->second.c_str ();
      if (range.first != range.second || index > 0)
        return nullptr;
      for (const zm_option_desc *option = self->desc->options; option && option->name; option++)
        if (strcmp (option->name, key) == 0)
          return option->standard;
      return nullptr;
    };
    table.emit = [] (const zm_host *host, const zm_event *event) {
      FakeHost *self = of (host);
      std::lock_guard<std::mutex> guard (self->lock);
      if (self->emit_status == ZM_OK)
        self->events.push_back ({ text (event->key),
                                  Text (static_cast<const char *> (event->body), event->body_size),
                                  text (event->headers) });
      else
        self->refused++;
      self->said.notify_all ();
      return self->emit_status;
    };
    table.timer_start = [] (const zm_host *host, const char *name, zm_action_fn fn, unsigned, unsigned) {
      of (host)->timers[name] = fn;
      return zm_ticket (1);
    };
    table.metric = [] (const zm_host *host, int kind, const char *name, double value) {
      FakeHost *self = of (host);
      std::lock_guard<std::mutex> guard (self->lock);
      self->metrics[name] = kind == ZM_METRIC_GAUGE ? value : self->metrics[name] + value;
      self->said.notify_all ();
      return int (ZM_OK);
    };
    table.thread_start = [] (const zm_host *host, const char *, void (*run) (void *), void (*wake) (void *),
                             void *user) {
      Thread thread;
      thread.wake = wake;
      thread.thread = std::thread (run, user);
      of (host)->threads.emplace_back (std::move (thread), user);
      return int (ZM_OK);
    };
  }

  void *handle = nullptr;
  bool started = false;
  zm_ticket next_ticket = 1;
  std::vector<std::pair<Thread, void *>> threads;
};
