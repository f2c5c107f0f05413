/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Runs. A ZmRun is one message's passage: the message, where it stands in its flow, the body as it is now, and the call that
 * is being made. It has one owner at a time: a worker that runs it, the queue's inbox, a strand, the ticket table (deferred),
 * the keeper (waiting), or a join. Ownership moves with the pointer, under the lock of the place that it moves to.
 */
#pragma once

#include "worker/zm-pool.h"

#include <stdatomic.h>

G_BEGIN_DECLS

#define ZM_CODE_MOST 64   /* bytes of an error code kept */
#define ZM_TEXT_MOST 4096 /* bytes of an error text kept */

/* What a run waits to be done with it. */
typedef enum {
  ZM_EVENT_FRESH,     /* a new message */
  ZM_EVENT_STEP,      /* go on at the current step */
  ZM_EVENT_CALL,      /* make the call: it was queued at a strand */
  ZM_EVENT_COMPLETED, /* a deferred call ended: status and reply are set */
  ZM_EVENT_CAME,      /* the answer that it waited for is in body */
  ZM_EVENT_FAILED,    /* the current step failed: code and text are set */
  ZM_EVENT_JOINED,    /* all branches ended: body is their array, or code is set */
  ZM_EVENT_TIMER,     /* a plugin's timer */
  ZM_EVENT_CALLBACK, /* the result of zm_call_action for a plugin, or how what it asked the store for ended */
  ZM_EVENT_SAVED,    /* what was saved is on disk: parking says what was to come after that */
  ZM_EVENT_HOSTED,   /* the call that a host had has ended: hosted tells how */
  ZM_EVENT_OUT       /* no message: the results given in `lane` are to be published; not counted as inside */
} ZmEvent;

typedef struct ZmRun ZmRun;
typedef struct ZmStat ZmStat;
typedef struct ZmWorker ZmWorker;
typedef struct ZmJoin ZmJoin;
typedef struct ZmStrand ZmStrand;
typedef struct ZmPluginTimer ZmPluginTimer;
typedef struct ZmParking ZmParking;

/* One of the flows that a run is in: it is pinned, so that a reload never changes the steps of what runs. */
typedef struct ZmFrame {
  ZmFlow *flow; /* a reference */
  guint step;   /* the one that runs or waits */
} ZmFrame;

/* What an action said, until its outcome is handled. */
typedef struct ZmReply {
  gboolean given;
  zmq_msg_t body;     /* initialised where given */
  char *content_type; /* of body; NULL: not said */
  char *key;          /* under which the result goes out, outside a flow; checked */
  char *next;         /* the key to go on with; checked */
} ZmReply;

struct ZmRun {
  ZmWait wait; /* first: the keeper's view of it */
  ZmRun *next; /* the owner's list */
  ZmPool *pool;
  ZmEvent event;      /* what the next worker is to do with it */
  ZmMessage *message; /* what started it; NULL: a CALLBACK or OUT */
  zmq_msg_t body;     /* as it is now; always initialised */
  char *content_type; /* of body where an action or an answer gave one */
  gboolean replaced;  /* body is no longer the message's */
  guint depth;        /* frames in use; 0: outside a flow */
  ZmFrame frames[ZM_NESTING_MOST + 1];
  gboolean on_error; /* the `!` step runs in place of the current one */
  guint hops;        /* steps and next keys so far, and those that emitted the message: over 100 is a loop */
  ZmJoin *join;      /* this run is a branch of it */
  guint branch;      /* which of it */
  /* the call */
  ZmKey key;           /* by which the action was found: again where its plugin was replaced meanwhile */
  gboolean by_default; /* the default route may take it */
  char *abroad;        /* the worker in another language that has it, or NULL */
  gboolean is_abroad;  /* listed in abroad.c; the owner's */
  gint64 abroad_us;    /* when it went; with the list's links under the list's lock */
  ZmRun *abroad_next, **abroad_link;
  char *next_text;          /* what key points into where the action named it */
  ZmStat *stat;             /* of the key; the pool's */
  const ZmAction *action;   /* the table's, or the timer's, or the strand's for what is no mapping */
  ZmGeneration *generation; /* a reference while it is away from its worker */
  const char *holder;       /* of that reference */
  ZmStrand *strand;         /* owned while the call runs, or handed over with the run */
  guint turns;              /* calls made in that strand without yielding */
  gint64 timeout_us;        /* soft deadline of the call, from its beginning */
  guint64 rank; /* 0, or where its plugin was replaced before its host began: the place that it had */
  zm_call call; /* what the plugin sees; its services find the run by it */
  void *guard;  /* the body in pages of its own, or NULL */
  gsize guard_size;
  ZmReply reply;
  char *code, *text;     /* of a failure */
  int asked;             /* ZM_RETRY or ZM_REJECT: the action returned that; else 0 */
  char *errors;          /* of a failed join: a JSON array of what each branch says; else NULL */
  int status;            /* COMPLETED: the outcome; CALLBACK: what done is told */
  zm_ticket ticket;      /* of a deferred call */
  ZmTimer timer;         /* of a deferred call or a wait */
  gboolean timed;        /* timer was armed */
  ZmParking *parking;    /* of a durable message: what is to be done once its state is on disk; or NULL */
  gint64 retry_until_us; /* waits for a taker until then */
  atomic_int cancelled;  /* nobody waits for the call any more: zm_cancelled says so */
  guint lane;            /* OUT: whose given results are to be published */
  gboolean said;         /* what it published may still be with its worker */
  /* TIMER and CALLBACK */
  ZmPluginTimer *plugin_timer;
  zm_result_fn done;
  zm_done_fn told; /* in place of done: of what has no result */
  void *done_user;
  ZmHostCall hosted; /* last, as it is only set where a host makes the call */
};

/* run.c: runs */
/* worker: the calling thread's, whose spare ones are used; or NULL. */
ZmRun *zm_run_new (ZmPool *pool, ZmWorker *worker);
void zm_run_free (ZmRun *run, ZmWorker *worker);                          /* and all that it holds */
void zm_run_set_failure (ZmRun *run, const char *code, const char *text); /* copies; the first one stays */
void zm_run_set_failuref (ZmRun *run, const char *code, const char *format, ...) G_GNUC_PRINTF (3, 4);
void zm_run_drop_reply (ZmRun *run);
void zm_run_cancel_timer (ZmRun *run);             /* its callback does not run any more when this returns */
void zm_run_hold (ZmRun *run, const char *holder); /* its generation, while it is away */
void zm_run_let_go (ZmRun *run);
/* Goes on in its place, as failed; blame is what its error names. */
ZmRun *zm_run_heir (ZmRun *run, const ZmAction *blame, const char *code, const char *text);
/* Into a flow, or a child of the one that it is in; and out of it again. */
void zm_run_push (ZmRun *run, ZmFlow *flow, guint step);
void zm_run_pop (ZmRun *run);
const ZmStep *zm_run_step (const ZmRun *run);     /* NULL outside a flow */
const ZmBranch *zm_run_branch (const ZmRun *run); /* the key text that runs now, NULL outside */
ZmSpan zm_run_flow_name (const ZmRun *run);
char *zm_run_content_type (const ZmRun *run); /* of its body; the caller frees; or NULL */

/* guard.c: the call's body in pages that cannot be written; freed with the run or before its next call */
void zm_run_guard (ZmRun *run);
void zm_run_unguard (ZmRun *run);

G_END_DECLS
