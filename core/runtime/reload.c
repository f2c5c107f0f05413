/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reload: read everything again, and put it into use as a whole or not at all. It runs in the runtime's thread, so a reload
 * that is asked for meanwhile comes after it.
 */
#include "config.h"

#include "runtime/audit.h"
#include "runtime/panic.h"
#include "runtime/private.h"

#include <string.h>

/* Sections that only a start reads: a change in them is told, not taken. */
static const char *const start_only[] = { "subject.",
                                          "call.",
                                          "integration.",
                                          "zmanager.workers",
                                          "zmanager.plugin-path",
                                          "zmanager.system-plugins",
                                          "zmanager.log-format",
                                          "zmanager.watch",
                                          "zmanager.node",
                                          "workers.ring",
                                          "workers.ordering",
                                          "workers.deferred-limit",
                                          "workers.hard-after",
                                          "workers.wait-timeout",
                                          "workers.wait-for-taker",
                                          "workers.replacements",
                                          "security.",
                                          "http.listen",
                                          "http.threads",
                                          "store.",
                                          NULL };

/* Is this change one that only a start takes? change: a line of zm_config_changes, which begins with section.key. */
static gboolean
needs_restart (const char *change)
{
  for (const char *const *prefix = start_only; *prefix != NULL; prefix++)
    if (g_str_has_prefix (change, *prefix))
      return TRUE;
  /* What is stored depends on a queue's kind, and on whether it is stored at all. */
  return g_str_has_prefix (change, "queue ") &&
         (strstr (change, ".kind ") != NULL ||
          (strstr (change, ".durability ") != NULL && strstr (change, "memory") != NULL));
}

static void
config_changes (const ZmConfig *before, const ZmConfig *after, GPtrArray *out)
{
  g_auto (GStrv) changes = zm_config_changes (before, after);

  for (char **change = changes; *change != NULL; change++)
    g_ptr_array_add (out, needs_restart (*change) ? g_strconcat (*change, " (at the next start)", NULL)
                                                  : g_strdup (*change));
}

/* ---- workers in other languages ---- */

/* One that cannot be used leaves its mappings unavailable and the daemon degraded, for a reason that the externals tell; the
 * others go on. Without bind= it gets a socket of the instance. */
static void
add_worker (ZmRuntime *runtime, const ZmConfig *config, const char *name)
{
  g_autofree char *section = g_strconcat ("worker ", name, NULL);
  g_autofree char *socket = g_strconcat ("worker-", name, NULL);
  g_autofree char *endpoint = NULL;
  g_autoptr (GError) error = NULL;
  ZmExternalConfig external = {
    .name = name,
    .exec = zm_config_text (config, section, "exec"),
    .bind = zm_config_text (config, section, "bind"),
    .restart = zm_config_boolean (config, section, "restart"),
    .shared = zm_config_text (config, section, "bind") != NULL,
  };

  if (external.bind == NULL)
    external.bind = endpoint = zm_instance_bind_endpoint (runtime->instance, socket, &error);
  if (external.bind == NULL)
    g_ptr_array_add (runtime->reasons, g_strdup_printf ("worker %s: %s", name, error->message));
  else if (zm_externals_add (runtime->externals, &external, &error))
    return;
  zm_log_write (runtime->log, ZM_LEVEL_ERROR, "runtime", "%s", error->message);
}

static gboolean
same_bind (const ZmConfig *a, const ZmConfig *b, const char *name)
{
  g_autofree char *section = g_strconcat ("worker ", name, NULL);

  return g_strcmp0 (zm_config_text (a, section, "bind"), zm_config_text (b, section, "bind")) == 0;
}

/* before: NULL at the start. Endpoints that are given up are free before others are bound, so that two workers may change
 * theirs with each other. Who keeps the endpoint keeps the socket too, and where nothing changed, everything; what did not
 * work before is tried again. */
static void
apply_workers (ZmRuntime *runtime, const ZmConfig *before, const ZmConfig *after)
{
  g_auto (GStrv) names = zm_config_names (after, "worker");
  g_autoptr (GPtrArray) kept = g_ptr_array_new ();

  for (char **name = names; *name != NULL; name++)
    if (before != NULL && same_bind (before, after, *name))
      g_ptr_array_add (kept, *name);
  g_ptr_array_add (kept, NULL);
  zm_externals_keep (runtime->externals, (const char *const *) kept->pdata);
  for (char **name = names; *name != NULL; name++)
    add_worker (runtime, after, *name);
}

/* ---- commit and reload ---- */

/* What the load found replaces what the last one found: a plugin that is right again is no reason any more. */
static void
set_reasons (ZmRuntime *runtime, const GPtrArray *failures)
{
  g_ptr_array_set_size (runtime->reasons, 0);
  for (guint i = 0; i < failures->len; i++)
    g_ptr_array_add (runtime->reasons, g_strdup (failures->pdata[i]));
}

/* Only where the files changed it: a level set by command holds until then. */
static void
set_log_level (ZmRuntime *runtime, const ZmConfig *config)
{
  const char *text = zm_config_text (config, "zmanager", "log-level");
  ZmLevel level;

  if (text != NULL && zm_level_parse (text, &level))
    zm_log_set_level (runtime->log, level);
}

/* The order matters. The table is swapped when calls for the new plugins can be held back for those of the old ones;
 * sources change over when the table has their keys; and the registry lets the old plugins go last, when nothing names
 * them. */
void
zm_runtime_commit (ZmRuntime *runtime, ZmLoad *load)
{
  g_autoptr (ZmConfig) before = runtime->config;
  g_autoptr (ZmPluginSet) set = NULL;
  gboolean first = runtime->state == ZM_STATE_STARTING;

  runtime->config = g_steal_pointer (&load->config);
  set_reasons (runtime, load->failures);
  if (first || g_strcmp0 (zm_config_text (before, "zmanager", "log-level"),
                          zm_config_text (runtime->config, "zmanager", "log-level")) != 0)
    set_log_level (runtime, runtime->config);
  /* New calls go to the new plugins from here on; the old ones are stopped when their sources have ended. */
  zm_succeed_prepare (runtime, load->set);
  zm_table_slot_swap (runtime->tables, g_steal_pointer (&load->table));
  apply_workers (runtime, first ? NULL : before, runtime->config);
  if (!first)
    zm_sources_apply (runtime->sources, runtime->config, load->set);
  zm_hosting_forget (runtime->hosting, load->set);
  zm_plugins_commit (runtime->plugins, g_steal_pointer (&load->set));
  set = zm_plugins_current (runtime->plugins);
  zm_panic_set_plugins (set);
  zm_succeed_tell (runtime, set);
  zm_sends_configure (runtime);
  zm_web_configure (runtime);
  zm_load_free (load);
}

/* Every one of them, so that who has only the log (a watched directory, SIGHUP) sees what who asked by command sees. */
static void
log_problems (ZmRuntime *runtime, const ZmProblems *problems)
{
  for (guint i = 0; i < zm_problems_count (problems); i++) {
    const ZmProblem *problem = zm_problems_get (problems, i);
    g_autofree char *text = problem ? zm_problem_format (problem) : NULL;

    if (text != NULL)
      zm_log_write (runtime->log, problem->severity == ZM_PROBLEM_ERROR ? ZM_LEVEL_ERROR : ZM_LEVEL_WARNING,
                    "runtime", "%s", text);
  }
}

/* Tells what is different before it is put into use, while both are at hand. Both are let go before the commit: a
 * reference held here would keep the old plugins. */
static void
use (ZmRuntime *runtime, ZmLoad *load, GPtrArray *changes)
{
  g_autoptr (ZmTable) before = zm_table_slot_get (runtime->tables);
  g_autoptr (ZmPluginSet) plugins = zm_plugins_current (runtime->plugins);

  config_changes (runtime->config, load->config, changes);
  zm_changes_tables (before, load->table, changes);
  zm_changes_plugins (plugins, load->set, changes);
  g_clear_pointer (&plugins, zm_plugin_set_unref);
  g_clear_pointer (&before, zm_table_unref);
  zm_runtime_commit (runtime, load);
  zm_subject_tables_changed (runtime->subject);
}

/* The first error stands for all, as status has one line for it. The next start would fail by the same files, so this is
 * remembered until a reload is taken. */
static char *
refusal_text (const ZmProblems *problems)
{
  guint errors = zm_problems_errors (problems);
  const ZmProblem *first = NULL;
  g_autofree char *text = NULL;

  for (guint i = 0; i < zm_problems_count (problems) && first == NULL; i++) {
    const ZmProblem *problem = zm_problems_get (problems, i);

    if (problem != NULL && problem->severity == ZM_PROBLEM_ERROR)
      first = problem;
  }
  if (first == NULL)
    return g_strdup ("the log says why");
  text = zm_problem_format (first);
  return errors > 1 ? g_strdup_printf ("%s (and %u more, see zmanagerctl check)", text, errors - 1)
                    : g_steal_pointer (&text);
}

char *
zm_runtime_incomplete (const ZmRuntime *runtime)
{
  g_autofree char *audit = zm_audit_lost (runtime);
  guint n = runtime->reasons->len + (audit != NULL);
  const char *first = runtime->reasons->len > 0 ? runtime->reasons->pdata[0] : audit;

  return n > 1 ? g_strdup_printf ("%s (and %u more)", first, n - 1) : g_strdup (first);
}

/* The service manager is told the end in any case: a reload that was refused is over too. */
gboolean
zm_runtime_reload (ZmRuntime *runtime, const char *const *again, GPtrArray *changes, ZmProblems *problems)
{
  ZmLoad *load;
  g_autofree char *text = NULL;

  zm_notify_reloading (runtime->notify);
  load = zm_load_new (runtime, again, problems);
  log_problems (runtime, problems);
  g_clear_pointer (&runtime->refused, g_free);
  if (load != NULL) {
    use (runtime, load, changes);
    text = zm_runtime_changes_text (changes);
    zm_log_write (runtime->log, changes->len > 0 ? ZM_LEVEL_NOTICE : ZM_LEVEL_INFO, "runtime", "reloaded: %s",
                  text);
  } else {
    text = g_strdup_printf ("the reload was refused (%u error%s); the running configuration stays",
                            zm_problems_errors (problems), zm_runtime_plural (zm_problems_errors (problems)));
    zm_log_write (runtime->log, ZM_LEVEL_ERROR, "runtime", "%s", text);
    runtime->refused = refusal_text (problems);
  }
  zm_notify_ready (runtime->notify, text);
  return load != NULL;
}
