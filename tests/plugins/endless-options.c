/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Its options table does not end in {NULL}: what lies behind it looks like an option of a type that there is not. */
#include <zmanager/plugin.h>

static const zm_option_desc options[] = { { "size", ZM_OPTION_INTEGER, 0, "7", "How large" },
                                          { "what lies behind it", 4711, 0, NULL, NULL } };

static const zm_plugin_desc descriptor = {
  .struct_size = sizeof descriptor,
  .flags = 0,
  .name = "endless-options",
  .version = "1.0",
  .licence = "LGPL-2.1-or-later",
  .summary = "Has options without an end",
  .options = options,
};

ZM_PLUGIN_FULL ("endless-options", "1.0", "LGPL-2.1-or-later", "Has options without an end", "", &descriptor);
