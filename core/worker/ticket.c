/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of tickets: slots in chunks, with a list of the free ones. */
#include "worker/ticket-private.h"

#define CHUNK 64

ZmTickets *
zm_tickets_new (guint most)
{
  ZmTickets *tickets = g_new0 (ZmTickets, 1);
  pthread_mutex_init (&tickets->lock, NULL);
  tickets->chunks = g_ptr_array_new_with_free_func (g_free);
  tickets->most = most;
  return tickets;
}

void
zm_tickets_free (ZmTickets *tickets)
{
  pthread_mutex_destroy (&tickets->lock);
  g_ptr_array_unref (tickets->chunks);
  g_free (tickets);
}

guint
zm_slot_count (const ZmTickets *tickets)
{
  return tickets->chunks->len * CHUNK;
}

ZmSlot *
zm_slot_at (ZmTickets *tickets, guint index)
{
  return (ZmSlot *) tickets->chunks->pdata[index / CHUNK] + index % CHUNK;
}

/* Slots are made in chunks and never given back: who was used once is used again, and its address stays. */
guint64
zm_slot_take (ZmTickets *tickets, guint64 kind, ZmSlot **slot)
{
  if (tickets->used >= tickets->most || tickets->closed)
    return 0;
  if (!tickets->first_free) {
    guint base = zm_slot_count (tickets);
    g_ptr_array_add (tickets->chunks, g_new0 (ZmSlot, CHUNK));
    for (guint i = CHUNK; i > 0; i--) {
      zm_slot_at (tickets, base + i - 1)->next_free = tickets->first_free;
      tickets->first_free = base + i;
    }
  }
  guint index = tickets->first_free - 1;
  *slot = zm_slot_at (tickets, index);
  tickets->first_free = (*slot)->next_free;
  tickets->used++;
  (*slot)->number = ((*slot)->number + 1) & 0x7fffffff;
  (*slot)->ticket = kind | (guint64) (*slot)->number << 32 | (index + 1);
  return (*slot)->ticket;
}

/* A ticket of an earlier use has another number, so a late completion finds nothing. */
ZmSlot *
zm_slot_find (ZmTickets *tickets, guint64 ticket)
{
  guint index = (guint) (ticket & 0xffffffff);
  if (!index || index > zm_slot_count (tickets))
    return NULL;
  ZmSlot *slot = zm_slot_at (tickets, index - 1);
  return slot->state != ZM_SLOT_FREE && slot->ticket == ticket ? slot : NULL;
}

void
zm_slot_release (ZmTickets *tickets, ZmSlot *slot)
{
  guint index = (guint) (slot->ticket & 0xffffffff);
  slot->state = ZM_SLOT_FREE;
  slot->run = NULL;
  slot->next_free = tickets->first_free;
  tickets->first_free = index;
  tickets->used--;
}

guint
zm_tickets_count (ZmPool *pool)
{
  pthread_mutex_lock (&pool->tickets->lock);
  guint used = pool->tickets->used;
  pthread_mutex_unlock (&pool->tickets->lock);
  return used;
}
