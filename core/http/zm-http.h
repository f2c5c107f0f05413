/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * http: the HTTP API, metrics and the live page; libmicrohttpd on its own threads. A module (zm-http.so), which the daemon loads when
 * [http] listen is set, so that nobody pays for it who does not use it. It is linked with its own copy of the rooms that it uses
 * (they have no state outside of their objects), is of the very same build as the daemon, and reaches it by ZmHttpHost alone.
 */
#pragma once

#include "base/zm-log.h"
#include "base/zm-metrics.h"
#include "base/zm-timers.h"
#include "config/zm-config.h"
#include "message/zm-message.h"
#include "queue/zm-queue.h"

G_BEGIN_DECLS

typedef struct ZmHttp ZmHttp;

/* How a message that came by HTTP is to be treated. */
typedef enum {
  ZM_HTTP_CALL,   /* done is told the result or the error */
  ZM_HTTP_PUSH,   /* done is told at once whether it was taken */
  ZM_HTTP_DURABLE /* done is told after the store has it */
} ZmHttpHow;

/* status: ZM_OK, positive: DUPLICATE (durable), ZM_E_AGAIN: busy, ZM_E_UNSUPPORTED: no store, else negative: body is the error's JSON {code, text, …}. Borrowed. */
typedef void (*ZmHttpResult) (int status, ZmSpan body, const char *content_type, ZmSpan id, gpointer user);

/* What the runtime gives. Functions: any thread, never blocking; they work until zm_http_free has returned. */
typedef struct ZmHttpHost {
  guint32 struct_size;
  const char *build; /* ZM_BUILD_ID of the daemon: a module of another build is refused */
  ZmConfig *config;
  ZmQueues *queues; /* NULL: no store */
  ZmStore *store;
  ZmTimers *timers;
  ZmLog *log;
  ZmMetrics *metrics;
  const char *run_dir, *state_dir, *config_dir;
  /* Sends; takes the message. */
  void (*send) (ZmMessage *message, ZmHttpHow how, ZmHttpResult done, gpointer done_user, gpointer user);
  /* Runs a command of the control socket (a JSON object with "command") in the runtime's thread; done is called there. ok: whether reply is its
   * answer, else an error object {code, text}. */
  void (*command) (const char *request, void (*done) (gboolean ok, const char *reply, gpointer done_user),
                   gpointer done_user, gpointer user);
  /* Does it take messages? *degraded: not all of it works; *reasons for either: a JSON array of texts, the caller frees; NULL: none. */
  gboolean (*ready) (gboolean *degraded, char **reasons, gpointer user);
  /* Live tail: func sees each published message whose topic begins with prefix, in the publisher's thread (short, no blocking). 0: too many. */
  guint64 (*tail) (const char *prefix, void (*func) (ZmMessage *message, gpointer func_user),
                   gpointer func_user, gpointer user);
  void (*untail) (guint64 tail, gpointer user); /* when it returns, func does not run any more */
  gpointer user;
} ZmHttpHost;

/* Opens the listening sockets and starts the threads. Errors name the setting. */
ZmHttp *zm_http_new (const ZmHttpHost *host, GError **error);
/* The new configuration: tokens and limits are taken at once; FALSE: what needs a restart (listen, TLS files are read again), error says. */
gboolean zm_http_configure (ZmHttp *http, ZmConfig *config, GError **error);
/* New connections and requests are refused; event streams and long polls end. What has a result to come goes on, until free. */
void zm_http_pause (ZmHttp *http);
void zm_http_free (ZmHttp *http);
/* What is bound, NULL-terminated: "http://127.0.0.1:8888", "unix:/run/…". */
const char *const *zm_http_endpoints (ZmHttp *http);
char *zm_http_status_json (ZmHttp *http); /* connections, requests, by status class; the caller frees */
/* Everything that can be wrong in [http] and [zaqar]; auth = none on anything but loopback and unix sockets is an error. In the daemon, not in the module. */
void zm_http_check (const ZmConfig *config, ZmProblems *problems);

/* The module's only exported symbol. */
typedef struct ZmHttpModule {
  guint32 struct_size;
  const char *build;
  ZmHttp *(*open) (const ZmHttpHost *host, GError **error);
  gboolean (*configure) (ZmHttp *http, ZmConfig *config, GError **error);
  void (*pause) (ZmHttp *http);
  void (*free) (ZmHttp *http);
  const char *const *(*endpoints) (ZmHttp *http);
  char *(*status_json) (ZmHttp *http);
} ZmHttpModule;
#define ZM_HTTP_MODULE_SYMBOL "zm_http_module"

/* Finds and opens the module (module.c, in the daemon): beside the program in a build tree, else where it is installed. It stays in the
 * process. NULL: not there, or of another build; error says what to do. */
const ZmHttpModule *zm_http_module_open (GError **error);
/* ZM_BUILD_ID of this program: a sum over all headers of the rooms and the version, so that two of them that agree have the same structures. */
const char *zm_http_build (void);

G_END_DECLS
