/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The call sockets: [request-id][verb][topic][headers][body] in, [request-id][status][headers][body] out. Every request is
 * answered: at once where it is wrong, refused or too much, else when its result, its deadline or its subscription comes.
 */
#include "config.h"

#include "subject/subject-private.h"

#include <string.h>

#define TIMEOUT_MOST_MS (24 * 60 * 60 * 1000)

/* One request cut into its parts; borrowed from the frames. */
typedef struct Request {
  ZmCaller caller;
  ZmSpan verb;
  zmq_msg_t *rest;
  guint n_rest;
} Request;

static ZmSpan
frame_span (zmq_msg_t *frame)
{
  return zm_span (zmq_msg_data (frame), zmq_msg_size (frame));
}

/* ---- CALL and SEND ---- */

/* The first fault of a request is the one that its caller is told. */
static void
keep_error (const GError *error, gpointer user)
{
  GError **place = user;
  if (*place == NULL)
    *place = g_error_copy (error);
}

/* The messages of the request's frames: one, or to be stored all parts of a batch, of which none may be wrong. */
static gboolean
request_messages (ZmSubject *subject, Request *request, GPtrArray *out, GError **error)
{
  ZmSpan first = frame_span (&request->rest[0]);
  GError *fault = NULL;
  if (request->caller.verb != ZM_VERB_SEND && request->n_rest > 1 && zm_span_is (first, ZM_BATCH_TOPIC)) {
    g_set_error_literal (error, ZM_ERROR, ZM_ERROR_INVALID,
                         "a batch cannot be called: each request has one reply; push it, or call one by one");
    return FALSE;
  }
  guint n = zm_wire_take (request->rest, request->n_rest, subject->config.form, &subject->ids,
                          subject->wall_us, out, keep_error, &fault);
  if (n > 0 && fault == NULL)
    return TRUE;
  if (fault == NULL)
    g_set_error_literal (&fault, ZM_ERROR, ZM_ERROR_INVALID, "no message in the request");
  g_propagate_error (error, fault);
  return FALSE;
}

gint64
zm_subject_deadline (ZmSubject *subject, const ZmMessage *message, gint64 standard_us, GError **error)
{
  gint64 ms = 0;
  g_autofree char *text = zm_message_header (message, "timeout");
  if (text == NULL)
    return standard_us;
  if (zm_parse_integer (text, 1, TIMEOUT_MOST_MS, &ms, NULL))
    return subject->now_us + ms * 1000;
  g_autofree char *shown = zm_printable (zm_span_text (text), 40);
  g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID,
               "header timeout: \"%s\" is no number of milliseconds from 1 to %d", shown, TIMEOUT_MOST_MS);
  return -1;
}

/* The deadline by the header `timeout`, else the standard one. 0 with the reason where the header is wrong. */
static gint64
request_deadline (ZmSubject *subject, const ZmMessage *message, GError **error)
{
  gint64 standard_us = subject->now_us + subject->config.call_timeout_us;
  if (!message->has_headers)
    return standard_us;
  ZmSpan headers = zm_message_headers (message);
  if (!zm_json_valid (headers) || headers.data[strspn (headers.data, " \t\r\n")] != '{') {
    g_set_error_literal (error, ZM_ERROR, ZM_ERROR_INVALID, "the headers are not a JSON object");
    return 0;
  }
  return MAX (0, zm_subject_deadline (subject, message, standard_us, error));
}

/* To the pool. FALSE: full; the ticket is taken back. */
static gboolean
call_pool (ZmSubject *subject, ZmMessage *message)
{
  return subject->config.pool != NULL && zm_pool_try_push (subject->config.pool, &message, 1) == 1;
}

/* A called one answers its caller itself; of stored ones the store's answer is all that the caller gets. */
static gboolean
give (ZmSubject *subject, ZmVerb verb, GPtrArray *messages, guint64 ticket)
{
  ZmMessage *first = messages->pdata[0];
  for (guint i = 0; i < messages->len; i++) {
    ZmMessage *message = messages->pdata[i];
    message->origin = verb == ZM_VERB_SEND ? ZM_ORIGIN_DURABLE : ZM_ORIGIN_CALL;
    message->received_us = subject->now_us;
  }
  if (verb == ZM_VERB_SEND)
    return subject->config.send ((ZmMessage *const *) messages->pdata, messages->len, ticket,
                                 subject->config.user);
  first->reply = ticket;
  return call_pool (subject, first);
}

/* The caller is entered before the message goes to the pool, as its reply may come from a worker before this function
 * returns. Where the pool is full the entry is taken back, and the caller told BUSY. What was taken is no longer in messages;
 * caller is empty afterwards or was answered. */
static void
run_request (ZmSubject *subject, ZmCaller *caller, GPtrArray *messages)
{
  ZmMessage *first = messages->pdata[0];
  ZmVerb verb = caller->verb;
  guint64 ticket = zm_pending_add (subject->pending, caller, first->deadline_us);
  if (ticket == 0) {
    zm_answer_busy (subject, caller, "busy", "too many calls wait already; call again later");
    return;
  }
  if (give (subject, verb, messages, ticket)) {
    g_ptr_array_set_free_func (messages, NULL);
    return;
  }
  if (zm_pending_take (subject->pending, ticket, caller))
    zm_answer_busy (subject, caller, "busy",
                    verb == ZM_VERB_SEND ? "too much waits to be stored; send again later"
                                         : "the workers' ring is full; call again later");
}

/* Deadline and key of each; the first fault stands for all. */
static gboolean
good_messages (ZmSubject *subject, const GPtrArray *messages, const char **code, GError **error)
{
  for (guint i = 0; i < messages->len; i++) {
    ZmMessage *message = messages->pdata[i];
    *code = "malformed";
    if ((message->deadline_us = request_deadline (subject, message, error)) == 0 ||
        !zm_subject_vet (message, code, error))
      return FALSE;
  }
  return TRUE;
}

static void
refuse_request (ZmSubject *subject, ZmCaller *caller, const char *code, const GError *error)
{
  if (strcmp (code, "malformed") == 0) {
    zm_answer_malformed (subject, caller, error->message);
    return;
  }
  zm_counter_add (subject->refused, 1);
  zm_log_limited (subject->config.log, ZM_LEVEL_WARNING, "subject", "refused-call", "a call was refused: %s",
                  error->message);
  zm_answer_text (subject, caller, "ERROR", code, error->message);
}

/* The order of the questions is that of what they cost and tell: readable, its key allowed, something to do it with, a
 * daemon that still takes it. Each has its own code in the answer. */
static void
take_request (ZmSubject *subject, Request *request)
{
  ZmCaller *caller = &request->caller;
  const char *code = "malformed";
  g_autoptr (GError) error = NULL;
  zm_counter_add (subject->calls, 1);
  if (request->n_rest == 0) {
    zm_answer_malformed (subject, caller,
                         "no message: after the verb come [topic][body] or [topic][headers][body]");
    return;
  }
  g_autoptr (GPtrArray) messages = g_ptr_array_new_with_free_func ((GDestroyNotify) zm_message_unref);
  if (!request_messages (subject, request, messages, &error) ||
      !good_messages (subject, messages, &code, &error)) {
    refuse_request (subject, caller, code, error);
  } else if (caller->verb == ZM_VERB_SEND && subject->config.send == NULL) {
    zm_answer_text (
        subject, caller, "ERROR", "no-store",
        "this daemon has no store: add [store] to its configuration and start it again, or use CALL");
  } else if (!zm_subject_admits_call (subject, messages->pdata[0])) {
    zm_answer_busy (subject, caller, "draining", "the daemon is draining; call another, or again later");
  } else {
    run_request (subject, caller, messages);
  }
}

/* ---- requests ---- */

/* Cuts the frames: identity, REQ's delimiter, request id, verb, rest. The caller owns its two frames then. */
static void
cut_request (Request *request, guint router, zmq_msg_t *frames, guint n)
{
  guint at = 1;
  memset (request, 0, sizeof *request);
  ZmCaller *caller = &request->caller;
  caller->router = router;
  zmq_msg_init (&caller->identity);
  zmq_msg_init (&caller->request_id);
  zmq_msg_move (&caller->identity, &frames[0]);
  if (n > at && zmq_msg_size (&frames[at]) == 0) {
    caller->delimiter = TRUE;
    at++;
  }
  if (n > at)
    zmq_msg_move (&caller->request_id, &frames[at++]);
  if (n > at)
    request->verb = frame_span (&frames[at++]);
  request->rest = frames + at;
  request->n_rest = n > at ? n - at : 0;
}

static void
take_one (ZmSubject *subject, guint router, zmq_msg_t *frames, guint n, guint extra)
{
  Request request;
  cut_request (&request, router, frames, n);
  guint n_rest = request.n_rest + extra;
  gboolean one = n_rest == 1;
  if (request.verb.data == NULL) {
    zm_answer_malformed (subject, &request.caller,
                         "no verb: a request is [request-id][verb][topic][headers][body]");
  } else if (n_rest > ZM_MESSAGE_FRAMES_MOST) {
    g_autofree char *text = g_strdup_printf (
        "%u frames after the verb; a message has one to three: topic, headers, body", n_rest);
    zm_answer_malformed (subject, &request.caller, text);
  } else if (zm_span_is (request.verb, "CALL") || zm_span_is (request.verb, "SEND")) {
    request.caller.verb = request.verb.data[0] == 'S' ? ZM_VERB_SEND : ZM_VERB_CALL;
    take_request (subject, &request);
  } else if (zm_span_is (request.verb, "HELLO") && one) {
    request.caller.verb = ZM_VERB_HELLO;
    zm_greet_hello (subject, &request.caller, frame_span (&request.rest[0]));
  } else if (zm_span_is (request.verb, "HEARTBEAT") && one) {
    zm_greet_heartbeat (subject, &request.caller, frame_span (&request.rest[0]));
  } else if (zm_span_is (request.verb, "HELLO") || zm_span_is (request.verb, "HEARTBEAT")) {
    g_autofree char *text = g_strdup_printf ("%.*s takes one frame, a JSON object, and %u came",
                                             (int) request.verb.size, request.verb.data, n_rest);
    zm_answer_malformed (subject, &request.caller, text);
  } else {
    g_autofree char *shown = zm_printable (request.verb, 40);
    g_autofree char *text =
        g_strdup_printf ("\"%s\" is no verb; verbs are CALL, SEND, HELLO, HEARTBEAT", shown);
    zm_answer_malformed (subject, &request.caller, text);
  }
}

/* Reads at most a batch, so that calls and pushes take turns. */
gboolean
zm_subject_take_calls (ZmSubject *subject, guint router)
{
  zmq_msg_t frames[ZM_CALL_FRAMES_MOST];
  guint extra, taken = 0;
  zm_frames_init (frames, ZM_CALL_FRAMES_MOST);
  for (; taken < ZM_SUBJECT_BATCH; taken++) {
    int n = zm_frames_receive (subject->routers[router].socket, frames, ZM_CALL_FRAMES_MOST, &extra);
    if (n < 0)
      break;
    take_one (subject, router, frames, (guint) n, extra);
  }
  zm_frames_close (frames, ZM_CALL_FRAMES_MOST);
  return taken == ZM_SUBJECT_BATCH;
}

/* ---- answers ---- */

/* Workers and stores say how it ended in the numbers of the plugin interface; the wire has words. */
static const char *
status_name (ZmVerb verb, int status)
{
  if (status == ZM_E_AGAIN)
    return "BUSY";
  if (status < 0 || verb == ZM_VERB_HELLO)
    return "ERROR";
  if (verb == ZM_VERB_SEND)
    return status == ZM_OK ? "ACCEPTED" : "DUPLICATE";
  return "OK";
}

/* A ticket is taken once. A reply whose caller was answered before (its deadline passed) is counted as late and
 * dropped: a second answer to one request would be taken for the answer to the next. */
static void
answer_reply (ZmSubject *subject, ZmReply *reply)
{
  ZmCaller caller;
  if (!zm_pending_take (subject->pending, reply->ticket, &caller)) {
    zm_counter_add (subject->late, 1);
    return;
  }
  const char *status = status_name (caller.verb, reply->status);
  if (reply->has_result || reply->status >= 0)
    zm_answer_frames (subject, &caller, status, &reply->headers, &reply->body);
  else
    zm_answer_text (subject, &caller, status, reply->status == ZM_E_AGAIN ? "busy" : "failed",
                    "the call failed, and nothing says why");
}

/* Deadlines are kept here and not with each call: one heap, one thread, no timer a call. A worker that still works on
 * it has the same deadline in its message. */
static void
answer_expired (ZmSubject *subject)
{
  gint64 deadline_us;
  guint64 ticket;
  ZmCaller caller;
  while ((ticket = zm_pending_first (subject->pending, &deadline_us)) != 0 &&
         deadline_us <= subject->now_us) {
    zm_pending_take (subject->pending, ticket, &caller);
    zm_counter_add (subject->timeouts, 1);
    if (caller.verb == ZM_VERB_HELLO)
      zm_greet_forget (subject, ticket);
    zm_answer_text (subject, &caller, "ERROR", "timeout",
                    caller.verb == ZM_VERB_HELLO ? "the subscription ^hello~NONCE was not seen in time"
                                                 : "no result within the deadline");
  }
}

/* Once a turn: replies first, so that an answer that has come beats a deadline that passes in the same moment. */
void
zm_subject_answer (ZmSubject *subject)
{
  for (ZmReply *reply = zm_outbox_take (subject->outbox); reply != NULL;) {
    answer_reply (subject, reply);
    reply = zm_reply_free (reply);
  }
  if (atomic_exchange (&subject->greeted, 0))
    zm_greet_answer (subject);
  answer_expired (subject);
  if (atomic_exchange (&subject->tables_changed, 0))
    zm_services_refresh (subject->services);
  if (subject->now_us >= subject->services_look_us)
    subject->services_look_us = zm_services_watch (subject->services, subject->now_us);
}

/* The last act of the thread. Nobody who sent a request is left without an answer, as far as its socket takes one. */
void
zm_subject_answer_rest (ZmSubject *subject)
{
  gint64 deadline_us;
  guint64 ticket;
  ZmCaller caller;
  zm_subject_answer (subject);
  while ((ticket = zm_pending_first (subject->pending, &deadline_us)) != 0) {
    zm_pending_take (subject->pending, ticket, &caller);
    zm_answer_text (subject, &caller, "ERROR", "shutdown", "the daemon ended before there was a result");
  }
  zm_greet_end (subject);
}
