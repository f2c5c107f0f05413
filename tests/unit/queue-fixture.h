/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The queue room over a real ZmStore, whose plugin keeps everything in memory beyond close (a restart is to free and to open again) and
 * fails when it is told to. The wall clock is the test's.
 */
#pragma once

#include "base/zm-base.h"
#include "queue/registry-private.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

namespace queue_test {

struct KeptRecord {
  gint64 expires_us;
  guint64 tag;
  std::string data;
  bool damaged;
};

/* What is on the disk, and how writes end. */
struct KeptStore {
  zm_store_ops ops = {};
  std::mutex lock;
  std::map<std::pair<guint64, guint64>, KeptRecord> records;
  std::map<guint64, guint64> lasts;
  std::map<std::pair<std::string, std::string>, std::string> documents;
  std::atomic<int> fail{ ZM_OK }; /* how writes end from now on */
  std::atomic<int> writes{ 0 }, reads{ 0 };
  std::string wrong; /* a rule of the contract that was broken */

  KeptStore ();
};

inline std::string
text (zm_str str)
{
  return str.size > 0 ? std::string (str.data, str.size) : std::string ();
}

inline void
apply (KeptStore *kept, zm_store_op &op)
{
  switch (op.kind) {
  case ZM_STORE_APPEND:
    if (op.seq <= kept->lasts[op.queue])
      kept->wrong = "an append went backwards";
    kept->lasts[op.queue] = op.seq;
    kept->records[{ op.queue, op.seq }] = { op.expires_us, op.tag, text (op.data), false };
    break;
  case ZM_STORE_REMOVE:
    kept->records.erase (kept->records.lower_bound ({ op.queue, op.seq }),
                         kept->records.upper_bound ({ op.queue, op.upto }));
    break;
  case ZM_STORE_PUT: kept->documents[{ text (op.space), text (op.key) }] = text (op.data); break;
  case ZM_STORE_DELETE: kept->documents.erase ({ text (op.space), text (op.key) }); break;
  case ZM_STORE_DELETE_PREFIX: {
    auto at = kept->documents.lower_bound ({ text (op.space), text (op.key) });

    while (at != kept->documents.end () && at->first.first == text (op.space) &&
           at->first.second.compare (0, op.key.size, text (op.key)) == 0)
      at = kept->documents.erase (at);
    break;
  }
  case ZM_STORE_LEASE: break;
  default: kept->wrong = "a change of a kind that the queue room has no use for";
  }
}

inline int
kept_write (void *store, zm_store_batch *batch)
{
  KeptStore *kept = static_cast<KeptStore *> (store);
  std::lock_guard<std::mutex> guard (kept->lock);

  kept->writes++;
  if (kept->fail != ZM_OK) {
    snprintf (batch->error, batch->error_size, "as the test says");
    return kept->fail;
  }
  for (size_t i = 0; i < batch->n; i++)
    apply (kept, batch->ops[i]);
  return ZM_OK;
}

inline int
kept_read (void *reader, const zm_store_range *range, zm_store_record_fn func, void *user)
{
  KeptStore *kept = static_cast<KeptStore *> (reader);
  std::lock_guard<std::mutex> guard (kept->lock);
  guint64 upto = range->upto == 0 ? G_MAXUINT64 : range->upto;

  kept->reads++;
  for (auto at = kept->records.lower_bound ({ range->queue, range->seq });
       at != kept->records.end () && at->first.first == range->queue && at->first.second <= upto; ++at) {
    zm_store_record record = {};

    record.struct_size = sizeof record;
    record.flags = at->second.damaged ? ZM_STORE_DAMAGED : 0;
    record.queue = at->first.first;
    record.seq = at->first.second;
    record.expires_us = at->second.expires_us;
    record.tag = at->second.tag;
    record.size = at->second.data.size ();
    if (!(range->flags & ZM_STORE_HEADS))
      record.data = { at->second.data.data (), at->second.data.size () };
    if (func (user, &record) != 0)
      break;
  }
  return ZM_OK;
}

inline int
kept_documents (void *reader, zm_str space, zm_str prefix, zm_str after, uint64_t most,
                zm_store_document_fn func, void *user)
{
  KeptStore *kept = static_cast<KeptStore *> (reader);
  std::map<std::pair<std::string, std::string>, std::string> copy;
  uint64_t n = 0;

  {
    std::lock_guard<std::mutex> guard (kept->lock);
    copy = kept->documents;
  }
  for (const auto &entry : copy) {
    const std::string &key = entry.first.second;

    if (entry.first.first != text (space) || key.compare (0, prefix.size, text (prefix)) != 0 ||
        (after.size > 0 && key <= text (after)))
      continue;
    if (func (user, { key.data (), key.size () }, { entry.second.data (), entry.second.size () }) != 0 ||
        ++n == most)
      break;
  }
  return ZM_OK;
}

inline KeptStore::KeptStore ()
{
  ops.struct_size = sizeof ops;
  ops.flags = ZM_STORE_DURABLE;
  ops.schema = 1;
  ops.open = [] (void *state, const zm_host *, const char *, void **store, char *, size_t) {
    *store = state;
    return static_cast<int> (ZM_OK);
  };
  ops.close = [] (void *) {};
  ops.write = kept_write;
  ops.recover = [] (void *store, char *error, size_t size) {
    snprintf (error, size, "still");
    return static_cast<KeptStore *> (store)->fail == ZM_OK ? static_cast<int> (ZM_OK)
                                                           : static_cast<int> (ZM_E_FAILED);
  };
  ops.reader_open = [] (void *store, void **reader, char *, size_t) {
    *reader = store;
    return static_cast<int> (ZM_OK);
  };
  ops.reader_close = [] (void *) {};
  ops.read = kept_read;
  ops.documents = kept_documents;
  ops.last = [] (void *reader, uint64_t queue, uint64_t *seq) {
    KeptStore *kept = static_cast<KeptStore *> (reader);
    std::lock_guard<std::mutex> guard (kept->lock);

    *seq = kept->lasts[queue];
    return static_cast<int> (ZM_OK);
  };
  ops.figures = [] (void *, zm_store_figures *) { return static_cast<int> (ZM_OK); };
}

/* ---- answers ---- */

struct Message {
  std::string id, body, headers, topic, key, sender_id, client, claim;
  guint64 seq;
  gint64 created_us, expires_us, due_us, ttl_s;
  guint claim_count;
  bool has_sum;
};

struct Answer {
  bool done = false;
  int code = -1; /* -1: no error */
  std::string error;
  bool created = false, duplicate = false, more = false;
  guint n = 0;
  std::vector<Message> messages;
  std::vector<std::string> ids;
  std::string metadata, claim;
  ZmClaimInfo claim_info = {};
  ZmQueueStats stats = {};

  std::vector<std::string>
  bodies () const
  {
    std::vector<std::string> all;

    for (const Message &message : messages)
      all.push_back (message.body);
    return all;
  }
};

inline std::string
string_of (ZmSpan span)
{
  return span.size > 0 ? std::string (span.data, span.size) : std::string ();
}

inline ZmSpan
span_of (const std::string &string)
{
  return { string.data (), string.size () };
}

inline Message
message_of (const ZmStored &stored)
{
  return { stored.id,
           string_of (stored.body),
           string_of (stored.headers),
           string_of (stored.topic),
           string_of (stored.key),
           string_of (stored.sender_id),
           string_of (stored.client),
           stored.claim,
           stored.seq,
           stored.created_us,
           stored.expires_us,
           stored.due_us,
           stored.ttl_s,
           stored.claim_count,
           stored.has_sum != FALSE };
}

/* Collects one answer; waits for it. */
class Waiter {
public:
  static void
  told (const ZmQueueAnswer *answer, const GError *error, gpointer user)
  {
    Waiter *self = static_cast<Waiter *> (user);
    std::lock_guard<std::mutex> guard (self->lock);

    EXPECT_FALSE (self->answer.done) << "answered twice";
    self->answer.code = error != nullptr ? error->code : -1;
    self->answer.error = error != nullptr ? error->message : "";
    self->take (*answer);
    self->answer.done = true;
    self->changed.notify_all ();
  }

  Answer
  wait ()
  {
    std::unique_lock<std::mutex> guard (lock);

    EXPECT_TRUE (changed.wait_for (guard, std::chrono::seconds (60), [this] { return answer.done; }))
        << "no answer";
    return answer;
  }

private:
  void
  take (const ZmQueueAnswer &from)
  {
    answer.created = from.created;
    answer.duplicate = from.duplicate;
    answer.more = from.more;
    answer.n = from.n;
    for (guint i = 0; i < from.n_messages; i++)
      answer.messages.push_back (message_of (from.messages[i]));
    for (guint i = 0; i < from.n_ids; i++)
      answer.ids.push_back (from.ids[i]);
    answer.metadata = from.metadata != nullptr ? from.metadata : "";
    answer.claim = from.claim.id;
    answer.claim_info = from.claim;
    answer.stats = from.stats;
  }

  std::mutex lock;
  std::condition_variable changed;
  Answer answer;
};

/* ---- the room ---- */

class Room {
public:
  KeptStore kept;
  std::atomic<gint64> wall_us{ G_GINT64_CONSTANT (1700000000) * G_USEC_PER_SEC };
  ZmQueues *queues = nullptr;
  ZmStore *store = nullptr;

  explicit Room (const std::vector<std::string> &settings = {})
  {
    int null = ::open ("/dev/null", O_WRONLY);

    log = zm_log_new (null, ZM_LOG_FORMAT_JSON, ZM_LEVEL_ERROR);
    null_fd = null;
    timers = zm_timers_new (nullptr);
    config = config_of (settings);
    open ();
  }

  ~Room ()
  {
    close ();
    zm_timers_free (timers);
    zm_config_unref (config);
    zm_log_unref (log);
    ::close (null_fd);
    EXPECT_EQ (kept.wrong, "");
  }

  static ZmConfig *
  config_of (const std::vector<std::string> &settings)
  {
    g_autoptr (ZmProblems) problems = zm_problems_new ();
    ZmConfig *made = zm_config_new ();

    for (const std::string &setting : settings)
      zm_config_add_setting (made, setting.c_str (), "--set", problems);
    zm_config_finish (made, problems);
    g_autofree char *wrong = zm_problems_format (problems);
    EXPECT_EQ (zm_problems_errors (problems), 0u) << wrong;
    return made;
  }

  void
  open ()
  {
    ZmStoreConfig store_config = {};
    ZmQueuesConfig queues_config = {};
    g_autoptr (GError) error = nullptr;

    metrics = zm_metrics_new ();
    store_config.ops = &kept.ops;
    store_config.state = &kept;
    store_config.uri = "test";
    store_config.owner = "test";
    store_config.log = log;
    store_config.metrics = metrics;
    store = zm_store_new (&store_config, &error);
    ASSERT_NE (store, nullptr) << error->message;
    queues_config.store = store;
    queues_config.timers = timers;
    queues_config.config = config;
    queues_config.log = log;
    queues_config.metrics = metrics;
    queues_config.wall_us = [] (gpointer user) { return static_cast<Room *> (user)->wall_us.load (); };
    queues_config.user = this;
    queues = zm_queues_new (&queues_config, &error);
    ASSERT_NE (queues, nullptr) << error->message;
  }

  void
  close ()
  {
    if (queues == nullptr)
      return;
    zm_queues_close (queues);
    zm_store_free (store);
    zm_queues_free (queues);
    zm_metrics_free (metrics);
    queues = nullptr;
  }

  void
  restart ()
  {
    close ();
    open ();
  }

  void
  use (const std::vector<std::string> &settings)
  {
    ZmConfig *before = config;

    config = config_of (settings);
    zm_queues_configure (queues, config);
    zm_config_unref (before);
    sync ();
  }

  void
  pass (gint64 seconds)
  {
    wall_us += seconds * G_USEC_PER_SEC;
  }

  /* A unit of the background, and what it makes follow; returns when it is through. */
  void
  tend ()
  {
    zm_queues_tend (queues);
    while (__atomic_load_n (&queues->p->tidying, __ATOMIC_ACQUIRE))
      sync ();
  }

  /* Everything that was submitted has ended. */
  void
  sync ()
  {
    Waiter waiter;

    zm_queue_get_metadata (queues, name ("nobody-has-this"), Waiter::told, &waiter);
    waiter.wait ();
  }

  static ZmQueueName
  name (const std::string &name)
  {
    return { { nullptr, 0 }, { name.data (), name.size () } };
  }

  static ZmPut
  a_put (const std::string &body)
  {
    ZmPut put = {};

    put.body = span_of (body);
    put.ttl_s = put.delay_s = -1;
    return put;
  }

  /* Of a literal, which lives as long as what is made of it; that of a string must not be kept beyond it. */
  static ZmPut
  a_put (const char *body)
  {
    ZmPut put = {};

    put.body = zm_span_text (body);
    put.ttl_s = put.delay_s = -1;
    return put;
  }

  Answer
  put (const std::string &queue, const std::vector<ZmPut> &puts)
  {
    Waiter waiter;

    zm_queue_put (queues, name (queue), puts.data (), (guint) puts.size (), Waiter::told, &waiter);
    return waiter.wait ();
  }
  Answer
  put (const std::string &queue, const std::string &body)
  {
    return put (queue, std::vector<ZmPut>{ a_put (body) });
  }
  Answer
  list (const std::string &queue, guint limit = 100, const std::string &marker = "",
        const std::function<void (ZmQueueList &)> &change = {})
  {
    ZmQueueList what = {};
    Waiter waiter;

    what.limit = limit;
    what.marker = span_of (marker);
    if (change)
      change (what);
    zm_queue_list (queues, name (queue), &what, Waiter::told, &waiter);
    return waiter.wait ();
  }
  Answer
  get (const std::string &queue, const std::vector<std::string> &ids)
  {
    std::vector<ZmSpan> spans;
    Waiter waiter;

    for (const std::string &id : ids)
      spans.push_back (span_of (id));
    zm_queue_get (queues, name (queue), spans.data (), (guint) spans.size (), Waiter::told, &waiter);
    return waiter.wait ();
  }
  Answer
  remove (const std::string &queue, const std::string &id, const std::string &claim = "")
  {
    Waiter waiter;

    zm_queue_delete (queues, name (queue), span_of (id), span_of (claim), Waiter::told, &waiter);
    return waiter.wait ();
  }
  Answer
  claim (const std::string &queue, guint limit, gint64 ttl_s = -1, gint64 grace_s = -1)
  {
    Waiter waiter;

    zm_queue_claim (queues, name (queue), limit, ttl_s, grace_s, Waiter::told, &waiter);
    return waiter.wait ();
  }
  /* Those that take a queue and no more: purge, remove, stats, get_metadata. */
  Answer
  ask (void (*func) (ZmQueues *, ZmQueueName, ZmQueueDone, gpointer), const std::string &queue)
  {
    Waiter waiter;

    func (queues, name (queue), Waiter::told, &waiter);
    return waiter.wait ();
  }
  Answer
  create (const std::string &queue, const std::string &metadata)
  {
    Waiter waiter;

    zm_queue_create (queues, name (queue), span_of (metadata), Waiter::told, &waiter);
    return waiter.wait ();
  }
  Answer
  set_metadata (const std::string &queue, const std::string &expect, const std::string &metadata)
  {
    Waiter waiter;

    zm_queue_set_metadata (queues, name (queue), span_of (expect), span_of (metadata), Waiter::told, &waiter);
    return waiter.wait ();
  }
  ZmQueueStats
  stats (const std::string &queue)
  {
    return ask (zm_queue_stats, queue).stats;
  }
  gint64
  counter (const char *counter_name)
  {
    return zm_counter_get (zm_metrics_counter (metrics, counter_name, nullptr, nullptr, nullptr));
  }

  ZmMetrics *metrics = nullptr;
  ZmLog *log = nullptr;
  ZmTimers *timers = nullptr;
  ZmConfig *config = nullptr;

private:
  int null_fd = -1;
};

} // namespace queue_test
