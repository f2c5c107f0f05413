/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * hosts: the processes in which plugins run outside the daemon; and lists of that kind.
 *
 * Tables show sizes and times as people read them; --json is the daemon's answer, unchanged.
 */
#include "config.h"

#include "ctl/ctl.h"

#include <stdio.h>
#include <string.h>

/* ---- hosts ---- */

static const ZmOutColumn host_columns[] = {
  { "name", N_ ("NAME"), FALSE },
  { "state", N_ ("STATE"), FALSE },
  { "pid", N_ ("PROCESS"), TRUE },
  { "up", N_ ("UP"), TRUE },
  { "calls", N_ ("CALLS"), TRUE },
  { "deferred", N_ ("DEFERRED"), TRUE },
  { "mib", N_ ("MIB"), TRUE },
  { "starts", N_ ("STARTS"), TRUE },
  { "plugins", N_ ("PLUGINS"), FALSE },
  /* A sentence, so it comes last. */
  { "last_end", N_ ("LAST END"), FALSE },
  { NULL, NULL, FALSE },
};

/* Where there is no process its number, age and size are none either. */
static void
host_for_people (JsonObject *host)
{
  g_autofree char *up = zm_out_duration (zm_json_get_int (host, "uptime") / 1000);

  if (zm_json_get_int (host, "pid") <= 0) {
    json_object_remove_member (host, "pid");
    return;
  }
  json_object_set_string_member (host, "up", up);
  json_object_set_int_member (host, "mib", zm_json_get_int (host, "rss") >> 20);
}

int
zm_ctl_listing_for_people (ZmCtl *ctl, const char *command, const ZmOutColumn *columns,
                           void (*for_people) (JsonObject *), const char *none)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonObject) answer =
      zm_ctl_request (ctl, zm_ctl_request_new (command), ZM_CTL_ANSWER_MS, &error);
  JsonArray *rows = zm_json_get_array (answer, command);

  if (answer == NULL)
    return zm_ctl_fail (ctl, error);
  if (ctl->json) {
    zm_out_json_object (answer);
    return ZM_EXIT_OK;
  }
  for (guint i = 0; rows != NULL && i < json_array_get_length (rows); i++)
    if (zm_json_nth_object (rows, i) != NULL)
      for_people (zm_json_nth_object (rows, i));
  zm_out_table (ctl, rows, columns, none);
  return ZM_EXIT_OK;
}

int
zm_ctl_cmd_hosts (ZmCtl *ctl, guint n, char **arguments)
{
  (void) n;
  (void) arguments;
  return zm_ctl_listing_for_people (ctl, "hosts", host_columns, host_for_people,
                                    _ ("all plugins run in the daemon itself"));
}
