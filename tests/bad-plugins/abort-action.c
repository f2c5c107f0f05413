/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Aborts, or ends the process, in its actions. */
#include <zmanager/plugin.h>

#include <stdlib.h>

ZM_ACTION (give_up)
{
  abort ();
}

ZM_ACTION (leave)
{
  exit (0);
}

ZM_PLUGIN ("abort-action", "1.0", "LGPL-2.1-or-later", "Ends the process in its actions");
