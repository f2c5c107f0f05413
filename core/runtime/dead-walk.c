/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which queues hold dead letters is known by their names, and by those that others name; and how they are walked. */
#include "config.h"

#include "runtime/dead-walk.h"

#include <string.h>

#define PLACES_MOST 10000

/* ---- the places ---- */

static void
place_free (gpointer data)
{
  ZmDeadPlace *place = data;

  g_free (place->project);
  g_free (place->name);
  g_free (place);
}

static void
walk_free (ZmDeadWalk *walk)
{
  g_ptr_array_unref (walk->places);
  g_clear_pointer (&walk->ids, g_ptr_array_unref);
  g_free (walk->queue);
  if (walk->out != NULL)
    g_string_free (walk->out, TRUE);
  g_free (walk);
}

typedef struct Search {
  ZmDeadWalk *walk;
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
  ZmDeadPlace *place;

  if (!wanted || search->walk->places->len >= PLACES_MOST)
    return;
  place = g_new0 (ZmDeadPlace, 1);
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
find_places (ZmDeadWalk *walk, const char *project)
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

void
zm_dead_walk_end (ZmDeadWalk *walk, const GError *error)
{
  if (error != NULL) {
    zm_command_answer_error (walk->later, error);
  } else {
    g_string_append_c (walk->out, '}');
    zm_command_answer (walk->later, TRUE, g_string_free (g_steal_pointer (&walk->out), FALSE));
  }
  walk_free (walk);
}

const ZmDeadPlace *
zm_dead_walk_place (const ZmDeadWalk *walk)
{
  return walk->places->pdata[walk->at];
}

ZmQueueName
zm_dead_walk_here (const ZmDeadWalk *walk)
{
  const ZmDeadPlace *place = zm_dead_walk_place (walk);

  return (ZmQueueName){ zm_span_text (place->project), zm_span_text (place->name) };
}

void
zm_dead_walk_on (ZmDeadWalk *walk)
{
  if (walk->at < walk->places->len && walk->n < walk->most)
    walk->step (walk);
  else
    walk->end (walk);
}

void
zm_dead_walk_next (ZmDeadWalk *walk)
{
  walk->at++;
  walk->marker[0] = '\0';
  zm_dead_walk_on (walk);
}

/* The next page of messages, or those with the ids that were given. */
void
zm_dead_walk_read (ZmDeadWalk *walk, ZmQueueDone done)
{
  ZmQueueList list = {
    .marker = zm_span_text (walk->marker), .limit = ZM_DEAD_PAGE, .claimed = TRUE, .delayed = TRUE
  };
  ZmSpan ids[ZM_DEAD_IDS_MOST];

  if (walk->ids == NULL) {
    zm_queue_list (walk->runtime->queues, zm_dead_walk_here (walk), &list, done, walk);
    return;
  }
  for (guint i = 0; i < walk->ids->len; i++)
    ids[i] = zm_span_text (walk->ids->pdata[i]);
  zm_queue_get (walk->runtime->queues, zm_dead_walk_here (walk), ids, walk->ids->len, done, walk);
}

/* Whether this place goes on behind the page. */
void
zm_dead_walk_note (ZmDeadWalk *walk, const ZmQueueAnswer *page)
{
  walk->more = walk->ids == NULL && page->more && page->n_messages > 0;
  if (page->n_messages > 0)
    g_strlcpy (walk->marker, page->messages[page->n_messages - 1].id, sizeof walk->marker);
}

void
zm_dead_walk_page_over (ZmDeadWalk *walk)
{
  if (walk->more)
    zm_dead_walk_on (walk);
  else
    zm_dead_walk_next (walk);
}

/* ---- the beginning ---- */

/* NULL: error. takes ids. */
ZmDeadWalk *
zm_dead_walk_new (ZmCommandCall *call, GPtrArray *ids, GError **error)
{
  g_autofree char *queue = NULL, *project = NULL;
  ZmDeadWalk *walk = g_new0 (ZmDeadWalk, 1);

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

/* ---- one letter ---- */

void
zm_dead_letter_copy (GString *out, ZmSpan told, const char *name, const char *as)
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
void
zm_dead_letter_add (GString *out, const ZmDeadPlace *place, const ZmStored *stored, ZmSpan told)
{
  g_autofree char *key = zm_span_dup (stored->topic.size > 0 ? stored->topic : stored->key);

  zm_reply_member_text (out, "kind", "letter");
  zm_reply_member_text (out, "dead_queue", place->name);
  zm_reply_member_text (out, "project", place->project);
  zm_dead_letter_copy (out, told, "queue", "queue");
  zm_dead_letter_copy (out, told, "consumer", "consumer");
  zm_dead_letter_copy (out, told, "id", "message");
  zm_dead_letter_copy (out, told, "sender-id", "sender_id");
  zm_dead_letter_copy (out, told, "code", "code");
  zm_dead_letter_copy (out, told, "text", "text");
  zm_dead_letter_copy (out, told, "attempts", "attempts");
  zm_reply_member_integer (out, "first", millis (told, "first"));
  zm_reply_member_integer (out, "since", millis (told, "last"));
  zm_reply_member_text (out, "key", key);
}
