/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Never comes back from init. */
#include <zmanager/plugin.h>

#include <unistd.h>

static int
init (const zm_host *host, void **state)
{
  (void) host;
  (void) state;
  for (;;)
    pause ();
  return ZM_OK;
}

static const zm_plugin_desc descriptor = {
  .struct_size = sizeof descriptor,
  .flags = 0,
  .name = "hang-init",
  .version = "1.0",
  .licence = "LGPL-2.1-or-later",
  .summary = "Never comes back from init",
  .init = init,
};

ZM_PLUGIN_FULL ("hang-init", "1.0", "LGPL-2.1-or-later", "Never comes back from init", "", &descriptor);
