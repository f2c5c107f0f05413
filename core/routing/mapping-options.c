/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The options of one mapping, in a section `[action KEY]` of its own. */
#include "config.h"

#include "routing/mapping-read.h"

#include <string.h>

static const char *const option_names[] = { "isolation", "ordering", "retries", "timeout", NULL };
static const char *const ordering_names[] = { "none", "context", "key", NULL };
static const char *const isolation_names[] = { "thread", "process", "private", NULL };

/* -1: none of them. */
static int
index_of (const char *word, const char *const *names)
{
  for (int i = 0; names[i] != NULL; i++)
    if (strcmp (word, names[i]) == 0)
      return i;
  return -1;
}

char *
zm_mapping_reader_suggest (const char *word, const char *const *names)
{
  const char *near_one = zm_suggest (word, names);

  return near_one != NULL ? g_strdup_printf ("did you mean %s?", near_one) : NULL;
}

/* Names all choices, and the near one. */
static void
refuse_choice (ZmMappingReader *reader, const ZmLine *line, const char *const *names)
{
  g_autofree char *expected = g_strjoinv (" or ", (char **) names);
  g_autofree char *todo = zm_mapping_reader_suggest (line->value, names);

  zm_mapping_reader_complain (reader, ZM_CODE_BAD_VALUE, line, line->value_column, expected, todo,
                              "%s = \"%s\" is none of the choices", line->key, line->value);
}

/* The upper bound is that of a call on the wire: a day. */
static void
set_timeout (ZmMappingReader *reader, const ZmLine *line, ZmMapping *mapping)
{
  g_autoptr (GError) error = NULL;
  gint64 ms = 0;

  if (!zm_parse_duration (line->value, &ms, &error))
    zm_mapping_reader_complain (reader, ZM_CODE_BAD_VALUE, line, line->value_column,
                                "a duration such as 500ms or 30s", NULL, "timeout = \"%s\" is no duration",
                                line->value);
  else if (ms <= 0 || ms > 24 * 3600 * (gint64) 1000)
    zm_mapping_reader_complain (reader, ZM_CODE_OUT_OF_RANGE, line, line->value_column, "1ms to 1d", NULL,
                                "timeout = \"%s\" is out of range", line->value);
  else
    mapping->timeout_ms = ms;
}

void
zm_mapping_set_retries (ZmMapping *mapping, gint64 retries, const char *policy)
{
  g_free (mapping->policy);
  mapping->retries = retries;
  mapping->policy = g_strdup (policy);
}

/* A volatile message is never tried again; a policy is read by the room that does it. */
static void
set_retries (ZmMappingReader *reader, const ZmLine *line, ZmMapping *mapping)
{
  gint64 retries = -1;

  if (*line->value == '{') {
    zm_mapping_set_retries (mapping, -1, line->value);
    mapping->policy_line = line->line;
    mapping->policy_column = line->value_column;
  } else if (zm_parse_integer (line->value, 0, 1000, &retries, NULL)) {
    zm_mapping_set_retries (mapping, retries, NULL);
  } else {
    zm_mapping_reader_complain (reader, ZM_CODE_BAD_VALUE, line, line->value_column,
                                "a number from 0 to 1000, or a retry policy", NULL,
                                "retries = \"%s\" is neither", line->value);
  }
}

void
zm_mapping_set_isolation (ZmMapping *mapping, const char *isolation)
{
  g_free (mapping->isolation);
  mapping->isolation = g_strdup (isolation);
}

/* A later line of the same option replaces the earlier one, as everywhere. */
void
zm_mapping_reader_option (ZmMappingReader *reader, const ZmLine *line, ZmMapping *mapping)
{
  int found;

  switch (index_of (line->key, option_names)) {
  case 0:
    if (index_of (line->value, isolation_names) < 0) {
      refuse_choice (reader, line, isolation_names);
      break;
    }
    zm_mapping_set_isolation (mapping, line->value);
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
    g_autofree char *todo = zm_mapping_reader_suggest (line->key, option_names);

    zm_mapping_reader_complain (reader, ZM_CODE_UNKNOWN_KEY, line, line->key_column,
                                "timeout, ordering, retries or isolation", todo, "unknown option \"%s\"",
                                line->key);
  }
  }
}

/* One text for each key, however it was written. The caller frees. */
static char *
slug_of (const ZmKey *key)
{
  GString *slug = g_string_new (NULL);

  zm_key_append_slug (key, slug);
  return g_string_free (slug, FALSE);
}

/* Made once a file, and only for files that have such sections: most have none. */
static void
index_mappings (ZmMappingReader *reader)
{
  reader->by_slug = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  for (guint i = reader->first; i < reader->out->len; i++) {
    ZmMapping *mapping = g_ptr_array_index (reader->out, i);

    g_hash_table_replace (reader->by_slug, slug_of (&mapping->key), mapping);
  }
}

/* Only mappings of the same file: options in one file for a mapping in another would silently stop to count when
 * that is replaced. */
ZmMapping *
zm_mapping_reader_target (ZmMappingReader *reader, const ZmLine *line)
{
  const char *text = line->section + strlen ("action ");
  g_autofree char *slug = NULL;
  ZmMapping *mapping;
  ZmKey key;

  if (!zm_mapping_reader_key (reader, line, text, line->key_column + (guint) strlen ("action "), &key))
    return NULL;
  if (reader->by_slug == NULL)
    index_mappings (reader);
  slug = slug_of (&key);
  mapping = g_hash_table_lookup (reader->by_slug, slug);
  if (mapping == NULL)
    zm_mapping_reader_complain (reader, ZM_CODE_OPTIONS_WITHOUT_MAPPING, line, line->key_column,
                                "the key of a mapping in this file", "correct the key, or add the mapping",
                                "options for \"%s\", which nothing in this file maps", text);
  return mapping;
}
