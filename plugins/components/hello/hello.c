/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * hello: the smallest plugin. hello.greet answers "hello", and "hello, NAME" to a body that is a name.
 *
 * Options   none
 * Example   actions.d/hello.ini:   [actionmapping]
 *                                  ?Hello?Greet = hello.greet
 * Threads   none; one call at a time (SERIAL, the default)
 */
#include <zmanager/plugin.h>

#include <stdio.h>

ZM_ACTION (greet)
{
  char text[128];

  if (call->body_size == 0)
    return zm_reply_text (call, "hello");
  if (call->body_size > 100)
    return zm_fail (call, "invalid", "the name is longer than 100 bytes; send a shorter one");
  snprintf (text, sizeof text, "hello, %.*s", (int) call->body_size, (const char *) call->body);
  return zm_reply_text (call, text);
}

ZM_PLUGIN ("hello", "1.0", "LGPL-2.1-or-later", "Says hello");
