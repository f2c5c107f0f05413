/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sending: two or three frames to the subject socket, and batch envelopes. */
#include "config.h"

#include "client/client-private.h"

#include <errno.h>
#include <string.h>

#define BATCH_TOPIC "^batch~~~~~"

/* A signal may interrupt a blocking send; the part is then sent anew. */
static int
send_part (zm_client *client, const void *data, size_t size, int more)
{
  int rc;
  do
    rc = zmq_send (client->push, data, size, more ? ZMQ_SNDMORE : 0);
  while (rc < 0 && errno == EINTR);
  return rc;
}

/* Only the first part can fail for want of room: libzmq then takes the others of that message. */
int
zmc_send_frames (zm_client *client, const char *topic, size_t topic_size, const char *headers,
                 const void *body, size_t size)
{
  if (client->push == NULL)
    return zmc_fail (client, ZM_CLIENT_E_UNREACHABLE, "this client has no subject endpoint");
  if (send_part (client, topic, topic_size, 1) < 0 ||
      (headers != NULL && *headers != '\0' && send_part (client, headers, strlen (headers), 1) < 0) ||
      send_part (client, body, size, 0) < 0) {
    if (errno == EAGAIN)
      return zmc_fail (client, ZM_CLIENT_E_TIMEOUT,
                       "not sent in time: no daemon at the subject endpoint, or its queues are full");
    return zmc_fail (client, ZM_CLIENT_E_UNREACHABLE, "not sent: %s", zmq_strerror (errno));
  }
  return ZM_CLIENT_OK;
}

int
zm_client_send (zm_client *client, const char *key, const char *headers, const void *body, size_t size)
{
  return zm_client_send_to (client, NULL, key, NULL, headers, body, size);
}

/* The topic's whole text, with the id. */
static int
whole_topic (zm_client *client, zmc_buffer *topic, const char *flow, const char *key, const char *id)
{
  int rc = zmc_append_topic (client, topic, flow, key, 0);
  if (rc != ZM_CLIENT_OK)
    return rc;
  zmc_append_text (topic, id != NULL ? id : "");
  return topic->failed ? zmc_fail (client, ZM_CLIENT_E_MEMORY, "no memory") : ZM_CLIENT_OK;
}

/* An open envelope goes first, so that order is kept. */
int
zm_client_send_to (zm_client *client, const char *flow, const char *key, const char *id, const char *headers,
                   const void *body, size_t size)
{
  zmc_buffer topic = { 0 };
  int rc = client->batch_parts > 0 ? zm_client_flush (client) : ZM_CLIENT_OK;
  if (rc >= 0)
    rc = whole_topic (client, &topic, flow, key, id);
  if (rc == ZM_CLIENT_OK)
    rc = zmc_send_frames (client, topic.data, topic.size, headers, body, size);
  zmc_buffer_clear (&topic);
  return rc;
}

/* Where it fails the envelope stays as it is, for another attempt. */
int
zm_client_flush (zm_client *client)
{
  int parts = (int) client->batch_parts;
  if (parts == 0)
    return 0;
  int rc = zmc_send_frames (client, BATCH_TOPIC, sizeof BATCH_TOPIC - 1, NULL, client->batch.data,
                            client->batch.size);
  if (rc != ZM_CLIENT_OK)
    return rc;
  client->batch.size = 0;
  client->batch_parts = 0;
  return parts;
}

/* Four bytes of length, big endian, then the bytes. */
static void
append_sized (zmc_buffer *buffer, const void *data, size_t size)
{
  zmc_append_u32 (buffer, (uint32_t) size);
  zmc_append (buffer, data, size);
}

/* An envelope goes by itself when it is full; a body larger than one is sent on its own. */
int
zm_client_queue (zm_client *client, const char *key, const char *headers, const void *body, size_t size)
{
  zmc_buffer topic = { 0 };
  if (size > ZMC_BATCH_BYTES_MOST)
    return zm_client_send (client, key, headers, body, size);
  int rc = whole_topic (client, &topic, NULL, key, NULL);
  if (rc == ZM_CLIENT_OK &&
      (client->batch_parts == ZMC_BATCH_PARTS_MOST || client->batch.size + size > ZMC_BATCH_BYTES_MOST)) {
    rc = zm_client_flush (client);
    rc = rc > 0 ? ZM_CLIENT_OK : rc;
  }
  if (rc == ZM_CLIENT_OK) {
    size_t before = client->batch.size;
    append_sized (&client->batch, topic.data, topic.size);
    append_sized (&client->batch, headers != NULL ? headers : "", headers != NULL ? strlen (headers) : 0);
    append_sized (&client->batch, body, size);
    client->batch_parts += !client->batch.failed;
    if (client->batch.failed) {
      /* What was queued before stays whole. */
      client->batch.failed = 0;
      client->batch.size = before;
      rc = zmc_fail (client, ZM_CLIENT_E_MEMORY, "no memory");
    }
  }
  zmc_buffer_clear (&topic);
  return rc;
}
