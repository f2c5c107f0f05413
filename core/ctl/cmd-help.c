/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * help and version: all made from the table.
 *
 * `help --man` prints the list as the manual page has it, in scdoc's markup. A test compares both, so a command or an option
 * cannot be added without its line in the manual.
 */
#include "config.h"

#include "base/version.h"
#include "ctl/ctl.h"

#include <stdio.h>
#include <string.h>

/* "send KEY [BODY|-|@FILE]" */
static char *
synopsis (const ZmCtlCommand *command)
{
  return g_strconcat (command->name, *command->arguments ? " " : "", command->arguments, NULL);
}

/* "--count N", as it is typed. The caller frees. */
static char *
option_text (const ZmCtlOption *option)
{
  return option->value != NULL ? g_strdup_printf ("--%s %s", option->name, option->value)
                               : g_strdup_printf ("--%s", option->name);
}

/* Two columns: the left one at least `width` wide, counted in characters. */
static void
print_pair (const char *left, int width, const char *right)
{
  int pad = width - (int) g_utf8_strlen (left, -1);

  printf ("  %s%*s  %s\n", left, MAX (pad, 0), "", right);
}

/* Own options of a command, or NULL. The texts are translated here and not in the table, which is constant data. */
static void
print_options (const ZmCtlOption *options)
{
  for (const ZmCtlOption *option = options; option != NULL && option->name != NULL; option++) {
    g_autofree char *left = option_text (option);

    print_pair (left, 22, _ (option->help));
  }
}

/* The options of every command, without those that this one has under the same name: its own count. */
static void
print_global_options (const ZmCtlCommand *command)
{
  for (const ZmCtlOption *option = zm_ctl_global_options (); option->name != NULL; option++) {
    g_autofree char *left = option_text (option);

    if (!zm_ctl_has_option (command, option->name))
      print_pair (left, 22, _ (option->help));
  }
}

/* Commands stand in the order of the table: it is the order in which people need them, not that of the alphabet. */
static void
print_group (ZmCtlGroup group)
{
  printf ("\n%s:\n", zm_ctl_group_title (group));
  for (const ZmCtlCommand *command = zm_ctl_commands (); command->name != NULL; command++) {
    g_autofree char *left = synopsis (command);

    if (command->group == group)
      print_pair (left, 26, _ (command->help));
  }
}

/* The first group is what most people need; the rest only on request. */
void
zm_ctl_help_overview (gboolean all)
{
  printf (_ ("Usage: zmanagerctl [OPTION]... COMMAND [ARGUMENT]...\n"));
  printf (_ ("Talks to a running zmanagerd.\n"));
  print_group (ZM_GROUP_FIRST);
  if (all) {
    print_group (ZM_GROUP_UNDERSTAND);
    print_group (ZM_GROUP_OPERATE);
  }
  printf ("\n%s:\n", _ ("Options of every command"));
  print_options (zm_ctl_global_options ());
  printf ("\n%s\n",
          all ? _ ("More about one: zmanagerctl help COMMAND")
              : _ ("The other commands: zmanagerctl help --all. More about one: zmanagerctl help COMMAND"));
  printf ("%s\n",
          _ ("Exit status: 0 ok, 1 failed, 2 usage, 3 unreachable, 4 refused, 5 not found, 6 degraded"));
}

/* The same whether it was asked by `help COMMAND` or `COMMAND --help`. */
void
zm_ctl_help_command (const ZmCtlCommand *command)
{
  g_autofree char *text = synopsis (command);

  printf (_ ("Usage: zmanagerctl %s [OPTION]...\n"), text);
  printf ("%s.\n", _ (command->help));
  if (command->options != NULL) {
    printf ("\n%s:\n", _ ("Options"));
    print_options (command->options);
  }
  printf ("\n%s:\n", _ ("Options of every command"));
  print_global_options (command);
}

/* scdoc's markup characters as themselves. */
static char *
scd_escape (const char *text)
{
  GString *out = g_string_new (NULL);

  for (; *text != '\0'; text++) {
    if (strchr ("\\*_#@", *text) != NULL)
      g_string_append_c (out, '\\');
    g_string_append_c (out, *text);
  }
  return g_string_free (out, FALSE);
}

/* The list as data/man/zmanagerctl.1.scd has it (English: the page is). A test compares both. */
static void
print_man (void)
{
  int group = -1;

  for (const ZmCtlCommand *command = zm_ctl_commands (); command->name != NULL; command++) {
    g_autofree char *arguments = scd_escape (command->arguments);

    /* The groups follow each other in the table, so a new one begins where it differs. */
    if ((int) command->group != group)
      printf ("## %s\n\n", zm_ctl_group_title (command->group));
    group = (int) command->group;
    printf ("*%s*%s%s\n\t%s.\n\n", command->name, *arguments ? " " : "", arguments, command->help);
    for (const ZmCtlOption *option = command->options; option != NULL && option->name != NULL; option++) {
      g_autofree char *help = scd_escape (option->help);
      g_autofree char *value = scd_escape (option->value ? option->value : "");

      printf ("\t*--%s*%s%s%s%s: %s.\n\n", option->name, *value ? " " : "", *value ? "_" : "", value,
              *value ? "_" : "", help);
    }
  }
}

gboolean
zm_ctl_help_group (const char *word)
{
  guint shown = 0;

  for (const ZmCtlCommand *command = zm_ctl_commands (); command->name != NULL; command++)
    if (g_str_has_prefix (command->name, word) && command->name[strlen (word)] == ' ') {
      g_autofree char *left = synopsis (command);

      print_pair (left, 26, _ (command->help));
      shown++;
    }
  return shown > 0;
}

/* A word that begins several commands (plugin, flow) lists these. --man goes before all: it is for the manual page's
 * test. */
int
zm_ctl_cmd_help (ZmCtl *ctl, guint n, char **arguments)
{
  const ZmCtlCommand *command = NULL;
  guint used = 0;

  if (zm_ctl_flag (ctl, "man")) {
    print_man ();
    return ZM_EXIT_OK;
  }
  if (n == 0) {
    zm_ctl_help_overview (zm_ctl_flag (ctl, "all"));
    return ZM_EXIT_OK;
  }
  command = zm_ctl_find (arguments, n, &used);
  if (command != NULL && used == n) {
    zm_ctl_help_command (command);
    return ZM_EXIT_OK;
  }
  /* "help plugin": all that begin so. */
  if (n == 1 && zm_ctl_help_group (arguments[0]))
    return ZM_EXIT_OK;
  return zm_ctl_usage (ctl, _ ("there is no command \"%s\""), arguments[n - 1]);
}

/* The client's own version, without asking a daemon; that of the daemon is in status. */
int
zm_ctl_cmd_version (ZmCtl *ctl, guint n, char **arguments)
{
  (void) n;
  (void) arguments;
  if (ctl->json)
    printf ("{\"version\":\"%s\"}\n", zm_version ());
  else
    printf ("zmanagerctl %s\n", zm_version ());
  return ZM_EXIT_OK;
}
