/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * running, services, workers, reload, drain: one request and its answer each.
 *
 * Listings take their columns from a table of member names, and everything else from the daemon: a member that a newer daemon
 * adds shows with --json at once, and in the table when it gets a column.
 */
#include "config.h"

#include "ctl/ctl.h"

#include <stdio.h>

/* Warnings of a reload that was taken, among them plugins that did not come up. To the standard error: they are no change. */
static void
print_problems (JsonArray *problems)
{
  for (guint i = 0; problems != NULL && i < json_array_get_length (problems); i++) {
    const char *text = zm_json_get_text (zm_json_nth_object (problems, i), "text");
    g_autofree char *safe = zm_printable (zm_span_text (text), 8192);

    fprintf (stderr, "%s\n", safe);
  }
}

/* Taken, though something did not come up, is neither done nor refused. */
static int
changes_status (JsonObject *answer)
{
  return zm_json_get_text (answer, "incomplete") != NULL ? ZM_EXIT_DEGRADED : ZM_EXIT_OK;
}

/* An answer {"text", "changes": […], "problems": […], "incomplete"}: the text, then each change; what is wrong comes last. */
static int
print_changes (const ZmCtl *ctl, JsonObject *answer)
{
  const char *text = zm_json_get_text (answer, "text");
  JsonArray *changes = zm_json_get_array (answer, "changes");

  if (ctl->json) {
    zm_out_json_object (answer);
    return changes_status (answer);
  }
  if (text != NULL) {
    g_autofree char *safe = zm_printable (zm_span_text (text), 4096);

    zm_out_line (safe);
  }
  /* One change is the text already. */
  guint n = changes != NULL ? json_array_get_length (changes) : 0;
  for (guint i = 0; i < n && (n > 1 || text == NULL); i++) {
    g_autofree char *line = zm_out_value (json_array_get_element (changes, i));

    printf ("  %s\n", line);
  }
  fflush (stdout);
  print_problems (zm_json_get_array (answer, "problems"));
  return changes_status (answer);
}

/* The daemon words what changed; this client adds nothing, so it cannot be wrong about it. */
int
zm_ctl_simple (ZmCtl *ctl, JsonObject *request, gint64 wait_ms)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonObject) answer = zm_ctl_request (ctl, request, wait_ms, &error);

  return answer != NULL ? print_changes (ctl, answer) : zm_ctl_fail (ctl, error);
}

/* With --json the whole answer, not only the rows that are shown. */
int
zm_ctl_listing (ZmCtl *ctl, JsonObject *request, const char *member, const ZmOutColumn *columns,
                const char *none)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonObject) answer = zm_ctl_request (ctl, request, ZM_CTL_ANSWER_MS, &error);

  if (answer == NULL)
    return zm_ctl_fail (ctl, error);
  if (ctl->json)
    zm_out_json_object (answer);
  else
    zm_out_table (ctl, zm_json_get_array (answer, member), columns, none);
  return ZM_EXIT_OK;
}

/* ---- services ---- */

static const ZmOutColumn service_columns[] = {
  { "name", N_ ("NAME"), FALSE },
  { "version", N_ ("VERSION"), FALSE },
  { "state", N_ ("STATE"), FALSE },
  { "received", N_ ("RECEIVED"), TRUE },
  { "errors", N_ ("ERRORS"), TRUE },
  { "ratio", N_ ("RATIO"), TRUE },
  { "mean_ms", N_ ("MEAN MS"), TRUE },
  { "patterns", N_ ("PATTERNS"), FALSE },
  { NULL, NULL, FALSE },
};

/* As zmanager-wire(7), Commands, lists them. */
static const char *const service_verbs[] = { "get_health", "stop_service", "get_topics",
                                             "add_topic",  "remove_topic", NULL };

/* The verbs are known here, so that a slip is found without a daemon. */
static int
command_service (ZmCtl *ctl, guint n, char **arguments)
{
  JsonObject *request = NULL;

  if (!g_strv_contains (service_verbs, arguments[1])) {
    g_autofree char *all = g_strjoinv (", ", (char **) service_verbs);
    const char *near = zm_suggest (arguments[1], service_verbs);

    return near != NULL
               ? zm_ctl_usage (ctl, _ ("services know no command \"%s\"; did you mean \"%s\"?"), arguments[1],
                               near)
               : zm_ctl_usage (ctl, _ ("services know no command \"%s\"; they know: %s"), arguments[1], all);
  }
  request = zm_ctl_request_new ("service-command");
  json_object_set_string_member (request, "service", arguments[0]);
  json_object_set_string_member (request, "verb", arguments[1]);
  if (n > 2)
    json_object_set_string_member (request, "argument", arguments[2]);
  return zm_ctl_simple (ctl, request, ZM_CTL_ANSWER_MS);
}

int
zm_ctl_cmd_services (ZmCtl *ctl, guint n, char **arguments)
{
  if (n == 1)
    return zm_ctl_usage (ctl, _ ("services: say a command for \"%s\", such as get_health"), arguments[0]);
  if (n > 1)
    return command_service (ctl, n, arguments);
  return zm_ctl_listing (ctl, zm_ctl_request_new ("services"), "services", service_columns,
                         _ ("no service is registered"));
}

/* ---- running ---- */

static const ZmOutColumn running_columns[] = {
  { "worker", N_ ("WORKER"), TRUE },
  { "state", N_ ("STATE"), FALSE },
  { "plugin", N_ ("PLUGIN"), FALSE },
  { "symbol", N_ ("ACTION"), FALSE },
  { "host", N_ ("HOST"), FALSE },
  { "deadline", N_ ("DEADLINE"), TRUE },
  { NULL, NULL, FALSE },
};

/* A negative deadline is over: by so much the call hangs. */
static void
running_for_people (JsonObject *call)
{
  gint64 us = zm_json_get_int (call, "deadline_in_us");
  g_autofree char *time = zm_out_time (us < 0 ? -us : us);
  g_autofree char *text = NULL;

  if (!json_object_has_member (call, "deadline_in_us"))
    return;
  text = g_strdup_printf (us < 0 ? _ ("%s ago") : _ ("in %s"), time);
  json_object_set_string_member (call, "deadline", text);
}

int
zm_ctl_cmd_running (ZmCtl *ctl, guint n, char **arguments)
{
  (void) n;
  (void) arguments;
  return zm_ctl_listing_for_people (ctl, "running", running_columns, running_for_people,
                                    _ ("no worker thread runs"));
}

/* ---- workers ---- */

static const ZmOutColumn worker_columns[] = {
  { "name", N_ ("NAME"), FALSE },
  { "state", N_ ("STATE"), FALSE },
  { "pid", N_ ("PROCESS"), TRUE },
  { "starts", N_ ("STARTS"), TRUE },
  { "sent", N_ ("SENT"), TRUE },
  { "endpoint", N_ ("ENDPOINT"), FALSE },
  { "exec", N_ ("COMMAND"), FALSE },
  /* A sentence where it cannot be started, so it comes last. */
  { "last_end", N_ ("LAST END"), FALSE },
  { NULL, NULL, FALSE },
};

int
zm_ctl_cmd_workers (ZmCtl *ctl, guint n, char **arguments)
{
  (void) n;
  (void) arguments;
  return zm_ctl_listing (ctl, zm_ctl_request_new ("workers"), "workers", worker_columns,
                         _ ("no worker in another language is configured"));
}

/* ---- reload, drain ---- */

/* Plugins may take their time to stop and start. */
#define LONG_MS 120000

int
zm_ctl_cmd_reload (ZmCtl *ctl, guint n, char **arguments)
{
  (void) n;
  (void) arguments;
  return zm_ctl_simple (ctl, zm_ctl_request_new ("reload"), LONG_MS);
}

int
zm_ctl_cmd_drain (ZmCtl *ctl, guint n, char **arguments)
{
  (void) n;
  (void) arguments;
  return zm_ctl_simple (ctl, zm_ctl_request_new ("drain"), LONG_MS);
}
