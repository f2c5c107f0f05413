/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * export, import: queues and their messages as JSON lines, one a queue or a message, so that they can be read, filtered and taken
 * to another daemon. A message keeps its body, headers, key and the rest of its time; what it is claimed by is left out. An import
 * gives each message the id that its sender gave it, else its old id as the sender's, so that one which is repeated within the window
 * of ids adds nothing twice. A queue that is full does not keep the others from what is theirs.
 */
#include "config.h"

#include "ctl/ctl.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PAGE       100
#define ANSWER_MS  60000
#define BATCH_MOST (512u << 10) /* bytes of one request */
#define FORMAT     1

/* How far it has come; told on a terminal while it goes on. */
typedef struct Progress {
  gint64 queues, messages, duplicates, refused, told_us;
} Progress;

static void
tell (Progress *progress, const char *doing, gboolean end)
{
  gint64 now_us = zm_now_us ();

  if (!isatty (STDERR_FILENO) || (!end && now_us - progress->told_us < G_USEC_PER_SEC / 5))
    return;
  progress->told_us = now_us;
  fputc ('\r', stderr);
  fprintf (stderr, _ ("%s: %lld queues, %lld messages"), doing, (long long) progress->queues,
           (long long) progress->messages);
  if (end)
    fputc ('\n', stderr);
}

static JsonObject *
request_of (const char *command, JsonObject *queue)
{
  JsonObject *request = zm_ctl_request_new (command);

  json_object_set_string_member (request, "queue", zm_json_get_text (queue, "name"));
  json_object_set_string_member (request, "project", zm_json_get_text (queue, "project"));
  return request;
}

/* ---- export ---- */

static gboolean
write_line (FILE *out, const char *member, JsonObject *object, GError **error)
{
  g_autoptr (JsonNode) node = json_node_alloc ();
  g_autoptr (JsonObject) line = json_object_new ();
  g_autofree char *text = NULL;

  json_object_set_object_member (line, member, json_object_ref (object));
  text = json_to_string (json_node_init_object (node, line), FALSE);
  if (fprintf (out, "%s\n", text) >= 0)
    return TRUE;
  g_set_error (error, ZM_ERROR, ZM_ERROR_IO, _ ("cannot write: %s"), g_strerror (errno));
  return FALSE;
}

/* All messages of a queue, a page at a time, so that neither side holds more than that. */
static gboolean
export_messages (ZmCtl *ctl, FILE *out, JsonObject *queue, Progress *progress, GError **error)
{
  g_autofree char *after = NULL;

  for (;;) {
    JsonObject *request = request_of ("queue-peek", queue);
    g_autoptr (JsonObject) answer = NULL;
    JsonArray *messages;

    json_object_set_int_member (request, "count", PAGE);
    json_object_set_boolean_member (request, "all", TRUE);
    if (after != NULL)
      json_object_set_string_member (request, "after", after);
    answer = zm_ctl_request (ctl, request, ANSWER_MS, error);
    messages = zm_json_get_array (answer, "messages");
    if (answer == NULL)
      return FALSE;
    for (guint i = 0; messages != NULL && i < json_array_get_length (messages); i++) {
      JsonObject *message = zm_json_nth_object (messages, i);

      if (message == NULL)
        continue;
      g_free (after);
      after = g_strdup (zm_json_get_text (message, "id"));
      if (!write_line (out, "message", message, error))
        return FALSE;
      progress->messages++;
    }
    tell (progress, _ ("export"), FALSE);
    if (!json_object_get_boolean_member_with_default (answer, "more", FALSE))
      return TRUE;
  }
}

static gboolean
is_wanted (ZmCtl *ctl, JsonObject *queue, guint n, char **names)
{
  const char *project = zm_ctl_text (ctl, "project"), *name = zm_json_get_text (queue, "name");

  if (name == NULL || (project != NULL && g_strcmp0 (project, zm_json_get_text (queue, "project")) != 0))
    return FALSE;
  for (guint i = 0; i < n; i++)
    if (strcmp (names[i], name) == 0)
      return TRUE;
  return n == 0;
}

/* Those that were named must be there: an export that leaves one out without a word is no copy. */
static gboolean
check_names (JsonArray *queues, guint n, char **names, GError **error)
{
  for (guint i = 0; i < n; i++) {
    gboolean found = FALSE;

    for (guint j = 0; !found && queues != NULL && j < json_array_get_length (queues); j++)
      found = g_strcmp0 (zm_json_get_text (zm_json_nth_object (queues, j), "name"), names[i]) == 0;
    if (found)
      continue;
    g_set_error (error, ZM_ERROR, ZM_ERROR_NOT_FOUND,
                 _ ("there is no queue \"%s\"; see zmanagerctl queue ls"), names[i]);
    return FALSE;
  }
  return TRUE;
}

static gboolean
export_all (ZmCtl *ctl, FILE *out, guint n, char **names, Progress *progress, GError **error)
{
  g_autoptr (JsonObject) answer = zm_ctl_request (ctl, zm_ctl_request_new ("queues"), ANSWER_MS, error);
  JsonArray *queues = zm_json_get_array (answer, "queues");

  if (answer == NULL || !check_names (queues, n, names, error) ||
      fprintf (out, "{\"zmanager-export\":%d}\n", FORMAT) < 0)
    return FALSE;
  for (guint i = 0; queues != NULL && i < json_array_get_length (queues); i++) {
    JsonObject *listed = zm_json_nth_object (queues, i);
    g_autoptr (JsonObject) shown = NULL;
    JsonObject *queue;

    if (listed == NULL || !is_wanted (ctl, listed, n, names))
      continue;
    shown = zm_ctl_request (ctl, request_of ("queue", listed), ANSWER_MS, error);
    queue = zm_json_get_object (shown, "queue");
    if (queue == NULL || !write_line (out, "queue", queue, error) ||
        !export_messages (ctl, out, listed, progress, error))
      return FALSE;
    progress->queues++;
  }
  return TRUE;
}

/* Into a name of its own first, so that an export which fails never looks like a whole one. */
int
zm_ctl_cmd_export (ZmCtl *ctl, guint n, char **arguments)
{
  const char *path = zm_ctl_text (ctl, "output");
  g_autofree char *half = path != NULL ? g_strconcat (path, ".half", NULL) : NULL;
  FILE *out = half != NULL ? g_fopen (half, "we") : stdout;
  g_autoptr (GError) error = NULL;
  Progress progress = { 0 };
  gboolean good;

  if (out == NULL) {
    g_set_error (&error, ZM_ERROR, ZM_ERROR_IO, _ ("cannot write %s: %s"), half, g_strerror (errno));
    return zm_ctl_fail (ctl, error);
  }
  good = export_all (ctl, out, n, arguments, &progress, &error);
  if (good && (fflush (out) != 0 || (half != NULL && fsync (fileno (out)) != 0))) {
    g_set_error (&error, ZM_ERROR, ZM_ERROR_IO, _ ("cannot write: %s"), g_strerror (errno));
    good = FALSE;
  }
  if (half != NULL) {
    fclose (out);
    if (good && g_rename (half, path) != 0) {
      g_set_error (&error, ZM_ERROR, ZM_ERROR_IO, _ ("cannot write %s: %s"), path, g_strerror (errno));
      good = FALSE;
    }
    if (!good)
      g_unlink (half);
  }
  tell (&progress, _ ("export"), TRUE);
  if (error == NULL && !good)
    g_set_error_literal (&error, ZM_ERROR, ZM_ERROR_IO, _ ("cannot write"));
  return good ? ZM_EXIT_OK : zm_ctl_fail (ctl, error);
}

/* ---- import ---- */

/* Messages of one queue that go in one request. */
typedef struct Batch {
  JsonObject *queue; /* the last line that named one; a reference */
  JsonArray *messages;
  gsize size;
  gboolean full; /* it takes no more: the rest of its messages is counted only */
} Batch;

static gboolean
flush_batch (ZmCtl *ctl, Batch *batch, Progress *progress, GError **error)
{
  g_autoptr (JsonObject) answer = NULL;
  g_autoptr (GError) failure = NULL;
  JsonObject *request;
  guint count = json_array_get_length (batch->messages);

  if (count == 0)
    return TRUE;
  request = request_of ("queue-put", batch->queue);
  json_object_set_array_member (request, "messages", batch->messages);
  batch->messages = json_array_new ();
  batch->size = 0;
  answer = zm_ctl_request (ctl, request, ANSWER_MS, &failure);
  progress->messages += answer != NULL ? count : 0;
  progress->duplicates += zm_json_get_int (answer, "duplicates");
  tell (progress, _ ("import"), FALSE);
  if (answer != NULL)
    return TRUE;
  /* A full queue is told as "invalid", too. */
  if (g_error_matches (failure, ZM_ERROR, ZM_ERROR_LIMIT) ||
      g_error_matches (failure, ZM_ERROR, ZM_ERROR_INVALID)) {
    progress->refused += count;
    batch->full = TRUE;
    fprintf (stderr, "%s: %s\n", zm_json_get_text (batch->queue, "name"), failure->message);
    return TRUE;
  }
  g_propagate_error (error, g_steal_pointer (&failure));
  return FALSE;
}

static gboolean
import_queue (ZmCtl *ctl, Batch *batch, JsonObject *queue, Progress *progress, GError **error)
{
  JsonObject *metadata = zm_json_get_object (queue, "metadata");
  JsonObject *request;
  g_autoptr (JsonObject) answer = NULL;

  if (!flush_batch (ctl, batch, progress, error))
    return FALSE;
  g_clear_pointer (&batch->queue, json_object_unref);
  batch->queue = json_object_ref (queue);
  batch->full = FALSE;
  request = request_of ("queue-create", queue);
  if (metadata != NULL)
    json_object_set_object_member (request, "metadata", json_object_ref (metadata));
  answer = zm_ctl_request (ctl, request, ANSWER_MS, error);
  progress->queues += answer != NULL;
  return answer != NULL;
}

/* The time that is left of its life, and its sender's id, or the old one as that of a sender. */
static gboolean
import_message (ZmCtl *ctl, Batch *batch, JsonObject *message, gsize size, Progress *progress, GError **error)
{
  gint64 ttl = zm_json_get_int (message, "ttl");
  const char *sender_id = zm_json_get_text (message, "sender_id");

  if (ttl > 0)
    json_object_set_int_member (message, "ttl", MAX (ttl - zm_json_get_int (message, "age"), 1));
  else
    json_object_remove_member (message, "ttl");
  if (sender_id != NULL) {
    g_autofree char *id = g_strdup (sender_id);

    json_object_set_string_member (message, "id", id);
  }
  if (batch->size + size > BATCH_MOST || json_array_get_length (batch->messages) >= PAGE)
    if (!flush_batch (ctl, batch, progress, error))
      return FALSE;
  if (batch->full) {
    progress->refused++;
    return TRUE;
  }
  json_array_add_object_element (batch->messages, json_object_ref (message));
  batch->size += size;
  return TRUE;
}

static gboolean
import_line (ZmCtl *ctl, Batch *batch, ZmSpan text, Progress *progress, GError **error)
{
  g_autoptr (JsonNode) node = zm_json_read (text);
  JsonObject *line = node != NULL && JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
  JsonObject *queue = zm_json_get_object (line, "queue"), *message = zm_json_get_object (line, "message");

  if (zm_json_get_text (queue, "name") != NULL && zm_json_get_text (queue, "project") != NULL)
    return import_queue (ctl, batch, queue, progress, error);
  if (message != NULL && batch->queue != NULL)
    return import_message (ctl, batch, message, text.size, progress, error);
  if (zm_json_get_int (line, "zmanager-export") == FORMAT)
    return TRUE;
  g_set_error_literal (
      error, ZM_ERROR, ZM_ERROR_INVALID,
      _ ("no line of an export: {\"queue\": …} or, behind one, {\"message\": …} is expected"));
  return FALSE;
}

static gboolean
import_all (ZmCtl *ctl, FILE *in, const char *name, Progress *progress, GError **error)
{
  Batch batch = { .messages = json_array_new () };
  char *line = NULL;
  size_t room = 0;
  ssize_t length;
  gboolean good = TRUE;

  for (guint number = 1; good && (length = getline (&line, &room, in)) > 0; number++) {
    ZmSpan text = zm_span (line, (gsize) length - (line[length - 1] == '\n'));

    if (text.size == 0)
      continue;
    good = import_line (ctl, &batch, text, progress, error);
    if (!good)
      g_prefix_error (error, "%s:%u: ", name, number);
  }
  good = good && flush_batch (ctl, &batch, progress, error);
  free (line);
  json_array_unref (batch.messages);
  g_clear_pointer (&batch.queue, json_object_unref);
  return good;
}

int
zm_ctl_cmd_import (ZmCtl *ctl, guint n, char **arguments)
{
  const char *path = n > 0 ? arguments[0] : "-";
  gboolean standard = strcmp (path, "-") == 0;
  FILE *in = standard ? stdin : g_fopen (path, "re");
  g_autoptr (GError) error = NULL;
  Progress progress = { 0 };
  gboolean good;

  if (in == NULL) {
    g_set_error (&error, ZM_ERROR, ZM_ERROR_NOT_FOUND, _ ("cannot read %s: %s"), path, g_strerror (errno));
    return zm_ctl_fail (ctl, error);
  }
  good = import_all (ctl, in, standard ? "stdin" : path, &progress, &error);
  if (!standard)
    fclose (in);
  tell (&progress, _ ("import"), TRUE);
  if (!good) {
    g_prefix_error (&error, _ ("after %lld messages: "), (long long) progress.messages);
    return zm_ctl_fail (ctl, error);
  }
  if (ctl->json)
    printf ("{\"queues\":%lld,\"messages\":%lld,\"duplicates\":%lld,\"refused\":%lld}\n",
            (long long) progress.queues, (long long) progress.messages, (long long) progress.duplicates,
            (long long) progress.refused);
  else
    printf (_ ("%lld queues, %lld messages, of which %lld were there already\n"), (long long) progress.queues,
            (long long) progress.messages, (long long) progress.duplicates);
  if (progress.refused == 0)
    return ZM_EXIT_OK;
  fprintf (stderr, _ ("%lld messages were not taken, for the reasons above; make room and import again\n"),
           (long long) progress.refused);
  return ZM_EXIT_FAILED;
}
