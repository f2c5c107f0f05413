/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Commands that act: plugins, reload, drain, log level, commands to services. */
#include "config.h"

#include "runtime/private.h"

#include "runtime/commands.h"

#include <string.h>

/* ---- reload ---- */

/* Problems are there also where the reload was taken: warnings, and plugins that could not be loaded. */
static void
append_changes (ZmCommandCall *call, const GPtrArray *changes)
{
  g_autofree char *text = zm_runtime_changes_text (changes);

  zm_reply_member_text (call->out, "text", text);
  zm_reply_member_list (call->out, "changes", (const char *const *) changes->pdata, changes->len);
  if (zm_problems_count (call->problems) > 0)
    zm_reply_member_problems (call->out, "problems", call->problems);
}

static void
reply_changes (ZmCommandCall *call, const GPtrArray *changes)
{
  g_string_append_c (call->out, '{');
  append_changes (call, changes);
  g_string_append_c (call->out, '}');
}

/* A change would be made for nobody, and could start what the drain has ended already. */
static gboolean
refuse_while_draining (ZmCommandCall *call, GError **error)
{
  if (call->runtime->state == ZM_STATE_RUNNING)
    return FALSE;
  g_set_error (error, ZM_ERROR, ZM_ERROR_UNAVAILABLE, "the daemon is stopping; nothing is changed any more");
  return TRUE;
}

/* again: a plugin to load anew, or NULL. */
static gboolean
reload (ZmCommandCall *call, const char *again, GPtrArray *changes, GError **error)
{
  const char *names[] = { again, NULL };

  if (zm_runtime_reload (call->runtime, again != NULL ? names : NULL, changes, call->problems))
    return TRUE;
  g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID,
               "the reload was refused (%u error%s); the running configuration stays",
               zm_problems_errors (call->problems), zm_runtime_plural (zm_problems_errors (call->problems)));
  return FALSE;
}

gboolean
zm_command_reload (ZmCommandCall *call, GError **error)
{
  g_autoptr (GPtrArray) changes = g_ptr_array_new_with_free_func (g_free);

  g_autofree char *lacks = NULL;

  if (refuse_while_draining (call, error) || !reload (call, NULL, changes, error))
    return FALSE;
  lacks = zm_runtime_incomplete (call->runtime);
  g_string_append_c (call->out, '{');
  append_changes (call, changes);
  /* It was taken, so it is no error; and yet who asked wants to know at once that not all of it works. */
  if (lacks != NULL)
    zm_reply_member_text (call->out, "incomplete", lacks);
  g_string_append_c (call->out, '}');
  return TRUE;
}

/* ---- plugins ---- */

gboolean
zm_command_plugins (ZmCommandCall *call, GError **error)
{
  g_autofree char *name = NULL;

  if (!zm_command_text (call->request, "name", FALSE, &name, error))
    return FALSE;
  if (name != NULL && zm_plugins_file_of (call->runtime->plugins, name) == NULL) {
    g_autofree char *shown = zm_printable (zm_span_text (name), 64);

    g_set_error (error, ZM_ERROR, ZM_ERROR_NOT_FOUND, "there is no plugin \"%s\" in the plugin path", shown);
    return FALSE;
  }
  g_string_append_c (call->out, '{');
  zm_reply_member_take (call->out, "plugins", zm_plugins_json (call->runtime->plugins, name));
  g_string_append_c (call->out, '}');
  return TRUE;
}

/* A variant is reloaded with its plugin, whose name this gives: listings and the reasons of a quarantine name it as
 * "hello@private". Takes the name. */
static char *
plugin_of (ZmRuntime *runtime, char *name)
{
  const ZmPluginFile *file = zm_plugins_file_of (runtime->plugins, name);
  char *plugin;

  if (file == NULL || zm_plugins_file (runtime->plugins, name) != NULL)
    return name;
  plugin = g_strdup (file->name);
  g_free (name);
  return plugin;
}

/* The plugin that a command is about; it must be in the plugin path, where it may have been put a moment ago.
 * variants: one is its plugin. NULL: error. */
static char *
plugin_argument (ZmCommandCall *call, gboolean variants, GError **error)
{
  g_autofree char *name = NULL;
  g_autofree char *shown = NULL;

  if (!zm_command_text (call->request, "name", TRUE, &name, error) || refuse_while_draining (call, error))
    return NULL;
  /* It may have been put there a moment ago. */
  if (zm_plugins_file (call->runtime->plugins, name) == NULL)
    zm_plugins_scan (call->runtime->plugins, call->problems);
  if (variants)
    name = plugin_of (call->runtime, g_steal_pointer (&name));
  if (zm_plugins_file (call->runtime->plugins, name) != NULL)
    return g_steal_pointer (&name);
  shown = zm_printable (zm_span_text (name), 64);
  g_set_error (error, ZM_ERROR, ZM_ERROR_NOT_FOUND, "there is no plugin \"%s\" in the plugin path", shown);
  return NULL;
}

/* The plugin itself, not only a variant that a mapping has of it. */
static gboolean
is_loaded (ZmRuntime *runtime, const char *name)
{
  g_autoptr (ZmPluginSet) set = zm_plugins_current (runtime->plugins);

  return set != NULL && zm_plugin_set_find (set, name) != NULL;
}

/* Any of it: unloading and reloading are about all of it. */
static gboolean
is_there (ZmRuntime *runtime, const char *name)
{
  g_autoptr (ZmPluginSet) set = zm_plugins_current (runtime->plugins);

  return set != NULL && zm_plugin_set_has (set, name);
}

static void
list_add (GPtrArray *list, const char *name)
{
  if (!zm_load_listed (list, name))
    g_ptr_array_add (list, g_strdup (name));
}

static void
list_remove (GPtrArray *list, const char *name)
{
  guint index;

  if (g_ptr_array_find_with_equal_func (list, name, g_str_equal, &index))
    g_ptr_array_remove_index (list, index);
}

/* As the lists were before a command that failed: what an earlier one asked for stands. */
static void
restore (GPtrArray *list, const char *name, gboolean was_listed)
{
  if (was_listed)
    list_add (list, name);
  else
    list_remove (list, name);
}

/* FALSE, to be returned: the error is set. */
static gboolean
put_back (ZmRuntime *runtime, const char *name, gboolean was_asked, gboolean was_barred)
{
  restore (runtime->asked, name, was_asked);
  restore (runtime->barred, name, was_barred);
  return FALSE;
}

/* What the last load says of it or of a variant of it; NULL: nothing. Borrowed. */
static const char *
failure_of (const ZmRuntime *runtime, const char *plugin)
{
  g_autofree char *beginning = g_strdup_printf ("plugin '%s", plugin);

  for (guint i = 0; i < runtime->reasons->len; i++) {
    const char *reason = runtime->reasons->pdata[i];

    if (g_str_has_prefix (reason, beginning) && strchr ("'@", reason[strlen (beginning)]) != NULL)
      return reason;
  }
  return NULL;
}

/* The name goes onto the list of what was asked for, which every later reload honours, and is taken off again where the
 * load fails: else every reload would fail with it. */
gboolean
zm_command_plugin_load (ZmCommandCall *call, GError **error)
{
  ZmRuntime *runtime = call->runtime;
  g_autoptr (GPtrArray) changes = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *name = plugin_argument (call, FALSE, error);
  gboolean was_asked, was_barred;

  if (name == NULL)
    return FALSE;
  was_asked = zm_load_listed (runtime->asked, name);
  was_barred = zm_load_listed (runtime->barred, name);
  list_remove (runtime->barred, name);
  list_add (runtime->asked, name);
  /* By name, so that one is tried again that hung before; one that runs stays as it is. */
  if (!reload (call, is_loaded (runtime, name) ? NULL : name, changes, error))
    return put_back (runtime, name, was_asked, was_barred);
  if (!is_loaded (runtime, name)) {
    const char *why = failure_of (runtime, name);

    g_set_error (error, ZM_ERROR, ZM_ERROR_PLUGIN, "the plugin %s could not be loaded: %s", name,
                 why != NULL ? why : "the problems say why");
    return put_back (runtime, name, was_asked, was_barred);
  }
  reply_changes (call, changes);
  return TRUE;
}

/* The counterpart: it is barred from the next reload on, until it is loaded by command. One that others depend on comes
 * back with them, so the result is looked at. */
gboolean
zm_command_plugin_unload (ZmCommandCall *call, GError **error)
{
  ZmRuntime *runtime = call->runtime;
  g_autoptr (GPtrArray) changes = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *name = plugin_argument (call, FALSE, error);
  gboolean was_asked;

  if (name == NULL)
    return FALSE;
  if (!is_there (runtime, name)) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_REFUSED, "the plugin %s is not loaded", name);
    return FALSE;
  }
  if (zm_durable_uses (runtime, name)) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_REFUSED,
                 "the plugin %s is the store, which is in use until the end", name);
    return FALSE;
  }
  was_asked = zm_load_listed (runtime->asked, name);
  list_remove (runtime->asked, name);
  list_add (runtime->barred, name);
  if (!reload (call, NULL, changes, error)) {
    g_prefix_error (
        error, "the plugin %s cannot be unloaded: its mappings go with it, and others need them: ", name);
    return put_back (runtime, name, was_asked, FALSE);
  }
  if (is_there (runtime, name)) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_REFUSED,
                 "the plugin %s stays loaded: another plugin depends on it", name);
    return put_back (runtime, name, was_asked, FALSE);
  }
  reply_changes (call, changes);
  return TRUE;
}

/* ---- plugin-reload ---- */

/* The number of each generation that goes by the plugin's name, its variants too: name -> number. Numbers and no references, as
 * a generation that is held here would not be let go. */
static GHashTable *
numbers_of (ZmRuntime *runtime, const char *plugin)
{
  GHashTable *numbers = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr (ZmPluginSet) set = zm_plugins_current (runtime->plugins);

  for (guint i = 0; set != NULL && i < zm_plugin_set_size (set); i++) {
    const ZmGeneration *generation = zm_plugin_set_nth (set, i);

    if (strcmp (zm_generation_plugin (generation), plugin) == 0)
      g_hash_table_insert (numbers, g_strdup (zm_generation_name (generation)),
                           GUINT_TO_POINTER (zm_generation_number (generation)));
  }
  return numbers;
}

/* The reload as a whole was taken, but was it for this plugin? An old generation that goes on looks well otherwise. */
static gboolean
check_renewed (ZmCommandCall *call, const char *plugin, GHashTable *before, const GPtrArray *changes,
               GError **error)
{
  g_autoptr (GHashTable) now = numbers_of (call->runtime, plugin);
  const char *why = failure_of (call->runtime, plugin);
  gboolean renewed = why == NULL && g_hash_table_size (now) > 0;
  g_autofree char *others = zm_runtime_changes_text (changes);
  GHashTableIter iter;
  gpointer name, number;

  g_hash_table_iter_init (&iter, now);
  while (g_hash_table_iter_next (&iter, &name, &number))
    renewed = renewed && g_hash_table_lookup (before, name) != number;
  if (renewed)
    return TRUE;
  g_set_error (error, ZM_ERROR, ZM_ERROR_PLUGIN, "not reloaded: %s%s%s",
               why != NULL ? why : "the running one goes on; the problems say why",
               changes->len > 0 ? "; what else was found has been put into use: " : "",
               changes->len > 0 ? others : "");
  return FALSE;
}

/* Loads it anew though its file may be the same. */
gboolean
zm_command_plugin_reload (ZmCommandCall *call, GError **error)
{
  g_autoptr (GPtrArray) changes = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *name = plugin_argument (call, TRUE, error);
  g_autoptr (GHashTable) before = NULL;

  if (name == NULL)
    return FALSE;
  if (!is_there (call->runtime, name)) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_REFUSED, "the plugin %s is not loaded; load it first", name);
    return FALSE;
  }
  before = numbers_of (call->runtime, name);
  if (!reload (call, name, changes, error) || !check_renewed (call, name, before, changes, error))
    return FALSE;
  reply_changes (call, changes);
  return TRUE;
}

/* ---- the rest ---- */

/* The reply comes when it has ended; see control-drain.c. Asked a second time it only waits for the same end. */
gboolean
zm_command_drain (ZmCommandCall *call, GError **error)
{
  (void) error;
  zm_runtime_drain (call->runtime);
  return TRUE;
}

/* Until the next start, or until a reload finds another level in the files. */
gboolean
zm_command_log_level (ZmCommandCall *call, GError **error)
{
  g_autofree char *text = NULL;
  ZmLevel level;

  if (!zm_command_text (call->request, "level", TRUE, &text, error))
    return FALSE;
  if (!zm_level_parse (text, &level)) {
    g_autofree char *shown = zm_printable (zm_span_text (text), 64);

    g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID,
                 "unknown level \"%s\": error, warning, notice, info or debug", shown);
    return FALSE;
  }
  zm_log_set_level (call->runtime->log, level);
  g_string_append_c (call->out, '{');
  zm_reply_member_text (call->out, "level", zm_level_name (level));
  g_string_append_c (call->out, '}');
  return TRUE;
}

gboolean
zm_command_service_command (ZmCommandCall *call, GError **error)
{
  g_autofree char *service = NULL;
  g_autofree char *verb = NULL;
  g_autofree char *argument = NULL;

  if (!zm_command_text (call->request, "service", TRUE, &service, error) ||
      !zm_command_text (call->request, "verb", TRUE, &verb, error) ||
      !zm_command_text (call->request, "argument", FALSE, &argument, error) ||
      !zm_subject_command (call->runtime->subject, service, verb, argument, error))
    return FALSE;
  g_string_append (call->out, "{\"text\":\"sent\"}");
  return TRUE;
}
