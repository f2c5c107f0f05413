/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Has options: one required, one with a default, a list. */
#include <zmanager/plugin.h>

static int
reload (void *state)
{
  (void) state;
  return ZM_OK;
}

ZM_ACTION (greet)
{
  return zm_reply_text (call, "hello");
}

static const zm_option_desc options[] = { { "where", ZM_OPTION_STRING, ZM_OPTION_REQUIRED, NULL, "Where to" },
                                          { "size", ZM_OPTION_INTEGER, 0, "7", "How large" },
                                          { "peer", ZM_OPTION_STRING, ZM_OPTION_LIST, NULL, "With whom" },
                                          { NULL, 0, 0, NULL, NULL } };

static const zm_plugin_desc descriptor = {
  .struct_size = sizeof descriptor,
  .flags = 0,
  .name = "options",
  .version = "1.0",
  .licence = "LGPL-2.1-or-later",
  .summary = "Has options",
  .options = options,
  .reload = reload,
};

ZM_PLUGIN_FULL ("options", "1.0", "LGPL-2.1-or-later", "Has options", "", &descriptor);
