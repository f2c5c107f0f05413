/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * JSON text without a tree: written, checked, one member looked up. Every byte is read once; nothing is allocated but results.
 *
 * Headers and control requests are small and asked for one or two members, and results are only to be known as valid: a tree
 * would be built to be thrown away. The scan_… functions take one thing each from the front of the text and say whether it was
 * well formed; after FALSE the place means nothing. They are strict (RFC 8259): what other readers of the same text might
 * understand otherwise is refused.
 */
#include "config.h"

#include "base/zm-base.h"

#include <string.h>

#define DEPTH_MOST 64

typedef struct Scanner {
  const char *at; /* what is not read yet */
  const char *end;
} Scanner;

/* ---- writing ---- */

/* The short form where JSON has one; backspace and form feed are left to \u, as nobody writes them. */
static void
append_control (GString *out, guint c)
{
  switch (c) {
  case '\n': g_string_append (out, "\\n"); break;
  case '\r': g_string_append (out, "\\r"); break;
  case '\t': g_string_append (out, "\\t"); break;
  default: g_string_append_printf (out, "\\u%04x", c); break;
  }
}

/* Appends what stands at `at`, which is no plain ASCII; returns how many bytes that was. */
static gsize
append_special (GString *out, const char *at, gsize left)
{
  gunichar c;
  gsize size;

  if (*at == '"' || *at == '\\') {
    g_string_append_c (g_string_append_c (out, '\\'), *at);
    return 1;
  }
  if ((guchar) *at < 0x20 || *at == 0x7f) {
    append_control (out, (guchar) *at);
    return 1;
  }
  c = g_utf8_get_char_validated (at, (gssize) left);
  if (c == (gunichar) -1 || c == (gunichar) -2) {
    g_string_append (out, "\xef\xbf\xbd");
    return 1;
  }
  size = (gsize) (g_utf8_next_char (at) - at);
  /* Terminals obey the second block of control characters as well. */
  if (c < 0xa0)
    append_control (out, c);
  else
    g_string_append_len (out, at, (gssize) size);
  return size;
}

static inline gboolean
is_plain (guchar c)
{
  return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* Runs of plain ASCII are copied whole; only what is special is looked at byte by byte. The result is always valid JSON
 * in plain sight: invalid UTF-8 becomes U+FFFD, and no control character reaches a terminal. */
void
zm_json_append_string (GString *out, ZmSpan text)
{
  gsize i = 0;

  g_string_append_c (out, '"');
  while (i < text.size) {
    gsize start = i;

    while (i < text.size && is_plain ((guchar) text.data[i]))
      i++;
    g_string_append_len (out, text.data + start, (gssize) (i - start));
    if (i < text.size)
      i += append_special (out, text.data + i, text.size - i);
  }
  g_string_append_c (out, '"');
}

/* ---- scanning ---- */

static void
skip_blanks (Scanner *scanner)
{
  while (scanner->at < scanner->end &&
         (*scanner->at == ' ' || *scanner->at == '\n' || *scanner->at == '\r' || *scanner->at == '\t'))
    scanner->at++;
}

static gboolean
take_char (Scanner *scanner, char c)
{
  if (scanner->at == scanner->end || *scanner->at != c)
    return FALSE;
  scanner->at++;
  return TRUE;
}

/* The four digits of \uXXXX, or -1. */
static gint32
take_hex (Scanner *scanner)
{
  gint32 value = 0;

  if (scanner->end - scanner->at < 4)
    return -1;
  for (int i = 0; i < 4; i++) {
    int digit = g_ascii_xdigit_value (*scanner->at++);

    if (digit < 0)
      return -1;
    value = value << 4 | digit;
  }
  return value;
}

/* What follows "\u": one character, from two escapes where it is a surrogate pair; -1 where it is none. */
static gint32
take_unicode (Scanner *scanner)
{
  gint32 high = take_hex (scanner), low;

  if (high < 0xd800 || high > 0xdfff)
    return high;
  if (high > 0xdbff || !take_char (scanner, '\\') || !take_char (scanner, 'u'))
    return -1;
  low = take_hex (scanner);
  if (low < 0xdc00 || low > 0xdfff)
    return -1;
  return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
}

/* What follows a backslash. */
static gboolean
scan_escape (Scanner *scanner)
{
  if (scanner->at == scanner->end)
    return FALSE;
  if (*scanner->at++ == 'u')
    return take_unicode (scanner) >= 0;
  return strchr ("\"\\/bfnrt", scanner->at[-1]) != NULL && scanner->at[-1] != '\0';
}

/* UTF-8 is checked for the string as a whole, and only where there was a byte beyond ASCII. */
static gboolean
scan_string (Scanner *scanner)
{
  const char *start = scanner->at;
  gboolean ascii = TRUE;

  if (!take_char (scanner, '"'))
    return FALSE;
  while (scanner->at < scanner->end) {
    guchar c = (guchar) *scanner->at++;

    if (c == '"')
      return ascii || g_utf8_validate_len (start, (gsize) (scanner->at - start), NULL);
    if (c < 0x20 || (c == '\\' && !scan_escape (scanner)))
      return FALSE;
    ascii = ascii && c < 0x80;
  }
  return FALSE;
}

/* At least one. */
static gboolean
scan_digits (Scanner *scanner)
{
  const char *start = scanner->at;

  while (scanner->at < scanner->end && g_ascii_isdigit (*scanner->at))
    scanner->at++;
  return scanner->at > start;
}

/* As RFC 8259 has it: no leading zeros, no plus sign, digits on both sides of the point. */
static gboolean
scan_number (Scanner *scanner)
{
  take_char (scanner, '-');
  if (!take_char (scanner, '0') && !scan_digits (scanner))
    return FALSE;
  if (take_char (scanner, '.') && !scan_digits (scanner))
    return FALSE;
  if (take_char (scanner, 'e') || take_char (scanner, 'E')) {
    if (!take_char (scanner, '+'))
      take_char (scanner, '-');
    return scan_digits (scanner);
  }
  return TRUE;
}

static gboolean
scan_word (Scanner *scanner, const char *word)
{
  gsize size = strlen (word);

  if ((gsize) (scanner->end - scanner->at) < size || memcmp (scanner->at, word, size) != 0)
    return FALSE;
  scanner->at += size;
  return TRUE;
}

static gboolean scan_value (Scanner *scanner, guint depth);

/* The name of a member, with its colon. */
static gboolean
scan_name (Scanner *scanner)
{
  skip_blanks (scanner);
  if (!scan_string (scanner))
    return FALSE;
  skip_blanks (scanner);
  return take_char (scanner, ':');
}

/* An array or object, whose opening bracket has been taken. */
static gboolean
scan_members (Scanner *scanner, char close, guint depth)
{
  skip_blanks (scanner);
  if (take_char (scanner, close))
    return TRUE;
  do {
    if (close == '}' && !scan_name (scanner))
      return FALSE;
    if (!scan_value (scanner, depth))
      return FALSE;
    skip_blanks (scanner);
  } while (take_char (scanner, ','));
  return take_char (scanner, close);
}

/* depth: how many arrays and objects may still be opened. The recursion is bounded by it, so that a text of nothing but
 * brackets cannot use up a thread's stack. */
static gboolean
scan_value (Scanner *scanner, guint depth)
{
  skip_blanks (scanner);
  if (scanner->at == scanner->end)
    return FALSE;
  switch (*scanner->at) {
  case '{':
  case '[':
    scanner->at++;
    return depth > 0 && scan_members (scanner, scanner->at[-1] == '{' ? '}' : ']', depth - 1);
  case '"': return scan_string (scanner);
  case 't': return scan_word (scanner, "true");
  case 'f': return scan_word (scanner, "false");
  case 'n': return scan_word (scanner, "null");
  default: return scan_number (scanner);
  }
}

/* Used for results before they are put into other JSON text: one that passes cannot break what is around it. */
gboolean
zm_json_valid (ZmSpan text)
{
  Scanner scanner = { text.data, zm_span_end (text) };

  if (text.size == 0 || !scan_value (&scanner, DEPTH_MOST))
    return FALSE;
  skip_blanks (&scanner);
  return scanner.at == scanner.end;
}

/* ---- reading ---- */

/* raw with its quotes. Names with escapes are rare, and only they are made into a text. */
static gboolean
name_is (ZmSpan raw, const char *name)
{
  g_autofree char *text = NULL;

  if (memchr (raw.data, '\\', raw.size) == NULL)
    return zm_span_is (zm_span (raw.data + 1, raw.size - 2), name);
  text = zm_json_text (raw);
  return text != NULL && strcmp (text, name) == 0;
}

/* Stops at the member that was asked for; what is behind it is not read. Headers are looked up with it, so it is the
 * order of the sender that decides what a look-up costs. */
gboolean
zm_json_member (ZmSpan object, const char *name, ZmSpan *value)
{
  Scanner scanner = { object.data, zm_span_end (object) };

  skip_blanks (&scanner);
  if (!take_char (&scanner, '{'))
    return FALSE;
  do {
    ZmSpan found;
    const char *start;

    skip_blanks (&scanner);
    start = scanner.at;
    if (!scan_string (&scanner))
      return FALSE;
    found = zm_span (start, (gsize) (scanner.at - start));
    skip_blanks (&scanner);
    if (!take_char (&scanner, ':'))
      return FALSE;
    skip_blanks (&scanner);
    start = scanner.at;
    if (!scan_value (&scanner, DEPTH_MOST - 1))
      return FALSE;
    if (name_is (found, name)) {
      *value = zm_span (start, (gsize) (scanner.at - start));
      return TRUE;
    }
    skip_blanks (&scanner);
  } while (take_char (&scanner, ','));
  return FALSE;
}

/* What follows a backslash, in a string that scan_string has found good: so nothing is checked here again. */
static void
append_unescaped (GString *out, Scanner *scanner)
{
  static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
  char c = *scanner->at++;
  const char *found;

  if (c == 'u') {
    gint32 unicode = take_unicode (scanner);

    /* A NUL would end the C text early. */
    g_string_append_unichar (out, unicode > 0 ? (gunichar) unicode : 0xfffd);
    return;
  }
  found = strchr (from, c);
  g_string_append_c (out, found != NULL ? to[found - from] : c);
}

/* raw may come from anywhere: it is checked as a whole before it is read. */
char *
zm_json_text (ZmSpan raw)
{
  Scanner scanner = { raw.data, zm_span_end (raw) };
  GString *out;

  if (raw.size == 0)
    return NULL;
  if (*raw.data != '"')
    return scan_number (&scanner) && scanner.at == scanner.end ? zm_span_dup (raw) : NULL;
  if (!scan_string (&scanner) || scanner.at != scanner.end)
    return NULL;
  out = g_string_sized_new (raw.size);
  scanner = (Scanner){ raw.data + 1, raw.data + raw.size - 1 };
  while (scanner.at < scanner.end) {
    char c = *scanner.at++;

    if (c == '\\')
      append_unescaped (out, &scanner);
    else
      g_string_append_c (out, c);
  }
  return g_string_free (out, FALSE);
}
