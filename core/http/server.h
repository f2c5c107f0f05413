/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The inside of the server: connections, exchanges (a request with its answer), tokens, listeners. Handlers see http-private.h only.
 *
 * Locks: an exchange's lock is taken before the server's, never the other way round; no function of a handler, of libmicrohttpd's
 * daemon or of the host is called with the server's lock held.
 */
#pragma once

#include "http/address.h"
#include "http/http-private.h"
#include "http/zm-tokens.h"

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

G_BEGIN_DECLS

#define ZM_HTTP_TARGET_MOST 8192          /* bytes of a request's target */
#define ZM_HTTP_HEAD_MOST   32768         /* bytes of a request's head, libmicrohttpd's own needs included */
#define ZM_HTTP_STREAM_MOST (1024 * 1024) /* bytes that wait in an event stream */
#define ZM_HTTP_COMMENT_US  (15 * G_USEC_PER_SEC) /* a stream says at least a comment each */
#define ZM_HTTP_LISTEN_MOST 16
/* How long, and of how many bytes, the rest of a refused request is read. */
#define ZM_HTTP_LINGER_US   (2 * G_USEC_PER_SEC)
#define ZM_HTTP_LINGER_MOST (16 * 1024 * 1024)
/* Of connections over a cap only so many are waited for at a time, and less is read of each. */
#define ZM_HTTP_REFUSED_MOST       64
#define ZM_HTTP_REFUSED_BYTES_MOST 65536

typedef struct ZmExchange ZmExchange;

typedef enum {
  ZM_CONN_HEAD,   /* its head comes in */
  ZM_CONN_BODY,   /* its body comes in */
  ZM_CONN_WAIT,   /* a handler has it */
  ZM_CONN_ANSWER, /* the answer goes out */
  ZM_CONN_IDLE,   /* kept alive without a request */
  ZM_CONN_LINGER /* libmicrohttpd has closed it; what its client still sends is read, so that it gets what was said */
} ZmConnPhase;

/* One of libmicrohttpd's daemons: it has no listening sockets, we give it connections. */
typedef struct ZmServing {
  struct MHD_Daemon *daemon;
  gboolean secure;
  guint connections; /* the server's lock */
} ZmServing;

/* One connection. Guarded by the server's lock, but for what never changes: fd, local, secure, peer. */
typedef struct ZmConn {
  int fd;
  gboolean local;  /* a unix socket */
  gboolean secure; /* TLS */
  char *peer;      /* address without port; "" for unix sockets */
  ZmServing *serving;
  ZmConnPhase phase;
  gint64 deadline_us;   /* it is cut off then; G_MAXINT64: not by us */
  ZmExchange *exchange; /* of the request that waits for its handler; or NULL */
  gboolean whole;       /* its request has been read to its end */
  gboolean looked;      /* since it is idle: has its client gone? */
  gsize rest;           /* bytes that are still read, lingering */
  gboolean refused;     /* it was never taken: it counts nowhere */
} ZmConn;

/* Settings that are asked for with each request or connection; a walk over the schema each time would be too much. */
typedef struct ZmHttpLimits {
  gboolean token;
  guint connections, per_address, streams;
  gsize body_most;
  gint64 header_us, body_us, idle_us;
} ZmHttpLimits;

/* A request with its answer. Reference counted: libmicrohttpd's callbacks hold one until the request is completed, the handler one
 * until its first answer, an armed deadline one. */
struct ZmExchange {
  ZmRequest request; /* must be first */
  atomic_int refs;
  struct ZmConn *conn;
  char *raw;    /* the whole target */
  char *target; /* of it, without scheme and host of the absolute form */
  gboolean too_long;
  gboolean admitted; /* its head was judged */
  char *parts[4];    /* decoded; what request.part points to */
  char *project; /* where the header names it: libmicrohttpd's memory may go before the handler's last word */
  GByteArray *body; /* what has come of it */
  gsize body_most;
  GPtrArray *query; /* char*: name, value, name, value …; NULL: not read yet */
  GPtrArray *raws;  /* char*: name, raw value …; with query */
  GPtrArray *lists; /* GPtrArray*: given out by zm_request_query_list */
  char **names;     /* given out by zm_request_query_names */
  ZmConfig *config;
  ZmHttpLimits limits; /* of config */
  ZmTokens *tokens;
  const ZmToken *token; /* of tokens; NULL: none was given, or none is needed */
  gint64 began_us;

  pthread_mutex_t lock;              /* guards what follows */
  struct MHD_Connection *connection; /* NULL: libmicrohttpd is through with it */
  gboolean dispatched;               /* the handler was called */
  gboolean handled;                  /* it has its reference still */
  gboolean suspended, answered, over;
  guint status;
  char *content_type;
  GString *answer;
  GPtrArray *headers; /* char*: name, value … */
  ZmEventStream *stream;
  void (*gone) (ZmRequest *request);
  void (*late) (ZmRequest *request); /* of zm_request_deadline */
  ZmTimer timer;
};

typedef struct ZmListener {
  int fd;
  ZmHttpAddress address;
  char *endpoint; /* as it is told */
} ZmListener;

typedef enum { ZM_REFUSED_FULL, ZM_REFUSED_ADDRESS, ZM_REFUSED_CUT, ZM_REFUSED_N } ZmRefusedWhy;

struct ZmHttp {
  ZmHttpHost host; /* copied */
  guint threads;
  ZmListener listeners[ZM_HTTP_LISTEN_MOST];
  guint n_listeners;
  char **endpoints;
  ZmServing *plain, *secure; /* the keeper's thread, and after its end */
  GPtrArray *retired; /* ZmServing: with the certificate of before; until their connections have ended */
  int epoll;          /* listeners, waker, waiting connections */
  int waker;          /* eventfd */
  pthread_t keeper;
  gboolean kept; /* the keeper runs */

  pthread_mutex_t lock;
  pthread_cond_t idle;    /* exchanges became 0 */
  ZmConfig *config;       /* lock; references are handed to exchanges */
  ZmHttpLimits limits;    /* lock; of config */
  ZmTokens *tokens;       /* lock; the same */
  GHashTable *conns;      /* lock; fd -> ZmConn */
  guint n_refused;        /* lock; of conns: refused ones, which linger */
  GHashTable *per_peer;   /* lock; address -> count */
  GHashTable *streams;    /* lock; ZmEventStream, a reference each */
  ZmServing *next_secure; /* lock; to be put into use by the keeper */
  gboolean ending;        /* lock; the keeper is to end */
  atomic_int paused;      /* nothing new is taken */
  atomic_uint exchanges;  /* alive */
  atomic_size_t held;     /* bytes of bodies that are coming in or being handled */

  ZmCounter *connections, *requests, *by_class[6], *refused[ZM_REFUSED_N], *events_lost, *open_streams,
      *waiting;
};

/* ---- keeper.c: accepts, cuts off who is late, sees who has gone ---- */

gboolean zm_keeper_start (ZmHttp *http, GError **error);
void zm_keeper_wake (ZmHttp *http);
void zm_keeper_stop (ZmHttp *http);
/* Puts a connection into a phase; deadline_us as there. */
void zm_conn_phase (ZmHttp *http, ZmConn *conn, ZmConnPhase phase, gint64 deadline_us);
/* The exchange waits: it is told when its client goes. With the exchange's lock. */
void zm_conn_wait (ZmHttp *http, ZmExchange *exchange);
/* It does not wait any more. */
void zm_conn_waited (ZmHttp *http, ZmExchange *exchange);
/* Its request begins, or has been read whole. */
void zm_conn_whole (ZmHttp *http, ZmConn *conn, gboolean whole);
/* libmicrohttpd closes it: forgotten here, or lingers where its client may still be sending. */
void zm_conn_closed (ZmHttp *http, int fd);
/* Borrowed; NULL: none of ours. */
ZmConn *zm_conn_find (ZmHttp *http, int fd);

/* ---- conns.c has the connections; and for the keeper ---- */

/* NULL: over a cap, *why which. */
ZmConn *zm_conn_enter (ZmHttp *http, int fd, ZmServing *serving, const ZmListener *listener,
                       const struct sockaddr_storage *address, ZmRefusedWhy *why);
/* One that was told that it is refused: read for a while, or closed at once where many are. */
void zm_conn_refused (ZmHttp *http, int fd);
/* With the lock: the end of one that lingers. */
void zm_conn_linger_end (ZmHttp *http, ZmConn *conn);
/* With the lock: reads what there is of one that lingers. FALSE: it is over. */
gboolean zm_conn_linger_read (ZmConn *conn);
/* Its client may have gone before libmicrohttpd looked again. */
void zm_conn_look (ZmConn *conn);

/* ---- listen.c ---- */

gboolean zm_listen_open (ZmHttp *http, GError **error);
void zm_listen_close (ZmHttp *http);

/* ---- serving.c: libmicrohttpd ---- */

ZmServing *zm_serving_new (ZmHttp *http, gboolean secure, GError **error);
/* All of its requests have to be answered before. */
void zm_serving_free (ZmServing *serving);
/* Those of the configuration in use. */
ZmHttpLimits zm_http_limits (ZmHttp *http);
/* From a configuration; with the lock, or before there are threads. */
void zm_http_limits_set (ZmHttp *http, const ZmConfig *config);

/* ---- exchange.c ---- */

ZmExchange *zm_exchange_new (ZmHttp *http, struct MHD_Connection *connection, const char *raw);
ZmExchange *zm_exchange_ref (ZmExchange *exchange);
void zm_exchange_unref (ZmExchange *exchange);
/* The client has gone, or the daemon ends: its handler is told once, and answers nobody. TRUE: it was told, as it asked for that. */
gboolean zm_exchange_gone (ZmExchange *exchange);
/* The first answer stands. by_server: in place of the handler, which still gives its own. Takes body. */
void zm_exchange_answer (ZmExchange *exchange, gboolean by_server, guint status, const char *content_type,
                         GString *body);
/* Ends it with an error in place of its handler. fail.c */
void zm_exchange_end (ZmExchange *exchange, guint status, const char *text);
/* Calls the handler, and answers or suspends. In libmicrohttpd's callback. */
enum MHD_Result zm_exchange_dispatch (ZmExchange *exchange);
/* Queues what was answered. In libmicrohttpd's callback. */
enum MHD_Result zm_exchange_queue (ZmExchange *exchange);
/* libmicrohttpd is through with it. */
void zm_exchange_completed (ZmExchange *exchange);
static inline ZmExchange *
zm_exchange_of (ZmRequest *request)
{
  return (ZmExchange *) (void *) request;
}

/* ---- admit.c: what is decided before the body is read ---- */

/* FALSE: it has been answered. */
gboolean zm_admit (ZmExchange *exchange, const char *method);

/* ---- route.c ---- */

typedef struct ZmRouted {
  const ZmRoute *route; /* NULL: none */
  guint allowed;        /* methods that other routes of this path have */
  ZmSpan raw[4];        /* of its parts, still encoded */
  guint n_parts;
} ZmRouted;
/* target: without scheme and host. NULL tables end the list. */
ZmRouted zm_route_find (const ZmRoute *const *tables, const char *target, ZmMethod method);
const ZmRoute *const *zm_route_tables (void);
/* 0: not one of ours. */
ZmMethod zm_method_of (const char *name);
const char *zm_method_name (ZmMethod method);
/* "GET, HEAD, POST" */
char *zm_methods_text (guint methods);

/* ---- target.c ---- */

/* Decodes %XX (and "+" as blank where plus). NULL: a bad escape, or a control byte came out. */
char *zm_target_decode (ZmSpan raw, gboolean plus);
/* Is every byte of it printable and every escape whole? */
gboolean zm_target_check (const char *target, const char **why);

/* ---- openapi.c ---- */

char *zm_openapi_json (void);
/* openapi-schemas.c: "schemas":{…} of the components; and the name of the one that an operation's answer has, or NULL. */
void zm_openapi_append_schemas (GString *out);
const char *zm_openapi_schema (const ZmRoute *route, const char *status);

/* ---- stream.c ---- */

enum MHD_Result zm_stream_queue (ZmExchange *exchange);
/* The connection has ended. */
void zm_stream_completed (ZmEventStream *stream);
/* Ends it from our side. */
void zm_stream_close (ZmEventStream *stream);
/* Comments where nothing was said for 15 s. */
void zm_streams_tick (ZmHttp *http, gint64 now_us);

G_END_DECLS
