/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the door of the reaper (reaper.c) and its thread (reap.c) share. An entry is a generation on its way out; everything
 * here is under the reaper's lock.
 */
#pragma once

#include "plugin/zm-plugin-private.h"

G_BEGIN_DECLS

typedef enum {
  ZM_REAPER_WAITING,   /* for those that depend on it to be stopped */
  ZM_REAPER_STOPPING,  /* its stop runs */
  ZM_REAPER_STOPPED,   /* waits for its references */
  ZM_REAPER_FINISHING, /* its fini runs */
  ZM_REAPER_KEPT,      /* stays loaded on purpose */
  ZM_REAPER_GONE
} ZmReaperState;

typedef struct ZmReaperEntry {
  ZmReaper *reaper;         /* a reference */
  ZmGeneration *generation; /* that of another thread while its fini runs, and NULL once it is gone */
  char *label;              /* "hello generation 3" */
  ZmReaperState state;
  gint64 stop_due_us;  /* when a stop or fini that has not ended is said to hang */
  gint64 drain_due_us; /* when it is said who holds it */
  gboolean hangs;      /* has been said */
  gboolean reported;   /* has been said */
  gboolean
      threads_ended; /* its own threads, within the time of stop; those that did not are asked for again */
  char *kept;        /* why it stays, where its own count does not tell */
} ZmReaperEntry;

struct ZmReaper {
  atomic_uint references; /* the registry's, and one an entry */
  pthread_mutex_t lock;   /* of the rest */
  pthread_cond_t changed; /* the thread waits here, and who waits for entries to go */
  pthread_t thread;
  gboolean has_thread; /* and it is not joined yet */
  gboolean woken;      /* something changed since the thread looked */
  gboolean closing;    /* the thread ends */
  GPtrArray *entries;  /* ZmReaperEntry, not yet gone */
  guint drain_ms;      /* what stop gets, and until it is said who holds a generation */
  ZmLog *log;          /* a reference, or NULL */
  ZmMetrics *metrics;  /* borrowed; NULL once closed */
};

/* Wakes the thread, and whoever waits for an entry to go. With the lock held. */
void zm_reaper_wake_locked (ZmReaper *reaper);
/* Its body; user: the reaper. */
void *zm_reaper_main (void *user);
/* Who or what keeps this generation, in words; empty: nobody. The caller frees. With the lock held. */
char *zm_reaper_held_by (const ZmReaperEntry *entry);

G_END_DECLS
