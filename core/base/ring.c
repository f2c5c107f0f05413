/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ring: an array, two running numbers and one lock. Waiters are counted, so that nobody pays for a wake-up that
 * nobody needs; whoever is woken and leaves something over wakes the next.
 */
#include "config.h"

#include "base/zm-ring.h"

#include "base/zm-thread.h"

struct ZmRing {
  pthread_mutex_t lock;
  pthread_cond_t filled; /* consumers wait here */
  pthread_cond_t freed;  /* producers wait here */
  gpointer *slots;       /* the caller's pointers; place of number n: n & (capacity - 1) */
  guint capacity;        /* a power of two */
  guint64 head;          /* number of the next item to take */
  guint64 tail;          /* number of the next item to put */
  guint consumers_waiting;
  guint producers_waiting;
  gboolean closed; /* takes nothing new */
};

/* A power of two, as places are found by a mask. Not more than 2^30, whatever is asked for. */
ZmRing *
zm_ring_new (guint capacity)
{
  ZmRing *ring = g_new0 (ZmRing, 1);

  ring->capacity = 1;
  while (ring->capacity < capacity && ring->capacity < 1u << 30)
    ring->capacity *= 2;
  ring->slots = g_new (gpointer, ring->capacity);
  pthread_mutex_init (&ring->lock, NULL);
  zm_cond_init_monotonic (&ring->filled);
  zm_cond_init_monotonic (&ring->freed);
  return ring;
}

void
zm_ring_free (ZmRing *ring)
{
  if (ring == NULL)
    return;
  pthread_cond_destroy (&ring->filled);
  pthread_cond_destroy (&ring->freed);
  pthread_mutex_destroy (&ring->lock);
  g_free (ring->slots);
  g_free (ring);
}

/* ---- with the lock held ---- */

/* As many as there is room for; none once it is closed. One waiting consumer is woken for one item and all for several:
 * who finds nothing goes back to sleep, which costs less than a consumer that sleeps beside work. */
static guint
put (ZmRing *ring, gpointer const *items, guint n)
{
  guint room = ring->capacity - (guint) (ring->tail - ring->head);
  guint count = ring->closed ? 0 : MIN (n, room);

  for (guint i = 0; i < count; i++)
    ring->slots[(ring->tail + i) & (ring->capacity - 1)] = items[i];
  ring->tail += count;
  if (count > 0 && ring->consumers_waiting > 0) {
    if (count > 1 && ring->consumers_waiting > 1)
      pthread_cond_broadcast (&ring->filled);
    else
      pthread_cond_signal (&ring->filled);
  }
  return count;
}

/* At most so many. One producer is woken, however many places became free: pass_on_room wakes the next. */
static guint
take (ZmRing *ring, gpointer *items, guint most)
{
  guint count = MIN (most, (guint) (ring->tail - ring->head));

  for (guint i = 0; i < count; i++)
    items[i] = ring->slots[(ring->head + i) & (ring->capacity - 1)];
  ring->head += count;
  if (count > 0 && ring->producers_waiting > 0)
    pthread_cond_signal (&ring->freed);
  return count;
}

/* A producer that has all its items in, with room left, passes its wake-up on to the next. */
static void
pass_on_room (ZmRing *ring)
{
  if (ring->producers_waiting > 0 && ring->tail - ring->head < ring->capacity)
    pthread_cond_signal (&ring->freed);
}

/* ---- the door ---- */

/* Waits for room, and puts in what fits meanwhile: a batch that is larger than the ring goes through it in pieces, and
 * others' items may come between. FALSE: it was closed; *given were taken and will be popped. */
gboolean
zm_ring_push (ZmRing *ring, gpointer const *items, guint n, guint *given)
{
  guint done = 0;

  pthread_mutex_lock (&ring->lock);
  for (;;) {
    done += put (ring, items + done, n - done);
    if (done == n || ring->closed)
      break;
    ring->producers_waiting++;
    pthread_cond_wait (&ring->freed, &ring->lock);
    ring->producers_waiting--;
  }
  pass_on_room (ring);
  pthread_mutex_unlock (&ring->lock);
  if (given != NULL)
    *given = done;
  return done == n;
}

/* Never waits: how many were taken, from the front. */
guint
zm_ring_try_push (ZmRing *ring, gpointer const *items, guint n)
{
  guint done;

  pthread_mutex_lock (&ring->lock);
  done = put (ring, items, n);
  pthread_mutex_unlock (&ring->lock);
  return done;
}

/* FALSE: the time is over. until_us negative: there is no limit. */
static gboolean
wait_filled (ZmRing *ring, gint64 until_us)
{
  gboolean in_time = TRUE;

  ring->consumers_waiting++;
  if (until_us < 0)
    pthread_cond_wait (&ring->filled, &ring->lock);
  else
    in_time = zm_cond_wait_until (&ring->filled, &ring->lock, until_us);
  ring->consumers_waiting--;
  return in_time;
}

/* 0: the time is over, or the ring is closed and empty: what was in it when it was closed still comes out. */
guint
zm_ring_pop (ZmRing *ring, gpointer *items, guint most, gint64 until_us)
{
  gboolean in_time = TRUE;
  guint count;

  pthread_mutex_lock (&ring->lock);
  while (ring->head == ring->tail && !ring->closed && in_time)
    in_time = wait_filled (ring, until_us);
  count = take (ring, items, most);
  /* A push that met one waiter woke one; what it left over is for the others. */
  if (count > 0 && ring->consumers_waiting > 0 && ring->head != ring->tail)
    pthread_cond_signal (&ring->filled);
  pthread_mutex_unlock (&ring->lock);
  return count;
}

guint
zm_ring_try_pop (ZmRing *ring, gpointer *items, guint most)
{
  guint count;

  pthread_mutex_lock (&ring->lock);
  count = take (ring, items, most);
  pthread_mutex_unlock (&ring->lock);
  return count;
}

guint
zm_ring_length (ZmRing *ring)
{
  guint length;

  pthread_mutex_lock (&ring->lock);
  length = (guint) (ring->tail - ring->head);
  pthread_mutex_unlock (&ring->lock);
  return length;
}

guint
zm_ring_capacity (const ZmRing *ring)
{
  return ring->capacity;
}

/* All who wait come back: producers with what they could not give, consumers with what is left. */
void
zm_ring_close (ZmRing *ring)
{
  pthread_mutex_lock (&ring->lock);
  ring->closed = TRUE;
  pthread_cond_broadcast (&ring->filled);
  pthread_cond_broadcast (&ring->freed);
  pthread_mutex_unlock (&ring->lock);
}

gboolean
zm_ring_closed (ZmRing *ring)
{
  gboolean closed;

  pthread_mutex_lock (&ring->lock);
  closed = ring->closed;
  pthread_mutex_unlock (&ring->lock);
  return closed;
}
