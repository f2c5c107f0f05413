/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Gates for those who own the sockets: made, turned, freed; and how they are.
 *
 * Un-binding an endpoint ends its connections, which is the only way that libzmq offers to end one. Honest peers come back when
 * it is bound again a second later; one that opens connections without end has gained nothing by then.
 */
#include "config.h"

#include "message/gate-private.h"

#include "base/zm-base.h"

#include <errno.h>
#include <zmq.h>

#define EVENTS_ASKED (ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_ACCEPT_FAILED | ZMQ_EVENT_DISCONNECTED)

/* ---- one gate, for its owner ---- */

/* The monitor's other end. NULL: no descriptors. */
static void *
open_monitor (ZmGates *gates, void *socket)
{
  g_autofree char *address = NULL;
  void *events = zmq_socket (gates->zmq, ZMQ_PAIR);
  int none = 0;
  pthread_mutex_lock (&gates->lock);
  address = g_strdup_printf ("inproc://zm-gate-%p-%" G_GUINT64_FORMAT, (void *) gates, ++gates->serial);
  pthread_mutex_unlock (&gates->lock);
  if (events == NULL)
    return NULL;
  zmq_setsockopt (events, ZMQ_LINGER, &none, sizeof none);
  /* A monitor that meets a high-water mark stops libzmq's own thread; the events are read as soon as they come. */
  zmq_setsockopt (events, ZMQ_RCVHWM, &none, sizeof none);
  if (zmq_socket_monitor (socket, address, EVENTS_ASKED) == 0 && zmq_connect (events, address) == 0)
    return events;
  zmq_socket_monitor (socket, NULL, 0);
  zmq_close (events);
  return NULL;
}

static void
make_counters (ZmGate *gate)
{
  gate->connections = zm_metrics_gauge (gate->gates->metrics, "zmanager_connections",
                                        "Connections of a bound endpoint now", "endpoint", gate->endpoint);
  gate->shuts = zm_metrics_counter (gate->gates->metrics, "zmanager_endpoint_shut_total",
                                    "How often an endpoint was closed for a second: too many connections",
                                    "endpoint", gate->endpoint);
}

/* In the owner's thread: the monitor is asked for on its socket. The other end is the thread's once the gate is in the
 * list. */
ZmGate *
zm_gate_new (ZmGates *gates, const char *name, guint limit, void *socket, const char *endpoint,
             ZmGateWake wake, gpointer user, GError **error)
{
  void *events = open_monitor (gates, socket);
  ZmGate *gate;
  if (events == NULL) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_IO, "%s: cannot watch the connections of %s: %s", name, endpoint,
                 zmq_strerror (errno));
    return NULL;
  }
  gate = g_new0 (ZmGate, 1);
  gate->gates = gates;
  gate->name = g_strdup (name);
  gate->endpoint = g_strdup (endpoint);
  gate->limit = limit > 0 ? limit : ZM_GATE_CONNECTIONS;
  gate->socket = socket;
  gate->events = events;
  gate->wake = wake;
  gate->user = user;
  gate->open = g_hash_table_new (NULL, NULL);
  make_counters (gate);
  pthread_mutex_lock (&gates->lock);
  g_ptr_array_add (gates->list, gate);
  pthread_mutex_unlock (&gates->lock);
  zm_gates_poke (gates);
  return gate;
}

/* In the owner's thread. Where somebody else has the endpoint by now it stays shut, and is tried again in a second, with
 * the reason shown. */
static void
bind_again (ZmGate *gate)
{
  gboolean bound = zmq_bind (gate->socket, gate->endpoint) == 0;
  atomic_store (&gate->failed, bound ? 0 : errno);
  if (!bound)
    zm_log_limited (gate->gates->log, ZM_LEVEL_ERROR, "gate", "bind",
                    "%s: cannot bind %s again: %s; next try in a second", gate->name, gate->endpoint,
                    zmq_strerror (errno));
  atomic_store (&gate->state, bound ? GATE_OPEN : GATE_SHUT);
}

/* In the owner's thread, between two things that it does. The state is looked at without the lock: only this thread
 * moves it on from CLOSING and OPENING, and a change that is seen late is seen at the next wake. */
void
zm_gate_turn (ZmGate *gate)
{
  int state = gate != NULL ? atomic_load (&gate->state) : GATE_OPEN;
  if (state == GATE_OPEN || state == GATE_SHUT)
    return;
  if (state == GATE_CLOSING) {
    zmq_unbind (gate->socket, gate->endpoint);
    atomic_store (&gate->state, GATE_SHUT);
  } else {
    bind_again (gate);
  }
  zm_gates_poke (gate->gates);
}

/* Waits for the thread, which may be in the middle of wake: so who calls this must hold no lock that wake waits for. */
gboolean
zm_gate_free (ZmGate *gate)
{
  ZmGates *gates;
  gboolean bound;
  int state;
  if (gate == NULL)
    return TRUE;
  gates = gate->gates;
  zmq_socket_monitor (gate->socket, NULL, 0);
  pthread_mutex_lock (&gates->lock);
  state = atomic_load (&gate->state);
  bound = state == GATE_OPEN || state == GATE_CLOSING;
  gate->gone = TRUE;
  zm_gates_poke (gates);
  /* Until the monitor's other end is closed: it is the thread's, and the context may end soon. */
  while (g_ptr_array_find (gates->list, gate, NULL))
    pthread_cond_wait (&gates->freed, &gates->lock);
  pthread_mutex_unlock (&gates->lock);
  return bound;
}

/* ---- what is shown ---- */

static gboolean
is_shut (ZmGate *gate)
{
  int state = atomic_load (&gate->state);
  return state == GATE_SHUT || state == GATE_OPENING;
}

/* Under the lock of the gates. */
static void
append_gate (GString *json, ZmGate *gate)
{
  g_string_append (json, json->len > 1 ? ",{\"name\":" : "{\"name\":");
  zm_json_append_string (json, zm_span_text (gate->name));
  g_string_append (json, ",\"endpoint\":");
  zm_json_append_string (json, zm_span_text (gate->endpoint));
  g_string_append_printf (json,
                          ",\"state\":\"%s\",\"connections\":%u,\"limit\":%u,\"shut\":%" G_GINT64_FORMAT "}",
                          is_shut (gate) ? "shut" : "open", g_hash_table_size (gate->open), gate->limit,
                          zm_counter_get (gate->shuts));
}

char *
zm_gates_json (ZmGates *gates)
{
  GString *json = g_string_new ("[");
  pthread_mutex_lock (&gates->lock);
  for (guint i = 0; i < gates->list->len; i++)
    append_gate (json, gates->list->pdata[i]);
  pthread_mutex_unlock (&gates->lock);
  g_string_append_c (json, ']');
  return g_string_free (json, FALSE);
}

void
zm_gates_reasons (ZmGates *gates, GPtrArray *out)
{
  pthread_mutex_lock (&gates->lock);
  for (guint i = 0; i < gates->list->len; i++) {
    ZmGate *gate = gates->list->pdata[i];
    int failed = atomic_load (&gate->failed);
    if (!is_shut (gate))
      continue;
    g_ptr_array_add (
        out, failed != 0
                 ? g_strdup_printf ("%s: cannot bind %s again: %s", gate->name, gate->endpoint,
                                    zmq_strerror (failed))
                 : g_strdup_printf ("%s: %s is closed for a moment: it %s", gate->name, gate->endpoint,
                                    gate->reason != NULL ? gate->reason : "is being bound again"));
  }
  pthread_mutex_unlock (&gates->lock);
}
