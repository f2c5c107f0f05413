/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Replay: dead letters go back to the queues that they came from. Page by page, each message in a unit of its own, so that one
 * whose queue takes nothing holds no other up, and the store's thread never has a long step.
 */
#include "config.h"

#include "delivery/delivery-private.h"

#include <string.h>

#define PAGE 64

typedef struct Replay Replay;

/* One message on its way back. */
typedef struct Letter {
  ZmStoreUnit unit; /* first */
  Replay *replay;
  guint64 seq;
  ZmQueueAppend *append; /* NULL: it stays */
} Letter;

struct Replay {
  ZmDelivery *delivery;
  char *project, *queue;
  char **ids; /* NULL: all */
  guint n_ids;
  ZmQueueDone done;
  gpointer user;
  guint64 last_seq; /* what comes later was not dead when this began */
  char marker[ZM_UUID_SIZE + 1];
  gboolean more;
  GError *error;
  Letter letters[PAGE];
  atomic_uint left;
  atomic_int refused; /* the store took not all */
  guint n;
};

static ZmQueueName
dead_queue (const Replay *replay)
{
  return (ZmQueueName){ zm_span_text (replay->project), zm_span_text (replay->queue) };
}

/* Says how it went, and goes. */
static void
finish (Replay *replay)
{
  ZmQueueAnswer answer = { .n = replay->n };

  if (replay->error == NULL && atomic_load (&replay->refused))
    g_set_error_literal (&replay->error, ZM_ERROR, ZM_ERROR_UNAVAILABLE,
                         "the store takes nothing now; see zmanagerctl status");
  replay->done (&answer, replay->error, replay->user);
  g_clear_error (&replay->error);
  g_strfreev (replay->ids);
  g_free (replay->project);
  g_free (replay->queue);
  g_free (replay);
}

/* ---- one letter, in the store's thread ---- */

typedef struct Back {
  Letter *letter;
  ZmStoreWriter *writer;
} Back;

static ZmSpan
batch_copy (ZmStoreWriter *writer, ZmSpan from)
{
  char *copy = zm_store_alloc (writer, from.size + 1);

  if (from.size > 0)
    memcpy (copy, from.data, from.size);
  return zm_span (copy, from.size);
}

/* As it was, but for its id: the queue may still know that one, and would take it for a duplicate. */
static void
put_back (const ZmStored *stored, gpointer user)
{
  Back *back = user;
  Replay *replay = back->letter->replay;
  g_autoptr (GError) error = NULL;
  ZmDead dead;

  if (!zm_dead_read (stored->headers, &dead))
    return;
  ZmPut put = { .body = batch_copy (back->writer, stored->body),
                .headers = batch_copy (back->writer, zm_span_text (dead.headers)),
                .topic = batch_copy (back->writer, stored->topic),
                .key = batch_copy (back->writer, stored->key),
                .ttl_s = -1,
                .delay_s = -1 };
  ZmQueueName origin = { zm_span_text (dead.project), zm_span_text (dead.queue) };
  back->letter->append =
      zm_queue_append_in (replay->delivery->config.queues, back->writer, origin, &put, &error);
  if (back->letter->append == NULL)
    zm_log_limited (replay->delivery->config.log, ZM_LEVEL_WARNING, "delivery", "replay",
                    "a dead letter stays in queue %s, as queue %s does not take it back: %s", replay->queue,
                    dead.queue, error != NULL ? error->message : "it is full");
  zm_dead_clear (&dead);
}

static void
letter_prepare (ZmStoreUnit *unit, ZmStoreWriter *writer)
{
  Letter *letter = (Letter *) unit;
  ZmQueues *queues = letter->replay->delivery->config.queues;
  Back back = { letter, writer };

  zm_queue_read (queues, NULL, dead_queue (letter->replay), letter->seq, put_back, &back);
  if (letter->append != NULL)
    zm_queue_consume_in (queues, writer, dead_queue (letter->replay), letter->seq);
}

static void next_page (Replay *replay);

static void
letter_over (Replay *replay)
{
  if (atomic_fetch_sub (&replay->left, 1) != 1)
    return;
  if (replay->more && replay->error == NULL && !atomic_load (&replay->refused))
    next_page (replay);
  else
    finish (replay);
}

static void
letter_done (ZmStoreUnit *unit, const GError *error)
{
  Letter *letter = (Letter *) unit;
  Replay *replay = letter->replay;
  ZmQueues *queues = replay->delivery->config.queues;

  if (letter->append != NULL && error == NULL) {
    zm_queue_append_commit (letter->append);
    zm_queue_consume_commit (queues, dead_queue (replay), letter->seq);
    replay->n++;
  } else if (letter->append != NULL) {
    zm_queue_append_undo (letter->append);
    zm_queue_consume_undo (queues, dead_queue (replay), letter->seq);
  }
  if (error != NULL && replay->error == NULL)
    replay->error = g_error_copy (error);
  letter_over (replay);
}

/* ---- pages ---- */

/* One more than there are letters is left until all are submitted, so that none of them ends the page before. */
static void
take_page (const ZmQueueAnswer *answer, const GError *error, gpointer user)
{
  Replay *replay = user;
  guint n = error == NULL ? MIN (answer->n_messages, PAGE) : 0;

  if (error != NULL)
    replay->error = g_error_copy (error);
  replay->more = error == NULL && replay->ids == NULL && n > 0 && answer->more &&
                 answer->messages[n - 1].seq < replay->last_seq;
  if (n > 0)
    g_strlcpy (replay->marker, answer->messages[n - 1].id, sizeof replay->marker);
  atomic_store (&replay->left, n + 1);
  for (guint i = 0; i < n; i++) {
    Letter *letter = &replay->letters[i];

    *letter = (Letter){ .unit = { .prepare = letter_prepare, .done = letter_done, .adds = TRUE },
                        .replay = replay,
                        .seq = answer->messages[i].seq };
    if (replay->ids == NULL && letter->seq > replay->last_seq) {
      letter_over (replay);
    } else if (!zm_store_submit (replay->delivery->config.store, &letter->unit, NULL)) {
      atomic_store (&replay->refused, 1);
      letter_over (replay);
    }
  }
  letter_over (replay);
}

static void
next_page (Replay *replay)
{
  ZmQueueList list = { .marker = zm_span_text (replay->marker), .limit = PAGE };

  replay->more = FALSE;
  zm_queue_list (replay->delivery->config.queues, dead_queue (replay), &list, take_page, replay);
}

static void
know_last (const ZmQueueAnswer *answer, const GError *error, gpointer user)
{
  Replay *replay = user;

  if (error != NULL) {
    replay->error = g_error_copy (error);
    finish (replay);
    return;
  }
  replay->last_seq = answer->stats.last_seq;
  next_page (replay);
}

static void
start_named (Replay *replay)
{
  ZmSpan ids[PAGE];
  guint n = MIN (replay->n_ids, PAGE);

  for (guint i = 0; i < n; i++)
    ids[i] = zm_span_text (replay->ids[i]);
  zm_queue_get (replay->delivery->config.queues, dead_queue (replay), ids, n, take_page, replay);
}

void
zm_delivery_replay (ZmDelivery *delivery, ZmQueueName dead, const ZmSpan *ids, guint n, ZmQueueDone done,
                    gpointer user)
{
  Replay *replay = g_new0 (Replay, 1);

  replay->delivery = delivery;
  replay->project = zm_span_dup (dead.project);
  replay->queue = zm_span_dup (dead.name);
  replay->done = done;
  replay->user = user;
  replay->n_ids = n;
  if (n == 0) {
    zm_queue_stats (delivery->config.queues, dead_queue (replay), know_last, replay);
    return;
  }
  replay->ids = g_new0 (char *, n + 1);
  for (guint i = 0; i < n; i++)
    replay->ids[i] = zm_span_dup (ids[i]);
  if (n <= PAGE) {
    start_named (replay);
    return;
  }
  g_set_error (&replay->error, ZM_ERROR, ZM_ERROR_LIMIT, "%u ids; at most %d are replayed at a time", n,
               PAGE);
  finish (replay);
}
