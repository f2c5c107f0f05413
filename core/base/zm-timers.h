/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Timers: one thread, a binary heap, intrusive entries, so that arming needs no allocation (the heap's array grows by
 * doubling). Callbacks run in the timer thread, one at a time, without the heap's lock held, and must be short: they hand
 * over. CLOCK_MONOTONIC throughout.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct ZmTimers ZmTimers;
typedef struct ZmTimer ZmTimer;
typedef void (*ZmTimerFunc) (ZmTimer *timer, gpointer user);

/* Lives inside the object that it is for; zero-initialise, then set func and user. */
struct ZmTimer {
  ZmTimerFunc func;
  gpointer user;
  gint64 due_us;
  guint index; /* place in the heap + 1; 0: not armed. The timer thread's lock guards it. */
};

ZmTimers *zm_timers_new (GError **error); /* starts the thread */
void zm_timers_free (ZmTimers *timers);   /* ends it; armed timers do not fire */

/* (Re)arms; a time that is over fires at once. Any thread, callbacks too. Timers of one time fire in any order. */
void zm_timers_arm (ZmTimers *timers, ZmTimer *timer, gint64 due_us);
/* TRUE: it was armed and will not fire. FALSE: it was not armed, or has begun to fire; with wait, a firing one has ended
 * when this returns, and where its callback armed it again that is undone too. From the timer thread nothing waits. A callback
 * may free the object that its timer is in: the timer is not touched after it. */
gboolean zm_timers_cancel (ZmTimers *timers, ZmTimer *timer, gboolean wait);
guint zm_timers_armed (ZmTimers *timers);

G_END_DECLS
