/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads mapping files: `[actionmapping]` with `key = plugin.symbol`, and `[action KEY]` with one mapping's options. */
#include "config.h"

#include "routing/table-private.h"

#include <string.h>

#define EXPECTED_VALUE "plugin.symbol or worker:NAME"

typedef struct Reader {
  ZmLines *lines;
  ZmProblems *problems;
  GPtrArray *out;
  guint first;         /* the file's first mapping in out */
  GHashTable *by_slug; /* slug -> ZmMapping*, of this file; NULL until options need it */
} Reader;

G_GNUC_PRINTF (7, 8)
static void
complain (Reader *reader, guint code, const ZmLine *line, guint column, const char *expected,
          const char *todo, const char *what, ...)
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
  g_free (mapping); /* the other texts stand behind it, in the same block */
}

/* ---- values ---- */

static gboolean
symbol_ok (ZmSpan symbol)
{
  for (gsize i = 0; i < symbol.size; i++)
    if (!g_ascii_isalpha (symbol.data[i]) && symbol.data[i] != '_' &&
        (i == 0 || !g_ascii_isdigit (symbol.data[i])))
      return FALSE;
  return symbol.size > 0;
}

static guint
column_in (const ZmLine *line, const char *at)
{
  return line->value_column + (guint) g_utf8_strlen (line->value, at - line->value);
}

/* The plugin's dotted name: each part is a file or folder name, so that no mapping can leave the plugin path. */
static gboolean
check_plugin (Reader *reader, const ZmLine *line, ZmSpan plugin)
{
  const char *end = plugin.data + plugin.size;

  for (const char *at = plugin.data; at != NULL;) {
    const char *dot = memchr (at, '.', (gsize) (end - at));
    ZmSpan part = zm_span (at, (gsize) ((dot != NULL ? dot : end) - at));
    g_autoptr (GError) error = NULL;
    guint column = 1;

    if (part.size == 0) {
      complain (reader, ZM_CODE_BAD_TARGET, line, column_in (line, at), EXPECTED_VALUE, NULL,
                "\"%s\" has an empty part between its dots", line->value);
      return FALSE;
    }
    if (!zm_name_check (part, &column, &error)) {
      complain (reader, ZM_CODE_BAD_TARGET, line, column_in (line, at) + MAX (column, 1) - 1, EXPECTED_VALUE,
                "a plugin is named by its file below the plugin path, with dots for folders",
                "\"%s\" is no action: %s", line->value, zm_routing_plain_text (error));
      return FALSE;
    }
    at = dot != NULL ? dot + 1 : NULL;
  }
  return TRUE;
}

static gboolean
check_worker (Reader *reader, const ZmLine *line, ZmSpan worker)
{
  g_autoptr (GError) error = NULL;
  guint column = 1;

  if (worker.size > 0 && zm_name_check (worker, &column, &error))
    return TRUE;
  complain (reader, ZM_CODE_BAD_TARGET, line, column_in (line, worker.data) + MAX (column, 1) - 1,
            "worker:NAME with the NAME of a section [worker NAME]", NULL, "\"%s\" names no worker%s%s",
            line->value, error != NULL ? ": " : "", error != NULL ? zm_routing_plain_text (error) : "");
  return FALSE;
}

/* Cuts "plugin.symbol" or "worker:NAME". */
static gboolean
read_value (Reader *reader, const ZmLine *line, ZmSpan *plugin, ZmSpan *symbol, ZmSpan *worker)
{
  ZmSpan value = zm_span_text (line->value);
  const char *dot = strrchr (line->value, '.');

  *plugin = *symbol = *worker = zm_span (NULL, 0);
  if (value.size == 0) {
    complain (reader, ZM_CODE_BAD_TARGET, line, line->value_column, EXPECTED_VALUE, NULL,
              "key without a value");
    return FALSE;
  }
  if (g_str_has_prefix (line->value, "worker:")) {
    *worker = zm_span (value.data + strlen ("worker:"), value.size - strlen ("worker:"));
    return check_worker (reader, line, *worker);
  }
  if (dot == NULL) {
    complain (reader, ZM_CODE_BAD_TARGET, line, line->value_column, EXPECTED_VALUE,
              "put the plugin's name in front", "\"%s\" names no plugin", line->value);
    return FALSE;
  }
  *plugin = zm_span (value.data, (gsize) (dot - value.data));
  *symbol = zm_span_text (dot + 1);
  if (!check_plugin (reader, line, *plugin))
    return FALSE;
  if (symbol_ok (*symbol))
    return TRUE;
  complain (reader, ZM_CODE_BAD_SYMBOL_NAME, line, column_in (line, symbol->data), "the name of a C function",
            strchr (symbol->data, '#') != NULL ? "put comments on lines of their own"
                                               : "use letters, digits and '_', no digit first",
            symbol->size > 0 ? "\"%s\" is no symbol" : "the value ends in a dot%s", symbol->data);
  return FALSE;
}

/* ---- mappings ---- */

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

static gboolean
read_key (Reader *reader, const ZmLine *line, const char *text, guint at, ZmKey *key)
{
  g_autoptr (GError) error = NULL;
  guint column = 1;

  if (zm_key_parse (zm_span_text (text), key, &column, &error))
    return TRUE;
  complain (reader, ZM_CODE_BAD_KEY, line, at + MAX (column, 1) - 1, NULL, NULL,
            "\"%s\" is no action key: %s", text, zm_routing_plain_text (error));
  return FALSE;
}

static void
read_mapping (Reader *reader, const ZmLine *line)
{
  ZmSpan plugin, symbol, worker;
  ZmKey key;

  if (!read_key (reader, line, line->key, line->key_column, &key) ||
      !read_value (reader, line, &plugin, &symbol, &worker))
    return;
  g_ptr_array_add (reader->out, mapping_new (line, &key, plugin, symbol, worker));
}

/* ---- options ---- */

static const char *const option_names[] = { "isolation", "ordering", "retries", "timeout", NULL };
static const char *const ordering_names[] = { "none", "context", "key", NULL };
static const char *const isolation_names[] = { "thread", "process", "private", NULL };

static int
index_of (const char *word, const char *const *names)
{
  for (int i = 0; names[i] != NULL; i++)
    if (strcmp (word, names[i]) == 0)
      return i;
  return -1;
}

static char *
did_you_mean (const char *word, const char *const *names)
{
  const char *near_one = zm_suggest (word, names);

  return near_one != NULL ? g_strdup_printf ("did you mean %s?", near_one) : NULL;
}

static void
refuse_choice (Reader *reader, const ZmLine *line, const char *const *names)
{
  g_autofree char *expected = g_strjoinv (" or ", (char **) names);
  g_autofree char *todo = did_you_mean (line->value, names);

  complain (reader, ZM_CODE_BAD_VALUE, line, line->value_column, expected, todo,
            "%s = \"%s\" is none of the choices", line->key, line->value);
}

static void
set_timeout (Reader *reader, const ZmLine *line, ZmMapping *mapping)
{
  g_autoptr (GError) error = NULL;
  gint64 ms = 0;

  if (!zm_parse_duration (line->value, &ms, &error))
    complain (reader, ZM_CODE_BAD_VALUE, line, line->value_column, "a duration such as 500ms or 30s", NULL,
              "timeout = \"%s\" is no duration", line->value);
  else if (ms <= 0 || ms > 24 * 3600 * (gint64) 1000)
    complain (reader, ZM_CODE_OUT_OF_RANGE, line, line->value_column, "1ms to 1d", NULL,
              "timeout = \"%s\" is out of range", line->value);
  else
    mapping->timeout_ms = ms;
}

static void
set_retries (Reader *reader, const ZmLine *line, ZmMapping *mapping)
{
  if (!zm_parse_integer (line->value, 0, 1000, &mapping->retries, NULL))
    complain (reader, ZM_CODE_BAD_VALUE, line, line->value_column, "a number from 0 to 1000", NULL,
              "retries = \"%s\" is no such number", line->value);
}

static void
set_option (Reader *reader, const ZmLine *line, ZmMapping *mapping)
{
  int found;

  switch (index_of (line->key, option_names)) {
  case 0:
    if (index_of (line->value, isolation_names) < 0) {
      refuse_choice (reader, line, isolation_names);
      break;
    }
    g_free (mapping->isolation);
    mapping->isolation = g_strdup (line->value);
    break;
  case 1:
    found = index_of (line->value, ordering_names);
    if (found < 0)
      refuse_choice (reader, line, ordering_names);
    else
      mapping->ordering = found;
    break;
  case 2: set_retries (reader, line, mapping); break;
  case 3: set_timeout (reader, line, mapping); break;
  default: {
    g_autofree char *todo = did_you_mean (line->key, option_names);

    complain (reader, ZM_CODE_UNKNOWN_KEY, line, line->key_column, "timeout, ordering, retries or isolation",
              todo, "unknown option \"%s\"", line->key);
  }
  }
}

static char *
slug_of (const ZmKey *key)
{
  GString *slug = g_string_new (NULL);

  zm_key_append_slug (key, slug);
  return g_string_free (slug, FALSE);
}

static void
index_mappings (Reader *reader)
{
  reader->by_slug = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  for (guint i = reader->first; i < reader->out->len; i++) {
    ZmMapping *mapping = g_ptr_array_index (reader->out, i);

    g_hash_table_replace (reader->by_slug, slug_of (&mapping->key), mapping);
  }
}

/* "action KEY": the mapping that it is about, or NULL with the problem said. */
static ZmMapping *
find_target (Reader *reader, const ZmLine *line)
{
  const char *text = line->section + strlen ("action ");
  g_autofree char *slug = NULL;
  ZmMapping *mapping;
  ZmKey key;

  if (!read_key (reader, line, text, line->key_column + (guint) strlen ("action "), &key))
    return NULL;
  if (reader->by_slug == NULL)
    index_mappings (reader);
  slug = slug_of (&key);
  mapping = g_hash_table_lookup (reader->by_slug, slug);
  if (mapping == NULL)
    complain (reader, ZM_CODE_OPTIONS_WITHOUT_MAPPING, line, line->key_column,
              "the key of a mapping in this file", "correct the key, or add the mapping",
              "options for \"%s\", which nothing in this file maps", text);
  return mapping;
}

/* ---- files ---- */

static gboolean
is_action (const ZmLine *line)
{
  return g_str_has_prefix (line->section, "action ");
}

static void
check_section (Reader *reader, const ZmLine *line)
{
  static const char *const sections[] = { "actionmapping", "action KEY", NULL };
  g_autofree char *todo = NULL;

  if (strcmp (line->section, "action") == 0) {
    complain (reader, ZM_CODE_BAD_SECTION_LINE, line, line->key_column, "[action Sender?Context?Action]",
              "name the mapping's key", "[action] without a key");
    return;
  }
  todo = did_you_mean (line->section, sections);
  complain (reader, ZM_CODE_UNKNOWN_SECTION, line, line->key_column, "[actionmapping] or [action KEY]", todo,
            "unknown section \"%s\"", line->section);
}

static void
read_line (Reader *reader, const ZmLine *line, gboolean *told)
{
  gboolean mappings = strcmp (line->section, "actionmapping") == 0;

  if (line->key == NULL && !mappings && !is_action (line))
    check_section (reader, line);
  else if (line->key != NULL && mappings)
    read_mapping (reader, line);
  else if (line->key != NULL && line->section[0] == '\0' && !*told) {
    complain (reader, ZM_CODE_KEY_WITHOUT_SECTION, line, line->key_column, "[actionmapping] first",
              "put [actionmapping] above it", "\"%s\" stands outside of a section", line->key);
    *told = TRUE;
  }
}

static void
read_all (Reader *reader)
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
      target = find_target (reader, line);
    else if (target != NULL)
      set_option (reader, line, target);
  }
}

/* Takes lines. */
static void
read_lines (ZmLines *lines, GPtrArray *out, ZmProblems *problems)
{
  Reader reader = { .lines = lines, .problems = problems, .out = out, .first = out->len };

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
