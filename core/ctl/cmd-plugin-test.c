/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * plugin test: opens a plugin in a daemon of its own and calls each of its actions with the body given, or an empty one. An
 * action may well refuse it: that is an outcome. That the daemon or the plugin's own process dies, that the plugin is not taken,
 * or that an action gives no answer in time, is a failure.
 */
#include "config.h"

#include "ctl/ctl.h"
#include "ctl/private-daemon.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The deadline of each call; an action that takes longer in such a small trial hangs, or is better tested otherwise. */
#define ACTION_MS 5000

typedef struct Trial {
  ZmCtl *ctl;
  ZmPrivate *own;
  ZmManifest *manifest;
  char *call;          /* endpoint */
  GBytes *body;        /* of each call; borrowed */
  JsonArray *outcomes; /* one object an action */
  guint refused;       /* actions that answered with an error */
  guint failed;        /* actions that gave no answer: not in time, or the plugin's process ended */
} Trial;

/* ---- preparing ---- */

/* acme.net.link goes to plugins/acme/net/link.so, where the loader looks for it. */
static gboolean
place_plugin (const Trial *trial, const char *file, GError **error)
{
  g_auto (GStrv) parts = g_strsplit (trial->manifest->name, ".", -1);
  g_autofree char *relative = g_strjoinv ("/", parts);
  g_autofree char *to = g_strdup_printf ("%s/plugins/%s.so", trial->own->dir, relative);
  g_autofree char *folder = g_path_get_dirname (to);
  g_autofree char *data = NULL;
  gsize size = 0;

  if (!g_file_get_contents (file, &data, &size, error))
    return FALSE;
  if (g_mkdir_with_parents (folder, 0700) != 0) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_IO, _ ("cannot make %s: %s"), folder, g_strerror (errno));
    return FALSE;
  }
  return g_file_set_contents (to, data, (gssize) size, error);
}

/* The action is the key's context: as its action, names such as done would be reserved. */
static char *
key_of (const char *action)
{
  return g_strdup_printf ("PluginTest?%s?test", action);
}

/* One mapping an action; other plugins that it depends on are found beside it. */
static gboolean
write_files (const Trial *trial, const char *file, GError **error)
{
  g_autofree char *absolute = g_canonicalize_filename (file, NULL);
  g_autofree char *beside = g_path_get_dirname (absolute);
  g_autoptr (GString) mappings = g_string_new ("[actionmapping]\n");
  g_autoptr (GString) config = g_string_new (NULL);

  g_string_append_printf (config, "[zmanager]\nplugin-path = \"%s/plugins\"\n", trial->own->dir);
  if (trial->manifest->depends[0] != NULL)
    g_string_append_printf (config, "plugin-path = \"%s\"\n", beside);
  g_string_append_printf (config, "[plugin %s]\nload = yes\n", trial->manifest->name);
  for (char **action = trial->manifest->actions; *action != NULL; action++) {
    g_autofree char *key = key_of (*action);

    g_string_append_printf (mappings, "%s = %s.%s\n", key, trial->manifest->name, *action);
  }
  return zm_private_write (trial->own, "zmanager.conf", config->str, error) &&
         zm_private_write (trial->own, "actions.d/test.ini", mappings->str, error);
}

/* ---- calling ---- */

/* The answer as people read it: "code: text" of an error, else the body. The caller frees. */
static char *
answer_text (const char *status, ZmSpan body)
{
  char *error = strcmp (status, "ERROR") == 0 ? zm_json_error_text (body) : NULL;

  return error != NULL ? error : zm_printable (body, 1024);
}

/* One action's row, for the table and for --json alike. */
static void
add_outcome (Trial *trial, const char *action, const char *status, ZmSpan body, gint64 took_us)
{
  JsonObject *outcome = json_object_new ();
  g_autofree char *shown = trial->ctl->json ? zm_printable (body, 1024) : answer_text (status, body);

  json_object_set_string_member (outcome, "action", action);
  json_object_set_string_member (outcome, "outcome", status);
  json_object_set_double_member (outcome, "ms", (double) took_us / 1000.0);
  json_object_set_string_member (outcome, "answer", shown);
  json_array_add_object_element (trial->outcomes, outcome);
}

/* Did the action give no answer of its own? The error's code tells: it hung, or its process ended under it. */
static gboolean
without_answer (const char *status, ZmSpan body)
{
  static const char *const codes[] = { "timeout",     "crashed",   "host-lost", "memory",
                                       "quarantined", "set-aside", NULL };
  ZmSpan raw;
  g_autofree char *code =
      strcmp (status, "ERROR") == 0 && zm_json_member (body, "code", &raw) ? zm_json_text (raw) : NULL;

  return code != NULL && g_strv_contains (codes, code);
}

/* FALSE: the daemon died. */
static gboolean
call_action (Trial *trial, const char *action, GError **error)
{
  g_autoptr (GError) inner = NULL;
  g_autoptr (GPtrArray) reply = NULL;
  g_autofree char *key = key_of (action);
  char *arguments[] = { key };
  gint64 began = zm_now_us ();
  ZmCtlMessage message;
  int status = 0;

  if (!zm_ctl_message_read (trial->ctl, 1, arguments, ACTION_MS, &message, &status))
    return TRUE;
  g_bytes_unref (message.body);
  message.body = g_bytes_ref (trial->body);
  reply = zm_ctl_call (trial->ctl, trial->call, &message, ACTION_MS, &inner);
  zm_ctl_message_clear (&message);
  if (!zm_private_running (trial->own, error)) {
    g_prefix_error (error, _ ("action %s: "), action);
    return FALSE;
  }
  /* The daemon lives and has not answered, not even with the error timeout: it is the daemon that hangs. */
  if (reply == NULL) {
    add_outcome (trial, action, "NONE", zm_span_text (inner->message), zm_now_us () - began);
    trial->failed++;
  } else {
    g_autofree char *name = zm_span_dup (zm_ctl_frame (reply, 0));

    add_outcome (trial, action, name, zm_ctl_frame (reply, 2), zm_now_us () - began);
    trial->failed += without_answer (name, zm_ctl_frame (reply, 2));
    trial->refused += strcmp (name, "ERROR") == 0;
  }
  return TRUE;
}

/* Did the daemon take the plugin? What it says of it is the error else. */
static gboolean
check_loaded (Trial *trial, GError **error)
{
  JsonObject *request = zm_ctl_request_new ("plugins");
  g_autoptr (JsonObject) answer = NULL;
  JsonArray *plugins = NULL;
  JsonObject *plugin = NULL;
  const char *state = NULL;
  const char *reason = NULL;

  json_object_set_string_member (request, "name", trial->manifest->name);
  answer = zm_ctl_request (trial->ctl, request, ZM_CTL_ANSWER_MS, error);
  if (answer == NULL)
    return FALSE;
  plugins = zm_json_get_array (answer, "plugins");
  plugin = plugins != NULL && json_array_get_length (plugins) > 0 ? zm_json_nth_object (plugins, 0) : NULL;
  state = zm_json_get_text (plugin, "state");
  reason = zm_json_get_text (plugin, "reason");
  if (g_strcmp0 (state, "loaded") == 0)
    return TRUE;
  g_set_error (error, ZM_ERROR, ZM_ERROR_PLUGIN, _ ("the plugin %s was not loaded: %s"),
               trial->manifest->name,
               reason != NULL  ? reason
               : state != NULL ? state
                               : _ ("the daemon does not know it"));
  return FALSE;
}

static const ZmOutColumn columns[] = {
  { "action", N_ ("ACTION"), FALSE },
  { "outcome", N_ ("OUTCOME"), FALSE },
  { "ms", N_ ("MS"), TRUE },
  { "answer", N_ ("ANSWER"), FALSE },
  { NULL, NULL, FALSE },
};

/* Printed at the end and not as it comes: the table's columns are as wide as their widest cell. */
static void
report (const Trial *trial)
{
  const ZmManifest *manifest = trial->manifest;
  guint n;

  if (trial->ctl->json) {
    g_autoptr (JsonObject) object = json_object_new ();

    json_object_set_string_member (object, "plugin", manifest->name);
    json_object_set_array_member (object, "actions", json_array_ref (trial->outcomes));
    json_object_set_int_member (object, "failed", trial->failed);
    zm_out_json_object (object);
    return;
  }
  n = json_array_get_length (trial->outcomes);
  printf (ngettext ("%s %s: loaded, %u action, %u without an answer\n",
                    "%s %s: loaded, %u actions, %u without an answer\n", n),
          manifest->name, manifest->version ? manifest->version : "", n, trial->failed);
  zm_out_table (trial->ctl, trial->outcomes, columns, _ ("it has no action"));
  /* The first thing that the author of a new plugin sees is often this error: it is none. */
  if (trial->refused > trial->failed && g_bytes_get_size (trial->body) == 0)
    printf (
        _ ("The body was empty, which an action may refuse; with another one: zmanagerctl plugin test FILE "
           "BODY\n"));
}

/* FALSE: the plugin could not be tried out, or killed its daemon. */
static gboolean
run_trial (Trial *trial, const char *file, GError **error)
{
  if (!place_plugin (trial, file, error) || !write_files (trial, file, error) ||
      !zm_private_start (trial->own, trial->ctl, error) || !check_loaded (trial, error))
    return FALSE;
  trial->call = zm_ctl_endpoint (trial->ctl, "call", error);
  for (char **action = trial->manifest->actions; trial->call != NULL && *action != NULL; action++)
    if (!call_action (trial, *action, error))
      return FALSE;
  return trial->call != NULL;
}

/* The note is read before anything is started: what is no plugin is refused in a moment, with the note's reason. The
 * daemon and its directory go at the end of this function, whatever happened. */
int
zm_ctl_cmd_plugin_test (ZmCtl *ctl, guint n, char **arguments)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (ZmManifest) manifest = zm_ctl_read_manifest (arguments[0], &error);
  g_autoptr (ZmPrivate) own = NULL;
  g_autoptr (JsonArray) outcomes = json_array_new ();
  Trial trial = { .ctl = ctl, .manifest = manifest, .outcomes = outcomes };
  g_autoptr (GBytes) body = NULL;
  gboolean good = FALSE;

  if (zm_ctl_text (ctl, "connect") != NULL)
    return zm_ctl_usage (ctl, _ ("--connect makes no sense here: the test starts a daemon of its own"));
  if (manifest != NULL)
    body = zm_ctl_read_body (n > 1 ? arguments[1] : "", &error);
  if (body == NULL)
    return zm_ctl_fail (ctl, error);
  zm_ctl_catch_signals (ctl);
  own = zm_private_new (&error);
  trial.own = own;
  trial.body = body;
  good = own != NULL && run_trial (&trial, arguments[0], &error);
  g_free (trial.call);
  if (!good)
    return zm_ctl_fail (ctl, error);
  report (&trial);
  return trial.failed > 0 ? ZM_EXIT_FAILED : ZM_EXIT_OK;
}
