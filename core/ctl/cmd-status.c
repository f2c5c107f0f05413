/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * status [--watch] [--verbose]: the daemon in a few lines, by what people ask for: is it well, what went wrong, what is going on,
 * where is it. Figures of nothing are left out, as a long list of zeros hides the one that matters.
 *
 * The exit status tells degraded from ready, so that a script needs no parsing; --json is the whole answer, unchanged.
 */
#include "config.h"

#include "ctl/ctl.h"

#include <stdio.h>
#include <string.h>

/* "node: ready, zmanagerd 0.1.0, process 42, up 3 min 2 s" and what is wrong. */
static void
print_head (const ZmCtl *ctl, JsonObject *status)
{
  const char *state = zm_json_get_text (status, "state");
  gboolean ready = g_strcmp0 (state, "ready") == 0;
  g_autofree char *version = zm_printable (zm_span_text (zm_json_get_text (status, "version")), 64);
  g_autofree char *safe = zm_printable (zm_span_text (state != NULL ? state : _ ("unknown")), 64);
  g_autofree char *node = zm_printable (zm_span_text (zm_json_get_text (status, "node")), 256);
  g_autofree char *shown = zm_out_style (ctl, ready ? ZM_STYLE_GOOD : ZM_STYLE_WARN, safe);
  g_autofree char *up = zm_out_duration (zm_json_get_int (status, "uptime_s"));
  JsonArray *reasons = zm_json_get_array (status, "reasons");

  printf (_ ("%s: %s, zmanagerd %s, process %d, up %s\n"), *node ? node : "zmanager", shown,
          *version ? version : "?", (int) zm_json_get_int (status, "pid"), up);
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
  { "zmanager_subject_malformed_total", N_ ("malformed messages") },
  { "zmanager_subject_refused_total", N_ ("refused messages") },
  { "zmanager_subject_dropped_total", N_ ("dropped by the Subject") },
  { "zmanager_subject_busy_total", N_ ("calls answered busy") },
  { "zmanager_subject_timeouts_total", N_ ("calls timed out") },
  { "zmanager_subject_unsent_total", N_ ("replies not taken") },
  { "zmanager_integration_stalls_total", N_ ("stalls by slow subscribers") },
  { "zmanager_integration_dropped_total", N_ ("publications dropped") },
  { "zmanager_integration_failed_total", N_ ("publications failed") },
  { "zmanager_worker_ended_total{end=\"error\"}", N_ ("messages that ended in an error") },
  { "zmanager_worker_ended_total{end=\"dropped\"}", N_ ("dropped by workers") },
  { "zmanager_worker_denied_total", N_ ("denied by a plugin") },
  { "zmanager_authorise_denied_total", N_ ("not authorised") },
  { "zmanager_worker_replaced_total", N_ ("hung workers replaced") },
  { "zmanager_worker_refused_total", N_ ("not taken by worker processes") },
  { "zmanager_worker_restarts_total", N_ ("worker processes started again") },
  { "zmanager_host_crashes_total", N_ ("hosts crashed") },
  { "zmanager_host_calls_lost_total", N_ ("calls lost with their host") },
  { "zmanager_host_timeouts_total", N_ ("calls in hosts timed out") },
  { "zmanager_host_emits_lost_total", N_ ("emissions of hosts not taken") },
  { "zmanager_messages_set_aside_total", N_ ("messages set aside") },
  { "zmanager_emit_denied_total", N_ ("emissions denied") },
  { "zmanager_emit_loops_total", N_ ("loops") },
  { "zmanager_source_refused_total", N_ ("events refused") },
  { "zmanager_plugin_load_failures_total", N_ ("failed loads of plugins") },
  { "zmanager_endpoint_shut_total", N_ ("endpoints closed for a second") },
  { "zmanager_control_refused_total", N_ ("control requests refused") },
};

/* Of all labels: "name" and every "name{...}"; but not of a longer name that begins so. */
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

/* ---- rows ---- */

/* The longest title of any language should fit; where one does not, its row is only shifted. */
#define TITLE_WIDTH 12

/* "title       text", and nothing where there is no text. Titles stand below each other. */
static void
print_row (const ZmCtl *ctl, const char *title, const char *text)
{
  g_autofree char *styled = zm_out_style (ctl, ZM_STYLE_BOLD, title);
  int pad = TITLE_WIDTH - (int) g_utf8_strlen (title, -1);

  if (*text != '\0')
    printf ("%s%*s %s\n", styled, MAX (pad, 0), "", text);
}

/* Figures that people look for, in their words; the others are in --verbose and --json. The value stands in a member of a block
 * of the status; inner: in an object inside it. */
static const struct {
  const char *title;
  const char *block, *inner, *member;
  const char *text;
  gboolean always; /* also where it is 0 */
} figures[] = {
  { N_ ("messages"), "subject", NULL, "received", N_ ("received"), TRUE },
  { NULL, "workers", NULL, "results", N_ ("results"), TRUE },
  { NULL, "workers", NULL, "errors", N_ ("errors"), FALSE },
  { NULL, "subject", "calls", "total", N_ ("called"), FALSE },
  { N_ ("inside"), "subject", NULL, "held", N_ ("held back for full workers"), FALSE },
  { NULL, "workers", NULL, "queued", N_ ("queued"), FALSE },
  { NULL, "workers", NULL, "inside", N_ ("in work"), FALSE },
  { NULL, "workers", NULL, "deferred", N_ ("answered later by their action"), FALSE },
  { NULL, "workers", NULL, "waiting", N_ ("waiting in flows"), FALSE },
  { NULL, "subject", "calls", "waiting", N_ ("callers waiting"), FALSE },
  { NULL, "integration", NULL, "queued", N_ ("to be published"), FALSE },
  { N_ ("store"), "store", NULL, "units", N_ ("changes written"), TRUE },
  { NULL, "store", NULL, "waiting", N_ ("changes waiting"), FALSE },
  { NULL, "store", NULL, "failed", N_ ("writes failed"), FALSE },
  { N_ ("delivery"), "delivery", NULL, "in_flight", N_ ("in flight"), FALSE },
  { NULL, "delivery", NULL, "waiting", N_ ("waiting for their next attempt"), FALSE },
  { NULL, "delivery", NULL, "dead", N_ ("gone to dead letters"), FALSE },
  { N_ ("workers"), "workers", NULL, "threads", N_ ("threads"), TRUE },
  { NULL, "workers", NULL, "idle", N_ ("idle"), TRUE },
  { N_ ("routing"), "table", NULL, "routes", N_ ("mappings"), TRUE },
  { NULL, "table", NULL, "flows", N_ ("flows"), TRUE },
  { N_ ("plugins"), "plugins", NULL, "loaded", N_ ("loaded"), TRUE },
  { NULL, "hosts", NULL, "quarantined", N_ ("of these in quarantine"), FALSE },
  { N_ ("hosts"), "hosts", NULL, "number", N_ ("processes"), FALSE },
  { NULL, "hosts", NULL, "down", N_ ("not up"), FALSE },
  { NULL, "hosts", NULL, "calls", N_ ("calls there"), FALSE },
  { NULL, "hosts", NULL, "starts", N_ ("started"), FALSE },
  { NULL, "hosts", NULL, "crashes", N_ ("crashed"), FALSE },
  { NULL, "hosts", NULL, "set_aside", N_ ("messages set aside"), FALSE },
};

/* "text 5" behind what is there. The number stands behind its text so that no language needs a plural of it. */
static void
append (GString *out, const char *text, gint64 number)
{
  g_string_append_printf (out, "%s%s %" G_GINT64_FORMAT, out->len > 0 ? ", " : "", text, number);
}

/* Runs once over the table: a title ends the row before it and begins the next one. A block that an older or newer
 * daemon does not have is left out; so is a figure of 0, unless it is one that people look for. */
static void
print_figures (const ZmCtl *ctl, JsonObject *status)
{
  g_autoptr (GString) row = g_string_new (NULL);
  const char *title = "";

  for (guint i = 0; i < G_N_ELEMENTS (figures); i++) {
    JsonObject *block = zm_json_get_object (status, figures[i].block);
    gint64 value;

    if (figures[i].inner != NULL)
      block = zm_json_get_object (block, figures[i].inner);
    value = zm_json_get_int (block, figures[i].member);
    if (figures[i].title != NULL) {
      print_row (ctl, title, row->str);
      title = _ (figures[i].title);
      g_string_truncate (row, 0);
    }
    if (block != NULL && (value != 0 || figures[i].always))
      append (row, _ (figures[i].text), value);
  }
  print_row (ctl, title, row->str);
}

/* One line, and none where all went well. */
static void
print_troubles (const ZmCtl *ctl, JsonObject *counters)
{
  g_autoptr (GString) out = g_string_new (NULL);
  g_autofree char *styled = NULL;

  for (guint i = 0; counters != NULL && i < G_N_ELEMENTS (troubles); i++) {
    gint64 sum = sum_of (counters, troubles[i].counter);

    if (sum != 0)
      append (out, _ (troubles[i].text), sum);
  }
  if (out->len == 0)
    return;
  styled = zm_out_style (ctl, ZM_STYLE_WARN, out->str);
  print_row (ctl, _ ("trouble"), styled);
}

/* Plugins that are replaced or unloaded, and whose code somebody still holds. */
static void
print_held (const ZmCtl *ctl, JsonObject *status)
{
  JsonNode *held = NULL;
  JsonObject *plugins = zm_json_get_object (status, "plugins");
  JsonArray *list = zm_json_get_array (plugins, "held");
  g_autofree char *text = NULL;

  if (list == NULL || json_array_get_length (list) == 0)
    return;
  held = json_object_get_member (plugins, "held");
  text = zm_out_value (held);
  print_row (ctl, _ ("still held"), text);
}

/* "netlink running" of each. */
static void
print_sources (const ZmCtl *ctl, JsonArray *sources)
{
  g_autoptr (GString) out = g_string_new (NULL);

  for (guint i = 0; sources != NULL && i < json_array_get_length (sources); i++) {
    JsonObject *source = zm_json_nth_object (sources, i);
    g_autofree char *name = zm_printable (zm_span_text (zm_json_get_text (source, "name")), 256);
    g_autofree char *state = zm_printable (zm_span_text (zm_json_get_text (source, "state")), 64);

    g_string_append_printf (out, "%s%s %s", i > 0 ? ", " : "", name, state);
  }
  print_row (ctl, _ ("sources"), out->str);
}

/* "topics 3, call 1020 of 1024": those that have any; the limit where it is near. */
static void
print_connections (const ZmCtl *ctl, JsonArray *gates)
{
  g_autoptr (GString) out = g_string_new (NULL);

  for (guint i = 0; gates != NULL && i < json_array_get_length (gates); i++) {
    JsonObject *gate = zm_json_nth_object (gates, i);
    gint64 number = zm_json_get_int (gate, "connections"), limit = zm_json_get_int (gate, "limit");
    g_autofree char *name = zm_printable (zm_span_text (zm_json_get_text (gate, "name")), 64);

    if (number == 0)
      continue;
    append (out, name, number);
    if (number >= limit / 2)
      g_string_append_printf (out, _ (" of %lld"), (long long) limit);
  }
  print_row (ctl, _ ("connections"), out->str);
}

/* ---- sockets ---- */

/* One endpoint: those of the run directory are told by their names alone, as all of them stand there. */
static void
add_endpoint (GString *local, char **directory, GString *others, const char *name, const char *endpoint)
{
  const char *path = endpoint != NULL && g_str_has_prefix (endpoint, "ipc://") ? endpoint + 6 : NULL;
  g_autofree char *folder = path != NULL ? g_path_get_dirname (path) : NULL;
  g_autofree char *file = path != NULL ? g_path_get_basename (path) : NULL;
  g_autofree char *safe = zm_printable (zm_span_text (endpoint), 1024);

  if (file != NULL && strcmp (file, name) == 0 && (*directory == NULL || strcmp (*directory, folder) == 0)) {
    g_string_append_printf (local, "%s%s", local->len > 0 ? ", " : "", name);
    if (*directory == NULL)
      *directory = g_steal_pointer (&folder);
  } else if (endpoint != NULL) {
    g_string_append_printf (others, "%s%s %s", others->len > 0 ? ", " : "", name, safe);
  }
}

/* What is usual takes one line, however many sockets there are; what was configured otherwise is shown in full. */
static void
print_sockets (const ZmCtl *ctl, JsonObject *endpoints)
{
  static const char *const names[] = { "subject", "call", "topics", "control" };
  g_autoptr (GString) local = g_string_new (NULL);
  g_autoptr (GString) others = g_string_new (NULL);
  g_autofree char *directory = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    JsonArray *list = zm_json_get_array (endpoints, names[i]);

    for (guint j = 0; list != NULL && j < json_array_get_length (list); j++)
      add_endpoint (local, &directory, others, names[i], zm_json_nth_text (list, j));
    if (list == NULL)
      add_endpoint (local, &directory, others, names[i], zm_json_get_text (endpoints, names[i]));
  }
  if (directory != NULL) {
    g_autofree char *safe = zm_printable (zm_span_text (directory), 1024);

    g_string_append_printf (local, _ (" in %s"), safe);
  }
  if (others->len > 0)
    g_string_append_printf (local, "%s%s", local->len > 0 ? "; " : "", others->str);
  print_row (ctl, _ ("sockets"), local->str);
}

/* The head and the troubles come first in either form: a glance has to do. */
static void
print_status (const ZmCtl *ctl, JsonObject *status)
{
  if (zm_ctl_flag (ctl, "watch"))
    zm_out_clear (ctl);
  print_head (ctl, status);
  print_troubles (ctl, zm_json_get_object (status, "counters"));
  if (zm_ctl_flag (ctl, "verbose")) {
    print_connections (ctl, zm_json_get_array (status, "connections"));
    zm_ctl_status_all (ctl, status);
    return;
  }
  print_figures (ctl, status);
  print_held (ctl, status);
  print_sources (ctl, zm_json_get_array (status, "sources"));
  print_connections (ctl, zm_json_get_array (status, "connections"));
  print_sockets (ctl, zm_json_get_object (status, "endpoints"));
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

/* --watch goes on while the daemon is ready or degraded and ends when it cannot be reached, so that a script that waits
 * on it does not hang. The wait also ends at Ctrl-C. */
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
