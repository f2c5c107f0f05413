/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Neither side looks at the other's sleep while it works; before it sleeps it says so, and looks once more. As both the word and
 * the number are stored and read in one order for all (seq_cst), one of both sees the other.
 */
#include "config.h"

#include "hostwire/zm-ring.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* ---- the writer ---- */

gsize
zm_ring_room (const ZmRingEnd *writer)
{
  guint64 used = writer->at - atomic_load_explicit (&writer->ring->taken, memory_order_acquire);

  return used <= ZM_RING_BYTES ? ZM_RING_BYTES - used : 0;
}

guint8 *
zm_ring_space (const ZmRingEnd *writer)
{
  return writer->bytes + (writer->at & (ZM_RING_BYTES - 1));
}

void
zm_ring_said (ZmRingEnd *writer, gsize size)
{
  writer->at += size;
  atomic_store_explicit (&writer->ring->said, writer->at, memory_order_release);
}

gsize
zm_ring_untold (const ZmRingEnd *writer)
{
  return writer->at - writer->told;
}

gboolean
zm_ring_tell (ZmRingEnd *writer)
{
  if (writer->told == writer->at && atomic_load (&writer->ring->taken) == writer->at)
    return FALSE;
  if (writer->told != writer->at) {
    writer->told = writer->at;
    atomic_store (&writer->ring->told, writer->at);
  }
  return atomic_load (&writer->ring->reader_asks) != 0 &&
         atomic_exchange (&writer->ring->reader_asks, 0) != 0;
}

gboolean
zm_ring_ask_room (ZmRingEnd *writer, gsize size)
{
  guint64 used;

  atomic_store (&writer->ring->writer_asks, 1);
  used = writer->at - atomic_load (&writer->ring->taken);
  if (used > ZM_RING_BYTES || size > ZM_RING_BYTES - used)
    return TRUE;
  atomic_store_explicit (&writer->ring->writer_asks, 0, memory_order_relaxed);
  return FALSE;
}

void
zm_ring_wait_room (ZmRingEnd *writer, gsize size, guint most_ms)
{
  const struct timespec most = { .tv_sec = most_ms / 1000, .tv_nsec = (long) (most_ms % 1000) * 1000000 };
  guint turns = atomic_load (&writer->ring->turns);

  if (zm_ring_ask_room (writer, size))
    syscall (SYS_futex, &writer->ring->turns, FUTEX_WAIT, turns, &most, NULL, 0);
}

/* ---- the reader ---- */

guint64
zm_ring_ready (const ZmRingEnd *reader)
{
  return atomic_load_explicit (&reader->ring->told, memory_order_acquire) - reader->at;
}

gsize
zm_ring_rest (const ZmRingEnd *reader)
{
  guint64 rest = atomic_load (&reader->ring->said) - reader->at;

  return rest <= ZM_RING_BYTES ? rest : 0;
}

const guint8 *
zm_ring_data (const ZmRingEnd *reader)
{
  return reader->bytes + (reader->at & (ZM_RING_BYTES - 1));
}

gboolean
zm_ring_take (ZmRingEnd *reader, gsize size)
{
  reader->at += size;
  atomic_store (&reader->ring->taken, reader->at);
  return atomic_load (&reader->ring->writer_asks) != 0 &&
         atomic_exchange (&reader->ring->writer_asks, 0) != 0;
}

void
zm_ring_wake_writer (ZmRingEnd *reader)
{
  atomic_fetch_add (&reader->ring->turns, 1);
  syscall (SYS_futex, &reader->ring->turns, FUTEX_WAKE, 1, NULL, NULL, 0);
}

gboolean
zm_ring_ask_more (ZmRingEnd *reader, gsize known)
{
  atomic_store (&reader->ring->reader_asks, 1);
  return atomic_load (&reader->ring->told) == reader->at + known;
}

void
zm_ring_awake (ZmRingEnd *reader)
{
  atomic_store_explicit (&reader->ring->reader_asks, 0, memory_order_relaxed);
}
