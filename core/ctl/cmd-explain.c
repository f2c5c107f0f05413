/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * explain: a key by the daemon's table, or by the files where no daemon runs (and that is told); a code of a problem (ZM1234) or
 * of an error (no-taker) by the tables that are built in.
 */
#include "config.h"

#include "ctl/offline.h"

#include <stdio.h>
#include <string.h>

/* ---- codes ---- */

/* "ZM1234" or "1234" */
static gboolean
is_code (const char *text)
{
  gsize skip = g_ascii_strncasecmp (text, "ZM", 2) == 0 ? 2 : 0;

  return text[skip] != '\0' && strspn (text + skip, "0123456789") == strlen (text + skip);
}

/* The text of a stable code. It is built in, so it is there when nothing else works. */
static int
explain_code (const ZmCtl *ctl, const char *text)
{
  const ZmCodeInfo *info = zm_code_info (text);
  g_autoptr (GError) error = NULL;
  g_autofree char *title = NULL;

  if (info == NULL) {
    g_set_error (&error, ZM_ERROR, ZM_ERROR_NOT_FOUND, _ ("there is no code %s"), text);
    return zm_ctl_fail (ctl, error);
  }
  if (ctl->json) {
    g_autoptr (JsonObject) object = json_object_new ();
    g_autofree char *code = g_strdup_printf ("ZM%04u", info->code);

    json_object_set_string_member (object, "code", code);
    json_object_set_string_member (object, "title", info->title);
    json_object_set_string_member (object, "text", info->text);
    zm_out_json_object (object);
    return ZM_EXIT_OK;
  }
  title = zm_out_style (ctl, ZM_STYLE_BOLD, info->title);
  printf ("ZM%04u  %s\n\n%s\n", info->code, title, info->text);
  return ZM_EXIT_OK;
}

/* ---- codes of errors ---- */

/* A word with no "?" cannot be a key. */
static gboolean
is_word (const char *text)
{
  return *text != '\0' && strspn (text, "abcdefghijklmnopqrstuvwxyz-") == strlen (text);
}

/* Some twenty codes, looked up once in the life of the program: no index is worth it. */
static const ZmCtlErrorCode *
find_error_code (const char *text)
{
  guint n = 0;
  const ZmCtlErrorCode *codes = zm_ctl_error_codes (&n);

  for (guint i = 0; i < n; i++)
    if (strcmp (codes[i].code, text) == 0)
      return &codes[i];
  return NULL;
}

/* Actions have codes of their own, so an unknown one may be right: its plugin knows. */
static int
unknown_error_code (const ZmCtl *ctl, const char *text)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  g_autoptr (GError) error = NULL;
  guint n = 0;
  const ZmCtlErrorCode *codes = zm_ctl_error_codes (&n);
  const char *near = NULL;

  for (guint i = 0; i < n; i++)
    g_ptr_array_add (names, (gpointer) codes[i].code);
  g_ptr_array_add (names, NULL);
  near = zm_suggest (text, (const char *const *) names->pdata);
  if (near != NULL)
    g_set_error (&error, ZM_ERROR, ZM_ERROR_NOT_FOUND, _ ("there is no error code %s; did you mean %s?"),
                 text, near);
  else
    g_set_error (
        &error, ZM_ERROR, ZM_ERROR_NOT_FOUND,
        _ ("%s is no error code of the daemon; an action may have codes of its own, and a key has a ?"),
        text);
  return zm_ctl_fail (ctl, error);
}

/* The table is built in, so this works without a daemon and offline. The member is called `name`: `code` is a
 * problem's code in the same command's JSON, and `error` would be taken for a failure of the command. */
static int
explain_error_code (const ZmCtl *ctl, const char *text)
{
  const ZmCtlErrorCode *code = find_error_code (text);
  g_autofree char *title = NULL;

  if (code == NULL)
    return unknown_error_code (ctl, text);
  if (ctl->json) {
    g_autoptr (JsonObject) object = json_object_new ();

    json_object_set_string_member (object, "name", code->code);
    json_object_set_string_member (object, "text", code->means);
    json_object_set_string_member (object, "cure", code->cure);
    zm_out_json_object (object);
    return ZM_EXIT_OK;
  }
  title = zm_out_style (ctl, ZM_STYLE_BOLD, code->code);
  printf ("%s  %s\n\nCure: %s\n", title, code->means, code->cure);
  return ZM_EXIT_OK;
}

/* ---- keys ---- */

/* The daemon's own words where it gave them, else its members. */
static void
print_answer (const ZmCtl *ctl, JsonObject *answer, const char *text_member)
{
  const char *text = zm_json_get_text (answer, text_member);
  g_autoptr (JsonNode) node = NULL;

  if (text != NULL && !ctl->json) {
    printf ("%s%s", text, g_str_has_suffix (text, "\n") ? "" : "\n");
    return;
  }
  node = json_node_init_object (json_node_alloc (), answer);
  if (ctl->json)
    zm_out_json (node);
  else
    zm_out_tree (ctl, node, 0);
}

/* Takes the text, which the table made for this call. */
static void
print_text (char *text)
{
  printf ("%s%s", text, g_str_has_suffix (text, "\n") ? "" : "\n");
  g_free (text);
}

/* People get the text that the table writes itself, so that daemon and files speak alike. */
static int
explain_key (ZmCtl *ctl, const char *text, const ZmKey *key)
{
  g_autoptr (GError) error = NULL;
  JsonObject *request = zm_ctl_request_new ("explain");
  g_autoptr (JsonObject) answer = NULL;
  g_autoptr (ZmTable) table = NULL;

  json_object_set_string_member (request, "key", text);
  if (!ctl->json)
    json_object_set_boolean_member (request, "text", TRUE);
  answer = zm_offline_ask (ctl, request, &error);
  if (answer != NULL) {
    print_answer (ctl, answer, "text");
    return ZM_EXIT_OK;
  }
  if (!zm_offline_allowed (ctl, error))
    return zm_ctl_fail (ctl, error);
  g_clear_error (&error);
  table = zm_offline_table (ctl, &error);
  if (table == NULL)
    return zm_ctl_fail (ctl, error);
  print_text (zm_table_explain (table, key, ctl->json));
  return ZM_EXIT_OK;
}

/* What the argument is, it tells by its form: ZM and digits, a lower-case word, or a key, which has a "?" in it. None
 * can be taken for another. */
int
zm_ctl_cmd_explain (ZmCtl *ctl, guint n, char **arguments)
{
  g_autoptr (GError) error = NULL;
  ZmKey key;

  (void) n;
  if (is_code (arguments[0]))
    return explain_code (ctl, arguments[0]);
  if (is_word (arguments[0]))
    return explain_error_code (ctl, arguments[0]);
  if (!zm_key_parse (zm_span_text (arguments[0]), &key, NULL, &error)) {
    g_autofree char *safe = zm_printable (zm_span_text (arguments[0]), 256);

    return zm_ctl_usage (ctl, _ ("\"%s\" is neither a code such as ZM1234 or no-taker nor a key: %s"), safe,
                         error->message);
  }
  return explain_key (ctl, arguments[0], &key);
}
