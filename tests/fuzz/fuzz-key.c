/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fuzzes action keys, names and topics: whatever is taken must be the text it was made from. */
#include "config.h"

#include "message/zm-key.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
require (gboolean holds)
{
  if (!holds)
    abort ();
}

/* A key that was taken reads the same when it is written and read once more. */
static void
try_key (ZmSpan text)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *written = NULL, *prefix = NULL;
  guint column = 0;
  ZmKey key, again;

  if (!zm_key_parse (text, &key, &column, &error)) {
    require (column >= 1 && column <= text.size + 1);
    require (g_str_has_prefix (error->message, "column ") && g_utf8_validate (error->message, -1, NULL));
    return;
  }
  written = zm_key_text (&key);
  require (zm_key_parse (zm_span_text (written), &again, NULL, NULL));
  require (zm_key_equal (&key, &again) && zm_key_matches (&key, &again));
  prefix = zm_topic_prefix (NULL, &key);
  require (*prefix == '\0' || g_str_has_suffix (prefix, "~"));
}

static void
try_topic (ZmSpan text)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GString) slug = NULL;
  ZmTopic topic;

  if (!zm_topic_parse (text, &topic, &error)) {
    require (g_str_has_prefix (error->message, "column ") && g_utf8_validate (error->message, -1, NULL));
    return;
  }
  slug = g_string_new (NULL);
  zm_key_append_slug (&topic.key, slug);
  require (zm_span_is (topic.slug, slug->str));
  require (topic.flow.size + topic.slug.size + topic.id.size + 2 == text.size);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  ZmSpan text = zm_span ((const char *) data, size);
  g_autofree char *shown = zm_printable (text, 200);
  guint column = 0;

  require (strlen (shown) <= 200 && g_utf8_validate (shown, -1, NULL));
  try_key (text);
  try_topic (text);
  if (!zm_name_check (text, &column, NULL))
    require (column >= 1 && column <= size + 1);
  return 0;
}
