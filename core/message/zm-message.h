/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Messages: a topic, optional headers (JSON text), an opaque body; immutable once made, reference counted. Bytes live in
 * zmq_msg_t frames and are never copied between receiving and the last publication.
 */
#pragma once

#include "message/zm-key.h"

#include <zmq.h>

G_BEGIN_DECLS

/* A topic up to this size that the runtime makes stands in the message itself. */
#define ZM_TOPIC_INSIDE 128
#define ZM_HEADERS_MOST 65536 /* bytes of the headers' JSON text */
#define ZM_HOPS_MOST    100   /* steps, keys and emits in a row: a message beyond that goes in a circle */

typedef struct ZmMessage ZmMessage;

typedef enum {
  ZM_ORIGIN_PULL,    /* pushed to the Subject */
  ZM_ORIGIN_CALL,    /* came on the call socket */
  ZM_ORIGIN_EMIT,    /* a plugin's emit */
  ZM_ORIGIN_TIMER,   /* a plugin's timer */
  ZM_ORIGIN_INTERNAL, /* made by the runtime: results */
  ZM_ORIGIN_DURABLE   /* out of a queue, or the result of such a one, which is in the queues bound to its topic already */
} ZmOrigin;

/* Read it through the fields; written only between zm_message_* making it and giving it away. */
struct ZmMessage {
  int refs; /* atomic */
  guint8 origin;
  guint8 attempt; /* 1 at first */
  guint16 hops;   /* carried by emit: over 100 is a loop */
  gboolean has_headers;
  gboolean made_id; /* nobody gave one: it was made here, and nobody sends it a second time */
  guint8 lane;   /* the worker room's: which lane keeps its order, counted from 1; 0: none */
  guint16 order; /* the worker room's: those of one ordering key have the same; 0: none */
  ZmTopic topic; /* points into topic_frame or inside */
  zmq_msg_t topic_frame;
  zmq_msg_t headers_frame;
  zmq_msg_t body_frame;
  gint64 received_us; /* monotonic; 0 where nobody looked at the clock */
  gint64 deadline_us; /* monotonic, of the caller; 0: none given */
  guint64 reply;      /* ticket of the waiting caller (call socket, zm_call_action); 0: nobody waits */
  guint inside_size;  /* of the topic's text in inside; 0: it is in topic_frame */
  gpointer durable;   /* the attempt that it belongs to; NULL: volatile */
  ZmMessage *next;    /* for whoever owns it: lists without allocation */
  char inside[ZM_TOPIC_INSIDE];
};

/* From frames that were received. Takes the frames' content (they are left empty) in any case. first may be a topic or an
 * action key; an empty id is filled from ids (NULL: left empty). headers and body may be NULL; empty headers are none.
 * Origin PULL until the caller says otherwise. NULL with an error: what is wrong, with its column. */
ZmMessage *zm_message_take_frames (zmq_msg_t *first, zmq_msg_t *headers, zmq_msg_t *body, ZmUuidMaker *ids,
                                   gint64 wall_us, GError **error);
/* From parts; copies. key checked already; headers and body may be empty. Origin INTERNAL, attempt 1. Never NULL. */
ZmMessage *zm_message_new (ZmSpan flow, const ZmKey *key, ZmSpan id, ZmSpan headers, ZmSpan body);
/* A message with another topic and the frames of `from` shared, not copied (headers too where keep_headers). attempt, hops,
 * received_us and deadline_us are those of `from`; reply and next are not. Threads that derive from one message at the
 * same time need a reference each. */
ZmMessage *
zm_message_derive (ZmMessage *from, ZmSpan flow, const ZmKey *key, ZmSpan id, gboolean keep_headers);
/* The same with another body: takes body's content. headers may be empty. */
ZmMessage *zm_message_new_take (ZmSpan flow, const ZmKey *key, ZmSpan id, ZmSpan headers, zmq_msg_t *body);

ZmMessage *zm_message_ref (ZmMessage *message);
void zm_message_unref (ZmMessage *message);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ZmMessage, zm_message_unref)

ZmSpan zm_message_topic (const ZmMessage *message);
/* The topic as a frame of the message's own, for who has the only reference and sends it. */
zmq_msg_t *zm_message_topic_frame (ZmMessage *message);
ZmSpan zm_message_headers (const ZmMessage *message); /* empty where there are none */
ZmSpan zm_message_body (const ZmMessage *message);
/* A header as text (the caller frees), or NULL. Reads the JSON text now: not for the hot path. */
char *zm_message_header (const ZmMessage *message, const char *name);

/* ---- wire ---- */

typedef enum { ZM_FRAMES_AUTO, ZM_FRAMES_MULTI, ZM_FRAMES_SINGLE } ZmFramesForm;

#define ZM_BATCH_PARTS_MOST 1024

/* One multipart message as received: n frames (1: single form, 2: topic body, 3: topic headers body). Takes the frames'
 * content. A batch envelope (topic ^batch~~~~~) yields its parts, each checked on its own: good ones are added to out
 * (ZmMessage*), for each bad one failed (error, user; NULL allowed) is called. Form MULTI refuses one frame, SINGLE refuses
 * more, AUTO takes all. Returns how many were added. */
typedef void (*ZmWireFailed) (const GError *error, gpointer user);
guint zm_wire_take (zmq_msg_t *frames, guint n, ZmFramesForm form, ZmUuidMaker *ids, gint64 wall_us,
                    GPtrArray *out, ZmWireFailed failed, gpointer user);
/* Sends one message as 2 or 3 frames, or as one (SINGLE: its headers are left out). The message stays whole: frames are
 * shared with libzmq, not copied. flags: ZMQ_DONTWAIT or 0. 0, or -1 with errno as zmq_msg_send; nothing was sent then.
 * Holders in several threads that send at the same time need a reference each. */
int zm_wire_send (void *socket, ZmMessage *message, ZmFramesForm form, int flags);
/* Batch envelope: topic ^batch~~~~~, body = for each part: 4-byte big-endian length of the topic, topic, 4-byte length of
 * the headers, headers, 4-byte length of the body, body. */
typedef struct ZmBatch ZmBatch;
ZmBatch *zm_batch_new (void);
/* FALSE: full (1,024 parts, or 1 GiB); nothing was added then. */
gboolean zm_batch_add (ZmBatch *batch, ZmSpan topic, ZmSpan headers, ZmSpan body);
guint zm_batch_count (const ZmBatch *batch);
/* The envelope's body; the batch is empty afterwards. */
GBytes *zm_batch_steal (ZmBatch *batch);
void zm_batch_free (ZmBatch *batch);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ZmBatch, zm_batch_free)
#define ZM_BATCH_TOPIC "^batch~~~~~"

G_END_DECLS
