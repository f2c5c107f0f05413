/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of the room share. All of it is under the lock of ZmHosts unless a member says otherwise.
 *
 * A group is the hosts that run the same plugins: one for all plugins with isolation = process, one for each generation with
 * isolation = private. A seat is one plugin's place in one host.
 */
#pragma once

#include "base/zm-child.h"
#include "base/zm-codes.h"
#include "base/zm-thread.h"
#include "hosts/zm-hosts.h"
#include "hostwire/zm-page.h"

G_BEGIN_DECLS

#define ZM_HOST_WAITING_MOST 4096 /* calls of one plugin that wait for a credit */
#define ZM_HOST_LINES        12   /* last lines of a host's output that are kept */
#define ZM_HOST_TICK_US      5000
#define ZM_HOST_TEXT_MOST    4096 /* bytes of an error's text that are taken from a host */
#define ZM_CRASHES_MOST      5    /* in ZM_CRASHES_US: quarantine (decision 28) */
#define ZM_CRASHES_US        (60 * G_USEC_PER_SEC)

typedef struct ZmHostGroup ZmHostGroup;

typedef enum {
  ZM_HOST_DOWN,     /* no process; one is started at due_us */
  ZM_HOST_STARTING, /* has not said READY */
  ZM_HOST_UP,
  ZM_HOST_LEAVING, /* takes no new calls; ends when it is empty, and is then started again or not */
  ZM_HOST_OVER     /* no process, and none is wanted */
} ZmHostState;

typedef enum {
  ZM_SEAT_EMPTY,
  ZM_SEAT_LOADED, /* PREPARED */
  ZM_SEAT_READY,  /* INITED */
  ZM_SEAT_UP,     /* COMMITTED: takes calls */
  ZM_SEAT_STOPPED /* RETIRED: what runs goes on, nothing new */
} ZmSeatState;

/* How a plugin is to stand in its hosts: also what a new process is brought to. */
typedef enum { ZM_WANT_NOTHING, ZM_WANT_LOADED, ZM_WANT_INITED, ZM_WANT_STARTED, ZM_WANT_STOPPED } ZmWant;

typedef struct ZmSeat {
  ZmSeatState state;
  guint calls;   /* slots in that host */
  gboolean slow; /* a call of it there runs for longer than a tick: no more are queued behind it than run */
  ZmRecordKind asked; /* what its answer is waited for; 0: none */
  char
      *failed; /* why the last step was not done, or NULL: then nothing more is asked until this is cleared */
} ZmSeat;

/* waiting.c: a list of calls by their rank. */
typedef struct ZmWaiting {
  ZmHostCall *head, *tail;
  ZmHostCall *last_again; /* the last one that a generation before it moved, or NULL */
  /* of who goes through it, and may leave some */
  ZmHostCall *before, *at;
  guint passed;
} ZmWaiting;

/* A generation that is carried. */
struct ZmCarried {
  ZmHosts *hosts;
  ZmGeneration *generation; /* borrowed: closed before it is freed */
  ZmHostGroup *group;
  guint64 serial;
  guint threads; /* calls that one host runs at a time */
  guint n_seats; /* hosts 0 … n_seats - 1 of the group */
  ZmSeat *seats;
  ZmWant want;
  guint waited;          /* somebody waits for its next step */
  guint stop_ms;         /* STOPPED: what stop may take */
  GByteArray *values;    /* of its section, as records carry them */
  gboolean described;    /* PREPARED was taken over */
  gboolean serial_calls; /* some action of it may not be THREADSAFE */
  ZmWaiting *lists;      /* of those that wait for a credit */
  guint waiting;         /* in all of them */
  guint64 sent;          /* calls of it that went to hosts */
  guint outstanding;     /* waiting, in slots (also given up ones), deferred */
  gboolean closed;       /* replaced: takes no more calls */
  guint hung;       /* calls that were given up and whose code still runs: each has a thread of its host */
  ZmCarried *after; /* takes no call that keeps an order before that one's are over */
  gboolean held;    /* the one before it runs in the daemon, and has calls */
  gint64 after_until_us;
  ZmGeneration *retired;            /* a reference until it is told that no call of it runs any more */
  guint crashes;                    /* of its own making, since its last good call */
  gint64 crash_us[ZM_CRASHES_MOST]; /* when; [crashes - 1] is the last one */
  char *quarantine;                 /* why its calls are refused, or NULL */
  guint64 kills, restarts;
};

/* A credit in use. */
typedef struct ZmHostSlot {
  ZmHostCall *call;        /* NULL with carried set: the call was given up, its code still runs */
  ZmCarried *carried;      /* NULL: free */
  ZmGeneration *kept;      /* a reference, of one that was given up */
  char *symbol, *id, *key; /* of one that was given up */
  guint64 serial;
  gint64 began_us; /* when it was first seen to have started; 0: it was not seen so yet */
  gint64 gone_us;  /* when it was given up */
  gsize bytes;     /* of its body */
} ZmHostSlot;

typedef struct ZmHostTimer {
  ZmHost *host;
  guint64 handle;   /* what the daemon's timer has for a function */
  guint64 id;       /* the host's */
  guint64 function; /* in the host */
  ZmGeneration *generation;
  zm_ticket ticket;
  gboolean once, fired; /* fired: its one call is on its way; the thread lets it go */
} ZmHostTimer;

typedef struct ZmHostSource ZmHostSource;

struct ZmHost {
  ZmHosts *hosts;
  guint64 number; /* of all hosts there ever were; 1 is the first */
  ZmHostGroup *group;
  char *name; /* "shared", "hello", "hello#2": for logs */
  guint index;
  ZmHostState state;
  gboolean again;          /* LEAVING: start it anew when it ended */
  const char *leaving_why; /* a literal */
  char *hung;              /* LEAVING: what in it hangs; it is killed once all other calls are over */
  gboolean unneeded;       /* it was killed before it was ready, as nobody needs it */
  gboolean dying;          /* its end was seen: nothing is given to it any more */
  gint64 due_us;           /* DOWN: when it is started; STARTING, LEAVING: when it is killed */
  guint64 life;            /* counts its processes */
  char *killed;            /* why we killed it, or NULL; guilty is then set */
  ZmCarried *guilty;
  char *guilty_symbol, *guilty_id;
  ZmHostCall *guilty_call;
  ZmChild child;        /* the thread's */
  guint polls, n_polls; /* the thread's: which of what it polls is the child's; its bell is the next one */
  gboolean watched;     /* the thread's: its end is polled */
  int fd;               /* the bell of its process; -1: there is none */
  ZmPage *page;
  int page_fd;
  /* out */
  ZmPipeEnd to;
  GByteArray *out; /* from out_at on: what the pipe had no room for */
  gsize out_at;
  guint unsent;   /* calls that it was not told of */
  guint ringing;  /* threads that ring its bell just now, without the lock */
  gboolean dirty; /* counted in hosts->dirty: it is to be told something */
  /* in; the thread's */
  ZmPipeEnd from;
  GByteArray *in;
  gboolean deaf; /* what it says makes no sense: nothing more of it is read */
  gint64 eof_us; /* when it had closed its end of the bell; 0: it has not */
  /* calls */
  ZmHostSlot slots[ZM_PAGE_SLOTS];
  guint16 free_slots[ZM_PAGE_SLOTS];
  guint n_free;
  gsize bytes; /* of the bodies of calls in slots */
  guint64 next_serial;
  ZmHostCall *deferred;    /* list by next and previous */
  GHashTable *deferred_by; /* &call->serial -> call */
  GHashTable *timers;      /* id -> ZmHostTimer; the thread's */
  GQueue emits;            /* GByteArray: EMIT records that the pool had no room for; the thread's */
  gsize emits_size;
  guint emitted;     /* to be told back; the thread's */
  gint64 loading_us; /* since when the page says the same thing is being loaded */
  guint64 loading;
  guint64 starts;
  guint quick; /* ends in a row soon after the start, that were nobody's fault */
  gint64 started_us;
  guint64 memory; /* limits of its process, as its group's */
  guint descriptors;
  gsize rss;
  gint64 over_us;   /* since when its process is over its memory limit; 0: it is not */
  gsize over_rss;   /* what it had then */
  guint heavy;      /* processes in a row that were over it soon after their start */
  gint64 pinged_us; /* the thread's: when it was asked whether it is there; 0: it has answered */
  char *last_end;
  char *lines[ZM_HOST_LINES]; /* a ring, the next one goes to [next_line] */
  guint next_line;
};

struct ZmHostGroup {
  ZmHosts *hosts;
  char *name;
  gboolean shared;
  GPtrArray *members; /* ZmCarried */
  GPtrArray *list;    /* ZmHost */
  guint64 memory;
  guint descriptors;
};

/* Calls that ended, in order, until they are told without the lock. */
typedef struct ZmArrivals {
  ZmHostCall *head, *tail; /* ended calls, in order */
} ZmArrivals;

typedef struct ZmDeadNote ZmDeadNote;

struct ZmHosts {
  ZmHostsConfig config;
  ZmCarrier carrier;
  pthread_mutex_t lock;
  pthread_cond_t changed; /* an answer came, a host came up or went, a slot became free */
  pthread_t thread;
  int wake_fd;
  gboolean ending;
  gint64 end_us; /* ending: when hosts are killed */
  GPtrArray *groups;
  GPtrArray *carrieds; /* all that are open */
  guint64 next_rank, next_carried, next_timer, next_source, next_host;
  guint room_waiters;
  guint moving; /* calls that ended as moved and have not gone their new way */
  /* zm_hosts_cancel_all, done by the thread: only it ends calls that were sent */
  gboolean cancel_asked;
  ZmGeneration *cancel_generation;
  const char *cancel_code, *cancel_text;
  guint cancelled;
  atomic_uint n_deferred; /* for status */
  atomic_uint dirty;      /* hosts that are to be told something */
  GHashTable *timers;     /* handle -> ZmHostTimer */
  guint n_fired;          /* of them */
  GHashTable *sources;    /* serial -> ZmHostSource */
  gboolean busy;          /* the thread: something is outstanding */
  gint64 looked_us, scanned_us,
      measured_us; /* the thread: when it looked last at calls, at what waits, at memory */
  /* dead.c */
  GHashTable *kills; /* id -> ZmDeadNote */
  GQueue dead_order; /* ZmDeadNote, oldest first */
  guint n_dead;      /* set aside */
  ZmCounter *c_starts, *c_crashes, *c_killed, *c_lost, *c_requeued, *c_timeouts, *c_late, *c_emits_lost,
      *c_loops, *c_set_aside, *c_bad, *c_lines;
  ZmCounter *g_up, *g_aside; /* gauges */
};

/* ---- hosts.c: the thread ---- */
void *zm_hosts_main (void *hosts);
void zm_hosts_wake (ZmHosts *hosts);
void zm_host_read_rest (ZmHost *host, ZmArrivals *arrivals); /* of a dead one */

/* ---- group.c ---- */
/* Under the lock: a group with so many hosts wanted; the thread starts them. */
ZmHostGroup *zm_group_get (ZmHosts *hosts, gboolean shared, const char *name);
void zm_group_grow (ZmHostGroup *group, guint n);
/* Recomputes limits; ends hosts that nobody needs. */
void zm_group_settle (ZmHostGroup *group);

/* ---- limits.c; under the lock ---- */
void zm_group_limit (ZmHostGroup *group); /* what its members want now */
void zm_host_limit (ZmHost *host);        /* the thread's: its process has that from now on */

/* ---- process.c: one process; the thread's ---- */
void zm_host_begin (ZmHost *host); /* starts it: STARTING, or DOWN again; under the lock, which is let go */
void zm_host_kill (ZmHost *host, char *why); /* SIGKILL; takes why; under the lock */
void zm_host_clear (ZmHost *host);           /* closes and frees what belongs to the process that ended */
ZmHost *zm_host_new (ZmHostGroup *group, guint index);
void zm_host_free (ZmHost *host);
char *zm_host_last_lines (const ZmHost *host); /* joined, or NULL */
void zm_host_line (const char *text, gpointer host);

/* ---- out.c; under the lock ---- */
void zm_host_say (ZmHost *host, const ZmRecord *record);
/* Tells the host what was said; the lock is let go meanwhile. */
void zm_host_flush_locked (ZmHost *host);
/* So much was said and not told that it is worth a wake-up by itself. */
gboolean zm_host_has_much (const ZmHost *host);
/* What waits for room is let go. */
void zm_host_out_drop (ZmHost *host);

/* ---- arrive.c: what comes from a host; the thread's, without the lock ---- */
void zm_arrivals_add (ZmArrivals *arrivals, ZmHostCall *call);
void zm_arrivals_tell (ZmHosts *hosts, ZmArrivals *arrivals); /* without the lock */
/* Reads records from data; returns how many bytes it used, -1: what comes is nonsense. */
gssize zm_host_take (ZmHost *host, const guint8 *data, gsize size, ZmArrivals *arrivals);
/* A DONE into a call. */
void zm_call_take_answer (ZmHostCall *call, const ZmRecord *record);

/* ---- waiting.c: under the lock ---- */
guint zm_carried_n_lists (const ZmCarried *carried);
void zm_carried_append (ZmCarried *carried, ZmHostCall *call);
void zm_carried_insert_again (ZmCarried *carried, ZmHostCall *call); /* one that was moved */
void zm_carried_all_came (ZmCarried *carried);                       /* no more of those will */
void zm_carried_merge (ZmCarried *carried, ZmHostCall *calls);       /* back to the places that they had */
/* before: the one in front of it in its list, or NULL. */
void zm_carried_unlink (ZmCarried *carried, ZmWaiting *list, ZmHostCall *before, ZmHostCall *call);
/* All of them, as a list in their order. */
ZmHostCall *zm_carried_take_all (ZmCarried *carried);
/* Goes through all lists by rank: the one whose `at` is next, until all are at their ends. */
void zm_carried_rewind (ZmCarried *carried);
ZmWaiting *zm_carried_next (ZmCarried *carried);

/* ---- dispatch.c ---- */
/* Under the lock: sends what waits as far as there are credits. */
void zm_carried_pump (ZmCarried *carried);
void zm_group_pump (ZmHostGroup *group);
void zm_carried_pump_after (const ZmCarried *carried); /* who comes after it */
gboolean zm_carried_runs (const ZmCarried *carried);   /* a call of it is in a host; deferred ones are not */
/* Ends a call with this error. */
void zm_call_fail (ZmHostCall *call, const char *code, const char *format, ...) G_GNUC_PRINTF (3, 4);
/* Under the lock. The slot is free again; its call, if any, is the caller's. */
void zm_slot_free (ZmHost *host, guint slot);
void zm_carried_less (ZmCarried *carried, guint n);
void zm_deferred_remove (ZmHost *host, ZmHostCall *call);
/* Takes back what did not start; in order of their serials. NULL carried: of all. unordered_only: only what any host may
 * take. Returns a list. */
ZmHostCall *zm_host_take_back (ZmHost *host, ZmCarried *carried, gboolean unordered_only);

/* ---- carrier.c, show.c ---- */
void zm_hosts_fill_carrier (ZmHosts *hosts);
void zm_hosts_count_up (ZmHosts *hosts); /* a host came up or went; under the lock */
void zm_carried_describe (gpointer carried, GString *out);
gboolean zm_carried_starting (gpointer carried);
/* "its start": the step that it is asked for there; under the lock. */
const char *zm_seat_step (const ZmHost *host, const ZmCarried *carried);

/* ---- seat.c: what a plugin is brought to in each host ---- */
void zm_host_bring_up (ZmHost *host);                       /* READY came */
void zm_seat_answer (ZmHost *host, const ZmRecord *record); /* PREPARED … CONFIGURED; the lock is taken */
ZmSeat *zm_seat_of (const ZmHost *host, const ZmCarried *carried); /* or NULL */
ZmCarried *zm_carried_by_serial (ZmHosts *hosts, guint64 serial);
/* Takes the next step towards what is wanted of it there. Under the lock. */
void zm_seat_advance (ZmHost *host, ZmCarried *carried);
/* Its process is gone: nothing is there any more. how: its step failed by that; NULL: it is taken again. */
void zm_seat_lost (ZmSeat *seat, const char *how);
/* Takes no new calls; ends when those that it has are over, at the latest after the drain budget. Under the lock. */
void zm_host_leave (ZmHost *host, const char *why, gboolean again);
void zm_host_try_leave (ZmHost *host); /* goes on with that */
/* Something in it hangs (takes what): in a host of its own it is killed, in a shared one when the calls of others are over. */
void zm_host_hangs (ZmHost *host, char *what);

/* ---- death.c ---- */
void zm_host_died (ZmHost *host, int status);
/* Under the lock: what waits at a plugin in quarantine ends. */
void zm_carried_end_waiting (ZmCarried *carried, ZmArrivals *arrivals);
/* Under the lock: to the places that they had among those that wait at their plugins. */
void zm_calls_back (ZmHosts *hosts, ZmHostCall *calls);
/* ---- blame.c ---- */
/* Under the lock: a crash of its own making. TRUE: it is in quarantine from now on. */
gboolean zm_carried_blame (ZmCarried *carried, ZmHost *host, const char *what, gint64 now_us);
gint64 zm_carried_backoff (const ZmCarried *carried);
/* The crash report, with its slots as they were; the caller frees. Then without the lock: the thread, which alone frees hosts,
 * writes it to a file, and a slow disk costs the plugins of other hosts as little as may be. */
char *zm_host_report (ZmHost *host, const char *how);
void zm_host_write_report (const ZmHost *host, pid_t pid, const char *text);

/* ---- deadline.c: what the thread looks at each tick; without the lock ---- */
/* When a call that began then is given up. */
gint64 zm_call_due (const ZmHostCall *call, gint64 began_us);
/* Under the lock. When the call in that slot, which has started, began. */
gint64 zm_slot_began (ZmHost *host, guint place, gint64 now_us);
void zm_hosts_look (ZmHosts *hosts, gint64 now_us);
/* Under the lock: takes a started call from its slot, where its code goes on; its caller is given an error. */
ZmHostCall *zm_call_detach (ZmHost *host, guint place, gint64 now_us);

/* ---- cancel.c; under the lock ---- */
void zm_hosts_cancel_asked (ZmHosts *hosts, gint64 now_us, ZmArrivals *arrivals);
void zm_hosts_cancel_done (ZmHosts *hosts); /* without the lock */

/* ---- tend.c: what the thread looks at of each process; under the lock ---- */
void zm_host_tend (ZmHost *host, gint64 now_us);
void zm_host_measure (ZmHost *host, gint64 now_us);
void zm_host_ask_alive (ZmHost *host, gint64 now_us);

/* ---- service.c: EMIT, ASK, TIMER …; without the lock ---- */
void zm_host_service (ZmHost *host, const ZmRecord *record);
void zm_host_source_record (ZmHost *host, const ZmRecord *record); /* OPENED, RETURNED, SHUTTED */
void zm_host_emit_again (ZmHost *host);
void zm_host_drop_services (ZmHost *host); /* its process ended */
/* The generation that a record speaks of; NULL: none of this host. It stays for as long as this thread does not return, as
 * closing waits for an answer that this thread reads. */
ZmGeneration *zm_host_generation (ZmHost *host, guint64 serial);

/* Texts of an event, which needs them with an end. */
typedef struct ZmHostEvent {
  zm_event event;
  char *key, *flow, *id, *headers;
} ZmHostEvent;
void zm_host_event_read (const ZmRecord *record, ZmHostEvent *out);
void zm_host_event_clear (ZmHostEvent *event);

/* Who asked; the answer goes to that process, should it still be there. */
typedef struct ZmHostQuestion {
  ZmHosts *hosts;
  guint64 number, life, id;
} ZmHostQuestion;
ZmHostQuestion *zm_host_question (ZmHost *host, const ZmRecord *record);
/* As zm_result_fn, with the question, which it takes. Without the lock; any thread. */
void zm_host_answer (void *question, int status, const void *body, size_t size);

/* ---- stored.c: PUT, EMPTY, SEND, KEEP, KEPT; without the lock ---- */
void zm_host_take_stored (ZmHost *host, const ZmRecord *record);

/* ---- timer.c; without the lock ---- */
void zm_host_take_timer (ZmHost *host, const ZmRecord *record);
void zm_host_take_untimer (ZmHost *host, const ZmRecord *record);
/* Those of a generation; NULL: all of them. */
void zm_host_drop_timers (ZmHost *host, const ZmGeneration *generation);
void zm_host_drop_fired (ZmHost *host);
/* Under the lock: where that function is, or NULL. */
ZmHostTimer *zm_hosts_timer (ZmHosts *hosts, guint64 handle);

/* ---- source.c ---- */
void zm_hosts_fill_source (zm_source_ops *ops);
void zm_source_answer (ZmHost *host, const ZmRecord *record);
void zm_sources_lost (ZmHost *host); /* under the lock, as the next two */
void zm_sources_wake (ZmHost *host);
gboolean zm_sources_there (const ZmHost *host);
/* The host table of that source, or NULL; of this very host. The thread's, without the lock. */
const zm_host *zm_source_enter (ZmHosts *hosts, const ZmHost *host, guint64 serial);
void zm_source_leave (ZmHosts *hosts, const ZmHost *host, guint64 serial);

/* ---- dead.c ---- */
/* "Sender?Context@Decorator?Action" of a call; the caller frees. */
char *zm_dead_key (const zm_call *call);
/* Under the lock. The call of that message killed its host. */
void zm_dead_note (ZmHosts *hosts, const ZmHostCall *call, const char *id, const char *plugin,
                   const char *symbol, const char *how);
/* Is it set aside? Sets the error. Under the lock. */
gboolean zm_dead_refuses (ZmHosts *hosts, ZmHostCall *call);
void zm_dead_free (ZmHosts *hosts);

G_END_DECLS
