/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Its start says no. */
#include <zmanager/plugin.h>

static int
start (void *state)
{
  (void) state;
  return ZM_E_FAILED;
}

static const zm_plugin_desc descriptor = {
  .struct_size = sizeof descriptor,
  .flags = 0,
  .name = "fail-start",
  .version = "1.0",
  .licence = "LGPL-2.1-or-later",
  .summary = "Its start says no",
  .start = start,
};

ZM_PLUGIN_FULL ("fail-start", "1.0", "LGPL-2.1-or-later", "Its start says no", "", &descriptor);
