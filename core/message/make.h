/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How messages are made; inside the room message only. Whoever makes a message owns it until it is given away. */
#pragma once

#include "message/zm-message.h"

G_BEGIN_DECLS

/* A message with empty frames, one reference and attempt 1; its topic is to be set next. */
ZmMessage *zm_message_alloc (ZmOrigin origin);
/* Its last reference is gone. */
void zm_message_release (ZmMessage *message);
/* A first frame's text: a topic, or an action key without flow and id. Borrows. */
gboolean zm_message_read_first (ZmSpan first, ZmTopic *topic, GError **error);
/* Fills the (empty) topic frame, in one allocation, and the topic's spans with it. What is given may not point into it. */
void zm_message_set_topic (ZmMessage *message, ZmSpan flow, const ZmKey *key, ZmSpan id);
/* The same; where the topic has no id, one is made. */
void
zm_message_set_topic_with_id (ZmMessage *message, const ZmTopic *topic, ZmUuidMaker *ids, gint64 wall_us);
/* Makes an uninitialised (or empty) frame of that size. */
void zm_frame_init_size (zmq_msg_t *frame, gsize size);
/* Fills an uninitialised (or empty) frame with a copy. */
void zm_frame_init_copy (zmq_msg_t *frame, ZmSpan bytes);
/* Fills an uninitialised frame with a part of another one: a copy where that is cheap or would hold much for little,
 * else the same bytes, which `whole` then keeps alive. */
void zm_frame_init_slice (zmq_msg_t *frame, zmq_msg_t *whole, ZmSpan part);
/* Closes a frame and leaves it empty. NULL: nothing. */
void zm_frame_clear (zmq_msg_t *frame);
ZmSpan zm_frame_span (const zmq_msg_t *frame);

G_END_DECLS
