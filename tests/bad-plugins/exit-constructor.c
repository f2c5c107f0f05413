/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ends the process when it is opened, politely. */
#include <zmanager/plugin.h>

#include <stdlib.h>

__attribute__ ((constructor)) static void
leave (void)
{
  exit (0);
}

ZM_ACTION (greet)
{
  return zm_reply_text (call, "hello");
}

ZM_PLUGIN ("exit-constructor", "1.0", "LGPL-2.1-or-later", "Ends the process when it is opened");
