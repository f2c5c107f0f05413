/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* token new|ls|rm: the file of bearer tokens of the HTTP API. No daemon is asked: it reads the file when it is told to reload. */
#include "config.h"

#include "ctl/ctl.h"
#include "http/zm-tokens.h"
#include "runtime/zm-runtime.h"

#include <string.h>

/* [http] tokens of the instance, else its standard place. NULL: error. The caller frees. */
static char *
tokens_path (ZmCtl *ctl, GError **error)
{
  ZmInstance *instance = zm_ctl_instance (ctl, error);
  const ZmRuntimeOptions options = { .dir = instance != NULL ? instance->dir : NULL };
  g_autofree char *set = NULL;

  if (instance == NULL)
    return NULL;
  set = zm_runtime_setting (&options, "http", "tokens");
  return set != NULL ? g_canonicalize_filename (set, instance->dir) : zm_tokens_standard (instance->dir);
}

static gboolean
read_roles (ZmCtl *ctl, guint *roles, GError **error)
{
  const char *text = zm_ctl_text (ctl, "roles");

  return zm_roles_parse (text != NULL ? text : "publish,consume,subscribe", roles, error);
}

int
zm_ctl_cmd_token_new (ZmCtl *ctl, guint n, char **arguments)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = tokens_path (ctl, &error), *secret = NULL;
  const char *project = zm_ctl_text (ctl, "project");
  g_autofree const char **patterns = g_new0 (const char *, n);
  guint roles = 0;

  for (guint i = 1; i < n; i++)
    patterns[i - 1] = arguments[i];
  if (path == NULL || !read_roles (ctl, &roles, &error) ||
      !zm_tokens_add (path, arguments[0], project != NULL ? project : "*", roles, patterns, &secret, &error))
    return zm_ctl_fail (ctl, error);
  if (ctl->json) {
    g_autoptr (JsonObject) object = json_object_new ();

    json_object_set_string_member (object, "name", arguments[0]);
    json_object_set_string_member (object, "token", secret);
    json_object_set_string_member (object, "file", path);
    zm_out_json_object (object);
    return ZM_EXIT_OK;
  }
  zm_out_line (secret);
  g_printerr ("%s\n", _ ("It is shown this once. A running daemon takes it after: zmanagerctl reload"));
  return ZM_EXIT_OK;
}

static const ZmOutColumn columns[] = { { "name", N_ ("NAME"), FALSE },
                                       { "project", N_ ("PROJECT"), FALSE },
                                       { "roles", N_ ("ROLES"), FALSE },
                                       { "patterns", N_ ("KEYS"), FALSE },
                                       { NULL, NULL, FALSE } };

static JsonArray *
rows_of (const ZmTokens *tokens)
{
  JsonArray *rows = json_array_new ();

  for (guint i = 0; i < zm_tokens_count (tokens); i++) {
    const ZmToken *token = zm_tokens_nth (tokens, i);
    JsonObject *row = json_object_new ();
    JsonArray *patterns = json_array_new ();
    g_autofree char *roles = zm_roles_text (token->roles);

    for (char **pattern = token->patterns; *pattern != NULL; pattern++)
      json_array_add_string_element (patterns, *pattern);
    json_object_set_string_member (row, "name", token->name);
    json_object_set_string_member (row, "project", token->project != NULL ? token->project : "*");
    json_object_set_string_member (row, "roles", roles);
    json_object_set_array_member (row, "patterns", patterns);
    json_array_add_object_element (rows, row);
  }
  return rows;
}

int
zm_ctl_cmd_token_ls (ZmCtl *ctl, guint n, char **arguments)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = tokens_path (ctl, &error);
  g_autoptr (ZmTokens) tokens = path != NULL ? zm_tokens_read (path, &error) : NULL;
  g_autoptr (JsonArray) rows = NULL;

  (void) n;
  (void) arguments;
  if (tokens == NULL)
    return zm_ctl_fail (ctl, error);
  rows = rows_of (tokens);
  if (ctl->json) {
    g_autoptr (JsonObject) object = json_object_new ();

    json_object_set_array_member (object, "tokens", json_array_ref (rows));
    zm_out_json_object (object);
  } else {
    zm_out_table (ctl, rows, columns, _ ("no tokens"));
  }
  return ZM_EXIT_OK;
}

int
zm_ctl_cmd_token_rm (ZmCtl *ctl, guint n, char **arguments)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = tokens_path (ctl, &error);

  (void) n;
  if (path == NULL || !zm_tokens_remove (path, arguments[0], &error))
    return zm_ctl_fail (ctl, error);
  if (!ctl->json)
    zm_out_line (_ ("removed; a running daemon refuses it after: zmanagerctl reload"));
  return ZM_EXIT_OK;
}
