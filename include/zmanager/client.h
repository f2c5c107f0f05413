/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * zmanager/client.h: services in C. Plain C types; link with -lzmanager-client (pkg-config zmanager-client).
 *
 *   zm_client *client = zm_client_open ("/path/of/the/instance");
 *   zm_client_send (client, "?Hello?Greet", NULL, "world", 5);
 *   zm_client_close (client);
 *
 * Everything that it does is the wire of zmanager-wire(7): it is a convenience, never a must.
 *
 * Threads: a client belongs to one thread at a time. Two threads take two clients.
 *
 * Results: 0 (ZM_CLIENT_OK) or a positive number is success; a negative one is refusal, and zm_client_error says what,
 * where and why. Text is UTF-8. Sizes are bytes, times milliseconds.
 */
#ifndef ZMANAGER_CLIENT_H
#define ZMANAGER_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef ZM_CLIENT_API
#define ZM_CLIENT_API __attribute__ ((visibility ("default")))
#endif

typedef struct zm_client zm_client;

enum {
  ZM_CLIENT_OK = 0,
  ZM_CLIENT_E_INVALID = -1,     /* an argument is wrong: a key, headers, a size */
  ZM_CLIENT_E_BUSY = -2,        /* the daemon has too much to do; again later */
  ZM_CLIENT_E_TIMEOUT = -3,     /* nothing came, or nothing could go, in time */
  ZM_CLIENT_E_UNREACHABLE = -4, /* no such endpoint, or the system said no */
  ZM_CLIENT_E_FAILED = -5,      /* the daemon answered ERROR; a reply's body says why, as JSON */
  ZM_CLIENT_E_MEMORY = -6,      /* no memory */
  ZM_CLIENT_E_STOPPED = -7      /* zm_client_receive: the operator asked this service to end */
};

/* ---- opening -------------------------------------------------------------------------------------------------------- */

/* Connects to the daemon of an instance directory; NULL: $ZM_DIR, else the system's own daemon. Connecting needs no daemon
 * yet: it is retried for ever. NULL where there is no memory or a path is no endpoint. */
ZM_CLIENT_API zm_client *zm_client_open (const char *directory);
/* The same by endpoints; NULL for each that is not needed. */
ZM_CLIENT_API zm_client *zm_client_open_endpoints (const char *subject, const char *call, const char *topics);
/* A worker process of [worker NAME]: receives from $ZM_WORKER_CONNECT and sends to $ZM_SUBJECT. NULL where they are not
 * set. */
ZM_CLIENT_API zm_client *zm_client_open_worker (void);
/* Sends what is queued and closes; what cannot be sent within a second is lost. NULL is allowed. */
ZM_CLIENT_API void zm_client_close (zm_client *client);
/* The text of the last refusal; "" where there was none. Valid until the next function. */
ZM_CLIENT_API const char *zm_client_error (const zm_client *client);
/* How long sending waits at the high-water mark, or for a daemon; -1: for ever. 5,000 at first. */
ZM_CLIENT_API int zm_client_set_send_timeout (zm_client *client, int milliseconds);

/* ---- sending -------------------------------------------------------------------------------------------------------- */

/* Sends a message under a key "Sender?Context@Decorator?Action". headers: one JSON object as text, or NULL. body is
 * copied. Accepted means queued in memory; back-pressure comes as waiting, then ZM_CLIENT_E_TIMEOUT. A body, or headers, of
 * more bytes than the daemon's [subject] max-message (16 MiB at first) are lost without a word, with what was queued behind
 * them: libzmq at the daemon's side ends the connection. `zmanagerctl --json status` tells the limit. */
ZM_CLIENT_API int zm_client_send (zm_client *client, const char *key, const char *headers, const void *body, size_t size);
/* The same with a flow and an id, each may be NULL. The key has no decorator of its own then. */
ZM_CLIENT_API int zm_client_send_to (zm_client *client, const char *flow, const char *key, const char *id,
                                     const char *headers, const void *body, size_t size);
/* Puts a message into a batch envelope, which goes when it is full (1,024 messages or 256 KiB), by zm_client_flush, or
 * before the next message that is sent in another way, so that the order stays. */
ZM_CLIENT_API int zm_client_queue (zm_client *client, const char *key, const char *headers, const void *body, size_t size);
/* Sends the envelope. How many messages were in it, or negative. */
ZM_CLIENT_API int zm_client_flush (zm_client *client);

/* ---- calling -------------------------------------------------------------------------------------------------------- */

/* An answer; free its memory with zm_client_reply_clear. */
typedef struct zm_client_reply {
  char status[12];     /* OK, ERROR, BUSY, ACCEPTED, DUPLICATE */
  char *headers;       /* JSON text, NUL-terminated; "" without any */
  char *body;          /* followed by a NUL that body_size does not count */
  size_t body_size;
} zm_client_reply;

/* Calls and waits for the one answer. ZM_CLIENT_OK: status OK. ZM_CLIENT_E_FAILED and ZM_CLIENT_E_BUSY: reply is filled
 * too. The daemon is told the timeout, so that it gives up at the same time. A body of more bytes than the daemon's [call]
 * max-message ends in ZM_CLIENT_E_TIMEOUT. */
ZM_CLIENT_API int zm_client_call (zm_client *client, const char *key, const char *headers, const void *body, size_t size,
                                  int timeout_ms, zm_client_reply *reply);
/* Sends durably: ZM_CLIENT_OK after the daemon's store has it (ACCEPTED or DUPLICATE). */
ZM_CLIENT_API int zm_client_send_durable (zm_client *client, const char *key, const char *headers, const void *body,
                                          size_t size, int timeout_ms, zm_client_reply *reply);
ZM_CLIENT_API void zm_client_reply_clear (zm_client_reply *reply);

/* ---- receiving ------------------------------------------------------------------------------------------------------ */

/* A received message. All text is NUL-terminated; free the whole with zm_client_message_free. */
typedef struct zm_client_message {
  const char *topic; /* flow~decorator~sender~context~action~id */
  const char *flow;
  const char *decorator;
  const char *sender;
  const char *context;
  const char *action;
  const char *id;
  const char *headers; /* JSON text, "" without any */
  const void *body;    /* followed by a NUL that body_size does not count */
  size_t body_size;
  int64_t received_us; /* CLOCK_MONOTONIC */
} zm_client_message;

/* Subscribes topics of a flow (NULL or "": outside flows) and a key; parts that are empty at the end match anything. For
 * "this key in whatever flow" register with zm_client_hello. */
ZM_CLIENT_API int zm_client_subscribe (zm_client *client, const char *flow, const char *key);
ZM_CLIENT_API int zm_client_unsubscribe (zm_client *client, const char *flow, const char *key);
/* The next message. ZM_CLIENT_OK with *message set; ZM_CLIENT_E_TIMEOUT after timeout_ms (-1: never);
 * ZM_CLIENT_E_STOPPED. Registered services are kept alive in here: heartbeats are sent, commands answered and changed
 * topics subscribed, so call it often enough. Splits batch envelopes. */
ZM_CLIENT_API int zm_client_receive (zm_client *client, int timeout_ms, zm_client_message **message);
ZM_CLIENT_API void zm_client_message_free (zm_client_message *message);
/* Answers a step that was handed over (or that a worker was given): the step's key, undecorated, with its flow and id. */
ZM_CLIENT_API int zm_client_answer (zm_client *client, const zm_client_message *message, const char *headers,
                                    const void *body, size_t size);

/* ---- services ------------------------------------------------------------------------------------------------------- */

/* Registers a service and subscribes what its key patterns mean (empty part: any; NULL-terminated list). Returns when the
 * subscriptions are active, so that nothing is missed. heartbeat_ms 0: none. */
ZM_CLIENT_API int zm_client_hello (zm_client *client, const char *name, const char *version, const char *const *patterns,
                                   int heartbeat_ms, int timeout_ms);
/* Says how the service is: "RUNNING", "DEGRADED", "STOPPED"; also goes with the heartbeats from now on. */
ZM_CLIENT_API int zm_client_heartbeat (zm_client *client, const char *state);
/* Counts one failure of the service, for the error ratio that the daemon shows. */
ZM_CLIENT_API void zm_client_count_error (zm_client *client);
/* Is told of each command (get_health, stop_service, get_topics, add_topic, remove_topic, changed_topics) inside
 * zm_client_receive, after it was done; argument: JSON text. At most one function; NULL: none. */
typedef void (*zm_client_command_fn) (void *user, const char *command, const char *argument);
ZM_CLIENT_API void zm_client_on_command (zm_client *client, zm_client_command_fn func, void *user);

#ifdef __cplusplus
}
#endif

#endif
