/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Passwords taken out of text that is about to be shown. A text that quotes what somebody wrote wrongly may quote a secret; here it
 * is found by its form alone, so this is the last line of defence and not the first.
 */
#include "config.h"

#include "base/zm-base.h"

#include <string.h>

#define HIDDEN "***"

/* The end of the first word in the text that says that a secret follows; NULL: none. */
static const char *
after_name (const char *text)
{
  static const char *const words[] = { "secret", "password", "passphrase", "token", "credential", "private" };
  g_autofree char *lower = g_ascii_strdown (text, -1);
  const char *first = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (words); i++) {
    const char *at = strstr (lower, words[i]);

    if (at != NULL && (first == NULL || text + (at - lower) + strlen (words[i]) < first))
      first = text + (at - lower) + strlen (words[i]);
  }
  return first;
}

gboolean
zm_names_secret (const char *name)
{
  return after_name (name) != NULL;
}

char *
zm_hide_after_name (const char *text)
{
  const char *end = after_name (text);

  return end != NULL ? g_strdup_printf ("%.*s" HIDDEN, (int) (end - text), text) : zm_hide_passwords (text);
}

/* The colon before the password in "user:word@host…", which begins at start; *at: the '@' behind it. NULL: there is none. */
static const char *
password_in (const char *start, const char **at)
{
  *at = start + strcspn (start, "/?# \t\r\n\"'");
  while (*at > start && **at != '@')
    --*at;
  return **at == '@' ? memchr (start, ':', (gsize) (*at - start)) : NULL;
}

/* Most texts have no address, and are copied at once. */
char *
zm_hide_passwords (const char *text)
{
  GString *out;
  const char *start;

  if (strstr (text, "://") == NULL)
    return g_strdup (text);
  out = g_string_new (NULL);
  while ((start = strstr (text, "://")) != NULL) {
    const char *at, *colon;

    start += strlen ("://");
    colon = password_in (start, &at);
    g_string_append_len (out, text, (colon != NULL ? colon + 1 : start) - text);
    if (colon != NULL)
      g_string_append (out, HIDDEN);
    text = colon != NULL ? at : start;
  }
  g_string_append (out, text);
  return g_string_free (out, FALSE);
}

/* Blanks divide, whatever is quoted: rather a little more is hidden. */
char *
zm_hide_in_command (const char *command)
{
  g_auto (GStrv) words = g_strsplit (command, " ", -1);
  gboolean hide = FALSE;

  for (char **word = words; *word != NULL; word++) {
    const char *end = after_name (*word);
    char *shown = hide && **word != '\0' ? g_strdup (HIDDEN) : zm_hide_after_name (*word);

    /* Of "--token word" the word that follows; of "--token=word" it is in this one. */
    if (end != NULL && *end == '\0' && !hide) {
      g_free (shown);
      shown = g_strdup (*word);
    }
    hide = (hide && **word == '\0') || (!hide && end != NULL && *end == '\0');
    g_free (*word);
    *word = shown;
  }
  return g_strjoinv (" ", words);
}
