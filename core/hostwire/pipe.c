/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Neither side looks at the other's sleep while it works; before it sleeps it says so, and looks once more. As both the word and
 * the number are stored and read in one order for all (seq_cst), one of both sees the other.
 */
#include "config.h"

#include "hostwire/zm-pipe.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* ---- the writer ---- */

gsize
zm_pipe_room (const ZmPipeEnd *writer)
{
  guint64 used = writer->at - atomic_load_explicit (&writer->pipe->taken, memory_order_acquire);

  return used <= ZM_PIPE_BYTES ? ZM_PIPE_BYTES - used : 0;
}

guint8 *
zm_pipe_space (const ZmPipeEnd *writer)
{
  return writer->bytes + (writer->at & (ZM_PIPE_BYTES - 1));
}

void
zm_pipe_said (ZmPipeEnd *writer, gsize size)
{
  writer->at += size;
  atomic_store_explicit (&writer->pipe->said, writer->at, memory_order_release);
}

gsize
zm_pipe_untold (const ZmPipeEnd *writer)
{
  return writer->at - writer->told;
}

gboolean
zm_pipe_tell (ZmPipeEnd *writer)
{
  if (writer->told == writer->at && atomic_load (&writer->pipe->taken) == writer->at)
    return FALSE;
  if (writer->told != writer->at) {
    writer->told = writer->at;
    atomic_store (&writer->pipe->told, writer->at);
  }
  return atomic_load (&writer->pipe->reader_asks) != 0 &&
         atomic_exchange (&writer->pipe->reader_asks, 0) != 0;
}

gboolean
zm_pipe_ask_room (ZmPipeEnd *writer, gsize size)
{
  guint64 used;

  atomic_store (&writer->pipe->writer_asks, 1);
  used = writer->at - atomic_load (&writer->pipe->taken);
  if (used > ZM_PIPE_BYTES || size > ZM_PIPE_BYTES - used)
    return TRUE;
  atomic_store_explicit (&writer->pipe->writer_asks, 0, memory_order_relaxed);
  return FALSE;
}

void
zm_pipe_wait_room (ZmPipeEnd *writer, gsize size, guint most_ms)
{
  const struct timespec most = { .tv_sec = most_ms / 1000, .tv_nsec = (long) (most_ms % 1000) * 1000000 };
  guint turns = atomic_load (&writer->pipe->turns);

  if (zm_pipe_ask_room (writer, size))
    syscall (SYS_futex, &writer->pipe->turns, FUTEX_WAIT, turns, &most, NULL, 0);
}

/* ---- the reader ---- */

guint64
zm_pipe_ready (const ZmPipeEnd *reader)
{
  return atomic_load_explicit (&reader->pipe->told, memory_order_acquire) - reader->at;
}

gsize
zm_pipe_rest (const ZmPipeEnd *reader)
{
  guint64 rest = atomic_load (&reader->pipe->said) - reader->at;

  return rest <= ZM_PIPE_BYTES ? rest : 0;
}

const guint8 *
zm_pipe_data (const ZmPipeEnd *reader)
{
  return reader->bytes + (reader->at & (ZM_PIPE_BYTES - 1));
}

gboolean
zm_pipe_take (ZmPipeEnd *reader, gsize size)
{
  reader->at += size;
  atomic_store (&reader->pipe->taken, reader->at);
  return atomic_load (&reader->pipe->writer_asks) != 0 &&
         atomic_exchange (&reader->pipe->writer_asks, 0) != 0;
}

void
zm_pipe_wake_writer (ZmPipeEnd *reader)
{
  atomic_fetch_add (&reader->pipe->turns, 1);
  syscall (SYS_futex, &reader->pipe->turns, FUTEX_WAKE, 1, NULL, NULL, 0);
}

gboolean
zm_pipe_ask_more (ZmPipeEnd *reader, gsize known)
{
  atomic_store (&reader->pipe->reader_asks, 1);
  return atomic_load (&reader->pipe->told) == reader->at + known;
}

void
zm_pipe_awake (ZmPipeEnd *reader)
{
  atomic_store_explicit (&reader->pipe->reader_asks, 0, memory_order_relaxed);
}
