/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the thread of the gates (gates.c) and the owners' side (gate.c) share. A gate goes round: open -> closing (the thread saw
 * too many) -> shut (the owner has un-bound) -> opening (a second later) -> open (the owner has bound). Each of them writes the
 * state only where it is its turn.
 */
#pragma once

#include "base/zm-thread.h"
#include "message/zm-gate.h"

#include <stdatomic.h>

G_BEGIN_DECLS

typedef enum { GATE_OPEN, GATE_CLOSING, GATE_SHUT, GATE_OPENING } ZmGateState;

struct ZmGate {
  ZmGates *gates;
  char *name, *endpoint;          /* never change, as the limit */
  guint limit;                    /* connections */
  void *socket;                   /* the owner's */
  void *events;                   /* the monitor's other end: the thread's, once the gate is in the list */
  ZmGateWake wake;                /* called in the thread, under the lock of the gates */
  gpointer user;                  /* of wake */
  atomic_int state;               /* ZmGateState */
  atomic_int failed;              /* errno of the last attempt to bind again */
  ZmCounter *connections, *shuts; /* the metrics'; removed with the gate */
  /* The rest under the lock of the gates. */
  GHashTable *open;   /* descriptors of the connections: a set cannot drift where a number would */
  gint64 reopen_us;   /* SHUT: when to open again; 0: not yet known */
  const char *reason; /* static */
  gboolean gone;      /* the owner has left it; the thread frees it */
};

struct ZmGates {
  void *zmq; /* borrowed, as the next two */
  ZmLog *log;
  ZmMetrics *metrics;
  pthread_t thread;
  pthread_mutex_t lock; /* of what follows, and of the gates' last members */
  pthread_cond_t freed; /* some gates were */
  int wake;             /* eventfd */
  gboolean stopping;    /* the thread ends */
  guint64 serial;       /* for names of monitors */
  GPtrArray *list;      /* ZmGate, owned; only the thread takes off */
};

/* Wakes the thread, which then looks at every gate. Any thread. */
void zm_gates_poke (ZmGates *gates);

G_END_DECLS
