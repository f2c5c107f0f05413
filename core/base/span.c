/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Borrowed bytes, text of peers made printable, the rooms' error domain and the two clocks.
 *
 * Spans are compared and hashed on the way of every message, so both take whole words; the hash needs to be fast and to spread
 * well, and keeps no secret.
 */
#include "config.h"

#include "base/zm-base.h"

#include <string.h>
#include <time.h>

G_DEFINE_QUARK (zm - error - quark, zm_error)

ZmSpan
zm_span_text (const char *text)
{
  return zm_span (text, text != NULL ? strlen (text) : 0);
}

/* Two empty spans are equal, whether or not they have an address; memcmp does not like NULL even for no bytes. */
gboolean
zm_span_equal (ZmSpan a, ZmSpan b)
{
  return a.size == b.size && (a.size == 0 || memcmp (a.data, b.data, a.size) == 0);
}

gboolean
zm_span_is (ZmSpan span, const char *text)
{
  return zm_span_equal (span, zm_span_text (text));
}

char *
zm_span_dup (ZmSpan span)
{
  char *text = g_malloc (span.size + 1);

  if (span.size > 0)
    memcpy (text, span.data, span.size);
  text[span.size] = '\0';
  return text;
}

/* ---- hash: the two halves of a 128-bit product, folded, for each 16 bytes ---- */

/* Any odd numbers with about as many ones as zeros do. */
#define HASH_A G_GUINT64_CONSTANT (0xa0761d6478bd642f)
#define HASH_B G_GUINT64_CONSTANT (0xe7037ed1a0b428db)

/* All bits of the product come together in 64: one multiplication mixes 16 bytes. */
static inline guint64
fold (guint64 a, guint64 b)
{
  __extension__ unsigned __int128 product = (unsigned __int128) a * b;

  return (guint64) product ^ (guint64) (product >> 64);
}

/* memcpy is how C reads a word from anywhere; compilers make one instruction of it. */
static inline guint64
load8 (const char *at)
{
  guint64 word;

  memcpy (&word, at, sizeof word);
  return word;
}

static inline guint64
load4 (const char *at)
{
  guint32 word;

  memcpy (&word, at, sizeof word);
  return word;
}

/* The last 1 to 16 bytes: two words that overlap where there are fewer, so that no byte is read one by one. */
static inline guint64
fold_rest (const char *at, gsize left, guint64 hash)
{
  if (left >= 8)
    return fold (load8 (at) ^ HASH_B, load8 (at + left - 8) ^ hash);
  if (left >= 4)
    return fold (load4 (at) ^ HASH_B, load4 (at + left - 4) ^ hash);
  return fold ((guint64) (guchar) at[0] << 16 ^ (guint64) (guchar) at[left / 2] << 8 ^ (guchar) at[left - 1] ^
                   HASH_B,
               hash);
}

/* Each round takes the hash so far into the product, so that the order of the pieces counts. */
guint64
zm_span_hash (ZmSpan span)
{
  const char *at = span.data;
  gsize left = span.size;
  guint64 hash = HASH_A;

  for (; left > 16; at += 16, left -= 16)
    hash = fold (load8 (at) ^ HASH_B, load8 (at + 8) ^ hash);
  if (left > 0)
    hash = fold_rest (at, left, hash);
  /* The size keeps texts apart of which the words are the same. */
  return fold (hash ^ span.size, HASH_B);
}

/* ---- printable text ---- */

/* How many bytes of valid, printable UTF-8 stand at the start of text: one character's, or none. */
static gsize
printable_size (const char *at, gsize left)
{
  gunichar c;

  if ((guchar) *at < 0x80)
    return *at >= 0x20 && *at != 0x7f;
  c = g_utf8_get_char_validated (at, (gssize) left);
  /* The two are line ends to many who read lines, and printable to GLib. */
  if (c == (gunichar) -1 || c == (gunichar) -2 || !g_unichar_isprint (c) || c == 0x2028 || c == 0x2029)
    return 0;
  return (gsize) (g_utf8_next_char (at) - at);
}

/* Goes through the text character by character; each stands as it is, or as \xHH a byte. The cut falls between
 * characters, at the last place that left room for the dots. */
char *
zm_printable (ZmSpan text, gsize most)
{
  GString *out = g_string_sized_new (MIN (text.size, most) + 1);
  gsize dots_at = 0; /* the last place where "..." still fits */

  for (gsize i = 0; i < text.size;) {
    gsize size = printable_size (text.data + i, text.size - i);
    gsize need = size > 0 ? size : 4;

    if (out->len + 3 <= most)
      dots_at = out->len;
    if (out->len + need > most) {
      if (most >= 3)
        g_string_append (g_string_truncate (out, dots_at), "...");
      break;
    }
    if (size > 0)
      g_string_append_len (out, text.data + i, (gssize) size);
    else
      g_string_append_printf (out, "\\x%02x", (guint) (guchar) text.data[i]);
    i += MAX (size, 1);
  }
  return g_string_free (out, FALSE);
}

/* ---- clocks ---- */

static gint64
clock_us (clockid_t clock)
{
  struct timespec now;

  clock_gettime (clock, &now);
  return (gint64) now.tv_sec * G_USEC_PER_SEC + now.tv_nsec / 1000;
}

gint64
zm_now_us (void)
{
  return clock_us (CLOCK_MONOTONIC);
}

gint64
zm_wall_us (void)
{
  return clock_us (CLOCK_REALTIME);
}
