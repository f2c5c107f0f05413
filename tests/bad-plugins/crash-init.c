/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Crashes in init. */
#include <zmanager/plugin.h>

#include <signal.h>

static int
init (const zm_host *host, void **state)
{
  (void) host;
  (void) state;
  raise (SIGSEGV);
  return ZM_OK;
}

static const zm_plugin_desc descriptor = {
  .struct_size = sizeof descriptor,
  .flags = 0,
  .name = "crash-init",
  .version = "1.0",
  .licence = "LGPL-2.1-or-later",
  .summary = "Crashes in init",
  .init = init,
};

ZM_PLUGIN_FULL ("crash-init", "1.0", "LGPL-2.1-or-later", "Crashes in init", "", &descriptor);
