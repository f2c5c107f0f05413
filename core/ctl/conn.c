/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sockets: connecting with a deadline, frames in and out. ZeroMQ connects silently and for ever; a client has to say when
 * nobody is there, so each socket is watched until the peer has shaken hands.
 *
 * Where that fails the reason is looked for: no socket at the path, one that may not be entered, or one behind which nobody
 * answers. Each has a cure of its own, and unreachable and refused are different exit statuses.
 *
 * A signal is an event like a message here (signalfd in the same poll): there is no handler, and so no code that may run at any
 * place.
 */
#include "config.h"

#include "ctl/ctl.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* Publications that wait for a slow terminal. */
#define WAITING_MOST 100000

/* Kept for the whole call of the program: it says where sockets, files and plugins are. */
ZmInstance *
zm_ctl_instance (ZmCtl *ctl, GError **error)
{
  if (ctl->instance == NULL)
    ctl->instance = zm_instance_new (zm_ctl_text (ctl, "dir"), error);
  return ctl->instance;
}

/* For commands that go on until Ctrl-C: they have something to end in order (a registration, a stream, a daemon of a
 * test). Others die of the signal, as programs do. */
void
zm_ctl_catch_signals (ZmCtl *ctl)
{
  sigset_t set;

  if (ctl->signal_fd >= 0)
    return;
  /* Blocked before ZeroMQ starts its threads, which inherit it. */
  sigemptyset (&set);
  sigaddset (&set, SIGINT);
  sigaddset (&set, SIGTERM);
  sigprocmask (SIG_BLOCK, &set, NULL);
  ctl->signal_fd = signalfd (-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Taken, so that what is left to do may wait again. */
static int
take_signal (ZmCtl *ctl)
{
  struct signalfd_siginfo info;

  while (read (ctl->signal_fd, &info, sizeof info) > 0)
    ctl->interrupted = TRUE;
  return -1;
}

/* Polls in slices of an hour at most, as zmq_poll's time is a long of milliseconds. */
int
zm_ctl_wait (ZmCtl *ctl, void *socket, gint64 until_us)
{
  zmq_pollitem_t items[2] = {
    { .socket = socket, .events = ZMQ_POLLIN },
    { .fd = ctl->signal_fd, .events = ZMQ_POLLIN },
  };
  /* Without a socket only signals are waited for. */
  zmq_pollitem_t *first = socket != NULL ? &items[0] : &items[1];
  int n = (socket != NULL) + (ctl->signal_fd >= 0);

  for (;;) {
    gint64 left = until_us < 0 ? -1 : MAX ((until_us - zm_now_us () + 999) / 1000, 0);
    int got = zmq_poll (first, n, (long) MIN (left, 3600000));

    if (got < 0 && errno != EINTR)
      return 0;
    /* The signal comes first: who wants to end should not have to wait until messages stop coming. */
    if (ctl->signal_fd >= 0 && (items[1].revents & ZMQ_POLLIN))
      return take_signal (ctl);
    if (socket != NULL && (items[0].revents & ZMQ_POLLIN))
      return 1;
    if (until_us >= 0 && zm_now_us () >= until_us)
      return 0;
  }
}

/* Asked with an option and not with a message: it costs the daemon nothing, and works when it does not answer. */
gboolean
zm_ctl_alive (void *socket, GError **error)
{
  int events = 0;
  size_t size = sizeof events;

  /* With ZMQ_IMMEDIATE a socket without a peer cannot be written to. What the peer said last is still to be read. */
  if (zmq_getsockopt (socket, ZMQ_EVENTS, &events, &size) == 0 && (events & (ZMQ_POLLIN | ZMQ_POLLOUT)) != 0)
    return TRUE;
  g_set_error (error, ZM_ERROR, ZM_ERROR_UNREACHABLE, _ ("the daemon went away"));
  return FALSE;
}

/* Waits in slices of ZM_CTL_ALIVE_US, so that a daemon that died is noticed within one and not at the deadline. */
int
zm_ctl_wait_answer (ZmCtl *ctl, void *socket, gint64 until_us, GError **error)
{
  for (;;) {
    int got = zm_ctl_wait (ctl, socket, MIN (until_us, zm_now_us () + ZM_CTL_ALIVE_US));

    if (got == 1)
      return 1;
    if (got < 0) {
      g_set_error (error, ZM_ERROR, ZM_ERROR_UNAVAILABLE, _ ("interrupted"));
      return -1;
    }
    if (!zm_ctl_alive (socket, error))
      return -1;
    if (zm_now_us () >= until_us)
      return 0;
  }
}

/* ---- frames ---- */

/* Only the first frame can have to wait for room: libzmq takes the rest of a message that it began to take. */
gboolean
zm_ctl_send_frames (void *socket, const ZmSpan *frames, guint n, int wait_ms)
{
  zmq_setsockopt (socket, ZMQ_SNDTIMEO, &wait_ms, sizeof wait_ms);
  for (guint i = 0; i < n; i++) {
    int flags = i + 1 < n ? ZMQ_SNDMORE : 0;

    while (zmq_send (socket, frames[i].data, frames[i].size, flags) < 0)
      if (errno != EINTR)
        return FALSE;
  }
  return TRUE;
}

/* A multipart message comes whole or not at all, so only the first part can be missing. */
GPtrArray *
zm_ctl_receive (void *socket)
{
  g_autoptr (GPtrArray) frames = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  gboolean more = TRUE;

  while (more) {
    zmq_msg_t part;

    zmq_msg_init (&part);
    if (zmq_msg_recv (&part, socket, ZMQ_DONTWAIT) < 0) {
      zmq_msg_close (&part);
      return NULL;
    }
    g_ptr_array_add (frames, g_bytes_new (zmq_msg_data (&part), zmq_msg_size (&part)));
    more = zmq_msg_more (&part) == 1;
    zmq_msg_close (&part);
  }
  return g_steal_pointer (&frames);
}

/* Borrowed from frames; empty where there are fewer. */
ZmSpan
zm_ctl_frame (const GPtrArray *frames, guint index)
{
  gsize size = 0;
  const char *data = index < frames->len ? g_bytes_get_data (g_ptr_array_index (frames, index), &size) : NULL;

  return zm_span (data, size);
}

/* ---- connecting ---- */

/* What to do where there is no daemon. The caller frees. */
static char *
start_hint (const ZmCtl *ctl)
{
  if (zm_ctl_text (ctl, "connect") != NULL)
    return g_strdup (_ ("is that where a zmanagerd listens?"));
  if (ctl->instance == NULL || ctl->instance->system)
    return g_strdup (_ ("start it, or say with --dir DIR where one runs"));
  return g_strdup_printf (_ ("start one with: zmanagerd --dir %s"), ctl->instance->dir);
}

/* Refused and not unreachable: starting a daemon, which the other error advises, would be wrong. */
void
zm_ctl_set_forbidden (const char *path, int code, GError **error)
{
  g_set_error (error, ZM_ERROR, ZM_ERROR_REFUSED,
               _ ("you may not connect to %s: %s; ask for the group of the daemon, or run as its user"), path,
               g_strerror (code));
}

/* Why nobody answered at endpoint. A directory on the way that may not be entered hides the socket: that it is missing would be
 * a wrong trail. */
static void
set_unreachable (ZmCtl *ctl, const char *endpoint, GError **error)
{
  const char *path = g_str_has_prefix (endpoint, "ipc://") ? endpoint + 6 : NULL;
  g_autofree char *hint = start_hint (ctl);
  int code = path == NULL || access (path, W_OK) == 0 ? 0 : errno;

  if (code == EACCES || code == EPERM)
    zm_ctl_set_forbidden (path, code, error);
  else if (code == ENOENT)
    g_set_error (error, ZM_ERROR, ZM_ERROR_UNREACHABLE, _ ("no daemon is there: %s does not exist; %s"), path,
                 hint);
  else
    g_set_error (error, ZM_ERROR, ZM_ERROR_UNREACHABLE, _ ("no daemon answers at %s; %s"), endpoint, hint);
}

/* Waits for the event that the peer has shaken hands. */
static gboolean
wait_handshake (ZmCtl *ctl, void *monitor)
{
  gint64 until = zm_now_us () + ctl->timeout_ms * 1000;

  while (zm_ctl_wait (ctl, monitor, until) == 1) {
    g_autoptr (GPtrArray) event = zm_ctl_receive (monitor);
    guint16 number = 0;

    if (event == NULL || zm_ctl_frame (event, 0).size < sizeof number)
      return FALSE;
    memcpy (&number, zm_ctl_frame (event, 0).data, sizeof number);
    if (number == ZMQ_EVENT_HANDSHAKE_SUCCEEDED)
      return TRUE;
    if (number == ZMQ_EVENT_MONITOR_STOPPED)
      return FALSE;
  }
  return FALSE;
}

/* Connects and watches. FALSE: error. */
static gboolean
connect_watched (ZmCtl *ctl, void *socket, const char *endpoint, GError **error)
{
  g_autofree char *name = g_strdup_printf ("inproc://monitor-%p", socket);
  void *monitor = zmq_socket (ctl->zmq, ZMQ_PAIR);
  gboolean good = FALSE;

  zmq_socket_monitor (socket, name, ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
  zmq_connect (monitor, name);
  if (zmq_connect (socket, endpoint) != 0) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID,
                 _ ("cannot connect to \"%s\": %s; an endpoint is ipc://PATH or tcp://HOST:PORT"), endpoint,
                 zmq_strerror (errno));
  } else {
    good = wait_handshake (ctl, monitor);
    if (!good)
      set_unreachable (ctl, endpoint, error);
  }
  zmq_socket_monitor (socket, NULL, 0);
  zm_ctl_close (monitor, 0);
  return good;
}

/* libzmq connects in the background, tries for ever and tells nobody. So a monitor waits for the handshake, and from
 * then on ZMQ_IMMEDIATE makes the socket refuse to queue for a peer that is gone. */
void *
zm_ctl_socket (ZmCtl *ctl, int type, const char *endpoint, GError **error)
{
  void *socket = NULL;
  int on = 1;
  int reconnect_ms = 20;
  int waiting_most = WAITING_MOST;
  int events = 0;
  size_t size = sizeof events;

  if (ctl->zmq == NULL)
    ctl->zmq = zmq_ctx_new ();
  socket = zmq_socket (ctl->zmq, type);
  if (socket == NULL) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_IO, _ ("cannot open a socket: %s"), zmq_strerror (errno));
    return NULL;
  }
  /* Nothing is queued for a peer that is not there; a daemon that is just starting is found soon. */
  zmq_setsockopt (socket, ZMQ_IMMEDIATE, &on, sizeof on);
  zmq_setsockopt (socket, ZMQ_RECONNECT_IVL, &reconnect_ms, sizeof reconnect_ms);
  if (type == ZMQ_SUB)
    zmq_setsockopt (socket, ZMQ_RCVHWM, &waiting_most, sizeof waiting_most);
  if (connect_watched (ctl, socket, endpoint, error)) {
    /* The pipe to the peer is attached by commands that wait in the socket, and setting an option does not look at them: a
     * subscription made now would stay here. Asking for events does. */
    zmq_getsockopt (socket, ZMQ_EVENTS, &events, &size);
    return socket;
  }
  zm_ctl_close (socket, 0);
  return NULL;
}

/* linger_ms: how long what was sent but has not left may still try to, when the context ends. */
void
zm_ctl_close (void *socket, int linger_ms)
{
  if (socket == NULL)
    return;
  zmq_setsockopt (socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
  zmq_close (socket);
}

/* The first ipc endpoint of a list, else its first. */
static const char *
choose_endpoint (JsonObject *endpoints, const char *name)
{
  JsonArray *list = zm_json_get_array (endpoints, name);
  const char *first = zm_json_get_text (endpoints, name);

  for (guint i = 0; list != NULL && i < json_array_get_length (list); i++) {
    const char *text = zm_json_nth_text (list, i);

    if (text != NULL && g_str_has_prefix (text, "ipc://"))
      return text;
    if (first == NULL)
      first = text;
  }
  return first;
}

/* Asked of the daemon and not guessed: its configuration may bind elsewhere. */
char *
zm_ctl_endpoint (ZmCtl *ctl, const char *name, GError **error)
{
  const char *found = NULL;

  if (ctl->status == NULL)
    ctl->status = zm_ctl_request (ctl, zm_ctl_request_new ("status"), ZM_CTL_ANSWER_MS, error);
  if (ctl->status == NULL)
    return NULL;
  found = choose_endpoint (zm_json_get_object (ctl->status, "endpoints"), name);
  if (found == NULL)
    g_set_error (error, ZM_ERROR, ZM_ERROR_UNAVAILABLE,
                 _ ("the daemon has no \"%s\" socket to connect to; see bind= of its configuration"), name);
  return g_strdup (found);
}

/* libzmq tells nobody of a frame that is too big: it ends the connection and the message is gone. So it is not sent at
 * all. A daemon that tells no limit has none, or is older. */
gboolean
zm_ctl_body_fits (ZmCtl *ctl, const char *name, GBytes *body, GError **error)
{
  JsonObject *subject = zm_json_get_object (ctl->status, "subject");
  JsonObject *room = strcmp (name, "call") == 0 ? zm_json_get_object (subject, "calls") : subject;
  gint64 most = zm_json_get_int (room, "max_message");
  gint64 size = (gint64) g_bytes_get_size (body);

  if (most <= 0 || size <= most)
    return TRUE;
  g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID,
               _ ("the body has %lld bytes; the daemon takes at most %lld ([%s] max-message)"),
               (long long) size, (long long) most, name);
  return FALSE;
}
