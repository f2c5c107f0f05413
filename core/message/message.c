/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Messages: made once, shared by reference, frames moved and never copied where a move will do.
 *
 * Who may write: the maker, until the message is given away. After that it only has readers, in any number of threads, each
 * with a reference. Frames are counted by libzmq, which writes to a frame when it is copied for the first time; zm_message_ref
 * does that while there is only one holder, so that later copies in several threads at a time only count.
 */
#include "config.h"

#include "message/make.h"

#include <string.h>

/* ---- references ---- */

/* A copy is made and closed again: what stays is libzmq's mark that the frame is shared. After this, zmq_msg_copy of the
 * frame from several threads only counts atomically and writes nothing to it. */
static void
make_shared (zmq_msg_t *frame)
{
  zmq_msg_t copy;

  zmq_msg_init (&copy);
  zmq_msg_copy (&copy, frame);
  zmq_msg_close (&copy);
}

ZmMessage *
zm_message_ref (ZmMessage *message)
{
  /* libzmq marks a frame as shared at its first copy, without care for other threads. Before a second reference exists
   * nobody else can be copying it. */
  if (__atomic_load_n (&message->refs, __ATOMIC_ACQUIRE) == 1) {
    make_shared (&message->topic_frame);
    make_shared (&message->headers_frame);
    make_shared (&message->body_frame);
  }
  __atomic_add_fetch (&message->refs, 1, __ATOMIC_RELAXED);
  return message;
}

/* The one that drops the last reference frees: acquire, so that it sees what all the others did with it before. */
void
zm_message_unref (ZmMessage *message)
{
  if (message == NULL)
    return;
  /* The only reference is this one: no other thread can be counting. */
  if (__atomic_load_n (&message->refs, __ATOMIC_ACQUIRE) == 1 ||
      __atomic_sub_fetch (&message->refs, 1, __ATOMIC_ACQ_REL) == 0)
    zm_message_release (message);
}

/* ---- topic ---- */

/* Copies a field to *at, moves *at behind it, and gives the copy's span. */
static ZmSpan
put (char **at, ZmSpan field)
{
  ZmSpan put = zm_span (*at, field.size);

  if (field.size > 0)
    memcpy (*at, field.data, field.size);
  *at += field.size;
  return put;
}

/* The same with the separator behind it. */
static ZmSpan
put_field (char **at, ZmSpan field)
{
  ZmSpan span = put (at, field);

  *(*at)++ = '~';
  return span;
}

/* The text is written once, and the spans are set as it is: nothing is parsed. A short one stands in the message itself,
 * which saves the allocation that libzmq makes for frames of over 33 bytes. Only for a message that nobody else sees
 * yet. */
void
zm_message_set_topic (ZmMessage *message, ZmSpan flow, const ZmKey *key, ZmSpan id)
{
  gsize size =
      flow.size + key->decorator.size + key->sender.size + key->context.size + key->action.size + id.size + 5;
  ZmTopic *topic = &message->topic;
  char *at;

  if (size <= ZM_TOPIC_INSIDE) {
    message->inside_size = (guint) size;
    at = message->inside;
  } else {
    zm_frame_init_size (&message->topic_frame, size);
    at = zmq_msg_data (&message->topic_frame);
  }
  topic->flow = put_field (&at, flow);
  topic->key.decorator = put_field (&at, key->decorator);
  topic->key.sender = put_field (&at, key->sender);
  topic->key.context = put_field (&at, key->context);
  topic->key.action = put_field (&at, key->action);
  topic->id = put (&at, id);
  topic->slug = zm_span (topic->key.decorator.data, (gsize) (topic->id.data - 1 - topic->key.decorator.data));
}

/* ids NULL: the topic stays without an id, for messages that are only tried. */
void
zm_message_set_topic_with_id (ZmMessage *message, const ZmTopic *topic, ZmUuidMaker *ids, gint64 wall_us)
{
  char made[ZM_UUID_SIZE];
  ZmSpan id = topic->id;

  if (id.size == 0 && ids != NULL) {
    zm_uuid_make (ids, wall_us, made);
    id = zm_span (made, sizeof made);
  }
  zm_message_set_topic (message, topic->flow, &topic->key, id);
  message->made_id = id.data == made;
}

/* ---- making ---- */

/* A topic is tried first and without an error text, as nearly every first frame is one. Text with a '?' can only have
 * been meant as an action key; for all else the topic's error is the one that helps. */
gboolean
zm_message_read_first (ZmSpan first, ZmTopic *topic, GError **error)
{
  if (zm_topic_parse (first, topic, NULL))
    return TRUE;
  /* The rare cases only from here on. */
  if (first.size == 0) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID,
                 "column 1: the first frame is empty; expected a topic or an action key");
    return FALSE;
  }
  if (memchr (first.data, '?', first.size) == NULL)
    return zm_topic_parse (first, topic, error);
  memset (topic, 0, sizeof *topic);
  return zm_key_parse (first, &topic->key, NULL, error);
}

/* A span that pointed into bytes which now stand elsewhere. */
static void
rebase (ZmSpan *span, const char *from, const char *to)
{
  span->data = to + (span->data - from);
}

/* The frame moves and is not copied; the spans of the parsed topic follow it to where its bytes stand now. Small frames
 * keep their bytes inside zmq_msg_t, so that moving one moves the text. */
static void
move_topic (ZmMessage *message, zmq_msg_t *first, const ZmTopic *topic)
{
  const char *from = zmq_msg_data (first), *to;

  zmq_msg_move (&message->topic_frame, first);
  to = zmq_msg_data (&message->topic_frame);
  message->topic = *topic;
  rebase (&message->topic.flow, from, to);
  rebase (&message->topic.key.decorator, from, to);
  rebase (&message->topic.key.sender, from, to);
  rebase (&message->topic.key.context, from, to);
  rebase (&message->topic.key.action, from, to);
  rebase (&message->topic.id, from, to);
  rebase (&message->topic.slug, from, to);
}

/* The bound is here and not at the socket, which only knows the size of whole messages: headers are kept and read as
 * text. */
static gboolean
check_headers (const zmq_msg_t *headers, GError **error)
{
  if (headers == NULL || zmq_msg_size (headers) <= ZM_HEADERS_MOST)
    return TRUE;
  g_set_error (error, ZM_ERROR, ZM_ERROR_LIMIT, "the headers have %zu bytes; at most %d are allowed",
               zmq_msg_size (headers), ZM_HEADERS_MOST);
  return FALSE;
}

/* All checks come before anything is made. Where the topic can stay as it came, its frame becomes the message's; a key,
 * or a topic without an id, is written anew. */
ZmMessage *
zm_message_take_frames (zmq_msg_t *first, zmq_msg_t *headers, zmq_msg_t *body, ZmUuidMaker *ids,
                        gint64 wall_us, GError **error)
{
  ZmMessage *message = NULL;
  ZmTopic topic;

  if (zm_message_read_first (zm_frame_span (first), &topic, error) && check_headers (headers, error)) {
    message = zm_message_alloc (ZM_ORIGIN_PULL);
    /* A key leaves the slug empty: its text is no topic yet. */
    if (topic.slug.data != NULL && (topic.id.size > 0 || ids == NULL))
      move_topic (message, first, &topic);
    else
      zm_message_set_topic_with_id (message, &topic, ids, wall_us);
    if (body != NULL)
      zmq_msg_move (&message->body_frame, body);
    if (headers != NULL)
      zmq_msg_move (&message->headers_frame, headers);
    message->has_headers = zmq_msg_size (&message->headers_frame) > 0;
  }
  zm_frame_clear (first);
  zm_frame_clear (headers);
  zm_frame_clear (body);
  return message;
}

/* What the two ways to make a message have in common; the body is set next. */
static ZmMessage *
message_with (ZmSpan flow, const ZmKey *key, ZmSpan id, ZmSpan headers)
{
  ZmMessage *message = zm_message_alloc (ZM_ORIGIN_INTERNAL);

  zm_message_set_topic (message, flow, key, id);
  if (headers.size > 0) {
    zm_frame_init_copy (&message->headers_frame, headers);
    message->has_headers = TRUE;
  }
  return message;
}

ZmMessage *
zm_message_new (ZmSpan flow, const ZmKey *key, ZmSpan id, ZmSpan headers, ZmSpan body)
{
  ZmMessage *message = message_with (flow, key, id, headers);

  if (body.size > 0)
    zm_frame_init_copy (&message->body_frame, body);
  return message;
}

ZmMessage *
zm_message_new_take (ZmSpan flow, const ZmKey *key, ZmSpan id, ZmSpan headers, zmq_msg_t *body)
{
  ZmMessage *message = message_with (flow, key, id, headers);

  zmq_msg_move (&message->body_frame, body);
  return message;
}

/* The body's frame is shared by its count, whatever its size: this is how one body goes through the steps of a flow. */
ZmMessage *
zm_message_derive (ZmMessage *from, ZmSpan flow, const ZmKey *key, ZmSpan id, gboolean keep_headers)
{
  ZmMessage *message = zm_message_alloc (ZM_ORIGIN_INTERNAL);

  zm_message_set_topic (message, flow, key, id);
  zmq_msg_copy (&message->body_frame, &from->body_frame);
  if (keep_headers && from->has_headers) {
    zmq_msg_copy (&message->headers_frame, &from->headers_frame);
    message->has_headers = TRUE;
  }
  message->attempt = from->attempt;
  message->hops = from->hops;
  message->received_us = from->received_us;
  message->deadline_us = from->deadline_us;
  return message;
}

/* ---- reading ---- */

ZmSpan
zm_message_topic (const ZmMessage *message)
{
  if (message->inside_size > 0)
    return zm_span (message->inside, message->inside_size);
  return zm_frame_span (&message->topic_frame);
}

/* Made when it is first asked for, which writes to the message: hence only for who has the only reference. */
zmq_msg_t *
zm_message_topic_frame (ZmMessage *message)
{
  if (message->inside_size > 0 && zmq_msg_size (&message->topic_frame) == 0)
    zm_frame_init_copy (&message->topic_frame, zm_message_topic (message));
  return &message->topic_frame;
}

ZmSpan
zm_message_headers (const ZmMessage *message)
{
  return message->has_headers ? zm_frame_span (&message->headers_frame) : zm_span (NULL, 0);
}

ZmSpan
zm_message_body (const ZmMessage *message)
{
  return zm_frame_span (&message->body_frame);
}

char *
zm_message_header (const ZmMessage *message, const char *name)
{
  ZmSpan value;

  if (!message->has_headers || !zm_json_member (zm_message_headers (message), name, &value))
    return NULL;
  return zm_json_text (value);
}
