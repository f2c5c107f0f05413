/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads mapping files: their sections, and `key = plugin.symbol`. */
#include "config.h"

#include "routing/mapping-read.h"

#include <string.h>

#define EXPECTED_VALUE "plugin.symbol or worker:NAME"

/* Reading goes on after every error, so that one pass tells all of them. */
void
zm_mapping_reader_complain (ZmMappingReader *reader, guint code, const ZmLine *line, guint column,
                            const char *expected, const char *todo, const char *what, ...)
{
  g_autofree char *text = NULL;
  va_list arguments;

  va_start (arguments, what);
  text = g_strdup_vprintf (what, arguments);
  va_end (arguments);
  zm_problems_add (reader->problems, ZM_PROBLEM_ERROR, code, line->file, line->line, column, expected, todo,
                   "%s", text);
}

void
zm_mapping_free (ZmMapping *mapping)
{
  if (mapping == NULL)
    return;
  g_free (mapping->isolation);
  g_free (mapping->policy);
  g_free (mapping); /* the other texts stand behind it, in the same block */
}

/* ---- values ---- */

/* The name of a C function: it is looked up in the library as it stands. */
static gboolean
symbol_ok (ZmSpan symbol)
{
  for (gsize i = 0; i < symbol.size; i++)
    if (!g_ascii_isalpha (symbol.data[i]) && symbol.data[i] != '_' &&
        (i == 0 || !g_ascii_isdigit (symbol.data[i])))
      return FALSE;
  return symbol.size > 0;
}

/* Of a place in the line's value, in characters as the editor counts. */
static guint
column_in (const ZmLine *line, const char *at)
{
  return line->value_column + (guint) g_utf8_strlen (line->value, at - line->value);
}

/* The plugin's dotted name: each part is a file or folder name, so that no mapping can leave the plugin path. */
static gboolean
check_plugin (ZmMappingReader *reader, const ZmLine *line, ZmSpan plugin)
{
  const char *end = plugin.data + plugin.size;

  for (const char *at = plugin.data; at != NULL;) {
    const char *dot = memchr (at, '.', (gsize) (end - at));
    ZmSpan part = zm_span (at, (gsize) ((dot != NULL ? dot : end) - at));
    g_autoptr (GError) error = NULL;
    guint column = 1;

    if (part.size == 0) {
      zm_mapping_reader_complain (reader, ZM_CODE_BAD_TARGET, line, column_in (line, at), EXPECTED_VALUE,
                                  NULL, "\"%s\" has an empty part between its dots", line->value);
      return FALSE;
    }
    if (!zm_name_check (part, &column, &error)) {
      zm_mapping_reader_complain (
          reader, ZM_CODE_BAD_TARGET, line, column_in (line, at) + MAX (column, 1) - 1, EXPECTED_VALUE,
          "a plugin is named by its file below the plugin path, with dots for folders",
          "\"%s\" is no action: %s", line->value, zm_routing_plain_text (error));
      return FALSE;
    }
    at = dot != NULL ? dot + 1 : NULL;
  }
  return TRUE;
}

/* Whether the worker is configured, the table's builder says: a mapping file is read without the configuration. */
static gboolean
check_worker (ZmMappingReader *reader, const ZmLine *line, ZmSpan worker)
{
  g_autoptr (GError) error = NULL;
  guint column = 1;

  if (worker.size > 0 && zm_name_check (worker, &column, &error))
    return TRUE;
  zm_mapping_reader_complain (
      reader, ZM_CODE_BAD_TARGET, line, column_in (line, worker.data) + MAX (column, 1) - 1,
      "worker:NAME with the NAME of a section [worker NAME]", NULL, "\"%s\" names no worker%s%s", line->value,
      error != NULL ? ": " : "", error != NULL ? zm_routing_plain_text (error) : "");
  return FALSE;
}

/* Cuts "plugin.symbol" or "worker:NAME". */
static gboolean
read_value (ZmMappingReader *reader, const ZmLine *line, ZmSpan *plugin, ZmSpan *symbol, ZmSpan *worker)
{
  ZmSpan value = zm_span_text (line->value);
  const char *dot = strrchr (line->value, '.');

  *plugin = *symbol = *worker = zm_span (NULL, 0);
  if (value.size == 0) {
    zm_mapping_reader_complain (reader, ZM_CODE_BAD_TARGET, line, line->value_column, EXPECTED_VALUE, NULL,
                                "key without a value");
    return FALSE;
  }
  if (g_str_has_prefix (line->value, "worker:")) {
    *worker = zm_span (value.data + strlen ("worker:"), value.size - strlen ("worker:"));
    return check_worker (reader, line, *worker);
  }
  if (dot == NULL) {
    zm_mapping_reader_complain (reader, ZM_CODE_BAD_TARGET, line, line->value_column, EXPECTED_VALUE,
                                "put the plugin's name in front", "\"%s\" names no plugin", line->value);
    return FALSE;
  }
  *plugin = zm_span (value.data, (gsize) (dot - value.data));
  *symbol = zm_span_text (dot + 1);
  if (!check_plugin (reader, line, *plugin))
    return FALSE;
  if (symbol_ok (*symbol))
    return TRUE;
  zm_mapping_reader_complain (
      reader, ZM_CODE_BAD_SYMBOL_NAME, line, column_in (line, symbol->data), "the name of a C function",
      strchr (symbol->data, '#') != NULL ? "put comments on lines of their own"
                                         : "use letters, digits and '_', no digit first",
      symbol->size > 0 ? "\"%s\" is no symbol" : "the value ends in a dot%s", symbol->data);
  return FALSE;
}

/* ---- mappings ---- */

/* A NUL-terminated copy at *at, which moves on; NULL stays NULL. */
static char *
put (char **at, ZmSpan text)
{
  char *start = *at;

  if (text.data == NULL)
    return NULL;
  memcpy (start, text.data, text.size);
  start[text.size] = '\0';
  *at = start + text.size + 1;
  return start;
}

/* The part of a key's text, in the copy of that text. */
static ZmSpan
moved (ZmSpan part, const char *from, const char *to)
{
  return part.data != NULL ? zm_span (to + (part.data - from), part.size) : part;
}

/* One block for a mapping and its texts: tables have tens of thousands of them. */
static ZmMapping *
mapping_new (const ZmLine *line, const ZmKey *parsed, ZmSpan plugin, ZmSpan symbol, ZmSpan worker)
{
  ZmSpan key = zm_span_text (line->key), file = zm_span_text (line->file);
  ZmMapping *mapping =
      g_malloc0 (sizeof *mapping + key.size + plugin.size + symbol.size + worker.size + file.size + 5);
  char *at = (char *) (mapping + 1);

  mapping->key_text = put (&at, key);
  mapping->key = (ZmKey){ .decorator = moved (parsed->decorator, line->key, mapping->key_text),
                          .sender = moved (parsed->sender, line->key, mapping->key_text),
                          .context = moved (parsed->context, line->key, mapping->key_text),
                          .action = moved (parsed->action, line->key, mapping->key_text) };
  mapping->plugin = put (&at, plugin);
  mapping->symbol = put (&at, symbol);
  mapping->worker = put (&at, worker);
  mapping->file = put (&at, file);
  mapping->line = line->line;
  mapping->column = line->key_column;
  mapping->timeout_ms = mapping->ordering = -1;
  mapping->retries = -1;
  return mapping;
}

/* The key's own error counts from its first character; here the column is the line's. */
gboolean
zm_mapping_reader_key (ZmMappingReader *reader, const ZmLine *line, const char *text, guint at, ZmKey *key)
{
  g_autoptr (GError) error = NULL;
  guint column = 1;

  if (zm_key_parse (zm_span_text (text), key, &column, &error))
    return TRUE;
  zm_mapping_reader_complain (reader, ZM_CODE_BAD_KEY, line, at + MAX (column, 1) - 1, NULL, NULL,
                              "\"%s\" is no action key: %s", text, zm_routing_plain_text (error));
  return FALSE;
}

/* Key and value are both read before anything is made, so that a wrong line leaves nothing behind. */
static void
read_mapping (ZmMappingReader *reader, const ZmLine *line)
{
  ZmSpan plugin, symbol, worker;
  ZmKey key;

  if (!zm_mapping_reader_key (reader, line, line->key, line->key_column, &key) ||
      !read_value (reader, line, &plugin, &symbol, &worker))
    return;
  g_ptr_array_add (reader->out, mapping_new (line, &key, plugin, symbol, worker));
}

/* ---- files ---- */

static gboolean
is_action (const ZmLine *line)
{
  return g_str_has_prefix (line->section, "action ");
}

/* Only sections with a typo come here; their lines are then left out without a word each. */
static void
check_section (ZmMappingReader *reader, const ZmLine *line)
{
  static const char *const sections[] = { "actionmapping", "action KEY", NULL };
  g_autofree char *todo = NULL;

  if (strcmp (line->section, "action") == 0) {
    zm_mapping_reader_complain (reader, ZM_CODE_BAD_SECTION_LINE, line, line->key_column,
                                "[action Sender?Context?Action]", "name the mapping's key",
                                "[action] without a key");
    return;
  }
  todo = zm_mapping_reader_suggest (line->section, sections);
  zm_mapping_reader_complain (reader, ZM_CODE_UNKNOWN_SECTION, line, line->key_column,
                              "[actionmapping] or [action KEY]", todo, "unknown section \"%s\"",
                              line->section);
}

/* The first pass: mappings, and what stands where nothing may. Told once a file, as the rest follows from it. */
static void
read_line (ZmMappingReader *reader, const ZmLine *line, gboolean *told)
{
  gboolean mappings = strcmp (line->section, "actionmapping") == 0;

  if (line->key == NULL && !mappings && !is_action (line))
    check_section (reader, line);
  else if (line->key != NULL && mappings)
    read_mapping (reader, line);
  else if (line->key != NULL && line->section[0] == '\0' && !*told) {
    zm_mapping_reader_complain (reader, ZM_CODE_KEY_WITHOUT_SECTION, line, line->key_column,
                                "[actionmapping] first", "put [actionmapping] above it",
                                "\"%s\" stands outside of a section", line->key);
    *told = TRUE;
  }
}

static void
read_all (ZmMappingReader *reader)
{
  guint n = zm_lines_count (reader->lines);
  ZmMapping *target = NULL;
  gboolean told = FALSE;

  for (guint i = 0; i < n; i++)
    read_line (reader, zm_lines_get (reader->lines, i), &told);
  /* Options second: their section may stand above the mapping. */
  for (guint i = 0; i < n; i++) {
    const ZmLine *line = zm_lines_get (reader->lines, i);

    if (!is_action (line))
      continue;
    if (line->key == NULL)
      target = zm_mapping_reader_target (reader, line);
    else if (target != NULL)
      zm_mapping_reader_option (reader, line, target);
  }
}

/* Takes lines. */
static void
read_lines (ZmLines *lines, GPtrArray *out, ZmProblems *problems)
{
  ZmMappingReader reader = { .lines = lines, .problems = problems, .out = out, .first = out->len };

  read_all (&reader);
  g_clear_pointer (&reader.by_slug, g_hash_table_unref);
  zm_lines_free (lines);
}

void
zm_mapping_read_file (const char *path, GPtrArray *out, ZmProblems *problems)
{
  read_lines (zm_lines_read_file (path, problems), out, problems);
}

void
zm_mapping_read_text (const char *name, ZmSpan text, GPtrArray *out, ZmProblems *problems)
{
  read_lines (zm_lines_read_text (name, text, problems), out, problems);
}
