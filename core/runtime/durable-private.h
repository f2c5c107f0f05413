/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of durable messages share. */
#pragma once

#include "runtime/private.h"

G_BEGIN_DECLS

/* A queue whose messages go to the workers. */
typedef struct ZmSendsLane {
  ZmRuntime *runtime;
  ZmConsumer *consumer;
  char *queue;
  char *key_text;      /* NULL: each message by its own topic */
  ZmKey key;           /* points into key_text */
  char *made_of;       /* the settings that it was made of, to see that they changed */
  gboolean own_policy; /* retry= of its queue, which wins against that of an action */
  gboolean leaving;
  ZmTimer timer; /* asks a full pool again */
} ZmSendsLane;

struct ZmSends {
  ZmRuntime *runtime;
  ZmStoreAfter answers; /* wakes the subject once for all answers of a batch */
  ZmSendsLane *own; /* ^sends */
  GPtrArray *lanes; /* of [queue NAME] action=; runtime's thread */
};

ZmSendsLane *zm_sends_lane_new (ZmRuntime *runtime, const char *queue, const char *key,
                                ZmConsumerConfig *config, GError **error);
/* retries= of an action: a number, then *retries says which, or a policy; into *policy, which was initialised. */
gboolean zm_sends_read_retries (const char *text, gint64 *retries, ZmRetryPolicy *policy, GError **error);
void zm_sends_lane_free (gpointer lane);
void zm_sends_wake_subject (ZmStoreAfter *after); /* of ZmSends */

G_END_DECLS
