/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The layers of the configuration, files and settings: what may stand in them, and which counts. */
#include "config.h"

#include "config/config-private.h"

#include "base/zm-codes.h"
#include "config/zm-lines.h"
#include "message/zm-key.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Where a line or a setting stands; column of what is being complained about. */
typedef struct Place {
  const char *file;
  guint line, column;
} Place;

/* ---- sections and keys: which are known ---- */

/* Sections whose plugin brings keys of its own. */
static gboolean
kind_open (const char *section)
{
  return g_str_has_prefix (section, "plugin ") || g_str_has_prefix (section, "source ") ||
         strcmp (section, "store") == 0;
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

/* Lists all that there are: somebody who misspells one often looks for another. */
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

/* Names become parts of socket paths and of file names. */
static gboolean
name_fits (const char *name)
{
  return name[0] != '.' && name[0] != '-' && strlen (name) <= 64 &&
         strspn (name, G_CSET_a_2_z G_CSET_A_2_Z G_CSET_DIGITS "_.-") == strlen (name);
}

/* [action KEY]: its name is an action key. */
static gboolean
action_check (const char *name, const Place *place, ZmProblems *problems)
{
  g_autoptr (GError) error = NULL;
  guint column = 1;
  ZmKey key;

  if (zm_key_parse (zm_span_text (name), &key, &column, &error))
    return TRUE;
  /* A setting has no column. */
  column = place->line > 0 ? place->column + (guint) strlen ("action ") + column - 1 : 0;
  zm_problems_add (problems, ZM_PROBLEM_ERROR, ZM_CODE_BAD_KEY, place->file, place->line, column,
                   "[action Sender?Context@Decorator?Action]", "write the key as the mapping has it",
                   "section [action %s]: %s", name, error->message);
  return FALSE;
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
  if (name != NULL && strcmp (kind, "action") == 0)
    return action_check (name, place, problems);
  if (zm_config_section_named (kind) == (name != NULL) && (name == NULL || name_fits (name)))
    return TRUE;
  if (!zm_config_section_named (kind)) {
    expected = g_strdup_printf ("[%s]", kind);
    zm_problems_add (problems, ZM_PROBLEM_ERROR, ZM_CODE_BAD_SECTION_NAME, place->file, place->line,
                     place->column, expected, "leave the name out", "section [%s] takes no name", kind);
    return FALSE;
  }
  expected =
      g_strdup_printf ("[%s NAME]%s", kind, name == NULL ? "" : " with at most 64 letters, digits and _ . -");
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

/* The first place counts, as the one that people look for. */
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

/* A later layer replaces what was there; within a layer lists grow, and anything else is an oversight. */
static void
add_value (ZmConfig *config, const char *section, const char *key, const char *text, const Place *place,
           guint value_column, ZmProblems *problems)
{
  ZmEntry *entry = zm_config_entry (config, section, key);
  gboolean many;
  ZmValue value;

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
  value = (ZmValue){
    .file = place->file, .line = place->line, .key_column = place->column, .column = value_column
  };
  zm_config_new_value (entry, text, &value);
}

/* Goes on after each mistake: all of a file's are told at once. */
void
zm_config_add_file (ZmConfig *config, const char *path, ZmProblems *problems)
{
  g_autoptr (ZmLines) lines = zm_lines_read_file (path, problems);
  Place place = { .file = zm_config_intern (config, path) };
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

  /* Not there is fine; there and closed to us would silently leave its files out. */
  if (access (directory, R_OK | X_OK) != 0 && errno != ENOENT)
    zm_problems_add (problems, ZM_PROBLEM_ERROR, ZM_CODE_NOT_READABLE, directory, 0, 0,
                     "a directory that can be read", "check its permissions", "cannot be read: %s",
                     g_strerror (errno));
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

/* Nor a key that no file could hold, as a line that begins so is a section or a comment: --dump would not read back. */
static gboolean
starts_a_key (const char *text)
{
  while (g_ascii_isspace (*text))
    text++;
  return *text != '\0' && strchr ("[#;", *text) == NULL;
}

/* The last dot divides section and key, as names of sections may have dots and keys have none. */
void
zm_config_add_setting (ZmConfig *config, const char *setting, const char *origin, ZmProblems *problems)
{
  const char *equals = strchr (setting, '=');
  g_autofree char *name = equals != NULL ? g_strndup (setting, (gsize) (equals - setting)) : NULL;
  char *dot = name != NULL ? strrchr (name, '.') : NULL;
  g_autofree char *section = NULL, *key = NULL, *value = NULL;
  Place place = { .file = zm_config_intern (config, origin) };

  g_return_if_fail (!config->finished);
  if (dot == NULL || dot == name || !starts_a_key (dot + 1) || !setting_is_text (setting)) {
    g_autofree char *safe = zm_hide_after_name (setting);

    zm_problems_add (problems, ZM_PROBLEM_ERROR, ZM_CODE_BAD_SET_OPTION, place.file, 0, 0,
                     "SECTION.KEY=VALUE", "write for example workers.timeout=10s", "\"%s\" is no setting",
                     safe);
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
