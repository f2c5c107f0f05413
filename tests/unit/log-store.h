/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A store plugin in memory that does all that a store does, outlives what is opened on it, and fails writes when it is told to. */
#pragma once

#include "store/zm-store.h"

#include <cstdio>
#include <map>
#include <mutex>
#include <string>

struct LogStore {
  struct Record {
    gint64 expires_us;
    guint64 tag;
    std::string data;
  };
  std::mutex lock;
  bool failing = false; /* whatever is written, on its own too */
  int writes = 0;
  std::map<std::pair<guint64, guint64>, Record> records;
  std::map<std::pair<std::string, std::string>, std::string> documents;
  std::map<guint64, guint64> last;
  zm_store_ops ops = {};

  LogStore ()
  {
    ops.struct_size = sizeof ops;
    ops.flags = ZM_STORE_DURABLE;
    ops.schema = 1;
    ops.open = [] (void *state, const zm_host *, const char *, void **store, char *, size_t) {
      *store = state;
      return static_cast<int> (ZM_OK);
    };
    ops.close = [] (void *) {};
    ops.write = [] (void *store, zm_store_batch *batch) {
      return static_cast<LogStore *> (store)->write (batch);
    };
    ops.recover = [] (void *, char *, size_t) { return static_cast<int> (ZM_OK); };
    ops.reader_open = [] (void *store, void **reader, char *, size_t) {
      *reader = store;
      return static_cast<int> (ZM_OK);
    };
    ops.reader_close = [] (void *) {};
    ops.read = [] (void *reader, const zm_store_range *range, zm_store_record_fn func, void *user) {
      return static_cast<LogStore *> (reader)->read (range, func, user);
    };
    ops.documents = [] (void *reader, zm_str space, zm_str prefix, zm_str after, uint64_t most,
                        zm_store_document_fn func, void *user) {
      return static_cast<LogStore *> (reader)->list (text (space), text (prefix), text (after), most, func,
                                                     user);
    };
    ops.last = [] (void *reader, uint64_t queue, uint64_t *seq) {
      LogStore *self = static_cast<LogStore *> (reader);
      std::lock_guard<std::mutex> guard (self->lock);
      *seq = self->last[queue];
      return static_cast<int> (ZM_OK);
    };
    ops.figures = [] (void *, zm_store_figures *) { return static_cast<int> (ZM_OK); };
  }

  static std::string
  text (zm_str str)
  {
    return str.size > 0 ? std::string (str.data, str.size) : std::string ();
  }

  size_t
  count (const std::string &space)
  {
    std::lock_guard<std::mutex> guard (lock);
    size_t n = 0;
    for (const auto &entry : documents)
      n += entry.first.first == space;
    return n;
  }

  void
  fail (bool yes)
  {
    std::lock_guard<std::mutex> guard (lock);
    failing = yes;
  }

private:
  void
  apply (const zm_store_op &op)
  {
    std::string space = text (op.space), key = text (op.key);

    switch (op.kind) {
    case ZM_STORE_APPEND:
      records[{ op.queue, op.seq }] = { op.expires_us, op.tag, text (op.data) };
      last[op.queue] = op.seq;
      break;
    case ZM_STORE_REMOVE:
      records.erase (records.lower_bound ({ op.queue, op.seq }), records.upper_bound ({ op.queue, op.upto }));
      break;
    case ZM_STORE_PUT: documents[{ space, key }] = text (op.data); break;
    case ZM_STORE_DELETE: documents.erase ({ space, key }); break;
    case ZM_STORE_DELETE_PREFIX:
      for (auto at = documents.lower_bound ({ space, key });
           at != documents.end () && at->first.first == space &&
           at->first.second.compare (0, key.size (), key) == 0;)
        at = documents.erase (at);
      break;
    default: break; /* leases and conditions hold: there is one owner */
    }
  }

  int
  write (zm_store_batch *batch)
  {
    std::lock_guard<std::mutex> guard (lock);

    writes++;
    if (failing) {
      snprintf (batch->error, batch->error_size, "the test says so");
      return ZM_E_INVALID;
    }
    for (size_t i = 0; i < batch->n; i++)
      apply (batch->ops[i]);
    return ZM_OK;
  }

  int
  read (const zm_store_range *range, zm_store_record_fn func, void *user)
  {
    std::lock_guard<std::mutex> guard (lock);
    guint64 n = 0;

    for (const auto &entry : records) {
      zm_store_record record = {};

      if (range->queue != 0 && (entry.first.first != range->queue || entry.first.second < range->seq ||
                                (range->upto > 0 && entry.first.second > range->upto)))
        continue;
      record.struct_size = sizeof record;
      record.queue = entry.first.first;
      record.seq = entry.first.second;
      record.expires_us = entry.second.expires_us;
      record.tag = entry.second.tag;
      record.size = entry.second.data.size ();
      if ((range->flags & ZM_STORE_HEADS) == 0)
        record.data = { entry.second.data.data (), entry.second.data.size () };
      if (func (user, &record) != 0 || ++n == range->most)
        break;
    }
    return ZM_OK;
  }

  int
  list (const std::string &space, const std::string &prefix, const std::string &after, uint64_t most,
        zm_store_document_fn func, void *user)
  {
    std::lock_guard<std::mutex> guard (lock);
    uint64_t n = 0;

    for (auto at = documents.lower_bound ({ space, prefix });
         at != documents.end () && at->first.first == space &&
         at->first.second.compare (0, prefix.size (), prefix) == 0;
         at++) {
      const std::string &key = at->first.second;

      if (!after.empty () && key <= after)
        continue;
      if (func (user, { key.data (), key.size () }, { at->second.data (), at->second.size () }) != 0 ||
          ++n == most)
        break;
    }
    return ZM_OK;
  }
};
