/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A stream of bytes in memory that two processes share, with one writer and one reader. No system call copies what goes
 * through it, and what was put in survives the writer. Either side sleeps when it has nothing to do, and is woken by the
 * other one: how is not this file's business (a byte on a socket, mostly).
 *
 * Each side has a ZmPipeEnd of its own. What the other side may write over is checked before it is used, so that a host that
 * is insane harms nobody but itself.
 */
#pragma once

#include <glib.h>

/* The same bytes in both languages. */
#ifdef __cplusplus
#include <atomic>
using std::atomic_uint;
using std::atomic_ullong;
#define ZM_PAGE_ATOMIC(type) std::atomic<type>
#else
#include <stdatomic.h>
#define ZM_PAGE_ATOMIC(type) _Atomic (type)
#endif

G_BEGIN_DECLS

#define ZM_PIPE_BYTES ((gsize) 128 << 10) /* a power of two, and whole pages of memory whatever their size */
#define ZM_PIPE_LINE  64                  /* bytes that go together from processor to processor */

/* Counts are of all bytes that ever went through. */
typedef struct ZmPipe {
  /* The writer's. */
  atomic_ullong said;      /* stand in the pipe: they count from this store on */
  atomic_ullong told;      /* of them, those that the reader is to take now */
  atomic_uint reader_asks; /* the reader sleeps: it is to be woken when more is told */
  char space[ZM_PIPE_LINE - 20];
  /* The reader's. */
  atomic_ullong taken;
  atomic_uint writer_asks; /* the writer waits for room: it is to be woken when something was taken */
  atomic_uint turns;       /* counts those wake-ups, for a writer that waits in the kernel */
  char more_space[ZM_PIPE_LINE - 16];
} ZmPipe;

typedef struct ZmPipeEnd {
  ZmPipe *pipe;
  guint8 *bytes; /* ZM_PIPE_BYTES of them, twice in a row: whatever is in the pipe is in one piece */
  guint64 at;    /* bytes written, or read */
  guint64 told;  /* the writer's */
} ZmPipeEnd;

/* ---- the writer ---- */

/* Bytes that may be put in at once. 0 also where the reader's number is nonsense. */
gsize zm_pipe_room (const ZmPipeEnd *writer);
/* Where they go. */
guint8 *zm_pipe_space (const ZmPipeEnd *writer);
/* So many are there now. */
void zm_pipe_said (ZmPipeEnd *writer, gsize size);
/* Bytes that were said and not told. */
gsize zm_pipe_untold (const ZmPipeEnd *writer);
/* The reader may take all that was said. TRUE: it sleeps beside something that it has not taken, and the caller wakes it. */
gboolean zm_pipe_tell (ZmPipeEnd *writer);
/* Asks to be woken when there is room for so many bytes. FALSE: there is. */
gboolean zm_pipe_ask_room (ZmPipeEnd *writer, gsize size);
/* Waits for that in the kernel, at most so long; it may come back sooner. */
void zm_pipe_wait_room (ZmPipeEnd *writer, gsize size, guint most_ms);

/* ---- the reader ---- */

/* Bytes that it may take; more than ZM_PIPE_BYTES: the writer's number is nonsense. */
guint64 zm_pipe_ready (const ZmPipeEnd *reader);
/* All that was said, told or not: for when the writer is dead. 0 where its number is nonsense. */
gsize zm_pipe_rest (const ZmPipeEnd *reader);
const guint8 *zm_pipe_data (const ZmPipeEnd *reader);
/* So many were taken. TRUE: the writer waits for it, and the caller wakes it. */
gboolean zm_pipe_take (ZmPipeEnd *reader, gsize size);
/* Wakes a writer that waits in the kernel. */
void zm_pipe_wake_writer (ZmPipeEnd *reader);
/* Asks to be woken when something is told, beside so many bytes that are ready and of no use alone. FALSE: it is there. */
gboolean zm_pipe_ask_more (ZmPipeEnd *reader, gsize known);
/* It is awake, whoever woke it. */
void zm_pipe_awake (ZmPipeEnd *reader);

G_END_DECLS
