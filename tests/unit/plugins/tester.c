/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A plugin for the worker tests: an action for each way in which an action can end. */
#include <zmanager/plugin.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void
nap (long ms)
{
  struct timespec t = { ms / 1000, ms % 1000 * 1000000 };
  nanosleep (&t, NULL);
}

ZM_ACTION_THREADSAFE (echo) { return zm_reply (call, call->body, call->body_size, NULL); }

ZM_ACTION (serial_echo) { return zm_reply (call, call->body, call->body_size, NULL); }

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

ZM_ACTION_THREADSAFE (add_a) { return append (call, "a"); }
ZM_ACTION_THREADSAFE (add_b) { return append (call, "b"); }
ZM_ACTION (add_c) { return append (call, "c"); }
ZM_ACTION_THREADSAFE (json) { return zm_reply_json (call, "{\"n\":1}"); }
ZM_ACTION_THREADSAFE (silent) { return ZM_OK; }
ZM_ACTION_THREADSAFE (reject) { return ZM_REJECT; }
ZM_ACTION_THREADSAFE (retry) { return ZM_RETRY; }
ZM_ACTION_THREADSAFE (nonsense) { return 77; }
ZM_ACTION_THREADSAFE (failing) { return zm_fail (call, "broken", "it broke"); }
ZM_ACTION_THREADSAFE (forge)
{
  /* All that is reserved is refused. */
  if (zm_reply_key (call, "??done") != ZM_E_DENIED || zm_next (call, "X?Y?error") != ZM_E_DENIED
      || zm_reply_key (call, "no key") != ZM_E_INVALID || zm_next (call, NULL) != ZM_E_INVALID)
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
ZM_ACTION_THREADSAFE (binary) { return zm_reply (call, "\xff\x00\x01", 3, "application/octet-stream"); }
ZM_ACTION_THREADSAFE (text) { return zm_reply_text (call, "words"); }

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

ZM_ACTION_THREADSAFE (slow_echo)
{
  nap (12);
  return zm_reply (call, call->body, call->body_size, NULL);
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

ZM_ACTION_THREADSAFE (defer) { return complete_later (call); }
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
ZM_ACTION_THREADSAFE (defer_not) { return ZM_DEFERRED; }
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
tick (zm_call *call)
{
  return zm_reply_text (call, "tick");
}

/* Starts a timer that fires once. */
ZM_ACTION_THREADSAFE (once)
{
  return zm_timer_start (call->host, "tick", tick, 0, 0) ? zm_reply_text (call, "started") : ZM_REJECT;
}

ZM_PLUGIN ("tester", "1.0", "LGPL-2.1-or-later", "Ends calls in every way");
