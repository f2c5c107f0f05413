/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The command line against the table. Options stand anywhere; those of a command after the command. What is wrong is said
 * in one line with what would be right, and how the command is used.
 *
 * Values are checked as they are read (choices, counts, times), so that no command has to do it, and none begins with half of
 * its options good. They are kept as texts, borrowed from argv, and read anew by zm_ctl_count and zm_ctl_duration.
 */
#include "config.h"

#include "base/version.h"
#include "ctl/ctl.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* One line what is wrong, one how it is right: the whole help would push the first one off the screen. */
int
zm_ctl_usage (const ZmCtl *ctl, const char *format, ...)
{
  const ZmCtlCommand *command = ctl->command;
  g_autofree char *text = NULL, *safe = NULL;
  va_list list;

  va_start (list, format);
  text = g_strdup_vprintf (format, list);
  va_end (list);
  safe = zm_printable (zm_span_text (text), 8192);
  fprintf (stderr, "zmanagerctl: %s\n", safe);
  if (command != NULL)
    fprintf (stderr, _ ("usage: zmanagerctl %s%s%s; see zmanagerctl help %s\n"), command->name,
             *command->arguments ? " " : "", command->arguments, command->name);
  else
    fprintf (stderr, _ ("see zmanagerctl --help\n"));
  /* ctl->json is not set before the line was read. */
  if (zm_ctl_flag (ctl, "json"))
    zm_out_json_error ("invalid", text, NULL);
  return ZM_EXIT_USAGE;
}

/* ---- options as given ---- */

/* Also tells whether an option with a value was given. */
gboolean
zm_ctl_flag (const ZmCtl *ctl, const char *name)
{
  return g_hash_table_contains (ctl->values, name);
}

/* In the order of the command line. */
GPtrArray *
zm_ctl_list (const ZmCtl *ctl, const char *name)
{
  return g_hash_table_lookup (ctl->values, name);
}

/* The last one stands, so that an alias with options of its own can be overruled. */
const char *
zm_ctl_text (const ZmCtl *ctl, const char *name)
{
  GPtrArray *list = zm_ctl_list (ctl, name);

  return list != NULL ? g_ptr_array_index (list, list->len - 1) : NULL;
}

/* The text was checked when it was read. */
gint64
zm_ctl_count (const ZmCtl *ctl, const char *name, gint64 standard)
{
  const char *text = zm_ctl_text (ctl, name);

  return text != NULL ? g_ascii_strtoll (text, NULL, 10) : standard;
}

gint64
zm_ctl_duration (const ZmCtl *ctl, const char *name, gint64 standard)
{
  const char *text = zm_ctl_text (ctl, name);
  gint64 value = standard;

  if (text != NULL && !zm_parse_duration (text, &value, NULL))
    return standard;
  return value;
}

/* ---- options being read ---- */

/* options may be NULL: a command without any. */
static const ZmCtlOption *
find_in (const ZmCtlOption *options, ZmSpan name)
{
  for (const ZmCtlOption *option = options; option != NULL && option->name != NULL; option++)
    if (zm_span_is (name, option->name))
      return option;
  return NULL;
}

/* Asked by help and completion, which would list such an option twice. */
gboolean
zm_ctl_has_option (const ZmCtlCommand *command, const char *name)
{
  return find_in (command->options, zm_span_text (name)) != NULL;
}

/* A command's own option goes before a global one of the same name. */
static const ZmCtlOption *
find_option (const ZmCtl *ctl, ZmSpan name)
{
  const ZmCtlOption *option = ctl->command != NULL ? find_in (ctl->command->options, name) : NULL;

  return option != NULL ? option : find_in (zm_ctl_global_options (), name);
}

/* Any command's option of that name: it was given before the command. */
static gboolean
known_anywhere (ZmSpan name)
{
  for (const ZmCtlCommand *command = zm_ctl_commands (); command->name != NULL; command++)
    if (find_in (command->options, name) != NULL)
      return TRUE;
  return FALSE;
}

/* Candidates for "did you mean". */
static void
add_names (GPtrArray *names, const ZmCtlOption *options)
{
  for (const ZmCtlOption *option = options; option != NULL && option->name != NULL; option++)
    g_ptr_array_add (names, (gpointer) option->name);
}

/* Three cases: known but too early, near to a known one, or neither. Gives the exit status. */
static int
unknown_option (const ZmCtl *ctl, ZmSpan name)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  g_autofree char *text = zm_printable (name, 64);
  const char *near = NULL;

  /* A frequent slip, as the global ones may stand there. */
  if (ctl->command == NULL && known_anywhere (name))
    return zm_ctl_usage (ctl, _ ("--%s is an option of a command: it stands after the command"), text);
  add_names (names, ctl->command != NULL ? ctl->command->options : NULL);
  add_names (names, zm_ctl_global_options ());
  g_ptr_array_add (names, NULL);
  near = zm_suggest (text, (const char *const *) names->pdata);
  if (near != NULL)
    return zm_ctl_usage (ctl, _ ("unknown option --%s; did you mean --%s?"), text, near);
  return zm_ctl_usage (ctl, _ ("unknown option --%s"), text);
}

/* Is value what the option takes? */
static gboolean
check_value (const ZmCtl *ctl, const ZmCtlOption *option, const char *value)
{
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) choices = NULL;
  gint64 number;

  if (option->kind == ZM_OPT_COUNT && !zm_parse_integer (value, 1, 1000000000, &number, &error)) {
    zm_ctl_usage (ctl, "--%s: %s", option->name, error->message);
    return FALSE;
  }
  if (option->kind == ZM_OPT_DURATION && !zm_parse_duration (value, &number, &error)) {
    zm_ctl_usage (ctl, "--%s: %s", option->name, error->message);
    return FALSE;
  }
  if (option->choices == NULL)
    return TRUE;
  choices = g_strsplit (option->choices, "|", -1);
  if (g_strv_contains ((const char *const *) choices, value))
    return TRUE;
  zm_ctl_usage (ctl, _ ("--%s cannot be \"%s\"; it is one of %s"), option->name, value, option->choices);
  return FALSE;
}

/* Values are borrowed from argv. */
static gboolean
keep_value (ZmCtl *ctl, const ZmCtlOption *option, const char *value)
{
  GPtrArray *list = zm_ctl_list (ctl, option->name);

  if (!check_value (ctl, option, value))
    return FALSE;
  if (list == NULL) {
    list = g_ptr_array_new ();
    g_hash_table_insert (ctl->values, (gpointer) option->name, list);
  }
  g_ptr_array_add (list, (gpointer) value);
  return TRUE;
}

/* One option at argv[*at]; moves *at over its value. */
static gboolean
read_option (ZmCtl *ctl, char **argv, int argc, int *at)
{
  const char *text = argv[*at] + 2;
  const char *equals = strchr (text, '=');
  ZmSpan name = equals != NULL ? zm_span (text, (gsize) (equals - text)) : zm_span_text (text);
  const ZmCtlOption *option = find_option (ctl, name);

  if (option == NULL) {
    unknown_option (ctl, name);
    return FALSE;
  }
  /* --name=VALUE or --name VALUE; a flag has none, and would take the next word for its value else. */
  if (option->kind == ZM_OPT_FLAG && equals != NULL) {
    zm_ctl_usage (ctl, _ ("--%s takes no value"), option->name);
    return FALSE;
  }
  if (option->kind == ZM_OPT_FLAG)
    return keep_value (ctl, option, "");
  if (equals != NULL)
    return keep_value (ctl, option, equals + 1);
  if (*at + 1 >= argc) {
    zm_ctl_usage (ctl, _ ("--%s wants a value: --%s %s"), option->name, option->name, option->value);
    return FALSE;
  }
  return keep_value (ctl, option, argv[++*at]);
}

/* ---- commands ---- */

/* No first word of a group is a command by itself, so the first match is the only one. */
const ZmCtlCommand *
zm_ctl_find (char **words, guint n, guint *used)
{
  g_autofree char *two = n > 1 ? g_strdup_printf ("%s %s", words[0], words[1]) : NULL;

  *used = 0;
  for (const ZmCtlCommand *command = zm_ctl_commands (); n > 0 && command->name != NULL; command++) {
    if (strcmp (command->name, words[0]) == 0)
      *used = 1;
    else if (two != NULL && strcmp (command->name, two) == 0)
      *used = 2;
    if (*used > 0)
      return command;
  }
  return NULL;
}

/* First words, or the second words that follow `first`, each once; NULL-terminated. */
static GPtrArray *
words_after (const char *first)
{
  GPtrArray *out = g_ptr_array_new_with_free_func (g_free);

  for (const ZmCtlCommand *command = zm_ctl_commands (); command->name != NULL; command++) {
    g_auto (GStrv) parts = g_strsplit (command->name, " ", 2);
    const char *word = first == NULL ? parts[0] : g_strcmp0 (parts[0], first) == 0 ? parts[1] : NULL;

    if (word != NULL && !g_ptr_array_find_with_equal_func (out, word, g_str_equal, NULL))
      g_ptr_array_add (out, g_strdup (word));
  }
  g_ptr_array_add (out, NULL);
  return out;
}

/* The whole list only where it is short: the commands of one group. */
static int
unknown_command (ZmCtl *ctl, char **words, guint n)
{
  g_autoptr (GPtrArray) seconds = words_after (words[0]);
  g_autoptr (GPtrArray) firsts = words_after (NULL);
  g_autofree char *list = g_strjoinv (", ", (char **) seconds->pdata);
  gboolean group = seconds->len > 1;
  const char *wrong = group && n > 1 ? words[1] : words[0];
  g_autofree char *text = zm_printable (zm_span_text (wrong), 64);
  const char *near = zm_suggest (text, (const char *const *) (group ? seconds : firsts)->pdata);

  if (group && n < 2)
    return zm_ctl_usage (ctl, _ ("%s wants one of: %s"), words[0], list);
  if (group && near != NULL)
    return zm_ctl_usage (ctl, _ ("unknown command \"%s %s\"; did you mean \"%s %s\"?"), words[0], text,
                         words[0], near);
  if (group)
    return zm_ctl_usage (ctl, _ ("unknown command \"%s %s\"; %s has: %s"), words[0], text, words[0], list);
  if (near != NULL)
    return zm_ctl_usage (ctl, _ ("unknown command \"%s\"; did you mean \"%s\"?"), text, near);
  return zm_ctl_usage (ctl, _ ("unknown command \"%s\""), text);
}

/* Collects the words up to the end; each option goes to ctl. The command is known as soon as its words are. */
static gboolean
read_words (ZmCtl *ctl, int argc, char **argv, GPtrArray *words)
{
  gboolean options = TRUE;
  guint used = 0;

  for (int i = 1; i < argc; i++) {
    if (options && strcmp (argv[i], "--") == 0) {
      options = FALSE;
      continue;
    }
    /* The one short option: it is what everybody tries first. */
    if (options && strcmp (argv[i], "-h") == 0)
      argv[i] = (char *) "--help";
    if (options && argv[i][0] == '-' && argv[i][1] == '-') {
      if (!read_option (ctl, argv, argc, &i))
        return FALSE;
      continue;
    }
    /* "-" alone is an argument: the standard input. */
    if (options && argv[i][0] == '-' && argv[i][1] != '\0') {
      zm_ctl_usage (ctl, _ ("unknown option %s; after -- it would be an argument"), argv[i]);
      return FALSE;
    }
    g_ptr_array_add (words, argv[i]);
    if (ctl->command == NULL)
      ctl->command = zm_ctl_find ((char **) words->pdata, words->len, &used);
  }
  return TRUE;
}

/* The number of arguments against the table. */
static gboolean
check_arguments (const ZmCtl *ctl, const GPtrArray *arguments)
{
  const ZmCtlCommand *command = ctl->command;

  for (guint i = 0; i < arguments->len; i++)
    if (!g_utf8_validate (g_ptr_array_index (arguments, i), -1, NULL)) {
      zm_ctl_usage (ctl, _ ("argument %u is not UTF-8 text; a body of other bytes is given as @FILE or -"),
                    i + 1);
      return FALSE;
    }
  if (arguments->len > command->most) {
    const char *extra = g_ptr_array_index (arguments, command->most);
    g_autofree char *text = zm_printable (zm_span_text (extra), 64);

    zm_ctl_usage (ctl, _ ("%s: unexpected argument \"%s\""), command->name, text);
    return FALSE;
  }
  if (arguments->len < command->least) {
    zm_ctl_usage (ctl, _ ("%s: %s is missing"), command->name, command->arguments);
    return FALSE;
  }
  return TRUE;
}

/* --help and --version end the program whatever else stands there. */
static gboolean
answered (ZmCtl *ctl, const GPtrArray *arguments)
{
  if (zm_ctl_flag (ctl, "help")) {
    if (ctl->command != NULL)
      zm_ctl_help_command (ctl->command);
    else if (arguments->len == 0 || !zm_ctl_help_group (arguments->pdata[0]))
      zm_ctl_help_overview (FALSE);
    return TRUE;
  }
  if (zm_ctl_flag (ctl, "version")) {
    printf ("zmanagerctl %s\n", zm_version ());
    return TRUE;
  }
  return FALSE;
}

/* Options may stand anywhere, so the line is read to its end before --help is answered; and a line with a wrong option
 * is wrong, even with --help. */
gboolean
zm_ctl_parse (ZmCtl *ctl, int argc, char **argv, GPtrArray *arguments, int *status)
{
  guint used = 0;

  *status = ZM_EXIT_USAGE;
  if (!read_words (ctl, argc, argv, arguments))
    return FALSE;
  *status = ZM_EXIT_OK;
  if (answered (ctl, arguments))
    return FALSE;
  *status = ZM_EXIT_USAGE;
  if (arguments->len == 0) {
    zm_ctl_usage (ctl, _ ("say a command, such as: zmanagerctl status"));
    return FALSE;
  }
  if (ctl->command == NULL) {
    unknown_command (ctl, (char **) arguments->pdata, arguments->len);
    return FALSE;
  }
  /* The command's own words are no arguments of it. */
  zm_ctl_find ((char **) arguments->pdata, arguments->len, &used);
  g_ptr_array_remove_range (arguments, 0, used);
  if (!check_arguments (ctl, arguments))
    return FALSE;
  *status = ZM_EXIT_OK;
  return TRUE;
}
