/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Messages of queues, the plain way: put, take (a claim, which may wait), acknowledge, look. */
#include "config.h"

#include "http/v1.h"

#include <pthread.h>
#include <string.h>

/* ---- messages as JSON ---- */

void
zm_v1_append_body (GString *out, ZmSpan body, ZmSpan type)
{
  gboolean json = type.size >= 16 && g_ascii_strncasecmp (type.data, "application/json", 16) == 0;
  /* Of a form: curl says so of whatever it is given. */
  gboolean unsaid =
      type.size == 0 ||
      (type.size >= 33 && g_ascii_strncasecmp (type.data, "application/x-www-form-urlencoded", 33) == 0);
  gboolean text = (json || unsaid || g_ascii_strncasecmp (type.data, "text/", 5) == 0) &&
                  g_utf8_validate (body.size > 0 ? body.data : "", (gssize) body.size, NULL) &&
                  (body.size == 0 || memchr (body.data, '\0', body.size) == NULL);
  g_autofree char *encoded = NULL;

  if ((json || unsaid) && zm_json_valid (body)) {
    g_string_append (out, "\"body\":");
    g_string_append_len (out, body.data, (gssize) body.size);
  } else if (text) {
    g_string_append (out, "\"body\":");
    zm_json_append_string (out, body);
  } else {
    encoded = g_base64_encode ((const guchar *) body.data, body.size);
    g_string_append_printf (out, "\"base64\":\"%s\"", encoded);
  }
}

void
zm_v1_append_message (GString *out, const ZmStored *stored)
{
  gint64 now_us = zm_wall_us ();
  ZmSpan raw;
  g_autofree char *type = stored->headers.size > 0 && zm_json_member (stored->headers, "content-type", &raw)
                              ? zm_json_text (raw)
                              : NULL;

  g_string_append_printf (out, "{\"id\":\"%s\",\"age\":%" G_GINT64_FORMAT ",\"ttl\":%" G_GINT64_FORMAT,
                          stored->id, MAX (0, (now_us - stored->created_us) / G_USEC_PER_SEC), stored->ttl_s);
  if (stored->key.size > 0) {
    g_string_append (out, ",\"key\":");
    zm_json_append_string (out, stored->key);
  }
  if (stored->topic.size > 0) {
    g_string_append (out, ",\"topic\":");
    zm_json_append_string (out, stored->topic);
  }
  if (stored->headers.size > 0) {
    g_string_append (out, ",\"headers\":");
    g_string_append_len (out, stored->headers.data, (gssize) stored->headers.size);
  }
  if (stored->claim[0] != '\0')
    g_string_append_printf (out, ",\"claim\":\"%s\"", stored->claim);
  g_string_append_printf (out, ",\"claim_count\":%u,", stored->claim_count);
  zm_v1_append_body (out, stored->body, zm_span_text (type));
  g_string_append_c (out, '}');
}

/* {"claim", "messages": […], "more"} */
static GString *
messages_json (const ZmQueueAnswer *answer, const char *claim)
{
  GString *json = g_string_new ("{");

  if (claim != NULL)
    g_string_append_printf (json, "\"claim\":\"%s\",", claim);
  g_string_append (json, "\"messages\":[");
  for (guint i = 0; i < answer->n_messages; i++) {
    if (i > 0)
      g_string_append_c (json, ',');
    zm_v1_append_message (json, &answer->messages[i]);
  }
  g_string_append_printf (json, "],\"more\":%s}", answer->more ? "true" : "false");
  return json;
}

/* ---- put ---- */

static void
on_put (const ZmQueueAnswer *answer, const GError *error, gpointer user)
{
  ZmRequest *request = user;
  g_autofree char *place = NULL, *json = NULL;

  if (error != NULL) {
    zm_request_fail_error (request, error);
    return;
  }
  if (answer->n_ids == 0) {
    zm_request_fail (request, 507, NULL, NULL, "the queue is full: the message was dropped, and counted");
    return;
  }
  place = g_strdup_printf ("/v1/queues/%.*s/%s", (int) request->part[0].size, request->part[0].data,
                           answer->ids[0]);
  json = g_strdup_printf ("{\"id\":\"%s\"}", answer->ids[0]);
  zm_request_add_header (request, "Location", place);
  if (answer->duplicate)
    zm_request_add_header (request, "Duplicate", "true");
  zm_request_answer_json (request, 201, json);
}

static gboolean
check_id (ZmRequest *request, const char *id)
{
  gsize size = id != NULL ? strlen (id) : 1;

  if (id == NULL || (size > 0 && size <= ZM_QUEUE_ID_MOST &&
                     strspn (id, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "_.:-") == size))
    return TRUE;
  zm_request_fail (request, 400, NULL, "Idempotency-Key",
                   "it is 1 to %d of letters, digits, '_', '.', ':' and '-'", ZM_QUEUE_ID_MOST);
  return FALSE;
}

void
zm_v1_put (ZmRequest *request)
{
  const char *type = zm_request_header (request, "Content-Type"),
             *id = zm_request_header (request, "Idempotency-Key");
  g_autoptr (GString) headers = g_string_new (NULL);
  ZmPut put = { .body = request->body };
  ZmQueueName name;

  if (!zm_v1_queue (request, &name) || !check_id (request, id) ||
      !zm_v1_integer (request, "ttl", -1, 1, G_GINT64_CONSTANT (3153600000), &put.ttl_s) ||
      !zm_v1_integer (request, "delay", -1, 0, 86400 * 15, &put.delay_s))
    return;
  if (type != NULL && strlen (type) < 1024) {
    g_string_append (headers, "{\"content-type\":");
    zm_json_append_string (headers, zm_span_text (type));
    g_string_append_c (headers, '}');
  }
  put.headers = zm_span (headers->str, headers->len);
  put.key = zm_span_text (zm_request_query (request, "key"));
  put.id = zm_span_text (id);
  zm_queue_put (zm_http_host (request->http)->queues, name, &put, 1, on_put, request);
}

/* ---- take ---- */

/* A claim that waits until there is something. It is asked for again each time the queue may have got something; at its deadline,
 * or when the client goes, it ends as soon as no claim is under way: what such a claim brings is given, or freed again. */
typedef struct Take {
  ZmRequest *request;   /* the handler's reference */
  pthread_mutex_t lock; /* guards what follows */
  guint64 watch;        /* 0: none */
  gboolean claiming, waits, ended, woken;
  guint limit;
  gint64 ttl_s;
} Take;

static void
take_free (gpointer data)
{
  Take *take = data;

  pthread_mutex_destroy (&take->lock);
  g_free (take);
}

static void on_claimed (const ZmQueueAnswer *answer, const GError *error, gpointer user);

static void
claim (Take *take)
{
  ZmQueueName name = { take->request->project, take->request->part[0] };

  zm_queue_claim (zm_http_host (take->request->http)->queues, name, take->limit, take->ttl_s, -1, on_claimed,
                  take);
}

/* In the store's thread. */
static void
on_wake (gpointer user)
{
  Take *take = user;
  gboolean ask;

  pthread_mutex_lock (&take->lock);
  take->watch = 0;
  take->woken = TRUE;
  ask = !take->claiming && !take->ended;
  take->claiming = take->claiming || ask;
  pthread_mutex_unlock (&take->lock);
  if (ask)
    claim (take);
}

/* Nobody answers any more but who calls this. */
static void
unwatch (Take *take)
{
  guint64 watch;

  pthread_mutex_lock (&take->lock);
  watch = take->watch;
  take->watch = 0;
  take->ended = TRUE;
  pthread_mutex_unlock (&take->lock);
  if (watch != 0)
    zm_queue_unwatch (zm_http_host (take->request->http)->queues, watch);
}

static void
answer_none (Take *take)
{
  unwatch (take);
  zm_request_answer_json (take->request, 200, "{\"messages\":[],\"more\":false}");
}

/* The deadline, or the client went. The timer's thread, or the keeper's. */
static void
on_end (ZmRequest *request)
{
  Take *take = request->data;
  gboolean answer;

  pthread_mutex_lock (&take->lock);
  answer = !take->claiming && !take->ended;
  take->ended = TRUE;
  pthread_mutex_unlock (&take->lock);
  if (answer)
    answer_none (take);
}

static void
ignore (const ZmQueueAnswer *answer, const GError *error, gpointer user)
{
  (void) answer;
  (void) error;
  (void) user;
}

/* Who has gone gets nothing, and others should get it at once and not when the claim is over. */
static void
answer_claim (Take *take, const ZmQueueAnswer *answer)
{
  ZmQueueName name = { take->request->project, take->request->part[0] };

  unwatch (take);
  if (zm_request_over (take->request))
    zm_queue_claim_release (zm_http_host (take->request->http)->queues, name, zm_span_text (answer->claim.id),
                            ignore, NULL);
  zm_request_answer_take (take->request, 200, "application/json", messages_json (answer, answer->claim.id));
}

/* With nothing there: watched first and asked once more, as something may have come between; then it sleeps until it is woken. */
static void
go_on_waiting (Take *take)
{
  ZmQueues *queues = zm_http_host (take->request->http)->queues;
  ZmQueueName name = { take->request->project, take->request->part[0] };
  gboolean ask, none;
  guint64 watch = 0;

  pthread_mutex_lock (&take->lock);
  take->woken = FALSE;
  watch = take->watch;
  pthread_mutex_unlock (&take->lock);
  if (watch == 0)
    watch = zm_queue_watch (queues, name, on_wake, take);
  else
    watch = 0;
  pthread_mutex_lock (&take->lock);
  /* Woken meanwhile: that watch is over. */
  if (watch != 0 && !take->woken)
    take->watch = watch;
  ask = (watch != 0 || take->woken) && !take->ended;
  none = take->ended || (watch == 0 && take->watch == 0 && !take->woken);
  take->claiming = ask;
  pthread_mutex_unlock (&take->lock);
  if (ask)
    claim (take);
  else if (none)
    answer_none (take);
}

static void
on_claimed (const ZmQueueAnswer *answer, const GError *error, gpointer user)
{
  Take *take = user;

  if (error != NULL) {
    unwatch (take);
    zm_request_fail_error (take->request, error);
  } else if (answer->n_messages > 0) {
    answer_claim (take, answer);
  } else if (!take->waits) {
    answer_none (take);
  } else {
    go_on_waiting (take);
  }
}

void
zm_v1_take (ZmRequest *request)
{
  gint64 wait_s, limit, ttl_s;
  ZmQueueName name;
  Take *take;

  /* It changes the queue, which HEAD must not; and nobody would learn what was taken. */
  if (request->method == ZM_HEAD) {
    zm_request_add_header (request, "Allow", "GET, PUT, POST, DELETE");
    zm_request_fail (request, 405, NULL, NULL, "messages are taken with GET; stats and messages look only");
    return;
  }
  if (!zm_v1_queue (request, &name) || !zm_v1_integer (request, "wait", 0, 0, 60, &wait_s) ||
      !zm_v1_integer (request, "limit", 1, 1, 100, &limit) ||
      !zm_v1_integer (request, "ttl", -1, 1, 43200, &ttl_s))
    return;
  take = g_new0 (Take, 1);
  take->request = request;
  take->waits = wait_s > 0;
  take->limit = (guint) limit;
  take->ttl_s = ttl_s;
  take->claiming = TRUE;
  pthread_mutex_init (&take->lock, NULL);
  request->data = take;
  request->data_free = take_free;
  if (take->waits) {
    zm_request_on_gone (request, on_end);
    zm_request_deadline (request, zm_now_us () + wait_s * G_USEC_PER_SEC, on_end);
  }
  claim (take);
}

/* ---- acknowledge, look ---- */

static void
on_removed (const ZmQueueAnswer *answer, const GError *error, gpointer user)
{
  (void) answer;
  if (error != NULL)
    zm_request_fail_error (user, error);
  else
    zm_request_answer (user, 204, NULL, NULL, 0);
}

void
zm_v1_acknowledge (ZmRequest *request)
{
  ZmSpan given = zm_span_text (zm_request_query (request, "claim"));
  ZmQueueName name;

  if (zm_v1_queue (request, &name))
    zm_queue_delete (zm_http_host (request->http)->queues, name, request->part[1], given, on_removed,
                     request);
}

static void
on_listed (const ZmQueueAnswer *answer, const GError *error, gpointer user)
{
  if (error != NULL)
    zm_request_fail_error (user, error);
  else
    zm_request_answer_take (user, 200, "application/json", messages_json (answer, NULL));
}

void
zm_v1_queue_peek (ZmRequest *request)
{
  ZmQueueList list = { .claimed = TRUE, .delayed = TRUE };
  const char *newest = zm_request_query (request, "newest");
  ZmQueueName name;
  gint64 limit;

  if (!zm_v1_queue (request, &name) || !zm_v1_integer (request, "limit", 10, 1, 100, &limit))
    return;
  list.limit = (guint) limit;
  list.marker = zm_span_text (zm_request_query (request, "marker"));
  list.newest = newest != NULL && strcmp (newest, "false") != 0;
  zm_queue_list (zm_http_host (request->http)->queues, name, &list, on_listed, request);
}
