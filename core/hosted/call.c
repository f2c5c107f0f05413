/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One call, from the record that asks for it to the record that tells how it ended. */
#include "config.h"

#include "hosted/hosted-private.h"

#include <string.h>

#define ALIGNED   ((gsize) 16) /* a body, as malloc's memory is */
#define KEEP_MOST ((gsize) 64 << 10)

ZmHostedCall *
zm_hosted_call_new (void)
{
  return g_new0 (ZmHostedCall, 1);
}

static void
text_free (ZmHostedText *text)
{
  g_free (text->data);
}

void
zm_hosted_call_free (ZmHostedCall *self)
{
  zm_hosted_drop_reply (self);
  text_free (&self->body);
  text_free (&self->type);
  text_free (&self->key);
  text_free (&self->follow);
  text_free (&self->code);
  text_free (&self->text);
  g_free (self->memory);
  g_free (self);
}

/* ---- filling ---- */

/* Copies the parts of the record, which stand one behind the other, so that the last one is aligned. Returns how far they
 * have moved. */
static gssize
copy_parts (ZmHostedCall *self, const ZmRecord *record)
{
  const char *first = NULL;
  gsize size = 0, pad;

  for (guint i = 0; i < record->n_parts; i++) {
    if (record->parts[i].data == NULL)
      continue;
    first = first != NULL ? first : record->parts[i].data;
    size = (gsize) (record->parts[i].data - first) + record->parts[i].size;
  }
  if (self->capacity < size + ALIGNED) {
    g_free (self->memory);
    self->capacity = MAX (size + ALIGNED, 512);
    self->memory = g_malloc (self->capacity);
  }
  if (size == 0)
    return 0;
  pad = record->n_parts == ZM_WORK_PARTS ? (size - record->parts[ZM_WORK_BODY].size) % ALIGNED : 0;
  pad = (ALIGNED - pad) % ALIGNED;
  memcpy (self->memory + pad, first, size);
  return (const char *) self->memory + pad - first;
}

static zm_str
part (const ZmRecord *record, guint index, gssize moved)
{
  const ZmSpan span = index < record->n_parts ? record->parts[index] : zm_span (NULL, 0);
  const zm_str str = { span.data != NULL ? span.data + moved : NULL, span.size };

  return str;
}

/* Its function, and where it may run. What cannot be found is told when it is its turn, as any failure is. */
static void
find_action (ZmHostedCall *self, const ZmRecord *record)
{
  ZmHostedPlugin *plugin = self->plugin;
  const GPtrArray *actions = zm_loaded_actions (plugin->generation);
  guint64 place = record->numbers[ZM_WORK_ACTION];
  guint64 order = record->numbers[ZM_WORK_ORDER];
  gboolean alone = TRUE;

  self->fn = NULL;
  self->stat = NULL;
  if (place == ZM_WORK_FUNCTION) {
    self->fn = (zm_action_fn) (guintptr) record->numbers[ZM_WORK_FN];
    self->stat = &plugin->timer_stat;
    alone = plugin->serial_only;
  } else if (place < actions->len) {
    const ZmAction *action = g_ptr_array_index (actions, place);

    self->fn = action->fn;
    self->stat = &plugin->stats[place];
    alone = !action->threadsafe;
  }
  /* Calls of one order share a thread, whatever else they are; those that must be alone share a lock besides. */
  if (order != 0 || plugin->crew->n_threads == 1)
    self->lane = (guint) (order % plugin->crew->n_threads) + 1;
  else
    self->lane = alone ? 1 : 0;
  self->alone = alone;
}

static gboolean
is_quick (const ZmHostedStat *stat)
{
  guint64 samples = stat != NULL ? atomic_load_explicit (&stat->samples, memory_order_relaxed) : 0;

  return samples >= ZM_HOSTED_SURE &&
         atomic_load_explicit (&stat->sampled_us, memory_order_relaxed) < ZM_HOSTED_SLOW_US * samples;
}

void
zm_hosted_call_fill (ZmHostedCall *self, ZmHostedPlugin *plugin, const ZmRecord *record, guint8 *owned,
                     gsize owned_size)
{
  zm_call *call = &self->call;
  gssize moved = 0;

  if (owned != NULL) {
    g_free (self->memory);
    self->memory = owned;
    self->capacity = owned_size;
  } else {
    moved = copy_parts (self, record);
  }
  self->plugin = plugin;
  self->kind = ZM_HOSTED_WORK;
  self->serial = record->id;
  self->slot = (guint) record->numbers[ZM_WORK_SLOT];
  self->deadline_us = (gint64) record->numbers[ZM_WORK_DEADLINE];
  self->timeout_us = (gint64) record->numbers[ZM_WORK_TIMEOUT];
  self->hops = (guint) record->numbers[ZM_WORK_HOPS];
  self->ticket = 0;
  atomic_store_explicit (&self->cancelled, 0, memory_order_relaxed);
  find_action (self, record);
  self->quick = is_quick (self->stat);
  call->struct_size = sizeof *call;
  call->flags = 0;
  call->host = zm_generation_host (plugin->generation);
  call->flow = part (record, ZM_WORK_FLOW, moved);
  call->decorator = part (record, ZM_WORK_DECORATOR, moved);
  call->sender = part (record, ZM_WORK_SENDER, moved);
  call->context = part (record, ZM_WORK_CONTEXT, moved);
  call->action = part (record, ZM_WORK_KEY_ACTION, moved);
  call->id = part (record, ZM_WORK_ID, moved);
  call->headers = part (record, ZM_WORK_HEADERS, moved);
  self->type_in = part (record, ZM_WORK_TYPE, moved);
  call->body = part (record, ZM_WORK_BODY, moved).data;
  call->body_size = part (record, ZM_WORK_BODY, moved).size;
  call->attempt = (guint32) record->numbers[ZM_WORK_ATTEMPT];
  call->step = (guint32) record->numbers[ZM_WORK_STEP];
  call->worker_state = NULL;
}

/* ---- running ---- */

/* FALSE: the daemon has taken it back. Then it may have gone on without the plugin, so that nothing of it is looked at. The
 * slot may be another call's by then: its time is written only where it looks like this one's, and at worst a little
 * late. */
static gboolean
claim (ZmHosted *hosted, const ZmHostedCall *self, gint64 now_us)
{
  ZmPageSlot *slot = &hosted->page->slots[self->slot];
  unsigned long long queued = zm_page_word (self->serial, ZM_SLOT_IS_QUEUED);

  if (atomic_load_explicit (&slot->word, memory_order_acquire) != queued)
    return FALSE;
  atomic_store_explicit (&slot->began_us, now_us, memory_order_relaxed);
  return atomic_compare_exchange_strong (&slot->word, &queued,
                                         zm_page_word (self->serial, ZM_SLOT_IS_STARTED));
}

/* In its own thread, before the first call that it makes of the plugin. */
static void *
worker_state (ZmHostedThread *thread)
{
  ZmHostedPlugin *plugin = thread->crew->plugin;
  const zm_plugin_desc *descriptor = zm_generation_descriptor (plugin->generation);

  if (!thread->worker_started && ZM_HAS (descriptor, worker_start)) {
    thread->worker_started = TRUE;
    thread->worker_state = descriptor->worker_start (zm_generation_state (plugin->generation), thread->index);
  }
  return thread->worker_state;
}

/* What is ready does not wait for a call that takes long, or of which that is not known. */
static void
send_before (ZmHostedThread *thread, const ZmHostedCall *self)
{
  if (self->quick || thread->unsent == 0)
    return;
  thread->unsent = 0;
  zm_host_out_flush (thread->crew->hosted->out);
}

static void
add_sample (ZmHostedStat *stat, gint64 us)
{
  atomic_fetch_add_explicit (&stat->sampled_us, (guint64) us, memory_order_relaxed);
  atomic_fetch_add_explicit (&stat->samples, 1, memory_order_relaxed);
}

/* The clock costs as much as a short action, so that few are measured once it is known how long they take. *took is what
 * the daemon is told, of each sixteenth. */
static int
timed_call (ZmHostedThread *thread, ZmHostedCall *self, guint64 *took)
{
  gboolean sampled = thread->calls++ % ZM_HOSTED_SAMPLE == 0;
  gboolean timed =
      sampled || atomic_load_explicit (&self->stat->samples, memory_order_relaxed) < ZM_HOSTED_SURE;
  gint64 began_us = timed ? zm_now_us () : 0;
  int status = self->fn (&self->call);

  *took = 0;
  if (timed) {
    gint64 us = zm_now_us () - began_us;

    add_sample (self->stat, us);
    *took = sampled ? (guint64) us + 1 : 0;
  }
  return status;
}

static gboolean
work (ZmHostedThread *thread, ZmHostedCall *self)
{
  ZmHosted *hosted = thread->crew->hosted;
  gint64 now_us = zm_now_us ();
  guint64 took = 0;
  int status;

  if (!claim (hosted, self, now_us))
    return TRUE;
  send_before (thread, self);
  if (self->fn == NULL) {
    zm_hosted_set_failure (self, "not-found", "the host knows no such action of this plugin");
    zm_hosted_done (hosted, self, self->slot, ZM_E_NOT_FOUND, 0);
    return TRUE;
  }
  self->call.deadline_us = now_us + self->timeout_us;
  if (self->deadline_us != 0)
    self->call.deadline_us = MIN (self->call.deadline_us, self->deadline_us);
  self->call.state = zm_generation_state (self->plugin->generation);
  thread->here->slot = self->slot + 1;
  thread->here->hops = self->hops;
  self->call.worker_state = worker_state (thread);
  status = timed_call (thread, self, &took);
  thread->here->slot = 0;
  thread->here->hops = 0;
  if (G_UNLIKELY (self->ticket != 0 || status == ZM_DEFERRED))
    return zm_hosted_returned (hosted, self, status, took);
  zm_hosted_done (hosted, self, self->slot, status, took);
  return TRUE;
}

/* It becomes as new, but for the memory that it has. */
static void
clear (ZmHostedCall *self)
{
  zm_hosted_text_clear (&self->code);
  zm_hosted_text_clear (&self->text);
  if (self->capacity > KEEP_MOST) {
    g_clear_pointer (&self->memory, g_free);
    self->capacity = 0;
  }
}

static void
tell_result (const ZmHostedCall *self)
{
  if (self->told != NULL)
    self->told (self->user, self->status);
  else
    self->done (self->user, self->status, self->call.body, self->call.body_size);
}

static gboolean
run (ZmHostedThread *thread, ZmHostedCall *self)
{
  ZmHostedPlugin *plugin = thread->crew->plugin;

  if (self->kind == ZM_HOSTED_WORK) {
    if (!work (thread, self))
      return FALSE;
  } else if (self->kind == ZM_HOSTED_DROP) {
    zm_hosted_drop_reply (self);
  } else {
    send_before (thread, self);
    thread->here->hops = self->hops;
    if (self->kind == ZM_HOSTED_TELL)
      atomic_store (&plugin->hosted->page->loading, plugin->serial);
    if (self->kind == ZM_HOSTED_RESULT)
      tell_result (self);
    else
      zm_hosted_life_told (
          plugin->hosted,
          zm_generation_descriptor (plugin->generation)->reload (zm_generation_state (plugin->generation)));
    if (self->kind == ZM_HOSTED_TELL)
      atomic_store (&plugin->hosted->page->loading, 0);
    thread->here->hops = 0;
    zm_hosted_drop_reply (self);
  }
  clear (self);
  return TRUE;
}

/* A call that must be alone has its lock before it is claimed, so that waiting for it is no part of its time. */
gboolean
zm_hosted_call_run (ZmHostedThread *thread, ZmHostedCall *self)
{
  ZmHostedPlugin *plugin = thread->crew->plugin;
  gboolean alone =
      thread->crew->n_threads > 1 && (self->kind == ZM_HOSTED_WORK ? self->alone : plugin->serial_only);
  gboolean over;

  if (!alone)
    return run (thread, self);
  pthread_mutex_lock (&thread->crew->alone);
  over = run (thread, self);
  pthread_mutex_unlock (&thread->crew->alone);
  return over;
}
