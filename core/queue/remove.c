/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Deleting messages. */
#include "config.h"

#include "queue/registry-private.h"

#include <string.h>

typedef struct Delete {
  ZmRequest request; /* first */
  char **ids, **claims;
  guint n, n_claims;
  gboolean many;
  GArray *leaving; /* ZmLeaving */
} Delete;

static Delete *
delete_of (ZmRequest *request)
{
  return (Delete *) (void *) request;
}

static ZmSpan
span_of (const char *text)
{
  return zm_span_text (text);
}

/* ---- deleting messages ---- */

/* Of one message, where its claim matters: may it go? Sets the error where not. */
static gboolean
may_go (ZmRequest *request, guint64 seq, const char *claim)
{
  const char *held = zm_claims_of (request->queue, seq);

  if (*claim == '\0') {
    if (held != NULL)
      zm_queue_request_fail (request, ZM_ERROR_REFUSED, "the message is claimed: name its claim");
  } else if (held == NULL || !zm_claims_known (request->queue, span_of (claim))) {
    zm_queue_request_fail (request, ZM_ERROR_INVALID,
                           "the message is not claimed, or the claim is unknown or over");
  } else if (strcmp (held, claim) != 0) {
    zm_queue_request_fail (request, ZM_ERROR_REFUSED, "the message is claimed by another claim");
  }
  return request->error == NULL;
}

/* Of several: those under claims only where the claim is named. */
static gboolean
one_of_many (const Delete *delete, guint64 seq)
{
  const char *held = zm_claims_of (delete->request.queue, seq);

  if (delete->n_claims == 0)
    return TRUE;
  for (guint i = 0; held != NULL && i < delete->n_claims; i++)
    if (strcmp (held, delete->claims[i]) == 0)
      return TRUE;
  return FALSE;
}

static void
decide_delete (ZmRequest *request, ZmStoreWriter *writer)
{
  Delete *delete = delete_of (request);

  for (guint i = 0; request->queue != NULL && i < delete->n; i++) {
    guint64 seq = zm_queue_seq_of (request->queue, span_of (delete->ids[i]));
    ZmLeaving leaving;

    if (seq == 0 || !zm_queue_has (request->queue, seq, request->now_us))
      continue;
    if (delete->many ? !one_of_many (delete, seq) : !may_go (request, seq, delete->claims[0]))
      continue;
    if (zm_queue_remove_in (request->queue, writer, seq, FALSE, &leaving))
      g_array_append_val (delete->leaving, leaving);
  }
}

static void
commit_delete (ZmRequest *request)
{
  Delete *delete = delete_of (request);

  for (guint i = 0; i < delete->leaving->len; i++)
    zm_queue_remove_commit (request->queue, &g_array_index (delete->leaving, ZmLeaving, i));
  request->answer.n = delete->leaving->len;
  if (request->queue == NULL)
    return;
  request->queue->counts.taken += delete->leaving->len;
  zm_counter_add (request->queues->p->taken, delete->leaving->len);
}

static void
undo_delete (ZmRequest *request)
{
  Delete *delete = delete_of (request);

  for (guint i = delete->leaving->len; i > 0; i--)
    zm_queue_remove_undo (request->queue, &g_array_index (delete->leaving, ZmLeaving, i - 1));
}

static void
free_delete (ZmRequest *request)
{
  Delete *delete = delete_of (request);

  g_strfreev (delete->ids);
  g_strfreev (delete->claims);
  g_array_unref (delete->leaving);
}

static const ZmRequestOps delete_ops = { .size = sizeof (Delete),
                                         .decide = decide_delete,
                                         .commit = commit_delete,
                                         .undo = undo_delete,
                                         .free = free_delete };

static char **
copy_all (const ZmSpan *spans, guint n)
{
  char **texts = g_new0 (char *, n + 1);

  for (guint i = 0; i < n; i++)
    texts[i] = zm_span_dup (spans[i]);
  return texts;
}

static void
submit_delete (ZmQueues *queues, ZmQueueName queue, const ZmSpan *ids, guint n, const ZmSpan *claims,
               guint n_claims, gboolean many, ZmQueueDone done, gpointer user)
{
  Delete *delete = zm_queue_request_new (queues, queue, &delete_ops, done, user);

  delete->ids = copy_all (ids, n);
  delete->n = n;
  delete->claims = copy_all (claims, n_claims);
  delete->n_claims = n_claims;
  delete->many = many;
  delete->leaving = g_array_new (FALSE, FALSE, sizeof (ZmLeaving));
  zm_queue_request_submit (delete, 64 * (gsize) n);
}

void
zm_queue_delete (ZmQueues *queues, ZmQueueName queue, ZmSpan id, ZmSpan claim, ZmQueueDone done,
                 gpointer user)
{
  submit_delete (queues, queue, &id, 1, &claim, 1, FALSE, done, user);
}

void
zm_queue_delete_many (ZmQueues *queues, ZmQueueName queue, const ZmSpan *ids, guint n, const ZmSpan *claims,
                      guint n_claims, ZmQueueDone done, gpointer user)
{
  submit_delete (queues, queue, ids, n, claims, n_claims, TRUE, done, user);
}
