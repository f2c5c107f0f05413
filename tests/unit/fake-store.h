/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A store plugin in memory for tests, which fails when it is told to. Its own lock is there because its documents and records are read
 * while others write.
 */
#pragma once

#include "store/zm-store.h"

#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

/* What a test says, and what it looks at. One per store. */
struct FakeStore {
  zm_store_ops ops;
  std::mutex lock;
  std::condition_variable changed;

  /* How the next writes end, one after the other; then `always`. */
  std::deque<int> script;
  int always = ZM_OK;
  int recover_fails = 0; /* that many times */
  bool lands = false;    /* what fails is there all the same */
  bool full = false;     /* whatever puts or appends, but for the key `first`, answers ZM_E_MEMORY */
  bool held = false;     /* a write waits until it is let go */
  std::string bad_key;   /* a batch with this key is ZM_E_INVALID */
  std::string lease_of;  /* another owner of the lease; until lease_until */
  gint64 lease_until = 0;

  int writes = 0, ops_written = 0, recovers = 0, opens = 0, closes = 0, readers_opened = 0, readers_open = 0;
  bool writing = false;
  std::string lease_owner;
  std::map<std::pair<std::string, std::string>, std::string> documents;
  std::map<std::pair<guint64, guint64>, std::string> records;
  std::map<std::pair<guint64, guint64>, std::pair<gint64, guint64>> heads; /* of records: expires_us, tag */
  std::vector<std::string> order; /* keys as they were put */

  explicit FakeStore (guint32 flags = ZM_STORE_DURABLE | ZM_STORE_BACKUP);

  bool
  has (const std::string &key)
  {
    std::lock_guard<std::mutex> guard (lock);
    return documents.count ({ "test", key }) > 0;
  }
  void
  fail_next (std::initializer_list<int> codes)
  {
    std::lock_guard<std::mutex> guard (lock);
    script.insert (script.end (), codes);
  }
  void
  hold ()
  {
    std::lock_guard<std::mutex> guard (lock);
    held = true;
  }
  void
  let_go ()
  {
    std::lock_guard<std::mutex> guard (lock);
    held = false;
    changed.notify_all ();
  }
  void
  wait_writing ()
  {
    std::unique_lock<std::mutex> guard (lock);
    changed.wait (guard, [this] { return writing; });
  }
};

/* What open is told as `state`. */
namespace fake_store {

inline std::string
text (zm_str str)
{
  return str.size > 0 ? std::string (str.data, str.size) : std::string ();
}

struct Reader {
  FakeStore *fake;
};

inline int
open (void *state, const zm_host *, const char *uri, void **store, char *error, size_t size)
{
  FakeStore *fake = static_cast<FakeStore *> (state);
  std::lock_guard<std::mutex> guard (fake->lock);

  if (uri != nullptr && std::string (uri) == "foreign") {
    snprintf (error, size, "this is no store");
    return ZM_E_DENIED;
  }
  fake->opens++;
  *store = fake;
  return ZM_OK;
}

inline void
close (void *store)
{
  FakeStore *fake = static_cast<FakeStore *> (store);
  std::lock_guard<std::mutex> guard (fake->lock);

  fake->closes++;
}

inline bool
holds (FakeStore *fake, const zm_store_op &op, gint64 now_us)
{
  if (op.kind == ZM_STORE_LEASE)
    return fake->lease_of.empty () || fake->lease_of == text (op.data) || fake->lease_until <= now_us;
  if (op.kind != ZM_STORE_EXPECT)
    return true;
  auto found = fake->documents.find ({ text (op.space), text (op.key) });
  if (op.data.data == nullptr)
    return found == fake->documents.end ();
  return found != fake->documents.end () && found->second == text (op.data);
}

inline void
apply (FakeStore *fake, zm_store_op &op)
{
  switch (op.kind) {
  case ZM_STORE_APPEND:
    fake->records[{ op.queue, op.seq }] = text (op.data);
    fake->heads[{ op.queue, op.seq }] = { op.expires_us, op.tag };
    break;
  case ZM_STORE_REMOVE:
    for (guint64 seq = op.seq; seq <= op.upto; seq++)
      fake->records.erase ({ op.queue, seq });
    break;
  case ZM_STORE_PUT:
    fake->documents[{ text (op.space), text (op.key) }] = text (op.data);
    fake->order.push_back (text (op.key));
    break;
  case ZM_STORE_DELETE: fake->documents.erase ({ text (op.space), text (op.key) }); break;
  case ZM_STORE_LEASE: fake->lease_owner = op.expires_us > 0 ? text (op.data) : ""; break;
  default: break;
  }
}

inline int
refuses (FakeStore *fake, const zm_store_batch *batch)
{
  for (size_t i = 0; i < batch->n; i++) {
    const zm_store_op &op = batch->ops[i];

    if (!fake->bad_key.empty () && text (op.key) == fake->bad_key)
      return ZM_E_INVALID;
    if (fake->full && text (op.key) != "first" && (op.kind == ZM_STORE_APPEND || op.kind == ZM_STORE_PUT))
      return ZM_E_MEMORY;
  }
  return ZM_OK;
}

/* Unit by unit. */
inline void
write_all (FakeStore *fake, zm_store_batch *batch)
{
  for (size_t i = 0; i < batch->n;) {
    size_t end = i;
    bool met = true;

    for (; end < batch->n && batch->ops[end].unit == batch->ops[i].unit; end++)
      if (!holds (fake, batch->ops[end], batch->now_us)) {
        batch->ops[end].status = ZM_E_DENIED;
        met = false;
      }
    for (; i < end; i++)
      if (met)
        apply (fake, batch->ops[i]);
      else if (batch->ops[i].status == ZM_OK)
        batch->ops[i].status = ZM_E_AGAIN;
  }
  fake->ops_written += (int) batch->n;
}

inline int
write (void *store, zm_store_batch *batch)
{
  FakeStore *fake = static_cast<FakeStore *> (store);
  std::unique_lock<std::mutex> guard (fake->lock);
  int code = fake->always;

  fake->writing = true;
  fake->changed.notify_all ();
  fake->changed.wait (guard, [fake] { return !fake->held; });
  fake->writing = false;
  fake->writes++;
  if (!fake->script.empty ()) {
    code = fake->script.front ();
    fake->script.pop_front ();
  }
  if (code == ZM_OK)
    code = refuses (fake, batch);
  if (code != ZM_OK) {
    snprintf (batch->error, batch->error_size, "injected %d", code);
    if (code == ZM_E_FAILED && fake->lands)
      write_all (fake, batch);
    return code;
  }
  write_all (fake, batch);
  return ZM_OK;
}

inline int
recover (void *store, char *error, size_t size)
{
  FakeStore *fake = static_cast<FakeStore *> (store);
  std::lock_guard<std::mutex> guard (fake->lock);

  fake->recovers++;
  if (fake->recover_fails > 0) {
    fake->recover_fails--;
    snprintf (error, size, "the disk is gone");
    return ZM_E_FAILED;
  }
  return ZM_OK;
}

inline int
reader_open (void *store, void **reader, char *, size_t)
{
  FakeStore *fake = static_cast<FakeStore *> (store);
  std::lock_guard<std::mutex> guard (fake->lock);

  fake->readers_opened++;
  fake->readers_open++;
  *reader = new Reader{ fake };
  return ZM_OK;
}

inline void
reader_close (void *reader)
{
  Reader *mine = static_cast<Reader *> (reader);
  {
    std::lock_guard<std::mutex> guard (mine->fake->lock);
    mine->fake->readers_open--;
  }
  delete mine;
}

inline int
read (void *reader, const zm_store_range *range, zm_store_record_fn func, void *user)
{
  FakeStore *fake = static_cast<Reader *> (reader)->fake;
  std::lock_guard<std::mutex> guard (fake->lock);

  for (const auto &entry : fake->records) {
    zm_store_record record = {};

    if (range->queue != 0 && (entry.first.first != range->queue || entry.first.second < range->seq ||
                              (range->upto > 0 && entry.first.second > range->upto)))
      continue;
    record.struct_size = sizeof record;
    record.queue = entry.first.first;
    record.seq = entry.first.second;
    record.expires_us = fake->heads[entry.first].first;
    record.tag = fake->heads[entry.first].second;
    record.expires_us = G_MAXINT64; /* they are not kept here: all stay */
    record.size = entry.second.size ();
    record.data = { entry.second.data (), entry.second.size () };
    if (func (user, &record) != 0)
      break;
  }
  return ZM_OK;
}

inline int
documents (void *reader, zm_str space, zm_str prefix, zm_str after, uint64_t most, zm_store_document_fn func,
           void *user)
{
  FakeStore *fake = static_cast<Reader *> (reader)->fake;
  std::lock_guard<std::mutex> guard (fake->lock);
  uint64_t n = 0;

  for (const auto &entry : fake->documents) {
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

inline int
last (void *reader, uint64_t queue, uint64_t *seq)
{
  FakeStore *fake = static_cast<Reader *> (reader)->fake;
  std::lock_guard<std::mutex> guard (fake->lock);

  *seq = 0;
  for (const auto &entry : fake->records)
    if (entry.first.first == queue)
      *seq = entry.first.second;
  return ZM_OK;
}

inline int
backup (void *, const char *path, zm_store_report_fn report, void *user)
{
  if (std::string (path) == "nowhere") {
    report (user, ZM_LOG_ERROR, "no such directory", 0, 1);
    return ZM_E_FAILED;
  }
  return report (user, ZM_LOG_INFO, "copied", 1, 1) == 0 ? ZM_OK : ZM_E_FAILED;
}

inline int
figures (void *store, zm_store_figures *out)
{
  FakeStore *fake = static_cast<FakeStore *> (store);
  std::lock_guard<std::mutex> guard (fake->lock);

  out->schema = 7;
  out->bytes = 12345;
  out->syncs = 4;
  out->sync_us = 400;
  return ZM_OK;
}

} // namespace fake_store

inline FakeStore::FakeStore (guint32 flags) : ops ()
{
  ops.struct_size = sizeof ops;
  ops.flags = flags;
  ops.schema = 7;
  ops.open = fake_store::open;
  ops.close = fake_store::close;
  ops.write = fake_store::write;
  ops.recover = fake_store::recover;
  ops.reader_open = fake_store::reader_open;
  ops.reader_close = fake_store::reader_close;
  ops.read = fake_store::read;
  ops.documents = fake_store::documents;
  ops.last = fake_store::last;
  ops.backup = fake_store::backup;
  ops.figures = fake_store::figures;
}
