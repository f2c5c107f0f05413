/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The page: memory that the daemon shares with one host, and that outlives it. All that they say to each other goes through
 * it, and it tells what no message could tell any more when the host dies: which calls had started, whose code it was that
 * crashed, and what the host had said that was not read yet.
 *
 * A slot is a credit: the daemon fills a free one with each call that it sends. Only compare-and-swap changes it, so that a
 * call is either started by the host or taken back by the daemon, never both:
 *
 *   FREE -> QUEUED (daemon) -> STARTED (host) -> FREE (daemon, when DONE or DEFERRED was read)
 *                           -> FREE (daemon: taken back)
 *
 * A host may be insane: the daemon never uses a number of the page as an index without a check, and believes it only about
 * calls of this very host.
 */
#pragma once

#include "hostwire/zm-pipe.h"
#include "hostwire/zm-record.h"

G_BEGIN_DECLS

#define ZM_PAGE_MAGIC 0x5a4d5047u
#define ZM_PAGE_SLOTS 256
#define ZM_PAGE_HEAD \
  ((gsize) 64 << 10) /* bytes before the pipes: ZmPage, and whole pages of memory whatever their size */
#define ZM_PAGE_BYTES (ZM_PAGE_HEAD + 2 * ZM_PIPE_BYTES) /* of the shared memory */

typedef enum { ZM_SLOT_IS_FREE, ZM_SLOT_IS_QUEUED, ZM_SLOT_IS_STARTED } ZmPageState;

typedef struct ZmPageSlot {
  atomic_ullong word;               /* call serial << 2 | state */
  ZM_PAGE_ATOMIC (gint64) began_us; /* CLOCK_MONOTONIC; by the host, before it says STARTED */
  atomic_uint cancelled;            /* by the daemon: nobody waits for it any more */
} ZmPageSlot;

typedef struct ZmPage {
  guint32 magic;
  /* By the thread that dies, in its signal handler or at its exit: 0 until then. */
  atomic_uint dying_signal;       /* or ZM_PAGE_EXIT */
  atomic_uint dying_slot;         /* + 1; 0: no call of a slot */
  atomic_ullong dying_generation; /* whose code it was as far as is known; 0: not known */
  atomic_ullong loading; /* the generation whose constructor, init, start, stop or fini runs now, or 0 */
  ZmPageSlot slots[ZM_PAGE_SLOTS];
  ZmPipe to_host, from_host; /* records; their bytes stand behind this, at ZM_PAGE_HEAD */
} ZmPage;

#define ZM_PAGE_EXIT 1000u /* dying_signal: it called exit () */

static inline unsigned long long
zm_page_word (guint64 serial, ZmPageState state)
{
  return serial << 2 | state;
}

/* The daemon's: a page of its own in *fd, which a child can be given. NULL with error. */
ZmPage *zm_page_new (int *fd, GError **error);
/* The host's: the page behind that descriptor, which is then closed. NULL with error. */
ZmPage *zm_page_open (int fd, GError **error);
void zm_page_free (ZmPage *page);
/* One side's own view of a way, at its beginning. */
ZmPipeEnd zm_page_to_host (ZmPage *page);
ZmPipeEnd zm_page_from_host (ZmPage *page);

/* ---- the bell: a byte on the socket that wakes the other side; its end is the end of the other side ---- */

/* FALSE: the other side is gone. told: of which the reader is woken, or NULL; where the system has no memory to wake it, it is
 * marked as asleep again, so that the next zm_pipe_tell does. */
gboolean zm_bell_ring (int fd, const ZmPipeEnd *told);
/* Takes what was rung, without waiting. FALSE: the other side is gone. */
gboolean zm_bell_heard (int fd);

/* ---- the host's way out: each record is in the page before the next call begins ---- */

typedef struct ZmHostOut ZmHostOut;

/* fd is borrowed: the bell. */
ZmHostOut *zm_host_out_new (ZmPage *page, int fd);
void zm_host_out_free (ZmHostOut *out);
/* Says it: it survives the end of this process from here on. Told with the next flush, or at once where there is much. Any
 * thread; may wait for the daemon to read. FALSE: it is larger than a record may be, or the daemon is gone. */
gboolean zm_host_out_say (ZmHostOut *out, const ZmRecord *record, gboolean flush);
/* Tells what was said. Any thread. FALSE: the daemon is gone. */
gboolean zm_host_out_flush (ZmHostOut *out);

G_END_DECLS
