/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The daemon: option parsing and nothing else. */
#include "config.h"

#include "base/i18n.h"
#include "base/version.h"
#include "base/zm-base.h"
#include "base/zm-log.h"
#include "runtime/zm-runtime.h"

#include <stdlib.h>
#include <unistd.h>

/* Exit status for a command line that makes no sense. */
#define EXIT_USAGE 2

typedef struct Options {
  ZmRuntimeOptions runtime;
  char *dir, *config_file, *log_format, *log_level;
  char **settings;
  gboolean check, dump, dev, json, version;
} Options;

static void
options_clear (Options *options)
{
  g_free (options->dir);
  g_free (options->config_file);
  g_free (options->log_format);
  g_free (options->log_level);
  g_strfreev (options->settings);
}

/* A word of the command line that is none of those there are is a wrong command line, not a wrong configuration. */
static gboolean
check_words (const Options *options, GError **error)
{
  static const char *const formats[] = { "auto", "human", "json", "journal", NULL };
  ZmLevel level;

  if (options->log_level != NULL && !zm_level_parse (options->log_level, &level)) {
    g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                 _ ("\"%s\" is no log level: error, warning, notice, info or debug"), options->log_level);
    return FALSE;
  }
  if (options->log_format != NULL && !g_strv_contains (formats, options->log_format)) {
    g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                 _ ("\"%s\" is no form of the log: auto, human, json or journal"), options->log_format);
    return FALSE;
  }
  return TRUE;
}

static gboolean
parse (Options *options, int *argc, char ***argv, GError **error)
{
  const GOptionEntry entries[] = {
    { "dir", 'd', 0, G_OPTION_ARG_FILENAME, &options->dir, N_ ("Run the instance in this directory"),
      N_ ("DIR") },
    { "config", 'c', 0, G_OPTION_ARG_FILENAME, &options->config_file,
      N_ ("Read this file in place of zmanager.conf"), N_ ("FILE") },
    { "set", 's', 0, G_OPTION_ARG_STRING_ARRAY, &options->settings,
      N_ ("Override one value; may be repeated"), N_ ("SECTION.KEY=VALUE") },
    { "check", 0, 0, G_OPTION_ARG_NONE, &options->check,
      N_ ("Read everything, report every problem, start nothing"), NULL },
    { "dump", 0, 0, G_OPTION_ARG_NONE, &options->dump,
      N_ ("Print the effective configuration and where each value is from"), NULL },
    { "json", 0, 0, G_OPTION_ARG_NONE, &options->json, N_ ("With --check and --dump: print JSON"), NULL },
    { "dev", 0, 0, G_OPTION_ARG_NONE, &options->dev,
      N_ ("For developing plugins: readable log, rebuilt plugins are replaced at once"), NULL },
    { "log-format", 0, 0, G_OPTION_ARG_STRING, &options->log_format,
      N_ ("Form of the log: auto, human, json or journal"), N_ ("FORM") },
    { "log-level", 0, 0, G_OPTION_ARG_STRING, &options->log_level,
      N_ ("Least important lines to log: error, warning, notice, info or debug"), N_ ("LEVEL") },
    { "version", 0, 0, G_OPTION_ARG_NONE, &options->version, N_ ("Print the version and exit"), NULL },
    { NULL, 0, 0, G_OPTION_ARG_NONE, NULL, NULL, NULL },
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);

  g_option_context_set_summary (context,
                                _ ("Hosts plugins: takes events in, runs actions, publishes the results."));
  g_option_context_add_main_entries (context, entries, PACKAGE);
  if (!g_option_context_parse (context, argc, argv, error))
    return FALSE;
  if (*argc > 1) {
    g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, _ ("unexpected argument \"%s\""),
                 (*argv)[1]);
    return FALSE;
  }
  if (options->check && options->dump) {
    g_set_error_literal (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                         _ ("give --check or --dump, not both"));
    return FALSE;
  }
  if (!check_words (options, error))
    return FALSE;
  if (options->json && !options->check && !options->dump) {
    g_set_error_literal (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                         _ ("--json goes with --check or --dump"));
    return FALSE;
  }
  return TRUE;
}

static int
say_why (const ZmProblems *problems, const GError *error)
{
  g_autofree char *list = zm_problems_format (problems);

  if (zm_problems_count (problems) > 0)
    g_printerr ("%s%s", list, g_str_has_suffix (list, "\n") ? "" : "\n");
  if (error != NULL) {
    g_autofree char *safe = zm_printable (zm_span_text (error->message), 8192);

    g_printerr (_ ("zmanagerd: %s\n"), safe);
  }
  if (error == NULL && zm_problems_errors (problems) > 0)
    g_printerr (_ ("zmanagerd: not started: correct the errors above\n"));
  return EXIT_FAILURE;
}

static int
check (const Options *options)
{
  g_autoptr (ZmProblems) problems = zm_problems_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;

  if (!zm_check_run (&options->runtime, problems, &error))
    return say_why (problems, error);
  text = options->json ? zm_check_json (problems) : zm_check_text (problems);
  g_print ("%s", text);
  return zm_problems_errors (problems) > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int
dump (const Options *options)
{
  g_autoptr (ZmProblems) problems = zm_problems_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *text = zm_runtime_dump (&options->runtime, options->json, problems, &error);

  if (text == NULL)
    return say_why (problems, error);
  g_print ("%s%s", text, g_str_has_suffix (text, "\n") ? "" : "\n");
  return EXIT_SUCCESS;
}

static int
run (const Options *options)
{
  g_autoptr (ZmProblems) problems = zm_problems_new ();
  g_autoptr (GError) error = NULL;
  ZmRuntime *runtime = zm_runtime_new (&options->runtime, problems, &error);
  int status;

  if (runtime == NULL) {
    zm_runtime_expect_exit ();
    return say_why (problems, error);
  }
  status = zm_runtime_run (runtime);
  /* A plugin's thread that does not end must not run into what exit () takes down. */
  if (!zm_runtime_free (runtime))
    _exit (status);
  zm_runtime_expect_exit ();
  return status;
}

int
main (int argc, char **argv)
{
  Options options = { .dir = NULL };
  g_autoptr (GError) error = NULL;
  int status = EXIT_SUCCESS;

  zm_i18n_init ();
  if (!parse (&options, &argc, &argv, &error)) {
    g_printerr (_ ("zmanagerd: %s; see zmanagerd --help\n"), error->message);
    options_clear (&options);
    return EXIT_USAGE;
  }
  options.runtime = (ZmRuntimeOptions){ .dir = options.dir,
                                        .config_file = options.config_file,
                                        .settings = (const char *const *) options.settings,
                                        .log_format = options.log_format,
                                        .log_level = options.log_level,
                                        .dev = options.dev,
                                        .panic_report = TRUE };
  if (options.version)
    g_print ("zmanagerd %s\n", zm_version ());
  else if (options.check)
    status = check (&options);
  else if (options.dump)
    status = dump (&options);
  else
    status = run (&options);
  options_clear (&options);
  return status;
}
