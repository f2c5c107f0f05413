/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A section of the configuration as a record brings it. A plugin has a few values, so they are searched one by one. */
#include "config.h"

#include "hosted/hosted-private.h"

#include <string.h>

/* Whatever it ends in, the copy ends in NUL. */
ZmHostedValues *
zm_hosted_values_new (ZmSpan text)
{
  ZmHostedValues *values = g_malloc (sizeof *values + text.size + 1);

  values->size = text.size;
  if (text.size > 0)
    memcpy (values->text, text.data, text.size);
  values->text[text.size] = '\0';
  return values;
}

static const char *
standard_of (const zm_option_desc *options, const char *key)
{
  while (options != NULL && options->name != NULL && strcmp (options->name, key) != 0)
    options++;
  return options != NULL && options->name != NULL ? options->standard : NULL;
}

const char *
zm_hosted_values_get (const ZmHostedValues *values, const zm_option_desc *options, const char *key,
                      guint index)
{
  ZmSpan list = values != NULL ? zm_span (values->text, values->size) : zm_span (NULL, 0);
  const char *name, *value;
  guint seen = 0;

  while ((name = zm_record_next_text (&list)) != NULL && (value = zm_record_next_text (&list)) != NULL)
    if (strcmp (name, key) == 0 && seen++ == index)
      return value;
  return seen == 0 && index == 0 ? standard_of (options, key) : NULL;
}
