/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Claims: made, looked at, renewed, released. */
#include "config.h"

#include "http/zaqar-private.h"

/* ---- making ---- */

/* Checked once before the first time; a poll asks several times. */
static void
ask_claim (ZmZaqar *zaqar, ZmQueueDone done, gpointer user)
{
  ZmZaqarClaim claim = { -1, -1 };
  guint limit = ZM_ZAQAR_PAGE;

  zm_zaqar_query_limit (zaqar->request, zaqar->limits.claim_or_pop, &limit);
  zm_zaqar_read_claim (zaqar->request->body, &zaqar->limits, &claim, NULL);
  zm_queue_claim (zaqar->queues, zaqar->queue, limit, claim.ttl_s, claim.grace_s, done, user);
}

static void
tell_claim (ZmZaqar *zaqar, const ZmQueueAnswer *answer, const GError *error)
{
  g_autofree char *queue = zm_zaqar_queue_path (zaqar);
  g_autofree char *location = NULL;
  GString *out;

  if (error != NULL) {
    zm_zaqar_fail (zaqar->request, error, "Claim could not be created.");
    return;
  }
  if (answer->n_messages == 0) {
    zm_zaqar_no_content (zaqar->request);
    return;
  }
  location = g_strconcat (queue, "/claims/", answer->claim.id, NULL);
  zm_request_add_header (zaqar->request, "Location", location);
  out = g_string_new ("{");
  zm_zaqar_append_messages (out, zaqar, answer);
  g_string_append_c (out, '}');
  zm_request_answer_take (zaqar->request, 201, "application/json", out);
}

static void
on_dropped (const ZmQueueAnswer *answer, const GError *error, gpointer user)
{
  (void) answer;
  (void) error;
  (void) user;
}

/* Who asked has gone: the messages are for others, at once and not after the claim's time. */
static void
drop_claim (ZmZaqar *zaqar, const ZmQueueAnswer *answer)
{
  zm_queue_claim_release (zaqar->queues, zaqar->queue, zm_span_text (answer->claim.id), on_dropped, NULL);
}

void
zm_zaqar_claim_post (ZmRequest *request)
{
  ZmZaqar *zaqar = zm_zaqar_of (request);
  ZmZaqarClaim claim;
  g_autoptr (GError) error = NULL;
  guint limit, wait;

  if (!zm_zaqar_query_limit (request, zaqar->limits.claim_or_pop, &limit) ||
      !zm_zaqar_query_wait (request, &wait))
    return;
  if (zm_zaqar_read_claim (request->body, &zaqar->limits, &claim, &error))
    zm_zaqar_poll (zaqar, wait, ask_claim, tell_claim, drop_claim);
  else
    zm_zaqar_fail (request, error, "Claim could not be created.");
}

/* ---- the others ---- */

/* What is wrong, where the claim is not there. */
static void
fail (ZmRequest *request, const GError *error, const char *what)
{
  const ZmZaqar *zaqar = zm_zaqar_of (request);

  if (g_error_matches (error, ZM_ERROR, ZM_ERROR_NOT_FOUND))
    zm_zaqar_not_found (request, "Claim %.*s does not exist in queue %.*s for project %s",
                        (int) request->part[1].size, request->part[1].data, (int) zaqar->queue.name.size,
                        zaqar->queue.name.data, zaqar->project);
  else
    zm_zaqar_fail (request, error, what);
}

static void
on_got (const ZmQueueAnswer *answer, const GError *error, gpointer user)
{
  ZmRequest *request = user;
  const ZmZaqar *zaqar = zm_zaqar_of (request);
  g_autofree char *queue = zm_zaqar_queue_path (zaqar);
  GString *out;

  if (error != NULL) {
    fail (request, error, "Claim could not be queried.");
    return;
  }
  out = g_string_new (NULL);
  g_string_append_printf (
      out, "{\"age\": %" G_GINT64_FORMAT ", \"ttl\": %" G_GINT64_FORMAT ", \"href\": \"%s/claims/%s\", ",
      answer->claim.age_s, answer->claim.ttl_s, queue, answer->claim.id);
  zm_zaqar_append_messages (out, zaqar, answer);
  g_string_append_c (out, '}');
  zm_request_answer_take (request, 200, "application/json", out);
}

void
zm_zaqar_claim_get (ZmRequest *request)
{
  const ZmZaqar *zaqar = zm_zaqar_of (request);

  zm_queue_claim_get (zaqar->queues, zaqar->queue, request->part[1], on_got, request);
}

static void
on_renewed (const ZmQueueAnswer *answer, const GError *error, gpointer user)
{
  (void) answer;
  if (error != NULL)
    fail (user, error, "Claim could not be updated.");
  else
    zm_zaqar_no_content (user);
}

void
zm_zaqar_claim_patch (ZmRequest *request)
{
  const ZmZaqar *zaqar = zm_zaqar_of (request);
  ZmZaqarClaim claim;
  g_autoptr (GError) error = NULL;

  if (request->body.size == 0)
    zm_request_fail (request, 400, "Invalid request body", NULL, "Request body could not be parsed.");
  else if (zm_zaqar_read_claim (request->body, &zaqar->limits, &claim, &error))
    zm_queue_claim_renew (zaqar->queues, zaqar->queue, request->part[1], claim.ttl_s, claim.grace_s,
                          on_renewed, request);
  else
    zm_zaqar_fail (request, error, "Claim could not be updated.");
}

static void
on_released (const ZmQueueAnswer *answer, const GError *error, gpointer user)
{
  (void) answer;
  if (error != NULL && !g_error_matches (error, ZM_ERROR, ZM_ERROR_NOT_FOUND))
    zm_zaqar_fail (user, error, "Claim could not be deleted.");
  else
    zm_zaqar_no_content (user);
}

void
zm_zaqar_claim_delete (ZmRequest *request)
{
  const ZmZaqar *zaqar = zm_zaqar_of (request);

  zm_queue_claim_release (zaqar->queues, zaqar->queue, request->part[1], on_released, request);
}
