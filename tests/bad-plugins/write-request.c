/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writes to the body that it was given to read. */
#include <zmanager/plugin.h>

ZM_ACTION (scribble)
{
  memset ((void *) (uintptr_t) call->body, 'X', call->body_size);
  return ZM_OK;
}

ZM_PLUGIN ("write-request", "1.0", "LGPL-2.1-or-later", "Writes to its request");
