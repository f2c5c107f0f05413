/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keeps the configuration and answers what it says. */
#include "config.h"

#include "config/config-private.h"

#include <string.h>

/* ---- keeping ---- */

static void
value_free (gpointer data)
{
  ZmValue *value = data;

  g_free (value->text);
  g_free (value);
}

static void
entry_free (gpointer data)
{
  ZmEntry *entry = data;

  g_free (entry->section);
  g_free (entry->key);
  g_ptr_array_unref (entry->values);
  g_strfreev (entry->list);
  g_free (entry);
}

static void
section_free (gpointer data)
{
  ZmSection *section = data;

  g_free (section->name);
  g_free (section);
}

/* By place and not by address: a module that reads the daemon's configuration has the table too, somewhere else. */
static gpointer
default_key (const ZmKeySpec *spec)
{
  return GSIZE_TO_POINTER ((gsize) (spec - zm_config_schema ()) + 1);
}

/* Each default is split into its items once, so that reading gives out what the configuration owns. */
static void
add_defaults (ZmConfig *config)
{
  for (const ZmKeySpec *spec = zm_config_schema (); spec->section != NULL; spec++) {
    char **items = NULL;

    if (spec->standard != NULL && spec->list)
      items = zm_config_value_split (spec->standard);
    else if (spec->standard != NULL)
      items = g_strdupv ((char *[]){ (char *) spec->standard, NULL });
    if (items != NULL)
      g_hash_table_insert (config->defaults, default_key (spec), items);
  }
}

ZmConfig *
zm_config_new (void)
{
  ZmConfig *config = g_new0 (ZmConfig, 1);

  atomic_init (&config->refs, 1);
  config->entries = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  config->order = g_ptr_array_new_with_free_func (entry_free);
  config->sections = g_ptr_array_new_with_free_func (section_free);
  config->strings = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  config->defaults = g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify) g_strfreev);
  add_defaults (config);
  return config;
}

ZmConfig *
zm_config_ref (ZmConfig *config)
{
  atomic_fetch_add_explicit (&config->refs, 1, memory_order_relaxed);
  return config;
}

/* Any thread; the last reference frees it, so that a set of plugins may keep a configuration that has been replaced. */
void
zm_config_unref (ZmConfig *config)
{
  if (config == NULL || atomic_fetch_sub_explicit (&config->refs, 1, memory_order_acq_rel) != 1)
    return;
  g_hash_table_unref (config->entries);
  g_ptr_array_unref (config->order);
  g_ptr_array_unref (config->sections);
  g_hash_table_unref (config->strings);
  g_hash_table_unref (config->defaults);
  g_free (config);
}

/* Thousands of values share a few places; the texts live as long as the configuration. */
const char *
zm_config_intern (ZmConfig *config, const char *text)
{
  gpointer kept;

  if (!g_hash_table_lookup_extended (config->strings, text, &kept, NULL)) {
    kept = g_strdup (text);
    g_hash_table_add (config->strings, kept);
  }
  return kept;
}

/* A newline stands in no section and in no key, so that two pairs never make one name. */
static char *
entry_name (const char *section, const char *key)
{
  return g_strconcat (section, "\n", key, NULL);
}

ZmEntry *
zm_config_entry (const ZmConfig *config, const char *section, const char *key)
{
  g_autofree char *name = entry_name (section, key);

  return g_hash_table_lookup (config->entries, name);
}

/* While layers are read, in one thread. An entry stays where it is until the end: pointers to it are kept. */
ZmEntry *
zm_config_new_entry (ZmConfig *config, const char *section, const char *key)
{
  ZmEntry *entry = g_new0 (ZmEntry, 1);

  entry->section = g_strdup (section);
  entry->key = g_strdup (key);
  entry->spec = zm_config_spec (section, key);
  entry->values = g_ptr_array_new_with_free_func (value_free);
  atomic_init (&entry->secret, entry->spec != NULL && entry->spec->secret);
  g_ptr_array_add (config->order, entry);
  g_hash_table_insert (config->entries, entry_name (section, key), entry);
  return entry;
}

/* Keeps the place with the text, for problems that are found long after reading. */
void
zm_config_new_value (ZmEntry *entry, const char *text, const ZmValue *place)
{
  ZmValue *value = g_new0 (ZmValue, 1);

  *value = *place;
  value->text = g_strdup (text);
  g_ptr_array_add (entry->values, value);
}

gsize
zm_config_kind (const char *section)
{
  return strcspn (section, " ");
}

/* A walk over a table of some fifty rows: asked while reading and reloading, never for a message. */
const ZmKeySpec *
zm_config_spec (const char *section, const char *key)
{
  gsize kind = zm_config_kind (section);

  for (const ZmKeySpec *spec = zm_config_schema (); spec->section != NULL; spec++)
    if (strlen (spec->section) == kind && memcmp (spec->section, section, kind) == 0 &&
        strcmp (spec->key, key) == 0)
      return spec;
  return NULL;
}

/* ---- reading ---- */

const char *const *
zm_config_list (const ZmConfig *config, const char *section, const char *key)
{
  static const char *const none[] = { NULL };
  const ZmEntry *entry = zm_config_entry (config, section, key);
  const ZmKeySpec *spec;
  char **items = NULL;

  g_return_val_if_fail (config->finished, none);
  if (entry != NULL && entry->list != NULL)
    return (const char *const *) entry->list;
  spec = zm_config_spec (section, key);
  if (spec != NULL)
    items = g_hash_table_lookup (config->defaults, default_key (spec));
  return items != NULL ? (const char *const *) items : none;
}

const char *
zm_config_text (const ZmConfig *config, const char *section, const char *key)
{
  return zm_config_list (config, section, key)[0];
}

/* Checked values were parsed by zm_config_finish; the rest (defaults, plugins' own keys) is parsed here, and 0 where it
 * is no number. */
gint64
zm_config_integer (const ZmConfig *config, const char *section, const char *key)
{
  const ZmEntry *entry = zm_config_entry (config, section, key);
  const char *text = zm_config_text (config, section, key);
  const ZmKeySpec *spec = zm_config_spec (section, key);
  gint64 number = 0;
  guint64 size = 0;

  if (entry != NULL && entry->list != NULL && spec != NULL)
    return entry->number;
  if (text == NULL)
    return 0;
  if (spec != NULL && spec->type == ZM_TYPE_DURATION)
    zm_parse_duration (text, &number, NULL);
  else if (spec != NULL && spec->type == ZM_TYPE_SIZE)
    number = zm_parse_size (text, &size, NULL) ? (gint64) size : 0;
  else
    zm_parse_integer (text, G_MININT64, G_MAXINT64, &number, NULL);
  return number;
}

gboolean
zm_config_boolean (const ZmConfig *config, const char *section, const char *key)
{
  const char *text = zm_config_text (config, section, key);
  gboolean value = FALSE;

  return text != NULL && zm_parse_boolean (text, &value, NULL) && value;
}

/* Sections without a single key count too: [source netlink] alone is a source. */
char **
zm_config_names (const ZmConfig *config, const char *kind)
{
  GPtrArray *names = g_ptr_array_new ();
  gsize size = strlen (kind);

  for (guint i = 0; i < config->sections->len; i++) {
    const ZmSection *section = g_ptr_array_index (config->sections, i);

    if (strncmp (section->name, kind, size) == 0 && section->name[size] == ' ')
      g_ptr_array_add (names, g_strdup (section->name + size + 1));
  }
  g_ptr_array_add (names, NULL);
  return (char **) g_ptr_array_free (names, FALSE);
}

/* Only what was given: defaults and made-up entries have no values. */
char **
zm_config_keys (const ZmConfig *config, const char *section)
{
  GPtrArray *keys = g_ptr_array_new ();

  for (guint i = 0; i < config->order->len; i++) {
    const ZmEntry *entry = g_ptr_array_index (config->order, i);

    if (strcmp (entry->section, section) == 0 && entry->values->len > 0)
      g_ptr_array_add (keys, g_strdup (entry->key));
  }
  g_ptr_array_add (keys, NULL);
  return (char **) g_ptr_array_free (keys, FALSE);
}

char *
zm_config_value_origin (const ZmValue *value)
{
  if (value->line == 0)
    return g_strdup (value->file);
  return g_strdup_printf ("%s:%u:%u", value->file, value->line, value->column);
}

char *
zm_config_origin (const ZmConfig *config, const char *section, const char *key)
{
  const ZmEntry *entry = zm_config_entry (config, section, key);

  if (entry == NULL || entry->values->len == 0)
    return g_strdup ("default");
  return zm_config_value_origin (g_ptr_array_index (entry->values, 0));
}

/* By its first line; a section may go on in later files. */
const ZmSection *
zm_config_find_section (const ZmConfig *config, const char *name)
{
  for (guint i = 0; i < config->sections->len; i++) {
    const ZmSection *section = g_ptr_array_index (config->sections, i);

    if (strcmp (section->name, name) == 0)
      return section;
  }
  return NULL;
}

gboolean
zm_config_place (const ZmConfig *config, const char *section, const char *key, const char **file, guint *line,
                 guint *column)
{
  const ZmEntry *entry = zm_config_entry (config, section, key);
  const ZmSection *whole = zm_config_find_section (config, section);
  const ZmValue *value;

  *file = whole != NULL ? whole->file : NULL;
  *line = whole != NULL ? whole->line : 0;
  *column = whole != NULL ? whole->column : 0;
  if (entry == NULL || entry->values->len == 0)
    return FALSE;
  value = g_ptr_array_index (entry->values, 0);
  *file = value->file;
  *line = value->line;
  *column = value->column;
  return TRUE;
}
