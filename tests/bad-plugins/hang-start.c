/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Never comes back from start. */
#include <zmanager/plugin.h>

#include <unistd.h>

static int
start (void *state)
{
  (void) state;
  for (;;)
    pause ();
  return ZM_OK;
}

static const zm_plugin_desc descriptor = {
  .struct_size = sizeof descriptor,
  .flags = 0,
  .name = "hang-start",
  .version = "1.0",
  .licence = "LGPL-2.1-or-later",
  .summary = "Never comes back from start",
  .start = start,
};

ZM_PLUGIN_FULL ("hang-start", "1.0", "LGPL-2.1-or-later", "Never comes back from start", "", &descriptor);
