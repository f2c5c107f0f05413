/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tickets: deferred calls, and callers inside the daemon (zm_call_action). A ticket is 64 bits: kind in the top bit, a
 * number that counts up with each use of the slot, and the slot; a stale one is recognised by its number.
 */
#pragma once

#include "worker/internal.h"

G_BEGIN_DECLS

/* Set in tickets of callers, so that a plugin cannot complete one, nor a reply end a deferred call. */
#define ZM_TICKET_CALLER (G_GUINT64_CONSTANT (1) << 63)

/* Of a deferred call: RUNNING until its action has returned, then DEFERRED. One that was completed while it was RUNNING is
 * EARLY: the action's thread still works on the run, so that what was said is kept aside. */
typedef enum { ZM_SLOT_FREE, ZM_SLOT_RUNNING, ZM_SLOT_EARLY, ZM_SLOT_DEFERRED, ZM_SLOT_CALLER } ZmSlotState;

/* A copy of what a plugin gave to zm_complete. */
typedef struct ZmOutcome {
  int status;
  ZmReply reply;
  char *code, *text;
} ZmOutcome;

typedef struct ZmSlot {
  ZmSlotState state;
  guint64 ticket;   /* as it was given out last */
  guint32 number;   /* how often this slot was used */
  guint next_free;  /* index + 1 */
  ZmRun *run;       /* RUNNING, EARLY: the action's; DEFERRED: owned */
  ZmOutcome *early; /* EARLY: owned */
  /* of a caller */
  ZmGeneration *generation; /* a reference */
  zm_result_fn done;
  void *user;
  ZmTimer timer;
  ZmPool *pool;
} ZmSlot;

struct ZmTickets {
  pthread_mutex_t
      lock; /* all of this, and the states of the slots; held for moments, never while a plugin runs */
  GPtrArray *chunks;            /* of slots: their addresses stay, as timers point to them */
  guint most, used, first_free; /* first_free: index + 1 */
  gboolean closed;              /* the pool ends: no new ones */
};

/* All of these under the lock. */
guint zm_slot_count (const ZmTickets *tickets); /* that there are, free ones included */
ZmSlot *zm_slot_at (ZmTickets *tickets, guint index);
/* kind: 0 or ZM_TICKET_CALLER. Returns the ticket; 0: all are in use, or the pool ends. */
guint64 zm_slot_take (ZmTickets *tickets, guint64 kind, ZmSlot **slot);
ZmSlot *zm_slot_find (ZmTickets *tickets, guint64 ticket); /* NULL: stale, or nobody's */
void zm_slot_release (ZmTickets *tickets, ZmSlot *slot);

G_END_DECLS
