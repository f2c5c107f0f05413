/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Built when the descriptor ended after its summary and actions: an earlier ABI of the same major. */
#include <zmanager/plugin.h>

ZM_ACTION (greet)
{
  return zm_reply_text (call, "hello");
}

static zm_plugin_desc descriptor;

/* What comes after the size that it states must not be read. */
static const zm_plugin_desc *
describe (void)
{
  memset (&descriptor, 0xff, sizeof descriptor);
  descriptor.struct_size = offsetof (zm_plugin_desc, options);
  descriptor.flags = 0;
  descriptor.name = "old-minor";
  descriptor.version = "1.0";
  descriptor.licence = "LGPL-2.1-or-later";
  descriptor.summary = "Of an earlier minor version";
  descriptor.actions = NULL;
  return &descriptor;
}

ZM_PLUGIN_FULL ("old-minor", "1.0", "LGPL-2.1-or-later", "Of an earlier minor version", "", describe ());
