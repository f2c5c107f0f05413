/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The store in the daemon: which plugin, where it keeps its data, and how it is opened and closed. Without anything that needs
 * it no plugin is loaded and no file is made.
 */
#include "config.h"

#include "runtime/private.h"

#include "base/zm-codes.h"
#include "plugin/zm-carrier.h"
#include "runtime/durable.h"

#include <string.h>
#include <unistd.h>

#define SECTION "store"

struct ZmDurable {
  ZmDurableHost host;
  ZmConfig *config; /* that it was opened with */
  ZmGeneration *generation;
  ZmStore *store;
  char *driver, *uri;
};

/* ---- of a configuration ---- */

/* Somebody wrote it; --dev, which only says what a store would be, did not. */
static gboolean
section_given (const ZmConfig *config)
{
  g_auto (GStrv) keys = zm_config_keys (config, SECTION);
  gboolean given = FALSE;

  for (char **key = keys; *key != NULL && !given; key++) {
    g_autofree char *origin = zm_config_origin (config, SECTION, *key);

    given = strcmp (origin, "--dev") != 0 && strcmp (origin, "default") != 0;
  }
  return given;
}

const char *
zm_durable_driver (const ZmConfig *config)
{
  const char *driver = zm_config_text (config, SECTION, "driver");

  return g_strcmp0 (driver, "none") == 0 ? NULL : driver;
}

static gboolean
source_wants (const ZmConfig *config)
{
  g_auto (GStrv) sources = zm_config_names (config, "source");
  gboolean wants = FALSE;

  for (char **name = sources; *name != NULL && !wants; name++) {
    g_autofree char *section = g_strconcat ("source ", *name, NULL);

    wants = zm_config_text (config, section, "queue") != NULL;
  }
  return wants;
}

gboolean
zm_durable_wanted (const ZmConfig *config)
{
  g_auto (GStrv) queues = zm_config_names (config, "queue");

  if (zm_durable_driver (config) == NULL)
    return FALSE;
  return section_given (config) || queues[0] != NULL || source_wants (config) ||
         zm_config_list (config, "http", "listen")[0] != NULL;
}

char *
zm_durable_uri (const ZmConfig *config, const ZmInstance *instance)
{
  const char *uri = zm_config_text (config, SECTION, "uri");

  if (uri == NULL && g_strcmp0 (zm_durable_driver (config), "memory") == 0)
    return NULL;
  if (uri == NULL)
    return g_build_filename (instance->state_dir, "store.db", NULL);
  if (g_str_has_prefix (uri, "./") || g_str_has_prefix (uri, "../"))
    return g_canonicalize_filename (uri, instance->dir);
  return g_strdup (uri);
}

/* At the line that names the driver, where there is one. */
static void
wrong_driver (const ZmConfig *config, guint code, const char *todo, const char *text, ZmProblems *problems)
{
  const char *file;
  guint line, column;

  zm_config_place (config, SECTION, "driver", &file, &line, &column);
  zm_problems_add (problems, ZM_PROBLEM_ERROR, code, file, line, column, NULL, todo,
                   "[store] driver = %s: %s", zm_durable_driver (config), text);
}

/* Kind and place stand in its note and the configuration. FALSE: one of both is wrong. */
static gboolean
check_note (const ZmConfig *config, ZmPlugins *plugins, ZmProblems *problems)
{
  const ZmPluginFile *file = zm_plugins_file (plugins, zm_durable_driver (config));
  ZmPlacement placement;
  g_autofree char *text = NULL;

  if (file == NULL || file->manifest == NULL)
    return FALSE;
  if (g_strcmp0 (file->manifest->kind, "store") != 0) {
    text = g_strdup_printf ("this plugin is a %s, no store", file->manifest->kind);
    wrong_driver (config, ZM_CODE_WRONG_KIND, "name a store, such as sqlite or memory", text, problems);
    return FALSE;
  }
  placement = zm_plugins_place (plugins, config, file, NULL);
  if (placement.isolation == ZM_ISOLATION_THREAD)
    return TRUE;
  text = g_strdup_printf ("a store runs in the daemon, and this one is to run as %s (%s)",
                          zm_isolation_name (placement.isolation), placement.reason);
  wrong_driver (config, ZM_CODE_PLUGIN_REFUSED, "set isolation = thread in its [plugin NAME]", text,
                problems);
  return FALSE;
}

void
zm_durable_check_file (const ZmConfig *config, ZmPlugins *plugins, const ZmDescription *description,
                       ZmProblems *problems)
{
  if (check_note (config, plugins, problems) && description != NULL)
    zm_config_check_options (config, SECTION, description->options, problems);
}

void
zm_durable_check_set (const ZmConfig *config, ZmPlugins *plugins, ZmPluginSet *set, ZmProblems *problems)
{
  ZmGeneration *generation;
  const zm_plugin_desc *desc;

  if (!zm_durable_wanted (config) || !check_note (config, plugins, problems))
    return;
  generation = zm_plugin_set_find (set, zm_durable_driver (config));
  desc = generation != NULL ? zm_generation_descriptor (generation) : NULL;
  if (desc != NULL && desc->store == NULL)
    wrong_driver (config, ZM_CODE_WRONG_KIND, "name a store, such as sqlite or memory",
                  "the plugin calls itself a store but has no functions of one", problems);
  else if (desc != NULL)
    zm_config_check_options (config, SECTION, desc->options, problems);
}

/* ---- opening ---- */

/* zm_config of the store reads [store]; what is not given there has the default of the plugin's schema. */
static const char *
store_config (const zm_host *host, const char *key, unsigned index)
{
  const ZmDurableHost *own = (const ZmDurableHost *) host;
  const zm_plugin_desc *desc = zm_generation_descriptor (own->generation);
  const char *const *values = key != NULL ? zm_config_list (own->config, SECTION, key) : NULL;

  for (unsigned i = 0; values != NULL && values[i] != NULL; i++)
    if (i == index)
      return values[i];
  if (key == NULL || index > 0 || (values != NULL && values[0] != NULL))
    return NULL;
  for (const zm_option_desc *option = desc->options; option != NULL && option->name != NULL; option++)
    if (strcmp (option->name, key) == 0)
      return option->standard;
  return NULL;
}

void
zm_durable_host_init (ZmDurableHost *host, ZmGeneration *generation, const ZmConfig *config)
{
  host->table = *zm_generation_host (generation);
  host->table.config = store_config;
  host->generation = generation;
  host->config = config;
}

ZmGeneration *
zm_durable_find (ZmPlugins *plugins, const char *driver, GError **error)
{
  g_autoptr (ZmPluginSet) set = zm_plugins_current (plugins);
  ZmGeneration *generation = set != NULL ? zm_plugin_set_find (set, driver) : NULL;

  if (generation == NULL && zm_plugins_check_name (plugins, driver, error))
    g_set_error (error, ZM_ERROR, ZM_ERROR_UNAVAILABLE, "the plugin %s could not be loaded; the log says why",
                 driver);
  if (generation == NULL) {
    g_prefix_error (error, "[store] driver = %s: ", driver);
    return NULL;
  }
  if (zm_generation_descriptor (generation)->store == NULL) {
    g_set_error (
        error, ZM_ERROR, ZM_ERROR_PLUGIN,
        "[store] driver = %s: this plugin is no store, or does not run in the daemon; see zmanagerctl "
        "check",
        driver);
    return NULL;
  }
  return zm_generation_ref (generation, "store");
}

static void
durable_free (ZmDurable *durable)
{
  zm_store_free (durable->store);
  if (durable->generation != NULL)
    zm_generation_unref (durable->generation, "store");
  zm_config_unref (durable->config);
  g_free (durable->driver);
  g_free (durable->uri);
  g_free (durable);
}

/* The lease's owner: this start of this node. */
static char *
owner_name (const ZmRuntime *runtime)
{
  char id[ZM_UUID_SIZE];
  ZmUuidMaker maker;

  zm_uuid_maker_init (&maker);
  zm_uuid_make (&maker, zm_wall_us (), id);
  return g_strdup_printf ("%s %.*s", runtime->node, ZM_UUID_SIZE, id);
}

static gboolean
open_store (ZmRuntime *runtime, ZmDurable *durable, GError **error)
{
  g_autofree char *owner = owner_name (runtime);
  ZmStoreConfig config = {
    .driver = durable->driver,
    .ops = zm_generation_descriptor (durable->generation)->store,
    .state = zm_generation_state (durable->generation),
    .host = &durable->host.table,
    .uri = durable->uri,
    .owner = owner,
    .log = runtime->log,
    .metrics = runtime->metrics,
  };

  zm_durable_host_init (&durable->host, durable->generation, durable->config);
  durable->store = zm_store_new (&config, error);
  return durable->store != NULL;
}

gboolean
zm_durable_open (ZmRuntime *runtime, GError **error)
{
  ZmDurable *durable;

  if (runtime->durable != NULL || !zm_durable_wanted (runtime->config))
    return TRUE;
  durable = g_new0 (ZmDurable, 1);
  durable->config = zm_config_ref (runtime->config);
  durable->driver = g_strdup (zm_durable_driver (runtime->config));
  durable->uri = zm_durable_uri (runtime->config, runtime->instance);
  durable->generation = zm_durable_find (runtime->plugins, durable->driver, error);
  if (durable->generation == NULL || !open_store (runtime, durable, error)) {
    durable_free (durable);
    return FALSE;
  }
  runtime->durable = durable;
  zm_log_write (runtime->log, ZM_LEVEL_INFO, "runtime", "the store %s is open%s%s", durable->driver,
                durable->uri != NULL ? ": " : "", durable->uri != NULL ? durable->uri : "");
  return TRUE;
}

ZmStore *
zm_durable_store (ZmRuntime *runtime)
{
  return runtime->durable != NULL ? runtime->durable->store : NULL;
}

void
zm_durable_close (ZmRuntime *runtime)
{
  g_clear_pointer (&runtime->durable, durable_free);
}

/* ---- how it is ---- */

/* A store is not exchanged while the daemon runs: what is in the old one would be gone. */
static void
add_other (ZmRuntime *runtime, GPtrArray *out)
{
  const ZmDurable *durable = runtime->durable;
  g_autofree char *uri = zm_durable_uri (runtime->config, runtime->instance);
  const char *driver = zm_durable_driver (runtime->config);

  if (g_strcmp0 (driver, durable->driver) != 0 || g_strcmp0 (uri, durable->uri) != 0)
    g_ptr_array_add (out,
                     g_strdup_printf ("[store] names another store since the start: %s%s%s is used until "
                                      "the daemon is started again",
                                      durable->driver, durable->uri != NULL ? " at " : "",
                                      durable->uri != NULL ? durable->uri : ""));
}

void
zm_durable_reasons (ZmRuntime *runtime, GPtrArray *out)
{
  char *trouble = runtime->durable != NULL ? zm_store_trouble (runtime->durable->store) : NULL;

  if (trouble != NULL)
    g_ptr_array_add (out, trouble);
  if (runtime->durable != NULL)
    add_other (runtime, out);
  else if (zm_durable_wanted (runtime->config))
    g_ptr_array_add (out,
                     g_strdup ("there is no store, which the configuration needs: see the log, and start "
                               "the daemon again"));
}

char *
zm_durable_status_json (ZmRuntime *runtime)
{
  const ZmDurable *durable = runtime->durable;
  g_autofree char *json = NULL, *hidden = NULL;
  GString *out;

  if (durable == NULL)
    return g_strdup ("null");
  json = zm_store_status_json (durable->store);
  out = g_string_new (json);
  g_string_truncate (out, out->len - 1);
  hidden = durable->uri != NULL ? zm_hide_passwords (durable->uri) : NULL;
  g_string_append (out, ",\"uri\":");
  if (hidden != NULL)
    zm_json_append_string (out, zm_span_text (hidden));
  else
    g_string_append (out, "null");
  g_string_append_c (out, '}');
  return g_string_free (out, FALSE);
}

gboolean
zm_durable_uses (ZmRuntime *runtime, const char *plugin)
{
  return runtime->durable != NULL && strcmp (runtime->durable->driver, plugin) == 0;
}
