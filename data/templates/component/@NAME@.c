/*
 * @NAME@: answers with the size of what it is sent.
 *
 * Options   none
 * Example   ?@NAME@?Handle = @NAME@.handle        (in @NAME@.actions.ini)
 * Try       zmanagerctl call '?@NAME@?Handle' 'some text'
 * Threads   none; one call at a time
 */
#include <zmanager/plugin.h>

#include <stdio.h>

/* An action: named PLUGIN.ACTION in a mapping. What `call` points to is valid until it returns. */
ZM_ACTION (handle)
{
  char text[64];

  if (call->body_size == 0)
    return zm_fail (call, "empty", "there is nothing to handle; send a body");
  snprintf (text, sizeof text, "%zu bytes", call->body_size);
  return zm_reply_text (call, text);
}

ZM_PLUGIN ("@NAME@", "0.1", "LGPL-2.1-or-later", "Answers with the size of what it is sent");
