/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * check: the daemon's own checker, so that `zmanagerd --check` and this always say the same. Nothing is started, and a daemon
 * that runs is not asked: what counts is whether the files would be taken now.
 */
#include "config.h"

#include "ctl/ctl.h"
#include "runtime/zm-runtime.h"

#include <stdio.h>

/* Only --dir counts here: what is checked is what a daemon would read that is started with the same --dir. Options of
 * its command line (--set, --config) are not known, so `zmanagerd --check` with those may say something else. */
int
zm_ctl_cmd_check (ZmCtl *ctl, guint n, char **arguments)
{
  ZmRuntimeOptions options = { .dir = zm_ctl_text (ctl, "dir") };
  g_autoptr (ZmProblems) problems = zm_problems_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;

  (void) n;
  (void) arguments;
  if (zm_ctl_text (ctl, "connect") != NULL)
    return zm_ctl_usage (ctl, _ ("--connect makes no sense here: files are checked, no daemon is asked"));
  if (!zm_check_run (&options, problems, &error))
    return zm_ctl_fail (ctl, error);
  text = ctl->json ? zm_check_json (problems) : zm_check_text (problems);
  printf ("%s%s", text, g_str_has_suffix (text, "\n") ? "" : "\n");
  return zm_problems_errors (problems) > 0 ? ZM_EXIT_FAILED : ZM_EXIT_OK;
}
