/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Counters of the room base. */
#include "config.h"

#include "base/zm-metrics.h"

#include <gtest/gtest.h>

#include <pthread.h>
#include <string>
#include <vector>

namespace {

using Lines = std::vector<std::string>;

void
collect (const char *name, const char *label_name, const char *label, gboolean gauge, gint64 value,
         const char *help, gpointer user)
{
  std::string line = name;

  if (label_name != nullptr)
    line += std::string ("{") + label_name + "=" + label + "}";
  line += " " + std::to_string (value) + (gauge ? " gauge " : " counter ") + help;
  static_cast<Lines *> (user)->push_back (line);
}

class Metrics : public ::testing::Test {
protected:
  ZmMetrics *metrics = zm_metrics_new ();

  void
  TearDown () override
  {
    zm_metrics_free (metrics);
  }

  Lines
  lines ()
  {
    Lines all;

    zm_metrics_each (metrics, collect, &all);
    return all;
  }
};

TEST_F (Metrics, OneNameAndLabelIsOneCounter)
{
  ZmCounter *plain = zm_metrics_counter (metrics, "b", "help b", nullptr, nullptr);

  EXPECT_EQ (zm_metrics_counter (metrics, "b", nullptr, nullptr, nullptr), plain);
  EXPECT_NE (zm_metrics_counter (metrics, "b", nullptr, "plugin", "x"), plain);
  EXPECT_NE (zm_metrics_counter (metrics, "b", nullptr, "plugin", "x"),
             zm_metrics_counter (metrics, "b", nullptr, "plugin", "y"));
}

TEST_F (Metrics, AreListedByNameThenLabel)
{
  zm_counter_add (zm_metrics_counter (metrics, "b", "help b", "plugin", "y"), 2);
  zm_counter_add (zm_metrics_counter (metrics, "b", "help b", "plugin", "x"), 1);
  zm_counter_set (zm_metrics_gauge (metrics, "a", "help a", nullptr, nullptr), -5);
  EXPECT_EQ (lines (),
             (Lines{ "a -5 gauge help a", "b{plugin=x} 1 counter help b", "b{plugin=y} 2 counter help b" }));
}

TEST_F (Metrics, RemovedOnesComeBackWhenAskedFor)
{
  ZmCounter *counter = zm_metrics_counter (metrics, "a", "h", nullptr, nullptr);
  ZmCounter *gauge = zm_metrics_gauge (metrics, "g", "h", nullptr, nullptr);

  zm_counter_add (counter, 3);
  zm_counter_set (gauge, 3);
  zm_metrics_remove (metrics, counter);
  zm_metrics_remove (metrics, gauge);
  EXPECT_EQ (lines (), Lines{});
  zm_counter_add (counter, 1); /* whoever still holds it does no harm */
  EXPECT_EQ (zm_metrics_counter (metrics, "a", nullptr, nullptr, nullptr), counter);
  EXPECT_EQ (zm_metrics_gauge (metrics, "g", nullptr, nullptr, nullptr), gauge);
  EXPECT_EQ (lines (), (Lines{ "a 4 counter h", "g 0 gauge h" }));
}

TEST_F (Metrics, OverTheBoundAllGoToOneCounter)
{
  for (int i = 0; i < 5000; i++)
    zm_counter_add (zm_metrics_counter (metrics, "n", "h", "i", std::to_string (i).c_str ()), 1);
  Lines all = lines ();

  EXPECT_EQ (all.size (), 4096u);
  EXPECT_EQ (all.back (),
             "zmanager_metrics_overflow 905 counter Sum of the counters that found no room of their own");
}

void *
add_often (void *data)
{
  ZmCounter *counter = zm_metrics_counter (static_cast<ZmMetrics *> (data), "n", "h", nullptr, nullptr);

  for (int i = 0; i < 100000; i++)
    zm_counter_add (counter, 1);
  return nullptr;
}

TEST_F (Metrics, NoAdditionIsLost)
{
  pthread_t threads[4];

  for (pthread_t &thread : threads)
    ASSERT_EQ (pthread_create (&thread, nullptr, add_often, metrics), 0);
  for (pthread_t &thread : threads)
    pthread_join (thread, nullptr);
  EXPECT_EQ (zm_counter_get (zm_metrics_counter (metrics, "n", nullptr, nullptr, nullptr)), 400000);
}

} // namespace
