/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Triggers with parts left out. One message may match several, such as ?Link?Down and ??Down, and all their flows run. So
 * that a lookup needs neither to collect nor to allocate, the table also holds their meets: the patterns that give every
 * part that two of them give. The most specific entry that a key matches then has all the flows of that key.
 */
#include "config.h"

#include "routing/table-private.h"

#include <string.h>

typedef struct Builder {
  GArray *all;                 /* ZmTrigger: those of flows first */
  GHashTable *known;           /* slug -> index in all */
  guint n_own;                 /* that are no meets */
  GArray *by_shape[ZM_SHAPES]; /* guint: indices of triggers that are no meets; NULL: none */
} Builder;

/* Owned, as a key of the hash table. */
static char *
slug_of (const ZmKey *key)
{
  char buffer[ZM_KEY_MOST];

  return zm_span_dup (zm_routing_slug (key, ZM_SHAPES - 1, buffer));
}

/* FALSE: it is known already. */
static gboolean
add (Builder *builder, const ZmKey *key, ZmFlow *first)
{
  ZmTrigger trigger = { .key = *key, .shape = zm_routing_shape (key), .first = first };
  char *slug = slug_of (key);

  if (g_hash_table_contains (builder->known, slug)) {
    g_free (slug);
    return FALSE;
  }
  g_hash_table_add (builder->known, slug);
  g_array_append_val (builder->all, trigger);
  return TRUE;
}

/* Meets are made with triggers only, never with each other: what three have in common is the meet of a meet and a
 * trigger. */
static void
index_own (Builder *builder)
{
  builder->n_own = builder->all->len;
  for (guint i = 0; i < builder->n_own; i++) {
    guint shape = g_array_index (builder->all, ZmTrigger, i).shape;

    if (builder->by_shape[shape] == NULL)
      builder->by_shape[shape] = g_array_new (FALSE, FALSE, sizeof (guint));
    g_array_append_val (builder->by_shape[shape], i);
  }
}

/* FALSE: the two can never match one key. */
static gboolean
meet_part (ZmSpan a, ZmSpan b, ZmSpan *out)
{
  if (a.size > 0 && b.size > 0 && !zm_span_equal (a, b))
    return FALSE;
  *out = a.size > 0 ? a : b;
  return TRUE;
}

/* The pattern that gives all that either gives. FALSE where they exclude each other. */
static gboolean
meet (const ZmKey *a, const ZmKey *b, ZmKey *out)
{
  return meet_part (a->action, b->action, &out->action) &&
         meet_part (a->context, b->context, &out->context) &&
         meet_part (a->sender, b->sender, &out->sender) &&
         meet_part (a->decorator, b->decorator, &out->decorator);
}

/* Meets of one trigger with those of flows that have another shape. FALSE: too many. */
static gboolean
meet_with_shape (Builder *builder, guint index, const GArray *others)
{
  for (guint i = 0; i < others->len; i++) {
    /* Looked up each time: add moves the array. */
    const ZmTrigger *one = &g_array_index (builder->all, ZmTrigger, index);
    const ZmTrigger *other = &g_array_index (builder->all, ZmTrigger, g_array_index (others, guint, i));
    ZmKey key;

    if (meet (&one->key, &other->key, &key) && add (builder, &key, NULL) &&
        builder->all->len - builder->n_own > ZM_OVERLAPS_MOST)
      return FALSE;
  }
  return TRUE;
}

/* The list grows while it is walked, so that meets are met too; it ends, for each has more parts than what it came
 * from and there are four. */
static gboolean
meet_all (Builder *builder)
{
  for (guint i = 0; i < builder->all->len; i++) {
    guint shape = g_array_index (builder->all, ZmTrigger, i).shape;

    for (guint other = 0; other < ZM_SHAPES; other++) {
      /* Where one shape holds the other, the meet is one of the two. */
      if (builder->by_shape[other] == NULL || (shape & other) == shape || (shape & other) == other)
        continue;
      if (!meet_with_shape (builder, i, builder->by_shape[other]))
        return FALSE;
    }
  }
  return TRUE;
}

/* On too many meets the problem is an error and the table will not be used; what was found so far is given all the
 * same. */
GArray *
zm_routing_triggers (ZmFlow *const *flows, guint n_flows, ZmProblems *problems)
{
  Builder builder = { 0 };

  builder.all = g_array_new (FALSE, FALSE, sizeof (ZmTrigger));
  builder.known = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  for (guint i = 0; i < n_flows; i++)
    add (&builder, &flows[i]->steps[0].branches[0].key, flows[i]);
  index_own (&builder);
  if (!meet_all (&builder))
    zm_problems_add (problems, ZM_PROBLEM_ERROR, ZM_CODE_TRIGGERS_OVERLAP, NULL, 0, 0,
                     "at most 65,536 combinations of triggers that one message can match",
                     "give the triggers the same parts, such as ?C?A",
                     "the flows' triggers overlap too much");
  for (guint shape = 0; shape < ZM_SHAPES; shape++)
    g_clear_pointer (&builder.by_shape[shape], g_array_unref);
  g_hash_table_unref (builder.known);
  return builder.all;
}

/* ---- the flows of each ---- */

/* Flows of one message start in the order of their files. */
static int
compare_slots (gconstpointer a, gconstpointer b)
{
  const ZmFlow *one = *(const ZmFlow *const *) a, *other = *(const ZmFlow *const *) b;

  return (one->slot > other->slot) - (one->slot < other->slot);
}

/* own: entry -> GPtrArray of the flows with exactly this trigger. */
static void
fill_entry (ZmTable *table, ZmTableEntry *entry, GHashTable *own)
{
  g_autoptr (GPtrArray) found = g_ptr_array_new ();

  for (guint i = 0; i < table->n_triggers; i++) {
    guint shape = table->triggers[i];
    ZmTableEntry *wider;
    GPtrArray *flows;

    if ((shape & entry->shape) != shape)
      continue;
    wider = zm_routing_find (table, &table->keys[entry - table->entries], shape);
    flows = wider != NULL ? g_hash_table_lookup (own, wider) : NULL;
    if (flows != NULL)
      g_ptr_array_extend (found, flows, NULL, NULL);
  }
  g_ptr_array_sort (found, compare_slots);
  entry->n_flows = found->len;
  entry->flows = g_memdup2 (found->pdata, found->len * sizeof (gpointer));
  g_ptr_array_add (table->lists, (gpointer) entry->flows);
}

/* Shapes of triggers, those that give most parts first. */
static void
collect_shapes (ZmTable *table)
{
  guint seen = 0;

  for (guint i = 0; i < table->n_entries; i++)
    if (table->entries[i].trigger)
      seen |= 1u << table->entries[i].shape;
  for (int parts = 4; parts >= 0; parts--)
    for (guint shape = 0; shape < ZM_SHAPES; shape++)
      if ((seen & (1u << shape)) != 0 && __builtin_popcount (shape) == parts)
        table->triggers[table->n_triggers++] = (guint8) shape;
}

/* Every trigger's entry then lists its own flows and those of all wider triggers, so that one look finds all. */
void
zm_routing_fill_triggers (ZmTable *table)
{
  g_autoptr (GHashTable) own =
      g_hash_table_new_full (g_direct_hash, g_direct_equal, NULL, (GDestroyNotify) g_ptr_array_unref);

  collect_shapes (table);
  for (guint i = 0; i < table->n_flows; i++) {
    const ZmKey *key = &table->flows[i]->steps[0].branches[0].key;
    ZmTableEntry *entry = zm_routing_find (table, key, zm_routing_shape (key));
    GPtrArray *flows = g_hash_table_lookup (own, entry);

    if (flows == NULL) {
      flows = g_ptr_array_new ();
      g_hash_table_insert (own, entry, flows);
    }
    g_ptr_array_add (flows, table->flows[i]);
  }
  for (guint i = 0; i < table->n_entries; i++)
    if (table->entries[i].trigger)
      fill_entry (table, &table->entries[i], own);
}
