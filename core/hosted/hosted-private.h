/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of the room hosted share.
 *
 * Threads: the main thread reads records and never runs a plugin's code, so that it hears the daemon whatever plugins do; one
 * thread leads the lives of all generations (load, init, start, stop, unload), in order; each generation has a crew of
 * threads that make its calls; each source has one of its own.
 */
#pragma once

#include "base/zm-thread.h"
#include "hosted/zm-hosted.h"
#include "hostwire/zm-page.h"
#include "plugin/zm-loaded.h"

#include <stdatomic.h>

/* Of the few things that are a sanitizer's own: stacks for signals, and address space without end. */
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define ZM_HOSTED_SANITIZED 1
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define ZM_HOSTED_SANITIZED 1
#endif
#endif

G_BEGIN_DECLS

#define ZM_HOSTED_EMITS   1024  /* that the daemon has not acknowledged */
#define ZM_HOSTED_ASKS    4096  /* calls of actions without an answer yet */
#define ZM_HOSTED_TIMERS  256   /* of one generation, as in the daemon */
#define ZM_HOSTED_METRICS 64    /* names of one generation */
#define ZM_HOSTED_DEFERS  65536 /* deferred calls */
#define ZM_HOSTED_THREADS 64    /* of one crew: a bit each in a word */
#define ZM_HOSTED_BATCH   8     /* calls that a thread takes at a time */
#define ZM_HOSTED_UNSENT  64    /* results of one thread that wait for company */
#define ZM_HOSTED_SOON_US 1000  /* what is said outside of calls waits that long for company */
#define ZM_HOSTED_SLOW_US 20    /* from here on a call is not made before what is ready was sent */
#define ZM_HOSTED_SURE    4     /* calls after which it is known how long an action takes */
#define ZM_HOSTED_SAMPLE  16    /* each so many'th call is measured */

typedef struct ZmHosted ZmHosted;
typedef struct ZmHostedPlugin ZmHostedPlugin;
typedef struct ZmHostedCall ZmHostedCall;
typedef struct ZmHostedThread ZmHostedThread;
typedef struct ZmHostedCrew ZmHostedCrew;
typedef struct ZmHostedTickets ZmHostedTickets;

/* ---- death.c: what a thread is at, told should it die of it ---- */

typedef struct ZmHostedHere {
  guint slot;               /* of the call, + 1; 0: none */
  guint64 generation;       /* whose code runs; 0: nobody's */
  guint hops;               /* of the call */
  ZmHostedThread *executor; /* NULL: a thread of no crew */
} ZmHostedHere;

/* The calling thread's. */
ZmHostedHere *zm_hosted_here (void);
/* Once: faults and exit () leave a note in the page from here on. */
gboolean zm_hosted_death_init (ZmPage *page, GError **error);
/* The calling thread is to run code of this generation (0: none), and has a stack for its last words. */
void zm_hosted_enter (guint64 generation);

/* ---- values.c: a section of the configuration ---- */

typedef struct ZmHostedValues {
  gsize size;
  char text[]; /* "key NUL value NUL" for each */
} ZmHostedValues;

ZmHostedValues *zm_hosted_values_new (ZmSpan text);
/* The index-th of a key, or the standard of its option where none is given. Borrowed from values or options. */
const char *zm_hosted_values_get (const ZmHostedValues *values, const zm_option_desc *options,
                                  const char *key, guint index);

/* ---- calls ---- */

/* Memory that is kept for the next use. data is never NULL where it was given. */
typedef struct ZmHostedText {
  char *data;
  gsize size, capacity;
  gboolean given;
} ZmHostedText;

void zm_hosted_text_set (ZmHostedText *text, const void *data, gsize size);
void zm_hosted_text_clear (ZmHostedText *text);

/* How long the calls of one action take: sums of those that were measured. */
typedef struct ZmHostedStat {
  atomic_ullong samples, sampled_us;
} ZmHostedStat;

typedef enum {
  ZM_HOSTED_WORK,   /* an action, or a timer's function */
  ZM_HOSTED_RESULT, /* of zm_call_action */
  ZM_HOSTED_TELL,   /* reload */
  ZM_HOSTED_DROP    /* was given up: only what it holds is given back */
} ZmHostedKind;

struct ZmHostedCall {
  zm_call call; /* first: what the plugin gets leads back here */
  ZmHostedCall *next;
  ZmHostedPlugin *plugin;
  ZmHostedKind kind;
  guint64 serial;
  guint slot;
  guint lane;         /* of the crew, + 1; 0: any thread */
  gboolean alone;     /* no other of its kind runs meanwhile */
  zm_action_fn fn;    /* NULL: there is none such */
  ZmHostedStat *stat; /* or NULL */
  gboolean quick;     /* known to take less than ZM_HOSTED_SLOW_US */
  gint64 deadline_us, timeout_us;
  guint hops;
  zm_str type_in; /* of the body that came; data is NULL where the headers tell */
  /* what the action says */
  ZmHostedText body, type, key, follow, code, text;
  void *taken; /* a body that is still the plugin's, in place of `body` */
  gsize taken_size;
  zm_free_fn taken_free;
  void *taken_hint;
  zm_ticket ticket; /* of a deferred call */
  atomic_int cancelled;
  /* RESULT */
  zm_result_fn done;
  zm_done_fn told; /* in place of done */
  void *user;
  int status;
  /* what call points into; the body is aligned as malloc's */
  guint8 *memory;
  gsize capacity;
};

/* answer.c: what the actions say of their call */
void zm_hosted_fill_call_services (zm_host *host);
/* ZM_OK, ZM_E_INVALID, ZM_E_DENIED. */
int zm_hosted_check_key (ZmHostedPlugin *plugin, const char *text);
void zm_hosted_set_failure (ZmHostedCall *self, const char *code, const char *text);
/* Forgets body and type, and gives a body back that is the plugin's; the other one forgets key and next too. */
void zm_hosted_drop_body (ZmHostedCall *self);
void zm_hosted_drop_reply (ZmHostedCall *self);
/* Says how it ended. slot: its own, or ZM_WORK_DEFERRED. took: microseconds + 1, or 0. The reply is dropped. */
void zm_hosted_done (ZmHosted *hosted, ZmHostedCall *self, guint slot, int status, guint64 took);

/* call.c: one call */
ZmHostedCall *zm_hosted_call_new (void);
void zm_hosted_call_free (ZmHostedCall *self);
/* Takes a WORK record over. owned: the memory that the record stands in, which is then the call's; or NULL: it is copied. */
void zm_hosted_call_fill (ZmHostedCall *self, ZmHostedPlugin *plugin, const ZmRecord *record, guint8 *owned,
                          gsize owned_size);
/* In a thread of its crew. TRUE: it is over and can be used again. */
gboolean zm_hosted_call_run (ZmHostedThread *thread, ZmHostedCall *self);

/* ---- crew.c: the threads of one generation ---- */

typedef struct ZmHostedQueue {
  ZmHostedCall *head, *tail;
  atomic_uint length;
} ZmHostedQueue;

struct ZmHostedThread {
  ZmHostedCrew *crew;
  guint index;
  pthread_t thread;
  pthread_cond_t wake;
  ZmHostedHere *here;
  ZmHostedQueue own; /* under the crew's lock, like idle and batch_shared */
  gboolean idle;
  gboolean batch_shared; /* its batch may be taken from it */
  guint n_batch;
  _Atomic (ZmHostedCall *) batch[ZM_HOSTED_BATCH]; /* whoever exchanges one for NULL has it */
  gboolean last;                                   /* nothing waits behind the call that runs */
  ZmHostedCall *finished;                          /* to be used again */
  guint n_finished;
  guint unsent; /* records that it said and that may not have been sent */
  guint64 calls;
  guint turns;
  atomic_uint begun; /* counts its calls */
  guint seen;        /* the reader's: what that was at the last tick */
  void *worker_state;
  gboolean worker_started;
};

struct ZmHostedCrew {
  ZmHosted *hosted;
  ZmHostedPlugin *plugin;
  pthread_mutex_t lock;
  pthread_mutex_t
      alone; /* held while a call runs of which only one may run at a time; never taken under lock */
  ZmHostedQueue shared;
  guint n_threads;
  ZmHostedThread *threads;
  guint64 idle; /* a bit for each thread that waits */
  gboolean ending;
  ZmHostedCall *spare; /* for the reader */
  guint n_spare;
  /* the reader's own */
  ZmHostedCall *fresh;
  ZmHostedQueue incoming;
};

/* NULL with error: no threads. */
ZmHostedCrew *zm_hosted_crew_new (ZmHostedPlugin *plugin, guint n_threads, GError **error);
/* Ends its threads, each after its worker_stop; waits. What is still queued is dropped. Then frees it. */
void zm_hosted_crew_free (ZmHostedCrew *crew);
/* The reader's: an empty call; and one that goes in with the next _send. */
ZmHostedCall *zm_hosted_crew_spare (ZmHostedCrew *crew);
void zm_hosted_crew_add (ZmHostedCrew *crew, ZmHostedCall *call);
void zm_hosted_crew_send (ZmHostedCrew *crew);
/* Any thread: queues one now. */
void zm_hosted_crew_push (ZmHostedCrew *crew, ZmHostedCall *call);
/* The reader's, some milliseconds after the last time: what waits behind a call that lasts goes to other threads. */
void zm_hosted_crew_tick (ZmHostedCrew *crew);

/* ---- plugins ---- */

struct ZmHostedPlugin {
  ZmHosted *hosted;
  guint64 serial;
  char *name, *copy;
  guint number, threads;
  atomic_uint ready;  /* counts the steps that it has done; 0: not prepared, and what follows is not set */
  atomic_bool failed; /* it could not be loaded, and nothing of it is left here */
  ZmGeneration *generation; /* NULL: not loaded */
  ZmHostedCrew *crew;
  ZmHostedStat *stats; /* of each action */
  ZmHostedStat timer_stat;
  gboolean serial_only;                /* it is not THREADSAFE as a whole */
  pthread_mutex_t lock;                /* of what follows */
  ZmHostedValues *values, *old_values; /* the old ones stay one reload longer: plugins hold texts of them */
  GArray *timers;                      /* timers.c; or NULL */
  GHashTable *metrics;                 /* names */
  gint64 warned_us;
  GArray *ended;     /* pthread_t of sources that are over, to be joined */
  guint sources;     /* that are not over */
  guint own_threads; /* that it started through the host, at most at a time */
};

/* All of it but what is set once it is ready. */
ZmHostedPlugin *zm_hosted_plugin_new (ZmHosted *hosted, const ZmRecord *prepare);
void zm_hosted_plugin_free (ZmHostedPlugin *plugin);
ZmHostedPlugin *zm_hosted_plugin_of (const zm_host *host);

/* prepared.c: says what it is, or why it cannot be */
void zm_hosted_say_prepared (ZmHostedPlugin *plugin, const GError *error);

/* ---- the process ---- */

/* A step in the life of a generation, to be done in order. */
typedef struct ZmHostedStep ZmHostedStep;
struct ZmHostedStep {
  ZmHostedStep *next;
  ZmRecordKind kind;
  guint64 id;
  ZmHostedPlugin *plugin; /* NULL: there is none of that serial */
  gboolean forget;        /* no step, but the end of what is known of a plugin that could not be loaded */
  guint deadline_ms;
  ZmHostedValues *values;
};

/* confine.c: what the process may have. */
typedef struct ZmHostedRoom {
  pthread_mutex_t lock;
  guint64 memory;              /* what plugins should need at most; 0: no limit */
  guint64 base, thread;        /* bytes that are not theirs: at the start, and with each thread */
  guint64 before;              /* RLIMIT_DATA as the daemon had it */
  guint threads, threads_most; /* that the host started: now, and at most so far */
} ZmHostedRoom;

struct ZmHosted {
  ZmPage *page;
  ZmHostOut *out;
  int fd, wake; /* wake: the reader's, an eventfd */
  guint threads;
  gboolean no_dlclose;
  zm_host host; /* what each generation gets a copy of */
  atomic_uint awake;
  atomic_bool armed; /* something was said that the reader's next tick is to send */
  _Atomic gint64 sent_us;
  atomic_int emits; /* that may still be said */
  ZmHostedRoom room;
  /* the reader's */
  GHashTable *plugins; /* serial -> ZmHostedPlugin */
  GHashTable *sources; /* serial -> ZmHostedSource */
  GPtrArray *touched;  /* plugins that got calls by what is read just now */
  ZmHostedPlugin *last_plugin;
  /* the life thread */
  pthread_mutex_t life_lock;
  pthread_cond_t life_cond;
  ZmHostedStep *steps, **steps_end;
  pthread_mutex_t told_lock; /* of a reload that the life thread waits for */
  pthread_cond_t told_cond;
  gboolean told;
  int told_status;
  /* what has been asked */
  pthread_mutex_t asks_lock;
  pthread_cond_t asks_cond;
  GHashTable *asks; /* id -> ZmHostedAsk */
  guint64 next_ask;
  atomic_ullong next_timer;
  ZmHostedTickets *tickets;
};

/* confine.c: at the start; any time, any thread; before the host starts a thread, and after one has ended or was not to be had. */
void zm_hosted_confine (ZmHostedRoom *room, const ZmHostedOptions *options);
void zm_hosted_set_memory (ZmHostedRoom *room, guint64 memory);
void zm_hosted_count_threads (ZmHosted *hosted, int change);

/* read.c: the reader. Never returns. */
G_NORETURN void zm_hosted_read (ZmHosted *hosted);

/* say.c. What was said is sent: at once where nothing was for a while, with the reader's next tick otherwise, or with the
 * results of the thread that says it. */
void zm_hosted_say (ZmHosted *hosted, const ZmRecord *record);
/* The same of how a call ended: with those of the other calls of this thread where it is one of a crew. */
void zm_hosted_say_result (ZmHosted *hosted, const ZmRecord *record);
/* The same for what somebody waits for. */
void zm_hosted_say_now (ZmHosted *hosted, const ZmRecord *record);
/* Of those whose parts are `error?` alone. */
void zm_hosted_say_status (ZmHosted *hosted, ZmRecordKind kind, guint64 id, int status, const char *error);

/* life.c */
gboolean zm_hosted_life_start (ZmHosted *hosted, GError **error);
/* Takes it. */
void zm_hosted_life_push (ZmHosted *hosted, ZmHostedStep *step);
/* The call of reload that it waits for is over. */
void zm_hosted_life_told (ZmHosted *hosted, int status);

/* services.c, emit.c, stored.c, timers.c */
void zm_hosted_fill_services (zm_host *host);
/* Adds these to the table of services. */
void zm_hosted_fill_emits (zm_host *host);
void zm_hosted_fill_timers (zm_host *host);
void zm_hosted_fill_stored (zm_host *host);
/* zm_emit_durable of a source where source is not 0. */
int
zm_hosted_send (ZmHostedPlugin *plugin, const zm_event *event, guint64 source, zm_done_fn done, void *user);
/* zm_emit of a source where source is not 0; its key may be absent. */
int zm_hosted_emit (ZmHostedPlugin *plugin, const zm_event *event, guint64 source);
/* The reader's: brings what was asked for to the plugin's threads. */
void zm_hosted_answered (ZmHosted *hosted, const ZmRecord *record);
/* What can be told of an event alone: ZM_OK, or why it is refused. keyless: a source's section may give its key. */
int zm_hosted_check_event (ZmHostedPlugin *plugin, const zm_event *event, gboolean keyless);
void zm_hosted_event_parts (ZmRecord *record, const zm_event *event);
/* The id of a question whose answer is told to done (NULL: to nobody), or that the calling thread waits for. 0: too many wait. */
guint64 zm_hosted_ask_told (ZmHostedPlugin *plugin, zm_done_fn done, void *user);
guint64 zm_hosted_ask_wait (ZmHostedPlugin *plugin);
/* Waits for that: its status; where that is ZM_OK the body, which the caller frees. */
int zm_hosted_waited (ZmHosted *hosted, guint64 id, gint64 until_us, char **body, gsize *size);
/* Nothing is brought to this plugin any more. The reader's. */
void zm_hosted_asks_drop (ZmHosted *hosted, const ZmHostedPlugin *plugin);
/* A timer for once fires: it is none any more. */
void zm_hosted_timer_fired (ZmHostedPlugin *plugin, zm_action_fn fn, ZmSpan name);
/* A warning in the daemon's log, at most one a second of each plugin. */
void zm_hosted_warn (ZmHostedPlugin *plugin, const char *text);

/* deferred.c */
ZmHostedTickets *zm_hosted_tickets_new (void);
zm_ticket zm_hosted_defer (zm_call *call);
/* The action that deferred, or says so, has returned. TRUE: the call is over. */
gboolean zm_hosted_returned (ZmHosted *hosted, ZmHostedCall *self, int status, guint64 took);
void zm_hosted_fill_deferred (zm_host *host);
/* The daemon gave this call up. */
void zm_hosted_cancel (ZmHosted *hosted, guint64 serial);
/* Of a plugin that goes: its tickets are stale from here on. */
void zm_hosted_tickets_drop (ZmHosted *hosted, const ZmHostedPlugin *plugin);

/* source.c: the reader's */
typedef struct ZmHostedSource ZmHostedSource;
void zm_hosted_source_open (ZmHosted *hosted, ZmHostedPlugin *plugin, const ZmRecord *record);
void zm_hosted_source_wake (ZmHosted *hosted, guint64 serial);
void zm_hosted_source_shut (ZmHosted *hosted, guint64 serial);
/* Waits for the threads of those that were shut. The life thread, before the plugin's code goes. */
void zm_hosted_sources_join (ZmHostedPlugin *plugin);
guint zm_hosted_sources_left (ZmHostedPlugin *plugin); /* that are not over: their threads are in its code */

G_END_DECLS
