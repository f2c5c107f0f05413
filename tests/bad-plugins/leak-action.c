/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Forgets 4 KiB at each call. */
#include <zmanager/plugin.h>

#include <stdlib.h>

ZM_ACTION_THREADSAFE (leak)
{
  static void *volatile last;

  last = malloc (4096);
  return zm_reply_text (call, last != NULL ? "leaked" : "nothing left");
}

ZM_PLUGIN ("leak-action", "1.0", "LGPL-2.1-or-later", "Forgets memory at each call");
