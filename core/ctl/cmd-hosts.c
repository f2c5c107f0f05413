/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * hosts, dead ls|show|rm: the processes in which plugins run outside the daemon, and messages that are set aside.
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

/* ---- set aside ---- */

static const ZmOutColumn dead_columns[] = {
  { "id", N_ ("ID"), FALSE },      { "plugin", N_ ("PLUGIN"), FALSE }, { "action", N_ ("ACTION"), FALSE },
  { "kills", N_ ("KILLS"), TRUE }, { "time", N_ ("SINCE"), FALSE },    { "key", N_ ("KEY"), FALSE },
  { NULL, NULL, FALSE },
};

/* All times are those of the place where they are read, in one form. */
#define TIME_FORM "%F %T"

static void
dead_for_people (JsonObject *message)
{
  gint64 seconds = zm_json_get_int (message, "since") / 1000;
  g_autoptr (GDateTime) since = g_date_time_new_from_unix_local (seconds);
  g_autofree char *text = since != NULL ? g_date_time_format (since, TIME_FORM) : NULL;

  if (text != NULL)
    json_object_set_string_member (message, "time", text);
}

/* A line of the history begins with its time in UTC, for programs. The caller frees. */
static char *
history_line (const char *line)
{
  g_auto (GStrv) parts = g_strsplit (line != NULL ? line : "", " ", 2);
  g_autoptr (GDateTime) utc = parts[0] != NULL ? g_date_time_new_from_iso8601 (parts[0], NULL) : NULL;
  g_autoptr (GDateTime) local = utc != NULL ? g_date_time_to_local (utc) : NULL;
  g_autofree char *time = local != NULL ? g_date_time_format (local, TIME_FORM) : NULL;
  g_autofree char *all =
      time != NULL ? g_strjoin (" ", time, parts[1], NULL) : g_strdup (line != NULL ? line : "");

  return zm_printable (zm_span_text (all), 4096);
}

/* ---- both ---- */

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

int
zm_ctl_cmd_dead_ls (ZmCtl *ctl, guint n, char **arguments)
{
  (void) n;
  (void) arguments;
  return zm_ctl_listing_for_people (ctl, "dead", dead_columns, dead_for_people,
                                    _ ("no message is set aside"));
}

/* ---- one of them ---- */

static void
print_member (const ZmCtl *ctl, JsonObject *message, const char *member, const char *title)
{
  g_autofree char *label = zm_out_style (ctl, ZM_STYLE_BOLD, title);
  g_autofree char *text = zm_out_value (json_object_get_member (message, member));

  printf ("%s: %s\n", label, text);
}

/* The body comes last, as it may be long. It is made safe for the terminal: who wants its bytes asks for --json. What is shown
 * may be less than what was sent, and another form of it: both are said. */
static void
print_body (const ZmCtl *ctl, JsonObject *message)
{
  const char *text = zm_json_get_text (message, "body"), *encoded = zm_json_get_text (message, "base64");
  const char *shown = text != NULL ? text : encoded;
  g_autofree char *label = zm_out_style (ctl, ZM_STYLE_BOLD, _ ("body"));
  g_autofree char *safe = NULL;
  gsize kept = text != NULL ? strlen (text) : 0;

  if (shown == NULL)
    return;
  if (text == NULL) {
    g_free (g_base64_decode (encoded, &kept)); /* for its size */
    printf (_ ("%s: no text; what follows is base64 of it\n"), label);
  }
  if ((gint64) kept < zm_json_get_int (message, "size"))
    printf (_ ("%s: cut; only its first %d bytes are kept\n"), label, (int) kept);
  safe = zm_printable (zm_span_text (shown), G_MAXINT);
  printf ("\n%s\n", safe);
}

/* The history has a line for each time. */
static void
print_message (const ZmCtl *ctl, JsonObject *message)
{
  JsonArray *history = zm_json_get_array (message, "history");

  dead_for_people (message);
  print_member (ctl, message, "id", _ ("id"));
  print_member (ctl, message, "key", _ ("key"));
  print_member (ctl, message, "plugin", _ ("plugin"));
  print_member (ctl, message, "action", _ ("action"));
  print_member (ctl, message, "time", _ ("since"));
  print_member (ctl, message, "kills", _ ("kills"));
  for (guint i = 0; history != NULL && i < json_array_get_length (history); i++) {
    g_autofree char *line = history_line (zm_json_nth_text (history, i));

    printf ("  %s\n", line);
  }
  print_member (ctl, message, "size", _ ("bytes"));
  print_body (ctl, message);
}

int
zm_ctl_cmd_dead_show (ZmCtl *ctl, guint n, char **arguments)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonObject) answer = NULL;
  JsonObject *request = zm_ctl_request_new ("dead");
  JsonObject *message;

  (void) n;
  json_object_set_string_member (request, "id", arguments[0]);
  answer = zm_ctl_request (ctl, request, ZM_CTL_ANSWER_MS, &error);
  message = zm_json_get_object (answer, "message");
  if (answer == NULL)
    return zm_ctl_fail (ctl, error);
  if (ctl->json)
    zm_out_json_object (answer);
  else if (message != NULL)
    print_message (ctl, message);
  return ZM_EXIT_OK;
}

int
zm_ctl_cmd_dead_rm (ZmCtl *ctl, guint n, char **arguments)
{
  gboolean all = zm_ctl_flag (ctl, "all");
  JsonObject *request = NULL;

  if (all == (n > 0))
    return zm_ctl_usage (ctl, _ ("dead rm: say either an ID, or --all"));
  request = zm_ctl_request_new ("dead-rm");
  if (all)
    json_object_set_boolean_member (request, "all", TRUE);
  else
    json_object_set_string_member (request, "id", arguments[0]);
  return zm_ctl_simple (ctl, request, ZM_CTL_ANSWER_MS);
}
