/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Depends on the plugin swap. */
#include <zmanager/plugin.h>

ZM_ACTION (greet)
{
  return zm_reply_text (call, "hello");
}

static const zm_plugin_desc descriptor = {
  .struct_size = sizeof descriptor,
  .flags = 0,
  .name = "needs-swap",
  .version = "1.0",
  .licence = "LGPL-2.1-or-later",
  .summary = "Depends on the plugin swap",
};

ZM_PLUGIN_FULL ("needs-swap", "1.0", "LGPL-2.1-or-later", "Depends on the plugin swap", "depends=swap\n",
                &descriptor);
