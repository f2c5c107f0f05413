/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Collects the layers of the configuration and answers what it says. */
#include "config.h"

#include "config/config-private.h"

#include "base/zm-codes.h"
#include "config/zm-lines.h"

#include <string.h>

/* Where a line or a setting stands; column of what is being complained about. */
typedef struct Place {
  const char *file;
  guint line, column;
} Place;

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

/* Each default is split into its items once, so that reading gives out what the configuration owns. */
static void
add_defaults (ZmConfig *config)
{
  for (const ZmKeySpec *spec = zm_config_schema (); spec->section != NULL; spec++) {
    char **items = NULL;

    if (spec->standard != NULL && spec->list)
      items = zm_value_split (spec->standard);
    else if (spec->standard != NULL)
      items = g_strdupv ((char *[]){ (char *) spec->standard, NULL });
    if (items != NULL)
      g_hash_table_insert (config->defaults, (gpointer) spec, items);
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

static const char *
intern (ZmConfig *config, const char *text)
{
  gpointer kept;

  if (!g_hash_table_lookup_extended (config->strings, text, &kept, NULL)) {
    kept = g_strdup (text);
    g_hash_table_add (config->strings, kept);
  }
  return kept;
}

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

gsize
zm_config_kind (const char *section)
{
  return strcspn (section, " ");
}

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

/* ---- sections and keys: which are known ---- */

/* Sections whose plugin brings keys of its own. */
static gboolean
kind_open (const char *section)
{
  return g_str_has_prefix (section, "plugin ") || g_str_has_prefix (section, "source ");
}

/* The words of the schema: sections (kind NULL) or one section's keys. Borrowed texts; g_free the array. */
static const char **
schema_words (const char *kind, gsize size)
{
  GPtrArray *words = g_ptr_array_new ();
  const char *before = "";

  for (const ZmKeySpec *spec = zm_config_schema (); spec->section != NULL; spec++) {
    if (kind == NULL && strcmp (spec->section, before) != 0)
      g_ptr_array_add (words, (gpointer) spec->section);
    else if (kind != NULL && strlen (spec->section) == size && memcmp (spec->section, kind, size) == 0)
      g_ptr_array_add (words, (gpointer) spec->key);
    before = spec->section;
  }
  g_ptr_array_add (words, NULL);
  return (const char **) g_ptr_array_free (words, FALSE);
}

static char *
did_you_mean (const char *word, const char *const *words)
{
  const char *nearest = zm_suggest (word, words);

  return nearest != NULL ? g_strdup_printf ("did you mean \"%s\"?", nearest) : NULL;
}

static void
unknown_section (const Place *place, const char *kind, ZmProblems *problems)
{
  g_autofree const char **words = schema_words (NULL, 0);
  g_autofree char *list = g_strjoinv (", ", (char **) words);
  g_autofree char *expected = g_strdup_printf ("one of %s", list);
  g_autofree char *advice = did_you_mean (kind, words);

  zm_problems_add (problems, ZM_PROBLEM_ERROR, ZM_CODE_UNKNOWN_SECTION, place->file, place->line,
                   place->column, expected, advice, "unknown section [%s]", kind);
}

/* Names become parts of socket paths and of file names. Those of actions are keys, which routing/ checks. */
static gboolean
name_fits (const char *kind, const char *name)
{
  if (strcmp (kind, "action") == 0)
    return strchr (name, ' ') == NULL;
  return name[0] != '.' && name[0] != '-' && strlen (name) <= 64 &&
         strspn (name, G_CSET_a_2_z G_CSET_A_2_Z G_CSET_DIGITS "_.-") == strlen (name);
}

/* Is this a section that may stand there? Else a problem. */
static gboolean
section_check (const char *section, const Place *place, ZmProblems *problems)
{
  gsize size = zm_config_kind (section);
  g_autofree char *kind = g_strndup (section, size);
  const char *name = section[size] == ' ' ? section + size + 1 : NULL;
  g_autofree const char **words = schema_words (NULL, 0);
  g_autofree char *expected = NULL;

  if (!g_strv_contains (words, kind)) {
    unknown_section (place, kind, problems);
    return FALSE;
  }
  if (zm_config_section_named (kind) == (name != NULL) && (name == NULL || name_fits (kind, name)))
    return TRUE;
  if (!zm_config_section_named (kind)) {
    expected = g_strdup_printf ("[%s]", kind);
    zm_problems_add (problems, ZM_PROBLEM_ERROR, ZM_CODE_BAD_SECTION_NAME, place->file, place->line,
                     place->column, expected, "leave the name out", "section [%s] takes no name", kind);
    return FALSE;
  }
  expected = g_strdup_printf ("[%s NAME]%s", kind,
                              name == NULL                   ? ""
                              : strcmp (kind, "action") == 0 ? " with an action key"
                                                             : " with at most 64 letters, digits and _ . -");
  zm_problems_add (problems, ZM_PROBLEM_ERROR, ZM_CODE_BAD_SECTION_NAME, place->file, place->line,
                   place->column, expected, name == NULL ? "say which one" : "choose another name",
                   name == NULL ? "section [%s] without a name" : "section [%s] has a name that does not fit",
                   section);
  return FALSE;
}

static gboolean
key_check (const char *section, const char *key, const Place *place, ZmProblems *problems)
{
  gsize size = zm_config_kind (section);
  g_autofree const char **words = NULL;
  g_autofree char *list = NULL, *expected = NULL, *advice = NULL;

  if (zm_config_spec (section, key) != NULL || kind_open (section))
    return TRUE;
  words = schema_words (section, size);
  list = g_strjoinv (", ", (char **) words);
  expected = g_strdup_printf ("one of %s", list);
  advice = did_you_mean (key, words);
  zm_problems_add (problems, ZM_PROBLEM_ERROR, ZM_CODE_UNKNOWN_KEY, place->file, place->line, place->column,
                   expected, advice, "unknown key \"%s\" in [%s]", key, section);
  return FALSE;
}

/* ---- layers ---- */

static void
remember_section (ZmConfig *config, const char *name, const Place *place)
{
  ZmSection *section;

  for (guint i = 0; i < config->sections->len; i++)
    if (strcmp (((ZmSection *) g_ptr_array_index (config->sections, i))->name, name) == 0)
      return;
  section = g_new0 (ZmSection, 1);
  section->name = g_strdup (name);
  section->file = place->file;
  section->line = place->line;
  section->column = place->column;
  g_ptr_array_add (config->sections, section);
}

/* A file says one thing about a key; a second one there is an oversight that nobody would notice. */
static void
twice (const ZmEntry *entry, const Place *place, ZmProblems *problems)
{
  const ZmValue *first = g_ptr_array_index (entry->values, 0);
  g_autofree char *expected =
      g_strdup_printf ("%s once; it stands at line %u already", entry->key, first->line);

  zm_problems_add (problems, ZM_PROBLEM_ERROR, ZM_CODE_REPEATED_KEY, place->file, place->line, place->column,
                   expected, "remove one of the two", "[%s] %s is given twice", entry->section, entry->key);
}

static void
add_value (ZmConfig *config, const char *section, const char *key, const char *text, const Place *place,
           guint value_column, ZmProblems *problems)
{
  ZmEntry *entry = zm_config_entry (config, section, key);
  gboolean many;
  ZmValue *value;

  if (entry == NULL)
    entry = zm_config_new_entry (config, section, key);
  many = entry->spec == NULL || entry->spec->list;
  if (entry->layer == config->layer && !many && place->line > 0) {
    twice (entry, place, problems);
    return;
  }
  if (entry->layer != config->layer || !many)
    g_ptr_array_set_size (entry->values, 0);
  entry->layer = config->layer;
  value = g_new0 (ZmValue, 1);
  value->text = g_strdup (text);
  value->file = place->file;
  value->line = place->line;
  value->column = value_column;
  g_ptr_array_add (entry->values, value);
}

void
zm_config_add_file (ZmConfig *config, const char *path, ZmProblems *problems)
{
  g_autoptr (ZmLines) lines = zm_lines_read_file (path, problems);
  Place place = { .file = intern (config, path) };
  gboolean usable = FALSE; /* what stands in an unknown section was complained about with it */

  g_return_if_fail (!config->finished);
  config->layer++;
  config->setting_origin = NULL;
  for (guint i = 0; i < zm_lines_count (lines); i++) {
    const ZmLine *line = zm_lines_get (lines, i);

    place.line = line->line;
    place.column = line->key_column;
    if (line->key == NULL) {
      usable = section_check (line->section, &place, problems);
      if (usable)
        remember_section (config, line->section, &place);
    } else if (line->section[0] == '\0') {
      zm_problems_add (problems, ZM_PROBLEM_ERROR, ZM_CODE_KEY_WITHOUT_SECTION, place.file, place.line,
                       place.column, "a section before the first key", "write [SECTION] above it",
                       "key \"%s\" outside of a section", line->key);
    } else if (usable && key_check (line->section, line->key, &place, problems)) {
      add_value (config, line->section, line->key, line->value, &place, line->value_column, problems);
    }
  }
}

void
zm_config_add_directory (ZmConfig *config, const char *directory, ZmProblems *problems)
{
  g_auto (GStrv) files = zm_list_files (directory, ".conf");

  for (guint i = 0; files[i] != NULL; i++)
    zm_config_add_file (config, files[i], problems);
}

/* "plugin   hello" -> "plugin hello", as the line reader does. */
static char *
fold_section (const char *text)
{
  g_auto (GStrv) words = g_strsplit_set (text, " \t", -1);
  GString *out = g_string_new (NULL);

  for (guint i = 0; words[i] != NULL; i++)
    if (words[i][0] != '\0')
      g_string_append_printf (out, "%s%s", out->len > 0 ? " " : "", words[i]);
  return g_string_free (out, FALSE);
}

/* The same rule as in files: text. A newline here would also break --dump. */
static gboolean
setting_is_text (const char *setting)
{
  if (!g_utf8_validate (setting, -1, NULL))
    return FALSE;
  for (const char *c = setting; *c != '\0'; c++)
    if (((guchar) *c < 0x20 && *c != '\t') || *c == 0x7f)
      return FALSE;
  return TRUE;
}

void
zm_config_add_setting (ZmConfig *config, const char *setting, const char *origin, ZmProblems *problems)
{
  const char *equals = strchr (setting, '=');
  g_autofree char *name = equals != NULL ? g_strndup (setting, (gsize) (equals - setting)) : NULL;
  char *dot = name != NULL ? strrchr (name, '.') : NULL;
  g_autofree char *section = NULL, *key = NULL, *value = NULL;
  Place place = { .file = intern (config, origin) };

  g_return_if_fail (!config->finished);
  if (dot == NULL || dot == name || dot[1] == '\0' || !setting_is_text (setting)) {
    zm_problems_add (problems, ZM_PROBLEM_ERROR, ZM_CODE_BAD_SET_OPTION, place.file, 0, 0,
                     "SECTION.KEY=VALUE", "write for example workers.timeout=10s", "\"%s\" is no setting",
                     setting);
    return;
  }
  *dot = '\0';
  section = fold_section (name);
  key = g_strstrip (g_strdup (dot + 1));
  value = g_strstrip (g_strdup (equals + 1));
  if (!section_check (section, &place, problems) || !key_check (section, key, &place, problems))
    return;
  if (config->setting_origin != place.file)
    config->layer++;
  config->setting_origin = place.file;
  remember_section (config, section, &place);
  add_value (config, section, key, value, &place, 0, problems);
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
    items = g_hash_table_lookup (config->defaults, spec);
  return items != NULL ? (const char *const *) items : none;
}

const char *
zm_config_text (const ZmConfig *config, const char *section, const char *key)
{
  return zm_config_list (config, section, key)[0];
}

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

gboolean
zm_config_place (const ZmConfig *config, const char *section, const char *key, const char **file, guint *line,
                 guint *column)
{
  const ZmEntry *entry = zm_config_entry (config, section, key);
  const ZmValue *value;

  *file = NULL;
  *line = *column = 0;
  if (entry == NULL || entry->values->len == 0)
    return FALSE;
  value = g_ptr_array_index (entry->values, 0);
  *file = value->file;
  *line = value->line;
  *column = value->column;
  return TRUE;
}
