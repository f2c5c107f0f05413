/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Waking one sleeping thread by an eventfd: see waker.h for the protocol. */
#include "config.h"

#include "integration/waker.h"

#include "base/zm-base.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Non-blocking: neither side may ever wait in it. */
gboolean
zm_waker_init (ZmWaker *waker, GError **error)
{
  atomic_init (&waker->asleep, 0);
  waker->fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (waker->fd >= 0)
    return TRUE;
  g_set_error (error, ZM_ERROR, ZM_ERROR_IO,
               "cannot make an eventfd: %s; raise the limit of open files (ulimit -n)", g_strerror (errno));
  return FALSE;
}

void
zm_waker_clear (ZmWaker *waker)
{
  if (waker->fd >= 0)
    close (waker->fd);
  waker->fd = -1;
}

void
zm_waker_wake (ZmWaker *waker)
{
  guint64 one = 1;
  /* The load alone is the common case: a thread that is awake costs no write to its cache line. */
  if (!atomic_load (&waker->asleep) || !atomic_exchange (&waker->asleep, 0))
    return;
  /* It can only fail when the counter is at its end, and then the sleeper is woken anyway. */
  ssize_t written = write (waker->fd, &one, sizeof one);
  (void) written;
}

/* The sleeper says so first and looks for work after that: what is pushed before the look is seen, what is pushed
 * after it wakes. */
void
zm_waker_will_sleep (ZmWaker *waker)
{
  atomic_store (&waker->asleep, 1);
}

/* Clears the mark also where a poll ended by a socket: a wake-up less for the next pusher. The eventfd is read
 * only where it is known to hold something. */
void
zm_waker_awake (ZmWaker *waker, gboolean signalled)
{
  guint64 count;
  atomic_store (&waker->asleep, 0);
  if (signalled) {
    ssize_t got = read (waker->fd, &count, sizeof count);
    (void) got;
  }
}
