/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The publisher's thread: takes all that waits in the ring, publishes it, and looks for subscriptions once a batch. While
 * there is work it makes no system call of its own, reads no clock and takes one lock a batch; only with nothing to do it
 * sleeps in zmq_poll on its sockets and the waker.
 */
#include "config.h"

#include "integration/integration-private.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

/* Subscriptions read from one socket at a time, so that a flood of them cannot stop publishing. */
#define LOOK_MOST 1000
/* A last batch of so many shows that there is load. */
#define YIELD_LEAST 4

/* The last reference is ours: the frames are moved into the socket, which saves their reference counting. 0 or -1; where
 * the first frame goes, libzmq takes the others of that message. */
static int
send_moved (void *socket, ZmMessage *message)
{
  if (zmq_msg_send (zm_message_topic_frame (message), socket, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0)
    return -1;
  if (message->has_headers)
    while (zmq_msg_send (&message->headers_frame, socket, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0)
      if (errno != EINTR)
        return -1;
  while (zmq_msg_send (&message->body_frame, socket, ZMQ_DONTWAIT) < 0)
    if (errno != EINTR)
      return -1;
  return 0;
}

/* Moved where nobody else has the message, copied by reference otherwise (several sockets, a tap that kept it, the
 * one-frame form). */
static int
send_once (ZmIntegration *integration, void *socket, ZmMessage *message)
{
  if (integration->form != ZM_FRAMES_SINGLE && __atomic_load_n (&message->refs, __ATOMIC_ACQUIRE) == 1)
    return send_moved (socket, message);
  return zm_wire_send (socket, message, integration->form, ZMQ_DONTWAIT);
}

/* With it a send fails at a full subscriber instead of dropping silently, so that it can be counted. */
static void
set_nodrop (void *socket, int on)
{
  zmq_setsockopt (socket, ZMQ_XPUB_NODROP, &on, sizeof on);
}

/* slow-subscriber = wait: sends again, each time for as long as ZMQ_SNDTIMEO says, until it goes or we are told to end. */
static int
send_waiting (ZmIntegration *integration, void *socket, ZmMessage *message)
{
  while (zm_now_us () < atomic_load (&integration->give_up_us)) {
    if (zm_wire_send (socket, message, integration->form, 0) == 0)
      return 0;
    if (errno != EAGAIN && errno != EINTR)
      return -1;
  }
  errno = EAGAIN;
  return -1;
}

/* libzmq looks at most once a millisecond for what its readers took, so a full pipe may long be empty. Asked for its events
 * it looks at once. */
static int
send_looking (ZmIntegration *integration, void *socket, ZmMessage *message)
{
  int events;
  size_t size = sizeof events;

  zmq_getsockopt (socket, ZMQ_EVENTS, &events, &size);
  return send_once (integration, socket, message);
}

/* A subscriber is at its high-water mark. libzmq sends to all or to none while NODROP is on, so it goes off for this one
 * message: those who are full miss it, the others get it. How many missed how much libzmq does not tell. */
static int
send_stalled (ZmIntegration *integration, void *socket, ZmMessage *message)
{
  zm_counter_add (integration->stalls, 1);
  if (integration->wait_for_slow)
    return send_waiting (integration, socket, message);
  zm_log_limited (
      integration->log, ZM_LEVEL_WARNING, "integration", "slow-subscriber",
      "a subscriber is at its high-water mark and misses publications; raise high-water, or give it a queue");
  set_nodrop (socket, 0);
  int rc = send_once (integration, socket, message);
  set_nodrop (socket, 1);
  return rc;
}

/* Three attempts of growing cost: the common one, one that makes libzmq look at its pipes, one that decides who
 * misses it. */
static void
send_on (ZmIntegration *integration, void *socket, ZmMessage *message)
{
  if (send_once (integration, socket, message) == 0)
    return;
  if (errno == EAGAIN && send_looking (integration, socket, message) == 0)
    return;
  if (errno == EAGAIN && send_stalled (integration, socket, message) == 0)
    return;
  zm_counter_add (errno == EAGAIN ? integration->dropped : integration->failed, 1);
  zm_log_limited (integration->log, ZM_LEVEL_ERROR, "integration", "publish-failed",
                  "a publication was not sent: %s", zmq_strerror (errno));
}

/* Takes the reference. */
static void
publish_one (ZmIntegration *integration, ZmMessage *message)
{
  if (atomic_load_explicit (&integration->n_numbered, memory_order_relaxed) > 0)
    message = zm_publisher_number (integration, message);
  for (guint i = 0; i < integration->n_sockets; i++) {
    /* With a reference more than the last one, frames are shared; the last socket gets them moved. */
    gboolean last = i + 1 == integration->n_sockets;
    if (!last)
      zm_message_ref (message);
    send_on (integration, integration->sockets[i].socket, message);
    if (!last)
      zm_message_unref (message);
  }
  zm_message_unref (message);
}

/* The tap sees all of it before the first is sent: what it keeps is kept before a subscriber acts on it. */
static void
publish_batch (ZmIntegration *integration, ZmMessage **messages, guint n)
{
  if (integration->tap.batch != NULL)
    integration->tap.batch (messages, n, integration->tap.user);
  for (guint i = 0; i < n; i++)
    publish_one (integration, messages[i]);
  zm_counter_add (integration->published, n);
}

/* Under the lock, so that a watcher that was removed is never called again. */
static void
tell_watchers (ZmIntegration *integration, ZmSpan prefix, gboolean on)
{
  pthread_mutex_lock (&integration->mutex);
  for (guint i = 0; i < integration->n_watchers; i++)
    integration->watchers[i].func (prefix, on, integration->watchers[i].user);
  pthread_mutex_unlock (&integration->mutex);
}

/* The set of this endpoint is full. Said once: it stays so until the daemon starts anew, and zm_integration_reasons goes on
 * telling it. */
static void
tell_overflow (ZmIntegration *integration, const ZmTopicsSocket *topics)
{
  zm_counter_add (integration->uncounted, 1);
  if (zm_prefixes_lost (topics->prefixes) > 1)
    return;
  zm_log_write (
      integration->log, ZM_LEVEL_WARNING, "integration",
      "%s: more than %d different prefixes are subscribed; further ones cannot be told apart, so every "
      "topic counts as subscribed here and no-taker is no longer told, until the daemon is restarted",
      topics->endpoint, ZM_SUBSCRIPTIONS_MOST);
}

/* XPUB hands up one byte, 1 or 0, and the prefix. In VERBOSE mode every subscription comes, and an unsubscription only when
 * no peer of the socket is left with that prefix: so a set is exact, where counting would not be (a peer may subscribe
 * the same twice and leave once). */
static void
take_subscription (ZmIntegration *integration, ZmTopicsSocket *topics, zmq_msg_t *frame)
{
  const char *data = zmq_msg_data (frame);
  gsize size = zmq_msg_size (frame);
  if (size == 0 || (data[0] != 0 && data[0] != 1))
    return;
  gboolean on = data[0] == 1;
  ZmSpan prefix = zm_span (data + 1, size - 1);
  guint64 lost = zm_prefixes_lost (topics->prefixes);
  if (on && zm_prefixes_put (topics->prefixes, prefix))
    zm_counter_add (integration->subscriptions, 1);
  else if (on && zm_prefixes_lost (topics->prefixes) > lost)
    tell_overflow (integration, topics);
  else if (!on && zm_prefixes_drop (topics->prefixes, prefix))
    zm_counter_add (integration->subscriptions, (guint64) -1);
  tell_watchers (integration, prefix, on);
}

/* A libzmq socket belongs to one thread, so subscriptions are read here, between batches. */
static void
look_for_subscriptions (ZmIntegration *integration)
{
  zmq_msg_t frame;
  zmq_msg_init (&frame);
  for (guint i = 0; i < integration->n_sockets; i++) {
    ZmTopicsSocket *topics = &integration->sockets[i];
    for (guint n = 0; n < LOOK_MOST && zmq_msg_recv (&frame, topics->socket, ZMQ_DONTWAIT) >= 0; n++)
      take_subscription (integration, topics, &frame);
  }
  zmq_msg_close (&frame);
}

/* Gates un-bind and bind sockets, which only their thread may do. */
static void
turn_gates (ZmIntegration *integration)
{
  for (guint i = 0; i < integration->n_sockets; i++)
    zm_gate_turn (integration->sockets[i].gate);
}

/* Sleeps until there is something in the ring or on a socket. */
static void
wait_for_work (ZmIntegration *integration)
{
  zmq_pollitem_t items[ZM_TOPICS_SOCKETS_MOST + 1];
  guint n = integration->n_sockets;
  memset (items, 0, sizeof items);
  for (guint i = 0; i < n; i++) {
    items[i].socket = integration->sockets[i].socket;
    items[i].events = ZMQ_POLLIN;
  }
  items[n].fd = integration->waker.fd;
  items[n].events = ZMQ_POLLIN;
  zm_waker_will_sleep (&integration->waker);
  gboolean work = zm_ring_length (integration->ring) > 0 || zm_ring_closed (integration->ring);
  zmq_poll (items, (int) n + 1, work ? 0 : -1);
  zm_waker_awake (&integration->waker, items[n].revents != 0);
}

/* Ends when the ring is closed and empty; everything that was pushed before is published. */
void *
zm_publisher_run (void *user)
{
  ZmIntegration *integration = user;
  gpointer batch[ZM_PUBLISH_BATCH];
  guint since_look = 0;
  gboolean yielded = TRUE;
  for (;;) {
    /* Asked first: what was pushed before the close is then surely found by the pop. */
    gboolean closed = zm_ring_closed (integration->ring);
    guint n = zm_ring_try_pop (integration->ring, batch, ZM_PUBLISH_BATCH);
    if (n > 0) {
      publish_batch (integration, (ZmMessage **) batch, n);
      since_look += n;
      yielded = n < YIELD_LEAST;
    } else if (closed) {
      return NULL;
    } else if (!yielded) {
      /* Under load the workers bring more meanwhile: one batch instead of a sleep and a wake-up each. */
      yielded = TRUE;
      sched_yield ();
    } else {
      wait_for_work (integration);
      since_look = ZM_PUBLISH_BATCH;
    }
    if (since_look >= ZM_PUBLISH_BATCH) {
      look_for_subscriptions (integration);
      turn_gates (integration);
      since_look = 0;
    }
  }
}
