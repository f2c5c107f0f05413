/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The answer of the command drain, which is the last thing that the daemon says: it has to reach who asked before the daemon
 * is gone.
 */
#include "config.h"

#include "runtime/control-private.h"

/* Peers that wait for the end of a drain. */
#define WAITERS_MOST 64
/* How long the end waits for replies that are still in the socket: the answer of a drain is what its client waits for. */
#define LINGER_DRAIN_MS 5000
/* How long a client that asked for the drain may take to read its answer and go. */
#define GO_MS 1000

/* Several may ask for one drain; the first began it, and all are told its end. */
void
zm_control_wait_drained (ZmControl *control, const ZmPeer *peer)
{
  if (control->waiters->len < WAITERS_MOST)
    g_ptr_array_add (control->waiters, zm_peer_copy (peer));
  else
    zm_control_refuse (control, peer, "too many already wait for the drain");
}

/* One event is two frames, of which nothing is looked at: only one kind is asked for. FALSE: none was there. */
static gboolean
take_event (void *monitor)
{
  char scrap[256];
  int more = 0;
  size_t size = sizeof more;

  if (zmq_recv (monitor, scrap, sizeof scrap, ZMQ_DONTWAIT) < 0)
    return FALSE;
  while (zmq_getsockopt (monitor, ZMQ_RCVMORE, &more, &size) == 0 && more != 0 &&
         zmq_recv (monitor, scrap, sizeof scrap, ZMQ_DONTWAIT) >= 0)
    ;
  return TRUE;
}

/* A client of libzmq throws away what it has not looked at yet when it sees its peer go (with ZMQ_IMMEDIATE, which ours needs to
 * see that at all). So whoever has its answer is given the time to take it and to go first. */
static void
wait_until_gone (void *monitor, guint n)
{
  gint64 until_us = zm_now_us () + GO_MS * 1000, left_us;

  while (n > 0 && (left_us = until_us - zm_now_us ()) > 0) {
    zmq_pollitem_t item = { .socket = monitor, .events = ZMQ_POLLIN };

    if (zmq_poll (&item, 1, (long) (left_us / 1000 + 1)) > 0)
      n -= take_event (monitor);
  }
}

/* Made before the answers are sent: who reads quickly may be gone before the next line. NULL: it cannot be had, and
 * then there is only the socket's own linger. */
static void *
watch_leaving (ZmControl *control)
{
  static const char address[] = "inproc://control-leaving";
  void *monitor = zmq_socket (control->zmq, ZMQ_PAIR);

  if (monitor != NULL && zmq_socket_monitor (control->socket, address, ZMQ_EVENT_DISCONNECTED) == 0 &&
      zmq_connect (monitor, address) == 0)
    return monitor;
  if (monitor != NULL)
    zmq_close (monitor);
  return NULL;
}

/* Other clients may leave at the same moment and be counted for one of those who asked; the rest of the time is then
 * cut short, and the linger of the socket is what remains. That is as good as it was without the wait. */
void
zm_control_drained (ZmControl *control, guint left)
{
  g_autofree char *json = g_strdup_printf ("{\"text\":\"drained\",\"left\":%u}", left);
  const int linger = LINGER_DRAIN_MS;
  void *monitor = control->waiters->len > 0 ? watch_leaving (control) : NULL;
  guint sent = 0;

  for (guint i = 0; i < control->waiters->len; i++)
    sent += zm_control_send (control, control->waiters->pdata[i], "OK", json);
  g_ptr_array_set_size (control->waiters, 0);
  if (sent > 0)
    zmq_setsockopt (control->socket, ZMQ_LINGER, &linger, sizeof linger);
  if (monitor != NULL) {
    wait_until_gone (monitor, sent);
    zmq_socket_monitor (control->socket, NULL, 0);
    zmq_close (monitor);
  }
}
