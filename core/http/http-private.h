/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the room share: requests, answers, and the table that routes, documents and checks them. */
#pragma once

#include "http/zm-http.h"

G_BEGIN_DECLS

/* Roles; a request needs one of those that its route names (0: none is asked for). */
enum { ZM_ROLE_ADMIN = 1, ZM_ROLE_PUBLISH = 2, ZM_ROLE_CONSUME = 4, ZM_ROLE_SUBSCRIBE = 8 };

typedef enum { ZM_GET = 1, ZM_HEAD = 2, ZM_PUT = 4, ZM_POST = 8, ZM_PATCH = 16, ZM_DELETE = 32 } ZmMethod;

typedef struct ZmRequest ZmRequest;
typedef struct ZmRoute ZmRoute;

/* One request. It is its handler's from the call until the answer; everything in it is valid until then. */
struct ZmRequest {
  ZmHttp *http;
  const ZmRoute *route;
  ZmMethod method;
  const char *target;       /* raw, as it came, with query */
  ZmSpan part[4];           /* what stands for {…} in the route's path, percent-decoded, in order */
  ZmSpan body;              /* whole, within the route's bound */
  ZmSpan project;           /* of the token, or X-Project-ID, or the standard */
  ZmSpan client;            /* Zaqar's Client-ID: 16 bytes; else empty */
  guint roles;              /* that it has */
  gpointer data;            /* the handler's */
  GDestroyNotify data_free; /* called with data when the request is over */
};

/* Runs in a thread of the server; must not block. It answers at once, or later from any thread (the connection waits): every request is
 * answered exactly once. */
typedef void (*ZmHandler) (ZmRequest *request);

/* A parameter or header, for openapi.json. */
typedef struct ZmParam {
  const char *name; /* NULL ends the list */
  const char *type; /* "integer", "string", "boolean" */
  const char *doc;
} ZmParam;

struct ZmRoute {
  guint methods;    /* one of ZmMethod; HEAD is answered by GET's */
  const char *path; /* "/v1/queues/{queue}/{id}"; "{key*}" takes the rest of the raw target */
  ZmHandler handle;
  guint roles;           /* one of these is needed; 0: anybody */
  guint flags;           /* ZM_ROUTE_* */
  gsize body_most;       /* bytes; 0: it takes no body; over it: 413 */
  const char *id;        /* operationId */
  const char *doc;       /* one line */
  const char *answers;   /* "201 Created;204 It was there;404 …" */
  const ZmParam *params; /* of the query; or NULL */
};

enum {
  ZM_ROUTE_ZAQAR =
      1, /* Zaqar's common rules: Client-ID, X-Project-ID, Accept, errors as {"title", "description"} */
  ZM_ROUTE_STREAM = 2,  /* may last: counted against the cap of streams */
  ZM_ROUTE_BROWSER = 4, /* may be asked for by a page of ours */
  ZM_ROUTE_OPEN = 8     /* without a token */
};

/* The tables: v1.c, zaqar-*.c, observe.c; each ends with path NULL. */
extern const ZmRoute zm_routes_v1[];
extern const ZmRoute zm_routes_zaqar[];
extern const ZmRoute zm_routes_observe[];

/* ---- what a handler reaches ---- */

/* Queues, store, log, metrics and the runtime's functions. Its config is that of the start: see zm_request_config. */
const ZmHttpHost *zm_http_host (ZmHttp *http);
/* The configuration of the moment when the request came. Borrowed, valid as long as the request. */
ZmConfig *zm_request_config (ZmRequest *request);
/* May it send this action key (patterns of its token)? */
gboolean zm_request_may_send (ZmRequest *request, const ZmKey *key);
/* For handlers where several may answer (a deadline and a result): who holds a reference may answer, and every answer but the first is
 * ignored. The handler's own reference ends with the first answer. */
ZmRequest *zm_request_ref (ZmRequest *request);
void zm_request_unref (ZmRequest *request);

/* ---- zaqar-rules.c: asked by the server for routes with ZM_ROUTE_ZAQAR ---- */

/* Is there a URL-Signature that verifies? It takes the place of a token, and sets the project. FALSE where there is none, or a
 * wrong one (which admit answers). Before admit. */
gboolean zm_zaqar_signed (ZmRequest *request);
/* The common rules, in their order: signed URL, content type, Accept, Client-ID, project, queue name. Sets client and project. FALSE: it has
 * answered. Before the body is read. */
gboolean zm_zaqar_admit (ZmRequest *request);
/* GET / where the page is not asked for: 300 with the list of versions. */
void zm_zaqar_versions (ZmRequest *request);

/* ---- what came: in a handler ---- */

/* A header; NULL: not there. Borrowed. */
const char *zm_request_header (ZmRequest *request, const char *name);
/* A query parameter, decoded; the first of that name; NULL: not there. Borrowed. */
const char *zm_request_query (ZmRequest *request, const char *name);
/* All of that name, raw values cut at literal commas and then decoded ("%2C" is no separator): GPtrArray of char*, owned by the request. */
const GPtrArray *zm_request_query_list (ZmRequest *request, const char *name);
/* Names of all query parameters, in order, without repetition: NULL-terminated, owned by the request. */
const char *const *zm_request_query_names (ZmRequest *request);

/* ---- answers: any thread; the first one ends the request, which is not touched afterwards ---- */

/* Adds a header to the answer that follows. Control bytes in value: left out. */
void zm_request_add_header (ZmRequest *request, const char *name, const char *value);
/* body may be NULL where size is 0; copied. content_type NULL: none. */
void
zm_request_answer (ZmRequest *request, guint status, const char *content_type, const void *body, gsize size);
void zm_request_answer_json (ZmRequest *request, guint status, const char *json);
void zm_request_answer_take (ZmRequest *request, guint status, const char *content_type, GString *body);
/* An error: {"title","description"} on Zaqar's routes, where code is the title, {"code","text","member"} on others. code NULL: the standard one
 * of that status. member: which member, parameter or header is wrong, or NULL; not on Zaqar's routes. */
void zm_request_fail (ZmRequest *request, guint status, const char *code, const char *member,
                      const char *format, ...) G_GNUC_PRINTF (5, 6);
/* The same of an error of a room: NOT_FOUND 404, INVALID 400, REFUSED 403, EXISTS 409, LIMIT 507 or 503, UNAVAILABLE 503 with Retry-After. */
void zm_request_fail_error (ZmRequest *request, const GError *error);
/* Has the client gone, or the server ended it (deadline, shutdown)? Then the answer goes nowhere, but still must be given. */
gboolean zm_request_over (ZmRequest *request);
/* Calls gone (data) once where the client goes or the daemon ends before the answer; not from within the caller's locks. */
void zm_request_on_gone (ZmRequest *request, void (*gone) (ZmRequest *request));
/* Answers by itself with this function at due_us (monotonic), if nobody has: for long polls. */
void zm_request_deadline (ZmRequest *request, gint64 due_us, void (*over) (ZmRequest *request));

/* ---- event streams (ZM_ROUTE_STREAM) ---- */
typedef struct ZmEventStream ZmEventStream;
/* Answers 200 text/event-stream; the request goes on until it is closed. gone (user) is called once when it ends. */
ZmEventStream *zm_event_stream_new (ZmRequest *request, void (*gone) (gpointer user), gpointer user);
/* Any thread. FALSE: its buffer (1 MiB) is full: counted, the event is left out and the reader told how many. */
gboolean zm_event_stream_send (ZmEventStream *stream, const char *id, const char *event, ZmSpan data);
void zm_event_stream_unref (ZmEventStream *stream);

G_END_DECLS
