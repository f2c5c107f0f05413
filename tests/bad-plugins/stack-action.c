/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Its action calls itself until the stack is full. */
#include <zmanager/plugin.h>

/* What is read at the end keeps the compiler from making a loop of it. */
static int
recurse (volatile int depth)
{
  volatile char frame[4096];

  frame[depth % 4096] = (char) depth;
  return depth < 0 ? 0 : recurse (depth + 1) + frame[depth % 4096];
}

ZM_ACTION (fill)
{
  return recurse (0) == 0 ? zm_reply_text (call, "survived") : ZM_OK;
}

ZM_PLUGIN ("stack-action", "1.0", "LGPL-2.1-or-later", "Fills its stack");
