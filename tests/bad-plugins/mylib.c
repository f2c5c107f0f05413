/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A good plugin that calls libc. "mylib.system" must not reach it. */
#include <zmanager/plugin.h>

#include <stdlib.h>

ZM_ACTION (shell)
{
  return zm_reply_text (call, system (NULL) != 0 ? "there is a shell" : "there is none");
}

/* Exported, and no action: not marked. */
ZM_EXPORT int helper (zm_call *call);
int
helper (zm_call *call)
{
  (void) call;
  return ZM_OK;
}

ZM_PLUGIN ("mylib", "1.0", "LGPL-2.1-or-later", "Calls libc");
