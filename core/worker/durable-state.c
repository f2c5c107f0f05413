/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The state of a durable message as bytes: numbers of 32 and 64 bits, the least byte first, and parts after their length. Text that
 * may be absent has a number before it.
 */
#include "worker/durable-state.h"

#include "worker/run.h"
#include "worker/zm-checkpoints.h"

#include <stdatomic.h>
#include <string.h>

#define STATE_VERSION 1

/* ---- definitions ---- */

static void
append_step (GString *out, const ZmStep *step)
{
  for (guint i = 0; i < step->n_branches; i++)
    g_string_append_printf (out, "%s%s", i > 0 ? " & " : "", step->branches[i].text);
  if (step->on_error)
    g_string_append_printf (out, "\n! %s", step->on_error->text);
  g_string_append_c (out, '\n');
}

/* As its steps are, without what does not count: comments, spaces, where it stood. So a flow that only moved to another file is the
 * same. */
char *
zm_durable_flow_text (const ZmFlow *flow)
{
  GString *out = g_string_new (NULL);
  g_string_append_printf (out, "[%s]\n", flow->name);
  for (guint i = 0; i < flow->n_steps; i++)
    append_step (out, &flow->steps[i]);
  return g_string_free (out, FALSE);
}

/* Two threads may make it at a time; one of both is kept. */
const char *
zm_durable_flow_hash (ZmFlow *flow)
{
  _Atomic (char *) *place = (_Atomic (char *) *) &flow->hash;
  char *none = NULL, *hash = atomic_load (place);
  if (hash)
    return hash;
  g_autofree char *text = zm_durable_flow_text (flow);
  hash = g_compute_checksum_for_string (G_CHECKSUM_SHA256, text, -1);
  if (atomic_compare_exchange_strong (place, &none, hash))
    return hash;
  g_free (hash);
  return none;
}

/* ---- writing ---- */

static void
put_number (GByteArray *out, guint64 number)
{
  guint64 little = GUINT64_TO_LE (number);
  g_byte_array_append (out, (const guint8 *) &little, sizeof little);
}

static void
put_span (GByteArray *out, ZmSpan span)
{
  put_number (out, span.size);
  if (span.size)
    g_byte_array_append (out, (const guint8 *) span.data, (guint) span.size);
}

static void
put_frames (GByteArray *out, const ZmRun *run)
{
  put_number (out, run->depth);
  for (guint i = 0; i < run->depth; i++) {
    put_span (out, zm_span_text (zm_durable_flow_hash (run->frames[i].flow)));
    put_span (out, zm_span_text (run->frames[i].flow->name));
    put_number (out, run->frames[i].step);
  }
}

/* The body is the last of what every kind has, so that a large one is copied once only. */
GBytes *
zm_state_write (const ZmRun *run, const ZmState *state)
{
  gsize size = zmq_msg_size (&run->body);
  GByteArray *out = g_byte_array_sized_new ((guint) MIN (size + 512, G_MAXINT32));
  g_autofree char *type = zm_run_content_type (run);
  put_number (out, STATE_VERSION);
  put_number (out, state->kind);
  put_number (out, run->on_error | run->replaced << 1 | (type != NULL) << 2);
  put_number (out, run->hops);
  put_frames (out, run);
  put_span (out, zm_span_text (type));
  put_span (out, zm_span (zmq_msg_data ((zmq_msg_t *) &run->body), size));
  put_number (out, (guint64) state->until_us);
  put_number (out, state->n_branches);
  for (guint i = 0; i < state->n_branches; i++) {
    put_number (out, state->branches[i].state);
    put_span (out, state->branches[i].result);
    put_span (out, state->branches[i].failure);
  }
  return g_byte_array_free_to_bytes (out);
}

/* An error of its own, as a store that is full has LIMIT too. */
static GQuark
too_large (void)
{
  return g_quark_from_static_string ("zm-flow-state");
}

GError *
zm_state_check (GBytes *state)
{
  gsize size = g_bytes_get_size (state);

  if (size <= ZM_STATE_MOST)
    return NULL;
  return g_error_new (too_large (), 0,
                      "it has %" G_GSIZE_FORMAT
                      " bytes, over %d: pass less from step to step, such as where the "
                      "data is",
                      size, ZM_STATE_MOST);
}

gboolean
zm_state_is_too_large (const GError *error)
{
  return error->domain == too_large ();
}

/* ---- reading ---- */

/* What is left to be read; data NULL: it was damaged. */
static guint64
get_number (ZmSpan *from)
{
  guint64 little;
  if (!from->data || from->size < sizeof little) {
    *from = zm_span (NULL, 0);
    return 0;
  }
  memcpy (&little, from->data, sizeof little);
  *from = zm_span (from->data + sizeof little, from->size - sizeof little);
  return GUINT64_FROM_LE (little);
}

/* A number that counts something here: over most is damage. */
static guint
get_bounded (ZmSpan *from, guint most)
{
  guint64 number = get_number (from);
  if (number <= most)
    return (guint) number;
  *from = zm_span (NULL, 0);
  return 0;
}

static ZmSpan
get_span (ZmSpan *from)
{
  guint64 size = get_number (from);
  if (!from->data || size > from->size) {
    *from = zm_span (NULL, 0);
    return zm_span (NULL, 0);
  }
  ZmSpan span = zm_span (from->data, (gsize) size);
  *from = zm_span (from->data + size, from->size - (gsize) size);
  return span;
}

static void
get_frame (ZmSpan *from, ZmFrameState *frame)
{
  ZmSpan hash = get_span (from);
  frame->name = get_span (from);
  frame->step = get_bounded (from, G_MAXINT32);
  if (hash.size == ZM_FLOW_HASH)
    memcpy (frame->hash, hash.data, ZM_FLOW_HASH);
  else
    *from = zm_span (NULL, 0);
}

gboolean
zm_state_read (ZmSpan bytes, ZmState *state)
{
  memset (state, 0, sizeof *state);
  if (get_number (&bytes) != STATE_VERSION)
    return FALSE;
  state->kind = get_bounded (&bytes, ZM_STATE_JOIN);
  guint flags = get_bounded (&bytes, 7);
  state->on_error = flags & 1;
  state->replaced = flags >> 1 & 1;
  state->typed = flags >> 2 & 1;
  state->hops = get_bounded (&bytes, G_MAXUINT16);
  state->depth = get_bounded (&bytes, ZM_NESTING_MOST + 1);
  for (guint i = 0; i < state->depth; i++)
    get_frame (&bytes, &state->frames[i]);
  state->content_type = get_span (&bytes);
  state->body = get_span (&bytes);
  state->until_us = (gint64) get_number (&bytes);
  state->n_branches = get_bounded (&bytes, ZM_BRANCHES_MOST);
  for (guint i = 0; i < state->n_branches; i++) {
    state->branches[i].state = get_bounded (&bytes, ZM_BRANCH_SAVED);
    state->branches[i].result = get_span (&bytes);
    state->branches[i].failure = get_span (&bytes);
  }
  return bytes.data && state->depth > 0;
}

/* Branches are states within states; each is smaller than the one around it, so this ends. */
gboolean
zm_checkpoint_flows (ZmSpan bytes, void (*func) (const char *hash, gpointer user), gpointer user)
{
  g_autofree ZmState *state = g_new (ZmState, 1);
  if (!zm_state_read (bytes, state))
    return FALSE;
  for (guint i = 0; i < state->depth; i++)
    func (state->frames[i].hash, user);
  for (guint i = 0; i < state->n_branches; i++)
    if (state->branches[i].state == ZM_BRANCH_SAVED)
      zm_checkpoint_flows (state->branches[i].result, func, user);
  return TRUE;
}
