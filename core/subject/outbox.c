/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Replies on their way from any thread to the Subject's, which alone may touch the sockets. A list with a tail, so that the
 * lock is held for an append or for taking the whole.
 */
#include "config.h"

#include "subject/subject-private.h"

struct ZmOutbox {
  pthread_mutex_t mutex; /* guards what follows; held for a few instructions only */
  ZmReply *first, *last; /* in the order in which they came */
  guint count, most;     /* a bound, should replies come faster than they are sent */
};

ZmOutbox *
zm_outbox_new (guint most)
{
  ZmOutbox *outbox = g_new0 (ZmOutbox, 1);
  pthread_mutex_init (&outbox->mutex, NULL);
  outbox->most = most;
  return outbox;
}

ZmReply *
zm_reply_free (ZmReply *reply)
{
  ZmReply *next = reply->next;
  zmq_msg_close (&reply->headers);
  zmq_msg_close (&reply->body);
  g_free (reply);
  return next;
}

void
zm_outbox_free (ZmOutbox *outbox)
{
  if (outbox == NULL)
    return;
  for (ZmReply *reply = outbox->first; reply != NULL;)
    reply = zm_reply_free (reply);
  pthread_mutex_destroy (&outbox->mutex);
  g_free (outbox);
}

/* The result's frames are shared here, in the thread that has the message: libzmq marks a frame as shared without a lock,
 * so it must not happen later beside a publication of the same one. */
static ZmReply *
reply_new (guint64 ticket, int status, const ZmMessage *result)
{
  ZmMessage *from = (ZmMessage *) result;
  ZmReply *reply = g_new0 (ZmReply, 1);
  reply->ticket = ticket;
  reply->status = status;
  reply->has_result = from != NULL;
  zmq_msg_init (&reply->headers);
  zmq_msg_init (&reply->body);
  if (from != NULL && from->has_headers)
    zmq_msg_copy (&reply->headers, &from->headers_frame);
  if (from != NULL)
    zmq_msg_copy (&reply->body, &from->body_frame);
  return reply;
}

/* Memory is allocated before the lock. Full means that more replies came than callers can wait: each ticket has one
 * reply, so those on top are stale, and losing them costs nobody an answer. */
gboolean
zm_outbox_put (ZmOutbox *outbox, guint64 ticket, int status, const ZmMessage *result)
{
  ZmReply *reply = reply_new (ticket, status, result);
  pthread_mutex_lock (&outbox->mutex);
  gboolean room = outbox->count < outbox->most;
  if (room) {
    if (outbox->last != NULL)
      outbox->last->next = reply;
    else
      outbox->first = reply;
    outbox->last = reply;
    outbox->count++;
  }
  pthread_mutex_unlock (&outbox->mutex);
  if (!room)
    zm_reply_free (reply);
  return room;
}

/* The whole list changes hands under the lock; it is worked off without it. */
ZmReply *
zm_outbox_take (ZmOutbox *outbox)
{
  pthread_mutex_lock (&outbox->mutex);
  ZmReply *all = outbox->first;
  outbox->first = outbox->last = NULL;
  outbox->count = 0;
  pthread_mutex_unlock (&outbox->mutex);
  return all;
}

gboolean
zm_outbox_empty (ZmOutbox *outbox)
{
  pthread_mutex_lock (&outbox->mutex);
  gboolean empty = outbox->first == NULL;
  pthread_mutex_unlock (&outbox->mutex);
  return empty;
}
