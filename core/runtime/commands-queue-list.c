/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * queues: all of them, with figures. What is in a queue is read at its first use, so each is asked for its figures before the list
 * is made; with them comes the age of its oldest message, which the list does not know by itself.
 */
#include "config.h"

#include "runtime/query.h"

#include <json-glib/json-glib.h>
#include <string.h>

/* So many are asked; what is behind them is shown as it is known. */
#define ASKED_MOST 1000

typedef struct Asked {
  char *project, *name;
  gint64 oldest_us; /* 0: none */
} Asked;

typedef struct Listing {
  ZmRuntime *runtime;
  ZmLater *later;
  GArray *queues; /* Asked */
  guint at;
} Listing;

static void
clear_asked (gpointer data)
{
  Asked *asked = data;

  g_free (asked->project);
  g_free (asked->name);
}

static void
add_asked (const ZmQueueShown *shown, gpointer user)
{
  Asked asked = { g_strdup (shown->project), g_strdup (shown->name), 0 };

  g_array_append_val (user, asked);
}

/* Both lists are in the same order. Queues of the daemon's own are left out: `status` tells of them. */
static void
complete (Listing *listing, JsonArray *rows, JsonArray *out)
{
  gint64 now_us = zm_wall_us ();
  guint at = 0;

  for (guint i = 0; i < json_array_get_length (rows); i++) {
    JsonObject *row = json_array_get_object_element (rows, i);
    const char *name = json_object_get_string_member (row, "name"),
               *project = json_object_get_string_member (row, "project");
    const Asked *asked;

    if (name[0] == '^')
      continue;
    json_array_add_object_element (out, json_object_ref (row));
    asked = at < listing->queues->len ? &g_array_index (listing->queues, Asked, at) : NULL;
    if (asked == NULL || strcmp (asked->name, name) != 0 || strcmp (asked->project, project) != 0)
      continue;
    at++;
    if (asked->oldest_us > 0)
      json_object_set_int_member (row, "oldest_age", MAX (0, now_us - asked->oldest_us) / G_USEC_PER_SEC);
  }
}

static void
answer (Listing *listing)
{
  g_autofree char *text = zm_queues_status_json (listing->runtime->queues);
  g_autoptr (JsonNode) rows = json_from_string (text, NULL);
  g_autoptr (JsonObject) reply = json_object_new ();
  g_autoptr (JsonNode) node = json_node_alloc ();
  JsonArray *out = json_array_new ();

  if (rows != NULL)
    complete (listing, json_node_get_array (rows), out);
  json_object_set_array_member (reply, "queues", out);
  zm_command_answer (listing->later, TRUE, json_to_string (json_node_init_object (node, reply), FALSE));
  g_array_unref (listing->queues);
  g_free (listing);
}

static void ask_next (Listing *listing);

/* One that cannot be read is shown without its age: the store says elsewhere what is wrong. */
static void
done_stats (const ZmQueueAnswer *result, const GError *error, gpointer user)
{
  Listing *listing = user;

  if (error == NULL && result->stats.has_oldest)
    g_array_index (listing->queues, Asked, listing->at).oldest_us = result->stats.oldest.created_us;
  /* Refused at once, as at the daemon's end: the others would be, too. */
  listing->at = error != NULL && error->code == ZM_ERROR_UNAVAILABLE ? listing->queues->len : listing->at + 1;
  ask_next (listing);
}

static void
ask_next (Listing *listing)
{
  const Asked *asked;
  ZmQueueName name;

  if (listing->at >= listing->queues->len) {
    answer (listing);
    return;
  }
  asked = &g_array_index (listing->queues, Asked, listing->at);
  name = (ZmQueueName){ zm_span_text (asked->project), zm_span_text (asked->name) };
  zm_queue_stats (listing->runtime->queues, name, done_stats, listing);
}

/* Answered at once where there is no store. */
gboolean
zm_command_queues (ZmCommandCall *call, GError **error)
{
  Listing *listing;
  ZmLater *later;

  if (call->runtime->queues == NULL) {
    g_string_append (call->out, "{\"queues\":[]}");
    return TRUE;
  }
  later = zm_command_later (call, error);
  if (later == NULL)
    return FALSE;
  listing = g_new0 (Listing, 1);
  listing->runtime = call->runtime;
  listing->later = later;
  listing->queues = g_array_new (FALSE, FALSE, sizeof (Asked));
  g_array_set_clear_func (listing->queues, clear_asked);
  zm_queues_each (call->runtime->queues, NULL, NULL, ASKED_MOST, FALSE, add_asked, listing->queues);
  ask_next (listing);
  return TRUE;
}
