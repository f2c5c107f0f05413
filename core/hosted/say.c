/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The way out: all that is said is in the page at once, and is sent with as few system calls as the moment allows. What
 * calls say goes with their results; what is said elsewhere waits a moment for company unless it is the first for a while.
 */
#include "config.h"

#include "hosted/hosted-private.h"

#include <stdint.h>
#include <unistd.h>

void
zm_hosted_say_now (ZmHosted *hosted, const ZmRecord *record)
{
  zm_host_out_say (hosted->out, record, TRUE);
}

void
zm_hosted_say_status (ZmHosted *hosted, ZmRecordKind kind, guint64 id, int status, const char *error)
{
  const ZmRecord record = { .kind = kind,
                            .id = id,
                            .n_numbers = 1,
                            .numbers = { (guint64) (gint64) status },
                            .n_parts = 1,
                            .parts = { zm_span_text (error) } };

  zm_hosted_say_now (hosted, &record);
}

/* The first one for a while goes at once, those that follow it in short order go together. */
static void
say_soon (ZmHosted *hosted, const ZmRecord *record)
{
  gint64 now_us = zm_now_us ();
  gboolean quiet =
      now_us - atomic_load_explicit (&hosted->sent_us, memory_order_relaxed) >= ZM_HOSTED_SOON_US;
  static const uint64_t one = 1;

  if (quiet)
    atomic_store_explicit (&hosted->sent_us, now_us, memory_order_relaxed);
  zm_host_out_say (hosted->out, record, quiet);
  /* It can only fail where the reader is to wake up already. */
  if (!quiet && !atomic_exchange (&hosted->armed, TRUE) && write (hosted->wake, &one, sizeof one) < 0)
    return;
}

/* In a thread of a crew it goes with the result of its call. */
void
zm_hosted_say (ZmHosted *hosted, const ZmRecord *record)
{
  ZmHostedThread *thread = zm_hosted_here ()->executor;

  if (thread == NULL) {
    say_soon (hosted, record);
    return;
  }
  zm_host_out_say (hosted->out, record, FALSE);
  thread->unsent++;
}

/* Sent where nothing waits behind it, or enough has come together. */
void
zm_hosted_say_result (ZmHosted *hosted, const ZmRecord *record)
{
  ZmHostedThread *thread = zm_hosted_here ()->executor;
  gboolean send = thread != NULL && (thread->last || thread->unsent + 1 >= ZM_HOSTED_UNSENT);

  if (thread == NULL) {
    say_soon (hosted, record);
    return;
  }
  zm_host_out_say (hosted->out, record, send);
  thread->unsent = send ? 0 : thread->unsent + 1;
}
