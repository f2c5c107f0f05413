/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The thread of the gates: it reads what the monitors of all sockets tell, and says when one is to be shut or opened.
 *
 * A socket is not thread safe, its monitor is a socket of its own: so the thread has the monitors, the owner has the socket, and
 * between the two goes the state, one step each in turn. What the thread wants done it asks for (wake) until it is done.
 */
#include "config.h"

#include "message/gate-private.h"

#include "base/zm-base.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <zmq.h>

#define SHUT_US     (1 * G_USEC_PER_SEC)
#define REMIND_MS   100
#define EVENTS_MOST 1000 /* of one monitor at a time, so that a flood cannot keep the others waiting */

/* From any thread; an eventfd, as the thread sleeps in zmq_poll beside its sockets. */
void
zm_gates_poke (ZmGates *gates)
{
  guint64 one = 1;
  /* A full one means that it wakes anyway. */
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

/* While it is open, or just about to be; what comes in between belongs to connections that are gone. A reason, once
 * there is one, stays until the endpoint is open again: it is shown. */
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

/* In the thread, under the lock, as the set of connections is shown by others. At most EVENTS_MOST of them: poll comes
 * back at once where there are more. */
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

/* The thread may not touch the socket, which is its owner's: it only says what is to be done, and wakes the owner. */
static void
close_gate (ZmGate *gate)
{
  zm_counter_add (gate->shuts, 1);
  zm_log_limited (gate->gates->log, ZM_LEVEL_WARNING, "gate", "shut",
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

/* Milliseconds until one of them needs a look; -1: none. An owner that has not yet done its part is reminded: it may
 * have been in the middle of something. */
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

/* In the thread, as the monitor's end is its socket. Its figures go with it. */
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

/* Frees those that their owners have left, and tells the owners, who wait for that. */
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

/* Made anew for each wait, as the list changes; the sockets in it stay valid, since only this thread closes them. */
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

/* One turn over all gates, under the lock. */
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

/* The lock is let go only while it sleeps. What happens meanwhile (a gate made, freed, turned) comes with a poke. */
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

/* The thread sleeps until there is a gate. */
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

/* Once no gate is left: those free their monitors in the thread that ends here. */
void
zm_gates_free (ZmGates *gates)
{
  if (gates == NULL)
    return;
  pthread_mutex_lock (&gates->lock);
  gates->stopping = TRUE;
  pthread_mutex_unlock (&gates->lock);
  zm_gates_poke (gates);
  pthread_join (gates->thread, NULL);
  close (gates->wake);
  pthread_cond_destroy (&gates->freed);
  pthread_mutex_destroy (&gates->lock);
  g_ptr_array_unref (gates->list);
  g_free (gates);
}
