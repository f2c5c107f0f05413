/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of the Subject share. Unless it says otherwise, everything is the Subject's thread's own: others leave
 * replies in the outbox, set an atomic flag, or take the registry's mutex, and wake the thread.
 */
#pragma once

#include "integration/endpoint.h"
#include "integration/waker.h"
#include "subject/zm-subject.h"

#include <pthread.h>
#include <stdatomic.h>

#define ZM_SUBJECT_SOCKETS_MOST 32
#define ZM_SUBJECT_BATCH        256
/* Identity, REQ's delimiter, request id, verb, and the message's three. */
#define ZM_CALL_FRAMES_MOST    7
#define ZM_MESSAGE_FRAMES_MOST 3

/* One socket has one endpoint, so that it can be let go, or closed to new connections, without the others. */
typedef struct ZmSubjectSocket {
  void *socket;
  char *endpoint; /* as libzmq names it; NULL: it could not be bound */
  gboolean bound; /* else connected */
  ZmGate *gate;   /* counts its connections; NULL: nobody counts, or it is connected */
} ZmSubjectSocket;

/* ---- pending.c: who waits for an answer ---- */

typedef enum { ZM_VERB_CALL, ZM_VERB_SEND, ZM_VERB_HELLO } ZmVerb;

/* Where an answer goes. Owns its frames. */
typedef struct ZmCaller {
  guint router;       /* index of the socket */
  gboolean delimiter; /* REQ's empty frame is given back */
  ZmVerb verb;
  zmq_msg_t identity;
  zmq_msg_t request_id;
} ZmCaller;

typedef struct ZmPending ZmPending;
ZmPending *zm_pending_new (guint most);
void zm_pending_free (ZmPending *pending);
/* Takes the caller's frames; its ticket, 0 where `most` wait already (then nothing was taken). Tickets never have the
 * highest bit set. */
guint64 zm_pending_add (ZmPending *pending, ZmCaller *caller, gint64 deadline_us);
/* Gives the caller back, once. FALSE: nobody waits with that ticket (any more). */
gboolean zm_pending_take (ZmPending *pending, guint64 ticket, ZmCaller *caller);
/* The ticket whose deadline comes first, 0: nobody waits. */
guint64 zm_pending_first (const ZmPending *pending, gint64 *deadline_us);
guint zm_pending_count (const ZmPending *pending);

/* ---- outbox.c: replies from other threads ---- */

/* One reply on its way to the thread. Its frames share what the result has; nothing is copied. */
typedef struct ZmReply ZmReply;
struct ZmReply {
  ZmReply *next;
  guint64 ticket;
  int status;          /* ZM_OK, negative, or of a store */
  gboolean has_result; /* else the frames are empty, and the status is all there is to tell */
  zmq_msg_t headers;
  zmq_msg_t body;
};

typedef struct ZmOutbox ZmOutbox;
ZmOutbox *zm_outbox_new (guint most);
void zm_outbox_free (ZmOutbox *outbox);
/* Shares the result's frames. FALSE: full. Any thread; never waits for more than the short lock. */
gboolean zm_outbox_put (ZmOutbox *outbox, guint64 ticket, int status, const ZmMessage *result);
/* All replies so far, in order, as a list that the caller frees. */
ZmReply *zm_outbox_take (ZmOutbox *outbox);
gboolean zm_outbox_empty (ZmOutbox *outbox);
/* Returns the next one of the list. */
ZmReply *zm_reply_free (ZmReply *reply);

/* ---- services.c, hello.c: the registry ---- */

typedef struct ZmServices ZmServices;
ZmServices *zm_services_new (ZmTableSlot *tables, ZmIntegration *integration, ZmLog *log, ZmMetrics *metrics);
void zm_services_free (ZmServices *services);
/* HELLO's JSON: registers. The answer's JSON (the caller frees) and the nonce ("" without one), or NULL with the reason. */
char *zm_services_hello (ZmServices *services, ZmSpan json, gint64 now_us, char **nonce, GError **error);
gboolean zm_services_heartbeat (ZmServices *services, ZmSpan json, gint64 now_us, GError **error);
/* After a reload: tells services whose prefixes changed. */
void zm_services_refresh (ZmServices *services);
/* Notes who has gone silent; when to look again, G_MAXINT64: never. */
gint64 zm_services_watch (ZmServices *services, gint64 now_us);
/* Any thread. */
gboolean zm_services_command (ZmServices *services, const char *service, const char *command,
                              const char *argument, GError **error);
/* transient: short-lived tools too. */
char *zm_services_json (ZmServices *services, gboolean transient, gint64 now_us);

/* ---- the Subject ---- */

/* How the taking of messages ends. Only the thread goes from one to the next, but for the first, which zm_subject_pause leaves,
 * and where it takes too long. */
typedef enum {
  ZM_FLOW_RUNNING,
  ZM_FLOW_PAUSING, /* until what was sent so far has come in */
  ZM_FLOW_ANSWERS, /* only what somebody inside waits for is taken */
  ZM_FLOW_PAUSED   /* nothing is read from PULL */
} ZmFlowState;

/* How far the thread is with that. */
typedef struct ZmLeaving {
  gint64 began_us; /* 0: not yet */
  gint64 last_us;  /* when something came last */
  gboolean detached;
} ZmLeaving;

struct ZmSubject {
  ZmSubjectConfig config; /* its lists of endpoints are not kept */
  ZmSubjectSocket pulls[ZM_SUBJECT_SOCKETS_MOST], routers[ZM_SUBJECT_SOCKETS_MOST];
  guint n_pulls, n_routers;
  char **endpoints, **call_endpoints;

  ZmWaker waker; /* for all that other threads leave */
  pthread_t thread;
  gboolean started;          /* thread is one to be joined; who starts and frees the Subject */
  atomic_int stopping;       /* the thread is to end after its turn */
  atomic_int tables_changed; /* a reload: the lists of services are to be made anew */
  atomic_int greeted;        /* a ^hello~ subscription came: look at the waiting HELLOs */
  atomic_int flow_state;     /* ZmFlowState */
  atomic_int finishing;      /* answers are waited for no longer */
  pthread_mutex_t mutex;     /* for the condition only */
  pthread_cond_t paused;     /* flow_state changed; monotonic clock */

  ZmUuidMaker ids;
  gint64 now_us, wall_us; /* read once a turn */
  GPtrArray *stage;       /* messages on their way to the pool; the first `staged` are there already */
  guint staged;
  ZmPending *pending;  /* callers: CALL, SEND, and HELLO with a nonce */
  ZmOutbox *outbox;    /* any thread puts, ours takes */
  GPtrArray *greeters; /* HELLOs that wait for their subscription; their callers are in pending */
  ZmServices *services;
  gint64 services_look_us; /* when the registry has to be looked at next; 0: in this turn */

  ZmCounter *received, *malformed, *refused, *dropped, *calls, *busy, *late, *timeouts, *unsent, *waiting,
      *held;
  guint64 turn_received; /* added to the counter once a turn */
};

/* sockets.c */
gboolean zm_subject_open (ZmSubject *subject, const ZmSubjectConfig *config, GError **error);
void zm_subject_close (ZmSubject *subject);
/* No new connections, no new messages: what has come in already can still be read. */
void zm_subject_detach (ZmSubject *subject);
/* One multipart message into frames, which are initialised and empty; at most `most` are kept, further ones are read and
 * dropped, and counted in *extra. How many were kept, -1: nothing there. */
int zm_frames_receive (void *socket, zmq_msg_t *frames, guint most, guint *extra);
void zm_frames_init (zmq_msg_t *frames, guint n);
void zm_frames_close (zmq_msg_t *frames, guint n);

/* leaving.c: after each turn while PAUSING or ANSWERS. more: there may be more to read. */
void zm_subject_leave (ZmSubject *subject, ZmLeaving *leaving, gboolean more);
/* Lets go of the PULL endpoints, once. In the thread. */
void zm_subject_let_go (ZmSubject *subject, ZmLeaving *leaving);
/* FALSE: it is new, and the daemon drains; it was refused, and its reference is gone. */
gboolean zm_subject_admit (ZmSubject *subject, ZmMessage *message);
/* May a call come in now? */
gboolean zm_subject_admits_call (ZmSubject *subject, const ZmMessage *message);

/* loop.c: the thread. user: ZmSubject. */
void *zm_subject_run (void *user);
/* The deadline by the header `timeout` (milliseconds from receipt), else standard_us. -1 where the header is wrong. */
gint64 zm_subject_deadline (ZmSubject *subject, const ZmMessage *message, gint64 standard_us, GError **error);
/* May this message come in? The error's code for a reply is set with the reason. */
gboolean zm_subject_vet (const ZmMessage *message, const char **code, GError **error);

/* answer.c: each answers a caller and lets go of it. Who does not take answers loses them, counted. headers and body are
 * sent as they are, and are empty afterwards. */
void zm_answer_frames (ZmSubject *subject, ZmCaller *caller, const char *status, zmq_msg_t *headers,
                       zmq_msg_t *body);
void zm_answer_json (ZmSubject *subject, ZmCaller *caller, const char *status, const char *json);
/* {"code": …, "text": …} */
void
zm_answer_text (ZmSubject *subject, ZmCaller *caller, const char *status, const char *code, const char *text);
/* The next two are counted. */
void zm_answer_busy (ZmSubject *subject, ZmCaller *caller, const char *code, const char *text);
void zm_answer_malformed (ZmSubject *subject, ZmCaller *caller, const char *text);

/* greet.c: HELLO and HEARTBEAT; the caller is answered, now or later. */
void zm_greet_hello (ZmSubject *subject, ZmCaller *caller, ZmSpan json);
void zm_greet_heartbeat (ZmSubject *subject, ZmCaller *caller, ZmSpan json);
/* Answers those whose subscription is there. */
void zm_greet_answer (ZmSubject *subject);
/* The time of this HELLO is over: its caller was told so. */
void zm_greet_forget (ZmSubject *subject, guint64 ticket);
/* At the end, when all callers have their answer. */
void zm_greet_end (ZmSubject *subject);

/* call.c: everything that waits at one call socket, at most a batch. TRUE: there may be more. */
gboolean zm_subject_take_calls (ZmSubject *subject, guint router);
/* Replies that came, deadlines that passed, HELLOs whose subscription is there. */
void zm_subject_answer (ZmSubject *subject);
/* Ends all who wait, at the end. */
void zm_subject_answer_rest (ZmSubject *subject);
