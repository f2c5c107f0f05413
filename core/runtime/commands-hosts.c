/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Commands about plugins outside the daemon: their hosts, what runs there, and messages that are set aside. */
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

/* ---- set aside ---- */

static gboolean
no_such (const char *id, GError **error)
{
  g_autofree char *shown = zm_printable (zm_span_text (id), 64);

  g_set_error (error, ZM_ERROR, ZM_ERROR_NOT_FOUND,
               "no message with the id \"%s\" is set aside; see zmanagerctl dead ls", shown);
  return FALSE;
}

/* With an id that one and its body, else all without. */
gboolean
zm_command_dead (ZmCommandCall *call, GError **error)
{
  g_autofree char *id = NULL;
  g_autofree char *one = NULL;

  if (!zm_command_text (call->request, "id", FALSE, &id, error))
    return FALSE;
  one = id != NULL ? zm_hosts_dead_one (call->runtime->hosts, id) : NULL;
  if (id != NULL && one == NULL)
    return no_such (id, error);
  g_string_append_c (call->out, '{');
  if (id != NULL)
    zm_reply_member_json (call->out, "message", one);
  else
    zm_reply_member_take (call->out, "dead", zm_hosts_dead_json (call->runtime->hosts, FALSE));
  g_string_append_c (call->out, '}');
  return TRUE;
}

/* All are meant only where that is said: a script whose variable is empty must not throw everything away. */
gboolean
zm_command_dead_rm (ZmCommandCall *call, GError **error)
{
  g_autofree char *id = NULL;
  g_autofree char *text = NULL;
  gboolean all;
  guint n;

  if (!zm_command_text (call->request, "id", FALSE, &id, error) ||
      !zm_command_flag (call->request, "all", &all, error))
    return FALSE;
  if (all == (id != NULL)) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID, "give either \"id\", or \"all\": true");
    return FALSE;
  }
  n = zm_hosts_dead_forget (call->runtime->hosts, id);
  if (n == 0 && id != NULL)
    return no_such (id, error);
  text = g_strdup_printf ("forgot %u message%s that %s set aside", n, zm_runtime_plural (n),
                          n == 1 ? "was" : "were");
  g_string_append_c (call->out, '{');
  zm_reply_member_text (call->out, "text", text);
  zm_reply_member_integer (call->out, "forgotten", n);
  g_string_append_c (call->out, '}');
  return TRUE;
}
