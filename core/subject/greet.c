/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * HELLO and HEARTBEAT on the call sockets. A HELLO with a nonce is answered when the publisher has seen the subscription of that
 * nonce: as subscriptions of a socket come in order, all that were made before it are active then.
 */
#include "config.h"

#include "subject/subject-private.h"

/* One HELLO whose answer waits for its subscription. */
typedef struct Greeter {
  guint64 ticket; /* of its caller */
  char *prefix;   /* ^hello~NONCE */
  char *answer;   /* JSON; made when it came, as the registry was then */
} Greeter;

static void
greeter_free (Greeter *greeter)
{
  g_free (greeter->prefix);
  g_free (greeter->answer);
  g_free (greeter);
}

/* Without a nonce the answer is only a look-up and goes at once. With one the caller waits among the calls, with their
 * deadline and their bound, until the publisher's thread has told of its subscription. Each HELLO makes the registry
 * look at its times anew. */
void
zm_greet_hello (ZmSubject *subject, ZmCaller *caller, ZmSpan json)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *nonce = NULL;
  g_autofree char *answer = zm_services_hello (subject->services, json, subject->now_us, &nonce, &error);
  subject->services_look_us = 0;
  if (answer == NULL) {
    zm_answer_malformed (subject, caller, error->message);
    return;
  }
  if (*nonce == '\0') {
    zm_answer_json (subject, caller, "OK", answer);
    return;
  }
  gint64 deadline_us = subject->now_us + subject->config.call_timeout_us;
  guint64 ticket = zm_pending_add (subject->pending, caller, deadline_us);
  if (ticket == 0) {
    zm_answer_busy (subject, caller, "busy", "too many calls wait already; greet again later");
    return;
  }
  Greeter *greeter = g_new0 (Greeter, 1);
  greeter->ticket = ticket;
  greeter->prefix = g_strconcat ("^hello~", nonce, NULL);
  greeter->answer = g_steal_pointer (&answer);
  g_ptr_array_add (subject->greeters, greeter);
  /* The subscription may be there already; the watcher only tells of those to come. */
  atomic_store (&subject->greeted, 1);
}

/* A service that is not known is told so with a code of its own: the daemon was started again, and it has to greet. */
void
zm_greet_heartbeat (ZmSubject *subject, ZmCaller *caller, ZmSpan json)
{
  g_autoptr (GError) error = NULL;
  subject->services_look_us = 0;
  if (zm_services_heartbeat (subject->services, json, subject->now_us, &error))
    zm_answer_json (subject, caller, "OK", "{}");
  else if (g_error_matches (error, ZM_ERROR, ZM_ERROR_NOT_FOUND))
    zm_answer_text (subject, caller, "ERROR", "not-found", error->message);
  else
    zm_answer_malformed (subject, caller, error->message);
}

/* Answers those whose subscription is there. */
void
zm_greet_answer (ZmSubject *subject)
{
  for (guint i = 0; i < subject->greeters->len;) {
    Greeter *greeter = g_ptr_array_index (subject->greeters, i);
    ZmCaller caller;
    if (!zm_integration_has_prefix (subject->config.integration, zm_span_text (greeter->prefix))) {
      i++;
      continue;
    }
    if (zm_pending_take (subject->pending, greeter->ticket, &caller))
      zm_answer_json (subject, &caller, "OK", greeter->answer);
    greeter_free (greeter);
    g_ptr_array_remove_index_fast (subject->greeters, i);
  }
}

void
zm_greet_forget (ZmSubject *subject, guint64 ticket)
{
  for (guint i = 0; i < subject->greeters->len; i++) {
    Greeter *greeter = g_ptr_array_index (subject->greeters, i);
    if (greeter->ticket != ticket)
      continue;
    greeter_free (greeter);
    g_ptr_array_remove_index_fast (subject->greeters, i);
    return;
  }
}

void
zm_greet_end (ZmSubject *subject)
{
  while (subject->greeters->len > 0) {
    greeter_free (g_ptr_array_index (subject->greeters, 0));
    g_ptr_array_remove_index_fast (subject->greeters, 0);
  }
}
