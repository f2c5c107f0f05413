/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What there is of plugins, as JSON: for `zmanagerctl plugin ls` and inspect. */
#include "config.h"

#include "plugin/zm-plugin-private.h"

#include <string.h>

/* The comma of the member before it, as an object is written from left to right. */
static void
add_key (GString *out, const char *key)
{
  if (out->str[out->len - 1] != '{')
    g_string_append_c (out, ',');
  zm_json_append_string (out, zm_span_text (key));
  g_string_append_c (out, ':');
}

/* Left out where there is no text. */
static void
add_text (GString *out, const char *key, const char *text)
{
  if (text == NULL)
    return;
  add_key (out, key);
  zm_json_append_string (out, zm_span_text (text));
}

static void
add_number (GString *out, const char *key, gint64 number)
{
  add_key (out, key);
  g_string_append_printf (out, "%" G_GINT64_FORMAT, number);
}

static void
add_flag (GString *out, const char *key, gboolean flag)
{
  add_key (out, key);
  g_string_append (out, flag ? "true" : "false");
}

static void
add_list (GString *out, const char *key, char **list)
{
  add_key (out, key);
  g_string_append_c (out, '[');
  for (guint i = 0; list[i] != NULL; i++) {
    if (i > 0)
      g_string_append_c (out, ',');
    zm_json_append_string (out, zm_span_text (list[i]));
  }
  g_string_append_c (out, ']');
}

static void
add_manifest (GString *out, const ZmManifest *manifest)
{
  g_autofree char *abi = g_strdup_printf ("%u.%u", manifest->abi_major, manifest->abi_minor);

  add_text (out, "title", manifest->name);
  add_text (out, "version", manifest->version);
  add_text (out, "licence", manifest->licence);
  add_text (out, "summary", manifest->summary);
  add_text (out, "kind", manifest->kind);
  add_text (out, "abi", abi);
  add_text (out, "build_id", manifest->build_id);
  add_list (out, "depends", manifest->depends);
  add_list (out, "schemes", manifest->schemes);
}

/* Where it runs, or would. What is not limited is left out, and what does not count in the daemon. */
static void
add_placement (GString *out, const ZmPlacement *placement)
{
  add_text (out, "isolation", zm_isolation_name (placement->isolation));
  add_text (out, "isolation_reason", placement->reason);
  if (placement->isolation == ZM_ISOLATION_THREAD)
    return;
  add_number (out, "instances", placement->instances);
  add_number (out, "threads", placement->threads);
  if (placement->memory > 0)
    add_number (out, "memory_limit", (gint64) placement->memory);
  if (placement->descriptors > 0)
    add_number (out, "descriptor_limit", placement->descriptors);
}

/* Notes have names only; the line of documentation is in the descriptor. */
static const char *
action_doc (const zm_plugin_desc *descriptor, const char *symbol)
{
  const zm_action_desc *action = descriptor->actions;

  while (action != NULL && action->name != NULL && strcmp (action->name, symbol) != 0)
    action++;
  return action != NULL && action->name != NULL ? action->doc : NULL;
}

static void
add_action (GString *out, const char *name, gboolean threadsafe, const char *doc)
{
  if (out->str[out->len - 1] != '[')
    g_string_append_c (out, ',');
  g_string_append_c (out, '{');
  add_text (out, "name", name);
  add_flag (out, "threadsafe", threadsafe);
  add_text (out, "doc", doc);
  g_string_append_c (out, '}');
}

/* Of a loaded one also those that only its descriptor lists. */
static void
add_loaded_actions (GString *out, const ZmGeneration *generation)
{
  add_key (out, "actions");
  g_string_append_c (out, '[');
  for (guint i = 0; i < generation->actions->len; i++) {
    const ZmAction *action = g_ptr_array_index (generation->actions, i);

    add_action (out, action->symbol, action->threadsafe,
                action_doc (&generation->descriptor, action->symbol));
  }
  g_string_append_c (out, ']');
}

static void
add_noted_actions (GString *out, const ZmManifest *manifest)
{
  add_key (out, "actions");
  g_string_append_c (out, '[');
  for (guint i = 0; manifest->actions[i] != NULL; i++)
    add_action (out, manifest->actions[i], manifest->threadsafe[i], NULL);
  g_string_append_c (out, ']');
}

static void
add_option (GString *out, const zm_option_desc *option)
{
  g_string_append_c (out, '{');
  add_text (out, "name", option->name);
  add_text (out, "type", zm_option_type_name (option->type));
  add_flag (out, "required", (option->flags & ZM_OPTION_REQUIRED) != 0);
  add_flag (out, "secret", (option->flags & ZM_OPTION_SECRET) != 0);
  add_flag (out, "list", (option->flags & ZM_OPTION_LIST) != 0);
  add_text (out, "standard", option->standard);
  add_text (out, "doc", option->doc);
  g_string_append_c (out, '}');
}

static void
add_options (GString *out, const zm_option_desc *options)
{
  add_key (out, "options");
  g_string_append_c (out, '[');
  for (guint i = 0; options != NULL && options[i].name != NULL; i++) {
    if (i > 0)
      g_string_append_c (out, ',');
    add_option (out, &options[i]);
  }
  g_string_append_c (out, ']');
}

/* {"deferred call": 2} */
static void
add_holders (GString *out, ZmGeneration *generation)
{
  add_key (out, "holders");
  g_string_append_c (out, '{');
  pthread_mutex_lock (&generation->lock);
  for (guint i = 0; i < generation->n_holders; i++)
    if (generation->holders[i].count > 0)
      add_number (out, generation->holders[i].who, generation->holders[i].count);
  pthread_mutex_unlock (&generation->lock);
  g_string_append_c (out, '}');
}

/* The descriptor is the library's memory: read while the generation is in the current set, or with the reaper's lock
 * held. */
static void
add_generation (GString *out, ZmGeneration *generation, const char *state)
{
  add_text (out, "state", state);
  add_number (out, "generation", generation->number);
  add_number (out, "priority", generation->priority);
  add_flag (out, "resident", (generation->flags & ZM_PLUGIN_RESIDENT) != 0);
  add_text (out, "resident_because", generation->stays);
  add_manifest (out, generation->manifest);
  add_placement (out, &generation->placement);
  add_loaded_actions (out, generation);
  add_options (out, generation->descriptor.options);
  add_flag (out, "source", generation->descriptor.source != NULL);
  add_flag (out, "store", generation->descriptor.store != NULL);
  add_flag (out, "hooks", generation->descriptor.hooks != NULL);
  add_holders (out, generation);
}

/* The line that would use a plugin which nobody names. */
static char *
line_of_use (const ZmPluginFile *file)
{
  const ZmManifest *manifest = file->manifest;

  if (strcmp (manifest->kind, "source") == 0)
    return g_strdup_printf ("[source %s]", file->name);
  if (strcmp (manifest->kind, "store") == 0)
    return g_strdup_printf ("[store] driver=%s", file->name);
  if (manifest->actions[0] != NULL)
    return g_strdup_printf ("?%s?%s = %s.%s", file->name, manifest->actions[0], file->name,
                            manifest->actions[0]);
  return g_strdup_printf ("[plugin %s] load=yes", file->name);
}

static void
add_unloaded (GString *out, ZmPlugins *plugins, const ZmPluginFile *file)
{
  const char *failure = g_hash_table_lookup (plugins->failures, file->name);
  g_autofree char *use = NULL;
  ZmPlacement placement;

  if (file->manifest == NULL) {
    add_text (out, "state", "refused");
    add_text (out, "reason", file->error);
    return;
  }
  use = line_of_use (file);
  placement =
      zm_plugins_place (plugins, plugins->current != NULL ? plugins->current->config : NULL, file, NULL);
  add_text (out, "state", failure != NULL && file->shadowed_by == NULL ? "failed" : "available");
  add_text (out, "reason", file->shadowed_by == NULL ? failure : "another of its name comes first");
  add_text (out, "use", use);
  add_manifest (out, file->manifest);
  add_placement (out, &placement);
  add_noted_actions (out, file->manifest);
}

static void
begin (GString *out, const char *name, const char *path)
{
  if (out->str[out->len - 1] != '[')
    g_string_append_c (out, ',');
  g_string_append_c (out, '{');
  add_text (out, "name", name);
  add_text (out, "path", path);
}

/* Why it is not as its file and its section say; NULL: it is. It may go on running though its file was refused since: why a
 * new one does not come is what people look for. */
static char *
reason_of (const ZmPlugins *plugins, const ZmPluginFile *file, const ZmGeneration *generation)
{
  if (file->error != NULL)
    return g_strdup_printf ("its file is refused: %s; generation %u of it goes on running", file->error,
                            generation->number);
  return g_strdup (g_hash_table_lookup (plugins->failures, generation->name));
}

/* One of the current set. Trouble begins with the word for the state: "quarantined: it died five times". */
static void
add_current (GString *out, ZmGeneration *generation, const char *reason)
{
  g_autofree char *trouble = zm_generation_trouble (generation);
  char *rest = trouble != NULL ? strstr (trouble, ": ") : NULL;

  if (rest != NULL) {
    *rest = '\0';
    rest += strlen (": ");
  }
  add_text (out, "reason", reason != NULL ? reason : rest != NULL ? rest : trouble);
  add_generation (out, generation,
                  trouble != NULL                       ? trouble
                  : zm_generation_starting (generation) ? "starting"
                                                        : "loaded");
  zm_generation_describe (generation, out);
}

static void
add_files (GString *out, const ZmPluginFile *file)
{
  add_text (out, "shadowed_by", file->shadowed_by);
  add_text (out, "actions_file", file->actions_file);
  add_text (out, "flow_file", file->flow_file);
}

/* Is it asked for? By the name of its plugin, or by its own. NULL asks for all. */
static gboolean
asked (const char *wanted, const char *plugin, const char *name)
{
  return wanted == NULL || strcmp (wanted, plugin) == 0 || strcmp (wanted, name) == 0;
}

/* Those of this file that run for mappings of their own, and those that could not be loaded. */
static void
add_variants (GString *out, ZmPlugins *plugins, const ZmPluginFile *file, const char *wanted)
{
  static const ZmIsolation places[] = { ZM_ISOLATION_THREAD, ZM_ISOLATION_PROCESS, ZM_ISOLATION_PRIVATE };
  ZmPluginSet *set = plugins->current;

  for (guint i = 0; set != NULL && i < G_N_ELEMENTS (places); i++) {
    g_autofree char *name = zm_plugin_variant_name (file->name, zm_isolation_name (places[i]));
    ZmGeneration *generation = zm_plugin_set_find (set, name);
    const char *failure = g_hash_table_lookup (set->reasons, name);
    g_autofree char *reason = generation != NULL ? reason_of (plugins, file, generation) : NULL;

    if ((generation == NULL && failure == NULL) || !asked (wanted, file->name, name))
      continue;
    begin (out, name, file->path);
    add_text (out, "plugin", file->name);
    if (generation != NULL) {
      add_current (out, generation, reason);
    } else {
      add_text (out, "state", "failed");
      add_text (out, "reason", failure);
      add_text (out, "isolation", zm_isolation_name (places[i]));
    }
    g_string_append_c (out, '}');
  }
}

/* A shadowed file has the name of the one that wins, and must not be shown with its generation. */
static void
add_file (GString *out, ZmPlugins *plugins, const ZmPluginFile *file)
{
  ZmGeneration *generation = plugins->current != NULL && file->shadowed_by == NULL
                                 ? zm_plugin_set_find (plugins->current, file->name)
                                 : NULL;
  g_autofree char *reason = generation != NULL ? reason_of (plugins, file, generation) : NULL;

  begin (out, file->name, file->path);
  add_files (out, file);
  if (generation != NULL)
    add_current (out, generation, reason);
  else
    add_unloaded (out, plugins, file);
  g_string_append_c (out, '}');
}

typedef struct Retired {
  GString *out;
  const char *name;
} Retired;

static void
add_retired (ZmGeneration *generation, gpointer user)
{
  const Retired *retired = user;

  if (!asked (retired->name, generation->plugin, generation->name))
    return;
  begin (retired->out, generation->name, generation->path);
  add_generation (retired->out, generation, "retired");
  g_string_append_c (retired->out, '}');
}

/* Loaded ones whose file has gone. */
static void
add_orphans (GString *out, ZmPlugins *plugins, const char *name)
{
  for (guint i = 0; plugins->current != NULL && i < plugins->current->order->len; i++) {
    ZmGeneration *generation = g_ptr_array_index (plugins->current->order, i);

    if (g_hash_table_contains (plugins->by_name, generation->plugin) ||
        !asked (name, generation->plugin, generation->name))
      continue;
    begin (out, generation->name, generation->path);
    add_current (out, generation, "its file is gone");
    g_string_append_c (out, '}');
  }
}

/* Three sources, each plugin once: files of the last scan, generations whose file has gone, and old generations that
 * are still loaded. */
char *
zm_plugins_json (ZmPlugins *plugins, const char *name)
{
  GString *out = g_string_new ("[");
  Retired retired = { out, name };

  for (guint i = 0; i < plugins->files->len; i++) {
    const ZmPluginFile *file = g_ptr_array_index (plugins->files, i);

    if (asked (name, file->name, file->name))
      add_file (out, plugins, file);
    if (file->shadowed_by == NULL)
      add_variants (out, plugins, file, name);
  }
  add_orphans (out, plugins, name);
  zm_reaper_each (plugins->reaper, add_retired, &retired);
  g_string_append_c (out, ']');
  return g_string_free (out, FALSE);
}
