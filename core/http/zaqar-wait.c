/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Long polls: a claim or list that found nothing is asked again whenever the queue may have something, until its time is over.
 *
 * At each moment one party has the poll: an operation under way (`asking`), or nobody, when wake, deadline and the client's going
 * may take it by setting `asking`. Who has it at the end answers. The watch is set before asking again, so that nothing that is
 * put in between is missed; it is used up by its first call.
 */
#include "config.h"

#include "http/zaqar-private.h"

#include <pthread.h>

struct ZmZaqarPoll {
  ZmZaqar *zaqar;
  guint wait;
  ZmZaqarAsk ask;
  ZmZaqarTell tell;
  ZmZaqarDrop drop;
  pthread_mutex_t lock; /* guards what follows */
  guint64 watch;
  gboolean armed;   /* the watch has not called yet */
  gboolean asking;  /* somebody has it */
  gboolean expired; /* an answer without messages will do */
};

static void
poll_free (gpointer data)
{
  ZmZaqarPoll *poll = data;

  pthread_mutex_destroy (&poll->lock);
  g_free (poll);
}

/* By who has it; it is not touched afterwards. */
static void
finish (ZmZaqarPoll *poll, const ZmQueueAnswer *answer, const GError *error)
{
  ZmZaqar *zaqar = poll->zaqar;
  ZmRequest *request = zaqar->request;
  guint64 watch;

  pthread_mutex_lock (&poll->lock);
  watch = poll->watch;
  pthread_mutex_unlock (&poll->lock);
  if (watch != 0)
    zm_queue_unwatch (zaqar->queues, watch);
  if (error == NULL && answer->n_messages > 0 && poll->drop != NULL && zm_request_over (request))
    poll->drop (zaqar, answer);
  poll->tell (zaqar, answer, error);
  zm_request_unref (request);
}

static void on_done (const ZmQueueAnswer *answer, const GError *error, gpointer user);

/* There may be something. */
static void
on_wake (gpointer user)
{
  ZmZaqarPoll *poll = user;
  gboolean mine;

  pthread_mutex_lock (&poll->lock);
  poll->armed = FALSE;
  poll->watch = 0;
  mine = !poll->asking;
  poll->asking = TRUE;
  pthread_mutex_unlock (&poll->lock);
  if (mine)
    poll->ask (poll->zaqar, on_done, poll);
}

/* FALSE: too many watch. */
static gboolean
arm (ZmZaqarPoll *poll)
{
  guint64 watch = zm_queue_watch (poll->zaqar->queues, poll->zaqar->queue, on_wake, poll);

  pthread_mutex_lock (&poll->lock);
  if (poll->armed)
    poll->watch = watch;
  pthread_mutex_unlock (&poll->lock);
  return watch != 0;
}

typedef enum { GO_WAIT, GO_ASK, GO_END } Go;

/* Nothing is there: what now? Waits where the watch has been there all along. */
static Go
next (ZmZaqarPoll *poll)
{
  Go go;

  pthread_mutex_lock (&poll->lock);
  go = poll->expired ? GO_END : poll->armed ? GO_WAIT : GO_ASK;
  if (go == GO_WAIT)
    poll->asking = FALSE;
  if (go == GO_ASK)
    poll->armed = TRUE;
  pthread_mutex_unlock (&poll->lock);
  return go;
}

static void
on_done (const ZmQueueAnswer *answer, const GError *error, gpointer user)
{
  ZmZaqarPoll *poll = user;
  Go go = error != NULL || answer->n_messages > 0 || poll->wait == 0 ? GO_END : next (poll);
  g_autoptr (GError) full = NULL;

  if (go == GO_END)
    finish (poll, answer, error);
  else if (go == GO_ASK && arm (poll))
    poll->ask (poll->zaqar, on_done, poll);
  else if (go == GO_ASK) {
    full = g_error_new_literal (ZM_ERROR, ZM_ERROR_UNAVAILABLE, "Too many requests wait.");
    finish (poll, NULL, full);
  }
}

/* Its time is over, or nobody waits for it any more. */
static void
expire (ZmRequest *request)
{
  static const ZmQueueAnswer nothing;
  ZmZaqarPoll *poll = zm_zaqar_of (request)->more;
  gboolean mine;

  pthread_mutex_lock (&poll->lock);
  poll->expired = TRUE;
  mine = !poll->asking;
  poll->asking = TRUE;
  pthread_mutex_unlock (&poll->lock);
  if (mine)
    finish (poll, &nothing, NULL);
}

void
zm_zaqar_poll (ZmZaqar *zaqar, guint wait, ZmZaqarAsk ask, ZmZaqarTell tell, ZmZaqarDrop drop)
{
  ZmZaqarPoll *poll = g_new0 (ZmZaqarPoll, 1);

  poll->zaqar = zaqar;
  poll->wait = wait;
  poll->ask = ask;
  poll->tell = tell;
  poll->drop = drop;
  poll->asking = TRUE;
  pthread_mutex_init (&poll->lock, NULL);
  zaqar->more = poll;
  zaqar->more_free = poll_free;
  zm_request_ref (zaqar->request);
  if (wait > 0) {
    zm_request_on_gone (zaqar->request, expire);
    zm_request_deadline (zaqar->request, zm_now_us () + (gint64) wait * G_USEC_PER_SEC, expire);
  }
  ask (zaqar, on_done, poll);
}
