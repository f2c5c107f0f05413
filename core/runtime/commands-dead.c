/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Commands about messages that could not be dealt with: those set aside because they ended their plugin's host again and again, and
 * dead letters, which are messages of ordinary queues.
 */
#include "config.h"

#include "runtime/dead-walk.h"
#include "runtime/query.h"

#include <json-glib/json-glib.h>

#define LIST_MOST 1000 /* dead letters of one answer */

/* ---- dead ---- */

static void
done_list (const ZmQueueAnswer *page, const GError *error, gpointer user)
{
  ZmDeadWalk *walk = user;
  ZmSpan told;

  if (error != NULL) {
    zm_dead_walk_end (walk, error);
    return;
  }
  zm_dead_walk_note (walk, page);
  for (guint i = 0; i < page->n_messages && walk->n < walk->most; i++) {
    const ZmStored *stored = &page->messages[i];

    if (!zm_delivery_dead_letter (stored->headers, &told))
      continue;
    g_string_append (walk->out, walk->out->str[walk->out->len - 1] == '[' ? "{" : ",{");
    zm_reply_member_text (walk->out, "id", stored->id);
    zm_dead_letter_add (walk->out, zm_dead_walk_place (walk), stored, told);
    zm_reply_member_integer (walk->out, "size", (gint64) stored->body.size);
    g_string_append_c (walk->out, '}');
    walk->n++;
  }
  zm_dead_walk_page_over (walk);
}

static void
step_list (ZmDeadWalk *walk)
{
  zm_dead_walk_read (walk, done_list);
}

static void
end_list (ZmDeadWalk *walk)
{
  g_string_append_c (walk->out, ']');
  zm_reply_member_boolean (walk->out, "more", walk->n >= walk->most);
  zm_dead_walk_end (walk, NULL);
}

static void
done_show (const ZmQueueAnswer *page, const GError *error, gpointer user)
{
  ZmDeadWalk *walk = user;
  ZmSpan told;

  if (error != NULL) {
    zm_dead_walk_end (walk, error);
    return;
  }
  if (page->n_messages == 1 && zm_delivery_dead_letter (page->messages[0].headers, &told)) {
    g_autofree char *headers = zm_span_dup (page->messages[0].headers);

    g_string_append_c (walk->out, '{');
    zm_reply_member_text (walk->out, "id", page->messages[0].id);
    zm_dead_letter_add (walk->out, zm_dead_walk_place (walk), &page->messages[0], told);
    zm_dead_letter_copy (walk->out, told, "history", "history");
    zm_reply_member_json (walk->out, "headers", headers);
    zm_reply_member_integer (walk->out, "size", (gint64) page->messages[0].body.size);
    zm_query_add_body (walk->out, page->messages[0].body);
    g_string_append_c (walk->out, '}');
    walk->n++;
  }
  zm_dead_walk_next (walk);
}

static void
step_show (ZmDeadWalk *walk)
{
  zm_dead_walk_read (walk, done_show);
}

static gboolean
no_such (const char *id, GError **error)
{
  g_autofree char *shown = zm_printable (zm_span_text (id), 64);

  g_set_error (
      error, ZM_ERROR, ZM_ERROR_NOT_FOUND,
      "no message with the id \"%s\" is set aside, or among the dead letters; see zmanagerctl dead ls",
      shown);
  return FALSE;
}

/* What was asked for by its id and is nowhere. */
static void
end_one (ZmDeadWalk *walk)
{
  g_autoptr (GError) error = NULL;

  if (walk->n == 0)
    no_such (walk->ids->pdata[0], &error);
  zm_dead_walk_end (walk, error);
}

static GPtrArray *
one_id (const char *id)
{
  GPtrArray *ids = g_ptr_array_new_with_free_func (g_free);

  g_ptr_array_add (ids, g_strdup (id));
  return ids;
}

static gboolean
show_one (ZmCommandCall *call, const char *id, GError **error)
{
  g_autofree char *aside = zm_hosts_dead_one (call->runtime->hosts, id);
  ZmDeadWalk *walk;

  if (aside != NULL || call->runtime->queues == NULL) {
    if (aside == NULL)
      return no_such (id, error);
    g_string_append_c (call->out, '{');
    zm_reply_member_json (call->out, "message", aside);
    g_string_append_c (call->out, '}');
    return TRUE;
  }
  walk = zm_dead_walk_new (call, one_id (id), error);
  if (walk == NULL)
    return FALSE;
  walk->out = g_string_new ("{\"message\":");
  walk->most = 1;
  walk->step = step_show;
  walk->end = end_one;
  zm_dead_walk_on (walk);
  return TRUE;
}

/* With an id that one and its body, else all without; with a queue only its letters. */
gboolean
zm_command_dead (ZmCommandCall *call, GError **error)
{
  g_autofree char *id = NULL, *queue = NULL, *aside = NULL;
  gint64 count;
  ZmDeadWalk *walk;

  if (!zm_command_text (call->request, "id", FALSE, &id, error) ||
      !zm_command_text (call->request, "queue", FALSE, &queue, error) ||
      !zm_command_integer (call->request, "count", 100, 1, LIST_MOST, &count, error))
    return FALSE;
  if (id != NULL)
    return show_one (call, id, error);
  aside = queue == NULL ? zm_hosts_dead_json (call->runtime->hosts, FALSE) : g_strdup ("[]");
  if (call->runtime->queues == NULL) {
    g_string_append_c (call->out, '{');
    zm_reply_member_json (call->out, "dead", aside);
    g_string_append_c (call->out, '}');
    return TRUE;
  }
  walk = zm_dead_walk_new (call, NULL, error);
  if (walk == NULL)
    return FALSE;
  walk->out = g_string_new ("{");
  zm_reply_member_json (walk->out, "dead", aside);
  g_string_truncate (walk->out, walk->out->len - 1); /* its "]" */
  walk->most = (guint) count;
  walk->step = step_list;
  walk->end = end_list;
  zm_dead_walk_on (walk);
  return TRUE;
}

/* ---- dead-rm ---- */

static void
done_removed (const ZmQueueAnswer *answer, const GError *error, gpointer user)
{
  ZmDeadWalk *walk = user;

  if (error != NULL) {
    zm_dead_walk_end (walk, error);
    return;
  }
  walk->n += answer->n;
  zm_dead_walk_page_over (walk);
}

/* Only what is a dead letter: such a queue may hold other messages too. */
static void
done_remove_page (const ZmQueueAnswer *page, const GError *error, gpointer user)
{
  ZmDeadWalk *walk = user;
  ZmSpan ids[ZM_DEAD_PAGE], told;
  guint n = 0;

  if (error != NULL) {
    zm_dead_walk_end (walk, error);
    return;
  }
  zm_dead_walk_note (walk, page);
  for (guint i = 0; i < page->n_messages && n < ZM_DEAD_PAGE; i++)
    if (zm_delivery_dead_letter (page->messages[i].headers, &told))
      ids[n++] = zm_span_text (page->messages[i].id);
  if (n > 0)
    zm_queue_delete_many (walk->runtime->queues, zm_dead_walk_here (walk), ids, n, NULL, 0, done_removed,
                          walk);
  else
    zm_dead_walk_page_over (walk);
}

static void
step_remove (ZmDeadWalk *walk)
{
  zm_dead_walk_read (walk, done_remove_page);
}

/* {"text", "forgotten", "removed"} */
static void
say_removed (GString *out, guint forgotten, guint removed)
{
  g_autofree char *text =
      removed == 0 ? g_strdup_printf ("forgot %u message%s that %s set aside", forgotten,
                                      zm_runtime_plural (forgotten), forgotten == 1 ? "was" : "were")
                   : g_strdup_printf ("removed %u dead letter%s, forgot %u message%s that %s set aside",
                                      removed, zm_runtime_plural (removed), forgotten,
                                      zm_runtime_plural (forgotten), forgotten == 1 ? "was" : "were");

  zm_reply_member_text (out, "text", text);
  zm_reply_member_integer (out, "forgotten", forgotten);
  zm_reply_member_integer (out, "removed", removed);
}

static void
end_remove (ZmDeadWalk *walk)
{
  if (walk->ids != NULL && walk->n == 0) {
    end_one (walk);
    return;
  }
  say_removed (walk->out, walk->forgotten, walk->n);
  zm_dead_walk_end (walk, NULL);
}

/* All are meant only where that is said: a script whose variable is empty must not throw everything away. */
gboolean
zm_command_dead_rm (ZmCommandCall *call, GError **error)
{
  g_autofree char *id = NULL, *queue = NULL;
  gboolean all;
  guint n;
  ZmDeadWalk *walk;

  if (!zm_command_text (call->request, "id", FALSE, &id, error) ||
      !zm_command_text (call->request, "queue", FALSE, &queue, error) ||
      !zm_command_flag (call->request, "all", &all, error))
    return FALSE;
  if (all == (id != NULL)) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID, "give either \"id\", or \"all\": true");
    return FALSE;
  }
  n = queue == NULL ? zm_hosts_dead_forget (call->runtime->hosts, id) : 0;
  if (n == 0 && id != NULL && call->runtime->queues == NULL)
    return no_such (id, error);
  if (call->runtime->queues == NULL || (n > 0 && id != NULL)) {
    g_string_append_c (call->out, '{');
    say_removed (call->out, n, 0);
    g_string_append_c (call->out, '}');
    return TRUE;
  }
  walk = zm_dead_walk_new (call, id != NULL ? one_id (id) : NULL, error);
  if (walk == NULL)
    return FALSE;
  walk->out = g_string_new ("{");
  walk->forgotten = n;
  walk->most = id != NULL ? 1 : G_MAXUINT;
  walk->step = step_remove;
  walk->end = end_remove;
  zm_dead_walk_on (walk);
  return TRUE;
}

/* ---- dead-replay ---- */

static void
done_replay (const ZmQueueAnswer *answer, const GError *error, gpointer user)
{
  ZmDeadWalk *walk = user;

  if (error != NULL) {
    zm_dead_walk_end (walk, error);
    return;
  }
  walk->n += answer->n;
  zm_dead_walk_next (walk);
}

static void
step_replay (ZmDeadWalk *walk)
{
  ZmSpan ids[ZM_DEAD_IDS_MOST];
  guint n = walk->ids != NULL ? walk->ids->len : 0;

  for (guint i = 0; i < n; i++)
    ids[i] = zm_span_text (walk->ids->pdata[i]);
  zm_delivery_replay (walk->runtime->delivery, zm_dead_walk_here (walk), ids, n, done_replay, walk);
}

/* {"text", "n"} */
static void
end_replay (ZmDeadWalk *walk)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *text = g_strdup_printf ("put back %u dead letter%s", walk->n, zm_runtime_plural (walk->n));

  if (walk->ids != NULL && walk->n == 0)
    g_set_error (&error, ZM_ERROR, ZM_ERROR_NOT_FOUND,
                 "none of these is a dead letter that its queue takes back; see zmanagerctl dead ls");
  zm_reply_member_text (walk->out, "text", text);
  zm_reply_member_integer (walk->out, "n", walk->n);
  zm_dead_walk_end (walk, error);
}

/* FALSE: error. *ids is NULL where none are given. */
static gboolean
read_ids (ZmSpan request, GPtrArray **ids, GError **error)
{
  g_autoptr (JsonParser) parser = json_parser_new_immutable ();
  g_autoptr (GPtrArray) list = g_ptr_array_new_with_free_func (g_free);
  JsonNode *node;
  JsonArray *array;

  *ids = NULL;
  if (!json_parser_load_from_data (parser, request.data, (gssize) request.size, error))
    return FALSE;
  node = json_object_get_member (json_node_get_object (json_parser_get_root (parser)), "ids");
  if (node == NULL)
    return TRUE;
  array = JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node) : NULL;
  for (guint i = 0; array != NULL && i < json_array_get_length (array); i++) {
    JsonNode *id = json_array_get_element (array, i);

    if (JSON_NODE_HOLDS_VALUE (id) && json_node_get_string (id) != NULL)
      g_ptr_array_add (list, g_strdup (json_node_get_string (id)));
  }
  if (array == NULL || list->len != json_array_get_length (array) || list->len == 0 ||
      list->len > ZM_DEAD_IDS_MOST) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID, "\"ids\" must be an array of 1 to %d ids",
                 ZM_DEAD_IDS_MOST);
    return FALSE;
  }
  *ids = g_steal_pointer (&list);
  return TRUE;
}

/* Of a queue, or of all; those with these ids, or all of them. What is meant is said: ids, a queue, or all. */
gboolean
zm_command_dead_replay (ZmCommandCall *call, GError **error)
{
  g_autoptr (GPtrArray) ids = NULL;
  g_autofree char *queue = NULL;
  gboolean all;
  ZmDeadWalk *walk;

  if (!zm_command_text (call->request, "queue", FALSE, &queue, error) ||
      !zm_command_flag (call->request, "all", &all, error) || !read_ids (call->request, &ids, error))
    return FALSE;
  if ((all && ids != NULL) || (!all && ids == NULL && queue == NULL)) {
    g_set_error_literal (
        error, ZM_ERROR, ZM_ERROR_INVALID,
        "give \"ids\", a \"queue\", or \"all\": true; \"ids\" and \"all\" exclude each other");
    return FALSE;
  }
  if (call->runtime->delivery == NULL) {
    g_set_error_literal (error, ZM_ERROR, ZM_ERROR_UNAVAILABLE,
                         "this daemon has no store, and so no dead letters; see [store] in zmanager.conf(5)");
    return FALSE;
  }
  walk = zm_dead_walk_new (call, g_steal_pointer (&ids), error);
  if (walk == NULL)
    return FALSE;
  walk->out = g_string_new ("{");
  walk->step = step_replay;
  walk->end = end_replay;
  zm_dead_walk_on (walk);
  return TRUE;
}
