/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Its init says no. */
#include <zmanager/plugin.h>

static int
init (const zm_host *host, void **state)
{
  (void) host;
  (void) state;
  return ZM_E_FAILED;
}

static const zm_plugin_desc descriptor = {
  .struct_size = sizeof descriptor,
  .flags = 0,
  .name = "fail-init",
  .version = "1.0",
  .licence = "LGPL-2.1-or-later",
  .summary = "Its init says no",
  .init = init,
};

ZM_PLUGIN_FULL ("fail-init", "1.0", "LGPL-2.1-or-later", "Its init says no", "", &descriptor);
