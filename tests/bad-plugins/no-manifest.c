/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An action, but no ZM_PLUGIN line. */
#include <zmanager/plugin.h>

ZM_ACTION (greet)
{
  return zm_reply_text (call, "hello");
}
