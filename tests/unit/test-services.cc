/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The registry of services on its own, with a clock of the test's: who is forgotten when, and its bound. */
#include "config.h"

#include "base/zm-log.h"
#include "base/zm-metrics.h"
#include "subject/zm-subject.h"

#include <gtest/gtest.h>
#include <string>

/* The doors of the registry; its header has C atomics, which C++ cannot read. */
extern "C" {
typedef struct ZmServices ZmServices;
ZmServices *zm_services_new (ZmTableSlot *tables, ZmIntegration *integration, ZmLog *log, ZmMetrics *metrics);
void zm_services_free (ZmServices *services);
char *zm_services_hello (ZmServices *services, ZmSpan json, gint64 now_us, char **nonce, GError **error);
gboolean zm_services_heartbeat (ZmServices *services, ZmSpan json, gint64 now_us, GError **error);
gint64 zm_services_watch (ZmServices *services, gint64 now_us);
char *zm_services_json (ZmServices *services, gboolean transient, gint64 now_us);
}

namespace {

constexpr gint64 SECOND = G_USEC_PER_SEC;

class Services : public ::testing::Test {
protected:
  void
  SetUp () override
  {
    metrics = zm_metrics_new ();
    services = zm_services_new (nullptr, nullptr, nullptr, metrics);
  }
  void
  TearDown () override
  {
    zm_services_free (services);
    zm_metrics_free (metrics);
  }
  /* "" or why not. */
  std::string
  hello (const std::string &name, const std::string &more = "", gint64 now_us = 0)
  {
    g_autofree char *nonce = nullptr;
    g_autoptr (GError) error = nullptr;
    std::string json = "{\"name\":\"" + name + "\"" + more + "}";
    g_autofree char *answer =
        zm_services_hello (services, zm_span (json.data (), json.size ()), now_us, &nonce, &error);
    return answer != nullptr ? "" : error->message;
  }
  bool
  stopped (const std::string &name, gint64 now_us)
  {
    std::string json = "{\"name\":\"" + name + "\",\"state\":\"STOPPED\"}";
    return zm_services_heartbeat (services, zm_span (json.data (), json.size ()), now_us, nullptr);
  }
  std::string
  list ()
  {
    g_autofree char *json = zm_services_json (services, TRUE, 0);
    return json;
  }
  gint64
  count ()
  {
    return zm_counter_get (zm_metrics_gauge (metrics, "zmanager_services", "", nullptr, nullptr));
  }

  ZmMetrics *metrics = nullptr;
  ZmServices *services = nullptr;
};

TEST_F (Services, OneThatStoppedIsForgottenAfterTenMinutes)
{
  ASSERT_EQ (hello ("svc"), "");
  ASSERT_TRUE (stopped ("svc", SECOND));
  EXPECT_EQ (zm_services_watch (services, 2 * SECOND), 601 * SECOND);
  EXPECT_NE (list ().find ("\"state\":\"STOPPED\""), std::string::npos) << list ();
  EXPECT_EQ (zm_services_watch (services, 601 * SECOND), G_MAXINT64);
  EXPECT_EQ (list (), "[]");
  EXPECT_EQ (count (), 0);
  EXPECT_FALSE (stopped ("svc", 602 * SECOND)) << "it has to greet again";
}

TEST_F (Services, OneThatGreetsAgainStays)
{
  ASSERT_EQ (hello ("svc"), "");
  ASSERT_TRUE (stopped ("svc", SECOND));
  ASSERT_EQ (hello ("svc", ",\"heartbeat_ms\":0", 2 * SECOND), "");
  EXPECT_EQ (zm_services_watch (services, 1000 * SECOND), G_MAXINT64);
  EXPECT_NE (list ().find ("RUNNING"), std::string::npos) << list ();
}

TEST_F (Services, ATransientOneIsForgottenAtOnce)
{
  ASSERT_EQ (hello ("tail-1", ",\"transient\":true"), "");
  EXPECT_EQ (count (), 1);
  ASSERT_TRUE (stopped ("tail-1", SECOND));
  EXPECT_EQ (list (), "[]");
  EXPECT_EQ (count (), 0);
}

TEST_F (Services, ATransientOneThatGoesSilentIsForgottenToo)
{
  ASSERT_EQ (hello ("tail-1", ",\"transient\":true,\"heartbeat_ms\":1000"), "");
  ASSERT_EQ (hello ("svc", ",\"transient\":false,\"heartbeat_ms\":1000"), "");
  EXPECT_EQ (zm_services_watch (services, SECOND), 3 * SECOND);
  zm_services_watch (services, 3 * SECOND);
  EXPECT_EQ (list ().find ("tail-1"), std::string::npos) << list ();
  EXPECT_NE (list ().find ("UNKNOWN"), std::string::npos) << list ();
  EXPECT_EQ (count (), 1);
}

TEST_F (Services, TransientIsTrueOrFalse)
{
  EXPECT_EQ (hello ("svc", ",\"transient\":1"), "HELLO: transient: not true or false");
  EXPECT_EQ (list (), "[]");
}

TEST_F (Services, TheRegistryIsBoundedAndTheSilentMakeRoom)
{
  for (int i = 0; i < 1024; i++)
    ASSERT_EQ (hello ("s" + std::to_string (i)), "");
  EXPECT_EQ (hello ("more"), "HELLO: 1024 services are registered and alive; no more");
  EXPECT_EQ (hello ("s7"), "") << "one that is there may greet again";
  ASSERT_TRUE (stopped ("s9", SECOND));
  EXPECT_EQ (hello ("more"), "");
  EXPECT_EQ (list ().find ("\"s9\""), std::string::npos);
  EXPECT_EQ (count (), 1024);
}

} // namespace
