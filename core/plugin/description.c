/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the descriptor of a library lists that is not loaded here. Only the library's own code can hand it out, so
 * zmanager-probe opens it and tells. What comes back was made by foreign code: it is read as a peer's text is.
 */
#include "config.h"

#include "plugin/zm-plugin-private.h"

#include <string.h>

#define MOST_ANSWER ((gsize) 1 << 20) /* bytes that are read of what the helper tells */

const char *
zm_option_type_name (guint32 type)
{
  /* In the order of ZM_OPTION_*. */
  static const char *const types[] = { "string", "integer", "number", "boolean", "duration", "size" };

  return type < G_N_ELEMENTS (types) ? types[type] : "string";
}

/* The text after "option-doc " and its like; NULL: it is another line. */
static const char *
after (const char *line, const char *word)
{
  gsize size = strlen (word);

  return strncmp (line, word, size) == 0 && line[size] == ' ' ? line + size + 1 : NULL;
}

/* The texts go into problems and JSON, which must be UTF-8. */
static const char *
keep_text (ZmDescription *description, const char *text)
{
  g_autofree char *valid = g_utf8_make_valid (text, -1);

  return g_string_chunk_insert (description->texts, valid);
}

/* 0 where it is none, a string without flags: the helper is ours, but what it tells was chosen by the plugin. */
static guint32
number_of (const char *text)
{
  gint64 number = 0;

  zm_parse_integer (text, 0, G_MAXUINT32, &number, NULL);
  return (guint32) number;
}

/* option: the one that was named last, or NULL. */
static void
read_line (ZmDescription *description, zm_option_desc *option, const char *line)
{
  const char *text;

  if (option == NULL)
    return;
  if ((text = after (line, "option-type")) != NULL)
    option->type = number_of (text);
  else if ((text = after (line, "option-flags")) != NULL)
    option->flags = number_of (text);
  else if ((text = after (line, "option-standard")) != NULL)
    option->standard = keep_text (description, text);
  else if ((text = after (line, "option-doc")) != NULL)
    option->doc = keep_text (description, text);
}

/* What it says of the whole, and of the action that was named last. */
static void
read_kind (ZmDescription *description, const char *line)
{
  const char *text;

  if ((text = after (line, "flags")) != NULL)
    description->flags = number_of (text);
  else if ((text = after (line, "action-flags")) != NULL)
    description->threadsafe |= (number_of (text) & ZM_ACTION_THREADSAFE_FLAG) != 0;
  description->hooks |= g_strcmp0 (after (line, "has"), "hooks") == 0;
  description->source |= g_strcmp0 (after (line, "has"), "source") == 0;
  description->threadsafe |= (description->flags & ZM_PLUGIN_THREADSAFE) != 0;
}

/* Lines of other words, such as stages, are passed over. */
static ZmDescription *
read_answer (const char *answer)
{
  g_auto (GStrv) lines = g_strsplit (answer, "\n", -1);
  g_autoptr (GArray) options = g_array_new (TRUE, TRUE, sizeof (zm_option_desc));
  g_autoptr (GPtrArray) actions = g_ptr_array_new ();
  ZmDescription *description = g_new0 (ZmDescription, 1);

  description->texts = g_string_chunk_new (1024);
  for (char **line = lines; *line != NULL; line++) {
    const char *name = after (*line, "option");
    const char *action = after (*line, "action");

    if (action != NULL) {
      g_ptr_array_add (actions, (gpointer) keep_text (description, action));
    } else if (name != NULL) {
      const zm_option_desc option = { .name = keep_text (description, name) };

      g_array_append_val (options, option);
    } else {
      read_kind (description, *line);
      read_line (description,
                 options->len > 0 ? &g_array_index (options, zm_option_desc, options->len - 1) : NULL, *line);
    }
  }
  g_ptr_array_add (actions, NULL);
  description->actions = (const char **) g_ptr_array_free (g_steal_pointer (&actions), FALSE);
  description->options = (zm_option_desc *) (void *) g_array_free (g_steal_pointer (&options), FALSE);
  return description;
}

ZmDescription *
zm_description_ask (const char *program, const char *path, guint timeout_ms, GError **error)
{
  /* A bare name would be looked for in the system's directories. */
  g_autofree char *absolute = g_canonicalize_filename (path, NULL);
  const char *const argv[] = { program, "--describe", absolute, NULL };
  g_autoptr (GString) answer = g_string_new (NULL);

  return zm_probe_ask (argv, MOST_ANSWER, timeout_ms, answer, error) ? read_answer (answer->str) : NULL;
}

void
zm_description_free (ZmDescription *description)
{
  if (description == NULL)
    return;
  g_string_chunk_free (description->texts);
  g_free (description->options);
  g_free (description->actions);
  g_free (description);
}
