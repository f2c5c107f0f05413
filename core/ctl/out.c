/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What people read: styles, lines, tables, indented values; and the program's errors.
 *
 * Everything that comes from outside (the daemon, its peers, bodies, names) is made safe before it is printed: control
 * characters could steer the terminal of who only wanted to look. Texts that stand in this program are not.
 */
#include "config.h"

#include "ctl/ctl.h"

#include <stdio.h>
#include <string.h>

/* ---- errors ---- */

/* Errors that have an exit status of their own; every other one is a failure. */
static const struct {
  ZmErrorCode error;
  ZmExit exit;
  const char *name; /* as the control socket calls it */
} error_table[] = {
  { ZM_ERROR_UNREACHABLE, ZM_EXIT_UNREACHABLE, "unreachable" },
  { ZM_ERROR_REFUSED, ZM_EXIT_REFUSED, "refused" },
  { ZM_ERROR_LIMIT, ZM_EXIT_REFUSED, "busy" },
  { ZM_ERROR_NOT_FOUND, ZM_EXIT_NOT_FOUND, "not-found" },
  { ZM_ERROR_INVALID, ZM_EXIT_FAILED, "invalid" },
  { ZM_ERROR_UNAVAILABLE, ZM_EXIT_FAILED, "unavailable" },
};

void
zm_out_json_error (const char *code, const char *text, JsonArray *problems)
{
  g_autoptr (JsonObject) outer = json_object_new ();
  JsonObject *inner = json_object_new ();

  json_object_set_string_member (inner, "code", code);
  json_object_set_string_member (inner, "text", text);
  if (problems != NULL)
    json_object_set_array_member (inner, "problems", json_array_ref (problems));
  json_object_set_object_member (outer, "error", inner);
  zm_out_json_object (outer);
}

/* Line by line: an error may have several, of which what it quotes (a path, an argument) makes none. The caller frees. */
static char *
safe_lines (const char *text)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);

  for (char **line = lines; *line != NULL; line++) {
    char *safe = zm_printable (zm_span_text (*line), 8192);

    g_free (*line);
    *line = safe;
  }
  return g_strjoinv ("\n", lines);
}

/* Scripts read the exit status, programs the JSON, people the text. */
int
zm_ctl_fail (const ZmCtl *ctl, const GError *error)
{
  const char *name = "failed";
  int status = ZM_EXIT_FAILED;
  g_autofree char *safe = safe_lines (error->message);
  JsonArray *problems = zm_json_get_array (ctl->refused, "problems");
  const char *text = problems != NULL ? zm_json_get_text (ctl->refused, "text") : NULL;

  for (guint i = 0; i < G_N_ELEMENTS (error_table); i++)
    if (g_error_matches (error, ZM_ERROR, (int) error_table[i].error)) {
      name = error_table[i].name;
      status = (int) error_table[i].exit;
    }
  /* People read the standard error also while a program reads the JSON. */
  fprintf (stderr, "zmanagerctl: %s\n", safe);
  if (ctl->json)
    zm_out_json_error (name, text != NULL ? text : error->message, problems);
  return status;
}

/* ---- lines ---- */

/* ctl->color is FALSE wherever nobody sees colours, so callers need not ask. */
char *
zm_out_style (const ZmCtl *ctl, ZmStyle style, const char *text)
{
  static const char *const codes[] = { "1", "2", "32", "33", "31" };

  return ctl->color ? g_strdup_printf ("\033[%sm%s\033[0m", codes[style], text) : g_strdup (text);
}

/* Not flushed: who follows a stream does that once an item. */
void
zm_out_line (const char *text)
{
  fputs (text, stdout);
  putchar ('\n');
}

/* As they are, also a NUL: the output may be a file. */
void
zm_out_bytes (ZmSpan bytes)
{
  if (bytes.size > 0)
    fwrite (bytes.data, 1, bytes.size, stdout);
}

/* Home first and then clear, in one write: less flicker than clearing alone. */
void
zm_out_clear (const ZmCtl *ctl)
{
  if (ctl->terminal && !ctl->json)
    fputs ("\033[H\033[2J", stdout);
}

/* Flushed at once: who follows a stream through a pipe gets each line when it comes. */
void
zm_out_json (JsonNode *node)
{
  g_autofree char *text = json_to_string (node, FALSE);

  zm_out_line (text);
  fflush (stdout);
}

/* Borrows the object. */
void
zm_out_json_object (JsonObject *object)
{
  g_autoptr (JsonNode) node = json_node_new (JSON_NODE_OBJECT);

  json_node_set_object (node, object);
  zm_out_json (node);
}

/* ---- values ---- */

/* One decimal is as much as anybody reads. The caller frees. */
char *
zm_out_time (gint64 us)
{
  if (us < 1000)
    return g_strdup_printf (_ ("%d us"), (int) us);
  if (us < G_USEC_PER_SEC)
    return g_strdup_printf (_ ("%d ms"), (int) (us / 1000));
  return us < 60 * G_USEC_PER_SEC ? g_strdup_printf (_ ("%.1f s"), (double) us / G_USEC_PER_SEC)
                                  : zm_out_duration (us / G_USEC_PER_SEC);
}

/* Nobody wants the seconds of a daemon that is up for weeks. The caller frees. */
char *
zm_out_duration (gint64 seconds)
{
  if (seconds >= 86400)
    return g_strdup_printf (_ ("%d d %d h"), (int) (seconds / 86400), (int) (seconds / 3600 % 24));
  if (seconds >= 3600)
    return g_strdup_printf (_ ("%d h %d min"), (int) (seconds / 3600), (int) (seconds / 60 % 60));
  if (seconds >= 60)
    return g_strdup_printf (_ ("%d min %d s"), (int) (seconds / 60), (int) (seconds % 60));
  return g_strdup_printf (_ ("%d s"), (int) seconds);
}

/* An object in a list stands for what it is called. */
static char *
item_text (JsonNode *node)
{
  const char *name =
      JSON_NODE_HOLDS_OBJECT (node) ? zm_json_get_text (json_node_get_object (node), "name") : NULL;

  return name != NULL ? zm_printable (zm_span_text (name), 4096) : zm_out_value (node);
}

/* Elements are parted by commas; an empty list is "-", as an empty cell would look like a fault of the table. */
static char *
join_array (JsonArray *array)
{
  g_autoptr (GString) out = g_string_new (NULL);

  for (guint i = 0; i < json_array_get_length (array); i++) {
    g_autofree char *text = item_text (json_array_get_element (array, i));

    g_string_append_printf (out, "%s%s", i > 0 ? ", " : "", text);
  }
  return g_strdup (out->len > 0 ? out->str : "-");
}

/* All texts come from the daemon or its peers, and go to a terminal. */
static char *
scalar_text (JsonNode *node)
{
  switch (json_node_get_value_type (node)) {
  case G_TYPE_STRING: {
    const char *text = json_node_get_string (node);

    return text != NULL && *text ? zm_printable (zm_span_text (text), 4096) : g_strdup ("-");
  }
  case G_TYPE_BOOLEAN: return g_strdup (json_node_get_boolean (node) ? _ ("yes") : _ ("no"));
  case G_TYPE_DOUBLE: return g_strdup_printf ("%.2f", json_node_get_double (node));
  default: return g_strdup_printf ("%" G_GINT64_FORMAT, json_node_get_int (node));
  }
}

/* Never NULL, and always safe for a terminal. */
char *
zm_out_value (JsonNode *node)
{
  if (node == NULL || JSON_NODE_HOLDS_NULL (node))
    return g_strdup ("-");
  if (JSON_NODE_HOLDS_ARRAY (node))
    return join_array (json_node_get_array (node));
  if (JSON_NODE_HOLDS_OBJECT (node))
    return json_to_string (node, FALSE);
  return scalar_text (node);
}

/* ---- tables ---- */

/* More than any listing has; further columns would be left out. */
#define COLUMNS_MOST 16

/* A row that is no object, or lacks the member, gives "-". The caller frees. */
static char *
cell (JsonArray *rows, guint row, const char *member)
{
  JsonNode *node = json_array_get_element (rows, row);

  if (!JSON_NODE_HOLDS_OBJECT (node))
    return g_strdup ("-");
  return zm_out_value (json_object_get_member (json_node_get_object (node), member));
}

/* The last column is not padded: no line ends in blanks. */
static void
print_cell (const ZmOutColumn *column, const char *text, int width, gboolean last)
{
  int pad = MAX (width - (int) g_utf8_strlen (text, -1), 0);

  if (column->right)
    printf ("%*s%s%s", pad, "", text, last ? "\n" : "  ");
  else if (last)
    printf ("%s\n", text);
  else
    printf ("%s%*s", text, pad + 2, "");
}

/* Bold around the whole line and not each cell, so that the padding is counted without escape sequences. */
static void
print_heading (const ZmCtl *ctl, const ZmOutColumn *columns, guint n, const int *widths)
{
  fputs (ctl->color ? "\033[1m" : "", stdout);
  for (guint i = 0; i < n; i++)
    print_cell (&columns[i], _ (columns[i].title), widths[i], i + 1 == n);
  fputs (ctl->color ? "\033[0m" : "", stdout);
}

/* Two passes: the widths, then the rows. Widths are counted in characters. */
void
zm_out_table (const ZmCtl *ctl, JsonArray *rows, const ZmOutColumn *columns, const char *none)
{
  guint n_rows = rows != NULL ? json_array_get_length (rows) : 0;
  int widths[COLUMNS_MOST] = { 0 };
  guint n = 0;

  if (n_rows == 0) {
    zm_out_line (none);
    return;
  }
  for (; n < COLUMNS_MOST && columns[n].member != NULL; n++)
    widths[n] = (int) g_utf8_strlen (_ (columns[n].title), -1);
  for (guint row = 0; row < n_rows; row++)
    for (guint i = 0; i < n; i++) {
      g_autofree char *text = cell (rows, row, columns[i].member);

      widths[i] = MAX (widths[i], (int) g_utf8_strlen (text, -1));
    }
  print_heading (ctl, columns, n, widths);
  for (guint row = 0; row < n_rows; row++)
    for (guint i = 0; i < n; i++) {
      g_autofree char *text = cell (rows, row, columns[i].member);

      print_cell (&columns[i], text, widths[i], i + 1 == n);
    }
}

/* ---- trees ---- */

/* Does it need lines of its own? */
static gboolean
is_deep (JsonNode *node)
{
  /* A list is as deep as its first element: lists here are of one kind. */
  if (JSON_NODE_HOLDS_OBJECT (node))
    return json_object_get_size (json_node_get_object (node)) > 0;
  if (!JSON_NODE_HOLDS_ARRAY (node) || json_array_get_length (json_node_get_array (node)) == 0)
    return FALSE;
  return is_deep (json_array_get_element (json_node_get_array (node), 0));
}

/* Short values behind their name, others below it and indented. */
static void
tree_member (const ZmCtl *ctl, const char *name, JsonNode *node, guint indent)
{
  g_autofree char *safe = zm_printable (zm_span_text (name), 256);
  g_autofree char *label = zm_out_style (ctl, ZM_STYLE_BOLD, safe);

  if (is_deep (node)) {
    printf ("%*s%s:\n", (int) indent * 2, "", label);
    zm_out_tree (ctl, node, indent + 1);
  } else {
    g_autofree char *text = zm_out_value (node);

    printf ("%*s%s: %s\n", (int) indent * 2, "", label, text);
  }
}

/* For answers whose members this client need not know: whatever a newer daemon adds is shown too. */
void
zm_out_tree (const ZmCtl *ctl, JsonNode *node, guint indent)
{
  if (JSON_NODE_HOLDS_OBJECT (node)) {
    g_autoptr (GList) names = json_object_get_members (json_node_get_object (node));

    for (GList *at = names; at != NULL; at = at->next)
      tree_member (ctl, at->data, json_object_get_member (json_node_get_object (node), at->data), indent);
  } else if (JSON_NODE_HOLDS_ARRAY (node)) {
    JsonArray *array = json_node_get_array (node);

    for (guint i = 0; i < json_array_get_length (array); i++) {
      if (i > 0)
        putchar ('\n');
      zm_out_tree (ctl, json_array_get_element (array, i), indent);
    }
  } else {
    g_autofree char *text = zm_out_value (node);

    printf ("%*s%s\n", (int) indent * 2, "", text);
  }
}
