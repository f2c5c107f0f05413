/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fails in each way that an action can say. */
#include <zmanager/plugin.h>

ZM_ACTION (reject)
{
  return zm_fail (call, "no-good", "told so by the test");
}

ZM_ACTION (reject_silently)
{
  (void) call;
  return ZM_REJECT;
}

ZM_ACTION (retry)
{
  (void) call;
  return ZM_RETRY;
}

ZM_ACTION (negative)
{
  (void) call;
  return ZM_E_FAILED;
}

/* A next key that is none. */
ZM_ACTION (bad_next)
{
  zm_next (call, "no key at all");
  return ZM_OK;
}

/* A next key that nobody maps is published. */
ZM_ACTION (next_unmapped)
{
  zm_next (call, "?Nobody?Maps");
  return ZM_OK;
}

ZM_PLUGIN ("error-action", "1.0", "LGPL-2.1-or-later", "Fails in each way");
