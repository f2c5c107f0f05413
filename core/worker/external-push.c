/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The socket of a worker in another language, between the threads that use it. */
#include "config.h"

#include "worker/external-push.h"

#include <errno.h>
#include <pthread.h>

#define LINGER_MS     1000
#define CLOSE_WAIT_MS 1000
#define HEARTBEAT_MS  10000
#define DEAD_AFTER_MS 30000
#define INCOMING_MOST 65536 /* nothing but handshakes comes in */
#define ENDPOINT_MOST 256

struct ZmPush {
  pthread_mutex_t lock; /* of the next two */
  void *socket;         /* NULL: closed */
  ZmGate *gate;         /* or NULL */
  char *endpoint;       /* never changes */
};

/* ---- the socket between threads ---- */

#if defined __SANITIZE_THREAD__
#define SANITIZED 1
#elif defined __has_feature
#if __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined SANITIZED
void __tsan_acquire (void *address);
void __tsan_release (void *address);
#else
#define __tsan_acquire(address) ((void) (address))
#define __tsan_release(address) ((void) (address))
#endif

/* libzmq is not instrumented: that one thread's use of the socket comes before the next one's is told to ThreadSanitizer
 * here. Between enter and leave the socket is the calling thread's. */
static void
enter (ZmPush *push)
{
  pthread_mutex_lock (&push->lock);
  __tsan_acquire (push->socket);
}

static void
leave (ZmPush *push)
{
  __tsan_release (push->socket);
  pthread_mutex_unlock (&push->lock);
}

/* In the gates' thread, which comes again where somebody is sending just now: it must not wait for this lock, under which a
 * gate is made and freed. */
static void
turn_gate (gpointer user)
{
  ZmPush *push = user;

  if (pthread_mutex_trylock (&push->lock) != 0)
    return;
  __tsan_acquire (push->socket);
  zm_gate_turn (push->gate);
  leave (push);
}

/* ---- made ---- */

/* Only fails for options and values that libzmq 4.3 does not know. */
static void
set_option (void *socket, int option, int value)
{
  zmq_setsockopt (socket, option, &value, sizeof value);
}

/* Bounded on both sides, and never holding a message for somebody who may come later. */
static void
set_options (void *socket, int high_water)
{
  const gint64 incoming = INCOMING_MOST;

  set_option (socket, ZMQ_SNDHWM, high_water);
  set_option (socket, ZMQ_LINGER, LINGER_MS);
  /* Only to those who are there: a message for nobody is the sender's error now, not a surprise for somebody later. */
  set_option (socket, ZMQ_IMMEDIATE, 1);
  set_option (socket, ZMQ_HEARTBEAT_IVL, HEARTBEAT_MS);
  set_option (socket, ZMQ_HEARTBEAT_TIMEOUT, DEAD_AFTER_MS);
  zmq_setsockopt (socket, ZMQ_MAXMSGSIZE, &incoming, sizeof incoming);
}

/* The endpoint is read back: with a wildcard port only libzmq knows what it became, and the process must be told. */
static gboolean
open_socket (ZmPush *push, const char *worker, const char *endpoint, GError **error)
{
  char bound[ENDPOINT_MOST];
  size_t size = sizeof bound;

  if (push->socket == NULL) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_LIMIT, "no socket: %s; raise the limit of open files",
                 zmq_strerror (zmq_errno ()));
    return FALSE;
  }
  if (zmq_bind (push->socket, endpoint) != 0) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_IO,
                 "cannot bind %s: %s; set [worker %s] bind to an endpoint that is free", endpoint,
                 zmq_strerror (zmq_errno ()), worker);
    return FALSE;
  }
  push->endpoint =
      g_strdup (zmq_getsockopt (push->socket, ZMQ_LAST_ENDPOINT, bound, &size) == 0 ? bound : endpoint);
  return TRUE;
}

/* Under the lock, as the gates' thread may call at once. */
static gboolean
watch_socket (ZmPush *push, ZmGates *gates, GError **error)
{
  if (gates == NULL)
    return TRUE;
  enter (push);
  push->gate = zm_gate_new (gates, "worker", 0, push->socket, push->endpoint, turn_gate, push, error);
  leave (push);
  return push->gate != NULL;
}

/* A half-made one is closed and freed here; who gets a pointer can send. */
ZmPush *
zm_push_new (void *zmq, const char *worker, const char *endpoint, int high_water, ZmGates *gates,
             GError **error)
{
  ZmPush *push = g_new0 (ZmPush, 1);

  pthread_mutex_init (&push->lock, NULL);
  push->socket = zmq_socket (zmq, ZMQ_PUSH);
  if (push->socket != NULL)
    set_options (push->socket, high_water);
  if (open_socket (push, worker, endpoint, error) && watch_socket (push, gates, error))
    return push;
  zm_push_free (push);
  return NULL;
}

const char *
zm_push_endpoint (const ZmPush *push)
{
  return push->endpoint;
}

/* ---- used ---- */

int
zm_push_send (ZmPush *push, ZmMessage *message)
{
  int problem = ENOTSOCK;

  enter (push);
  if (push->socket != NULL)
    problem = zm_wire_send (push->socket, message, ZM_FRAMES_MULTI, ZMQ_DONTWAIT) == 0 ? 0 : zmq_errno ();
  leave (push);
  return problem;
}

/* ---- closed ---- */

/* Unbinding is done by libzmq's own thread, which removes an ipc socket's file at the end: waiting for it means that a
 * successor's file of the same name is not removed. */
static void
unbind (ZmPush *push, void *zmq)
{
  g_autofree char *address = g_strdup_printf ("inproc://worker-closed-%p", (void *) push);
  void *events = zmq_socket (zmq, ZMQ_PAIR);
  zmq_pollitem_t item = { .socket = events, .events = ZMQ_POLLIN };

  if (events != NULL && zmq_socket_monitor (push->socket, address, ZMQ_EVENT_CLOSED) == 0 &&
      zmq_connect (events, address) == 0 && zmq_unbind (push->socket, push->endpoint) == 0)
    zmq_poll (&item, 1, CLOSE_WAIT_MS);
  zmq_socket_monitor (push->socket, NULL, 0);
  if (events != NULL) {
    set_option (events, ZMQ_LINGER, 0);
    zmq_close (events);
  }
}

/* Under the lock, so that who sends just now has finished; who comes later finds no socket. */
void
zm_push_close (ZmPush *push, void *zmq)
{
  enter (push);
  zm_gate_free (g_steal_pointer (&push->gate));
  unbind (push, zmq);
  zmq_close (push->socket);
  __tsan_release (push->socket);
  push->socket = NULL;
  pthread_mutex_unlock (&push->lock);
}

void
zm_push_free (ZmPush *push)
{
  if (push == NULL)
    return;
  if (push->socket != NULL)
    zmq_close (push->socket);
  pthread_mutex_destroy (&push->lock);
  g_free (push->endpoint);
  g_free (push);
}
