/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A plugin that only listens: before a call of the context Listened it waits for the file that the body names. */
#include <zmanager/plugin.h>

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int
before (void *state, const zm_call *call)
{
  static const char context[] = "Listened";
  const struct timespec moment = { 0, 1000000 };
  char path[512];
  (void) state;
  if (call->context.size != sizeof context - 1 ||
      memcmp (call->context.data, context, sizeof context - 1) != 0)
    return ZM_OK;
  snprintf (path, sizeof path, "%.*s", (int) call->body_size, (const char *) call->body);
  while (access (path, F_OK) != 0)
    nanosleep (&moment, NULL);
  return ZM_OK;
}

static const zm_hook_ops hooks = { .struct_size = sizeof hooks, .before = before };

static const zm_plugin_desc descriptor = {
  .struct_size = sizeof descriptor,
  .name = "listener",
  .version = "1.0",
  .licence = "LGPL-2.1-or-later",
  .summary = "Listens, and may not come back",
  .hooks = &hooks,
};

ZM_PLUGIN_FULL ("listener", "1.0", "LGPL-2.1-or-later", "Listens, and may not come back", "kind=component\n",
                &descriptor);
