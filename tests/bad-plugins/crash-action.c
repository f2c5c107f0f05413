/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Crashes in its action. */
#include <zmanager/plugin.h>

#include <signal.h>

ZM_ACTION (crash)
{
  raise (SIGSEGV);
  return zm_reply_text (call, "survived");
}

ZM_PLUGIN ("crash-action", "1.0", "LGPL-2.1-or-later", "Crashes in its action");
