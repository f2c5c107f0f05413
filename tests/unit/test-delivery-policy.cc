/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Retry policies, delay by delay, and the heap of due times. */
#include "delivery/due.h"
#include "delivery/zm-delivery.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <random>
#include <string>
#include <vector>

namespace {

/* All delays of a policy, milliseconds. */
std::vector<gint64>
delays (const ZmRetryPolicy &policy, double random = 1)
{
  std::vector<gint64> all;
  for (guint attempt = 2; attempt < 2000; attempt++) {
    gint64 ms = zm_retry_policy_delay (&policy, attempt, random);
    if (ms < 0)
      break;
    all.push_back (ms);
  }
  return all;
}

std::vector<gint64>
seconds (std::vector<gint64> all)
{
  for (gint64 &one : all)
    one *= 1000;
  return all;
}

struct Schedule {
  const char *name, *json;
  std::vector<gint64> ms;
};

class Policies : public testing::TestWithParam<Schedule> {};

TEST_P (Policies, DelaysAreExact)
{
  ZmRetryPolicy policy;
  zm_retry_policy_init (&policy);
  GError *error = nullptr;
  ASSERT_TRUE (zm_retry_policy_read (&policy, zm_span_text (GetParam ().json), &error)) << error->message;
  EXPECT_EQ (delays (policy), GetParam ().ms);
  EXPECT_EQ (zm_retry_policy_count (&policy), GetParam ().ms.size ());
  gint64 longest =
      GetParam ().ms.empty () ? 0 : *std::max_element (GetParam ().ms.begin (), GetParam ().ms.end ());
  EXPECT_EQ (zm_retry_policy_longest (&policy), longest);
  EXPECT_EQ (zm_retry_policy_delay (&policy, 1, 0), -1) << "the first attempt is no retry";
  zm_retry_policy_clear (&policy);
}

INSTANTIATE_TEST_SUITE_P (
    All, Policies,
    testing::Values (
        Schedule{ "none", "{}", {} }, Schedule{ "immediate", R"({"immediate": 3})", { 0, 0, 0 } },
        Schedule{ "immediate_object", R"({"immediate": {"n": 2}})", { 0, 0 } },
        Schedule{ "pre", R"({"pre": {"n": 2, "delay": 1.5}})", { 1500, 1500 } },
        Schedule{ "durations",
                  R"({"pre": {"n": 1, "delay": "250ms"}, "post": {"n": 1, "delay": "2m"}})",
                  { 250, 120000 } },
        Schedule{ "linear", R"({"backoff": {"n": 5, "function": "linear", "min": 5, "max": 25}})",
                  seconds ({ 5, 10, 15, 20, 25 }) },
        Schedule{ "arithmetic", R"({"backoff": {"n": 5, "function": "arithmetic", "min": 1, "max": 21}})",
                  seconds ({ 1, 3, 7, 13, 21 }) },
        Schedule{ "geometric", R"({"backoff": {"n": 5, "function": "geometric", "min": 1, "max": 16}})",
                  seconds ({ 1, 2, 4, 8, 16 }) },
        Schedule{ "exponential",
                  R"({"backoff": {"n": 4, "function": "exponential", "min": "10ms", "max": 10}})",
                  { 10, 100, 1000, 10000 } },
        Schedule{
            "one_step", R"({"backoff": {"n": 1, "function": "geometric", "min": 7, "max": 70}})", { 7000 } },
        Schedule{ "from_nothing",
                  R"({"backoff": {"n": 3, "function": "geometric", "min": 0, "max": "100ms"}})",
                  { 1, 10, 100 } },
        Schedule{
            "all_phases",
            R"({"immediate": 1, "pre": {"n": 1, "delay": 2}, "backoff": {"n": 3, "min": 2, "max": 6}, "post": {"n": 2, "delay": 60}})",
            seconds ({ 0, 2, 2, 4, 6, 60, 60 }) },
        Schedule{ "schedule", R"({"schedule": [0, 5, "5m", 0.25]})", { 0, 5000, 300000, 250 } },
        Schedule{ "schedule_rules", R"({"immediate": 9, "schedule": [1]})", { 1000 } },
        Schedule{ "zaqar_standard", R"({"retries_with_no_delay": 3})",
                  seconds ({ 0, 0, 0, 5, 5, 5, 5, 10, 15, 20, 25, 30, 30, 30 }) },
        Schedule{ "zaqar_ignore", R"({"ignore_subscription_override": true, "retries_with_no_delay": 0,
                  "minimum_delay_retries": 0, "maximum_delay_retries": 1})",
                  seconds ({ 5, 10, 15, 20, 25, 30 }) },
        Schedule{ "zaqar_uneven", R"({"minimum_delay": 5, "maximum_delay": 17, "retries_with_no_delay": 1,
                  "minimum_delay_retries": 1, "maximum_delay_retries": 1})",
                  seconds ({ 0, 5, 5, 10, 15, 17 }) },
        /* As zaqar/notification/tasks/webhook.py counts them. */
        Schedule{ "zaqar_arithmetic", R"({"retry_backoff_function": "arithmetic", "retries_with_no_delay": 0,
                  "minimum_delay_retries": 0, "maximum_delay_retries": 0})",
                  seconds ({ 5, 7, 12, 20, 30 }) },
        Schedule{ "zaqar_geometric", R"({"retry_backoff_function": "geometric", "retries_with_no_delay": 0,
                  "minimum_delay_retries": 0, "maximum_delay_retries": 0})",
                  seconds ({ 5, 7, 12, 19, 30 }) },
        Schedule{ "zaqar_exponential",
                  R"({"retry_backoff_function": "exponential", "retries_with_no_delay": 0,
                  "minimum_delay_retries": 0, "maximum_delay_retries": 0})",
                  seconds ({ 5, 7, 12, 19, 30 }) },
        Schedule{ "zaqar_from_nothing", R"({"retry_backoff_function": "geometric", "minimum_delay": 0,
                  "maximum_delay": 10, "retries_with_no_delay": 0, "minimum_delay_retries": 0,
                  "maximum_delay_retries": 0})",
                  seconds ({ 1, 10 }) }),
    [] (const testing::TestParamInfo<Schedule> &info) { return std::string (info.param.name); });

TEST (Policy, StandardIsZaqars)
{
  ZmRetryPolicy policy;
  zm_retry_policy_init (&policy);
  EXPECT_EQ (delays (policy), seconds ({ 0, 0, 0, 5, 5, 5, 5, 10, 15, 20, 25, 30, 30, 30 }));
}

TEST (Policy, LimitCutsOrGoesOn)
{
  ZmRetryPolicy policy;
  zm_retry_policy_init (&policy);
  zm_retry_policy_limit (&policy, 4);
  EXPECT_EQ (delays (policy), seconds ({ 0, 0, 0, 5 }));
  zm_retry_policy_limit (&policy, 17);
  EXPECT_EQ (delays (policy), seconds ({ 0, 0, 0, 5, 5, 5, 5, 10, 15, 20, 25, 30, 30, 30, 30, 30, 30 }));
  zm_retry_policy_limit (&policy, 0);
  EXPECT_TRUE (delays (policy).empty ());
}

TEST (Policy, JitterShortensOnlyAndByItsShare)
{
  ZmRetryPolicy policy;
  zm_retry_policy_init (&policy);
  ASSERT_TRUE (zm_retry_policy_read (
      &policy, zm_span_text (R"({"pre": {"n": 1, "delay": 100}, "jitter": 20})"), nullptr));
  EXPECT_EQ (delays (policy, 0), seconds ({ 80 }));
  EXPECT_EQ (delays (policy, 0.5), seconds ({ 90 }));
  EXPECT_EQ (delays (policy, 1), seconds ({ 100 }));
}

TEST (Policy, CopiesOwnTheirSchedule)
{
  ZmRetryPolicy one, two;
  zm_retry_policy_init (&one);
  ASSERT_TRUE (zm_retry_policy_read (&one, zm_span_text (R"({"schedule": [1, 2]})"), nullptr));
  zm_retry_policy_copy (&two, &one);
  zm_retry_policy_clear (&one);
  EXPECT_EQ (delays (two), seconds ({ 1, 2 }));
  zm_retry_policy_clear (&two);
}

TEST (Policy, ErrorsNameTheMember)
{
  const struct {
    const char *json, *said;
  } wrong[] = {
    { "", "JSON object" },
    { "[]", "JSON object" },
    { "{", "JSON object" },
    { R"({"immediate": -1})", "immediate" },
    { R"({"immediate": 1.5})", "immediate" },
    { R"({"immediate": true})", "immediate" },
    { R"({"imediate": 1})", "imediate" },
    { R"({"pre": 3})", "pre" },
    { R"({"pre": {"n": "3"}})", "pre.n" },
    { R"({"pre": {"delay": "soon"}})", "pre.delay" },
    { R"({"pre": {"delay": -1}})", "pre.delay" },
    { R"({"pre": {"delay": 1e300}})", "pre.delay" },
    { R"({"pre": {"wait": 1}})", "pre.wait" },
    { R"({"backoff": {"n": 3, "function": "cubic"}})", "backoff.function" },
    { R"({"backoff": {"n": 3, "function": 7}})", "backoff.function" },
    { R"({"backoff": {"n": 3, "min": 5, "max": 4}})", "backoff.max" },
    { R"({"jitter": 101})", "jitter" },
    { R"({"max_age": []})", "max_age" },
    { R"({"schedule": 5})", "schedule" },
    { R"({"schedule": [1, "x"]})", "schedule[1]" },
    { R"({"schedule": [{}]})", "schedule[0]" },
    { R"({"minimum_delay": "5"})", "minimum_delay" },
    { R"({"retries_with_no_delay": 1, "immediate": 1})", "immediate" },
    { R"({"maximum_delay": 10})", "maximum_delay" },
    { R"({"ignore_subscription_override": 1})", "ignore_subscription_override" },
    { R"({"retry_backoff_function": "x"})", "retry_backoff_function" },
  };
  for (const auto &one : wrong) {
    ZmRetryPolicy policy;
    zm_retry_policy_init (&policy);
    GError *error = nullptr;
    EXPECT_FALSE (zm_retry_policy_read (&policy, zm_span_text (one.json), &error)) << one.json;
    ASSERT_NE (error, nullptr) << one.json;
    EXPECT_NE (std::string (error->message).find (one.said), std::string::npos)
        << one.json << ": " << error->message;
    EXPECT_EQ (zm_retry_policy_count (&policy), 14u) << "left alone";
    g_error_free (error);
  }
}

/* ---- due times ---- */

TEST (Due, ComesInOrderWhateverIsMovedAndTakenOut)
{
  ZmDueHeap heap = {};
  std::vector<ZmDueEntry> entries (5000);
  std::mt19937 random (7);
  for (ZmDueEntry &one : entries)
    zm_due_set (&heap, &one, random () % 1000);
  for (guint i = 0; i < entries.size (); i += 3)
    zm_due_set (&heap, &entries[i], random () % 1000);
  size_t removed = 0;
  for (guint i = 0; i < entries.size (); i += 5, removed++)
    zm_due_remove (&heap, &entries[i]);
  zm_due_remove (&heap, &entries[0]);
  EXPECT_EQ (heap.n, entries.size () - removed);
  EXPECT_EQ (zm_due_pop (&heap, -1), nullptr) << "nothing is due yet";
  gint64 last = -1;
  size_t n = 0;
  while (ZmDueEntry *one = zm_due_pop (&heap, 1000)) {
    EXPECT_GE (one->due_us, last);
    EXPECT_EQ (one->index, 0u);
    last = one->due_us;
    n++;
  }
  EXPECT_EQ (n, entries.size () - removed);
  zm_due_clear (&heap);
}

TEST (Due, AMillionEntriesCostEightBytesEach)
{
  ZmDueHeap heap = {};
  std::vector<ZmDueEntry> entries (1000000);
  for (size_t i = 0; i < entries.size (); i++)
    zm_due_set (&heap, &entries[i], (gint64) ((i * 7919) % entries.size ()));
  EXPECT_LE (heap.room, 2 * entries.size ());
  for (size_t i = 0; i < entries.size (); i++)
    ASSERT_EQ (zm_due_pop (&heap, G_MAXINT64)->due_us, (gint64) i);
  zm_due_clear (&heap);
}

TEST (Due, AClockThatJumpsNeitherBurstsNorStalls)
{
  const gint64 day = G_GINT64_CONSTANT (86400000000), now = 1000, wall = 50 * day, minute = 60000000;
  EXPECT_EQ (zm_due_rebase (wall + minute, minute, now, wall), now + minute);
  EXPECT_EQ (zm_due_rebase (wall + minute, minute, now, wall + minute / 2), now + minute / 2);
  EXPECT_EQ (zm_due_rebase (wall + minute, minute, now, wall - day), now + minute)
      << "set back: no longer than it was to be";
  EXPECT_EQ (zm_due_rebase (wall + minute, minute, now, wall + day), now)
      << "overdue: now, and never in the past";
}

} // namespace
