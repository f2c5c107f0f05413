/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Has an action that is named like a function of libc. */
#include <zmanager/plugin.h>

ZM_ACTION (system)
{
  return zm_reply_text (call, "not the one you think");
}

ZM_PLUGIN ("libc-name", "1.0", "LGPL-2.1-or-later", "Its action is named like a function of libc");
