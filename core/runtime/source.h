/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One source and its thread, for sources.c. `lock` guards a source's state; no function of the plugin is called under it. A
 * source is never woken outside open … close: while `waking` stands, it is not closed.
 */
#pragma once

#include "base/zm-metrics.h"
#include "runtime/sources.h"

#include <pthread.h>

G_BEGIN_DECLS

typedef enum { ZM_SOURCE_WAITING, ZM_SOURCE_RUNNING, ZM_SOURCE_ENDED } ZmSourceState;

typedef struct ZmSource {
  zm_host host; /* first: what the plugin gets leads back here */
  struct ZmRuntime *runtime;
  ZmGeneration *generation;
  const zm_source_ops *ops;
  ZmConfig *config; /* the one that its strings come from */
  char *name, *section;
  const char *key;   /* of the section; or NULL */
  const char *queue; /* of the section: where its events go; or NULL */
  pthread_t thread;
  ZmCounter *events, *refused;

  pthread_mutex_t lock; /* guards what follows */
  pthread_cond_t wakeup;
  gboolean stopping;
  gpointer open; /* what ops->open gave; NULL with is_open FALSE */
  gboolean is_open;
  gboolean waking; /* its wake () runs just now, in the runtime's thread */
  ZmSourceState state;
  guint restarts;
  char *error;
} ZmSource;

/* A source that does not run yet. The generation has source operations. */
ZmSource *
zm_source_new (struct ZmRuntime *runtime, const char *name, ZmConfig *config, ZmGeneration *generation);
/* Starts the thread: 0, or the errno of zm_thread_create. */
int zm_source_start (ZmSource *source);
/* Tells it to end, once; does not wait. */
void zm_source_wake (ZmSource *source);
/* After its thread has ended, or was never started. */
void zm_source_free (ZmSource *source);

G_END_DECLS
