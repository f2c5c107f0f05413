/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* status [--watch]. */
#include "config.h"

#include "ctl/ctl.h"

#include <stdio.h>
#include <string.h>

static char *
duration_text (gint64 seconds)
{
  if (seconds >= 86400)
    return g_strdup_printf (_ ("%d d %d h"), (int) (seconds / 86400), (int) (seconds / 3600 % 24));
  if (seconds >= 3600)
    return g_strdup_printf (_ ("%d h %d min"), (int) (seconds / 3600), (int) (seconds / 60 % 60));
  if (seconds >= 60)
    return g_strdup_printf (_ ("%d min %d s"), (int) (seconds / 60), (int) (seconds % 60));
  return g_strdup_printf (_ ("%d s"), (int) seconds);
}

/* "node: ready, zmanagerd 0.1.0, process 42, up 3 min 2 s" and what is wrong. */
static void
print_head (const ZmCtl *ctl, JsonObject *status)
{
  const char *state = zm_json_get_text (status, "state");
  gboolean ready = g_strcmp0 (state, "ready") == 0;
  const char *version = zm_json_get_text (status, "version");
  g_autofree char *node = zm_printable (zm_span_text (zm_json_get_text (status, "node")), 256);
  g_autofree char *shown =
      zm_out_style (ctl, ready ? ZM_STYLE_GOOD : ZM_STYLE_WARN, state ? state : _ ("unknown"));
  g_autofree char *up = duration_text (zm_json_get_int (status, "uptime_s"));
  JsonArray *reasons = zm_json_get_array (status, "reasons");

  printf (_ ("%s: %s, zmanagerd %s, process %d, up %s\n"), *node ? node : "zmanager", shown,
          version ? version : "?", (int) zm_json_get_int (status, "pid"), up);
  for (guint i = 0; reasons != NULL && i < json_array_get_length (reasons); i++) {
    g_autofree char *text = zm_out_value (json_array_get_element (reasons, i));
    g_autofree char *line = zm_out_style (ctl, ZM_STYLE_WARN, text);

    printf ("  %s\n", line);
  }
}

/* Counters of what did not go well, in the words of people. What has a label is summed up. */
static const struct {
  const char *counter, *text;
} troubles[] = {
  { "zmanager_subject_malformed_total", N_ ("malformed") },
  { "zmanager_subject_refused_total", N_ ("refused") },
  { "zmanager_subject_dropped_total", N_ ("dropped by the Subject") },
  { "zmanager_subject_busy_total", N_ ("calls answered busy") },
  { "zmanager_subject_timeouts_total", N_ ("calls timed out") },
  { "zmanager_subject_unsent_total", N_ ("replies not taken") },
  { "zmanager_integration_stalls_total", N_ ("stalls by slow subscribers") },
  { "zmanager_integration_dropped_total", N_ ("publications dropped") },
  { "zmanager_integration_failed_total", N_ ("publications failed") },
  { "zmanager_worker_ended_total{end=\"error\"}", N_ ("ended in an error") },
  { "zmanager_worker_ended_total{end=\"dropped\"}", N_ ("dropped by workers") },
  { "zmanager_worker_denied_total", N_ ("denied by a plugin") },
  { "zmanager_authorise_denied_total", N_ ("not authorised") },
  { "zmanager_worker_replaced_total", N_ ("hung workers replaced") },
  { "zmanager_worker_refused_total", N_ ("not taken by worker processes") },
  { "zmanager_worker_restarts_total", N_ ("worker processes started again") },
  { "zmanager_emit_denied_total", N_ ("emissions denied") },
  { "zmanager_emit_loops_total", N_ ("loops") },
  { "zmanager_source_refused_total", N_ ("events refused") },
  { "zmanager_plugin_load_failures_total", N_ ("plugins not loaded") },
  { "zmanager_endpoint_shut_total", N_ ("endpoints closed for a second") },
  { "zmanager_control_refused_total", N_ ("control requests refused") },
};

static gint64
sum_of (JsonObject *counters, const char *name)
{
  g_autoptr (GList) names = json_object_get_members (counters);
  gsize size = strlen (name);
  gint64 sum = 0;

  for (GList *at = names; at != NULL; at = at->next) {
    const char *member = at->data;

    if (strncmp (member, name, size) == 0 && (member[size] == '\0' || member[size] == '{'))
      sum += zm_json_get_int (counters, member);
  }
  return sum;
}

/* One line, and none where all went well. */
static void
print_troubles (const ZmCtl *ctl, JsonObject *counters)
{
  g_autofree char *title = zm_out_style (ctl, ZM_STYLE_WARN, _ ("trouble"));
  gboolean shown = FALSE;

  for (guint i = 0; counters != NULL && i < G_N_ELEMENTS (troubles); i++) {
    gint64 sum = sum_of (counters, troubles[i].counter);

    if (sum == 0)
      continue;
    printf ("%s%s %" G_GINT64_FORMAT " %s", shown ? "" : title, shown ? "," : ":", sum, _ (troubles[i].text));
    shown = TRUE;
  }
  if (shown)
    putchar ('\n');
}

/* "connections: topics 3, call 1020 of 1024": of those that have any; the limit where it is near. */
static void
print_connections (const ZmCtl *ctl, JsonArray *gates)
{
  g_autofree char *title = zm_out_style (ctl, ZM_STYLE_BOLD, "connections");
  gboolean shown = FALSE;

  for (guint i = 0; gates != NULL && i < json_array_get_length (gates); i++) {
    JsonObject *gate = zm_json_nth_object (gates, i);
    gint64 number = zm_json_get_int (gate, "connections"), limit = zm_json_get_int (gate, "limit");
    g_autofree char *name = zm_printable (zm_span_text (zm_json_get_text (gate, "name")), 64);

    if (number == 0)
      continue;
    printf ("%s%s %s %" G_GINT64_FORMAT, shown ? "" : title, shown ? "," : ":", name, number);
    if (number >= limit / 2)
      printf (_ (" of %lld"), (long long) limit);
    shown = TRUE;
  }
  if (shown)
    putchar ('\n');
}

static gboolean
is_zero (JsonNode *node)
{
  return JSON_NODE_HOLDS_VALUE (node) && json_node_get_value_type (node) == G_TYPE_INT64 &&
         json_node_get_int (node) == 0;
}

/* The plain members of an object in one line, zeros left out where `zeros` is FALSE; objects inside it get a line of their own, named "subject.calls". */
static void
print_members (const ZmCtl *ctl, const char *name, JsonObject *object, gboolean zeros)
{
  g_autoptr (GList) names = json_object_get_members (object);
  g_autofree char *title = zm_out_style (ctl, ZM_STYLE_BOLD, name);
  gboolean shown = FALSE;

  for (GList *at = names; at != NULL; at = at->next) {
    JsonNode *node = json_object_get_member (object, at->data);
    g_autofree char *value = JSON_NODE_HOLDS_OBJECT (node) ? NULL : zm_out_value (node);
    g_autofree char *member = zm_printable (zm_span_text (at->data), 256);

    if (value == NULL || (!zeros && is_zero (node)))
      continue;
    printf ("%s%s %s %s", shown ? "" : title, shown ? "," : ":", member, value);
    shown = TRUE;
  }
  if (shown)
    putchar ('\n');
  for (GList *at = names; at != NULL; at = at->next) {
    JsonObject *inner = zm_json_get_object (object, at->data);
    g_autofree char *path = g_strdup_printf ("%s.%s", name, (const char *) at->data);

    if (inner != NULL)
      print_members (ctl, path, inner, zeros);
  }
}

/* A part of the status that this version of the client need not know in detail. */
static void
print_block (const ZmCtl *ctl, JsonObject *status, const char *name)
{
  JsonNode *node = json_object_get_member (status, name);
  g_autofree char *title = zm_out_style (ctl, ZM_STYLE_BOLD, name);

  if (node != NULL && JSON_NODE_HOLDS_OBJECT (node)) {
    print_members (ctl, name, json_node_get_object (node),
                   strcmp (name, "table") == 0 || strcmp (name, "plugins") == 0);
  } else if (node != NULL && JSON_NODE_HOLDS_ARRAY (node) &&
             json_array_get_length (json_node_get_array (node)) > 0) {
    printf ("%s:\n", title);
    zm_out_tree (ctl, node, 1);
  }
}

/* Only counters that have counted: the others are for programs. */
static void
print_counters (const ZmCtl *ctl, JsonObject *counters)
{
  g_autofree char *title = zm_out_style (ctl, ZM_STYLE_BOLD, _ ("counters"));
  g_autoptr (GList) names = counters != NULL ? json_object_get_members (counters) : NULL;

  if (names != NULL)
    zm_out_line (title);
  for (GList *at = names; at != NULL; at = at->next) {
    gint64 value = zm_json_get_int (counters, at->data);
    g_autofree char *safe = zm_printable (zm_span_text (at->data), 256);

    if (value != 0)
      printf ("  %-44s %12" G_GINT64_FORMAT "\n", safe, value);
  }
}

static void
print_status (const ZmCtl *ctl, JsonObject *status)
{
  static const char *const blocks[] = {
    "endpoints", "subject", "workers", "integration", "plugins", "table"
  };

  if (zm_ctl_flag (ctl, "watch"))
    zm_out_clear (ctl);
  print_head (ctl, status);
  print_troubles (ctl, zm_json_get_object (status, "counters"));
  print_connections (ctl, zm_json_get_array (status, "connections"));
  for (guint i = 0; i < G_N_ELEMENTS (blocks); i++)
    print_block (ctl, status, blocks[i]);
  print_counters (ctl, zm_json_get_object (status, "counters"));
}

/* Degraded is an exit status of its own: a monitoring script needs no parsing. */
static int
show_once (ZmCtl *ctl)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonObject) status =
      zm_ctl_request (ctl, zm_ctl_request_new ("status"), ZM_CTL_ANSWER_MS, &error);

  if (status == NULL)
    return ctl->interrupted ? ZM_EXIT_OK : zm_ctl_fail (ctl, error);
  if (ctl->json)
    zm_out_json_object (status);
  else
    print_status (ctl, status);
  fflush (stdout);
  return g_strcmp0 (zm_json_get_text (status, "state"), "degraded") == 0 ? ZM_EXIT_DEGRADED : ZM_EXIT_OK;
}

int
zm_ctl_cmd_status (ZmCtl *ctl, guint n, char **arguments)
{
  gint64 interval_us = zm_ctl_duration (ctl, "interval", 1000) * 1000;
  int status;

  (void) n;
  (void) arguments;
  if (!zm_ctl_flag (ctl, "watch"))
    return show_once (ctl);
  zm_ctl_catch_signals (ctl);
  do
    status = show_once (ctl);
  while (!ctl->interrupted && (status == ZM_EXIT_OK || status == ZM_EXIT_DEGRADED) &&
         zm_ctl_wait (ctl, NULL, zm_now_us () + MAX (interval_us, 100000)) == 0);
  return status;
}
