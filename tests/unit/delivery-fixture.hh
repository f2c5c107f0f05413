/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A delivery over a store in memory, with clocks that the test moves and a target that does what it is told. */
#pragma once

#include "fake-store.h"

#include "base/zm-thread.h"
#include "config/zm-config.h"
#include "delivery/zm-delivery.h"

#include <chrono>
#include <condition_variable>
#include <functional>
#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace delivery_test {

constexpr gint64 second = 1000000, day = 86400 * second;

/* An attempt as the target saw it. */
struct Seen {
  ZmAttempt *attempt;
  std::string consumer, body, id;
  guint number;
};

class DeliveryTest : public testing::Test {
public:
  FakeStore fake;
  ZmLog *log = zm_log_new (2, ZM_LOG_FORMAT_HUMAN, ZM_LEVEL_ERROR);
  ZmMetrics *metrics = zm_metrics_new ();
  ZmTimers *timers = nullptr;
  ZmConfig *config = nullptr;
  ZmStore *store = nullptr;
  ZmQueues *queues = nullptr;
  ZmDelivery *delivery = nullptr;
  std::atomic<gint64> now{ 1000 * second }, wall{ 20000 * day };

  /* For a test of lives: the queues have the moved clock too, and these settings; it opens again. */
  std::atomic<bool> queues_move{ false };
  std::vector<const char *> settings;

  std::mutex lock;
  std::condition_variable changed;
  std::vector<Seen> seen;
  std::vector<std::string> published;
  bool busy = false;
  guint refused = 0;

  /* One target for each consumer, so that it knows who it is. */
  struct Target {
    DeliveryTest *test;
    std::string name;
    ZmConsumer *consumer = nullptr;
  };
  std::map<std::string, std::unique_ptr<Target>> targets;

  void
  SetUp () override
  {
    open ();
  }

  void
  TearDown () override
  {
    close ();
    zm_metrics_free (metrics);
    zm_log_unref (log);
  }

  void
  open ()
  {
    GError *error = nullptr;
    ZmProblems *problems = zm_problems_new ();
    ZmStoreConfig at = {};
    ZmQueuesConfig room = {};
    ZmDeliveryConfig with = {};

    config = zm_config_new ();
    zm_config_add_setting (config, "queue bound.topics=?Result?Wanted", "test", problems);
    for (const char *setting : settings)
      zm_config_add_setting (config, setting, "test", problems);
    zm_config_finish (config, problems);
    g_autofree char *wrong = zm_problems_format (problems);
    EXPECT_EQ (zm_problems_errors (problems), 0u) << wrong;
    zm_problems_free (problems);
    timers = zm_timers_new (&error);
    at.ops = &fake.ops;
    at.state = &fake;
    at.uri = "fake";
    at.owner = "test";
    at.log = log;
    at.metrics = metrics;
    store = zm_store_new (&at, &error);
    ASSERT_NE (store, nullptr) << error->message;
    room.store = store;
    room.timers = timers;
    room.config = config;
    room.log = log;
    room.metrics = metrics;
    room.wall_us = [] (gpointer user) {
      auto *test = static_cast<DeliveryTest *> (user);
      return test->queues_move ? test->wall.load () : zm_wall_us ();
    };
    room.user = this;
    queues = zm_queues_new (&room, &error);
    ASSERT_NE (queues, nullptr) << error->message;
    with.queues = queues;
    with.store = store;
    with.timers = timers;
    with.log = log;
    with.metrics = metrics;
    with.now_us = [] (gpointer user) { return static_cast<DeliveryTest *> (user)->now.load (); };
    with.wall_us = [] (gpointer user) { return static_cast<DeliveryTest *> (user)->wall.load (); };
    with.publish = [] (ZmMessage *const *messages, guint n, gpointer user) {
      auto *test = static_cast<DeliveryTest *> (user);
      std::lock_guard<std::mutex> guard (test->lock);
      for (guint i = 0; i < n; i++) {
        ZmSpan body = zm_message_body (messages[i]);
        test->published.emplace_back (body.data, body.size);
        zm_message_unref (messages[i]);
      }
      test->changed.notify_all ();
    };
    with.user = this;
    delivery = zm_delivery_new (&with, &error);
    ASSERT_NE (delivery, nullptr) << error->message;
  }

  /* As a daemon that ends at once: what targets have is not waited for. */
  void
  close ()
  {
    zm_delivery_close (delivery, zm_now_us ());
    zm_delivery_leave (delivery);
    zm_queues_close (queues);
    zm_store_free (store);
    zm_delivery_free (delivery);
    zm_queues_free (queues);
    zm_timers_free (timers);
    zm_config_unref (config);
    targets.clear ();
  }

  void
  reopen ()
  {
    close ();
    {
      std::lock_guard<std::mutex> guard (lock);
      seen.clear ();
    }
    open ();
  }

  static gboolean
  start (ZmAttempt *attempt, gpointer user)
  {
    auto *target = static_cast<Target *> (user);
    DeliveryTest *test = target->test;
    std::lock_guard<std::mutex> guard (test->lock);
    const ZmStored &stored = attempt->stored;

    test->changed.notify_all ();
    if (test->busy) {
      test->refused++;
      return FALSE;
    }
    test->seen.push_back ({ attempt, target->name, std::string (stored.body.data, stored.body.size),
                            stored.id, attempt->number });
    return TRUE;
  }

  ZmConsumer *
  consume (const char *queue, const char *policy = "{}", guint concurrency = 8, bool consumes = true,
           guint waiting_most = 0, bool strict = false)
  {
    auto &target = targets[queue];
    ZmConsumerConfig with = {};
    GError *error = nullptr;

    target.reset (new Target{ this, queue });
    with.name = queue;
    with.queue.name = zm_span_text (queue);
    with.target.start = start;
    with.target.user = target.get ();
    zm_retry_policy_init (&with.policy);
    EXPECT_TRUE (zm_retry_policy_read (&with.policy, zm_span_text (policy), &error));
    with.concurrency = concurrency;
    with.consumes = consumes;
    with.strict = strict;
    with.waiting_most = waiting_most;
    target->consumer = zm_consumer_new (delivery, &with, &error);
    zm_retry_policy_clear (&with.policy);
    return target->consumer;
  }

  bool
  until (const std::function<bool ()> &holds)
  {
    std::unique_lock<std::mutex> guard (lock);
    return changed.wait_for (guard, std::chrono::seconds (20), holds);
  }

  /* The n-th attempt that any target got. */
  Seen
  nth (size_t n)
  {
    EXPECT_TRUE (until ([&] { return seen.size () > n; })) << "attempt " << n << " does not come";
    std::lock_guard<std::mutex> guard (lock);
    return n < seen.size () ? seen[n] : Seen{};
  }

  size_t
  count ()
  {
    std::lock_guard<std::mutex> guard (lock);
    return seen.size ();
  }

  /* ---- questions whose answer is waited for ---- */

  struct Answer {
    DeliveryTest *test;
    bool done = false;
    std::string error;
    guint n = 0;
    std::vector<std::string> ids, bodies, headers;
  };

  static void
  answered (const ZmQueueAnswer *answer, const GError *error, gpointer user)
  {
    auto *into = static_cast<Answer *> (user);
    std::lock_guard<std::mutex> guard (into->test->lock);

    if (error != nullptr)
      into->error = error->message;
    else {
      into->n = answer->n;
      for (guint i = 0; i < answer->n_ids; i++)
        into->ids.push_back (answer->ids[i]);
      for (guint i = 0; i < answer->n_messages; i++) {
        into->bodies.emplace_back (answer->messages[i].body.data, answer->messages[i].body.size);
        into->headers.emplace_back (answer->messages[i].headers.data, answer->messages[i].headers.size);
        into->ids.push_back (answer->messages[i].id);
      }
    }
    into->done = true;
    into->test->changed.notify_all ();
  }

  Answer
  ask (const std::function<void (Answer *)> &question)
  {
    Answer answer{ this, false, "", 0, {}, {}, {} };
    question (&answer);
    EXPECT_TRUE (until ([&] { return answer.done; })) << "no answer";
    EXPECT_EQ (answer.error, "");
    return answer;
  }

  std::vector<std::string>
  put (const char *queue, const std::vector<std::string> &bodies, const char *headers = "")
  {
    return ask ([&] (Answer *answer) {
             std::vector<ZmPut> puts;
             for (const std::string &body : bodies) {
               ZmPut one = {};
               one.body = zm_span (body.data (), body.size ());
               one.headers = zm_span_text (headers);
               one.ttl_s = one.delay_s = -1;
               puts.push_back (one);
             }
             zm_queue_put (queues, ZmQueueName{ {}, zm_span_text (queue) }, puts.data (),
                           (guint) puts.size (), answered, answer);
           })
        .ids;
  }

  Answer
  list (const char *queue)
  {
    return ask ([&] (Answer *answer) {
      ZmQueueList all = {};
      all.limit = 1000;
      all.claimed = all.delayed = TRUE;
      zm_queue_list (queues, ZmQueueName{ {}, zm_span_text (queue) }, &all, answered, answer);
    });
  }

  void
  purge (const char *queue)
  {
    ask ([&] (Answer *answer) {
      zm_queue_purge (queues, ZmQueueName{ {}, zm_span_text (queue) }, answered, answer);
    });
  }

  void
  remove (const char *queue, const std::string &id)
  {
    ask ([&] (Answer *answer) {
      zm_queue_delete (queues, ZmQueueName{ {}, zm_span_text (queue) }, zm_span (id.data (), id.size ()),
                       zm_span (nullptr, 0), answered, answer);
    });
  }

  Answer
  replay (const char *queue, const std::vector<std::string> &ids = {})
  {
    return ask ([&] (Answer *answer) {
      std::vector<ZmSpan> spans;
      for (const std::string &id : ids)
        spans.push_back (zm_span (id.data (), id.size ()));
      zm_delivery_replay (delivery, ZmQueueName{ {}, zm_span_text (queue) }, spans.data (),
                          (guint) spans.size (), answered, answer);
    });
  }

  void
  end (const Seen &one, ZmVerdict verdict, const char *code = nullptr, gint64 after_ms = -1,
       const std::vector<ZmMessage *> &results = {})
  {
    ZmDeliveryEnd how = {};
    how.verdict = verdict;
    how.after_ms = after_ms;
    how.code = code;
    how.text = "because";
    how.results = results.data ();
    how.n_results = (guint) results.size ();
    zm_delivery_ended (one.attempt, &how);
  }

  /* Everything that was submitted before has been done when this returns. */
  void
  settle ()
  {
    for (int i = 0; i < 3; i++)
      ask ([&] (Answer *answer) {
        zm_queue_stats (queues, ZmQueueName{ {}, ZM_SPAN_LITERAL ("settle") }, answered, answer);
      });
  }

  /* The same where a thread beside the store's has to read in between. */
  bool
  settles (const std::function<bool ()> &holds)
  {
    gint64 until_us = zm_now_us () + 20 * second;

    while (!holds () && zm_now_us () < until_us)
      settle ();
    return holds ();
  }

  bool
  settles_gone (guint n)
  {
    std::string wanted = "\"gone\":" + std::to_string (n);

    return settles ([&] {
      g_autofree char *status = zm_delivery_status_json (delivery);
      return std::string (status).find (wanted) != std::string::npos;
    });
  }

  /* What waits for its retry, in the store. */
  size_t
  retry_documents ()
  {
    std::lock_guard<std::mutex> guard (fake.lock);
    size_t n = 0;

    for (const auto &entry : fake.documents)
      n += entry.first.first == "retry";
    return n;
  }

  void
  pass (gint64 us)
  {
    now += us;
    wall += us;
    zm_delivery_wake (delivery);
    settle ();
  }
};

} // namespace delivery_test
