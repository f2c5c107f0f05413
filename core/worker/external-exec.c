/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a worker's process is started with: its arguments and its environment.
 *
 * The program is looked for here and not left to execvp: between fork and exec nothing can be said but by an exit status, while
 * this text goes to the check, the log, the list of workers, and to the caller of a message.
 */
#include "config.h"

#include "worker/external-exec.h"

#include "base/zm-trust.h"

#include <string.h>

/* The path of the program, also where nothing is there; NULL: in no directory of PATH. */
static char *
path_of (const char *program, const char *directory)
{
  if (strchr (program, '/') == NULL)
    return g_find_program_in_path (program);
  return g_path_is_absolute (program) ? g_strdup (program) : g_build_filename (directory, program, NULL);
}

char **
zm_exec_find (const char *command, const char *directory, GError **error)
{
  g_autoptr (GError) problem = NULL;
  g_auto (GStrv) argv = NULL;
  g_autofree char *path = NULL;

  if (!g_shell_parse_argv (command, NULL, &argv, &problem)) {
    /* It quotes the command. */
    g_autofree char *why = zm_hide_in_command (problem->message);

    g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID,
                 "exec is no command line: %s; quote as for a shell (no shell is run)", why);
    return NULL;
  }
  path = path_of (argv[0], directory);
  if (path == NULL || !g_file_test (path, G_FILE_TEST_EXISTS) || g_file_test (path, G_FILE_TEST_IS_DIR)) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_NOT_FOUND,
                 "exec: there is no program %s; install it, or give its full path",
                 path != NULL ? path : argv[0]);
    return NULL;
  }
  if (!g_file_test (path, G_FILE_TEST_IS_EXECUTABLE)) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_NOT_FOUND,
                 "exec: %s is not executable; chmod +x it, or put its interpreter in front", path);
    return NULL;
  }
  if (!zm_trust_program (path, error)) {
    g_prefix_error (error, "exec: ");
    return NULL;
  }
  g_free (argv[0]);
  argv[0] = g_steal_pointer (&path);
  return g_steal_pointer (&argv);
}

char **
zm_exec_environment (const char *const *pairs, const char *worker, const char *endpoint)
{
  /* A process that took these for its own would speak to the service manager in the daemon's name. */
  static const char *const own[] = { "NOTIFY_SOCKET", "WATCHDOG_PID",   "WATCHDOG_USEC", "LISTEN_PID",
                                     "LISTEN_FDS",    "LISTEN_FDNAMES", "MAINPID",       "JOURNAL_STREAM" };
  char **environment = g_get_environ ();

  for (guint i = 0; i < G_N_ELEMENTS (own); i++)
    environment = g_environ_unsetenv (environment, own[i]);
  for (; *pairs != NULL; pairs++) {
    const char *equals = strchr (*pairs, '=');
    g_autofree char *name = equals != NULL ? g_strndup (*pairs, (gsize) (equals - *pairs)) : NULL;

    if (name != NULL)
      environment = g_environ_setenv (environment, name, equals + 1, TRUE);
  }
  environment = g_environ_setenv (environment, "ZM_WORKER_NAME", worker, TRUE);
  return g_environ_setenv (environment, "ZM_WORKER_CONNECT", endpoint, TRUE);
}
