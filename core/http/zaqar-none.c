/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The place of Zaqar's routes where they are not built in. */
#include "config.h"

#include "http/http-private.h"

const ZmRoute zm_routes_zaqar[] = { { .path = NULL } };

gboolean
zm_zaqar_signed (ZmRequest *request)
{
  (void) request;
  return FALSE;
}

gboolean
zm_zaqar_admit (ZmRequest *request)
{
  (void) request;
  return TRUE;
}

void
zm_zaqar_versions (ZmRequest *request)
{
  zm_request_answer_json (request, 300, "{\"versions\":[]}");
}
