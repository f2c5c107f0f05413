/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * slow: takes its time, in the two ways that a plugin can.
 *
 *   slow.later   deferred: the worker goes on at once; after the delay a thread of the plugin's own gives the body back
 *   slow.work    keeps its worker busy for the delay, but asks whether it has been given up on, and then ends early
 *
 * The delay is the message's header `delay` in milliseconds, else the option, at most ten minutes.
 *
 * Options   delay    milliseconds where the message has no such header    100
 *           pending  deferred calls at a time; more are refused           1024
 * Example   [plugin slow]
 *           delay = 250
 * Threads   one (zm_thread_start) that completes deferred calls when they are due
 */
#include <zmanager/plugin.h>

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define DELAY_MOST 600000

/* One deferred call, with a body of its own: the call's is gone when the host ends the call at its deadline. */
struct pending {
  struct pending *next;
  struct timespec due;
  zm_ticket ticket;
  size_t size;
  char body[];
};

struct slow {
  const zm_host *host;
  unsigned most;
  pthread_mutex_t lock; /* guards all that follows */
  pthread_cond_t changed;
  struct pending *first; /* the earliest first */
  unsigned count;
  int stopping;
};

static unsigned
number (const char *text, unsigned standard, unsigned most)
{
  char *end = NULL;
  unsigned long value = text ? strtoul (text, &end, 10) : 0;

  if (!text || end == text || *end != '\0' || *text == '-')
    return standard;
  return value > most ? most : (unsigned) value;
}

static struct timespec
due_of (const zm_call *call)
{
  char header[16];
  int given = zm_header (call, "delay", header, sizeof header);
  unsigned standard = number (zm_config (call->host, "delay", 0), 100, DELAY_MOST);
  unsigned delay = number (given >= 0 ? header : NULL, standard, DELAY_MOST);
  struct timespec due;

  clock_gettime (CLOCK_MONOTONIC, &due);
  due.tv_sec += delay / 1000;
  due.tv_nsec += (long) (delay % 1000) * 1000000;
  if (due.tv_nsec >= 1000000000) {
    due.tv_sec++;
    due.tv_nsec -= 1000000000;
  }
  return due;
}

static int
later_than (const struct timespec *a, const struct timespec *b)
{
  return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
}

/* In order of time; refuses when full or stopping. */
static int
insert (struct slow *slow, struct pending *pending)
{
  struct pending **place = &slow->first;
  int taken;

  pthread_mutex_lock (&slow->lock);
  taken = !slow->stopping && slow->count < slow->most;
  if (taken) {
    while (*place && !later_than (&(*place)->due, &pending->due))
      place = &(*place)->next;
    pending->next = *place;
    *place = pending;
    slow->count++;
    pthread_cond_signal (&slow->changed);
  }
  pthread_mutex_unlock (&slow->lock);
  return taken;
}

ZM_ACTION_THREADSAFE (later)
{
  struct pending *pending = malloc (sizeof *pending + call->body_size);

  if (!pending)
    return zm_fail (call, "failed", "no memory for the body");
  pending->due = due_of (call);
  pending->size = call->body_size;
  if (call->body_size > 0)
    memcpy (pending->body, call->body, call->body_size);
  if (!(pending->ticket = zm_call_defer (call))) {
    free (pending);
    return zm_fail (call, "busy", "the host can defer no more calls at this moment");
  }
  if (insert (call->state, pending))
    return ZM_DEFERRED;
  /* Once deferred, a call is ended by completing it, also at once. */
  zm_outcome full = {
    .struct_size = sizeof full, .status = ZM_RETRY, .code = "busy", .text = "too many calls wait already"
  };
  zm_complete (call->host, pending->ticket, &full);
  free (pending);
  return ZM_DEFERRED;
}

ZM_ACTION_THREADSAFE (work)
{
  struct timespec due = due_of (call);
  struct timespec now;

  for (;;) {
    clock_gettime (CLOCK_MONOTONIC, &now);
    if (!later_than (&due, &now))
      return zm_reply (call, call->body, call->body_size, NULL);
    if (zm_cancelled (call))
      return zm_fail (call, "cancelled", "given up on before the delay was over");
    nanosleep (&(struct timespec){ .tv_nsec = 1000000 }, NULL);
  }
}

/* The plugin's thread ends one call: with its body, or, at the end of everything, with the wish to come again. */
static void
finish (struct slow *slow, struct pending *pending, int stopping)
{
  zm_outcome outcome = {
    .struct_size = sizeof outcome, .status = ZM_OK, .body = pending->body, .body_size = pending->size
  };
  zm_outcome ended = {
    .struct_size = sizeof ended, .status = ZM_RETRY, .code = "stopped", .text = "the plugin is stopping"
  };

  if (zm_ticket_cancelled (slow->host, pending->ticket))
    zm_metric (slow->host, ZM_METRIC_COUNTER, "cancelled", 1);
  /* Given up on or not: completing is right, and answered with ZM_E_LATE where nobody waits. */
  zm_complete (slow->host, pending->ticket, stopping ? &ended : &outcome);
  free (pending);
}

static void
run (void *user)
{
  struct slow *slow = user;
  struct timespec now;

  pthread_mutex_lock (&slow->lock);
  while (!slow->stopping || slow->first) {
    struct pending *pending = slow->first;

    clock_gettime (CLOCK_MONOTONIC, &now);
    if (!pending) {
      pthread_cond_wait (&slow->changed, &slow->lock);
    } else if (!slow->stopping && later_than (&pending->due, &now)) {
      struct timespec due = pending->due;
      pthread_cond_timedwait (&slow->changed, &slow->lock, &due);
    } else {
      int stopping = slow->stopping && later_than (&pending->due, &now);
      slow->first = pending->next;
      slow->count--;
      pthread_mutex_unlock (&slow->lock);
      finish (slow, pending, stopping);
      pthread_mutex_lock (&slow->lock);
    }
  }
  pthread_mutex_unlock (&slow->lock);
}

static void
wake (void *user)
{
  struct slow *slow = user;

  pthread_mutex_lock (&slow->lock);
  slow->stopping = 1;
  pthread_cond_signal (&slow->changed);
  pthread_mutex_unlock (&slow->lock);
}

static int
init (const zm_host *host, void **state)
{
  struct slow *slow = calloc (1, sizeof *slow);
  pthread_condattr_t monotonic;

  if (!slow)
    return ZM_E_MEMORY;
  slow->host = host;
  slow->most = number (zm_config (host, "pending", 0), 1024, 1000000);
  pthread_mutex_init (&slow->lock, NULL);
  pthread_condattr_init (&monotonic);
  pthread_condattr_setclock (&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init (&slow->changed, &monotonic);
  pthread_condattr_destroy (&monotonic);
  *state = slow;
  return ZM_OK;
}

static int
start (void *state)
{
  struct slow *slow = state;

  return zm_thread_start (slow->host, "slow", run, wake, slow);
}

static void
fini (void *state)
{
  struct slow *slow = state;

  pthread_cond_destroy (&slow->changed);
  pthread_mutex_destroy (&slow->lock);
  free (slow);
}

static const zm_action_desc actions[] = {
  { "later", later, ZM_ACTION_THREADSAFE_FLAG,
    "Gives the body back after the delay, without keeping a worker" },
  { "work", work, ZM_ACTION_THREADSAFE_FLAG, "Gives the body back after the delay, keeping a worker" },
  { NULL, NULL, 0, NULL },
};

static const zm_option_desc options[] = {
  { "delay", ZM_OPTION_INTEGER, 0, "100", "Milliseconds where the message has no header delay" },
  { "pending", ZM_OPTION_INTEGER, 0, "1024", "Deferred calls at a time; more are refused" },
  { NULL, 0, 0, NULL, NULL },
};

static const zm_plugin_desc descriptor = {
  .struct_size = sizeof descriptor,
  .name = "slow",
  .version = "1.0",
  .licence = "LGPL-2.1-or-later",
  .summary = "Takes its time: deferred completion, cancellation",
  .actions = actions,
  .options = options,
  .init = init,
  .start = start,
  .fini = fini,
};

ZM_PLUGIN_FULL ("slow", "1.0", "LGPL-2.1-or-later", "Takes its time: deferred completion, cancellation",
                "kind=component\n", &descriptor);
