/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Crashes when it is opened. */
#include <zmanager/plugin.h>

#include <signal.h>

__attribute__ ((constructor)) static void
crash (void)
{
  raise (SIGSEGV);
}

ZM_ACTION (greet)
{
  return zm_reply_text (call, "hello");
}

ZM_PLUGIN ("crash-constructor", "1.0", "LGPL-2.1-or-later", "Crashes when it is opened");
