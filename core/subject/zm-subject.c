/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The Subject's door: opening, starting, pausing, ending, and what other threads may ask of it. */
#include "config.h"

#include "subject/zm-subject.h"

#include "base/zm-thread.h"
#include "subject/subject-private.h"

#include <string.h>

#define CALLS_STANDARD           4096
#define CALL_TIMEOUT_STANDARD_US (30 * G_USEC_PER_SEC)

/* One table, as the names are the interface: they stand in the manual, and dashboards use them. */
static void
make_counters (ZmSubject *subject, ZmMetrics *metrics)
{
  struct {
    ZmCounter **place;
    gboolean gauge;
    const char *name, *help;
  } counters[] = {
    { &subject->received, FALSE, "zmanager_subject_received_total", "Messages pushed to the Subject" },
    { &subject->malformed, FALSE, "zmanager_subject_malformed_total",
      "Messages and requests that could not be read" },
    { &subject->refused, FALSE, "zmanager_subject_refused_total",
      "Messages with a reserved key, and new ones during a drain" },
    { &subject->dropped, FALSE, "zmanager_subject_dropped_total", "Messages still held at the end" },
    { &subject->calls, FALSE, "zmanager_subject_calls_total", "Requests CALL and SEND" },
    { &subject->busy, FALSE, "zmanager_subject_busy_total", "Requests answered BUSY" },
    { &subject->late, FALSE, "zmanager_subject_late_total", "Replies for which nobody waited any more" },
    { &subject->timeouts, FALSE, "zmanager_subject_timeouts_total", "Requests whose deadline passed" },
    { &subject->unsent, FALSE, "zmanager_subject_unsent_total", "Replies that the caller did not take" },
    { &subject->waiting, TRUE, "zmanager_subject_calls_waiting", "Callers that wait now" },
    { &subject->held, TRUE, "zmanager_subject_held", "Messages in hand while the workers' ring is full" },
  };
  for (guint i = 0; i < G_N_ELEMENTS (counters); i++)
    *counters[i].place = counters[i].gauge
                             ? zm_metrics_gauge (metrics, counters[i].name, counters[i].help, NULL, NULL)
                             : zm_metrics_counter (metrics, counters[i].name, counters[i].help, NULL, NULL);
}

/* In the publisher's thread: only a mark and a wake. Which HELLO it is for is found by asking the publisher's set,
 * which is up to date by now. */
static void
subscription_seen (ZmSpan prefix, gboolean on, gpointer user)
{
  ZmSubject *subject = user;
  static const char greeting[] = "^hello~";
  if (!on || prefix.size < sizeof greeting - 1 || memcmp (prefix.data, greeting, sizeof greeting - 1) != 0)
    return;
  atomic_store (&subject->greeted, 1);
  zm_waker_wake (&subject->waker);
}

/* Strings and lists of the configuration belong to the caller and are not kept; what remains is numbers and doors. */
static void
copy_config (ZmSubject *subject, const ZmSubjectConfig *config)
{
  subject->config = *config;
  subject->config.bind = subject->config.connect = NULL;
  subject->config.call_bind = subject->config.call_connect = NULL;
  if (subject->config.calls_most == 0)
    subject->config.calls_most = CALLS_STANDARD;
  if (subject->config.call_timeout_us <= 0)
    subject->config.call_timeout_us = CALL_TIMEOUT_STANDARD_US;
  if (subject->config.call_max_message <= 0)
    subject->config.call_max_message = subject->config.max_message;
  if (config->log != NULL)
    zm_log_ref (config->log);
}

ZmSubject *
zm_subject_new (const ZmSubjectConfig *config, GError **error)
{
  ZmSubject *subject = g_new0 (ZmSubject, 1);
  copy_config (subject, config);
  make_counters (subject, config->metrics);
  pthread_mutex_init (&subject->mutex, NULL);
  zm_cond_init_monotonic (&subject->paused);
  zm_uuid_maker_init (&subject->ids);
  subject->waker.fd = -1;
  subject->stage = g_ptr_array_new ();
  subject->greeters = g_ptr_array_new ();
  subject->pending = zm_pending_new (subject->config.calls_most);
  /* Every waiting call has one reply; the rest is room for those that come late. */
  subject->outbox = zm_outbox_new (2 * subject->config.calls_most + 1024);
  subject->services =
      zm_services_new (config->tables, config->integration, subject->config.log, config->metrics);
  if (zm_waker_init (&subject->waker, error) && zm_subject_open (subject, config, error))
    return subject;
  zm_subject_free (subject);
  return NULL;
}

/* Subscriptions are watched from before the thread runs, so that no HELLO can miss its own. */
gboolean
zm_subject_start (ZmSubject *subject, ZmPool *pool, GError **error)
{
  subject->config.pool = pool;
  zm_integration_watch_subscriptions (subject->config.integration, subscription_seen, subject);
  int rc = zm_thread_create (&subject->thread, "zm-subject", zm_subject_run, subject);
  if (rc != 0) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_IO, "subject: cannot start its thread: %s", g_strerror (rc));
    return FALSE;
  }
  subject->started = TRUE;
  return TRUE;
}

/* What no worker took. Only at the end, and counted: nothing is lost without a number. */
static void
drop_held (ZmSubject *subject)
{
  guint held = subject->stage->len - subject->staged;
  for (guint i = subject->staged; i < subject->stage->len; i++)
    zm_message_unref (g_ptr_array_index (subject->stage, i));
  if (held > 0) {
    zm_counter_add (subject->dropped, held);
    zm_log_write (subject->config.log, ZM_LEVEL_WARNING, "subject",
                  "%u messages were held for the workers and are lost", held);
  }
  g_ptr_array_unref (subject->stage);
}

/* Also of a half-made one, and of one that was never started. */
void
zm_subject_free (ZmSubject *subject)
{
  if (subject == NULL)
    return;
  if (subject->config.integration != NULL)
    zm_integration_unwatch_subscriptions (subject->config.integration, subscription_seen, subject);
  if (subject->started) {
    atomic_store (&subject->stopping, 1);
    zm_waker_wake (&subject->waker);
    pthread_join (subject->thread, NULL);
  }
  drop_held (subject);
  g_ptr_array_unref (subject->greeters);
  zm_subject_close (subject);
  zm_pending_free (subject->pending);
  zm_outbox_free (subject->outbox);
  zm_services_free (subject->services);
  zm_waker_clear (&subject->waker);
  pthread_cond_destroy (&subject->paused);
  pthread_mutex_destroy (&subject->mutex);
  zm_log_unref (subject->config.log);
  g_free (subject);
}

/* From any thread, also from a plugin's in zm_complete. The sockets are not touched here; the Subject's thread sends. */
void
zm_subject_reply_quietly (ZmSubject *subject, guint64 ticket, int status, const ZmMessage *result)
{
  if (!zm_outbox_put (subject->outbox, ticket, status, result))
    zm_counter_add (subject->late, 1);
}

void
zm_subject_wake (ZmSubject *subject)
{
  zm_waker_wake (&subject->waker);
}

void
zm_subject_reply (ZmSubject *subject, guint64 ticket, int status, const ZmMessage *result)
{
  zm_subject_reply_quietly (subject, ticket, status, result);
  zm_subject_wake (subject);
}

void
zm_subject_tables_changed (ZmSubject *subject)
{
  atomic_store (&subject->tables_changed, 1);
  zm_waker_wake (&subject->waker);
}

gboolean
zm_subject_command (ZmSubject *subject, const char *service, const char *command, const char *argument,
                    GError **error)
{
  return zm_services_command (subject->services, service, command, argument, error);
}

char *
zm_subject_services_json (ZmSubject *subject, gboolean transient)
{
  return zm_services_json (subject->services, transient, zm_now_us ());
}

/* Any thread: all of it is atomics and constants. */
char *
zm_subject_status_json (ZmSubject *subject)
{
  static const char *const states[] = { "running", "pausing", "answers", "paused" };
  return g_strdup_printf (
      "{\"state\":\"%s\",\"received\":%" G_GINT64_FORMAT ",\"malformed\":%" G_GINT64_FORMAT
      ",\"refused\":%" G_GINT64_FORMAT ",\"held\":%" G_GINT64_FORMAT ",\"dropped\":%" G_GINT64_FORMAT
      ",\"max_message\":%" G_GINT64_FORMAT ",\"calls\":{\"max_message\":%" G_GINT64_FORMAT
      ",\"total\":%" G_GINT64_FORMAT ",\"waiting\":%" G_GINT64_FORMAT
      ",\"most\":%u,\"busy\":%" G_GINT64_FORMAT ",\"late\":%" G_GINT64_FORMAT
      ",\"timeouts\":%" G_GINT64_FORMAT ",\"unsent\":%" G_GINT64_FORMAT "}}",
      states[atomic_load (&subject->flow_state)], zm_counter_get (subject->received),
      zm_counter_get (subject->malformed), zm_counter_get (subject->refused), zm_counter_get (subject->held),
      zm_counter_get (subject->dropped), subject->config.max_message, subject->config.call_max_message,
      zm_counter_get (subject->calls), zm_counter_get (subject->waiting), subject->config.calls_most,
      zm_counter_get (subject->busy), zm_counter_get (subject->late), zm_counter_get (subject->timeouts),
      zm_counter_get (subject->unsent));
}

const char *const *
zm_subject_endpoints (ZmSubject *subject)
{
  return (const char *const *) subject->endpoints;
}

const char *const *
zm_subject_call_endpoints (ZmSubject *subject)
{
  return (const char *const *) subject->call_endpoints;
}
