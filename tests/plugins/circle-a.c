/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Depends on circle-b, which depends on this. */
#include <zmanager/plugin.h>

ZM_ACTION (greet)
{
  return zm_reply_text (call, "hello");
}

static const zm_plugin_desc descriptor = {
  .struct_size = sizeof descriptor,
  .flags = 0,
  .name = "circle-a",
  .version = "1.0",
  .licence = "LGPL-2.1-or-later",
  .summary = "Depends on circle-b, which depends on this",
};

ZM_PLUGIN_FULL ("circle-a", "1.0", "LGPL-2.1-or-later", "Depends on circle-b, which depends on this",
                "depends=circle-b\n", &descriptor);
