/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A store plugin without the daemon: opens the .so that was built, makes batches, reads into vectors.
 */
#pragma once

#include "zmanager/store.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <deque>
#include <dlfcn.h>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <unistd.h>
#include <vector>

using Text = std::string;

inline zm_str
str (const Text &text)
{
  return { text.data (), text.size () };
}

inline Text
text (zm_str bytes)
{
  return bytes.size > 0 ? Text (bytes.data, bytes.size) : Text ();
}

/* A directory of its own, gone at the end. */
struct Folder {
  Text path;

  Folder ()
  {
    char name[] = "/tmp/zm-store-XXXXXX";
    path = mkdtemp (name);
  }
  ~Folder ()
  {
    std::error_code ignored;
    std::filesystem::remove_all (path, ignored);
  }
  Folder (const Folder &) = delete;
  Folder &operator= (const Folder &) = delete;
};

/* Changes with the bytes that they point to. */
class Batch {
public:
  Batch () = default;
  Batch (const Batch &) = delete;
  Batch &operator= (const Batch &) = delete;

  Batch &
  unit ()
  {
    number++;
    return *this;
  }

  Batch &
  append (uint64_t queue, const Text &data, uint64_t seq = 0, int64_t expires = 0, uint64_t tag = 0)
  {
    zm_store_op &op = add (ZM_STORE_APPEND, "", "", data);
    op.queue = queue;
    op.seq = seq;
    op.expires_us = expires;
    op.tag = tag;
    return *this;
  }

  Batch &
  remove (uint64_t queue, uint64_t seq, uint64_t upto)
  {
    zm_store_op &op = add (ZM_STORE_REMOVE, "", "", "");
    op.queue = queue;
    op.seq = seq;
    op.upto = upto;
    return *this;
  }

  Batch &
  put (const Text &space, const Text &key, const Text &data)
  {
    add (ZM_STORE_PUT, space, key, data);
    return *this;
  }

  Batch &
  erase (const Text &space, const Text &key)
  {
    add (ZM_STORE_DELETE, space, key, "");
    return *this;
  }

  Batch &
  erase_prefix (const Text &space, const Text &key)
  {
    add (ZM_STORE_DELETE_PREFIX, space, key, "");
    return *this;
  }

  Batch &
  expect (const Text &space, const Text &key, const Text &data)
  {
    add (ZM_STORE_EXPECT, space, key, data);
    return *this;
  }

  Batch &
  expect_none (const Text &space, const Text &key)
  {
    add (ZM_STORE_EXPECT, space, key, "").data = { nullptr, 0 };
    return *this;
  }

  Batch &
  lease (const Text &key, const Text &owner, int64_t until)
  {
    add (ZM_STORE_LEASE, "", key, owner).expires_us = until;
    return *this;
  }

  zm_store_op &
  add (uint32_t kind, const Text &space, const Text &key, const Text &data)
  {
    zm_store_op op = {};
    auto keep = [this] (const Text &what) { return str (texts.emplace_back (what)); };

    op.kind = kind;
    op.unit = number;
    op.space = keep (space);
    op.key = keep (key);
    op.data = keep (data);
    ops.push_back (op);
    return ops.back ();
  }

  std::vector<int>
  statuses () const
  {
    std::vector<int> all;
    for (const zm_store_op &op : ops)
      all.push_back (op.status);
    return all;
  }

  std::vector<zm_store_op> ops;
  int64_t now_us = 1000;
  Text error;

private:
  uint32_t number = 0;
  std::deque<Text> texts;
};

struct Record {
  uint64_t queue, seq;
  Text data;
  int64_t expires = 0;
  uint64_t tag = 0;
  bool damaged = false;

  bool
  operator== (const Record &other) const
  {
    return queue == other.queue && seq == other.seq && data == other.data && expires == other.expires &&
           tag == other.tag && damaged == other.damaged;
  }
};

inline std::ostream &
operator<< (std::ostream &out, const Record &record)
{
  return out << record.queue << "/" << record.seq << " " << record.data.substr (0, 40)
             << (record.damaged ? " DAMAGED" : "");
}

using Records = std::vector<Record>;
using Documents = std::vector<std::pair<Text, Text>>;

struct Report {
  std::vector<Text> errors, warnings;
  uint64_t done = 0, total = 0, calls = 0, stop_after = UINT64_MAX;

  static int
  tell (void *user, int severity, const char *said, uint64_t done, uint64_t total)
  {
    auto *self = static_cast<Report *> (user);
    if (severity == ZM_LOG_ERROR)
      self->errors.push_back (said);
    if (severity == ZM_LOG_WARNING)
      self->warnings.push_back (said);
    self->done = done;
    self->total = total;
    return ++self->calls > self->stop_after;
  }
};

/* One open store, and a reader. */
class Store {
public:
  explicit Store (const Text &name)
  {
    const char *build = std::getenv ("ZM_BUILDDIR");
    Text path = Text (build ? build : ".") + "/plugins/stores/" + name + "/.libs/" + name + ".so";

    table.struct_size = sizeof table;
    table.log = [] (const zm_host *, int, const char *) {};
    table.config = [] (const zm_host *, const char *, unsigned) {
      return static_cast<const char *> (nullptr);
    };
    handle = dlopen (path.c_str (), RTLD_NOW | RTLD_LOCAL);
    auto query =
        handle ? reinterpret_cast<zm_plugin_query_fn> (dlsym (handle, ZM_PLUGIN_QUERY_SYMBOL)) : nullptr;
    desc = query ? query (&table) : nullptr;
    if (desc == nullptr)
      ADD_FAILURE () << path << " cannot be opened: " << (handle ? "" : dlerror ());
    else
      ops = desc->store;
  }

  /* The library stays: it is RESIDENT. */
  ~Store ()
  {
    close ();
  }
  Store (const Store &) = delete;
  Store &operator= (const Store &) = delete;

  int
  open (const Text &uri)
  {
    char room[512] = "";
    int status = ops->open (nullptr, &table, uri.c_str (), &store, room, sizeof room);

    error = room;
    if (status == ZM_OK)
      EXPECT_EQ (ops->reader_open (store, &reader, room, sizeof room), ZM_OK) << room;
    else
      store = nullptr;
    return status;
  }

  void
  close ()
  {
    if (reader)
      ops->reader_close (reader);
    if (store)
      ops->close (store);
    reader = store = nullptr;
  }

  int
  write (Batch &batch)
  {
    char room[512] = "";
    zm_store_batch all = {};

    all.struct_size = sizeof all;
    all.now_us = batch.now_us;
    all.ops = batch.ops.data ();
    all.n = batch.ops.size ();
    all.error = room;
    all.error_size = sizeof room;
    int status = ops->write (store, &all);
    batch.error = room;
    return status;
  }

  int
  write (Batch &&batch)
  {
    return write (batch);
  }

  int
  recover ()
  {
    char room[512] = "";
    int status = ops->recover (store, room, sizeof room);
    error = room;
    return status;
  }

  /* status: of the reading. */
  Records
  read (uint64_t queue = 0, uint64_t seq = 0, uint64_t upto = 0, uint64_t most = 0, uint32_t flags = 0,
        int *status = nullptr, void *by = nullptr)
  {
    Records all;
    zm_store_range range = { sizeof range, flags, queue, seq, upto, most };
    int ended = ops->read (
        by ? by : reader, &range,
        [] (void *user, const zm_store_record *record) {
          static_cast<Records *> (user)->push_back (
              { record->queue, record->seq,
                record->data.data ? text (record->data) : Text (record->size, '#'), record->expires_us,
                record->tag, (record->flags & ZM_STORE_DAMAGED) != 0 });
          return 0;
        },
        &all);
    if (status)
      *status = ended;
    else
      EXPECT_EQ (ended, ZM_OK);
    return all;
  }

  Documents
  documents (const Text &space, const Text &prefix = "", const Text &after = "", uint64_t most = 0,
             int *status = nullptr)
  {
    Documents all;
    int ended = ops->documents (
        reader, str (space), str (prefix), str (after), most,
        [] (void *user, zm_str key, zm_str value) {
          static_cast<Documents *> (user)->push_back ({ text (key), text (value) });
          return 0;
        },
        &all);
    if (status)
      *status = ended;
    else
      EXPECT_EQ (ended, ZM_OK);
    return all;
  }

  uint64_t
  last (uint64_t queue)
  {
    uint64_t seq = 77;
    EXPECT_EQ (ops->last (reader, queue, &seq), ZM_OK);
    return seq;
  }

  int
  check (bool repair, Report &report)
  {
    return ops->check (store, repair, Report::tell, &report);
  }

  zm_store_figures
  figures ()
  {
    zm_store_figures all = {};
    all.struct_size = sizeof all;
    EXPECT_EQ (ops->figures (store, &all), ZM_OK);
    return all;
  }

  zm_host table = {};
  void *handle = nullptr;
  const zm_plugin_desc *desc = nullptr;
  const zm_store_ops *ops = nullptr;
  void *store = nullptr, *reader = nullptr;
  Text error;
};
