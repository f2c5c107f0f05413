/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * completion bash|zsh|fish: scripts made from the table, so they know what this version knows. Names that only the daemon knows
 * the scripts ask for when they are wanted: completion dead|flows|plugins|queues|services.
 */
#include "config.h"

#include "ctl/ctl.h"

#include <stdio.h>
#include <string.h>

/* ---- names ---- */

static const struct {
  const char *kind;   /* as the scripts ask for it; also the request, and the member of the answer */
  const char *member; /* of each of them: what it is called */
} kinds[] = {
  { "dead", "id" }, { "flows", "name" }, { "plugins", "name" }, { "queues", "name" }, { "services", "name" }
};

/* Commands whose first argument is such a name. */
static const struct {
  const char *command, *kind;
  gboolean files; /* a file will do as well */
} takers[] = {
  { "dead show", "dead", FALSE },        { "dead rm", "dead", FALSE },
  { "dead replay", "dead", FALSE },      { "flow show", "flows", FALSE },
  { "plugin inspect", "plugins", TRUE }, { "plugin load", "plugins", FALSE },
  { "plugin unload", "plugins", FALSE }, { "queue show", "queues", FALSE },
  { "queue rm", "queues", FALSE },       { "queue purge", "queues", FALSE },
  { "queue put", "queues", FALSE },      { "queue get", "queues", FALSE },
  { "queue ack", "queues", FALSE },      { "queue release", "queues", FALSE },
  { "queue peek", "queues", FALSE },     { "export", "queues", FALSE },
  { "plugin reload", "plugins", FALSE }, { "services", "services", FALSE },
};

/* One name a line. Without a daemon there is nothing to offer, and a shell's prompt is no place to say so: the status tells. */
static int
print_names (ZmCtl *ctl, const char *kind, const char *member)
{
  g_autoptr (JsonObject) answer = zm_ctl_request (ctl, zm_ctl_request_new (kind), ZM_CTL_ANSWER_MS, NULL);
  JsonArray *rows = zm_json_get_array (answer, kind);

  for (guint i = 0; rows != NULL && i < json_array_get_length (rows); i++) {
    g_autofree char *name =
        zm_printable (zm_span_text (zm_json_get_text (zm_json_nth_object (rows, i), member)), 256);

    if (*name != '\0')
      zm_out_line (name);
  }
  return answer != NULL ? ZM_EXIT_OK : ZM_EXIT_UNREACHABLE;
}

/* ---- words of the table ---- */

/* "--flow --id …" of a command's own options and, where `global`, of every command. */
static char *
option_words (const ZmCtlCommand *command, gboolean global)
{
  const ZmCtlOption *lists[] = { command != NULL ? command->options : NULL,
                                 global ? zm_ctl_global_options () : NULL };
  g_autoptr (GString) out = g_string_new (NULL);

  for (guint i = 0; i < G_N_ELEMENTS (lists); i++)
    for (const ZmCtlOption *option = lists[i]; option != NULL && option->name != NULL; option++)
      if (i == 0 || command == NULL || !zm_ctl_has_option (command, option->name))
        g_string_append_printf (out, "%s--%s", out->len > 0 ? " " : "", option->name);
  return g_strdup (out->str);
}

/* First words, each once; or the second words of a first one. */
static char *
command_words (const char *first)
{
  g_autoptr (GString) out = g_string_new (NULL);
  g_autofree char *before = NULL;

  for (const ZmCtlCommand *command = zm_ctl_commands (); command->name != NULL; command++) {
    g_auto (GStrv) parts = g_strsplit (command->name, " ", 2);
    const char *word = first == NULL ? parts[0] : strcmp (parts[0], first) == 0 ? parts[1] : NULL;

    /* Commands of one first word stand together in the table. */
    if (word == NULL || g_strcmp0 (word, before) == 0)
      continue;
    g_string_append_printf (out, "%s%s", out->len > 0 ? " " : "", word);
    g_free (before);
    before = g_strdup (word);
  }
  return g_strdup (out->str);
}

/* The shell's case for each command: its options; for each group: its second words. */
static void
print_cases (void)
{
  g_autofree char *firsts = command_words (NULL);
  g_auto (GStrv) words = g_strsplit (firsts, " ", -1);

  for (const ZmCtlCommand *command = zm_ctl_commands (); command->name != NULL; command++) {
    g_autofree char *options = option_words (command, TRUE);

    printf ("    '%s') options='%s' ;;\n", command->name, options);
  }
  for (char **word = words; *word != NULL; word++) {
    g_autofree char *seconds = command_words (*word);

    if (*seconds)
      printf ("    '%s') words='%s' ;;\n", *word, seconds);
  }
}

/* Behind the cases: names of the daemon that the line is about. */
static void
print_name_cases (void)
{
  printf ("  case \"$first${second:+ $second}\" in\n");
  for (guint i = 0; i < G_N_ELEMENTS (takers); i++)
    printf ("    '%s') words=$(zmanagerctl \"${where[@]}\" --timeout 300ms completion %s 2>/dev/null)%s ;;\n",
            takers[i].command, takers[i].kind, takers[i].files ? "" : " names=1");
  printf ("  esac\n"
          "  case $previous in\n"
          "    --flow) words=$(zmanagerctl \"${where[@]}\" --timeout 300ms completion flows 2>/dev/null) ;;\n"
          "  esac\n");
}

/* One function for the shell: it finds the command among the words before the cursor, passing over options and their
 * values, and offers what stands in the cases. */
static void
print_bash (void)
{
  g_autofree char *firsts = command_words (NULL);
  g_autofree char *global = option_words (NULL, TRUE);

  printf ("# bash completion for zmanagerctl: eval \"$(zmanagerctl completion bash)\"\n"
          "_zmanagerctl () {\n"
          "  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} i first= second= "
          "where=()\n"
          "  local words='%s' options='%s' names=\n"
          "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
          "    case ${COMP_WORDS[i]} in\n"
          "      --dir|--connect) where+=(\"${COMP_WORDS[i]}\" \"${COMP_WORDS[i+1]}\"); ((i++)) ;;\n"
          "      --timeout) ((i++)) ;;\n"
          "      -*) ;;\n"
          "      *) if [ -z \"$first\" ]; then first=${COMP_WORDS[i]}; elif [ -z \"$second\" ]; then "
          "second=${COMP_WORDS[i]}; fi ;;\n"
          "    esac\n"
          "  done\n"
          "  case $previous in\n"
          "    --dir) COMPREPLY=($(compgen -d -- \"$current\")); return ;;\n"
          "  esac\n"
          "  [ -n \"$first\" ] && words=\n"
          "  case \"$first${second:+ $second}\" in\n",
          firsts, global);
  print_cases ();
  printf ("  esac\n");
  print_name_cases ();
  printf ("  case \"$first\" in\n"
          "    help) [ -z \"$second\" ] && words='%s' ;;\n"
          "    completion) words='bash zsh fish' ;;\n"
          "  esac\n"
          "  case $current in\n"
          "    -*) COMPREPLY=($(compgen -W \"$options\" -- \"$current\")) ;;\n"
          "    @*) COMPREPLY=($(compgen -P @ -f -- \"${current#@}\")) ;;\n"
          "    *) COMPREPLY=($(compgen -W \"$words\" -- \"$current\")\n"
          "         $([ -n \"$first\" ] && [ -z \"$words$names\" ] && compgen -f -- \"$current\")) ;;\n"
          "  esac\n"
          "}\n"
          "complete -o filenames -F _zmanagerctl zmanagerctl\n",
          firsts);
}

/* zsh understands bash's functions once asked to. */
static void
print_zsh (void)
{
  printf ("#compdef zmanagerctl\n"
          "# zsh completion for zmanagerctl: eval \"$(zmanagerctl completion zsh)\"\n"
          "autoload -U +X bashcompinit && bashcompinit\n");
  print_bash ();
}

/* Text inside single quotes for fish. */
static char *
fish_quote (const char *text)
{
  g_auto (GStrv) parts = g_strsplit (text, "'", -1);

  return g_strjoinv ("\\'", parts);
}

/* fish has conditions instead of a function: each line says when it holds. */
static void
print_fish_command (const ZmCtlCommand *command)
{
  g_auto (GStrv) parts = g_strsplit (command->name, " ", 2);
  g_autofree char *help = fish_quote (_ (command->help));
  g_autofree char *when =
      parts[1] != NULL
          ? g_strdup_printf ("__fish_seen_subcommand_from %s; and __fish_seen_subcommand_from %s", parts[0],
                             parts[1])
          : g_strdup_printf ("__fish_seen_subcommand_from %s", parts[0]);

  if (parts[1] != NULL)
    printf ("complete -c zmanagerctl -n '__fish_use_subcommand' -a '%s'\n"
            "complete -c zmanagerctl -n '__fish_seen_subcommand_from %s' -a '%s' -d '%s'\n",
            parts[0], parts[0], parts[1], help);
  else
    printf ("complete -c zmanagerctl -n '__fish_use_subcommand' -a '%s' -d '%s'\n", parts[0], help);
  for (const ZmCtlOption *option = command->options; option != NULL && option->name != NULL; option++) {
    g_autofree char *text = fish_quote (_ (option->help));

    printf ("complete -c zmanagerctl -n '%s' -l '%s'%s -d '%s'\n", when, option->name,
            option->value ? " -r" : "", text);
  }
}

/* fish asks the lines one by one, so a command's options come with the condition that its words stand on the line. It
 * has no place for --dir of the line: names come from the instance of ZM_DIR, or the system's. */
static void
print_fish (void)
{
  printf ("# fish completion for zmanagerctl: zmanagerctl completion fish | source\n");
  for (const ZmCtlOption *option = zm_ctl_global_options (); option->name != NULL; option++) {
    g_autofree char *text = fish_quote (_ (option->help));

    printf ("complete -c zmanagerctl -l '%s'%s -d '%s'\n", option->name, option->value ? " -r" : "", text);
  }
  for (const ZmCtlCommand *command = zm_ctl_commands (); command->name != NULL; command++)
    print_fish_command (command);
  for (guint i = 0; i < G_N_ELEMENTS (takers); i++) {
    g_auto (GStrv) words = g_strsplit (takers[i].command, " ", -1);
    g_autofree char *when = g_strjoinv ("; and __fish_seen_subcommand_from ", words);

    printf ("complete -c zmanagerctl -n '__fish_seen_subcommand_from %s' -a '(zmanagerctl --timeout 300ms "
            "completion %s 2>/dev/null)'\n",
            when, takers[i].kind);
  }
  printf ("complete -c zmanagerctl -n '__fish_seen_subcommand_from completion' -a 'bash zsh fish'\n");
}

/* Kinds of names before shells: the scripts ask for them at each press of the key, people for a script once. */
int
zm_ctl_cmd_completion (ZmCtl *ctl, guint n, char **arguments)
{
  static const struct {
    const char *name;
    void (*print) (void);
  } shells[] = { { "bash", print_bash }, { "zsh", print_zsh }, { "fish", print_fish } };
  g_autofree char *all = NULL;

  (void) n;
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    if (strcmp (arguments[0], kinds[i].kind) == 0)
      return print_names (ctl, kinds[i].kind, kinds[i].member);
  for (guint i = 0; i < G_N_ELEMENTS (shells); i++)
    if (strcmp (arguments[0], shells[i].name) == 0) {
      shells[i].print ();
      return ZM_EXIT_OK;
    }
  all = g_strdelimit (g_strdup (ctl->command->arguments), "|", ' ');
  return zm_ctl_usage (ctl, _ ("completion: \"%s\" is none of: %s"), arguments[0], all);
}
