/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Frames: copies, slices and their bytes. */
#include "config.h"

#include "message/make.h"

#include <string.h>

#define SLICE_LEAST 4096 /* bytes; below it copying is cheaper than counting references */

/* zmq_msg_data wants a frame that may be written to, and only reads it. The span lives as long as the frame stays where
 * it is: a small frame has its bytes inside. */
ZmSpan
zm_frame_span (const zmq_msg_t *frame)
{
  return zm_span (zmq_msg_data ((zmq_msg_t *) frame), zmq_msg_size (frame));
}

void
zm_frame_clear (zmq_msg_t *frame)
{
  if (frame == NULL)
    return;
  zmq_msg_close (frame);
  zmq_msg_init (frame);
}

/* libzmq calls it, in any thread: it must be ours and never a plugin's, which may be unloaded by then. */
static void
free_bytes (void *data, void *hint)
{
  (void) hint;
  g_free (data);
}

void
zm_frame_init_size (zmq_msg_t *frame, gsize size)
{
  /* Without memory it ends as everywhere else: in g_malloc. */
  if (zmq_msg_init_size (frame, size) != 0)
    zmq_msg_init_data (frame, g_malloc (size), size, free_bytes, NULL);
}

void
zm_frame_init_copy (zmq_msg_t *frame, ZmSpan bytes)
{
  zm_frame_init_size (frame, bytes.size);
  if (bytes.size > 0)
    memcpy (zmq_msg_data (frame), bytes.data, bytes.size);
}

/* The last frame that shows a part of the whole is gone; any thread of libzmq. */
static void
free_holder (void *data, void *hint)
{
  (void) data;
  zmq_msg_close (hint);
  g_free (hint);
}

/* A large part is not copied: the new frame points into the whole, of which `holder` keeps a counted copy until the new
 * one is closed. A part that keeps its whole alive may hold at most twice its own size, so that many small parts of one
 * batch cannot pin it. */
void
zm_frame_init_slice (zmq_msg_t *frame, zmq_msg_t *whole, ZmSpan part)
{
  zmq_msg_t *holder;

  if (part.size < SLICE_LEAST || part.size < zmq_msg_size (whole) / 2) {
    zm_frame_init_copy (frame, part);
    return;
  }
  holder = g_new (zmq_msg_t, 1);
  zmq_msg_init (holder);
  zmq_msg_copy (holder, whole);
  if (zmq_msg_init_data (frame, (void *) part.data, part.size, free_holder, holder) == 0)
    return;
  free_holder (NULL, holder);
  zm_frame_init_copy (frame, part);
}
