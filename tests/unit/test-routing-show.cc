/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The routing table: what it says to people, and the prefixes that a key pattern subscribes. */
#include "config.h"

#include "routing-fixture.h"

#include <gtest/gtest.h>

using namespace routing;

namespace {

/* ---- for people ---- */

const char *const SHOWN_MAPPINGS =
    "[actionmapping]\n?Link?Down = link-status.on_link_down\n??Down = hello.greet\n";
const char *const SHOWN_FLOW = "[watch]\nNetlink?Link?Down\n?Link?Down\n! ??Down\n?Link@PUBLISH?Seen\n"
                               "?Desk@ASYNC?Answer\n?Desk?Close & ?Desk?Log\n??done\n";

TEST (Explain, SaysEachCandidateAndEachStep)
{
  Table table (SHOWN_MAPPINGS, SHOWN_FLOW);
  ZmKey key = key_of ("Netlink?Link?Down");

  EXPECT_EQ (take (zm_table_explain (table.table, &key, FALSE)),
             "key Netlink?Link?Down\n"
             "flows triggered by a message without a flow: \n"
             "  watch (x.flow:1), trigger Netlink?Link?Down\n"
             "    1  ?Link?Down  link-status.on_link_down (x.ini:2:1)\n"
             "    !  ??Down  hello.greet (x.ini:3:1)\n"
             "    2  ?Link@PUBLISH?Seen  published on its own topic\n"
             "    3  ?Desk@ASYNC?Answer  waits for this key, then its body goes on (in no mapping)\n"
             "    4  ?Desk?Close  hand-over: in no mapping, published for a service to take\n"
             "    &  ?Desk?Log  hand-over: in no mapping, published for a service to take\n"
             "    5  ??done  publishes the flow's result and ends it\n"
             "mappings, the first hit counts:\n"
             "  S?C?A    Netlink?Link?Down  miss\n"
             "  S??A     Netlink??Down  miss\n"
             "  ?C?A     ?Link?Down  HIT  link-status.on_link_down (x.ini:2:1)\n"
             "  S?C?     Netlink?Link?  miss\n"
             "  S??      Netlink??  miss\n"
             "  ??A      ??Down  would hit  hello.greet (x.ini:3:1)\n"
             "  ?C?      ?Link?  miss\n"
             "  ??       ??  miss\n"
             "so: 1 flow starts\n");
}

TEST (Explain, SaysTheResultWithoutAFlow)
{
  Table table (SHOWN_MAPPINGS, "");
  ZmKey down = key_of ("?Link@FAST?Down"), none = key_of ("?Link?Up");
  std::string text = take (zm_table_explain (table.table, &down, FALSE));

  EXPECT_NE (text.find ("  S?C@D?A  ?Link@FAST?Down  miss\n  ?C?A     ?Link?Down  HIT  "), std::string::npos)
      << text;
  EXPECT_NE (text.find ("so: link-status.on_link_down (x.ini:2:1)\n"), std::string::npos) << text;
  text = take (zm_table_explain (table.table, &none, FALSE));
  EXPECT_NE (text.find ("so: no mapping and no flow: the message ends in the error `unmapped`\n"),
             std::string::npos);
}

TEST (Explain, AsJson)
{
  Table table (SHOWN_MAPPINGS, SHOWN_FLOW);
  ZmKey key = key_of ("Netlink?Link?Down"), none = key_of ("?Link?Up");
  std::string text = take (zm_table_explain (table.table, &key, TRUE));

  EXPECT_TRUE (zm_json_valid (zm_span_text (text.c_str ()))) << text;
  EXPECT_NE (
      text.find (
          "{\"form\":\"?C?A\",\"key\":\"?Link?Down\",\"hit\":true,\"taken\":true,\"route\":{\"key\":\"?Link?"
          "Down\",\"target\":\"action\",\"plugin\":\"link-status\",\"symbol\":\"on_link_down\","
          "\"loaded_as\":"
          "\"link-status\",\"generation\":1,\"isolation\":\"thread\",\"isolation_reason\":\"default\","
          "\"file\":\"x."
          "ini\",\"line\":2,\"column\":1,\"timeout_ms\":30000}}"),
      std::string::npos)
      << text;
  EXPECT_NE (text.find ("\"on_error\":{\"key\":\"??Down\",\"waits\":false,\"is\":\"mapped\""),
             std::string::npos)
      << text;
  EXPECT_NE (text.find ("{\"key\":\"?Desk?Log\",\"waits\":true,\"is\":\"hand-over\"}"), std::string::npos)
      << text;
  text = take (zm_table_explain (table.table, &none, TRUE));
  EXPECT_TRUE (zm_json_valid (zm_span_text (text.c_str ()))) << text;
  EXPECT_NE (text.find ("\"route\":null"), std::string::npos) << text;
}

TEST (Show, JsonAndDot)
{
  Table table (SHOWN_MAPPINGS, SHOWN_FLOW);
  std::string json = take (zm_flow_show (table.table, table.flow ("watch"), FALSE));
  std::string dot = take (zm_flow_show (table.table, table.flow ("watch"), TRUE));

  EXPECT_TRUE (zm_json_valid (zm_span_text (json.c_str ()))) << json;
  EXPECT_EQ (
      json.rfind (
          "{\"name\":\"watch\",\"file\":\"x.flow\",\"line\":1,\"trigger\":\"Netlink?Link?Down\",\"steps\":[",
          0),
      0u)
      << json;
  EXPECT_EQ (dot.rfind ("digraph \"watch\" {\n", 0), 0u);
  EXPECT_NE (dot.find ("  s1_1 -> s1_0 [style=dashed, label=\"error\"];\n"), std::string::npos) << dot;
  EXPECT_NE (dot.find ("  s4_2 -> s5_1;\n"), std::string::npos) << dot;
}

/* ---- prefixes ---- */

std::string
prefixes (const Table &table, const char *pattern)
{
  ZmKey key = key_of (pattern);
  char **list = zm_table_prefixes (table.table, &key);
  char *joined = g_strjoinv (" ", list);

  g_strfreev (list);
  return take (joined);
}

TEST (Prefixes, OfWhateverFlowAndMapping)
{
  Table table (SHOWN_MAPPINGS, std::string (SHOWN_FLOW) + "[other]\n?other?Push\n?Desk?Log\n??done\n");

  EXPECT_EQ (prefixes (table, "?Desk?Log"), "other~~~Desk~Log~ watch~~~Desk~Log~ ~~~Desk~Log~");
  EXPECT_EQ (prefixes (table, "?Desk?"), "other~~~Desk~Log~ watch~ASYNC~~Desk~Answer~ watch~~~Desk~Close~ "
                                         "watch~~~Desk~Log~ ~~hello~Desk~Down~ ~~~Desk~");
  EXPECT_EQ (prefixes (table, "??done"), "other~~~~done~ watch~~~~done~ ~~~~done~");
  EXPECT_EQ (prefixes (table, "?Link@PUBLISH?Seen"), "watch~PUBLISH~~Link~Seen~ ~PUBLISH~~Link~Seen~");
  /* A mapped step is not published; outside a flow its result is, with the component as sender. */
  EXPECT_EQ (prefixes (table, "?Link?Down"), "~~hello~Link~Down~ ~~link-status~Link~Down~ ~~~Link~Down~");
  EXPECT_EQ (prefixes (table, "link-status??"), "~~link-status~");
  /* ??Down leaves the context open, so the prefix ends before it. */
  EXPECT_EQ (prefixes (table, "hello??Down"), "~~hello~");
  EXPECT_EQ (prefixes (table, "??"), "");
}

TEST (Prefixes, NeverMatchALongerName)
{
  Table table ("", "[F]\n?F?Push\n?Link?Down\n??done\n[F2]\n?F2?Push\n?Link?Down2\n??done\n");

  EXPECT_EQ (prefixes (table, "?Link?Down"), "F~~~Link~Down~ ~~~Link~Down~");
}

} // namespace
