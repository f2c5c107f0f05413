/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * store status, check, backup, restore. The daemon does what it can do itself, as it has the store; a check without one, and restore,
 * which needs that there is none, load the store's plugin here.
 */
#include "config.h"

#include "ctl/ctl.h"
#include "runtime/zm-store-offline.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What a check or a copy tells on its way. */
typedef struct Course {
  ZmCtl *ctl;
  JsonArray *found; /* {"severity", "text"}: what was wrong */
  char *text;       /* how it ended, in the daemon's words; or NULL */
  gboolean drawn;   /* a line of progress stands on the terminal */
} Course;

/* ---- status ---- */

static void
print_status (JsonObject *store)
{
  g_autofree char *driver = zm_printable (zm_span_text (zm_json_get_text (store, "driver")), 64);
  g_autofree char *uri = zm_printable (zm_span_text (zm_json_get_text (store, "uri")), 1024);
  g_autofree char *size =
      g_format_size_full ((guint64) zm_json_get_int (store, "bytes"), G_FORMAT_SIZE_IEC_UNITS);
  g_autofree char *sync = zm_out_time (zm_json_get_int (store, "sync-mean-us"));
  const char *trouble = zm_json_get_text (store, "trouble");
  g_autofree char *safe = zm_printable (zm_span_text (trouble), 4096);

  printf (_ ("store        %s%s%s\n"), driver, *uri != '\0' ? ", " : "", uri);
  printf (_ ("size         %s\n"), size);
  printf (_ ("written      transactions %lld, changes %lld, one sync %s\n"),
          (long long) zm_json_get_int (store, "writes"), (long long) zm_json_get_int (store, "units"), sync);
  printf (_ ("waiting      changes %lld\n"), (long long) zm_json_get_int (store, "waiting"));
  if (trouble != NULL)
    printf (_ ("trouble      %s\n"), safe);
}

int
zm_ctl_cmd_store_status (ZmCtl *ctl, guint n, char **arguments)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonObject) answer =
      zm_ctl_request (ctl, zm_ctl_request_new ("store-status"), ZM_CTL_ANSWER_MS, &error);
  JsonObject *store = answer != NULL ? zm_json_get_object (answer, "store") : NULL;

  (void) n;
  (void) arguments;
  if (answer == NULL)
    return zm_ctl_fail (ctl, error);
  if (ctl->json)
    zm_out_json_object (answer);
  else if (store != NULL)
    print_status (store);
  return store != NULL && zm_json_get_text (store, "trouble") != NULL ? ZM_EXIT_DEGRADED : ZM_EXIT_OK;
}

/* ---- on the way ---- */

static void
clear_progress (Course *course)
{
  if (course->drawn)
    fprintf (stderr, "\r\033[K");
  course->drawn = FALSE;
}

/* On a terminal only: a file has no use for it. */
static void
draw_progress (Course *course, const char *text, gint64 done, gint64 total)
{
  g_autofree char *safe = zm_printable (zm_span_text (text), 200);

  if (course->ctl->json || !course->ctl->terminal || isatty (STDERR_FILENO) != 1)
    return;
  clear_progress (course);
  if (total > 0)
    fprintf (stderr, "%s: %d %%", safe, (int) (100.0 * (double) done / (double) total));
  else
    fprintf (stderr, "%s", safe);
  fflush (stderr);
  course->drawn = TRUE;
}

static void
add_found (Course *course, const char *severity, const char *text)
{
  JsonObject *line = json_object_new ();
  g_autofree char *safe = zm_printable (zm_span_text (text), 4096);

  json_object_set_string_member (line, "severity", severity);
  json_object_set_string_member (line, "text", text != NULL ? text : "");
  json_array_add_object_element (course->found, line);
  clear_progress (course);
  if (!course->ctl->json)
    printf ("%s: %s\n", severity, safe);
}

/* A part of the daemon's answer. */
static gboolean
on_part (ZmCtl *ctl, JsonNode *item, gpointer user)
{
  JsonObject *part = JSON_NODE_HOLDS_OBJECT (item) ? json_node_get_object (item) : NULL;
  const char *severity = part != NULL ? zm_json_get_text (part, "severity") : NULL;

  (void) ctl;
  if (g_strcmp0 (severity, "error") == 0 || g_strcmp0 (severity, "warning") == 0)
    add_found (user, severity, zm_json_get_text (part, "text"));
  else if (part != NULL)
    draw_progress (user, zm_json_get_text (part, "text"), zm_json_get_int (part, "done"),
                   zm_json_get_int (part, "total"));
  return TRUE;
}

static void
on_done (ZmCtl *ctl, JsonObject *answer, gpointer user)
{
  Course *course = user;

  (void) ctl;
  course->text = g_strdup (zm_json_get_text (answer, "text"));
}

/* The same from the plugin itself. */
static int
on_report (void *user, int severity, const char *text, uint64_t done, uint64_t total)
{
  if (severity <= ZM_LOG_WARNING)
    add_found (user, severity <= ZM_LOG_ERROR ? "error" : "warning", text);
  else
    draw_progress (user, text, (gint64) done, (gint64) total);
  return 0;
}

/* ---- the end ---- */

static int
finish_json (Course *course, const char *kept)
{
  JsonObject *out = json_object_new ();

  json_object_set_string_member (out, "text", course->text != NULL ? course->text : "");
  json_object_set_array_member (out, "found", json_array_ref (course->found));
  if (kept != NULL)
    json_object_set_string_member (out, "kept", kept);
  zm_out_json_object (out);
  json_object_unref (out);
  return ZM_EXIT_OK;
}

/* Frees what the course holds. error NULL: it went well. */
static int
finish (Course *course, const GError *error, const char *kept)
{
  int status = ZM_EXIT_OK;

  clear_progress (course);
  if (error != NULL && course->ctl->json && json_array_get_length (course->found) > 0) {
    zm_out_json_error ("failed", error->message, course->found);
    status = ZM_EXIT_FAILED;
  } else if (error != NULL) {
    status = zm_ctl_fail (course->ctl, error);
  } else if (course->ctl->json) {
    status = finish_json (course, kept);
  } else if (course->text != NULL) {
    g_autofree char *safe = zm_printable (zm_span_text (course->text), 4096);

    zm_out_line (safe);
  }
  json_array_unref (course->found);
  g_free (course->text);
  return status;
}

/* Takes request. */
static gboolean
ask_daemon (Course *course, JsonObject *request, GError **error)
{
  const ZmCtlStream stream = { .part = on_part, .done = on_done, .user = course };

  json_object_set_boolean_member (request, "progress", TRUE);
  return zm_ctl_stream (course->ctl, request, &stream, error);
}

/* ---- check, backup ---- */

/* Nobody there: the files are at hand, unless a socket was named. */
static gboolean
may_open_files (const ZmCtl *ctl, const GError *error)
{
  return g_error_matches (error, ZM_ERROR, ZM_ERROR_UNREACHABLE) && zm_ctl_text (ctl, "connect") == NULL;
}

int
zm_ctl_cmd_store_check (ZmCtl *ctl, guint n, char **arguments)
{
  Course course = { .ctl = ctl, .found = json_array_new () };
  gboolean repair = zm_ctl_flag (ctl, "repair");
  JsonObject *request = zm_ctl_request_new ("store-check");
  g_autoptr (GError) error = NULL;

  (void) n;
  (void) arguments;
  json_object_set_boolean_member (request, "repair", repair);
  ask_daemon (&course, request, &error);
  if (may_open_files (ctl, error)) {
    g_clear_error (&error);
    if (zm_store_offline_check (zm_ctl_text (ctl, "dir"), repair, on_report, &course, &error))
      course.text =
          g_strdup (json_array_get_length (course.found) > 0 ? _ ("what was found is mended")
                                                             : _ ("nothing is wrong with the store"));
  }
  return finish (&course, error, NULL);
}

int
zm_ctl_cmd_store_backup (ZmCtl *ctl, guint n, char **arguments)
{
  Course course = { .ctl = ctl, .found = json_array_new () };
  JsonObject *request = zm_ctl_request_new ("store-backup");
  g_autofree char *path = g_canonicalize_filename (arguments[0], NULL);
  g_autoptr (GError) error = NULL;

  (void) n;
  json_object_set_string_member (request, "path", path);
  ask_daemon (&course, request, &error);
  return finish (&course, error, NULL);
}

/* ---- restore ---- */

int
zm_ctl_cmd_store_restore (ZmCtl *ctl, guint n, char **arguments)
{
  Course course = { .ctl = ctl, .found = json_array_new () };
  g_autoptr (GError) error = NULL;
  g_autofree char *kept = NULL;

  (void) n;
  if (zm_ctl_text (ctl, "connect") != NULL) {
    json_array_unref (course.found);
    return zm_ctl_usage (ctl, _ ("--connect makes no sense here: the store is restored without a daemon"));
  }
  if (zm_store_offline_restore (zm_ctl_text (ctl, "dir"), arguments[0], on_report, &course, &kept, &error))
    course.text =
        kept != NULL
            ? g_strdup_printf (_ ("the store was restored; the one that was there is kept as %s"), kept)
            : g_strdup (_ ("the store was restored"));
  if (g_error_matches (error, ZM_ERROR, ZM_ERROR_EXISTS)) {
    error->code = ZM_ERROR_REFUSED;
    g_prefix_error (&error, _ ("end the daemon first, with zmanagerctl drain: "));
  }
  return finish (&course, error, kept);
}
