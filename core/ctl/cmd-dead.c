/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * dead ls|show|rm|replay: messages that could not be dealt with. Dead letters are kept in queues, and can be put back where they came
 * from; those set aside ended the host of their plugin again and again, and are only remembered.
 *
 * Tables show sizes and times as people read them; --json is the daemon's answer, unchanged.
 */
#include "config.h"

#include "ctl/ctl.h"

#include <stdio.h>
#include <string.h>

/* Beside the daemon's usual: all of many queues may be read, or put back. */
#define ANSWER_MS 60000

static const ZmOutColumn columns[] = {
  { "id", N_ ("ID"), FALSE },      { "from", N_ ("FROM"), FALSE },  { "why", N_ ("WHY"), FALSE },
  { "times", N_ ("TIMES"), TRUE }, { "time", N_ ("SINCE"), FALSE }, { "kept", N_ ("KEPT"), FALSE },
  { "key", N_ ("KEY"), FALSE },    { NULL, NULL, FALSE },
};

/* All times are those of the place where they are read, in one form. */
#define TIME_FORM "%F %T"

/* The caller frees; NULL: no time. */
static char *
local_time (gint64 ms)
{
  g_autoptr (GDateTime) time = g_date_time_new_from_unix_local (ms / 1000);

  return time != NULL ? g_date_time_format (time, TIME_FORM) : NULL;
}

static gboolean
is_letter (JsonObject *message)
{
  return g_strcmp0 (zm_json_get_text (message, "kind"), "letter") == 0;
}

static void
copy_text (JsonObject *message, const char *from, const char *to)
{
  const char *text = zm_json_get_text (message, from);

  if (text != NULL)
    json_object_set_string_member (message, to, text);
}

/* One table for both kinds: a letter came from a queue, what is set aside from a plugin. */
static void
for_people (JsonObject *message)
{
  gboolean letter = is_letter (message);
  g_autofree char *time = local_time (zm_json_get_int (message, "since"));

  if (time != NULL)
    json_object_set_string_member (message, "time", time);
  copy_text (message, letter ? "queue" : "plugin", "from");
  copy_text (message, letter ? "code" : "action", "why");
  json_object_set_int_member (message, "times", zm_json_get_int (message, letter ? "attempts" : "kills"));
  if (letter)
    copy_text (message, "dead_queue", "kept");
  else
    json_object_set_string_member (message, "kept", _ ("(set aside)"));
}

/* What names a queue and its project, where they are given; takes nothing. */
static void
set_place (ZmCtl *ctl, JsonObject *request, const char *queue)
{
  if (queue != NULL)
    json_object_set_string_member (request, "queue", queue);
  if (zm_ctl_text (ctl, "project") != NULL)
    json_object_set_string_member (request, "project", zm_ctl_text (ctl, "project"));
}

int
zm_ctl_cmd_dead_ls (ZmCtl *ctl, guint n, char **arguments)
{
  g_autoptr (GError) error = NULL;
  JsonObject *request = zm_ctl_request_new ("dead");
  g_autoptr (JsonObject) answer = NULL;
  JsonArray *rows;

  set_place (ctl, request, n > 0 ? arguments[0] : NULL);
  json_object_set_int_member (request, "count", zm_ctl_count (ctl, "count", 100));
  answer = zm_ctl_request (ctl, request, ANSWER_MS, &error);
  if (answer == NULL)
    return zm_ctl_fail (ctl, error);
  if (ctl->json) {
    zm_out_json_object (answer);
    return ZM_EXIT_OK;
  }
  rows = zm_json_get_array (answer, "dead");
  for (guint i = 0; rows != NULL && i < json_array_get_length (rows); i++)
    if (zm_json_nth_object (rows, i) != NULL)
      for_people (zm_json_nth_object (rows, i));
  zm_out_table (ctl, rows, columns, _ ("no message is dead or set aside"));
  if (json_object_get_boolean_member_with_default (answer, "more", FALSE))
    printf ("%s\n", _ ("there may be more: --count"));
  return ZM_EXIT_OK;
}

/* ---- one of them ---- */

/* A line of the history of one set aside begins with its time in UTC, for programs. The caller frees. */
static char *
aside_line (const char *line)
{
  g_auto (GStrv) parts = g_strsplit (line != NULL ? line : "", " ", 2);
  g_autoptr (GDateTime) utc = parts[0] != NULL ? g_date_time_new_from_iso8601 (parts[0], NULL) : NULL;
  g_autoptr (GDateTime) local = utc != NULL ? g_date_time_to_local (utc) : NULL;
  g_autofree char *time = local != NULL ? g_date_time_format (local, TIME_FORM) : NULL;
  g_autofree char *all =
      time != NULL ? g_strjoin (" ", time, parts[1], NULL) : g_strdup (line != NULL ? line : "");

  return zm_printable (zm_span_text (all), 4096);
}

/* An attempt of a letter: its time is in microseconds. The caller frees. */
static char *
attempt_line (JsonObject *attempt)
{
  g_autofree char *time = local_time (zm_json_get_int (attempt, "at") / 1000);
  const char *code = zm_json_get_text (attempt, "code"), *text = zm_json_get_text (attempt, "text");
  g_autofree char *all = g_strdup_printf ("%s %lld. %s: %s", time != NULL ? time : "",
                                          (long long) zm_json_get_int (attempt, "attempt"),
                                          code != NULL ? code : "", text != NULL ? text : "");

  return zm_printable (zm_span_text (all), 4096);
}

static void
print_history (JsonArray *history)
{
  for (guint i = 0; history != NULL && i < json_array_get_length (history); i++) {
    JsonObject *attempt = zm_json_nth_object (history, i);
    g_autofree char *line =
        attempt != NULL ? attempt_line (attempt) : aside_line (zm_json_nth_text (history, i));

    printf ("  %s\n", line);
  }
}

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

static void
print_aside (const ZmCtl *ctl, JsonObject *message)
{
  print_member (ctl, message, "plugin", _ ("plugin"));
  print_member (ctl, message, "action", _ ("action"));
  print_member (ctl, message, "time", _ ("since"));
  print_member (ctl, message, "kills", _ ("kills"));
}

static void
print_letter (const ZmCtl *ctl, JsonObject *message)
{
  print_member (ctl, message, "kept", _ ("kept in"));
  print_member (ctl, message, "from", _ ("from queue"));
  print_member (ctl, message, "message", _ ("was message"));
  print_member (ctl, message, "code", _ ("code"));
  print_member (ctl, message, "text", _ ("text"));
  print_member (ctl, message, "time", _ ("since"));
  print_member (ctl, message, "attempts", _ ("attempts"));
}

static void
print_message (const ZmCtl *ctl, JsonObject *message)
{
  for_people (message);
  print_member (ctl, message, "id", _ ("id"));
  print_member (ctl, message, "key", _ ("key"));
  if (is_letter (message))
    print_letter (ctl, message);
  else
    print_aside (ctl, message);
  print_history (zm_json_get_array (message, "history"));
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
  answer = zm_ctl_request (ctl, request, ANSWER_MS, &error);
  message = zm_json_get_object (answer, "message");
  if (answer == NULL)
    return zm_ctl_fail (ctl, error);
  if (ctl->json)
    zm_out_json_object (answer);
  else if (message != NULL)
    print_message (ctl, message);
  return ZM_EXIT_OK;
}

/* ---- rid of them ---- */

int
zm_ctl_cmd_dead_rm (ZmCtl *ctl, guint n, char **arguments)
{
  gboolean all = zm_ctl_flag (ctl, "all");
  JsonObject *request = NULL;

  if (all == (n > 0))
    return zm_ctl_usage (ctl, _ ("dead rm: say either an ID, or --all"));
  request = zm_ctl_request_new ("dead-rm");
  set_place (ctl, request, zm_ctl_text (ctl, "queue"));
  if (all)
    json_object_set_boolean_member (request, "all", TRUE);
  else
    json_object_set_string_member (request, "id", arguments[0]);
  return zm_ctl_simple (ctl, request, ANSWER_MS);
}

/* ---- again ---- */

/* Ids are UUIDs. A queue that is called like one is named by --queue. */
static gboolean
is_id (const char *text)
{
  return strlen (text) == 36 && text[8] == '-' && text[13] == '-' && text[18] == '-' && text[23] == '-';
}

int
zm_ctl_cmd_dead_replay (ZmCtl *ctl, guint n, char **arguments)
{
  const char *queue = zm_ctl_text (ctl, "queue");
  gboolean all = zm_ctl_flag (ctl, "all");
  JsonArray *ids = NULL;
  JsonObject *request;

  if (n > 0 && !is_id (arguments[0])) {
    if (queue != NULL)
      return zm_ctl_usage (ctl, _ ("dead replay: two queues are named"));
    queue = *arguments++;
    n--;
  }
  for (guint i = 0; i < n; i++)
    if (!is_id (arguments[i]))
      return zm_ctl_usage (ctl, _ ("\"%s\" is no id of a dead letter; see zmanagerctl dead ls"),
                           arguments[i]);
  if (all == (n > 0))
    return zm_ctl_usage (ctl, _ ("dead replay: say either IDs, or --all"));
  request = zm_ctl_request_new ("dead-replay");
  set_place (ctl, request, queue);
  if (all) {
    json_object_set_boolean_member (request, "all", TRUE);
    return zm_ctl_simple (ctl, request, ANSWER_MS);
  }
  ids = json_array_new ();
  for (guint i = 0; i < n; i++)
    json_array_add_string_element (ids, arguments[i]);
  json_object_set_array_member (request, "ids", ids);
  return zm_ctl_simple (ctl, request, ANSWER_MS);
}
