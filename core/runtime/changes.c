/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a reload changed, in words short enough for one line. */
#include "config.h"

#include "runtime/private.h"

#include <string.h>

/* Changes named in the one line; the list has them all. */
#define NAMED_MOST 8

/* ---- mappings: tables have tens of thousands, so they are compared where they stand and counted ---- */

/* What decides how a message with this key is handled. Where it is written does not count: moving a line changes
 * nothing. */
static gboolean
says_the_same (const ZmMapping *a, const ZmMapping *b)
{
  return g_strcmp0 (a->symbol, b->symbol) == 0 && g_strcmp0 (a->plugin, b->plugin) == 0 &&
         g_strcmp0 (a->worker, b->worker) == 0 && a->timeout_ms == b->timeout_ms &&
         a->ordering == b->ordering && g_strcmp0 (a->isolation, b->isolation) == 0;
}

/* Mappings that came, went or changed. */
typedef struct Count {
  guint n;
  const ZmMapping *first;
} Count;

/* Remembers the first one only: a name is told where there is one, a number where there are more. */
static void
count (Count *count, const ZmMapping *mapping)
{
  if (count->n++ == 0)
    count->first = mapping;
}

/* "+2 mappings": many are counted, as a file of them may come or go. */
static void
tell_count (GPtrArray *out, const char *sign, const Count *count, const char *tail)
{
  g_autofree char *key = count->n == 1 ? zm_key_text (&count->first->key) : NULL;

  if (count->n == 1)
    g_ptr_array_add (out, g_strdup_printf ("%s1 mapping%s (%s)", sign, tail, key));
  else if (count->n > 1)
    g_ptr_array_add (out, g_strdup_printf ("%s%u mappings%s", sign, count->n, tail));
}

/* Walks the new table once, with a look-up in the old one each; the old one is only walked where something must be
 * gone. */
static void
compare_mappings (const ZmTable *before, const ZmTable *after, GPtrArray *out)
{
  Count added = { 0, NULL }, removed = { 0, NULL }, changed = { 0, NULL };

  for (guint i = 0; after != NULL && i < zm_table_n_routes (after); i++) {
    const ZmMapping *now = zm_table_route (after, i)->mapping;
    const ZmMapping *old = before != NULL ? zm_table_mapping (before, &now->key) : NULL;

    if (old == NULL)
      count (&added, now);
    else if (!says_the_same (old, now))
      count (&changed, now);
  }
  /* Where as many stand in both as stood before, none is gone. */
  for (guint i = 0;
       before != NULL && i < zm_table_n_routes (before) &&
       removed.n + (after != NULL ? zm_table_n_routes (after) : 0) - added.n < zm_table_n_routes (before);
       i++) {
    const ZmMapping *old = zm_table_route (before, i)->mapping;

    if (after == NULL || zm_table_mapping (after, &old->key) == NULL)
      count (&removed, old);
  }
  tell_count (out, "+", &added, "");
  tell_count (out, "-", &removed, "");
  tell_count (out, "", &changed, " changed");
}

/* ---- flows ---- */

static void
sign_branch (GString *out, const ZmBranch *branch)
{
  g_string_append_printf (out, "%d %s,", branch->kind, branch->text);
}

/* A text that two flows share exactly where they have the same steps. */
static char *
flow_sign (const ZmFlow *flow)
{
  GString *out = g_string_new (NULL);

  for (guint i = 0; i < flow->n_steps; i++) {
    const ZmStep *step = &flow->steps[i];

    g_string_append_printf (out, "%d:", step->kind);
    for (guint branch = 0; branch < step->n_branches; branch++)
      sign_branch (out, &step->branches[branch]);
    if (step->on_error != NULL)
      sign_branch (out, step->on_error);
    g_string_append_c (out, '\n');
  }
  return g_string_free (out, FALSE);
}

static GHashTable *
flow_signs (const ZmTable *table)
{
  GHashTable *signs = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);

  for (guint i = 0; table != NULL && i < zm_table_n_flows (table); i++) {
    const ZmFlow *flow = zm_table_flow_nth (table, i);

    g_hash_table_insert (signs, g_strdup (flow->name), flow_sign (flow));
  }
  return signs;
}

typedef struct Difference {
  GPtrArray *added, *removed, *changed; /* borrowed names, sorted */
} Difference;

static int
by_name (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

/* Both tables hold names and signs; the three lists are sorted, as hash tables have no order that could be told twice. */
static void
compare (GHashTable *before, GHashTable *after, Difference *out)
{
  GHashTableIter iter;
  gpointer name, sign;

  *out = (Difference){ g_ptr_array_new (), g_ptr_array_new (), g_ptr_array_new () };
  g_hash_table_iter_init (&iter, after);
  while (g_hash_table_iter_next (&iter, &name, &sign)) {
    const char *old = g_hash_table_lookup (before, name);

    if (old == NULL)
      g_ptr_array_add (out->added, name);
    else if (strcmp (old, sign) != 0)
      g_ptr_array_add (out->changed, name);
  }
  g_hash_table_iter_init (&iter, before);
  while (g_hash_table_iter_next (&iter, &name, NULL))
    if (!g_hash_table_contains (after, name))
      g_ptr_array_add (out->removed, name);
  g_ptr_array_sort (out->added, by_name);
  g_ptr_array_sort (out->removed, by_name);
  g_ptr_array_sort (out->changed, by_name);
}

static void
difference_clear (Difference *difference)
{
  g_ptr_array_unref (difference->added);
  g_ptr_array_unref (difference->removed);
  g_ptr_array_unref (difference->changed);
}

static void
name_flows (GPtrArray *out, const GPtrArray *names, const char *verb)
{
  for (guint i = 0; i < names->len; i++)
    g_ptr_array_add (out, g_strdup_printf ("flow %s %s", (const char *) names->pdata[i], verb));
}

/* Flows by name, since people speak of them so; mappings by number, since files of thousands come and go. */
void
zm_changes_tables (const ZmTable *before, const ZmTable *after, GPtrArray *out)
{
  g_autoptr (GHashTable) flows_before = flow_signs (before);
  g_autoptr (GHashTable) flows_after = flow_signs (after);
  Difference difference;

  compare_mappings (before, after, out);
  compare (flows_before, flows_after, &difference);
  name_flows (out, difference.added, "added");
  name_flows (out, difference.removed, "removed");
  name_flows (out, difference.changed, "changed");
  difference_clear (&difference);
}

/* Both sets are held by the caller. The same generation in both is no change, though its section may be one: that was
 * told with the configuration. */
void
zm_changes_plugins (ZmPluginSet *before, ZmPluginSet *after, GPtrArray *out)
{
  for (guint i = 0; after != NULL && i < zm_plugin_set_size (after); i++) {
    ZmGeneration *now = zm_plugin_set_nth (after, i);
    ZmGeneration *old = before ? zm_plugin_set_find (before, zm_generation_name (now)) : NULL;

    if (old == NULL)
      g_ptr_array_add (out, g_strdup_printf ("plugin %s loaded", zm_generation_name (now)));
    else if (old != now)
      g_ptr_array_add (out, g_strdup_printf ("plugin %s generation %u", zm_generation_name (now),
                                             zm_generation_number (now)));
  }
  for (guint i = 0; before != NULL && i < zm_plugin_set_size (before); i++) {
    const char *name = zm_generation_name (zm_plugin_set_nth (before, i));

    if (after == NULL || zm_plugin_set_find (after, name) == NULL)
      g_ptr_array_add (out, g_strdup_printf ("plugin %s unloaded", name));
  }
}

char *
zm_runtime_changes_text (const GPtrArray *changes)
{
  GString *out = g_string_new (NULL);

  for (guint i = 0; i < changes->len && i < NAMED_MOST; i++)
    g_string_append_printf (out, "%s%s", i ? ", " : "", (const char *) changes->pdata[i]);
  if (changes->len > NAMED_MOST)
    g_string_append_printf (out, " and %u more", changes->len - NAMED_MOST);
  if (changes->len == 0)
    g_string_append (out, "nothing changed");
  return g_string_free (out, FALSE);
}
