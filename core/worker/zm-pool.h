/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Workers: threads that take messages, look keys up, call plugins' actions, follow flows and hand results to the
 * Integration Manager. The pool owns the shared ring (or a lane a worker where an ordering is set), the inbox of
 * continuations, strands of SERIAL plugins, tickets of deferred calls, joins, waiting instances' continuations, and the
 * watchdog.
 *
 * One message ends in exactly one of: published result, published error, completed without a result, counted and logged
 * drop.
 */
#pragma once

#include "base/zm-log.h"
#include "base/zm-metrics.h"
#include "base/zm-timers.h"
#include "hosts/zm-hosts.h"
#include "message/zm-message.h"
#include "routing/zm-keeper.h"
#include "routing/zm-table.h"
#include "worker/zm-checkpoints.h"

G_BEGIN_DECLS

typedef struct ZmPool ZmPool;

#define ZM_POOL_WORKERS_MOST 64 /* threads, replacements not counted */

/* How a message ended; for the outcome sink and for who waits. */
typedef enum {
  ZM_END_RESULT, /* a result was published (or given to who waits) */
  ZM_END_ERROR,  /* an error was published */
  ZM_END_SILENT, /* completed without a result */
  ZM_END_DROPPED /* counted and logged */
} ZmEnd;

/* Door: the outcome sink: told once for every message that a worker took, from any worker thread. result: the message that
 * is published, or NULL; borrowed. */
typedef struct ZmOutcomeSink {
  void (*ended) (const ZmMessage *message, ZmEnd end, const ZmMessage *result, gpointer user);
  gpointer user;
} ZmOutcomeSink;

/* Where results go. */
typedef struct ZmPoolConfig {
  guint workers; /* 0: one a CPU; at most ZM_POOL_WORKERS_MOST */
  guint ring;    /* messages waiting for workers, at most */
  ZmOrdering ordering;
  guint deferred_most;      /* tickets at one time; default 65,536 */
  gint64 hard_after_us;     /* hard deadline after the soft one; 5 s */
  gint64 wait_timeout_us;   /* ASYNC and hand-over; 60 s */
  gint64 wait_for_taker_us; /* 0: no-taker at once */
  guint replacements_most;  /* hung workers replaced at one time; 16 */
  gboolean guard_bodies;    /* plugins get bodies in pages that cannot be written: for developing them */
  ZmTableSlot *tables;
  ZmKeeper *keeper; /* door: flow keeper; borrowed */
  ZmTimers *timers;
  ZmHosts *hosts; /* for plugins that are placed outside; borrowed; NULL: there are none */
  /* Publishes; takes references; may block. */
  gboolean (*publish) (ZmMessage *const *messages, guint n, gpointer user);
  gboolean (*has_subscriber) (ZmSpan topic, gpointer user);
  /* Sends a step to a worker in another language. FALSE: none connected or full; reason in error. Any worker. */
  gboolean (*to_worker) (const char *worker, ZmMessage *message, GError **error, gpointer user);
  /* Answers who waits for message->reply (a call): status ZM_OK or negative, body and content type of the result or the
   * error's JSON. Any thread; must not block. */
  void (*reply) (guint64 ticket, int status, const ZmMessage *result, gpointer user);
  /* A SERIAL plugin's call hangs past its hard deadline: the runtime starts a fresh copy, or calls zm_pool_stuck. In the
   * watchdog's thread: hands over. */
  void (*hung) (ZmGeneration *generation, gpointer user);
  /* Door: the end of a durable message (message->durable), told once. Its result, or its error, is not published but given on, to be
   * published when the end is on disk; borrowed, NULL where there is none. asked: ZM_RETRY or ZM_REJECT where that is what
   * the action returned, else 0. code and text: of an error, else NULL. Any thread; must not block. NULL: there are none. */
  void (*durable_end) (const ZmMessage *message, ZmEnd end, int asked, const char *code, const char *text,
                       ZmMessage *result, gpointer user);
  gpointer user;      /* of the functions above */
  ZmOutcomeSink sink; /* door; may be empty */
  const ZmCheckpoints
      *checkpoints; /* door: how far durable messages have come in their flows; borrowed; or NULL */
  ZmLog *log;
  ZmMetrics *metrics;
} ZmPoolConfig;

ZmPool *zm_pool_new (const ZmPoolConfig *config, GError **error);
/* Gives messages; takes their references. Waits for room. FALSE: closed (released and counted). Subject's thread. */
gboolean zm_pool_push (ZmPool *pool, ZmMessage **messages, guint n);
/* Never waits; returns how many were taken (from the front). For calls (BUSY) and emit (AGAIN). Any thread. */
guint zm_pool_try_push (ZmPool *pool, ZmMessage **messages, guint n);
/* Does an instance wait for this message? While the daemon drains, only such ones are given. Any thread. */
gboolean zm_pool_awaits (ZmPool *pool, const ZmMessage *message);
/* Ends a message that was not given, with this error: published, counted, and told to its caller. Takes its reference. May wait
 * for room at the publisher. */
void zm_pool_refuse (ZmPool *pool, ZmMessage *message, const char *code, const char *text);
/* Is anything inside: queued, running, deferred or waiting? Any thread. */
gboolean zm_pool_busy (ZmPool *pool);
/* The daemon drains: durable messages are not waited for. Those in flows that wait for an answer, now or from here on, and those
 * that no worker has begun end with `shutdown`, of which durable_end makes no failure: they are on disk, and go on after the next
 * start where they are. What a worker in another language has is still waited for. Any thread. */
void zm_pool_let_durable_go (ZmPool *pool);
/* No new messages; waits until all that are inside have ended, at most until deadline; parked and deferred ones that remain
 * then are ended with the error `shutdown`. Returns how many had to be. */
guint zm_pool_drain (ZmPool *pool, gint64 deadline_us);
/* Ends the threads and lets the table go. After drain; before the plugins are freed, which free what the pool keeps at
 * them. What is still inside ends with the error `shutdown`. FALSE: a hung worker was left behind; should its call come back
 * it uses the functions of the configuration, the log, the timers and the metrics, so these must stay. */
gboolean zm_pool_stop (ZmPool *pool);
/* After the plugins are freed. */
void zm_pool_free (ZmPool *pool);

/* The door `ended` of ZmHostsConfig. Any thread; does not wait. Until zm_hosts_free. */
void zm_pool_hosted_ended (ZmPool *pool, ZmHostCall *calls);
/* For the hosts: no call of that retired generation runs any more. */
void zm_pool_hosted_idle (ZmPool *pool, ZmGeneration *generation);

/* Fills the call services of the host's table: reply … defer, complete, ticket_cancelled. */
void zm_pool_fill_host (zm_host *host);
/* Before the table with `next` is put into the slot: a SERIAL next takes no call before the calls of `old` are over, or until
 * drain_us from now. */
void zm_pool_succeed (ZmPool *pool, ZmGeneration *old, ZmGeneration *next, gint64 drain_us);
/* The plugin hung too often: its messages fail at once from now on, and so do its deferred calls. Results of zm_call_action
 * can no longer be told to it: they are counted as dropped. */
void zm_pool_stuck (ZmPool *pool, ZmGeneration *generation);
/* A generation left the current set (the slot has the new table already): its timers end, and who waited for it goes to the
 * one that follows. Its deferred calls go on: each ends when it is completed, or at its own deadline. After zm_pool_stop
 * nobody follows: who waited ends with the error `shutdown`. */
void zm_pool_retire (ZmPool *pool, ZmGeneration *generation);
/* The process of a worker in another language ended (how: "exit status 3"): messages sent to it before before_us (zm_now_us)
 * whose answer has not come fail with the error `unavailable`, after a short grace for answers that are on their way. Any
 * thread; does not wait. Not once zm_pool_stop has begun. */
void zm_pool_worker_ended (ZmPool *pool, const char *worker, const char *how, gint64 before_us);
/* Host services that live here; pool is found through the runtime's wrapper. */
zm_ticket zm_pool_timer_start (ZmPool *pool, ZmGeneration *generation, const char *name, zm_action_fn action,
                               guint first_ms, guint period_ms);
int zm_pool_timer_stop (ZmPool *pool, ZmGeneration *generation, zm_ticket timer);
int zm_pool_complete (ZmPool *pool, ZmGeneration *generation, zm_ticket ticket, const zm_outcome *outcome);
int zm_pool_ticket_cancelled (ZmPool *pool, zm_ticket ticket);
/* zm_call_action: message goes in; done is called once in a worker. */
int zm_pool_call_action (ZmPool *pool, ZmGeneration *generation, ZmMessage *message, int timeout_ms,
                         zm_result_fn done, void *user);

/* Tells a plugin how what it asked for has ended: done (user, status) in a worker, as a call of the plugin. Takes the caller's
 * reference on generation, whose holder is `holder` (a literal), in any case. done NULL: only that. Once the pool has stopped
 * nobody is told. Any thread; does not wait. Until zm_pool_free. */
void zm_pool_tell (ZmPool *pool, ZmGeneration *generation, const char *holder, zm_done_fn done, void *user,
                   int status);

/* Hops of the message that the calling thread works on now; 0 outside a worker: what a plugin emits goes on counting. */
guint zm_pool_current_hops (ZmPool *pool);

/* The calling thread is inside an authorise hook: what that emits would only be asked about again. */
gboolean zm_pool_authorising (ZmPool *pool);

/* Figures for status and top: JSON objects, the caller frees. */
char *zm_pool_status_json (ZmPool *pool);
/* Per route: key, plugin, symbol, calls, errors, mean and highest microseconds (sampled). */
char *zm_pool_routes_json (ZmPool *pool);
/* What runs now, for how long, in which worker. */
char *zm_pool_running_json (ZmPool *pool);
/* The same for a signal handler of a process that is about to die: no lock, no memory. func is called for each call that runs:
 * since_us (zm_now_us): when the watchdog saw it first, 0: not yet; here: it is this very thread's. What other threads do may
 * end meanwhile, and with it what action points to: a fault in func is to be expected, and to be survived. */
typedef void (*ZmRunningRaw) (const ZmAction *action, gint64 since_us, gboolean here, void *user);
void zm_pool_running_raw (const ZmPool *pool, ZmRunningRaw func, void *user);
/* How many calls of plugins in use run past their hard deadline now; those of replaced ones do not count. */
guint zm_pool_hung (ZmPool *pool);
/* The waiting instances. */
char *zm_pool_waiting_json (ZmPool *pool);
/* Follows one message id (or all where id is NULL): func is called from workers with one JSON line a step; off with func
 * NULL. Costs one branch a message when off. */
typedef void (*ZmTraceFunc) (const char *json, gpointer user);
void zm_pool_trace (ZmPool *pool, const char *id, ZmTraceFunc func, gpointer user);

G_END_DECLS
