/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests of the room routing share: tables from text, over a set of plugins that is made up. */
#pragma once

#include "routing/zm-keeper.h"
#include "routing/zm-table.h"

#include <memory>
#include <string>
#include <vector>

namespace routing {

/* The plugins of the made-up set: hello.greet, hello.wave, link-status.on_link_down and .store, and the seed's. */
ZmPluginSet *fake_set ();
/* How many references of it are held. */
int fake_set_refs ();

struct Problems {
  ZmProblems *list = zm_problems_new ();
  Problems () = default;
  Problems (const Problems &) = delete;
  ~Problems ()
  {
    zm_problems_free (list);
  }
  std::string text () const;
};

/* A flow that ?a?Push starts, and whose step is ?a?one. */
extern const char *const FLOW_A;
/* A mapping file of one mapping. */
std::string mapping (const std::string &key, const std::string &value = "hello.greet");

/* A table from the text of a mapping file and of a flow file. */
struct Table {
  Problems problems;
  ZmTable *table = nullptr;
  Table (const std::string &mappings, const std::string &flows, bool with_plugins = true);
  Table (const Table &) = delete;
  ~Table ()
  {
    zm_table_unref (table);
  }

  /* "plugin.symbol", "worker:NAME", or "" for nothing. */
  std::string resolve (const std::string &key, bool default_route = true) const;
  /* The same by the hot path, of a message; flow empty: without one. */
  std::string lookup (const std::string &key, const std::string &flow = "") const;
  /* Names of the flows that a message triggers, in order, with a blank between. */
  std::string triggers (const std::string &key, const std::string &flow = "") const;
  /* What a step is: "plugin.symbol", "flow NAME", or "" for hand-over. */
  std::string step (const ZmFlow *flow, unsigned step, int branch = 0) const;
  ZmFlow *flow (const std::string &name) const;
};

std::string of_route (const ZmRoute *route);
/* A key that is good. */
ZmKey key_of (const char *text);
/* A file of tests/unit/data. */
std::string data_path (const std::string &name);
std::string read_data (const std::string &name);
/* Owned text of a C string. */
std::string take (char *text);

} // namespace routing
