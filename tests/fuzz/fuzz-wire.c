/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fuzzes the wire's head: the input is one multipart message, its frames separated by a byte 0x1e (record separator).
 * An input that begins with "B\n" is the body of a batch envelope instead.
 */
#include "config.h"

#include "message/zm-message.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FRAMES_MOST 5 /* more than are allowed */
#define SEPARATOR   0x1e

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
require (gboolean holds)
{
  if (!holds)
    abort ();
}

static void
make_frame (zmq_msg_t *frame, ZmSpan bytes)
{
  require (zmq_msg_init_size (frame, bytes.size) == 0);
  if (bytes.size > 0)
    memcpy (zmq_msg_data (frame), bytes.data, bytes.size);
}

static guint
split (ZmSpan input, zmq_msg_t frames[FRAMES_MOST])
{
  guint n = 0;

  if (input.size >= 2 && memcmp (input.data, "B\n", 2) == 0) {
    make_frame (&frames[0], ZM_SPAN_LITERAL (ZM_BATCH_TOPIC));
    make_frame (&frames[1], zm_span (input.data + 2, input.size - 2));
    return 2;
  }
  for (; n < FRAMES_MOST - 1; n++) {
    const char *end = input.size > 0 ? memchr (input.data, SEPARATOR, input.size) : NULL;

    if (end == NULL)
      break;
    make_frame (&frames[n], zm_span (input.data, (gsize) (end - input.data)));
    input = zm_span (end + 1, input.size - (gsize) (end - input.data) - 1);
  }
  make_frame (&frames[n], input);
  return n + 1;
}

static void
count_failure (const GError *error, gpointer user)
{
  require (error->domain == ZM_ERROR && g_utf8_validate (error->message, -1, NULL));
  (*(guint *) user)++;
}

static void
check_message (gpointer data, gpointer user)
{
  ZmMessage *message = data;
  ZmTopic again;
  g_autofree char *step = zm_message_header (message, "step");

  (void) user;
  require (step == NULL || g_utf8_validate (step, -1, NULL));
  require (zm_topic_parse (zm_message_topic (message), &again, NULL));
  require (zm_span_equal (again.slug, message->topic.slug) && zm_span_equal (again.id, message->topic.id));
  require (again.id.size > 0);
  /* Every byte is there to be read. */
  (void) zm_span_hash (zm_message_body (message));
  zm_message_unref (zm_message_derive (message, again.flow, &again.key, again.id, TRUE));
  zm_message_unref (message);
}

static void
take (ZmSpan input, ZmFramesForm form)
{
  g_autoptr (GPtrArray) out = g_ptr_array_new ();
  zmq_msg_t frames[FRAMES_MOST];
  guint failures = 0, n = split (input, frames), count;
  ZmUuidMaker ids;

  zm_uuid_maker_init (&ids);
  count = zm_wire_take (frames, n, form, &ids, 1700000000000000, out, count_failure, &failures);
  /* Each ends as a message or as an error. */
  require (count == out->len && count + failures > 0 && count + failures <= ZM_BATCH_PARTS_MOST + 1);
  for (guint i = 0; i < n; i++)
    require (zmq_msg_size (&frames[i]) == 0);
  g_ptr_array_foreach (out, check_message, NULL);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  ZmSpan input = zm_span ((const char *) data, size);

  take (input, ZM_FRAMES_AUTO);
  take (input, ZM_FRAMES_MULTI);
  take (input, ZM_FRAMES_SINGLE);
  if (zm_json_valid (input))
    require (g_utf8_validate_len (input.data, input.size, NULL));
  return 0;
}
