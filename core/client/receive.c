/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Receiving: subscriptions, frames into messages, envelopes into their parts, and answers to steps. */
#include "config.h"

#include "client/client-private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_TOPIC    "^batch~~~~~"
#define N_FIELDS       6
#define MESSAGE_FRAMES 3

/* Appends a NUL-terminated copy at *at and moves it on. */
static const char *
put (char **at, const void *data, size_t size)
{
  char *text = *at;
  if (size > 0)
    memcpy (text, data, size);
  text[size] = '\0';
  *at += size + 1;
  return text;
}

/* One block for the message and its texts, so that one free ends it. A topic with too few parts leaves the last
 * ones empty: the library shows what came, and judges nothing. */
zmc_message *
zmc_message_new (const char *topic, size_t topic_size, const char *headers, size_t headers_size,
                 const void *body, size_t size)
{
  zmc_message *message = calloc (1, sizeof *message + 2 * topic_size + N_FIELDS + headers_size + size + 4);
  if (message == NULL)
    return NULL;
  zm_client_message *shown = &message->public_part;
  const char **fields[N_FIELDS] = { &shown->flow,    &shown->decorator, &shown->sender,
                                    &shown->context, &shown->action,    &shown->id };
  char *at = message->text;
  shown->topic = put (&at, topic, topic_size);
  const char *end = topic + topic_size;
  for (int i = 0; i < N_FIELDS; i++) {
    const char *mark = i + 1 < N_FIELDS && topic < end ? memchr (topic, '~', (size_t) (end - topic)) : NULL;
    size_t part = (size_t) ((mark != NULL ? mark : end) - topic);
    *fields[i] = put (&at, topic, part);
    topic = mark != NULL ? mark + 1 : end;
  }
  shown->headers = put (&at, headers, headers_size);
  shown->body = put (&at, body, size);
  shown->body_size = size;
  shown->received_us = zmc_now_us ();
  return message;
}

/* message NULL (no memory): it is lost, as on a full pipe; the sequence header shows the gap. */
static void
enqueue (zm_client *client, zmc_message *message)
{
  if (message == NULL)
    return;
  if (client->first == NULL)
    client->first = message;
  else
    client->last->next = message;
  client->last = message;
}

/* ---- envelopes ---- */

/* Four bytes of length, big endian, then the bytes. 0: there are not as many. */
static int
take_sized (const char **at, const char *end, const char **data, size_t *size)
{
  if (end - *at < 4)
    return 0;
  const unsigned char *b = (const unsigned char *) *at;
  *size = (size_t) b[0] << 24 | (size_t) b[1] << 16 | (size_t) b[2] << 8 | b[3];
  *data = *at + 4;
  if (*size > (size_t) (end - *data))
    return 0;
  *at = *data + *size;
  return 1;
}

/* A part that is cut off ends the envelope; those before it are good and stay. */
static void
split_batch (zm_client *client, const char *at, size_t size)
{
  const char *end = at + size, *data[3];
  size_t sizes[3];
  for (int n = 0; n < ZMC_BATCH_PARTS_MOST && at < end; n++) {
    for (int i = 0; i < 3; i++)
      if (!take_sized (&at, end, &data[i], &sizes[i]))
        return;
    enqueue (client, zmc_message_new (data[0], sizes[0], data[1], sizes[1], data[2], sizes[2]));
  }
}

/* ---- frames ---- */

/* ZManager's one frame: the body follows the sixth ~. */
static void
split_single (zm_client *client, const char *data, size_t size)
{
  const char *at = data, *end = data + size;
  for (int i = 0; i < N_FIELDS; i++) {
    at = memchr (at, '~', (size_t) (end - at));
    if (at++ == NULL)
      return;
  }
  enqueue (client, zmc_message_new (data, (size_t) (at - 1 - data), "", 0, at, (size_t) (end - at)));
}

/* By the number of frames: the whole form is the sender's choice. */
static void
take_frames (zm_client *client, zmq_msg_t frames[MESSAGE_FRAMES], int n)
{
  const char *topic = zmq_msg_data (&frames[0]);
  size_t size = zmq_msg_size (&frames[0]);
  zmq_msg_t *body = &frames[n - 1];
  if (n == 1)
    split_single (client, topic, size);
  else if (n == 2 && size == sizeof BATCH_TOPIC - 1 && memcmp (topic, BATCH_TOPIC, size) == 0)
    split_batch (client, zmq_msg_data (body), zmq_msg_size (body));
  else if (n <= MESSAGE_FRAMES)
    enqueue (client, zmc_message_new (topic, size, n == 3 ? zmq_msg_data (&frames[1]) : "",
                                      n == 3 ? zmq_msg_size (&frames[1]) : 0, zmq_msg_data (body),
                                      zmq_msg_size (body)));
}

/* Takes what waits at the socket, one multipart. 0: nothing there. */
static int
receive_one (zm_client *client)
{
  zmq_msg_t frames[MESSAGE_FRAMES], scrap;
  int n = 0, more = 1;
  for (int i = 0; i < MESSAGE_FRAMES; i++)
    zmq_msg_init (&frames[i]);
  while (more) {
    zmq_msg_t *frame = n < MESSAGE_FRAMES ? &frames[n] : &scrap;
    if (frame == &scrap)
      zmq_msg_init (&scrap);
    int rc = zmq_msg_recv (frame, client->input, ZMQ_DONTWAIT);
    more = rc >= 0 && zmq_msg_more (frame);
    if (frame == &scrap)
      zmq_msg_close (&scrap);
    if (rc < 0)
      break;
    n++;
  }
  /* More than three frames are none of ours. */
  if (n > 0 && n <= MESSAGE_FRAMES)
    take_frames (client, frames, n);
  for (int i = 0; i < MESSAGE_FRAMES; i++)
    zmq_msg_close (&frames[i]);
  return n > 0;
}

/* Wakes for the next heartbeat too: a service that only waits must not be taken for dead. */
static void
wait_input (zm_client *client, int64_t end_us)
{
  zmq_pollitem_t item = { client->input, 0, ZMQ_POLLIN, 0 };
  int64_t until_us = end_us;
  if (client->heartbeat_ms > 0 && client->next_heartbeat_us < until_us)
    until_us = client->next_heartbeat_us;
  int64_t left_us = until_us - zmc_now_us ();
  zmq_poll (&item, 1, until_us == INT64_MAX ? -1 : left_us <= 0 ? 0 : (long) ((left_us + 999) / 1000));
}

/* The first of the queue that is for the caller; commands are done on the way. NULL with *rc. */
static zmc_message *
next_message (zm_client *client, int *rc)
{
  *rc = ZM_CLIENT_OK;
  while (client->first != NULL && *rc >= 0) {
    zmc_message *message = client->first;
    client->first = message->next;
    message->next = NULL;
    *rc = zmc_take_command (client, &message->public_part);
    if (*rc == 0) {
      client->received++;
      return message;
    }
    free (message);
  }
  return NULL;
}

/* The queue first, then the socket, then sleep: what an envelope brought comes in its order. */
int
zm_client_receive (zm_client *client, int timeout_ms, zm_client_message **message)
{
  int64_t end_us = timeout_ms < 0 ? INT64_MAX : zmc_now_us () + (int64_t) timeout_ms * 1000;
  int rc;
  *message = NULL;
  if (client->input == NULL)
    return zmc_fail (client, ZM_CLIENT_E_UNREACHABLE, "this client has no topics endpoint");
  for (;;) {
    zmc_beat_when_due (client);
    zmc_message *next = next_message (client, &rc);
    if (next != NULL) {
      *message = &next->public_part;
      return ZM_CLIENT_OK;
    }
    if (rc < 0)
      return rc;
    if (receive_one (client))
      continue;
    if (zmc_now_us () >= end_us)
      return zmc_fail (client, ZM_CLIENT_E_TIMEOUT, "nothing came within %d ms", timeout_ms);
    wait_input (client, end_us);
  }
}

void
zm_client_message_free (zm_client_message *message)
{
  free (message);
}

/* ---- subscriptions and answers ---- */

/* Prefixes end in '~' after their last part, so that a key never matches a longer name. */
static int
subscription (zm_client *client, int option, const char *flow, const char *key)
{
  zmc_buffer prefix = { 0 };
  if (client->input == NULL)
    return zmc_fail (client, ZM_CLIENT_E_UNREACHABLE, "this client has no topics endpoint");
  int rc = zmc_append_topic (client, &prefix, flow, key, 1);
  if (rc == ZM_CLIENT_OK && zmq_setsockopt (client->input, option, prefix.data, prefix.size) != 0)
    rc = zmc_fail (client, ZM_CLIENT_E_UNREACHABLE, "not subscribed: %s", zmq_strerror (errno));
  zmc_buffer_clear (&prefix);
  return rc;
}

int
zm_client_subscribe (zm_client *client, const char *flow, const char *key)
{
  return subscription (client, ZMQ_SUBSCRIBE, flow, key);
}

int
zm_client_unsubscribe (zm_client *client, const char *flow, const char *key)
{
  return subscription (client, ZMQ_UNSUBSCRIBE, flow, key);
}

/* Same flow, id and key, undecorated: that is how the daemon finds who waits. */
int
zm_client_answer (zm_client *client, const zm_client_message *message, const char *headers, const void *body,
                  size_t size)
{
  zmc_buffer topic = { 0 };
  const char *const fields[] = { message->flow, "", message->sender, message->context, message->action };
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
    zmc_append_text (&topic, fields[i]);
    zmc_append (&topic, "~", 1);
  }
  zmc_append_text (&topic, message->id);
  int rc = topic.failed ? zmc_fail (client, ZM_CLIENT_E_MEMORY, "no memory") : ZM_CLIENT_OK;
  if (rc == ZM_CLIENT_OK && client->batch_parts > 0)
    rc = zm_client_flush (client);
  if (rc >= 0)
    rc = zmc_send_frames (client, topic.data, topic.size, headers, body, size);
  if (rc == ZM_CLIENT_OK)
    client->busy_us += zmc_now_us () - message->received_us;
  zmc_buffer_clear (&topic);
  return rc;
}
