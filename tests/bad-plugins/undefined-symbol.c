/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Calls a function that no library has; lazily bound, so that only RTLD_NOW notices. */
#include <zmanager/plugin.h>

int nobody_has_this (void);

ZM_ACTION (greet)
{
  (void) call;
  return nobody_has_this ();
}

ZM_PLUGIN ("undefined-symbol", "1.0", "LGPL-2.1-or-later", "Calls what is not there");
