/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Listens before and after each call. */
#include <zmanager/plugin.h>

static int
before (void *state, const zm_call *call)
{
  (void) state;
  (void) call;
  return ZM_OK;
}

static const zm_hook_ops hooks = { .struct_size = sizeof hooks, .before = before };

static const zm_plugin_desc descriptor = {
  .struct_size = sizeof descriptor,
  .flags = 0,
  .name = "hooks",
  .version = "1.0",
  .licence = "LGPL-2.1-or-later",
  .summary = "Listens",
  .hooks = &hooks,
};

ZM_PLUGIN_FULL ("hooks", "1.0", "LGPL-2.1-or-later", "Listens", "", &descriptor);
