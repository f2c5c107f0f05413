/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The worker room and its plugins: services, headers, hooks; and what is told of each message: sink, trace, figures. */
#include "worker-fixture.h"

namespace {

/* ---- headers ---- */

const char *const many_headers =
    "{\"traceparent\":\"00-1-2-01\",\"tracestate\":\"a=b\",\"correlation-id\":\"c1\",\"ordering-key\":\"o\","
    "\"reply-to\":\"me\",\"timeout\":\"5000\",\"content-type\":\"application/cbor\",\"mine\":\"x\"}";

class KeptHeaders : public Worker, public ::testing::WithParamInterface<const char *> {
protected:
  void
  expect_kept (const Out &got)
  {
    for (const char *kept : { "\"traceparent\":\"00-1-2-01\"", "\"tracestate\":\"a=b\"",
                              "\"correlation-id\":\"c1\"", "\"ordering-key\":\"o\"", "\"reply-to\":\"me\"" })
      EXPECT_NE (got.headers.find (kept), std::string::npos) << got.topic << " " << got.headers;
    for (const char *gone : { "\"timeout\"", "\"mine\"" })
      EXPECT_EQ (got.headers.find (gone), std::string::npos) << got.topic << " " << got.headers;
    EXPECT_TRUE (zm_json_valid (zm_span_text (got.headers.c_str ()))) << got.headers;
  }
};

/* From request to result, to error, to what services are asked, and to done. */
TEST_P (KeptHeaders, FromRequestToResult)
{
  begin (all_mappings,
         "[F]\n?F?Push\n?C@PUBLISH?told\n?T?add_a\n??done\n[Wait]\n?Wait?Push\n?Svc?work\n?T?echo\n??done\n"
         "[Bad]\n?Bad?Push\n?T?failing\n??done\n");
  send (GetParam (), "x", "", "i1", 0, many_headers);
  expect_kept (wait (1)[0]);
}

INSTANTIATE_TEST_SUITE_P (Table, KeptHeaders,
                          ::testing::Values ("?T?echo", "?T?failing", "?T?unknown", "?T?defer", "?T?go_out",
                                             "?F?Push", "?Wait?Push", "?Bad?Push"),
                          [] (const auto &info) { return "n" + std::to_string (info.index); });

TEST_F (Worker, TheBodysTypeStaysWithTheBody)
{
  begin (all_mappings, "[Same]\n?Same?Push\n?C@PUBLISH?told\n?T?silent\n??done\n"
                       "[New]\n?New?Push\n?T?json\n?T?type\n??done\n"
                       "[Join]\n?Join?Push\n?T?silent & ?T?json\n??done\n"
                       "[Hand]\n?Hand?Push\n?Svc?work\n?T?type\n??done\n");
  const char *cbor = "{\"content-type\":\"application/cbor\"}";
  send ("?Same?Push", "x", "Same", "i1", 0, cbor);
  auto all = wait (2);
  EXPECT_NE (all[0].headers.find ("application/cbor"), std::string::npos) << "published as it came";
  EXPECT_NE (all[1].headers.find ("application/cbor"), std::string::npos) << "the body went on unchanged";
  send ("?T?type", "x", "", "i2", 0, cbor);
  EXPECT_EQ (wait (3)[2].body, "application/cbor");
  send ("?New?Push", "x", "New", "i3", 0, cbor);
  EXPECT_EQ (wait (4)[3].body, "application/json") << "the type of the step before it";
  send ("?Join?Push", "x", "Join", "i4", 0, cbor);
  EXPECT_EQ (wait (5)[4].body, "[{\"content-type\":\"application/cbor\",\"base64\":\"eA==\"},{\"n\":1}]");
  send ("?Hand?Push", "x", "Hand", "i5", 0, cbor);
  wait_parked (1);
  EXPECT_NE (wait (6)[5].headers.find ("application/cbor"), std::string::npos);
  send ("?Svc?work", "y", "Hand", "i5", 0, "{\"content-type\":\"text/css\"}");
  EXPECT_EQ (wait (7)[6].body, "text/css") << "the answer's";
}

TEST_F (Worker, AnActionReadsItsHeaders)
{
  begin (all_mappings);
  send ("?T?header", "mine", "", "i1", 0, many_headers);
  EXPECT_EQ (wait (1)[0].body, "x");
  send ("?T?header", "timeout", "", "i2", 0, many_headers);
  EXPECT_EQ (wait (2)[1].body, "5000");
  send ("?T?header", "nothing", "", "i3", 0, many_headers);
  EXPECT_EQ (wait (3)[2].body, "none");
}

/* ---- completions ---- */

TEST_F (Worker, WhatCompletionsMayNotSayIsRefused)
{
  begin (all_mappings);
  EXPECT_EQ (one ("?T?complete_oddly").body, "refused");
}

TEST_F (Worker, ACompletionMayNameTheNextKey)
{
  begin (all_mappings, "[F]\n?F?Push\n?T?complete_next\n?T?add_c\n??done\n");
  EXPECT_EQ (one ("?T?complete_next", "x").body, "xb");
  send ("?F?Push", "x", "F");
  EXPECT_EQ (wait (2)[1].body, "xbc");
}

/* ---- zm_call_action ---- */

struct Asked {
  const char *name, *body;
  double status, size; /* size -1: not compared */
};

class Asking : public Worker, public ::testing::WithParamInterface<Asked> {};

TEST_P (Asking, IsAnsweredOnce)
{
  begin (all_mappings, "[F]\n?F?Push\n?T?add_a\n??done\n[Wait]\n?Wait?Push\n?C@ASYNC?answer\n??done\n");
  send ("?Wait?Push", "x", "Wait", "w");
  wait_parked (1);
  send ("?T?ask", GetParam ().body);
  ASSERT_TRUE (eventually ([&] { return value ("asked_ok") + value ("asked_error") > 0; }));
  EXPECT_EQ (value ("asked_status"), GetParam ().status);
  if (GetParam ().size >= 0) {
    EXPECT_EQ (value ("asked_size"), GetParam ().size);
  }
  zm_pool_drain (pool, zm_now_us () + G_USEC_PER_SEC);
  EXPECT_EQ (value ("asked_ok") + value ("asked_error"), 1);
}

INSTANTIATE_TEST_SUITE_P (Table, Asking,
                          ::testing::Values (Asked{ "result", "?T?echo", ZM_OK, 5 },
                                             Asked{ "silent", "?T?silent", ZM_OK, 0 },
                                             Asked{ "failing", "?T?failing", ZM_E_FAILED, -1 },
                                             Asked{ "unmapped", "?T?unknown", ZM_E_FAILED, -1 },
                                             Asked{ "flow", "?F?Push\nF", ZM_OK, 6 },
                                             Asked{ "answer", "?C?answer\nWait\nw", ZM_OK, 0 },
                                             Asked{ "timeout", "?T?defer_never", ZM_E_TIMEOUT, 0 }),
                          [] (const auto &info) { return std::string (info.param.name); });

/* ---- hooks ---- */

TEST_F (Worker, HooksAreAskedBeforeAndToldAfter)
{
  begin (all_mappings);
  send ("?Hooked?echo", "x", "", "a");
  EXPECT_EQ (wait (1)[0].body, "x");
  send ("?Hooked?failing", "x", "", "b");
  wait (2);
  send ("?Hooked?never", "x", "", "c");
  EXPECT_NE (wait (3)[2].body.find ("\"code\":\"denied\""), std::string::npos);
  EXPECT_EQ (value ("before"), 3);
  EXPECT_EQ (value ("after_ok"), 1);
  EXPECT_EQ (value ("after_error"), 1) << "what was denied was not called";
}

TEST_F (Worker, AHookThatHangsIsNamedInTheError)
{
  begin ((std::string (all_mappings) +
          "?Hooked?slow = tester.serial_echo\n[action ?Hooked?slow]\ntimeout = 50ms\n")
             .c_str ());
  std::string body = one ("?Hooked?slow").body;
  EXPECT_NE (body.find ("\"code\":\"timeout\",\"text\":\"the hook tester.before did not return"),
             std::string::npos)
      << body;
  send ("?T?serial", "next", "", "n");
  EXPECT_EQ (wait (2)[1].body, "next");
  EXPECT_TRUE (eventually ([&] { return number ("late") == 1; }));
  EXPECT_EQ (value ("after_ok"), 0) << "the action is not called for a message that is over";
}

class Authorised : public Worker {
protected:
  /* As from outside. */
  void
  come (ZmOrigin origin, const char *key, const char *id, guint64 ticket = 0)
  {
    ZmMessage *message = make (key, "x", "", "", id);
    message->origin = (guint8) origin;
    message->reply = ticket;
    ASSERT_TRUE (zm_pool_push (pool, &message, 1));
  }
};

TEST_F (Authorised, EachThatComesInIsAskedOnce)
{
  begin (all_mappings, "[F]\n?Hooked?go\n?T?add_a\n?T?add_b\n??done\n");
  come (ZM_ORIGIN_PULL, "?T?echo", "a");
  come (ZM_ORIGIN_CALL, "?Hooked?go", "b");
  come (ZM_ORIGIN_EMIT, "?Unmapped?key", "c");
  send ("?T?echo", "x", "", "d");
  wait (4);
  EXPECT_EQ (value ("asked_send"), 1);
  EXPECT_EQ (value ("asked_call"), 1) << "the message, not its steps";
  EXPECT_EQ (value ("asked_emit"), 1) << "also where nothing takes it";
}

TEST_F (Authorised, WhatIsRefusedEndsInAnError)
{
  begin ((std::string (all_mappings) + "?Hooked?secret = tester.echo\n").c_str ());
  come (ZM_ORIGIN_PULL, "?Hooked?secret", "a");
  EXPECT_NE (wait (1)[0].body.find ("\"code\":\"denied\""), std::string::npos) << out[0].body;
  EXPECT_NE (out[0].body.find ("\"plugin\":\"tester\""), std::string::npos) << out[0].body;
  come (ZM_ORIGIN_CALL, "?Hooked?secret", "b", 7);
  EXPECT_EQ (wait_reply (7).first, ZM_E_FAILED);
  EXPECT_NE (wait_reply (7).second.find ("a plugin that authorises refused it"), std::string::npos);
  EXPECT_EQ (value ("before"), 0);
}

TEST_F (Authorised, AHookThatHangsCostsItsMessageOnly)
{
  timeout_ms = 100;
  begin (all_mappings, "", 1);
  come (ZM_ORIGIN_PULL, "?Hooked?stall", "a", 7);
  EXPECT_NE (wait_reply (7).second.find ("the hook tester.authorise did not return"), std::string::npos)
      << wait_reply (7).second;
  for (int i = 0; i < 100; i++)
    come (ZM_ORIGIN_PULL, "?T?echo", ("o" + std::to_string (i)).c_str ());
  EXPECT_EQ (wait (101)[100].topic.substr (0, 14), "~~tester~T~ech");
  come (ZM_ORIGIN_PULL, "?T?release", "r", 8);
  EXPECT_EQ (wait_reply (8).second, "released");
  EXPECT_EQ (zm_pool_drain (pool, zm_now_us () + 5 * G_USEC_PER_SEC), 0u);
  EXPECT_EQ (out.size (), 102u) << "the hook's message ended once";
}

/* ---- what is told of each message ---- */

struct Sink {
  std::mutex lock;
  std::map<std::string, std::vector<int>> ends;
};

TEST_F (Worker, TheOutcomeSinkIsToldOnceOfEachMessage)
{
  Sink sink;
  config.sink.user = &sink;
  config.sink.ended = [] (const ZmMessage *message, ZmEnd end, const ZmMessage *result, gpointer user) {
    auto *told = static_cast<Sink *> (user);
    std::lock_guard<std::mutex> guard (told->lock);
    told->ends[std::string (message->topic.id.data, message->topic.id.size)].push_back (end);
    EXPECT_EQ (result != nullptr, end == ZM_END_RESULT || end == ZM_END_ERROR);
  };
  begin ((std::string (all_mappings) +
          "[action ?T?hang]\ntimeout = 30ms\n[action ?T?defer_never]\ntimeout = 30ms\n")
             .c_str (),
         "[F]\n?F?Push\n?T?text & ?T?json & ?T?failing\n! ?T?add_a\n??done\n"
         "[Wait]\n?Wait?Push\n?C@ASYNC?answer\n??done\n");
  const std::map<std::string, int> expected = {
    { "?T?echo", ZM_END_RESULT },   { "?T?silent", ZM_END_SILENT },      { "?T?failing", ZM_END_ERROR },
    { "?T?unknown", ZM_END_ERROR }, { "?T?hang", ZM_END_ERROR },         { "?T?defer", ZM_END_RESULT },
    { "?F?Push", ZM_END_RESULT },   { "?T?defer_never", ZM_END_ERROR },  { "?T?defer_twice", ZM_END_RESULT },
    { "?T?go_on", ZM_END_RESULT },  { "?C@ASYNC?nothing", ZM_END_ERROR }
  };
  std::map<std::string, int> by_id;
  for (const auto &one : expected) {
    std::string id = "m" + std::to_string (by_id.size ());
    by_id[id] = one.second;
    send (one.first.c_str (), "x", "", id.c_str ());
  }
  send ("?Wait?Push", "x", "Wait", "w");
  wait_parked (1);
  send ("?C?answer", "y", "Wait", "w");
  zm_pool_drain (pool, zm_now_us () + 5 * G_USEC_PER_SEC);
  std::lock_guard<std::mutex> guard (sink.lock);
  for (const auto &one : by_id)
    EXPECT_EQ (sink.ends[one.first], std::vector<int>{ one.second }) << one.first;
  EXPECT_EQ (sink.ends["w"], (std::vector<int>{ ZM_END_SILENT, ZM_END_RESULT }))
      << "the answer, and who asked";
  EXPECT_EQ (number ("inside"), 0);
}

TEST_F (Worker, ATraceFollowsOneMessage)
{
  struct Trace {
    std::mutex lock;
    std::vector<std::string> lines;
  } trace;
  begin (all_mappings, "[F]\n?F?Push\n?T?add_a\n?T?failing\n??done\n");
  zm_pool_trace (
      pool, "wanted",
      [] (const char *json, gpointer user) {
        auto *kept = static_cast<Trace *> (user);
        std::lock_guard<std::mutex> guard (kept->lock);
        kept->lines.push_back (json);
      },
      &trace);
  send ("?F?Push", "x", "F", "other");
  send ("?F?Push", "x", "F", "wanted");
  wait (2);
  zm_pool_trace (pool, NULL, NULL, NULL);
  send ("?F?Push", "x", "F", "wanted");
  wait (3);
  std::lock_guard<std::mutex> guard (trace.lock);
  std::string all;
  for (const auto &line : trace.lines) {
    EXPECT_TRUE (zm_json_valid (zm_span_text (line.c_str ()))) << line;
    EXPECT_NE (line.find ("\"id\":\"wanted\""), std::string::npos) << line;
    all += line + "\n";
  }
  for (const char *what : { "\"step\"", "?T?add_a", "?T?failing", "\"error\"" })
    EXPECT_NE (all.find (what), std::string::npos) << what << " in\n" << all;
}

TEST_F (Worker, FiguresOfEachKeyOutliveAReload)
{
  begin (all_mappings);
  for (int i = 0; i < 20; i++)
    send (i % 2 ? "?T?echo" : "?T?failing", "x", "", std::to_string (i).c_str ());
  wait (20);
  reload (all_mappings);
  auto figure = [&] (const char *key, const char *name) {
    g_autofree char *json = zm_pool_routes_json (pool);
    std::string text = json;
    size_t at = text.find (std::string ("\"key\":\"") + key + "\"");
    EXPECT_NE (at, std::string::npos) << json;
    at = text.find (std::string ("\"") + name + "\":", at);
    return std::stoi (text.substr (at + strlen (name) + 3));
  };
  EXPECT_TRUE (eventually ([&] { return figure ("?T?echo", "calls") == 10; }));
  EXPECT_EQ (figure ("?T?echo", "errors"), 0);
  EXPECT_EQ (figure ("?T?failing", "errors"), 10);
}

} // namespace
