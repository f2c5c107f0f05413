/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The page: memory that the daemon shares with one host, and that outlives it. It tells what no message could tell any more
 * when the host dies: which calls had started, whose code it was that crashed, and what the host had said and not yet sent.
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

#include "hostwire/zm-record.h"

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

#define ZM_PAGE_MAGIC   0x5a4d5047u
#define ZM_PAGE_SLOTS   256
#define ZM_PAGE_JOURNAL ((gsize) 64 << 10)

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
  /* What the host says: journal[0 … journal_end) stands at journal_base of all that it ever said. */
  atomic_ullong journal_base;
  atomic_ullong journal_end;
  guint8 journal[ZM_PAGE_JOURNAL];
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
/* The daemon's, once the host is dead and its socket read to the end: what it said after those bytes (`heard` of them), as
 * far as it came. Appends to out. */
void zm_page_rest (const ZmPage *page, guint64 heard, GByteArray *out);

/* ---- the host's way out: each record is in the page before the next call begins ---- */

typedef struct ZmHostOut ZmHostOut;

/* fd is borrowed; a blocking stream socket. */
ZmHostOut *zm_host_out_new (ZmPage *page, int fd);
void zm_host_out_free (ZmHostOut *out);
/* Says it: it survives the end of this process from here on. Sent with the next flush, or at once where it is too large for
 * the page. Any thread; may wait for the daemon to read. FALSE: the daemon is gone. */
gboolean zm_host_out_say (ZmHostOut *out, const ZmRecord *record, gboolean flush);
/* Sends what was said. Any thread. FALSE: the daemon is gone. */
gboolean zm_host_out_flush (ZmHostOut *out);
/* Is anything said and not sent? Any thread. */
gboolean zm_host_out_waits (ZmHostOut *out);

G_END_DECLS
