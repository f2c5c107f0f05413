/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The client of operators: reads the command line and runs one command.
 *
 * One thread, one command, one exit. What the commands share (the instance, the daemon's status, ZeroMQ's context) is made at
 * its first use and kept in ZmCtl until the end: `help` opens no socket, and a tail asks for the status once.
 */
#include "config.h"

#include "ctl/ctl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Colours are for people at a terminal who did not ask for none (https://no-color.org). */
static gboolean
wants_color (const ZmCtl *ctl)
{
  const char *none = g_getenv ("NO_COLOR");
  const char *term = g_getenv ("TERM");

  return ctl->terminal && !zm_ctl_flag (ctl, "no-color") && !ctl->json && (none == NULL || *none == '\0') &&
         g_strcmp0 (term, "dumb") != 0;
}

/* What could not be written was not done: a full disk must not end as success. */
static int
flush_output (int status)
{
  if (fflush (stdout) == 0 && !ferror (stdout))
    return status;
  fprintf (stderr, _ ("zmanagerctl: cannot write the output: %s\n"), g_strerror (errno));
  return status == ZM_EXIT_OK ? ZM_EXIT_FAILED : status;
}

/* Sockets were closed by who opened them; ending the context waits for what they still linger for. */
static void
clear (ZmCtl *ctl)
{
  zm_instance_free (ctl->instance);
  g_clear_pointer (&ctl->refused, json_object_unref);
  if (ctl->status != NULL)
    json_object_unref (ctl->status);
  if (ctl->zmq != NULL)
    zmq_ctx_term (ctl->zmq);
  if (ctl->signal_fd >= 0)
    close (ctl->signal_fd);
  g_hash_table_unref (ctl->values);
}

/* The order counts: the locale before any text, the command line before any socket, the output's errors last, as they
 * are known when it is flushed. */
int
main (int argc, char **argv)
{
  ZmCtl ctl = { .signal_fd = -1 };
  g_autoptr (GPtrArray) arguments = g_ptr_array_new ();
  int status = ZM_EXIT_OK;

  zm_i18n_init ();
  ctl.values = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, (GDestroyNotify) g_ptr_array_unref);
  /* FALSE is not only an error: --help has been answered then, too. */
  if (zm_ctl_parse (&ctl, argc, argv, arguments, &status)) {
    ctl.json = zm_ctl_flag (&ctl, "json");
    ctl.terminal = isatty (STDOUT_FILENO) == 1;
    ctl.color = wants_color (&ctl);
    ctl.timeout_ms = zm_ctl_duration (&ctl, "timeout", ZM_CTL_REACH_MS);
    status = ctl.command->run (&ctl, arguments->len, (char **) arguments->pdata);
  }
  clear (&ctl);
  return flush_output (status);
}
