/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The daemon: option parsing and nothing else. */
#include "config.h"

#include "base/i18n.h"
#include "base/version.h"

#include <locale.h>
#include <stdlib.h>

/* Exit status for a command line that makes no sense. */
#define EXIT_USAGE 2

int
main (int argc, char **argv)
{
  gboolean show_version = FALSE;
  const GOptionEntry entries[] = {
    { "version", 0, 0, G_OPTION_ARG_NONE, &show_version, N_ ("Print the version and exit"), NULL },
    { NULL, 0, 0, G_OPTION_ARG_NONE, NULL, NULL, NULL },
  };
  g_autoptr (GOptionContext) context = NULL;
  g_autoptr (GError) error = NULL;

  zm_i18n_init ();
  context = g_option_context_new (NULL);
  g_option_context_set_summary (context,
                                _ ("Hosts plugins: takes events in, runs actions, publishes the results."));
  g_option_context_add_main_entries (context, entries, PACKAGE);
  if (!g_option_context_parse (context, &argc, &argv, &error)) {
    g_printerr (_ ("zmanagerd: %s; see zmanagerd --help\n"), error->message);
    return EXIT_USAGE;
  }
  if (argc > 1) {
    g_printerr (_ ("zmanagerd: unexpected argument “%s”; see zmanagerd --help\n"), argv[1]);
    return EXIT_USAGE;
  }
  if (show_version)
    g_print ("zmanagerd %s\n", zm_version ());
  return EXIT_SUCCESS;
}
