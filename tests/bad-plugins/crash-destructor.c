/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Crashes when it is unloaded. */
#include <zmanager/plugin.h>

#include <signal.h>

__attribute__ ((destructor)) static void
crash (void)
{
  raise (SIGSEGV);
}

ZM_ACTION (greet)
{
  return zm_reply_text (call, "hello");
}

ZM_PLUGIN ("crash-destructor", "1.0", "LGPL-2.1-or-later", "Crashes when it is unloaded");
