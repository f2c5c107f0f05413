/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Never comes back from stop. (It does when the test takes the file away that the environment names.) */
#include <zmanager/plugin.h>

#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

ZM_ACTION (greet)
{
  return zm_reply_text (call, "hello");
}

static void
stop (void *state, unsigned deadline_ms)
{
  const char *file = getenv ("ZM_TEST_HANG");

  (void) state;
  (void) deadline_ms;
  while (file == NULL || access (file, F_OK) == 0)
    poll (NULL, 0, 5);
}

static const zm_plugin_desc descriptor = {
  .struct_size = sizeof descriptor,
  .flags = 0,
  .name = "hang-stop",
  .version = "1.0",
  .licence = "LGPL-2.1-or-later",
  .summary = "Never comes back from stop",
  .stop = stop,
};

ZM_PLUGIN_FULL ("hang-stop", "1.0", "LGPL-2.1-or-later", "Never comes back from stop", "", &descriptor);
