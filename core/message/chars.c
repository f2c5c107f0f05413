/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Character classes by one table for ASCII; letters and digits of other scripts by GLib's tables. */
#include "config.h"

#include "message/chars.h"

#include <stdarg.h>
#include <string.h>

#define WORD 1 /* letters, digits, '_', '-', '^' */
#define ID   2 /* letters, digits, '_', '.', ':', '-' */

/* Sixteen characters a row; everything beyond ASCII is 0. */
static const guint8 classes[256] = {
  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 2, 0, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 2, 0, 0, 0, 0, 0,
  0, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 0, 0, 0, 1, 3,
  0, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 0, 0, 0, 0, 0,
};

/* The size of the letter or digit beyond ASCII that stands at `at`; 0: it is none. */
static gsize
letter_size (const char *at, const char *end)
{
  gunichar c;

  if ((guchar) *at < 0x80)
    return 0;
  c = g_utf8_get_char_validated (at, end - at);
  if (c == (gunichar) -1 || c == (gunichar) -2 || !g_unichar_isalnum (c))
    return 0;
  return (gsize) (g_utf8_next_char (at) - at);
}

/* ASCII in an inner loop of one look-up a byte, which is all that most texts ever see; GLib decides about the rest. */
gsize
zm_chars_word (const char *at, const char *end)
{
  const char *start = at;

  for (;;) {
    gsize size;

    while (at < end && (classes[(guchar) *at] & WORD) != 0)
      at++;
    if (at == end || (size = letter_size (at, end)) == 0)
      return (gsize) (at - start);
    at += size;
  }
}

gsize
zm_chars_id (const char *at, const char *end)
{
  const char *start = at;

  while (at < end && (classes[(guchar) *at] & ID) != 0)
    at++;
  return (gsize) (at - start);
}

/* Counted anew from the start: only errors ask. */
guint
zm_chars_column (ZmSpan text, const char *at)
{
  guint column = 1;

  for (const char *p = text.data; p < at; column++) {
    gunichar c = g_utf8_get_char_validated (p, at - p);

    p = c == (gunichar) -1 || c == (gunichar) -2 ? p + 1 : g_utf8_next_char (p);
  }
  return column;
}

/* error NULL: only the column is wanted, and no text is made. */
gboolean
zm_chars_error (ZmSpan text, const char *at, guint *column, GError **error, const char *what, ...)
{
  guint where = zm_chars_column (text, at);
  g_autofree char *said = NULL;
  va_list arguments;

  if (column != NULL)
    *column = where;
  if (error == NULL)
    return FALSE;
  va_start (arguments, what);
  said = g_strdup_vprintf (what, arguments);
  va_end (arguments);
  g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID, "column %u: %s", where, said);
  return FALSE;
}

/* A character that cannot be seen is named by its number, one that can is shown: nothing of a peer's goes into a log or
 * a terminal as it came. */
gboolean
zm_chars_refuse (ZmSpan text, const char *at, const char *where, const char *allowed, guint *column,
                 GError **error)
{
  gsize left = text.size - (gsize) (at - text.data);
  gunichar c = *at == '\0' ? 0 : g_utf8_get_char_validated (at, (gssize) left);
  g_autofree char *shown = NULL;

  if (c == (gunichar) -1 || c == (gunichar) -2)
    return zm_chars_error (text, at, column, error, "byte 0x%02x is no UTF-8 text", (guint) (guchar) *at);
  if (g_unichar_isspace (c))
    return zm_chars_error (text, at, column, error, "white space is not allowed in %s", where);
  if (!g_unichar_isprint (c))
    return zm_chars_error (text, at, column, error, "control character U+%04X is not allowed in %s", c,
                           where);
  shown = zm_span_dup (zm_span (at, (gsize) (g_utf8_next_char (at) - at)));
  return zm_chars_error (text, at, column, error, "'%s' is not allowed in %s; use %s", shown, where, allowed);
}
