/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The call socket: requests with a number of their own, so that a reply that comes too late is recognised and dropped. */
#include "config.h"

#include "client/client-private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The daemon's own deadline comes first, so that its answer is what the caller sees. */
#define GRACE_MS     250
#define REPLY_FRAMES 4

/* headers with the timeout in front. */
static void
append_headers (zmc_buffer *out, const char *headers, int timeout_ms)
{
  char first[40];
  const char *rest = headers != NULL ? strchr (headers, '{') : NULL;
  snprintf (first, sizeof first, "{\"timeout\":%d", timeout_ms);
  zmc_append_text (out, first);
  if (rest == NULL) {
    zmc_append_text (out, "}");
    return;
  }
  rest += 1 + strspn (rest + 1, " \t\r\n");
  if (*rest != '}')
    zmc_append_text (out, ",");
  zmc_append_text (out, rest);
}

/* A signal may interrupt a blocking send; the part is then sent anew, and no frame is lost. */
static int
send_part (zm_client *client, const void *data, size_t size, int more)
{
  int rc;
  do
    rc = zmq_send (client->call, data, size, more ? ZMQ_SNDMORE : 0);
  while (rc < 0 && errno == EINTR);
  return rc;
}

/* topic NULL: the body is the only frame behind the verb. */
static int
send_request (zm_client *client, const char *verb, const char *topic, const char *headers, const void *body,
              size_t size)
{
  uint64_t id = ++client->request;
  if (client->call == NULL)
    return zmc_fail (client, ZM_CLIENT_E_UNREACHABLE, "this client has no call endpoint");
  if (send_part (client, &id, sizeof id, 1) >= 0 && send_part (client, verb, strlen (verb), 1) >= 0 &&
      (topic == NULL || send_part (client, topic, strlen (topic), 1) >= 0) &&
      (headers == NULL || send_part (client, headers, strlen (headers), 1) >= 0) &&
      send_part (client, body, size, 0) >= 0)
    return ZM_CLIENT_OK;
  if (errno == EAGAIN)
    return zmc_fail (client, ZM_CLIENT_E_TIMEOUT, "not sent in time: no daemon at the call endpoint");
  return zmc_fail (client, ZM_CLIENT_E_UNREACHABLE, "not sent: %s", zmq_strerror (errno));
}

/* Receives one reply's frames; further ones are dropped. The number of frames, or -1. */
static int
receive_frames (void *socket, zmq_msg_t frames[REPLY_FRAMES])
{
  int n = 0, more;
  do {
    zmq_msg_t scrap;
    zmq_msg_t *frame = n < REPLY_FRAMES ? &frames[n] : &scrap;
    if (frame == &scrap)
      zmq_msg_init (&scrap);
    int rc = zmq_msg_recv (frame, socket, ZMQ_DONTWAIT);
    more = rc >= 0 && zmq_msg_more (frame);
    if (frame == &scrap)
      zmq_msg_close (&scrap);
    if (rc < 0)
      return n > 0 ? n : -1;
    n++;
  } while (more);
  return n;
}

/* With a NUL, so that callers in C can print it. NULL: no memory. */
static char *
frame_text (zmq_msg_t *frame)
{
  size_t size = zmq_msg_size (frame);
  char *text = malloc (size + 1);
  if (text == NULL)
    return NULL;
  memcpy (text, zmq_msg_data (frame), size);
  text[size] = '\0';
  return text;
}

/* The reply to request number `id`, if these frames are one. */
static int
read_reply (zmq_msg_t frames[REPLY_FRAMES], int n, uint64_t id, zm_client_reply *reply)
{
  size_t status = n == REPLY_FRAMES ? zmq_msg_size (&frames[1]) : 0;
  if (status == 0 || status >= sizeof reply->status || zmq_msg_size (&frames[0]) != sizeof id ||
      memcmp (zmq_msg_data (&frames[0]), &id, sizeof id) != 0)
    return 0;
  memcpy (reply->status, zmq_msg_data (&frames[1]), status);
  reply->status[status] = '\0';
  reply->headers = frame_text (&frames[2]);
  reply->body = frame_text (&frames[3]);
  reply->body_size = zmq_msg_size (&frames[3]);
  return 1;
}

/* Replies with another number are of requests that were given up: read and dropped. */
static int
wait_reply (zm_client *client, int timeout_ms, zm_client_reply *reply)
{
  int64_t end_us = zmc_now_us () + ((int64_t) timeout_ms + GRACE_MS) * 1000;
  zmq_msg_t frames[REPLY_FRAMES];
  int found = 0;
  for (int i = 0; i < REPLY_FRAMES; i++)
    zmq_msg_init (&frames[i]);
  for (int64_t left_us; !found && (left_us = end_us - zmc_now_us ()) > 0;) {
    zmq_pollitem_t item = { client->call, 0, ZMQ_POLLIN, 0 };
    zmq_poll (&item, 1, (long) (left_us / 1000 + 1));
    int n = receive_frames (client->call, frames);
    found = n > 0 && read_reply (frames, n, client->request, reply);
  }
  for (int i = 0; i < REPLY_FRAMES; i++)
    zmq_msg_close (&frames[i]);
  return found ? ZM_CLIENT_OK : zmc_fail (client, ZM_CLIENT_E_TIMEOUT, "no answer within %d ms", timeout_ms);
}

/* What a reply's status means; the error text is that of its JSON. */
static int
judge (zm_client *client, const zm_client_reply *reply)
{
  if (reply->headers == NULL || reply->body == NULL)
    return zmc_fail (client, ZM_CLIENT_E_MEMORY, "no memory");
  int busy = strcmp (reply->status, "BUSY") == 0;
  if (!busy && strcmp (reply->status, "ERROR") != 0)
    return ZM_CLIENT_OK;
  char *text = zmc_json_text (reply->body, "text"), *code = zmc_json_text (reply->body, "code");
  int rc = zmc_fail (client, busy ? ZM_CLIENT_E_BUSY : ZM_CLIENT_E_FAILED, "%s: %s",
                     code != NULL ? code : reply->status, text != NULL ? text : "");
  free (text);
  free (code);
  return rc;
}

/* A reply is given also where its status is an error: the caller may want the whole JSON. */
int
zmc_request (zm_client *client, const char *verb, const char *topic, const char *headers, const void *body,
             size_t size, int timeout_ms, zm_client_reply *reply)
{
  zmc_buffer with = { 0 };
  int rc = ZM_CLIENT_OK;
  memset (reply, 0, sizeof *reply);
  if (timeout_ms < 1)
    return zmc_fail (client, ZM_CLIENT_E_INVALID, "timeout %d: not 1 or more milliseconds", timeout_ms);
  if (topic != NULL)
    append_headers (&with, headers, timeout_ms);
  if (with.failed)
    rc = zmc_fail (client, ZM_CLIENT_E_MEMORY, "no memory");
  if (rc == ZM_CLIENT_OK)
    rc = send_request (client, verb, topic, with.data, body, size);
  zmc_buffer_clear (&with);
  if (rc == ZM_CLIENT_OK)
    rc = wait_reply (client, timeout_ms, reply);
  return rc == ZM_CLIENT_OK ? judge (client, reply) : rc;
}

/* A reply that nobody waits for. Heartbeats alone are told, so an error "not-found" means that the daemon does not know this
 * service: it was started anew, or had no room for a silent one. */
static void
look_at_reply (zm_client *client, zmq_msg_t frames[REPLY_FRAMES], int n)
{
  if (n != REPLY_FRAMES || zmq_msg_size (&frames[1]) != 5 ||
      memcmp (zmq_msg_data (&frames[1]), "ERROR", 5) != 0)
    return;
  char *body = frame_text (&frames[3]);
  char *code = body != NULL ? zmc_json_text (body, "code") : NULL;
  if (code != NULL && strcmp (code, "not-found") == 0)
    client->forgotten = 1;
  free (code);
  free (body);
}

/* For heartbeats, which must never make a service wait. */
int
zmc_tell (zm_client *client, const char *verb, const void *body, size_t size)
{
  zmq_msg_t frames[REPLY_FRAMES];
  /* The replies to what was told before are read here, so that they do not pile up. */
  for (int i = 0; i < REPLY_FRAMES; i++)
    zmq_msg_init (&frames[i]);
  for (int n; client->call != NULL && (n = receive_frames (client->call, frames)) > 0;)
    look_at_reply (client, frames, n);
  for (int i = 0; i < REPLY_FRAMES; i++)
    zmq_msg_close (&frames[i]);
  return send_request (client, verb, NULL, NULL, body, size);
}

/* What was queued before is sent before, so that the order of the calls is the order on the wire. */
static int
request_key (zm_client *client, const char *verb, const char *key, const char *headers, const void *body,
             size_t size, int timeout_ms, zm_client_reply *reply)
{
  zmc_buffer topic = { 0 };
  memset (reply, 0, sizeof *reply);
  int rc = client->batch_parts > 0 ? zm_client_flush (client) : ZM_CLIENT_OK;
  if (rc >= 0)
    rc = zmc_append_topic (client, &topic, NULL, key, 0);
  if (rc == ZM_CLIENT_OK)
    rc = zmc_request (client, verb, topic.data, headers, body, size, timeout_ms, reply);
  zmc_buffer_clear (&topic);
  return rc;
}

int
zm_client_call (zm_client *client, const char *key, const char *headers, const void *body, size_t size,
                int timeout_ms, zm_client_reply *reply)
{
  return request_key (client, "CALL", key, headers, body, size, timeout_ms, reply);
}

int
zm_client_send_durable (zm_client *client, const char *key, const char *headers, const void *body,
                        size_t size, int timeout_ms, zm_client_reply *reply)
{
  return request_key (client, "SEND", key, headers, body, size, timeout_ms, reply);
}

/* All zero again, so that clearing twice is harmless. */
void
zm_client_reply_clear (zm_client_reply *reply)
{
  free (reply->headers);
  free (reply->body);
  memset (reply, 0, sizeof *reply);
}
