/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tests of claims, dead letters, duplicates and elements of latest queues, over the real store room and a store that can fail. */
#include "config.h"

#include "config-helper.h"
#include "log-store.h"
#include "queue/zm-queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <random>
#include <set>
#include <thread>

namespace {

constexpr auto LONG = std::chrono::seconds (20);
constexpr gint64 SECOND = G_USEC_PER_SEC;

struct Message {
  std::string id, body, headers, claim;
  guint count;
  gint64 ttl_s, expires_us;
};

/* What a request was told, copied. */
struct Answer {
  int code = -1; /* -1: no error */
  std::string why;
  bool created = false, duplicate = false;
  guint n = 0;
  std::vector<Message> messages;
  std::vector<std::string> ids;
  std::string claim;
  gint64 claim_ttl = 0, claim_age = 0;
  ZmQueueStats stats = {};

  std::vector<std::string>
  bodies () const
  {
    std::vector<std::string> all;
    for (const Message &m : messages)
      all.push_back (m.body);
    return all;
  }
};

std::string
text (ZmSpan span)
{
  return span.size > 0 ? std::string (span.data, span.size) : std::string ();
}

ZmSpan
span (const std::string &text)
{
  return zm_span (text.data (), text.size ());
}

/* Waits for one answer. */
class Waiting {
public:
  static void
  done (const ZmQueueAnswer *told, const GError *error, gpointer user)
  {
    Waiting *self = static_cast<Waiting *> (user);
    std::lock_guard<std::mutex> guard (self->lock);
    Answer &a = self->answer;

    a.code = error != nullptr ? error->code : -1;
    a.why = error != nullptr ? error->message : "";
    a.created = told->created;
    a.duplicate = told->duplicate;
    a.n = told->n;
    a.claim = told->claim.id;
    a.claim_ttl = told->claim.ttl_s;
    a.claim_age = told->claim.age_s;
    a.stats = told->stats;
    for (guint i = 0; i < told->n_messages; i++) {
      const ZmStored &m = told->messages[i];
      a.messages.push_back (
          { m.id, text (m.body), text (m.headers), m.claim, m.claim_count, m.ttl_s, m.expires_us });
    }
    for (guint i = 0; i < told->n_ids; i++)
      a.ids.push_back (told->ids[i]);
    self->ready = true;
    self->changed.notify_all ();
  }
  Answer
  get ()
  {
    std::unique_lock<std::mutex> guard (lock);
    EXPECT_TRUE (changed.wait_for (guard, LONG, [this] { return ready; })) << "no answer";
    return answer;
  }
  bool
  is_ready ()
  {
    std::lock_guard<std::mutex> guard (lock);
    return ready;
  }

private:
  std::mutex lock;
  std::condition_variable changed;
  bool ready = false;
  Answer answer;
};

class Queues : public ::testing::Test {
protected:
  LogStore disk;
  std::atomic<gint64> now{ G_GINT64_CONSTANT (1800000000) * SECOND };
  std::unique_ptr<Configuration> settings;
  std::vector<std::string> lines;
  ZmTimers *timers = nullptr;
  ZmMetrics *metrics = nullptr;
  ZmStore *store = nullptr;
  ZmQueues *queues = nullptr;
  ZmQueueName q = { ZM_SPAN_LITERAL ("default"), ZM_SPAN_LITERAL ("work") };

  void
  start ()
  {
    g_autoptr (GError) error = nullptr;
    ZmStoreConfig store_config = {};
    ZmQueuesConfig config = {};

    settings = std::make_unique<Configuration> ();
    for (const std::string &line : lines)
      settings->set (line);
    settings->finish ();
    timers = zm_timers_new (&error);
    metrics = zm_metrics_new ();
    store_config.driver = "log";
    store_config.ops = &disk.ops;
    store_config.state = &disk;
    store_config.owner = "here";
    store_config.metrics = metrics;
    store = zm_store_new (&store_config, &error);
    ASSERT_NE (store, nullptr) << error->message;
    config.store = store;
    config.timers = timers;
    config.config = settings->config;
    config.metrics = metrics;
    config.wall_us = [] (gpointer user) -> gint64 { return static_cast<Queues *> (user)->now; };
    config.user = this;
    queues = zm_queues_new (&config, &error);
    ASSERT_NE (queues, nullptr) << error->message;
  }
  void
  stop ()
  {
    if (queues == nullptr)
      return;
    zm_queues_close (queues);
    zm_store_free (store);
    zm_timers_free (timers);
    zm_queues_free (queues);
    zm_metrics_free (metrics);
    queues = nullptr;
  }
  void
  restart ()
  {
    stop ();
    start ();
  }
  void
  SetUp () override
  {
    start ();
  }
  void
  TearDown () override
  {
    stop ();
  }

  static ZmPut
  put_of (const std::string &body, const std::string &id = "", const std::string &key = "", gint64 ttl_s = -1)
  {
    ZmPut put = {};

    put.body = span (body);
    put.id = span (id);
    put.key = span (key);
    put.ttl_s = ttl_s;
    put.delay_s = -1;
    return put;
  }
  Answer
  put (const std::string &body, const std::string &id = "", const std::string &key = "", gint64 ttl_s = -1)
  {
    Waiting waiting;
    ZmPut one = put_of (body, id, key, ttl_s);

    zm_queue_put (queues, q, &one, 1, Waiting::done, &waiting);
    return waiting.get ();
  }
  Answer
  put_how (ZmPutHow how, const std::string &body, const std::string &key)
  {
    Waiting waiting;
    ZmPut one = put_of (body, "", key);

    zm_queue_put_how (queues, q, &one, how, Waiting::done, &waiting);
    return waiting.get ();
  }
  Answer
  claim (guint limit, gint64 ttl_s = 60, gint64 grace_s = 60)
  {
    Waiting waiting;
    zm_queue_claim (queues, q, limit, ttl_s, grace_s, Waiting::done, &waiting);
    return waiting.get ();
  }
  Answer
  get (const std::string &id)
  {
    Waiting waiting;
    zm_queue_claim_get (queues, q, span (id), Waiting::done, &waiting);
    return waiting.get ();
  }
  Answer
  renew (const std::string &id, gint64 ttl_s, gint64 grace_s = 60)
  {
    Waiting waiting;
    zm_queue_claim_renew (queues, q, span (id), ttl_s, grace_s, Waiting::done, &waiting);
    return waiting.get ();
  }
  Answer
  release (const std::string &id)
  {
    Waiting waiting;
    zm_queue_claim_release (queues, q, span (id), Waiting::done, &waiting);
    return waiting.get ();
  }
  Answer
  remove (const std::string &id, const std::string &claim)
  {
    Waiting waiting;
    zm_queue_delete (queues, q, span (id), span (claim), Waiting::done, &waiting);
    return waiting.get ();
  }
  Answer
  pop (guint n)
  {
    Waiting waiting;
    zm_queue_pop (queues, q, n, Waiting::done, &waiting);
    return waiting.get ();
  }
  Answer
  stats ()
  {
    Waiting waiting;
    zm_queue_stats (queues, q, Waiting::done, &waiting);
    return waiting.get ();
  }
  Answer
  metadata (const std::string &json)
  {
    Waiting waiting;
    zm_queue_create (queues, q, span (json), Waiting::done, &waiting);
    return waiting.get ();
  }
  void
  pass (gint64 seconds)
  {
    now += seconds * SECOND;
  }
};

using Texts = std::vector<std::string>;

/* ---- claims ---- */

TEST_F (Queues, AClaimTakesTheFirstThatAreFree)
{
  for (const char *body : { "a", "b", "c" })
    put (body);
  Answer first = claim (2), second = claim (2), third = claim (2);

  EXPECT_EQ (first.bodies (), (Texts{ "a", "b" }));
  EXPECT_EQ (second.bodies (), (Texts{ "c" }));
  EXPECT_EQ (third.messages.size (), 0u);
  EXPECT_EQ (third.claim, "");
  EXPECT_EQ (third.code, -1);
  EXPECT_NE (first.claim, second.claim);
  EXPECT_EQ (first.messages[0].claim, first.claim);
  EXPECT_EQ (first.messages[0].count, 1u);
  Answer shown = get (first.claim);
  EXPECT_EQ (shown.bodies (), (Texts{ "a", "b" }));
  EXPECT_EQ (shown.claim_ttl, 60);
  EXPECT_EQ (stats ().stats.claimed, 3u);
  EXPECT_EQ (disk.count ("claim"), 2u);
}

TEST_F (Queues, OfNoQueueNothingIsClaimed)
{
  EXPECT_EQ (claim (1).code, -1);
  EXPECT_EQ (get ("nothing").code, ZM_ERROR_NOT_FOUND);
  EXPECT_EQ (release ("nothing").code, -1);
  EXPECT_EQ (renew ("nothing", 60).code, ZM_ERROR_NOT_FOUND);
}

TEST_F (Queues, DeletingAsksForTheClaim)
{
  put ("a");
  put ("b");
  Answer mine = claim (1), other = claim (1);
  std::string id = mine.messages[0].id;

  EXPECT_EQ (remove (id, "").code, ZM_ERROR_REFUSED);
  EXPECT_EQ (remove (id, other.claim).code, ZM_ERROR_REFUSED);
  EXPECT_EQ (remove (id, "00000000-0000-4000-8000-000000000000").code, ZM_ERROR_INVALID);
  EXPECT_EQ (remove (id, mine.claim).code, -1);
  EXPECT_EQ (remove (id, mine.claim).code, -1) << "what is not there is no error";
  EXPECT_EQ (get (mine.claim).code, ZM_ERROR_NOT_FOUND) << "nothing is left of it";
  EXPECT_EQ (disk.count ("claim"), 1u);
}

TEST_F (Queues, TimeFreesAndTheCountStays)
{
  put ("a");
  Answer mine = claim (1, 60);

  pass (59);
  EXPECT_EQ (claim (1).messages.size (), 0u);
  EXPECT_EQ (get (mine.claim).claim_age, 59);
  pass (1);
  EXPECT_EQ (get (mine.claim).code, ZM_ERROR_NOT_FOUND);
  EXPECT_EQ (remove (mine.messages[0].id, mine.claim).code, ZM_ERROR_INVALID);
  Answer again = claim (1);
  ASSERT_EQ (again.bodies (), (Texts{ "a" }));
  EXPECT_EQ (again.messages[0].count, 2u);
  EXPECT_EQ (disk.count ("claim"), 1u) << "the later claim's document takes the place of the first one's";
}

TEST_F (Queues, RenewingAndReleasing)
{
  put ("a");
  Answer mine = claim (1, 60);

  pass (50);
  EXPECT_EQ (renew (mine.claim, 100).code, -1);
  pass (99);
  EXPECT_EQ (get (mine.claim).claim_age, 99);
  EXPECT_EQ (release (mine.claim).n, 1u);
  EXPECT_EQ (release (mine.claim).code, -1);
  EXPECT_EQ (renew (mine.claim, 100).code, ZM_ERROR_NOT_FOUND);
  EXPECT_EQ (claim (1).messages[0].count, 2u);
}

/* Zaqar: 60 becomes 360 with a claim of 300 and a grace of 60. */
TEST_F (Queues, AClaimMakesItsMessagesLiveLonger)
{
  put ("a", "", "", 60);
  Answer mine = claim (1, 300, 60);

  ASSERT_EQ (mine.messages.size (), 1u);
  EXPECT_EQ (mine.messages[0].ttl_s, 360);
  EXPECT_EQ (mine.messages[0].expires_us, now + 360 * SECOND);
  pass (100);
  restart ();
  EXPECT_EQ (get (mine.claim).bodies (), (Texts{ "a" }));
  pass (201); /* the claim is over, the message is not */
  EXPECT_EQ (claim (1, 10, 10).messages[0].ttl_s, 360);
  pass (100);
  EXPECT_EQ (claim (1).messages.size (), 0u);
}

TEST_F (Queues, ARestartKeepsClaimsAndCounts)
{
  for (const char *body : { "a", "b", "c", "d" })
    put (body);
  Answer kept = claim (2, 100), released = claim (1), over = claim (1, 20);

  EXPECT_EQ (remove (kept.messages[0].id, kept.claim).code, -1);
  release (released.claim);
  pass (30);
  restart ();
  EXPECT_EQ (get (kept.claim).bodies (), (Texts{ "b" }));
  EXPECT_EQ (stats ().stats.claimed, 1u);
  Answer rest = claim (10);
  ASSERT_EQ (rest.bodies (), (Texts{ "c", "d" }));
  EXPECT_EQ (rest.messages[0].count, 2u);
  EXPECT_EQ (rest.messages[1].count, 2u);
  pass (71);
  EXPECT_EQ (claim (10).messages[0].count, 2u) << "b";
}

TEST_F (Queues, AFailedWriteGivesBack)
{
  put ("a");
  put ("b");
  disk.fail (true);
  EXPECT_NE (claim (1).code, -1);
  disk.fail (false);
  Answer mine = claim (1);
  ASSERT_EQ (mine.bodies (), (Texts{ "a" }));
  EXPECT_EQ (mine.messages[0].count, 1u);
  disk.fail (true);
  EXPECT_NE (release (mine.claim).code, -1);
  disk.fail (false);
  EXPECT_EQ (get (mine.claim).bodies (), (Texts{ "a" }));
  disk.fail (true);
  EXPECT_NE (renew (mine.claim, 1000).code, -1);
  disk.fail (false);
  EXPECT_EQ (get (mine.claim).claim_ttl, 60);
  disk.fail (true);
  EXPECT_NE (remove (mine.messages[0].id, mine.claim).code, -1);
  disk.fail (false);
  EXPECT_EQ (get (mine.claim).bodies (), (Texts{ "a" }));
  EXPECT_EQ (remove (mine.messages[0].id, mine.claim).code, -1);
}

TEST_F (Queues, PurgingEndsClaims)
{
  Waiting waiting;

  put ("a");
  Answer mine = claim (1);
  zm_queue_purge (queues, q, Waiting::done, &waiting);
  EXPECT_EQ (waiting.get ().code, -1);
  EXPECT_EQ (get (mine.claim).code, ZM_ERROR_NOT_FOUND);
  EXPECT_EQ (disk.count ("claim"), 0u);
  put ("b");
  EXPECT_EQ (claim (1).messages[0].count, 1u);
}

TEST_F (Queues, EightThreadsPopEachMessageOnce)
{
  constexpr guint N = 800;
  std::mutex lock;
  std::multiset<std::string> got;
  std::vector<std::thread> threads;

  for (guint i = 0; i < N; i++)
    put (std::to_string (i));
  for (int t = 0; t < 8; t++)
    threads.emplace_back ([&, t] {
      for (;;) {
        Answer some = t % 2 == 0 ? pop (3) : claim (3);
        std::lock_guard<std::mutex> guard (lock);

        if (some.messages.empty ())
          return;
        for (const Message &m : some.messages)
          got.insert (m.body);
      }
    });
  for (std::thread &thread : threads)
    thread.join ();
  EXPECT_EQ (got.size (), N);
  for (guint i = 0; i < N; i++)
    EXPECT_EQ (got.count (std::to_string (i)), 1u) << i;
}

/* Two claimants, a moving clock and restarts beside a model that knows who has what until when. */
TEST_F (Queues, ARandomWalkIsAsTheModel)
{
  struct Held {
    std::string claim;
    gint64 ends = 0;
    guint count = 0;
    bool gone = false;
  };
  std::mt19937 random (4711);
  std::map<std::string, Held> model; /* by body */
  std::map<std::string, std::string> ids;
  std::vector<std::string> order;
  std::string claims[2];

  auto is_free = [&] (const std::string &body) {
    const Held &held = model[body];
    return !held.gone && (held.claim.empty () || held.ends <= now);
  };
  for (int step = 0; step < 1500; step++) {
    SCOPED_TRACE (step);
    std::string &claim_id = claims[random () % 2];
    bool fails = random () % 8 == 0;
    guint what = random () % 100;

    if (what < 30) {
      std::string body = std::to_string (step);
      ids[body] = put (body).ids[0];
      order.push_back (body);
      model[body] = {};
    } else if (what < 50) {
      Texts expected;
      for (const std::string &body : order)
        if (expected.size () < 3 && is_free (body))
          expected.push_back (body);
      gint64 ttl = 1 + random () % 50;
      disk.fail (fails);
      Answer answer = claim (3, ttl);
      disk.fail (false);
      if (fails && !expected.empty ()) {
        EXPECT_NE (answer.code, -1);
        continue;
      }
      ASSERT_EQ (answer.bodies (), expected);
      for (const Message &m : answer.messages) {
        ASSERT_EQ (m.count, model[m.body].count + 1);
        model[m.body] = { answer.claim, now + ttl * SECOND, m.count, false };
      }
      if (!expected.empty ())
        claim_id = answer.claim;
    } else if (what < 70 && !claim_id.empty ()) {
      for (auto &entry : model) {
        Held &held = entry.second;
        if (held.gone || held.claim != claim_id)
          continue;
        bool over = held.ends <= now;
        disk.fail (fails);
        int code = remove (ids[entry.first], claim_id).code;
        disk.fail (false);
        if (over)
          ASSERT_EQ (code, ZM_ERROR_INVALID);
        else
          ASSERT_EQ (code == -1, !fails);
        held.gone = code == -1;
        break;
      }
    } else if (what < 78 && !claim_id.empty ()) {
      disk.fail (fails);
      int code = release (claim_id).code;
      disk.fail (false);
      for (auto &entry : model)
        if (code == -1 && entry.second.claim == claim_id)
          entry.second.claim = "";
    } else if (what < 86 && !claim_id.empty ()) {
      gint64 ttl = 1 + random () % 50;
      bool there = false;
      for (auto &entry : model)
        there |= !entry.second.gone && entry.second.claim == claim_id && entry.second.ends > now;
      int code = renew (claim_id, ttl).code;
      ASSERT_EQ (code, there ? -1 : ZM_ERROR_NOT_FOUND);
      for (auto &entry : model)
        if (there && entry.second.claim == claim_id)
          entry.second.ends = now + ttl * SECOND;
    } else if (what < 98) {
      pass (random () % 20);
    } else {
      restart ();
    }
    guint64 n_free = 0, n_claimed = 0;
    for (const std::string &body : order) {
      n_free += is_free (body);
      n_claimed += !model[body].gone && !is_free (body);
    }
    Answer told = stats ();
    ASSERT_EQ (told.stats.free, n_free);
    ASSERT_EQ (told.stats.claimed, n_claimed);
  }
}

/* ---- dead letters ---- */

TEST_F (Queues, ClaimedTooOftenGoesToTheDeadLetters)
{
  EXPECT_EQ (metadata ("{\"_max_claim_count\":2,\"_dead_letter_queue\":\"dead\","
                       "\"_dead_letter_queue_messages_ttl\":500}")
                 .code,
             -1);
  put ("bad");
  put ("good");
  std::string id = claim (1, 10).messages[0].id;
  pass (10);
  EXPECT_EQ (claim (1, 10).messages[0].count, 2u);
  pass (10);
  EXPECT_EQ (claim (1, 10).bodies (), (Texts{ "good" }));
  EXPECT_EQ (stats ().stats.total, 1u);
  EXPECT_EQ (stats ().stats.dead, 1u);
  q.name = ZM_SPAN_LITERAL ("dead");
  Answer dead = pop (5);
  ASSERT_EQ (dead.bodies (), (Texts{ "bad" }));
  EXPECT_EQ (dead.messages[0].ttl_s, 500);
  EXPECT_TRUE (zm_json_valid (span (dead.messages[0].headers))) << dead.messages[0].headers;
  for (const std::string &part : { std::string ("\"attempts\":2"), std::string ("\"queue\":\"work\""), id })
    EXPECT_NE (dead.messages[0].headers.find (part), std::string::npos) << dead.messages[0].headers;
}

TEST_F (Queues, ADeadLetterThatCannotBeWrittenStays)
{
  metadata ("{\"_max_claim_count\":1,\"_dead_letter_queue\":\"dead\"}");
  put ("bad");
  claim (1, 10);
  pass (10);
  disk.fail (true);
  EXPECT_NE (claim (1).code, -1);
  disk.fail (false);
  EXPECT_EQ (stats ().stats.total, 1u);
  EXPECT_EQ (claim (1).messages.size (), 0u);
  EXPECT_EQ (stats ().stats.total, 0u);
}

/* ---- duplicates ---- */

TEST_F (Queues, ASendersIdIsKnownForTenMinutes)
{
  Answer first = put ("a", "id-1"), second = put ("b", "id-1");

  EXPECT_TRUE (second.duplicate);
  EXPECT_EQ (second.ids, first.ids);
  EXPECT_FALSE (put ("c", "id-2").duplicate);
  EXPECT_EQ (pop (10).bodies (), (Texts{ "a", "c" }));
  restart ();
  Answer third = put ("d", "id-1");
  EXPECT_TRUE (third.duplicate) << "the message is gone, its id is not forgotten";
  EXPECT_EQ (third.ids, first.ids);
  pass (601);
  EXPECT_FALSE (put ("e", "id-1").duplicate);
  pass (61);
  put ("f", "id-3");
  put ("g", "id-4");
  EXPECT_EQ (disk.count ("seen"), 3u) << "minutes that are out of the window are removed";
}

TEST_F (Queues, AnIdWhosePutFailedIsNew)
{
  disk.fail (true);
  EXPECT_NE (put ("a", "id-1").code, -1);
  disk.fail (false);
  EXPECT_FALSE (put ("a", "id-1").duplicate);
  EXPECT_TRUE (put ("a", "id-1").duplicate);
}

/* ---- latest ---- */

class Latest : public Queues {
protected:
  void
  SetUp () override
  {
    lines = { "queue work.kind=latest" };
    start ();
  }
};

TEST_F (Latest, KeepsTheLastOfEachKey)
{
  put ("down", "", "link-1");
  put ("other", "", "link-2");
  put ("up", "", "link-1");
  EXPECT_EQ (stats ().stats.total, 2u);
  restart ();
  EXPECT_EQ (put_how (ZM_PUT_REPLACE_, "down again", "link-1").code, -1);
  EXPECT_EQ (pop (10).bodies (), (Texts{ "other", "down again" }));
  EXPECT_EQ (disk.records.size (), 0u);
}

TEST_F (Latest, IfEmptyCountsWhatIsClaimed)
{
  EXPECT_EQ (put_how (ZM_PUT_IF_EMPTY_, "a", "k").code, -1);
  EXPECT_EQ (put_how (ZM_PUT_IF_EMPTY_, "b", "k").code, ZM_ERROR_EXISTS);
  EXPECT_EQ (put_how (ZM_PUT_IF_EMPTY_, "c", "other").code, -1);
  Answer held = claim (1);
  EXPECT_EQ (held.bodies (), (Texts{ "a" }));
  EXPECT_EQ (put_how (ZM_PUT_IF_EMPTY_, "d", "k").code, ZM_ERROR_EXISTS);
  remove (held.messages[0].id, held.claim);
  EXPECT_EQ (put_how (ZM_PUT_IF_EMPTY_, "e", "k").code, -1);
}

TEST_F (Latest, WhatWasReplacedCannotComeBack)
{
  put ("old", "", "k");
  Answer held = claim (1);
  put_how (ZM_PUT_REPLACE_, "new", "k");
  EXPECT_EQ (release (held.claim).code, -1);
  EXPECT_EQ (remove (held.messages[0].id, held.claim).code, -1);
  EXPECT_EQ (pop (10).bodies (), (Texts{ "new" }));
}

TEST_F (Latest, AFailedReplacementLeavesTheOldOne)
{
  put ("old", "", "k");
  disk.fail (true);
  EXPECT_NE (put_how (ZM_PUT_REPLACE_, "new", "k").code, -1);
  disk.fail (false);
  EXPECT_EQ (put_how (ZM_PUT_IF_EMPTY_, "x", "k").code, ZM_ERROR_EXISTS);
  EXPECT_EQ (pop (10).bodies (), (Texts{ "old" }));
  EXPECT_EQ (put_how (ZM_PUT_IF_EMPTY_, "x", "k").code, -1);
}

/* Many put at one key at one time: one is left, in memory and on disk. */
TEST_F (Latest, OfManyAtOnceOneIsLeft)
{
  constexpr int N = 200;
  const std::string none, key = "k"; /* a put borrows them */
  std::vector<std::unique_ptr<Waiting>> waiting;

  for (int i = 0; i < N; i++) {
    std::string body = std::to_string (i);
    ZmPut one = put_of (body, none, key);

    waiting.push_back (std::make_unique<Waiting> ());
    zm_queue_put_how (queues, q, &one, i % 3 == 0 ? ZM_PUT_IF_EMPTY_ : ZM_PUT_REPLACE_, Waiting::done,
                      waiting.back ().get ());
  }
  for (int i = 0; i < N; i++)
    EXPECT_EQ (waiting[i]->get ().code, i == 0 || i % 3 != 0 ? -1 : ZM_ERROR_EXISTS) << i;
  EXPECT_EQ (stats ().stats.total, 1u);
  {
    std::lock_guard<std::mutex> guard (disk.lock);
    EXPECT_EQ (disk.records.size (), 1u);
  }
  restart ();
  EXPECT_EQ (pop (10).bodies (), (Texts{ std::to_string (N - 1) }));
}

TEST_F (Latest, WaitingEndsWhenTheElementGoes)
{
  Waiting waiting, late, nothing;
  std::string key = "k";

  zm_queue_wait_empty (queues, q, span (key), zm_now_us () + 20 * SECOND, Waiting::done, &nothing);
  EXPECT_EQ (nothing.get ().code, -1) << "it is empty";
  put ("a", "", "k");
  put ("b", "", "other");
  zm_queue_wait_empty (queues, q, span (key), zm_now_us () + 20 * SECOND, Waiting::done, &waiting);
  Answer held = claim (1);
  put_how (ZM_PUT_REPLACE_, "c", "k");
  EXPECT_FALSE (waiting.is_ready ());
  pop (10);
  EXPECT_EQ (waiting.get ().code, -1);
  put ("d", "", "k");
  zm_queue_wait_empty (queues, q, span (key), zm_now_us () + SECOND / 20, Waiting::done, &late);
  EXPECT_EQ (late.get ().code, ZM_ERROR_UNAVAILABLE);
}

TEST_F (Queues, AnyQueueCanBeWaitedForUntilItIsEmpty)
{
  Waiting waiting, closing;

  EXPECT_EQ (put_how (ZM_PUT_IF_EMPTY_, "a", "").code, -1);
  EXPECT_EQ (put_how (ZM_PUT_IF_EMPTY_, "b", "").code, ZM_ERROR_EXISTS);
  EXPECT_EQ (put_how (ZM_PUT_REPLACE_, "b", "").code, ZM_ERROR_INVALID);
  EXPECT_EQ (put_how (ZM_PUT_IF_EMPTY_, "b", "key").code, ZM_ERROR_INVALID);
  zm_queue_wait_empty (queues, q, zm_span (nullptr, 0), zm_now_us () + 20 * SECOND, Waiting::done, &waiting);
  pop (1);
  EXPECT_EQ (waiting.get ().code, -1);
  put ("c");
  zm_queue_wait_empty (queues, q, zm_span (nullptr, 0), zm_now_us () + 20 * SECOND, Waiting::done, &closing);
  stats ();
  stop ();
  EXPECT_EQ (closing.get ().code, ZM_ERROR_UNAVAILABLE);
}

/* ---- encryption ---- */

TEST_F (Queues, MetadataAskForEncryption)
{
  EXPECT_EQ (metadata ("{\"_enable_encrypt_messages\":true}").code, ZM_ERROR_REFUSED);
  lines = { "store.key=000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f" };
  restart ();
  Answer made = metadata ("{\"_enable_encrypt_messages\":true}");
  if (made.code == ZM_ERROR_UNAVAILABLE)
    GTEST_SKIP () << made.why;
  ASSERT_EQ (made.code, -1) << made.why;
  put ("secret words");
  {
    std::lock_guard<std::mutex> guard (disk.lock);
    ASSERT_EQ (disk.records.size (), 1u);
    EXPECT_EQ (disk.records.begin ()->second.data.find ("secret"), std::string::npos);
  }
  restart ();
  EXPECT_EQ (pop (1).bodies (), (Texts{ "secret words" }));
}

} // namespace
