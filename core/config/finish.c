/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The end of reading: items of lists, secrets, checks of every value, and options of plugins. */
#include "config.h"

#include "config/config-private.h"

#include "base/zm-codes.h"
#include "zmanager/plugin.h"

#include <string.h>

static ZmValueRule
rule_of_spec (const ZmKeySpec *spec)
{
  ZmValueRule rule = { .type = spec->type,
                       .choices = spec->choices,
                       .least = spec->least,
                       .most = spec->most,
                       .key = spec->key,
                       .standard = spec->standard };
  return rule;
}

static gboolean
is_endpoint (const ZmEntry *entry)
{
  return strcmp (entry->key, "bind") == 0 || strcmp (entry->key, "connect") == 0;
}

static void
open_quote (const ZmEntry *entry, const ZmValue *value, ZmProblems *problems)
{
  zm_problems_add (problems, ZM_PROBLEM_ERROR, ZM_CODE_BAD_VALUE, value->file, value->line, value->column,
                   "items separated by blanks, \"…\" around one with blanks", "close it, or remove it",
                   "[%s] %s: a quotation mark is not closed", entry->section, entry->key);
}

/* Appends the items of one value, secrets resolved. */
static void
append_items (ZmEntry *entry, const ZmValue *value, GPtrArray *items, ZmProblems *problems)
{
  g_auto (GStrv) split = NULL;
  char *secret;

  if ((entry->spec == NULL || entry->spec->secret) && zm_config_secret_refers (value->text)) {
    atomic_store (&entry->secret, TRUE);
    secret = zm_config_secret_resolve (entry, value, problems);
    if (secret != NULL)
      g_ptr_array_add (items, secret);
    return;
  }
  if (entry->spec == NULL || !entry->spec->list) {
    g_ptr_array_add (items, g_strdup (value->text));
    return;
  }
  split = zm_config_value_split (value->text);
  if (split == NULL)
    open_quote (entry, value, problems);
  for (guint i = 0; split != NULL && split[i] != NULL; i++)
    g_ptr_array_add (items, g_strdup (split[i]));
}

/* Only keys of the schema; plugins' own keys wait for their options table. */
static void
check_items (ZmConfig *config, ZmEntry *entry, const ZmValue *value, const GPtrArray *items, guint from,
             ZmProblems *problems)
{
  for (guint i = from; entry->spec != NULL && i < items->len; i++) {
    const char *item = g_ptr_array_index (items, i);
    ZmValueRule rule = rule_of_spec (entry->spec);

    if (zm_config_value_check (&rule, entry, value, item, &entry->number, problems) && is_endpoint (entry))
      zm_config_endpoint_check (config, entry, value, item, problems);
  }
}

/* Every value is kept even where it is wrong: the caller refuses the configuration as a whole, after all problems are
 * found. */
static void
finish_entry (ZmConfig *config, ZmEntry *entry, ZmProblems *problems)
{
  GPtrArray *items = g_ptr_array_new ();

  for (guint i = 0; i < entry->values->len; i++) {
    const ZmValue *value = g_ptr_array_index (entry->values, i);
    guint from = items->len;

    append_items (entry, value, items, problems);
    check_items (config, entry, value, items, from, problems);
  }
  g_ptr_array_add (items, NULL);
  g_strfreev (entry->list);
  entry->list = (char **) g_ptr_array_free (items, FALSE);
}

/* [source netlink] without plugin= means the plugin netlink. */
static void
name_sources (ZmConfig *config)
{
  g_auto (GStrv) names = zm_config_names (config, "source");

  for (guint i = 0; names[i] != NULL; i++) {
    g_autofree char *section = g_strconcat ("source ", names[i], NULL);
    ZmEntry *entry = zm_config_entry (config, section, "plugin");

    if (entry != NULL)
      continue;
    entry = zm_config_new_entry (config, section, "plugin");
    entry->list = g_strdupv ((char *[]){ names[i], NULL });
  }
}

void
zm_config_finish (ZmConfig *config, ZmProblems *problems)
{
  ZmEntry *multicast = zm_config_entry (config, "security", "allow-multicast");

  g_return_if_fail (!config->finished);
  config->finished = TRUE;
  /* Endpoints are judged by it. */
  if (multicast != NULL)
    finish_entry (config, multicast, problems);
  for (guint i = 0; i < config->order->len; i++) {
    ZmEntry *entry = g_ptr_array_index (config->order, i);

    if (entry != multicast)
      finish_entry (config, entry, problems);
  }
  name_sources (config);
}

/* By section and key: whether the plugin still says so is not known before its options are read anew, and then it is too late
 * for a line in the log. */
void
zm_config_keep_secrets (const ZmConfig *config, const ZmConfig *before)
{
  for (guint i = 0; i < before->order->len; i++) {
    ZmEntry *old = g_ptr_array_index (before->order, i);
    ZmEntry *entry = atomic_load (&old->secret) ? zm_config_entry (config, old->section, old->key) : NULL;

    if (entry != NULL)
      atomic_store (&entry->secret, TRUE);
  }
}

/* ---- keys of plugins ---- */

/* A plugin's table ends in a NULL name and may be NULL. */
static const zm_option_desc *
find_option (const zm_option_desc *options, const char *key)
{
  for (; options != NULL && options->name != NULL; options++)
    if (strcmp (options->name, key) == 0)
      return options;
  return NULL;
}

/* The plugin's keys, and those that every section of this kind has. */
static void
unknown_option (const ZmEntry *entry, const zm_option_desc *options, ZmProblems *problems)
{
  g_autoptr (GPtrArray) words = g_ptr_array_new ();
  const ZmValue *value = g_ptr_array_index (entry->values, 0);
  gsize kind = zm_config_kind (entry->section);
  g_autofree char *list = NULL, *expected = NULL, *advice = NULL;
  const char *nearest;

  for (; options != NULL && options->name != NULL; options++)
    g_ptr_array_add (words, (gpointer) options->name);
  for (const ZmKeySpec *spec = zm_config_schema (); spec->section != NULL; spec++)
    if (strlen (spec->section) == kind && memcmp (spec->section, entry->section, kind) == 0)
      g_ptr_array_add (words, (gpointer) spec->key);
  g_ptr_array_add (words, NULL);
  list = g_strjoinv (", ", (char **) words->pdata);
  expected = g_strdup_printf ("one of %s", list);
  nearest = zm_suggest (entry->key, (const char *const *) words->pdata);
  if (nearest != NULL)
    advice = g_strdup_printf ("did you mean \"%s\"?", nearest);
  zm_problems_add (problems, ZM_PROBLEM_ERROR, ZM_CODE_UNKNOWN_KEY, value->file, value->line,
                   value->key_column, expected, advice, "unknown key \"%s\" in [%s]", entry->key,
                   entry->section);
}

/* The table is a plugin's: its names and texts may be anything, its types of a later ABI. */
static void
check_option (ZmEntry *entry, const zm_option_desc *option, ZmProblems *problems)
{
  /* In the order of ZM_OPTION_*. */
  static const ZmValueType types[] = { ZM_TYPE_STRING,  ZM_TYPE_INTEGER,  ZM_TYPE_NUMBER,
                                       ZM_TYPE_BOOLEAN, ZM_TYPE_DURATION, ZM_TYPE_SIZE };
  const ZmValue *value = g_ptr_array_index (entry->values, 0);
  ZmValueRule rule = { .key = option->name, .standard = option->standard };
  gint64 number;

  if ((option->flags & ZM_OPTION_SECRET) != 0)
    atomic_store (&entry->secret, TRUE);
  if (entry->values->len > 1 && (option->flags & ZM_OPTION_LIST) == 0) {
    value = g_ptr_array_index (entry->values, 1);
    zm_problems_add (problems, ZM_PROBLEM_ERROR, ZM_CODE_REPEATED_KEY, value->file, value->line,
                     value->column, "one value", "remove all but one", "[%s] %s is given %u times",
                     entry->section, entry->key, entry->values->len);
    return;
  }
  /* A type of a later ABI is the plugin's own to judge. */
  if (option->type >= G_N_ELEMENTS (types))
    return;
  rule.type = types[option->type];
  for (guint i = 0; entry->list[i] != NULL; i++)
    zm_config_value_check (&rule, entry, g_ptr_array_index (entry->values, MIN (i, entry->values->len - 1)),
                           entry->list[i], &number, problems);
}

/* Told at the section, as what is missing has no line of its own. */
static void
check_required (const ZmConfig *config, const char *name, const zm_option_desc *option, ZmProblems *problems)
{
  const ZmEntry *entry = zm_config_entry (config, name, option->name);
  const ZmSection *section = zm_config_find_section (config, name);
  g_autofree char *expected = NULL, *advice = NULL;

  /* A secret that could not be resolved was given. */
  if ((option->flags & ZM_OPTION_REQUIRED) == 0 || (entry != NULL && entry->values->len > 0))
    return;
  expected = option->doc != NULL ? g_strdup_printf ("%s = … (%s)", option->name, option->doc)
                                 : g_strdup_printf ("%s = …", option->name);
  advice = g_strdup_printf ("add it to [%s]", name);
  zm_problems_add (problems, ZM_PROBLEM_ERROR, ZM_CODE_MISSING_KEY, section != NULL ? section->file : NULL,
                   section != NULL ? section->line : 0, section != NULL ? section->column : 0, expected,
                   advice, "[%s] lacks %s", name, option->name);
}

/* Only reads, but for the mark that a value is secret, which is atomic: the running daemon may dump the configuration
 * meanwhile. */
void
zm_config_check_options (const ZmConfig *config, const char *section, const struct zm_option_desc *options,
                         ZmProblems *problems)
{
  g_return_if_fail (config->finished);
  for (guint i = 0; i < config->order->len; i++) {
    ZmEntry *entry = g_ptr_array_index (config->order, i);
    const zm_option_desc *option = find_option (options, entry->key);

    if (strcmp (entry->section, section) != 0 || entry->spec != NULL)
      continue;
    if (option == NULL)
      unknown_option (entry, options, problems);
    else
      check_option (entry, option, problems);
  }
  for (const zm_option_desc *option = options; option != NULL && option->name != NULL; option++)
    check_required (config, section, option, problems);
}
