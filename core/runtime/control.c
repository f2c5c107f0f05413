/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The control socket in the main loop. */
#include "config.h"

#include "runtime/control-private.h"

#include "runtime/audit.h"
#include "runtime/commands.h"
#include "runtime/later.h"
#include "runtime/streams.h"

#include <string.h>

/* Requests answered before the main loop looks at anything else. */
#define REQUESTS_AT_ONCE 32
/* Frames of one request that are looked at: identity, delimiter, id, JSON. Further ones are dropped unread. */
#define FRAMES_MOST 4
/* How long the end waits for replies that are still in the socket, where nobody asked for the drain: what is left of a stream
 * is worth little. */
#define LINGER_MS 200

typedef struct ControlSource {
  GSource base;
  ZmControl *control;
} ControlSource;

/* ---- peers ---- */

/* Identity and request id are shared, not copied: a stream or a drain may keep its peer for days. */
ZmPeer *
zm_peer_copy (const ZmPeer *peer)
{
  ZmPeer *copy = g_new (ZmPeer, 1);

  copy->identity = g_bytes_ref (peer->identity);
  copy->request_id = g_bytes_ref (peer->request_id);
  copy->delimiter = peer->delimiter;
  return copy;
}

void
zm_peer_free (ZmPeer *peer)
{
  g_bytes_unref (peer->identity);
  g_bytes_unref (peer->request_id);
  g_free (peer);
}

/* The same request of the same client. Two clients may use the same request id. */
gboolean
zm_peer_equal (const ZmPeer *a, const ZmPeer *b)
{
  return g_bytes_equal (a->identity, b->identity) && g_bytes_equal (a->request_id, b->request_id);
}

/* ---- sending ---- */

static gboolean
send_frame (void *socket, const void *data, gsize size, int flags)
{
  return zmq_send (socket, data, size, ZMQ_DONTWAIT | flags) >= 0;
}

/* The first frame finds the peer or fails; the others follow it. Never waits: with ROUTER_MANDATORY a client that is
 * gone, or has read none of the last 1,000 messages, is told to us, and the caller ends what it had for it. */
gboolean
zm_control_send (ZmControl *control, const ZmPeer *peer, const char *status, const char *json)
{
  gsize identity_size, id_size;
  const void *identity = g_bytes_get_data (peer->identity, &identity_size);
  const void *id = g_bytes_get_data (peer->request_id, &id_size);

  if (send_frame (control->socket, identity, identity_size, ZMQ_SNDMORE) &&
      (!peer->delimiter || send_frame (control->socket, "", 0, ZMQ_SNDMORE)) &&
      send_frame (control->socket, id, id_size, ZMQ_SNDMORE) &&
      send_frame (control->socket, status, strlen (status), ZMQ_SNDMORE) &&
      send_frame (control->socket, json, strlen (json), 0))
    return TRUE;
  zm_counter_add (control->undelivered, 1);
  return FALSE;
}

/* ---- receiving ---- */

typedef struct Frames {
  zmq_msg_t frame[FRAMES_MOST];
  guint n;     /* kept in frame */
  guint total; /* received */
} Frames;

static void
frames_clear (Frames *frames)
{
  for (guint i = 0; i < frames->n; i++)
    zmq_msg_close (&frames->frame[i]);
  frames->n = 0;
}

/* One multipart message, of which at most FRAMES_MOST frames are kept; the others are read and dropped, so that a
 * client cannot make the daemon hold what it sends. FALSE: there is none now. */
static gboolean
receive (void *socket, Frames *frames)
{
  zmq_msg_t scrap;
  int more = 1;

  *frames = (Frames){ .n = 0 };
  while (more) {
    zmq_msg_t *frame = frames->n < FRAMES_MOST ? &frames->frame[frames->n] : &scrap;

    zmq_msg_init (frame);
    if (zmq_msg_recv (frame, socket, ZMQ_DONTWAIT) < 0) {
      zmq_msg_close (frame);
      frames_clear (frames);
      return FALSE;
    }
    more = zmq_msg_more (frame);
    frames->total++;
    if (frame == &scrap)
      zmq_msg_close (frame);
    else
      frames->n++;
  }
  return TRUE;
}

/* A copy: the reply may be sent long after the frames are closed. */
static GBytes *
frame_bytes (Frames *frames, guint index)
{
  return index < frames->n
             ? g_bytes_new (zmq_msg_data (&frames->frame[index]), zmq_msg_size (&frames->frame[index]))
             : g_bytes_new_static ("", 0);
}

/* Counted apart from requests that failed: this is a client that does not speak the protocol, or asks for too much. */
void
zm_control_refuse (ZmControl *control, const ZmPeer *peer, const char *text)
{
  g_autoptr (GError) error = g_error_new_literal (ZM_ERROR, ZM_ERROR_INVALID, text);
  g_autoptr (GString) out = g_string_new (NULL);

  zm_counter_add (control->refused, 1);
  zm_reply_error (out, error, NULL);
  zm_control_send (control, peer, "ERROR", out->str);
}

/* A stream that is open has no reply yet: its parts are the replies, and "OK" comes when it is cancelled. */
static gboolean
open_stream (ZmControl *control, const ZmPeer *peer, const ZmCommand *command, ZmSpan request, GString *out)
{
  g_autoptr (GError) error = NULL;

  if (zm_streams_open (control->streams, peer, command->name, request, &error))
    return TRUE;
  zm_reply_error (out, error, NULL);
  zm_control_send (control, peer, "ERROR", out->str);
  return FALSE;
}

/* The end of a command, whenever that is. */
void
zm_control_end (ZmControl *control, const ZmPeer *peer, const ZmAuditPeer *who, ZmSpan request, gboolean good,
                const char *json)
{
  if (!good)
    zm_counter_add (control->refused, 1);
  zm_control_send (control, peer, good ? "OK" : "ERROR", json);
  zm_audit_command (control->runtime, who, request, good, json);
}

/* Commands run here, in the main loop, one at a time: that is what makes them atomic to each other and to reloads by
 * signal. None of them may wait for long: those that do are answered later. */
static void
answer (ZmControl *control, const ZmPeer *peer, const ZmAuditPeer *who, ZmSpan request)
{
  const ZmCommand *command = NULL;
  g_autoptr (GString) out = g_string_new (NULL);
  gboolean good = TRUE;
  ZmLater *later = NULL;

  switch (zm_command_run (control->runtime, request, out, &command, &later)) {
  case ZM_REPLY_OK: zm_control_end (control, peer, who, request, TRUE, out->str); return;
  case ZM_REPLY_ERROR: zm_control_end (control, peer, who, request, FALSE, out->str); return;
  case ZM_REPLY_ASYNC: zm_later_bind (later, peer, who, request); return;
  case ZM_REPLY_STREAM: good = open_stream (control, peer, command, request, out); break;
  case ZM_REPLY_CANCEL: zm_streams_cancel (control->streams, peer); break;
  case ZM_REPLY_LATER: zm_control_wait_drained (control, peer); break;
  }
  zm_audit_command (control->runtime, who, request, good, out->str);
}

/* One multipart message; whoever sent it gets an answer, however wrong it is. A REQ socket puts an empty frame in
 * front, and expects it back. */
static void
handle (ZmControl *control, Frames *frames)
{
  gboolean delimiter = frames->n > 2 && zmq_msg_size (&frames->frame[1]) == 0 && frames->total == 4;
  guint first = delimiter ? 2 : 1;
  ZmPeer peer = { frame_bytes (frames, 0), frame_bytes (frames, first), delimiter };
  zmq_msg_t *json = first + 1 < frames->n ? &frames->frame[first + 1] : NULL;
  ZmAuditPeer who = zm_audit_peer (json != NULL ? zmq_msg_gets (json, "Peer-Address") : NULL);

  zm_counter_add (control->requests, 1);
  if (json == NULL || frames->total != first + 2)
    zm_control_refuse (control, &peer, "a request has two frames: [request-id][JSON object]");
  else if (g_bytes_get_size (peer.request_id) > 256)
    zm_control_refuse (control, &peer, "the request-id has over 256 bytes");
  else
    answer (control, &peer, &who, zm_span (zmq_msg_data (json), zmq_msg_size (json)));
  g_bytes_unref (peer.identity);
  g_bytes_unref (peer.request_id);
}

/* ---- the main loop ---- */

/* Asking for the events also lets libzmq do what it has put off, so this must be asked before the loop sleeps. */
static gboolean
is_readable (ZmControl *control)
{
  int events = 0;
  size_t size = sizeof events;

  return zmq_getsockopt (control->socket, ZMQ_EVENTS, &events, &size) == 0 && (events & ZMQ_POLLIN) != 0;
}

/* ZeroMQ's descriptor tells changes only, so the socket itself is asked before each wait. */
static gboolean
source_prepare (GSource *source, int *timeout)
{
  *timeout = -1;
  return is_readable (((ControlSource *) source)->control);
}

/* The descriptor was readable, which says only that something changed. */
static gboolean
source_check (GSource *source)
{
  return is_readable (((ControlSource *) source)->control);
}

/* Bounded, so that a client that asks without end leaves the loop time for signals, reloads and the watchdog. */
static gboolean
source_dispatch (GSource *source, GSourceFunc callback, gpointer user)
{
  ZmControl *control = ((ControlSource *) source)->control;
  Frames frames;

  (void) callback;
  (void) user;
  for (guint i = 0; i < REQUESTS_AT_ONCE && receive (control->socket, &frames); i++) {
    handle (control, &frames);
    frames_clear (&frames);
  }
  return G_SOURCE_CONTINUE;
}

static GSourceFuncs source_funcs = { .prepare = source_prepare,
                                     .check = source_check,
                                     .dispatch = source_dispatch };

/* The source knows the descriptor only; what is behind it is found by prepare and check. */
static void
attach (ZmControl *control)
{
  int fd = -1;
  size_t size = sizeof fd;

  zmq_getsockopt (control->socket, ZMQ_FD, &fd, &size);
  control->source = g_source_new (&source_funcs, sizeof (ControlSource));
  ((ControlSource *) control->source)->control = control;
  g_source_add_unix_fd (control->source, fd, G_IO_IN);
  g_source_set_static_name (control->source, "control");
  g_source_attach (control->source, control->runtime->context);
}

/* MANDATORY: a peer that is gone or does not read is told to us, instead of its replies being dropped in silence. */
static gboolean
bind_socket (ZmControl *control, GError **error)
{
  g_autofree char *endpoint = zm_instance_bind_endpoint (control->runtime->instance, "control", error);
  const int mandatory = 1, linger = LINGER_MS, high_water = 1000;
  const gint64 largest = ZM_REQUEST_MOST;

  if (endpoint == NULL)
    return FALSE;
  control->zmq = zmq_ctx_new ();
  control->socket = control->zmq != NULL ? zmq_socket (control->zmq, ZMQ_ROUTER) : NULL;
  if (control->socket != NULL) {
    zmq_setsockopt (control->socket, ZMQ_ROUTER_MANDATORY, &mandatory, sizeof mandatory);
    zmq_setsockopt (control->socket, ZMQ_LINGER, &linger, sizeof linger);
    zmq_setsockopt (control->socket, ZMQ_SNDHWM, &high_water, sizeof high_water);
    zmq_setsockopt (control->socket, ZMQ_MAXMSGSIZE, &largest, sizeof largest);
    if (zmq_bind (control->socket, endpoint) == 0)
      return TRUE;
  }
  g_set_error (error, ZM_ERROR, ZM_ERROR_IO, "cannot bind the control socket %s: %s", endpoint,
               zmq_strerror (zmq_errno ()));
  return FALSE;
}

/* Also makes the streams, which send through this socket. Where one of both cannot be had, nothing is left. */
ZmControl *
zm_control_new (struct ZmRuntime *runtime, GError **error)
{
  ZmControl *control = g_new0 (ZmControl, 1);

  control->runtime = runtime;
  control->waiters = g_ptr_array_new_with_free_func ((GDestroyNotify) zm_peer_free);
  control->requests = zm_metrics_counter (runtime->metrics, "zmanager_control_requests_total",
                                          "Requests on the control socket", NULL, NULL);
  control->refused =
      zm_metrics_counter (runtime->metrics, "zmanager_control_refused_total",
                          "Requests on the control socket that were answered with an error", NULL, NULL);
  control->undelivered =
      zm_metrics_counter (runtime->metrics, "zmanager_control_undelivered_total",
                          "Replies that a client of the control socket did not take", NULL, NULL);
  if (bind_socket (control, error))
    control->streams = zm_streams_new (runtime, control, error);
  if (control->streams == NULL) {
    zm_control_free (control);
    return NULL;
  }
  attach (control);
  return control;
}

/* Waits for the replies that are still to be sent, at most as long as the socket lingers. */
void
zm_control_free (ZmControl *control)
{
  if (control == NULL)
    return;
  if (control->source != NULL) {
    g_source_destroy (control->source);
    g_source_unref (control->source);
  }
  zm_streams_free (control->streams);
  if (control->socket != NULL)
    zmq_close (control->socket);
  while (control->zmq != NULL && zmq_ctx_term (control->zmq) != 0 && zmq_errno () == EINTR)
    ;
  g_ptr_array_unref (control->waiters);
  g_free (control);
}
