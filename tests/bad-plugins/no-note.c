/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A library that is no plugin. Its constructor must never run. */
#include <stdlib.h>

__attribute__ ((constructor)) static void
never (void)
{
  abort ();
}
