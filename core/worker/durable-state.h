/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The state of a durable message in its flow, as bytes. It is read by the same daemon or a later one on the same store; as bytes on
 * a disk may be damaged, each length is checked.
 */
#pragma once

#include "worker/zm-pool.h"

G_BEGIN_DECLS

typedef struct ZmRun ZmRun;

#define ZM_STATE_MOST (16 << 20) /* bytes of one; what is over it is not written, and its message fails */
#define ZM_FLOW_HASH  64         /* hexadecimal digits of SHA-256 */

typedef enum {
  ZM_STATE_STEP, /* goes on at the current step */
  ZM_STATE_WAIT, /* waits there; the question is out */
  ZM_STATE_JOIN  /* its branches run */
} ZmStateKind;

typedef enum { ZM_BRANCH_NEW, ZM_BRANCH_DONE, ZM_BRANCH_FAILED, ZM_BRANCH_SAVED } ZmBranchState;

/* Parts point into the bytes that were read. */
typedef struct ZmFrameState {
  char hash[ZM_FLOW_HASH + 1];
  ZmSpan name;
  guint step;
} ZmFrameState;

typedef struct ZmBranchSaved {
  ZmBranchState state;
  ZmSpan result;  /* JSON; SAVED: a state */
  ZmSpan failure; /* FAILED: the same for people */
} ZmBranchSaved;

typedef struct ZmState {
  ZmStateKind kind;
  gboolean on_error, replaced, typed;
  guint hops, depth;
  ZmFrameState frames[ZM_NESTING_MOST + 1];
  ZmSpan body, content_type;
  gint64 until_us; /* WAIT: wall time */
  guint n_branches;
  ZmBranchSaved branches[ZM_BRANCHES_MOST];
} ZmState;

/* Takes nothing; the caller unrefs. n_branches and branches are those of state; the rest is the run's. hash: of a flow. */
GBytes *zm_state_write (const ZmRun *run, const ZmState *state);
/* NULL: within the bound. The caller frees. */
GError *zm_state_check (GBytes *state);
gboolean zm_state_is_too_large (const GError *error);
/* FALSE: damaged, or of a version that is not known. */
gboolean zm_state_read (ZmSpan bytes, ZmState *state);
/* The definition of a flow as a flow file has it; the caller frees. And its hash, made once. */
char *zm_durable_flow_text (const ZmFlow *flow);
const char *zm_durable_flow_hash (ZmFlow *flow);

G_END_DECLS
