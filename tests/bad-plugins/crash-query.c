/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Crashes when it is asked what it is: the probe finds out. */
#include <zmanager/plugin.h>

#include <signal.h>

static const zm_plugin_desc *
crash (void)
{
  raise (SIGSEGV);
  return NULL;
}

ZM_PLUGIN_FULL ("crash-query", "1.0", "LGPL-2.1-or-later", "Crashes when it is asked what it is", "",
                crash ());
