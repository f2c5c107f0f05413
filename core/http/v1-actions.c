/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* POST /v1/actions/KEY: a message to an action, and its result as the answer where it is waited for. */
#include "config.h"

#include "http/v1.h"

#include <string.h>
#include <zmanager/plugin.h>

/* Codes of errors of messages, as answers. What is not here is an action's own. */
static const struct {
  const char *code;
  guint status;
} statuses[] = {
  { "malformed", 400 },    { "reserved", 403 },
  { "denied", 403 },       { "busy", 503 },
  { "draining", 503 },     { "timeout", 504 },
  { "shutdown", 503 },     { "no-store", 501 },
  { "not-found", 404 },    { "unmapped", 404 },
  { "unavailable", 503 },  { "no-such-flow", 404 },
  { "no-such-step", 404 }, { "no-such-instance", 404 },
  { "no-taker", 503 },     { "duplicate", 409 },
  { "nesting", 500 },      { "loop", 500 },
  { "join", 500 },         { "retry", 503 },
  { "bad-status", 500 },   { "stuck", 503 },
  { "crashed", 500 },      { "host-lost", 503 },
  { "quarantined", 503 },  { "set-aside", 500 },
  { "bad-key", 500 },      { "memory", 503 },
  { "failed", 500 },       { "full", 507 },
};

static guint
status_of (const char *code)
{
  for (guint i = 0; i < G_N_ELEMENTS (statuses); i++)
    if (strcmp (statuses[i].code, code) == 0)
      return statuses[i].status;
  return 422;
}

static void
answer_error (ZmRequest *request, int status, ZmSpan body)
{
  ZmSpan raw;
  g_autofree char *code = body.size > 0 && zm_json_member (body, "code", &raw) ? zm_json_text (raw) : NULL;
  guint number = code != NULL ? status_of (code) : 500;

  if (status == ZM_E_AGAIN && number != 507)
    number = 503;
  else if (status == ZM_E_UNSUPPORTED)
    number = 501;
  else if (status == ZM_E_TIMEOUT)
    number = 504;
  if (number == 503)
    zm_request_add_header (request, "Retry-After", "1");
  if (code == NULL)
    zm_request_fail (request, number, NULL, NULL, "%s",
                     number == 501   ? "this daemon has no store"
                     : number == 503 ? "too much waits already; try again later"
                                     : "the message failed; the log says why");
  else
    zm_request_answer (request, number, "application/json", body.data, body.size);
}

/* ---- what becomes of it: from any thread ---- */

/* The type that the action gave, else what it looks like. */
static const char *
type_of (const char *given, ZmSpan body)
{
  if (given != NULL && *given != '\0')
    return given;
  if (zm_json_valid (body))
    return "application/json";
  return g_utf8_validate (body.data, (gssize) body.size, NULL) ? "text/plain; charset=utf-8"
                                                               : "application/octet-stream";
}

static void
on_called (int status, ZmSpan body, const char *content_type, ZmSpan id, gpointer user)
{
  ZmRequest *request = user;

  (void) id;
  if (status < 0)
    answer_error (request, status, body);
  else
    zm_request_answer (request, 200, body.size > 0 ? type_of (content_type, body) : NULL, body.data,
                       body.size);
}

static void
on_taken (int status, ZmSpan body, const char *content_type, ZmSpan id, gpointer user)
{
  ZmRequest *request = user;
  GString *json;

  (void) content_type;
  if (status < 0) {
    answer_error (request, status, body);
    return;
  }
  if (status > 0)
    zm_request_add_header (request, "Duplicate", "true");
  json = g_string_new ("{\"id\":");
  zm_json_append_string (json, id);
  g_string_append_c (json, '}');
  zm_request_answer_take (request, 202, "application/json", json);
}

/* ---- the message ---- */

typedef struct Prefer {
  ZmHttpHow how;
  gint64 wait_s; /* 0: not given */
} Prefer;

/* RFC 7240; what is not known is passed over, as it says. */
static Prefer
read_prefer (ZmRequest *request)
{
  Prefer prefer = { ZM_HTTP_CALL, 0 };
  const char *text = zm_request_header (request, "Prefer");
  g_auto (GStrv) words = g_strsplit_set (text != NULL ? text : "", ",; ", -1);

  for (char **word = words; *word != NULL; word++)
    if (g_ascii_strcasecmp (*word, "respond-async") == 0 && prefer.how == ZM_HTTP_CALL)
      prefer.how = ZM_HTTP_PUSH;
    else if (g_ascii_strcasecmp (*word, "durable") == 0)
      prefer.how = ZM_HTTP_DURABLE;
    else if (g_ascii_strncasecmp (*word, "wait=", 5) == 0 &&
             !zm_parse_integer (*word + 5, 1, 86400, &prefer.wait_s, NULL))
      prefer.wait_s = 0;
  return prefer;
}

/* Headers that go along with the message. */
static char *
message_headers (ZmRequest *request)
{
  static const char *const kept[] = { "Content-Type", "traceparent", "tracestate", NULL };
  GString *json = g_string_new ("{");

  for (const char *const *name = kept; *name != NULL; name++) {
    const char *value = zm_request_header (request, *name);
    g_autofree char *lower = g_ascii_strdown (*name, -1);

    if (value != NULL && strlen (value) < 1024)
      g_string_append_printf (json, "%s\"%s\":", json->len > 1 ? "," : "", lower);
    if (value != NULL && strlen (value) < 1024)
      zm_json_append_string (json, zm_span_text (value));
  }
  g_string_append_c (json, '}');
  return g_string_free (json, FALSE);
}

/* Given by the sender, or made. FALSE: it has been answered. */
static gboolean
message_id (ZmRequest *request, char out[ZM_QUEUE_ID_MOST + 1])
{
  const char *given = zm_request_header (request, "Idempotency-Key");
  gsize size = given != NULL ? strlen (given) : 0;
  ZmUuidMaker maker;

  if (given == NULL) {
    zm_uuid_maker_init (&maker);
    zm_uuid_make (&maker, zm_wall_us (), out);
    out[ZM_UUID_SIZE] = '\0';
    return TRUE;
  }
  if (size > 0 && size <= ZM_QUEUE_ID_MOST &&
      strspn (given, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "_.:-") == size) {
    strcpy (out, given);
    return TRUE;
  }
  zm_request_fail (request, 400, NULL, "Idempotency-Key",
                   "it is 1 to %d of letters, digits, '_', '.', ':' and '-'", ZM_QUEUE_ID_MOST);
  return FALSE;
}

static gboolean
read_key (ZmRequest *request, ZmKey *key)
{
  g_autoptr (GError) error = NULL;

  if (!zm_key_parse (request->part[0], key, NULL, &error))
    zm_request_fail (request, 400, "malformed", "key", "%s", error->message);
  else if (zm_key_reserved (key))
    zm_request_fail (request, 403, "reserved", "key",
                     "done, error and names that begin with ^ belong to the daemon");
  else if (!zm_request_may_send (request, key))
    zm_request_fail (request, 403, "denied", "key", "no pattern of the token takes this key");
  else
    return TRUE;
  return FALSE;
}

void
zm_v1_action (ZmRequest *request)
{
  const ZmHttpHost *host = zm_http_host (request->http);
  Prefer prefer = read_prefer (request);
  char id[ZM_QUEUE_ID_MOST + 1];
  g_autofree char *headers = NULL;
  ZmMessage *message;
  ZmKey key;

  if (!read_key (request, &key) || !message_id (request, id))
    return;
  headers = message_headers (request);
  message = zm_message_new (zm_span (NULL, 0), &key, zm_span_text (id),
                            strcmp (headers, "{}") != 0 ? zm_span_text (headers) : zm_span (NULL, 0),
                            request->body);
  message->origin = prefer.how == ZM_HTTP_CALL ? ZM_ORIGIN_CALL : ZM_ORIGIN_PULL;
  message->made_id = zm_request_header (request, "Idempotency-Key") == NULL;
  message->received_us = zm_now_us ();
  if (prefer.wait_s > 0)
    message->deadline_us = message->received_us + prefer.wait_s * G_USEC_PER_SEC;
  if (prefer.how != ZM_HTTP_CALL)
    zm_request_add_header (request, "Preference-Applied",
                           prefer.how == ZM_HTTP_PUSH ? "respond-async" : "durable");
  host->send (message, prefer.how, prefer.how == ZM_HTTP_CALL ? on_called : on_taken, request, host->user);
}
