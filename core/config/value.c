/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a value may be, and the words for one that is not. */
#include "config.h"

#include "config/config-private.h"

#include "base/zm-codes.h"

#include <math.h>
#include <string.h>

/* By ZmValueType. */
static const char *const kinds[] = { "text",       "a whole number", "a number", "yes or no",
                                     "a duration", "a size",         "known" };

typedef enum { FITS, NO_SUCH, TOO_SMALL, TOO_LARGE } Verdict;

/* 30000 -> "30s", in the largest unit that leaves no rest. */
static char *
scaled (gint64 value, const char *const *units, const gint64 *factors)
{
  guint i = 0;

  while (units[i + 1] != NULL && value % factors[i] != 0)
    i++;
  return g_strdup_printf ("%" G_GINT64_FORMAT "%s", value / factors[i], units[i]);
}

static char *
bound_text (ZmValueType type, gint64 value)
{
  static const char *const times[] = { "d", "h", "m", "s", "ms", NULL };
  static const gint64 milliseconds[] = { 86400000, 3600000, 60000, 1000, 1 };
  static const char *const sizes[] = { "G", "M", "k", "", NULL };
  static const gint64 bytes[] = { 1 << 30, 1 << 20, 1 << 10, 1 };

  if (value == 0)
    return g_strdup ("0");
  if (type == ZM_TYPE_DURATION)
    return scaled (value, times, milliseconds);
  if (type == ZM_TYPE_SIZE)
    return scaled (value, sizes, bytes);
  return g_strdup_printf ("%" G_GINT64_FORMAT, value);
}

/* What would have been right, in words that can be typed in. */
static char *
expectation (const ZmValueRule *rule)
{
  static const char *const shape[] = {
    "", "", ", as in 0.5", "", ", as in 250ms, 30s, 5m, 2h", ", as in 4096, 64k, 16M", ""
  };
  g_autofree char *least = bound_text (rule->type, rule->least), *most = bound_text (rule->type, rule->most);

  if (rule->type == ZM_TYPE_CHOICE) {
    g_auto (GStrv) words = g_strsplit (rule->choices, "|", -1);
    g_autofree char *list = g_strjoinv (", ", words);

    return g_strdup_printf ("one of %s", list);
  }
  if (rule->least == 0 && rule->most == 0)
    return g_strdup_printf ("%s%s", kinds[rule->type], shape[rule->type]);
  return g_strdup_printf ("%s from %s to %s%s", kinds[rule->type], least, most, shape[rule->type]);
}

/* A choice that is nearly one of them, else the default as an example. */
static char *
advice_for (const ZmValueRule *rule, const char *text)
{
  if (rule->type == ZM_TYPE_CHOICE) {
    g_auto (GStrv) words = g_strsplit (rule->choices, "|", -1);
    const char *nearest = zm_suggest (text, (const char *const *) words);

    if (nearest != NULL)
      return g_strdup_printf ("did you mean \"%s\"?", nearest);
  }
  return rule->standard != NULL ? g_strdup_printf ("write for example %s = %s", rule->key, rule->standard)
                                : NULL;
}

/* strtod takes leading blanks and "inf"; neither is a number in a file. */
static gboolean
parse_number (const char *text)
{
  char *end = NULL;
  gdouble value = g_ascii_strtod (text, &end);

  return text[0] != '\0' && !g_ascii_isspace (text[0]) && *end == '\0' && isfinite (value);
}

/* The number of a choice is its place in the list, which the schema fixes. */
static gboolean
parse_choice (const char *choices, const char *text, gint64 *number)
{
  g_auto (GStrv) words = g_strsplit (choices, "|", -1);

  for (guint i = 0; words[i] != NULL; i++)
    if (strcmp (words[i], text) == 0) {
      *number = i;
      return TRUE;
    }
  return FALSE;
}

/* Bounds only where the schema has some; text has none. */
static Verdict
judge (const ZmValueRule *rule, const char *text, gint64 *number)
{
  gboolean good = TRUE, truth = FALSE;
  guint64 size = 0;

  switch (rule->type) {
  case ZM_TYPE_STRING: return FITS;
  case ZM_TYPE_NUMBER: return parse_number (text) ? FITS : NO_SUCH;
  case ZM_TYPE_CHOICE: return parse_choice (rule->choices, text, number) ? FITS : NO_SUCH;
  case ZM_TYPE_BOOLEAN:
    good = zm_parse_boolean (text, &truth, NULL);
    *number = truth;
    return good ? FITS : NO_SUCH;
  case ZM_TYPE_INTEGER: good = zm_parse_integer (text, G_MININT64, G_MAXINT64, number, NULL); break;
  case ZM_TYPE_DURATION: good = zm_parse_duration (text, number, NULL); break;
  case ZM_TYPE_SIZE:
    good = zm_parse_size (text, &size, NULL) && size <= G_MAXINT64;
    *number = (gint64) size;
    break;
  }
  if (!good)
    return NO_SUCH;
  if (rule->least == 0 && rule->most == 0)
    return FITS;
  return *number < rule->least ? TOO_SMALL : *number > rule->most ? TOO_LARGE : FITS;
}

/* One problem at the value's column. *number is left alone where it does not fit. */
gboolean
zm_config_value_check (const ZmValueRule *rule, const ZmEntry *entry, const ZmValue *value, const char *text,
                       gint64 *number, ZmProblems *problems)
{
  gint64 found = 0;
  Verdict verdict = judge (rule, text, &found);
  g_autofree char *expected = NULL, *advice = NULL, *what = NULL;
  const char *shown = atomic_load (&entry->secret) ? "***" : text;

  if (verdict == FITS) {
    *number = found;
    return TRUE;
  }
  expected = expectation (rule);
  advice = advice_for (rule, text);
  if (text[0] == '\0')
    what = g_strdup ("no value");
  else if (verdict == NO_SUCH)
    what = g_strdup_printf ("\"%s\" is not %s", shown, kinds[rule->type]);
  else
    what = g_strdup_printf ("\"%s\" is too %s", shown, verdict == TOO_SMALL ? "small" : "large");
  zm_problems_add (problems, ZM_PROBLEM_ERROR, verdict == NO_SUCH ? ZM_CODE_BAD_VALUE : ZM_CODE_OUT_OF_RANGE,
                   value->file, value->line, value->column, expected, advice, "[%s] %s: %s", entry->section,
                   entry->key, what);
  return FALSE;
}

/* No escapes: what stands in the file is what counts, as everywhere in these files. */
char **
zm_config_value_split (const char *text)
{
  g_autoptr (GPtrArray) items = g_ptr_array_new_with_free_func (g_free);

  while (*(text += strspn (text, " \t")) != '\0') {
    gboolean quoted = *text == '"';
    gsize size;

    text += quoted;
    size = strcspn (text, quoted ? "\"" : " \t");
    if (quoted && text[size] == '\0')
      return NULL;
    g_ptr_array_add (items, g_strndup (text, size));
    text += size + quoted;
  }
  g_ptr_array_add (items, NULL);
  g_ptr_array_set_free_func (items, NULL);
  return (char **) g_ptr_array_free (g_steal_pointer (&items), FALSE);
}
