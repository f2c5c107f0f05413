/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * zmanager/plugin.h: everything a plugin needs, and nothing to link with.
 *
 *   #include <zmanager/plugin.h>
 *
 *   ZM_ACTION (greet)
 *   {
 *     return zm_reply_text (call, "hello");
 *   }
 *
 *   ZM_PLUGIN ("hello", "1.0", "LGPL-2.1-or-later", "Says hello");
 *
 *   cc -shared -fPIC $(pkg-config --cflags zmanager-plugin) hello.c -o hello.so
 *
 * Plain C types only; compiles alone as C99, C11 and C++14. The host hands its services in as a table (zm_host); the inline
 * functions at the end of this file hide that. Three marks are left in the .so: an ELF note per ZM_PLUGIN and ZM_ACTION
 * (read before the library is opened), and the query function zm_plugin_query_1.
 *
 * The bump rule: whatever an existing plugin can see or call never changes within one ZM_ABI_MAJOR; every addition goes to
 * the end of a struct and adds one to ZM_ABI_MINOR.
 *
 * ABI change log
 *   1.0  first version
 *
 * Threads: "worker" below means one of the daemon's worker threads. A SERIAL plugin (the default) has at most one call
 * (action, timer, reload, health) running at a time; a THREADSAFE action may run in several workers at once.
 */
#ifndef ZMANAGER_PLUGIN_H
#define ZMANAGER_PLUGIN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ZM_ABI_MAJOR 1
#define ZM_ABI_MINOR 0

/* Outcomes of an action, and result codes of every function of the host (0 is success, negative is refusal). */
enum {
  ZM_OK = 0,       /* done; what zm_reply* gave is the result, none leaves the body as it is */
  ZM_RETRY = 1,    /* not now: a durable message comes again after its backoff, a volatile one fails */
  ZM_REJECT = 2,   /* never: the message fails; zm_fail says why */
  ZM_DEFERRED = 3, /* zm_call_defer was called; zm_complete follows */
  ZM_E_INVALID = -1,     /* an argument is wrong */
  ZM_E_AGAIN = -2,       /* full at this moment; nothing was taken */
  ZM_E_LATE = -3,        /* the call is over already */
  ZM_E_MEMORY = -4,      /* over a size limit */
  ZM_E_DENIED = -5,      /* reserved or not allowed */
  ZM_E_NOT_FOUND = -6,   /* no such thing */
  ZM_E_UNSUPPORTED = -7, /* this host or this kind of plugin has no such service */
  ZM_E_FAILED = -8,      /* anything else; the log says what */
  ZM_E_TIMEOUT = -9      /* the deadline passed */
};

/* Bytes with a length; data is never NUL-terminated by contract. Empty: size 0, data may be NULL. */
typedef struct zm_str {
  const char *data;
  size_t size;
} zm_str;

typedef struct zm_host zm_host;
typedef struct zm_call zm_call;

/* One deferred call: slot and generation number in 64 bits, so that a stale one is recognised. 0 is none. */
typedef uint64_t zm_ticket;

typedef int (*zm_action_fn) (zm_call *call);
typedef void (*zm_free_fn) (void *data, void *hint);

/* One call of an action. All that it points to is borrowed and const: valid until the action returns, or, where the call
 * was deferred, until it is completed. */
struct zm_call {
  uint32_t struct_size;
  uint32_t flags; /* 0 for now */
  const zm_host *host;
  zm_str flow; /* the topic's parts; flow is empty outside a flow */
  zm_str decorator;
  zm_str sender;
  zm_str context;
  zm_str action;
  zm_str id;      /* the message's id, the same from request to result */
  zm_str headers; /* one JSON object as text, or empty */
  const void *body;
  size_t body_size;
  int64_t deadline_us; /* absolute CLOCK_MONOTONIC, microseconds */
  uint32_t attempt;    /* 1 at the first; counts up when a durable message comes again */
  uint32_t step;       /* index of the flow's step, 0 outside a flow: (id, step) is an idempotency key */
  void *state;         /* what init gave */
  void *worker_state;  /* what worker_start gave for the worker that runs this call, else NULL */
};

/* A message that a plugin sends: for zm_emit and zm_call_action. */
typedef struct zm_event {
  uint32_t struct_size;
  uint32_t flags;
  const char *key;          /* action key text "Sender?Context@Decorator?Action" */
  const char *flow;         /* name of a flow to enter, or NULL */
  const char *id;           /* or NULL: the host makes one */
  const char *headers;      /* one JSON object of strings and numbers, or NULL */
  const void *body;         /* copied before the function returns */
  size_t body_size;
} zm_event;

/* How a deferred call ended: for zm_complete. */
typedef struct zm_outcome {
  uint32_t struct_size;
  int32_t status;           /* ZM_OK, ZM_RETRY or ZM_REJECT */
  const void *body;         /* the result, copied; NULL with size 0: no result (OK leaves the body as it is) */
  size_t body_size;
  const char *content_type; /* or NULL */
  const char *next;         /* next key, or NULL */
  const char *code;         /* error code and text where status is not ZM_OK, or NULL */
  const char *text;
} zm_outcome;

/* Called once, in a worker, when an action called by zm_call_action ended. status: ZM_OK, or negative with the error's
 * JSON text as body. body is borrowed until the function returns. Not called where the daemon ends, or where a call of the
 * SERIAL plugin hangs for good: then its deferred calls fail at their deadline at the latest. */
typedef void (*zm_result_fn) (void *user, int status, const void *body, size_t body_size);

enum { ZM_LOG_ERROR = 3, ZM_LOG_WARNING = 4, ZM_LOG_NOTICE = 5, ZM_LOG_INFO = 6, ZM_LOG_DEBUG = 7 };

enum { ZM_METRIC_COUNTER = 0, ZM_METRIC_GAUGE = 1 };

/*
 * The host's services. A member that is NULL or beyond struct_size is not there (ask with ZM_HAS); protocol plugins get no
 * emit, no call and no timers. Use the inline wrappers below. All may be called from any thread unless said otherwise.
 */
struct zm_host {
  uint32_t struct_size;
  uint32_t abi_minor;
  void *ctx; /* the host's own */

  /* About one call: only from inside the action, in its thread. Strings and bytes are copied. */
  int (*reply) (zm_call *call, const void *data, size_t size, const char *content_type);
  int (*reply_take) (zm_call *call, void *data, size_t size, zm_free_fn free_fn, void *hint, const char *content_type);
  int (*reply_key) (zm_call *call, const char *key);
  int (*next) (zm_call *call, const char *key);
  int (*fail) (zm_call *call, const char *code, const char *text);
  int (*header) (const zm_call *call, const char *name, char *buffer, size_t size);
  int (*cancelled) (const zm_call *call);
  zm_ticket (*defer) (zm_call *call);

  /* Deferred calls. */
  int (*complete) (const zm_host *host, zm_ticket ticket, const zm_outcome *outcome);
  int (*ticket_cancelled) (const zm_host *host, zm_ticket ticket);

  /* Services. */
  void (*log) (const zm_host *host, int level, const char *text);
  const char *(*config) (const zm_host *host, const char *key, unsigned index);
  int (*emit) (const zm_host *host, const zm_event *event);
  int (*call_action) (const zm_host *host, const zm_event *event, int timeout_ms, zm_result_fn done, void *user);
  zm_ticket (*timer_start) (const zm_host *host, const char *name, zm_action_fn action, unsigned first_ms, unsigned period_ms);
  int (*timer_stop) (const zm_host *host, zm_ticket timer);
  int (*metric) (const zm_host *host, int kind, const char *name, double value);
  int (*thread_start) (const zm_host *host, const char *name, void (*run) (void *user), void (*wake) (void *user), void *user);
};

/* Does *ptr have this member, and is it not NULL? ptr's first member is struct_size. */
#define ZM_HAS(ptr, field)                                                                                              \
  ((ptr)->struct_size >= offsetof (__typeof__ (*(ptr)), field) + sizeof ((ptr)->field) && (ptr)->field)

/* Flags of an action. */
enum { ZM_ACTION_SERIAL = 0, ZM_ACTION_THREADSAFE_FLAG = 1 };

typedef struct zm_action_desc {
  const char *name; /* the exported symbol; NULL ends the list */
  zm_action_fn fn;
  uint32_t flags;
  const char *doc; /* one line */
} zm_action_desc;

enum { ZM_OPTION_STRING, ZM_OPTION_INTEGER, ZM_OPTION_NUMBER, ZM_OPTION_BOOLEAN, ZM_OPTION_DURATION, ZM_OPTION_SIZE };
enum { ZM_OPTION_REQUIRED = 1, ZM_OPTION_SECRET = 2, ZM_OPTION_LIST = 4 };

/* One key of the plugin's own in [plugin NAME] or [source NAME]. */
typedef struct zm_option_desc {
  const char *name; /* NULL ends the list */
  uint32_t type;
  uint32_t flags;
  const char *standard; /* the value where none is given, or NULL */
  const char *doc;
} zm_option_desc;

/* A plugin that takes messages in. One thread of the host's a [source NAME]: open, run until wake, close. */
typedef struct zm_source_ops {
  uint32_t struct_size;
  uint32_t flags;
  /* host->config reads [source NAME]. Opens without blocking for long. */
  int (*open) (void *state, const zm_host *host, void **source);
  /* Blocks in its own natural loop, emitting, until wake was called. ZM_OK, or negative: opened again after a pause. */
  int (*run) (void *source);
  /* From any thread, at any time between open and close: run returns soon. */
  void (*wake) (void *source);
  void (*close) (void *source);
} zm_source_ops;

/* What came in, for authorise. */
typedef struct zm_request {
  uint32_t struct_size;
  uint32_t flags;
  zm_str peer; /* user id of the connection, or empty */
  zm_str verb; /* "send", "call"; "emit" also for zm_call_action */
  zm_str key;
} zm_request;

/* Event listeners: every hook plugin is asked, in the order of `priority`. All three run in workers, in several at one time,
 * within the soft deadline; one that passes it costs its message the error `timeout`.
 * authorise is asked once for each message that comes in, before anything is done with it. What it refuses ends with the
 * error `denied`, published and given to its caller; zm_emit has returned by then. From inside it, zm_emit and
 * zm_call_action answer ZM_E_DENIED. */
typedef struct zm_hook_ops {
  uint32_t struct_size;
  uint32_t flags;
  int (*before) (void *state, const zm_call *call);             /* ZM_OK, or ZM_REJECT: the call fails as `denied` */
  void (*after) (void *state, const zm_call *call, int status); /* status: what the action returned */
  int (*authorise) (void *state, const zm_request *request);    /* ZM_OK or ZM_E_DENIED */
} zm_hook_ops;

enum {
  ZM_PLUGIN_RESIDENT = 1,  /* cannot be unloaded (GTypes, thread-specific data, C++ unique symbols) */
  ZM_PLUGIN_EXCLUSIVE = 2, /* the old generation stops before the new one starts */
  ZM_PLUGIN_THREADSAFE = 4 /* all of its actions are THREADSAFE */
};

/* The descriptor. Every function may be NULL. Order: init, start, (calls), stop, fini; init and start of one plugin run in
 * one thread; state is what init stored. */
typedef struct zm_plugin_desc {
  uint32_t struct_size;
  uint32_t flags;
  const char *name;
  const char *version;
  const char *licence;
  const char *summary;
  const zm_action_desc *actions;
  const zm_option_desc *options;
  int (*init) (const zm_host *host, void **state); /* memory only: no threads, no network */
  int (*start) (void *state);                      /* may start timers and threads */
  void (*stop) (void *state, unsigned deadline_ms);
  void (*fini) (void *state);
  int (*reload) (void *state);                                /* the configuration changed; negative: keep the old */
  int (*health) (void *state, char *text, size_t size);       /* ZM_OK, or negative with a reason */
  void *(*worker_start) (void *state, unsigned worker_index); /* in the worker, before its first call */
  void (*worker_stop) (void *state, void *worker_state);
  const zm_source_ops *source;
  const zm_hook_ops *hooks;
} zm_plugin_desc;

typedef const zm_plugin_desc *(*zm_plugin_query_fn) (const zm_host *host);
#define ZM_PLUGIN_QUERY_SYMBOL "zm_plugin_query_1"

/* ---- what the macros leave in the library ------------------------------------------------------------------------- */

#ifdef __cplusplus
#define ZM_EXTERN_C extern "C"
#else
#define ZM_EXTERN_C
#endif
#define ZM_EXPORT ZM_EXTERN_C __attribute__ ((visibility ("default")))

/* The host of this .so for code that has no call at hand; set by the query function. */
__attribute__ ((weak, visibility ("hidden"))) const zm_host *zm_plugin_host;

/* ELF notes: owner "zmanager", type 1 (manifest) and 2 (action); the description is {major, minor, text of key=value
 * lines}. */
#define ZM_NOTE_OWNER "zmanager"
#define ZM_NOTE_MANIFEST 1
#define ZM_NOTE_ACTION 2
#define ZM_NOTE_(var, kind, text_)                                                                                      \
  static const struct {                                                                                                 \
    uint32_t namesz, descsz, type;                                                                                      \
    char name[12];                                                                                                      \
    uint32_t major, minor;                                                                                              \
    char text[(sizeof (text_) + 3) & ~(size_t) 3];                                                                      \
  } var __attribute__ ((used, aligned (4), section (".note.zmanager")))                                                 \
  = { 9, 8 + ((sizeof (text_) + 3) & ~(size_t) 3), kind, ZM_NOTE_OWNER, ZM_ABI_MAJOR, ZM_ABI_MINOR, text_ }

#define ZM_ACTION_(symbol, text)                                                                                        \
  ZM_EXPORT int symbol (zm_call *call);                                                                                 \
  ZM_NOTE_ (zm_note_action_##symbol, ZM_NOTE_ACTION, text);                                                             \
  ZM_EXPORT int symbol (__attribute__ ((unused)) zm_call *call)

/* Begins an action: ZM_ACTION (name) { ... return ZM_OK; }. Inside, `call` is the call. */
#define ZM_ACTION(symbol) ZM_ACTION_ (symbol, "action=" #symbol "\n")
/* The same for an action that may run in several workers at once. */
#define ZM_ACTION_THREADSAFE(symbol) ZM_ACTION_ (symbol, "action=" #symbol "\nflags=threadsafe\n")

#define ZM_PLUGIN_TEXT_(name, version, licence, summary, more)                                                          \
  "name=" name "\nversion=" version "\nlicence=" licence "\nsummary=" summary "\n" more

#define ZM_PLUGIN_QUERY_(descriptor)                                                                                    \
  ZM_EXPORT const zm_plugin_desc *zm_plugin_query_1 (const zm_host *host);                                              \
  ZM_EXPORT const zm_plugin_desc *zm_plugin_query_1 (const zm_host *host)                                               \
  {                                                                                                                     \
    zm_plugin_host = host;                                                                                              \
    return descriptor;                                                                                                  \
  }                                                                                                                     \
  struct zm_plugin_end_

/* A plugin that has actions only. Once per .so; ends with a semicolon. */
#define ZM_PLUGIN(name, version, licence, summary)                                                                      \
  ZM_NOTE_ (zm_note_manifest, ZM_NOTE_MANIFEST,                                                                         \
            ZM_PLUGIN_TEXT_ (name, version, licence, summary, "kind=component\n"));                                     \
  static const zm_plugin_desc zm_plugin_descriptor                                                                      \
      = { sizeof (zm_plugin_desc), 0, name, version, licence, summary, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,   \
          NULL, NULL, NULL, NULL };                                                                                     \
  ZM_PLUGIN_QUERY_ (&zm_plugin_descriptor)

/* A plugin with a descriptor of its own. `manifest` is more key=value lines for the note, each ending in \n: kind=,
 * depends=, schemes=, isolation=, actions are added by ZM_ACTION. `descriptor`: pointer to a static zm_plugin_desc. */
#define ZM_PLUGIN_FULL(name, version, licence, summary, manifest, descriptor)                                           \
  ZM_NOTE_ (zm_note_manifest, ZM_NOTE_MANIFEST, ZM_PLUGIN_TEXT_ (name, version, licence, summary, manifest));           \
  ZM_PLUGIN_QUERY_ (descriptor)

/* ---- inside an action --------------------------------------------------------------------------------------------- */

/* The result: size bytes, copied. content_type NULL: application/octet-stream. Replaces an earlier reply. */
static inline int
zm_reply (zm_call *call, const void *data, size_t size, const char *content_type)
{
  return call->host->reply (call, data, size, content_type);
}

/* The result as text, copied. */
static inline int
zm_reply_text (zm_call *call, const char *text)
{
  return call->host->reply (call, text, strlen (text), "text/plain");
}

/* The result as JSON text, copied and not checked unless it is joined. */
static inline int
zm_reply_json (zm_call *call, const char *json)
{
  return call->host->reply (call, json, strlen (json), "application/json");
}

/* The result without a copy: the host calls free_fn (data, hint) once, later, in any thread; also where this fails. Worth
 * it from 64 KiB up (the host copies below that). */
static inline int
zm_reply_take (zm_call *call, void *data, size_t size, zm_free_fn free_fn, void *hint, const char *content_type)
{
  return call->host->reply_take (call, data, size, free_fn, hint, content_type);
}

/* The key under which the result is published where the message is in no flow. */
static inline int
zm_reply_key (zm_call *call, const char *key)
{
  return call->host->reply_key (call, key);
}

/* The host goes on with this key, as part of the same step; unmapped: it is published. */
static inline int
zm_next (zm_call *call, const char *key)
{
  return call->host->next (call, key);
}

/* Error code (a short word) and text; returns ZM_REJECT, so that `return zm_fail (...)` reads well. */
static inline int
zm_fail (zm_call *call, const char *code, const char *text)
{
  call->host->fail (call, code, text);
  return ZM_REJECT;
}

/* Copies header `name` as NUL-terminated text; returns its length (which may be >= size: then cut) or ZM_E_NOT_FOUND. */
static inline int
zm_header (const zm_call *call, const char *name, char *buffer, size_t size)
{
  return call->host->header (call, name, buffer, size);
}

/* Has the caller been given up on (deadline, drain)? Long actions ask now and then and return. */
static inline int
zm_cancelled (const zm_call *call)
{
  return call->host->cancelled (call);
}

/* Says that this call ends later: return ZM_DEFERRED after it, and zm_complete with the ticket once, from any thread. The
 * host keeps the plugin loaded and the call's data valid until then, and ends the call with an error at its deadline. */
static inline zm_ticket
zm_call_defer (zm_call *call)
{
  return call->host->defer (call);
}

/* ---- anywhere ------------------------------------------------------------------------------------------------------ */

/* Ends a deferred call. ZM_E_LATE where it is over already (deadline, completed before). */
static inline int
zm_complete (const zm_host *host, zm_ticket ticket, const zm_outcome *outcome)
{
  return host->complete (host, ticket, outcome);
}

/* zm_complete with a text result. */
static inline int
zm_complete_text (const zm_host *host, zm_ticket ticket, const char *text)
{
  zm_outcome outcome;
  memset (&outcome, 0, sizeof outcome);
  outcome.struct_size = sizeof outcome;
  outcome.status = ZM_OK;
  outcome.body = text;
  outcome.body_size = strlen (text);
  outcome.content_type = "text/plain";
  return host->complete (host, ticket, &outcome);
}

/* Is the deferred call given up on? 1 also for a stale ticket. */
static inline int
zm_ticket_cancelled (const zm_host *host, zm_ticket ticket)
{
  return host->ticket_cancelled (host, ticket);
}

/* One line in the daemon's log, with the plugin's name; level: ZM_LOG_*. Control bytes are escaped. Over 1,000 lines at
 * once and 100 a second the rest is left out, counted, and told. */
static inline void
zm_log (const zm_host *host, int level, const char *text)
{
  host->log (host, level, text);
}

/* A value of the plugin's section, checked against its schema; the index-th of a list; NULL where there is none. Valid
 * until the next reload of the plugin's configuration. */
static inline const char *
zm_config (const zm_host *host, const char *key, unsigned index)
{
  return host->config (host, key, index);
}

/* Sends a message through the Subject. Never blocks: ZM_E_AGAIN at the high-water mark. */
static inline int
zm_emit (const zm_host *host, const zm_event *event)
{
  return ZM_HAS (host, emit) ? host->emit (host, event) : ZM_E_UNSUPPORTED;
}

/* Emits a JSON or text body under a key. */
static inline int
zm_emit_text (const zm_host *host, const char *key, const char *text)
{
  zm_event event;
  memset (&event, 0, sizeof event);
  event.struct_size = sizeof event;
  event.key = key;
  event.body = text;
  event.body_size = strlen (text);
  return zm_emit (host, &event);
}

/* Calls another action without waiting: `done` comes once, in a worker, unless a negative code is returned here. */
static inline int
zm_call_action (const zm_host *host, const zm_event *event, int timeout_ms, zm_result_fn done, void *user)
{
  return ZM_HAS (host, call_action) ? host->call_action (host, event, timeout_ms, done, user) : ZM_E_UNSUPPORTED;
}

/* Runs `action` in a worker after first_ms and then every period_ms (0: once) under the key Timer?PLUGIN?name. Ends by
 * itself when the plugin is stopped. 0 where it cannot be started. */
static inline zm_ticket
zm_timer_start (const zm_host *host, const char *name, zm_action_fn action, unsigned first_ms, unsigned period_ms)
{
  return ZM_HAS (host, timer_start) ? host->timer_start (host, name, action, first_ms, period_ms) : 0;
}

static inline int
zm_timer_stop (const zm_host *host, zm_ticket timer)
{
  return ZM_HAS (host, timer_stop) ? host->timer_stop (host, timer) : ZM_E_UNSUPPORTED;
}

/* Adds to a counter or sets a gauge, shown as zmanager_plugin_NAME. Name: [a-z0-9_]; at most 64 names a plugin. */
static inline int
zm_metric (const zm_host *host, int kind, const char *name, double value)
{
  return host->metric (host, kind, name, value);
}

/* A thread that the host names and knows: run (user) is its body; wake (user) is called at stop and must make run return. */
static inline int
zm_thread_start (const zm_host *host, const char *name, void (*run) (void *user), void (*wake) (void *user), void *user)
{
  return ZM_HAS (host, thread_start) ? host->thread_start (host, name, run, wake, user) : ZM_E_UNSUPPORTED;
}

#ifdef __cplusplus
}
#endif

#endif
