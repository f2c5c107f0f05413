/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Built against the header of ABI 1.0, a copy of which stands beside it: what exists must go on loading. */
#include <zmanager/plugin.h>

#if ZM_ABI_MINOR != 0
#error "this is to be built against tests/plugins/abi-1.0"
#endif

ZM_ACTION (greet)
{
  return zm_reply_text (call, "hello");
}

static int
before (void *state, const zm_call *call)
{
  (void) state;
  (void) call;
  return ZM_OK;
}

static const zm_hook_ops hooks = { sizeof hooks, 0, before, NULL, NULL };

static const zm_plugin_desc descriptor = {
  .struct_size = sizeof descriptor,
  .name = "abi-first",
  .version = "1.0",
  .licence = "LGPL-2.1-or-later",
  .summary = "Of the first version",
  .hooks = &hooks,
};

ZM_PLUGIN_FULL ("abi-first", "1.0", "LGPL-2.1-or-later", "Of the first version", "kind=component\n",
                &descriptor);
