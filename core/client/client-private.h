/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of libzmanager-client share. Internal names begin with zmc_; only zm_client_ is exported. Plain C and
 * libzmq, so that a service needs nothing else. */
#pragma once

#include "zmanager/client.h"

#include <zmq.h>

#define ZMC_PART_MOST        255
#define ZMC_BATCH_PARTS_MOST 1024
#define ZMC_BATCH_BYTES_MOST (256 * 1024)
#define ZMC_PATTERNS_MOST    64

/* Text that grows. `failed`: memory ran out; all later appends do nothing. */
typedef struct zmc_buffer {
  char *data;
  size_t size, room;
  int failed;
} zmc_buffer;

/* A list of owned texts. */
typedef struct zmc_list {
  char **items;
  size_t n;
} zmc_list;

/* A message with its queue link in front of what the caller sees. */
typedef struct zmc_message zmc_message;
struct zmc_message {
  zm_client_message public_part; /* first: the caller's pointer is this one's */
  zmc_message *next;
  char text[]; /* topic, its parts, headers, body, each with a NUL */
};

struct zm_client {
  void *zmq;                 /* its own context: a client is used by one thread at a time */
  void *push, *call, *input; /* input: SUB, or a worker's PULL; NULL: not connected */
  char error[512];           /* of the last call that failed */
  uint64_t request;          /* number of the last request */
  uint32_t random;           /* keeps the nonces of clients apart */
  zmc_buffer batch;          /* the body of the open envelope */
  unsigned batch_parts;      /* in it; 0: none is open */
  zmc_message *first, *last; /* out of an envelope, not yet given */

  /* Of a registered service. */
  char *name, *version, *state;      /* name NULL: not registered */
  char *patterns[ZMC_PATTERNS_MOST]; /* of keys, as the service asked for them */
  size_t n_patterns;
  zmc_list prefixes;                 /* of topics, as the daemon made them of the patterns: subscribed */
  int heartbeat_ms;                  /* 0: none are sent */
  int64_t next_heartbeat_us;         /* monotonic */
  int forgotten;                     /* a heartbeat was answered not-found: HELLO comes at the next beat */
  uint64_t received, errors;         /* told in heartbeats */
  int64_t busy_us;                   /* from receiving a step to answering it, summed */
  zm_client_command_fn command_func; /* or NULL */
  void *command_user;
};

/* text.c */
void zmc_append (zmc_buffer *buffer, const void *data, size_t size);
void zmc_append_text (zmc_buffer *buffer, const char *text);
void zmc_append_json (zmc_buffer *buffer, const char *text); /* with quotes */
void zmc_append_u32 (zmc_buffer *buffer, uint32_t value);    /* big endian */
void zmc_buffer_clear (zmc_buffer *buffer);
/* "flow~decorator~sender~context~action~" of a key; with as_prefix only up to the last part that is there. */
int
zmc_append_topic (zm_client *client, zmc_buffer *buffer, const char *flow, const char *key, int as_prefix);
/* A top-level string member of a JSON object, unescaped; NULL. The caller frees. */
char *zmc_json_text (const char *json, const char *name);
/* A top-level array of strings. 0 or negative. */
int zmc_json_list (const char *json, const char *name, zmc_list *list);
void zmc_list_clear (zmc_list *list);

/* client.c */
int zmc_fail (zm_client *client, int code, const char *format, ...) __attribute__ ((format (printf, 3, 4)));
int64_t zmc_now_us (void);

/* send.c */
int zmc_send_frames (zm_client *client, const char *topic, size_t topic_size, const char *headers,
                     const void *body, size_t size);

/* call.c: one request and its reply. status of the reply decides the result. extra headers are the caller's. */
int zmc_request (zm_client *client, const char *verb, const char *topic, const char *headers,
                 const void *body, size_t size, int timeout_ms, zm_client_reply *reply);
/* Without waiting for the reply. Replies to what was told before are read; one that says that the service is not known
 * sets `forgotten`. */
int zmc_tell (zm_client *client, const char *verb, const void *body, size_t size);

/* receive.c */
zmc_message *zmc_message_new (const char *topic, size_t topic_size, const char *headers, size_t headers_size,
                              const void *body, size_t size);

/* service.c */
/* Is it a command for this service? Then it was done: 1, or ZM_CLIENT_E_STOPPED. */
int zmc_take_command (zm_client *client, const zm_client_message *message);
void zmc_beat_when_due (zm_client *client);
void zmc_service_clear (zm_client *client);
