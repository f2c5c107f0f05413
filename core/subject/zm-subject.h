/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The Subject: the ventilator. One thread owns the PULL sockets (send) and the ROUTER sockets (call), makes messages of
 * frames, gives ids, refuses reserved names, and spreads messages over the workers in batches. When the workers' ring is
 * full it stops reading PULL (back-pressure reaches the senders) and answers calls BUSY. It also keeps the registry of
 * services (HELLO, heartbeats, commands).
 */
#pragma once

#include "base/zm-log.h"
#include "base/zm-metrics.h"
#include "integration/zm-integration.h"
#include "message/zm-gate.h"
#include "message/zm-message.h"
#include "routing/zm-table.h"
#include "worker/zm-pool.h"

G_BEGIN_DECLS

typedef struct ZmSubject ZmSubject;

typedef struct ZmSubjectConfig {
  void *zmq;
  const char *const *bind, *const *connect;           /* PULL */
  const char *const *call_bind, *const *call_connect; /* ROUTER */
  int high_water;
  gint64 max_message; /* bytes: ZMQ_MAXMSGSIZE */
  ZmFramesForm form;
  guint calls_most;       /* calls waiting at one time; then BUSY */
  gint64 call_timeout_us; /* where a call brings no `timeout` header; 30 s */
  /* Door: the SEND verb (durable). NULL: answered ERROR `no-store`. Takes the messages, which are stored all or none, and
   * answers once and later through zm_subject_reply: ZM_OK is ACCEPTED, a positive status DUPLICATE. FALSE: full, nothing was
   * taken; answered BUSY. */
  gboolean (*send) (ZmMessage *const *messages, guint n, guint64 ticket, gpointer user);
  /* While pausing: may an answer still come for what is inside? Then reading goes on, for answers only. NULL: no. Subject's
   * thread. */
  gboolean (*waits) (gpointer user);
  gpointer user;
  ZmTableSlot *tables; /* for HELLO's patterns */
  ZmPool *pool;        /* set by zm_subject_start */
  ZmIntegration *integration;
  ZmLog *log;
  ZmMetrics *metrics;
  ZmGates *gates;                      /* NULL: connections are not counted */
  guint connections, call_connections; /* limits of one endpoint; 0: the standard */
  int call_high_water;                 /* of the call sockets; 0: as above */
  gint64 call_max_message;
} ZmSubjectConfig;

/* Opens and binds the sockets. */
ZmSubject *zm_subject_new (const ZmSubjectConfig *config, GError **error);
/* Starts the thread, once pool is there. */
gboolean zm_subject_start (ZmSubject *subject, ZmPool *pool, GError **error);
/* Ends the taking of new messages (drain): what had come in is given to the pool, and this returns when that is done (at most
 * 5 s). Then the PULL endpoints are let go, unless `waits` says that answers may come: those are taken on, by PULL and by CALL,
 * and new messages are refused with the error `shutdown`. Calls that wait still get their replies; new ones are answered BUSY
 * `draining`. */
void zm_subject_pause (ZmSubject *subject);
/* After zm_subject_pause: waits until `waits` says no, at most until the deadline; then the PULL endpoints are let go. Before
 * the pool is drained. Not the Subject's thread. */
void zm_subject_finish (ZmSubject *subject, gint64 deadline_us);
/* Ends the thread; who still waits is answered ERROR `shutdown`. Before the Integration Manager's end. */
void zm_subject_free (ZmSubject *subject);

/* Answers a waiting call: the pool's reply function for call tickets, which never have their two highest bits set. Shares the
 * result's frames before it returns. A stale ticket is counted as late. ZM_E_AGAIN is answered BUSY, other negative codes
 * ERROR. Any thread, never blocks. */
void zm_subject_reply (ZmSubject *subject, guint64 ticket, int status, const ZmMessage *result);
/* The same for who has many: nobody is woken until zm_subject_wake, which has to follow soon. */
void zm_subject_reply_quietly (ZmSubject *subject, guint64 ticket, int status, const ZmMessage *result);
void zm_subject_wake (ZmSubject *subject);
/* After a reload: services whose list of prefixes changed are told on command_<name>~. Any thread. */
void zm_subject_tables_changed (ZmSubject *subject);
/* Sends a command (get_health, stop_service, get_topics, add_topic, remove_topic) to a service. Any thread. */
gboolean zm_subject_command (ZmSubject *subject, const char *service, const char *command,
                             const char *argument, GError **error);
/* Registered services: JSON array (name, version, state, patterns, prefixes, last_seen_ms; received, errors, ratio, mean_ms
 * where the service reports its counts). transient: with the short-lived tools, which are marked as such. The caller frees. */
char *zm_subject_services_json (ZmSubject *subject, gboolean transient);
char *zm_subject_status_json (ZmSubject *subject);
const char *const *zm_subject_endpoints (ZmSubject *subject);      /* PULL, after wildcards */
const char *const *zm_subject_call_endpoints (ZmSubject *subject); /* ROUTER */

G_END_DECLS
