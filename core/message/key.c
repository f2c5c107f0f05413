/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Action keys: `Sender?Context@Decorator?Action`. */
#include "config.h"

#include "message/chars.h"
#include "message/zm-key.h"

/* ---- parsing ---- */

/* The text and where the errors go. */
typedef struct KeyReader {
  ZmSpan text;    /* the whole, to count columns from */
  const char *at; /* what is not taken yet */
  const char *end;
  guint *column; /* or NULL */
  GError **error;
} KeyReader;

/* Takes one part; what ends it is looked at by the caller. */
static gboolean
take_part (KeyReader *reader, const char *name, ZmSpan *part)
{
  *part = zm_span (reader->at, zm_chars_word (reader->at, reader->end));
  if (part->size > ZM_PART_MOST)
    return zm_chars_error (reader->text, part->data, reader->column, reader->error,
                           "the %s is longer than %d bytes", name, ZM_PART_MOST);
  reader->at += part->size;
  return TRUE;
}

/* Looks without taking. */
static gboolean
is_next (const KeyReader *reader, char c)
{
  return reader->at < reader->end && *reader->at == c;
}

/* What stands here is no character of a key: the error names it. */
static gboolean
refuse (const KeyReader *reader)
{
  return zm_chars_refuse (reader->text, reader->at, "an action key", ZM_CHARS_WORD_ALLOWED, reader->column,
                          reader->error);
}

#define FORM "Sender?Context@Decorator?Action"

/* Takes the '?' that must come now. Each way to get it wrong has its own words: these errors are read by people who
 * write their first mapping. */
static gboolean
take_question_mark (KeyReader *reader, const char *which)
{
  if (is_next (reader, '?')) {
    reader->at++;
    return TRUE;
  }
  if (reader->at == reader->end)
    return zm_chars_error (reader->text, reader->at, reader->column, reader->error,
                           "the key ends before its %s '?'; expected " FORM, which);
  if (*reader->at == '@')
    return zm_chars_error (reader->text, reader->at, reader->column, reader->error,
                           "this '@' is one too many; one decorator may follow the context: " FORM);
  return refuse (reader);
}

/* Nothing may follow. */
static gboolean
take_end (KeyReader *reader)
{
  if (reader->at == reader->end)
    return TRUE;
  if (*reader->at == '?')
    return zm_chars_error (reader->text, reader->at, reader->column, reader->error,
                           "a third '?'; nothing may follow the action: " FORM);
  if (*reader->at == '@')
    return zm_chars_error (reader->text, reader->at, reader->column, reader->error,
                           "'@' after the action; the decorator follows the context: " FORM);
  return refuse (reader);
}

/* From left to right, once; the parts point into the text. Empty parts are allowed anywhere: `??done` is a key. *key is
 * cleared first, so that it is never half of an older one. */
gboolean
zm_key_parse (ZmSpan text, ZmKey *key, guint *column, GError **error)
{
  KeyReader reader = { text, text.data, zm_span_end (text), column, error };

  *key = (ZmKey){ 0 };
  if (text.size == 0)
    return zm_chars_error (text, text.data, column, error, "the key is empty; expected " FORM);
  if (text.size > ZM_KEY_MOST)
    return zm_chars_error (text, text.data, column, error, "the key is longer than %d bytes", ZM_KEY_MOST);
  if (!take_part (&reader, "sender", &key->sender) || !take_question_mark (&reader, "first") ||
      !take_part (&reader, "context", &key->context))
    return FALSE;
  if (is_next (&reader, '@')) {
    reader.at++;
    if (!take_part (&reader, "decorator", &key->decorator))
      return FALSE;
  }
  return take_question_mark (&reader, "second") && take_part (&reader, "action", &key->action) &&
         take_end (&reader);
}

/* The same characters as a part of a key, but never empty: names become parts of topics. */
gboolean
zm_name_check (ZmSpan name, guint *column, GError **error)
{
  gsize good = zm_chars_word (name.data, zm_span_end (name));

  if (name.size == 0)
    return zm_chars_error (name, name.data, column, error, "the name is empty");
  if (good < name.size)
    return zm_chars_refuse (name, name.data + good, "a name", ZM_CHARS_WORD_ALLOWED, column, error);
  if (name.size > ZM_PART_MOST)
    return zm_chars_error (name, name.data, column, error, "the name is longer than %d bytes", ZM_PART_MOST);
  return TRUE;
}

/* ---- writing ---- */

static void
append_span (GString *out, ZmSpan span)
{
  if (span.size > 0)
    g_string_append_len (out, span.data, (gssize) span.size);
}

char *
zm_key_text (const ZmKey *key)
{
  GString *out = g_string_sized_new (64);

  append_span (out, key->sender);
  g_string_append_c (out, '?');
  append_span (out, key->context);
  if (key->decorator.size > 0)
    append_span (g_string_append_c (out, '@'), key->decorator);
  g_string_append_c (out, '?');
  append_span (out, key->action);
  return g_string_free (out, FALSE);
}

/* The order of a topic, not that of a key, so that the slug of a received topic is looked up as it stands in the text. */
void
zm_key_append_slug (const ZmKey *key, GString *out)
{
  append_span (out, key->decorator);
  g_string_append_c (out, '~');
  append_span (out, key->sender);
  g_string_append_c (out, '~');
  append_span (out, key->context);
  g_string_append_c (out, '~');
  append_span (out, key->action);
}

/* ---- comparing ---- */

/* The action first: it is what differs most often. */
gboolean
zm_key_equal (const ZmKey *a, const ZmKey *b)
{
  return zm_span_equal (a->action, b->action) && zm_span_equal (a->context, b->context) &&
         zm_span_equal (a->sender, b->sender) && zm_span_equal (a->decorator, b->decorator);
}

/* An empty part of a pattern stands for anything. */
static gboolean
part_matches (ZmSpan pattern, ZmSpan part)
{
  return pattern.size == 0 || zm_span_equal (pattern, part);
}

gboolean
zm_key_matches (const ZmKey *pattern, const ZmKey *key)
{
  return part_matches (pattern->action, key->action) && part_matches (pattern->context, key->context) &&
         part_matches (pattern->sender, key->sender) && part_matches (pattern->decorator, key->decorator);
}

/* Names that begin with ^ are the runtime's: ^batch, ^hello. */
static gboolean
is_runtime_name (ZmSpan part)
{
  return part.size > 0 && part.data[0] == '^';
}

/* By whoever stands at a door where peers or plugins name keys; a forged `done` would end other people's flows. */
gboolean
zm_key_reserved (const ZmKey *key)
{
  return zm_span_is (key->action, "done") || zm_span_is (key->action, "error") ||
         is_runtime_name (key->action) || is_runtime_name (key->context) || is_runtime_name (key->sender) ||
         is_runtime_name (key->decorator);
}
