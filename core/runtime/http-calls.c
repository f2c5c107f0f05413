/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Messages that come by HTTP: to the pool, and their results back. */
#include "config.h"

#include "runtime/http-private.h"

#include "runtime/commands.h"
#include "runtime/durable-sends.h"

#include <string.h>

/* Who waits for a result. Whoever takes it out of the table answers it, so it is answered once. */
typedef struct WebCall {
  ZmWeb *web;
  guint64 ticket;
  ZmHttpResult done;
  gpointer user;
  ZmTimer timer;
} WebCall;

static void
say_error (ZmHttpResult done, gpointer user, int status, const char *code, const char *text)
{
  g_autoptr (GString) json = g_string_new ("{");

  zm_reply_member_text (json, "code", code);
  zm_reply_member_text (json, "text", text);
  g_string_append_c (json, '}');
  done (status, zm_span (json->str, json->len), "application/json", zm_span (NULL, 0), user);
}

/* NULL: somebody else has it, or it is over. */
static WebCall *
take_call (ZmWeb *web, guint64 ticket)
{
  WebCall *call;

  pthread_mutex_lock (&web->calls_lock);
  call = g_hash_table_lookup (web->calls, &ticket);
  if (call != NULL)
    g_hash_table_remove (web->calls, &ticket);
  pthread_mutex_unlock (&web->calls_lock);
  return call;
}

/* The timer's thread. The ticket is read before the call may be gone: who takes it first waits for a firing timer. */
static void
on_deadline (ZmTimer *timer, gpointer user)
{
  WebCall *call = user;
  gboolean ours = take_call (call->web, call->ticket) != NULL;

  (void) timer;
  if (!ours)
    return;
  say_error (call->done, call->user, ZM_E_TIMEOUT, "timeout", "no result within the deadline");
  g_free (call);
}

/* 0: too many wait. */
static guint64
enter_call (ZmWeb *web, ZmHttpResult done, gpointer user, gint64 due_us)
{
  guint most = (guint) zm_config_integer (web->runtime->config, "call", "limit");
  WebCall *call = g_new0 (WebCall, 1);
  guint64 ticket = 0;

  call->web = web;
  call->done = done;
  call->user = user;
  call->timer.func = on_deadline;
  call->timer.user = call;
  pthread_mutex_lock (&web->calls_lock);
  if (g_hash_table_size (web->calls) < most) {
    ticket = call->ticket = ZM_WEB_TICKET | (++web->last_ticket & (ZM_WEB_TICKET - 1));
    g_hash_table_insert (web->calls, &call->ticket, call);
    zm_timers_arm (web->runtime->timers, &call->timer, due_us);
  }
  pthread_mutex_unlock (&web->calls_lock);
  if (ticket == 0)
    g_free (call);
  return ticket;
}

/* FALSE: it was answered before. The timer may fire at this moment: it finds nothing, and is waited for. */
static gboolean
leave_call (ZmWeb *web, guint64 ticket, ZmHttpResult *done, gpointer *user)
{
  WebCall *call = take_call (web, ticket);

  if (call == NULL)
    return FALSE;
  zm_timers_cancel (web->runtime->timers, &call->timer, TRUE);
  *done = call->done;
  *user = call->user;
  g_free (call);
  return TRUE;
}

void
zm_web_reply (ZmRuntime *runtime, guint64 ticket, int status, const ZmMessage *result)
{
  ZmWeb *web = runtime->web;
  ZmHttpResult done;
  gpointer user;
  g_autofree char *type = NULL;

  if (web == NULL || !leave_call (web, ticket, &done, &user))
    return;
  if (result == NULL) {
    if (status < 0)
      say_error (done, user, status, status == ZM_E_AGAIN ? "busy" : "failed",
                 "the call failed, and nothing says why");
    else
      done (status, zm_span (NULL, 0), NULL, zm_span (NULL, 0), user);
    return;
  }
  type = result->has_headers ? zm_message_header (result, "content-type") : NULL;
  done (status, zm_message_body (result), type, result->topic.id, user);
}

/* ---- sending: any thread of the server ---- */

static void
send_call (ZmWeb *web, ZmMessage *message, ZmHttpResult done, gpointer user)
{
  gint64 due_us = message->deadline_us > 0
                      ? message->deadline_us
                      : zm_now_us () + zm_config_integer (web->runtime->config, "call", "timeout") * 1000;

  message->deadline_us = due_us;
  message->reply = enter_call (web, done, user, due_us);
  if (message->reply == 0) {
    say_error (done, user, ZM_E_AGAIN, "busy", "too many calls wait already; call again later");
  } else {
    guint64 ticket = message->reply;

    if (zm_pool_try_push (web->runtime->pool, &message, 1) == 1)
      return;
    if (leave_call (web, ticket, &done, &user))
      say_error (done, user, ZM_E_AGAIN, "busy", "the workers' ring is full; call again later");
  }
  zm_message_unref (message);
}

static void
send_push (ZmWeb *web, ZmMessage *message, ZmHttpResult done, gpointer user)
{
  g_autofree char *id = zm_span_dup (message->topic.id);

  if (zm_pool_try_push (web->runtime->pool, &message, 1) == 1) {
    done (ZM_OK, zm_span (NULL, 0), NULL, zm_span_text (id), user);
    return;
  }
  zm_message_unref (message);
  say_error (done, user, ZM_E_AGAIN, "busy", "the workers' ring is full; send again later");
}

/* A message on its way into the store, and who is told then. */
typedef struct WebSend {
  ZmHttpResult done;
  gpointer user;
  char *id;
} WebSend;

/* In the store's thread, or where it is refused at once. What has no room is full here and not busy: it is the disk or the queue, and
 * another try a second later meets the same. */
static void
on_sent (int status, const char *json, gpointer user)
{
  WebSend *sent = user;
  ZmSpan raw;

  if (status >= 0) {
    sent->done (status, zm_span (NULL, 0), NULL, zm_span_text (sent->id), sent->user);
  } else if (status == ZM_E_AGAIN) {
    g_autofree char *text = zm_json_member (zm_span_text (json), "text", &raw) ? zm_json_text (raw) : NULL;

    say_error (sent->done, sent->user, status, "full", text != NULL ? text : "the store is full");
  } else {
    sent->done (status, zm_span_text (json), "application/json", zm_span (NULL, 0), sent->user);
  }
  g_free (sent->id);
  g_free (sent);
}

static void
send_durable (ZmWeb *web, ZmMessage *message, ZmHttpResult done, gpointer user)
{
  WebSend *sent = g_new (WebSend, 1);

  *sent = (WebSend){ done, user, zm_span_dup (message->topic.id) };
  if (zm_sends_put (web->runtime, &message, 1, on_sent, sent))
    return;
  g_free (sent->id);
  g_free (sent);
  zm_message_unref (message);
  say_error (done, user, ZM_E_UNSUPPORTED, "no-store", "this daemon has no store for messages");
}

void
zm_web_send (ZmMessage *message, ZmHttpHow how, ZmHttpResult done, gpointer done_user, gpointer user)
{
  ZmWeb *web = user;

  if (atomic_load (&web->closed)) {
    zm_message_unref (message);
    say_error (done, done_user, ZM_E_AGAIN, "draining",
               "the daemon is draining; call another, or again later");
  } else if (how == ZM_HTTP_CALL) {
    send_call (web, message, done, done_user);
  } else if (how == ZM_HTTP_PUSH) {
    send_push (web, message, done, done_user);
  } else {
    send_durable (web, message, done, done_user);
  }
}

/* Beside a pool that answers no more. */
void
zm_web_calls_end (ZmWeb *web)
{
  g_autofree guint64 **tickets = NULL;
  guint n;

  pthread_mutex_lock (&web->calls_lock);
  tickets = (guint64 **) g_hash_table_get_keys_as_array (web->calls, &n);
  for (guint i = 0; i < n; i++)
    tickets[i] = g_memdup2 (tickets[i], sizeof (guint64));
  pthread_mutex_unlock (&web->calls_lock);
  for (guint i = 0; i < n; i++) {
    ZmHttpResult done;
    gpointer user;

    if (leave_call (web, *tickets[i], &done, &user))
      say_error (done, user, ZM_E_FAILED, "shutdown", "the daemon ended before there was a result");
    g_free (tickets[i]);
  }
}
