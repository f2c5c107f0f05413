/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What to subscribe to for a key pattern. Topics begin with the flow's name, so "?Link?Down in whatever flow" is no prefix
 * of its own: this lists the topics that can really be published.
 */
#include "config.h"

#include "routing/table-private.h"

#include <string.h>

typedef struct Prefixes {
  const ZmTable *table;
  const ZmKey *pattern;
  GPtrArray *list;
} Prefixes;

/* zm_topic_prefix ends it at the last part that is given, with its '~'. */
static void
add_topic (Prefixes *prefixes, const char *flow, const ZmKey *key)
{
  g_ptr_array_add (prefixes->list, zm_topic_prefix (flow, key));
}

/* Only what is published: the pattern may match a step that runs in a worker, of which nobody outside ever hears. */
static void
add_step (Prefixes *prefixes, const ZmFlow *flow, guint step)
{
  const ZmStep *at = &flow->steps[step];

  for (guint b = 0; b < at->n_branches; b++) {
    const ZmBranch *branch = &at->branches[b];
    ZmStepTarget target;

    if (branch->kind == ZM_STEP_DONE || !zm_key_matches (prefixes->pattern, &branch->key))
      continue;
    zm_table_step (prefixes->table, flow, step, (int) b, &target);
    /* A mapped step runs in a worker, its result goes to the next step: nothing of it is published. */
    if (branch->kind != ZM_STEP_KEY || (target.route == NULL && target.child == NULL))
      add_topic (prefixes, flow->name, &branch->key);
  }
}

/* Its steps, and its two ends, which carry no key of the flow's own. */
static void
add_flow (Prefixes *prefixes, const ZmFlow *flow)
{
  static const char *const ends[] = { "done", "error" };

  for (guint i = 1; i < flow->n_steps; i++)
    add_step (prefixes, flow, i);
  for (guint i = 0; i < G_N_ELEMENTS (ends); i++) {
    ZmKey key = { .action = zm_span_text (ends[i]) };

    if (zm_key_matches (prefixes->pattern, &key))
      add_topic (prefixes, flow->name, &key);
  }
}

ZmSpan
zm_mapping_component (const ZmMapping *mapping)
{
  const char *name = mapping->worker != NULL ? mapping->worker : mapping->plugin;
  const char *dot = strrchr (name, '.');

  return zm_span_text (dot != NULL ? dot + 1 : name);
}

/* What both leave open stays open: the prefix must end before it. */
static ZmSpan
given (ZmSpan one, ZmSpan other)
{
  return one.size > 0 ? one : other;
}

/* Could one topic have both? Where one leaves a part open it agrees with all. */
static gboolean
agree (ZmSpan pattern, ZmSpan part)
{
  return pattern.size == 0 || part.size == 0 || zm_span_equal (pattern, part);
}

/* Outside a flow a result has the message's key with the component as sender. */
static void
add_result (Prefixes *prefixes, const ZmMapping *mapping)
{
  const ZmKey *pattern = prefixes->pattern, *own = &mapping->key;
  ZmKey key = { .sender = zm_mapping_component (mapping), .decorator = own->decorator };

  if (!agree (pattern->sender, key.sender) || !agree (pattern->context, own->context) ||
      !agree (pattern->action, own->action) ||
      (pattern->decorator.size > 0 && !zm_span_equal (pattern->decorator, own->decorator)))
    return;
  key.context = given (own->context, pattern->context);
  if (key.context.size > 0)
    key.action = given (own->action, pattern->action);
  add_topic (prefixes, NULL, &key);
}

/* ---- the list ---- */

/* Byte order, so that a prefix stands in front of all that it covers. */
static int
compare_texts (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

/* Sorted, without those that a shorter one covers: ZeroMQ would count them as further subscriptions. */
static char **
finish (GPtrArray *list)
{
  g_autoptr (GPtrArray) all = list;
  GPtrArray *kept = g_ptr_array_new ();
  const char *last = NULL;

  g_ptr_array_sort (all, compare_texts);
  for (guint i = 0; i < all->len; i++) {
    const char *text = g_ptr_array_index (all, i);

    if (last != NULL && g_str_has_prefix (text, last))
      continue;
    last = text;
    g_ptr_array_add (kept, g_strdup (text));
  }
  g_ptr_array_add (kept, NULL);
  return (char **) g_ptr_array_free (kept, FALSE);
}

char **
zm_table_prefixes (const ZmTable *table, const ZmKey *pattern)
{
  Prefixes prefixes = { .table = table, .pattern = pattern };

  prefixes.list = g_ptr_array_new_with_free_func (g_free);
  /* The key itself, as actions that set their result's key publish it; all, where nothing is asked. */
  add_topic (&prefixes, NULL, pattern);
  for (guint i = 0; i < table->n_flows; i++)
    add_flow (&prefixes, table->flows[i]);
  for (guint i = 0; i < table->n_routes; i++)
    add_result (&prefixes, table->routes[i].mapping);
  return finish (prefixes.list);
}
