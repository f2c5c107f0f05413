/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The inside of the host's hosting, shared by the files that make them. */
#pragma once

#include "runtime/hosting.h"

#include <pthread.h>
#include <stdatomic.h>

G_BEGIN_DECLS

struct ZmHosting {
  struct ZmRuntime *runtime;
  atomic_bool accepting;
  atomic_bool over; /* accepting is off for good */
  gsize body_most; /* of a message that a plugin sends */

  pthread_mutex_t lock; /* guards ids, metrics, budgets */
  ZmUuidMaker ids;
  GHashTable *metrics; /* plugin name -> GHashTable: metric name -> ZmCounter */
  GHashTable *budgets; /* plugin name -> what it may still log */

  ZmCounter *emitted, *denied, *loops;
};

/* plugin-log.c: tells what was left out of plugins that `now` (NULL: nothing) does not have. Under the lock. */
void zm_hosting_forget_logs (ZmHosting *hosting, ZmPluginSet *now);

G_END_DECLS
