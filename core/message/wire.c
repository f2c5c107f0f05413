/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The wire: two or three frames, the single frame of ZManager, and batch envelopes.
 *
 *   [topic] [body]              [topic] [headers] [body]
 *   [flow~decorator~sender~context~action~id~body]
 *   [^batch~~~~~] [size topic size headers size body, again and again]
 *
 * An action key may stand for the topic in the first two. What comes in is a stranger's: every size is checked against what
 * is there, every bound has its error, and one bad message or part never costs another one.
 */
#include "config.h"

#include "message/make.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

/* What a message that is being taken needs all the way down. */
typedef struct Taking {
  ZmUuidMaker *ids;
  gint64 wall_us;
  GPtrArray *out;
  ZmWireFailed failed;
  gpointer user;
  guint count; /* added to out */
} Taking;

/* From here on the message is the caller's, with its one reference. */
static void
add (Taking *taking, ZmMessage *message)
{
  g_ptr_array_add (taking->out, message);
  taking->count++;
}

/* Takes the error. One bad part of a batch costs only itself, so errors are told one by one and not returned. */
static void
fail (Taking *taking, GError *error)
{
  if (taking->failed != NULL)
    taking->failed (error, taking->user);
  g_error_free (error);
}

static void fail_text (Taking *taking, const char *format, ...) G_GNUC_PRINTF (2, 3);

static void
fail_text (Taking *taking, const char *format, ...)
{
  va_list arguments;

  va_start (arguments, format);
  fail (taking, g_error_new_valist (ZM_ERROR, ZM_ERROR_INVALID, format, arguments));
  va_end (arguments);
}

/* ---- batch envelopes ---- */

/* Takes one sized piece off the front: four bytes of size, big-endian, then so many bytes. FALSE: the text ends before
 * that; nothing was taken. The size is compared with what is left, never added to a pointer, so that no number a peer
 * writes can overflow. */
static gboolean
take_sized (ZmSpan *rest, ZmSpan *part)
{
  guint32 size;

  if (rest->size < sizeof size)
    return FALSE;
  memcpy (&size, rest->data, sizeof size);
  size = GUINT32_FROM_BE (size);
  if (size > rest->size - sizeof size)
    return FALSE;
  *part = zm_span (rest->data + sizeof size, size);
  *rest = zm_span (part->data + size, rest->size - sizeof size - size);
  return TRUE;
}

/* Every text that would be read as an envelope, or as one with something wrong in it. */
static gboolean
is_batch (ZmSpan topic)
{
  static const char mark[] = "^batch~";

  return topic.size >= sizeof mark - 1 && memcmp (topic.data, mark, sizeof mark - 1) == 0;
}

/* One part is checked as a message of its own would be: nesting, the headers' size, the topic. headers and body are
 * borrowed from the envelope: short texts are copied, a large body keeps the envelope alive instead
 * (zm_frame_init_slice). */
static void
take_part (Taking *taking, zmq_msg_t *envelope, ZmSpan first, ZmSpan headers, ZmSpan body, guint index)
{
  GError *error = NULL;
  ZmMessage *message;
  ZmTopic topic;

  if (is_batch (first)) {
    fail_text (taking, "part %u of a batch: batches do not nest", index);
    return;
  }
  if (headers.size > ZM_HEADERS_MOST) {
    fail_text (taking, "part %u of a batch: the headers have %zu bytes; at most %d are allowed", index,
               headers.size, ZM_HEADERS_MOST);
    return;
  }
  if (!zm_message_read_first (first, &topic, &error)) {
    g_prefix_error (&error, "part %u of a batch: ", index);
    fail (taking, error);
    return;
  }
  message = zm_message_alloc (ZM_ORIGIN_PULL);
  zm_message_set_topic_with_id (message, &topic, taking->ids, taking->wall_us);
  if (headers.size > 0)
    zm_frame_init_copy (&message->headers_frame, headers);
  message->has_headers = headers.size > 0;
  zm_frame_init_slice (&message->body_frame, envelope, body);
  add (taking, message);
}

/* Goes through the parts until one does not fit. What came before that stays good; behind it nothing can be told apart,
 * so the rest is refused as a whole, with one error. */
static void
take_batch (Taking *taking, zmq_msg_t *envelope)
{
  ZmSpan rest = zm_frame_span (envelope), first, headers, body;
  guint index = 0;

  if (rest.size == 0)
    fail_text (taking, "a batch without parts");
  while (rest.size > 0) {
    index++;
    if (index > ZM_BATCH_PARTS_MOST) {
      fail_text (taking, "a batch of more than %d parts; the rest is refused", ZM_BATCH_PARTS_MOST);
      return;
    }
    if (!take_sized (&rest, &first) || !take_sized (&rest, &headers) || !take_sized (&rest, &body)) {
      fail_text (taking, "part %u of a batch ends before the size that it gives; it and the rest are refused",
                 index);
      return;
    }
    take_part (taking, envelope, first, headers, body, index);
  }
}

/* ---- the single frame ---- */

/* The topic ends before the sixth '~'; everything behind that is body. */
static gboolean
split_single (ZmSpan whole, ZmSpan *topic, ZmSpan *body)
{
  const char *at = whole.data, *end = zm_span_end (whole);

  for (int i = 0; i < 6; i++) {
    at = at < end ? memchr (at, '~', (gsize) (end - at)) : NULL;
    if (at == NULL)
      return FALSE;
    at++;
  }
  *topic = zm_span (whole.data, (gsize) (at - 1 - whole.data));
  *body = zm_span (at, (gsize) (end - at));
  return TRUE;
}

/* ZManager's own form: topic and body in one frame. It has no headers, and no batch. */
static void
take_single (Taking *taking, zmq_msg_t *frame)
{
  ZmSpan first, body;
  GError *error = NULL;
  ZmMessage *message;
  ZmTopic topic;

  if (!split_single (zm_frame_span (frame), &first, &body)) {
    fail_text (taking,
               "one frame without its six '~'; expected flow~decorator~sender~context~action~id~body");
    return;
  }
  if (is_batch (first)) {
    fail_text (taking, "a batch in one frame; expected the topic " ZM_BATCH_TOPIC " and the body in two");
    return;
  }
  if (!zm_topic_parse (first, &topic, &error)) {
    fail (taking, error);
    return;
  }
  message = zm_message_alloc (ZM_ORIGIN_PULL);
  zm_message_set_topic_with_id (message, &topic, taking->ids, taking->wall_us);
  zm_frame_init_slice (&message->body_frame, frame, body);
  add (taking, message);
}

/* ---- taking ---- */

/* Two or three frames: topic, headers (or not), body. Their content moves into the message. */
static void
take_frames (Taking *taking, zmq_msg_t *frames, guint n)
{
  ZmSpan first = zm_frame_span (&frames[0]);
  GError *error = NULL;
  ZmMessage *message;

  if (zm_span_is (first, ZM_BATCH_TOPIC) && n == 2) {
    take_batch (taking, &frames[1]);
    return;
  }
  if (is_batch (first)) {
    fail_text (taking, "a batch that is not two frames with the topic " ZM_BATCH_TOPIC);
    return;
  }
  message = zm_message_take_frames (&frames[0], n == 3 ? &frames[1] : NULL, &frames[n - 1], taking->ids,
                                    taking->wall_us, &error);
  if (message != NULL)
    add (taking, message);
  else
    fail (taking, error);
}

/* The one entry for everything that peers send, so it assumes nothing of the frames. Whatever happens they are empty
 * afterwards: the caller receives into the same ones again. */
guint
zm_wire_take (zmq_msg_t *frames, guint n, ZmFramesForm form, ZmUuidMaker *ids, gint64 wall_us, GPtrArray *out,
              ZmWireFailed failed, gpointer user)
{
  Taking taking = { ids, wall_us, out, failed, user, 0 };

  if (n < 1 || n > 3)
    fail_text (&taking, "a message of %u frames; expected topic and body, with headers between them or not",
               n);
  else if (n == 1 && form == ZM_FRAMES_MULTI)
    fail_text (&taking, "one frame where this endpoint takes two or three; expected topic and body");
  else if (n > 1 && form == ZM_FRAMES_SINGLE)
    fail_text (&taking, "%u frames where this endpoint takes one (frames = single)", n);
  else if (n == 1)
    take_single (&taking, &frames[0]);
  else
    take_frames (&taking, frames, n);
  for (guint i = 0; i < n; i++)
    zm_frame_clear (&frames[i]);
  return taking.count;
}

/* ---- sending ---- */

/* A copy is sent, which libzmq counts instead of copying bytes; so the message stays whole, for who sends it elsewhere
 * too. The errno is kept over the clean-up, as the caller tells EAGAIN from an error by it. */
static int
send_frame (void *socket, zmq_msg_t *frame, int flags)
{
  int result, reason;
  zmq_msg_t copy;

  zmq_msg_init (&copy);
  zmq_msg_copy (&copy, frame);
  result = zmq_msg_send (&copy, socket, flags);
  reason = errno;
  if (result < 0)
    zmq_msg_close (&copy);
  errno = reason;
  return result < 0 ? -1 : 0;
}

/* A topic that stands in the message is copied into a frame here, so that who shares the message writes nothing to it. */
static int
send_topic (void *socket, ZmMessage *message, int flags)
{
  zmq_msg_t frame;
  int result, reason;

  if (message->inside_size == 0)
    return send_frame (socket, &message->topic_frame, flags);
  zm_frame_init_copy (&frame, zm_message_topic (message));
  result = zmq_msg_send (&frame, socket, flags);
  reason = errno;
  if (result < 0)
    zmq_msg_close (&frame);
  errno = reason;
  return result < 0 ? -1 : 0;
}

/* Once the first frame is in, libzmq takes the others of that message without waiting; only a signal can come between. */
static int
send_next (void *socket, zmq_msg_t *frame, int flags)
{
  int result;

  do
    result = send_frame (socket, frame, flags);
  while (result < 0 && errno == EINTR);
  return result;
}

/* The one place where a body is copied to be sent: the form wants it behind the topic, in the same frame. */
static int
send_single (void *socket, const ZmMessage *message, int flags)
{
  ZmSpan topic = zm_message_topic (message), body = zm_message_body (message);
  int result, reason;
  zmq_msg_t frame;
  char *at;

  zm_frame_init_size (&frame, topic.size + 1 + body.size);
  at = zmq_msg_data (&frame);
  memcpy (at, topic.data, topic.size);
  at[topic.size] = '~';
  if (body.size > 0)
    memcpy (at + topic.size + 1, body.data, body.size);
  result = zmq_msg_send (&frame, socket, flags);
  reason = errno;
  if (result < 0)
    zmq_msg_close (&frame);
  errno = reason;
  return result < 0 ? -1 : 0;
}

/* All or nothing: libzmq takes the later frames of a message that it has begun to take, so only the first can be refused
 * for want of room. */
int
zm_wire_send (void *socket, ZmMessage *message, ZmFramesForm form, int flags)
{
  if (form == ZM_FRAMES_SINGLE)
    return send_single (socket, message, flags);
  if (send_topic (socket, message, flags | ZMQ_SNDMORE) != 0)
    return -1;
  if (message->has_headers && send_next (socket, &message->headers_frame, flags | ZMQ_SNDMORE) != 0)
    return -1;
  return send_next (socket, &message->body_frame, flags);
}
