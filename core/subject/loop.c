/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The Subject's thread. A turn: a batch from each PULL socket and each call socket, then one push to the pool, then replies
 * and what time has brought. The clocks are read once a turn. When the pool's ring is full, what is in hand is held and PULL
 * is not read (libzmq's high-water marks carry the pressure to the senders), while the call sockets are served on.
 */
#include "config.h"

#include "subject/subject-private.h"

#include <sched.h>
#include <string.h>

/* With messages in hand for a full ring: how soon to try again. The ring holds thousands, so it is not empty by then. */
#define HELD_RETRY_MS 1
/* Messages of one turn that show that there is load. */
#define YIELD_LEAST 4
/* How soon to look again whether pausing may go on. */
#define PAUSING_LOOK_MS 5
#define ANSWERS_LOOK_MS 20

gboolean
zm_subject_vet (const ZmMessage *message, const char **code, GError **error)
{
  const ZmTopic *topic = &message->topic;
  if (!zm_key_reserved (&topic->key) && (topic->flow.size == 0 || topic->flow.data[0] != '^'))
    return TRUE;
  ZmSpan text = zm_message_topic (message);
  g_autofree char *shown = zm_printable (text, 100);
  *code = "reserved";
  g_set_error (error, ZM_ERROR, ZM_ERROR_REFUSED,
               "\"%s\": done, error and names that begin with ^ belong to the runtime; send another key",
               shown);
  return FALSE;
}

/* Called by the message room for each message that it cannot read. Whoever sends rubbish must not fill the log: the
 * line is rate limited, the counter is not. */
static void
wire_failed (const GError *error, gpointer user)
{
  ZmSubject *subject = user;
  zm_counter_add (subject->malformed, 1);
  zm_log_limited (subject->config.log, ZM_LEVEL_WARNING, "subject", "malformed", "a message was refused: %s",
                  error->message);
}

/* What zm_wire_take added behind `from`: refused ones out, the others in order. */
static void
vet_new (ZmSubject *subject, guint from)
{
  guint kept = from;
  for (guint i = from; i < subject->stage->len; i++) {
    ZmMessage *message = g_ptr_array_index (subject->stage, i);
    const char *code = NULL;
    g_autoptr (GError) error = NULL;
    if (message->has_headers &&
        (message->deadline_us = zm_subject_deadline (subject, message, 0, &error)) < 0) {
      wire_failed (error, subject);
      zm_message_unref (message);
      continue;
    }
    if (zm_subject_vet (message, &code, &error)) {
      message->origin = ZM_ORIGIN_PULL;
      message->received_us = subject->now_us;
      if (zm_subject_admit (subject, message))
        subject->stage->pdata[kept++] = message;
      continue;
    }
    zm_counter_add (subject->refused, 1);
    zm_log_limited (subject->config.log, ZM_LEVEL_WARNING, "subject", "refused", "a message was refused: %s",
                    error->message);
    zm_message_unref (message);
  }
  g_ptr_array_set_size (subject->stage, (int) kept);
}

/* One multipart message from PULL. Frames beyond three were dropped unread by zm_frames_receive, so the size of what is
 * refused here is bounded. zm_wire_take leaves the frames empty; on the other way out they are emptied here. */
static void
take_one (ZmSubject *subject, zmq_msg_t *frames, guint n, guint extra)
{
  guint from = subject->stage->len;
  if (extra > 0) {
    g_autoptr (GError) error = g_error_new (
        ZM_ERROR, ZM_ERROR_INVALID, "%u frames; a message has one to three: topic, headers, body", n + extra);
    wire_failed (error, subject);
    zm_frames_close (frames, n);
    zm_frames_init (frames, n);
    return;
  }
  zm_wire_take (frames, n, subject->config.form, &subject->ids, subject->wall_us, subject->stage, wire_failed,
                subject);
  subject->turn_received += subject->stage->len - from;
  vet_new (subject, from);
}

/* Receives a batch at most, so that one socket with a fast sender cannot keep the turn from the others and from the
 * calls. TRUE: there may be more. */
static gboolean
take_pull (ZmSubject *subject, void *socket)
{
  zmq_msg_t frames[ZM_MESSAGE_FRAMES_MOST];
  guint extra, taken = 0;
  zm_frames_init (frames, ZM_MESSAGE_FRAMES_MOST);
  for (; taken < ZM_SUBJECT_BATCH && subject->stage->len < ZM_SUBJECT_BATCH; taken++) {
    int n = zm_frames_receive (socket, frames, ZM_MESSAGE_FRAMES_MOST, &extra);
    if (n < 0)
      break;
    take_one (subject, frames, (guint) n, extra);
  }
  zm_frames_close (frames, ZM_MESSAGE_FRAMES_MOST);
  return taken == ZM_SUBJECT_BATCH || subject->stage->len >= ZM_SUBJECT_BATCH;
}

/* Gives the pool what it takes, from the front: order is kept over as many turns as it needs. TRUE: nothing is held. */
static gboolean
hand_over (ZmSubject *subject)
{
  guint n = subject->stage->len - subject->staged;
  if (n == 0)
    return TRUE;
  ZmMessage **messages = (ZmMessage **) subject->stage->pdata + subject->staged;
  subject->staged += zm_pool_try_push (subject->config.pool, messages, n);
  if (subject->staged < subject->stage->len)
    return FALSE;
  g_ptr_array_set_size (subject->stage, 0);
  subject->staged = 0;
  return TRUE;
}

/* One turn over the PULL sockets. With messages in hand nothing is read: they pile up in libzmq, at its high-water mark
 * senders block, and memory stays bounded. TRUE: there may be more. */
static gboolean
pull_turn (ZmSubject *subject, ZmLeaving *leaving)
{
  gboolean more = FALSE;
  int state = atomic_load (&subject->flow_state);
  if (state == ZM_FLOW_PAUSED)
    zm_subject_let_go (subject, leaving);
  if (state == ZM_FLOW_PAUSED || !hand_over (subject))
    return FALSE;
  for (guint i = 0; i < subject->n_pulls; i++)
    more |= take_pull (subject, subject->pulls[i].socket);
  gboolean all = hand_over (subject);
  if (state != ZM_FLOW_RUNNING && all)
    zm_subject_leave (subject, leaving, more);
  return more && all;
}

/* How long the thread may sleep. Everything that time brings has its moment here: what is held for a full ring, the
 * look whether pausing may go on, deadlines of callers, silent services. */
static int
timeout_ms (ZmSubject *subject)
{
  gint64 due_us = subject->services_look_us, deadline_us;
  if (subject->stage->len > 0)
    return HELD_RETRY_MS;
  int state = atomic_load (&subject->flow_state);
  if (state == ZM_FLOW_PAUSING || state == ZM_FLOW_ANSWERS)
    return state == ZM_FLOW_PAUSING ? PAUSING_LOOK_MS : ANSWERS_LOOK_MS;
  if (zm_pending_first (subject->pending, &deadline_us) != 0)
    due_us = MIN (due_us, deadline_us);
  if (due_us == G_MAXINT64)
    return -1;
  /* Rounded up: not to wake just before. */
  return (int) CLAMP ((due_us - zm_now_us () + 999) / 1000, 0, 60 * 1000);
}

/* The last look before sleeping, after zm_waker_will_sleep: what others leave from then on wakes the thread. */
static gboolean
anything_left (ZmSubject *subject)
{
  return atomic_load (&subject->stopping) || atomic_load (&subject->tables_changed) ||
         atomic_load (&subject->greeted) || !zm_outbox_empty (subject->outbox);
}

/* Sleeps. PULL sockets are left out of the poll while nothing is read from them: a readable one would make the thread
 * spin. */
static void
wait_for_work (ZmSubject *subject)
{
  zmq_pollitem_t items[2 * ZM_SUBJECT_SOCKETS_MOST + 1];
  guint n = 0;
  gboolean reading = subject->stage->len == 0 && atomic_load (&subject->flow_state) != ZM_FLOW_PAUSED;
  memset (items, 0, sizeof items);
  items[n].fd = subject->waker.fd;
  items[n++].events = ZMQ_POLLIN;
  for (guint i = 0; i < subject->n_routers; i++, n++) {
    items[n].socket = subject->routers[i].socket;
    items[n].events = ZMQ_POLLIN;
  }
  for (guint i = 0; reading && i < subject->n_pulls; i++, n++) {
    items[n].socket = subject->pulls[i].socket;
    items[n].events = ZMQ_POLLIN;
  }
  zm_waker_will_sleep (&subject->waker);
  zmq_poll (items, (int) n, anything_left (subject) ? 0 : timeout_ms (subject));
  zm_waker_awake (&subject->waker, items[0].revents != 0);
}

/* Connection limits act on the sockets, so they have to be enforced in the thread that owns these. */
static void
turn_gates (ZmSubject *subject)
{
  for (guint i = 0; i < subject->n_pulls; i++)
    zm_gate_turn (subject->pulls[i].gate);
  for (guint i = 0; i < subject->n_routers; i++)
    zm_gate_turn (subject->routers[i].gate);
}

/* Counters are written once a turn and not once a message: they are shared with whoever reads them. */
static void
count_turn (ZmSubject *subject)
{
  if (subject->turn_received > 0)
    zm_counter_add (subject->received, subject->turn_received);
  subject->turn_received = 0;
  zm_counter_set (subject->waiting, zm_pending_count (subject->pending));
  zm_counter_set (subject->held, subject->stage->len - subject->staged);
}

/* The thread. After a turn it either knows of more to read, or gives the processor away once under load, or sleeps.
 * What it owns is freed by zm_subject_free, when it has ended. */
void *
zm_subject_run (void *user)
{
  ZmSubject *subject = user;
  ZmLeaving leaving = { 0, 0, FALSE };
  while (!atomic_load (&subject->stopping)) {
    subject->now_us = zm_now_us ();
    subject->wall_us = zm_wall_us ();
    gboolean more = pull_turn (subject, &leaving);
    for (guint i = 0; i < subject->n_routers; i++)
      more |= zm_subject_take_calls (subject, i);
    zm_subject_answer (subject);
    turn_gates (subject);
    gboolean loaded = subject->turn_received >= YIELD_LEAST;
    count_turn (subject);
    /* Under load the senders bring more meanwhile: one batch instead of a sleep and a wake-up each. */
    if (!more && loaded)
      sched_yield ();
    else if (!more)
      wait_for_work (subject);
  }
  zm_subject_answer_rest (subject);
  return NULL;
}
