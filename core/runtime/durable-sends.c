/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Durable messages: how they come in, and how they go to the workers. */
#include "config.h"

#include "runtime/durable-private.h"

#include <string.h>

/* ---- in ---- */

/* Messages on their way into the store. */
typedef struct Put {
  ZmRuntime *runtime;
  ZmSent sent;
  gpointer user;
  guint n;
  ZmMessage *messages[];
} Put;

static char *
error_json (const char *code, const char *text)
{
  GString *json = g_string_new ("{\"code\":");

  zm_json_append_string (json, zm_span_text (code));
  g_string_append (json, ",\"text\":");
  zm_json_append_string (json, zm_span_text (text));
  g_string_append_c (json, '}');
  return g_string_free (json, FALSE);
}

/* What of it the sender can do something about has a code of its own. */
static int
error_status (const GError *error, const char **code)
{
  *code = "failed";
  if (error->domain != ZM_ERROR)
    return ZM_E_FAILED;
  switch (error->code) {
  case ZM_ERROR_LIMIT: *code = "busy"; return ZM_E_AGAIN;
  case ZM_ERROR_UNAVAILABLE: *code = "unavailable"; return ZM_E_FAILED;
  case ZM_ERROR_INVALID: *code = "malformed"; return ZM_E_INVALID;
  default: return ZM_E_FAILED;
  }
}

/* One that was stored is handed on from memory; where it cannot be, it is read back. */
static void
hand_on (Put *put, const ZmQueueAnswer *answer)
{
  ZmRuntime *runtime = put->runtime;
  gboolean here = zm_store_here (runtime->store);

  for (guint i = 0; i < put->n && i < answer->n_ids && here; i++)
    zm_consumer_hand (runtime->sends->own->consumer, answer->ids[i], g_steal_pointer (&put->messages[i]));
}

static char *
accepted_json (const Put *put)
{
  GString *json;

  if (put->n > 1)
    return g_strdup_printf ("{\"count\":%u}", put->n);
  json = g_string_new ("{\"id\":");
  zm_json_append_string (json, put->messages[0]->topic.id);
  g_string_append_c (json, '}');
  return g_string_free (json, FALSE);
}

/* The sender is told first: what runs meanwhile would only make him wait. */
static void
put_done (const ZmQueueAnswer *answer, const GError *error, gpointer user)
{
  Put *put = user;
  const char *code = NULL;
  int status = error != NULL ? error_status (error, &code) : answer->duplicate ? 1 : ZM_OK;
  g_autofree char *json = error != NULL ? error_json (code, error->message) : accepted_json (put);

  put->sent (status, json, put->user);
  if (status == ZM_OK)
    hand_on (put, answer);
  for (guint i = 0; i < put->n; i++)
    zm_message_unref (put->messages[i]);
  g_free (put);
}

/* The header `ttl`, seconds; -1: the queue's standard. */
static gint64
ttl_of (const ZmMessage *message)
{
  g_autofree char *text = message->has_headers ? zm_message_header (message, "ttl") : NULL;
  gint64 ttl_s = -1;

  if (text == NULL || !zm_parse_integer (text, 1, G_MAXINT32, &ttl_s, NULL))
    return -1;
  return ttl_s;
}

/* ---- hops: so that a circle of messages that actions send ends, also where they are read back ---- */

#define HOPS "{\"^hops\":"

/* As our first member, in front of what the message has; the caller frees. */
static char *
headers_with_hops (const ZmMessage *message)
{
  ZmSpan own = zm_message_headers (message), rest = { "}", 1 };
  const char *end = zm_span_end (own);
  const char *at = own.size > 0 ? memchr (own.data, '{', own.size) : NULL;

  while (at != NULL && ++at < end && strchr (" \t\r\n", *at) != NULL)
    ;
  if (at != NULL && at < end)
    rest = zm_span (at, (gsize) (end - at));
  return g_strdup_printf (HOPS "%u%s%.*s", message->hops, *rest.data != '}' ? "," : "", (int) rest.size,
                          rest.data);
}

/* The hops, and the headers without them in *rest, where there are any; the caller frees it. */
static guint16
read_hops (ZmSpan headers, char **rest)
{
  gsize at = sizeof HOPS - 1;
  guint hops = 0;

  if (headers.size <= at || memcmp (headers.data, HOPS, at) != 0)
    return 0;
  for (; at < headers.size && g_ascii_isdigit (headers.data[at]); at++)
    hops = MIN (hops * 10 + (guint) (headers.data[at] - '0'), G_MAXUINT16);
  at += at < headers.size && headers.data[at] == ',';
  *rest = g_strdup_printf ("{%.*s", (int) (headers.size - at), headers.data + at);
  return (guint16) hops;
}

gboolean
zm_sends_put (ZmRuntime *runtime, ZmMessage *const *messages, guint n, ZmSent sent, gpointer user)
{
  g_autofree ZmPut *puts = NULL;
  g_autoptr (GPtrArray) made = NULL;
  Put *put;

  if (runtime->sends == NULL)
    return FALSE;
  made = g_ptr_array_new_with_free_func (g_free);
  put = g_malloc (sizeof *put + n * sizeof *put->messages);
  *put = (Put){ .runtime = runtime, .sent = sent, .user = user, .n = n };
  puts = g_new0 (ZmPut, n);
  for (guint i = 0; i < n; i++) {
    ZmMessage *message = put->messages[i] = messages[i];

    message->origin = ZM_ORIGIN_DURABLE;
    puts[i] = (ZmPut){ .body = zm_message_body (message),
                       .headers = zm_message_headers (message),
                       .topic = zm_message_topic (message),
                       .id = message->made_id ? zm_span (NULL, 0) : message->topic.id,
                       .ttl_s = ttl_of (message),
                       .delay_s = -1 };
    if (message->hops > 0) {
      g_ptr_array_add (made, headers_with_hops (message));
      puts[i].headers = zm_span_text (made->pdata[made->len - 1]);
    }
  }
  zm_queue_put (runtime->queues, (ZmQueueName){ .name = ZM_SPAN_LITERAL (ZM_SENDS_QUEUE) }, puts, n, put_done,
                put);
  return TRUE;
}

typedef struct FromSubject {
  ZmRuntime *runtime;
  guint64 ticket;
} FromSubject;

void
zm_sends_wake_subject (ZmStoreAfter *after)
{
  ZmSends *sends = (ZmSends *) (void *) ((char *) after - G_STRUCT_OFFSET (ZmSends, answers));

  if (sends->runtime->subject != NULL)
    zm_subject_wake (sends->runtime->subject);
}

/* One of a batch wakes nobody yet: the thread would take the processor away from the rest of it. */
static void
reply (ZmRuntime *runtime, guint64 ticket, int status, const ZmMessage *result)
{
  if (runtime->subject == NULL)
    return;
  if (runtime->sends == NULL || !zm_store_here (runtime->store)) {
    zm_subject_reply (runtime->subject, ticket, status, result);
    return;
  }
  zm_subject_reply_quietly (runtime->subject, ticket, status, result);
  zm_store_after (runtime->store, &runtime->sends->answers);
}

/* The reply shares the result's frames before it returns. */
static void
answer_subject (int status, const char *json, gpointer user)
{
  static const ZmKey key = { .action = { "done", 4 } };
  FromSubject *from = user;
  ZmSpan none = { NULL, 0 };
  g_autoptr (ZmMessage) result = zm_message_new (
      none, &key, none, ZM_SPAN_LITERAL ("{\"content-type\":\"application/json\"}"), zm_span_text (json));

  reply (from->runtime, from->ticket, status, result);
  g_free (from);
}

gboolean
zm_sends_from_subject (ZmMessage *const *messages, guint n, guint64 ticket, gpointer user)
{
  FromSubject *from = g_new (FromSubject, 1);

  *from = (FromSubject){ user, ticket };
  if (zm_sends_put (user, messages, n, answer_subject, from))
    return TRUE;
  g_autofree char *json = error_json (
      "no-store",
      "this daemon has no store: add [store] to its configuration and start it again, or use CALL");
  answer_subject (ZM_E_UNSUPPORTED, json, from);
  for (guint i = 0; i < n; i++)
    zm_message_unref (messages[i]);
  return TRUE;
}

/* ---- the target ---- */

static void
on_again (ZmTimer *timer, gpointer user)
{
  (void) timer;
  zm_delivery_again (((ZmSendsLane *) user)->consumer);
}

/* In the store's thread. The pool tells nobody that it has room again: it is asked soon. */
#define AGAIN_US 5000

static gboolean
start_attempt (ZmAttempt *attempt, gpointer user)
{
  ZmSendsLane *lane = user;
  ZmRuntime *runtime = lane->runtime;
  ZmMessage *message = attempt->message, *given = zm_message_ref (message);

  message->origin = ZM_ORIGIN_DURABLE;
  message->attempt = (guint8) MIN (attempt->number, G_MAXUINT8);
  message->durable = attempt;
  attempt->target = lane;
  message->deadline_us = 0; /* that was how long its sender would wait for the store */
  message->received_us = zm_now_us ();
  if (zm_pool_try_push (runtime->pool, &given, 1) == 1)
    return TRUE;
  zm_message_unref (given);
  zm_timers_arm (runtime->timers, &lane->timer, zm_now_us () + AGAIN_US);
  return FALSE;
}

/* Of ^sends by the topic that it came with; of another queue under that queue's action key, with the sender's id, or ours. */
static ZmMessage *
make_message (const ZmStored *stored, gpointer user, GError **error)
{
  const ZmSendsLane *lane = user;
  g_autofree char *rest = NULL;
  ZmSpan none = { NULL, 0 };
  ZmMessage *message;
  ZmTopic topic;
  guint16 hops;

  if (lane->key_text != NULL)
    return zm_message_new (none, &lane->key,
                           stored->sender_id.size > 0 ? stored->sender_id : zm_span_text (stored->id),
                           stored->headers, stored->body);
  if (!zm_topic_parse (stored->topic, &topic, error))
    return NULL;
  hops = read_hops (stored->headers, &rest);
  message = zm_message_new (topic.flow, &topic.key, topic.id,
                            rest != NULL ? zm_span_text (rest) : stored->headers, stored->body);
  message->hops = hops;
  return message;
}

/* ---- ends ---- */

/* Failures that another attempt meets again, with the reasons. What is not named may be over by then. */
static const char *const final_codes[] = {
  "unmapped",         /* nothing takes the key; a mapping made later takes it by replay */
  "no-such-flow",     /* likewise */
  "no-such-step",     /* likewise */
  "no-such-instance", /* who waited for this answer is gone */
  "denied",           /* who may not send may not by asking again */
  "rejected",         /* the action said so */
  "malformed",        /* it can never be read */
  "reserved",         /* it will never be allowed */
  "loop",             /* it would go in the same circle */
  "nesting",          /* the flow stays as deep */
  "state-too-large",  /* its flow needs as much again */
  "set-aside",        /* it ended its host three times already */
  NULL
};
/* No attempts at all: the daemon got not so far. */
static const char *const back_codes[] = { "shutdown", "draining", NULL };

static ZmVerdict
verdict_of (ZmEnd end, int asked, const char *code)
{
  if (end != ZM_END_ERROR)
    return ZM_DELIVERED;
  if (asked != 0)
    return asked == ZM_RETRY ? ZM_DELIVERY_RETRY : ZM_DELIVERY_REJECT;
  if (g_strv_contains (back_codes, code))
    return ZM_DELIVERY_BACK;
  return g_strv_contains (final_codes, code) ? ZM_DELIVERY_REJECT : ZM_DELIVERY_RETRY;
}

/* retries= of the mapping that takes the key. FALSE: not given, or its queue's own policy counts. What is wrong with it was said
 * when it was loaded. */
static gboolean
mapping_policy (ZmRuntime *runtime, const ZmMessage *message, ZmRetryPolicy *policy)
{
  const ZmSendsLane *lane = ((const ZmAttempt *) message->durable)->target;
  g_autoptr (ZmTable) table = NULL;
  const ZmMapping *mapping;
  ZmLookup found;

  zm_retry_policy_init (policy);
  if (message->topic.flow.size > 0 || lane->own_policy)
    return FALSE;
  table = zm_table_slot_get (runtime->tables);
  zm_table_lookup (table, &message->topic, &found);
  mapping = found.n_flows == 0 && found.route != NULL ? found.route->mapping : NULL;
  if (mapping != NULL && mapping->policy != NULL)
    return zm_retry_policy_read (policy, zm_span_text (mapping->policy), NULL);
  if (mapping != NULL && mapping->retries >= 0)
    zm_retry_policy_limit (policy, (guint) mapping->retries);
  return mapping != NULL && mapping->retries >= 0;
}

void
zm_sends_ended (const ZmMessage *message, ZmEnd end, int asked, const char *code, const char *text,
                ZmMessage *result, gpointer user)
{
  ZmDeliveryEnd ended = { .verdict = verdict_of (end, asked, code),
                          .after_ms = -1,
                          .code = code,
                          .text = text,
                          .results = &result,
                          .n_results = result != NULL };
  ZmRetryPolicy policy = { 0 };

  if (ended.verdict == ZM_DELIVERY_RETRY && mapping_policy (user, message, &policy))
    ended.policy = &policy;
  zm_delivery_ended (message->durable, &ended);
  zm_retry_policy_clear (&policy);
}

/* How far it had come in its flow goes with it. */
static void
ending (const ZmAttempt *attempt, ZmStoreWriter *writer, gpointer user)
{
  g_autofree char *key = zm_delivery_attempt_key (attempt);

  zm_flow_states_ending (((ZmSendsLane *) user)->runtime, key, writer);
}

static void
has_ended (const ZmAttempt *attempt, gpointer user)
{
  g_autofree char *key = zm_delivery_attempt_key (attempt);

  zm_flow_states_ended (((ZmSendsLane *) user)->runtime, key);
}

void
zm_sends_lane_free (gpointer user)
{
  ZmSendsLane *lane = user;

  if (lane == NULL)
    return;
  zm_timers_cancel (lane->runtime->timers, &lane->timer, TRUE);
  g_free (lane->queue);
  g_free (lane->key_text);
  g_free (lane->made_of);
  g_free (lane);
}

/* NULL key: each message goes by its own topic. policy is cleared. */
ZmSendsLane *
zm_sends_lane_new (ZmRuntime *runtime, const char *queue, const char *key, ZmConsumerConfig *config,
                   GError **error)
{
  ZmSendsLane *lane = g_new0 (ZmSendsLane, 1);

  lane->runtime = runtime;
  lane->queue = g_strdup (queue);
  lane->key_text = g_strdup (key);
  lane->timer.func = on_again;
  lane->timer.user = lane;
  config->target = (ZmTarget){
    .start = start_attempt, .make = make_message, .ending = ending, .ended = has_ended, .user = lane
  };
  config->queue.name = zm_span_text (queue);
  config->consumes = TRUE;
  if (key == NULL || zm_key_parse (zm_span_text (lane->key_text), &lane->key, NULL, error))
    lane->consumer = zm_consumer_new (runtime->delivery, config, error);
  zm_retry_policy_clear (&config->policy);
  if (lane->consumer != NULL)
    return lane;
  zm_sends_lane_free (lane);
  return NULL;
}
