/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check: the daemon's own checker, so that both always say the same. */
#include "config.h"

#include "ctl/ctl.h"
#include "ctl/private-daemon.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

int
zm_ctl_cmd_check (ZmCtl *ctl, guint n, char **arguments)
{
  g_autofree char *program = zm_private_program ();
  const char *dir = zm_ctl_text (ctl, "dir");
  const char *argv[6] = { program, "--check" };
  guint at = 2;
  g_autoptr (GError) error = NULL;

  (void) n;
  (void) arguments;
  if (dir != NULL) {
    argv[at++] = "--dir";
    argv[at++] = dir;
  }
  if (ctl->json)
    argv[at++] = "--json";
  if (program == NULL) {
    g_set_error (&error, ZM_ERROR, ZM_ERROR_NOT_FOUND,
                 _ ("zmanagerd is neither beside zmanagerctl nor on PATH"));
    return zm_ctl_fail (ctl, error);
  }
  execv (program, (char **) argv);
  g_set_error (&error, ZM_ERROR, ZM_ERROR_IO, _ ("cannot run %s: %s"), program, g_strerror (errno));
  return zm_ctl_fail (ctl, error);
}
