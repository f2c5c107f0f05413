/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The order of loading: each plugin after those that its note depends on. What is missing and what goes in a circle is
 * named; the others go on.
 */
#include "config.h"

#include "plugin/zm-plugin-private.h"

#include <string.h>

typedef enum { UNSEEN, OPEN, GOOD, BAD } Mark;

typedef struct Order {
  ZmPlugins *plugins;
  ZmProblems *problems;
  GHashTable *marks;   /* name -> Mark */
  GHashTable *reasons; /* name -> why it is left out */
  GPtrArray *chain;    /* names being visited, each needed by the one before it */
  GPtrArray *result;
} Order;

/* By the notes of the last scan: also of plugins that nothing names. */
static char *
known_like (ZmPlugins *plugins, const char *name)
{
  g_autofree const char **names = (const char **) g_hash_table_get_keys_as_array (plugins->by_name, NULL);
  const char *like = zm_suggest (name, names);

  return like != NULL ? g_strdup_printf ("did you mean %s?", like) : NULL;
}

/* The reason is kept under the name, so that those that need it can give it as theirs. */
static Mark
refuse (Order *order, const char *name, guint code, const char *todo, const char *why)
{
  const ZmPluginFile *file = zm_plugins_file_of (order->plugins, name);

  zm_problems_add (order->problems, ZM_PROBLEM_ERROR, code, file != NULL ? file->path : NULL, 0, 0, NULL,
                   todo, "plugin '%s' %s", name, why);
  g_hash_table_insert (order->reasons, g_strdup (name), g_strdup (why));
  return BAD;
}

/* "a needs b needs a" */
static Mark
refuse_cycle (Order *order, const char *name)
{
  g_autoptr (GString) circle = g_string_new ("depends on itself: ");
  guint from = 0;

  while (strcmp (g_ptr_array_index (order->chain, from), name) != 0)
    from++;
  for (guint i = from; i < order->chain->len; i++)
    g_string_append_printf (circle, "%s needs ", (const char *) g_ptr_array_index (order->chain, i));
  g_string_append (circle, name);
  return refuse (order, name, ZM_CODE_DEPENDENCY_CYCLE, "take one depends= out of the circle", circle->str);
}

static Mark visit (Order *order, const char *name);

/* BAD where one of those that it needs is. */
static Mark
visit_needs (Order *order, const ZmPluginFile *file, const char *name)
{
  for (char **need = file->manifest->depends; *need != NULL; need++) {
    g_autofree char *why = NULL;

    if (visit (order, *need) == GOOD)
      continue;
    /* The one that closed a circle has been told about already. */
    if (g_hash_table_contains (order->reasons, name))
      return BAD;
    why =
        g_strdup_printf ("needs '%s', which %s", *need, (char *) g_hash_table_lookup (order->reasons, *need));
    return refuse (order, name, ZM_CODE_DEPENDENCY_MISSING, "install what it needs", why);
  }
  return GOOD;
}

/* Depth first: what it needs is in the result before it. The chain is what a circle is told by. */
static Mark
visit_new (Order *order, const char *name)
{
  const ZmPluginFile *file = zm_plugins_file_of (order->plugins, name);
  Mark mark;

  if (file == NULL) {
    g_autofree char *todo = known_like (order->plugins, name);

    return refuse (order, name, ZM_CODE_UNKNOWN_PLUGIN, todo, "is not in the plugin path");
  }
  if (file->manifest == NULL) {
    g_autofree char *why = g_strdup_printf ("is refused: %s", file->error);

    return refuse (order, name, ZM_CODE_PLUGIN_REFUSED, NULL, why);
  }
  g_ptr_array_add (order->chain, (gpointer) name);
  mark = visit_needs (order, file, name);
  g_ptr_array_set_size (order->chain, (int) order->chain->len - 1);
  if (mark == GOOD)
    g_ptr_array_add (order->result, g_strdup (name));
  return mark;
}

/* Each name is visited once; one that is met while it is being visited closes a circle. */
static Mark
visit (Order *order, const char *name)
{
  Mark mark = GPOINTER_TO_INT (g_hash_table_lookup (order->marks, name));

  if (mark == OPEN)
    return refuse_cycle (order, name);
  if (mark != UNSEEN)
    return mark;
  g_hash_table_insert (order->marks, g_strdup (name), GINT_TO_POINTER (OPEN));
  mark = visit_new (order, name);
  g_hash_table_insert (order->marks, g_strdup (name), GINT_TO_POINTER (mark));
  return mark;
}

/* Recursion is as deep as the longest chain of needs, which is bounded by the number of files a scan looks at. */
GPtrArray *
zm_order_plugins (ZmPlugins *plugins, const char *const *wanted, GHashTable *reasons, ZmProblems *problems)
{
  g_autoptr (GHashTable) marks = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr (GPtrArray) chain = g_ptr_array_new ();
  Order order = { plugins, problems, marks, reasons, chain, g_ptr_array_new_with_free_func (g_free) };

  for (guint i = 0; wanted != NULL && wanted[i] != NULL; i++)
    visit (&order, wanted[i]);
  return order.result;
}

void
zm_plugins_check_needs (ZmPlugins *plugins, const char *const *wanted, ZmProblems *problems)
{
  g_autoptr (GHashTable) reasons = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  g_autoptr (ZmProblems) all = zm_problems_new ();

  g_ptr_array_unref (zm_order_plugins (plugins, wanted, reasons, all));
  for (guint i = 0; i < zm_problems_count (all); i++) {
    const ZmProblem *problem = zm_problems_get (all, i);

    if (problem->code == ZM_CODE_DEPENDENCY_MISSING || problem->code == ZM_CODE_DEPENDENCY_CYCLE)
      zm_problems_add (problems, problem->severity, problem->code, problem->file, 0, 0, problem->expected,
                       problem->todo, "%s", problem->what);
  }
}
