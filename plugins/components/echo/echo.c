/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * echo: gives back what came. For trying out mappings and flows, and for measuring: it does nothing else.
 *
 *   echo.echo        the body, with the content type of the message where it has one
 *   echo.echo_json   the body as application/json, whatever it was sent as; an empty one becomes null
 *
 * Options   none
 * Example   actions.d/echo.ini:   [actionmapping]
 *                                 ?Echo?Echo = echo.echo
 * Threads   none of its own; both actions may run in several workers at once
 */
#include <zmanager/plugin.h>

ZM_ACTION_THREADSAFE (echo)
{
  char type[128];
  int length = zm_header (call, "content-type", type, sizeof type);

  /* A type that does not fit is left out rather than cut. */
  return zm_reply (call, call->body, call->body_size, length > 0 && length < (int) sizeof type ? type : NULL);
}

ZM_ACTION_THREADSAFE (echo_json)
{
  if (call->body_size == 0)
    return zm_reply_json (call, "null");
  return zm_reply (call, call->body, call->body_size, "application/json");
}

ZM_PLUGIN ("echo", "1.0", "LGPL-2.1-or-later", "Gives back what came");
