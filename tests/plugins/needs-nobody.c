/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Depends on a plugin that is not there. */
#include <zmanager/plugin.h>

ZM_ACTION (greet)
{
  return zm_reply_text (call, "hello");
}

static const zm_plugin_desc descriptor = {
  .struct_size = sizeof descriptor,
  .flags = 0,
  .name = "needs-nobody",
  .version = "1.0",
  .licence = "LGPL-2.1-or-later",
  .summary = "Depends on a plugin that is not there",
};

ZM_PLUGIN_FULL ("needs-nobody", "1.0", "LGPL-2.1-or-later", "Depends on a plugin that is not there",
                "depends=nobody swap\n", &descriptor);
