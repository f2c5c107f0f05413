/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The effective configuration for people and programs, and what changed between two. Secrets never leave through here. */
#include "config.h"

#include "config/config-private.h"

#include <string.h>

#define HIDDEN "***"

/* A plugin's own key is only known for a secret once its schema was seen; until then its name decides. */
static gboolean
hidden (const ZmEntry *entry)
{
  return entry != NULL && (atomic_load (&((ZmEntry *) entry)->secret) ||
                           (entry->spec == NULL && zm_names_secret (entry->key)));
}

/* One value as it may be shown. */
static char *
shown_item (const ZmEntry *entry, const char *item)
{
  if (hidden (entry))
    return g_strdup (HIDDEN);
  return entry != NULL && entry->spec != NULL && strcmp (entry->spec->key, "exec") == 0
             ? zm_hide_in_command (item)
             : zm_hide_passwords (item);
}

/* An item of a list that has to be quoted to be one. */
static char *
quoted (const ZmEntry *entry, const char *item)
{
  gboolean list = entry != NULL && entry->spec != NULL && entry->spec->list;

  return list && (item[0] == '\0' || strpbrk (item, " \t") != NULL) ? g_strdup_printf ("\"%s\"", item)
                                                                    : g_strdup (item);
}

/* The items as they may be shown; as_file: quoted where a file needs it. */
static char **
shown_items (const ZmConfig *config, const char *section, const char *key, gboolean as_file)
{
  const char *const *items = zm_config_list (config, section, key);
  const ZmEntry *entry = zm_config_entry (config, section, key);
  GPtrArray *out = g_ptr_array_new ();

  for (; *items != NULL; items++) {
    g_autofree char *safe = shown_item (entry, *items);

    g_ptr_array_add (out, as_file ? quoted (entry, safe) : g_steal_pointer (&safe));
  }
  g_ptr_array_add (out, NULL);
  return (char **) g_ptr_array_free (out, FALSE);
}

char *
zm_config_shown (const ZmConfig *config, const char *section, const char *key)
{
  g_auto (GStrv) items = shown_items (config, section, key, TRUE);

  return items[0] != NULL ? g_strjoinv (" ", items) : NULL;
}

/* ---- walking ---- */

typedef void (*EachFunc) (const ZmConfig *config, const char *section, const char *key, gpointer user);

/* The schema's keys in its order, then the plugin's own as they came. */
static void
each_key (const ZmConfig *config, const char *section, EachFunc func, gpointer user)
{
  gsize kind = zm_config_kind (section);

  for (const ZmKeySpec *spec = zm_config_schema (); spec->section != NULL; spec++)
    if (strlen (spec->section) == kind && memcmp (spec->section, section, kind) == 0)
      func (config, section, spec->key, user);
  for (guint i = 0; i < config->order->len; i++) {
    const ZmEntry *entry = g_ptr_array_index (config->order, i);

    if (entry->spec == NULL && strcmp (entry->section, section) == 0)
      func (config, section, entry->key, user);
  }
}

/* Every section in the schema's order, those with names in the order in which they came. */
static void
each (const ZmConfig *config, EachFunc func, gpointer user)
{
  const char *before = "";

  for (const ZmKeySpec *spec = zm_config_schema (); spec->section != NULL; spec++) {
    gboolean seen = strcmp (before, spec->section) == 0;
    g_auto (GStrv) names = NULL;

    before = spec->section;
    if (seen)
      continue;
    if (!zm_config_section_named (spec->section)) {
      each_key (config, spec->section, func, user);
      continue;
    }
    names = zm_config_names (config, spec->section);
    for (guint i = 0; names[i] != NULL; i++) {
      g_autofree char *section = g_strdup_printf ("%s %s", spec->section, names[i]);

      each_key (config, section, func, user);
    }
  }
}

/* ---- the dump ---- */

typedef struct Dump {
  GString *out;
  char *section;            /* the last one written */
  ZmConfigStandIn stand_in; /* or NULL */
  gconstpointer user;       /* its own */
} Dump;

/* The items to show: where nothing is set, what stands in for it. */
static char **
dumped_items (const Dump *dump, const ZmConfig *config, const char *section, const char *key,
              gboolean as_file)
{
  char **items = shown_items (config, section, key, as_file);
  g_autofree char *effective = NULL;

  if (items[0] == NULL && dump->stand_in != NULL)
    effective = dump->stand_in (config, section, key, dump->user);
  if (effective == NULL)
    return items;
  g_strfreev (items);
  return g_strdupv ((char *[]){ effective, NULL });
}

/* One line a value where a file would need several. */
static void
dump_text (const ZmConfig *config, const char *section, const char *key, gpointer user)
{
  Dump *dump = user;
  g_auto (GStrv) items = dumped_items (dump, config, section, key, TRUE);
  g_autofree char *origin = zm_config_origin (config, section, key);

  if (g_strcmp0 (dump->section, section) != 0) {
    g_string_append_printf (dump->out, "%s[%s]\n", dump->out->len > 0 ? "\n" : "", section);
    g_free (dump->section);
    dump->section = g_strdup (section);
  }
  if (items[0] == NULL) {
    g_string_append_printf (dump->out, "# %s = (not set)\n", key);
    return;
  }
  g_string_append_printf (dump->out, "# %s\n", origin);
  for (guint i = 0; items[i] != NULL; i++)
    g_string_append_printf (dump->out, "%s = %s\n", key, items[i]);
}

static void
append_member (GString *out, const char *name, const char *value)
{
  g_string_append_printf (out, "\"%s\":", name);
  zm_json_append_string (out, zm_span_text (value));
  g_string_append_c (out, ',');
}

/* Values as they are, without the quotes that a file would need. */
static void
dump_json (const ZmConfig *config, const char *section, const char *key, gpointer user)
{
  const Dump *dump = user;
  GString *out = dump->out;
  g_auto (GStrv) items = dumped_items (dump, config, section, key, FALSE);
  g_autofree char *origin = zm_config_origin (config, section, key);

  g_string_append (out, out->len > 0 ? ",\n{" : "{");
  append_member (out, "section", section);
  append_member (out, "key", key);
  append_member (out, "origin", origin);
  g_string_append (out, "\"values\":[");
  for (guint i = 0; items[i] != NULL; i++) {
    g_string_append (out, i > 0 ? "," : "");
    zm_json_append_string (out, zm_span_text (items[i]));
  }
  g_string_append (out, "]}");
}

char *
zm_config_dump (const ZmConfig *config, gboolean json)
{
  return zm_config_dump_effective (config, json, NULL, NULL);
}

char *
zm_config_dump_effective (const ZmConfig *config, gboolean json, ZmConfigStandIn stand_in, gconstpointer user)
{
  Dump dump = { .out = g_string_new (NULL), .stand_in = stand_in, .user = user };

  each (config, json ? dump_json : dump_text, &dump);
  g_free (dump.section);
  if (json) {
    g_string_prepend (dump.out, "{\"configuration\":[\n");
    g_string_append (dump.out, "\n]}\n");
  }
  return g_string_free (dump.out, FALSE);
}

/* ---- changes ---- */

typedef struct Changes {
  const ZmConfig *other;
  gboolean backwards; /* walking what was: only what is gone counts */
  GPtrArray *lines;
} Changes;

static gboolean
has_section (const ZmConfig *config, const char *section)
{
  gsize kind = zm_config_kind (section);

  if (section[kind] == '\0')
    return TRUE;
  for (guint i = 0; i < config->sections->len; i++)
    if (strcmp (((const ZmSection *) g_ptr_array_index (config->sections, i))->name, section) == 0)
      return TRUE;
  return FALSE;
}

static gboolean
same (const char *const *a, const char *const *b)
{
  return g_strv_equal (a, b);
}

/* Walks what is now, and then what was for what has gone; values are compared unhidden and told hidden. */
static void
compare (const ZmConfig *config, const char *section, const char *key, gpointer user)
{
  Changes *changes = user;
  const ZmConfig *before = changes->backwards ? config : changes->other;
  const ZmConfig *after = changes->backwards ? changes->other : config;
  g_autofree char *was = NULL, *is = NULL;
  gboolean known =
      zm_config_spec (section, key) != NULL || zm_config_entry (changes->other, section, key) != NULL;

  /* What both have was seen on the way forwards. */
  if (changes->backwards && known && has_section (changes->other, section))
    return;
  if (same (zm_config_list (before, section, key), zm_config_list (after, section, key)))
    return;
  was = zm_config_shown (before, section, key);
  is = zm_config_shown (after, section, key);
  g_ptr_array_add (changes->lines,
                   g_strdup_printf ("%s.%s %s -> %s", section, key, was != NULL ? was : "(not set)",
                                    is != NULL ? is : "(not set)"));
}

char **
zm_config_changes (const ZmConfig *before, const ZmConfig *after)
{
  Changes changes = { .other = before, .lines = g_ptr_array_new () };

  each (after, compare, &changes);
  changes.other = after;
  changes.backwards = TRUE;
  each (before, compare, &changes);
  g_ptr_array_add (changes.lines, NULL);
  return (char **) g_ptr_array_free (changes.lines, FALSE);
}
