/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Its note names an action that the library does not export. */
#include <zmanager/plugin.h>

ZM_NOTE_ (note_of_ghost, ZM_NOTE_ACTION, "action=ghost\n");

ZM_PLUGIN ("missing-symbol", "1.0", "LGPL-2.1-or-later", "Promises an action that is not there");
