/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * routing: mapping files and flow files become one immutable table, replaced whole at reload. The table is read from any
 * thread without locks; whoever reads holds a reference (a worker: one for a batch).
 */
#pragma once

#include "config/zm-lines.h"
#include "message/zm-key.h"
#include "message/zm-message.h"
#include "plugin/zm-plugins.h"

G_BEGIN_DECLS

#define ZM_BRANCHES_MOST 16
#define ZM_NESTING_MOST  8

/* ---- flows as written: reference counted, independent of tables, pinned by waiting instances ---- */

typedef enum {
  ZM_STEP_KEY,     /* an action, a hand-over or a child flow: which one, the current table says */
  ZM_STEP_PUBLISH, /* @PUBLISH */
  ZM_STEP_ASYNC,   /* @ASYNC */
  ZM_STEP_JOIN,    /* a & b & c */
  ZM_STEP_DONE     /* ??done */
} ZmStepKind;

typedef struct ZmBranch {
  ZmStepKind kind;    /* KEY or ASYNC */
  char *text;         /* key text as written */
  ZmKey key;          /* points into text */
  guint line, column; /* where it stands, in characters */
} ZmBranch;

typedef struct ZmStep {
  ZmStepKind kind;
  guint n_branches;   /* 1, or of a join */
  ZmBranch *branches; /* [0] is the step itself unless a join */
  ZmBranch *on_error; /* `!` step, or NULL */
  guint line;
} ZmStep;

typedef struct ZmFlow {
  int refs; /* atomic */
  char *name;
  char *file;
  guint line;
  guint n_steps;
  ZmStep *steps; /* [0] is the trigger */
  guint slot;    /* its index in the table that it was read for */
  char *hash;    /* atomic: of its definition; the worker room's, or NULL */
} ZmFlow;

ZmFlow *zm_flow_ref (ZmFlow *flow);
void zm_flow_unref (ZmFlow *flow);
/* Reads a flow file; adds ZmFlow* to out. Any wrong line is a problem with its place. */
void zm_flow_read_file (const char *path, GPtrArray *out, ZmProblems *problems);
void zm_flow_read_text (const char *name, ZmSpan text, GPtrArray *out, ZmProblems *problems);
/* First step after the trigger with this key (undecorated), or 0. A join's branches count: *branch. */
guint zm_flow_find_step (const ZmFlow *flow, const ZmKey *key, guint *branch);

/* ---- mappings ---- */

typedef struct ZmMapping { /* one line; made by the readers below only (one block with its texts) */
  char *key_text;
  ZmKey key;
  char *plugin; /* NULL where worker is set */
  char *symbol;
  char *worker;      /* of "worker:NAME" */
  gint64 timeout_ms; /* of [action KEY], -1: not given */
  int ordering;      /* ZmOrdering, -1: not given */
  gint64 retries;    /* -1: not given */
  char *policy;      /* retries as a retry policy: JSON, not checked here; or NULL */
  guint policy_line, policy_column;
  char *isolation;   /* or NULL */
  char *file;
  guint line, column;
} ZmMapping;

typedef enum { ZM_ORDERING_NONE, ZM_ORDERING_CONTEXT, ZM_ORDERING_KEY } ZmOrdering;

void zm_mapping_free (ZmMapping *mapping);
/* thread, process or private; before a table is built of it. */
void zm_mapping_set_isolation (ZmMapping *mapping, const char *isolation);
/* policy NULL: a number, -1: none. Before a table is built of it. */
void zm_mapping_set_retries (ZmMapping *mapping, gint64 retries, const char *policy);
/* Who is the sender of its results: the last part of the plugin's name, or the worker's. Borrowed. */
ZmSpan zm_mapping_component (const ZmMapping *mapping);
/* Reads a mapping file; adds ZmMapping* to out. */
void zm_mapping_read_file (const char *path, GPtrArray *out, ZmProblems *problems);
void zm_mapping_read_text (const char *name, ZmSpan text, GPtrArray *out, ZmProblems *problems);

/* ---- the table ---- */

typedef enum { ZM_TARGET_ACTION, ZM_TARGET_WORKER, ZM_TARGET_UNAVAILABLE } ZmRouteTarget;

typedef struct ZmRoute {
  guint index; /* 0 … n_routes-1: for arrays of statistics */
  ZmRouteTarget target;
  const ZmAction *action;   /* of ACTION */
  const char *worker;       /* of WORKER: name */
  const char *reason;       /* of UNAVAILABLE: "plugin link-status is not loaded: …" */
  const ZmMapping *mapping; /* as written, for key text, plugin, symbol, options */
  gint64 timeout_us;        /* soft deadline, resolved against the default */
} ZmRoute;

typedef struct ZmTable ZmTable;

/* What a key leads to: both may be empty. flows: those whose trigger matches (of messages without a flow). */
typedef struct ZmLookup {
  ZmFlow *const *flows;
  guint n_flows;
  const ZmRoute *route;
} ZmLookup;

/* What a step with a key is, now. */
typedef struct ZmStepTarget {
  const ZmRoute *route; /* mapped */
  ZmFlow *child;        /* the key is this flow's first step */
} ZmStepTarget;         /* both NULL: hand-over */

typedef struct ZmTableInput {
  GPtrArray *mappings; /* ZmMapping*, in rank order (later wins); taken */
  GPtrArray *flows;    /* ZmFlow*, in rank order (later replaces), each read for this table; taken */
  ZmPluginSet *set; /* a reference is held; NULL: check without plugins, nothing is resolved to functions */
  const char *const *workers; /* names of [worker NAME], NULL-terminated; NULL: not checked */
  gint64 timeout_ms;          /* default soft deadline */
  ZmOrdering ordering;
} ZmTableInput;

/* Builds and checks. Takes the two arrays (their pointers are NULL afterwards). Always gives a table; whether it may be
 * used, problems say. Warnings: duplicates naming both places,
 * reserved actions mapped, a mapping with @PUBLISH, two flows with one trigger, two equal keys in one join (error) … */
ZmTable *zm_table_build (ZmTableInput *input, ZmProblems *problems);
ZmTable *zm_table_ref (ZmTable *table);
void zm_table_unref (ZmTable *table);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ZmTable, zm_table_unref)

/* Hot: one hash probe where the key stands exactly; no allocation, no lock. topic->slug must be set. What lookup points to
 * lives as long as the table. A topic that names a flow triggers none, and the default route does not take it. */
void zm_table_lookup (const ZmTable *table, const ZmTopic *topic, ZmLookup *lookup);
/* Loads what lookups of these topics will read, all at the same time where one after the other waits for each line of memory:
 * worth it for a batch and a table that no cache holds. routes[i]: where topic i probably leads, or NULL: only to load more,
 * never to use. n is at most ZM_AHEAD_MOST. */
#define ZM_AHEAD_MOST 32
void
zm_table_look_ahead (const ZmTable *table, const ZmTopic *const *topics, guint n, const ZmRoute **routes);
/* Resolution only, of a key that came without a flow (with the default route ??) or as a step (without). */
const ZmRoute *zm_table_resolve (const ZmTable *table, const ZmKey *key, gboolean default_route);
/* The mapping of this very key, or NULL: no shorter key and no default route. Borrowed. */
const ZmMapping *zm_table_mapping (const ZmTable *table, const ZmKey *key);
ZmFlow *zm_table_flow (const ZmTable *table, ZmSpan name); /* borrowed, or NULL */
/* The name of a flow that was perhaps meant, borrowed; or NULL. */
const char *zm_table_flow_near (const ZmTable *table, const char *name);
/* Hot: pre-resolved where flow belongs to this table; else by key text. branch 0…n-1, or -1 for the `!` step. */
void zm_table_step (const ZmTable *table, const ZmFlow *flow, guint step, int branch, ZmStepTarget *target);
guint zm_table_n_routes (const ZmTable *table);
const ZmRoute *zm_table_route (const ZmTable *table, guint index);
guint zm_table_n_flows (const ZmTable *table);
ZmFlow *zm_table_flow_nth (const ZmTable *table, guint index);
ZmPluginSet *zm_table_set (const ZmTable *table);
/* Soft deadline, in microseconds, of what no mapping sets one for. */
gint64 zm_table_timeout_us (const ZmTable *table);
guint64
zm_table_serial (const ZmTable *table); /* counts up with each build in this process; set by zm_table_build */

/* Each candidate of a key in resolution order with what it hit, the flows that it triggers and their steps: for people and
 * as JSON. The caller frees. */
char *zm_table_explain (const ZmTable *table, const ZmKey *key, gboolean json);
/* Exact topic prefixes to subscribe for a key pattern (empty part = any), sorted, without those that a shorter one covers:
 * the pattern's own topic outside flows, every flow's hand-over, ASYNC, PUBLISH and result topics (??done, ??error) that
 * match, and every matching mapping's result topic outside flows (the component as sender; ends before a part that both
 * leave open). [""] where the pattern is empty. NULL-terminated; the caller frees with g_strfreev. */
char **zm_table_prefixes (const ZmTable *table, const ZmKey *pattern);
/* Flow as JSON or as a dot graph. */
char *zm_flow_show (const ZmTable *table, const ZmFlow *flow, gboolean dot);

/* ---- where the current table stands: swapped whole ---- */

typedef struct ZmTableSlot ZmTableSlot;
ZmTableSlot *zm_table_slot_new (void);
void zm_table_slot_free (ZmTableSlot *slot);
ZmTable *zm_table_slot_get (ZmTableSlot *slot);              /* a new reference */
void zm_table_slot_swap (ZmTableSlot *slot, ZmTable *table); /* takes the reference; the old one is let go */
guint64 zm_table_slot_serial (ZmTableSlot *slot);            /* one atomic load: has it changed? */

G_END_DECLS
