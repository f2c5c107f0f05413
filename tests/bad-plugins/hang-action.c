/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Its action never comes back. (It does when the test takes the file away that the environment names.) */
#include <zmanager/plugin.h>

#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

static int
hang (zm_call *call)
{
  const char *file = getenv ("ZM_TEST_HANG");

  while (file == NULL || access (file, F_OK) == 0)
    poll (NULL, 0, 5);
  return zm_reply_text (call, "late");
}

ZM_ACTION (hang_serial)
{
  return hang (call);
}

ZM_ACTION_THREADSAFE (hang_safe)
{
  return hang (call);
}

/* Waits for the host to give up, as a good one does. */
ZM_ACTION (polite)
{
  while (!zm_cancelled (call))
    poll (NULL, 0, 5);
  return zm_fail (call, "cancelled", "gave up when asked to");
}

ZM_ACTION (quick)
{
  return zm_reply_text (call, "quick");
}

ZM_PLUGIN ("hang-action", "1.0", "LGPL-2.1-or-later", "Its action never comes back");
