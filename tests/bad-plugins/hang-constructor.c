/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Never comes back from being opened. */
#include <zmanager/plugin.h>

#include <unistd.h>

__attribute__ ((constructor)) static void
hang (void)
{
  for (;;)
    pause ();
}

ZM_ACTION (greet)
{
  return zm_reply_text (call, "hello");
}

ZM_PLUGIN ("hang-constructor", "1.0", "LGPL-2.1-or-later", "Never comes back from being opened");
