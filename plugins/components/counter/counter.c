/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * counter: counts messages, one tally for each worker, and reports the sum. Shows state per worker (no lock where it
 * counts), options and a timer.
 *
 *   counter.count   counts the message; gives no result, so that in a flow the body goes on as it is
 *   counter.total   {"total": 7, "since_report": 2, "workers": 4}
 *
 * Options   key       action key under which the timer reports what counter.total gives    Counter??Totals
 *           interval  time between two reports, in milliseconds; 0: none                   0
 * Example   [plugin counter]
 *           interval = 10000
 * Threads   none of its own; count runs in several workers at once
 */
#include <zmanager/plugin.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/* One a worker, written by that worker only. */
struct tally {
  _Atomic uint64_t count;
  struct tally *next;
};

struct counter {
  const zm_host *host;
  pthread_mutex_t lock; /* guards all that follows */
  struct tally *tallies;
  uint64_t ended; /* what the workers that are gone have counted */
  uint64_t reported;
};

ZM_ACTION_THREADSAFE (count)
{
  struct tally *tally = call->worker_state;

  if (!tally)
    return zm_fail (call, "unavailable", "this worker has no tally: it had no memory when it began");
  atomic_fetch_add_explicit (&tally->count, 1, memory_order_relaxed);
  return ZM_OK;
}

static void
describe (struct counter *counter, int report, char *text, size_t size)
{
  uint64_t total, before;
  unsigned workers = 0;

  pthread_mutex_lock (&counter->lock);
  total = counter->ended;
  for (struct tally *tally = counter->tallies; tally; tally = tally->next, workers++)
    total += atomic_load_explicit (&tally->count, memory_order_relaxed);
  before = counter->reported;
  if (report)
    counter->reported = total;
  pthread_mutex_unlock (&counter->lock);
  snprintf (text, size, "{\"total\": %" PRIu64 ", \"since_report\": %" PRIu64 ", \"workers\": %u}", total,
            total - before, workers);
}

ZM_ACTION_THREADSAFE (total)
{
  char text[128];

  describe (call->state, 0, text, sizeof text);
  return zm_reply_json (call, text);
}

/* The timer's action: its result is published under the key of the configuration. */
static int
report (zm_call *call)
{
  char text[128];

  if (zm_reply_key (call, zm_config (call->host, "key", 0)) != ZM_OK)
    return zm_fail (call, "invalid", "[plugin counter] key is no action key");
  describe (call->state, 1, text, sizeof text);
  return zm_reply_json (call, text);
}

static int
init (const zm_host *host, void **state)
{
  struct counter *counter = calloc (1, sizeof *counter);

  if (!counter)
    return ZM_E_MEMORY;
  counter->host = host;
  pthread_mutex_init (&counter->lock, NULL);
  *state = counter;
  return ZM_OK;
}

static int
start (void *state)
{
  struct counter *counter = state;
  const char *text = zm_config (counter->host, "interval", 0);
  unsigned interval = text ? (unsigned) strtoul (text, NULL, 10) : 0;

  if (interval > 0 && !zm_timer_start (counter->host, "report", report, interval, interval))
    return ZM_E_UNSUPPORTED;
  return ZM_OK;
}

static void
fini (void *state)
{
  struct counter *counter = state;

  pthread_mutex_destroy (&counter->lock);
  free (counter);
}

static void *
worker_start (void *state, __attribute__ ((unused)) unsigned index)
{
  struct counter *counter = state;
  struct tally *tally = calloc (1, sizeof *tally);

  if (!tally)
    return NULL;
  pthread_mutex_lock (&counter->lock);
  tally->next = counter->tallies;
  counter->tallies = tally;
  pthread_mutex_unlock (&counter->lock);
  return tally;
}

static void
worker_stop (void *state, void *worker_state)
{
  struct counter *counter = state;
  struct tally *tally = worker_state;
  struct tally **link = &counter->tallies;

  if (!tally)
    return;
  pthread_mutex_lock (&counter->lock);
  while (*link != tally)
    link = &(*link)->next;
  *link = tally->next;
  counter->ended += atomic_load (&tally->count);
  pthread_mutex_unlock (&counter->lock);
  free (tally);
}

static const zm_action_desc actions[] = {
  { "count", count, ZM_ACTION_THREADSAFE_FLAG, "Counts the message" },
  { "total", total, ZM_ACTION_THREADSAFE_FLAG, "How many were counted, as JSON" },
  { NULL, NULL, 0, NULL },
};

static const zm_option_desc options[] = {
  { "key", ZM_OPTION_STRING, 0, "Counter??Totals", "Action key of the timer's reports" },
  { "interval", ZM_OPTION_INTEGER, 0, "0", "Milliseconds between two reports; 0: none" },
  { NULL, 0, 0, NULL, NULL },
};

static const zm_plugin_desc descriptor = {
  .struct_size = sizeof descriptor,
  .name = "counter",
  .version = "1.0",
  .licence = "LGPL-2.1-or-later",
  .summary = "Counts messages and reports totals",
  .actions = actions,
  .options = options,
  .init = init,
  .start = start,
  .fini = fini,
  .worker_start = worker_start,
  .worker_stop = worker_stop,
};

ZM_PLUGIN_FULL ("counter", "1.0", "LGPL-2.1-or-later", "Counts messages and reports totals",
                "kind=component\n", &descriptor);
