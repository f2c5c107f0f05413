/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The Subject's sockets: one an endpoint, so that one can be detached or refused without the others; bounded receiving. */
#include "config.h"

#include "subject/subject-private.h"

#include <errno.h>

/* In the gates' thread. */
static void
wake_for_gate (gpointer user)
{
  zm_waker_wake (&((ZmSubject *) user)->waker);
}

/* The place in the list is taken as soon as the socket exists, so that zm_subject_close finds it also where binding
 * fails. */
static ZmSubjectSocket *
open_one (void *zmq, int type, const char *text, gboolean bind, const ZmSocketRules *rules,
          ZmSubjectSocket *sockets, guint *n, GError **error)
{
  int one = 1;
  if (*n == ZM_SUBJECT_SOCKETS_MOST) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_LIMIT, "%s: more than %d endpoints; remove some", rules->name,
                 ZM_SUBJECT_SOCKETS_MOST);
    return NULL;
  }
  void *socket = zm_endpoint_socket (zmq, type, rules, error);
  if (socket == NULL)
    return NULL;
  ZmSubjectSocket *place = &sockets[(*n)++];
  place->socket = socket;
  place->bound = bind;
  /* A reply that nobody can get is then told to us, and counted, instead of vanishing. */
  if (type == ZMQ_ROUTER)
    zmq_setsockopt (socket, ZMQ_ROUTER_MANDATORY, &one, sizeof one);
  place->endpoint = zm_endpoint_attach (socket, text, bind, rules, error);
  return place->endpoint != NULL ? place : NULL;
}

/* Several endpoints are several sockets: a limit on one, or letting go of it, leaves the others alone. */
static gboolean
open_list (void *zmq, int type, const char *const *bind, const char *const *connect,
           const ZmSocketRules *rules, ZmSubjectSocket *sockets, guint *n, GError **error)
{
  for (guint i = 0; bind != NULL && bind[i] != NULL; i++)
    if (open_one (zmq, type, bind[i], TRUE, rules, sockets, n, error) == NULL)
      return FALSE;
  for (guint i = 0; connect != NULL && connect[i] != NULL; i++)
    if (open_one (zmq, type, connect[i], FALSE, rules, sockets, n, error) == NULL)
      return FALSE;
  return TRUE;
}

/* Counts the connections of those that are bound. */
static gboolean
watch_list (ZmSubject *subject, ZmSubjectSocket *sockets, guint n, const char *name, guint limit,
            GError **error)
{
  for (guint i = 0; i < n && subject->config.gates != NULL; i++) {
    if (!sockets[i].bound)
      continue;
    sockets[i].gate = zm_gate_new (subject->config.gates, name, limit, sockets[i].socket, sockets[i].endpoint,
                                   wake_for_gate, subject, error);
    if (sockets[i].gate == NULL)
      return FALSE;
  }
  return TRUE;
}

/* What is really bound, wildcards filled in. Connected ones are not ours to tell. The caller frees. */
static char **
bound_endpoints (const ZmSubjectSocket *sockets, guint n)
{
  g_autoptr (GPtrArray) list = g_ptr_array_new ();
  for (guint i = 0; i < n; i++)
    if (sockets[i].bound)
      g_ptr_array_add (list, g_strdup (sockets[i].endpoint));
  g_ptr_array_add (list, NULL);
  return (char **) g_ptr_array_free (g_steal_pointer (&list), FALSE);
}

/* All endpoints or none: a daemon that listens on half of what it was told is harder to understand than one that does
 * not start. */
gboolean
zm_subject_open (ZmSubject *subject, const ZmSubjectConfig *config, GError **error)
{
  ZmSocketRules pull = { "subject", config->high_water, config->max_message, FALSE };
  ZmSocketRules call = { "call", config->call_high_water > 0 ? config->call_high_water : config->high_water,
                         subject->config.call_max_message, FALSE };
  if (!open_list (config->zmq, ZMQ_PULL, config->bind, config->connect, &pull, subject->pulls,
                  &subject->n_pulls, error) ||
      !open_list (config->zmq, ZMQ_ROUTER, config->call_bind, config->call_connect, &call, subject->routers,
                  &subject->n_routers, error) ||
      !watch_list (subject, subject->pulls, subject->n_pulls, "subject", config->connections, error) ||
      !watch_list (subject, subject->routers, subject->n_routers, "call", config->call_connections, error))
    return FALSE;
  subject->endpoints = bound_endpoints (subject->pulls, subject->n_pulls);
  subject->call_endpoints = bound_endpoints (subject->routers, subject->n_routers);
  return TRUE;
}

/* Gates first: they watch the socket. */
static void
close_list (ZmSubjectSocket *sockets, guint n, int linger_ms)
{
  for (guint i = 0; i < n; i++) {
    zm_gate_free (sockets[i].gate);
    zmq_setsockopt (sockets[i].socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    zmq_close (sockets[i].socket);
    g_free (sockets[i].endpoint);
  }
}

/* After the thread's end. What PULL still holds was counted or taken by the drain; the last replies are on their way
 * and have half a second. */
void
zm_subject_close (ZmSubject *subject)
{
  close_list (subject->pulls, subject->n_pulls, 0);
  /* The last replies are on their way. */
  close_list (subject->routers, subject->n_routers, 500);
  g_strfreev (subject->endpoints);
  g_strfreev (subject->call_endpoints);
}

/* What is connected is let go as well as what is bound: both bring messages. A wildcard endpoint is unbound by the name
 * that it got. */
void
zm_subject_detach (ZmSubject *subject)
{
  for (guint i = 0; i < subject->n_pulls; i++) {
    ZmSubjectSocket *pull = &subject->pulls[i];
    zm_gate_free (g_steal_pointer (&pull->gate));
    if (pull->bound)
      zmq_unbind (pull->socket, pull->endpoint);
    else
      zmq_disconnect (pull->socket, pull->endpoint);
  }
}

void
zm_frames_init (zmq_msg_t *frames, guint n)
{
  for (guint i = 0; i < n; i++)
    zmq_msg_init (&frames[i]);
}

void
zm_frames_close (zmq_msg_t *frames, guint n)
{
  for (guint i = 0; i < n; i++)
    zmq_msg_close (&frames[i]);
}

/* A message may have any number of frames, each up to the size limit. Those beyond what a message can have are received
 * into one scrap frame and dropped, so that memory stays at one frame, whoever sends; libzmq gives no way to skip them. */
int
zm_frames_receive (void *socket, zmq_msg_t *frames, guint most, guint *extra)
{
  zmq_msg_t scrap;
  guint n = 0;
  *extra = 0;
  for (;;) {
    zmq_msg_t *frame = n < most ? &frames[n] : &scrap;
    if (frame == &scrap)
      zmq_msg_init (&scrap);
    int rc;
    do
      rc = zmq_msg_recv (frame, socket, ZMQ_DONTWAIT);
    while (rc < 0 && errno == EINTR);
    gboolean more = rc >= 0 && zmq_msg_more (frame);
    if (frame == &scrap) {
      zmq_msg_close (&scrap);
      *extra += rc >= 0;
    } else {
      n += rc >= 0;
    }
    if (!more)
      return n > 0 ? (int) n : -1;
  }
}
