/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads configuration, mappings and flows and makes of them what the daemon runs with: a configuration, a set of plugins and
 * a table. Nothing is in use before it is committed, so any error leaves the running daemon as it was.
 *
 * Two kinds of fault are told apart. What stands wrong in a file of the operator's refuses the whole load. A plugin that
 * cannot be loaded does not: the others go on, its mappings answer `unavailable`, and status says why.
 */
#include "config.h"

#include "runtime/hosting-private.h"
#include "runtime/kept.h"
#include "runtime/private.h"

#include "base/zm-codes.h"
#include "runtime/audit.h"
#include "runtime/check.h"

#include <string.h>
#include <unistd.h>

/* ---- configuration ---- */

/* value NULL: not given. */
static void
add_setting (ZmConfig *config, const char *name, const char *value, const char *origin, ZmProblems *problems)
{
  g_autofree char *setting = value ? g_strconcat (name, "=", value, NULL) : NULL;

  if (setting != NULL)
    zm_config_add_setting (config, setting, origin, problems);
}

/* The layers from the lowest up: the main file, conf.d in order of names, what --dev means, --set, and the options that
 * have a flag of their own. The instance's own file may be missing, as the defaults are enough; one that was asked for
 * may not. */
ZmConfig *
zm_load_config (const ZmInstance *instance, const ZmRuntimeOptions *options, ZmProblems *problems)
{
  ZmConfig *config = zm_config_new ();

  /* The instance's own file may be missing, as the defaults are enough; one that was asked for may not. */
  /* Below what the files say: a store that only developing needs is in memory. */
  if (options->dev)
    add_setting (config, "store.driver", "memory", "--dev", problems);
  if (options->config_file != NULL)
    zm_config_add_file (config, options->config_file, problems);
  else if (g_file_test (instance->config_file, G_FILE_TEST_EXISTS))
    zm_config_add_file (config, instance->config_file, problems);
  zm_config_add_directory (config, instance->config_dir, problems);
  if (options->dev) {
    add_setting (config, "zmanager.log-format", "human", "--dev", problems);
    add_setting (config, "zmanager.watch", "yes", "--dev", problems);
  }
  for (const char *const *setting = options->settings; setting != NULL && *setting != NULL; setting++)
    zm_config_add_setting (config, *setting, "--set", problems);
  add_setting (config, "zmanager.log-format", options->log_format, "--log-format", problems);
  add_setting (config, "zmanager.log-level", options->log_level, "--log-level", problems);
  zm_config_finish (config, problems);
  zm_http_check (config, problems);
  zm_queues_check (config, problems);
  zm_sends_check (config, problems);
  return config;
}

/* ---- mappings and flows ---- */

/* Each file of a directory, in the order of their names: the later has the higher rank. */
static void
read_directory (const char *directory, const char *ending,
                void (*read) (const char *, GPtrArray *, ZmProblems *), GPtrArray *out, ZmProblems *problems)
{
  g_auto (GStrv) paths = zm_list_files (directory, ending);

  for (char **path = paths; *path != NULL; path++)
    read (*path, out, problems);
}

gboolean
zm_load_listed (const GPtrArray *list, const char *name)
{
  return list != NULL && g_ptr_array_find_with_equal_func ((GPtrArray *) list, name, g_str_equal, NULL);
}

/* Files beside plugins first, as their author knows less than the operator: later files win. A plugin that is shadowed,
 * or was unloaded by command, has no say. */
void
zm_load_read_files (const ZmInstance *instance, const GPtrArray *files, const GPtrArray *barred,
                    GPtrArray *mappings, GPtrArray *flows, ZmProblems *problems)
{
  for (guint i = 0; files != NULL && i < files->len; i++) {
    const ZmPluginFile *file = g_ptr_array_index (files, i);

    if (file->shadowed_by != NULL || zm_load_listed (barred, file->name))
      continue;
    if (file->actions_file != NULL)
      zm_mapping_read_file (file->actions_file, mappings, problems);
    if (file->flow_file != NULL)
      zm_flow_read_file (file->flow_file, flows, problems);
  }
  read_directory (instance->actions_dir, ".ini", zm_mapping_read_file, mappings, problems);
  read_directory (instance->flows_dir, ".flow", zm_flow_read_file, flows, problems);
}

/* ---- plugins ---- */

/* Names in the order in which they were first asked for, each once. */
typedef struct Wanted {
  GHashTable *seen; /* borrowed names */
  const GPtrArray *barred;
  GPtrArray *out;
} Wanted;

/* Adds a name once; the strings belong to who asks. */
static void
want (Wanted *wanted, const char *name)
{
  if (!zm_load_listed (wanted->barred, name) && g_hash_table_add (wanted->seen, (gpointer) name))
    g_ptr_array_add (wanted->out, g_strdup (name));
}

/* A mapping may want its plugin in another place, as a variant of its own name. What is barred is so in all places. */
static void
want_mapped (Wanted *wanted, const ZmMapping *mapping)
{
  char *name;

  if (mapping->isolation == NULL) {
    want (wanted, mapping->plugin);
    return;
  }
  if (zm_load_listed (wanted->barred, mapping->plugin))
    return;
  name = zm_plugin_variant_name (mapping->plugin, mapping->isolation);
  if (g_hash_table_contains (wanted->seen, name)) {
    g_free (name);
    return;
  }
  g_ptr_array_add (wanted->out, name);
  g_hash_table_add (wanted->seen, name);
}

/* In the order of first mention, so that plugins start in an order that the files show, where dependencies do not say
 * otherwise. */
char **
zm_load_wanted (const ZmConfig *config, const GPtrArray *mappings, const GPtrArray *asked,
                const GPtrArray *barred)
{
  g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);
  Wanted wanted = { seen, barred, g_ptr_array_new () };
  g_auto (GStrv) plugins = zm_config_names (config, "plugin");
  g_auto (GStrv) sources = zm_config_names (config, "source");

  for (guint i = 0; i < mappings->len; i++) {
    const ZmMapping *mapping = g_ptr_array_index (mappings, i);

    if (mapping->plugin != NULL)
      want_mapped (&wanted, mapping);
  }
  for (char **name = plugins; *name != NULL; name++) {
    g_autofree char *section = g_strconcat ("plugin ", *name, NULL);

    if (zm_config_boolean (config, section, "load"))
      want (&wanted, *name);
  }
  for (char **name = sources; *name != NULL; name++)
    want (&wanted, zm_load_source_plugin (config, *name));
  if (zm_durable_wanted (config))
    want (&wanted, zm_durable_driver (config));
  for (guint i = 0; asked != NULL && i < asked->len; i++)
    want (&wanted, g_ptr_array_index (asked, i));
  g_ptr_array_add (wanted.out, NULL);
  return (char **) g_ptr_array_free (wanted.out, FALSE);
}

/* Does it cost one plugin only? What stands wrong in a file that the operator wrote has a line; a mapping whose plugin is not
 * there is right again as soon as the plugin is, and answers `unavailable` until then. */
static gboolean
costs_one_plugin (const ZmProblem *problem)
{
  return problem->severity == ZM_PROBLEM_ERROR && problem->code != ZM_CODE_HOOKS_OUTSIDE &&
         (problem->line == 0 || problem->code == ZM_CODE_UNKNOWN_PLUGIN);
}

/* Hands problems on, those that cost one plugin as warnings. failures: gets those without a line, for status; may be
 * NULL. */
static void
sort_problems (const ZmProblems *found, GPtrArray *failures, ZmProblems *problems)
{
  for (guint i = 0; i < zm_problems_count (found); i++) {
    const ZmProblem *problem = zm_problems_get (found, i);
    gboolean spared;

    if (problem == NULL)
      break;
    spared = costs_one_plugin (problem);
    if (spared && problem->line == 0)
      g_ptr_array_add (failures, g_strdup (problem->what));
    zm_problems_add (problems, spared ? ZM_PROBLEM_WARNING : problem->severity, problem->code, problem->file,
                     problem->line, problem->column, problem->expected, problem->todo, "%s", problem->what);
  }
}

/* ---- the table ---- */

static ZmOrdering
ordering_of (const ZmConfig *config)
{
  const char *text = zm_config_text (config, "workers", "ordering");

  if (g_strcmp0 (text, "context") == 0)
    return ZM_ORDERING_CONTEXT;
  return g_strcmp0 (text, "key") == 0 ? ZM_ORDERING_KEY : ZM_ORDERING_NONE;
}

/* Takes both arrays. Also used without plugins: by --check, and for the table that leads nowhere at the start and the
 * end. */
ZmTable *
zm_load_table (const ZmConfig *config, GPtrArray *mappings, GPtrArray *flows, ZmPluginSet *set,
               ZmProblems *problems)
{
  g_auto (GStrv) workers = zm_config_names (config, "worker");
  ZmTableInput input = {
    .mappings = mappings,
    .flows = flows,
    .set = set,
    .workers = (const char *const *) workers,
    .timeout_ms = zm_config_integer (config, "workers", "timeout"),
    .ordering = ordering_of (config),
  };

  return zm_table_build (&input, problems);
}

void
zm_load_free (ZmLoad *load)
{
  if (load == NULL)
    return;
  g_clear_pointer (&load->table, zm_table_unref);
  g_clear_pointer (&load->config, zm_config_unref);
  g_clear_pointer (&load->failures, g_ptr_array_unref);
  g_free (load);
}

ZmRuntimeOptions
zm_runtime_options (const ZmRuntime *runtime)
{
  ZmRuntimeOptions options = {
    .dir = runtime->instance->dir,
    .config_file = runtime->config_file,
    .settings = (const char *const *) runtime->settings,
    .log_format = runtime->log_format,
    .log_level = runtime->log_level,
    .dev = runtime->dev,
  };

  return options;
}

/* The plugin of the mapping at that place, or NULL. Only where something is wrong, so a walk over the table is cheap
 * enough. */
static const char *
mapped_plugin (const ZmTable *table, const ZmProblem *problem)
{
  for (guint i = 0; i < zm_table_n_routes (table); i++) {
    const ZmMapping *mapping = zm_table_route (table, i)->mapping;

    if (mapping->line == problem->line && g_strcmp0 (mapping->file, problem->file) == 0)
      return mapping->plugin;
  }
  return NULL;
}

/* That a plugin is missing was told when the set was prepared: its mappings need not say so again, each for itself. */
static gboolean
told_already (const ZmTable *table, const ZmProblem *problem, const ZmProblems *prepared)
{
  const char *plugin =
      problem->code == ZM_CODE_UNKNOWN_PLUGIN && problem->line > 0 ? mapped_plugin (table, problem) : NULL;
  g_autofree char *beginning = plugin != NULL ? g_strdup_printf ("plugin '%s", plugin) : NULL;

  for (guint i = 0; beginning != NULL && i < zm_problems_count (prepared); i++) {
    const ZmProblem *said = zm_problems_get (prepared, i);

    /* Of the plugin, or of the variant that the mapping wants. */
    if (said->line == 0 && g_str_has_prefix (said->what, beginning) &&
        strchr ("'@", said->what[strlen (beginning)]) != NULL)
      return TRUE;
  }
  return FALSE;
}

/* Problems of the table, without those that say of a mapping what was said of its plugin already. */
static void
add_routed (const ZmTable *table, const ZmProblems *routed, ZmProblems *found)
{
  for (guint i = 0; i < zm_problems_count (routed); i++) {
    const ZmProblem *problem = zm_problems_get (routed, i);

    if (!told_already (table, problem, found))
      zm_problems_add (found, problem->severity, problem->code, problem->file, problem->line, problem->column,
                       problem->expected, problem->todo, "%s", problem->what);
  }
}

/* Prepares the plugins and builds the table. New plugins are loaded, initialised and started here, beside the running
 * ones. A set that the table does not hold in the end is discarded by who called. */
static void
load_plugins (ZmRuntime *runtime, ZmLoad *load, GPtrArray *mappings, GPtrArray *flows,
              const char *const *again, ZmProblems *problems)
{
  g_autoptr (ZmProblems) found = zm_problems_new ();
  g_autoptr (ZmProblems) routed = zm_problems_new ();
  g_auto (GStrv) wanted = NULL;

  zm_load_apply_actions (load->config, mappings, routed);
  wanted = zm_load_wanted (load->config, mappings, runtime->asked, runtime->barred);
  zm_kept_load (runtime->hosting->kept, (const char *const *) wanted);
  zm_check_sections (load->config, runtime->plugins, (const char *const *) wanted, problems);
  load->set = zm_plugins_prepare (runtime->plugins, load->config, (const char *const *) wanted, again, found);
  if (load->set != NULL) {
    zm_load_check_kept (load->config, load->set, found);
    zm_load_check_sources (load->config, load->set, found);
    zm_durable_check_set (load->config, runtime->plugins, load->set, found);
    zm_load_check_limits (load->config, mappings, runtime->plugins, found);
  }
  load->table = zm_load_table (load->config, mappings, flows, load->set, routed);
  add_routed (load->table, routed, found);
  sort_problems (found, load->failures, problems);
}

/* All files are read before anything is judged, so that one reload tells every mistake. What a plugin's code does
 * cannot be taken back, so none runs for a configuration that is refused anyway. */
ZmLoad *
zm_load_new (ZmRuntime *runtime, const char *const *again, ZmProblems *problems)
{
  ZmLoad *load = g_new0 (ZmLoad, 1);
  ZmRuntimeOptions options = zm_runtime_options (runtime);
  g_autoptr (GPtrArray) mappings = g_ptr_array_new_with_free_func ((GDestroyNotify) zm_mapping_free);
  g_autoptr (GPtrArray) flows = g_ptr_array_new_with_free_func ((GDestroyNotify) zm_flow_unref);
  const GPtrArray *files;

  load->failures = g_ptr_array_new_with_free_func (g_free);
  zm_trust_check (runtime->instance, options.config_file, geteuid (), problems);
  load->config = zm_load_config (runtime->instance, &options, problems);
  zm_config_keep_secrets (load->config, runtime->config);
  /* What keeps a daemon from starting only degrades one that runs: its messages matter more. */
  zm_audit_tell (runtime->instance, load->config, geteuid (), ZM_PROBLEM_WARNING, problems);
  files = zm_plugins_scan (runtime->plugins, problems);
  zm_load_read_files (runtime->instance, files, runtime->barred, mappings, flows, problems);
  /* No plugin's code runs for a configuration that is refused anyway. */
  if (zm_problems_errors (problems) == 0)
    load_plugins (runtime, load, g_steal_pointer (&mappings), g_steal_pointer (&flows), again, problems);
  zm_problems_sort (problems);
  if (zm_problems_errors (problems) == 0)
    return load;
  g_clear_pointer (&load->table, zm_table_unref);
  if (load->set != NULL)
    zm_plugins_discard (runtime->plugins, g_steal_pointer (&load->set));
  zm_load_free (load);
  return NULL;
}
