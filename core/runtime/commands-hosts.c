/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Commands about plugins outside the daemon: their hosts, and what runs there. */
#include "config.h"

#include "runtime/private.h"

#include "runtime/commands.h"

gboolean
zm_command_hosts (ZmCommandCall *call, GError **error)
{
  (void) error;
  g_string_append_c (call->out, '{');
  zm_reply_member_take (call->out, "hosts", zm_hosts_json (call->runtime->hosts));
  g_string_append_c (call->out, '}');
  return TRUE;
}

/* Of workers and hosts, in one list: who asks what hangs does not know yet where. */
gboolean
zm_command_running (ZmCommandCall *call, GError **error)
{
  g_autofree char *inside = zm_pool_running_json (call->runtime->pool);
  g_autoptr (GString) list = g_string_new (inside);

  (void) error;
  g_string_truncate (list, list->len - 1); /* its "]" */
  zm_hosts_append_running (call->runtime->hosts, list);
  g_string_append_c (list, ']');
  g_string_append_c (call->out, '{');
  zm_reply_member_json (call->out, "running", list->str);
  g_string_append_c (call->out, '}');
  return TRUE;
}
