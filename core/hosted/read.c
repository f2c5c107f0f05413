/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The reader: hears the daemon whatever the plugins do, and never runs their code. Its end is the end of the process: at
 * BYE, or where the daemon is gone, at once and without a word to anybody. While something waits to be sent, or calls run,
 * it looks after that every few milliseconds.
 */
#include "config.h"

#include "hosted/hosted-private.h"

#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#define ALIGNED ((gsize) 16)
#define TICK_US 5000 /* what is said in calls, at most, and a call that others wait behind */

typedef struct Reader {
  ZmHosted *hosted;
  ZmPipeEnd pipe;
  gsize left;            /* bytes that are ready, of a record that is not whole yet */
  guint8 *large;         /* a record that does not fit into the pipe; else NULL */
  gsize size, have, pad; /* of it; it stands at large + pad */
  gint64 tick_us;
} Reader;

/* ---- records ---- */

/* The last one asked for is remembered: most calls that come together are of one plugin. NULL: there is none. */
static ZmHostedPlugin *
find_plugin (ZmHosted *hosted, guint64 serial)
{
  if (hosted->last_plugin == NULL || hosted->last_plugin->serial != serial)
    hosted->last_plugin = g_hash_table_lookup (hosted->plugins, &serial);
  return hosted->last_plugin;
}

static gboolean
claim (ZmHosted *hosted, guint slot, guint64 serial)
{
  unsigned long long queued = zm_page_word (serial, ZM_SLOT_IS_QUEUED);

  return atomic_compare_exchange_strong (&hosted->page->slots[slot].word, &queued,
                                         zm_page_word (serial, ZM_SLOT_IS_STARTED));
}

/* A call of a plugin that is not there. It is started and over, as its slot has to come free. */
static void
refuse_work (ZmHosted *hosted, const ZmRecord *record)
{
  guint slot = (guint) record->numbers[ZM_WORK_SLOT];
  const ZmRecord answer = {
    .kind = ZM_RECORD_DONE,
    .id = record->id,
    .n_numbers = ZM_DONE_NUMBERS,
    .numbers = { [ZM_DONE_SLOT] = slot, [ZM_DONE_STATUS] = (guint64) (gint64) ZM_E_NOT_FOUND },
    .n_parts = ZM_DONE_PARTS,
    .parts = { [ZM_DONE_CODE] = ZM_SPAN_LITERAL ("not-found"),
               [ZM_DONE_TEXT] = ZM_SPAN_LITERAL ("the host has no such plugin") }
  };

  if (claim (hosted, slot, record->id))
    zm_hosted_say_now (hosted, &answer);
}

/* The memory of a large one becomes the call's, as copying it would cost more than all the rest. */
static void
take_work (Reader *reader, const ZmRecord *record)
{
  ZmHosted *hosted = reader->hosted;
  ZmHostedPlugin *plugin = find_plugin (hosted, record->numbers[ZM_WORK_GENERATION]);
  gboolean owned = reader->large != NULL && record->n_parts == ZM_WORK_PARTS;
  ZmHostedCall *call;

  if (record->numbers[ZM_WORK_SLOT] >= ZM_PAGE_SLOTS)
    return;
  if (plugin == NULL || !atomic_load_explicit (&plugin->ready, memory_order_acquire)) {
    refuse_work (hosted, record);
    return;
  }
  call = zm_hosted_crew_spare (plugin->crew);
  zm_hosted_call_fill (call, plugin, record, owned ? reader->large : NULL, reader->pad + reader->size);
  if (owned)
    reader->large = NULL;
  if (record->numbers[ZM_WORK_ACTION] == ZM_WORK_FUNCTION)
    zm_hosted_timer_fired (plugin, call->fn, zm_span (call->call.action.data, call->call.action.size));
  if (plugin->crew->incoming.head == NULL)
    g_ptr_array_add (hosted->touched, plugin);
  zm_hosted_crew_add (plugin->crew, call);
}

/* What was read together goes to its threads together. */
static void
send_work (ZmHosted *hosted)
{
  for (guint i = 0; i < hosted->touched->len; i++)
    zm_hosted_crew_send (((ZmHostedPlugin *) g_ptr_array_index (hosted->touched, i))->crew);
  g_ptr_array_set_size (hosted->touched, 0);
}

static gboolean
take_failed (gpointer key, gpointer value, gpointer user)
{
  ZmHostedPlugin *plugin = value;
  ZmHosted *hosted = user;
  ZmHostedStep *step;

  (void) key;
  if (!atomic_load (&plugin->failed))
    return FALSE;
  zm_hosted_asks_drop (hosted, plugin);
  step = g_new0 (ZmHostedStep, 1);
  step->plugin = plugin;
  step->forget = TRUE;
  zm_hosted_life_push (hosted, step);
  return TRUE;
}

/* The daemon does not close what it could not load, and may want it loaded again under the same number. The life thread may be
 * about to leave it: it lets it go after that. */
static void
forget_failed (ZmHosted *hosted)
{
  hosted->last_plugin = NULL;
  g_hash_table_foreach_remove (hosted->plugins, take_failed, hosted);
}

/* Of a plugin's life. It is known here from PREPARE to CLOSE; between them it is the life thread's. */
static void
take_step (ZmHosted *hosted, const ZmRecord *record)
{
  ZmHostedStep *step = g_new0 (ZmHostedStep, 1);
  ZmHostedPlugin *plugin;
  gboolean fresh;

  send_work (hosted);
  if (record->kind == ZM_RECORD_PREPARE)
    forget_failed (hosted);
  plugin = find_plugin (hosted, record->id);
  fresh = record->kind == ZM_RECORD_PREPARE && plugin == NULL;
  if (fresh) {
    plugin = zm_hosted_plugin_new (hosted, record);
    g_hash_table_insert (hosted->plugins, &plugin->serial, plugin);
  } else if (record->kind == ZM_RECORD_CLOSE && plugin != NULL) {
    g_hash_table_remove (hosted->plugins, &plugin->serial);
    zm_hosted_asks_drop (hosted, plugin);
  }
  hosted->last_plugin = NULL;
  step->kind = record->kind;
  step->id = record->id;
  step->plugin = record->kind == ZM_RECORD_PREPARE && !fresh ? NULL : plugin;
  step->deadline_ms = (guint) record->numbers[0];
  step->values = zm_hosted_values_new (record->n_parts > 0 ? record->parts[0] : zm_span (NULL, 0));
  zm_hosted_life_push (hosted, step);
}

static G_NORETURN void
end_now (ZmHosted *hosted)
{
  zm_host_out_flush (hosted->out);
  _exit (0);
}

/* Kinds that only a host says are as unknown as any. */
static void
take (Reader *reader, const ZmRecord *record)
{
  ZmHosted *hosted = reader->hosted;
  const ZmRecord pong = { .kind = ZM_RECORD_PONG, .id = record->id };

  switch (record->kind) {
  case ZM_RECORD_WORK: take_work (reader, record); break;
  case ZM_RECORD_PREPARE:
  case ZM_RECORD_INIT:
  case ZM_RECORD_COMMIT:
  case ZM_RECORD_RETIRE:
  case ZM_RECORD_CLOSE:
  case ZM_RECORD_CONFIGURE: take_step (hosted, record); break;
  case ZM_RECORD_CANCEL: zm_hosted_cancel (hosted, record->id); break;
  case ZM_RECORD_ANSWER: zm_hosted_answered (hosted, record); break;
  case ZM_RECORD_EMITTED: atomic_fetch_add (&hosted->emits, (int) record->numbers[0]); break;
  case ZM_RECORD_OPEN:
    zm_hosted_source_open (hosted, find_plugin (hosted, record->numbers[0]), record);
    break;
  case ZM_RECORD_WAKE: zm_hosted_source_wake (hosted, record->id); break;
  case ZM_RECORD_SHUT: zm_hosted_source_shut (hosted, record->id); break;
  case ZM_RECORD_PING: zm_hosted_say_now (hosted, &pong); break;
  case ZM_RECORD_MEMORY: zm_hosted_set_memory (&hosted->room, record->numbers[0]); break;
  case ZM_RECORD_BYE: end_now (hosted);
  default: break;
  }
}

/* ---- reading ---- */

static G_NORETURN void
misunderstood (const GError *error)
{
  g_printerr ("zmanager-host: the daemon says what this host does not understand: %s\n", error->message);
  _exit (1);
}

/* The daemon may wait for it. */
static void
taken (Reader *reader, gsize size)
{
  if (size > 0 && zm_pipe_take (&reader->pipe, size) && !zm_bell_ring (reader->hosted->fd, NULL))
    _exit (0);
}

/* Where a record has to begin so that its last part, the body, is aligned: its lengths are here already. */
static gsize
pad_for (const guint8 *data, gsize size)
{
  guint8 n_numbers = data[6], n_parts = data[7];
  gsize lengths = ZM_RECORD_HEAD + n_numbers * sizeof (guint64);
  guint32 last = 0;

  if (n_parts > 0)
    memcpy (&last, data + lengths + (n_parts - 1) * sizeof last, sizeof last);
  return last < size ? (ALIGNED - (size - last) % ALIGNED) % ALIGNED : 0;
}

/* One that the pipe has no room for gets memory of its own, into which it goes piece by piece. */
static void
begin_large (Reader *reader, const guint8 *data, gsize size)
{
  reader->size = size;
  reader->have = 0;
  reader->pad = pad_for (data, size);
  reader->large = g_try_malloc (reader->pad + size);
  if (reader->large == NULL) {
    g_printerr ("zmanager-host: no memory for a record of %" G_GSIZE_FORMAT " bytes\n", size);
    _exit (1);
  }
}

static void
go_on_with_large (Reader *reader, gsize ready)
{
  g_autoptr (GError) error = NULL;
  gsize piece = MIN (ready, reader->size - reader->have), needed;
  ZmRecord record;

  memcpy (reader->large + reader->pad + reader->have, zm_pipe_data (&reader->pipe), piece);
  reader->have += piece;
  taken (reader, piece);
  if (reader->have < reader->size)
    return;
  if (zm_record_read (reader->large + reader->pad, reader->size, &record, &needed, &error) <= 0)
    misunderstood (error);
  take (reader, &record);
  g_clear_pointer (&reader->large, g_free);
}

/* Those that are whole, where they stand. */
static void
take_small (Reader *reader, gsize ready)
{
  const guint8 *data = zm_pipe_data (&reader->pipe);
  g_autoptr (GError) error = NULL;
  gsize at = 0, needed = 0;
  gssize size = 0;
  ZmRecord record;

  while (at < ready) {
    size = zm_record_read (data + at, ready - at, &record, &needed, &error);
    if (size <= 0)
      break;
    take (reader, &record);
    at += (gsize) size;
  }
  if (size < 0)
    misunderstood (error);
  if (at < ready && needed > ZM_PIPE_BYTES && ready - at >= ZM_RECORD_FIXED)
    begin_large (reader, data + at, needed);
  taken (reader, at);
}

/* What is there now. FALSE: nothing, or not all of a record. */
static gboolean
receive (Reader *reader)
{
  gsize ready = (gsize) zm_pipe_ready (&reader->pipe);
  const guint8 *large = reader->large;
  guint64 before = reader->pipe.at;

  if (ready > ZM_PIPE_BYTES) {
    g_printerr ("zmanager-host: a plugin wrote over the memory that this host shares with the daemon\n");
    _exit (1);
  }
  if (ready > 0 && reader->large == NULL)
    take_small (reader, ready);
  else if (ready > 0)
    go_on_with_large (reader, ready);
  send_work (reader->hosted);
  reader->left = ready - (gsize) (reader->pipe.at - before);
  return reader->pipe.at != before || reader->large != large;
}

/* ---- the clock ---- */

/* What waits behind a call that lasts goes to other threads. */
static void
tick_crews (Reader *reader, gint64 now_us)
{
  GHashTableIter iter;
  gpointer value;

  if (now_us - reader->tick_us < TICK_US)
    return;
  reader->tick_us = now_us;
  g_hash_table_iter_init (&iter, reader->hosted->plugins);
  while (g_hash_table_iter_next (&iter, NULL, &value)) {
    ZmHostedPlugin *plugin = value;

    if (atomic_load (&plugin->ready))
      zm_hosted_crew_tick (plugin->crew);
  }
}

static void
tick (Reader *reader)
{
  ZmHosted *hosted = reader->hosted;
  gboolean armed = atomic_load (&hosted->armed), calls = atomic_load (&hosted->awake) > 0;
  gint64 now_us;

  if (!armed && !calls)
    return;
  now_us = zm_now_us ();
  if (now_us - atomic_load_explicit (&hosted->sent_us, memory_order_relaxed) >=
      (armed ? ZM_HOSTED_SOON_US : TICK_US)) {
    atomic_store_explicit (&hosted->sent_us, now_us, memory_order_relaxed);
    atomic_store (&hosted->armed, FALSE);
    zm_host_out_flush (hosted->out);
  }
  if (calls)
    tick_crews (reader, now_us);
}

static int
patience_ms (const ZmHosted *hosted)
{
  if (atomic_load (&hosted->armed))
    return ZM_HOSTED_SOON_US / 1000;
  return atomic_load (&hosted->awake) > 0 ? TICK_US / 1000 : -1;
}

/* The daemon is gone where its end of the bell is. */
static void
sleep_until_something (Reader *reader)
{
  ZmHosted *hosted = reader->hosted;
  struct pollfd polls[] = { { .fd = hosted->fd, .events = POLLIN },
                            { .fd = hosted->wake, .events = POLLIN } };
  uint64_t woken;

  if (poll (polls, G_N_ELEMENTS (polls), patience_ms (hosted)) < 0)
    return;
  if (polls[1].revents != 0 && read (hosted->wake, &woken, sizeof woken) < 0)
    woken = 0;
  if (polls[0].revents != 0 && !zm_bell_heard (hosted->fd))
    _exit (0);
}

void
zm_hosted_read (ZmHosted *hosted)
{
  Reader reader = { .hosted = hosted, .pipe = zm_page_to_host (hosted->page) };

  for (;;) {
    if (receive (&reader)) {
      tick (&reader);
      continue;
    }
    if (zm_pipe_ask_more (&reader.pipe, reader.left))
      sleep_until_something (&reader);
    zm_pipe_awake (&reader.pipe);
    tick (&reader);
  }
}
