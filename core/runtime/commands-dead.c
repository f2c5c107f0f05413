/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Commands about messages that could not be dealt with: those set aside because they ended their plugin's host again and again, and
 * dead letters, which are messages of ordinary queues. Which queues hold such is known by their names and by those that others name;
 * they are walked one after the other, in the room's threads, a page at a time.
 */
#include "config.h"

#include "runtime/query.h"

#include <json-glib/json-glib.h>
#include <string.h>

#define PAGE        50
#define LIST_MOST   1000 /* dead letters of one answer */
#define PLACES_MOST 10000
#define IDS_MOST    64 /* of one replay: the delivery's */

typedef struct Place {
  char *project, *name;
} Place;

typedef struct Walk Walk;
struct Walk {
  ZmRuntime *runtime;
  ZmLater *later;
  GPtrArray *places; /* Place */
  guint at;
  GPtrArray *ids; /* char*; NULL: all */
  char *queue;    /* the one that was named; or NULL */
  guint most, n;  /* how many at most; how many it were */
  guint forgotten;
  char marker[ZM_UUID_SIZE + 1];
  gboolean more;
  GString *out; /* what is answered so far, without its end */
  void (*step) (Walk *walk);
  void (*end) (Walk *walk);
};

/* ---- the places ---- */

static void
place_free (gpointer data)
{
  Place *place = data;

  g_free (place->project);
  g_free (place->name);
  g_free (place);
}

static void
walk_free (Walk *walk)
{
  g_ptr_array_unref (walk->places);
  g_clear_pointer (&walk->ids, g_ptr_array_unref);
  g_free (walk->queue);
  if (walk->out != NULL)
    g_string_free (walk->out, TRUE);
  g_free (walk);
}

typedef struct Search {
  Walk *walk;
  const char *project;
  GHashTable *named; /* project/name: dead-letter queues of others */
} Search;

/* In the same project as the queue whose messages go there. */
static void
add_named (Search *search, const char *project, const char *name)
{
  if (name != NULL && *name != '\0')
    g_hash_table_add (search->named, g_strconcat (project, "/", name, NULL));
}

static void
note_named (const ZmQueueShown *shown, gpointer user)
{
  ZmSpan raw;
  g_autofree char *name = zm_json_member (zm_span_text (shown->metadata), "_dead_letter_queue", &raw) &&
                                  raw.size > 0 && raw.data[0] == '"'
                              ? zm_json_text (raw)
                              : NULL;

  add_named (user, shown->project, name);
}

static void
add_place (const ZmQueueShown *shown, gpointer user)
{
  Search *search = user;
  g_autofree char *key = g_strconcat (shown->project, "/", shown->name, NULL);
  gboolean wanted = search->walk->queue != NULL
                        ? strcmp (shown->name, search->walk->queue) == 0 &&
                              (search->project == NULL || strcmp (shown->project, search->project) == 0)
                        : g_str_has_suffix (shown->name, ".dead") || strcmp (shown->name, "dead") == 0 ||
                              g_hash_table_contains (search->named, key);
  Place *place;

  if (!wanted || search->walk->places->len >= PLACES_MOST)
    return;
  place = g_new0 (Place, 1);
  place->project = g_strdup (shown->project);
  place->name = g_strdup (shown->name);
  g_ptr_array_add (search->walk->places, place);
}

/* Those that the configuration names, too. */
static void
note_configured (ZmRuntime *runtime, Search *search)
{
  g_auto (GStrv) names = zm_config_names (runtime->config, "queue");

  for (char **name = names; *name != NULL; name++) {
    g_autofree char *section = g_strconcat ("queue ", *name, NULL);
    const char *project = zm_config_text (runtime->config, section, "project");

    if (project == NULL || *project == '\0')
      project = zm_config_text (runtime->config, "zaqar", "project");
    add_named (search, project != NULL ? project : "",
               zm_config_text (runtime->config, section, "dead-letter"));
  }
}

static void
find_places (Walk *walk, const char *project)
{
  g_autoptr (GHashTable) named = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  Search search = { walk, project, named };

  if (walk->queue == NULL) {
    note_configured (walk->runtime, &search);
    zm_queues_each (walk->runtime->queues, NULL, NULL, 0, FALSE, note_named, &search);
  }
  zm_queues_each (walk->runtime->queues, NULL, NULL, 0, FALSE, add_place, &search);
}

/* ---- walking ---- */

static void
walk_end (Walk *walk, const GError *error)
{
  if (error != NULL) {
    zm_command_answer_error (walk->later, error);
  } else {
    g_string_append_c (walk->out, '}');
    zm_command_answer (walk->later, TRUE, g_string_free (g_steal_pointer (&walk->out), FALSE));
  }
  walk_free (walk);
}

static ZmQueueName
here (const Walk *walk)
{
  const Place *place = walk->places->pdata[walk->at];

  return (ZmQueueName){ zm_span_text (place->project), zm_span_text (place->name) };
}

static void
walk_on (Walk *walk)
{
  if (walk->at < walk->places->len && walk->n < walk->most)
    walk->step (walk);
  else
    walk->end (walk);
}

static void
next_place (Walk *walk)
{
  walk->at++;
  walk->marker[0] = '\0';
  walk_on (walk);
}

/* The next page of messages, or those with the ids that were given. */
static void
read_page (Walk *walk, ZmQueueDone done)
{
  ZmQueueList list = {
    .marker = zm_span_text (walk->marker), .limit = PAGE, .claimed = TRUE, .delayed = TRUE
  };
  ZmSpan ids[IDS_MOST];

  if (walk->ids == NULL) {
    zm_queue_list (walk->runtime->queues, here (walk), &list, done, walk);
    return;
  }
  for (guint i = 0; i < walk->ids->len; i++)
    ids[i] = zm_span_text (walk->ids->pdata[i]);
  zm_queue_get (walk->runtime->queues, here (walk), ids, walk->ids->len, done, walk);
}

/* Whether this place goes on behind the page. */
static void
note_page (Walk *walk, const ZmQueueAnswer *page)
{
  walk->more = walk->ids == NULL && page->more && page->n_messages > 0;
  if (page->n_messages > 0)
    g_strlcpy (walk->marker, page->messages[page->n_messages - 1].id, sizeof walk->marker);
}

static void
page_over (Walk *walk)
{
  if (walk->more)
    walk_on (walk);
  else
    next_place (walk);
}

/* ---- one letter ---- */

static void
copy_member (GString *out, ZmSpan told, const char *name, const char *as)
{
  ZmSpan raw;
  g_autofree char *text = zm_json_member (told, name, &raw) ? zm_span_dup (raw) : NULL;

  if (text != NULL)
    zm_reply_member_json (out, as, text);
}

static gint64
millis (ZmSpan told, const char *name)
{
  ZmSpan raw;
  gint64 us = 0;
  g_autofree char *text = zm_json_member (told, name, &raw) ? zm_span_dup (raw) : NULL;

  return text != NULL && zm_parse_integer (text, 0, G_MAXINT64, &us, NULL) ? us / 1000 : 0;
}

/* What is said of it in a list; the members that messages set aside have too are called as theirs. */
static void
add_letter (GString *out, const Place *place, const ZmStored *stored, ZmSpan told)
{
  g_autofree char *key = zm_span_dup (stored->topic.size > 0 ? stored->topic : stored->key);

  zm_reply_member_text (out, "kind", "letter");
  zm_reply_member_text (out, "dead_queue", place->name);
  zm_reply_member_text (out, "project", place->project);
  copy_member (out, told, "queue", "queue");
  copy_member (out, told, "consumer", "consumer");
  copy_member (out, told, "id", "message");
  copy_member (out, told, "sender-id", "sender_id");
  copy_member (out, told, "code", "code");
  copy_member (out, told, "text", "text");
  copy_member (out, told, "attempts", "attempts");
  zm_reply_member_integer (out, "first", millis (told, "first"));
  zm_reply_member_integer (out, "since", millis (told, "last"));
  zm_reply_member_text (out, "key", key);
}

/* ---- dead ---- */

static void
done_list (const ZmQueueAnswer *page, const GError *error, gpointer user)
{
  Walk *walk = user;
  ZmSpan told;

  if (error != NULL) {
    walk_end (walk, error);
    return;
  }
  note_page (walk, page);
  for (guint i = 0; i < page->n_messages && walk->n < walk->most; i++) {
    const ZmStored *stored = &page->messages[i];

    if (!zm_delivery_dead_letter (stored->headers, &told))
      continue;
    g_string_append (walk->out, walk->out->str[walk->out->len - 1] == '[' ? "{" : ",{");
    zm_reply_member_text (walk->out, "id", stored->id);
    add_letter (walk->out, walk->places->pdata[walk->at], stored, told);
    zm_reply_member_integer (walk->out, "size", (gint64) stored->body.size);
    g_string_append_c (walk->out, '}');
    walk->n++;
  }
  page_over (walk);
}

static void
step_list (Walk *walk)
{
  read_page (walk, done_list);
}

static void
end_list (Walk *walk)
{
  g_string_append_c (walk->out, ']');
  zm_reply_member_boolean (walk->out, "more", walk->n >= walk->most);
  walk_end (walk, NULL);
}

static void
done_show (const ZmQueueAnswer *page, const GError *error, gpointer user)
{
  Walk *walk = user;
  ZmSpan told;

  if (error != NULL) {
    walk_end (walk, error);
    return;
  }
  if (page->n_messages == 1 && zm_delivery_dead_letter (page->messages[0].headers, &told)) {
    g_autofree char *headers = zm_span_dup (page->messages[0].headers);

    g_string_append_c (walk->out, '{');
    zm_reply_member_text (walk->out, "id", page->messages[0].id);
    add_letter (walk->out, walk->places->pdata[walk->at], &page->messages[0], told);
    copy_member (walk->out, told, "history", "history");
    zm_reply_member_json (walk->out, "headers", headers);
    zm_reply_member_integer (walk->out, "size", (gint64) page->messages[0].body.size);
    zm_query_add_body (walk->out, page->messages[0].body);
    g_string_append_c (walk->out, '}');
    walk->n++;
  }
  next_place (walk);
}

static void
step_show (Walk *walk)
{
  read_page (walk, done_show);
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
end_one (Walk *walk)
{
  g_autoptr (GError) error = NULL;

  if (walk->n == 0)
    no_such (walk->ids->pdata[0], &error);
  walk_end (walk, error);
}

/* NULL: error. takes ids. */
static Walk *
walk_new (ZmCommandCall *call, GPtrArray *ids, GError **error)
{
  g_autofree char *queue = NULL, *project = NULL;
  Walk *walk = g_new0 (Walk, 1);

  walk->runtime = call->runtime;
  walk->places = g_ptr_array_new_with_free_func (place_free);
  walk->ids = ids;
  walk->most = G_MAXUINT;
  if (zm_command_text (call->request, "queue", FALSE, &queue, error) &&
      zm_command_text (call->request, "project", FALSE, &project, error)) {
    walk->queue = g_steal_pointer (&queue);
    if (project == NULL && walk->queue != NULL)
      project = g_strdup (zm_config_text (call->runtime->config, "zaqar", "project"));
    find_places (walk, project);
    if (walk->queue == NULL || walk->places->len > 0)
      walk->later = zm_command_later (call, error);
    else
      g_set_error (error, ZM_ERROR, ZM_ERROR_NOT_FOUND, "there is no queue \"%s\"; see zmanagerctl queue ls",
                   walk->queue);
  }
  if (walk->later != NULL)
    return walk;
  walk_free (walk);
  return NULL;
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
  Walk *walk;

  if (aside != NULL || call->runtime->queues == NULL) {
    if (aside == NULL)
      return no_such (id, error);
    g_string_append_c (call->out, '{');
    zm_reply_member_json (call->out, "message", aside);
    g_string_append_c (call->out, '}');
    return TRUE;
  }
  walk = walk_new (call, one_id (id), error);
  if (walk == NULL)
    return FALSE;
  walk->out = g_string_new ("{\"message\":");
  walk->most = 1;
  walk->step = step_show;
  walk->end = end_one;
  walk_on (walk);
  return TRUE;
}

/* With an id that one and its body, else all without; with a queue only its letters. */
gboolean
zm_command_dead (ZmCommandCall *call, GError **error)
{
  g_autofree char *id = NULL, *queue = NULL, *aside = NULL;
  gint64 count;
  Walk *walk;

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
  walk = walk_new (call, NULL, error);
  if (walk == NULL)
    return FALSE;
  walk->out = g_string_new ("{");
  zm_reply_member_json (walk->out, "dead", aside);
  g_string_truncate (walk->out, walk->out->len - 1); /* its "]" */
  walk->most = (guint) count;
  walk->step = step_list;
  walk->end = end_list;
  walk_on (walk);
  return TRUE;
}

/* ---- dead-rm ---- */

static void
done_removed (const ZmQueueAnswer *answer, const GError *error, gpointer user)
{
  Walk *walk = user;

  if (error != NULL) {
    walk_end (walk, error);
    return;
  }
  walk->n += answer->n;
  page_over (walk);
}

/* Only what is a dead letter: such a queue may hold other messages too. */
static void
done_remove_page (const ZmQueueAnswer *page, const GError *error, gpointer user)
{
  Walk *walk = user;
  ZmSpan ids[PAGE], told;
  guint n = 0;

  if (error != NULL) {
    walk_end (walk, error);
    return;
  }
  note_page (walk, page);
  for (guint i = 0; i < page->n_messages && n < PAGE; i++)
    if (zm_delivery_dead_letter (page->messages[i].headers, &told))
      ids[n++] = zm_span_text (page->messages[i].id);
  if (n > 0)
    zm_queue_delete_many (walk->runtime->queues, here (walk), ids, n, NULL, 0, done_removed, walk);
  else
    page_over (walk);
}

static void
step_remove (Walk *walk)
{
  read_page (walk, done_remove_page);
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
end_remove (Walk *walk)
{
  if (walk->ids != NULL && walk->n == 0) {
    end_one (walk);
    return;
  }
  say_removed (walk->out, walk->forgotten, walk->n);
  walk_end (walk, NULL);
}

/* All are meant only where that is said: a script whose variable is empty must not throw everything away. */
gboolean
zm_command_dead_rm (ZmCommandCall *call, GError **error)
{
  g_autofree char *id = NULL, *queue = NULL;
  gboolean all;
  guint n;
  Walk *walk;

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
  walk = walk_new (call, id != NULL ? one_id (id) : NULL, error);
  if (walk == NULL)
    return FALSE;
  walk->out = g_string_new ("{");
  walk->forgotten = n;
  walk->most = id != NULL ? 1 : G_MAXUINT;
  walk->step = step_remove;
  walk->end = end_remove;
  walk_on (walk);
  return TRUE;
}

/* ---- dead-replay ---- */

static void
done_replay (const ZmQueueAnswer *answer, const GError *error, gpointer user)
{
  Walk *walk = user;

  if (error != NULL) {
    walk_end (walk, error);
    return;
  }
  walk->n += answer->n;
  next_place (walk);
}

static void
step_replay (Walk *walk)
{
  ZmSpan ids[IDS_MOST];
  guint n = walk->ids != NULL ? walk->ids->len : 0;

  for (guint i = 0; i < n; i++)
    ids[i] = zm_span_text (walk->ids->pdata[i]);
  zm_delivery_replay (walk->runtime->delivery, here (walk), ids, n, done_replay, walk);
}

/* {"text", "n"} */
static void
end_replay (Walk *walk)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *text = g_strdup_printf ("put back %u dead letter%s", walk->n, zm_runtime_plural (walk->n));

  if (walk->ids != NULL && walk->n == 0)
    g_set_error (&error, ZM_ERROR, ZM_ERROR_NOT_FOUND,
                 "none of these is a dead letter that its queue takes back; see zmanagerctl dead ls");
  zm_reply_member_text (walk->out, "text", text);
  zm_reply_member_integer (walk->out, "n", walk->n);
  walk_end (walk, error);
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
  if (array == NULL || list->len != json_array_get_length (array) || list->len == 0 || list->len > IDS_MOST) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID, "\"ids\" must be an array of 1 to %d ids", IDS_MOST);
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
  Walk *walk;

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
  walk = walk_new (call, g_steal_pointer (&ids), error);
  if (walk == NULL)
    return FALSE;
  walk->out = g_string_new ("{");
  walk->step = step_replay;
  walk->end = end_replay;
  walk_on (walk);
  return TRUE;
}
