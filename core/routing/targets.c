/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What each mapping leads to: a function of a plugin, or a worker. What is not there stays in the table and answers
 * `unavailable` with its reason, so that no other mapping and no hand-over takes its place.
 */
#include "config.h"

#include "routing/table-private.h"

#include <string.h>

/* The reason is copied into the table: it outlives the error that it came from. */
static void
refuse (ZmTable *table, ZmRoute *route, const char *reason)
{
  route->target = ZM_TARGET_UNAVAILABLE;
  route->reason = g_string_chunk_insert (table->texts, reason);
}

/* workers NULL: nobody knows which there are, so none is wrong. */
static void
resolve_worker (ZmTable *table, ZmRoute *route, const char *const *workers, ZmProblems *problems)
{
  const ZmMapping *mapping = route->mapping;
  g_autofree char *reason = NULL, *todo = NULL;
  const char *near_one;

  route->target = ZM_TARGET_WORKER;
  route->worker = mapping->worker;
  if (workers == NULL || g_strv_contains (workers, mapping->worker))
    return;
  near_one = zm_suggest (mapping->worker, workers);
  todo = near_one != NULL ? g_strdup_printf ("did you mean worker:%s?", near_one)
                          : g_strdup_printf ("add [worker %s] to the configuration", mapping->worker);
  reason = g_strdup_printf ("worker %s is not configured", mapping->worker);
  zm_problems_add (problems, ZM_PROBLEM_ERROR, ZM_CODE_UNKNOWN_WORKER, mapping->file, mapping->line,
                   mapping->column, "the NAME of a section [worker NAME]", todo, "\"%s\": %s",
                   mapping->key_text, reason);
  refuse (table, route, reason);
}

/* "did you mean NAME?" among the plugins of the set, unless the error says so already. */
static char *
suggest_plugin (ZmPluginSet *set, const char *plugin, const char *said)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  const char *near_one;

  if (strstr (said, "did you mean") != NULL)
    return NULL;
  for (guint i = 0; i < zm_plugin_set_size (set); i++)
    g_ptr_array_add (names, (gpointer) zm_generation_name (zm_plugin_set_nth (set, i)));
  g_ptr_array_add (names, NULL);
  near_one = zm_suggest (plugin, (const char *const *) names->pdata);
  return near_one != NULL ? g_strdup_printf ("did you mean %s?", near_one) : NULL;
}

/* A plugin may be there and not where this mapping wants it: then it is as one that is not there. */
static guint
problem_code (ZmPluginSet *set, const ZmMapping *mapping, const GError *error)
{
  if (error->code == ZM_ERROR_REFUSED)
    return ZM_CODE_NO_VARIANT;
  return error->code != ZM_ERROR_UNAVAILABLE && zm_plugin_set_has (set, mapping->plugin)
             ? ZM_CODE_UNKNOWN_SYMBOL
             : ZM_CODE_UNKNOWN_PLUGIN;
}

/* The set's own error says whether plugin or symbol is missing, and is what callers of the mapping are told. */
static void
resolve_action (ZmTable *table, ZmRoute *route, ZmPluginSet *set, ZmProblems *problems)
{
  const ZmMapping *mapping = route->mapping;
  g_autoptr (GError) error = NULL;
  g_autofree char *todo = NULL;
  guint code;

  route->action = zm_plugin_set_action_at (set, mapping->plugin, mapping->isolation, mapping->symbol, &error);
  if (route->action != NULL) {
    route->target = ZM_TARGET_ACTION;
    return;
  }
  code = problem_code (set, mapping, error);
  todo = code == ZM_CODE_UNKNOWN_PLUGIN ? suggest_plugin (set, mapping->plugin, error->message) : NULL;
  zm_problems_add (problems, ZM_PROBLEM_ERROR, code, mapping->file, mapping->line, mapping->column, NULL,
                   todo, "\"%s\": %s", mapping->key_text, error->message);
  refuse (table, route, error->message);
}

/* Without a set (a check that runs no code) every action is unavailable; nobody dispatches by such a table. */
void
zm_routing_resolve_targets (ZmTable *table, const ZmTableInput *input, ZmProblems *problems)
{
  for (guint i = 0; i < table->n_routes; i++) {
    ZmRoute *route = &table->routes[i];
    const ZmMapping *mapping = route->mapping;

    route->timeout_us = (mapping->timeout_ms >= 0 ? mapping->timeout_ms : input->timeout_ms) * 1000;
    if (mapping->worker != NULL)
      resolve_worker (table, route, input->workers, problems);
    else if (table->set != NULL)
      resolve_action (table, route, table->set, problems);
    else
      refuse (table, route, "not loaded");
  }
}
