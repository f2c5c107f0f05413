/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zmanager-host: runs plugins that the daemon wants in a process of their own. Option parsing and nothing else. */
#include "config.h"

#include "base/i18n.h"
#include "base/version.h"
#include "hosted/zm-hosted.h"

#include <stdlib.h>

#define EXIT_USAGE 2

typedef struct Options {
  gint threads;
  gint64 memory, descriptors;
  gboolean version;
} Options;

static gboolean
parse (Options *options, int *argc, char ***argv, GError **error)
{
  const GOptionEntry entries[] = {
    { "threads", 0, 0, G_OPTION_ARG_INT, &options->threads, N_ ("Calls of a plugin that run at a time"),
      N_ ("N") },
    { "memory", 0, 0, G_OPTION_ARG_INT64, &options->memory,
      N_ ("Memory that its plugins should need at most; it may have twice that"), N_ ("BYTES") },
    { "descriptors", 0, 0, G_OPTION_ARG_INT64, &options->descriptors, N_ ("Open files at most"), N_ ("N") },
    { "version", 0, 0, G_OPTION_ARG_NONE, &options->version, N_ ("Print the version and exit"), NULL },
    { NULL, 0, 0, G_OPTION_ARG_NONE, NULL, NULL, NULL },
  };
  g_autoptr (GOptionContext) context = g_option_context_new (N_ ("NAME"));

  g_option_context_set_summary (
      context,
      _ ("Runs plugins in a process of their own. zmanagerd starts it; there is nothing to do by hand."));
  g_option_context_add_main_entries (context, entries, PACKAGE);
  if (!g_option_context_parse (context, argc, argv, error))
    return FALSE;
  if (options->threads >= 1 && options->memory >= 0 && options->descriptors >= 0)
    return TRUE;
  g_set_error_literal (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                       _ ("--threads is at least 1, --memory and --descriptors are not negative"));
  return FALSE;
}

int
main (int argc, char **argv)
{
  Options options = { .threads = 1 };
  g_autoptr (GError) error = NULL;

  zm_i18n_init ();
  if (!parse (&options, &argc, &argv, &error)) {
    g_printerr (_ ("zmanager-host: %s; see zmanager-host --help\n"), error->message);
    return EXIT_USAGE;
  }
  if (options.version) {
    g_print ("zmanager-host %s\n", zm_version ());
    return EXIT_SUCCESS;
  }
  if (!zm_hosted_is_started ()) {
    g_printerr (
        _ ("zmanager-host: zmanagerd starts this program for plugins with isolation = process or private; by "
           "hand it does nothing\n"));
    return EXIT_USAGE;
  }
  zm_hosted_run (&(ZmHostedOptions){ .threads = (guint) options.threads,
                                     .memory = (guint64) options.memory,
                                     .descriptors = (guint64) options.descriptors },
                 &error);
  g_printerr (_ ("zmanager-host: %s\n"), error->message);
  return EXIT_FAILURE;
}
