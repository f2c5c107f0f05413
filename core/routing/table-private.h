/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the room routing share among themselves. No other room includes it. */
#pragma once

#include "base/zm-codes.h"
#include "routing/zm-table.h"

G_BEGIN_DECLS

/* The parts that a key gives, as bits: its shape. Undecorated shapes are 0 … 7. */
enum { ZM_SHAPE_ACTION = 1, ZM_SHAPE_CONTEXT = 2, ZM_SHAPE_SENDER = 4, ZM_SHAPE_DECORATOR = 8 };
#define ZM_SHAPES 16

/* Undecorated candidates in the order of resolution, ended by 0, the default route. */
extern const guint8 zm_routing_order[8];

/* Meets of overlapping triggers that one table keeps at most. */
#define ZM_OVERLAPS_MOST 65536
/* Steps in one flow. */
#define ZM_STEPS_MOST 1000

/* What is known of one slug: a mapping of that key, a trigger of that text, the meet of several triggers, or all of it.
 * route and flows are what a message with exactly this slug leads to, so that it needs one probe. */
typedef struct ZmTableEntry {
  guint64 hash;
  const char *slug; /* in the table's texts */
  guint32 size;
  guint32 n_flows;
  ZmFlow *const *flows; /* in the table's lists */
  const ZmRoute *route; /* by the whole order of resolution, the default route with it */
  ZmRoute *own;         /* of a mapping of this very key, or NULL */
  ZmFlow *entered;      /* the first flow whose trigger is this very key, or NULL */
  guint8 shape;
  gboolean trigger; /* a trigger, or the meet of some */
} ZmTableEntry;

/* One place of the hash: small, so that a key that is not there costs one line of the cache. */
typedef struct ZmTablePlace {
  guint32 tag;   /* upper half of the hash */
  guint32 entry; /* its index + 1; 0: the place is free */
} ZmTablePlace;

/* A flow's name in a table of its own: messages that name their flow are as hot as others. */
typedef struct ZmFlowName {
  guint64 hash;
  ZmFlow *flow; /* NULL: the place is free */
  gsize size;
} ZmFlowName;

struct ZmTable {
  int refs; /* atomic */
  guint64 serial;
  gint64 timeout_us; /* soft deadline of what has none of its own */
  ZmPluginSet *set;  /* or NULL */
  GPtrArray *mappings;
  GPtrArray *flow_array;
  GPtrArray *lists;    /* arrays that entries point to */
  GStringChunk *texts; /* slugs and reasons */

  ZmTablePlace *places; /* open addressing, at most half full */
  guint64 mask;
  ZmTableEntry *entries; /* each one line of the cache */
  ZmKey *keys;           /* of the entries; point into their slugs */
  guint n_entries;
  guint route_shapes;         /* bit s: there is an undecorated mapping of shape s */
  gboolean decorated;         /* there is a decorated mapping */
  guint8 triggers[ZM_SHAPES]; /* shapes of entries that are triggers, those that give most first */
  guint n_triggers;
  const ZmRoute *default_route;

  ZmRoute *routes;
  guint n_routes;
  ZmFlow **flows;
  guint n_flows;
  ZmFlowName *names; /* open addressing, at most half full */
  guint64 name_mask;

  /* What each branch of each step of each flow is: targets[offsets[firsts[slot] + step] + 1 + branch]. */
  guint *firsts;
  guint *offsets;
  ZmStepTarget *targets;
};

/* flow.c */
void zm_routing_step_clear (ZmStep *step);
/* Equal but for the decorator: how waiting steps are found. */
gboolean zm_routing_same_step (const ZmKey *a, const ZmKey *b);

/* lookup.c */
guint zm_routing_shape (const ZmKey *key);
/* The slug of key with only the parts in shape, in buffer. Empty where it would not fit: such a key stands nowhere. */
ZmSpan zm_routing_slug (const ZmKey *key, guint shape, char buffer[ZM_KEY_MOST]);
ZmTableEntry *zm_routing_probe (const ZmTable *table, guint64 hash, ZmSpan slug);
/* The entry that stands for the key with only the parts in shape, or NULL. */
ZmTableEntry *zm_routing_find (const ZmTable *table, const ZmKey *key, guint shape);
/* The entry of the most specific trigger (or meet of triggers) that key matches, or NULL. */
const ZmTableEntry *zm_routing_triggered (const ZmTable *table, const ZmKey *key);
void zm_routing_resolve_branch (const ZmTable *table, const ZmFlow *flow, const ZmBranch *branch,
                                ZmStepTarget *target);

/* triggers.c */
typedef struct ZmTrigger {
  ZmKey key; /* points into flows */
  guint shape;
  ZmFlow *first; /* the first flow whose trigger it is; NULL: a meet */
} ZmTrigger;
/* The flows' triggers, each once, and the meets of those that can match one key. The caller unrefs. */
GArray *zm_routing_triggers (ZmFlow *const *flows, guint n_flows, ZmProblems *problems);
/* Gives each trigger's entry its flows, once all entries stand in the table. */
void zm_routing_fill_triggers (ZmTable *table);

/* targets.c */
/* Sets target and timeout of every route, once all mappings stand in the table. */
void zm_routing_resolve_targets (ZmTable *table, const ZmTableInput *input, ZmProblems *problems);

/* check.c */
void zm_routing_check_mapping (const ZmMapping *mapping, ZmProblems *problems);
void zm_routing_check_flows (const ZmTable *table, ZmProblems *problems);

/* misspelt.c */
/* Looks for keys that a step was meant to be. One for all steps of a table: it bounds their work together. */
typedef struct ZmNearKeys {
  const ZmTable *table;
  gint64 left; /* comparisons of letters, about; below 0 nothing is found any more */
} ZmNearKeys;
void zm_routing_near_begin (ZmNearKeys *near_keys, const ZmTable *table);
/* "did you mean KEY?" for a step's key that resolves to nothing and looks like a misspelling of one that does; else NULL.
 * The caller frees. */
char *zm_routing_near_key (ZmNearKeys *near_keys, const ZmFlow *flow, const ZmKey *key);

/* describe.c: what routes and steps are, in a few words or as JSON. */
/* "link-status.on_link_down (actions.d/x.ini:3:1)" */
void zm_routing_append_route (GString *out, const ZmRoute *route);
/* An object. */
void zm_routing_append_route_json (GString *out, const ZmRoute *route);
/* What one step is; branch -1: its error step. */
void
zm_routing_append_branch (GString *out, const ZmTable *table, const ZmFlow *flow, guint step, int branch);
/* All steps, each on a line that begins with indent. */
void zm_routing_append_steps (GString *out, const ZmTable *table, const ZmFlow *flow, const char *indent);
/* ,"name":"text" with the comma only after another member. */
void zm_routing_append_member (GString *out, const char *name, const char *text);
void zm_routing_append_flow_json (GString *out, const ZmTable *table, const ZmFlow *flow);

/* check.c, for all */
/* "file:line" of places in texts of problems. The caller frees. */
char *zm_routing_place (const char *file, guint line);
/* A key's error without its "column N: ": the place says the column already. */
const char *zm_routing_plain_text (const GError *error);

G_END_DECLS
