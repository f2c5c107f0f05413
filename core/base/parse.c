/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Durations, sizes, numbers and truth values as people write them in files and on command lines. */
#include "config.h"

#include "base/zm-base.h"

#include <errno.h>
#include <string.h>

#define DURATION_MOST_MS (G_GINT64_CONSTANT (100000) * 86400 * 1000) /* as microseconds it still fits */

typedef struct Unit {
  const char *name; /* as written behind the number */
  guint64 factor;   /* how many of the smallest unit it is */
} Unit;

/* The text is quoted, made printable and short: it may come from a peer. FALSE always. */
static gboolean
invalid (GError **error, const char *text, const char *wanted)
{
  g_autofree char *shown = zm_printable (zm_span_text (text), 64);

  g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID, "\"%s\" is not %s", shown, wanted);
  return FALSE;
}

/* Digits and a unit of the table, without sign or blanks; FALSE where it is anything else or over most. */
static gboolean
scale (const char *text, const Unit *units, guint64 most, guint64 *value)
{
  guint64 number = 0;
  const char *at = text;

  for (; g_ascii_isdigit (*at); at++) {
    if (number > (most - (guint64) (*at - '0')) / 10)
      return FALSE;
    number = number * 10 + (guint64) (*at - '0');
  }
  if (at == text)
    return FALSE;
  for (; units->name != NULL; units++)
    if (strcmp (at, units->name) == 0)
      break;
  if (units->name == NULL || number > most / units->factor)
    return FALSE;
  *value = number * units->factor;
  return TRUE;
}

/* A bare number is seconds, as people think of timeouts; milliseconds must say so. */
gboolean
zm_parse_duration (const char *text, gint64 *milliseconds, GError **error)
{
  static const Unit units[] = { { "ms", 1 },      { "s", 1000 },     { "", 1000 }, { "m", 60000 },
                                { "h", 3600000 }, { "d", 86400000 }, { NULL, 0 } };
  guint64 value;

  if (!scale (text, units, DURATION_MOST_MS, &value))
    return invalid (error, text,
                    "a duration; write a whole number with ms, s, m, h or d, at most 100000d, as in 30s");
  *milliseconds = (gint64) value;
  return TRUE;
}

/* Powers of 1,024 only: k and K are the same. */
gboolean
zm_parse_size (const char *text, guint64 *bytes, GError **error)
{
  static const Unit units[] = { { "", 1 },        { "k", 1 << 10 }, { "K", 1 << 10 },
                                { "M", 1 << 20 }, { "G", 1 << 30 }, { NULL, 0 } };

  if (!scale (text, units, G_MAXINT64, bytes))
    return invalid (error, text,
                    "a size in bytes; write a whole number, with k, M or G for powers of 1024, as in 64k");
  return TRUE;
}

/* What is no number and what is one out of range are different errors, as their cures are. */
gboolean
zm_parse_integer (const char *text, gint64 least, gint64 most, gint64 *value, GError **error)
{
  g_autofree char *shown = NULL;
  char *end = NULL;
  gint64 number;

  /* strtoll would take blanks and a plus sign. */
  if (!g_ascii_isdigit (*text) && !(*text == '-' && g_ascii_isdigit (text[1])))
    return invalid (error, text, "a whole number");
  errno = 0;
  number = g_ascii_strtoll (text, &end, 10);
  if (*end != '\0')
    return invalid (error, text, "a whole number");
  if (errno == 0 && number >= least && number <= most) {
    *value = number;
    return TRUE;
  }
  shown = zm_printable (zm_span_text (text), 64);
  g_set_error (error, ZM_ERROR, ZM_ERROR_LIMIT,
               "%s is out of range; it must be from %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT, shown, least,
               most);
  return FALSE;
}

/* Only the words that are told to be right: `y` or `enabled` would be guesses. */
gboolean
zm_parse_boolean (const char *text, gboolean *value, GError **error)
{
  static const char *const words[][2] = {
    { "no", "yes" }, { "false", "true" }, { "off", "on" }, { "0", "1" }
  };

  for (guint i = 0; i < G_N_ELEMENTS (words); i++)
    for (int truth = 0; truth <= 1; truth++)
      if (strcmp (text, words[i][truth]) == 0) {
        *value = truth;
        return TRUE;
      }
  return invalid (error, text, "yes or no");
}
