/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * plugin ls, inspect, load, unload, reload.
 *
 * What is asked by name is asked of the daemon, which knows the state and the options of what it has loaded. A file is read here,
 * by its ELF note alone: no code of it runs, and no daemon is needed.
 */
#include "config.h"

#include "ctl/ctl.h"
#include "plugin/zm-plugins.h"

#include <stdio.h>
#include <string.h>

#define ASK_MS 10000 /* what a library may take to tell its options */

/* ---- ls ---- */

static const ZmOutColumn columns[] = {
  { "name", N_ ("NAME"), FALSE },
  { "version", N_ ("VERSION"), FALSE },
  { "kind", N_ ("KIND"), FALSE },
  { "state", N_ ("STATE"), FALSE },
  { "generation", N_ ("GEN"), TRUE },
  { "isolation", N_ ("ISOLATION"), FALSE },
  { "actions", N_ ("ACTIONS"), FALSE },
  { "reason", N_ ("REASON"), FALSE },
  { NULL, NULL, FALSE },
};

/* "process (third party)": who chose stands beside the choice, unless nobody did. */
static void
join_isolation (JsonArray *plugins)
{
  for (guint i = 0; plugins != NULL && i < json_array_get_length (plugins); i++) {
    JsonObject *plugin = zm_json_nth_object (plugins, i);
    const char *isolation = zm_json_get_text (plugin, "isolation");
    const char *reason = zm_json_get_text (plugin, "isolation_reason");
    g_autofree char *text = NULL;

    if (isolation == NULL || reason == NULL || strcmp (reason, "default") == 0)
      continue;
    text = g_strdup_printf ("%s (%s)", isolation, reason);
    json_object_set_string_member (plugin, "isolation", text);
  }
}

/* Every file that was found, also those that were refused: their reason is why people look. */
int
zm_ctl_cmd_plugin_ls (ZmCtl *ctl, guint n, char **arguments)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonObject) answer =
      zm_ctl_request (ctl, zm_ctl_request_new ("plugins"), ZM_CTL_ANSWER_MS, &error);
  JsonArray *plugins = zm_json_get_array (answer, "plugins");

  (void) n;
  (void) arguments;
  if (answer == NULL)
    return zm_ctl_fail (ctl, error);
  if (ctl->json) {
    zm_out_json_object (answer);
    return ZM_EXIT_OK;
  }
  join_isolation (plugins);
  zm_out_table (ctl, plugins, columns, _ ("no plugin was found"));
  return ZM_EXIT_OK;
}

/* ---- inspect ---- */

/* texts may be NULL: an empty array. */
static JsonArray *
text_array (char **texts)
{
  JsonArray *array = json_array_new ();

  for (char **text = texts; text != NULL && *text != NULL; text++)
    json_array_add_string_element (array, *text);
  return array;
}

/* With what the note says of threads; who calls an action need not know, who writes one does. */
static JsonArray *
action_array (const ZmManifest *manifest)
{
  JsonArray *array = json_array_new ();

  for (guint i = 0; manifest->actions[i] != NULL; i++) {
    JsonObject *action = json_object_new ();

    json_object_set_string_member (action, "name", manifest->actions[i]);
    json_object_set_string_member (action, "threads", manifest->threadsafe[i] ? "THREADSAFE" : "SERIAL");
    json_array_add_object_element (array, action);
  }
  return array;
}

/* Members that a note does not have are left out, not null. */
static void
set_text (JsonObject *object, const char *name, const char *text)
{
  if (text != NULL)
    json_object_set_string_member (object, name, text);
}

/* What the note in a file says; no code of it runs. */
static JsonObject *
manifest_object (const char *path, const ZmManifest *manifest)
{
  JsonObject *object = json_object_new ();
  g_autofree char *abi = g_strdup_printf ("%u.%u", manifest->abi_major, manifest->abi_minor);

  set_text (object, "name", manifest->name);
  set_text (object, "version", manifest->version);
  set_text (object, "licence", manifest->licence);
  set_text (object, "summary", manifest->summary);
  set_text (object, "kind", manifest->kind);
  set_text (object, "path", path);
  set_text (object, "abi", abi);
  set_text (object, "isolation", manifest->isolation);
  set_text (object, "build_id", manifest->build_id);
  json_object_set_array_member (object, "depends", text_array (manifest->depends));
  json_object_set_array_member (object, "schemes", text_array (manifest->schemes));
  json_object_set_array_member (object, "actions", action_array (manifest));
  if (manifest->unknown != NULL && manifest->unknown[0] != NULL)
    json_object_set_array_member (object, "unknown", text_array (manifest->unknown));
  return object;
}

static JsonArray *
option_array (const zm_option_desc *options)
{
  JsonArray *array = json_array_new ();

  for (const zm_option_desc *option = options; option->name != NULL; option++) {
    JsonObject *object = json_object_new ();

    json_object_set_string_member (object, "name", option->name);
    json_object_set_string_member (object, "type", zm_option_type_name (option->type));
    json_object_set_boolean_member (object, "required", (option->flags & ZM_OPTION_REQUIRED) != 0);
    json_object_set_boolean_member (object, "secret", (option->flags & ZM_OPTION_SECRET) != 0);
    json_object_set_boolean_member (object, "list", (option->flags & ZM_OPTION_LIST) != 0);
    set_text (object, "standard", option->standard);
    set_text (object, "doc", option->doc);
    json_array_add_object_element (array, object);
  }
  return array;
}

/* Actions that its descriptor lists beside those of the note. */
static void
add_listed (JsonArray *actions, const ZmManifest *manifest, const char *const *listed)
{
  for (; *listed != NULL; listed++) {
    JsonObject *action;

    if (g_strv_contains ((const char *const *) manifest->actions, *listed))
      continue;
    action = json_object_new ();
    json_object_set_string_member (action, "name", *listed);
    json_array_add_object_element (actions, action);
  }
}

/* What its own code says: that runs in zmanager-probe. */
static gboolean
add_description (JsonObject *object, const char *path, const ZmManifest *manifest, GError **error)
{
  g_autofree char *probe = zm_plugins_find_probe ();
  g_autoptr (ZmDescription) description = NULL;

  if (probe == NULL) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_NOT_FOUND,
                 _ ("zmanager-probe, which asks a library for its options, is not installed"));
    return FALSE;
  }
  description = zm_description_ask (probe, path, ASK_MS, error);
  if (description == NULL) {
    g_prefix_error (error, "%s: ", path);
    return FALSE;
  }
  add_listed (json_object_get_array_member (object, "actions"), manifest, description->actions);
  json_object_set_array_member (object, "options", option_array (description->options));
  return TRUE;
}

/* Takes no reference. People get a tree, as plugins differ in what they say of themselves. */
static void
print_object (const ZmCtl *ctl, JsonObject *object)
{
  g_autoptr (JsonNode) node = json_node_init_object (json_node_alloc (), object);

  if (ctl->json)
    zm_out_json (node);
  else
    zm_out_tree (ctl, node, 0);
}

/* Only the note is read, and nothing of the file runs: this is safe for a file from anywhere. */
ZmManifest *
zm_ctl_read_manifest (const char *path, GError **error)
{
  ZmManifest *manifest = zm_manifest_read (path, error);

  if (manifest == NULL && error != NULL && strstr ((*error)->message, path) == NULL)
    g_prefix_error (error, "%s: ", path);
  return manifest;
}

static int
inspect_file (const ZmCtl *ctl, const char *path)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (ZmManifest) manifest = zm_ctl_read_manifest (path, &error);
  g_autoptr (JsonObject) object = NULL;

  if (manifest == NULL)
    return zm_ctl_fail (ctl, error);
  object = manifest_object (path, manifest);
  if (zm_ctl_flag (ctl, "options") && !add_description (object, path, manifest, &error))
    return zm_ctl_fail (ctl, error);
  print_object (ctl, object);
  if (!ctl->json && !zm_ctl_flag (ctl, "options"))
    fprintf (stderr,
             _ ("its options are known to its code only: --options asks it, in a process of its own\n"));
  return ZM_EXIT_OK;
}

/* Where the daemon of this instance would look. */
static char **
plugin_dirs (const ZmInstance *instance)
{
  g_autoptr (ZmProblems) problems = zm_problems_new ();
  g_autoptr (ZmConfig) config = zm_config_new ();

  if (g_file_test (instance->config_file, G_FILE_TEST_EXISTS))
    zm_config_add_file (config, instance->config_file, problems);
  zm_config_add_directory (config, instance->config_dir, problems);
  zm_config_finish (config, problems);
  return zm_instance_plugin_dirs (instance, zm_config_list (config, "zmanager", "plugin-path"),
                                  zm_config_boolean (config, "zmanager", "system-plugins"));
}

/* acme.net.link -> DIR/acme/net/link.so in the first directory of the path that has it. NULL: none. */
static char *
find_file (ZmCtl *ctl, const char *name)
{
  ZmInstance *instance = zm_ctl_instance (ctl, NULL);
  g_auto (GStrv) dirs = instance != NULL ? plugin_dirs (instance) : NULL;
  g_auto (GStrv) parts = g_strsplit (name, ".", -1);
  g_autofree char *relative = g_strjoinv ("/", parts);

  for (char **dir = dirs; dir != NULL && *dir != NULL; dir++) {
    g_autofree char *path = g_strdup_printf ("%s/%s.so", *dir, relative);

    if (g_file_test (path, G_FILE_TEST_IS_REGULAR))
      return g_steal_pointer (&path);
  }
  return NULL;
}

/* Of all that go by the name the one that runs now, a variant (hello@private) where no other does; else the file. */
static JsonObject *
main_of (JsonArray *plugins)
{
  JsonObject *first = NULL;

  for (guint i = 0; i < json_array_get_length (plugins); i++) {
    JsonObject *plugin = zm_json_nth_object (plugins, i);

    if (plugin == NULL)
      continue;
    if (json_object_has_member (plugin, "generation") &&
        g_strcmp0 (zm_json_get_text (plugin, "state"), "retired") != 0)
      return plugin;
    first = first != NULL ? first : plugin;
  }
  return first;
}

/* A figure with its unit, in place of the bare number that programs take. */
static void
say_unit (JsonObject *object, const char *member, char *(*say) (gint64))
{
  g_autofree char *text =
      json_object_has_member (object, member) ? say (zm_json_get_int (object, member)) : NULL;

  if (text != NULL)
    json_object_set_string_member (object, member, text);
}

static char *
milliseconds_text (gint64 ms)
{
  return zm_out_time (ms * 1000);
}

static char *
size_text (gint64 bytes)
{
  return g_format_size_full ((guint64) bytes, G_FORMAT_SIZE_IEC_UNITS);
}

static void
plugin_for_people (JsonObject *plugin)
{
  JsonArray *hosts = zm_json_get_array (plugin, "hosts");

  say_unit (plugin, "memory_limit", size_text);
  for (guint i = 0; hosts != NULL && i < json_array_get_length (hosts); i++) {
    JsonObject *host = zm_json_nth_object (hosts, i);

    if (host == NULL)
      continue;
    say_unit (host, "uptime", milliseconds_text);
    say_unit (host, "rss", size_text);
  }
}

/* A name: the daemon knows most; without one, the file on the path. */
static int
inspect_name (ZmCtl *ctl, const char *name)
{
  g_autoptr (GError) error = NULL;
  JsonObject *request = zm_ctl_request_new ("plugins");
  g_autoptr (JsonObject) answer = NULL;
  JsonArray *plugins = NULL;
  JsonObject *plugin = NULL;
  g_autofree char *path = NULL;

  json_object_set_string_member (request, "name", name);
  answer = zm_ctl_request (ctl, request, ZM_CTL_ANSWER_MS, &error);
  plugins = zm_json_get_array (answer, "plugins");
  plugin = plugins != NULL ? main_of (plugins) : NULL;
  if (plugin != NULL) {
    if (!ctl->json)
      plugin_for_people (plugin);
    print_object (ctl, plugin);
    return ZM_EXIT_OK;
  }
  if (answer == NULL && !g_error_matches (error, ZM_ERROR, ZM_ERROR_UNREACHABLE))
    return zm_ctl_fail (ctl, error);
  path = find_file (ctl, name);
  if (path != NULL)
    return inspect_file (ctl, path);
  if (error == NULL)
    g_set_error (&error, ZM_ERROR, ZM_ERROR_NOT_FOUND,
                 _ ("there is no plugin \"%s\"; see zmanagerctl plugin ls"), name);
  return zm_ctl_fail (ctl, error);
}

/* What looks like a file is one; a name may have dots, but no slash. */
int
zm_ctl_cmd_plugin_inspect (ZmCtl *ctl, guint n, char **arguments)
{
  const char *name = arguments[0];

  (void) n;
  if (strchr (name, '/') != NULL || g_str_has_suffix (name, ".so"))
    return inspect_file (ctl, name);
  return inspect_name (ctl, name);
}

/* ---- load, unload, reload ---- */

/* Stopping the old generation may take as long as its calls do. */
#define LONG_MS 120000

/* The three commands differ only in their name, which is that of the request. */
int
zm_ctl_cmd_plugin_load (ZmCtl *ctl, guint n, char **arguments)
{
  g_autofree char *command = g_strdelimit (g_strdup (ctl->command->name), " ", '-');
  JsonObject *request = zm_ctl_request_new (command);

  (void) n;
  json_object_set_string_member (request, "name", arguments[0]);
  return zm_ctl_simple (ctl, request, LONG_MS);
}
