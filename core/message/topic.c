/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Topics: `flow~decorator~sender~context~action~id`. Parsing is on every message's way: one pass, nothing allocated. */
#include "config.h"

#include "message/chars.h"
#include "message/zm-key.h"

#include <string.h>

#define FIELDS  6
#define ID_MOST 64 /* bytes */

static const char *const field_names[FIELDS] = { "flow", "decorator", "sender", "context", "action", "id" };

/* Why the field that begins at `start` and of which `size` bytes are well is refused. Only here is the fault looked for:
 * the parser itself just stops. */
static gboolean
refuse_field (ZmSpan text, const char *start, gsize size, guint field, GError **error)
{
  const char *end = zm_span_end (text), *at = size > 0 ? start + size : start;
  guint most = field == FIELDS - 1 ? ID_MOST : ZM_PART_MOST;

  if (at < end && *at != '~')
    return zm_chars_refuse (
        text, at, field == FIELDS - 1 ? "an id" : "a topic",
        field == FIELDS - 1 ? "letters, digits, '_', '.', ':' and '-'" : ZM_CHARS_WORD_ALLOWED, NULL, error);
  if (size > most)
    return zm_chars_error (text, start, NULL, error, "the %s is longer than %u bytes", field_names[field],
                           most);
  if (at == end)
    return zm_chars_error (text, at, NULL, error,
                           "the topic ends after its %s; expected flow~decorator~sender~context~action~id",
                           field_names[field]);
  return zm_chars_error (text, at, NULL, error, "a sixth '~'; nothing may follow the id of a topic");
}

/* On the way of every message: each field ends at the next '~' after nothing but word characters, which is one table
 * look-up a byte. error may be NULL, and then a refusal costs no text. */
gboolean
zm_topic_parse (ZmSpan text, ZmTopic *topic, GError **error)
{
  ZmSpan *const fields[FIELDS - 1] = { &topic->flow, &topic->key.decorator, &topic->key.sender,
                                       &topic->key.context, &topic->key.action };
  const char *at = text.data, *end = zm_span_end (text);
  gsize size;

  if (text.size > ZM_KEY_MOST)
    return zm_chars_error (text, text.data, NULL, error, "the topic is longer than %d bytes", ZM_KEY_MOST);
  for (guint i = 0; i < FIELDS - 1; i++) {
    size = zm_chars_word (at, end);
    if (size > ZM_PART_MOST || (gsize) (end - at) == size || at[size] != '~')
      return refuse_field (text, at, size, i, error);
    *fields[i] = zm_span (at, size);
    at += size + 1;
  }
  size = zm_chars_id (at, end);
  if (size > ID_MOST || at + size != end)
    return refuse_field (text, at, size, FIELDS - 1, error);
  topic->id = zm_span (at, size);
  topic->slug = zm_span (topic->key.decorator.data, (gsize) (at - 1 - topic->key.decorator.data));
  return TRUE;
}

/* Empty fields at the end are left out, those between stay: a subscription to a prefix takes whatever stands there. */
char *
zm_topic_prefix (const char *flow, const ZmKey *key)
{
  const ZmSpan fields[FIELDS - 1] = { zm_span_text (flow), key->decorator, key->sender, key->context,
                                      key->action };
  GString *out = g_string_sized_new (64);
  guint last = FIELDS - 1;

  while (last > 0 && fields[last - 1].size == 0)
    last--;
  for (guint i = 0; i < last; i++) {
    if (fields[i].size > 0)
      g_string_append_len (out, fields[i].data, (gssize) fields[i].size);
    g_string_append_c (out, '~');
  }
  return g_string_free (out, FALSE);
}
