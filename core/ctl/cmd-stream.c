/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * top, trace, log: streams of the control socket.
 *
 * The daemon makes the items only while somebody follows, and never waits for who does: what does not fit is counted and told as
 * {"missed": n}. Printing is a function for each stream; members without a place of their own in the line follow as name=value,
 * so nothing that a newer daemon tells is lost.
 */
#include "config.h"

#include "ctl/ctl.h"

#include <stdio.h>

typedef struct Stream Stream;
typedef void (*Print) (const ZmCtl *ctl, JsonObject *item);
typedef void (*Amend) (Stream *stream, JsonObject *item);

struct Stream {
  gint64 count, most; /* items printed, and after how many it ends */
  Print print;
  Amend amend;       /* adds members that only the client can know; or NULL */
  const char *id;    /* of trace: the message that is waited for, or NULL; borrowed */
  GHashTable *calls; /* of top: key -> gint64, as of the last picture */
  gint64 last_us;    /* of top: when that was, by the daemon's clock */
};

/* What did not fit between daemon and client is told, not hidden. */
static gboolean
print_missed (JsonObject *item)
{
  long long missed = (long long) zm_json_get_int (item, "missed");

  if (!json_object_has_member (item, "missed"))
    return FALSE;
  printf (ngettext ("(%lld line was missed)\n", "(%lld lines were missed)\n", (gulong) missed), missed);
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

/* Follows a stream and gives the exit status: like tail, that --for came before --count is a failure. */
static int
run_stream (ZmCtl *ctl, JsonObject *request, Stream *stream, ZmCtlStream follow)
{
  gint64 limit_ms = zm_ctl_duration (ctl, "for", -1);
  g_autoptr (GError) error = NULL;

  stream->most = zm_ctl_count (ctl, "count", G_MAXINT64);
  follow.part = take_part;
  follow.user = stream;
  follow.until_us = limit_ms >= 0 ? zm_now_us () + limit_ms * 1000 : 0;
  if (!zm_ctl_stream (ctl, request, &follow, &error))
    return zm_ctl_fail (ctl, error);
  return stream->most != G_MAXINT64 && stream->count < stream->most && limit_ms >= 0 && !ctl->interrupted
             ? ZM_EXIT_FAILED
             : ZM_EXIT_OK;
}

/* ---- log ---- */

/* Colour for what needs a look; everything else steps back. */
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

/* One request and not a stream. The answer says what holds now, which a daemon may have bounded. */
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

/* --set and the options of following exclude each other: one changes the daemon, the others only this output. */
int
zm_ctl_cmd_log (ZmCtl *ctl, guint n, char **arguments)
{
  const char *level = zm_ctl_text (ctl, "level");
  const char *set = zm_ctl_text (ctl, "set");
  Stream stream = { .print = print_log };
  ZmCtlStream follow = { .part = NULL };
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
  return run_stream (ctl, request, &stream, follow);
}

/* ---- trace ---- */

/* The action, the key where it is another one than the line's, and the rest in brackets. */
static void
print_trace_details (JsonObject *item, const char *key)
{
  const char *plugin = zm_json_get_text (item, "plugin"), *symbol = zm_json_get_text (item, "symbol");
  const char *at = zm_json_get_text (item, "at"), *more = zm_json_get_text (item, "more");

  if (plugin != NULL && symbol != NULL) {
    g_autofree char *action = g_strdup_printf ("%s.%s", plugin, symbol);
    g_autofree char *safe = zm_printable (zm_span_text (action), 512);

    printf (" %s", safe);
  }
  if (at != NULL && g_strcmp0 (at, key) != 0) {
    g_autofree char *safe = zm_printable (zm_span_text (at), 1024);

    printf (" -> %s", safe);
  }
  if (more != NULL) {
    g_autofree char *error = zm_json_error_text (zm_span_text (more));
    g_autofree char *safe = error != NULL ? g_strdup (error) : zm_printable (zm_span_text (more), 4096);

    printf (" (%s)", safe);
  }
}

/* Identity, event and key stand in columns, as one message's lines are read below each other among those of others. */
static void
print_trace (const ZmCtl *ctl, JsonObject *item)
{
  static const char *const known[] = { "time_us",  "id", "what",   "key",    "flow", "step",
                                       "step_key", "at", "plugin", "symbol", "more", NULL };
  g_autofree char *id = zm_printable (zm_span_text (zm_json_get_text (item, "id")), 64);
  g_autofree char *what = zm_printable (zm_span_text (zm_json_get_text (item, "what")), 64);
  const char *step_key = zm_json_get_text (item, "step_key");
  const char *flow = zm_json_get_text (item, "flow");
  const char *shown_key = step_key != NULL ? step_key : zm_json_get_text (item, "key");
  g_autofree char *key = zm_printable (zm_span_text (shown_key), 1024);
  g_autofree char *dim = zm_out_style (ctl, ZM_STYLE_DIM, id);
  g_autofree char *bold = zm_out_style (ctl, ZM_STYLE_BOLD, key);

  printf ("%s %-10s %s", dim, *what ? what : "-", bold);
  if (flow != NULL && *flow != '\0') {
    g_autofree char *safe = zm_printable (zm_span_text (flow), 256);

    printf (" [%s:%d]", safe, (int) zm_json_get_int (item, "step"));
  }
  print_trace_details (item, shown_key);
  print_others (item, known);
}

/* As tail says it: whatever is sent from now on is seen. */
static void
say_tracing (ZmCtl *ctl, gpointer user)
{
  const Stream *stream = user;

  (void) ctl;
  if (stream->id != NULL)
    fprintf (stderr, _ ("tracing %s: waiting for messages with this id\n"), stream->id);
  else
    fprintf (stderr, _ ("tracing everything\n"));
}

/* The daemon keeps no past, so the id of a message that is through would be waited for in vain. */
static void
say_nothing_came (ZmCtl *ctl, gpointer user)
{
  const Stream *stream = user;

  (void) ctl;
  if (stream->id != NULL)
    fprintf (stderr,
             _ ("nothing came yet: what a message went through before the trace began is not kept. Begin the "
                "trace first and give the message its id: zmanagerctl send --id %s KEY\n"),
             stream->id);
  else
    fprintf (stderr, _ ("nothing came yet\n"));
}

/* An id that no message can have is told at once; it would be waited for in vain. */
int
zm_ctl_cmd_trace (ZmCtl *ctl, guint n, char **arguments)
{
  Stream stream = { .print = print_trace, .id = n > 0 ? arguments[0] : NULL };
  const ZmCtlStream follow = { .ready = say_tracing, .quiet = say_nothing_came };
  JsonObject *request = NULL;

  if (stream.id != NULL && !zm_ctl_id_check (stream.id))
    return zm_ctl_usage (ctl, _ ("an id is 1 to 64 of A-Z a-z 0-9 _ . : -"));
  request = zm_ctl_request_new ("trace");
  if (stream.id != NULL)
    json_object_set_string_member (request, "id", stream.id);
  return run_stream (ctl, request, &stream, follow);
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

    /* Fewer calls than before: the figures of that key began anew. */
    if (before != NULL && seconds > 0 && calls >= *before)
      json_object_set_double_member (route, "rate", (double) (calls - *before) / seconds);
    if (key != NULL)
      g_hash_table_replace (stream->calls, g_strdup (key), g_memdup2 (&calls, sizeof calls));
  }
  stream->last_us = now_us;
}

/* A picture. On a terminal it takes the place of the one before; in a pipe pictures are parted by an empty line. */
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

/* The daemon sends the figures as sums; rates are made here, from two pictures, so that several tops do not disturb
 * each other. */
int
zm_ctl_cmd_top (ZmCtl *ctl, guint n, char **arguments)
{
  g_autoptr (GHashTable) calls = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  Stream stream = { .print = print_top, .amend = add_rates, .calls = calls };
  ZmCtlStream follow = { .part = NULL };
  JsonObject *request = zm_ctl_request_new ("top");

  (void) n;
  (void) arguments;
  json_object_set_int_member (request, "interval_ms",
                              CLAMP (zm_ctl_duration (ctl, "interval", 1000), 100, 60000));
  return run_stream (ctl, request, &stream, follow);
}
