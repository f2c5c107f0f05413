/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The inside of the host's hosting, shared by the files that make them. */
#pragma once

#include "runtime/hosting.h"

#include <pthread.h>
#include <stdatomic.h>

G_BEGIN_DECLS

typedef struct ZmHookList ZmHookList;

struct ZmHosting {
  struct ZmRuntime *runtime;
  atomic_bool accepting;
  gsize body_most; /* of a message that a plugin sends */

  pthread_mutex_t lock; /* guards ids, metrics, hooks */
  ZmUuidMaker ids;
  GHashTable *metrics; /* plugin name -> GHashTable: metric name -> ZmCounter */
  ZmHookList *hooks;
  atomic_bool any_hooks;

  /* Held while hooks are asked, so that they never overlap. Recursive, as a hook may emit; depth tells that it did. */
  pthread_mutex_t asking;
  guint depth;

  ZmCounter *emitted, *denied, *loops;
};

G_END_DECLS
