/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Door: checkpoints. How far the flow of a durable message has come, kept by the room above, so that after a crash the message goes
 * on there when it is handed out again. Without it (NULL in the pool's configuration) its flow begins anew.
 *
 * What is kept is the pool's to understand; it is one value for each message, which is replaced as a whole and goes with the end of
 * the message, in the same transaction.
 */
#pragma once

#include "base/zm-base.h"

G_BEGIN_DECLS

/* error NULL: it is on disk. In whatever thread writes: only hands over. */
typedef void (*ZmCheckpointDone) (const GError *error, gpointer done_user);

/* durable: message->durable of a message that has not ended. Any thread; none of these blocks. */
typedef struct ZmCheckpoints {
  /* Replaces what was saved of this message; saves of one message take effect in the order of the calls. Takes state. done NULL: it is
   * written with the next batch, and nobody waits for that; else told once. */
  void (*save) (gpointer durable, GBytes *state, ZmCheckpointDone done, gpointer done_user, gpointer user);
  /* What was saved last, also before the start of the daemon: a reference; NULL: nothing. Out of memory. */
  GBytes *(*load) (gpointer durable, gpointer user);
  /* Keeps a flow's definition: on disk before any state that is saved after it. hash: of its text, 64 digits. */
  void (*define) (const char *hash, const char *text, gpointer user);
  /* The text, which the caller frees; NULL: there is none. Out of memory. */
  char *(*definition) (const char *hash, gpointer user);
  gpointer user;
} ZmCheckpoints;

/* Calls func with the hash of each flow's definition that this state needs. FALSE: it cannot be read. Any thread. */
gboolean zm_checkpoint_flows (ZmSpan state, void (*func) (const char *hash, gpointer user), gpointer user);

G_END_DECLS
