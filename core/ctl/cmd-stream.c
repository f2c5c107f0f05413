/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* top, trace, log: streams of the control socket. */
#include "config.h"

#include "ctl/ctl.h"

#include <stdio.h>

typedef struct Stream Stream;
typedef void (*Print) (const ZmCtl *ctl, JsonObject *item);
typedef void (*Amend) (Stream *stream, JsonObject *item);

struct Stream {
  gint64 count, most;
  Print print;
  Amend amend;       /* adds members that only the client can know; or NULL */
  GHashTable *calls; /* of top: key -> gint64, as of the last picture */
  gint64 last_us;
};

/* What did not fit between daemon and client is told, not hidden. */
static gboolean
print_missed (JsonObject *item)
{
  if (!json_object_has_member (item, "missed"))
    return FALSE;
  printf (_ ("(%lld lines were missed)\n"), (long long) zm_json_get_int (item, "missed"));
  return TRUE;
}

/* FALSE ends the stream: enough lines, or nobody reads them. */
static gboolean
take_part (ZmCtl *ctl, JsonNode *item, gpointer user)
{
  Stream *stream = user;

  if (!JSON_NODE_HOLDS_OBJECT (item))
    return TRUE;
  if (stream->amend != NULL)
    stream->amend (stream, json_node_get_object (item));
  if (ctl->json)
    zm_out_json (item);
  else if (!print_missed (json_node_get_object (item)))
    stream->print (ctl, json_node_get_object (item));
  fflush (stdout);
  return ++stream->count < stream->most && !ferror (stdout);
}

static int
run_stream (ZmCtl *ctl, JsonObject *request, Print print, Amend amend)
{
  g_autoptr (GHashTable) calls = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  Stream stream = {
    .most = zm_ctl_count (ctl, "count", G_MAXINT64), .print = print, .amend = amend, .calls = calls
  };
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

/* Known members have their place, all others follow as name=value. */
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

static int
set_level (ZmCtl *ctl, const char *level)
{
  JsonObject *request = zm_ctl_request_new ("log-level");
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonObject) answer = NULL;
  g_autofree char *now = NULL;

  json_object_set_string_member (request, "level", level);
  answer = zm_ctl_request (ctl, request, ZM_CTL_ANSWER_MS, &error);
  if (answer == NULL)
    return zm_ctl_fail (ctl, error);
  now = zm_printable (zm_span_text (zm_json_get_text (answer, "level")), 64);
  if (ctl->json)
    zm_out_json_object (answer);
  else
    printf (_ ("the daemon logs %s and worse now\n"), now);
  return ZM_EXIT_OK;
}

int
zm_ctl_cmd_log (ZmCtl *ctl, guint n, char **arguments)
{
  const char *level = zm_ctl_text (ctl, "level");
  const char *set = zm_ctl_text (ctl, "set");
  JsonObject *request;

  (void) n;
  (void) arguments;
  if (set != NULL && (level != NULL || zm_ctl_text (ctl, "count") != NULL))
    return zm_ctl_usage (ctl, _ ("--set stands alone: it prints no log"));
  if (set != NULL)
    return set_level (ctl, set);
  request = zm_ctl_request_new ("log");
  if (level != NULL)
    json_object_set_string_member (request, "level", level);
  return run_stream (ctl, request, print_log, NULL);
}

/* ---- trace ---- */

static void
print_trace (const ZmCtl *ctl, JsonObject *item)
{
  static const char *const known[] = { "time_us", "id", "what", "key", "flow", "step", "step_key", NULL };
  g_autofree char *id = zm_printable (zm_span_text (zm_json_get_text (item, "id")), 64);
  g_autofree char *what = zm_printable (zm_span_text (zm_json_get_text (item, "what")), 64);
  const char *step_key = zm_json_get_text (item, "step_key");
  const char *flow = zm_json_get_text (item, "flow");
  g_autofree char *key =
      zm_printable (zm_span_text (step_key != NULL ? step_key : zm_json_get_text (item, "key")), 1024);
  g_autofree char *dim = zm_out_style (ctl, ZM_STYLE_DIM, id);
  g_autofree char *bold = zm_out_style (ctl, ZM_STYLE_BOLD, key);

  printf ("%s %-10s %s", dim, *what ? what : "-", bold);
  if (flow != NULL && *flow != '\0') {
    g_autofree char *safe = zm_printable (zm_span_text (flow), 256);

    printf (" [%s:%d]", safe, (int) zm_json_get_int (item, "step"));
  }
  print_others (item, known);
}

int
zm_ctl_cmd_trace (ZmCtl *ctl, guint n, char **arguments)
{
  JsonObject *request = zm_ctl_request_new ("trace");

  if (n > 0)
    json_object_set_string_member (request, "id", arguments[0]);
  return run_stream (ctl, request, print_trace, NULL);
}

/* ---- top ---- */

static const ZmOutColumn top_columns[] = {
  { "key", N_ ("KEY"), FALSE },
  { "plugin", N_ ("PLUGIN"), FALSE },
  { "symbol", N_ ("ACTION"), FALSE },
  { "calls", N_ ("CALLS"), TRUE },
  { "rate", N_ ("PER S"), TRUE },
  { "errors", N_ ("ERRORS"), TRUE },
  { "mean_us", N_ ("MEAN µs"), TRUE },
  { "highest_us", N_ ("MAX µs"), TRUE },
  { NULL, NULL, FALSE },
};

/* Calls a second since the picture before, as a member of each route; new routes have none yet. */
static void
add_rates (Stream *stream, JsonObject *item)
{
  JsonArray *routes = zm_json_get_array (item, "routes");
  gint64 now_us = zm_json_get_int (item, "time_us");
  double seconds = (double) (now_us - stream->last_us) / G_USEC_PER_SEC;

  for (guint i = 0; routes != NULL && i < json_array_get_length (routes); i++) {
    JsonObject *route = zm_json_nth_object (routes, i);
    const char *key = zm_json_get_text (route, "key");
    gint64 calls = zm_json_get_int (route, "calls");
    gint64 *before = key != NULL ? g_hash_table_lookup (stream->calls, key) : NULL;

    if (before != NULL && seconds > 0 && calls >= *before)
      json_object_set_double_member (route, "rate", (double) (calls - *before) / seconds);
    if (key != NULL)
      g_hash_table_replace (stream->calls, g_strdup (key), g_memdup2 (&calls, sizeof calls));
  }
  stream->last_us = now_us;
}

static void
print_top (const ZmCtl *ctl, JsonObject *item)
{
  JsonObject *workers = zm_json_get_object (item, "workers");
  const char *state = zm_json_get_text (item, "state");
  g_autofree char *safe = zm_printable (zm_span_text (state), 64);

  zm_out_clear (ctl);
  printf (_ ("%s; threads %d, idle %d; queued %d, waiting %d, deferred %d; calls %lld, errors %lld, dropped "
             "%lld\n\n"),
          safe, (int) zm_json_get_int (workers, "threads"), (int) zm_json_get_int (workers, "idle"),
          (int) zm_json_get_int (workers, "queued"), (int) zm_json_get_int (workers, "waiting"),
          (int) zm_json_get_int (workers, "deferred"), (long long) zm_json_get_int (workers, "calls"),
          (long long) zm_json_get_int (workers, "errors"), (long long) zm_json_get_int (workers, "dropped"));
  zm_out_table (ctl, zm_json_get_array (item, "routes"), top_columns, _ ("no action is mapped"));
  if (!ctl->terminal)
    putchar ('\n');
}

int
zm_ctl_cmd_top (ZmCtl *ctl, guint n, char **arguments)
{
  JsonObject *request = zm_ctl_request_new ("top");

  (void) n;
  (void) arguments;
  json_object_set_int_member (request, "interval_ms",
                              CLAMP (zm_ctl_duration (ctl, "interval", 1000), 100, 60000));
  return run_stream (ctl, request, print_top, add_rates);
}
