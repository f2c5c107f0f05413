/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Offers a function of another library as its action. */
#include <zmanager/plugin.h>

#include <stdlib.h>

static const zm_action_desc actions[] = {
  { "run", (zm_action_fn) (void (*) (void)) system, 0, "Not its own" }, { NULL, NULL, 0, NULL }
};

static const zm_plugin_desc descriptor = {
  .struct_size = sizeof descriptor,
  .flags = 0,
  .name = "foreign-action",
  .version = "1.0",
  .licence = "LGPL-2.1-or-later",
  .summary = "Offers what is not its own",
  .actions = actions,
};

ZM_PLUGIN_FULL ("foreign-action", "1.0", "LGPL-2.1-or-later", "Offers what is not its own", "", &descriptor);
