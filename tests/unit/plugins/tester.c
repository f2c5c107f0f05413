/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A plugin for the worker tests: an action for each way in which an action can end. */
#include <zmanager/plugin.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void
nap (long ms)
{
  struct timespec t = { ms / 1000, ms % 1000 * 1000000 };
  nanosleep (&t, NULL);
}

ZM_ACTION_THREADSAFE (echo)
{
  return zm_reply (call, call->body, call->body_size, NULL);
}

ZM_ACTION (serial_echo)
{
  return zm_reply (call, call->body, call->body_size, NULL);
}

/* Appends its own name to the body: shows in which order steps ran. */
static int
append (zm_call *call, const char *text)
{
  size_t more = strlen (text);
  char *out = malloc (call->body_size + more);
  if (call->body_size)
    memcpy (out, call->body, call->body_size);
  memcpy (out + call->body_size, text, more);
  int status = zm_reply (call, out, call->body_size + more, NULL);
  free (out);
  return status;
}

ZM_ACTION_THREADSAFE (add_a)
{
  return append (call, "a");
}
ZM_ACTION_THREADSAFE (add_b)
{
  return append (call, "b");
}
ZM_ACTION (add_c)
{
  return append (call, "c");
}
ZM_ACTION_THREADSAFE (json)
{
  return zm_reply_json (call, "{\"n\":1}");
}
ZM_ACTION_THREADSAFE (silent)
{
  return ZM_OK;
}
ZM_ACTION_THREADSAFE (reject)
{
  return ZM_REJECT;
}
ZM_ACTION_THREADSAFE (retry)
{
  return ZM_RETRY;
}
ZM_ACTION_THREADSAFE (nonsense)
{
  return 77;
}
ZM_ACTION_THREADSAFE (failing)
{
  return zm_fail (call, "broken", "it broke");
}
ZM_ACTION_THREADSAFE (forge)
{
  /* All that is reserved is refused. */
  if (zm_reply_key (call, "??done") != ZM_E_DENIED || zm_next (call, "X?Y?error") != ZM_E_DENIED ||
      zm_reply_key (call, "no key") != ZM_E_INVALID || zm_next (call, NULL) != ZM_E_INVALID)
    return ZM_REJECT;
  return zm_reply_text (call, "refused");
}
ZM_ACTION_THREADSAFE (go_on)
{
  zm_next (call, "?T?add_b");
  return append (call, "1");
}
ZM_ACTION_THREADSAFE (go_round)
{
  zm_next (call, "?T?go_round");
  return ZM_OK;
}
ZM_ACTION_THREADSAFE (go_out)
{
  zm_next (call, "?Nobody?Maps");
  return append (call, "2");
}
ZM_ACTION_THREADSAFE (own_key)
{
  zm_reply_key (call, "Own?Result?Key");
  return zm_reply_text (call, "own");
}
ZM_ACTION_THREADSAFE (binary)
{
  return zm_reply (call, "\xff\x00\x01", 3, "application/octet-stream");
}
ZM_ACTION_THREADSAFE (text)
{
  return zm_reply_text (call, "words");
}

static void
freed (void *data, void *hint)
{
  (void) hint;
  free (data);
}

ZM_ACTION_THREADSAFE (large)
{
  size_t size = 1 << 20;
  char *data = malloc (size);
  memset (data, 'x', size);
  return zm_reply_take (call, data, size, freed, NULL, NULL);
}

/* Returns when it is told that it is given up on. */
ZM_ACTION_THREADSAFE (hang)
{
  while (!zm_cancelled (call))
    nap (1);
  return zm_reply_text (call, "too late");
}
ZM_ACTION (serial_hang)
{
  while (!zm_cancelled (call))
    nap (1);
  return ZM_OK;
}
ZM_ACTION (serial_nap)
{
  nap (20);
  return zm_reply_text (call, "napped");
}

ZM_ACTION (silent_nap)
{
  nap (20);
  return ZM_OK;
}

/* Shows two calls at a time in a SERIAL plugin. */
static int inside;
ZM_ACTION (alone)
{
  int now = __atomic_add_fetch (&inside, 1, __ATOMIC_SEQ_CST);
  int status = now == 1 ? ZM_OK : zm_fail (call, "together", "two calls at a time");
  __atomic_sub_fetch (&inside, 1, __ATOMIC_SEQ_CST);
  return status == ZM_OK ? zm_reply (call, call->body, call->body_size, NULL) : status;
}

struct later {
  const zm_host *host;
  zm_ticket ticket;
  char text[64];
};

static void *
later_main (void *user)
{
  struct later *later = user;
  zm_complete_text (later->host, later->ticket, later->text);
  free (later);
  return NULL;
}

static int
complete_later (zm_call *call)
{
  struct later *later = calloc (1, sizeof *later);
  size_t size = call->body_size < sizeof later->text ? call->body_size : sizeof later->text - 1;
  later->host = call->host;
  later->ticket = zm_call_defer (call);
  if (size)
    memcpy (later->text, call->body, size);
  pthread_t thread;
  pthread_create (&thread, NULL, later_main, later);
  pthread_detach (thread);
  return ZM_DEFERRED;
}

ZM_ACTION_THREADSAFE (defer)
{
  return complete_later (call);
}
ZM_ACTION_THREADSAFE (defer_at_once)
{
  zm_complete_text (call->host, zm_call_defer (call), "early");
  return ZM_DEFERRED;
}
ZM_ACTION_THREADSAFE (defer_never)
{
  zm_call_defer (call);
  return ZM_DEFERRED;
}
ZM_ACTION_THREADSAFE (defer_not)
{
  return ZM_DEFERRED;
}
ZM_ACTION_THREADSAFE (defer_and_ok)
{
  zm_call_defer (call);
  return ZM_OK;
}
ZM_ACTION_THREADSAFE (defer_twice)
{
  zm_ticket ticket = zm_call_defer (call);
  int first = zm_complete_text (call->host, ticket, "first");
  int second = zm_complete_text (call->host, ticket, "second");
  return first == ZM_OK && second == ZM_E_LATE ? ZM_DEFERRED : ZM_REJECT;
}

static int
tick_once (zm_call *call)
{
  return zm_reply_text (call, "tick");
}

/* Starts a timer that fires once. */
ZM_ACTION_THREADSAFE (once)
{
  return zm_timer_start (call->host, "tick", tick_once, 0, 0) ? zm_reply_text (call, "started") : ZM_REJECT;
}

/* The ticket goes to the test, which completes it. */
ZM_ACTION_THREADSAFE (defer_until)
{
  zm_metric (call->host, ZM_METRIC_GAUGE, "ticket", (double) zm_call_defer (call));
  return ZM_DEFERRED;
}

/* ---- calls that last ---- */

/* Until the file that the body names is there. */
static int
stay (zm_call *call)
{
  char path[256];
  snprintf (path, sizeof path, "%.*s", (int) call->body_size, (const char *) call->body);
  for (int i = 0; i < 20000 && access (path, F_OK) != 0; i++)
    nap (1);
  return zm_reply_text (call, "stayed");
}
ZM_ACTION_THREADSAFE (stay_here)
{
  return stay (call);
}
ZM_ACTION (serial_stay)
{
  return stay (call);
}

/* Until as many of it run at one time as the body says. */
ZM_ACTION_THREADSAFE (gather)
{
  static int together;
  int wanted = *(const char *) call->body - '0';
  __atomic_add_fetch (&together, 1, __ATOMIC_SEQ_CST);
  for (int i = 0; i < 5000; i++) {
    if (__atomic_load_n (&together, __ATOMIC_SEQ_CST) >= wanted)
      return zm_reply_text (call, "gathered");
    nap (1);
  }
  return zm_reply_text (call, "alone");
}

/* Long enough for the watchdog; tells how many run at one time. */
ZM_ACTION_THREADSAFE (pace)
{
  static int running;
  char text[64];
  int now = __atomic_add_fetch (&running, 1, __ATOMIC_SEQ_CST);
  nap (7);
  snprintf (text, sizeof text, "%.*s,%d", (int) call->body_size, (const char *) call->body, now);
  __atomic_sub_fetch (&running, 1, __ATOMIC_SEQ_CST);
  return zm_reply_text (call, text);
}

/* One in three takes longer than a deadline of 5 ms, but not by much; the others overtake it where they may. */
ZM_ACTION_THREADSAFE (waver)
{
  char text[16];
  snprintf (text, sizeof text, "%.*s", (int) call->body_size, (const char *) call->body);
  nap (atoi (text) % 3 ? 1 : 7);
  return zm_reply_text (call, text);
}

/* The milliseconds that are left. */
ZM_ACTION_THREADSAFE (left)
{
  struct timespec now;
  char text[32];
  clock_gettime (CLOCK_MONOTONIC, &now);
  long long now_us = now.tv_sec * 1000000ll + now.tv_nsec / 1000;
  snprintf (text, sizeof text, "%lld", (long long) (call->deadline_us - now_us) / 1000);
  return zm_reply_text (call, text);
}

/* ---- services ---- */

ZM_ACTION_THREADSAFE (tick_now)
{
  return zm_reply_key (call, "?Ticked?Now"), zm_reply_text (call, "tick");
}
ZM_ACTION_THREADSAFE (tick)
{
  return zm_timer_start (call->host, "tick", tick_now, 1, 5) ? zm_reply_text (call, "started") : ZM_REJECT;
}

/* Starts timers until that fails, then stops one and starts another; tells how many there are. */
ZM_ACTION_THREADSAFE (many_timers)
{
  zm_ticket last = 0, next;
  char text[64];
  int n = 0;
  for (; n < 2000 && (next = zm_timer_start (call->host, "tick", tick_now, 1000000, 0)) != 0; n++)
    last = next;
  zm_timer_stop (call->host, last);
  next = zm_timer_start (call->host, "tick", tick_now, 1000000, 0);
  snprintf (text, sizeof text, "%d%s", n, next ? ", and again" : "");
  return zm_reply_text (call, text);
}

ZM_ACTION_THREADSAFE (state)
{
  char text[32];
  snprintf (text, sizeof text, "worker %d", call->worker_state ? *(int *) call->worker_state : -1);
  return zm_reply_text (call, text);
}

static void
asked (void *user, int status, const void *body, size_t size)
{
  (void) user;
  (void) body;
  zm_metric (zm_plugin_host, ZM_METRIC_GAUGE, "asked_status", status);
  zm_metric (zm_plugin_host, ZM_METRIC_GAUGE, "asked_size", (double) size);
  /* Last, as the test waits for it. */
  zm_metric (zm_plugin_host, ZM_METRIC_COUNTER, status == ZM_OK ? "asked_ok" : "asked_error", 1);
}

/* Body: key, flow, id, one a line. */
ZM_ACTION_THREADSAFE (ask)
{
  char text[256], *flow, *id;
  zm_event event;
  memset (&event, 0, sizeof event);
  snprintf (text, sizeof text, "%.*s", (int) call->body_size, (const char *) call->body);
  if ((flow = strchr (text, '\n')))
    *flow++ = 0;
  if (flow && (id = strchr (flow, '\n'))) {
    *id++ = 0;
    event.id = id;
  }
  event.struct_size = sizeof event;
  event.key = text;
  event.flow = flow && *flow ? flow : NULL;
  event.body = "asked";
  event.body_size = 5;
  return zm_call_action (call->host, &event, 100, asked, NULL);
}

/* The header that the body names. */
ZM_ACTION_THREADSAFE (tell_header)
{
  char name[64], value[256];
  snprintf (name, sizeof name, "%.*s", (int) call->body_size, (const char *) call->body);
  int length = zm_header (call, name, value, sizeof value);
  return zm_reply_text (call, length < 0 ? "none" : value);
}
ZM_ACTION_THREADSAFE (tell_type)
{
  char value[256];
  int length = zm_header (call, "content-type", value, sizeof value);
  return zm_reply_text (call, length < 0 ? "none" : value);
}
ZM_ACTION_THREADSAFE (bad_json)
{
  return zm_reply_json (call, "{\"n\":");
}
ZM_ACTION_THREADSAFE (number)
{
  return zm_reply (call, "7", 1, NULL);
}
ZM_ACTION_THREADSAFE (words_as_type)
{
  return zm_reply (call, "a\"b", 3, NULL);
}

/* What zm_complete refuses, then the end. */
ZM_ACTION_THREADSAFE (complete_oddly)
{
  zm_ticket ticket = zm_call_defer (call);
  zm_outcome outcome;
  int refused = 0;
  memset (&outcome, 0, sizeof outcome);
  outcome.struct_size = sizeof outcome;
  outcome.next = "??done";
  refused += zm_complete (call->host, ticket, &outcome) == ZM_E_INVALID;
  outcome.next = "no key";
  refused += zm_complete (call->host, ticket, &outcome) == ZM_E_INVALID;
  outcome.next = NULL;
  outcome.status = 99;
  refused += zm_complete (call->host, ticket, &outcome) == ZM_E_INVALID;
  outcome.status = ZM_OK;
  outcome.body_size = 5;
  refused += zm_complete (call->host, ticket, &outcome) == ZM_E_INVALID;
  refused += zm_complete (call->host, 0, NULL) == ZM_E_INVALID;
  zm_complete_text (call->host, ticket, refused == 5 ? "refused" : "taken");
  return ZM_DEFERRED;
}
ZM_ACTION_THREADSAFE (complete_next)
{
  zm_outcome outcome;
  memset (&outcome, 0, sizeof outcome);
  outcome.struct_size = sizeof outcome;
  outcome.next = "?T?add_b";
  zm_complete (call->host, zm_call_defer (call), &outcome);
  return ZM_DEFERRED;
}

/* ---- the plugin ---- */

static void *
worker_start (void *state, unsigned index)
{
  (void) state;
  int *own = malloc (sizeof *own);
  *own = (int) index;
  zm_metric (zm_plugin_host, ZM_METRIC_COUNTER, "started", 1);
  return own;
}

static void
worker_stop (void *state, void *worker_state)
{
  (void) state;
  free (worker_state);
  zm_metric (zm_plugin_host, ZM_METRIC_COUNTER, "stopped", 1);
}

static int released;

#ifndef TESTER_AWAY
static int
is_hooked (const zm_call *call)
{
  return call->context.size == 6 && memcmp (call->context.data, "Hooked", 6) == 0;
}

static int
before (void *state, const zm_call *call)
{
  (void) state;
  if (!is_hooked (call))
    return ZM_OK;
  zm_metric (zm_plugin_host, ZM_METRIC_COUNTER, "before", 1);
  if (call->action.size == 4 && memcmp (call->action.data, "slow", 4) == 0)
    while (!zm_cancelled (call))
      nap (1);
  return call->action.size == 5 && memcmp (call->action.data, "never", 5) == 0 ? ZM_REJECT : ZM_OK;
}

static void
after (void *state, const zm_call *call, int status)
{
  (void) state;
  if (is_hooked (call))
    zm_metric (zm_plugin_host, ZM_METRIC_COUNTER, status == ZM_OK ? "after_ok" : "after_error", 1);
}

/* Refuses ?Hooked?secret; does not answer for ?Hooked?stall until ?T?release ran. */
static int
authorise (void *state, const zm_request *request)
{
  (void) state;
  static const char secret[] = "?Hooked?secret", stall[] = "?Hooked?stall";
  char asked[32];
  snprintf (asked, sizeof asked, "asked_%.*s", (int) request->verb.size, request->verb.data);
  zm_metric (zm_plugin_host, ZM_METRIC_COUNTER, asked, 1);
  if (request->key.size == sizeof stall - 1 && memcmp (request->key.data, stall, sizeof stall - 1) == 0)
    while (!__atomic_load_n (&released, __ATOMIC_SEQ_CST))
      nap (1);
  return request->key.size == sizeof secret - 1 && memcmp (request->key.data, secret, sizeof secret - 1) == 0
             ? ZM_E_DENIED
             : ZM_OK;
}

#endif

ZM_ACTION_THREADSAFE (release)
{
  __atomic_store_n (&released, 1, __ATOMIC_SEQ_CST);
  return zm_reply_text (call, "released");
}

#ifndef TESTER_AWAY
static const zm_hook_ops hooks = {
  .struct_size = sizeof hooks, .before = before, .after = after, .authorise = authorise
};
#endif

static const zm_plugin_desc descriptor = {
  .struct_size = sizeof descriptor,
  .name = "tester",
  .version = "1.0",
  .licence = "LGPL-2.1-or-later",
  .summary = "Ends calls in every way",
  .worker_start = worker_start,
  .worker_stop = worker_stop,
#ifndef TESTER_AWAY
  .hooks = &hooks,
#endif
};

ZM_PLUGIN_FULL ("tester", "1.0", "LGPL-2.1-or-later", "Ends calls in every way", "kind=component\n",
                &descriptor);
