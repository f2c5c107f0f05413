/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The baseline of the plugin ABI: where each member of each public struct lies, in words of this machine. Rows are added
 * at the end of a struct and never changed within one ZM_ABI_MAJOR; a row that fails here breaks plugins that exist.
 */
#include "config.h"

#include "zmanager/store.h"

#include <gtest/gtest.h>

struct Row {
  const char *member;
  size_t offset;   /* now */
  size_t pointers; /* the baseline: so many pointers or size_t … */
  size_t bytes;    /* … and so many further bytes, padding included */
};

#define ROW(type, member, pointers, bytes)                     \
  {                                                            \
#type "." #member, offsetof(type, member), pointers, bytes \
  }
#define END(type, pointers, bytes)                  \
  {                                                 \
    "sizeof " #type, sizeof (type), pointers, bytes \
  }

static const Row baseline[] = {
  ROW (zm_str, data, 0, 0),
  ROW (zm_str, size, 1, 0),
  END (zm_str, 2, 0),

  ROW (zm_call, struct_size, 0, 0),
  ROW (zm_call, flags, 0, 4),
  ROW (zm_call, host, 0, 8),
  ROW (zm_call, flow, 1, 8),
  ROW (zm_call, decorator, 3, 8),
  ROW (zm_call, sender, 5, 8),
  ROW (zm_call, context, 7, 8),
  ROW (zm_call, action, 9, 8),
  ROW (zm_call, id, 11, 8),
  ROW (zm_call, headers, 13, 8),
  ROW (zm_call, body, 15, 8),
  ROW (zm_call, body_size, 16, 8),
  ROW (zm_call, deadline_us, 17, 8),
  ROW (zm_call, attempt, 17, 16),
  ROW (zm_call, step, 17, 20),
  ROW (zm_call, state, 17, 24),
  ROW (zm_call, worker_state, 18, 24),
  END (zm_call, 19, 24),

  ROW (zm_event, struct_size, 0, 0),
  ROW (zm_event, flags, 0, 4),
  ROW (zm_event, key, 0, 8),
  ROW (zm_event, flow, 1, 8),
  ROW (zm_event, id, 2, 8),
  ROW (zm_event, headers, 3, 8),
  ROW (zm_event, body, 4, 8),
  ROW (zm_event, body_size, 5, 8),
  END (zm_event, 6, 8),

  ROW (zm_outcome, struct_size, 0, 0),
  ROW (zm_outcome, status, 0, 4),
  ROW (zm_outcome, body, 0, 8),
  ROW (zm_outcome, body_size, 1, 8),
  ROW (zm_outcome, content_type, 2, 8),
  ROW (zm_outcome, next, 3, 8),
  ROW (zm_outcome, code, 4, 8),
  ROW (zm_outcome, text, 5, 8),
  END (zm_outcome, 6, 8),

  ROW (zm_host, struct_size, 0, 0),
  ROW (zm_host, abi_minor, 0, 4),
  ROW (zm_host, ctx, 0, 8),
  ROW (zm_host, reply, 1, 8),
  ROW (zm_host, reply_take, 2, 8),
  ROW (zm_host, reply_key, 3, 8),
  ROW (zm_host, next, 4, 8),
  ROW (zm_host, fail, 5, 8),
  ROW (zm_host, header, 6, 8),
  ROW (zm_host, cancelled, 7, 8),
  ROW (zm_host, defer, 8, 8),
  ROW (zm_host, complete, 9, 8),
  ROW (zm_host, ticket_cancelled, 10, 8),
  ROW (zm_host, log, 11, 8),
  ROW (zm_host, config, 12, 8),
  ROW (zm_host, emit, 13, 8),
  ROW (zm_host, call_action, 14, 8),
  ROW (zm_host, timer_start, 15, 8),
  ROW (zm_host, timer_stop, 16, 8),
  ROW (zm_host, metric, 17, 8),
  ROW (zm_host, thread_start, 18, 8),
  ROW (zm_host, put, 19, 8),
  ROW (zm_host, wait_empty, 20, 8),
  ROW (zm_host, emit_durable, 21, 8),
  ROW (zm_host, keep, 22, 8),
  ROW (zm_host, kept, 23, 8),
  END (zm_host, 24, 8),

  ROW (zm_put, struct_size, 0, 0),
  ROW (zm_put, how, 0, 4),
  ROW (zm_put, queue, 0, 8),
  ROW (zm_put, key, 1, 8),
  ROW (zm_put, id, 2, 8),
  ROW (zm_put, headers, 3, 8),
  ROW (zm_put, body, 4, 8),
  ROW (zm_put, body_size, 5, 8),
  ROW (zm_put, ttl_ms, 6, 8),
  ROW (zm_put, delay_ms, 6, 16),
  END (zm_put, 6, 24),

  ROW (zm_action_desc, name, 0, 0),
  ROW (zm_action_desc, fn, 1, 0),
  ROW (zm_action_desc, flags, 2, 0),
  ROW (zm_action_desc, doc, 2, sizeof (void *)),
  END (zm_action_desc, 3, sizeof (void *)),

  ROW (zm_option_desc, name, 0, 0),
  ROW (zm_option_desc, type, 1, 0),
  ROW (zm_option_desc, flags, 1, 4),
  ROW (zm_option_desc, standard, 1, 8),
  ROW (zm_option_desc, doc, 2, 8),
  END (zm_option_desc, 3, 8),

  ROW (zm_source_ops, struct_size, 0, 0),
  ROW (zm_source_ops, flags, 0, 4),
  ROW (zm_source_ops, open, 0, 8),
  ROW (zm_source_ops, run, 1, 8),
  ROW (zm_source_ops, wake, 2, 8),
  ROW (zm_source_ops, close, 3, 8),
  END (zm_source_ops, 4, 8),

  ROW (zm_request, struct_size, 0, 0),
  ROW (zm_request, flags, 0, 4),
  ROW (zm_request, peer, 0, 8),
  ROW (zm_request, verb, 2, 8),
  ROW (zm_request, key, 4, 8),
  END (zm_request, 6, 8),

  ROW (zm_hook_ops, struct_size, 0, 0),
  ROW (zm_hook_ops, flags, 0, 4),
  ROW (zm_hook_ops, before, 0, 8),
  ROW (zm_hook_ops, after, 1, 8),
  ROW (zm_hook_ops, authorise, 2, 8),
  END (zm_hook_ops, 3, 8),

  ROW (zm_plugin_desc, struct_size, 0, 0),
  ROW (zm_plugin_desc, flags, 0, 4),
  ROW (zm_plugin_desc, name, 0, 8),
  ROW (zm_plugin_desc, version, 1, 8),
  ROW (zm_plugin_desc, licence, 2, 8),
  ROW (zm_plugin_desc, summary, 3, 8),
  ROW (zm_plugin_desc, actions, 4, 8),
  ROW (zm_plugin_desc, options, 5, 8),
  ROW (zm_plugin_desc, init, 6, 8),
  ROW (zm_plugin_desc, start, 7, 8),
  ROW (zm_plugin_desc, stop, 8, 8),
  ROW (zm_plugin_desc, fini, 9, 8),
  ROW (zm_plugin_desc, reload, 10, 8),
  ROW (zm_plugin_desc, health, 11, 8),
  ROW (zm_plugin_desc, worker_start, 12, 8),
  ROW (zm_plugin_desc, worker_stop, 13, 8),
  ROW (zm_plugin_desc, source, 14, 8),
  ROW (zm_plugin_desc, hooks, 15, 8),
  ROW (zm_plugin_desc, store, 16, 8),
  END (zm_plugin_desc, 17, 8),

  ROW (zm_store_op, kind, 0, 0),
  ROW (zm_store_op, unit, 0, 4),
  ROW (zm_store_op, status, 0, 8),
  ROW (zm_store_op, reserved, 0, 12),
  ROW (zm_store_op, queue, 0, 16),
  ROW (zm_store_op, seq, 0, 24),
  ROW (zm_store_op, upto, 0, 32),
  ROW (zm_store_op, expires_us, 0, 40),
  ROW (zm_store_op, tag, 0, 48),
  ROW (zm_store_op, space, 0, 56),
  ROW (zm_store_op, key, 2, 56),
  ROW (zm_store_op, data, 4, 56),
  END (zm_store_op, 6, 56),

  ROW (zm_store_batch, struct_size, 0, 0),
  ROW (zm_store_batch, flags, 0, 4),
  ROW (zm_store_batch, now_us, 0, 8),
  ROW (zm_store_batch, ops, 0, 16),
  ROW (zm_store_batch, n, 1, 16),
  ROW (zm_store_batch, error, 2, 16),
  ROW (zm_store_batch, error_size, 3, 16),
  END (zm_store_batch, 4, 16),

  ROW (zm_store_record, struct_size, 0, 0),
  ROW (zm_store_record, flags, 0, 4),
  ROW (zm_store_record, queue, 0, 8),
  ROW (zm_store_record, seq, 0, 16),
  ROW (zm_store_record, expires_us, 0, 24),
  ROW (zm_store_record, tag, 0, 32),
  ROW (zm_store_record, size, 0, 40),
  ROW (zm_store_record, data, 0, 48),
  END (zm_store_record, 2, 48),

  ROW (zm_store_range, struct_size, 0, 0),
  ROW (zm_store_range, flags, 0, 4),
  ROW (zm_store_range, queue, 0, 8),
  ROW (zm_store_range, seq, 0, 16),
  ROW (zm_store_range, upto, 0, 24),
  ROW (zm_store_range, most, 0, 32),
  END (zm_store_range, 0, 40),

  ROW (zm_store_figures, struct_size, 0, 0),
  ROW (zm_store_figures, schema, 0, 4),
  ROW (zm_store_figures, bytes, 0, 8),
  ROW (zm_store_figures, free_bytes, 0, 16),
  ROW (zm_store_figures, records, 0, 24),
  ROW (zm_store_figures, writes, 0, 32),
  ROW (zm_store_figures, syncs, 0, 40),
  ROW (zm_store_figures, sync_us, 0, 48),
  END (zm_store_figures, 0, 56),

  ROW (zm_store_ops, struct_size, 0, 0),
  ROW (zm_store_ops, flags, 0, 4),
  ROW (zm_store_ops, schema, 0, 8),
  ROW (zm_store_ops, reserved, 0, 12),
  ROW (zm_store_ops, open, 0, 16),
  ROW (zm_store_ops, close, 1, 16),
  ROW (zm_store_ops, write, 2, 16),
  ROW (zm_store_ops, recover, 3, 16),
  ROW (zm_store_ops, reader_open, 4, 16),
  ROW (zm_store_ops, reader_close, 5, 16),
  ROW (zm_store_ops, read, 6, 16),
  ROW (zm_store_ops, documents, 7, 16),
  ROW (zm_store_ops, last, 8, 16),
  ROW (zm_store_ops, check, 9, 16),
  ROW (zm_store_ops, backup, 10, 16),
  ROW (zm_store_ops, figures, 11, 16),
  END (zm_store_ops, 12, 16),
};

TEST (Abi, MembersStayWhereTheyAre)
{
  for (const Row &row : baseline)
    EXPECT_EQ (row.offset, row.pointers * sizeof (void *) + row.bytes) << row.member;
}

/* Numbers are compiled into plugins as well. */
TEST (Abi, NumbersStayWhatTheyAre)
{
  const int numbers[][2] = {
    { ZM_OK, 0 },
    { ZM_RETRY, 1 },
    { ZM_REJECT, 2 },
    { ZM_DEFERRED, 3 },
    { ZM_E_INVALID, -1 },
    { ZM_E_AGAIN, -2 },
    { ZM_E_LATE, -3 },
    { ZM_E_MEMORY, -4 },
    { ZM_E_DENIED, -5 },
    { ZM_E_NOT_FOUND, -6 },
    { ZM_E_UNSUPPORTED, -7 },
    { ZM_E_FAILED, -8 },
    { ZM_E_TIMEOUT, -9 },
    { ZM_E_EXISTS, -10 },
    { ZM_PUT_ALWAYS, 0 },
    { ZM_PUT_IF_EMPTY, 1 },
    { ZM_PUT_REPLACE, 2 },
    { ZM_STORE_APPEND, 1 },
    { ZM_STORE_REMOVE, 2 },
    { ZM_STORE_PUT, 3 },
    { ZM_STORE_DELETE, 4 },
    { ZM_STORE_DELETE_PREFIX, 5 },
    { ZM_STORE_EXPECT, 6 },
    { ZM_STORE_LEASE, 7 },
    { ZM_STORE_DURABLE, 1 },
    { ZM_STORE_SHARED, 2 },
    { ZM_STORE_BACKUP, 4 },
    { ZM_STORE_REPAIR, 8 },
    { ZM_STORE_DAMAGED, 1 },
    { ZM_STORE_HEADS, 1 },
    { ZM_LOG_ERROR, 3 },
    { ZM_LOG_WARNING, 4 },
    { ZM_LOG_NOTICE, 5 },
    { ZM_LOG_INFO, 6 },
    { ZM_LOG_DEBUG, 7 },
    { ZM_METRIC_COUNTER, 0 },
    { ZM_METRIC_GAUGE, 1 },
    { ZM_ACTION_SERIAL, 0 },
    { ZM_ACTION_THREADSAFE_FLAG, 1 },
    { ZM_OPTION_STRING, 0 },
    { ZM_OPTION_INTEGER, 1 },
    { ZM_OPTION_NUMBER, 2 },
    { ZM_OPTION_BOOLEAN, 3 },
    { ZM_OPTION_DURATION, 4 },
    { ZM_OPTION_SIZE, 5 },
    { ZM_OPTION_REQUIRED, 1 },
    { ZM_OPTION_SECRET, 2 },
    { ZM_OPTION_LIST, 4 },
    { ZM_PLUGIN_RESIDENT, 1 },
    { ZM_PLUGIN_EXCLUSIVE, 2 },
    { ZM_PLUGIN_THREADSAFE, 4 },
    { ZM_NOTE_MANIFEST, 1 },
    { ZM_NOTE_ACTION, 2 },
    { ZM_ABI_MAJOR, 1 },
  };

  for (const auto &number : numbers)
    EXPECT_EQ (number[0], number[1]);
  EXPECT_STREQ (ZM_PLUGIN_QUERY_SYMBOL, "zm_plugin_query_1");
  EXPECT_STREQ (ZM_NOTE_OWNER, "zmanager");
  EXPECT_EQ (sizeof (zm_ticket), 8u);
}

/* What a plugin of this version sees on a host of 1.0: the table ends before the durable services. */
TEST (Abi, AHostOfTheFirstVersionHasNoDurableServices)
{
  zm_host host = {};

  host.put = [] (const zm_host *, const zm_put *, zm_done_fn, void *) { return static_cast<int> (ZM_OK); };
  host.kept = [] (const zm_host *, const char *, void *, size_t) { return 0; };
  host.struct_size = offsetof (zm_host, put);
  EXPECT_FALSE (ZM_HAS (&host, put));
  EXPECT_FALSE (ZM_HAS (&host, kept));
  host.struct_size = sizeof host;
  EXPECT_TRUE (ZM_HAS (&host, put));
  EXPECT_TRUE (ZM_HAS (&host, kept));
  EXPECT_FALSE (ZM_HAS (&host, keep));
}

/* A member is there where the struct is long enough and the pointer is set. */
TEST (Abi, AsksForMembersByTheStatedSize)
{
  zm_host host = {};

  host.emit = [] (const zm_host *, const zm_event *) { return static_cast<int> (ZM_OK); };
  host.struct_size = offsetof (zm_host, emit);
  EXPECT_FALSE (ZM_HAS (&host, emit));
  EXPECT_EQ (zm_emit_text (&host, "?a?b", "text"), ZM_E_UNSUPPORTED);
  host.struct_size = sizeof host;
  EXPECT_TRUE (ZM_HAS (&host, emit));
  EXPECT_FALSE (ZM_HAS (&host, timer_start));
  EXPECT_EQ (zm_emit_text (&host, "?a?b", "text"), ZM_OK);
  EXPECT_EQ (zm_timer_start (&host, "t", nullptr, 1, 1), 0u);
}
