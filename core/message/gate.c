/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Gates of bound endpoints. A gate goes round: open -> closing (the thread saw too many) -> shut (the owner has un-bound) ->
 * opening (a second later) -> open (the owner has bound). Each of them writes the state only where it is its turn.
 */
#include "config.h"

#include "message/zm-gate.h"

#include "base/zm-base.h"
#include "base/zm-thread.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <zmq.h>

#define SHUT_US     (1 * G_USEC_PER_SEC)
#define REMIND_MS   100
#define EVENTS_MOST 1000 /* of one monitor at a time, so that a flood cannot keep the others waiting */
#define EVENTS_ASKED \
  (ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_ACCEPT_FAILED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CLOSED)

typedef enum { GATE_OPEN, GATE_CLOSING, GATE_SHUT, GATE_OPENING } ZmGateState;

struct ZmGate {
  ZmGates *gates;
  char *name, *endpoint;
  guint limit;
  void *socket; /* the owner's */
  void *events; /* the monitor's other end: the thread's, once the gate is in the list */
  ZmGateWake wake;
  gpointer user;
  atomic_int state;  /* ZmGateState */
  atomic_int failed; /* errno of the last attempt to bind again */
  ZmCounter *connections, *shuts;
  /* The rest under the lock of the gates. */
  GHashTable *open;   /* descriptors of the connections: a set cannot drift where a number would */
  gint64 reopen_us;   /* SHUT: when to open again; 0: not yet known */
  const char *reason; /* static */
  gboolean gone;      /* the owner has left it; the thread frees it */
};

struct ZmGates {
  void *zmq;
  ZmLog *log;
  ZmMetrics *metrics;
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t freed;
  int wake; /* eventfd */
  gboolean stopping;
  guint64 serial;  /* for names of monitors */
  GPtrArray *list; /* ZmGate */
};

/* Wakes the thread. A full eventfd means that it wakes anyway. */
static void
poke (ZmGates *gates)
{
  guint64 one = 1;
  ssize_t written = write (gates->wake, &one, sizeof one);
  (void) written;
}

/* ---- events ---- */

/* One event: a frame of its number (16 bits) and value (32 bits), and one of the address. FALSE: there is none. */
static gboolean
read_event (void *events, guint16 *event, gint32 *value)
{
  zmq_msg_t frame;
  gboolean got;
  zmq_msg_init (&frame);
  got = zmq_msg_recv (&frame, events, ZMQ_DONTWAIT) == (int) (sizeof *event + sizeof *value);
  if (got) {
    const char *data = zmq_msg_data (&frame);
    memcpy (event, data, sizeof *event);
    memcpy (value, data + sizeof *event, sizeof *value);
  }
  while (zmq_msg_more (&frame) && zmq_msg_recv (&frame, events, ZMQ_DONTWAIT) >= 0)
    continue;
  zmq_msg_close (&frame);
  return got;
}

/* While it is open, or just about to be; what comes in between belongs to connections that are gone. */
static void
take_event (ZmGate *gate, guint16 event, gint32 value)
{
  switch (event) {
  case ZMQ_EVENT_ACCEPTED: g_hash_table_add (gate->open, GINT_TO_POINTER (value)); break;
  case ZMQ_EVENT_DISCONNECTED: g_hash_table_remove (gate->open, GINT_TO_POINTER (value)); break;
  case ZMQ_EVENT_ACCEPT_FAILED: gate->reason = "could not accept a connection (out of descriptors?)"; break;
  default: break;
  }
  if (g_hash_table_size (gate->open) > gate->limit)
    gate->reason = "has more connections than its limit";
}

static void
read_events (ZmGate *gate)
{
  int state = atomic_load (&gate->state);
  gboolean counts = state == GATE_OPEN || state == GATE_OPENING;
  guint16 event;
  gint32 value;
  for (guint i = 0; i < EVENTS_MOST && read_event (gate->events, &event, &value); i++)
    if (counts)
      take_event (gate, event, value);
  zm_counter_set (gate->connections, g_hash_table_size (gate->open));
}

/* ---- the thread ---- */

static void
close_gate (ZmGate *gate)
{
  zm_counter_add (gate->shuts, 1);
  zm_log_limited (gate->gates->log, ZM_LEVEL_WARNING, "gate", gate->endpoint,
                  "%s: %s %s (%u connections, limit %u); it is closed for a second", gate->name,
                  gate->endpoint, gate->reason, g_hash_table_size (gate->open), gate->limit);
  gate->reopen_us = 0;
  atomic_store (&gate->state, GATE_CLOSING);
}

/* What time and events ask of one gate. */
static void
step (ZmGate *gate, gint64 now_us)
{
  int state = atomic_load (&gate->state);
  if (state == GATE_OPEN && gate->reason != NULL) {
    close_gate (gate);
  } else if (state == GATE_SHUT && gate->reopen_us == 0) {
    gate->reopen_us = now_us + SHUT_US;
    g_hash_table_remove_all (gate->open);
    zm_counter_set (gate->connections, 0);
  } else if (state == GATE_SHUT && gate->reopen_us <= now_us) {
    gate->reopen_us = 0;
    gate->reason = NULL;
    atomic_store (&gate->state, GATE_OPENING);
  }
  state = atomic_load (&gate->state);
  if (state == GATE_CLOSING || state == GATE_OPENING)
    gate->wake (gate->user);
}

/* Milliseconds until one of them needs a look; -1: none. */
static int
next_look (ZmGates *gates, gint64 now_us)
{
  gint64 least = G_MAXINT64;
  for (guint i = 0; i < gates->list->len; i++) {
    ZmGate *gate = gates->list->pdata[i];
    int state = atomic_load (&gate->state);
    if (state == GATE_CLOSING || state == GATE_OPENING || (state == GATE_SHUT && gate->reopen_us == 0))
      least = MIN (least, REMIND_MS);
    else if (state == GATE_SHUT)
      least = MIN (least, (MAX (gate->reopen_us - now_us, 0) + 999) / 1000);
  }
  return least == G_MAXINT64 ? -1 : (int) least;
}

static void
gate_destroy (ZmGate *gate)
{
  zmq_close (gate->events);
  zm_metrics_remove (gate->gates->metrics, gate->connections);
  zm_metrics_remove (gate->gates->metrics, gate->shuts);
  g_hash_table_unref (gate->open);
  g_free (gate->name);
  g_free (gate->endpoint);
  g_free (gate);
}

static void
sweep (ZmGates *gates)
{
  for (guint i = gates->list->len; i > 0; i--) {
    ZmGate *gate = gates->list->pdata[i - 1];
    if (!gate->gone)
      continue;
    g_ptr_array_remove_index_fast (gates->list, i - 1);
    gate_destroy (gate);
  }
  pthread_cond_broadcast (&gates->freed);
}

/* Under the lock. The caller frees. */
static zmq_pollitem_t *
poll_items (ZmGates *gates, int *n)
{
  zmq_pollitem_t *items = g_new0 (zmq_pollitem_t, gates->list->len + 1);
  items[0] = (zmq_pollitem_t){ .fd = gates->wake, .events = ZMQ_POLLIN };
  for (guint i = 0; i < gates->list->len; i++)
    items[i + 1] =
        (zmq_pollitem_t){ .socket = ((ZmGate *) gates->list->pdata[i])->events, .events = ZMQ_POLLIN };
  *n = (int) gates->list->len + 1;
  return items;
}

static void
look (ZmGates *gates)
{
  gint64 now_us = zm_now_us ();
  for (guint i = 0; i < gates->list->len; i++) {
    ZmGate *gate = gates->list->pdata[i];
    if (gate->gone)
      continue;
    read_events (gate);
    step (gate, now_us);
  }
  sweep (gates);
}

static void *
run (void *user)
{
  ZmGates *gates = user;
  guint64 count;
  pthread_mutex_lock (&gates->lock);
  while (!gates->stopping) {
    int n = 0;
    int timeout = next_look (gates, zm_now_us ());
    g_autofree zmq_pollitem_t *items = poll_items (gates, &n);
    pthread_mutex_unlock (&gates->lock);
    if (zmq_poll (items, n, timeout) > 0 && items[0].revents != 0) {
      ssize_t got = read (gates->wake, &count, sizeof count);
      (void) got;
    }
    pthread_mutex_lock (&gates->lock);
    look (gates);
  }
  pthread_mutex_unlock (&gates->lock);
  return NULL;
}

/* ---- the gates ---- */

ZmGates *
zm_gates_new (void *zmq, ZmLog *log, ZmMetrics *metrics, GError **error)
{
  ZmGates *gates = g_new0 (ZmGates, 1);
  int rc;
  gates->zmq = zmq;
  gates->log = log;
  gates->metrics = metrics;
  gates->list = g_ptr_array_new ();
  pthread_mutex_init (&gates->lock, NULL);
  pthread_cond_init (&gates->freed, NULL);
  gates->wake = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  rc = gates->wake < 0 ? errno : zm_thread_create (&gates->thread, "zm-gates", run, gates);
  if (rc == 0)
    return gates;
  g_set_error (error, ZM_ERROR, ZM_ERROR_IO, "cannot watch connections: %s", g_strerror (rc));
  if (gates->wake >= 0)
    close (gates->wake);
  pthread_cond_destroy (&gates->freed);
  pthread_mutex_destroy (&gates->lock);
  g_ptr_array_unref (gates->list);
  g_free (gates);
  return NULL;
}

void
zm_gates_free (ZmGates *gates)
{
  if (gates == NULL)
    return;
  pthread_mutex_lock (&gates->lock);
  gates->stopping = TRUE;
  pthread_mutex_unlock (&gates->lock);
  poke (gates);
  pthread_join (gates->thread, NULL);
  close (gates->wake);
  pthread_cond_destroy (&gates->freed);
  pthread_mutex_destroy (&gates->lock);
  g_ptr_array_unref (gates->list);
  g_free (gates);
}

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
  poke (gates);
  return gate;
}

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
  poke (gate->gates);
}

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
  poke (gates);
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
