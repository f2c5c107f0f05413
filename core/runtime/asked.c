/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What plugins have asked the store for and not heard of yet: each is told once, in a worker. Bounded, so that a plugin that
 * puts faster than the disk writes hears of it.
 */
#include "config.h"

#include "plugin/zm-event.h"
#include "runtime/hosting-private.h"
#include "runtime/private.h"

/* Of all plugins together; the bytes are bounded by the store. */
#define ASKED_MOST 16384

struct ZmAsked {
  atomic_int refs; /* who asks, until it has returned; and the answer */
  ZmHosting *hosting;
  ZmGeneration *generation; /* a reference */
  zm_done_fn done;
  void *user;
  gint64 until_us; /* of who waits for something to become empty; else 0 */
  /* An answer that comes while the asking function still runs, in its own thread, is returned by that function. */
  pthread_t thread;
  atomic_bool asking;
  gboolean answered; /* so, with this status */
  int status;
};

static const char holder[] = "stored request";

ZmAsked *
zm_asked_new (ZmGeneration *generation, zm_done_fn done, void *user)
{
  ZmRuntime *runtime = zm_generation_owner (generation);
  ZmHosting *hosting = runtime->hosting;
  ZmAsked *asked;

  if (atomic_fetch_add (&hosting->asked, 1) >= ASKED_MOST) {
    atomic_fetch_sub (&hosting->asked, 1);
    return NULL;
  }
  asked = g_new0 (ZmAsked, 1);
  atomic_init (&asked->refs, 2);
  atomic_init (&asked->asking, TRUE);
  asked->hosting = hosting;
  asked->generation = zm_generation_ref (generation, holder);
  asked->done = done;
  asked->user = user;
  asked->thread = pthread_self ();
  return asked;
}

void
zm_asked_until (ZmAsked *asked, gint64 until_us)
{
  asked->until_us = until_us;
}

static void
unref (ZmAsked *asked)
{
  if (atomic_fetch_sub (&asked->refs, 1) == 1)
    g_free (asked);
}

/* Nobody hears of what failed without a done: it is counted, and the log says it. */
static void
count_lost (const ZmAsked *asked, int status)
{
  g_autofree char *name = zm_status_text (status);

  zm_counter_add (asked->hosting->unstored, 1);
  zm_log_limited (asked->hosting->runtime->log, ZM_LEVEL_WARNING, "plugin", "not-stored",
                  "plugin %s: something that it gave to be stored was lost: %s",
                  zm_generation_name (asked->generation), name);
}

static void
tell (ZmAsked *asked, int status)
{
  ZmHosting *hosting = asked->hosting;

  if (status != ZM_OK && asked->done == NULL && asked->until_us == 0)
    count_lost (asked, status);
  atomic_fetch_sub (&hosting->asked, 1);
  zm_pool_tell (hosting->runtime->pool, g_steal_pointer (&asked->generation), holder, asked->done,
                asked->user, status);
}

void
zm_asked_over (ZmAsked *asked, int status)
{
  if (atomic_load (&asked->asking) && pthread_equal (asked->thread, pthread_self ())) {
    asked->answered = TRUE;
    asked->status = status;
  } else {
    tell (asked, status);
  }
  unref (asked);
}

int
zm_asked_returns (ZmAsked *asked)
{
  int status = ZM_OK;

  if (asked->answered && asked->status != ZM_OK) {
    status = asked->status;
    atomic_fetch_sub (&asked->hosting->asked, 1);
    zm_generation_unref (asked->generation, holder);
  } else if (asked->answered) {
    tell (asked, ZM_OK);
  }
  atomic_store (&asked->asking, FALSE);
  unref (asked);
  return status;
}

int
zm_asked_status (const ZmAsked *asked, const GError *error)
{
  if (error == NULL)
    return ZM_OK;
  if (error->domain != ZM_ERROR)
    return ZM_E_FAILED;
  switch (error->code) {
  case ZM_ERROR_LIMIT: return ZM_E_AGAIN;
  case ZM_ERROR_EXISTS: return ZM_E_EXISTS;
  case ZM_ERROR_INVALID: return ZM_E_INVALID;
  case ZM_ERROR_NOT_FOUND: return ZM_E_NOT_FOUND;
  case ZM_ERROR_REFUSED: return ZM_E_DENIED;
  /* Both the store's trouble and the end of the wait are UNAVAILABLE. */
  default: return asked->until_us != 0 && zm_now_us () >= asked->until_us ? ZM_E_TIMEOUT : ZM_E_FAILED;
  }
}
