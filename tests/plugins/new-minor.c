/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Built for a later minor version: a longer descriptor and manifest keys that this host does not know. */
#include <zmanager/plugin.h>

#undef ZM_ABI_MINOR
#define ZM_ABI_MINOR 7

ZM_ACTION (greet)
{
  return zm_reply_text (call, "hello");
}

static const struct {
  zm_plugin_desc known;
  void *unknown[4];
} descriptor = { { sizeof descriptor, 0, "new-minor", "1.0", "LGPL-2.1-or-later", "Of a later minor version",
                   NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL },
                 { (void *) 1, (void *) 2, (void *) 3, (void *) 4 } };

ZM_PLUGIN_FULL ("new-minor", "1.0", "LGPL-2.1-or-later", "Of a later minor version", "colour=blue\n",
                &descriptor.known);
