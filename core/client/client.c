/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opening and closing a client, and its error text. */
#include "config.h"

#include "client/client-private.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <time.h>

#define HIGH_WATER      10000
#define LINGER_MS       1000
#define SEND_TIMEOUT_MS 5000

/* Sets the text that zm_client_error gives, and gives the code, so that a failure is one line where it is found. */
int
zmc_fail (zm_client *client, int code, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  vsnprintf (client->error, sizeof client->error, format, args);
  va_end (args);
  return code;
}

/* Monotonic: deadlines do not care what an operator does to the clock. */
int64_t
zmc_now_us (void)
{
  struct timespec now;
  clock_gettime (CLOCK_MONOTONIC, &now);
  return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Options that a libzmq may not know fail harmlessly. */
static int
set_int (void *socket, int option, int value)
{
  return zmq_setsockopt (socket, option, &value, sizeof value);
}

/* NULL endpoint: no socket, and that is no failure. */
static int
open_socket (zm_client *client, void **place, int type, const char *endpoint)
{
  if (endpoint == NULL)
    return 0;
  *place = zmq_socket (client->zmq, type);
  if (*place == NULL)
    return -1;
  set_int (*place, ZMQ_SNDHWM, HIGH_WATER);
  set_int (*place, ZMQ_RCVHWM, HIGH_WATER);
  set_int (*place, ZMQ_LINGER, LINGER_MS);
  set_int (*place, ZMQ_RECONNECT_IVL_MAX, 1000);
  /* Nothing is queued for a daemon that was never there: sending waits, and then says so. */
  if (type == ZMQ_PUSH || type == ZMQ_DEALER) {
    set_int (*place, ZMQ_IMMEDIATE, 1);
    set_int (*place, ZMQ_SNDTIMEO, SEND_TIMEOUT_MS);
  }
  return zmq_connect (*place, endpoint);
}

/* The number is no secret: it only keeps the nonces of clients apart. */
static zm_client *
client_new (void)
{
  struct timespec now;
  zm_client *client = calloc (1, sizeof *client);
  if (client == NULL)
    return NULL;
  client->zmq = zmq_ctx_new ();
  clock_gettime (CLOCK_REALTIME, &now);
  client->random = (uint32_t) now.tv_nsec ^ (uint32_t) now.tv_sec << 12 ^ (uint32_t) (uintptr_t) client;
  if (client->zmq != NULL)
    return client;
  free (client);
  return NULL;
}

/* Opens all or nothing; errno stays that of the socket which failed. */
zm_client *
zm_client_open_endpoints (const char *subject, const char *call, const char *topics)
{
  zm_client *client = client_new ();
  if (client != NULL && (open_socket (client, &client->push, ZMQ_PUSH, subject) != 0 ||
                         open_socket (client, &client->call, ZMQ_DEALER, call) != 0 ||
                         open_socket (client, &client->input, ZMQ_SUB, topics) != 0)) {
    int reason = errno;
    zm_client_close (client);
    errno = reason;
    return NULL;
  }
  return client;
}

/* ipc://RUN/NAME. Where the path is too long for a socket, RUN is a link to a shorter place, which is taken instead. */
static char *
endpoint (const char *run, const char *name)
{
  char *text = NULL;
  size_t most = sizeof ((struct sockaddr_un *) NULL)->sun_path - 1;
  char *real = strlen (run) + 1 + strlen (name) > most ? realpath (run, NULL) : NULL;
  if (asprintf (&text, "ipc://%s/%s", real != NULL ? real : run, name) < 0)
    text = NULL;
  free (real);
  return text;
}

static zm_client *
open_run (const char *run)
{
  char *subject = endpoint (run, "subject"), *call = endpoint (run, "call"),
       *topics = endpoint (run, "topics");
  zm_client *client = NULL;
  if (subject != NULL && call != NULL && topics != NULL)
    client = zm_client_open_endpoints (subject, call, topics);
  free (subject);
  free (call);
  free (topics);
  return client;
}

zm_client *
zm_client_open (const char *directory)
{
  char *run = NULL;
  if (directory == NULL)
    directory = getenv ("ZM_DIR");
  if (directory == NULL || *directory == '\0')
    return open_run (ZM_RUNDIR);
  if (asprintf (&run, "%s/run", directory) < 0)
    return NULL;
  zm_client *client = open_run (run);
  free (run);
  return client;
}

zm_client *
zm_client_open_worker (void)
{
  const char *work = getenv ("ZM_WORKER_CONNECT"), *subject = getenv ("ZM_SUBJECT"),
             *call = getenv ("ZM_CALL");
  if (work == NULL || subject == NULL)
    return NULL;
  zm_client *client = zm_client_open_endpoints (subject, call, NULL);
  if (client != NULL && open_socket (client, &client->input, ZMQ_PULL, work) != 0) {
    zm_client_close (client);
    return NULL;
  }
  return client;
}

static void
close_socket (void *socket)
{
  if (socket != NULL)
    zmq_close (socket);
}

void
zm_client_close (zm_client *client)
{
  if (client == NULL)
    return;
  if (client->push != NULL && client->batch_parts > 0)
    zm_client_flush (client);
  close_socket (client->push);
  close_socket (client->call);
  close_socket (client->input);
  while (client->first != NULL) {
    zmc_message *next = client->first->next;
    free (client->first);
    client->first = next;
  }
  zmc_buffer_clear (&client->batch);
  zmc_service_clear (client);
  zmq_ctx_term (client->zmq);
  free (client);
}

const char *
zm_client_error (const zm_client *client)
{
  return client != NULL ? client->error : "no client";
}

int
zm_client_set_send_timeout (zm_client *client, int milliseconds)
{
  if (milliseconds < -1)
    return zmc_fail (client, ZM_CLIENT_E_INVALID, "timeout %d: not -1 or more milliseconds", milliseconds);
  if (client->push != NULL)
    set_int (client->push, ZMQ_SNDTIMEO, milliseconds);
  if (client->call != NULL)
    set_int (client->call, ZMQ_SNDTIMEO, milliseconds);
  return ZM_CLIENT_OK;
}
