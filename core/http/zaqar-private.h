/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the handlers of Zaqar's API share. */
#pragma once

#include "http/http-private.h"
#include "http/zaqar-document.h"

G_BEGIN_DECLS

/* Of each request that was admitted: its `data`, made by zm_zaqar_admit, freed with the request. */
typedef struct ZmZaqar {
  ZmRequest *request;
  ZmQueues *queues;
  ZmQueueName queue; /* project and, where the path has one, name */
  ZmZaqarLimits limits;
  guint8 client[16];
  char *project;
  gpointer more; /* the handler's own */
  GDestroyNotify more_free;
} ZmZaqar;

static inline ZmZaqar *
zm_zaqar_of (ZmRequest *request)
{
  return (ZmZaqar *) request->data;
}

/* ---- answers: zaqar-answer.c ---- */

/* Of ZM_ZAQAR_ERROR, or of a room: then what describes what could not be done ("Messages could not be enqueued."). */
void zm_zaqar_fail (ZmRequest *request, const GError *error, const char *what);
void zm_zaqar_bad_request (ZmRequest *request, const char *format, ...) G_GNUC_PRINTF (2, 3);
void zm_zaqar_not_found (ZmRequest *request, const char *format, ...) G_GNUC_PRINTF (2, 3);
void zm_zaqar_no_content (ZmRequest *request);

/* ---- parameters: zaqar-answer.c; FALSE: it has answered 400 ---- */

/* value keeps what it is where the parameter is missing; given: whether it is there. Either may be NULL. */
gboolean zm_zaqar_query_integer (ZmRequest *request, const char *name, gint64 *value, gboolean *given);
gboolean zm_zaqar_query_boolean (ZmRequest *request, const char *name, gboolean *value, gboolean *given);
/* limit within 1 and most, the usual page (or most, where that is less) where it is missing. */
gboolean zm_zaqar_query_limit (ZmRequest *request, gint64 most, guint *limit);
/* wait in seconds; 0 where it is missing. */
gboolean zm_zaqar_query_wait (ZmRequest *request, guint *wait);

/* ---- texts: zaqar-text.c ---- */

/* "/v2/queues/q"; the caller frees. */
char *zm_zaqar_queue_path (const ZmZaqar *zaqar);
/* A message as lists and claims have it; claim: whose it is shown as, or NULL: its own. */
void zm_zaqar_append_message (GString *out, const ZmZaqar *zaqar, const ZmStored *stored, gint64 now_us);
/* As pop has it. */
void zm_zaqar_append_popped (GString *out, const ZmStored *stored, gint64 now_us);
/* "messages": [ … ] */
void zm_zaqar_append_messages (GString *out, const ZmZaqar *zaqar, const ZmQueueAnswer *answer);
/* "links": [ … ]: next with the request's own query, but for this marker; marker NULL: none. path: without query. */
void zm_zaqar_append_links (GString *out, ZmRequest *request, const char *path, const char *marker);
/* Whole seconds since then, at least 0. */
gint64 zm_zaqar_age (gint64 created_us, gint64 now_us);

/* ---- long polls: zaqar-wait.c ---- */

typedef struct ZmZaqarPoll ZmZaqarPoll;
/* Asks the queue room once, with done zm_zaqar_poll_done and this user. */
typedef void (*ZmZaqarAsk) (ZmZaqar *zaqar, ZmQueueDone done, gpointer user);
/* Answers the request with what the queue room said. */
typedef void (*ZmZaqarTell) (ZmZaqar *zaqar, const ZmQueueAnswer *answer, const GError *error);
/* Nobody is there any more to be told: undoes it. May be NULL. */
typedef void (*ZmZaqarDrop) (ZmZaqar *zaqar, const ZmQueueAnswer *answer);
/* Asks, and where there is no message asks again whenever there may be one, for up to wait seconds. */
void zm_zaqar_poll (ZmZaqar *zaqar, guint wait, ZmZaqarAsk ask, ZmZaqarTell tell, ZmZaqarDrop drop);

/* ---- handlers ---- */

void zm_zaqar_home (ZmRequest *request);
void zm_zaqar_ping (ZmRequest *request);
void zm_zaqar_health (ZmRequest *request);
void zm_zaqar_nothing (ZmRequest *request);   /* 404: pools, flavors, topics */
void zm_zaqar_no_method (ZmRequest *request); /* 405 */
void zm_zaqar_subscriptions (ZmRequest *request);
void zm_zaqar_subscription (ZmRequest *request);

void zm_zaqar_queue_list (ZmRequest *request);
void zm_zaqar_queue_put (ZmRequest *request);
void zm_zaqar_queue_get (ZmRequest *request);
void zm_zaqar_queue_delete (ZmRequest *request);
void zm_zaqar_queue_patch (ZmRequest *request);
void zm_zaqar_queue_stats (ZmRequest *request);
void zm_zaqar_queue_purge (ZmRequest *request);
void zm_zaqar_queue_share (ZmRequest *request);

void zm_zaqar_message_post (ZmRequest *request);
void zm_zaqar_message_list (ZmRequest *request);
void zm_zaqar_message_get (ZmRequest *request);
void zm_zaqar_message_delete (ZmRequest *request);
void zm_zaqar_message_delete_many (ZmRequest *request);

void zm_zaqar_claim_post (ZmRequest *request);
void zm_zaqar_claim_get (ZmRequest *request);
void zm_zaqar_claim_patch (ZmRequest *request);
void zm_zaqar_claim_delete (ZmRequest *request);

G_END_DECLS
