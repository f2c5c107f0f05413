/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Needs half a second for its stop. */
#include <zmanager/plugin.h>

#include <poll.h>

ZM_ACTION (greet)
{
  return zm_reply_text (call, "hello");
}

static void
stop (void *state, unsigned deadline_ms)
{
  (void) state;
  (void) deadline_ms;
  poll (NULL, 0, 500);
}

static const zm_plugin_desc descriptor = {
  .struct_size = sizeof descriptor,
  .flags = 0,
  .name = "slow-stop",
  .version = "1.0",
  .licence = "LGPL-2.1-or-later",
  .summary = "Takes its time to stop",
  .stop = stop,
};

ZM_PLUGIN_FULL ("slow-stop", "1.0", "LGPL-2.1-or-later", "Takes its time to stop", "", &descriptor);
