/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Builds the table from what mapping and flow files said, and resolves every key that stands in it. */
#include "config.h"

#include "routing/table-private.h"

#include <stdatomic.h>
#include <string.h>

#define MAPPINGS_MOST 1000000
#define FLOWS_MOST    100000

/* Counts the tables of this process: how a worker sees that there is a new one. */
static atomic_uint_fast64_t serials;

/* ---- entries ---- */

/* A power of two at least twice the entries: probing then ends soon, and masks replace divisions. */
static guint64
power_for (guint64 entries)
{
  guint64 size = 8;

  while (size < entries * 2)
    size *= 2;
  return size;
}

/* The key whose slug this is. */
static ZmKey
key_in (const char *slug, const ZmKey *like)
{
  ZmKey key;

  key.decorator = zm_span (slug, like->decorator.size);
  key.sender = zm_span (key.decorator.data + like->decorator.size + 1, like->sender.size);
  key.context = zm_span (key.sender.data + like->sender.size + 1, like->context.size);
  key.action = zm_span (key.context.data + like->context.size + 1, like->action.size);
  return key;
}

/* The entry of this key, made where there is none. The table was given room for all. */
static ZmTableEntry *
enter (ZmTable *table, const ZmKey *key)
{
  char buffer[ZM_KEY_MOST];
  ZmSpan slug = zm_routing_slug (key, ZM_SHAPES - 1, buffer);
  guint64 hash = zm_span_hash (slug), at = hash & table->mask;
  ZmTableEntry *entry = zm_routing_probe (table, hash, slug);

  if (entry != NULL)
    return entry;
  while (table->places[at].entry != 0)
    at = (at + 1) & table->mask;
  entry = &table->entries[table->n_entries];
  entry->hash = hash;
  entry->slug = g_string_chunk_insert_len (table->texts, slug.data, (gssize) slug.size);
  entry->size = (guint32) slug.size;
  entry->shape = (guint8) zm_routing_shape (key);
  table->keys[table->n_entries] = key_in (entry->slug, key);
  table->places[at] = (ZmTablePlace){ .tag = (guint32) (hash >> 32), .entry = ++table->n_entries };
  return entry;
}

/* For all entries at once. They never move, so routes, flows and the hash may point to them while the table is
 * built. */
static void
make_room (ZmTable *table, guint entries)
{
  guint64 size = power_for (entries);

  table->places = g_new0 (ZmTablePlace, size);
  table->mask = size - 1;
  table->entries = g_aligned_alloc0 (entries + 1, sizeof (ZmTableEntry), 64);
  table->keys = g_new0 (ZmKey, entries + 1);
}

/* ---- routes ---- */

#define PACKAGED ".actions.ini" /* NAME.actions.ini beside NAME.so */

/* That the operator's files stand above what came with a plugin is as it should be. */
static void
warn_duplicate (const ZmMapping *later, const ZmMapping *earlier, ZmProblems *problems)
{
  if (g_str_has_suffix (earlier->file, PACKAGED) && !g_str_has_suffix (later->file, PACKAGED))
    return;
  g_autofree char *place = zm_routing_place (earlier->file, earlier->line);

  zm_problems_add (problems, ZM_PROBLEM_WARNING, ZM_CODE_DUPLICATE_MAPPING, later->file, later->line,
                   later->column, NULL, "remove one of them, unless it is meant",
                   "\"%s\" replaces the mapping at %s", later->key_text, place);
}

/* A later mapping of the same key takes over the earlier one's route: indices stay dense, and statistics find one
 * place a key. */
static void
enter_mapping (ZmTable *table, const ZmMapping *mapping, ZmProblems *problems)
{
  ZmTableEntry *entry = enter (table, &mapping->key);

  zm_routing_check_mapping (mapping, problems);
  if (entry->own != NULL)
    warn_duplicate (mapping, entry->own->mapping, problems);
  else {
    entry->own = &table->routes[table->n_routes];
    entry->own->index = table->n_routes++;
  }
  entry->own->mapping = mapping;
  if (entry->shape == 0)
    table->default_route = entry->own;
  else if ((entry->shape & ZM_SHAPE_DECORATOR) != 0)
    table->decorated = TRUE;
  else
    table->route_shapes |= 1u << entry->shape;
}

/* ---- flows ---- */

/* Names both places: the one that counts is the later. */
static void
warn_repeated (const ZmFlow *later, const ZmFlow *earlier, ZmProblems *problems)
{
  g_autofree char *place = zm_routing_place (earlier->file, earlier->line);

  zm_problems_add (problems, ZM_PROBLEM_WARNING, ZM_CODE_REPEATED_FLOW, later->file, later->line, 1, NULL,
                   "rename one of them, unless it is meant", "flow \"%s\" replaces the one at %s",
                   later->name, place);
}

/* A later flow of the same name takes the earlier one's place. */
static void
enter_name (ZmTable *table, ZmFlow *flow, ZmProblems *problems)
{
  ZmSpan name = zm_span_text (flow->name);
  guint64 hash = zm_span_hash (name), at = hash & table->name_mask;
  ZmFlow *earlier = zm_table_flow (table, name);

  flow->slot = earlier != NULL ? earlier->slot : table->n_flows++;
  table->flows[flow->slot] = flow;
  while (table->names[at].flow != NULL && table->names[at].flow != earlier)
    at = (at + 1) & table->name_mask;
  table->names[at] = (ZmFlowName){ .hash = hash, .flow = flow, .size = name.size };
  if (earlier != NULL)
    warn_repeated (flow, earlier, problems);
}

/* Names first: whether a step is a child flow depends on which flows remain. */
static void
enter_flows (ZmTable *table, ZmProblems *problems)
{
  guint n = table->flow_array->len;
  guint64 size = power_for (n);

  table->flows = g_new0 (ZmFlow *, n + 1);
  table->names = g_new0 (ZmFlowName, size);
  table->name_mask = size - 1;
  for (guint i = 0; i < n; i++)
    enter_name (table, g_ptr_array_index (table->flow_array, i), problems);
}

/* After the mappings, into the same entries: a key that is both costs one probe. */
static void
enter_triggers (ZmTable *table, const GArray *triggers)
{
  for (guint i = 0; i < triggers->len; i++) {
    const ZmTrigger *trigger = &g_array_index (triggers, ZmTrigger, i);
    ZmTableEntry *entry = enter (table, &trigger->key);

    entry->trigger = TRUE;
    entry->entered = trigger->first;
  }
}

/* One for each branch, and one in front of each step for its error step. */
static guint
count_targets (const ZmFlow *flow)
{
  guint n = 0;

  for (guint i = 0; i < flow->n_steps; i++)
    n += 1 + flow->steps[i].n_branches;
  return n;
}

/* The order here is the one that zm_table_step counts by. The trigger has a place too, left empty: it runs
 * nothing. */
static void
resolve_flow (ZmTable *table, const ZmFlow *flow, guint *target)
{
  for (guint i = 0; i < flow->n_steps; i++) {
    const ZmStep *step = &flow->steps[i];

    table->offsets[table->firsts[flow->slot] + i] = *target;
    if (i > 0 && step->on_error != NULL)
      zm_routing_resolve_branch (table, flow, step->on_error, &table->targets[*target]);
    (*target)++;
    for (guint b = 0; b < step->n_branches; b++, (*target)++)
      if (i > 0)
        zm_routing_resolve_branch (table, flow, &step->branches[b], &table->targets[*target]);
  }
}

/* What each step of each flow is in this table. */
static void
resolve_steps (ZmTable *table)
{
  guint steps = 0, targets = 0;

  table->firsts = g_new0 (guint, table->n_flows + 1);
  for (guint i = 0; i < table->n_flows; i++) {
    table->firsts[i] = steps;
    steps += table->flows[i]->n_steps;
    targets += count_targets (table->flows[i]);
  }
  table->offsets = g_new0 (guint, steps + 1);
  table->targets = g_new0 (ZmStepTarget, targets + 1);
  targets = 0;
  for (guint i = 0; i < table->n_flows; i++)
    resolve_flow (table, table->flows[i], &targets);
}

/* ---- the whole ---- */

/* What a message with exactly this key leads to. */
static void
resolve_entries (ZmTable *table)
{
  for (guint i = 0; i < table->n_entries; i++) {
    ZmTableEntry *entry = &table->entries[i];
    const ZmTableEntry *triggered;

    entry->route = zm_table_resolve (table, &table->keys[i], TRUE);
    if (entry->trigger)
      continue;
    triggered = zm_routing_triggered (table, &table->keys[i]);
    entry->flows = triggered != NULL ? triggered->flows : NULL;
    entry->n_flows = triggered != NULL ? triggered->n_flows : 0;
  }
}

/* What is beyond is freed here; the problem is an error, so such a table is never used. */
static void
check_bounds (GPtrArray *list, guint most, guint code, const char *what, ZmProblems *problems)
{
  g_autofree char *expected = NULL;

  if (list->len <= most)
    return;
  expected = g_strdup_printf ("at most %u", most);
  zm_problems_add (problems, ZM_PROBLEM_ERROR, code, NULL, 0, 0, expected, "remove some", "%u %s", list->len,
                   what);
  g_ptr_array_set_size (list, (gint) most);
}

/* Empties the caller's array; gives one that owns what was in it. */
static GPtrArray *
take (GPtrArray **from, GDestroyNotify destroy)
{
  GPtrArray *list = *from != NULL ? *from : g_ptr_array_new ();

  *from = NULL;
  g_ptr_array_set_free_func (list, destroy);
  return list;
}

/* Takes what the input holds, before anything can fail. */
static ZmTable *
table_new (ZmTableInput *input)
{
  ZmTable *table = g_new0 (ZmTable, 1);

  table->refs = 1;
  table->serial = atomic_fetch_add (&serials, 1) + 1;
  table->timeout_us = input->timeout_ms * 1000;
  table->set = input->set != NULL ? zm_plugin_set_ref (input->set) : NULL;
  table->texts = g_string_chunk_new (4096);
  table->lists = g_ptr_array_new_with_free_func (g_free);
  table->mappings = take (&input->mappings, (GDestroyNotify) zm_mapping_free);
  table->flow_array = take (&input->flows, (GDestroyNotify) zm_flow_unref);
  return table;
}

/* The order matters: flows before triggers, all entries before what is resolved against them, everything before
 * the checks. */
ZmTable *
zm_table_build (ZmTableInput *input, ZmProblems *problems)
{
  ZmTable *table = table_new (input);
  g_autoptr (GArray) triggers = NULL;

  check_bounds (table->mappings, MAPPINGS_MOST, ZM_CODE_TOO_MANY_MAPPINGS, "mappings", problems);
  check_bounds (table->flow_array, FLOWS_MOST, ZM_CODE_TOO_MANY_FLOWS, "flows", problems);
  enter_flows (table, problems);
  triggers = zm_routing_triggers (table->flows, table->n_flows, problems);
  make_room (table, table->mappings->len + triggers->len);
  table->routes = g_new0 (ZmRoute, table->mappings->len + 1);
  for (guint i = 0; i < table->mappings->len; i++)
    enter_mapping (table, g_ptr_array_index (table->mappings, i), problems);
  enter_triggers (table, triggers);
  zm_routing_fill_triggers (table);
  zm_routing_resolve_targets (table, input, problems);
  resolve_entries (table);
  resolve_steps (table);
  zm_routing_check_flows (table, problems);
  return table;
}

/* relaxed: whoever refers to a table has a reference, or holds the slot's lock. */
ZmTable *
zm_table_ref (ZmTable *table)
{
  atomic_fetch_add_explicit ((_Atomic int *) &table->refs, 1, memory_order_relaxed);
  return table;
}

/* Any thread. The last holder frees the whole table, a long work for a large one; workers let go between batches. */
void
zm_table_unref (ZmTable *table)
{
  if (table == NULL || atomic_fetch_sub_explicit ((_Atomic int *) &table->refs, 1, memory_order_acq_rel) != 1)
    return;
  g_free (table->targets);
  g_free (table->offsets);
  g_free (table->firsts);
  g_free (table->names);
  g_free (table->flows);
  g_free (table->routes);
  g_aligned_free (table->entries);
  g_free (table->keys);
  g_free (table->places);
  g_string_chunk_free (table->texts);
  g_ptr_array_unref (table->lists);
  g_ptr_array_unref (table->flow_array);
  g_ptr_array_unref (table->mappings);
  /* Last: routes point into the set's generations. */
  g_clear_pointer (&table->set, zm_plugin_set_unref);
  g_free (table);
}

guint
zm_table_n_routes (const ZmTable *table)
{
  return table->n_routes;
}

const ZmRoute *
zm_table_route (const ZmTable *table, guint index)
{
  g_return_val_if_fail (index < table->n_routes, NULL);
  return &table->routes[index];
}

guint
zm_table_n_flows (const ZmTable *table)
{
  return table->n_flows;
}

ZmFlow *
zm_table_flow_nth (const ZmTable *table, guint index)
{
  g_return_val_if_fail (index < table->n_flows, NULL);
  return table->flows[index];
}

ZmPluginSet *
zm_table_set (const ZmTable *table)
{
  return table->set;
}

gint64
zm_table_timeout_us (const ZmTable *table)
{
  return table->timeout_us;
}

guint64
zm_table_serial (const ZmTable *table)
{
  return table->serial;
}
