/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * queue ls|show|create|rm|purge|put|get|ack|release|peek: messages that are kept.
 *
 * `get` claims, so that a message which its taker does not acknowledge comes back; --pop takes it for good. Bodies go to the standard
 * output as they are where there is one message and a pipe; lists are tables for people, and one document with --json.
 */
#include "config.h"

#include "ctl/ctl.h"

#include <stdio.h>
#include <string.h>

/* Beside what a wait takes, which goes on top. */
#define ANSWER_MS 30000

/* ---- requests ---- */

static JsonObject *
queue_request (ZmCtl *ctl, const char *command, const char *queue)
{
  JsonObject *request = zm_ctl_request_new (command);

  if (queue != NULL)
    json_object_set_string_member (request, "queue", queue);
  if (zm_ctl_text (ctl, "project") != NULL)
    json_object_set_string_member (request, "project", zm_ctl_text (ctl, "project"));
  return request;
}

/* Whole seconds are what queues count in; a fraction is rounded up, as 0 would mean something else. */
static void
set_seconds (ZmCtl *ctl, JsonObject *request, const char *option)
{
  if (zm_ctl_text (ctl, option) != NULL)
    json_object_set_int_member (request, option, (zm_ctl_duration (ctl, option, 0) + 999) / 1000);
}

static void
set_count (ZmCtl *ctl, JsonObject *request)
{
  json_object_set_int_member (request, "count", zm_ctl_count (ctl, "count", 1));
}

/* ---- what people read ---- */

static const ZmOutColumn queue_columns[] = {
  { "name", N_ ("NAME"), FALSE },
  { "kind", N_ ("KIND"), FALSE },
  { "messages", N_ ("MESSAGES"), TRUE },
  { "free", N_ ("FREE"), TRUE },
  { "claimed", N_ ("CLAIMED"), TRUE },
  { "delayed", N_ ("DELAYED"), TRUE },
  { "size", N_ ("STORED"), TRUE },
  { "oldest", N_ ("OLDEST"), TRUE },
  { "dropped", N_ ("DROPPED"), TRUE },
  { "project", N_ ("PROJECT"), FALSE },
  { NULL, NULL, FALSE },
};

static void
queue_for_people (JsonObject *queue)
{
  g_autofree char *bytes =
      g_format_size_full ((guint64) zm_json_get_int (queue, "bytes"), G_FORMAT_SIZE_IEC_UNITS);
  g_autofree char *age = zm_out_duration (zm_json_get_int (queue, "oldest_age"));

  json_object_set_string_member (queue, "size", bytes);
  if (json_object_has_member (queue, "oldest_age"))
    json_object_set_string_member (queue, "oldest", age);
}

static const ZmOutColumn message_columns[] = {
  { "id", N_ ("ID"), FALSE },        { "age_text", N_ ("AGE"), TRUE }, { "key", N_ ("KEY"), FALSE },
  { "claims", N_ ("CLAIMS"), TRUE }, { "text", N_ ("BODY"), FALSE },   { NULL, NULL, FALSE },
};

/* The table has one line for a message, the body's first part among it. */
static void
message_for_people (JsonObject *message)
{
  const char *body = zm_json_get_text (message, "body");
  g_autofree char *age = zm_out_duration (zm_json_get_int (message, "age"));
  g_autofree char *text = body != NULL ? zm_printable (zm_span_text (body), 120)
                                       : g_strdup_printf (_ ("(%lld bytes, no text)"),
                                                          (long long) zm_json_get_int (message, "size"));

  json_object_set_string_member (message, "age_text", age);
  json_object_set_string_member (message, "text", text);
}

int
zm_ctl_cmd_queue_ls (ZmCtl *ctl, guint n, char **arguments)
{
  (void) n;
  (void) arguments;
  return zm_ctl_listing_for_people (ctl, "queues", queue_columns, queue_for_people,
                                    _ ("there is no queue yet"));
}

/* ---- one queue ---- */

int
zm_ctl_cmd_queue_show (ZmCtl *ctl, guint n, char **arguments)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonObject) answer =
      zm_ctl_request (ctl, queue_request (ctl, "queue", arguments[0]), ANSWER_MS, &error);
  JsonNode *queue = answer != NULL ? json_object_get_member (answer, "queue") : NULL;

  (void) n;
  if (answer == NULL)
    return zm_ctl_fail (ctl, error);
  if (ctl->json)
    zm_out_json_object (answer);
  else if (queue != NULL)
    zm_out_tree (ctl, queue, 0);
  return ZM_EXIT_OK;
}

int
zm_ctl_cmd_queue_create (ZmCtl *ctl, guint n, char **arguments)
{
  const char *text = zm_ctl_text (ctl, "metadata");
  JsonNode *metadata = text != NULL ? zm_json_read (zm_span_text (text)) : NULL;
  JsonObject *request;

  (void) n;
  if (text != NULL && (metadata == NULL || !JSON_NODE_HOLDS_OBJECT (metadata))) {
    g_clear_pointer (&metadata, json_node_unref);
    return zm_ctl_usage (ctl, _ ("--metadata wants a JSON object, not \"%s\""), text);
  }
  request = queue_request (ctl, "queue-create", arguments[0]);
  if (metadata != NULL)
    json_object_set_member (request, "metadata", metadata);
  return zm_ctl_simple (ctl, request, ANSWER_MS);
}

/* What is lost cannot be got back, so it is said twice: the name, and that it is meant. */
static int
destroy (ZmCtl *ctl, const char *command, const char *queue)
{
  if (!zm_ctl_flag (ctl, "yes"))
    return zm_ctl_usage (ctl, _ ("the messages of \"%s\" would be gone for good: say --yes"), queue);
  return zm_ctl_simple (ctl, queue_request (ctl, command, queue), ANSWER_MS);
}

int
zm_ctl_cmd_queue_rm (ZmCtl *ctl, guint n, char **arguments)
{
  (void) n;
  return destroy (ctl, "queue-rm", arguments[0]);
}

int
zm_ctl_cmd_queue_purge (ZmCtl *ctl, guint n, char **arguments)
{
  (void) n;
  return destroy (ctl, "queue-purge", arguments[0]);
}

/* ---- put ---- */

/* TRUE: the request has the body and all that the options say of it. */
static gboolean
fill_put (ZmCtl *ctl, JsonObject *request, GBytes *body, int *status)
{
  gboolean if_empty = zm_ctl_flag (ctl, "if-empty"), replace = zm_ctl_flag (ctl, "replace");
  GPtrArray *headers = zm_ctl_list (ctl, "header");
  JsonObject *object = json_object_new ();
  gsize size = 0;
  const char *data = g_bytes_get_data (body, &size);

  json_object_set_object_member (request, "headers", object);
  for (guint i = 0; headers != NULL && i < headers->len; i++) {
    g_auto (GStrv) parts = g_strsplit (headers->pdata[i], "=", 2);

    if (parts[0] == NULL || parts[0][0] == '\0' || parts[1] == NULL ||
        !g_utf8_validate (headers->pdata[i], -1, NULL)) {
      *status = zm_ctl_usage (ctl, _ ("--header wants NAME=VALUE, not \"%s\""), (char *) headers->pdata[i]);
      return FALSE;
    }
    json_object_set_string_member (object, parts[0], parts[1]);
  }
  if (if_empty && replace) {
    *status = zm_ctl_usage (ctl, _ ("--if-empty and --replace exclude each other"));
    return FALSE;
  }
  if (if_empty || replace)
    json_object_set_string_member (request, "how", if_empty ? "if-empty" : "replace");
  if (zm_ctl_text (ctl, "key") != NULL)
    json_object_set_string_member (request, "key", zm_ctl_text (ctl, "key"));
  if (zm_ctl_text (ctl, "id") != NULL)
    json_object_set_string_member (request, "id", zm_ctl_text (ctl, "id"));
  set_seconds (ctl, request, "ttl");
  set_seconds (ctl, request, "delay");
  g_autofree char *encoded = g_base64_encode ((const guchar *) data, size);
  json_object_set_string_member (request, "base64", encoded);
  return TRUE;
}

int
zm_ctl_cmd_queue_put (ZmCtl *ctl, guint n, char **arguments)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) body = zm_ctl_read_body (n > 1 ? arguments[1] : "", &error);
  g_autoptr (JsonObject) answer = NULL;
  JsonObject *request;
  int status = ZM_EXIT_OK;

  if (body == NULL)
    return zm_ctl_fail (ctl, error);
  request = queue_request (ctl, "queue-put", arguments[0]);
  if (!fill_put (ctl, request, body, &status)) {
    json_object_unref (request);
    return status;
  }
  answer = zm_ctl_request (ctl, request, ANSWER_MS, &error);
  if (answer == NULL)
    return zm_ctl_fail (ctl, error);
  if (ctl->json)
    zm_out_json_object (answer);
  else
    printf ("%s%s\n", zm_json_get_text (answer, "id"),
            json_object_get_boolean_member_with_default (answer, "duplicate", FALSE)
                ? _ (" (was there already)")
                : "");
  return ZM_EXIT_OK;
}

/* ---- get, peek ---- */

/* One body into a file or a pipe is that body and nothing else. */
static void
print_bare (JsonObject *message)
{
  const char *text = zm_json_get_text (message, "body"), *encoded = zm_json_get_text (message, "base64");
  gsize size = 0;
  g_autofree guchar *bytes = encoded != NULL ? g_base64_decode (encoded, &size) : NULL;

  zm_out_bytes (text != NULL ? zm_span_text (text) : zm_span ((const char *) bytes, size));
}

/* Can be copied as it stands; names and ids have no characters that a shell reads otherwise, a project may. */
static void
print_hint (ZmCtl *ctl, const char *queue, JsonArray *messages, const char *claim)
{
  const char *project = zm_ctl_text (ctl, "project");
  g_autofree char *quoted = project != NULL ? g_shell_quote (project) : NULL;

  printf (_ ("when they are dealt with: zmanagerctl queue ack %s"), queue);
  for (guint i = 0; i < json_array_get_length (messages); i++)
    if (zm_json_nth_object (messages, i) != NULL)
      printf (" %s", zm_json_get_text (zm_json_nth_object (messages, i), "id"));
  printf (" --claim %s%s%s\n", claim, quoted != NULL ? " --project " : "", quoted != NULL ? quoted : "");
}

static int
print_messages (ZmCtl *ctl, const char *queue, JsonObject *answer)
{
  JsonArray *messages = zm_json_get_array (answer, "messages");
  guint count = messages != NULL ? json_array_get_length (messages) : 0;
  const char *claim = zm_json_get_text (answer, "claim");

  if (ctl->json) {
    zm_out_json_object (answer);
    return count > 0 ? ZM_EXIT_OK : ZM_EXIT_NOT_FOUND;
  }
  if (count == 1 && zm_ctl_flag (ctl, "body")) {
    print_bare (zm_json_nth_object (messages, 0));
    return ZM_EXIT_OK;
  }
  for (guint i = 0; i < count; i++)
    if (zm_json_nth_object (messages, i) != NULL)
      message_for_people (zm_json_nth_object (messages, i));
  zm_out_table (ctl, messages, message_columns, _ ("there is no message that is free"));
  if (claim != NULL)
    print_hint (ctl, queue, messages, claim);
  return count > 0 ? ZM_EXIT_OK : ZM_EXIT_NOT_FOUND;
}

static int
fetch (ZmCtl *ctl, const char *queue, JsonObject *request, gint64 wait_ms)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonObject) answer = zm_ctl_request (ctl, request, ANSWER_MS + wait_ms, &error);

  return answer != NULL ? print_messages (ctl, queue, answer) : zm_ctl_fail (ctl, error);
}

int
zm_ctl_cmd_queue_get (ZmCtl *ctl, guint n, char **arguments)
{
  gint64 wait_ms = zm_ctl_duration (ctl, "wait", 0);
  JsonObject *request = queue_request (ctl, "queue-get", arguments[0]);

  (void) n;
  set_count (ctl, request);
  set_seconds (ctl, request, "ttl");
  json_object_set_int_member (request, "wait", wait_ms);
  json_object_set_boolean_member (request, "pop", zm_ctl_flag (ctl, "pop"));
  return fetch (ctl, arguments[0], request, wait_ms);
}

int
zm_ctl_cmd_queue_peek (ZmCtl *ctl, guint n, char **arguments)
{
  JsonObject *request = queue_request (ctl, "queue-peek", arguments[0]);

  (void) n;
  json_object_set_int_member (request, "count", zm_ctl_count (ctl, "count", 10));
  json_object_set_boolean_member (request, "newest", zm_ctl_flag (ctl, "newest"));
  if (zm_ctl_text (ctl, "after") != NULL)
    json_object_set_string_member (request, "after", zm_ctl_text (ctl, "after"));
  return fetch (ctl, arguments[0], request, 0);
}

/* ---- ack, release ---- */

int
zm_ctl_cmd_queue_ack (ZmCtl *ctl, guint n, char **arguments)
{
  JsonObject *request = queue_request (ctl, "queue-ack", arguments[0]);
  JsonArray *ids = json_array_new ();

  for (guint i = 1; i < n; i++)
    json_array_add_string_element (ids, arguments[i]);
  json_object_set_array_member (request, "ids", ids);
  if (zm_ctl_text (ctl, "claim") != NULL)
    json_object_set_string_member (request, "claim", zm_ctl_text (ctl, "claim"));
  return zm_ctl_simple (ctl, request, ANSWER_MS);
}

int
zm_ctl_cmd_queue_release (ZmCtl *ctl, guint n, char **arguments)
{
  JsonObject *request = queue_request (ctl, "queue-release", arguments[0]);

  (void) n;
  json_object_set_string_member (request, "claim", arguments[1]);
  return zm_ctl_simple (ctl, request, ANSWER_MS);
}
