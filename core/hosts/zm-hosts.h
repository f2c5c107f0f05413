/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hosts: zmanager-host processes, in which plugins run that the configuration places outside the daemon. This room starts and
 * watches them, hands them calls against credits, keeps the deadlines of those calls, and says of each one how it ended,
 * whatever becomes of its host.
 *
 * One thread does what has to do with processes and what comes from them; workers write what goes to them. One lock for
 * all of it; no function of another room is called under it.
 *
 * What is promised of a call: it is ended exactly once, by `ended`. One that had started in a host that dies ends with an
 * error that names the plugin and what happened; one that had not goes to another host, or to the same one when it is there
 * again, in its order.
 */
#pragma once

#include "base/zm-log.h"
#include "base/zm-metrics.h"
#include "message/zm-message.h"
#include "plugin/zm-carrier.h"

#include <zmq.h>

G_BEGIN_DECLS

typedef struct ZmHosts ZmHosts;
typedef struct ZmHostCall ZmHostCall;
typedef struct ZmCarried ZmCarried;
typedef struct ZmHost ZmHost;

/* One call of a plugin that runs elsewhere. Lives inside the object that it is for. What is asked is borrowed until it ends. */
struct ZmHostCall {
  ZmHostCall *next; /* the owner's list */
  /* asked */
  const zm_call *call; /* names, headers, body, attempt, step */
  const char *type;    /* of the body; NULL: the headers tell; empty: it has none */
  guint place;         /* of the action, or ZM_WORK_FUNCTION */
  guint64 function;    /* then: what the plugin's timer was started with */
  const char *symbol;  /* for people */
  gint64 timeout_us;   /* soft deadline, from its start */
  gint64 deadline_us;  /* the message's own, absolute; 0: none */
  guint64 order;       /* those of one number stay in order; 0: free */
  guint hops;
  gboolean serial_action; /* only one such call of its plugin runs at a time in each host */
  guint64 rank; /* 0, or of one that was moved: the place that it had, before those that came since */
  /* answered */
  gboolean moved; /* it did not start, and its plugin was replaced: the next generation is to take it */
  int status;     /* as the action returned it; ZM_REJECT where code tells what happened */
  gboolean given; /* body is set */
  zmq_msg_t body;
  char *content_type, *key, *next_key, *code,
      *text;      /* as the plugin gave them, not checked; owned, or NULL */
  gint64 took_us; /* of the action, or -1 */
  /* the room's */
  ZmCarried *carried;
  ZmHost *host;            /* NULL: waits for a credit */
  guint64 home, home_life; /* of a timer's: the one host that has its function; 0: any */
  guint64 serial;
  gint64 due_us;        /* deferred: when it is given up */
  ZmHostCall *previous; /* in the list of deferred ones */
  gboolean deferred;
};

typedef struct ZmHostsConfig {
  const char *program;          /* zmanager-host; NULL: nothing can be placed outside */
  const char *directory;        /* working directory of hosts */
  const char *report_directory; /* where crash reports are kept, or NULL */
  guint call_ms;                /* what load, init or start may take */
  guint drain_ms;               /* what a host that is to be replaced may take to become empty */
  gint64 hard_after_us;         /* after its soft deadline a call's host is killed */
  /* Calls that have ended, linked by `next`, in the order of their results. Any thread, no lock held. */
  void (*ended) (ZmHostCall *calls, gpointer user);
  /* No call of a retired generation runs any more; the hosts' thread, no lock held. Only where zm_hosts_retire said so. */
  void (*idle) (ZmGeneration *generation, gpointer user);
  /* zm_emit and zm_call_action of such a plugin, made in a call with so many hops. As the services of zm_host; the hosts'
   * thread: must not wait. */
  int (*emit) (ZmGeneration *generation, const zm_event *event, guint hops, gpointer user);
  int (*ask) (ZmGeneration *generation, const zm_event *event, guint hops, int timeout_ms, zm_result_fn done,
              void *done_user, gpointer user);
  /* zm_put_message, zm_wait_empty, zm_emit_durable, zm_keep and zm_kept, likewise; NULL: ZM_E_UNSUPPORTED. Of kept *value is a
   * reference. */
  int (*put) (ZmGeneration *generation, const zm_put *put, zm_done_fn done, void *done_user, gpointer user);
  int (*wait_empty) (ZmGeneration *generation, const char *queue, const char *key, int timeout_ms,
                     zm_done_fn done, void *done_user, gpointer user);
  int (*send) (ZmGeneration *generation, const zm_event *event, guint hops, zm_done_fn done, void *done_user,
               gpointer user);
  int (*keep) (ZmGeneration *generation, const char *name, const void *data, gsize size, zm_done_fn done,
               void *done_user, gpointer user);
  int (*kept) (ZmGeneration *generation, const char *name, GBytes **value, gpointer user);
  /* FALSE: the daemon drains, and what emit answers ZM_E_AGAIN to is not taken later either. NULL: always TRUE. */
  gboolean (*accepts) (gpointer user);
  gpointer user;
  ZmLog *log;
  ZmMetrics *metrics;
} ZmHostsConfig;

/* Starts the thread; no process before the first plugin asks for one. */
ZmHosts *zm_hosts_new (const ZmHostsConfig *config, GError **error);
/* After all that was carried is closed: ends what processes are left, waits for them. NULL is fine. */
void zm_hosts_free (ZmHosts *hosts);
/* For ZmPluginsConfig; lives as long as hosts. NULL where there is no program. */
const ZmCarrier *zm_hosts_carrier (ZmHosts *hosts);

typedef enum {
  ZM_HOSTS_TAKEN,  /* it will end */
  ZM_HOSTS_FULL,   /* too many wait for this plugin */
  ZM_HOSTS_CLOSED, /* the generation was replaced: find the next one */
  ZM_HOSTS_REFUSED /* code and text are set */
} ZmHostsEntry;

/* Takes a call for a carried generation, of which the caller keeps a reference until it has ended. Any thread. */
ZmHostsEntry zm_hosts_call (ZmHosts *hosts, ZmGeneration *generation, ZmHostCall *call);
/* Waits a moment for room after FULL. FALSE: none will come soon. Any thread. */
gboolean zm_hosts_wait_room (ZmHosts *hosts, ZmGeneration *generation, gint64 until_us);
/* Tells hosts of what zm_hosts_call gave them. Cheap where there is nothing. Any thread. */
void zm_hosts_flush (ZmHosts *hosts);

/* Calls of `next` that keep an order (of a SERIAL plugin: all) wait until no call of `old` runs any more, and those that it
 * moved have come, at most until until_us. Either may run in this process: a SERIAL next then waits for zm_hosts_open, and
 * an old one is told by `idle`. Before the table with next is in use. */
void zm_hosts_succeed (ZmHosts *hosts, ZmGeneration *old, ZmGeneration *next, gint64 until_us);
/* The one before it, in this process, has no call any more. Not carried: nothing. Any thread. */
void zm_hosts_open (ZmHosts *hosts, ZmGeneration *generation);
/* The generation was replaced: what did not start yet ends as moved. TRUE: some of it runs still, and idle will tell. */
gboolean zm_hosts_retire (ZmHosts *hosts, ZmGeneration *generation);
/* One that ended as moved has gone its new way, whatever that is. Any thread. */
void zm_hosts_arrived (ZmHosts *hosts);
/* Ends all calls of it (NULL: of all) with this error, started or not. Returns how many. */
guint zm_hosts_cancel_all (ZmHosts *hosts, ZmGeneration *generation, const char *code, const char *text);

/* Deferred calls that wait for their completion. Any thread. */
guint zm_hosts_deferred (ZmHosts *hosts);
/* Why something does not run: adds char* to out. */
void zm_hosts_reasons (ZmHosts *hosts, GPtrArray *out);
/* Each process: a JSON array of {"name","pid","state","plugins","calls","waiting","rss","starts","last_end",…}. The caller
 * frees. */
char *zm_hosts_json (ZmHosts *hosts);
/* What a status tells of all of them: a JSON object {"number","up","down","starts","crashes","calls","quarantined","set_aside"}.
 * The caller frees. */
char *zm_hosts_status_json (ZmHosts *hosts);
/* Calls that run now: appends objects {"state","plugin","symbol","host","us","deadline_in_us"} to a JSON array that may have
 * members already. state: "calling", or "hung" where its caller got an error and its code still runs. */
void zm_hosts_append_running (ZmHosts *hosts, GString *out);

/* ---- messages that were set aside, as they killed their host three times ---- */

/* A JSON array of {"id","plugin","action","key","kills","since","size","history":[…]}, with "body" (or "base64", where it is no
 * text) only where asked for. since: milliseconds of the wall clock. The caller frees. */
char *zm_hosts_dead_json (ZmHosts *hosts, gboolean bodies);
/* One of them with its body; NULL: there is none of this id. The caller frees. */
char *zm_hosts_dead_one (ZmHosts *hosts, const char *id);
/* Forgets one (NULL: all), so that it is taken again. Returns how many. */
guint zm_hosts_dead_forget (ZmHosts *hosts, const char *id);

G_END_DECLS
