/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Aborts when it is opened. */
#include <zmanager/plugin.h>

#include <stdlib.h>

__attribute__ ((constructor)) static void
give_up (void)
{
  abort ();
}

ZM_ACTION (greet)
{
  return zm_reply_text (call, "hello");
}

ZM_PLUGIN ("abort-constructor", "1.0", "LGPL-2.1-or-later", "Aborts when it is opened");
