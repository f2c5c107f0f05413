/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Built for another ABI. Its constructor must never run: the note is read first. */
#include <zmanager/plugin.h>

#include <stdlib.h>

#undef ZM_ABI_MAJOR
#define ZM_ABI_MAJOR 99

__attribute__ ((constructor)) static void
never (void)
{
  abort ();
}

ZM_ACTION (greet)
{
  return zm_reply_text (call, "hello");
}

ZM_PLUGIN ("wrong-abi", "1.0", "LGPL-2.1-or-later", "Of another ABI");
