/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* top, trace, log: streams of the control socket. */
#include "config.h"

#include "ctl/ctl.h"

#include <stdio.h>

typedef struct Stream {
  gint64 count, most;
  void (*print) (const ZmCtl *ctl, JsonObject *item);
} Stream;

static gboolean
take_part (ZmCtl *ctl, JsonNode *item, gpointer user)
{
  Stream *stream = user;

  if (ctl->json)
    zm_out_json (item);
  else if (JSON_NODE_HOLDS_OBJECT (item))
    stream->print (ctl, json_node_get_object (item));
  else
    zm_out_tree (ctl, item, 0);
  fflush (stdout);
  return ++stream->count < stream->most && !ferror (stdout);
}

static int
run_stream (ZmCtl *ctl, JsonObject *request, void (*print) (const ZmCtl *ctl, JsonObject *item))
{
  Stream stream = { .most = zm_ctl_count (ctl, "count", G_MAXINT64), .print = print };
  g_autoptr (GError) error = NULL;

  return zm_ctl_stream (ctl, request, take_part, &stream, &error) ? ZM_EXIT_OK : zm_ctl_fail (ctl, error);
}

/* ---- log ---- */

static ZmStyle
level_style (const char *level)
{
  if (g_strcmp0 (level, "error") == 0)
    return ZM_STYLE_BAD;
  return g_strcmp0 (level, "warning") == 0 ? ZM_STYLE_WARN : ZM_STYLE_DIM;
}

/* "name=value" for every member that has no place of its own in the line. */
static void
print_others (JsonObject *item, const char *const *known)
{
  g_autoptr (GList) names = json_object_get_members (item);

  for (GList *at = names; at != NULL; at = at->next) {
    g_autofree char *name = zm_printable (zm_span_text (at->data), 64);
    g_autofree char *value = zm_out_value (json_object_get_member (item, at->data));

    if (!g_strv_contains (known, at->data))
      printf (" %s=%s", name, value);
  }
  putchar ('\n');
}

static void
print_log (const ZmCtl *ctl, JsonObject *item)
{
  static const char *const known[] = { "time", "level", "room", "text", NULL };
  const char *level = zm_json_get_text (item, "level");
  JsonNode *time = json_object_get_member (item, "time");
  g_autofree char *when = zm_out_value (time);
  g_autofree char *shown = zm_out_style (ctl, level_style (level), level ? level : "-");
  g_autofree char *room = zm_printable (zm_span_text (zm_json_get_text (item, "room")), 64);
  g_autofree char *text = zm_printable (zm_span_text (zm_json_get_text (item, "text")), 4096);

  printf ("%s %s %s: %s", when, shown, room, text);
  print_others (item, known);
}

int
zm_ctl_cmd_log (ZmCtl *ctl, guint n, char **arguments)
{
  const char *level = zm_ctl_text (ctl, "level");
  JsonObject *request = zm_ctl_request_new ("log");

  (void) n;
  (void) arguments;
  if (level != NULL)
    json_object_set_string_member (request, "level", level);
  return run_stream (ctl, request, print_log);
}

/* ---- trace ---- */

static void
print_trace (const ZmCtl *ctl, JsonObject *item)
{
  static const char *const known[] = { "id", "event", "key", NULL };
  g_autofree char *id = zm_printable (zm_span_text (zm_json_get_text (item, "id")), 64);
  g_autofree char *event = zm_printable (zm_span_text (zm_json_get_text (item, "event")), 64);
  g_autofree char *key = zm_printable (zm_span_text (zm_json_get_text (item, "key")), 1024);
  g_autofree char *dim = zm_out_style (ctl, ZM_STYLE_DIM, id);
  g_autofree char *bold = zm_out_style (ctl, ZM_STYLE_BOLD, key);

  printf ("%s %s %s", dim, *event ? event : "-", bold);
  print_others (item, known);
}

int
zm_ctl_cmd_trace (ZmCtl *ctl, guint n, char **arguments)
{
  JsonObject *request = zm_ctl_request_new ("trace");

  if (n > 0)
    json_object_set_string_member (request, "id", arguments[0]);
  return run_stream (ctl, request, print_trace);
}

/* ---- top ---- */

static const ZmOutColumn top_columns[] = {
  { "key", N_ ("KEY"), FALSE },        { "plugin", N_ ("PLUGIN"), FALSE }, { "symbol", N_ ("ACTION"), FALSE },
  { "calls", N_ ("CALLS"), TRUE },     { "rate", N_ ("PER S"), TRUE },     { "errors", N_ ("ERRORS"), TRUE },
  { "mean_us", N_ ("MEAN µs"), TRUE }, { "max_us", N_ ("MAX µs"), TRUE },  { NULL, NULL, FALSE },
};

static void
print_top (const ZmCtl *ctl, JsonObject *item)
{
  g_autoptr (GList) names = json_object_get_members (item);

  zm_out_clear (ctl);
  for (GList *at = names; at != NULL; at = at->next)
    if (g_strcmp0 (at->data, "routes") != 0) {
      g_autofree char *name = zm_printable (zm_span_text (at->data), 64);
      g_autofree char *value = zm_out_value (json_object_get_member (item, at->data));

      printf ("%s: %s\n", name, value);
    }
  zm_out_table (ctl, zm_json_get_array (item, "routes"), top_columns, _ ("no action is mapped"));
}

int
zm_ctl_cmd_top (ZmCtl *ctl, guint n, char **arguments)
{
  JsonObject *request = zm_ctl_request_new ("top");

  (void) n;
  (void) arguments;
  json_object_set_int_member (request, "interval_ms", MAX (zm_ctl_duration (ctl, "interval", 1000), 100));
  return run_stream (ctl, request, print_top);
}
