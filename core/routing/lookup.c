/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The hot path: what a key leads to. Keys that stand in the table exactly take one probe; for others only those shapes are
 * tried of which the table has any entry. No allocation, no lock.
 */
#include "config.h"

#include "routing/table-private.h"

#include <string.h>

/* S?C?A, S??A, ?C?A, S?C?, S??, ??A, ?C?; then ??. A key is tried only with parts that it gives. */
const guint8 zm_routing_order[8] = { ZM_SHAPE_SENDER | ZM_SHAPE_CONTEXT | ZM_SHAPE_ACTION,
                                     ZM_SHAPE_SENDER | ZM_SHAPE_ACTION,
                                     ZM_SHAPE_CONTEXT | ZM_SHAPE_ACTION,
                                     ZM_SHAPE_SENDER | ZM_SHAPE_CONTEXT,
                                     ZM_SHAPE_SENDER,
                                     ZM_SHAPE_ACTION,
                                     ZM_SHAPE_CONTEXT,
                                     0 };

guint
zm_routing_shape (const ZmKey *key)
{
  return (key->action.size > 0 ? ZM_SHAPE_ACTION : 0u) | (key->context.size > 0 ? ZM_SHAPE_CONTEXT : 0u) |
         (key->sender.size > 0 ? ZM_SHAPE_SENDER : 0u) | (key->decorator.size > 0 ? ZM_SHAPE_DECORATOR : 0u);
}

/* Copies a part where it is wanted; the next free byte. */
static inline char *
put (char *at, ZmSpan part, gboolean wanted)
{
  if (!wanted || part.size == 0)
    return at;
  memcpy (at, part.data, part.size);
  return at + part.size;
}

/* Without an allocation, in the caller's buffer: this runs for each candidate of a message that does not stand in
 * the table exactly. */
ZmSpan
zm_routing_slug (const ZmKey *key, guint shape, char buffer[ZM_KEY_MOST])
{
  char *at = buffer;

  if (key->decorator.size + key->sender.size + key->context.size + key->action.size + 3 > ZM_KEY_MOST)
    return zm_span (buffer, 0);
  at = put (at, key->decorator, (shape & ZM_SHAPE_DECORATOR) != 0);
  *at++ = '~';
  at = put (at, key->sender, (shape & ZM_SHAPE_SENDER) != 0);
  *at++ = '~';
  at = put (at, key->context, (shape & ZM_SHAPE_CONTEXT) != 0);
  *at++ = '~';
  at = put (at, key->action, (shape & ZM_SHAPE_ACTION) != 0);
  return zm_span (buffer, (gsize) (at - buffer));
}

/* Linear probing: places are 8 bytes, so a run of them is in one line of the cache, and the tag keeps nearly all
 * misses from touching an entry. */
ZmTableEntry *
zm_routing_probe (const ZmTable *table, guint64 hash, ZmSpan slug)
{
  guint32 tag = (guint32) (hash >> 32);

  for (guint64 at = hash & table->mask; table->places[at].entry != 0; at = (at + 1) & table->mask) {
    ZmTableEntry *entry;

    if (table->places[at].tag != tag)
      continue;
    entry = &table->entries[table->places[at].entry - 1];
    if (entry->hash == hash && entry->size == slug.size && memcmp (entry->slug, slug.data, slug.size) == 0)
      return entry;
  }
  return NULL;
}

ZmTableEntry *
zm_routing_find (const ZmTable *table, const ZmKey *key, guint shape)
{
  char buffer[ZM_KEY_MOST];
  ZmSpan slug = zm_routing_slug (key, shape, buffer);

  return slug.size > 0 ? zm_routing_probe (table, zm_span_hash (slug), slug) : NULL;
}

const ZmTableEntry *
zm_routing_triggered (const ZmTable *table, const ZmKey *key)
{
  guint shape = zm_routing_shape (key);

  /* The table holds the meet of any triggers that can match one key, so the first that gives most parts has all flows. */
  for (guint i = 0; i < table->n_triggers; i++) {
    const ZmTableEntry *entry;

    if ((table->triggers[i] & shape) != table->triggers[i])
      continue;
    entry = zm_routing_find (table, key, table->triggers[i]);
    if (entry != NULL && entry->trigger)
      return entry;
  }
  return NULL;
}

/* Resolution without the default route. known_miss: a shape of which it is known that it hits nothing, or ZM_SHAPES. */
static const ZmRoute *
resolve (const ZmTable *table, const ZmKey *key, guint known_miss)
{
  guint shape = zm_routing_shape (key);
  const ZmTableEntry *entry;

  if (table->decorated && (shape & ZM_SHAPE_DECORATOR) != 0 && shape != known_miss) {
    entry = zm_routing_find (table, key, shape);
    if (entry != NULL && entry->own != NULL)
      return entry->own;
  }
  for (guint i = 0; zm_routing_order[i] != 0; i++) {
    guint tried = zm_routing_order[i];

    if ((table->route_shapes & (1u << tried)) == 0 || (tried & shape) != tried || tried == known_miss)
      continue;
    entry = zm_routing_find (table, key, tried);
    if (entry != NULL && entry->own != NULL)
      return entry->own;
  }
  return NULL;
}

/* Of a step the default route is no candidate: a misspelt step would else be taken by it silently. */
const ZmRoute *
zm_table_resolve (const ZmTable *table, const ZmKey *key, gboolean default_route)
{
  const ZmRoute *route = resolve (table, key, ZM_SHAPES);

  return route != NULL || !default_route ? route : table->default_route;
}

/* For comparing two tables at a reload, not for dispatch. */
const ZmMapping *
zm_table_mapping (const ZmTable *table, const ZmKey *key)
{
  const ZmTableEntry *entry = zm_routing_find (table, key, zm_routing_shape (key));

  return entry != NULL && entry->own != NULL ? entry->own->mapping : NULL;
}

/* Exactly the topic's slug: one probe says route and flows. Else the route is resolved by shapes (the full one is
 * known to miss), and the triggers are tried by theirs. */
void
zm_table_lookup (const ZmTable *table, const ZmTopic *topic, ZmLookup *lookup)
{
  gboolean in_flow = topic->flow.size > 0;
  const ZmTableEntry *entry = zm_routing_probe (table, zm_span_hash (topic->slug), topic->slug);

  if (entry != NULL)
    lookup->route = entry->route;
  else {
    lookup->route = resolve (table, &topic->key, zm_routing_shape (&topic->key));
    if (lookup->route == NULL)
      lookup->route = table->default_route;
    if (!in_flow)
      entry = zm_routing_triggered (table, &topic->key);
  }
  if (in_flow) {
    entry = NULL;
    if (lookup->route == table->default_route)
      lookup->route = NULL;
  }
  lookup->flows = entry != NULL ? entry->flows : NULL;
  lookup->n_flows = entry != NULL ? entry->n_flows : 0;
}

/* Three passes, one for each dependent load: the loads of one pass do not wait for each other. It only touches
 * memory; a wrong guess costs nothing but the load. */
void
zm_table_look_ahead (const ZmTable *table, const ZmTopic *const *topics, guint n, const ZmRoute **routes)
{
  guint64 hashes[ZM_AHEAD_MOST];
  const ZmTableEntry *entries[ZM_AHEAD_MOST];

  n = MIN (n, ZM_AHEAD_MOST);
  for (guint i = 0; i < n; i++) {
    hashes[i] = zm_span_hash (topics[i]->slug);
    __builtin_prefetch (&table->places[hashes[i] & table->mask]);
  }
  for (guint i = 0; i < n; i++) {
    ZmTablePlace place = table->places[hashes[i] & table->mask];

    /* One that stands further on is left to the lookup. */
    entries[i] = place.entry != 0 && place.tag == (guint32) (hashes[i] >> 32)
                     ? &table->entries[place.entry - 1]
                     : NULL;
    __builtin_prefetch (entries[i]);
  }
  for (guint i = 0; i < n; i++) {
    routes[i] = entries[i] != NULL ? entries[i]->route : NULL;
    if (entries[i] == NULL)
      continue;
    /* Neither begins with a line. */
    __builtin_prefetch (entries[i]->slug);
    __builtin_prefetch (entries[i]->slug + entries[i]->size - 1);
    __builtin_prefetch (routes[i]);
    if (routes[i] != NULL)
      __builtin_prefetch ((const char *) (routes[i] + 1) - 1);
  }
}

/* Only for a name that is not there: all flows are looked through. */
const char *
zm_table_flow_near (const ZmTable *table, const char *name)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();

  for (guint i = 0; i < zm_table_n_flows (table); i++)
    g_ptr_array_add (names, zm_table_flow_nth (table, i)->name);
  g_ptr_array_add (names, NULL);
  return zm_suggest (name, (const char *const *) names->pdata);
}

/* As zm_routing_probe, with the flow's own name as the text. */
ZmFlow *
zm_table_flow (const ZmTable *table, ZmSpan name)
{
  guint64 hash = zm_span_hash (name);

  for (guint64 at = hash & table->name_mask; table->names[at].flow != NULL;
       at = (at + 1) & table->name_mask) {
    const ZmFlowName *place = &table->names[at];

    if (place->hash == hash && place->size == name.size &&
        memcmp (place->flow->name, name.data, name.size) == 0)
      return place->flow;
  }
  return NULL;
}

/* The one place that says what a step is; the table keeps its answers for its own flows (resolve_steps in
 * table.c), and asks anew for pinned flows of older tables. */
void
zm_routing_resolve_branch (const ZmTable *table, const ZmFlow *flow, const ZmBranch *branch,
                           ZmStepTarget *target)
{
  const ZmTableEntry *entry;
  ZmKey key = branch->key;

  *target = (ZmStepTarget){ NULL, NULL };
  if (branch->kind == ZM_STEP_PUBLISH || branch->kind == ZM_STEP_DONE)
    return;
  /* What comes for an ASYNC step comes undecorated. */
  if (branch->kind == ZM_STEP_ASYNC)
    key.decorator = zm_span (NULL, 0);
  /* A flow's own trigger as a step means the action of that key, never the flow again. */
  if (!zm_key_equal (&key, &flow->steps[0].branches[0].key)) {
    entry = zm_routing_find (table, &key, zm_routing_shape (&key));
    if (entry != NULL)
      target->child = entry->entered;
  }
  if (target->child == NULL)
    target->route = resolve (table, &key, ZM_SHAPES);
}

/* The slot alone is not enough: a pinned flow of an older table may have the same number as another one here. */
void
zm_table_step (const ZmTable *table, const ZmFlow *flow, guint step, int branch, ZmStepTarget *target)
{
  const ZmStep *at = step < flow->n_steps ? &flow->steps[step] : NULL;

  *target = (ZmStepTarget){ NULL, NULL };
  if (at == NULL || step == 0 || branch >= (int) at->n_branches || branch < -1)
    return;
  if (flow->slot < table->n_flows && table->flows[flow->slot] == flow)
    *target = table->targets[table->offsets[table->firsts[flow->slot] + step] + (guint) (branch + 1)];
  else if (branch >= 0)
    zm_routing_resolve_branch (table, flow, &at->branches[branch], target);
  else if (at->on_error != NULL)
    zm_routing_resolve_branch (table, flow, at->on_error, target);
}
