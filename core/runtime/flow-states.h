/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How far durable messages have come in their flows: the pool's door for it, with the store behind. A document for each message in
 * the space "flow", and for each definition that one of them needs in "flowdef"; all of them are in memory too, as many as are on
 * their way.
 */
#pragma once

#include "store/zm-store.h"
#include "worker/zm-checkpoints.h"

G_BEGIN_DECLS

struct ZmRuntime;
typedef struct ZmFlowStates ZmFlowStates;

/* Sets the door, before the pool is made. Until the states are open nothing is saved through it. */
void zm_flow_states_door (struct ZmRuntime *runtime);
/* Once the store is open, and before the first durable message is handed out: reads what is there, and removes definitions that nothing
 * needs. key: of a message by message->durable, the same after a restart; the caller frees. */
gboolean
zm_flow_states_open (struct ZmRuntime *runtime, char *(*key) (gconstpointer durable), GError **error);
/* In prepare of the unit with which a message ends, done or dead: its state goes too. The store's thread. */
void zm_flow_states_ending (struct ZmRuntime *runtime, const char *key, ZmStoreWriter *writer);
/* That is written. */
void zm_flow_states_ended (struct ZmRuntime *runtime, const char *key);
/* After the store is closed. */
void zm_flow_states_free (struct ZmRuntime *runtime);

G_END_DECLS
