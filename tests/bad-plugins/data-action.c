/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Its note names a variable. */
#include <zmanager/plugin.h>

ZM_EXPORT int number;
int number = 7;
ZM_NOTE_ (note_of_number, ZM_NOTE_ACTION, "action=number\n");

ZM_PLUGIN ("data-action", "1.0", "LGPL-2.1-or-later", "Its action is a variable");
