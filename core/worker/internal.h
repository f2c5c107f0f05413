/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of the worker room share.
 */
#pragma once

#include "base/zm-thread.h"
#include "worker/run.h"

#include <pthread.h>

G_BEGIN_DECLS

/* `take` of a batch that has no next one. */
#define ZM_TAKE_NONE    (1u << 30)
#define ZM_BATCH        32   /* messages that a worker takes at a time, at most */
#define ZM_WORKERS_MOST 256  /* threads at one time, replacements included */
#define ZM_STRAND_MOST  1024 /* calls that wait at one SERIAL plugin */
#define ZM_STRAND_TURN  64   /* calls that one worker makes in a strand before it yields */
#define ZM_OUT          64   /* results that a worker collects before it hands them over */
#define ZM_PENDING      16   /* keys of which a worker counts calls before it adds them */
#define ZM_SAMPLE       16   /* each how many-th call is timed */

/* Figures of one key, kept over reloads. */
struct ZmStat {
  atomic_ullong calls, errors, samples, sampled_us, highest_us;
};

/* Calls of one key that a worker has not yet added to it: one locked addition a batch, not one a call. */
typedef struct ZmPending {
  ZmStat *stat;
  guint calls;
} ZmPending;

/* One plugin that listens. Its actions stand for it in reports; NULL where it does not listen then. */
typedef struct ZmHook {
  ZmGeneration *generation; /* the table's set keeps it */
  const zm_hook_ops *ops;
  const ZmAction *before, *after, *authorise; /* the strand's */
} ZmHook;

typedef enum { ZM_HOOK_BEFORE, ZM_HOOK_AFTER, ZM_HOOK_AUTHORISE, ZM_HOOK_MOMENTS } ZmHookMoment;

/* A table with what the pool knows beside it; one reference a batch. */
typedef struct ZmView {
  atomic_int refs;
  guint64 serial;
  ZmTable *table;
  ZmStat **stats; /* by route index; owned by the pool */
  ZmHook *hooks;  /* in the order in which they are asked */
  guint n_hooks;
  gboolean hooked;     /* some has before or after */
  gboolean authorised; /* some has authorise */
  gboolean ordered;    /* some mapping asks for another order than the pool's */
} ZmView;

struct ZmWorker {
  ZmPool *pool;
  pthread_t thread;
  guint index; /* slot in pool->workers */
  guint lane;
  ZmView *view;
  gint64 now_us;
  gint64 wall_us;
  ZmUuidMaker ids;
  /* the batch: items from `take` on may be stolen by the watchdog */
  ZmMessage *batch[ZM_BATCH];
  guint batch_count;
  atomic_uint take;
  /* the call that runs: sequence << 2 | phase */
  atomic_ullong word;
  ZmRun *run;
  _Atomic gint64 call_deadline_us;
  _Atomic (const ZmAction *) hook; /* whose code runs inside the call; NULL: the action's own */
  const ZmAction *blamed;          /* what hung when the call was claimed; under dog_lock */
  gboolean authorising;            /* the thread's own: it asks who may come in */
  atomic_int abandoned;            /* a replacement is there: end after this call */
  atomic_int over;                 /* the thread has ended: join it */
  gboolean hard;                   /* the watchdog's: the hard deadline was dealt with */
  guint64 seen_word;               /* the watchdog's */
  gint64 seen_us;
  gboolean stolen;  /* the watchdog's: its rest was given back */
  gboolean refused; /* the watchdog's: there was no room for its replacement; it tries again */
  /* runs that this worker does next: strands handed over to it */
  pthread_mutex_t local_lock;
  ZmRun *local_head, *local_tail;
  atomic_uint n_local;
  ZmRun *free_runs;
  guint n_free;
  ZmMessage *out[ZM_OUT];
  guint n_out;
  guint ended;
  guint64 calls;
  pthread_cond_t wake;
  gboolean idle;
  ZmPending pending[ZM_PENDING]; /* by route index; added when the place is needed, and after each batch */
  guint helping;                 /* how deep it works off the inbox while a strand is full */
};

/* A list of messages. */
typedef struct ZmLane {
  ZmMessage *head, *tail;
  guint length;
  ZmRun *inbox_head, *inbox_tail;
  guint inbox_length;
  /* Results that the watchdog took from a worker of this lane in a slow call (given.c); shared has none. */
  ZmMessage *given_head, *given_tail; /* under the pool's lock */
  atomic_uint n_given;                /* of them, and of those that are being published */
  pthread_mutex_t given_lock;         /* held while they are published */
} ZmLane;

typedef struct ZmTickets ZmTickets;
typedef struct ZmAbroad ZmAbroad;

struct ZmPool {
  ZmPoolConfig config;
  guint n_workers;
  gint64 started_us;
  /* the queue */
  pthread_mutex_t lock;
  pthread_cond_t room;
  ZmLane shared;
  ZmLane *lanes; /* n_workers of them */
  guint waiting;
  guint n_idle;
  gboolean closed;        /* no new messages */
  gboolean stopped, hung; /* the owner's: threads ended; one could not */
  gboolean ending;        /* threads end */
  atomic_int letting_go;  /* of durable messages, which go on after the next start */
  ZmWorker *workers[ZM_WORKERS_MOST];
  guint n_slots;
  guint replaced; /* workers that are hung now */
  /* the view */
  pthread_mutex_t view_lock;
  ZmView *view;
  GHashTable *stats; /* key text -> ZmStat */
  /* what is inside */
  _Atomic gint64 inside;
  _Atomic gint64 joins, branches; /* not counted in inside: what waits for branches is */
  pthread_mutex_t inside_lock;
  pthread_cond_t inside_cond;
  ZmTickets *tickets;
  ZmAbroad *abroad;
  /* runs that wait for a taker */
  pthread_mutex_t later_lock;
  ZmRun *later_head, *later_tail;
  guint n_later;
  ZmTimer later_timer;
  pthread_mutex_t timers_lock;
  GHashTable *plugin_timers; /* ticket -> ZmPluginTimer */
  guint64 next_timer;
  gboolean timers_closed; /* the pool ends: no new ones */
  /* definitions of flows that durable messages are in, and that are kept: their hashes */
  pthread_mutex_t defined_lock;
  GHashTable *defined;
  /* the watchdog */
  pthread_t watchdog;
  pthread_mutex_t dog_lock;
  pthread_cond_t dog_cond;
  atomic_int dog_asleep;
  _Atomic gint64 tick_us; /* when the watchdog looked last: a clock that costs nothing to read */
  gboolean dog_ending, dog_running;
  /* trace */
  atomic_int tracing;
  pthread_mutex_t trace_lock;
  char *trace_id;
  ZmTraceFunc trace_func;
  gpointer trace_user;
  /* counters */
  ZmCounter *c_results, *c_errors, *c_silent, *c_dropped, *c_calls, *c_denied, *c_late, *c_deferred,
      *c_replaced, *c_unauthorised, *c_abandoned, *c_stalls, *c_overrun, *c_waits;
};

/* queue.c */
/* The next three: under the pool's lock. NULL: empty. */
ZmMessage *zm_lane_pop (ZmLane *lane); /* of one that is not empty */
ZmRun *zm_inbox_pop (ZmLane *lane);
void zm_queue_wake (ZmPool *pool, ZmLane *lane);     /* one idle worker of the lane; NULL: of any */
void zm_queue_run (ZmPool *pool, ZmRun *run);        /* to the inbox; never waits; any thread */
void zm_queue_run_locked (ZmPool *pool, ZmRun *run); /* with the pool's lock held; wakes the watchdog later */
ZmView *zm_pool_view (ZmPool *pool);                 /* a reference on the current one */
ZmView *zm_view_ref (ZmView *view);
void zm_view_unref (ZmView *view);
void zm_pool_inside (ZmPool *pool, gint64 change);
void zm_pool_drop_rest (ZmPool *pool); /* after the threads ended: what is queued gets its error */
ZmWorker *zm_worker_start (ZmPool *pool, guint lane, GError **error);
void zm_worker_flush (ZmWorker *worker);
void zm_worker_refresh (ZmWorker *worker); /* takes the current table now */

/* given.c: what a worker in a slow call has, done by others */
void zm_worker_give_rest (ZmWorker *worker); /* the unstarted part of its batch; also the watchdog */
void
zm_worker_give_results (ZmWorker *worker, unsigned long long word); /* of the call that word stands for */
void zm_given_publish (ZmPool *pool, guint lane); /* all that was given there is published when it returns */

/* ahead.c */
void zm_look_ahead (ZmWorker *worker, ZmMessage *const *messages, guint n); /* of a batch; changes nothing */

/* engine.c */
void zm_engine_message (ZmWorker *worker, ZmMessage *message); /* takes it */
void zm_engine_run (ZmWorker *worker, ZmRun *run);             /* takes it: does its event */
void zm_engine_go (ZmWorker *worker, ZmRun *run);              /* at its current step */
void zm_engine_fail (ZmWorker *worker, ZmRun *run);            /* its current step failed: code is set */
void zm_engine_next (ZmWorker *worker, ZmRun *run); /* its current step is done, body is its result */
void zm_engine_outcome (ZmWorker *worker, ZmRun *run, int status);
void zm_engine_route (ZmWorker *worker, ZmRun *run, const ZmRoute *route, const ZmKey *key);
void zm_engine_again (ZmWorker *worker, ZmRun *run); /* its plugin was replaced: finds the new one */
void zm_engine_call (ZmWorker *worker, ZmRun *run);  /* run->action, through its strand where it is SERIAL */

/* call.c */
/* From here on the watchdog looks after this worker; run has its action and its deadline. Returns the word for _end. */
unsigned long long zm_watch_begin (ZmWorker *worker, ZmRun *run);
/* FALSE: the watchdog has given the message to an heir; only the thread came back: zm_call_came_back. */
gboolean zm_watch_end (ZmWorker *worker, unsigned long long word);
void zm_call_came_back (ZmWorker *worker, ZmRun *run, int status); /* takes run */

void zm_call_fill (ZmWorker *worker, ZmRun *run); /* what the plugin sees */
/* Its plugin takes no call: a message gets this error, a timer or a callback is counted. */
void zm_cannot_call (ZmWorker *worker, ZmRun *run, const char *code, const char *why);
void zm_stat_sample (ZmStat *stat, gint64 us); /* stat may be NULL */

/* hosted.c */
void zm_hosted_call (ZmWorker *worker, ZmRun *run); /* takes it */
void zm_hosted_over (ZmWorker *worker, ZmRun *run);
void zm_hosted_drop (ZmRun *run); /* what its call brought, where nobody handles it */

/* hook.c */
void zm_hooks_fill (ZmPool *pool, ZmView *view, ZmPluginSet *set);
int zm_hooks_before (ZmWorker *worker, ZmRun *run); /* ZM_OK or ZM_E_DENIED */
void zm_hooks_after (ZmWorker *worker, ZmRun *run, int status);
/* FALSE: it may not come in; its error is on the way, and the message taken. */
gboolean zm_hooks_authorise (ZmWorker *worker, ZmMessage *message);

/* result.c: how a run ends */
void zm_end_result (ZmWorker *worker, ZmRun *run, ZmSpan flow, const ZmKey *key);
void zm_end_error (ZmWorker *worker, ZmRun *run);
void zm_end_silent (ZmWorker *worker, ZmRun *run);
/* A durable message that goes on after the next start: its end here, of which nothing is published and no error counted. */
void zm_end_left (ZmWorker *worker, ZmRun *run);
void zm_end_left_message (ZmPool *pool, ZmMessage *message);
void zm_publish_step (ZmWorker *worker, ZmRun *run,
                      const ZmKey *key); /* the current body, under the flow's name */
ZmMessage *zm_step_message (ZmRun *run, const ZmKey *key);
void zm_out (ZmWorker *worker, ZmMessage *message); /* takes it */
char *zm_error_json (const ZmRun *run);
GString *
zm_branch_error_json (const ZmRun *run); /* of a branch of a join; the caller frees, as the next two */
/* Where the message is durable: tells its end, with what would be published. FALSE: it is volatile. */
gboolean zm_end_durable (ZmPool *pool, const ZmMessage *message, ZmEnd end, int asked, const char *code,
                         const char *text, ZmMessage *result);
void zm_answer_caller (ZmPool *pool, const ZmMessage *message, int status, const ZmMessage *result);
/* Ends a message that never became a run. */
void zm_end_refused (ZmPool *pool, ZmMessage *message, const char *code, const char *text);

/* strand.c */
typedef enum {
  ZM_STRAND_IN,
  ZM_STRAND_QUEUED,
  ZM_STRAND_CLOSED,
  ZM_STRAND_STUCK,
  ZM_STRAND_FULL
} ZmStrandEntry;
ZmStrand *zm_strand_of (ZmPool *pool, ZmGeneration *generation);
/* IN: run owns it; QUEUED: it owns run. force: also a closed one. */
ZmStrandEntry zm_strand_enter (ZmStrand *strand, ZmRun *run, gboolean force);
/* Waits a moment for room in a full one. FALSE: its call is slow, waiting would cost others. */
gboolean zm_strand_wait_room (ZmStrand *strand, gint64 until_us);
/* After a call; who waits next is given to this worker, or after ZM_STRAND_TURN calls to any: then worker may be NULL. */
void zm_strand_leave (ZmWorker *worker, ZmStrand *strand, guint turns);
void zm_strand_abandon (ZmStrand *strand);
void zm_strand_release (ZmStrand *strand); /* after that: where it is closed already, who waits goes on */
void zm_strand_slow (ZmStrand *strand, gboolean slow);
void zm_strand_close (ZmStrand *strand);
void zm_strand_give_up (ZmStrand *strand); /* who waits goes back to the inbox, whoever is inside */
void zm_strand_stuck (ZmStrand *strand);
void zm_strand_succeed (ZmStrand *old, ZmStrand *next, ZmGeneration *generation, gint64 until_us);
const ZmAction *zm_strand_callback_action (ZmPool *pool, ZmGeneration *generation);
/* Stands for a hook of the generation where something is told of it. */
const ZmAction *zm_strand_hook_action (ZmPool *pool, ZmGeneration *generation, ZmHookMoment moment);
void *zm_worker_state (ZmWorker *worker, ZmGeneration *generation);
void zm_worker_give_local (ZmWorker *worker, ZmRun *run);
void zm_worker_release_local (ZmWorker *worker); /* to the inbox; the watchdog's thread too */
ZmRun *zm_queue_try_run (ZmWorker *worker);      /* a continuation from the inbox, or NULL */

/* ticket.c */
ZmTickets *zm_tickets_new (guint most);
void zm_tickets_free (ZmTickets *tickets);
guint zm_tickets_count (ZmPool *pool);

/* deferred.c */
zm_ticket zm_call_service_defer (zm_call *call);
void
zm_tickets_returned (ZmWorker *worker, ZmRun *run, int status); /* the action that deferred has returned */
guint zm_tickets_cancel_all (ZmPool *pool, ZmGeneration *generation, const char *code, const char *text);

/* caller.c */
void zm_tickets_end (ZmPool *pool); /* no new ones; those of callers inside are let go */
/* A call of zm_call_action: TRUE when the ticket was one of ours. */
gboolean zm_tickets_result (ZmPool *pool, guint64 ticket, int status, const ZmMessage *result);

/* wait.c */
/* Parks the run for `key`, then sends `question` (taken; NULL: none) to the publisher or to a worker abroad. */
void zm_wait_park (ZmWorker *worker, ZmRun *run, const ZmKey *key, guint step, ZmMessage *question,
                   const char *abroad);
/* The same of a run of which nothing is to be saved first. due_us: when it ends without an answer; 0: as usual. */
void zm_wait_park_now (ZmWorker *worker, ZmRun *run, const ZmKey *key, guint step, ZmMessage *question,
                       const char *abroad, gint64 due_us);
gint64 zm_wait_deadline (const ZmRun *run, gint64 now_us);
ZmRun *zm_wait_take (ZmPool *pool, ZmSpan flow, ZmSpan id, const ZmKey *key);
/* Somebody subscribes to the question's topic, or may come in time. FALSE: the run has failed. */
gboolean zm_wait_taker (ZmWorker *worker, ZmRun *run, const ZmKey *key);
void zm_wait_later_over (ZmTimer *timer, gpointer user);
guint zm_wait_release_later (ZmPool *pool); /* those that wait for a taker try again at once */
guint zm_wait_end_all (ZmPool *pool, const char *code, const char *text);

/* abroad.c */
ZmAbroad *zm_abroad_new (ZmPool *pool);
void zm_abroad_end (ZmAbroad *abroad); /* its timer does not come any more */
void zm_abroad_free (ZmAbroad *abroad);
void zm_abroad_goes (ZmRun *run); /* before it is parked and sent; the owner */
void zm_abroad_back (ZmRun *run); /* the owner, first of all: only where run->is_abroad */

/* join.c */
GString *zm_branch_result_json (ZmRun *run);
char *zm_branch_failure (const ZmRun *run); /* of one that failed, for people */
void zm_join_begin (ZmWorker *worker, ZmRun *run);
void zm_join_fork (ZmWorker *worker, ZmRun *run); /* without looking whether it is durable */
const ZmRun *
zm_join_parent (const ZmJoin *join); /* the run that forked it; for its branches, while they run */
void zm_join_branch_ended (ZmWorker *worker, ZmRun *run, gboolean failed); /* takes run */

/* timer.c: plugins' timers */
void zm_plugin_timer_ended (ZmRun *run);
void zm_plugin_timers_stop (ZmPool *pool, ZmGeneration *generation); /* NULL: all, and no new ones */

/* watchdog.c */
#define ZM_PHASE_IDLE    0u
#define ZM_PHASE_CALL    1u
#define ZM_PHASE_CLAIMED 2u
/* Takes the message from a call that runs too long: its heir is in the inbox. FALSE: it has come back. */
gboolean zm_watchdog_claim (ZmPool *pool, ZmWorker *worker, unsigned long long word);
#define ZM_PHASE_HELD 3u /* the watchdog takes its results: a moment, under dog_lock */
gboolean zm_watchdog_start (ZmPool *pool, GError **error);
void zm_watchdog_stop (ZmPool *pool);
void zm_watchdog_wake (ZmPool *pool);    /* a worker has work */
void zm_worker_clock (ZmWorker *worker); /* sets now_us: right to a tick or two of the watchdog */

/* trace.c */
#define zm_traced(pool) (G_UNLIKELY (atomic_load_explicit (&(pool)->tracing, memory_order_relaxed)))
void zm_trace (ZmRun *run, const char *what, const ZmKey *key, const char *more);

G_END_DECLS
